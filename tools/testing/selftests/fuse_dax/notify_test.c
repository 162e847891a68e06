// SPDX-License-Identifier: GPL-2.0
/*
 * What the server says unasked, by the notification queue: that a file has
 * changed on the host, or is about to.
 *
 * "The host" is virtiofs-daxd-fault, which does to a file what an extended
 * attribute of it says: tools/virtiofs-daxd/fault/host.h. It may tell the guest,
 * or not. Another attribute, of the root, has it send any message, right or wrong.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <linux/fuse.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define RW		(PROT_READ | PROT_WRITE)
#define SEED		FAULT_SEED
#define SIZE		FAULT_SIZE
#define NOTIFY_XATTR	"trusted.daxd.notify"

/* Messages of one test that make no sense; FUSE_DAX_NONSENSE says how many */
#define NONSENSE	2000

/* So much more memory the kernel may then have for itself, KiB */
#define NONSENSE_KIB	8192

struct message {
	struct fuse_out_header header;
	char body[256];
};

static int send_raw(const struct dax_fs *fs, const void *msg, size_t len)
{
	return setxattr(fs->mnt, NOTIFY_XATTR, msg, len, 0);
}

static int say(const struct dax_fs *fs, int code, const void *body, size_t len)
{
	struct message msg = {
		.header = { .len = sizeof(msg.header) + len, .error = code },
	};

	memcpy(msg.body, body, len);
	return send_raw(fs, &msg, msg.header.len);
}

FIXTURE(notify)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_SETUP(notify)
{
	FAULT_SETUP(self);
	NEED(!fault_host(self->file.fd, "inval=-1,0"), "no notification queue");
}

FIXTURE_TEARDOWN(notify)
{
	FAULT_TEARDOWN(self);
}

/* How a load at @pos ends that may have to be repeated until the guest knows. */
static int load_ends(struct fault_file *file, off_t pos)
{
	return ended(go_load(file->map, pos, SEED), SOON_MS, NULL);
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/*
 * Rule: a file that was truncated on the host has no page past its end.
 * Wrong: whoever has it mapped is shown zeros there, or the VM ends.
 * Right: SIGBUS, from the moment at which the server's next answer comes; what is
 * left is as it was; read() ends where the file does.
 * in-tree 7.3: fails, it has no such queue.
 */
TEST_F_TIMEOUT(notify, truncated, 60)
{
	static const off_t sizes[] = { SIZE - 5, 3 * MiB, RANGE, MiB + 1, 1, 0 };
	char byte;
	int i;

	touch_pages(self->file.map, SIZE);
	for (i = 0; i < (int)ARRAY_SIZE(sizes); i++) {
		off_t size = sizes[i];
		off_t end = (size + PAGE - 1) & -PAGE;

		ASSERT_EQ(0, fault_host(self->file.fd,
					"truncate=%ld inval=%ld,0",
					(long)size, (long)size));
		if (end < SIZE)
			EXPECT_EQ(ENDED_SIGBUS, load_ends(&self->file, end));
		if (size)
			EXPECT_EQ(ENDED_WELL, load_ends(&self->file, size - 1));
		EXPECT_EQ(size, size_of(self->file.fd));
		EXPECT_EQ(0, pread(self->file.fd, &byte, 1, size));
		EXPECT_EQ(0, mem_is_pattern(self->file.map, 0, size, SEED));
	}
}

/* Has the host do something again and again, until it is killed */
static pid_t keep_saying(int fd, const char *what)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;; sleep_ms(1))
		if (fault_host(fd, "%s", what))
			_exit(ENDED_WRONG);
}

/*
 * Rule: a file may be written to on the host all the time, so that whatever the
 * server answers is overtaken by word of newer attributes.
 * Wrong: the size that is believed is one of before it was truncated, and what
 * lies behind its end shows zeros; or nobody gets on while it is written to.
 * Right: SIGBUS, and soon; what is left is as it was.
 */
TEST_F_TIMEOUT(notify, always_overtaken, 60)
{
	pid_t sayer;

	touch_pages(self->file.map, SIZE);
	ASSERT_EQ(0, fault_set(&self->fs, "op=GETATTR count=0 delay=20"));
	sayer = keep_saying(self->file.fd, "inval=-1,0");
	sleep_ms(100);
	ASSERT_EQ(0, fault_host(self->file.fd, "truncate=%ld inval=%ld,0", MiB,
				MiB));
	EXPECT_EQ(ENDED_SIGBUS, load_ends(&self->file, MiB));
	EXPECT_EQ(ENDED_WELL, load_ends(&self->file, 0));
	EXPECT_TRUE(goes_on(sayer, 0));
	EXPECT_LE(0, killed_after(sayer));
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(MiB, size_of(self->file.fd));
}

