// SPDX-License-Identifier: GPL-2.0
/*
 * A server that wants nothing cached, by FOPEN_DIRECT_IO (for virtiofs-daxd:
 * --cache never; FUSE_DAX_CACHE_NEVER=1 tells so).
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	91
#define RW	(PROT_READ | PROT_WRITE)
#define RANGES	8
#define SIZE	(4 * RANGES * RANGE)
#define LONE	12

FIXTURE(nocache)
{
	struct dax_fs fs;
	bool limited;
	int fd;
};

FIXTURE_SETUP(nocache)
{
	self->fd = -1;
	if (!getenv("FUSE_DAX_CACHE_NEVER"))
		SKIP(return, "the server lets files be cached");
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, RANGES));
	self->limited = true;
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
	NEED_TRACE();
}

FIXTURE_TEARDOWN(nocache)
{
	close(self->fd);
	if (self->limited) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: what the server does not want to be cached is used through the window
 * only, so that others see a store at once.
 * Wrong: single pages are cached while the window is full.
 * Right: each of them has its range mapped, and no READ is sent for it.
 */
TEST_F(nocache, lone_pages_are_mapped)
{
	char *fill[RANGES], *map;
	off_t pos;
	int i;

	ASSERT_EQ(0, fill_window(&self->fs, RANGES, fill));
	map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, trace_start());
	for (i = 0; i < LONE; i++) {
		pos = (4 + (LONE - i) * 2) * RANGE + i * PAGE;
		EXPECT_EQ(0, mem_is_pattern(map + pos, pos, PAGE, SEED));
		pattern_fill(map + pos, pos, PAGE, SEED + 1);
	}
	EXPECT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_READ));
	EXPECT_EQ(LONE, trace_requests(OP_SETUP));
	EXPECT_EQ(0, counter(&self->fs, "cache_reads"));
	for (i = 0; i < RANGES; i++)
		munmap(fill[i], RANGE);
	munmap(map, SIZE);
}

/*
 * Rule: small files are not cached either.
 * Wrong: the second read is served from the guest.
 * Right: a READ each time.
 */
TEST_F(nocache, small_file_is_asked_for)
{
	int fd = file_make(&self->fs, "small", 4 * PAGE, SEED), i;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trace_start());
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, file_is_pattern(fd, 0, 4 * PAGE, SEED));
	EXPECT_EQ(0, trace_stop());
	EXPECT_EQ(2, trace_requests(OP_READ));
	EXPECT_EQ(0, counter(&self->fs, "cache_reads"));
	close(fd);
}

TEST_HARNESS_MAIN
