/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a fuzzer's input is read: as numbers in few bytes, of which most hit
 * something. An input never ends too early: what is missing is zero.
 */
#ifndef VIRTIOFS_DAXD_FUZZ_INPUT_H
#define VIRTIOFS_DAXD_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An empty tmpfs, which the script `run` mounts for each fuzzer. */
#define SHARE "/share"

/**
 * struct input - what is left of an input
 */
struct input {
	const uint8_t *data;
	size_t left;
};

/* State what must hold; where it does not, the input is a finding. */
#define MUST(cond)							\
	do {								\
		if (!(cond)) {						\
			fprintf(stderr, "%s:%d: MUST(%s)\n", __FILE__,	\
				__LINE__, #cond);			\
			abort();					\
		}							\
	} while (0)

/**
 * input_bytes - so many bytes; returns how many there were, zeroes follow
 */
static inline size_t input_bytes(struct input *in, void *buf, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(buf, 0, len);
	if (!n)
		return 0;
	memcpy(buf, in->data, n);
	in->data += n;
	in->left -= n;
	return n;
}

static inline uint8_t input_u8(struct input *in)
{
	uint8_t value;

	input_bytes(in, &value, sizeof(value));
	return value;
}

/**
 * input_number - a number: small, a power of two or one less, -1 to -16, a number
 * of pages, or eight bytes as they are
 */
static inline uint64_t input_number(struct input *in)
{
	uint8_t what = input_u8(in);
	uint64_t value;

	if (what < 64)
		return what;
	if (what < 128)
		return UINT64_C(1) << (what - 64);
	if (what < 192)
		return (UINT64_C(1) << (what - 128)) - 1;
	if (what < 208)
		return -(uint64_t)(what - 191);
	if (what < 240)
		return (uint64_t)(what - 207) * 4096;
	input_bytes(in, &value, sizeof(value));
	return value;
}

/**
 * input_u32 - likewise in 32 bits; a large one takes four bytes
 */
static inline uint32_t input_u32(struct input *in)
{
	uint32_t value;

	if (in->left && *in->data < 240)
		return input_number(in);
	input_u8(in);
	input_bytes(in, &value, sizeof(value));
	return value;
}

#endif
