// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/vhost_user_i.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host/log.h"
#include "host/util.h"

#define VU_FEATURES							\
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |	\
	 1ULL << VIRTIO_RING_F_INDIRECT_DESC | VU_F_PROTOCOL_FEATURES)

/* VIRTIO 1.3, 5.11.3: the device has a notification queue */
#define VU_F_NOTIFICATION (1ULL << 0)

#define VU_PROTOCOL_FEATURES						\
	(VU_PROTOCOL_F_MQ | VU_PROTOCOL_F_REPLY_ACK |			\
	 VU_PROTOCOL_F_CONFIG | VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)

#define VU_PROTOCOL_FEATURES_WINDOW					\
	(VU_PROTOCOL_F_BACKEND_REQ | VU_PROTOCOL_F_BACKEND_SEND_FD |	\
	 VU_PROTOCOL_F_SHMEM)

struct vhost_user *vhost_user_new(const struct vhost_user_device *device,
				  struct guest_mem *mem, int conn)
{
	struct vhost_user *vu = calloc(1, sizeof(*vu));

	if (!vu) {
		close_fd(&conn);
		return NULL;
	}
	vu->device = device;
	vu->conn = conn;
	vu->mem = guest_mem_get(mem);
	return vu;
}

void vhost_user_free(struct vhost_user *vu)
{
	close_fd(&vu->conn);
	guest_mem_put(vu->mem);
	free(vu);
}

static uint64_t vu_features(const struct vhost_user *vu)
{
	return VU_FEATURES | (vu->device->notifications ? VU_F_NOTIFICATION : 0);
}

static int vu_get_features(struct vhost_user *vu, struct vu_message *msg)
{
	return vu_reply_u64(msg, vu_features(vu));
}

static int vu_set_features(struct vhost_user *vu, struct vu_message *msg)
{
	bool event_idx = msg->payload.u64 & 1ULL << VIRTIO_RING_F_EVENT_IDX;
	bool protocol = msg->payload.u64 & VU_F_PROTOCOL_FEATURES;

	if (msg->payload.u64 & ~vu_features(vu))
		return -EINVAL;
	if (vu->device->notifications)
		vu->device->notifications(msg->payload.u64 & VU_F_NOTIFICATION);
	for (unsigned int i = 0; i < vu->device->num_queues; i++) {
		struct queue *queue = &vu->device->queues[i];

		queue_set_event_idx(queue, event_idx);
		/* Without that feature there is no SET_VRING_ENABLE. */
		if (!protocol)
			queue_enable(queue, true);
	}
	return 0;
}

static int vu_get_protocol_features(struct vhost_user *vu,
				    struct vu_message *msg)
{
	uint64_t features = VU_PROTOCOL_FEATURES;

	if (vu->device->window)
		features |= VU_PROTOCOL_FEATURES_WINDOW;
	/*
	 * Regions one by one are for the many that stock maps make. QEMU's list of
	 * them has a flaw, see vu_add_mem_reg(); a whole table of a few has none.
	 */
	if (vu_backend_one_map(vu->device->backend))
		features &= ~VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS;
	return vu_reply_u64(msg, features);
}

static int vu_set_protocol_features(struct vhost_user *vu,
				    struct vu_message *msg)
{
	uint64_t need = VU_PROTOCOL_FEATURES_WINDOW | VU_PROTOCOL_F_REPLY_ACK;

	if (!vu->device->window)
		return 0;
	if (~msg->payload.u64 & need)
		log_warn("front-end: no shared memory: the guest has no DAX");
	else if (!vu_backend_one_map(vu->device->backend))
		log_info("front-end: QEMU prints 'vhost_set_mem_table failed' for each map: harmless, see LIMITS in virtiofs-daxd(8)");
	return 0;
}

static int vu_nothing(struct vhost_user *vu, struct vu_message *msg)
{
	(void)vu;
	(void)msg;
	return 0;
}

