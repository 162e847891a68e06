// SPDX-License-Identifier: GPL-2.0
/*
 * What one task may take from others while the window has nothing free.
 *
 * Files are holes, whose data is zero, so that many large ones cost nothing. They
 * are opened for reading where nothing is stored, so that no mapping asks for
 * space on the host.
 */
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define RW	(PROT_READ | PROT_WRITE)
#define SEED	67
#define MANY	256
/* Mappings in use that may go for one miss */
#define FEW	4
/* Nobody waits for so long, on any kernel */
#define LONG_MS	20000

FIXTURE(fair)
{
	struct dax_fs fs;
	long ranges;
	char *hot[MANY];
};

FIXTURE_SETUP(fair)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	self->ranges = window_ranges(&self->fs);
	if (self->ranges < 64 || self->ranges > MANY)
		SKIP(return, "the window has %ld ranges, not 64 to 256",
		     self->ranges);
}

FIXTURE_TEARDOWN(fair)
{
	long i;

	for (i = 0; i < MANY; i++)
		if (self->hot[i])
			munmap(self->hot[i], RANGE);
	FS_TEARDOWN(&self->fs);
}

/* A file of @size bytes that is a hole, open for reading */
static int hole(struct dax_fs *fs, const char *name, off_t size)
{
	int fd = openat(fs->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, size))
		return -1;
	close(fd);
	return openat(fs->dirfd, name, O_RDONLY | O_CLOEXEC);
}

/* Maps a file of one range for each that is free, and uses it */
static int heat(struct dax_fs *fs, long ranges, char **hot)
{
	char name[32];
	long i;
	int fd;

	for (i = 0; i < ranges && counter(fs, "ranges_free"); i++) {
		snprintf(name, sizeof(name), "hot%ld", i);
		fd = hole(fs, name, RANGE);
		if (fd < 0)
			return -1;
		hot[i] = map_file(fd, RANGE, PROT_READ, MAP_SHARED);
		close(fd);
		if (hot[i] == MAP_FAILED || touch_read(hot[i]) < 0)
			return -1;
	}
	for (i = 0; i < ranges && hot[i]; i++)
		if (touch_read(hot[i] + PAGE) < 0)
			return -1;
	return counter(fs, "ranges_free") ? -1 : 0;
}

/*
 * Rule: a miss takes little from others while the window has nothing free.
 * Wrong: it takes what it would take of an empty window, or nothing is gained
 * by what others have lost.
 * Right: one fault in a file of a quarter of the window, and each of four reads
 * of one page, take four mappings at the most; no read that falls back takes any.
 * in-tree 7.3: skipped; it has no counters.
 */
TEST_F_TIMEOUT(fair, fault_takes_few, 60)
{
	size_t size = self->ranges / 2 * RANGE;
	long reclaimed;
	char *map;
	int fd;

	fd = hole(&self->fs, "cold", size);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heat(&self->fs, self->ranges, self->hot));
	map = map_file(fd, size, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	reclaimed = counter(&self->fs, "reclaimed");
	EXPECT_EQ(0, touch_read(map));
	reclaimed = counter(&self->fs, "reclaimed") - reclaimed;
	TH_LOG("reclaimed=%ld for one fault", reclaimed);
	EXPECT_LE(1, reclaimed);
	EXPECT_GE(FEW, reclaimed);
	munmap(map, size);
	close(fd);
}

TEST_F_TIMEOUT(fair, read_takes_few, 60)
{
	size_t size = self->ranges / 2 * RANGE;
	long reclaimed, setups;
	char page[PAGE];
	int fd, i;

	fd = hole(&self->fs, "cold", size);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heat(&self->fs, self->ranges, self->hot));
	for (i = 0; i < 4; i++) {
		reclaimed = counter(&self->fs, "reclaimed");
		setups = counter(&self->fs, "setups");
		ASSERT_EQ(PAGE, pread(fd, page, PAGE, size / 2 + i * PAGE));
		reclaimed = counter(&self->fs, "reclaimed") - reclaimed;
		setups = counter(&self->fs, "setups") - setups;
		TH_LOG("read %d: reclaimed=%ld setups=%ld", i, reclaimed, setups);
		EXPECT_GE(FEW * setups, reclaimed);
	}
	close(fd);
}

/*
 * Rule: so does a scan of a large file, from its second miss on from itself.
 * Wrong: it drives out what is used all the time.
 * Right: three of four mappings that are used between any two reads stay.
 * in-tree 7.3: skipped; it has no counters.
 */
