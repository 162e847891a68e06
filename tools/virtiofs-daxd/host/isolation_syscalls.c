// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stage 6 of isolation.c: the system calls that there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/isolation_i.h"
#include "host/util.h"

#define CALL(name) SCMP_SYS(name)

/* Memory, threads, time, descriptors: what any thread does. */
static const int common_calls[] = {
	CALL(brk), CALL(clock_getres), CALL(clock_gettime),
	CALL(clock_nanosleep), CALL(close), CALL(close_range), CALL(dup),
	CALL(dup2), CALL(dup3), CALL(epoll_create1), CALL(epoll_ctl),
	CALL(epoll_pwait), CALL(epoll_wait), CALL(eventfd2), CALL(exit),
	CALL(exit_group), CALL(fcntl), CALL(fstat), CALL(futex),
	CALL(getegid), CALL(geteuid), CALL(getgid), CALL(getpid),
	CALL(getrandom), CALL(gettid), CALL(gettimeofday), CALL(getuid),
	CALL(lseek), CALL(madvise), CALL(membarrier), CALL(mremap),
	CALL(munmap), CALL(nanosleep), CALL(newfstatat), CALL(openat),
	CALL(pipe2), CALL(poll), CALL(ppoll), CALL(pread64), CALL(preadv),
	CALL(preadv2), CALL(pwrite64), CALL(pwritev), CALL(pwritev2),
	CALL(read), CALL(readv), CALL(restart_syscall), CALL(rseq),
	CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(rt_sigsuspend),
	CALL(rt_sigtimedwait), CALL(sched_getaffinity), CALL(sched_yield),
	CALL(set_robust_list), CALL(sigaltstack), CALL(signalfd4),
	CALL(statx), CALL(sysinfo), CALL(time), CALL(timerfd_create),
	CALL(timerfd_settime), CALL(uname), CALL(write), CALL(writev),
};

/* The protocol of the front-end, and files in every way. */
static const int request_calls[] = {
	CALL(accept4), CALL(cachestat), CALL(capget), CALL(capset), CALL(connect),
	CALL(copy_file_range), CALL(fadvise64), CALL(fallocate), CALL(fchdir),
	CALL(fchmod), CALL(fchmodat), CALL(fchmodat2), CALL(fchownat),
	CALL(fdatasync), CALL(fgetxattr), CALL(flock), CALL(fstatfs),
	CALL(fsync), CALL(ftruncate), CALL(getdents64), CALL(getsockopt),
	CALL(getxattr), CALL(linkat), CALL(listxattr), CALL(memfd_create),
	CALL(mkdirat), CALL(mknodat), CALL(name_to_handle_at), CALL(openat2),
	CALL(readahead),
	CALL(readlinkat), CALL(recvfrom), CALL(recvmsg), CALL(removexattr),
	CALL(renameat), CALL(renameat2), CALL(sendmsg), CALL(sendto),
	CALL(setfsgid), CALL(setfsuid), CALL(setxattr), CALL(shutdown),
	CALL(symlinkat), CALL(sync_file_range), CALL(syncfs), CALL(umask),
	CALL(unlinkat), CALL(utimensat),
};

/* Files by their handles. */
static const int handle_calls[] = { CALL(open_by_handle_at) };

/* What a file is called. */
static const int guard_calls[] = { CALL(readlinkat) };

/* libfuse's loop on /dev/fuse, and descriptors from the other threads. */
static const int backing_calls[] = {
	CALL(recvmsg), CALL(splice), CALL(vmsplice),
};

static int allow(scmp_filter_ctx ctx, const int *calls, size_t nr)
{
	int ret = 0;

	/* A number below zero: the architecture has no such call. */
	for (size_t i = 0; i < nr && !ret; i++)
		if (calls[i] >= 0)
			ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	return ret;
}

/* A call that is harmless with some arguments only. */
struct call_if {
	int call;
	struct scmp_arg_cmp cmp;
};

static int allow_if(scmp_filter_ctx ctx, const struct call_if *calls, size_t nr)
{
	int ret = 0;

	for (size_t i = 0; i < nr && !ret; i++)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i].call, 1,
				       calls[i].cmp);
	return ret;
}

