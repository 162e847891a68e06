// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of reclaim and of the remove worker.
 */
#include "dax_kunit.h"

#include <kunit/static_stub.h>
#include <linux/pagemap.h>

/* Two files that fill the window, the first of which was used longer ago */
static void reclaim_fill(struct kunit *test, struct fuse_dax_map *map[2])
{
	for (int i = 0; i < 2; i++)
		map[i] = fuse_dax_kunit_map(test,
					    fuse_dax_kunit_inode(test, i, 32),
					    0, 0);
}

/* Takes @want ranges without waiting; they are given back by the caller */
static int reclaim_run(struct kunit *test, unsigned int want,
		       struct fuse_dax_run *run)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_plan plan = { .nr = want };

	return fuse_dax_reclaim_run(kt->win, NULL, &plan, 0, run);
}

/* The same for a pass over a file */
static int reclaim_pass(struct kunit *test, struct inode *inode,
			unsigned int want, struct fuse_dax_run *run)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_plan plan = { .nr = want, .pass = true };

	return fuse_dax_reclaim_run(kt->win, get_fuse_inode(inode)->dax, &plan,
				    0, run);
}

/* Takes one range, and waits for it */
static int reclaim_wait(struct kunit *test, struct fuse_dax_run *run)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_plan plan = { .nr = 1 };

	return fuse_dax_reclaim_run(kt->win, NULL, &plan, FUSE_DAX_WANT_WAIT,
				    run);
}

/* The server of the tests has nothing to be removed */
static void reclaim_give(struct kunit *test, struct fuse_dax_run *run)
{
	struct fuse_dax_kunit *kt = test->priv;

	run->stale = false;
	fuse_dax_window_give(kt->win, run);
}

static void reclaim_work(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	fuse_dax_reclaim_work(&kt->win->remove_work);
}

static long reclaim_count(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	return fuse_dax_window_stat(kt->win, FUSE_DAX_RECLAIMED);
}

static void reclaim_detach(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = fuse_dax_kunit_map(test, inode, 0, 0);

	fuse_dax_map_get(map);
	fuse_dax_map_get(map);
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_detach(map, 0, 3));
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_LIVE);
	fuse_dax_map_put(map);

	down_read(&inode->i_mapping->invalidate_lock);
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_detach(map, 0, 3));
	up_read(&inode->i_mapping->invalidate_lock);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_LIVE);

	KUNIT_EXPECT_EQ(test, 0, fuse_dax_detach(map, 0, 3));
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_GONE);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&map->di->tree.rb_root));
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->lru));
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);
	fuse_dax_map_put(map);
	fuse_dax_window_bury(map);
}

/* Expects a file to be mapped there, by a mapping of its own */
static void reclaim_expect_map(struct kunit *test, struct inode *inode,
			       unsigned long range, unsigned int first,
			       unsigned int nr)
{
	struct fuse_dax_map *map;

	map = fuse_dax_map_hit(inode, fuse_dax_range_to_page(range), 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	KUNIT_EXPECT_EQ(test, map->run.first, first);
	KUNIT_EXPECT_EQ(test, map->run.nr, nr);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);
	fuse_dax_map_put(map);
}

static long reclaim_hit(struct inode *inode, unsigned long range)
{
	return PTR_ERR(fuse_dax_map_hit(inode, fuse_dax_range_to_page(range),
					0));
}

struct part_case {
	const char *name;
	unsigned int first, nr, rest;
};

/* Of a mapping of 32 */
static const struct part_case part_cases[] = {
	{ "start", 0, 4, 1 },
	{ "middle", 8, 4, 2 },
	{ "end", 28, 4, 1 },
	{ "all", 0, 32, 0 },
	{ "all but one", 0, 31, 1 },
};

KUNIT_ARRAY_PARAM_DESC(part, part_cases, name);

