/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE requests from the bytes of a fuzzer's input, which hit: node ids, file
 * handles and numbers of requests are mostly those that an answer has told.
 */
#ifndef VIRTIOFS_DAXD_FUZZ_ENCODE_H
#define VIRTIOFS_DAXD_FUZZ_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "input.h"

/* Of each kind the last ones are remembered. */
#define ENCODE_KNOWN 8

/**
 * struct encode_known - what answers have told; slot 0 of nodes is the root
 */
struct encode_known {
	uint64_t nodes[ENCODE_KNOWN];
	uint64_t handles[ENCODE_KNOWN];
	uint64_t uniques[ENCODE_KNOWN];
	unsigned int next_node;
	unsigned int next_handle;
	unsigned int next_unique;
};

/**
 * encode_begin - forget all but the root
 */
void encode_begin(struct encode_known *known);

/**
 * encode_request - make the next request
 * @in: the input, of which the request's bytes are taken
 * @known: what it may name
 * @buf: where it goes, header and all
 * @max: bytes of @buf
 *
 * Return: its length, which is not always what its header says.
 */
size_t encode_request(struct input *in, struct encode_known *known, char *buf,
		      size_t max);

/**
 * encode_learn - remember what an answer tells
 * @opcode: of the request
 * @body: what follows the header of the answer
 * @len: bytes of @body
 */
void encode_learn(struct encode_known *known, uint32_t opcode, const void *body,
		  size_t len);

#endif
