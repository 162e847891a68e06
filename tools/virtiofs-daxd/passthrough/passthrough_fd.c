// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How many descriptors the guest may have us keep: some are left for requests, and
 * for the window.
 */
#include "passthrough/passthrough_i.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/util.h"

/* Descriptors that the guest's nodes and handles leave over; a quarter if less */
#define FD_RESERVE ((rlim_t)1024)
/* More than are opened while something is created, by all threads */
#define FD_PROBE 16

/* The lowest that is free is taken, so the number tells how many are not. */
static int fd_leaves(int fd, rlim_t part, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) ||
	    (rlim_t)fd < limit.rlim_cur - min(limit.rlim_cur / part, most))
		return 0;
	return -EMFILE;
}

int fd_spared(int fd)
{
	return fd_leaves(fd, 4, FD_RESERVE);
}

int fd_spared_by_window(int fd)
{
	return fd_leaves(fd, 8, FD_RESERVE / 2);
}

/* The same for what takes memory in place of descriptors. */
static int known_probe(struct pt *pt)
{
	bool full;

	if (pt->opts.file_handles == PT_HANDLES_NEVER)
		return 0;
	pthread_mutex_lock(&pt->lock);
	full = known_full(pt);
	pthread_mutex_unlock(&pt->lock);
	return full ? -ENFILE : 0;
}

int fd_probe_open(struct pt *pt)
{
	int fd = fcntl(pt->proc_fd, F_DUPFD_CLOEXEC, 0), ret;

	if (fd < 0)
		return -errno;
	ret = fd_spared(fd + FD_PROBE);
	close(fd);
	return ret;
}

int fd_probe(struct pt *pt)
{
	return fd_probe_open(pt) ?: known_probe(pt);
}
