// SPDX-License-Identifier: GPL-2.0
/*
 * A process of the exerciser: does one operation after the other.
 */
#include "exercise.h"

/* Locks of files that others use, in the order of the files */

static void lock_file(struct ex_file *file, bool alone)
{
	if (!file || !file->shared)
		return;
	if (alone)
		pthread_rwlock_wrlock(&file->lock);
	else
		pthread_rwlock_rdlock(&file->lock);
}

static void unlock_file(struct ex_file *file)
{
	if (file && file->shared)
		pthread_rwlock_unlock(&file->lock);
}

static void lock_op(struct ex_op *op)
{
	struct ex_file *first = op->file, *second = op->other;

	if (second == first)
		second = NULL;
	if (second && second->number < first->number) {
		first = op->other;
		second = op->file;
	}
	lock_file(first, op->alone);
	lock_file(second, op->alone);
}

static void unlock_op(struct ex_op *op)
{
	unlock_file(op->file);
	if (op->other != op->file)
		unlock_file(op->other);
}

static void record_op(struct ex_worker *w, struct ex_op *op,
		      unsigned long number)
{
	struct ex_record *r = &w->me->log[number % EX_LOG];

	r->clock = __atomic_add_fetch(&w->ex->clock, 1, __ATOMIC_RELAXED);
	r->number = number;
	r->name = op->kind->name;
	r->file = op->file->number;
	r->other = op->other ? op->other->number : EX_MAX_FILES;
	r->pos = op->pos;
	r->other_pos = op->other_pos;
	r->len = op->len;
	r->size = op->file->size;
	r->alone = op->alone;
	r->result = 0;
	op->record = r;
	__atomic_store_n(&w->me->begun, number, __ATOMIC_RELAXED);
}

static enum ex_outcome do_op(struct ex_worker *w, unsigned long number)
{
	enum ex_outcome outcome;
	struct ex_op op;

	ex_draw(w, &op, number);
	lock_op(&op);
	ex_place(w, &op);
	record_op(w, &op, number);
	if (ex_fd(w, op.file) < 0 || (op.other && ex_fd(w, op.other) < 0))
		outcome = ex_wrong(w, &op, "open");
	else
		outcome = op.len ? op.kind->run(w, &op) : EX_SKIPPED;
	unlock_op(&op);
	return outcome;
}

/**
 * ex_worker_init() - begin to be a process of the exerciser
 * @w: filled here
 * @ex: the exerciser
 * @number: of this process
 *
 * Return: 0 or -1.
 */
int ex_worker_init(struct ex_worker *w, struct exercise *ex,
		   unsigned int number)
{
	unsigned int i;

	w->ex = ex;
	w->number = number;
	w->me = &ex->procs[number];
	w->memory = malloc(EX_MAX_LEN + 2 * PAGE);
	for (i = 0; i < ex->nr_files; i++) {
		w->handles[i].fd = -1;
		w->handles[i].direct = -1;
	}
	ex_catch_sigbus();
	return w->memory && !pipe2(w->pipe, O_CLOEXEC) ? 0 : -1;
}

/**
 * ex_do() - do the next operations
 * @w: the process
 * @ops: how many operations
 *
 * Return: 0 if all was right.
 */
int ex_do(struct ex_worker *w, unsigned long ops)
{
	enum ex_outcome outcome;

	for (; ops && !w->ex->failed; ops--) {
		outcome = do_op(w, w->me->begun + 1);
		if (outcome == EX_WRONG)
			return 1;
		if (outcome == EX_RIGHT)
			w->me->done++;
	}
	return w->ex->failed;
}

/**
 * ex_work() - do operations; for a process of its own
 * @ex: the exerciser
 * @number: of this process
 * @ops: how many operations
 *
 * Return: 0 if all was right.
 */
int ex_work(struct exercise *ex, unsigned int number, unsigned long ops)
{
	struct ex_worker worker = { 0 };

	if (ex_worker_init(&worker, ex, number))
		return 1;
	return ex_do(&worker, ops);
}
