/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that others can take away: a mapping whose file is cut off, or has no
 * room for a page, answers an access with SIGBUS. In a mapping that is entered
 * here the access goes on, in memory of zeros that nobody else sees.
 *
 * Only what the processor does is meant: a system call which is given such
 * memory fails with EFAULT.
 */
#ifndef VIRTIOFS_DAXD_SIGBUS_H
#define VIRTIOFS_DAXD_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/* The most mappings at a time. */
#define SIGBUS_MAX_GUARDS 1024

struct sigbus_guard;

/**
 * sigbus_open - from now on guarded mappings do not end the process
 *
 * Other mappings still do.
 *
 * Return: 0 or a negative errno.
 */
int sigbus_open(void);

/**
 * sigbus_guard - enter a mapping
 * @start: its first byte
 * @len: bytes
 * @block: bytes of a page of its file; it starts and ends at such ones
 *
 * Return: NULL if there are SIGBUS_MAX_GUARDS already.
 */
struct sigbus_guard *sigbus_guard(void *start, size_t len, size_t block);

/**
 * sigbus_release - forget a mapping, which nobody touches any more
 * @guard: the mapping, or NULL
 */
void sigbus_release(struct sigbus_guard *guard);

/**
 * sigbus_intact - whether a part of a mapping is still the file's
 * @guard: the mapping
 * @ptr: first byte of the part
 * @len: its bytes
 *
 * From the first place that was missed on, none is.
 */
bool sigbus_intact(const struct sigbus_guard *guard, const void *ptr,
		   size_t len);

/**
 * sigbus_report - log what the handler cannot; cheap when there is nothing
 */
void sigbus_report(void);

#endif
