// SPDX-License-Identifier: GPL-2.0
/*
 * Data larger than the window, what is kept of it, and what comes back.
 *
 * Where the window has more than 16 ranges, the tests of pressure limit it to
 * 8 by the module parameter dax_max_ranges; drivers without it need a small
 * window (16 MiB, and FUSE_DAX_WINDOW_MIB=16 to tell so).
 */
#include <pthread.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	71
#define RW	(PROT_READ | PROT_WRITE)
#define PART	(64 * KiB)
#define ROUNDS	6
#define SMALL	16

FIXTURE(window)
{
	struct dax_fs fs;
};

FIXTURE_SETUP(window)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
}

FIXTURE_TEARDOWN(window)
{
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a file that fits its share of the window takes few setups.
 * Wrong: one for each 2 MiB.
 * Right: at most 8 for a sequential read of half the window, and for touching
 * it by mmap; none for the second pass.
 * in-tree 7.3: fails, one for each range.
 */
TEST_F_TIMEOUT(window, few_setups, 120)
{
	long ranges = window_ranges(&self->fs);
	size_t size;
	char *map;
	int fd;

	if (ranges < 64)
		SKIP(return, "the window has %ld ranges, less than 64", ranges);
	size = scaled(ranges * RANGE / 2);
	if (size < 16 * RANGE)
		size = 16 * RANGE;
	fd = file_make(&self->fs, "file", size, SEED);
	ASSERT_LE(0, fd);
	NEED_TRACE();
	EXPECT_EQ(0, file_is_pattern(fd, 0, size, SEED));
	ASSERT_EQ(0, trace_stop());
	TH_LOG("read: %ld setups for %zu MiB", trace_requests(OP_SETUP),
	       size / MiB);
	EXPECT_GE(8, trace_requests(OP_SETUP));
	EXPECT_LE(1, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_REMOVE));
	close(fd);

	ASSERT_EQ(0, drop_caches(2));
	fd = openat(self->fs.dirfd, "file", O_RDONLY);
	map = map_file(fd, size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	NEED_TRACE();
	touch_pages(map, size);
	ASSERT_EQ(0, trace_stop());
	TH_LOG("mmap: %ld setups", trace_requests(OP_SETUP));
	EXPECT_GE(8, trace_requests(OP_SETUP));
	NEED_TRACE();
	touch_pages(map, size);
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	munmap(map, size);
	close(fd);
}

/*
 * Rule: dropping inodes gives their ranges back.
 * Wrong: ranges leak; or mappings stay on the host.
 * Right: after drop_caches all ranges are free and a FUSE_REMOVEMAPPING went.
 * in-tree 7.3: passes (requests only, it has no counters).
 */
TEST_F(window, drop_caches_frees)
{
	char name[16];
	int i, fd;

	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fd = file_make(&self->fs, name, 3 * MiB, i);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, file_is_pattern(fd, 0, 3 * MiB, i));
		close(fd);
	}
	NEED_TRACE();
	ASSERT_EQ(0, drop_caches(2));
	if (counter(&self->fs, "ranges_total") >= 0) {
		EXPECT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
		EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free",
					  counter(&self->fs, "ranges_total")));
	} else {
		sleep_ms(500);
	}
	ASSERT_EQ(0, trace_stop());
	EXPECT_LT(0, trace_requests(OP_REMOVE));
	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fd = openat(self->fs.dirfd, name, O_RDONLY);
		EXPECT_EQ(0, file_is_pattern(fd, 0, 3 * MiB, i));
		close(fd);
	}
}

/*
 * Rule: drop_caches leaves mapped files alone.
 * Wrong: SIGBUS, or wrong data.
 * Right: data as before, stores as before.
 * in-tree 7.3: passes.
 */
TEST_F(window, drop_caches_while_mapped)
{
	char *map;
	int fd, i;

	fd = file_make(&self->fs, "file", 4 * MiB, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, 4 * MiB, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, mem_is_pattern(map, 0, 4 * MiB, SEED + i));
		ASSERT_EQ(0, drop_caches(3));
		pattern_fill(map, 0, 4 * MiB, SEED + i + 1);
	}
	munmap(map, 4 * MiB);
}

/*
 * Rule: truncate gives the ranges beyond the new end back.
 * Wrong: they stay with the file, which can never use them.
 * Right: as many free ranges as before the file was read.
 * in-tree 7.3: skipped, it has no counters.
 */
