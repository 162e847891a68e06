// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File operations, asked for by messages that no kernel would send: a guest may
 * send what it likes.
 *
 * Rule: nothing outside the share is read, written or made; a number that was
 * not given out, or not for this, is refused; what is counted stays balanced.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/fuse.h>
#include <linux/loop.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs_server.h"
#include "fs_tap.h"
#include "host/isolation.h"
#include "host/util.h"
#include "passthrough/passthrough_i.h"

#define ROOT FUSE_ROOT_ID
#define BODY_MAX (64 << 10)
#define REPLY_MAX (2 << 20)
#define GARBAGE_ROUNDS 100000
#define RACE_ROUNDS 20000
#define NO_REPLY 1

/* A directory with a share and something beside it, and a session on it. */
static char base[64];
static char share_dir[128];
static struct pt *pt;
static struct fuse_session *session;

static struct {
	struct fuse_in_header head;
	char body[BODY_MAX];
} msg;

static pthread_mutex_t reply_lock = PTHREAD_MUTEX_INITIALIZER;
static char reply[REPLY_MAX];
static size_t reply_len;
static struct fuse_out_header reply_head;
static bool replied;
static uint64_t unique;

/* Errors of requests that are answered later, by their number. */
static int late_error[64];
static bool late_replied[64];

static bool reply_fails;

static ssize_t take_reply(int fd, struct iovec *iov, int count, void *data)
{
	struct fuse_out_header head;
	size_t len = 0, total = 0;

	(void)fd;
	(void)data;
	memcpy(&head, iov[0].iov_base, sizeof(head));
	pthread_mutex_lock(&reply_lock);
	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (head.unique == unique) {
		reply_head = head;
		for (int i = 1; i < count; i++) {
			memcpy(reply + len, iov[i].iov_base, iov[i].iov_len);
			len += iov[i].iov_len;
		}
		reply_len = len;
		replied = true;
	}
	late_error[head.unique % 64] = -head.error;
	late_replied[head.unique % 64] = true;
	pthread_mutex_unlock(&reply_lock);
	if (reply_fails) {
		errno = ENOENT;
		return -1;
	}
	return (ssize_t)total;
}

static ssize_t no_read(int fd, void *buf, size_t len, void *data)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)data;
	errno = EIO;
	return -1;
}

/* Send what is in msg. Return: errno of the answer, 0, or -NO_REPLY. */
static int send_msg(uint32_t opcode, uint64_t node, size_t body_len)
{
	struct fuse_buf buf = { .mem = &msg };
	int ret;

	pthread_mutex_lock(&reply_lock);
	replied = false;
	reply_len = 0;
	unique++;
	late_replied[unique % 64] = false;
	pthread_mutex_unlock(&reply_lock);
	msg.head.len = (uint32_t)(sizeof(msg.head) + body_len);
	msg.head.opcode = opcode;
	msg.head.nodeid = node;
	msg.head.unique = unique;
	buf.size = msg.head.len;
	ret = pt_request(pt, &msg, msg.head.len);
	if (ret)
		return -ret;
	fuse_session_process_buf(session, &buf);
	pthread_mutex_lock(&reply_lock);
	ret = replied ? -reply_head.error : -NO_REPLY;
	pthread_mutex_unlock(&reply_lock);
	return ret;
}

static int ask(uint32_t opcode, uint64_t node, const void *in, size_t len)
{
	memset(&msg, 0, sizeof(msg.head) + len + 16);
	if (in)
		memcpy(msg.body, in, len);
	return send_msg(opcode, node, len);
}

/* A structure and up to two names. */
static int ask_names(uint32_t opcode, uint64_t node, const void *in, size_t len,
		     const char *a, const char *b)
{
	size_t la = a ? strlen(a) + 1 : 0;
	size_t lb = b ? strlen(b) + 1 : 0;

	memset(&msg, 0, sizeof(msg.head) + len + la + lb + 16);
	if (in)
		memcpy(msg.body, in, len);
	if (a)
		memcpy(msg.body + len, a, la);
	if (b)
		memcpy(msg.body + len + la, b, lb);
	return send_msg(opcode, node, len + la + lb);
}

static uint64_t lookup(uint64_t dir, const char *name, mode_t *mode)
{
	struct fuse_entry_out *e = (void *)reply;

	if (ask_names(FUSE_LOOKUP, dir, NULL, 0, name, NULL))
		return 0;
	if (mode)
		*mode = e->attr.mode;
	return e->nodeid;
}

static void forget(uint64_t node, uint64_t count)
{
	struct fuse_forget_in in = { .nlookup = count };

	ask(FUSE_FORGET, node, &in, sizeof(in));
}

static int open_file(uint64_t node, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out *out = (void *)reply;
	int error = ask(FUSE_OPEN, node, &in, sizeof(in));

	*fh = error ? 0 : out->fh;
	return error;
}

static int open_dir(uint64_t node, uint64_t *fh)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out *out = (void *)reply;
	int error = ask(FUSE_OPENDIR, node, &in, sizeof(in));

	*fh = error ? 0 : out->fh;
	return error;
}

static int release(uint32_t opcode, uint64_t fh)
{
	struct fuse_release_in in = { .fh = fh };

	return ask(opcode, ROOT, &in, sizeof(in));
}

static int read_at(uint64_t fh, uint64_t off, uint32_t size)
{
	struct fuse_read_in in = { .fh = fh, .offset = off, .size = size };

	return ask(FUSE_READ, ROOT, &in, sizeof(in));
}

static int create(uint64_t dir, const char *name, uint32_t flags, uint64_t *fh)
{
	struct fuse_create_in in = { .flags = flags, .mode = S_IFREG | 0644 };
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} *out = (void *)reply;
	int error = ask_names(FUSE_CREATE, dir, &in, sizeof(in), name, NULL);

	*fh = error ? 0 : out->o.fh;
	return error;
}

