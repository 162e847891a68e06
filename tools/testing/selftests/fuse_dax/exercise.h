/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the exerciser, see exercise.c.
 *
 * Calls go one way: exercise.c or pair_test.c -> exercise_worker.c ->
 * exercise_draw.c and exercise_{io,mmap,file,pair}.c -> exercise_op.c ->
 * exercise_model.c.
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <pthread.h>

#include "kselftest.h"
#include "fuse_dax_common.h"

/* A little more than six ranges, so that the last range is a short one. */
#define EX_RANGES	6
#define EX_MAX_SIZE	(EX_RANGES * RANGE + 16 * PAGE)
#define EX_MAX_LEN	(3 * MiB)
#define EX_MAX_PROCS	8
#define EX_SHARED	3
#define EX_OWN		3
#define EX_MAX_FILES	(EX_SHARED + EX_MAX_PROCS * EX_OWN)
#define EX_LOG		50
/* Begins and ends within pages, so that processes meet in a page */
#define EX_STRIPE	(88 * KiB + 1111)
/* Number of the process that makes the files: none of the workers */
#define EX_MAKER	15

/**
 * struct ex_file - a file and what it must hold
 * @lock: held shared by who uses bytes of his own stripes, exclusively by who
 *	does anything else; files of one process are not locked
 * @number: index in &exercise.files
 * @shared: whether all processes use it
 * @inode: counts the inodes that had the name: another one has to be opened
 * @name: counts renames
 * @size: what fstat() must say
 * @data: what the bytes must be; zeros behind @size
 */
struct ex_file {
	pthread_rwlock_t lock;
	unsigned int number;
	bool shared;
	unsigned int inode;
	unsigned int name;
	off_t size;
	char *data;
};

/**
 * struct ex_record - an operation as it is told about after a failure
 * @clock: order in which operations of all processes began
 * @number: of the operation in its process; 0: no record
 * @name: kind of operation
 * @file: file number
 * @other: number of the second file
 * @pos: position in @file
 * @other_pos: position in @other
 * @len: bytes
 * @size: of the file, before
 * @alone: whether no other process used the files meanwhile
 * @result: what the system call returned
 */
struct ex_record {
	unsigned long clock;
	unsigned long number;
	const char *name;
	unsigned int file;
	unsigned int other;
	off_t pos;
	off_t other_pos;
	size_t len;
	off_t size;
	bool alone;
	long result;
};

/**
 * struct ex_process - what others may know of a process
 * @begun: operations that it began
 * @done: operations that it did; the others had nothing to do
 * @log: the last ones
 */
struct ex_process {
	unsigned long begun;
	unsigned long done;
	struct ex_record log[EX_LOG];
};

/**
 * struct exercise - in memory that all processes share
 * @fs: mount and directory
 * @seed: as it was asked for
 * @draws: seed of all that is drawn: another one for each window
 * @ranges: of the window
 * @nr_procs: how many of @procs there are
 * @nr_files: how many of @files there are
 * @clock: operations begun by all
 * @failed: somebody has said what is wrong; all end
 * @same: what a file system cannot do is done by other means, so that the files
 *	are the same on any
 * @procs: the processes
 * @files: those of all processes, then those of each
 */
struct exercise {
	struct dax_fs fs;
	uint64_t seed;
	uint64_t draws;
	unsigned int ranges;
	unsigned int nr_procs;
	unsigned int nr_files;
	unsigned long clock;
	bool failed;
	bool same;
	struct ex_process procs[EX_MAX_PROCS];
	struct ex_file files[EX_MAX_FILES];
};

/**
 * struct ex_handle - a file as one process has it open
 * @fd: for reading and writing, or -1
 * @direct: the same with O_DIRECT, or -1
 * @map: shared mapping of EX_MAX_SIZE bytes, or NULL
 * @inode: &ex_file.inode when it was opened
 */
struct ex_handle {
	int fd;
	int direct;
	char *map;
	unsigned int inode;
};

/**
 * struct ex_worker - a process
 * @ex: what is shared
 * @me: what others know of this process
 * @number: index in &exercise.procs
 * @handles: the files it has open
 * @memory: buffer of an operation, EX_MAX_LEN and two pages
 * @pipe: for splice()
 */
struct ex_worker {
	struct exercise *ex;
	struct ex_process *me;
	unsigned int number;
	struct ex_handle handles[EX_MAX_FILES];
	char *memory;
	int pipe[2];
};

