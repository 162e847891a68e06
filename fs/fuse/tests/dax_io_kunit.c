// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of what reads, writes and page faults do when memory does not serve.
 */
#include "dax_kunit.h"

#include <kunit/static_stub.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/uio.h>

/* What the server has done for a fallback, bytes */
#define IO_FALLBACK	77

struct io {
	struct kiocb iocb;
	struct kvec kvec;
	struct iov_iter iter;
};

/* A read or write of file 0, which has three ranges */
static void io_init(struct kunit *test, struct io *io, bool write, loff_t pos,
		    size_t len)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);

	*io = (struct io) { .kvec.iov_len = len };
	io->iocb.ki_filp = fuse_dax_kunit_file(test, inode);
	io->iocb.ki_pos = pos;
	iov_iter_kvec(&io->iter, write ? ITER_SOURCE : ITER_DEST, &io->kvec, 1,
		      len);
}

struct size_case {
	const char *name;
	bool write;
	size_t len;
	unsigned int max_read, max_write, max_pages;
	size_t size;
};

static const struct size_case size_cases[] = {
	{ "all of it", false, 100, SZ_1M, SZ_1M, 256, 100 },
	{ "what a read may be", false, SZ_4M, SZ_64K, SZ_1M, 1024, SZ_64K },
	{ "what a write may be", true, SZ_4M, SZ_1M, SZ_64K, 1024, SZ_64K },
	{ "what a request holds", true, SZ_4M, SZ_4M, SZ_4M, 3, 3 * PAGE_SIZE },
	{ "what is reasonable", false, SZ_4M, UINT_MAX, SZ_4M, 65535, SZ_1M },
};

KUNIT_ARRAY_PARAM_DESC(size, size_cases, name);

static void io_fallback_size(struct kunit *test)
{
	const struct size_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	struct io io;

	kt->fc.max_read = c->max_read;
	kt->fc.max_write = c->max_write;
	kt->fc.max_pages = c->max_pages;
	io_init(test, &io, c->write, 0, c->len);
	KUNIT_EXPECT_EQ(test, c->size, fuse_dax_fallback_size(&kt->fc, &io.iter));
}

struct matters_case {
	const char *name;
	bool write, auto_inval, mapped, past_eof;
	bool matters;
};

static const struct matters_case matters_cases[] = {
	{ "read", .matters = false },
	{ "read past the end", .past_eof = true, .matters = true },
	{ "read, size may change", .auto_inval = true, .matters = true },
	{ "write", .write = true, .mapped = true, .matters = false },
	{ "write past the end", .write = true, .mapped = true,
	  .past_eof = true, .matters = false },
	{ "write, size may change", .write = true, .auto_inval = true,
	  .mapped = true, .matters = true },
	{ "write by request, size may change", .write = true,
	  .auto_inval = true, .matters = false },
	{ "write past the end, size may change", .write = true,
	  .auto_inval = true, .mapped = true, .past_eof = true,
	  .matters = false },
};

KUNIT_ARRAY_PARAM_DESC(matters, matters_cases, name);

static void io_size_matters(struct kunit *test)
{
	const struct matters_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	loff_t pos = 3 * FUSE_DAX_RANGE_SIZE - 10 + c->past_eof;
	struct io io;

	kt->fc.auto_inval_data = c->auto_inval;
	io_init(test, &io, c->write, pos, 10);
	if (c->mapped)
		fuse_dax_kunit_map(test, &kt->fi[0].inode, 2,
				   FUSE_DAX_WANT_WRITE);
	KUNIT_EXPECT_EQ(test, c->matters,
			fuse_dax_size_matters(&io.iocb, &io.iter));
	/* Where the position is behind the end a difference would be negative */
	io.iocb.ki_pos = LLONG_MAX;
	KUNIT_EXPECT_EQ(test, !c->write || (c->matters && !c->auto_inval),
			fuse_dax_size_matters(&io.iocb, &io.iter));
}

