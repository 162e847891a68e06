// SPDX-License-Identifier: GPL-2.0
/*
 * What the memory management does to a process with DAX mappings on a kernel with
 * swap, KSM and nodes: it may take private copies and cached pages away, share or
 * move them, and has to leave alone what the window shows.
 *
 * A kernel without swap, KSM or a second node is asked all the same, and its tests
 * look at the data.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	61
#define RW	(PROT_READ | PROT_WRITE)
#define RANGES	4
#define PAGES	256
#define SIZE	(PAGES * PAGE)
/* A file of which single pages are cached, one of every second range */
#define LONE	5
#define LARGE	(2 * LONE * RANGE)

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#define MOVE_TO(node)	syscall(__NR_migrate_pages, 0, 8, &all_nodes, &(node))

static const unsigned long all_nodes = 3;

/* A number of /proc/self/status, in KiB, or -1 */
static long status_kib(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[128];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			kib = atol(line + strlen(name) + 1);
	if (file)
		fclose(file);
	return kib;
}

static bool has_file_line(const char *path, const char *start)
{
	char line[128] = "";
	FILE *file = fopen(path, "r");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = !strncmp(line, start, strlen(start));
	if (file)
		fclose(file);
	return found;
}

static bool has_swap(void)
{
	return has_file_line("/proc/swaps", "/dev/");
}

static bool has_two_nodes(void)
{
	return has_file_line("/sys/devices/system/node/online", "0-1");
}

static bool has_ksm(void)
{
	return has_file_line("/sys/kernel/mm/ksm/run", "1");
}

/* Moves all pages of this process to one node and to the other, some times. */
static int move_about(void)
{
	unsigned long first = 1, second = 2;
	int i;

	if (!has_two_nodes())
		return 0;
	for (i = 0; i < 4; i++)
		if (MOVE_TO(second) < 0 || MOVE_TO(first) < 0)
			return -1;
	return 0;
}

FIXTURE(memory)
{
	struct dax_fs fs;
	char *fill[RANGES];
	char *map;
	size_t size;
	int fd;
};

FIXTURE_SETUP(memory)
{
	self->fd = -1;
	self->map = MAP_FAILED;
	self->size = SIZE;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(memory)
{
	int i;

	if (self->map != MAP_FAILED)
		munmap(self->map, self->size);
	for (i = 0; i < RANGES; i++)
		if (self->fill[i])
			munmap(self->fill[i], RANGE);
	if (self->fd >= 0)
		close(self->fd);
	if (self->size == LARGE) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/* Every second page becomes a copy. */
static void store_to_half(char *map)
{
	int i;

	for (i = 0; i < PAGES; i += 2)
		memset(map + i * PAGE, 1 + i / 2, PAGE);
}

static int half_is_right(const char *map)
{
	char right[PAGE];
	int i, bad = 0;

	for (i = 0; i < PAGES; i += 2) {
		memset(right, 1 + i / 2, PAGE);
		bad |= memcmp(map + i * PAGE, right, PAGE);
		bad |= mem_is_pattern(map + (i + 1) * PAGE, (i + 1) * PAGE,
				      PAGE, SEED);
	}
	return bad;
}

/*
 * Rule: copies of pages of the file go to swap and come back; what shows the file
 * stays.
 * Wrong: another page's bytes, or a page of the window in swap.
 * Right: each page has its bytes, and with swap the copies were there.
 * in-tree 7.3: passes.
 */
TEST_F(memory, private_copies_in_swap)
{
	self->map = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, self->map);
	store_to_half(self->map);
	touch_pages(self->map, SIZE);
	EXPECT_EQ(0, madvise(self->map, SIZE, MADV_PAGEOUT));
	if (has_swap()) {
		EXPECT_LT(0, status_kib("VmSwap:"));
		EXPECT_GE(SIZE / 2 / KiB, status_kib("VmSwap:"));
	}
	EXPECT_EQ(0, half_is_right(self->map));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
}

/*
 * Rule: copies that are equal may become one page, until one of them is stored to.
 * Wrong: a store is seen in another copy, or in the file.
 * Right: each has its own bytes.
 * in-tree 7.3: passes.
 */
TEST_F(memory, private_copies_are_merged)
{
	int i;

	self->map = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, self->map);
	memset(self->map, 5, SIZE / 2);
	touch_pages(self->map, SIZE);
	if (has_ksm()) {
		EXPECT_EQ(0, madvise(self->map, SIZE, MADV_MERGEABLE));
		sleep_ms(2000);
	}
	memset(self->map + PAGE, 6, PAGE);
	for (i = 0; i < PAGES / 2; i++)
		EXPECT_EQ(i == 1 ? 6 : 5, touch_read(self->map + i * PAGE));
	EXPECT_EQ(0, mem_is_pattern(self->map + SIZE / 2, SIZE / 2, SIZE / 2,
				    SEED));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
}

