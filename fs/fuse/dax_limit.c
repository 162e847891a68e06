// SPDX-License-Identifier: GPL-2.0
/*
 * How many mappings the server can hold, as its errors tell.
 */
#include "dax_i.h"

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
