// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-fs DAX: the mappings of a file.
 */
#include "dax_i.h"

#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/iomap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

/**
 * DOC: virtio-fs DAX
 *
 * Words
 * -----
 *
 * The *window* is shared memory region 0 of a virtio-fs device. A *range* is its
 * unit, 2 MiB, aligned. A *mapping* is a run of one or more contiguous ranges
 * that shows a run of one file; it is made by one FUSE_SETUPMAPPING, the
 * *setup*, and removed by FUSE_REMOVEMAPPING, the *remove*. *Reclaim*
 * takes a mapping from an inode for reuse. *Break* is dax_break_layout().
 * *Fallback* is to serve a read or write with FUSE_READ or FUSE_WRITE. A *piece* is
 * 64 ranges, aligned in memory, that get their struct pages together.
 *
 * Mappings
 * --------
 *
 * Each inode has an interval tree of mappings, keyed by page offset. They start
 * and end at multiples of a range in the file and do not overlap. A setup costs
 * a round trip whatever its length, so a mapping is as long as is useful: the
 * whole file where that is no more than half of the window, else a run that
 * doubles with sequential use.
 *
 * A mapping is in the tree as a placeholder, state SETUP, before its request is
 * sent; others that need it wait for the answer. No lock is held meanwhile. A
 * live mapping is never changed: to make it writable it is detached and set up
 * anew in the same place; to show what the file grew by, another mapping is added
 * behind it.
 *
 * Where the server has to fill holes before they can be stored to, and will not for
 * the length of a mapping, who stores gets a range. Where it refuses to map a file
 * for writing, as it may when a store could fail there, it is not asked again: the
 * file is mapped for reading, and who stores gives up the range and gets cached pages.
 *
 * When no range is free, or the server can hold no more mappings, one is taken
 * by second chance: no more than four ranges of those that are in use, unless
 * all of a mapping has to go. What a pass over a file has left behind goes first.
 * A mapping goes in parts where the server can replace a part of it and remove
 * another; elsewhere as a whole, and is kept short while others wait. One that is
 * spared is also taken out of page tables, because the next use through them is
 * seen only if it faults. The mapping that gets the range is *fleeting*: the next
 * to be taken, so that what is used once does not drive out the rest.
 *
 * Not all of the window has pages. Who takes one of the last free ranges that have some
 * wakes a worker, which gives a piece its pages, see dax_grow.c and dax_piece.c; ranges
 * without are taken in &fuse_dax_window.used, so that nothing else has to know of them.
 * Nobody gives a range up while more may get pages, but for who has waited a moment for
 * that. A piece that has shown nothing for a while loses them.
 *
 * What is not mapped may be a *cached page*: in the page cache, as without DAX,
 * until memory is short or its range is mapped, see dax_cache.c. That are all pages
 * of a small file that is read, by one request, see dax_small.c; a page that is
 * touched alone while the window has nothing free, when it is not worth a mapping;
 * what is only loaded of a file that the server cannot map; and what is stored to of
 * one that it does not map for writing.
 *
 * Users of memory hold a reference to the mapping: a copy for its length, with
 * page faults disabled, and a fault until the page table entries are there: its
 * own, and for a read fault those of pages around it that were used before. Pages
 * in page tables and pages pinned by others hold none; reclaim finds the first
 * by zapping them and respects the second.
 *
 * Reads and writes never wait for a range. What memory cannot serve now falls
 * back: FUSE_READ and FUSE_WRITE, with kernel pages where the buffer of the
 * caller may itself be a DAX mapping, which the server cannot reach. A write of
 * which any part is beyond the end of the file falls back as a whole, so that
 * data and size change together. Only faults wait, killably, before they take
 * any lock that reclaim needs; not for long if a cached page will do, which it
 * does unless others have to see at once what is stored.
 *
 * The server may say unasked that data changes: a *notification*. What is mapped
 * there is detached, the size asked for, and faults wait for that, see
 * dax_notify.c.
 *
 * Files
 * -----
 *
 * Top down, each calls only those below it::
 *
 *   dax_conn.c      which connections and inodes use DAX, from making to end
 *   dax_io.c        reading and writing
 *   dax_fault.c     page faults
 *   dax_advise.c    what programs say about how they will use a file
 *   dax_fallback.c  reading and writing by request
 *   dax_small.c     small files that are not mapped
 *   dax_cache.c     cached pages: how they come
 *   dax.c           the mappings of a file: find, make, upgrade
 *   dax_setup.c     how one mapping comes to life
 *   dax_notify.c    what the server says of a file's data, unasked or not
 *   dax_break.c     ends the use of what is about to change or has gone
 *   dax_drop.c      cached pages: how they leave
 *   dax_end.c       ends the use of memory for all files of a connection
 *   dax_reclaim.c   whom to take mappings from, and the removes
 *   dax_detach.c    takes mappings from inodes, or parts of them
 *   dax_plan.c      whether a miss maps, and how much
 *   dax_req.c       the two requests
 *   dax_sysfs.c     the counters
 *   dax_dump.c      what the window is used for, in debugfs
 *   dax_piece.c     the pages of the window, by pieces
 *   dax_lru.c       whose turn it is to give a mapping up
 *   dax_window.c    the ranges: who has, gives back and waits for one
 *   dax_grow.c      which ranges have pages
 *   dax_limit.c     how many mappings the server can hold
 *   dax_times.c     mtime and ctime of stores
 *
 * Locking
 * -------
 *
 * In addition to what mm/filemap.c says::
 *
 *   inode->i_rwsem, fuse_conn.killsb
 *     mm->mmap_lock, or the lock of the vma
 *       sb_start_pagefault
 *         mapping->invalidate_lock
 *           memory reclaim
 *             fuse_dax_inode.sem
 *               fuse_dax_window.lock
 *
 * - i_rwsem: shared by reads, exclusive in writes and truncation.
 * - killsb: shared while the inodes of a connection are visited whose memory
 *   goes. It has no order with i_rwsem. Who has it does not wait for the server, as
 *   who aborts the connection takes it.
 * - invalidate_lock: shared while a fault inserts an entry or a page is read into
 *   the page cache, exclusive to break. Reclaim only tries for it.
 * - fuse_dax_inode.sem: the tree and the state of its mappings. Never held
 *   across a request, a copy or a break. Eviction takes it, which any allocation
 *   may lead to: there is none with it held.
 * - fuse_dax_window.lock: spinlock; ranges and lists of the window. Under it
 *   tasks are woken and work is queued.
 * - The mutex of dax_piece.c: which pieces have pages. Taken by workers, and at mount
 *   and unmount, with s_umount held, and the mutex of virtio_fs.c at mount; around the
 *   locks of memory hotplug, under which memory reclaim is entered. Nobody who has one
 *   of the locks above waits for it.
 * - fuse_dax_notice.lock: spinlock; what the server has said of a file's data.
 *   Taken with inode->i_lock held, by who queues work for the file.
 *
 * lockdep_test.sh of the selftests compares this with what lockdep has seen.
 *
 * Times
 * -----
 *
 * A store to memory does not tell the server. A write in place and a write fault
 * therefore mark the inode dirty, and before anybody learns the times, and with
 * the next fsync, close, munmap, unlock or writeback of the inode, the server is
 * told that the file was modified "now": it is its clock that decides. From then
 * on the next store to a page that is mapped makes a fault again. See dax_times.c.
 */