static int live(struct table *table)
{
	uint32_t pos = 0;
	int n = 0;

	pthread_mutex_lock(&pt->lock);
	while (table_next(table, &pos))
		n++;
	pthread_mutex_unlock(&pt->lock);
	return n;
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Names on the host: beside the share, and in it. */
static const char *outside(const char *name)
{
	static char path[2][PATH_MAX];
	static int next;
	char *p = path[next++ % 2];

	snprintf(p, PATH_MAX, "%s/%s", base, name);
	return p;
}

static const char *inside(const char *name)
{
	static char path[2][PATH_MAX];
	static int next;
	char *p = path[next++ % 2];

	snprintf(p, PATH_MAX, "%s/%s", share_dir, name);
	return p;
}

static void session_end(void)
{
	if (session)
		fuse_session_destroy(session);
	pt_free(pt);
	session = NULL;
	pt = NULL;
}

/* The guest can ask for what it has forgotten, so that is kept. */
static bool asks_exports;

/* A fresh session with these options. */
static bool session_begin(const struct pt_options *opts)
{
	struct fuse_custom_io io = { .writev = take_reply, .read = no_read };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.flags = asks_exports ? ~0u : ~(uint32_t)FUSE_EXPORT_SUPPORT,
		.flags2 = ~0u,
	};
	struct pt_options copy = *opts;

	session_end();
	copy.root_fd = open(share_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	copy.proc_fd = -1;
	if (!asks_exports)
		copy.file_handles = fs_file_handles();
	pt = pt_new(&copy);
	close(copy.root_fd);
	fuse_opt_add_arg(&args, "fs_raw");
	session = pt ? fuse_session_new(&args, pt_ops(), sizeof(*pt_ops()), pt)
		     : NULL;
	fuse_opt_free_args(&args);
	return session &&
	       !fuse_session_custom_io(session, &io, sizeof(io),
				       open("/dev/null", O_RDWR | O_CLOEXEC)) &&
	       !ask(FUSE_INIT, 0, &in, sizeof(in));
}

static const struct pt_options plain = {
	.cache = PT_CACHE_AUTO,
	.dax_attr_min = UINT64_MAX,
};

#define BEGIN(...)							\
	do {								\
		struct pt_options opts_ = { .shared_dir = share_dir,	\
					    __VA_ARGS__ };		\
		CHECK(session_begin(&opts_));				\
	} while (0)

static void bad_names(void)
{
	static const char * const bad[] = {
		"", ".", "..", "/", "a/b", "../outside", "/etc/passwd", "a/",
	};

	BEGIN();
	CHECK(fs_put(inside("n"), "n"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fuse_mkdir_in md = { .mode = 0755 };
		struct fuse_mknod_in mk = { .mode = S_IFREG | 0644 };
		struct fuse_rename_in rn = { .newdir = ROOT };
		struct fuse_rename2_in rn2 = { .newdir = ROOT };
		struct fuse_link_in ln = { .oldnodeid = lookup(ROOT, "n", NULL) };
		const char *b = bad[i];
		uint64_t fh;

		CHECK(ask_names(FUSE_LOOKUP, ROOT, NULL, 0, b, NULL) == EINVAL);
		CHECK(ask_names(FUSE_UNLINK, ROOT, NULL, 0, b, NULL) == EINVAL);
		CHECK(ask_names(FUSE_RMDIR, ROOT, NULL, 0, b, NULL) == EINVAL);
		CHECK(ask_names(FUSE_MKDIR, ROOT, &md, sizeof(md), b, NULL) ==
		      EINVAL);
		CHECK(ask_names(FUSE_MKNOD, ROOT, &mk, sizeof(mk), b, NULL) ==
		      EINVAL);
		CHECK(ask_names(FUSE_SYMLINK, ROOT, NULL, 0, b, "x") == EINVAL);
		CHECK(ask_names(FUSE_RENAME, ROOT, &rn, sizeof(rn), "n", b) ==
		      EINVAL);
		CHECK(ask_names(FUSE_RENAME2, ROOT, &rn2, sizeof(rn2), b,
				"n") == EINVAL);
		CHECK(ask_names(FUSE_LINK, ROOT, &ln, sizeof(ln), b, NULL) ==
		      EINVAL);
		CHECK(create(ROOT, b, O_RDWR, &fh) == EINVAL);
	}
}

/* The kernel's own answer to a name that is too long. */
static void long_names(void)
{
	char name[PATH_MAX * 2];

	BEGIN();
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	CHECK(ask_names(FUSE_LOOKUP, ROOT, NULL, 0, name, NULL) ==
	      ENAMETOOLONG);
	name[256] = 'a';
	name[sizeof(name) - 1] = '\0';
	CHECK(ask_names(FUSE_LOOKUP, ROOT, NULL, 0, name, NULL) ==
	      ENAMETOOLONG);
}

static void lying_lengths(void)
{
	struct fuse_setxattr_in sx = { .size = 60000 };
	struct fuse_batch_forget_in bf = { .count = 1u << 30 };
	struct fuse_write_in wr = { .size = 1 << 20 };
	struct fuse_read_in rd = { .size = 0xffffffff };
	struct fuse_getxattr_in gx = { .size = 0xffffffff };
	struct fuse_rename_in rn = { .newdir = ROOT };

	BEGIN(.xattr = true);
	/* No NUL at the end of a name, or only one of two. */
	memset(&msg, 'x', sizeof(msg));
	CHECK(send_msg(FUSE_LOOKUP, ROOT, 5) == EINVAL);
	CHECK(send_msg(FUSE_LOOKUP, ROOT, 0) == EINVAL);
	CHECK(ask_names(FUSE_RENAME, ROOT, &rn, sizeof(rn), "one", NULL) ==
	      EINVAL);
	CHECK(ask_names(FUSE_SYMLINK, ROOT, NULL, 0, "one", NULL) == EINVAL);
	/* Shorter than the structure. */
	for (uint32_t op = 1; op < 60; op++) {
		int error;

		if (op == FUSE_FORGET || op == FUSE_BATCH_FORGET ||
		    op == FUSE_DESTROY)
			continue;
		memset(&msg, 0, 128);
		error = send_msg(op, 77, 3);
		CHECK(error == EINVAL || error == ENOSYS || error == ENOENT ||
		      error == EIO);
	}
	/* A size inside that is larger than the message, or absurd. */
	CHECK(ask_names(FUSE_SETXATTR, ROOT, &sx, FUSE_COMPAT_SETXATTR_IN_SIZE,
			"user.x", "v") == EINVAL);
	CHECK(ask(FUSE_BATCH_FORGET, 0, &bf, sizeof(bf)) == EINVAL);
	CHECK(ask(FUSE_WRITE, ROOT, &wr, sizeof(wr)) == EINVAL);
	CHECK(ask(FUSE_READ, ROOT, &rd, sizeof(rd)) == EINVAL);
	CHECK(ask(FUSE_READDIR, ROOT, &rd, sizeof(rd)) == EINVAL);
	CHECK(ask_names(FUSE_GETXATTR, ROOT, &gx, sizeof(gx), "user.x", NULL) ==
	      EINVAL);
	msg.head.len = 1000;
	CHECK(pt_request(pt, &msg, 40) == -EINVAL);
	CHECK(pt_request(pt, &msg, 10) == -EINVAL);
}

static void unknown_numbers(void)
{
	static const uint64_t bad[] = {
		0, 2, 3, 63, 64, 1000, 0xffffffff, 0x100000000, 0x100000001,
		0x8000000000000000, UINT64_MAX, UINT64_MAX - 1,
	};
	uint64_t file, fh, dh;

	BEGIN();
	CHECK(fs_put(inside("k"), "k"));
	file = lookup(ROOT, "k", NULL);
	CHECK(file && !open_file(file, O_RDWR, &fh) && !open_dir(ROOT, &dh));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fuse_getattr_in ga = { 0 };
		struct fuse_setattr_in sa = { .valid = FATTR_MODE };
		struct fuse_read_in rd = { .fh = bad[i], .size = 100 };
		struct fuse_fsync_in fs = { .fh = bad[i] };
		struct fuse_lk_in lk = { .fh = bad[i] };
		struct pt_key key;
		uint64_t other;

		if (bad[i] == file || bad[i] == fh || bad[i] == dh)
			continue;
		CHECK(ask(FUSE_GETATTR, bad[i], &ga, sizeof(ga)) == ENOENT);
		CHECK(ask(FUSE_SETATTR, bad[i], &sa, sizeof(sa)) == ENOENT);
		CHECK(ask(FUSE_READLINK, bad[i], NULL, 0) == ENOENT);
		CHECK(!lookup(bad[i], "k", NULL));
		CHECK(open_file(bad[i], O_RDONLY, &other) == ENOENT);
		CHECK(create(bad[i], "new", O_RDWR, &other) == ENOENT);
		CHECK(ask(FUSE_READ, ROOT, &rd, sizeof(rd)) == EBADF);
		CHECK(ask(FUSE_READDIR, ROOT, &rd, sizeof(rd)) == EBADF);
		CHECK(ask(FUSE_READDIRPLUS, ROOT, &rd, sizeof(rd)) == EBADF);
		CHECK(ask(FUSE_FSYNC, ROOT, &fs, sizeof(fs)) == EBADF);
		CHECK(ask(FUSE_SETLKW, ROOT, &lk, sizeof(lk)) == EBADF);
		CHECK(release(FUSE_RELEASE, bad[i]) == EBADF);
		CHECK(release(FUSE_RELEASEDIR, bad[i]) == EBADF);
		CHECK(pt_file_fd(pt, bad[i]) == -EBADF);
		CHECK(pt_node_open(pt, bad[i], O_RDONLY) == -ENOENT);
		CHECK(pt_node_key(pt, bad[i], &key) == -ENOENT);
		forget(bad[i], 1);
	}
	/* A number of the wrong kind. */
	CHECK(read_at(dh, 0, 100) == EBADF && pt_file_fd(pt, dh) == -EBADF);
	CHECK(release(FUSE_RELEASEDIR, fh) == EBADF);
	CHECK(pt_node_open(pt, ROOT, O_RDONLY) == -EINVAL);
	CHECK(!lookup(file, "x", NULL));
	CHECK(open_file(ROOT, O_RDWR, &fh) == EISDIR);
	CHECK(open_dir(file, &dh) == ENOTDIR);
	CHECK(!access(inside("k"), F_OK));
}

static void stale_numbers(void)
{
	uint64_t file, again, fh, fh2;

	BEGIN();
	CHECK(fs_put(inside("st"), "stale"));
	file = lookup(ROOT, "st", NULL);
	CHECK(!open_file(file, O_RDONLY, &fh) && !release(FUSE_RELEASE, fh));
	CHECK(release(FUSE_RELEASE, fh) == EBADF && read_at(fh, 0, 5) == EBADF);
	/* The same slot, another time. */
	CHECK(!open_file(file, O_RDONLY, &fh2) && (uint32_t)fh == (uint32_t)fh2);
	CHECK(fh != fh2 && read_at(fh, 0, 5) == EBADF && !read_at(fh2, 0, 5));
	forget(file, 1);
	CHECK(open_file(file, O_RDONLY, &fh) == ENOENT);
	/* Open files live on, as the kernel may still use them. */
	CHECK(!read_at(fh2, 0, 5) && reply_len == 5);
	CHECK(!release(FUSE_RELEASE, fh2) && live(&pt->nodes) == 1);
	again = lookup(ROOT, "st", NULL);
	CHECK(again && again != file);
	CHECK(open_file(file, O_RDONLY, &fh) == ENOENT);
}

static void forgetting(void)
{
	struct {
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[3];
	} batch = { .in.count = 3 };
	uint64_t a, b;

	BEGIN();
	CHECK(fs_put(inside("fa"), "a") && fs_put(inside("fb"), "b"));
	a = lookup(ROOT, "fa", NULL);
	CHECK(lookup(ROOT, "fa", NULL) == a);
	b = lookup(ROOT, "fb", NULL);
	CHECK(a && b && a != b && live(&pt->nodes) == 3);
	forget(a, 1);
	CHECK(live(&pt->nodes) == 3);
	forget(a, 1000);
	CHECK(live(&pt->nodes) == 2);
	forget(a, 1);
	batch.one[0] = (struct fuse_forget_one){ .nodeid = b, .nlookup = 1 };
	batch.one[1] = (struct fuse_forget_one){ .nodeid = b, .nlookup = 9 };
	batch.one[2] = (struct fuse_forget_one){ ROOT, UINT64_MAX };
	CHECK(ask(FUSE_BATCH_FORGET, 0, &batch, sizeof(batch)) == -NO_REPLY);
	forget(ROOT, UINT64_MAX);
	CHECK(live(&pt->nodes) == 1 && lookup(ROOT, "fa", NULL));
}

/* Hard links are one node, and one node is forgotten once per lookup. */
static void one_node_per_file(void)
{
	uint64_t a;

	BEGIN();
	CHECK(fs_put(inside("ha"), "x") && !link(inside("ha"), inside("hb")));
	a = lookup(ROOT, "ha", NULL);
	CHECK(a && lookup(ROOT, "hb", NULL) == a && live(&pt->nodes) == 2);
	forget(a, 1);
	CHECK(live(&pt->nodes) == 2);
	forget(a, 1);
	CHECK(live(&pt->nodes) == 1);
	/* The old file is kept from being confused with a new one. */
	a = lookup(ROOT, "ha", NULL);
	CHECK(!unlink(inside("ha")) && !unlink(inside("hb")));
	CHECK(fs_put(inside("ha"), "new") && lookup(ROOT, "ha", NULL) != a);
}

/* Read a directory with a buffer of @size; forget what was told. */
static int readdirplus_all(uint64_t fh, uint32_t size, int *names)
{
	struct fuse_read_in in = { .fh = fh, .size = size };

	*names = 0;
	for (;;) {
		static char copy[REPLY_MAX];
		size_t len, pos = 0;
		int error = ask(FUSE_READDIRPLUS, ROOT, &in, sizeof(in));

		if (error || !reply_len)
			return error;
		len = reply_len;
		memcpy(copy, reply, len);
		while (pos < len) {
			struct fuse_direntplus *d = (void *)(copy + pos);

			(*names)++;
			in.offset = d->dirent.off;
			if (d->entry_out.nodeid)
				forget(d->entry_out.nodeid, 1);
			pos += FUSE_DIRENTPLUS_SIZE(d);
		}
	}
}

static void readdirplus_counts(void)
{
	static const uint32_t sizes[] = { 400, 512, 999, 4096, 100000 };
	uint64_t dir, dh;
	int names;

	BEGIN();
	CHECK(!mkdir(inside("rp"), 0755));
	for (int i = 0; i < 300; i++) {
		char name[64];

		snprintf(name, sizeof(name), "rp/%0*d", 1 + i % 40, i);
		CHECK(fs_put(inside(name), ""));
	}
	dir = lookup(ROOT, "rp", NULL);
	CHECK(dir && !open_dir(dir, &dh));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CHECK(!readdirplus_all(dh, sizes[i], &names));
		CHECK(names == 302 && live(&pt->nodes) == 2);
	}
	/* Not even one fits: an error, and nothing counted. */
	CHECK(readdirplus_all(dh, 100, &names) == EINVAL);
	CHECK(live(&pt->nodes) == 2);
	/* An answer that does not arrive. */
	reply_fails = true;
	readdirplus_all(dh, 4096, &names);
	lookup(dir, "0", NULL);
	reply_fails = false;
	CHECK(live(&pt->nodes) == 2);
	forget(lookup(dir, "0", NULL), 1);
	CHECK(live(&pt->nodes) == 2);
}

