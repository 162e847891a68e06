// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the guard takes for a change: neither what another user does nor what has
 * ended is taken for what it is not. Needs a file system whose files can be marked,
 * as ext4, below /tmp.
 */
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guard_host.h"

/* Which older headers do not know */
#define OP_FTRUNCATE 55

static int do_read_as_nobody(const char *path)
{
	int fd = open(path, O_RDONLY);
	char byte;

	/* A process that has changed its user is root's until it is said that it is not */
	if (fd < 0 || setgid(NOBODY) || setuid(NOBODY) ||
	    prctl(PR_SET_DUMPABLE, 1))
		return 1;
	return pread(fd, &byte, 1, 5000) != 1;
}

static int do_cut_as_nobody(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0 || setgid(NOBODY) || setuid(NOBODY) ||
	    prctl(PR_SET_DUMPABLE, 1))
		return 1;
	return ftruncate(fd, 4096);
}

/* By a worker, which can be seen, and which is in no call. Returns when it is done. */
static int do_cut_by_uring(const char *path)
{
	struct io_uring_params params = { 0 };
	int fd = open(path, O_RDWR);
	int ring = syscall(SYS_io_uring_setup, 1, &params);
	struct io_uring_sqe *sqe;
	char *sq;

	if (fd < 0 || ring < 0)
		return 1;
	sq = mmap(NULL, params.sq_off.array + sizeof(uint32_t),
		  PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		   IORING_OFF_SQES);
	if (sq == MAP_FAILED || sqe == MAP_FAILED)
		return 1;
	*sqe = (struct io_uring_sqe){ .opcode = OP_FTRUNCATE, .fd = fd,
				      .off = 4096 };
	++*(uint32_t *)(sq + params.sq_off.tail);
	return syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS,
		       NULL, 0) != 1;
}

static void another_user_reads(void)
{
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	CHECK(node);
	CHECK(host_done(host(&fe, do_read_as_nobody), SOON) >= 0);
	pid = host(&fe, do_cut_as_nobody);
	CHECK(told(&fe, node, 4096) && host_done(pid, SOON) == -1);
	CHECK(fe_remove(&fe, 0, RANGE) == 0 && host_done(pid, SOON) >= 0);
	CHECK(fe_end(&fe) == 0);
}

/* Whom nobody has waited for is there still, but changes nothing any more. */
static void who_has_ended_changes_nothing(void)
{
	siginfo_t info;
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, options) && fe_file(&fe, "f", 0));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	pid = host(&fe, do_empty);
	CHECK(told(&fe, node, 0) && fe_remove(&fe, 0, RANGE) == 0);
	CHECK(!waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(host_done(pid, SOON) >= 0 && fe_end(&fe) == 0);
}

/* What is being mapped would else show what it has taken. */
static void a_worker_waits_for_a_setup(void)
{
	uint64_t node;
	pid_t pid;
	int ring = syscall(SYS_io_uring_setup, 1,
			   &(struct io_uring_params){ 0 });

	if (ring < 0)
		SKIP("no io_uring");
	close(ring);
	CHECK(fe_begin(&fe, options));
	node = make("f");
	pthread_mutex_lock(&fe.lock);
	fe.hold = true;
	pthread_mutex_unlock(&fe.lock);
	setup_begin(node, 0);
	CHECK(node && fe_wait_held(&fe, true));
	pid = host(&fe, do_cut_by_uring);
	CHECK(host_done(pid, SOON) == -1);
	fe_release_held(&fe);
	CHECK(setup_end() == 0 && told(&fe, node, 0));
	CHECK(host_done(pid, SOON) == -1);
	CHECK(fe_remove(&fe, 0, RANGE) == 0 && host_done(pid, SOON) >= 0);
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(another_user_reads),
	TEST(who_has_ended_changes_nothing),
	TEST(a_worker_waits_for_a_setup),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