/*
 * Rule: so it is where the server says that what is mapped shows the data already.
 * Wrong: who reads the file, or faults, waits for as long as it is written to.
 * Right: he waits for what was said before he came; once all is mapped, for nothing.
 */
TEST_F_TIMEOUT(notify, always_shown, 60)
{
	pid_t sayer;
	off_t pos;
	int i;

	ASSERT_EQ(0, fault_set(&self->fs, "op=GETATTR count=0 delay=20"));
	sayer = keep_saying(self->file.fd, "inval=0,-1");
	sleep_ms(100);
	/* Up to the end, where nothing is mapped: as who follows a log */
	for (i = 0; i < 3; i++)
		EXPECT_EQ(ENDED_WELL,
			  ended(go_read(self->file.fd, SIZE - PAGE, PAGE, SEED),
				SOON_MS, NULL));
	for (pos = 0; pos < SIZE; pos += RANGE) {
		EXPECT_EQ(ENDED_WELL, load_ends(&self->file, pos));
		EXPECT_EQ(ENDED_WELL,
			  ended(go_read(self->file.fd, pos, PAGE, SEED), SOON_MS, NULL));
	}
	EXPECT_TRUE(goes_on(sayer, 0));
	EXPECT_LE(0, killed_after(sayer));
	ASSERT_EQ(0, fault_clear(&self->fs));
}

/* Stores to all pages there are, again and again, until it is killed */
static pid_t keep_storing(char *map)
{
	pid_t pid = fork();
	unsigned char byte;
	off_t pos;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (pos = 0;; pos = (pos + PAGE) % SIZE) {
		pattern_fill(&byte, pos, 1, SEED);
		touch_write(map + pos, byte);
	}
}

/* How many bytes are neither the pattern nor what a file has where nothing is */
static long foreign(const char *map, off_t pos, off_t end)
{
	char *data = malloc(SIZE);
	long bad = 0;

	pattern_fill(data, 0, SIZE, SEED);
	for (; pos < end; pos++)
		bad += map[pos] && map[pos] != data[pos];
	free(data);
	return bad;
}

/*
 * Rule: a file can be truncated on the host while it is stored and written to here.
 * Wrong: what was written after that is lost, or shows zeros, or the file ends
 * elsewhere; what the truncation left is not as it was; or somebody waits for ever.
 * Right: a write extends the file once more, a store past its end is SIGBUS.
 * in-tree 7.3: fails, it has no such queue.
 */
TEST_F_TIMEOUT(notify, truncated_and_written, 120)
{
	static const off_t sizes[] = { 3 * MiB + 5, RANGE, MiB + 1, PAGE, 0 };
	const off_t pos = SIZE - 16 * PAGE, end = SIZE - 8 * PAGE;
	const pid_t storer = keep_storing(self->file.map);
	char *map = self->file.map, *was = malloc(SIZE);
	int i;

	for (i = 0; i < 4 * (int)ARRAY_SIZE(sizes); i++) {
		off_t size = sizes[i % ARRAY_SIZE(sizes)];
		long until = now_ms() + SOON_MS;

		ASSERT_EQ(0, file_write(self->file.fd, 0, SIZE, SEED));
		ASSERT_EQ(0, fault_host(self->file.fd,
					"later=%d truncate=%ld inval=%ld,0", i,
					(long)size, (long)size));
		do {
			ASSERT_EQ(0, file_write(self->file.fd, pos, end - pos,
						SEED));
			ASSERT_GT(until, now_ms());
		} while (size_of(self->file.fd) == (off_t)SIZE);

		ASSERT_EQ(0, file_write(self->file.fd, pos, end - pos, SEED));
		EXPECT_EQ(end, size_of(self->file.fd));
		EXPECT_EQ(0, file_is_pattern(self->file.fd, pos, end - pos,
					     SEED));
		EXPECT_EQ(ENDED_SIGBUS, load_ends(&self->file, end));
		EXPECT_EQ(ENDED_SIGBUS, ended(go_store(map, end, SEED), SOON_MS,
					      NULL));
		ASSERT_EQ(ENDED_WELL, load_ends(&self->file, pos));
		EXPECT_EQ(0, mem_is_pattern(map + pos, pos, end - pos, SEED));
		EXPECT_EQ(0, mem_is_pattern(map, 0, size, SEED));
		EXPECT_EQ(0, foreign(map, size, pos));
	}
	EXPECT_TRUE(goes_on(storer, 0));
	EXPECT_LE(0, killed_after(storer));

	/* What is seen is what the server has */
	memcpy(was, map, end);
	fault_file_close(&self->file);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	self->file.fd = openat(self->fs.dirfd, "file", O_RDWR | O_CLOEXEC);
	EXPECT_EQ(end, size_of(self->file.fd));
	ASSERT_EQ(end, pread(self->file.fd, map = malloc(SIZE), SIZE, 0));
	EXPECT_EQ(0, memcmp(was, map, end));
}

