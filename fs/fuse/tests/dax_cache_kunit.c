// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of cached pages: how long those of small files are good, and which
 * may be dropped.
 */
#include "dax_kunit.h"

#include <kunit/static_stub.h>
#include <linux/backing-dev.h>
#include <linux/dax.h>
#include <linux/hrtimer.h>
#include <linux/pagemap.h>
#include <linux/uio.h>
#include <linux/writeback.h>

#define SMALL_SIZE	10000
#define SMALL_PAGES	3
#define SMALL_PIECE	4096

/* The server; reset by small_init() */
static struct {
	unsigned int reads;
	loff_t pos;
	ssize_t answer;
	struct inode *changes;
} small_server;

struct small_io {
	struct kiocb iocb;
	struct kvec kvec;
	struct iov_iter iter;
	char buf[SMALL_SIZE];
};

static char small_byte(loff_t pos)
{
	return pos * 7 + pos / 256;
}

/* Stands in for fuse_dax_small_fetch() */
static ssize_t small_fetch(struct kiocb *iocb, struct iov_iter *iter, loff_t pos)
{
	ssize_t len = iov_iter_count(iter);

	small_server.reads++;
	small_server.pos = pos;
	for (ssize_t i = 0; i < len; i++) {
		char byte = small_byte(pos + i);

		if (copy_to_iter(&byte, 1, iter) != 1)
			return -EFAULT;
	}
	if (small_server.changes)
		inode_set_mtime(small_server.changes, 200, 1);
	return small_server.answer ?: len;
}

static int small_init(struct kunit *test)
{
	struct fuse_dax_kunit *kt;
	int err = fuse_dax_kunit_init(test);

	if (err)
		return err;
	memset(&small_server, 0, sizeof(small_server));
	kt = test->priv;
	kt->sb.s_bdi = &noop_backing_dev_info;
	return 0;
}

static void small_exit(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	if (!kt)
		return;
	for (int i = 0; i < FUSE_DAX_KUNIT_INODES; i++)
		if (kt->fi[i].inode.i_data.a_ops)
			truncate_inode_pages(&kt->fi[i].inode.i_data, 0);
	fuse_dax_kunit_exit(test);
}

/* A small file whose attributes are fresh, and which changed long ago */
static struct inode *small_inode(struct kunit *test, unsigned int nr)
{
	struct inode *inode = fuse_dax_kunit_inode(test, nr, 1);
	struct fuse_inode *fi = get_fuse_inode(inode);

	kunit_activate_static_stub(test, fuse_dax_small_fetch, small_fetch);
	init_rwsem(&inode->i_rwsem);
	inode->i_data.a_ops = &empty_aops;
	mapping_set_gfp_mask(&inode->i_data, GFP_KERNEL);
	i_size_write(inode, SMALL_SIZE);
	fi->i_time = get_jiffies_64() + 1000 * HZ;
	inode_set_mtime(inode, 100, 1);
	inode_set_ctime(inode, 100, 1);
	/* The first look makes the state of the inode, and maps nothing */
	KUNIT_ASSERT_EQ(test, -EAGAIN,
			PTR_ERR_OR_ZERO(fuse_dax_map_find(inode, 0, 0)));
	return inode;
}

static struct small_io *small_io_new(struct kunit *test, struct inode *inode,
				     loff_t pos, size_t len)
{
	struct small_io *io = kunit_kzalloc(test, sizeof(*io), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, io);
	io->iocb.ki_filp = fuse_dax_kunit_file(test, inode);
	io->iocb.ki_filp->f_mapping = &inode->i_data;
	io->iocb.ki_pos = pos;
	io->kvec = (struct kvec) { io->buf, len };
	iov_iter_kvec(&io->iter, ITER_DEST, &io->kvec, 1, len);
	return io;
}

