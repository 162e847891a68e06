// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_fhandle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"

/**
 * struct mount - a mount with files that the guest knows
 * @id: constant
 * @fd: a descriptor of it that is no O_PATH one; constant
 * @opens: handles of it were seen to open; atomic
 * @refs: handles; under pt->lock
 * @next: under pt->lock
 */
struct mount {
	uint64_t id;
	int fd;
	bool opens;
	unsigned int refs;
	struct mount *next;
};

struct fhandle {
	struct mount *mount;
	struct file_handle head;	/* its bytes follow */
};

/* Room for any handle. */
union any_handle {
	struct file_handle head;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/* Caller holds pt->lock. */
static struct mount *mount_find(struct pt *pt, uint64_t id)
{
	struct mount *mount = pt->mounts;

	while (mount && mount->id != id)
		mount = mount->next;
	if (mount)
		mount->refs++;
	return mount;
}

static void mount_put(struct pt *pt, struct mount *mount)
{
	struct mount **link = &pt->mounts;

	pthread_mutex_lock(&pt->lock);
	if (--mount->refs) {
		pthread_mutex_unlock(&pt->lock);
		return;
	}
	while (*link != mount)
		link = &(*link)->next;
	*link = mount->next;
	pthread_mutex_unlock(&pt->lock);
	close(mount->fd);
	free(mount);
}

/* A file is opened for it, which is the mount's root: each is entered by that. */
static struct mount *mount_new(struct pt *pt, int path, mode_t type, uint64_t id)
{
	struct mount *mount;

	errno = EOPNOTSUPP;
	if (type != S_IFDIR && type != S_IFREG)
		return NULL;
	mount = calloc(1, sizeof(*mount));
	if (!mount)
		return NULL;
	mount->id = id;
	mount->refs = 1;
	mount->fd = openat(pt->proc_fd, proc_name(path).s, O_RDONLY | O_CLOEXEC);
	if (mount->fd >= 0 && !fd_spared(mount->fd))
		return mount;
	if (mount->fd >= 0) {
		close(mount->fd);
		errno = EMFILE;
	}
	free(mount);
	return NULL;
}

/* NULL with errno if there is none. */
static struct mount *mount_get(struct pt *pt, int path, mode_t type, uint64_t id)
{
	struct mount *fresh, *mount;

	pthread_mutex_lock(&pt->lock);
	mount = mount_find(pt, id);
	pthread_mutex_unlock(&pt->lock);
	if (mount)
		return mount;
	fresh = mount_new(pt, path, type, id);
	if (!fresh)
		return NULL;
	pthread_mutex_lock(&pt->lock);
	mount = mount_find(pt, id);
	if (!mount) {
		fresh->next = pt->mounts;
		pt->mounts = fresh;
	}
	pthread_mutex_unlock(&pt->lock);
	if (!mount)
		return fresh;
	close(fresh->fd);
	free(fresh);
	return mount;
}

static struct fhandle *fhandle_new(const struct file_handle *head)
{
	struct fhandle *fhandle = calloc(1, sizeof(*fhandle) +
					 head->handle_bytes);

	if (fhandle)
		memcpy(&fhandle->head, head, sizeof(*head) + head->handle_bytes);
	return fhandle;
}

/* Known from the first: not all that are given out can be opened. */
static int fhandle_check(const struct fhandle *fhandle)
{
	struct mount *mount = fhandle->mount;
	int fd;

	if (__atomic_load_n(&mount->opens, __ATOMIC_RELAXED))
		return 0;
	fd = fhandle_open(fhandle, O_PATH);
	if (fd < 0)
		return fd;
	close(fd);
	__atomic_store_n(&mount->opens, true, __ATOMIC_RELAXED);
	return 0;
}

/* One that can be opened, or NULL with errno. */
static struct fhandle *fhandle_get(struct pt *pt, int fd, mode_t type,
				   uint64_t mnt)
{
	union any_handle any = { .head.handle_bytes = MAX_HANDLE_SZ };
	struct fhandle *fhandle;
	int ignored, err;

	if (name_to_handle_at(fd, "", &any.head, &ignored, AT_EMPTY_PATH))
		return NULL;
	fhandle = fhandle_new(&any.head);
	if (!fhandle)
		return NULL;
	fhandle->mount = mount_get(pt, fd, type, mnt);
	if (!fhandle->mount) {
		free(fhandle);
		return NULL;
	}
	err = fhandle_check(fhandle);
	if (!err)
		return fhandle;
	fhandle_free(pt, fhandle);
	errno = -err;
	return NULL;
}

int fhandle_of(struct pt *pt, int fd, mode_t type, uint64_t mnt,
	       struct fhandle **fhandle)
{
	int err;

	*fhandle = NULL;
	if (pt->opts.file_handles == PT_HANDLES_NEVER ||
	    __atomic_load_n(&pt->no_fhandles, __ATOMIC_RELAXED))
		return 0;
	/* By which mount it is to be opened must be known. */
	*fhandle = mnt ? fhandle_get(pt, fd, type, mnt) : NULL;
	if (*fhandle)
		return 0;
	err = mnt ? errno : EOPNOTSUPP;
	/* What passes says nothing about the file. */
	if (err == ENOMEM || err == EMFILE || err == ENFILE)
		return -err;
	if (pt->opts.file_handles == PT_HANDLES_MANDATORY) {
		log_warn_once("a file is refused for want of a file handle that can be opened: %s (--inode-file-handles=mandatory; needs CAP_DAC_READ_SEARCH; told once)",
			     strerror(err));
		return -err;
	}
	/* The capability is not there, and will not be. */
	if (err == EPERM)
		__atomic_store_n(&pt->no_fhandles, true, __ATOMIC_RELAXED);
	log_warn_once("files for which there is no file handle take a descriptor each: %s (told once)",
		      strerror(err));
	return 0;
}

bool fhandle_same(const struct fhandle *a, const struct fhandle *b)
{
	return a->head.handle_type == b->head.handle_type &&
	       a->head.handle_bytes == b->head.handle_bytes &&
	       !memcmp(a->head.f_handle, b->head.f_handle, a->head.handle_bytes);
}

int fhandle_open(const struct fhandle *fhandle, int flags)
{
	/* It is not written to, whatever the declaration says. */
	int fd = open_by_handle_at(fhandle->mount->fd,
				   (struct file_handle *)&fhandle->head,
				   flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void fhandle_free(struct pt *pt, struct fhandle *fhandle)
{
	if (!fhandle)
		return;
	mount_put(pt, fhandle->mount);
	free(fhandle);
}
