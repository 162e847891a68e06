// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Slots for maps: several daemons of one machine, each with a descriptor of the
 * same memory, as they get it from QEMU.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fs_tap.h"
#include "vhost/map_slots.h"

#define DAEMONS 4
#define HALF (MAP_SLOTS / 2)

static struct map_slots *daemons[DAEMONS];
static int memory_fd, proc_fd;

static bool begin(unsigned int count)
{
	memory_fd = memfd_create("memory", MFD_CLOEXEC);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (unsigned int i = 0; i < count; i++) {
		daemons[i] = map_slots_new(proc_fd);
		if (!daemons[i])
			return false;
		map_slots_join(daemons[i], memory_fd);
	}
	return true;
}

static void end(void)
{
	for (unsigned int i = 0; i < DAEMONS; i++) {
		map_slots_free(daemons[i]);
		daemons[i] = NULL;
	}
	close(memory_fd);
	close(proc_fd);
}

/* As many as can be had; they are kept. */
static unsigned int grab(struct map_slots *slots)
{
	unsigned int count = 0;

	while (!map_slots_reserve(slots, count + 1))
		count++;
	return count;
}

static void one_has_all(void)
{
	CHECK(begin(1));
	CHECK(map_slots_reserve(daemons[0], MAP_SLOTS) == 0);
	CHECK(map_slots_reserve(daemons[0], MAP_SLOTS + 1) == -ENOMEM);
	map_slots_trim(daemons[0], 0);
	CHECK(grab(daemons[0]) == MAP_SLOTS);
	end();
}

static void two_share(void)
{
	CHECK(begin(2));
	CHECK(grab(daemons[0]) == HALF + HALF / 2);
	CHECK(grab(daemons[1]) == HALF / 2);
	/* What one gives back the other can have, from the common half. */
	map_slots_trim(daemons[0], HALF);
	CHECK(grab(daemons[1]) == HALF);
	CHECK(grab(daemons[0]) == HALF);
	end();
}

static void each_of_four_has_some(void)
{
	unsigned int sum = 0;

	CHECK(begin(4));
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int count = grab(daemons[i]);

		CHECK(count >= HALF / 4);
		sum += count;
	}
	CHECK(sum == MAP_SLOTS);
	end();
}

/* One that was started again is counted like the others. */
static void one_comes_back(void)
{
	CHECK(begin(3));
	map_slots_free(daemons[0]);
	daemons[0] = map_slots_new(proc_fd);
	map_slots_join(daemons[0], memory_fd);
	CHECK(grab(daemons[1]) == HALF + HALF / 3);
	CHECK(grab(daemons[2]) == HALF / 3);
	CHECK(grab(daemons[0]) == HALF / 3);
	end();
}

/* One that has all finds that it is not alone any more. */
static void late_one_gets_some(void)
{
	CHECK(begin(1));
	CHECK(grab(daemons[0]) == MAP_SLOTS);
	daemons[1] = map_slots_new(proc_fd);
	map_slots_join(daemons[1], memory_fd);
	CHECK(grab(daemons[1]) == 0);
	map_slots_trim(daemons[0], MAP_SLOTS - HALF / 2);
	CHECK(grab(daemons[0]) == MAP_SLOTS - HALF / 2);
	CHECK(grab(daemons[1]) == HALF / 2);
	end();
}

/* Its locks are free, but QEMU keeps its maps: nobody has more than before. */
static void maps_outlive_their_daemon(void)
{
	unsigned int count;

	CHECK(begin(2));
	count = grab(daemons[0]);
	CHECK(count == HALF + HALF / 2);
	/* All that the other knows of it is that it was there. */
	map_slots_look(daemons[1]);
	map_slots_free(daemons[0]);
	daemons[0] = NULL;
	CHECK(grab(daemons[1]) + count == MAP_SLOTS);
	/* What one holds it may keep, and no more. */
	map_slots_trim(daemons[1], HALF / 4);
	CHECK(grab(daemons[1]) == HALF / 2);
	end();
}

