/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of which parts are in the window, or are about to be, found by what
 * they are. A file may be there twice: for reading, and for writing.
 */
#ifndef VIRTIOFS_DAXD_DAX_FILES_H
#define VIRTIOFS_DAXD_DAX_FILES_H

#include <stdbool.h>

#include "dax/dax_region.h"

#define DAX_FILES_BITS 12

/* More than that a guest cannot have told. */
#define DAX_FILES_LOST 65536

/**
 * struct dax_lost - a file of which stores may be lost, when it is here no more
 * @key: which file
 * @untold: DAX_LOST_*
 */
struct dax_lost {
	struct pt_key key;
	unsigned int untold;
};

/**
 * struct dax_files - the files
 * @heads: lists of files
 * @lost: array, with room for @room_lost
 * @num_lost: entries of it, DAX_FILES_LOST at most
 */
struct dax_files {
	struct dax_file *heads[1 << DAX_FILES_BITS];
	struct dax_lost *lost;
	unsigned int num_lost;
	unsigned int room_lost;
};

void dax_files_add(struct dax_files *files, struct dax_file *file);
void dax_files_remove(struct dax_files *files, struct dax_file *file);

/**
 * dax_files_first - the first entry of a file
 * @files: the files
 * @key: which file
 *
 * Return: NULL if there is none.
 */
struct dax_file *dax_files_first(const struct dax_files *files,
				 const struct pt_key *key);

/**
 * dax_files_next - the next entry of the same file
 * @file: an entry
 *
 * Return: NULL if there is none.
 */
struct dax_file *dax_files_next(const struct dax_file *file);

/**
 * dax_files_get - an entry that will do, one for writing if there is one
 * @files: the files
 * @key: which file
 * @write: it must be for writing
 *
 * Return: NULL if there is none, else with a reference for the caller.
 */
struct dax_file *dax_files_get(const struct dax_files *files,
			       const struct pt_key *key, bool write);

/**
 * dax_files_retire_copies - a file can be written to by now
 * @files: the files
 * @key: which file
 *
 * Its copies miss what is stored to other maps, so they are got no more.
 */
void dax_files_retire_copies(struct dax_files *files, const struct pt_key *key);

/**
 * dax_files_copy_regions - copies of all regions of a file
 * @files: the files
 * @key: which file
 * @out: an array of them, to be freed; of each file it has a reference
 *
 * Return: their number, or -ENOMEM.
 */
int dax_files_copy_regions(const struct dax_files *files,
			   const struct pt_key *key, struct dax_region **out);

/**
 * dax_files_take_lost - whether stores may be lost, and that was not told since
 * @files: the files
 * @key: which file
 * @to: DAX_LOST_*, to all of whom it counts as told
 */
bool dax_files_take_lost(struct dax_files *files, const struct pt_key *key,
			 unsigned int to);

#endif
