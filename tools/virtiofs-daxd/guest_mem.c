// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "log.h"
#include "util.h"

/**
 * struct guest_region - one region, shared by all tables that have it
 * @refs: tables; atomic
 * @desc: addresses
 * @map: the file's mapping from offset 0 on, or NULL if it is not for use
 * @map_len: length of @map
 */
struct guest_region {
	unsigned int refs;
	struct guest_region_desc desc;
	char *map;
	size_t map_len;
};

/**
 * struct guest_mem - a table
 * @refs: atomic
 * @count: regions
 * @regions: see guest_mem_insert()
 */
struct guest_mem {
	unsigned int refs;
	unsigned int count;
	struct guest_region *regions[GUEST_MEM_MAX_REGIONS];
};

static void guest_region_put(struct guest_region *region)
{
	if (__atomic_sub_fetch(&region->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (region->map)
		munmap(region->map, region->map_len);
	free(region);
}

struct guest_mem *guest_mem_new(void)
{
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	if (mem)
		mem->refs = 1;
	return mem;
}

struct guest_mem *guest_mem_get(struct guest_mem *mem)
{
	__atomic_add_fetch(&mem->refs, 1, __ATOMIC_RELAXED);
	return mem;
}

void guest_mem_put(struct guest_mem *mem)
{
	if (!mem || __atomic_sub_fetch(&mem->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < mem->count; i++)
		guest_region_put(mem->regions[i]);
	free(mem);
}

/* Copies all regions but one. */
static struct guest_mem *guest_mem_copy(const struct guest_mem *mem,
					const struct guest_region *without)
{
	struct guest_mem *copy = guest_mem_new();

	if (!copy)
		return NULL;
	for (unsigned int i = 0; i < mem->count; i++) {
		struct guest_region *region = mem->regions[i];

		if (region == without)
			continue;
		__atomic_add_fetch(&region->refs, 1, __ATOMIC_RELAXED);
		copy->regions[copy->count++] = region;
	}
	return copy;
}

/* The mapped ones first: searches end at them, and they are few. */
static void guest_mem_insert(struct guest_mem *mem, struct guest_region *region)
{
	unsigned int pos = region->map ? 0 : mem->count;

	memmove(mem->regions + pos + 1, mem->regions + pos,
		(mem->count - pos) * sizeof(mem->regions[0]));
	mem->regions[pos] = region;
	mem->count++;
}

static bool ranges_meet(uint64_t a, uint64_t b, uint64_t a_len, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static int guest_region_check(const struct guest_mem *mem,
			      const struct guest_region_desc *desc)
{
	uint64_t end;

	if (!desc->size || !range_end(desc->guest_addr, desc->size, &end) ||
	    !range_end(desc->user_addr, desc->size, &end) ||
	    !range_end(desc->mmap_offset, desc->size, &end) || end > INT64_MAX)
		return -EINVAL;
	if (mem->count == GUEST_MEM_MAX_REGIONS)
		return -ENOSPC;
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct guest_region_desc *old = &mem->regions[i]->desc;

		if (ranges_meet(old->guest_addr, desc->guest_addr,
				old->size, desc->size))
			return -EEXIST;
	}
	return 0;
}

static int guest_region_map(struct guest_region *region, int fd,
			    const struct stat *st)
{
	uint64_t end = region->desc.mmap_offset + region->desc.size;
	size_t block = st->st_blksize > 4096 ? st->st_blksize : 4096;
	void *map;

	/* A touch past the end of the file would be a SIGBUS. */
	if ((uint64_t)st->st_size < end)
		return -EINVAL;
	/* From 0 on and in whole blocks: files of huge pages want it so. */
	region->map_len = (end + block - 1) / block * block;
	map = mmap(NULL, region->map_len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	region->map = map;
	return 0;
}

int guest_mem_add(const struct guest_mem *mem,
		  const struct guest_region_desc *desc, int fd,
		  bool foreign, struct guest_mem **out)
{
	struct guest_region *region;
	struct stat st;
	int err;

	err = guest_region_check(mem, desc);
	if (err)
		return err;
	if (fstat(fd, &st))
		return -errno;
	region = calloc(1, sizeof(*region));
	if (!region)
		return -ENOMEM;
	region->refs = 1;
	region->desc = *desc;
	if (!foreign) {
		err = guest_region_map(region, fd, &st);
		if (err)
			goto out_region;
	}
	*out = guest_mem_copy(mem, NULL);
	if (!*out) {
		err = -ENOMEM;
		goto out_region;
	}
	guest_mem_insert(*out, region);
	return 0;

out_region:
	guest_region_put(region);
	return err;
}

int guest_mem_remove(const struct guest_mem *mem,
		     const struct guest_region_desc *desc,
		     struct guest_mem **out)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct guest_region *region = mem->regions[i];

		if (region->desc.guest_addr != desc->guest_addr ||
		    region->desc.size != desc->size ||
		    region->desc.user_addr != desc->user_addr)
			continue;
		*out = guest_mem_copy(mem, region);
		return *out ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static const struct guest_region *guest_mem_find(const struct guest_mem *mem,
						 uint64_t addr)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct guest_region *region = mem->regions[i];

		if (addr >= region->desc.guest_addr &&
		    addr - region->desc.guest_addr < region->desc.size)
			return region;
	}
	return NULL;
}

int guest_mem_map(const struct guest_mem *mem, uint64_t addr, uint64_t len,
		  struct iovec *iov, unsigned int max)
{
	unsigned int count = 0;
	uint64_t end;

	if (!range_end(addr, len, &end))
		return -EFAULT;
	while (len) {
		const struct guest_region *region = guest_mem_find(mem, addr);
		uint64_t skip, piece;

		if (!region || !region->map)
			return -EFAULT;
		if (count == max)
			return -E2BIG;
		skip = addr - region->desc.guest_addr;
		piece = min(len, region->desc.size - skip);
		iov[count].iov_base =
			region->map + region->desc.mmap_offset + skip;
		iov[count++].iov_len = piece;
		addr += piece;
		len -= piece;
	}
	return count;
}

void *guest_mem_user_ptr(const struct guest_mem *mem, uint64_t user_addr,
			 uint64_t len)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct guest_region *region = mem->regions[i];
		uint64_t skip = user_addr - region->desc.user_addr;

		if (user_addr < region->desc.user_addr ||
		    skip >= region->desc.size || len > region->desc.size - skip)
			continue;
		if (!region->map)
			return NULL;
		return region->map + region->desc.mmap_offset + skip;
	}
	return NULL;
}
