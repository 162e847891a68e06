// SPDX-License-Identifier: GPL-2.0
/*
 * Times of DAX files in a guest whose clock is not the server's.
 *
 * The guest's clock is set back or forward for the time of a test.
 *
 * Rule: mtime and ctime are the server's, never go back, and are those of a
 * moment after the change: who compares two files sees which was changed last.
 */
#include <time.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <linux/falloc.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define OLD		81
#define NEW		82
#define SIZE		(4 * MiB)
#define RW		(PROT_READ | PROT_WRITE)
#define LONG_AGO	1000000000
/* More than a tick of any clock */
#define TICK_MS		20
#define STRANGER	1234

/* The clock, and how to set it right again */
struct shift {
	struct timespec mono;
	struct timespec real;
};

static int shift_begin(struct shift *shift, long seconds)
{
	struct timespec real;

	clock_gettime(CLOCK_MONOTONIC, &shift->mono);
	clock_gettime(CLOCK_REALTIME, &shift->real);
	real = shift->real;
	real.tv_sec += seconds;
	return clock_settime(CLOCK_REALTIME, &real);
}

static int shift_end(const struct shift *shift)
{
	struct timespec real = shift->real, mono;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	real.tv_sec += mono.tv_sec - shift->mono.tv_sec;
	real.tv_nsec += mono.tv_nsec - shift->mono.tv_nsec;
	if (real.tv_nsec < 0) {
		real.tv_sec--;
		real.tv_nsec += 1000000000;
	} else if (real.tv_nsec >= 1000000000) {
		real.tv_sec++;
		real.tv_nsec -= 1000000000;
	}
	return clock_settime(CLOCK_REALTIME, &real);
}

/* As memcmp(): of two times */
static int compare(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

FIXTURE(clock)
{
	struct dax_fs fs;
	struct shift shift;
	bool shifted;
	int probe;
	int fd;
	char *map;
};

FIXTURE_VARIANT(clock)
{
	long seconds;
};

FIXTURE_VARIANT_ADD(clock, right) { .seconds = 0 };
FIXTURE_VARIANT_ADD(clock, behind_1h) { .seconds = -3600 };
FIXTURE_VARIANT_ADD(clock, behind_2s) { .seconds = -2 };
FIXTURE_VARIANT_ADD(clock, ahead_1h) { .seconds = 3600 };

FIXTURE_SETUP(clock)
{
	self->fd = -1;
	self->probe = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->probe = file_make(&self->fs, "probe", 1, OLD);
	ASSERT_LE(0, self->probe);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	/* The file is mapped, by clean entries */
	touch_pages(self->map, SIZE);
	ASSERT_EQ(0, shift_begin(&self->shift, variant->seconds));
	self->shifted = true;
	sleep_ms(TICK_MS);
}

static void leave_file(FIXTURE_DATA(clock) *self)
{
	if (self->map)
		munmap(self->map, SIZE);
	self->map = NULL;
	if (self->fd >= 0)
		close(self->fd);
	self->fd = -1;
}

FIXTURE_TEARDOWN(clock)
{
	if (self->shifted)
		EXPECT_EQ(0, shift_end(&self->shift));
	leave_file(self);
	close(self->probe);
	FS_TEARDOWN(&self->fs);
}

/* What the server's clock says; 0 or -1 */
static int server_time(FIXTURE_DATA(clock) *self, struct timespec *now)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_nsec = UTIME_NOW } };
	struct stat st;

	if (futimens(self->probe, times) || fstat(self->probe, &st))
		return -1;
	*now = st.st_mtim;
	return 0;
}

/* Leave nothing in the guest, then ask the server; 0 or -1 */
static int stat_on_server(FIXTURE_DATA(clock) *self, struct stat *st)
{
	leave_file(self);
	if (drop_caches(2))
		return -1;
	return fstatat(self->fs.dirfd, "file", st, 0);
}

static int set_old_times(int fd)
{
	struct timespec times[2] = { { .tv_sec = LONG_AGO },
				     { .tv_sec = LONG_AGO } };

	return futimens(fd, times);
}

enum change {
	BY_WRITE, BY_STORE, BY_APPEND, BY_STORE_AGAIN, BY_PUNCH, BY_WRITE_AGAIN,
	BY_GROWTH, BY_STORE_ELSEWHERE, BY_ALLOCATION, NR_CHANGES,
};

static int change(FIXTURE_DATA(clock) *self, enum change how)
{
	struct stat st;

	switch (how) {
	case BY_WRITE:
	case BY_WRITE_AGAIN:
		return file_write(self->fd, 100, 100, NEW);
	case BY_STORE:
	case BY_STORE_AGAIN:
		return touch_write(self->map + 100, 1);
	case BY_STORE_ELSEWHERE:
		return touch_write(self->map + 3 * MiB, 1);
	case BY_APPEND:
		if (fstat(self->fd, &st))
			return -1;
		return file_write(self->fd, st.st_size, 100, NEW);
	case BY_PUNCH:
		return fallocate(self->fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, MiB, MiB);
	case BY_GROWTH:
		return ftruncate(self->fd, SIZE + PAGE);
	case BY_ALLOCATION:
		return fallocate(self->fd, 0, SIZE, MiB);
	default:
		return -1;
	}
}

