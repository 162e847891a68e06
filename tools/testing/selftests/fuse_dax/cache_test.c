// SPDX-License-Identifier: GPL-2.0
/*
 * Pages in the page cache: what is touched alone while the window has nothing
 * free, and how it stays the same file as what the window shows.
 *
 * The window is limited to 8 ranges by the module parameter dax_max_ranges, and
 * full of other files. Drivers without it are not run.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	81
#define OTHER	82
#define RW	(PROT_READ | PROT_WRITE)
#define RANGES	8
#define SIZE	(4 * RANGES * RANGE)
/* Pages that are touched alone: each in a range of its own, not one after the other */
#define LONE	12
/* Where the first range of these is */
#define FAR	(4 * RANGE)

FIXTURE(cache)
{
	struct dax_fs fs;
	char *fill[RANGES];
	char *map;
	bool limited;
	int fd;
};

FIXTURE_SETUP(cache)
{
	struct stat st;

	self->fd = -1;
	self->map = MAP_FAILED;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	if (!fs_has_max_ranges())
		SKIP(return, "no parameter dax_max_ranges");
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, RANGES));
	self->limited = true;
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fill_window(&self->fs, RANGES, self->fill));
	ASSERT_EQ(0, counter(&self->fs, "ranges_free"));
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	/* A modification time that was not known drops cached pages */
	ASSERT_EQ(0, fstat(self->fd, &st));
	NEED_TRACE();
}

FIXTURE_TEARDOWN(cache)
{
	int i;

	if (self->map != MAP_FAILED)
		munmap(self->map, SIZE);
	for (i = 0; i < RANGES; i++)
		if (self->fill[i])
			munmap(self->fill[i], RANGE);
	close(self->fd);
	if (self->limited) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/* Where the @i-th lone page is: every other range, backwards */
static off_t lone(int i)
{
	return FAR + (LONE - i) * 2 * RANGE + (i + 3) * PAGE;
}

#define EXPECT_REQUESTS(reads, writes, setups) do {			\
	EXPECT_EQ(0, trace_stop());					\
	EXPECT_EQ(reads, trace_requests(OP_READ));			\
	EXPECT_EQ(writes, trace_requests(OP_WRITE));			\
	EXPECT_EQ(setups, trace_requests(OP_SETUP));			\
	ASSERT_EQ(0, trace_start());					\
} while (0)

/* The page @i, and what misses in turn map */
#define EXPECT_LONE(i, seed)						\
	EXPECT_EQ(0, mem_is_pattern(self->map + lone(i), lone(i), PAGE, seed))
#define MAP_AROUND(i) do {						\
	ASSERT_LE(0, touch_read(self->map + lone(i) + 5 * PAGE));	\
	ASSERT_LE(0, touch_read(self->map + lone(i) + 7 * PAGE));	\
} while (0)

/*
 * Rule: a page that is touched alone takes nothing from others.
 * Wrong: a range is reclaimed and mapped for each.
 * Right: one READ of a page for each, the second time none; no setup.
 * in-tree 7.3: one setup and one remove for each.
 */
TEST_F(cache, lone_loads)
{
	int i, round;

	for (round = 0; round < 3; round++)
		for (i = 0; i < LONE; i++)
			EXPECT_LONE(i, SEED);
	EXPECT_EQ(0, trace_stop());
	EXPECT_EQ(LONE, trace_requests(OP_READ));
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_REMOVE));
	EXPECT_EQ(LONE, counter(&self->fs, "cache_reads"));
}

/* The same by read(), and each serves the other */
TEST_F(cache, lone_reads)
{
	int i, round;

	for (round = 0; round < 3; round++)
		for (i = 0; i < LONE; i++)
			EXPECT_EQ(0, file_is_pattern(self->fd, lone(i), PAGE,
						     SEED));
	for (i = 0; i < LONE; i++)
		EXPECT_LONE(i, SEED);
	EXPECT_REQUESTS(LONE, 0, 0);
}

/*
 * Rule: a range of which several pages are touched in turn is mapped.
 * Wrong: a request for each page of it.
 * Right: one setup at the third page; what was cached is right after it.
 */
