// SPDX-License-Identifier: GPL-2.0
/*
 * What the guest believes for as long as the server does not correct it, which it
 * does before the next answer: --cache=coherent of virtiofs-daxd.
 *
 * In each test somebody on the host changes something that the guest knows
 * (fuse_dax_hand.h); then the guest sends a request that has nothing to do with it, and
 * when that is answered nothing may be as it was. Or the server, which is
 * virtiofs-daxd-fault, answers late, or says something that nobody did.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <linux/fuse.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"
#include "fuse_dax_hand.h"

#define NOTIFY_XATTR	"trusted.daxd.notify"
#define INC_EPOCH	8

#define DIRS		12
#define FILES		24
#define SMALL		3000
#define SEED		7

/* What a walk of a tree may cost the first time only */
static const struct {
	int opcode;
	const char *name;
} walk_ops[] = {
	{ 1, "LOOKUP" }, { 3, "GETATTR" }, { 5, "READLINK" }, { 22, "GETXATTR" },
	{ 23, "LISTXATTR" }, { 27, "OPENDIR" }, { 28, "READDIR" },
	{ 29, "RELEASEDIR" }, { 44, "READDIRPLUS" }, { 52, "STATX" },
};

FIXTURE(coherent)
{
	struct dax_fs fs;
	struct hand hand;
};

FIXTURE_SETUP(coherent)
{
	FS_SETUP(&self->fs);
	if (hand_open(&self->hand, &self->fs))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	NEED(fault_server(&self->fs), "the server makes no mistakes");
	ASSERT_EQ(0, fault_clear(&self->fs));
}

FIXTURE_TEARDOWN(coherent)
{
	fault_clear(&self->fs);
	hand_close(&self->hand);
	FS_TEARDOWN(&self->fs);
}

/* ---- trees ---- */

static int tree_make(struct dax_fs *fs)
{
	char name[64];
	int i, j, fd;

	for (i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		if (mkdirat(fs->dirfd, name, 0755))
			return -1;
		for (j = 0; j < FILES; j++) {
			snprintf(name, sizeof(name), "d%d/f%d", i, j);
			fd = openat(fs->dirfd, name, O_CREAT | O_RDWR, 0644);
			if (fd < 0 || write(fd, name, sizeof(name)) < 0)
				return -1;
			close(fd);
		}
	}
	return symlinkat("d0", fs->dirfd, "link");
}

