// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the ranges of the DAX window.
 */
#include "dax_kunit.h"

#include <linux/slab.h>

#define WIN_RANGES	16

static int win_init(struct kunit *test)
{
	test->priv = fuse_dax_kunit_window(WIN_RANGES);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);
	return 0;
}

static void win_exit(struct kunit *test)
{
	if (test->priv)
		fuse_dax_kunit_window_free(test, test->priv);
}

static struct fuse_dax_run win_take(struct kunit *test, unsigned int nr)
{
	struct fuse_dax_run run = {};

	KUNIT_ASSERT_EQ(test, 0,
			fuse_dax_window_take(test->priv, nr, nr, &run));
	return run;
}

/* A mapping of @nr ranges, out of any tree; the reference is the caller's */
static struct fuse_dax_map *win_map(struct kunit *test, unsigned int nr,
				    u64 nodeid)
{
	struct fuse_dax_map *map = kzalloc_obj(*map);
	struct fuse_dax_inode *di = kunit_kzalloc(test, sizeof(*di), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, map);
	KUNIT_ASSERT_NOT_NULL(test, di);
	map->win = test->priv;
	init_rwsem(&di->sem);
	map->di = di;
	map->nodeid = nodeid;
	map->run = win_take(test, nr);
	INIT_LIST_HEAD(&map->list);
	refcount_set(&map->ref, 1);
	return map;
}

static void win_publish(struct fuse_dax_map *map)
{
	guard(rwsem_write)(&map->di->sem);
	fuse_dax_window_publish(map);
}

static void win_discard(struct fuse_dax_map *map)
{
	down_write(&map->di->sem);
	fuse_dax_window_withdraw(map);
	up_write(&map->di->sem);
	fuse_dax_window_give(map->win, &map->run);
	fuse_dax_map_put(map);
}

static void window_take_give(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run all = win_take(test, WIN_RANGES), run;

	KUNIT_EXPECT_EQ(test, all.first, 0);
	KUNIT_EXPECT_EQ(test, all.nr, WIN_RANGES);
	KUNIT_EXPECT_FALSE(test, all.stale);
	KUNIT_EXPECT_EQ(test, win->nr_free, 0);
	KUNIT_EXPECT_EQ(test, win->nr_runs, 1);
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_window_take(win, 1, 1, &run));

	fuse_dax_window_give(win, &all);
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES);
	KUNIT_EXPECT_EQ(test, win->nr_runs, 0);
	KUNIT_EXPECT_EQ(test, win_take(test, 3).first, 0);
	run = win_take(test, 2);
	KUNIT_EXPECT_EQ(test, run.first, 3);
	fuse_dax_window_give(win, &run);
	run = (struct fuse_dax_run) { .nr = 3 };
	fuse_dax_window_give(win, &run);
}

struct hole_case {
	const char *name;
	unsigned int want, min;
	int err;
	unsigned int first, nr;
};

/* Free are 0-1, 5-9 and 12-14 */
static const struct hole_case hole_cases[] = {
	{ "first that is enough",	2, 1, 0, 0, 2 },
	{ "part of the first",		1, 1, 0, 0, 1 },
	{ "passes over a small one",	3, 3, 0, 5, 3 },
	{ "the largest",		5, 5, 0, 5, 5 },
	{ "content with the largest",	9, 3, 0, 5, 5 },
	{ "content with just that",	6, 5, 0, 5, 5 },
	{ "free in sum only",		6, 6, -EAGAIN },
};

KUNIT_ARRAY_PARAM_DESC(hole, hole_cases, name);