/* Attempts to set up a mapping for one fault when the server refuses */
#define FUSE_DAX_SETUP_TRIES	3

/* The first mapping of some pages, in any state, with a reference; or NULL */
static struct fuse_dax_map *fuse_dax_map_lookup(struct inode *inode,
						pgoff_t first, pgoff_t last)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_map *map;

	if (!di)
		return NULL;

	guard(rwsem_read)(&di->sem);
	map = fuse_dax_map_first(di, first, last);
	if (map)
		fuse_dax_map_get(map);
	return map;
}

/* See fuse_dax_map_hit() */
static struct fuse_dax_map *fuse_dax_map_hit_locked(struct fuse_dax_inode *di,
						    pgoff_t index,
						    unsigned int want)
{
	struct fuse_dax_map *map;

	lockdep_assert_held(&di->sem);
	map = fuse_dax_map_first(di, index, index);
	if (!map || map->state != FUSE_DAX_LIVE ||
	    ((want & FUSE_DAX_WANT_WRITE) && !map->writable))
		return ERR_PTR(-EAGAIN);
	/* Under the lock: pairs with fuse_dax_inode_idle() */
	if (unlikely(READ_ONCE(map->win->stopped)))
		return ERR_PTR(-ENOTCONN);

	fuse_dax_map_get(map);
	/* Do not dirty a shared cache line for what is already said */
	if (!READ_ONCE(map->referenced))
		WRITE_ONCE(map->referenced, true);
	return map;
}