TEST_F(cache, three_in_turn_are_mapped)
{
	EXPECT_LONE(0, SEED);
	EXPECT_REQUESTS(1, 0, 0);
	MAP_AROUND(0);
	EXPECT_REQUESTS(1, 0, 1);
	EXPECT_LONE(0, SEED);
	EXPECT_REQUESTS(0, 0, 0);
}

/*
 * Rule: a pass over the file is mapped, whatever was touched before.
 * Wrong: it goes on page by page.
 * Right: at most one READ, and setups of many ranges.
 */
TEST_F(cache, pass_is_mapped)
{
	EXPECT_LONE(3, SEED);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, SEED));
	EXPECT_EQ(0, trace_stop());
	EXPECT_GE(1, trace_requests(OP_READ));
	EXPECT_GE(SIZE / RANGE, trace_requests(OP_SETUP));
	EXPECT_LT(0, trace_requests(OP_SETUP));
}

/*
 * Rule: stores to pages that are touched alone reach the file.
 * Wrong: they are lost, or a range is mapped for each.
 * Right: one READ for each; msync() writes them, and read() sees them before.
 */
TEST_F(cache, lone_stores)
{
	int i;

	for (i = 0; i < LONE; i++)
		pattern_fill(self->map + lone(i), lone(i), PAGE, OTHER);
	EXPECT_REQUESTS(LONE, 0, 0);
	for (i = 0; i < LONE; i++)
		EXPECT_EQ(0, file_is_pattern(self->fd, lone(i), PAGE, OTHER));
	EXPECT_REQUESTS(0, 0, 0);
	ASSERT_EQ(0, msync(self->map, SIZE, MS_SYNC));
	EXPECT_REQUESTS(0, LONE, 0);
	munmap(self->map, SIZE);
	self->map = MAP_FAILED;
	close(self->fd);
	ASSERT_EQ(0, drop_caches(3));
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
	for (i = 0; i < LONE; i++)
		EXPECT_EQ(0, file_is_pattern(self->fd, lone(i), PAGE, OTHER));
}

/* The same by fsync() and by munmap() */
TEST_F(cache, stores_written_by_fsync)
{
	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_REQUESTS(0, 1, 0);
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_REQUESTS(0, 0, 0);
}

/*
 * Rule: what is cached outlives that the server is told of stores.
 * Wrong: all of it is dropped each time, and read again, stored to or not.
 * Right: no READ. Attributes that are asked for later do not tell who else has
 * modified the file before: then one for each page.
 */
TEST_F(cache, told_of_stores)
{
	struct statx stx;
	int i, round;

	for (i = 0; i < LONE; i++)
		EXPECT_LONE(i, SEED);
	ASSERT_EQ(0, trace_start());
	for (round = 0; round < 3; round++) {
		pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
		ASSERT_EQ(0, fsync(self->fd));
		for (i = 1; i < LONE; i++)
			EXPECT_LONE(i, SEED);
	}
	EXPECT_REQUESTS(0, 3, 0);
	ASSERT_EQ(0, statx(self->fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
			   STATX_BASIC_STATS, &stx));
	for (i = 0; i < LONE; i++)
		EXPECT_LONE(i, i ? SEED : OTHER);
	EXPECT_REQUESTS(LONE, 0, 0);
}

TEST_F(cache, stores_written_by_munmap)
{
	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	ASSERT_EQ(0, trace_start());
	munmap(self->map, SIZE);
	self->map = MAP_FAILED;
	EXPECT_REQUESTS(0, 1, 0);
	EXPECT_EQ(0, file_is_pattern(self->fd, lone(0), PAGE, OTHER));
}

/*
 * Rule: a store is there when its range is mapped.
 * Wrong: the mapping shows what the server had before.
 * Right: the page is written, then the range is mapped: by load, by read(), and
 * for a store that follows.
 */
