// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/guard_call.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/util.h"

/* Which older headers do not know */
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

/*
 * A thread that has just sent its event is about to sleep. More often others than
 * that one would run meanwhile, and everybody waits for who looks.
 */
#define TRIES 3

int guard_call_open(void)
{
	int fs = fsopen("proc", FSOPEN_CLOEXEC);
	int fd = -1, err = 0;

	if (fs < 0)
		return -errno;
	/*
	 * Without it there would be all that may be set by writing to /proc; and
	 * by links to their roots and files processes would lead out of the share.
	 */
	if (fsconfig(fs, FSCONFIG_SET_STRING, "subset", "pid", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		err = -errno;
	if (!err)
		fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY |
			     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			     MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW);
	if (!err && fd < 0)
		err = -errno;
	close_fd(&fs);
	return err ?: fd;
}

bool guard_call_own(int proc, pid_t tid)
{
	char name[48];
	struct stat st;

	snprintf(name, sizeof(name), "%d/task/%d", getpid(), tid);
	return tid && !fstatat(proc, name, &st, 0);
}

static enum guard_look read_call(int proc, struct guard_call *call)
{
	unsigned long *a = call->args, sp, pc;
	char name[32], text[256];
	int fd, error;
	ssize_t n;

	snprintf(name, sizeof(name), "%d/syscall", call->tid);
	fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? GUARD_GONE : GUARD_UNKNOWN;
	n = read(fd, text, sizeof(text) - 1);
	error = errno;
	close(fd);
	if (n <= 0)
		return n && error == ESRCH ? GUARD_GONE : GUARD_UNKNOWN;
	text[n] = 0;
	if (!strncmp(text, "running", strlen("running")))
		return GUARD_RUNS;
	if (sscanf(text, "%ld %lx %lx %lx %lx %lx %lx %lx %lx", &call->number,
		   a, a + 1, a + 2, a + 3, a + 4, a + 5, &sp, &pc) != 9)
		return GUARD_NO_CALL;
	/* io_uring's workers show for ever the call in which they were made. */
	return sp || pc ? GUARD_CALL : GUARD_NO_CALL;
}

enum guard_look guard_call_get(int proc, pid_t tid, struct guard_call *call)
{
	enum guard_look look = GUARD_UNKNOWN;

	*call = (struct guard_call){ .tid = tid };
	for (int i = 0; tid && i < TRIES; i++) {
		look = read_call(proc, call);
		if (look != GUARD_RUNS)
			break;
		sched_yield();
	}
	if (look != GUARD_CALL)
		call->number = -1;
	return look;
}

static bool open_takes(const struct guard_call *call)
{
	switch (call->number) {
#ifdef SYS_open
	case SYS_open:
		return call->args[1] & O_TRUNC;
#endif
	case SYS_openat:
		return call->args[2] & O_TRUNC;
	case SYS_execve:
	case SYS_execveat:
		return false;
	}
	return true;
}

bool guard_call_takes(const struct guard_call *call, bool open, uint64_t size,
		      uint64_t *from)
{
	*from = 0;
	if (open)
		return open_takes(call);
	switch (call->number) {
	case SYS_truncate:
	case SYS_ftruncate:
		*from = call->args[1];
		return *from < size;
	case SYS_fallocate:
		*from = call->args[2];
		return call->args[1] & FALLOC_FL_COLLAPSE_RANGE;
	case SYS_read:
	case SYS_pread64:
	case SYS_readv:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_mmap:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_copy_file_range:
	case SYS_ioctl:
	/* They read the program, and what it is run by. */
	case SYS_execve:
	case SYS_execveat:
	/* It can only read, write, sync and poll. */
	case SYS_io_submit:
		return false;
	}
	return true;
}

bool guard_call_left(int proc, const struct guard_call *call)
{
	struct guard_call now = { .tid = call->tid };

	switch (read_call(proc, &now)) {
	case GUARD_CALL:
		return now.number != call->number ||
		       memcmp(now.args, call->args, sizeof(now.args));
	case GUARD_NO_CALL:
	case GUARD_GONE:
		return true;
	default:
		/* Inside or outside, which will be seen when it sleeps. */
		return false;
	}
}
