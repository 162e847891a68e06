// SPDX-License-Identifier: GPL-2.0
/*
 * A connection that is aborted while the server is silent or dead.
 *
 * FUSE_DAX_DEATH=1 has the server die, which the file system does not survive:
 * the tests that come after it would fail, so there is one.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <linux/fuse.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define RW	(PROT_READ | PROT_WRITE)
#define BLOCK	(64 * KiB)
#define SEED	FAULT_SEED
#define CONTROL	"/sys/fs/fuse/connections"

#define NEED_CONTROL(self) \
	NEED((self)->controlled, "there is no %s", (self)->control)

FIXTURE(abort)
{
	struct dax_fs fs;
	struct fault_file file;
	char control[64];
	bool controlled;
	int live_fd;
	char *live;
	int small_fd;
	pid_t pids[7];
	int nr;
};

/* Where the connection is aborted. It is found out while the server answers. */
static int find_control(const char *mnt, char *path, size_t len)
{
	struct stat st;

	if (stat(mnt, &st))
		return -1;
	mount("fusectl", CONTROL, "fusectl", 0, NULL);
	snprintf(path, len, CONTROL "/%u/abort", minor(st.st_dev));
	return access(path, W_OK);
}

/*
 * Three files: one that is mapped already, one whose setup will not be answered,
 * and a small one, of which the first reads fall back.
 */
FIXTURE_SETUP(abort)
{
	self->live = MAP_FAILED;
	self->live_fd = -1;
	self->small_fd = -1;
	FAULT_SETUP(self);
	self->live_fd = file_make(&self->fs, "live", FAULT_SIZE, 1);
	ASSERT_LE(0, self->live_fd);
	self->live = map_file(self->live_fd, FAULT_SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->live);
	ASSERT_EQ(0, mem_is_pattern(self->live, 0, FAULT_SIZE, 1));
	self->small_fd = file_make(&self->fs, "small", BLOCK, 2);
	ASSERT_LE(0, self->small_fd);
	self->controlled = !find_control(self->fs.mnt, self->control,
					 sizeof(self->control));
}

static void close_all(FIXTURE_DATA(abort) *self)
{
	if (self->live != MAP_FAILED)
		munmap(self->live, FAULT_SIZE);
	self->live = MAP_FAILED;
	close(self->live_fd);
	close(self->small_fd);
	self->live_fd = -1;
	self->small_fd = -1;
	fault_file_close(&self->file);
}

FIXTURE_TEARDOWN(abort)
{
	int i;

	for (i = 0; i < self->nr; i++)
		kill_within(self->pids[i], GONE_MS);
	close_all(self);
	FAULT_TEARDOWN(self);
}

/* Loads, and reads, until that is over. */
static pid_t go_on_and_on(FIXTURE_DATA(abort) *self, bool load)
{
	pid_t pid = fork();
	char *buf;
	off_t pos;

	if (pid)
		return pid;
	buf = malloc(BLOCK);
	for (pos = 0;; pos = (pos + BLOCK) % FAULT_SIZE) {
		if (load) {
			if (touch_read(self->live + pos) < 0)
				_exit(ENDED_SIGBUS);
			continue;
		}
		if (pread(self->live_fd, buf, BLOCK, pos) < 0)
			_exit(errno);
		if (mem_is_pattern(buf, pos, BLOCK, 1))
			_exit(ENDED_WRONG);
	}
}

/* A setup, readers, writers and mappers: two in the server, others behind. */
static void start_waiters(struct __test_metadata *_metadata,
			  FIXTURE_DATA(abort) *self)
{
	pid_t *pids = self->pids;

	pids[self->nr++] = go_load(self->file.map, 5, SEED);
	ASSERT_EQ(0, fault_wait(&self->fs, "SETUPMAPPING", 1));
	pids[self->nr++] = go_store(self->file.map, MiB, SEED);
	pids[self->nr++] = go_read(self->file.fd, 0, BLOCK, SEED);
	pids[self->nr++] = go_read(self->small_fd, 0, BLOCK, 2);
	/* A driver without fallback waits for another setup. */
	if (dax_required())
		ASSERT_EQ(0, fault_wait(&self->fs, "READ", 1));
	pids[self->nr++] = go_on_and_on(self, false);
	pids[self->nr++] = go_on_and_on(self, true);
	sleep_ms(200);
}

