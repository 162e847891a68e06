// SPDX-License-Identifier: GPL-2.0
/*
 * How much of a file a miss maps, and whether it does: a mapping, a cached page,
 * or a request. What has been missed before is remembered in the state of the
 * file.
 */
#include "dax_i.h"

#include <linux/pagemap.h>
#include <linux/sizes.h>
#include <linux/slab.h>

/*
 * A file up to this size is first read by FUSE_READ, if the read is for the rest
 * of it or makes a copy: one round trip gives all of it, as a setup would, and
 * neither a range nor a mapping of the host is used up for files that are read
 * once.
 */
#define FUSE_DAX_SMALL_FILE	SZ_256K
#define FUSE_DAX_SMALL_MISSES	4

/* Misses in turn in the same range that do without a mapping */
#define FUSE_DAX_LONE_MISSES	2

/* A pass over a file comes to a range with one of its first pages */
#define FUSE_DAX_PASS_PAGES	64

/*
 * Setups for writing, of one range each, after the server would not fill the holes
 * of more. Then more is tried again: by now there may be none.
 */
#define FUSE_DAX_SPARSE_SETUPS	16

/* What a miss maps to begin with, and at the most while others have all there is */
#define FUSE_DAX_FIRST_RUN	4U

/* The most while the window is pressed, where a mapping goes as a whole or not */
#define FUSE_DAX_WHOLE_RUN	8U

/**
 * fuse_dax_window_of - the window that shows a file
 * @inode: a DAX file
 *
 * Return: the window of the connection.
 */
struct fuse_dax_window *fuse_dax_window_of(struct inode *inode)
{
	return get_fuse_conn(inode)->dax;
}

/**
 * fuse_dax_inode_get - the state of a file for mappings, made at first use
 * @inode: a DAX file
 *
 * Context: May sleep.
 * Return: the state, which lives as long as @inode; NULL if there is no memory.
 */
struct fuse_dax_inode *fuse_dax_inode_get(struct inode *inode)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_dax_inode *di = READ_ONCE(fi->dax), *old;

	if (di)
		return di;

	di = kzalloc_obj(*di);
	if (!di)
		return NULL;
	init_rwsem(&di->sem);
	spin_lock_init(&di->notice.lock);
	di->notice.told = FUSE_DAX_NO_PAGES;
	di->notice.held = FUSE_DAX_NO_PAGES;
	di->tree = RB_ROOT_CACHED;
	di->missed = ULONG_MAX;
	di->stored = ULONG_MAX;

	/* Pairs with the READ_ONCE()s: a full barrier, so di is complete */
	old = cmpxchg(&fi->dax, NULL, di);
	if (!old)
		return di;
	kfree(di);
	return old;
}

/**
 * fuse_dax_plan_fit - cut a plan to what the tree has room for
 * @di: the inode's state
 * @range: of the file, to be shown
 * @plan: cut to the hole of the tree around @range; no ranges if there is none
 *
 * Context: &fuse_dax_inode.sem held.
 */
void fuse_dax_plan_fit(struct fuse_dax_inode *di, unsigned long range,
		       struct fuse_dax_plan *plan)
{
	unsigned long end = plan->start + plan->nr;
	struct interval_tree_span_iter span;

	lockdep_assert_held(&di->sem);
	interval_tree_for_each_span(&span, &di->tree,
				    fuse_dax_range_to_page(plan->start),
				    fuse_dax_range_to_page(end) - 1) {
		unsigned long first, last;

		if (!span.is_hole)
			continue;
		first = fuse_dax_page_to_range(span.start_hole);
		last = fuse_dax_page_to_range(span.last_hole);
		if (first <= range && range <= last) {
			plan->start = first;
			plan->nr = last - first + 1;
			return;
		}
	}
	plan->nr = 0;
}

/* Whether a miss should fall back at first, though memory could be had */
static bool fuse_dax_plan_defer(struct fuse_dax_inode *di, loff_t size,
				unsigned long range, unsigned int want,
				bool sequential, bool pressed)
{
	lockdep_assert_held_write(&di->sem);
	if (size <= FUSE_DAX_SMALL_FILE && !(want & FUSE_DAX_WANT_MEMORY) &&
	    (pressed || di->small_misses < FUSE_DAX_SMALL_MISSES)) {
		di->small_misses++;
		return true;
	}
	if (pressed && !sequential && di->missed != range) {
		di->missed = range;
		return true;
	}
	return false;
}

/**
 * fuse_dax_plan_alone - whether a page is touched alone
 * @inode: the file
 * @index: the page, where a fault has missed; the window has nothing free
 * @want: of the fault, &enum fuse_dax_want
 *
 * To map its range would take more from others than it gives, unless the range
 * is in use, as three misses in turn say, or a pass over the file has come to it.
 *
 * Context: Takes &fuse_dax_inode.sem.
 * Return: false also if there is a mapping by now.
 */