static void nothing_above_the_root(void)
{
	struct fuse_read_in in = { .size = 4096 };
	struct stat st, up;
	bool seen = false;
	uint64_t dh;

	BEGIN();
	CHECK(!stat(share_dir, &st) && !stat(base, &up));
	CHECK(!open_dir(ROOT, &dh));
	in.fh = dh;
	CHECK(!ask(FUSE_READDIR, ROOT, &in, sizeof(in)));
	for (size_t pos = 0; pos < reply_len; ) {
		struct fuse_dirent *d = (void *)(reply + pos);

		CHECK(d->ino != up.st_ino);
		if (d->namelen == 2 && !memcmp(d->name, "..", 2)) {
			CHECK(d->ino == st.st_ino);
			seen = true;
		}
		pos += FUSE_DIRENT_SIZE(d);
	}
	CHECK(seen);
}

static atomic_bool race_stop;

/* A name that is a directory and a link to the outside in turn. */
static void *swapper(void *arg)
{
	char a[PATH_MAX], b[PATH_MAX];

	(void)arg;
	snprintf(a, sizeof(a), "%s/race", share_dir);
	snprintf(b, sizeof(b), "%s/race-link", share_dir);
	while (!race_stop)
		renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	return NULL;
}

/* One walk. Return: 'i' inside was read, 'o' outside, 'l' a link was met. */
static char race_walk(void)
{
	uint64_t dir, file, fh;
	mode_t mode = 0;
	char got = '?';

	dir = lookup(ROOT, "race", &mode);
	if (!dir)
		return '?';
	file = lookup(dir, "secret", NULL);
	if (S_ISLNK(mode))
		got = file ? 'o' : 'l';
	else if (file && !open_file(file, O_RDWR, &fh)) {
		got = !read_at(fh, 0, 100) && reply_len == 6 &&
		      !memcmp(reply, "inside", 6) ? 'i' : 'o';
		release(FUSE_RELEASE, fh);
	}
	if (file)
		forget(file, 1);
	forget(dir, 1);
	return got;
}

