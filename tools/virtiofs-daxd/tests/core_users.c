// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon of another user than root, in a user namespace: --uid-map, --gid-map.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"

#define NOBODY 65534

static struct frontend fe;
static char share[] = "/tmp/daxd-users.XXXXXX";

/* A share of that user; the options of a daemon of his, and up to four more words. */
static const char *const *prepare(const char *const *more)
{
	static const char *options[12];

	memset(options, 0, sizeof(options));
	options[0] = "--shared-dir";
	options[1] = share;
	options[2] = "--log-level";
	options[3] = "warn";
	for (int i = 0; more[i]; i++)
		options[4 + i] = more[i];
	strcpy(share + strlen(share) - 6, "XXXXXX");
	if (!mkdtemp(share) || chown(share, NOBODY, NOBODY))
		return NULL;
	return options;
}

static bool begin(const char *const *more)
{
	const char *const *options = prepare(more);
	bool began;

	fe_user = NOBODY;
	began = options && fe_begin(&fe, options);
	fe_user = 0;
	return began;
}

static bool end(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", share);
	return !fe_end(&fe) & !system(command);
}

/* A directory of somebody of the guest; the error, and whom the guest sees. */
static int make(const char *name, uint32_t id, struct fuse_attr *attr)
{
	struct {
		struct fuse_mkdir_in in;
		char name[16];
	} req = { .in.mode = 0755 };
	struct fuse_entry_out out = { 0 };
	int err;

	strcpy(req.name, name);
	fe.uid = fe.gid = id;
	err = fe_request(&fe, FUSE_MKDIR, FUSE_ROOT_ID, &req,
			 sizeof(req.in) + strlen(name) + 1, &out, sizeof(out),
			 NULL);
	fe.uid = fe.gid = 0;
	*attr = out.attr;
	return err;
}

static bool belongs(const char *name, uint32_t id)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", share, name);
	return !stat(path, &st) && st.st_uid == id && st.st_gid == id;
}

/* Whether a namespace of the daemon is another one than ours. */
static bool is_apart(const char *name)
{
	char path[2][64];
	struct stat st[2];

	snprintf(path[0], sizeof(path[0]), "/proc/%d/ns/%s", fe.child, name);
	snprintf(path[1], sizeof(path[1]), "/proc/self/ns/%s", name);
	return !stat(path[0], &st[0]) && !stat(path[1], &st[1]) &&
	       st[0].st_ino != st[1].st_ino;
}

static void one_user_is_there(void)
{
	static const char *const none[] = { NULL };
	struct fuse_attr attr;
	char path[64];

	CHECK(begin(none));
	CHECK(is_apart("user") && is_apart("mnt") && is_apart("net"));
	snprintf(path, sizeof(path), "/proc/%d/root/etc", fe.child);
	CHECK(access(path, F_OK) && errno == ENOENT);
	CHECK(!make("own", NOBODY, &attr) && belongs("own", NOBODY));
	CHECK(attr.uid == NOBODY && attr.gid == NOBODY);
	/* Root of the guest is nobody else. */
	CHECK(!make("root", 0, &attr) && belongs("root", NOBODY));
	CHECK(make("other", 7, &attr) == -EPERM);
	CHECK(end());
}

static void he_is_root_if_the_map_says_so(void)
{
	static const char *const maps[] = {
		"--uid-map", ":0:65534:1:", "--gid-map", "/0/65534/1/", NULL
	};
	struct fuse_attr attr;

	CHECK(begin(maps));
	CHECK(!make("root", 0, &attr) && belongs("root", NOBODY));
	CHECK(!attr.uid && !attr.gid);
	CHECK(make("other", NOBODY, &attr) == -EPERM);
	CHECK(end());
}

/* Whether a daemon with further groups says that it keeps them. */
static bool groups_are_said(size_t nr, const gid_t *groups)
{
	static const char *const none[] = { NULL };
	gid_t old[64];
	int nr_old = getgroups(64, old);
	bool said;

	CHECK_OR(nr_old >= 0 && !setgroups(nr, groups), false);
	said = begin(none) && fe_said(&fe, "cannot give up further groups");
	CHECK_OR(!setgroups((size_t)nr_old, old) && end(), false);
	return said;
}

/* The kernel does not let him be without them there. */
static void further_groups_are_said(void)
{
	static const gid_t groups[] = { NOBODY, 7 };

	CHECK(groups_are_said(2, groups));
	CHECK(groups_are_said(1, groups + 1));
	/* His own is none. */
	CHECK(!groups_are_said(1, groups));
	CHECK(!groups_are_said(0, groups));
}

