// SPDX-License-Identifier: GPL-2.0
/*
 * Small files that are read, and not mapped.
 *
 * One request brings all of a small file, as a setup would, and takes neither a
 * range nor one of the mappings that the host can hold. What it brings are cached
 * pages, see dax_cache.c: the pieces of the file are read from them, and so is the
 * file when it is read again, until memory is short.
 *
 * They are good as long as the file is, by its attributes, what it was before the
 * first of them was asked for. A file that changed a moment before may change again
 * with no difference in its times, so its pages are good until the next answer
 * about its attributes.
 */
#include "dax_i.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sizes.h>
#include <linux/uio.h>

#define FUSE_DAX_SMALL_PAGES	DIV_ROUND_UP(FUSE_DAX_SMALL_MAX, PAGE_SIZE)

/* The times of a file tell two changes apart if so many seconds are between */
#define FUSE_DAX_SMALL_SETTLED	2

/* Whether the attributes that the guest has may be relied upon */
static bool fuse_dax_attr_fresh(struct fuse_inode *fi)
{
	return !(READ_ONCE(fi->inval_mask) & FUSE_STATX_MODSIZE) &&
	       time_before64(get_jiffies_64(), READ_ONCE(fi->i_time)) &&
	       !fuse_attr_expired(&fi->inode);
}

/*
 * Asks for the attributes, if that makes them fresh: those that a write here has
 * changed. Whether they are.
 */
static bool fuse_dax_attr_refresh(struct kiocb *iocb)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_inode *fi = get_fuse_inode(inode);

	if (time_before64(get_jiffies_64(), READ_ONCE(fi->i_time)) &&
	    fuse_update_attributes(inode, iocb->ki_filp, FUSE_STATX_MODSIZE))
		return false;
	return fuse_dax_attr_fresh(fi);
}

/* Another one whenever something has changed here, or the server has said so */
static u64 fuse_dax_small_version(struct fuse_inode *fi)
{
	return READ_ONCE(fi->attr_version) + READ_ONCE(fi->told_version);
}

/* What the file is known to be before it is asked for */
static void fuse_dax_small_describe(struct fuse_dax_small *small,
				    struct inode *inode)
{
	small->attr_version = fuse_dax_small_version(get_fuse_inode(inode));
	small->size = i_size_read(inode);
	small->mtime = inode_get_mtime(inode);
	small->ctime = inode_get_ctime(inode);
	small->settled = ktime_get_real_seconds() - FUSE_DAX_SMALL_SETTLED >
			 max(small->mtime.tv_sec, small->ctime.tv_sec);
}

/* Whether the file is still, as far as the guest knows, what was described */
static bool fuse_dax_small_same(const struct fuse_dax_small *small,
				struct inode *inode)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	return fuse_dax_attr_fresh(fi) && i_size_read(inode) == small->size &&
	       timespec64_equal(&mtime, &small->mtime) &&
	       timespec64_equal(&ctime, &small->ctime) &&
	       (small->settled ||
		fuse_dax_small_version(fi) == small->attr_version);
}

/* Whether there may be pages of the file, and all of them are good */
static bool fuse_dax_small_good(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (!di || READ_ONCE(di->small.state) != FUSE_DAX_SMALL_KEPT)
		return false;
	guard(rwsem_read)(&di->sem);
	return di->small.state == FUSE_DAX_SMALL_KEPT &&
	       fuse_dax_small_same(&di->small, inode);
}

/**
 * fuse_dax_small_check - drop the pages of a small file unless they are good
 * @iocb: where it is going to be read
 *
 * Context: i_rwsem held. Takes &fuse_dax_inode.sem, locks pages, and waits for the
 * server if there is something to be written back.
 * Return: false if there may be some that are not good: the caller must not wait, or
 * somebody else holds one.
 */
