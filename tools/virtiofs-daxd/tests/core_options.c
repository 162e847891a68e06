// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Options of virtiofsd, as they look from the host: the socket, the process, and the
 * old spellings. What is negotiated with the guest is in core_negotiate.c.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"

static struct frontend fe;

#define OPTIONS(...) ((const char *[]){ __VA_ARGS__, NULL })

/* A line of /proc/PID/status, as a number. */
static uint64_t status_of(const char *name, int base)
{
	char path[32], line[256];
	uint64_t value = UINT64_MAX;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", fe.child);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) &&
		    line[strlen(name)] == ':')
			value = strtoull(line + strlen(name) + 1, NULL, base);
	if (file)
		fclose(file);
	return value;
}

/* ---- the socket ---- */

static void inherited_socket(void)
{
	bool begun;

	fe_inherits = true;
	begun = fe_begin(&fe, OPTIONS("--log-level", "info"));
	fe_inherits = false;
	CHECK(begun);
	CHECK(fe_said(&fe, "waiting on what --fd names"));
	CHECK(fe_make(&fe, "f", 10));
	/* Whoever made it may have another use for the name. */
	CHECK(!access(fe_path(&fe, "../sock"), F_OK));
	CHECK(fe_end(&fe) == 0);
}

/* It is there a moment before it is what it is to be. */
static bool socket_is(const char *name, gid_t group, mode_t mode)
{
	struct stat st = { 0 };

	for (int i = 0; i < 500; i++) {
		if (!stat(fe_path(&fe, name), &st) && st.st_gid == group &&
		    (st.st_mode & 0777) == mode)
			return true;
		usleep(10000);
	}
	printf("# %s: group %u, mode %o\n", name, st.st_gid, st.st_mode);
	return false;
}

static void socket_group(void)
{
	const struct group *group = getgrnam("daemon");
	bool spawned;

	CHECK(group && group->gr_gid != getegid());
	CHECK(fe_spawn(&fe, NULL) && socket_is("../sock", getegid(), 0700));
	CHECK(fe_connect(&fe) && fe_end(&fe) == 0);

	fe_window_socket = true;
	spawned = fe_spawn(&fe, OPTIONS("--socket-group", "daemon",
					"--dax-window", "64M"));
	fe_window_socket = false;
	CHECK(spawned);
	CHECK(socket_is("../sock", group->gr_gid, 0770));
	CHECK(socket_is("../window", group->gr_gid, 0770));
	CHECK(fe_connect(&fe) && fe_end(&fe) == 0);
}

/* Nobody finds a socket to which he cannot connect. */
static void socket_group_of_others(void)
{
	fe_user = 65534;
	fe_fork(&fe, OPTIONS("--socket-group", "daemon", "--sandbox", "none"));
	fe_user = 0;
	CHECK(fe_wait(&fe) == 1);
	CHECK(access(fe_path(&fe, "../sock"), F_OK) && errno == ENOENT);
	CHECK(fe_said(&fe, "Operation not permitted"));
	fe_end(&fe);
}

/* libvirt asks before there is a command line. */
static void print_capabilities(void)
{
	fe_fork(&fe, OPTIONS("--print-capabilities"));
	CHECK(fe_wait(&fe) == 0);
	CHECK(fe_said(&fe, "\"type\": \"fs\",") &&
	      fe_said(&fe, "\"separate-options\""));
	CHECK(fe_lines(&fe) == 6);
	fe_end(&fe);
}

static void short_options(void)
{
	fe_fork(&fe, OPTIONS("-V"));
	CHECK(fe_wait(&fe) == 0 && fe_said(&fe, "virtiofs-daxd "));
	CHECK(fe_lines(&fe) == 1);
	fe_end(&fe);
	fe_fork(&fe, OPTIONS("-h"));
	CHECK(fe_wait(&fe) == 0 && fe_said(&fe, "Usage: virtiofs-daxd "));
	fe_end(&fe);
}

