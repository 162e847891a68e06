// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/guard_i.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard/guard_call.h"
#include "host/isolation.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"
#include "message/request.h"

/* What waits is looked at this often, ms. */
#define LOOK_MS 1
/* Files that are idle are looked for this often, ms. */
#define SWEEP_MS 500
/*
 * A call that was let go on is watched as long as this, ms: before it changes
 * anything it may have to write all of the file. One that shows nothing of itself
 * any more, as its thread was stopped on the way out, must not be for ever.
 */
#define CALL_MS 60000
/*
 * More changes at a time go on at once: each takes a descriptor, and is looked at by
 * the one thread that everybody waits for.
 */
#define MAX_CHANGES 256
/* Of a thread that cannot be looked at it is not known whether it has left, ms. */
#define UNKNOWN_MS 100

/**
 * struct change - a change by somebody else, or what may be one
 * @file: the file, referenced; NULL until it is known to be a change
 * @fd: of the event
 * @call: who makes it
 * @look: what was seen of that
 * @from: first byte that is concerned
 * @size: of the file before
 * @until: how long to wait, ms
 * @kind: of the event
 * @told: the guest was told
 * @holds: what reads the file waits, too
 * @allowed: it was let go on
 * @left: it is over, as its thread has come to another one
 * @next: in the list
 */
struct change {
	struct guarded *file;
	int fd;
	struct guard_call call;
	enum guard_look look;
	uint64_t from;
	uint64_t size;
	int64_t until;
	uint64_t kind;
	bool told;
	bool holds;
	bool allowed;
	bool left;
	struct change *next;
};

/*
 * @timeout: how long the host waits at most, ms; constant
 * @thread: the thread; what follows is its own up to @shown
 * @changes: see struct change
 * @num_changes: their number
 * @proc: guard_call_open()
 * @missed: how often in a row the guest has not answered
 * @owed: of which file it did not give up
 * @owed_from: from where on
 * @shown: see guard_start(); protected by guard_files.lock like what follows
 * @map: for @shown
 * @ready: 1 once the thread has begun, or why it has not
 * @cond: @ready is there
 */
static struct {
	unsigned int timeout;
	pthread_t thread;
	struct change *changes;
	unsigned int num_changes;
	int proc;
	unsigned int missed;
	struct pt_key owed;
	uint64_t owed_from;
	guard_shown *shown;
	struct dax_map *map;
	int ready;
	pthread_cond_t cond;
} guard = {
	.proc = -1,
	.cond = PTHREAD_COND_INITIALIZER,
};

/* ---- changes; by the thread ---- */

static void answer(int fd)
{
	const struct fanotify_response response = { fd, FAN_ALLOW };

	if (write(guard_files.group, &response, sizeof(response)) !=
	    sizeof(response))
		log_warn_once("guard: no answer: %s", strerror(errno));
}

static void tell(const struct guarded *file, uint64_t from)
{
	if (file->nodeid)
		notify_inval_inode(file->nodeid, from, 0);
}

/* From now on who reads finds the file as it will be. Caller holds the lock. */
static void hold_reads(struct change *change)
{
	change->file->holds += !change->holds;
	change->holds = true;
}

/* Caller holds the lock. */
static void allow(struct change *change)
{
	hold_reads(change);
	answer(change->fd);
	change->allowed = true;
	change->until = clock_ms() + (change->call.number < 0 ? UNKNOWN_MS :
				    CALL_MS);
}

/* An answer that came late is one. Caller holds the lock. */
static void look_for_owed(void)
{
	if (guard.missed && !guard.shown(guard.map, &guard.owed,
					 guard.owed_from))
		guard.missed = 0;
}

/* Caller holds the lock. */
static void say_late(const struct change *change, const char *why,
		     const char *rest)
{
	guard_say_late(guard.proc, change->file->fd < 0 ? change->fd :
		       change->file->fd, why, guard.timeout, rest);
}

/* It has waited for a setup in vain. Caller holds the lock. */
static void count_stuck(const struct change *change)
{
	change->file->stuck++;
	say_late(change, "a setup of it was not done",
		 change->file->stuck < GUARD_PATIENCE ? "" :
		 "; nobody waits for that setup any more");
}

/* The guest was asked, and has not given it up. Caller holds the lock. */
static void count_missed(const struct change *change, bool late)
{
	guard.missed++;
	guard.owed = change->file->key;
	guard.owed_from = change->from;
	if (late)
		say_late(change, "the guest has not given it up",
			 guard.missed < GUARD_PATIENCE ? "" :
			 "; nobody waits for this guest until it answers");
}

/*
 * What is served now may show a part of it in a moment. Where the VMM cannot be looked
 * at this may be how. Then the guest is told when it is done only: each setup would
 * else make it let go of the file. Returns whether there is no more to do for now.
 * Caller holds the lock.
 */
static bool setups_first(struct change *change, bool late)
{
	const struct guarded *file = change->file;

	if (!file->setups)
		return false;
	if (!late && file->stuck < GUARD_PATIENCE) {
		if (change->look == GUARD_UNKNOWN)
			allow(change);
		return true;
	}
	if (late && !change->told)
		count_stuck(change);
	return false;
}

