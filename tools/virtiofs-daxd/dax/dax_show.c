// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the window shows and what the table has of it, changed together.
 */
#include <errno.h>
#include <string.h>

#include "dax/dax_map_i.h"
#include "guard/guard.h"
#include "host/log.h"

void dax_file_put(struct dax_map *map, struct dax_file *file)
{
	bool last;

	pthread_mutex_lock(&map->lock);
	last = !--file->refs;
	if (last)
		dax_files_remove(&map->files, file);
	pthread_mutex_unlock(&map->lock);
	if (last)
		dax_file_close(file);
}

static void count_copies(struct dax_map *map, const struct dax_region *region,
			 int by)
{
	if (region->file->copy)
		__atomic_add_fetch(&map->copies, by, __ATOMIC_RELAXED);
}

bool dax_show_insert(struct dax_map *map, const struct dax_region *region)
{
	bool done;

	pthread_mutex_lock(&map->lock);
	done = dax_table_insert(&map->table, region);
	if (done)
		count_copies(map, region, 1);
	map->stats.live = map->table.count;
	if (map->stats.peak < map->table.count)
		map->stats.peak = map->table.count;
	pthread_mutex_unlock(&map->lock);
	return done;
}

struct dax_region dax_show_delete(struct dax_map *map, unsigned int i)
{
	struct dax_region region;

	pthread_mutex_lock(&map->lock);
	region = dax_table_delete(&map->table, i);
	map->any_lost |= region.zeros;
	count_copies(map, &region, -1);
	map->stats.live = map->table.count;
	pthread_mutex_unlock(&map->lock);
	guard_removed();
	return region;
}

int dax_region_show(struct dax_map *map, struct dax_region *region)
{
	const struct vu_map shown = {
		.fd = region->file->shown,
		.fd_offset = region->offset,
		.shm_offset = region->start,
		.len = region->len,
		.writable = region->file->writable,
	};
	int err;

	err = vu_backend_map(map->opts.backend, &shown);
	region->stops = vu_backend_stops(map->opts.backend);
	return err;
}

/* If it fails, the front-end still shows something there, or may do so. */
static int show_nothing(struct dax_map *map, uint64_t start, uint64_t len)
{
	int err = vu_backend_unmap(map->opts.backend, start, len);

	if (!err)
		return 0;
	if (one_map(map))
		log_warn_once("window: what was shown could not be taken out: %s; the guest is told each time, this once",
			      strerror(-err));
	else
		log_debug("window: a map was gone already: %s", strerror(-err));
	return err;
}

/*
 * Without a library the window has nothing either: there will be nothing else that
 * it could be taken for.
 */
void dax_show_nothing(struct dax_map *map, uint64_t start, uint64_t len)
{
	const struct dax_region unknown = {
		.start = start,
		.len = len,
		.file = &map->unknown,
	};

	int err = show_nothing(map, start, len);

	if (err && err != -ENOTCONN && one_map(map) &&
	    !dax_show_insert(map, &unknown))
		log_err("window: no memory to note what may be shown");
}

int dax_show_cut(struct dax_map *map, uint64_t start, uint64_t end)
{
	unsigned int count = map->table.count;
	bool done;

	if (!one_map(map))
		return 0;
	pthread_mutex_lock(&map->lock);
	done = dax_table_split(&map->table, start) &&
	       dax_table_split(&map->table, end);
	map->stats.live = map->table.count;
	map->stats.splits += map->table.count - count;
	pthread_mutex_unlock(&map->lock);
	return done ? 0 : -ENOMEM;
}

/* Shows what is left of a region between two places of the window once more. */
static void region_keep(struct dax_map *map, const struct dax_region *old,
			uint64_t start, uint64_t end)
{
	struct dax_region part = {
		.start = start,
		.len = end - start,
		.offset = old->offset + (start - old->start),
		.file = old->file,
		.write = old->write,
		.stops = old->stops,
	};
	int err;

	if (start >= end)
		return;
	map->stats.splits++;
	err = dax_region_show(map, &part);
	if (!err && !dax_show_insert(map, &part)) {
		err = -ENOMEM;
		dax_show_nothing(map, start, end - start);
	}
	if (err)
		log_err("window: what was left of a map is lost: %s",
			strerror(-err));
}

void dax_show_clear(struct dax_map *map, uint64_t start, uint64_t end)
{
	struct dax_table *table = &map->table;
	unsigned int i;

	/* Stores that were lost are those to what is there still. */
	dax_map_take_reports(map);
	while ((i = dax_table_find(table, start)) < table->count &&
	       table->regions[i]->start < end) {
		struct dax_region old = dax_show_delete(map, i);

		if (!one_map(map))
			show_nothing(map, old.start, old.len);
		region_keep(map, &old, old.start, start);
		region_keep(map, &old, end, region_end(&old));
		dax_file_put(map, old.file);
	}
}

int dax_show_remove(struct dax_map *map, uint64_t start, uint64_t end)
{
	unsigned int i = dax_table_find(&map->table, start);
	bool any = i < map->table.count && map->table.regions[i]->start < end;
	int err = 0;

	/* Before it is out of the table: what is shown is always in there. */
	if (any && one_map(map))
		err = show_nothing(map, start, end - start);
	if (!err)
		dax_show_clear(map, start, end);
	return err;
}
