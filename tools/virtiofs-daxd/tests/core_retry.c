// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A share on a file system which asks to try again whatever it is asked: the
 * daemon does so a few times, and not for ever.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#include <fuse_lowlevel.h>

#include "fe_main.h"

#define RANGE (UINT64_C(2) << 20)
#define FILE_NODE 2

static struct frontend fe;

/* ---- the file system ---- */

static struct stat attr_of(fuse_ino_t ino)
{
	return (struct stat){
		.st_ino = ino,
		.st_mode = ino == FILE_NODE ? S_IFREG | 0644 : S_IFDIR | 0755,
		.st_size = ino == FILE_NODE ? 10000 : 0,
		.st_nlink = 1,
	};
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FILE_NODE,
		.attr = attr_of(FILE_NODE),
		.attr_timeout = 60,
	};

	(void)parent;
	if (strcmp(name, "f"))
		fuse_reply_err(req, EAGAIN);
	else
		fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct stat st = attr_of(ino);

	(void)fi;
	fuse_reply_attr(req, &st, 60);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)ino;
	(void)size;
	(void)off;
	(void)fi;
	fuse_reply_err(req, EINTR);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)data;
	op_read(req, ino, size, off, fi);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
			 off_t len, struct fuse_file_info *fi)
{
	(void)mode;
	op_read(req, ino, len, off, fi);
}

/* Where holes are cannot be told, so that they are filled. */
static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	(void)ino;
	(void)off;
	(void)whence;
	(void)fi;
	fuse_reply_err(req, EIO);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
};

static void serve(const char *dir)
{
	char *argv[] = { "core_retry" };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *session;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (session && !fuse_session_mount(session, dir))
		fuse_session_loop(session);
	_exit(1);
}

static bool serve_begin(const char *dir, pid_t *child)
{
	struct statfs fs;

	*child = fork();
	if (!*child)
		serve(dir);
	for (int i = 0; i < 200; i++) {
		if (!statfs(dir, &fs) && fs.f_type == FUSE_SUPER_MAGIC)
			return true;
		usleep(10000);
	}
	return false;
}

/* ---- the test ---- */

static void use(const char *dir)
{
	const char *options[] = { "--shared-dir", dir, "--dax-window", "64M",
				  NULL };
	struct fuse_write_in write = { .size = 1 };
	struct fuse_read_in read = { .size = 100 };
	struct fuse_entry_out entry;
	uint32_t written;
	uint64_t node;
	int err;

	CHECK(fe_begin(&fe, options));
	CHECK(fe_request(&fe, FUSE_LOOKUP, FUSE_ROOT_ID, "g", 2, &entry,
			 sizeof(entry), NULL) == -EAGAIN);
	node = fe_lookup(&fe, "f", NULL);
	write.fh = read.fh = fe_open(&fe, node, O_RDWR, &err);
	CHECK(err == 0);
	CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read), NULL, 100,
			 NULL) == -EINTR);
	CHECK(fe_write(&fe, node, &write, "x", 1, &written) == -EINTR);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == -EINTR);
	CHECK(fe_end(&fe) == 0);
}

static void nothing_is_tried_for_ever(void)
{
	char dir[] = "/tmp/daxd-retry.XXXXXX";
	pid_t child;

	CHECK(mkdtemp(dir));
	CHECK(serve_begin(dir, &child));
	use(dir);
	/* The file system first: it is what a daemon that tries on waits for. */
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (tap_failed) {
		kill(fe.child, SIGKILL);
		fe_end(&fe);
	}
	umount2(dir, MNT_DETACH);
	CHECK(!rmdir(dir));
}

static const struct fs_test tests[] = {
	TEST(nothing_is_tried_for_ever),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