TEST_F(window, truncate_frees)
{
	long free;
	int fd;

	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, drop_caches(2));
	ASSERT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
	free = counter(&self->fs, "ranges_free");
	fd = file_make(&self->fs, "file", 4 * RANGE, SEED);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, file_is_pattern(fd, 0, 4 * RANGE, SEED));
	EXPECT_GT(free, counter(&self->fs, "ranges_free"));
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free", free));
	close(fd);
}

/*
 * Rule: tasks killed in the middle of setups leak no range.
 * Wrong: ranges are lost, or handed out twice.
 * Right: all are free once the files are gone, none is bad, and data read
 * afterwards is right.
 * in-tree 7.3: passes (data only, it has no counters).
 */
TEST_F_TIMEOUT(window, killed_tasks_leak_nothing, 60)
{
	const size_t size = 4 * MiB;
	char name[16], *map;
	pid_t pid;
	int i, fd;

	for (i = 0; i < 36; i++) {
		snprintf(name, sizeof(name), "file%d", i % 8);
		fd = file_make(&self->fs, name, size, i % 8);
		ASSERT_LE(0, fd);
		pid = fork();
		if (!pid) {
			map = map_file(fd, size, RW, MAP_SHARED);
			touch_pages(map, size);
			file_is_pattern(fd, 0, size, i % 8);
			for (;;)
				pause();
		}
		sleep_ms(i % 12);
		ASSERT_TRUE(kill_within(pid, 1000));
		if (i % 3 == 0) {
			EXPECT_EQ(0, file_is_pattern(fd, 0, size, i % 8));
		}
		close(fd);
		unlinkat(self->fs.dirfd, name, 0);
	}
	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, drop_caches(2));
	EXPECT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free",
				  counter(&self->fs, "ranges_total")));
	EXPECT_EQ(0, counter(&self->fs, "ranges_bad"));
}

/* Maps file @i, looks at its first page, and unmaps it */
static int look_at(struct dax_fs *fs, int i)
{
	char name[16], *map;
	int fd, err = -1;

	snprintf(name, sizeof(name), "part%d", i);
	fd = openat(fs->dirfd, name, O_RDONLY);
	map = map_file(fd, PART, PROT_READ, MAP_SHARED);
	if (map != MAP_FAILED) {
		err = mem_is_pattern(map, 0, PAGE, SEED + i) ? -1 : 0;
		munmap(map, PART);
	}
	close(fd);
	return err;
}

/*
 * Setups for looking at half as many files again as there are ranges, in turn,
 * ROUNDS times; or -1
 */
static long look_in_turn(struct dax_fs *fs)
{
	int n = window_ranges(fs) * 3 / 2, i, round;
	long setups;

	if (files_make(fs, "part", n, PART, SEED))
		return -1;
	setups = counter(fs, "setups");
	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < n; i++)
			if (look_at(fs, i))
				return -1;
	setups = counter(fs, "setups") - setups;
	printf("# %ld setups for %d uses of %d files\n", setups, ROUNDS * n, n);
	return setups;
}

/*
 * Rule: what is used in turn, and is a little more than the window holds, is
 * still mostly found there.
 * Wrong: what is needed next is always what has just gone: all uses miss.
 * Right: a third of the uses hit, though half as many files again are used.
 * in-tree 7.3: skipped; it has no counters.
 */
#define EXPECT_HITS_IN_TURN(fs) do {					\
	long setups_ = look_in_turn(fs);				\
									\
	EXPECT_LE(0, setups_);						\
	EXPECT_GE(ROUNDS * window_ranges(fs), setups_);			\
} while (0)

TEST_F_TIMEOUT(window, used_in_turn, 120)
{
	NEED_COUNTERS(&self->fs);
	EXPECT_HITS_IN_TURN(&self->fs);
}

FIXTURE(small)
{
	struct dax_fs fs;
	size_t window;
	size_t size;
	bool limited;
	int fd;
};

