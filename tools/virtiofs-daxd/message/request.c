// SPDX-License-Identifier: GPL-2.0-or-later
#include "message/request.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/count.h"
#include "host/log.h"
#include "host/util.h"

/* What threads may be serving, and more than may wait for locks. */
#define REQUEST_SLOTS 4096
/* Interrupts that came before their requests: as many as a queue holds. */
#define REQUEST_EARLY VIRTQ_MAX_SIZE
/* Longest reply of more than one piece: what libfuse sends. */
#define REQUEST_REPLY_PIECES 16

/*
 * Answers that wait for buffers of the guest are copies. What a guest may ask for any
 * number of times, and as much as it likes, takes no more than this.
 */
#define REQUEST_MAX_KEPT (16 << 20)

/* How many of those not in use are kept. */
#define REQUEST_SPARES 64

/*
 * Requests that are registered, and those not in use.
 *
 * @early: names of interrupted requests that were not registered, 0 for none
 * @next_early: where the next one goes, in place of the oldest
 */
static struct {
	pthread_mutex_t lock;
	struct request *slots[REQUEST_SLOTS];
	uint32_t generation;
	uint32_t next_slot;
	struct request *unused;
	unsigned int nr_unused;
	uint64_t early[REQUEST_EARLY];
	unsigned int next_early;
} requests = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct request *request_alloc(void)
{
	struct request *req;

	pthread_mutex_lock(&requests.lock);
	req = requests.unused;
	if (req) {
		requests.unused = req->next;
		requests.nr_unused--;
	}
	pthread_mutex_unlock(&requests.lock);
	return req ?: malloc(sizeof(*req));
}

static void request_free(struct request *req)
{
	pthread_mutex_lock(&requests.lock);
	if (requests.nr_unused < REQUEST_SPARES) {
		req->next = requests.unused;
		requests.unused = req;
		requests.nr_unused++;
		req = NULL;
	}
	pthread_mutex_unlock(&requests.lock);
	free(req);
}

/* The bytes to copy: all, but of a WRITE only what comes before the data. */
static size_t request_copy_len(const struct fuse_in_header *header, size_t len)
{
	if (header->opcode == FUSE_WRITE)
		return min(len, sizeof(*header) + sizeof(struct fuse_write_in));
	return min(len, (size_t)REQUEST_MAX_LEN);
}

/* READ and WRITE go to and from the guest's memory directly. */
static bool request_touches_memory(const struct request *req)
{
	return req->header.opcode == FUSE_READ ||
	       req->header.opcode == FUSE_WRITE;
}

static bool request_fetch(struct queue_ticket *ticket)
{
	struct request *req = container_of(ticket, struct request, ticket);
	const struct virtq_chain *chain = &ticket->chain;
	size_t len;

	memset(&req->header, 0, sizeof(req->header));
	req->len = iov_read(chain->iov, chain->out_count, req->buf,
			    sizeof(req->header));
	len = request_copy_len(&req->header, req->len < sizeof(req->header) ?
			       0 : iov_size(chain->iov, chain->out_count));
	/* Copied as a whole: the header may have changed since. */
	req->len = iov_read(chain->iov, chain->out_count, req->buf, len);
	memset(req->buf + req->len, 0, REQUEST_PADDING);
	req->unique = req->header.unique;
	req->interrupted = false;
	req->parked_until = 0;
	req->let_go = false;
	req->tried_once = false;
	return request_touches_memory(req);
}

struct request *request_take(struct queue *queue)
{
	struct request *req = request_alloc();

	if (!req)
		return NULL;
	if (queue_take(queue, &req->ticket, request_fetch)) {
		req->taken = clock_us();
		return req;
	}
	request_free(req);
	return NULL;
}

bool request_valid(const struct request *req)
{
	const struct virtq_chain *chain = &req->ticket.chain;

	return !chain->fault && req->len >= sizeof(req->header) &&
	       req->header.len >= sizeof(req->header) &&
	       req->header.len <= iov_size(chain->iov, chain->out_count) &&
	       (req->header.len <= req->len ||
		req->header.opcode == FUSE_WRITE);
}

size_t request_room(const struct request *req)
{
	const struct virtq_chain *chain = &req->ticket.chain;
	size_t room = iov_size(chain->iov + chain->out_count, chain->in_count);

	return room - min(room, sizeof(struct fuse_out_header));
}

