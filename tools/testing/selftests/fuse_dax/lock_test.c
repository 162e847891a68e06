// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that wait for locks of files: fcntl(F_SETLKW) and flock().
 *
 * The server is asked for a lock, and does not answer before it has it. So what
 * can go wrong is that a task cannot be got out of its wait, that tasks wait for
 * each other, and that those who wait leave no room for who would unlock.
 *
 * The group needs a server that keeps locks, serves FUSE_INTERRUPT, and finds
 * deadlocks among POSIX locks. For chain.host_at_its_end there is somebody on the
 * host (FUSE_DAX_HOST_HAND=1) who, when he finds a FILE.lock, renames it to
 * FILE.held, and has a POSIX lock on byte 1 of FILE until that is removed.
 */
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

/* A task that is killed is gone within this time, many of them within MANY_MS. */
#define GONE_MS		1000
#define MANY_MS		60000
/* One that need not wait any more is through within this time. */
#define SOON_MS		5000
/* The request of a task that was let go is with the server. */
#define SENT_MS		300

#define SOME		64
/* More than a virtqueue has room for */
#define MANY		1200
#define NOBODY		65534

enum kind { POSIX, BSD };

/**
 * struct shared - what the tasks of a test tell each other
 * @begun: tasks that have nothing else to do before they wait
 * @signals: signals that were handled
 * @interrupted: waits that ended with EINTR
 */
struct shared {
	int begun;
	int signals;
	int interrupted;
};

static struct shared *shared;

/**
 * struct scene - a file, and tasks that wait for locks of it
 * @fs: the mount
 * @fd: the file, open for reading and writing
 * @gate: a pipe; who begins waits until nobody can write to it
 * @pids: the tasks, 0 for those that are gone
 * @nr: how many were started
 */
struct scene {
	struct dax_fs fs;
	int fd;
	int gate[2];
	pid_t pids[MANY];
	int nr;
};

#define SCENE_SETUP(s) do {						\
	(s)->fd = -1;							\
	ASSERT_EQ(0, pipe((s)->gate));					\
	FS_SETUP(&(s)->fs);						\
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,		\
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);		\
	ASSERT_NE(MAP_FAILED, shared);					\
	(s)->fd = file_make(&(s)->fs, "file", 10, 0);			\
	ASSERT_LE(0, (s)->fd);						\
} while (0)

#define SCENE_TEARDOWN(s) do {						\
	scene_end(s);							\
	FS_TEARDOWN(&(s)->fs);						\
} while (0)

/* Once the lock is given up, whoever waits ends, also if he cannot be killed. */
static void scene_end(struct scene *s)
{
	int i;

	for (i = 0; i < s->nr; i++)
		if (s->pids[i] > 0)
			kill(s->pids[i], SIGKILL);
	close(s->fd);
	for (i = 0; i < s->nr; i++)
		if (s->pids[i] > 0)
			kill_within(s->pids[i], GONE_MS);
}

FIXTURE(lock)
{
	struct scene scene;
};

FIXTURE_VARIANT(lock)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(lock, posix) { .kind = POSIX };
FIXTURE_VARIANT_ADD(lock, bsd) { .kind = BSD };

FIXTURE_SETUP(lock)
{
	SCENE_SETUP(&self->scene);
}

FIXTURE_TEARDOWN(lock)
{
	SCENE_TEARDOWN(&self->scene);
}

/* One byte of a file, for fcntl(); flock() takes all of it. */
static int lock_byte(int fd, int cmd, short type, off_t pos)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = pos,
		.l_len = 1,
	};

	return fcntl(fd, cmd, &lock) ? errno : 0;
}

/* Wait for the lock; 0 or the error. */
static int lock_wait(int fd, enum kind kind)
{
	if (kind == POSIX)
		return lock_byte(fd, F_SETLKW, F_WRLCK, 0);
	return flock(fd, LOCK_EX) ? errno : 0;
}

static int unlock(int fd, enum kind kind)
{
	if (kind == POSIX)
		return lock_byte(fd, F_SETLK, F_UNLCK, 0);
	return flock(fd, LOCK_UN) ? errno : 0;
}

