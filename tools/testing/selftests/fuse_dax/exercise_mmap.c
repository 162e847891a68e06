// SPDX-License-Identifier: GPL-2.0
/*
 * Loads and stores of the exerciser.
 */
#include "exercise.h"

#define RW	(PROT_READ | PROT_WRITE)

static off_t page_down(off_t pos)
{
	return pos / PAGE * PAGE;
}

static off_t page_up(off_t pos)
{
	return page_down(pos + PAGE - 1);
}

/* Bytes at @pos that a mapping shows: zeros from the end to the next page. */
static size_t mapped_len(struct ex_op *op)
{
	off_t end = page_up(op->file->size);

	if (op->pos >= end)
		return 0;
	return (off_t)op->len < end - op->pos ? op->len : end - op->pos;
}

/* Memory and mapping can be copied by words then. */
static void align_buf(struct ex_op *op)
{
	op->buf += (op->pos - (uintptr_t)op->buf) % sizeof(uint64_t);
}

/* No byte of pages behind the end can be loaded. */
static enum ex_outcome behind_end(struct ex_worker *w, struct ex_op *op,
				  const char *at)
{
	op->record->result = ex_copy(op->buf, at, 1);
	if (!op->record->result)
		return ex_wrong(w, op, "no SIGBUS behind the end");
	return EX_RIGHT;
}

static enum ex_outcome load_at(struct ex_worker *w, struct ex_op *op, char *at)
{
	op->len = mapped_len(op);
	if (!op->len)
		return behind_end(w, op, at);
	align_buf(op);
	if (ex_copy(op->buf, at, op->len))
		return ex_wrong(w, op, "SIGBUS for a load");
	op->record->result = op->len;
	return ex_bytes(w, op, op->file, op->pos, op->buf, op->len);
}

/* What is stored behind the end, within the page, is nobody's: not done. */
static enum ex_outcome store_at(struct ex_worker *w, struct ex_op *op,
				char *at)
{
	op->len = ex_model_readable(op->file, op->pos, op->len);
	if (!op->len)
		return EX_SKIPPED;
	align_buf(op);
	pattern_fill(op->buf, op->pos, op->len, op->id);
	if (ex_copy(at, op->buf, op->len))
		return ex_wrong(w, op, "SIGBUS for a store");
	op->record->result = op->len;
	ex_model_write(op->file, op->pos, op->buf, op->len);
	return EX_RIGHT;
}

static enum ex_outcome do_load(struct ex_worker *w, struct ex_op *op)
{
	char *map = ex_map(w, op->file);

	return map ? load_at(w, op, map + op->pos) : ex_wrong(w, op, "mmap");
}

static enum ex_outcome do_store(struct ex_worker *w, struct ex_op *op)
{
	char *map = ex_map(w, op->file);

	return map ? store_at(w, op, map + op->pos) : ex_wrong(w, op, "mmap");
}

/* A store to a page behind the end. */
static enum ex_outcome do_store_behind(struct ex_worker *w, struct ex_op *op)
{
	char *map = ex_map(w, op->file);
	off_t end = page_up(op->file->size);

	if (!map)
		return ex_wrong(w, op, "mmap");
	if (op->pos < end)
		op->pos = end + op->pos % PAGE;
	if (op->pos >= (off_t)EX_MAX_SIZE)
		return EX_SKIPPED;
	op->record->result = ex_copy(map + op->pos, "x", 1);
	if (!op->record->result)
		return ex_wrong(w, op, "no SIGBUS behind the end");
	return EX_RIGHT;
}

/* A mapping for one operation, of the pages around its bytes. */
struct view {
	off_t start;
	size_t len;
	char *map;
	char *at;
};

static int view_open(struct ex_worker *w, struct ex_op *op, int flags,
		     struct view *view)
{
	view->start = page_down(op->pos);
	view->len = page_up(op->pos + op->len) - view->start;
	view->map = mmap(NULL, view->len, RW, flags, ex_fd(w, op->file),
			 view->start);
	if (view->map == MAP_FAILED)
		return -1;
	view->at = view->map + (op->pos - view->start);
	return 0;
}

static enum ex_outcome with_view(struct ex_worker *w, struct ex_op *op,
				 enum ex_outcome (*use)(struct ex_worker *w,
							struct ex_op *op,
							char *at))
{
	int flags = ex_random(&op->random, 2) ? 0 : MAP_POPULATE;
	enum ex_outcome outcome;
	struct view view;

	if (view_open(w, op, MAP_SHARED | flags, &view))
		return ex_wrong(w, op, "mmap");
	outcome = use(w, op, view.at);
	munmap(view.map, view.len);
	return outcome;
}

