// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Times the basic ways to read and write one file of a mount. Prints `name MB/s`
 * lines.
 *
 * usage: io read|mmap|write FILE NEWFILE MIB
 *
 * FILE has to exist with MIB megabytes and must not have been touched since the
 * mount, so that the first pass is cold. NEWFILE is created.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	(1 << 20)
#define WARM	5

static char *buf;
static size_t size;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* Megabytes a second since @start */
static double rate(double start)
{
	return size / 1e6 / (now() - start);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * Warm is the median of some passes: an emulated machine goes on getting faster
 * for a while, so that one pass right after the cold one would favour whoever
 * was slow then.
 */
static double median(double (*pass)(int fd), int fd)
{
	double rates[WARM];

	for (int i = 0; i < WARM; i++)
		rates[i] = pass(fd);
	qsort(rates, WARM, sizeof(*rates), compare);
	return rates[WARM / 2];
}

static void cold_and_warm(double (*pass)(int fd), const char *name, int fd)
{
	printf("%s-cold %.1f\n", name, pass(fd));
	printf("%s-warm %.1f\n", name, median(pass, fd));
}

static double pass_read(int fd)
{
	double start = now();

	for (size_t pos = 0; pos < size; pos += BLOCK)
		if (pread(fd, buf, BLOCK, pos) != BLOCK)
			err(1, "read");
	return rate(start);
}

static double pass_write(int fd)
{
	double start = now();

	for (size_t pos = 0; pos < size; pos += BLOCK)
		if (pwrite(fd, buf, BLOCK, pos) != BLOCK)
			err(1, "write");
	return rate(start);
}

static double pass_extend(int fd)
{
	if (ftruncate(fd, 0))
		err(1, "truncate");
	return pass_write(fd);
}

static double pass_load(int fd)
{
	double megabytes, start = now();
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		err(1, "mmap");
	for (size_t pos = 0; pos < size; pos += BLOCK)
		memcpy(buf, map + pos, BLOCK);
	megabytes = rate(start);
	munmap(map, size);
	return megabytes;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 5)
		errx(2, "usage: io read|mmap|write FILE NEWFILE MIB");
	size = strtoull(argv[4], NULL, 0) << 20;
	buf = malloc(BLOCK);
	if (!buf || !size)
		errx(2, "no memory or no size");
	memset(buf, 'x', BLOCK);

	if (!strcmp(argv[1], "read")) {
		fd = open_or_die(argv[2], O_RDONLY);
		cold_and_warm(pass_read, "read", fd);
	} else if (!strcmp(argv[1], "mmap")) {
		fd = open_or_die(argv[2], O_RDONLY);
		cold_and_warm(pass_load, "mmap", fd);
	} else {
		fd = open_or_die(argv[2], O_RDWR);
		cold_and_warm(pass_write, "write", fd);
		close(fd);
		fd = open_or_die(argv[3], O_RDWR | O_CREAT | O_TRUNC);
		printf("extend %.1f\n", median(pass_extend, fd));
	}
	close(fd);
	return 0;
}