/* What stays is found where it was, and is next to go where the mapping was */
static void reclaim_part(struct kunit *test)
{
	const struct part_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	unsigned int end = c->first + c->nr;
	struct fuse_dax_map *map[2];
	struct inode *inode;

	reclaim_fill(test, map);
	inode = map[0]->inode;
	fuse_dax_map_get(map[0]);
	KUNIT_EXPECT_EQ(test, 0,
			fuse_dax_detach(map[0], c->first, c->nr));
	KUNIT_EXPECT_EQ(test, map[0]->state, FUSE_DAX_GONE);
	KUNIT_EXPECT_EQ(test, map[0]->run.first, c->first);
	KUNIT_EXPECT_EQ(test, map[0]->run.nr, c->nr);
	KUNIT_EXPECT_EQ(test, refcount_read(&map[0]->ref), 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), c->rest);
	KUNIT_EXPECT_EQ(test, kt->win->nr_live, 1 + c->rest);
	KUNIT_EXPECT_EQ(test, kt->win->nr_runs, 2 + c->rest);
	KUNIT_EXPECT_PTR_EQ(test, kt->win->lru.prev, &map[1]->list);
	for (unsigned int i = 0; i < 32; i++) {
		if (i < c->first)
			reclaim_expect_map(test, inode, i, 0, c->first);
		else if (i >= end)
			reclaim_expect_map(test, inode, i, end, 32 - end);
		else
			KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_hit(inode, i));
	}
	fuse_dax_map_put(map[0]);
	fuse_dax_window_bury(map[0]);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, c->nr);
	KUNIT_EXPECT_EQ(test, kt->removes[0].first[0], c->first);
	KUNIT_EXPECT_EQ(test, kt->removes[0].len[0], c->nr);
}

/* Eviction, which has taken a mapping off the list, finds what stays of it */
static void reclaim_part_evicted(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	fuse_dax_map_get(map[0]);
	down_read(&map[0]->di->sem);
	fuse_dax_window_withdraw(map[0]);
	up_read(&map[0]->di->sem);
	KUNIT_EXPECT_EQ(test, 0, fuse_dax_detach(map[0], 8, 4));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&kt->win->lru));
	KUNIT_EXPECT_EQ(test, kt->win->nr_live, 1);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(map[0]->inode), 2);
	fuse_dax_map_put(map[0]);
	fuse_dax_window_bury(map[0]);
	fuse_dax_inode_evict(&kt->fi[0].inode);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(&kt->fi[0].inode), 0);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 32);
}

/* Maps a file; whether it is the next to go */
static bool reclaim_fleets(struct kunit *test, struct inode *inode)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_map *map;

	map = fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WAIT);
	/* It is used, but that may be the burst of first use */
	fuse_dax_kunit_map(test, inode, 0, 0);
	KUNIT_EXPECT_TRUE(test, map->referenced);
	KUNIT_EXPECT_EQ(test, map->fleeting, kt->win->lru.next == &map->list);
	return map->fleeting;
}

/*
 * A mapping that others had to go for is the next to go, unless its file lost one
 * a moment ago, or it is its turn to stay.
 */
static void reclaim_fleeting(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *one, *two;

	/* Eight mappings; a moment is two of them */
	fuse_dax_kunit_pieces(test, 0, 8, 8);
	KUNIT_ASSERT_EQ(test, kt->win->nr_free, 0);
	one = fuse_dax_kunit_inode(test, 1, 8);
	two = fuse_dax_kunit_inode(test, 2, 8);

	kt->win->withdrawn = 4;
	KUNIT_EXPECT_TRUE(test, reclaim_fleets(test, one));
	KUNIT_EXPECT_TRUE(test, reclaim_fleets(test, two));
	KUNIT_EXPECT_EQ(test, kt->win->withdrawn, 6);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(one), 0);
	KUNIT_EXPECT_FALSE(test, reclaim_fleets(test, one));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(two), 0);
	KUNIT_EXPECT_EQ(test, kt->win->withdrawn, 7);

	get_fuse_inode(two)->dax->withdrawn = 0;
	KUNIT_EXPECT_FALSE(test, reclaim_fleets(test, two));
	KUNIT_EXPECT_EQ(test, kt->win->withdrawn, 8);
}

/* Stands in for fuse_dax_reclaim_unmap(): the mapping is used again at once */
static void reclaim_use(struct fuse_dax_map *map)
{
	struct fuse_dax_kunit *kt = kunit_get_current_test()->priv;

	kt->nr_unmaps++;
	WRITE_ONCE(map->referenced, true);
}

