// SPDX-License-Identifier: GPL-2.0
/*
 * What happens when memory runs out: each operation is repeated, and each time
 * the next allocation that it makes fails, until it makes no more of them.
 *
 * Rule: a failed allocation is an error of this operation, or none.
 * Wrong: wrong data, a lost range, a file or mount that is unusable
 * afterwards, a warning of the kernel, a leak (found by kmemleak), a hang.
 * Right: the operation succeeds with right data, or fails; then the same
 * operation without a fault succeeds, and in the end all ranges are free.
 *
 * Needs CONFIG_FAULT_INJECTION, CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC.
 * in-tree 7.3: not known; the kernel of the comparison injects no faults.
 */
#include <signal.h>
#include <sys/mount.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	81
#define SIZE	(RANGE + 5 * PAGE)
#define RW	(PROT_READ | PROT_WRITE)
#define ROUNDS	400

FIXTURE(fail_nth)
{
	struct dax_fs fs;
	char name[16];
	char *buf;
	int fault;
	int fd;
	bool limited;
};

static int debugfs_write(const char *name, const char *value)
{
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	ret = write(fd, value, strlen(value)) < 0 ? -1 : 0;
	close(fd);
	return ret;
}

/* Let allocations that may sleep fail, too, and without a word. */
static int faults_configure(void)
{
	return debugfs_write("failslab/ignore-gfp-wait", "N") ||
	       debugfs_write("failslab/verbose", "0") ||
	       debugfs_write("fail_page_alloc/ignore-gfp-wait", "N") ||
	       debugfs_write("fail_page_alloc/ignore-gfp-highmem", "N") ||
	       debugfs_write("fail_page_alloc/min-order", "0") ||
	       debugfs_write("fail_page_alloc/verbose", "0");
}

FIXTURE_SETUP(fail_nth)
{
	self->fd = -1;
	self->fault = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fault = open("/proc/thread-self/fail-nth", O_RDWR);
	if (self->fault < 0 || faults_configure())
		SKIP(return, "the kernel has no fault injection");
	self->buf = malloc(SIZE);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->fault);
	close(self->fd);
	free(self->buf);
	if (self->limited) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

static void arm(int fault, int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	if (pwrite(fault, text, strlen(text), 0) < 0)
		abort();
}

/* Whether the allocation that was to fail was reached. */
static bool disarm(int fault)
{
	char text[16] = "";

	if (pread(fault, text, sizeof(text) - 1, 0) < 0)
		abort();
	arm(fault, 0);
	return atoi(text) == 0;
}

/* A new file, so that nothing of it is mapped or cached. */
static int new_file(FIXTURE_DATA(fail_nth) *self, int round)
{
	if (self->fd >= 0) {
		close(self->fd);
		unlinkat(self->fs.dirfd, self->name, 0);
	}
	snprintf(self->name, sizeof(self->name), "file%d", round);
	self->fd = file_make(&self->fs, self->name, SIZE, SEED);
	return self->fd < 0 ? -1 : 0;
}

static int all_ranges_come_back(FIXTURE_DATA(fail_nth) *self)
{
	close(self->fd);
	self->fd = -1;
	unlinkat(self->fs.dirfd, self->name, 0);
	drop_caches(2);
	if (counter(&self->fs, "ranges_total") < 0)
		return 0;
	return counter_wait(&self->fs, "mappings_live", 0) ||
	       counter_wait(&self->fs, "ranges_free",
			    counter(&self->fs, "ranges_total"));
}

/* First read of a file. */
TEST_F_TIMEOUT(fail_nth, read, 300)
{
	bool hit = true;
	ssize_t n;
	int round;

	for (round = 1; hit && round < ROUNDS; round++) {
		ASSERT_EQ(0, new_file(self, round));
		arm(self->fault, round);
		n = pread(self->fd, self->buf, SIZE, 0);
		hit = disarm(self->fault);
		if (n > 0) {
			EXPECT_EQ(0, mem_is_pattern(self->buf, 0, n, SEED));
		}
		EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	}
	TH_LOG("%d rounds", round - 1);
	EXPECT_FALSE(hit);
	EXPECT_LT(2, round);
	EXPECT_EQ(0, all_ranges_come_back(self));
}

/* First write in place. */
TEST_F_TIMEOUT(fail_nth, write, 300)
{
	bool hit = true;
	ssize_t n;
	int round;

	for (round = 1; hit && round < ROUNDS; round++) {
		ASSERT_EQ(0, new_file(self, round));
		pattern_fill(self->buf, 100, PAGE, SEED + 1);
		arm(self->fault, round);
		n = pwrite(self->fd, self->buf, PAGE, 100);
		hit = disarm(self->fault);
		if (n > 0) {
			EXPECT_EQ(0, file_is_pattern(self->fd, 100, n,
						     SEED + 1));
		}
		EXPECT_EQ(0, file_write(self->fd, 100, PAGE, SEED + 1));
		EXPECT_EQ(0, file_is_pattern(self->fd, 100, PAGE, SEED + 1));
		EXPECT_EQ(0, file_is_pattern(self->fd, 100 + PAGE,
					     SIZE - 100 - PAGE, SEED));
	}
	EXPECT_FALSE(hit);
	EXPECT_EQ(0, all_ranges_come_back(self));
}

