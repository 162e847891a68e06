// SPDX-License-Identifier: GPL-2.0
/*
 * The times of files that are modified through memory, which the server does not
 * notice: set here, kept until they are sent, and sent with the inode.
 */
#include "dax_i.h"

#include <linux/time64.h>

/* Whether all has been said since the clock last ticked */
static bool fuse_dax_touched(struct inode *inode)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);
	struct timespec64 now = current_time(inode);

	return test_bit(FUSE_I_DAX_TIMES, &fi->state) &&
	       (READ_ONCE(fi->inval_mask) & STATX_BLOCKS) &&
	       timespec64_equal(&mtime, &now) &&
	       timespec64_equal(&ctime, &now);
}

/**
 * fuse_dax_touch - the file was or is about to be modified through memory
 * @inode: the file
 *
 * Context: Takes &fuse_inode.lock.
 */
void fuse_dax_touch(struct inode *inode)
{
	struct fuse_inode *fi = get_fuse_inode(inode);

	if (fuse_dax_touched(inode))
		return;
	spin_lock(&fi->lock);
	inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
	set_bit(FUSE_I_DAX_TIMES, &fi->state);
	spin_unlock(&fi->lock);
	mark_inode_dirty_sync(inode);
	/* A store may have filled a hole */
	fuse_invalidate_attr_mask(inode, STATX_BLOCKS);
}

/**
 * fuse_dax_keep_times - do not let the server set back times set here
 * @inode: the file
 * @attr: the server's attributes; times that are older than ours are replaced
 *
 * Context: &fuse_inode.lock held.
 */
void fuse_dax_keep_times(struct inode *inode, struct fuse_attr *attr)
{
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);
	struct timespec64 theirs;

	lockdep_assert_held(&get_fuse_inode(inode)->lock);
	if (!test_bit(FUSE_I_DAX_TIMES, &get_fuse_inode(inode)->state))
		return;

	theirs = (struct timespec64){ attr->mtime, attr->mtimensec };
	if (timespec64_compare(&theirs, &mtime) < 0) {
		attr->mtime = mtime.tv_sec;
		attr->mtimensec = mtime.tv_nsec;
	}
	theirs = (struct timespec64){ attr->ctime, attr->ctimensec };
	if (timespec64_compare(&theirs, &ctime) < 0) {
		attr->ctime = ctime.tv_sec;
		attr->ctimensec = ctime.tv_nsec;
	}
}

/**
 * fuse_dax_times_sent - the server has got a modification time
 * @inode: the file
 * @mtime: the time sent: ours are in force no longer, unless set again since
 *
 * Context: Takes &fuse_inode.lock.
 */
void fuse_dax_times_sent(struct inode *inode, struct timespec64 mtime)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct timespec64 now;

	spin_lock(&fi->lock);
	now = inode_get_mtime(inode);
	if (timespec64_equal(&now, &mtime))
		clear_bit(FUSE_I_DAX_TIMES, &fi->state);
	spin_unlock(&fi->lock);
}

/**
 * fuse_dax_times_pending - whether times were set here that the server has not got
 * @inode: the file
 *
 * Return: true also while they are being sent.
 */
bool fuse_dax_times_pending(struct inode *inode)
{
	return test_bit(FUSE_I_DAX_TIMES, &get_fuse_inode(inode)->state);
}

/**
 * fuse_dax_request_modified - a request of ours has modified the file
 * @inode: the file
 * @pending: fuse_dax_times_pending() before the request
 *
 * Times set here must not hide that the server's went on, nor set them back.
 *
 * Context: Takes &fuse_inode.lock.
 */
void fuse_dax_request_modified(struct inode *inode, bool pending)
{
	if (pending || fuse_dax_times_pending(inode))
		fuse_dax_touch(inode);
}
