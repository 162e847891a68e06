// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File locks of the guest, kept as locks of the host.
 *
 * POSIX locks belong to an owner (a process of the guest) and a file, and go
 * when the owner closes any descriptor of the file; see passthrough_owner.c.
 * BSD locks belong to the open file of the guest, which already is one open
 * file description here. Who must wait does so in passthrough_wait.c.
 *
 * A guest that may change nothing has no exclusive locks: EBADF, which is what
 * fcntl() says of a file that is not open for writing, and flock() over NFS.
 */
#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "passthrough/passthrough_lock.h"

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = NULL;
	struct lock_owner *owner;
	int error = 0;

	(void)ino;
	if (!pt->opts.local_posix_locks)
		handle = handle_get(pt, fi->fh, S_IFREG);
	if (!handle) {
		fuse_reply_err(req, pt->opts.local_posix_locks ? ENOSYS : EBADF);
		return;
	}
	pthread_mutex_lock(&pt->locks.mutex);
	owner = owner_find(handle->node, fi->lock_owner);
	lock->l_pid = 0;
	/* Nobody has locks of that kind by the handle itself. */
	if (fcntl(owner ? owner->fd : handle->fd, F_OFD_GETLK, lock))
		error = errno;
	else if (lock->l_type != F_UNLCK)
		lock->l_pid = owners_holder(handle->node, owner, lock);
	pthread_mutex_unlock(&pt->locks.mutex);
	handle_put(pt, handle);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_lock(req, lock);
}

/* The owner of a request; without one, there is nothing to unlock. */
static int posix_owner(struct pt *pt, struct lock_waiter *proto, uint64_t id,
		       int *left)
{
	struct node *node = proto->handle->node;

	*left = -1;
	if (proto->flock.l_type == F_UNLCK)
		proto->owner = owner_find(node, id);
	else
		proto->owner = owner_get(pt, node, id,
					 proto->flock.l_type == F_WRLCK, left);
	if (!proto->owner)
		return proto->flock.l_type == F_UNLCK ? 0 : errno;
	proto->owner->fh = proto->handle->obj.id;
	proto->owner->pid = fuse_req_ctx(proto->req)->pid;
	return 0;
}

/* Return: 0, EINPROGRESS if it will be answered later, or the error. */
static int posix_lock(struct pt *pt, struct lock_waiter *proto, uint64_t id,
		      bool sleep)
{
	struct lock_waiter *w = NULL;
	int error, left;

	/* Without the mutex the owner may go, so find and try in one piece. */
	pthread_mutex_lock(&pt->locks.mutex);
	error = posix_owner(pt, proto, id, &left);
	if (proto->owner)
		error = wait_try(&pt->locks, proto, sleep ? &w : NULL);
	pthread_mutex_unlock(&pt->locks.mutex);
	if (left >= 0)
		close(left);
	return w ? wait_begin(pt, w) : error;
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock, int sleep)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int error = EBADF;

	(void)ino;
	if (pt->opts.local_posix_locks) {
		error = ENOSYS;
	} else if (handle) {
		struct lock_waiter proto = {
			.req = req,
			.handle = handle,
			.flock = *lock,
		};

		proto.flock.l_pid = 0;
		error = posix_lock(pt, &proto, fi->lock_owner, sleep);
	}
	handle_put(pt, handle);
	if (error != EINPROGRESS)
		fuse_reply_err(req, error);
}

static int bsd_lock(struct pt *pt, struct lock_waiter *proto, bool sleep)
{
	struct lock_waiter *w = NULL;
	int error;

	if (pt->opts.readonly && proto->op == LOCK_EX)
		return EBADF;
	pthread_mutex_lock(&pt->locks.mutex);
	error = wait_try(&pt->locks, proto, sleep ? &w : NULL);
	pthread_mutex_unlock(&pt->locks.mutex);
	return w ? wait_begin(pt, w) : error;
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int error = EBADF;

	(void)ino;
	if (!handle)
		handle = handle_get(pt, fi->fh, S_IFDIR);
	if (pt->opts.local_flock) {
		error = ENOSYS;
	} else if (handle) {
		struct lock_waiter proto = {
			.req = req,
			.handle = handle,
			.op = op & ~LOCK_NB,
		};

		error = bsd_lock(pt, &proto, !(op & LOCK_NB));
	}
	handle_put(pt, handle);
	if (error != EINPROGRESS)
		fuse_reply_err(req, error);
}

void locks_flush(struct pt *pt, struct node *node, uint64_t owner)
{
	struct lock_owner **p = &node->owners, *gone = NULL;

	pthread_mutex_lock(&pt->locks.mutex);
	while (*p && (*p)->owner != owner)
		p = &(*p)->next;
	if (*p) {
		owner_drop(&pt->locks, p, &gone);
		wait_kick(&pt->locks);
	}
	pthread_mutex_unlock(&pt->locks.mutex);
	owners_free(gone);
}

void locks_release(struct pt *pt, struct handle *handle)
{
	struct lock_owner **p = &handle->node->owners, *gone = NULL;

	pthread_mutex_lock(&pt->locks.mutex);
	wait_cancel(&pt->locks, handle);
	while (*p)
		if ((*p)->fh != handle->obj.id ||
		    !owner_drop(&pt->locks, p, &gone))
			p = &(*p)->next;
	wait_kick(&pt->locks);
	pthread_mutex_unlock(&pt->locks.mutex);
	owners_free(gone);
}

static void locks_drop(struct pt *pt, struct node *node)
{
	struct lock_owner **p = &node->owners, *gone = NULL;

	pthread_mutex_lock(&pt->locks.mutex);
	while (*p)
		if (!owner_drop(&pt->locks, p, &gone))
			p = &(*p)->next;
	pthread_mutex_unlock(&pt->locks.mutex);
	owners_free(gone);
}

void locks_node_gone(struct pt *pt, struct node *node)
{
	if (node->owners)
		locks_drop(pt, node);
}

/* A node that has locks, with a reference; the search goes on at @pos. */
static struct node *locks_next(struct pt *pt, uint32_t *pos)
{
	struct object *obj;

	pthread_mutex_lock(&pt->locks.mutex);
	pthread_mutex_lock(&pt->lock);
	while ((obj = table_next(&pt->nodes, pos)))
		if (((struct node *)obj)->owners) {
			obj->refs++;
			break;
		}
	pthread_mutex_unlock(&pt->lock);
	pthread_mutex_unlock(&pt->locks.mutex);
	return (struct node *)obj;
}

void locks_reset(struct pt *pt)
{
	struct node *node;
	uint32_t pos = 0;

	pthread_mutex_lock(&pt->locks.mutex);
	wait_cancel_all(&pt->locks);
	pthread_mutex_unlock(&pt->locks.mutex);
	while ((node = locks_next(pt, &pos))) {
		locks_drop(pt, node);
		node_put(pt, node);
	}
}
