/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of which parts are in the window, watched for changes by others: by
 * the host, or by another guest. This guest is told when one was made.
 *
 * The kernel's word is fanotify's, of which any user may have a group that names
 * files by their handles. What we do ourselves is known here by our pid, and not
 * told.
 */
#ifndef VIRTIOFS_DAXD_WATCH_H
#define VIRTIOFS_DAXD_WATCH_H

#include <stdint.h>

#include "passthrough/passthrough.h"

/* The guest is told of a file this often at most, ms. */
#define WATCH_PAUSE_MS 5

struct watch;

/**
 * watch_open - from now on files can be watched
 *
 * Logs whether the kernel has such a group for us. If not, the guest is not told.
 */
void watch_open(void);

/**
 * watch_start - tell the guest of changes, by a thread which may do what the
 * caller may
 *
 * That thread sees to what coherent_fd() has to say, too.
 *
 * Return: 0 or a negative errno.
 */
int watch_start(void);

/**
 * watch_close - stop that
 */
void watch_close(void);

/**
 * watch_add - watch a file
 * @key: which file it is
 * @fd: the file, to be read or written
 * @nodeid: as what the guest knows it
 *
 * It is to be called before the file is shown: what was changed before that is told
 * here, if the guest may have asked for it before, and what is changed later is
 * told then.
 *
 * Return: NULL if it cannot be watched, or the guest does not listen, or it is told
 * of the file anyway, see coherent_watches().
 */
struct watch *watch_add(const struct pt_key *key, int fd, uint64_t nodeid);

/**
 * watch_rename - the guest knows a file by another name now
 * @watch: the file, or NULL
 * @nodeid: the name
 */
void watch_rename(struct watch *watch, uint64_t nodeid);

/**
 * watch_keep_fd - a descriptor is about to be closed
 * @watch: the file, or NULL
 * @fd: of watch_add(); -1 if the watch still needs it, and will close it
 */
void watch_keep_fd(struct watch *watch, int *fd);

/**
 * watch_remove - as often as watch_add() returned it
 * @watch: the file, or NULL
 * @fd: as for watch_keep_fd(); the caller closes it after this
 */
void watch_remove(struct watch *watch, int *fd);

#endif
