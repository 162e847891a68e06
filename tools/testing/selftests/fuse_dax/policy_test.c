// SPDX-License-Identifier: GPL-2.0
/*
 * What the driver decides: which requests it sends for which use of a file.
 * Counts are exact, and no test looks at the time.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	71
#define OTHER	72
#define SIZE	(40 * KiB + 123)
#define PAGES	((SIZE + PAGE - 1) / PAGE)
#define PIECE	(10 * KiB)
#define WHOLE	(64 * KiB)
#define LARGER	(200 * KiB)
#define AHEAD	(8 * MiB)

FIXTURE(policy)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_SETUP(policy)
{
	self->fd = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
	NEED_TRACE();
}

FIXTURE_TEARDOWN(policy)
{
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/* Reads [@pos, @end) piece by piece; 0 if it is the pattern */
static int read_pieces(int fd, off_t pos, off_t end, size_t piece, int seed)
{
	static char buf[LARGER];

	while (pos < end) {
		ssize_t n = pread(fd, buf, piece, pos);

		if (n <= 0 || mem_is_pattern(buf, pos, n, seed))
			return -1;
		pos += n;
	}
	return 0;
}

#define EXPECT_REQUESTS(reads, setups) do {				\
	EXPECT_EQ(0, trace_stop());					\
	EXPECT_EQ(reads, trace_requests(OP_READ));			\
	EXPECT_EQ(setups, trace_requests(OP_SETUP));			\
} while (0)

/*
 * Rule: a small file that is read once costs one request for its data.
 * Wrong: one for each piece, or a mapping that is not used again.
 * Right: one READ and no setup, whether it is read whole or in pieces.
 * in-tree 7.3: one setup.
 */
TEST_F(policy, small_file_whole)
{
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
	EXPECT_REQUESTS(1, 0);
}

TEST_F(policy, small_file_in_pieces)
{
	char buf[PIECE];

	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, PIECE, SEED));
	EXPECT_EQ(0, pread(self->fd, buf, PIECE, SIZE));
	EXPECT_REQUESTS(1, 0);
}

/*
 * Rule: a small file that is read again costs no request for its data.
 * Wrong: a READ each time, or a mapping for each small file.
 * Right: one READ, for all of its pages; through another open file too; none after
 * a mapping either.
 * in-tree 7.3: one setup.
 */
TEST_F(policy, small_file_often)
{
	long before = counter(&self->fs, "cache_reads");
	int i;

	ASSERT_EQ(0, file_settle(self->fd));
	/* While somebody has it open for writing, who opens it has it read again */
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, trace_start());
	for (i = 0; i < 10; i++) {
		int fd = openat(self->fs.dirfd, "file", O_RDONLY);

		ASSERT_LE(0, fd);
		EXPECT_EQ(0, read_pieces(fd, 0, SIZE, i & 1 ? PIECE : WHOLE,
					 SEED));
		close(fd);
	}
	EXPECT_REQUESTS(1, 0);
	EXPECT_EQ(before + PAGES, counter(&self->fs, "cache_reads"));
}

/*
 * Rule: O_DIRECT reads what the server has.
 * Wrong: pages that the guest keeps.
 * Right: a READ each time, and none are kept.
 */
TEST_F(policy, direct_read_asks)
{
	int direct = openat(self->fs.dirfd, "file", O_RDONLY | O_DIRECT);
	int i;

	ASSERT_LE(0, direct);
	/*
	 * What was changed a moment ago is not known to be the same when attributes
	 * are asked for again, which this may take long enough for.
	 */
	ASSERT_EQ(0, file_settle(self->fd));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, trace_start());
		EXPECT_EQ(0, read_pieces(direct, 0, SIZE, WHOLE, SEED));
		EXPECT_REQUESTS(1, 0);
		ASSERT_EQ(0, trace_start());
		EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
		EXPECT_REQUESTS(!i, 0);
	}
	close(direct);
}

