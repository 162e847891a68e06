#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# daxstat in a guest, on FUSE_DAX_DIR, as run_guest.sh of the selftests runs it.
#
# FUSE_DAX_WINDOW_MIB   size of the window
# FUSE_DAX_BUDGET       mappings that the server makes at a time, if there are few

number=0
bad=0

# ok NAME: by the status of what was before it; else says what daxstat has printed
ok() {
	status=$?
	number=$((number + 1))
	if [ $status -eq 0 ]; then
		echo "ok $number $1"
		return
	fi
	sed 's/^/# /' "$work/out"
	echo "not ok $number $1"
	bad=1
}

# stat ARGUMENT...: its output to $work/out
stat_dax() { daxstat "$@" >"$work/out" 2>&1; }

says() { grep -q -e "$1" "$work/out"; }

# column N: of the last line of numbers
column() { awk -v n="$1" '$NF ~ /^[0-9]+%$/ {x = $n} END {print x}' "$work/out"; }

# busy SIZE NAME...: files of SIZE MiB that are read without end; its process is $busy
busy() {
	size=$1
	shift
	for name; do dd if=/dev/zero of="$dir/$name" bs=1M count="$size" 2>/dev/null; done
	(while :; do for name; do dd if="$dir/$name" of=/dev/null bs=128k; done; done) \
		>/dev/null 2>&1 &
	busy=$!
}

calm() {
	kill "$busy"
	wait "$busy" 2>/dev/null
}

echo "TAP version 13"
if [ -z "$FUSE_DAX_DIR" ]; then
	echo "1..0 # SKIP FUSE_DAX_DIR is not set"
	exit 4
fi
work=$(mktemp -d) || exit 1
dir=$(mktemp -d "$FUSE_DAX_DIR/daxstat.XXXXXX") || exit 1
trap 'rm -rf "$work" "$dir"' EXIT

budget() {
	echo 1..2
	busy 4 a b c d e f g h i j k l
	stat_dax -n 4 "$FUSE_DAX_DIR"
	says "^-> budget of [0-9]* reached"
	ok "few mappings are told from a small window"
	[ "$(column 9)" -le "$FUSE_DAX_BUDGET" ]
	ok "no more mappings than the server makes"
	calm
}

usage() {
	stat_dax --help && says Usage: && says --interval
	ok "--help"
	stat_dax --nonsense
	[ $? -eq 2 ] && says "unknown option --nonsense"
	ok "an unknown option is status 2"
	stat_dax -n 0
	[ $? -eq 2 ]
	ok "no lines at all is status 2"
	stat_dax -n 1 /nowhere
	[ $? -eq 1 ] && says /nowhere
	ok "an unknown share is status 1"
}

# A file of half the window is open, and mapped by reading it
quiet() {
	dd if=/dev/zero of="$dir/half of it" bs=1M count=$((FUSE_DAX_WINDOW_MIB / 2)) 2>/dev/null
	exec 3<"$dir/half of it"
	dd of=/dev/null bs=1M <&3 2>/dev/null
	stat_dax -n 2 -f 1
	says "a window of $FUSE_DAX_WINDOW_MIB MiB"
	ok "the size of the window"
	says "^-> at rest"
	ok "nothing happens: at rest"
	says " $((FUSE_DAX_WINDOW_MIB / 2)) MiB in .*  $dir/half of it\$"
	ok "the file that holds half of it, by its name"
	[ "$(column 10)" != 0% ] && [ "$(column 9)" -ge 1 ]
	ok "there are mappings, and the window is not empty"
	exec 3<&-
	stat_dax -n 1 -f 1
	says "  inode $(stat -c %i "$dir/half of it")\$"
	ok "a file that nobody has open, by its inode"
	stat_dax -n 1 -f 1 --search
	says "  $dir/half of it\$"
	ok "the same by its name, if that is searched for"
}

# Twice as much as the window holds, again and again
crowded() {
	busy "$FUSE_DAX_WINDOW_MIB" a b
	stat_dax -n 3 share
	says "^-> window too small: $FUSE_DAX_WINDOW_MIB MiB"
	ok "more data than window: too small"
	[ "$(column 1)" -gt 0 ] && [ "$(column 2)" -gt 0 ] && [ "$(column 3)" -gt 0 ]
	ok "setups, reclaims and removes are counted"
	calm
}

if [ -n "$FUSE_DAX_BUDGET" ]; then
	budget
else
	echo 1..12
	usage
	quiet
	crowded
fi
exit $bad