/* What was used is unmapped and spared, but each only once */
static void reclaim_spares(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	kunit_activate_static_stub(test, fuse_dax_reclaim_unmap, reclaim_use);
	map[0]->referenced = true;
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, run.first, 32);
	KUNIT_EXPECT_EQ(test, kt->nr_unmaps, 1);
	KUNIT_EXPECT_EQ(test, map[0]->state, FUSE_DAX_LIVE);
	KUNIT_EXPECT_EQ(test, refcount_read(&map[0]->ref), 1);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&kt->fi[0].dax->reclaimers));
	reclaim_give(test, &run);

	map[1] = fuse_dax_kunit_map(test, &kt->fi[1].inode, 0, 0);
	map[1]->fleeting = false;
	map[1]->referenced = true;
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, kt->nr_unmaps, 3);
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 2);
	reclaim_give(test, &run);
}

static void reclaim_prefers_free(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run free, run = {};
	struct fuse_dax_map *map[2];

	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(kt->win, 16, 16, &free));
	reclaim_fill(test, map);
	/* The second file got what was left, which is 16 */
	KUNIT_ASSERT_EQ(test, map[1]->run.nr, 16);
	fuse_dax_window_give(kt->win, &free);

	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 16);
	KUNIT_EXPECT_FALSE(test, run.stale);
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 0);
	reclaim_give(test, &run);
}

static void reclaim_takes_over(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, run.first, 0);
	KUNIT_EXPECT_EQ(test, run.nr, 4);
	KUNIT_EXPECT_TRUE(test, run.stale);
	KUNIT_EXPECT_EQ(test, kt->win->nr_live, 2);
	reclaim_expect_map(test, &kt->fi[0].inode, 4, 4, 28);
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->dying));
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 1);
	for (int i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, 0,
				atomic_read(&kt->fi[i].dax->reclaimers));
	reclaim_give(test, &run);
}

/* The holder of an inode's lock is not waited for: another file gives */
static void reclaim_passes_over(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct rw_semaphore *lock = &kt->fi[0].inode.i_mapping->invalidate_lock;
	struct fuse_dax_run run = {}, large = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	down_read(lock);
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, run.first, 32);
	KUNIT_EXPECT_TRUE(test, map[0]->referenced);
	KUNIT_EXPECT_EQ(test, map[0]->state, FUSE_DAX_LIVE);

	/* Nobody else is there */
	down_read_nested(&kt->fi[1].inode.i_mapping->invalidate_lock,
			 SINGLE_DEPTH_NESTING);
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 32, &large));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&kt->fi[0].dax->reclaimers));
	up_read(&kt->fi[1].inode.i_mapping->invalidate_lock);
	up_read(lock);
	reclaim_give(test, &run);
}

/*
 * A mapping much larger than what is wanted is removed, not taken over, where it
 * goes as a whole
 */
static void reclaim_too_large(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run run = {}, large = {};
	struct fuse_dax_map *map[2];

	fuse_dax_kunit_stock(test);
	reclaim_fill(test, map);
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&kt->win->dying));
	/* That is enough: nothing else is removed, but what fits is taken over */
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&kt->win->dying));
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &large));
	KUNIT_EXPECT_TRUE(test, large.stale);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&kt->win->dying));
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 0);
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 4);
	KUNIT_EXPECT_FALSE(test, run.stale);
	reclaim_give(test, &run);
	reclaim_give(test, &large);
}

/* Near the limit of the server a mapping goes as a whole: parts are more of them */
static void reclaim_limit(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	kt->win->max_runs = 3;
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&kt->win->dying));
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 32);
	KUNIT_EXPECT_EQ(test, kt->win->nr_runs, 2);

	kt->win->max_runs = 4;
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 4);
	KUNIT_EXPECT_TRUE(test, run.stale);
	KUNIT_EXPECT_TRUE(test, run.part);
	KUNIT_EXPECT_EQ(test, kt->win->nr_runs, 3);
	reclaim_work(test);
	reclaim_give(test, &run);
}

/* In use and too large: nothing goes for who has another way */
static void reclaim_used_too_large(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	fuse_dax_kunit_stock(test);
	reclaim_fill(test, map);
	kunit_activate_static_stub(test, fuse_dax_reclaim_unmap, reclaim_use);
	for (int i = 0; i < 2; i++)
		map[i]->referenced = true;
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 0);
}

/* One that is smaller than what is wanted is taken over all the same */
static void reclaim_too_small(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run rest = {}, run = {};

	fuse_dax_kunit_pieces(test, 0, 16, 1);
	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(kt->win, 48, 48, &rest));
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 4, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 1);
	KUNIT_EXPECT_TRUE(test, run.stale);
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 1);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 0);
	reclaim_give(test, &run);
	reclaim_give(test, &rest);
}

