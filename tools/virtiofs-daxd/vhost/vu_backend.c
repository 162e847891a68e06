// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/vu_backend.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/log.h"
#include "host/util.h"
#include "vhost/fd_pass.h"
#include "vhost/vu_proto.h"

void vu_backend_init(struct vu_backend *backend)
{
	pthread_mutex_init(&backend->lock, NULL);
	backend->fd = -1;
	backend->stock = true;
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
	if (backend->window)
		vu_window_shutdown(backend->window);
}

void vu_backend_set_fd(struct vu_backend *backend, int fd)
{
	/* Or a message on the old channel would keep the lock. */
	if (backend->fd >= 0)
		shutdown(backend->fd, SHUT_RDWR);
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

static void count_one(uint64_t *count)
{
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

static int stock_map(struct vu_backend *backend, const struct vu_map *map)
{
	const struct vu_shmem_map shmem = {
		.fd_offset = map->fd_offset,
		.shm_offset = map->shm_offset,
		.len = map->len,
		.flags = map->writable ? VU_SHMEM_MAP_RW : 0,
	};

	int err;

	if (backend->fd < 0)
		return -ENOTCONN;
	err = backend_map(backend->fd, &shmem, map->fd);
	if (!err)
		count_one(&backend->regions_made);
	return err;
}

static int stock_unmap(struct vu_backend *backend, uint64_t shm_offset,
		       uint64_t len)
{
	const struct vu_shmem_map shmem = {
		.shm_offset = shm_offset,
		.len = len,
	};
	uint64_t answer;
	int err;

	err = backend_call(backend, VU_BACKEND_SHMEM_UNMAP, &shmem,
			   sizeof(shmem), -1, &answer);
	if (err)
		return err;
	if (answer)
		return -EINVAL;
	count_one(&backend->regions_removed);
	return 0;
}

/* Has the front-end map the base, in the ordinary way. */
static int show_base(struct vu_backend *backend)
{
	const struct vu_map map = {
		.fd = vu_window_base(backend->window),
		.len = vu_window_len(backend->window),
		.writable = true,
	};
	int err;

	if (backend->based)
		return 0;
	/* If it stops meanwhile, a base too many is made, rather than none. */
	backend->based_at = vu_backend_stops(backend);
	err = stock_map(backend, &map);
	/* One that should be gone may be there still. */
	if (err == -ENOMEM && !stock_unmap(backend, 0, map.len))
		err = stock_map(backend, &map);
	err = err ?: vu_window_query(backend->window);
	backend->based = !err;
	if (err)
		log_err("window: the VMM has not mapped it: %s", strerror(-err));
	return err;
}

static int one_map_map(struct vu_backend *backend, const struct vu_map *map)
{
	return show_base(backend) ?: vu_window_map(backend->window, map);
}

static int one_map_unmap(struct vu_backend *backend, uint64_t shm_offset,
			 uint64_t len)
{
	if (!backend->based)
		return 0;
	return vu_window_blank(backend->window, shm_offset, len);
}

static const char *why_not(int err)
{
	switch (err) {
	case -ENOENT:
		return "it has not connected";
	case -EPERM:
		return "it may not be used with another device or option of the VMM, as that has said, or is another user's";
	}
	return strerror(-err);
}

bool vu_backend_settle(struct vu_backend *backend, int front_end)
{
	int err;

	if (!backend->window)
		return backend->stock;
	err = vu_window_open(backend->window, front_end);
	backend->one_map = !err;
	backend->maps = err ? 0 : vu_window_maps(backend->window);
	if (!err)
		log_info("window: one map, by the library in the VMM, of up to %u parts of files",
			 backend->maps);
	else
		log_warn("window: no library in the VMM: %s; %s", why_not(err),
			 backend->stock ? "using stock maps" :
			 "the guest has no DAX");
	return backend->one_map || backend->stock;
}

void vu_backend_stopped(struct vu_backend *backend)
{
	__atomic_add_fetch(&backend->stops, 1, __ATOMIC_RELEASE);
}

unsigned int vu_backend_stops(const struct vu_backend *backend)
{
	return __atomic_load_n(&backend->stops, __ATOMIC_ACQUIRE);
}

void vu_backend_reset(struct vu_backend *backend)
{
	pthread_mutex_lock(&backend->lock);
	if (backend->based_at != vu_backend_stops(backend))
		backend->based = false;
	pthread_mutex_unlock(&backend->lock);
}

uint64_t vu_backend_report(struct vu_backend *backend, uint64_t *shm_offset,
			   uint64_t *len)
{
	if (!backend->window)
		return 0;
	return vu_window_report(backend->window, shm_offset, len);
}

int vu_backend_map(struct vu_backend *backend, const struct vu_map *map)
{
	int err;

	pthread_mutex_lock(&backend->lock);
	if (backend->one_map)
		err = one_map_map(backend, map);
	else
		err = stock_map(backend, map);
	pthread_mutex_unlock(&backend->lock);
	return err;
}

int vu_backend_unmap(struct vu_backend *backend, uint64_t shm_offset,
		     uint64_t len)
{
	int err;

	pthread_mutex_lock(&backend->lock);
	if (backend->one_map)
		err = one_map_unmap(backend, shm_offset, len);
	else
		err = stock_unmap(backend, shm_offset, len);
	pthread_mutex_unlock(&backend->lock);
	return err;
}
