// SPDX-License-Identifier: GPL-2.0
/*
 * Read faults that map the pages around: those which were used before are
 * mapped by one fault for many of them.
 *
 * FUSE_DAX_AROUND_SECS is how long the mixed work runs (5).
 */
#include <linux/falloc.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define OLD	41
#define NEW	42
#define PAGES	64
#define SIZE	(PAGES * PAGE)
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(around)
{
	struct dax_fs fs;
	char *map;
	int fd;
};

/* Maps a file anew of which some pages, @step apart, were used before. */
static char *map_again(int fd, size_t len, int step, int prot, int flags)
{
	char *map = map_file(fd, len, PROT_READ, MAP_SHARED);
	size_t i;

	if (map == MAP_FAILED)
		return map;
	for (i = 0; i < len; i += step * PAGE)
		touch_pages(map + i, PAGE);
	munmap(map, len);
	return map_file(fd, len, prot, flags);
}

/* The file is written and looked up anew, so it is mapped as its reader asks */
FIXTURE_SETUP(around)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	close(self->fd);
	drop_caches(2);
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(around)
{
	if (self->map)
		munmap(self->map, SIZE);
	if (self->fs.dax)
		close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a program that is started again does not fault for each page.
 * Wrong: as many faults as pages.
 * Right: no more than an eighth of that, and the data is right.
 * in-tree 7.3: fails, one fault for each of the 64 pages.
 */
TEST_F(around, few_faults)
{
	long before;

	self->map = map_again(self->fd, SIZE, 1, PROT_READ, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, self->map);
	before = faults();
	touch_pages(self->map, SIZE);
	EXPECT_GE(PAGES / 8, faults() - before);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

/*
 * Rule: the same for a small part of a file that others have mapped by huge
 * pages, at an address that no huge page fits.
 * Wrong: as many faults as pages, or bytes of another place of the huge page.
 * Right: no more than an eighth of that, and the data is right.
 * in-tree 7.3: fails, one fault for each page.
 */
TEST_F(around, part_of_huge_page)
{
	const off_t pos = RANGE + 7 * PAGE;
	char *huge, *part;
	long before;
	int fd;

	fd = file_make(&self->fs, "huge", 3 * RANGE, NEW);
	ASSERT_LE(0, fd);
	huge = map_file(fd, 3 * RANGE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, huge);
	before = faults();
	touch_pages(huge, 3 * RANGE);
	ASSERT_GE(8, faults() - before);
	part = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, pos);
	ASSERT_NE(MAP_FAILED, part);
	before = faults();
	touch_pages(part, SIZE);
	EXPECT_GE(PAGES / 8, faults() - before);
	EXPECT_EQ(0, mem_is_pattern(part, pos, SIZE, NEW));
	munmap(huge, 3 * RANGE);
	EXPECT_EQ(0, mem_is_pattern(part, pos, SIZE, NEW));
	munmap(part, SIZE);
	close(fd);
}

/*
 * Rule: pages that were not used before are found by faults of their own.
 * Wrong: zeros, or another page, where there was nothing to be mapped.
 * Right: the data is right whichever page is touched first.
 * in-tree 7.3: passes.
 */
TEST_F(around, unknown_between_known)
{
	int step;

	for (step = 2; step < 8; step++) {
		self->map = map_again(self->fd, SIZE, step, PROT_READ,
				      MAP_SHARED);
		ASSERT_NE(MAP_FAILED, self->map);
		touch_pages(self->map + step * PAGE, PAGE);
		EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
		munmap(self->map, SIZE);
		self->map = NULL;
	}
}

/*
 * Rule: what was cut off is not mapped because its neighbour is used.
 * Wrong: a page that the file does not have any more.
 * Right: SIGBUS beyond EOF, zeros in the rest of the last page, zeros where the
 * file has grown again; in the mapping that was there and in a new one.
 * in-tree 7.3: passes.
 */
TEST_F(around, sigbus_beyond_eof)
{
	const off_t size = 10 * PAGE + 100;
	char *later;

	self->map = map_again(self->fd, SIZE, 1, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	touch_pages(self->map, PAGE);
	ASSERT_EQ(0, ftruncate(self->fd, size));
	later = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, later);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, size, OLD));
	EXPECT_EQ(0, mem_is_pattern(later, 0, size, OLD));
	EXPECT_EQ(0, mem_is_zero(later + size, PAGE - 100));
	EXPECT_EQ(-1, touch_read(self->map + 11 * PAGE));
	EXPECT_EQ(-1, touch_read(later + 11 * PAGE));
	EXPECT_EQ(-1, touch_read(later + SIZE - 1));
	munmap(later, SIZE);
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_EQ(0, mem_is_zero(self->map + size, SIZE - size));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, size, OLD));
}

