/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The workloads of the benchmark, a multi-call program for the guest. A workload
 * prepares, calls begin(), does its work, calls end(), and reports one value.
 */
#ifndef WORK_H
#define WORK_H

#include <stdbool.h>
#include <stddef.h>

#define PAGE	4096UL

/**
 * begin - the measured part starts
 *
 * Runs the command in the environment variable MARK, if any, so that others can
 * take their counts, and only then starts the clock.
 */
void begin(void);

/**
 * end - the measured part is over
 *
 * Return: seconds since begin().
 */
double end(void);

/**
 * now - the monotonic clock
 *
 * Return: seconds.
 */
double now(void);

/**
 * report - print the value of this row
 * @value: what was measured
 * @unit: MB/s, ops/s, s, us, count or bytes
 */
void report(double value, const char *unit);

/**
 * median - the middle one of some values
 * @values: are put in order
 * @nr: how many, at least one
 *
 * Return: the value, of an even number the upper one of the two in the middle.
 */
double median(double *values, size_t nr);

/**
 * open_file - open or exit with a message
 * @path: file
 * @flags: of open(2)
 *
 * Return: file descriptor.
 */
int open_file(const char *path, int flags);

/**
 * file_size - size of an open file
 * @fd: file
 *
 * Return: bytes.
 */
size_t file_size(int fd);

/**
 * map_file - mmap a whole file, shared
 * @fd: file
 * @prot: of mmap(2)
 *
 * Return: address.
 */
char *map_file(int fd, int prot);

/**
 * number - parse an argument
 * @text: decimal, K, M and G understood
 *
 * Return: its value.
 */
size_t number(const char *text);

/**
 * allocate - zeroed memory that is there, or exit
 * @size: bytes
 *
 * Return: memory, page aligned.
 */
void *allocate(size_t size);

/**
 * allocate_buffer - zeroed memory for blocks of a file, or exit
 * @size: of a block, bytes
 *
 * QEMU's TLB without KVM is direct mapped and as small as 64 pages: to copy between
 * addresses that differ by a multiple of that took 30 times as long, for two misses at
 * each access, as it seems. A window starts with 2 MiB as a large malloc() may. So this starts in
 * the middle of 128 KiB, and blocks of a file do not conflict with it which are a
 * multiple of that.
 *
 * Return: memory, page aligned.
 */
void *allocate_buffer(size_t size);

/* The workloads. Arguments without the name; see their files. */
void work_append(char **arg);
void work_close(char **arg);
void work_faults(char **arg);
void work_first(char **arg);
void work_fsync(char **arg);
void work_hot(char **arg);
void work_many(char **arg);
void work_map_all(char **arg);
void work_memory(char **arg);
void work_order(char **arg);
void work_pins(char **arg);
void work_random(char **arg);
void work_read_all(char **arg);
void work_seen(char **arg);
void work_seq(char **arg);
void work_start(char **arg);
void work_threads(char **arg);
void work_time(char **arg);
void work_trip(char **arg);

#endif
