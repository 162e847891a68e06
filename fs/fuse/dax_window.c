// SPDX-License-Identifier: GPL-2.0
/*
 * The ranges of the DAX window: who has which, whose turn it is to give one
 * back, and who waits for one.
 *
 * Everything here is short work under one spinlock; nothing sends a request,
 * and nothing looks into an inode.
 */
#include "dax_i.h"

#include <linux/bitmap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#define CREATE_TRACE_POINTS
#include "dax_trace.h"

/*
 * How long a waiter sleeps before it looks again by itself. A page that another
 * subsystem has pinned becomes idle without anybody telling us.
 */
#define FUSE_DAX_POLL	(HZ / 10)

/* One in so many mappings that others had to go for stays, whatever it is */
#define FUSE_DAX_STAYS	4

/**
 * fuse_dax_map_put - drop a reference to a mapping
 * @map: the mapping
 *
 * Context: Any that may wake up tasks. Takes no lock if nobody waits.
 */
void fuse_dax_map_put(struct fuse_dax_map *map)
{
	struct fuse_dax_window *win = map->win;

	if (refcount_dec_and_test(&map->ref)) {
		kfree(map);
		return;
	}

	/*
	 * Reclaim skips a mapping with users, and this may have been the last.
	 * The barrier pairs with the one in fuse_dax_window_add_waiter(): either
	 * we see the waiter or it sees the reference gone.
	 */
	smp_mb__after_atomic();
	if (READ_ONCE(win->nr_waiters))
		wake_up(&win->wait);
}

/**
 * fuse_dax_window_new - describe a window
 * @dev: the memory; NULL in unit tests
 * @nr_ranges: its size in ranges, at least 1
 *
 * A file's share is half of the window: one file never drives out all others,
 * and the number of setups for a large file stays near the minimum.
 *
 * Return: the window or NULL if there is no memory.
 */
struct fuse_dax_window *fuse_dax_window_new(struct dax_device *dev,
					    unsigned int nr_ranges)
{
	struct fuse_dax_window *win;

	win = kzalloc_obj(*win);
	if (!win)
		return NULL;

	win->used = bitmap_zalloc(nr_ranges, GFP_KERNEL);
	win->entries = (void *)get_zeroed_page(GFP_KERNEL);
	if (!win->used || !win->entries) {
		fuse_dax_window_free(win);
		return NULL;
	}

	win->dev = dev;
	win->nr_ranges = nr_ranges;
	win->max_run = max(nr_ranges / 2, 1U);
	win->nr_free = nr_ranges;
	win->max_runs = UINT_MAX;
	spin_lock_init(&win->lock);
	INIT_LIST_HEAD(&win->lru);
	INIT_LIST_HEAD(&win->dying);
	INIT_LIST_HEAD(&win->bad);
	init_waitqueue_head(&win->wait);
	return win;
}

static void fuse_dax_window_drop(struct list_head *list)
{
	struct fuse_dax_map *map, *next;

	list_for_each_entry_safe(map, next, list, list) {
		list_del(&map->list);
		WARN_ON_ONCE(refcount_read(&map->ref) != 1);
		kfree(map);
	}
}

/**
 * fuse_dax_window_free - free a window
 * @win: the window, with no mapping in any tree and no work pending
 *
 * Mappings whose remove was not sent or failed go with it: the server forgets
 * all mappings when the connection ends.
 */
void fuse_dax_window_free(struct fuse_dax_window *win)
{
	if (win->nr_ranges) {
		WARN_ON_ONCE(!list_empty(&win->lru));
		fuse_dax_window_drop(&win->dying);
		fuse_dax_window_drop(&win->bad);
	}
	free_page((unsigned long)win->entries);
	bitmap_free(win->used);
	kfree(win);
}

/* Wakes the task that waits longest */
static void fuse_dax_window_wake(struct fuse_dax_window *win)
{
	lockdep_assert_held(&win->lock);
	if (win->nr_waiters)
		wake_up(&win->wait);
}

/* The first hole of @want ranges, else the largest; its size, 0 if none */
static unsigned int fuse_dax_window_hole(const struct fuse_dax_window *win,
					 unsigned int want, unsigned int *first)
{
	unsigned int start, end, best = 0;

	lockdep_assert_held(&win->lock);
	for_each_clear_bitrange(start, end, win->used, win->nr_ranges) {
		if (end - start <= best)
			continue;
		*first = start;
		best = end - start;
		if (best >= want)
			return want;
	}
	return best;
}

/**
 * fuse_dax_window_take - take free ranges
 * @win: the window
 * @want: ranges wanted
 * @min: ranges to be content with, 1 to @want
 * @run: filled in on success; never stale
 *
 * Context: Takes &fuse_dax_window.lock.
 * Return: 0, -EAGAIN if there is no such run or the server's budget of mappings
 * is spent, -ENOTCONN if the window was stopped.
 */