static void symlink_race(void)
{
	int in = 0, links = 0;
	pthread_t thread;
	uint64_t fh;

	BEGIN();
	CHECK(!mkdir(inside("race"), 0755) &&
	      fs_put(inside("race/secret"), "inside"));
	CHECK(!mkdir(outside("out"), 0755) &&
	      fs_put(outside("out/secret"), "outside"));
	CHECK(!symlink(outside("out"), inside("race-link")));
	race_stop = false;
	CHECK(!pthread_create(&thread, NULL, swapper, NULL));
	for (int i = 0; i < RACE_ROUNDS; i++) {
		char got = race_walk();
		uint64_t dir = lookup(ROOT, "race", NULL);

		/* Making something below must not land outside either. */
		if (dir && !create(dir, "made", O_RDWR, &fh)) {
			struct fuse_entry_out *e = (void *)reply;
			uint64_t node = e->nodeid;

			release(FUSE_RELEASE, fh);
			forget(node, 1);
		}
		if (dir)
			forget(dir, 1);
		in += got == 'i';
		links += got == 'l';
		if (got == 'o' || got == '?') {
			race_stop = true;
			pthread_join(thread, NULL);
			CHECK(got == 'i' || got == 'l');
		}
	}
	race_stop = true;
	pthread_join(thread, NULL);
	printf("# %d times the directory, %d times the link\n", in, links);
	CHECK(in > 100 && links > 100);
	CHECK(fs_has(outside("out/secret"), "outside"));
	CHECK_ERR(access(outside("out/made"), F_OK), ENOENT);
	CHECK(live(&pt->nodes) == 1 && live(&pt->handles) == 0);
}

static void create_over_links(void)
{
	struct fuse_setattr_in sa = { .valid = FATTR_SIZE };
	uint64_t fh, node;

	BEGIN();
	CHECK(fs_put(outside("victim"), "victim"));
	CHECK(!symlink(outside("victim"), inside("cl1")));
	CHECK(!symlink(outside("nothing"), inside("cl2")));
	CHECK(create(ROOT, "cl1", O_RDWR | O_TRUNC, &fh) == ELOOP);
	CHECK(create(ROOT, "cl2", O_RDWR, &fh) == ELOOP);
	CHECK(create(ROOT, "cl2", O_RDWR | O_EXCL, &fh) == EEXIST);
	CHECK_ERR(access(outside("nothing"), F_OK), ENOENT);
	node = lookup(ROOT, "cl1", NULL);
	CHECK(node && open_file(node, O_RDWR, &fh) == ENXIO);
	CHECK(ask(FUSE_SETATTR, node, &sa, sizeof(sa)) == ENXIO);
	sa = (struct fuse_setattr_in){ .valid = FATTR_UID, .uid = 7 };
	CHECK(!ask(FUSE_SETATTR, node, &sa, sizeof(sa)));
	sa = (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0 };
	ask(FUSE_SETATTR, node, &sa, sizeof(sa));
	sa = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 5 };
	CHECK(!ask(FUSE_SETATTR, node, &sa, sizeof(sa)));
	struct stat st;

	CHECK(!stat(outside("victim"), &st) && !st.st_uid && st.st_mtime > 5);
	CHECK((st.st_mode & 0777) == 0644 && fs_has(outside("victim"), "victim"));
}

/* Opening these would block or act on the host. */
static void special_files(void)
{
	uint64_t fh, node;

	BEGIN();
	CHECK(!mkfifo(inside("sf"), 0666));
	CHECK(!mknod(inside("sd"), S_IFCHR | 0666, makedev(1, 5)));
	node = lookup(ROOT, "sf", NULL);
	CHECK(node && open_file(node, O_RDONLY, &fh) == ENXIO);
	CHECK(create(ROOT, "sf", O_WRONLY, &fh) == ENXIO);
	CHECK(pt_node_open(pt, node, O_RDONLY) == -EINVAL);
	node = lookup(ROOT, "sd", NULL);
	CHECK(node && open_file(node, O_RDONLY, &fh) == ENXIO);
	CHECK(create(ROOT, "sd", O_RDONLY, &fh) == ENXIO);
	CHECK(live(&pt->nodes) == 3 && live(&pt->handles) == 0);
}

static void create_existing(void)
{
	uint64_t fh;

	BEGIN();
	CHECK(fs_put(inside("ce"), "content"));
	CHECK(!create(ROOT, "ce", O_RDWR, &fh) && !read_at(fh, 0, 100));
	CHECK(reply_len == 7 && !release(FUSE_RELEASE, fh));
	CHECK(create(ROOT, "ce", O_RDWR | O_EXCL, &fh) == EEXIST);
	CHECK(!create(ROOT, "ce", O_RDWR | O_TRUNC, &fh));
	CHECK(fs_has(inside("ce"), "") && !release(FUSE_RELEASE, fh));
	CHECK(live(&pt->handles) == 0);
}

