// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Print the frequency of the time stamp counter, in kHz. The guest of TCG has the
 * same, and on a busy host it may measure one that is wrong by far.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Both clocks at once: in between, this process has not been interrupted. */
static void sample(int64_t *ns, uint64_t *tsc)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < 1000; i++) {
		int64_t before = now();
		uint64_t counter = __rdtsc();
		int64_t took = now() - before;

		if (took < best) {
			best = took;
			*ns = before + took / 2;
			*tsc = counter;
		}
	}
}

int main(void)
{
	uint64_t tsc[2];
	int64_t ns[2];

	sample(&ns[0], &tsc[0]);
	usleep(100000);
	sample(&ns[1], &tsc[1]);
	printf("%.0f\n", (tsc[1] - tsc[0]) * 1e6 / (ns[1] - ns[0]));
	return 0;
}
