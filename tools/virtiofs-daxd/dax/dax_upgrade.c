// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file that is shown for reading, and is to be for writing: all its regions
 * change, as the guest may see it in any of them.
 */
#include <string.h>

#include "dax/dax_map_i.h"
#include "host/log.h"

/* A region of a file that is not shown for writing, but can be. */
static struct dax_region *find_readonly(struct dax_map *map,
					const struct dax_file *than)
{
	struct dax_region *region = NULL;
	struct dax_file *file;

	pthread_mutex_lock(&map->lock);
	file = dax_files_first(&map->files, &than->key);
	while (file && (file->writable || !file->regions))
		file = dax_files_next(file);
	if (file)
		region = file->regions;
	pthread_mutex_unlock(&map->lock);
	return region;
}

static int upgrade_region(struct dax_map *map, struct dax_region *region,
			  struct dax_file *file)
{
	struct dax_region copy;
	struct dax_file *old;
	int err;

	pthread_mutex_lock(&map->lock);
	old = dax_table_set_file(region, file);
	copy = *region;
	map->stats.upgrades++;
	pthread_mutex_unlock(&map->lock);
	err = dax_region_show(map, &copy);
	dax_file_put(map, old);
	if (!err)
		return 0;
	log_err("window: a map for reading is lost: %s", strerror(-err));
	return dax_show_remove(map, copy.start, region_end(&copy));
}

/*
 * The guest is going to write to a file of which there are maps for reading: all
 * are replaced. Where it has stored to one of them, whatever made it do that, it
 * would not see what it writes now.
 */
static int upgrade_all(struct dax_map *map, struct dax_file *file)
{
	struct dax_region *region;
	int err = 0;

	while (!err && (region = find_readonly(map, file)))
		err = upgrade_region(map, region, file);
	return err;
}

/* Since the region was given its file, another may have become writable. */
static void use_writable(struct dax_map *map, struct dax_region *region)
{
	struct dax_file *file = region->file;

	if (file->writable)
		return;
	pthread_mutex_lock(&map->lock);
	region->file = dax_files_get(&map->files, &file->key, false);
	pthread_mutex_unlock(&map->lock);
	dax_file_put(map, file);
}

int dax_upgrade(struct dax_map *map, struct dax_region *region)
{
	use_writable(map, region);
	return region->file->writable ? upgrade_all(map, region->file) : 0;
}
