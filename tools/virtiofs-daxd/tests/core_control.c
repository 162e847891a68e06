// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The front-end's messages: the daemon waits for none of them for long, and one
 * that is refused changes nothing.
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fe_main.h"

static struct frontend fe;

static const char *const quiet[] = { "--log-level", "error", NULL };

/* The daemon ends in time, with any code but that of the test's SIGKILL. */
static bool ends(void)
{
	kill(fe.child, SIGTERM);
	return fe_gone(&fe) >= 0;
}

/* Half a header, and a header without its payload. */
static void half_a_message(void)
{
	const struct vu_header header = { VU_SET_FEATURES, VU_VERSION, 8 };

	CHECK(fe_begin(&fe, quiet));
	CHECK(write(fe.conn, &header, 5) == 5);
	usleep(100000);
	CHECK(ends());
	CHECK(fe_begin(&fe, quiet));
	CHECK(write(fe.conn, &header, sizeof(header)) == sizeof(header));
	usleep(100000);
	CHECK(ends());
}

/* Answers which nobody reads, until there is no room for more. */
static void answers_are_not_read(void)
{
	const struct vu_header header = { VU_GET_FEATURES, VU_VERSION, 0 };
	int stuck = 0;

	CHECK(fe_begin(&fe, quiet));
	while (stuck < 100) {
		ssize_t n = send(fe.conn, &header, sizeof(header),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		stuck = n < 0 ? stuck + 1 : 0;
		if (stuck)
			usleep(1000);
	}
	CHECK(ends());
}

/* The guest's interrupts are never waited for, so a full eventfd is no trap. */
static void interrupts_are_not_taken(void)
{
	uint16_t *used_event;
	eventfd_t count;

	CHECK(fe_begin(&fe, quiet));
	/* Ask for one: behind the entries of queue 1's available ring. */
	used_event = &fe_avail(&fe, 1)->ring[FE_QUEUE_SIZE];
	*used_event = fe.queues[1].seen_used;
	CHECK(!eventfd_read(fe.queues[1].call, &count));
	CHECK(!eventfd_write(fe.queues[1].call, UINT64_MAX - 1));
	fe_request_begin(&fe, FUSE_STATFS, 1, NULL, 0, 80);
	CHECK(fe_request_end(&fe, NULL, 80, NULL) == 0);
	CHECK(fe_stop_queues(&fe));
	CHECK(ends());
}

static int set_rings(uint64_t desc, uint64_t avail, uint64_t used)
{
	const struct vu_vring_addr addr = {
		.index = 1, .desc = desc, .avail = avail, .used = used };

	return fe_send(&fe, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1, true);
}

/* A running queue keeps its rings, whatever it is told, and works. */
static void rings_of_a_running_queue(void)
{
	uint64_t memory;

	CHECK(fe_begin(&fe, quiet));
	memory = (uintptr_t)fe.memory;
	CHECK(set_rings(0, 0, 0) == 1);
	CHECK(set_rings(memory, memory, 4096) == 1);
	CHECK(set_rings(memory + 65536, memory + 69632, memory + 73728) == 1);
	CHECK(fe_request(&fe, FUSE_STATFS, 1, NULL, 0, NULL, 80, NULL) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* A stopped one keeps them too, if the new ones are refused. */
static void refused_messages_change_nothing(void)
{
	struct vu_vring_state state = { 1, 3 };
	uint64_t index = 1;
	int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	CHECK(fe_begin(&fe, quiet));
	CHECK(fe_stop_queues(&fe));
	CHECK(set_rings(1, 2, 3) == 1);
	CHECK(fe_send(&fe, VU_SET_VRING_NUM, &state, sizeof(state), -1,
		      true) == 1);
	state.num = 1 << 20;
	CHECK(fe_send(&fe, VU_SET_VRING_BASE, &state, sizeof(state), -1,
		      true) == 1);
	/* No eventfd: nothing to wait for. */
	CHECK(fe_send(&fe, VU_SET_VRING_KICK, &index, 8, file, true) == 1);
	close(file);
	for (index = 0; index < FE_QUEUES; index++) {
		state.index = index;
		state.num = fe.queues[index].stopped_at;
		CHECK(fe_send(&fe, VU_SET_VRING_BASE, &state, sizeof(state), -1,
			      true) == 0);
		CHECK(fe_send(&fe, VU_SET_VRING_KICK, &index, 8,
			      fe.queues[index].kick, true) == 0);
	}
	state.num = 1;
	for (state.index = 0; state.index < FE_QUEUES; state.index++)
		CHECK(fe_send(&fe, VU_SET_VRING_ENABLE, &state, sizeof(state),
			      -1, true) == 0);
	CHECK(fe_request(&fe, FUSE_STATFS, 1, NULL, 0, NULL, 80, NULL) == 0);
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(half_a_message),
	TEST(answers_are_not_read),
	TEST(interrupts_are_not_taken),
	TEST(rings_of_a_running_queue),
	TEST(refused_messages_change_nothing),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
