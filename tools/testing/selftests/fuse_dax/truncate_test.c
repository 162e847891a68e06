// SPDX-License-Identifier: GPL-2.0
/*
 * Truncate, fallocate and copy_file_range on DAX files of a virtiofs mount,
 * with live mappings.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define OLD	41
#define NEW	42
#define SIZE	(8 * MiB)
#define RW	(PROT_READ | PROT_WRITE)
#define RACE_MS		1000

FIXTURE(truncate)
{
	struct dax_fs fs;
	char *map;
	int fd;
};

FIXTURE_SETUP(truncate)
{
	FS_SETUP(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	touch_pages(self->map, SIZE);
}

FIXTURE_TEARDOWN(truncate)
{
	munmap(self->map, SIZE);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a smaller file has no pages beyond its new end.
 * Wrong: old data stays reachable, or the data before is lost.
 * Right: SIGBUS beyond, the data before, zeros in the rest of the last page.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, down)
{
	const size_t size = 3 * MiB + 100, end = 3 * MiB + PAGE;
	char c;

	ASSERT_EQ(0, ftruncate(self->fd, size));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, size, OLD));
	EXPECT_EQ(0, mem_is_zero(self->map + size, end - size));
	EXPECT_EQ(-1, touch_read(self->map + end));
	EXPECT_EQ(-1, touch_write(self->map + end, 1));
	EXPECT_EQ(-1, touch_read(self->map + SIZE - 1));
	EXPECT_EQ(0, pread(self->fd, &c, 1, size));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, size, OLD));
}

/*
 * Rule: what was cut off does not come back.
 * Wrong: old bytes after the file grew again, above all in the last page.
 * Right: zeros, by read() and by mmap.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, down_and_up)
{
	const size_t size = 3 * MiB + 100;

	ASSERT_EQ(0, ftruncate(self->fd, size));
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, size, OLD));
	EXPECT_EQ(0, mem_is_zero(self->map + size, SIZE - size));
	EXPECT_EQ(0, file_is_zero(self->fd, size, SIZE - size));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, size, OLD));
}

/*
 * Rule: a larger file has new pages, in mappings that were there too.
 * Wrong: SIGBUS, or what the window held.
 * Right: zeros that can be written.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, up)
{
	char *map;

	map = map_file(self->fd, 2 * SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(-1, touch_read(map + SIZE));
	ASSERT_EQ(0, ftruncate(self->fd, SIZE + 3 * MiB));
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, OLD));
	EXPECT_EQ(0, mem_is_zero(map + SIZE, 3 * MiB));
	EXPECT_EQ(-1, touch_read(map + SIZE + 3 * MiB));
	pattern_fill(map + SIZE, SIZE, MiB, NEW);
	EXPECT_EQ(0, file_is_pattern(self->fd, SIZE, MiB, NEW));
	munmap(map, 2 * SIZE);
}

/*
 * Rule: open(O_TRUNC) empties a file that is mapped.
 * Wrong: old data in the mapping, or a hang.
 * Right: size 0 and SIGBUS; then the new data.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, o_trunc)
{
	struct stat st;
	int fd;

	fd = openat(self->fs.dirfd, "file", O_RDWR | O_TRUNC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(-1, touch_read(self->map));
	EXPECT_EQ(-1, touch_write(self->map + RANGE, 1));
	ASSERT_EQ(0, file_write(fd, 0, 5 * MiB, NEW));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, 5 * MiB, NEW));
	EXPECT_EQ(-1, touch_read(self->map + 5 * MiB));
	close(fd);
}

/*
 * Rule: truncate takes the pages beyond the new end and no others.
 * Wrong: all mappings of the file lose all their pages and fault again.
 * Right: no fault in the part that stays.
 * in-tree 7.3: fails, it breaks the layout of the whole file.
 */
TEST_F(truncate, keeps_other_pages)
{
	long before;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, ftruncate(self->fd, SIZE - PAGE));
	before = faults();
	touch_pages(self->map, SIZE - RANGE);
	EXPECT_GE(1, faults() - before);
}

/*
 * Rule: punching a hole takes the pages of the hole and no others.
 * Wrong: all mappings of the file lose all their pages.
 * Right: no fault outside the range.
 * in-tree 7.3: fails, it breaks the layout of the whole file.
 */
TEST_F(truncate, punch_keeps_other_pages)
{
	long before;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, fallocate(self->fd,
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       3 * RANGE, PAGE));
	before = faults();
	touch_pages(self->map, 3 * RANGE);
	EXPECT_GE(1, faults() - before);
}

