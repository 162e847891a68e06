// SPDX-License-Identifier: GPL-2.0-or-later
#include "dax/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#include <fuse_lowlevel.h>

#include "host/log.h"
#include "host/util.h"
#include "vhost/fd_pass.h"

/* Beyond what any file system can hold, and no overflow in sight. */
#define BACKING_FILE_SIZE (INT64_C(1) << 60)
/* Nothing of the mount ever changes. */
#define BACKING_TIMEOUT 1e9

/**
 * struct backing_file - a file of the private mount
 * @next: in the list of files
 * @node: its node id, never used a second time
 * @lookups: what the kernel was told of it and has not forgotten
 * @fd: the real file
 * @copy: serve reads from @fd instead of passthrough
 * @open: by the kernel, until RELEASE
 * @id: of passthrough, 0 for none
 */
struct backing_file {
	struct backing_file *next;
	fuse_ino_t node;
	uint64_t lookups;
	int fd;
	bool copy;
	bool open;
	int id;
};

/**
 * struct backing_server - what serves the mount: a thread with a table of
 * descriptors of its own
 * @session: libfuse's end of /dev/fuse
 * @orders: socket on which files are announced; does not block
 * @confine: called first
 * @files: files being opened, or open
 *
 * /dev/fuse is open nowhere else. So if the daemon is killed while a thread
 * waits for the mount, the end of this thread ends the wait. A table that both
 * shared would stay for as long as one of them waits, which is for ever.
 */
struct backing_server {
	struct fuse_session *session;
	int orders;
	int (*confine)(void);
	struct backing_file *files;
};

/**
 * struct backing_order - announces a file; its descriptor comes along
 * @node: its node id
 * @copy: as in struct backing_file
 */
struct backing_order {
	fuse_ino_t node;
	bool copy;
};

/**
 * struct backing - the private mount, as its users see it
 * @server: serves it
 * @root: its root, which is attached nowhere
 * @lock: held while a file is opened; protects what follows
 * @orders: socket to the server
 * @last_node: last node id given
 */
struct backing {
	struct backing_server server;
	int root;
	pthread_mutex_t lock;
	int orders;
	fuse_ino_t last_node;
};

static struct backing_file *server_find(struct backing_server *server,
					fuse_ino_t node)
{
	struct backing_file *file = server->files;

	while (file && file->node != node)
		file = file->next;
	return file;
}

/* Removes a file, or for node 0 those that were never opened. */
static void server_remove(struct backing_server *server, fuse_ino_t node)
{
	struct backing_file **pos = &server->files, *file;

	while ((file = *pos)) {
		if (node ? file->node != node : file->open) {
			pos = &file->next;
			continue;
		}
		*pos = file->next;
		close_fd(&file->fd);
		free(file);
	}
}

/*
 * One file is opened at a time: an older one is open by now, or never will be.
 * NULL if there is no order now, or no memory for it.
 */
static struct backing_file *server_take_order(struct backing_server *server)
{
	struct backing_order order;
	struct backing_file *file;
	int fds[FD_PASS_MAX];
	unsigned int num_fds;

	if (fd_receive(server->orders, &order, sizeof(order), fds, &num_fds) !=
	    sizeof(order) || num_fds != 1)
		return NULL;
	server_remove(server, 0);
	file = calloc(1, sizeof(*file));
	if (!file) {
		close_fd(&fds[0]);
		return NULL;
	}
	file->node = order.node;
	file->copy = order.copy;
	file->fd = fds[0];
	file->next = server->files;
	server->files = file;
	return file;
}

/*
 * An order is sent before its file is looked up, so what has not come yet is
 * not to be waited for: anybody who gets at the root may look up any name.
 */
static struct backing_file *server_lookup(struct backing_server *server,
					  fuse_ino_t node)
{
	while (server_take_order(server))
		;
	return server_find(server, node);
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

/*
 * A name is a node id. The kernel keeps no name, so it looks one up each time it
 * is used, and a second time after an open that failed.
 */
static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {
		.attr_timeout = BACKING_TIMEOUT,
		.generation = 1,
	};
	struct backing_file *file;

	(void)parent;
	file = server_lookup(fuse_req_userdata(req), strtoul(name, NULL, 10));
	if (!file) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry.ino = file->node;
	entry.attr = backing_attr(file->node);
	if (!fuse_reply_entry(req, &entry))
		file->lookups++;
}

/* What was looked up and could not be opened goes; the others by RELEASE. */
static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	struct backing_server *server = fuse_req_userdata(req);
	struct backing_file *file = server_find(server, node);

	if (file) {
		file->lookups -= min(count, file->lookups);
		if (!file->lookups && !file->open)
			server_remove(server, node);
	}
	fuse_reply_none(req);
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

