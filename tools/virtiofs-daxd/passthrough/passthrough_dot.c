// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The names "." and "..", which a guest looks up if it has a file by its number only.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "passthrough/passthrough_i.h"

/* Deeper than any directory; one that is moved meanwhile is not followed for ever. */
#define DEPTH_MAX 4096

/* Return: an O_PATH descriptor, or a negative errno. */
static int open_parent(int dir)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, dir, "..", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static bool same_file(const struct stat *st, dev_t dev, ino_t ino)
{
	return st->st_dev == dev && st->st_ino == ino;
}

/*
 * Whether a directory is the share or below it. One that the host has moved out of it
 * is still the guest's, but not what is above it.
 */
static bool is_beneath(const struct pt *pt, int dir)
{
	const struct pt_key *root = &pt->root->key;
	int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0), up;
	struct stat st, last = { 0 };
	bool found = false;

	for (int i = 0; i < DEPTH_MAX && fd >= 0 && !fstat(fd, &st); i++) {
		found = same_file(&st, root->dev, root->ino);
		if (found || same_file(&st, last.st_dev, last.st_ino))
			break;
		last = st;
		up = open_parent(fd);
		close(fd);
		fd = up;
	}
	if (fd >= 0)
		close(fd);
	return found;
}

/* Return: an O_PATH descriptor, or a negative errno. */
static int open_dot(struct pt *pt, struct node *node, const char *name)
{
	int path, fd;

	if (name[1] && node->type != S_IFDIR)
		return -ENOTDIR;
	path = node_path(node);
	if (path < 0)
		return path;
	/* What lies above the share is nobody's business. */
	if (!name[1] || node == pt->root) {
		fd = fcntl(path, F_DUPFD_CLOEXEC, 0);
		fd = fd < 0 ? -errno : fd;
	} else {
		fd = open_parent(path);
	}
	if (fd >= 0 && name[1] && node != pt->root && !is_beneath(pt, fd)) {
		close(fd);
		fd = -ESTALE;
	}
	node_path_put(node, path);
	return fd;
}

int node_lookup_dot(struct pt *pt, struct node *node, const char *name,
		    struct fuse_entry_param *e)
{
	int fd = open_dot(pt, node, name);

	return fd < 0 ? fd : node_lookup_fd(pt, fd, e);
}
