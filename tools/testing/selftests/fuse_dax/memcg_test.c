// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that use up the memory of their cgroup while they use files, with fewer
 * ranges than files: inodes are evicted, and tasks killed, in the middle of
 * everything.
 *
 * Needs CONFIG_MEMCG, cgroup v2 in /sys/fs/cgroup, and the right to make a group.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	61
#define RW	(PROT_READ | PROT_WRITE)
#define ROOT	"/sys/fs/cgroup"
#define GROUP	ROOT "/fuse_dax_test"
#define TASKS	2
#define RANGES	3
/* A file of a task, and the one that all of them read; both have a tail */
#define SIZE	(RANGE + 5 * PAGE)
#define COMMON	(2 * RANGES * RANGE + PAGE)
/* The longest that a round of someone outside of the group may take */
#define ROUND_MS (env_number("FUSE_DAX_SCALE", 100) < 100 ? 30000 : 5000)

enum { WELL, REFUSED, WRONG };

/**
 * struct task - what a task that uses files tells
 * @rounds: how many it has done
 * @refused: those of them that ended with an error
 * @longest: the longest took so many ms
 * @ready: it has done those for which there is no limit
 * @stop: it is to end
 */
struct task {
	long rounds;
	long refused;
	long longest;
	bool ready;
	bool stop;
};

FIXTURE(memcg)
{
	struct dax_fs fs;
	struct task *tasks;
	bool limited;
	bool grouped;
};

/*
 * @keep: what is mapped stays so, until there is no memory for page tables;
 * else inodes are evicted to make room
 * @rounds: how many the tasks do before there is a limit
 * @room: what the group may use then on top of what it has
 * @event: what happens to it
 * @events: so many times
 * @times: that a group is started
 */
FIXTURE_VARIANT(memcg)
{
	bool keep;
	int rounds;
	long room;
	const char *event;
	int events;
	int times;
};

FIXTURE_VARIANT_ADD(memcg, reclaim) {
	.keep = false, .rounds = 5, .room = -64L * KiB,
	.event = "\nmax ", .events = 2, .times = 1,
};

FIXTURE_VARIANT_ADD(memcg, kill) {
	.keep = true, .rounds = 1, .room = 192 * KiB,
	.event = "oom_kill ", .events = 1, .times = 3,
};

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -1;
	len = write(fd, text, strlen(text));
	close(fd);
	return len == (ssize_t)strlen(text) ? 0 : -1;
}

/* A number of a file of the group: the one behind @key, or the first; or -1. */
static long get(const char *path, const char *key)
{
	char text[4096], *at = text;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	if (key)
		at = strstr(text, key);
	return at ? atol(at + (key ? strlen(key) : 0)) : -1;
}

static int group_make(void)
{
	put(ROOT "/cgroup.subtree_control", "+memory");
	rmdir(GROUP);
	if (mkdir(GROUP, 0700))
		return -1;
	if (!access(GROUP "/memory.max", W_OK))
		return 0;
	rmdir(GROUP);
	return -1;
}

FIXTURE_SETUP(memcg)
{
	int fd;

	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED(group_make() == 0, "cannot make a cgroup with a limit of memory");
	self->grouped = true;
	if (window_ranges(&self->fs) < 0 || window_ranges(&self->fs) > 16) {
		NEED(fs_has_max_ranges(), "the window is too large");
		ASSERT_EQ(0, fs_set_max_ranges(&self->fs, RANGES));
		self->limited = true;
	}
	self->tasks = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->tasks);
	fd = file_make(&self->fs, "common", COMMON, SEED);
	ASSERT_LE(0, fd);
	close(fd);
}

FIXTURE_TEARDOWN(memcg)
{
	if (self->grouped) {
		EXPECT_EQ(0, rmdir(GROUP));
	}
	if (self->limited) {
		EXPECT_EQ(0, fs_set_max_ranges(&self->fs, 0));
	}
	FS_TEARDOWN(&self->fs);
}

/* What a task has open, so that it can give it up after SIGBUS, too. */
static struct {
	int fd;
	char *map;
	size_t len;
} file = { -1, MAP_FAILED, 0 };

static sigjmp_buf escape;

static void on_sigbus(int sig)
{
	siglongjmp(escape, 1);
}