/* As large as one likes: a machine of today can address that, or it is said. */
static void auto_window(void)
{
	bool begun;

	fe_window_socket = true;
	begun = fe_begin(&fe, OPTIONS("--log-level", "info", "--dax-window", "auto"));
	fe_window_socket = false;
	CHECK(begun);
	CHECK(fe_said(&fe, "with a window of 65536 MiB") ||
	      fe_said(&fe, "bits of address have room for"));
	CHECK(fe_end(&fe) == 0);
}

/* ---- the process ---- */

#define CAP(name) (UINT64_C(1) << CAP_##name)

static int set_owner(uint64_t node)
{
	struct fuse_setattr_in in = { .valid = FATTR_UID, .uid = 1 };
	struct fuse_attr_out out;

	return fe_request(&fe, FUSE_SETATTR, node, &in, sizeof(in), &out,
			  sizeof(out), NULL);
}

static int set_xattr(uint64_t node, const char *name)
{
	struct {
		struct fuse_setxattr_in in;
		char text[64];
	} req = { .in.size = 1 };
	char *at = (char *)&req + FUSE_COMPAT_SETXATTR_IN_SIZE;
	size_t len = strlen(name) + 1;

	memcpy(at, name, len);
	at[len] = 'v';
	return fe_request(&fe, FUSE_SETXATTR, node, &req,
			  FUSE_COMPAT_SETXATTR_IN_SIZE + len + 1, NULL, 0,
			  NULL);
}

static void modcaps(void)
{
	uint64_t node;

	CHECK(fe_begin(&fe, OPTIONS("--xattr", "--log-level", "warn")));
	CHECK((status_of("CapPrm", 16) & (CAP(CHOWN) | CAP(SYS_ADMIN))) ==
	      CAP(CHOWN));
	node = fe_make(&fe, "f", 10);
	CHECK(node && set_owner(node) == 0);
	CHECK(set_xattr(node, "trusted.x") == -EPERM);
	CHECK(fe_end(&fe) == 0);

	CHECK(fe_begin(&fe, OPTIONS("--xattr", "--modcaps=+sys_admin:-CHOWN",
				    "--log-level", "warn")));
	CHECK((status_of("CapPrm", 16) & (CAP(CHOWN) | CAP(SYS_ADMIN))) ==
	      CAP(SYS_ADMIN));
	node = fe_make(&fe, "f", 10);
	CHECK(node && set_owner(node) == -EPERM);
	CHECK(set_xattr(node, "trusted.x") == 0);
	CHECK(!fe_lines(&fe) && fe_end(&fe) == 0);

	/* The last word counts. */
	CHECK(fe_begin(&fe, OPTIONS("--modcaps=+sys_admin:-sys_admin")));
	CHECK(!(status_of("CapPrm", 16) & CAP(SYS_ADMIN)));
	CHECK(fe_end(&fe) == 0);
}

/* A directory that user 7 of the guest makes; who owns it then, or an error. */
static int owner_of_made(const char *option)
{
	struct {
		struct fuse_mkdir_in in;
		char name[2];
	} req = { .in.mode = 0755, .name = "d" };
	struct fuse_entry_out out;
	struct stat st;
	int err;

	CHECK_OR(fe_begin(&fe, OPTIONS(option, "--log-level", "warn")), -1);
	fe.uid = fe.gid = 7;
	err = fe_request(&fe, FUSE_MKDIR, FUSE_ROOT_ID, &req,
			 sizeof(req.in) + 2, &out, sizeof(out), NULL);
	fe.uid = fe.gid = 0;
	CHECK_OR(err || !stat(fe_path(&fe, "d"), &st), -1);
	CHECK_OR(fe_end(&fe) == 0, -1);
	return err ? err : st.st_uid == st.st_gid ? (int)st.st_uid : -1;
}

/* Who cannot be another user makes files of his own, as one that is not root does. */
static void modcaps_without_users(void)
{
	CHECK(owner_of_made("--modcaps=-chown") == 7);
	CHECK(owner_of_made("--modcaps=-setuid") == 0);
	CHECK(owner_of_made("--modcaps=-setgid") == 0);
	CHECK(owner_of_made("--modcaps=-setuid:-setgid") == 0);
}