static void window_hole(struct kunit *test)
{
	static const struct fuse_dax_run used[] = { { 2, 3 }, { 10, 2 }, { 15, 1 } };
	const struct hole_case *c = test->param_value;
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run run = {};

	for (int i = 0; i < ARRAY_SIZE(used); i++) {
		bitmap_set(win->used, used[i].first, used[i].nr);
		win->nr_free -= used[i].nr;
		win->nr_runs++;
	}
	KUNIT_EXPECT_EQ(test, c->err,
			fuse_dax_window_take(win, c->want, c->min, &run));
	KUNIT_EXPECT_EQ(test, run.first, c->first);
	KUNIT_EXPECT_EQ(test, run.nr, c->nr);
	KUNIT_EXPECT_EQ(test, win->nr_free, 10 - c->nr);

	if (!c->err)
		fuse_dax_window_give(win, &run);
	for (int i = 0; i < ARRAY_SIZE(used); i++)
		fuse_dax_window_give(win, &used[i]);
}

static void window_trim(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run run = win_take(test, 8), next;

	fuse_dax_window_trim(win, &run, 9);
	fuse_dax_window_trim(win, &run, 8);
	KUNIT_EXPECT_EQ(test, run.nr, 8);
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES - 8);

	fuse_dax_window_trim(win, &run, 3);
	KUNIT_EXPECT_EQ(test, run.first, 0);
	KUNIT_EXPECT_EQ(test, run.nr, 3);
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES - 3);
	KUNIT_EXPECT_EQ(test, win->nr_runs, 1);

	next = win_take(test, 13);
	KUNIT_EXPECT_EQ(test, next.first, 3);
	fuse_dax_window_give(win, &next);
	fuse_dax_window_give(win, &run);
}

/* The server has refused the third mapping: there will be two at the most */
static void window_limit(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run runs[3], run;

	for (int i = 0; i < 3; i++)
		runs[i] = win_take(test, 1);
	fuse_dax_window_limit(win, true);
	KUNIT_EXPECT_EQ(test, win->max_runs, 2);
	fuse_dax_window_give(win, &runs[2]);
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_window_take(win, 1, 1, &run));

	fuse_dax_window_give(win, &runs[1]);
	runs[1] = win_take(test, 1);
	fuse_dax_window_limit(win, true);
	KUNIT_EXPECT_EQ(test, win->max_runs, 1);
	fuse_dax_window_give(win, &runs[1]);
	fuse_dax_window_give(win, &runs[0]);
}

/* Three that were under way together: each refusal tells of one mapping too many */
static void window_limit_each(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run runs[5];

	for (int i = 0; i < 5; i++)
		runs[i] = win_take(test, 1);
	for (int i = 0; i < 3; i++)
		fuse_dax_window_limit(win, true);
	KUNIT_EXPECT_EQ(test, win->max_runs, 2);
	for (int i = 0; i < 5; i++)
		fuse_dax_window_give(win, &runs[i]);
}

/* A limit is never so low that nothing can be mapped */
static void window_limit_bounds(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run runs[3];

	for (int i = 0; i < 3; i++)
		runs[i] = win_take(test, 1);
	win->max_runs = 1;
	fuse_dax_window_limit(win, true);
	KUNIT_EXPECT_EQ(test, win->max_runs, 1);

	fuse_dax_window_give(win, &runs[2]);
	fuse_dax_window_give(win, &runs[1]);
	fuse_dax_window_limit(win, true);
	KUNIT_EXPECT_EQ(test, win->max_runs, 1);
	fuse_dax_window_give(win, &runs[0]);
	runs[0] = win_take(test, 1);
	fuse_dax_window_give(win, &runs[0]);
}

/* Takes as many ranges as it gets, one by one */
static unsigned int win_take_all(struct kunit *test, unsigned int nr,
				 struct fuse_dax_run *runs)
{
	while (nr < WIN_RANGES &&
	       !fuse_dax_window_take(test->priv, 1, 1, &runs[nr]))
		nr++;
	return nr;
}

