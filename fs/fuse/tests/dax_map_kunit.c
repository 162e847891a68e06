// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the life of a mapping and of the tree.
 */
#include "dax_kunit.h"

#include <linux/slab.h>

static struct fuse_dax_map *map_find(struct inode *inode, unsigned long range,
				     unsigned int want)
{
	return fuse_dax_map_find(inode, fuse_dax_range_to_page(range), want);
}

static long map_error(struct inode *inode, unsigned long range,
		      unsigned int want)
{
	return PTR_ERR(map_find(inode, range, want));
}

static struct fuse_dax_map *map_hit(struct inode *inode, unsigned long range,
				    unsigned int want)
{
	return fuse_dax_map_hit(inode, fuse_dax_range_to_page(range), want);
}

static void map_setup(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 1, 3);
	struct fuse_dax_map *map, *again;

	KUNIT_EXPECT_EQ(test, -EAGAIN, PTR_ERR(map_hit(inode, 0, 0)));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 0);

	map = map_find(inode, 1, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
	KUNIT_EXPECT_EQ(test, kt->setups[0].nodeid, 2);
	KUNIT_EXPECT_EQ(test, kt->setups[0].start, 0);
	KUNIT_EXPECT_EQ(test, kt->setups[0].run.nr, 3);
	KUNIT_EXPECT_EQ(test, kt->setups[0].access, FUSE_DAX_READ);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_LIVE);
	KUNIT_EXPECT_FALSE(test, map->writable);
	KUNIT_EXPECT_FALSE(test, map->referenced);
	KUNIT_EXPECT_PTR_EQ(test, kt->win->lru.next, &map->list);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);

	again = map_hit(inode, 2, 0);
	KUNIT_EXPECT_PTR_EQ(test, again, map);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 3);
	KUNIT_EXPECT_TRUE(test, map->referenced);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
	fuse_dax_map_put(map);
	fuse_dax_map_put(map);
}

static void map_past_the_end(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	KUNIT_EXPECT_EQ(test, -EAGAIN, map_error(inode, 3, FUSE_DAX_WANT_WAIT));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 0);
}

static void map_grown_file(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	fuse_dax_kunit_map(test, inode, 0, 0);
	fuse_dax_kunit_inode(test, 0, 6);
	fuse_dax_kunit_map(test, inode, 4, 0);
	KUNIT_ASSERT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, kt->setups[1].start, 3);
	KUNIT_EXPECT_EQ(test, kt->setups[1].run.nr, 3);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 2);
}

/* The runs grow while there are ranges; then the coldest that fits is replaced */
static void map_sequential(struct kunit *test)
{
	static const unsigned int nr[] = { 4, 8, 16, 32, 16 };
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 100);
	unsigned long range = 0;

	for (int i = 0; i < ARRAY_SIZE(nr); i++) {
		fuse_dax_kunit_map(test, inode, range, 0);
		KUNIT_ASSERT_EQ(test, kt->nr_setups, i + 1);
		KUNIT_EXPECT_EQ(test, kt->setups[i].start, range);
		KUNIT_EXPECT_EQ(test, kt->setups[i].run.nr, nr[i]);
		KUNIT_EXPECT_EQ(test, kt->setups[i].run.stale, i == 4);
		range += nr[i];
	}
	KUNIT_EXPECT_EQ(test, kt->setups[4].run.first, kt->setups[2].run.first);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 2);
}

static void map_write_access(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *want = fuse_dax_kunit_inode(test, 0, 1);
	struct inode *open = fuse_dax_kunit_inode(test, 1, 1);

	fuse_dax_kunit_map(test, want, 0, FUSE_DAX_WANT_WRITE);
	KUNIT_EXPECT_EQ(test, kt->setups[0].access, FUSE_DAX_WRITE);
	atomic_set(&open->i_writecount, 1);
	fuse_dax_kunit_map(test, open, 0, 0);
	KUNIT_EXPECT_EQ(test, kt->setups[1].access, FUSE_DAX_WRITE);
}

/* Write access that was only asked for in advance is done without */
static void map_write_refused(struct kunit *test)
{
	static const int errors[] = { -EACCES, -EROFS, -ETXTBSY, -EPERM };
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_map *map;
	struct inode *inode;

	for (int i = 0; i < ARRAY_SIZE(errors); i++) {
		inode = fuse_dax_kunit_inode(test, i, 1);
		atomic_set(&inode->i_writecount, 1);
		kt->setup_errors[2 * i] = errors[i];
		map = fuse_dax_kunit_map(test, inode, 0, 0);
		KUNIT_EXPECT_EQ(test, kt->nr_setups, 2 * i + 2);
		KUNIT_EXPECT_EQ(test, kt->setups[2 * i + 1].access,
				FUSE_DAX_READ);
		KUNIT_EXPECT_FALSE(test, map->writable);
		KUNIT_EXPECT_EQ(test, kt->win->nr_runs, i + 1);
	}
}

