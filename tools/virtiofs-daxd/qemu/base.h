/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The base: the memory which QEMU shows the guest as the DAX window. It is a map
 * of a memfd like any other to QEMU; this finds it by looking at what QEMU maps,
 * and changes what is to be seen in it by mmap(MAP_FIXED).
 *
 * Nothing here is ever waited for longer than an mmap() takes: what waits may be a
 * processor of the guest.
 */
#ifndef VIRTIOFS_DAX_QEMU_BASE_H
#define VIRTIOFS_DAX_QEMU_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto.h"

/* Shares of one QEMU. */
#define WINDOW_MAX 16

/* The most pieces in which a blank window is mapped. */
#define WINDOW_TILES 256

/* Maps in reserve, see base.c. */
#define SPARE_MAPS 1024

/* What takes the place of a function of the C library, in all of QEMU. */
#ifndef EXPORT
#define EXPORT __attribute__((visibility("default")))
#endif

/* The function whose place was taken. */
#define NEXT(fn) ({							\
	static __typeof__(fn) *next;					\
									\
	if (!next)							\
		*(void **)&next = dlsym(RTLD_NEXT, #fn);		\
	next;								\
})

/*
 * What was shown since code was dropped there: anything of which there may be code,
 * and what the guest can change by a store.
 */
#define SHOWN_FILE 1u
#define SHOWN_SHARED 2u
#define SHOWN_ANY (SHOWN_FILE | SHOWN_SHARED)

/**
 * struct window - the window of one share
 * @base: where QEMU has mapped it, or NULL; changed with @generation odd
 * @len: its size; 0 until the daemon has said it, constant afterwards, as is what
 *	follows
 * @base_fd: the memfd
 * @report_fd: where the daemon hears of pages that could not be had
 * @tile: what is blank shows the first bytes of the memfd, this many, again and
 *	again: so no guest can make it grow beyond that
 * @generation: how often what is there has changed, twice; odd while it is being
 *	changed, by one thread, which does not wait for anything
 * @shown: of each WINDOW_HUGE bytes, SHOWN_*; changed by the connections' thread
 * @missed: reports that were not sent; atomic
 */
struct window {
	char *base;
	uint64_t len;
	int base_fd;
	int report_fd;
	uint64_t tile;
	uint32_t generation;
	uint8_t *shown;
	uint64_t missed;
};

extern struct window windows[WINDOW_MAX];

/**
 * base_set - what the daemon says of its window
 * @window: the window
 * @len: its size, already checked
 * @base_fd: the memfd, which belongs to the window if this succeeds
 * @report_fd: likewise
 *
 * Return: 0 or a negative errno: EBADF, EINVAL for a memfd that is none or could
 * shrink; EPERM if foreign_found(); EBUSY if it was said before.
 */
int base_set(struct window *window, uint64_t len, int base_fd, int report_fd);

/**
 * base_map - show a part of a file, in place of what is there
 * @window: the window
 * @msg: WINDOW_MAP, already checked
 * @fd: the file
 *
 * Return: 0 or a negative errno, ENODEV without a base, ENOMEM if QEMU has about
 * as many maps as Linux allows. What was there is gone then as well, but with
 * ENOTRECOVERABLE, which is not known.
 */
int base_map(struct window *window, const struct window_msg *msg, int fd);

/**
 * base_blank - show nothing in a part of the window
 * @window: the window
 * @offset: where it begins
 * @len: bytes
 *
 * Return: 0 or a negative errno, ENODEV without a base. If it fails, what was there
 * may be there still.
 */
int base_blank(struct window *window, uint64_t offset, uint64_t len);

/**
 * base_find - the window of which something is in a part of memory
 * @addr: where that begins
 * @len: bytes
 * @offset: where in the window that is
 *
 * Takes no lock; for signal handlers, too.
 *
 * Return: NULL if there is nothing of any.
 */
struct window *base_find(uint64_t addr, uint64_t len, uint64_t *offset);

/**
 * base_of - the window of which a file is the base
 * @fd: the file
 *
 * Return: NULL if it is of none.
 */
struct window *base_of(int fd);

/**
 * base_generation - tells whether anything has changed since
 * @window: the window
 */
uint32_t base_generation(const struct window *window);

/**
 * base_zero - show zeros in some pages, if nothing has changed; and in what is beside
 *	them, if there are too many maps
 * @window: the window
 * @offset: of the first
 * @len: bytes
 * @generation: what base_generation() has said
 *
 * Does not wait, takes no memory of the C library; for signal handlers, too.
 *
 * Return: false if it cannot be done. True otherwise, also if it was not done as
 * something is being changed, or has been: to touch it once more will tell.
 */
bool base_zero(struct window *window, uint64_t offset, uint64_t len,
	       uint32_t generation);

#endif