/* The server's budget is tried again, a little more each time, but not often */
static void window_limit_probed(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run runs[WIN_RANGES];
	unsigned int nr = 1;

	for (int i = 0; i < 2; i++)
		runs[i] = win_take(test, 1);
	fuse_dax_window_limit(win, true);
	fuse_dax_window_give(win, &runs[1]);
	KUNIT_EXPECT_EQ(test, win->max_runs, 1);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(win));
	KUNIT_EXPECT_EQ(test, 1, win_take_all(test, nr, runs));

	/* Its time has come: one more, and then another one */
	for (int i = 2; i < 4; i++) {
		win->probe_at = jiffies;
		KUNIT_EXPECT_FALSE(test, fuse_dax_window_pressed(win));
		nr = win_take_all(test, nr, runs);
		KUNIT_EXPECT_EQ(test, nr, i);
		KUNIT_EXPECT_EQ(test, win->max_runs, i);
	}

	/* In vain: at once down, and for longer each time */
	for (int i = 3; i < 15; i += 4) {
		fuse_dax_window_limit(win, true);
		fuse_dax_window_give(win, &runs[--nr]);
		KUNIT_EXPECT_EQ(test, win->max_runs, 2);
		KUNIT_EXPECT_TRUE(test, time_after(win->probe_at,
						   jiffies + i * HZ));
		win->probe_at = jiffies;
		nr = win_take_all(test, nr, runs);
		KUNIT_EXPECT_EQ(test, nr, 3);
	}
	for (int i = 0; i < nr; i++)
		fuse_dax_window_give(win, &runs[i]);
}

/* What is so for the moment is forgotten, but not what was known before */
static void window_limit_moment(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run runs[WIN_RANGES];
	unsigned int nr;

	runs[0] = win_take(test, 1);
	fuse_dax_window_limit(win, false);
	KUNIT_EXPECT_EQ(test, win->max_runs, 1);
	KUNIT_EXPECT_EQ(test, 1, win_take_all(test, 1, runs));
	win->probe_at = jiffies;
	nr = win_take_all(test, 1, runs);
	KUNIT_EXPECT_EQ(test, nr, WIN_RANGES);
	KUNIT_EXPECT_EQ(test, win->max_runs, UINT_MAX);

	fuse_dax_window_limit(win, true);
	fuse_dax_window_limit(win, false);
	KUNIT_EXPECT_EQ(test, win->max_runs, WIN_RANGES - 2);
	for (int i = 8; i < nr; i++)
		fuse_dax_window_give(win, &runs[i]);
	fuse_dax_window_limit(win, false);
	KUNIT_EXPECT_EQ(test, win->max_runs, 7);
	win->probe_at = jiffies;
	nr = win_take_all(test, 8, runs);
	KUNIT_EXPECT_EQ(test, nr, WIN_RANGES - 1);
	for (int i = 0; i < nr; i++)
		fuse_dax_window_give(win, &runs[i]);
}

/* Expects @map to be looked at next, and takes back what comes with it */
static void win_expect_look(struct kunit *test, struct fuse_dax_map *map,
			    bool expected)
{
	bool used = true;
	struct fuse_dax_map *victim = fuse_dax_window_victim(test->priv, &used);

	KUNIT_EXPECT_PTR_EQ(test, victim, map);
	if (!victim)
		return;
	KUNIT_EXPECT_EQ(test, used, expected);
	KUNIT_EXPECT_FALSE(test, used && victim->referenced);
	KUNIT_EXPECT_EQ(test, refcount_read(&victim->ref), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&victim->di->reclaimers), 1);
	atomic_dec(&victim->di->reclaimers);
	fuse_dax_map_put(victim);
}

static void win_expect_victim(struct kunit *test, struct fuse_dax_map *map)
{
	win_expect_look(test, map, false);
}

static void win_expect_none(struct kunit *test)
{
	bool used;

	KUNIT_EXPECT_NULL(test, fuse_dax_window_victim(test->priv, &used));
}