bool fuse_dax_small_check(struct kiocb *iocb)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (!fuse_dax_cache_any(inode) || !fuse_dax_is_small(inode) ||
	    !fuse_dax_cache_allowed(iocb) || fuse_dax_small_good(inode))
		return true;
	if (READ_ONCE(di->small.state) == FUSE_DAX_SMALL_NONE &&
	    !filemap_range_has_page(inode->i_mapping, 0, LLONG_MAX))
		return true;
	if (iocb->ki_flags & IOCB_NOWAIT)
		return false;

	/*
	 * While this is so nobody adds a page that is to be good. Who adds one now
	 * has seen before that all are, and has it locked: it is waited for.
	 */
	scoped_guard(rwsem_write, &di->sem)
		WRITE_ONCE(di->small.state, FUSE_DAX_SMALL_ENDS);
	/* One that stays would be taken for what the file is by then */
	if (fuse_dax_cache_invalidate(inode, 0, ULONG_MAX))
		return false;
	guard(rwsem_write)(&di->sem);
	if (di->small.state == FUSE_DAX_SMALL_ENDS)
		WRITE_ONCE(di->small.state, FUSE_DAX_SMALL_NONE);
	return true;
}

/**
 * fuse_dax_small_begins - whether a read is worth all of a small file
 * @iocb: where
 * @to: the caller's buffer
 *
 * A read of a small part of the file which is less than a page is more likely a
 * look at a header, by somebody who will map the file if he likes it. A file that
 * was read whole before is read on; and so is one for which somebody would have to
 * give up a range.
 *
 * Return: whether fuse_dax_small_read() is worth a try.
 */
bool fuse_dax_small_begins(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	size_t len = iov_iter_count(to);

	if (!fuse_dax_is_small(inode) || !fuse_dax_cache_allowed(iocb))
		return false;
	if (fuse_dax_small_good(inode) ||
	    (iocb->ki_pos && fuse_dax_window_pressed(fuse_dax_window_of(inode))))
		return true;
	return !iocb->ki_pos &&
	       (len >= PAGE_SIZE || len > i_size_read(inode) / 8);
}

/**
 * fuse_dax_small_serves - whether a fault is served by pages of a small file
 * @vma: where it is
 * @index: page of the file
 *
 * Who shares what he maps with others, on the host too, is shown the window.
 *
 * Context: Takes &fuse_dax_inode.sem.
 * Return: true if the page is there, and good.
 */
bool fuse_dax_small_serves(struct vm_area_struct *vma, pgoff_t index)
{
	struct inode *inode = file_inode(vma->vm_file);

	return !(vma->vm_flags & VM_MAYSHARE) && fuse_dax_is_small(inode) &&
	       fuse_dax_small_good(inode) && fuse_dax_cache_has(inode, index);
}

/* Whether pages that have just been added will be good, with those that are there */
static bool fuse_dax_small_keep(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_small *small = &di->small;

	guard(rwsem_write)(&di->sem);
	if (small->state == FUSE_DAX_SMALL_NONE) {
		fuse_dax_small_describe(small, inode);
		WRITE_ONCE(small->state, FUSE_DAX_SMALL_KEPT);
	}
	return small->state == FUSE_DAX_SMALL_KEPT &&
	       fuse_dax_small_same(small, inode);
}

/**
 * struct fuse_dax_small_run - pages of a small file that are being read
 * @pos: of the first, bytes
 * @len: of what is to be read, bytes
 * @nr: how many they are
 * @folios: the pages, locked until they have been read
 * @bvecs: their memory
 */
struct fuse_dax_small_run {
	loff_t pos;
	size_t len;
	unsigned int nr;
	struct folio *folios[FUSE_DAX_SMALL_PAGES];
	struct bio_vec bvecs[FUSE_DAX_SMALL_PAGES];
};

/* Adds the pages around @pos that are not there; 0 or -errno */
static int fuse_dax_small_add(struct fuse_dax_small_run *run,
			      struct inode *inode, loff_t pos)
{
	pgoff_t first = pos >> PAGE_SHIFT;
	loff_t size = i_size_read(inode);
	int nr;

