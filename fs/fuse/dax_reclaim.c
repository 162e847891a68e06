// SPDX-License-Identifier: GPL-2.0
/*
 * Whom to take ranges from, and the removes.
 *
 * What was used since reclaim last looked is spared once. It is unmapped, so that
 * use through page tables, which makes no call, comes as a fault and is seen.
 *
 * A detached run is either taken over by the task that needed one, whose setup
 * replaces the old mapping on the server, or removed by the worker in batches.
 */
#include "dax_i.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

/* How long until the server is asked again to remove what it could not */
#define FUSE_DAX_RECLAIM_RETRY	(5 * HZ)

/* Attempts to detach that may fail before reclaim gives up */
#define FUSE_DAX_RECLAIM_TRIES	16

/* Ranges of another file that may go for one miss */
#define FUSE_DAX_RECLAIM_FEW	4U

/* Victims that may be spared, which costs a flush of TLBs, for one that wants some */
#define FUSE_DAX_RECLAIM_SPARES	32

/* Ends what fuse_dax_window_victim() began; eviction of the inode may go on */
static void fuse_dax_reclaim_release(struct fuse_dax_map *map)
{
	struct fuse_dax_inode *di = map->di;

	fuse_dax_map_drop(map);
	/* The inode may go away as soon as the count is zero: no access to it */
	if (atomic_dec_and_test(&di->reclaimers))
		wake_up_var(&di->reclaimers);
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

/*
 * Who needs ranges, and what he may still take for them
 */
struct fuse_dax_reclaim {
	struct fuse_dax_window *win;
	const struct fuse_dax_inode *di;
	const struct fuse_dax_plan *plan;
	unsigned int want;
	struct fuse_dax_run *run;
	/* Attempts, and mappings that may be spared, and that were */
	unsigned int tries, spares, spared;
	/* What has been detached, ranges, and the largest run of it */
	unsigned int nr;
	struct fuse_dax_map *best;
};

/* How much of a mapping is wanted: a pass lives on what it has left behind */
static unsigned int fuse_dax_reclaim_most(const struct fuse_dax_reclaim *rc,
					  const struct fuse_dax_map *map)
{
	return map->di == rc->di ? rc->plan->nr :
				   min(rc->plan->nr, FUSE_DAX_RECLAIM_FEW);
}

/*
 * Detaches as much of a mapping as is wanted, or all of it; 0 or -errno. Where a
 * page is pinned the next attempts are for one range behind it.
 */
static int fuse_dax_reclaim_victim(struct fuse_dax_reclaim *rc,
				   struct fuse_dax_map *map)
{
	unsigned int max = map->run.nr, first = 0;
	int err;

	if (fuse_dax_window_cuts(rc->win)) {
		first = READ_ONCE(map->hand) % max;
		max = first ? 1 : min(max, fuse_dax_reclaim_most(rc, map));
	}
	err = fuse_dax_detach(map, first, max);
	if (err == -EBUSY)
		WRITE_ONCE(map->hand, first + 1);
	return err;
}

/* Whether a mapping may go for a miss, as far as is known of its use */
static bool fuse_dax_reclaim_may(struct fuse_dax_reclaim *rc,
				 const struct fuse_dax_map *map, bool used)
{
	/* What others do not use by now may have been spared a moment ago */
	if (rc->best && rc->spared && map->di != rc->di)
		return false;
	if (map->run.nr <= rc->plan->nr || fuse_dax_window_cuts(rc->win))
		return true;
	/*
	 * It would have to be removed first. That is of no use for who does not
	 * wait, if it is used, and once will do.
	 */
	return !rc->best && !fuse_dax_window_awaits(rc->win, rc->plan->nr) &&
	       (!used || (rc->want & FUSE_DAX_WANT_WAIT));
}

/* Detaches the coldest mapping that can be; it comes with one reference */
static struct fuse_dax_map *fuse_dax_reclaim_one(struct fuse_dax_reclaim *rc)
{
	struct fuse_dax_map *map;
	bool used;
	int err;

	while (rc->tries && !fatal_signal_pending(current) &&
	       (map = fuse_dax_window_victim(rc->win, &used))) {
		cond_resched();
		if (used && rc->spared < rc->spares) {
			rc->spared++;
			fuse_dax_reclaim_unmap(map);
			fuse_dax_reclaim_release(map);
			continue;
		}
		rc->tries--;
		err = -EBUSY;
		if (fuse_dax_reclaim_may(rc, map, used))
			err = fuse_dax_reclaim_victim(rc, map);
		/* Pinned or busy, or not its turn: as good as used */
		if (err)
			WRITE_ONCE(map->referenced, true);
		fuse_dax_reclaim_release(map);
		if (err)
			continue;
		fuse_dax_count(rc->win, FUSE_DAX_RECLAIMED);
		return map;
	}
	return NULL;
}

/* A pass that took single ranges would go on in small steps */
static unsigned int fuse_dax_reclaim_enough(const struct fuse_dax_reclaim *rc)
{
	return rc->plan->pass ? DIV_ROUND_UP(rc->plan->nr, 2) : 1;
}

/*
 * Detaches a mapping that can be taken over, or a part of one, so that nothing has
 * to be removed. A pass over a file goes on until it has a good part of what it
 * wants; the rest is left to the worker, and is there for its next miss.
 */
static int fuse_dax_reclaim_steal(struct fuse_dax_reclaim *rc)
{
	unsigned int want = rc->plan->nr;
	unsigned int enough = fuse_dax_reclaim_enough(rc);
	struct fuse_dax_map *map;

	while (rc->nr < want && (!rc->best || rc->best->run.nr < enough) &&
	       (map = fuse_dax_reclaim_one(rc))) {
		rc->nr += map->run.nr;
		if (map->run.nr <= want &&
		    (!rc->best || rc->best->run.nr < map->run.nr))
			swap(rc->best, map);
		if (map)
			fuse_dax_window_bury(map);
	}
	if (!rc->best)
		return fatal_signal_pending(current) ? -EINTR : -EAGAIN;
	*rc->run = rc->best->run;
	rc->run->stale = true;
	fuse_dax_map_put(rc->best);
	return 0;
}

/*
 * In order of preference: what is free, if a pass gets a good part of what it wants;
 * what gets pages in a moment; what others have; and what there is.
 */
static int fuse_dax_reclaim_try(void *data)
{
	struct fuse_dax_reclaim *rc = data;
	unsigned int want = rc->plan->nr;
	unsigned int least = fuse_dax_reclaim_enough(rc);
	int err;

	err = fuse_dax_window_take(rc->win, want, least, rc->run);
	if (err != -EAGAIN)
		return err;
	if (READ_ONCE(rc->win->stopped))
		return -ENOTCONN;
	if (fuse_dax_window_grows(rc->win, least))
		return fuse_dax_window_take(rc->win, want, 1, rc->run);
	rc->tries = FUSE_DAX_RECLAIM_TRIES;
	rc->spares = min(READ_ONCE(rc->win->nr_live), FUSE_DAX_RECLAIM_SPARES);
	rc->spared = 0;
	rc->nr = 0;
	rc->best = NULL;
	err = fuse_dax_reclaim_steal(rc);
	if (err != -EAGAIN)
		return err;
	return fuse_dax_window_take(rc->win, want, 1, rc->run);
}

/**
 * fuse_dax_reclaim_run - get ranges, if need be from another mapping
 * @win: the window
 * @di: of the file that needs them
 * @plan: what for; fewer ranges are given if that is what there is
 * @want: &enum fuse_dax_want: whether to wait, killably, until there is at least
 *	one, and how long. Else tasks that wait come first
 * @run: filled in on success; may be stale
 *
 * While others have all there is, one mapping goes as a rule, of which no more than
 * is wanted where it can be given up in parts. Where it cannot be taken over as it
 * is, it is removed, and that is waited for, or the next one who comes finds it.
 *
 * Context: May sleep; with %FUSE_DAX_WANT_WAIT until a range is free, so that
 * neither an invalidate_lock nor a reference to a mapping may be held.
 * Return: 0, -EAGAIN if there is none, -EINTR or -ENOTCONN.
 */
int fuse_dax_reclaim_run(struct fuse_dax_window *win,
			 const struct fuse_dax_inode *di,
			 const struct fuse_dax_plan *plan, unsigned int want,
			 struct fuse_dax_run *run)
{
	struct fuse_dax_reclaim rc = {
		.win = win, .di = di, .plan = plan, .want = want, .run = run,
	};
	int err = -EAGAIN;

	if (!READ_ONCE(win->nr_waiters))
		err = fuse_dax_reclaim_try(&rc);
	if (err == -EAGAIN && (want & FUSE_DAX_WANT_WAIT))
		err = fuse_dax_window_wait(win, want, fuse_dax_reclaim_try,
					   &rc);
	return err;
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

	queue_work(system_highpri_wq, &win->remove_work);
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