/* A window of at most 16 ranges, and a file of several times its size. */
FIXTURE_SETUP(small)
{
	long ranges;

	self->fd = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	ranges = window_ranges(&self->fs);
	if ((ranges < 0 || ranges > SMALL) && fs_has_max_ranges()) {
		ASSERT_EQ(0, fs_set_max_ranges(&self->fs, 8));
		self->limited = true;
		ranges = 8;
	}
	if (ranges < 2 || ranges > SMALL)
		SKIP(return, "the window has %ld ranges, not 2 to 16", ranges);
	self->window = ranges * RANGE;
	self->size = scaled(6 * self->window);
	if (self->size < 2 * self->window)
		self->size = 2 * self->window;
	self->fd = file_make(&self->fs, "file", self->size, SEED);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(small)
{
	close(self->fd);
	if (self->limited) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a file larger than the window is read right, with few requests.
 * Wrong: wrong data, a stall, or a setup and a remove for each range.
 * Right: the data, twice; in each pass at most four requests for each time
 * the window is filled, and eight to begin with.
 * in-tree 7.3: fails, one setup and one remove for each range.
 */
TEST_F_TIMEOUT(small, read_larger_than_window, 120)
{
	long fills = self->size / self->window, requests;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		NEED_TRACE();
		ASSERT_EQ(0, file_is_pattern(self->fd, 0, self->size, SEED));
		ASSERT_EQ(0, trace_stop());
		requests = trace_requests(OP_SETUP) + trace_requests(OP_REMOVE);
		TH_LOG("%ld setups, %ld removes, %ld reads",
		       trace_requests(OP_SETUP), trace_requests(OP_REMOVE),
		       trace_requests(OP_READ));
		EXPECT_GE(4 * fills + 8, requests);
	}
}

/*
 * Rule: a sequential read larger than the window uses the window.
 * Wrong: all of it falls back to FUSE_READ.
 * Right: most bytes come through memory.
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(small, larger_read_uses_window, 120)
{
	NEED_TRACE();
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, self->size, SEED));
	ASSERT_EQ(0, trace_stop());
	/* The payload of a FUSE_READ is in its answer; BLOCK is 256 KiB. */
	EXPECT_GT(self->size / (256 * KiB) / 2, trace_requests(OP_READ));
	EXPECT_LT(0, trace_requests(OP_SETUP));
}

/* The same with few ranges. */
TEST_F_TIMEOUT(small, used_in_turn, 120)
{
	NEED_COUNTERS(&self->fs);
	EXPECT_HITS_IN_TURN(&self->fs);
}

/*
 * Rule: others can take over the whole window.
 * Wrong: what was there first stays, and those who come later take it from each
 * other all the time.
 * Right: as many files as fit, used in turn, hit each time in the end.
 * in-tree 7.3: skipped; it has no counters.
 */
TEST_F_TIMEOUT(small, taken_over, 120)
{
	int n = self->window / RANGE - 1, i, round;
	long setups;

	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, files_make(&self->fs, "part", 2 * n, PART, SEED));
	for (round = 0; round < 4; round++)
		for (i = 0; i < n; i++)
			ASSERT_EQ(0, look_at(&self->fs, i));
	for (round = 0; round < 16; round++) {
		setups = counter(&self->fs, "setups");
		for (i = n; i < 2 * n; i++)
			ASSERT_EQ(0, look_at(&self->fs, i));
		setups = counter(&self->fs, "setups") - setups;
		TH_LOG("round %d: %ld setups for %d files", round, setups, n);
	}
	EXPECT_GE(1, setups);
}