/* Said, as the guest's errors would not tell. */
static void modcaps_beyond_what_there_is(void)
{
	bool spawned;

	fe_user = 65534;
	spawned = fe_spawn(&fe, OPTIONS("--modcaps=+sys_admin", "--sandbox",
					"none"));
	fe_user = 0;
	CHECK(spawned && fe_connect(&fe) && fe_handshake(&fe));
	CHECK(fe_said(&fe, "--modcaps: the daemon was not given 'sys_admin'"));
	CHECK(fe_end(&fe) == 0);
}

static struct rlimit nofile(const char *const *options)
{
	struct rlimit limit = { 0 };

	if (fe_begin(&fe, options))
		prlimit(fe.child, RLIMIT_NOFILE, NULL, &limit);
	fe_end(&fe);
	return limit;
}

static void rlimit_nofile(void)
{
	struct rlimit old, own, limit;

	CHECK(!getrlimit(RLIMIT_NOFILE, &old));
	own = (struct rlimit){ 3000, old.rlim_max };
	CHECK(!setrlimit(RLIMIT_NOFILE, &own));
	limit = nofile(OPTIONS("--rlimit-nofile", "0"));
	CHECK(limit.rlim_cur == 3000 && limit.rlim_max == old.rlim_max);
	limit = nofile(OPTIONS("--rlimit-nofile", "5000"));
	CHECK(limit.rlim_cur == 5000 && limit.rlim_max == 5000);
	limit = nofile(NULL);
	CHECK(limit.rlim_cur > 5000 && limit.rlim_cur <= 1000000);
	fe_fork(&fe, OPTIONS("--rlimit-nofile", "2147483647"));
	CHECK(fe_wait(&fe) == 1);
	CHECK(fe_said(&fe, "--rlimit-nofile: cannot set the number of descriptors: "));
	fe_end(&fe);
	CHECK(!setrlimit(RLIMIT_NOFILE, &old));
}

/* Stops the daemon's main thread where it waits, in a system call. */
static bool stop_in_call(struct user_regs_struct *regs)
{
	int status;

	if (ptrace(PTRACE_SEIZE, fe.child, 0, 0))
		return false;
	for (int i = 0; i < 500; i++) {
		if (ptrace(PTRACE_INTERRUPT, fe.child, 0, 0) ||
		    waitpid(fe.child, &status, __WALL) != fe.child ||
		    ptrace(PTRACE_GETREGS, fe.child, 0, regs))
			return false;
		if ((long long)regs->orig_rax >= 0)
			return true;
		if (ptrace(PTRACE_CONT, fe.child, 0, 0))
			return false;
		usleep(10000);
	}
	return false;
}

/* Has that thread make a call that is not on its list: the same instruction again. */
static bool violate(void)
{
	struct user_regs_struct regs;

	if (!stop_in_call(&regs))
		return false;
	regs.rip -= 2;
	regs.rax = SYS_getppid;
	regs.orig_rax = -1;
	return !ptrace(PTRACE_SETREGS, fe.child, 0, &regs) &&
	       !ptrace(PTRACE_DETACH, fe.child, 0, 0);
}

static bool begin_seccomp(const char *action)
{
	return fe_begin(&fe, OPTIONS("--seccomp", action, "--log-level",
				     "warn"));
}

/* It goes on. */
static bool survives(void)
{
	for (int i = 0; i < 20; i++) {
		if (!fe_lookup(&fe, "f", NULL))
			return false;
		usleep(10000);
	}
	return !fe_lines(&fe) && fe_end(&fe) == 0;
}

static void seccomp_none(void)
{
	CHECK(begin_seccomp("none") && fe_make(&fe, "f", 1));
	CHECK(status_of("Seccomp", 10) == 0);
	CHECK(violate() && survives());
}

static void seccomp_log(void)
{
	CHECK(begin_seccomp("log") && fe_make(&fe, "f", 1));
	CHECK(status_of("Seccomp", 10) == 2);
	CHECK(violate() && survives());
}

static void check_killed(void)
{
	CHECK(status_of("Seccomp", 10) == 2 && violate());
	CHECK(fe_wait(&fe) == -SIGSYS);
}

