/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user protocol, as the back-end: the messages of the front-end, and
 * what they say about memory and queues.
 */
#ifndef VIRTIOFS_DAXD_VHOST_USER_H
#define VIRTIOFS_DAXD_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost/guest_mem.h"
#include "vhost/map_slots.h"
#include "vhost/queue.h"
#include "vhost/vu_backend.h"

/**
 * struct vhost_user_device - the device that is offered
 * @queues: its queues
 * @num_queues: their number
 * @config: its configuration space
 * @config_len: bytes of @config, at most 256
 * @notifications: told whether the guest will listen to them, on queue 1; NULL for
 *	a device without
 * @window: size of shared memory region 0; 0 for a device without
 * @is_map: whether a descriptor shows a file in a window, of this device or
 *	another. These come back as regions of memory, and are none that may be
 *	used: a file can be cut off under a map. Must not wait for anything.
 * @slots: told of the guest's memory; NULL without stock maps
 * @backend: told of the backend channel
 * @stopped: called when a queue was stopped; must not wait for a request
 * @reset: likewise when a queue is started that was set up anew
 */
struct vhost_user_device {
	struct queue *queues;
	unsigned int num_queues;
	const void *config;
	size_t config_len;
	void (*notifications)(bool on);
	uint64_t window;
	bool (*is_map)(int fd);
	struct map_slots *slots;
	struct vu_backend *backend;
	void (*stopped)(void);
	void (*reset)(void);
};

struct vhost_user;

/**
 * vhost_user_new - serve a connection
 * @device: what is offered; kept by reference
 * @mem: memory table to begin with, without regions
 * @conn: the connected socket; belongs to the object
 *
 * Return: NULL without memory.
 */
struct vhost_user *vhost_user_new(const struct vhost_user_device *device,
				  struct guest_mem *mem, int conn);

void vhost_user_free(struct vhost_user *vu);

/**
 * vhost_user_handle - read one message and do what it says
 * @vu: the connection
 *
 * Return: 1 when done; 0 when the front-end has gone; a negative errno for a
 * message that breaks the protocol, after which the connection is of no use.
 */
int vhost_user_handle(struct vhost_user *vu);

#endif
