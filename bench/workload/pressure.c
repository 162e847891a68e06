// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files that are in use while something else wants the window:
 *
 *	hot SCAN TIME FILE...	load 4 KiB of each hot FILE in turn by mmap() after
 *				each 128 KiB of SCAN, which is read once by pread(),
 *				for TIME ms at most; reports the rate of the loads
 *				alone
 *	pins PINNED FILE	two pages of PINNED, one in each half, are in a
 *				pipe by vmsplice(); sum FILE by mmap() in another
 *				process, which has LIMIT seconds
 */
#define _GNU_SOURCE
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK		(128UL << 10)
#define MAX_FILES	64
#define LIMIT		20

struct hot {
	char *map[MAX_FILES];
	size_t size[MAX_FILES];
	size_t files;
	size_t turn;
	char *buf;
};

/* One page of each, another one in each turn */
static size_t load_each(struct hot *hot)
{
	for (size_t i = 0; i < hot->files; i++) {
		size_t page = hot->turn % (hot->size[i] / PAGE);

		memcpy(hot->buf, hot->map[i] + page * PAGE, PAGE);
	}
	hot->turn++;
	return hot->files;
}

static void open_hot(struct hot *hot, char **path)
{
	hot->buf = allocate(BLOCK);
	for (; *path && hot->files < MAX_FILES; path++, hot->files++) {
		int fd = open_file(*path, O_RDONLY);

		hot->size[hot->files] = file_size(fd);
		hot->map[hot->files] = map_file(fd, PROT_READ);
		close(fd);
	}
}

void work_hot(char **arg)
{
	int fd = open_file(arg[0], O_RDONLY);
	size_t size = file_size(fd), loads = 0;
	double seconds = 0, until;
	struct hot hot = {};

	open_hot(&hot, arg + 2);
	/* Until they are as hot as they will be. */
	for (int i = 0; i < 8; i++)
		load_each(&hot);
	begin();
	until = now() + number(arg[1]) / 1e3;
	for (size_t pos = 0; pos < size && now() < until; pos += BLOCK) {
		double start;

		if (pread(fd, hot.buf, BLOCK, pos) < 0)
			err(1, "%s", arg[0]);
		start = now();
		loads += load_each(&hot);
		seconds += now() - start;
	}
	end();
	report(loads / seconds, "ops/s");
}

static void pin(const char *path, int pipe)
{
	int fd = open_file(path, O_RDONLY);
	size_t size = file_size(fd);
	char *map = map_file(fd, PROT_READ);

	for (int half = 0; half < 2; half++) {
		struct iovec page = { map + (half * 2 + 1) * size / 4 / PAGE * PAGE, PAGE };

		if (vmsplice(pipe, &page, 1, 0) != (ssize_t)PAGE)
			err(1, "vmsplice");
	}
	munmap(map, size);
	close(fd);
}

static size_t sum(const char *path)
{
	int fd = open_file(path, O_RDONLY);
	size_t size = file_size(fd);
	const volatile char *map = map_file(fd, PROT_READ);

	for (size_t pos = 0; pos < size; pos += PAGE)
		(void)map[pos];
	close(fd);
	return size;
}

void work_pins(char **arg)
{
	int pinned[2], status = -1;
	size_t size = file_size(open_file(arg[1], O_RDONLY));
	double seconds;
	pid_t child;

	if (pipe2(pinned, O_CLOEXEC))
		err(1, "pipe");
	pin(arg[0], pinned[1]);
	begin();
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		sum(arg[1]);
		_exit(0);
	}
	for (int i = 0; i < LIMIT * 1000 && !waitpid(child, &status, WNOHANG); i++)
		usleep(1000);
	seconds = end();
	/* Without the pins it can end; some drivers do not let it be killed before. */
	close(pinned[0]);
	close(pinned[1]);
	if (status == -1) {
		kill(child, SIGKILL);
		errx(1, "the faults of another file do not end in %d s", LIMIT);
	}
	if (status)
		errx(1, "the other process ended with status %x", status);
	report(size / 1e6 / seconds, "MB/s");
}
