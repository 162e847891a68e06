// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_complete.h"

#include <linux/fuse.h>

#include "dax/dax_map.h"

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
