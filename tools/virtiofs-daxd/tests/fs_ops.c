// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * File operations, seen through a mount of this host's kernel and compared with
 * the directory that is served.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fs_server.h"
#include "fs_tap.h"

#define MANY_FILES 10000
#define SIZE_BIG (3u << 20)

static struct fs_server server;

/* Names below the mount and below the share on the host; four at a time. */
static const char *path_in(const char *dir, const char *name)
{
	static char paths[8][PATH_MAX];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static const char *M(const char *name)
{
	return path_in(server.mount, name);
}

static const char *H(const char *name)
{
	return path_in(server.share, name);
}

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return !lstat(a, &sa) && !lstat(b, &sb) && sa.st_ino == sb.st_ino &&
	       sa.st_mode == sb.st_mode && sa.st_size == sb.st_size &&
	       sa.st_nlink == sb.st_nlink && sa.st_uid == sb.st_uid &&
	       sa.st_gid == sb.st_gid && sa.st_rdev == sb.st_rdev &&
	       sa.st_mtim.tv_sec == sb.st_mtim.tv_sec &&
	       sa.st_mtim.tv_nsec == sb.st_mtim.tv_nsec;
}

/* Run a function as another user. Return: its result, -1 if it died. */
static int as_user(uid_t uid, gid_t gid, const gid_t *groups, size_t nr,
		   int (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (setgroups(nr, groups) || setgid(gid) || setuid(uid))
			_exit(99);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void content(void)
{
	static char a[SIZE_BIG], b[SIZE_BIG];
	int fd;

	for (size_t i = 0; i < SIZE_BIG; i++)
		a[i] = (char)(i * 7 + (i >> 12));
	fd = open(M("big"), O_RDWR | O_CREAT | O_EXCL, 0640);
	CHECK(fd >= 0);
	CHECK(write(fd, a, SIZE_BIG) == SIZE_BIG);
	CHECK(pwrite(fd, "hole", 4, 2 * SIZE_BIG) == 4);
	CHECK(!fsync(fd) && !fdatasync(fd));
	CHECK(pread(fd, b, SIZE_BIG, 0) == SIZE_BIG && !memcmp(a, b, SIZE_BIG));
	CHECK(pread(fd, b, 9, 2 * SIZE_BIG - 5) == 9);
	CHECK(!memcmp(b, "\0\0\0\0\0hole", 9));
	CHECK(pread(fd, b, 9, 3 * SIZE_BIG) == 0);
	CHECK(!close(fd));
	fd = open(H("big"), O_RDONLY);
	CHECK(pread(fd, b, SIZE_BIG, 0) == SIZE_BIG && !memcmp(a, b, SIZE_BIG));
	CHECK(!close(fd) && same_file(M("big"), H("big")));
}

static void append_and_truncate(void)
{
	int fd;

	CHECK(fs_put(M("t"), "0123456789"));
	fd = open(M("t"), O_WRONLY | O_APPEND);
	CHECK(write(fd, "ab", 2) == 2 && fs_has(H("t"), "0123456789ab"));
	/* The guest may stop appending on the same open file. */
	CHECK(!fcntl(fd, F_SETFL, 0));
	CHECK(pwrite(fd, "XY", 2, 0) == 2 && fs_has(H("t"), "XY23456789ab"));
	CHECK(!ftruncate(fd, 4) && fs_has(H("t"), "XY23"));
	CHECK(!close(fd));
	CHECK(!truncate(M("t"), 2) && fs_has(H("t"), "XY"));
	fd = open(M("t"), O_WRONLY | O_TRUNC);
	CHECK(fd >= 0 && fs_has(H("t"), "") && !close(fd));
	/* What the host appends is not overwritten by an appending guest. */
	fd = open(M("t"), O_WRONLY | O_APPEND);
	CHECK(fs_put(H("t"), "host") && write(fd, "guest", 5) == 5);
	CHECK(fs_has(H("t"), "hostguest") && !close(fd));
}

static void host_changes_are_seen(void)
{
	CHECK(fs_put(M("s"), "one") && fs_has(M("s"), "one"));
	CHECK(fs_put(H("s"), "longer"));
	usleep(1100000);
	CHECK(fs_has(M("s"), "longer"));
	CHECK(!unlink(H("s")));
	usleep(1100000);
	CHECK_ERR(open(M("s"), O_RDONLY), ENOENT);
}

static void directories(void)
{
	CHECK(!mkdir(M("d"), 0750) && !mkdir(M("d/e"), 0700));
	CHECK(same_file(M("d"), H("d")) && same_file(M("d/e"), H("d/e")));
	CHECK_ERR(rmdir(M("d")), ENOTEMPTY);
	CHECK_ERR(mkdir(M("d"), 0750), EEXIST);
	CHECK_ERR(unlink(M("d/e")), EISDIR);
	CHECK(!rmdir(M("d/e")) && !rmdir(M("d")));
	CHECK_ERR(access(H("d"), F_OK), ENOENT);
}

static void open_after_unlink(void)
{
	struct stat st;
	char buf[8];
	int fd = open(M("u"), O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0 && write(fd, "alive", 5) == 5 && !unlink(M("u")));
	CHECK_ERR(access(H("u"), F_OK), ENOENT);
	CHECK(pread(fd, buf, 8, 0) == 5 && !memcmp(buf, "alive", 5));
	CHECK(!ftruncate(fd, 3) && !fchmod(fd, 0644) && !fstat(fd, &st));
	CHECK(st.st_size == 3 && st.st_nlink == 0);
	CHECK((st.st_mode & 0777) == 0644 && !close(fd));
}

static void symlinks(void)
{
	char target[PATH_MAX], buf[PATH_MAX];

	memset(target, 'x', sizeof(target));
	target[PATH_MAX - 1] = '\0';
	CHECK(!symlink("no/where", M("l")) && !symlink(target, M("long")));
	CHECK(readlink(M("l"), buf, sizeof(buf)) == 8);
	CHECK(!memcmp(buf, "no/where", 8) && same_file(M("l"), H("l")));
	CHECK(readlink(M("long"), buf, sizeof(buf)) == PATH_MAX - 1);
	CHECK(!memcmp(buf, target, PATH_MAX - 1));
	CHECK(!unlink(M("l")) && !unlink(M("long")));
}

static void hard_links(void)
{
	struct stat st;

	CHECK(fs_put(M("h1"), "linked") && !link(M("h1"), M("h2")));
	CHECK(!stat(M("h2"), &st) && st.st_nlink == 2);
	CHECK(fs_has(M("h2"), "linked") && same_file(H("h1"), M("h2")));
	CHECK_ERR(link(M("h1"), M("h2")), EEXIST);
	CHECK(!unlink(M("h1")) && fs_has(H("h2"), "linked"));
	/* A link to a symbolic link is one, not a link to its target. */
	CHECK(!symlink("/etc/passwd", M("hl1")) && !link(M("hl1"), M("hl2")));
	CHECK(!lstat(H("hl2"), &st) && S_ISLNK(st.st_mode));
	CHECK(st.st_nlink == 2);
}

static void special_files(void)
{
	struct stat st;

	CHECK(!mkfifo(M("fifo"), 0600) && same_file(M("fifo"), H("fifo")));
	CHECK(!mknod(M("sock"), S_IFSOCK | 0600, 0));
	CHECK(!lstat(H("sock"), &st) && S_ISSOCK(st.st_mode));
	CHECK(!mknod(M("null"), S_IFCHR | 0666, makedev(1, 3)));
	CHECK(!lstat(H("null"), &st) && st.st_rdev == makedev(1, 3));
	CHECK(!mknod(M("plain"), S_IFREG | 0600, 0) && fs_has(H("plain"), ""));
	CHECK(!chmod(M("fifo"), 0644) && !lstat(H("fifo"), &st));
	CHECK((st.st_mode & 0777) == 0644);
}

static void renames(void)
{
	struct stat st;

	CHECK(fs_put(M("r1"), "1") && fs_put(M("r2"), "2") && !mkdir(M("rd"), 0755));
	CHECK_ERR(renameat2(AT_FDCWD, M("r1"), AT_FDCWD, M("r2"),
			    RENAME_NOREPLACE), EEXIST);
	CHECK(!renameat2(AT_FDCWD, M("r1"), AT_FDCWD, M("r2"),
			 RENAME_EXCHANGE));
	CHECK(fs_has(H("r1"), "2") && fs_has(H("r2"), "1") && fs_has(M("r1"), "2"));
	CHECK(!rename(M("r1"), M("rd/r3")) && fs_has(H("rd/r3"), "2"));
	CHECK(!rename(M("rd/r3"), M("r2")) && fs_has(M("r2"), "2"));
	CHECK(!rename(M("rd"), M("re")) && !access(H("re"), F_OK));
	CHECK_ERR(rename(M("re"), M("r2")), ENOTDIR);
	CHECK(!renameat2(AT_FDCWD, M("r2"), AT_FDCWD, M("re/w"),
			 RENAME_WHITEOUT));
	CHECK(!lstat(H("r2"), &st) && S_ISCHR(st.st_mode) && !st.st_rdev);
}

static void tmpfiles(void)
{
	char name[64];
	int fd = open(server.mount, O_TMPFILE | O_RDWR, 0640);

	if (fd < 0 && errno == EOPNOTSUPP)
		SKIP("no O_TMPFILE here");
	CHECK(fd >= 0 && write(fd, "tmp", 3) == 3);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	CHECK(!linkat(AT_FDCWD, name, AT_FDCWD, M("named"), AT_SYMLINK_FOLLOW));
	CHECK(!close(fd) && fs_has(H("named"), "tmp"));
}

static void open_flags(void)
{
	CHECK(fs_put(M("of"), "x"));
	CHECK_ERR(open(M("of"), O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK(!symlink("of", M("ol")));
	CHECK_ERR(open(M("ol"), O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	CHECK_ERR(open(M("ol"), O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERR(open(M("of"), O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERR(open(M("of/x"), O_RDONLY), ENOTDIR);
	CHECK(!close(open(M("ol"), O_RDWR | O_CREAT, 0600)));
	CHECK(!close(open(M("of"), O_RDWR | O_DIRECT | O_SYNC)));
}

static void attributes(void)
{
	struct timespec set[2] = { { 1000, 111 }, { 2000, 222 } };
	struct timespec part[2] = { { 0, UTIME_OMIT }, { 0, UTIME_NOW } };
	struct timespec now;
	struct stat st;

	CHECK(fs_put(M("a"), "a") && !symlink("a", M("al")));
	CHECK(!chmod(M("a"), 06755) && !chown(M("a"), 12, 34));
	CHECK(!stat(H("a"), &st) && st.st_uid == 12 && st.st_gid == 34);
	/* chown() clears set-id bits. */
	CHECK((st.st_mode & 07777) == 0755);
	CHECK(!lchown(M("al"), 5, 6) && !lstat(H("al"), &st));
	CHECK(st.st_uid == 5 && st.st_gid == 6);
	CHECK(!chown(M("a"), (uid_t)-1, 35) && !stat(H("a"), &st));
	CHECK(st.st_uid == 12 && st.st_gid == 35);
	CHECK(!utimensat(AT_FDCWD, M("a"), set, 0) && !stat(H("a"), &st));
	CHECK(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 111);
	CHECK(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 222);
	CHECK(!utimensat(AT_FDCWD, M("al"), set, AT_SYMLINK_NOFOLLOW));
	CHECK(!lstat(H("al"), &st) && st.st_mtim.tv_sec == 2000);
	CHECK(!utimensat(AT_FDCWD, M("a"), part, 0) && !stat(H("a"), &st));
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec > now.tv_sec - 9);
	CHECK(same_file(M("a"), H("a")));
}

static void file_system(void)
{
	struct statvfs m, h;

	CHECK(!statvfs(server.mount, &m) && !statvfs(server.share, &h));
	CHECK(m.f_blocks == h.f_blocks && m.f_files == h.f_files);
	CHECK(m.f_namemax == h.f_namemax);
}

static void extended_attributes(void)
{
	char buf[256];

	CHECK(fs_put(M("x"), "x"));
	if (setxattr(M("x"), "user.a", "1234", 4, 0) && errno == EOPNOTSUPP)
		SKIP("no user attributes here");
	CHECK(getxattr(H("x"), "user.a", buf, sizeof(buf)) == 4);
	CHECK(getxattr(M("x"), "user.a", NULL, 0) == 4);
	CHECK(getxattr(M("x"), "user.a", buf, 8) == 4 &&
	      !memcmp(buf, "1234", 4));
	CHECK_ERR(getxattr(M("x"), "user.a", buf, 2), ERANGE);
	CHECK_ERR(getxattr(M("x"), "user.b", buf, 2), ENODATA);
	CHECK_ERR(setxattr(M("x"), "user.a", "", 0, XATTR_CREATE), EEXIST);
	CHECK_ERR(setxattr(M("x"), "user.b", "", 0, XATTR_REPLACE), ENODATA);
	CHECK(!setxattr(M("x"), "user.b", "", 0, XATTR_CREATE));
	CHECK(listxattr(M("x"), NULL, 0) == listxattr(H("x"), NULL, 0));
	CHECK(listxattr(M("x"), buf, sizeof(buf)) ==
	      listxattr(H("x"), NULL, 0));
	CHECK_ERR(listxattr(M("x"), buf, 3), ERANGE);
	CHECK(!removexattr(M("x"), "user.a"));
	CHECK_ERR(getxattr(H("x"), "user.a", NULL, 0), ENODATA);
	CHECK(!mkdir(M("xd"), 0755) && !setxattr(M("xd"), "user.d", "d", 1, 0));
	CHECK(getxattr(H("xd"), "user.d", NULL, 0) == 1);
	/* An ACL that the guest would not enforce is not stored. */
	CHECK_ERR(setxattr(M("x"), "system.posix_acl_access",
			   "\2\0\0\0\1\0\6\0\377\377\377\377\4\0\6\0\377\377\377\377"
			   "\40\0\6\0\377\377\377\377", 28, 0), EOPNOTSUPP);
}

static void space(void)
{
	struct stat st;
	int fd = open(M("sp"), O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0 && !fallocate(fd, 0, 0, 1 << 20));
	CHECK(!fstat(fd, &st) && st.st_size == 1 << 20);
	CHECK(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 4096));
	CHECK(!stat(H("sp"), &st) && st.st_size == 1 << 20);
	CHECK(!ftruncate(fd, 0) && !ftruncate(fd, 8 << 20));
	CHECK(pwrite(fd, "d", 1, 4 << 20) == 1);
	CHECK(lseek(fd, 0, SEEK_DATA) == 4 << 20);
	CHECK(lseek(fd, 4 << 20, SEEK_HOLE) > 4 << 20);
	CHECK_ERR(lseek(fd, 9 << 20, SEEK_DATA), ENXIO);
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 4 << 20, 1 << 20));
	CHECK_ERR(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK(!close(fd));
}

static void copies(void)
{
	off_t from = 2, to = 10;
	int in, out;

	CHECK(fs_put(M("ci"), "0123456789") && fs_put(M("co"), ""));
	in = open(M("ci"), O_RDONLY);
	out = open(M("co"), O_RDWR);
	CHECK(copy_file_range(in, &from, out, &to, 5, 0) == 5);
	CHECK(from == 7 && to == 15 && !close(out) && !close(in));
	CHECK(!truncate(M("co"), 0));
	in = open(M("ci"), O_RDONLY);
	out = open(M("co"), O_RDWR);
	CHECK(copy_file_range(in, NULL, out, NULL, 100, 0) == 10);
	CHECK(!close(in) && !close(out) && fs_has(H("co"), "0123456789"));
}

/*
 * The caches are those of the machine. Who counts what is in them keeps others from
 * dropping them meanwhile, as another run of this may be about to do.
 */
static int hold_caches(int how)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || flock(fd, how))
		printf("# cannot hold the caches\n");
	return fd;
}

static void drop_caches(void)
{
	int fd = hold_caches(LOCK_EX);

	if (fd < 0 || write(fd, "2\n", 2) != 2)
		printf("# cannot drop caches\n");
	if (fd >= 0)
		close(fd);
}

static void read_many_files(void)
{
	static unsigned char seen[MANY_FILES];
	int nodes, handles, n = 0, extra = 0;
	struct dirent *d;
	DIR *dir;
	long half = 0;

	CHECK(!mkdir(M("many"), 0755));
	for (int i = 0; i < MANY_FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "many/f%d", i);
		CHECK(!close(open(H(name), O_CREAT | O_WRONLY, 0644)));
	}
	memset(seen, 0, sizeof(seen));
	dir = opendir(M("many"));
	CHECK(dir);
	while ((d = readdir(dir))) {
		struct stat st;

		if (d->d_name[0] != 'f') {
			extra++;
			continue;
		}
		seen[atoi(d->d_name + 1)]++;
		CHECK(!fstatat(dirfd(dir), d->d_name, &st, 0));
		CHECK(S_ISREG(st.st_mode) && d->d_type == DT_REG);
		if (++n == MANY_FILES / 2)
			half = telldir(dir);
	}
	CHECK(n == MANY_FILES && extra == 2);
	for (int i = 0; i < MANY_FILES; i++)
		CHECK(seen[i] == 1);
	seekdir(dir, half);
	for (n = 0; readdir(dir); n++)
		;
	CHECK(n >= MANY_FILES / 2 && n <= MANY_FILES / 2 + 2);
	nodes = fs_server_ask(&server, 'n');
	handles = fs_server_ask(&server, 'h');
	closedir(dir);
	CHECK(nodes > MANY_FILES && handles == 1);
}

static void many_files(void)
{
	int held = hold_caches(LOCK_SH), nodes;

	read_many_files();
	close(held);
	/* What the kernel forgets is forgotten: all counts were right. */
	drop_caches();
	for (int i = 0; i < 50; i++) {
		nodes = fs_server_ask(&server, 'n');
		if (nodes < 20)
			break;
		usleep(100000);
		drop_caches();
	}
	CHECK(nodes < 20);
	CHECK(fs_server_ask(&server, 'f') < 60);
}

static void see(const struct dirent *d, char *seen)
{
	if (d->d_name[0] == 'f')
		seen[atoi(d->d_name + 1)]++;
}

/* More of them than the server keeps entries for: each goes on where it was. */
static void many_directories(void)
{
	static char seen[100][300];
	struct dirent *d;
	DIR *dirs[100];

	CHECK(!mkdir(M("dirs"), 0755));
	for (int i = 0; i < 300; i++) {
		char name[32];

		snprintf(name, sizeof(name), "dirs/f%d", i);
		CHECK(!close(open(H(name), O_CREAT | O_WRONLY, 0644)));
	}
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 100; i++) {
		dirs[i] = opendir(M("dirs"));
		CHECK(dirs[i] && (d = readdir(dirs[i])));
		see(d, seen[i]);
	}
	for (int i = 0; i < 100; i++) {
		while ((d = readdir(dirs[i])))
			see(d, seen[i]);
		for (int j = 0; j < 300; j++)
			CHECK(seen[i][j] == 1);
		CHECK(!closedir(dirs[i]));
	}
}

static void find_too_many_files(void)
{
	int i, used, error = 0;

	if (fs_file_handles() != PT_HANDLES_NEVER)
		SKIP("files that are known take no descriptors");
	CHECK(!mkdir(M("full"), 0755));
	for (i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "full/f%d", i);
		CHECK(!close(open(H(name), O_CREAT | O_WRONLY, 0644)));
	}
	used = fs_server_ask(&server, 'f');
	CHECK(!fs_server_ask(&server, 'l'));
	for (i = 0; i < 100 && !error; i++) {
		struct stat st;
		char name[32];

		snprintf(name, sizeof(name), "full/f%d", i);
		error = stat(M(name), &st) ? errno : 0;
	}
	/* Some are left over, and nothing is made that could not be told of. */
	CHECK(fs_server_ask(&server, 'f') < used + 28);
	CHECK(mkdir(M("full/dir"), 0755) == -1 && errno == EMFILE);
	CHECK(open(M("full/file"), O_CREAT | O_WRONLY, 0644) == -1 &&
	      errno == EMFILE);
	CHECK(access(H("full/dir"), F_OK) == -1 && errno == ENOENT);
	CHECK(access(H("full/file"), F_OK) == -1 && errno == ENOENT);
	CHECK(!fs_server_ask(&server, 'L'));
	CHECK(error == EMFILE && i > 8);
	CHECK(!access(M("full/f99"), R_OK));
}

static void too_many_files(void)
{
	int held = hold_caches(LOCK_SH);

	find_too_many_files();
	close(held);
}

/* Children that take locks, in step with the test by pipes. */
struct locker {
	pid_t pid;
	int go[2];
	int done[2];
};

typedef int (*lock_fn)(int fd, int cmd, short type);

static int posix_lock(int fd, int cmd, short type)
{
	struct flock fl = { .l_type = type, .l_start = 10, .l_len = 10 };

	return fcntl(fd, cmd, &fl);
}

static int ofd_lock(int fd, int cmd, short type)
{
	return posix_lock(fd, cmd == F_SETLKW ? F_OFD_SETLKW : F_OFD_SETLK,
			  type);
}

static int bsd_lock(int fd, int cmd, short type)
{
	int op = type == F_RDLCK ? LOCK_SH : type == F_UNLCK ? LOCK_UN :
		 LOCK_EX;

	return flock(fd, op | (cmd == F_SETLKW ? 0 : LOCK_NB));
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* 'w': lock and wait; 'u': unlock; 'q': end. Answers 0 or errno. */
static void locker_run(struct locker *l, const char *path, lock_fn lock)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	int fd = open(path, O_RDWR);
	char what;

	sigaction(SIGALRM, &sa, NULL);
	while (read(l->go[0], &what, 1) == 1 && what != 'q') {
		int ret = lock(fd, what == 'u' ? F_SETLK : F_SETLKW,
			       what == 'u' ? F_UNLCK : F_WRLCK);
		int error = ret ? errno : 0;

		if (write(l->done[1], &error, sizeof(error)) < 0)
			_exit(1);
	}
	_exit(0);
}

static bool locker_start(struct locker *l, const char *path, lock_fn lock)
{
	if (pipe2(l->go, O_CLOEXEC) || pipe2(l->done, O_CLOEXEC))
		return false;
	fflush(stdout);
	l->pid = fork();
	if (!l->pid)
		locker_run(l, path, lock);
	return l->pid > 0;
}

static void locker_send(struct locker *l, char what)
{
	if (write(l->go[1], &what, 1) != 1)
		printf("# a locker has gone\n");
}

/* Return: the answer, or -1 if there is none in this time. */
static int locker_wait(struct locker *l, int ms)
{
	struct pollfd p = { .fd = l->done[0], .events = POLLIN };
	int error;

	if (poll(&p, 1, ms) != 1 ||
	    read(l->done[0], &error, sizeof(error)) != sizeof(error))
		return -1;
	return error;
}

static int locker_do(struct locker *l, char what, int ms)
{
	locker_send(l, what);
	return locker_wait(l, ms);
}

static void locker_stop(struct locker *l)
{
	locker_send(l, 'q');
	waitpid(l->pid, NULL, 0);
	close(l->go[0]);
	close(l->go[1]);
	close(l->done[0]);
	close(l->done[1]);
}

/* The kernel does not wait for the server when it closes a file for a process. */
static bool lock_soon(lock_fn lock, int fd)
{
	for (int i = 0; i < 500; i++) {
		if (!lock(fd, F_SETLK, F_WRLCK))
			return true;
		usleep(10000);
	}
	return false;
}

/* What holds for each kind of lock. */
static void lock_rules(lock_fn lock)
{
	struct locker a, b;
	int fd, host;

	CHECK(fs_put(M("lock"), "01234567890123456789"));
	fd = open(M("lock"), O_RDWR);
	host = open(H("lock"), O_RDWR);
	CHECK(fd >= 0 && host >= 0);
	CHECK(locker_start(&a, M("lock"), lock));
	CHECK(locker_start(&b, M("lock"), lock));
	CHECK(locker_do(&a, 'w', 5000) == 0);
	/* In the way of others, here and on the host. */
	CHECK_ERR(lock(fd, F_SETLK, F_WRLCK), EAGAIN);
	CHECK_ERR(lock(host, F_SETLK, F_RDLCK), EAGAIN);
	/* Who waits gets it when it goes. */
	CHECK(locker_do(&b, 'w', 200) == -1);
	CHECK(locker_do(&a, 'u', 5000) == 0);
	CHECK(locker_wait(&b, 5000) == 0);
	/* A signal ends a wait, and nothing is left behind. */
	CHECK(locker_do(&a, 'w', 200) == -1);
	CHECK(!kill(a.pid, SIGALRM));
	CHECK(locker_wait(&a, 5000) == EINTR);
	/* The end of a process is the end of its locks. */
	locker_stop(&b);
	CHECK(lock_soon(lock, fd) && !lock(fd, F_SETLK, F_UNLCK));
	/* A lock of a host process is waited for, too. */
	CHECK(!lock(host, F_SETLK, F_WRLCK));
	CHECK(locker_do(&a, 'w', 200) == -1);
	CHECK(!lock(host, F_SETLK, F_UNLCK));
	CHECK(locker_wait(&a, 5000) == 0);
	locker_stop(&a);
	CHECK(!close(fd) && !close(host) && !unlink(M("lock")));
}

static void posix_locks(void)
{
	lock_rules(posix_lock);
}

static void ofd_locks(void)
{
	lock_rules(ofd_lock);
}

static void bsd_locks(void)
{
	lock_rules(bsd_lock);
}

static void posix_lock_holder(void)
{
	struct flock fl = { .l_type = F_RDLCK, .l_start = 0, .l_len = 0 };
	struct locker a;
	int fd, other;

	CHECK(fs_put(M("lh"), "01234567890123456789"));
	fd = open(M("lh"), O_RDWR);
	CHECK(locker_start(&a, M("lh"), posix_lock));
	CHECK(locker_do(&a, 'w', 5000) == 0);
	CHECK(!fcntl(fd, F_GETLK, &fl) && fl.l_type == F_WRLCK);
	CHECK(fl.l_start == 10 && fl.l_len == 10 && fl.l_pid == a.pid);
	CHECK(locker_do(&a, 'u', 5000) == 0);
	fl = (struct flock){ .l_type = F_RDLCK };
	CHECK(!fcntl(fd, F_GETLK, &fl) && fl.l_type == F_UNLCK);
	/* close() of any descriptor of the file drops a process's locks. */
	CHECK(!posix_lock(fd, F_SETLK, F_WRLCK));
	CHECK(locker_do(&a, 'w', 200) == -1);
	other = open(M("lh"), O_RDONLY);
	CHECK(!close(other) && locker_wait(&a, 5000) == 0);
	locker_stop(&a);
	CHECK(!close(fd));
}

static void locks_in_order(void)
{
	struct locker l[16];
	bool in_order = true;
	int fd;

	CHECK(fs_put(M("lo"), "01234567890123456789"));
	fd = open(M("lo"), O_RDWR);
	CHECK(!posix_lock(fd, F_SETLK, F_WRLCK));
	for (int i = 0; i < 16; i++) {
		CHECK(locker_start(&l[i], M("lo"), posix_lock));
		/* Long enough for its request to be the next, on a busy host too */
		CHECK(locker_do(&l[i], 'w', 150) == -1);
	}
	CHECK(!posix_lock(fd, F_SETLK, F_UNLCK));
	for (int i = 0; i < 16 && in_order; i++)
		in_order = locker_wait(&l[i], 5000) == 0 &&
			   locker_do(&l[i], 'u', 5000) == 0;
	/* Who waits for a lock would keep the mount busy */
	for (int i = 0; i < 16; i++)
		locker_stop(&l[i]);
	CHECK(in_order && !close(fd));
}

static int create_things(void)
{
	int fd = open(M("c/f"), O_CREAT | O_EXCL | O_WRONLY, 0666);

	umask(027);
	return fd < 0 || close(fd) || mkdir(M("c/d"), 0777) ||
	       symlink("x", M("c/l")) || mkfifo(M("c/p"), 0666) ||
	       mkdir(M("g/d"), 0777) || mkdir(M("supp/d"), 0777);
}

static bool owned(const char *path, uid_t uid, gid_t gid)
{
	struct stat st;

	return !lstat(path, &st) && st.st_uid == uid && st.st_gid == gid;
}

static void owner_of_created(void)
{
	gid_t groups[] = { 4321 };
	struct stat st;

	CHECK(!mkdir(M("c"), 0777) && !chmod(M("c"), 0777));
	CHECK(!mkdir(M("g"), 0777) && !chown(M("g"), 0, 77));
	CHECK(!chmod(M("g"), 02777));
	/* Writable by a supplementary group only. */
	CHECK(!mkdir(M("supp"), 0775) && !chown(M("supp"), 0, 4321));
	CHECK(!chmod(M("supp"), 0775));
	CHECK(as_user(1234, 5678, groups, 1, create_things) == 0);
	CHECK(owned(H("c/f"), 1234, 5678) && owned(H("c/d"), 1234, 5678));
	CHECK(owned(H("c/l"), 1234, 5678) && owned(H("c/p"), 1234, 5678));
	CHECK(owned(H("supp/d"), 1234, 5678));
	CHECK(owned(H("g/d"), 1234, 77) && !stat(H("g/d"), &st));
	CHECK((st.st_mode & 07777) == 02750);
	CHECK(!stat(H("c/p"), &st) && (st.st_mode & 07777) == 0640);
	/* And the server is itself again. */
	CHECK(!mkdir(M("c/root"), 0777) && owned(H("c/root"), 0, 0));
}

static int write_suid(void)
{
	int fd = open(M("suid"), O_WRONLY);

	return fd < 0 || write(fd, "x", 1) != 1 || close(fd);
}

static int truncate_suid(void)
{
	return truncate(M("suid"), 1);
}

static int open_trunc_suid(void)
{
	return close(open(M("suid"), O_WRONLY | O_TRUNC));
}

static mode_t suid_after(int (*fn)(void), uid_t uid)
{
	struct stat st;

	CHECK_OR(!chmod(M("suid"), 06777), 0);
	CHECK_OR(as_user(uid, uid, NULL, 0, fn) == 0, 0);
	CHECK_OR(!stat(H("suid"), &st), 0);
	return st.st_mode & 07777;
}

static void set_id_bits(void)
{
	CHECK(fs_put(M("suid"), "suid"));
	CHECK(suid_after(write_suid, 1234) == 0777);
	CHECK(suid_after(truncate_suid, 1234) == 0777);
	CHECK(suid_after(open_trunc_suid, 1234) == 0777);
	CHECK(suid_after(write_suid, 0) == 06777);
	CHECK(suid_after(truncate_suid, 0) == 06777);
	CHECK(suid_after(open_trunc_suid, 0) == 06777);
}

static void mapped_files(void)
{
	char *p, *h;
	int fd, hfd;

	CHECK(fs_put(M("m"), "mapped"));
	fd = open(M("m"), O_RDWR);
	hfd = open(H("m"), O_RDONLY);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	h = mmap(NULL, 4096, PROT_READ, MAP_SHARED, hfd, 0);
	CHECK(p != MAP_FAILED && h != MAP_FAILED && !memcmp(p, "mapped", 6));
	p[0] = 'M';
	CHECK(!msync(p, 4096, MS_SYNC) && h[0] == 'M');
	CHECK(!munmap(p, 4096) && !munmap(h, 4096));
	CHECK(!close(fd) && !close(hfd));
}

/* Everything is forgotten; the mount is used again afterwards. */
/* As an NFS server has files: by a handle, when the kernel has forgotten them. */
static void handles(void)
{
	struct {
		struct file_handle head;
		char room[MAX_HANDLE_SZ];
	} handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	int dir = open(server.mount, O_RDONLY | O_DIRECTORY), ignored, fd, ret;

	CHECK(!mkdir(M("hd"), 0755) && fs_put(M("hd/f"), "handle"));
	ret = name_to_handle_at(dir, "hd/f", &handle.head, &ignored, 0);
	if (fs_file_handles() == PT_HANDLES_NEVER) {
		CHECK(ret && errno == EOPNOTSUPP);
		close(dir);
		return;
	}
	CHECK(!ret);
	for (int i = 0; i < 3; i++) {
		drop_caches();
		fd = open_by_handle_at(dir, &handle.head, O_RDWR);
		CHECK(fd >= 0 && write(fd, "HANDLE", 6) == 6 && !close(fd));
		CHECK(fs_has(H("hd/f"), "HANDLE"));
	}
	CHECK(!name_to_handle_at(dir, "hd", &handle.head, &ignored, 0));
	drop_caches();
	fd = open_by_handle_at(dir, &handle.head, O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && !faccessat(fd, "../hd/f", F_OK, 0) && !close(fd));
	close(dir);
}

static void reset(void)
{
	struct locker a;
	int fd, i;

	CHECK(fs_put(M("z"), "01234567890123456789"));
	fd = open(M("z"), O_RDWR);
	CHECK(!posix_lock(fd, F_SETLK, F_WRLCK));
	CHECK(locker_start(&a, M("z"), posix_lock));
	CHECK(locker_do(&a, 'w', 200) == -1);
	CHECK(fs_server_ask(&server, 'r') == 0);
	/* The waiter is answered with EINTR, so the kernel asks once more. */
	CHECK(locker_wait(&a, 5000) >= 0);
	CHECK_ERR(fsync(fd), EBADF);
	close(fd);
	locker_stop(&a);
	for (i = 0; i < 50 && fs_server_ask(&server, 'h'); i++)
		usleep(20000);
	CHECK(fs_server_ask(&server, 'h') == 0);
	drop_caches();
	usleep(1100000);
	CHECK(fs_has(M("z"), "01234567890123456789"));
}

static const struct fs_test tests[] = {
	TEST(content), TEST(append_and_truncate), TEST(host_changes_are_seen),
	TEST(directories), TEST(open_after_unlink), TEST(symlinks),
	TEST(hard_links), TEST(special_files), TEST(renames), TEST(tmpfiles),
	TEST(open_flags), TEST(attributes), TEST(file_system),
	TEST(extended_attributes), TEST(space), TEST(copies), TEST(many_files),
	TEST(too_many_files), TEST(many_directories), TEST(posix_locks),
	TEST(ofd_locks), TEST(bsd_locks), TEST(posix_lock_holder), TEST(locks_in_order),
	TEST(owner_of_created), TEST(set_id_bits), TEST(mapped_files),
	TEST(handles), TEST(reset),
};

int main(int argc, char **argv)
{
	struct pt_options opts = {
		.proc_fd = -1,
		.cache = PT_CACHE_AUTO,
		.xattr = true,
		.killpriv_v2 = true,
		.dax_attr_min = UINT64_MAX,
	};
	int ret;

	if (geteuid() || access("/dev/fuse", R_OK | W_OK))
		return skip_all("needs root and /dev/fuse");
	umask(0);
	signal(SIGPIPE, SIG_IGN);
	if (!fs_server_start(&server, &opts, ISOLATION_NAMESPACE)) {
		printf("Bail out! the server does not start\n");
		return 1;
	}
	ret = run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			argc > 1 ? argv[1] : NULL);
	if (!fs_server_stop(&server)) {
		printf("# the server did not end well\n");
		ret = 1;
	}
	return ret;
}
