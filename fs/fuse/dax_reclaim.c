// SPDX-License-Identifier: GPL-2.0
/*
 * Taking mappings from inodes.
 *
 * A mapping is detached when nobody uses it: its state becomes DETACH, which
 * keeps new users away, the page tables are zapped and the DAX entries deleted,
 * and it leaves the tree. invalidate_lock of the inode keeps page faults out
 * meanwhile; it is only tried for, never waited for, because its holder may wait
 * for the server. Pages that somebody has pinned end the attempt, and the
 * mapping lives on: nobody waits for a pin on behalf of somebody else.
 *
 * What was used since reclaim last looked is spared once. It is unmapped, so that
 * use through page tables, which makes no call, comes as a fault and is seen.
 *
 * A detached run is either taken over by the task that needed one, whose setup
 * replaces the old mapping on the server, or removed by the worker in batches.
 */
#include "dax_i.h"
#include "dax_trace.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

/* How long until the server is asked again to remove what it could not */
#define FUSE_DAX_RECLAIM_RETRY	(5 * HZ)

/* Victims that may turn out not to be detachable before reclaim gives up */
#define FUSE_DAX_RECLAIM_TRIES	16

/* Victims that may be spared, which costs a flush of TLBs, for one that wants some */
#define FUSE_DAX_RECLAIM_SPARES	32

static int fuse_dax_reclaim_begin(struct fuse_dax_map *map)
{
	guard(rwsem_write)(&map->di->sem);
	/* One reference is the tree's, one the caller's */
	if (map->state != FUSE_DAX_LIVE || refcount_read(&map->ref) != 2)
		return -EBUSY;
	WRITE_ONCE(map->state, FUSE_DAX_DETACH);
	return 0;
}

static void fuse_dax_reclaim_end(struct fuse_dax_map *map, int error)
{
	struct fuse_dax_inode *di = map->di;

	down_write(&di->sem);
	if (error) {
		store_release_wake_up(&map->state, FUSE_DAX_LIVE);
	} else {
		interval_tree_remove(&map->itn, &di->tree);
		fuse_dax_window_withdraw(map);
		store_release_wake_up(&map->state, FUSE_DAX_GONE);
	}
	up_write(&di->sem);
}

/* Takes a mapping out of the page tables; -EBUSY if a page of it is pinned */
VISIBLE_IF_KUNIT
int fuse_dax_reclaim_zap(struct fuse_dax_map *map)
{
	loff_t start = (loff_t)map->itn.start << PAGE_SHIFT;
	loff_t last = start + fuse_dax_run_len(&map->run) - 1;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_reclaim_zap, map);
	lockdep_assert_held_write(&map->inode->i_mapping->invalidate_lock);
	return dax_break_layout(map->inode, start, last, NULL) ? -EBUSY : 0;
}

/**
 * fuse_dax_reclaim_detach_locked - take a mapping from its inode
 * @map: the mapping; the caller has the only reference beside the tree's
 *
 * Context: invalidate_lock of the inode held for write. Takes
 * &fuse_dax_inode.sem. Sleeps, but not for a request or a pinned page.
 * Return: 0, the tree's reference is now the caller's too; -EBUSY if the mapping
 * is used or pinned.
 */
int fuse_dax_reclaim_detach_locked(struct fuse_dax_map *map)
{
	int err;

	lockdep_assert_held_write(&map->inode->i_mapping->invalidate_lock);
	err = fuse_dax_reclaim_begin(map);
	if (err)
		return err;

	err = fuse_dax_reclaim_zap(map);
	fuse_dax_reclaim_end(map, err);
	trace_fuse_dax_reclaim(map, err);
	return err;
}

/**
 * fuse_dax_reclaim_detach - take a mapping from its inode without waiting
 * @map: the mapping; the caller has the only reference beside the tree's
 *
 * Context: Tries invalidate_lock of the inode, so that any other inode's may be
 * held. See fuse_dax_reclaim_detach_locked().
 * Return: as that function; also -EBUSY if the lock is taken.
 */
int fuse_dax_reclaim_detach(struct fuse_dax_map *map)
{
	struct address_space *mapping = map->inode->i_mapping;
	int err;

	if (!down_write_trylock(&mapping->invalidate_lock))
		return -EBUSY;
	err = fuse_dax_reclaim_detach_locked(map);
	up_write(&mapping->invalidate_lock);
	return err;
}

/* Ends what fuse_dax_window_victim() began; eviction of the inode may go on */
static void fuse_dax_reclaim_release(struct fuse_dax_map *map)
{
	struct fuse_dax_inode *di = map->di;

	fuse_dax_map_drop(map);
	/* The inode may go away as soon as the count is zero: no access to it */
	if (atomic_dec_and_test(&di->reclaimers))
		wake_up_var(&di->reclaimers);
}