static ssize_t io_fallback(struct kiocb *iocb, struct iov_iter *iter)
{
	return IO_FALLBACK;
}

struct unblock_case {
	const char *name;
	bool write;
	int flags, error, tries, answer;
	ssize_t ret;
	unsigned int setups;
};

/* @answer: to a setup, if there is one */
static const struct unblock_case unblock_cases[] = {
	{ "mapped by now", false, 0, -EAGAIN, 1, 0, -EINPROGRESS, 1 },
	{ "mapped in vain", false, 0, -EAGAIN, 3, 0, IO_FALLBACK, 1 },
	{ "no memory", false, 0, -EAGAIN, 1, -ENOMEM, IO_FALLBACK, 1 },
	{ "refused", true, 0, -EAGAIN, 1, -EINVAL, IO_FALLBACK, 1 },
	{ "readonly", true, 0, -EAGAIN, 1, -EROFS, IO_FALLBACK, 1 },
	{ "unknown", false, 0, -EAGAIN, 1, -EIO, IO_FALLBACK, 1 },
	{ "interrupted by the server", false, 0, -EAGAIN, 1, -EINTR,
	  IO_FALLBACK, 1 },
	{ "must not wait", false, IOCB_NOWAIT, -EAGAIN, 1, 0, IO_FALLBACK, 0 },
	{ "buffer present by now", true, 0, -EFAULT, 1, 0, -EINPROGRESS, 0 },
	{ "buffer present in vain", true, 0, -EFAULT, 3, 0, IO_FALLBACK, 0 },
	{ "another error", false, 0, -EIO, 1, 0, -EIO, 0 },
};

KUNIT_ARRAY_PARAM_DESC(unblock, unblock_cases, name);

static void io_unblock(struct kunit *test)
{
	const struct unblock_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	struct io io;

	kunit_activate_static_stub(test, fuse_dax_fallback, io_fallback);
	io_init(test, &io, c->write, PAGE_SIZE, 10);
	io.iocb.ki_flags = c->flags;
	kt->setup_errors[0] = c->answer;
	KUNIT_EXPECT_EQ(test, c->ret, fuse_dax_unblock(&io.iocb, &io.iter,
						       c->error, c->tries));
	KUNIT_EXPECT_EQ(test, c->setups, kt->nr_setups);
}

static bool io_killed(struct kunit *test, struct fuse_dax_map *map)
{
	fuse_dax_kunit_kill();
	return false;
}

/* Two that no fallback helps: a task that is killed, a buffer that is not there */
static void io_unblock_fails(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct io io;

	kunit_activate_static_stub(test, fuse_dax_fallback, io_fallback);
	io_init(test, &io, false, 0, 10);
	kt->during = io_killed;
	kt->setup_errors[0] = -EINVAL;
	KUNIT_EXPECT_EQ(test, -EINTR,
			fuse_dax_unblock(&io.iocb, &io.iter, -EAGAIN, 1));
	fuse_dax_kunit_unkill();

	iov_iter_ubuf(&io.iter, ITER_SOURCE, (void __user *)~(PAGE_SIZE - 1), 10);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			fuse_dax_unblock(&io.iocb, &io.iter, -EFAULT, 1));
}

static bool io_written_size(struct kiocb *iocb, loff_t pos, ssize_t res,
			    ssize_t want)
{
	struct fuse_inode *fi = get_fuse_inode(file_inode(iocb->ki_filp));
	u64 version = fi->attr_version;

	fi->inval_mask = 0;
	iocb->ki_pos = pos;
	return fuse_dax_fallback_written(iocb, res) == want &&
	       fi->attr_version != version &&
	       (fi->inval_mask & FUSE_STATX_MODIFY) == FUSE_STATX_MODIFY &&
	       !(fi->inval_mask & STATX_SIZE);
}

