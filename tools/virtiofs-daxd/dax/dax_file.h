/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of which parts are shown in the window: the descriptor which the
 * front-end maps, and the space behind the maps.
 */
#ifndef VIRTIOFS_DAXD_DAX_FILE_H
#define VIRTIOFS_DAXD_DAX_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "dax/backing.h"
#include "passthrough/passthrough.h"

/* To whom it is told that stores are lost: who syncs a file, and who closes it. */
#define DAX_LOST_SYNC 1u
#define DAX_LOST_CLOSE 2u
#define DAX_LOST_ALL (DAX_LOST_SYNC | DAX_LOST_CLOSE)

/**
 * struct dax_file - a file that can be mapped
 * @key: which file it is
 * @nodeid: as what the guest knew it last; protected as @refs
 * @refs: users; protected by whoever keeps the file
 * @writable: may be mapped for writing; all its maps are, see dax_file_open()
 * @copy: @shown is a copy
 * @outdated: a copy of what the guest may since have stored to: not to be mapped
 *	again; protected as @refs
 * @lost: stores to it may be lost, and to whom that was not told; protected as @refs
 * @zeros: regions of it that still lose what is stored to them; protected as @refs
 * @volatile_holes: even reading a hole takes space (tmpfs)
 * @unshares: what it shares with others can be made its own (xfs)
 * @cow: each store takes new space (btrfs), see dax_file_may_store()
 * @fd: the file itself; may be -1 unless @writable
 * @shown: descriptor for the front-end; may be @fd
 * @watch: what watches it, or NULL
 * @guarded: what guards it, or NULL
 * @next: for whoever keeps the file, as is what follows
 * @regions: its maps
 */
struct dax_file {
	struct pt_key key;
	uint64_t nodeid;
	unsigned int refs;
	bool writable;
	bool copy;
	bool outdated;
	unsigned int lost;
	unsigned int zeros;
	bool volatile_holes;
	bool unshares;
	bool cow;
	int fd;
	int shown;
	struct watch *watch;
	struct guarded *guarded;
	struct dax_file *next;
	struct dax_region *regions;
};

/**
 * dax_file_open - prepare a file for maps
 * @pt: where the node is known
 * @backing: makes the descriptor; NULL: the front-end maps the file itself
 * @nodeid: the node, as the guest said
 * @write: it must be writable
 * @share_readonly: for a file that may not be written show the file itself all
 *	the same, although the front-end lets the guest write to it
 * @file: the result, with one reference
 *
 * With @backing a file is opened for writing if that is possible at all: the
 * front-end maps everything for writing, and a map that is to be read now and
 * written later can stay as it is. A file that nobody may write is shown as a
 * copy. Without @backing it is opened for writing only if @write, or on an
 * overlay.
 *
 * Return: 0 or a negative errno.
 */
int dax_file_open(struct pt *pt, struct backing *backing, uint64_t nodeid,
		  bool write, bool share_readonly, struct dax_file **file);

/**
 * dax_file_close - end of a file without users
 * @file: the file
 */
void dax_file_close(struct dax_file *file);

/**
 * dax_file_may_store - whether there can be space for stores to a map
 * @file: the file
 * @offset: first byte of the part that is to be mapped for writing
 * @len: its bytes
 *
 * On btrfs a store takes new space, and there is no way to reserve that, unless the
 * file is written in place (chattr +C) and has what is there for itself.
 *
 * Return: 0; -EACCES if the guest is to write by request.
 */
int dax_file_may_store(const struct dax_file *file, uint64_t offset,
		       uint64_t len);

/**
 * dax_file_reserve - make sure that no store to a map can fail
 * @file: the file
 * @offset: first byte of the part that is mapped
 * @len: its bytes
 * @size: what the file's size will be, if that is more than it is now; what lies
 *	past the end is left alone
 * @most: bytes that may be filled
 * @write: the guest may write there
 *
 * A store which finds no space is a SIGBUS for the front-end, and the end of the
 * guest. That can be one to a hole, or to what the file shares with others
 * (reflinks). So holes are filled before they are shown, and on xfs blocks that are
 * shared are copied.
 *
 * Return: 0 or a negative errno: ENOSPC, EDQUOT, ...; -E2BIG if there are holes in
 * more than @most bytes.
 */
int dax_file_reserve(const struct dax_file *file, uint64_t offset,
		     uint64_t len, uint64_t size, uint64_t most, bool write);

/**
 * dax_file_refresh - read a copy again, where it is used next
 * @file: the file; nothing is done if it is no copy
 * @offset: first byte that is not as it was
 */
void dax_file_refresh(const struct dax_file *file, uint64_t offset);

#endif