/*
 * Rule: a mapping goes on to work where truncate did not touch it.
 * Wrong: stores after the truncate go to pages the file no longer has.
 * Right: stores reach the file.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, stores_after_down)
{
	ASSERT_EQ(0, ftruncate(self->fd, 5 * MiB));
	pattern_fill(self->map + 1000, 1000, 4 * MiB, NEW);
	EXPECT_EQ(0, file_is_pattern(self->fd, 1000, 4 * MiB, NEW));
	drop_caches(3);
	EXPECT_EQ(0, file_is_pattern(self->fd, 1000, 4 * MiB, NEW));
}

/*
 * Rule: truncate drops private copies beyond the end as well.
 * Wrong: they stay reachable.
 * Right: SIGBUS; copies before the end stay.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, private_copies)
{
	char *priv;

	priv = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, priv);
	ASSERT_EQ(0, touch_write(priv + PAGE, 0x99));
	ASSERT_EQ(0, touch_write(priv + 6 * MiB, 0x99));
	ASSERT_EQ(0, ftruncate(self->fd, 4 * MiB));
	EXPECT_EQ(0x99, touch_read(priv + PAGE));
	EXPECT_EQ(-1, touch_read(priv + 6 * MiB));
	munmap(priv, SIZE);
}

static int allocate(int fd, int mode, off_t pos, off_t len)
{
	return fallocate(fd, mode, pos, len) ? -errno : 0;
}

/*
 * Rule: fallocate() beyond EOF makes the file larger, or not with KEEP_SIZE.
 * Wrong: a wrong size, lost data, or mappings that miss the new part.
 * Right: the size, zeros in the new part.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, fallocate_extends)
{
	struct stat st;
	int ret;

	ret = allocate(self->fd, FALLOC_FL_KEEP_SIZE, SIZE - MiB, 3 * MiB);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the server has no fallocate");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE, st.st_size);
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	ASSERT_EQ(0, allocate(self->fd, 0, SIZE - MiB, 3 * MiB));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE + 2 * MiB, st.st_size);
	EXPECT_EQ(0, file_is_zero(self->fd, SIZE, 2 * MiB));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

/*
 * Rule: a hole shows as zeros in mappings that had its pages.
 * Wrong: old data, or stores into the hole that are lost.
 * Right: zeros inside, the data outside, also at unaligned ends; stores into
 * the hole reach the file; the size stays.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, punch_hole)
{
	const off_t from = RANGE - 1000, len = 2 * MiB + 3000;
	int ret;

	ret = allocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       from, len);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the server cannot punch holes");
	ASSERT_EQ(0, ret);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, from, OLD));
	EXPECT_EQ(0, mem_is_zero(self->map + from, len));
	EXPECT_EQ(0, mem_is_pattern(self->map + from + len, from + len,
				    SIZE - from - len, OLD));
	pattern_fill(self->map + RANGE + 5 * PAGE, RANGE + 5 * PAGE, PAGE, NEW);
	EXPECT_EQ(0, file_is_pattern(self->fd, RANGE + 5 * PAGE, PAGE, NEW));
	EXPECT_EQ(0, file_is_zero(self->fd, RANGE + 6 * PAGE, PAGE));
	drop_caches(3);
	EXPECT_EQ(0, file_is_pattern(self->fd, RANGE + 5 * PAGE, PAGE, NEW));
}

/*
 * Rule: a hole does not take private copies.
 * Wrong: the process loses what it stored for itself.
 * Right: the copy stays, an untouched page shows the hole.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, punch_keeps_private_copies)
{
	char *priv;
	int ret;

	priv = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, priv);
	ASSERT_EQ(0, touch_write(priv + RANGE, 0x99));
	ret = allocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       RANGE, RANGE);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the server cannot punch holes");
	ASSERT_EQ(0, ret);
	EXPECT_EQ(0x99, touch_read(priv + RANGE));
	EXPECT_EQ(0, mem_is_zero(priv + RANGE + PAGE, PAGE));
	munmap(priv, SIZE);
}

/*
 * Rule: MADV_REMOVE is a hole, too.
 * Wrong: old data, or an error where fallocate works.
 * Right: zeros.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, madvise_remove)
{
	if (madvise(self->map + RANGE, PAGE, MADV_REMOVE)) {
		ASSERT_EQ(EOPNOTSUPP, errno);
		SKIP(return, "the server cannot punch holes");
	}
	EXPECT_EQ(0, mem_is_zero(self->map + RANGE, PAGE));
	EXPECT_EQ(0, mem_is_pattern(self->map + RANGE + PAGE, RANGE + PAGE,
				    RANGE, OLD));
}

/*
 * Rule: ZERO_RANGE, where the server has it, zeroes under live mappings.
 * Wrong: old data in the mapping.
 * Right: zeros inside, data outside.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, zero_range)
{
	int ret;

	ret = allocate(self->fd, FALLOC_FL_ZERO_RANGE, MiB + 10, 3 * MiB);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the server has no FALLOC_FL_ZERO_RANGE");
	ASSERT_EQ(0, ret);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, MiB + 10, OLD));
	EXPECT_EQ(0, mem_is_zero(self->map + MiB + 10, 3 * MiB));
	EXPECT_EQ(0, mem_is_pattern(self->map + 4 * MiB + 10, 4 * MiB + 10,
				    MiB, OLD));
}

/*
 * Rule: modes that FUSE cannot do are refused and change nothing.
 * Wrong: data moved on one side only.
 * Right: EOPNOTSUPP, and the data as before.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, unsupported_modes)
{
	NEED_DAX(&self->fs);
	EXPECT_EQ(-EOPNOTSUPP, allocate(self->fd, FALLOC_FL_COLLAPSE_RANGE,
					0, RANGE));
	EXPECT_EQ(-EOPNOTSUPP, allocate(self->fd, FALLOC_FL_INSERT_RANGE,
					0, RANGE));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

/*
 * Rule: copy_file_range() sees stores to its source and shows in mappings of
 * its destination.
 * Wrong: old source data; a destination mapping that shows the old bytes, or
 * loses stores around the copied part.
 * Right: the copy on all ways, and the neighbours as they were.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, copy_file_range)
{
	const size_t len = 3 * MiB + 50;
	loff_t from = 1000, to = RANGE + 77;
	size_t left = len;
	char *map;
	ssize_t n;
	int fd;

	fd = file_make(&self->fs, "copy", SIZE, NEW);
	ASSERT_LE(0, fd);
	map = map_file(fd, 2 * SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	touch_pages(map, SIZE);
	map[to - 1] = 0x42;
	self->map[from] = 0x43;
	while (left) {
		n = copy_file_range(self->fd, &from, fd, &to, left, 0);
		ASSERT_LT(0, n);
		left -= n;
	}
	EXPECT_EQ(0x42, touch_read(map + RANGE + 76));
	EXPECT_EQ(0x43, touch_read(map + RANGE + 77));
	EXPECT_EQ(0, mem_is_pattern(map + RANGE + 78, 1001, len - 1, OLD));
	EXPECT_EQ(0, mem_is_pattern(map + RANGE + 77 + len, RANGE + 77 + len,
				    MiB, NEW));
	EXPECT_EQ(0, mem_is_pattern(map, 0, RANGE + 76, NEW));
	munmap(map, 2 * SIZE);
	close(fd);
}

/*
 * Rule: copy_file_range() beyond EOF makes the destination larger.
 * Wrong: a wrong size, or a mapping that misses the new part.
 * Right: the size and the data.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, copy_file_range_extends)
{
	loff_t from = 0, to = SIZE - MiB;
	size_t left = 3 * MiB;
	struct stat st;
	char *map;
	ssize_t n;

	map = map_file(self->fd, 2 * SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(-1, touch_read(map + SIZE));
	while (left) {
		n = copy_file_range(self->fd, &from, self->fd, &to, left, 0);
		ASSERT_LT(0, n);
		left -= n;
	}
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE + 2 * MiB, st.st_size);
	EXPECT_EQ(0, mem_is_pattern(map + SIZE - MiB, 0, 3 * MiB, OLD));
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE - MiB, OLD));
	munmap(map, 2 * SIZE);
}

/* Truncates to nothing in a task of its own, whose status is 0 if it could. */
static pid_t go_truncate(int fd)
{
	pid_t pid = fork();

	if (!pid)
		_exit(ftruncate(fd, 0) ? 1 : 0);
	return pid;
}