TEST_F_TIMEOUT(fair, scan_spares_others, 120)
{
	size_t size = self->ranges * RANGE, step = 256 * KiB, pos;
	char *buf = malloc(step);
	long setups, i, lost;
	int fd;

	fd = hole(&self->fs, "cold", size);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, heat(&self->fs, self->ranges, self->hot));
	for (pos = 0; pos < size; pos += step) {
		ASSERT_EQ(step, pread(fd, buf, step, pos));
		for (i = 0; pos % RANGE == 0 && i < self->ranges; i += 2)
			if (self->hot[i])
				touch_read(self->hot[i] + PAGE);
	}
	setups = counter(&self->fs, "setups");
	for (i = 0; i < self->ranges; i += 2)
		if (self->hot[i])
			touch_read(self->hot[i] + 2 * PAGE);
	lost = counter(&self->fs, "setups") - setups;
	TH_LOG("%ld of %ld hot mappings lost", lost, self->ranges / 2);
	EXPECT_GE(self->ranges / 2 / 4, lost);
	close(fd);
	free(buf);
}

/*
 * Rule: pinned pages stop nobody else.
 * Wrong: two of them, each in a mapping of half the window, keep all who fault
 * waiting until somebody reads the pipe.
 * Right: a fault of another process gets its data soon.
 * in-tree 7.3: skipped, it has no counters.
 */
TEST_F_TIMEOUT(fair, pins_stop_nobody, 60)
{
	size_t size = self->ranges * RANGE;
	int pipefd[2][2], fd, other, i;
	char *map, *small;
	long start;
	pid_t pid;

	ASSERT_EQ(0, drop_caches(2));
	ASSERT_EQ(0, counter_wait(&self->fs, "ranges_free", self->ranges));
	fd = hole(&self->fs, "pinned", size);
	other = hole(&self->fs, "other", 2 * RANGE);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	map = map_file(fd, size, PROT_READ, MAP_SHARED);
	small = map_file(other, 2 * RANGE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, small);
	for (i = 0; i < 2; i++) {
		char *half = map + i * size / 2;

		ASSERT_EQ(0, touch_read(half));
		ASSERT_EQ(0, pin_page(half + RANGE + PAGE, pipefd[i]));
	}
	ASSERT_EQ(0, counter(&self->fs, "ranges_free"));
	start = now_ms();
	pid = fork();
	if (!pid)
		_exit(touch_read(small) || touch_read(small + RANGE + PAGE));
	EXPECT_EQ(0, wait_within(pid, LONG_MS));
	TH_LOG("%ld ms, %ld waits", now_ms() - start,
	       counter(&self->fs, "waits"));
	kill_within(pid, 1000);
	for (i = 0; i < 2; i++) {
		close(pipefd[i][0]);
		close(pipefd[i][1]);
	}
	munmap(map, size);
	munmap(small, 2 * RANGE);
	close(fd);
	close(other);
}

FIXTURE(tight)
{
	struct dax_fs fs;
	int pipefd[2];
	char *pinned;
	int fd;
};

/* A window of 8 ranges, each with a page that is pinned, and a file */
#define TIGHT	8

FIXTURE_SETUP(tight)
{
	size_t size = TIGHT * RANGE, pos;
	struct iovec iov = { .iov_len = PAGE };
	int fd;

	self->pinned = MAP_FAILED;
	self->pipefd[0] = -1;
	self->pipefd[1] = -1;
	self->fd = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, TIGHT));
	self->fd = file_make(&self->fs, "file", 2 * RANGE, 5);
	ASSERT_LE(0, self->fd);
	fd = hole(&self->fs, "pinned", size);
	ASSERT_LE(0, fd);
	self->pinned = map_file(fd, size, PROT_READ, MAP_SHARED);
	close(fd);
	ASSERT_NE(MAP_FAILED, self->pinned);
	ASSERT_EQ(0, pipe(self->pipefd));
	for (pos = 0; pos < size; pos += RANGE) {
		iov.iov_base = self->pinned + pos + PAGE;
		ASSERT_EQ(PAGE, vmsplice(self->pipefd[1], &iov, 1, 0));
	}
}