struct error_case {
	const char *name;
	int error;
	unsigned int want;
	unsigned int setups;
	/* The limit is in force, and known */
	bool limit, budget;
	bool disabled, unmappable, buried;
	/* What the caller gets, if that is another error */
	int told;
};

static const struct error_case error_cases[] = {
	{ "other", -EINVAL, 0, 1 },
	{ "other, fault", -EINVAL, FUSE_DAX_WANT_WAIT, 1 },
	{ "not writable", -EACCES, FUSE_DAX_WANT_WRITE, 1 },
	{ "not writable, fault", -EROFS,
	  FUSE_DAX_WANT_WRITE | FUSE_DAX_WANT_WAIT, 1 },
	{ "limit", -ENOMEM, 0, 1, .limit = true, .budget = true },
	{ "limit of space", -ENOSPC, 0, 1, .limit = true, .budget = true },
	{ "limit of a user", -EDQUOT, 0, 1, .limit = true, .budget = true },
	{ "limit of files", -EMFILE, 0, 1, .limit = true },
	{ "limit of all files", -ENFILE, 0, 1, .limit = true },
	{ "limit for now", -EAGAIN, 0, 1, .limit = true, .told = -EBUSY },
	{ "busy", -EBUSY, 0, 1, .limit = true },
	{ "no space for a write", -ENOSPC, FUSE_DAX_WANT_WRITE, 1 },
	{ "no space of a user, fault", -EDQUOT,
	  FUSE_DAX_WANT_WRITE | FUSE_DAX_WANT_WAIT, 3 },
	{ "limit, fault", -ENOSPC, FUSE_DAX_WANT_WAIT, 3, .limit = true,
	  .budget = true },
	{ "limit, fault that is repeated", -ENOSPC,
	  FUSE_DAX_WANT_WAIT | FUSE_DAX_WANT_ONCE, 1, .limit = true,
	  .budget = true },
	{ "too many holes", -E2BIG, 0, 2 },
	{ "too many holes, fault that is repeated", -E2BIG,
	  FUSE_DAX_WANT_WRITE | FUSE_DAX_WANT_WAIT | FUSE_DAX_WANT_ONCE, 2 },
	{ "not supported", -ENOSYS, 0, 1, .disabled = true },
	{ "not supported, fault", -ENOSYS, FUSE_DAX_WANT_WAIT, 1,
	  .disabled = true },
	{ "not this file", -EOPNOTSUPP, 0, 1, .unmappable = true },
	{ "not this file, fault", -EOPNOTSUPP, FUSE_DAX_WANT_WAIT, 1,
	  .unmappable = true },
	{ "unknown outcome", -EIO, 0, 1, .buried = true },
	{ "somebody was faster", -EEXIST, 0, 1, .buried = true, .told = -EIO },
	{ "somebody was faster, fault", -EEXIST,
	  FUSE_DAX_WANT_WRITE | FUSE_DAX_WANT_WAIT, 1, .buried = true,
	  .told = -EIO },
	{ "a page is in the way", -EDEADLK, FUSE_DAX_WANT_WAIT, 1,
	  .buried = true, .told = -EIO },
	{ "end of the connection", -ENOTCONN, FUSE_DAX_WANT_WAIT, 1,
	  .buried = true },
};

KUNIT_ARRAY_PARAM_DESC(error, error_cases, name);

static void map_setup_error(struct kunit *test)
{
	const struct error_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_window *win = kt->win;

	for (int i = 0; i < FUSE_DAX_KUNIT_REQUESTS; i++)
		kt->setup_errors[i] = c->error;
	KUNIT_EXPECT_EQ(test, c->told ?: c->error,
			map_error(inode, 0, c->want));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, c->setups);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	KUNIT_EXPECT_EQ(test, win->max_runs, c->limit ? 1 : UINT_MAX);
	KUNIT_EXPECT_EQ(test, win->known_runs, c->budget ? 1 : UINT_MAX);
	KUNIT_EXPECT_EQ(test, win->nr_free, c->buried ? 61 : 64);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&win->dying), c->buried);

	KUNIT_EXPECT_EQ(test, win->disabled, c->disabled);
	flush_work(&win->disable_work);
	KUNIT_EXPECT_EQ(test, kt->nr_disables, c->disabled);
	if (c->disabled || c->unmappable) {
		KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, map_error(inode, 0, 0));
		fuse_dax_map_ahead(inode, 0, ULONG_MAX);
		KUNIT_EXPECT_EQ(test, kt->nr_setups, c->setups);
	}
	if (c->unmappable) {
		kt->setup_errors[c->setups] = 0;
		fuse_dax_kunit_map(test, fuse_dax_kunit_inode(test, 1, 3), 0, 0);
	}
}

