/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A user namespace: for who is not root, but may say who the users of a guest are.
 */
#ifndef VIRTIOFS_DAXD_USERS_H
#define VIRTIOFS_DAXD_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct user_range - users or groups
 * @inside: the first, as it is called in the namespace, and in the guest
 * @outside: the same on the host
 * @count: of those that follow each other
 */
struct user_range {
	uint32_t inside;
	uint32_t outside;
	uint32_t count;
};

/**
 * struct user_map - which users or groups there are; without any, who runs the daemon
 * @ranges: what they are
 * @nr: of these
 */
struct user_map {
	struct user_range *ranges;
	size_t nr;
};

/**
 * users_parse - add what a --uid-map or --gid-map says
 * @arg: :INSIDE:OUTSIDE:COUNT:
 *
 * Return: whether it is of that form.
 */
bool users_parse(struct user_map *map, const char *arg);

/**
 * users_enter - be in a user namespace, with all capabilities there
 *
 * With a mount namespace that is its own, or nothing could be mounted. To be called
 * while there is one thread, and before new privileges are forbidden: who has others
 * than himself in a map has them by newuidmap(1) and newgidmap(1).
 *
 * Return: 0 or a negative errno; what failed has been told.
 */
int users_enter(const struct user_map *uids, const struct user_map *gids);

/**
 * users_entered - whether that was done: privileges are none of the host's
 */
bool users_entered(void);

/**
 * users_further_groups - whether who runs the daemon was in other groups than his own
 */
bool users_further_groups(void);

#endif
