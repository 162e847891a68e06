// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the front-end says of the queues.
 */
#include <errno.h>

#include "vhost/vhost_user_i.h"

static struct queue *vu_queue(struct vhost_user *vu, uint64_t index)
{
	if (index >= vu->device->num_queues)
		return NULL;
	return &vu->device->queues[index];
}

int vu_set_vring_num(struct vhost_user *vu, struct vu_message *msg)
{
	struct queue *queue = vu_queue(vu, msg->payload.state.index);

	return queue ? queue_set_size(queue, msg->payload.state.num) : -EINVAL;
}

int vu_set_vring_addr(struct vhost_user *vu, struct vu_message *msg)
{
	const struct vu_vring_addr *addr = &msg->payload.addr;
	struct queue *queue = vu_queue(vu, addr->index);

	if (!queue)
		return -EINVAL;
	return queue_set_rings(queue, addr->desc, addr->avail, addr->used);
}

int vu_set_vring_base(struct vhost_user *vu, struct vu_message *msg)
{
	struct queue *queue = vu_queue(vu, msg->payload.state.index);

	return queue ? queue_set_base(queue, msg->payload.state.num) : -EINVAL;
}

int vu_get_vring_base(struct vhost_user *vu, struct vu_message *msg)
{
	struct queue *queue = vu_queue(vu, msg->payload.state.index);
	uint16_t base;
	int err;

	if (!queue)
		return -EINVAL;
	err = queue_stop(queue, &base);
	if (err == -ETIMEDOUT)
		err = vu_give_up(vu);
	if (err)
		return err;
	msg->payload.state.num = base;
	vu->device->stopped();
	msg->reply_size = sizeof(msg->payload.state);
	return 0;
}

int vu_set_vring_kick(struct vhost_user *vu, struct vu_message *msg)
{
	uint64_t arg = msg->payload.u64;
	struct queue *queue = vu_queue(vu, arg & VU_VRING_INDEX_MASK);
	bool anew = false;
	int err;

	/* Nothing polls, so a queue without kicks cannot be served. */
	if (!queue || arg & VU_VRING_NO_FD)
		return -EINVAL;
	err = queue_start(queue, vu_take_fd(msg, 0), &anew);
	if (anew)
		vu->device->reset();
	return err;
}

int vu_set_vring_call(struct vhost_user *vu, struct vu_message *msg)
{
	unsigned int index = msg->payload.u64 & VU_VRING_INDEX_MASK;
	struct queue *queue = vu_queue(vu, index);

	if (!queue)
		return -EINVAL;
	queue_set_call(queue, vu_take_fd(msg, 0));
	if (vu->queues <= index)
		vu->queues = index + 1;
	return 0;
}

int vu_set_vring_enable(struct vhost_user *vu, struct vu_message *msg)
{
	struct queue *queue = vu_queue(vu, msg->payload.state.index);

	if (!queue)
		return -EINVAL;
	queue_enable(queue, msg->payload.state.num);
	return 0;
}
