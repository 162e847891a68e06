// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a mapping costs:
 *
 *	first FILE OTHER  from open() to the byte in the middle of FILE by mmap():
 *			us; after that of OTHER, because QEMU translates what it
 *			executes for the first time
 *	trip FILE	for the server to tell the attributes of FILE, the median
 *			of some times: us
 *	map-all DIR [PASSES]  sum each file of DIR; each page begins with the number
 *			that is the name of its file; all stay mapped until the
 *			end: files/s
 *	faults FILE	page faults to load from each page of FILE once: for 1 GiB
 *	memory [FILE]	guest memory in use; with FILE, how much more after it was
 *			read: bytes for 1 GiB
 */
#define _GNU_SOURCE
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB	(1UL << 30)
#define BLOCK	(128UL << 10)
#define TRIPS	21
#define MAX_FILES	16384

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

static uint64_t sum_pages(const char *map, size_t size, uint64_t want)
{
	uint64_t sum = 0;

	for (size_t pos = 0; pos < size; pos += PAGE) {
		const volatile uint64_t *page = (const void *)(map + pos);

		if (page[0] != want)
			errx(1, "file %lu has data of %lu at %zu", want, page[0], pos);
		for (size_t i = 0; i < PAGE / sizeof(*page); i++)
			sum += page[i];
	}
	return sum;
}

/* Names are numbers from 0 on */
static const char **map_dir(const char *dir, size_t *files, size_t *size)
{
	const char **maps = allocate(MAX_FILES * sizeof(*maps));
	char path[128];

	for (*files = 0; *files < MAX_FILES; ++*files) {
		int fd;

		snprintf(path, sizeof(path), "%s/%zu", dir, *files);
		if (access(path, F_OK))
			break;
		fd = open_file(path, O_RDONLY);
		*size = file_size(fd);
		maps[*files] = map_file(fd, PROT_READ);
		close(fd);
	}
	return maps;
}

void work_map_all(char **arg)
{
	size_t passes = arg[1] ? number(arg[1]) : 1, files, size = 0;
	const char **maps;

	begin();
	maps = map_dir(arg[0], &files, &size);
	for (size_t pass = 0; pass < passes; pass++)
		for (size_t i = 0; i < files; i++)
			sum_pages(maps[i], size, i);
	if (!files)
		errx(1, "%s: no files", arg[0]);
	report(files * passes / end(), "files/s");
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