/* The file, open anew: who inherits the first open file keeps its lock. */
static int file_reopen(struct scene *s)
{
	close(s->fd);
	return openat(s->fs.dirfd, "file", O_RDWR);
}

static void begin(struct scene *s)
{
	char byte;

	__atomic_add_fetch(&shared->begun, 1, __ATOMIC_SEQ_CST);
	close(s->gate[1]);
	read(s->gate[0], &byte, 1);
}

/* A task that waits for the lock, and ends with the error. */
static pid_t go_wait(struct scene *s, enum kind kind, uid_t uid)
{
	pid_t pid = fork();
	int fd;

	if (pid) {
		s->pids[s->nr++] = pid;
		return pid;
	}
	fd = file_reopen(s);
	if (fd < 0 || setuid(uid))
		_exit(255);
	begin(s);
	_exit(lock_wait(fd, kind));
}

/* When all tasks are there, let them go, and their requests be sent; 0 or -1. */
static int let_wait(struct scene *s)
{
	long until = now_ms() + MANY_MS;

	while (__atomic_load_n(&shared->begun, __ATOMIC_SEQ_CST) < s->nr) {
		if (now_ms() > until)
			return -1;
		sleep_ms(10);
	}
	close(s->gate[1]);
	sleep_ms(SENT_MS);
	return 0;
}

static void start_waiters(struct __test_metadata *_metadata,
			  struct scene *s, enum kind kind, uid_t uid, int tasks)
{
	ASSERT_EQ(0, lock_wait(s->fd, kind));
	while (tasks--)
		ASSERT_LT(0, go_wait(s, kind, uid));
}

/* All that are left end well within @ms. */
static void expect_all_served(struct __test_metadata *_metadata,
			      struct scene *s, long ms)
{
	long until = now_ms() + ms;
	int i;

	for (i = 0; i < s->nr; i++) {
		if (s->pids[i] <= 0)
			continue;
		ASSERT_EQ(0, wait_within(s->pids[i], until - now_ms()));
		s->pids[i] = 0;
	}
}

static void expect_killed(struct __test_metadata *_metadata,
			  struct scene *s, int task)
{
	long start = now_ms();

	ASSERT_TRUE(kill_within(s->pids[task], GONE_MS));
	s->pids[task] = 0;
	TH_LOG("killed in %ld ms", now_ms() - start);
}

/*
 * Rule: a task that waits for a lock can be killed, and the file system be
 * unmounted then, although the lock is still held.
 * Wrong: the task stays, in state D, as long as somebody has the lock.
 * Right: it is gone within a second. An open file of another task keeps the
 * lock; when that is closed as well, umount works.
 * in-tree 7.3: fails, no interrupt is sent.
 */
TEST_F_TIMEOUT(lock, killed_waiter_goes, 60)
{
	struct scene *s = &self->scene;

	start_waiters(_metadata, s, variant->kind, 0, 1);
	ASSERT_EQ(0, let_wait(s));
	expect_killed(_metadata, s, 0);
	close(s->fd);
	s->fd = -1;
	if (s->fs.tag)
		EXPECT_EQ(0, fs_remount(&s->fs, fs_first_options()));
}

/*
 * Rule: so it can while many others wait, and these go on to wait.
 * Wrong: it stays, or others end as well, or miss the lock later.
 * Right: one after the other gets the lock when it is free.
 * in-tree 7.3: fails, no interrupt is sent.
 */
TEST_F_TIMEOUT(lock, killed_among_many, 60)
{
	struct scene *s = &self->scene;
	int i;

	start_waiters(_metadata, s, variant->kind, 0, SOME);
	ASSERT_EQ(0, let_wait(s));
	expect_killed(_metadata, s, SOME / 2);
	for (i = 0; i < SOME; i++)
		if (s->pids[i])
			EXPECT_EQ(0, waitpid(s->pids[i], NULL, WNOHANG));
	ASSERT_EQ(0, unlock(s->fd, variant->kind));
	expect_all_served(_metadata, s, MANY_MS);
}

static void on_signal(int sig)
{
	__atomic_add_fetch(&shared->signals, 1, __ATOMIC_SEQ_CST);
}

