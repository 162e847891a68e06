// SPDX-License-Identifier: GPL-2.0
/*
 * What the exerciser does to files as a whole: size, holes, names, caches.
 */
#include <linux/falloc.h>

#include "exercise.h"

#define BLOCK	(256 * KiB)

static enum ex_outcome do_truncate(struct ex_worker *w, struct ex_op *op)
{
	int fd = ex_any_fd(w, op), ret;
	char name[32], path[PATH_MAX + 32];

	if (ex_random(&op->random, 2)) {
		ret = ftruncate(fd, op->pos);
	} else {
		ex_name(op->file, name, sizeof(name));
		snprintf(path, sizeof(path), "%s/%s", w->ex->fs.dir, name);
		ret = truncate(path, op->pos);
	}
	op->record->result = ret;
	if (ret)
		return ex_wrong(w, op, "truncate");
	ex_model_resize(op->file, op->pos);
	return ex_size(w, op, op->file, fd);
}

static enum ex_outcome do_open_truncate(struct ex_worker *w, struct ex_op *op)
{
	char name[32];
	int fd;

	ex_name(op->file, name, sizeof(name));
	fd = openat(w->ex->fs.dirfd, name, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return ex_wrong(w, op, "open");
	close(fd);
	ex_model_resize(op->file, 0);
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

/* Allocate, so that the file may get larger. */
static enum ex_outcome do_allocate(struct ex_worker *w, struct ex_op *op)
{
	int mode = op->alone && ex_random(&op->random, 2) ?
		   0 : FALLOC_FL_KEEP_SIZE;
	off_t end = op->pos + op->len;

	op->record->result = fallocate(ex_any_fd(w, op), mode, op->pos,
				       op->len);
	if (op->record->result && errno == EOPNOTSUPP && !w->ex->same)
		return EX_RIGHT;
	if (op->record->result)
		return ex_wrong(w, op, "fallocate mode %d", mode);
	if (!mode && end > op->file->size)
		ex_model_resize(op->file, end);
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

/* What FALLOC_FL_ZERO_RANGE does, for file systems that lack it */
static int zeros_by_hand(struct ex_op *op, int fd, int mode)
{
	off_t end = op->pos + op->len;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, op->pos,
		      op->len))
		return -1;
	if (mode & FALLOC_FL_KEEP_SIZE || end <= op->file->size)
		return 0;
	return ftruncate(fd, end);
}

/* Make zeros, inside of the file or across its end. */
static enum ex_outcome zeros(struct ex_worker *w, struct ex_op *op, int mode)
{
	off_t end = op->pos + op->len;
	int fd = ex_any_fd(w, op);