static bool map_is_alone(struct inode *inode, unsigned long range,
			 unsigned int want)
{
	return fuse_dax_plan_alone(inode, fuse_dax_range_to_page(range) + 5,
				   want);
}

/* A range that is missed three times in turn is worth a mapping */
static void map_alone(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 100);

	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 40, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 40, 0));
	KUNIT_EXPECT_FALSE(test, map_is_alone(inode, 40, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 50, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 50, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 40, 0));
	/* A huge page is missed first, and is the same miss */
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 60, FUSE_DAX_WANT_HUGE));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 60, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 60, FUSE_DAX_WANT_HUGE));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 60, 0));
	KUNIT_EXPECT_FALSE(test, map_is_alone(inode, 60, FUSE_DAX_WANT_HUGE));
}

/* So is the next one of a pass over the file, and its start */
static void map_alone_in_pass(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 60);
	pgoff_t end = fuse_dax_range_to_page(33);

	KUNIT_EXPECT_FALSE(test, fuse_dax_plan_alone(inode, 0, 0));
	KUNIT_EXPECT_TRUE(test, fuse_dax_plan_alone(inode, 0,
						    FUSE_DAX_WANT_RANDOM));
	/* 32 ranges: what is behind is next */
	fuse_dax_kunit_map(test, inode, 0, 0);
	KUNIT_EXPECT_FALSE(test, map_is_alone(inode, 32, 0));
	KUNIT_EXPECT_FALSE(test, map_is_alone(inode, 33, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 34, 0));
	KUNIT_EXPECT_TRUE(test, fuse_dax_plan_alone(inode, end - 1, 0));
	KUNIT_EXPECT_TRUE(test, map_is_alone(inode, 32, FUSE_DAX_WANT_RANDOM));
	/* What is mapped by now is not missed */
	KUNIT_EXPECT_FALSE(test, map_is_alone(inode, 20, FUSE_DAX_WANT_RANDOM));
}

static void map_unsent(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	kt->unsent = -ENOMEM;
	KUNIT_EXPECT_EQ(test, -ENOMEM, map_error(inode, 0, 0));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 64);
	KUNIT_EXPECT_EQ(test, kt->win->max_runs, UINT_MAX);
}

/* A server that holds one mapping: the second takes the place of the first */
static void map_limit_replaces(struct kunit *test)
{
	struct inode *first = fuse_dax_kunit_inode(test, 0, 3);
	struct inode *second = fuse_dax_kunit_inode(test, 1, 3);
	struct fuse_dax_kunit *kt = test->priv;

	kt->setup_errors[1] = -ENFILE;
	fuse_dax_kunit_map(test, first, 0, 0);
	fuse_dax_kunit_map(test, second, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_ASSERT_EQ(test, kt->nr_setups, 3);
	KUNIT_EXPECT_TRUE(test, kt->setups[2].run.stale);
	KUNIT_EXPECT_EQ(test, kt->setups[2].run.first, kt->setups[0].run.first);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(first), 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_runs, 1);
}

/* To be refused the place of another mapping does not lower the limit */
static void map_limit_stays(struct kunit *test)
{
	struct inode *first = fuse_dax_kunit_inode(test, 0, 3);
	struct inode *second = fuse_dax_kunit_inode(test, 1, 3);
	struct inode *third = fuse_dax_kunit_inode(test, 2, 3);
	struct fuse_dax_kunit *kt = test->priv;

	kt->setup_errors[2] = -ENFILE;
	kt->setup_errors[3] = -ENFILE;
	fuse_dax_kunit_map(test, first, 0, 0);
	fuse_dax_kunit_map(test, second, 0, 0);
	fuse_dax_kunit_map(test, third, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_ASSERT_EQ(test, kt->nr_setups, 5);
	KUNIT_EXPECT_FALSE(test, kt->setups[2].run.stale);
	KUNIT_EXPECT_TRUE(test, kt->setups[3].run.stale);
	KUNIT_EXPECT_EQ(test, kt->win->max_runs, 2);
}

/* Fills the window with two mappings, and has a third file take one over */
static struct inode *map_full(struct kunit *test)
{
	for (int i = 0; i < 2; i++)
		fuse_dax_kunit_map(test, fuse_dax_kunit_inode(test, i, 32), 0, 0);
	return fuse_dax_kunit_inode(test, 2, 32);
}

static void map_stale(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = map_full(test);
	struct fuse_dax_map *map;

	map = fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_TRUE(test, kt->setups[2].run.stale);
	KUNIT_EXPECT_FALSE(test, map->run.stale);
	KUNIT_EXPECT_EQ(test, map->run.first, 0);
	KUNIT_EXPECT_EQ(test, map->run.nr, 4);
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->dying));
}