/* As go_wait(), but signals are handled, and the wait taken up again. */
static void go_wait_again(struct __test_metadata *_metadata, struct scene *s,
			  enum kind kind, int flags)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = flags,
	};
	pid_t pid = fork();
	int fd, err;

	ASSERT_LE(0, pid);
	if (pid) {
		s->pids[s->nr++] = pid;
		return;
	}
	sigaction(SIGUSR1, &action, NULL);
	fd = file_reopen(s);
	begin(s);
	while ((err = lock_wait(fd, kind)) == EINTR)
		__atomic_add_fetch(&shared->interrupted, 1, __ATOMIC_SEQ_CST);
	_exit(err);
}

/* A signal that comes before the call does not interrupt it: send others. */
static int signal_until(pid_t pid, int *count)
{
	long until = now_ms() + SOON_MS;

	while (!__atomic_load_n(count, __ATOMIC_SEQ_CST)) {
		if (now_ms() > until)
			return -1;
		kill(pid, SIGUSR1);
		sleep_ms(SENT_MS);
	}
	return 0;
}

/*
 * Rule: a signal with a handler ends the wait, which can begin again.
 * Wrong: the signal waits for the lock as well; or the lock is lost.
 * Right: EINTR at once, and later the lock.
 * in-tree 7.3: fails, no interrupt is sent.
 */
TEST_F_TIMEOUT(lock, signal_interrupts, 60)
{
	struct scene *s = &self->scene;

	ASSERT_EQ(0, lock_wait(s->fd, variant->kind));
	go_wait_again(_metadata, s, variant->kind, 0);
	ASSERT_EQ(0, let_wait(s));
	EXPECT_EQ(0, signal_until(s->pids[0], &shared->interrupted));
	EXPECT_EQ(0, waitpid(s->pids[0], NULL, WNOHANG));
	ASSERT_EQ(0, unlock(s->fd, variant->kind));
	expect_all_served(_metadata, s, SOON_MS);
}

/*
 * Rule: with SA_RESTART the wait goes on after the handler.
 * Wrong: the handler waits for the lock as well, or the call ends with EINTR.
 * Right: the handler runs at once, and the call ends with the lock.
 * in-tree 7.3: fails, no interrupt is sent.
 */
TEST_F_TIMEOUT(lock, signal_restarts, 60)
{
	struct scene *s = &self->scene;

	ASSERT_EQ(0, lock_wait(s->fd, variant->kind));
	go_wait_again(_metadata, s, variant->kind, SA_RESTART);
	ASSERT_EQ(0, let_wait(s));
	EXPECT_EQ(0, signal_until(s->pids[0], &shared->signals));
	EXPECT_EQ(0, waitpid(s->pids[0], NULL, WNOHANG));
	ASSERT_EQ(0, unlock(s->fd, variant->kind));
	expect_all_served(_metadata, s, SOON_MS);
	EXPECT_EQ(0, shared->interrupted);
}

/*
 * Rule: who waits for one kind of lock is not in the way of the other.
 * Wrong: one that is killed stays, or takes another with it.
 * Right: one of each kind is killed and goes, the others are served.
 * in-tree 7.3: fails, no interrupt is sent.
 */
TEST_F_TIMEOUT(lock, kinds_together, 60)
{
	struct scene *s = &self->scene;

	if (variant->kind != POSIX)
		SKIP(return, "once is enough");
	start_waiters(_metadata, s, POSIX, 0, SOME / 2);
	start_waiters(_metadata, s, BSD, 0, SOME / 2);
	ASSERT_EQ(0, let_wait(s));
	expect_killed(_metadata, s, 0);
	expect_killed(_metadata, s, SOME - 1);
	ASSERT_EQ(0, unlock(s->fd, BSD));
	ASSERT_EQ(0, unlock(s->fd, POSIX));
	expect_all_served(_metadata, s, MANY_MS);
}

/* Tasks that each hold a byte and wait for one of another task. */
FIXTURE(chain)
{
	struct scene scene;
};

FIXTURE_SETUP(chain)
{
	SCENE_SETUP(&self->scene);
}