static void changed_between(struct __test_metadata *_metadata,
			    FIXTURE_DATA(clock) *self, enum change how)
{
	struct timespec before, after;
	struct stat st, later;

	ASSERT_EQ(0, server_time(self, &before));
	ASSERT_EQ(0, change(self, how));
	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, server_time(self, &after));
	EXPECT_LE(0, compare(&st.st_mtim, &before));
	EXPECT_LE(0, compare(&st.st_ctim, &before));
	EXPECT_GE(0, compare(&st.st_mtim, &after));
	EXPECT_GE(0, compare(&st.st_ctim, &after));
	sleep_ms(TICK_MS);
	ASSERT_EQ(0, stat_on_server(self, &later));
	/* To tell it once more would be another change */
	EXPECT_EQ(0, compare(&st.st_mtim, &later.st_mtim));
	EXPECT_EQ(0, compare(&st.st_ctim, &later.st_ctim));
}

/*
 * Rule: the time of a write in place, of a store, is one of the server's, at the
 * next fstat(), and stays.
 * Wrong: the guest's: an hour before, so that make, rsync and backups miss it.
 * Right: between what the server's clock says before and after.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(clock, write_has_servers_time)
{
	changed_between(_metadata, self, BY_WRITE);
}

TEST_F(clock, store_has_servers_time)
{
	changed_between(_metadata, self, BY_STORE);
}

/*
 * Rule: the same where nobody asks before munmap() and close().
 * Wrong: the time of the guest is sent.
 * Right: a time of the server's.
 * in-tree 7.3: passes, the host sees its dirty pages.
 */
TEST_F(clock, servers_time_after_close)
{
	struct timespec before, after;
	struct stat st;

	ASSERT_EQ(0, server_time(self, &before));
	ASSERT_EQ(0, change(self, BY_STORE));
	ASSERT_EQ(0, change(self, BY_WRITE));
	ASSERT_EQ(0, stat_on_server(self, &st));
	ASSERT_EQ(0, server_time(self, &after));
	EXPECT_LE(0, compare(&st.st_mtim, &before));
	EXPECT_GE(0, compare(&st.st_mtim, &after));
	EXPECT_GE(0, compare(&st.st_ctim, &after));
}

/*
 * Rule: each change gives the file a later mtime and ctime, whoever does it, the
 * server or a store to memory.
 * Wrong: an hour back by a write in place, forward by an append.
 * Right: later each time.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(clock, times_never_go_back)
{
	struct stat before, st;
	enum change how;

	ASSERT_EQ(0, fstat(self->fd, &before));
	for (how = 0; how < NR_CHANGES; how++) {
		sleep_ms(TICK_MS);
		ASSERT_EQ(0, change(self, how));
		ASSERT_EQ(0, fstat(self->fd, &st));
		if (compare(&st.st_mtim, &before.st_mtim) <= 0 ||
		    compare(&st.st_ctim, &before.st_ctim) <= 0)
			TH_LOG("change %d", how);
		EXPECT_LT(0, compare(&st.st_mtim, &before.st_mtim));
		EXPECT_LT(0, compare(&st.st_ctim, &before.st_ctim));
		before = st;
	}
	ASSERT_EQ(0, stat_on_server(self, &st));
	EXPECT_LE(0, compare(&st.st_mtim, &before.st_mtim));
	EXPECT_LE(0, compare(&st.st_ctim, &before.st_ctim));
}

/* 1: make would make the target anew, 0: it would not, -1: error */
static int out_of_date(FIXTURE_DATA(clock) *self)
{
	struct stat source, target;

	if (fstatat(self->fs.dirfd, "file", &source, 0) ||
	    fstatat(self->fs.dirfd, "target", &target, 0))
		return -1;
	return compare(&source.st_mtim, &target.st_mtim) > 0;
}

static int make_target(FIXTURE_DATA(clock) *self)
{
	int fd;

	sleep_ms(TICK_MS);
	fd = file_make(&self->fs, "target", 1000, NEW);
	if (fd < 0 || close(fd))
		return -1;
	sleep_ms(TICK_MS);
	return 0;
}

/*
 * Rule: of two files that one has the later mtime which was changed last. One is
 * changed in memory, and stays mapped; the other is made anew on the server.
 * Wrong: make misses the change.
 * Right: out of date after each change, up to date after each making.
 * in-tree 7.3: fails.
 */
