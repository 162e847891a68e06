// SPDX-License-Identifier: GPL-2.0-or-later
#include "vu_backend.h"

#include <errno.h>
#include <sys/socket.h>

#include "fd_pass.h"
#include "log.h"
#include "util.h"
#include "vu_proto.h"

void vu_backend_init(struct vu_backend *backend)
{
	pthread_mutex_init(&backend->lock, NULL);
	backend->fd = -1;
}

void vu_backend_destroy(struct vu_backend *backend)
{
	close_fd(&backend->fd);
	pthread_mutex_destroy(&backend->lock);
}

void vu_backend_shutdown(struct vu_backend *backend)
{
	if (backend->fd >= 0)
		shutdown(backend->fd, SHUT_RDWR);
}

void vu_backend_set_fd(struct vu_backend *backend, int fd)
{
	/* Or a message on the old channel would keep the lock. */
	vu_backend_shutdown(backend);
	pthread_mutex_lock(&backend->lock);
	close_fd(&backend->fd);
	backend->fd = fd;
	pthread_mutex_unlock(&backend->lock);
}

static int backend_send(int sock, uint32_t request, const void *payload,
			size_t len, int fd)
{
	struct vu_header header = {
		.request = request,
		.flags = VU_VERSION | VU_NEED_REPLY,
		.size = len,
	};
	struct iovec iov[] = {
		{ &header, sizeof(header) },
		{ (void *)payload, len },
	};

	return fd_send(sock, iov, len ? 2 : 1, fd);
}

static int backend_answer(int sock, uint32_t request, uint64_t *answer)
{
	struct {
		struct vu_header header;
		uint64_t u64;
	} __attribute__((packed)) reply;
	ssize_t n;

	do {
		n = recv(sock, &reply, sizeof(reply), MSG_WAITALL);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(reply))
		return -ENOTCONN;
	if (reply.header.request != request ||
	    reply.header.size != sizeof(reply.u64) ||
	    !(reply.header.flags & VU_REPLY)) {
		log_err("front-end: unexpected answer on the backend channel");
		shutdown(sock, SHUT_RDWR);
		return -ENOTCONN;
	}
	*answer = reply.u64;
	return 0;
}

static int backend_call(struct vu_backend *backend, uint32_t request,
			const void *payload, size_t len, int fd,
			uint64_t *answer)
{
	int err;

	if (backend->fd < 0)
		return -ENOTCONN;
	err = backend_send(backend->fd, request, payload, len, fd);
	if (err)
		return err;
	return backend_answer(backend->fd, request, answer);
}

/*
 * QEMU answers a MAP before it puts the new memory into force. It handles the
 * next message after that, so the answer to any second message, which we do not
 * wait to send, says that the first is done. An interrupt would come later
 * still, but the guest may find our reply while it handles an earlier interrupt.
 */
static int backend_map(int sock, const struct vu_shmem_map *map, int fd)
{
	uint64_t answer, barrier;
	int err;

	err = backend_send(sock, VU_BACKEND_SHMEM_MAP, map, sizeof(*map), fd);
	if (!err)
		err = backend_send(sock, VU_BACKEND_CONFIG_CHANGE, NULL, 0, -1);
	if (!err)
		err = backend_answer(sock, VU_BACKEND_SHMEM_MAP, &answer);
	if (!err)
		err = backend_answer(sock, VU_BACKEND_CONFIG_CHANGE, &barrier);
	if (err)
		return err;
	return answer ? -ENOMEM : 0;
}

int vu_backend_map(struct vu_backend *backend, int fd, uint64_t fd_offset,
		   uint64_t shm_offset, uint64_t len, bool writable)
{
	struct vu_shmem_map map = {
		.fd_offset = fd_offset,
		.shm_offset = shm_offset,
		.len = len,
		.flags = writable ? VU_SHMEM_MAP_RW : 0,
	};
	int err = -ENOTCONN;

	pthread_mutex_lock(&backend->lock);
	if (backend->fd >= 0)
		err = backend_map(backend->fd, &map, fd);
	pthread_mutex_unlock(&backend->lock);
	return err;
}

int vu_backend_unmap(struct vu_backend *backend, uint64_t shm_offset,
		     uint64_t len)
{
	struct vu_shmem_map map = {
		.shm_offset = shm_offset,
		.len = len,
	};
	uint64_t answer;
	int err;

	pthread_mutex_lock(&backend->lock);
	err = backend_call(backend, VU_BACKEND_SHMEM_UNMAP, &map, sizeof(map),
			   -1, &answer);
	if (!err && answer)
		err = -EINVAL;
	pthread_mutex_unlock(&backend->lock);
	return err;
}
