// SPDX-License-Identifier: GPL-2.0-or-later
#include "dax/dax_region.h"

#include <stdlib.h>
#include <string.h>

#define MIN_ROOM 64

static void link_to_file(struct dax_region *region)
{
	struct dax_file *file = region->file;

	file->refs++;
	file->zeros += region->zeros;
	region->next = file->regions;
	region->link = &file->regions;
	if (region->next)
		region->next->link = &region->next;
	file->regions = region;
}

static void unlink_from_file(struct dax_region *region)
{
	struct dax_file *file = region->file;

	/* Since it was told the last time something may have been stored there. */
	if (region->zeros)
		file->lost = DAX_LOST_ALL;
	file->zeros -= region->zeros;
	*region->link = region->next;
	if (region->next)
		region->next->link = region->link;
}

unsigned int dax_table_find(const struct dax_table *table, uint64_t pos)
{
	unsigned int i = 0, end = table->count;

	while (i < end) {
		unsigned int mid = i + (end - i) / 2;

		if (region_end(table->regions[mid]) <= pos)
			i = mid + 1;
		else
			end = mid;
	}
	return i;
}

static bool make_room(struct dax_table *table)
{
	unsigned int room = table->room ? 2 * table->room : MIN_ROOM;
	struct dax_region **regions;

	if (table->count < table->room)
		return true;
	regions = realloc(table->regions, room * sizeof(*regions));
	if (!regions)
		return false;
	table->regions = regions;
	table->room = room;
	return true;
}

bool dax_table_insert(struct dax_table *table, const struct dax_region *region)
{
	struct dax_region *copy = malloc(sizeof(*copy));
	struct dax_region **pos;

	if (!copy || !make_room(table)) {
		free(copy);
		return false;
	}
	*copy = *region;
	link_to_file(copy);
	pos = table->regions + dax_table_find(table, region->start);
	memmove(pos + 1, pos,
		(table->regions + table->count - pos) * sizeof(*pos));
	*pos = copy;
	table->count++;
	return true;
}

void dax_region_set_zeros(struct dax_region *region)
{
	if (!region->file->writable)
		return;
	region->file->lost = DAX_LOST_ALL;
	region->file->zeros += !region->zeros;
	region->zeros = true;
}

struct dax_region dax_table_delete(struct dax_table *table, unsigned int i)
{
	struct dax_region **pos = table->regions + i;
	struct dax_region region = **pos;

	unlink_from_file(*pos);
	free(*pos);
	table->count--;
	memmove(pos, pos + 1, (table->count - i) * sizeof(*pos));
	return region;
}

bool dax_table_split(struct dax_table *table, uint64_t pos)
{
	unsigned int i = dax_table_find(table, pos);
	struct dax_region *region, rest;

	if (i == table->count || table->regions[i]->start >= pos)
		return true;
	region = table->regions[i];
	rest = *region;
	rest.start = pos;
	rest.len = region_end(region) - pos;
	rest.offset += pos - region->start;
	region->len -= rest.len;
	if (dax_table_insert(table, &rest))
		return true;
	region->len += rest.len;
	return false;
}

struct dax_file *dax_table_set_file(struct dax_region *region,
				    struct dax_file *file)
{
	struct dax_file *old = region->file;

	unlink_from_file(region);
	region->zeros = false;
	region->file = file;
	link_to_file(region);
	return old;
}

unsigned int dax_table_count_without(const struct dax_table *table,
				     uint64_t start, uint64_t end)
{
	unsigned int count = table->count;

	for (unsigned int i = dax_table_find(table, start);
	     i < table->count && table->regions[i]->start < end; i++) {
		const struct dax_region *region = table->regions[i];

		count += (region->start < start) + (region_end(region) > end);
		count--;
	}
	return count;
}
