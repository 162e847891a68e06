// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nodes: the files of the share that the guest knows.
 *
 * A node is an O_PATH descriptor, or a file handle by which there is one while it is
 * needed, so that renaming the file or putting a link in its way on the host leads
 * nowhere else. Real descriptors are opened through /proc/self/fd, which follows
 * nothing either, as the descriptor already is the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/util.h"
#include "passthrough/passthrough_fhandle.h"
#include "passthrough/passthrough_forgotten.h"
#include "passthrough/passthrough_i.h"

struct node *node_get(struct pt *pt, uint64_t nodeid)
{
	struct object *obj;

	pthread_mutex_lock(&pt->lock);
	obj = table_get(&pt->nodes, nodeid);
	pthread_mutex_unlock(&pt->lock);
	return (struct node *)obj;
}

struct node *node_ref(struct pt *pt, struct node *node)
{
	pthread_mutex_lock(&pt->lock);
	node->obj.refs++;
	pthread_mutex_unlock(&pt->lock);
	return node;
}

void pt_unwatch(struct pt *pt, struct pt_seen *seen, int path)
{
	if (seen)
		pt->opts.watch->remove(seen, pt->proc_fd, path);
}

void node_unwatch(struct pt *pt, struct node *node)
{
	int path;

	if (!node->seen)
		return;
	path = node_path(node);
	pt_unwatch(pt, node->seen, path);
	node_path_put(node, path);
	node->seen = NULL;
}

static void node_free(struct pt *pt, struct node *node)
{
	node_unwatch(pt, node);
	if (node->fd >= 0)
		close(node->fd);
	fhandle_free(pt, node->fhandle);
	free(node);
}

void node_put(struct pt *pt, struct node *node)
{
	bool last;

	if (!node)
		return;
	pthread_mutex_lock(&pt->lock);
	last = table_put(&pt->nodes, &node->obj);
	pthread_mutex_unlock(&pt->lock);
	if (!last)
		return;
	pt->node_gone(pt, node);
	node_free(pt, node);
}

