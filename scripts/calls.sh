# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Who calls whom, and whether the calls go one way. Source it. Calls are lines: the
# user, what it uses, and who has that; whether by a call or as a pointer.

# calls NAME=OBJECT...: what these objects use of each other, as the linker sees it
calls() {
	local arg
	for arg; do
		nm -g "${arg#*=}" | awk -v name="${arg%%=*}" '{print name, $(NF - 1), $NF}' || return
	done | awk '$2 != "U" {has[$3] = $1; next}
		{uses[$1 " " $3]}
		END {
			for (use in uses) {
				split(use, u, " ")
				if (u[2] in has)
					print use, has[u[2]]
			}
		}' | sort
}

# upward NAME...: of the calls on stdin those to who stands above, in this order, where
# a name may be that of a folder. Fails if there are any, or somebody is not in it.
upward() {
	awk -v order="$*" '
		BEGIN {
			n = split(order, name, " ")
			for (i = 1; i <= n; i++)
				at[name[i]] = i
		}
		function place(who,   room) {
			room = who
			sub("/.*", "", room)
			return at[who] ? at[who] : at[room]
		}
		!place($1) || !place($3) {print $1 " uses " $2 " of " $3 ": not in the order"; bad = 1; next}
		place($1) > place($3) {print $1 " uses " $2 " of " $3 ", above it"; bad = 1}
		END {exit bad}'
}

# circles: of the calls on stdin those that go round. Fails if there are any, or no
# calls at all.
circles() {
	local all loops
	all=$(cat)
	[ -n "$all" ] || { echo "no calls"; return 1; }
	loops=$(awk '{print $1, $3}' <<<"$all" | tsort 2>&1 >/dev/null) || true
	[ -n "$loops" ] || return 0
	# Of each loop tsort names who is in it, one behind the other.
	awk 'function close_loop() {
			for (i = 1; i <= n; i++)
				in_loop[member[i] " " member[i % n + 1]]
			n = 0
		}
		FNR == NR && /loop:$/ {close_loop(); next}
		FNR == NR {member[++n] = $2; next}
		FNR == 1 {close_loop()}
		($1 " " $3) in in_loop || ($3 " " $1) in in_loop {
			print $1 " uses " $2 " of " $3 ": a circle"
		}' <(echo "$loops") - <<<"$all"
	return 1
}