/* Lets it go on, if it need not wait any more. Caller holds the lock. */
static void try_allow(struct change *change)
{
	struct guarded *file = change->file;
	bool late = clock_ms() >= change->until;
	bool asked = change->told;

	if (setups_first(change, late))
		return;
	if (!guard.shown ||
	    !guard.shown(guard.map, &file->key, change->from)) {
		if (asked)
			guard.missed = 0;
		hold_reads(change);
		if (!file->reads || late)
			allow(change);
		return;
	}
	if (!asked)
		tell(file, change->from);
	change->told = true;
	if (file->own) {
		allow(change);
	} else if (late || guard.missed >= GUARD_PATIENCE) {
		/* Who was held from running until now has not had it asked for. */
		if (asked)
			count_missed(change, late);
		else if (late && !file->setups)
			say_late(change, "who changes it was not seen to wait",
				 "");
		allow(change);
	}
}

static bool is_done(const struct change *change)
{
	struct stat st;

	return change->left ||
	       (change->call.number >= 0 &&
		guard_call_left(guard.proc, &change->call)) ||
	       clock_ms() >= change->until ||
	       (!fstat(change->fd, &st) && (uint64_t)st.st_size != change->size);
}

static void change_free(struct change *change)
{
	close(change->fd);
	guard.num_changes--;
	free(change);
}

/* Caller holds the lock. */
static void finish(struct change *change)
{
	struct guarded *file = change->file;
	struct stat st;

	if (!fstat(change->fd, &st))
		tell(file, st.st_size);
	file->holds -= change->holds;
	file->changes--;
	guard_files_put(file);
	change_free(change);
}

/* Returns whether there are any left. */
static bool step_changes(void)
{
	struct change **link = &guard.changes;
	struct request *go;

	pthread_mutex_lock(&guard_files.lock);
	look_for_owed();
	while (*link) {
		struct change *change = *link;

		if (change->file && !change->allowed)
			try_allow(change);
		if (!change->allowed || !is_done(change)) {
			link = &change->next;
			continue;
		}
		*link = change->next;
		finish(change);
	}
	go = guard_files_unpark();
	pthread_mutex_unlock(&guard_files.lock);
	while (go) {
		struct request *req = go;

		go = req->next;
		req->again(req);
	}
	return guard.changes;
}

/* At the end. */
static void changes_drop(void)
{
	pthread_mutex_lock(&guard_files.lock);
	while (guard.changes) {
		struct change *change = guard.changes;

		guard.changes = change->next;
		if (!change->allowed)
			answer(change->fd);
		if (change->file)
			finish(change);
		else
			change_free(change);
	}
	pthread_mutex_unlock(&guard_files.lock);
}

/*
 * A thread that does the same again and again is always seen in the same call. One
 * call has one event of each kind for a file.
 */
static void end_former(const struct change *change)
{
	for (struct change *former = guard.changes; former;
	     former = former->next)
		if (change->call.tid && former->allowed &&
		    former->file == change->file &&
		    former->call.tid == change->call.tid &&
		    former->kind == change->kind)
			former->left = true;
}

/* Returns false without memory. */
static bool change_begin(struct change *change, const struct stat *st,
			 uint64_t from)
{
	const struct pt_key key = { .dev = st->st_dev, .ino = st->st_ino };

	pthread_mutex_lock(&guard_files.lock);
	change->file = guard_files_get(&key);
	if (change->file)
		change->file->changes++;
	pthread_mutex_unlock(&guard_files.lock);
	if (!change->file)
		return false;
	change->from = from;
	change->size = st->st_size;
	end_former(change);
	return true;
}

/*
 * What does its thread do? Until it waits for us that cannot be seen, which may be
 * long while others keep the processors busy; and until then it does nothing.
 * Returns false if it need not wait any more.
 */
static bool change_look(struct change *change)
{
	struct stat st;
	uint64_t from;

	change->look = guard_call_get(guard.proc, change->call.tid,
				      &change->call);
	if (change->look == GUARD_RUNS && clock_ms() < change->until)
		return true;
	return change->look != GUARD_GONE && !fstat(change->fd, &st) &&
	       guard_call_takes(&change->call, change->kind, st.st_size,
				&from) &&
	       change_begin(change, &st, from);
}

/* Looks again at those who were not there yet. */
static void look_changes(void)
{
	struct change **link = &guard.changes;

	while (*link) {
		struct change *change = *link;

		if (change->file || change_look(change)) {
			link = &change->next;
			continue;
		}
		*link = change->next;
		answer(change->fd);
		change_free(change);
	}
}

/* Returns false if it need not wait: it was not added. */
static bool change_add(const struct fanotify_event_metadata *event)
{
	struct change *change;

	if (guard.num_changes == MAX_CHANGES ||
	    guard_call_own(guard.proc, event->pid))
		return false;
	change = calloc(1, sizeof(*change));
	if (!change)
		return false;
	change->fd = event->fd;
	change->call.tid = event->pid;
	change->until = clock_ms() + guard.timeout;
	change->kind = event->mask & FAN_OPEN_PERM;
	if (!change_look(change)) {
		free(change);
		return false;
	}
	change->next = guard.changes;
	guard.changes = change;
	guard.num_changes++;
	return true;
}

