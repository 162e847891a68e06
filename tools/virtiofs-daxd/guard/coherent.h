/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --cache=coherent: all that the guest knows is watched, so that it may keep what it
 * was told until it is told otherwise.
 *
 * The promise: whatever has been changed by others before an answer was made is told
 * before that answer arrives. For this each answer is preceded by what the kernel has
 * to say (fanotify), put in the used ring of the notification queue, where the guest
 * looks first; and what was changed while an answer was made is not to be kept of it.
 *
 * A file is marked before it is looked at, and stays marked while the guest knows it.
 * Marks are not the kind that may vanish: nobody would notice.
 */
#ifndef VIRTIOFS_DAXD_COHERENT_H
#define VIRTIOFS_DAXD_COHERENT_H

#include <stdbool.h>

#include "passthrough/passthrough.h"

/**
 * coherent_open - find out whether a share can be watched
 * @root: O_PATH descriptor of it
 * @proc_fd: of /proc/self/fd, as pt_new() is given it
 *
 * Return: 0 or a negative errno.
 */
int coherent_open(int root, int proc_fd);

/**
 * coherent_fd - readable when there is something to be told; or -1
 */
int coherent_fd(void);

/**
 * coherent_close - nothing is watched any more
 */
void coherent_close(void);

/**
 * coherent_watch - for &pt_options.watch
 */
extern const struct pt_watch coherent_watch;

/**
 * coherent_begin - the guest looks into its queue before it takes answers
 * @events: and wants to know what happened, not only what is to be forgotten
 *
 * Return: whether it may rely on that from now on.
 */
bool coherent_begin(bool events);

/**
 * coherent_end - of the session; before pt_reset()
 */
void coherent_end(void);

/**
 * coherent_active - whether the guest relies on that
 */
bool coherent_active(void);

/**
 * coherent_watches - whether the guest relies on that for a file
 * @fd: which it has mapped, so it knows it
 */
bool coherent_watches(int fd);

/**
 * coherent_changed - times have changed by what we have done to a file of our own accord
 * @nodeid: the file
 *
 * The guest knows what it asks for, but not of this, and own events tell nobody.
 */
void coherent_changed(uint64_t nodeid);

/**
 * coherent_drain - tell what has happened until now
 */
void coherent_drain(void);

#endif
