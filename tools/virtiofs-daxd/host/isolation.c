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
 *    run from here could gain privileges, no inherited descriptor leads anywhere,
 *    and changing the user for a file operation leaves root's capabilities alone
 *    (why: passthrough/passthrough_cred.c). No inherited group opens a file, unless
 *    there is no privilege to give it up, as in most user namespaces: it is said then.
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
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/isolation_i.h"
#include "host/log.h"
#include "host/users.h"
#include "host/util.h"

/* Each file that the guest knows is a descriptor. */
#define NOFILE_WANTED 1000000u

static const char *step = "nothing";

static struct isolation_options options;

void isolation_configure(const struct isolation_options *opts)
{
	options = *opts;
}

const struct isolation_options *isolation_options(void)
{
	return &options;
}

const char *isolation_step(void)
{
	return step;
}

int isolation_failed(const char *what)
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
	nr_open = min(nr_open, (unsigned long)NOFILE_WANTED);
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= NOFILE_WANTED)
		return;
	if (limit.rlim_max < nr_open) {
		const struct rlimit more = { nr_open, nr_open };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
	}
	limit.rlim_cur = min(limit.rlim_max, (rlim_t)NOFILE_WANTED);
	setrlimit(RLIMIT_NOFILE, &limit);
}

int isolation_nofile(unsigned int wanted)
{
	const struct rlimit limit = { wanted, wanted };

	if (wanted == ISOLATION_NOFILE_DEFAULT)
		raise_nofile();
	else if (wanted && setrlimit(RLIMIT_NOFILE, &limit))
		return isolation_failed("set the number of descriptors");
	return 0;
}

/* Closes all but the standard streams and perhaps one more. */
static int close_others(int keep)
{
	if (keep < 0)
		return close_range(STDERR_FILENO + 1, ~0U, 0);
	return (keep > STDERR_FILENO + 1 &&
		close_range(STDERR_FILENO + 1, keep - 1, 0)) ||
	       close_range(keep + 1, ~0U, 0);
}

/*
 * What the caller left open may lead anywhere, so nothing but the standard
 * streams stays, and these only if they are no directory. Nothing is ever read
 * from standard input.
 */
static int close_inherited(int *keep)
{
	int kept = keep ? fcntl(*keep, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err = 0;

	if (null < 0 || (keep && kept < 0))
		return -1;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && !err; fd++) {
		struct stat st;

		if (fd == STDIN_FILENO || (keep && fd == *keep) ||
		    fstat(fd, &st) || S_ISDIR(st.st_mode))
			err = fd != null && dup2(null, fd) < 0;
	}
	if (keep)
		*keep = kept;
	return err || close_others(kept) ? -1 : 0;
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

int isolation_start(int *keep)
{
	int bits = prctl(PR_GET_SECUREBITS);

	if (close_inherited(keep))
		return isolation_failed("close inherited descriptors");
	if (forbid_core())
		return isolation_failed("forbid core files");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return isolation_failed("forbid new privileges");
	/* Both need privileges, and are needed only with them. */
	if (setgroups(0, NULL) && errno != EPERM)
		return isolation_failed("drop supplementary groups");
	if (prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP |
		  SECBIT_NOROOT) && errno != EPERM)
		return isolation_failed("keep capabilities when the user changes");
	return 0;
}

int isolation_namespaces(enum isolation_sandbox sandbox)
{
	if (sandbox != ISOLATION_NAMESPACE)
		return 0;
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))
		return isolation_failed("make namespaces (needs root; see --sandbox)");
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
		return isolation_failed("copy the mounts of the shared directory");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE,
		    &attr, sizeof(attr)))
		return isolation_failed("restrict the mounts of the shared directory");
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
		return isolation_failed("open the shared directory");
	if (sandbox != ISOLATION_NAMESPACE)
		return dir;
	tree = copy_share(dir);
	/* The original would be a way out. */
	close_fd(&dir);
	return tree;
}

/* Those that isolation_start() could not drop. */
static void tell_groups(void)
{
	if (getgroups(0, NULL) > 0 && users_further_groups())
		log_warn("the daemon cannot give up further groups of its user: what they may do in the shared directory the guest may, too");
}