static ssize_t small_make(struct kunit *test, struct inode *inode, loff_t pos,
			  size_t len)
{
	struct small_io *io = small_io_new(test, inode, pos, len);
	ssize_t res;

	inode_lock_shared(inode);
	res = fuse_dax_small_read(&io->iocb, &io->iter);
	inode_unlock_shared(inode);
	for (ssize_t i = 0; i < res; i++)
		KUNIT_ASSERT_EQ(test, io->buf[i], small_byte(pos + i));
	return res;
}

/* Reads what is there; if there is something, it is checked */
static ssize_t small_read(struct kunit *test, struct inode *inode, loff_t pos,
			  size_t len)
{
	struct small_io *io = small_io_new(test, inode, pos, len);
	ssize_t res;

	inode_lock_shared(inode);
	KUNIT_EXPECT_TRUE(test, fuse_dax_small_check(&io->iocb));
	res = fuse_dax_cache_read(&io->iocb, &io->iter);
	inode_unlock_shared(inode);
	for (ssize_t i = 0; i < res; i++)
		KUNIT_ASSERT_EQ(test, io->buf[i], small_byte(pos + i));
	KUNIT_EXPECT_EQ(test, io->iocb.ki_pos, pos + max(res, 0));
	return res;
}

/* One request; then pieces, from anywhere, as often as they are wanted */
static void small_serves(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = small_inode(test, 0);

	KUNIT_EXPECT_EQ(test, 0, small_read(test, inode, 0, SMALL_PIECE));
	KUNIT_EXPECT_EQ(test, SMALL_PIECE,
			small_make(test, inode, 0, SMALL_PIECE));
	for (int i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, SMALL_PIECE,
				small_read(test, inode, SMALL_PIECE,
					   SMALL_PIECE));
		KUNIT_EXPECT_EQ(test, SMALL_SIZE,
				small_read(test, inode, 0, SMALL_SIZE));
		KUNIT_EXPECT_EQ(test, 10, small_read(test, inode,
						     SMALL_SIZE - 10,
						     SMALL_PIECE));
		KUNIT_EXPECT_EQ(test, 0, small_read(test, inode, SMALL_SIZE, 1));
	}
	KUNIT_EXPECT_EQ(test, 1, small_server.reads);
	KUNIT_EXPECT_EQ(test, SMALL_PAGES, inode->i_data.nrpages);
	KUNIT_EXPECT_EQ(test, SMALL_PAGES,
			fuse_dax_window_stat(kt->win, FUSE_DAX_CACHE_READS));

	kt->win->stopped = true;
	KUNIT_EXPECT_EQ(test, 0, small_read(test, inode, 0, SMALL_PIECE));
	kt->win->stopped = false;
}

/* Of what has gone in part the rest is fetched, from where it is missing */
static void small_in_part(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);

	small_make(test, inode, 0, SMALL_SIZE);
	fuse_dax_cache_invalidate(inode, 1, 2);
	KUNIT_EXPECT_EQ(test, 1, inode->i_data.nrpages);
	KUNIT_EXPECT_EQ(test, SMALL_PIECE,
			small_read(test, inode, 0, SMALL_SIZE));
	KUNIT_EXPECT_EQ(test, 100, small_make(test, inode, 2 * SMALL_PIECE, 100));
	KUNIT_EXPECT_EQ(test, SMALL_PIECE, small_server.pos);
	KUNIT_EXPECT_EQ(test, SMALL_SIZE, small_read(test, inode, 0, SMALL_SIZE));
	KUNIT_EXPECT_EQ(test, 2, small_server.reads);
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

static void small_good_happens(struct kunit *test, struct inode *inode,
			       const struct good_case *c)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	if (c->changed)
		fuse_dax_cache_invalidate(inode, 0, ULONG_MAX);
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

static void small_good(struct kunit *test)
{
	const struct good_case *c = test->param_value;
	struct inode *inode = small_inode(test, 0);

	if (c->fresh)
		inode_set_ctime(inode, ktime_get_real_seconds(), 1);
	KUNIT_EXPECT_EQ(test, SMALL_PIECE,
			small_make(test, inode, 0, SMALL_PIECE));
	small_good_happens(test, inode, c);
	KUNIT_EXPECT_EQ(test, c->good ? SMALL_PIECE : 0,
			small_read(test, inode, 0, SMALL_PIECE));
	/* What is not good is not kept */
	KUNIT_EXPECT_EQ(test, c->good ? SMALL_PAGES : 0, inode->i_data.nrpages);
}

