/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is mapped where in the window.
 *
 * VIRTIO lets a setup overlap what is mapped: it replaces that part. With stock
 * maps the front-end refuses overlaps and takes back a map only as it was made.
 * This table stands between the two.
 */
#ifndef VIRTIOFS_DAXD_DAX_MAP_H
#define VIRTIOFS_DAXD_DAX_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "dax/backing.h"
#include "dax/dax_file.h"
#include "passthrough/passthrough.h"
#include "vhost/map_slots.h"
#include "vhost/vu_backend.h"

/* log2 of the alignment of offsets, in files and in the window. */
#define DAX_MAP_ALIGNMENT 12

#define DAX_MAP_BUDGET 256u

#define DAX_MAP_MAX_BUDGET MAP_SLOTS

/*
 * If the window is one map: each part is a map of QEMU's process, which may
 * have 65,530, and there may be nothing between any two. The library says how many
 * it can show, which is less if there are more shares.
 */
#define DAX_MAP_ONE_MAP_BUDGET 30000

/*
 * Bytes that one setup may fill of a file with holes. A guest that asks for more is
 * told so, or a store to one byte of a file might take space for all of it. No
 * guest that asks for less at a time has to know.
 */
#define DAX_MAP_FILL (UINT64_C(2) << 20)

/**
 * struct dax_map_options - what the table works with
 * @window: bytes
 * @budget: most maps at a time
 * @one_map_budget: likewise if the window is one map
 * @slots: what other devices of the machine leave of stock maps, or NULL
 * @share_readonly: see dax_file_open()
 * @pt: knows the nodes
 * @backing: makes descriptors for stock maps
 * @backend: the front-end
 */
struct dax_map_options {
	uint64_t window;
	unsigned int budget;
	unsigned int one_map_budget;
	struct map_slots *slots;
	bool share_readonly;
	struct pt *pt;
	struct backing *backing;
	struct vu_backend *backend;
};

/**
 * struct dax_map_stats - what the table has done
 * @window: size of the window, bytes
 * @bytes: what is shown in it now
 * @live: maps now
 * @peak: most maps so far
 * @setups: setups that succeeded
 * @errors: setups that failed
 * @kept: setups that found what they asked for mapped already
 * @splits: maps that were cut by a setup or remove of a part
 * @removes: parts removed
 * @over_budget: setups refused for the number of maps
 * @upgrades: maps for reading that were replaced by such for writing
 * @lost: pages that the front-end could not have from their files
 * @regions_made: regions of memory that the front-end has made for all of this
 * @regions_removed: those that it has removed, but for resets of the device
 */
struct dax_map_stats {
	uint64_t window;
	uint64_t bytes;
	uint64_t live;
	uint64_t peak;
	uint64_t setups;
	uint64_t errors;
	uint64_t kept;
	uint64_t splits;
	uint64_t removes;
	uint64_t over_budget;
	uint64_t upgrades;
	uint64_t lost;
	uint64_t regions_made;
	uint64_t regions_removed;
};

struct dax_map;

/**
 * dax_map_new - an empty table
 * @opts: what it works with
 *
 * Return: NULL without memory.
 */
struct dax_map *dax_map_new(const struct dax_map_options *opts);

/**
 * dax_map_free - forget everything; tells the front-end nothing
 * @map: the table
 */
void dax_map_free(struct dax_map *map);

/**
 * dax_map_one_map - whether the window is one map
 * @map: the table
 *
 * If it is, a setup replaces what it covers, and a remove may be for a part of
 * what is mapped: for a guest that accesses the window meanwhile nothing else
 * changes, and nothing is ever missing. Else what overlaps is taken away first,
 * and what is left of it shown again.
 */
bool dax_map_one_map(const struct dax_map *map);

