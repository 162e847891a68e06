// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dax/dax_map_i.h"
#include "guard/watch.h"
#include "host/log.h"
#include "host/util.h"

#define PAGE_BYTES (UINT64_C(1) << DAX_MAP_ALIGNMENT)

struct dax_map *dax_map_new(const struct dax_map_options *opts)
{
	struct dax_map *map = calloc(1, sizeof(*map));

	if (!map)
		return NULL;
	map->opts = *opts;
	map->unknown = (struct dax_file){ .refs = 1, .fd = -1, .shown = -1 };
	pthread_mutex_init(&map->order, NULL);
	pthread_mutex_init(&map->lock, NULL);
	return map;
}

bool dax_map_one_map(const struct dax_map *map)
{
	return one_map(map);
}

static unsigned int budget(const struct dax_map *map)
{
	if (!one_map(map))
		return map->opts.budget;
	return min(map->opts.one_map_budget,
		   vu_backend_maps(map->opts.backend));
}

/* A file that is mapped already is used: one descriptor serves all maps. */
static int map_get_file(struct dax_map *map, uint64_t nodeid, bool write,
			struct dax_file **file)
{
	struct backing *backing = one_map(map) ? NULL : map->opts.backing;
	struct pt_key key;
	int err;

	err = pt_node_key(map->opts.pt, nodeid, &key);
	if (err)
		return err;
	pthread_mutex_lock(&map->lock);
	*file = dax_files_get(&map->files, &key, write);
	if (*file)
		(*file)->nodeid = nodeid;
	pthread_mutex_unlock(&map->lock);
	if (*file) {
		watch_rename((*file)->watch, nodeid);
		return 0;
	}
	err = dax_file_open(map->opts.pt, backing, nodeid, write,
			    map->opts.share_readonly, file);
	if (err)
		return err;
	pthread_mutex_lock(&map->lock);
	dax_files_add(&map->files, *file);
	if ((*file)->writable)
		dax_files_retire_copies(&map->files, &key);
	pthread_mutex_unlock(&map->lock);
	return 0;
}

void dax_map_free(struct dax_map *map)
{
	while (map->table.count)
		dax_file_put(map, dax_show_delete(map, map->table.count - 1).file);
	free(map->table.regions);
	free(map->files.lost);
	pthread_mutex_destroy(&map->lock);
	pthread_mutex_destroy(&map->order);
	free(map);
}

/* What was reserved for maps that are not there, or no more, is given back. */
static void map_settle(struct dax_map *map)
{
	map_slots_trim(map->opts.slots, map->table.count);
}

/* Before anything changes: whether there may be this many maps. */
static int map_afford(struct dax_map *map, unsigned int count)
{
	int err = -ENOMEM;

	if (count <= budget(map))
		err = map_slots_reserve(map->opts.slots, count);
	if (err)
		map_settle(map);
	return err;
}

/* The region that shows all of another one already, or NULL. */
static struct dax_region *map_covers(struct dax_map *map,
				     const struct dax_region *region)
{
	unsigned int i = dax_table_find(&map->table, region->start);
	struct dax_region *old;

	if (i == map->table.count)
		return NULL;
	old = map->table.regions[i];
	if (old->file == region->file && old->start <= region->start &&
	    region_end(old) >= region_end(region) &&
	    old->offset + (region->start - old->start) == region->offset)
		return old;
	return NULL;
}

/*
 * All maps of a file are writable, if it is: what is there can stay. If the
 * window is one map, to replace it is cheap, and brings back what was lost.
 */
static bool map_keep(struct dax_map *map, const struct dax_region *region)
{
	struct dax_region *old;

	if (one_map(map))
		return false;
	pthread_mutex_lock(&map->lock);
	old = map_covers(map, region);
	if (old) {
		old->write |= region->write;
		map->stats.kept++;
	}
	pthread_mutex_unlock(&map->lock);
	return old;
}

/* Where it is to be there is nothing, or what it replaces. */
static int map_show(struct dax_map *map, struct dax_region *region)
{
	int err = one_map(map) ? dax_upgrade(map, region) : 0;
	bool shown;

	err = err ?: dax_region_show(map, region);
	shown = !err || one_map(map);
	if (!err && !dax_show_insert(map, region))
		err = -ENOMEM;
	if (err && shown)
		dax_show_nothing(map, region->start, region->len);
	return err;
}

static int map_install(struct dax_map *map, struct dax_region *region)
{
	uint64_t end = region_end(region);
	int err;

	if (map_keep(map, region))
		return 0;
	err = map_afford(map, dax_table_count_without(&map->table,
						      region->start, end) + 1);
	err = err ?: dax_show_cut(map, region->start, end);
	if (err) {
		map->stats.over_budget++;
		return err;
	}
	dax_show_clear(map, region->start, end);
	err = map_show(map, region);
	map_settle(map);
	return err;
}

static bool page_round(uint64_t *len)
{
	uint64_t end;

	if (!*len || !range_end(*len, PAGE_BYTES - 1, &end))
		return false;
	*len = end & ~(PAGE_BYTES - 1);
	return true;
}

bool dax_map_check(const struct dax_map *map, uint64_t window_offset,
		   uint64_t len)
{
	uint64_t end;

	return page_round(&len) && !(window_offset & (PAGE_BYTES - 1)) &&
	       range_end(window_offset, len, &end) && end <= map->opts.window;
}

static int region_reserve(const struct dax_region *region, uint64_t size,
			  uint64_t most)
{
	return dax_file_reserve(region->file, region->offset, region->len,
				size, most, region->write);
}