/* Who must not wait leaves alone what is not good */
static void small_nowait(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);
	struct small_io *io = small_io_new(test, inode, 0, SMALL_PIECE);

	small_make(test, inode, 0, SMALL_PIECE);
	io->iocb.ki_flags = IOCB_NOWAIT;
	KUNIT_EXPECT_TRUE(test, fuse_dax_small_check(&io->iocb));
	get_fuse_inode(inode)->i_time = 0;
	KUNIT_EXPECT_FALSE(test, fuse_dax_small_check(&io->iocb));
	KUNIT_EXPECT_EQ(test, SMALL_PAGES, inode->i_data.nrpages);
}

/* What changes while it is fetched is served to who asked, but not kept */
static void small_changes(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);

	small_server.changes = inode;
	KUNIT_EXPECT_EQ(test, SMALL_PIECE,
			small_make(test, inode, 0, SMALL_PIECE));
	KUNIT_EXPECT_EQ(test, 0, small_read(test, inode, 0, SMALL_PIECE));

	small_server.changes = NULL;
	small_server.answer = SMALL_SIZE - 1;
	KUNIT_EXPECT_EQ(test, SMALL_SIZE - 1,
			small_make(test, inode, 0, SMALL_SIZE));
	KUNIT_EXPECT_EQ(test, 0, small_read(test, inode, 0, SMALL_PIECE));

	small_server.answer = -EIO;
	KUNIT_EXPECT_EQ(test, -EIO, small_make(test, inode, 0, SMALL_SIZE));
	KUNIT_EXPECT_EQ(test, 0, small_read(test, inode, 0, SMALL_PIECE));
	KUNIT_EXPECT_EQ(test, 0, inode->i_data.nrpages);

	/* While somebody drops them none is added */
	get_fuse_inode(inode)->dax->small.state = FUSE_DAX_SMALL_ENDS;
	KUNIT_EXPECT_EQ(test, -ENOMEM, small_make(test, inode, 0, SMALL_SIZE));
	KUNIT_EXPECT_EQ(test, 0, inode->i_data.nrpages);
	get_fuse_inode(inode)->dax->small.state = FUSE_DAX_SMALL_NONE;

	/* Of what is mapped there is none, nor of what may have changed */
	fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_MEMORY);
	KUNIT_EXPECT_EQ(test, -ENOMEM, small_make(test, inode, 0, SMALL_SIZE));
	inode = small_inode(test, 1);
	get_fuse_inode(inode)->i_time = 0;
	KUNIT_EXPECT_EQ(test, -ENOMEM, small_make(test, inode, 0, SMALL_SIZE));
	KUNIT_EXPECT_EQ(test, 3, small_server.reads);
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

static void small_begins(struct kunit *test)
{
	const struct begins_case *c = test->param_value;
	struct inode *inode = small_inode(test, 0);
	struct small_io *io = small_io_new(test, inode, c->pos, c->len);

	i_size_write(inode, c->size);
	KUNIT_EXPECT_EQ(test, c->begins,
			fuse_dax_small_begins(&io->iocb, &io->iter));
}

/* A file of which pages are there, and good, is read on anywhere */
static void small_goes_on(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);
	struct small_io *io = small_io_new(test, inode, SMALL_PIECE, 10);

	KUNIT_EXPECT_FALSE(test, fuse_dax_small_begins(&io->iocb, &io->iter));
	small_make(test, inode, 0, SMALL_PIECE);
	KUNIT_EXPECT_TRUE(test, fuse_dax_small_begins(&io->iocb, &io->iter));
	io->iocb.ki_flags = IOCB_DIRECT;
	KUNIT_EXPECT_FALSE(test, fuse_dax_small_begins(&io->iocb, &io->iter));
}