/* After a write in place the size is known; after others it is not */
static void io_written(struct kunit *test)
{
	struct inode *inode;
	struct io io;
	loff_t end;

	io_init(test, &io, true, 0, 10);
	inode = file_inode(io.iocb.ki_filp);
	end = i_size_read(inode);
	KUNIT_EXPECT_TRUE(test, io_written_size(&io.iocb, end - 10, 10, 10));
	KUNIT_EXPECT_FALSE(test, io_written_size(&io.iocb, end - 9, 10, 10));
	KUNIT_EXPECT_EQ(test, i_size_read(inode), end + 1);
	KUNIT_EXPECT_FALSE(test, io_written_size(&io.iocb, 0, 0, -EIO));
	KUNIT_EXPECT_FALSE(test, io_written_size(&io.iocb, 0, -ENOSPC, -ENOSPC));
	KUNIT_EXPECT_EQ(test, i_size_read(inode), end + 1);

	/* Where the server has put it is not known */
	io.iocb.ki_flags = IOCB_APPEND;
	KUNIT_EXPECT_FALSE(test, io_written_size(&io.iocb, 0, 10, 10));
	io.iocb.ki_flags = 0;
	io.iocb.ki_filp->f_flags |= O_APPEND;
	KUNIT_EXPECT_FALSE(test, io_written_size(&io.iocb, 0, 10, 10));
	KUNIT_EXPECT_EQ(test, i_size_read(inode), end + 1);
}

/* What appends goes to the server, though the file may have grown since */
static void io_write_extends(struct kunit *test)
{
	const loff_t end = 3 * FUSE_DAX_RANGE_SIZE;
	struct io io;

	io_init(test, &io, true, end - 10, 10);
	KUNIT_EXPECT_FALSE(test, fuse_dax_write_extends(&io.iocb, &io.iter));
	io.iocb.ki_flags = IOCB_APPEND;
	KUNIT_EXPECT_TRUE(test, fuse_dax_write_extends(&io.iocb, &io.iter));
	io.iocb.ki_flags = 0;
	io.iocb.ki_pos++;
	KUNIT_EXPECT_TRUE(test, fuse_dax_write_extends(&io.iocb, &io.iter));
}

static int io_iomap(struct inode *inode, loff_t pos, unsigned int flags,
		    struct iomap *iomap)
{
	const struct iomap_iter iter = {
		.inode = inode,
		.pos = pos,
		.len = 10,
		.flags = flags,
	};
	struct iomap srcmap = {};

	*iomap = (struct iomap) {};
	return fuse_dax_iomap_ops.iomap_next(&iter, iomap, &srcmap);
}

/* What fs/dax gets to see is a mapping as a whole, with a reference */
static void io_iomap_begin(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	const loff_t pos = FUSE_DAX_RANGE_SIZE + 5, end = i_size_read(inode);
	struct fuse_dax_map *map;
	struct fuse_dax_run run;
	struct iomap iomap;

	KUNIT_ASSERT_EQ(test, 0, fuse_dax_window_take(kt->win, 4, 4, &run));
	KUNIT_EXPECT_EQ(test, -EAGAIN, io_iomap(inode, pos, 0, &iomap));
	KUNIT_EXPECT_EQ(test, kt->nr_setups, 0);
	map = fuse_dax_kunit_map(test, inode, 0, 0);
	KUNIT_EXPECT_EQ(test, 1, io_iomap(inode, pos, IOMAP_DAX, &iomap));
	KUNIT_EXPECT_EQ(test, iomap.type, IOMAP_MAPPED);
	KUNIT_EXPECT_EQ(test, iomap.offset, 0);
	KUNIT_EXPECT_EQ(test, iomap.length, 3 * FUSE_DAX_RANGE_SIZE);
	KUNIT_EXPECT_EQ(test, iomap.addr, 4 * FUSE_DAX_RANGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, iomap.private, map);
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 2);
	fuse_dax_map_put(map);

	/* Readonly; then past the end, which a fault may be within its page */
	KUNIT_EXPECT_EQ(test, -EAGAIN, io_iomap(inode, pos, IOMAP_WRITE, &iomap));
	map = fuse_dax_kunit_map(test, inode, 0, FUSE_DAX_WANT_WRITE);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			io_iomap(inode, end - 9, IOMAP_WRITE, &iomap));
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 1);
	KUNIT_EXPECT_EQ(test, 1, io_iomap(inode, end - 9, IOMAP_WRITE |
					  IOMAP_FAULT, &iomap));
	fuse_dax_map_put(map);
	fuse_dax_window_give(kt->win, &run);
}