static void seccomp_kill(void)
{
	/* As without the option. */
	CHECK(fe_begin(&fe, OPTIONS("--log-level", "warn")));
	check_killed();
	CHECK(fe_said(&fe, "system call 110 is not allowed"));
	fe_end(&fe);
	CHECK(begin_seccomp("kill"));
	check_killed();
	CHECK(fe_said(&fe, "system call 110 is not allowed"));
	fe_end(&fe);
}

static void seccomp_trap(void)
{
	CHECK(begin_seccomp("trap"));
	check_killed();
	CHECK(!fe_lines(&fe));
	fe_end(&fe);
}

static void thread_pool_of_none(void)
{
	uint64_t threads;

	CHECK(fe_begin(&fe, OPTIONS("--thread-pool-size", "1")));
	threads = status_of("Threads", 10);
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_begin(&fe, OPTIONS("--thread-pool-size", "0")));
	CHECK(status_of("Threads", 10) == threads && fe_make(&fe, "f", 1));
	CHECK(fe_end(&fe) == 0);
}

/* ---- messages ---- */

static void log_level_trace(void)
{
	CHECK(fe_begin(&fe, OPTIONS("--log-level", "trace")));
	CHECK(!fe_lookup(&fe, "f", NULL));
	CHECK(fe_said(&fe, "trace: guest: request ") && fe_said(&fe, ": lookup of node 1, "));
	CHECK(fe_said(&fe, " answered: No such file or directory, 16 bytes"));
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_begin(&fe, OPTIONS("--log-level", "DEBUG")));
	CHECK(!fe_lookup(&fe, "f", NULL) && fe_said(&fe, "debug: "));
	CHECK(!fe_said(&fe, ": lookup of node ") && fe_end(&fe) == 0);
}

static void log_level_off(void)
{
	fe_fork(&fe, OPTIONS("--log-level", "off", "--shared-dir", "/none"));
	CHECK(fe_wait(&fe) == 1 && !fe_lines(&fe));
	fe_end(&fe);
}

/* ---- -o, -f and -d ---- */

/* What a guest is told that knows all, by a daemon with such words. */
static uint64_t told(const char *words)
{
	const uint64_t all = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
			     FUSE_DO_READDIRPLUS | FUSE_WRITEBACK_CACHE |
			     FUSE_HANDLE_KILLPRIV_V2 | FUSE_POSIX_ACL |
			     FUSE_DONT_MASK | FUSE_SETXATTR_EXT;
	struct fuse_init_out out = { 0 };

	if (!fe_begin(&fe, OPTIONS("-o", words)) ||
	    fe_init_flags(&fe, all, &out))
		out.flags = 0;
	fe_end(&fe);
	return out.flags & all;
}

static void compat_flags(void)
{
	const uint64_t usual = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
			       FUSE_DO_READDIRPLUS;
	const uint64_t acl = FUSE_POSIX_ACL | FUSE_DONT_MASK |
			     FUSE_SETXATTR_EXT;

	CHECK(told("xattr") == usual);
	CHECK(told("no_posix_lock") == (usual & ~FUSE_POSIX_LOCKS));
	CHECK(told("no_flock") == (usual & ~FUSE_FLOCK_LOCKS));
	CHECK(told("no_flock,no_posix_lock,flock,posix_lock") == usual);
	CHECK(told("no_readdirplus") == (usual & ~FUSE_DO_READDIRPLUS));
	CHECK(told("no_readdirplus,readdirplus") == usual);
	CHECK(told("writeback") == (usual | FUSE_WRITEBACK_CACHE));
	CHECK(told("writeback,no_writeback") == usual);
	CHECK(told("killpriv_v2") == (usual | FUSE_HANDLE_KILLPRIV_V2));
	CHECK(told("killpriv_v2,no_killpriv_v2") == usual);
	CHECK(told("posix_acl") == (usual | acl));
	CHECK(told("posix_acl,no_posix_acl") == usual);
}

