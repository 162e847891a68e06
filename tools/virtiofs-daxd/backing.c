// SPDX-License-Identifier: GPL-2.0-or-later
#include "backing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#include <fuse_lowlevel.h>

#include "log.h"
#include "util.h"

/* Beyond what any file system can hold, and no overflow in sight. */
#define BACKING_FILE_SIZE (INT64_C(1) << 60)
/* Nothing of the mount ever changes. */
#define BACKING_TIMEOUT 1e9

/**
 * struct backing_file - a file of the private mount
 * @next: in the list of files
 * @node: its node id, never used a second time
 * @fd: the real file
 * @copy: serve reads from @fd instead of passthrough
 * @id: of passthrough, while the file is open
 */
struct backing_file {
	struct backing_file *next;
	fuse_ino_t node;
	int fd;
	bool copy;
	int id;
};

/**
 * struct backing - the private mount
 * @session: libfuse's end
 * @thread: serves it
 * @confine: called first in @thread
 * @root: the mount's root, which is attached nowhere
 * @dev: its device number
 * @lock: protects what follows
 * @last_node: last node id given
 * @files: files being opened, or open
 */
struct backing {
	struct fuse_session *session;
	pthread_t thread;
	int (*confine)(void);
	int root;
	dev_t dev;
	pthread_mutex_t lock;
	fuse_ino_t last_node;
	struct backing_file *files;
};

static struct backing_file **backing_find(struct backing *backing,
					  fuse_ino_t node)
{
	struct backing_file **pos = &backing->files;

	while (*pos && (*pos)->node != node)
		pos = &(*pos)->next;
	return pos;
}

static struct backing_file *backing_lookup(struct backing *backing,
					   fuse_ino_t node)
{
	struct backing_file *file;

	pthread_mutex_lock(&backing->lock);
	file = *backing_find(backing, node);
	pthread_mutex_unlock(&backing->lock);
	return file;
}

static void backing_remove(struct backing *backing, fuse_ino_t node)
{
	struct backing_file **pos, *file;

	pthread_mutex_lock(&backing->lock);
	pos = backing_find(backing, node);
	file = *pos;
	if (file)
		*pos = file->next;
	pthread_mutex_unlock(&backing->lock);
	if (file) {
		close_fd(&file->fd);
		free(file);
	}
}

static struct stat backing_attr(fuse_ino_t node)
{
	struct stat st = {
		.st_ino = node,
		.st_mode = S_IFREG | 0600,
		.st_nlink = 1,
		.st_size = BACKING_FILE_SIZE,
		.st_blksize = 4096,
	};

	if (node == FUSE_ROOT_ID) {
		st.st_mode = S_IFDIR | 0700;
		st.st_size = 0;
	}
	return st;
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	/* One layer below us: the share may be an overlayfs. */
	conn->max_backing_stack_depth = 1;
	fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	fuse_unset_feature_flag(conn, FUSE_CAP_AUTO_INVAL_DATA);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct backing *backing = fuse_req_userdata(req);
	struct fuse_entry_param entry = {
		.attr_timeout = BACKING_TIMEOUT,
		.generation = 1,
	};
	unsigned int node;

	if (parent != FUSE_ROOT_ID || !parse_uint(name, UINT_MAX, &node) ||
	    !backing_lookup(backing, node)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry.ino = node;
	entry.attr = backing_attr(node);
	fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t node,
		       struct fuse_file_info *fi)
{
	struct stat st = backing_attr(node);

	(void)fi;
	fuse_reply_attr(req, &st, BACKING_TIMEOUT);
}

/* The front-end has no business to change sizes or modes. */
static void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
			  FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW |
			  FUSE_SET_ATTR_CTIME;

	(void)attr;
	if (to_set & ~times)
		fuse_reply_err(req, EPERM);
	else
		op_getattr(req, node, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct backing *backing = fuse_req_userdata(req);
	struct backing_file *file = backing_lookup(backing, node);

	if (!file) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (!file->copy) {
		errno = 0;
		file->id = fuse_passthrough_open(req, file->fd);
		if (file->id <= 0) {
			fuse_reply_err(req, errno ?: EIO);
			return;
		}
		fi->backing_id = file->id;
	}
	fuse_reply_open(req, fi);
}

/* Full length always: a short reply would tell the kernel the file's end. */
static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct backing_file *file = backing_lookup(fuse_req_userdata(req), node);
	char *buf = calloc(1, size);
	ssize_t n;

	(void)fi;
	n = file && buf ? pread(file->fd, buf, size, off) : -1;
	if (n < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buf, size);
	free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t node, const char *data,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)node;
	(void)data;
	(void)off;
	(void)fi;
	log_warn_once("a guest wrote to the map of a file that cannot be written");
	/* To the kernel it is done, or it would keep the page for ever. */
	fuse_reply_write(req, size);
}

static void op_release(fuse_req_t req, fuse_ino_t node,
		       struct fuse_file_info *fi)
{
	struct backing *backing = fuse_req_userdata(req);
	struct backing_file *file = backing_lookup(backing, node);

	(void)fi;
	if (file && file->id > 0)
		fuse_passthrough_close(req, file->id);
	backing_remove(backing, node);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops backing_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.release = op_release,
};

