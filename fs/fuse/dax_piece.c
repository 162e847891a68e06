// SPDX-License-Identifier: GPL-2.0
/*
 * The pages of the window, by pieces: a piece gets them when free ranges run short,
 * and loses them when it has shown nothing for a while.
 *
 * All of it is the work of workers, because adding pages takes the locks of memory
 * hotplug, for which page faults and memory reclaim must not wait. What comes in time
 * is seen by nobody; who has to wait does so for a range, and after a moment takes
 * one from others, as in a window that is full.
 */
#include "dax_i.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/dax.h>
#include <linux/gfp.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

/* How long until more pages are asked for again when there were none to be had */
#define FUSE_DAX_PIECE_RETRY	(5 * HZ)

/*
 * The same where the last mount has the piece, and is about to end: somebody has a
 * reference to its connection. Nobody but who needs a range tries again, so that a mount
 * may have no piece until then. Also until it shrinks
 */
#define FUSE_DAX_PIECE_SOON	(HZ / 10)

/* How often it is looked for pieces that show nothing, and how often in vain */
#define FUSE_DAX_PIECE_LOOK	(10 * HZ)
#define FUSE_DAX_PIECE_LOOKS	2

VISIBLE_IF_KUNIT
unsigned int fuse_dax_memmap_percent = 6;
module_param_named(dax_memmap_percent, fuse_dax_memmap_percent, uint, 0644);
MODULE_PARM_DESC(dax_memmap_percent,
		 "Use at most so much of the memory for the pages of DAX windows (default 6; 0: give all of a window pages when the device is found)");

/*
 * Protects &fuse_dax_pieces.piece of all windows, and @fuse_dax_piece_pages. The locks
 * of memory hotplug are taken with it held.
 */
static DEFINE_MUTEX(fuse_dax_piece_mutex);

/* Pages that all windows have by pieces */
static unsigned long fuse_dax_piece_pages;

/**
 * fuse_dax_piece_able - whether windows get their pages by pieces
 *
 * Elsewhere it has not been tried.
 *
 * Return: false if they have to have all of them from the start.
 */
bool fuse_dax_piece_able(void)
{
	return IS_ENABLED(CONFIG_X86_64) &&
	       READ_ONCE(fuse_dax_memmap_percent);
}

/* The ranges of a piece */
static struct fuse_dax_run fuse_dax_piece_run(const struct fuse_dax_window *win,
					      unsigned int i)
{
	unsigned int skew = win->pieces->skew;
	unsigned int first = i ? i * FUSE_DAX_PIECE_RANGES - skew : 0;
	unsigned int end = min((i + 1) * FUSE_DAX_PIECE_RANGES - skew,
			       win->nr_ranges);

	return (struct fuse_dax_run) { .first = first, .nr = end - first };
}

/* Bytes of memory that so many pages of the window take */
static unsigned long fuse_dax_piece_memmap(unsigned long nr)
{
	return nr * sizeof(struct page);
}

/* How many ranges there may be by the share of the guest's memory, at least a piece */
static unsigned int fuse_dax_piece_limit(void)
{
	u64 share = (u64)totalram_pages() *
		    min(READ_ONCE(fuse_dax_memmap_percent), 100U);
	u64 nr = div_u64(share << PAGE_SHIFT, 100) /
		 fuse_dax_piece_memmap(fuse_dax_range_to_page(1));

	return clamp_t(u64, nr, FUSE_DAX_PIECE_RANGES, UINT_MAX);
}

/* A window cannot do without a piece. The first may be the rest of one */
static bool fuse_dax_piece_allowed(const struct fuse_dax_window *win,
				   unsigned long nr)
{
	u64 max = fuse_dax_range_to_page(fuse_dax_piece_limit());

	lockdep_assert_held(&fuse_dax_piece_mutex);
	return win->pieces->nr_pages < FUSE_DAX_PIECE_PAGES ||
	       fuse_dax_piece_pages + nr <= max;
}

