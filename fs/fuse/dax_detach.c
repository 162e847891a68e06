// SPDX-License-Identifier: GPL-2.0
/*
 * Taking mappings from inodes, or parts of them.
 *
 * A mapping is detached when nobody uses it: its state becomes DETACH, which
 * keeps new users away, the page tables are zapped and the DAX entries deleted,
 * and it leaves the tree. invalidate_lock of the inode keeps page faults out
 * meanwhile; reclaim only tries for it, because its holder may wait for the
 * server. Pages that somebody has pinned end the attempt, and the mapping lives
 * on: nobody waits for a pin on behalf of somebody else.
 *
 * A mapping is given up in parts where the server can do that: what is needed goes,
 * and what is pinned costs nobody more than itself. Elsewhere it goes as a whole.
 */
#include "dax_i.h"
#include "dax_trace.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

/*
 * What stays of a mapping, as one of its own; NULL if there is no memory. Without
 * a look for memory in inodes: reclaim may hold up the eviction of this one, which
 * would wait for us here.
 */
static struct fuse_dax_map *fuse_dax_detach_rest(struct fuse_dax_map *map,
						 unsigned int first,
						 unsigned int nr)
{
	struct fuse_dax_map *rest = kzalloc_obj(*rest, GFP_NOFS);

	if (!rest)
		return NULL;
	rest->win = map->win;
	rest->inode = map->inode;
	rest->di = map->di;
	rest->nodeid = map->nodeid;
	rest->ino = map->ino;
	rest->run.first = map->run.first + first;
	rest->run.nr = nr;
	rest->itn.start = map->itn.start + fuse_dax_range_to_page(first);
	rest->itn.last = rest->itn.start + fuse_dax_range_to_page(nr) - 1;
	rest->writable = map->writable;
	rest->state = FUSE_DAX_LIVE;
	INIT_LIST_HEAD(&rest->list);
	refcount_set(&rest->ref, 1);
	return rest;
}

/*
 * A part of a mapping that is to be detached, and what stays before it and behind
 * it: NULL where nothing does
 */
struct fuse_dax_detach_cut {
	unsigned int first, nr;
	struct fuse_dax_map *rest[2];
};

static int fuse_dax_detach_cut_init(struct fuse_dax_detach_cut *cut,
				    struct fuse_dax_map *map,
				    unsigned int first, unsigned int nr)
{
	unsigned int end = first + nr, behind = map->run.nr - end;

	*cut = (struct fuse_dax_detach_cut) { .first = first, .nr = nr };
	if (first) {
		cut->rest[0] = fuse_dax_detach_rest(map, 0, first);
		if (!cut->rest[0])
			return -ENOMEM;
	}
	if (behind) {
		cut->rest[1] = fuse_dax_detach_rest(map, end, behind);
		if (!cut->rest[1]) {
			kfree(cut->rest[0]);
			return -ENOMEM;
		}
	}
	return 0;
}

static int fuse_dax_detach_begin(struct fuse_dax_map *map)
{
	guard(rwsem_write)(&map->di->sem);
	/* One reference is the tree's, one the caller's */
	if (map->state != FUSE_DAX_LIVE || refcount_read(&map->ref) != 2)
		return -EAGAIN;
	WRITE_ONCE(map->state, FUSE_DAX_DETACH);
	return 0;
}

/* The part goes, and what stays takes its place; nobody has seen that by then */
static void fuse_dax_detach_part(struct fuse_dax_map *map,
				 const struct fuse_dax_detach_cut *cut)
{
	struct fuse_dax_inode *di = map->di;

	lockdep_assert_held_write(&di->sem);
	interval_tree_remove(&map->itn, &di->tree);
	for (int i = 0; i < ARRAY_SIZE(cut->rest); i++)
		if (cut->rest[i])
			interval_tree_insert(&cut->rest[i]->itn, &di->tree);
	/* Off the list first: who finds it there may look at what it shows */
	fuse_dax_window_cut(map, cut->first, cut->nr, cut->rest);
	map->itn.start += fuse_dax_range_to_page(cut->first);
	map->itn.last = map->itn.start + fuse_dax_range_to_page(cut->nr) - 1;
}

static void fuse_dax_detach_end(struct fuse_dax_map *map,
				const struct fuse_dax_detach_cut *cut,
				int error)
{
	down_write(&map->di->sem);
	if (error) {
		store_release_wake_up(&map->state, FUSE_DAX_LIVE);
	} else {
		fuse_dax_detach_part(map, cut);
		store_release_wake_up(&map->state, FUSE_DAX_GONE);
	}
	up_write(&map->di->sem);
}

/* Takes a part of a mapping out of the page tables; -EBUSY if a page is pinned */
VISIBLE_IF_KUNIT
int fuse_dax_detach_zap(struct fuse_dax_map *map, unsigned int first,
			unsigned int nr)
{
	loff_t start = (loff_t)(map->itn.start + fuse_dax_range_to_page(first))
		       << PAGE_SHIFT;
	loff_t last = start + ((loff_t)nr << FUSE_DAX_RANGE_SHIFT) - 1;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_detach_zap, map, first, nr);
	lockdep_assert_held_write(&map->inode->i_mapping->invalidate_lock);
	return dax_break_layout(map->inode, start, last, NULL) ? -EBUSY : 0;
}

