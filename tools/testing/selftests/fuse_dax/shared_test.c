// SPDX-License-Identifier: GPL-2.0
/*
 * A file that the host changes while it is mapped: truncated, emptied, copied over,
 * collapsed, punched, replaced, appended to; one on each share that the machine has,
 * at the same time. "The host" is scripts/host-hand
 * (FUSE_DAX_HOST_HAND=1), which does that to FILE from when there is a FILE.churn,
 * which it renames to FILE.churning, until that is gone; then it makes FILE a copy
 * of FILE.more, and a FILE.done. When there is a FILE.cut it truncates FILE to its
 * half, tells by FILE.took how long that took, us, and makes FILE what it was.
 *
 *   FUSE_DAX_SECS   how long (20)
 *   FUSE_DAX_GUARD  1: the server waits for the guest before a change is made
 */
#include <signal.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SIZE		(3 * MiB)
/* Of each share */
#define MAPPERS		8
#define MOST		4

/* Where the host makes holes: from, and up to */
#define HOLE		(1 * MiB)
#define HOLE_END	(HOLE + 256 * KiB)

/* How long the guest may believe what it is not told, ms */
#define SYNC_MS		3000

/* --guard-timeout of the server, ms */
#define GUARD_MS	10000

/**
 * struct seen - what the mappers have seen, in memory that they share
 * @stop: they shall end
 * @right: pages with data
 * @past: SIGBUS, or an end of the file
 * @zeros: pages that showed zeros, where a file never has any
 * @read_zeros: the same of what was read
 * @holes: zeros where the host makes holes, mapped or read
 * @errors: reads that failed
 * @failed: mappers that could not go on
 * @round: mappers shall have touched all there is, for the so manyth time
 * @ready: how often one of them has
 */
struct seen {
	int stop;
	long right;
	long past;
	long zeros;
	long read_zeros;
	long holes;
	long errors;
	long failed;
	long round;
	long ready;
};

FIXTURE(shared)
{
	int count;
	struct dax_fs fs[MOST];
	struct seen *seen;
};

