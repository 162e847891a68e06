// SPDX-License-Identifier: GPL-2.0
/*
 * Operations of the exerciser between two files, or two places of one.
 */
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "exercise.h"

#define COPY_MAPS	24

/*
 * Keep to what the source, op->file, has, to the largest size of the target,
 * and apart in one file. False if nothing is left.
 */
static bool fit(struct ex_op *op)
{
	off_t apart;

	op->len = ex_model_readable(op->file, op->pos, op->len);
	if ((off_t)op->len > (off_t)EX_MAX_SIZE - op->other_pos)
		op->len = EX_MAX_SIZE - op->other_pos;
	if (op->file == op->other) {
		apart = labs(op->pos - op->other_pos);
		if ((off_t)op->len > apart)
			op->len = apart;
	}
	op->record->other_pos = op->other_pos;
	op->record->len = op->len;
	return op->len;
}

/* The same, and the target must have the bytes already. */
static bool fit_inside(struct ex_op *op)
{
	fit(op);
	op->len = ex_model_readable(op->other, op->other_pos, op->len);
	op->record->len = op->len;
	return op->len;
}

/* The target has got @n bytes of the source; it must have got all. */
static enum ex_outcome copied(struct ex_worker *w, struct ex_op *op, ssize_t n)
{
	op->record->result = n;
	if (n != (ssize_t)op->len)
		return ex_wrong(w, op, "%zd instead of %zu", n, op->len);
	ex_model_write(op->other, op->other_pos, op->file->data + op->pos, n);
	return ex_size(w, op, op->other, ex_fd(w, op->other));
}

/* Look at the target at once: a later operation may overwrite it. */
static enum ex_outcome check_target(struct ex_worker *w, struct ex_op *op,
				    size_t len)
{
	ssize_t n = pread(ex_fd(w, op->other), op->buf, len, op->other_pos);

	if (n != (ssize_t)len)
		return ex_wrong(w, op, "pread of the target: %zd", n);
	return ex_bytes(w, op, op->other, op->other_pos, op->buf, len);
}

static enum ex_outcome do_copy_range(struct ex_worker *w, struct ex_op *op)
{
	int in = ex_any_fd(w, op), out = ex_fd(w, op->other);
	off_t from = op->pos, to = op->other_pos;
	ssize_t n = 1;
	size_t done;

	if (!fit(op))
		return EX_SKIPPED;
	for (done = 0; done < op->len && n > 0; done += n)
		n = copy_file_range(in, &from, out, &to, op->len - done, 0);
	if (copied(w, op, n > 0 ? done : n) != EX_RIGHT)
		return EX_WRONG;
	return check_target(w, op, done);
}

static enum ex_outcome do_sendfile(struct ex_worker *w, struct ex_op *op)
{
	int in = ex_any_fd(w, op), out = ex_fd(w, op->other);
	off_t from = op->pos;
	ssize_t n = 1;
	size_t done;

	if (!fit(op))
		return EX_SKIPPED;
	if (lseek(out, op->other_pos, SEEK_SET) != op->other_pos)
		return ex_wrong(w, op, "lseek");
	for (done = 0; done < op->len && n > 0; done += n)
		n = sendfile(out, in, &from, op->len - done);
	if (copied(w, op, n > 0 ? done : n) != EX_RIGHT)
		return EX_WRONG;
	return check_target(w, op, done);
}

/* Read a file into a mapping of the other. */
static enum ex_outcome do_read_into_map(struct ex_worker *w, struct ex_op *op)
{
	char *map = ex_map(w, op->other);
	ssize_t n;

	if (!map)
		return ex_wrong(w, op, "mmap");
	if (!fit_inside(op))
		return EX_SKIPPED;
	n = pread(ex_any_fd(w, op), map + op->other_pos, op->len, op->pos);
	if (copied(w, op, n) != EX_RIGHT)
		return EX_WRONG;
	return check_target(w, op, n);
}

/* Write to the other file what a mapping of the first shows. */
static enum ex_outcome do_write_from_map(struct ex_worker *w, struct ex_op *op)
{
	char *map = ex_map(w, op->file);
	ssize_t n;

	if (!map)
		return ex_wrong(w, op, "mmap");
	if (!fit(op))
		return EX_SKIPPED;
	n = pwrite(ex_fd(w, op->other), map + op->pos, op->len, op->other_pos);
	if (copied(w, op, n) != EX_RIGHT)
		return EX_WRONG;
	return check_target(w, op, n);
}

/*
 * Copy from one mapping to the other. Not much: in a window of one range each
 * load and each store has to set it up anew.
 */
static enum ex_outcome do_copy_maps(struct ex_worker *w, struct ex_op *op)
{
	char *from = ex_map(w, op->file);
	char *to = ex_map(w, op->other);

	if (!from || !to)
		return ex_wrong(w, op, "mmap");
	if (op->len > COPY_MAPS)
		op->len = COPY_MAPS;
	if (!fit_inside(op))
		return EX_SKIPPED;
	if (ex_copy(to + op->other_pos, from + op->pos, op->len))
		return ex_wrong(w, op, "SIGBUS for a copy");
	if (copied(w, op, op->len) != EX_RIGHT)
		return EX_WRONG;
	return check_target(w, op, op->len);
}

const struct ex_kind ex_pair_kinds[] = {
	{ "copy_file_range", 8, EX_PAIR, do_copy_range },
	{ "sendfile", 4, EX_PAIR, do_sendfile },
	{ "read into mapping", 12, EX_PAIR, do_read_into_map },
	{ "write from mapping", 12, EX_PAIR, do_write_from_map },
	{ "copy between mappings", 6, EX_PAIR, do_copy_maps },
	{ }
};