	/* The caller has checked, but a file may change at any time */
	if (pos >= size || size > FUSE_DAX_SMALL_MAX)
		return -ENOMEM;
	while (first && !fuse_dax_cache_has(inode, first - 1))
		first--;
	nr = fuse_dax_cache_add_run(inode, first, run->folios,
				    DIV_ROUND_UP(size, PAGE_SIZE) - first);
	if (nr < 0)
		return nr;

	run->nr = nr;
	run->pos = (loff_t)first << PAGE_SHIFT;
	run->len = min_t(loff_t, size - run->pos, (loff_t)nr << PAGE_SHIFT);
	for (int i = 0; i < nr; i++)
		bvec_set_folio(&run->bvecs[i], run->folios[i], PAGE_SIZE, 0);
	if (fuse_dax_small_keep(inode))
		return 0;
	fuse_dax_cache_end_run(inode, run->folios, run->nr, false);
	return -ENOMEM;
}

/* Reads from the server; bytes, or -errno */
VISIBLE_IF_KUNIT
ssize_t fuse_dax_small_fetch(struct kiocb *iocb, struct iov_iter *iter,
			     loff_t pos)
{
	struct fuse_io_priv io = FUSE_IO_PRIV_SYNC(iocb);

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_small_fetch, iocb, iter, pos);
	return fuse_direct_io(&io, iter, &pos, 0);
}

/* Fills the pages; bytes, or -errno */
static ssize_t fuse_dax_small_fill(struct fuse_dax_small_run *run,
				   struct kiocb *iocb)
{
	struct folio *last = run->folios[run->nr - 1];
	size_t tail = offset_in_page(run->pos + run->len);
	struct iov_iter iter;

	if (tail)
		folio_zero_segment(last, tail, PAGE_SIZE);
	iov_iter_bvec(&iter, ITER_DEST, run->bvecs, run->nr, run->len);
	return fuse_dax_small_fetch(iocb, &iter, run->pos);
}

/* Hands out what was read, up to @end; bytes, or -EFAULT */
static ssize_t fuse_dax_small_copy(struct fuse_dax_small_run *run, loff_t pos,
				   loff_t end, struct iov_iter *to)
{
	ssize_t done = 0;

	while (pos < end && iov_iter_count(to)) {
		unsigned int i = (pos - run->pos) >> PAGE_SHIFT;
		size_t offset = offset_in_page(pos), n;

		n = copy_folio_to_iter(run->folios[i], offset,
				       min_t(loff_t, end - pos,
					     PAGE_SIZE - offset), to);
		if (!n)
			return done ?: -EFAULT;
		pos += n;
		done += n;
	}
	return done;
}

/**
 * fuse_dax_small_read - read a small file by one request, and keep what it brings
 * @iocb: where; its position does not advance
 * @to: the caller's buffer; advances
 *
 * Context: i_rwsem held, no reference to a mapping. Takes invalidate_lock, shared,
 * and &fuse_dax_inode.sem; locks pages, and takes page faults.
 * Return: bytes served, 0 at the end of the file, or -errno; -ENOMEM if it has
 * to be done for the caller alone.
 */
ssize_t fuse_dax_small_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_dax_small_run run;
	ssize_t res;

	if (!fuse_dax_attr_refresh(iocb) ||
	    fuse_dax_small_add(&run, inode, iocb->ki_pos))
		return -ENOMEM;
	res = fuse_dax_small_fill(&run, iocb);
	/* A file that is shorter than it was is another one by now */
	fuse_dax_cache_end_run(inode, run.folios, run.nr, res == run.len);
	if (res > 0)
		res = fuse_dax_small_copy(&run, iocb->ki_pos, run.pos + res, to);
	for (unsigned int i = 0; i < run.nr; i++)
		folio_put(run.folios[i]);
	return res;
}
