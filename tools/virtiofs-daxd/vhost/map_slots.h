/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many maps the daemons of a virtual machine make together.
 *
 * The front-end has a limit for all its devices: QEMU ends the machine when it
 * is passed. What other daemons have mapped cannot be told from what it says: it
 * offers maps as memory one after the other, and no further when one is refused.
 * But all daemons of a machine, and nobody else, hold the file of the guest's
 * memory. Each takes a lock on one byte of it, far behind its end, for each map.
 * Locks are never too many, whoever takes them at the same time.
 *
 * A half of the slots is divided evenly among the daemons, so that each has some
 * however busy the others are. The other half is for whoever comes first, as long
 * as none of them has died: QEMU keeps its maps, and nobody its locks.
 */
#ifndef VIRTIOFS_DAXD_MAP_SLOTS_H
#define VIRTIOFS_DAXD_MAP_SLOTS_H

/* The front-end's limit: QEMU ends at the 513th region, of memory and maps. */
#define MAP_SLOTS_REGIONS 512U

/* For maps. The rest is left to memory and to devices that are not ours. */
#define MAP_SLOTS 480

struct map_slots;

/**
 * map_slots_new - a daemon without slots, which knows no machine yet
 * @proc_fd: O_PATH descriptor of /proc/self/fd; the caller keeps it
 *
 * Return: NULL with errno set.
 */
struct map_slots *map_slots_new(int proc_fd);

/**
 * map_slots_free - give all slots back
 * @slots: the daemon, or NULL
 */
void map_slots_free(struct map_slots *slots);

/**
 * map_slots_join - say which machine it is
 * @slots: the daemon, or NULL
 * @memory_fd: file of the guest's first region of memory; the caller keeps it
 *
 * Only the first call counts. Where the file cannot be locked, all slots are
 * the daemon's own, and the log says so.
 */
void map_slots_join(struct map_slots *slots, int memory_fd);

/**
 * map_slots_look - see what other daemons there are
 * @slots: the daemon, or NULL
 *
 * To be called when another one has a map: should it die, that is known of it.
 */
void map_slots_look(struct map_slots *slots);

/**
 * map_slots_memory - say how much of the limit is spent on memory
 * @slots: the daemon, or NULL
 * @regions: regions of memory that are not maps
 *
 * By the thread of map_slots_join().
 */
void map_slots_memory(struct map_slots *slots, unsigned int regions);

/**
 * map_slots_reserve - have at least this many slots
 * @slots: the daemon, or NULL, which has as many as it likes
 * @count: maps there will be
 *
 * Not to be called by two threads at a time, nor with map_slots_trim().
 *
 * Return: 0, or -ENOMEM if the others have left too few; what could be had is
 * kept then.
 */
int map_slots_reserve(struct map_slots *slots, unsigned int count);

/**
 * map_slots_trim - give back what is more than this
 * @slots: the daemon, or NULL
 * @count: maps there are
 */
void map_slots_trim(struct map_slots *slots, unsigned int count);

#endif
