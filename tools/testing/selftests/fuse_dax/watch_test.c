// SPDX-License-Identifier: GPL-2.0
/*
 * Who watches files in the guest is told what is done to them on the host: inotify, and
 * --cache=coherent of virtiofs-daxd. Somebody on the host does it (fuse_dax_hand.h).
 */
#include <poll.h>
#include <sys/inotify.h>
#include <sys/xattr.h>
#include <linux/fuse.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"
#include "fuse_dax_hand.h"

#define NOTIFY_XATTR	"trusted.daxd.notify"
#define PARAMETER	"/sys/module/fuse/parameters/notify_fsnotify"

#define WATCHED	(IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE |		\
		 IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

/* The daemon tells of an event with the next answer, or after so long */
#define TOLD_MS		300

struct seen {
	uint32_t mask;
	uint32_t cookie;
	int wd;
	char name[64];
};

/**
 * struct watcher - who watches the directory of a test
 * @fs: the mount
 * @hand: who does something to it
 * @fd: of inotify
 * @dir: the watch of the directory
 * @seen: what was told last
 * @n: how much
 */
struct watcher {
	struct dax_fs fs;
	struct hand hand;
	int fd, dir;
	struct seen seen[256];
	int n;
};

FIXTURE(watch)
{
	struct watcher w;
};

static int own_file(struct dax_fs *fs, const char *name)
{
	int fd = openat(fs->dirfd, name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	int ret = fd >= 0 && write(fd, "abc", 3) == 3 ? 0 : -1;

	close(fd);
	return ret;
}

/* Whether the driver has servers tell who watches files */
static bool told(void)
{
	int fd = open(PARAMETER, O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (read(fd, &value, 1) != 1)
		value = 0;
	close(fd);
	return value == 'Y';
}

FIXTURE_SETUP(watch)
{
	FS_SETUP(&self->w.fs);
	if (hand_open(&self->w.hand, &self->w.fs))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	NEED(!access(PARAMETER, F_OK), "the driver tells nobody");
	ASSERT_EQ(0, own_file(&self->w.fs, "file"));
	self->w.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	ASSERT_LE(0, self->w.fd);
	self->w.dir = inotify_add_watch(self->w.fd, self->w.fs.dir, WATCHED);
	ASSERT_LE(0, self->w.dir);
}

FIXTURE_TEARDOWN(watch)
{
	close(self->w.fd);
	hand_close(&self->w.hand);
	FS_TEARDOWN(&self->w.fs);
}

/* Takes what there is, after all that was done has been told */
static int take(struct watcher *w)
{
	static union {
		struct inotify_event first;
		char bytes[65536];
	} buf;
	const struct inotify_event *event;
	ssize_t len, pos;

	w->n = 0;
	barrier(&w->fs);
	sleep_ms(TOLD_MS);
	while ((len = read(w->fd, &buf, sizeof(buf))) > 0) {
		for (pos = 0; pos < len; pos += sizeof(*event) + event->len) {
			struct seen *seen = &w->seen[w->n];

			event = (void *)(buf.bytes + pos);
			if (w->n == (int)ARRAY_SIZE(w->seen) - 1)
				return -1;
			seen->mask = event->mask;
			seen->cookie = event->cookie;
			seen->wd = event->wd;
			snprintf(seen->name, sizeof(seen->name), "%s",
				 event->len ? event->name : "");
			w->n++;
		}
	}
	return w->n;
}

/* How often something of a name was seen, by one watch */
static int seen(struct watcher *w, int wd, uint32_t mask,
		const char *name)
{
	int i, n = 0;

	for (i = 0; i < w->n; i++)
		n += w->seen[i].wd == wd && w->seen[i].mask == mask &&
		     !strcmp(w->seen[i].name, name);
	return n;
}

static void tell(struct watcher *w)
{
	int i;

	for (i = 0; i < w->n; i++)
		fprintf(stderr, "# wd %d mask %x cookie %u %s\n",
			w->seen[i].wd, w->seen[i].mask,
			w->seen[i].cookie, w->seen[i].name);
}

/*
 * Rule: each thing that is done on the host to a file that is known, or to a name in a
 * directory that is watched, is told once, with its name.
 * Wrong: it is not, or twice, or of another name.
 * in-tree 7.3: fails, nothing is told.
 */
TEST_F_TIMEOUT(watch, names, 60)
{
	if (!told())
		SKIP(return, "fuse.notify_fsnotify=0");
	ASSERT_EQ(0, hand_do(&self->w.hand, "create", "new"));
	take(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CREATE, "new"));
	tell(&self->w);

	ASSERT_EQ(0, hand_do(&self->w.hand, "mkdir", "sub"));
	take(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CREATE | IN_ISDIR, "sub"));
	tell(&self->w);

	ASSERT_EQ(0, hand_do(&self->w.hand, "remove", "new"));
	take(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_DELETE, "new"));
	tell(&self->w);

	ASSERT_EQ(0, hand_do(&self->w.hand, "move", "file"));
	take(&self->w);
	tell(&self->w);
	ASSERT_EQ(2, self->w.n);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_MOVED_FROM, "file"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_MOVED_TO, "file.moved"));
	EXPECT_NE(0, self->w.seen[0].cookie);
	EXPECT_EQ(self->w.seen[0].cookie, self->w.seen[1].cookie);
	EXPECT_EQ(IN_MOVED_FROM, self->w.seen[0].mask);
}

