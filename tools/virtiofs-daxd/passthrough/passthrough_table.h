/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables that give objects a number which a guest can be trusted with.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_TABLE_H
#define VIRTIOFS_DAXD_PASSTHROUGH_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct object - what is put in a table; first member of its container
 * @id: slot in the low, generation in the high 32 bits
 * @refs: users, and one for the table until object_kill()
 * @dead: no longer found, though users may go on
 */
struct object {
	uint64_t id;
	uint32_t refs;
	bool dead;
};

/**
 * struct table - slots; all fields under the lock of the owner
 * @slots: slot 0 is never used, so that 0 is no id
 * @nr: slots allocated
 * @free: first of the list of free slots, 0 at its end
 */
struct table {
	struct slot *slots;
	uint32_t nr;
	uint32_t free;
};

/**
 * table_add - give an object its id
 *
 * The object then has two references: the table's and the caller's.
 *
 * Context: caller holds the lock of the table.
 * Return: 0 or -ENOMEM.
 */
int table_add(struct table *table, struct object *obj);

/**
 * table_get - find an object and take a reference
 *
 * Context: caller holds the lock of the table.
 * Return: the object, or NULL for every number that is not a live id.
 */
struct object *table_get(struct table *table, uint64_t id);

/**
 * table_find - find an object on which the caller has a reference, dead or not
 *
 * Context: caller holds the lock of the table.
 */
struct object *table_find(struct table *table, uint64_t id);

/**
 * table_put - drop a reference
 *
 * Context: caller holds the lock of the table.
 * Return: whether it was the last: the caller frees the object, unlocked.
 */
bool table_put(struct table *table, struct object *obj);

/**
 * table_kill - let an object be found no more
 *
 * Drops the reference of the table, once. The caller has one of its own.
 *
 * Context: caller holds the lock of the table.
 */
void table_kill(struct table *table, struct object *obj);

/**
 * table_next - walk all objects that are not dead
 * @pos: 0 at the start
 *
 * Context: caller holds the lock of the table.
 * Return: the next object, without a reference; NULL at the end.
 */
struct object *table_next(struct table *table, uint32_t *pos);

/**
 * table_free - release the memory of the table, not of objects
 */
void table_free(struct table *table);

#endif