	op->record->result = fallocate(fd, mode, op->pos, op->len);
	if (op->record->result && errno == EOPNOTSUPP) {
		if (!w->ex->same)
			return EX_RIGHT;
		op->record->result = zeros_by_hand(op, fd, mode);
	}
	if (op->record->result)
		return ex_wrong(w, op, "fallocate mode %d", mode);
	ex_model_zero(op->file, op->pos, op->len);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > op->file->size)
		ex_model_resize(op->file, end);
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

static enum ex_outcome do_punch(struct ex_worker *w, struct ex_op *op)
{
	return zeros(w, op, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static enum ex_outcome do_zero_range(struct ex_worker *w, struct ex_op *op)
{
	int mode = FALLOC_FL_ZERO_RANGE;

	if (!op->alone || ex_random(&op->random, 2))
		mode |= FALLOC_FL_KEEP_SIZE;
	return zeros(w, op, mode);
}

/* FUSE cannot: it must say so, and change nothing. */
static enum ex_outcome do_shift(struct ex_worker *w, struct ex_op *op)
{
	int mode = ex_random(&op->random, 2) ? FALLOC_FL_COLLAPSE_RANGE :
					       FALLOC_FL_INSERT_RANGE;

	if (!w->ex->fs.tag)
		return EX_SKIPPED;
	op->record->result = fallocate(ex_any_fd(w, op), mode,
				       op->pos / PAGE * PAGE, PAGE);
	if (!op->record->result || errno != EOPNOTSUPP)
		return ex_wrong(w, op, "fallocate mode %d", mode);
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

static enum ex_outcome do_sync(struct ex_worker *w, struct ex_op *op)
{
	int fd = ex_any_fd(w, op);

	op->record->result = ex_random(&op->random, 2) ? fsync(fd) :
							 fdatasync(fd);
	return op->record->result ? ex_wrong(w, op, "sync") : EX_RIGHT;
}

static enum ex_outcome do_stat(struct ex_worker *w, struct ex_op *op)
{
	char name[32];
	struct stat st;

	ex_name(op->file, name, sizeof(name));
	if (fstatat(w->ex->fs.dirfd, name, &st, 0))
		return ex_wrong(w, op, "fstatat");
	if (st.st_size != op->file->size)
		return ex_wrong(w, op, "fstatat says %#lx bytes",
				(unsigned long)st.st_size);
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

static bool all_zero(const struct ex_file *file, off_t from, off_t to)
{
	for (; from < to; from++)
		if (file->data[from])
			return false;
	return true;
}

/* What is said to be a hole must be zeros; not all zeros are a hole. */
static enum ex_outcome do_seek(struct ex_worker *w, struct ex_op *op)
{
	int fd = ex_fd(w, op->file);
	off_t data, hole, size = op->file->size;

	data = lseek(fd, op->pos, SEEK_DATA);
	op->record->result = data;
	if (data < 0 && errno != ENXIO)
		return ex_wrong(w, op, "SEEK_DATA");
	if (data >= 0 && (data < op->pos || data >= size))
		return ex_wrong(w, op, "data at %#lx", (unsigned long)data);
	if (!all_zero(op->file, op->pos, data < 0 ? size : data))
		return ex_wrong(w, op, "no zeros before %#lx",
				(unsigned long)data);
	hole = lseek(fd, op->pos, SEEK_HOLE);
	if (op->pos >= size) {
		if (hole != -1 || errno != ENXIO)
			return ex_wrong(w, op, "a hole behind the end");
		return EX_RIGHT;
	}
	if (hole < op->pos || hole > size)
		return ex_wrong(w, op, "hole at %#lx", (unsigned long)hole);
	return EX_RIGHT;
}

/* Names */

static enum ex_outcome do_reopen(struct ex_worker *w, struct ex_op *op)
{
	ex_close(w, op->file);
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

static enum ex_outcome do_rename(struct ex_worker *w, struct ex_op *op)
{
	char from[32], to[32];
	int dir = w->ex->fs.dirfd;

	ex_name(op->file, from, sizeof(from));
	op->file->name++;
	ex_name(op->file, to, sizeof(to));
	op->record->result = renameat(dir, from, dir, to);
	if (op->record->result)
		return ex_wrong(w, op, "rename");
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

/* The new file either takes the name over, or comes after an unlink. */
static int new_inode(struct ex_worker *w, struct ex_op *op, const char *name)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
	int dir = w->ex->fs.dirfd;
	char temp[48];
	int fd;

	if (ex_random(&op->random, 2)) {
		if (unlinkat(dir, name, 0))
			return -1;
		return openat(dir, name, flags, 0600);
	}
	snprintf(temp, sizeof(temp), "%s.new", name);
	fd = openat(dir, temp, flags, 0600);
	if (fd >= 0 && renameat(dir, temp, dir, name)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The old inode stays what it is for who has it open. */
static enum ex_outcome do_replace(struct ex_worker *w, struct ex_op *op)
{
	char *map = ex_map(w, op->file);
	enum ex_outcome outcome;
	char name[32];
	ssize_t n;
	int fd;

	op->len = ex_model_readable(op->file, op->pos, op->len);
	ex_name(op->file, name, sizeof(name));
	fd = new_inode(w, op, name);
	op->record->result = fd;
	if (fd < 0 || !map)
		return ex_wrong(w, op, "new file");
	close(fd);
	if (ex_copy(op->buf, map + op->pos, op->len))
		return ex_wrong(w, op, "SIGBUS for the old file");
	outcome = ex_bytes(w, op, op->file, op->pos, op->buf, op->len);
	if (outcome != EX_RIGHT)
		return outcome;
	n = pread(ex_fd(w, op->file), op->buf, op->len, op->pos);
	if (n != (ssize_t)op->len)
		return ex_wrong(w, op, "pread of the old file: %zd", n);
	outcome = ex_bytes(w, op, op->file, op->pos, op->buf, op->len);
	ex_model_resize(op->file, 0);
	op->file->inode++;
	return outcome;
}

/* Caches of the whole system: also what others use. */
static enum ex_outcome do_drop_caches(struct ex_worker *w, struct ex_op *op)
{
	char what = '1' + ex_random(&op->random, 3);
	ssize_t n;
	int fd;

	if (!w->ex->fs.tag)
		return EX_SKIPPED;
	if (ex_random(&op->random, 2))
		ex_close(w, op->file);
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return EX_SKIPPED;
	n = write(fd, &what, 1);
	close(fd);
	return n == 1 ? EX_RIGHT : ex_wrong(w, op, "drop_caches");
}

/* All of a file. */
static enum ex_outcome do_compare(struct ex_worker *w, struct ex_op *op)
{
	enum ex_outcome outcome = EX_RIGHT;
	int fd = ex_any_fd(w, op);
	ssize_t n;

	for (op->pos = 0; op->pos < op->file->size && outcome == EX_RIGHT;
	     op->pos += op->len) {
		op->len = ex_model_readable(op->file, op->pos, BLOCK);
		n = pread(fd, op->buf, op->len, op->pos);
		if (n != (ssize_t)op->len)
			return ex_wrong(w, op, "pread: %zd", n);
		outcome = ex_bytes(w, op, op->file, op->pos, op->buf, n);
	}
	return outcome;
}

const struct ex_kind ex_file_kinds[] = {
	{ "truncate", 10, 0, do_truncate },
	{ "open truncating", 1, 0, do_open_truncate },
	{ "fallocate", 5, EX_STRIPES, do_allocate },
	{ "punch hole", 8, EX_STRIPES, do_punch },
	{ "zero range", 5, EX_STRIPES, do_zero_range },
	{ "collapse or insert", 1, 0, do_shift },
	{ "sync", 2, EX_STRIPES, do_sync },
	{ "stat", 10, EX_STRIPES, do_stat },
	{ "seek", 2, 0, do_seek },
	{ "reopen", 6, EX_STRIPES, do_reopen },
	{ "rename", 2, 0, do_rename },
	{ "replace", 2, 0, do_replace },
	{ "drop caches", 1, EX_STRIPES, do_drop_caches },
	{ "compare", 1, 0, do_compare },
	{ }
};
