// SPDX-License-Identifier: GPL-2.0
/*
 * Reading and writing DAX files.
 */
#include "dax_i.h"

#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

/*
 * How much of a buffer is brought in at a time, bytes. More than that might be
 * gone again before it is used, if the buffer is a DAX mapping.
 */
#define FUSE_DAX_FAULT_IN	SZ_128K

/*
 * A copy of @len bytes has ended. One that takes long is not waited for when the
 * window goes, see fuse_dax_conn_cut(), and an emptied window is not the file. Nor
 * may be what was read while the server said that data changes, for the @said + 1st
 * time: -EINPROGRESS.
 */
static ssize_t fuse_dax_transferred(struct kiocb *iocb, struct iov_iter *iter,
				    ssize_t len, unsigned int said)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	int err = -ENOTCONN;

	/*
	 * First the copy, loads and stores, then this look: the window is
	 * stopped, then emptied. Pairs with fuse_dax_window_stop().
	 */
	smp_mb();
	if (likely(!READ_ONCE(fuse_dax_window_of(inode)->stopped))) {
		if (iov_iter_rw(iter) == WRITE ||
		    likely(!fuse_dax_notify_pending(inode) &&
			   fuse_dax_notify_said(inode) == said))
			return len;
		err = -EINPROGRESS;
	}
	iocb->ki_pos -= len;
	iov_iter_revert(iter, len);
	return err;
}

/*
 * Copies what is mapped. Page faults on the caller's buffer are disabled: the
 * buffer may be a DAX mapping whose fault waits for the very ranges that we hold
 * references to here.
 */
static ssize_t fuse_dax_transfer_mapped(struct kiocb *iocb,
					struct iov_iter *iter,
					unsigned int said)
{
	ssize_t ret;

	pagefault_disable();
	ret = dax_iomap_rw(iocb, iter, &fuse_dax_iomap_ops);
	pagefault_enable();
	if (ret <= 0)
		return ret;
	if (iov_iter_rw(iter) == WRITE)
		fuse_dax_touch(file_inode(iocb->ki_filp));
	return fuse_dax_transferred(iocb, iter, ret, said);
}

/* Brings in the caller's buffer; 0 or -EFAULT */
static int fuse_dax_fault_in(struct iov_iter *iter)
{
	size_t len = min_t(size_t, iov_iter_count(iter), FUSE_DAX_FAULT_IN);
	size_t left;

	if (iov_iter_rw(iter) == WRITE)
		left = fault_in_iov_iter_readable(iter, len);
	else
		left = fault_in_iov_iter_writeable(iter, len);
	return left == len ? -EFAULT : 0;
}

/*
 * Whether a request serves a read or write as well as memory, this once: it does
 * all that there is to do at the file. A program that is started will be mapped.
 */
static bool fuse_dax_once(struct kiocb *iocb, struct iov_iter *iter)
{
	if (iov_iter_rw(iter) == WRITE)
		return true;
	if (iocb->ki_filp->f_flags & __FMODE_EXEC)
		return false;
	return iocb->ki_pos + iov_iter_count(iter) >=
	       i_size_read(file_inode(iocb->ki_filp)) ||
	       fuse_dax_small_begins(iocb, iter);
}

/* Maps the page that a copy stopped at; 0 or -errno */
static int fuse_dax_map_in(struct kiocb *iocb, struct iov_iter *iter)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	unsigned int want = 0;
	struct fuse_dax_map *map;

	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;
	if (iov_iter_rw(iter) == WRITE)
		want |= FUSE_DAX_WANT_WRITE;
	if (!fuse_dax_once(iocb, iter))
		want |= FUSE_DAX_WANT_MEMORY;
	if (iocb->ki_filp->f_mode & FMODE_RANDOM)
		want |= FUSE_DAX_WANT_RANDOM;

	map = fuse_dax_map_find(inode, iocb->ki_pos >> PAGE_SHIFT, want);
	if (IS_ERR(map))
		return PTR_ERR(map);
	fuse_dax_map_put(map);
	return 0;
}

/* Serves a read that needs no memory of the window; else -EAGAIN */
static ssize_t fuse_dax_read_without(struct kiocb *iocb, struct iov_iter *iter)
{
	if (iov_iter_rw(iter) == WRITE)
		return -EAGAIN;
	if (iocb->ki_pos >= i_size_read(file_inode(iocb->ki_filp)))
		return 0;
	if (!fuse_dax_small_check(iocb))
		return -EAGAIN;
	return fuse_dax_cache_read(iocb, iter) ?: -EAGAIN;
}

/* Copies that may fail before the two sides are taken to exclude each other */
#define FUSE_DAX_COPY_TRIES	3

