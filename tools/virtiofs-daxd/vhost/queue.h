/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue in service: a virtqueue with its start and stop, its event
 * descriptors, and the chains that are out of it.
 *
 * The vhost-user thread starts and stops queues, workers take chains and give
 * them back. Stopping must not wait for a worker that waits for the front-end
 * (which waits for us to stop). So it waits only for those that touch guest
 * memory directly; the others find the queue stopped when they come back, and
 * leave their reply to be given when the queue goes on, or to nobody if the
 * device was reset. Those that touch guest memory may be waiting for storage, and
 * are given up after a while: the memory is taken from them, see queue_move().
 */
#ifndef VIRTIOFS_DAXD_QUEUE_H
#define VIRTIOFS_DAXD_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost/virtq.h"

struct queue_late;

/**
 * struct queue - a queue in service
 * @index: its number; constant
 * @lock: protects everything below
 * @idle: signalled when @busy drops to 0
 * @ring: the virtqueue
 * @base: where the front-end wants the available ring to be read from
 * @mem: memory table for requests, referenced
 * @ring_mem: the table in which @ring was placed, referenced
 * @kick: eventfd of the guest's kicks, or -1
 * @call: eventfd for interrupts, or -1
 * @epoll: where @kick is watched while there is one, or -1
 * @enabled: by SET_VRING_ENABLE
 * @started: chains may be given back, and taken if @enabled
 * @seen: it was started before
 * @broken: the ring made no sense; nothing more until the next start
 * @epoch: counts resets: a chain of an earlier epoch has no place to return to
 * @round: counts how often the busy ones were given up
 * @busy: takers of this round that touch guest memory
 * @waiting: entries of the ring whose chains may stay out for ever
 * @refilled: see queue_set_refilled(), or NULL
 * @late: replies that came while the queue was stopped
 */
struct queue {
	unsigned int index;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct virtq ring;
	uint16_t base;
	struct guest_mem *mem;
	struct guest_mem *ring_mem;
	int kick;
	int call;
	int epoll;
	bool enabled;
	bool started;
	bool seen;
	bool broken;
	unsigned int epoch;
	unsigned int round;
	unsigned int busy;
	unsigned int waiting;
	void (*refilled)(struct queue *queue);
	struct queue_late *late;
};

/**
 * struct queue_ticket - a chain that was taken, to give it back
 * @queue: where it came from
 * @mem: memory table it was taken with, referenced
 * @epoch: of the queue at that time
 * @round: likewise
 * @busy: counted in @queue's busy: its memory may be touched without the lock
 * @waiting: how much it counts in @queue's waiting
 * @chain: its memory
 */
struct queue_ticket {
	struct queue *queue;
	struct guest_mem *mem;
	unsigned int epoch;
	unsigned int round;
	bool busy;
	unsigned int waiting;
	struct virtq_chain chain;
};

/**
 * queue_init - an idle queue
 * @queue: where it is made
 * @index: its number
 * @mem: memory table to begin with; the queue takes a reference
 */
void queue_init(struct queue *queue, unsigned int index, struct guest_mem *mem);

/**
 * queue_destroy - end of service; no ticket may be out
 * @queue: the queue
 */
void queue_destroy(struct queue *queue);

/**
 * queue_watch - watch kicks by an epoll descriptor, with the queue as its data
 * @queue: the queue
 * @epoll: the descriptor, which stays the caller's; -1 for none
 *
 * To be called before the first queue_start(), and at the end.
 */
void queue_watch(struct queue *queue, int epoll);

/**
 * queue_set_refilled - the queue has buffers for what we say, not requests
 * @queue: the queue
 * @refilled: called without the lock when there may be more of them; NULL if there
 *	are requests in it
 */
void queue_set_refilled(struct queue *queue,
			void (*refilled)(struct queue *queue));

/**
 * queue_refilled - have @refilled look, if there are no requests in the queue
 * @queue: the queue
 *
 * Return: false if there are requests in it.
 */
bool queue_refilled(struct queue *queue);

/**
 * queue_set_mem - use another memory table from the next chain on
 * @queue: the queue
 * @mem: the table; the queue takes a reference
 */
void queue_set_mem(struct queue *queue, struct guest_mem *mem);

/**
 * queue_move - all guest memory is at other places: follow
 * @queue: the queue
 * @mem: the table to use from now on; the queue takes a reference
 *
 * Between guest_mem_move() and guest_mem_close(). Nobody who touches guest memory
 * now is waited for any more.
 */
void queue_move(struct queue *queue, struct guest_mem *mem);

/**
 * queue_set_size - number of entries, while stopped
 * @queue: the queue
 * @size: entries, a power of two
 *
 * Return: 0 or -EINVAL.
 */