int isolation_open(enum isolation_sandbox sandbox, const char *shared_dir,
		   int *root_fd, int *proc_fd)
{
	if (sandbox != ISOLATION_NONE)
		tell_groups();
	*proc_fd = -1;
	*root_fd = open_share(sandbox, shared_dir);
	if (*root_fd < 0)
		return *root_fd;
	/* Said now: isolation_root() comes when somebody waits for us. */
	if (sandbox != ISOLATION_NONE && !have_cap(CAP_SYS_CHROOT)) {
		errno = EPERM;
		return isolation_failed("change root to the shared directory");
	}
	*proc_fd = open_proc(sandbox);
	return *proc_fd < 0 ? isolation_failed("open /proc/self/fd") : 0;
}

int isolation_root(enum isolation_sandbox sandbox, int *root_fd)
{
	/* Nothing is created outside of the share from here on. */
	umask(0);
	if (sandbox == ISOLATION_NONE)
		return 0;
	if (fchdir(*root_fd) || chroot("."))
		return isolation_failed("change root to the shared directory");
	if (sandbox == ISOLATION_CHROOT)
		close_fd(root_fd);
	*root_fd = open_dir("/");
	return *root_fd < 0 ? isolation_failed("open the new root") : 0;
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
	/*
	 * In a user namespace what the mounts of others say about access times is
	 * locked. Through what is read-only these do not change, and nothing is
	 * mapped for writing there.
	 */
	if (users_entered())
		attr = (struct mount_attr){ .attr_set = MOUNT_ATTR_RDONLY };
	if (syscall(SYS_mount_setattr, root_fd, "", AT_EMPTY_PATH |
		    AT_RECURSIVE, &attr, sizeof(attr)))
		return isolation_failed("make the shared directory read-only");
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

/* As libcap-ng spells them, in any case. Return: a bit, 0 for none. */
static uint64_t cap_of(const char *name)
{
	int cap = capng_name_to_capability(name);

	return cap < 0 || cap > CAP_LAST_CAP ? 0 : UINT64_C(1) << cap;
}

bool isolation_parse_caps(const char *text, struct isolation_options *opts)
{
	char word[64];

	opts->caps_add = opts->caps_drop = 0;
	for (;;) {
		size_t len = strcspn(text, ":");
		uint64_t cap;

		if (len < 2 || len >= sizeof(word) || !strchr("+-", *text))
			return false;
		snprintf(word, sizeof(word), "%.*s", (int)len - 1, text + 1);
		cap = cap_of(word);
		if (!cap)
			return false;
		opts->caps_add &= ~cap;
		opts->caps_drop &= ~cap;
		*(*text == '+' ? &opts->caps_add : &opts->caps_drop) |= cap;
		if (!text[len])
			return true;
		text += len + 1;
	}
}

/* What requests are served with, in the end, to be had or not. */
static size_t chosen_caps(unsigned int *caps, bool handles)
{
	uint64_t mask = options.caps_add;
	size_t nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(request_caps) - !handles; i++)
		mask |= UINT64_C(1) << request_caps[i];
	mask |= (uint64_t)options.leases << CAP_LEASE;
	mask &= ~options.caps_drop;
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (mask & UINT64_C(1) << cap)
			caps[nr++] = cap;
	return nr;
}

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

static int keep_chosen_caps(bool handles)
{
	unsigned int caps[CAP_LAST_CAP + 1];
	size_t nr = chosen_caps(caps, handles);

	if (capng_get_caps_process())
		return -EINVAL;
	for (size_t i = 0; i < nr; i++)
		if (options.caps_add & UINT64_C(1) << caps[i] &&
		    !capng_have_capability(CAPNG_PERMITTED, caps[i]))
			log_warn("--modcaps: the daemon was not given '%s'",
				 capng_capability_to_name(caps[i]));
	return keep_caps(caps, nr);
}

int isolation_thread(enum isolation_role role)
{
	int ret;

	if (role == ISOLATION_BACKING)
		ret = keep_caps(backing_caps, ARRAY_SIZE(backing_caps));
	else if (role == ISOLATION_GUARD)
		ret = keep_caps(guard_caps, ARRAY_SIZE(guard_caps));
	else
		ret = keep_chosen_caps(role == ISOLATION_HANDLES);
	if (ret)
		step = "drop capabilities";
	return ret;
}
