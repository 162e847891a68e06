// SPDX-License-Identifier: GPL-2.0
/*
 * A device that goes away, or is to sleep, under a mount. These tests unmount
 * $FUSE_DAX_DIR and put back what was there.
 */
#include <libgen.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	91
#define SIZE	(6 * MiB + 123)
#define RW	(PROT_READ | PROT_WRITE)
#define DRIVER	"/sys/bus/virtio/drivers/virtiofs"
#define POWER	"/sys/power"

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t res;

	if (fd < 0)
		return -1;
	res = write(fd, text, strlen(text));
	close(fd);
	return res == (ssize_t)strlen(text) ? 0 : -1;
}

/* The name of the virtio device with this tag, "" if there is none. */
static const char *device_of(const char *tag)
{
	static char name[NAME_MAX + 1];
	char path[PATH_MAX], text[64], target[PATH_MAX];
	ssize_t len;
	int fd, i;

	for (i = 0; i < 64; i++) {
		snprintf(path, sizeof(path), "/sys/fs/virtiofs/%d/tag", i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[len > 0 ? len - 1 : 0] = '\0';
		if (strcmp(text, tag))
			continue;
		snprintf(path, sizeof(path), "/sys/fs/virtiofs/%d/device", i);
		if (!realpath(path, target))
			break;
		snprintf(name, sizeof(name), "%s", basename(target));
		return name;
	}
	return "";
}

FIXTURE(device)
{
	struct dax_fs fs;
	char name[NAME_MAX + 1];
};

FIXTURE_SETUP(device)
{
	FS_SETUP(&self->fs);
	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
	NEED_DAX(&self->fs);
	strcpy(self->name, device_of(self->fs.tag));
	ASSERT_STRNE("", self->name);
}

FIXTURE_TEARDOWN(device)
{
	/* It has a driver already, unless the test went wrong */
	put(DRIVER "/bind", self->name);
	umount(self->fs.mnt);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	FS_TEARDOWN(&self->fs);
}

/* Uses a file in all ways until an error or SIGBUS ends it: exits with 0. */
static void use_until_error(struct dax_fs *fs, const char *name)
{
	volatile char *map;
	char buf[PAGE];
	int fd, i;

	fd = openat(fs->dirfd, name, O_RDWR);
	map = map_file(fd, SIZE, RW, MAP_SHARED);
	if (fd < 0 || map == MAP_FAILED)
		_exit(1);
	for (i = 0;; i = (i + 7) % (SIZE / PAGE)) {
		if (touch_read(map + i * PAGE) < 0)
			_exit(0);
		if (pread(fd, buf, PAGE, i * PAGE) != PAGE)
			_exit(errno == ENOTCONN || errno == ECONNABORTED ? 0 : 2);
		if (mem_is_pattern(buf, i * PAGE, PAGE, SEED))
			_exit(3);
		if (pwrite(fd, buf, PAGE, i * PAGE) != PAGE)
			_exit(errno == ENOTCONN || errno == ECONNABORTED ? 0 : 4);
	}
}

/*
 * Rule: a device may go at any time.
 * Wrong: page tables and the driver keep pointing to memory that has gone; the
 * removal waits for ever.
 * Right: tasks that use the mount get errors and SIGBUS, within a second; it can
 * be unmounted; when the device is back, a new mount has the data.
 * in-tree 7.3: not run there, as it uses memory that is gone (field notes A12).
 */
TEST_F_TIMEOUT(device, unbind_in_use, 120)
{
	char buf[PAGE];
	pid_t pids[4];
	char *map;
	long start;
	int fd, i;

	if (counter(&self->fs, "ranges_total") < 0)
		SKIP(return, "would use memory that is gone");
	fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	ASSERT_EQ(0, fsync(fd));
	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i])
			use_until_error(&self->fs, "file");
	}
	sleep_ms(500);
	start = now_ms();
	ASSERT_EQ(0, put(DRIVER "/unbind", self->name));
	TH_LOG("unbind took %ld ms", now_ms() - start);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, wait_within(pids[i], 1000));

	EXPECT_EQ(-1, touch_read(map));
	EXPECT_EQ(-1, touch_write(map + PAGE, 1));
	EXPECT_EQ(-1, pread(fd, buf, PAGE, 0));
	EXPECT_EQ(ENOTCONN, errno);
	EXPECT_EQ(-1, pwrite(fd, buf, PAGE, 0));
	EXPECT_EQ(ENOTCONN, errno);
	EXPECT_EQ(-1, fsync(fd));
	munmap(map, SIZE);
	close(fd);
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	EXPECT_EQ(0, umount(self->fs.mnt));

	ASSERT_EQ(0, put(DRIVER "/bind", self->name));
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, SEED));
	close(fd);
}

