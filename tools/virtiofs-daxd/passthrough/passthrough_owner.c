// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Owners of POSIX locks: processes of the guest.
 *
 * Each pair of node and owner has an open file description of its own, on which
 * open file description locks are taken: closing it drops exactly those. It is
 * open for reading only, until an exclusive lock needs more: who has a file
 * open for writing keeps the host from executing it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "passthrough/passthrough_lock.h"

/* Ranges that a guest may lock; each takes memory here and in the kernel. */
#define MAX_RANGES 16384

struct lock_owner *owner_find(struct node *node, uint64_t id)
{
	struct lock_owner *owner = node->owners;

	while (owner && owner->owner != id)
		owner = owner->next;
	return owner;
}

/* Return: a descriptor, or a negative errno. */
static int owner_open(struct pt *pt, struct node *node, bool write)
{
	int fd;

	if (write && pt->opts.readonly)
		return -EBADF;
	fd = node_reopen(pt, node, write ? O_RDWR : O_RDONLY);
	/* As fcntl() says it of a file that is not open for writing. */
	if (write && (fd == -EACCES || fd == -EROFS || fd == -ETXTBSY ||
		      fd == -EPERM))
		return -EBADF;
	if (fd >= 0 && fd_spared(fd)) {
		close(fd);
		return -EMFILE;
	}
	return fd;
}

static struct lock_owner *owner_new(struct node *node, uint64_t id)
{
	struct lock_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	owner->owner = id;
	owner->fd = -1;
	owner->next = node->owners;
	node->owners = owner;
	return owner;
}

static bool owner_can(const struct lock_owner *owner, bool write)
{
	return owner->fd >= 0 && (owner->writable || !write);
}

/*
 * Give an owner a better descriptor, and the locks it has: only shared ones, so
 * that both descriptors have them for a moment.
 *
 * Return: 0 with its former descriptor in *@fd, or a negative errno.
 */
static int owner_change(struct lock_owner *owner, bool write, int *fd)
{
	int old = owner->fd;

	for (struct range *r = owner->ranges.first; r; r = r->next) {
		struct flock flock = range_flock(r);

		if (fcntl(*fd, F_OFD_SETLK, &flock))
			return -ENOLCK;
	}
	owner->fd = *fd;
	owner->writable = write;
	*fd = old;
	return 0;
}

struct lock_owner *owner_get(struct pt *pt, struct node *node, uint64_t id,
			     bool write, int *left)
{
	struct lock_owner *owner = owner_find(node, id);
	int ret = 0;

	*left = -1;
	if (owner && owner_can(owner, write))
		return owner;
	pthread_mutex_unlock(&pt->locks.mutex);
	*left = owner_open(pt, node, write);
	pthread_mutex_lock(&pt->locks.mutex);
	if (*left < 0) {
		errno = -*left;
		return NULL;
	}
	owner = owner_find(node, id);
	if (!owner)
		owner = owner_new(node, id);
	if (!owner)
		ret = -ENOMEM;
	else if (!owner_can(owner, write))
		ret = owner_change(owner, write, left);
	errno = -ret;
	return ret ? NULL : owner;
}

/* Whether there is room for what a request adds to the ranges. */
static bool owner_has_room(const struct lock_table *locks,
			   const struct lock_owner *owner,
			   const struct range *range, bool unlock)
{
	if (locks->nr_ranges < MAX_RANGES)
		return true;
	return unlock && !ranges_splits(&owner->ranges, range);
}

int owner_try(struct lock_table *locks, struct lock_owner *owner,
	      const struct flock *flock)
{
	bool unlock = flock->l_type == F_UNLCK;
	struct flock copy = *flock;
	struct range range;

	if (!range_of(flock, &range))
		return EINVAL;
	if (!owner_has_room(locks, owner, &range, unlock) ||
	    ranges_prepare(&owner->ranges))
		return ENOLCK;
	if (fcntl(owner->fd, F_OFD_SETLK, &copy))
		return errno;
	locks->nr_ranges -= owner->ranges.nr;
	if (unlock)
		ranges_unlock(&owner->ranges, &range);
	else
		ranges_lock(&owner->ranges, &range);
	locks->nr_ranges += owner->ranges.nr;
	return 0;
}

bool owner_drop(struct lock_table *locks, struct lock_owner **p,
		struct lock_owner **gone)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	struct lock_owner *owner = *p;

	fcntl(owner->fd, F_OFD_SETLK, &all);
	locks->nr_ranges -= owner->ranges.nr;
	ranges_free(&owner->ranges);
	if (owner->waiters)
		return false;
	*p = owner->next;
	owner->next = *gone;
	*gone = owner;
	return true;
}

void owners_free(struct lock_owner *gone)
{
	while (gone) {
		struct lock_owner *next = gone->next;

		close(gone->fd);
		free(gone);
		gone = next;
	}
}

pid_t owners_holder(struct node *node, const struct lock_owner *asker,
		    const struct flock *flock)
{
	unsigned int steps = UINT32_MAX;
	struct range range;

	if (!range_of(flock, &range))
		return 0;
	/* It is what was found in the way, so all that overlaps it is that. */
	range.write = true;
	for (struct lock_owner *o = node->owners; o; o = o->next)
		if (o != asker && ranges_conflict(&o->ranges, &range, &steps))
			return o->pid;
	return 0;
}