/**
 * fuse_dax_detach_locked - take ranges of a file from it
 * @map: the mapping that shows them; the caller has the only reference beside the
 *	tree's
 * @first: the first of them, counted from the start of the mapping
 * @nr: how many; all of the mapping, unless fuse_dax_window_splits()
 *
 * The one way by which a mapping ends while its file is in use. What is detached
 * is in no tree: @map is that part then, and the rest lives on in other mappings.
 *
 * Context: invalidate_lock of the inode held for write. Takes
 * &fuse_dax_inode.sem. Sleeps, but not for a request or a pinned page.
 * Return: 0, the tree's reference is now the caller's too; -EBUSY if a page of it
 * is pinned; -EAGAIN if the mapping is used; -ENOMEM.
 */
int fuse_dax_detach_locked(struct fuse_dax_map *map,
			   unsigned int first, unsigned int nr)
{
	struct fuse_dax_detach_cut cut;
	int err;

	lockdep_assert_held_write(&map->inode->i_mapping->invalidate_lock);
	err = fuse_dax_detach_begin(map);
	if (err)
		return err;

	/* From here on nobody else changes it */
	err = fuse_dax_detach_cut_init(&cut, map, first, nr);
	if (err) {
		fuse_dax_detach_end(map, NULL, err);
		return err;
	}
	err = fuse_dax_detach_zap(map, first, nr);
	fuse_dax_detach_end(map, &cut, err);
	trace_fuse_dax_reclaim(map, err);
	if (err) {
		kfree(cut.rest[0]);
		kfree(cut.rest[1]);
	}
	return err;
}

/**
 * fuse_dax_detach - take ranges of a file from it without waiting
 * @map: see fuse_dax_detach_locked()
 * @first: likewise
 * @nr: likewise
 *
 * Context: Tries invalidate_lock of the inode, so that any other inode's may be
 * held. See fuse_dax_detach_locked().
 * Return: as that function; also -EAGAIN if the lock is taken.
 */
int fuse_dax_detach(struct fuse_dax_map *map, unsigned int first,
		    unsigned int nr)
{
	struct address_space *mapping = map->inode->i_mapping;
	int err;

	if (!down_write_trylock(&mapping->invalidate_lock))
		return -EAGAIN;
	err = fuse_dax_detach_locked(map, first, nr);
	up_write(&mapping->invalidate_lock);
	return err;
}

/* The first mapping of some pages, with a reference; or NULL */
static struct fuse_dax_map *fuse_dax_detach_first(struct fuse_dax_inode *di,
						  pgoff_t first, pgoff_t last)
{
	struct fuse_dax_map *map;

	guard(rwsem_read)(&di->sem);
	map = fuse_dax_map_first(di, first, last);
	if (map)
		fuse_dax_map_get(map);
	return map;
}

/*
 * Detaches of a mapping what is between two pages, ranges as a whole; false if
 * that cannot be, as it is used
 */
static bool fuse_dax_detach_between(struct fuse_dax_map *map, pgoff_t first,
				    pgoff_t last)
{
	unsigned int from = 0, end = map->run.nr;
	int err;

	if (first > map->itn.start)
		from = DIV_ROUND_UP(first - map->itn.start,
				    fuse_dax_range_to_page(1));
	if (last < map->itn.last)
		end = fuse_dax_page_to_range(last + 1 - map->itn.start);
	if (from >= end ||
	    (end - from < map->run.nr && !fuse_dax_window_cuts(map->win)))
		return true;
	err = fuse_dax_detach_locked(map, from, end - from);
	if (!err)
		fuse_dax_window_bury(map);
	return err != -EAGAIN || READ_ONCE(map->state) != FUSE_DAX_LIVE;
}

/**
 * fuse_dax_detach_range - take what is mapped of a part of a file from it
 * @di: the file's state
 * @first: first page
 * @last: last page
 *
 * As far as it can be had: what is used or pinned stays, and so does what is mapped
 * together with the rest, where mappings go as a whole, or while the server can hold
 * no more of them.
 *
 * Context: invalidate_lock of the inode held for write. Sleeps, but not for a
 * request or a pinned page.
 * Return: false if some of it stays because it is being used, which is soon over.
 */
bool fuse_dax_detach_range(struct fuse_dax_inode *di, pgoff_t first,
			   pgoff_t last)
{
	struct fuse_dax_map *map;
	bool idle = true;

	while ((map = fuse_dax_detach_first(di, first, last))) {
		pgoff_t next = map->itn.last + 1;

		idle &= fuse_dax_detach_between(map, first, last);
		fuse_dax_map_put(map);
		if (!next || next > last)
			break;
		first = next;
	}
	return idle;
}
