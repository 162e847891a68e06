// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the pieces of the DAX window that have pages. There is no memory: what
 * adds pages and takes them is replaced by stubs that count, and the work is done by
 * the test.
 */
#include "dax_kunit.h"

#include <kunit/static_stub.h>
#include <linux/shrinker.h>

/* The window begins within a piece: 48 ranges, 64, and 38 */
#define PIECE_SKEW	16
#define PIECE_WINDOW	150
#define PIECE_FIRST	48
#define PIECE_PFN	(BIT(40 - PAGE_SHIFT) + \
			 fuse_dax_range_to_page(PIECE_SKEW))

/**
 * struct piece_test - a window whose pages come by pieces
 * @win: the window
 * @nr: pieces that have pages
 * @maps: times that one was to get some
 * @error: what that ends with
 * @node: where the last ones were accounted for
 * @start: address of the last ones
 * @len: bytes of them
 * @pinned: somebody holds a page
 * @full: there is no huge page
 */
struct piece_test {
	struct fuse_dax_window *win;
	unsigned int nr;
	unsigned int maps;
	int error;
	int node;
	u64 start;
	u64 len;
	bool pinned;
	bool full;
};

static int piece_map(struct fuse_dax_piece *piece, int node)
{
	struct piece_test *pt = kunit_get_current_test()->priv;

	pt->maps++;
	pt->node = node;
	pt->start = piece->pgmap.range.start;
	pt->len = range_len(&piece->pgmap.range);
	if (!pt->error)
		pt->nr++;
	return pt->error;
}

static void piece_unmap(struct fuse_dax_piece *piece)
{
	struct piece_test *pt = kunit_get_current_test()->priv;

	pt->nr--;
}

static bool piece_pinned(struct fuse_dax_piece *piece)
{
	struct piece_test *pt = kunit_get_current_test()->priv;

	return pt->pinned;
}

static bool piece_fits(int node)
{
	struct piece_test *pt = kunit_get_current_test()->priv;

	return !pt->full;
}

/* The test does it itself */
static void piece_work(struct work_struct *work)
{
}

static void piece_make(struct kunit *test, unsigned int nr_ranges,
		       unsigned long pfn)
{
	struct piece_test *pt = test->priv;

	pt->win = fuse_dax_kunit_window(nr_ranges);
	KUNIT_ASSERT_NOT_NULL(test, pt->win);
	KUNIT_ASSERT_EQ(test, 0, fuse_dax_piece_init(pt->win, pfn, 0));
	/* Others would not find the stubs */
	shrinker_free(xchg(&pt->win->pieces->shrinker, NULL));
	cancel_delayed_work_sync(&pt->win->pieces->shrink_work);
	INIT_DEFERRABLE_WORK(&pt->win->pieces->shrink_work, piece_work);
	INIT_WORK(&pt->win->grow_work, piece_work);
}

/* What the parameter was */
static unsigned int percent;

static int piece_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct piece_test), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);
	percent = fuse_dax_memmap_percent;
	fuse_dax_memmap_percent = 6;
	kunit_activate_static_stub(test, fuse_dax_piece_map, piece_map);
	kunit_activate_static_stub(test, fuse_dax_piece_unmap, piece_unmap);
	kunit_activate_static_stub(test, fuse_dax_piece_pinned, piece_pinned);
	kunit_activate_static_stub(test, fuse_dax_piece_fits, piece_fits);
	return 0;
}

static void piece_exit(struct kunit *test)
{
	struct piece_test *pt = test->priv;

	if (pt)
		fuse_dax_memmap_percent = percent;
	if (!pt || !pt->win)
		return;
	fuse_dax_window_stop(pt->win);
	fuse_dax_piece_stop(pt->win);
	fuse_dax_piece_drop(pt->win);
	KUNIT_EXPECT_EQ(test, pt->nr, 0);
	KUNIT_EXPECT_EQ(test, fuse_dax_piece_bytes(pt->win), 0);
	fuse_dax_kunit_window_free(test, pt->win);
}