static void other_machines_do_not_matter(void)
{
	struct map_slots *stranger;
	int fd = memfd_create("stranger", MFD_CLOEXEC);

	CHECK(begin(1));
	stranger = map_slots_new(proc_fd);
	map_slots_join(stranger, fd);
	CHECK(grab(daemons[0]) == MAP_SLOTS);
	CHECK(grab(stranger) == MAP_SLOTS);
	map_slots_free(stranger);
	close(fd);
	end();
}

static void memory_counts(void)
{
	CHECK(begin(1));
	map_slots_memory(daemons[0], 4);
	CHECK(grab(daemons[0]) == MAP_SLOTS);
	map_slots_trim(daemons[0], 0);
	map_slots_memory(daemons[0], 100);
	CHECK(grab(daemons[0]) + 100 <= MAP_SLOTS_REGIONS - 16);
	map_slots_trim(daemons[0], 0);
	map_slots_memory(daemons[0], 509);
	CHECK(grab(daemons[0]) == HALF);
	end();
}

/* Where there is nothing to lock, the budget is all there is. */
static void without_locks(void)
{
	CHECK(begin(0));
	daemons[0] = map_slots_new(proc_fd);
	CHECK(map_slots_reserve(daemons[0], 1000) == 0);
	map_slots_join(daemons[0], proc_fd);
	CHECK(map_slots_reserve(daemons[0], 1000) == 0);
	map_slots_trim(daemons[0], 0);
	end();
}

/* A front-end may have a lease on its memory; nobody waits until it ends. */
static void leases_are_not_waited_for(void)
{
	struct timespec begun, now;

	CHECK(begin(0));
	signal(SIGIO, SIG_IGN);
	CHECK(!fcntl(memory_fd, F_SETLEASE, F_RDLCK));
	daemons[0] = map_slots_new(proc_fd);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	map_slots_join(daemons[0], memory_fd);
	clock_gettime(CLOCK_MONOTONIC, &now);
	/* The kernel breaks it after 45 seconds. */
	CHECK(now.tv_sec - begun.tv_sec < 20);
	CHECK(map_slots_reserve(daemons[0], 1000) == 0);
	end();
}

static unsigned int sum;
static bool too_many;

static void *work(void *arg)
{
	struct map_slots *slots = arg;
	unsigned int seed = (uintptr_t)arg >> 4;

	for (unsigned int i = 0; i < 300; i++) {
		unsigned int n = rand_r(&seed) % (MAP_SLOTS / 2);

		if (!map_slots_reserve(slots, n)) {
			if (__atomic_add_fetch(&sum, n, __ATOMIC_SEQ_CST) >
			    MAP_SLOTS)
				too_many = true;
			__atomic_sub_fetch(&sum, n, __ATOMIC_SEQ_CST);
		}
		map_slots_trim(slots, 0);
	}
	return NULL;
}

static void four_at_once(void)
{
	pthread_t threads[DAEMONS];

	CHECK(begin(DAEMONS));
	for (unsigned int i = 0; i < DAEMONS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, daemons[i]));
	for (unsigned int i = 0; i < DAEMONS; i++)
		pthread_join(threads[i], NULL);
	CHECK(!too_many);
	/* All have been given back. */
	CHECK(grab(daemons[0]) == HALF + HALF / DAEMONS);
	end();
}

static const struct fs_test tests[] = {
	TEST(one_has_all),
	TEST(two_share),
	TEST(each_of_four_has_some),
	TEST(one_comes_back),
	TEST(late_one_gets_some),
	TEST(maps_outlive_their_daemon),
	TEST(other_machines_do_not_matter),
	TEST(memory_counts),
	TEST(without_locks),
	TEST(leases_are_not_waited_for),
	TEST(four_at_once),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
