// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the demonstration needs in the guest and busybox does not have.
 *
 *	poke FILE OFFSET	store a byte through a shared mapping, without
 *				msync, and keep the mapping until FILE.seen
 *	make DIR FILES SIZE	write the files of a mix
 *	mix DIR FILES SIZE THREADS SECONDS
 *				read, write, load and store at random; every
 *				block read must hold what was last put there
 *	check DIR FILES SIZE	all blocks are whole
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096UL
#define WORDS (BLOCK / sizeof(uint64_t))
#define MAX_FILES 64

/* One block of one file: what it must hold, and who may look. */
struct block {
	pthread_mutex_t lock;
	uint64_t generation;
};

static struct mix {
	int files;
	unsigned long blocks;		/* in each file */
	int fd[MAX_FILES];
	uint64_t *map[MAX_FILES];	/* the whole file, all the time */
	struct block *block[MAX_FILES];
	time_t end;
	atomic_ulong operations;
} mix;

/* Where a block's words come from; word 0 is the generation itself. */
static uint64_t pattern(int file, unsigned long n, uint64_t gen, unsigned int word)
{
	uint64_t x = gen * 0x9e3779b97f4a7c15 + n * 0xbf58476d1ce4e5b9 + file;

	return word ? (x ^ (x >> 29)) * (2 * word + 1) : gen;
}

static void fill(uint64_t *to, int file, unsigned long n, uint64_t gen)
{
	for (unsigned int i = 0; i < WORDS; i++)
		to[i] = pattern(file, n, gen, i);
}

static void verify(const uint64_t *from, int file, unsigned long n, uint64_t gen,
		   const char *how)
{
	for (unsigned int i = 0; i < WORDS; i++)
		if (from[i] != pattern(file, n, gen, i))
			errx(1, "%s: file %d block %lu word %u: %llx, not %llx (generation %llu)",
			     how, file, n, i, (unsigned long long)from[i],
			     (unsigned long long)pattern(file, n, gen, i),
			     (unsigned long long)gen);
}

static void pread_block(int file, unsigned long n, uint64_t *buf)
{
	if (pread(mix.fd[file], buf, BLOCK, n * BLOCK) != BLOCK)
		err(1, "read of file %d block %lu", file, n);
}

static void pwrite_block(int file, unsigned long n, const uint64_t *buf)
{
	if (pwrite(mix.fd[file], buf, BLOCK, n * BLOCK) != BLOCK)
		err(1, "write of file %d block %lu", file, n);
}

/* A mapping of its own for one operation, as short-lived programs do. */
static void map_once(int file, unsigned long n, uint64_t gen)
{
	uint64_t *p = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, mix.fd[file], n * BLOCK);

	if (p == MAP_FAILED)
		err(1, "mmap of file %d block %lu", file, n);
	verify(p, file, n, gen, "short mapping");
	munmap(p, BLOCK);
}

static void operate(int file, unsigned long n, unsigned int choice)
{
	struct block *b = &mix.block[file][n];
	uint64_t *map = mix.map[file] + n * WORDS;
	uint64_t buf[WORDS];

	pthread_mutex_lock(&b->lock);
	switch (choice % 5) {
	case 0:
		pread_block(file, n, buf);
		verify(buf, file, n, b->generation, "read");
		break;
	case 1:
		fill(buf, file, n, ++b->generation);
		pwrite_block(file, n, buf);
		break;
	case 2:
		verify(map, file, n, b->generation, "mapping");
		break;
	case 3:
		fill(map, file, n, ++b->generation);
		break;
	case 4:
		map_once(file, n, b->generation);
		break;
	}
	pthread_mutex_unlock(&b->lock);
	atomic_fetch_add(&mix.operations, 1);
}

static void *worker(void *arg)
{
	unsigned int seed = (uintptr_t)arg;

	while (time(NULL) < mix.end) {
		unsigned int r = rand_r(&seed);

		operate(r % mix.files, rand_r(&seed) % mix.blocks, r / mix.files);
	}
	return NULL;
}

static void open_mix(const char *dir, int files, unsigned long size, int flags)
{
	char path[4096];

	if (files < 1 || files > MAX_FILES || size < BLOCK)
		errx(2, "1 to %d files of at least %lu bytes", MAX_FILES, BLOCK);
	mix.files = files;
	mix.blocks = size / BLOCK;
	for (int i = 0; i < files; i++) {
		snprintf(path, sizeof(path), "%s/mix%d", dir, i);
		mix.fd[i] = open(path, flags, 0644);
		if (mix.fd[i] < 0)
			err(1, "%s", path);
	}
}

static void make_files(void)
{
	uint64_t buf[WORDS];

	for (int i = 0; i < mix.files; i++)
		for (unsigned long n = 0; n < mix.blocks; n++) {
			fill(buf, i, n, 1);
			pwrite_block(i, n, buf);
		}
}

static void check_files(int known)
{
	uint64_t buf[WORDS];

	for (int i = 0; i < mix.files; i++)
		for (unsigned long n = 0; n < mix.blocks; n++) {
			pread_block(i, n, buf);
			verify(buf, i, n, known ? mix.block[i][n].generation : buf[0],
			       "at the end");
		}
}

static void prepare_blocks(int file)
{
	mix.block[file] = calloc(mix.blocks, sizeof(struct block));
	mix.map[file] = mmap(NULL, mix.blocks * BLOCK, PROT_READ | PROT_WRITE,
			     MAP_SHARED, mix.fd[file], 0);
	if (!mix.block[file] || mix.map[file] == MAP_FAILED)
		err(1, "file %d", file);
	for (unsigned long n = 0; n < mix.blocks; n++) {
		pthread_mutex_init(&mix.block[file][n].lock, NULL);
		mix.block[file][n].generation = 1;
	}
}

static void run_mix(int threads, int seconds)
{
	pthread_t *thread = calloc(threads, sizeof(*thread));

	if (!thread)
		err(1, "calloc");
	for (int i = 0; i < mix.files; i++)
		prepare_blocks(i);
	mix.end = time(NULL) + seconds;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)(i + 1)))
			errx(1, "pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	free(thread);
	check_files(1);
	printf("%lu operations\n", atomic_load(&mix.operations));
}

static void poke(const char *path, unsigned long offset)
{
	char seen[4096];
	int fd = open(path, O_RDWR);
	char *p = mmap(NULL, offset + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd < 0 || p == MAP_FAILED)
		err(1, "%s", path);
	p[offset] = 'P';
	snprintf(seen, sizeof(seen), "%s.seen", path);
	for (int i = 0; i < 300 && access(seen, F_OK); i++)
		usleep(100000);
	if (access(seen, F_OK))
		errx(1, "the host did not see the store");
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (argc == 4 && !strcmp(what, "poke")) {
		poke(argv[2], strtoul(argv[3], NULL, 0));
		return 0;
	}
	if (argc < 5)
		errx(2, "poke, make, mix or check: see the source");
	open_mix(argv[2], atoi(argv[3]), strtoul(argv[4], NULL, 0),
		 O_RDWR | (strcmp(what, "make") ? 0 : O_CREAT));
	if (!strcmp(what, "make"))
		make_files();
	else if (!strcmp(what, "check"))
		check_files(0);
	else if (argc == 7 && !strcmp(what, "mix"))
		run_mix(atoi(argv[5]), atoi(argv[6]));
	else
		errx(2, "unknown: %s", what);
	return 0;
}