/* What somebody holds of a file that has changed is nobody else's */
static void small_held(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);
	struct small_io *io = small_io_new(test, inode, 0, 10);
	struct folio *folio;

	small_make(test, inode, 0, SMALL_SIZE);
	folio = filemap_get_folio(&inode->i_data, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	KUNIT_EXPECT_TRUE(test, fuse_dax_small_check(&io->iocb));
	inode_set_mtime(inode, 200, 1);
	for (int i = 0; i < 2; i++) {
		KUNIT_EXPECT_FALSE(test, fuse_dax_small_check(&io->iocb));
		KUNIT_EXPECT_FALSE(test, fuse_dax_small_begins(&io->iocb,
							       &io->iter));
		KUNIT_EXPECT_PTR_EQ(test, folio->mapping, &inode->i_data);
		KUNIT_EXPECT_EQ(test, 1, inode->i_data.nrpages);
	}
	folio_put(folio);
	KUNIT_EXPECT_TRUE(test, fuse_dax_small_check(&io->iocb));
	KUNIT_EXPECT_EQ(test, 0, inode->i_data.nrpages);
}

struct serves_case {
	const char *name;
	vm_flags_t flags;
	pgoff_t index;
	bool read, serves;
};

static const struct serves_case serves_cases[] = {
	{ "private", 0, 1, true, true },
	{ "shared", VM_MAYSHARE | VM_SHARED, 1, true, false },
	{ "shared for reading", VM_MAYSHARE, 1, true, false },
	{ "not read", 0, 1, false, false },
	{ "behind the end", 0, 5, true, false },
};

KUNIT_ARRAY_PARAM_DESC(serves, serves_cases, name);

/* Who maps a small file for himself is shown the pages that are there */
static void small_serves_fault(struct kunit *test)
{
	const struct serves_case *c = test->param_value;
	struct inode *inode = small_inode(test, 0);
	struct vm_area_struct vma = {
		.vm_file = fuse_dax_kunit_file(test, inode),
	};

	vm_flags_init(&vma, c->flags);
	if (c->read)
		small_make(test, inode, 0, SMALL_PIECE);
	KUNIT_EXPECT_EQ(test, c->serves, fuse_dax_small_serves(&vma, c->index));
}

/* A page that somebody has a reference to is not dropped for a mapping */
static void cache_held(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);
	struct fuse_dax_map *map;
	struct folio *folio;

	small_make(test, inode, 0, SMALL_SIZE);
	folio = filemap_get_folio(&inode->i_data, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	for (int i = 0; i < 2; i++) {
		map = fuse_dax_map_find(inode, 0, FUSE_DAX_WANT_MEMORY);
		KUNIT_EXPECT_PTR_EQ(test, map, ERR_PTR(-EDEADLK));
		KUNIT_EXPECT_PTR_EQ(test, folio->mapping, &inode->i_data);
	}
	folio_put(folio);
	fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_MEMORY);
	KUNIT_EXPECT_EQ(test, 0, inode->i_data.nrpages);
}

/* Only a page that somebody has held is to be dropped once more */
static void cache_renewed(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);
	struct fuse_dax_span span = { .last = ULONG_MAX };
	struct folio *folio;

	small_make(test, inode, 0, SMALL_SIZE);
	folio = filemap_get_folio(&inode->i_data, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	for (int i = 0; i < 2; i++) {
		fuse_dax_cache_renew(inode, &span);
		KUNIT_EXPECT_EQ(test, 1, span.first);
		KUNIT_EXPECT_EQ(test, 1, span.last);
		KUNIT_EXPECT_EQ(test, 1, inode->i_data.nrpages);
	}
	folio_put(folio);
	fuse_dax_cache_renew(inode, &span);
	KUNIT_EXPECT_GT(test, span.first, span.last);
	KUNIT_EXPECT_EQ(test, 0, inode->i_data.nrpages);
}

#define IRQS_PAGES	300000
#define IRQS_PERIOD	(200 * NSEC_PER_USEC)

