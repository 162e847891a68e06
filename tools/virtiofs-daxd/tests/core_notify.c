// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Notifications by a queue of their own, without a daemon: what a guest that has no
 * buffers, or strange ones, makes of them.
 */
#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../guest_mem.h"
#include "../notify.h"
#include "../queue.h"
#include "fs_tap.h"

#define BASE UINT64_C(0x100000000)
#define SIZE (1 << 20)
#define ENTRIES 16
#define BUFFERS 65536
#define INC_EPOCH 8

static struct guest_mem *mem;
static char *bytes;
static struct queue queue;
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;
static uint16_t seen;

/* As the front-end starts it, the first time or once more. */
static bool start(uint16_t base)
{
	bool anew = false;

	notify_negotiated(true);
	queue_enable(&queue, true);
	return !queue_set_size(&queue, ENTRIES) &&
	       !queue_set_base(&queue, base) &&
	       !queue_set_rings(&queue, (uintptr_t)desc, (uintptr_t)avail,
				(uintptr_t)used) &&
	       !queue_start(&queue, eventfd(0, 0), &anew);
}

static bool set_up(void)
{
	struct guest_region_desc region = { .guest_addr = BASE, .size = SIZE };
	struct guest_mem *empty = guest_mem_new();
	int fd = memfd_create("memory", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, SIZE))
		return false;
	bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	region.user_addr = (uintptr_t)bytes;
	if (guest_mem_add(empty, &region, fd, false, &mem))
		return false;
	guest_mem_put(empty);
	close(fd);
	desc = (void *)bytes;
	avail = (void *)(bytes + 4096);
	used = (void *)(bytes + 8192);
	seen = 0;
	queue_init(&queue, 1, mem);
	notify_open(&queue);
	return start(0);
}

static void tear_down(void)
{
	notify_negotiated(false);
	notify_open(NULL);
	queue_destroy(&queue);
	guest_mem_put(mem);
	munmap(bytes, SIZE);
}

static void offer(uint32_t len)
{
	unsigned int i = avail->idx % ENTRIES;

	desc[i] = (struct vring_desc){ BASE + BUFFERS + i * 1024, len,
				       VRING_DESC_F_WRITE, 0 };
	avail->ring[i] = i;
	avail->idx++;
}

/* The next message, or one that says nothing. */
static struct fuse_out_header *told(void)
{
	static struct fuse_out_header nothing;

	if (seen == used->idx)
		return &nothing;
	return (void *)(bytes + BUFFERS +
			used->ring[seen++ % ENTRIES].id * 1024);
}

static struct fuse_notify_inval_inode_out *body(struct fuse_out_header *header)
{
	return (void *)(header + 1);
}

/* A guest that is stopped is told when it goes on. */
static void a_stop_loses_nothing(void)
{
	struct fuse_out_header *header;
	uint16_t base;

	CHECK(set_up());
	offer(512);
	CHECK(!queue_stop(&queue, &base));
	notify_inval_inode(7, 4096, 4096);
	CHECK(used->idx == 0);
	CHECK(start(base) && queue_refilled(&queue));
	header = told();
	CHECK(header->error == FUSE_NOTIFY_INVAL_INODE &&
	      body(header)->ino == 7 && body(header)->off == 4096);
	/* What was too much, too. */
	for (unsigned int i = 0; i <= NOTIFY_MAX_WAITING; i++)
		notify_inval_inode(10 + i, 0, 0);
	CHECK(!queue_stop(&queue, &base) && start(base));
	offer(512);
	CHECK(queue_refilled(&queue) && told()->error == INC_EPOCH);
	tear_down();
}

/* A guest that has forgotten is told nothing of before. */
static void a_reset_forgets(void)
{
	uint16_t base;

	CHECK(set_up());
	notify_inval_inode(7, 0, 0);
	notify_forget();
	offer(512);
	CHECK(queue_refilled(&queue) && used->idx == 0);
	CHECK(!queue_stop(&queue, &base));
	notify_inval_inode(7, 0, 0);
	notify_negotiated(false);
	CHECK(!queue_refilled(&queue) && !notify_active());
	CHECK(start(base) && queue_refilled(&queue) && used->idx == 0);
	tear_down();
}

/* A guest that gives no buffers does not make us keep more and more. */
static void what_waits_is_bounded(void)
{
	CHECK(set_up());
	for (unsigned int i = 0; i < 4 * NOTIFY_MAX_WAITING; i++)
		notify_inval_inode(1 + i, 0, 0);
	for (unsigned int i = 0; i < ENTRIES; i++)
		offer(512);
	CHECK(queue_refilled(&queue) && used->idx == 1);
	CHECK(told()->error == INC_EPOCH);
	notify_inval_inode(7, 0, 0);
	CHECK(told()->error == FUSE_NOTIFY_INVAL_INODE);
	tear_down();
}

/* What does not fit is not said in part, nor lost: all is to be asked anew. */
static void strange_buffers(void)
{
	CHECK(set_up());
	offer(20);
	notify_inval_inode(7, 0, 0);
	CHECK(used->idx == 1 && used->ring[0].len == 0);
	seen = 1;
	offer(20);
	CHECK(queue_refilled(&queue) && told()->error == INC_EPOCH);
	/* Too small for anything, and then one that cannot be. */
	offer(15);
	notify_inval_inode(7, 0, 0);
	offer(512);
	desc[(avail->idx - 1) % ENTRIES].addr = 0;
	CHECK(queue_refilled(&queue) && used->idx == 4);
	seen = 4;
	offer(512);
	CHECK(queue_refilled(&queue) && told()->error == INC_EPOCH);
	/* A ring that makes no sense is left alone. */
	avail->idx += ENTRIES + 1;
	notify_inval_inode(7, 0, 0);
	CHECK(queue_refilled(&queue) && used->idx == 5);
	tear_down();
}

static bool no_fetch(struct queue_ticket *ticket)
{
	(void)ticket;
	return false;
}

/* Who looks for requests may do so just when it is agreed that there are none. */
static void no_request_is_taken(void)
{
	struct queue_ticket ticket;

	CHECK(set_up());
	offer(512);
	CHECK(!queue_take(&queue, &ticket, no_fetch));
	notify_inval_inode(7, 0, 0);
	CHECK(told()->error == FUSE_NOTIFY_INVAL_INODE);
	tear_down();
}

static const struct fs_test tests[] = {
	TEST(a_stop_loses_nothing),
	TEST(a_reset_forgets),
	TEST(what_waits_is_bounded),
	TEST(strange_buffers),
	TEST(no_request_is_taken),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