bool fuse_dax_plan_alone(struct inode *inode, pgoff_t index, unsigned int want)
{
	struct fuse_dax_inode *di = fuse_dax_inode_get(inode);
	unsigned long range = fuse_dax_page_to_range(index);
	pgoff_t offset = index - fuse_dax_range_to_page(range);

	if (!di)
		return false;

	guard(rwsem_write)(&di->sem);
	if (di->missed != range)
		di->missed_alone = 0;
	if (di->missed_alone >= FUSE_DAX_LONE_MISSES ||
	    fuse_dax_map_first(di, index, index))
		return false;
	if (!(want & FUSE_DAX_WANT_RANDOM) &&
	    (!index || (range - di->next < 2 && offset < FUSE_DAX_PASS_PAGES)))
		return false;
	/* The miss of a huge page is followed by that of a small one */
	if (!(want & FUSE_DAX_WANT_HUGE)) {
		di->missed = range;
		di->missed_alone++;
	}
	return true;
}

/*
 * A pass over the file has come to the end of a mapping. All that it read there
 * has made the mapping look used, but it is the first to go: else a large file
 * that is read once would drive out what is used again and again. It stays in
 * page tables, so that use through them is not seen any more.
 */
static void fuse_dax_plan_drop_behind(struct fuse_dax_inode *di,
				      unsigned long range)
{
	pgoff_t index = fuse_dax_range_to_page(range);
	struct fuse_dax_map *map;

	lockdep_assert_held_write(&di->sem);
	if (!range || range != di->next)
		return;
	map = fuse_dax_map_first(di, index - 1, index - 1);
	if (map)
		WRITE_ONCE(map->referenced, false);
}

/* How long the mapping for a miss is to be, in a file that is not mapped as one */
static unsigned int fuse_dax_plan_run(struct fuse_dax_window *win,
				      struct fuse_dax_inode *di,
				      unsigned long total, unsigned int want,
				      const struct fuse_dax_plan *plan)
{
	unsigned int first = clamp(win->nr_ranges / 16, 1U, FUSE_DAX_FIRST_RUN);
	unsigned int free = fuse_dax_window_room(win), run = first;

	lockdep_assert_held(&di->sem);
	if (want & FUSE_DAX_WANT_RANDOM)
		return 1;
	/* Nobody loses what is free */
	if (total <= win->max_run)
		run = max(first, free);
	if ((plan->pass || !plan->start) && di->run)
		run = max(run, min(di->run * 2, win->max_run));
	if (!plan->pass)
		run = min(run, max(first, free));
	if (run > free && !fuse_dax_window_cuts(win))
		run = min(run, FUSE_DAX_WHOLE_RUN);
	return run;
}

/**
 * fuse_dax_plan_make - decide what a miss maps
 * @win: the window
 * @di: the inode's state
 * @size: of the file, bytes, more than 0
 * @range: of the file, where the miss was
 * @want: of the caller, &enum fuse_dax_want
 * @plan: filled in
 *
 * One range, if the caller wants no more. Else, while there is room: the whole
 * file, if that is no more than a file's share; as much as the share from @range
 * on, if the rest of the file fits too. Else a run that starts small and doubles
 * with each miss right behind the last one. A miss elsewhere, for which others have
 * to go, is not worth more than a small one.
 *
 * Context: &fuse_dax_inode.sem held for write.
 * Return: 0; -EAGAIN if the miss is to fall back; -EEXIST if the tree has a
 * mapping at @range by now.
 */
int fuse_dax_plan_make(struct fuse_dax_window *win, struct fuse_dax_inode *di,
		       loff_t size, unsigned long range, unsigned int want,
		       struct fuse_dax_plan *plan)
{
	unsigned long total = DIV_ROUND_UP_ULL(size, FUSE_DAX_RANGE_SIZE);
	/* A pass over the file starts at 0, with runs as long as the last one's */
	bool sequential = !(want & FUSE_DAX_WANT_RANDOM) &&
			  (!range || range - di->next < 2);
	unsigned long free = fuse_dax_window_room(win);
	unsigned int run;

	lockdep_assert_held_write(&di->sem);
	fuse_dax_plan_drop_behind(di, range);
	if (!(want & FUSE_DAX_WANT_WAIT) &&
	    fuse_dax_plan_defer(di, size, range, want, sequential,
				fuse_dax_window_pressed(win)))
		return -EAGAIN;

	plan->start = range;
	plan->pass = sequential && range && di->run;
	run = fuse_dax_plan_run(win, di, total, want, plan);
	if (want & FUSE_DAX_WANT_RANGE) {
		run = 1;
	} else if (total <= win->max_run &&
		   total <= max_t(unsigned long, run, free)) {
		plan->start = 0;
		run = total;
	} else if (total > win->max_run && free >= total - range) {
		run = win->max_run;
	} else if (!sequential) {
		plan->start = rounddown(range, run);
	}
	plan->nr = min_t(unsigned long, run, total - plan->start);

	fuse_dax_plan_fit(di, range, plan);
	if (!plan->nr)
		return -EEXIST;
	if (!(want & FUSE_DAX_WANT_RANGE))
		di->run = plan->nr;
	return 0;
}