/*
 * Rule: what the host adds to a file is there.
 * Wrong: SIGBUS, or nothing to be read, until a timeout is over.
 * Right: at once.
 */
TEST_F_TIMEOUT(notify, grown, 60)
{
	char byte = 1;

	EXPECT_EQ(SIZE, size_of(self->file.fd));
	ASSERT_EQ(0, fault_host(self->file.fd, "truncate=%ld inval=0,0", RANGE));
	EXPECT_EQ(ENDED_SIGBUS, load_ends(&self->file, RANGE));
	ASSERT_EQ(0, fault_host(self->file.fd, "truncate=%ld inval=%ld,0", SIZE, RANGE));
	EXPECT_EQ(0, touch_read(self->file.map + SIZE - 1));
	EXPECT_EQ(1, pread(self->file.fd, &byte, 1, SIZE - 1));
	EXPECT_EQ(0, byte);
	EXPECT_EQ(SIZE, size_of(self->file.fd));

	ASSERT_EQ(0, fault_host(self->file.fd, "truncate=%ld inval=-1,0", SIZE + 9));
	EXPECT_EQ(SIZE + 9, size_of(self->file.fd));
	EXPECT_EQ(1, pread(self->file.fd, &byte, 1, SIZE + 8));
}

/*
 * Rule: the guest gives up what it is told to, and says so by removes.
 * Wrong: mappings stay; or the data is not to be had any more.
 * Right: none is left, and whoever needs the data has it mapped again.
 */
TEST_F_TIMEOUT(notify, given_up, 60)
{
	long removes;

	NEED_COUNTERS(&self->fs);
	touch_pages(self->file.map, SIZE);
	removes = fault_requests(&self->fs, "removemapping");
	EXPECT_LT(0, counter(&self->fs, "mappings_live"));
	ASSERT_EQ(0, fault_host(self->file.fd, "inval=0,0"));
	EXPECT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
	EXPECT_EQ(0, counter_wait(&self->fs, "ranges_free",
				  counter(&self->fs, "ranges_total")));
	EXPECT_LT(removes, fault_requests(&self->fs, "removemapping"));
	EXPECT_EQ(0, mem_is_pattern(self->file.map, 0, SIZE, SEED));
	EXPECT_EQ(0, file_is_pattern(self->file.fd, 0, SIZE, SEED));
}

/*
 * Rule: a page that somebody has pinned keeps its mapping, until it is idle.
 * Wrong: it is given up, and the pin is of another file's memory; or it is never
 * given up; or others wait for the pin.
 * Right: the mapping goes when the pin has gone; meanwhile the file can be used.
 */
TEST_F_TIMEOUT(notify, pinned, 60)
{
	char page[PAGE];
	int pipefd[2];

	NEED_COUNTERS(&self->fs);
	touch_pages(self->file.map, SIZE);
	ASSERT_EQ(0, pin_page(self->file.map + PAGE, pipefd));
	ASSERT_EQ(0, fault_host(self->file.fd, "inval=0,0"));
	sleep_ms(300);
	EXPECT_LT(0, counter(&self->fs, "mappings_live"));
	EXPECT_EQ(ENDED_WELL, load_ends(&self->file, 0));
	EXPECT_EQ(ENDED_WELL, load_ends(&self->file, SIZE - 1));
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, mem_is_pattern(page, PAGE, PAGE, SEED));
	EXPECT_EQ(0, counter_wait(&self->fs, "mappings_live", 0));
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * Rule: who waits until it is known what has changed can be killed.
 * Wrong: the task stays, or others with it.
 * Right: gone within a second, while the server is silent.
 */
TEST_F_TIMEOUT(notify, waiter_is_killable, 60)
{
	long gone;
	pid_t pid;

	touch_pages(self->file.map, SIZE);
	ASSERT_EQ(0, fault_set(&self->fs, "op=GETATTR count=0 silence"));
	ASSERT_EQ(0, fault_host(self->file.fd, "inval=0,0"));
	pid = go_load(self->file.map, 5, SEED);
	EXPECT_TRUE(goes_on(pid, 300));
	gone = killed_after(pid);
	TH_LOG("gone %ld ms after SIGKILL", gone);
	EXPECT_LE(0, gone);
	EXPECT_GE(GONE_MS, gone);
	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, load_ends(&self->file, 5));
}

