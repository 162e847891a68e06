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

/* Parts of a mapping that are tried, beginning with as much as is wanted */
#define FUSE_DAX_RECLAIM_PARTS	4U

/* Mappings of others, fleeting ones apart, that may go for one miss */
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
	/* Attempts, mappings that may be spared, and those of others to be taken */
	unsigned int tries, spares, few;
	/* What has been detached, ranges, and the largest run of it */
	unsigned int nr;
	struct fuse_dax_map *best;
};

/*
 * Detaches @max ranges of a mapping at the most, or all of it; 0 or -errno. Where
 * a page is pinned, one range beside it will do.
 */
static int fuse_dax_reclaim_victim(struct fuse_dax_reclaim *rc,
				   struct fuse_dax_map *map, unsigned int max)
{
	unsigned int nr = map->run.nr, first = 0, parts;
	int err = -EAGAIN;

	if (!fuse_dax_window_cuts(rc->win) || nr == 1) {
		rc->tries--;
		return fuse_dax_detach(map, 0, nr);
	}

	max = min(max, nr);
	for (parts = min(rc->tries, FUSE_DAX_RECLAIM_PARTS); parts; parts--) {
		rc->tries--;
		first = READ_ONCE(map->hand);
		if (first + max > nr)
			first = 0;
		err = fuse_dax_detach(map, first, max);
		if (err != -EBUSY)
			break;
		WRITE_ONCE(map->hand, max > 1 ? first : first + 1);
		max = 1;
	}
	return err;
}

/* Whether nobody loses what he uses: a pass has left it, or nobody has come back */
static bool fuse_dax_reclaim_cheap(struct fuse_dax_reclaim *rc,
				   const struct fuse_dax_map *map,
				   enum fuse_dax_use use)
{
	return use == FUSE_DAX_FLEETING ||
	       (use == FUSE_DAX_COLD && map->di == rc->di);
}

/*
 * How much of a mapping may go for a miss, as far as is known of its use. What has
 * gone already is for the same miss.
 */
static unsigned int fuse_dax_reclaim_may(struct fuse_dax_reclaim *rc,
					 const struct fuse_dax_map *map,
					 enum fuse_dax_use use)
{
	unsigned int max = rc->plan->nr - rc->nr;

	/*
	 * It would have to be removed first. That is of no use for who does not
	 * wait, if it is used, and once will do.
	 */
	if (map->run.nr > max && !fuse_dax_window_cuts(rc->win) &&
	    (rc->best || fuse_dax_window_awaits(rc->win, rc->plan->nr) ||
	     (use == FUSE_DAX_USED && !(rc->want & FUSE_DAX_WANT_WAIT))))
		return 0;
	/* A pass cuts no more off what it takes over than it has to */
	if (fuse_dax_reclaim_cheap(rc, map, use))
		return rc->plan->pass ? rc->plan->nr : max;
	if (!rc->few || (rc->best && use == FUSE_DAX_USED))
		return 0;
	return min(max, FUSE_DAX_RECLAIM_FEW);
}

/* Detaches what may go of a mapping; 0 or -errno */
static int fuse_dax_reclaim_attempt(struct fuse_dax_reclaim *rc,
				    struct fuse_dax_map *map,
				    enum fuse_dax_use use)
{
	unsigned int max = fuse_dax_reclaim_may(rc, map, use);
	int err;

	if (!max) {
		rc->tries--;
		/* It was not its turn: what is known of its use stays */
		if (use == FUSE_DAX_USED)
			WRITE_ONCE(map->referenced, true);
		return -EBUSY;
	}
	err = fuse_dax_reclaim_victim(rc, map, max);
	if (err) {
		/* Pinned or busy: as good as used */
		WRITE_ONCE(map->referenced, true);
		return err;
	}
	fuse_dax_count(rc->win, FUSE_DAX_RECLAIMED);
	if (!fuse_dax_reclaim_cheap(rc, map, use))
		rc->few--;
	return 0;
}

/* Detaches the coldest mapping that can be; it comes with one reference */
static struct fuse_dax_map *fuse_dax_reclaim_one(struct fuse_dax_reclaim *rc)
{
	struct fuse_dax_map *map;
	enum fuse_dax_use use;
	int err;

	while (rc->tries && !fatal_signal_pending(current) &&
	       (map = fuse_dax_window_victim(rc->win, &use))) {
		cond_resched();
		if (use == FUSE_DAX_USED && rc->spares) {
			rc->spares--;
			fuse_dax_reclaim_unmap(map);
			fuse_dax_reclaim_release(map);
			continue;
		}
		err = fuse_dax_reclaim_attempt(rc, map, use);
		fuse_dax_reclaim_release(map);
		if (!err)
			return map;
	}
	return NULL;
}

/* A good part of what is wanted */
static unsigned int fuse_dax_reclaim_half(const struct fuse_dax_reclaim *rc)
{
	return DIV_ROUND_UP(rc->plan->nr, 2);
}

/*
 * Detaches a mapping that can be taken over, or a part of one, so that nothing has
 * to be removed. A pass over a file goes on until it has a good part of what it
 * wants; the rest is left to the worker, and is there for its next miss.
 */
static int fuse_dax_reclaim_steal(struct fuse_dax_reclaim *rc)
{
	unsigned int want = rc->plan->nr;
	unsigned int enough = rc->plan->pass ? fuse_dax_reclaim_half(rc) : 1;
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
 * In order of preference: what was wanted, or a good part of it, or as much as
 * others would be made to give; what others have; and what there is.
 */
static int fuse_dax_reclaim_try(void *data)
{
	struct fuse_dax_reclaim *rc = data;
	unsigned int want = rc->plan->nr;
	unsigned int least = fuse_dax_reclaim_half(rc);
	int err;

	/* A pass that took small holes would go on in small steps */
	if (!rc->plan->pass)
		least = min(least, FUSE_DAX_RECLAIM_FEW);

	err = fuse_dax_window_take(rc->win, want, least, rc->run);
	if (err != -EAGAIN)
		return err;
	if (READ_ONCE(rc->win->stopped))
		return -ENOTCONN;
	rc->tries = FUSE_DAX_RECLAIM_TRIES;
	rc->spares = min(READ_ONCE(rc->win->nr_live), FUSE_DAX_RECLAIM_SPARES);
	rc->few = FUSE_DAX_RECLAIM_FEW;
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
