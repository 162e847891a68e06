// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the daemon gives up before it talks to a guest.
 *
 * The daemon must create files of any owner, so it runs as root, and it reads
 * messages that a guest wrote. It gives up its powers in stages, each as early
 * as the work that needs them is over:
 *
 * 0. users_enter(), if another user than root asks for a sandbox: what follows is then
 *    done with the privileges that he has in a user namespace.
 *
 * 1. isolation_start(), before anything else: what costs nothing. No program
 *    run from here could gain privileges, no inherited group opens a file, no
 *    inherited descriptor leads anywhere, and changing the user for a file
 *    operation leaves root's capabilities alone (why: passthrough/passthrough_cred.c).
 *
 * 2. isolation_namespaces(), when the options are read: network, System V IPC
 *    and host name become private. The socket for the front-end may be bound
 *    before or after, as it has a name in the file system.
 *
 *    Between 2 and 3 what needs the host's names is opened: log, socket,
 *    /dev/fuse and the private mount of the backing files.
 *
 * 3. isolation_open(): a copy of the share's mounts is made, attached nowhere.
 *    The same is done with /proc/self/fd, through which the file operations
 *    reopen files: only that one directory is kept.
 *
 *    Between 3 and 4 the front-end connects, perhaps with a library that has a
 *    socket of its own, and the sockets are removed. That takes the host's
 *    names, and nobody is to keep a descriptor for it: a directory of the host
 *    is a way out, whatever the root directory is. Nothing has been read from
 *    the front-end, let alone the guest.
 *
 * 4. isolation_root(): the copy becomes the root directory. Its ".." is itself,
 *    there is nothing above it, and what would be needed to leave a changed
 *    root directory (CAP_SYS_CHROOT, CAP_SYS_ADMIN, an open directory outside)
 *    is dropped or was never there. This works inside a chroot too, where
 *    pivot_root() does not, and no mount shows up on the host.
 *
 * 5. isolation_thread(), in each kind of thread: capabilities are dropped from
 *    all sets. The thread of the backing files alone keeps CAP_SYS_ADMIN; it
 *    talks to the kernel and to the daemon, never to the guest. This guards
 *    against mistakes (a request never runs with that power), not against code
 *    that an attacker runs, as threads share memory.
 *
 * 6. isolation_syscalls(), last: only the system calls on the list below.
 *    Programs, sockets of the network, mounts, modules, debuggers and
 *    executable memory are out.
 *
 * Threads inherit 5 and 6, so the main thread does both before it starts
 * others, except for the thread of the backing files, which does its own.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/isolation.h"
#include "host/log.h"
#include "host/util.h"

/* Each file that the guest knows is a descriptor. */
#define NOFILE_WANTED (1u << 20)

static const char *step = "nothing";

const char *isolation_step(void)
{
	return step;
}

static int failed(const char *what)
{
	int error = errno;

	step = what;
	return -error;
}

/* As many descriptors as there may be; fewer are no reason to stop. */
static void raise_nofile(void)
{
	unsigned long nr_open = NOFILE_WANTED;
	FILE *file = fopen("/proc/sys/fs/nr_open", "re");
	struct rlimit limit;

	if (file) {
		if (fscanf(file, "%lu", &nr_open) != 1)
			nr_open = NOFILE_WANTED;
		fclose(file);
	}
	if (nr_open > NOFILE_WANTED)
		nr_open = NOFILE_WANTED;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	if (limit.rlim_max < nr_open) {
		struct rlimit more = { nr_open, nr_open };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
	}
	/* No more even if it may: the guest decides how many are used. */
	limit.rlim_cur = min(limit.rlim_max, (rlim_t)NOFILE_WANTED);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * What the caller left open may lead anywhere, so nothing but the standard
 * streams stays, and these only if they are no directory. Nothing is ever read
 * from standard input.
 */
static int close_inherited(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = 0;

	if (null < 0)
		return -1;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && !err; fd++) {
		struct stat st;

		if (fd == STDIN_FILENO || fstat(fd, &st) || S_ISDIR(st.st_mode))
			err = fd != null && dup2(null, fd) < 0;
	}
	return err || close_range(STDERR_FILENO + 1, ~0U, 0) ? -1 : 0;
}

/*
 * No memory of the guest and no contents of files in a core file, least of all
 * in the share, which is the working directory.
 */
static int forbid_core(void)
{
	const struct rlimit none = { 0, 0 };

	return setrlimit(RLIMIT_CORE, &none);
}

int isolation_start(void)
{
	int bits = prctl(PR_GET_SECUREBITS);

	if (close_inherited())
		return failed("close inherited descriptors");
	if (forbid_core())
		return failed("forbid core files");
	raise_nofile();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return failed("forbid new privileges");
	/* Both need privileges, and are needed only with them. */
	if (setgroups(0, NULL) && errno != EPERM)
		return failed("drop supplementary groups");
	if (prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP |
		  SECBIT_NOROOT) && errno != EPERM)
		return failed("keep capabilities when the user changes");
	return 0;
}

int isolation_namespaces(enum isolation_sandbox sandbox)
{
	if (sandbox != ISOLATION_NAMESPACE)
		return 0;
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))
		return failed("make namespaces (needs root; see --sandbox)");
	return 0;
}

/* A copy of a directory's mounts for this process alone, or -1. */
static int clone_tree(int dir, unsigned int flags)
{
	return (int)syscall(SYS_open_tree, dir, "",
			    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
			    AT_EMPTY_PATH | flags);
}

/*
 * The copy exists while it is open, so this descriptor is never closed. In it
 * there is nothing to be run or driven.
 */