FIXTURE_TEARDOWN(tight)
{
	if (self->pinned != MAP_FAILED)
		munmap(self->pinned, TIGHT * RANGE);
	close(self->pipefd[0]);
	close(self->pipefd[1]);
	close(self->fd);
	EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a read fault that gets no range is served all the same.
 * Wrong: it waits for as long as others have their pages pinned.
 * Right: the file's data, soon, and stores of others are not lost.
 * in-tree 7.3: fails, never returns.
 */
TEST_F_TIMEOUT(tight, read_fault_ends, 60)
{
	char *map = map_file(self->fd, 2 * RANGE, PROT_READ, MAP_SHARED);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	pid = fork();
	if (!pid)
		_exit(!!mem_is_pattern(map, 0, 64 * PAGE, 5));
	EXPECT_EQ(0, wait_within(pid, LONG_MS));
	kill_within(pid, 1000);
	munmap(map, 2 * RANGE);
}

/*
 * Rule: a file can be written from its own pages, whoever has pinned the window.
 * Wrong: the fault on the buffer waits for a range, and all who use the file wait
 * for the writer.
 * Right: it completes, in place and at the end, and the file has the data.
 * in-tree 7.3: fails, never returns.
 */
static void write_from_self(struct __test_metadata *_metadata, int fd,
			    int prot, off_t to)
{
	const size_t len = 16 * PAGE;
	char *map = map_file(fd, 2 * RANGE, prot, MAP_SHARED);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	pid = fork();
	if (!pid)
		_exit(pwrite(fd, map + RANGE, len, to) != len);
	EXPECT_EQ(0, wait_within(pid, LONG_MS));
	kill_within(pid, 1000);
	munmap(map, 2 * RANGE);
}

static int same_bytes(int fd, off_t a, off_t b, size_t len)
{
	char *one = malloc(len), *two = malloc(len);
	int ret = pread(fd, one, len, a) != len || pread(fd, two, len, b) != len ||
		  memcmp(one, two, len);

	free(one);
	free(two);
	return ret;
}

TEST_F_TIMEOUT(tight, write_from_own_pages, 120)
{
	write_from_self(_metadata, self->fd, PROT_READ, PAGE);
	EXPECT_EQ(0, same_bytes(self->fd, PAGE, RANGE, 16 * PAGE));
	write_from_self(_metadata, self->fd, PROT_READ, 2 * RANGE);
	EXPECT_EQ(0, same_bytes(self->fd, 2 * RANGE, RANGE, 16 * PAGE));
	write_from_self(_metadata, self->fd, RW, 100 * PAGE);
	EXPECT_EQ(0, same_bytes(self->fd, 100 * PAGE, RANGE, 16 * PAGE));
	/* Onto what it comes from, moved by half a page */
	write_from_self(_metadata, self->fd, PROT_READ, RANGE + PAGE / 2);
	EXPECT_EQ(0, file_is_pattern(self->fd, RANGE, PAGE / 2, 5));
}

/* Nobody else has any */
#define UNPIN(self) do {						\
	munmap((self)->pinned, TIGHT * RANGE);				\
	(self)->pinned = MAP_FAILED;					\
	close((self)->pipefd[0]);					\
	close((self)->pipefd[1]);					\
	(self)->pipefd[0] = -1;						\
	(self)->pipefd[1] = -1;						\
	unlinkat((self)->fs.dirfd, "pinned", 0);			\
} while (0)

/* A page of each of three files, which are mapped */
static int map_three(struct dax_fs *fs, size_t size, struct iovec iov[3])
{
	char name[32];
	int fd, i;

	for (i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "three%d", i);
		close(hole(fs, name, size));
		fd = openat(fs->dirfd, name, O_RDWR);
		if (fd < 0)
			return -1;
		iov[i].iov_base = map_file(fd, size, RW, MAP_SHARED);
		iov[i].iov_len = PAGE;
		close(fd);
		if (iov[i].iov_base == MAP_FAILED)
			return -1;
	}
	return 0;
}

/*
 * Rule: who pins pages of several mappings does not wait for his own pins.
 * Wrong: the third is waited for, while the first two fill the window.
 * Right: all three are pinned.
 * in-tree 7.3: fails, never returns.
 */
TEST_F_TIMEOUT(tight, own_pins_are_not_waited_for, 60)
{
	const size_t size = TIGHT / 2 * RANGE;
	struct iovec iov[3];
	int pipefd[2], i;
	pid_t pid;

	UNPIN(self);
	ASSERT_EQ(0, map_three(&self->fs, size, iov));
	ASSERT_EQ(0, pipe(pipefd));
	pid = fork();
	if (!pid)
		_exit(vmsplice(pipefd[1], iov, 3, 0) != 3 * PAGE);
	EXPECT_EQ(0, wait_within(pid, LONG_MS));
	kill_within(pid, 1000);
	close(pipefd[0]);
	close(pipefd[1]);
	for (i = 0; i < 3; i++)
		munmap(iov[i].iov_base, size);
}

/*
 * Rule: the same for a disk that is read to where the three are mapped.
 * Wrong: it waits for the pages that it has pinned, or takes them away and begins anew.
 * Right: all three pages have the disk's data.
 */
TEST_F_TIMEOUT(tight, direct_read_to_three_files, 60)
{
	const size_t size = TIGHT / 2 * RANGE;
	char want[3 * PAGE];
	struct iovec iov[3];
	int disk, i;
	pid_t pid;

	pattern_fill(want, 0, sizeof(want), SEED);
	disk = disk_open(want, sizeof(want));
	NEED(disk >= 0, "no loop device");
	UNPIN(self);
	ASSERT_EQ(0, map_three(&self->fs, size, iov));
	pid = fork();
	if (!pid)
		_exit(preadv(disk, iov, 3, 0) / PAGE);
	EXPECT_EQ(3, wait_within(pid, LONG_MS));
	kill_within(pid, 1000);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, memcmp(iov[i].iov_base, want + i * PAGE, PAGE));
		munmap(iov[i].iov_base, size);
	}
	close(disk);
}

TEST_HARNESS_MAIN
