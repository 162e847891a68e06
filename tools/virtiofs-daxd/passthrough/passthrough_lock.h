/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files about locks share. Calls go one way: lock -> wait -> owner ->
 * range. All under pt->locks.mutex, unless said otherwise.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_LOCK_H
#define VIRTIOFS_DAXD_PASSTHROUGH_LOCK_H

#include "passthrough/passthrough_i.h"
#include "passthrough/passthrough_range.h"

/**
 * struct lock_owner - who has, or asks for, POSIX locks on a node
 * @next: another owner on the node
 * @owner: the guest's number: a process, on each node the same
 * @fh: handle through which it was last used
 * @pid: process of the guest which last used it
 * @fd: its open file description, of which the host's locks are
 * @writable: @fd can hold exclusive locks
 * @waiters: waiting requests that use it
 * @ranges: what it has locked
 */
struct lock_owner {
	struct lock_owner *next;
	uint64_t owner;
	uint64_t fh;
	pid_t pid;
	int fd;
	bool writable;
	unsigned int waiters;
	struct ranges ranges;
};

/**
 * struct lock_waiter - a request for a lock that must wait, or may have to
 * @next: the one that came after it
 * @req: the request
 * @handle: a reference
 * @owner: for a POSIX lock, else NULL
 * @flock: what is wanted by a POSIX lock
 * @op: what is wanted by a BSD lock
 * @staged: not yet to be tried: its arrival is still being set up
 * @cancelled: shall wait no more
 * @suspect: its owner was granted a lock, and has not been looked at since
 * @search: the last one that found it
 * @todo: still to be looked at by that
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
	bool suspect;
	uint64_t search;
	struct lock_waiter *todo;
	int error;
};

/* passthrough_owner.c */

/**
 * owner_find - an owner on a node; NULL if there is none
 */
struct lock_owner *owner_find(struct node *node, uint64_t id);

/**
 * owner_get - an owner that can hold a lock
 * @write: an exclusive one
 * @left: set to a descriptor to be closed without the mutex, or to -1
 *
 * Context: drops the mutex while it opens the file. The caller keeps @node.
 * Return: NULL with errno set; EBADF if the file cannot be opened for writing.
 */
struct lock_owner *owner_get(struct pt *pt, struct node *node, uint64_t id,
			     bool write, int *left);

/**
 * owner_try - lock or unlock, without waiting
 *
 * Return: 0 or a positive errno; EAGAIN or EACCES if a lock is in the way.
 */
int owner_try(struct lock_table *locks, struct lock_owner *owner,
	      const struct flock *flock);

/**
 * owner_drop - drop the locks of *@p; keep it only for who waits
 * @gone: list to which it is moved if not
 *
 * Return: whether it went.
 */
bool owner_drop(struct lock_table *locks, struct lock_owner **p,
		struct lock_owner **gone);

/**
 * owners_free - close what owner_drop() has moved to a list
 *
 * Context: without the mutex, as close() may take its time.
 */
void owners_free(struct lock_owner *gone);

/**
 * owners_holder - the process whose lock is in the way of another owner
 * @asker: that owner, or NULL
 *
 * Return: 0 if it is one of the host.
 */
pid_t owners_holder(struct node *node, const struct lock_owner *asker,
		    const struct flock *flock);

/* passthrough_wait.c */

/**
 * wait_try - try a lock once
 * @proto: the request, which need not outlive the call
 * @wait: set to what wait_begin() is to be called with, if it must wait; NULL:
 *	it must not
 *
 * Return: 0, the error to answer, or EINPROGRESS with *@wait set.
 */
int wait_try(struct lock_table *locks, const struct lock_waiter *proto,
	     struct lock_waiter **wait);

/**
 * wait_begin - let a request wait
 * @w: from wait_try(); the caller has a reference on its handle
 *
 * Context: without the mutex.
 * Return: EINPROGRESS, or the error to answer.
 */
int wait_begin(struct pt *pt, struct lock_waiter *w);

/**
 * wait_kick - something was unlocked: try again at once
 */
void wait_kick(struct lock_table *locks);

/**
 * wait_cancel - let none wait any more
 * @handle: by whom; NULL: anybody
 */
void wait_cancel(struct lock_table *locks, const struct handle *handle);

/**
 * wait_cancel_all - the same for all, and wait until they are answered
 */
void wait_cancel_all(struct lock_table *locks);

#endif