/* The share itself, and what has a value. */
static void compat_values(void)
{
	char host[64], own[64], path[64];
	uint64_t node;
	bool begun;

	fe_compat = true;
	begun = fe_begin(&fe, OPTIONS("-o", "sandbox=chroot,loglevel=err",
				      "-omodcaps=-chown,xattr,cache=none"));
	fe_compat = false;
	CHECK(begun);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", fe.child);
	memset(host, 0, sizeof(host));
	memset(own, 0, sizeof(own));
	CHECK(readlink(path, host, sizeof(host) - 1) > 0);
	CHECK(readlink("/proc/self/ns/net", own, sizeof(own) - 1) > 0);
	CHECK(!strcmp(host, own));
	CHECK(!(status_of("CapPrm", 16) & CAP(CHOWN)));
	node = fe_make(&fe, "f", 1);
	CHECK(node && set_xattr(node, "user.x") == 0);
	CHECK(!fe_lines(&fe) && fe_end(&fe) == 0);
}

/* Whatever the order, and -f is taken. */
static void compat_comes_last(void)
{
	struct fuse_entry_out entry = { 0 };

	CHECK(fe_begin(&fe, OPTIONS("-f", "-o", "cache=none,no_xattr",
				    "--cache", "always", "--xattr")));
	CHECK(fe_file(&fe, "f", 1) && fe_lookup(&fe, "f", &entry));
	CHECK(!entry.entry_valid);
	CHECK(set_xattr(entry.nodeid, "user.x") == -ENOSYS);
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_begin(&fe, OPTIONS("-d", "--log-level", "warn")));
	CHECK(fe_said(&fe, "debug: ") && fe_end(&fe) == 0);
}

/* Which take a capability, by which files without writers are known. */
static void coherent_keeps_leases(void)
{
	const uint64_t lease = UINT64_C(1) << CAP_LEASE;

	CHECK(fe_begin(&fe, OPTIONS("--cache", "coherent", "--notifications")));
	CHECK(fe_said(&fe, "with no window (--dax-window), --cache=coherent"));
	CHECK(status_of("CapEff", 16) & lease);
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_begin(&fe, OPTIONS("--cache", "coherent", "--notifications",
				    "--modcaps=-lease")));
	CHECK(!(status_of("CapEff", 16) & lease) && fe_end(&fe) == 0);
	/* Not where it is auto after all. */
	CHECK(fe_begin(&fe, OPTIONS("--notifications", "--shared-dir",
				    "/proc/sys")));
	CHECK(fe_said(&fe, "so it is auto"));
	CHECK(!(status_of("CapEff", 16) & lease) && fe_end(&fe) == 0);
}

/* It is the default where the guest can be told, and does not keep what we are to know. */
static void coherent_is_default(void)
{
	static const char *const without[] = {
		"--xattr", "--cache=auto", "--writeback", "--killpriv-v2",
	};
	size_t i;

	CHECK(fe_begin(&fe, OPTIONS("--notifications")));
	CHECK(fe_said(&fe, "(--dax-window), --cache=coherent, waiting"));
	CHECK(fe_end(&fe) == 0);
	for (i = 0; i < sizeof(without) / sizeof(*without); i++) {
		CHECK(fe_begin(&fe, OPTIONS(without[i], i ? "--notifications" : "--allow-mmap")));
		CHECK(fe_said(&fe, "(--dax-window), waiting"));
		CHECK(fe_end(&fe) == 0);
	}
}

static const struct fs_test tests[] = {
	TEST(coherent_keeps_leases),
	TEST(coherent_is_default),
	TEST(inherited_socket),
	TEST(socket_group),
	TEST(socket_group_of_others),
	TEST(print_capabilities),
	TEST(short_options),
	TEST(auto_window),
	TEST(modcaps),
	TEST(modcaps_without_users),
	TEST(modcaps_beyond_what_there_is),
	TEST(rlimit_nofile),
	TEST(seccomp_none),
	TEST(seccomp_log),
	TEST(seccomp_kill),
	TEST(seccomp_trap),
	TEST(thread_pool_of_none),
	TEST(log_level_trace),
	TEST(log_level_off),
	TEST(compat_flags),
	TEST(compat_values),
	TEST(compat_comes_last),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