/* What programs as ls want to know of each name */
static void look_at(const char *path, const struct stat *st)
{
	static const char *const names[] = {
		"security.capability", "security.selinux",
		"system.posix_acl_access", "system.posix_acl_default",
	};
	char value[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		lgetxattr(path, names[i], value, sizeof(value));
	llistxattr(path, value, sizeof(value));
	if (S_ISLNK(st->st_mode))
		readlink(path, value, sizeof(value));
}

/* Looks at all that is there; how many names, or -1 */
static int walk(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char child[PATH_MAX];
	struct stat st;
	int n = 0, below;

	if (!dir)
		return -1;
	while (n >= 0 && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		if (lstat(child, &st)) {
			n = -1;
			break;
		}
		look_at(child, &st);
		below = S_ISDIR(st.st_mode) ? walk(child) : 0;
		n = below < 0 ? -1 : n + below + 1;
	}
	closedir(dir);
	return n;
}

/* How many requests for names, attributes and listings a walk costs; -1 */
static long walk_costs(struct dax_fs *fs, int names, bool tell)
{
	long all = 0;
	size_t i;
	int n;

	if (trace_start())
		return -1;
	n = walk(fs->dir);
	trace_stop();
	for (i = 0; i < ARRAY_SIZE(walk_ops); i++) {
		all += trace_requests(walk_ops[i].opcode);
		if (tell && trace_requests(walk_ops[i].opcode))
			fprintf(stderr, "# %s: %ld\n", walk_ops[i].name,
				trace_requests(walk_ops[i].opcode));
	}
	return n == names ? all : -1;
}

#define TREE_NAMES	(DIRS * (FILES + 1) + 1)

/* ---- names and attributes ---- */

static off_t size_at(struct dax_fs *fs, const char *name)
{
	struct stat st;

	return fstatat(fs->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ? -errno :
								    st.st_size;
}

static long mode_at(struct dax_fs *fs, const char *name)
{
	struct stat st;

	return fstatat(fs->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ?
	       -errno : st.st_mode & 07777;
}

/* Whether a directory has a name, by its listing; the number of names in @count */
static bool listed(struct dax_fs *fs, const char *name, int *count)
{
	DIR *dir = opendir(fs->dir);
	struct dirent *entry;
	bool is = false;

	*count = -2;
	while (dir && (entry = readdir(dir))) {
		is |= !strcmp(entry->d_name, name);
		++*count;
	}
	if (dir)
		closedir(dir);
	return is;
}

static int text_make(struct dax_fs *fs, const char *name, const char *text)
{
	int fd = openat(fs->dirfd, name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
	int ret = -1;

	if (fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text))
		ret = 0;
	close(fd);
	return ret;
}

/* What a file begins with */
static char first_of(struct dax_fs *fs, const char *name)
{
	int fd = openat(fs->dirfd, name, O_RDONLY);
	char byte = 0;

	if (fd < 0 || read(fd, &byte, 1) != 1)
		byte = 0;
	close(fd);
	return byte;
}

/*
 * Rule: what the server would say if it were not so any more is not asked for again.
 * Wrong: a second walk of a tree asks for names, attributes, listings, or for extended
 * attributes which are not there.
 * Right: it sends nothing, and finds the same.
 * in-tree 7.3: fails, timeouts are all it has.
 */
TEST_F_TIMEOUT(coherent, second_walk, 120)
{
	long first;

	ASSERT_EQ(0, tree_make(&self->fs));
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	first = walk_costs(&self->fs, TREE_NAMES, false);
	EXPECT_LT(0, first);
	/* More than the timeouts of other servers */
	sleep_ms(2500);
	EXPECT_EQ(0, walk_costs(&self->fs, TREE_NAMES, true));
	EXPECT_EQ(0, walk_costs(&self->fs, TREE_NAMES, true));
}

/*
 * Rule: what was changed on the host is so in the guest, after any answer.
 * Wrong: a name, an attribute, a listing or data is as before.
 * Right: none is.
 */
TEST_F_TIMEOUT(coherent, names, 120)
{
	struct dax_fs *fs = &self->fs;
	int count;

	/* A name that is not there, known as such */
	EXPECT_EQ(-ENOENT, size_at(fs, "name"));
	EXPECT_FALSE(listed(fs, "name", &count));
	EXPECT_EQ(0, count);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(-ENOENT, size_at(fs, "name"));
	EXPECT_FALSE(listed(fs, "name", &count));
	trace_stop();
	EXPECT_EQ(0, trace_requests(1));
	EXPECT_EQ(0, trace_requests(27) + trace_requests(28) +
		     trace_requests(44));

	ASSERT_EQ(0, hand_do(&self->hand, "create", "name"));
	EXPECT_EQ(0, size_at(fs, "name"));
	EXPECT_TRUE(listed(fs, "name", &count));
	EXPECT_EQ(1, count);

	ASSERT_EQ(0, hand_do(&self->hand, "move", "name"));
	EXPECT_EQ(-ENOENT, size_at(fs, "name"));
	EXPECT_EQ(0, size_at(fs, "name.moved"));
	EXPECT_FALSE(listed(fs, "name", &count));
	EXPECT_TRUE(listed(fs, "name.moved", &count));

	ASSERT_EQ(0, hand_do(&self->hand, "remove", "name.moved"));
	EXPECT_EQ(-ENOENT, size_at(fs, "name.moved"));
	EXPECT_FALSE(listed(fs, "name.moved", &count));
	EXPECT_EQ(0, count);

	ASSERT_EQ(0, hand_do(&self->hand, "mkdir", "dir"));
	EXPECT_TRUE(listed(fs, "dir", &count));
	EXPECT_EQ(-ENOENT, size_at(fs, "dir/name"));
	ASSERT_EQ(0, hand_do(&self->hand, "create", "dir/name"));
	EXPECT_EQ(0, size_at(fs, "dir/name"));
	ASSERT_EQ(0, hand_do(&self->hand, "remove", "dir"));
	EXPECT_EQ(-ENOENT, size_at(fs, "dir/name"));
	EXPECT_EQ(-ENOENT, size_at(fs, "dir"));
}

TEST_F_TIMEOUT(coherent, files, 120)
{
	struct dax_fs *fs = &self->fs;
	struct stat was, is;

	ASSERT_EQ(0, text_make(fs, "file", "old"));
	ASSERT_EQ(0, text_make(fs, "mapped", "old"));
	ASSERT_EQ(0, fs_remount(fs, fs_first_options()));
	EXPECT_EQ('o', first_of(fs, "file"));
	EXPECT_EQ('o', first_of(fs, "file"));
	EXPECT_EQ(3, size_at(fs, "file"));

	/* In place, of the same size, twice within a tick of the clock */
	ASSERT_EQ(0, hand_do(&self->hand, "rewrite", "file"));
	EXPECT_EQ('R', first_of(fs, "file"));
	EXPECT_EQ(3, size_at(fs, "file"));

	ASSERT_EQ(0, hand_do(&self->hand, "append", "file"));
	EXPECT_LT(3, size_at(fs, "file"));
	EXPECT_EQ('R', first_of(fs, "file"));

	ASSERT_EQ(0, hand_do(&self->hand, "cut", "file"));
	EXPECT_EQ(0, size_at(fs, "file"));
	EXPECT_EQ(0, first_of(fs, "file"));

	ASSERT_EQ(0, hand_do(&self->hand, "chmod", "file"));
	EXPECT_EQ(0600, mode_at(fs, "file"));

	/* Another file of the same name, while the old one is open */
	ASSERT_EQ(0, fstatat(fs->dirfd, "file", &was, 0));
	ASSERT_EQ(0, hand_do(&self->hand, "over", "file"));
	ASSERT_EQ(0, fstatat(fs->dirfd, "file", &is, 0));
	EXPECT_NE(was.st_ino, is.st_ino);
	EXPECT_EQ('X', first_of(fs, "file"));
}

TEST_F_TIMEOUT(coherent, contents, 120)
{
	struct dax_fs *fs = &self->fs;
	int fd, i;
	char *map;
	char byte;

	fd = file_make(fs, "file", SMALL, SEED);
	ASSERT_LE(0, fd);
	map = map_file(fd, SMALL, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	touch_pages(map, SMALL);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, pread(fd, &byte, 1, 0));
		ASSERT_EQ(0, hand_do(&self->hand, i & 1 ? "rewrite2" : "rewrite",
				     "file"));
		EXPECT_EQ(1, pread(fd, &byte, 1, 0));
		EXPECT_EQ(i & 1 ? 'S' : 'R', byte);
		EXPECT_EQ(byte, touch_read(map));
	}
	munmap(map, SMALL);
	close(fd);
}

/*
 * Rule: own changes are as the server has them.
 * Wrong: a listing that was kept, or was being read when they were made, lacks a name,
 * or has one too many, from then on.
 */
TEST_F_TIMEOUT(coherent, own, 120)
{
	struct dax_fs *fs = &self->fs;
	struct dirent *entry;
	int count, i;
	char name[200];
	DIR *dir;

	for (i = 0; i < 800; i++) {
		snprintf(name, sizeof(name), "%0150d", i);
		ASSERT_EQ(0, mknodat(fs->dirfd, name, S_IFREG | 0600, 0));
	}
	dir = opendir(fs->dir);
	ASSERT_NE(NULL, dir);
	entry = readdir(dir);
	ASSERT_NE(NULL, entry);
	/* As it is being read */
	for (i = 0; i < 800; i += 2) {
		snprintf(name, sizeof(name), "%0150d", i);
		ASSERT_EQ(0, unlinkat(fs->dirfd, name, 0));
	}
	ASSERT_EQ(0, mknodat(fs->dirfd, "new", S_IFREG | 0600, 0));
	while ((entry = readdir(dir)))
		;
	closedir(dir);
	for (i = 0; i < 2; i++) {
		EXPECT_FALSE(listed(fs, name + 1, &count));
		EXPECT_EQ(401, count);
		EXPECT_TRUE(listed(fs, "new", &count));
	}
	ASSERT_EQ(0, renameat(fs->dirfd, "new", fs->dirfd, "newer"));
	EXPECT_FALSE(listed(fs, "new", &count));
	EXPECT_TRUE(listed(fs, "newer", &count));
	EXPECT_EQ(401, count);
	EXPECT_EQ(-ENOENT, size_at(fs, "new"));
	EXPECT_EQ(0, size_at(fs, "newer"));
	ASSERT_EQ(0, text_make(fs, "newer", "abc"));
	EXPECT_EQ(3, size_at(fs, "newer"));
}

/* Extended attributes: what is not there, and then is */
TEST_F_TIMEOUT(coherent, xattr, 120)
{
	static const char name[] = "security.capability";
	static const char cap[20] = { 1, 0, 0, 2 };
	struct dax_fs *fs = &self->fs;
	char path[PATH_MAX + 16], value[64];

	ASSERT_EQ(0, text_make(fs, "file", "x"));
	snprintf(path, sizeof(path), "%s/file", fs->dir);
	EXPECT_EQ(-1, getxattr(path, name, value, sizeof(value)));
	EXPECT_EQ(ENODATA, errno);
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(-1, getxattr(path, name, value, sizeof(value)));
	trace_stop();
	EXPECT_EQ(0, trace_requests(22));
	/* By the host: a correction of its attributes */
	ASSERT_EQ(0, hand_do(&self->hand, "chmod", "file"));
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(-1, getxattr(path, name, value, sizeof(value)));
	trace_stop();
	EXPECT_EQ(1, trace_requests(22));
	/* By us */
	ASSERT_EQ(0, setxattr(path, name, cap, sizeof(cap), 0));
	EXPECT_EQ(sizeof(cap), getxattr(path, name, value, sizeof(value)));
	ASSERT_EQ(0, removexattr(path, name));
	EXPECT_EQ(-1, getxattr(path, name, value, sizeof(value)));
}

/* ---- what the server says ---- */

struct message {
	struct fuse_out_header header;
	char body[1200];
};

static int say(const struct dax_fs *fs, int code, const void *body, size_t len)
{
	struct message msg = {
		.header = { .len = sizeof(msg.header) + len, .error = code },
	};

	memcpy(msg.body, body, len);
	return setxattr(fs->mnt, NOTIFY_XATTR, &msg, msg.header.len, 0);
}

/* That a name in the root of the mount is another one's */
static int say_entry(const struct dax_fs *fs, const char *name)
{
	struct {
		struct fuse_notify_inval_entry_out out;
		char name[256];
	} body = { .out = { .parent = 1, .namelen = strlen(name) } };

	strcpy(body.name, name);
	return say(fs, FUSE_NOTIFY_INVAL_ENTRY, &body,
		   sizeof(body.out) + strlen(name) + 1);
}

static long lookups_of(const char *path)
{
	struct stat st;

	if (trace_start())
		return -1;
	lstat(path, &st);
	trace_stop();
	return trace_requests(1);
}

#define IN_ORDER	2000
#define IN_ORDER_MIN	100
#define IN_ORDER_MS	40000
#define BUSY		8

/* Keeps a processor busy, so that workers of the kernel come late, until it is killed */
static pid_t keep_busy(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		;
}

/*
 * Rule: what was said before an answer is known to who gets the answer.
 * Wrong: now and then a name is believed once more, as the word of it is taken from its
 * queue later than the answer from another one.
 * Right: each time that it is asked for after such an answer, it is looked up.
 */
TEST_F_TIMEOUT(coherent, in_order, 120)
{
	const char *name = strrchr(self->fs.dir, '/') + 1;
	long before = fault_requests(&self->fs, "lookup");
	long end = now_ms() + IN_ORDER_MS;
	pid_t pids[BUSY];
	struct stat st;
	int i;

	for (i = 0; i < BUSY; i++)
		pids[i] = keep_busy();
	/* On a slow machine fewer times, but not too few to see it */
	for (i = 0; i < IN_ORDER && (i < IN_ORDER_MIN || now_ms() < end); i++) {
		/* The server says it, and then answers this request */
		ASSERT_EQ(0, say_entry(&self->fs, name));
		ASSERT_EQ(0, lstat(self->fs.dir, &st));
	}
	TH_LOG("%d words and answers", i);
	EXPECT_EQ(i, fault_requests(&self->fs, "lookup") - before);
	for (i = 0; i < BUSY; i++)
		EXPECT_LE(0, killed_after(pids[i]));
}

/*
 * Rule: an answer that was corrected while it was on its way is not believed for long.
 * Wrong: it comes after the correction, and stays for ever.
 * Right: the next one asks again.
 */
TEST_F_TIMEOUT(coherent, overtaken, 120)
{
	const char *const names[] = { strrchr(self->fs.dir, '/') + 1, "nothing" };
	char path[PATH_MAX];
	struct stat st;
	size_t i;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
		close(self->fs.dirfd);
		self->fs.dirfd = -1;
		snprintf(path, sizeof(path), "%s/%s", self->fs.mnt, names[i]);
		drop_caches(2);
		ASSERT_EQ(0, say_entry(&self->fs, names[i]));
		ASSERT_EQ(0, fault_set(&self->fs, "op=LOOKUP delay=1500"));
		pid = fork();
		if (!pid) {
			lstat(path, &st);
			_exit(0);
		}
		sleep_ms(500);
		ASSERT_EQ(0, say_entry(&self->fs, names[i]));
		EXPECT_EQ(0, wait_within(pid, 10000));
		ASSERT_EQ(0, fault_clear(&self->fs));
		EXPECT_EQ(1, lookups_of(path));
		EXPECT_EQ(0, lookups_of(path));
	}
}

/*
 * Rule: FUSE_NOTIFY_INC_EPOCH stands for all that could not be said.
 * Wrong: something is believed that was known before.
 * Right: all is asked for, once.
 */
TEST_F_TIMEOUT(coherent, lost, 120)
{
	long costs;
	int i;

	ASSERT_EQ(0, tree_make(&self->fs));
	ASSERT_EQ(TREE_NAMES, walk(self->fs.dir));
	ASSERT_EQ(TREE_NAMES, walk(self->fs.dir));
	ASSERT_EQ(0, walk_costs(&self->fs, TREE_NAMES, true));
	ASSERT_EQ(0, say(&self->fs, INC_EPOCH, "", 0));
	ASSERT_EQ(0, barrier(&self->fs));
	costs = walk_costs(&self->fs, TREE_NAMES, false);
	EXPECT_LE(DIRS * FILES, costs);
	/* What has to be done about it is done by then */
	for (i = 0; i < 20 && costs; i++) {
		sleep_ms(200);
		costs = walk_costs(&self->fs, TREE_NAMES, false);
	}
	EXPECT_EQ(0, costs);
}

/*
 * Rule: what makes no sense does no harm.
 * Wrong: a warning, or something is seen that is not so.
 */
TEST_F_TIMEOUT(coherent, nonsense, 120)
{
	struct {
		struct fuse_notify_delete_out out;
		char name[1100];
	} body;
	unsigned int seed = 1;
	int i, j, code;

	ASSERT_EQ(0, text_make(&self->fs, "file", "abc"));
	for (i = 0; i < 3000; i++) {
		static const int codes[] = { 2, 3, 6, 8, 10, 11 };

		memset(&body, 0, sizeof(body));
		for (j = 0; j < 64; j++)
			((char *)&body)[j] = rand_r(&seed);
		body.out.parent = rand_r(&seed) % 4;
		body.out.namelen = rand_r(&seed) % 1100;
		memset(body.name, rand_r(&seed), body.out.namelen);
		code = codes[rand_r(&seed) % ARRAY_SIZE(codes)];
		/* Some are too long for the server, too */
		say(&self->fs, code, &body, rand_r(&seed) % 3 ?
		    rand_r(&seed) % sizeof(body) :
		    sizeof(body.out) + body.out.namelen + 1);
	}
	EXPECT_EQ(3, size_at(&self->fs, "file"));
	EXPECT_EQ('a', first_of(&self->fs, "file"));
	EXPECT_EQ(-ENOENT, size_at(&self->fs, "other"));
}

TEST_HARNESS_MAIN
