// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Operations on open regular files.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/util.h"
#include "passthrough/passthrough_i.h"
#include "passthrough/passthrough_label.h"

/*
 * Flags of the guest's open() that mean something to the host file. O_APPEND is
 * taken from each write (see pt_write()), unless the file may do nothing but
 * grow; O_DIRECT concerns the guest's cache, and its buffers need not suit the
 * host, and O_NOATIME may not be allowed, so these two have options; O_NOFOLLOW and
 * others that act on names have been dealt with.
 */
#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC)

/* One request must not keep a thread for ever; the guest asks for the rest. */
#define COPY_MAX (256u << 20)

static int open_flags(const struct pt *pt, int flags)
{
	int known = OPEN_FLAGS | (pt->opts.allow_direct_io ? O_DIRECT : 0) |
		    (pt->opts.preserve_noatime ? O_NOATIME : 0);
	int host = flags & known;

	/* Pages that are partly written are read first. */
	if (pt->writeback && (flags & O_ACCMODE) == O_WRONLY)
		host = (host & ~O_ACCMODE) | O_RDWR;
	return host;
}

static bool opens_for_change(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_TRUNC | O_CREAT));
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether the data is as it was at the guest's last open(). */
static bool node_unchanged(struct pt *pt, struct node *node,
			   const struct stat *st)
{
	struct stamp now = {
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
		.size = st->st_size,
	};
	bool same;

	pthread_mutex_lock(&pt->lock);
	same = node->stamp.size == now.size &&
	       same_time(node->stamp.mtime, now.mtime) &&
	       same_time(node->stamp.ctime, now.ctime);
	node->stamp = now;
	pthread_mutex_unlock(&pt->lock);
	return same;
}

/*
 * Whether somebody has it open for writing, this guest included, and may do so by
 * mmap, of which we hear when he closes it.
 */
static bool has_writer(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK))
		return true;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

/*
 * What the guest may do with its cache of this file. A guest with which this is coherent
 * tells of a close that ends locks even if it need not tell of any.
 */
static void open_cache(struct pt *pt, struct node *node, int fd,
		       struct fuse_file_info *fi)
{
	struct stat st;
	bool unchanged;

	if (fstat(fd, &st))
		return;
	unchanged = node_unchanged(pt, node, &st);
	switch (pt->opts.cache) {
	case PT_CACHE_ALWAYS:
		fi->keep_cache = 1;
		break;
	case PT_CACHE_AUTO:
		fi->keep_cache = unchanged;
		break;
	case PT_CACHE_COHERENT:
		fi->keep_cache = unchanged && (!node->seen || !has_writer(fd));
		fi->noflush = pt->watches && (fi->flags & O_ACCMODE) == O_RDONLY;
		break;
	case PT_CACHE_METADATA:
	case PT_CACHE_NEVER:
		/*
		 * Means nothing for a file the guest has in the window; there
		 * is no way to know. What it has there is the host's cache, so
		 * nothing is to be dropped.
		 */
		fi->direct_io = 1;
		fi->keep_cache = pt_node_dax(pt, &st);
		break;
	}
}

/* A handle for a descriptor of a node; takes the descriptor. */
static int open_handle(struct pt *pt, struct node *node, int fd,
		       struct fuse_file_info *fi)
{
	open_cache(pt, node, fd, fi);
	return handle_open(pt, node, fd, &fi->fh);
}

/* The guest has not got the answer, so it will not release the handle. */
static void open_undo(struct pt *pt, uint64_t fh)
{
	struct handle *handle = handle_get(pt, fh, S_IFREG);

	if (handle)
		handle_close(pt, handle);
	handle_put(pt, handle);
}

