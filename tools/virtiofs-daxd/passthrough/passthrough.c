// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File operations of the shared directory: life cycle and what is negotiated.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "passthrough/passthrough_forgotten.h"
#include "passthrough/passthrough_i.h"

static double cache_timeout(enum pt_cache cache)
{
	switch (cache) {
	case PT_CACHE_ALWAYS:
	case PT_CACHE_METADATA:
		return 86400.0;
	case PT_CACHE_AUTO:
	case PT_CACHE_COHERENT:
		return 1.0;
	case PT_CACHE_NEVER:
		return 0.0;
	}
	return 0.0;
}

static int open_proc(int proc_fd)
{
	if (proc_fd >= 0)
		return fcntl(proc_fd, F_DUPFD_CLOEXEC, 0);
	return open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

struct pt *pt_new(const struct pt_options *opts)
{
	struct pt *pt = calloc(1, sizeof(*pt));
	int ret;

	if (!pt)
		return NULL;
	pt->opts = *opts;
	pt->opts.posix_acl = opts->posix_acl && opts->xattr;
	pt->opts.root_fd = -1;
	pt->known.max = KNOWN_MAX;
	pt->forgotten.max = FORGOTTEN_MAX;
	pt->timeout = cache_timeout(opts->cache);
	pthread_mutex_init(&pt->lock, NULL);
	locks_init(pt);
	pt->node_gone = locks_node_gone;
	pt->uid = geteuid();
	pt->gid = getegid();
	pt->proc_fd = open_proc(opts->proc_fd);
	ret = pt->proc_fd < 0 ? -errno : nodes_init(pt, opts->root_fd);
	if (ret) {
		pt_free(pt);
		errno = -ret;
		return NULL;
	}
	return pt;
}

void pt_reset(struct pt *pt)
{
	locks_reset(pt);
	handles_reset(pt);
	nodes_reset(pt);
}

void pt_free(struct pt *pt)
{
	if (!pt)
		return;
	pt_reset(pt);
	locks_free(pt);
	nodes_free(pt);
	table_free(&pt->handles);
	if (pt->proc_fd >= 0)
		close(pt->proc_fd);
	pthread_mutex_destroy(&pt->lock);
	free(pt);
}

bool pt_submounts(struct pt *pt, bool can)
{
	pt->submounts = can && pt->opts.submounts;
	return pt->submounts;
}

bool pt_labels(const struct pt *pt)
{
	return pt->opts.security_label;
}

static void want(struct fuse_conn_info *conn, uint64_t flag, bool on)
{
	if (on)
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct pt *pt = userdata;
	bool acl = pt->opts.posix_acl;
	bool plus = !pt->opts.no_readdirplus &&
		    pt->opts.cache != PT_CACHE_NEVER;

	pt_reset(pt);
	cred_init(pt);
	conn->max_write = PT_IO_MAX;
	/* A node that was forgotten is found again only by a handle of the host. */
	pt->exports = pt->root->fhandle &&
		      (conn->capable_ext & FUSE_CAP_EXPORT_SUPPORT);
	want(conn, FUSE_CAP_EXPORT_SUPPORT, pt->exports);
	want(conn, FUSE_CAP_NO_EXPORT_SUPPORT, !pt->exports);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	want(conn, FUSE_CAP_POSIX_LOCKS, !pt->opts.local_posix_locks);
	want(conn, FUSE_CAP_FLOCK_LOCKS, !pt->opts.local_flock);
	/* Attributes that are not kept are of no use to a reader of names. */
	want(conn, FUSE_CAP_READDIRPLUS, plus);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, plus);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
	/* The host would not know that it is one of those which a write takes. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, pt->opts.killpriv_v2 &&
	     !xattrmap_changes(&pt->opts.xattrmap, "security.capability"));
	want(conn, FUSE_CAP_WRITEBACK_CACHE, pt->opts.writeback);
	pt->writeback = pt->opts.writeback &&
			(conn->capable_ext & FUSE_CAP_WRITEBACK_CACHE);
	want(conn, FUSE_CAP_CACHE_SYMLINKS, pt_keeps_names(pt));
	want(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP, pt->opts.allow_mmap);
	want(conn, FUSE_CAP_POSIX_ACL, acl);
	want(conn, FUSE_CAP_DONT_MASK, acl);
	want(conn, FUSE_CAP_SETXATTR_EXT, acl);
	pt->setxattr_ext = acl && (conn->capable_ext & FUSE_CAP_SETXATTR_EXT);
}

static void op_destroy(void *userdata)
{
	pt_reset(userdata);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.destroy = op_destroy,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.tmpfile = op_tmpfile,
	.read = op_read,
	.write_buf = op_write_buf,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.access = op_access,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.flock = op_flock,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
};

const struct fuse_lowlevel_ops *pt_ops(void)
{
	return &ops;
}
