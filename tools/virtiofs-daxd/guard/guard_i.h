/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard's parts, in the order of calls: guard.c has the thread, guard_change.c the
 * changes that others make, guard_say.c what is said of those that went on,
 * guard_files.c the files and who uses them.
 */
#ifndef VIRTIOFS_DAXD_GUARD_I_H
#define VIRTIOFS_DAXD_GUARD_I_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "guard/guard.h"

#define GUARD_BITS 12

/**
 * struct guarded - a file
 * @key: which file
 * @nodeid: as what the guest knows it, 0 if it does not
 * @refs: users of this: marks, setups, reads, changes
 * @marks: see guard_add()
 * @fd: of the file while it is marked, else -1
 * @idle: since when it need not be any more, ms
 * @setups: setups that are being served
 * @stuck: changes in a row that waited for them in vain
 * @reads: likewise
 * @own: our guest's changes that are being served
 * @changes: changes by others, from the event until they are done
 * @holds: those of them for which reads wait, too
 * @next: of the same hash
 */
struct guarded {
	struct pt_key key;
	uint64_t nodeid;
	unsigned int refs;
	unsigned int marks;
	int fd;
	int64_t idle;
	unsigned int setups;
	unsigned int stuck;
	unsigned int reads;
	unsigned int own;
	unsigned int changes;
	unsigned int holds;
	struct guarded *next;
};

/**
 * struct guard_files - the files
 * @group: the kernel's end, or -1; constant while the thread runs
 * @wake: eventfd: there is something to look at for the thread
 * @lock: protects what follows; that of the window's table is taken within it
 * @stop: the end
 * @heads: files
 * @num_idle: those that are marked and need not be
 * @parked: requests, the last first
 * @num_parked: their number
 */
struct guard_files {
	int group;
	int wake;
	pthread_mutex_t lock;
	bool stop;
	struct guarded *heads[1 << GUARD_BITS];
	unsigned int num_idle;
	struct request *parked;
	unsigned int num_parked;
};

extern struct guard_files guard_files;

/**
 * guard_files_get - a file, with a reference
 * @key: which file
 *
 * Context: guard_files.lock is held.
 * Return: NULL without memory.
 */
struct guarded *guard_files_get(const struct pt_key *key);

/**
 * guard_files_put - give the reference back
 * @file: the file
 *
 * Context: guard_files.lock is held.
 */
void guard_files_put(struct guarded *file);

/**
 * guard_files_sweep - take the marks from files that were idle for long
 *
 * Return: whether there are more that are idle.
 */
bool guard_files_sweep(void);

/**
 * guard_files_unpark - requests whose files are not being changed any more
 *
 * Context: guard_files.lock is held.
 * Return: a list of them; at the end it has all.
 */
struct request *guard_files_unpark(void);

/**
 * guard_changes_open - before there can be any
 * @timeout: how long the host waits at most, ms
 *
 * Context: the thread, as for all below, but where it is said otherwise.
 * Return: 0 or a negative errno.
 */
int guard_changes_open(unsigned int timeout);

/**
 * guard_changes_ask - how it is known what is shown; see guard_start()
 *
 * Context: any thread; guard_files.lock is held.
 */
void guard_changes_ask(guard_shown *shown, struct dax_map *map);

struct fanotify_event_metadata;
/**
 * guard_changes_add - somebody waits, and may be about to change a file
 * @event: of that; what need not wait is answered at once
 */
void guard_changes_add(const struct fanotify_event_metadata *event);

/**
 * guard_changes_look - look again at those of whom it is not known what they do
 */
void guard_changes_look(void);

/**
 * guard_changes_step - let those go on that need not wait any more
 *
 * Serves requests again that waited for those which are over.
 *
 * Return: whether there are any left.
 */
bool guard_changes_step(void);

/**
 * guard_changes_drop - the end: all go on
 */
void guard_changes_drop(void);

/**
 * guard_changes_close - the thread has ended
 */
void guard_changes_close(void);

/**
 * guard_say_late - a change goes on that has waited in vain
 * @proc: guard_call_open()
 * @fd: the file
 * @why: what was not done
 * @ms: how long it has waited
 * @rest: what becomes of the next ones, if they do not wait, else ""
 *
 * One line in a while.
 */
void guard_say_late(int proc, int fd, const char *why, unsigned int ms,
		    const char *rest);

#endif