static bool request_unlocks(const struct request *req)
{
	const struct fuse_lk_in *in = (void *)req->body;

	return in->lk.type == F_UNLCK;
}

bool request_waits(const struct request *req)
{
	return req->header.opcode == FUSE_SETLKW && !request_unlocks(req);
}

bool request_urgent(const struct request *req)
{
	switch (req->header.opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_REMOVEMAPPING:
		return true;
	case FUSE_SETLK:
	case FUSE_SETLKW:
		return request_unlocks(req);
	}
	return false;
}

void request_suspend(struct request *req)
{
	queue_suspend(&req->ticket);
}

int request_resume(struct request *req)
{
	return queue_resume(&req->ticket, request_touches_memory(req));
}

/* Whether a request was interrupted before. Caller holds the lock. */
static bool early_take(uint64_t unique)
{
	for (unsigned int i = 0; i < REQUEST_EARLY; i++) {
		if (requests.early[i] != unique)
			continue;
		requests.early[i] = 0;
		return true;
	}
	return false;
}

uint64_t request_register(struct request *req)
{
	uint64_t number = 0;

	pthread_mutex_lock(&requests.lock);
	for (unsigned int i = 0; i < REQUEST_SLOTS && !number; i++) {
		uint32_t slot = requests.next_slot++ % REQUEST_SLOTS;

		if (requests.slots[slot])
			continue;
		requests.slots[slot] = req;
		req->slot = slot;
		req->generation = ++requests.generation;
		number = (uint64_t)req->generation << 32 | slot;
	}
	if (number && request_waits(req))
		req->interrupted = early_take(req->unique);
	pthread_mutex_unlock(&requests.lock);
	return number;
}

struct request *request_claim(uint64_t number)
{
	uint32_t slot = number % (UINT64_C(1) << 32);
	struct request *req = NULL;

	if (slot >= REQUEST_SLOTS)
		return NULL;
	pthread_mutex_lock(&requests.lock);
	if (requests.slots[slot] &&
	    requests.slots[slot]->generation == number >> 32) {
		req = requests.slots[slot];
		requests.slots[slot] = NULL;
	}
	pthread_mutex_unlock(&requests.lock);
	return req;
}

uint64_t request_interrupt(uint64_t unique)
{
	uint64_t number = 0;

	pthread_mutex_lock(&requests.lock);
	for (unsigned int i = 0; i < REQUEST_SLOTS && !number; i++) {
		struct request *req = requests.slots[i];

		if (!req || req->unique != unique)
			continue;
		req->interrupted = true;
		number = (uint64_t)req->generation << 32 | i;
	}
	if (!number)
		requests.early[requests.next_early++ % REQUEST_EARLY] = unique;
	pthread_mutex_unlock(&requests.lock);
	return number;
}

bool request_interrupted(uint64_t number)
{
	uint32_t slot = number % (UINT64_C(1) << 32);
	const struct request *req;
	bool interrupted;

	pthread_mutex_lock(&requests.lock);
	req = requests.slots[slot];
	interrupted = req && req->generation == number >> 32 &&
		      req->interrupted;
	pthread_mutex_unlock(&requests.lock);
	return interrupted;
}

void request_forget_interrupts(void)
{
	pthread_mutex_lock(&requests.lock);
	memset(requests.early, 0, sizeof(requests.early));
	pthread_mutex_unlock(&requests.lock);
}

static void request_served(const struct request *req)
{
	count_served(req->header.opcode, clock_us() - req->taken);
}

static uint64_t (*on_change)(const struct request *req, void *body, size_t len);

void request_on_change(uint64_t (*expire)(const struct request *req, void *body,
					  size_t len))
{
	on_change = expire;
}

static struct request *answered(struct notify_turn *turn)
{
	struct answer *answer = container_of(turn, struct answer, turn);

	return container_of(answer, struct request, answer);
}

/* What is held in copies of answers; protected by who gives turns. */
static size_t kept_bytes;

/* Whether all that is lost with an answer is what it says. */
static bool may_be_asked_again(const struct request *req)
{
	switch (req->header.opcode) {
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_READLINK:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return true;
	}
	return false;
}

