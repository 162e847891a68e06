// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzer of queues: what a guest can write to its rings and descriptors, and
 * when a front-end can start and stop them. An input is a list of steps.
 *
 * The memory is one file of two regions which touch, with a page before and one
 * behind that are not the guest's; and a region that is not for use.
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"
#include "input.h"
#include "vhost/queue.h"

#define PAGE 4096
#define REGION (32 << 10)
#define BASE UINT64_C(0x100000000)
#define USER UINT64_C(0x7f0000000000)
#define FOREIGN (BASE + (1 << 20))

/* Where things are in the first region, unless the input says otherwise. */
#define AVAIL 0x4000
#define USED 0x5000
/* In the second one: tables of indirect descriptors. */
#define INDIRECT REGION

#define STEPS 256
#define TICKETS 16

static char *bytes;
static char *host[2];
/* With both regions, with the first, with none. */
static struct guest_mem *tables[3];
static int kick = -1;

static struct queue queue;
static struct queue_ticket *tickets[TICKETS];

static void add_region(struct guest_mem **mem, uint64_t guest, uint64_t size,
		       uint64_t offset, int fd, dev_t foreign)
{
	const struct guest_region_desc desc = {
		.guest_addr = guest, .size = size,
		.user_addr = USER + (guest - BASE), .mmap_offset = offset,
	};
	struct guest_mem *next;

	MUST(!guest_mem_add(*mem, &desc, fd, foreign, &next));
	guest_mem_put(*mem);
	*mem = next;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct iovec iov[2];
	struct stat st;

	(void)argc;
	(void)argv;
	log_open(LOG_LEVEL_ERROR, NULL, false);
	MUST(fd >= 0 && !ftruncate(fd, 2 * REGION + 2 * PAGE) && !fstat(fd, &st));
	bytes = mmap(NULL, 2 * REGION + 2 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, 0);
	kick = eventfd(0, EFD_CLOEXEC);
	MUST(bytes != MAP_FAILED && kick >= 0);
	bytes += PAGE;
	tables[1] = guest_mem_new();
	tables[2] = guest_mem_get(tables[1]);
	add_region(&tables[1], BASE, REGION, PAGE, fd, 0);
	tables[0] = guest_mem_get(tables[1]);
	add_region(&tables[0], BASE + REGION, REGION, PAGE + REGION, fd, 0);
	add_region(&tables[0], FOREIGN, PAGE, 0, fd, st.st_dev);
	MUST(guest_mem_map(tables[0], BASE, 2 * REGION, iov, 2) == 2);
	host[0] = iov[0].iov_base;
	host[1] = iov[1].iov_base;
	close(fd);
	return 0;
}

/* Whether memory that was found belongs to one of the regions. */
static bool inside(const void *ptr, size_t len)
{
	for (int i = 0; i < 2; i++)
		if ((const char *)ptr >= host[i] && len <= REGION &&
		    (const char *)ptr + len <= host[i] + REGION)
			return true;
	return false;
}

static uint64_t guest_address(struct input *in)
{
	uint8_t what = input_u8(in);

	if (what < 128)
		return BASE + what * 512;
	if (what < 160)
		return BASE + REGION + what - 144;
	if (what < 192)
		return BASE + 2 * REGION + what - 191;
	if (what < 208)
		return BASE + what - 200;
	if (what < 224)
		return FOREIGN + (what - 208) * 512;
	return input_number(in);
}

/* Writes one descriptor, into the table of the queue or an indirect one. */
static void write_desc(struct input *in)
{
	uint8_t at = input_u8(in);
	struct vring_desc *desc = (void *)(bytes + (at & 128 ? INDIRECT : 0));

	desc += at & 127;
	desc->addr = guest_address(in);
	desc->len = input_u32(in);
	desc->flags = input_u8(in) % 8;
	desc->next = input_u8(in);
}

static struct vring_avail *avail_ring(void)
{
	return (void *)(bytes + AVAIL);
}

static void offer(uint16_t head)
{
	struct vring_avail *avail = avail_ring();
	unsigned int size = queue.ring.size ?: 1;

	avail->ring[avail->idx % size % 1024] = head;
	avail->idx++;
}

/* Anything anywhere: the guest's memory is its own. */
static void patch(struct input *in)
{
	size_t at = input_u8(in) * 256;
	size_t len = input_u8(in) % 32;

	at += input_u8(in);
	input_bytes(in, bytes + at % (2 * REGION - len), len);
}

