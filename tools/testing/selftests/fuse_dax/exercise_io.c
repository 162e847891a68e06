// SPDX-License-Identifier: GPL-2.0
/*
 * Reads and writes of the exerciser.
 */
#include <sys/uio.h>

#include "exercise.h"

/* What no read may touch, behind the buffer */
#define GUARD	0x5a
#define PIPE	(64 * KiB)

static void prepare(struct ex_op *op)
{
	op->buf[op->len] = GUARD;
}

/* A read must give what there is up to the end of the file. */
static enum ex_outcome check_read(struct ex_worker *w, struct ex_op *op,
				  ssize_t n)
{
	size_t want = ex_model_readable(op->file, op->pos, op->len);

	op->record->result = n;
	if (n != (ssize_t)want)
		return ex_wrong(w, op, "%zd instead of %zu", n, want);
	if (op->buf[op->len] != GUARD)
		return ex_wrong(w, op, "the byte behind the buffer changed");
	return ex_bytes(w, op, op->file, op->pos, op->buf, n);
}

static enum ex_outcome do_pread(struct ex_worker *w, struct ex_op *op)
{
	prepare(op);
	return check_read(w, op,
			  pread(ex_any_fd(w, op), op->buf, op->len, op->pos));
}

static enum ex_outcome do_read(struct ex_worker *w, struct ex_op *op)
{
	int fd = ex_any_fd(w, op);
	enum ex_outcome outcome;
	off_t now;

	prepare(op);
	if (lseek(fd, op->pos, SEEK_SET) != op->pos)
		return ex_wrong(w, op, "lseek");
	outcome = check_read(w, op, read(fd, op->buf, op->len));
	if (outcome != EX_RIGHT)
		return outcome;
	now = lseek(fd, 0, SEEK_CUR);
	if (now != op->pos + op->record->result)
		return ex_wrong(w, op, "the position is %#lx",
				(unsigned long)now);
	return EX_RIGHT;
}

/* The buffer in three parts, any of which may be empty. */
static void split(struct ex_op *op, struct iovec iov[3])
{
	size_t a = ex_random(&op->random, op->len + 1);
	size_t b = a + ex_random(&op->random, op->len - a + 1);

	iov[0] = (struct iovec){ op->buf, a };
	iov[1] = (struct iovec){ op->buf + a, b - a };
	iov[2] = (struct iovec){ op->buf + b, op->len - b };
}

static enum ex_outcome do_preadv(struct ex_worker *w, struct ex_op *op)
{
	struct iovec iov[3];

	prepare(op);
	split(op, iov);
	return check_read(w, op, preadv(ex_any_fd(w, op), iov, 3, op->pos));
}

/* What it gives must be right, but it may give nothing, or less. */
static enum ex_outcome do_read_nowait(struct ex_worker *w, struct ex_op *op)
{
	size_t want = ex_model_readable(op->file, op->pos, op->len);
	struct iovec iov = { op->buf, op->len };
	ssize_t n;

	n = preadv2(ex_any_fd(w, op), &iov, 1, op->pos, RWF_NOWAIT);
	op->record->result = n < 0 ? -errno : n;
	if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
		return EX_RIGHT;
	if (n < 0 || n > (ssize_t)want || (!n && want))
		return ex_wrong(w, op, "%zd of %zu", n, want);
	return ex_bytes(w, op, op->file, op->pos, op->buf, n);
}

/* Through a pipe, as much as it takes. */
static enum ex_outcome do_splice_read(struct ex_worker *w, struct ex_op *op)
{
	loff_t pos = op->pos;
	size_t want;
	ssize_t n;

	if (op->len > PIPE)
		op->len = PIPE;
	want = ex_model_readable(op->file, op->pos, op->len);
	n = splice(ex_any_fd(w, op), &pos, w->pipe[1], NULL, op->len, 0);
	op->record->result = n;
	if (n < 0 || n > (ssize_t)want || (!n && want))
		return ex_wrong(w, op, "%zd of %zu", n, want);
	if (n && read(w->pipe[0], op->buf, n) != n)
		return ex_wrong(w, op, "%zd bytes are not in the pipe", n);
	return ex_bytes(w, op, op->file, op->pos, op->buf, n);
}

