/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libfuse does not know of, added to its replies: in the answer to INIT the
 * alignment of maps, FUSE_HAS_INODE_DAX and what setups and removes can do, and
 * FUSE_ATTR_DAX in attributes.
 */
#ifndef VIRTIOFS_DAXD_FUSE_COMPLETE_H
#define VIRTIOFS_DAXD_FUSE_COMPLETE_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message/request.h"
#include "passthrough/passthrough.h"

/* As the kernel of this tree has them; others do not know them yet. */
#ifndef FUSE_MAP_REPLACE
#define FUSE_MAP_SPLIT		(1ULL << 62)
#define FUSE_MAP_REPLACE	(1ULL << 63)
#endif
#ifndef FUSE_NOTIFY_ORDERED
#define FUSE_NOTIFY_ORDERED	(1ULL << 60)
#define FUSE_NOTIFY_FSNOTIFY	(1ULL << 61)
#endif

/**
 * fuse_complete_features - complete an answer to INIT by what libfuse does not know
 * @pt: the share
 * @asked: flags of the guest
 * @out: struct fuse_init_out of libfuse
 * @len: its length
 */
void fuse_complete_features(struct pt *pt, uint64_t asked, void *out,
			    size_t len);

/**
 * fuse_complete_coherent - complete an answer to INIT: the guest may keep what it is told
 * @asked: flags of the guest
 * @out: struct fuse_init_out of libfuse
 * @len: its length
 */
void fuse_complete_coherent(uint64_t asked, void *out, size_t len);

/**
 * fuse_expire - for request_on_change()
 */
uint64_t fuse_expire(const struct request *req, void *body, size_t len);

/**
 * fuse_failed - tell a guest that relies on it what a request may have changed
 * @error: that it is answered by nevertheless
 *
 * Before it is answered.
 */
void fuse_failed(const struct request *req, int error);

/**
 * fuse_complete_init - complete an answer to INIT
 * @asked: flags of the guest
 * @one_map: the window is one map, see dax_map_one_map()
 * @out: struct fuse_init_out of libfuse
 * @len: its length
 *
 * For a device with a window only.
 */
void fuse_complete_init(uint64_t asked, bool one_map, void *out, size_t len);

/**
 * fuse_attr_in - the attributes in a reply about one file
 * @opcode: of the request
 * @out: what follows the header of the reply
 * @len: its length
 *
 * Return: NULL if there are none.
 */
struct fuse_attr *fuse_attr_in(uint32_t opcode, void *out, size_t len);

/**
 * fuse_complete_attr - complete a reply which may carry attributes
 * @pt: says which files get FUSE_ATTR_DAX, and which FUSE_ATTR_SUBMOUNT
 * @opcode: of the request
 * @in: what follows the header of the request
 * @out: what follows the header of the reply
 * @len: its length
 * @dax: there is a window
 */
void fuse_complete_attr(struct pt *pt, uint32_t opcode, const void *in, void *out,
			size_t len, bool dax);

#endif
