// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory tables, rings and queues, without a daemon.
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_tap.h"
#include "vhost/guest_mem.h"
#include "vhost/queue.h"

#define BASE UINT64_C(0x100000000)
#define SIZE (1 << 20)
#define ENTRIES 16

static struct guest_mem *mem;
static char *bytes;
static struct virtq vq;
static struct virtq_chain chain;

static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;

/* Two regions side by side, then a hole, then one that is not for use. */
static bool set_up(void)
{
	struct guest_region_desc region = { .size = SIZE / 2 };
	struct guest_mem *next;
	int fd = memfd_create("memory", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, SIZE))
		return false;
	bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mem = guest_mem_new();
	for (int i = 0; i < 2; i++) {
		region.guest_addr = BASE + i * (SIZE / 2);
		region.user_addr = (uintptr_t)bytes + i * (SIZE / 2);
		region.mmap_offset = i * (SIZE / 2);
		if (guest_mem_add(mem, &region, fd, false, &next))
			return false;
		guest_mem_put(mem);
		mem = next;
	}
	region.guest_addr = BASE + 2 * SIZE;
	region.user_addr = (uintptr_t)bytes + 2 * SIZE;
	if (guest_mem_add(mem, &region, fd, true, &next))
		return false;
	guest_mem_put(mem);
	mem = next;
	close(fd);
	desc = (void *)bytes;
	avail = (void *)(bytes + 4096);
	used = (void *)(bytes + 8192);
	vq = (struct virtq){ .size = ENTRIES };
	return !virtq_place(&vq, mem, (uintptr_t)desc, (uintptr_t)avail,
			    (uintptr_t)used);
}

static void tear_down(void)
{
	guest_mem_put(mem);
	munmap(bytes, SIZE);
}

static void offer(uint16_t head)
{
	avail->ring[avail->idx % ENTRIES] = head;
	avail->idx++;
}

static void set(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	desc[i] = (struct vring_desc){ addr, len, flags, next };
}

/* A region may start anywhere in its file, so rings must be aligned here too. */
static void misaligned_rings(void)
{
	const struct guest_region_desc odd = {
		.guest_addr = BASE, .size = SIZE / 2, .user_addr = BASE,
		.mmap_offset = 1 };
	struct guest_mem *empty = guest_mem_new(), *table;
	int fd = memfd_create("odd", MFD_CLOEXEC);
	struct virtq queue = { .size = ENTRIES };

	CHECK(empty && !ftruncate(fd, SIZE));
	CHECK(!guest_mem_add(empty, &odd, fd, 0, &table));
	CHECK(virtq_place(&queue, table, BASE, BASE + 4096, BASE + 8192) ==
	      -EINVAL);
	CHECK(!queue.desc && !queue.avail && !queue.used);
	guest_mem_put(table);
	guest_mem_put(empty);
	close(fd);
}

static void addresses(void)
{
	const struct guest_region_desc twice = {
		.guest_addr = BASE + SIZE - 1, .size = 4096 };
	const struct guest_region_desc wraps = {
		.guest_addr = UINT64_MAX - 10, .size = 4096 };
	const struct guest_region_desc none = { .guest_addr = BASE,
		.size = 4096 };
	struct guest_mem *next;
	struct iovec iov[4];

	CHECK(set_up());
	CHECK(guest_mem_map(mem, BASE, SIZE, iov, 4) == 2);
	CHECK(iov[0].iov_len == SIZE / 2 && iov[1].iov_len == SIZE / 2);
	memset(bytes, 'a', 1);
	CHECK(*(char *)iov[0].iov_base == 'a');
	CHECK(guest_mem_map(mem, BASE, SIZE, iov, 1) == -E2BIG);
	CHECK(guest_mem_map(mem, BASE, SIZE + 1, iov, 4) == -EFAULT);
	CHECK(guest_mem_map(mem, BASE - 1, 2, iov, 4) == -EFAULT);
	CHECK(guest_mem_map(mem, BASE, UINT64_MAX, iov, 4) == -EFAULT);
	CHECK(guest_mem_map(mem, UINT64_MAX - 3, 8, iov, 4) == -EFAULT);
	CHECK(guest_mem_map(mem, BASE + 2 * SIZE, 8, iov, 4) == -EFAULT);
	CHECK(guest_mem_map(mem, BASE + 5 * SIZE, 0, iov, 4) == 0);
	CHECK(guest_mem_add(mem, &twice, 0, false, &next) == -EEXIST);
	CHECK(guest_mem_add(mem, &wraps, 0, false, &next) == -EINVAL);
	CHECK(guest_mem_remove(mem, &none, &next) == -ENOENT);
	tear_down();
}