int node_stat(const struct node *node, struct stat *st)
{
	int fd = node_path(node), ret = 0;

	if (fd < 0)
		return fd;
	if (fstatat(fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		ret = -errno;
	node_path_put(node, fd);
	return ret;
}

int node_path(const struct node *node)
{
	return node->fd >= 0 ? node->fd : fhandle_open(node->fhandle, O_PATH);
}

void node_path_put(const struct node *node, int fd)
{
	if (fd >= 0 && fd != node->fd)
		close(fd);
}

static int node_open(struct pt *pt, const struct node *node, int flags)
{
	int fd;

	if (node->fhandle)
		return fhandle_open(node->fhandle, flags);
	fd = openat(pt->proc_fd, proc_name(node->fd).s, flags);
	return fd < 0 ? -errno : fd;
}

int pt_node_key(struct pt *pt, uint64_t nodeid, struct pt_key *key)
{
	struct node *node = node_get(pt, nodeid);

	if (!node)
		return -ENOENT;
	*key = node->key;
	node_put(pt, node);
	return 0;
}

bool pt_node_submount(struct pt *pt, uint64_t nodeid)
{
	struct node *node = pt->submounts ? node_get(pt, nodeid) : NULL;
	bool submount = node && node->submount && node != pt->root;

	node_put(pt, node);
	return submount;
}

bool pt_node_dax(struct pt *pt, const struct stat *st)
{
	return S_ISREG(st->st_mode) && pt->opts.dax_attr_min != UINT64_MAX &&
	       (uint64_t)st->st_size >= pt->opts.dax_attr_min;
}

int node_reopen(struct pt *pt, const struct node *node, int flags)
{
	int fd;

	/* Opening a device or a pipe acts on the host or blocks. */
	if (node->type != S_IFREG && node->type != S_IFDIR)
		return -ENXIO;
	flags = (flags & ~O_NOFOLLOW) | O_CLOEXEC;
	/* To be read is a change, too. Only the owner may ask that it is none. */
	if (pt->opts.readonly) {
		fd = node_open(pt, node, flags | O_NOATIME);
		if (fd != -EPERM)
			return fd;
	}
	return node_open(pt, node, flags);
}

/* The chain a key belongs to. Caller holds pt->lock. */
static struct node **node_chain(struct pt *pt, const struct pt_key *key)
{
	uint64_t h = (uint64_t)key->ino * 0x9e3779b97f4a7c15ull;

	h ^= (uint64_t)key->dev * 0xc2b2ae3d27d4eb4full;
	return &pt->hash[(h ^ h >> 32) & (pt->hash_size - 1)];
}

/* Keep chains short; if there is no memory they grow. Caller holds pt->lock. */
static void node_rehash(struct pt *pt)
{
	struct node **old = pt->hash;
	size_t old_size = pt->hash_size;
	struct node **hash = calloc(old_size * 2, sizeof(*hash));

	if (!hash)
		return;
	pt->hash = hash;
	pt->hash_size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		struct node *node = old[i];

		while (node) {
			struct node *next = node->hash_next;
			struct node **chain = node_chain(pt, &node->key);

			node->hash_next = *chain;
			*chain = node;
			node = next;
		}
	}
	free(old);
}

/* Caller holds pt->lock. */
static void node_hash(struct pt *pt, struct node *node)
{
	struct node **chain;

	if (pt->hash_count >= pt->hash_size)
		node_rehash(pt);
	chain = node_chain(pt, &node->key);
	node->hash_next = *chain;
	*chain = node;
	node->hashed = true;
	pt->hash_count++;
}

/* It is not found by its file any more. Caller holds pt->lock. */
static void node_unhash(struct pt *pt, struct node *node)
{
	struct node **p = node_chain(pt, &node->key);

	if (!node->hashed)
		return;
	while (*p != node)
		p = &(*p)->hash_next;
	*p = node->hash_next;
	node->hashed = false;
	pt->hash_count--;
}

/* Caller holds pt->lock and a reference. */
static void node_kill(struct pt *pt, struct node *node)
{
	if (node->obj.dead)
		return;
	node_unhash(pt, node);
	forgotten_remove(pt, node);
	node->nlookup = 0;
	pt->known.nr -= node->fhandle != NULL;
	table_kill(&pt->nodes, &node->obj);
}

static bool node_same_number(const struct node *node, const struct node *other)
{
	return node->key.ino == other->key.ino &&
	       node->key.dev == other->key.dev && node->mnt == other->mnt;
}

/*
 * Whether they are one file. A descriptor keeps the number for its file; of what has
 * a handle only, another file may have the number by now.
 */
static bool node_same(const struct node *node, const struct node *other)
{
	if (!node_same_number(node, other))
		return false;
	return !node->fhandle ||
	       (other->fhandle && fhandle_same(node->fhandle, other->fhandle));
}

/* The live node of a file, with a reference and a lookup. */
static struct node *node_find(struct pt *pt, const struct node *like)
{
	struct node *node;

	for (node = *node_chain(pt, &like->key); node; node = node->hash_next) {
		if (!node_same(node, like))
			continue;
		forgotten_remove(pt, node);
		node->obj.refs++;
		node->nlookup++;
		break;
	}
	return node;
}

/*
 * Of a number that is used again the older file is gone, and nobody looks for that.
 * So there is one node for a number, however often a guest makes and removes files.
 * Caller holds pt->lock; @node is of a file that exists and has no node.
 *
 * Return: the older node with a reference, if it has been killed, or NULL.
 */
static struct node *node_outlive(struct pt *pt, const struct node *node)
{
	struct node *old = *node_chain(pt, &node->key);

	while (old && (!old->fhandle || !node->fhandle ||
		       !node_same_number(old, node)))
		old = old->hash_next;
	if (!old)
		return NULL;
	node_unhash(pt, old);
	if (!old->forgotten)
		return NULL;
	old->obj.refs++;
	node_kill(pt, old);
	return old;
}

/*
 * Takes the descriptor if there is no handle, the handle, and what it is watched by,
 * unless it fails.
 */
static struct node *node_new(int fd, struct fhandle *fhandle,
			     struct pt_seen *seen,
			     const struct stat *st, const struct place *place)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->fd = fhandle ? -1 : fd;
	node->fhandle = fhandle;
	node->seen = seen;
	node->key = (struct pt_key){ .dev = st->st_dev, .ino = st->st_ino };
	node->mnt = place->mnt;
	node->type = st->st_mode & S_IFMT;
	node->submount = place->mount_root && node->type == S_IFDIR;
	node->nlookup = 1;
	return node;
}

