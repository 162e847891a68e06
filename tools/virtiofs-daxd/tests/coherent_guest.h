/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of a daemon with --cache=coherent, for tests: what it asks, and what it
 * hears of changes.
 */
#ifndef VIRTIOFS_DAXD_COHERENT_GUEST_H
#define VIRTIOFS_DAXD_COHERENT_GUEST_H

#include "frontend.h"

#define SIZE 5000

/* Messages, and features, that are not in every <linux/fuse.h> */
#define INC_EPOCH 8
#define EVENT 10
#define ORDERED (1ULL << 60)
#define FSNOTIFY (1ULL << 61)

/* A year, s. What may be kept for as long as one likes is kept longer. */
#define UNBOUNDED 31536000u

extern struct frontend fe;
extern const char *const options[];

/* The longest there is. */
union note {
	struct fuse_out_header header;
	struct {
		struct fuse_out_header header_;
		struct fuse_notify_inval_inode_out arg;
	} inode;
	struct {
		struct fuse_out_header header_;
		struct fuse_notify_inval_entry_out arg;
		char name[256];
	} entry;
	struct {
		struct fuse_out_header header_;
		struct fuse_notify_delete_out arg;
		char name[256];
	} gone;
	struct {
		struct fuse_out_header header_;
		uint64_t nodeid;
		uint32_t mask;
		uint32_t cookie;
		uint32_t namelen;
		uint32_t padding;
		char name[256];
	} event;
	char room[512];
};

/* What has been heard. */
#define MAX_NOTES 16384
extern union note notes[MAX_NOTES];
extern unsigned int num_notes;

/* What is in the used ring now, or comes within some time. */
void hear(unsigned int ms);
/* Whether that is nothing. */
bool silent(void);

/* Whether this is among what has been heard. */
bool heard_inode(uint64_t node, int64_t offset);
/* That data has changed, but what shows it need not be given up. */
bool heard_shown(uint64_t node);
bool heard_entry(uint64_t dir, const char *name);
bool heard_gone(uint64_t dir, uint64_t child, const char *name);
bool heard_epoch(void);

/*
 * A request that has nothing to do with what was changed. When its answer is there, so
 * is what was to be said before: it is not waited for.
 */
bool barrier(void);

/* INIT, of a guest that knows of these features. */
bool session(uint64_t flags, struct fuse_init_out *out);
/* The same with a daemon of its own, which must agree to them. */
bool begin_with(const char *const *args, uint64_t flags);
/* The same with @options, of a guest that gets answers in order. */
bool begin(void);

/* Requests. */
int look_up(uint64_t dir, const char *name, struct fuse_entry_out *entry);
bool getattr(uint64_t node, struct fuse_attr_out *out);
void forget(uint64_t node, uint64_t count);

/* What the host writes to a file of the share. */
bool put(const char *name, const char *text, int flags);

#endif