TEST_F(clock, make_sees_the_change)
{
	static const enum change ways[] = {
		BY_WRITE, BY_STORE, BY_STORE_AGAIN, BY_STORE_ELSEWHERE,
	};
	int i;

	ASSERT_EQ(0, make_target(self));
	ASSERT_EQ(0, out_of_date(self));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, change(self, ways[i]));
		if (i & 1)
			ASSERT_EQ(0, msync(self->map, SIZE, MS_SYNC));
		EXPECT_EQ(1, out_of_date(self));
		ASSERT_EQ(0, make_target(self));
		EXPECT_EQ(0, out_of_date(self));
	}
	ASSERT_EQ(0, change(self, BY_STORE));
	leave_file(self);
	EXPECT_EQ(1, out_of_date(self));
}

/*
 * Rule: a page that stays writable is looked at again: what is stored to it after
 * a stat() counts too, at the next one and after munmap().
 * Wrong: the mtime of the first store, as there is no other fault.
 * Right: a later mtime.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(clock, store_after_stat)
{
	struct stat first, st;

	ASSERT_EQ(0, change(self, BY_STORE));
	ASSERT_EQ(0, fstat(self->fd, &first));
	sleep_ms(TICK_MS);
	ASSERT_EQ(0, change(self, BY_STORE_AGAIN));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LT(0, compare(&st.st_mtim, &first.st_mtim));
	first = st;
	sleep_ms(TICK_MS);
	ASSERT_EQ(0, change(self, BY_STORE_AGAIN));
	ASSERT_EQ(0, stat_on_server(self, &st));
	EXPECT_LT(0, compare(&st.st_mtim, &first.st_mtim));
}

/*
 * Rule: times that were set are the file's until it is changed again.
 * Wrong: what was changed before is told to the server after that.
 * Right: as set, at once, after fsync(), and on the server.
 * in-tree 7.3: passes, it never sends a time.
 */
TEST_F(clock, set_times_stay)
{
	struct stat st;

	ASSERT_EQ(0, change(self, BY_STORE));
	ASSERT_EQ(0, change(self, BY_WRITE));
	ASSERT_EQ(0, set_old_times(self->fd));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(LONG_AGO, st.st_mtime);
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(LONG_AGO, st.st_mtime);
	ASSERT_EQ(0, stat_on_server(self, &st));
	EXPECT_EQ(LONG_AGO, st.st_mtime);
}

/*
 * Rule: and a store after that is such a change, by a page that is writable.
 * Wrong: the time that was set.
 * Right: the server's time.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(clock, store_after_set_times)
{
	struct timespec before;
	struct stat st;

	ASSERT_EQ(0, change(self, BY_STORE));
	ASSERT_EQ(0, set_old_times(self->fd));
	ASSERT_EQ(0, server_time(self, &before));
	ASSERT_EQ(0, change(self, BY_STORE_AGAIN));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LE(0, compare(&st.st_mtim, &before));
	ASSERT_EQ(0, stat_on_server(self, &st));
	EXPECT_LE(0, compare(&st.st_mtim, &before));
}

/* Stores, and has the time sent, as somebody who does not own the file */
static int store_as_stranger(FIXTURE_DATA(clock) *self)
{
	struct stat st;
	pid_t pid = fork();

	if (pid)
		return wait_within(pid, 5000);
	if (setgid(STRANGER) || setuid(STRANGER))
		_exit(1);
	if (change(self, BY_STORE) || fstat(self->fd, &st))
		_exit(2);
	_exit(0);
}

/*
 * Rule: who may store need not own the file, and the file may be readonly by now.
 * Wrong: the server refuses the time, or the guest does.
 * Right: the server's time.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(clock, store_by_a_stranger)
{
	struct timespec before;
	struct stat st;

	ASSERT_EQ(0, fchmod(self->fd, 0444));
	ASSERT_EQ(0, server_time(self, &before));
	ASSERT_EQ(0, store_as_stranger(self));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LE(0, compare(&st.st_mtim, &before));
	EXPECT_LE(0, compare(&st.st_ctim, &before));
}

/*
 * Rule: mount options about atime have nothing to do with it.
 * Wrong: no new mtime, or a new atime.
 * Right: the server's mtime, the old atime.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(clock, store_on_noatime)
{
	struct stat st;

	ASSERT_EQ(0, mount(NULL, self->fs.mnt, NULL,
			   MS_REMOUNT | MS_BIND | MS_NOATIME, NULL));
	EXPECT_EQ(0, set_old_times(self->fd));
	EXPECT_EQ(0, change(self, BY_STORE));
	EXPECT_EQ(0, fstat(self->fd, &st));
	EXPECT_LT(LONG_AGO, st.st_mtime);
	EXPECT_EQ(LONG_AGO, st.st_atime);
	EXPECT_EQ(0, stat_on_server(self, &st));
	EXPECT_LT(LONG_AGO, st.st_mtime);
	EXPECT_EQ(LONG_AGO, st.st_atime);
	ASSERT_EQ(0, mount(NULL, self->fs.mnt, NULL,
			   MS_REMOUNT | MS_BIND | MS_RELATIME, NULL));
}

FIXTURE(told)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_SETUP(told)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, file_write(self->fd, MiB, 100, NEW));
	ASSERT_EQ(0, fsync(self->fd));
}

FIXTURE_TEARDOWN(told)
{
	if (self->fd >= 0)
		close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: the server is told once that a file was changed in memory: when somebody
 * asks for its times.
 * Wrong: by each write, or never, or again at close().
 * Right: one request for a hundred writes and two fstat()s.
 * in-tree 7.3: fails.
 */
