// SPDX-License-Identifier: GPL-2.0
/*
 * A window that is much larger than the guest could have struct pages for: these come
 * by pieces of 128 MiB when files are mapped, and go when nothing is.
 *
 * Rule: a window of 64 GiB costs what is used of it.
 * Wrong: the guest does not boot, has less memory than what it maps makes necessary,
 * does not get that back, or reads what another file has.
 * Right: 2 MiB while no more than 128 MiB are mapped, 17 MiB for 1 GiB.
 * in-tree 7.3: a guest of 1 GiB panics when it finds the device.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define GiB		(1024 * MiB)
#define SEED		71
#define RW		(PROT_READ | PROT_WRITE)
#define PIECE		64
/* A piece goes when it has shown nothing for three looks, one each 10 s */
#define GONE_MS		60000
#define PROCS		16
#define STRESS_MS	(env_number("FUSE_DAX_PIECE_SECS", 20) * 1000)
/* Those that go on while the others rest, so that pieces show nothing for long enough */
#define REST_PROCS	4

FIXTURE(piece)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_SETUP(piece)
{
	self->fd = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED(counter(&self->fs, "ranges_ready") >= 0,
	     "the driver has all pages of the window");
	NEED(window_ranges(&self->fs) >= 2048, "the window is small");
	/* Nothing is mapped, and no more than a piece is there */
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
}

