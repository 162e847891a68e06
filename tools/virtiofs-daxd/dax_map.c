// SPDX-License-Identifier: GPL-2.0-or-later
#include "dax_map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dax_file.h"
#include "log.h"
#include "util.h"

#define PAGE_BYTES (UINT64_C(1) << DAX_MAP_ALIGNMENT)

/**
 * struct dax_region - one map of the front-end
 * @start: where in the window
 * @len: bytes
 * @offset: where in the file
 * @file: the file, referenced
 * @write: the guest asked for write access to some of it
 * @stops: stops of the device before the front-end's answer came
 */
struct dax_region {
	uint64_t start;
	uint64_t len;
	uint64_t offset;
	struct dax_file *file;
	bool write;
	unsigned int stops;
};

/**
 * struct dax_map - the table
 * @opts: constant
 * @order: held by who changes the table, also while the front-end works, so that
 *	it sees the changes in their order. Never taken by the thread which
 *	serves the front-end, nor by a request which that may wait for.
 * @lock: taken after @order, and never while the front-end works; protects what
 *	follows, and references on files
 * @stops: stops of the device; atomic, changed without a lock
 * @copies: entries of @regions that show a copy; atomic
 * @stats: counters
 * @count: entries of @regions
 * @regions: by start; room for @opts.budget
 */
struct dax_map {
	struct dax_map_options opts;
	pthread_mutex_t order;
	pthread_mutex_t lock;
	unsigned int stops;
	unsigned int copies;
	struct dax_map_stats stats;
	unsigned int count;
	struct dax_region regions[];
};

static uint64_t region_end(const struct dax_region *region)
{
	return region->start + region->len;
}

struct dax_map *dax_map_new(const struct dax_map_options *opts)
{
	struct dax_map *map;

	map = calloc(1, sizeof(*map) + opts->budget * sizeof(map->regions[0]));
	if (!map)
		return NULL;
	map->opts = *opts;
	pthread_mutex_init(&map->order, NULL);
	pthread_mutex_init(&map->lock, NULL);
	return map;
}

static void file_put(struct dax_map *map, struct dax_file *file)
{
	bool last;

	pthread_mutex_lock(&map->lock);
	last = !--file->refs;
	pthread_mutex_unlock(&map->lock);
	if (last)
		dax_file_close(file);
}

void dax_map_free(struct dax_map *map)
{
	for (unsigned int i = 0; i < map->count; i++)
		file_put(map, map->regions[i].file);
	pthread_mutex_destroy(&map->lock);
	pthread_mutex_destroy(&map->order);
	free(map);
}

/* The first region that ends behind @pos. */
static unsigned int map_find(const struct dax_map *map, uint64_t pos)
{
	unsigned int i = 0;

	while (i < map->count && region_end(&map->regions[i]) <= pos)
		i++;
	return i;
}

static void count_copies(struct dax_map *map, const struct dax_region *region,
			 int by)
{
	if (region->file->copy)
		__atomic_add_fetch(&map->copies, by, __ATOMIC_RELAXED);
}

/* Takes a reference on the region's file. */
static void map_insert(struct dax_map *map, const struct dax_region *region)
{
	unsigned int i;

	pthread_mutex_lock(&map->lock);
	i = map_find(map, region->start);
	memmove(map->regions + i + 1, map->regions + i,
		(map->count - i) * sizeof(*region));
	map->regions[i] = *region;
	region->file->refs++;
	count_copies(map, region, 1);
	map->count++;
	map->stats.live = map->count;
	if (map->stats.peak < map->count)
		map->stats.peak = map->count;
	pthread_mutex_unlock(&map->lock);
}

/* The reference on its file passes to the caller. */
static struct dax_region map_delete(struct dax_map *map, unsigned int i)
{
	struct dax_region region;

	pthread_mutex_lock(&map->lock);
	region = map->regions[i];
	count_copies(map, &region, -1);
	map->count--;
	memmove(map->regions + i, map->regions + i + 1,
		(map->count - i) * sizeof(map->regions[0]));
	map->stats.live = map->count;
	pthread_mutex_unlock(&map->lock);
	return region;
}