/* The server refused, so it still shows what it showed: that is removed */
static void map_stale_error(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = map_full(test);

	kt->setup_errors[2] = -EINVAL;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			map_error(inode, 0, FUSE_DAX_WANT_WAIT));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 0);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 1);
}

static void map_stale_unsent(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = map_full(test);

	kt->unsent = -EINVAL;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			map_error(inode, 0, FUSE_DAX_WANT_WAIT));
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 0);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 1);
}

/* What there is room for, once, and nothing is taken from others */
static void map_ahead(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 40);
	struct fuse_dax_map *map;
	long reclaimed;

	fuse_dax_map_ahead(inode, fuse_dax_range_to_page(2), ULONG_MAX);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, kt->setups[0].start, 2);
	KUNIT_EXPECT_EQ(test, kt->setups[0].run.nr, 32);
	KUNIT_EXPECT_EQ(test, kt->setups[1].run.nr, 6);
	KUNIT_EXPECT_EQ(test, kt->setups[1].access, FUSE_DAX_READ);
	fuse_dax_map_ahead(inode, fuse_dax_range_to_page(2), ULONG_MAX);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	map = map_hit(inode, 39, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	fuse_dax_map_put(map);

	inode = fuse_dax_kunit_inode(test, 1, 40);
	fuse_dax_map_ahead(inode, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 0);
	KUNIT_EXPECT_EQ(test, PTR_ERR(map_hit(inode, 39, 0)), -EAGAIN);
	reclaimed = fuse_dax_window_stat(kt->win, FUSE_DAX_RECLAIMED);
	KUNIT_EXPECT_EQ(test, reclaimed, 0);
}

/* One range is free, where more are wanted: it is taken, and nothing else */
static void map_ahead_rest(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 1, 8);
	struct fuse_dax_run run;

	fuse_dax_kunit_pieces(test, 0, 15, 4);
	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(kt->win, 3, 3, &run));
	fuse_dax_map_ahead(inode, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(&kt->fi[0].inode), 15);
	KUNIT_EXPECT_EQ(test, kt->win->nr_dying, 0);
	fuse_dax_window_give(kt->win, &run);
}

/* The server says that it is at its limit: nobody asks on */
static void map_ahead_limit(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 40);

	kt->setup_errors[1] = -ENOSPC;
	fuse_dax_map_ahead(inode, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
}

/* Write access cannot be added to a live mapping: it is made anew */
static void map_upgrade(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = map_find(inode, 0, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	KUNIT_EXPECT_EQ(test, -EAGAIN, PTR_ERR(map_hit(inode, 0, FUSE_DAX_WANT_WRITE)));
	/* In use */
	KUNIT_EXPECT_EQ(test, -EAGAIN, map_error(inode, 0, FUSE_DAX_WANT_WRITE));
	fuse_dax_kunit_kill();
	KUNIT_EXPECT_EQ(test, -EINTR, map_error(inode, 0, FUSE_DAX_WANT_WRITE |
							  FUSE_DAX_WANT_WAIT));
	fuse_dax_kunit_unkill();
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);
	fuse_dax_map_put(map);

	map = fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WRITE);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_TRUE(test, map->writable);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	KUNIT_EXPECT_PTR_EQ(test, map, fuse_dax_kunit_map(test, inode, 0, 0));
	/* In the same place: nothing is to be removed */
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 0);
	KUNIT_EXPECT_EQ(test, kt->setups[1].run.first, kt->setups[0].run.first);
	KUNIT_EXPECT_EQ(test, kt->setups[1].run.nr, 3);
	KUNIT_EXPECT_EQ(test, kt->setups[1].access, FUSE_DAX_WRITE);
	KUNIT_EXPECT_FALSE(test, map->run.stale);
}

/* All of the window is mapped for reading: it stays, whatever is next to go */
/* Who reads does not take a readonly mapping away that has come to life */
static void map_settle_reader(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = map_find(inode, 0, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	KUNIT_EXPECT_EQ(test, 0,
			fuse_dax_map_settle(map, 0, FUSE_DAX_WANT_WAIT));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
	KUNIT_EXPECT_PTR_EQ(test, map, fuse_dax_kunit_map(test, inode, 0, 0));
	fuse_dax_map_get(map);
	KUNIT_EXPECT_EQ(test, 0, fuse_dax_map_settle(map, 0, FUSE_DAX_WANT_WAIT |
						     FUSE_DAX_WANT_WRITE));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
}

static void map_upgrade_full(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 64);
	struct fuse_dax_map *map;

	for (int i = 0; i < 64; i += 32)
		fuse_dax_kunit_map(test, inode, i, 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 0);
	for (int i = 0; i < 64; i += 32) {
		map = fuse_dax_kunit_map(test, inode, i, FUSE_DAX_WANT_WRITE);
		KUNIT_EXPECT_TRUE(test, map->writable);
		KUNIT_EXPECT_FALSE(test, map->fleeting);
		KUNIT_EXPECT_EQ(test, map->run.nr, 32);
	}
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 4);
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->dying));
}

