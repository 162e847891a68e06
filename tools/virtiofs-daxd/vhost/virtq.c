// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/virtq.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stddef.h>

/* All fields of rings are little-endian (VIRTIO_F_VERSION_1). */
static uint16_t ring_load16(const uint16_t *field)
{
	return le16toh(__atomic_load_n(field, __ATOMIC_RELAXED));
}

static void ring_store16(uint16_t *field, uint16_t value)
{
	__atomic_store_n(field, htole16(value), __ATOMIC_RELAXED);
}

/* The events lie behind the last entry of the other ring. */
static uint16_t *virtq_used_event(const struct virtq *vq)
{
	return &vq->avail->ring[vq->size];
}

static uint16_t *virtq_avail_event(const struct virtq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

/*
 * The place of a ring here, or NULL. The front-end's addresses and ours need not
 * be aligned alike: that depends on where the region starts in its file.
 */
static void *ring_ptr(const struct guest_mem *mem, uint64_t addr,
		      unsigned int align, uint64_t len)
{
	void *ptr = guest_mem_user_ptr(mem, addr, len);

	return addr % align || (uintptr_t)ptr % align ? NULL : ptr;
}

int virtq_place(struct virtq *vq, const struct guest_mem *mem, uint64_t desc,
		uint64_t avail, uint64_t used)
{
	struct virtq placed = *vq;
	uint64_t size = vq->size;

	placed.desc = ring_ptr(mem, desc, VRING_DESC_ALIGN_SIZE,
			       size * sizeof(struct vring_desc));
	placed.avail = ring_ptr(mem, avail, VRING_AVAIL_ALIGN_SIZE,
				sizeof(struct vring_avail) +
				(size + 1) * sizeof(uint16_t));
	placed.used = ring_ptr(mem, used, VRING_USED_ALIGN_SIZE,
			       sizeof(struct vring_used) +
			       size * sizeof(struct vring_used_elem) +
			       sizeof(uint16_t));
	if (!placed.desc || !placed.avail || !placed.used)
		return -EINVAL;
	*vq = placed;
	return 0;
}

void virtq_follow(struct virtq *vq, const struct guest_mem *mem)
{
	struct iovec rings[] = {
		{ .iov_base = vq->desc },
		{ .iov_base = vq->avail },
		{ .iov_base = vq->used },
	};

	guest_mem_follow(mem, rings, 3);
	vq->desc = rings[0].iov_base;
	vq->avail = rings[1].iov_base;
	vq->used = rings[2].iov_base;
}

/*
 * Enters the memory of one descriptor. A piece that does not fit or is no
 * memory marks the chain; the rest is still walked, as there may be a place
 * for an error reply in it.
 */
static void chain_add(struct virtq_chain *chain, const struct guest_mem *mem,
		      const struct vring_desc *desc)
{
	bool write = le16toh(desc->flags) & VRING_DESC_F_WRITE;
	unsigned int used = chain->out_count + chain->in_count;
	int n;

	/* Readable ones come first: a later one would shift the others. */
	if (!write && chain->in_count) {
		chain->fault = true;
		return;
	}
	/* Behind a hole in its own direction nothing has its right offset. */
	if (chain->fault && (!write || chain->in_count))
		return;
	n = guest_mem_map(mem, le64toh(desc->addr), le32toh(desc->len),
			  chain->iov + used, VIRTQ_MAX_IOV - used);
	if (n < 0)
		chain->fault = true;
	else if (write)
		chain->in_count += n;
	else
		chain->out_count += n;
}

/* Copies the table of an indirect descriptor out of the guest's reach. */
static int indirect_load(const struct guest_mem *mem,
			 const struct vring_desc *desc, unsigned int limit,
			 struct vring_desc *table)
{
	uint32_t len = le32toh(desc->len);
	unsigned int count = len / sizeof(*table);
	struct iovec iov[4];
	size_t done = 0;
	int n;

	if (!len || len % sizeof(*table) || count > limit)
		return -EINVAL;
	n = guest_mem_map(mem, le64toh(desc->addr), len, iov, 4);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		__builtin_memcpy((char *)table + done, iov[i].iov_base,
				 iov[i].iov_len);
		done += iov[i].iov_len;
	}
	return count;
}

static void chain_walk(struct virtq_chain *chain, const struct guest_mem *mem,
		       const struct vring_desc *table, unsigned int count,
		       unsigned int index, struct vring_desc *indirect)
{
	/* A chain that is longer than its table runs in a circle. */
	for (unsigned int steps = 0; steps < count; steps++) {
		struct vring_desc desc;
		uint16_t flags;

		desc = *(const volatile struct vring_desc *)&table[index];
		chain->entries += indirect != NULL;
		flags = le16toh(desc.flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			int n;

			if (!indirect || flags & VRING_DESC_F_NEXT)
				break;
			n = indirect_load(mem, &desc, VIRTQ_MAX_SIZE, indirect);
			if (n < 0)
				break;
			chain_walk(chain, mem, indirect, n, 0, NULL);
			return;
		}
		chain_add(chain, mem, &desc);
		if (!(flags & VRING_DESC_F_NEXT))
			return;
		index = le16toh(desc.next);
		if (index >= count)
			break;
	}
	chain->fault = true;
}

int virtq_pop(struct virtq *vq, const struct guest_mem *mem,
	      struct virtq_chain *chain)
{
	struct vring_desc indirect[VIRTQ_MAX_SIZE];
	uint16_t pending, head;

	pending = ring_load16(&vq->avail->idx) - vq->last_avail;
	if (!pending)
		return 0;
	if (pending > vq->size)
		return -EPROTO;
	/* Pairs with the guest's barrier before it moves avail->idx. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	head = ring_load16(&vq->avail->ring[vq->last_avail % vq->size]);
	if (head >= vq->size)
		return -EPROTO;
	vq->last_avail++;
	chain->head = head;
	chain->fault = false;
	chain->entries = 0;
	chain->out_count = 0;
	chain->in_count = 0;
	chain_walk(chain, mem, vq->desc, vq->size, head, indirect);
	return 1;
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &vq->used->ring[vq->used_idx % vq->size];

	elem->id = htole32(head);
	elem->len = htole32(len);
	/* The entry and the reply must be there before the index says so. */
	__atomic_store_n(&vq->used->idx, htole16(++vq->used_idx),
			 __ATOMIC_RELEASE);
}

bool virtq_should_signal(struct virtq *vq)
{
	uint16_t before = vq->signalled_used;
	uint16_t event;

	/* The new index first, then the guest's wish: it does the reverse. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	vq->signalled_used = vq->used_idx;
	if (!vq->event_idx)
		return !(ring_load16(&vq->avail->flags) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	event = ring_load16(virtq_used_event(vq));
	return vring_need_event(event, vq->used_idx, before);
}

bool virtq_arm(struct virtq *vq)
{
	/* Without events kicks are never switched off. */
	if (vq->event_idx)
		ring_store16(virtq_avail_event(vq), vq->last_avail);
	/* The wish first, then the index: the guest does the reverse. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_load16(&vq->avail->idx) == vq->last_avail;
}

uint16_t virtq_guest_used_idx(const struct virtq *vq)
{
	return ring_load16(&vq->used->idx);
}