/*
 * Rule: truncate waits for pages that are pinned, and for no longer.
 * Wrong: it frees memory that is in use, or never returns.
 * Right: while a page sits in a pipe the data in the pipe stays; truncate
 * ends once the pipe is read.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, waits_for_pinned_page)
{
	char page[PAGE];
	int pipefd[2];
	pid_t pid;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, pin_page(self->map + RANGE, pipefd));
	pid = go_truncate(self->fd);
	EXPECT_EQ(-1, wait_within(pid, 500));
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, mem_is_pattern(page, RANGE, PAGE, OLD));
	EXPECT_EQ(0, wait_within(pid, 5000));
	EXPECT_EQ(-1, touch_read(self->map + RANGE));
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * Rule: so it does if somebody touches the page while it is waited for.
 * Wrong: the page is mapped again then, nobody wakes truncate when it is
 * unpinned, and it never returns.
 * Right: it ends once the pipe is read.
 * in-tree 7.3: never returns.
 */
TEST_F(truncate, waits_for_pinned_page_in_use)
{
	char page[PAGE];
	int pipefd[2];
	pid_t pid;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, pin_page(self->map + RANGE, pipefd));
	pid = go_truncate(self->fd);
	EXPECT_EQ(-1, wait_within(pid, 300));
	EXPECT_NE(-1, touch_read(self->map + RANGE));
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, wait_within(pid, 5000)) {
		kill_within(pid, 1000);
	}
	EXPECT_EQ(-1, touch_read(self->map + RANGE));
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * Rule: a task that waits in truncate for a pinned page can be killed.
 * Wrong: it stays until the page is released.
 * Right: gone within a second of SIGKILL; the file works on.
 * in-tree 7.3: passes.
 */