int queue_set_size(struct queue *queue, unsigned int size);

/**
 * queue_set_base - where to begin in the available ring, while stopped
 * @queue: the queue
 * @base: index into the available ring
 *
 * Return: 0 or -EINVAL.
 */
int queue_set_base(struct queue *queue, unsigned int base);

/**
 * queue_set_rings - where the rings are, while stopped
 * @queue: the queue
 * @desc: address of the descriptor table in the front-end's process
 * @avail: likewise of the available ring
 * @used: likewise of the used ring
 *
 * Return: 0; -EINVAL, with the rings where they were.
 */
int queue_set_rings(struct queue *queue, uint64_t desc, uint64_t avail,
		    uint64_t used);

/**
 * queue_set_event_idx - whether VIRTIO_RING_F_EVENT_IDX was negotiated
 * @queue: the queue
 * @on: whether it was
 */
void queue_set_event_idx(struct queue *queue, bool on);

/**
 * queue_set_call - use this eventfd for interrupts; it belongs to the queue now
 * @queue: the queue
 * @fd: the eventfd, or -1 for none
 */
void queue_set_call(struct queue *queue, int fd);

/**
 * queue_enable - whether chains may be taken
 * @queue: the queue
 * @on: whether they may
 */
void queue_enable(struct queue *queue, bool on);

/**
 * queue_start - begin, or go on
 * @queue: the queue
 * @kick: eventfd of kicks; it belongs to the queue now, also on failure
 * @anew: set if the queue does not go on where queue_stop() left it: the device
 *	was reset. Not touched otherwise.
 *
 * Return: 0; -EINVAL if the queue was not set up or runs already; another negative
 * errno if @kick is nothing to wait for.
 */
int queue_start(struct queue *queue, int kick, bool *anew);

/**
 * queue_stop - take and give back nothing more
 * @queue: the queue
 * @base: where to go on in the available ring
 *
 * Return: 0; -ETIMEDOUT if somebody touches guest memory still. The queue is
 * stopped all the same.
 */
int queue_stop(struct queue *queue, uint16_t *base);

/**
 * queue_started - whether it is between queue_start() and queue_stop()
 * @queue: the queue
 */
bool queue_started(struct queue *queue);

/**
 * queue_take - take a chain
 * @queue: the queue
 * @ticket: filled
 * @fetch: called under the lock, when the chain's memory may be read. Says
 *	whether the taker will touch its memory later too.
 *
 * Return: true if there was one. If not, the guest was asked to kick.
 */
bool queue_take(struct queue *queue, struct queue_ticket *ticket,
		bool (*fetch)(struct queue_ticket *ticket));

/**
 * queue_suspend - leave the chain's memory alone for now
 * @ticket: the chain, for which queue_stop() then does not wait
 */
void queue_suspend(struct queue_ticket *ticket);

/**
 * queue_resume - go on with a chain after queue_suspend()
 * @ticket: the chain
 * @busy: whether its memory will be touched
 *
 * Return: 0; -EAGAIN if its memory must not be touched before queue_start();
 * -ESTALE if the device was reset, so that it has no place to return to.
 */
int queue_resume(struct queue_ticket *ticket, bool busy);

/**
 * queue_may_wait - whether a chain may stay out for ever
 * @ticket: the chain
 *
 * What ends the wait needs room in the same queue. So this is refused to those
 * that would take more than half of it.
 */
bool queue_may_wait(struct queue_ticket *ticket);

/**
 * queue_drop - forget a chain that will never be given back
 * @ticket: empty afterwards
 */
void queue_drop(struct queue_ticket *ticket);

/**
 * queue_give - give a chain back
 * @ticket: empty afterwards
 * @iov: the reply, copied to the front of the chain's writable memory
 * @count: pieces of @iov; 0 for no reply
 * @written: bytes which the taker has itself written behind that
 *
 * A reply that the chain has no room for is not copied.
 */
void queue_give(struct queue_ticket *ticket, const struct iovec *iov,
		unsigned int count, size_t written);

/**
 * queue_say - fill the next chain with what nobody has asked for
 * @queue: the queue, of which nobody else takes chains
 * @data: what it is to hold
 * @len: bytes
 *
 * Return: 0; -EAGAIN if there is no chain, and the guest was asked to kick;
 * -EMSGSIZE if the chain makes no sense or is too small, and went back empty.
 */
int queue_say(struct queue *queue, const void *data, size_t len);

/**
 * queue_given_up - whether the chain's memory was taken away from who touched it
 * @ticket: the chain
 *
 * It says no if all was done before.
 */
bool queue_given_up(const struct queue_ticket *ticket);

/**
 * queue_drain_kick - forget the kicks so far
 * @queue: the queue
 */
void queue_drain_kick(struct queue *queue);

#endif