/* All of them are gone within a second, in the way that befits each. */
static void check_waiters(struct __test_metadata *_metadata,
			  FIXTURE_DATA(abort) *self)
{
	static const char *const who[] = {
		"load in a setup", "store", "read behind a setup",
		"read by request", "reader", "mapper",
	};
	long start = now_ms();
	int i, code;

	for (i = 0; i < self->nr; i++) {
		bool memory = i < 2 || i == 5;

		code = ended(self->pids[i], SOON_MS, NULL);
		TH_LOG("%s: ended with %d after %ld ms", who[i], code,
		       now_ms() - start);
		if (memory) {
			EXPECT_EQ(ENDED_SIGBUS, code);
		} else {
			EXPECT_TRUE(code == ENOTCONN || code == ECONNABORTED);
		}
		EXPECT_GT(GONE_MS, now_ms() - start);
	}
	self->nr = 0;
}

static void use_control(struct __test_metadata *_metadata,
			FIXTURE_DATA(abort) *self)
{
	int fd = open(self->control, O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(1, write(fd, "1", 1));
	close(fd);
}

/* After an abort: errors, SIGBUS, an umount that works. */
static void check_mount_is_dead(struct __test_metadata *_metadata,
				FIXTURE_DATA(abort) *self)
{
	long start, took;
	char byte;

	/* The live one may have been truncated, and its end is known */
	EXPECT_EQ(-1, pread(self->small_fd, &byte, 1, 0));
	EXPECT_EQ(ENOTCONN, errno);
	EXPECT_EQ(ENDED_SIGBUS, ended(go_load(self->live, 0, 1), SOON_MS,
				      &took));
	close_all(self);
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	start = now_ms();
	EXPECT_EQ(0, umount(self->fs.mnt));
	TH_LOG("unmounted in %ld ms", now_ms() - start);
	EXPECT_GT(GONE_MS, now_ms() - start);
}

/* A new mount of the same device has a whole window, and right data. */
static void check_new_mount(struct __test_metadata *_metadata,
			    FIXTURE_DATA(abort) *self)
{
	char *map;
	int fd;

	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(counter(&self->fs, "ranges_total"),
		  counter(&self->fs, "ranges_free"));
	fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, FAULT_SIZE, SEED));
	map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, FAULT_SIZE, SEED));
	munmap(map, FAULT_SIZE);
	close(fd);
}

static void silence_all(struct __test_metadata *_metadata,
			FIXTURE_DATA(abort) *self)
{
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 silence\n"
			       "op=READ count=0 silence"));
}

/*
 * Rule: a connection that is aborted lets everybody go.
 * Wrong: tasks that wait for the server stay; those that use memory go on as if
 * nothing had happened; umount hangs; the device is of no use any more.
 * Right: all are gone within a second, with ENOTCONN or SIGBUS; the file system
 * is unmounted, and mounted again with all of its window.
 * in-tree 7.3: skipped, virtiofs has no control files.
 */
TEST_F_TIMEOUT(abort, by_control, 60)
{
	NEED_CONTROL(self);
	silence_all(_metadata, self);
	start_waiters(_metadata, self);
	use_control(_metadata, self);
	check_waiters(_metadata, self);
	check_mount_is_dead(_metadata, self);
	check_new_mount(_metadata, self);
}

/*
 * Rule: so does umount -f, although it cannot unmount what is in use.
 * Wrong, right: as above.
 * in-tree 7.3: fails, umount -f has no effect.
 */
TEST_F_TIMEOUT(abort, by_forced_umount, 60)
{
	silence_all(_metadata, self);
	start_waiters(_metadata, self);
	EXPECT_EQ(-1, umount2(self->fs.mnt, MNT_FORCE));
	EXPECT_EQ(EBUSY, errno);
	check_waiters(_metadata, self);
	check_mount_is_dead(_metadata, self);
	check_new_mount(_metadata, self);
}

/*
 * Rule: an abort does not wait for a remove.
 * Wrong: abort or umount waits for the server.
 * Right: at once, and nothing is lost.
 * in-tree 7.3: skipped, virtiofs has no control files.
 */
TEST_F_TIMEOUT(abort, during_remove, 60)
{
	NEED_CONTROL(self);
	ASSERT_EQ(0, fault_set(&self->fs, "op=REMOVEMAPPING count=0 silence"));
	ASSERT_EQ(0, ftruncate(self->live_fd, 0));
	ASSERT_EQ(0, fault_wait(&self->fs, "REMOVEMAPPING", 1));
	use_control(_metadata, self);
	check_mount_is_dead(_metadata, self);
	check_new_mount(_metadata, self);
}