/*
 * Rule: a file larger than the window can be mapped and touched.
 * Wrong: wrong data, SIGBUS, or a stall.
 * Right: the data, forwards twice and backwards.
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(small, map_larger_than_window, 120)
{
	size_t pos;
	char *map;

	map = map_file(self->fd, self->size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, self->size, SEED));
	EXPECT_EQ(0, mem_is_pattern(map, 0, self->size, SEED));
	for (pos = self->size; pos; pos -= MiB)
		ASSERT_EQ(0, mem_is_pattern(map + pos - PAGE, pos - PAGE, PAGE,
					    SEED));
	munmap(map, self->size);
}

/*
 * Rule: stores survive that their range is taken away.
 * Wrong: lost stores, or stores in another file's pages.
 * Right: all of them are in the file; by mmap and by read().
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(small, store_larger_than_window, 120)
{
	size_t pos;
	char *map;

	map = map_file(self->fd, self->size, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	for (pos = 0; pos < self->size; pos += 16 * PAGE)
		pattern_fill(map + pos, pos, PAGE, SEED + 1);
	for (pos = 0; pos < self->size; pos += 16 * PAGE) {
		ASSERT_EQ(0, mem_is_pattern(map + pos, pos, PAGE, SEED + 1));
		ASSERT_EQ(0, mem_is_pattern(map + pos + PAGE, pos + PAGE,
					    PAGE, SEED));
	}
	munmap(map, self->size);
	for (pos = 0; pos < self->size; pos += 16 * PAGE)
		ASSERT_EQ(0, file_is_pattern(self->fd, pos, PAGE, SEED + 1));
}

/*
 * Rule: writes in place larger than the window reach the file.
 * Wrong: lost or misplaced bytes.
 * Right: the new pattern everywhere, also after the inode was dropped.
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(small, write_larger_than_window, 120)
{
	ASSERT_EQ(0, file_write(self->fd, 0, self->size, SEED + 2));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, self->size, SEED + 2));
	close(self->fd);
	ASSERT_EQ(0, drop_caches(3));
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, self->size, SEED + 2));
}

/*
 * Rule: random accesses over more than the window get right data.
 * Wrong: a page of another offset, after its range was reused.
 * Right: each page is the file's, by load and by read().
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(small, random_pages, 120)
{
	unsigned int seed = 5, i;
	off_t pos;
	char *map;

	map = map_file(self->fd, self->size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < 1000; i++) {
		pos = rand_r(&seed) % (self->size / PAGE) * PAGE;
		if (i & 1) {
			ASSERT_EQ(0, file_is_pattern(self->fd, pos, PAGE,
						     SEED));
		} else {
			ASSERT_EQ(0, mem_is_pattern(map + pos, pos, PAGE,
						    SEED));
		}
	}
	munmap(map, self->size);
}

/*
 * Rule: what is used again and again stays in the window while a large file
 * streams through it (second chance).
 * Wrong: it goes in its turn, once for each time the window is filled.
 * Right: it goes less than half as often.
 * in-tree 7.3: fails, first in first out; and it has no RWF_NOWAIT to ask.
 */
TEST_F_TIMEOUT(small, hot_file_stays, 120)
{
	const size_t step = self->window / 8;
	char buf[PAGE];
	struct iovec iov = { buf, sizeof(buf) };
	long misses = 0, fills = self->size / self->window;
	size_t pos;
	int hot;

	hot = file_make(&self->fs, "hot", RANGE, SEED + 3);
	ASSERT_LE(0, hot);
	ASSERT_EQ(0, file_is_pattern(hot, 0, RANGE, SEED + 3));
	for (pos = 0; pos + step <= self->size; pos += step) {
		ASSERT_EQ(0, file_is_pattern(self->fd, pos, step, SEED));
		if (preadv2(hot, &iov, 1, 0, RWF_NOWAIT) == sizeof(buf))
			continue;
		ASSERT_EQ(EAGAIN, errno);
		misses++;
		ASSERT_EQ(0, file_is_pattern(hot, 0, RANGE, SEED + 3));
	}
	TH_LOG("%ld misses in %ld fills of the window", misses, fills);
	EXPECT_GE(fills / 2, misses);
	close(hot);
}

/*
 * Rule: so does what is used through page tables, which makes no system call.
 * Wrong: it is taken for unused, and goes in its turn.
 * Right: it goes once in a while at most, while pages in threes all over the same
 * file need all other ranges in turn.
 * in-tree 7.3: not run, it has no counters.
 */
TEST_F_TIMEOUT(small, hot_mmap_stays, 120)
{
	const size_t hot = 5 * RANGE, cold = hot + RANGE;
	long before, reclaimed, misses = 0;
	unsigned int seed = 7, i;
	const char *map;
	size_t pos;

	NEED_COUNTERS(&self->fs);
	if (self->window < 8 * RANGE)
		SKIP(return, "in less than 8 ranges all are used between two looks");
	/*
	 * Whatever the scale: in a file of twice the window each of the others is
	 * used every tenth time, and all are in use whenever reclaim looks.
	 */
	self->size = 6 * self->window;
	ASSERT_EQ(0, ftruncate(self->fd, self->size));
	map = map_file(self->fd, self->size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, madvise((void *)map, self->size, MADV_RANDOM));
	reclaimed = counter(&self->fs, "reclaimed");
	for (i = 0; i < 400; i++) {
		pos = cold + rand_r(&seed) % (self->size - cold);
		ASSERT_LE(0, touch_read(map + pos));
		ASSERT_LE(0, touch_read(map + (pos ^ PAGE)));
		ASSERT_LE(0, touch_read(map + (pos ^ (2 * PAGE))));
		before = counter(&self->fs, "setups");
		ASSERT_LE(0, touch_read(map + hot + i % RANGE));
		ASSERT_LE(0, touch_read(map + hot + (i + PAGE) % RANGE));
		ASSERT_LE(0, touch_read(map + hot + (i + 2 * PAGE) % RANGE));
		misses += counter(&self->fs, "setups") - before;
	}
	reclaimed = counter(&self->fs, "reclaimed") - reclaimed;
	TH_LOG("%ld setups for what is hot, %ld mappings reclaimed", misses,
	       reclaimed);
	EXPECT_LE(1, misses);
	EXPECT_GE(8, misses);
	EXPECT_LE(100, reclaimed);
	munmap((void *)map, self->size);
}