FIXTURE_SETUP(shared)
{
	if (!getenv("FUSE_DAX_HOST_HAND"))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	self->count = shares_count();
	ASSERT_GE(MOST, self->count);
	FS_SETUP(&self->fs[0]);
	NEED_DAX(&self->fs[0]);
	for (int i = 1; i < self->count; i++)
		ASSERT_EQ(0, share_open(&self->fs[i], i + 1));
	self->seen = mmap(NULL, MOST * sizeof(*self->seen),
			  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	ASSERT_NE(MAP_FAILED, self->seen);
}

FIXTURE_TEARDOWN(shared)
{
	for (int i = 1; i < self->count; i++)
		EXPECT_EQ(0, share_close(&self->fs[i]));
	FS_TEARDOWN(&self->fs[0]);
}

/* A file of which no byte is 0 */
static int make(struct dax_fs *fs, const char *name)
{
	int fd = openat(fs->dirfd, name, O_CREAT | O_TRUNC | O_RDWR, 0644);
	char page[PAGE];
	off_t pos;

	for (pos = 0; fd >= 0 && pos < (off_t)SIZE; pos += PAGE) {
		memset(page, 1 + pos / PAGE % 255, PAGE);
		if (pwrite(fd, page, PAGE, pos) != PAGE) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

static bool stopped(struct seen *seen)
{
	return __atomic_load_n(&seen->stop, __ATOMIC_RELAXED);
}

static void count(struct seen *seen, off_t pos, int byte, long *zeros)
{
	bool hole = pos >= (off_t)HOLE && pos < (off_t)HOLE_END;
	long *what = byte < 0 ? &seen->past : byte ? &seen->right : zeros;

	if (!byte && hole)
		what = &seen->holes;
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* Looks at pages of a file by map and by read. */
static int look(struct dax_fs *fs, struct seen *seen, unsigned int *seed)
{
	int fd = openat(fs->dirfd, "f", O_RDONLY);
	char *map, byte;
	int i;

	if (fd < 0)
		return -1;
	map = map_file(fd, SIZE, PROT_READ, MAP_SHARED);
	for (i = 0; map != MAP_FAILED && i < 500 && !stopped(seen); i++) {
		off_t pos = rand_r(seed) % (SIZE / PAGE) * PAGE;
		ssize_t n;

		count(seen, pos, touch_read(map + pos), &seen->zeros);
		n = pread(fd, &byte, 1, pos);
		if (n < 0)
			__atomic_add_fetch(&seen->errors, 1, __ATOMIC_RELAXED);
		else
			count(seen, pos, n ? (unsigned char)byte : -1,
			      &seen->read_zeros);
	}
	if (map != MAP_FAILED)
		munmap(map, SIZE);
	close(fd);
	return map == MAP_FAILED ? -1 : 0;
}

static pid_t go_look(struct dax_fs *fs, struct seen *seen, unsigned int seed)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	while (!stopped(seen))
		if (look(fs, seen, &seed))
			__atomic_add_fetch(&seen->failed, 1, __ATOMIC_RELAXED);
	_exit(0);
}

/*
 * The host begins. A file that comes by another name is not guarded yet when it is
 * changed, so with a guard there is none.
 */
static int go_churn(struct dax_fs *fs)
{
	int fd = openat(fs->dirfd, "f.new", O_CREAT | O_WRONLY, 0644);
	int err = 0;

	if (env_number("FUSE_DAX_GUARD", 0))
		err = write(fd, "same inode", 10) != 10;
	close(fd);
	return err ?: renameat(fs->dirfd, "f.new", fs->dirfd, "f.churn");
}

static bool there_is(struct dax_fs *fs, const char *name, long ms)
{
	long until = now_ms() + ms;

	while (faccessat(fs->dirfd, name, F_OK, 0)) {
		if (now_ms() > until)
			return false;
		sleep_ms(20);
	}
	return true;
}

static bool page_is(const char *page, off_t pos)
{
	char want[PAGE];

	memset(want, 1 + pos / PAGE % 255, PAGE);
	return !memcmp(page, want, PAGE);
}

/*
 * Whether a file is what make() made, each byte of it by map and by read, and
 * nothing behind its end
 */
static bool is_whole(struct dax_fs *fs)
{
	int fd = openat(fs->dirfd, "f", O_RDONLY), bad = 0;
	char *map = map_file(fd, SIZE + PAGE, PROT_READ, MAP_SHARED);
	uint64_t words[PAGE / sizeof(uint64_t)];
	char *page = (char *)words;
	struct stat st;
	off_t pos;

	bad += fstat(fd, &st) || st.st_size != (off_t)SIZE;
	for (pos = 0; !bad && pos < (off_t)SIZE; pos += PAGE)
		bad += touch_copy(page, map + pos) || !page_is(page, pos) ||
		       pread(fd, page, PAGE, pos) != PAGE ||
		       !page_is(page, pos);
	bad += touch_read(map + SIZE) != -1 || pread(fd, page, 1, SIZE);
	munmap(map, SIZE + PAGE);
	close(fd);
	return !bad;
}

/* The same, as soon as the guest must know */
static bool is_whole_soon(struct dax_fs *fs)
{
	long until = now_ms() + SYNC_MS;

	while (!is_whole(fs)) {
		if (now_ms() > until)
			return false;
		sleep_ms(50);
	}
	return true;
}

/* What kind of file system scripts/vm-on has put the share on, if it has */
static void filesystem(struct dax_fs *fs, char *name, size_t len)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(name, len, "%s", fs->tag);
	snprintf(path, sizeof(path), "%s/filesystem", fs->mnt);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(name, len, file))
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
}

/* Processes that look at the files of all shares */
static void start_mappers(FIXTURE_DATA(shared) *self,
			  pid_t pids[MOST][MAPPERS])
{
	long until;
	int i, n;

	for (i = 0; i < self->count; i++) {
		close(make(&self->fs[i], "f.more"));
		close(make(&self->fs[i], "f"));
		for (n = 0; n < MAPPERS; n++)
			pids[i][n] = go_look(&self->fs[i], &self->seen[i], n);
	}
	/* What is not mapped is not guarded */
	until = now_ms() + 60000;
	for (i = 0; i < self->count; i++)
		while (__atomic_load_n(&self->seen[i].right, __ATOMIC_RELAXED) <
		       MAPPERS && now_ms() < until)
			sleep_ms(20);
}

/* How many of them did not end well, or not at all */
static int stop_mappers(FIXTURE_DATA(shared) *self, pid_t pids[MOST][MAPPERS])
{
	int i, n, bad = 0;

	for (i = 0; i < self->count; i++)
		__atomic_store_n(&self->seen[i].stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < self->count; i++)
		for (n = 0; n < MAPPERS; n++)
			if (wait_within(pids[i][n], 10000)) {
				kill(pids[i][n], SIGKILL);
				bad++;
			}
	return bad;
}

/*
 * Rule: a file may be changed on the host in any way while it is mapped.
 * Wrong: the VM ends, or a task hangs, or it is shown zeros past the end for data;
 * or it keeps what it saw then.
 * Right: data, or SIGBUS, or the end of the file; in the end what there is.
 * in-tree 7.3: the VM ends.
 */
TEST_F_TIMEOUT(shared, changed_by_the_host, 7200)
{
	pid_t pids[MOST][MAPPERS];
	char name[16];
	int i;

	start_mappers(self, pids);
	for (i = 0; i < self->count; i++)
		ASSERT_EQ(0, go_churn(&self->fs[i]));
	sleep(env_number("FUSE_DAX_SECS", 20));
	EXPECT_EQ(0, stop_mappers(self, pids));
	for (i = 0; i < self->count; i++)
		ASSERT_EQ(0, unlinkat(self->fs[i].dirfd, "f.churning", 0));
	for (i = 0; i < self->count; i++) {
		struct seen *seen = &self->seen[i];

		filesystem(&self->fs[i], name, sizeof(name));
		EXPECT_TRUE(there_is(&self->fs[i], "f.done", 30000));
		EXPECT_TRUE(is_whole_soon(&self->fs[i]));
		TH_LOG("%s: %ld with data, %ld past the end, %ld in holes",
		       name, seen->right, seen->past, seen->holes);
		TH_LOG("%s: %ld of zeros mapped, %ld read, %ld errors, %ld failed",
		       name, seen->zeros, seen->read_zeros, seen->errors,
		       seen->failed);
		EXPECT_LT(1000, seen->right);
		EXPECT_LT(0, seen->past);
		EXPECT_EQ(0, seen->errors + seen->failed);
		if (env_number("FUSE_DAX_GUARD", 0))
			EXPECT_EQ(0, seen->zeros + seen->read_zeros);
	}
}

/* Has all of a file in its page tables, each time that it is asked to */
static pid_t go_hold(struct dax_fs *fs, struct seen *seen)
{
	pid_t pid = fork();
	long round = 0;
	char *map;

	if (pid)
		return pid;
	map = map_file(openat(fs->dirfd, "f", O_RDONLY), SIZE, PROT_READ,
		       MAP_SHARED);
	for (; !stopped(seen); sleep_ms(5)) {
		if (__atomic_load_n(&seen->round, __ATOMIC_ACQUIRE) == round)
			continue;
		round++;
		for (off_t pos = 0; pos < (off_t)SIZE; pos += PAGE)
			touch_read(map + pos);
		__atomic_add_fetch(&seen->ready, 1, __ATOMIC_RELEASE);
	}
	_exit(0);
}

/* How long it took the host to truncate the file, us; or -1 */
static long cut(struct dax_fs *fs)
{
	char text[32] = "";
	int fd;

	/* What was removed on the host is believed to be there for a while */
	close(openat(fs->dirfd, "f.ask", O_CREAT | O_WRONLY, 0644));
	if (renameat(fs->dirfd, "f.ask", fs->dirfd, "f.cut") ||
	    !there_is(fs, "f.took", 60000))
		return -1;
	fd = openat(fs->dirfd, "f.took", O_RDONLY);
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	close(fd);
	unlinkat(fs->dirfd, "f.took", 0);
	return text[0] ? atol(text) : -1;
}

static int by_size(const void *a, const void *b)
{
	return *(const long *)a < *(const long *)b ? -1 : 1;
}

#define CUTS	9

/* What it takes while so many have the file mapped; the longest is last */
static bool cuts(struct dax_fs *fs, struct seen *seen, int mappers,
		 long times[CUTS])
{
	pid_t pids[32];
	bool done = true;
	int i;

	seen->stop = 0;
	seen->round = 0;
	seen->ready = 0;
	for (i = 0; i < mappers; i++)
		pids[i] = go_hold(fs, seen);
	for (i = 0; done && i < CUTS; i++) {
		is_whole_soon(fs);
		__atomic_add_fetch(&seen->round, 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&seen->ready, __ATOMIC_ACQUIRE) <
		       (i + 1L) * mappers)
			sleep_ms(5);
		/* is_whole() has had it mapped */
		if (!mappers)
			drop_caches(3);
		times[i] = cut(fs);
		done = times[i] >= 0;
	}
	__atomic_store_n(&seen->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < mappers; i++)
		done &= wait_within(pids[i], 10000) == 0;
	qsort(times, CUTS, sizeof(*times), by_size);
	return done;
}