int fuse_dax_window_take(struct fuse_dax_window *win, unsigned int want,
			 unsigned int min, struct fuse_dax_run *run)
{
	unsigned int first = 0, nr;

	guard(spinlock)(&win->lock);
	if (win->stopped)
		return -ENOTCONN;
	if (win->nr_runs >= win->max_runs)
		return -EAGAIN;

	nr = fuse_dax_window_hole(win, want, &first);
	if (nr < min)
		return -EAGAIN;

	bitmap_set(win->used, first, nr);
	win->nr_free -= nr;
	win->nr_runs++;
	*run = (struct fuse_dax_run) { .first = first, .nr = nr };
	return 0;
}

static void fuse_dax_window_clear(struct fuse_dax_window *win,
				  unsigned int first, unsigned int nr)
{
	lockdep_assert_held(&win->lock);
	bitmap_clear(win->used, first, nr);
	win->nr_free += nr;
	fuse_dax_window_wake(win);
}

/**
 * fuse_dax_window_give - give ranges back
 * @win: the window
 * @run: what fuse_dax_window_take() gave; not stale
 *
 * Context: Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_give(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run)
{
	WARN_ON_ONCE(run->stale);
	guard(spinlock)(&win->lock);
	win->nr_runs--;
	fuse_dax_window_clear(win, run->first, run->nr);
}

/**
 * fuse_dax_window_trim - give back the tail of a run
 * @win: the window
 * @run: not stale, for a stale run is replaced as a whole
 * @nr: ranges to keep, at least 1
 *
 * Context: Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_trim(struct fuse_dax_window *win,
			  struct fuse_dax_run *run, unsigned int nr)
{
	if (nr >= run->nr || WARN_ON_ONCE(run->stale))
		return;

	guard(spinlock)(&win->lock);
	fuse_dax_window_clear(win, run->first + nr, run->nr - nr);
	run->nr = nr;
}

/**
 * fuse_dax_window_limit - remember that the server has no resources for more
 * @win: the window
 *
 * To be called with the run of the refused setup still taken, once for each of
 * those that are refused at the same time. The limit is kept until the window
 * goes: the server's resources are a configured budget.
 *
 * Context: Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_limit(struct fuse_dax_window *win)
{
	guard(spinlock)(&win->lock);
	win->max_runs = max(min(win->max_runs, win->nr_runs), 2U) - 1;
}

/*
 * Whether a mapping that others had to go for is to stay, as one that there was
 * room for: because its file lost a fleeting one a moment ago, and so is used
 * more than once, or because it is its turn, so that what has stayed for long
 * goes at last. To have lost one that stayed says nothing: when files are used
 * in turn, that is the one which is needed next.
 */
static bool fuse_dax_window_stays(const struct fuse_dax_window *win,
				  const struct fuse_dax_inode *di)
{
	lockdep_assert_held(&win->lock);
	return win->withdrawn % FUSE_DAX_STAYS == 0 ||
	       (di->withdrawn &&
		win->withdrawn - di->withdrawn <= win->nr_runs / FUSE_DAX_STAYS);
}

/**
 * fuse_dax_window_publish - a mapping became LIVE and may be reclaimed
 * @map: the mapping
 *
 * While there is room it is the last to go. When others have gone for it, it is
 * as a rule the next: what is used in turn, and is more than the window holds,
 * would else always miss what has just gone.
 *
 * Context: &fuse_dax_inode.sem held for write. Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_publish(struct fuse_dax_map *map)
{
	struct fuse_dax_window *win = map->win;

	lockdep_assert_held_write(&map->di->sem);
	guard(spinlock)(&win->lock);
	map->fleeting = !map->renewed && fuse_dax_window_pressed(win) &&
			!fuse_dax_window_stays(win, map->di);
	if (map->fleeting)
		list_add(&map->list, &win->lru);
	else
		list_add_tail(&map->list, &win->lru);
}

/**
 * fuse_dax_window_withdraw - a mapping is no longer to be reclaimed
 * @map: the mapping, being detached
 *
 * Context: &fuse_dax_inode.sem held. Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_withdraw(struct fuse_dax_map *map)
{
	lockdep_assert_held(&map->di->sem);
	guard(spinlock)(&map->win->lock);
	list_del_init(&map->list);
	map->win->withdrawn++;
	if (map->fleeting)
		map->di->withdrawn = map->win->withdrawn;
}

/**
 * fuse_dax_window_victim - choose the mapping to reclaim next
 * @win: the window
 * @min: least number of ranges that it should have
 * @max: the greatest
 * @spare: set to whether it was used since it was last looked at, other than by
 *	a first burst: then it should get a second chance and be left where it
 *	is, this once
 *
 * What somebody uses now is passed over. What is of another size stays where it is
 * in the order, and its use is not forgotten.
 *
 * Context: Takes &fuse_dax_window.lock.
 * Return: the mapping, moved to the end of the list, with a reference for the
 * caller, and with its inode kept from eviction until the caller drops
 * &fuse_dax_inode.reclaimers; NULL if there is none. It may be detached by
 * others meanwhile: who wants to detach it has to check its state under
 * &fuse_dax_inode.sem.
 */
