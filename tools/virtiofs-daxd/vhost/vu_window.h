/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window as one map: the library in QEMU (qemu/), which we tell what is to
 * be seen where. QEMU itself is only asked once to map the base.
 *
 * Only one thread at a time may be in here, except where it is said.
 */
#ifndef VIRTIOFS_DAXD_VU_WINDOW_H
#define VIRTIOFS_DAXD_VU_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct vu_map - a part of a file, and where in the window
 * @fd: the file
 * @fd_offset: where in it, page aligned
 * @shm_offset: where in the window, page aligned
 * @len: bytes, whole pages
 * @writable: the guest may write to the file there
 */
struct vu_map {
	int fd;
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	bool writable;
};

struct vu_window;

/**
 * vu_window_new - a window without a library
 * @len: size of the window
 *
 * Return: NULL with errno set.
 */
struct vu_window *vu_window_new(uint64_t len);

void vu_window_free(struct vu_window *window);

/**
 * vu_window_accept - take the connection of the front-end's library
 * @window: the window
 * @listener: socket to which it connects, of type SOCK_SEQPACKET
 * @front_end: the front-end's socket: only its process will do, if that is known
 *
 * Passes over libraries that have gone, or are of others. Does not wait, nor read
 * anything.
 */
void vu_window_accept(struct vu_window *window, int listener, int front_end);

/**
 * vu_window_open - find out whether the library will do, and tell it of the base
 * @window: the window
 * @front_end: the front-end's socket: who has it may bring a library
 *
 * Waits a few seconds at most, and for one that has connected only.
 *
 * Return: 0; -ENOENT without one; another negative errno for one that will not
 * do.
 */
int vu_window_open(struct vu_window *window, int front_end);

/**
 * vu_window_base - the file which the front-end is to map, all of it, once
 * @window: the window
 */
int vu_window_base(const struct vu_window *window);

/**
 * vu_window_len - bytes of it
 * @window: the window
 */
uint64_t vu_window_len(const struct vu_window *window);

/**
 * vu_window_maps - how many parts of files the library can show
 * @window: the window, opened
 */
unsigned int vu_window_maps(const struct vu_window *window);

/**
 * vu_window_query - whether the library has seen the front-end map the base
 * @window: the window
 *
 * Return: 0, -ENODEV, or -ENOTCONN.
 */
int vu_window_query(struct vu_window *window);

/**
 * vu_window_map - show a part of a file, in place of what is there
 * @window: the window
 * @map: what and where
 *
 * For the guest there is no time between the two.
 *
 * Return: 0; -ENOTCONN if the library has gone; what mmap() said there, and then
 * nothing is shown; -ENOTRECOVERABLE if it is not known what is.
 */
int vu_window_map(struct vu_window *window, const struct vu_map *map);

/**
 * vu_window_blank - show nothing in a part of the window
 * @window: the window
 * @shm_offset: where in the window
 * @len: bytes
 *
 * Return: 0; -ENOTCONN as above; -ENOMEM. If it fails what was there is still
 * shown.
 */
int vu_window_blank(struct vu_window *window, uint64_t shm_offset,
		    uint64_t len);

/**
 * vu_window_shutdown - let all who wait for the library fail, now and later
 * @window: the window
 *
 * For any thread.
 */
void vu_window_shutdown(struct vu_window *window);

/**
 * vu_window_reports - a descriptor that is readable when there is a report
 * @window: the window
 */
int vu_window_reports(const struct vu_window *window);

/**
 * vu_window_report - the next report: the library could not show a part of a file
 * @window: the window
 * @shm_offset: where in the window there are zeros now
 * @len: bytes of them; neither is checked
 *
 * Does not wait. For any thread.
 *
 * Return: how many places there were, the last of which is told, 0 for none.
 */
uint64_t vu_window_report(struct vu_window *window, uint64_t *shm_offset,
			  uint64_t *len);

/**
 * vu_window_is_base - whether a file is the base of a window, ours or another's
 * @fd: the file
 */
bool vu_window_is_base(int fd);

#endif
