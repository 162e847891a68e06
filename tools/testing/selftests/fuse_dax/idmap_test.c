// SPDX-License-Identifier: GPL-2.0
/*
 * Idmapped mounts of the share: mount_setattr() with a user namespace that maps the
 * owners on the share, FIRST and above, to FIRST + SHIFT and above.
 */
#define _GNU_SOURCE
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define FIRST	10000
#define SHIFT	20000
#define COUNT	1000
#define SIZE	(2 * MiB)

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

static int write_to(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd, len;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY);
	len = write(fd, text, strlen(text));
	close(fd);
	return len == (int)strlen(text) ? 0 : -1;
}

/* A descriptor of a new user namespace, or -1. */
static int new_userns(void)
{
	char map[64], path[64];
	int ready[2], fd = -1;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		char c = unshare(CLONE_NEWUSER) ? 'n' : 'y';

		if (write(ready[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	snprintf(map, sizeof(map), "%d %d %d\n", FIRST, FIRST + SHIFT, COUNT);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	if (read(ready[0], map + 60, 1) == 1 && map[60] == 'y' &&
	    !write_to(pid, "uid_map", map) && !write_to(pid, "gid_map", map))
		fd = open(path, O_RDONLY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	return fd;
}

FIXTURE(idmap)
{
	struct dax_fs fs;
	int tree;
};

FIXTURE_SETUP(idmap)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	int ns;

	FS_SETUP(&self->fs);
	ns = new_userns();
	ASSERT_LE(0, ns);
	/* Who owns it must be in the map, or nobody writes to it through the mount. */
	ASSERT_EQ(0, fchown(self->fs.dirfd, FIRST, FIRST));
	ASSERT_EQ(0, fchmod(self->fs.dirfd, 0777));
	self->tree = syscall(SYS_open_tree, self->fs.dirfd, "", AT_EMPTY_PATH |
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	ASSERT_LE(0, self->tree);
	attr.userns_fd = ns;
	ASSERT_EQ(0, syscall(SYS_mount_setattr, self->tree, "", AT_EMPTY_PATH,
			     &attr, sizeof(attr))) {
		TH_LOG("mount_setattr: %s", strerror(errno));
	}
	close(ns);
}

FIXTURE_TEARDOWN(idmap)
{
	close(self->tree);
	FS_TEARDOWN(&self->fs);
}

static int owner(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_uid != st.st_gid)
		return -1;
	return st.st_uid;
}

/* As user @id of the guest; errno of what could not be made, or 0 */
static int make_all(int dir, int id)
{
	int fd, err = 0;

	setfsgid(id);
	setfsuid(id);
	fd = openat(dir, "file", O_CREAT | O_EXCL | O_RDWR, 0644);
	if (fd < 0 || mkdirat(dir, "dir", 0755) || symlinkat("x", dir, "link") ||
	    mknodat(dir, "pipe", S_IFIFO | 0644, 0))
		err = errno;
	close(fd);
	setfsuid(0);
	setfsgid(0);
	return err;
}

/*
 * Rule: what is made through the mount belongs on the share to whom the mount says.
 * Wrong: mount_setattr() fails; or the owner is who has made it, or nobody.
 */
TEST_F(idmap, owners_of_what_is_made)
{
	static const char *const names[] = { "file", "dir", "link", "pipe" };
	int i;

	ASSERT_EQ(0, make_all(self->tree, FIRST + SHIFT + 5));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(FIRST + 5, owner(self->fs.dirfd, names[i]));
		EXPECT_EQ(FIRST + SHIFT + 5, owner(self->tree, names[i]));
	}
	/* Who is not in the map may not make anything. */
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	EXPECT_EQ(EOVERFLOW, make_all(self->tree, 5));
}

/* Rule: the same of owners that are changed. */
TEST_F(idmap, owners_change)
{
	close(file_make(&self->fs, "f", SIZE, 1));
	ASSERT_EQ(0, fchownat(self->fs.dirfd, "f", FIRST, FIRST, 0));
	ASSERT_EQ(0, fchownat(self->tree, "f", FIRST + SHIFT + 9,
			      FIRST + SHIFT + 9, 0));
	EXPECT_EQ(FIRST + 9, owner(self->fs.dirfd, "f"));
}

/* Rule: all that makes nothing, and says nobody, works as without the map. */
TEST_F(idmap, files_are_used)
{
	int id = FIRST + SHIFT + 7, fd;
	char *map;

	ASSERT_EQ(0, make_all(self->tree, id));
	setfsgid(id);
	setfsuid(id);
	fd = openat(self->tree, "file", O_RDWR);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, file_write(fd, 0, SIZE, 3));
	map = map_file(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	EXPECT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, 3));
	munmap(map, SIZE);
	EXPECT_EQ(0, ftruncate(fd, SIZE / 2));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, linkat(self->tree, "file", self->tree, "hard", 0));
	EXPECT_EQ(0, renameat(self->tree, "hard", self->tree, "dir/hard"));
	EXPECT_EQ(0, unlinkat(self->tree, "dir/hard", 0));
	EXPECT_EQ(0, fchmod(fd, 0600));
	close(fd);
	setfsuid(0);
	setfsgid(0);
}

TEST_HARNESS_MAIN