/* NULL if there is no memory, or too much is held already. */
static void *copy_new(struct request *req, size_t len)
{
	void *data;

	if (kept_bytes + len > REQUEST_MAX_KEPT && may_be_asked_again(req))
		return NULL;
	data = malloc(len);
	if (!data)
		return NULL;
	req->answer.kept = len;
	kept_bytes += len;
	return data;
}

static void copy_free(struct answer *answer)
{
	kept_bytes -= answer->kept;
	free(answer->copy[0].iov_base);
}

/*
 * What was asked is of no use any more, but its header is. A guest has as many of these
 * wait as it likes: they do not count as what is held, so they take next to nothing.
 */
static void body_give_up(struct request *req)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)req->body + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)req->buf + sizeof(req->buf)) & ~(page - 1);

	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}

/* An error for want of memory, if it must be. */
static void answer_keep(struct notify_turn *turn)
{
	struct request *req = answered(turn);
	struct answer *answer = &req->answer;
	struct fuse_out_header *header;
	size_t len = iov_size(answer->iov, answer->count);
	char *data = copy_new(req, len);

	/* It is in place, but who stops the queue is not to wait for our turn. */
	request_suspend(req);
	if (!data)
		len = sizeof(*header);
	header = data ? (void *)data : &answer->bare;
	iov_read(answer->iov, answer->count, header, len);
	if (!data) {
		*answer->sent = header->error = -ENOMEM;
		header->len = len;
		answer->written = 0;
	}
	answer->copy[0] = (struct iovec){ header, sizeof(*header) };
	answer->copy[1] = (struct iovec){ header + 1, len - sizeof(*header) };
	answer->iov = answer->copy;
	answer->count = 2;
	body_give_up(req);
}

static uint64_t answer_give(struct notify_turn *turn, bool changed)
{
	struct request *req = answered(turn);
	struct answer *answer = &req->answer;
	struct iovec *iov = answer->iov;
	const struct fuse_out_header *header = iov[0].iov_base;
	bool body = answer->count > 1;
	uint64_t again = 0;

	/* The end of a listing has none. */
	if (changed && on_change && !header->error)
		again = on_change(req, body ? iov[1].iov_base : NULL,
				  body ? iov[1].iov_len : 0);
	queue_give(&req->ticket, iov, answer->count, answer->written);
	if (iov == answer->copy && header != &answer->bare)
		copy_free(answer);
	request_free(req);
	return again;
}

void request_begin(struct request *req)
{
	notify_turn_begin(&req->answer.turn);
}

static int request_send(struct request *req, int error, const struct iovec *iov,
			unsigned int count, size_t written)
{
	struct iovec pieces[REQUEST_REPLY_PIECES + 1];
	struct fuse_out_header header = { .unique = req->unique };

	/* What was read or written is not whole. */
	if (queue_given_up(&req->ticket)) {
		error = -EIO;
		count = written = 0;
	}
	header.error = error;
	if (count)
		memcpy(pieces + 1, iov, count * sizeof(*iov));
	pieces[0].iov_base = &header;
	pieces[0].iov_len = sizeof(header);
	header.len = iov_size(pieces, count + 1) + written;
	log_trace("guest: request %lu answered: %s, %u bytes", req->unique,
		  error ? strerror(-error) : "done", header.len);
	request_served(req);
	req->answer.iov = pieces;
	req->answer.count = count + 1;
	req->answer.written = written;
	req->answer.sent = &error;
	req->answer.turn.keep = answer_keep;
	req->answer.turn.give = answer_give;
	notify_turn(&req->answer.turn);
	return error;
}

int request_reply(struct request *req, int error, const struct iovec *iov,
		  unsigned int count)
{
	if (!error && (count > REQUEST_REPLY_PIECES ||
		       iov_size(iov, count) > request_room(req))) {
		log_warn_once("a request has no room for its reply");
		error = -ERANGE;
	}
	return request_send(req, error, iov, error ? 0 : count, 0);
}

void request_reply_written(struct request *req, size_t written)
{
	request_send(req, 0, NULL, 0, written);
}

void request_drop(struct request *req)
{
	queue_drop(&req->ticket);
	request_free(req);
}

void request_finish(struct request *req)
{
	request_served(req);
	queue_give(&req->ticket, NULL, 0, 0);
	request_free(req);
}
