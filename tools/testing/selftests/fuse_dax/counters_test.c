// SPDX-License-Identifier: GPL-2.0
/*
 * The counters below /sys/fs/virtiofs/<n>/dax and the trace events of the
 * driver: that they are there and mean what they say.
 *
 * in-tree 7.3: has none of them; all tests here are skipped there.
 */
#include <ctype.h>
#include <sys/mount.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	61
#define SIZE	(4 * MiB)

static const char * const names[] = {
	"ranges_total", "ranges_free", "ranges_ready", "memmap_bytes",
	"ranges_bad", "mappings_live", "setups", "removes", "reclaimed",
	"waits", "fallback_reads", "fallback_writes", "setup_errors",
	"cache_reads",
};

static const char * const events[] = {
	"fuse_dax_setup", "fuse_dax_remove", "fuse_dax_reclaim",
	"fuse_dax_fallback", "fuse_dax_wait",
};

FIXTURE(counters)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_SETUP(counters)
{
	self->fd = -1;
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED_COUNTERS(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(counters)
{
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: each counter is a file with one decimal number.
 * Wrong: one is missing, can be written, or holds anything else.
 * Right: all are there, each a number that is not negative.
 */
TEST_F(counters, all_there)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_LE(0, counter(&self->fs, names[i]))
			TH_LOG("%s", names[i]);
	}
}

/*
 * Rule: a new mount starts with a free window and with counts of zero.
 * Wrong: counts of the mount before, or ranges that did not come back.
 * Right: all free, nothing live, nothing counted but what mounting did.
 */
TEST_F(counters, new_mount_starts_at_zero)
{
	size_t i;

	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	EXPECT_LT(0, counter(&self->fs, "ranges_total"));
	EXPECT_EQ(counter(&self->fs, "ranges_total"),
		  counter(&self->fs, "ranges_free"));
	EXPECT_LE(counter(&self->fs, "ranges_ready"),
		  counter(&self->fs, "ranges_total"));
	for (i = 4; i < ARRAY_SIZE(names); i++) {
		EXPECT_EQ(0, counter(&self->fs, names[i]))
			TH_LOG("%s", names[i]);
	}
}

/*
 * Rule: the directory lives as long as the mount.
 * Wrong: it stays, and reading it touches freed memory.
 * Right: no counters while nothing is mounted.
 */
TEST_F(counters, gone_without_mount)
{
	if (!self->fs.tag)
		SKIP(return, "FUSE_DAX_TAG is not set");
	close(self->fd);
	self->fd = -1;
	close(self->fs.dirfd);
	self->fs.dirfd = -1;
	ASSERT_EQ(0, umount(self->fs.mnt));
	EXPECT_EQ(-1, counter(&self->fs, "ranges_total"));
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	EXPECT_LE(0, counter(&self->fs, "ranges_total"));
}

/*
 * Rule: setups counts FUSE_SETUPMAPPING requests that succeeded; ranges and
 * mappings follow.
 * Wrong: counts that differ from the requests seen on the wire.
 * Right: equal; at least the file's ranges are taken, one mapping is live.
 */
TEST_F(counters, setups)
{
	long setups = counter(&self->fs, "setups");
	long free = counter(&self->fs, "ranges_free");
	long live = counter(&self->fs, "mappings_live");

	NEED_TRACE();
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(trace_requests(OP_SETUP),
		  counter(&self->fs, "setups") - setups);
	EXPECT_LT(setups, counter(&self->fs, "setups"));
	EXPECT_LT(live, counter(&self->fs, "mappings_live"));
	EXPECT_GE(free - (long)(SIZE / RANGE),
		  counter(&self->fs, "ranges_free"));
	EXPECT_EQ(0, counter(&self->fs, "setup_errors"));
	EXPECT_EQ(0, counter(&self->fs, "ranges_bad"));
}

/*
 * Rule: removes counts FUSE_REMOVEMAPPING requests; ranges come back with
 * the answer.
 * Wrong: counts that differ from the wire, or ranges that stay away.
 * Right: equal; all ranges free again after the file is gone.
 */
TEST_F(counters, removes)
{
	long removes, free, live;

	ASSERT_EQ(0, drop_caches(2));
	sleep_ms(200);
	removes = counter(&self->fs, "removes");
	free = counter(&self->fs, "ranges_free");
	live = counter(&self->fs, "mappings_live");
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	NEED_TRACE();
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free", free));
	EXPECT_EQ(0, counter_wait(&self->fs, "mappings_live", live));
	ASSERT_EQ(0, trace_stop());
	EXPECT_LT(0, trace_requests(OP_REMOVE));
	EXPECT_EQ(trace_requests(OP_REMOVE),
		  counter(&self->fs, "removes") - removes);
}

/*
 * Rule: writes that go to the server are counted.
 * Wrong: extending writes are not, or writes in place are.
 * Right: one for each extending write, none for a write in place.
 */
TEST_F(counters, fallback_writes)
{
	long before;

	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	before = counter(&self->fs, "fallback_writes");
	ASSERT_EQ(0, file_write(self->fd, 100, 1000, SEED));
	EXPECT_EQ(before, counter(&self->fs, "fallback_writes"));
	ASSERT_EQ(0, file_write(self->fd, SIZE, 1000, SEED));
	ASSERT_EQ(0, file_write(self->fd, SIZE + 500, 1000, SEED));
	EXPECT_EQ(before + 2, counter(&self->fs, "fallback_writes"));
}

/*
 * Rule: a hit costs nothing that is counted.
 * Wrong: setups, removes or fallbacks for memory that is mapped.
 * Right: no counter moves.
 */
TEST_F(counters, hits_count_nothing)
{
	long before[ARRAY_SIZE(names)];
	size_t i;

	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	for (i = 0; i < ARRAY_SIZE(names); i++)
		before[i] = counter(&self->fs, names[i]);
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_EQ(before[i], counter(&self->fs, names[i]))
			TH_LOG("%s", names[i]);
	}
}

