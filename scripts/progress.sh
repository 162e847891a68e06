# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Show that a long step is alive: a line that is written over on a terminal, and a
# line every half minute elsewhere. Source it after lib.sh.

progress=			# the process that shows it

# progress_loop FUNCTION: shows what FUNCTION SECONDS prints, until the script ends,
# however it ends. Locks are the script's alone, so they are not kept open here.
progress_loop() {
	local start=$SECONDS every=30 now next
	[ ! -t 2 ] || every=2
	next=$every
	while sleep 1 && kill -0 $$ 2>/dev/null; do
		now=$((SECONDS - start))
		[ $now -ge $next ] || continue
		next=$((now + every))
		if [ -t 2 ]; then
			printf '\r[%s] %s\033[K' "$ME" "$("$1" $now)" >&2
		else
			say "$("$1" $now)"
		fi
	done
} 9>&-

progress_start() { progress_loop "$1" & progress=$!; }

progress_stop() {
	[ -n "$progress" ] || return 0
	kill "$progress" 2>/dev/null || true
	wait "$progress" 2>/dev/null || true
	progress=
	[ ! -t 2 ] || printf '\r\033[K' >&2
}

# minutes_left SECONDS DONE OF: at the speed so far
minutes_left() {
	local left=$(($1 * ($3 - $2) / $2))
	if [ $left -lt 90 ]; then echo "$left s left"; else echo "$(((left + 30) / 60)) min left"; fi
}