/*
 * Rule: with a guard the host waits for the guest no longer than it was told to.
 * Wrong: a truncation takes longer. Right: what is printed.
 */
TEST_F_TIMEOUT(shared, the_host_does_not_wait_long, 600)
{
	long none[CUTS], one[CUTS], many[CUTS];

	if (!env_number("FUSE_DAX_GUARD", 0))
		SKIP(return, "FUSE_DAX_GUARD is not set: nobody waits");
	close(make(&self->fs[0], "f.more"));
	close(make(&self->fs[0], "f"));
	ASSERT_TRUE(cuts(&self->fs[0], self->seen, 0, none));
	ASSERT_TRUE(cuts(&self->fs[0], self->seen, 1, one));
	ASSERT_TRUE(cuts(&self->fs[0], self->seen, 32, many));
	TH_LOG("a truncation takes %ld us, with 1 mapper %ld, with 32 %ld; at most %ld, %ld, %ld",
	       none[CUTS / 2], one[CUTS / 2], many[CUTS / 2], none[CUTS - 1],
	       one[CUTS - 1], many[CUTS - 1]);
	EXPECT_GT(GUARD_MS * 1000, one[CUTS - 1]);
	EXPECT_GT(GUARD_MS * 1000, many[CUTS - 1]);
}

TEST_HARNESS_MAIN