TEST_F_TIMEOUT(watch, files, 60)
{
	char path[PATH_MAX + 8];
	int file;

	if (!told())
		SKIP(return, "fuse.notify_fsnotify=0");
	snprintf(path, sizeof(path), "%s/file", self->w.fs.dir);
	file = inotify_add_watch(self->w.fd, path, WATCHED);
	ASSERT_LE(0, file);

	ASSERT_EQ(0, hand_do(&self->w.hand, "rewrite", "file"));
	take(&self->w);
	tell(&self->w);
	EXPECT_LE(1, seen(&self->w, self->w.dir, IN_MODIFY, "file"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CLOSE_WRITE, "file"));
	EXPECT_LE(1, seen(&self->w, file, IN_MODIFY, ""));
	EXPECT_EQ(1, seen(&self->w, file, IN_CLOSE_WRITE, ""));

	ASSERT_EQ(0, hand_do(&self->w.hand, "chmod", "file"));
	take(&self->w);
	tell(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_ATTRIB, "file"));
	EXPECT_EQ(1, seen(&self->w, file, IN_ATTRIB, ""));
}

/*
 * Rule: the same of a file in the directory that nobody here has looked up.
 * Wrong: its name comes and goes, and what is done to it is not told.
 */
TEST_F_TIMEOUT(watch, strangers, 60)
{
	if (!told())
		SKIP(return, "fuse.notify_fsnotify=0");
	ASSERT_EQ(0, hand_do(&self->w.hand, "create", "new"));
	take(&self->w);
	tell(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CREATE, "new"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CLOSE_WRITE, "new"));

	ASSERT_EQ(0, hand_do(&self->w.hand, "append", "new"));
	take(&self->w);
	tell(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_MODIFY, "new"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CLOSE_WRITE, "new"));
	EXPECT_EQ(2, self->w.n);

	ASSERT_EQ(0, hand_do(&self->w.hand, "chmod", "new"));
	take(&self->w);
	tell(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_ATTRIB, "new"));
	EXPECT_EQ(1, self->w.n);
}

/*
 * Rule: fuse.notify_fsnotify=0 turns that off.
 * Wrong: something is told all the same; or it is not seen any more what was done.
 */
TEST_F_TIMEOUT(watch, off, 60)
{
	if (told())
		SKIP(return, "needs fuse.notify_fsnotify=0");
	take(&self->w);
	ASSERT_EQ(0, hand_do(&self->w.hand, "move", "file"));
	ASSERT_EQ(0, hand_do(&self->w.hand, "chmod", "file.moved"));
	EXPECT_EQ(0, take(&self->w));
	tell(&self->w);
	EXPECT_NE(0, faccessat(self->w.fs.dirfd, "file", F_OK, 0));
	EXPECT_EQ(0, faccessat(self->w.fs.dirfd, "file.moved", F_OK, 0));
}

