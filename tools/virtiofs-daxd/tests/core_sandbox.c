// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a daemon that serves has left of the host: descriptors, names, limits.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

#define MAX_HELD 1024

static struct frontend fe;

/*
 * What a thread holds: copies of its descriptors, root and working directory.
 * The number is that of the descriptor, -1 for the working directory.
 */
static struct held {
	int tid;
	int number;
	int fd;
} held[MAX_HELD];
static unsigned int num_held;

/* Each mount of this process, as the host sees them. */
static uint64_t host_mounts[4096];
static unsigned int num_host_mounts;

static bool read_host_mounts(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096];

	num_host_mounts = 0;
	while (file && fgets(line, sizeof(line), file) && num_host_mounts < 4096)
		host_mounts[num_host_mounts++] = strtoull(line, NULL, 10);
	if (file)
		fclose(file);
	return num_host_mounts;
}

static bool is_host_mount(uint64_t id)
{
	for (unsigned int i = 0; i < num_host_mounts; i++)
		if (host_mounts[i] == id)
			return true;
	return false;
}

/* Of a descriptor that cannot be taken nothing is known: that is a failure. */
static bool hold(int tid, int number, int fd)
{
	if (fd < 0)
		return errno == EBADF;
	if (num_held == MAX_HELD)
		return false;
	held[num_held++] = (struct held){ tid, number, fd };
	return true;
}

static DIR *open_task(int tid, const char *what, char *path, size_t len)
{
	snprintf(path, len, "/proc/%d/task/%d/%s", fe.child, tid, what);
	return opendir(path);
}

/* Takes a copy of each descriptor in the thread's own table. */
static bool hold_thread(int tid)
{
	int thread = syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	char path[300];
	DIR *dir = open_task(tid, "fd", path, sizeof(path));
	bool ok = thread >= 0 && dir;
	struct dirent *entry;

	while (ok && (entry = readdir(dir))) {
		int number = atoi(entry->d_name);

		if (*entry->d_name != '.')
			ok = hold(tid, number, syscall(SYS_pidfd_getfd, thread,
						       number, 0));
	}
	if (dir)
		closedir(dir);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/cwd", fe.child, tid);
	ok = ok && hold(tid, -1, open(path, O_PATH | O_CLOEXEC));
	if (thread >= 0)
		close(thread);
	return ok;
}

/* Returns the number of threads, 0 on failure. */
static unsigned int hold_all(void)
{
	unsigned int threads = 0;
	char path[300];
	struct dirent *entry;
	DIR *dir;

	num_held = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", fe.child);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		if (!hold_thread(atoi(entry->d_name))) {
			threads = 0;
			break;
		}
		threads++;
	}
	if (dir)
		closedir(dir);
	return threads;
}

static void drop_all(void)
{
	while (num_held)
		close(held[--num_held].fd);
}

struct place {
	uint64_t mount;
	uint64_t inode;
	bool mount_root;
};

static bool where(int fd, struct place *place)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_INO | STATX_MNT_ID, &stx) ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return false;
	place->mount = stx.stx_mnt_id;
	place->inode = stx.stx_ino;
	place->mount_root = stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return true;
}

static bool same(const struct place *a, const struct place *b)
{
	return a->mount == b->mount && a->inode == b->inode;
}

/* Goes up as far as it goes, and says where that is. */
static bool climb(int fd, struct place *top)
{
	struct place next;
	int dir = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || !where(dir, top))
		return false;
	for (int i = 0; i < 64; i++) {
		int up = openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		close(dir);
		dir = up;
		if (dir < 0 || !where(dir, &next))
			return false;
		if (same(&next, top))
			break;
		*top = next;
	}
	close(dir);
	return true;
}

/*
 * In a process with the daemon's root directory: nothing that a thread holds
 * leads above it. What does not end there must end at a mount of its own, which
 * is none of the host's.
 */
static bool leads_out(const struct held *h, const struct place *root)
{
	struct place top;
	struct stat st;

	if (fstat(h->fd, &st) || !S_ISDIR(st.st_mode))
		return false;
	if (climb(h->fd, &top) &&
	    (same(&top, root) ||
	     (top.mount_root && !is_host_mount(top.mount))))
		return false;
	printf("# thread %d, descriptor %d: a way out\n", h->tid, h->number);
	return true;
}