/**
 * dax_map_setup - show a part of a file
 * @map: the table
 * @nodeid: of the file, as the guest said
 * @file_offset: where in the file
 * @len: bytes, any number; counts in whole pages
 * @window_offset: where in the window
 * @write: the guest will write
 *
 * All arguments are the guest's and are checked here. May wait for the
 * front-end.
 *
 * What is there is replaced, for the guest at once if the window is one map. A
 * setup that fails may leave nothing there, or it is not known what is: then that
 * part stays in the table until something else could be shown there, or nothing.
 *
 * Return: 0; -EINVAL for what is misaligned or outside; -ENOMEM over budget or
 * if the front-end refuses; -E2BIG if there are holes in more than DAX_MAP_FILL
 * bytes, which a guest that stores there would need space for; what opening the
 * file says; -ENOSPC, -EDQUOT.
 */
int dax_map_setup(struct dax_map *map, uint64_t nodeid, uint64_t file_offset,
		  uint64_t len, uint64_t window_offset, bool write);

/**
 * dax_map_check - whether a part lies in the window and is aligned
 * @map: the table
 * @window_offset: where in the window
 * @len: bytes
 */
bool dax_map_check(const struct dax_map *map, uint64_t window_offset,
		   uint64_t len);

/**
 * dax_map_remove - show nothing in a part of the window
 * @map: the table
 * @window_offset: where in the window
 * @len: bytes
 *
 * What is mapped beside it stays. Nothing there is no error.
 *
 * Return: 0; -EINVAL as above; -ENOMEM if what is left would be over budget; with
 * one map what vu_backend_unmap() said, and then all is as it was.
 */
int dax_map_remove(struct dax_map *map, uint64_t window_offset, uint64_t len);

/**
 * dax_map_drop - remove all
 * @map: the table
 */
void dax_map_drop(struct dax_map *map);

/**
 * dax_map_forget - the device was reset, by which the front-end drops all
 * @map: the table
 *
 * What was mapped since dax_map_stopped() it has kept; that is removed.
 */
void dax_map_forget(struct dax_map *map);

/**
 * dax_map_stopped - the front-end stops the device, perhaps to reset it
 * @map: the table
 *
 * Does not wait for anything.
 */
void dax_map_stopped(struct dax_map *map);

/**
 * dax_map_reserve - a file changes under its maps: keep stores to them safe
 * @map: the table
 * @key: the file
 * @size: its size will be this, if that is more
 *
 * Does not wait for the front-end.
 *
 * Return: as dax_file_reserve().
 */
int dax_map_reserve(struct dax_map *map, const struct pt_key *key,
		    uint64_t size);

/**
 * dax_map_refresh - a file was written to: copies of it in the window follow
 * @map: the table
 * @key: the file
 * @offset: first byte that may have changed
 *
 * Does not wait for the front-end.
 */
void dax_map_refresh(struct dax_map *map, const struct pt_key *key,
		     uint64_t offset);

/**
 * dax_map_shown - whether a part of a file is in the window
 * @map: the table
 * @key: the file
 * @from: first byte of the part, which goes on for ever
 *
 * Does not wait for the front-end.
 */
bool dax_map_shown(struct dax_map *map, const struct pt_key *key,
		   uint64_t from);

/**
 * dax_map_take_reports - take what the library in the front-end has reported
 * @map: the table
 *
 * Pages which it could not have from their files are counted, and logged once. The
 * guest is told of each.
 * Does not wait for the front-end. To be called when vu_window_reports() is
 * readable.
 */
void dax_map_take_reports(struct dax_map *map);

/**
 * dax_map_lost - whether stores to a file may be lost
 * @map: the table
 * @key: the file
 * @to: DAX_LOST_*, to all of whom it counts as told
 *
 * That is, whether it was shown for writing, and zeros took the place of a page
 * of it, and that was not told. Does not wait for the front-end.
 */
bool dax_map_lost(struct dax_map *map, const struct pt_key *key,
		  unsigned int to);

/**
 * dax_map_any_lost - whether stores to any file may be lost, since this was asked
 * @map: the table
 *
 * It still is to be told of each file.
 */
bool dax_map_any_lost(struct dax_map *map);

void dax_map_get_stats(struct dax_map *map, struct dax_map_stats *stats);

#endif
