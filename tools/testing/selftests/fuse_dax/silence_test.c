// SPDX-License-Identifier: GPL-2.0
/*
 * A server that is late, silent, answers in another order, with answers that
 * make no sense, or with attributes that change all the time.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/stat.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define RW	(PROT_READ | PROT_WRITE)
#define BLOCK	(64 * KiB)
#define SEED	FAULT_SEED

/* A second file, which the server does not let down; its descriptor. */
static int other_file(struct dax_fs *fs)
{
	return file_make(fs, "other", FAULT_SIZE, 2);
}

/* All that can be done with another file goes on. */
static bool others_go_on(int fd)
{
	char *map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);
	int bad;

	bad = ended(go_read(fd, 0, BLOCK, 2), SOON_MS, NULL);
	bad |= ended(go_load(map, RANGE, 2), SOON_MS, NULL);
	bad |= ended(go_store(map, RANGE, 2), SOON_MS, NULL);
	bad |= ended(go_write(fd, BLOCK, BLOCK, 2), SOON_MS, NULL);
	munmap(map, FAULT_SIZE);
	return !bad;
}

/* The data is right, and nothing of the window is lost when the file is gone. */
static int all_is_well(struct dax_fs *fs, struct fault_file *file)
{
	int bad = file_is_pattern(file->fd, 0, FAULT_SIZE, SEED) ||
		  mem_is_pattern(file->map, 0, FAULT_SIZE, SEED);

	fault_file_close(file);
	unlinkat(fs->dirfd, "file", 0);
	unlinkat(fs->dirfd, "other", 0);
	return bad || counters_at_rest(fs);
}

FIXTURE(silence)
{
	struct dax_fs fs;
	struct fault_file file;
};

/* What waits for a setup that is not answered. */
FIXTURE_VARIANT(silence)
{
	enum { LOAD, STORE, READ, WRITE } way;
};

FIXTURE_VARIANT_ADD(silence, load) { .way = LOAD };
FIXTURE_VARIANT_ADD(silence, store) { .way = STORE };
FIXTURE_VARIANT_ADD(silence, read) { .way = READ };
FIXTURE_VARIANT_ADD(silence, write) { .way = WRITE };

FIXTURE_SETUP(silence)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(silence)
{
	FAULT_TEARDOWN(self);
}

static pid_t go(struct fault_file *file, int way)
{
	switch (way) {
	case LOAD:
		return go_load(file->map, 5, SEED);
	case STORE:
		return go_store(file->map, 5, SEED);
	case READ:
		return go_read(file->fd, 0, BLOCK, SEED);
	default:
		return go_write(file->fd, 0, BLOCK, SEED);
	}
}

/*
 * Rule: who waits for a setup can be killed.
 * Wrong: the task stays, and all who look at it; others that do not need that
 * mapping wait too; or the range is lost, because nobody is there when the
 * answer comes.
 * Right: gone within a second of SIGKILL, and so is one who waits for the setup
 * of somebody else. Meanwhile other files go on, and this one can be truncated.
 * The late answer is used: no other setup is needed.
 * in-tree 7.3: fails, it cannot be killed.
 */
TEST_F_TIMEOUT(silence, setup_waiter_is_killable, 60)
{
	long setups, gone;
	pid_t first, second;
	int other;

	other = other_file(&self->fs);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING silence"));
	first = go(&self->file, variant->way);
	ASSERT_EQ(0, fault_wait(&self->fs, "SETUPMAPPING", 1));
	second = go_load(self->file.map, MiB, SEED);
	EXPECT_TRUE(goes_on(first, 300));
	EXPECT_TRUE(goes_on(second, 0));
	EXPECT_TRUE(others_go_on(other));
	/* Who looks for the cause finds it */
	EXPECT_EQ(window_ranges(&self->fs) > 0, dump_has(" setup "));

	gone = killed_after(first);
	TH_LOG("gone %ld ms after SIGKILL", gone);
	EXPECT_LE(0, gone);
	EXPECT_GE(GONE_MS, gone);
	EXPECT_TRUE(goes_on(second, 0));
	gone = killed_after(second);
	TH_LOG("second waiter gone %ld ms after SIGKILL", gone);
	EXPECT_LE(0, gone);
	EXPECT_GE(GONE_MS, gone);

	setups = fault_requests(&self->fs, "setupmapping");
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 5, SEED), SOON_MS,
				    NULL));
	EXPECT_EQ(setups, fault_requests(&self->fs, "setupmapping"));
	close(other);
	EXPECT_EQ(0, all_is_well(&self->fs, &self->file));
}