/*
 * Rule: data exactly as large as the window is never reclaimed.
 * Wrong: ranges are taken back to keep some free, so that each pass sets up
 * again what the last one lost (a fraction of the speed).
 * Right: after the first pass no setup, no remove and no fallback.
 * in-tree 7.3: fails, it keeps a fifth of the window free.
 */
TEST_F_TIMEOUT(small, window_full_is_kept, 120)
{
	long files = self->window / RANGE, i;
	char name[16], *maps[SMALL];
	int pass, fd;

	ASSERT_EQ(0, ftruncate(self->fd, 0));
	for (i = 0; i < files; i++) {
		snprintf(name, sizeof(name), "part%ld", i);
		fd = file_make(&self->fs, name, RANGE, i);
		ASSERT_LE(0, fd);
		maps[i] = map_file(fd, RANGE, PROT_READ, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, maps[i]);
		close(fd);
	}
	for (pass = 0; pass < 3; pass++) {
		if (pass == 1) {
			sleep_ms(500);
			NEED_TRACE();
		}
		for (i = 0; i < files; i++)
			EXPECT_EQ(0, mem_is_pattern(maps[i], 0, RANGE, i));
	}
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_REMOVE));
	for (i = 0; i < files; i++)
		munmap(maps[i], RANGE);
}

/*
 * Rule: more small files than ranges can be mapped at once.
 * Wrong: SIGBUS or a stall once each range has its file.
 * Right: the data of each file, in any order.
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(small, more_files_than_ranges, 120)
{
	enum { FILES = 64 };
	const size_t size = 50000;
	char name[16], *maps[FILES];
	int i, pass, fd;

	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "small%d", i);
		fd = file_make(&self->fs, name, size, i);
		ASSERT_LE(0, fd);
		maps[i] = map_file(fd, size, RW, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, maps[i]);
		close(fd);
	}
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < FILES; i++)
			ASSERT_EQ(0, mem_is_pattern(maps[i], 0, size, i));
		for (i = 0; i < FILES; i++)
			maps[i][size - 1] = maps[i][size - 1];
	}
	for (i = 0; i < FILES; i++)
		munmap(maps[i], size);
}

/* Pin a page in each range of a file as large as the window. */
static char *pin_window(struct dax_fs *fs, size_t window, int pipefd[2])
{
	char *map = NULL;
	struct iovec iov;
	size_t pos;
	int fd;

	fd = file_make(fs, "pinned", window, SEED + 9);
	if (fd < 0 || pipe(pipefd))
		return NULL;
	fcntl(pipefd[1], F_SETPIPE_SZ, 64 * PAGE);
	map = map_file(fd, window, PROT_READ, MAP_SHARED);
	close(fd);
	if (map == MAP_FAILED)
		return NULL;
	for (pos = 0; pos < window; pos += RANGE) {
		iov.iov_base = map + pos + PAGE;
		iov.iov_len = PAGE;
		if (vmsplice(pipefd[1], &iov, 1, SPLICE_F_NONBLOCK) != PAGE)
			return NULL;
	}
	return map;
}

/*
 * Rule: one pinned page does not stop reclaim.
 * Wrong: it waits for the page, which nobody releases (it sits in a pipe that
 * nobody reads), and all who need a range wait for reclaim.
 * Right: with the window full of other files, a file larger than the window
 * is read twice meanwhile, and mapped.
 * in-tree 7.3: fails, never returns.
 */
