// SPDX-License-Identifier: GPL-2.0
/*
 * Mounting a virtiofs with and without DAX. These tests unmount $FUSE_DAX_DIR
 * and put back what was there.
 *
 * FUSE_DAX_NO_WINDOW=1 says that the device has no window, and
 * FUSE_DAX_ATTR_MIN=SIZE that the server sets FUSE_ATTR_DAX on regular files
 * of SIZE bytes or more. Without it no file is expected to have the attribute.
 */
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <linux/stat.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	51
#define SIZE	(3 * MiB + 7)

static bool has_window(void)
{
	return !getenv("FUSE_DAX_NO_WINDOW");
}

static off_t attr_min(void)
{
	const char *text = getenv("FUSE_DAX_ATTR_MIN");

	return text ? atoll(text) : -1;
}

FIXTURE(mount)
{
	struct dax_fs fs;
};

FIXTURE_SETUP(mount)
{
	FS_SETUP(&self->fs);
	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
}

FIXTURE_TEARDOWN(mount)
{
	umount(self->fs.mnt);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	FS_TEARDOWN(&self->fs);
}

/* The value of the dax option in /proc/mounts, "" if there is none. */
static const char *dax_shown(const struct dax_fs *fs)
{
	static char options[512];
	char *option, *end;

	if (fs_mount_options(fs->mnt, options, sizeof(options)))
		return "nothing mounted";
	option = strstr(options, "dax");
	if (!option)
		return "";
	end = strchr(option, ',');
	if (end)
		*end = '\0';
	return option;
}

static bool new_file_is_dax(struct dax_fs *fs, const char *name)
{
	bool dax;
	int fd;

	fd = file_make(fs, name, SIZE, SEED);
	if (fd < 0)
		return false;
	close(fd);
	drop_caches(2);
	fd = openat(fs->dirfd, name, O_RDWR);
	dax = fd >= 0 && fd_is_dax(fd);
	if (file_is_pattern(fd, 0, SIZE, SEED))
		dax = false;
	close(fd);
	return dax;
}

/*
 * Rule: the option dax and its values.
 * Wrong: another mode than asked for, or one that is not shown.
 * Right: dax and dax=always make all files DAX, dax=never none, dax=inode and
 * no option those with FUSE_ATTR_DAX; /proc/mounts shows dax=always, never,
 * inode, or nothing.
 * in-tree 7.3: passes.
 */
FIXTURE(options)
{
	struct dax_fs fs;
};

FIXTURE_VARIANT(options)
{
	const char *data;
	const char *shown;
	enum { DAX_ALL, DAX_NONE, DAX_BY_ATTR } files;
};

FIXTURE_VARIANT_ADD(options, dax) {
	.data = "dax", .shown = "dax=always", .files = DAX_ALL,
};
FIXTURE_VARIANT_ADD(options, always) {
	.data = "dax=always", .shown = "dax=always", .files = DAX_ALL,
};
FIXTURE_VARIANT_ADD(options, never) {
	.data = "dax=never", .shown = "dax=never", .files = DAX_NONE,
};
FIXTURE_VARIANT_ADD(options, inode) {
	.data = "dax=inode", .shown = "dax=inode", .files = DAX_BY_ATTR,
};
FIXTURE_VARIANT_ADD(options, none) {
	.data = NULL, .shown = "", .files = DAX_BY_ATTR,
};

FIXTURE_SETUP(options)
{
	FS_SETUP(&self->fs);
	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
}

FIXTURE_TEARDOWN(options)
{
	umount(self->fs.mnt);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	FS_TEARDOWN(&self->fs);
}

TEST_F(options, mode)
{
	bool dax = variant->files == DAX_ALL;

	if (variant->files == DAX_BY_ATTR)
		dax = attr_min() >= 0 && SIZE >= attr_min();
	if (!has_window()) {
		if (variant->files == DAX_ALL)
			SKIP(return, "there is no window");
		dax = false;
	}
	ASSERT_EQ(0, fs_remount(&self->fs, variant->data));
	EXPECT_STREQ(variant->shown, dax_shown(&self->fs));
	EXPECT_EQ(dax, new_file_is_dax(&self->fs, "file"));
}