FIXTURE(late)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_SETUP(late)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(late)
{
	fault_clear(&self->fs);
	fault_file_close(&self->file);
	if (fs_has_max_ranges()) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a file whose setup is not answered can be truncated.
 * Wrong: truncation waits for the setup.
 * Right: it ends soon, and what is left is right once the answer is there.
 * in-tree 7.3: fails, it waits.
 */
TEST_F(late, truncation_does_not_wait)
{
	long took;
	pid_t pid;

	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING silence"));
	pid = go_load(self->file.map, 5, SEED);
	ASSERT_EQ(0, fault_wait(&self->fs, "SETUPMAPPING", 1));
	EXPECT_EQ(ENDED_WELL, ended(go_truncate(self->file.fd, RANGE + 5),
				    SOON_MS, &took));
	TH_LOG("truncated in %ld ms", took);
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(pid, SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, RANGE, SEED),
				    SOON_MS, NULL));
	EXPECT_EQ(ENDED_SIGBUS, ended(go_load(self->file.map, 2 * MiB + PAGE,
					      SEED), SOON_MS, NULL));
	EXPECT_EQ(0, file_is_pattern(self->file.fd, 0, RANGE + 5, SEED));
}

/*
 * Rule: nobody waits for a remove.
 * Wrong: close(), unlink(), drop_caches and then all who need memory wait for
 * the server; a fault that waits for a range cannot be killed.
 * Right: the file is gone soon, others go on in what is left of the window, and
 * once nothing is left reads fall back, and a fault waits until it is killed.
 * in-tree 7.3: fails, the task that drops the inode waits.
 */
TEST_F_TIMEOUT(late, silent_remove, 60)
{
	long took, gone;
	char *map;
	pid_t pid;
	int fd;

	fault_file_close(&self->file);
	if (fs_has_max_ranges())
		ASSERT_EQ(0, fs_set_max_ranges(&self->fs, 4));
	self->file.fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_EQ(0, file_is_pattern(self->file.fd, 0, FAULT_SIZE, SEED));
	fd = other_file(&self->fs);
	ASSERT_LE(0, fd);
	map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);

	ASSERT_EQ(0, fault_set(&self->fs, "op=REMOVEMAPPING count=0 silence"));
	fault_file_close(&self->file);
	ASSERT_EQ(ENDED_WELL, ended(go_unlink(self->fs.dirfd, "file"), SOON_MS,
				    &took));
	TH_LOG("unlinked in %ld ms", took);
	EXPECT_EQ(0, drop_caches(2));
	ASSERT_EQ(0, fault_wait(&self->fs, "REMOVEMAPPING", 1));
	EXPECT_TRUE(others_go_on(fd));

	/* The other one is dropped too: all ranges wait for the server. */
	munmap(map, FAULT_SIZE);
	close(fd);
	NEED(fs_has_max_ranges(), "no parameter dax_max_ranges");
	ASSERT_EQ(ENDED_WELL, ended(go_unlink(self->fs.dirfd, "other"),
				    SOON_MS, NULL));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free", 0));
	fd = file_make(&self->fs, "third", FAULT_SIZE, SEED);
	EXPECT_EQ(ENDED_WELL, ended(go_read(fd, 0, BLOCK, SEED), SOON_MS,
				    NULL));
	map = map_file(fd, FAULT_SIZE, RW, MAP_SHARED);
	pid = go_load(map, 5, SEED);
	EXPECT_TRUE(goes_on(pid, 300));
	gone = killed_after(pid);
	TH_LOG("gone %ld ms after SIGKILL", gone);
	EXPECT_LE(0, gone);
	EXPECT_GE(GONE_MS, gone);
	pid = go_load(map, 5, SEED);
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(pid, SOON_MS, NULL));
	munmap(map, FAULT_SIZE);
	close(fd);
}

/*
 * Rule: a read that fell back waits alone.
 * Wrong: others wait with it; or the task is still there after the answer.
 * Right: others go on, also with the same file; a task that got SIGKILL is gone
 * within a second of the answer. (A request that the server has taken cannot be
 * left, as it writes to memory of the guest. Files without DAX are alike.)
 * in-tree 7.3: skipped, it does not fall back.
 */
