// SPDX-License-Identifier: GPL-2.0
/*
 * File systems that the host has mounted in the share, on `one` and `two`; see
 * scripts/vm-mounts. FUSE_DAX_SUBMOUNTS says that they are there.
 */
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define LARGE	MiB

FIXTURE(submount)
{
	struct dax_fs fs;
};

FIXTURE_SETUP(submount)
{
	if (!getenv("FUSE_DAX_SUBMOUNTS"))
		SKIP(return, "the host has mounted nothing in the share");
	FS_SETUP(&self->fs);
}

FIXTURE_TEARDOWN(submount)
{
	FS_TEARDOWN(&self->fs);
}

static int open_in(const struct dax_fs *fs, const char *name, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", fs->mnt, name);
	return open(path, flags);
}

static int stat_in(const struct dax_fs *fs, const char *name, struct stat *st)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", fs->mnt, name);
	return stat(path, st);
}

/*
 * Rule: device and inode number say which file it is.
 * Wrong: files of two file systems of the host have the same pair, so that tar and cp
 * take the second for a hard link to the first.
 * Right: each mount has a device number of its own in the guest.
 */
TEST_F(submount, files_differ)
{
	struct stat root, one, two, dir;

	ASSERT_EQ(0, stat_in(&self->fs, "", &root));
	ASSERT_EQ(0, stat_in(&self->fs, "one/name", &one));
	ASSERT_EQ(0, stat_in(&self->fs, "two/name", &two));
	ASSERT_EQ(0, stat_in(&self->fs, "one", &dir));
	EXPECT_EQ(one.st_ino, two.st_ino);
	EXPECT_NE(one.st_dev, two.st_dev);
	EXPECT_NE(one.st_dev, root.st_dev);
	EXPECT_EQ(one.st_dev, dir.st_dev);
}

/* Rule: they are DAX files like others, mapped, read and written. */
TEST_F(submount, files_are_dax)
{
	static const char *const names[] = { "one", "two" };
	char path[32], text[4] = "";
	char *map;
	int fd, i;

	NEED_DAX(&self->fs);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/large", names[i]);
		fd = open_in(&self->fs, path, O_RDWR);
		ASSERT_LE(0, fd);
		EXPECT_TRUE(fd_is_dax(fd));
		map = map_file(fd, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(0, memcmp(map, names[i], 3));
		EXPECT_EQ(0, memcmp(map + LARGE - 4, names[i], 3));
		memcpy(map + PAGE, "new", 3);
		EXPECT_EQ(3, pread(fd, text, 3, PAGE));
		EXPECT_EQ(0, memcmp(text, "new", 3));
		munmap(map, LARGE);
		EXPECT_EQ(0, fsync(fd));
		EXPECT_EQ(0, syncfs(fd));
		close(fd);
	}
}

/* Rule: what is mounted is found again when the guest has forgotten it. */
TEST_F(submount, comes_back)
{
	struct stat before, after;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, stat_in(&self->fs, "one/name", &before));
		ASSERT_EQ(0, drop_caches(3));
		ASSERT_EQ(0, stat_in(&self->fs, "one/name", &after));
		EXPECT_EQ(before.st_ino, after.st_ino);
		EXPECT_EQ(before.st_dev, after.st_dev);
	}
}

TEST_HARNESS_MAIN