TEST_F_TIMEOUT(small, one_pinned_page, 60)
{
	char page[PAGE], *map, *whole, *fill[SMALL];
	int others = self->window / RANGE - 1, pipefd[2], fd, i;

	fd = file_make(&self->fs, "pinned", RANGE, SEED + 9);
	ASSERT_LE(0, fd);
	map = map_file(fd, RANGE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, pin_page(map + 5 * PAGE, pipefd));
	ASSERT_EQ(0, fill_window(&self->fs, others, fill));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, self->size, SEED));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, self->size, SEED));
	whole = map_file(self->fd, self->size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, whole);
	EXPECT_EQ(0, mem_is_pattern(whole, 0, self->size, SEED));
	munmap(whole, self->size);
	for (i = 0; i < others; i++)
		munmap(fill[i], RANGE);
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, mem_is_pattern(page, 5 * PAGE, PAGE, SEED + 9));
	munmap(map, RANGE);
	close(fd);
}

/*
 * Rule: read() and write() never wait for a range, they fall back.
 * Wrong: they hang while all ranges are pinned.
 * Right: right data by FUSE_READ and FUSE_WRITE, and the counters tell.
 * in-tree 7.3: fails, never returns.
 */
TEST_F_TIMEOUT(small, all_pinned_falls_back, 30)
{
	int pipefd[2];
	char *map;

	map = pin_window(&self->fs, self->window, pipefd);
	ASSERT_NE(NULL, map);
	NEED_TRACE();
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, RANGE, SEED));
	EXPECT_EQ(0, file_write(self->fd, 1000, PAGE, SEED + 1));
	EXPECT_EQ(0, file_is_pattern(self->fd, 1000, PAGE, SEED + 1));
	ASSERT_EQ(0, trace_stop());
	EXPECT_LT(0, trace_requests(OP_READ));
	EXPECT_EQ(1, trace_requests(OP_WRITE));
	NEED_COUNTERS(&self->fs);
	EXPECT_LT(0, counter(&self->fs, "fallback_reads"));
	EXPECT_LT(0, counter(&self->fs, "fallback_writes"));
	munmap(map, self->window);
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * Rule: a fault that must wait for a range, because what is stored has to be seen
 * by others, can be killed.
 * Wrong: the task stays, and blocks all who look at it.
 * Right: gone within a second of SIGKILL; the wait was counted.
 * in-tree 7.3: fails, it waits without end and without signals.
 */