/*
 * Rule: taking a mapping from a file is counted.
 * Wrong: reclaim is not seen.
 * Right: with a window of two ranges, touching a file of four by mmap needs
 * reclaim; the counter and the event say so.
 */
TEST_F(counters, reclaimed)
{
	char *map;
	int fd;

	NEED(fs_has_max_ranges(), "no parameter dax_max_ranges");
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, 2));
	EXPECT_EQ(2, counter(&self->fs, "ranges_total"));
	fd = file_make(&self->fs, "big", 4 * RANGE, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, 4 * RANGE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	NEED_TRACE();
	EXPECT_EQ(0, mem_is_pattern(map, 0, 4 * RANGE, SEED));
	ASSERT_EQ(0, trace_stop());
	EXPECT_LT(0, counter(&self->fs, "reclaimed"));
	EXPECT_LT(0, trace_events("fuse_dax_reclaim"));
	munmap(map, 4 * RANGE);
	close(fd);
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, 0));
}

/*
 * Rule: the driver has trace events of its own.
 * Wrong: one is missing, or stays silent.
 * Right: all five exist; setup, remove and fallback are seen when they occur.
 */
TEST_F(counters, events)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		EXPECT_TRUE(trace_has_event(events[i]))
			TH_LOG("%s", events[i]);
	}
	NEED_TRACE();
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	ASSERT_EQ(0, file_write(self->fd, SIZE, 100, SEED));
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	close(self->fd);
	self->fd = -1;
	/* The remove has been answered by then */
	EXPECT_EQ(0, counters_at_rest(&self->fs));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(trace_requests(OP_SETUP), trace_events("fuse_dax_setup"));
	EXPECT_LT(0, trace_events("fuse_dax_setup"));
	EXPECT_LT(0, trace_events("fuse_dax_remove"));
	EXPECT_LT(0, trace_events("fuse_dax_fallback"));
}

TEST_HARNESS_MAIN
