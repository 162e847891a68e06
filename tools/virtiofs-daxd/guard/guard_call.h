/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a thread of the host is doing: whether the system call in which it waits
 * for us takes something away from a file.
 *
 * An event does not tell a truncation from a read; /proc/TID/syscall does. What
 * cannot be told may be one: another pid namespace's, io_uring's, openat2()'s.
 */
#ifndef VIRTIOFS_DAXD_GUARD_CALL_H
#define VIRTIOFS_DAXD_GUARD_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * struct guard_call - a system call of a thread
 * @tid: the thread, 0 if it is not known
 * @number: of the call, -1 if it is not known
 * @args: its arguments
 */
struct guard_call {
	pid_t tid;
	long number;
	unsigned long args[6];
};

/* What a look at a thread shows. */
enum guard_look {
	/* It sleeps in a call */
	GUARD_CALL,
	/* It is in none, as what does io_uring's, or who is about to end */
	GUARD_NO_CALL,
	/* It cannot be looked at */
	GUARD_UNKNOWN,
	/* It runs, or could */
	GUARD_RUNS,
	GUARD_GONE,
};

/**
 * guard_call_open - a directory of all processes, in which there is nothing else
 *
 * Return: a descriptor or a negative errno.
 */
int guard_call_open(void);

/**
 * guard_call_own - whether a thread is one of ours
 * @proc: guard_call_open()
 * @tid: the thread
 */
bool guard_call_own(int proc, pid_t tid);

/**
 * guard_call_get - look at a thread that waits for our answer
 * @proc: guard_call_open()
 * @tid: the thread, or 0
 * @call: the result
 *
 * Return: what it does. One that runs has not come to wait yet: what it is about to
 * do it does after that.
 */
enum guard_look guard_call_get(int proc, pid_t tid, struct guard_call *call);

/**
 * guard_call_takes - whether a call takes something away
 * @call: the call
 * @open: it waits in an open, else before it does something to the data
 * @size: the file's size
 * @from: the first byte that goes or moves
 */
bool guard_call_takes(const struct guard_call *call, bool open, uint64_t size,
		      uint64_t *from);

/**
 * guard_call_left - whether a thread has left a call
 * @proc: guard_call_open()
 * @call: the call, which is known
 */
bool guard_call_left(int proc, const struct guard_call *call);

#endif
