#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A tree of small files: into the mount, back, compared, deleted.
#
# Rule: cp -a, tar, md5sum and rm work on many small files with DAX as on any
# file system.
# Wrong: a file that differs, an error, a stall, ranges or mappings that leak.
# Right: equal trees, equal sums, and an empty directory at the end.
# in-tree 7.3: passes.
#
# FUSE_DAX_FILES   number of files (120; scaled by FUSE_DAX_SCALE)

files=${FUSE_DAX_FILES:-120}
files=$((files * ${FUSE_DAX_SCALE:-100} / 100))
number=0
bad=0

result() {
	status=$?
	number=$((number + 1))
	if [ $status -eq 0 ]; then
		echo "ok $number $1"
	else
		echo "not ok $number $1"
		bad=1
	fi
}

echo "TAP version 13"
if [ -z "$FUSE_DAX_DIR" ]; then
	echo "1..0 # SKIP FUSE_DAX_DIR is not set"
	exit 4
fi
echo "1..8"

source=$(mktemp -d) || exit 1
mount=$(mktemp -d "$FUSE_DAX_DIR/tree.XXXXXX") || exit 1
trap 'rm -rf "$source" "$mount"' EXIT

# 1 byte to 200 KiB, of a pseudo-random stream; some empty, some with mode
# bits, some links.
make_tree() {
	i=0
	dd if=/dev/urandom of="$source/.stream" bs=4096 count=100 2>/dev/null
	for dir in 0 1 2 3 4 5 6 7 8 9; do
		mkdir -p "$source/d$dir/e0" "$source/d$dir/e1" "$source/d$dir/e2"
	done
	while [ $i -lt "$files" ]; do
		dir=$source/d$((i % 10))/e$((i % 3))
		size=$(((i * 7919 * 13) % 204800))
		tail -c +$((i * 37 + 1)) "$source/.stream" |
			head -c $size >"$dir/f$i" || return 1
		i=$((i + 1))
	done
	rm "$source/.stream"
	chmod 750 "$source/d1/e1/f1"
	ln -s d1/e1/f1 "$source/link"
	ln "$source/d2/e2/f2" "$source/d2/hard"
}

sums() {
	(cd "$1" && find . -type f | sort | xargs md5sum)
}

# mode, link count and size of each file
attributes() {
	(cd "$1" && find . -type f | sort | xargs ls -l | awk '{print $1, $2, $5}')
}

make_tree
sums "$source" >"$source.sums"
cp -a "$source" "$mount/copied"
result "copy into the mount"

sums "$mount/copied" | cmp -s - "$source.sums"
result "sums are those of the source"

diff -r "$source" "$mount/copied" >/dev/null
result "trees are equal"

[ "$(attributes "$source")" = "$(attributes "$mount/copied")" ]
result "modes, links and sizes are equal"

(cd "$mount" && tar cf - copied) | (cd "$mount" && mkdir out && tar xf - -C out)
sums "$mount/out/copied" | cmp -s - "$source.sums"
result "tar within the mount"

echo 3 >/proc/sys/vm/drop_caches 2>/dev/null
sums "$mount/out/copied" | cmp -s - "$source.sums"
result "sums after dropping caches"

rm -rf "$source/back"
cp -a "$mount/out/copied" "$source.back"
sums "$source.back" | cmp -s - "$source.sums"
result "copy out of the mount"

rm -rf "$mount/copied" "$mount/out" "$source.back" "$source.sums" &&
	[ -z "$(ls -A "$mount")" ]
result "delete"
exit $bad