/*
 * Rule: what was punched out shows zeros.
 * Wrong: old bytes, or the pages of the host from before.
 * Right: zeros in the hole, the data elsewhere.
 * in-tree 7.3: passes.
 */
TEST_F(around, punched)
{
	self->map = map_again(self->fd, SIZE, 1, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	touch_pages(self->map, PAGE);
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 3 * PAGE, 8 * PAGE));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, 3 * PAGE, OLD));
	EXPECT_EQ(0, mem_is_zero(self->map + 3 * PAGE, 8 * PAGE));
	EXPECT_EQ(0, mem_is_pattern(self->map + 11 * PAGE, 11 * PAGE,
				    SIZE - 11 * PAGE, OLD));
}

/*
 * Rule: stores to a private mapping are private, also to a page that the fault
 * of another one has mapped.
 * Wrong: the file changes.
 * Right: own bytes in the stored pages only.
 * in-tree 7.3: passes.
 */
TEST_F(around, private_copy)
{
	self->map = map_again(self->fd, SIZE, 1, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, self->map);
	EXPECT_EQ(0, touch_write(self->map + 20 * PAGE, 0xaa));
	touch_pages(self->map, PAGE);
	EXPECT_EQ(0, touch_write(self->map + PAGE, 0xbb));
	EXPECT_EQ(0xaa, touch_read(self->map + 20 * PAGE));
	EXPECT_EQ(0xbb, touch_read(self->map + PAGE));
	EXPECT_EQ(0, mem_is_pattern(self->map + PAGE + 1, PAGE + 1,
				    19 * PAGE - 1, OLD));
	EXPECT_EQ(0, mem_is_pattern(self->map + 21 * PAGE, 21 * PAGE,
				    SIZE - 21 * PAGE, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
}

/*
 * Rule: a page that the fault of another one has mapped is mapped for reading:
 * the first store to it is noticed.
 * Wrong: the old mtime, or a store that is lost.
 * Right: mtime is new after msync(), and the file has the bytes.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(around, store_updates_mtime)
{
	struct timespec times[2] = { { .tv_sec = 1000000000 },
				     { .tv_sec = 1000000000 } };
	struct stat st;

	self->map = map_again(self->fd, SIZE, 1, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	touch_pages(self->map, PAGE);
	ASSERT_EQ(0, futimens(self->fd, times));
	pattern_fill(self->map + 3 * PAGE, 3 * PAGE, PAGE, NEW);
	EXPECT_EQ(0, msync(self->map, SIZE, MS_SYNC));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LT(1000000000, st.st_mtime);
	EXPECT_EQ(0, file_is_pattern(self->fd, 3 * PAGE, PAGE, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, 3 * PAGE, OLD));
}

/*
 * Rule: the same where the file had only readers until then, so that the server
 * shows it read-only.
 * Wrong: a store that is lost, or kills the machine.
 * Right: the file has the bytes.
 * in-tree 7.3: passes.
 */
TEST_F(around, store_after_readers)
{
	char *reader;
	int ro;

	close(self->fd);
	drop_caches(2);
	ro = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, ro);
	reader = map_again(ro, SIZE, 1, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, reader);
	touch_pages(reader, PAGE);
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	touch_pages(self->map, PAGE);
	pattern_fill(self->map + 5 * PAGE, 5 * PAGE, PAGE, NEW);
	EXPECT_EQ(0, mem_is_pattern(reader + 5 * PAGE, 5 * PAGE, PAGE, NEW));
	EXPECT_EQ(0, mem_is_pattern(reader + 6 * PAGE, 6 * PAGE,
				    SIZE - 6 * PAGE, OLD));
	EXPECT_EQ(0, file_is_pattern(ro, 5 * PAGE, PAGE, NEW));
	munmap(reader, SIZE);
	close(ro);
}

/*
 * Rule: what a mount knew is not known to the next.
 * Wrong: pages of a window that has gone.
 * Right: the data is right.
 * in-tree 7.3: passes.
 */
TEST_F(around, new_mount)
{
	NEED(self->fs.tag, "FUSE_DAX_TAG is not set");
	self->map = map_again(self->fd, SIZE, 1, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	touch_pages(self->map, SIZE);
	munmap(self->map, SIZE);
	self->map = NULL;
	close(self->fd);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

#define FILES	5

FIXTURE(around_many)
{
	struct dax_fs fs;
	int fds[FILES];
};

FIXTURE_VARIANT(around_many)
{
	unsigned int ranges;
};

/* More files than ranges, and enough for all. */
FIXTURE_VARIANT_ADD(around_many, ranges_2) { .ranges = 2 };
FIXTURE_VARIANT_ADD(around_many, window_as_is) { .ranges = 0 };

FIXTURE_SETUP(around_many)
{
	char name[16];
	int i;

	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	if (variant->ranges) {
		NEED(fs_has_max_ranges(), "no parameter dax_max_ranges");
		ASSERT_EQ(0, fs_set_max_ranges(&self->fs, variant->ranges));
	}
	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		self->fds[i] = file_make(&self->fs, name, SIZE, OLD + i);
		ASSERT_LE(0, self->fds[i]);
	}
}

FIXTURE_TEARDOWN(around_many)
{
	int i;

	for (i = 0; i < FILES; i++)
		close(self->fds[i]);
	if (variant->ranges) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: the range of one file may become that of another at any time.
 * Wrong: bytes of another file, by entries that were left behind.
 * Right: the data is right in turn and in all mappings.
 * in-tree 7.3: passes; it cannot be limited to two ranges.
 */
TEST_F(around_many, reclaimed)
{
	char *maps[FILES];
	int turn, i;

	for (i = 0; i < FILES; i++) {
		maps[i] = map_again(self->fds[i], SIZE, 1, PROT_READ,
				    MAP_SHARED);
		ASSERT_NE(MAP_FAILED, maps[i]);
	}
	for (turn = 0; turn < 3; turn++)
		for (i = 0; i < FILES; i++)
			EXPECT_EQ(0, mem_is_pattern(maps[i], 0, SIZE, OLD + i));
	for (i = 0; i < FILES; i++)
		munmap(maps[i], SIZE);
}

/**
 * struct mix - what the tasks of the mixed work share
 * @stop: end
 * @rounds: how often each has done its part
 */
struct mix {
	bool stop;
	long rounds[FILES + 2];
};

static bool mix_goes_on(struct mix *mix, int task)
{
	__atomic_add_fetch(&mix->rounds[task], 1, __ATOMIC_RELAXED);
	return !__atomic_load_n(&mix->stop, __ATOMIC_RELAXED);
}

/*
 * Maps all files in turn, and touches pages at random: each byte is the file's,
 * or zero, or there is none.
 */
static int mix_look(struct mix *mix, int task, const int *fds)
{
	unsigned char right[PAGE], *map;
	unsigned int seed = task;
	int i, n, page, got;

	do {
		i = rand_r(&seed) % FILES;
		map = map_file(fds[i], SIZE, PROT_READ,
			       rand_r(&seed) & 1 ? MAP_SHARED : MAP_PRIVATE);
		if (map == MAP_FAILED)
			return 1;
		for (n = 0; n < 20; n++) {
			page = rand_r(&seed) % PAGES;
			got = touch_read(map + page * PAGE);
			pattern_fill(right, page * PAGE, PAGE, OLD + i);
			if (got > 0 && got != right[0])
				return 2;
		}
		munmap(map, SIZE);
	} while (mix_goes_on(mix, task));
	return 0;
}

/* Cuts the files, lets them grow, makes holes, and fills them again. */
static int mix_change(struct mix *mix, int task, const int *fds)
{
	unsigned int seed = task;
	off_t pos;
	int i;

	do {
		i = rand_r(&seed) % FILES;
		pos = rand_r(&seed) % PAGES * PAGE;
		if (rand_r(&seed) & 1) {
			if (ftruncate(fds[i], pos) || ftruncate(fds[i], SIZE))
				return 1;
		} else {
			if (fallocate(fds[i], FALLOC_FL_PUNCH_HOLE |
				      FALLOC_FL_KEEP_SIZE, pos, SIZE - pos))
				return 2;
		}
		if (file_write(fds[i], pos, SIZE - pos, OLD + i))
			return 3;
	} while (mix_goes_on(mix, task));
	return 0;
}

/* Stores what is there already, where there is no hole. */
static int mix_store(struct mix *mix, int task, const int *fds)
{
	unsigned char right[PAGE], *map;
	unsigned int seed = task;
	int i, n, page;

	do {
		i = rand_r(&seed) % FILES;
		map = map_file(fds[i], SIZE, RW, MAP_SHARED);
		if (map == MAP_FAILED)
			return 1;
		for (n = 0; n < 10; n++) {
			page = rand_r(&seed) % PAGES;
			pattern_fill(right, page * PAGE, PAGE, OLD + i);
			touch_read(map + rand_r(&seed) % PAGES * PAGE);
			touch_write(map + page * PAGE, right[0]);
		}
		munmap(map, SIZE);
	} while (mix_goes_on(mix, task));
	return 0;
}

static pid_t mix_start(struct mix *mix, int task, const int *fds)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	switch (task) {
	case 0:
		_exit(mix_change(mix, task, fds));
	case 1:
		_exit(mix_store(mix, task, fds));
	default:
		_exit(mix_look(mix, task, fds));
	}
}

/*
 * Rule: faults map only what the file has just then.
 * Wrong: a page of another file, a warning about a page that was given back
 * while it was mapped, a hang.
 * Right: all go on while files are cut, punched and reclaimed; each byte is the
 * file's, or zero.
 * in-tree 7.3: passes; it cannot be limited to two ranges.
 */
TEST_F_TIMEOUT(around_many, mixed_work, 120)
{
	long ms = env_number("FUSE_DAX_AROUND_SECS", 5) * 1000;
	pid_t pids[FILES + 2];
	struct mix *mix;
	int i;

	mix = mmap(NULL, sizeof(*mix), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mix);
	for (i = 0; i < FILES + 2; i++)
		pids[i] = mix_start(mix, i, self->fds);
	sleep_ms(ms);
	__atomic_store_n(&mix->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < FILES + 2; i++) {
		EXPECT_EQ(0, wait_within(pids[i], 20000));
		EXPECT_LT(0, mix->rounds[i]);
	}
	TH_LOG("rounds: %ld changes, %ld stores, %ld looks", mix->rounds[0],
	       mix->rounds[1], mix->rounds[2]);
	munmap(mix, sizeof(*mix));
	EXPECT_TRUE(fs_untainted(&self->fs));
}

TEST_HARNESS_MAIN