/*
 * Rule: what the window shows is no memory of a node, and not to be moved or paged
 * out; the copies are.
 * Wrong: a failure, a warning, a store that is lost.
 * Right: all bytes are right in the mappings and in the file.
 * in-tree 7.3: passes.
 */
TEST_F(memory, moved_between_nodes)
{
	char *copies = map_file(self->fd, SIZE, RW, MAP_PRIVATE);

	ASSERT_NE(MAP_FAILED, copies);
	store_to_half(copies);
	touch_pages(copies, SIZE);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	pattern_fill(self->map + PAGE, PAGE, PAGE, SEED);
	EXPECT_EQ(0, move_about());
	EXPECT_EQ(0, madvise(self->map, SIZE, MADV_PAGEOUT));
	EXPECT_EQ(0, half_is_right(copies));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, SEED));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	munmap(copies, SIZE);
}

/*
 * Rule: cached pages of a file are memory of a node, clean and dirty ones.
 * Wrong: a store to one is lost when it is moved or paged out.
 * Right: it is there, in this mapping and once the cache was dropped.
 * in-tree 7.3: skipped, it caches none.
 */
TEST_F(memory, cached_pages_move)
{
	off_t pos;
	int i;

	NEED_COUNTERS(&self->fs);
	if (!fs_has_max_ranges())
		SKIP(return, "no parameter dax_max_ranges");
	close(self->fd);
	self->size = LARGE;
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, RANGES));
	self->fd = file_make(&self->fs, "large", LARGE, SEED);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fill_window(&self->fs, RANGES, self->fill));
	self->map = map_file(self->fd, LARGE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	for (i = LONE - 1; i >= 0; i--) {
		pos = 2 * i * RANGE + (i + 3) * PAGE;
		ASSERT_LE(0, touch_read(self->map + pos));
		if (i % 2)
			pattern_fill(self->map + pos, pos, PAGE, SEED + 1);
	}
	EXPECT_LT(0, counter(&self->fs, "cache_reads"));
	EXPECT_EQ(0, move_about());
	EXPECT_EQ(0, madvise(self->map, LARGE, MADV_PAGEOUT));
	for (i = 0; i < LONE; i++) {
		pos = 2 * i * RANGE + (i + 3) * PAGE;
		EXPECT_EQ(0, mem_is_pattern(self->map + pos, pos, PAGE,
					    SEED + i % 2));
		EXPECT_EQ(0, file_is_pattern(self->fd, pos, PAGE, SEED + i % 2));
	}
	munmap(self->map, LARGE);
	self->map = MAP_FAILED;
	drop_caches(3);
	for (i = 0; i < LONE; i++) {
		pos = 2 * i * RANGE + (i + 3) * PAGE;
		EXPECT_EQ(0, file_is_pattern(self->fd, pos, PAGE, SEED + i % 2));
	}
}

TEST_HARNESS_MAIN