TEST_F(cache, stored_then_mapped)
{
	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	ASSERT_EQ(0, trace_start());
	MAP_AROUND(0);
	EXPECT_REQUESTS(1, 1, 1);
	EXPECT_LONE(0, OTHER);
	EXPECT_EQ(0, file_is_pattern(self->fd, lone(0), PAGE, OTHER));
	pattern_fill(self->map + lone(0), lone(0), PAGE, SEED);
	EXPECT_EQ(0, file_is_pattern(self->fd, lone(0), PAGE, SEED));
	EXPECT_REQUESTS(0, 0, 0);
}

/*
 * Rule: a page that somebody holds, to store to it or to read it, stays the file's.
 * Wrong: it is dropped when its neighbours are mapped: what is stored to it then is
 * lost, and who holds it sees no other store.
 * Right: the same page for all, until it is let go; then its range can be mapped.
 */
TEST_F(cache, held_page_stays)
{
	char buf[PAGE];
	int fds[2];

	EXPECT_LONE(0, SEED);
	ASSERT_EQ(0, pin_page(self->map + lone(0), fds));
	MAP_AROUND(0);
	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
	EXPECT_EQ(0, mem_is_pattern(buf, lone(0), PAGE, OTHER));
	close(fds[0]);
	close(fds[1]);

	/* Those around it are cached by now */
	ASSERT_EQ(0, trace_start());
	ASSERT_LE(0, touch_read(self->map + lone(0) + 9 * PAGE));
	EXPECT_REQUESTS(0, 1, 1);
	EXPECT_LONE(0, OTHER);
	EXPECT_EQ(0, file_is_pattern(self->fd, lone(0), PAGE, OTHER));
}

/* Pages of a range that are stored to, one by one, before it is mapped */
#define STORED	120

/*
 * Rule: what was stored to a range is written back as one when it is mapped.
 * Wrong: a request for each page, one after the other, in a page fault.
 * Right: a few, and all that was stored is there.
 */
TEST_F(cache, stored_pages_leave_together)
{
	const off_t pos = FAR, far = FAR + 4 * RANGE;
	const size_t len = STORED * PAGE;
	int i;

	for (i = 0; i < STORED; i++) {
		const off_t at = pos + i * PAGE;

		pattern_fill(self->map + at, at, PAGE, OTHER);
		/* Else the next would be the second miss in turn */
		ASSERT_LE(0, touch_read(self->map + far + i * PAGE));
	}
	EXPECT_REQUESTS(2 * STORED, 0, 0);
	for (i = 1; i < 4; i++)
		ASSERT_LE(0, touch_read(self->map + pos + len + i * PAGE));
	EXPECT_EQ(0, trace_stop());
	TH_LOG("%ld writes", trace_requests(OP_WRITE));
	EXPECT_EQ(1, trace_requests(OP_SETUP));
	EXPECT_LT(0, trace_requests(OP_WRITE));
	EXPECT_GE(4, trace_requests(OP_WRITE));
	EXPECT_EQ(0, mem_is_pattern(self->map + pos, pos, len, OTHER));
	EXPECT_EQ(0, file_is_pattern(self->fd, pos, len, OTHER));
}

/*
 * Rule: a large read sees what was stored to single pages of it.
 * Wrong: the server is asked for what only the guest has.
 * Right: what was stored.
 */
TEST_F(cache, large_read_sees_stores)
{
	const off_t pos = lone(0) - 2 * PAGE;
	char buf[8 * PAGE];

	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	EXPECT_LONE(5, SEED);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(sizeof(buf), pread(self->fd, buf, sizeof(buf), pos));
	EXPECT_REQUESTS(1, 1, 0);
	EXPECT_EQ(0, mem_is_pattern(buf, pos, 2 * PAGE, SEED));
	EXPECT_EQ(0, mem_is_pattern(buf + 2 * PAGE, lone(0), PAGE, OTHER));
	EXPECT_EQ(0, mem_is_pattern(buf + 3 * PAGE, lone(0) + PAGE, 5 * PAGE,
				    SEED));
}

/*
 * Rule: write() and store change one and the same page.
 * Wrong: the page in memory stays as it was; or it is written back later, over
 * what write() has put beside the store.
 * Right: both halves are there, in memory and in the file.
 */