static int map_zap_second(struct kunit *test, struct fuse_dax_map *map)
{
	struct fuse_dax_kunit *kt = test->priv;
	bool second = kt->zap_first <= 1 && 1 < kt->zap_first + kt->zap_nr;

	return second ? -EBUSY : 0;
}

/* A page that is pinned keeps its range as it is; others can be stored to */
static void map_upgrade_beside_pin(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 8);
	struct fuse_dax_map *map;

	fuse_dax_kunit_map(test, inode, 0, 0);
	fuse_dax_kunit_zap(test, map_zap_second);
	map = fuse_dax_kunit_map(test, inode, 5, FUSE_DAX_WANT_WRITE);
	KUNIT_EXPECT_TRUE(test, map->writable);
	KUNIT_EXPECT_EQ(test, map->run.first, 5);
	KUNIT_EXPECT_EQ(test, map->run.nr, 1);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 3);
	KUNIT_EXPECT_EQ(test, -EAGAIN, map_error(inode, 1, FUSE_DAX_WANT_WRITE));
	/* Nobody waits for long who has another way */
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			map_error(inode, 1, FUSE_DAX_WANT_WRITE |
					    FUSE_DAX_WANT_WAIT |
					    FUSE_DAX_WANT_BRIEF));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);

	/* Where a mapping goes as a whole nothing can be done */
	fuse_dax_kunit_stock(test);
	kt->zap_nr = 0;
	KUNIT_EXPECT_EQ(test, -EAGAIN, map_error(inode, 0, FUSE_DAX_WANT_WRITE));
	KUNIT_EXPECT_EQ(test, kt->zap_nr, 5);
}

/* The server refuses: the run may show what it showed, and is removed */
static void map_upgrade_refused(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	fuse_dax_kunit_map(test, inode, 0, 0);
	kt->setup_errors[1] = -EACCES;
	KUNIT_EXPECT_EQ(test, -EACCES, map_error(inode, 0, FUSE_DAX_WANT_WRITE));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 1);
}

/* Others come while the setup is under way, and then the task is killed */
static bool map_during(struct kunit *test, struct fuse_dax_map *map)
{
	struct fuse_dax_kunit *kt = test->priv;

	KUNIT_EXPECT_EQ(test, -EAGAIN,
			PTR_ERR(map_hit(map->inode, 0, 0)));
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_detach(map, 0, 3));
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->lru));
	fuse_dax_kunit_kill();
	KUNIT_EXPECT_EQ(test, -EINTR, map_error(map->inode, 0, 0));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
	return true;
}

/* The answer to a setup for which nobody waits any more */
static void map_late(struct kunit *test, int error)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	long err;

	kt->during = map_during;
	err = map_error(inode, 0, 0);
	fuse_dax_kunit_unkill();
	KUNIT_EXPECT_EQ(test, err, -EINTR);
	KUNIT_EXPECT_EQ(test, kt->late_map->state, FUSE_DAX_SETUP);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	KUNIT_EXPECT_EQ(test, refcount_read(&kt->late_map->ref), 2);
	kt->late(kt->late_map, error);
	fuse_dax_map_put(kt->late_map);
}

static void map_killed_then_live(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	map_late(test, 0);
	KUNIT_EXPECT_PTR_EQ(test, kt->late_map,
			    fuse_dax_kunit_map(test, inode, 0, 0));
}

static void map_killed_then_error(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	map_late(test, -EINVAL);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(&kt->fi[0].inode), 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 64);
}

static bool map_killed(struct kunit *test, struct fuse_dax_map *map)
{
	fuse_dax_kunit_kill();
	return false;
}

static bool map_leave(struct kunit *test, struct fuse_dax_map *map)
{
	return true;
}

/* The task that has sent the setup waits for the answer, which another gives */
static void map_answer_wakes(struct kunit *test)
{
	struct inode *first = fuse_dax_kunit_inode(test, 0, 3);
	struct inode *second = fuse_dax_kunit_inode(test, 1, 3);
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_map *map;

	kt->during = map_leave;
	kt->answer = true;
	map = map_find(first, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	flush_delayed_work(&kt->late_work);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_LIVE);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);
	fuse_dax_map_put(map);

	kt->late_error = -EINVAL;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			map_error(second, 0, FUSE_DAX_WANT_WAIT));
	flush_delayed_work(&kt->late_work);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(second), 0);
	KUNIT_EXPECT_EQ(test, kt->win->nr_free, 61);
}