TEST_F(late, silent_read)
{
	long start;
	int other;
	pid_t pid;

	if (!dax_required())
		SKIP(return, "a driver may do without fallback");
	other = other_file(&self->fs);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING errno=12\n"
			       "op=READ silence"));
	pid = go_read(self->file.fd, 0, BLOCK, SEED);
	ASSERT_EQ(0, fault_wait(&self->fs, "READ", 1));
	EXPECT_TRUE(goes_on(pid, 300));
	EXPECT_TRUE(others_go_on(other));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, SEED),
				    SOON_MS, NULL));
	kill(pid, SIGKILL);
	start = now_ms();
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(NOT_ENDED, wait_within(pid, GONE_MS));
	TH_LOG("gone %ld ms after the answer", now_ms() - start);
	EXPECT_GT(GONE_MS, now_ms() - start);
	close(other);
	EXPECT_EQ(0, all_is_well(&self->fs, &self->file));
}

/*
 * Rule: a late answer costs its time once.
 * Wrong: each of those who wait asks anew, one after the other; a time-out.
 * Right: eight tasks that touch one file are through after about one delay, with
 * one setup; data right.
 * in-tree 7.3: passes, with one setup for each range.
 */
TEST_F(late, delayed_setup)
{
	const long delay = 400;
	long start, took, setups;
	pid_t pids[8];
	int i;

	setups = fault_requests(&self->fs, "setupmapping");
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 delay=%ld",
			       delay));
	start = now_ms();
	for (i = 0; i < 8; i++)
		pids[i] = i & 1 ? go_load(self->file.map, i * BLOCK, SEED) :
			  go_read(self->file.fd, i * BLOCK, BLOCK, SEED);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(ENDED_WELL, ended(pids[i], SOON_MS, NULL));
	took = now_ms() - start;
	setups = fault_requests(&self->fs, "setupmapping") - setups;
	TH_LOG("through after %ld ms, %ld setups", took, setups);
	EXPECT_LE(delay, took);
	EXPECT_GT(3 * delay + GONE_MS, took);
	if (dax_required()) {
		EXPECT_EQ(1, setups);
	}
	EXPECT_EQ(0, all_is_well(&self->fs, &self->file));
}

/*
 * Rule: answers may come in any order.
 * Wrong: an answer is taken for that to another request: wrong data, a hang.
 * Right: four files whose setups are answered last first, each with its data;
 * the same for their reads and attributes.
 * in-tree 7.3: passes.
 */
TEST_F(late, reversed_setups)
{
	char name[16], *maps[4];
	pid_t pids[4];
	int i, fd;

	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fd = file_make(&self->fs, name, RANGE, i);
		ASSERT_LE(0, fd);
		maps[i] = map_file(fd, RANGE, RW, MAP_SHARED);
		close(fd);
	}
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING hold=4"));
	for (i = 0; i < 4; i++) {
		pids[i] = go_load(maps[i], 100 * i, i);
		ASSERT_EQ(0, fault_wait(&self->fs, "SETUPMAPPING", i + 1));
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(ENDED_WELL, ended(pids[i], SOON_MS, NULL));
		EXPECT_EQ(0, mem_is_pattern(maps[i], 0, RANGE, i));
		munmap(maps[i], RANGE);
	}
}

TEST_F(late, reversed_reads)
{
	char name[16];
	pid_t pids[4];
	int i, fds[4];

	if (!dax_required())
		SKIP(return, "a driver may do without fallback");
	/* The first few reads of a small file fall back. */
	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		fds[i] = file_make(&self->fs, name, BLOCK, i);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, fault_set(&self->fs, "op=READ hold=4"));
	for (i = 0; i < 4; i++) {
		pids[i] = go_read(fds[i], 0, BLOCK, i);
		ASSERT_EQ(0, fault_wait(&self->fs, "READ", i + 1));
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(ENDED_WELL, ended(pids[i], SOON_MS, NULL));
		close(fds[i]);
	}
}

FIXTURE(length)
{
	struct dax_fs fs;
	struct fault_file file;
};

/* An answer that is cut off, or says that it is longer than it is. */
FIXTURE_VARIANT(length)
{
	const char *what;
};

FIXTURE_VARIANT_ADD(length, too_short) { .what = "short" };
FIXTURE_VARIANT_ADD(length, too_long) { .what = "long" };