/* 64 mappings in use: a miss takes as few of them as a large file may want */
static void reclaim_few(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 1, 32);
	struct fuse_dax_map *map;

	kunit_activate_static_stub(test, fuse_dax_reclaim_unmap, reclaim_use);
	fuse_dax_kunit_pieces(test, 0, 64, 1);
	KUNIT_ASSERT_EQ(test, kt->win->nr_free, 0);
	list_for_each_entry(map, &kt->win->lru, list)
		map->referenced = true;
	fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_LE(test, reclaim_count(test), 4);
	/* A read elsewhere falls back at first, and then takes no more than that */
	map = fuse_dax_map_find(inode, fuse_dax_range_to_page(20), 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, PTR_ERR(map));
	KUNIT_EXPECT_LE(test, reclaim_count(test), 4);
	fuse_dax_kunit_map(test, inode, 20, 0);
	KUNIT_EXPECT_LE(test, reclaim_count(test), 8);
	KUNIT_EXPECT_GE(test, fuse_dax_kunit_count(&kt->fi[0].inode), 56);
}

/* A pass over a file takes what it has left behind, and no more that is used */
static void reclaim_own(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *own = fuse_dax_kunit_inode(test, 1, 32);
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map;

	kunit_activate_static_stub(test, fuse_dax_reclaim_unmap, reclaim_use);
	fuse_dax_kunit_pieces(test, 0, 32, 1);
	list_for_each_entry(map, &kt->win->lru, list)
		map->referenced = true;
	for (int i = 0; i < 4; i++) {
		own = fuse_dax_kunit_inode(test, 1, 8 * (i + 1));
		fuse_dax_kunit_map(test, own, 8 * i, 0);
	}
	KUNIT_ASSERT_EQ(test, kt->win->nr_free, 0);
	KUNIT_EXPECT_EQ(test, 0, reclaim_pass(test, own, 16, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 8);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(&kt->fi[0].inode), 32);
	reclaim_give(test, &run);
}

/* What was spared for a miss does not go for the same one, if there is something */
static void reclaim_spared(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *own = fuse_dax_kunit_inode(test, 1, 8);
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map;

	fuse_dax_kunit_map(test, own, 0, 0);
	fuse_dax_kunit_pieces(test, 0, 13, 4);
	KUNIT_ASSERT_EQ(test, kt->win->nr_free, 4);
	list_for_each_entry(map, &kt->win->lru, list)
		map->referenced = map->inode != own;
	KUNIT_EXPECT_EQ(test, 0, reclaim_pass(test, own, 32, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 8);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(&kt->fi[0].inode), 13);
	reclaim_give(test, &run);
}

/* Nobody loses anything for who is about to end */
static void reclaim_killed(struct kunit *test)
{
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	fuse_dax_kunit_kill();
	KUNIT_EXPECT_EQ(test, -EINTR, reclaim_run(test, 1, &run));
	fuse_dax_kunit_unkill();
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 0);
}

/* Less than half of what is wanted, if nobody else can give more */
static void reclaim_what_there_is(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run most, run = {};

	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(kt->win, 61, 61, &most));
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, run.nr, 3);
	KUNIT_EXPECT_FALSE(test, run.stale);
	reclaim_give(test, &run);
	reclaim_give(test, &most);
}

/* 16 that cannot be detached are enough to give up; the next one goes on there */
static void reclaim_gives_up(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct rw_semaphore *lock = &kt->fi[0].inode.i_mapping->invalidate_lock;
	struct fuse_dax_run rest, run = {};
	struct fuse_dax_map *last;

	fuse_dax_kunit_pieces(test, 0, 16, 1);
	last = fuse_dax_kunit_map(test, fuse_dax_kunit_inode(test, 1, 1), 0, 0);
	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(kt->win, 47, 47, &rest));
	down_read(lock);
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 1, &run));
	KUNIT_EXPECT_PTR_EQ(test, kt->win->lru.next, &last->list);
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 1, &run));
	KUNIT_EXPECT_EQ(test, run.first, 16);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(&kt->fi[0].inode), 16);
	up_read(lock);
	reclaim_give(test, &run);
	reclaim_give(test, &rest);
}

static int reclaim_pinned(struct kunit *test, struct fuse_dax_map *map)
{
	return map->nodeid == 1 ? -EBUSY : 0;
}