/* Leaves a placeholder in the tree, whose setup @error will be the answer to */
static struct inode *map_placeholder(struct kunit *test, int error)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	long err;

	kt->during = map_during;
	err = map_error(inode, 0, 0);
	fuse_dax_kunit_unkill();
	kt->during = NULL;
	KUNIT_EXPECT_EQ(test, err, -EINTR);
	kt->late_error = error;
	return inode;
}

/* Somebody else's placeholder is waited for, not a second setup sent */
static void map_placeholder_live(struct kunit *test)
{
	struct inode *inode = map_placeholder(test, 0);
	struct fuse_dax_kunit *kt = test->priv;

	schedule_delayed_work(&kt->late_work, FUSE_DAX_KUNIT_SOON);
	KUNIT_EXPECT_PTR_EQ(test, kt->late_map,
			    fuse_dax_kunit_map(test, inode, 0, 0));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
}

/* If it goes, this task makes its own */
static void map_placeholder_gone(struct kunit *test)
{
	struct inode *inode = map_placeholder(test, -EINVAL);
	struct fuse_dax_kunit *kt = test->priv;

	schedule_delayed_work(&kt->late_work, FUSE_DAX_KUNIT_SOON);
	fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
}

/* A fault would try again, but not for a task that is about to end */
static void map_killed_no_retry(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	kt->during = map_killed;
	kt->setup_errors[0] = -ENOMEM;
	KUNIT_EXPECT_EQ(test, -EINTR, map_error(inode, 0, FUSE_DAX_WANT_WAIT));
	fuse_dax_kunit_unkill();
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
}

/*
 * A mapping of @nr ranges that is to be placed in a file of 20, of which
 * another task has mapped the first three. It comes with one reference more.
 */
static struct fuse_dax_map *map_to_place(struct kunit *test, unsigned int nr,
					 bool stale)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map;

	fuse_dax_kunit_map(test, inode, 0, 0);
	fuse_dax_kunit_inode(test, 0, 20);
	map = kzalloc_obj(*map);
	KUNIT_ASSERT_NOT_NULL(test, map);
	map->win = kt->win;
	map->inode = inode;
	map->di = kt->fi[0].dax;
	INIT_LIST_HEAD(&map->list);
	refcount_set(&map->ref, 3);
	KUNIT_ASSERT_EQ(test, 0,
			fuse_dax_window_take(kt->win, nr, nr, &map->run));
	map->run.stale = stale;
	return map;
}

static void map_insert_cut(struct kunit *test)
{
	struct fuse_dax_map *map = map_to_place(test, 8, false);
	struct fuse_dax_plan plan = { .start = 0, .nr = 8 };

	KUNIT_ASSERT_EQ(test, 0, fuse_dax_map_insert(map, 5, &plan));
	KUNIT_EXPECT_EQ(test, map->itn.start, fuse_dax_range_to_page(3));
	KUNIT_EXPECT_EQ(test, map->itn.last, fuse_dax_range_to_page(8) - 1);
	KUNIT_EXPECT_EQ(test, map->run.nr, 5);
	KUNIT_EXPECT_EQ(test, map->win->nr_free, 64 - 3 - 5);
	KUNIT_EXPECT_EQ(test, map->di->next, 8);
	/* The tree keeps its reference */
	fuse_dax_map_put(map);
	fuse_dax_map_put(map);
}

static void map_insert_too_late(struct kunit *test)
{
	struct fuse_dax_map *map = map_to_place(test, 8, false);
	struct fuse_dax_plan plan = { .start = 0, .nr = 8 };

	KUNIT_EXPECT_EQ(test, -EEXIST, fuse_dax_map_insert(map, 2, &plan));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(map->inode), 1);
	fuse_dax_map_discard(map);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_GONE);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 1);
	KUNIT_EXPECT_EQ(test, map->win->nr_free, 64 - 3);
	KUNIT_EXPECT_TRUE(test, list_empty(&map->win->dying));
	fuse_dax_map_put(map);
}

/* A stale run is replaced as a whole or not at all */
static void map_insert_stale(struct kunit *test)
{
	struct fuse_dax_map *map = map_to_place(test, 8, true);
	struct fuse_dax_plan plan = { .start = 0, .nr = 8 };

	KUNIT_EXPECT_EQ(test, -EEXIST, fuse_dax_map_insert(map, 5, &plan));
	KUNIT_EXPECT_EQ(test, map->run.nr, 8);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(map->inode), 1);

	plan = (struct fuse_dax_plan) { .start = 3, .nr = 8 };
	KUNIT_EXPECT_EQ(test, 0, fuse_dax_map_insert(map, 5, &plan));
	KUNIT_EXPECT_EQ(test, map->run.nr, 8);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(map->inode), 2);
	fuse_dax_map_put(map);
	fuse_dax_map_put(map);
}