/**
 * fuse_dax_map_hit - the live mapping at a page of a file, if there is one
 * @inode: the file
 * @index: page of the file
 * @want: %FUSE_DAX_WANT_WRITE or 0
 *
 * Context: Takes &fuse_dax_inode.sem. Neither sends a request nor waits for one.
 * Return: a live mapping with a reference for the caller; -EAGAIN if there is
 * none that serves; -ENOTCONN if the connection goes down.
 */
struct fuse_dax_map *fuse_dax_map_hit(struct inode *inode, pgoff_t index,
				      unsigned int want)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (unlikely(!di))
		return ERR_PTR(-EAGAIN);

	guard(rwsem_read)(&di->sem);
	return fuse_dax_map_hit_locked(di, index, want);
}

/**
 * fuse_dax_map_hit_nowait - fuse_dax_map_hit() for those who must not sleep
 * @inode: the file
 * @index: page of the file
 *
 * Context: Tries &fuse_dax_inode.sem.
 * Return: as fuse_dax_map_hit(); also -EAGAIN if the lock is taken.
 */
struct fuse_dax_map *fuse_dax_map_hit_nowait(struct inode *inode, pgoff_t index)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_map *map;

	if (!di || !down_read_trylock(&di->sem))
		return ERR_PTR(-EAGAIN);
	map = fuse_dax_map_hit_locked(di, index, 0);
	up_read(&di->sem);
	return map;
}

/* Whether a cached page that somebody holds is in the way of a mapping */
static bool fuse_dax_map_blocked(struct inode *inode,
				 const struct fuse_dax_plan *plan)
{
	pgoff_t first = fuse_dax_range_to_page(plan->start);
	pgoff_t end = fuse_dax_range_to_page(plan->start + plan->nr);

	return fuse_dax_cache_held(inode, first, end - 1);
}

/* Gets ranges and a place in the tree; the setup is the caller's to send */
static struct fuse_dax_map *fuse_dax_map_place(struct inode *inode,
					       pgoff_t index,
					       unsigned int want)
{
	unsigned long range = fuse_dax_page_to_range(index);
	struct fuse_dax_inode *di = fuse_dax_inode_get(inode);
	loff_t size = i_size_read(inode);
	struct fuse_dax_plan plan;
	struct fuse_dax_map *map;
	int err;

	if (!di)
		return ERR_PTR(-ENOMEM);
	/* The caller has checked, but a file may shrink at any time */
	if (index >= DIV_ROUND_UP_ULL(size, PAGE_SIZE))
		return ERR_PTR(-EAGAIN);

	map = fuse_dax_map_new(inode, di);
	if (!map)
		return ERR_PTR(-ENOMEM);

	down_write(&di->sem);
	err = fuse_dax_plan_make(map->win, di, size, range, want, &plan);
	up_write(&di->sem);
	if (!err && fuse_dax_map_blocked(inode, &plan))
		err = -EDEADLK;
	if (!err && (want & FUSE_DAX_WANT_FREE))
		err = fuse_dax_window_take(map->win, plan.nr, 1, &map->run);
	else if (!err)
		err = fuse_dax_reclaim_run(map->win, di, &plan, want,
					   &map->run);
	if (err) {
		kfree(map);
		return ERR_PTR(err);
	}

	fuse_dax_plan_shrink(&plan, range, map->run.nr);
	err = fuse_dax_map_insert(map, range, &plan);
	if (err) {
		fuse_dax_map_discard(map);
		return ERR_PTR(err);
	}
	return map;
}