/* A write must be done in full. */
static enum ex_outcome check_write(struct ex_worker *w, struct ex_op *op,
				   ssize_t n)
{
	off_t size = op->file->size;

	op->record->result = n;
	if (n != (ssize_t)op->len)
		return ex_wrong(w, op, "%zd instead of %zu", n, op->len);
	ex_model_write(op->file, op->pos, op->buf, n);
	if (op->file->size == size)
		return EX_RIGHT;
	return ex_size(w, op, op->file, ex_fd(w, op->file));
}

static enum ex_outcome do_pwrite(struct ex_worker *w, struct ex_op *op)
{
	pattern_fill(op->buf, op->pos, op->len, op->id);
	return check_write(w, op,
			   pwrite(ex_any_fd(w, op), op->buf, op->len, op->pos));
}

static enum ex_outcome do_write(struct ex_worker *w, struct ex_op *op)
{
	int fd = ex_any_fd(w, op);

	pattern_fill(op->buf, op->pos, op->len, op->id);
	if (lseek(fd, op->pos, SEEK_SET) != op->pos)
		return ex_wrong(w, op, "lseek");
	return check_write(w, op, write(fd, op->buf, op->len));
}

static enum ex_outcome do_pwritev(struct ex_worker *w, struct ex_op *op)
{
	struct iovec iov[3];

	pattern_fill(op->buf, op->pos, op->len, op->id);
	split(op, iov);
	return check_write(w, op, pwritev(ex_any_fd(w, op), iov, 3, op->pos));
}

static enum ex_outcome do_append(struct ex_worker *w, struct ex_op *op)
{
	struct iovec iov = { op->buf, op->len };
	ssize_t n;

	op->pos = op->file->size;
	if (op->len > EX_MAX_SIZE - op->pos)
		return EX_SKIPPED;
	pattern_fill(op->buf, op->pos, op->len, op->id);
	n = pwritev2(ex_any_fd(w, op), &iov, 1, 0, RWF_APPEND);
	return check_write(w, op, n);
}

/*
 * What it says that it wrote it must have written. The rest is written too, so
 * that the file is the same however much that was.
 */
static enum ex_outcome do_write_nowait(struct ex_worker *w, struct ex_op *op)
{
	struct iovec iov = { op->buf, op->len };
	int fd = ex_any_fd(w, op);
	ssize_t n, rest;

	pattern_fill(op->buf, op->pos, op->len, op->id);
	n = pwritev2(fd, &iov, 1, op->pos, RWF_NOWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
		n = 0;
	else if (n <= 0 || n > (ssize_t)op->len)
		return ex_wrong(w, op, "%zd of %zu", n, op->len);
	rest = pwrite(fd, op->buf + n, op->len - n, op->pos + n);
	return check_write(w, op, rest < 0 ? rest : n + rest);
}

static enum ex_outcome do_splice_write(struct ex_worker *w, struct ex_op *op)
{
	loff_t pos = op->pos;
	ssize_t n;

	if (op->len > PIPE)
		op->len = PIPE;
	pattern_fill(op->buf, op->pos, op->len, op->id);
	n = write(w->pipe[1], op->buf, op->len);
	if (n != (ssize_t)op->len)
		return ex_wrong(w, op, "%zd bytes into a pipe", n);
	n = splice(w->pipe[0], NULL, ex_any_fd(w, op), &pos, op->len, 0);
	return check_write(w, op, n);
}

const struct ex_kind ex_io_kinds[] = {
	{ "pread", 300, EX_STRIPES, do_pread },
	{ "read", 40, EX_STRIPES, do_read },
	{ "preadv", 40, EX_STRIPES, do_preadv },
	{ "preadv2 nowait", 50, EX_STRIPES, do_read_nowait },
	{ "splice from file", 10, EX_STRIPES, do_splice_read },
	{ "pwrite", 220, EX_STRIPES | EX_CHANGES, do_pwrite },
	{ "write", 30, EX_STRIPES | EX_CHANGES, do_write },
	{ "pwritev", 30, EX_STRIPES | EX_CHANGES, do_pwritev },
	{ "append", 10, 0, do_append },
	{ "pwritev2 nowait", 30, EX_STRIPES | EX_CHANGES, do_write_nowait },
	{ "splice to file", 8, EX_STRIPES | EX_CHANGES, do_splice_write },
	{ }
};
