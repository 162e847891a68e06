// SPDX-License-Identifier: GPL-2.0
/*
 * Cached pages of a file that others change, or write to.
 *
 * The window is limited to 8 ranges by the module parameter dax_max_ranges, and
 * full of other files, so that pages which are touched alone are cached. "The host"
 * is virtiofs-daxd-fault, see notify_test.c.
 */
#include <signal.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define RW	(PROT_READ | PROT_WRITE)
#define SEED	61
#define RANGES	8
#define SIZE	(2 * RANGES * RANGE)
/* A page that is touched alone, one beside it, and one in a range that is mapped */
#define LONE	(5 * RANGE + 3 * PAGE)
#define BESIDE	(LONE + 50 * PAGE)
#define MAPPED	(10 * RANGE + 5 * PAGE)

FIXTURE(stale)
{
	struct dax_fs fs;
	char *fill[RANGES];
	char *map;
	bool limited;
	int fd;
};

FIXTURE_SETUP(stale)
{
	struct stat st;

	self->fd = -1;
	self->map = MAP_FAILED;
	FS_SETUP(&self->fs);
	NEED(fault_server(&self->fs), "the server makes no mistakes");
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	if (!fs_has_max_ranges())
		SKIP(return, "no parameter dax_max_ranges");
	ASSERT_EQ(0, fault_clear(&self->fs));
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, RANGES));
	self->limited = true;
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fill_window(&self->fs, RANGES, self->fill));
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	/* A modification time that was not known drops cached pages */
	ASSERT_EQ(0, fstat(self->fd, &st));
}

FIXTURE_TEARDOWN(stale)
{
	int i;

	fault_clear(&self->fs);
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

/* A page is cached: one that was read for the caller alone. */
#define CACHE(page) do {						\
	long before_ = counter(&self->fs, "cache_reads");		\
									\
	EXPECT_EQ(0, mem_is_pattern(self->map + (page), page, PAGE, SEED)); \
	ASSERT_EQ(before_ + 1, counter(&self->fs, "cache_reads"));	\
} while (0)

/* Whether a page soon begins with @byte. */
static bool soon(const char *page, char byte)
{
	long until = now_ms() + SOON_MS;

	while (touch_read(page) != byte) {
		if (now_ms() > until)
			return false;
		sleep_ms(1);
	}
	return true;
}

/*
 * Rule: who modifies a file does not miss that others have.
 * Wrong: the time of his own modification is taken for that of theirs, and cached
 * pages stay as they were for ever.
 * Right: they are read anew when the times are known.
 */
TEST_F_TIMEOUT(stale, own_store_hides_no_other, 60)
{
	long setups = counter(&self->fs, "setups");
	struct stat st;
	int i;

	CACHE(LONE);
	for (i = 0; i < 3; i++)
		touch_read(self->map + MAPPED + i * PAGE);
	ASSERT_LT(setups, counter(&self->fs, "setups"));
	ASSERT_EQ(0, fstat(self->fd, &st));
	/* A later time than that which is known */
	sleep_ms(50);
	ASSERT_EQ(0, fault_host(self->fd, "fill=%lu,%lu,%d", LONE, PAGE, 'x'));
	ASSERT_EQ(0, touch_write(self->map + MAPPED, 'y'));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ('x', touch_read(self->map + LONE));
	EXPECT_EQ('y', touch_read(self->map + MAPPED));
}

/*
 * Rule: a cached page that somebody holds is dropped when he lets it go.
 * Wrong: it is passed over once, and shown for ever.
 * Right: the new data, soon; with a notification, and with attributes.
 */
static void held_page_goes(struct __test_metadata *_metadata,
			   FIXTURE_DATA(stale) *self, bool notify)
{
	char page[PAGE];
	struct stat st;
	int fds[2];

	CACHE(LONE);
	ASSERT_EQ(0, pin_page(self->map + LONE, fds));
	sleep_ms(50);
	ASSERT_EQ(0, fault_host(self->fd, "fill=%lu,%lu,%d", LONE, PAGE, 'x'));
	if (notify) {
		ASSERT_EQ(0, fault_host(self->fd, "inval=%lu,%lu", LONE, PAGE));
	} else {
		ASSERT_EQ(0, fstat(self->fd, &st));
	}
	sleep_ms(200);
	ASSERT_EQ(PAGE, read(fds[0], page, PAGE));
	close(fds[0]);
	close(fds[1]);
	EXPECT_TRUE(soon(self->map + LONE, 'x'));
}

TEST_F_TIMEOUT(stale, held_page_goes_when_told, 60)
{
	held_page_goes(_metadata, self, true);
}

TEST_F_TIMEOUT(stale, held_page_goes_with_attributes, 60)
{
	held_page_goes(_metadata, self, false);
}

/* Page faults of a task, so far, those included that waited; -1 if it is gone. */
static long faults_of(pid_t pid)
{
	char path[32], stat[512];
	long faults, major;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (!fgets(stat, sizeof(stat), file) ||
	    sscanf(strrchr(stat, ')') + 2,
		   "%*c %*d %*d %*d %*d %*d %*u %ld %*d %ld", &faults,
		   &major) != 2)
		faults = -1;
	fclose(file);
	return faults < 0 ? -1 : faults + major;
}

/* Page faults within half a second of one that waits. */
#define FEW	250

/*
 * Rule: who can get neither memory nor a cached page waits.
 * Wrong: the page fault is repeated, and repeated, and has a processor busy.
 * Right: it is now and then; and the task can be killed. Its range cannot be mapped
 * while a page there is held, and nothing be cached while somebody writes.
 */
TEST_F_TIMEOUT(stale, blocked_range_is_waited_for, 60)
{
	pid_t writer, pid;
	int fds[2], sink[2];
	long before;

	CACHE(LONE);
	ASSERT_EQ(0, pin_page(self->map + LONE, fds));
	ASSERT_EQ(0, pipe(sink));
	ASSERT_EQ(0, fault_set(&self->fs, "op=WRITE silence"));
	writer = go_write(self->fd, SIZE, PAGE, SEED);
	ASSERT_EQ(0, fault_wait(&self->fs, "WRITE", 1));

	pid = fork();
	if (!pid)
		_exit(write(sink[1], self->map + BESIDE, 100) == 100 ?
		      ENDED_WELL : errno);
	EXPECT_TRUE(goes_on(pid, 300));
	before = faults_of(pid);
	sleep_ms(500);
	TH_LOG("%ld faults", faults_of(pid) - before);
	EXPECT_LE(0, before);
	EXPECT_GE(FEW, faults_of(pid) - before);
	EXPECT_LE(0, killed_after(pid));

	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(writer, SOON_MS, NULL));
	close(fds[0]);
	close(fds[1]);
	close(sink[0]);
	close(sink[1]);
	EXPECT_EQ(0, mem_is_pattern(self->map + BESIDE, BESIDE, PAGE, SEED));
}

TEST_HARNESS_MAIN