/**
 * fuse_dax_map_make - map a piece of a file
 * @inode: the file
 * @index: page of the file to be shown
 * @want: &enum fuse_dax_want
 * @write: whether to ask for write access
 *
 * Return: the live mapping with a reference for the caller; -EEXIST if somebody
 * else was faster; other -errno.
 */
static struct fuse_dax_map *fuse_dax_map_make(struct inode *inode,
					      pgoff_t index, unsigned int want,
					      bool write)
{
	struct fuse_dax_map *map;
	int err;

	/* Not across a round trip, and not while waiting for a range */
	lockdep_assert_not_held(&inode->i_mapping->invalidate_lock);
	map = fuse_dax_map_place(inode, index, want);
	if (IS_ERR(map))
		return map;
	err = fuse_dax_map_setup(map, write);
	if (!err)
		return map;
	fuse_dax_map_put(map);
	return ERR_PTR(err);
}

/**
 * fuse_dax_map_ahead - map pages of a file that will be used
 * @inode: the file
 * @index: first page
 * @last: last page
 *
 * As far as there is room: nobody is driven out, and no answer is waited for.
 */
void fuse_dax_map_ahead(struct inode *inode, pgoff_t index, pgoff_t last)
{
	unsigned int want = FUSE_DAX_WANT_MEMORY | FUSE_DAX_WANT_FREE;
	struct fuse_dax_window *win = fuse_dax_window_of(inode);
	bool write = inode_is_open_for_write(inode);

	while (index <= last && !fuse_dax_window_pressed(win) &&
	       !fatal_signal_pending(current)) {
		struct fuse_dax_map *map;
		int err = 0;

		map = fuse_dax_map_lookup(inode, index, index);
		if (!map) {
			if (fuse_dax_plan_limit(inode, index, &want, &write))
				return;
			map = fuse_dax_map_place(inode, index, want);
			if (IS_ERR(map))
				return;
			err = fuse_dax_map_send(map, write);
		}
		index = map->itn.last + 1;
		fuse_dax_map_put(map);
		if (err || !index)
			return;
	}
}

struct fuse_dax_upgrade {
	struct inode *inode;
	pgoff_t index;
};

/*
 * All of a mapping, or if a page is pinned, or if it is not to come back as a whole,
 * the range with @index; 0 or -EAGAIN
 */
static int fuse_dax_upgrade_detach(struct fuse_dax_map *map, pgoff_t index)
{
	unsigned int range = fuse_dax_page_to_range(index - map->itn.start);
	bool whole = !READ_ONCE(map->di->unwritable) &&
		     !READ_ONCE(map->di->sparse);
	int err = -EBUSY;

	if (whole || !fuse_dax_window_cuts(map->win))
		err = fuse_dax_detach(map, 0, map->run.nr);
	if (err == -EBUSY && fuse_dax_window_splits(map->win))
		err = fuse_dax_detach(map, range, 1);
	return err ? -EAGAIN : 0;
}

/*
 * Looks the mapping up each time: two that wait for an upgrade, and hold a
 * reference meanwhile, would wait for each other.
 */
