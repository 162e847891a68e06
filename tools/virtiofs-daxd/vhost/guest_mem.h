/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as the front-end lends it: regions of guest-physical
 * addresses, each mapped here.
 *
 * A table is never changed once it is published. Who uses guest memory holds a
 * reference on a table and through it on its regions, so nothing is unmapped
 * under a running request, and no lock is held while one runs.
 *
 * The kernel may be told to copy from or to guest memory and do so much later, as
 * storage does not answer. Its use of the memory can be ended: all regions are
 * mapped at other places (guest_mem_move()), who else has addresses follows
 * (guest_mem_follow()), and nothing stays at the old ones (guest_mem_close()).
 *
 * Memory can be taken away all the same, by who cuts off its file: see host/sigbus.h.
 * What has been missed once is memory no more.
 */
#ifndef VIRTIOFS_DAXD_GUEST_MEM_H
#define VIRTIOFS_DAXD_GUEST_MEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* The most regions of a table; as many as the front-end may add. */
#define GUEST_MEM_MAX_REGIONS 509

struct guest_mem;

/**
 * struct guest_region_desc - a region as the front-end describes it
 * @guest_addr: first guest-physical address
 * @size: bytes
 * @user_addr: the same place as an address of the front-end's process
 * @mmap_offset: where in the file it starts
 */
struct guest_region_desc {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

/**
 * guest_mem_new - a table without regions, with one reference
 */
struct guest_mem *guest_mem_new(void);

struct guest_mem *guest_mem_get(struct guest_mem *mem);
void guest_mem_put(struct guest_mem *mem);

/**
 * guest_mem_add - a table with one region more
 * @mem: table to start from, left as it is
 * @desc: the region
 * @fd: its file; the caller keeps it
 * @map: it is a map in a window, ours or another: entered without being mapped
 *	here, so that no request reaches it
 * @out: the new table
 *
 * No server is asked for the attributes of @fd: the front-end may be waiting.
 *
 * Return: 0 or a negative errno.
 */
int guest_mem_add(const struct guest_mem *mem,
		  const struct guest_region_desc *desc, int fd,
		  bool map, struct guest_mem **out);

/**
 * guest_mem_remove - a table with one region less
 * @mem: table to start from, left as it is
 * @desc: the region, by addresses and size
 * @out: the new table
 *
 * Return: 0, -ENOENT if no region has these addresses and size, or -ENOMEM.
 */
int guest_mem_remove(const struct guest_mem *mem,
		     const struct guest_region_desc *desc,
		     struct guest_mem **out);

/**
 * guest_mem_regions - how many regions are memory, not maps
 * @mem: the table
 */
unsigned int guest_mem_regions(const struct guest_mem *mem);

/**
 * guest_mem_map - where guest-physical memory is here
 * @mem: the table
 * @addr: first guest-physical address
 * @len: bytes
 * @iov: filled with the pieces
 * @max: entries of @iov
 *
 * Return: number of pieces, 0 for @len 0; -EFAULT if a byte is not memory that
 * may be used, -E2BIG if @iov is too short.
 */
int guest_mem_map(const struct guest_mem *mem, uint64_t addr, uint64_t len,
		  struct iovec *iov, unsigned int max);

/**
 * guest_mem_user_ptr - where an object at an address of the front-end is here
 * @mem: the table
 * @user_addr: the address
 * @len: bytes of the object
 *
 * Return: NULL if not all of it lies in one region.
 */
void *guest_mem_user_ptr(const struct guest_mem *mem, uint64_t user_addr,
			 uint64_t len);

/**
 * guest_mem_move - map all regions of all tables once more, at other places
 *
 * Both places may be used until guest_mem_close(). By one thread only.
 *
 * Return: 0 or a negative errno.
 */
int guest_mem_move(void);

/**
 * guest_mem_moved - a table with the new place of each region
 * @mem: the table before guest_mem_move()
 *
 * Return: NULL without memory.
 */
struct guest_mem *guest_mem_moved(const struct guest_mem *mem);

/**
 * guest_mem_follow - find memory of a table that has been moved
 * @mem: the table
 * @iov: pieces of its memory, as they were at any time; changed to what they are
 * @count: their number
 */
void guest_mem_follow(const struct guest_mem *mem, struct iovec *iov,
		      unsigned int count);

/**
 * guest_mem_close - nothing is at the old places any more
 *
 * The kernel finds EFAULT there. Our own code must not touch them.
 *
 * Return: 0 or a negative errno.
 */
int guest_mem_close(void);

/**
 * guest_mem_closed - whether memory of a table was taken away in that way
 * @mem: the table
 *
 * If this is false when the kernel has copied something, all of it was copied.
 */
bool guest_mem_closed(const struct guest_mem *mem);

#endif