static int open_node(struct pt *pt, struct node *node, int flags)
{
	bool dropped;
	int fd;

	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -ENXIO;
	if (pt->opts.readonly && opens_for_change(flags))
		return -EROFS;
	/* What fails has not taken anything away. */
	fd = flags & O_TRUNC ? fd_probe_open(pt) : 0;
	if (fd)
		return fd;
	dropped = request_kill_suidgid() && pt_drop_fsetid();
	fd = node_reopen(pt, node, open_flags(pt, flags));
	/*
	 * chattr +a: the host insists on what the guest asked for anyway. But who
	 * writes whole pages later on does not append.
	 */
	if (fd == -EPERM && (flags & O_APPEND) && !pt->writeback)
		fd = node_reopen(pt, node, open_flags(pt, flags) | O_APPEND);
	if (dropped)
		pt_regain_fsetid();
	return fd;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct node *node = node_get(pt, ino);
	int ret = -ENOENT;

	if (node)
		ret = open_node(pt, node, fi->flags);
	if (ret >= 0)
		ret = open_handle(pt, node, ret, fi);
	node_put(pt, node);
	if (ret)
		fuse_reply_err(req, -ret);
	else if (fuse_reply_open(req, fi))
		open_undo(pt, fi->fh);
}

/* With its label, or it is gone again. Takes the descriptor on failure. */
static int create_label(struct pt *pt, int dir, const char *name, int fd)
{
	int ret = label_set(pt, fd);

	if (!ret)
		return fd;
	if (name)
		unlinkat(dir, name, 0);
	close(fd);
	return ret;
}

/* Make a file as the requester. Return: descriptor or negative errno. */
static int create_as(fuse_req_t req, struct node *dir, const char *name,
		     int flags, mode_t mode)
{
	struct pt *pt = req_pt(req);
	int path = node_path(dir);
	int fd = min(path, 0) ?: fd_probe(pt) ?: cred_enter(pt, req);

	if (!fd) {
		fd = openat(path, name, flags | O_CLOEXEC, mode & 07777);
		if (fd < 0)
			fd = -errno;
		cred_leave(pt, req);
	}
	if (fd >= 0)
		fd = create_label(pt, path, flags & O_CREAT ? name : NULL, fd);
	node_path_put(dir, path);
	return fd;
}

/* Look up a file by its descriptor, so that the name has no second chance. */
static int lookup_open(struct pt *pt, int fd, struct fuse_entry_param *e)
{
	int path = openat(pt->proc_fd, proc_name(fd).s, O_PATH | O_CLOEXEC);

	if (path < 0)
		return -errno;
	return node_lookup_fd(pt, path, e);
}

/*
 * open() of a name that exists. Return: descriptor or negative errno, the
 * lookup in @e counts only in the first case.
 */
static int create_existing(struct pt *pt, struct node *dir, const char *name,
			   int flags, struct fuse_entry_param *e)
{
	struct node *node;
	int fd = node_lookup(pt, dir, name, e);

	if (fd)
		return fd;
	node = node_get(pt, e->ino);
	fd = node ? open_node(pt, node, flags) : -ENOENT;
	if (fd == -ENXIO && node->type == S_IFLNK)
		fd = -ELOOP;
	node_put(pt, node);
	if (fd < 0)
		node_forget(pt, e->ino, 1);
	/* It was larger before. */
	if (flags & O_TRUNC)
		e->attr_timeout = 0;
	return fd;
}

/*
 * Always exclusively first: an existing name is opened only once it is known
 * to be a regular file, as opening a device or pipe acts on the host.
 */
static int create_file(fuse_req_t req, struct node *dir, const char *name,
		       int flags, mode_t mode, struct fuse_entry_param *e)
{
	struct pt *pt = req_pt(req);
	int fd, ret;

	fd = create_as(req, dir, name,
		       open_flags(pt, flags) | O_CREAT | O_EXCL | O_NOFOLLOW,
		       mode);
	if (fd == -EEXIST && !(flags & O_EXCL))
		return create_existing(pt, dir, name, flags, e);
	if (fd < 0)
		return fd;
	ret = lookup_open(pt, fd, e);
	if (ret) {
		close(fd);
		return ret;
	}
	e->entry_timeout = node_timeout(pt, dir);
	return fd;
}

