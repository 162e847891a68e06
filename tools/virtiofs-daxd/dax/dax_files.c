// SPDX-License-Identifier: GPL-2.0-or-later
#include "dax/dax_files.h"

#include <errno.h>
#include <stdlib.h>

#include "host/util.h"

static unsigned int hash(const struct pt_key *key)
{
	uint64_t product = (key->ino ^ key->dev << 32) * 0x9e3779b97f4a7c15;

	return product >> (64 - DAX_FILES_BITS);
}

static bool same_key(const struct pt_key *a, const struct pt_key *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

void dax_files_add(struct dax_files *files, struct dax_file *file)
{
	struct dax_file **head = &files->heads[hash(&file->key)];

	file->next = *head;
	*head = file;
}

static struct dax_file *find_from(struct dax_file *file,
				  const struct pt_key *key)
{
	while (file && !same_key(&file->key, key))
		file = file->next;
	return file;
}

struct dax_file *dax_files_first(const struct dax_files *files,
				 const struct pt_key *key)
{
	return find_from(files->heads[hash(key)], key);
}

struct dax_file *dax_files_next(const struct dax_file *file)
{
	return find_from(file->next, &file->key);
}

struct dax_file *dax_files_get(const struct dax_files *files,
			       const struct pt_key *key, bool write)
{
	struct dax_file *file = dax_files_first(files, key), *found = NULL;

	for (; file; file = dax_files_next(file))
		if (!file->outdated && (file->writable || (!write && !found)))
			found = file;
	if (found)
		found->refs++;
	return found;
}

void dax_files_retire_copies(struct dax_files *files, const struct pt_key *key)
{
	struct dax_file *file = dax_files_first(files, key);

	for (; file; file = dax_files_next(file))
		file->outdated |= file->copy;
}

int dax_files_copy_regions(const struct dax_files *files,
			   const struct pt_key *key, struct dax_region **out)
{
	struct dax_file *first = dax_files_first(files, key);
	struct dax_region *copies;
	int n = 0;

	for (struct dax_file *f = first; f; f = dax_files_next(f))
		for (struct dax_region *r = f->regions; r; r = r->next)
			n++;
	copies = n ? malloc(n * sizeof(*copies)) : NULL;
	if (!copies)
		return n ? -ENOMEM : 0;
	*out = copies;
	for (struct dax_file *f = first; f; f = dax_files_next(f))
		for (struct dax_region *r = f->regions; r; r = r->next) {
			*copies++ = *r;
			f->refs++;
		}
	return n;
}

static struct dax_lost *find_lost(struct dax_files *files,
				  const struct pt_key *key)
{
	for (unsigned int i = 0; i < files->num_lost; i++)
		if (same_key(&files->lost[i].key, key))
			return &files->lost[i];
	return NULL;
}

static bool make_room(struct dax_files *files)
{
	unsigned int room = files->room_lost ? 2 * files->room_lost : 64;
	struct dax_lost *lost;

	if (files->num_lost < files->room_lost)
		return true;
	if (files->num_lost == DAX_FILES_LOST)
		return false;
	lost = realloc(files->lost, room * sizeof(*lost));
	if (!lost)
		return false;
	files->lost = lost;
	files->room_lost = room;
	return true;
}

static void keep_lost(struct dax_files *files, const struct dax_file *file)
{
	struct dax_lost *lost = find_lost(files, &file->key);

	if (lost)
		lost->untold |= file->lost;
	else if (make_room(files))
		files->lost[files->num_lost++] =
			(struct dax_lost){ file->key, file->lost };
}

void dax_files_remove(struct dax_files *files, struct dax_file *file)
{
	struct dax_file **pos = &files->heads[hash(&file->key)];

	while (*pos != file)
		pos = &(*pos)->next;
	*pos = file->next;
	if (file->lost)
		keep_lost(files, file);
}

bool dax_files_take_lost(struct dax_files *files, const struct pt_key *key,
			 unsigned int to)
{
	struct dax_file *file = dax_files_first(files, key);
	struct dax_lost *gone = find_lost(files, key);
	unsigned int lost = 0;

	if (gone) {
		lost |= gone->untold;
		gone->untold &= ~to;
		if (!gone->untold)
			*gone = files->lost[--files->num_lost];
	}
	for (; file; file = dax_files_next(file)) {
		lost |= file->zeros ? DAX_LOST_ALL : file->lost;
		file->lost &= ~to;
	}
	return lost & to;
}