struct fuse_dax_map *fuse_dax_window_victim(struct fuse_dax_window *win,
					    unsigned int min, unsigned int max,
					    bool *spare)
{
	struct fuse_dax_map *map, *next, *end = NULL;

	guard(spinlock)(&win->lock);
	list_for_each_entry_safe(map, next, &win->lru, list) {
		if (map == end)
			return NULL;
		if (map->run.nr < min || map->run.nr > max)
			continue;
		list_move_tail(&map->list, &win->lru);
		if (!end)
			end = map;
		if (refcount_read(&map->ref) > 1) {
			map->fleeting = false;
			continue;
		}
		/* First use comes as a burst, which says nothing yet */
		*spare = READ_ONCE(map->referenced) && !map->fleeting;
		if (*spare)
			WRITE_ONCE(map->referenced, false);
		atomic_inc(&map->di->reclaimers);
		fuse_dax_map_get(map);
		return map;
	}
	return NULL;
}

/**
 * fuse_dax_window_keep - let a mapping take its turn like others
 * @map: the mapping
 *
 * Context: Takes &fuse_dax_window.lock.
 * Return: whether it was fleeting, the next to be reclaimed, until now.
 */
bool fuse_dax_window_keep(struct fuse_dax_map *map)
{
	bool fleeting;

	guard(spinlock)(&map->win->lock);
	fleeting = map->fleeting;
	map->fleeting = false;
	if (fleeting)
		WRITE_ONCE(map->referenced, false);
	return fleeting;
}

/**
 * fuse_dax_window_bury - have a detached mapping removed
 * @map: the mapping, in no tree and on no list; its last reference is taken over
 *
 * Its ranges become free when the server has answered the remove, or at once if
 * the window was stopped: the end of the connection removes everything.
 *
 * Context: Takes &fuse_dax_window.lock. Does not sleep: called from eviction.
 */
void fuse_dax_window_bury(struct fuse_dax_map *map)
{
	struct fuse_dax_window *win = map->win;
	bool stopped;

	spin_lock(&win->lock);
	stopped = win->stopped;
	if (stopped) {
		win->nr_runs--;
		fuse_dax_window_clear(win, map->run.first, map->run.nr);
	} else {
		list_add_tail(&map->list, &win->dying);
		win->nr_dying += map->run.nr;
		queue_work(system_dfl_long_wq, &win->remove_work);
	}
	spin_unlock(&win->lock);

	if (stopped)
		fuse_dax_map_put(map);
}

/**
 * fuse_dax_window_awaits - whether enough ranges are on their way back
 * @win: the window
 * @want: how many the caller wants; those who wait are taken to want one
 *
 * Return: true if no more removes are needed to have as many. A hint.
 */
bool fuse_dax_window_awaits(struct fuse_dax_window *win, unsigned int want)
{
	unsigned int waiters = READ_ONCE(win->nr_waiters);

	/* The caller may be one of them */
	return READ_ONCE(win->nr_dying) >= want + max(waiters, 1U) - 1;
}

/**
 * fuse_dax_window_dying - take the next batch of mappings to remove
 * @win: the window
 * @max: how many at the most
 * @batch: empty list that receives them; all of one inode, because a remove
 *	request is sent to one nodeid
 *
 * Context: Takes &fuse_dax_window.lock. The remove worker only.
 * Return: how many.
 */
unsigned int fuse_dax_window_dying(struct fuse_dax_window *win,
				   unsigned int max, struct list_head *batch)
{
	struct fuse_dax_map *map, *next;
	unsigned int nr = 0;
	u64 nodeid = 0;

	guard(spinlock)(&win->lock);
	list_for_each_entry_safe(map, next, &win->dying, list) {
		if (!nr)
			nodeid = map->nodeid;
		else if (map->nodeid != nodeid)
			continue;
		list_move_tail(&map->list, batch);
		if (++nr == max)
			break;
	}
	return nr;
}

/**
 * fuse_dax_window_bad - take a mapping whose remove failed, to try again
 * @win: the window
 *
 * Context: Takes &fuse_dax_window.lock. The remove worker only.
 * Return: the mapping or NULL.
 */
struct fuse_dax_map *fuse_dax_window_bad(struct fuse_dax_window *win)
{
	struct fuse_dax_map *map;