/* Answer with the entry and a handle; takes the descriptor and the lookup. */
static void reply_create(fuse_req_t req, int fd, struct fuse_entry_param *e,
			 struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct node *node;
	int ret = -ENOENT;

	if (fd < 0) {
		fuse_reply_err(req, -fd);
		return;
	}
	node = node_get(pt, e->ino);
	if (node)
		ret = open_handle(pt, node, fd, fi);
	else
		close(fd);
	node_put(pt, node);
	if (ret) {
		node_forget(pt, e->ino, 1);
		fuse_reply_err(req, -ret);
	} else if (fuse_reply_create(req, e, fi)) {
		open_undo(pt, fi->fh);
		node_forget(pt, e->ino, 1);
	}
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct node *dir = node_get(pt, parent);
	struct fuse_entry_param e;
	int fd = -ENOENT;

	if (pt->opts.readonly)
		fd = -EROFS;
	else if (!name_valid(name))
		fd = -EINVAL;
	else if (dir)
		fd = create_file(req, dir, name, fi->flags, mode, &e);
	node_put(pt, dir);
	reply_create(req, fd, &e, fi);
}

static int create_unnamed(fuse_req_t req, struct node *dir, int flags,
			  mode_t mode, struct fuse_entry_param *e)
{
	struct pt *pt = req_pt(req);
	int fd, ret;

	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	fd = create_as(req, dir, ".", O_TMPFILE | (flags & O_EXCL) |
		       (open_flags(pt, flags) & ~O_TRUNC), mode);
	if (fd < 0)
		return fd;
	ret = lookup_open(pt, fd, e);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct node *dir = node_get(pt, parent);
	struct fuse_entry_param e;
	int fd = -ENOENT;

	if (pt->opts.readonly)
		fd = -EROFS;
	else if (dir)
		fd = create_unnamed(req, dir, fi->flags, mode, &e);
	node_put(pt, dir);
	reply_create(req, fd, &e, fi);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

	(void)ino;
	if (!handle) {
		fuse_reply_err(req, EBADF);
		return;
	}
	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = handle->fd;
	buf.buf[0].pos = off;
	fuse_reply_data(req, &buf, 0);
	handle_put(pt, handle);
}

/*
 * Through a descriptor that is open for appending the host would append whatever
 * the offset is. Who means another place may not write, if the file still may only
 * grow, and writes there otherwise. What the guest
 * had cached was appended there, and has its place.
 */
static int append_flag(int fd, uint32_t flags, uint32_t write_flags)
{
	if ((flags & O_APPEND) && !(write_flags & FUSE_WRITE_CACHE))
		return RWF_APPEND;
	return fcntl(fd, F_GETFL) & O_APPEND ? RWF_NOAPPEND : 0;
}

uint32_t pt_write_flags(const struct pt *pt, uint32_t flags)
{
	return pt->writeback ? flags & ~(uint32_t)O_APPEND : flags;
}

ssize_t pt_write(int fd, const struct iovec *iov, int iovcnt, off_t off,
		 uint32_t flags, uint32_t write_flags)
{
	bool dropped = (write_flags & FUSE_WRITE_KILL_SUIDGID) &&
		       pt_drop_fsetid();
	ssize_t ret = pwritev2(fd, iov, iovcnt, off,
			       append_flag(fd, flags, write_flags));
	int error = errno;

	if (dropped)
		pt_regain_fsetid();
	return ret < 0 ? -error : ret;
}

