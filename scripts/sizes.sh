# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154
# What sizes a VM can have; says what is possible where one is not. For scripts/vm,
# whose options $window, $mem and $smp are.

MIN_WINDOW=$((16 << 20))
# A machine of 1 TiB of addresses, as TCG's, has no place for a larger one.
MAX_WINDOW=$((256 << 30))
# What the guest needs beside the struct pages of a window that has all of them.
MIN_MEM=$((128 << 20))
# QEMU's processors have numbers of 8 bits here, of which one means all.
MAX_SMP=255

# bytes SIZE: 64M and the like as a number
bytes() {
	local n
	[[ $1 =~ ^[0-9]+[KMGTkmgt]?$ ]] || return 1
	n=$(numfmt --from=iec "${1^^}" 2>/dev/null) && [ ${#n} -le 18 ] || return 1
	echo "$n"
}

# in_words BYTES: exact, in the largest unit that divides them
in_words() {
	local n=$1 unit=
	for unit in '' K M G; do
		[ $((n % 1024)) -eq 0 ] && [ "$n" -ge 1024 ] || break
		n=$((n / 1024))
	done
	echo "$n$unit"
}

# machine_mem: bytes of memory that this machine has
machine_mem() { echo $(($(awk '$1 == "MemTotal:" {print $2}' /proc/meminfo) * 1024)); }

# window_limit MEM: the largest window with all struct pages for a guest with so much
# memory, or 0
window_limit() {
	local w=0 next=$MIN_WINDOW
	while [ $next -le $MAX_WINDOW ] && [ $((next / 64 + MIN_MEM)) -le "$1" ]; do
		w=$next
		next=$((next * 2))
	done
	echo $w
}

# check_window BYTES: by itself, whatever the guest's memory
check_window() {
	[ "$1" -ne 0 ] || return 0
	[ "$1" -ge $MIN_WINDOW ] && [ $(($1 & ($1 - 1))) -eq 0 ] ||
		die "--window $window: must be 0 or a power of two, 16M at least (QEMU)"
	[ "$1" -le $MAX_WINDOW ] ||
		die "--window $window: 256G is the largest that has a place among the guest's addresses"
}

# check_mem BYTES WINDOW-BYTES: of windows that get all struct pages at once
check_mem() {
	local need=$(($2 / 64 + MIN_MEM)) have
	have=$(machine_mem)
	[ "$1" -le "$have" ] ||
		die "--mem $mem: this machine has $((have >> 20))M of memory"
	[ "$1" -ge $MIN_MEM ] || die "--mem $mem: 128M is the least"
	[ "$1" -ge $need ] ||
		die "--mem $mem: a window of $window takes 1/64 of its size from the guest's memory:" \
			"--mem $(in_words $need) at least, or --window $(in_words "$(window_limit "$1")") at most"
}

# check_smp LIMIT WHY
check_smp() {
	[[ $smp =~ ^[1-9][0-9]{0,5}$ ]] || die "--smp $smp: not a number from 1 to $1"
	[ "$smp" -le "$1" ] || die "--smp $smp: $1 is the most ($2)"
}
