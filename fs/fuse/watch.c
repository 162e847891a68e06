// SPDX-License-Identifier: GPL-2.0
/*
 * What others have done to files, for those who watch them here.
 *
 * inotify and fanotify tell of what is done by way of this kernel. A server that
 * takes FUSE_NOTIFY_FSNOTIFY sends an event for what was done otherwise, to nodes
 * that are known here; the event of what was done by this kernel it does not send.
 * Events come after the corrections of what they tell of.
 */
#include "dev.h"
#include "fuse_i.h"
#include "fuse_dev_i.h"

#include <linux/dcache.h>
#include <linux/fsnotify.h>
#include <linux/moduleparam.h>
#include <linux/namei.h>
#include <linux/slab.h>

static bool notify_fsnotify = true;
module_param(notify_fsnotify, bool, 0444);
MODULE_PARM_DESC(notify_fsnotify,
		 "Have servers tell who watches files of what others do to them");

/* What can happen to a name in a directory, and to a file */
#define FUSE_WATCH_NAME	(FS_CREATE | FS_DELETE | FS_MOVED_FROM | FS_MOVED_TO)
#define FUSE_WATCH_SELF	(FS_MODIFY | FS_ATTRIB | FS_CLOSE_WRITE)

/**
 * fuse_watch_init_flags - what is offered to the server
 * @fc: the connection
 *
 * Return: FUSE_NOTIFY_FSNOTIFY, or 0.
 */
u64 fuse_watch_init_flags(const struct fuse_conn *fc)
{
	return fc->coherent && notify_fsnotify ? FUSE_NOTIFY_FSNOTIFY : 0;
}

/**
 * fuse_watch_answered - the server has answered INIT
 * @fc: the connection
 * @flags: what it takes of what was offered
 */
void fuse_watch_answered(struct fuse_conn *fc, u64 flags)
{
	fc->notify_fsnotify = fc->notify_ordered && notify_fsnotify &&
			      (flags & FUSE_NOTIFY_FSNOTIFY);
}

/*
 * The two halves of a rename have the same cookie of the server's. Here they get one
 * that no other rename has; and so does one half alone, of a rename to or from where
 * nothing is known here.
 */
static u32 fuse_watch_cookie(struct fuse_conn *fc,
			     const struct fuse_notify_event_out *event)
{
	u32 cookie;

	if (!(event->mask & (FS_MOVED_FROM | FS_MOVED_TO)))
		return 0;
	guard(spinlock)(&fc->lock);
	if (event->mask & FS_MOVED_TO && event->cookie &&
	    event->cookie == fc->watch_theirs) {
		fc->watch_theirs = 0;
		return fc->watch_ours;
	}
	cookie = fsnotify_get_cookie();
	if (event->mask & FS_MOVED_FROM) {
		fc->watch_theirs = event->cookie;
		fc->watch_ours = cookie;
	}
	return cookie;
}

/* Something happened to a name in a directory */
static void fuse_watch_name(struct fuse_conn *fc, struct inode *dir,
			    const struct fuse_notify_event_out *event,
			    const struct qstr *name)
{
	u32 mask = event->mask & (FUSE_WATCH_NAME | FS_ISDIR);
	struct dentry *parent = d_find_alias(dir);
	struct dentry *child = NULL;

	/*
	 * What has the name need not be known here, and who audits, for one, is not
	 * to take something else for it: so it is told of an entry without an inode,
	 * as of those whose inode is yet to come.
	 */
	if (parent)
		child = d_alloc(parent, name);
	fsnotify_name(mask, child,
		      child ? FSNOTIFY_EVENT_DENTRY : FSNOTIFY_EVENT_NONE, dir,
		      name, fuse_watch_cookie(fc, event));
	dput(child);
	dput(parent);
}

/*
 * Something happened to a file of which nothing is known here but its name. Who watches
 * the directory is told of a file, so it is looked up, once: the server knows then that
 * it is known. One that has gone has nobody to be told.
 */
static void fuse_watch_child(struct inode *dir, u32 mask,
			     const struct qstr *name)
{
	struct dentry *parent, *child;
	struct qstr last = *name;

	if (!fsnotify_inode_watches_children(dir))
		return;
	parent = d_find_alias(dir);
	if (!parent)
		return;
	child = lookup_noperm_unlocked(&last, parent);
	if (!IS_ERR(child)) {
		if (d_is_positive(child))
			fsnotify_dentry(child, mask & FUSE_WATCH_SELF);
		dput(child);
	}
	dput(parent);
}

/* Something happened to a file: also who watches its directory is told */
static void fuse_watch_self(struct inode *inode, u32 mask)
{
	struct dentry *dentry = d_find_alias(inode);

	mask &= FUSE_WATCH_SELF;
	if (!dentry) {
		fsnotify_inode(inode, mask);
		return;
	}
	fsnotify_dentry(dentry, mask);
	dput(dentry);
}

/* One thing that happened, and that makes sense */
static bool fuse_watch_valid(const struct inode *inode,
			     const struct fuse_notify_event_out *event,
			     const struct qstr *name)
{
	u32 what = event->mask & ~FS_ISDIR;

	if (!is_power_of_2(what) || what & ~(FUSE_WATCH_NAME | FUSE_WATCH_SELF))
		return false;
	if (what & FUSE_WATCH_SELF && !name->len)
		return true;
	return S_ISDIR(inode->i_mode) && name->len &&
	       !memchr(name->name, '/', name->len) &&
	       strlen(name->name) == name->len &&
	       !name_is_dot_dotdot(name->name, name->len);
}

static int fuse_watch_tell(struct fuse_conn *fc,
			   const struct fuse_notify_event_out *event,
			   const struct qstr *name)
{
	struct inode *inode = fuse_inode_hold(fc, event->nodeid);
	int err = -EINVAL;

	if (!inode)
		return -ENOENT;
	if (fuse_watch_valid(inode, event, name)) {
		if (!name->len)
			fuse_watch_self(inode, event->mask);
		else if (event->mask & FUSE_WATCH_SELF)
			fuse_watch_child(inode, event->mask, name);
		else
			fuse_watch_name(fc, inode, event, name);
		err = 0;
	}
	fuse_inode_release(inode);
	return err;
}

/**
 * fuse_notify_event - handle FUSE_NOTIFY_EVENT
 * @fc: the connection
 * @size: bytes of the message
 * @cs: the message
 *
 * Context: Sleeps.
 * Return: 0; -ENOENT if the node is not known; -EINVAL if this makes no sense.
 */
int fuse_notify_event(struct fuse_conn *fc, unsigned int size,
		      struct fuse_copy_state *cs)
{
	struct fuse_notify_event_out event;
	int err;

	if (!fc->notify_fsnotify || size < sizeof(event))
		return -EINVAL;
	err = fuse_copy_one(cs, &event, sizeof(event));
	if (err)
		return err;
	if (event.namelen > fc->name_max ||
	    size - sizeof(event) != (event.namelen ? event.namelen + 1 : 0))
		return -EINVAL;
	char *buf __free(kfree) = kzalloc(event.namelen + 1, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	if (event.namelen)
		err = fuse_copy_one(cs, buf, event.namelen);
	if (err)
		return err;
	return fuse_watch_tell(fc, &event, &QSTR_LEN(buf, event.namelen));
}
