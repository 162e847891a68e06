// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of what a miss maps. All numbers are ranges unless they are bytes.
 */
#include "dax_kunit.h"

/* The window has 64 ranges, so the share of a file is 32, its first run 4 */
#define PLAN_RANGES	64

#define RANGES(nr)	((loff_t)(nr) << FUSE_DAX_RANGE_SHIFT)

struct plan {
	struct fuse_dax_window *win;
	struct fuse_dax_inode di;
	struct fuse_dax_map maps[2];
};

static int plan_init(struct kunit *test)
{
	struct plan *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	p->win = fuse_dax_kunit_window(PLAN_RANGES);
	KUNIT_ASSERT_NOT_NULL(test, p->win);
	p->win->replaces = true;
	p->win->removes_parts = true;
	init_rwsem(&p->di.sem);
	p->di.tree = RB_ROOT_CACHED;
	p->di.missed = ULONG_MAX;
	test->priv = p;
	return 0;
}

static void plan_exit(struct kunit *test)
{
	struct plan *p = test->priv;

	if (!p)
		return;
	p->win->nr_free = p->win->nr_ranges;
	fuse_dax_kunit_window_free(test, p->win);
}

/* What a case starts from: the rest of the window is in use */
static void plan_free(struct plan *p, unsigned int nr_free)
{
	p->win->nr_free = nr_free;
}

static int plan_make(struct plan *p, loff_t size, unsigned long range,
		     unsigned int want, struct fuse_dax_plan *plan)
{
	guard(rwsem_write)(&p->di.sem);
	return fuse_dax_plan_make(p->win, &p->di, size, range, want, plan);
}

/* Maps @nr ranges of the file from @start on; @i counts the mappings */
static void plan_map(struct plan *p, int i, unsigned long start,
		     unsigned int nr)
{
	struct fuse_dax_map *map = &p->maps[i];

	map->itn.start = fuse_dax_range_to_page(start);
	map->itn.last = fuse_dax_range_to_page(start + nr) - 1;
	interval_tree_insert(&map->itn, &p->di.tree);
}

struct plan_case {
	const char *name;
	loff_t size;
	unsigned int free;
	/* What the last plan has left */
	unsigned long next;
	unsigned int run;
	unsigned long range;
	struct fuse_dax_plan plan;
};

static const struct plan_case plan_cases[] = {
	{ "whole file", RANGES(5) + 1, 64, 0, 0, 3, { 0, 6 } },
	{ "one byte", 1, 64, 0, 0, 0, { 0, 1 } },
	{ "whole file of a share", RANGES(32), 64, 0, 0, 31, { 0, 32 } },
	{ "whole file, no room", RANGES(32), 0, 0, 0, 9, { 8, 4 } },
	{ "whole file of few, no room", RANGES(4), 0, 0, 0, 2, { 0, 4 } },
	{ "whole file, no room, from the start", RANGES(32), 0, 0, 0, 0, { 0, 4 } },
	{ "whole file, no room, pass", RANGES(32), 0, 4, 4, 4, { 4, 8 } },
	{ "whole file, some room", RANGES(32), 20, 0, 0, 9, { 0, 20 } },
	{ "larger, room for all", RANGES(64), 64, 0, 0, 0, { 0, 32 } },
	{ "larger, room for the rest", RANGES(100), 50, 0, 0, 50, { 50, 32 } },
	{ "larger, room for the last", RANGES(100), 10, 0, 0, 90, { 90, 10 } },
	{ "one too few for the rest", RANGES(100), 49, 0, 0, 50, { 48, 4 } },
	{ "a byte past the share", RANGES(32) + 1, 20, 0, 0, 0, { 0, 4 } },
	{ "sequential doubles", RANGES(100), 20, 4, 4, 4, { 4, 8 } },
	{ "sequential, one left out", RANGES(100), 20, 4, 4, 5, { 5, 8 } },
	{ "sequential up to the share", RANGES(100), 20, 28, 20, 28, { 28, 32 } },
	{ "sequential up to the end", RANGES(100), 5, 94, 16, 94, { 94, 6 } },
	{ "from the start again", RANGES(100), 20, 44, 16, 0, { 0, 20 } },
	{ "from the start, no room", RANGES(100), 0, 44, 16, 0, { 0, 4 } },
	{ "pass, no room", RANGES(100), 0, 28, 20, 28, { 28, 32 } },
	{ "two left out", RANGES(100), 20, 4, 8, 6, { 4, 4 } },
	{ "backwards", RANGES(100), 20, 44, 4, 39, { 36, 4 } },
	{ "random", RANGES(100), 20, 4, 8, 51, { 48, 4 } },
	{ "random at the end", RANGES(99), 0, 4, 8, 98, { 96, 3 } },
};

