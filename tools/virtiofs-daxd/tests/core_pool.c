// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is served while every thread of the pool is blocked. Threads are blocked
 * by opening a file on which the test has a lease.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fe_main.h"
#include "frontend.h"
#include "fs_tap.h"
#include "slots.h"

#define RANGE (UINT64_C(2) << 20)
#define BLOCKED 64	/* requests that cannot be served; slots from 1 on */
#define URGENT 100	/* first slot of others */

static struct frontend fe;

static const char *const one_thread[] = {
	"--thread-pool-size", "1", "--dax-window", "64M", "--log-level", "warn",
	NULL
};

static const char *const two_threads[] = {
	"--thread-pool-size", "2", "--log-level", "warn", NULL
};

/*
 * @held: descriptor that keeps opens of "held" waiting
 * @node: of "held"
 * @fh: of "f", for reading and writing
 */
static struct {
	int held;
	uint64_t node;
	uint64_t fh;
} files;

static bool begin(const char *const *options)
{
	int error;

	slots_reset();
	if (!fe_begin(&fe, options) || !fe_file(&fe, "held", 10) ||
	    !fe_file(&fe, "f", 10000))
		return false;
	files.node = fe_lookup(&fe, "held", NULL);
	files.fh = fe_open(&fe, fe_lookup(&fe, "f", NULL), O_RDWR, &error);
	files.held = hold_opens(&fe, "held");
	return files.node && !error && files.held >= 0;
}

/* Keeps as many threads busy as there are requests. */
static bool block(unsigned int count)
{
	for (unsigned int i = 1; i <= count; i++)
		slot_open(&fe, i, files.node);
	return slot_wait(&fe, count, 100) == SLOT_NO_ANSWER;
}

static bool unblock(unsigned int count)
{
	close(files.held);
	for (unsigned int i = 1; i <= count; i++)
		if (slot_wait(&fe, i, 5000))
			return false;
	return true;
}

static void ask_remove(unsigned int slot, uint64_t offset)
{
	const struct {
		struct fuse_removemapping_in in;
		struct fuse_removemapping_one one;
	} __attribute__((packed)) req = {
		.in.count = 1,
		.one = { .moffset = offset, .len = RANGE },
	};

	slot_ask(&fe, slot, SLOT_REQUESTS, 1, FUSE_REMOVEMAPPING, 0, &req,
		 sizeof(req));
}

static void ask_read(unsigned int slot)
{
	const struct fuse_read_in in = { .fh = files.fh, .size = SLOT_BODY };

	slot_ask(&fe, slot, SLOT_REQUESTS, 1, FUSE_READ, 0, &in, sizeof(in));
}

static bool read_shows(unsigned int slot)
{
	const unsigned char *data = slot_body(&fe, slot);

	for (size_t i = 0; i < SLOT_BODY; i++)
		if (data[i] != fe_byte(i))
			return false;
	return true;
}

static void urgent_come_first(void)
{
	struct fuse_forget_in forget = { .nlookup = 1 };
	uint64_t f;

	CHECK(begin(one_thread));
	f = fe_lookup(&fe, "f", NULL);
	CHECK(fe_setup(&fe, f, 0, RANGE, 0, false) == 0);
	slot_lock(&fe, URGENT, FUSE_SETLK, files.fh, 1, F_WRLCK, 0);
	slot_lock(&fe, URGENT + 1, FUSE_SETLK, files.fh, 1, F_WRLCK,
		  FUSE_LK_FLOCK);
	slot_lock(&fe, URGENT + 2, FUSE_SETLKW, files.fh, 2, F_WRLCK, 0);
	CHECK(!slot_wait(&fe, URGENT, 2000) &&
	      !slot_wait(&fe, URGENT + 1, 2000));
	CHECK(block(BLOCKED));

	ask_remove(URGENT + 3, 0);
	CHECK(slot_wait(&fe, URGENT + 3, 2000) == 0 && fe_num_maps(&fe) == 0);
	slot_ask(&fe, URGENT + 4, SLOT_REQUESTS, 1, FUSE_FORGET, f, &forget,
		 sizeof(forget));
	CHECK(slot_wait(&fe, URGENT + 4, 2000) != SLOT_NO_ANSWER);
	/* A flock() is not told apart by its opcode: both may sleep. */
	slot_lock(&fe, URGENT + 5, FUSE_SETLKW, files.fh, 1, F_UNLCK,
		  FUSE_LK_FLOCK);
	CHECK(slot_wait(&fe, URGENT + 5, 2000) == 0);
	slot_lock(&fe, URGENT + 6, FUSE_SETLK, files.fh, 1, F_UNLCK, 0);
	CHECK(slot_wait(&fe, URGENT + 6, 2000) == 0);
	CHECK(slot_wait(&fe, URGENT + 2, 2000) == 0);
	/* The rest still waits. */
	CHECK(slots_count(&fe, 1, BLOCKED + 1, SLOT_NO_ANSWER) == BLOCKED);
	CHECK(unblock(BLOCKED));
	CHECK(fe_end(&fe) == 0);
}