/* How many ranges the share leaves for a window: whole pieces, as there are no others */
static unsigned int fuse_dax_piece_left(const struct fuse_dax_window *win)
{
	u64 max = fuse_dax_range_to_page(fuse_dax_piece_limit());
	u64 left = max - min(max, fuse_dax_piece_pages);

	lockdep_assert_held(&fuse_dax_piece_mutex);
	left = round_down(left, FUSE_DAX_PIECE_PAGES);
	if (win->pieces->nr_pages < FUSE_DAX_PIECE_PAGES)
		left = max(left, FUSE_DAX_PIECE_PAGES);
	return min_t(u64, fuse_dax_page_to_range(left), UINT_MAX);
}

static void fuse_dax_piece_charge(struct fuse_dax_window *win, long nr)
{
	lockdep_assert_held(&fuse_dax_piece_mutex);
	fuse_dax_piece_pages += nr;
	WRITE_ONCE(win->pieces->nr_pages, win->pieces->nr_pages + nr);
}

static unsigned long fuse_dax_piece_pfn(const struct fuse_dax_piece *piece)
{
	return PHYS_PFN(piece->pgmap.range.start);
}

static unsigned long fuse_dax_piece_len(const struct fuse_dax_piece *piece)
{
	return PHYS_PFN(range_len(&piece->pgmap.range));
}

/* Whether a mount of the window that has not ended yet has its pages there */
static bool fuse_dax_piece_taken(const struct fuse_dax_piece *piece)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(fuse_dax_piece_pfn(piece));

	put_dev_pagemap(pgmap);
	return pgmap;
}

VISIBLE_IF_KUNIT
int fuse_dax_piece_map(struct fuse_dax_piece *piece, int node)
{
	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_piece_map, piece, node);
	if (fuse_dax_piece_taken(piece))
		return -EBUSY;
	return PTR_ERR_OR_ZERO(memremap_pages(&piece->pgmap, node));
}

VISIBLE_IF_KUNIT
void fuse_dax_piece_unmap(struct fuse_dax_piece *piece)
{
	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_piece_unmap, piece);
	memunmap_pages(&piece->pgmap);
}

/*
 * Whether there is a huge page for the pages of a piece. With the locks of memory
 * hotplug held that would be tried over and over, and base pages be taken in the end,
 * of which there are few by then. It may be gone when it is needed; as a rule it is not.
 */
VISIBLE_IF_KUNIT
bool fuse_dax_piece_fits(int node)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;
	unsigned int order = get_order(fuse_dax_piece_memmap(FUSE_DAX_PIECE_PAGES));
	struct page *page;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_piece_fits, node);
	page = alloc_pages_node(node, gfp, order);
	if (page)
		__free_pages(page, order);
	return page;
}

/* Whether somebody holds a page, though no mapping shows it */
VISIBLE_IF_KUNIT
bool fuse_dax_piece_pinned(struct fuse_dax_piece *piece)
{
	unsigned long pfn = fuse_dax_piece_pfn(piece);
	unsigned long nr = fuse_dax_piece_len(piece), i;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_piece_pinned, piece);
	for (i = 0; i < nr; i++) {
		if (page_ref_count(pfn_to_page(pfn + i)))
			return true;
		if (!(i % fuse_dax_range_to_page(1)))
			cond_resched();
	}
	return false;
}

/* The piece that gets its pages next: the first without; -1 if there is none */
static int fuse_dax_piece_next(const struct fuse_dax_pieces *pieces)
{
	unsigned int i;

	lockdep_assert_held(&fuse_dax_piece_mutex);
	for (i = 0; i < pieces->nr; i++)
		if (!rcu_access_pointer(pieces->piece[i]))
			return i;
	return -1;
}

