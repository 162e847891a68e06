/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A FUSE request of the guest: a chain of descriptors of which the readable part
 * was copied, so that the guest cannot change it any more.
 *
 * Only the data of WRITE stays where it is, and the data of READ goes there
 * directly.
 */
#ifndef VIRTIOFS_DAXD_REQUEST_H
#define VIRTIOFS_DAXD_REQUEST_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/notify.h"
#include "passthrough/passthrough.h"
#include "vhost/queue.h"

/* Room for the largest extended attribute and two names of any length. */
#define REQUEST_MAX_LEN (128 * 1024)
/* Zeroes behind a request, as much as the largest structure in one. */
#define REQUEST_PADDING 256

/**
 * struct answer - what is put where the guest waits for it
 * @turn: when that may be
 * @iov: the header and what follows; on the stack, until it has to wait
 * @count: its pieces
 * @written: bytes that are in place behind these
 * @copy: what @iov is then
 * @bare: for want of memory, all there is of it
 * @kept: bytes of that copy
 * @sent: the error that it says; on the stack, too
 */
struct answer {
	struct notify_turn turn;
	struct iovec *iov;
	unsigned int count;
	size_t written;
	struct iovec copy[2];
	struct fuse_out_header bare;
	size_t kept;
	int *sent;
};

/**
 * struct request - a request
 * @ticket: to give the chain back
 * @next: in a list: of those not in use, or of those that wait to be served
 * @len: bytes of @buf that came from the guest
 * @slot: see request_register()
 * @generation: likewise
 * @unique: the guest's name for it
 * @taken: when it was taken from its queue, see clock_us()
 * @answer: to it
 * @interrupted: the guest does not want to wait for it any more
 * @parked_for: the file for whose change it waits
 * @parked_until: a read waits no longer than this, ms; 0 if it never did
 * @let_go: what a setup replaces is shown no more
 * @pool: the pool that serves it
 * @again: has it served once more, after request_suspend(); it is not the caller's
 *	any more
 * @tried_once: it was not let wait: EAGAIN shall be ENOLCK
 * @buf: the request, then zeroes
 * @header: its header, in @buf; @header.len is not larger than @len, unless the
 *	request is malformed
 * @body: what follows
 */
struct request {
	struct queue_ticket ticket;
	struct request *next;
	size_t len;
	uint32_t slot;
	uint32_t generation;
	uint64_t unique;
	int64_t taken;
	struct pt_key parked_for;
	int64_t parked_until;
	bool let_go;
	struct pool *pool;
	void (*again)(struct request *req);
	struct answer answer;
	bool interrupted;
	bool tried_once;
	union {
		char buf[REQUEST_MAX_LEN + REQUEST_PADDING];
		struct {
			struct fuse_in_header header;
			char body[];
		};
	};
};

/**
 * request_take - take the next request of a queue
 * @queue: the queue
 *
 * Return: NULL if there is none, or no memory.
 */
struct request *request_take(struct queue *queue);

/**
 * request_begin - a request is about to be served
 * @req: the request
 *
 * To be called before anything is looked at for its answer.
 */
void request_begin(struct request *req);

/**
 * request_valid - whether header and memory make sense
 * @req: the request
 */
bool request_valid(const struct request *req);

/**
 * request_room - bytes that a reply may have behind its header
 * @req: the request
 */
size_t request_room(const struct request *req);

/**
 * request_register - let a request be found again by a number
 * @req: the request
 *
 * Return: the number, never used for another request; 0 if too many wait.
 */
uint64_t request_register(struct request *req);

/**
 * request_claim - find a request by number, once
 * @number: the number
 *
 * Return: the request, which now is the caller's; or NULL.
 */
struct request *request_claim(uint64_t number);

/**
 * request_interrupt - the guest interrupts a request
 * @unique: the guest's name for it
 *
 * A request that is not registered yet is marked when it is, if it can wait.
 *
 * Return: its number, 0 if it is not registered.
 */
uint64_t request_interrupt(uint64_t unique);

/**
 * request_interrupted - whether a request is still registered and interrupted
 * @number: its number
 */
bool request_interrupted(uint64_t number);

/**
 * request_forget_interrupts - the guest's names begin anew
 */
void request_forget_interrupts(void);

/**
 * request_waits - whether a request asks to wait for others, for however long
 * @req: the request
 */
bool request_waits(const struct request *req);

/**
 * request_urgent - whether a request must be served before others
 * @req: the request
 *
 * Those whose effect others may wait for, in the daemon or in the guest.
 */
bool request_urgent(const struct request *req);

/**
 * request_suspend - let a request wait until it can be served
 * @req: the request
 */
void request_suspend(struct request *req);

/**
 * request_resume - serve a request after request_suspend()
 * @req: the request
 *
 * Return: as queue_resume().
 */
int request_resume(struct request *req);

/**
 * request_reply - answer a request
 * @req: not the caller's any more
 * @error: 0 or a negative errno
 * @iov: what follows the header, if @error is 0
 * @count: its pieces
 *
 * Return: the error that the guest gets, which may be another one: it does not get
 * what would be in the answer then.
 */
int request_reply(struct request *req, int error, const struct iovec *iov,
		  unsigned int count);

/**
 * request_reply_written - answer a request, the data being in place
 * @req: the request
 * @written: bytes behind the header
 */
void request_reply_written(struct request *req, size_t written);

/**
 * request_on_change - what to do with answers that may not be true any more
 * @expire: lets the guest not keep what it is told; @body is behind the header of the
 *	answer. Returns the directory of which it will keep it nevertheless, or 0
 */
void request_on_change(uint64_t (*expire)(const struct request *req, void *body,
					  size_t len));

/**
 * request_drop - forget a request that will never be answered
 * @req: the request
 */
void request_drop(struct request *req);

/**
 * request_finish - done with a request that has no answer
 * @req: the request
 */
void request_finish(struct request *req);

#endif
