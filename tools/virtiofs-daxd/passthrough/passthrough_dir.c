// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on names and directories.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/util.h"
#include "passthrough/passthrough_i.h"
#include "passthrough/passthrough_label.h"

/* What one getdents64() may bring, and what one reply may hold. */
#define DIRENTS_SIZE (32u << 10)
/* For so many directories it is kept: the guest may open any number of them. */
#define DIRENTS_KEPT 64
#define READDIR_MAX (1u << 20)

#define RENAME_FLAGS (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)

/*
 * The directory in which a name is to be changed.
 * Return: a reference, until node_done(), or NULL. @path is its descriptor, or the
 * error to answer.
 */
static struct node *dir_for_change(struct pt *pt, fuse_ino_t ino,
				   const char *name, int *path)
{
	struct node *dir;

	*path = -EROFS;
	if (pt->opts.readonly)
		return NULL;
	*path = -EINVAL;
	if (!name_valid(name))
		return NULL;
	dir = node_get(pt, ino);
	if (!dir)
		*path = -ENOENT;
	else if (dir->type != S_IFDIR)
		*path = -ENOTDIR;
	else
		*path = node_path(dir);
	return dir;
}

static void node_done(struct pt *pt, struct node *node, int path)
{
	if (node)
		node_path_put(node, path);
	node_put(pt, node);
}