TEST_F_TIMEOUT(small, waiting_fault_is_killable, 30)
{
	long waits = counter(&self->fs, "waits");
	int pipefd[2], status;
	char *map, *other;
	pid_t pid;

	map = pin_window(&self->fs, self->window, pipefd);
	ASSERT_NE(NULL, map);
	other = map_file(self->fd, self->size, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, other);
	pid = fork();
	if (!pid)
		_exit(touch_read(other) < 0 ? 3 : 0);
	sleep_ms(500);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	EXPECT_TRUE(kill_within(pid, 1000));
	if (waits >= 0) {
		EXPECT_LT(waits, counter(&self->fs, "waits"));
	}
	munmap(map, self->window);
	munmap(other, self->size);
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * Rule: a fault that waits goes on as soon as a range can be had.
 * Wrong: it sleeps on, as nobody wakes it when a pin goes.
 * Right: it ends with the file's byte within 5 s after the pipe was read.
 * in-tree 7.3: fails, the reclaim worker waits for one of the pages.
 */
TEST_F_TIMEOUT(small, waiting_fault_goes_on, 30)
{
	int pipefd[2], want, i;
	char *map, *other, page[PAGE];
	pid_t pid;

	map = pin_window(&self->fs, self->window, pipefd);
	ASSERT_NE(NULL, map);
	other = map_file(self->fd, self->size, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, other);
	pattern_fill(page, 0, PAGE, SEED);
	want = (unsigned char)page[77];
	pid = fork();
	if (!pid)
		_exit(touch_read(other + 77) == want ? 0 : 1);
	EXPECT_EQ(-1, wait_within(pid, 300));
	for (i = 0; i < self->window / RANGE; i++)
		ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, wait_within(pid, 5000));
	munmap(map, self->window);
	munmap(other, self->size);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void *touch_first(void *map)
{
	touch_read(map);
	return NULL;
}

/*
 * Rule: a fault that waits for a range holds no lock of its process.
 * Wrong: other threads stop at the next mmap() or mprotect().
 * Right: another thread changes the same mapping at once.
 * in-tree 7.3: fails, it waits with the lock of the mapping held.
 */
TEST_F_TIMEOUT(small, waiting_fault_blocks_nobody, 30)
{
	int pipefd[2], ready[2];
	char *map, *other, c;
	pthread_t thread;
	pid_t pid;

	map = pin_window(&self->fs, self->window, pipefd);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, pipe(ready));
	other = map_file(self->fd, self->size, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, other);
	pid = fork();
	if (!pid) {
		pthread_create(&thread, NULL, touch_first, other);
		sleep_ms(300);
		mprotect(other + self->size - RANGE, PAGE, PROT_NONE);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pthread_join(thread, NULL);
		_exit(0);
	}
	fcntl(ready[0], F_SETFL, O_NONBLOCK);
	sleep_ms(1500);
	EXPECT_EQ(1, read(ready[0], &c, 1));
	EXPECT_TRUE(kill_within(pid, 1000));
	munmap(map, self->window);
	munmap(other, self->size);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void *store_first(void *map)
{
	touch_write(map, 1);
	return NULL;
}

/* The same by way of the kernel, which needs the page */
static void *read_first(void *map)
{
	char ones[PAGE];
	int disk;

	memset(ones, 1, PAGE);
	disk = disk_open(ones, PAGE);
	if (read(disk, map, PAGE) != PAGE)
		perror("# read");
	close(disk);
	return NULL;
}

/* Stores to @map, and changes it in another thread meanwhile: then writes to @ready */
static int store_and_protect(char *map, void *(*store)(void *map), int ready)
{
	pthread_t thread;

	touch_read(map);
	if (pthread_create(&thread, NULL, store, map))
		return 1;
	sleep_ms(300);
	mprotect(map + MiB - PAGE, PAGE, PROT_NONE);
	if (write(ready, "x", 1) != 1)
		return 1;
	pthread_join(thread, NULL);
	return 0;
}

/* Uses the window all the time: who waits is woken */
static void read_on(int fd)
{
	char page[PAGE];

	while (pread(fd, page, PAGE, 0) == PAGE)
		;
	_exit(1);
}

/*
 * Rule: a store that waits for a page which somebody holds blocks nobody either.
 * Wrong: it waits with the lock of the mapping held, as long as the page is in a pipe
 * that nobody reads, and other threads stop at the next mprotect() or munmap().
 * Right: another thread changes the same mapping soon, and the store is done when the
 * page is let go.
 */
FIXTURE(store)
{
	struct dax_fs fs;
};

FIXTURE_VARIANT(store)
{
	void *(*store)(void *map);
};

FIXTURE_VARIANT_ADD(store, program) { .store = store_first };
FIXTURE_VARIANT_ADD(store, kernel) { .store = read_first };

FIXTURE_SETUP(store)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
}

FIXTURE_TEARDOWN(store)
{
	FS_TEARDOWN(&self->fs);
}

TEST_F_TIMEOUT(store, blocks_nobody, 30)
{
	int pipefd[2], ready[2], fd;
	char *pinned, *map, page[PAGE];
	pid_t pid, reader;

	close(file_make(&self->fs, "loaded", RANGE, SEED));
	/* Mapped on the server for reading: so the store needs another mapping */
	fd = openat(self->fs.dirfd, "loaded", O_RDONLY);
	pinned = map_file(fd, RANGE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, pinned);
	close(fd);
	ASSERT_EQ(0, pin_page(pinned + 3 * PAGE, pipefd));
	ASSERT_EQ(0, pipe(ready));
	fd = openat(self->fs.dirfd, "loaded", O_RDWR);
	/* No place for a huge page: who may store to a page of these may only ask */
	map = map_file(fd, MiB, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	fd = file_make(&self->fs, "read", RANGE, SEED);
	reader = fork();
	if (!reader)
		read_on(fd);
	pid = fork();
	if (!pid)
		_exit(store_and_protect(map, variant->store, ready[1]));
	fcntl(ready[0], F_SETFL, O_NONBLOCK);
	sleep_ms(2500);
	EXPECT_EQ(1, read(ready[0], page, 1));
	EXPECT_EQ(-1, wait_within(pid, 100));
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, wait_within(pid, 5000));
	EXPECT_EQ(1, map[0]);
	kill_within(pid, 1000);
	EXPECT_TRUE(kill_within(reader, 5000));
	munmap(map, MiB);
	munmap(pinned, RANGE);
	close(pipefd[0]);
	close(pipefd[1]);
	close(fd);
}

TEST_HARNESS_MAIN