KUNIT_ARRAY_PARAM_DESC(plan, plan_cases, name);

/* A fault: it is never deferred */
static void plan_policy(struct kunit *test)
{
	const struct plan_case *c = test->param_value;
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_free(p, c->free);
	p->di.next = c->next;
	p->di.run = c->run;
	KUNIT_ASSERT_EQ(test, 0, plan_make(p, c->size, c->range,
					   FUSE_DAX_WANT_WAIT, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, c->plan.start);
	KUNIT_EXPECT_EQ(test, plan.nr, c->plan.nr);
	KUNIT_EXPECT_EQ(test, p->di.run, c->plan.nr);
}

struct stock_case {
	const char *name;
	unsigned int free;
	unsigned long next;
	unsigned int run;
	unsigned long range;
	struct fuse_dax_plan plan;
};

/* Where a mapping goes as a whole, none is made that many have to go for */
static const struct stock_case stock_cases[] = {
	{ "pass, no room", 0, 28, 20, 28, { 28, 8 } },
	{ "pass, too little room", 30, 28, 20, 28, { 28, 8 } },
	{ "pass, room", 40, 28, 20, 28, { 28, 32 } },
	{ "not at first", 0, 0, 0, 51, { 48, 4 } },
};

KUNIT_ARRAY_PARAM_DESC(stock, stock_cases, name);

static void plan_stock(struct kunit *test)
{
	const struct stock_case *c = test->param_value;
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	p->win->removes_parts = false;
	plan_free(p, c->free);
	p->di.next = c->next;
	p->di.run = c->run;
	KUNIT_ASSERT_EQ(test, 0, plan_make(p, RANGES(100), c->range,
					   FUSE_DAX_WANT_WAIT, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, c->plan.start);
	KUNIT_EXPECT_EQ(test, plan.nr, c->plan.nr);
}

/* Who goes on where he was is known by that, not who starts or jumps */
static void plan_pass(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_free(p, 20);
	p->di.next = 8;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 8, 0, &plan));
	KUNIT_EXPECT_FALSE(test, plan.pass);
	p->di.next = 12;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 12, 0, &plan));
	KUNIT_EXPECT_TRUE(test, plan.pass);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 12,
					   FUSE_DAX_WANT_RANDOM, &plan));
	KUNIT_EXPECT_FALSE(test, plan.pass);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 40, 0, &plan));
	KUNIT_EXPECT_FALSE(test, plan.pass);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 0, 0, &plan));
	KUNIT_EXPECT_FALSE(test, plan.pass);
}

static void plan_window(struct kunit *test, unsigned int nr_ranges)
{
	struct plan *p = test->priv;

	fuse_dax_window_free(p->win);
	p->win = fuse_dax_kunit_window(nr_ranges);
	KUNIT_ASSERT_NOT_NULL(test, p->win);
}

static void plan_small_window(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	/* A share of one, and one as the first run */
	plan_window(test, 1);
	KUNIT_ASSERT_EQ(test, 0, plan_make(p, RANGES(3), 1,
					   FUSE_DAX_WANT_WAIT, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 1);
	KUNIT_EXPECT_EQ(test, plan.nr, 1);

	plan_window(test, 31);
	plan_free(p, 0);
	KUNIT_ASSERT_EQ(test, 0, plan_make(p, RANGES(30), 7,
					   FUSE_DAX_WANT_WAIT, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 7);
	KUNIT_EXPECT_EQ(test, plan.nr, 1);
}

/* Runs of three do not overlap, so that none has to be cut */
static void plan_runs_of_three(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_window(test, 48);
	plan_free(p, 0);
	for (unsigned long range = 10; range < 20; range++) {
		p->di.next = 0;
		KUNIT_ASSERT_EQ(test, 0, plan_make(p, RANGES(100), range,
						   FUSE_DAX_WANT_WAIT, &plan));
		KUNIT_EXPECT_EQ(test, plan.start, range / 3 * 3);
		KUNIT_EXPECT_EQ(test, plan.nr, 3);
	}
}

/* While the window is full the first touch of a place is not worth a range */
static void plan_defer_pressed(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_free(p, 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, plan_make(p, RANGES(100), 50, 0, &plan));
	KUNIT_EXPECT_EQ(test, -EAGAIN, plan_make(p, RANGES(100), 70, 0, &plan));
	KUNIT_EXPECT_EQ(test, -EAGAIN, plan_make(p, RANGES(100), 50, 0, &plan));
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 50, 0, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 48);
	KUNIT_EXPECT_EQ(test, plan.nr, 4);
}

static void plan_defer_not(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	/* Sequential */
	plan_free(p, 0);
	p->di.next = 50;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 50, 0, &plan));
	/* A fault has no other way */
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 70,
					   FUSE_DAX_WANT_WAIT, &plan));
	/* No pressure */
	plan_free(p, 1);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 80, 0, &plan));
	/* A task waits */
	p->win->nr_waiters = 1;
	KUNIT_EXPECT_EQ(test, -EAGAIN, plan_make(p, RANGES(100), 80, 0, &plan));
	p->win->nr_waiters = 0;
}