static void io_iomap_end(struct kunit *test)
{
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct fuse_dax_map *map = fuse_dax_kunit_map(test, inode, 0, 0);
	struct iomap_iter iter = { .inode = inode, .pos = 10 };
	struct iomap iomap, srcmap = {};

	KUNIT_ASSERT_EQ(test, 1, io_iomap(inode, 0, 0, &iomap));
	iter.iomap = iomap;
	KUNIT_EXPECT_EQ(test, 0,
			fuse_dax_iomap_ops.iomap_next(&iter, &iomap, &srcmap));
	KUNIT_EXPECT_EQ(test, refcount_read(&map->ref), 1);
}

/*
 * @own: the vma is private; @direct: the server wants nothing cached; @cached: the
 * page cache is to serve the fault; @bare: the window has no pages
 */
struct fault_case {
	const char *name;
	unsigned int flags;
	bool write, mapped, past_eof, own, direct, cached, bare;
	int answer;
	vm_fault_t ret;
	unsigned int setups;
};

#define FIRST	FAULT_FLAG_ALLOW_RETRY
#define AGAIN	(FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED)

static const struct fault_case fault_cases[] = {
	{ "mapped", FIRST, .mapped = true, .setups = 1 },
	{ "past the end", FIRST, .past_eof = true, .ret = VM_FAULT_SIGBUS },
	{ "must not wait", FIRST | FAULT_FLAG_RETRY_NOWAIT,
	  .ret = VM_FAULT_RETRY },
	{ "mapped, must not wait", FIRST | FAULT_FLAG_RETRY_NOWAIT,
	  .mapped = true, .setups = 1 },
	{ "mapped readonly, must not wait", FIRST | FAULT_FLAG_RETRY_NOWAIT,
	  .write = true, .mapped = true, .ret = VM_FAULT_RETRY, .setups = 1 },
	{ "a store", 0, .write = true, .setups = 1 },
	{ "a store, mapped readonly", 0, .write = true, .mapped = true,
	  .setups = 2 },
	{ "a store, refused", 0, .write = true, .answer = -EROFS,
	  .cached = true, .setups = 1 },
	{ "a store, mapped readonly, refused", 0, .write = true,
	  .mapped = true, .answer = -EACCES, .cached = true, .setups = 2 },
	{ "a store, refused, nothing is cached", 0, .write = true,
	  .direct = true, .answer = -EACCES, .ret = VM_FAULT_SIGBUS,
	  .setups = 1 },
	{ "a store, refused for want of space", 0, .write = true,
	  .answer = -ENOSPC, .ret = VM_FAULT_SIGBUS, .setups = 3 },
	{ "repeated", AGAIN, .setups = 1 },
	{ "repeated, no memory", AGAIN, .answer = -ENOMEM,
	  .ret = VM_FAULT_SIGBUS, .setups = 1 },
	{ "never repeated", 0, .setups = 1 },
	{ "never repeated, no pages yet", 0, .bare = true,
	  .ret = VM_FAULT_NOPAGE },
	{ "a store, no pages yet", 0, .write = true, .bare = true,
	  .ret = VM_FAULT_NOPAGE },
	{ "never repeated, the server says to try again", 0,
	  .answer = -EAGAIN, .ret = VM_FAULT_SIGBUS, .setups = 3 },
	{ "private, no pages yet", 0, .bare = true,
	  .own = true, .cached = true },
	{ "never repeated, no memory", 0,
	  .answer = -ENOMEM, .ret = VM_FAULT_SIGBUS, .setups = 3 },
	{ "never repeated, no DAX", 0,
	  .answer = -ENOSYS, .ret = VM_FAULT_SIGBUS, .setups = 1 },
	{ "private, no memory", AGAIN, .own = true,
	  .answer = -ENOMEM, .cached = true, .setups = 1 },
	{ "private, refused", 0, .own = true,
	  .answer = -EACCES, .cached = true, .setups = 1 },
	{ "private, no DAX", 0, .own = true,
	  .answer = -ENOSYS, .cached = true, .setups = 1 },
	{ "private, no connection", 0, .own = true,
	  .answer = -ENOTCONN, .ret = VM_FAULT_SIGBUS, .setups = 1 },
};

