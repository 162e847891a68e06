/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What main.c and startup.c share.
 */
#ifndef VIRTIOFS_DAXD_DAEMON_H
#define VIRTIOFS_DAXD_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "host/log.h"
#include "options.h"
#include "vhost/vhost_user.h"
#include "vhost/vu_backend.h"

/**
 * struct fs_config - configuration space of the device
 */
struct fs_config {
	char tag[36];
	uint32_t num_request_queues;
	uint32_t notify_buf_size;
} __attribute__((packed));

/**
 * struct daemon - all that main() makes
 * @opts: command line
 * @listener: socket that waits for the front-end, or -1 once it has connected
 * @library: likewise for the library in the front-end
 * @conn: connection to the front-end, or -1
 * @signals: signalfd
 * @stats: file of counters, or -1
 * @backing: descriptors for the window, or NULL
 * @root_fd: the share, until @pt has it
 * @proc_fd: /proc/self/fd, likewise
 * @pt: the share
 * @backend: channel to the front-end
 * @slots: how many maps there may be, or NULL
 * @map: the window, or NULL
 * @mem: memory table without regions
 * @queues: high priority first
 * @num_queues: their number
 * @hiprio: pool of the first queue
 * @requests: pool of the others
 * @config: configuration space
 * @device: what the front-end is offered
 */
struct daemon {
	struct options opts;
	int listener;
	int library;
	int conn;
	int signals;
	int stats;
	struct backing *backing;
	int root_fd;
	int proc_fd;
	struct pt *pt;
	struct vu_backend backend;
	struct map_slots *slots;
	struct dax_map *map;
	struct guest_mem *mem;
	struct queue *queues;
	unsigned int num_queues;
	struct pool *hiprio;
	struct pool *requests;
	struct fs_config config;
	struct vhost_user_device device;
};

/* Tells of an error, if it is one. */
static inline bool failed(const char *what, int err)
{
	if (err)
		log_err("%s: %s", what, strerror(-err));
	return err != 0;
}

#endif