/* Whether the records of the kernel log from here on speak of DAX. */
static bool log_speaks_of_dax(int kmsg)
{
	char record[1024];
	bool speaks = false;
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		if (strcasestr(record, "dax"))
			speaks = true;
	}
	return speaks;
}

/*
 * Rule: dax=always needs a window.
 * Wrong: the mount succeeds and is not DAX, or fails without a word.
 * Right: EINVAL, and a message about DAX in the kernel log.
 * in-tree 7.3: passes.
 */
TEST_F(mount, always_without_window)
{
	int kmsg;

	if (has_window())
		SKIP(return, "there is a window");
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, kmsg);
	ASSERT_LE(0, lseek(kmsg, 0, SEEK_END));
	EXPECT_EQ(-1, fs_remount(&self->fs, "dax=always"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(log_speaks_of_dax(kmsg));
	EXPECT_EQ(-1, fs_remount(&self->fs, "dax"));
	EXPECT_EQ(EINVAL, errno);
	close(kmsg);
}

/*
 * Rule: dax=inode without a window is a mount without DAX.
 * Wrong: the mount fails.
 * Right: it succeeds; reads and writes work; no file is DAX.
 * in-tree 7.3: passes.
 */
TEST_F(mount, inode_without_window)
{
	if (has_window())
		SKIP(return, "there is a window");
	ASSERT_EQ(0, fs_remount(&self->fs, "dax=inode"));
	EXPECT_FALSE(new_file_is_dax(&self->fs, "file"));
	EXPECT_EQ(0, faccessat(self->fs.dirfd, "file", F_OK, 0));
}

/*
 * Rule: values of the option that do not exist are refused.
 * Wrong: they are taken for something.
 * Right: EINVAL.
 * in-tree 7.3: passes.
 */
TEST_F(mount, bad_option)
{
	EXPECT_EQ(-1, fs_remount(&self->fs, "dax=sometimes"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fs_remount(&self->fs, "dax="));
	EXPECT_EQ(EINVAL, errno);
}

static int statx_fd(int fd, const char *name, struct statx *stx)
{
	return syscall(SYS_statx, fd, name, *name ? 0 : AT_EMPTY_PATH,
		       STATX_BASIC_STATS, stx);
}

/*
 * Rule: statx() tells whether a file is DAX.
 * Wrong: the bit on directories and links to them, or not on files.
 * Right: STATX_ATTR_DAX in the mask for all, set on regular files only.
 * in-tree 7.3: passes.
 */
TEST_F(mount, statx)
{
	struct statx stx;
	int fd;

	if (!has_window())
		SKIP(return, "there is no window");
	ASSERT_EQ(0, fs_remount(&self->fs, "dax=always"));
	fd = file_make(&self->fs, "file", 10, SEED);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, mkdirat(self->fs.dirfd, "dir", 0755));
	ASSERT_EQ(0, statx_fd(self->fs.dirfd, "file", &stx));
	EXPECT_NE(0, stx.stx_attributes_mask & STATX_ATTR_DAX);
	EXPECT_NE(0, stx.stx_attributes & STATX_ATTR_DAX);
	ASSERT_EQ(0, statx_fd(self->fs.dirfd, "dir", &stx));
	EXPECT_EQ(0, stx.stx_attributes & STATX_ATTR_DAX);
}

/*
 * Rule: a mount can be undone and done again, with its mappings live.
 * Wrong: data lost, mappings left on the host (the next mount then fails or
 * shows other files' data), ranges that do not come back.
 * Right: each time the data, and all ranges free.
 * in-tree 7.3: passes.
 */
TEST_F(mount, again_and_again)
{
	char name[16];
	int i, j, fd;

	if (!has_window())
		SKIP(return, "there is no window");
	for (i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fd = file_make(&self->fs, name, SIZE, i);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, file_is_pattern(fd, 0, SIZE, i));
		ASSERT_EQ(0, file_write(fd, MiB, 100, i));
		close(fd);
		ASSERT_EQ(0, fs_remount(&self->fs, "dax=always"));
		EXPECT_EQ(counter(&self->fs, "ranges_total"),
			  counter(&self->fs, "ranges_free"));
		for (j = i; j >= 0; j--) {
			snprintf(name, sizeof(name), "file%d", j);
			fd = openat(self->fs.dirfd, name, O_RDWR);
			ASSERT_LE(0, fd);
			EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, j));
			close(fd);
		}
	}
}