TEST_F(cache, write_beside_store)
{
	const off_t pos = lone(0), half = PAGE / 2;

	pattern_fill(self->map + pos, pos, half, OTHER);
	/* Else the write would be the second miss in turn, for which it maps */
	EXPECT_LONE(5, SEED);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, file_write(self->fd, pos + half, half, OTHER));
	EXPECT_REQUESTS(0, 2, 0);
	EXPECT_EQ(0, mem_is_pattern(self->map + pos, pos, PAGE, OTHER));
	ASSERT_EQ(0, msync(self->map, SIZE, MS_SYNC));
	MAP_AROUND(0);
	EXPECT_LONE(0, OTHER);
}

/* A write of many pages, some of them cached */
TEST_F(cache, large_write_over_cached)
{
	const off_t pos = lone(0) - 2 * PAGE;
	const size_t len = 16 * PAGE;

	EXPECT_LONE(0, SEED);
	EXPECT_LONE(5, SEED);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, file_write(self->fd, pos + 7, len, OTHER));
	EXPECT_REQUESTS(0, 1, 0);
	EXPECT_EQ(0, mem_is_pattern(self->map + lone(0), lone(0), PAGE, OTHER));
	EXPECT_EQ(0, file_is_pattern(self->fd, pos + 7, len, OTHER));
	EXPECT_EQ(0, file_is_pattern(self->fd, pos + 7 + len, PAGE, SEED));
}

/*
 * Rule: an append shows in the page that has the end of the file.
 * Wrong: zeros, from when the page was read.
 * Right: what was appended.
 */
TEST_F(cache, append_shows)
{
	const off_t end = lone(0) + PAGE / 2;
	int fd = openat(self->fs.dirfd, "file", O_WRONLY | O_APPEND);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(self->fd, end));
	EXPECT_EQ(0, mem_is_pattern(self->map + lone(0), lone(0), PAGE / 2, SEED));
	EXPECT_EQ(0, mem_is_zero(self->map + end, PAGE / 2));
	ASSERT_EQ(0, file_write(fd, end, PAGE, SEED));
	EXPECT_EQ(0, mem_is_pattern(self->map + lone(0), lone(0), PAGE, SEED));
	EXPECT_EQ(0, file_is_pattern(self->fd, lone(0), PAGE + PAGE / 2, SEED));
	close(fd);
}

/*
 * Rule: truncation ends cached pages as any others.
 * Wrong: what was cut off can be read on, or comes back.
 * Right: SIGBUS past the end, zeros in the last page and after growing again.
 */
TEST_F(cache, truncate)
{
	const off_t end = lone(0) + 100;

	EXPECT_LONE(0, SEED);
	EXPECT_LONE(2, SEED);
	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	ASSERT_GT(lone(0), lone(2));
	ASSERT_EQ(0, ftruncate(self->fd, end));
	EXPECT_EQ(0, mem_is_pattern(self->map + lone(0), lone(0), 100, OTHER));
	EXPECT_EQ(0, mem_is_zero(self->map + end, PAGE - 100));
	EXPECT_EQ(-1, touch_read(self->map + lone(0) + PAGE));
	ASSERT_EQ(0, ftruncate(self->fd, lone(2)));
	EXPECT_EQ(-1, touch_read(self->map + lone(2)));
	EXPECT_EQ(-1, touch_read(self->map + lone(0)));
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_EQ(0, mem_is_zero(self->map + lone(2), PAGE));
	EXPECT_EQ(0, mem_is_zero(self->map + lone(0), PAGE));
	EXPECT_EQ(0, file_is_zero(self->fd, lone(0), PAGE));
}

/*
 * Rule: what is stored behind the end of the file is not part of it.
 * Wrong: it is when the file grows.
 * Right: zeros, however it grows.
 */
