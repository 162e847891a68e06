/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users or groups of the guest, and who they are on the host.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_IDS_H
#define VIRTIOFS_DAXD_PASSTHROUGH_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_range;

/**
 * struct id_map - what numbers become, in one direction; others stay as they are
 * @ranges: none of which have a number in common
 * @nr: of these
 */
struct id_map {
	struct id_range *ranges;
	size_t nr;
};

/**
 * struct ids - users or groups, in both directions, which need not go together
 * @to_host: of the guest
 * @to_guest: of the host
 */
struct ids {
	struct id_map to_host;
	struct id_map to_guest;
};

/**
 * ids_parse - add what a --translate-uid or --translate-gid says
 * @arg: TYPE:FROM:TO:COUNT
 *
 * Return: false if it is not of that form, or meets what was added before.
 */
bool ids_parse(struct ids *ids, const char *arg);

/**
 * ids_any - whether there is anything to translate
 */
bool ids_any(const struct ids *ids);

/**
 * ids_to_host - who somebody of the guest is
 *
 * Return: 0, or -EPERM if the guest may not have him own anything.
 */
int ids_to_host(const struct ids *ids, uint32_t guest, uint32_t *host);

/**
 * ids_to_guest - whom the guest sees
 */
uint32_t ids_to_guest(const struct ids *ids, uint32_t host);

#endif