static void plan_defer_small(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_256K + 1, 0, 0, &plan));
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_256K, 0, FUSE_DAX_WANT_WAIT,
					   &plan));
	for (int i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, -EAGAIN,
				plan_make(p, SZ_256K, 0, 0, &plan));
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_256K, 0, 0, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 0);
	KUNIT_EXPECT_EQ(test, plan.nr, 1);
}

/* A small file takes memory from nobody, but for a fault or a read in pieces */
static void plan_small_pressed(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_free(p, 0);
	for (int i = 0; i < 9; i++)
		KUNIT_EXPECT_EQ(test, -EAGAIN,
				plan_make(p, SZ_64K, 0, 0, &plan));
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_64K, 0, FUSE_DAX_WANT_WAIT,
					   &plan));
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_64K, 0, FUSE_DAX_WANT_MEMORY,
					   &plan));

	/* All mappings that the server can hold, though there are ranges */
	p->di.small_misses = 9;
	plan_free(p, 64);
	p->win->nr_runs = 5;
	p->win->max_runs = 6;
	p->win->probe_at = jiffies + HZ;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_64K, 0, 0, &plan));
	p->win->max_runs = 5;
	KUNIT_EXPECT_EQ(test, -EAGAIN, plan_make(p, SZ_64K, 0, 0, &plan));
	p->win->nr_runs = 0;
}

static void plan_small_in_pieces(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	KUNIT_EXPECT_EQ(test, 0, plan_make(p, SZ_64K, 0, FUSE_DAX_WANT_MEMORY,
					   &plan));
	KUNIT_EXPECT_EQ(test, p->di.small_misses, 0);
}

/* One range, wherever it is, unless there is room for the file */
static void plan_random(struct kunit *test)
{
	unsigned int want = FUSE_DAX_WANT_WAIT | FUSE_DAX_WANT_RANDOM;
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_free(p, 20);
	p->di.next = 4;
	p->di.run = 4;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 4, want, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 4);
	KUNIT_EXPECT_EQ(test, plan.nr, 1);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 0, want, &plan));
	KUNIT_EXPECT_EQ(test, plan.nr, 1);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(30), 7, want, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 7);
	KUNIT_EXPECT_EQ(test, plan.nr, 1);
	plan_free(p, 30);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(30), 7, want, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 0);
	KUNIT_EXPECT_EQ(test, plan.nr, 30);
}

/* What a pass over a large file has left behind it is the first to go */
static void plan_drop_behind(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	for (int i = 0; i < 2; i++) {
		plan_map(p, i, 4 * i, 4);
		p->maps[i].referenced = true;
	}
	/* Not a pass: somewhere else, and at the start */
	p->di.next = 4;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 8, 0, &plan));
	p->di.next = 0;
	KUNIT_EXPECT_EQ(test, -EEXIST, plan_make(p, RANGES(100), 0, 0, &plan));
	KUNIT_EXPECT_TRUE(test, p->maps[0].referenced);
	KUNIT_EXPECT_TRUE(test, p->maps[1].referenced);

	p->di.next = 8;
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(100), 8, 0, &plan));
	KUNIT_EXPECT_TRUE(test, p->maps[0].referenced);
	KUNIT_EXPECT_FALSE(test, p->maps[1].referenced);
}

struct fit_case {
	const char *name;
	struct fuse_dax_plan plan;
	unsigned long range;
	struct fuse_dax_plan fit;
};

/* Mapped are 4-7 and 12 */
static const struct fit_case fit_cases[] = {
	{ "before all",		{ 0, 3 }, 1, { 0, 3 } },
	{ "cut at the end",	{ 1, 19 }, 2, { 1, 3 } },
	{ "cut on both sides",	{ 0, 20 }, 8, { 8, 4 } },
	{ "cut at the start",	{ 6, 14 }, 15, { 13, 7 } },
	{ "just in the hole",	{ 9, 3 }, 11, { 9, 3 } },
	{ "behind all",		{ 13, 5 }, 13, { 13, 5 } },
	{ "first mapped",	{ 0, 20 }, 4, { 0, 0 } },
	{ "last mapped",	{ 0, 20 }, 7, { 0, 0 } },
	{ "one mapped",		{ 12, 1 }, 12, { 0, 0 } },
};

