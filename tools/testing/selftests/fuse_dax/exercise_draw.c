// SPDX-License-Identifier: GPL-2.0
/*
 * The choice of operations of the exerciser.
 *
 * What an operation is, is drawn from a generator that is seeded with its
 * number. So it does not depend on what others do; how large a file of all
 * processes is then, and what the server answers, may.
 */
#include "exercise.h"

/* Operations in a row on the same file, many of them near the same place */
#define BURST		8

static const struct ex_kind *const tables[] = {
	ex_io_kinds, ex_mmap_kinds, ex_file_kinds, ex_pair_kinds,
};

static unsigned int all_weights(void)
{
	const struct ex_kind *kind;
	unsigned int sum = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (kind = tables[i]; kind->name; kind++)
			sum += kind->weight;
	return sum;
}

static const struct ex_kind *draw_kind(struct ex_random *r)
{
	static unsigned int sum;
	const struct ex_kind *kind;
	unsigned int at;
	size_t i;

	if (!sum)
		sum = all_weights();
	at = ex_random(r, sum);
	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (kind = tables[i]; kind->name; kind++) {
			if (at < kind->weight)
				return kind;
			at -= kind->weight;
		}
	return NULL;
}

static struct ex_file *draw_file(struct ex_worker *w, struct ex_random *r)
{
	unsigned int n;

	if (ex_random(r, 4))
		n = EX_SHARED + w->number * EX_OWN + ex_random(r, EX_OWN);
	else
		n = ex_random(r, EX_SHARED);
	return &w->ex->files[n];
}

/* Mostly small, so that there are many. */
static size_t draw_len(struct ex_random *r)
{
	unsigned int size = ex_random(r, 1000);

	if (size < 2)
		return 1 + ex_random(r, EX_MAX_LEN);
	if (size < 15)
		return 1 + ex_random(r, 256 * KiB);
	if (size < 200)
		return 1 + ex_random(r, 4 * PAGE);
	if (size < 300)
		return PAGE;
	return 1 + ex_random(r, 200);
}

/* A place where something may begin or end: of a range, of a page, the EOF. */
static off_t draw_edge(struct ex_random *r, const struct ex_file *file)
{
	switch (ex_random(r, 6)) {
	case 0:
	case 1:
		return ex_random(r, EX_RANGES + 1) * RANGE;
	case 2:
	case 3:
		return ex_random(r, EX_MAX_SIZE / PAGE) * PAGE;
	case 4:
		return file->size;
	default:
		return ex_random(r, EX_MAX_SIZE);
	}
}

/* At, just before, just behind or across @edge */
static off_t draw_near(struct ex_random *r, off_t edge, size_t len)
{
	off_t pos = edge;

	switch (ex_random(r, 4)) {
	case 0:
		pos += ex_random(r, 64);
		break;
	case 1:
		pos -= len;
		break;
	case 2:
		pos -= ex_random(r, len + 1);
		break;
	}
	if (pos < 0)
		return 0;
	return pos < (off_t)EX_MAX_SIZE ? pos : (off_t)EX_MAX_SIZE - 1;
}

static off_t draw_pos(struct ex_random *r, const struct ex_file *file,
		      off_t home, size_t len)
{
	off_t edge = home;

	if (!ex_random(r, 3))
		edge = draw_edge(r, file);
	edge = draw_near(r, edge, len);
	/* Else most would be behind the end of what is often a short file */
	if (edge >= file->size && file->size && ex_random(r, 8))
		edge %= file->size;
	return edge;
}

static void limit_len(struct ex_op *op, off_t end)
{
	if ((off_t)op->len > end - op->pos)
		op->len = end > op->pos ? end - op->pos : 0;
}

/* Keep to a stripe of this process, and to the size. */
static void keep_to_stripe(struct ex_worker *w, struct ex_op *op)
{
	unsigned int procs = w->ex->nr_procs;
	off_t stripe = op->pos / EX_STRIPE;
	off_t rest = op->pos % EX_STRIPE;

	stripe = stripe / procs * procs + w->number;
	if (stripe * (off_t)EX_STRIPE + rest >= (off_t)EX_MAX_SIZE)
		stripe = w->number;
	op->pos = stripe * EX_STRIPE + rest;
	limit_len(op, (stripe + 1) * EX_STRIPE);
	if (op->kind->flags & EX_CHANGES)
		limit_len(op, op->file->size);
}

/*
 * Nothing gets from a file of all processes to one of this process, so that the
 * latter is the same in each run.
 */
static void draw_other(struct ex_worker *w, struct ex_op *op)
{
	struct ex_file *first = op->file;

	op->other = draw_file(w, &op->random);
	if (!first->shared || op->other->shared)
		return;
	op->file = op->other;
	op->other = first;
}

/* Operation @number of this process, up to the state of its files. */
void ex_draw(struct ex_worker *w, struct ex_op *op, unsigned long number)
{
	struct ex_random burst;

	memset(op, 0, sizeof(*op));
	ex_random_seed(&op->random, w->ex->draws, w->number, number * 2);
	ex_random_seed(&burst, w->ex->draws, w->number, number / BURST * 2 + 1);
	op->id = (uint64_t)number << 4 | w->number;
	op->kind = draw_kind(&op->random);
	op->file = draw_file(w, &burst);
	if (op->kind->flags & EX_PAIR)
		draw_other(w, op);
	op->alone = !op->file->shared || !(op->kind->flags & EX_STRIPES) ||
		    !ex_random(&op->random, 8);
	op->len = draw_len(&op->random);
	op->pos = ex_random(&burst, EX_MAX_SIZE / PAGE) * PAGE;
	if (ex_random(&burst, 2))
		op->pos = ex_random(&burst, EX_RANGES + 1) * RANGE;
	op->buf = w->memory + ex_random(&op->random, PAGE);
}

/* The rest, which depends on sizes; under the locks. */
void ex_place(struct ex_worker *w, struct ex_op *op)
{
	struct ex_random *r = &op->random;

	op->pos = draw_pos(r, op->file, op->pos, op->len);
	if (op->alone)
		limit_len(op, EX_MAX_SIZE);
	else
		keep_to_stripe(w, op);
	if (op->other)
		op->other_pos = draw_pos(r, op->other, op->pos, op->len);
}