/* The data of a write in memory, wherever libfuse has it. */
static int write_data(struct fuse_bufvec *bufv, struct iovec *iov, void **copy)
{
	size_t size = fuse_buf_size(bufv);
	struct fuse_bufvec mem = FUSE_BUFVEC_INIT(size);
	ssize_t ret;

	*copy = NULL;
	if (bufv->count == 1 && !(bufv->buf[0].flags & FUSE_BUF_IS_FD)) {
		iov->iov_base = (char *)bufv->buf[0].mem + bufv->off;
		iov->iov_len = size - bufv->off;
		return 0;
	}
	*copy = malloc(size);
	if (!*copy)
		return -ENOMEM;
	mem.buf[0].mem = *copy;
	ret = fuse_buf_copy(&mem, bufv, 0);
	iov->iov_base = *copy;
	iov->iov_len = ret < 0 ? 0 : (size_t)ret;
	return ret < 0 ? (int)ret : 0;
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
		  off_t off, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	uint32_t how = (request_kill_suidgid() ? FUSE_WRITE_KILL_SUIDGID : 0) |
		       (fi->writepage ? FUSE_WRITE_CACHE : 0);
	struct iovec iov;
	void *copy = NULL;
	ssize_t ret = -EBADF;

	(void)ino;
	if (handle)
		ret = write_data(bufv, &iov, &copy);
	if (!ret)
		ret = pt_write(handle->fd, &iov, 1, off,
			       pt_write_flags(pt, (uint32_t)fi->flags), how);
	handle_put(pt, handle);
	free(copy);
	if (ret < 0)
		fuse_reply_err(req, (int)-ret);
	else
		fuse_reply_write(req, (size_t)ret);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int fd, error = 0;

	(void)ino;
	if (!handle) {
		fuse_reply_err(req, EBADF);
		return;
	}
	locks_flush(pt, handle->node, fi->lock_owner);
	/* Some file systems tell of failed writes at close() only. */
	fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || close(fd))
		error = errno;
	/* A shortage of descriptors is no failed write. */
	if (error == EMFILE)
		error = 0;
	handle_put(pt, handle);
	fuse_reply_err(req, error);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);

	(void)ino;
	if (handle) {
		locks_release(pt, handle);
		handle_close(pt, handle);
	}
	handle_put(pt, handle);
	fuse_reply_err(req, handle ? 0 : EBADF);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int error = 0;

	(void)ino;
	if (!handle)
		error = EBADF;
	else if (datasync ? fdatasync(handle->fd) : fsync(handle->fd))
		error = errno;
	handle_put(pt, handle);
	fuse_reply_err(req, error);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		  off_t length, struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	int error = 0;

	(void)ino;
	if (!handle)
		error = EBADF;
	else if (fallocate(handle->fd, mode, offset, length))
		error = errno;
	handle_put(pt, handle);
	fuse_reply_err(req, error);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi)
{
	struct pt *pt = req_pt(req);
	struct handle *handle = handle_get(pt, fi->fh, S_IFREG);
	off_t found = -1;
	int error = 0;

	(void)ino;
	/* The position itself is the guest's business. */
	if (!handle)
		error = EBADF;
	else if (whence != SEEK_DATA && whence != SEEK_HOLE)
		error = EINVAL;
	else
		found = lseek(handle->fd, off, whence);
	if (!error && found < 0)
		error = errno;
	handle_put(pt, handle);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_lseek(req, found);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags)
{
	struct pt *pt = req_pt(req);
	struct handle *in = handle_get(pt, fi_in->fh, S_IFREG);
	struct handle *out = handle_get(pt, fi_out->fh, S_IFREG);
	ssize_t done = -EBADF;

	(void)ino_in;
	(void)ino_out;
	if (len > COPY_MAX)
		len = COPY_MAX;
	if (in && out) {
		done = copy_file_range(in->fd, &off_in, out->fd, &off_out, len,
				       (unsigned int)flags);
		if (done < 0)
			done = -errno;
	}
	handle_put(pt, in);
	handle_put(pt, out);
	if (done < 0)
		fuse_reply_err(req, (int)-done);
	else
		fuse_reply_write(req, (size_t)done);
}

int pt_node_open(struct pt *pt, uint64_t nodeid, int flags)
{
	struct node *node = node_get(pt, nodeid);
	int fd = -ENOENT;

	if (node && node->type != S_IFREG)
		fd = -EINVAL;
	else if (node && pt->opts.readonly && opens_for_change(flags))
		fd = -EROFS;
	else if (node)
		fd = node_reopen(pt, node, flags & O_ACCMODE);
	node_put(pt, node);
	if (fd < 0 || !fd_spared_by_window(fd))
		return fd;
	close(fd);
	return -EMFILE;
}

int pt_syncfs(struct pt *pt, uint64_t nodeid)
{
	struct node *node = node_get(pt, nodeid);
	int fd = -ENOENT;
	int ret = 0;

	if (node)
		fd = node_reopen(pt, node, O_RDONLY);
	node_put(pt, node);
	if (fd < 0)
		return fd;
	if (syncfs(fd))
		ret = -errno;
	close(fd);
	return ret;
}