static void map_discard_stale(struct kunit *test)
{
	struct fuse_dax_map *map = map_to_place(test, 8, true);

	fuse_dax_map_discard(map);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_GONE);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);
	KUNIT_EXPECT_EQ(test, map->win->nr_free, 64 - 3 - 8);
	KUNIT_EXPECT_PTR_EQ(test, map->win->dying.next, &map->list);
	fuse_dax_map_put(map);
}

/* A mapping that is being detached: nobody gets it, who may wait waits */
static int map_zap_pinned(struct kunit *test, struct fuse_dax_map *map)
{
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			PTR_ERR(map_hit(map->inode, 0, 0)));
	KUNIT_EXPECT_EQ(test, -EAGAIN, map_error(map->inode, 0, 0));
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_detach_locked(map, 0, 3));
	fuse_dax_kunit_kill();
	KUNIT_EXPECT_EQ(test, -EINTR,
			map_error(map->inode, 0, FUSE_DAX_WANT_WAIT));
	fuse_dax_kunit_unkill();
	return -EBUSY;
}

static int map_zap(struct kunit *test, struct fuse_dax_map *map)
{
	return 0;
}

/* DETACH ends with LIVE if a page is pinned, else with GONE */
static void map_detach(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = map_find(inode, 0, 0);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	fuse_dax_kunit_zap(test, map_zap_pinned);
	KUNIT_EXPECT_EQ(test, -EBUSY, fuse_dax_detach(map, 0, 3));
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_LIVE);
	KUNIT_EXPECT_PTR_EQ(test, kt->win->lru.next, &map->list);
	KUNIT_EXPECT_PTR_EQ(test, map, fuse_dax_kunit_map(test, inode, 0, 0));
	KUNIT_EXPECT_EQ(test, kt->nr_zaps, 1);

	kt->zap = map_zap;
	KUNIT_EXPECT_EQ(test, 0, fuse_dax_detach(map, 0, 3));
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_GONE);
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->lru));
	KUNIT_EXPECT_EQ(test, -EAGAIN, fuse_dax_detach(map, 0, 3));
	fuse_dax_map_put(map);
	fuse_dax_window_bury(map);
}

/* While one task takes a range for a file, another maps just that piece of it */
static int map_zap_faster(struct kunit *test, struct fuse_dax_map *map)
{
	struct fuse_dax_kunit *kt = test->priv;

	if (kt->nr_zaps == 1)
		fuse_dax_kunit_map(test, &kt->fi[2].inode, 0, FUSE_DAX_WANT_WAIT);
	return 0;
}

static void map_faster(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = map_full(test);
	struct fuse_dax_map *map;

	fuse_dax_kunit_zap(test, map_zap_faster);
	map = fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_EQ(test, kt->nr_zaps, 2);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 3);
	KUNIT_EXPECT_EQ(test, map->run.first, 32);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	/* What the slower one had taken is removed */
	KUNIT_EXPECT_TRUE(test, list_is_singular(&kt->win->dying));
}

static void map_stopped(struct kunit *test)
{
	static const unsigned int want[] = {
		0, FUSE_DAX_WANT_WAIT, FUSE_DAX_WANT_WRITE,
	};
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = fuse_dax_kunit_map(test, inode, 0, 0);

	fuse_dax_window_stop(kt->win);
	for (int i = 0; i < ARRAY_SIZE(want); i++)
		KUNIT_EXPECT_EQ(test, -ENOTCONN, map_error(inode, 0, want[i]));
	KUNIT_EXPECT_EQ(test, -ENOTCONN, PTR_ERR(map_hit(inode, 0, 0)));
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 1);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 1);
}

