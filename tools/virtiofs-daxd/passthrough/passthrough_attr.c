// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on attributes, links' contents and extended attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/util.h"
#include "passthrough/passthrough_i.h"

#define ACL_PREFIX "system.posix_acl_"
#define ACL_ACCESS ACL_PREFIX "access"

/* Any group will do; this is nobody's on most systems. */
#define OTHER_GROUP 65534

/* By the open file if the guest names one, else by the node; how long it may be kept. */
static int attr_stat(struct pt *pt, fuse_ino_t ino,
		     const struct fuse_file_info *fi, struct stat *st,
		     double *timeout)
{
	struct handle *handle = fi ? handle_get(pt, fi->fh, S_IFREG) : NULL;
	struct node *node = handle ? NULL : node_get(pt, ino);
	int ret = -ENOENT;

	if (handle)
		ret = fstat(handle->fd, st) ? -errno : 0;
	else if (node)
		ret = node_stat(node, st);
	if (!ret) {
		cred_seen(pt, st);
		*timeout = node_timeout(pt, handle ? handle->node : node);
	}
	handle_put(pt, handle);
	node_put(pt, node);
	return ret;
}

static void reply_attr(fuse_req_t req, int ret, const struct stat *st,
		       double timeout)
{
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_attr(req, st, timeout);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	double timeout = 0;
	int ret = attr_stat(req_pt(req), ino, fi, &st, &timeout);

	reply_attr(req, ret, &st, timeout);
}

int pt_statx(struct pt *pt, uint64_t nodeid, uint64_t fh, unsigned int flags,
	     unsigned int mask, struct statx *stx, double *timeout)
{
	struct handle *handle = NULL;
	struct node *node = NULL;
	int ret = -ENOENT;

	if (fh != UINT64_MAX)
		handle = handle_get(pt, fh, S_IFREG);
	if (!handle)
		node = node_get(pt, nodeid);
	if (handle || node)
		ret = handle ? handle->fd : node_path(node);
	if (ret >= 0) {
		int fd = ret;

		ret = statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW |
			    (flags & AT_STATX_SYNC_TYPE),
			    mask & STATX_ALL, stx) ? -errno : 0;
		if (!handle)
			node_path_put(node, fd);
		stx->stx_uid = ids_to_guest(&pt->opts.uids, stx->stx_uid);
		stx->stx_gid = ids_to_guest(&pt->opts.gids, stx->stx_gid);
	}
	if (!ret)
		*timeout = node_timeout(pt, handle ? handle->node : node);
	handle_put(pt, handle);
	node_put(pt, node);
	return ret;
}