KUNIT_ARRAY_PARAM_DESC(fault, fault_cases, name);

/* As if a worker were about to bring pages, of which there are none */
static void io_bare(struct fuse_dax_window *win, bool bare)
{
	struct fuse_dax_run all = { .nr = win->nr_ranges };

	if (bare) {
		fuse_dax_window_strip(win);
		win->growing = true;
	} else {
		fuse_dax_window_show(win, &all);
		win->growing = false;
	}
}

static void io_fault(struct kunit *test)
{
	const struct fault_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = fuse_dax_kunit_inode(test, 0, 3);
	struct vm_area_struct *vma = kunit_kzalloc(test, sizeof(*vma),
						   GFP_KERNEL);
	struct vm_fault vmf = {
		.vma = vma, .flags = c->flags | FAULT_FLAG_USER,
	};
	struct fuse_dax_map *map;
	struct fuse_file *ff;
	vm_fault_t ret;

	KUNIT_ASSERT_NOT_NULL(test, vma);
	vma->vm_file = fuse_dax_kunit_file(test, inode);
	ff = vma->vm_file->private_data;
	ff->open_flags = c->direct ? FOPEN_DIRECT_IO : 0;
	vm_flags_init(vma, VM_WRITE |
		      (c->own ? 0 : VM_SHARED | VM_MAYSHARE));
	if (c->mapped)
		fuse_dax_kunit_map(test, inode, 0, 0);
	if (c->past_eof)
		i_size_write(inode, 0);
	for (int i = 0; i < FUSE_DAX_KUNIT_REQUESTS; i++)
		kt->setup_errors[i] = c->answer;

	if (c->bare)
		io_bare(kt->win, true);
	ret = fuse_dax_fault_map(&vmf, c->write ? FUSE_DAX_WANT_WRITE : 0,
				 &map);
	if (c->bare)
		io_bare(kt->win, false);
	KUNIT_EXPECT_TRUE(test, ret == c->ret);
	KUNIT_EXPECT_EQ(test, c->setups, kt->nr_setups);
	if (ret)
		return;
	KUNIT_EXPECT_EQ(test, c->cached, !map);
	if (!map)
		return;
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_LIVE);
	KUNIT_EXPECT_TRUE(test, map->writable || !c->write);
	fuse_dax_map_put(map);
}

static struct kunit_case fuse_dax_io_cases[] = {
	KUNIT_CASE_PARAM(io_fallback_size, size_gen_params),
	KUNIT_CASE_PARAM(io_size_matters, matters_gen_params),
	KUNIT_CASE_PARAM(io_unblock, unblock_gen_params),
	KUNIT_CASE(io_unblock_fails),
	KUNIT_CASE(io_written),
	KUNIT_CASE(io_write_extends),
	KUNIT_CASE(io_iomap_begin),
	KUNIT_CASE(io_iomap_end),
	KUNIT_CASE_PARAM(io_fault, fault_gen_params),
	{}
};

static struct kunit_suite fuse_dax_io_suite = {
	.name = "fuse_dax_io",
	.init = fuse_dax_kunit_init,
	.exit = fuse_dax_kunit_exit,
	.test_cases = fuse_dax_io_cases,
};

kunit_test_suite(fuse_dax_io_suite);
