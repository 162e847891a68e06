// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings that stay while others write to their file: --cache=coherent of virtiofs-daxd.
 *
 * What the window shows is the page cache of the host. So when somebody there writes to
 * a file (fuse_dax_hand.h), what is mapped is right already: only what was copied from
 * it, pages and attributes, is not any more.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"
#include "fuse_dax_hand.h"

#define SEED		FAULT_SEED
#define SIZE		FAULT_SIZE

/* Where the hand cuts a file off before it makes it what size it was */
#define CUT		MiB

/* How long the hand writes to a file that is to be busy, ms */
#define BUSY_MS		4000

/* Of the window, for who has too few */
#define RANGES		4
/* A page that is touched alone, so that it is cached */
#define LONE		(6 * RANGE + 3 * PAGE)
#define LARGE		(8 * RANGE)

/* What it costs to give a mapping up, and to have it again */
struct costs {
	long removes;
	long reclaimed;
	long setups;
};

static struct costs costs_of(const struct dax_fs *fs)
{
	return (struct costs) {
		.removes = fault_requests(fs, "removemapping"),
		.reclaimed = counter(fs, "reclaimed"),
		.setups = fault_requests(fs, "setupmapping"),
	};
}

#define EXPECT_COSTS(fs, was) do {					\
	struct costs was_ = (was), now_ = costs_of(fs);			\
									\
	EXPECT_EQ(was_.removes, now_.removes);				\
	EXPECT_EQ(was_.reclaimed, now_.reclaimed);			\
	EXPECT_EQ(was_.setups, now_.setups);				\
} while (0)

FIXTURE(kept)
{
	struct dax_fs fs;
	struct fault_file file;
	struct hand hand;
};

FIXTURE_SETUP(kept)
{
	FAULT_SETUP(self);
	NEED_COUNTERS(&self->fs);
	if (hand_open(&self->hand, &self->fs))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	touch_pages(self->file.map, SIZE);
}

FIXTURE_TEARDOWN(kept)
{
	hand_close(&self->hand);
	FAULT_TEARDOWN(self);
}

static int byte_at(int fd, off_t pos)
{
	unsigned char byte;

	return pread(fd, &byte, 1, pos) == 1 ? byte : -1;
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec ||
	       (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/*
 * Rule: when the host writes to a file, what is mapped of it is right already.
 * Wrong: mappings are given up and made anew; or something is as it was before.
 * Right: no setup, no remove; data, size and times are those of the host.
 * in-tree 7.3: fails, nobody tells it.
 */
TEST_F_TIMEOUT(kept, written, 120)
{
	static const off_t places[] = { 0, CUT + 5, SIZE - 1, 0 };
	struct costs was = costs_of(&self->fs);
	struct stat before, now;
	char verb[32];
	size_t i;

	EXPECT_LT(0, counter(&self->fs, "mappings_live"));
	ASSERT_EQ(0, fstat(self->file.fd, &before));
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(verb, sizeof(verb), "poke=%ld,%c", (long)places[i],
			 (char)('A' + i));
		ASSERT_EQ(0, hand_do(&self->hand, verb, "file"));
		EXPECT_EQ('A' + (int)i, byte_at(self->file.fd, places[i]));
		EXPECT_EQ('A' + (int)i, touch_read(self->file.map + places[i]));
		ASSERT_EQ(0, fstat(self->file.fd, &now));
		EXPECT_TRUE(later(now.st_mtim, before.st_mtim));
		EXPECT_EQ(SIZE, now.st_size);
		before = now;
	}
	EXPECT_EQ(0, mem_is_pattern(self->file.map + PAGE, PAGE, CUT - PAGE,
				    SEED));
	EXPECT_COSTS(&self->fs, was);

	/* What it is longer by now is seen, and costs what is not mapped */
	ASSERT_EQ(0, hand_do(&self->hand, "append", "file"));
	ASSERT_EQ(0, fstat(self->file.fd, &now));
	EXPECT_EQ(SIZE + 4, now.st_size);
	EXPECT_EQ('A' + 2, touch_read(self->file.map + SIZE - 1));
	EXPECT_COSTS(&self->fs, was);
	EXPECT_EQ('m', byte_at(self->file.fd, SIZE));
	EXPECT_EQ('e', byte_at(self->file.fd, SIZE + 3));
	EXPECT_EQ(-1, byte_at(self->file.fd, SIZE + 4));
	EXPECT_EQ(was.removes, costs_of(&self->fs).removes);
}

/*
 * Rule: what is cut off is given up, and what is appended is there.
 * Wrong: zeros or old data are seen past the end, or mappings stay that show nothing.
 * Right: SIGBUS past the end, and what is mapped before the end stays.
 */
TEST_F_TIMEOUT(kept, cut_off, 120)
{
	struct costs was = costs_of(&self->fs);
	char *map = self->file.map;
	struct stat st;

	ASSERT_EQ(0, hand_do(&self->hand, "shorter", "file"));
	ASSERT_EQ(0, fstat(self->file.fd, &st));
	EXPECT_EQ(CUT, st.st_size);
	EXPECT_EQ(-1, byte_at(self->file.fd, CUT));
	EXPECT_EQ(ENDED_SIGBUS, ended(go_load(map, CUT, SEED), SOON_MS, NULL));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free",
				  counter(&self->fs, "ranges_total") - 1));
	EXPECT_LT(was.removes, costs_of(&self->fs).removes);
	EXPECT_EQ(0, mem_is_pattern(map, 0, CUT, SEED));
	EXPECT_EQ(was.setups, costs_of(&self->fs).setups);

	ASSERT_EQ(0, hand_do(&self->hand, "append", "file"));
	EXPECT_EQ('m', byte_at(self->file.fd, CUT));
	EXPECT_EQ('e', touch_read(map + CUT + 3));
	EXPECT_EQ(0, touch_read(map + CUT + 4));
	EXPECT_EQ(ENDED_SIGBUS, ended(go_load(map, CUT + PAGE, SEED), SOON_MS,
				      NULL));
	EXPECT_EQ(was.setups, costs_of(&self->fs).setups);
}

