/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that the guest has forgotten, but may ask for again by their number: who has
 * the guest's own file handle of a file, by name_to_handle_at() or over NFS, has that
 * and nothing else. They take no descriptor; of too many the oldest goes.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_FORGOTTEN_H
#define VIRTIOFS_DAXD_PASSTHROUGH_FORGOTTEN_H

#include "passthrough/passthrough_i.h"

/* Some 50 MB */
#define FORGOTTEN_MAX (1u << 18)

/**
 * forgotten_add - keep a node; if it is kept already it becomes the latest
 *
 * Context: caller holds pt->lock.
 */
void forgotten_add(struct pt *pt, struct node *node);

/**
 * forgotten_remove - it is known again, or gone; nothing if it is not kept
 *
 * Context: caller holds pt->lock.
 */
void forgotten_remove(struct pt *pt, struct node *node);

/**
 * forgotten_excess - the oldest, if there are too many
 *
 * Context: caller holds pt->lock.
 * Return: a node without a reference, or NULL.
 */
struct node *forgotten_excess(struct pt *pt);

#endif
