// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guard/coherent.h"
#include "guard/watch_group.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"

#define WATCH_BITS 12
#define WATCH_MASK (FAN_MODIFY | FAN_ATTRIB)

/* What we write ourselves makes events too; they are looked at this often, ms. */
#define OWN_PAUSE_MS 1

/* A guest asks for attributes after this long, unless it has a year, s. */
#define ATTR_SECONDS 2

/**
 * struct watch - a file that is watched
 * @key: which file
 * @handle: how events name it
 * @fd: the file; that of one of the users, unless @owned
 * @owned: that user has gone
 * @nodeid: as what the guest knows it
 * @refs: users
 * @size: the guest may believe that it is as large as this
 * @pause: when the guest may be told again, ms
 * @due: something is to be told then
 * @next: of the same hash
 * @next_due: is due later
 */
struct watch {
	struct pt_key key;
	union watch_handle handle;
	int fd;
	bool owned;
	uint64_t nodeid;
	unsigned int refs;
	uint64_t size;
	int64_t pause;
	bool due;
	struct watch *next;
	struct watch *next_due;
};

/* Of these alone: what else is watched has marks of its own, of the same files too. */
static struct watch_group group = WATCH_GROUP_INIT;

/*
 * @stop: eventfd, readable at the end
 * @thread: reads events
 * @lock: protects what follows; that of message/notify.c is taken within it
 * @heads: by handle
 * @due: those that are due, the first to be told first
 */
static struct {
	int stop;
	bool started;
	pthread_t thread;
	pthread_mutex_t lock;
	struct watch *heads[1 << WATCH_BITS];
	struct watch *due;
	struct watch **due_end;
} watches = {
	.stop = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.due_end = &watches.due,
};

static struct watch **chain(const struct file_handle *handle)
{
	return &watches.heads[watch_handle_hash(handle) >> (32 - WATCH_BITS)];
}

/* What is known of a file here; nobody is asked, so this does not wait. */
static bool look(int fd, struct statx *stx)
{
	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		      STATX_SIZE | STATX_CTIME, stx);
}

/* ---- telling; caller holds the lock ---- */

/*
 * A file that is smaller than the guest may believe ends where it says now: what
 * the guest has mapped behind that it gives up. What else there is to be seen is
 * seen already, so that of other changes only the attributes are told.
 */
static void tell(struct watch *watch)
{
	struct statx stx;
	bool shrunk;

	watch->due = false;
	watch->pause = clock_ms() + WATCH_PAUSE_MS;
	if (!look(watch->fd, &stx))
		stx.stx_size = 0;
	shrunk = stx.stx_size < watch->size;
	watch->size = stx.stx_size;
	notify_inval_inode(watch->nodeid, shrunk ? (int64_t)watch->size : -1, 0);
}

static void due_add(struct watch *watch)
{
	watch->due = true;
	watch->next_due = NULL;
	*watches.due_end = watch;
	watches.due_end = &watch->next_due;
}

static void due_remove(struct watch *watch)
{
	struct watch **link = &watches.due;

	while (*link != watch)
		link = &(*link)->next_due;
	*link = watch->next_due;
	if (!*link)
		watches.due_end = link;
	watch->due = false;
}

/* What we did made it as large as it may be by now. */
static void note_own(struct watch *watch)
{
	struct statx stx;

	if (look(watch->fd, &stx) && watch->size < stx.stx_size)
		watch->size = stx.stx_size;
}

static void note_change(struct watch *watch)
{
	if (watch->due)
		return;
	if (watch->pause <= clock_ms())
		tell(watch);
	else
		due_add(watch);
}

/* Tells what is due; how long until the next is, in ms, or -1. */
static int tell_due(void)
{
	struct watch *watch;

	while ((watch = watches.due)) {
		int64_t left = watch->pause - clock_ms();

		if (left > 0)
			return left;
		due_remove(watch);
		tell(watch);
	}
	return -1;
}

/* ---- events ---- */

/* Whether all that was taken was our own doing. Of this thread. */
static bool all_own;

static void take_event(const struct watch_event *event)
{
	struct watch *watch;

	all_own &= event->own;
	/* What names no file may be of any. */
	if (!event->file) {
		if (!event->own)
			notify_all_changed();
		return;
	}
	pthread_mutex_lock(&watches.lock);
	/* On two file systems the same handle may name different files. */
	for (watch = *chain(event->file); watch; watch = watch->next) {
		if (!watch_handle_same(&watch->handle.head, event->file))
			continue;
		if (event->own)
			note_own(watch);
		else
			note_change(watch);
	}
	pthread_mutex_unlock(&watches.lock);
}

/* Returns whether there was any, and all were our own doing. */
static bool take_events(void)
{
	all_own = true;
	return watch_group_read(&group, take_event, NULL) && all_own;
}

