// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Times the basic ways to read and write one file of a mount, each by the
 * amount of data that an argument says. Prints `name MB/s` lines.
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

static char *buf;
static size_t size;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void report(const char *name, double start)
{
	printf("%s %.1f\n", name, size / 1e6 / (now() - start));
	fflush(stdout);
}

static void pass_read(const char *name, int fd)
{
	double start = now();

	for (size_t pos = 0; pos < size; pos += BLOCK)
		if (pread(fd, buf, BLOCK, pos) != BLOCK)
			err(1, "read");
	report(name, start);
}

static void pass_write(const char *name, int fd)
{
	double start = now();

	for (size_t pos = 0; pos < size; pos += BLOCK)
		if (pwrite(fd, buf, BLOCK, pos) != BLOCK)
			err(1, "write");
	report(name, start);
}

static void pass_load(const char *name, int fd)
{
	double start = now();
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		err(1, "mmap");
	for (size_t pos = 0; pos < size; pos += BLOCK)
		memcpy(buf, map + pos, BLOCK);
	report(name, start);
	munmap(map, size);
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
		pass_read("read-cold", fd);
		pass_read("read-warm", fd);
	} else if (!strcmp(argv[1], "mmap")) {
		fd = open_or_die(argv[2], O_RDONLY);
		pass_load("mmap-cold", fd);
		pass_load("mmap-warm", fd);
	} else {
		fd = open_or_die(argv[2], O_RDWR);
		pass_write("write-cold", fd);
		pass_write("write-warm", fd);
		close(fd);
		fd = open_or_die(argv[3], O_RDWR | O_CREAT | O_TRUNC);
		pass_write("extend", fd);
	}
	close(fd);
	return 0;
}
