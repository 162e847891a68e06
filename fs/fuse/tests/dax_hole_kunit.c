// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of mappings of files that the server does not map for writing as it is
 * asked: those with holes, which it fills before they are stored to, no more than a
 * range at a time; and those that it maps for reading only.
 */
#include "dax_kunit.h"

/* What the last setup, with the number @i, has asked for */
static void hole_expect(struct kunit *test, int i, unsigned long start,
			unsigned int nr, enum fuse_dax_access access)
{
	struct fuse_dax_kunit *kt = test->priv;

	KUNIT_ASSERT_EQ(test, kt->nr_setups, i + 1);
	KUNIT_EXPECT_EQ(test, kt->setups[i].start, start);
	KUNIT_EXPECT_EQ(test, kt->setups[i].run.nr, nr);
	KUNIT_EXPECT_EQ(test, kt->setups[i].access, access);
}

/*
 * Holes that the server does not fill: to store a range, to read all there is, and to
 * store to a range of that
 */
static struct inode *hole_store_twice(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 30);
	struct fuse_dax_kunit *kt = test->priv;

	atomic_set(&inode->i_writecount, 1);
	kt->setup_errors[0] = -E2BIG;
	fuse_dax_kunit_map(test, inode, 5, FUSE_DAX_WANT_WRITE);
	hole_expect(test, 1, 5, 1, FUSE_DAX_WRITE);
	KUNIT_EXPECT_EQ(test, kt->setups[0].run.nr, 30);
	fuse_dax_kunit_map(test, inode, 9, 0);
	hole_expect(test, 2, 6, 24, FUSE_DAX_READ);
	fuse_dax_kunit_map(test, inode, 9, FUSE_DAX_WANT_WRITE);
	hole_expect(test, 3, 9, 1, FUSE_DAX_WRITE);
	KUNIT_EXPECT_EQ(test, kt->win->max_runs, UINT_MAX);
	return inode;
}

/* What is read beside what is stored to stays */
static void hole_store(struct kunit *test)
{
	struct inode *inode = hole_store_twice(test);
	struct fuse_dax_kunit *kt = test->priv;

	fuse_dax_kunit_map(test, inode, 20, 0);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 4);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 4);
}

/* It goes if it goes as a whole, and is not asked for again as such */
static void hole_store_stock(struct kunit *test)
{
	struct inode *inode;

	fuse_dax_kunit_stock(test);
	inode = hole_store_twice(test);
	fuse_dax_kunit_map(test, inode, 20, 0);
	hole_expect(test, 4, 10, 20, FUSE_DAX_READ);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 3);
}

/* A read finds out, and does without write access; if need be, with a range */
static void hole_read(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 30);
	struct fuse_dax_kunit *kt = test->priv;

	atomic_set(&inode->i_writecount, 1);
	kt->setup_errors[0] = -E2BIG;
	fuse_dax_kunit_map(test, inode, 5, 0);
	hole_expect(test, 1, 0, 30, FUSE_DAX_READ);

	inode = fuse_dax_kunit_inode(test, 1, 30);
	kt->setup_errors[2] = -E2BIG;
	fuse_dax_kunit_map(test, inode, 5, 0);
	hole_expect(test, 3, 5, 1, FUSE_DAX_READ);
}

/* A mapping that was read: the server refuses to make all of it writable */
static void hole_upgrade(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 30);
	struct fuse_dax_kunit *kt = test->priv;

	fuse_dax_kunit_map(test, inode, 5, 0);
	kt->setup_errors[1] = -E2BIG;
	fuse_dax_kunit_map(test, inode, 7, FUSE_DAX_WANT_WRITE);
	hole_expect(test, 2, 7, 1, FUSE_DAX_WRITE);
	KUNIT_EXPECT_EQ(test, kt->setups[1].run.nr, 30);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 1);
}

/* Not even a range: nobody asks more often than it takes to find that out */
static void hole_refused(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 30);
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_map *map;

	for (int i = 0; i < FUSE_DAX_KUNIT_REQUESTS; i++)
		kt->setup_errors[i] = -E2BIG;
	map = fuse_dax_map_find(inode, 0, FUSE_DAX_WANT_WRITE |
				FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_PTR_EQ(test, map, ERR_PTR(-E2BIG));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	map = fuse_dax_map_find(inode, 0, FUSE_DAX_WANT_WRITE |
				FUSE_DAX_WANT_WAIT);
	KUNIT_EXPECT_PTR_EQ(test, map, ERR_PTR(-E2BIG));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 3);
}

/* They may have been filled: after a while more is asked for again */
static void hole_filled(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 30);
	struct fuse_dax_kunit *kt = test->priv;
	int i;

	kt->setup_errors[0] = -E2BIG;
	for (i = 0; i < 16; i++) {
		fuse_dax_kunit_map(test, inode, i, FUSE_DAX_WANT_WRITE);
		hole_expect(test, i + 1, i, 1, FUSE_DAX_WRITE);
	}
	fuse_dax_kunit_map(test, inode, 20, FUSE_DAX_WANT_WRITE);
	hole_expect(test, 17, 16, 14, FUSE_DAX_WRITE);
}