static struct fuse_dax_piece *fuse_dax_piece_new(const struct fuse_dax_window *win,
						 const struct fuse_dax_run *run)
{
	struct fuse_dax_piece *piece = kzalloc_obj(*piece);
	u64 start = PFN_PHYS(win->pieces->pfn) + fuse_dax_run_moffset(run);

	if (!piece)
		return NULL;
	piece->pgmap.type = MEMORY_DEVICE_FS_DAX;
	piece->pgmap.range = (struct range) {
		.start = start,
		.end = start + fuse_dax_run_len(run) - 1,
	};
	piece->pgmap.nr_range = 1;
	return piece;
}

/* Gives one piece its pages; -ENOSPC if there may be no more, or another -errno */
static int fuse_dax_piece_add(struct fuse_dax_window *win)
{
	struct fuse_dax_pieces *pieces = win->pieces;
	struct fuse_dax_piece *piece;
	struct fuse_dax_run run;
	int i, err;

	guard(mutex)(&fuse_dax_piece_mutex);
	i = fuse_dax_piece_next(pieces);
	if (i < 0)
		return -ENOSPC;
	run = fuse_dax_piece_run(win, i);
	if (!fuse_dax_piece_allowed(win, fuse_dax_range_to_page(run.nr)))
		return -ENOSPC;
	/* Without the first there is nothing, and no memory has gone to others yet */
	if (pieces->nr_pages && !fuse_dax_piece_fits(pieces->node))
		return -ENOMEM;
	piece = fuse_dax_piece_new(win, &run);
	if (!piece)
		return -ENOMEM;
	err = fuse_dax_piece_map(piece, pieces->node);
	if (err) {
		kfree(piece);
		return err;
	}
	fuse_dax_piece_charge(win, fuse_dax_piece_len(piece));
	rcu_assign_pointer(pieces->piece[i], piece);
	fuse_dax_window_show(win, &run);
	fuse_dax_window_hope(win, fuse_dax_piece_left(win));
	return 0;
}

/* Gives the pages of a piece up, which nobody can find any more */
static void fuse_dax_piece_free(struct fuse_dax_window *win,
				struct fuse_dax_piece *piece)
{
	fuse_dax_piece_charge(win, -fuse_dax_piece_len(piece));
	fuse_dax_piece_unmap(piece);
	kfree(piece);
}

/* Gives pages to as many pieces as are to have some */
VISIBLE_IF_KUNIT
void fuse_dax_piece_grow(struct fuse_dax_window *win)
{
	int err = 0;

	while (!err && fuse_dax_window_lacks(win))
		err = fuse_dax_piece_add(win);
	if (err)
		fuse_dax_window_stuck(win, err == -EBUSY ? FUSE_DAX_PIECE_SOON :
							   FUSE_DAX_PIECE_RETRY);
	queue_delayed_work(system_dfl_long_wq, &win->pieces->shrink_work,
			   FUSE_DAX_PIECE_LOOK);
}

static void fuse_dax_piece_grow_work(struct work_struct *work)
{
	struct fuse_dax_window *win = container_of(work, typeof(*win),
						   grow_work);

	fuse_dax_piece_grow(win);
}

static struct fuse_dax_piece *
fuse_dax_piece_of(const struct fuse_dax_pieces *pieces, unsigned int i)
{
	return rcu_dereference_protected(pieces->piece[i],
					 lockdep_is_held(&fuse_dax_piece_mutex));
}

/*
 * Takes the pages of a piece if it shows nothing: first its ranges, so that it cannot
 * be used again; then nobody finds its pages who looks for them; then nobody does who
 * has looked before. Where a page is held by then the piece is kept.
 */
