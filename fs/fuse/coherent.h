/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What may be believed for as long as the server does not correct it.
 */
#ifndef _FS_FUSE_COHERENT_H
#define _FS_FUSE_COHERENT_H

#include <linux/types.h>

struct fuse_coherent;
struct fuse_conn;
struct inode;
struct qstr;

/* For a connection whose server says what changes, before the next answer */
void fuse_coherent_enable(struct fuse_conn *fc);
void fuse_coherent_free(struct fuse_coherent *co);
u64 fuse_coherent_init_flags(const struct fuse_conn *fc);
void fuse_coherent_answered(struct fuse_conn *fc, u64 flags);

/* Something has changed. They do not sleep */
void fuse_coherent_node_changed(struct fuse_conn *fc, u64 nodeid);
void fuse_coherent_data_changed(struct fuse_conn *fc, u64 nodeid);
void fuse_coherent_listing_changed(struct fuse_conn *fc, u64 nodeid);
void fuse_coherent_name_changed(struct fuse_conn *fc, u64 parent,
				const struct qstr *name);
void fuse_coherent_all_changed(struct fuse_conn *fc);

/*
 * Whether something is still as it was found by a request before which
 * fuse_get_attr_version() was @asked; true where the server does not say
 */
bool fuse_coherent_node(struct fuse_conn *fc, u64 nodeid, u64 asked);
bool fuse_coherent_data(struct fuse_conn *fc, u64 nodeid, u64 asked);
bool fuse_coherent_listing(struct fuse_conn *fc, u64 nodeid, u64 asked);
bool fuse_coherent_name(struct fuse_conn *fc, u64 parent,
			const struct qstr *name, u64 asked);

/* Answers that there is no such extended attribute, or could be none */
int fuse_coherent_xattr_absent(struct inode *inode, const char *name);
void fuse_coherent_xattr_learnt(struct inode *inode, const char *name,
				int err, u64 asked);

#endif /* _FS_FUSE_COHERENT_H */
