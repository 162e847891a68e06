// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_complete.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>

#include "dax/dax_map.h"
#include "guard/coherent.h"
#include "message/notify.h"
#include "message/notify_name.h"

void fuse_complete_features(struct pt *pt, uint64_t asked, void *out, size_t len)
{
	uint64_t can = FUSE_ALLOW_IDMAP;
	struct fuse_init_out *init = out;

	if (len < sizeof(*init))
		return;
	if (pt_labels(pt))
		can |= FUSE_SECURITY_CTX;
	if (pt_submounts(pt, asked & FUSE_SUBMOUNTS))
		init->flags |= FUSE_SUBMOUNTS;
	if (asked & FUSE_INIT_EXT && asked & can) {
		init->flags |= FUSE_INIT_EXT;
		init->flags2 |= (asked & can) >> 32;
	}
}

void fuse_complete_coherent(uint64_t asked, void *out, size_t len)
{
	const uint64_t can = FUSE_NOTIFY_ORDERED | FUSE_NOTIFY_FSNOTIFY;
	struct fuse_init_out *init = out;

	if (len < sizeof(*init))
		return;
	init->flags |= FUSE_INIT_EXT | (asked & FUSE_CACHE_SYMLINKS);
	init->flags2 |= (asked & can) >> 32;
}

void fuse_complete_init(uint64_t asked, bool one_map, void *out, size_t len)
{
	struct fuse_init_out *init = out;
	uint64_t can = FUSE_HAS_INODE_DAX;

	if (len < sizeof(*init))
		return;
	if (asked & FUSE_MAP_ALIGNMENT) {
		init->flags |= FUSE_MAP_ALIGNMENT;
		init->map_alignment = DAX_MAP_ALIGNMENT;
	}
	if (one_map)
		can |= FUSE_MAP_REPLACE | FUSE_MAP_SPLIT;
	if (asked & FUSE_INIT_EXT && asked & can) {
		init->flags |= FUSE_INIT_EXT;
		init->flags2 |= (asked & can) >> 32;
	}
}

static void complete_attr(struct pt *pt, struct fuse_attr *attr)
{
	const struct stat st = {
		.st_ino = attr->ino,
		.st_mode = attr->mode,
		.st_size = attr->size,
	};

	if (pt_node_dax(pt, &st))
		attr->flags |= FUSE_ATTR_DAX;
}

static void complete_entry(struct pt *pt, struct fuse_entry_out *entry)
{
	if (S_ISDIR(entry->attr.mode) && pt_node_submount(pt, entry->nodeid))
		entry->attr.flags |= FUSE_ATTR_SUBMOUNT;
}

/* Of an entry without node there is nothing to complete. */
static void complete_readdirplus(struct pt *pt, char *out, size_t len,
				 bool dax)
{
	while (len >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		struct fuse_direntplus *entry = (void *)out;
		size_t size = FUSE_DIRENTPLUS_SIZE(entry);

		if (entry->entry_out.nodeid && dax)
			complete_attr(pt, &entry->entry_out.attr);
		if (entry->entry_out.nodeid)
			complete_entry(pt, &entry->entry_out);
		if (size > len)
			break;
		out += size;
		len -= size;
	}
}

struct fuse_attr *fuse_attr_in(uint32_t opcode, void *out, size_t len)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		return len >= sizeof(struct fuse_entry_out) ?
		       &((struct fuse_entry_out *)out)->attr : NULL;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return len >= sizeof(struct fuse_attr_out) ?
		       &((struct fuse_attr_out *)out)->attr : NULL;
	}
	return NULL;
}

/* Of "." and ".." the guest has the very inode, which is no place to mount on. */
static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

void fuse_complete_attr(struct pt *pt, uint32_t opcode, const void *in, void *out,
			size_t len, bool dax)
{
	struct fuse_attr *attr = fuse_attr_in(opcode, out, len);

	if (attr && dax)
		complete_attr(pt, attr);
	if (attr && opcode == FUSE_LOOKUP && !is_dot(in))
		complete_entry(pt, out);
	if (opcode == FUSE_READDIRPLUS)
		complete_readdirplus(pt, out, len, dax);
}

/* The name in a request that makes one, or NULL. */
static const char *made_name(const struct request *req)
{
	switch (req->header.opcode) {
	case FUSE_CREATE:
		return req->body + sizeof(struct fuse_create_in);
	case FUSE_MKNOD:
		return req->body + sizeof(struct fuse_mknod_in);
	case FUSE_MKDIR:
		return req->body + sizeof(struct fuse_mkdir_in);
	case FUSE_LINK:
		return req->body + sizeof(struct fuse_link_in);
	case FUSE_SYMLINK:
		return req->body;
	}
	return NULL;
}

