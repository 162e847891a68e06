// SPDX-License-Identifier: GPL-2.0
/*
 * Which ranges have pages, and when more are to get some. Those without are taken, for
 * all that others know.
 */
#include "dax_i.h"

#include <linux/bitmap.h>

/* Free ranges below which more get pages, so that they are there in time */
#define FUSE_DAX_AHEAD		16U

/* Free ranges that are left when others lose their pages: more do not come at once */
#define FUSE_DAX_KEEP		(2 * FUSE_DAX_AHEAD)

/* More than these, for who wants many: two pieces, so that few come in vain */
#define FUSE_DAX_AHEAD_MAX	(2 * FUSE_DAX_PIECE_RANGES)

/*
 * How long pages may take to come. Whoever waits may hold what makes them take longer,
 * by way of others: then he has to take a range that is there.
 */
#define FUSE_DAX_GROW_TIME	(HZ / 4)

/* Tries also if there is no hope: things change of which nobody tells */
static void fuse_dax_window_kick(struct fuse_dax_window *win)
{
	lockdep_assert_held(&win->lock);
	if (win->growing || win->stopped || !win->nr_absent ||
	    time_before(jiffies, win->grow_at))
		return;
	WRITE_ONCE(win->growing, true);
	WRITE_ONCE(win->grow_until, jiffies + FUSE_DAX_GROW_TIME);
	queue_work(system_dfl_long_wq, &win->grow_work);
}

/**
 * fuse_dax_window_ahead - have ranges get pages before they are needed
 * @win: the window
 * @want: ranges that were wanted
 * @nr: ranges that were there, and have been taken
 *
 * Context: &fuse_dax_window.lock held.
 */
void fuse_dax_window_ahead(struct fuse_dax_window *win, unsigned int want,
			   unsigned int nr)
{
	lockdep_assert_held(&win->lock);
	if (!win->nr_absent)
		return;
	win->nr_wanted -= min(win->nr_wanted, nr);
	win->nr_wanted = min(max(win->nr_wanted, want - nr),
			     FUSE_DAX_AHEAD_MAX);
	if (nr < want || win->nr_free < FUSE_DAX_AHEAD)
		fuse_dax_window_kick(win);
}

/**
 * fuse_dax_window_grows - whether ranges that have none get pages in a moment
 * @win: the window
 * @want: free ranges that are wanted
 *
 * Return: true if there are fewer, and it is better to take what there is, or to wait
 * if that is nothing, than to take what others have. False where the server can hold no
 * more mappings. A hint.
 */
bool fuse_dax_window_grows(const struct fuse_dax_window *win, unsigned int want)
{
	unsigned int free = READ_ONCE(win->nr_free);

	/* Then pages do not help: what others have needs no other mapping */
	if (READ_ONCE(win->nr_runs) >= READ_ONCE(win->max_runs))
		return false;
	if (free >= want || !fuse_dax_window_can_grow(win))
		return false;
	return free || (READ_ONCE(win->growing) &&
			time_before(jiffies, READ_ONCE(win->grow_until)));
}

/**
 * fuse_dax_window_lacks - whether more ranges are to get pages
 * @win: the window
 *
 * Context: Takes &fuse_dax_window.lock. The worker only, which goes on if so.
 * Return: false if there are enough, or the window was stopped.
 */
bool fuse_dax_window_lacks(struct fuse_dax_window *win)
{
	guard(spinlock)(&win->lock);
	if (win->nr_absent && !win->stopped &&
	    win->nr_free < max(FUSE_DAX_AHEAD, win->nr_wanted))
		return true;
	win->nr_wanted = 0;
	WRITE_ONCE(win->growing, false);
	return false;
}

/**
 * fuse_dax_window_stuck - there were no pages to be had
 * @win: the window
 * @wait: how long it is not tried again, jiffies
 *
 * Until one try has gone well nobody counts on more.
 *
 * Context: Takes &fuse_dax_window.lock. The worker only. Wakes those who wait, who
 * take ranges from others.
 */