/* State of a splitmix64 generator */
struct ex_random {
	uint64_t state;
};

/**
 * struct ex_op - an operation
 * @kind: what to do
 * @random: for what else has to be chosen
 * @id: seed of the pattern that it writes: tells process and operation
 * @file: on which file
 * @other: second file, may be the same
 * @pos: position in @file
 * @other_pos: position in @other
 * @len: bytes; the operation makes it smaller as it needs
 * @alone: no other process uses the files meanwhile
 * @buf: buffer of @len bytes and one more, at any alignment
 * @record: of this operation
 */
struct ex_op {
	const struct ex_kind *kind;
	struct ex_random random;
	uint64_t id;
	struct ex_file *file;
	struct ex_file *other;
	off_t pos;
	off_t other_pos;
	size_t len;
	bool alone;
	char *buf;
	struct ex_record *record;
};

/* What became of an operation; EX_SKIPPED: there was nothing to do. */
enum ex_outcome { EX_RIGHT, EX_SKIPPED, EX_WRONG };

/* Properties of a kind of operations */
enum {
	/* may be done to stripes of a file while others use other stripes */
	EX_STRIPES	= 1 << 0,
	/* changes bytes from pos to pos + len */
	EX_CHANGES	= 1 << 1,
	/* has a second file */
	EX_PAIR		= 1 << 2,
};

/**
 * struct ex_kind - a kind of operations
 * @name: for the log
 * @weight: how often, relative to the others
 * @flags: properties
 * @run: does it
 */
struct ex_kind {
	const char *name;
	unsigned int weight;
	unsigned int flags;
	enum ex_outcome (*run)(struct ex_worker *w, struct ex_op *op);
};

/* exercise_model.c: what must be, and what to say if it is not */
struct exercise *ex_model_new(unsigned int procs);
void ex_model_free(struct exercise *ex);
void ex_model_write(struct ex_file *file, off_t pos, const char *from,
		    size_t len);
void ex_model_zero(struct ex_file *file, off_t pos, size_t len);
void ex_model_resize(struct ex_file *file, off_t size);
size_t ex_model_readable(const struct ex_file *file, off_t pos, size_t len);
bool ex_model_is(const struct ex_file *file, off_t pos, const char *got,
		 size_t len);
void ex_model_tell(const struct exercise *ex, const struct ex_file *file,
		   off_t pos, const char *got, size_t len, const char *how);
void ex_name(const struct ex_file *file, char *buf, size_t len);
bool ex_fail_first(struct exercise *ex);
void ex_show_log(const struct exercise *ex, unsigned int process);

void ex_random_seed(struct ex_random *r, uint64_t a, uint64_t b, uint64_t c);
uint64_t ex_random(struct ex_random *r, uint64_t below);

/* exercise_op.c: what operations have in common */
void ex_catch_sigbus(void);
int ex_fd(struct ex_worker *w, struct ex_file *file);
int ex_any_fd(struct ex_worker *w, struct ex_op *op);
char *ex_map(struct ex_worker *w, struct ex_file *file);
void ex_close(struct ex_worker *w, struct ex_file *file);
int ex_copy(void *to, const void *from, size_t len);
__printf(3, 4)
enum ex_outcome ex_wrong(struct ex_worker *w, struct ex_op *op,
			 const char *format, ...);
enum ex_outcome ex_bytes(struct ex_worker *w, struct ex_op *op,
			 const struct ex_file *file, off_t pos,
			 const char *got, size_t len);
enum ex_outcome ex_size(struct ex_worker *w, struct ex_op *op,
			const struct ex_file *file, int fd);

/* exercise_draw.c: what to do, and then, under the locks, where */
void ex_draw(struct ex_worker *w, struct ex_op *op, unsigned long number);
void ex_place(struct ex_worker *w, struct ex_op *op);

/* exercise_worker.c: a process */
int ex_worker_init(struct ex_worker *w, struct exercise *ex,
		   unsigned int number);
int ex_do(struct ex_worker *w, unsigned long ops);
int ex_work(struct exercise *ex, unsigned int number, unsigned long ops);

/* The kinds of operations, each table ends with an entry without a name */
extern const struct ex_kind ex_io_kinds[];	/* exercise_io.c */
extern const struct ex_kind ex_mmap_kinds[];	/* exercise_mmap.c */
extern const struct ex_kind ex_file_kinds[];	/* exercise_file.c */
extern const struct ex_kind ex_pair_kinds[];	/* exercise_pair.c */

#endif /* EXERCISE_H */