/* How an operation ended: @ok, or by which errno */
static int outcome(bool ok)
{
	if (ok)
		return WELL;
	if (errno == ENOMEM)
		return REFUSED;
	fprintf(stderr, "# %s\n", strerror(errno));
	return WRONG;
}

static int file_open(struct dax_fs *fs, const char *name, int flags)
{
	file.fd = openat(fs->dirfd, name, flags | O_CLOEXEC, 0644);
	return outcome(file.fd >= 0);
}

static int file_map(off_t pos, size_t len, int prot)
{
	file.map = mmap(NULL, len, prot, MAP_SHARED, file.fd, pos);
	file.len = len;
	return outcome(file.map != MAP_FAILED);
}

static void file_close(bool keep)
{
	if (file.map != MAP_FAILED && !keep)
		munmap(file.map, file.len);
	if (file.fd >= 0)
		close(file.fd);
	file.map = MAP_FAILED;
	file.fd = -1;
}

/* A store, seen by a load and by a read; a write, seen by a load. */
static int use_map(uint64_t seed)
{
	char page[PAGE], byte;

	pattern_fill(file.map + 3 * PAGE, 3 * PAGE, PAGE, seed);
	if (mem_is_pattern(file.map + 3 * PAGE, 3 * PAGE, PAGE, seed) ||
	    mem_is_zero(file.map + SIZE - PAGE, PAGE))
		return WRONG;
	if (pread(file.fd, &byte, 1, 3 * PAGE + 77) != 1)
		return outcome(false);
	if (byte != file.map[3 * PAGE + 77])
		return WRONG;
	pattern_fill(page, RANGE, PAGE, seed);
	if (pwrite(file.fd, page, PAGE, RANGE) != PAGE)
		return outcome(false);
	return mem_is_pattern(file.map + RANGE, RANGE, PAGE, seed) ? WRONG :
								    WELL;
}

/* Makes a file, fills, maps and truncates it. It stays. */
static int use_own(struct dax_fs *fs, const char *name, uint64_t seed)
{
	int ret = file_open(fs, name, O_RDWR | O_CREAT);

	if (!ret)
		ret = outcome(!ftruncate(file.fd, SIZE));
	if (!ret)
		ret = file_map(0, SIZE, RW);
	if (!ret)
		ret = use_map(seed);
	if (!ret)
		ret = outcome(!ftruncate(file.fd, 4 * PAGE));
	if (!ret && mem_is_pattern(file.map + 3 * PAGE, 3 * PAGE, PAGE, seed))
		ret = WRONG;
	return ret;
}

/* Reads the file that all read, by read() and by loads. */
static int use_common(struct dax_fs *fs, off_t pos)
{
	int ret = file_open(fs, "common", O_RDONLY);
	char page[PAGE];

	if (!ret)
		ret = file_map(pos, PAGE, PROT_READ);
	if (!ret)
		ret = outcome(pread(file.fd, page, PAGE, pos) == PAGE);
	if (!ret && (mem_is_pattern(page, pos, PAGE, SEED) ||
		     mem_is_pattern(file.map, pos, PAGE, SEED)))
		ret = WRONG;
	return ret;
}

/* Makes empty files: the more inodes, the sooner some are evicted. */
static int make_more(struct dax_fs *fs, const char *name)
{
	char more[48];
	int i, ret = 0;

	for (i = 0; i < 8 && !ret; i++) {
		snprintf(more, sizeof(more), "%s-%d", name, i);
		ret = file_open(fs, more, O_RDWR | O_CREAT);
		file_close(false);
	}
	return ret;
}

/* One round of the task of number @nr: how it ended */
static int use_files(struct dax_fs *fs, struct task *task, int nr, bool keep)
{
	static unsigned int random;
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "%d-%ld", nr, task->rounds);
	if (sigsetjmp(escape, 1)) {
		file_close(false);
		return REFUSED;
	}
	ret = use_common(fs, rand_r(&random) % (COMMON / PAGE) * PAGE);
	file_close(false);
	if (ret)
		return ret;
	ret = use_own(fs, name, nr * 1000 + task->rounds);
	file_close(keep);
	return ret || keep ? ret : make_more(fs, name);
}

/*
 * A task, which ends with WELL when it is told to, with WRONG when something is.
 * After @rounds, when it has what it needs in any case, it waits for the end of
 * the pipe @go.
 */
