// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's private mount: whoever gets at it, and whatever the kernel says to
 * an open, the next setup is served.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"

#define RANGE (UINT64_C(2) << 20)

static struct frontend fe;

static const char *const with_window[] = {
	"--dax-window", "64M", "--log-level", "warn", NULL
};

static bool is_private_root(const char *path)
{
	struct statfs fs;
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode) && !statfs(path, &fs) &&
	       fs.f_type == FUSE_SUPER_MAGIC;
}

/* Name in /proc of the daemon's descriptor of the mount's root. */
static bool private_root(char *path, size_t size)
{
	struct dirent *entry;
	bool found = false;
	char fds[64];
	DIR *dir;

	snprintf(fds, sizeof(fds), "/proc/%d/fd", fe.child);
	dir = opendir(fds);
	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, size, "%s/%.20s", fds, entry->d_name);
		found = entry->d_name[0] != '.' && is_private_root(path);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Errno of stat(), or -1 if it takes longer than two seconds. */
static int stat_in_time(const char *path)
{
	int status;
	struct stat st;
	pid_t child = fork();

	if (!child)
		_exit(stat(path, &st) ? errno : 0);
	for (int i = 0; i < 200; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return WEXITSTATUS(status);
		usleep(10000);
	}
	/* It ends with the daemon. */
	return -1;
}

/* No name is waited for, before, between and after files that are announced. */
static void unknown_names_are_absent(void)
{
	char root[96], name[128];
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	node = fe_make(&fe, "f", 10000);
	CHECK(node && private_root(root, sizeof(root)));
	for (unsigned int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s/%u", root, 77 + i);
		CHECK(stat_in_time(name) == ENOENT);
		CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
		CHECK((unsigned char)fe.window[9999] == fe_byte(9999));
		CHECK(fe_remove(&fe, 0, RANGE) == 0);
	}
	CHECK(fe_end(&fe) == 0);
}

static void look_up_for_ever(const char *root)
{
	char name[128];
	struct stat st;

	for (unsigned int i = 0; ; i++) {
		snprintf(name, sizeof(name), "%s/%u", root, i % 200);
		stat(name, &st);
	}
}

/* While names are looked up without a pause, no file's order is lost to them. */
static void lookups_take_no_orders(void)
{
	char root[96];
	uint64_t node;
	pid_t child;
	int failed = 0;

	CHECK(fe_begin(&fe, with_window));
	node = fe_make(&fe, "f", 10000);
	CHECK(node && private_root(root, sizeof(root)));
	child = fork();
	if (!child)
		look_up_for_ever(root);
	for (unsigned int i = 0; i < 100 && !failed; i++)
		failed = fe_setup(&fe, node, 0, RANGE, 0, i % 2) ?:
			 fe_remove(&fe, 0, RANGE);
	kill(child, SIGKILL);
	CHECK(!failed);
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(fe_end(&fe) == 0);
}

/* The name that a file has in /proc opens it no second time. */
static void opened_once(void)
{
	char root[96], name[64];
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	node = fe_make(&fe, "f", 10000);
	CHECK(node && private_root(root, sizeof(root)));
	fe.keep_fd = true;
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fe.last_fd);
	CHECK_ERR(open(name, O_RDWR), EBUSY);
	memset(fe.window, 'x', 10000);
	close(fe.last_fd);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(fe.window[9999] == 'x');
	close(fe.last_fd);
	CHECK(fe_end(&fe) == 0);
}

/* An overlay with directories of its own beside it. */
static bool overlay(const char *lower, const char *at)
{
	char upper[80], work[80], options[256];

	snprintf(upper, sizeof(upper), "%s.upper", at);
	snprintf(work, sizeof(work), "%s.work", at);
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s",
		 lower, upper, work);
	return !mkdir(at, 0755) && !mkdir(upper, 0755) && !mkdir(work, 0755) &&
	       !mount("overlay", at, "overlay", 0, options);
}

/* The kernel hands no file of such a stack to passthrough. */
static void stack_refuses(const char *share)
{
	uint64_t node;

	fe_base = share;
	CHECK(fe_begin(&fe, with_window));
	node = fe_make(&fe, "f", 10000);
	CHECK(node);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -ELOOP);
	CHECK(fe_end(&fe) == 0);
}

/* An open that fails after the name was looked up; it is looked up once more. */
static void refused_opens_are_told(void)
{
	char base[] = "/tmp/daxd-stack.XXXXXX";
	char low[32], once[32], twice[32];

	CHECK(mkdtemp(base) && !mount("stack", base, "tmpfs", 0, NULL));
	snprintf(low, sizeof(low), "%s/low", base);
	snprintf(once, sizeof(once), "%s/once", base);
	snprintf(twice, sizeof(twice), "%s/twice", base);
	if (!mkdir(low, 0755) && overlay(low, once) && overlay(once, twice))
		stack_refuses(twice);
	else
		tap_skipped = "no overlay on an overlay";
	fe_base = "/tmp";
	if (tap_failed) {
		kill(fe.child, SIGKILL);
		fe_end(&fe);
	}
	umount(twice);
	umount(once);
	CHECK(!umount(base) && !rmdir(base));
}

static const struct fs_test tests[] = {
	TEST(unknown_names_are_absent),
	TEST(lookups_take_no_orders),
	TEST(opened_once),
	TEST(refused_opens_are_told),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