/* Every other range of the first file has a page that is pinned */
static int reclaim_odd_pinned(struct kunit *test, struct fuse_dax_map *map)
{
	struct fuse_dax_kunit *kt = test->priv;
	unsigned int first = map->run.first + kt->zap_first;

	return map->nodeid == 1 && (kt->zap_nr > 1 || first % 2) ? -EBUSY : 0;
}

/* What is pinned costs itself, and not what is mapped together with it */
static void reclaim_beside_pins(struct kunit *test)
{
	struct fuse_dax_run run[16];
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	fuse_dax_kunit_zap(test, reclaim_odd_pinned);
	for (int i = 0; i < ARRAY_SIZE(run); i++) {
		KUNIT_ASSERT_EQ(test, 0, reclaim_run(test, 4, &run[i]));
		KUNIT_EXPECT_TRUE(test, run[i].first >= 32 ||
				  (run[i].nr == 1 && run[i].first % 2 == 0));
	}
	KUNIT_EXPECT_EQ(test, reclaim_count(test), ARRAY_SIZE(run));
	for (int i = 0; i < ARRAY_SIZE(run); i++)
		reclaim_give(test, &run[i]);
}

/* A mapping with a pinned page lives on, and counts as used */
static void reclaim_skips_pinned(struct kunit *test)
{
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	fuse_dax_kunit_zap(test, reclaim_pinned);
	KUNIT_EXPECT_EQ(test, 0, reclaim_run(test, 32, &run));
	KUNIT_EXPECT_EQ(test, run.first, 32);
	KUNIT_EXPECT_EQ(test, map[0]->state, FUSE_DAX_LIVE);
	KUNIT_EXPECT_TRUE(test, map[0]->referenced);
	KUNIT_EXPECT_EQ(test, refcount_read(&map[0]->ref), 1);
	KUNIT_EXPECT_EQ(test, reclaim_count(test), 1);
	reclaim_give(test, &run);
}

static int reclaim_all_pinned(struct kunit *test, struct fuse_dax_map *map)
{
	return -EBUSY;
}

static void reclaim_stop_work(struct work_struct *work)
{
	struct fuse_dax_kunit *kt = container_of(work, struct fuse_dax_kunit,
						 late_work.work);

	fuse_dax_window_stop(kt->win);
}

/* Who waits for pinned pages looks now and then: its own look wakes it not */
static void reclaim_sleeps(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_run run = {};
	struct fuse_dax_map *map[2];

	reclaim_fill(test, map);
	fuse_dax_kunit_zap(test, reclaim_all_pinned);
	INIT_DELAYED_WORK(&kt->late_work, reclaim_stop_work);
	schedule_delayed_work(&kt->late_work, HZ / 4);
	KUNIT_EXPECT_EQ(test, -ENOTCONN,
			reclaim_wait(test, &run));
	KUNIT_EXPECT_GE(test, kt->nr_zaps, 2);
	/* 16 for each look: at once, as the first in line, and then by the clock */
	KUNIT_EXPECT_LE(test, kt->nr_zaps, 20 * 16);
	flush_delayed_work(&kt->late_work);
}

static void reclaim_truncate(struct kunit *test, struct inode *inode, loff_t size)
{
	filemap_invalidate_lock(inode->i_mapping);
	fuse_dax_size_set(inode, size);
	filemap_invalidate_unlock(inode->i_mapping);
}

/* What begins past the end is given back, unless somebody uses it */
static void reclaim_truncated(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = &kt->fi[0].inode;
	struct fuse_dax_map *used;

	fuse_dax_kunit_stock(test);
	reclaim_truncate(test, inode, 0);
	fuse_dax_kunit_pieces(test, 0, 4, 2);
	reclaim_truncate(test, inode, 4 * FUSE_DAX_RANGE_SIZE + 1);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 3);
	reclaim_truncate(test, inode, 4 * FUSE_DAX_RANGE_SIZE);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 2);
	reclaim_truncate(test, inode, 2 * FUSE_DAX_RANGE_SIZE + 1);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 2);

	used = fuse_dax_map_hit(inode, 0, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, used);
	reclaim_truncate(test, inode, 0);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	KUNIT_EXPECT_EQ(test, used->state, FUSE_DAX_LIVE);
	fuse_dax_map_put(used);
	reclaim_truncate(test, inode, 0);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 4);
}

