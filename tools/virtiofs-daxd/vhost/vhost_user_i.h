/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the vhost-user protocol, in the order of calls: vhost_user.c has the
 * connection and the device, vu_vring.c the queues, vu_mem.c the guest's memory.
 */
#ifndef VIRTIOFS_DAXD_VHOST_USER_I_H
#define VIRTIOFS_DAXD_VHOST_USER_I_H

#include "vhost/fd_pass.h"
#include "vhost/vhost_user.h"
#include "vhost/vu_proto.h"

/**
 * struct vhost_user - a connection
 * @device: what is offered
 * @conn: the socket
 * @mem: memory table in force
 * @queues: which the front-end has, as far as it has named them
 */
struct vhost_user {
	const struct vhost_user_device *device;
	int conn;
	struct guest_mem *mem;
	unsigned int queues;
};

/**
 * struct vu_message - a message of the front-end, and the answer to it
 * @header: as received
 * @payload: as received; handlers put their answer here
 * @fds: descriptors that came with it; a handler that keeps one sets it to -1
 * @num_fds: their number
 * @reply_size: bytes of @payload to answer with, 0 for none
 */
struct vu_message {
	struct vu_header header;
	union vu_payload payload;
	int fds[FD_PASS_MAX];
	unsigned int num_fds;
	size_t reply_size;
};

/* A descriptor that came with the message, which the caller closes; or -1. */
static inline int vu_take_fd(struct vu_message *msg, unsigned int i)
{
	int fd = -1;

	if (i < msg->num_fds) {
		fd = msg->fds[i];
		msg->fds[i] = -1;
	}
	return fd;
}

/* The answer is a number. */
static inline int vu_reply_u64(struct vu_message *msg, uint64_t value)
{
	msg->payload.u64 = value;
	msg->reply_size = sizeof(value);
	return 0;
}

/*
 * What to do for a message: 0 or a negative errno. A handler is called only with as
 * much payload as it needs.
 */
typedef int vu_handler(struct vhost_user *vu, struct vu_message *msg);

/* vu_vring.c */
vu_handler vu_set_vring_num;
vu_handler vu_set_vring_addr;
vu_handler vu_set_vring_base;
vu_handler vu_get_vring_base;
vu_handler vu_set_vring_kick;
vu_handler vu_set_vring_call;
vu_handler vu_set_vring_enable;

/* vu_mem.c */
vu_handler vu_set_mem_table;
vu_handler vu_add_mem_reg;
vu_handler vu_rem_mem_reg;

/**
 * vu_give_up - storage does not answer, and the front-end waits for a queue to stop
 * @vu: the connection
 *
 * It may give the guest's memory to others once we have answered. Who waits for
 * storage while the kernel is to copy from or to that memory loses it.
 *
 * Return: 0 or a negative errno.
 */
int vu_give_up(struct vhost_user *vu);

#endif
