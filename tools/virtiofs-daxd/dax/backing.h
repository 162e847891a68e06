/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors for the front-end which show a file of the share, but let it be
 * mapped past its end.
 *
 * QEMU refuses to map past the size of a descriptor, makes an empty file
 * longer, and needs write access; the guest's maps are whole ranges, and files
 * grow under them. So the front-end is given a file of a private FUSE mount,
 * which is attached nowhere. Its size is beyond all use, and it is opened with
 * FUSE passthrough: a map of it is a map of the real file's page cache.
 */
#ifndef VIRTIOFS_DAXD_BACKING_H
#define VIRTIOFS_DAXD_BACKING_H

#include <stdbool.h>
#include <sys/types.h>

struct backing;

/**
 * backing_new - make the private mount and start its thread
 * @confine: called first in that thread, to give up what it does not need; 0 or
 *	a negative errno. It must keep CAP_SYS_ADMIN, for which the kernel asks
 *	whenever a file is handed to passthrough.
 *
 * Return: NULL with errno set: EOPNOTSUPP if the kernel has no FUSE
 * passthrough, EPERM without the privilege.
 */
struct backing *backing_new(int (*confine)(void));

/**
 * backing_needs - what was missing for a private mount
 * @err: negative errno of backing_new()
 *
 * Return: for a sentence that says "needs".
 */
const char *backing_needs(int err);

/**
 * backing_free - end the mount's service; maps through it stay
 * @backing: the mount
 */
void backing_free(struct backing *backing);

/**
 * backing_is_map - whether a descriptor is of such a mount, of any daemon
 * @fd: the descriptor
 *
 * Asks no server: who gave us the descriptor may be waiting for us.
 */
bool backing_is_map(int fd);

/**
 * backing_open - a descriptor which shows a file
 * @backing: the mount
 * @fd: the file; not needed any more afterwards
 *
 * The kernel opens the file a second time for reading and writing, whatever
 * access @fd has.
 *
 * Return: a descriptor open for reading and writing, or a negative errno: above
 * all EROFS, ETXTBSY, EPERM for a file which nobody may write, and ELOOP for one
 * on stacked file systems.
 */
int backing_open(struct backing *backing, int fd);

/**
 * backing_open_copy - likewise, of a copy that is read from the file on demand
 * @backing: the mount
 * @fd: the file, open for reading; not needed any more afterwards
 *
 * For a file that cannot be opened for writing. What is written to the map is
 * not seen by anybody else, and never gets into the file. What changes in the file
 * is seen after a hole was punched there into the copy, which stays a copy.
 */
int backing_open_copy(struct backing *backing, int fd);

#endif