static bool listens(const struct held *h)
{
	socklen_t len = sizeof(int);
	int yes = 0;

	if (getsockopt(h->fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) || !yes)
		return false;
	printf("# thread %d, descriptor %d listens\n", h->tid, h->number);
	return true;
}

/* The exit status is the number of descriptors that lead out. */
static int judge_all(void)
{
	char path[64];
	struct place root;
	int fd, bad = 0;

	snprintf(path, sizeof(path), "/proc/%d/root", fe.child);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchdir(fd) || chroot(".") || !where(fd, &root))
		return 255;
	for (unsigned int i = 0; i < num_held; i++)
		bad += leads_out(&held[i], &root) + listens(&held[i]);
	return bad;
}

static int ways_out(void)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		int bad = judge_all();

		fflush(stdout);
		_exit(bad);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Threads make files with a working directory of their own. */
static bool use_threads(void)
{
	struct {
		struct fuse_mkdir_in in;
		char name[8];
	} req = { .in.mode = 0755 };

	for (int i = 0; i < 16; i++) {
		snprintf(req.name, sizeof(req.name), "d%d", i);
		if (fe_request(&fe, FUSE_MKDIR, 1, &req,
			       sizeof(req.in) + strlen(req.name) + 1, NULL,
			       sizeof(struct fuse_entry_out), NULL))
			return false;
	}
	return true;
}

static void check_held(unsigned int min_threads)
{
	unsigned int threads;

	CHECK(use_threads());
	threads = hold_all();
	CHECK(threads >= min_threads && num_held > threads * 4);
	CHECK(read_host_mounts());
	CHECK(ways_out() == 0);
	drop_all();
	CHECK(fe_end(&fe) == 0);
}

static void check_ways_out(const char *const *options, bool window)
{
	CHECK(fe_begin(&fe, options));
	/* Main, log, two pools, and who serves the private mount. */
	check_held(window ? 8 : 7);
}

static const char *const namespace_window[] = {
	"--dax-window", "64M", "--posix-acl", "--log-level", "warn", NULL
};
static const char *const namespace_only[] = {
	"--posix-acl", "--log-level", "warn", NULL
};
static const char *const chroot_window[] = {
	"--sandbox", "chroot", "--dax-window", "64M", "--posix-acl",
	"--log-level", "warn", NULL
};
static const char *const chroot_only[] = {
	"--sandbox", "chroot", "--posix-acl", "--log-level", "warn", NULL
};

static void no_way_out_of_namespace(void)
{
	check_ways_out(namespace_window, true);
}

static void no_way_out_without_window(void)
{
	check_ways_out(namespace_only, false);
}

static void no_way_out_of_chroot(void)
{
	check_ways_out(chroot_window, true);
}

static void no_way_out_of_chroot_without_window(void)
{
	check_ways_out(chroot_only, false);
}

static void check_library(const char *const *options)
{
	int sock = fe_begin_library(&fe, options, 0);

	CHECK(sock >= 0 && fe_library(&fe, 0) < 0);
	/* The private mount is not needed any more. */
	check_held(7);
	close(sock);
}

static void no_way_out_with_library(void)
{
	check_library(namespace_window);
}

static void no_way_out_of_chroot_with_library(void)
{
	check_library(chroot_window);
}

static void no_way_out_for_want_of_library(void)
{
	fe_window_socket = true;
	CHECK(fe_begin(&fe, namespace_window));
	fe_window_socket = false;
	CHECK(fe_library(&fe, 0) < 0);
	check_held(8);
}

/* Nor for the thread that starts before the VMM has connected. */
static void no_way_out_by_an_inherited_socket(void)
{
	fe_inherits = true;
	check_ways_out(namespace_window, true);
	fe_inherits = false;
}