KUNIT_ARRAY_PARAM_DESC(fit, fit_cases, name);

static void plan_fit(struct kunit *test)
{
	const struct fit_case *c = test->param_value;
	struct fuse_dax_plan plan = c->plan;
	struct plan *p = test->priv;

	plan_map(p, 0, 4, 4);
	plan_map(p, 1, 12, 1);
	down_write(&p->di.sem);
	fuse_dax_plan_fit(&p->di, c->range, &plan);
	up_write(&p->di.sem);
	KUNIT_EXPECT_EQ(test, plan.nr, c->fit.nr);
	if (c->fit.nr)
		KUNIT_EXPECT_EQ(test, plan.start, c->fit.start);
}

static void plan_between_mappings(struct kunit *test)
{
	struct plan *p = test->priv;
	struct fuse_dax_plan plan;

	plan_map(p, 0, 0, 4);
	plan_map(p, 1, 8, 4);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(20), 5, 0, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 4);
	KUNIT_EXPECT_EQ(test, plan.nr, 4);
	KUNIT_EXPECT_EQ(test, -EEXIST, plan_make(p, RANGES(20), 9, 0, &plan));
	/* What was not planned is not continued */
	KUNIT_EXPECT_EQ(test, p->di.run, 4);
	KUNIT_EXPECT_EQ(test, 0, plan_make(p, RANGES(20), 19, 0, &plan));
	KUNIT_EXPECT_EQ(test, plan.start, 12);
	KUNIT_EXPECT_EQ(test, plan.nr, 8);
}

struct shrink_case {
	const char *name;
	unsigned long range;
	unsigned int nr;
	struct fuse_dax_plan plan;
};

/* Planned are 8-15 */
static const struct shrink_case shrink_cases[] = {
	{ "got all",		12, 8, { 8, 8 } },
	{ "got more",		12, 9, { 8, 8 } },
	{ "still shown",	10, 3, { 8, 3 } },
	{ "shown no more",	11, 3, { 11, 3 } },
	{ "not past the end",	14, 3, { 13, 3 } },
	{ "last of one",	15, 1, { 15, 1 } },
};

KUNIT_ARRAY_PARAM_DESC(shrink, shrink_cases, name);

static void plan_shrink(struct kunit *test)
{
	const struct shrink_case *c = test->param_value;
	struct fuse_dax_plan plan = { 8, 8 };

	fuse_dax_plan_shrink(&plan, c->range, c->nr);
	KUNIT_EXPECT_EQ(test, plan.start, c->plan.start);
	KUNIT_EXPECT_EQ(test, plan.nr, c->plan.nr);
}

/* For all small plans: what is left shows the range and is part of the plan */
static void plan_shrink_shows(struct kunit *test)
{
	for (unsigned int nr = 1; nr <= 8; nr++)
		for (unsigned int got = 1; got <= nr; got++)
			for (unsigned long range = 3; range < 3 + nr; range++) {
				struct fuse_dax_plan plan = { 3, nr };

				fuse_dax_plan_shrink(&plan, range, got);
				KUNIT_EXPECT_EQ(test, plan.nr, got);
				KUNIT_EXPECT_GE(test, plan.start, 3);
				KUNIT_EXPECT_LE(test, plan.start, range);
				KUNIT_EXPECT_LT(test, range, plan.start + got);
				KUNIT_EXPECT_LE(test, plan.start + got, 3 + nr);
			}
}

static struct kunit_case fuse_dax_plan_cases[] = {
	KUNIT_CASE_PARAM(plan_policy, plan_gen_params),
	KUNIT_CASE_PARAM(plan_stock, stock_gen_params),
	KUNIT_CASE(plan_pass),
	KUNIT_CASE(plan_small_window),
	KUNIT_CASE(plan_runs_of_three),
	KUNIT_CASE(plan_defer_pressed),
	KUNIT_CASE(plan_defer_not),
	KUNIT_CASE(plan_defer_small),
	KUNIT_CASE(plan_small_pressed),
	KUNIT_CASE(plan_small_in_pieces),
	KUNIT_CASE(plan_random),
	KUNIT_CASE(plan_drop_behind),
	KUNIT_CASE_PARAM(plan_fit, fit_gen_params),
	KUNIT_CASE(plan_between_mappings),
	KUNIT_CASE_PARAM(plan_shrink, shrink_gen_params),
	KUNIT_CASE(plan_shrink_shows),
	{}
};

static struct kunit_suite fuse_dax_plan_suite = {
	.name = "fuse_dax_plan",
	.init = plan_init,
	.exit = plan_exit,
	.test_cases = fuse_dax_plan_cases,
};

kunit_test_suite(fuse_dax_plan_suite);