/* Reads all pages there are, again and again, until it is killed */
static pid_t keep_reading(const char *map)
{
	pid_t pid = fork();
	off_t pos;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (pos = 0;; pos = (pos + PAGE) % SIZE)
		touch_read(map + pos);
}

/* How many bytes from @pos on are not @byte, by mmap */
static long not_byte(const char *map, off_t pos, char byte)
{
	long bad = 0;

	for (; pos < (off_t)SIZE; pos++)
		bad += map[pos] != byte;
	return bad;
}

/*
 * Rule: a file that is cut off and then made as long as it was is what it is.
 * Wrong: what was there before is seen, or the zeros that stood for what was missing.
 * Right: what was appended; by read() once the server has answered anything, by
 * mmap() soon.
 */
TEST_F_TIMEOUT(kept, cut_and_appended, 120)
{
	char *map = self->file.map;
	long until;
	pid_t pid;
	int i;

	pid = keep_reading(map);
	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, hand_do(&self->hand, i & 1 ? "again=N" : "again=M",
				     "file"));
		EXPECT_EQ(i & 1 ? 'N' : 'M', byte_at(self->file.fd, CUT));
		EXPECT_EQ(i & 1 ? 'N' : 'M', byte_at(self->file.fd, SIZE - 1));
		until = now_ms() + SOON_MS;
		while (not_byte(map, CUT, i & 1 ? 'N' : 'M') && now_ms() < until)
			sleep_ms(10);
		EXPECT_EQ(0, not_byte(map, CUT, i & 1 ? 'N' : 'M'));
		EXPECT_EQ(0, mem_is_pattern(map, 0, CUT, SEED));
	}
	EXPECT_TRUE(goes_on(pid, 0));
	EXPECT_LE(0, killed_after(pid));
}

/*
 * Rule: of a file of which a part is mapped and a page is cached, only the page is not
 * right any more.
 * Wrong: the page stays, or the mapping goes.
 */
TEST_F_TIMEOUT(kept, cached_page, 120)
{
	char *fill[RANGES - 1] = { NULL };
	struct costs was;
	char *map, verb[32];
	long until;
	int fd, i;

	if (!fs_has_max_ranges())
		SKIP(return, "no parameter dax_max_ranges");
	fault_file_close(&self->file);
	ASSERT_EQ(0, fs_set_max_ranges(&self->fs, RANGES));
	fd = file_make(&self->fs, "large", LARGE, SEED);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fill_window(&self->fs, RANGES - 1, fill));
	map = map_file(fd, LARGE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	touch_read(map);
	EXPECT_EQ(0, counter(&self->fs, "ranges_free"));
	was = costs_of(&self->fs);
	EXPECT_EQ(0, mem_is_pattern(map + LONE, LONE, PAGE, SEED));
	EXPECT_LT(0, counter(&self->fs, "cache_reads"));

	/* Once each: a page that is missed three times in turn is mapped */
	for (i = 0; i < 2; i++) {
		off_t pos = i ? LONE : 0;

		snprintf(verb, sizeof(verb), "poke=%ld,%c", (long)pos, 'A' + i);
		ASSERT_EQ(0, hand_do(&self->hand, verb, "large"));
		EXPECT_EQ('A' + i, byte_at(fd, pos));
		until = now_ms() + SOON_MS;
		while (touch_read(map + pos) != 'A' + i && now_ms() < until)
			sleep_ms(1);
		EXPECT_EQ('A' + i, touch_read(map + pos));
	}
	EXPECT_COSTS(&self->fs, was);
	munmap(map, LARGE);
	for (i = 0; i < RANGES - 1; i++)
		munmap(fill[i], RANGE);
	close(fd);
	EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
}

/*
 * Rule: who reads a file to which the host writes all the time gets on.
 * Wrong: each answer about its size is overtaken by a newer word, and he waits for as
 * long as that goes on.
 */
TEST_F_TIMEOUT(kept, busy, 120)
{
	long longest = 0, before, until;
	int reads = 0;

	ASSERT_EQ(0, hand_do(&self->hand, "busy", "file"));
	until = now_ms() + BUSY_MS / 2;
	while (now_ms() < until) {
		before = now_ms();
		ASSERT_LE(0, byte_at(self->file.fd, PAGE));
		ASSERT_LE(0, touch_read(self->file.map + CUT));
		if (longest < now_ms() - before)
			longest = now_ms() - before;
		reads++;
	}
	TH_LOG("%d reads, the longest took %ld ms", reads, longest);
	/* The first would come back when the host has done with it */
	EXPECT_LT(1, reads);
	/* Until it ends: the next test has no such file */
	sleep_ms(BUSY_MS / 2);
}

TEST_HARNESS_MAIN