/*
 * Rule: what the server could not say is said by one message, that all has to be
 * asked for anew.
 * Wrong: the guest believes what it believed.
 * Right: it knows of a change of which it was not told.
 */
TEST_F_TIMEOUT(notify, lost_words, 60)
{
	touch_pages(self->file.map, SIZE);
	EXPECT_EQ(SIZE, size_of(self->file.fd));
	ASSERT_EQ(0, fault_host(self->file.fd, "truncate=%ld", MiB));
	ASSERT_EQ(0, say(&self->fs, FUSE_NOTIFY_INC_EPOCH, NULL, 0));
	/* By a worker: not before the next answer, but soon */
	while (size_of(self->file.fd) != (off_t)MiB)
		sleep_ms(1);
	EXPECT_EQ(ENDED_SIGBUS, load_ends(&self->file, MiB));
	EXPECT_EQ(ENDED_WELL, load_ends(&self->file, 0));
}

#define FILES	100
/* Files at a time of which the guest asks for attributes */
#define AT_A_TIME	16

/*
 * Rule: however much there is to be asked for anew, little is at a time.
 * Wrong: a request for each file, and a task that waits for it.
 * Right: some; all of them when the server answers.
 */
TEST_F_TIMEOUT(notify, lost_words_of_many, 60)
{
	long asked = fault_requests(&self->fs, "getattr"), hits;
	long until = now_ms() + 4 * SOON_MS;
	char name[16];
	int i;

	for (i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		close(file_make(&self->fs, name, PAGE, i));
	}
	ASSERT_EQ(0, fault_set(&self->fs, "op=GETATTR count=0 silence"));
	ASSERT_EQ(0, say(&self->fs, FUSE_NOTIFY_INC_EPOCH, NULL, 0));
	sleep_ms(1000);
	hits = fault_hits(&self->fs, "GETATTR");
	TH_LOG("%ld of %d files asked for at a time", hits, FILES);
	EXPECT_LT(0, hits);
	EXPECT_GE(AT_A_TIME, hits);
	ASSERT_EQ(0, fault_clear(&self->fs));
	while (fault_requests(&self->fs, "getattr") - asked < FILES) {
		ASSERT_GT(until, now_ms());
		sleep_ms(1);
	}
}

/* A name that the guest takes for granted is looked up again. */
TEST_F_TIMEOUT(notify, entry, 60)
{
	const char *name = strrchr(self->fs.dir, '/') + 1;
	struct {
		struct fuse_notify_inval_entry_out arg;
		char name[64];
	} body = {
		.arg = { .parent = FUSE_ROOT_ID, .namelen = strlen(name) },
	};
	long before, until = now_ms() + SOON_MS;
	struct stat st;

	strcpy(body.name, name);
	ASSERT_EQ(0, stat(self->fs.dir, &st));
	before = fault_requests(&self->fs, "lookup");
	ASSERT_EQ(0, say(&self->fs, FUSE_NOTIFY_INVAL_ENTRY, &body,
			 sizeof(body.arg) + strlen(name) + 1));
	do {
		ASSERT_EQ(0, stat(self->fs.dir, &st));
		ASSERT_GT(until, now_ms());
	} while (fault_requests(&self->fs, "lookup") == before);
}

/* A message that makes no sense, by @seed */
static size_t nonsense(struct message *msg, unsigned int *seed)
{
	size_t len = sizeof(msg->header) + rand_r(seed) % 80;
	unsigned int i;

	msg->header.len = rand_r(seed) % 4 ? len : rand_r(seed);
	msg->header.error = rand_r(seed) % 4 ? rand_r(seed) % 12 : rand_r(seed);
	msg->header.unique = rand_r(seed) % 8 ? 0 : rand_r(seed);
	for (i = 0; i < sizeof(msg->body); i++)
		msg->body[i] = rand_r(seed) % 3 ? 0 : rand_r(seed);
	/* Often of a node that there is, and a range or name that there is not */
	if (rand_r(seed) % 2)
		msg->body[0] = rand_r(seed) % 8;
	return rand_r(seed) % 4 ? len : rand_r(seed) % len;
}

/* What the kernel has for itself and will not give up, KiB */
static long kernel_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "SUnreclaim: %ld", &kib);
	if (file)
		fclose(file);
	return kib;
}

