/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The statistics file: counters of requests, and of the window.
 */
#ifndef VIRTIOFS_DAXD_STATS_H
#define VIRTIOFS_DAXD_STATS_H

#include "dax/dax_map.h"

/**
 * stats_start - seconds are counted from now
 */
void stats_start(void);

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
