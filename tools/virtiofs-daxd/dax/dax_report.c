// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What could not be shown, as the library in the front-end reports it, and who is
 * told of it.
 */
#include "dax/dax_map_i.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"

/* The guest asks what there is instead of zeros. Caller holds map->lock. */
static void tell_lost(const struct dax_region *region, uint64_t start,
		      uint64_t end)
{
	if (start < region->start)
		start = region->start;
	end = min(end, region_end(region));
	notify_inval_inode(region->file->nodeid,
			   region->offset + (start - region->start),
			   end - start);
}

/*
 * The most that are taken at once: the socket holds some 280. A guest may make new
 * ones for as long as it likes.
 */
#define REPORTS_MAX 1024

/*
 * There are zeros in place of a part of the window; the table knows of which
 * files. If places were missed, they may be anywhere.
 */
static void note_report(struct dax_map *map, uint64_t start, uint64_t len,
			uint64_t count)
{
	const struct dax_table *table = &map->table;
	struct pt_key key = { 0 };
	uint64_t end;
	unsigned int i;

	if (count > 1 || !range_end(start, len, &end)) {
		start = 0;
		end = map->opts.window;
	}
	pthread_mutex_lock(&map->lock);
	map->stats.lost += count;
	i = dax_table_find(table, start);
	for (; i < table->count && table->regions[i]->start < end; i++) {
		struct dax_file *file = table->regions[i]->file;

		/* Where they may be anywhere, most have none: told once. */
		if (count == 1)
			dax_region_set_zeros(table->regions[i]);
		else if (file->writable)
			file->lost = DAX_LOST_ALL;
		map->any_lost |= file->writable;
		key = file->key;
		if (count == 1)
			tell_lost(table->regions[i], start, end);
	}
	pthread_mutex_unlock(&map->lock);
	if (count > 1)
		notify_all_changed();
	if (key.ino)
		log_warn_once("window: file %lu of device %#lx lacks a page: the guest sees zeros (told once; counted as dax_lost)",
			      key.ino, key.dev);
}

void dax_map_take_reports(struct dax_map *map)
{
	uint64_t offset, len, count;

	for (unsigned int i = 0; i < REPORTS_MAX; i++) {
		count = vu_backend_report(map->opts.backend, &offset, &len);
		if (!count)
			return;
		note_report(map, offset, len, count);
	}
}

bool dax_map_lost(struct dax_map *map, const struct pt_key *key,
		  unsigned int to)
{
	bool lost;

	dax_map_take_reports(map);
	pthread_mutex_lock(&map->lock);
	lost = dax_files_take_lost(&map->files, key, to);
	pthread_mutex_unlock(&map->lock);
	return lost;
}

bool dax_map_any_lost(struct dax_map *map)
{
	bool lost;

	dax_map_take_reports(map);
	pthread_mutex_lock(&map->lock);
	lost = map->any_lost;
	map->any_lost = false;
	for (unsigned int i = 0; i < map->table.count; i++)
		lost |= map->table.regions[i]->zeros;
	pthread_mutex_unlock(&map->lock);
	return lost;
}