FIXTURE_TEARDOWN(piece)
{
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

static long meminfo_kib(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			kib = atol(line + strlen(name) + 1);
	if (file)
		fclose(file);
	return kib;
}

static long free_kib(void)
{
	drop_caches(3);
	sleep_ms(300);
	return meminfo_kib("MemFree");
}

/* A file of holes, as it is mapped where it is only read */
static int file_of_holes(struct dax_fs *fs, const char *name, off_t size)
{
	int fd = openat(fs->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd >= 0 && ftruncate(fd, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

/* A fault in each range; the longest took *@us */
static int touch_ranges(const char *map, size_t len, long *us)
{
	size_t pos;

	*us = 0;
	for (pos = 0; pos < len; pos += RANGE) {
		long start = now_us(), took;

		if (touch_read(map + pos))
			return -1;
		took = now_us() - start;
		*us = took > *us ? took : *us;
	}
	return 0;
}

static bool ready_within(struct dax_fs *fs, long ranges, long ms)
{
	long until = now_ms() + ms;

	while (counter(fs, "ranges_ready") > ranges) {
		if (now_ms() > until)
			return false;
		sleep_ms(500);
	}
	return true;
}

/* Until something is mapped there is one piece */
TEST_F(piece, idle)
{
	EXPECT_EQ(PIECE, counter(&self->fs, "ranges_ready"));
	EXPECT_EQ(PIECE * 512 * 64, counter(&self->fs, "memmap_bytes"));
	EXPECT_EQ(window_ranges(&self->fs), counter(&self->fs, "ranges_free"));
}

/*
 * Rule: 1 GiB of a file that is mapped takes its struct pages, and little more, and
 * no mapping has to go for another; a minute after the files have gone from the caches
 * that memory is free again.
 */
TEST_F_TIMEOUT(piece, grows_and_shrinks, 600)
{
	long before, used, back, us;
	char *map;

	close(file_of_holes(&self->fs, "file", GiB));
	self->fd = openat(self->fs.dirfd, "file", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	before = free_kib();
	map = map_file(self->fd, GiB, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, touch_ranges(map, GiB, &us));
	used = before - meminfo_kib("MemFree");
	TH_LOG("of %lu faults %ld waited, the longest took %ld us", GiB / RANGE,
	       counter(&self->fs, "waits"), us);
	TH_LOG("1 GiB mapped takes %ld KiB, memmap is %ld KiB", used,
	       counter(&self->fs, "memmap_bytes") / 1024);
	EXPECT_GE(17 * 1024, used);
	/* Other memory may have become free meanwhile */
	EXPECT_LE(16 * MiB, counter(&self->fs, "memmap_bytes"));
	EXPECT_LE(512, counter(&self->fs, "ranges_ready"));
	EXPECT_GE(9 * PIECE, counter(&self->fs, "ranges_ready"));
	EXPECT_EQ(0, counter(&self->fs, "reclaimed"));

	/* The same with pages that are there */
	EXPECT_EQ(0, munmap(map, GiB));
	close(self->fd);
	drop_caches(3);
	sleep_ms(1000);
	self->fd = openat(self->fs.dirfd, "file", O_RDONLY | O_CLOEXEC);
	map = map_file(self->fd, GiB, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, touch_ranges(map, GiB, &us));
	TH_LOG("with pages that are there the longest took %ld us", us);

	EXPECT_EQ(0, munmap(map, GiB));
	close(self->fd);
	self->fd = -1;
	drop_caches(3);
	EXPECT_TRUE(ready_within(&self->fs, PIECE, GONE_MS));
	back = free_kib();
	EXPECT_GE(1024, before - back);
}

/*
 * Rule: data is where it belongs, whatever piece shows it, also after these have gone
 * and come again.
 */
TEST_F_TIMEOUT(piece, contents, 600)
{
	size_t size = scaled(400 * MiB) / RANGE * RANGE;
	char *store;
	int i;

	self->fd = file_make(&self->fs, "file", size, SEED);
	ASSERT_LE(0, self->fd);
	for (i = 0; i < 2; i++) {
		char *map = map_file(self->fd, size, PROT_READ, MAP_SHARED);

		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(0, mem_is_pattern(map, 0, size, SEED));
		EXPECT_EQ(0, munmap(map, size));
		EXPECT_EQ(0, file_is_pattern(self->fd, 0, size, SEED));
		close(self->fd);
		drop_caches(3);
		EXPECT_TRUE(ready_within(&self->fs, 2 * PIECE, GONE_MS));
		self->fd = openat(self->fs.dirfd, "file", O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, self->fd);
	}
	store = map_file(self->fd, RANGE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, store);
	EXPECT_EQ(0, touch_write(store, 1));
	EXPECT_EQ(1, touch_read(store));
	EXPECT_EQ(0, munmap(store, RANGE));
}

/*
 * Rule: a piece of which somebody has pinned a page stays, and so does what is in the
 * page; the others go, as soon as if there were no such page.
 */
TEST_F_TIMEOUT(piece, pinned, 600)
{
	char page[PAGE], *map, *others;
	int pipefd[2], fd;
	long us;

	fd = file_of_holes(&self->fs, "others", 500 * MiB);
	ASSERT_LE(0, fd);
	others = map_file(fd, 500 * MiB, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, others);
	EXPECT_EQ(0, touch_ranges(others, 500 * MiB, &us));
	self->fd = file_make(&self->fs, "file", 4 * MiB, SEED);
	ASSERT_LE(0, self->fd);
	map = map_file(self->fd, 4 * MiB, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, 4 * MiB, SEED));
	ASSERT_EQ(0, pin_page(map + RANGE, pipefd));
	EXPECT_EQ(0, munmap(map, 4 * MiB));
	EXPECT_LE(4 * PIECE, counter(&self->fs, "ranges_ready"));

	EXPECT_EQ(0, munmap(others, 500 * MiB));
	close(fd);
	drop_caches(3);
	EXPECT_TRUE(ready_within(&self->fs, 2 * PIECE, GONE_MS));
	EXPECT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, mem_is_pattern(page, RANGE, PAGE, SEED));
	close(pipefd[0]);
	close(pipefd[1]);

	close(self->fd);
	self->fd = -1;
	drop_caches(3);
	EXPECT_TRUE(ready_within(&self->fs, PIECE, GONE_MS));
}

/* One word in each range of a process's own file says whose it is, and where */
static unsigned long stamp(unsigned int proc, size_t pos)
{
	return pos + proc + 1;
}

static int stress_make(struct dax_fs *fs, const char *name, unsigned int proc,
		       size_t size)
{
	int fd = file_of_holes(fs, name, size), err = fd < 0;
	size_t pos;

	for (pos = 0; pos < size && !err; pos += RANGE) {
		unsigned long word = stamp(proc, pos);

		err = pwrite(fd, &word, sizeof(word), pos) != sizeof(word);
	}
	close(fd);
	return err;
}

/* What all of the processes see */
enum { STRESS_WORK, STRESS_REST, STRESS_END };

static void stress_rest(unsigned int proc, const volatile int *phase)
{
	while (proc >= REST_PROCS && *phase == STRESS_REST)
		sleep_ms(100);
}

/*
 * Maps a file of its own, over and over, and looks at what it has written there; some
 * store it again
 */
static int stress_proc(struct dax_fs *fs, unsigned int proc,
		       const volatile int *phase)
{
	size_t size = (24 + 16 * proc) * MiB, pos;
	bool stores = proc % 8 == 1;
	char name[16];

	snprintf(name, sizeof(name), "own%u", proc);
	if (stress_make(fs, name, proc, size))
		return 1;
	while (*phase != STRESS_END) {
		int flags = (stores ? O_RDWR : O_RDONLY) | O_CLOEXEC;
		int fd = openat(fs->dirfd, name, flags), err = 0;
		char *map = map_file(fd, size, stores ? RW : PROT_READ,
				     MAP_SHARED);

		if (fd < 0 || map == MAP_FAILED)
			return 2;
		for (pos = 0; pos < size && !err; pos += RANGE) {
			volatile unsigned long *word = (void *)(map + pos);

			err = *word != stamp(proc, pos);
			if (stores && !err)
				*word = stamp(proc, pos);
		}
		munmap(map, size);
		close(fd);
		if (err)
			return 3;
		stress_rest(proc, phase);
		if (proc % 2)
			sleep_ms(proc * 20);
	}
	return 0;
}

/* Takes most of the memory and gives it back, so that reclaim looks for some */
static void press(void)
{
	size_t size = meminfo_kib("MemAvailable") * 1024 * 9 / 10;
	char *mem = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return;
	memset(mem, 1, size);
	munmap(mem, size);
}

/* One in this many rounds memory is short, and in another nothing is cached */
#define ROUNDS		20

/*
 * Memory is short at times, and files leave the caches, until so much time has gone,
 * or so few ranges are ready. Returns how many are.
 */
static long stress_until(struct dax_fs *fs, long ms, long few)
{
	long until = now_ms() + ms, ready = LONG_MAX, rounds;

	for (rounds = 0; now_ms() < until && ready > few; rounds++) {
		if (rounds % ROUNDS == ROUNDS - 1)
			press();
		if (rounds % ROUNDS == ROUNDS / 2)
			drop_caches(2);
		sleep_ms(100);
		ready = counter(fs, "ranges_ready");
	}
	return ready;
}

/*
 * Rule: pieces come and go while processes map files, files leave the caches and
 * memory is short, and each process finds what it has stored.
 */
TEST_F_TIMEOUT(piece, stress, 600)
{
	volatile int *phase = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long many, few, again;
	pid_t pids[PROCS];
	unsigned int i;

	ASSERT_NE(MAP_FAILED, phase);
	for (i = 0; i < PROCS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(stress_proc(&self->fs, i, phase));
	}
	many = stress_until(&self->fs, STRESS_MS / 2, 0);
	*phase = STRESS_REST;
	few = stress_until(&self->fs, GONE_MS, many - PIECE);
	*phase = STRESS_WORK;
	again = stress_until(&self->fs, STRESS_MS / 2, 0);
	*phase = STRESS_END;
	for (i = 0; i < PROCS; i++)
		EXPECT_EQ(0, wait_within(pids[i], 60000));
	TH_LOG("%ld ranges were ready, then %ld, then %ld", many, few, again);
	EXPECT_LT(2 * PIECE, many);
	EXPECT_GE(many - PIECE, few);
}

TEST_HARNESS_MAIN