/*
 * Rule: the memory of the window stays while somebody has a page of it pinned.
 * Wrong: it goes, and the pipe reads what is somebody else's by then.
 * Right: the removal waits until the page is let go of; others get their errors
 * at once.
 * in-tree 7.3: not run there, for the same reason.
 */
TEST_F_TIMEOUT(device, unbind_pinned, 120)
{
	char page[PAGE];
	int pipefd[2], fd;
	pid_t pid;
	char *map;

	if (counter(&self->fs, "ranges_total") < 0)
		SKIP(return, "would use memory that is gone");
	fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	ASSERT_EQ(0, pin_page(map + 5 * PAGE, pipefd));

	pid = fork();
	if (!pid) {
		close(pipefd[0]);
		close(pipefd[1]);
		_exit(put(DRIVER "/unbind", self->name) ? 1 : 0);
	}
	sleep_ms(2000);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_EQ(-1, touch_read(map));
	EXPECT_EQ(-1, pread(fd, page, PAGE, 0));
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, wait_within(pid, 5000));
	munmap(map, SIZE);
	close(pipefd[0]);
	close(pipefd[1]);
	close(fd);
	umount2(self->fs.mnt, MNT_DETACH);
	ASSERT_EQ(0, put(DRIVER "/bind", self->name));
}

/*
 * Rule: the device goes while the mount goes.
 * Wrong: one of them uses what the other has freed.
 * Right: both end, in whatever order; the device can be used again.
 * in-tree 7.3: passes, as nothing is mapped.
 */
TEST_F_TIMEOUT(device, unbind_and_umount, 120)
{
	pid_t pid;
	int fd, i;

	for (i = 0; i < 10; i++) {
		fd = file_make(&self->fs, "file", SIZE, SEED);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, file_is_pattern(fd, 0, SIZE, SEED));
		close(fd);
		close(self->fs.dirfd);
		self->fs.dirfd = -1;
		pid = fork();
		if (!pid)
			_exit(put(DRIVER "/unbind", self->name) ? 1 : 0);
		if (i & 1)
			sleep_ms(i);
		EXPECT_EQ(0, umount(self->fs.mnt));
		EXPECT_EQ(0, wait_within(pid, 10000));
		ASSERT_EQ(0, put(DRIVER "/bind", self->name));
		ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	}
}

/* Suspend to idle, as far as the devices, and back. */
static int suspend(void)
{
	if (put(POWER "/pm_test", "devices"))
		return -1;
	put("/sys/module/suspend/parameters/pm_test_delay", "1");
	return put(POWER "/state", "freeze");
}

/*
 * Rule: suspend works or is refused before anything is lost.
 * Wrong: the mount, or the data, is lost after resume.
 * Right: EBUSY while it is mounted, and everything goes on; without a mount it
 * works, and so does a mount afterwards.
 * in-tree 7.3: fails, suspend is refused also without a mount.
 */
TEST_F_TIMEOUT(device, suspend, 120)
{
	char *map;
	int fd;

	if (access(POWER "/pm_test", W_OK))
		SKIP(return, "no CONFIG_PM_DEBUG");
	fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, touch_write(map + 3, 'x'));
	EXPECT_EQ(-1, suspend());
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ('x', touch_read(map + 3));
	EXPECT_EQ(0, touch_write(map + 3, map[3]));
	ASSERT_EQ(0, file_write(fd, 0, SIZE, SEED));
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	munmap(map, SIZE);
	close(fd);
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	ASSERT_EQ(0, umount(self->fs.mnt));

	EXPECT_EQ(0, suspend());
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, SEED));
	close(fd);
}

TEST_HARNESS_MAIN