static void window_victim_order(struct kunit *test)
{
	struct fuse_dax_map *map[3];

	win_expect_none(test);
	for (int i = 0; i < 3; i++) {
		map[i] = win_map(test, 1, 1);
		win_publish(map[i]);
	}
	for (int i = 0; i < 4; i++)
		win_expect_victim(test, map[i % 3]);
	for (int i = 0; i < 3; i++)
		win_discard(map[i]);
	win_expect_none(test);
}

static void window_victim_second_chance(struct kunit *test)
{
	struct fuse_dax_map *map[3];

	for (int i = 0; i < 3; i++) {
		map[i] = win_map(test, 1, 1);
		win_publish(map[i]);
	}
	map[0]->referenced = true;
	win_expect_look(test, map[0], true);
	win_expect_victim(test, map[1]);
	win_expect_victim(test, map[2]);
	win_expect_victim(test, map[0]);

	/* A burst of first use is no reason to spare a fleeting one */
	map[1]->referenced = true;
	map[1]->fleeting = true;
	win_expect_look(test, map[1], false);
	for (int i = 0; i < 3; i++)
		win_discard(map[i]);
}

static void window_victim_in_use(struct kunit *test)
{
	struct fuse_dax_map *used = win_map(test, 1, 1);
	struct fuse_dax_map *idle = win_map(test, 1, 1);

	win_publish(used);
	fuse_dax_map_get(used);
	win_expect_none(test);

	win_publish(idle);
	win_expect_victim(test, idle);
	win_expect_victim(test, idle);
	fuse_dax_map_put(used);
	win_expect_victim(test, used);
	win_discard(used);
	win_discard(idle);
}

/* Who looks does so for a while only, and the next one goes on there */
static void window_victim_bounded(struct kunit *test)
{
	struct fuse_dax_map *map[70];

	fuse_dax_window_free(test->priv);
	test->priv = fuse_dax_kunit_window(ARRAY_SIZE(map));
	KUNIT_ASSERT_NOT_NULL(test, test->priv);
	for (int i = 0; i < ARRAY_SIZE(map); i++) {
		map[i] = win_map(test, 1, 1);
		win_publish(map[i]);
		if (i < 66)
			fuse_dax_map_get(map[i]);
	}
	win_expect_none(test);
	win_expect_victim(test, map[66]);
	for (int i = 0; i < ARRAY_SIZE(map); i++) {
		if (i < 66)
			fuse_dax_map_put(map[i]);
		win_discard(map[i]);
	}
}

static void win_expect_batch(struct kunit *test, unsigned int max,
			     const u64 *want, unsigned int nr)
{
	struct fuse_dax_map *map;
	LIST_HEAD(batch);

	KUNIT_EXPECT_EQ(test, nr,
			fuse_dax_window_dying(test->priv, max, &batch));
	KUNIT_EXPECT_EQ(test, nr, list_count_nodes(&batch));
	list_for_each_entry(map, &batch, list)
		KUNIT_EXPECT_EQ(test, map->nodeid, *want++);
	fuse_dax_window_removed(test->priv, &batch, 0);
}

/* A batch is of one inode, that of the eldest, and no larger than asked for */
static void window_dying_batch(struct kunit *test)
{
	static const u64 nodeid[] = { 1, 2, 1, 1, 2 };
	struct fuse_dax_window *win = test->priv;

	for (int i = 0; i < ARRAY_SIZE(nodeid); i++)
		fuse_dax_window_bury(win_map(test, 1, nodeid[i]));
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES - 5);

	win_expect_batch(test, 2, (u64[]) { 1, 1 }, 2);
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES - 3);
	win_expect_batch(test, 8, (u64[]) { 2, 2 }, 2);
	win_expect_batch(test, 8, (u64[]) { 1 }, 1);
	win_expect_batch(test, 8, NULL, 0);
	KUNIT_EXPECT_EQ(test, win->nr_runs, 0);
}