static int allow_partly(scmp_filter_ctx ctx)
{
	const struct call_if calls[] = {
		/* Threads only. */
		{ CALL(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD,
				       CLONE_THREAD) },
		{ CALL(unshare), SCMP_A0(SCMP_CMP_EQ, CLONE_FS) },
		{ CALL(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		{ CALL(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		/* Single files, not all of a mount or file system. */
		{ CALL(fanotify_mark), SCMP_A1(SCMP_CMP_MASKED_EQ,
					       FAN_MARK_MOUNT |
					       FAN_MARK_FILESYSTEM, 0) },
		/* Its handler is what makes a violation end the process. */
		{ CALL(rt_sigaction), SCMP_A0(SCMP_CMP_NE, SIGSYS) },
		{ CALL(tgkill), SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()) },
		{ CALL(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0) },
		{ CALL(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME) },
		/* Syslog connects again if its first connection breaks. */
		{ CALL(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX) },
		/* Standard I/O asks whether a stream is a terminal. */
		{ CALL(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS) },
	};
	int ret;

	/* Its flags are in memory; the C library then uses clone(). */
	ret = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
	return ret ? ret : allow_if(ctx, calls, ARRAY_SIZE(calls));
}

static int allow_backing(scmp_filter_ctx ctx)
{
	const struct call_if calls[] = {
		{ CALL(ioctl), SCMP_A1(SCMP_CMP_EQ,
				       FUSE_DEV_IOC_BACKING_OPEN) },
		{ CALL(ioctl), SCMP_A1(SCMP_CMP_EQ,
				       FUSE_DEV_IOC_BACKING_CLOSE) },
	};
	int ret = allow(ctx, backing_calls, ARRAY_SIZE(backing_calls));

	return ret ? ret : allow_if(ctx, calls, ARRAY_SIZE(calls));
}

static int allow_role(scmp_filter_ctx ctx, enum isolation_role role)
{
	int ret = allow(ctx, common_calls, ARRAY_SIZE(common_calls));

	if (!ret)
		ret = allow_partly(ctx);
	if (ret)
		return ret;
	if (role == ISOLATION_BACKING)
		return allow_backing(ctx);
	if (role == ISOLATION_GUARD)
		return allow(ctx, guard_calls, ARRAY_SIZE(guard_calls));
	if (role == ISOLATION_HANDLES)
		ret = allow(ctx, handle_calls, ARRAY_SIZE(handle_calls));
	return ret ?: allow(ctx, request_calls, ARRAY_SIZE(request_calls)) ?:
	       seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(ioctl), 1,
				SCMP_A1(SCMP_CMP_EQ, FS_IOC_FIEMAP)) ?:
	       seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(ioctl), 1,
				SCMP_A1(SCMP_CMP_EQ, FS_IOC_GETFLAGS));
}

static int violation_fd = -1;

/* Say which call it was, then die of the signal as without a handler. */
static void on_violation(int sig, siginfo_t *info, void *context)
{
	char line[96];
	int len;

	(void)context;
	len = snprintf(line, sizeof(line),
		       "virtiofs-daxd: system call %d is not allowed\n",
		       info->si_syscall);
	if (violation_fd >= 0 && len > 0 &&
	    write(violation_fd, line, (size_t)len) < 0)
		violation_fd = -1;
	/* SA_RESETHAND has restored the default action. */
	raise(sig);
}

static int watch_violations(int log_fd)
{
	struct sigaction action = {
		.sa_sigaction = on_violation,
		.sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER),
	};

	violation_fd = log_fd;
	return sigaction(SIGSYS, &action, NULL) ? -errno : 0;
}

/* A call that is not on the list: the kernel's word for what becomes of it. */
static uint32_t action(enum isolation_violation violation)
{
	switch (violation) {
	case ISOLATION_LOG:
		return SCMP_ACT_LOG;
	case ISOLATION_EPERM:
		return SCMP_ACT_ERRNO(EPERM);
	default:
		return SCMP_ACT_TRAP;
	}
}

int isolation_syscalls(enum isolation_role role, int log_fd)
{
	enum isolation_violation violation = isolation_options()->violation;
	scmp_filter_ctx ctx;
	int ret;

	errno = 0;
	isolation_failed("restrict system calls");
	if (violation == ISOLATION_ALLOW)
		return 0;
	ret = violation == ISOLATION_KILL ? watch_violations(log_fd) : 0;
	if (ret)
		return ret;
	ctx = seccomp_init(action(violation));
	if (!ctx)
		return -ENOMEM;
	ret = allow_role(ctx, role);
	if (!ret)
		ret = seccomp_load(ctx);
	seccomp_release(ctx);
	return ret;
}
