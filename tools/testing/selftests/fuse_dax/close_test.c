// SPDX-License-Identifier: GPL-2.0
/*
 * What closing a file costs, and what it ends, where the server does not want to hear of
 * it (FOPEN_NOFLUSH): virtiofs-daxd --cache=coherent says so to who opens for reading.
 */
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

/* How often a file is opened, read and closed */
#define TIMES		10

#define SOON_MS		10000

FIXTURE(closing)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_SETUP(closing)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(closing)
{
	FAULT_TEARDOWN(self);
}

static int file_open(const struct dax_fs *fs, int flags)
{
	return openat(fs->dirfd, "file", flags | O_CLOEXEC);
}

/* Opens, reads and closes it; how many FLUSH that cost, or -1 */
static long flushes(const struct dax_fs *fs, int flags)
{
	long before = fault_requests(fs, "flush");
	char byte;
	int fd, i;

	for (i = 0; i < TIMES; i++) {
		fd = file_open(fs, flags);
		if (fd < 0 || read(fd, &byte, 1) != 1)
			return -1;
		close(fd);
	}
	return fault_requests(fs, "flush") - before;
}

static int lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	return fcntl(fd, F_SETLK, &lock) ? errno : 0;
}

/* Whether another process gets the lock: 0 or the error */
static int other_locks(const struct dax_fs *fs)
{
	pid_t pid = fork();

	if (!pid)
		_exit(lock(file_open(fs, O_RDWR), F_WRLCK));
	return wait_within(pid, SOON_MS);
}

/*
 * Rule: who has only read a file has nothing to tell when it closes it.
 * Wrong: each close waits for the server.
 * Right: no FLUSH; one each where the file was open for writing.
 * in-tree 7.3: as here, but see locks_end.
 */
TEST_F_TIMEOUT(closing, nothing_to_tell, 60)
{
	EXPECT_EQ(0, flushes(&self->fs, O_RDONLY));
	EXPECT_EQ(TIMES, flushes(&self->fs, O_RDWR));
}

/*
 * Rule: closing any descriptor of a file ends the POSIX locks that the process has on it.
 * Wrong: they stay, and others wait for a lock that nobody has.
 * Right: the next one gets it.
 * in-tree 7.3: fails with this server.
 */
TEST_F_TIMEOUT(closing, locks_end, 60)
{
	int fd = file_open(&self->fs, O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, lock(fd, F_RDLCK));
	EXPECT_EQ(EAGAIN, other_locks(&self->fs));
	/* What was opened before the lock, or after it */
	close(file_open(&self->fs, O_RDONLY));
	EXPECT_EQ(0, other_locks(&self->fs));

	ASSERT_EQ(0, lock(fd, F_RDLCK));
	EXPECT_EQ(EAGAIN, other_locks(&self->fs));
	close(fd);
	EXPECT_EQ(0, other_locks(&self->fs));

	/* Whoever closes it from now on may have one */
	EXPECT_EQ(TIMES, flushes(&self->fs, O_RDONLY));
}

TEST_HARNESS_MAIN