static struct fuse_dax_run piece_take(struct kunit *test, unsigned int nr)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run run = {};

	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(pt->win, nr, 1, &run));
	return run;
}

/* What the worker does, if it was asked to */
static void piece_grow(struct piece_test *pt)
{
	if (pt->win->growing)
		fuse_dax_piece_grow(pt->win);
}

/* A window with all of its pages, and nothing else */
static void piece_grow_all(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run runs[8];
	int i;

	for (i = 0; i < ARRAY_SIZE(runs) && pt->win->nr_absent; i++) {
		runs[i] = piece_take(test, PIECE_WINDOW);
		piece_grow(pt);
	}
	KUNIT_ASSERT_EQ(test, pt->win->nr_absent, 0);
	while (i--)
		fuse_dax_window_give(pt->win, &runs[i]);
	KUNIT_ASSERT_EQ(test, pt->win->nr_free, PIECE_WINDOW);
}

/* The first piece is there from the start, as far as the window reaches into it */
static void piece_first(struct kunit *test)
{
	struct piece_test *pt = test->priv;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	KUNIT_EXPECT_EQ(test, pt->start, PFN_PHYS(PIECE_PFN));
	KUNIT_EXPECT_EQ(test, pt->len, (u64)PIECE_FIRST << FUSE_DAX_RANGE_SHIFT);
	KUNIT_EXPECT_EQ(test, pt->win->nr_free, PIECE_FIRST);
	KUNIT_EXPECT_EQ(test, pt->win->nr_absent, PIECE_WINDOW - PIECE_FIRST);
	KUNIT_EXPECT_EQ(test, fuse_dax_piece_bytes(pt->win),
			fuse_dax_range_to_page(PIECE_FIRST) * sizeof(struct page));
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_has_pages(pt->win,
							  PIECE_FIRST - 1));
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_has_pages(pt->win,
							   PIECE_FIRST));
	KUNIT_EXPECT_FALSE(test, pt->win->growing);
}

/* No piece crosses what memory is divided in, and all of the window is in one */
static void piece_sections(struct kunit *test)
{
	struct piece_test *pt = test->priv;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	piece_take(test, PIECE_FIRST);
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->start, BIT_ULL(40) + SZ_128M);
	KUNIT_EXPECT_EQ(test, pt->len, (u64)SZ_128M);
	piece_take(test, 64);
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->start, BIT_ULL(40) + 2 * (u64)SZ_128M);
	KUNIT_EXPECT_EQ(test, pt->len, 38ULL << FUSE_DAX_RANGE_SHIFT);
	KUNIT_EXPECT_EQ(test, pt->win->nr_absent, 0);
	fuse_dax_window_give(pt->win, &(struct fuse_dax_run) { .nr = 48 });
	fuse_dax_window_give(pt->win,
			     &(struct fuse_dax_run) { .first = 48, .nr = 64 });
}

/* A window that is smaller than a piece has all of its pages, and keeps them */
static void piece_small(struct kunit *test)
{
	struct piece_test *pt = test->priv;

	piece_make(test, 8, PIECE_PFN);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	KUNIT_EXPECT_EQ(test, pt->win->nr_absent, 0);
	KUNIT_EXPECT_EQ(test, pt->win->nr_free, 8);
	KUNIT_EXPECT_EQ(test, pt->win->max_run, 4);
	for (int i = 0; i < 5; i++)
		fuse_dax_piece_shrink(pt->win);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
}

/* More come before they are needed, but not before few are left */
static void piece_ahead(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run runs[2];

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	runs[0] = piece_take(test, 32);
	KUNIT_EXPECT_FALSE(test, pt->win->growing);
	runs[1] = piece_take(test, 1);
	KUNIT_EXPECT_TRUE(test, pt->win->growing);
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->nr, 2);
	KUNIT_EXPECT_EQ(test, pt->win->nr_free, 15 + 64);
	KUNIT_EXPECT_FALSE(test, pt->win->growing);
	fuse_dax_window_give(pt->win, &runs[0]);
	fuse_dax_window_give(pt->win, &runs[1]);
}

