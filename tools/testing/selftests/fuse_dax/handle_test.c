// SPDX-License-Identifier: GPL-2.0
/*
 * File handles in the guest, as an NFS server hands them out: name_to_handle_at() and
 * open_by_handle_at(). FUSE_DAX_HANDLES says that the daemon can find a file by them
 * (--inode-file-handles).
 */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SIZE	(3 * MiB)

union handle {
	struct file_handle head;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

FIXTURE(handle)
{
	struct dax_fs fs;
	int mnt;
};

FIXTURE_SETUP(handle)
{
	if (!getenv("FUSE_DAX_HANDLES"))
		SKIP(return, "the daemon has no file handles");
	FS_SETUP(&self->fs);
	self->mnt = open(self->fs.mnt, O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, self->mnt);
}

FIXTURE_TEARDOWN(handle)
{
	close(self->mnt);
	FS_TEARDOWN(&self->fs);
}

static int handle_of(struct dax_fs *fs, const char *name, union handle *handle)
{
	int ignored;

	handle->head.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(fs->dirfd, name, &handle->head, &ignored, 0);
}

/*
 * Rule: a handle opens the file as long as it exists, whoever has forgotten it.
 * Wrong: EOPNOTSUPP of name_to_handle_at(), or ESTALE once the inode is gone.
 * Right: the same file, and a DAX file as it was.
 */
TEST_F(handle, opens_what_was_forgotten)
{
	union handle handle;
	struct stat before, after;
	int fd, i;

	fd = file_make(&self->fs, "f", SIZE, 7);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &before));
	close(fd);
	ASSERT_EQ(0, handle_of(&self->fs, "f", &handle));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, drop_caches(3));
		fd = open_by_handle_at(self->mnt, &handle.head, O_RDWR);
		ASSERT_LE(0, fd) TH_LOG("%s", strerror(errno));
		EXPECT_EQ(self->fs.dax, fd_is_dax(fd));
		EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, 7));
		EXPECT_EQ(0, fstat(fd, &after));
		EXPECT_EQ(before.st_ino, after.st_ino);
		close(fd);
	}
}

/* Rule: renamed, it is the same file; removed, it is ESTALE, also if another comes. */
TEST_F(handle, names_the_file)
{
	union handle handle;
	int fd, i;

	close(file_make(&self->fs, "f", SIZE, 7));
	ASSERT_EQ(0, handle_of(&self->fs, "f", &handle));
	ASSERT_EQ(0, renameat(self->fs.dirfd, "f", self->fs.dirfd, "g"));
	ASSERT_EQ(0, drop_caches(3));
	fd = open_by_handle_at(self->mnt, &handle.head, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, 7));
	close(fd);
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "g", 0));
	close(file_make(&self->fs, "g", SIZE, 8));
	/* The host has it for as long as it is shown, which may end a little later. */
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, drop_caches(3));
		fd = open_by_handle_at(self->mnt, &handle.head, O_RDONLY);
		if (fd < 0)
			break;
		close(fd);
		sleep_ms(20);
	}
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(ESTALE, errno);
}

/*
 * Rule: a directory is opened with the way up to the root, which nobody has looked up.
 * Wrong: ESTALE, as the server does not say what is above a directory.
 */
TEST_F(handle, opens_directories)
{
	union handle handle;
	char path[PATH_MAX], link[64];
	ssize_t len;
	int fd, i;

	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%.*s", 2 * i + 1, "a/b/c/d");
		ASSERT_EQ(0, mkdirat(self->fs.dirfd, path, 0755));
	}
	ASSERT_EQ(0, handle_of(&self->fs, "a/b/c/d", &handle));
	ASSERT_EQ(0, drop_caches(3));
	fd = open_by_handle_at(self->mnt, &handle.head, O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, fd) TH_LOG("%s", strerror(errno));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	ASSERT_LT(8, len);
	path[len] = 0;
	EXPECT_STREQ("/a/b/c/d", path + len - 8);
	EXPECT_EQ(0, mkdirat(fd, "e", 0755));
	EXPECT_EQ(0, faccessat(self->fs.dirfd, "a/b/c/d/e", F_OK, 0));
	close(fd);
}

TEST_HARNESS_MAIN
