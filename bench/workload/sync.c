// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stores by mmap that are to be on the server, by one who keeps the mapping:
 *
 *	fsync FILE COUNT STORES	a fsync() after each so many stores to random pages
 *	close FILE COUNT	a store, then open() and close() of the file
 *
 * Each page is mapped writable before, so that it is the second store that counts.
 */
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct store {
	int fd;
	volatile char *map;
	size_t pages;
	uint64_t state;
};

static void store(struct store *job)
{
	job->state ^= job->state << 13;
	job->state ^= job->state >> 7;
	job->state ^= job->state << 17;
	job->map[job->state % job->pages * PAGE]++;
}

static void prepare(struct store *job, const char *path)
{
	job->fd = open_file(path, O_RDWR);
	job->pages = file_size(job->fd) / PAGE;
	job->map = map_file(job->fd, PROT_READ | PROT_WRITE);
	job->state = 0x9e3779b97f4a7c15;
	for (size_t i = 0; i < job->pages; i++)
		job->map[i * PAGE]++;
	if (fsync(job->fd))
		err(1, "fsync");
}

void work_fsync(char **arg)
{
	size_t count = number(arg[1]), stores = number(arg[2]);
	struct store job;

	prepare(&job, arg[0]);
	begin();
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < stores; j++)
			store(&job);
		if (fsync(job.fd))
			err(1, "fsync");
	}
	report(count / end(), "ops/s");
}

void work_close(char **arg)
{
	size_t count = number(arg[1]);
	struct store job;

	prepare(&job, arg[0]);
	begin();
	for (size_t i = 0; i < count; i++) {
		store(&job);
		if (close(open_file(arg[0], O_RDWR)))
			err(1, "close");
	}
	report(count / end(), "ops/s");
}