static int vu_get_queue_num(struct vhost_user *vu, struct vu_message *msg)
{
	return vu_reply_u64(msg, vu->device->num_queues);
}

static int vu_get_max_mem_slots(struct vhost_user *vu, struct vu_message *msg)
{
	(void)vu;
	return vu_reply_u64(msg, GUEST_MEM_MAX_REGIONS);
}

static int vu_set_backend_req_fd(struct vhost_user *vu, struct vu_message *msg)
{
	int fd = vu_take_fd(msg, 0);

	if (fd < 0)
		return -EINVAL;
	vu_backend_set_fd(vu->device->backend, fd);
	return 0;
}

/*
 * What the front-end was told its device is like, it does not compare with what we
 * serve; nor does it say why the guest cannot use it. QEMU names its queues when it
 * makes the device, and reads the configuration as a whole.
 */
static void vu_check_device(const struct vhost_user *vu, uint64_t config_len)
{
	const struct vhost_user_device *device = vu->device;

	if (vu->queues && vu->queues < device->num_queues)
		log_warn_once("front-end: its device has %u queues, and %u are served: a guest may not be able to use it; QEMU's device needs num_vqs=%u",
			      vu->queues, device->num_queues,
			      device->num_queues);
	if (config_len < device->config_len)
		log_warn_once("front-end: its device has a configuration of %lu bytes, and %zu are served: a guest may not be able to use it; QEMU's device needs config_size=%zu",
			      config_len, device->config_len,
			      device->config_len);
}

static int vu_get_config(struct vhost_user *vu, struct vu_message *msg)
{
	struct vu_config *config = &msg->payload.config;
	size_t head = offsetof(struct vu_config, data);
	uint64_t end;

	if (msg->header.size < head || config->size > VU_MAX_CONFIG ||
	    !range_end(config->offset, config->size, &end) ||
	    end > VU_MAX_CONFIG)
		return -EINVAL;
	if (!config->offset)
		vu_check_device(vu, end);
	memset(config->data, 0, config->size);
	if (config->offset < vu->device->config_len)
		memcpy(config->data,
		       (const char *)vu->device->config + config->offset,
		       min(vu->device->config_len, end) - config->offset);
	msg->reply_size = head + config->size;
	return 0;
}

static int vu_refuse(struct vhost_user *vu, struct vu_message *msg)
{
	(void)vu;
	(void)msg;
	return -EPERM;
}

static int vu_get_shmem_config(struct vhost_user *vu, struct vu_message *msg)
{
	memset(&msg->payload.shmem, 0, sizeof(msg->payload.shmem));
	msg->payload.shmem.count = vu->device->window ? 1 : 0;
	msg->payload.shmem.size[0] = vu->device->window;
	msg->reply_size = sizeof(msg->payload.shmem);
	return 0;
}

#define SIZE_OF(member) sizeof(((union vu_payload *)0)->member)

/* What to do for each message, and the least payload it must have. */
static const struct {
	const char *name;
	vu_handler *handle;
	size_t size;
} vu_handlers[VU_REQUEST_MAX] = {
	[VU_GET_FEATURES] = { "GET_FEATURES", vu_get_features, 0 },
	[VU_SET_FEATURES] = { "SET_FEATURES", vu_set_features, SIZE_OF(u64) },
	[VU_SET_OWNER] = { "SET_OWNER", vu_nothing, 0 },
	[VU_RESET_OWNER] = { "RESET_OWNER", vu_nothing, 0 },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", vu_set_mem_table,
			       offsetof(struct vu_mem_table, regions) },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", vu_set_vring_num,
			       SIZE_OF(state) },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", vu_set_vring_addr,
				SIZE_OF(addr) },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", vu_set_vring_base,
				SIZE_OF(state) },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", vu_get_vring_base,
				SIZE_OF(state) },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", vu_set_vring_kick,
				SIZE_OF(u64) },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", vu_set_vring_call,
				SIZE_OF(u64) },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", vu_nothing, SIZE_OF(u64) },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES",
				       vu_get_protocol_features, 0 },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES",
				       vu_set_protocol_features,
				       SIZE_OF(u64) },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", vu_get_queue_num, 0 },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", vu_set_vring_enable,
				  SIZE_OF(state) },
	[VU_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD",
				    vu_set_backend_req_fd, 0 },
	[VU_GET_CONFIG] = { "GET_CONFIG", vu_get_config,
			    offsetof(struct vu_config, data) },
	[VU_SET_CONFIG] = { "SET_CONFIG", vu_refuse, 0 },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS",
				   vu_get_max_mem_slots, 0 },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", vu_add_mem_reg, SIZE_OF(reg) },
	[VU_REM_MEM_REG] = { "REM_MEM_REG", vu_rem_mem_reg, SIZE_OF(reg) },
	[VU_GET_SHMEM_CONFIG] = { "GET_SHMEM_CONFIG", vu_get_shmem_config, 0 },
};

