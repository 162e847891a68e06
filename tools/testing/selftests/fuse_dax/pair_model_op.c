// SPDX-License-Identifier: GPL-2.0
/*
 * What pair_model_test.c does to its tree: each kind of operations with the error
 * that it must have, what becomes of the tree, and the system calls.
 */
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "pair_model.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE	(1 << 1)
#endif

static bool is_dir(const struct pm_node *node)
{
	return node && node->type == PM_DIR;
}

static int error_of(int ret)
{
	return ret < 0 ? -errno : 0;
}

/* ---- a name that is not there yet ---- */

static int expect_new(struct pm_tree *tree, const struct pm_op *op)
{
	return pm_parent_error(tree, op->a) ?:
	       pm_at(tree, op->a) ? -EEXIST : 0;
}

/* No directories in directories */
static int expect_mkdir(struct pm_tree *tree, const struct pm_op *op)
{
	return op->a.dir < 0 ? expect_new(tree, op) : PM_NEVER;
}

static void write_data(struct pm_node *file, const struct pm_op *op)
{
	pattern_fill(file->data + op->pos, op->pos, op->len, op->number);
	file->holes |= op->pos > file->size;
	if (op->pos + (off_t)op->len > file->size)
		file->size = op->pos + op->len;
}

static void apply_create(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *file = pm_new(tree, PM_FILE);

	file->mode = op->mode;
	write_data(file, op);
	pm_put(tree, op->a, file);
}

static void apply_mkdir(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *dir = pm_new(tree, PM_DIR);

	dir->mode = op->mode;
	pm_put(tree, op->a, dir);
}

static void apply_symlink(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *link = pm_new(tree, PM_LINK);

	link->mode = 0777;
	link->number = op->number;
	pm_put(tree, op->a, link);
}

/* All of what an operation writes; the descriptor is closed, but for @fd. */
static int write_all(struct pm_tree *tree, const struct pm_op *op, int new,
		     int fd)
{
	struct pm_node *file = pm_at(tree, op->a);
	int out = fd < 0 ? new : fd, error = 0;
	ssize_t n = 0;

	if (out < 0)
		return -errno;
	/* What cannot be there is, for somebody who knows it no better. */
	if (op->len && file)
		n = pwrite(out, file->data + op->pos, op->len, op->pos);
	if (file && n != (ssize_t)op->len)
		error = n < 0 ? -errno : -EIO;
	if (fd < 0)
		error = error_of(close(new)) ?: error;
	return error;
}

static int run_create(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		      int fd)
{
	char path[PM_PATH];

	pm_path_of(op->a, path);
	fd = openat(dirfd, path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
		    op->mode);
	/* A new file is none that is held open already. */
	return write_all(tree, op, fd, -1);
}

static int run_mkdir(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		     int fd)
{
	char path[PM_PATH];

	pm_path_of(op->a, path);
	return error_of(mkdirat(dirfd, path, op->mode));
}

static int run_symlink(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		       int fd)
{
	struct pm_node new = { .number = op->number };
	char path[PM_PATH], target[PM_PATH];

	pm_path_of(op->a, path);
	pm_target(&new, target);
	return error_of(symlinkat(target, dirfd, path));
}

/* ---- a file that is there ---- */

static int expect_file(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a);

	if (!node)
		return pm_parent_error(tree, op->a) ?: -ENOENT;
	return node->type == PM_FILE ? 0 : PM_NEVER;
}

/* A file of which there is something */
static int expect_data(struct pm_tree *tree, const struct pm_op *op)
{
	int error = expect_file(tree, op);

	return error || pm_at(tree, op->a)->size ? error : PM_NEVER;
}

static int expect_no_link(struct pm_tree *tree, const struct pm_op *op)
{
	return is_dir(pm_at(tree, op->a)) ? 0 : expect_file(tree, op);
}

static void apply_write(struct pm_tree *tree, const struct pm_op *op)
{
	write_data(pm_at(tree, op->a), op);
}

static void resize(struct pm_node *file, off_t size)
{
	if (size < file->size)
		memset(file->data + size, 0, file->size - size);
	file->holes = size && (file->holes || size > file->size);
	file->size = size;
}

