// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes that others make to guarded files, each from its event until it is over.
 */
#include "guard/guard_i.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard/guard_call.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"
#include "message/request.h"

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
 * The thread's own, up to @shown.
 *
 * @timeout: how long the host waits at most, ms
 * @proc: guard_call_open()
 * @first: see struct change
 * @num: their number
 * @missed: how often in a row the guest has not answered
 * @owed: of which file it did not give up
 * @owed_from: from where on
 * @shown: see guard_start(); protected by guard_files.lock like what follows
 * @map: for @shown
 */
static struct {
	unsigned int timeout;
	int proc;
	struct change *first;
	unsigned int num;
	unsigned int missed;
	struct pt_key owed;
	uint64_t owed_from;
	guard_shown *shown;
	struct dax_map *map;
} changes = {
	.proc = -1,
};

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
	if (changes.missed && !changes.shown(changes.map, &changes.owed,
					 changes.owed_from))
		changes.missed = 0;
}

/* Caller holds the lock. */
static void say_late(const struct change *change, const char *why,
		     const char *rest)
{
	guard_say_late(changes.proc, change->file->fd < 0 ? change->fd :
		       change->file->fd, why, changes.timeout, rest);
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
	changes.missed++;
	changes.owed = change->file->key;
	changes.owed_from = change->from;
	if (late)
		say_late(change, "the guest has not given it up",
			 changes.missed < GUARD_PATIENCE ? "" :
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
	if (!changes.shown ||
	    !changes.shown(changes.map, &file->key, change->from)) {
		if (asked)
			changes.missed = 0;
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
	} else if (late || changes.missed >= GUARD_PATIENCE) {
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
		guard_call_left(changes.proc, &change->call)) ||
	       clock_ms() >= change->until ||
	       (!fstat(change->fd, &st) && (uint64_t)st.st_size != change->size);
}

static void change_free(struct change *change)
{
	close(change->fd);
	changes.num--;
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

bool guard_changes_step(void)
{
	struct change **link = &changes.first;
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
	return changes.first;
}

void guard_changes_drop(void)
{
	pthread_mutex_lock(&guard_files.lock);
	while (changes.first) {
		struct change *change = changes.first;

		changes.first = change->next;
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
	for (struct change *former = changes.first; former;
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

	change->look = guard_call_get(changes.proc, change->call.tid,
				      &change->call);
	if (change->look == GUARD_RUNS && clock_ms() < change->until)
		return true;
	return change->look != GUARD_GONE && !fstat(change->fd, &st) &&
	       guard_call_takes(&change->call, change->kind, st.st_size,
				&from) &&
	       change_begin(change, &st, from);
}

void guard_changes_look(void)
{
	struct change **link = &changes.first;

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

	if (changes.num == MAX_CHANGES ||
	    guard_call_own(changes.proc, event->pid))
		return false;
	change = calloc(1, sizeof(*change));
	if (!change)
		return false;
	change->fd = event->fd;
	change->call.tid = event->pid;
	change->until = clock_ms() + changes.timeout;
	change->kind = event->mask & FAN_OPEN_PERM;
	if (!change_look(change)) {
		free(change);
		return false;
	}
	change->next = changes.first;
	changes.first = change;
	changes.num++;
	return true;
}

void guard_changes_add(const struct fanotify_event_metadata *event)
{
	if (change_add(event))
		return;
	answer(event->fd);
	close(event->fd);
}

int guard_changes_open(unsigned int timeout)
{
	changes.timeout = timeout;
	changes.proc = guard_call_open();
	return changes.proc < 0 ? changes.proc : 0;
}

void guard_changes_ask(guard_shown *shown, struct dax_map *map)
{
	changes.shown = shown;
	changes.map = map;
}

void guard_changes_close(void)
{
	close_fd(&changes.proc);
}
