/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications with names, and those that say what happened.
 */
#ifndef VIRTIOFS_DAXD_NOTIFY_NAME_H
#define VIRTIOFS_DAXD_NOTIFY_NAME_H

#include <stdint.h>

/**
 * notify_inval_entry - a name leads elsewhere, or nowhere
 * @parent: the directory
 * @name: the name
 */
void notify_inval_entry(uint64_t parent, const char *name);

/**
 * notify_delete - a name is gone, and what it led to
 * @parent: the directory
 * @child: what it led to
 * @name: the name
 */
void notify_delete(uint64_t parent, uint64_t child, const char *name);

/**
 * struct notify_event - what happened
 * @nodeid: the file; the directory if there is a name
 * @mask: a bit of inotify's, and perhaps that for directories
 * @cookie: of both events of a rename, or 0
 * @name: or NULL
 */
struct notify_event {
	uint64_t nodeid;
	uint32_t mask;
	uint32_t cookie;
	const char *name;
};

/**
 * notify_events - say that to those who watch
 * @events: what happened, with nothing else between them
 * @count: 2 at most
 *
 * One without name is said once if it waits already.
 */
void notify_events(const struct notify_event *events, unsigned int count);

#endif
