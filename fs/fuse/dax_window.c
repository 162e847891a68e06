// SPDX-License-Identifier: GPL-2.0
/*
 * The ranges of the DAX window: who has which, which are on their way back, and
 * who waits for one.
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

/* How long those wait who have another way. One of them waits for all, so long */
#define FUSE_DAX_BRIEF	(HZ / 5)
#define FUSE_DAX_STARVED HZ

/* Holes that are looked at for one that is large enough: there may be many */
#define FUSE_DAX_HOLES	1024

/* Mappings of other inodes that may be looked at for one to be removed too */
#define FUSE_DAX_LOOKS	64

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
	win->starts = bitmap_zalloc(nr_ranges, GFP_KERNEL);
	win->maps = kvzalloc_objs(*win->maps, nr_ranges);
	win->entries = (void *)get_zeroed_page(GFP_KERNEL);
	win->stats = alloc_percpu(struct fuse_dax_stats);
	if (!win->used || !win->starts || !win->maps || !win->entries ||
	    !win->stats) {
		fuse_dax_window_free(win);
		return NULL;
	}

	win->dev = dev;
	win->nr_ranges = nr_ranges;
	win->max_run = max(nr_ranges / 2, 1U);
	win->nr_free = nr_ranges;
	win->max_runs = UINT_MAX;
	win->known_runs = UINT_MAX;
	win->probe_at = jiffies;
	win->starved = jiffies;
	win->grow_at = jiffies;
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
	kvfree(win->pieces);
	free_percpu(win->stats);
	free_page((unsigned long)win->entries);
	kvfree(win->maps);
	bitmap_free(win->starts);
	bitmap_free(win->used);
	kfree(win);
}

/**
 * fuse_dax_window_list - let a mapping be found by its place in the window
 * @map: the mapping, about to be on a list of the window
 *
 * Context: &fuse_dax_window.lock held.
 */
void fuse_dax_window_list(struct fuse_dax_map *map)
{
	lockdep_assert_held(&map->win->lock);
	map->win->maps[map->run.first] = map;
	__set_bit(map->run.first, map->win->starts);
}

/**
 * fuse_dax_window_unlist - let it be found no more
 * @map: the mapping, about to leave its list
 *
 * Context: &fuse_dax_window.lock held.
 */
void fuse_dax_window_unlist(struct fuse_dax_map *map)
{
	lockdep_assert_held(&map->win->lock);
	__clear_bit(map->run.first, map->win->starts);
}

/* Wakes the task that waits longest */
static void fuse_dax_window_wake(struct fuse_dax_window *win)
{
	lockdep_assert_held(&win->lock);
	if (win->nr_waiters)
		wake_up(&win->wait);
}