static int map_try_setup(struct dax_map *map, uint64_t nodeid,
			 struct dax_region *region)
{
	uint64_t end;
	int err;

	if (!dax_map_check(map, region->start, region->len) ||
	    !page_round(&region->len) || region->offset & (PAGE_BYTES - 1) ||
	    !range_end(region->offset, region->len, &end) || end > INT64_MAX)
		return -EINVAL;
	err = map_get_file(map, nodeid, region->write, &region->file);
	if (err)
		return err;
	if (region->write)
		err = dax_file_may_store(region->file, region->offset,
					 region->len);
	err = err ?: region_reserve(region, 0, DAX_MAP_FILL);
	if (!err) {
		pthread_mutex_lock(&map->order);
		err = map_install(map, region);
		pthread_mutex_unlock(&map->order);
	}
	dax_file_put(map, region->file);
	return err;
}

int dax_map_setup(struct dax_map *map, uint64_t nodeid, uint64_t file_offset,
		  uint64_t len, uint64_t window_offset, bool write)
{
	struct dax_region region = {
		.start = window_offset,
		.len = len,
		.offset = file_offset,
		.write = write,
	};
	int err;

	err = map_try_setup(map, nodeid, &region);
	pthread_mutex_lock(&map->lock);
	if (err)
		map->stats.errors++;
	else
		map->stats.setups++;
	pthread_mutex_unlock(&map->lock);
	log_debug("window: setup node %lu offset %#lx len %#lx at %#lx%s: %s",
		  nodeid, file_offset, len, window_offset,
		  write ? " writable" : "", err ? strerror(-err) : "done");
	return err;
}

int dax_map_remove(struct dax_map *map, uint64_t window_offset, uint64_t len)
{
	uint64_t end;
	int err;

	if (!dax_map_check(map, window_offset, len) || !page_round(&len))
		return -EINVAL;
	end = window_offset + len;
	pthread_mutex_lock(&map->order);
	err = map_afford(map, dax_table_count_without(&map->table,
						      window_offset, end)) ?:
	      dax_show_cut(map, window_offset, end) ?:
	      dax_show_remove(map, window_offset, end);
	map_settle(map);
	map->stats.removes += !err;
	pthread_mutex_unlock(&map->order);
	return err;
}

/* Without a library nothing can be taken out, nor be shown: there is no session. */
static void map_remove_all(struct dax_map *map)
{
	if (dax_show_remove(map, 0, map->opts.window) == -ENOTCONN)
		dax_show_clear(map, 0, map->opts.window);
}

void dax_map_drop(struct dax_map *map)
{
	pthread_mutex_lock(&map->order);
	map_remove_all(map);
	map_settle(map);
	pthread_mutex_unlock(&map->order);
}

void dax_map_forget(struct dax_map *map)
{
	unsigned int i, stops;

	pthread_mutex_lock(&map->order);
	vu_backend_reset(map->opts.backend);
	stops = vu_backend_stops(map->opts.backend);
	for (i = map->table.count; !one_map(map) && i-- > 0; )
		if (map->table.regions[i]->stops != stops)
			dax_file_put(map, dax_show_delete(map, i).file);
	map_remove_all(map);
	map_settle(map);
	pthread_mutex_unlock(&map->order);
}

void dax_map_stopped(struct dax_map *map)
{
	vu_backend_stopped(map->opts.backend);
}

int dax_map_reserve(struct dax_map *map, const struct pt_key *key,
		    uint64_t size)
{
	struct dax_region *copies = NULL;
	int count, err = 0;

	pthread_mutex_lock(&map->lock);
	count = dax_files_copy_regions(&map->files, key, &copies);
	pthread_mutex_unlock(&map->lock);
	for (int i = 0; i < count; i++) {
		if (!err)
			err = region_reserve(&copies[i], size, UINT64_MAX);
		dax_file_put(map, copies[i].file);
	}
	free(copies);
	return count < 0 ? count : err;
}

void dax_map_refresh(struct dax_map *map, const struct pt_key *key,
		     uint64_t offset)
{
	struct dax_region *copies = NULL;
	int count;

	if (!__atomic_load_n(&map->copies, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&map->lock);
	count = dax_files_copy_regions(&map->files, key, &copies);
	pthread_mutex_unlock(&map->lock);
	for (int i = 0; i < count; i++) {
		/* As a whole: what is not mapped now may be once more. */
		if (!i || copies[i].file != copies[i - 1].file)
			dax_file_refresh(copies[i].file, offset);
		dax_file_put(map, copies[i].file);
	}
	free(copies);
}

bool dax_map_shown(struct dax_map *map, const struct pt_key *key,
		   uint64_t from)
{
	struct dax_file *file;
	bool shown = false;

	pthread_mutex_lock(&map->lock);
	file = dax_files_first(&map->files, key);
	for (; file && !shown; file = dax_files_next(file))
		for (struct dax_region *r = file->regions; r; r = r->next)
			shown |= r->offset + r->len > from;
	pthread_mutex_unlock(&map->lock);
	return shown;
}

void dax_map_get_stats(struct dax_map *map, struct dax_map_stats *stats)
{
	pthread_mutex_lock(&map->lock);
	*stats = map->stats;
	for (unsigned int i = 0; i < map->table.count; i++)
		stats->bytes += map->table.regions[i]->len;
	pthread_mutex_unlock(&map->lock);
	stats->window = map->opts.window;
	stats->regions_made = vu_backend_regions_made(map->opts.backend);
	stats->regions_removed = vu_backend_regions_removed(map->opts.backend);
}
