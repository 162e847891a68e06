// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * order uniform|zipf BLOCKS COUNT: writes COUNT block numbers, 32 bits each, to
 * stdout. It is run on the host, as an emulated machine takes long for floating
 * point. The popular blocks of zipf(1.1) lie scattered over the file.
 */
#include "workload.h"

#include <err.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THETA	1.1

/* Always the same order, so that all contenders get it */
static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double *make_cdf(size_t blocks)
{
	double *cdf = allocate(blocks * sizeof(*cdf)), sum = 0;

	for (size_t i = 0; i < blocks; i++)
		cdf[i] = sum += pow(i + 1, -THETA);
	return cdf;
}

static size_t rank(const double *cdf, size_t blocks)
{
	double u = (draw() >> 11) * 0x1p-53 * cdf[blocks - 1];
	size_t low = 0, high = blocks - 1;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (cdf[mid] < u)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Where the block of each rank is: a permutation */
static uint32_t *scatter(size_t blocks)
{
	uint32_t *place = allocate(blocks * sizeof(*place));

	for (size_t i = 0; i < blocks; i++) {
		size_t j = draw() % (i + 1);

		place[i] = place[j];
		place[j] = i;
	}
	return place;
}

void work_order(char **arg)
{
	size_t blocks = number(arg[1]), count = number(arg[2]);
	bool zipf = !strcmp(arg[0], "zipf");
	uint32_t *place = zipf ? scatter(blocks) : NULL;
	double *cdf = zipf ? make_cdf(blocks) : NULL;

	for (size_t i = 0; i < count; i++) {
		uint32_t block = zipf ? place[rank(cdf, blocks)] : draw() % blocks;

		if (fwrite(&block, sizeof(block), 1, stdout) != 1)
			err(1, "write");
	}
	free(place);
	free(cdf);
}
