// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/map_slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/log.h"
#include "host/util.h"

/* The slots that are divided come first. */
#define DIVIDED (MAP_SLOTS / 2)

/* Regions of memory beyond these take slots away, of those for anybody. */
#define MEMORY_REGIONS 16U

/* Most daemons that are counted; more share what is the last one's. */
#define MAX_DAEMONS 16U

/*
 * Bytes of the file: one for each slot, and one for each daemon. They are not
 * neighbours: locks of one daemon that touch become one lock.
 */
#define FIRST_BYTE (INT64_C(1) << 61)
#define DAEMON_BYTE (INT64_C(1) << 60)

/**
 * struct map_slots - a daemon's part
 * @proc_fd: O_PATH descriptor of /proc/self/fd
 * @fd: the file of memory, opened for us alone, as locks belong to an open file;
 *	or -1. Atomic, set once
 * @joined: there was a call of map_slots_join(); its thread's
 * @end: behind the last slot that may be used; atomic
 * @most: daemons of the machine that there were at a time; atomic
 * @held: slots that are ours
 * @held_divided: those of them that are divided
 * @mine: which ones
 */
struct map_slots {
	int proc_fd;
	int fd;
	bool joined;
	unsigned int end;
	unsigned int most;
	unsigned int held;
	unsigned int held_divided;
	bool mine[MAP_SLOTS];
};

struct map_slots *map_slots_new(int proc_fd)
{
	struct map_slots *slots = calloc(1, sizeof(*slots));

	if (!slots)
		return NULL;
	slots->fd = -1;
	slots->end = MAP_SLOTS;
	slots->proc_fd = fcntl(proc_fd, F_DUPFD_CLOEXEC, 0);
	if (slots->proc_fd < 0) {
		free(slots);
		return NULL;
	}
	return slots;
}

void map_slots_free(struct map_slots *slots)
{
	if (!slots)
		return;
	close_fd(&slots->fd);
	close_fd(&slots->proc_fd);
	free(slots);
}

/* Return: 0, -EAGAIN if it is another's, or another negative errno. */
static int byte_lock(int fd, off_t byte, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET,
		.l_start = byte, .l_len = 1,
	};

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

/* We are one of the daemons of this machine, in the first place that is free. */
static int daemon_enter(int fd)
{
	int err = -EAGAIN;

	for (unsigned int i = 0; i < MAX_DAEMONS && err == -EAGAIN; i++)
		err = byte_lock(fd, DAEMON_BYTE + i, F_WRLCK);
	return err == -EAGAIN ? 0 : err;
}

/*
 * Byte by byte: of several locks in a range the kernel tells any one, not the
 * first. We do not meet our own.
 */
static unsigned int count_daemons(int fd)
{
	unsigned int count = 1;

	for (unsigned int i = 0; i < MAX_DAEMONS; i++) {
		struct flock lock = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET,
			.l_start = DAEMON_BYTE + i, .l_len = 1,
		};

		if (!fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK)
			count++;
	}
	return min(count, MAX_DAEMONS);
}

/* Return: how many there are; @most is at least that. */
static unsigned int see_daemons(struct map_slots *slots, int fd)
{
	unsigned int now = count_daemons(fd);
	unsigned int most = __atomic_load_n(&slots->most, __ATOMIC_RELAXED);

	while (most < now &&
	       !__atomic_compare_exchange_n(&slots->most, &most, now, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return now;
}

void map_slots_look(struct map_slots *slots)
{
	int fd = slots ? __atomic_load_n(&slots->fd, __ATOMIC_ACQUIRE) : -1;

	if (fd >= 0)
		see_daemons(slots, fd);
}

/* What each may have of the slots that are divided. */
static unsigned int slots_share(struct map_slots *slots)
{
	return DIVIDED / __atomic_load_n(&slots->most, __ATOMIC_RELAXED);
}

void map_slots_join(struct map_slots *slots, int memory_fd)
{
	char name[16];
	int fd, err;

	if (!slots || slots->joined)
		return;
	slots->joined = true;
	snprintf(name, sizeof(name), "%d", memory_fd);
	/* Who has a lease on it would keep us waiting. */
	fd = openat(slots->proc_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	err = fd < 0 ? -errno : daemon_enter(fd);
	if (err) {
		log_warn("front-end: memory cannot be locked (%s): more than one share in this VM may map too much, see --dax-budget",
			 strerror(-err));
		close_fd(&fd);
	}
	__atomic_store_n(&slots->fd, fd, __ATOMIC_RELEASE);
}

void map_slots_memory(struct map_slots *slots, unsigned int regions)
{
	unsigned int spare = MAP_SLOTS_REGIONS - MAP_SLOTS - MEMORY_REGIONS;
	unsigned int end = MAP_SLOTS_REGIONS - spare - regions;

	if (!slots)
		return;
	if (regions > MAP_SLOTS_REGIONS - spare - DIVIDED)
		end = DIVIDED;
	__atomic_store_n(&slots->end, min(end, (unsigned int)MAP_SLOTS),
			 __ATOMIC_RELAXED);
}

/* The first slot of a part that nobody has. */
static int slot_take(struct map_slots *slots, unsigned int from,
		     unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		int err;

		if (slots->mine[i])
			continue;
		err = byte_lock(slots->fd, FIRST_BYTE + i, F_WRLCK);
		if (err == -EAGAIN)
			continue;
		if (err)
			return err;
		slots->mine[i] = true;
		slots->held++;
		slots->held_divided += i < DIVIDED;
		return 0;
	}
	return -ENOMEM;
}

/*
 * The locks of a daemon that died are free, but its maps stay. They were the rest
 * of the others' shares at most, and of what is not divided.
 */
static int slot_take_any(struct map_slots *slots)
{
	unsigned int now = see_daemons(slots, slots->fd);
	int err = -ENOMEM;

	if (slots->held_divided < slots_share(slots))
		err = slot_take(slots, 0, DIVIDED);
	if (err == -ENOMEM &&
	    now == __atomic_load_n(&slots->most, __ATOMIC_RELAXED))
		err = slot_take(slots, DIVIDED,
				__atomic_load_n(&slots->end, __ATOMIC_RELAXED));
	return err;
}

int map_slots_reserve(struct map_slots *slots, unsigned int count)
{
	int err = 0;

	if (!slots || __atomic_load_n(&slots->fd, __ATOMIC_ACQUIRE) < 0)
		return 0;
	while (slots->held < count && !err)
		err = slot_take_any(slots);
	if (err && err != -ENOMEM)
		log_warn_once("window: no lock for a map: %s", strerror(-err));
	return err ? -ENOMEM : 0;
}

static void slot_give(struct map_slots *slots, unsigned int i)
{
	byte_lock(slots->fd, FIRST_BYTE + i, F_UNLCK);
	slots->mine[i] = false;
	slots->held--;
	slots->held_divided -= i < DIVIDED;
}

/* What is beyond our share goes first, then what anybody may have. */
void map_slots_trim(struct map_slots *slots, unsigned int count)
{
	unsigned int share;

	if (!slots || slots->held <= count)
		return;
	see_daemons(slots, slots->fd);
	share = slots_share(slots);
	for (unsigned int i = 0; i < DIVIDED && slots->held > count; i++)
		if (slots->mine[i] && slots->held_divided > share)
			slot_give(slots, i);
	for (unsigned int i = MAP_SLOTS; i-- && slots->held > count; )
		if (slots->mine[i])
			slot_give(slots, i);
}