static void take_events(void)
{
	static char buf[8192];
	ssize_t left = read(guard_files.group, buf, sizeof(buf));
	struct fanotify_event_metadata event;
	const char *pos = buf;

	while (left >= (ssize_t)sizeof(event)) {
		/* They follow each other without being aligned. */
		memcpy(&event, pos, sizeof(event));
		if (!FAN_EVENT_OK(&event, left))
			break;
		if (event.fd >= 0 && !change_add(&event)) {
			answer(event.fd);
			close(event.fd);
		}
		pos += event.event_len;
		left -= event.event_len;
	}
}

static bool stops(void)
{
	bool stop;

	pthread_mutex_lock(&guard_files.lock);
	stop = guard_files.stop;
	pthread_mutex_unlock(&guard_files.lock);
	return stop;
}

static int confine(void)
{
	return isolation_thread(ISOLATION_GUARD) ?:
	       isolation_syscalls(ISOLATION_GUARD, STDERR_FILENO);
}

static int guard_begin(void)
{
	guard.proc = guard_call_open();
	return guard.proc < 0 ? guard.proc : confine();
}

static void guard_serve(void)
{
	struct pollfd fds[] = {
		{ .fd = guard_files.wake, .events = POLLIN },
		{ .fd = guard_files.group, .events = POLLIN },
	};
	int64_t swept = 0;
	bool idle = false;
	eventfd_t count;

	while (!stops()) {
		bool waits;

		look_changes();
		waits = step_changes();

		if (swept + SWEEP_MS <= clock_ms()) {
			idle = guard_files_sweep();
			swept = clock_ms();
		}
		if (poll(fds, ARRAY_SIZE(fds), waits ? LOOK_MS :
			 idle ? SWEEP_MS : -1) < 0)
			continue;
		if (fds[0].revents)
			eventfd_read(guard_files.wake, &count);
		if (fds[1].revents)
			take_events();
	}
}

static void *guard_thread(void *arg)
{
	int err = guard_begin();

	(void)arg;
	pthread_mutex_lock(&guard_files.lock);
	guard.ready = err ?: 1;
	pthread_cond_signal(&guard.cond);
	pthread_mutex_unlock(&guard_files.lock);
	if (!err)
		guard_serve();
	changes_drop();
	return NULL;
}

/* ---- the rest of the daemon ---- */

static int start_thread(void)
{
	int err = pthread_create(&guard.thread, NULL, guard_thread, NULL);

	if (err)
		return -err;
	pthread_mutex_lock(&guard_files.lock);
	while (!guard.ready)
		pthread_cond_wait(&guard.cond, &guard_files.lock);
	pthread_mutex_unlock(&guard_files.lock);
	if (guard.ready > 0)
		return 0;
	pthread_join(guard.thread, NULL);
	return guard.ready;
}

static int open_group(void)
{
	guard_files.group = fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC |
					  FAN_NONBLOCK | FAN_UNLIMITED_MARKS |
					  FAN_UNLIMITED_QUEUE | FAN_REPORT_TID,
					  O_RDONLY | O_CLOEXEC | O_LARGEFILE);
	guard_files.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return guard_files.group < 0 || guard_files.wake < 0 ? -errno : 0;
}

void guard_open(unsigned int timeout)
{
	int err;

	guard.timeout = timeout;
	err = open_group() ?: start_thread();
	if (!err) {
		log_info("what truncates a mapped file waits for the guest, %u ms at most",
			 timeout);
		return;
	}
	close_fd(&guard_files.group);
	close_fd(&guard_files.wake);
	log_warn("no guard: it needs root, and Linux 6.14: %s", strerror(-err));
}

void guard_start(guard_shown *shown, struct dax_map *map)
{
	pthread_mutex_lock(&guard_files.lock);
	guard.shown = shown;
	guard.map = map;
	pthread_mutex_unlock(&guard_files.lock);
}

void guard_close(void)
{
	struct request *req;

	if (guard_files.group < 0)
		return;
	pthread_mutex_lock(&guard_files.lock);
	guard_files.stop = true;
	pthread_mutex_unlock(&guard_files.lock);
	eventfd_write(guard_files.wake, 1);
	pthread_join(guard.thread, NULL);
	/* Whose event comes now goes on with this. */
	close_fd(&guard_files.group);
	pthread_mutex_lock(&guard_files.lock);
	req = guard_files_unpark();
	pthread_mutex_unlock(&guard_files.lock);
	while (req) {
		struct request *next = req->next;

		request_drop(req);
		req = next;
	}
	close_fd(&guard.proc);
	/*
	 * @wake stays until the process ends: threads that serve the guest write to
	 * it, and its number must not become that of a file of the guest meanwhile.
	 */
}