TEST_F(truncate, wait_is_killable)
{
	char page[PAGE];
	int pipefd[2];
	pid_t pid;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, pin_page(self->map + RANGE, pipefd));
	pid = go_truncate(self->fd);
	sleep_ms(200);
	EXPECT_TRUE(kill_within(pid, 1000));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, ftruncate(self->fd, 0));
	close(pipefd[0]);
	close(pipefd[1]);
}

/* Races: threads use the file while its size or its holes change. */

enum use { USE_LOAD, USE_STORE, USE_READ, USE_WRITE };

struct racer {
	pthread_t thread;
	enum use use;
	char *map;
	int fd;
	bool *stop;
	long rounds;
	long bad;
	int error;
};

static __thread sigjmp_buf race_escape;
static __thread bool race_guarded;

static void race_sigbus(int sig)
{
	if (!race_guarded)
		abort();
	siglongjmp(race_escape, 1);
}

/* Each byte is the pattern's, or zero as it was cut off. */
static bool word_is_sane(const char *p, off_t pos)
{
	char is[8], should[8];
	int i;

	memcpy(is, p, 8);
	pattern_fill(should, pos, 8, OLD);
	for (i = 0; i < 8; i++)
		if (is[i] && is[i] != should[i])
			return false;
	return true;
}

static void race_memory(struct racer *r, off_t pos)
{
	race_guarded = true;
	if (!sigsetjmp(race_escape, 1)) {
		if (r->use == USE_STORE)
			pattern_fill(r->map + pos, pos, 8, OLD);
		else if (!word_is_sane(r->map + pos, pos))
			r->bad++;
	}
	race_guarded = false;
}

static void race_call(struct racer *r, off_t pos, char *buf)
{
	ssize_t n;

	if (r->use == USE_WRITE) {
		pattern_fill(buf, pos, PAGE, OLD);
		n = pwrite(r->fd, buf, PAGE, pos);
		if (n != PAGE)
			r->error = n < 0 ? errno : -1;
		return;
	}
	n = pread(r->fd, buf, PAGE, pos);
	if (n < 0)
		r->error = errno;
	if (n >= 8 && !word_is_sane(buf, pos))
		r->bad++;
}

static void *race(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	struct racer *r = arg;
	char buf[PAGE];

	while (!__atomic_load_n(r->stop, __ATOMIC_RELAXED) && !r->error) {
		off_t pos = (rand_r(&seed) % (SIZE / PAGE)) * PAGE;

		if (r->use == USE_LOAD || r->use == USE_STORE)
			race_memory(r, pos);
		else
			race_call(r, pos, buf);
		r->rounds++;
	}
	return NULL;
}

FIXTURE(race)
{
	struct dax_fs fs;
	struct racer racers[4];
	bool stop;
	char *map;
	int fd;
};

FIXTURE_VARIANT(race)
{
	enum use uses[4];
};

FIXTURE_VARIANT_ADD(race, loads) {
	.uses = { USE_LOAD, USE_LOAD, USE_LOAD, USE_LOAD },
};
FIXTURE_VARIANT_ADD(race, stores) {
	.uses = { USE_STORE, USE_STORE, USE_LOAD, USE_READ },
};
FIXTURE_VARIANT_ADD(race, reads) {
	.uses = { USE_READ, USE_READ, USE_READ, USE_LOAD },
};
FIXTURE_VARIANT_ADD(race, writes) {
	.uses = { USE_WRITE, USE_WRITE, USE_READ, USE_LOAD },
};