/* A mount which is attached nowhere, for this open /dev/fuse. */
static int private_mount(int dev_fuse)
{
	char number[16];
	int ctx, root = -1;

	ctx = fsopen("fuse", FSOPEN_CLOEXEC);
	if (ctx < 0)
		return -1;
	snprintf(number, sizeof(number), "%d", dev_fuse);
	if (fsconfig(ctx, FSCONFIG_SET_STRING, "source", "virtiofs-daxd", 0) ||
	    fsconfig(ctx, FSCONFIG_SET_STRING, "fd", number, 0) ||
	    fsconfig(ctx, FSCONFIG_SET_STRING, "rootmode", "40000", 0) ||
	    fsconfig(ctx, FSCONFIG_SET_STRING, "user_id", "0", 0) ||
	    fsconfig(ctx, FSCONFIG_SET_STRING, "group_id", "0", 0) ||
	    /* The front-end may run as anybody. */
	    fsconfig(ctx, FSCONFIG_SET_FLAG, "allow_other", NULL, 0) ||
	    fsconfig(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		goto out_ctx;
	root = fsmount(ctx, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID |
		       MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
out_ctx:
	close_fd(&ctx);
	return root;
}

static void *backing_thread(void *arg)
{
	struct backing *backing = arg;

	/* Unserved, the first request of the mount fails, and so does the probe. */
	if (backing->confine())
		fuse_session_unmount(backing->session);
	else
		fuse_session_loop(backing->session);
	return NULL;
}

static int backing_session(struct backing *backing, int dev_fuse)
{
	char *argv[] = { "virtiofs-daxd" };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	char mountpoint[32];
	int err;

	backing->session = fuse_session_new(&args, &backing_ops,
					    sizeof(backing_ops), backing);
	if (!backing->session)
		return -ENOMEM;
	snprintf(mountpoint, sizeof(mountpoint), "/dev/fd/%d", dev_fuse);
	if (fuse_session_mount(backing->session, mountpoint))
		return -EIO;
	err = pthread_create(&backing->thread, NULL, backing_thread, backing);
	return -err;
}

/* Tries what every map does, with a file that any kernel should take. */
static int backing_probe(struct backing *backing)
{
	int file, shown, err = 0;
	char byte = 0, *map;

	file = memfd_create("virtiofs-daxd-probe", MFD_CLOEXEC);
	if (file < 0 || pwrite(file, "x", 1, 0) != 1)
		return -errno;
	shown = backing_open(backing, file);
	if (shown < 0) {
		err = shown == -EPERM ? shown : -EOPNOTSUPP;
		goto out_file;
	}
	map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, shown, 0);
	if (map == MAP_FAILED) {
		err = -EOPNOTSUPP;
		goto out_shown;
	}
	*map = 'y';
	if (pread(file, &byte, 1, 0) != 1 || byte != 'y' ||
	    lseek(shown, 0, SEEK_END) != BACKING_FILE_SIZE)
		err = -EOPNOTSUPP;
	munmap(map, 1);
out_shown:
	close(shown);
out_file:
	close(file);
	return err;
}

struct backing *backing_new(int (*confine)(void))
{
	struct backing *backing = calloc(1, sizeof(*backing));
	struct stat st;
	int dev_fuse, err;

	if (!backing)
		return NULL;
	pthread_mutex_init(&backing->lock, NULL);
	backing->confine = confine;
	backing->last_node = FUSE_ROOT_ID;
	dev_fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	backing->root = dev_fuse < 0 ? -1 : private_mount(dev_fuse);
	if (backing->root < 0) {
		err = -errno;
		close_fd(&dev_fuse);
		goto out_free;
	}
	/* From here on the descriptor belongs to the session. */
	err = backing_session(backing, dev_fuse);
	if (!err && fstat(backing->root, &st))
		err = -errno;
	backing->dev = err ? 0 : st.st_dev;
	if (!err)
		err = backing_probe(backing);
	if (!err)
		return backing;
	close_fd(&backing->root);
out_free:
	free(backing);
	errno = -err;
	return NULL;
}

void backing_free(struct backing *backing)
{
	close_fd(&backing->root);
}

dev_t backing_dev(const struct backing *backing)
{
	return backing->dev;
}

static struct backing_file *backing_enter(struct backing *backing, int fd,
					  bool copy)
{
	struct backing_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file->fd < 0) {
		free(file);
		return NULL;
	}
	file->copy = copy;
	pthread_mutex_lock(&backing->lock);
	file->node = ++backing->last_node;
	file->next = backing->files;
	backing->files = file;
	pthread_mutex_unlock(&backing->lock);
	return file;
}

static int backing_show(struct backing *backing, int fd, bool copy)
{
	struct backing_file *file = backing_enter(backing, fd, copy);
	fuse_ino_t node;
	char name[24];
	int shown;

	if (!file)
		return -ENOMEM;
	node = file->node;
	snprintf(name, sizeof(name), "%lu", node);
	shown = openat(backing->root, name, O_RDWR | O_CLOEXEC);
	if (shown < 0)
		shown = -errno;
	/* Once it is open, RELEASE does that. */
	if (shown < 0)
		backing_remove(backing, node);
	return shown;
}

int backing_open(struct backing *backing, int fd)
{
	return backing_show(backing, fd, false);
}

int backing_open_copy(struct backing *backing, int fd)
{
	return backing_show(backing, fd, true);
}