/* Who wants many has as many come as he did not get, and is not the first to wait */
static void piece_wanted(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_window *win;
	struct fuse_dax_run run;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	win = pt->win;
	run = piece_take(test, 48 + 70);
	KUNIT_EXPECT_EQ(test, run.nr, PIECE_FIRST);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_pressed(win));
	KUNIT_EXPECT_EQ(test, fuse_dax_window_room(win),
			PIECE_WINDOW - PIECE_FIRST);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_grows(win, 1));
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->nr, 3);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_grows(win, 1));
	fuse_dax_window_give(win, &run);
}

/* To wait has an end: a range is taken from others then */
static void piece_late(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run run;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	run = piece_take(test, PIECE_FIRST);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_grows(pt->win, 1));
	pt->win->grow_until = jiffies - 1;
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_grows(pt->win, 1));
	fuse_dax_window_give(pt->win, &run);
	/* What is free is better than what others have */
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_grows(pt->win, PIECE_WINDOW));
}

/* While the server can hold no more mappings ranges are taken from others */
static void piece_budget(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_window *win;
	struct fuse_dax_run run, none;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	win = pt->win;
	run = piece_take(test, PIECE_FIRST - 1);
	win->max_runs = win->nr_runs;
	win->known_runs = win->nr_runs;
	win->probe_at = jiffies + HZ;
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_window_take(win, 4, 2, &none));
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_can_grow(win));
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_grows(win, 2));
	win->max_runs++;
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_grows(win, 2));
	fuse_dax_window_give(win, &run);
}

/* Where there is no memory it goes on with what there is, and is tried after a while */
static void piece_no_memory(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_window *win;
	struct fuse_dax_run run, none;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	win = pt->win;
	pt->error = -ENOMEM;
	run = piece_take(test, PIECE_FIRST);
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->maps, 2);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(win));
	KUNIT_EXPECT_EQ(test, fuse_dax_window_room(win), 0);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_grows(win, 1));
	for (int i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, -EAGAIN,
				fuse_dax_window_take(win, 1, 1, &none));
		KUNIT_EXPECT_FALSE(test, win->growing);
	}

	win->grow_at = jiffies;
	pt->error = 0;
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(win));
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_window_take(win, 1, 1, &none));
	/* It is tried, and nobody waits for that */
	KUNIT_EXPECT_TRUE(test, win->growing);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_grows(win, 1));
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->nr, 2);
	KUNIT_EXPECT_EQ(test, win->nr_free, 64);
	fuse_dax_window_give(win, &run);
}

/* Only the first piece is tried for where there is no huge page */
static void piece_no_huge(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run run;

	pt->full = true;
	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	run = piece_take(test, PIECE_FIRST);
	KUNIT_EXPECT_TRUE(test, pt->win->growing);
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->maps, 1);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_can_grow(pt->win));
	fuse_dax_window_give(pt->win, &run);
}

/* A window that has none at first gets some with the first that wants one */
static void piece_late_first(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run run;

	pt->error = -EBUSY;
	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	KUNIT_EXPECT_EQ(test, pt->win->nr_absent, PIECE_WINDOW);
	pt->error = 0;
	pt->win->grow_at = jiffies;
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			fuse_dax_window_take(pt->win, 1, 1, &run));
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->win->nr_free, PIECE_FIRST);
}