#define EXPECT_READ_ANEW(anew) do {					\
	ASSERT_EQ(0, trace_start());					\
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));	\
	EXPECT_REQUESTS(anew, 0);					\
} while (0)

/*
 * Rule: pages of small files give way when memory is short, and when the file is
 * mapped.
 * Wrong: they stay.
 * Right: one READ brings them back each time; the file reads right.
 */
TEST_F(policy, small_pages_give_way)
{
	char *map;

	ASSERT_EQ(0, file_settle(self->fd));
	EXPECT_READ_ANEW(1);
	EXPECT_READ_ANEW(0);
	ASSERT_EQ(0, drop_caches(1));
	EXPECT_READ_ANEW(1);

	ASSERT_EQ(0, trace_start());
	map = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	EXPECT_REQUESTS(0, 1);
	munmap(map, SIZE);
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
	EXPECT_READ_ANEW(1);
}

/*
 * Rule: a small file is fetched once, whether it is read or mapped by somebody who
 * sees no other's stores.
 * Wrong: it is read, and then mapped as well.
 * Right: pages that were read are shown to who maps it for himself. Who shares it
 * gets the window.
 * in-tree 7.3: one setup.
 */
TEST_F(policy, small_file_read_then_mapped)
{
	char *map;

	ASSERT_EQ(0, file_settle(self->fd));
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, read_pieces(self->fd, 0, PAGE, PAGE, SEED));
	map = map_file(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	EXPECT_REQUESTS(1, 0);
	pattern_fill(map, 0, PIECE, OTHER);
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, PIECE, SEED));
	munmap(map, SIZE);

	ASSERT_EQ(0, trace_start());
	map = map_file(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	EXPECT_REQUESTS(0, 1);
	pattern_fill(map, 0, PIECE, OTHER);
	EXPECT_EQ(0, read_pieces(self->fd, 0, PIECE, PIECE, OTHER));
	munmap(map, SIZE);
}

static int run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* Compaction begins with that; 0 or -1 */
static int empty_batches(void)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);
	int ret = write(fd, "1", 1) == 1 ? 0 : -1;

	close(fd);
	return ret;
}

/*
 * Rule: a page that was read a moment ago is in nobody's way: another processor may
 * have it in a batch for the LRU lists.
 * Wrong: it is taken for one that is held, and who shares the file is not shown the
 * window.
 * Right: one setup.
 * in-tree 7.3: passes.
 */
TEST_F(policy, small_file_read_elsewhere)
{
	char *map;
	int i;

	ASSERT_EQ(0, file_settle(self->fd));
	if (run_on(1))
		SKIP(return, "there is one processor");
	ASSERT_EQ(0, run_on(0));
	EXPECT_READ_ANEW(1);
	/* All batches are emptied; then some pages are to be activated */
	ASSERT_EQ(0, empty_batches());
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
	ASSERT_EQ(0, run_on(1));
	ASSERT_EQ(0, trace_start());
	map = map_file(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	EXPECT_REQUESTS(0, 1);
	munmap(map, SIZE);
}

/*
 * Rule: pages that have gone are fetched, and those that are there are not. Advice
 * makes them go, also if another processor has them in a batch for the LRU lists.
 * Wrong: one READ for each page, or for the caller alone; or none, as they stayed.
 * Right: one READ for the rest of the file.
 */
TEST_F(policy, small_file_in_part)
{
	char byte;

	ASSERT_EQ(0, file_settle(self->fd));
	if (run_on(1))
		SKIP(return, "one processor");
	ASSERT_EQ(0, run_on(0));
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
	ASSERT_EQ(0, run_on(1));
	ASSERT_EQ(0, posix_fadvise(self->fd, PIECE, SIZE, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ(0, read_pieces(self->fd, PIECE, SIZE, PIECE, SEED));
	EXPECT_REQUESTS(1, 0);
}

/*
 * Rule: a small file that was written to here is kept too when it is read.
 * Wrong: none is kept until somebody asks for its attributes.
 * Right: one READ, if there is no second between the reads, in which they expire.
 */
TEST_F(policy, small_file_after_write)
{
	int kept = 0, i;

	ASSERT_EQ(0, file_settle(self->fd));
	EXPECT_READ_ANEW(1);
	for (i = 0; i < 5 && !kept; i++) {
		ASSERT_EQ(0, file_write(self->fd, 0, 1, SEED));
		EXPECT_READ_ANEW(1);
		ASSERT_EQ(0, trace_start());
		EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
		ASSERT_EQ(0, trace_stop());
		kept = !trace_requests(OP_READ);
	}
	EXPECT_EQ(1, kept);
}

/*
 * Rule: a read sees what was written before it.
 * Wrong: a piece from before the write.
 * Right: the new data, written through memory, by the server, or by a store.
 */
TEST_F(policy, small_file_sees_pwrite)
{
	EXPECT_EQ(0, read_pieces(self->fd, 0, PIECE, PIECE, SEED));
	ASSERT_EQ(0, file_write(self->fd, 0, SIZE, OTHER));
	EXPECT_EQ(0, read_pieces(self->fd, PIECE, SIZE, PIECE, OTHER));
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, PIECE, OTHER));
	ASSERT_EQ(0, file_write(self->fd, 0, SIZE, SEED));
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
}

TEST_F(policy, small_file_sees_store)
{
	char *map = map_file(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, read_pieces(self->fd, 0, PIECE, PIECE, SEED));
	pattern_fill(map, 0, SIZE, OTHER);
	EXPECT_EQ(0, read_pieces(self->fd, PIECE, SIZE, PIECE, OTHER));
	munmap(map, SIZE);
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED));
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, PIECE, OTHER));
}

