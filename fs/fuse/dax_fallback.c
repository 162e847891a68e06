// SPDX-License-Identifier: GPL-2.0
/*
 * Reading and writing by request what memory cannot serve.
 */
#include "dax_i.h"
#include "dax_trace.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uio.h>

/* Largest fallback by one request, bytes */
#define FUSE_DAX_FALLBACK_MAX	SZ_1M

/* A fallback smaller than this is always copied, bytes */
#define FUSE_DAX_BOUNCE_MAX	SZ_16K

/*
 * What one fallback request carries. A request that the transport would split
 * gains nothing.
 */
VISIBLE_IF_KUNIT
size_t fuse_dax_fallback_size(struct fuse_conn *fc, struct iov_iter *iter)
{
	size_t max = iov_iter_rw(iter) == WRITE ? fc->max_write : fc->max_read;

	max = min_t(size_t, max, (size_t)fc->max_pages << PAGE_SHIFT);
	return min3(max, (size_t)FUSE_DAX_FALLBACK_MAX, iov_iter_count(iter));
}

/* Whether memory at @addr may be in the window, as far as this task maps it */
static bool fuse_dax_vmas_dax(unsigned long addr, size_t len)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	bool dax = false;

	vma_iter_init(&vmi, mm, addr);
	mmap_read_lock(mm);
	for_each_vma_range(vmi, vma, addr + len)
		dax |= vma_is_dax(vma);
	mmap_read_unlock(mm);
	return dax;
}

/*
 * Whether the server can reach the caller's buffer. It cannot reach the window,
 * so a buffer which may be in a DAX mapping, of whatever file, is not passed on.
 * Who maps another file there after this look gets an error from the server.
 */
static bool fuse_dax_buffer_reachable(const struct iov_iter *iter, size_t len)
{
	unsigned long addr;

	/* Below this a copy costs less than to pin */
	if (len < FUSE_DAX_BOUNCE_MAX || !user_backed_iter(iter) ||
	    iov_iter_single_seg_count(iter) < len)
		return false;
	addr = (unsigned long)iter_iov_addr(iter);
	return !fuse_dax_vmas_dax(untagged_addr(addr), len);
}

/* Kernel memory between the server and a buffer that it cannot reach */
struct fuse_dax_bounce {
	struct kvec kvec;
	struct iov_iter iter;
};

static int fuse_dax_bounce_fill(struct fuse_dax_bounce *bounce,
				struct iov_iter *from, size_t len)
{
	bool write = iov_iter_rw(from) == WRITE;

	bounce->kvec.iov_base = kvmalloc(len, GFP_KERNEL);
	if (!bounce->kvec.iov_base)
		return -ENOMEM;
	if (write)
		len = copy_from_iter(bounce->kvec.iov_base, len, from);
	bounce->kvec.iov_len = len;
	iov_iter_kvec(&bounce->iter, write ? ITER_SOURCE : ITER_DEST,
		      &bounce->kvec, 1, len);
	return len ? 0 : -EFAULT;
}

/* Hands on what was done, @res; bytes that the caller's buffer has, or -errno */
static ssize_t fuse_dax_bounce_drain(struct fuse_dax_bounce *bounce,
				     struct iov_iter *to, ssize_t res)
{
	size_t len = bounce->kvec.iov_len;

	if (iov_iter_rw(to) == WRITE)
		iov_iter_revert(to, len - max(res, 0));
	else if (res > 0)
		res = copy_to_iter(bounce->kvec.iov_base, res, to) ?: -EFAULT;
	kvfree(bounce->kvec.iov_base);
	return res;
}

static ssize_t fuse_dax_fallback_bounced(struct fuse_io_priv *io,
					 struct iov_iter *iter, size_t len,
					 loff_t pos, int flags)
{
	struct fuse_dax_bounce bounce;
	loff_t start = pos;
	ssize_t res;

	res = fuse_dax_bounce_fill(&bounce, iter, len);
	if (!res)
		res = fuse_direct_io(io, &bounce.iter, &pos, flags);
	else
		bounce.kvec.iov_len = 0;
	if (res > 0 && iov_iter_rw(iter) == WRITE)
		fuse_dax_cache_store(io->iocb->ki_filp, start,
				     bounce.kvec.iov_base, res);
	return fuse_dax_bounce_drain(&bounce, iter, res);
}

static ssize_t fuse_dax_fallback_direct(struct fuse_io_priv *io,
					struct iov_iter *iter, size_t len,
					loff_t pos, int flags)
{
	size_t rest, max = get_fuse_conn(file_inode(io->iocb->ki_filp))->max_pages;
	ssize_t res;

	/* A buffer that does not start with a page takes one more of them */
	len = min(len, (max << PAGE_SHIFT) -
		       offset_in_page(iter_iov_addr(iter)));
	rest = iov_iter_count(iter) - len;
	iov_iter_truncate(iter, len);
	res = fuse_direct_io(io, iter, &pos, flags);
	iov_iter_reexpand(iter, iov_iter_count(iter) + rest);
	return res;
}

