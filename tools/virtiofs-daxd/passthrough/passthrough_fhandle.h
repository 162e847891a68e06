/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File handles: how the host names a file for as long as it exists, so that a node
 * takes no descriptor. To open one needs CAP_DAC_READ_SEARCH, and a descriptor of
 * the mount, of which there is one for each mount that the guest knows files of.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_FHANDLE_H
#define VIRTIOFS_DAXD_PASSTHROUGH_FHANDLE_H

#include "passthrough/passthrough_i.h"

struct mount;

/**
 * fhandle_of - the handle of a file
 * @fd: O_PATH descriptor of it
 * @type: S_IFMT bits
 * @mnt: id of the mount it was found through
 * @fhandle: set to NULL where a descriptor has to be held instead
 *
 * Return: 0, or a negative errno if only a handle will do and there is none.
 */
int fhandle_of(struct pt *pt, int fd, mode_t type, uint64_t mnt,
	       struct fhandle **fhandle);

/**
 * fhandle_same - whether they name the same file; of the same mount
 */
bool fhandle_same(const struct fhandle *a, const struct fhandle *b);

/**
 * fhandle_open - open() by a handle
 * @flags: O_PATH for what is neither a regular file nor a directory
 *
 * Return: a descriptor or a negative errno; -ESTALE if there is no such file left.
 */
int fhandle_open(const struct fhandle *fhandle, int flags);

/**
 * fhandle_free - NULL is fine
 *
 * Context: takes pt->lock.
 */
void fhandle_free(struct pt *pt, struct fhandle *fhandle);

#endif