/* A file that is shorter than its region would be a SIGBUS later. */
static void short_files_are_refused(void)
{
	const struct guest_region_desc region = {
		.guest_addr = 4096, .size = 8192, .user_addr = 4096 };
	struct guest_mem *next;
	int fd = memfd_create("short", MFD_CLOEXEC);

	CHECK(set_up());
	CHECK(!ftruncate(fd, 8191));
	CHECK(guest_mem_add(mem, &region, fd, false, &next) == -EINVAL);
	CHECK(!ftruncate(fd, 8192));
	CHECK(guest_mem_add(mem, &region, fd, false, &next) == 0);
	guest_mem_put(next);
	close(fd);
	tear_down();
}

static void rings_outside_memory(void)
{
	struct virtq bad = { .size = ENTRIES };
	uintptr_t end = (uintptr_t)bytes + SIZE;

	CHECK(set_up());
	end = (uintptr_t)bytes + SIZE;
	CHECK(virtq_place(&bad, mem, end - 256, (uintptr_t)avail,
			  (uintptr_t)used) == 0);
	CHECK(virtq_place(&bad, mem, end - 240, (uintptr_t)avail,
			  (uintptr_t)used) == -EINVAL);
	CHECK(virtq_place(&bad, mem, (uintptr_t)desc, end - 36,
			  (uintptr_t)used) == -EINVAL);
	CHECK(virtq_place(&bad, mem, (uintptr_t)desc, (uintptr_t)avail,
			  end - 132) == -EINVAL);
	CHECK(virtq_place(&bad, mem, (uintptr_t)desc + 8, (uintptr_t)avail,
			  (uintptr_t)used) == -EINVAL);
	CHECK(virtq_place(&bad, mem, 0, 0, 0) == -EINVAL);
	tear_down();
}

