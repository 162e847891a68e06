// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct workload {
	const char *name;
	int args;		/* at least so many */
	void (*run)(char **arg);
	const char *usage;
};

static const struct workload workloads[] = {
	{ "append", 3, work_append, "FILE COUNT FSYNC_EACH" },
	{ "close", 2, work_close, "FILE COUNT" },
	{ "faults", 1, work_faults, "FILE" },
	{ "first", 2, work_first, "FILE OTHER" },
	{ "fsync", 3, work_fsync, "FILE COUNT STORES" },
	{ "hot", 3, work_hot, "SCAN TIME FILE..." },
	{ "many", 3, work_many, "SLICE TIME FILE..." },
	{ "map-all", 1, work_map_all, "DIR [PASSES]" },
	{ "memory", 0, work_memory, "[FILE]" },
	{ "order", 3, work_order, "uniform|zipf BLOCKS COUNT >ORDER" },
	{ "pins", 2, work_pins, "PINNED FILE" },
	{ "random", 6, work_random, "read|write psync|mmap FILE ORDER WARMUP TIME [unsynced]" },
	{ "read-all", 1, work_read_all, "DIR" },
	{ "seen", 4, work_seen, "mapped|data|size|mode|name FILE COUNT ACKS" },
	{ "seq", 4, work_seq, "read|mmap FILE BLOCK PASSES" },
	{ "start", 1, work_start, "PROGRAM..." },
	{ "threads", 3, work_threads, "THREADS TIME FILE [FILE]" },
	{ "time", 1, work_time, "COMMAND..." },
	{ "trip", 1, work_trip, "FILE" },
};

static double started;

static void mark(const char *what)
{
	const char *command = getenv("MARK");
	char line[512];

	if (!command || !*command)
		return;
	fflush(stdout);
	snprintf(line, sizeof(line), "%s %s", command, what);
	if (system(line))
		errx(1, "%s failed", line);
}

void begin(void)
{
	mark("begin");
	started = now();
}

double end(void)
{
	double seconds = now() - started;

	mark("end");
	return seconds;
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

void report(double value, const char *unit)
{
	const char *row = getenv("ROW");

	printf("row %s %.*f %s\n", row ? row : "-", value < 1000 ? 3 : 0, value, unit);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), compare);
	return values[nr / 2];
}

int open_file(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

size_t file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		err(1, "fstat");
	return st.st_size;
}

char *map_file(int fd, int prot)
{
	char *map = mmap(NULL, file_size(fd), prot, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		err(1, "mmap");
	return map;
}

size_t number(const char *text)
{
	static const char units[] = "KMG";
	char *rest;
	size_t value = strtoull(text, &rest, 10);
	const char *unit = *rest ? strchr(units, *rest) : NULL;

	if (rest == text || (*rest && !unit))
		errx(2, "not a number: %s", text);
	return unit ? value << (10 * (unit - units + 1)) : value;
}

void *allocate(size_t size)
{
	void *p = aligned_alloc(PAGE, (size + PAGE - 1) & -PAGE);

	if (!p)
		errx(1, "no memory");
	return memset(p, 0, size);
}

void *allocate_buffer(size_t size)
{
	const size_t unit = 128 << 10;
	char *p = aligned_alloc(unit, (size + unit / 2 + unit - 1) & -unit);

	if (!p)
		errx(1, "no memory");
	return memset(p + unit / 2, 0, size);
}

static void usage(void)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(*workloads); i++)
		fprintf(stderr, "bench-work %s %s\n", workloads[i].name, workloads[i].usage);
	exit(2);
}

int main(int argc, char **argv)
{
	/* What is started to see how long that takes */
	if (argc == 2 && !strcmp(argv[1], "true"))
		return 0;

	for (size_t i = 0; argc > 1 && i < sizeof(workloads) / sizeof(*workloads); i++) {
		if (strcmp(argv[1], workloads[i].name) || argc - 2 < workloads[i].args)
			continue;
		workloads[i].run(argv + 2);
		return fflush(stdout) ? 1 : 0;
	}
	usage();
}
