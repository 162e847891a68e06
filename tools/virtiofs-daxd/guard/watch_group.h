/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fanotify's groups, by which the kernel tells what is changed in marked files. Any
 * user may have some that name files by their handles. What we do ourselves is known
 * by our pid.
 */
#ifndef VIRTIOFS_DAXD_WATCH_GROUP_H
#define VIRTIOFS_DAXD_WATCH_GROUP_H

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/fanotify.h>
#include <sys/types.h>

/* Which older headers do not know. A handle that only names a file, too */
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
#define FAN_EVENT_INFO_TYPE_OLD_DFID_NAME 10
#define FAN_EVENT_INFO_TYPE_NEW_DFID_NAME 12
#endif
#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000
#endif

/**
 * union watch_handle - names a file
 * @head: its @handle_bytes count
 */
union watch_handle {
	struct file_handle head;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/**
 * struct watch_name - a name in a directory
 * @dir: the directory; NULL if it is not marked, or there is none
 * @name: ends with NUL
 */
struct watch_name {
	const struct file_handle *dir;
	const char *name;
};

/**
 * struct watch_event - what happened
 * @mask: FAN_*
 * @own: it was our own doing
 * @file: the file, or NULL if it was not said
 * @from: the name that it had, or has; for a directory itself it is "."
 * @to: of FAN_RENAME the name that it has now
 */
struct watch_event {
	uint64_t mask;
	bool own;
	const struct file_handle *file;
	struct watch_name from;
	struct watch_name to;
};

/**
 * struct watch_group - a group
 * @fd: readable when something has happened; or -1
 * @reading: of who reads events, and does what follows from them
 * @buf: what he has read
 */
struct watch_group {
	int fd;
	pthread_mutex_t reading;
	_Alignas(struct file_handle) char buf[32768];
};

#define WATCH_GROUP_INIT { .fd = -1, .reading = PTHREAD_MUTEX_INITIALIZER }

/**
 * watch_group_open - have a group
 * @names: which tells of names in directories, too (Linux 5.17)
 *
 * Return: 0 or a negative errno.
 */
int watch_group_open(struct watch_group *group, bool names);
void watch_group_close(struct watch_group *group);

/**
 * watch_group_vmm - what has a window
 * @conn: the connection to it
 *
 * A file that it has mapped it closes once that is gone: that is our doing, too.
 */
void watch_group_vmm(int conn);

/**
 * watch_group_mark - mark a file, or do that no more
 * @what: FAN_MARK_ADD or FAN_MARK_REMOVE
 * @mask: FAN_*
 * @dir: the file, or what @name is in
 * @name: or NULL
 *
 * Return: 0 or a negative errno.
 */
int watch_group_mark(struct watch_group *group, unsigned int what, uint64_t mask,
		     int dir, const char *name);

/**
 * watch_group_handle - what events call a file
 * @mount: id of the mount it was found by
 *
 * Return: 0 or a negative errno.
 */
int watch_group_handle(int fd, union watch_handle *handle, int *mount);

bool watch_handle_same(const struct file_handle *a, const struct file_handle *b);
uint32_t watch_handle_hash(const struct file_handle *handle);

/**
 * watch_group_read - take all that has happened
 * @take: called for each, in order
 * @end: called after the last one, or NULL
 *
 * Of several callers each finds done what another has read before. Who changes files
 * all the time does not keep one here for ever.
 *
 * Return: how many.
 */
unsigned int watch_group_read(struct watch_group *group,
			      void (*take)(const struct watch_event *event),
			      void (*end)(void));

#endif