/*
 * Rule: what is mapped keeps the mount busy; a lazy umount leaves it usable.
 * Wrong: umount succeeds under a mapping, or the mapping dies with it.
 * Right: EBUSY; after MNT_DETACH loads, stores and first touches go on, and
 * a new mount of the tag works once it is unmapped.
 * in-tree 7.3: passes.
 */
TEST_F(mount, umount_while_mapped)
{
	char *map;
	int fd;

	if (!has_window())
		SKIP(return, "there is no window");
	ASSERT_EQ(0, fs_remount(&self->fs, "dax=always"));
	fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	touch_pages(map, MiB);
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	EXPECT_EQ(-1, umount(self->fs.mnt));
	EXPECT_EQ(EBUSY, errno);
	ASSERT_EQ(0, umount2(self->fs.mnt, MNT_DETACH));
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	pattern_fill(map, 0, MiB, SEED + 1);
	munmap(map, SIZE);
	ASSERT_EQ(0, fs_remount(&self->fs, "dax=always"));
	fd = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, MiB, SEED + 1));
	EXPECT_EQ(0, file_is_pattern(fd, MiB, SIZE - MiB, SEED));
	close(fd);
}

/*
 * Rule: a read-only mount reads through the window and writes nothing.
 * Wrong: a store reaches the file, or read-only mappings fail.
 * Right: data by read() and mmap; EROFS for opening to write.
 * in-tree 7.3: passes.
 */
TEST_F(mount, read_only)
{
	char *map;
	int fd;

	if (!has_window())
		SKIP(return, "there is no window");
	ASSERT_EQ(0, fs_remount(&self->fs, "dax=always"));
	fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, mount(NULL, self->fs.mnt, NULL, MS_REMOUNT | MS_RDONLY,
			   NULL));
	EXPECT_EQ(-1, openat(self->fs.dirfd, "file", O_RDWR));
	EXPECT_EQ(EROFS, errno);
	fd = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, SEED));
	map = map_file(fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	EXPECT_EQ(0, touch_write(map, 'x'));
	EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, SEED));
	munmap(map, SIZE);
	close(fd);
	EXPECT_EQ(0, mount(NULL, self->fs.mnt, NULL, MS_REMOUNT, NULL));
}

/*
 * Rule: with dax=inode the attribute of the server decides, and a change of
 * it takes effect once the inode is dropped after its last close.
 * Wrong: the mode changes under an open file, or never.
 * Right: a small file is not DAX; made larger it becomes so after close, and
 * its data is right all the time.
 * in-tree 7.3: passes.
 */