FIXTURE_TEARDOWN(chain)
{
	SCENE_TEARDOWN(&self->scene);
}

static void go_chain(struct __test_metadata *_metadata, struct scene *s,
		     off_t has, off_t wants)
{
	pid_t pid = fork();
	int fd;

	ASSERT_LE(0, pid);
	if (pid) {
		s->pids[s->nr++] = pid;
		return;
	}
	fd = file_reopen(s);
	if (fd < 0 || lock_byte(fd, F_SETLK, F_WRLCK, has))
		_exit(255);
	begin(s);
	_exit(lock_byte(fd, F_SETLKW, F_WRLCK, wants));
}

/* @tasks in a circle: one is refused and ends, so that the others are served. */
static void check_circle(struct __test_metadata *_metadata, struct scene *s,
			 int tasks)
{
	int i, code, refused = 0;

	for (i = 0; i < tasks; i++)
		go_chain(_metadata, s, i, (i + 1) % tasks);
	ASSERT_EQ(0, let_wait(s));
	for (i = 0; i < tasks; i++) {
		code = wait_within(s->pids[i], SOON_MS);
		ASSERT_LE(0, code);
		s->pids[i] = 0;
		refused += code == EDEADLK;
		EXPECT_TRUE(code == 0 || code == EDEADLK);
	}
	EXPECT_EQ(1, refused);
}

/*
 * Rule: two tasks do not wait for POSIX locks of each other (as LTP's fcntl17).
 * Wrong: both wait for ever.
 * Right: EDEADLK for one of them, and the lock for the other.
 * in-tree 7.3: passes if the server finds deadlocks.
 */
TEST_F_TIMEOUT(chain, two_cross, 60)
{
	check_circle(_metadata, &self->scene, 2);
}

/*
 * Rule: nor do three in a circle.
 * Wrong, right: as above.
 * in-tree 7.3: passes if the server finds deadlocks.
 */
TEST_F_TIMEOUT(chain, three_in_a_circle, 60)
{
	check_circle(_metadata, &self->scene, 3);
}

/* Whether somebody else has the byte, within SOON_MS. */
static bool is_taken(int fd, off_t pos)
{
	long until = now_ms() + SOON_MS;
	struct flock lock;

	do {
		lock = (struct flock){
			.l_type = F_WRLCK,
			.l_whence = SEEK_SET,
			.l_start = pos,
			.l_len = 1,
		};
		if (!fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK)
			return true;
		sleep_ms(50);
	} while (now_ms() < until);
	return false;
}

/*
 * Rule: a chain that ends in a lock of the host is no deadlock.
 * Wrong: EDEADLK.
 * Right: all wait until the host gives it up, then all are served.
 * in-tree 7.3: passes.
 */
TEST_F_TIMEOUT(chain, host_at_its_end, 60)
{
	struct scene *s = &self->scene;
	int i, fd;

	if (!getenv("FUSE_DAX_HOST_HAND"))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	fd = openat(s->fs.dirfd, "file.lock", O_WRONLY | O_CREAT, 0600);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_TRUE(is_taken(s->fd, 1));
	go_chain(_metadata, s, 0, 1);
	go_chain(_metadata, s, 2, 0);
	ASSERT_EQ(0, let_wait(s));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, waitpid(s->pids[i], NULL, WNOHANG));
	ASSERT_EQ(0, unlinkat(s->fs.dirfd, "file.held", 0));
	expect_all_served(_metadata, s, SOON_MS);
}

/* More tasks of a user than there can be requests in the queue. */
FIXTURE(crowd)
{
	struct scene scene;
};

FIXTURE_SETUP(crowd)
{
	SCENE_SETUP(&self->scene);
}

FIXTURE_TEARDOWN(crowd)
{
	SCENE_TEARDOWN(&self->scene);
}

/* Those that have ended, all of them with ENOLCK. */
static int reap_refused(struct __test_metadata *_metadata, struct scene *s)
{
	int i, status, refused = 0;

	for (i = 0; i < s->nr; i++) {
		if (!s->pids[i] ||
		    waitpid(s->pids[i], &status, WNOHANG) != s->pids[i])
			continue;
		s->pids[i] = 0;
		refused++;
		EXPECT_TRUE(WIFEXITED(status));
		EXPECT_EQ(ENOLCK, WEXITSTATUS(status));
	}
	return refused;
}

