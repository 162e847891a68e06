// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/stats.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/count.h"
#include "host/log.h"
#include "host/util.h"

/**
 * struct stats_job - arguments of stats_write() for a thread
 * @fd: the file
 * @map: the window, or NULL
 */
struct stats_job {
	int fd;
	struct dax_map *map;
};

/*
 * The file.
 *
 * @lock: held while it is written; protects @closed
 * @closed: no thread is to write any more
 * @due: a thread is to begin with it; atomic
 */
static struct {
	pthread_mutex_t lock;
	bool closed;
	bool due;
} stats_file = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int64_t stats_begin;

void stats_start(void)
{
	stats_begin = clock_us();
}

static void print_dax(FILE *out, struct dax_map *map)
{
	struct dax_map_stats dax;

	dax_map_get_stats(map, &dax);
	count_print_one(out, "dax", "window", dax.window);
	count_print_one(out, "dax", "bytes", dax.bytes);
	count_print_one(out, "dax", "live", dax.live);
	count_print_one(out, "dax", "peak", dax.peak);
	count_print_one(out, "dax", "setups", dax.setups);
	count_print_one(out, "dax", "errors", dax.errors);
	count_print_one(out, "dax", "kept", dax.kept);
	count_print_one(out, "dax", "splits", dax.splits);
	count_print_one(out, "dax", "removes", dax.removes);
	count_print_one(out, "dax", "over_budget", dax.over_budget);
	count_print_one(out, "dax", "upgrades", dax.upgrades);
	count_print_one(out, "dax", "lost", dax.lost);
	count_print_one(out, "regions", "made", dax.regions_made);
	count_print_one(out, "regions", "removed", dax.regions_removed);
}

static int write_file(int fd, struct dax_map *map)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out;
	int err;

	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	fprintf(out, "seconds %ld\n", (clock_us() - stats_begin) / 1000000);
	count_print(out);
	if (map)
		print_dax(out, map);
	if (fclose(out))
		return -ENOMEM;
	/* Readers see the old text, the new one, or a part of both. */
	err = lseek(fd, 0, SEEK_SET) < 0 ? -errno : write_full(fd, text, len);
	if (!err && ftruncate(fd, len))
		err = -errno;
	free(text);
	return err;
}

int stats_write(int fd, struct dax_map *map)
{
	int err;

	pthread_mutex_lock(&stats_file.lock);
	err = write_file(fd, map);
	pthread_mutex_unlock(&stats_file.lock);
	return err;
}

static void *soon_thread(void *arg)
{
	struct stats_job *job = arg;
	int err = 0;

	pthread_mutex_lock(&stats_file.lock);
	__atomic_store_n(&stats_file.due, false, __ATOMIC_RELEASE);
	if (!stats_file.closed)
		err = write_file(job->fd, job->map);
	pthread_mutex_unlock(&stats_file.lock);
	free(job);
	if (err)
		log_err("statistics: %s", strerror(-err));
	return NULL;
}

static int soon_start(int fd, struct dax_map *map)
{
	struct stats_job *job = malloc(sizeof(*job));
	pthread_t thread;
	int err;

	if (!job)
		return -ENOMEM;
	*job = (struct stats_job){ .fd = fd, .map = map };
	err = pthread_create(&thread, NULL, soon_thread, job);
	if (err)
		free(job);
	else
		pthread_detach(thread);
	return -err;
}

int stats_write_soon(int fd, struct dax_map *map)
{
	int err;

	/* The one that waits for the file will write what there is then. */
	if (__atomic_exchange_n(&stats_file.due, true, __ATOMIC_ACQ_REL))
		return 0;
	err = soon_start(fd, map);
	if (err)
		__atomic_store_n(&stats_file.due, false, __ATOMIC_RELEASE);
	return err;
}

void stats_close(void)
{
	pthread_mutex_lock(&stats_file.lock);
	stats_file.closed = true;
	pthread_mutex_unlock(&stats_file.lock);
}
