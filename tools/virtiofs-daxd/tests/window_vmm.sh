#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The library in QEMU as it is distributed, without a guest that runs: whether it
# finds the daemon, and what it does beside other devices. Prints TAP.
#	tests/window_vmm.sh DIRECTORY: where daemon and library are
qemu="qemu-system-x86_64"
built=$(realpath "$1")
work=$(mktemp -d /tmp/dax-vmm.XXXXXX)
trap 'kill $daemon $vmm 2>/dev/null; rm -rf "$work"' EXIT
daemon='' vmm='' number=0 failed=0

wait_until() {
	for _ in $(seq 200); do
		"$@" && return
		sleep 0.05
	done
	return 1
}

start_daemon() {
	rm -rf "${work:?}"/*
	mkdir -p "$work/share"
	"$built/virtiofs-daxd" --shared-dir "$work/share" --tag share --sandbox none \
		--socket-path "$work/sock" --dax-window 64M --window-socket "$work/window" \
		--log-level info >"$work/daemon.log" 2>&1 &
	daemon=$!
	wait_until test -S "$work/sock"
}

# start_vmm PRELOAD OPTION...: without a guest that runs
start_vmm() {
	local preload=$1
	shift
	LD_PRELOAD=$preload VIRTIOFS_DAX_WINDOW=$work/window \
		"$qemu" -nodefaults -no-user-config -display none -S -pidfile "$work/pid" \
		-machine q35,memory-backend=mem -accel tcg -m 256M \
		-object memory-backend-memfd,id=mem,size=256M,share=on \
		-chardev "socket,id=fs,path=$work/sock" \
		-device vhost-user-test-device-pci,chardev=fs,virtio-id=26,num_vqs=2,vq_size=1024,config_size=40 \
		"$@" >"$work/vmm.log" 2>&1 &
	vmm=$!
}

# The daemon has decided how it shows files
# shellcheck disable=SC2317 # called by wait_until
decided() { grep -q 'window: one map,\|window: no library' "$work/daemon.log"; }
one_map() { wait_until decided && grep -q 'window: one map,' "$work/daemon.log"; }
stock() { wait_until decided && grep -q 'no library in the VMM' "$work/daemon.log"; }
maps() { grep -c libvirtiofs-dax "/proc/$(cat "$work/pid")/maps"; }

stop() {
	local pid
	pid=$(cat "$work/pid" 2>/dev/null)
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	wait $vmm $daemon 2>/dev/null
	daemon='' vmm=''
}

# result NAME STATUS
result() {
	number=$((number + 1))
	if [ "$2" = 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		sed 's/^/# /' "$work"/*.log
		failed=1
	fi
	stop
}

library=$built/libvirtiofs-dax-qemu.so
echo TAP version 13
command -v "$qemu" >/dev/null || { echo "1..0 # SKIP no $qemu"; exit 0; }
echo 1..7

start_daemon
start_vmm "$library"
one_map
result plain $?

start_daemon
start_vmm "$library" -daemonize
one_map && wait_until test -s "$work/pid" && [ "$(maps)" -gt 0 ] &&
	[ "$(cat "$work/pid")" != "$vmm" ] && grep -q dax-window "/proc/$(cat "$work/pid")/task"/*/comm
result daemonize $?

# What an allocator may do before QEMU begins
start_daemon
start_vmm "$library:$built/tests/window_early.so" -daemonize
[ -e "$built/tests/window_early.so" ] && one_map && wait_until test -s "$work/pid" &&
	grep -q dax-window "/proc/$(cat "$work/pid")/task"/*/comm
result early_reservation $?

start_daemon
start_vmm "$library" -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
one_map
result sandbox $?

start_daemon
start_vmm "$library" -overcommit mem-lock=on
stock && wait_until grep -q 'not to be combined with mem-lock' "$work/vmm.log"
result mem_lock $?

# Another back-end would see nothing of what is in the window.
start_daemon
mkdir "$work/other"
"$built/virtiofs-daxd" --shared-dir "$work/other" --tag other --sandbox none \
	--socket-path "$work/sock2" >"$work/daemon2.log" 2>&1 &
other=$!
wait_until test -S "$work/sock2"
start_vmm "$library" -chardev "socket,id=other,path=$work/sock2" \
	-device vhost-user-fs-pci,chardev=other,tag=other
stock && wait_until grep -q 'not to be combined with another vhost-user' "$work/vmm.log"
status=$?
kill $other
result other_back_end $status

# A second VMM that came first, and lives
start_daemon
mkfifo "$work/never"
LD_PRELOAD=$library VIRTIOFS_DAX_WINDOW=$work/window \
	"$built/tests/window_early" "$work/never" >"$work/other.log" 2>&1 &
other=$!
sleep 0.5
start_vmm "$library"
one_map && grep -q "library of process $other is not used" "$work/daemon.log"
status=$?
kill $other
result second_vmm $status
exit $failed