/*
 * Rule: with nobody waiting, too, an abort ends the use of memory.
 * Wrong, right: as above.
 * in-tree 7.3: skipped, virtiofs has no control files.
 */
TEST_F_TIMEOUT(abort, while_idle, 60)
{
	char byte;

	NEED_CONTROL(self);
	use_control(_metadata, self);
	EXPECT_EQ(-1, pread(self->live_fd, &byte, 1, 0));
	EXPECT_EQ(ENOTCONN, errno);
	check_mount_is_dead(_metadata, self);
	check_new_mount(_metadata, self);
}

#define BUSY	6

/* Each file has a truncation that waits for the server, and a fault for that. */
static void start_busy(struct __test_metadata *_metadata,
		       FIXTURE_DATA(abort) *self, int *fds, char **maps,
		       pid_t *pids)
{
	char name[16];
	int i;

	for (i = 0; i < BUSY; i++) {
		snprintf(name, sizeof(name), "busy-%d", i);
		fds[i] = file_make(&self->fs, name, FAULT_SIZE, i);
		ASSERT_LE(0, fds[i]);
		maps[i] = map_file(fds[i], FAULT_SIZE, RW, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, maps[i]);
		/* Maps the whole file, and half of it in page tables */
		ASSERT_LE(0, touch_read(maps[i] + 3 * MiB));
	}
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETATTR count=0 silence"));
	for (i = 0; i < BUSY; i++) {
		pids[2 * i] = go_truncate(fds[i], FAULT_SIZE - PAGE);
		ASSERT_EQ(0, fault_wait(&self->fs, "SETATTR", i + 1));
		pids[2 * i + 1] = go_load(maps[i], 5, i);
	}
	sleep_ms(200);
}

/*
 * Rule: an abort takes no longer for many files that are in use.
 * Wrong: half a second for each of them, one after the other.
 * Right: half a second for all, and as much for the server.
 * in-tree 7.3: skipped, virtiofs has no control files.
 */
TEST_F_TIMEOUT(abort, many_busy_files, 60)
{
	char *maps[BUSY];
	pid_t pids[2 * BUSY];
	int fds[BUSY], i, code;
	long start, took;

	NEED_CONTROL(self);
	start_busy(_metadata, self, fds, maps, pids);
	start = now_ms();
	use_control(_metadata, self);
	took = now_ms() - start;
	TH_LOG("aborted in %ld ms", took);
	EXPECT_GT(2 * GONE_MS, took);
	for (i = 0; i < 2 * BUSY; i++) {
		code = ended(pids[i], SOON_MS, NULL);
		EXPECT_TRUE(code == ENDED_SIGBUS || code == ENOTCONN ||
			    code == ECONNABORTED);
	}
	for (i = 0; i < BUSY; i++) {
		munmap(maps[i], FAULT_SIZE);
		close(fds[i]);
	}
	check_mount_is_dead(_metadata, self);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	ASSERT_EQ(0, fault_clear(&self->fs));
}

#define NOTIFY_XATTR	"trusted.daxd.notify"

/* Says that a name of the root directory has changed. By @fd, of any file. */
static int say_entry(int fd, const char *name)
{
	struct {
		struct fuse_out_header header;
		struct fuse_notify_inval_entry_out arg;
		char name[32];
	} msg = {
		.header.error = FUSE_NOTIFY_INVAL_ENTRY,
		.arg = { .parent = FUSE_ROOT_ID, .namelen = strlen(name) },
	};

	strcpy(msg.name, name);
	msg.header.len = offsetof(typeof(msg), name) + strlen(name) + 1;
	return fsetxattr(fd, NOTIFY_XATTR, &msg, msg.header.len, 0);
}

/* A file system within the file system, at @path; it is used until closed. */
static int begin_submount(struct dax_fs *fs, char *path, size_t len)
{
	int fd;

	snprintf(path, len, "%s/sub", fs->dir);
	if (mkdir(path, 0700) || fs_remount(fs, fs_first_options()) ||
	    fault_set(fs, "op=LOOKUP submount"))
		return -1;
	fd = openat(fs->dirfd, "sub", O_RDONLY | O_DIRECTORY);
	fault_clear(fs);
	return fd;
}

static pid_t go_umount(const char *path)
{
	pid_t pid = fork();

	if (!pid)
		_exit(umount(path) ? errno : 0);
	return pid;
}

