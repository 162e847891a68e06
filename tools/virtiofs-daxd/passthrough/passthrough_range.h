/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ranges of a file that a lock owner has locked, as the host's kernel has
 * them too: it says that a lock is in the way, but not whose.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_RANGE_H
#define VIRTIOFS_DAXD_PASSTHROUGH_RANGE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct range - bytes that are locked alike
 * @next: behind it in the file; touches it only if it is of the other kind
 * @start: first byte
 * @end: last byte
 * @write: locked exclusively
 */
struct range {
	struct range *next;
	uint64_t start;
	uint64_t end;
	bool write;
};

/**
 * struct ranges - a set of them; callers serialise
 * @first: in the order of the file, without overlaps
 * @spare: allocated for the next change
 * @nr: in the list of @first
 */
struct ranges {
	struct range *first;
	struct range *spare;
	unsigned int nr;
};

/**
 * range_of - what a lock request is about
 * @flock: of the type F_RDLCK, F_WRLCK or F_UNLCK, and SEEK_SET
 * @range: filled
 *
 * Return: false if it makes no sense.
 */
bool range_of(const struct flock *flock, struct range *range);

/**
 * range_flock - the lock request for a range
 */
struct flock range_flock(const struct range *range);

/**
 * ranges_prepare - allocate what the next change may need
 *
 * Return: 0 or -ENOMEM.
 */
int ranges_prepare(struct ranges *ranges);

/**
 * ranges_lock - a range is locked now, whatever it was before
 *
 * To be called after ranges_prepare(), as ranges_unlock().
 */
void ranges_lock(struct ranges *ranges, const struct range *range);

/**
 * ranges_unlock - a range is unlocked now
 */
void ranges_unlock(struct ranges *ranges, const struct range *range);

/**
 * ranges_splits - whether unlocking a range leaves both ends of another one
 */
bool ranges_splits(const struct ranges *ranges, const struct range *range);

/**
 * ranges_conflict - whether there is one that keeps others from a range
 * @steps: reduced by what was looked at; at 0 the search ends without a result
 */
bool ranges_conflict(const struct ranges *ranges, const struct range *range,
		     unsigned int *steps);

/**
 * ranges_free - release the memory
 */
void ranges_free(struct ranges *ranges);

#endif
