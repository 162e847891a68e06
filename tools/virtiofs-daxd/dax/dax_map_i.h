/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the window's table, in the order of calls: dax_map.c what the guest asks
 * for, dax_upgrade.c files that become writable, dax_show.c the table and the window
 * together, dax_report.c what the window lacks.
 */
#ifndef VIRTIOFS_DAXD_DAX_MAP_I_H
#define VIRTIOFS_DAXD_DAX_MAP_I_H

#include <pthread.h>

#include "dax/dax_files.h"
#include "dax/dax_map.h"
#include "dax/dax_region.h"

/**
 * struct dax_map - the table
 * @opts: constant
 * @order: held by who changes the table, also while the front-end works, so that
 *	it sees the changes in their order. Never taken by the thread which
 *	serves the front-end, nor by a request which that may wait for.
 * @lock: taken after @order, and never while the front-end works; protects what
 *	follows, and references on files
 * @copies: regions that show a copy; atomic
 * @stats: counters
 * @table: what is where
 * @files: the files that are there, or are about to be
 * @unknown: stands for the file in a part of which it is not known what it shows
 * @any_lost: stores to a file may be lost, and the file system was not synced since
 */
struct dax_map {
	struct dax_map_options opts;
	pthread_mutex_t order;
	pthread_mutex_t lock;
	unsigned int copies;
	struct dax_map_stats stats;
	struct dax_table table;
	struct dax_files files;
	struct dax_file unknown;
	bool any_lost;
};

/* Whether a library in the front-end makes one map of the window. */
static inline bool one_map(const struct dax_map *map)
{
	return vu_backend_one_map(map->opts.backend);
}

/* dax_show.c */

/**
 * dax_file_put - give a reference on a file of the table back
 * @map: the table
 * @file: the file
 */
void dax_file_put(struct dax_map *map, struct dax_file *file);

/**
 * dax_region_show - show a region, which need not be in the table
 * @map: the table, @order held
 * @region: what and where
 *
 * Return: as vu_backend_map().
 */
int dax_region_show(struct dax_map *map, struct dax_region *region);

/**
 * dax_show_insert - put into the table what is shown
 * @map: the table, @order held
 * @region: what is shown; the table takes a reference on its file
 *
 * Return: false without memory.
 */
bool dax_show_insert(struct dax_map *map, const struct dax_region *region);

/**
 * dax_show_delete - take a region out of the table, whatever is shown there
 * @map: the table, @order held
 * @i: which one
 *
 * Return: the region; the reference on its file passes to the caller.
 */
struct dax_region dax_show_delete(struct dax_map *map, unsigned int i);

/**
 * dax_show_nothing - something could not be shown, where the table has nothing
 * @map: the table, @order held
 * @start: where in the window
 * @len: how long it is
 *
 * If it cannot be taken out either, the table has a region that stands for it.
 */
void dax_show_nothing(struct dax_map *map, uint64_t start, uint64_t len);

/**
 * dax_show_cut - before anything between two places goes
 * @map: the table, @order held
 * @start: the one place
 * @end: the other
 *
 * If the window is one map, what reaches past one of them becomes two regions. So
 * it can still be refused, and who asks for what is mapped always finds what stays.
 *
 * Return: 0 or -ENOMEM.
 */
int dax_show_cut(struct dax_map *map, uint64_t start, uint64_t end);

/**
 * dax_show_clear - take everything between two places out of the table
 * @map: the table, @order held
 * @start: the one place
 * @end: the other
 *
 * With stock maps it is gone from the window afterwards as well.
 */
void dax_show_clear(struct dax_map *map, uint64_t start, uint64_t end);

/**
 * dax_show_remove - the same, and in any case it is gone from the window
 * @map: the table, @order held
 * @start: the one place
 * @end: the other
 *
 * Return: 0; else as vu_backend_unmap(), and it stays in the table.
 */
int dax_show_remove(struct dax_map *map, uint64_t start, uint64_t end);

/* dax_upgrade.c */

/**
 * dax_upgrade - a region is about to be shown: one file is shown in one way
 * @map: the table, @order held; the window is one map
 * @region: the region; its file becomes the one for writing, if there is one
 *
 * If it is for writing, all regions of the file are shown so.
 *
 * Return: 0; -ENOMEM or -ENOTCONN if there are some for which that is not so.
 */
int dax_upgrade(struct dax_map *map, struct dax_region *region);

#endif