static long readonly_error(struct inode *inode, unsigned long range,
			   unsigned int want)
{
	return PTR_ERR(fuse_dax_map_find(inode, fuse_dax_range_to_page(range),
					 want));
}

/* A file of so many ranges that is open for writing, and mapped for reading */
static struct inode *readonly_inode(struct kunit *test, unsigned int nr)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, nr);
	struct fuse_dax_kunit *kt = test->priv;

	atomic_set(&inode->i_writecount, 1);
	kt->setup_errors[0] = -EACCES;
	fuse_dax_kunit_map(test, inode, 0, 0);
	KUNIT_EXPECT_EQ(test, kt->setups[0].access, FUSE_DAX_WRITE);
	hole_expect(test, 1, 0, nr, FUSE_DAX_READ);
	return inode;
}

/* The server is asked once, and what is read stays mapped */
static void readonly_once(struct kunit *test)
{
	struct inode *inode = readonly_inode(test, 20);
	struct fuse_dax_kunit *kt = test->priv;

	KUNIT_EXPECT_EQ(test, -EACCES,
			readonly_error(inode, 7, FUSE_DAX_WANT_WRITE));
	KUNIT_EXPECT_EQ(test, -EACCES,
			readonly_error(inode, 7, FUSE_DAX_WANT_WRITE |
						 FUSE_DAX_WANT_WAIT));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);

	/* Nor is what it has grown by asked for, or what is advised */
	fuse_dax_kunit_inode(test, 0, 24);
	fuse_dax_kunit_map(test, inode, 20, 0);
	hole_expect(test, 2, 20, 4, FUSE_DAX_READ);
	fuse_dax_kunit_inode(test, 0, 28);
	fuse_dax_map_ahead(inode, 0, ULONG_MAX);
	hole_expect(test, 3, 24, 4, FUSE_DAX_READ);
	/* Another file is another matter */
	inode = fuse_dax_kunit_inode(test, 1, 3);
	fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WRITE);
	hole_expect(test, 4, 0, 3, FUSE_DAX_WRITE);
}

#define READONLY_STORE (FUSE_DAX_WANT_WRITE | FUSE_DAX_WANT_WAIT | \
			FUSE_DAX_WANT_BRIEF)

/* Who can store to a cached page has room made for it, but no more than a range */
static void readonly_store(struct kunit *test)
{
	struct inode *inode = readonly_inode(test, 20);
	struct fuse_dax_kunit *kt = test->priv;

	KUNIT_EXPECT_EQ(test, -EACCES, readonly_error(inode, 7, READONLY_STORE));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 2);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&kt->win->dying), 1);
	fuse_dax_kunit_map(test, inode, 6, 0);
	fuse_dax_kunit_map(test, inode, 8, 0);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);

	fuse_dax_kunit_stock(test);
	KUNIT_EXPECT_EQ(test, -EACCES, readonly_error(inode, 9, READONLY_STORE));
	KUNIT_EXPECT_EQ(test, fuse_dax_kunit_count(inode), 1);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
}

/* The next store would take it away again, while the file is mapped to be stored to */
static void readonly_yields(struct kunit *test)
{
	struct inode *inode = readonly_inode(test, 8);
	struct fuse_dax_kunit *kt = test->priv;

	atomic_set(&inode->i_data.i_mmap_writable, 1);
	KUNIT_EXPECT_EQ(test, -EACCES, readonly_error(inode, 7, READONLY_STORE));
	KUNIT_EXPECT_EQ(test, -EACCES,
			readonly_error(inode, 7, FUSE_DAX_WANT_WAIT |
						 FUSE_DAX_WANT_BRIEF));
	KUNIT_EXPECT_EQ(test, -EACCES, readonly_error(inode, 7, 0));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 2);
	/* What is mapped anew leaves alone what is beside it */
	fuse_dax_kunit_inode(test, 0, 20);
	fuse_dax_kunit_map(test, inode, 10, 0);
	hole_expect(test, 2, 10, 1, FUSE_DAX_READ);
	fuse_dax_map_ahead(inode, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 3);

	atomic_set(&inode->i_data.i_mmap_writable, 0);
	fuse_dax_kunit_map(test, inode, 7, 0);
	hole_expect(test, 3, 7, 3, FUSE_DAX_READ);
}

static struct kunit_case fuse_dax_hole_cases[] = {
	KUNIT_CASE(hole_store),
	KUNIT_CASE(hole_store_stock),
	KUNIT_CASE(hole_read),
	KUNIT_CASE(hole_upgrade),
	KUNIT_CASE(hole_refused),
	KUNIT_CASE(hole_filled),
	KUNIT_CASE(readonly_once),
	KUNIT_CASE(readonly_store),
	KUNIT_CASE(readonly_yields),
	{}
};

static struct kunit_suite fuse_dax_hole_suite = {
	.name = "fuse_dax_hole",
	.init = fuse_dax_kunit_init,
	.exit = fuse_dax_kunit_exit,
	.test_cases = fuse_dax_hole_cases,
};

kunit_test_suite(fuse_dax_hole_suite);
