// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the front-end says of the guest's memory.
 */
#include <errno.h>
#include <stddef.h>

#include "host/log.h"
#include "vhost/vhost_user_i.h"

static void vu_use_mem(struct vhost_user *vu, struct guest_mem *mem)
{
	guest_mem_put(vu->mem);
	vu->mem = mem;
	for (unsigned int i = 0; i < vu->device->num_queues; i++)
		queue_set_mem(&vu->device->queues[i], mem);
	map_slots_memory(vu->device->slots, guest_mem_regions(mem));
}

static int vu_add_region(struct vhost_user *vu, struct guest_mem **mem,
			 const struct vu_mem_region *region, int fd)
{
	const struct guest_region_desc desc = {
		.guest_addr = region->guest_addr,
		.size = region->size,
		.user_addr = region->user_addr,
		.mmap_offset = region->mmap_offset,
	};
	bool map = vu->device->is_map(fd);
	struct guest_mem *next;
	int err;

	err = guest_mem_add(*mem, &desc, fd, map, &next);
	if (err)
		return err;
	if (!map)
		map_slots_join(vu->device->slots, fd);
	guest_mem_put(*mem);
	*mem = next;
	return 0;
}

int vu_set_mem_table(struct vhost_user *vu, struct vu_message *msg)
{
	const struct vu_mem_table *table = &msg->payload.table;
	struct guest_mem *mem;
	int err = 0;

	if (table->count > VU_MAX_REGIONS || table->count != msg->num_fds ||
	    msg->header.size < offsetof(struct vu_mem_table,
					regions[table->count]))
		return -EINVAL;
	mem = guest_mem_new();
	if (!mem)
		return -ENOMEM;
	for (unsigned int i = 0; i < table->count && !err; i++)
		err = vu_add_region(vu, &mem, &table->regions[i], msg->fds[i]);
	if (err)
		guest_mem_put(mem);
	else
		vu_use_mem(vu, mem);
	return err;
}

static bool vu_running(struct vhost_user *vu)
{
	for (unsigned int i = 0; i < vu->device->num_queues; i++)
		if (queue_started(&vu->device->queues[i]))
			return true;
	return false;
}

/*
 * The front-end offers each map as memory, ours and those of other devices. We
 * have no use for them, and better say so: QEMU 11.1 keeps a list of what was
 * accepted. When it drops the maps at a reset it leaves them in the lists of the
 * devices that are stopped, and at the next start of one it follows the dead
 * pointers and crashes. What is refused is in no list; it only prints that
 * vhost_set_mem_table failed, whenever a map comes or goes, and there is no
 * answer at which it would not. A start must not fail, however: then all maps
 * there are, of other shares or our own after stop and cont, are accepted.
 */
int vu_add_mem_reg(struct vhost_user *vu, struct vu_message *msg)
{
	struct guest_mem *mem;
	int err;

	if (msg->num_fds != 1)
		return -EINVAL;
	if (vu->device->is_map(msg->fds[0]) && vu_running(vu)) {
		map_slots_look(vu->device->slots);
		if (msg->header.flags & VU_NEED_REPLY)
			vu_reply_u64(msg, 1);
		return 0;
	}
	mem = guest_mem_get(vu->mem);
	err = vu_add_region(vu, &mem, &msg->payload.reg.region, msg->fds[0]);
	if (err)
		guest_mem_put(mem);
	else
		vu_use_mem(vu, mem);
	return err;
}

int vu_rem_mem_reg(struct vhost_user *vu, struct vu_message *msg)
{
	const struct vu_mem_region *region = &msg->payload.reg.region;
	const struct guest_region_desc desc = {
		.guest_addr = region->guest_addr,
		.size = region->size,
		.user_addr = region->user_addr,
	};
	struct guest_mem *mem;
	int err;

	err = guest_mem_remove(vu->mem, &desc, &mem);
	if (!err)
		vu_use_mem(vu, mem);
	return err;
}

int vu_give_up(struct vhost_user *vu)
{
	struct guest_mem *mem;
	int err;

	log_warn("storage does not answer, and the guest is stopped: reads and writes under way will fail");
	err = guest_mem_move();
	if (err)
		return err;
	mem = guest_mem_moved(vu->mem);
	if (!mem)
		return -ENOMEM;
	guest_mem_put(vu->mem);
	vu->mem = mem;
	for (unsigned int i = 0; i < vu->device->num_queues; i++)
		queue_move(&vu->device->queues[i], mem);
	return guest_mem_close();
}