static int fuse_dax_reclaim_victim(struct fuse_dax_map *map)
{
	int err = fuse_dax_reclaim_detach(map);

	if (err)
		/* Pinned or busy: as good as used */
		WRITE_ONCE(map->referenced, true);
	else
		fuse_dax_count(map->win, FUSE_DAX_RECLAIMED);
	fuse_dax_reclaim_release(map);
	return err;
}

/*
 * Takes a mapping that is spared out of page tables. The fault that puts it back
 * sends no request.
 */
VISIBLE_IF_KUNIT
void fuse_dax_reclaim_unmap(struct fuse_dax_map *map)
{
	struct address_space *mapping = map->inode->i_mapping;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_reclaim_unmap, map);
	if (mapping_mapped(mapping))
		unmap_mapping_range(mapping,
				    (loff_t)map->itn.start << PAGE_SHIFT,
				    fuse_dax_run_len(&map->run), 0);
}

/* What one call of fuse_dax_reclaim_steal() looks for: sizes, ranges */
struct fuse_dax_reclaim_look {
	unsigned int min, max;
	/* Victims that may still be spared */
	unsigned int spares;
};

/* Whether a mapping is of about the size wanted, and so can be taken over */
static bool fuse_dax_reclaim_fits(const struct fuse_dax_map *map,
				  unsigned int want)
{
	return map->run.nr <= want && map->run.nr >= DIV_ROUND_UP(want, 2);
}

/* Detaches the coldest mapping that can be; it comes with one reference */
static struct fuse_dax_map *
fuse_dax_reclaim_one(struct fuse_dax_window *win,
		     struct fuse_dax_reclaim_look *look)
{
	struct fuse_dax_map *map;
	unsigned int tries = 0;
	bool spare;

	while (tries < FUSE_DAX_RECLAIM_TRIES &&
	       (map = fuse_dax_window_victim(win, look->min, look->max,
					     &spare))) {
		if (spare && look->spares) {
			look->spares--;
			fuse_dax_reclaim_unmap(map);
			fuse_dax_reclaim_release(map);
			continue;
		}
		tries++;
		if (!fuse_dax_reclaim_victim(map))
			return map;
	}
	return NULL;
}

/*
 * Detaches mappings until one can be taken over; the others are left to the
 * worker. When enough ranges are on their way back from there, nothing more is
 * left to it. They are not waited for, since its answers may be long in coming.
 */
static int fuse_dax_reclaim_steal(struct fuse_dax_window *win,
				  unsigned int want, struct fuse_dax_run *run)
{
	bool fitting = fuse_dax_window_awaits(win, want);
	struct fuse_dax_reclaim_look look = {
		.min = fitting ? DIV_ROUND_UP(want, 2) : 1,
		.max = fitting ? want : UINT_MAX,
		.spares = min(READ_ONCE(win->nr_runs), FUSE_DAX_RECLAIM_SPARES),
	};
	struct fuse_dax_map *map;
	unsigned int nr = 0;

	while (nr < want && (map = fuse_dax_reclaim_one(win, &look))) {
		if (fuse_dax_reclaim_fits(map, want)) {
			*run = map->run;
			run->stale = true;
			fuse_dax_map_put(map);
			return 0;
		}
		nr += map->run.nr;
		fuse_dax_window_bury(map);
	}
	return -EAGAIN;
}

struct fuse_dax_reclaim {
	struct fuse_dax_window *win;
	unsigned int want;
	struct fuse_dax_run *run;
};

/*
 * In order of preference: what was wanted, a good part of it, somebody else's,
 * and what there is.
 */
static int fuse_dax_reclaim_try(void *data)
{
	struct fuse_dax_reclaim *rc = data;
	unsigned int half = DIV_ROUND_UP(rc->want, 2);
	int err;

	err = fuse_dax_window_take(rc->win, rc->want, half, rc->run);
	if (err != -EAGAIN)
		return err;
	if (READ_ONCE(rc->win->stopped))
		return -ENOTCONN;
	err = fuse_dax_reclaim_steal(rc->win, rc->want, rc->run);
	if (err != -EAGAIN)
		return err;
	return fuse_dax_window_take(rc->win, rc->want, 1, rc->run);
}

/**
 * fuse_dax_reclaim_run - get ranges, if need be from another mapping
 * @win: the window
 * @want: ranges wanted; fewer are given if that is what there is
 * @wait: whether to wait, killably, until there is at least one. Else tasks that
 *	wait come first
 * @run: filled in on success; may be stale
 *
 * Context: May sleep; with @wait until a range is free, so that neither an
 * invalidate_lock nor a reference to a mapping may be held.
 * Return: 0, -EAGAIN without @wait, -EINTR or -ENOTCONN.
 */