static void window_bury_queues_work(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	LIST_HEAD(batch);

	fuse_dax_window_bury(win_map(test, 1, 1));
	flush_work(&win->remove_work);
	KUNIT_EXPECT_EQ(test, 1,
			fuse_dax_window_stat(win, FUSE_DAX_REMOVES));
	KUNIT_EXPECT_EQ(test, 1, fuse_dax_window_dying(win, 1, &batch));
	fuse_dax_window_removed(win, &batch, 0);
}

static void window_bury_stopped(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_map *map = win_map(test, 4, 1);

	fuse_dax_window_stop(win);
	fuse_dax_map_get(map);
	fuse_dax_window_bury(map);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 1);
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES);
	KUNIT_EXPECT_TRUE(test, list_empty(&win->dying));
	fuse_dax_map_put(map);
}

/* What the server may still show is not used until a remove has succeeded */
static void window_quarantine(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_map *map = win_map(test, 4, 1);
	struct fuse_dax_run run;
	LIST_HEAD(batch);

	KUNIT_EXPECT_NULL(test, fuse_dax_window_bad(win));
	fuse_dax_window_bury(map);
	KUNIT_ASSERT_EQ(test, 1, fuse_dax_window_dying(win, 1, &batch));
	for (int i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, win->nr_bad, 0);
		fuse_dax_window_removed(win, &batch, -EIO);
		KUNIT_EXPECT_TRUE(test, list_empty(&batch));
		KUNIT_EXPECT_EQ(test, win->nr_bad, 4);
		KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES - 4);
		KUNIT_EXPECT_EQ(test, win->nr_runs, 1);
		KUNIT_EXPECT_EQ(test, -EAGAIN,
				fuse_dax_window_take(win, 16, 13, &run));

		KUNIT_ASSERT_PTR_EQ(test, fuse_dax_window_bad(win), map);
		list_add(&map->list, &batch);
	}

	fuse_dax_window_removed(win, &batch, 0);
	KUNIT_EXPECT_EQ(test, win->nr_bad, 0);
	KUNIT_EXPECT_EQ(test, win->nr_runs, 0);
	KUNIT_EXPECT_EQ(test, win->nr_free, WIN_RANGES);
}

static void window_stop(struct kunit *test)
{
	struct fuse_dax_kunit_waiter waiter[2];
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run run;

	for (int i = 0; i < 2; i++)
		fuse_dax_kunit_wait(win, &waiter[i]);
	fuse_dax_window_stop(win);
	for (int i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, waiter[i].woken, 1);
		fuse_dax_kunit_unwait(win, &waiter[i]);
	}
	KUNIT_EXPECT_EQ(test, -ENOTCONN, fuse_dax_window_take(win, 1, 1, &run));
}

static void window_pressed(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_kunit_waiter waiter;
	struct fuse_dax_run run;

	KUNIT_EXPECT_FALSE(test, fuse_dax_window_pressed(win));
	run = win_take(test, WIN_RANGES);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(win));
	fuse_dax_window_trim(win, &run, WIN_RANGES - 1);
	KUNIT_EXPECT_FALSE(test, fuse_dax_window_pressed(win));
	fuse_dax_kunit_wait(win, &waiter);
	KUNIT_EXPECT_TRUE(test, fuse_dax_window_pressed(win));
	fuse_dax_kunit_unwait(win, &waiter);
	fuse_dax_window_give(win, &run);
}

/* Each way in which ranges become free wakes the first in line, and only him */
static void window_wake_first(struct kunit *test)
{
	struct fuse_dax_kunit_waiter waiter[2];
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run run = win_take(test, 4);
	struct fuse_dax_map *map = win_map(test, 1, 1);
	LIST_HEAD(batch);

	for (int i = 0; i < 2; i++)
		fuse_dax_kunit_wait(win, &waiter[i]);
	fuse_dax_window_trim(win, &run, 2);
	KUNIT_EXPECT_EQ(test, waiter[0].woken, 1);
	fuse_dax_window_give(win, &run);
	KUNIT_EXPECT_EQ(test, waiter[0].woken, 2);

	fuse_dax_window_bury(map);
	fuse_dax_window_dying(win, 1, &batch);
	KUNIT_EXPECT_EQ(test, waiter[0].woken, 2);
	fuse_dax_window_removed(win, &batch, 0);
	KUNIT_EXPECT_EQ(test, waiter[0].woken, 3);

	KUNIT_EXPECT_EQ(test, waiter[1].woken, 0);
	for (int i = 0; i < 2; i++)
		fuse_dax_kunit_unwait(win, &waiter[i]);
}