static void check_rings(void)
{
	const struct virtq *ring = &queue.ring;
	size_t size = ring->size;

	if (!ring->desc)
		return;
	MUST(size && size <= VIRTQ_MAX_SIZE && is_power_of_2(size));
	MUST(inside(ring->desc, size * sizeof(*ring->desc)));
	MUST(inside(ring->avail, sizeof(*ring->avail) + (size + 1) * 2));
	MUST(inside(ring->used, sizeof(*ring->used) + 2 +
		    size * sizeof(*ring->used->ring)));
	MUST((uintptr_t)ring->desc % 16 == 0 && (uintptr_t)ring->used % 4 == 0);
}

static void place_rings(struct input *in)
{
	uint8_t what = input_u8(in);
	uint64_t desc = USER, avail = USER + AVAIL, used = USER + USED;

	if (what & 1)
		desc += input_number(in);
	if (what & 2)
		avail += input_number(in);
	if (what & 4)
		used += input_number(in);
	queue_set_rings(&queue, desc, avail, used);
	check_rings();
}

/* Every piece lies in a region, and can be read and written. */
static void check_chain(struct virtq_chain *chain)
{
	unsigned int count = chain->out_count + chain->in_count;
	static char buf[1024];

	MUST(count <= VIRTQ_MAX_IOV && chain->head < queue.ring.size);
	for (unsigned int i = 0; i < count; i++)
		MUST(inside(chain->iov[i].iov_base, chain->iov[i].iov_len));
	iov_read(chain->iov, chain->out_count, buf, sizeof(buf));
}

static bool fetch(struct queue_ticket *ticket)
{
	check_chain(&ticket->chain);
	return ticket->chain.head & 1;
}

static void take(struct input *in)
{
	struct queue_ticket **slot = &tickets[input_u8(in) % TICKETS];

	if (*slot)
		return;
	*slot = malloc(sizeof(**slot));
	MUST(*slot);
	if (!queue_take(&queue, *slot, fetch)) {
		free(*slot);
		*slot = NULL;
	}
}

/* With a reply of @len bytes. */
static void give(struct queue_ticket **slot, size_t len)
{
	static char reply[256];
	struct iovec iov[2] = { { reply, len / 2 }, { reply, len - len / 2 } };

	if (!*slot)
		return;
	queue_give(*slot, iov, len ? 2 : 0, len);
	free(*slot);
	*slot = NULL;
}

/* queue_stop() waits for those that touch memory, so they go first. */
static void stop(void)
{
	uint16_t base;

	for (int i = 0; i < TICKETS; i++)
		if (tickets[i] && tickets[i]->busy)
			give(&tickets[i], 16);
	MUST(!queue.busy);
	queue_stop(&queue, &base);
}

static void step(struct input *in)
{
	struct queue_ticket **slot;
	bool anew = false;

	switch (input_u8(in) % 16) {
	case 0: case 1: case 2:
		write_desc(in);
		break;
	case 3: case 4:
		offer(input_u8(in));
		break;
	case 5: case 6:
		take(in);
		break;
	case 7:
		slot = &tickets[input_u8(in) % TICKETS];
		give(slot, input_u8(in));
		break;
	case 8:
		patch(in);
		break;
	case 9:
		stop();
		break;
	case 10:
		queue_start(&queue, dup(kick), &anew);
		break;
	case 11:
		place_rings(in);
		break;
	case 12:
		queue_set_size(&queue, input_u32(in));
		check_rings();
		break;
	case 13:
		queue_set_base(&queue, input_u32(in));
		break;
	case 14:
		queue_set_mem(&queue, tables[input_u8(in) % 3]);
		break;
	case 15:
		queue_enable(&queue, input_u8(in) & 1);
		break;
	}
}

static void begin(struct input *in)
{
	bool anew = false;

	memset(bytes, 0, 2 * REGION);
	queue_init(&queue, 0, tables[0]);
	queue_set_event_idx(&queue, input_u8(in) & 1);
	queue_set_size(&queue, 1 << input_u8(in) % 11);
	queue_set_rings(&queue, USER, USER + AVAIL, USER + USED);
	queue_set_call(&queue, dup(kick));
	queue_start(&queue, dup(kick), &anew);
	queue_enable(&queue, true);
	check_rings();
}

static void end(void)
{
	static const char zero[PAGE];

	stop();
	for (int i = 0; i < TICKETS; i++)
		give(&tickets[i], 0);
	MUST(!queue.busy);
	queue_destroy(&queue);
	/* Nothing was written beside the regions. */
	MUST(!memcmp(bytes - PAGE, zero, PAGE));
	MUST(!memcmp(bytes + 2 * REGION, zero, PAGE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	begin(&in);
	for (int i = 0; in.left && i < STEPS; i++)
		step(&in);
	end();
	return 0;
}