/* Pages take no more of the memory than they may */
static void piece_limit(struct kunit *test)
{
	unsigned long bytes = (u64)totalram_pages() * PAGE_SIZE * 6 / 100;
	unsigned int max = bytes / (FUSE_DAX_PIECE_PAGES * sizeof(struct page));
	unsigned int taken = 0, nr = (max + 4) * FUSE_DAX_PIECE_RANGES;
	struct piece_test *pt = test->priv;
	struct fuse_dax_run run;
	u64 share;

	if (max < 2)
		kunit_skip(test, "too little memory");
	piece_make(test, nr, BIT(40 - PAGE_SHIFT));
	share = bytes / (fuse_dax_range_to_page(1) * sizeof(struct page));
	KUNIT_EXPECT_EQ(test, pt->win->max_run, min_t(u64, nr, share) / 2);
	/* What may not come is not room */
	KUNIT_EXPECT_EQ(test, fuse_dax_window_room(pt->win),
			max * FUSE_DAX_PIECE_RANGES);
	while (pt->win->nr_free) {
		taken += piece_take(test, nr).nr;
		piece_grow(pt);
	}
	KUNIT_EXPECT_EQ(test, pt->nr, max);
	KUNIT_EXPECT_EQ(test, taken, max * FUSE_DAX_PIECE_RANGES);
	KUNIT_EXPECT_LE(test, fuse_dax_piece_bytes(pt->win), bytes);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(pt->win));

	/* Nor does anybody count on more, though it is tried */
	pt->win->grow_at = jiffies;
	KUNIT_EXPECT_EQ(test, fuse_dax_window_room(pt->win), 0);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(pt->win));
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			fuse_dax_window_take(pt->win, 1, 1, &run));
	KUNIT_EXPECT_TRUE(test, pt->win->growing);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_grows(pt->win, 1));
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->nr, max);

	run = (struct fuse_dax_run) { .nr = taken };
	fuse_dax_window_give(pt->win, &run);
	pt->win->nr_runs = 0;
}

/* A piece goes when it was found to show nothing three times in turn; one stays */
static void piece_shrinks(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_window *win;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	win = pt->win;
	piece_grow_all(test);
	fuse_dax_piece_shrink(win);
	fuse_dax_piece_shrink(win);
	KUNIT_EXPECT_EQ(test, pt->nr, 3);
	fuse_dax_piece_shrink(win);
	/* The last and the one before it */
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	KUNIT_EXPECT_EQ(test, win->nr_free, PIECE_FIRST);
	KUNIT_EXPECT_EQ(test, win->nr_absent, PIECE_WINDOW - PIECE_FIRST);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_has_pages(win, PIECE_FIRST));
}

/* As if all pieces had been seen to show nothing so long ago, and memory were short */
static void piece_press(struct piece_test *pt, unsigned long ago)
{
	struct fuse_dax_pieces *pieces = pt->win->pieces;
	struct fuse_dax_piece *piece;
	unsigned int i;

	for (i = 0; i < pieces->nr; i++) {
		piece = rcu_dereference_protected(pieces->piece[i], true);
		if (!piece)
			continue;
		piece->looks = 1;
		piece->since = jiffies - ago;
	}
	pieces->urgent = true;
	fuse_dax_piece_shrink(pt->win);
}

/* When memory is short it goes sooner, but not at once */
static void piece_urgent(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	int i;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	piece_grow_all(test);
	for (i = 0; i < 5; i++) {
		pt->win->pieces->urgent = true;
		fuse_dax_piece_shrink(pt->win);
		KUNIT_EXPECT_EQ(test, pt->nr, 3);
	}
	piece_press(pt, 9 * HZ);
	KUNIT_EXPECT_EQ(test, pt->nr, 3);
	piece_press(pt, 10 * HZ);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	KUNIT_EXPECT_FALSE(test, pt->win->pieces->urgent);
}

/* One that shows something stays, and has to show nothing for as long again */
static void piece_used(struct kunit *test)
{
	struct fuse_dax_run run = { .first = PIECE_FIRST + 64, .nr = 1 };
	struct piece_test *pt = test->priv;
	struct fuse_dax_window *win;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	win = pt->win;
	piece_grow_all(test);
	fuse_dax_piece_shrink(win);
	fuse_dax_piece_shrink(win);
	/* A range of the last piece is in use */
	bitmap_set(win->used, run.first, run.nr);
	win->nr_free--;
	win->nr_runs++;
	fuse_dax_piece_shrink(win);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_has_pages(win, run.first));
	/* The others can be done without */
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
	fuse_dax_window_give(win, &run);
	fuse_dax_piece_shrink(win);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_has_pages(win, run.first));
}

