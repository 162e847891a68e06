// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What stands in for the front-end and the private mount in the fuzzer of
 * requests. QEMU ends with an assertion when a map overlaps another one or there
 * are too many; here it is the daemon's fault and a finding.
 */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "dax/backing.h"
#include "input.h"
#include "vhost/vu_backend.h"

static struct {
	uint64_t start;
	uint64_t len;
} maps[WINDOW_BUDGET];
static unsigned int num_maps;

int vu_backend_map(struct vu_backend *vu_backend, const struct vu_map *map)
{
	uint64_t fd_offset = map->fd_offset, shm_offset = map->shm_offset;
	uint64_t len = map->len;

	(void)vu_backend;
	MUST(fcntl(map->fd, F_GETFD) >= 0);
	MUST(len && shm_offset < WINDOW_SIZE && len <= WINDOW_SIZE - shm_offset);
	MUST(fd_offset <= INT64_MAX - len);
	MUST(!((fd_offset | shm_offset | len) % 4096));
	MUST(num_maps < WINDOW_BUDGET);
	for (unsigned int i = 0; i < num_maps; i++)
		MUST(shm_offset >= maps[i].start + maps[i].len ||
		     maps[i].start >= shm_offset + len);
	maps[num_maps].start = shm_offset;
	maps[num_maps++].len = len;
	return 0;
}

int vu_backend_unmap(struct vu_backend *vu_backend, uint64_t shm_offset,
		     uint64_t len)
{
	unsigned int i = 0;

	(void)vu_backend;
	while (i < num_maps && (maps[i].start != shm_offset ||
				maps[i].len != len))
		i++;
	MUST(i < num_maps);
	maps[i] = maps[--num_maps];
	return 0;
}

void window_lost(void)
{
	num_maps = 0;
}

void window_check_empty(void)
{
	MUST(!num_maps);
}

int backing_open(struct backing *backing, int fd)
{
	(void)backing;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int backing_open_copy(struct backing *backing, int fd)
{
	return backing_open(backing, fd);
}

/* What follows is of the other way to show files, by a library. */
static unsigned int stops;

void vu_backend_stopped(struct vu_backend *vu_backend)
{
	(void)vu_backend;
	stops++;
}

unsigned int vu_backend_stops(const struct vu_backend *vu_backend)
{
	(void)vu_backend;
	return stops;
}

void vu_backend_reset(struct vu_backend *vu_backend)
{
	(void)vu_backend;
}

uint64_t vu_backend_report(struct vu_backend *vu_backend, uint64_t *shm_offset,
			   uint64_t *len)
{
	(void)vu_backend;
	(void)shm_offset;
	(void)len;
	return 0;
}