/* Where mappings go in parts, what begins before the end gives the rest back */
static void reclaim_truncated_parts(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 32);

	fuse_dax_kunit_map(test, inode, 0, 0);
	reclaim_truncate(test, inode, 5 * FUSE_DAX_RANGE_SIZE + 1);
	reclaim_expect_map(test, inode, 5, 0, 6);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 26);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 64 - 6);
}

/* So does what is not needed any more, ranges as a whole */
static void reclaim_between(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 32);
	pgoff_t first = fuse_dax_range_to_page(8) - 1;
	pgoff_t last = fuse_dax_range_to_page(12);
	struct fuse_dax_map *map = fuse_dax_kunit_map(test, inode, 0, 0);

	filemap_invalidate_lock(inode->i_mapping);
	/* Who uses it will soon be done, and it is worth trying again */
	fuse_dax_map_get(map);
	KUNIT_EXPECT_FALSE(test, fuse_dax_detach_range(map->di, first, last));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	fuse_dax_map_put(map);
	/* The server can hold no more mappings: it could not remove a part */
	kt->win->max_runs = 2;
	KUNIT_EXPECT_TRUE(test, fuse_dax_detach_range(map->di, first, last));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 0);
	kt->win->max_runs = 3;
	KUNIT_EXPECT_TRUE(test, fuse_dax_detach_range(map->di, first, last));
	filemap_invalidate_unlock(inode->i_mapping);
	reclaim_expect_map(test, inode, 7, 0, 8);
	reclaim_expect_map(test, inode, 12, 12, 20);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 4);
}

/* Only a file that has shrunk on the server gives something back */
static void reclaim_size_changed(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = &kt->fi[0].inode;
	const loff_t two = 2 * FUSE_DAX_RANGE_SIZE;

	fuse_dax_size_learnt(inode, two, 0);
	fuse_dax_kunit_pieces(test, 0, 2, 2);
	fuse_dax_size_learnt(inode, 0, two);
	fuse_dax_size_learnt(inode, two, two);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 2);
	fuse_dax_size_learnt(inode, 2 * two, two);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
}

static void reclaim_waits(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_window *win = kt->win;
	struct fuse_dax_kunit_waiter waiter;
	struct fuse_dax_run all, run;

	/* There are free ranges, but somebody else waits for one */
	fuse_dax_kunit_wait(win, &waiter);
	KUNIT_EXPECT_EQ(test, -EAGAIN, reclaim_run(test, 1, &run));
	KUNIT_EXPECT_EQ(test, 0, reclaim_wait(test, &run));
	fuse_dax_kunit_unwait(win, &waiter);
	reclaim_give(test, &run);

	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(win, 64, 64, &all));
	fuse_dax_kunit_kill();
	KUNIT_EXPECT_EQ(test, -EINTR, reclaim_wait(test, &run));
	fuse_dax_kunit_unkill();
	fuse_dax_window_stop(win);
	KUNIT_EXPECT_EQ(test, -ENOTCONN, reclaim_wait(test, &run));
	fuse_dax_window_give(win, &all);
}

/* Leaves @nr mappings of two ranges each to the worker */
static void reclaim_bury(struct kunit *test, unsigned int file, unsigned int nr)
{
	struct fuse_dax_kunit *kt = test->priv;

	fuse_dax_kunit_pieces(test, file, nr, 2);
	fuse_dax_inode_evict(&kt->fi[file].inode);
}

static void reclaim_expect_remove(struct kunit *test, unsigned int i,
				  u64 nodeid, unsigned int nr,
				  unsigned int first)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_kunit_remove *remove = &kt->removes[i];

	KUNIT_EXPECT_GT(test, kt->nr_removes, i);
	KUNIT_EXPECT_EQ(test, remove->nodeid, nodeid);
	KUNIT_EXPECT_EQ(test, remove->nr, nr);
	for (unsigned int j = 0; j < nr; j++) {
		KUNIT_EXPECT_EQ(test, remove->first[j], first + 2 * j);
		KUNIT_EXPECT_EQ(test, remove->len[j], 2);
	}
}

static void reclaim_batch(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	reclaim_bury(test, 0, 3);
	reclaim_bury(test, 1, 2);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 2);
	reclaim_expect_remove(test, 0, 1, 3, 0);
	reclaim_expect_remove(test, 1, 2, 2, 6);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 64);
	KUNIT_EXPECT_EQ(test, kt->win->nr_runs, 0);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 2);
}