static int fuse_dax_upgrade_try(void *data)
{
	struct fuse_dax_upgrade *up = data;
	struct fuse_dax_map *map = fuse_dax_map_lookup(up->inode, up->index,
						       up->index);
	int err = 0;

	if (!map)
		return 0;
	/* LIVE and readonly is the only state in which there is work to do */
	if (READ_ONCE(map->state) == FUSE_DAX_LIVE && !map->writable) {
		err = fuse_dax_upgrade_detach(map, up->index);
		if (!err)
			fuse_dax_map_renew(map);
	}
	fuse_dax_map_drop(map);
	return err;
}

/* Takes a readonly mapping away and has a writable one made */
static int fuse_dax_map_upgrade(struct inode *inode, pgoff_t index,
				unsigned int want)
{
	struct fuse_dax_upgrade up = { .inode = inode, .index = index };
	int err = fuse_dax_upgrade_try(&up);

	/* The page cache has no other page for who cannot store to this one */
	if (err == -EAGAIN && (want & FUSE_DAX_WANT_WAIT))
		err = fuse_dax_window_wait(fuse_dax_window_of(inode),
					   want | FUSE_DAX_WANT_MAPPED,
					   fuse_dax_upgrade_try, &up);
	return err;
}

/*
 * Waits until a mapping in the tree serves @want or is out of the way. Takes over
 * the caller's reference.
 */
VISIBLE_IF_KUNIT
int fuse_dax_map_settle(struct fuse_dax_map *map, pgoff_t index,
			unsigned int want)
{
	enum fuse_dax_state state = READ_ONCE(map->state);
	struct inode *inode = map->inode;
	int err = 0;

	if (state == FUSE_DAX_SETUP ||
	    (state == FUSE_DAX_DETACH && (want & FUSE_DAX_WANT_WAIT)))
		err = fuse_dax_map_wait(map, state);
	else if (state == FUSE_DAX_DETACH)
		err = -EAGAIN;
	fuse_dax_map_put(map);

	/*
	 * One that came to life since it was looked for serves who reads. To take
	 * it away he might wait for pages that he has pinned himself.
	 */
	if (state == FUSE_DAX_LIVE && (want & FUSE_DAX_WANT_WRITE))
		err = fuse_dax_map_upgrade(inode, index, want);
	return err;
}

/* Whether to look again after a mapping could not be made */
static bool fuse_dax_map_again(int error, unsigned int *want, bool *write,
			       int *refused)
{
	if (error == -EEXIST)
		return true;
	if (error == -E2BIG) {
		/* There is nothing less than a range */
		if (*want & FUSE_DAX_WANT_RANGE)
			return false;
		fuse_dax_plan_narrow(want, write);
		return ++*refused < FUSE_DAX_SETUP_TRIES;
	}
	if (*write && !(*want & FUSE_DAX_WANT_WRITE) &&
	    (fuse_dax_error_is_readonly(error) ||
	     (fuse_dax_error_is_full(error) && !(*want & FUSE_DAX_WANT_ONCE)))) {
		*write = false;
		++*refused;
		return true;
	}
	/* A fault reclaims, which frees resources of the server; others fall back */
	return (*want & FUSE_DAX_WANT_WAIT) && !(*want & FUSE_DAX_WANT_ONCE) &&
	       fuse_dax_error_is_limit(error) && ++*refused < FUSE_DAX_SETUP_TRIES;
}

/**
 * fuse_dax_map_find - get the mapping that shows a page of a file
 * @inode: the file
 * @index: page of the file
 * @want: &enum fuse_dax_want
 *
 * Looks it up, or makes it, if need be from ranges of another mapping. With
 * %FUSE_DAX_WANT_WAIT it waits for these; without, it may still wait for the
 * server's answer to a setup. No error of the server makes it repeat without
 * end.
 *
 * Write access is asked for when the file is open for writing, even if only a
 * read needs the mapping, because it could not be added later without taking
 * the mapping away. A read can do without, if the server refuses. Where there are
 * holes, which the server has to fill before they can be stored to, it is asked for
 * a range at a time, and only if it is needed now. Once it was refused it is not
 * asked for again.
 *
 * Context: May sleep; see fuse_dax_reclaim_run() for what may not be held.
 * Return: a live mapping with a reference for the caller; -EAGAIN if there is no
 * memory to be had now; -EACCES if a cached page is to be stored to, or a request
 * sent; -EINTR if killed; -ENOTCONN if the connection goes down; or the server's
 * -errno.
 */
