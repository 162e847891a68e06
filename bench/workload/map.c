// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a mapping costs:
 *
 *	first FILE OTHER  from open() to the byte in the middle of FILE by mmap():
 *			us; after that of OTHER, because QEMU translates what it
 *			executes for the first time
 *	trip FILE	for the server to tell the attributes of FILE, the median
 *			of some times: us
 *	faults FILE	page faults to load from each page of FILE once: for 1 GiB
 *	memory [FILE]	guest memory in use; with FILE, how much more after it was
 *			read: bytes for 1 GiB
 */
#define _GNU_SOURCE
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB	(1UL << 30)
#define BLOCK	(128UL << 10)
#define TRIPS	21

static void touch_middle(const char *path)
{
	int fd = open_file(path, O_RDONLY);
	volatile char *map = map_file(fd, PROT_READ);

	(void)map[file_size(fd) / 2];
}

void work_first(char **arg)
{
	touch_middle(arg[1]);
	begin();
	touch_middle(arg[0]);
	report(end() * 1e6, "us");
}

void work_trip(char **arg)
{
	double seconds[TRIPS];
	struct statx stx;

	begin();
	for (int i = 0; i < TRIPS; i++) {
		double start = now();

		if (statx(AT_FDCWD, arg[0], AT_STATX_FORCE_SYNC, STATX_SIZE, &stx))
			err(1, "%s", arg[0]);
		seconds[i] = now() - start;
	}
	end();
	report(median(seconds, TRIPS) * 1e6, "us");
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

void work_faults(char **arg)
{
	int fd = open_file(arg[0], O_RDONLY);
	size_t size = file_size(fd);
	volatile char *map = map_file(fd, PROT_READ);
	long before;

	begin();
	before = faults();
	for (size_t pos = 0; pos < size; pos += PAGE)
		(void)map[pos];
	before = faults() - before;
	end();
	report((double)before * GIB / size, "count");
}

/* A value of /proc/meminfo, bytes */
static double meminfo(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char format[64], line[128];
	unsigned long kib = 0;

	if (!file)
		err(1, "/proc/meminfo");
	snprintf(format, sizeof(format), "%s: %%lu kB", name);
	while (fgets(line, sizeof(line), file) && sscanf(line, format, &kib) != 1)
		;
	fclose(file);
	return kib * 1024.0;
}

static size_t read_file(const char *path)
{
	int fd = open_file(path, O_RDONLY);
	char *buf = allocate_buffer(BLOCK);
	size_t bytes = 0;
	ssize_t got;

	while ((got = read(fd, buf, BLOCK)) > 0)
		bytes += got;
	if (got < 0)
		err(1, "%s", path);
	close(fd);
	return bytes;
}

void work_memory(char **arg)
{
	double value = meminfo("MemFree");

	begin();
	if (arg[0]) {
		size_t bytes = read_file(arg[0]);

		value = (value - meminfo("MemFree")) * GIB / bytes;
	} else {
		value = meminfo("MemTotal") - value;
	}
	end();
	report(value, "bytes");
}
