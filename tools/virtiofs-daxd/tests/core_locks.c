// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File locks of a guest, through the whole daemon: who may wait, who would wait
 * for ever, and what the host notices.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"
#include "frontend.h"
#include "fs_tap.h"
#include "slots.h"

#define FIRST 8		/* slot of the first request that waits */
#define ROOM (FE_QUEUE_SIZE / 2)

static struct frontend fe;

static const char *const plain[] = { "--log-level", "warn", NULL };
static const char *const readonly[] = {
	"--readonly", "--log-level", "warn", NULL
};
static const char *const local[] = {
	"--no-remote-locks", "--log-level", "warn", NULL
};

/* Handles of the files "a", "b" and "c". */
static uint64_t fh[3];

static bool begin(const char *const *options, uint32_t flags)
{
	static const char *const names[] = { "a", "b", "c" };
	int error;

	slots_reset();
	if (!fe_begin(&fe, options))
		return false;
	for (int i = 0; i < 3; i++) {
		if (!fe_file(&fe, names[i], 1000))
			return false;
		fh[i] = fe_open(&fe, fe_lookup(&fe, names[i], NULL), flags,
				&error);
		if (error)
			return false;
	}
	return true;
}

/* A lock of bytes [start, end], as errno of the answer. */
static int lock_range(unsigned int slot, uint32_t opcode, int file,
		      uint64_t owner, uint32_t type, uint64_t start,
		      uint64_t end)
{
	const struct fuse_lk_in in = {
		.fh = fh[file],
		.owner = owner,
		.lk = { .start = start, .end = end, .type = type },
	};

	slot_ask(&fe, slot, SLOT_REQUESTS, 1, opcode, FUSE_ROOT_ID, &in,
		 sizeof(in));
	return slot_wait(&fe, slot, opcode == FUSE_SETLKW ? 200 : 2000);
}

static int lock(int file, uint64_t owner, uint32_t type)
{
	return lock_range(0, FUSE_SETLK, file, owner, type, 0, 99);
}

static int lock_wait(unsigned int slot, int file, uint64_t owner, uint32_t type)
{
	return lock_range(slot, FUSE_SETLKW, file, owner, type, 0, 99);
}

static int bsd_lock(uint32_t opcode, uint64_t handle, uint32_t type)
{
	slot_lock(&fe, 0, opcode, handle, 0, type, FUSE_LK_FLOCK);
	return slot_wait(&fe, 0, 2000);
}

/* Whether the host can lock a range of a file, for itself. */
static bool host_can_lock(const char *name, short type, off_t start, off_t len)
{
	struct flock flock = { .l_type = type, .l_start = start, .l_len = len };
	int fd = open(fe_path(&fe, name), O_RDWR | O_CLOEXEC);
	bool can = fd >= 0 && !fcntl(fd, F_OFD_SETLK, &flock);

	close(fd);
	return can;
}

static bool host_can_flock(const char *name)
{
	int fd = open(fe_path(&fe, name), O_RDONLY | O_CLOEXEC);
	bool can = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);

	close(fd);
	return can;
}

/*
 * As many flock() as there is room for in a queue: some must not wait, so that
 * the unlock gets through. @entries: of the queue, for each.
 */
static void flood(unsigned int entries)
{
	unsigned int end = FE_QUEUE_SIZE - FIRST, may = ROOM / entries, asked;
	struct fuse_lk_in in = {
		.lk = { .end = INT64_MAX, .type = F_RDLCK },
		.lk_flags = FUSE_LK_FLOCK,
	};
	int error;

	CHECK(begin(plain, O_RDWR));
	in.fh = fe_open(&fe, fe_lookup(&fe, "a", NULL), O_RDWR, &error);
	CHECK(!error && !bsd_lock(FUSE_SETLK, fh[0], F_WRLCK));
	asked = 0;
	for (unsigned int i = FIRST; i + entries <= end; i += entries, asked++)
		slot_ask(&fe, i, SLOT_REQUESTS, entries, FUSE_SETLKW,
			 FUSE_ROOT_ID, &in, sizeof(in));
	for (int i = 0; i < 2000 && slots_count(&fe, FIRST, end, ENOLCK) <
	     asked - may; i++)
		usleep(1000);
	CHECK(slots_count(&fe, FIRST, end, ENOLCK) == asked - may);
	CHECK(slots_count(&fe, FIRST, end, SLOT_NO_ANSWER) == may);
	/* One which need not wait gets its lock though there is no room. */
	slot_lock(&fe, 1, FUSE_SETLKW, fh[1], 7, F_WRLCK, 0);
	CHECK(slot_wait(&fe, 1, 2000) == 0);
	CHECK(!bsd_lock(FUSE_SETLKW, fh[0], F_UNLCK));
	for (int i = 0; i < 2000 && slots_count(&fe, FIRST, end, 0) < may; i++)
		usleep(1000);
	CHECK(slots_count(&fe, FIRST, end, 0) == may);
	/* And the room is there again. */
	CHECK(!bsd_lock(FUSE_SETLK, in.fh, F_UNLCK) &&
	      !bsd_lock(FUSE_SETLK, fh[0], F_WRLCK));
	for (unsigned int i = 0; i < may; i++)
		slot_ask(&fe, FIRST + i * entries, SLOT_REQUESTS, entries,
			 FUSE_SETLKW, FUSE_ROOT_ID, &in, sizeof(in));
	usleep(200000);
	CHECK(slots_count(&fe, FIRST, FIRST + may * entries, SLOT_NO_ANSWER) ==
	      may);
	CHECK(fe_end(&fe) == 0);
}

