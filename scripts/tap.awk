# SPDX-License-Identifier: GPL-2.0-or-later
# Count the leaves of TAP or KTAP on stdin. Prints the results of the outermost
# level and every failure as they come, with what was said before it; `out` gets one
# line per failure and a last line `PASSED FAILED SKIPPED`.
function fail(text, quiet,    i) {
	failed++
	print stage ": " text >out
	if (!quiet) {
		for (i = said > 12 ? said - 11 : 1; i <= said; i++)
			print "      " saying[i]
		print "    FAILED: " text
	}
	fflush()
}

# The document at this depth ends: its plan must have been met.
function close_level(d,    i) {
	if (d in plan && plan[d] != kids[d])
		fail("planned " plan[d] ", ran " kids[d] + 0 (name[d] ? " (" name[d] ")" : ""))
	for (i = d; i < d + 8; i++) {
		kids[i] = bad[i] = 0
		delete plan[i]
		delete name[i]
	}
}

function result(d, text,    leaf, not_ok, skip) {
	leaf = kids[d + 1] + 0 == 0
	not_ok = text ~ /^not ok/
	skip = text ~ /# *[Ss][Kk][Ii][Pp]/ || (leaf && plan[d + 1] "" == "0")
	if (leaf && skip && !not_ok)
		skipped++
	else if (leaf && !not_ok)
		passed++
	else if (not_ok && (leaf || bad[d + 1] + 0 == 0))
		fail(text, d == 0)
	close_level(d + 1)
	kids[d]++
	bad[d] += not_ok
	if (d == 0) {
		print "    " text
		fflush()
	}
}

{
	sub(/\r$/, "")
	match($0, /^ */)
	depth = int(RLENGTH / 4)
	line = substr($0, RLENGTH + 1)
}
line ~ /^K?TAP version/ { close_level(depth); next }
line ~ /^# Subtest: / { name[depth] = substr(line, 12); next }
line ~ /^1\.\.[0-9]+/ { plan[depth] = substr(line, 4) + 0; next }
line ~ /^(not )?ok( |$)/ { result(depth, line); said = 0; next }
line ~ /^Bail out!/ { fail(line) }
{ saying[++said] = line }
END {
	close_level(0)
	print passed + 0, failed + 0, skipped + 0 >out
}