FIXTURE_SETUP(length)
{
	FAULT_SETUP(self);
}

FIXTURE_TEARDOWN(length)
{
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a setup whose answer makes no sense may have been done or not.
 * Wrong: its range is used for another mapping as it is; or is lost; or the
 * error reaches read().
 * Right: the read falls back; the range is removed before it is used again; and
 * a fault gets SIGBUS or, at another attempt, memory.
 * in-tree 7.3: fails, EIO.
 */
TEST_F(length, of_setup)
{
	long removes = fault_requests(&self->fs, "removemapping"), took;
	int code;

	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING %s",
			       variant->what));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, SEED),
				    SOON_MS, &took));
	TH_LOG("read: %ld ms", took);
	EXPECT_EQ(1, fault_hits(&self->fs, "SETUPMAPPING"));
	if (counter(&self->fs, "ranges_total") >= 0) {
		EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free",
					  counter(&self->fs, "ranges_total")));
	}
	if (dax_required()) {
		EXPECT_EQ(removes + 1,
			  fault_requests(&self->fs, "removemapping"));
	}
	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING %s",
			       variant->what));
	code = ended(go_load(self->file.map, 5, SEED), SOON_MS, &took);
	TH_LOG("load: %ld ms, ended with %d", took, code);
	EXPECT_TRUE(code == ENDED_SIGBUS || code == ENDED_WELL);
	EXPECT_EQ(2, fault_hits(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(0, all_is_well(&self->fs, &self->file));
}

/*
 * Rule: a remove whose answer makes no sense may have been done or not.
 * Wrong: its ranges are used again as they are, or lost.
 * Right: it is repeated, and all ranges are free in the end.
 * in-tree 7.3: passes, as it takes no notice.
 */
TEST_F_TIMEOUT(length, of_remove, 60)
{
	long until = now_ms() + 15000, total;

	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, BLOCK, SEED),
				    SOON_MS, NULL));
	ASSERT_EQ(0, fault_set(&self->fs, "op=REMOVEMAPPING %s",
			       variant->what));
	fault_file_close(&self->file);
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	ASSERT_EQ(0, fault_wait(&self->fs, "REMOVEMAPPING", 1));
	total = counter(&self->fs, "ranges_total");
	while (counter(&self->fs, "ranges_free") != total && now_ms() < until)
		sleep_ms(20);
	EXPECT_EQ(total, counter(&self->fs, "ranges_free"));
	EXPECT_GE(0, counter(&self->fs, "ranges_bad"));
}

/*
 * Rule: other answers that make no sense are errors of that request.
 * Wrong: a hang, a warning, an error later, or bytes that nobody sent.
 * Right: an error, or what has come of a read and the rest by another one; then
 * all is well.
 * in-tree 7.3: passes.
 */
TEST_F(length, of_others)
{
	struct stat st;
	int code;

	ASSERT_EQ(0, fault_set(&self->fs, "op=SETUPMAPPING count=0 errno=12\n"
			       "op=READ %s\nop=WRITE %s", variant->what,
			       variant->what));
	code = ended(go_read(self->file.fd, 0, BLOCK, SEED), SOON_MS, NULL);
	TH_LOG("read ended with %d", code);
	if (dax_required()) {
		EXPECT_TRUE(code == EIO || code == ENDED_SHORT ||
			    code == ENDED_WELL);
		EXPECT_EQ(1, fault_hits(&self->fs, "READ"));
	}
	code = ended(go_write(self->file.fd, 0, BLOCK, SEED), SOON_MS, NULL);
	TH_LOG("write ended with %d", code);
	if (dax_required()) {
		EXPECT_EQ(EIO, code);
		EXPECT_EQ(1, fault_hits(&self->fs, "WRITE"));
	}
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(0, fstat(self->file.fd, &st));
	EXPECT_EQ(FAULT_SIZE, st.st_size);
	EXPECT_EQ(0, all_is_well(&self->fs, &self->file));
}

FIXTURE(size)
{
	struct dax_fs fs;
	struct fault_file file;
	pthread_t thread;
	bool runs;
	bool stop;
	long reads;
	long loads;
	long sigbus;
	int error;
};

/*
 * Reads and loads all the while: a read gives the data up to some end, a load a
 * byte or SIGBUS. Never beyond the true size, where the host has nothing.
 */
