// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is left to the daemon when it is isolated.
 *
 * Each case is a process of its own, as nothing that is given up comes back.
 * That the file operations still work is the business of fs_ops, whose server
 * is isolated in the same way.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs_tap.h"
#include "host/isolation.h"

static char share[] = "/tmp/fs-isolation-XXXXXX";
static char said[256];

/* In the child: 0 or the line that failed. */
#define MUST(cond)							\
	do {								\
		if (!(cond))						\
			return __LINE__;				\
	} while (0)

/*
 * Run a case in a process; what it says on standard error is in said[].
 * Return: status as of wait(), where the failed line is left in said[], too.
 */
static int child(int (*fn)(void))
{
	int pipes[2], status = -1;
	ssize_t len;
	pid_t pid;

	if (pipe(pipes))
		return -1;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		int line;

		dup2(pipes[1], STDERR_FILENO);
		line = fn();
		if (line)
			dprintf(STDERR_FILENO, "line %d: %s", line,
				strerror(errno));
		_exit(line ? 1 : 0);
	}
	close(pipes[1]);
	len = read(pipes[0], said, sizeof(said) - 1);
	said[len > 0 ? len : 0] = '\0';
	close(pipes[0]);
	waitpid(pid, &status, 0);
	if (status)
		printf("# %s\n", said);
	return status;
}

static bool enter_as(enum isolation_role role, enum isolation_sandbox sandbox,
		     int *root, int *proc)
{
	return !isolation_start(NULL) && !isolation_namespaces(sandbox) &&
	       !isolation_open(sandbox, share, root, proc) &&
	       !isolation_root(sandbox, root) && !isolation_thread(role);
}

static bool enter(enum isolation_sandbox sandbox, int *root, int *proc)
{
	return enter_as(ISOLATION_REQUESTS, sandbox, root, proc);
}

/* The share is all there is, and its files can be reached and reopened. */
static int inside(enum isolation_sandbox sandbox)
{
	char name[16];
	int root, proc, fd;
	struct stat st;

	MUST(enter(sandbox, &root, &proc));
	MUST(access("/etc/passwd", F_OK) && errno == ENOENT);
	MUST(access("/proc/self", F_OK) && errno == ENOENT);
	MUST(!access("/inside", F_OK) && !access("/../../inside", F_OK));
	fd = openat(root, "inside", O_PATH);
	MUST(fd >= 0 && faccessat(root, "..//..//inside", F_OK, 0) == 0);
	snprintf(name, sizeof(name), "%d", fd);
	fd = openat(proc, name, O_RDWR);
	MUST(fd >= 0 && write(fd, "x", 1) == 1);
	/* No way up from the only directory of /proc that is kept. */
	MUST(faccessat(proc, "../status", F_OK, 0) && errno == ENOENT);
	for (fd = 3; fd < 100; fd++)
		MUST(faccessat(fd, "../status", F_OK, 0));
	MUST(!fstatat(root, "", &st, AT_EMPTY_PATH) && S_ISDIR(st.st_mode));
	return 0;
}

static int inside_namespace(void)
{
	int ret = inside(ISOLATION_NAMESPACE);
	int root;

	if (ret)
		return ret;
	root = socket(AF_INET, SOCK_DGRAM, 0);
	MUST(root >= 0);
	struct sockaddr address = { .sa_family = AF_INET };

	MUST(connect(root, &address, sizeof(address)));
	return 0;
}

static int inside_chroot(void)
{
	return inside(ISOLATION_CHROOT);
}

static void namespace_hides_all_else(void)
{
	CHECK(child(inside_namespace) == 0);
}

static void chroot_hides_all_else(void)
{
	CHECK(child(inside_chroot) == 0);
}

static int outside(void)
{
	int root, proc;

	MUST(enter(ISOLATION_NONE, &root, &proc));
	MUST(!access("/etc/passwd", F_OK));
	MUST(!faccessat(root, "inside", F_OK, 0));
	return 0;
}

static void none_hides_nothing(void)
{
	CHECK(child(outside) == 0);
}

static int missing_share(void)
{
	int root, proc;

	for (int i = ISOLATION_NONE; i <= ISOLATION_CHROOT; i++) {
		MUST(isolation_open(i, "/tmp/fs-not-there", &root, &proc) ==
		     -ENOENT);
		MUST(strstr(isolation_step(), "shared directory"));
		MUST(isolation_open(i, "/dev/null", &root, &proc) == -ENOTDIR);
	}
	return 0;
}