static void readonly(void)
{
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct fuse_mknod_in mk = { .mode = S_IFREG | 0644 };
	struct fuse_rename_in rn = { .newdir = ROOT };
	struct fuse_setattr_in sa = { .valid = FATTR_MODE, .mode = 0 };
	struct fuse_setxattr_in sx = { .size = 2 };
	struct fuse_create_in cr = { .flags = O_RDWR, .mode = S_IFREG | 0644 };
	struct fuse_write_in wr = { .size = 0 };
	struct fuse_fallocate_in fa = { .length = 100 };
	struct fuse_access_in ac = { .mask = W_OK };
	struct fuse_link_in ln = { 0 };
	uint64_t node, fh;
	int fd;

	BEGIN(.readonly = true, .xattr = true);
	CHECK(fs_put(inside("ro"), "ro"));
	node = lookup(ROOT, "ro", NULL);
	ln.oldnodeid = node;
	CHECK(ask_names(FUSE_MKDIR, ROOT, &md, sizeof(md), "x", NULL) == EROFS);
	CHECK(ask_names(FUSE_MKNOD, ROOT, &mk, sizeof(mk), "x", NULL) == EROFS);
	CHECK(ask_names(FUSE_SYMLINK, ROOT, NULL, 0, "x", "y") == EROFS);
	CHECK(ask_names(FUSE_UNLINK, ROOT, NULL, 0, "ro", NULL) == EROFS);
	CHECK(ask_names(FUSE_RMDIR, ROOT, NULL, 0, "ro", NULL) == EROFS);
	CHECK(ask_names(FUSE_RENAME, ROOT, &rn, sizeof(rn), "ro", "x") == EROFS);
	CHECK(ask_names(FUSE_LINK, ROOT, &ln, sizeof(ln), "x", NULL) == EROFS);
	CHECK(ask_names(FUSE_SETXATTR, node, &sx, FUSE_COMPAT_SETXATTR_IN_SIZE,
			"user.x", "v") == EROFS);
	CHECK(ask_names(FUSE_REMOVEXATTR, node, NULL, 0, "user.x", NULL) ==
	      EROFS);
	CHECK(ask(FUSE_SETATTR, node, &sa, sizeof(sa)) == EROFS);
	CHECK(ask(FUSE_TMPFILE, ROOT, &cr, sizeof(cr)) == EROFS);
	CHECK(ask(FUSE_ACCESS, node, &ac, sizeof(ac)) == EROFS);
	CHECK(create(ROOT, "x", O_RDONLY, &fh) == EROFS);
	CHECK(open_file(node, O_RDWR, &fh) == EROFS);
	CHECK(open_file(node, O_WRONLY, &fh) == EROFS);
	CHECK(open_file(node, O_RDONLY | O_TRUNC, &fh) == EROFS);
	CHECK(pt_node_open(pt, node, O_RDWR) == -EROFS);
	fd = pt_node_open(pt, node, O_RDONLY);
	CHECK(fd >= 0 && !close(fd));
	CHECK(!open_file(node, O_RDONLY, &fh) && !read_at(fh, 0, 10));
	CHECK(reply_len == 2);
	wr.fh = fh;
	fa.fh = fh;
	CHECK(ask(FUSE_WRITE, node, &wr, sizeof(wr)) == EBADF);
	CHECK(ask(FUSE_FALLOCATE, node, &fa, sizeof(fa)) == EBADF);
	CHECK(fs_has(inside("ro"), "ro"));
}

static void without_xattr(void)
{
	struct fuse_getxattr_in gx = { .size = 100 };
	struct fuse_setxattr_in sx = { .size = 2 };

	BEGIN();
	CHECK(ask_names(FUSE_GETXATTR, ROOT, &gx, sizeof(gx), "user.x", NULL) ==
	      ENOSYS);
	CHECK(ask(FUSE_LISTXATTR, ROOT, &gx, sizeof(gx)) == ENOSYS);
	CHECK(ask_names(FUSE_REMOVEXATTR, ROOT, NULL, 0, "user.x", NULL) ==
	      ENOSYS);
	CHECK(ask_names(FUSE_SETXATTR, ROOT, &sx, FUSE_COMPAT_SETXATTR_IN_SIZE,
			"user.x", "v") == ENOSYS);
}

static uint32_t opened_with(uint64_t node)
{
	struct fuse_open_out *out = (void *)reply;
	uint32_t flags;
	uint64_t fh;

	if (open_file(node, O_RDONLY, &fh))
		return ~0u;
	flags = out->open_flags;
	release(FUSE_RELEASE, fh);
	return flags;
}

static void caching(void)
{
	struct fuse_entry_out *e = (void *)reply;
	uint64_t node;

	CHECK(fs_put(inside("cache"), "cache"));
	BEGIN(.cache = PT_CACHE_AUTO);
	node = lookup(ROOT, "cache", NULL);
	CHECK(e->entry_valid == 1 && e->attr_valid == 1);
	CHECK(ask_names(FUSE_LOOKUP, ROOT, NULL, 0, "no", NULL) == ENOENT);
	/* What is cached is kept while nobody has changed the file. */
	CHECK(!(opened_with(node) & (FOPEN_KEEP_CACHE | FOPEN_DIRECT_IO)));
	CHECK(opened_with(node) & FOPEN_KEEP_CACHE);
	CHECK(fs_put(inside("cache"), "other"));
	CHECK(!(opened_with(node) & FOPEN_KEEP_CACHE));

	BEGIN(.cache = PT_CACHE_ALWAYS);
	node = lookup(ROOT, "cache", NULL);
	CHECK(e->entry_valid == 86400 && e->attr_valid == 86400);
	CHECK(opened_with(node) & FOPEN_KEEP_CACHE);
	CHECK(!ask_names(FUSE_LOOKUP, ROOT, NULL, 0, "no", NULL));
	CHECK(!e->nodeid && e->entry_valid == 86400);

	BEGIN(.cache = PT_CACHE_NEVER, .dax_attr_min = 6);
	node = lookup(ROOT, "cache", NULL);
	CHECK(!e->entry_valid && !e->attr_valid);
	CHECK(opened_with(node) == FOPEN_DIRECT_IO);
	/* A DAX file now. */
	CHECK(fs_put(inside("cache"), "longer"));
	CHECK(opened_with(node) == (FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE));
}

static void dax_policy(void)
{
	struct stat st = { .st_mode = S_IFREG, .st_size = 10 };
	struct stat dir = { .st_mode = S_IFDIR, .st_size = 4096 };

	CHECK(session_begin(&plain));
	CHECK(!pt_node_dax(pt, &st));
	BEGIN(.dax_attr_min = 0);
	CHECK(pt_node_dax(pt, &st) && !pt_node_dax(pt, &dir));
	BEGIN(.dax_attr_min = 10);
	CHECK(pt_node_dax(pt, &st));
	st.st_size = 9;
	CHECK(!pt_node_dax(pt, &st));
}

