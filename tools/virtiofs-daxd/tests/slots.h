/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many requests at a time, for tests: each has a slot, which is an entry of the
 * queue and a place in guest memory. Not to be mixed with fe_request() while
 * any is under way.
 */
#ifndef VIRTIOFS_DAXD_SLOTS_H
#define VIRTIOFS_DAXD_SLOTS_H

#include "frontend.h"

#define SLOT_REQUESTS 1		/* the queue for most */
#define SLOT_HIPRIO 0
#define SLOT_BODY 512		/* most bytes of a body, there and back */
#define SLOT_NO_ANSWER 1000

/* No answers are expected any more. */
void slots_reset(void);

/*
 * Begins a request. It takes one entry of the queue, by an indirect table, or
 * if @entries is 3 that many, which are those of the two next slots as well.
 */
void slot_ask(struct frontend *fe, unsigned int slot, unsigned int queue,
	      unsigned int entries, uint32_t opcode, uint64_t nodeid,
	      const void *body, size_t len);

/* The guest's name of the request, and of the next one. */
uint64_t slot_unique(unsigned int slot);
uint64_t slot_next_unique(void);

/* The error of the answer, 0 or positive; SLOT_NO_ANSWER after @ms. */
int slot_wait(struct frontend *fe, unsigned int slot, unsigned int ms);

/* The body of the answer. */
const void *slot_body(struct frontend *fe, unsigned int slot);

/* How many of a range of slots are answered with an error, by now. */
unsigned int slots_count(struct frontend *fe, unsigned int first,
			 unsigned int end, int error);

/* Requests about locks. @type: F_RDLCK etc.; @flags: FUSE_LK_FLOCK or 0. */
void slot_lock(struct frontend *fe, unsigned int slot, uint32_t opcode,
	       uint64_t fh, uint64_t owner, uint32_t type, uint32_t flags);
void slot_interrupt(struct frontend *fe, unsigned int slot, unsigned int queue,
		    uint64_t unique);

/*
 * Lets whoever opens a file of the share for writing wait, until the descriptor
 * that is returned is closed; -1 on failure.
 */
int hold_opens(struct frontend *fe, const char *name);
/* Opens that will wait then. */
void slot_open(struct frontend *fe, unsigned int slot, uint64_t nodeid);

#endif
