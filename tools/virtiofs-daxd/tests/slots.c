// SPDX-License-Identifier: GPL-2.0-or-later
#include "slots.h"

#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Where the slots are in guest memory, and how much each takes. */
#define SLOTS (8 << 20)
#define SLOT_BYTES 4096
#define SLOT_OUT 2048
#define SLOT_TABLE 3072

static struct {
	uint64_t unique;
	bool answered;
} slots[FE_QUEUE_SIZE];
static uint64_t last_unique = 1 << 20;

void slots_reset(void)
{
	memset(slots, 0, sizeof(slots));
}

static char *slot_ptr(struct frontend *fe, unsigned int slot)
{
	return fe->memory + SLOTS + slot * SLOT_BYTES;
}

static struct vring_desc slot_piece(struct frontend *fe, unsigned int slot,
				    unsigned int piece, size_t len)
{
	char *ptr = slot_ptr(fe, slot);

	switch (piece) {
	case 0:
		return (struct vring_desc){ fe_addr(fe, ptr), len,
					    VRING_DESC_F_NEXT, 1 };
	case 1:
		return (struct vring_desc){ fe_addr(fe, ptr + SLOT_OUT),
			sizeof(struct fuse_out_header),
			VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2 };
	default:
		return (struct vring_desc){ fe_addr(fe, ptr + SLOT_OUT + 16),
			SLOT_BODY, VRING_DESC_F_WRITE, 0 };
	}
}

static void slot_submit(struct frontend *fe, unsigned int slot,
			unsigned int queue, unsigned int entries, size_t len)
{
	struct vring_desc *table = (void *)(slot_ptr(fe, slot) + SLOT_TABLE);

	for (unsigned int i = 0; i < 3; i++) {
		struct vring_desc d = slot_piece(fe, slot, i, len);

		table[i] = d;
		if (entries == 3)
			fe_desc(fe, queue, slot + i, d.addr, d.len, d.flags,
				slot + i + 1);
	}
	if (entries == 1)
		fe_desc(fe, queue, slot, fe_addr(fe, table), 3 * sizeof(*table),
			VRING_DESC_F_INDIRECT, 0);
	fe_submit(fe, queue, slot);
}

void slot_ask(struct frontend *fe, unsigned int slot, unsigned int queue,
	      unsigned int entries, uint32_t opcode, uint64_t nodeid,
	      const void *body, size_t len)
{
	struct fuse_in_header *header = (void *)slot_ptr(fe, slot);

	slots[slot].unique = last_unique += 2;
	slots[slot].answered = false;
	*header = (struct fuse_in_header){
		.len = sizeof(*header) + len,
		.opcode = opcode,
		.unique = slots[slot].unique,
		.nodeid = nodeid,
		.pid = 1000 + slot,
	};
	memcpy(header + 1, body, len);
	slot_submit(fe, slot, queue, entries, header->len);
}

uint64_t slot_unique(unsigned int slot)
{
	return slots[slot].unique;
}

uint64_t slot_next_unique(void)
{
	return last_unique + 2;
}

static void slots_collect(struct frontend *fe)
{
	for (unsigned int queue = 0; queue < FE_QUEUES; queue++)
		while (fe_pending(fe, queue) && fe_complete(fe, queue) >= 0)
			slots[fe->queues[queue].head].answered = true;
}

static int slot_error(struct frontend *fe, unsigned int slot)
{
	const struct fuse_out_header *out =
		(void *)(slot_ptr(fe, slot) + SLOT_OUT);

	slots_collect(fe);
	return slots[slot].answered ? -out->error : SLOT_NO_ANSWER;
}

int slot_wait(struct frontend *fe, unsigned int slot, unsigned int ms)
{
	for (unsigned int i = 0; i < ms; i++) {
		if (slot_error(fe, slot) != SLOT_NO_ANSWER)
			break;
		usleep(1000);
	}
	return slot_error(fe, slot);
}

const void *slot_body(struct frontend *fe, unsigned int slot)
{
	return slot_ptr(fe, slot) + SLOT_OUT + sizeof(struct fuse_out_header);
}

unsigned int slots_count(struct frontend *fe, unsigned int first,
			 unsigned int end, int error)
{
	unsigned int n = 0;

	for (unsigned int slot = first; slot < end; slot++)
		n += slots[slot].unique && slot_error(fe, slot) == error;
	return n;
}

void slot_lock(struct frontend *fe, unsigned int slot, uint32_t opcode,
	       uint64_t fh, uint64_t owner, uint32_t type, uint32_t flags)
{
	const struct fuse_lk_in in = {
		.fh = fh,
		.owner = owner,
		.lk = { .start = 0, .end = 99, .type = type },
		.lk_flags = flags,
	};

	slot_ask(fe, slot, SLOT_REQUESTS, 1, opcode, FUSE_ROOT_ID, &in,
		 sizeof(in));
}

void slot_interrupt(struct frontend *fe, unsigned int slot, unsigned int queue,
		    uint64_t unique)
{
	const struct fuse_interrupt_in in = { .unique = unique };

	slot_ask(fe, slot, queue, 1, FUSE_INTERRUPT, 0, &in, sizeof(in));
}

int hold_opens(struct frontend *fe, const char *name)
{
	int fd = open(fe_path(fe, name), O_RDONLY | O_CLOEXEC);

	signal(SIGIO, SIG_IGN);
	if (fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void slot_open(struct frontend *fe, unsigned int slot, uint64_t nodeid)
{
	const struct fuse_open_in in = { .flags = O_RDWR };

	slot_ask(fe, slot, SLOT_REQUESTS, 1, FUSE_OPEN, nodeid, &in,
		 sizeof(in));
}