	guard(spinlock)(&win->lock);
	map = list_first_entry_or_null(&win->bad, struct fuse_dax_map, list);
	if (map) {
		list_del_init(&map->list);
		win->nr_bad -= map->run.nr;
		win->nr_dying += map->run.nr;
	}
	return map;
}

/**
 * fuse_dax_window_removed - the server has answered a remove
 * @win: the window
 * @batch: the mappings it was about; empty afterwards
 * @error: 0 frees their ranges; else these are quarantined, because the server
 *	may still show another file there
 *
 * Context: Takes &fuse_dax_window.lock. The remove worker only.
 */
void fuse_dax_window_removed(struct fuse_dax_window *win,
			     struct list_head *batch, int error)
{
	struct fuse_dax_map *map, *next;

	spin_lock(&win->lock);
	list_for_each_entry_safe(map, next, batch, list) {
		win->nr_dying -= map->run.nr;
		if (error) {
			list_move_tail(&map->list, &win->bad);
			win->nr_bad += map->run.nr;
		} else {
			win->nr_runs--;
			fuse_dax_window_clear(win, map->run.first, map->run.nr);
		}
	}
	spin_unlock(&win->lock);

	list_for_each_entry_safe(map, next, batch, list) {
		list_del(&map->list);
		fuse_dax_map_put(map);
	}
}

/**
 * fuse_dax_window_stop - let no mapping be made or found any more
 * @win: the window
 *
 * Context: Takes &fuse_dax_window.lock. Wakes all waiters, who then fail.
 */
void fuse_dax_window_stop(struct fuse_dax_window *win)
{
	spin_lock(&win->lock);
	WRITE_ONCE(win->stopped, true);
	spin_unlock(&win->lock);
	wake_up_all(&win->wait);
}

/**
 * fuse_dax_window_disable - the server does not do setups
 * @win: the window of the connection
 *
 * Files that are in use go on without memory: reads and writes fall back, they
 * cannot be mapped. All others, and these when they are closed, are dropped from
 * the caches, and are ordinary files from then on.
 */
void fuse_dax_window_disable(struct fuse_dax_window *win)
{
	if (xchg(&win->disabled, true))
		return;
	pr_notice("server does not map files, DAX is not used\n");
	queue_work(system_dfl_long_wq, &win->disable_work);
}

/**
 * fuse_dax_window_pressed - whether a range would be taken from somebody
 * @win: the window
 *
 * Return: true if there are no free ranges, or the server holds as many mappings
 * as it can, or somebody waits. A hint.
 */
bool fuse_dax_window_pressed(struct fuse_dax_window *win)
{
	return !READ_ONCE(win->nr_free) || READ_ONCE(win->nr_waiters) ||
	       READ_ONCE(win->nr_runs) >= READ_ONCE(win->max_runs);
}

static void fuse_dax_window_add_waiter(struct fuse_dax_window *win)
{
	spin_lock(&win->lock);
	WRITE_ONCE(win->nr_waiters, win->nr_waiters + 1);
	spin_unlock(&win->lock);
	/* Pairs with the barrier in fuse_dax_map_put() */
	smp_mb();
}

static void fuse_dax_window_del_waiter(struct fuse_dax_window *win)
{
	spin_lock(&win->lock);
	WRITE_ONCE(win->nr_waiters, win->nr_waiters - 1);
	/* What this task leaves over is for the next in line */
	fuse_dax_window_wake(win);
	spin_unlock(&win->lock);
}

/**
 * fuse_dax_window_wait - try until it works
 * @win: the window
 * @try: called without a lock; may sleep. -EAGAIN means wait and try again
 * @data: for @try
 *
 * Waiters are served in the order in which they came, as far as what they try
 * allows. The wait ends with a fatal signal.
 *
 * Context: May sleep. No lock that reclaim needs may be held: neither
 * invalidate_lock nor &fuse_dax_inode.sem.
 * Return: what @try returned, -EINTR, or -ENOTCONN if the window was stopped.
 */
int fuse_dax_window_wait(struct fuse_dax_window *win,
			 int (*try)(void *data), void *data)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err;

	fuse_dax_count(win, FUSE_DAX_WAITS);
	trace_fuse_dax_wait(READ_ONCE(win->nr_free),
			    READ_ONCE(win->nr_waiters));
	fuse_dax_window_add_waiter(win);
	add_wait_queue_exclusive(&win->wait, &wait);
	while ((err = try(data)) == -EAGAIN) {
		if (READ_ONCE(win->stopped)) {
			err = -ENOTCONN;
			break;
		}
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		wait_woken(&wait, TASK_KILLABLE, FUSE_DAX_POLL);
	}
	remove_wait_queue(&win->wait, &wait);
	fuse_dax_window_del_waiter(win);
	return err;
}
