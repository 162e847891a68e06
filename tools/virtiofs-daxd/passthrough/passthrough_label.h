/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Security labels, as SELinux has them: the guest sends that of a file with the request
 * that makes it, so that the file has it from the first.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_LABEL_H
#define VIRTIOFS_DAXD_PASSTHROUGH_LABEL_H

#include <stdint.h>

struct pt;

/**
 * struct label - what came with a request
 * @name: of the extended attribute, in the guest
 * @value: not aligned
 * @size: of @value; 0: there is no label
 */
struct label {
	const char *name;
	const void *value;
	uint32_t size;
};

/**
 * label_set - give a file the label of the request at hand, if there is one
 * @fd: the new file, O_PATH will do
 *
 * Return: 0 or a negative errno.
 */
int label_set(struct pt *pt, int fd);

/**
 * label_made - the same by name; what cannot have its label is removed again
 * @dir: descriptor of the directory
 * @flags: of unlinkat()
 */
int label_made(struct pt *pt, int dir, const char *name, int flags);

#endif
