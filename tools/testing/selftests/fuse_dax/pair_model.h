/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a small tree must be after operations that two machines draw alike, see
 * pair_model_test.c.
 *
 * Calls go one way: pair_model_test.c -> pair_model_look.c -> pair_model.c ->
 * pair_model_op.c.
 */
#ifndef PAIR_MODEL_H
#define PAIR_MODEL_H

#include <time.h>

#include "exercise.h"

/* So few names that most are used again and again */
#define PM_NAMES	6
#define PM_NODES	(PM_NAMES * (PM_NAMES + 1) + 4)
/* More than what is cached as a whole; less would never be in the window. */
#define PM_MAX_SIZE	(192 * KiB)
#define PM_XATTR	"user.model"
/* Longest path below the root of the tree, or target of a link */
#define PM_PATH		32
/* Of an operation: two parents, and what two names lead to, before and after */
#define PM_TOUCHED	6

enum pm_type { PM_FILE, PM_DIR, PM_LINK };

/**
 * struct pm_node - a file, a directory or a symbolic link
 * @type: which of these
 * @nlink: names; 0: there is no such node, but its last operation may show it
 * @mode: permissions
 * @size: of a file
 * @data: of a file; zeros behind @size
 * @number: of a link: what it leads to, which is never there
 * @value: of the extended attribute; 0: there is none
 * @holes: there may be some, which the server fills, with new times, before the file
 *	is mapped for writing
 * @mtime: as whoever changed it last found it
 * @ctime: likewise
 * @names: of a directory
 */
struct pm_node {
	enum pm_type type;
	unsigned int nlink;
	mode_t mode;
	off_t size;
	char *data;
	unsigned long number;
	unsigned long value;
	bool holes;
	struct timespec mtime;
	struct timespec ctime;
	struct pm_node *names[PM_NAMES];
};

/* Directories are in the root only. The first node is the root. */
struct pm_tree {
	struct pm_node nodes[PM_NODES];
	bool xattrs;
};

/* A name in the root (@dir is -1), or in what has that name there */
struct pm_place {
	int dir;
	int name;
};

/**
 * struct pm_op - an operation
 * @number: of it; what it writes is a pattern of that seed
 * @kind: what is done
 * @a: to what
 * @b: and to what else, if its kind is PM_PAIR
 * @pos: where in a file
 * @len: bytes, or the size to cut to
 * @mode: permissions
 * @error: that it must have
 * @touched: whose times may be new
 * @nr_touched: how many these are
 */
struct pm_op {
	unsigned long number;
	const struct pm_kind *kind;
	struct pm_place a;
	struct pm_place b;
	off_t pos;
	size_t len;
	mode_t mode;
	int error;
	struct pm_node *touched[PM_TOUCHED];
	unsigned int nr_touched;
};

/* Instead of an error */
#define PM_NEVER	1

/* What a kind of operations needs to have drawn */
enum {
	PM_INSIDE	= 1 << 0,	/* bytes that a file has */
	PM_BEHIND	= 1 << 1,	/* some that it has not */
	PM_XATTRS	= 1 << 2,	/* extended attributes */
	PM_PAIR		= 1 << 3,	/* a second name */
};

/**
 * struct pm_kind - a kind of operations
 * @name: for what is said
 * @weight: how often, relative to the others
 * @flags: what it needs
 * @expect: its error, 0 or a negative errno; PM_NEVER if it is not to be tried
 * @apply: does it to the tree
 * @run: does it to the share, after @apply, below @dirfd, which @fd is of the file
 *	if it is not negative; the error
 */
struct pm_kind {
	const char *name;
	unsigned int weight;
	unsigned int flags;
	int (*expect)(struct pm_tree *tree, const struct pm_op *op);
	void (*apply)(struct pm_tree *tree, const struct pm_op *op);
	int (*run)(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		   int fd);
};

extern const struct pm_kind pm_kinds[];

/**
 * struct pm_words - in a page of the window that both sides store to
 * @done: the last operation that was done
 * @times: mtime and ctime of what that touched
 * @looked: the last operation after which each side has looked
 * @end: side 0 does no more
 * @failed: a side cannot go on
 * @gone: a side needs the directory no longer
 */
struct pm_words {
	unsigned long done;
	struct timespec times[PM_TOUCHED][2];
	unsigned long looked[2];
	unsigned long end;
	unsigned long failed;
	unsigned long gone[2];
};

/* A file that is kept open; @fd is -1 if it is not. */
struct pm_hold {
	int fd;
	bool writable;
	char *map;
};

/**
 * struct pm_side - one machine of the two
 * @share: the directory that both have: the file for words, and the tree
 * @dirfd: of the tree
 * @tree: what that must be
 * @op: the operation
 * @words: what is said
 * @words_fd: where
 * @holds: by node
 * @random: for what each side does as it likes
 * @seed: of what both do alike
 * @number: 0 or 1
 * @looks: answers that were compared
 * @stale: how many were wrong
 * @late: private mappings that were
 */
struct pm_side {
	struct dax_fs share;
	int dirfd;
	struct pm_tree tree;
	struct pm_op op;
	struct pm_words *words;
	int words_fd;
	struct pm_hold holds[PM_NODES];
	struct ex_random random;
	unsigned long seed;
	unsigned int number;
	unsigned long looks;
	unsigned long stale;
	unsigned long late;
};

/* pair_model.c */
int pm_tree_init(struct pm_tree *tree);
int pm_parent_error(const struct pm_tree *tree, struct pm_place place);
struct pm_node *pm_parent(struct pm_tree *tree, struct pm_place place);
struct pm_node *pm_at(struct pm_tree *tree, struct pm_place place);
void pm_put(struct pm_tree *tree, struct pm_place place, struct pm_node *node);
struct pm_node *pm_new(struct pm_tree *tree, enum pm_type type);
bool pm_is_empty(const struct pm_node *dir);
void pm_path_of(struct pm_place place, char *path);
bool pm_find(struct pm_tree *tree, const struct pm_node *node, char *path);
void pm_target(const struct pm_node *link, char *path);
void pm_draw(struct pm_tree *tree, struct pm_op *op, uint64_t seed,
	     unsigned long number);
void pm_apply(struct pm_tree *tree, struct pm_op *op);
struct pm_place pm_draw_place(struct ex_random *r);

/* pair_model_look.c */
__printf(3, 4)
void pm_wrong(struct pm_side *s, const char *path, const char *format, ...);
struct pm_hold *pm_hold(struct pm_side *s, const struct pm_node *node);
void pm_hold_drop(struct pm_hold *hold);
void pm_look(struct pm_side *s, bool own);

#endif /* PAIR_MODEL_H */
