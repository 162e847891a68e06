#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The order in which the locks of the driver have been taken until now, by all
# that was run before this in the same kernel.
#
# Rule: locks are taken in the order that the DOC block of fs/fuse/dax.c says.
# Wrong: one of them is taken, directly or by way of others, while another that
# comes later is held. lockdep warns only once it has seen both directions.
# Right: it has seen the locks, and none of them in another order.
# in-tree 7.3: skipped, it has other locks.
#
# Needs CONFIG_PROVE_LOCKING.

skip() {
	echo "1..0 # SKIP $1"
	exit 4
}

echo "TAP version 13"
[ -r /proc/lockdep_chains ] || skip "the kernel has no CONFIG_PROVE_LOCKING"
ls -d /sys/fs/virtiofs/*/dax >/dev/null 2>&1 || skip "no mount with this driver"

# The names of the locks, in their order. Those of an inode have a class for
# each type of file system: ours are those under which fuse_dax_inode.sem is
# taken. fs_reclaim is what an allocation takes that may evict inodes.
awk '
function add(level, pattern, ours,	id) {
	text[level] = text[level] (text[level] ? " or " : "") pattern
	for (id in name)
		if (index(name[id], pattern) == 1 && (!ours || (id, ours) in edge))
			locks[level] = locks[level] " " id
}

# All that was taken with the lock @from held, in reach[]
function walk(from,	queue, head, tail, n, next_ids, i) {
	split("", reach)
	queue[tail++] = from
	while (head < tail) {
		n = split(after[queue[head++]], next_ids, " ")
		for (i = 1; i <= n; i++) {
			if (next_ids[i] in reach)
				continue
			reach[next_ids[i]] = 1
			queue[tail++] = next_ids[i]
		}
	}
}

# The first lock of a level above @level that was taken under one of @level
function contradiction(level,	n, m, ids, above, up, i, j) {
	n = split(locks[level], ids, " ")
	for (i = 1; i <= n; i++) {
		walk(ids[i])
		for (up = 1; up < level; up++) {
			m = split(locks[up], above, " ")
			for (j = 1; j <= m; j++)
				if (above[j] in reach)
					return name[above[j]] " under " name[ids[i]]
		}
	}
	return ""
}

/^ -> \[/ {
	id = substr($2, 2, length($2) - 2)
	after[from] = after[from] " " id
	edge[from, id] = 1
	next
}

/ [-+.?]+: / {
	from = $1
	sub(/^.* [-+.?]+: /, "")
	name[from] = $0
	if ($0 == "&di->sem")
		sem = from
}

END {
	levels = 7
	add(1, "&sb->s_type->i_mutex_key", sem)
	add(1, "&fc->killsb")
	add(2, "&mm->mmap_lock", sem)
	add(2, "vm_lock", sem)
	add(3, "sb_pagefaults")
	add(4, "mapping.invalidate_lock", sem)
	add(5, "fs_reclaim")
	add(6, "&di->sem")
	add(7, "&win->lock")
	print "1.." levels
	for (level = 1; level <= levels; level++) {
		why = locks[level] ? contradiction(level) : "it was not taken"
		if (why)
			print "# " why
		print (why ? "not ok " : "ok ") level " " text[level]
		bad += why != ""
	}
	exit bad > 0
}' /proc/lockdep