static void waiters_leave_room(void)
{
	flood(1);
}

static void waiters_leave_room_without_tables(void)
{
	flood(3);
}

/* Two owners that cross, and three in a circle. */
static void crossed_locks(void)
{
	CHECK(begin(plain, O_RDWR));
	CHECK(!lock(0, 1, F_WRLCK) && !lock(1, 2, F_WRLCK));
	CHECK(lock_wait(1, 1, 1, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(2, 0, 2, F_WRLCK) == EDEADLK);
	/* Who does not wait is in no deadlock. */
	CHECK(lock(0, 2, F_WRLCK) == EAGAIN);
	CHECK(!lock(2, 3, F_WRLCK));
	CHECK(lock_wait(3, 2, 2, F_RDLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(4, 0, 3, F_RDLCK) == EDEADLK);
	/* All others get theirs. */
	CHECK(!lock(2, 3, F_UNLCK) && slot_wait(&fe, 3, 2000) == 0);
	CHECK(!lock(1, 2, F_UNLCK) && slot_wait(&fe, 1, 2000) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Both begin to wait at the same time: one of them must see the other. */
static void crossed_at_the_same_time(void)
{
	CHECK(begin(plain, O_RDWR));
	for (int i = 0; i < 100; i++) {
		int first, second;

		CHECK(!lock(0, 1, F_WRLCK) && !lock(1, 2, F_WRLCK));
		slot_lock(&fe, 1, FUSE_SETLKW, fh[1], 1, F_WRLCK, 0);
		slot_lock(&fe, 2, FUSE_SETLKW, fh[0], 2, F_WRLCK, 0);
		for (int ms = 0; ms < 2000 &&
		     slots_count(&fe, 1, 3, SLOT_NO_ANSWER) == 2; ms++)
			usleep(1000);
		CHECK(slots_count(&fe, 1, 3, SLOT_NO_ANSWER) == 1);
		CHECK(slots_count(&fe, 1, 3, EDEADLK) == 1);
		CHECK(!lock(0, 1, F_UNLCK) && !lock(1, 2, F_UNLCK));
		first = slot_wait(&fe, 1, 2000);
		second = slot_wait(&fe, 2, 2000);
		CHECK(first + second == EDEADLK);
		CHECK(!lock(1, 1, F_UNLCK) && !lock(0, 2, F_UNLCK));
	}
	CHECK(fe_end(&fe) == 0);
}

/* What looks similar but ends by itself, or by another thread of an owner. */
static void no_deadlock(void)
{
	CHECK(begin(plain, O_RDWR));
	CHECK(!lock(0, 1, F_WRLCK) && !lock(1, 2, F_WRLCK));
	/* Others of the same file: not those that are in the way. */
	CHECK(!lock_range(0, FUSE_SETLK, 0, 3, F_WRLCK, 200, 299));
	CHECK(lock_wait(1, 1, 3, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(2, 0, 2, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(!lock(0, 1, F_UNLCK) && slot_wait(&fe, 2, 2000) == 0);
	CHECK(!lock(1, 2, F_UNLCK) && slot_wait(&fe, 1, 2000) == 0);
	/* Shared locks are in no other's way. */
	CHECK(!lock(2, 1, F_RDLCK) && lock_wait(3, 2, 2, F_RDLCK) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* The circle closes when one is granted a lock that another waits for. */
static void deadlock_by_a_grant(void)
{
	CHECK(begin(plain, O_RDWR));
	CHECK(!lock(0, 1, F_WRLCK) && !lock(1, 9, F_WRLCK));
	/* One thread of 2 waits for 1; 1 and another thread of 2 for 9. */
	CHECK(lock_wait(1, 0, 2, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(2, 1, 2, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(3, 1, 1, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(!lock(1, 9, F_UNLCK) && slot_wait(&fe, 2, 2000) == 0);
	CHECK(slot_wait(&fe, 1, 2000) == EDEADLK ||
	      slot_wait(&fe, 3, 2000) == EDEADLK);
	CHECK(slots_count(&fe, 1, 4, EDEADLK) == 1);
	CHECK(fe_end(&fe) == 0);
}

/* The same, by a lock that is shared with who is waited for, and had at once. */
static void deadlock_by_a_shared_lock(void)
{
	CHECK(begin(plain, O_RDWR));
	CHECK(!lock(0, 1, F_WRLCK) && !lock(1, 9, F_RDLCK));
	CHECK(lock_wait(1, 1, 1, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(2, 0, 2, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(!lock(1, 2, F_RDLCK) && slot_wait(&fe, 2, 2000) == EDEADLK);
	CHECK(!lock(1, 2, F_UNLCK) && !lock(1, 9, F_UNLCK));
	CHECK(slot_wait(&fe, 1, 2000) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* A process of the host in the circle is waited for, and can be given up. */
static void host_in_the_way(void)
{
	struct flock flock = { .l_type = F_WRLCK, .l_len = 100 };
	int fd;

	CHECK(begin(plain, O_RDWR));
	CHECK(!lock(0, 1, F_WRLCK));
	fd = open(fe_path(&fe, "b"), O_RDWR | O_CLOEXEC);
	CHECK(!fcntl(fd, F_OFD_SETLK, &flock));
	CHECK(lock_wait(1, 1, 1, F_WRLCK) == SLOT_NO_ANSWER);
	CHECK(lock_wait(2, 0, 2, F_WRLCK) == SLOT_NO_ANSWER);
	slot_interrupt(&fe, 3, SLOT_HIPRIO, slot_unique(2));
	CHECK(slot_wait(&fe, 2, 2000) == EINTR);
	CHECK(!close(fd) && slot_wait(&fe, 1, 2000) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* A search is bounded, whatever owners there are, and so is their number. */
static void many_ranges(void)
{
	int error = 0;

	CHECK(begin(plain, O_RDWR));
	for (uint64_t i = 0; !error && i < 20000; i++)
		error = lock_range(0, FUSE_SETLK, 0, i % 3, F_WRLCK, 2 * i,
				   2 * i);
	CHECK(error == ENOLCK);
	/* Nor does unlocking make more of them. */
	CHECK(lock_range(0, FUSE_SETLK, 0, 3, F_UNLCK, 0, INT64_MAX) == 0);
	CHECK(lock_range(0, FUSE_SETLK, 0, 2, F_UNLCK, 0, INT64_MAX) == 0);
	CHECK(lock_range(0, FUSE_SETLK, 1, 2, F_RDLCK, 0, 99) == 0);
	CHECK(host_can_lock("a", F_WRLCK, 4, 1));
	CHECK(!host_can_lock("a", F_RDLCK, 0, 1));
	CHECK(fe_end(&fe) == 0);
}

static int run_program(const char *name)
{
	pid_t child = fork();
	int status = -1;

	if (!child) {
		execl(fe_path(&fe, name), name, NULL);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A guest's shared lock on a program does not keep the host from running it. */
static void programs_stay_executable(void)
{
	char command[300];
	int error;

	CHECK(begin(plain, O_RDONLY));
	snprintf(command, sizeof(command), "cp /bin/true %s",
		 fe_path(&fe, "true"));
	CHECK(!system(command));
	fh[0] = fe_open(&fe, fe_lookup(&fe, "true", NULL), O_RDONLY, &error);
	CHECK(!error && !lock(0, 1, F_RDLCK));
	CHECK(!host_can_lock("true", F_WRLCK, 50, 1));
	CHECK(run_program("true") == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Shared locks stay when the owner needs an exclusive one as well. */
static void locks_survive_a_better_descriptor(void)
{
	CHECK(begin(plain, O_RDWR));
	CHECK(!lock_range(0, FUSE_SETLK, 0, 1, F_RDLCK, 0, 9));
	CHECK(!lock_range(0, FUSE_SETLK, 0, 1, F_RDLCK, 100, INT64_MAX));
	CHECK(!lock_range(0, FUSE_SETLK, 0, 1, F_WRLCK, 20, 29));
	CHECK(!host_can_lock("a", F_WRLCK, 5, 1));
	CHECK(host_can_lock("a", F_RDLCK, 5, 1));
	CHECK(!host_can_lock("a", F_RDLCK, 25, 1));
	CHECK(!host_can_lock("a", F_WRLCK, 1000000, 1));
	CHECK(!lock_range(0, FUSE_SETLK, 0, 1, F_WRLCK, 0, 9));
	CHECK(!host_can_lock("a", F_RDLCK, 5, 1));
	CHECK(!lock_range(0, FUSE_SETLK, 0, 1, F_UNLCK, 0, INT64_MAX));
	CHECK(host_can_lock("a", F_WRLCK, 0, 0));
	CHECK(fe_end(&fe) == 0);
}

/* On a share that is read-only, others on the host are not locked out. */
static void readonly_has_no_exclusive_locks(void)
{
	struct fuse_lk_in get = {
		.owner = 2, .lk = { .end = 99, .type = F_WRLCK },
	};
	const struct fuse_lk_out *out;

	CHECK(begin(readonly, O_RDONLY));
	CHECK(bsd_lock(FUSE_SETLK, fh[0], F_WRLCK) == EBADF);
	CHECK(bsd_lock(FUSE_SETLKW, fh[0], F_WRLCK) == EBADF);
	CHECK(lock(0, 1, F_WRLCK) == EBADF);
	CHECK(host_can_lock("a", F_WRLCK, 0, 0) && host_can_flock("a"));
	CHECK(!bsd_lock(FUSE_SETLK, fh[0], F_RDLCK) && !lock(0, 1, F_RDLCK));
	get.fh = fh[0];
	slot_ask(&fe, 1, SLOT_REQUESTS, 1, FUSE_GETLK, FUSE_ROOT_ID, &get,
		 sizeof(get));
	CHECK(!slot_wait(&fe, 1, 2000));
	out = slot_body(&fe, 1);
	/* The process of slot 0. */
	CHECK(out->lk.type == F_RDLCK && out->lk.end == 99 &&
	      out->lk.pid == 1000);
	CHECK(fe_end(&fe) == 0);
}

/* What the guest may know of locks, as INIT says. */
static uint32_t offered(void)
{
	const struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.flags = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS,
	};
	struct fuse_init_out out = { 0 };

	fe_request(&fe, FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out), NULL);
	return out.flags & in.flags;
}

static void locks_can_be_local(void)
{
	CHECK(begin(plain, O_RDWR));
	CHECK(offered() == (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS));
	CHECK(fe_end(&fe) == 0);
	CHECK(begin(local, O_RDWR));
	CHECK(offered() == 0);
	CHECK(fe_end(&fe) == 0);
	/* A guest that asks all the same. */
	CHECK(begin(local, O_RDWR));
	CHECK(lock(0, 1, F_RDLCK) == ENOSYS && lock(0, 1, F_WRLCK) == ENOSYS);
	CHECK(bsd_lock(FUSE_SETLKW, fh[0], F_RDLCK) == ENOSYS);
	CHECK(host_can_lock("a", F_WRLCK, 0, 0) && host_can_flock("a"));
	CHECK(fe_end(&fe) == 0);
}

/* Nobody reads the log, so that its last line holds the daemon up. */
static void fill_log(int log)
{
	static const char junk[4096];

	while (write(log, junk, sizeof(junk)) > 0 || write(log, junk, 1) > 0)
		;
}

static void empty_log(int log)
{
	char junk[4096];

	while (read(log, junk, sizeof(junk)) > 0)
		;
}

/* While the daemon ends, a lock can be had that somebody still waits for. */
static void lock_at_the_end(void)
{
	char dir[] = "/tmp/daxd-log.XXXXXX", path[64];
	const char *const options[] = { "--log-file", path, NULL };
	int log, host;

	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	CHECK(!mkfifo(path, 0600));
	log = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	CHECK(log >= 0 && begin(options, O_RDWR));
	host = open(fe_path(&fe, "a"), O_RDWR | O_CLOEXEC);
	CHECK(!flock(host, LOCK_EX));
	slot_lock(&fe, FIRST, FUSE_SETLKW, fh[0], 1, F_WRLCK, FUSE_LK_FLOCK);
	CHECK(slot_wait(&fe, FIRST, 100) == SLOT_NO_ANSWER);
	fill_log(log);
	shutdown(fe.conn, SHUT_RDWR);
	usleep(300000);
	close(host);
	usleep(200000);
	empty_log(log);
	CHECK(fe_gone(&fe) == 0);
	close(log);
	unlink(path);
	rmdir(dir);
}

static const struct fs_test tests[] = {
	TEST(waiters_leave_room),
	TEST(waiters_leave_room_without_tables),
	TEST(crossed_locks),
	TEST(crossed_at_the_same_time),
	TEST(no_deadlock),
	TEST(deadlock_by_a_grant),
	TEST(deadlock_by_a_shared_lock),
	TEST(host_in_the_way),
	TEST(many_ranges),
	TEST(programs_stay_executable),
	TEST(locks_survive_a_better_descriptor),
	TEST(readonly_has_no_exclusive_locks),
	TEST(locks_can_be_local),
	TEST(lock_at_the_end),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
