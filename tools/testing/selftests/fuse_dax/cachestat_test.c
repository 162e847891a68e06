// SPDX-License-Identifier: GPL-2.0
/*
 * cachestat(2) counts what is in the page cache, and what was evicted from it.
 * What a DAX file has mapped is neither: a kernel that takes it for the shadow of
 * an evicted page looks for the node of that page in bits of an address.
 */
#include <linux/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	17
#define PAGES	(2 * RANGE / PAGE)
#define SIZE	(PAGES * PAGE)

static int cachestat(int fd, off_t pos, size_t len, struct cachestat *stat)
{
	struct cachestat_range range = { .off = pos, .len = len };

	memset(stat, 0xff, sizeof(*stat));
	return syscall(__NR_cachestat, fd, &range, stat, 0);
}

/*
 * Rule: the call itself works here, so that zeros mean something below.
 * Wrong: no call, or other numbers than those of a file in memory.
 * Right: all of its pages are in the page cache, none is evicted.
 */
TEST(of_memory)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	struct cachestat stat;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, file_write(fd, 0, 16 * PAGE, SEED));
	if (cachestat(fd, 0, 0, &stat) && errno == ENOSYS) {
		close(fd);
		SKIP(return, "the kernel has no cachestat()");
	}
	EXPECT_EQ(16, stat.nr_cache);
	EXPECT_EQ(0, stat.nr_evicted);
	close(fd);
}

FIXTURE(cachestat)
{
	struct dax_fs fs;
	struct cachestat stat;
	char *map;
	int fd;
};

FIXTURE_VARIANT(cachestat)
{
	off_t pos;
	size_t step;
};

/* A fault for all of a range, and one for each page: none is at its huge page's */
FIXTURE_VARIANT_ADD(cachestat, huge_pages) { .pos = 0, .step = RANGE };
FIXTURE_VARIANT_ADD(cachestat, pages) { .pos = PAGE, .step = PAGE };

FIXTURE_SETUP(cachestat)
{
	self->map = MAP_FAILED;
	self->fd = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
	if (cachestat(self->fd, 0, 0, &self->stat) && errno == ENOSYS)
		SKIP(return, "the kernel has no cachestat()");
	self->map = mmap(NULL, SIZE - variant->pos, PROT_READ, MAP_SHARED,
			 self->fd, variant->pos);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(cachestat)
{
	if (self->map != MAP_FAILED)
		munmap(self->map, SIZE - variant->pos);
	if (self->fd >= 0)
		close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: what is mapped from the window is not counted as evicted.
 * Wrong: an oops on a kernel with nodes and the multi-generational LRU, elsewhere
 * as many evicted pages as are mapped.
 * Right: none evicted, and none cached: it is in no page cache of this kernel.
 * in-tree 7.3: fails, the kernel's fault and not the driver's.
 */
TEST_F(cachestat, of_what_is_mapped)
{
	size_t i;

	for (i = 0; i < SIZE - variant->pos; i += variant->step)
		ASSERT_LE(0, touch_read(self->map + i));
	EXPECT_EQ(0, cachestat(self->fd, 0, 0, &self->stat));
	EXPECT_EQ(0, self->stat.nr_evicted);
	EXPECT_EQ(0, self->stat.nr_recently_evicted);
	EXPECT_EQ(0, self->stat.nr_cache);
	EXPECT_EQ(0, self->stat.nr_dirty);
	EXPECT_EQ(0, mem_is_pattern(self->map, variant->pos,
				    SIZE - variant->pos, SEED));
}

/*
 * Rule: the same for a part, which begins and ends within a huge page.
 * Wrong: as above.
 * Right: zeros.
 * in-tree 7.3: fails, the kernel's fault and not the driver's.
 */
TEST_F(cachestat, of_a_part)
{
	size_t i;

	for (i = 0; i < SIZE - variant->pos; i += variant->step)
		ASSERT_LE(0, touch_read(self->map + i));
	EXPECT_EQ(0, cachestat(self->fd, RANGE - 5 * PAGE, 9 * PAGE,
			       &self->stat));
	EXPECT_EQ(0, self->stat.nr_evicted);
	EXPECT_EQ(0, self->stat.nr_recently_evicted);
}

TEST_HARNESS_MAIN