TEST_F(cache, nothing_behind_the_end)
{
	const off_t end = lone(0) + 100;
	int how;

	for (how = 0; how < 3; how++) {
		ASSERT_EQ(0, ftruncate(self->fd, end));
		EXPECT_LE(0, touch_read(self->map + lone(0)));
		ASSERT_EQ(0, touch_write(self->map + end + 100, 'x'));
		if (how == 0) {
			ASSERT_EQ(0, ftruncate(self->fd, SIZE));
		} else if (how == 1) {
			ASSERT_EQ(0, fallocate(self->fd, 0, 0, SIZE));
		} else {
			ASSERT_EQ(0, file_write(self->fd, end + 3000, 8000,
						SEED));
		}
		EXPECT_EQ(0, mem_is_zero(self->map + end, 1000));
		EXPECT_EQ(0, file_is_zero(self->fd, end, 1000));
		EXPECT_EQ(0, mem_is_pattern(self->map + lone(0), lone(0), 100,
					    SEED));
	}
}

/* A task that uses a page, and one far from it, until it is told to stop */
struct toucher {
	char *page, *far;
	bool store, stop;
};

static void *touch_on(void *data)
{
	struct toucher *t = data;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		if (t->store)
			touch_write(t->page, 'x');
		else
			touch_read(t->page);
		touch_read(t->far);
		madvise(t->page, PAGE, MADV_DONTNEED);
	}
	return NULL;
}

/* 200 writes of @len bytes beside somebody who uses their first page */
static void write_beside(struct __test_metadata *_metadata,
			 FIXTURE_DATA(cache) *self, size_t len, bool store,
			 bool append)
{
	struct toucher toucher = {
		.page = self->map + lone(0),
		.far = self->map + lone(6),
		.store = store,
	};
	/* The first byte of the page is what is stored to */
	const off_t pos = lone(0) + 8;
	pthread_t thread;
	int fd, i;

	fd = openat(self->fs.dirfd, "file", O_RDWR | (append ? O_APPEND : 0));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_on, &toucher));
	for (i = 0; i < 200; i++) {
		if (append) {
			ASSERT_EQ(0, ftruncate(fd, pos));
		}
		ASSERT_EQ(0, file_write(fd, pos, len, 1000 + i));
		ASSERT_EQ(0, mem_is_pattern(self->map + pos, pos, len, 1000 + i));
		ASSERT_EQ(0, file_is_pattern(fd, pos, len, 1000 + i));
	}
	__atomic_store_n(&toucher.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	close(fd);

	munmap(self->map, SIZE);
	self->map = MAP_FAILED;
	ASSERT_EQ(0, drop_caches(3));
	EXPECT_EQ(0, file_is_pattern(self->fd, pos, len, 1000 + i - 1));
}

/*
 * Rule: write() changes the file whatever somebody does to the page meanwhile.
 * Wrong: the page is read before the request and shown after it, or is written
 * back over what the request has written.
 * Right: the new data, by load, by read() and in the file, after each of many
 * writes: of few bytes and of many, in place and appended.
 */
TEST_F_TIMEOUT(cache, write_beside_loads, 120)
{
	write_beside(_metadata, self, 100, false, false);
}

TEST_F_TIMEOUT(cache, write_beside_loads_large, 120)
{
	write_beside(_metadata, self, 8 * PAGE, false, false);
}

TEST_F_TIMEOUT(cache, write_beside_stores, 120)
{
	write_beside(_metadata, self, 100, true, false);
}

TEST_F_TIMEOUT(cache, write_beside_stores_large, 120)
{
	write_beside(_metadata, self, 8 * PAGE, true, false);
}

TEST_F_TIMEOUT(cache, write_beside_stores_append, 120)
{
	write_beside(_metadata, self, 1000, true, true);
}

TEST_F_TIMEOUT(cache, write_beside_stores_append_large, 120)
{
	write_beside(_metadata, self, 8 * PAGE, true, true);
}

/*
 * Rule: what was stored to a hole is data.
 * Wrong: the server is asked, which does not have it yet.
 * Right: SEEK_DATA finds the page.
 */