static void *use_all_the_time(void *arg)
{
	FIXTURE_DATA(size) *self = arg;
	char *buf = malloc(BLOCK);
	off_t pos = 0;
	ssize_t n;

	while (!__atomic_load_n(&self->stop, __ATOMIC_RELAXED)) {
		pos = (pos + 3 * BLOCK) % FAULT_SIZE;
		n = pread(self->file.fd, buf, BLOCK, pos);
		if (n < 0)
			self->error = errno;
		else if (mem_is_pattern(buf, pos, n, SEED))
			self->error = ENDED_WRONG;
		self->reads += n > 0;
		if (touch_read(self->file.map + pos) < 0)
			self->sigbus++;
		else
			self->loads++;
	}
	free(buf);
	return NULL;
}

static int tell_size(struct dax_fs *fs, uint64_t size)
{
	return fault_set(fs, "clear\nop=GETATTR count=0 size=%llu",
			 (unsigned long long)size);
}

static int ask_size(int fd, uint64_t *size)
{
	struct statx stx;
	int ret;

	ret = syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		      STATX_SIZE, &stx);
	*size = stx.stx_size;
	return ret;
}

static void stop_using(FIXTURE_DATA(size) *self)
{
	if (!self->runs)
		return;
	self->runs = false;
	__atomic_store_n(&self->stop, true, __ATOMIC_RELAXED);
	pthread_join(self->thread, NULL);
}

FIXTURE_SETUP(size)
{
	FAULT_SETUP(self);
	ASSERT_EQ(0, mem_is_pattern(self->file.map, 0, FAULT_SIZE, SEED));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, use_all_the_time,
				    self));
	self->runs = true;
}

FIXTURE_TEARDOWN(size)
{
	fault_clear(&self->fs);
	stop_using(self);
	FAULT_TEARDOWN(self);
}

/*
 * Rule: the size that the server tells may change at any time.
 * Wrong: a warning; EIO from read(); entries deleted under mapped pages; or data
 * that is gone when the size is back.
 * Right: reads end where the file ends, loads past it get SIGBUS; when the old
 * size is back, so is the data.
 * in-tree 7.3: fails, warnings in truncate_folio_batch_exceptionals(),
 * dax_disassociate_entry() and dax_insert_entry(), as entries go without a break.
 */
TEST_F_TIMEOUT(size, shrinks_and_grows, 60)
{
	static const uint64_t sizes[] = {
		FAULT_SIZE / 2, 0, FAULT_SIZE, PAGE, RANGE + 1,
		16 * FAULT_SIZE, 1, INT64_MAX, FAULT_SIZE - 1,
	};
	uint64_t size;
	size_t i;
	int pass;

	for (pass = 0; pass < 10; pass++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			ASSERT_EQ(0, tell_size(&self->fs, sizes[i]));
			EXPECT_EQ(0, ask_size(self->file.fd, &size));
			EXPECT_EQ(sizes[i], size);
			sleep_ms(5);
		}
	}
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(0, ask_size(self->file.fd, &size));
	EXPECT_EQ(FAULT_SIZE, size);
	stop_using(self);
	TH_LOG("%ld reads, %ld loads, %ld SIGBUS", self->reads, self->loads,
	       self->sigbus);
	EXPECT_EQ(0, self->error);
	EXPECT_LT(0, self->reads);
	EXPECT_LT(0, self->loads);
	EXPECT_LT(0, self->sigbus);
	EXPECT_EQ(0, all_is_well(&self->fs, &self->file));
}

/*
 * Rule: a size that no file can have is no size.
 * Wrong: it is taken for a negative one; a warning; a hang.
 * Right: an error of that request. Files without DAX are alike: what the inode
 * was is not trusted any more, and who looks the file up again gets a new one.
 * in-tree 7.3: passes.
 */
TEST_F(size, of_two_to_the_63)
{
	uint64_t size;
	int fd;

	ASSERT_EQ(0, tell_size(&self->fs, 1ULL << 63));
	EXPECT_EQ(-1, ask_size(self->file.fd, &size));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, fault_clear(&self->fs));
	stop_using(self);
	EXPECT_TRUE(!self->error || self->error == EIO);
	fault_file_close(&self->file);
	fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, 0, FAULT_SIZE, SEED));
	close(fd);
}

TEST_HARNESS_MAIN