/*
 * Make a node known. Caller holds pt->lock.
 * Return: 0 or a negative errno; @gone is of the file that had its number, or NULL.
 */
static int node_add(struct pt *pt, struct node *node, struct node **gone)
{
	if (node->fhandle && known_full(pt))
		return -ENFILE;
	if (table_add(&pt->nodes, &node->obj))
		return -ENOMEM;
	*gone = node_outlive(pt, node);
	node_hash(pt, node);
	pt->known.nr += node->fhandle != NULL;
	return 0;
}

int node_of(struct pt *pt, int fd, struct fhandle *fhandle, struct pt_seen *seen,
	    const struct stat *st, const struct place *place,
	    struct node **found)
{
	struct node *fresh = node_new(fd, fhandle, seen, st, place);
	struct node *node, *gone = NULL;
	int ret = 0;

	if (!fresh) {
		pt_unwatch(pt, seen, fd);
		close(fd);
		fhandle_free(pt, fhandle);
		return -ENOMEM;
	}
	pthread_mutex_lock(&pt->lock);
	node = node_find(pt, fresh);
	if (!node) {
		ret = node_add(pt, fresh, &gone);
		node = ret ? NULL : fresh;
	}
	pthread_mutex_unlock(&pt->lock);
	if (node != fresh) {
		/* While there is a descriptor: by a handle it would be opened again. */
		pt_unwatch(pt, seen, fd);
		fresh->seen = NULL;
	}
	/* Until now it has kept the file, so that its number was its own. */
	if (fhandle)
		close(fd);
	node_put(pt, gone);
	if (node != fresh)
		node_free(pt, fresh);
	*found = node;
	return ret;
}

/*
 * Kill a node that the guest has forgotten, or keep it, and kill the oldest of too many.
 * Caller holds pt->lock. Return: that one with a reference, or NULL.
 */
static struct node *node_forgotten(struct pt *pt, struct node *node)
{
	if (!pt->exports || !node->fhandle || !node->hashed) {
		node_kill(pt, node);
		return NULL;
	}
	forgotten_add(pt, node);
	node = forgotten_excess(pt);
	if (node) {
		node->obj.refs++;
		node_kill(pt, node);
	}
	return node;
}

void node_forget(struct pt *pt, uint64_t nodeid, uint64_t count)
{
	struct node *node, *gone = NULL;

	pthread_mutex_lock(&pt->lock);
	node = (struct node *)table_get(&pt->nodes, nodeid);
	/* A guest may forget too much; the root stays whatever it says. */
	if (node && node != pt->root) {
		node->nlookup -= count < node->nlookup ? count : node->nlookup;
		if (!node->nlookup)
			gone = node_forgotten(pt, node);
	}
	pthread_mutex_unlock(&pt->lock);
	node_put(pt, gone);
	node_put(pt, node);
}

void nodes_reset(struct pt *pt)
{
	struct node *doomed = NULL;
	struct object *obj;
	uint32_t pos = 0;

	pthread_mutex_lock(&pt->lock);
	while ((obj = table_next(&pt->nodes, &pos))) {
		struct node *node = (struct node *)obj;

		if (node == pt->root)
			continue;
		obj->refs++;
		node_kill(pt, node);
		node->hash_next = doomed;
		doomed = node;
	}
	if (pt->root)
		pt->root->stamp = (struct stamp){ 0 };
	pthread_mutex_unlock(&pt->lock);

	while (doomed) {
		struct node *next = doomed->hash_next;

		node_put(pt, doomed);
		doomed = next;
	}
}

void nodes_free(struct pt *pt)
{
	nodes_reset(pt);
	if (pt->root) {
		pthread_mutex_lock(&pt->lock);
		node_kill(pt, pt->root);
		pthread_mutex_unlock(&pt->lock);
		node_put(pt, pt->root);
	}
	free(pt->hash);
	table_free(&pt->nodes);
}