static void apply_truncate(struct pm_tree *tree, const struct pm_op *op)
{
	resize(pm_at(tree, op->a), op->len);
}

static void apply_rewrite(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *file = pm_at(tree, op->a);

	resize(file, 0);
	write_data(file, op);
}

static void apply_chmod(struct pm_tree *tree, const struct pm_op *op)
{
	pm_at(tree, op->a)->mode = op->mode;
}

static void apply_utimes(struct pm_tree *tree, const struct pm_op *op)
{
}

static void apply_setxattr(struct pm_tree *tree, const struct pm_op *op)
{
	pm_at(tree, op->a)->value = op->number;
}

static int open_file(const struct pm_op *op, int dirfd, int flags)
{
	char path[PM_PATH];

	pm_path_of(op->a, path);
	return openat(dirfd, path, flags | O_NOFOLLOW | O_CLOEXEC);
}

static int run_write(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		     int fd)
{
	return write_all(tree, op,
			 fd < 0 ? open_file(op, dirfd, O_RDWR) : -1, fd);
}

static int run_rewrite(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		       int fd)
{
	return write_all(tree, op, open_file(op, dirfd, O_WRONLY | O_TRUNC),
			 -1);
}

static int run_truncate(struct pm_tree *tree, const struct pm_op *op, int dirfd,
			int fd)
{
	int new = fd < 0 ? open_file(op, dirfd, O_WRONLY) : fd;
	int error = error_of(new < 0 ? -1 : ftruncate(new, op->len));

	if (fd < 0 && new >= 0)
		close(new);
	return error;
}

static int run_chmod(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		     int fd)
{
	char path[PM_PATH];

	pm_path_of(op->a, path);
	return error_of(fchmodat(dirfd, path, op->mode, 0));
}

/* What is set is what is there. */
static int run_utimes(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		      int fd)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ 1000000 + op->number, op->number % 1000000000 },
	};
	struct stat st;
	char path[PM_PATH];

	pm_path_of(op->a, path);
	if (utimensat(dirfd, path, times, 0) || fstatat(dirfd, path, &st, 0))
		return -errno;
	return memcmp(&st.st_mtim, &times[1], sizeof(times[1])) ? -EIO : 0;
}

static int run_setxattr(struct pm_tree *tree, const struct pm_op *op, int dirfd,
			int fd)
{
	int file = open_file(op, dirfd, O_RDONLY);
	int error = error_of(file);

	if (error)
		return error;
	error = error_of(fsetxattr(file, PM_XATTR, &op->number,
				   sizeof(op->number), 0));
	close(file);
	return error;
}

/* ---- names ---- */

static int expect_unlink(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a);

	if (!node)
		return pm_parent_error(tree, op->a) ?: -ENOENT;
	return is_dir(node) ? -EISDIR : 0;
}

static int expect_rmdir(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a);

	if (!node)
		return pm_parent_error(tree, op->a) ?: -ENOENT;
	if (!is_dir(node))
		return -ENOTDIR;
	return pm_is_empty(node) ? 0 : -ENOTEMPTY;
}

static int expect_link(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a);

	if (!node)
		return pm_parent_error(tree, op->a) ?: -ENOENT;
	if (pm_parent_error(tree, op->b))
		return pm_parent_error(tree, op->b);
	if (pm_at(tree, op->b))
		return -EEXIST;
	return is_dir(node) ? -EPERM : 0;
}

/* Whether one is the directory of the other */
static bool nested(struct pm_place a, struct pm_place b)
{
	return (a.dir < 0 && b.dir == a.name) || (b.dir < 0 && a.dir == b.name);
}

/* What both kinds of rename() have in common; but for that there is a second */
static int expect_move(struct pm_tree *tree, const struct pm_op *op)
{
	int error = pm_parent_error(tree, op->a) ?:
		    pm_parent_error(tree, op->b);

	if (error)
		return error;
	if (!pm_at(tree, op->a))
		return -ENOENT;
	if (nested(op->a, op->b) ||
	    (is_dir(pm_at(tree, op->a)) && op->b.dir >= 0))
		return PM_NEVER;
	return 0;
}

