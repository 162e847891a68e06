/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters of requests, for the statistics file.
 */
#ifndef VIRTIOFS_DAXD_STATS_H
#define VIRTIOFS_DAXD_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "dax/dax_map.h"

/**
 * stats_count - a request of this opcode has come
 * @opcode: the opcode
 */
void stats_count(uint32_t opcode);

/**
 * stats_opcode - the opcode of a name
 * @name: as in the statistics, in any case
 *
 * Return: 0 if there is none.
 */
uint32_t stats_opcode(const char *name);

/**
 * stats_name - the name of an opcode, in lower case; "other" if it has none
 * @opcode: the opcode
 */
const char *stats_name(uint32_t opcode);

/**
 * stats_print_requests - print a line for each opcode
 * @out: where to
 */
void stats_print_requests(FILE *out);

/**
 * stats_write - rewrite the statistics file
 * @fd: the file
 * @map: whose counters are written too, or NULL
 *
 * Return: 0 or a negative errno.
 */
int stats_write(int fd, struct dax_map *map);

/**
 * stats_write_soon - the same by a thread, as the file's storage may not answer
 * @fd: the file
 * @map: whose counters are written too, or NULL; used until stats_close()
 *
 * Return: 0 or a negative errno, if there is no thread.
 */
int stats_write_soon(int fd, struct dax_map *map);

/**
 * stats_close - wait for those threads
 */
void stats_close(void);

#endif