static void *watch_thread(void *arg)
{
	struct pollfd fds[] = {
		{ .fd = watches.stop, .events = POLLIN },
		{ .fd = group.fd, .events = POLLIN },
		{ .fd = coherent_fd(), .events = POLLIN },
	};
	bool rest;
	int ms;

	(void)arg;
	for (;;) {
		pthread_mutex_lock(&watches.lock);
		ms = tell_due();
		pthread_mutex_unlock(&watches.lock);
		if (poll(fds, ARRAY_SIZE(fds), ms) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		rest = fds[1].revents && take_events();
		if (fds[2].revents) {
			coherent_drain();
			rest = true;
		}
		if (rest)
			poll(fds, 1, OWN_PAUSE_MS);
	}
}

static int open_group(void)
{
	watches.stop = eventfd(0, EFD_CLOEXEC);
	return watches.stop < 0 ? -errno : watch_group_open(&group, false);
}

void watch_open(void)
{
	int err = open_group();

	if (err)
		log_warn("files are not watched for changes: fanotify: %s",
			 strerror(-err));
	else
		log_info("files that the guest has mapped are watched for changes (fanotify)");
}

int watch_start(void)
{
	int err;

	if (watches.stop < 0 || (group.fd < 0 && coherent_fd() < 0))
		return 0;
	err = pthread_create(&watches.thread, NULL, watch_thread, NULL);
	watches.started = !err;
	return -err;
}

void watch_close(void)
{
	if (watches.started) {
		eventfd_write(watches.stop, 1);
		pthread_join(watches.thread, NULL);
	}
	watches.started = false;
	watch_group_close(&group);
	coherent_close();
	close_fd(&watches.stop);
}

/* ---- files ---- */

static int mark(int fd, unsigned int what)
{
	return watch_group_mark(&group, what, WATCH_MASK, fd, NULL);
}

/* The guest may have asked for attributes just before a change that we missed. */
static bool changed_lately(const struct statx *stx)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return llabs(now.tv_sec - stx->stx_ctime.tv_sec) <= ATTR_SECONDS;
}

static int watch_new(struct watch *watch, int fd)
{
	struct statx stx;
	int err;

	err = mark(fd, FAN_MARK_ADD);
	if (err)
		return err;
	if (!look(fd, &stx)) {
		err = -errno;
		mark(fd, FAN_MARK_REMOVE);
		return err;
	}
	watch->fd = fd;
	watch->refs = 1;
	watch->size = stx.stx_size;
	if (changed_lately(&stx))
		notify_inval_inode(watch->nodeid, -1, 0);
	watch->next = *chain(&watch->handle.head);
	*chain(&watch->handle.head) = watch;
	return 0;
}

/* Caller holds the lock. */
static struct watch *find(const struct watch *like)
{
	struct watch *watch = *chain(&like->handle.head);

	while (watch && !(watch_handle_same(&watch->handle.head,
					   &like->handle.head) &&
			  watch->key.dev == like->key.dev &&
			  watch->key.ino == like->key.ino))
		watch = watch->next;
	return watch;
}

struct watch *watch_add(const struct pt_key *key, int fd, uint64_t nodeid)
{
	struct watch *fresh, *watch = NULL;
	int err, mount;

	if (group.fd < 0 || !notify_active() || coherent_watches(fd))
		return NULL;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return NULL;
	fresh->key = *key;
	fresh->nodeid = nodeid;
	err = watch_group_handle(fd, &fresh->handle, &mount);
	if (!err) {
		pthread_mutex_lock(&watches.lock);
		watch = find(fresh);
		if (watch)
			watch->refs++;
		else
			err = watch_new(fresh, fd);
		pthread_mutex_unlock(&watches.lock);
	}
	if (err)
		log_warn_once("a file cannot be watched for changes: %s (told once)",
			      strerror(-err));
	if (!err && !watch)
		return fresh;
	free(fresh);
	return watch;
}

void watch_rename(struct watch *watch, uint64_t nodeid)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watches.lock);
	watch->nodeid = nodeid;
	pthread_mutex_unlock(&watches.lock);
}

/* Caller holds the lock. */
static void keep_fd(struct watch *watch, int *fd)
{
	if (watch->owned || watch->fd != *fd)
		return;
	watch->owned = true;
	*fd = -1;
}

void watch_keep_fd(struct watch *watch, int *fd)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watches.lock);
	keep_fd(watch, fd);
	pthread_mutex_unlock(&watches.lock);
}

void watch_remove(struct watch *watch, int *fd)
{
	struct watch **link;

	if (!watch)
		return;
	pthread_mutex_lock(&watches.lock);
	if (--watch->refs) {
		keep_fd(watch, fd);
		pthread_mutex_unlock(&watches.lock);
		return;
	}
	link = chain(&watch->handle.head);
	while (*link != watch)
		link = &(*link)->next;
	*link = watch->next;
	if (watch->due)
		due_remove(watch);
	mark(watch->fd, FAN_MARK_REMOVE);
	pthread_mutex_unlock(&watches.lock);
	if (watch->owned)
		close_fd(&watch->fd);
	free(watch);
}