static int vu_receive(struct vhost_user *vu, struct vu_message *msg)
{
	ssize_t n;

	n = fd_receive(vu->conn, &msg->header, sizeof(msg->header), msg->fds,
		       &msg->num_fds);
	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n < 0)
		return n;
	if (n != sizeof(msg->header) ||
	    (msg->header.flags & VU_VERSION_MASK) != VU_VERSION ||
	    msg->header.size > sizeof(msg->payload))
		return -EPROTO;
	if (!msg->header.size)
		return 1;
	do {
		n = recv(vu->conn, &msg->payload, msg->header.size,
			 MSG_WAITALL);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)msg->header.size ? 1 : -EPROTO;
}

static int vu_send(struct vhost_user *vu, struct vu_message *msg)
{
	struct vu_header header = {
		.request = msg->header.request,
		.flags = VU_VERSION | VU_REPLY,
		.size = msg->reply_size,
	};
	struct iovec iov[] = {
		{ &header, sizeof(header) },
		{ &msg->payload, msg->reply_size },
	};

	/* In one piece, so that the front-end is woken up once. */
	return fd_send(vu->conn, iov, 2, -1);
}

static int vu_dispatch(struct vhost_user *vu, struct vu_message *msg)
{
	uint32_t request = msg->header.request;
	int err;

	if (request >= VU_REQUEST_MAX || !vu_handlers[request].handle) {
		log_warn("front-end: unknown message %u", request);
		return -EOPNOTSUPP;
	}
	if (msg->header.size < vu_handlers[request].size)
		err = -EINVAL;
	else
		err = vu_handlers[request].handle(vu, msg);
	log_debug("front-end: %s%s%s", vu_handlers[request].name,
		  err ? ": " : "", err ? strerror(-err) : "");
	if (err)
		log_warn("front-end: %s refused: %s", vu_handlers[request].name,
			 strerror(-err));
	return err;
}

/* Whether the front-end waits for the result, and for what. */
static int vu_answer(struct vhost_user *vu, struct vu_message *msg, int err)
{
	switch (msg->header.request) {
	case VU_GET_CONFIG:
		/* The protocol's way to refuse this one is an empty answer. */
		if (err)
			msg->reply_size = 0;
		return vu_send(vu, msg);
	case VU_GET_VRING_BASE:
		if (err)
			return -EPROTO;
		break;
	}
	if (!msg->reply_size && msg->header.flags & VU_NEED_REPLY)
		vu_reply_u64(msg, err ? 1 : 0);
	return msg->reply_size ? vu_send(vu, msg) : 0;
}

int vhost_user_handle(struct vhost_user *vu)
{
	struct vu_message msg = { 0 };
	int ret;

	ret = vu_receive(vu, &msg);
	if (ret == 1)
		ret = vu_answer(vu, &msg, vu_dispatch(vu, &msg)) ?: 1;
	for (unsigned int i = 0; i < msg.num_fds; i++)
		close_fd(&msg.fds[i]);
	return ret;
}
