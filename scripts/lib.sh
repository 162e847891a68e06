# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
# What every script shares: where things are and how to speak. Source it.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$TOP/build
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/virtiofs-dax
CHROOT=$CACHE/chroot			# Debian: QEMU, compilers, libraries
DEBIAN=$CACHE/debian			# Debian: the root of a guest
BASE=$CACHE/base/linux			# the unmodified kernel, a git tree
TREE=$BUILD/linux			# base + series, a git tree
ME=$(basename "$0")
# Kernel builds must not depend on who runs git, nor on his settings.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null

say() { printf '[%s] %s\n' "$ME" "$*" >&2; }
warn() { printf '[%s] warning: %s\n' "$ME" "$*" >&2; }
die() { printf '[%s] error: %s\n' "$ME" "$*" >&2; exit "${DIE_STATUS:-1}"; }

# What --help prints: a script's own usage(), or else the comment it begins with.
show_help() {
	if declare -F usage >/dev/null; then
		usage
	else
		sed -n '/^# SPDX/d; /^#!/d; /^#/!q; s/^# \{0,1\}//p' "$0"
	fi
}

# no_arguments ARGUMENT...: for scripts that take none
no_arguments() { [ $# -eq 0 ] || die "no arguments are taken, but there is $1: $0 --help"; }

# check_number NAME...: variables that hold one, as they come from the environment
check_number() {
	local name
	for name; do
		[[ ${!name} =~ ^(0|[1-9][0-9]{0,8})$ ]] || die "$name=${!name}: not a number"
	done
}

# need_root: most of this needs mount namespaces, and apt.
need_root() { [ "$(id -u)" = 0 ] || die "must run as root"; }

# check_place: make, kbuild and QEMU's options give some characters a meaning.
check_place() {
	local dir
	for dir in "$TOP" "$CACHE"; do
		case $dir/ in
		*[[:space:]:,\;\$\#%\\\'\"\`\&\|\<\>\(\)\*\?!]*)
			die "nothing can be built in '$dir': its name has a space or one of" \
				": , ; \$ # % \\ ' \" \` & | < > ( ) * ? !" ;;
		/usr/* | /etc/*) die "the clone and the cache must not be under /usr or /etc: $dir" ;;
		esac
	done
}

# need_space DIR GIGABYTES: refuse to start what a full disk would break.
need_space() {
	local have
	mkdir -p "$1"
	have=$(df --output=avail -BG "$1" | tail -n1 | tr -dc 0-9)
	[ "$have" -ge "$2" ] || die "$1 has $have GB free, $2 GB are needed"
}

# have_kvm: whether VMs run by KVM, not by emulation; ACCEL=kvm or tcg decides it
have_kvm() {
	case ${ACCEL:-} in
	kvm) ;;
	tcg) return 1 ;;
	'') grep -qwE 'vmx|svm' /proc/cpuinfo && (: <>/dev/kvm) 2>/dev/null ;;
	*) die "ACCEL=$ACCEL: must be kvm or tcg, or not set" ;;
	esac
}

# locked FILE COMMAND...: one at a time; others wait
locked() {
	local lock=$1
	shift
	mkdir -p "$(dirname "$lock")"
	(
		flock -n 9 || { say "waiting for another run ($lock)"; flock 9; }
		"$@"
	) 9>"$lock"
}

case ${1:-} in -h | --help) show_help; exit 0 ;; esac
