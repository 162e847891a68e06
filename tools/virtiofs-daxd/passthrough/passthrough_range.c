// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_range.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* The middle of a range changes: two more. */
#define SPARES 2

bool range_of(const struct flock *flock, struct range *range)
{
	if ((flock->l_type != F_RDLCK && flock->l_type != F_WRLCK &&
	     flock->l_type != F_UNLCK) || flock->l_start < 0 ||
	    flock->l_len < 0 || flock->l_len - 1 > INT64_MAX - flock->l_start)
		return false;
	*range = (struct range){
		.start = flock->l_start,
		.end = INT64_MAX,
		.write = flock->l_type == F_WRLCK,
	};
	if (flock->l_len)
		range->end = range->start + flock->l_len - 1;
	return true;
}

struct flock range_flock(const struct range *range)
{
	struct flock flock = {
		.l_type = range->write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = range->start,
	};

	/* 0 stands for all that follows. */
	if (range->end != INT64_MAX)
		flock.l_len = range->end - range->start + 1;
	return flock;
}

int ranges_prepare(struct ranges *ranges)
{
	struct range **p = &ranges->spare;

	for (unsigned int i = 0; i < SPARES; i++) {
		if (!*p)
			*p = calloc(1, sizeof(**p));
		if (!*p)
			return -ENOMEM;
		p = &(*p)->next;
	}
	return 0;
}

/* Puts a copy of @range in at a place of the list. */
static void ranges_insert(struct ranges *ranges, struct range **place,
			  const struct range *range)
{
	struct range *new = ranges->spare;

	ranges->spare = new->next;
	*new = *range;
	new->next = *place;
	*place = new;
	ranges->nr++;
}

static void ranges_delete(struct ranges *ranges, struct range **place)
{
	struct range *old = *place;

	*place = old->next;
	free(old);
	ranges->nr--;
}

/* The first one that ends at @pos or behind it. */
static struct range **ranges_find(struct ranges *ranges, uint64_t pos)
{
	struct range **p = &ranges->first;

	while (*p && (*p)->end < pos)
		p = &(*p)->next;
	return p;
}

void ranges_unlock(struct ranges *ranges, const struct range *range)
{
	struct range **p = ranges_find(ranges, range->start);

	/* One that begins before is cut in two, the first of which stays. */
	if (*p && (*p)->start < range->start) {
		struct range before = **p;

		before.end = range->start - 1;
		(*p)->start = range->start;
		ranges_insert(ranges, p, &before);
		p = &(*p)->next;
	}
	while (*p && (*p)->end <= range->end)
		ranges_delete(ranges, p);
	if (*p && (*p)->start <= range->end)
		(*p)->start = range->end + 1;
}

/* Makes one of a range and those behind it which continue it. */
static void ranges_merge(struct ranges *ranges, struct range *range)
{
	while (range->next && range->next->start == range->end + 1 &&
	       range->next->write == range->write) {
		range->end = range->next->end;
		ranges_delete(ranges, &range->next);
	}
}

void ranges_lock(struct ranges *ranges, const struct range *range)
{
	struct range **p;

	ranges_unlock(ranges, range);
	p = ranges_find(ranges, range->start);
	ranges_insert(ranges, p, range);
	p = ranges_find(ranges, range->start ? range->start - 1 : 0);
	ranges_merge(ranges, *p);
	if ((*p)->end < range->start)
		ranges_merge(ranges, (*p)->next);
}

bool ranges_splits(const struct ranges *ranges, const struct range *range)
{
	for (struct range *r = ranges->first; r; r = r->next)
		if (r->start < range->start && r->end > range->end)
			return true;
	return false;
}

bool ranges_conflict(const struct ranges *ranges, const struct range *range,
		     unsigned int *steps)
{
	for (struct range *r = ranges->first; r && *steps; r = r->next) {
		--*steps;
		if (r->start > range->end)
			return false;
		if (r->end >= range->start && (r->write || range->write))
			return true;
	}
	return false;
}

static void list_free(struct range *range)
{
	while (range) {
		struct range *next = range->next;

		free(range);
		range = next;
	}
}

void ranges_free(struct ranges *ranges)
{
	list_free(ranges->first);
	list_free(ranges->spare);
	*ranges = (struct ranges){ 0 };
}
