# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The selftests: how they are built, and run in a VM. Source it after lib.sh.

SELFTESTS=tools/testing/selftests/fuse_dax

build_selftests() {
	local o=$BUILD/selftests
	mkdir -p "$o"
	"$TOP/scripts/kernel" plain headers
	"$TOP/scripts/toolbox" make -s -j"$(nproc)" -C "$TREE/$SELFTESTS" OUTPUT="$o" \
		KHDR_INCLUDES="-isystem $BUILD/kernel/plain/usr/include" >&2
}

# can_guard SHARES: whether the host's kernel tells of changes before they are made, in
# build/ or on the file systems of SHARES: the guard needs that
can_guard() {
	local on=$1
	case $on in '' | pair | [0-9]) on=$(stat -f -c %T "$BUILD") ;; esac
	[[ ,$on, =~ ^,((ext2/ext3|ext4|xfs|btrfs),)+$ ]] || return 1
	printf '%s\n' 6.14 "$(uname -r)" | sort -VC
}

# selftest_group KERNEL and the fields of a line of vm-groups, whose head says
# what they are: one VM. Prints TAP.
selftest_group() {
	local kernel=$1 name=$2 window=$3 append=$4 mount=$5 timeout=$6 programs=$7 daemon_args=$8
	local daemon=$BUILD/virtiofs-daxd/${9:-virtiofs-daxd} options=${11:-}
	local adds=() shares=() vm=vm file share i status=0 mem=1G require=1
	for file in "$BUILD"/selftests/* "$TREE/$SELFTESTS"/*.sh \
		"$TOP"/tools/virtiofs-daxd/daxstat/daxstat*; do
		[ ! -f "$file" ] || [ ! -x "$file" ] || adds+=(--add "$file")
	done
	case $kernel in
	*debug | kcsan) timeout=$((timeout * 6)) mem=3G ;;
	distro) options+=' --numa' ;;
	intree) require=0 ;;	# it has no counters: those tests skip
	esac
	if [[ $daemon_args == *--guard=* ]] && ! can_guard "${10:-}"; then
		echo "ok 1 - group $name # SKIP needs Linux 6.14, and ext4, xfs or btrfs"
		return 0
	fi
	share=$(mktemp -d "$BUILD/share.XXXXXX")
	case ${10:-1} in
	pair) vm=vm-pair shares=(--share "$share") ;;
	mounts) vm=vm-mounts shares=("$share") ;;
	*[a-z]*) vm=vm-on shares=("$share" "${10}") ;;
	*) shares=(--share "$share")
		for ((i = 2; i <= ${10:-1}; i++)); do
			mkdir "$share.$i"
			shares+=(--also "$share.$i")
		done ;;
	esac
	echo "# group $name on $kernel"
	# It ends with who has started it, also in the background, where no signal of a
	# terminal ends it.
	# shellcheck disable=SC2086
	setpriv --pdeathsig TERM "$TOP/scripts/$vm" "${shares[@]}" $options --hand --kernel "$kernel" --window "$window" --mem $mem \
		--mount "$mount" --append "$append" --timeout "$timeout" \
		--daemon "$daemon" --daemon-args "$daemon_args" "${adds[@]}" -- \
		"run_guest.sh FUSE_DAX_TIMEOUT=$((timeout - 30)) FUSE_DAX_REQUIRE=$require FUSE_DAX_HOST_HAND=1 $programs" || status=$?
	case $status in
	124) echo "Bail out! group $name: time out" ;;
	125) echo "Bail out! group $name: the guest kernel complained" ;;
	126) echo "Bail out! group $name: the VM could not be run" ;;
	esac
	rm -rf "$share" "$share".*
}
