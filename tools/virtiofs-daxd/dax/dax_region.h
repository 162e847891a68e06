/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of files in the window, in the order of their places there.
 */
#ifndef VIRTIOFS_DAXD_DAX_REGION_H
#define VIRTIOFS_DAXD_DAX_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "dax/dax_file.h"

/**
 * struct dax_region - a part of a file in the window
 * @start: where in the window
 * @len: bytes
 * @offset: where in the file
 * @file: the file, referenced
 * @write: the guest asked for write access to some of it
 * @stops: stops of the device before the front-end's answer came
 * @zeros: in place of some of it there are zeros, to which the guest may store
 * @next: in the list of the file
 * @link: what points to it there
 */
struct dax_region {
	uint64_t start;
	uint64_t len;
	uint64_t offset;
	struct dax_file *file;
	bool write;
	unsigned int stops;
	bool zeros;
	struct dax_region *next;
	struct dax_region **link;
};

static inline uint64_t region_end(const struct dax_region *region)
{
	return region->start + region->len;
}

/**
 * struct dax_table - regions that do not overlap, by @start
 * @count: their number
 * @room: pointers there is room for
 * @regions: the regions, which belong to the table
 */
struct dax_table {
	unsigned int count;
	unsigned int room;
	struct dax_region **regions;
};

/**
 * dax_table_find - the first region that ends behind a place
 * @table: the table
 * @pos: the place
 *
 * Return: its index, @count if there is none.
 */
unsigned int dax_table_find(const struct dax_table *table, uint64_t pos);

/**
 * dax_table_insert - enter a copy of a region, also in the list of its file
 * @table: the table
 * @region: it overlaps no other; of its file it takes a reference
 *
 * Return: false without memory.
 */
bool dax_table_insert(struct dax_table *table, const struct dax_region *region);

/**
 * dax_table_delete - take a region out
 * @table: the table
 * @i: its index
 *
 * Return: the region, whose reference on the file is the caller's now.
 */
struct dax_region dax_table_delete(struct dax_table *table, unsigned int i);

/**
 * dax_region_set_zeros - there are zeros in place of some of it, from now on
 * @region: a region of a table
 */
void dax_region_set_zeros(struct dax_region *region);

/**
 * dax_table_split - let no region lie on both sides of a place
 * @table: the table
 * @pos: the place
 *
 * One that did becomes two that show the same.
 *
 * Return: whether there is none now; false without memory, and nothing has changed.
 */
bool dax_table_split(struct dax_table *table, uint64_t pos);

/**
 * dax_table_set_file - let a region show another file
 * @region: a region of a table
 * @file: the file, of which it takes a reference
 *
 * Return: the file before, whose reference is the caller's now.
 */
struct dax_file *dax_table_set_file(struct dax_region *region,
				    struct dax_file *file);

/**
 * dax_table_count_without - regions there are once a part is clear
 * @table: the table
 * @start: where the part begins
 * @end: where it ends
 */
unsigned int dax_table_count_without(const struct dax_table *table,
				     uint64_t start, uint64_t end);

#endif
