#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Run test programs inside the guest, with TAP output and a time limit each.
#
#   run_guest.sh [NAME=VALUE]... [PROGRAM]...
#
# NAME=VALUE goes into the environment. Programs are looked up beside this
# script and in PATH. Each is one test here; its own TAP output is indented
# below it. Exits with 0 if all passed, else with 1.
#
# FUSE_DAX_TIMEOUT   seconds for each program (600)
# FUSE_DAX_REQUIRE   1 (default): what the driver lacks is a failure, no skip
# FUSE_DAX_SCALE     size of bulky tests in percent (100, or 25 on a kernel
#                    with kmemleak, which has the other slow checks as well)

: "${FUSE_DAX_TIMEOUT:=600}"
: "${FUSE_DAX_REQUIRE:=1}"
if [ -z "$FUSE_DAX_SCALE" ] && [ -e /sys/kernel/debug/kmemleak ]; then
	FUSE_DAX_SCALE=25
fi
export FUSE_DAX_REQUIRE FUSE_DAX_SCALE="${FUSE_DAX_SCALE:-100}"

here=$(dirname "$0")
work=$(mktemp -d)
programs=
for arg; do
	case $arg in
	*=*) export "${arg?}" ;;
	*) programs="$programs $arg" ;;
	esac
done

find_program() {
	if [ -x "$here/$1" ]; then
		echo "$here/$1"
	else
		command -v "$1"
	fi
}

# Lines of the log that were not shown yet
show_new() {
	lines=$(wc -l <"$work/log")
	[ "$lines" -gt "$shown" ] || return
	sed -n "$((shown + 1)),${lines}s/^/    /p" "$work/log"
	shown=$lines
}

# run_limited PROGRAM: fails if the time is over. A task that hangs in the
# kernel may not die of SIGKILL, and keeps its standard output: so nothing here
# waits for a program, or for the end of what it writes.
run_limited() {
	: >"$work/log"
	rm -f "$work/ended"
	shown=0
	(
		"$1" >"$work/log" 2>&1 </dev/null
		touch "$work/ended"
	) &
	left=$((FUSE_DAX_TIMEOUT * 2))
	while [ ! -e "$work/ended" ] && [ "$left" -gt 0 ]; do
		sleep 0.5
		left=$((left - 1))
		show_new
	done
	show_new
	[ -e "$work/ended" ]
}

# how_many PATTERN [PATTERN-NOT]: lines of the log
how_many() {
	grep "$1" "$work/log" | grep -vc "${2:-^\$}"
}

# The plan of the program must be met: it may have died in between.
count_results() {
	failed=$(how_many '^not ok ')
	skipped=$(grep '^ok ' "$work/log" | grep -c '# SKIP')
	passed=$(how_many '^ok ' '# SKIP')
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$work/log")
	all_passed=$((all_passed + passed))
	all_failed=$((all_failed + failed))
	all_skipped=$((all_skipped + skipped))
	[ "$failed" -eq 0 ] && [ "$((passed + skipped))" = "$planned" ]
}

summary() {
	echo "# tests: $all_passed passed, $all_failed failed, $all_skipped skipped"
}

# shellcheck disable=SC2086 # one word per program
set -- $programs
echo "TAP version 13"
echo "1..$#"
number=0 bad=0
all_passed=0 all_failed=0 all_skipped=0
for name; do
	number=$((number + 1))
	: >"$work/log"
	program=$(find_program "$name")
	if [ -z "$program" ]; then
		echo "not ok $number $name # there is no such program"
		bad=1 all_failed=$((all_failed + 1))
		continue
	fi
	start=$(date +%s)
	run_limited "$program"
	ended=$?
	echo "# $name took $(($(date +%s) - start)) s"
	if [ $ended -ne 0 ]; then
		count_results
		all_failed=$((all_failed + 1))
		echo "not ok $number $name # over $FUSE_DAX_TIMEOUT s"
		echo "Bail out! $name hangs"
		summary
		exit 1
	fi
	if count_results; then
		echo "ok $number $name"
	else
		echo "not ok $number $name # $failed of ${planned:-?} failed"
		bad=1
	fi
done
summary
exit $bad
