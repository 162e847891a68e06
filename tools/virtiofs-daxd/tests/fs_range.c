// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ranges of locks, compared with a file of a few bytes, each locked or not.
 */
#include <stdlib.h>

#include "fs_tap.h"
#include "passthrough/passthrough_range.h"

#define BYTES 48
#define ROUNDS 200000

enum { FREE, READ, WRITE };

/* The last one stands for all that follows. */
static int model[BYTES];
static struct ranges ranges;

static struct range random_range(void)
{
	uint64_t a = random() % BYTES, b = random() % BYTES;
	struct range range = {
		.start = a < b ? a : b,
		.end = a < b ? b : a,
		.write = random() % 2,
	};

	if (range.end == BYTES - 1)
		range.end = INT64_MAX;
	return range;
}

static unsigned int model_end(const struct range *range)
{
	return range->end == INT64_MAX ? BYTES : (unsigned int)range->end + 1;
}

static void model_set(const struct range *range, int value)
{
	for (unsigned int i = range->start; i < model_end(range); i++)
		model[i] = value;
}

static bool model_conflict(const struct range *range)
{
	for (unsigned int i = range->start; i < model_end(range); i++)
		if (model[i] == WRITE || (range->write && model[i] == READ))
			return true;
	return false;
}

/* In order, as long as they can be, and the same bytes. */
static bool agrees(void)
{
	const struct range *before = NULL;
	int shown[BYTES] = { FREE };
	unsigned int nr = 0;

	for (struct range *r = ranges.first; r; before = r, r = r->next, nr++) {
		if (r->start > r->end || (before && r->start <= before->end) ||
		    (before && r->start == before->end + 1 &&
		     r->write == before->write))
			return false;
		for (unsigned int i = r->start; i < model_end(r); i++)
			shown[i] = r->write ? WRITE : READ;
	}
	return nr == ranges.nr && !memcmp(shown, model, sizeof(shown));
}

static void same_as_bytes(void)
{
	srandom(1);
	for (int i = 0; i < ROUNDS; i++) {
		struct range range = random_range();
		unsigned int steps = 1000, nr = ranges.nr;
		bool splits = ranges_splits(&ranges, &range);

		CHECK(ranges_conflict(&ranges, &range, &steps) ==
		      model_conflict(&range));
		CHECK(!ranges_prepare(&ranges));
		if (random() % 3) {
			ranges_lock(&ranges, &range);
			model_set(&range, range.write ? WRITE : READ);
		} else {
			ranges_unlock(&ranges, &range);
			model_set(&range, FREE);
			CHECK(splits == (ranges.nr > nr));
		}
		CHECK(agrees());
	}
	ranges_free(&ranges);
	CHECK(!ranges.first && !ranges.spare && !ranges.nr);
}

static void searches_are_bounded(void)
{
	struct range range = { .start = 500, .end = 500 };
	unsigned int steps = 250;

	for (uint64_t i = 0; i < 1000; i += 2) {
		const struct range one = {
			.start = i, .end = i, .write = true
		};

		CHECK(!ranges_prepare(&ranges));
		ranges_lock(&ranges, &one);
	}
	CHECK(!ranges_conflict(&ranges, &range, &steps) && steps == 0);
	steps = 251;
	CHECK(ranges_conflict(&ranges, &range, &steps) && steps == 0);
	ranges_free(&ranges);
}

static void requests_become_ranges(void)
{
	struct flock flock = { .l_type = F_WRLCK, .l_start = 10, .l_len = 5 };
	struct range range;

	CHECK(range_of(&flock, &range) && range.start == 10 &&
	      range.end == 14 && range.write);
	flock = (struct flock){ .l_type = F_RDLCK, .l_start = 7 };
	CHECK(range_of(&flock, &range) && range.end == INT64_MAX &&
	      !range.write);
	CHECK(range_flock(&range).l_len == 0);
	CHECK(range_flock(&range).l_start == 7);
	flock = (struct flock){ .l_type = F_WRLCK, .l_start = INT64_MAX,
				.l_len = 1 };
	CHECK(range_of(&flock, &range) && range.start == range.end);
	flock.l_len = 2;
	CHECK(!range_of(&flock, &range));
	flock.l_len = -1;
	CHECK(!range_of(&flock, &range));
	flock = (struct flock){ .l_type = F_RDLCK, .l_start = -1 };
	CHECK(!range_of(&flock, &range));
	flock = (struct flock){ .l_type = 77 };
	CHECK(!range_of(&flock, &range));
}

static const struct fs_test tests[] = {
	TEST(same_as_bytes), TEST(searches_are_bounded),
	TEST(requests_become_ranges),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