TEST_F(policy, small_file_sees_truncate)
{
	char buf[PIECE];
	size_t i;

	EXPECT_EQ(0, read_pieces(self->fd, 0, PIECE, PIECE, SEED));
	ASSERT_EQ(0, ftruncate(self->fd, PIECE));
	EXPECT_EQ(0, pread(self->fd, buf, PIECE, PIECE));
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_EQ(0, read_pieces(self->fd, 0, PIECE, PIECE, SEED));
	ASSERT_EQ(0, ftruncate(self->fd, PIECE));
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	ASSERT_EQ(PIECE, pread(self->fd, buf, PIECE, PIECE));
	for (i = 0; i < PIECE; i++)
		ASSERT_EQ(0, buf[i]);
}

TEST_F(policy, small_file_sees_punch)
{
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, 0, PIECE));
	EXPECT_EQ(0, file_is_zero(self->fd, 0, PIECE));
	EXPECT_EQ(0, read_pieces(self->fd, PIECE, SIZE, WHOLE, SEED));
}

/* By another mount of the server the file could be another one: by its times */
TEST_F(policy, small_file_sees_times)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	ASSERT_EQ(0, file_settle(self->fd));
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
	ASSERT_EQ(0, futimens(self->fd, times));
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, WHOLE, SEED));
	EXPECT_REQUESTS(1, 0);
}

/*
 * Rule: a write that the server has to do costs one request.
 * Wrong: it is asked for the size of the file before each.
 * Right: as many WRITEs as there are writes, and nothing else.
 * in-tree 7.3: setups.
 */
TEST_F(policy, write_by_request)
{
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, file_write(self->fd, i * PIECE, PIECE, OTHER));
	EXPECT_REQUESTS(0, 0);
	EXPECT_EQ(3, trace_requests(OP_WRITE));
	EXPECT_EQ(0, trace_requests(OP_GETATTR));
}

/*
 * Rule: who reads a header will map the file.
 * Wrong: a READ, and then a setup all the same.
 * Right: one setup serves both.
 */
TEST_F(policy, header_then_mmap)
{
	char *map;

	EXPECT_EQ(0, read_pieces(self->fd, 0, 832, 832, SEED));
	map = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, SEED));
	munmap(map, SIZE);
	EXPECT_REQUESTS(0, 1);
}

