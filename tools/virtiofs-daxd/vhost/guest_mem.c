// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/guest_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "host/sigbus.h"
#include "host/util.h"

/**
 * struct guest_region - one region, shared by all tables that have it
 * @refs: tables; atomic
 * @desc: addresses
 * @map: the file's mapping from offset 0 on, or NULL if it is not for use
 * @map_len: length of @map
 * @guard: of @map
 * @fd: the file, to map it once more; -1 if there is no @map
 * @moved: the same memory at another place, referenced; set once, atomic
 * @closed: @map is used no more, but stays occupied; atomic
 * @next: in the list of all that have a @map
 */
struct guest_region {
	unsigned int refs;
	struct guest_region_desc desc;
	char *map;
	size_t map_len;
	struct sigbus_guard *guard;
	int fd;
	struct guest_region *moved;
	bool closed;
	struct guest_region *next;
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

/* All regions with a mapping, of whatever table; see guest_mem_move(). */
static struct {
	pthread_mutex_t lock;
	struct guest_region *first;
} regions = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Under the lock. */
static void regions_push(struct guest_region *region)
{
	region->next = regions.first;
	regions.first = region;
}

static void regions_add(struct guest_region *region)
{
	pthread_mutex_lock(&regions.lock);
	regions_push(region);
	pthread_mutex_unlock(&regions.lock);
}

static void regions_remove(const struct guest_region *region)
{
	struct guest_region **link = &regions.first;

	pthread_mutex_lock(&regions.lock);
	while (*link && *link != region)
		link = &(*link)->next;
	if (*link)
		*link = region->next;
	pthread_mutex_unlock(&regions.lock);
}

static struct guest_region *guest_region_get(struct guest_region *region)
{
	__atomic_add_fetch(&region->refs, 1, __ATOMIC_RELAXED);
	return region;
}

static void guest_region_put(struct guest_region *region)
{
	while (region && !__atomic_sub_fetch(&region->refs, 1,
					     __ATOMIC_ACQ_REL)) {
		struct guest_region *moved;

		regions_remove(region);
		moved = region->moved;
		sigbus_release(region->guard);
		if (region->map)
			munmap(region->map, region->map_len);
		close_fd(&region->fd);
		free(region);
		region = moved;
	}
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
	sigbus_report();
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

		if (region != without)
			copy->regions[copy->count++] = guest_region_get(region);
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

static int guest_region_map(struct guest_region *region, int fd)
{
	uint64_t end = region->desc.mmap_offset + region->desc.size;
	struct statx stx;
	size_t block;
	void *map;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &stx))
		return -errno;
	/* A touch past the end of the file would be a SIGBUS. */
	if (stx.stx_size < end)
		return -EINVAL;
	region->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (region->fd < 0)
		return -errno;
	block = stx.stx_blksize > 4096 ? stx.stx_blksize : 4096;
	/* From 0 on and in whole blocks: files of huge pages want it so. */
	region->map_len = (end + block - 1) / block * block;
	map = mmap(NULL, region->map_len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	region->map = map;
	region->guard = sigbus_guard(map, region->map_len, block);
	return region->guard ? 0 : -ENOSPC;
}

/* Mapped if @map; else it only has its place in the table. */
static int guest_region_new(const struct guest_region_desc *desc, int fd,
			    bool map, struct guest_region **out)
{
	struct guest_region *region;
	int err = 0;

	region = calloc(1, sizeof(*region));
	if (!region)
		return -ENOMEM;
	region->refs = 1;
	region->desc = *desc;
	region->fd = -1;
	if (map)
		err = guest_region_map(region, fd);
	if (err)
		guest_region_put(region);
	else
		*out = region;
	return err;
}

int guest_mem_add(const struct guest_mem *mem,
		  const struct guest_region_desc *desc, int fd,
		  bool map, struct guest_mem **out)
{
	struct guest_region *region;
	int err;

	err = guest_region_check(mem, desc) ?:
	      guest_region_new(desc, fd, !map, &region);
	if (err)
		return err;
	*out = guest_mem_copy(mem, NULL);
	if (!*out) {
		guest_region_put(region);
		return -ENOMEM;
	}
	if (region->map)
		regions_add(region);
	guest_mem_insert(*out, region);
	return 0;
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

unsigned int guest_mem_regions(const struct guest_mem *mem)
{
	unsigned int count = 0;

	while (count < mem->count && mem->regions[count]->map)
		count++;
	return count;
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

/* Where a part of a region is here, or NULL if it is not for use. */
static char *guest_region_ptr(const struct guest_region *region, uint64_t skip,
			      uint64_t len)
{
	char *ptr;

	if (!region->map)
		return NULL;
	ptr = region->map + region->desc.mmap_offset + skip;
	return sigbus_intact(region->guard, ptr, len) ? ptr : NULL;
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
		char *ptr;

		if (!region)
			return -EFAULT;
		skip = addr - region->desc.guest_addr;
		piece = min(len, region->desc.size - skip);
		ptr = guest_region_ptr(region, skip, piece);
		if (!ptr)
			return -EFAULT;
		if (count == max)
			return -E2BIG;
		iov[count].iov_base = ptr;
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
		return guest_region_ptr(region, skip, len);
	}
	return NULL;
}

static struct guest_region *region_moved(const struct guest_region *region)
{
	return __atomic_load_n(&region->moved, __ATOMIC_ACQUIRE);
}

static struct guest_region *region_last(struct guest_region *region)
{
	while (region_moved(region))
		region = region_moved(region);
	return region;
}

int guest_mem_move(void)
{
	struct guest_region *region, *moved;
	int err = 0;

	pthread_mutex_lock(&regions.lock);
	/* What is made here comes first in the list, so it is not met. */
	for (region = regions.first; region && !err; region = region->next) {
		if (region->moved)
			continue;
		err = guest_region_new(&region->desc, region->fd, true,
				       &moved);
		if (err)
			break;
		regions_push(moved);
		__atomic_store_n(&region->moved, moved, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&regions.lock);
	return err;
}

int guest_mem_close(void)
{
	struct guest_region *region;
	int err = 0;

	pthread_mutex_lock(&regions.lock);
	for (region = regions.first; region; region = region->next) {
		if (!region->moved || region->closed)
			continue;
		/* Before it is true: see guest_mem_closed(). */
		__atomic_store_n(&region->closed, true, __ATOMIC_SEQ_CST);
		if (mprotect(region->map, region->map_len, PROT_NONE))
			err = -errno;
	}
	pthread_mutex_unlock(&regions.lock);
	return err;
}

struct guest_mem *guest_mem_moved(const struct guest_mem *mem)
{
	struct guest_mem *copy = guest_mem_new();

	for (unsigned int i = 0; copy && i < mem->count; i++)
		copy->regions[copy->count++] =
			guest_region_get(region_last(mem->regions[i]));
	return copy;
}

bool guest_mem_closed(const struct guest_mem *mem)
{
	for (unsigned int i = 0; i < mem->count && mem->regions[i]->map; i++)
		if (__atomic_load_n(&mem->regions[i]->closed, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

/* Where a place in a region, or where that was before, is now; else NULL. */
static char *region_follow(struct guest_region *region, const char *ptr)
{
	struct guest_region *last = region_last(region);

	for (; region != last; region = region_moved(region))
		if (ptr >= region->map && ptr < region->map + region->map_len)
			return last->map + (ptr - region->map);
	return NULL;
}

void guest_mem_follow(const struct guest_mem *mem, struct iovec *iov,
		      unsigned int count)
{
	for (unsigned int i = 0; i < mem->count && mem->regions[i]->map; i++) {
		if (!region_moved(mem->regions[i]))
			continue;
		for (unsigned int j = 0; j < count; j++)
			iov[j].iov_base = region_follow(mem->regions[i],
							iov[j].iov_base) ?:
					  iov[j].iov_base;
	}
}