struct fuse_dax_map *fuse_dax_map_find(struct inode *inode, pgoff_t index,
				       unsigned int want)
{
	struct fuse_dax_window *win = fuse_dax_window_of(inode);
	bool write = (want & FUSE_DAX_WANT_WRITE) ||
		     (!(want & FUSE_DAX_WANT_LEAST) &&
		      inode_is_open_for_write(inode));
	int refused = 0, err;

	for (;;) {
		struct fuse_dax_map *map = fuse_dax_map_hit(inode, index, want);

		if (map != ERR_PTR(-EAGAIN))
			return map;
		if (READ_ONCE(win->stopped))
			return ERR_PTR(-ENOTCONN);
		if (fuse_dax_plan_denied(inode, index, want))
			return ERR_PTR(-EACCES);

		map = fuse_dax_map_lookup(inode, index, index);
		if (map) {
			err = fuse_dax_map_settle(map, index, want);
			if (err)
				return ERR_PTR(err);
			continue;
		}

		err = fuse_dax_plan_limit(inode, index, &want, &write);
		if (err)
			return ERR_PTR(err);
		map = fuse_dax_map_make(inode, index, want, write);
		if (!IS_ERR(map))
			return map;
		if (fatal_signal_pending(current))
			return ERR_PTR(-EINTR);
		if (!fuse_dax_map_again(PTR_ERR(map), &want, &write, &refused))
			return map;
	}
}

static int fuse_dax_iomap_begin(struct inode *inode, loff_t pos, loff_t length,
				unsigned int flags, struct iomap *iomap,
				struct iomap *srcmap)
{
	unsigned int want = 0;
	struct fuse_dax_map *map;

	if (flags & IOMAP_WRITE) {
		/* Shrunk since the caller looked: that is a write past the end */
		if (!(flags & IOMAP_FAULT) && pos + length > i_size_read(inode))
			return -EAGAIN;
		want = FUSE_DAX_WANT_WRITE;
	}

	map = fuse_dax_map_hit(inode, pos >> PAGE_SHIFT, want);
	if (IS_ERR(map))
		return PTR_ERR(map);
	/*
	 * A mapping that was made when the server had said that data changes, and
	 * before the size is known, may show places where the file has ended.
	 */
	if (fuse_dax_notify_pending(inode)) {
		fuse_dax_map_put(map);
		return -EAGAIN;
	}

	iomap->type = IOMAP_MAPPED;
	iomap->flags = 0;
	iomap->dax_dev = map->win->dev;
	iomap->offset = (loff_t)map->itn.start << PAGE_SHIFT;
	iomap->length = fuse_dax_run_len(&map->run);
	iomap->addr = fuse_dax_run_moffset(&map->run);
	iomap->private = map;
	return 0;
}

static int fuse_dax_iomap_end(struct inode *inode, loff_t pos, loff_t length,
			      ssize_t written, unsigned int flags,
			      struct iomap *iomap)
{
	fuse_dax_map_put(iomap->private);
	return 0;
}

static DEFINE_IOMAP_ITER_NEXT_END(fuse_dax_iomap_next, fuse_dax_iomap_begin,
				  fuse_dax_iomap_end);

/*
 * Memory that is mapped, or -EAGAIN: mappings are made before, by
 * fuse_dax_map_find(), when no lock is held that stands in the way.
 */
const struct iomap_ops fuse_dax_iomap_ops = {
	.iomap_next = fuse_dax_iomap_next,
};
