// SPDX-License-Identifier: GPL-2.0
/*
 * Very much is changed on the host at once, of what the guest knows, and more than it can
 * be told in words: --cache=coherent of virtiofs-daxd, and somebody on the host
 * (fuse_dax_hand.h).
 */
#include <dirent.h>

#include "kselftest_harness.h"
#include "fuse_dax_hand.h"

#define FILES		1000
#define OLD		3	/* bytes */
#define SEED		5

FIXTURE(flood)
{
	struct dax_fs fs;
	struct hand hand;
	off_t size;
};

/* Whether a file has this size, and ends with what somebody on the host has added */
static bool is_right(struct dax_fs *fs, const char *name, off_t size)
{
	char data[64] = { 0 };
	struct stat st;
	ssize_t got;
	int fd;

	if (fstatat(fs->dirfd, name, &st, 0) || st.st_size != size)
		return false;
	fd = openat(fs->dirfd, name, O_RDONLY);
	if (fd < 0)
		return false;
	got = read(fd, data, sizeof(data));
	close(fd);
	return got == size && (size == OLD || data[size - 1] == 'x');
}

/* How many of the files are not as they should be; the guest knows all after that */
static int stale(struct dax_fs *fs, off_t size)
{
	char name[32];
	int i, n = 0;

	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "many/f%d", i);
		n += !is_right(fs, name, size);
	}
	return n;
}

/* How many names there are in the directory */
static int names(struct dax_fs *fs)
{
	DIR *dir = fdopendir(openat(fs->dirfd, "many", O_RDONLY | O_DIRECTORY));
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

FIXTURE_SETUP(flood)
{
	FS_SETUP(&self->fs);
	if (hand_open(&self->hand, &self->fs))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	self->size = OLD;
	ASSERT_EQ(0, mkdirat(self->fs.dirfd, "many", 0755));
	ASSERT_EQ(0, files_make(&self->fs, "many/f", FILES, OLD, SEED));
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	ASSERT_EQ(0, stale(&self->fs, self->size));
	ASSERT_EQ(FILES, names(&self->fs));
}

FIXTURE_TEARDOWN(flood)
{
	hand_close(&self->hand);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: whatever is changed at once is seen after the next answer.
 * Wrong: some of many files have the size or the data of before; or the answer, which waits
 * until all is said, never comes, as the server is not told of room for more.
 * Right: none has, each time, though they were all looked at just before.
 */
TEST_F_TIMEOUT(flood, each_of_many, 240)
{
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, hand_do(&self->hand, "each", "many"));
		EXPECT_EQ(0, stale(&self->fs, ++self->size));
	}
}

/*
 * Rule: what was lost because there was too much of it is not believed either.
 * Wrong: a size, data, a name or that there is no such name stays for ever.
 * Right: after 50,000 names came and went, and the files have grown, all is as on the host.
 */
TEST_F_TIMEOUT(flood, more_than_can_be_told, 400)
{
	struct stat st;

	EXPECT_EQ(-1, fstatat(self->fs.dirfd, "many/stays", &st, 0));
	ASSERT_EQ(0, hand_do(&self->hand, "flood", "many"));
	EXPECT_EQ(0, stale(&self->fs, self->size + 1));
	EXPECT_EQ(FILES + 1, names(&self->fs));
	EXPECT_EQ(0, fstatat(self->fs.dirfd, "many/stays", &st, 0));
}

TEST_HARNESS_MAIN