static pid_t go_abort(const char *control)
{
	pid_t pid = fork();

	if (!pid)
		_exit(write(open(control, O_WRONLY), "1", 1) == 1 ? 0 : errno);
	return pid;
}

/*
 * Rule: nobody waits for somebody who handles a notification.
 * Wrong: he waits for a directory which a task has locked that waits for the
 * server; who unmounts something waits for him, and an abort for both.
 * Right: a part of the tree is unmounted at once, and the abort lets all go.
 * in-tree 7.3: skipped, virtiofs has no control files.
 */
TEST_F_TIMEOUT(abort, during_notification, 60)
{
	char path[PATH_MAX];
	int rootfd, fd, i;
	pid_t pids[3];

	NEED_CONTROL(self);
	close_all(self);
	fd = begin_submount(&self->fs, path, sizeof(path));
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, find_control(self->fs.mnt, self->control,
				  sizeof(self->control)));
	self->file.fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->file.fd);
	rootfd = open(self->fs.mnt, O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, rootfd);
	close(openat(rootfd, "entry", O_CREAT | O_RDWR, 0600));

	ASSERT_EQ(0, fault_set(&self->fs, "op=UNLINK silence"));
	pids[0] = go_unlink(rootfd, "entry");
	ASSERT_EQ(0, fault_wait(&self->fs, "UNLINK", 1));
	NEED(!say_entry(self->file.fd, "entry"), "no notification queue");
	sleep_ms(200);
	pids[1] = go_umount(path);
	EXPECT_TRUE(goes_on(pids[0], 300));
	pids[2] = go_abort(self->control);
	for (i = 2; i >= 0; i--) {
		int code = ended(pids[i], SOON_MS, NULL);

		TH_LOG("task %d: ended with %d", i, code);
		EXPECT_EQ(i ? 0 : ECONNABORTED, code);
	}
	close(rootfd);
	fault_file_close(&self->file);
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	EXPECT_EQ(0, umount(self->fs.mnt));
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	ASSERT_EQ(0, fault_clear(&self->fs));
}

#define RELEASE_MS	1500

/*
 * Rule: umount waits for a server that takes long to close a file.
 * Wrong: it resets the device after half a second, which ends the session.
 * Right: all that was asked for is answered first.
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(abort, umount_awaits_release, 60)
{
	pid_t pid = fork();
	long start;

	if (!pid) {
		/* Closed by the exit of a task, for whom nobody waits */
		pause();
		_exit(0);
	}
	ASSERT_EQ(0, fault_set(&self->fs, "op=RELEASE count=0 delay=%d",
			       RELEASE_MS));
	close_all(self);
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	start = now_ms();
	kill(pid, SIGKILL);
	sleep_ms(100);
	while (umount(self->fs.mnt) && errno == EBUSY &&
	       now_ms() - start < SOON_MS)
		sleep_ms(1);
	TH_LOG("unmounted in %ld ms", now_ms() - start);
	EXPECT_LE(RELEASE_MS - 100, now_ms() - start);
	EXPECT_GT(2 * SOON_MS, now_ms() - start);
	wait_within(pid, GONE_MS);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	ASSERT_EQ(0, fault_clear(&self->fs));
}

/*
 * Rule: the same holds when the server dies.
 * Wrong: tasks that wait for it cannot be got rid of; umount hangs.
 * Right: they wait until the connection is aborted, then all are gone within a
 * second, and umount works.
 * in-tree 7.3: skipped, virtiofs has no control files.
 */
TEST_F_TIMEOUT(abort, dead_server, 60)
{
	if (!getenv("FUSE_DAX_DEATH"))
		SKIP(return, "FUSE_DAX_DEATH is not set");
	NEED_CONTROL(self);
	silence_all(_metadata, self);
	start_waiters(_metadata, self);
	ASSERT_EQ(0, fault_set(&self->fs, "op=STATFS die"));
	self->pids[self->nr] = fork();
	if (!self->pids[self->nr]) {
		struct statfs st;

		statfs(self->fs.mnt, &st);
		_exit(errno);
	}
	EXPECT_TRUE(goes_on(self->pids[self->nr], 500));
	use_control(_metadata, self);
	check_waiters(_metadata, self);
	EXPECT_NE(NOT_ENDED, wait_within(self->pids[6], GONE_MS));
	check_mount_is_dead(_metadata, self);
}

TEST_HARNESS_MAIN
