// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * random read|write psync|mmap FILE ORDER WARMUP TIME [unsynced]: 4 KiB in the
 * order which a file made by `order` has, for WARMUP ms unmeasured, then for
 * TIME ms. As fio does, it says that access will be random; and what is written
 * is brought to the server within the measured time, or not: unsynced.
 *
 * Why not fio: under TCG it takes 1.2 s to start, 56 MB of the guest's memory,
 * and 6 to 10 us for its own work per block, which is more than a warm block
 * takes.
 */
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Operations between looks at the clock */
#define STRIDE	16

struct job {
	void (*op)(struct job *job, size_t pos);
	int fd;
	size_t size;
	char *map;
	char *buf;
	uint32_t *order;
	size_t count;
	size_t next;
};

static void op_pread(struct job *job, size_t pos)
{
	if (pread(job->fd, job->buf, PAGE, pos) != (ssize_t)PAGE)
		err(1, "read at %zu", pos);
}

static void op_pwrite(struct job *job, size_t pos)
{
	if (pwrite(job->fd, job->buf, PAGE, pos) != (ssize_t)PAGE)
		err(1, "write at %zu", pos);
}

static void op_load(struct job *job, size_t pos)
{
	memcpy(job->buf, job->map + pos, PAGE);
}

static void op_store(struct job *job, size_t pos)
{
	memcpy(job->map + pos, job->buf, PAGE);
}

static void read_order(struct job *job, const char *path)
{
	int fd = open_file(path, O_RDONLY);
	size_t size = file_size(fd);

	job->count = size / sizeof(*job->order);
	job->order = allocate(size);
	if (job->count < STRIDE || read(fd, job->order, size) != (ssize_t)size)
		err(1, "%s", path);
	close(fd);
	for (size_t i = 0; i < job->count; i++)
		if ((job->order[i] + 1) * PAGE > job->size)
			errx(1, "%s is not for a file of %zu", path, job->size);
}

/* Operations done in @seconds */
static size_t run(struct job *job, double seconds)
{
	double until = now() + seconds;
	size_t done = 0;

	while (now() < until) {
		for (int i = 0; i < STRIDE; i++) {
			job->op(job, job->order[job->next] * PAGE);
			job->next = job->next + 1 < job->count ? job->next + 1 : 0;
		}
		done += STRIDE;
	}
	return done;
}

static void prepare(struct job *job, bool write, bool mapped)
{
	if (mapped) {
		job->map = map_file(job->fd, write ? PROT_READ | PROT_WRITE : PROT_READ);
		madvise(job->map, job->size, MADV_RANDOM);
		job->op = write ? op_store : op_load;
	} else {
		posix_fadvise(job->fd, 0, job->size, POSIX_FADV_RANDOM);
		job->op = write ? op_pwrite : op_pread;
	}
}

void work_random(char **arg)
{
	bool write = !strcmp(arg[0], "write");
	bool unsynced = arg[6] && !strcmp(arg[6], "unsynced");
	double warmup = number(arg[4]) / 1e3, seconds = number(arg[5]) / 1e3;
	struct job job = { .buf = allocate(PAGE) };
	size_t done;

	job.fd = open_file(arg[2], write ? O_RDWR : O_RDONLY);
	job.size = file_size(job.fd);
	read_order(&job, arg[3]);
	prepare(&job, write, !strcmp(arg[1], "mmap"));
	run(&job, warmup);
	if (write && fsync(job.fd))
		err(1, "fsync");
	begin();
	done = run(&job, seconds);
	if (write && !unsynced && fsync(job.fd))
		err(1, "fsync");
	seconds = end();
	report(done / seconds, "ops/s");
}