static int readonly_share(void)
{
	int root, proc;

	MUST(!isolation_start(NULL) && !isolation_namespaces(ISOLATION_NAMESPACE));
	MUST(!isolation_open(ISOLATION_NAMESPACE, share, &root, &proc));
	MUST(!isolation_root(ISOLATION_NAMESPACE, &root));
	/* With a window files can still be opened for writing. */
	MUST(!isolation_readonly(ISOLATION_NAMESPACE, root, true));
	MUST(!faccessat(root, "inside", W_OK, 0));
	MUST(!isolation_readonly(ISOLATION_NAMESPACE, root, false));
	MUST(openat(root, "inside", O_RDWR) < 0 && errno == EROFS);
	MUST(mkdirat(root, "new", 0755) && errno == EROFS);
	return 0;
}

/* And this process alone: the host goes on writing. */
static void readonly_refuses_changes(void)
{
	char name[64];

	CHECK(child(readonly_share) == 0);
	snprintf(name, sizeof(name), "%s/inside", share);
	CHECK(!access(name, W_OK));
}

static void missing_share_is_told(void)
{
	CHECK(child(missing_share) == 0);
}

static uint64_t effective(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &head, data);
	/* Whatever is permitted can be had. */
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

#define BIT(cap) (1ull << (cap))

static int request_capabilities(void)
{
	uint64_t wanted = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) |
		BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_SETGID) |
		BIT(CAP_SETUID) | BIT(CAP_MKNOD) | BIT(CAP_SETFCAP);
	int root, proc;

	MUST(enter(ISOLATION_NAMESPACE, &root, &proc));
	MUST(effective() == wanted);
	/* And neither a change of user nor a program brings them back. */
	MUST(!setuid(1) && !setuid(0) ? effective() == wanted : true);
	MUST(chroot("/") && errno == EPERM);
	MUST(unshare(CLONE_NEWNS) && errno == EPERM);
	MUST(mount("x", "/", "tmpfs", 0, NULL) && errno == EPERM);
	return 0;
}

static void requests_have_few_capabilities(void)
{
	CHECK(child(request_capabilities) == 0);
}

static uint64_t backing_has;

static void *backing_thread(void *arg)
{
	(void)arg;
	if (!isolation_thread(ISOLATION_BACKING))
		backing_has = effective();
	return NULL;
}

static int backing_capabilities(void)
{
	pthread_t thread;

	MUST(!isolation_start(NULL));
	MUST(!pthread_create(&thread, NULL, backing_thread, NULL));
	MUST(!pthread_join(thread, NULL));
	MUST(backing_has == (BIT(CAP_SYS_ADMIN) | BIT(CAP_DAC_OVERRIDE)));
	/* The other thread decides for itself. */
	MUST(effective() & BIT(CAP_CHOWN));
	MUST(!isolation_thread(ISOLATION_REQUESTS));
	MUST(!(effective() & BIT(CAP_SYS_ADMIN)));
	return 0;
}

static void backing_keeps_sys_admin(void)
{
	CHECK(child(backing_capabilities) == 0);
}

static const struct isolation_options lenient = {
	.violation = ISOLATION_EPERM,
};

/* Handles lead past the share, so who is not to use them can neither ask nor may. */
static int file_handles(enum isolation_role role, bool *opens)
{
	struct {
		struct file_handle head;
		char room[MAX_HANDLE_SZ];
	} handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	int root, proc, dir, ignored;

	MUST(enter_as(role, ISOLATION_NAMESPACE, &root, &proc));
	dir = openat(root, ".", O_RDONLY | O_DIRECTORY);
	MUST(dir >= 0 && !name_to_handle_at(dir, "inside", &handle.head, &ignored,
					    0));
	*opens = effective() & BIT(CAP_DAC_READ_SEARCH);
	isolation_configure(&lenient);
	MUST(!isolation_syscalls(role, -1));
	errno = 0;
	MUST(*opens == (open_by_handle_at(dir, &handle.head, O_PATH) >= 0));
	MUST(*opens || errno == EPERM);
	return 0;
}

static int handles_are_opened(void)
{
	bool opens;

	return file_handles(ISOLATION_HANDLES, &opens) ?: opens ? 0 : __LINE__;
}

static int handles_are_not_opened(void)
{
	bool opens;

	return file_handles(ISOLATION_REQUESTS, &opens) ?: opens ? __LINE__ : 0;
}

static void file_handles_are_for_who_wants_them(void)
{
	CHECK(child(handles_are_opened) == 0);
	CHECK(child(handles_are_not_opened) == 0);
}

