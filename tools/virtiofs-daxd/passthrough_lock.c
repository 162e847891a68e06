// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File locks of the guest, kept as locks of the host.
 *
 * POSIX locks belong to an owner (a process of the guest) and a file, and go
 * when the owner closes any descriptor of the file. So each pair of node and
 * owner has an open file description of its own, on which open file description
 * locks are taken: closing it drops exactly those. BSD locks belong to the open
 * file of the guest, which already is one open file description here.
 *
 * Blocking locks: a request that must wait is put on a list, and one thread
 * tries again, in the order of arrival: at once when a lock of the guest goes,
 * else after a pause that grows to PAUSE_MAX_MS. So nobody sits in a system
 * call that may never return, cancelling is taking a request off the list, and
 * no thread of the pool is lost. The price is that a lock which a *host* process
 * drops is noticed up to PAUSE_MAX_MS late.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "passthrough_i.h"

#define PAUSE_MIN_MS 1
#define PAUSE_MAX_MS 50

/*
 * An owner of POSIX locks on a node; fields under locks.mutex.
 * @fd: its open file description
 * @fh: handle through which it was last used
 * @pid: process of the guest which last used it
 * @waiters: waiting requests that use @fd
 */
struct lock_owner {
	struct lock_owner *next;
	uint64_t owner;
	uint64_t fh;
	pid_t pid;
	int fd;
	unsigned int waiters;
};

/*
 * A request that waits; fields under locks.mutex.
 * @handle: a reference
 * @owner: for a POSIX lock, else NULL
 * @flock: what is wanted by a POSIX lock
 * @op: what is wanted by a BSD lock
 * @staged: not yet to be tried: its arrival is still being set up
 * @error: how it ended
 */
struct lock_waiter {
	struct lock_waiter *next;
	fuse_req_t req;
	struct handle *handle;
	struct lock_owner *owner;
	struct flock flock;
	int op;
	bool staged;
	bool cancelled;
	int error;
};

void locks_init(struct pt *pt)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&pt->locks.mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pt->locks.wake, &attr);
	pthread_cond_init(&pt->locks.idle, &attr);
	pthread_condattr_destroy(&attr);
}

/* Caller holds locks.mutex. */
static struct lock_owner *owner_find(struct node *node, uint64_t id)
{
	struct lock_owner *owner = node->owners;

	while (owner && owner->owner != id)
		owner = owner->next;
	return owner;
}

/* Caller holds locks.mutex. Return: NULL with errno set. */
static struct lock_owner *owner_get(struct pt *pt, struct handle *handle,
				    uint64_t id, pid_t pid)
{
	struct node *node = handle->node;
	struct lock_owner *owner = owner_find(node, id);
	int fd;

	if (!owner) {
		owner = calloc(1, sizeof(*owner));
		if (!owner)
			return NULL;
		/* Write locks need a writable file, which may not be had. */
		fd = node_reopen(pt, node,
				 pt->opts.readonly ? O_RDONLY : O_RDWR);
		if (fd == -EACCES || fd == -EROFS || fd == -ETXTBSY ||
		    fd == -EPERM)
			fd = node_reopen(pt, node, O_RDONLY);
		if (fd >= 0 && fd_spared(fd)) {
			close(fd);
			fd = -EMFILE;
		}
		if (fd < 0) {
			free(owner);
			errno = -fd;
			return NULL;
		}
		owner->owner = id;
		owner->fd = fd;
		owner->next = node->owners;
		node->owners = owner;
	}
	owner->fh = handle->obj.id;
	owner->pid = pid;
	return owner;
}

/* Caller holds locks.mutex. */
static void owner_unlock(struct lock_owner *owner)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(owner->fd, F_OFD_SETLK, &all);
}

/*
 * Drop the locks of *@p; keep it only for who waits. Holds locks.mutex.
 * Return: whether it went.
 */
static bool owner_drop(struct lock_owner **p)
{
	struct lock_owner *owner = *p;

	if (owner->waiters) {
		owner_unlock(owner);
		return false;
	}
	*p = owner->next;
	close(owner->fd);
	free(owner);
	return true;
}

/* Caller holds locks.mutex. */
static int waiter_try(const struct lock_waiter *w)
{
	int ret;

	if (w->owner)
		ret = fcntl(w->owner->fd, F_OFD_SETLK, &w->flock);
	else
		ret = flock(w->handle->fd, w->op | LOCK_NB);
	return ret ? errno : 0;
}

static bool must_wait(int error)
{
	return error == EAGAIN || error == EACCES;
}

/* Take off the list who is done, in order. Caller holds locks.mutex. */
static struct lock_waiter *waiters_collect(struct lock_table *locks)
{
	struct lock_waiter *done = NULL, **tail = &done;
	struct lock_waiter **p = &locks->waiters;

	while (*p) {
		struct lock_waiter *w = *p;

		if (!w->staged)
			w->error = w->cancelled ? EINTR : waiter_try(w);
		if (w->staged || (!w->cancelled && must_wait(w->error))) {
			p = &w->next;
			continue;
		}
		if (w->owner)
			w->owner->waiters--;
		*p = w->next;
		w->next = NULL;
		*tail = w;
		tail = &w->next;
	}
	return done;
}

