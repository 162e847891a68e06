# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The series as files, and the commits it stands for. Source it after lib.sh.
#
# series/order names the topics, one a line, in mail order. series/TOPIC.msg is
# the commit message, then a line `---`, then what the patch takes:
#	own: PATH	a file of ours, at the same path here and in the kernel;
#			PATH/ is all files of a directory
#	edit: FILE	hunks to upstream files, relative to what comes before
# An owned file is taken by one topic only. The commits in build/linux carry
# `Topic: NAME` as a last trailer, so that they find their way back; `make
# series` takes it out.

ID=(GIT_AUTHOR_NAME=virtiofs-dax GIT_AUTHOR_EMAIL=virtiofs-dax@localhost
	GIT_COMMITTER_NAME=virtiofs-dax GIT_COMMITTER_EMAIL=virtiofs-dax@localhost
	GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z)

tgit() { git -C "$TREE" "$@"; }

series_topics() {
	[ ! -e "$TOP/series/order" ] || grep -vE '^(#|$)' "$TOP/series/order" || true
}

# series_message TOPIC, series_takes TOPIC own|edit
series_message() {
	[ -e "$TOP/series/$1.msg" ] || die "series/order names $1: no series/$1.msg"
	sed '/^---$/,$d' "$TOP/series/$1.msg"
}

series_takes() { sed "1,/^---\$/d; s/^$2: *//; t; d" "$TOP/series/$1.msg"; }

# series_files TOPIC: its owned files, directories resolved
series_files() {
	local path
	series_takes "$1" own | while read -r path; do
		case $path in
		*/) git -C "$TOP" ls-files -co --exclude-standard "$path" | sort ;;
		*) echo "$path" ;;
		esac
	done
}

all_edits() {
	local topic
	for topic in $(series_topics); do series_takes "$topic" edit; done
}

# Every upstream file that the series changes or replaces.
edited_upstream() {
	local edit topic
	{
		for edit in $(all_edits); do
			sed -n 's,^--- a/,,p' "$TOP/$edit"
		done
		for topic in $(series_topics); do series_files "$topic"; done |
			while read -r f; do [ ! -e "$BASE/$f" ] || echo "$f"; done
	} | sort -u
}

index_own() {
	local f mode
	series_files "$1" | while read -r f; do
		[ -f "$TOP/$f" ] || die "series/$1.msg takes $f, which is not there"
		mode=100644
		[ ! -x "$TOP/$f" ] || mode=100755
		printf '%s %s\t%s\n' $mode \
			"$(tgit hash-object -w --no-filters "$TOP/$f")" "$f"
	done | tgit update-index --add --index-info
}

index_edits() {
	local edit
	for edit in $(series_takes "$1" edit); do
		[ -e "$TOP/$edit" ] || die "series/$1.msg takes $edit, which is not there"
		[ ! -s "$TOP/$edit" ] ||
			tgit apply --cached --whitespace=nowarn "$TOP/$edit" >&2 ||
			die "$edit does not apply to $(cat "$CACHE/base/version")"
	done
}

# series_commit: make the commits without touching a file; print the last one
series_commit() {
	local topic tip=base
	export GIT_INDEX_FILE=$TREE/.git/series.index
	tgit read-tree base
	for topic in $(series_topics); do
		index_own "$topic"
		index_edits "$topic"
		tip=$({ series_message "$topic" && echo "Topic: $topic"; } |
			env "${ID[@]}" git -C "$TREE" commit-tree -p "$tip" "$(tgit write-tree)")
	done
	tgit rev-parse "$tip^{commit}"
}

# tree_changed: whether build/linux has what the files here do not
tree_changed() {
	[ "$(tgit rev-parse HEAD)" != "$(tgit rev-parse refs/made)" ] ||
		[ -n "$(tgit status --porcelain)" ]
}