/* One of three cannot be removed: the other two are, and it is tried again */
static void reclaim_isolates(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	kt->remove_bad = 2;
	kt->remove_error = -EINVAL;
	reclaim_bury(test, 0, 3);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 5);
	reclaim_expect_remove(test, 0, 1, 3, 0);
	for (int i = 0; i < 3; i++)
		reclaim_expect_remove(test, 1 + i, 1, 1, 2 * i);
	reclaim_expect_remove(test, 4, 1, 1, 2);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 62);
	KUNIT_EXPECT_EQ(test, kt->win->nr_bad, 2);

	kt->remove_error = 0;
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 6);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 64);
	KUNIT_EXPECT_EQ(test, kt->win->nr_bad, 0);
}

/* One request a time finds out that the server has recovered; then all go */
static void reclaim_recovers(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	kt->remove_bad = UINT_MAX;
	kt->remove_error = -EIO;
	reclaim_bury(test, 0, 3);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->win->nr_bad, 6);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 58);
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&kt->win->retry_work));
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 5);

	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 6);
	KUNIT_EXPECT_EQ(test, kt->win->nr_bad, 6);

	cancel_delayed_work_sync(&kt->win->retry_work);
	kt->remove_error = 0;
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 9);
	KUNIT_EXPECT_EQ(test, kt->win->nr_bad, 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 64);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&kt->win->retry_work));
}

/* Without a connection there is no use in asking again one by one */
static void reclaim_gone(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	kt->remove_bad = UINT_MAX;
	kt->remove_error = -ENOTCONN;
	reclaim_bury(test, 0, 3);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, kt->nr_removes, 2);
	KUNIT_EXPECT_EQ(test, kt->win->nr_bad, 6);
}

static void reclaim_retry(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_window *win = kt->win;

	fuse_dax_reclaim_retry_work(&win->retry_work.work);
	flush_work(&win->remove_work);
	KUNIT_EXPECT_EQ(test, 1,
			fuse_dax_window_stat(win, FUSE_DAX_REMOVES));

	/* No retry is queued once the connection ends */
	kt->remove_bad = UINT_MAX;
	kt->remove_error = -EIO;
	reclaim_bury(test, 0, 1);
	fuse_dax_window_stop(win);
	reclaim_work(test);
	KUNIT_EXPECT_EQ(test, win->nr_bad, 2);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&win->retry_work));
}

static struct kunit_case fuse_dax_reclaim_cases[] = {
	KUNIT_CASE(reclaim_detach),
	KUNIT_CASE_PARAM(reclaim_part, part_gen_params),
	KUNIT_CASE(reclaim_part_evicted),
	KUNIT_CASE(reclaim_fleeting),
	KUNIT_CASE(reclaim_spares),
	KUNIT_CASE(reclaim_prefers_free),
	KUNIT_CASE(reclaim_takes_over),
	KUNIT_CASE(reclaim_passes_over),
	KUNIT_CASE(reclaim_beside_pins),
	KUNIT_CASE(reclaim_skips_pinned),
	KUNIT_CASE(reclaim_sleeps),
	KUNIT_CASE(reclaim_too_large),
	KUNIT_CASE(reclaim_limit),
	KUNIT_CASE(reclaim_used_too_large),
	KUNIT_CASE(reclaim_too_small),
	KUNIT_CASE(reclaim_few),
	KUNIT_CASE(reclaim_own),
	KUNIT_CASE(reclaim_spared),
	KUNIT_CASE(reclaim_killed),
	KUNIT_CASE(reclaim_what_there_is),
	KUNIT_CASE(reclaim_gives_up),
	KUNIT_CASE(reclaim_truncated),
	KUNIT_CASE(reclaim_truncated_parts),
	KUNIT_CASE(reclaim_between),
	KUNIT_CASE(reclaim_size_changed),
	KUNIT_CASE(reclaim_waits),
	KUNIT_CASE(reclaim_batch),
	KUNIT_CASE(reclaim_isolates),
	KUNIT_CASE(reclaim_recovers),
	KUNIT_CASE(reclaim_gone),
	KUNIT_CASE(reclaim_retry),
	{}
};

static struct kunit_suite fuse_dax_reclaim_suite = {
	.name = "fuse_dax_reclaim",
	.init = fuse_dax_kunit_init,
	.exit = fuse_dax_kunit_exit,
	.test_cases = fuse_dax_reclaim_cases,
};

kunit_test_suite(fuse_dax_reclaim_suite);