/*
 * A copy got nowhere, for @error: -EAGAIN, nothing is mapped there; -EFAULT, the
 * buffer is not present. Provides it; when that has been in vain, which two DAX
 * mappings in need of the same range can do to each other, falls back.
 *
 * Return: bytes done by fallback, -EINPROGRESS if the copy is to be repeated, 0
 * at the end of the file, or -errno.
 */
VISIBLE_IF_KUNIT
ssize_t fuse_dax_unblock(struct kiocb *iocb, struct iov_iter *iter, int error,
			 int tries)
{
	if (error == -EFAULT) {
		if (fuse_dax_fault_in(iter))
			return -EFAULT;
	} else if (error == -EAGAIN) {
		ssize_t res = fuse_dax_read_without(iocb, iter);

		if (res != -EAGAIN && res != -EINPROGRESS)
			return res;
		/* Somebody may write to the file all the time: that counts as a try, too */
		error = res == -EAGAIN ? fuse_dax_map_in(iocb, iter) : 0;
		if (error == -EINTR && fatal_signal_pending(current))
			return error;
		if (error)
			return fuse_dax_fallback(iocb, iter);
	} else {
		return error;
	}

	if (tries < FUSE_DAX_COPY_TRIES)
		return -EINPROGRESS;
	return fuse_dax_fallback(iocb, iter);
}

/* Whether a read or write reaches past the end of the file, now */
static bool fuse_dax_past_eof(struct kiocb *iocb, struct iov_iter *iter)
{
	loff_t size = i_size_read(file_inode(iocb->ki_filp));

	return iocb->ki_pos > size || iov_iter_count(iter) > size - iocb->ki_pos;
}

/* Whether i_size may differ from the server's by what the caches know */
static bool fuse_dax_size_stale(struct inode *inode)
{
	return (READ_ONCE(get_fuse_inode(inode)->inval_mask) & STATX_SIZE) ||
	       fuse_attr_expired(inode);
}

/* Whether a write would go to memory now */
static bool fuse_dax_writes_memory(struct kiocb *iocb)
{
	struct fuse_dax_map *map;

	map = fuse_dax_map_hit(file_inode(iocb->ki_filp),
			       iocb->ki_pos >> PAGE_SHIFT, FUSE_DAX_WANT_WRITE);
	if (IS_ERR(map))
		return false;
	fuse_dax_map_put(map);
	return true;
}

/* Whether the size decides what a read returns or where a write goes */
VISIBLE_IF_KUNIT
bool fuse_dax_size_matters(struct kiocb *iocb, struct iov_iter *iter)
{
	bool auto_inval = get_fuse_conn(file_inode(iocb->ki_filp))->auto_inval_data;
	bool past_eof = fuse_dax_past_eof(iocb, iter);

	if (iov_iter_rw(iter) == READ)
		return past_eof || auto_inval;
	/* What goes to the server in any case is put by it where it belongs */
	return auto_inval && !past_eof && fuse_dax_writes_memory(iocb);
}

/* Gets the size from the server, if it is needed */
static int fuse_dax_update_size(struct kiocb *iocb, struct iov_iter *iter)
{
	struct inode *inode = file_inode(iocb->ki_filp);

	if (!fuse_dax_size_matters(iocb, iter))
		return 0;
	if (iocb->ki_flags & IOCB_NOWAIT)
		return iocb->ki_pos < i_size_read(inode) ? 0 : -EAGAIN;
	return fuse_update_attributes(inode, iocb->ki_filp, STATX_SIZE);
}

/*
 * Makes i_size as true as for a cached file: always as fresh as the attributes
 * are said to be when the server asks for automatic invalidation, else when a
 * read reaches the end of the file; for a write only if memory is written to.
 * Who must not wait gets what is mapped below the size as it is known, if there
 * is any.
 */
static inline int fuse_dax_revalidate(struct kiocb *iocb, struct iov_iter *iter)
{
	if (likely(!fuse_dax_size_stale(file_inode(iocb->ki_filp))))
		return 0;
	return fuse_dax_update_size(iocb, iter);
}

/* Waits until the size is known again, if the server has said that data changes */
static int fuse_dax_settle(struct kiocb *iocb, unsigned int said)
{
	struct inode *inode = file_inode(iocb->ki_filp);

	if (likely(fuse_dax_notify_settled(inode, said)))
		return 0;
	if (iocb->ki_flags & IOCB_NOWAIT)
		return -EAGAIN;
	return fuse_dax_notify_wait(inode, said);
}

/*
 * After a copy that came to nothing: -EINPROGRESS if it is to be made again. What is
 * changed all the time on the server is read there.
 */
static ssize_t fuse_dax_again(struct kiocb *iocb, struct iov_iter *iter,
			      ssize_t err, int tries)
{
	if (err != -EINPROGRESS)
		return fuse_dax_unblock(iocb, iter, err, tries);
	return tries < FUSE_DAX_COPY_TRIES ? err : fuse_dax_fallback(iocb, iter);
}