/* Memory is cut off when nobody copies any more; who waits has none yet */
static void map_idle(struct kunit *test)
{
	struct inode *inode = map_placeholder(test, 0);
	struct fuse_dax_inode *di = get_fuse_inode(inode)->dax;
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_map *map;

	KUNIT_EXPECT_TRUE(test, fuse_dax_inode_idle(di));
	schedule_delayed_work(&kt->late_work, FUSE_DAX_KUNIT_SOON);
	flush_delayed_work(&kt->late_work);
	map = map_hit(inode, 0, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	KUNIT_EXPECT_FALSE(test, fuse_dax_inode_idle(di));
	fuse_dax_map_put(map);
	KUNIT_EXPECT_TRUE(test, fuse_dax_inode_idle(di));
}

/* Another task, which does something while this one waits */
struct map_later {
	struct delayed_work work;
	struct fuse_dax_map *map;
	unsigned int ref;
	bool done;
};

static void map_put_work(struct work_struct *work)
{
	struct map_later *later = container_of(work, struct map_later,
					       work.work);

	later->ref = refcount_read(&later->map->ref);
	fuse_dax_map_put(later->map);
}

/* A fault that needs write access waits for who uses the readonly mapping */
static void map_upgrade_waits(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct map_later later = { .map = map_find(inode, 0, 0) };
	struct fuse_dax_map *map;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, later.map);
	INIT_DELAYED_WORK_ONSTACK(&later.work, map_put_work);
	schedule_delayed_work(&later.work, FUSE_DAX_KUNIT_SOON);
	map = fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WRITE |
						 FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_TRUE(test, map->writable);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	flush_delayed_work(&later.work);
	destroy_delayed_work_on_stack(&later.work);
	/* The tree's and the user's: two that wait must not wait for each other */
	KUNIT_EXPECT_EQ(test, later.ref, 2);
}

static void map_reclaimer_work(struct work_struct *work)
{
	struct map_later *later = container_of(work, struct map_later,
					       work.work);
	struct fuse_dax_inode *di = later->map->di;

	WRITE_ONCE(later->done, true);
	if (atomic_dec_and_test(&di->reclaimers))
		wake_up_var(&di->reclaimers);
}

/* Reclaim that has found a mapping through the window is waited for */
static void map_evict_waits(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct map_later later = {};
	bool used;

	fuse_dax_kunit_map(test, inode, 0, 0);
	later.map = fuse_dax_window_victim(kt->win, &used);
	KUNIT_ASSERT_NOT_NULL(test, later.map);
	fuse_dax_map_put(later.map);
	INIT_DELAYED_WORK_ONSTACK(&later.work, map_reclaimer_work);
	schedule_delayed_work(&later.work, FUSE_DAX_KUNIT_SOON);
	fuse_dax_inode_evict(inode);
	KUNIT_EXPECT_TRUE(test, later.done);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	flush_delayed_work(&later.work);
	destroy_delayed_work_on_stack(&later.work);
}

static void map_evict(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = fuse_dax_kunit_map(test, inode, 0, 0);

	fuse_dax_inode_evict(inode);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&kt->win->lru));
	KUNIT_EXPECT_PTR_EQ(test, kt->win->dying.next, &map->list);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_GONE);
}

static struct kunit_case fuse_dax_map_cases[] = {
	KUNIT_CASE(map_setup),
	KUNIT_CASE(map_past_the_end),
	KUNIT_CASE(map_grown_file),
	KUNIT_CASE(map_sequential),
	KUNIT_CASE(map_write_access),
	KUNIT_CASE(map_write_refused),
	KUNIT_CASE_PARAM(map_setup_error, error_gen_params),
	KUNIT_CASE(map_alone),
	KUNIT_CASE(map_alone_in_pass),
	KUNIT_CASE(map_unsent),
	KUNIT_CASE(map_limit_replaces),
	KUNIT_CASE(map_limit_stays),
	KUNIT_CASE(map_stale),
	KUNIT_CASE(map_stale_error),
	KUNIT_CASE(map_stale_unsent),
	KUNIT_CASE(map_ahead),
	KUNIT_CASE(map_ahead_rest),
	KUNIT_CASE(map_ahead_limit),
	KUNIT_CASE(map_upgrade),
	KUNIT_CASE(map_settle_reader),
	KUNIT_CASE(map_upgrade_full),
	KUNIT_CASE(map_upgrade_beside_pin),
	KUNIT_CASE(map_upgrade_refused),
	KUNIT_CASE(map_upgrade_waits),
	KUNIT_CASE(map_killed_then_live),
	KUNIT_CASE(map_killed_then_error),
	KUNIT_CASE(map_killed_no_retry),
	KUNIT_CASE(map_answer_wakes),
	KUNIT_CASE(map_placeholder_live),
	KUNIT_CASE(map_placeholder_gone),
	KUNIT_CASE(map_insert_cut),
	KUNIT_CASE(map_insert_too_late),
	KUNIT_CASE(map_insert_stale),
	KUNIT_CASE(map_discard_stale),
	KUNIT_CASE(map_detach),
	KUNIT_CASE(map_faster),
	KUNIT_CASE(map_stopped),
	KUNIT_CASE(map_idle),
	KUNIT_CASE(map_evict),
	KUNIT_CASE(map_evict_waits),
	{}
};

static struct kunit_suite fuse_dax_map_suite = {
	.name = "fuse_dax_map",
	.init = fuse_dax_kunit_init,
	.exit = fuse_dax_kunit_exit,
	.test_cases = fuse_dax_map_cases,
};

kunit_test_suite(fuse_dax_map_suite);
