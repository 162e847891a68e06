// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File locks of a guest, through the whole daemon: who may wait.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs_tap.h"
#include "frontend.h"
#include "slots.h"

#define FIRST 8		/* slot of the first request that waits */
#define ROOM (FE_QUEUE_SIZE / 2)

static struct frontend fe;

static const char *const plain[] = { "--log-level", "warn", NULL };

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

static int bsd_lock(uint32_t opcode, uint64_t handle, uint32_t type)
{
	slot_lock(&fe, 0, opcode, handle, 0, type, FUSE_LK_FLOCK);
	return slot_wait(&fe, 0, 2000);
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

static const struct fs_test tests[] = {
	TEST(waiters_leave_room),
	TEST(waiters_leave_room_without_tables),
};

int main(int argc, char **argv)
{
	fe_daemon = argc > 1 ? argv[1] : "./virtiofs-daxd";
	signal(SIGPIPE, SIG_IGN);
	if (geteuid())
		return skip_all("needs root");
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 2 ? argv[2] : NULL);
}