/* It was read for the last time in 1970. */
static bool make_link(const char *path)
{
	const struct timespec times[] = { { .tv_sec = 1 }, { .tv_nsec = UTIME_OMIT } };

	return !symlink("target", path) && !lchown(path, NOBODY, NOBODY) &&
	       !utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static bool reads_link(const char *name)
{
	uint64_t node = fe_lookup(&fe, name, NULL);
	char target[16];

	return node && !fe_request(&fe, FUSE_READLINK, node, NULL, 0, target,
				   sizeof(target), NULL);
}

/* Flags of mounts that others made, such as this one, cannot be changed by him. */
static void readonly_share_is_served(void)
{
	static const char *const readonly[] = { "--readonly", NULL };
	struct fuse_attr attr;
	struct stat st;
	char path[64];
	int fd;

	CHECK(begin(readonly));
	CHECK(is_apart("user"));
	CHECK(make("d", NOBODY, &attr) == -EROFS);
	/* Whatever the daemon does. */
	snprintf(path, sizeof(path), "/proc/%d/root/f", fe.child);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	CHECK(fd < 0 && errno == EROFS);
	snprintf(path, sizeof(path), "%s/link", share);
	CHECK(make_link(path) && reads_link("link"));
	CHECK(!lstat(path, &st) && st.st_atime == 1);
	CHECK(end());
}

static const char *const window[] = { "--dax-window", "64M", NULL };

/* The VMM maps what it is given, for which nobody needs to be root. */
static void the_library_shows_files(void)
{
	const char *const *options = prepare(window);
	struct fuse_attr attr;
	char path[64];
	uint64_t node;
	int sock, fd;

	CHECK(options);
	fe_user = NOBODY;
	sock = fe_begin_library(&fe, options, 8);
	fe_user = 0;
	CHECK(sock >= 0 && is_apart("user"));
	snprintf(path, sizeof(path), "%s/f", share);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && !ftruncate(fd, 4096) && !fchown(fd, NOBODY, NOBODY));
	close(fd);
	node = fe_lookup(&fe, "f", NULL);
	CHECK(node && !fe_setup(&fe, node, 0, 4096, 0, true));
	CHECK(!make("d", 0, &attr));
	close(sock);
	CHECK(end());
}

/* How the daemon ends, run by @user. */
static int ends(unsigned int user, const char *const *options)
{
	int status = -1;

	fe_kill(&fe);
	fe_user = user;
	fe_fork(&fe, options);
	fe_user = 0;
	waitpid(fe.child, &status, 0);
	fe.child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Others are had by a program that may; here one that only says what it was told. */
static void helpers_are_asked_for_others(void)
{
	static const char *const maps[] = {
		"--uid-map", ":0:100000:65536:", "--uid-map", ":70000:65534:1:", NULL
	};
	char dir[] = "/tmp/daxd-helper.XXXXXX", path[64], line[80] = "";
	char *old = strdup(getenv("PATH"));
	FILE *file;

	CHECK(mkdtemp(dir) && !chmod(dir, 0777));
	snprintf(path, sizeof(path), "%s/newuidmap", dir);
	file = fopen(path, "w");
	CHECK(file && fprintf(file, "#!/bin/sh\nshift; echo $* >%s/said; exit 1\n",
			      dir) > 0 && !fclose(file) && !chmod(path, 0755));
	setenv("PATH", dir, 1);
	CHECK(ends(NOBODY, maps) == 1);
	setenv("PATH", old, 1);
	free(old);
	CHECK(fe_said(&fe, "newuidmap has failed"));
	fe_kill(&fe);
	snprintf(path, sizeof(path), "%s/said", dir);
	file = fopen(path, "r");
	CHECK(file && fgets(line, sizeof(line), file) && !fclose(file));
	CHECK(!strcmp(line, "0 100000 65536 70000 65534 1\n"));
	unlink(path);
	snprintf(path, sizeof(path), "%s/newuidmap", dir);
	unlink(path);
	rmdir(dir);
}

/* They need root of the host, which the daemon says before anybody connects. */
static void stock_maps_are_refused(void)
{
	CHECK(ends(NOBODY, window) == 1);
	CHECK(fe_said(&fe, "--dax-window needs root (CAP_SYS_ADMIN") &&
	      fe_said(&fe, "or --window-socket"));
	fe_kill(&fe);
}

static void what_makes_no_sense(void)
{
	static const char *const wrong[] = {
		"", "0:1:1", ":0:1:1", ":0:1:", ":0:1:2:3:", ":0:1:x:", ":0:1/1:",
		":0:4294967296:1:", ":0:1:0:", ":-1:1:1:", "00010",
	};
	const char *options[] = { "--uid-map", ":0:65534:1:", NULL, NULL, NULL };

	CHECK(ends(0, options) == 2);
	options[2] = "--sandbox";
	options[3] = "chroot";
	CHECK(ends(NOBODY, options) == 2);
	options[2] = NULL;
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		options[1] = wrong[i];
		CHECK(ends(NOBODY, options) == 2);
	}
	fe_kill(&fe);
}

static const struct fs_test tests[] = {
	TEST(one_user_is_there),
	TEST(he_is_root_if_the_map_says_so),
	TEST(further_groups_are_said),
	TEST(readonly_share_is_served),
	TEST(the_library_shows_files),
	TEST(stock_maps_are_refused),
	TEST(helpers_are_asked_for_others),
	TEST(what_makes_no_sense),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