static void fuse_dax_piece_take(struct fuse_dax_window *win, unsigned int i)
{
	struct fuse_dax_pieces *pieces = win->pieces;
	struct fuse_dax_run run = fuse_dax_piece_run(win, i);
	struct fuse_dax_piece *piece = fuse_dax_piece_of(pieces, i);

	lockdep_assert_held(&fuse_dax_piece_mutex);
	if (!fuse_dax_window_hide(win, &run))
		return;
	rcu_assign_pointer(pieces->piece[i], NULL);
	synchronize_rcu();
	if (READ_ONCE(win->nr_waiters) || fuse_dax_piece_pinned(piece)) {
		piece->looks = 0;
		rcu_assign_pointer(pieces->piece[i], piece);
		fuse_dax_window_show(win, &run);
		return;
	}
	fuse_dax_piece_free(win, piece);
	fuse_dax_window_hope(win, fuse_dax_piece_left(win));
}

/*
 * Whether a piece has shown nothing for as long as it takes. Never at the first look,
 * however short memory is: who has dropped the last reference to a page may have been
 * preempted before he was done with it.
 */
static bool fuse_dax_piece_cold(struct fuse_dax_window *win, unsigned int i,
				bool urgent)
{
	struct fuse_dax_piece *piece = fuse_dax_piece_of(win->pieces, i);
	struct fuse_dax_run run = fuse_dax_piece_run(win, i);

	if (!piece)
		return false;
	if (!fuse_dax_window_idle(win, &run)) {
		piece->looks = 0;
		return false;
	}
	if (!piece->looks) {
		piece->looks = 1;
		piece->since = jiffies;
		return false;
	}
	if (urgent)
		return time_after_eq(jiffies,
				     piece->since + FUSE_DAX_PIECE_LOOK);
	return piece->looks++ >= FUSE_DAX_PIECE_LOOKS;
}

/* The last go first: the first are the next to be used */
VISIBLE_IF_KUNIT
void fuse_dax_piece_shrink(struct fuse_dax_window *win)
{
	bool urgent = xchg(&win->pieces->urgent, false);
	unsigned int i;

	for (i = win->pieces->nr; i--;) {
		guard(mutex)(&fuse_dax_piece_mutex);
		if (fuse_dax_piece_cold(win, i, urgent))
			fuse_dax_piece_take(win, i);
	}
}

static void fuse_dax_piece_shrink_work(struct work_struct *work)
{
	struct fuse_dax_pieces *pieces = container_of(work, typeof(*pieces),
						      shrink_work.work);
	struct fuse_dax_window *win = pieces->win;

	fuse_dax_piece_shrink(win);
	/* Growing begins it anew. One that was stopped has no use for what it has */
	if (READ_ONCE(pieces->nr_pages) > FUSE_DAX_PIECE_PAGES)
		queue_delayed_work(system_dfl_long_wq, &pieces->shrink_work,
				   FUSE_DAX_PIECE_LOOK);
}

/* What could be given back, in pages of memory. A hint */
static unsigned long fuse_dax_piece_count(struct shrinker *shrinker,
					  struct shrink_control *sc)
{
	struct fuse_dax_window *win = shrinker->private_data;
	unsigned int nr = fuse_dax_window_spare(win) / FUSE_DAX_PIECE_RANGES;

	/* The last one stays */
	if (READ_ONCE(win->pieces->nr_pages) <= FUSE_DAX_PIECE_PAGES)
		return SHRINK_EMPTY;
	return nr ? nr * fuse_dax_piece_memmap(FUSE_DAX_PIECE_PAGES) >> PAGE_SHIFT :
		    SHRINK_EMPTY;
}

/* Has it given back soon. Who is short of memory does not wait for hotplug's locks */
static unsigned long fuse_dax_piece_scan(struct shrinker *shrinker,
					 struct shrink_control *sc)
{
	struct fuse_dax_window *win = shrinker->private_data;

	if (!xchg(&win->pieces->urgent, true))
		mod_delayed_work(system_dfl_long_wq, &win->pieces->shrink_work,
				 FUSE_DAX_PIECE_SOON);
	return SHRINK_STOP;
}