struct irqs_timer {
	struct hrtimer timer;
	unsigned int ticks;
};

static enum hrtimer_restart irqs_tick(struct hrtimer *timer)
{
	container_of(timer, struct irqs_timer, timer)->ticks++;
	hrtimer_forward_now(timer, IRQS_PERIOD);
	return HRTIMER_RESTART;
}

/* A file with many pages, which nobody looks into */
static struct inode *irqs_inode(struct kunit *test)
{
	struct inode *inode = small_inode(test, 0);
	struct xarray *xa = &inode->i_data.i_pages;
	static int page;

	for (pgoff_t i = 0; i < IRQS_PAGES; i++) {
		KUNIT_ASSERT_FALSE(test, xa_is_err(xa_store(xa, i, &page,
							    GFP_KERNEL)));
		xa_set_mark(xa, i, PAGECACHE_TAG_TOWRITE);
		cond_resched();
	}
	return inode;
}

static void irqs_busy(struct inode *inode)
{
	dax_layout_busy_page_range(&inode->i_data, 0, LLONG_MAX);
}

static void irqs_write(struct inode *inode)
{
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_ALL,
		.nr_to_write = LONG_MAX,
		.range_end = LLONG_MAX,
	};

	dax_writeback_mapping_range(&inode->i_data, NULL, &wbc);
}

static void irqs_delete(struct inode *inode)
{
	dax_delete_mapping_range(&inode->i_data, 0, LLONG_MAX);
}

/* fs/dax looks through the pages of a file with interrupts on now and then */
static void cache_irqs(struct kunit *test)
{
	static void (*const looks[])(struct inode *inode) = {
		irqs_busy, irqs_write, irqs_delete,
	};
	struct inode *inode = irqs_inode(test);
	struct irqs_timer irqs;

	inode->i_blkbits = PAGE_SHIFT;
	hrtimer_setup_on_stack(&irqs.timer, irqs_tick, CLOCK_MONOTONIC,
			       HRTIMER_MODE_REL_PINNED);
	for (int i = 0; i < ARRAY_SIZE(looks); i++) {
		ktime_t start;

		migrate_disable();
		irqs.ticks = 0;
		start = ktime_get();
		hrtimer_start(&irqs.timer, IRQS_PERIOD, HRTIMER_MODE_REL_PINNED);
		looks[i](inode);
		hrtimer_cancel(&irqs.timer);
		migrate_enable();
		kunit_info(test, "%u interrupts in %lld us", irqs.ticks,
			   ktime_us_delta(ktime_get(), start));
		KUNIT_EXPECT_LE(test, 4, irqs.ticks);
	}
	destroy_hrtimer_on_stack(&irqs.timer);
	xa_destroy(&inode->i_data.i_pages);
}

static struct kunit_case fuse_dax_small_cases[] = {
	KUNIT_CASE(small_serves),
	KUNIT_CASE(small_in_part),
	KUNIT_CASE_PARAM(small_good, good_gen_params),
	KUNIT_CASE(small_nowait),
	KUNIT_CASE(small_changes),
	KUNIT_CASE_PARAM(small_begins, begins_gen_params),
	KUNIT_CASE(small_goes_on),
	KUNIT_CASE(small_held),
	KUNIT_CASE_PARAM(small_serves_fault, serves_gen_params),
	{}
};

static struct kunit_suite fuse_dax_small_suite = {
	.name = "fuse_dax_small",
	.init = small_init,
	.exit = small_exit,
	.test_cases = fuse_dax_small_cases,
};

static struct kunit_case fuse_dax_cache_cases[] = {
	KUNIT_CASE(cache_held),
	KUNIT_CASE(cache_renewed),
	KUNIT_CASE(cache_irqs),
	{}
};

static struct kunit_suite fuse_dax_cache_suite = {
	.name = "fuse_dax_cache",
	.init = small_init,
	.exit = small_exit,
	.test_cases = fuse_dax_cache_cases,
};

kunit_test_suites(&fuse_dax_small_suite, &fuse_dax_cache_suite);
