/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backend channel: what we ask of the front-end. One message at a time;
 * each waits for its answer, which the front-end's main loop gives.
 *
 * So the thread that serves the front-end must never wait for one that is in
 * here: the main loop may be waiting for it.
 */
#ifndef VIRTIOFS_DAXD_VU_BACKEND_H
#define VIRTIOFS_DAXD_VU_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct vu_backend - the channel
 * @lock: held across a message and its answer
 * @fd: socket, or -1; changed by the vhost-user thread alone, with @lock held
 */
struct vu_backend {
	pthread_mutex_t lock;
	int fd;
};

void vu_backend_init(struct vu_backend *backend);
void vu_backend_destroy(struct vu_backend *backend);

/**
 * vu_backend_set_fd - use this socket from now on; it belongs to the channel
 * @backend: the channel
 * @fd: the socket
 */
void vu_backend_set_fd(struct vu_backend *backend, int fd);

/**
 * vu_backend_shutdown - let all who wait for an answer fail, now and later
 * @backend: the channel
 */
void vu_backend_shutdown(struct vu_backend *backend);

/**
 * vu_backend_map - show a part of a file in the window
 * @backend: the channel
 * @fd: the file
 * @fd_offset: where in it, page aligned
 * @shm_offset: where in the window
 * @len: bytes
 * @writable: ask for write access
 *
 * When this returns 0, the guest sees the file: not only has the front-end
 * answered, it has also put the change into force.
 *
 * Return: 0; -ENOMEM if the front-end refused; -ENOTCONN without a channel.
 */
int vu_backend_map(struct vu_backend *backend, int fd, uint64_t fd_offset,
		   uint64_t shm_offset, uint64_t len, bool writable);

/**
 * vu_backend_unmap - undo a vu_backend_map(), exactly
 * @backend: the channel
 * @shm_offset: where in the window
 * @len: bytes
 *
 * Return: 0; -EINVAL if the front-end refused; -ENOTCONN without a channel.
 */
int vu_backend_unmap(struct vu_backend *backend, uint64_t shm_offset,
		     uint64_t len);

#endif