static int expect_rename(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a), *over = pm_at(tree, op->b);
	int error = expect_move(tree, op);

	if (error || !over || over == node)
		return error;
	if (is_dir(node) != is_dir(over))
		return is_dir(over) ? -EISDIR : -ENOTDIR;
	return is_dir(over) && !pm_is_empty(over) ? -ENOTEMPTY : 0;
}

static int expect_exchange(struct pm_tree *tree, const struct pm_op *op)
{
	int error = expect_move(tree, op);

	if (error)
		return error;
	if (!pm_at(tree, op->b))
		return -ENOENT;
	return is_dir(pm_at(tree, op->b)) && op->a.dir >= 0 ? PM_NEVER : 0;
}

static void apply_remove(struct pm_tree *tree, const struct pm_op *op)
{
	pm_at(tree, op->a)->nlink--;
	pm_put(tree, op->a, NULL);
}

static void apply_link(struct pm_tree *tree, const struct pm_op *op)
{
	pm_at(tree, op->a)->nlink++;
	pm_put(tree, op->b, pm_at(tree, op->a));
}

/* Two names of one file both stay. */
static void apply_rename(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a), *over = pm_at(tree, op->b);

	if (node == over)
		return;
	if (over)
		over->nlink--;
	pm_put(tree, op->a, NULL);
	pm_put(tree, op->b, node);
}

static void apply_exchange(struct pm_tree *tree, const struct pm_op *op)
{
	struct pm_node *node = pm_at(tree, op->a), *other = pm_at(tree, op->b);

	pm_put(tree, op->a, other);
	pm_put(tree, op->b, node);
}

static int run_unlink(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		      int fd)
{
	char path[PM_PATH];

	pm_path_of(op->a, path);
	return error_of(unlinkat(dirfd, path, 0));
}

static int run_rmdir(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		     int fd)
{
	char path[PM_PATH];

	pm_path_of(op->a, path);
	return error_of(unlinkat(dirfd, path, AT_REMOVEDIR));
}

static int run_link(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		    int fd)
{
	char a[PM_PATH], b[PM_PATH];

	pm_path_of(op->a, a);
	pm_path_of(op->b, b);
	return error_of(linkat(dirfd, a, dirfd, b, 0));
}

static int rename_flags(const struct pm_op *op, int dirfd, unsigned int flags)
{
	char a[PM_PATH], b[PM_PATH];

	pm_path_of(op->a, a);
	pm_path_of(op->b, b);
	return error_of(syscall(SYS_renameat2, dirfd, a, dirfd, b, flags));
}

static int run_rename(struct pm_tree *tree, const struct pm_op *op, int dirfd,
		      int fd)
{
	return rename_flags(op, dirfd, 0);
}

static int run_exchange(struct pm_tree *tree, const struct pm_op *op, int dirfd,
			int fd)
{
	return rename_flags(op, dirfd, RENAME_EXCHANGE);
}

const struct pm_kind pm_kinds[] = {
	{ "create", 16, 0, expect_new, apply_create, run_create },
	{ "mkdir", 6, 0, expect_mkdir, apply_mkdir, run_mkdir },
	{ "symlink", 3, 0, expect_new, apply_symlink, run_symlink },
	{ "link", 4, PM_PAIR, expect_link, apply_link, run_link },
	{ "write inside", 16, PM_INSIDE, expect_data, apply_write, run_write },
	{ "write behind", 8, PM_BEHIND, expect_file, apply_write, run_write },
	{ "rewrite", 6, 0, expect_file, apply_rewrite, run_rewrite },
	{ "truncate", 6, 0, expect_file, apply_truncate, run_truncate },
	{ "chmod", 5, 0, expect_no_link, apply_chmod, run_chmod },
	{ "utimes", 5, 0, expect_no_link, apply_utimes, run_utimes },
	{ "setxattr", 4, PM_XATTRS, expect_file, apply_setxattr, run_setxattr },
	{ "unlink", 7, 0, expect_unlink, apply_remove, run_unlink },
	{ "rmdir", 2, 0, expect_rmdir, apply_remove, run_rmdir },
	{ "rename", 10, PM_PAIR, expect_rename, apply_rename, run_rename },
	{ "exchange", 2, PM_PAIR, expect_exchange, apply_exchange,
	  run_exchange },
	{ }
};