static void run(struct dax_fs *fs, struct task *task, int nr, bool keep,
		int rounds, int go)
{
	long start, took;
	char byte;
	int ret;

	signal(SIGBUS, on_sigbus);
	while (!__atomic_load_n(&task->stop, __ATOMIC_RELAXED)) {
		start = now_ms();
		ret = use_files(fs, task, nr, keep);
		if (ret == WRONG)
			_exit(WRONG);
		took = now_ms() - start;
		task->refused += ret == REFUSED;
		task->rounds++;
		if (took > task->longest)
			task->longest = took;
		if (--rounds)
			continue;
		__atomic_store_n(&task->ready, true, __ATOMIC_RELEASE);
		if (read(go, &byte, 1))
			_exit(WRONG);
	}
	_exit(WELL);
}

/* A task which joins the group, or stays outside. */
static pid_t start(FIXTURE_DATA(memcg) *self, int nr, bool keep, int rounds,
		   const int *go)
{
	pid_t pid;

	self->tasks[nr].stop = false;
	self->tasks[nr].ready = false;
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(go[1]);
	if (nr < TASKS && put(GROUP "/cgroup.procs", "0"))
		_exit(WRONG);
	run(&self->fs, &self->tasks[nr], nr, keep, rounds, go[0]);
	_exit(WRONG);
}

/* Waits until a task has done what there is no limit for. */
static int ready(const struct task *task)
{
	long until = now_ms() + 8 * ROUND_MS;

	while (!__atomic_load_n(&task->ready, __ATOMIC_ACQUIRE)) {
		if (now_ms() > until)
			return -1;
		sleep_ms(5);
	}
	return 0;
}

/* Starts the tasks of the group, and lets them go once it has its limit. */
static int start_group(FIXTURE_DATA(memcg) *self,
		       const FIXTURE_VARIANT(memcg) *variant, pid_t *pids)
{
	int go[2], nr, ret = 0;
	char text[32];

	if (pipe(go) || put(GROUP "/memory.max", "max"))
		return -1;
	for (nr = 0; nr < TASKS; nr++)
		pids[nr] = start(self, nr, variant->keep, variant->rounds, go);
	for (nr = 0; nr < TASKS; nr++)
		ret |= ready(&self->tasks[nr]);
	snprintf(text, sizeof(text), "%ld",
		 get(GROUP "/memory.current", NULL) + variant->room);
	ret |= put(GROUP "/memory.max", text);
	close(go[0]);
	close(go[1]);
	return ret;
}

static pid_t start_outside(FIXTURE_DATA(memcg) *self)
{
	pid_t pid;
	int go[2];

	if (pipe(go))
		return -1;
	pid = start(self, TASKS, false, 1, go);
	close(go[0]);
	close(go[1]);
	return pid;
}

/* Whether a task ended as it should, or was killed by nobody but the kernel. */
static bool ended_well(pid_t pid, long ms)
{
	long until = now_ms() + ms;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (now_ms() > until)
			return false;
		sleep_ms(5);
	}
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL;
	return WIFEXITED(status) && WEXITSTATUS(status) == WELL;
}

/* Until @key of memory.events is @value, for so many rounds; 0 or -1. */
static int events_wait(const char *key, long value)
{
	long until = now_ms() + 24 * ROUND_MS;

	while (get(GROUP "/memory.events", key) < value) {
		if (now_ms() > until)
			return -1;
		sleep_ms(20);
	}
	return 0;
}

static int all_ranges_come_back(struct dax_fs *fs)
{
	fs_close(fs);
	drop_caches(2);
	return counters_at_rest(fs);
}

/*
 * Rule: the limit of a cgroup concerns its tasks.
 * Wrong: a warning, a hang or wrong data; a range that is lost with a task that
 * is killed; a task outside that waits for one inside.
 * Right: inside, success or ENOMEM (SIGBUS for a fault), at worst an OOM kill;
 * outside, all succeeds, no round takes over 5 s (30 s on a slow kernel); in the
 * end all ranges are free.
 * in-tree 7.3: passes (data only, it has no counters).
 */
