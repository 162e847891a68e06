// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the copies of small files: how long they are good.
 */
#include "dax_kunit.h"

#include <kunit/static_stub.h>
#include <linux/uio.h>

#define COPY_SIZE	10000
#define COPY_PAGES	3
#define COPY_PIECE	4096

/* The server; reset by copy_init() */
static struct {
	unsigned int reads;
	ssize_t answer;
	struct inode *changes;
} copy_server;

struct copy_io {
	struct kiocb iocb;
	struct kvec kvec;
	struct iov_iter iter;
	char buf[COPY_SIZE];
};

static char copy_byte(loff_t pos)
{
	return pos * 7 + pos / 256;
}

/* Stands in for fuse_dax_copy_fetch() */
static ssize_t copy_fetch(struct kiocb *iocb, void *data, size_t len)
{
	char *bytes = data;

	copy_server.reads++;
	for (size_t i = 0; i < len; i++)
		bytes[i] = copy_byte(i);
	if (copy_server.changes)
		fuse_dax_data_outdated(copy_server.changes);
	return copy_server.answer ?: len;
}

static int copy_init(struct kunit *test)
{
	memset(&copy_server, 0, sizeof(copy_server));
	return fuse_dax_kunit_init(test);
}

/* A small file whose attributes are fresh, and which changed long ago */
static struct inode *copy_inode(struct kunit *test, unsigned int nr)
{
	struct inode *inode = fuse_dax_kunit_inode(test, nr, 1);
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_inode *fi = get_fuse_inode(inode);

	kunit_activate_static_stub(test, fuse_dax_copy_fetch, copy_fetch);
	if (!kt->win->copies.max)
		kt->win->copies.max = LONG_MAX;
	i_size_write(inode, COPY_SIZE);
	fi->i_time = get_jiffies_64() + 1000 * HZ;
	inode_set_mtime(inode, 100, 1);
	inode_set_ctime(inode, 100, 1);
	/* The first look makes the state of the inode, and maps nothing */
	KUNIT_ASSERT_EQ(test, -EAGAIN,
			PTR_ERR_OR_ZERO(fuse_dax_map_find(inode, 0, 0)));
	return inode;
}

static struct copy_io *copy_io_new(struct kunit *test, struct inode *inode,
				   loff_t pos, size_t len)
{
	struct copy_io *io = kunit_kzalloc(test, sizeof(*io), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, io);
	io->iocb.ki_filp = fuse_dax_kunit_file(test, inode);
	io->iocb.ki_pos = pos;
	io->kvec = (struct kvec) { io->buf, len };
	iov_iter_kvec(&io->iter, ITER_DEST, &io->kvec, 1, len);
	return io;
}

static ssize_t copy_make(struct kunit *test, struct inode *inode, size_t len)
{
	struct copy_io *io = copy_io_new(test, inode, 0, len);

	return fuse_dax_copy_make(&io->iocb, &io->iter);
}

/* Reads from the copy; if there is something, it is checked */
static ssize_t copy_read(struct kunit *test, struct inode *inode, loff_t pos,
			 size_t len)
{
	struct copy_io *io = copy_io_new(test, inode, pos, len);
	ssize_t res = fuse_dax_copy_read(&io->iocb, &io->iter);

	for (ssize_t i = 0; i < res; i++)
		KUNIT_ASSERT_EQ(test, io->buf[i], copy_byte(pos + i));
	KUNIT_EXPECT_EQ(test, io->iocb.ki_pos, pos + max(res, 0));
	return res;
}

/* One request; then pieces, from anywhere, as often as they are wanted */
static void copy_serves(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = copy_inode(test, 0);

	KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode, 0, COPY_PIECE));
	KUNIT_EXPECT_EQ(test, COPY_PIECE, copy_make(test, inode, COPY_PIECE));
	for (int i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, COPY_PIECE,
				copy_read(test, inode, COPY_PIECE, COPY_PIECE));
		KUNIT_EXPECT_EQ(test, COPY_SIZE,
				copy_read(test, inode, 0, COPY_SIZE));
		KUNIT_EXPECT_EQ(test, 10, copy_read(test, inode, COPY_SIZE - 10,
						    COPY_PIECE));
		KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode, COPY_SIZE, 1));
	}
	KUNIT_EXPECT_EQ(test, 1, copy_server.reads);
	KUNIT_EXPECT_EQ(test, COPY_PAGES, kt->win->copies.pages);

	kt->win->stopped = true;
	KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode, 0, COPY_PIECE));
	kt->win->stopped = false;
}

struct good_case {
	const char *name;
	bool changed, mapped, fresh, stale, invalid, version;
	int size, mtime, ctime;
	bool good;
};

/* @fresh: it changed a moment ago */
static const struct good_case good_cases[] = {
	{ "nothing happened", .good = true },
	{ "nothing happened, fresh", .fresh = true, .good = true },
	{ "known to be changed", .changed = true },
	{ "mapped", .mapped = true },
	{ "shorter", .size = -1 },
	{ "longer", .size = 1 },
	{ "other mtime", .mtime = -1 },
	{ "other ctime", .ctime = 1 },
	{ "attributes too old", .stale = true },
	{ "attributes not valid", .invalid = true },
	{ "attributes again", .version = true, .good = true },
	{ "attributes again, fresh", .fresh = true, .version = true },
};

KUNIT_ARRAY_PARAM_DESC(good, good_cases, name);