/* First touch of a new file with one failure; 0 if all is right after it. */
static int touch_new_file(FIXTURE_DATA(fail_nth) *self, int round, bool store,
			  bool *hit)
{
	int got, right;
	char *map;

	pattern_fill(self->buf, 0, PAGE, SEED);
	if (new_file(self, round))
		return -1;
	map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	if (map == MAP_FAILED)
		return -1;
	arm(self->fault, round);
	if (store)
		got = touch_write(map + 9, self->buf[9]);
	else
		got = touch_read(map + 9);
	*hit = disarm(self->fault);
	right = store || got < 0 || got == (unsigned char)self->buf[9];
	if (mem_is_pattern(map, 0, SIZE, SEED))
		right = 0;
	munmap(map, SIZE);
	return right ? 0 : -1;
}

/* First fault, by a load. */
TEST_F_TIMEOUT(fail_nth, load, 300)
{
	bool hit = true;
	int round;

	for (round = 1; hit && round < ROUNDS; round++)
		ASSERT_EQ(0, touch_new_file(self, round, false, &hit));
	EXPECT_FALSE(hit);
	EXPECT_EQ(0, all_ranges_come_back(self));
}

/* First fault, by a store. */
TEST_F_TIMEOUT(fail_nth, store, 300)
{
	bool hit = true;
	int round;

	for (round = 1; hit && round < ROUNDS; round++)
		ASSERT_EQ(0, touch_new_file(self, round, true, &hit));
	EXPECT_FALSE(hit);
	EXPECT_EQ(0, all_ranges_come_back(self));
}

/* Truncate of a file that is mapped. */
TEST_F_TIMEOUT(fail_nth, truncate, 300)
{
	bool hit = true;
	int round, ret;
	char *map;

	for (round = 1; hit && round < ROUNDS; round++) {
		ASSERT_EQ(0, new_file(self, round));
		map = map_file(self->fd, SIZE, RW, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, map);
		touch_pages(map, SIZE);
		arm(self->fault, round);
		ret = ftruncate(self->fd, 10 * PAGE);
		hit = disarm(self->fault);
		if (ret) {
			EXPECT_EQ(0, ftruncate(self->fd, 10 * PAGE));
		}
		EXPECT_EQ(0, mem_is_pattern(map, 0, 10 * PAGE, SEED));
		EXPECT_EQ(-1, touch_read(map + 10 * PAGE));
		munmap(map, SIZE);
	}
	EXPECT_FALSE(hit);
	EXPECT_EQ(0, all_ranges_come_back(self));
}

/* A fault for which a mapping must be taken from another file. */
TEST_F_TIMEOUT(fail_nth, reclaim, 300)
{
	bool hit = true;
	int round, other;
	char *map;

	NEED(fs_has_max_ranges(), "no parameter dax_max_ranges");
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, 1));
	self->limited = true;
	other = file_make(&self->fs, "other", RANGE, SEED + 2);
	ASSERT_LE(0, other);
	for (round = 1; hit && round < ROUNDS; round++) {
		ASSERT_EQ(0, new_file(self, round));
		map = map_file(self->fd, SIZE, RW, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, map);
		ASSERT_EQ(0, file_is_pattern(other, 0, RANGE, SEED + 2));
		arm(self->fault, round);
		touch_read(map);
		hit = disarm(self->fault);
		EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
		munmap(map, SIZE);
	}
	EXPECT_FALSE(hit);
	close(other);
	EXPECT_EQ(0, all_ranges_come_back(self));
}

static int open_dir(struct dax_fs *fs)
{
	fs->dirfd = open(fs->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fs->dirfd < 0 ? -1 : 0;
}

/*
 * Mounting. FUSE_INIT is sent in the background: where that fails the mount
 * succeeds, and refuses what is asked of it.
 */
TEST_F_TIMEOUT(fail_nth, mount, 300)
{
	bool hit = true;
	int round, ret;

	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
	for (round = 1; hit && round < ROUNDS; round++) {
		close(self->fs.dirfd);
		self->fs.dirfd = -1;
		ASSERT_EQ(0, umount(self->fs.mnt));
		arm(self->fault, round);
		ret = mount(self->fs.tag, self->fs.mnt, "virtiofs", 0,
			    fs_first_options());
		hit = disarm(self->fault);
		if (ret || open_dir(&self->fs)) {
			EXPECT_TRUE(hit);
			ASSERT_EQ(0, fs_remount(&self->fs,
						fs_first_options()));
		}
		ASSERT_LE(0, self->fs.dirfd);
		if (round % 32 && hit)
			continue;
		ASSERT_EQ(0, new_file(self, round));
		EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
		EXPECT_EQ(0, all_ranges_come_back(self));
	}
	TH_LOG("%d rounds", round - 1);
	EXPECT_FALSE(hit);
}

TEST_HARNESS_MAIN
