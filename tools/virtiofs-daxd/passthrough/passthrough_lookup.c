// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How the guest gets to know files: a name is used once, to find one, as a single
 * component that is never followed if it is a symbolic link; from then on the file
 * is reached through its node.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/util.h"
#include "passthrough/passthrough_fhandle.h"
#include "passthrough/passthrough_i.h"

#define HASH_MIN 256

bool name_valid(const char *name)
{
	return name[0] && !strchr(name, '/') && !name_dot(name);
}

bool name_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static struct timespec timespec_of(struct statx_timestamp t)
{
	return (struct timespec){ .tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec };
}

static void stat_of(struct stat *st, const struct statx *stx)
{
	*st = (struct stat){
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = stx->stx_ino,
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = stx->stx_blocks,
		.st_atim = timespec_of(stx->stx_atime),
		.st_mtim = timespec_of(stx->stx_mtime),
		.st_ctim = timespec_of(stx->stx_ctime),
	};
}

/* stat() and the mount in one call; its id is 0 where the host cannot tell. */
static int fd_stat(int fd, struct stat *st, struct place *place)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
		  STATX_BASIC_STATS | STATX_MNT_ID, &stx))
		return -errno;
	stat_of(st, &stx);
	place->mnt = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : 0;
	place->mount_root = stx.stx_attributes & stx.stx_attributes_mask &
			    STATX_ATTR_MOUNT_ROOT;
	return 0;
}

static struct pt_seen *watch(const struct pt *pt, int fd)
{
	return pt->watches ? pt->opts.watch->add(pt->proc_fd, fd) : NULL;
}

bool pt_watch(struct pt *pt, bool on)
{
	struct node *root = pt->root;
	int path;

	pt->watches = on && pt->opts.watch;
	if (!pt->watches) {
		node_unwatch(pt, root);
		return false;
	}
	path = node_path(root);
	root->seen = path < 0 ? NULL : watch(pt, path);
	node_path_put(root, path);
	if (root->seen)
		pt->opts.watch->known(root->seen, root->obj.id);
	pt->watches = root->seen;
	return pt->watches;
}

int node_lookup_fd(struct pt *pt, int fd, struct fuse_entry_param *e)
{
	struct pt_seen *seen = watch(pt, fd);
	struct fhandle *fhandle;
	struct place place = { 0 };
	struct node *node;
	int ret;

	*e = (struct fuse_entry_param){
		.attr_timeout = pt->timeout,
		.entry_timeout = pt->timeout,
	};
	ret = fd_spared(fd) ?: fd_stat(fd, &e->attr, &place) ?:
	      fhandle_of(pt, fd, e->attr.st_mode & S_IFMT, place.mnt, &fhandle);
	if (ret) {
		pt_unwatch(pt, seen, fd);
		close(fd);
		return ret;
	}
	ret = node_of(pt, fd, fhandle, seen, &e->attr, &place, &node);
	if (ret)
		return ret;
	if (node->seen)
		pt->opts.watch->known(node->seen, node->obj.id);
	e->ino = node->obj.id;
	e->attr_timeout = node_timeout(pt, node);
	cred_seen(pt, &e->attr);
	node_put(pt, node);
	return 0;
}

/* A name of several, of a file that is not watched, may be another's soon (overlayfs). */
static double entry_timeout(const struct pt *pt, const struct node *dir,
			    const struct fuse_entry_param *e)
{
	bool several = S_ISREG(e->attr.st_mode) && e->attr.st_nlink > 1;
	double timeout = node_timeout(pt, dir);

	return several ? min(timeout, e->attr_timeout) : timeout;
}

int node_lookup(struct pt *pt, struct node *dir, const char *name,
		struct fuse_entry_param *e)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int path, fd, ret;

	if (!name_valid(name))
		return -EINVAL;
	path = node_path(dir);
	if (path < 0)
		return path;
	fd = (int)syscall(SYS_openat2, path, name, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	node_path_put(dir, path);
	ret = fd < 0 ? fd : node_lookup_fd(pt, fd, e);
	if (!ret)
		e->entry_timeout = entry_timeout(pt, dir, e);
	return ret;
}

int nodes_init(struct pt *pt, int root_fd)
{
	struct fuse_entry_param e;
	int fd, ret;

	pt->hash_size = HASH_MIN;
	pt->hash = calloc(pt->hash_size, sizeof(*pt->hash));
	if (!pt->hash)
		return -ENOMEM;
	fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = node_lookup_fd(pt, fd, &e);
	if (ret)
		return ret;
	/* The first id of a fresh table is the one the protocol prescribes. */
	if (e.ino != FUSE_ROOT_ID)
		return -EINVAL;
	if (!S_ISDIR(e.attr.st_mode))
		return -ENOTDIR;
	pt->root = node_get(pt, FUSE_ROOT_ID);
	return 0;
}
