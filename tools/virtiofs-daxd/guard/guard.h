/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard: whoever on the host takes something away from a file of which parts
 * are in the window waits until the guest has given them up, but not long.
 *
 * The kernel asks us before it opens, reads, writes or truncates a file that is
 * marked. A thread that opens no such file answers at once, unless it is a
 * truncation or the like by somebody else. Then the guest is told; its removes are
 * the acknowledgement. That the call may go on does not mean that it is done, so
 * it is watched until its thread has left it. Meanwhile setups of the file are
 * parked, without a thread. So are reads, once the guest has let go: what they would
 * find missing the guest would take for zeros. Afterwards the guest is told of the
 * size that is true, and after that it has the answers.
 */
#ifndef VIRTIOFS_DAXD_GUARD_H
#define VIRTIOFS_DAXD_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "passthrough/passthrough.h"

struct dax_map;
struct guarded;
struct request;

/* Most requests that are parked. */
#define GUARD_MAX_PARKED 1024
/* So often in a row the host waits in vain; then not until the guest, or the setup, is done. */
#define GUARD_PATIENCE 3

/* See dax_map_shown(). */
typedef bool guard_shown(struct dax_map *map, const struct pt_key *key,
			 uint64_t from);

/**
 * guard_open - start the thread
 * @timeout: how long the host waits at most, ms
 *
 * To be called by who may look at all processes, before that is given up. Logs
 * whether there is a guard.
 */
void guard_open(unsigned int timeout);

/**
 * guard_start - from now on the host may have to wait
 * @shown: whether a part of a file is in the window
 * @map: the window
 */
void guard_start(guard_shown *shown, struct dax_map *map);

/**
 * guard_close - let the host go on, and drop what is parked
 */
void guard_close(void);

/**
 * guard_add - guard a file
 * @key: which file
 * @fd: the file
 *
 * Return: NULL if there is no guard, none for this file system, or the guest does
 * not listen.
 */
struct guarded *guard_add(const struct pt_key *key, int fd);

/**
 * guard_remove - as often as guard_add() returned it
 * @file: the file, or NULL
 */
void guard_remove(struct guarded *file);

/**
 * guard_enter - a part of a file is to be shown, or read
 * @key: which file
 * @req: the request for that, SETUPMAPPING or READ
 *
 * Return: 0: do it, and call guard_leave(); -EINPROGRESS: the file is being
 * changed, and @req is parked; -EDEADLK: likewise, but first what @req replaces has
 * to go, for which the change may wait, see &request.let_go; -EAGAIN: there is no
 * room; or -ENOMEM.
 */
int guard_enter(const struct pt_key *key, struct request *req);

/**
 * guard_leave - after guard_enter() returned 0
 * @key: which file
 * @req: the request
 */
void guard_leave(const struct pt_key *key, const struct request *req);

/**
 * guard_removed - something is in the window no more
 */
void guard_removed(void);

/**
 * guard_own_begin - our guest changes the size of a file
 * @key: which file
 *
 * For that it has let go already, so nobody waits for it.
 *
 * Return: whether guard_own_end() is to be called.
 */
bool guard_own_begin(const struct pt_key *key);

/**
 * guard_own_end - it is done
 * @key: which file
 */
void guard_own_end(const struct pt_key *key);

#endif