static int copy_share(int dir)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			    MOUNT_ATTR_NOEXEC,
	};
	int tree = clone_tree(dir, AT_RECURSIVE);

	if (tree < 0)
		return failed("copy the mounts of the shared directory");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE,
		    &attr, sizeof(attr)))
		return failed("restrict the mounts of the shared directory");
	return tree;
}

static bool have_cap(unsigned int cap)
{
	return !capng_get_caps_process() &&
	       capng_have_capability(CAPNG_EFFECTIVE, cap);
}

bool isolation_needs_users(void)
{
	return geteuid() && !have_cap(CAP_SYS_ADMIN);
}

static int open_dir(const char *dir)
{
	return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/*
 * A copy has nothing above it, so the rest of /proc is out of reach. Without a
 * sandbox there is nothing to hide, and without the privilege no way to do it.
 */
static int open_proc(enum isolation_sandbox sandbox)
{
	int fd = open_dir("/proc/self/fd");
	int copy;

	if (fd < 0 || sandbox == ISOLATION_NONE)
		return fd;
	copy = clone_tree(fd, 0);
	if (copy < 0 && errno == EPERM && sandbox == ISOLATION_CHROOT) {
		log_warn("without CAP_SYS_ADMIN the sandbox does not hide /proc");
		return fd;
	}
	close_fd(&fd);
	return copy;
}

static int open_share(enum isolation_sandbox sandbox, const char *shared_dir)
{
	int tree, dir = open_dir(shared_dir);

	if (dir < 0)
		return failed("open the shared directory");
	if (sandbox != ISOLATION_NAMESPACE)
		return dir;
	tree = copy_share(dir);
	/* The original would be a way out. */
	close_fd(&dir);
	return tree;
}

int isolation_open(enum isolation_sandbox sandbox, const char *shared_dir,
		   int *root_fd, int *proc_fd)
{
	*proc_fd = -1;
	*root_fd = open_share(sandbox, shared_dir);
	if (*root_fd < 0)
		return *root_fd;
	/* Said now: isolation_root() comes when somebody waits for us. */
	if (sandbox != ISOLATION_NONE && !have_cap(CAP_SYS_CHROOT)) {
		errno = EPERM;
		return failed("change root to the shared directory");
	}
	*proc_fd = open_proc(sandbox);
	return *proc_fd < 0 ? failed("open /proc/self/fd") : 0;
}

int isolation_root(enum isolation_sandbox sandbox, int *root_fd)
{
	/* Nothing is created outside of the share from here on. */
	umask(0);
	if (sandbox == ISOLATION_NONE)
		return 0;
	if (fchdir(*root_fd) || chroot("."))
		return failed("change root to the shared directory");
	if (sandbox == ISOLATION_CHROOT)
		close_fd(root_fd);
	*root_fd = open_dir("/");
	return *root_fd < 0 ? failed("open the new root") : 0;
}

int isolation_readonly(enum isolation_sandbox sandbox, int root_fd,
		       bool maps_write)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOATIME |
			    (maps_write ? 0 : MOUNT_ATTR_RDONLY),
		.attr_clr = MOUNT_ATTR__ATIME,
	};

	if (sandbox != ISOLATION_NAMESPACE)
		return 0;
	if (syscall(SYS_mount_setattr, root_fd, "", AT_EMPTY_PATH |
		    AT_RECURSIVE, &attr, sizeof(attr)))
		return failed("make the shared directory read-only");
	return 0;
}

static const unsigned int request_caps[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
	CAP_SETGID, CAP_SETUID, CAP_MKNOD, CAP_SETFCAP,
	CAP_DAC_READ_SEARCH,	/* the last: not without file handles */
};

/* The kernel opens backing files in the name of this thread. */
static const unsigned int backing_caps[] = {
	CAP_SYS_ADMIN, CAP_DAC_OVERRIDE,
};

/* What other processes do is theirs alone, and that of other users too. */
static const unsigned int guard_caps[] = {
	CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH,
};

/* Of the wanted capabilities, keep those which there are. */
static int keep_caps(const unsigned int *caps, size_t nr)
{
	bool bounds;

	if (capng_get_caps_process())
		return -EINVAL;
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	bool have[CAP_LAST_CAP + 1] = { false };

	for (size_t i = 0; i < nr; i++)
		have[caps[i]] = capng_have_capability(CAPNG_PERMITTED, caps[i]);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < nr; i++)
		if (have[caps[i]] &&
		    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				 caps[i]))
			return -EINVAL;
	/* Without CAP_SETPCAP the bounding set stays, and matters little. */
	return capng_apply(bounds ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS) ?
		-EPERM : 0;
}

int isolation_thread(enum isolation_role role)
{
	int ret;

	if (role == ISOLATION_BACKING)
		ret = keep_caps(backing_caps, ARRAY_SIZE(backing_caps));
	else if (role == ISOLATION_GUARD)
		ret = keep_caps(guard_caps, ARRAY_SIZE(guard_caps));
	else
		ret = keep_caps(request_caps, ARRAY_SIZE(request_caps) -
				(role != ISOLATION_HANDLES));
	if (ret)
		step = "drop capabilities";
	return ret;
}

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

int isolation_syscalls(enum isolation_role role,
		       enum isolation_violation violation, int log_fd)
{
	scmp_filter_ctx ctx;
	int ret;

	step = "restrict system calls";
	if (violation == ISOLATION_KILL) {
		ret = watch_violations(log_fd);
		if (ret)
			return ret;
		ctx = seccomp_init(SCMP_ACT_TRAP);
	} else {
		ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	}
	if (!ctx)
		return -ENOMEM;
	ret = allow_role(ctx, role);
	if (!ret)
		ret = seccomp_load(ctx);
	seccomp_release(ctx);
	return ret;
}