static void lent_descriptors(void)
{
	struct pt_key key;
	struct stat st;
	uint64_t node, fh;
	char buf[8];
	int fd, before;

	BEGIN();
	CHECK(fs_put(inside("lent"), "lent"));
	node = lookup(ROOT, "lent", NULL);
	before = open_fds();
	CHECK(!open_file(node, O_RDWR, &fh));
	fd = pt_file_fd(pt, fh);
	CHECK(fd >= 0 && !release(FUSE_RELEASE, fh));
	CHECK(pt_file_fd(pt, fh) == -EBADF);
	/* Still there for who has borrowed it, then gone. */
	CHECK(pread(fd, buf, 8, 0) == 4);
	pt_file_put(pt, fh);
	CHECK(open_fds() == before && live(&pt->handles) == 0);
	CHECK(!pt_node_key(pt, node, &key) && !stat(inside("lent"), &st));
	CHECK(key.dev == st.st_dev && key.ino == st.st_ino);
	fd = pt_node_open(pt, node, O_RDWR);
	CHECK(fd >= 0 && pwrite(fd, "L", 1, 0) == 1 && !close(fd));
	CHECK(fs_has(inside("lent"), "Lent"));
}

static void statx_and_syncfs(void)
{
	struct statx stx;
	double timeout;
	uint64_t node;

	BEGIN();
	CHECK(fs_put(inside("sx"), "statx"));
	node = lookup(ROOT, "sx", NULL);
	CHECK(!pt_statx(pt, node, UINT64_MAX, 0, STATX_BASIC_STATS, &stx,
			&timeout));
	CHECK(stx.stx_size == 5 && S_ISREG(stx.stx_mode) && timeout == 1.0);
	CHECK(pt_statx(pt, 999, UINT64_MAX, 0, STATX_SIZE, &stx, &timeout) ==
	      -ENOENT);
	CHECK(!pt_syncfs(pt, ROOT) && pt_syncfs(pt, 999) == -ENOENT);
}

static void write_flags(void)
{
	struct iovec iov = { .iov_base = "x", .iov_len = 1 };
	struct stat st;
	int fd;

	CHECK(fs_put(inside("wf"), "abc"));
	fd = open(inside("wf"), O_RDWR);
	CHECK(pt_write(fd, &iov, 1, 0, 0, 0) == 1 && fs_has(inside("wf"), "xbc"));
	CHECK(pt_write(fd, &iov, 1, 0, O_APPEND, 0) == 1);
	CHECK(fs_has(inside("wf"), "xbcx"));
	CHECK(!fchmod(fd, 06777));
	CHECK(pt_write(fd, &iov, 1, 0, 0, 0) == 1);
	CHECK(!fstat(fd, &st) && (st.st_mode & 07777) == 06777);
	CHECK(pt_write(fd, &iov, 1, 0, 0, FUSE_WRITE_KILL_SUIDGID) == 1);
	CHECK(!fstat(fd, &st) && (st.st_mode & 07777) == 0777);
	/* The power to keep them is back. */
	CHECK(!fchmod(fd, 06777) && pt_write(fd, &iov, 1, 0, 0, 0) == 1);
	CHECK(!fstat(fd, &st) && (st.st_mode & 07777) == 06777);
	CHECK(pt_write(-1, &iov, 1, 0, 0, 0) == -EBADF && !close(fd));
}

/* With POSIX ACLs the host applies the umask, unless there is a default ACL. */
static void acl_and_umask(void)
{
	static const char acl[] =
		"\2\0\0\0"
		"\1\0\7\0\377\377\377\377" "\2\0\7\0\052\0\0\0"
		"\4\0\7\0\377\377\377\377" "\20\0\7\0\377\377\377\377"
		"\40\0\5\0\377\377\377\377";
	struct fuse_mkdir_in md = { .mode = 0777, .umask = 077 };
	struct stat st;
	uint64_t dir;

	CHECK(!mkdir(inside("acl"), 0777) && !mkdir(inside("noacl"), 0777));
	if (setxattr(inside("acl"), "system.posix_acl_default", acl,
		     sizeof(acl) - 1, 0))
		SKIP("no POSIX ACLs here");
	BEGIN(.xattr = true, .posix_acl = true);
	dir = lookup(ROOT, "acl", NULL);
	CHECK(!ask_names(FUSE_MKDIR, dir, &md, sizeof(md), "d", NULL));
	CHECK(!stat(inside("acl/d"), &st) && (st.st_mode & 0777) == 0775);
	dir = lookup(ROOT, "noacl", NULL);
	CHECK(!ask_names(FUSE_MKDIR, dir, &md, sizeof(md), "d", NULL));
	CHECK(!stat(inside("noacl/d"), &st) && (st.st_mode & 0777) == 0700);
}

/* The identity which a message claims must not be a way to stay root. */
static void odd_identities(void)
{
	struct fuse_mkdir_in md = { .mode = 0755 };
	struct stat st;

	BEGIN();
	memset(&msg, 0, 256);
	memcpy(msg.body, &md, sizeof(md));
	strcpy(msg.body + sizeof(md), "id1");
	msg.head.uid = (uint32_t)-1;
	CHECK(send_msg(FUSE_MKDIR, ROOT, sizeof(md) + 4) == EINVAL);
	msg.head.uid = 0;
	msg.head.gid = (uint32_t)-1;
	CHECK(send_msg(FUSE_MKDIR, ROOT, sizeof(md) + 4) == EINVAL);
	msg.head.gid = 9;
	msg.head.uid = 8;
	CHECK(!send_msg(FUSE_MKDIR, ROOT, sizeof(md) + 4));
	msg.head.uid = 0;
	msg.head.gid = 0;
	CHECK(!stat(inside("id1"), &st) && st.st_uid == 8 && st.st_gid == 9);
}

static bool export_session(void)
{
	struct pt_options opts = {
		.shared_dir = share_dir, .file_handles = PT_HANDLES_MANDATORY,
	};
	bool done;

	asks_exports = true;
	done = session_begin(&opts);
	asks_exports = false;
	return done && pt->exports;
}

static int look_dot(uint64_t node, const char *name)
{
	return ask_names(FUSE_LOOKUP, node, NULL, 0, name, NULL);
}

/* Who has a file by its number only finds it, and what is above it in the share. */
static void numbers_outlive_forgetting(void)
{
	uint64_t file, dir, sub;

	CHECK(export_session());
	CHECK(fs_put(inside("xf"), "f") && !mkdir(inside("xd"), 0755) &&
	      !mkdir(inside("xd/sub"), 0755));
	file = lookup(ROOT, "xf", NULL);
	dir = lookup(ROOT, "xd", NULL);
	sub = lookup(dir, "sub", NULL);
	forget(file, 1);
	forget(dir, 1);
	forget(sub, 1);
	forget(sub, 1);
	CHECK(live(&pt->nodes) == 4 && pt->forgotten.nr == 3);
	CHECK(lookup(file, ".", NULL) == file && pt->forgotten.nr == 2);
	CHECK(lookup(sub, ".", NULL) == sub && lookup(sub, "..", NULL) == dir);
	CHECK(lookup(dir, "..", NULL) == ROOT && lookup(ROOT, "..", NULL) == ROOT);
	CHECK(look_dot(file, "..") == ENOTDIR && !pt->forgotten.nr);
	/* By its name it is the same, too. */
	forget(file, 1);
	CHECK(lookup(ROOT, "xf", NULL) == file);
	/* What was moved out of the share does not lead further. */
	CHECK(!rename(inside("xd/sub"), outside("sub")));
	CHECK(look_dot(sub, "..") == ESTALE && lookup(sub, ".", NULL) == sub);
	CHECK(!rmdir(outside("sub")) && look_dot(sub, ".") == ESTALE);
	CHECK(!unlink(inside("xf")) && look_dot(file, ".") == ESTALE);
}

