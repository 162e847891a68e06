// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many files, small writes, and other programs:
 *
 *	read-all DIR			every file below DIR once; files a second
 *	append FILE COUNT FSYNC_EACH	4 KiB at the end of a new file, with an
 *					fsync after each so many (0: none); the
 *					end is on the server within the time
 *	start PROGRAM...		run each once, one after the other: seconds
 *	time COMMAND...			seconds
 */
#define _GNU_SOURCE
#include "workload.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK	(128 << 10)

static char *buf;
static size_t files;

static int read_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	ssize_t got;
	int fd;

	(void)st;
	(void)ftw;
	if (type != FTW_F)
		return 0;
	fd = open_file(path, O_RDONLY);
	do {
		got = read(fd, buf, BLOCK);
	} while (got > 0);
	if (got < 0)
		err(1, "%s", path);
	close(fd);
	files++;
	return 0;
}

void work_read_all(char **arg)
{
	buf = allocate_buffer(BLOCK);
	begin();
	if (nftw(arg[0], read_one, 16, FTW_PHYS))
		err(1, "%s", arg[0]);
	report(files / end(), "files/s");
}

void work_append(char **arg)
{
	size_t count = number(arg[1]), each = number(arg[2]);
	int fd = open_file(arg[0], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);

	buf = allocate(PAGE);
	begin();
	for (size_t i = 1; i <= count; i++) {
		if (write(fd, buf, PAGE) != (ssize_t)PAGE)
			err(1, "%s", arg[0]);
		if (((each && i % each == 0) || i == count) && fsync(fd))
			err(1, "fsync");
	}
	report(count / end(), "ops/s");
	unlink(arg[0]);
}

static void run(char **command)
{
	int status;
	pid_t pid;

	errno = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
	if (errno)
		err(1, "%s", command[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "%s ended with status %x", command[0], status);
}

void work_start(char **arg)
{
	begin();
	for (; *arg; arg++) {
		char *command[] = { *arg, "true", NULL };

		run(command);
	}
	report(end(), "s");
}

void work_time(char **arg)
{
	begin();
	run(arg);
	report(end(), "s");
}
