// SPDX-License-Identifier: GPL-2.0-or-later
#include "share.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/util.h"
#include "input.h"

/* What is made, for share_check(). */
static const char *const files[] = { ".", "f", "e", "d", "d/f", "l", "p" };

static int root = -1;
static struct timespec changed[ARRAY_SIZE(files)];

static unsigned int count_entries(void)
{
	DIR *dir = fdopendir(openat(root, ".", O_RDONLY | O_CLOEXEC));
	unsigned int n = 0;

	MUST(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void share_open(const char *dir)
{
	struct statfs fs;

	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(root >= 0 && !fstatfs(root, &fs) && fs.f_type == TMPFS_MAGIC);
	/* Itself and the one above. */
	MUST(count_entries() == 2);
}

/* Closes @fd. */
static void empty(int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;

	MUST(dir);
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (!strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		if (entry->d_type == DT_DIR) {
			empty(openat(fd, name, O_RDONLY | O_DIRECTORY |
				     O_NOFOLLOW | O_CLOEXEC));
			MUST(!unlinkat(fd, name, AT_REMOVEDIR));
		} else {
			MUST(!unlinkat(fd, name, 0));
		}
	}
	closedir(dir);
}

static void make_file(const char *name, mode_t mode, size_t size)
{
	static const char data[8192] = "contents";
	int fd = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			mode);

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	if (size)
		MUST(!fsetxattr(fd, "user.x", "value", 5, 0));
	close(fd);
}

static void restore_root(void)
{
	MUST(!fchmod(root, 0755) && !fchown(root, 0, 0));
	fremovexattr(root, "system.posix_acl_default");
	fremovexattr(root, "system.posix_acl_access");
	fremovexattr(root, "user.x");
}

static struct timespec change_time(const char *name)
{
	struct stat st;

	MUST(!fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW));
	return st.st_ctim;
}

void share_restore(void)
{
	empty(openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	restore_root();
	make_file("f", 0644, 5000);
	make_file("e", 04755, 0);
	MUST(!mkdirat(root, "d", 0755));
	make_file("d/f", 0600, 8192);
	MUST(!symlinkat("../../f", root, "l"));
	MUST(!mknodat(root, "p", S_IFIFO | 0666, 0));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		changed[i] = change_time(files[i]);
}

void share_check(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct timespec time = change_time(files[i]);

		MUST(time.tv_sec == changed[i].tv_sec &&
		     time.tv_nsec == changed[i].tv_nsec);
	}
}