static enum ex_outcome do_new_load(struct ex_worker *w, struct ex_op *op)
{
	return with_view(w, op, load_at);
}

static enum ex_outcome do_new_store(struct ex_worker *w, struct ex_op *op)
{
	return with_view(w, op, store_at);
}

/* A private copy shows the file, then what was stored; the file does not. */
static enum ex_outcome private_copy(struct ex_worker *w, struct ex_op *op,
				    char *at)
{
	size_t len = ex_model_readable(op->file, op->pos, op->len);
	ssize_t n;

	if (op->pos >= page_up(op->file->size))
		return behind_end(w, op, at);
	if (!len)
		return EX_SKIPPED;
	align_buf(op);
	op->len = len;
	if (ex_random(&op->random, 2)) {
		if (ex_copy(op->buf, at, len))
			return ex_wrong(w, op, "SIGBUS for a private load");
		if (!ex_model_is(op->file, op->pos, op->buf, len))
			return ex_bytes(w, op, op->file, op->pos, op->buf, len);
	}
	pattern_fill(op->buf, op->pos, len, op->id);
	if (ex_copy(at, op->buf, len))
		return ex_wrong(w, op, "SIGBUS for a private store");
	if (pattern_diff(at, op->pos, len, op->id) >= 0)
		return ex_wrong(w, op, "a private store is lost");
	n = pread(ex_fd(w, op->file), op->buf, len, op->pos);
	if (n != (ssize_t)len)
		return ex_wrong(w, op, "pread: %zd of %zu", n, len);
	return ex_bytes(w, op, op->file, op->pos, op->buf, len);
}

static enum ex_outcome do_private(struct ex_worker *w, struct ex_op *op)
{
	enum ex_outcome outcome;
	struct view view;

	if (view_open(w, op, MAP_PRIVATE, &view))
		return ex_wrong(w, op, "mmap");
	outcome = private_copy(w, op, view.at);
	munmap(view.map, view.len);
	return outcome;
}

static enum ex_outcome do_msync(struct ex_worker *w, struct ex_op *op)
{
	off_t start = page_down(op->pos);
	char *map = ex_map(w, op->file);
	int flags = ex_random(&op->random, 4) ? MS_ASYNC : MS_SYNC;

	if (!map)
		return ex_wrong(w, op, "mmap");
	if (msync(map + start, page_up(op->pos + op->len) - start, flags))
		return ex_wrong(w, op, "msync");
	return EX_RIGHT;
}

/* The pages have to be faulted in again. */
static enum ex_outcome do_dontneed(struct ex_worker *w, struct ex_op *op)
{
	off_t start = page_down(op->pos);
	char *map = ex_map(w, op->file);

	if (!map)
		return ex_wrong(w, op, "mmap");
	if (madvise(map + start, page_up(op->pos + op->len) - start,
		    MADV_DONTNEED))
		return ex_wrong(w, op, "madvise");
	return load_at(w, op, map + op->pos);
}

static enum ex_outcome do_populate(struct ex_worker *w, struct ex_op *op)
{
	off_t start = page_down(op->pos);
	char *map = ex_map(w, op->file);
	int advice = ex_random(&op->random, 2) ? MADV_POPULATE_READ :
						 MADV_POPULATE_WRITE;

	if (!map)
		return ex_wrong(w, op, "mmap");
	op->len = ex_model_readable(op->file, op->pos, op->len);
	if (!op->len)
		return EX_SKIPPED;
	if (madvise(map + start, page_up(op->pos + op->len) - start, advice))
		return ex_wrong(w, op, "madvise");
	return load_at(w, op, map + op->pos);
}

const struct ex_kind ex_mmap_kinds[] = {
	{ "load", 260, EX_STRIPES, do_load },
	{ "store", 220, EX_STRIPES | EX_CHANGES, do_store },
	{ "store behind the end", 5, EX_STRIPES, do_store_behind },
	{ "load from a new mapping", 20, EX_STRIPES, do_new_load },
	{ "store to a new mapping", 20, EX_STRIPES | EX_CHANGES, do_new_store },
	{ "private copy", 15, EX_STRIPES, do_private },
	{ "msync", 4, EX_STRIPES, do_msync },
	{ "madvise dontneed", 10, EX_STRIPES, do_dontneed },
	{ "madvise populate", 4, EX_STRIPES, do_populate },
	{ }
};
