// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Warm reads by pread() of 128 KiB:
 *
 *	threads THREADS TIME FILE [FILE]	each thread one file from start to
 *						end, again and again, all the same
 *						if there is but one
 *	many SLICE TIME FILE...		one thread, one block of each file
 *						after the other, within SLICE bytes
 *						which are elsewhere in each
 *
 * For TIME ms, after two passes that are not measured.
 */
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK		(128UL << 10)
#define MAX_THREADS	16
#define MAX_FILES	64

struct thread {
	pthread_t id;
	pthread_barrier_t *start;
	const char *path;
	double seconds;
	size_t bytes;
};

static void read_block(int fd, char *buf, size_t pos)
{
	if (pread(fd, buf, BLOCK, pos) != (ssize_t)BLOCK)
		err(1, "read");
}

static size_t pass(int fd, char *buf, size_t size)
{
	for (size_t pos = 0; pos + BLOCK <= size; pos += BLOCK)
		read_block(fd, buf, pos);
	return size;
}

/*
 * One block of each file after the other, until all slices are done, which are at
 * one of several @places in each.
 */
static size_t pass_many(const int *fd, size_t files, char *buf, size_t slice,
			size_t places)
{
	for (size_t pos = 0; pos + BLOCK <= slice; pos += BLOCK)
		for (size_t i = 0; i < files; i++)
			read_block(fd[i], buf, pos + i % places * slice);
	return files * slice;
}

static void *reader(void *data)
{
	struct thread *thread = data;
	int fd = open_file(thread->path, O_RDONLY);
	size_t size = file_size(fd);
	char *buf = allocate_buffer(BLOCK);
	double until;

	pass(fd, buf, size);
	pass(fd, buf, size);
	/* Once when all are ready, once to go */
	pthread_barrier_wait(thread->start);
	pthread_barrier_wait(thread->start);
	until = now() + thread->seconds;
	while (now() < until)
		thread->bytes += pass(fd, buf, size);
	return NULL;
}

void work_threads(char **arg)
{
	struct thread threads[MAX_THREADS] = {};
	pthread_barrier_t start;
	size_t nr = number(arg[0]), bytes = 0;

	if (!nr || nr > MAX_THREADS)
		errx(2, "1 to %d threads", MAX_THREADS);
	pthread_barrier_init(&start, NULL, nr + 1);
	for (size_t i = 0; i < nr; i++) {
		threads[i].start = &start;
		threads[i].seconds = number(arg[1]) / 1e3;
		threads[i].path = arg[2 + (arg[3] ? i % 2 : 0)];
		if (pthread_create(&threads[i].id, NULL, reader, &threads[i]))
			errx(1, "no thread");
	}
	pthread_barrier_wait(&start);
	begin();
	pthread_barrier_wait(&start);
	for (size_t i = 0; i < nr; i++) {
		pthread_join(threads[i].id, NULL);
		bytes += threads[i].bytes;
	}
	report(bytes / 1e6 / end(), "MB/s");
}

void work_many(char **arg)
{
	size_t slice = number(arg[0]), files = 0, bytes = 0, places;
	double seconds = number(arg[1]) / 1e3, start;
	char *buf = allocate_buffer(BLOCK);
	int fd[MAX_FILES];

	for (arg += 2; *arg && files < MAX_FILES; arg++)
		fd[files++] = open_file(*arg, O_RDONLY);
	places = files ? file_size(fd[0]) / slice : 0;
	if (!places)
		errx(2, "a slice of %zu is too large", slice);
	pass_many(fd, files, buf, slice, places);
	pass_many(fd, files, buf, slice, places);
	begin();
	start = now();
	while (now() < start + seconds)
		bytes += pass_many(fd, files, buf, slice, places);
	report(bytes / 1e6 / end(), "MB/s");
}