/* Of what is done here the kernel itself tells */
TEST_F_TIMEOUT(watch, own, 60)
{
	take(&self->w);
	ASSERT_EQ(0, own_file(&self->w.fs, "own"));
	ASSERT_EQ(0, renameat(self->w.fs.dirfd, "own", self->w.fs.dirfd, "mine"));
	ASSERT_EQ(0, fchmodat(self->w.fs.dirfd, "mine", 0600, 0));
	ASSERT_EQ(0, unlinkat(self->w.fs.dirfd, "mine", 0));
	take(&self->w);
	tell(&self->w);
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CREATE, "own"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_MODIFY, "own"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_CLOSE_WRITE, "own"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_MOVED_FROM, "own"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_MOVED_TO, "mine"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_ATTRIB, "mine"));
	EXPECT_EQ(1, seen(&self->w, self->w.dir, IN_DELETE, "mine"));
	EXPECT_EQ(7, self->w.n);
}

/* ---- what the server says ---- */

struct event {
	struct fuse_out_header header;
	struct fuse_notify_event_out out;
	char name[64];
};

static int say(const struct dax_fs *fs, uint64_t nodeid, uint32_t mask,
	       const char *name, size_t len)
{
	struct event event = {
		.header = {
			.len = sizeof(event.header) + sizeof(event.out) +
			       (len ? len + 1 : 0),
			.error = FUSE_NOTIFY_EVENT,
		},
		.out = { .nodeid = nodeid, .mask = mask, .namelen = len },
	};

	memcpy(event.name, name, len);
	return setxattr(fs->mnt, NOTIFY_XATTR, &event, event.header.len, 0);
}

/*
 * Rule: an event that makes no sense is not told.
 * Wrong: a warning; or an event that cannot be, or of a name that cannot be.
 */
TEST_F_TIMEOUT(watch, nonsense, 60)
{
	struct dax_fs *fs = &self->w.fs;
	int root, i;

	if (!told())
		SKIP(return, "fuse.notify_fsnotify=0");
	NEED(fault_server(fs), "the server makes no mistakes");
	root = inotify_add_watch(self->w.fd, fs->mnt, IN_ALL_EVENTS);
	ASSERT_LE(0, root);
	ASSERT_EQ(0, say(fs, 1, IN_CREATE, "right", 5));
	take(&self->w);
	EXPECT_EQ(1, seen(&self->w, root, IN_CREATE, "right"));

	ASSERT_EQ(0, say(fs, 1, IN_CREATE, "a/b", 3));
	ASSERT_EQ(0, say(fs, 1, IN_CREATE, "a\0b", 3));
	ASSERT_EQ(0, say(fs, 1, IN_CREATE, "..", 2));
	ASSERT_EQ(0, say(fs, 1, IN_CREATE, ".", 1));
	ASSERT_EQ(0, say(fs, 1, IN_CREATE, "", 0));
	ASSERT_EQ(0, say(fs, 1, IN_MODIFY, "a/b", 3));
	ASSERT_EQ(0, say(fs, 0, IN_CREATE, "name", 4));
	ASSERT_EQ(0, say(fs, -1, IN_CREATE, "name", 4));
	ASSERT_EQ(0, say(fs, 12345678, IN_CREATE, "name", 4));
	for (i = 0; i < 32; i++) {
		if ((1U << i) & WATCHED)
			continue;
		ASSERT_EQ(0, say(fs, 1, 1U << i, "name", 4));
		/* Two at a time, but for IN_ISDIR */
		if (1U << i != IN_ISDIR)
			ASSERT_EQ(0, say(fs, 1, IN_CREATE | 1U << i, "name", 4));
	}
	ASSERT_EQ(0, say(fs, 1, ~0U, "name", 4));
	ASSERT_EQ(0, say(fs, 1, 0, "name", 4));
	take(&self->w);
	for (i = 0; i < self->w.n; i++)
		EXPECT_FALSE(self->w.seen[i].wd == root &&
			     (self->w.seen[i].mask & (IN_CREATE | IN_DELETE)));
}

TEST_HARNESS_MAIN