/*
 * A write in place leaves the size as it was, so that the next one, which may go
 * to memory, need not ask for it. Whether this one, up to @end, was.
 */
static bool fuse_dax_fallback_in_place(struct inode *inode, loff_t end)
{
	struct fuse_conn *fc = get_fuse_conn(inode);
	struct fuse_inode *fi = get_fuse_inode(inode);
	bool in_place;

	/* Answers that are under way may tell of what was before */
	scoped_guard(spinlock, &fi->lock) {
		in_place = end <= i_size_read(inode);
		if (in_place)
			fi->attr_version = atomic64_inc_return(&fc->attr_version);
	}
	if (in_place)
		fuse_invalidate_attr_mask(inode, FUSE_STATX_MODIFY);
	return in_place;
}

/* Whether the server chooses where to write, which it does by the open file */
static bool fuse_dax_appends(struct kiocb *iocb)
{
	return (iocb->ki_flags & IOCB_APPEND) ||
	       (iocb->ki_filp->f_flags & O_APPEND);
}

/* What a write by the server changes of the inode */
VISIBLE_IF_KUNIT
ssize_t fuse_dax_fallback_written(struct kiocb *iocb, ssize_t res)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t end = iocb->ki_pos + max(res, 0);

	if (res <= 0 || fuse_dax_appends(iocb) ||
	    !fuse_dax_fallback_in_place(inode, end))
		fuse_write_update_attr(inode, end, res);
	return res ?: -EIO;
}

/* Sends the request; bytes, or -errno */
static ssize_t fuse_dax_fallback_send(struct kiocb *iocb, struct iov_iter *iter,
				      size_t len)
{
	struct fuse_io_priv io = FUSE_IO_PRIV_SYNC(iocb);
	bool write = iov_iter_rw(iter) == WRITE;
	int flags = write ? FUSE_DIO_WRITE : 0;
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t res = -EFAULT;

	if (!write)
		fuse_dax_cache_flush(inode, iocb->ki_pos,
				     iocb->ki_pos + len - 1);
	/* Cached pages that somebody holds are changed too, from kernel memory */
	if (!(write && filemap_range_has_page(inode->i_mapping, iocb->ki_pos,
					      iocb->ki_pos + len - 1)) &&
	    fuse_dax_buffer_reachable(iter, len))
		res = fuse_dax_fallback_direct(&io, iter, len, iocb->ki_pos,
					       flags);
	if (res != -EFAULT)
		return res;
	/* There is memory that can be copied but not pinned */
	return fuse_dax_fallback_bounced(&io, iter, len, iocb->ki_pos, flags);
}

static ssize_t fuse_dax_fallback_read(struct kiocb *iocb, struct iov_iter *iter,
				      size_t len)
{
	ssize_t res = -ENOMEM;

	if (fuse_dax_small_begins(iocb, iter))
		res = fuse_dax_small_read(iocb, iter);
	if (res == -ENOMEM)
		res = fuse_dax_fallback_send(iocb, iter, len);
	fuse_invalidate_atime(file_inode(iocb->ki_filp));
	return res;
}

/**
 * fuse_dax_fallback - serve a part of a read or write by one request
 * @iocb: where; its position advances
 * @iter: the caller's buffer; advances
 *
 * A buffer that may be a DAX mapping is not passed to the server, which cannot
 * reach the window: the data goes through kernel memory. A fault on such a
 * buffer may need the ranges of any mapping, so none is held.
 *
 * Context: i_rwsem held, no reference to a mapping.
 * Return: bytes served, 0 at the end of the file, or -errno.
 */
ssize_t fuse_dax_fallback(struct kiocb *iocb, struct iov_iter *iter)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	size_t len = fuse_dax_fallback_size(get_fuse_conn(inode), iter);
	bool write = iov_iter_rw(iter) == WRITE;
	ssize_t res;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_fallback, iocb, iter);
	lockdep_assert_held(&inode->i_rwsem);
	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;

	fuse_dax_count(fuse_dax_window_of(inode),
		       write ? FUSE_DAX_FALLBACK_WRITES :
			       FUSE_DAX_FALLBACK_READS);
	trace_fuse_dax_fallback(inode, iocb->ki_pos, len, write);
	if (write) {
		res = fuse_dax_fallback_send(iocb, iter, len);
		res = fuse_dax_fallback_written(iocb, res);
	} else {
		res = fuse_dax_fallback_read(iocb, iter, len);
	}
	if (res > 0)
		iocb->ki_pos += res;
	return res;
}
