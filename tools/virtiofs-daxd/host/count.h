/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters of requests, for all who have something to do with one.
 */
#ifndef VIRTIOFS_DAXD_COUNT_H
#define VIRTIOFS_DAXD_COUNT_H

#include <stdint.h>
#include <stdio.h>

/**
 * count_request - a request of this opcode has come
 * @opcode: the opcode
 */
void count_request(uint32_t opcode);

/**
 * count_served - a request has been answered, or needs no answer
 * @opcode: its opcode
 * @us: since it was taken from its queue, microseconds
 */
void count_served(uint32_t opcode, uint64_t us);

/**
 * count_bytes - data has been read or written by request
 * @opcode: FUSE_READ or FUSE_WRITE
 * @bytes: how much
 */
void count_bytes(uint32_t opcode, uint64_t bytes);

/**
 * count_opcode - the opcode of a name
 * @name: as it is printed, in any case
 *
 * Return: 0 if there is none.
 */
uint32_t count_opcode(const char *name);

/**
 * count_name - the name of an opcode, in lower case; "other" if it has none
 * @opcode: the opcode
 */
const char *count_name(uint32_t opcode);

/**
 * count_print - print what has been counted
 * @out: where to
 */
void count_print(FILE *out);

/**
 * count_print_one - print a counter, if it is not zero: most are
 * @out: where to
 * @kind: what is counted
 * @name: of what
 * @value: the counter
 */
void count_print_one(FILE *out, const char *kind, const char *name,
		     uint64_t value);

/**
 * count_print_all - print the number of requests of each opcode, zero or not
 * @out: where to
 */
void count_print_all(FILE *out);

#endif