/*
 * Rule: a file that is too large to be cached whole is mapped when it is read in pieces.
 * Wrong: some READs first.
 * Right: one setup.
 */
TEST_F(policy, larger_file_in_pieces)
{
	int fd = file_make(&self->fs, "larger", LARGER, SEED);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, read_pieces(fd, 0, LARGER, PIECE, SEED));
	EXPECT_REQUESTS(0, 1);
	close(fd);
}

/*
 * Rule: who writes to a file that was mapped for reading gets the same memory.
 * Wrong: the mapping is removed, and the file is mapped again in pieces, of what
 * others have to give.
 * Right: one more setup in the same place, no remove.
 * in-tree 7.3: one setup for each 2 MiB that is written to.
 */
TEST_F(policy, write_after_read)
{
	int fd = file_make(&self->fs, "read", AHEAD, SEED);

	ASSERT_LE(0, fd);
	close(fd);
	fd = openat(self->fs.dirfd, "read", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, file_is_pattern(fd, 0, AHEAD, SEED));
	EXPECT_REQUESTS(0, 1);
	close(fd);

	fd = openat(self->fs.dirfd, "read", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, file_write(fd, 0, AHEAD, OTHER));
	EXPECT_REQUESTS(0, 1);
	EXPECT_EQ(0, trace_requests(OP_WRITE));
	EXPECT_EQ(0, trace_requests(OP_REMOVE));
	EXPECT_EQ(0, file_is_pattern(fd, 0, AHEAD, OTHER));
	close(fd);
}

/*
 * Rule: what will be needed is mapped before it is used.
 * Wrong: WILLNEED does nothing.
 * Right: one setup is sent, by the call or right after it; the use sends none.
 * in-tree 7.3: fails, the advice is ignored.
 */
TEST_F(policy, willneed)
{
	int fd = file_make(&self->fs, "ahead", AHEAD, SEED);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
	ASSERT_EQ(0, counter_wait(&self->fs, "mappings_live", 1));
	EXPECT_REQUESTS(0, 1);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, file_is_pattern(fd, 0, AHEAD, SEED));
	EXPECT_REQUESTS(0, 0);
	close(fd);
}

/*
 * Rule: what is not needed any more is given back, but not taken from others.
 * Wrong: the mapping stays; or somebody's page tables are zapped.
 * Right: none is live after the advice; with the file mapped, all stays.
 * in-tree 7.3: fails, the advice is ignored.
 */
TEST_F(policy, dontneed)
{
	int fd = file_make(&self->fs, "behind", AHEAD, SEED);
	char *map;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, AHEAD, SEED));
	map = map_file(fd, AHEAD, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	EXPECT_EQ(1, counter(&self->fs, "mappings_live"));
	munmap(map, AHEAD);
	/* A part of it */
	ASSERT_EQ(0, posix_fadvise(fd, 0, PIECE, POSIX_FADV_DONTNEED));
	EXPECT_EQ(1, counter(&self->fs, "mappings_live"));
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	EXPECT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
	EXPECT_EQ(0, file_is_pattern(fd, 0, AHEAD, SEED));
	close(fd);
}

/*
 * Rule: advice is checked as for any file.
 * Wrong: nonsense is accepted.
 * Right: EINVAL; ranges that overflow mean up to the end.
 */
TEST_F(policy, advice_checked)
{
	EXPECT_EQ(EINVAL, posix_fadvise(self->fd, 0, 0, 99));
	EXPECT_EQ(EINVAL, posix_fadvise(self->fd, 0, -1, POSIX_FADV_WILLNEED));
	EXPECT_EQ(0, posix_fadvise(self->fd, 4096, LONG_MAX, POSIX_FADV_WILLNEED));
	EXPECT_EQ(0, posix_fadvise(self->fd, LONG_MAX, LONG_MAX,
				   POSIX_FADV_DONTNEED));
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM));
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_NOREUSE));
	EXPECT_EQ(0, read_pieces(self->fd, 0, SIZE, PIECE, SEED));
}

TEST_HARNESS_MAIN