/*
 * Rule: a server may say anything.
 * Wrong: the kernel warns, or breaks; or it keeps something of each message; or
 * messages that make sense do not arrive any more.
 * Right: nothing comes of what makes no sense.
 */
TEST_F_TIMEOUT(notify, nonsense, 7200)
{
	long number = env_number("FUSE_DAX_NONSENSE", NONSENSE), before, i;
	unsigned int seed = env_number("FUSE_DAX_EXERCISE_SEED", 1);
	struct message msg;

	touch_pages(self->file.map, SIZE);
	before = kernel_memory();
	ASSERT_LT(0, before);
	for (i = 0; i < number; i++) {
		size_t len = nonsense(&msg, &seed);

		ASSERT_EQ(0, send_raw(&self->fs, &msg, len)) {
			TH_LOG("message %ld: %s", i, strerror(errno));
		}
	}
	TH_LOG("%ld messages, %ld KiB more", number, kernel_memory() - before);
	EXPECT_GT(before + NONSENSE_KIB, kernel_memory());
	EXPECT_EQ(0, mem_is_pattern(self->file.map, 0, SIZE, SEED));
	ASSERT_EQ(0, fault_host(self->file.fd, "truncate=%ld inval=0,0", MiB));
	EXPECT_EQ(ENDED_SIGBUS, load_ends(&self->file, MiB));
}

/* Loads, until it is killed; what it sees is right. */
static pid_t keep_loading(const char *map, size_t len)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!mem_is_pattern(map, 0, len, SEED))
		;
	_exit(ENDED_WRONG);
}

/* How long a page is held, ms */
#define HOLD_MS	10

/* Holds a page for a while, and at once again, until it is killed. */
static pid_t keep_holding(char *page)
{
	pid_t pid = fork();
	char buf[PAGE];
	int pipefd[2];

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (pin_page(page, pipefd))
			_exit(ENDED_WRONG);
		sleep_ms(HOLD_MS);
		if (read(pipefd[0], buf, PAGE) != PAGE)
			_exit(ENDED_SHORT);
		close(pipefd[0]);
		close(pipefd[1]);
	}
}

/* Whether the guest gives up what is mapped each time that it is told to, soon */
static bool is_given_up(struct dax_fs *fs, struct fault_file *file, size_t len,
			int times)
{
	while (times--) {
		long removes = fault_requests(fs, "removemapping");
		long until = now_ms() + SOON_MS;

		/* Something is mapped, by this one if not by others */
		touch_pages(file->map, len);
		if (fault_host(file->fd, "inval=0,0"))
			return false;
		while (fault_requests(fs, "removemapping") == removes) {
			if (now_ms() > until)
				return false;
			sleep_ms(1);
		}
	}
	return true;
}

/*
 * Rule: pages that many hold for a moment, as all do who unmap them, are given up.
 * Wrong: as there is always one who does, they are not, while somebody on the host
 * waits for that.
 * Right: a remove, soon after each word; and nobody is stopped.
 */
TEST_F_TIMEOUT(notify, held_by_one_after_the_other, 60)
{
	pid_t pids[8];
	int i;

	/* One range: it goes as a whole */
	ASSERT_EQ(0, ftruncate(self->file.fd, RANGE));
	for (i = 0; i < (int)ARRAY_SIZE(pids); i++)
		pids[i] = keep_holding(self->file.map + PAGE);
	EXPECT_TRUE(is_given_up(&self->fs, &self->file, RANGE, 10));
	for (i = 0; i < (int)ARRAY_SIZE(pids); i++) {
		EXPECT_TRUE(goes_on(pids[i], 0));
		EXPECT_LE(0, killed_after(pids[i]));
	}
}

/*
 * Rule: what is used all the time is given up all the same, and is right.
 * Wrong: nothing is ever given up, somebody is shown other data, or nobody gets
 * on any more; or an unmount waits for it.
 * Right: as many removes as words.
 */
TEST_F_TIMEOUT(notify, used_all_the_time, 120)
{
	pid_t pids[8];
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(pids); i++)
		pids[i] = keep_loading(self->file.map, SIZE);
	EXPECT_TRUE(is_given_up(&self->fs, &self->file, SIZE, 50));
	for (i = 0; i < (int)ARRAY_SIZE(pids); i++) {
		EXPECT_TRUE(goes_on(pids[i], 0));
		EXPECT_LE(0, killed_after(pids[i]));
	}
	/* In the middle of it */
	for (i = 0; i < 200; i++)
		fault_host(self->file.fd, "inval=0,0");
	fault_file_close(&self->file);
	EXPECT_EQ(0, fs_remount(&self->fs, fs_first_options()));
}

TEST_HARNESS_MAIN