void fuse_dax_window_stuck(struct fuse_dax_window *win, unsigned long wait)
{
	guard(spinlock)(&win->lock);
	win->nr_wanted = 0;
	WRITE_ONCE(win->nr_hoped, 0);
	WRITE_ONCE(win->grow_at, jiffies + wait);
	WRITE_ONCE(win->growing, false);
	if (win->nr_waiters)
		wake_up(&win->wait);
}

/**
 * fuse_dax_window_show - ranges have got their pages
 * @win: the window
 * @run: the ranges, which had none; they are free now
 *
 * Context: Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_show(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run)
{
	guard(spinlock)(&win->lock);
	bitmap_clear(win->used, run->first, run->nr);
	WRITE_ONCE(win->nr_absent, win->nr_absent - run->nr);
	WRITE_ONCE(win->nr_hoped, min(win->nr_hoped, win->nr_absent));
	WRITE_ONCE(win->nr_free, win->nr_free + run->nr);
	WRITE_ONCE(win->grow_until, jiffies + FUSE_DAX_GROW_TIME);
	if (win->nr_waiters)
		wake_up(&win->wait);
}

/**
 * fuse_dax_window_hope - say how many ranges more may get pages
 * @win: the window
 * @nr: how many, as far as the limit is concerned
 *
 * Context: Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_hope(struct fuse_dax_window *win, unsigned int nr)
{
	guard(spinlock)(&win->lock);
	WRITE_ONCE(win->nr_hoped, min(nr, win->nr_absent));
}

static bool fuse_dax_window_unused(const struct fuse_dax_window *win,
				   const struct fuse_dax_run *run)
{
	unsigned int end = run->first + run->nr;

	lockdep_assert_held(&win->lock);
	return find_next_bit(win->used, end, run->first) >= end;
}

static bool fuse_dax_window_spares(const struct fuse_dax_window *win,
				   const struct fuse_dax_run *run)
{
	return !win->growing && fuse_dax_window_unused(win, run) &&
	       win->nr_free >= run->nr + FUSE_DAX_KEEP;
}

static void fuse_dax_window_remove(struct fuse_dax_window *win,
				   const struct fuse_dax_run *run)
{
	lockdep_assert_held(&win->lock);
	bitmap_set(win->used, run->first, run->nr);
	WRITE_ONCE(win->nr_free, win->nr_free - run->nr);
	WRITE_ONCE(win->nr_absent, win->nr_absent + run->nr);
}

/**
 * fuse_dax_window_strip - none of the window has pages
 * @win: the window, not used yet
 */
void fuse_dax_window_strip(struct fuse_dax_window *win)
{
	struct fuse_dax_run all = { .nr = win->nr_ranges };

	guard(spinlock)(&win->lock);
	fuse_dax_window_remove(win, &all);
}

/**
 * fuse_dax_window_spare - how many ranges nobody would miss
 * @win: the window
 *
 * Return: free ranges beyond those that are left when others lose their pages. A hint.
 */
unsigned int fuse_dax_window_spare(const struct fuse_dax_window *win)
{
	unsigned int free = READ_ONCE(win->nr_free);

	return free - min(free, FUSE_DAX_KEEP);
}

/**
 * fuse_dax_window_idle - whether ranges can do without pages
 * @win: the window
 * @run: the ranges, which have some
 *
 * Context: Takes &fuse_dax_window.lock.
 * Return: true if nobody has any of them, and there are enough without them.
 */
bool fuse_dax_window_idle(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run)
{
	guard(spinlock)(&win->lock);
	return fuse_dax_window_spares(win, run);
}

/**
 * fuse_dax_window_hide - let nobody take ranges which are about to lose their pages
 * @win: the window
 * @run: the ranges
 *
 * Context: Takes &fuse_dax_window.lock.
 * Return: false if somebody has one of them, or waits for one, or few would be left.
 */
bool fuse_dax_window_hide(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run)
{
	guard(spinlock)(&win->lock);
	if (win->nr_waiters || !fuse_dax_window_spares(win, run))
		return false;
	fuse_dax_window_remove(win, run);
	return true;
}
