// SPDX-License-Identifier: GPL-2.0
/*
 * Files with holes: how much space the host gives for what is stored to them. A
 * range that is stored to takes all of its space at once, because a store must not
 * find the disk full; what nobody stores to takes none.
 *
 * The blocks are the server's: where it compresses, or keeps holes of its own,
 * there are fewer.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	81
#define RW	(PROT_READ | PROT_WRITE)
/* What the file system needs to find the blocks of a file. */
#define FOUND	(256 * KiB)

FIXTURE(hole)
{
	struct dax_fs fs;
	int fd;
	char *map;
	size_t len;
};

FIXTURE_SETUP(hole)
{
	self->fd = -1;
	self->map = MAP_FAILED;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = openat(self->fs.dirfd, "file", O_RDWR | O_CREAT | O_CLOEXEC,
			  0600);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(hole)
{
	if (self->map != MAP_FAILED)
		munmap(self->map, self->len);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/* Bytes that the file takes on the host, whatever the guest knows; -1. */
static long taken(int fd)
{
	struct statx st;

	if (fsync(fd) || statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
			       STATX_BLOCKS, &st))
		return -1;
	return st.stx_blocks * 512;
}

/* Another file: what was stored to the old one may be filled once more as it grows. */
static int renew(struct dax_fs *fs, int fd)
{
	close(fd);
	unlinkat(fs->dirfd, "file", 0);
	return openat(fs->dirfd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* A file that is all hole, and a mapping of it. */
#define MAKE_HOLE(self, size) do {					\
	(self)->len = (size);						\
	ASSERT_EQ(0, ftruncate((self)->fd, (self)->len));		\
	(self)->map = map_file((self)->fd, (self)->len, RW, MAP_SHARED); \
	ASSERT_NE(MAP_FAILED, (self)->map);				\
} while (0)

/*
 * Rule: a store takes space for what is stored to.
 * Wrong: half of the window, 128 MiB for one byte.
 * Right: one range, of a file that could be mapped at once and of a longer one.
 * in-tree 7.3: passes, it maps by range.
 */
TEST_F(hole, a_store_takes_a_range)
{
	static const size_t sizes[] = { 100 * MiB, 256 * MiB, 1024 * MiB };

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t middle = sizes[i] / 2 + 5 * PAGE + 1;

		MAKE_HOLE(self, sizes[i]);
		EXPECT_EQ(0, touch_write(self->map + middle, 7));
		EXPECT_GE(RANGE + FOUND, taken(self->fd));
		EXPECT_EQ(7, self->map[middle]);
		EXPECT_EQ(0, file_is_zero(self->fd, middle - 9000, 9000));
		munmap(self->map, self->len);
		self->map = MAP_FAILED;
		self->fd = renew(&self->fs, self->fd);
		ASSERT_LE(0, self->fd);
	}
}

/*
 * Rule: a write takes space for what is written.
 * Wrong: half of the window for 4 KiB.
 * Right: one range at most, at the start and elsewhere.
 * in-tree 7.3: passes.
 */
TEST_F(hole, a_write_takes_a_range)
{
	static const size_t sizes[] = { 100 * MiB, 1024 * MiB };
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, ftruncate(self->fd, sizes[i]));
		EXPECT_EQ(0, file_write(self->fd, sizes[i] / 2, PAGE, SEED));
		EXPECT_GE(RANGE + FOUND, taken(self->fd));
		EXPECT_EQ(0, file_write(self->fd, 0, PAGE, SEED));
		EXPECT_GE(2 * RANGE + FOUND, taken(self->fd));
		EXPECT_EQ(0, file_is_pattern(self->fd, 0, PAGE, SEED));
		EXPECT_EQ(0, file_is_pattern(self->fd, sizes[i] / 2, PAGE,
					     SEED));
		EXPECT_EQ(0, file_is_zero(self->fd, PAGE, 100 * KiB));
		self->fd = renew(&self->fs, self->fd);
		ASSERT_LE(0, self->fd);
	}
}

/*
 * Rule: what was only read takes no space when something else is stored to.
 * Wrong: a file that is mapped because it was read becomes writable as a whole.
 * Right: a range for each range with a store, and all stores are there.
 * in-tree 7.3: passes.
 */
TEST_F(hole, stores_among_what_was_read)
{
	const size_t size = 64 * MiB, step = 8 * MiB;
	size_t pos;

	MAKE_HOLE(self, size);
	EXPECT_EQ(0, touch_read(self->map + size / 2));
	for (pos = PAGE; pos < size; pos += step) {
		EXPECT_EQ(0, touch_read(self->map + pos + RANGE));
		EXPECT_EQ(0, touch_write(self->map + pos, pos / step + 1));
		EXPECT_EQ(0, file_write(self->fd, pos + PAGE, PAGE, SEED));
	}
	EXPECT_GE(size / step * RANGE + FOUND, taken(self->fd));
	for (pos = PAGE; pos < size; pos += step) {
		EXPECT_EQ((char)(pos / step + 1), self->map[pos]);
		EXPECT_EQ(0, file_is_pattern(self->fd, pos + PAGE, PAGE, SEED));
		EXPECT_EQ(0, file_is_zero(self->fd, pos + 2 * PAGE, PAGE));
		EXPECT_EQ(0, touch_read(self->map + pos + RANGE));
	}
}

/*
 * Rule: a file that is filled is mapped as well as any other, in the end.
 * Wrong: one setup for each range for ever, because there were holes once; or a
 * setup that is refused, and another one, for each.
 * Right: little more than a setup for each range while there are holes, and few
 * afterwards.
 */
TEST_F(hole, what_was_filled_is_data)
{
	const size_t size = 64 * MiB;
	char *map;
	int fd;

	NEED_TRACE();
	MAKE_HOLE(self, size);
	ASSERT_EQ(0, trace_start());
	pattern_fill(self->map, 0, size, SEED);
	ASSERT_EQ(0, trace_stop());
	TH_LOG("%ld setups for %lu ranges", trace_requests(OP_SETUP),
	       size / RANGE);
	EXPECT_GE(size / RANGE * 5 / 4, trace_requests(OP_SETUP));
	EXPECT_EQ(0, fsync(self->fd));

	munmap(self->map, self->len);
	self->map = MAP_FAILED;
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	fd = openat(self->fs.dirfd, "file", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	self->fd = fd;
	map = map_file(fd, size, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, mem_is_pattern(map, 0, size, SEED));
	EXPECT_EQ(0, touch_write(map + size / 2, 1));
	ASSERT_EQ(0, trace_stop());
	EXPECT_GE(2, trace_requests(OP_SETUP));
	munmap(map, size);
}

TEST_HARNESS_MAIN