/* A waiting lock is interrupted, by either queue, with every thread blocked. */
static void interrupts_come_first(void)
{
	CHECK(begin(one_thread));
	slot_lock(&fe, URGENT, FUSE_SETLK, files.fh, 1, F_WRLCK, 0);
	slot_lock(&fe, URGENT + 1, FUSE_SETLKW, files.fh, 2, F_WRLCK, 0);
	slot_lock(&fe, URGENT + 2, FUSE_SETLKW, files.fh, 3, F_WRLCK, 0);
	CHECK(!slot_wait(&fe, URGENT, 2000) &&
	      slot_wait(&fe, URGENT + 2, 100) == SLOT_NO_ANSWER);
	CHECK(block(BLOCKED));
	slot_interrupt(&fe, URGENT + 3, SLOT_REQUESTS, slot_unique(URGENT + 1));
	CHECK(slot_wait(&fe, URGENT + 1, 2000) == EINTR);
	slot_interrupt(&fe, URGENT + 4, SLOT_HIPRIO, slot_unique(URGENT + 2));
	CHECK(slot_wait(&fe, URGENT + 2, 2000) == EINTR);
	CHECK(unblock(BLOCKED));
	CHECK(fe_end(&fe) == 0);
}

/* The interrupt comes before its request was begun. */
static void interrupts_are_early(void)
{
	CHECK(begin(one_thread));
	slot_lock(&fe, URGENT, FUSE_SETLK, files.fh, 1, F_WRLCK, 0);
	CHECK(!slot_wait(&fe, URGENT, 2000));
	CHECK(block(1));
	slot_lock(&fe, URGENT + 1, FUSE_SETLKW, files.fh, 2, F_WRLCK, 0);
	slot_interrupt(&fe, URGENT + 2, SLOT_HIPRIO, slot_unique(URGENT + 1));
	CHECK(slot_wait(&fe, URGENT + 1, 200) == SLOT_NO_ANSWER);
	/* Others in between do not matter, nor does one that gets its lock. */
	ask_read(URGENT + 3);
	CHECK(unblock(1));
	CHECK(slot_wait(&fe, URGENT + 1, 2000) == EINTR);
	CHECK(slot_wait(&fe, URGENT + 3, 2000) == 0);
	slot_lock(&fe, URGENT + 4, FUSE_SETLKW, files.fh, 2, F_RDLCK, 0);
	CHECK(slot_wait(&fe, URGENT + 4, 200) == SLOT_NO_ANSWER);
	slot_lock(&fe, URGENT + 5, FUSE_SETLK, files.fh, 1, F_UNLCK, 0);
	CHECK(slot_wait(&fe, URGENT + 4, 2000) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Interrupts the request after the next, which waits for a lock then. */
static int interrupt_the_next(bool new_session)
{
	struct fuse_init_out out;
	uint64_t f;
	int error;

	slot_interrupt(&fe, URGENT, SLOT_HIPRIO, slot_next_unique() + 4);
	if (slot_wait(&fe, URGENT, 2000) == SLOT_NO_ANSWER ||
	    (new_session && fe_init(&fe, &out)))
		return -1;
	f = fe_lookup(&fe, "f", NULL);
	files.fh = fe_open(&fe, f, O_RDWR, &error);
	slot_lock(&fe, URGENT, FUSE_SETLK, files.fh, 1, F_WRLCK, 0);
	if (slot_wait(&fe, URGENT, 2000))
		return -1;
	slot_lock(&fe, URGENT, FUSE_SETLKW, files.fh, 2, F_WRLCK, 0);
	return slot_wait(&fe, URGENT, 200);
}

/* It comes before its request was even seen, but only in the same session. */
static void interrupts_are_kept(void)
{
	CHECK(begin(one_thread));
	CHECK(interrupt_the_next(false) == EINTR);
	CHECK(interrupt_the_next(true) == SLOT_NO_ANSWER);
	CHECK(fe_end(&fe) == 0);
}

/* What was not begun keeps no stop waiting, and goes on with the queue. */
static void stop_with_reads_waiting(void)
{
	CHECK(begin(one_thread) && block(1));
	for (unsigned int i = 0; i < 20; i++)
		ask_read(URGENT + i);
	usleep(50000);
	CHECK(fe_stop_queues(&fe));
	CHECK(unblock(0));
	/* A thread is free now, but the guest's memory must not be touched. */
	usleep(50000);
	CHECK(slots_count(&fe, URGENT, URGENT + 20, SLOT_NO_ANSWER) == 20);
	CHECK(!read_shows(URGENT));
	fe_start_queues(&fe, false);
	CHECK(slot_wait(&fe, 1, 2000) == 0);
	for (unsigned int i = 0; i < 20; i++)
		CHECK(slot_wait(&fe, URGENT + i, 2000) == 0 &&
		      read_shows(URGENT + i));
	CHECK(fe_end(&fe) == 0);
}

/* After a reset nobody is left who could be answered. */
static void reset_with_requests_waiting(void)
{
	static const char name[] = "made";
	struct fuse_init_out out;
	char body[sizeof(struct fuse_mkdir_in) + sizeof(name)] = { 0 };

	CHECK(begin(one_thread) && block(1));
	memcpy(body + sizeof(struct fuse_mkdir_in), name, sizeof(name));
	ask_read(URGENT);
	slot_ask(&fe, URGENT + 1, SLOT_REQUESTS, 1, FUSE_MKDIR, FUSE_ROOT_ID,
		 body, sizeof(body));
	usleep(50000);
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	slots_reset();
	close(files.held);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(!fe_lookup(&fe, name, NULL) && access(fe_path(&fe, name), F_OK));
	CHECK(fe_lookup(&fe, "f", NULL));
	CHECK(fe_end(&fe) == 0);
}

/* A session that cannot end yet keeps nothing urgent waiting. */
static void urgent_during_destroy(void)
{
	CHECK(begin(two_threads));
	slot_lock(&fe, URGENT, FUSE_SETLK, files.fh, 1, F_WRLCK, 0);
	CHECK(!slot_wait(&fe, URGENT, 2000));
	slot_lock(&fe, URGENT + 1, FUSE_SETLKW, files.fh, 2, F_WRLCK, 0);
	CHECK(block(1));
	slot_ask(&fe, URGENT + 2, SLOT_REQUESTS, 1, FUSE_DESTROY, 0, NULL, 0);
	CHECK(slot_wait(&fe, URGENT + 2, 100) == SLOT_NO_ANSWER);
	slot_lock(&fe, URGENT + 3, FUSE_SETLK, files.fh, 1, F_UNLCK, 0);
	CHECK(slot_wait(&fe, URGENT + 3, 2000) == 0);
	CHECK(slot_wait(&fe, URGENT + 1, 2000) == 0);
	CHECK(unblock(1));
	CHECK(slot_wait(&fe, URGENT + 2, 2000) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* The end of service answers nobody, and waits for nobody. */
static void end_with_requests_waiting(void)
{
	CHECK(begin(one_thread) && block(BLOCKED));
	kill(fe.child, SIGTERM);
	usleep(50000);
	close(files.held);
	CHECK(fe_wait(&fe) == 0);
	fe.child = fork();
	if (!fe.child)
		_exit(0);
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(urgent_come_first),
	TEST(interrupts_come_first),
	TEST(interrupts_are_early),
	TEST(interrupts_are_kept),
	TEST(stop_with_reads_waiting),
	TEST(reset_with_requests_waiting),
	TEST(urgent_during_destroy),
	TEST(end_with_requests_waiting),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
