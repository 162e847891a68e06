// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tables that give objects a number which a guest can be trusted with.
 *
 * An id holds the slot and how often the slot has been used. A stale or made-up
 * id therefore finds nothing or, at worst, an object of the same table that the
 * same guest owns anyway; it is never an address.
 *
 * A slot is reused only when the last user of its object has gone, so that who
 * has a reference can name the object by its id for as long as he has it.
 */
#include <errno.h>
#include <stdlib.h>

#include "passthrough/passthrough_table.h"

#define TABLE_MIN_SLOTS 64

/*
 * @obj: NULL when free
 * @gen: how often the slot has been reused
 * @next: the next free slot
 */
struct slot {
	struct object *obj;
	uint32_t gen;
	uint32_t next;
};

static int table_grow(struct table *table)
{
	uint32_t nr = table->nr ? table->nr * 2 : TABLE_MIN_SLOTS;
	struct slot *slots;

	if (nr <= table->nr)
		return -ENOMEM;

	slots = reallocarray(table->slots, nr, sizeof(*slots));
	if (!slots)
		return -ENOMEM;

	/* From the end, so that low numbers are used first; never slot 0. */
	for (uint32_t i = nr - 1; i >= table->nr && i > 0; i--) {
		slots[i] = (struct slot){ .next = table->free };
		table->free = i;
	}
	table->slots = slots;
	table->nr = nr;
	return 0;
}

int table_add(struct table *table, struct object *obj)
{
	struct slot *slot;
	uint32_t i;

	if (!table->free && table_grow(table))
		return -ENOMEM;

	i = table->free;
	slot = &table->slots[i];
	table->free = slot->next;
	slot->obj = obj;
	obj->id = (uint64_t)slot->gen << 32 | i;
	obj->refs = 2;
	obj->dead = false;
	return 0;
}

struct object *table_find(struct table *table, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (!i || i >= table->nr || !table->slots[i].obj ||
	    table->slots[i].obj->id != id)
		return NULL;
	return table->slots[i].obj;
}

struct object *table_get(struct table *table, uint64_t id)
{
	struct object *obj = table_find(table, id);

	if (!obj || obj->dead)
		return NULL;
	obj->refs++;
	return obj;
}

bool table_put(struct table *table, struct object *obj)
{
	uint32_t i = (uint32_t)obj->id;

	if (--obj->refs)
		return false;

	/* A generation must not come back: such a slot is used no more. */
	table->slots[i].obj = NULL;
	if (++table->slots[i].gen != UINT32_MAX) {
		table->slots[i].next = table->free;
		table->free = i;
	}
	return true;
}

void table_kill(struct table *table, struct object *obj)
{
	if (obj->dead)
		return;
	obj->dead = true;
	table_put(table, obj);
}

struct object *table_next(struct table *table, uint32_t *pos)
{
	while (++*pos < table->nr) {
		struct object *obj = table->slots[*pos].obj;

		if (obj && !obj->dead)
			return obj;
	}
	return NULL;
}

void table_free(struct table *table)
{
	free(table->slots);
	*table = (struct table){ 0 };
}