/* A guest can make the daemon keep so many, and no more. */
static void forgotten_nodes_have_a_bound(void)
{
	uint64_t nodes[4];
	char name[16];

	CHECK(export_session());
	pt->forgotten.max = 2;
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "xb%d", i);
		CHECK(fs_put(inside(name), "b"));
		nodes[i] = lookup(ROOT, name, NULL);
	}
	for (int i = 0; i < 4; i++)
		forget(nodes[i], 1);
	CHECK(live(&pt->nodes) == 3 && pt->forgotten.nr == 2);
	CHECK(look_dot(nodes[0], ".") == ENOENT);
	CHECK(look_dot(nodes[1], ".") == ENOENT);
	CHECK(lookup(nodes[2], ".", NULL) == nodes[2]);
	CHECK(lookup(nodes[3], ".", NULL) == nodes[3]);
	forget(nodes[3], 1);
	pt_reset(pt);
	CHECK(live(&pt->nodes) == 1 && !pt->forgotten.nr);
	CHECK(!pt->forgotten.oldest && !pt->forgotten.latest);
}

static int make_node(const char *name)
{
	struct fuse_mknod_in in = { .mode = S_IFREG | 0644 };

	return ask_names(FUSE_MKNOD, ROOT, &in, sizeof(in), name, NULL);
}

/* Also of those that it does not forget, though they take no descriptors. */
static void known_nodes_have_a_bound(void)
{
	const struct fuse_entry_out *e = (void *)reply;
	uint64_t nodes[3];
	char name[16];
	struct stat st;

	CHECK(export_session());
	CHECK(pt->known.max >= 1u << 20);
	pt->known.max = 4;
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "xk%d", i);
		CHECK(!make_node(name));
		nodes[i] = e->nodeid;
		CHECK(!ask_names(FUSE_UNLINK, ROOT, NULL, 0, name, NULL));
	}
	/* What could not be known then is not made. */
	CHECK(make_node("xk3") == ENFILE && lstat(inside("xk3"), &st));
	CHECK(fs_put(inside("xk4"), "k"));
	CHECK(ask_names(FUSE_LOOKUP, ROOT, NULL, 0, "xk4", NULL) == ENFILE);
	CHECK(live(&pt->nodes) == 4 && pt->known.nr == 4);
	forget(nodes[0], 1);
	CHECK(!ask_names(FUSE_LOOKUP, ROOT, NULL, 0, "xk4", NULL));
	/* That is known, so it can be looked up again. */
	CHECK(!ask_names(FUSE_LOOKUP, ROOT, NULL, 0, "xk4", NULL));
	CHECK(make_node("xk3") == ENFILE);
	pt_reset(pt);
	CHECK(pt->known.nr == 1 && !make_node("xk3"));
}

/* A new file system in place of the share, by calls, as programs have no privilege. */
static bool mount_ext4(void)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	char command[256], path[32];
	int control, loop = -1;
	bool done = false;

	snprintf(command, sizeof(command), "mkfs.ext4 -q %s 16M >/dev/null 2>&1",
		 outside("image"));
	if (system(command))
		return false;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)open(outside("image"), O_RDWR | O_CLOEXEC);
	/* Another test may be faster. */
	for (int i = 0; i < 20 && !done; i++) {
		close_fd(&loop);
		snprintf(path, sizeof(path), "/dev/loop%d",
			 ioctl(control, LOOP_CTL_GET_FREE));
		loop = open(path, O_RDWR | O_CLOEXEC);
		done = !ioctl(loop, LOOP_CONFIGURE, &config);
	}
	done = done && !mount(path, share_dir, "ext4", 0, NULL);
	close(control);
	close((int)config.fd);
	close(loop);
	return done;
}

/* A file, made and so looked up, then removed. */
static uint64_t make_and_remove(const char *name, ino_t *number)
{
	const struct fuse_entry_out *e = (void *)reply;
	uint64_t node;

	if (make_node(name))
		return 0;
	node = e->nodeid;
	*number = e->attr.ino;
	if (ask_names(FUSE_UNLINK, ROOT, NULL, 0, name, NULL))
		return 0;
	return node;
}

/* The longest list of nodes in which one is looked for. */
static unsigned int longest_chain(void)
{
	unsigned int longest = 0;

	for (size_t i = 0; i < pt->hash_size; i++) {
		unsigned int nr = 0;

		for (struct node *node = pt->hash[i]; node; node = node->hash_next)
			nr++;
		longest = nr > longest ? nr : longest;
	}
	return longest;
}

/*
 * ext4 gives the number of a file that is gone to the next one. What is left of the
 * others is neither searched nor kept.
 */
static void numbers_used_again(void)
{
	ino_t number = 0, first = 0;
	unsigned int again = 0;
	uint64_t node, known;

	session_end();
	if (!mount_ext4())
		SKIP("no ext4");
	CHECK(export_session());
	known = make_and_remove("n", &first);
	for (int i = 0; i < 300; i++) {
		node = make_and_remove("n", &number);
		CHECK(node && node != known);
		again += number == first;
		/* Every other one is not forgotten. */
		if (i % 2)
			forget(node, 1);
	}
	CHECK(again == 300);
	CHECK(longest_chain() <= 2);
	CHECK(live(&pt->nodes) == 153 && pt->forgotten.nr == 1);
	CHECK(look_dot(known, ".") == ESTALE);
	forget(known, 1);
	CHECK(look_dot(known, ".") == ENOENT);
	session_end();
	CHECK(!umount(share_dir) && !unlink(outside("image")));
}

/*
 * The host clears a capability when the file is written, if it has its name. Else the
 * guest has to, and does if it is not told that the host will.
 */
static void renamed_capabilities(void)
{
	const struct fuse_init_out *out = (void *)reply;
	static struct xattrmap map;

	BEGIN(.xattr = true, .killpriv_v2 = true);
	CHECK(out->flags & FUSE_HANDLE_KILLPRIV_V2);
	CHECK(xattrmap_parse(&map, "/map/trusted./user.virtiofs./"));
	BEGIN(.xattr = true, .killpriv_v2 = true, .xattrmap = map);
	CHECK(out->flags & FUSE_HANDLE_KILLPRIV_V2);
	CHECK(xattrmap_parse(&map, ":map::user.virtiofs.:"));
	BEGIN(.xattr = true, .killpriv_v2 = true, .xattrmap = map);
	CHECK(!(out->flags & FUSE_HANDLE_KILLPRIV_V2));
}

static int late_wait(uint64_t nr, int ms)
{
	for (; ms > 0; ms -= 5) {
		bool done;
		int error;

		pthread_mutex_lock(&reply_lock);
		done = late_replied[nr % 64];
		error = late_error[nr % 64];
		pthread_mutex_unlock(&reply_lock);
		if (done)
			return error;
		usleep(5000);
	}
	return -NO_REPLY;
}