static void waiters_answer(struct pt *pt, struct lock_waiter *w)
{
	while (w) {
		struct lock_waiter *next = w->next;

		fuse_reply_err(w->req, w->error);
		handle_put(pt, w->handle);
		free(w);
		w = next;
	}
}

/* Caller holds locks.mutex. */
static void lock_pause(struct lock_table *locks, unsigned int ms)
{
	struct timespec until;

	if (!locks->waiters) {
		pthread_cond_wait(&locks->wake, &locks->mutex);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&locks->wake, &locks->mutex, &until);
}

static void *lock_thread(void *arg)
{
	struct pt *pt = arg;
	struct lock_table *locks = &pt->locks;
	unsigned int ms = PAUSE_MIN_MS;

	pthread_mutex_lock(&locks->mutex);
	while (!locks->stop) {
		struct lock_waiter *done = waiters_collect(locks);

		if (!done) {
			lock_pause(locks, ms);
			ms = ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms * 2;
			continue;
		}
		ms = PAUSE_MIN_MS;
		locks->busy = true;
		pthread_mutex_unlock(&locks->mutex);
		waiters_answer(pt, done);
		pthread_mutex_lock(&locks->mutex);
		locks->busy = false;
		pthread_cond_broadcast(&locks->idle);
	}
	pthread_mutex_unlock(&locks->mutex);
	return NULL;
}

/* Caller holds locks.mutex. */
static int lock_thread_start(struct pt *pt)
{
	int ret;

	if (pt->locks.started)
		return 0;
	ret = pthread_create(&pt->locks.thread, NULL, lock_thread, pt);
	pt->locks.started = !ret;
	return ret;
}

/* libfuse calls this with the request locked, so it is still there. */
static void lock_interrupted(fuse_req_t req, void *data)
{
	struct lock_table *locks = data;

	pthread_mutex_lock(&locks->mutex);
	for (struct lock_waiter *w = locks->waiters; w; w = w->next)
		if (w->req == req)
			w->cancelled = true;
	pthread_cond_signal(&locks->wake);
	pthread_mutex_unlock(&locks->mutex);
}

/*
 * Let a request wait. It is on the list, but staged, when libfuse learns how to
 * interrupt it: an interrupt that comes in between finds it, and the thread
 * does not answer, and so free, a request that is still in use here.
 *
 * Takes @w with its reference on the handle. Return: 0, else @w was freed.
 */
static int waiter_queue(struct pt *pt, struct lock_waiter *w)
{
	struct lock_table *locks = &pt->locks;
	struct lock_waiter **p;
	int ret;

	pthread_mutex_lock(&locks->mutex);
	ret = lock_thread_start(pt);
	if (ret) {
		if (w->owner)
			w->owner->waiters--;
		pthread_mutex_unlock(&locks->mutex);
		handle_put(pt, w->handle);
		free(w);
		return ret;
	}
	w->staged = true;
	for (p = &locks->waiters; *p; p = &(*p)->next)
		;
	*p = w;
	pthread_mutex_unlock(&locks->mutex);

	fuse_req_interrupt_func(w->req, lock_interrupted, locks);

	pthread_mutex_lock(&locks->mutex);
	w->staged = false;
	pthread_cond_signal(&locks->wake);
	pthread_cond_broadcast(&locks->idle);
	pthread_mutex_unlock(&locks->mutex);
	return 0;
}

/* Something was unlocked or cancelled: try again at once. Holds locks.mutex. */
static void locks_kick(struct lock_table *locks)
{
	if (locks->waiters)
		pthread_cond_signal(&locks->wake);
}

/* Try a lock; if it must wait, the copy that will. Caller holds locks.mutex. */
static int lock_try(struct lock_table *locks, const struct lock_waiter *proto,
		    struct lock_waiter **wait)
{
	int error = waiter_try(proto);

	if (!error)
		locks_kick(locks);
	if (!wait || !must_wait(error))
		return error;
	*wait = malloc(sizeof(**wait));
	if (!*wait)
		return ENOMEM;
	**wait = *proto;
	if (proto->owner)
		proto->owner->waiters++;
	return EINPROGRESS;
}

/* Queue what lock_try() left. Return: EINPROGRESS, or the error to answer. */
static int lock_wait(struct pt *pt, struct lock_waiter *w)
{
	int error;

	handle_ref(pt, w->handle);
	error = waiter_queue(pt, w);
	return error ? error : EINPROGRESS;
}