static void copy_good_happens(struct kunit *test, struct inode *inode,
			      const struct good_case *c)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	if (c->changed)
		fuse_dax_data_outdated(inode);
	if (c->mapped)
		fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_MEMORY);
	if (c->stale)
		fi->i_time = 0;
	if (c->invalid)
		fi->inval_mask |= STATX_MTIME;
	fi->attr_version += c->version;
	i_size_write(inode, i_size_read(inode) + c->size);
	inode_set_mtime(inode, mtime.tv_sec, mtime.tv_nsec + c->mtime);
	inode_set_ctime(inode, ctime.tv_sec, ctime.tv_nsec + c->ctime);
}

static void copy_good(struct kunit *test)
{
	const struct good_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = copy_inode(test, 0);

	if (c->fresh)
		inode_set_ctime(inode, ktime_get_real_seconds(), 1);
	KUNIT_EXPECT_EQ(test, COPY_PIECE, copy_make(test, inode, COPY_PIECE));
	copy_good_happens(test, inode, c);
	KUNIT_EXPECT_EQ(test, c->good ? COPY_PIECE : 0,
			copy_read(test, inode, 0, COPY_PIECE));
	/* What is not good is not kept */
	KUNIT_EXPECT_EQ(test, c->good ? COPY_PAGES : 0, kt->win->copies.pages);
}

/* What changes while it is fetched is served to who asked, but not kept */
static void copy_changes(struct kunit *test)
{
	struct inode *inode = copy_inode(test, 0);

	copy_server.changes = inode;
	KUNIT_EXPECT_EQ(test, COPY_PIECE, copy_make(test, inode, COPY_PIECE));
	KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode, 0, COPY_PIECE));

	copy_server.changes = NULL;
	copy_server.answer = COPY_SIZE - 1;
	KUNIT_EXPECT_EQ(test, COPY_SIZE - 1, copy_make(test, inode, COPY_SIZE));
	KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode, 0, COPY_PIECE));

	copy_server.answer = -EIO;
	KUNIT_EXPECT_EQ(test, -EIO, copy_make(test, inode, COPY_SIZE));
	KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode, 0, COPY_PIECE));

	/* Of what is mapped there is none, nor of what may have changed */
	fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_MEMORY);
	KUNIT_EXPECT_EQ(test, -ENOMEM, copy_make(test, inode, COPY_SIZE));
	inode = copy_inode(test, 1);
	get_fuse_inode(inode)->i_time = 0;
	KUNIT_EXPECT_EQ(test, -ENOMEM, copy_make(test, inode, COPY_SIZE));
	KUNIT_EXPECT_EQ(test, 3, copy_server.reads);
}

/* As many as there may be; what was read since goes later */
static void copy_limit(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode[4];

	kt->win->copies.max = 2 * COPY_PAGES;
	for (int i = 0; i < 2; i++) {
		inode[i] = copy_inode(test, i);
		copy_make(test, inode[i], COPY_PIECE);
	}
	KUNIT_EXPECT_EQ(test, 1, copy_read(test, inode[0], 0, 1));
	inode[2] = copy_inode(test, 2);
	copy_make(test, inode[2], COPY_PIECE);

	KUNIT_EXPECT_EQ(test, 2 * COPY_PAGES, kt->win->copies.pages);
	KUNIT_EXPECT_EQ(test, 0, copy_read(test, inode[1], 0, 1));
	KUNIT_EXPECT_EQ(test, 1, copy_read(test, inode[0], 0, 1));
	KUNIT_EXPECT_EQ(test, 1, copy_read(test, inode[2], 0, 1));

	/* All have been read from: one has to go all the same */
	inode[3] = copy_inode(test, 3);
	copy_make(test, inode[3], COPY_PIECE);
	KUNIT_EXPECT_EQ(test, 2 * COPY_PAGES, kt->win->copies.pages);
}

struct begins_case {
	const char *name;
	loff_t size, pos;
	size_t len;
	bool begins;
};

static const struct begins_case begins_cases[] = {
	{ "whole", 40000, 0, SZ_64K, .begins = true },
	{ "a piece", 40000, 0, 4096, .begins = true },
	{ "a header", 40000, 0, 832, .begins = false },
	{ "a header of a small one", 6000, 0, 832, .begins = true },
	{ "elsewhere", 40000, 4096, 4096, .begins = false },
	{ "largest", SZ_64K, 0, 4096, .begins = true },
	{ "too large", SZ_64K + 1, 0, 4096, .begins = false },
};

KUNIT_ARRAY_PARAM_DESC(begins, begins_cases, name);

static void copy_begins(struct kunit *test)
{
	const struct begins_case *c = test->param_value;
	struct inode *inode = copy_inode(test, 0);
	struct copy_io *io = copy_io_new(test, inode, c->pos, c->len);

	i_size_write(inode, c->size);
	KUNIT_EXPECT_EQ(test, c->begins,
			fuse_dax_copy_begins(&io->iocb, &io->iter));
}

static struct kunit_case fuse_dax_copy_cases[] = {
	KUNIT_CASE(copy_serves),
	KUNIT_CASE_PARAM(copy_good, good_gen_params),
	KUNIT_CASE(copy_changes),
	KUNIT_CASE(copy_limit),
	KUNIT_CASE_PARAM(copy_begins, begins_gen_params),
	{}
};

static struct kunit_suite fuse_dax_copy_suite = {
	.name = "fuse_dax_copy",
	.init = copy_init,
	.exit = fuse_dax_kunit_exit,
	.test_cases = fuse_dax_copy_cases,
};

kunit_test_suite(fuse_dax_copy_suite);