/* Whether a file may have other data, and a size, by a request that has failed. */
static bool changes_data(const struct request *req)
{
	const struct fuse_setattr_in *attr = (void *)req->body;
	const struct fuse_open_in *open = (void *)req->body;

	switch (req->header.opcode) {
	case FUSE_SETATTR:
		return attr->valid & FATTR_SIZE;
	case FUSE_OPEN:
		return open->flags & O_TRUNC;
	case FUSE_FALLOCATE:
		return true;
	}
	return false;
}

void fuse_failed(const struct request *req, int error)
{
	const struct fuse_link_in *link = (void *)req->body;
	const char *name = made_name(req);
	uint64_t node = req->header.nodeid;

	/* These say that nothing was done, and may come often. */
	if (!coherent_active() || (error == -EOPNOTSUPP && !name) ||
	    error == -ENAMETOOLONG || error == -EROFS)
		return;
	if (name)
		notify_inval_entry(node, name);
	if (changes_data(req))
		notify_inval_inode(node, 0, NOTIFY_SHOWN);
	else if (name || req->header.opcode == FUSE_SETATTR)
		notify_inval_inode(node, -1, 0);
	if (req->header.opcode == FUSE_LINK)
		notify_inval_inode(link->oldnodeid, -1, 0);
}

static void expire_entry(struct fuse_entry_out *entry)
{
	entry->entry_valid = entry->attr_valid = 0;
	entry->entry_valid_nsec = entry->attr_valid_nsec = 0;
}

/* All of it if the names have changed, or the files that have. */
static void expire_readdirplus(const struct request *req, char *out, size_t len,
			       bool all)
{
	while (len >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		struct fuse_direntplus *entry = (void *)out;
		size_t size = FUSE_DIRENTPLUS_SIZE(entry);

		if (all || notify_changed_since(&req->answer.turn,
						entry->entry_out.nodeid))
			expire_entry(&entry->entry_out);
		if (size > len)
			break;
		out += size;
		len -= size;
	}
}

/* What a program has opened is as it is then; what was kept before it is not. */
static void expire_open(uint32_t opcode, char *out, size_t len)
{
	size_t offset = opcode == FUSE_OPEN || opcode == FUSE_OPENDIR ? 0 :
			sizeof(struct fuse_entry_out);
	struct fuse_open_out *open = (void *)(out + offset);

	if (len >= offset + sizeof(*open))
		open->open_flags &= ~FOPEN_KEEP_CACHE;
}

static void expire_attr(uint32_t opcode, void *out)
{
	if (opcode == FUSE_GETATTR || opcode == FUSE_SETATTR) {
		struct fuse_attr_out *attr = out;

		attr->attr_valid = attr->attr_valid_nsec = 0;
	} else {
		expire_entry(out);
	}
}

/* Whether the file of an answer, or the directory in which it was found, has changed. */
static bool has_changed(const struct request *req, const void *body, size_t len)
{
	const struct notify_turn *turn = &req->answer.turn;
	const struct fuse_entry_out *entry = body;
	uint32_t opcode = req->header.opcode;

	if (notify_changed_since(turn, req->header.nodeid))
		return true;
	return opcode != FUSE_GETATTR && opcode != FUSE_SETATTR &&
	       fuse_attr_in(opcode, (void *)body, len) &&
	       notify_changed_since(turn, entry->nodeid);
}

uint64_t fuse_expire(const struct request *req, void *body, size_t len)
{
	bool changed = has_changed(req, body, len);
	uint32_t opcode = req->header.opcode;
	struct fuse_statx_out *statx = body;

	if (opcode == FUSE_READDIRPLUS)
		expire_readdirplus(req, body, len, changed);
	if (!changed)
		return 0;
	if (fuse_attr_in(opcode, body, len))
		expire_attr(opcode, body);
	switch (opcode) {
	case FUSE_OPEN:
	case FUSE_OPENDIR:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		expire_open(opcode, body, len);
		break;
	case FUSE_STATX:
		if (len >= sizeof(*statx))
			statx->attr_valid = statx->attr_valid_nsec = 0;
		break;
	case FUSE_READDIRPLUS:
	case FUSE_READDIR:
		return req->header.nodeid;
	}
	return 0;
}