static int server_pass(struct backing_file *file, fuse_req_t req)
{
	errno = 0;
	file->id = fuse_passthrough_open(req, file->fd);
	if (file->id > 0)
		return 0;
	file->id = 0;
	return errno ?: EIO;
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct backing_file *file = server_find(fuse_req_userdata(req), node);
	int err = file ? 0 : ENOENT;

	/* By its name in /proc; but the first RELEASE is the end of it. */
	if (!err && file->open)
		err = EBUSY;
	if (!err && !file->copy)
		err = server_pass(file, req);
	if (err) {
		fuse_reply_err(req, err);
		return;
	}
	file->open = true;
	fi->backing_id = file->id;
	/* There is nothing to wait for when it is closed. */
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

/* Full length always: a short reply would tell the kernel the file's end. */
static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct backing_file *file = server_find(fuse_req_userdata(req), node);
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

/*
 * A hole punched into a copy: the kernel drops the pages then, of maps too, and
 * reads them again from the file, which is not changed by this.
 */
static void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode,
			 off_t offset, off_t len, struct fuse_file_info *fi)
{
	(void)node;
	(void)offset;
	(void)len;
	(void)fi;
	fuse_reply_err(req, mode & FALLOC_FL_PUNCH_HOLE ? 0 : EOPNOTSUPP);
}

static void op_release(fuse_req_t req, fuse_ino_t node,
		       struct fuse_file_info *fi)
{
	struct backing_server *server = fuse_req_userdata(req);
	struct backing_file *file = server_find(server, node);

	(void)fi;
	if (file && file->id)
		fuse_passthrough_close(req, file->id);
	server_remove(server, node);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops backing_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fallocate = op_fallocate,
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

static void *server_thread(void *arg)
{
	struct backing_server *server = arg;
	int ret;

	ret = unshare(CLONE_FILES) ? -errno : server->confine();
	if (write(server->orders, &ret, sizeof(ret)) == sizeof(ret) && !ret)
		fuse_session_loop(server->session);
	return NULL;
}

static int server_start(struct backing_server *server, int dev_fuse)
{
	char *argv[] = { "virtiofs-daxd" };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	char mountpoint[32];
	pthread_t thread;

	server->session = fuse_session_new(&args, &backing_ops,
					   sizeof(backing_ops), server);
	if (!server->session)
		return -ENOMEM;
	snprintf(mountpoint, sizeof(mountpoint), "/dev/fd/%d", dev_fuse);
	if (fuse_session_mount(server->session, mountpoint))
		return -EIO;
	return -pthread_create(&thread, NULL, server_thread, server);
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

/* Starts the server; from then on its descriptors are its own alone. */
static int backing_serve(struct backing *backing, int dev_fuse)
{
	int pair[2], ret = -EIO, err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	backing->orders = pair[0];
	backing->server.orders = pair[1];
	err = fcntl(pair[1], F_SETFL, O_NONBLOCK) ? -errno : 0;
	if (!err)
		err = server_start(&backing->server, dev_fuse);
	if (!err && recv(pair[0], &ret, sizeof(ret), MSG_WAITALL) !=
	    sizeof(ret))
		err = -EIO;
	close(pair[1]);
	return err ?: ret;
}

static int backing_start(struct backing *backing)
{
	int dev_fuse, err = 0;

	dev_fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (dev_fuse < 0)
		return -errno;
	backing->root = private_mount(dev_fuse);
	if (backing->root < 0)
		err = -errno;
	if (!err)
		err = backing_serve(backing, dev_fuse);
	close(dev_fuse);
	return err ?: backing_probe(backing);
}

struct backing *backing_new(int (*confine)(void))
{
	struct backing *backing = calloc(1, sizeof(*backing));
	int err;

	if (!backing)
		return NULL;
	pthread_mutex_init(&backing->lock, NULL);
	backing->root = -1;
	backing->orders = -1;
	backing->last_node = FUSE_ROOT_ID;
	backing->server.confine = confine;
	err = backing_start(backing);
	if (!err)
		return backing;
	/* The object stays: the thread may be using it. */
	backing_free(backing);
	errno = -err;
	return NULL;
}

const char *backing_needs(int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return "FUSE passthrough: Linux 6.9 or later with CONFIG_FUSE_PASSTHROUGH";
	case -EPERM:
	case -EACCES:
		return "root (CAP_SYS_ADMIN and /dev/fuse), for FUSE passthrough";
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		return "FUSE: there is no /dev/fuse (modprobe fuse)";
	}
	return strerror(-err);
}

void backing_free(struct backing *backing)
{
	close_fd(&backing->root);
	close_fd(&backing->orders);
}

bool backing_is_map(int fd)
{
	struct statx stx;

	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		      STATX_TYPE | STATX_SIZE, &stx) &&
	       S_ISREG(stx.stx_mode) && stx.stx_size == BACKING_FILE_SIZE;
}

static int backing_show(struct backing *backing, int fd, bool copy)
{
	struct backing_order order = { .copy = copy };
	struct iovec iov = { &order, sizeof(order) };
	/* Of a file whose access time stays, for maps too. */
	int noatime = fcntl(fd, F_GETFL) & O_NOATIME;
	char name[24];
	int shown;

	pthread_mutex_lock(&backing->lock);
	order.node = ++backing->last_node;
	snprintf(name, sizeof(name), "%lu", order.node);
	shown = fd_send(backing->orders, &iov, 1, fd);
	if (!shown)
		shown = openat(backing->root, name,
			       O_RDWR | O_CLOEXEC | noatime);
	if (shown == -1) {
		struct stat st;

		/* The server had no memory or descriptor for the order. */
		shown = errno == ENOENT ? -ENOMEM : -errno;
		/*
		 * Without a descriptor to spare here the name was not looked
		 * up, which is what takes the order; once it is forgotten
		 * again, the server closes the file.
		 */
		fstatat(backing->root, name, &st, AT_SYMLINK_NOFOLLOW);
	}
	pthread_mutex_unlock(&backing->lock);
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
