// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/guard_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>

#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"
#include "message/request.h"

/* Which older headers do not know */
#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x00100000
#endif
#define GUARD_MASK (FAN_PRE_ACCESS | FAN_OPEN_PERM)

/* How long a file stays marked that is not mapped any more. */
#define IDLE_MS 1000
/*
 * So long a read waits, ms: who has sent it cannot be killed meanwhile, and a file
 * that is changed all the time is never without a change.
 */
#define READ_MS 1000

struct guard_files guard_files = {
	.group = -1,
	.wake = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

/* ---- caller holds the lock ---- */

static struct guarded **chain(const struct pt_key *key)
{
	uint64_t product = (key->ino ^ key->dev << 32) * 0x9e3779b97f4a7c15;

	return &guard_files.heads[product >> (64 - GUARD_BITS)];
}

static struct guarded *file_find(const struct pt_key *key)
{
	struct guarded *file = *chain(key);

	while (file && (file->key.ino != key->ino || file->key.dev != key->dev))
		file = file->next;
	return file;
}

struct guarded *guard_files_get(const struct pt_key *key)
{
	struct guarded *file = file_find(key);

	if (!file) {
		file = calloc(1, sizeof(*file));
		if (!file)
			return NULL;
		file->key = *key;
		file->fd = -1;
		file->next = *chain(key);
		*chain(key) = file;
	}
	file->refs++;
	return file;
}

void guard_files_put(struct guarded *file)
{
	struct guarded **link = chain(&file->key);

	if (--file->refs)
		return;
	while (*link != file)
		link = &(*link)->next;
	*link = file->next;
	free(file);
}

static bool is_read(const struct request *req)
{
	return req->header.opcode == FUSE_READ;
}

/* Whether a request has to wait for those who change the file. */
static bool must_wait(const struct guarded *file, const struct request *req)
{
	if (guard_files.stop)
		return false;
	if (!is_read(req))
		return file->changes;
	return file->holds &&
	       (!req->parked_until || clock_ms() < req->parked_until);
}

/* What is being served of a kind. */
static unsigned int *served(struct guarded *file, const struct request *req)
{
	return is_read(req) ? &file->reads : &file->setups;
}

struct request *guard_files_unpark(void)
{
	struct request **link = &guard_files.parked, *go = NULL;

	while (*link) {
		struct request *req = *link;
		struct guarded *file = file_find(&req->parked_for);

		if (file && must_wait(file, req)) {
			link = &req->next;
			continue;
		}
		*link = req->next;
		guard_files.num_parked--;
		req->next = go;
		go = req;
	}
	return go;
}

/* ---- for the rest of the daemon ---- */

static void wake(void)
{
	eventfd_write(guard_files.wake, 1);
}

static int mark(int fd, unsigned int what)
{
	return fanotify_mark(guard_files.group, what, GUARD_MASK, fd, NULL) ?
	       -errno : 0;
}

/* Caller holds the lock. */
static int file_mark(struct guarded *file, int fd)
{
	int err;

	if (file->fd >= 0) {
		guard_files.num_idle -= !file->marks;
		return 0;
	}
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	err = file->fd < 0 ? -errno : mark(fd, FAN_MARK_ADD);
	if (err)
		close_fd(&file->fd);
	else
		file->refs++;
	return err;
}

struct guarded *guard_add(const struct pt_key *key, int fd)
{
	struct guarded *file = NULL;
	int err = 0;

	if (guard_files.group < 0 || !notify_active())
		return NULL;
	pthread_mutex_lock(&guard_files.lock);
	if (!guard_files.stop)
		file = guard_files_get(key);
	if (file)
		err = file_mark(file, fd);
	if (file && !err)
		file->marks++;
	if (err) {
		guard_files_put(file);
		file = NULL;
	}
	pthread_mutex_unlock(&guard_files.lock);
	if (err)
		log_warn_once("guard: not on this file system: %s (told once)",
			      strerror(-err));
	return file;
}

/*
 * The mark stays for now: who changes a file over and over would else find it
 * without one whenever the guest has let go, and be past that when it is shown again.
 */
void guard_remove(struct guarded *file)
{
	if (!file)
		return;
	pthread_mutex_lock(&guard_files.lock);
	if (!--file->marks) {
		file->idle = clock_ms();
		guard_files.num_idle++;
	}
	guard_files_put(file);
	pthread_mutex_unlock(&guard_files.lock);
	wake();
}

static void file_unmark(struct guarded *file)
{
	mark(file->fd, FAN_MARK_REMOVE);
	close_fd(&file->fd);
	guard_files.num_idle--;
	guard_files_put(file);
}

bool guard_files_sweep(void)
{
	int64_t old = clock_ms() - IDLE_MS;
	bool more;

	pthread_mutex_lock(&guard_files.lock);
	for (size_t i = 0; guard_files.num_idle &&
			   i < ARRAY_SIZE(guard_files.heads); i++)
		for (struct guarded *file = guard_files.heads[i], *next; file;
		     file = next) {
			next = file->next;
			if (file->fd >= 0 && !file->marks && file->idle <= old)
				file_unmark(file);
		}
	more = guard_files.num_idle;
	pthread_mutex_unlock(&guard_files.lock);
	return more;
}

/* Caller holds the lock. */
static int park(const struct pt_key *key, struct request *req)
{
	if (guard_files.num_parked == GUARD_MAX_PARKED)
		return -EAGAIN;
	request_suspend(req);
	req->parked_for = *key;
	if (!req->parked_until)
		req->parked_until = clock_ms() + READ_MS;
	req->next = guard_files.parked;
	guard_files.parked = req;
	guard_files.num_parked++;
	return -EINPROGRESS;
}

int guard_enter(const struct pt_key *key, struct request *req)
{
	struct guarded *file;
	int err = 0;

	if (guard_files.group < 0)
		return 0;
	pthread_mutex_lock(&guard_files.lock);
	file = guard_files_get(key);
	if (!file) {
		err = -ENOMEM;
	} else if (must_wait(file, req)) {
		err = is_read(req) || req->let_go ? park(key, req) : -EDEADLK;
		guard_files_put(file);
	} else {
		file->nodeid = req->header.nodeid;
		++*served(file, req);
	}
	pthread_mutex_unlock(&guard_files.lock);
	return err;
}

void guard_leave(const struct pt_key *key, const struct request *req)
{
	struct guarded *file;

	if (guard_files.group < 0)
		return;
	pthread_mutex_lock(&guard_files.lock);
	file = file_find(key);
	if (file) {
		--*served(file, req);
		if (!file->setups)
			file->stuck = 0;
		guard_files_put(file);
	}
	pthread_mutex_unlock(&guard_files.lock);
}

void guard_removed(void)
{
	if (guard_files.group >= 0)
		wake();
}

bool guard_own_begin(const struct pt_key *key)
{
	struct guarded *file;

	if (guard_files.group < 0)
		return false;
	pthread_mutex_lock(&guard_files.lock);
	file = guard_files_get(key);
	if (file)
		file->own++;
	pthread_mutex_unlock(&guard_files.lock);
	wake();
	return file;
}

void guard_own_end(const struct pt_key *key)
{
	struct guarded *file;

	pthread_mutex_lock(&guard_files.lock);
	file = file_find(key);
	file->own--;
	guard_files_put(file);
	pthread_mutex_unlock(&guard_files.lock);
	wake();
}