static int set_owner(const struct pt *pt, int path, const struct stat *attr,
		     int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	int ret = cred_owner(pt, &uid, &gid);

	if (ret)
		return ret;
	if (fchownat(path, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -errno;
	return 0;
}

static int set_size(struct pt *pt, const struct node *node,
		    const struct handle *handle, off_t size)
{
	int fd = handle ? handle->fd : node_reopen(pt, node, O_WRONLY);
	bool dropped;
	int ret;

	if (fd < 0)
		return fd;
	dropped = request_kill_suidgid() && pt_drop_fsetid();
	ret = ftruncate(fd, size) ? -errno : 0;
	if (dropped)
		pt_regain_fsetid();
	if (!handle)
		close(fd);
	return ret;
}

/* The name in /proc is the file itself, a symbolic link too. */
static int set_mode(struct pt *pt, int path, mode_t mode)
{
	if (fchmodat(pt->proc_fd, proc_name(path).s, mode & 07777, 0))
		return -errno;
	return 0;
}

static struct timespec set_time(int to_set, int set, int now,
				struct timespec time)
{
	if (to_set & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (to_set & set)
		return time;
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_times(int path, const struct stat *attr, int to_set)
{
	struct timespec times[] = {
		set_time(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW,
			 attr->st_atim),
		set_time(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW,
			 attr->st_mtim),
	};

	if (utimensat(path, "", times, AT_EMPTY_PATH))
		return -errno;
	return 0;
}

/*
 * The mode comes after owner and size, which may clear set-id bits that the
 * guest wants to have; the times come last, as the others change them.
 */
static int set_attr(struct pt *pt, const struct node *node,
		    const struct handle *handle, const struct stat *attr,
		    int to_set)
{
	int path = handle ? handle->fd : node_path(node), ret = 0;

	if (path < 0)
		return path;

	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		ret = set_owner(pt, path, attr, to_set);
	if (!ret && (to_set & FUSE_SET_ATTR_SIZE))
		ret = set_size(pt, node, handle, attr->st_size);
	if (!ret && (to_set & FUSE_SET_ATTR_MODE))
		ret = set_mode(pt, path, attr->st_mode);
	if (!ret && (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)))
		ret = set_times(path, attr, to_set);
	if (!handle)
		node_path_put(node, path);
	return ret;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = fi ? handle_get(pt, fi->fh, S_IFREG) : NULL;
	struct node *node = handle ? node_ref(pt, handle->node) :
				     node_get(pt, ino);
	double timeout = 0;
	struct stat st;
	int ret = 0;

	if (pt->opts.readonly)
		ret = -EROFS;
	else if (fi && !handle)
		ret = -EBADF;
	else if (!node)
		ret = -ENOENT;
	if (!ret)
		ret = set_attr(pt, node, handle, attr, to_set);
	if (!ret && handle)
		ret = fstat(handle->fd, &st) ? -errno : 0;
	else if (!ret)
		ret = node_stat(node, &st);
	if (!ret) {
		cred_seen(pt, &st);
		timeout = node_timeout(pt, node);
	}
	node_put(pt, node);
	handle_put(pt, handle);
	reply_attr(req, ret, &st, timeout);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct pt *pt = req_pt(req);
	struct node *node = node_get(pt, ino);
	char target[PATH_MAX + 1];
	int path = node ? node_path(node) : -ENOENT;
	ssize_t len = path;

	if (path >= 0) {
		len = readlinkat(path, "", target, sizeof(target));
		if (len < 0)
			len = -errno;
		else if ((size_t)len == sizeof(target))
			len = -ENAMETOOLONG;
		node_path_put(node, path);
	}
	node_put(pt, node);
	if (len < 0) {
		fuse_reply_err(req, (int)-len);
		return;
	}
	target[len] = '\0';
	fuse_reply_readlink(req, target);
}

/*
 * Not called with default_permissions; for other drivers. Asks as the requester
 * without his supplementary groups, which nobody sends.
 */
static bool access_allowed(const struct fuse_ctx *ctx, const struct stat *st,
			   int mask)
{
	mode_t bits = st->st_mode;

	if (!ctx->uid)
		return !(mask & X_OK) || S_ISDIR(bits) || (bits & 0111);
	if (ctx->uid == st->st_uid)
		bits >>= 6;
	else if (ctx->gid == st->st_gid)
		bits >>= 3;
	return ((mode_t)mask & bits & 7) == (mode_t)mask;
}

void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct pt *pt = req_pt(req);
	struct stat st;
	double timeout;
	int ret = attr_stat(pt, ino, NULL, &st, &timeout);

	mask &= R_OK | W_OK | X_OK;
	if (!ret && pt->opts.readonly && (mask & W_OK))
		ret = -EROFS;
	else if (!ret && !access_allowed(fuse_req_ctx(req), &st, mask))
		ret = -EACCES;
	fuse_reply_err(req, -ret);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct pt *pt = req_pt(req);
	struct node *node = node_get(pt, ino);
	int path = node ? node_path(node) : -ENOENT;
	struct statvfs st;
	int ret = path;

	if (path >= 0) {
		ret = fstatvfs(path, &st) ? -errno : 0;
		node_path_put(node, path);
	}
	node_put(pt, node);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_statfs(req, &st);
}

/*
 * Extended attributes of an O_PATH descriptor have no system call before Linux
 * 6.13, but a name in /proc/self/fd does, and the thread may stand there.
 *
 * Return: the node with a reference, until xattr_end(), or NULL. @path is its
 * descriptor or a negative errno, @host what @name is called here.
 */
static struct node *xattr_begin(struct pt *pt, fuse_ino_t ino, const char *name,
				struct xattr_name *host, int *path)
{
	struct node *node;

	/* The guest does not ask again after ENOSYS, which is the point. */
	*path = -ENOSYS;
	if (!pt->opts.xattr)
		return NULL;
	/* An ACL which the guest does not obey would only deceive. */
	*path = -EOPNOTSUPP;
	if (name && !pt->opts.posix_acl &&
	    !strncmp(name, ACL_PREFIX, strlen(ACL_PREFIX)))
		return NULL;
	if (name) {
		*path = xattrmap_to_host(&pt->opts.xattrmap, name, host);
		if (*path)
			return NULL;
	}
	*path = cred_private_fs(pt);
	if (*path)
		return NULL;
	node = node_get(pt, ino);
	*path = node ? node_path(node) : -ENOENT;
	return node;
}

static void xattr_end(struct pt *pt, struct node *node, int path)
{
	if (node)
		node_path_put(node, path);
	node_put(pt, node);
}

/* One that is not the file's; who is the caller is not told in such a request. */
static gid_t other_group(int path)
{
	struct stat st;

	return fstat(path, &st) || st.st_gid != OTHER_GROUP ? OTHER_GROUP :
	       OTHER_GROUP - 1;
}

static int clear_sgid(struct pt *pt, int path)
{
	struct stat st;

	if (fstat(path, &st))
		return -errno;
	return st.st_mode & S_ISGID ?
	       set_mode(pt, path, st.st_mode & ~(mode_t)S_ISGID) : 0;
}

/*
 * As for a caller who may not keep S_ISGID, if the guest says he may not: without
 * the privilege, and in another group, as it may be kept in one's own. A daemon that
 * cannot be in another one, or has further ones, clears it afterwards.
 */
static int xattr_set(struct pt *pt, int path, const char *name,
		     const char *value, size_t size, int flags)
{
	bool kill = request_acl_kill_sgid() && pt_drop_fsetid();
	int ret = 0;

	if (kill)
		setfsgid(other_group(path));
	if (setxattr(proc_name(path).s, name, value, size, flags))
		ret = -errno;
	if (kill) {
		setfsgid(pt->gid);
		pt_regain_fsetid();
	}
	if (!ret && request_acl_kill_sgid() && !strcmp(name, ACL_ACCESS))
		ret = clear_sgid(pt, path);
	return ret;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags)
{
	struct pt *pt = req_pt(req);
	struct xattr_name host;
	int path, ret;
	struct node *node = xattr_begin(pt, ino, name, &host, &path);

	ret = min(path, 0);
	if (!ret && pt->opts.readonly)
		ret = -EROFS;
	if (!ret)
		ret = xattr_set(pt, path, host.s, value, size, flags);
	xattr_end(pt, node, path);
	fuse_reply_err(req, -ret);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct pt *pt = req_pt(req);
	struct xattr_name host;
	int path, ret;
	struct node *node = xattr_begin(pt, ino, name, &host, &path);

	ret = min(path, 0);
	if (!ret && pt->opts.readonly)
		ret = -EROFS;
	if (!ret && removexattr(proc_name(path).s, host.s))
		ret = -errno;
	xattr_end(pt, node, path);
	fuse_reply_err(req, -ret);
}

/* A length if the guest asked for one, else the bytes. */
static void reply_xattr(fuse_req_t req, ssize_t ret, const char *buf,
			size_t size)
{
	if (ret < 0)
		fuse_reply_err(req, (int)-ret);
	else if (!size)
		fuse_reply_xattr(req, (size_t)ret);
	else if ((size_t)ret > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, buf, (size_t)ret);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct pt *pt = req_pt(req);
	struct xattr_name host;
	int path;
	struct node *node = xattr_begin(pt, ino, name, &host, &path);
	char *buf = NULL;
	ssize_t ret = min(path, 0);

	/* What may not be set is not there, rather than something to complain of. */
	if (ret == -EPERM)
		ret = -ENODATA;
	if (size > XATTR_SIZE_MAX)
		size = XATTR_SIZE_MAX;
	if (!ret && size) {
		buf = malloc(size);
		ret = buf ? 0 : -ENOMEM;
	}
	if (!ret) {
		ret = getxattr(proc_name(path).s, host.s, buf, size);
		if (ret < 0)
			ret = -errno;
	}
	xattr_end(pt, node, path);
	reply_xattr(req, ret, buf, size);
	free(buf);
}

/* Leave out the names that xattr_begin() refuses. Return: what remains. */
static ssize_t xattr_hide_acl(char *list, ssize_t len)
{
	char *to = list;

	for (char *from = list; from < list + len; ) {
		size_t n = strlen(from) + 1;

		if (strncmp(from, ACL_PREFIX, strlen(ACL_PREFIX))) {
			memmove(to, from, n);
			to += n;
		}
		from += n;
	}
	return to - list;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct pt *pt = req_pt(req);
	int path;
	struct node *node = xattr_begin(pt, ino, NULL, NULL, &path);
	char *buf = NULL;
	ssize_t ret = min(path, 0);

	/* The whole list, as its length is known only when it is filtered. */
	if (!ret) {
		buf = malloc(XATTR_LIST_MAX + 1);
		ret = buf ? 0 : -ENOMEM;
	}
	if (!ret) {
		ret = listxattr(proc_name(path).s, buf, XATTR_LIST_MAX);
		if (ret < 0)
			ret = -errno;
		else
			buf[ret] = '\0';
	}
	if (ret > 0)
		ret = xattrmap_to_guest(&pt->opts.xattrmap, buf, ret);
	if (ret > 0 && !pt->opts.posix_acl)
		ret = xattr_hide_acl(buf, ret);
	xattr_end(pt, node, path);
	reply_xattr(req, ret, buf, size);
	free(buf);
}
