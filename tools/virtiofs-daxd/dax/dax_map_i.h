/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the window's table: dax_map.c, dax_upgrade.c and dax_report.c share it.
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
 * dax_region_gone - the front-end could not show a region that is in the table
 * @map: the table, @order held
 * @start: where it begins in the window
 * @end: where it ends
 *
 * Nothing is shown there afterwards.
 *
 * Return: 0; else as vu_backend_unmap(), and the region stays.
 */
int dax_region_gone(struct dax_map *map, uint64_t start, uint64_t end);

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