/* What whoever starts the daemon has open is not for a guest. */
static void nothing_is_inherited(void)
{
	int in = dup(STDIN_FILENO);
	int dir = open("/", O_RDONLY | O_DIRECTORY);

	CHECK(dir >= 0 && dup2(dir, STDIN_FILENO) == STDIN_FILENO);
	check_ways_out(namespace_window, true);
	close(dir);
	dup2(in, STDIN_FILENO);
	close(in);
}

static bool there_is(const char *name)
{
	return !access(fe_path(&fe, name), F_OK);
}

/* One front-end is served, so there is nothing to connect to afterwards. */
static void socket_goes_once_connected(void)
{
	CHECK(fe_begin(&fe, namespace_only));
	CHECK(!there_is("../sock"));
	/* Nor is another daemon's socket removed in the end. */
	CHECK(!mknod(fe_path(&fe, "../sock"), S_IFREG | 0600, 0));
	/* What has the same absolute name in the share is a file of the guest. */
	kill(fe.child, SIGTERM);
	CHECK(fe_wait(&fe) == 0);
	CHECK(there_is("../sock"));
	CHECK(fe_end(&fe) == 0);
}

/* Nobody has connected: it is removed all the same. */
static void socket_goes_without_front_end(void)
{
	fe_kill(&fe);
	CHECK(fe_spawn(&fe, namespace_window));
	kill(fe.child, SIGTERM);
	CHECK(fe_wait(&fe) == 0);
	CHECK(!there_is("../sock"));
	CHECK(fe_spawn(&fe, namespace_window) && fe_connect(&fe));
	CHECK(fe_end(&fe) == 0);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_mode & 07777;
}

static void check_files(mode_t mask, mode_t stats_mode)
{
	char dir[] = "/tmp/daxd-files.XXXXXX", log[64], stats[64];
	const char *options[] = { "--log-file", log, "--stats-file", stats,
				  NULL };
	mode_t old;

	CHECK(mkdtemp(dir));
	snprintf(log, sizeof(log), "%s/log", dir);
	snprintf(stats, sizeof(stats), "%s/stats", dir);
	old = umask(mask);
	CHECK(fe_begin(&fe, options));
	umask(old);
	CHECK(mode_of(log) == 0600);
	CHECK(mode_of(stats) == stats_mode);
	CHECK(fe_end(&fe) == 0);
	unlink(log);
	unlink(stats);
	rmdir(dir);
}

/* The umask of the share, 0, is not for what lies outside of it. */
static void files_outside_are_private(void)
{
	check_files(0, 0644);
	check_files(077, 0600);
}

/* The guest is told; the daemon is not killed. */
static void size_limit_is_an_error(void)
{
	struct rlimit old, limit = { 1 << 20, RLIM_INFINITY };
	struct fuse_init_out out;
	struct {
		struct fuse_write_in in;
		char data[16];
	} req = { .in.offset = 1 << 20, .in.size = sizeof(req.data) };
	uint64_t node;
	int error;

	CHECK(!getrlimit(RLIMIT_FSIZE, &old));
	fe_kill(&fe);
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK(fe_spawn(&fe, namespace_only));
	CHECK(!setrlimit(RLIMIT_FSIZE, &old));
	CHECK(fe_connect(&fe) && fe_handshake(&fe));
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &out) == 0);
	node = fe_make(&fe, "f", 1);
	CHECK(node);
	req.in.fh = fe_open(&fe, node, O_RDWR, &error);
	CHECK(node && !error);
	CHECK(fe_request(&fe, FUSE_WRITE, node, &req, sizeof(req), NULL,
			 sizeof(struct fuse_write_out), NULL) == -EFBIG);
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(no_way_out_of_namespace),
	TEST(no_way_out_without_window),
	TEST(no_way_out_of_chroot),
	TEST(no_way_out_of_chroot_without_window),
	TEST(no_way_out_with_library),
	TEST(no_way_out_of_chroot_with_library),
	TEST(no_way_out_for_want_of_library),
	TEST(no_way_out_by_an_inherited_socket),
	TEST(nothing_is_inherited),
	TEST(socket_goes_once_connected),
	TEST(socket_goes_without_front_end),
	TEST(files_outside_are_private),
	TEST(size_limit_is_an_error),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
