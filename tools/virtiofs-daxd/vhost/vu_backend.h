/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backend channel: what we ask of the front-end. One message at a time;
 * each waits for its answer, which the front-end's main loop gives, or the
 * library that is loaded into it.
 *
 * So the thread that serves the front-end must never wait for one that is in
 * here: the main loop may be waiting for it.
 *
 * There are two ways to show a part of a file. Stock maps: the front-end makes a
 * map of each, refuses one that overlaps another, and takes it back only as it
 * was made. One map: the front-end maps the window once, and its library changes
 * what is to be seen there, anywhere, at once.
 */
#ifndef VIRTIOFS_DAXD_VU_BACKEND_H
#define VIRTIOFS_DAXD_VU_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vhost/vu_window.h"

/**
 * struct vu_backend - the channel
 * @lock: held across a message and its answer
 * @fd: socket, or -1; changed by the vhost-user thread alone, with @lock held
 * @window: for one map, or NULL; constant
 * @stock: stock maps may be used; constant
 * @one_map: the library is there; constant once vu_backend_settle() has returned
 * @maps: how many parts of files it can show; likewise
 * @stops: stops of the device; atomic, changed without a lock
 * @based: the front-end has mapped the base; protected by @lock
 * @based_at: @stops when it had; likewise
 * @regions_made: regions of memory that the front-end has made for us; atomic
 * @regions_removed: those that it has removed when we asked for that; atomic
 */
struct vu_backend {
	pthread_mutex_t lock;
	int fd;
	struct vu_window *window;
	bool stock;
	bool one_map;
	unsigned int maps;
	unsigned int stops;
	bool based;
	unsigned int based_at;
	uint64_t regions_made;
	uint64_t regions_removed;
};

/**
 * vu_backend_init - a channel without a front-end, and with stock maps
 * @backend: the channel
 */
void vu_backend_init(struct vu_backend *backend);
void vu_backend_destroy(struct vu_backend *backend);

/**
 * vu_backend_settle - decide in which way parts of files are shown
 * @backend: the channel
 * @front_end: the front-end's socket
 *
 * To be called once, before the front-end is served. See vu_window_open() for how
 * long it may take.
 *
 * Return: false if there is no way.
 */
bool vu_backend_settle(struct vu_backend *backend, int front_end);

/**
 * vu_backend_one_map - whether the window is one map
 * @backend: the channel, settled
 *
 * If it is, a map replaces what is there, and any part may be unmapped.
 */
static inline bool vu_backend_one_map(const struct vu_backend *backend)
{
	return backend->one_map;
}

/**
 * vu_backend_maps - how many parts of files can be shown, if the window is one map
 * @backend: the channel, settled
 */
static inline unsigned int vu_backend_maps(const struct vu_backend *backend)
{
	return backend->maps;
}

/**
 * vu_backend_regions_made - how many regions of memory the front-end has made
 * @backend: the channel
 */
static inline uint64_t vu_backend_regions_made(const struct vu_backend *backend)
{
	return __atomic_load_n(&backend->regions_made, __ATOMIC_RELAXED);
}

/**
 * vu_backend_regions_removed - and how many it has removed when it was asked to
 * @backend: the channel
 *
 * When the device is reset it removes all of them, which is not counted.
 */
static inline uint64_t vu_backend_regions_removed(const struct vu_backend *backend)
{
	return __atomic_load_n(&backend->regions_removed, __ATOMIC_RELAXED);
}

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
 * vu_backend_stopped - the front-end stops the device, perhaps to reset it
 * @backend: the channel
 *
 * Does not wait for anything.
 */
void vu_backend_stopped(struct vu_backend *backend);

/**
 * vu_backend_stops - how often that was
 * @backend: the channel
 */
unsigned int vu_backend_stops(const struct vu_backend *backend);

/**
 * vu_backend_reset - the device was reset, by which the front-end drops all maps
 * @backend: the channel
 *
 * If the window is one map, and that was made before vu_backend_stopped(), it is
 * made once more when it is needed.
 */
void vu_backend_reset(struct vu_backend *backend);

/**
 * vu_backend_report - the next report of the library, see vu_window_report()
 * @backend: the channel
 * @shm_offset: where in the window there are zeros now
 * @len: bytes of them; neither is checked
 *
 * For any thread.
 *
 * Return: how many places there were, the last of which is told, 0 for none.
 */
uint64_t vu_backend_report(struct vu_backend *backend, uint64_t *shm_offset,
			   uint64_t *len);

/**
 * vu_backend_map - show a part of a file in the window
 * @backend: the channel, settled
 * @map: what and where
 *
 * When this returns 0, the guest sees the file: not only has the front-end
 * answered, it has also put the change into force.
 *
 * Return: 0; -ENOMEM if the front-end refused; -ENOTCONN without a channel, or
 * without the library that was there; with it, what mmap() said, and then nothing
 * is shown, or -ENOTRECOVERABLE if it is not known what is.
 */
int vu_backend_map(struct vu_backend *backend, const struct vu_map *map);

/**
 * vu_backend_unmap - show nothing in a part of the window
 * @backend: the channel, settled
 * @shm_offset: where in the window
 * @len: bytes
 *
 * With stock maps it undoes a vu_backend_map(), exactly.
 *
 * Return: 0; -EINVAL if the front-end refused; -ENOTCONN as above; -ENOMEM of the
 * library. Unless it is 0, what was there may be shown still.
 */
int vu_backend_unmap(struct vu_backend *backend, uint64_t shm_offset,
		     uint64_t len);

#endif
