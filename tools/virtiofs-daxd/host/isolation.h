/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon gives up before it talks to a guest, stage by stage.
 * The order of the stages is explained at the head of isolation.c.
 */
#ifndef VIRTIOFS_DAXD_ISOLATION_H
#define VIRTIOFS_DAXD_ISOLATION_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * enum isolation_sandbox - how the file system outside the share is hidden
 * @ISOLATION_NONE: not at all; needs no privilege
 * @ISOLATION_NAMESPACE: own network, IPC and UTS namespaces, and a copy of the
 *	share's mounts as root directory
 * @ISOLATION_CHROOT: chroot to the share; for places that allow no namespaces
 *	and mounts
 */
enum isolation_sandbox {
	ISOLATION_NONE,
	ISOLATION_NAMESPACE,
	ISOLATION_CHROOT,
};

/**
 * enum isolation_role - which work a thread does, so what it must be able to do
 * @ISOLATION_REQUESTS: everything that touches a byte from the guest
 * @ISOLATION_HANDLES: the same, with file handles: these lead to any file of the file
 *	systems that the share is on, also to those outside of it, and past all
 *	permissions
 * @ISOLATION_BACKING: the loop of the private FUSE mount, which alone keeps
 *	CAP_SYS_ADMIN (registering backing files, unmounting at the end)
 */
enum isolation_role {
	ISOLATION_REQUESTS,
	ISOLATION_HANDLES,
	ISOLATION_BACKING,
	ISOLATION_GUARD,
};

/**
 * enum isolation_violation - what becomes of a call that is not on the list
 * @ISOLATION_KILL: a line on the log descriptor, and the process ends by SIGSYS
 * @ISOLATION_TRAP: SIGSYS alone, for a debugger
 * @ISOLATION_LOG: it is done, and the kernel's audit log has it
 * @ISOLATION_ALLOW: it is done: there is no list
 * @ISOLATION_EPERM: the call fails with EPERM
 */
enum isolation_violation {
	ISOLATION_KILL,
	ISOLATION_TRAP,
	ISOLATION_LOG,
	ISOLATION_ALLOW,
	ISOLATION_EPERM,
};

/* As many descriptors as the daemon takes by itself. */
#define ISOLATION_NOFILE_DEFAULT UINT_MAX

/**
 * struct isolation_options - what the user wants otherwise
 * @violation: see enum isolation_violation
 * @caps_add: capabilities that threads of ISOLATION_REQUESTS keep as well, a bit each
 * @caps_drop: those which they do not keep
 * @leases: they keep CAP_LEASE, if there is that
 */
struct isolation_options {
	enum isolation_violation violation;
	uint64_t caps_add;
	uint64_t caps_drop;
	bool leases;
};

/**
 * isolation_configure - choose before any stage; else all are zero
 * @opts: copied
 */
void isolation_configure(const struct isolation_options *opts);

/**
 * isolation_parse_caps - read changes to the capabilities
 * @text: as in +sys_admin:-chown
 * @opts: where they are stored, in place of others
 *
 * Return: false if it makes no sense.
 */
bool isolation_parse_caps(const char *text, struct isolation_options *opts);

/**
 * isolation_start - stage 1, first thing in main
 * @keep: a descriptor that stays, if perhaps with another number; NULL for none
 *
 * Closes what was inherited, the standard streams apart; forbids core files and
 * new privileges, clears supplementary groups. Harmless without privilege; the groups
 * stay then, which isolation_open() says.
 *
 * Return: 0 or a negative errno; isolation_step() names what failed.
 */
int isolation_start(int *keep);

/**
 * isolation_nofile - how many descriptors there may be; in stage 1
 * @wanted: ISOLATION_NOFILE_DEFAULT: as many as may be, up to 1,000,000, if there
 *	may not be more already; 0: what there is; or the limit
 *
 * Return: 0, or a negative errno if a limit that was named cannot be had.
 */
int isolation_nofile(unsigned int wanted);

/**
 * isolation_needs_users - whether namespaces can be made in a user namespace only
 *
 * Who has the privilege loses it for the host in one, so he needs none.
 */
bool isolation_needs_users(void);

/**
 * isolation_namespaces - stage 2, still with the host's directories in sight
 * @sandbox: see enum isolation_sandbox
 *
 * To be called while there is one thread.
 *
 * Return: 0 or a negative errno.
 */
int isolation_namespaces(enum isolation_sandbox sandbox);

/**
 * isolation_open - stage 3, the share while the host is still in sight
 * @sandbox: as in stage 2
 * @shared_dir: the directory
 * @root_fd: O_PATH descriptor of the share
 * @proc_fd: O_PATH descriptor of /proc/self/fd, to be closed by the caller
 *
 * What is mounted below the share at this time is seen. Fails if stage 4 could
 * not succeed. On failure the descriptors are of no use, and may be open.
 *
 * Return: 0 or a negative errno.
 */
int isolation_open(enum isolation_sandbox sandbox, const char *shared_dir,
		   int *root_fd, int *proc_fd);

/**
 * isolation_root - stage 4, the share becomes all there is; clears the umask
 * @sandbox: as in stage 2
 * @root_fd: of stage 3; replaced by one to be closed by the caller
 *
 * No name outside of the share can be opened, made or removed afterwards, and an
 * old absolute name may now mean a file of the share. So what has a name outside
 * must be open and, like the socket, removed before, and no descriptor of a
 * directory outside may stay open.
 *
 * Return: 0 or a negative errno.
 */
int isolation_root(enum isolation_sandbox sandbox, int *root_fd);

/**
 * isolation_readonly - the copy of the share's mounts refuses changes
 * @sandbox: as in stage 2; nothing is done if it made no copy
 * @root_fd: from stage 4
 * @maps_write: access times alone are spared, as what the front-end maps is open
 *	for writing
 *
 * Between stages 4 and 5.
 *
 * Return: 0 or a negative errno.
 */
int isolation_readonly(enum isolation_sandbox sandbox, int root_fd,
		       bool maps_write);

/**
 * isolation_thread - stage 5, give up capabilities
 * @role: what the calling thread, and threads it creates later, will do
 *
 * Return: 0 or a negative errno.
 */
int isolation_thread(enum isolation_role role);

/**
 * isolation_syscalls - stage 6, allow only the system calls on the list
 * @role: what the calling thread, and threads it creates later, will do
 * @log_fd: descriptor for the line of ISOLATION_KILL, or -1
 *
 * Return: 0 or a negative errno.
 */
int isolation_syscalls(enum isolation_role role, int log_fd);

/**
 * isolation_step - what the failed stage was doing, for the error message
 */
const char *isolation_step(void);

#endif