static void reply_entry(fuse_req_t req, int ret,
			const struct fuse_entry_param *e)
{
	struct pt *pt = req_pt(req);

	/* A reply that does not arrive leaves a lookup nobody will forget. */
	if (ret)
		fuse_reply_err(req, -ret);
	else if (fuse_reply_entry(req, e) && e->ino)
		node_forget(pt, e->ino, 1);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct pt *pt = req_pt(req);
	struct node *dir = node_get(pt, parent);
	struct fuse_entry_param e;
	int ret = -ENOENT;

	if (dir)
		ret = pt->exports && name_dot(name) ?
		      node_lookup_dot(pt, dir, name, &e) :
		      node_lookup(pt, dir, name, &e);
	/* Only who has the share alone, or is told, may trust that a name stays absent. */
	if (dir && ret == -ENOENT && (pt_keeps_names(pt) || dir->seen)) {
		e = (struct fuse_entry_param){
			.entry_timeout = node_timeout(pt, dir),
		};
		ret = 0;
	}
	node_put(pt, dir);
	reply_entry(req, ret, &e);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	node_forget(req_pt(req), ino, nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	struct pt *pt = req_pt(req);

	for (size_t i = 0; i < count; i++)
		node_forget(pt, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* What is to be made under a name. */
struct make {
	mode_t mode;
	dev_t rdev;
	const char *target;
};

static int make_at(int dirfd, const char *name, const struct make *make)
{
	int ret;

	if (make->target)
		ret = symlinkat(make->target, dirfd, name);
	else if (S_ISDIR(make->mode))
		ret = mkdirat(dirfd, name, make->mode);
	else
		ret = mknodat(dirfd, name, make->mode, make->rdev);
	return ret ? -errno : 0;
}

static void make_entry(fuse_req_t req, fuse_ino_t parent, const char *name,
		       const struct make *make)
{
	struct pt *pt = req_pt(req);
	struct fuse_entry_param e;
	int path, ret;
	struct node *dir = dir_for_change(pt, parent, name, &path);

	ret = min(path, 0);
	if (!ret)
		ret = fd_probe(pt) ?: cred_enter(pt, req);
	if (!ret) {
		ret = make_at(path, name, make);
		cred_leave(pt, req);
	}
	if (!ret)
		ret = label_made(pt, path, name, make->target ||
				 !S_ISDIR(make->mode) ? 0 : AT_REMOVEDIR);
	if (!ret)
		ret = node_lookup(pt, dir, name, &e);
	node_done(pt, dir, path);
	reply_entry(req, ret, &e);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	struct make make = { .mode = mode, .rdev = rdev };

	if (S_ISDIR(mode) || S_ISLNK(mode))
		fuse_reply_err(req, EINVAL);
	else
		make_entry(req, parent, name, &make);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct make make = { .mode = (mode & ~S_IFMT) | S_IFDIR };

	make_entry(req, parent, name, &make);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name)
{
	struct make make = { .target = target };

	make_entry(req, parent, name, &make);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
	     const char *name)
{
	struct pt *pt = req_pt(req);
	struct node *node = node_get(pt, ino);
	int from = node ? node_path(node) : -ENOENT;
	struct fuse_entry_param e;
	int path, ret;
	struct node *dir = dir_for_change(pt, parent, name, &path);

	ret = min(path, 0) ?: min(from, 0) ?: fd_probe(pt);
	/* Follows the name in /proc, which is the file, never further. */
	if (!ret && linkat(pt->proc_fd, proc_name(from).s, path, name,
			   AT_SYMLINK_FOLLOW))
		ret = -errno;
	if (!ret)
		ret = node_lookup(pt, dir, name, &e);
	node_done(pt, dir, path);
	node_done(pt, node, from);
	reply_entry(req, ret, &e);
}

static void remove_entry(fuse_req_t req, fuse_ino_t parent, const char *name,
			 int flags)
{
	struct pt *pt = req_pt(req);
	int path, ret;
	struct node *dir = dir_for_change(pt, parent, name, &path);

	ret = min(path, 0);
	if (!ret && unlinkat(path, name, flags))
		ret = -errno;
	node_done(pt, dir, path);
	fuse_reply_err(req, -ret);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_entry(req, parent, name, 0);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_entry(req, parent, name, AT_REMOVEDIR);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct pt *pt = req_pt(req);
	int path, to_path, ret;
	struct node *from = dir_for_change(pt, parent, name, &path);
	struct node *to = dir_for_change(pt, newparent, newname, &to_path);

	ret = min(path, 0) ?: min(to_path, 0);
	if (!ret && (flags & ~RENAME_FLAGS))
		ret = -EINVAL;
	if (!ret && renameat2(path, name, to_path, newname, flags))
		ret = -errno;
	node_done(pt, from, path);
	node_done(pt, to, to_path);
	fuse_reply_err(req, -ret);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct node *node = node_get(pt, ino);
	int ret = -ENOENT;
	bool keep = pt_keeps_names(pt) || (node && node->seen);

	if (node)
		ret = node_reopen(pt, node, O_RDONLY | O_DIRECTORY);
	if (ret >= 0)
		ret = handle_open(pt, node, ret, &fi->fh);
	node_put(pt, node);
	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	if (keep) {
		fi->cache_readdir = 1;
		fi->keep_cache = 1;
	}
	if (fuse_reply_open(req, fi)) {
		struct handle *handle = handle_get(pt, fi->fh, S_IFDIR);

		if (handle)
			handle_close(pt, handle);
		handle_put(pt, handle);
	}
}

/* Make the entries at a cookie available. Caller holds handle->lock. */
static int dir_fill(struct pt *pt, struct handle *handle, off_t off)
{
	ssize_t len;

	if (!handle->dirents) {
		handle->dirents = malloc(DIRENTS_SIZE);
		if (!handle->dirents)
			return -ENOMEM;
		__atomic_add_fetch(&pt->nr_dirents, 1, __ATOMIC_RELAXED);
		handle->dir_off = -1;
		handle->dir_pos = 0;
		handle->dir_len = 0;
	}
	/* From the start means afresh, as rewinddir() does. */
	if (off && off == handle->dir_off && handle->dir_pos < handle->dir_len)
		return 0;
	if ((!off || off != handle->dir_off) &&
	    lseek(handle->fd, off, SEEK_SET) < 0)
		return -errno;
	handle->dir_off = off;
	handle->dir_pos = 0;
	handle->dir_len = 0;
	len = getdents64(handle->fd, handle->dirents, DIRENTS_SIZE);
	if (len < 0)
		return -errno;
	handle->dir_len = (size_t)len;
	return 0;
}

/* What lies above the share is nobody's business. */
static ino_t dirent_ino(struct pt *pt, const struct handle *handle,
			const struct dirent64 *d)
{
	if (handle->node == pt->root && name_dot(d->d_name))
		return pt->root->key.ino;
	return d->d_ino;
}

/* One entry of a reply. Return: bytes it takes; more than @size: none taken. */
static size_t dir_add_plain(fuse_req_t req, struct handle *handle,
			    const struct dirent64 *d, char *buf, size_t size)
{
	struct stat st = {
		.st_ino = dirent_ino(req_pt(req), handle, d),
		.st_mode = (mode_t)DTTOIF(d->d_type),
	};

	return fuse_add_direntry(req, buf, size, d->d_name, &st, d->d_off);
}

static size_t dir_add_plus(fuse_req_t req, struct handle *handle,
			   const struct dirent64 *d, char *buf, size_t size)
{
	struct pt *pt = req_pt(req);
	struct fuse_entry_param e = { 0 };
	size_t len = fuse_add_direntry_plus(req, NULL, 0, d->d_name, NULL, 0);

	/* Look up only what is sent, or the guest could not forget it. */
	if (len > size)
		return len;
	if (name_dot(d->d_name) ||
	    node_lookup(pt, handle->node, d->d_name, &e)) {
		e = (struct fuse_entry_param){
			.attr.st_ino = dirent_ino(pt, handle, d),
			.attr.st_mode = (mode_t)DTTOIF(d->d_type),
		};
	}
	return fuse_add_direntry_plus(req, buf, size, d->d_name, &e, d->d_off);
}

typedef size_t (*dir_add_t)(fuse_req_t req, struct handle *handle,
			    const struct dirent64 *d, char *buf, size_t size);

/*
 * Fill a reply from the cookie @off on. Caller holds handle->lock.
 * Return: bytes, 0 at the end, or a negative errno if there is not even one.
 */
static ssize_t dir_read(fuse_req_t req, struct handle *handle, off_t off,
			char *buf, size_t size, dir_add_t add)
{
	size_t used = 0;
	int ret;

	for (;;) {
		const struct dirent64 *d;
		size_t len;

		ret = dir_fill(req_pt(req), handle, off);
		if (ret || !handle->dir_len)
			break;
		d = (void *)(handle->dirents + handle->dir_pos);
		len = add(req, handle, d, buf + used, size - used);
		if (len > size - used) {
			ret = -EINVAL;
			break;
		}
		used += len;
		off = d->d_off;
		handle->dir_off = off;
		handle->dir_pos += d->d_reclen;
	}
	return used ? (ssize_t)used : ret;
}

/* The guest will not get this reply, so it forgets nothing that is in it. */
static void dir_undo_plus(struct pt *pt, const char *buf, size_t len)
{
	while (len) {
		struct fuse_direntplus d;
		size_t size;

		memcpy(&d, buf, sizeof(d));
		size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS +
					 d.dirent.namelen);
		if (d.entry_out.nodeid)
			node_forget(pt, d.entry_out.nodeid, 1);
		buf += size;
		len -= size;
	}
}

static void do_readdir(fuse_req_t req, size_t size, off_t off,
		       struct fuse_file_info *fi, dir_add_t add)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFDIR);
	char *buf = NULL;
	ssize_t len = -EBADF;

	if (size > READDIR_MAX)
		size = READDIR_MAX;
	if (handle) {
		buf = malloc(size);
		len = buf ? 0 : -ENOMEM;
	}
	if (buf) {
		pthread_mutex_lock(&handle->lock);
		len = dir_read(req, handle, off, buf, size, add);
		if (__atomic_load_n(&pt->nr_dirents, __ATOMIC_RELAXED) >
		    DIRENTS_KEPT)
			handle_drop_dirents(pt, handle);
		pthread_mutex_unlock(&handle->lock);
	}
	if (len < 0)
		fuse_reply_err(req, (int)-len);
	else if (fuse_reply_buf(req, buf, (size_t)len) && add == dir_add_plus)
		dir_undo_plus(pt, buf, (size_t)len);
	handle_put(pt, handle);
	free(buf);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	(void)ino;
	do_readdir(req, size, off, fi, dir_add_plain);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)ino;
	do_readdir(req, size, off, fi, dir_add_plus);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFDIR);

	(void)ino;
	if (handle) {
		locks_release(pt, handle);
		handle_close(pt, handle);
	}
	handle_put(pt, handle);
	fuse_reply_err(req, handle ? 0 : EBADF);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFDIR);
	int error = 0;

	(void)ino;
	if (!handle)
		error = EBADF;
	else if (datasync ? fdatasync(handle->fd) : fsync(handle->fd))
		error = errno;
	handle_put(pt, handle);
	fuse_reply_err(req, error);
}
