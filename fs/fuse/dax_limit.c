// SPDX-License-Identifier: GPL-2.0
/*
 * How many mappings the server can hold, as its errors tell.
 */
#include "dax_i.h"

/*
 * How long a limit holds: that of a budget this at first, then twice as long each
 * time that more was tried in vain; that of a moment; and each one after which
 * more turned out to be possible.
 */
#define FUSE_DAX_LIMIT_MIN	(4 * HZ)
#define FUSE_DAX_LIMIT_MAX	(256 * HZ)
#define FUSE_DAX_LIMIT_MOMENT	HZ

/**
 * fuse_dax_window_probe - whether there may be more mappings by now
 * @win: the window, of which the limit has been reached
 *
 * That of a moment is over, or one that was known is tried to be exceeded.
 *
 * Context: &fuse_dax_window.lock held.
 * Return: true if there may be one more.
 */
bool fuse_dax_window_probe(struct fuse_dax_window *win)
{
	unsigned long wait = FUSE_DAX_LIMIT_MOMENT;

	lockdep_assert_held(&win->lock);
	if (time_before(jiffies, win->probe_at))
		return false;
	if (win->max_runs < win->known_runs) {
		wait = max(wait, win->probe_wait);
	} else {
		/* More were possible the last time */
		if (win->probed)
			win->probe_wait = 0;
		win->probed = true;
		win->known_runs += max(win->known_runs / 8, 1U);
	}
	WRITE_ONCE(win->max_runs, win->known_runs);
	WRITE_ONCE(win->probe_at, jiffies + wait);
	return win->nr_runs < win->max_runs;
}

/**
 * fuse_dax_window_cuts - whether a mapping may be given up in parts now
 * @win: the window
 *
 * What stays on both sides of a part is two mappings, where there was one.
 *
 * Return: true if the server can do that, and hold so many. A hint.
 */
bool fuse_dax_window_cuts(struct fuse_dax_window *win)
{
	return fuse_dax_window_splits(win) &&
	       READ_ONCE(win->nr_runs) + 2 <= READ_ONCE(win->max_runs);
}

/**
 * fuse_dax_window_limit - remember that the server has no resources for more
 * @win: the window
 * @lasts: it told of a budget; else of what is so at the moment
 *
 * To be called with the run of the refused setup still taken, once for each of
 * those that are refused at the same time. The limit is in force at once. After a
 * while one more is tried, and so on: the server's budget may be shared, or have
 * been that of its worst moment. What is so for the moment is soon forgotten.
 *
 * Context: Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_limit(struct fuse_dax_window *win, bool lasts)
{
	unsigned long wait = FUSE_DAX_LIMIT_MOMENT;

	guard(spinlock)(&win->lock);
	WRITE_ONCE(win->max_runs,
		   max(min(win->max_runs, win->nr_runs), 2U) - 1);
	if (lasts) {
		/* Of those that are refused at the same time the first counts */
		if (win->probed || win->known_runs == UINT_MAX)
			win->probe_wait = clamp(2 * win->probe_wait,
						FUSE_DAX_LIMIT_MIN,
						FUSE_DAX_LIMIT_MAX);
		win->probed = false;
		win->known_runs = win->max_runs;
		wait = win->probe_wait;
	}
	WRITE_ONCE(win->probe_at, jiffies + wait);
}