TEST_F(told, once)
{
	struct stat st;
	int i;

	NEED_TRACE();
	for (i = 0; i < 100; i++)
		EXPECT_EQ(0, file_write(self->fd, i * PAGE, 100, NEW));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETATTR));
	EXPECT_EQ(0, trace_requests(OP_WRITE));

	NEED_TRACE();
	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, fstat(self->fd, &st));
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, trace_requests(OP_SETATTR));
	EXPECT_EQ(0, trace_requests(OP_GETATTR));
}

/*
 * Rule: who unlocks a file lets others look at it, by other machines too.
 * Wrong: the times come with the next close().
 * Right: the server is told before the lock is given up.
 * in-tree 7.3: fails.
 */
TEST_F(told, before_flock_ends)
{
	ASSERT_EQ(0, flock(self->fd, LOCK_EX));
	ASSERT_EQ(0, file_write(self->fd, 0, 100, NEW));
	NEED_TRACE();
	ASSERT_EQ(0, flock(self->fd, LOCK_UN));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, trace_requests(OP_SETATTR));
}

TEST_F(told, before_lock_ends)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 100 };

	ASSERT_EQ(0, fcntl(self->fd, F_SETLK, &lock));
	ASSERT_EQ(0, file_write(self->fd, 0, 100, NEW));
	NEED_TRACE();
	lock.l_type = F_UNLCK;
	ASSERT_EQ(0, fcntl(self->fd, F_SETLK, &lock));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, trace_requests(OP_SETATTR));
}

/*
 * Rule: close() of a file that nobody has changed asks for nothing.
 * Wrong: times are sent because a page is dirty that was told of already.
 * Right: no SETATTR.
 * in-tree 7.3: passes, it never sends a time.
 */
TEST_F(told, nothing_new)
{
	char *map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	struct stat st;
	int i;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, touch_write(map, 1));
	ASSERT_EQ(0, fsync(self->fd));
	NEED_TRACE();
	for (i = 0; i < 3; i++)
		close(openat(self->fs.dirfd, "file", O_RDWR));
	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, fsync(self->fd));
	munmap(map, SIZE);
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETATTR));
}

#define PROTECT		"fs_dax/dax_writeback_one"
#define ROUNDS		20
#define STORES		32

/*
 * Rule: what is write-protected, so that the next store is seen, is what was stored
 * to since the last time, a huge page at a time where that is how it is mapped.
 * Wrong: with each fsync(), and close(), all that was ever stored to.
 * Right: no more than there were stores; nothing if there was none.
 * in-tree 7.3: skipped, it does not protect.
 */
TEST_F(told, protects_what_was_stored)
{
	char *map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	unsigned int seed = 1;
	int i, n;

	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < (int)SIZE; i += PAGE)
		ASSERT_EQ(0, touch_write(map + i, 1));
	ASSERT_EQ(0, fsync(self->fd));

	NEED_TRACE();
	NEED(!trace_also(PROTECT, true), "no event " PROTECT);
	for (i = 0; i < ROUNDS; i++) {
		for (n = 0; n < STORES; n++)
			touch_write(map + rand_r(&seed) % SIZE, i);
		ASSERT_EQ(0, fsync(self->fd));
	}
	ASSERT_EQ(0, trace_stop());
	TH_LOG("%ld entries protected for %d times %d stores",
	       trace_events("dax_writeback_one"), ROUNDS, STORES);
	EXPECT_LE(ROUNDS, trace_events("dax_writeback_one"));
	EXPECT_GE(ROUNDS * STORES, trace_events("dax_writeback_one"));

	NEED_TRACE();
	ASSERT_EQ(0, touch_write(map + MiB, 1));
	close(openat(self->fs.dirfd, "file", O_RDWR));
	ASSERT_EQ(0, fsync(self->fd));
	close(openat(self->fs.dirfd, "file", O_RDWR));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, trace_events("dax_writeback_one"));
	trace_also(PROTECT, false);
	munmap(map, SIZE);
}

TEST_HARNESS_MAIN