static int lock_file(uint32_t opcode, uint64_t fh, uint64_t owner,
		     uint32_t type, uint32_t flags)
{
	struct fuse_lk_in in = {
		.fh = fh,
		.owner = owner,
		.lk = { .start = 0, .end = 99, .type = type },
		.lk_flags = flags,
	};

	return ask(opcode, ROOT, &in, sizeof(in));
}

static void waiting_locks(void)
{
	struct fuse_interrupt_in intr;
	uint64_t node, fh, fh2, first, second;

	BEGIN();
	CHECK(fs_put(inside("wl"), "wl"));
	node = lookup(ROOT, "wl", NULL);
	CHECK(!open_file(node, O_RDWR, &fh) && !open_file(node, O_RDWR, &fh2));
	CHECK(!lock_file(FUSE_SETLK, fh, 1, F_WRLCK, 0));
	CHECK(lock_file(FUSE_SETLK, fh2, 2, F_WRLCK, 0) == EAGAIN);
	/* The calling thread comes back; the answer comes later. */
	CHECK(lock_file(FUSE_SETLKW, fh2, 2, F_WRLCK, 0) == -NO_REPLY);
	first = unique;
	CHECK(late_wait(first, 100) == -NO_REPLY);
	CHECK(!lock_file(FUSE_SETLK, fh, 1, F_UNLCK, 0));
	CHECK(late_wait(first, 2000) == 0);
	/* Interrupted. */
	CHECK(lock_file(FUSE_SETLKW, fh, 1, F_WRLCK, 0) == -NO_REPLY);
	first = unique;
	intr.unique = first;
	ask(FUSE_INTERRUPT, 0, &intr, sizeof(intr));
	CHECK(late_wait(first, 2000) == EINTR);
	/* Its handle is released; a BSD lock as well. */
	CHECK(!lock_file(FUSE_SETLK, fh2, 2, F_WRLCK, FUSE_LK_FLOCK));
	CHECK(lock_file(FUSE_SETLKW, fh, 3, F_WRLCK, FUSE_LK_FLOCK) ==
	      -NO_REPLY);
	first = unique;
	CHECK(lock_file(FUSE_SETLKW, fh, 4, F_WRLCK, 0) == -NO_REPLY);
	second = unique;
	CHECK(!release(FUSE_RELEASE, fh));
	CHECK(late_wait(first, 2000) == EINTR);
	CHECK(late_wait(second, 2000) == EINTR);
	/* A reset answers who waits, before it returns. */
	CHECK(!open_file(node, O_RDWR, &fh));
	CHECK(lock_file(FUSE_SETLKW, fh, 5, F_WRLCK, 0) == -NO_REPLY);
	first = unique;
	pt_reset(pt);
	CHECK(late_wait(first, 5) == EINTR);
	CHECK(live(&pt->nodes) == 1 && live(&pt->handles) == 0);
}

static void reset_leaves_nothing(void)
{
	uint64_t node, fh, dh;
	int before, host;

	BEGIN();
	CHECK(fs_put(inside("rl"), "rl"));
	before = open_fds();
	for (int i = 0; i < 20; i++) {
		node = lookup(ROOT, "rl", NULL);
		CHECK(!open_file(node, O_RDWR, &fh) && !open_dir(ROOT, &dh));
		CHECK(!lock_file(FUSE_SETLK, fh, 1, F_WRLCK, 0));
	}
	CHECK(open_fds() > before);
	pt_reset(pt);
	CHECK(open_fds() == before && live(&pt->nodes) == 1);
	CHECK(read_at(fh, 0, 1) == EBADF);
	host = open(inside("rl"), O_RDWR);
	CHECK(!flock(host, LOCK_EX | LOCK_NB) && !close(host));
	CHECK(lookup(ROOT, "rl", NULL) && lookup(ROOT, "rl", NULL) != node);
}

static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Numbers that are often right, so that the garbage gets further. */
static uint64_t rnd_id(void)
{
	switch (rnd() % 4) {
	case 0:
		return ROOT;
	case 1:
		return rnd() % 64;
	case 2:
		return (rnd() % 4) << 32 | rnd() % 64;
	}
	return rnd();
}

static void garbage_body(size_t len)
{
	static const char * const names[] = { "a", "b", "..", "ga/x", "g", "" };

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rnd() % 3 ? rnd_id() : rnd() & 0xffff;

		memcpy(msg.body + i, &v, 8);
	}
	if (rnd() % 2) {
		const char *name = names[rnd() % 6];
		size_t at = (rnd() % 5) * 8;

		memcpy(msg.body + at, name, strlen(name) + 1);
		memcpy(msg.body + at + strlen(name) + 1, "h", 2);
	}
}

/*
 * Any message at all. Not sent: what only ends the session, and writes and
 * allocations, which would only fill the disk.
 */
static void garbage(void)
{
	static const char * const made[] = { "a", "b", "g" };

	BEGIN(.xattr = true);
	for (int i = 0; i < 3; i++)
		CHECK(fs_put(inside(made[i]), "garbage"));
	for (int i = 0; i < GARBAGE_ROUNDS; i++) {
		uint32_t op = (uint32_t)(rnd() % 56);
		size_t len = (rnd() % 16) * 8;

		if (op == FUSE_DESTROY || op == FUSE_FALLOCATE ||
		    op == FUSE_INIT || op == FUSE_WRITE)
			continue;
		memset(&msg, 0, 512);
		garbage_body(128);
		send_msg(op, rnd_id(), len);
	}
	CHECK(fs_has(outside("out/secret"), "outside"));
	CHECK(fs_has(outside("victim"), "victim"));
	pt_reset(pt);
	CHECK(live(&pt->nodes) == 1 && live(&pt->handles) == 0);
	CHECK(lookup(ROOT, "race", NULL));
}

static const struct fs_test tests[] = {
	TEST(bad_names), TEST(long_names), TEST(lying_lengths),
	TEST(unknown_numbers), TEST(stale_numbers), TEST(forgetting),
	TEST(one_node_per_file), TEST(readdirplus_counts),
	TEST(nothing_above_the_root), TEST(symlink_race),
	TEST(create_over_links), TEST(special_files), TEST(create_existing),
	TEST(readonly), TEST(without_xattr), TEST(caching), TEST(dax_policy),
	TEST(lent_descriptors), TEST(statx_and_syncfs), TEST(write_flags),
	TEST(acl_and_umask), TEST(odd_identities), TEST(waiting_locks),
	TEST(reset_leaves_nothing), TEST(garbage),
	TEST(renamed_capabilities),
	TEST(numbers_outlive_forgetting), TEST(forgotten_nodes_have_a_bound),
	TEST(known_nodes_have_a_bound), TEST(numbers_used_again),
};

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	int ret;

	if (geteuid())
		return skip_all("needs root");
	if (isolation_start(NULL) || isolation_nofile(ISOLATION_NOFILE_DEFAULT))
		return skip_all(isolation_step());
	strcpy(base, "/tmp/fs-raw-XXXXXX");
	if (!mkdtemp(base))
		return 1;
	snprintf(share_dir, sizeof(share_dir), "%s/share", base);
	if (mkdir(share_dir, 0755))
		return 1;
	ret = run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			argc > 1 ? argv[1] : NULL);
	session_end();
	/* Not by a program: it would have no capabilities any more. */
	if (nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		printf("# cannot remove %s\n", base);
	return ret;
}