/**
 * fuse_dax_plan_shrink - move a plan that got fewer ranges than it asked for
 * @plan: shortened, and moved so that it shows @range
 * @range: of the file
 * @nr: ranges that it got, at least 1
 */
void fuse_dax_plan_shrink(struct fuse_dax_plan *plan, unsigned long range,
			  unsigned int nr)
{
	unsigned long end = plan->start + plan->nr;

	if (nr >= plan->nr)
		return;
	if (range - plan->start >= nr)
		plan->start = min(range, end - nr);
	plan->nr = nr;
}

/**
 * fuse_dax_plan_unwritable - whether the server does not map a file for writing
 * @inode: the file
 *
 * Return: true if it has said so.
 */
bool fuse_dax_plan_unwritable(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	return di && READ_ONCE(di->unwritable);
}

/*
 * Whether the range of a page is left to cached pages, as some of it is stored to in
 * a file that is not mapped for writing. The next store would take a mapping away
 * again.
 */
static bool fuse_dax_plan_yields(struct fuse_dax_inode *di,
				 struct address_space *mapping, pgoff_t index)
{
	unsigned long range = fuse_dax_page_to_range(index);
	loff_t start = (loff_t)range << FUSE_DAX_RANGE_SHIFT;

	return READ_ONCE(di->stored) == range ||
	       filemap_range_has_page(mapping, start,
				      start + FUSE_DAX_RANGE_SIZE - 1);
}

/* Whether a load has another way: a request, or the page cache, untried */
static bool fuse_dax_plan_may_yield(unsigned int want)
{
	if (want & FUSE_DAX_WANT_MAPPED)
		return false;
	return (want & FUSE_DAX_WANT_BRIEF) || !(want & FUSE_DAX_WANT_WAIT);
}

/**
 * fuse_dax_plan_denied - whether a store cannot be to a mapping
 * @inode: the file
 * @index: the page
 * @want: of the caller, &enum fuse_dax_want
 *
 * Return: true if the server does not map the file for writing, and what is mapped
 * there stays. For a fault that a cached page will serve it goes first.
 */
bool fuse_dax_plan_denied(struct inode *inode, pgoff_t index, unsigned int want)
{
	if (!(want & FUSE_DAX_WANT_WRITE) || !fuse_dax_plan_unwritable(inode))
		return false;
	if (!(want & FUSE_DAX_WANT_BRIEF))
		return true;
	WRITE_ONCE(get_fuse_inode(inode)->dax->stored,
		   fuse_dax_page_to_range(index));
	return false;
}

/**
 * fuse_dax_plan_narrow - make less of a setup that has the server fill holes
 * @want: of the caller, &enum fuse_dax_want
 * @write: whether to ask for write access
 *
 * It becomes one for reading, as that fills none on most file systems, or for a
 * range.
 */
void fuse_dax_plan_narrow(unsigned int *want, bool *write)
{
	if (!*write || (*want & FUSE_DAX_WANT_WRITE))
		*want |= FUSE_DAX_WANT_RANGE;
	*write = *want & FUSE_DAX_WANT_WRITE;
}

/**
 * fuse_dax_plan_limit - make less of a setup by what the server has said before
 * @inode: the file
 * @index: the page, where nothing is mapped
 * @want: of the caller, &enum fuse_dax_want
 * @write: whether to ask for write access
 *
 * Return: 0; -EOPNOTSUPP if the file is not mapped; -EACCES if the page is not.
 */
int fuse_dax_plan_limit(struct inode *inode, pgoff_t index, unsigned int *want,
			bool *write)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (READ_ONCE(fuse_dax_window_of(inode)->disabled))
		return -EOPNOTSUPP;
	if (!di)
		return 0;
	if (READ_ONCE(di->unmappable))
		return -EOPNOTSUPP;
	if (READ_ONCE(di->unwritable)) {
		if (*want & FUSE_DAX_WANT_WRITE)
			return -EACCES;
		*write = false;
		/* Nor what is beside it, where there may be cached pages */
		if (mapping_writably_mapped(inode->i_mapping)) {
			if (fuse_dax_plan_may_yield(*want) &&
			    fuse_dax_plan_yields(di, inode->i_mapping, index))
				return -EACCES;
			*want |= FUSE_DAX_WANT_RANGE;
		}
	}
	if (*write && READ_ONCE(di->sparse))
		fuse_dax_plan_narrow(want, write);
	return 0;
}

/**
 * fuse_dax_plan_answered - learn from the answer to a setup
 * @map: the mapping, which is in the tree
 * @error: 0 or -errno
 *
 * Context: &fuse_dax_inode.sem held for write.
 */
void fuse_dax_plan_answered(struct fuse_dax_map *map, int error)
{
	struct fuse_dax_inode *di = map->di;

	lockdep_assert_held_write(&di->sem);
	if (error == -E2BIG)
		WRITE_ONCE(di->sparse, FUSE_DAX_SPARSE_SETUPS);
	else if (!error && map->writable && map->run.nr == 1 && di->sparse)
		WRITE_ONCE(di->sparse, di->sparse - 1);
}