/* One of which somebody holds a page stays, and can be used */
static void piece_kept(struct kunit *test)
{
	struct piece_test *pt = test->priv;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	piece_grow_all(test);
	pt->pinned = true;
	piece_press(pt, 10 * HZ);
	KUNIT_EXPECT_EQ(test, pt->nr, 3);
	KUNIT_EXPECT_EQ(test, pt->win->nr_free, PIECE_WINDOW);
	KUNIT_EXPECT_EQ(test, pt->win->nr_absent, 0);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_has_pages(pt->win,
							  PIECE_WINDOW - 1));
}

/* None goes while somebody waits for a range, or few would be left */
static void piece_needed(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_window *win;
	struct fuse_dax_run run, first, last;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	win = pt->win;
	piece_grow_all(test);
	win->nr_waiters = 1;
	piece_press(pt, 10 * HZ);
	win->nr_waiters = 0;
	KUNIT_EXPECT_EQ(test, pt->nr, 3);

	run = piece_take(test, PIECE_FIRST + 40);
	piece_press(pt, 10 * HZ);
	/* 62 are free: without the last piece 24 would be */
	KUNIT_EXPECT_EQ(test, pt->nr, 3);
	fuse_dax_window_give(win, &run);

	/* Somebody may have taken some since it was looked at */
	run = (struct fuse_dax_run) { .first = PIECE_FIRST, .nr = 64 };
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_idle(win, &run));
	first = piece_take(test, PIECE_FIRST);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_idle(win, &run));
	last = (struct fuse_dax_run) { .first = PIECE_FIRST + 64, .nr = 7 };
	bitmap_set(win->used, last.first, last.nr);
	win->nr_free -= last.nr;
	win->nr_runs++;
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_hide(win, &run));
	fuse_dax_window_give(win, &first);
	fuse_dax_window_give(win, &last);
}

/* A window that was stopped gets no pages */
static void piece_stopped(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	struct fuse_dax_run run;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	run = piece_take(test, PIECE_FIRST);
	fuse_dax_window_stop(pt->win);
	piece_grow(pt);
	KUNIT_EXPECT_EQ(test, pt->maps, 1);
	KUNIT_EXPECT_FALSE(test, pt->win->growing);
	fuse_dax_window_give(pt->win, &run);
}

/* But it gives back what it has */
static void piece_stopped_shrinks(struct kunit *test)
{
	struct piece_test *pt = test->priv;
	int i;

	piece_make(test, PIECE_WINDOW, PIECE_PFN);
	piece_grow_all(test);
	fuse_dax_window_stop(pt->win);
	for (i = 0; i < 3; i++)
		fuse_dax_piece_shrink(pt->win);
	KUNIT_EXPECT_EQ(test, pt->nr, 1);
}

static struct kunit_case fuse_dax_piece_cases[] = {
	KUNIT_CASE(piece_first),
	KUNIT_CASE(piece_sections),
	KUNIT_CASE(piece_small),
	KUNIT_CASE(piece_ahead),
	KUNIT_CASE(piece_wanted),
	KUNIT_CASE(piece_late),
	KUNIT_CASE(piece_budget),
	KUNIT_CASE(piece_no_memory),
	KUNIT_CASE(piece_no_huge),
	KUNIT_CASE(piece_late_first),
	KUNIT_CASE(piece_limit),
	KUNIT_CASE(piece_shrinks),
	KUNIT_CASE(piece_urgent),
	KUNIT_CASE(piece_used),
	KUNIT_CASE(piece_kept),
	KUNIT_CASE(piece_needed),
	KUNIT_CASE(piece_stopped),
	KUNIT_CASE(piece_stopped_shrinks),
	{}
};

static struct kunit_suite fuse_dax_piece_suite = {
	.name = "fuse_dax_piece",
	.init = piece_init,
	.exit = piece_exit,
	.test_cases = fuse_dax_piece_cases,
};

kunit_test_suite(fuse_dax_piece_suite);
