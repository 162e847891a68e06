/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes that have another name on the host.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_XATTRMAP_H
#define VIRTIOFS_DAXD_PASSTHROUGH_XATTRMAP_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct xattr_rule;

/**
 * struct xattrmap - rules, of which the first that matches a name is obeyed
 * @rules: without any, names are the same on both sides
 * @nr: of these
 */
struct xattrmap {
	struct xattr_rule *rules;
	size_t nr;
};

/* Room for a name */
struct xattr_name {
	char s[XATTR_NAME_MAX + 1];
};

/**
 * xattrmap_parse - read what --xattrmap says, in place of what was read before
 *
 * Return: whether it makes sense.
 */
bool xattrmap_parse(struct xattrmap *map, const char *text);

/**
 * xattrmap_to_host - the name of the host for one of the guest
 *
 * Return: 0 with it in @host; -EPERM or -EOPNOTSUPP if a rule refuses it, also -EPERM
 * if none matches; -ERANGE if it would be too long.
 */
int xattrmap_to_host(const struct xattrmap *map, const char *name,
		     struct xattr_name *host);

/**
 * xattrmap_to_guest - have a list say the names of the guest; others are left out
 * @list: names with a NUL each
 * @len: their bytes
 *
 * Return: bytes that are left.
 */
ssize_t xattrmap_to_guest(const struct xattrmap *map, char *list, ssize_t len);

/**
 * xattrmap_changes - whether a name of the guest is another one here, or none
 */
bool xattrmap_changes(const struct xattrmap *map, const char *name);

#endif