/* A hole of @want ranges, else the largest that is found; its size, 0 if none */
static unsigned int fuse_dax_window_hole(const struct fuse_dax_window *win,
					 unsigned int want, unsigned int *first)
{
	unsigned int start, end, best = 0, looks = FUSE_DAX_HOLES;

	lockdep_assert_held(&win->lock);
	if (!win->nr_free)
		return 0;
	for_each_clear_bitrange(start, end, win->used, win->nr_ranges) {
		if (!looks--)
			break;
		if (end - start <= best)
			continue;
		*first = start;
		best = end - start;
		if (best >= want)
			return want;
		/* There is no other */
		if (best == win->nr_free)
			break;
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
	if (win->nr_runs >= win->max_runs && !fuse_dax_window_probe(win))
		return -EAGAIN;

	nr = fuse_dax_window_hole(win, want, &first);
	if (nr < min) {
		fuse_dax_window_ahead(win, want, 0);
		return -EAGAIN;
	}

	bitmap_set(win->used, first, nr);
	win->nr_free -= nr;
	win->nr_runs++;
	fuse_dax_window_ahead(win, want, nr);
	*run = (struct fuse_dax_run) { .first = first, .nr = nr };
	return 0;
}

static void fuse_dax_window_clear(struct fuse_dax_window *win,
				  unsigned int first, unsigned int nr)
{
	lockdep_assert_held(&win->lock);
	bitmap_clear(win->used, first, nr);
	/* What began there is gone */
	__clear_bit(first, win->starts);
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
		fuse_dax_window_list(map);
		win->nr_dying += map->run.nr;
		/* Others wait for these ranges, or for word that they are given up */
		queue_work(system_highpri_wq, &win->remove_work);
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
	unsigned int nr = 0, others = 0;
	struct fuse_dax_map *map, *next;
	u64 nodeid = 0;

	guard(spinlock)(&win->lock);
	list_for_each_entry_safe(map, next, &win->dying, list) {
		if (!nr) {
			nodeid = map->nodeid;
		} else if (map->nodeid != nodeid) {
			if (++others == FUSE_DAX_LOOKS)
				break;
			continue;
		}
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
	/* Before the window is emptied: pairs with fuse_dax_transferred() */
	smp_mb();
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
 * Return: true if there are no free ranges, or somebody waits, and no more get pages;
 * or the server holds as many mappings as it can. A hint.
 */
bool fuse_dax_window_pressed(struct fuse_dax_window *win)
{
	return ((!READ_ONCE(win->nr_free) || READ_ONCE(win->nr_waiters)) &&
		!fuse_dax_window_can_grow(win)) ||
	       (READ_ONCE(win->nr_runs) >= READ_ONCE(win->max_runs) &&
		time_before(jiffies, READ_ONCE(win->probe_at)));
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

/* How long to wait, jiffies */
static long fuse_dax_window_patience(struct fuse_dax_window *win,
				     unsigned int want)
{
	if (!(want & FUSE_DAX_WANT_BRIEF))
		return want & FUSE_DAX_WANT_LOCKED ? FUSE_DAX_BRIEF :
						     MAX_SCHEDULE_TIMEOUT;
	/* Who has no other way now comes back at once */
	if (!(want & FUSE_DAX_WANT_MAPPED) &&
	    time_before(jiffies, READ_ONCE(win->starved)))
		return 0;
	return FUSE_DAX_BRIEF;
}

/* The end of a wait that was in vain: -EINTR, -ENOTCONN, or 0: not yet */
static int fuse_dax_window_given_up(struct fuse_dax_window *win)
{
	if (READ_ONCE(win->stopped))
		return -ENOTCONN;
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * fuse_dax_window_wait - try until it works
 * @win: the window
 * @want: %FUSE_DAX_WANT_BRIEF, %FUSE_DAX_WANT_MAPPED, and %FUSE_DAX_WANT_LOCKED
 * @try: called without a lock; may sleep. -EAGAIN means wait and try again
 * @data: for @try
 *
 * Waiters are served in the order in which they came, as far as what they try
 * allows. The wait ends with a fatal signal, and a brief one by itself.
 *
 * Context: May sleep. No lock that reclaim needs may be held: neither
 * invalidate_lock nor &fuse_dax_inode.sem.
 * Return: what @try returned, -EINTR, or -ENOTCONN if the window was stopped.
 * -EAGAIN if the wait was a brief one.
 */
int fuse_dax_window_wait(struct fuse_dax_window *win, unsigned int want,
			 int (*try)(void *data), void *data)
{
	long left = fuse_dax_window_patience(win, want);
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	unsigned long until = jiffies + left;
	int err, end;

	if (!left)
		return -EAGAIN;
	fuse_dax_count(win, FUSE_DAX_WAITS);
	trace_fuse_dax_wait(READ_ONCE(win->nr_free),
			    READ_ONCE(win->nr_waiters));
	fuse_dax_window_add_waiter(win);
	add_wait_queue_exclusive(&win->wait, &wait);
	while ((err = try(data)) == -EAGAIN) {
		end = fuse_dax_window_given_up(win);
		if (end || left <= 0) {
			err = end ?: -EAGAIN;
			break;
		}
		wait_woken(&wait, TASK_KILLABLE, min(left, FUSE_DAX_POLL));
		/* Also what others wake, and what trying takes */
		if (left != MAX_SCHEDULE_TIMEOUT)
			left = (long)(until - jiffies);
	}
	remove_wait_queue(&win->wait, &wait);
	fuse_dax_window_del_waiter(win);
	if (err == -EAGAIN && (want & FUSE_DAX_WANT_BRIEF))
		WRITE_ONCE(win->starved, jiffies + FUSE_DAX_STARVED);
	return err;
}