TEST_F_TIMEOUT(memcg, limit, 900)
{
	struct task *tasks = self->tasks, *outside = &tasks[TASKS];
	pid_t pids[TASKS], other = start_outside(self);
	int i, nr;
	long events;

	for (i = 0; i < variant->times; i++) {
		events = get(GROUP "/memory.events", variant->event);
		ASSERT_LE(0, events);
		ASSERT_EQ(0, start_group(self, variant, pids));
		events += variant->events;
		EXPECT_EQ(0, events_wait(variant->event, events));
		for (nr = 0; nr < TASKS; nr++) {
			tasks[nr].stop = true;
			EXPECT_TRUE(ended_well(pids[nr], ROUND_MS));
		}
	}
	outside->stop = true;
	EXPECT_EQ(WELL, wait_within(other, ROUND_MS));
	for (i = 0; i <= TASKS; i++)
		TH_LOG("%s: %ld rounds, %ld refused, the longest took %ld ms",
		       i < TASKS ? "inside" : "outside", tasks[i].rounds,
		       tasks[i].refused, tasks[i].longest);
	TH_LOG("the limit was met %ld times, %ld killed",
	       get(GROUP "/memory.events", "\nmax "),
	       get(GROUP "/memory.events", "oom_kill "));
	EXPECT_EQ(0, outside->refused);
	EXPECT_LT(3, outside->rounds);
	EXPECT_GE(ROUND_MS, outside->longest);
	EXPECT_EQ(0, all_ranges_come_back(&self->fs));
}

/* Many small files, which a group with little memory reads */
#define SMALL		(64 * KiB)
#define SMALL_ROOM	(16 * MiB)
/* What else takes memory meanwhile */
#define SMALL_SLACK	(12 * MiB)

FIXTURE(small)
{
	struct dax_fs fs;
	bool grouped;
	int files;
};

FIXTURE_SETUP(small)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	NEED(group_make() == 0, "cannot make a cgroup with a limit of memory");
	self->grouped = true;
	self->files = scaled(175 * MiB) / SMALL;
	if (self->files < 4 * (int)(SMALL_ROOM / SMALL))
		self->files = 4 * SMALL_ROOM / SMALL;
	ASSERT_EQ(0, files_make(&self->fs, "small", self->files,
				SMALL, SEED));
	ASSERT_EQ(0, drop_caches(3));
}

FIXTURE_TEARDOWN(small)
{
	if (self->grouped) {
		EXPECT_EQ(0, rmdir(GROUP));
	}
	FS_TEARDOWN(&self->fs);
}

/* The files from the first to the last, by a task of the group */
static int small_read(struct dax_fs *fs, int files)
{
	static char buf[SMALL];
	char name[16];
	int i, fd;

	if (put(GROUP "/cgroup.procs", "0"))
		return -1;
	for (i = 0; i < files; i++) {
		snprintf(name, sizeof(name), "small%d", i);
		fd = openat(fs->dirfd, name, O_RDONLY);
		if (fd < 0 || read(fd, buf, SMALL) != SMALL ||
		    mem_is_pattern(buf, 0, SMALL, SEED + i))
			return -1;
		close(fd);
	}
	return 0;
}

static long meminfo(const char *key)
{
	return get("/proc/meminfo", key) * KiB;
}

/*
 * Rule: what a group keeps of small files is charged to it.
 * Wrong: memory of the guest is used beyond the limit of the group.
 * Right: as much as the group may have, and some of it is kept.
 * in-tree 7.3: keeps nothing.
 */
TEST_F_TIMEOUT(small, charged, 300)
{
	long kept, file, before;
	char text[32];
	pid_t pid;

	snprintf(text, sizeof(text), "%lu", SMALL_ROOM);
	ASSERT_EQ(0, put(GROUP "/memory.max", text));
	before = meminfo("MemFree:");
	pid = fork();
	if (!pid)
		_exit(small_read(&self->fs, self->files) ? WRONG : WELL);
	EXPECT_EQ(WELL, wait_within(pid, 200000));
	kept = before - meminfo("MemFree:");
	file = get(GROUP "/memory.stat", "file ");
	TH_LOG("of %lu MiB are kept: %ld KiB, charged: %ld KiB",
	       self->files * SMALL / MiB, kept / (long)KiB, file / (long)KiB);
	EXPECT_GE((long)(SMALL_ROOM + SMALL_SLACK), kept);
	EXPECT_LE((long)SMALL_ROOM / 4, file);
	EXPECT_EQ(0, get(GROUP "/memory.events", "oom_kill "));
}

TEST_HARNESS_MAIN