/* Until all have asked, as far as there is room: some are refused, and no more. */
static int wait_refused(struct __test_metadata *_metadata, struct scene *s)
{
	long until = now_ms() + MANY_MS;
	int more, refused = 0;

	do {
		sleep_ms(1000);
		more = reap_refused(_metadata, s);
		refused += more;
	} while ((more || !refused) && now_ms() < until);
	return refused;
}

/* What a task of its own, which may hang, does, and its error. */
static int in_time(struct scene *s, int (*action)(struct scene *s))
{
	pid_t pid = fork();

	if (!pid)
		_exit(action(s));
	return wait_within(pid, SOON_MS);
}

static int make_and_stat(struct scene *s)
{
	struct stat st;
	int fd = openat(s->fs.dirfd, "other", O_WRONLY | O_CREAT, 0600);

	return fd < 0 || fstatat(s->fs.dirfd, "other", &st, 0) ? errno : 0;
}

static int unlock_first(struct scene *s)
{
	return unlock(s->fd, BSD);
}

static int lock_anew(struct scene *s)
{
	return lock_wait(file_reopen(s), BSD);
}

/*
 * Rule: a user who waits for a lock many times does not keep others from the
 * file system, nor who has the lock from giving it up.
 * Wrong: the queue is full of waiting requests, and everything hangs.
 * Right: some are refused with ENOLCK; root goes on; the unlock goes through,
 * and those that wait are served.
 * in-tree 7.3: passes if the server bounds the number of waiting requests.
 */
TEST_F_TIMEOUT(crowd, others_go_on, 300)
{
	struct scene *s = &self->scene;
	int i, code, served = 0;
	long until;

	start_waiters(_metadata, s, BSD, NOBODY, MANY);
	ASSERT_EQ(0, let_wait(s));
	ASSERT_EQ(0, in_time(s, make_and_stat));
	EXPECT_LT(0, wait_refused(_metadata, s));
	ASSERT_EQ(0, in_time(s, make_and_stat));
	ASSERT_EQ(0, in_time(s, unlock_first));
	until = now_ms() + MANY_MS;
	for (i = 0; i < s->nr; i++) {
		if (!s->pids[i])
			continue;
		code = wait_within(s->pids[i], until - now_ms());
		/* It may have asked late, and been refused since */
		ASSERT_TRUE(code == 0 || code == ENOLCK);
		s->pids[i] = 0;
		served += !code;
	}
	TH_LOG("%d of %d served", served, MANY);
	EXPECT_LT(0, served);
}

/*
 * Rule: a crowd that is killed is gone, though the lock is still held.
 * Wrong: tasks stay, or nobody gets the lock afterwards, or umount fails.
 * Right: all are gone soon; the lock can be given up and had again.
 * in-tree 7.3: fails, no interrupt is sent.
 */
TEST_F_TIMEOUT(crowd, killed_goes, 300)
{
	struct scene *s = &self->scene;
	long until;
	int i;

	/* Ending tasks is slow on a kernel with debugging */
	start_waiters(_metadata, s, BSD, NOBODY,
		      MANY * env_number("FUSE_DAX_SCALE", 100) / 100);
	ASSERT_EQ(0, let_wait(s));
	for (i = 0; i < s->nr; i++)
		kill(s->pids[i], SIGKILL);
	until = now_ms() + MANY_MS;
	for (i = 0; i < s->nr; i++) {
		ASSERT_TRUE(kill_within(s->pids[i], until - now_ms()));
		s->pids[i] = 0;
	}
	TH_LOG("all killed in %ld ms", MANY_MS - (until - now_ms()));
	ASSERT_EQ(0, in_time(s, unlock_first));
	EXPECT_EQ(0, in_time(s, lock_anew));
	close(s->fd);
	s->fd = -1;
	if (s->fs.tag)
		EXPECT_EQ(0, fs_remount(&s->fs, fs_first_options()));
}

TEST_HARNESS_MAIN