int fuse_dax_reclaim_run(struct fuse_dax_window *win, unsigned int want,
			 bool wait, struct fuse_dax_run *run)
{
	struct fuse_dax_reclaim rc = { .win = win, .want = want, .run = run };
	int err = -EAGAIN;

	if (!READ_ONCE(win->nr_waiters))
		err = fuse_dax_reclaim_try(&rc);
	if (err == -EAGAIN && wait)
		err = fuse_dax_window_wait(win, fuse_dax_reclaim_try, &rc);
	return err;
}

/**
 * fuse_dax_reclaim_age - look at the mapping that has waited longest
 * @win: the window
 *
 * For those who do without a range, and so take none from anybody: what nobody
 * uses any more must not keep the window from them. A mapping that was not used
 * since the last look is given up, any other is spared and gets its turn again.
 *
 * Context: Tries invalidate_lock of the mapping's inode.
 */
void fuse_dax_reclaim_age(struct fuse_dax_window *win)
{
	struct fuse_dax_map *map;
	bool spare, fleeting;

	map = fuse_dax_window_victim(win, 1, UINT_MAX, &spare);
	if (!map)
		return;
	fleeting = fuse_dax_window_keep(map);
	if (spare || fleeting) {
		fuse_dax_reclaim_unmap(map);
		fuse_dax_reclaim_release(map);
	} else if (!fuse_dax_reclaim_victim(map)) {
		fuse_dax_window_bury(map);
	}
}

static int fuse_dax_reclaim_send(struct fuse_dax_window *win,
				 struct list_head *batch)
{
	struct fuse_dax_map *map;
	unsigned int nr = 0;
	u64 nodeid = 0;

	list_for_each_entry(map, batch, list) {
		win->entries[nr].moffset = fuse_dax_run_moffset(&map->run);
		win->entries[nr].len = fuse_dax_run_len(&map->run);
		nodeid = map->nodeid;
		nr++;
	}
	return fuse_dax_req_remove(win, nodeid, nr);
}

/* One mapping that the server cannot remove must not condemn its whole batch */
static void fuse_dax_reclaim_send_each(struct fuse_dax_window *win,
				       struct list_head *batch)
{
	LIST_HEAD(one);

	while (!list_empty(batch)) {
		list_move(batch->next, &one);
		fuse_dax_window_removed(win, &one,
					fuse_dax_reclaim_send(win, &one));
	}
}

static bool fuse_dax_reclaim_gone(int err)
{
	return err == -ENOTCONN || err == -ECONNABORTED;
}

/* The server may have recovered: removes what it could not, until it fails */
static void fuse_dax_reclaim_bad(struct fuse_dax_window *win)
{
	struct fuse_dax_map *map;
	LIST_HEAD(batch);
	int err = 0;

	while (!err && (map = fuse_dax_window_bad(win))) {
		list_add(&map->list, &batch);
		err = fuse_dax_reclaim_send(win, &batch);
		fuse_dax_window_removed(win, &batch, err);
	}
	if (err && !READ_ONCE(win->stopped))
		queue_delayed_work(system_dfl_long_wq, &win->retry_work,
				   FUSE_DAX_RECLAIM_RETRY);
}

/**
 * fuse_dax_reclaim_retry_work - have removes that failed repeated
 * @work: &fuse_dax_window.retry_work
 */
void fuse_dax_reclaim_retry_work(struct work_struct *work)
{
	struct fuse_dax_window *win = container_of(work, typeof(*win),
						   retry_work.work);

	queue_work(system_dfl_long_wq, &win->remove_work);
}

/**
 * fuse_dax_reclaim_work - remove detached mappings from the server
 * @work: &fuse_dax_window.remove_work
 *
 * Context: Process context; sleeps until the server has answered.
 */
void fuse_dax_reclaim_work(struct work_struct *work)
{
	struct fuse_dax_window *win = container_of(work, typeof(*win),
						   remove_work);
	LIST_HEAD(batch);
	unsigned int nr;
	int err;

	while ((nr = fuse_dax_window_dying(win, FUSE_DAX_REMOVE_BATCH,
					   &batch))) {
		err = fuse_dax_reclaim_send(win, &batch);
		if (err && nr > 1 && !fuse_dax_reclaim_gone(err))
			fuse_dax_reclaim_send_each(win, &batch);
		else
			fuse_dax_window_removed(win, &batch, err);
	}
	fuse_dax_reclaim_bad(win);
}