/* Regions there will be once [start, end) is clear. */
static unsigned int count_without(const struct dax_map *map, uint64_t start,
				  uint64_t end)
{
	unsigned int count = map->count;

	for (unsigned int i = map_find(map, start);
	     i < map->count && map->regions[i].start < end; i++) {
		const struct dax_region *region = &map->regions[i];

		count += (region->start < start) + (region_end(region) > end);
		count--;
	}
	return count;
}

/* What was reserved for maps that are not there, or no more, is given back. */
static void map_settle(struct dax_map *map)
{
	map_slots_trim(map->opts.slots, map->count);
}

/* Before anything changes: whether there may be this many maps. */
static int map_afford(struct dax_map *map, unsigned int count)
{
	int err = -ENOMEM;

	if (count <= map->opts.budget)
		err = map_slots_reserve(map->opts.slots, count);
	if (err)
		map_settle(map);
	return err;
}

static int region_show(struct dax_map *map, struct dax_region *region)
{
	int err;

	err = vu_backend_map(map->opts.backend, region->file->shown,
			     region->offset, region->start, region->len,
			     region->file->writable);
	region->stops = __atomic_load_n(&map->stops, __ATOMIC_ACQUIRE);
	return err;
}

/* Shows again what is left of a region between two places of the window. */
static void region_keep(struct dax_map *map, const struct dax_region *old,
			uint64_t start, uint64_t end)
{
	struct dax_region part = {
		.start = start,
		.len = end - start,
		.offset = old->offset + (start - old->start),
		.file = old->file,
		.write = old->write,
	};
	int err;

	if (start >= end)
		return;
	map->stats.splits++;
	err = region_show(map, &part);
	if (err) {
		log_err("window: what was left of a map is lost: %s",
			strerror(-err));
		return;
	}
	map_insert(map, &part);
}

/* Takes everything out of [start, end) of the window. */
static void map_clear(struct dax_map *map, uint64_t start, uint64_t end)
{
	unsigned int i;

	while ((i = map_find(map, start)) < map->count &&
	       map->regions[i].start < end) {
		struct dax_region old = map_delete(map, i);
		int err;

		err = vu_backend_unmap(map->opts.backend, old.start, old.len);
		if (err)
			log_debug("window: a map was gone already: %s",
				  strerror(-err));
		region_keep(map, &old, old.start, start);
		region_keep(map, &old, end, region_end(&old));
		file_put(map, old.file);
	}
}

/* The region that shows all of another one already, or NULL. */
static struct dax_region *map_covers(struct dax_map *map,
				     const struct dax_region *region)
{
	unsigned int i = map_find(map, region->start);
	struct dax_region *old = &map->regions[i];

	if (i < map->count && old->file == region->file &&
	    old->start <= region->start &&
	    region_end(old) >= region_end(region) &&
	    old->offset + (region->start - old->start) == region->offset)
		return old;
	return NULL;
}

/* All maps of a file are writable, if it is: what is there can stay. */
static bool map_keep(struct dax_map *map, const struct dax_region *region)
{
	struct dax_region *old;

	pthread_mutex_lock(&map->lock);
	old = map_covers(map, region);
	if (old) {
		old->write |= region->write;
		map->stats.kept++;
	}
	pthread_mutex_unlock(&map->lock);
	return old;
}

static int map_install(struct dax_map *map, struct dax_region *region)
{
	uint64_t end = region_end(region);
	int err;

	if (map_keep(map, region))
		return 0;
	err = map_afford(map, count_without(map, region->start, end) + 1);
	if (err) {
		map->stats.over_budget++;
		return err;
	}
	map_clear(map, region->start, end);
	err = region_show(map, region);
	if (!err)
		map_insert(map, region);
	map_settle(map);
	return err;
}

static bool is_file(const struct dax_file *file, const struct pt_key *key)
{
	return file->key.dev == key->dev && file->key.ino == key->ino;
}

/* A file that is mapped already: one descriptor serves all its maps. */
static struct dax_file *map_find_file(struct dax_map *map,
				      const struct pt_key *key, bool write)
{
	for (unsigned int i = 0; i < map->count; i++) {
		struct dax_file *file = map->regions[i].file;

		if (is_file(file, key) && !file->outdated &&
		    (file->writable || !write)) {
			file->refs++;
			return file;
		}
	}
	return NULL;
}

