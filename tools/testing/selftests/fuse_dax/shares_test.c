// SPDX-License-Identifier: GPL-2.0
/*
 * Several shares in one virtual machine. FUSE_DAX_SHARES says how many; their
 * tags are $FUSE_DAX_TAG, and the same with 2, 3 and so on behind it. The host
 * has one limit for the mappings of all of them.
 */
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define MOST	4

/* Of all shares together; more than the host can map at a time. */
#define FILES	800
/* More than is copied into the guest when it is only read. */
#define SIZE	(80 * KiB)
#define SECONDS	240

/* How many mappings the busiest neighbours leave to a share, at the least. */
#define SOME	40

FIXTURE(shares)
{
	int count;
	struct dax_fs fs[MOST];
};

FIXTURE_SETUP(shares)
{
	int i;

	self->count = env_number("FUSE_DAX_SHARES", 1);
	if (self->count < 2)
		SKIP(return, "there is one share");
	ASSERT_GE(MOST, self->count);
	FS_SETUP(&self->fs[0]);
	NEED_DAX(&self->fs[0]);
	NEED_COUNTERS(&self->fs[0]);
	for (i = 1; i < self->count; i++) {
		ASSERT_EQ(0, share_open(&self->fs[i], i + 1));
		ASSERT_TRUE(self->fs[i].dax);
	}
}

FIXTURE_TEARDOWN(shares)
{
	int i;

	for (i = 1; i < self->count; i++)
		EXPECT_EQ(0, share_close(&self->fs[i]));
	FS_TEARDOWN(&self->fs[0]);
}

/* How many each share has */
static int files(void)
{
	return FILES / env_number("FUSE_DAX_SHARES", 1);
}

static uint64_t seed_of(struct dax_fs *fs, int i)
{
	return i + 1000 * (strlen(fs->tag) + fs->tag[strlen(fs->tag) - 1]);
}

/* Makes and maps all files. Returns how many were wrong. */
static int map_all(struct dax_fs *fs, char **maps)
{
	char name[16];
	int i, fd, bad = 0;

	for (i = 0; i < files(); i++) {
		snprintf(name, sizeof(name), "%d", i);
		fd = file_make(fs, name, SIZE, seed_of(fs, i));
		maps[i] = map_file(fd, SIZE, PROT_READ, MAP_SHARED);
		bad += maps[i] == MAP_FAILED ||
		       mem_is_pattern(maps[i], 0, SIZE, seed_of(fs, i));
		close(fd);
	}
	return bad;
}

/* Looks at files from first to last, by the mappings there are. */
static int look_again(struct dax_fs *fs, char **maps)
{
	int i, bad = 0;

	for (i = 0; i < files(); i += 5)
		bad += !!mem_is_pattern(maps[i], 0, SIZE, seed_of(fs, i));
	return bad;
}

static void unmap_all(char **maps)
{
	int i;

	for (i = 0; i < files(); i++)
		munmap(maps[i], SIZE);
}

/*
 * Rule: one share may be as busy as it likes, and then the next.
 * Wrong: QEMU aborts, as there are more mappings than it can hold; or the first
 * share has all, and the next gets none.
 * Right: the data is right, and each share has some mappings.
 */
TEST_F_TIMEOUT(shares, one_after_the_other, SECONDS)
{
	static char *maps[MOST][FILES];
	int i;

	for (i = 0; i < self->count; i++) {
		EXPECT_EQ(0, map_all(&self->fs[i], maps[i]));
		EXPECT_LE(SOME, counter(&self->fs[i], "mappings_live"));
	}
	for (i = 0; i < self->count; i++)
		EXPECT_EQ(0, look_again(&self->fs[i], maps[i]));
	for (i = 0; i < self->count; i++)
		unmap_all(maps[i]);
}

static int busy_child(struct dax_fs *fs)
{
	static char *maps[FILES];

	return map_all(fs, maps) || look_again(fs, maps) ||
	       counter(fs, "mappings_live") < SOME;
}

/*
 * Rule: all at the same moment.
 * Wrong: each of the servers finds that there is room for one mapping more,
 * and together they are too many.
 * Right: the same as above.
 */
TEST_F_TIMEOUT(shares, all_at_once, SECONDS)
{
	pid_t pids[MOST];
	int i;

	for (i = 0; i < self->count; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(busy_child(&self->fs[i]));
	}
	for (i = 0; i < self->count; i++)
		EXPECT_EQ(0, wait_within(pids[i], SECONDS * 1000));
}

TEST_HARNESS_MAIN
