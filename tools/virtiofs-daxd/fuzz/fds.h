/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which descriptors there are: a fuzzer compares before and after an input.
 */
#ifndef VIRTIOFS_DAXD_FUZZ_FDS_H
#define VIRTIOFS_DAXD_FUZZ_FDS_H

#include <fcntl.h>
#include <stdint.h>

/**
 * fds_open - the lowest 64 descriptors, a bit for each that is open
 *
 * New ones get the lowest numbers, and a fuzzer has not so many itself.
 */
static inline uint64_t fds_open(void)
{
	uint64_t open = 0;

	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			open |= UINT64_C(1) << fd;
	return open;
}

#endif