static struct fuse_dax_pieces *fuse_dax_pieces_new(struct fuse_dax_window *win,
						   unsigned long pfn, int node)
{
	unsigned int skew = (pfn >> FUSE_DAX_RANGE_PAGE_SHIFT) %
			    FUSE_DAX_PIECE_RANGES;
	unsigned int nr = DIV_ROUND_UP(skew + win->nr_ranges,
				       FUSE_DAX_PIECE_RANGES);
	struct fuse_dax_pieces *pieces;

	pieces = kvzalloc_flex(*pieces, piece, nr);
	if (!pieces)
		return NULL;
	pieces->shrinker = shrinker_alloc(0, "virtiofs-dax");
	if (!pieces->shrinker) {
		kvfree(pieces);
		return NULL;
	}
	pieces->shrinker->count_objects = fuse_dax_piece_count;
	pieces->shrinker->scan_objects = fuse_dax_piece_scan;
	pieces->shrinker->private_data = win;
	pieces->win = win;
	pieces->nr = nr;
	pieces->skew = skew;
	pieces->pfn = pfn;
	/* All on one node: that of the device, else the one where it is mounted */
	pieces->node = node == NUMA_NO_NODE ? numa_mem_id() : node;
	INIT_DEFERRABLE_WORK(&pieces->shrink_work, fuse_dax_piece_shrink_work);
	return pieces;
}

/**
 * fuse_dax_piece_init - let a window get its pages by pieces
 * @win: the window, not used yet, which has none
 * @pfn: its first page
 * @node: of the device
 *
 * The first piece comes at once; if it does not, soon.
 *
 * Return: 0 or -ENOMEM.
 */
int fuse_dax_piece_init(struct fuse_dax_window *win, unsigned long pfn,
			int node)
{
	win->pieces = fuse_dax_pieces_new(win, pfn, node);
	if (!win->pieces)
		return -ENOMEM;
	/* A file's share of what there can be */
	win->max_run = max(min(win->nr_ranges, fuse_dax_piece_limit()) / 2, 1U);
	INIT_WORK(&win->grow_work, fuse_dax_piece_grow_work);
	fuse_dax_window_strip(win);
	shrinker_register(win->pieces->shrinker);
	win->growing = true;
	fuse_dax_piece_grow(win);
	return 0;
}

/**
 * fuse_dax_piece_stop - let pages neither come nor go any more
 * @win: the window, after fuse_dax_window_stop()
 *
 * Context: Sleeps until the workers have ended. May be called again.
 */
void fuse_dax_piece_stop(struct fuse_dax_window *win)
{
	struct fuse_dax_pieces *pieces = win->pieces;

	if (!pieces)
		return;
	shrinker_free(xchg(&pieces->shrinker, NULL));
	cancel_work_sync(&win->grow_work);
	cancel_delayed_work_sync(&pieces->shrink_work);
}

/**
 * fuse_dax_piece_drop - give up all pages of a window
 * @win: the window, after fuse_dax_piece_stop(), of which no page is used
 *
 * Context: Sleeps. May be called again.
 */
void fuse_dax_piece_drop(struct fuse_dax_window *win)
{
	struct fuse_dax_pieces *pieces = win->pieces;
	unsigned int i;

	if (!pieces)
		return;
	guard(mutex)(&fuse_dax_piece_mutex);
	for (i = 0; i < pieces->nr; i++) {
		struct fuse_dax_piece *piece = fuse_dax_piece_of(pieces, i);

		if (!piece)
			continue;
		rcu_assign_pointer(pieces->piece[i], NULL);
		fuse_dax_piece_free(win, piece);
	}
}

/**
 * fuse_dax_piece_bytes - memory that the pages of a window take
 * @win: the window
 *
 * Return: bytes.
 */
unsigned long fuse_dax_piece_bytes(const struct fuse_dax_window *win)
{
	unsigned long nr = fuse_dax_range_to_page(win->nr_ranges);

	if (win->pieces)
		nr = READ_ONCE(win->pieces->nr_pages);
	return fuse_dax_piece_memmap(nr);
}