FIXTURE_SETUP(race)
{
	struct sigaction action = {
		.sa_handler = race_sigbus,
		.sa_flags = SA_NODEFER,
	};
	int i;

	FS_SETUP(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	sigaction(SIGBUS, &action, NULL);
	for (i = 0; i < 4; i++) {
		self->racers[i].use = variant->uses[i];
		self->racers[i].fd = self->fd;
		self->racers[i].map = self->map;
		self->racers[i].stop = &self->stop;
		ASSERT_EQ(0, pthread_create(&self->racers[i].thread, NULL,
					    race, &self->racers[i]));
	}
}

FIXTURE_TEARDOWN(race)
{
	int i;

	__atomic_store_n(&self->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++) {
		pthread_join(self->racers[i].thread, NULL);
		EXPECT_EQ(0, self->racers[i].bad);
		EXPECT_EQ(0, self->racers[i].error);
		EXPECT_LT(0, self->racers[i].rounds);
	}
	munmap(self->map, SIZE);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: truncate and use of a file at the same time are safe.
 * Wrong: EIO (a write whose file shrank under it), a warning of the kernel,
 * bytes that were never in the file, a hang.
 * Right: each access sees the file's bytes, zeros, EOF or SIGBUS.
 * in-tree 7.3: passes (a warning and EIO are possible by its code).
 */
TEST_F(race, truncate)
{
	long until = now_ms() + RACE_MS;
	unsigned int seed = 1;

	while (now_ms() < until) {
		EXPECT_EQ(0, ftruncate(self->fd, rand_r(&seed) % SIZE));
		EXPECT_EQ(0, ftruncate(self->fd, SIZE));
	}
}

/* Allocate by one mode at many places; -EOPNOTSUPP if the server cannot. */
static int allocate_on(int fd, int mode)
{
	long until = now_ms() + RACE_MS;
	unsigned int seed = 2;
	int ret = 0;

	while (now_ms() < until && !ret)
		ret = allocate(fd, mode | FALLOC_FL_KEEP_SIZE,
			       rand_r(&seed) % (SIZE - MiB) & -PAGE, MiB);
	return ret;
}

/*
 * Rule: holes and use of a file at the same time are safe.
 * Wrong, right: as above, without EOF and SIGBUS.
 * in-tree 7.3: passes.
 */
TEST_F(race, punch_hole)
{
	int ret = allocate_on(self->fd, FALLOC_FL_PUNCH_HOLE);

	if (ret == -EOPNOTSUPP)
		SKIP(return, "the server cannot punch holes");
	EXPECT_EQ(0, ret);
}

/*
 * Rule: zeroing and use of a file at the same time are safe.
 * Wrong, right: as with holes.
 * in-tree 7.3: passes.
 */
TEST_F(race, zero_range)
{
	int ret = allocate_on(self->fd, FALLOC_FL_ZERO_RANGE);

	if (ret == -EOPNOTSUPP)
		SKIP(return, "the server cannot zero ranges");
	EXPECT_EQ(0, ret);
}

/*
 * Rule: to allocate what is allocated changes nothing under who uses it.
 * Wrong: zeros, or any other byte that was never in the file.
 * Right: the file as it was, at the end as well.
 * in-tree 7.3: passes.
 */
TEST_F(race, allocate)
{
	ASSERT_EQ(0, allocate_on(self->fd, 0));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
}

/*
 * Rule: a copy into a file is safe for those who use it.
 * Wrong: zeros or old window contents while the server copies; a store of the
 * same bytes lost; a warning of the kernel.
 * Right: the copy has the same bytes, so that nobody sees others; also at the
 * end.
 * in-tree 7.3: passes, with a warning if it is the first in a boot.
 */
TEST_F(race, copy_file_range)
{
	long until = now_ms() + RACE_MS;
	unsigned int seed = 3;
	off_t from, to;
	int fd;

	fd = file_make(&self->fs, "source", SIZE, OLD);
	ASSERT_LE(0, fd);
	while (now_ms() < until) {
		from = rand_r(&seed) % (SIZE - MiB);
		to = from;
		EXPECT_LT(0, copy_file_range(fd, &from, self->fd, &to, MiB, 0));
	}
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	close(fd);
}

TEST_HARNESS_MAIN