/* A mapping without users can be reclaimed, so that is worth a look */
static void window_put_wakes(struct kunit *test)
{
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_map *map = win_map(test, 1, 1);
	struct fuse_dax_kunit_waiter waiter;

	fuse_dax_map_get(map);
	fuse_dax_kunit_wait(win, &waiter);
	fuse_dax_map_put(map);
	KUNIT_EXPECT_EQ(test, waiter.woken, 1);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 1);
	fuse_dax_kunit_unwait(win, &waiter);
	win_discard(map);
}

struct win_attempt {
	struct kunit *test;
	struct fuse_dax_run held;
	struct fuse_dax_run run;
	unsigned int tries;
	bool pressed;
};

/* Fails at first, and then gives ranges back as another task would */
static int win_try(void *data)
{
	struct win_attempt *at = data;
	struct fuse_dax_window *win = at->test->priv;
	int err = fuse_dax_window_take(win, 2, 2, &at->run);

	at->pressed = fuse_dax_window_pressed(win);
	if (++at->tries == 1 && at->held.nr)
		fuse_dax_window_give(win, &at->held);
	/* An end, should nothing else end it */
	return at->tries < 9 ? err : -EIO;
}

static void window_wait(struct kunit *test)
{
	struct win_attempt at = { .test = test };
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_kunit_waiter next;

	at.held = win_take(test, WIN_RANGES);
	KUNIT_EXPECT_EQ(test, 0, fuse_dax_window_wait(win, 0, win_try, &at));
	KUNIT_EXPECT_EQ(test, at.tries, 2);
	KUNIT_EXPECT_EQ(test, at.run.nr, 2);
	KUNIT_EXPECT_EQ(test, win->nr_waiters, 0);
	KUNIT_EXPECT_EQ(test, 1,
			fuse_dax_window_stat(win, FUSE_DAX_WAITS));
	fuse_dax_window_give(win, &at.run);

	/* Nothing was free when it began; what it leaves is for the next */
	at = (struct win_attempt) { .test = test };
	fuse_dax_kunit_wait(win, &next);
	KUNIT_EXPECT_EQ(test, 0, fuse_dax_window_wait(win, 0, win_try, &at));
	KUNIT_EXPECT_TRUE(test, at.pressed);
	KUNIT_EXPECT_EQ(test, next.woken, 1);
	fuse_dax_kunit_unwait(win, &next);
	fuse_dax_window_give(win, &at.run);
}

static void window_wait_ends(struct kunit *test)
{
	struct win_attempt at = { .test = test };
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run all = win_take(test, WIN_RANGES);

	fuse_dax_kunit_kill();
	KUNIT_EXPECT_EQ(test, -EINTR, fuse_dax_window_wait(win, 0, win_try, &at));
	fuse_dax_kunit_unkill();
	KUNIT_EXPECT_EQ(test, at.tries, 1);

	at.tries = 0;
	fuse_dax_window_stop(win);
	KUNIT_EXPECT_EQ(test, -ENOTCONN,
			fuse_dax_window_wait(win, 0, win_try, &at));
	KUNIT_EXPECT_EQ(test, at.tries, 1);
	fuse_dax_window_give(win, &all);
}

