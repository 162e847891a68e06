/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A share with other file systems in it: `sub` and `other`, each with a file `inner`
 * of three bytes.
 */
#ifndef VIRTIOFS_DAXD_SUBMOUNT_H
#define VIRTIOFS_DAXD_SUBMOUNT_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fe_main.h"

static inline bool submount_add(const char *dir, const char *name,
				const char *type)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (mkdir(path, 0755) || mount("none", path, type, 0, NULL))
		return false;
	strcat(path, "/inner");
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	return write(fd, "abc", 3) == 3 && !close(fd);
}

static inline void submount_remove(const char *dir, const char *name)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	umount(path);
	rmdir(path);
}

/* Runs with a daemon that has one more option, and is not told of a window. */
static inline bool submount_run(struct frontend *fe, const char *option,
				const char *type, bool (*run)(void))
{
	char dir[] = "/tmp/daxd-submount.XXXXXX";
	const char *const options[] = {
		option, "--shared-dir", dir, "--log-level", "warn", NULL
	};
	bool ok;

	if (!mkdtemp(dir))
		return false;
	ok = submount_add(dir, "sub", type) && submount_add(dir, "other", type) &&
	     fe_begin(fe, options) && run();
	ok &= fe_end(fe) == 0;
	submount_remove(dir, "sub");
	submount_remove(dir, "other");
	return !rmdir(dir) && ok;
}

#endif
