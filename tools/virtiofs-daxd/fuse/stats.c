// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/stats.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"

/* In the order of opcodes; what has no name is counted as "other". */
static const char *const stats_names[] = {
	[0] = "other",
	[FUSE_LOOKUP] = "lookup",
	[FUSE_FORGET] = "forget",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_LINK] = "link",
	[FUSE_OPEN] = "open",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_STATFS] = "statfs",
	[FUSE_RELEASE] = "release",
	[FUSE_FSYNC] = "fsync",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_FLUSH] = "flush",
	[FUSE_INIT] = "init",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_RELEASEDIR] = "releasedir",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_GETLK] = "getlk",
	[FUSE_SETLK] = "setlk",
	[FUSE_SETLKW] = "setlkw",
	[FUSE_ACCESS] = "access",
	[FUSE_CREATE] = "create",
	[FUSE_INTERRUPT] = "interrupt",
	[FUSE_IOCTL] = "ioctl",
	[FUSE_DESTROY] = "destroy",
	[FUSE_BATCH_FORGET] = "batch_forget",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_READDIRPLUS] = "readdirplus",
	[FUSE_RENAME2] = "rename2",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
	[FUSE_SETUPMAPPING] = "setupmapping",
	[FUSE_REMOVEMAPPING] = "removemapping",
	[FUSE_SYNCFS] = "syncfs",
	[FUSE_TMPFILE] = "tmpfile",
	[FUSE_STATX] = "statx",
};

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

static uint64_t stats_counts[ARRAY_SIZE(stats_names)];

uint32_t stats_opcode(const char *name)
{
	for (uint32_t i = 1; i < ARRAY_SIZE(stats_names); i++)
		if (stats_names[i] && !strcasecmp(stats_names[i], name))
			return i;
	return 0;
}

/* What has no name is 0, "other". */
static uint32_t known(uint32_t opcode)
{
	return opcode < ARRAY_SIZE(stats_names) && stats_names[opcode] ?
	       opcode : 0;
}

const char *stats_name(uint32_t opcode)
{
	return stats_names[known(opcode)];
}

void stats_count(uint32_t opcode)
{
	__atomic_add_fetch(&stats_counts[known(opcode)], 1, __ATOMIC_RELAXED);
}

void stats_print_requests(FILE *out)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(stats_names); i++)
		if (stats_names[i])
			fprintf(out, "req_%s %lu\n", stats_names[i],
				__atomic_load_n(&stats_counts[i],
						__ATOMIC_RELAXED));
}

static void print_dax(FILE *out, struct dax_map *map)
{
	struct dax_map_stats stats;

	dax_map_get_stats(map, &stats);
	fprintf(out, "dax_live %lu\n", stats.live);
	fprintf(out, "dax_peak %lu\n", stats.peak);
	fprintf(out, "dax_setups %lu\n", stats.setups);
	fprintf(out, "dax_errors %lu\n", stats.errors);
	fprintf(out, "dax_kept %lu\n", stats.kept);
	fprintf(out, "dax_splits %lu\n", stats.splits);
	fprintf(out, "dax_removes %lu\n", stats.removes);
	fprintf(out, "dax_over_budget %lu\n", stats.over_budget);
	fprintf(out, "dax_upgrades %lu\n", stats.upgrades);
	fprintf(out, "dax_lost %lu\n", stats.lost);
	fprintf(out, "regions_made %lu\n", stats.regions_made);
	fprintf(out, "regions_removed %lu\n", stats.regions_removed);
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
	stats_print_requests(out);
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