static void plain_chain(void)
{
	CHECK(set_up());
	CHECK(virtq_pop(&vq, mem, &chain) == 0);
	set(3, BASE + 16384, 100, VRING_DESC_F_NEXT, 5);
	set(5, BASE + 20000, 200, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	set(1, BASE + SIZE / 2 - 10, 20, VRING_DESC_F_WRITE, 0);
	offer(3);
	CHECK(virtq_pop(&vq, mem, &chain) == 1);
	CHECK(!chain.fault && chain.head == 3);
	CHECK(chain.out_count == 1 && chain.in_count == 3);
	bytes[16384 + 99] = 'z';
	CHECK(chain.iov[0].iov_len == 100 &&
	      ((char *)chain.iov[0].iov_base)[99] == 'z');
	CHECK(virtq_chain_in(&chain)[1].iov_len == 10);
	virtq_push(&vq, chain.head, 77);
	CHECK(used->idx == 1 && used->ring[0].id == 3 &&
	      used->ring[0].len == 77);
	tear_down();
}

static void indirect_chain(void)
{
	struct vring_desc *table = (void *)(bytes + 32768);

	CHECK(set_up());
	table = (void *)(bytes + 32768);
	for (int i = 0; i < 40; i++)
		table[i] = (struct vring_desc){ BASE + 65536 + i, 1,
			(i < 39 ? VRING_DESC_F_NEXT : 0) |
			(i > 19 ? VRING_DESC_F_WRITE : 0), i + 1 };
	set(0, BASE + 32768, 40 * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1);
	CHECK(!chain.fault && chain.out_count == 20 && chain.in_count == 20);
	/* A table in itself, and tables of no proper length. */
	table[0].flags = VRING_DESC_F_INDIRECT;
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	set(0, BASE + 32768, 0, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	set(0, BASE + 32768, 33, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	set(0, BASE + 32768, (VIRTQ_MAX_SIZE + 1) * 16, VRING_DESC_F_INDIRECT,
	    0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	set(0, BASE + SIZE - 16, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	tear_down();
}

static void bad_chains(void)
{
	CHECK(set_up());
	/* In a circle. */
	set(0, BASE, 8, VRING_DESC_F_NEXT, 1);
	set(1, BASE, 8, VRING_DESC_F_NEXT, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	/* To an entry that does not exist. */
	set(0, BASE, 8, VRING_DESC_F_NEXT, ENTRIES);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	/* Readable after writable. */
	set(0, BASE, 8, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	set(1, BASE, 8, 0, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	/* Outside: what follows in the other direction is still known. */
	set(0, 0, 8, VRING_DESC_F_NEXT, 1);
	set(1, BASE, 8, VRING_DESC_F_NEXT, 2);
	set(2, BASE, 16, VRING_DESC_F_WRITE, 0);
	offer(0);
	CHECK(virtq_pop(&vq, mem, &chain) == 1 && chain.fault);
	CHECK(chain.out_count == 0 && chain.in_count == 1);
	tear_down();
}

static void bad_rings(void)
{
	CHECK(set_up());
	offer(ENTRIES);
	CHECK(virtq_pop(&vq, mem, &chain) == -EPROTO);
	/* More than the ring can hold, though all heads exist. */
	memset(avail->ring, 0, ENTRIES * sizeof(avail->ring[0]));
	avail->idx = vq.last_avail + ENTRIES + 1;
	CHECK(virtq_pop(&vq, mem, &chain) == -EPROTO);
	tear_down();
}

static void signals(void)
{
	CHECK(set_up());
	virtq_push(&vq, 0, 0);
	CHECK(virtq_should_signal(&vq));
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&vq, 0, 0);
	CHECK(!virtq_should_signal(&vq));
	vq.event_idx = true;
	avail->ring[ENTRIES] = 3;
	virtq_push(&vq, 0, 0);
	CHECK(!virtq_should_signal(&vq));
	virtq_push(&vq, 0, 0);
	CHECK(virtq_should_signal(&vq));
	/* Kicks are wanted for the next entry, unless it is there. */
	CHECK(virtq_arm(&vq));
	CHECK(*(uint16_t *)&used->ring[ENTRIES] == vq.last_avail);
	offer(0);
	CHECK(!virtq_arm(&vq));
	tear_down();
}

static bool inside(const struct iovec *iov)
{
	const char *start = iov->iov_base;

	/* The table has its own mapping of the memory: compare by use. */
	return iov->iov_len <= SIZE &&
	       (iov->iov_len == 0 || start[0] == start[0]) &&
	       (iov->iov_len == 0 || start[iov->iov_len - 1] ==
		start[iov->iov_len - 1]);
}

/* Whatever the ring says, what comes out is memory, and not too much of it. */
static void random_rings(void)
{
	CHECK(set_up());
	srandom(4711);
	for (int i = 0; i < 200000; i++) {
		for (unsigned int j = 0; j < ENTRIES; j++)
			set(j, random() % 3 ? BASE + random() % SIZE :
			    (uint64_t)random() << 32 | random(),
			    random() % 3 ? random() % 5000 : random(),
			    random() % 8, random() % (ENTRIES + 2));
		vq.last_avail = avail->idx;
		offer(random() % ENTRIES);
		CHECK(virtq_pop(&vq, mem, &chain) == 1);
		CHECK(chain.out_count + chain.in_count <= VIRTQ_MAX_IOV);
		for (unsigned int j = 0; j < chain.out_count + chain.in_count;
		     j++)
			CHECK(inside(&chain.iov[j]));
	}
	tear_down();
}

static bool no_fetch(struct queue_ticket *ticket)
{
	(void)ticket;
	return false;
}

static bool queue_set_up(struct queue *queue)
{
	bool anew = false;

	queue_init(queue, 0, mem);
	queue_enable(queue, true);
	return !queue_set_size(queue, ENTRIES) && !queue_set_base(queue, 0) &&
	       !queue_set_rings(queue, (uintptr_t)desc, (uintptr_t)avail,
				(uintptr_t)used) &&
	       !queue_start(queue, eventfd(0, 0), &anew) && anew;
}

static struct vring_desc *desc_here(void)
{
	return guest_mem_user_ptr(mem, (uintptr_t)desc, sizeof(*desc));
}

static void queue_needs_all(void)
{
	struct queue queue;
	bool anew = false;
	uint16_t base;

	CHECK(set_up());
	queue_init(&queue, 0, mem);
	CHECK(queue_set_rings(&queue, (uintptr_t)desc, (uintptr_t)avail,
			      (uintptr_t)used) == -EINVAL);
	CHECK(queue_set_size(&queue, 3) == -EINVAL);
	CHECK(queue_set_size(&queue, 2048) == -EINVAL);
	CHECK(queue_set_size(&queue, 0) == -EINVAL);
	CHECK(queue_set_size(&queue, ENTRIES) == 0);
	CHECK(queue_set_base(&queue, 65536) == -EINVAL);
	CHECK(queue_start(&queue, eventfd(0, 0), &anew) == -EINVAL);
	queue_destroy(&queue);
	CHECK(queue_set_up(&queue));
	CHECK(queue_set_size(&queue, ENTRIES) == -EINVAL);
	CHECK(queue_set_rings(&queue, (uintptr_t)desc, (uintptr_t)avail,
			      (uintptr_t)used) == -EINVAL);
	CHECK(queue.ring.desc == desc_here() && !queue.broken);
	CHECK(queue_start(&queue, eventfd(0, 0), &anew) == -EINVAL);
	CHECK(queue_stop(&queue, &base) == 0);
	/* Refused ones leave the old ones in place. */
	CHECK(queue_set_rings(&queue, 1, 2, 3) == -EINVAL);
	CHECK(queue.ring.desc == desc_here() && !queue.broken);
	queue_destroy(&queue);
	tear_down();
}

/* A chain that comes back to a stopped queue is returned when it goes on. */
static void late_replies(void)
{
	struct iovec reply = { "late", 4 };
	struct queue_ticket ticket;
	struct queue queue;
	bool anew = false;
	uint16_t base;

	CHECK(set_up());
	set(0, BASE + 16384, 8, VRING_DESC_F_WRITE, 0);
	CHECK(queue_set_up(&queue));
	CHECK(!queue_take(&queue, &ticket, no_fetch));
	offer(0);
	CHECK(queue_take(&queue, &ticket, no_fetch));
	CHECK(queue_stop(&queue, &base) == 0 && base == 1);
	queue_give(&ticket, &reply, 1, 0);
	CHECK(used->idx == 0 && bytes[16384] == 0);
	CHECK(queue_set_base(&queue, 1) == 0);
	CHECK(queue_start(&queue, eventfd(0, 0), &anew) == 0 && !anew);
	CHECK(used->idx == 1 && used->ring[0].len == 4);
	CHECK(!memcmp(bytes + 16384, "late", 4));
	/* After a reset it is not. */
	offer(0);
	CHECK(queue_take(&queue, &ticket, no_fetch));
	CHECK(queue_stop(&queue, &base) == 0 && base == 2);
	memset(bytes, 0, 20000);
	CHECK(queue_set_base(&queue, 0) == 0);
	CHECK(queue_start(&queue, eventfd(0, 0), &anew) == 0 && anew);
	queue_give(&ticket, &reply, 1, 0);
	CHECK(used->idx == 0 && bytes[16384] == 0);
	queue_destroy(&queue);
	tear_down();
}

static bool busy_fetch(struct queue_ticket *ticket)
{
	(void)ticket;
	return true;
}

static void *stop_thread(void *arg)
{
	static uint16_t base;

	return queue_stop(arg, &base) ? NULL : &base;
}

/* Who touches guest memory is waited for: it may be given away after a stop. */
static void stop_waits_for_the_busy(void)
{
	struct queue_ticket ticket;
	struct queue queue;
	pthread_t thread;
	void *base;

	CHECK(set_up());
	set(0, BASE + 16384, 8, VRING_DESC_F_WRITE, 0);
	CHECK(queue_set_up(&queue));
	offer(0);
	CHECK(queue_take(&queue, &ticket, busy_fetch));
	CHECK(!pthread_create(&thread, NULL, stop_thread, &queue));
	usleep(100000);
	CHECK(pthread_tryjoin_np(thread, &base) == EBUSY);
	queue_give(&ticket, NULL, 0, 0);
	CHECK(!pthread_join(thread, &base) && base && *(uint16_t *)base == 1);
	CHECK(used->idx == 1);
	queue_destroy(&queue);
	tear_down();
}

/* What any code of ours does to stop a queue whose takers do not come back. */
static bool take_away(struct queue *queue)
{
	struct guest_mem *moved;

	if (guest_mem_move())
		return false;
	moved = guest_mem_moved(mem);
	if (!moved)
		return false;
	guest_mem_put(mem);
	mem = moved;
	queue_move(queue, mem);
	return !guest_mem_close();
}

/* Who touches guest memory for too long loses it; the reply arrives all the same. */
static void stop_gives_up_the_busy(void)
{
	struct iovec reply = { "late", 4 };
	struct queue_ticket ticket, other;
	struct queue queue;
	bool anew = false;
	uint16_t base = 0;
	int zero[2];

	CHECK(set_up() && !pipe(zero));
	set(0, BASE + 16384, 8, VRING_DESC_F_WRITE, 0);
	set(1, BASE + SIZE / 2, 8, VRING_DESC_F_WRITE, 0);
	CHECK(queue_set_up(&queue));
	offer(0);
	CHECK(queue_take(&queue, &ticket, busy_fetch));
	offer(1);
	CHECK(queue_take(&queue, &other, no_fetch));
	CHECK(queue_stop(&queue, &base) == -ETIMEDOUT && base == 2);
	CHECK(!queue_given_up(&ticket));
	/* Twice, so that there is more than one place to follow from. */
	CHECK(take_away(&queue) && take_away(&queue));
	CHECK(queue_given_up(&ticket) && !queue_given_up(&other));
	CHECK(queue_stop(&queue, &base) == 0 && base == 2);
	/* The kernel does not find it where it was. */
	CHECK(write(zero[1], "late", 4) == 4);
	CHECK_ERR(readv(zero[0], virtq_chain_in(&ticket.chain), 1), EFAULT);
	CHECK(queue_set_base(&queue, 2) == 0);
	queue_give(&ticket, &reply, 1, 3);
	CHECK(used->idx == 0 && bytes[16384] == 0);
	/* Nor is the one that came while the memory was moved lost. */
	CHECK(take_away(&queue));
	CHECK(queue_start(&queue, eventfd(0, 0), &anew) == 0 && !anew);
	CHECK(used->idx == 1 && !memcmp(bytes + 16384, "late", 4));
	/* With what it had written itself, before it lost its memory. */
	CHECK(used->ring[0].len == 7);
	queue_give(&other, &reply, 1, 0);
	CHECK(used->idx == 2 && !memcmp(bytes + SIZE / 2, "late", 4));
	offer(0);
	CHECK(queue_take(&queue, &ticket, busy_fetch));
	CHECK(!queue_given_up(&ticket));
	queue_give(&ticket, NULL, 0, 0);
	CHECK(queue_stop(&queue, &base) == 0 && base == 3);
	queue_destroy(&queue);
	tear_down();
	close(zero[0]);
	close(zero[1]);
}

static void no_refill(struct queue *queue)
{
	(void)queue;
}

/* Who looks for requests may do so just when it is agreed that there are none. */
static void buffers_are_no_requests(void)
{
	struct queue_ticket ticket;
	struct queue queue;

	CHECK(set_up());
	set(0, BASE + 16384, 8, VRING_DESC_F_WRITE, 0);
	CHECK(queue_set_up(&queue));
	offer(0);
	CHECK(queue_say(&queue, "told", 4) == -EAGAIN);
	queue_set_refilled(&queue, no_refill);
	CHECK(!queue_take(&queue, &ticket, no_fetch));
	CHECK(queue_say(&queue, "told", 4) == 0);
	CHECK(used->idx == 1 && !memcmp(bytes + 16384, "told", 4));
	CHECK(queue_say(&queue, "told", 4) == -EAGAIN);
	queue_destroy(&queue);
	tear_down();
}

static const struct fs_test tests[] = {
	TEST(addresses),
	TEST(short_files_are_refused),
	TEST(rings_outside_memory),
	TEST(misaligned_rings),
	TEST(plain_chain),
	TEST(indirect_chain),
	TEST(bad_chains),
	TEST(bad_rings),
	TEST(signals),
	TEST(random_rings),
	TEST(queue_needs_all),
	TEST(late_replies),
	TEST(stop_waits_for_the_busy),
	TEST(stop_gives_up_the_busy),
	TEST(buffers_are_no_requests),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