/*
 * Reads or writes through memory where it is mapped and by request where it is
 * not. Bytes done, or -errno if none.
 */
static ssize_t fuse_dax_transfer(struct kiocb *iocb, struct iov_iter *iter)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	bool write = iov_iter_rw(iter) == WRITE;
	ssize_t done = 0, ret = 0;
	int tries = 0;

	while (iov_iter_count(iter)) {
		unsigned int said = fuse_dax_notify_said(inode);

		ret = fuse_dax_settle(iocb, said);
		/* No store where the file has ended */
		if (!ret && write)
			ret = fuse_dax_revalidate(iocb, iter);
		if (ret)
			break;
		if (write && fuse_dax_past_eof(iocb, iter)) {
			/* It shrank on the server since the write began */
			ret = fuse_dax_fallback(iocb, iter);
		} else {
			ret = fuse_dax_transfer_mapped(iocb, iter, said);
			if (ret < 0)
				ret = fuse_dax_again(iocb, iter, ret, ++tries);
			if (ret == -EINPROGRESS)
				continue;
		}
		if (ret <= 0)
			break;
		done += ret;
		tries = 0;
	}
	return done ?: ret;
}

/**
 * fuse_dax_read_iter - read a DAX file
 * @iocb: where
 * @to: buffer
 *
 * Context: Takes i_rwsem shared.
 * Return: bytes read or -errno.
 */
ssize_t fuse_dax_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;

	ret = fuse_dax_revalidate(iocb, to);
	if (ret)
		return ret;

	if (iocb->ki_flags & IOCB_NOWAIT) {
		if (!inode_trylock_shared(inode))
			return -EAGAIN;
	} else {
		inode_lock_shared(inode);
	}
	ret = fuse_dax_transfer(iocb, to);
	inode_unlock_shared(inode);
	return ret;
}

/* A write that only the server can do: by as few requests as it takes */
static ssize_t fuse_dax_write_through(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_inode *fi = get_fuse_inode(inode);
	ssize_t done = 0, ret = 0;

	lockdep_assert_held_write(&inode->i_rwsem);
	set_bit(FUSE_I_SIZE_UNSTABLE, &fi->state);
	while (iov_iter_count(from)) {
		ret = fuse_dax_fallback(iocb, from);
		if (ret <= 0)
			break;
		done += ret;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
	}
	clear_bit(FUSE_I_SIZE_UNSTABLE, &fi->state);
	return done ?: ret;
}

/*
 * Whether a write is to change the size. One that appends is, even if the file
 * has grown on the server since its position was chosen: what others have put
 * there must stay.
 */
VISIBLE_IF_KUNIT
bool fuse_dax_write_extends(struct kiocb *iocb, struct iov_iter *from)
{
	return (iocb->ki_flags & IOCB_APPEND) || fuse_dax_past_eof(iocb, from);
}

/*
 * The buffer may be pages of the file, which come from the page cache if there is
 * no range for them: whose faults need not wait for whom is said here.
 */
static void fuse_dax_writer(struct inode *inode, struct task_struct *writer)
{
	struct fuse_dax_inode *di = fuse_dax_inode_get(inode);

	lockdep_assert_held_write(&inode->i_rwsem);
	if (di)
		WRITE_ONCE(di->writer, writer);
}

static ssize_t fuse_dax_write_locked(struct kiocb *iocb, struct iov_iter *from)
{
	struct mnt_idmap *idmap = file_mnt_idmap(iocb->ki_filp);
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	lockdep_assert_held_write(&inode->i_rwsem);
	ret = generic_write_checks(iocb, from);
	if (ret <= 0)
		return ret;
	ret = kiocb_modified(iocb);
	if (ret)
		return ret;
	ret = fuse_dax_cache_write_begin(iocb, from);
	if (ret)
		return ret;

	/*
	 * Data and size change together on the server, and so do data and the
	 * mode bits that a write by an unprivileged task clears.
	 */
	if (fuse_dax_write_extends(iocb, from) ||
	    setattr_should_drop_suidgid(idmap, inode))
		return fuse_dax_write_through(iocb, from);

	return fuse_dax_transfer(iocb, from);
}

/**
 * fuse_dax_write_iter - write a DAX file
 * @iocb: where
 * @from: data
 *
 * Context: Takes i_rwsem exclusive.
 * Return: bytes written or -errno.
 */
ssize_t fuse_dax_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	if (iocb->ki_flags & IOCB_NOWAIT) {
		if (!inode_trylock(inode))
			return -EAGAIN;
	} else {
		inode_lock(inode);
	}
	fuse_dax_writer(inode, current);
	ret = fuse_dax_write_locked(iocb, from);
	fuse_dax_writer(inode, NULL);
	inode_unlock(inode);

	if (ret > 0)
		ret = generic_write_sync(iocb, ret);
	return ret;
}