static int refused_calls(void)
{
	int root, proc, pid;
	void *p;

	MUST(enter(ISOLATION_NAMESPACE, &root, &proc));
	isolation_configure(&lenient);
	MUST(!isolation_syscalls(ISOLATION_REQUESTS, -1));
	MUST(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
	MUST(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	pid = fork();
	MUST(pid < 0);
	MUST(execl("/inside", "inside", NULL) && errno == EPERM);
	MUST(mount("x", "/", "tmpfs", 0, NULL) && errno == EPERM);
	MUST(chroot("/") && errno == EPERM);
	MUST(kill(1, 0) && errno == EPERM);
	MUST(syscall(SYS_ptrace, 0, 1, 0, 0) < 0 && errno == EPERM);
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(p == MAP_FAILED && errno == EPERM);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(p != MAP_FAILED && mprotect(p, 4096, PROT_EXEC) && errno == EPERM);
	MUST(signal(SIGSYS, SIG_IGN) == SIG_ERR);
	MUST(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
	return 0;
}

static void other_calls_are_refused(void)
{
	CHECK(child(refused_calls) == 0);
}

static int violates(void)
{
	MUST(!isolation_start(NULL));
	MUST(!isolation_syscalls(ISOLATION_REQUESTS, STDERR_FILENO));
	mount("x", "/", "tmpfs", 0, NULL);
	return __LINE__;
}

static void violation_kills_with_a_line(void)
{
	int status = child(violates);
	char line[64];

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	snprintf(line, sizeof(line), "system call %d", SYS_mount);
	CHECK(strstr(said, line));
}

static int many_descriptors(void)
{
	struct rlimit low = { 256, 4096 }, limit;

	MUST(!setrlimit(RLIMIT_NOFILE, &low));
	MUST(!isolation_nofile(ISOLATION_NOFILE_DEFAULT));
	/* At least to the hard limit; past it with CAP_SYS_RESOURCE. */
	MUST(!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur >= 4096);
	return 0;
}

static void descriptors_are_raised(void)
{
	CHECK(child(many_descriptors) == 0);
}

static int core_files(void)
{
	struct rlimit limit;

	MUST(!isolation_start(NULL));
	MUST(!getrlimit(RLIMIT_CORE, &limit));
	MUST(limit.rlim_cur == 0 && limit.rlim_max == 0);
	return 0;
}

static void no_core_files(void)
{
	CHECK(child(core_files) == 0);
}

/* The guest's masks hold for the share, the administrator's for the rest. */
static int masks(void)
{
	int root, proc;

	umask(027);
	MUST(!isolation_start(NULL) && umask(027) == 027);
	MUST(!isolation_open(ISOLATION_NAMESPACE, share, &root, &proc));
	MUST(umask(027) == 027);
	MUST(!isolation_root(ISOLATION_NAMESPACE, &root) && umask(0) == 0);
	return 0;
}

static void umask_is_cleared_inside_only(void)
{
	CHECK(child(masks) == 0);
}

/* Without privilege there is less to give up, and no sandbox; no crash. */
static int unprivileged(void)
{
	int root, proc;

	MUST(!setgid(65534) && !setuid(65534));
	MUST(!isolation_start(NULL));
	MUST(isolation_namespaces(ISOLATION_NAMESPACE) == -EPERM);
	MUST(isolation_open(ISOLATION_CHROOT, share, &root, &proc) == -EPERM);
	MUST(!isolation_open(ISOLATION_NONE, share, &root, &proc));
	MUST(!isolation_root(ISOLATION_NONE, &root));
	MUST(!isolation_thread(ISOLATION_REQUESTS) && !effective());
	isolation_configure(&lenient);
	MUST(!isolation_syscalls(ISOLATION_REQUESTS, -1));
	return 0;
}

static void works_without_privilege(void)
{
	CHECK(child(unprivileged) == 0);
}

static const struct fs_test tests[] = {
	TEST(namespace_hides_all_else), TEST(chroot_hides_all_else),
	TEST(none_hides_nothing), TEST(readonly_refuses_changes),
	TEST(missing_share_is_told),
	TEST(requests_have_few_capabilities), TEST(backing_keeps_sys_admin),
	TEST(file_handles_are_for_who_wants_them),
	TEST(other_calls_are_refused), TEST(violation_kills_with_a_line),
	TEST(descriptors_are_raised), TEST(no_core_files),
	TEST(umask_is_cleared_inside_only), TEST(works_without_privilege),
};

int main(int argc, char **argv)
{
	int fd, ret;
	char name[64];

	if (geteuid())
		return skip_all("needs root");
	if (!mkdtemp(share) || chmod(share, 0755))
		return 1;
	snprintf(name, sizeof(name), "%s/inside", share);
	fd = open(name, O_CREAT | O_WRONLY, 0644);
	if (fd < 0 || close(fd))
		return 1;
	ret = run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			argc > 1 ? argv[1] : NULL);
	unlink(name);
	rmdir(share);
	return ret;
}