/* Who has another way waits for a moment, and those who come then do not */
static void window_wait_brief(struct kunit *test)
{
	struct win_attempt at = { .test = test };
	struct fuse_dax_window *win = test->priv;
	struct fuse_dax_run all = win_take(test, WIN_RANGES);

	KUNIT_EXPECT_EQ(test, -EAGAIN,
			fuse_dax_window_wait(win, FUSE_DAX_WANT_BRIEF, win_try,
					     &at));
	KUNIT_EXPECT_LE(test, 2, at.tries);
	KUNIT_EXPECT_EQ(test, win->nr_waiters, 0);
	at.tries = 0;
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			fuse_dax_window_wait(win, FUSE_DAX_WANT_BRIEF, win_try,
					     &at));
	KUNIT_EXPECT_EQ(test, 0, at.tries);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			fuse_dax_window_wait(win, FUSE_DAX_WANT_BRIEF |
						  FUSE_DAX_WANT_MAPPED,
					     win_try, &at));
	KUNIT_EXPECT_LE(test, 2, at.tries);
	fuse_dax_window_give(win, &all);
}

struct fit_case {
	const char *name;
	u64 start, len;
	u64 fit_len;
};

#define FIT_BASE	(64ULL * SZ_1G)

/* A @fit_len of 0: nothing is left */
static const struct fit_case fit_cases[] = {
	{ "as it should be", FIT_BASE, SZ_1G, SZ_1G },
	{ "empty", FIT_BASE, 0 },
	{ "one page", FIT_BASE, SZ_4K },
	{ "one range less a page", FIT_BASE, SZ_2M - SZ_4K },
	{ "odd size", FIT_BASE, SZ_16M + 4097, SZ_16M },
	{ "misaligned", FIT_BASE + SZ_4K, SZ_16M },
	{ "wraps", U64_MAX - SZ_16M + 1, SZ_32M },
	{ "the end of all", U64_MAX - SZ_16M + 1, SZ_16M },
	{ "everything", 0, U64_MAX, round_down(U64_MAX, SZ_2M) },
};

KUNIT_ARRAY_PARAM_DESC(fit, fit_cases, name);

static void window_fit(struct kunit *test)
{
	const struct fit_case *c = test->param_value;
	u64 len = c->len;

	KUNIT_EXPECT_EQ(test, fuse_dax_conn_fit(c->start, &len), !!c->fit_len);
	if (c->fit_len)
		KUNIT_EXPECT_EQ(test, len, c->fit_len);
}

static struct kunit_case fuse_dax_window_cases[] = {
	KUNIT_CASE(window_take_give),
	KUNIT_CASE_PARAM(window_hole, hole_gen_params),
	KUNIT_CASE(window_trim),
	KUNIT_CASE(window_limit),
	KUNIT_CASE(window_limit_each),
	KUNIT_CASE(window_limit_bounds),
	KUNIT_CASE(window_limit_probed),
	KUNIT_CASE(window_limit_moment),
	KUNIT_CASE(window_victim_order),
	KUNIT_CASE(window_victim_second_chance),
	KUNIT_CASE(window_victim_in_use),
	KUNIT_CASE(window_victim_bounded),
	KUNIT_CASE(window_dying_batch),
	KUNIT_CASE(window_bury_queues_work),
	KUNIT_CASE(window_bury_stopped),
	KUNIT_CASE(window_quarantine),
	KUNIT_CASE(window_stop),
	KUNIT_CASE(window_pressed),
	KUNIT_CASE(window_wake_first),
	KUNIT_CASE(window_put_wakes),
	KUNIT_CASE(window_wait),
	KUNIT_CASE(window_wait_ends),
	KUNIT_CASE(window_wait_brief),
	KUNIT_CASE_PARAM(window_fit, fit_gen_params),
	{}
};

static struct kunit_suite fuse_dax_window_suite = {
	.name = "fuse_dax_window",
	.init = win_init,
	.exit = win_exit,
	.test_cases = fuse_dax_window_cases,
};

kunit_test_suite(fuse_dax_window_suite);
