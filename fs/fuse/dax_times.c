// SPDX-License-Identifier: GPL-2.0
/*
 * The times of files that are modified through memory, which the server does not
 * notice.
 *
 * It is the server's clock that decides: what was modified is told with "now",
 * and the answer has the times. An inode of which the server does not know yet
 * that it was modified is dirty, I_DIRTY_SYNC, so that the VFS tells it. Who asks
 * for the times has it told first.
 */
#include "dax_i.h"

#include <linux/dax.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>

/**
 * fuse_dax_touch - the file has been modified through memory
 * @inode: the file
 *
 * After the modification, or after the page tables allow it: what comes before
 * the server's "now" has been told, all else makes the inode dirty again.
 *
 * Context: Does not sleep.
 */
void fuse_dax_touch(struct inode *inode)
{
	mark_inode_dirty_sync(inode);
	/* A store may have filled a hole */
	if (!(READ_ONCE(get_fuse_inode(inode)->inval_mask) & STATX_BLOCKS))
		fuse_invalidate_attr_mask(inode, STATX_BLOCKS);
}

/*
 * Has the next store to each page that was stored to make a fault again. What is
 * mapped is in the host's page cache: there is nothing to be written.
 */
static int fuse_dax_times_protect(struct inode *inode)
{
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_ALL,
		.range_end = LLONG_MAX,
	};

	return dax_writeback_mapping_range(inode->i_mapping,
					   get_fuse_conn(inode)->dax->dev,
					   &wbc);
}

/* Whether the times are those of an answer */
static bool fuse_dax_times_known(struct inode *inode,
				 const struct fuse_attr *attr)
{
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	return mtime.tv_sec == attr->mtime && mtime.tv_nsec == attr->mtimensec &&
	       ctime.tv_sec == attr->ctime && ctime.tv_nsec == attr->ctimensec;
}

/*
 * Applies the answer. It does not tell whether others have modified the file too:
 * cached pages are dropped, but not until somebody asks for attributes, as without DAX
 * after a write of our own. Else what is stored to would not be cached for longer than
 * it takes to be written back.
 */
static void fuse_dax_times_learn(struct inode *inode, struct fuse_attr_out *out,
				 u64 version)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_dax_inode *di = READ_ONCE(fi->dax);
	u64 valid = ATTR_TIMEOUT(out);

	out->attr.mtimensec = min_t(u32, out->attr.mtimensec, NSEC_PER_SEC - 1);
	if (di) {
		WRITE_ONCE(di->teller, current);
		/* Who reads cached pages does not ask later because of this */
		if (READ_ONCE(di->cached))
			valid = min(valid, READ_ONCE(fi->i_time));
	}
	fuse_change_attributes(inode, &out->attr, NULL, valid, version);
	if (di)
		WRITE_ONCE(di->teller, NULL);
	/* An answer to somebody else, of before the store, may have come first */
	if (!fuse_dax_times_known(inode, &out->attr))
		fuse_invalidate_attr_mask(inode, FUSE_STATX_MODIFY);
}

/**
 * fuse_dax_times_send - tell the server that a file was modified
 * @inode: the file; not dirty any more
 * @ff: open for writing, or NULL
 *
 * Who is not seen by page faults from here on makes it dirty again.
 *
 * Context: Of fuse_write_inode(), so that others wait who ask for the times.
 * Return: 0 or -errno.
 */
int fuse_dax_times_send(struct inode *inode, struct fuse_file *ff)
{
	struct fuse_mount *fm = get_fuse_mount(inode);
	u64 version = fuse_get_attr_version(fm->fc);
	struct fuse_setattr_in in = {
		.valid = FATTR_MTIME | FATTR_MTIME_NOW,
	};
	struct fuse_attr_out out = {};
	struct fuse_args args = {};
	int err;

	err = fuse_dax_times_protect(inode);
	if (err)
		return err;
	if (ff) {
		in.valid |= FATTR_FH;
		in.fh = ff->fh;
	}
	args.opcode = FUSE_SETATTR;
	args.nodeid = get_node_id(inode);
	args.in_numargs = 1;
	args.in_args[0].size = sizeof(in);
	args.in_args[0].value = &in;
	args.out_numargs = 1;
	args.out_args[0].size = sizeof(out);
	args.out_args[0].value = &out;
	err = fuse_simple_request(fm, &args);
	if (err)
		return err;
	if (fuse_invalid_attr(&out.attr) ||
	    inode_wrong_type(inode, out.attr.mode)) {
		fuse_make_bad(inode);
		return -EIO;
	}
	fuse_dax_times_learn(inode, &out, version);
	return 0;
}

/**
 * fuse_dax_times_flush - have the server told what it does not know yet
 * @inode: a DAX file, whose times matter now
 *
 * An error is left to those who ask for it, by fsync() or close(). Who goes by cached
 * pages then has the server asked too: see fuse_dax_times_learn().
 *
 * Context: Waits for the server, if the file was modified or it is being told.
 */
void fuse_dax_times_flush(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	int err = 0;

	if (inode_state_read_once(inode) & (I_DIRTY_SYNC | I_SYNC))
		err = sync_inode_metadata(inode, 1);
	if (err)
		mapping_set_error(inode->i_mapping, err);
	if (di && READ_ONCE(di->cached) && READ_ONCE(di->doubtful))
		fuse_invalidate_attr_mask(inode, FUSE_STATX_MODIFY);
}