TEST_F(cache, seek_finds_stores)
{
	ASSERT_EQ(0, ftruncate(self->fd, 0));
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	ASSERT_EQ(0, touch_write(self->map + lone(0), 'x'));
	EXPECT_EQ(lone(0), lseek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(lone(0) + PAGE, lseek(self->fd, lone(0), SEEK_HOLE));
}

/* So do holes, and copies of other files */
TEST_F(cache, punch_and_copy)
{
	off_t from = 0, to = lone(1);

	EXPECT_LONE(0, SEED);
	EXPECT_LONE(1, SEED);
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, lone(0), PAGE / 2));
	EXPECT_EQ(0, mem_is_zero(self->map + lone(0), PAGE / 2));
	EXPECT_EQ(0, mem_is_pattern(self->map + lone(0) + PAGE / 2,
				    lone(0) + PAGE / 2, PAGE / 2, SEED));
	if (copy_file_range(self->fd, &from, self->fd, &to, PAGE, 0) == PAGE)
		EXPECT_EQ(0, mem_is_pattern(self->map + lone(1), 0, PAGE, SEED));
}

/*
 * Rule: a private store is nobody else's.
 * Wrong: it reaches the cached page, and the file.
 * Right: the file is as it was.
 */
TEST_F(cache, private_store)
{
	char *map = map_file(self->fd, SIZE, RW, MAP_PRIVATE);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_LONE(0, SEED);
	pattern_fill(map + lone(0), lone(0), PAGE, OTHER);
	pattern_fill(map + lone(1), lone(1), PAGE, OTHER);
	EXPECT_LONE(0, SEED);
	EXPECT_LONE(1, SEED);
	EXPECT_EQ(0, file_is_pattern(self->fd, lone(1), PAGE, SEED));
	EXPECT_EQ(0, mem_is_pattern(map + lone(1), lone(1), PAGE, OTHER));
	munmap(map, SIZE);
}

/*
 * Rule: cached pages are memory to spare.
 * Wrong: they stay when caches are dropped.
 * Right: each is read again.
 */
TEST_F(cache, dropped_with_caches)
{
	int i;

	for (i = 0; i < LONE; i++)
		EXPECT_EQ(0, file_is_pattern(self->fd, lone(i), PAGE, SEED));
	ASSERT_EQ(0, drop_caches(1));
	ASSERT_EQ(0, trace_start());
	for (i = 0; i < LONE; i++)
		EXPECT_EQ(0, file_is_pattern(self->fd, lone(i), PAGE, SEED));
	EXPECT_REQUESTS(LONE, 0, 0);
}

/*
 * Rule: who has room maps.
 * Wrong: pages that were cached stay, and are read one by one.
 * Right: with ranges free, the next page touched maps its range.
 */
TEST_F(cache, mapped_when_there_is_room)
{
	int i;

	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	for (i = 0; i < RANGES; i++) {
		char name[16];

		munmap(self->fill[i], RANGE);
		self->fill[i] = NULL;
		snprintf(name, sizeof(name), "fill%d", i);
		ASSERT_EQ(0, unlinkat(self->fs.dirfd, name, 0));
	}
	ASSERT_EQ(0, counter_wait(&self->fs, "ranges_free", RANGES));
	ASSERT_EQ(0, trace_start());
	EXPECT_LONE(2, SEED);
	EXPECT_REQUESTS(0, 0, 1);
	ASSERT_LE(0, touch_read(self->map + lone(0) + PAGE));
	EXPECT_REQUESTS(0, 1, 1);
	EXPECT_LONE(0, OTHER);
}

/*
 * Rule: reads that avoid caches ask the server.
 * Wrong: they get the cached page.
 * Right: one READ each time, after what was stored is written.
 */
TEST_F(cache, direct_read_asks)
{
	int fd = openat(self->fs.dirfd, "file", O_RDONLY | O_DIRECT);

	ASSERT_LE(0, fd);
	pattern_fill(self->map + lone(0), lone(0), PAGE, OTHER);
	EXPECT_LONE(5, SEED);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, file_is_pattern(fd, lone(0), PAGE, OTHER));
	EXPECT_REQUESTS(1, 1, 0);
	close(fd);
}

TEST_HARNESS_MAIN