TEST_F(mount, attr_changes)
{
	off_t min = attr_min();
	long until;
	bool dax;
	int fd;

	if (min <= 0 || !has_window())
		SKIP(return, "the server sets FUSE_ATTR_DAX by no size");
	ASSERT_EQ(0, fs_remount(&self->fs, "dax=inode"));
	fd = file_make(&self->fs, "file", min - 1, SEED);
	ASSERT_LE(0, fd);
	close(fd);
	fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(fd_is_dax(fd));
	ASSERT_EQ(0, file_write(fd, min - 1, MiB, SEED));
	EXPECT_FALSE(fd_is_dax(fd));
	EXPECT_EQ(0, file_is_pattern(fd, 0, min - 1 + MiB, SEED));
	close(fd);
	until = now_ms() + 5000;
	do {
		fd = openat(self->fs.dirfd, "file", O_RDWR);
		ASSERT_LE(0, fd);
		dax = fd_is_dax(fd);
		EXPECT_EQ(0, file_is_pattern(fd, 0, min - 1 + MiB, SEED));
		close(fd);
		sleep_ms(100);
	} while (!dax && now_ms() < until);
	EXPECT_TRUE(dax);
}

static int remount(const struct dax_fs *fs, const char *options)
{
	return mount(NULL, fs->mnt, NULL, MS_REMOUNT, options) ? errno : 0;
}

/* Mounts the device a second time, beside the first; 0 or the error. */
static int mount_second(const struct dax_fs *fs, const char *options)
{
	char dir[] = "/tmp/fuse_dax.XXXXXX";
	int err;

	if (!mkdtemp(dir))
		return errno;
	err = mount(fs->tag, dir, "virtiofs", 0, options) ? errno : 0;
	if (!err && umount(dir))
		err = errno;
	rmdir(dir);
	return err;
}

/*
 * Rule: the first mount chooses the mode, for as long as it is mounted.
 * Wrong: another one is accepted, and has no effect.
 * Right: EINVAL for a remount that asks for another mode, EBUSY for a mount of
 * the same device; both say why in the kernel log. The same mode, and no
 * option, are accepted. No option is the same as dax=inode.
 * in-tree 7.3: fails, all are accepted.
 */
FIXTURE(keep)
{
	struct dax_fs fs;
};

FIXTURE_VARIANT(keep)
{
	const char *first;
	const char *same[4];
	const char *other[4];
	bool window;
};

FIXTURE_VARIANT_ADD(keep, always) {
	.first = "dax=always",
	.same = { "", "dax", "dax=always" },
	.other = { "dax=never", "dax=inode" },
	.window = true,
};
FIXTURE_VARIANT_ADD(keep, never) {
	.first = "dax=never",
	.same = { "", "dax=never" },
	.other = { "dax", "dax=always", "dax=inode" },
};
FIXTURE_VARIANT_ADD(keep, inode) {
	.first = "dax=inode",
	.same = { "", "dax=inode" },
	.other = { "dax", "dax=always", "dax=never" },
};
FIXTURE_VARIANT_ADD(keep, none) {
	.first = "",
	.same = { "", "dax=inode" },
	.other = { "dax", "dax=always", "dax=never" },
};

FIXTURE_SETUP(keep)
{
	FS_SETUP(&self->fs);
	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
}

FIXTURE_TEARDOWN(keep)
{
	umount(self->fs.mnt);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	FS_TEARDOWN(&self->fs);
}

TEST_F(keep, mode)
{
	const char *const *options;
	int kmsg;

	if (variant->window && !has_window())
		SKIP(return, "there is no window");
	ASSERT_EQ(0, fs_remount(&self->fs, variant->first));
	for (options = variant->same; *options; options++) {
		EXPECT_EQ(0, remount(&self->fs, *options));
		EXPECT_EQ(0, mount_second(&self->fs, *options));
	}
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, kmsg);
	for (options = variant->other; *options; options++) {
		lseek(kmsg, 0, SEEK_END);
		EXPECT_EQ(EINVAL, remount(&self->fs, *options));
		EXPECT_TRUE(log_speaks_of_dax(kmsg));
		lseek(kmsg, 0, SEEK_END);
		EXPECT_EQ(EBUSY, mount_second(&self->fs, *options));
		EXPECT_TRUE(log_speaks_of_dax(kmsg));
	}
	close(kmsg);
	EXPECT_STREQ(variant->first, dax_shown(&self->fs));
}

TEST_HARNESS_MAIN