/* A file can be written to by now: its copies miss what is stored to other maps. */
static void map_retire_copies(struct dax_map *map, const struct pt_key *key)
{
	pthread_mutex_lock(&map->lock);
	for (unsigned int i = 0; i < map->count; i++) {
		struct dax_file *file = map->regions[i].file;

		if (is_file(file, key) && file->copy)
			file->outdated = true;
	}
	pthread_mutex_unlock(&map->lock);
}

static int map_get_file(struct dax_map *map, uint64_t nodeid, bool write,
			struct dax_file **file)
{
	struct pt_key key;
	int err;

	err = pt_node_key(map->opts.pt, nodeid, &key);
	if (err)
		return err;
	pthread_mutex_lock(&map->lock);
	*file = map_find_file(map, &key, write);
	pthread_mutex_unlock(&map->lock);
	if (*file)
		return 0;
	err = dax_file_open(map->opts.pt, map->opts.backing, nodeid, write,
			    map->opts.share_readonly, file);
	if (!err && (*file)->writable)
		map_retire_copies(map, &key);
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

static int region_reserve(const struct dax_region *region, uint64_t size)
{
	return dax_file_reserve(region->file, region->offset, region->len,
				size, region->write);
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
	err = region_reserve(region, 0);
	if (!err) {
		pthread_mutex_lock(&map->order);
		err = map_install(map, region);
		pthread_mutex_unlock(&map->order);
	}
	file_put(map, region->file);
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
	err = map_afford(map, count_without(map, window_offset, end));
	if (!err) {
		map_clear(map, window_offset, end);
		map_settle(map);
		map->stats.removes++;
	}
	pthread_mutex_unlock(&map->order);
	return err;
}

void dax_map_drop(struct dax_map *map)
{
	pthread_mutex_lock(&map->order);
	map_clear(map, 0, map->opts.window);
	map_settle(map);
	pthread_mutex_unlock(&map->order);
}

void dax_map_forget(struct dax_map *map)
{
	unsigned int i, stops;

	pthread_mutex_lock(&map->order);
	stops = __atomic_load_n(&map->stops, __ATOMIC_ACQUIRE);
	for (i = map->count; i-- > 0; )
		if (map->regions[i].stops != stops)
			file_put(map, map_delete(map, i).file);
	map_clear(map, 0, map->opts.window);
	map_settle(map);
	pthread_mutex_unlock(&map->order);
}

void dax_map_stopped(struct dax_map *map)
{
	__atomic_add_fetch(&map->stops, 1, __ATOMIC_RELEASE);
}

/* A copy of the first map of a file at @pos of the window or behind it. */
static bool map_next_of_file(struct dax_map *map, const struct pt_key *key,
			     uint64_t pos, struct dax_region *region)
{
	unsigned int i;
	bool found;

	pthread_mutex_lock(&map->lock);
	i = map_find(map, pos);
	while (i < map->count && !is_file(map->regions[i].file, key))
		i++;
	found = i < map->count;
	if (found) {
		*region = map->regions[i];
		region->file->refs++;
	}
	pthread_mutex_unlock(&map->lock);
	return found;
}

int dax_map_reserve(struct dax_map *map, const struct pt_key *key,
		    uint64_t size)
{
	struct dax_region region;
	uint64_t pos = 0;
	int err = 0;

	while (!err && map_next_of_file(map, key, pos, &region)) {
		err = region_reserve(&region, size);
		pos = region_end(&region);
		file_put(map, region.file);
	}
	return err;
}

void dax_map_refresh(struct dax_map *map, const struct pt_key *key,
		     uint64_t offset)
{
	const struct dax_file *done = NULL;
	struct dax_region region;
	uint64_t pos = 0;

	if (!__atomic_load_n(&map->copies, __ATOMIC_RELAXED))
		return;
	while (map_next_of_file(map, key, pos, &region)) {
		/* As a whole: what is not mapped now may be once more. */
		if (region.file != done)
			dax_file_refresh(region.file, offset);
		done = region.file;
		pos = region_end(&region);
		file_put(map, region.file);
	}
}

void dax_map_get_stats(struct dax_map *map, struct dax_map_stats *stats)
{
	pthread_mutex_lock(&map->lock);
	*stats = map->stats;
	pthread_mutex_unlock(&map->lock);
}
