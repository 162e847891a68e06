/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues, the device's side: taking chains of descriptors from the
 * available ring and putting them into the used ring.
 *
 * Everything in the rings is the guest's to write at any time. Each field is
 * read once, and checked before it is used. Callers serialise.
 */
#ifndef VIRTIOFS_DAXD_VIRTQ_H
#define VIRTIOFS_DAXD_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vhost/guest_mem.h"

/* Largest queue served; QEMU has no larger ones. */
#define VIRTQ_MAX_SIZE 1024
/* Most pieces of memory of one chain: what one preadv() takes. */
#define VIRTQ_MAX_IOV 1024

/**
 * struct virtq - one virtqueue
 * @size: entries, a power of two; 0 before the front-end has said
 * @event_idx: VIRTIO_RING_F_EVENT_IDX was negotiated
 * @desc: descriptor table; like the rings NULL until they are placed
 * @avail: available ring
 * @used: used ring
 * @last_avail: next entry of the available ring to take
 * @used_idx: next entry of the used ring to fill
 * @signalled_used: @used_idx at the last virtq_should_signal()
 */
struct virtq {
	uint16_t size;
	bool event_idx;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t last_avail;
	uint16_t used_idx;
	uint16_t signalled_used;
};

/**
 * struct virtq_chain - a chain of descriptors, as memory here
 * @head: index by which it is returned
 * @fault: a descriptor was malformed or lay outside the guest's memory; what
 *	came before it in its own direction is still in @iov
 * @entries: of the descriptor table; one if the rest is in an indirect table
 * @out_count: pieces to read from, first in @iov
 * @in_count: pieces to write to, after those
 * @iov: the pieces
 */
struct virtq_chain {
	uint16_t head;
	bool fault;
	unsigned int entries;
	unsigned int out_count;
	unsigned int in_count;
	struct iovec iov[VIRTQ_MAX_IOV];
};

static inline struct iovec *virtq_chain_in(struct virtq_chain *chain)
{
	return chain->iov + chain->out_count;
}

/**
 * virtq_place - find the rings
 * @vq: the queue, of known size
 * @mem: memory table of the front-end
 * @desc: address of the descriptor table in the front-end's process
 * @avail: likewise of the available ring
 * @used: likewise of the used ring
 *
 * Return: 0; -EINVAL for a misaligned ring or one outside the memory, with @vq as
 * it was.
 */
int virtq_place(struct virtq *vq, const struct guest_mem *mem, uint64_t desc,
		uint64_t avail, uint64_t used);

/**
 * virtq_follow - find the rings in memory that has been moved
 * @vq: the queue, placed or not
 * @mem: memory table with which it was placed
 */
void virtq_follow(struct virtq *vq, const struct guest_mem *mem);

/**
 * virtq_pop - take the next chain
 * @vq: the queue, placed
 * @mem: memory table for the guest-physical addresses in descriptors
 * @chain: filled
 *
 * Return: 1 if there was one, which must be returned by virtq_push() even if
 * @chain->fault; 0 if there was none; -EPROTO if the ring itself makes no
 * sense, after which the queue cannot be used.
 */
int virtq_pop(struct virtq *vq, const struct guest_mem *mem,
	      struct virtq_chain *chain);

/**
 * virtq_push - return a chain
 * @vq: the queue
 * @head: its head
 * @len: bytes written to it
 */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t len);

/**
 * virtq_should_signal - whether the guest wants an interrupt
 * @vq: the queue
 *
 * For what was pushed since the last call.
 */
bool virtq_should_signal(struct virtq *vq);

/**
 * virtq_arm - ask the guest to kick when it adds the next chain
 * @vq: the queue
 *
 * Return: false if there is a chain already, for which no kick may come.
 */
bool virtq_arm(struct virtq *vq);

/**
 * virtq_guest_used_idx - the index of the used ring as it is in guest memory
 * @vq: the queue
 */
uint16_t virtq_guest_used_idx(const struct virtq *vq);

#endif