/* Which process of the guest holds a lock that is in the way; 0: none does. */
static pid_t lock_holder(struct node *node, const struct lock_owner *asker,
			 const struct flock *found)
{
	/*
	 * The locks of an open file description are not in its own way, so who
	 * sees no conflict where the asker did is the one that makes it.
	 */
	for (struct lock_owner *o = node->owners; o; o = o->next) {
		struct flock probe = *found;

		probe.l_pid = 0;
		probe.l_type = F_WRLCK;
		if (o != asker && !fcntl(o->fd, F_OFD_GETLK, &probe) &&
		    probe.l_type == F_UNLCK)
			return o->pid;
	}
	return 0;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	struct lock_owner *owner;
	int error = 0;

	(void)ino;
	if (!handle) {
		fuse_reply_err(req, EBADF);
		return;
	}
	pthread_mutex_lock(&pt->locks.mutex);
	owner = owner_get(pt, handle, fi->lock_owner, fuse_req_ctx(req)->pid);
	lock->l_pid = 0;
	if (!owner || fcntl(owner->fd, F_OFD_GETLK, lock))
		error = errno;
	else if (lock->l_type != F_UNLCK)
		lock->l_pid = lock_holder(handle->node, owner, lock);
	pthread_mutex_unlock(&pt->locks.mutex);
	handle_put(pt, handle);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_lock(req, lock);
}

/* Return: 0, EINPROGRESS if it will be answered later, or the error. */
static int posix_lock(struct pt *pt, struct lock_waiter *proto, uint64_t id,
		      bool sleep)
{
	pid_t pid = fuse_req_ctx(proto->req)->pid;
	struct lock_waiter *w = NULL;
	int error;

	/* Without the mutex the owner may go, so find and try in one piece. */
	pthread_mutex_lock(&pt->locks.mutex);
	proto->owner = owner_get(pt, proto->handle, id, pid);
	if (proto->owner)
		error = lock_try(&pt->locks, proto, sleep ? &w : NULL);
	else
		error = errno;
	pthread_mutex_unlock(&pt->locks.mutex);
	return w ? lock_wait(pt, w) : error;
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock, int sleep)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int error = EBADF;

	(void)ino;
	if (handle) {
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

	pthread_mutex_lock(&pt->locks.mutex);
	error = lock_try(&pt->locks, proto, sleep ? &w : NULL);
	pthread_mutex_unlock(&pt->locks.mutex);
	return w ? lock_wait(pt, w) : error;
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int error = EBADF;

	(void)ino;
	if (!handle)
		handle = handle_get(pt, fi->fh, S_IFDIR);
	if (handle) {
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
	struct lock_owner **p;

	pthread_mutex_lock(&pt->locks.mutex);
	for (p = &node->owners; *p; p = &(*p)->next) {
		if ((*p)->owner == owner) {
			owner_drop(p);
			break;
		}
	}
	locks_kick(&pt->locks);
	pthread_mutex_unlock(&pt->locks.mutex);
}

/* Caller holds locks.mutex; @handle NULL means all. */
static void waiters_cancel(struct lock_table *locks, struct handle *handle)
{
	for (struct lock_waiter *w = locks->waiters; w; w = w->next)
		if (!handle || w->handle == handle)
			w->cancelled = true;
	locks_kick(locks);
}

void locks_release(struct pt *pt, struct handle *handle)
{
	struct lock_owner **p = &handle->node->owners;

	pthread_mutex_lock(&pt->locks.mutex);
	waiters_cancel(&pt->locks, handle);
	while (*p)
		if ((*p)->fh != handle->obj.id || !owner_drop(p))
			p = &(*p)->next;
	locks_kick(&pt->locks);
	pthread_mutex_unlock(&pt->locks.mutex);
}

void locks_drop(struct node *node)
{
	struct lock_owner **p = &node->owners;

	while (*p)
		if (!owner_drop(p))
			p = &(*p)->next;
}

/*
 * A node that has locks, with a reference; the search goes on at @pos.
 * Caller holds locks.mutex.
 */
static struct node *locks_next(struct pt *pt, uint32_t *pos)
{
	struct object *obj;

	pthread_mutex_lock(&pt->lock);
	while ((obj = table_next(&pt->nodes, pos)))
		if (((struct node *)obj)->owners) {
			obj->refs++;
			break;
		}
	pthread_mutex_unlock(&pt->lock);
	return (struct node *)obj;
}

void locks_reset(struct pt *pt)
{
	struct lock_table *locks = &pt->locks;
	struct node *node;
	uint32_t pos = 0;

	pthread_mutex_lock(&locks->mutex);
	while (locks->waiters || locks->busy) {
		/* Again each time: requests may still be arriving. */
		waiters_cancel(locks, NULL);
		pthread_cond_wait(&locks->idle, &locks->mutex);
	}
	pthread_mutex_unlock(&locks->mutex);

	pthread_mutex_lock(&locks->mutex);
	while ((node = locks_next(pt, &pos))) {
		locks_drop(node);
		pthread_mutex_unlock(&locks->mutex);
		node_put(pt, node);
		pthread_mutex_lock(&locks->mutex);
	}
	pthread_mutex_unlock(&locks->mutex);
}

void locks_free(struct pt *pt)
{
	struct lock_table *locks = &pt->locks;

	if (locks->started) {
		pthread_mutex_lock(&locks->mutex);
		locks->stop = true;
		pthread_cond_signal(&locks->wake);
		pthread_mutex_unlock(&locks->mutex);
		pthread_join(locks->thread, NULL);
	}
	pthread_cond_destroy(&locks->wake);
	pthread_cond_destroy(&locks->idle);
	pthread_mutex_destroy(&locks->mutex);
}
