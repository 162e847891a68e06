// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A full file system: what is mapped for writing can be stored to. This process is
 * the front-end, so it would be killed by SIGBUS as QEMU is.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <unistd.h>

#include "fe_main.h"

#define RANGE (UINT64_C(2) << 20)
#define SIZE (1u << 20)

static struct frontend fe;

static const char *const options[] = {
	"--dax-window", "64M", "--log-level", "warn", NULL
};

/* Leaves no block to anybody. */
static bool fill(void)
{
	static char data[1 << 20];
	int fd = open(fe_path(&fe, "filler"), O_CREAT | O_WRONLY, 0600);

	memset(data, 'f', sizeof(data));
	for (size_t len = sizeof(data); len >= 512; len /= 2)
		while (write(fd, data, len) > 0)
			;
	fsync(fd);
	/* What was kept for what is not written yet may be free by now. */
	while (write(fd, data, 4096) > 0)
		;
	return !fsync(fd) && !close(fd);
}

static bool make_room(void)
{
	return !unlink(fe_path(&fe, "filler"));
}

/* A file that has all of its blocks in common with another one. */
static uint64_t make_shared(const char *name)
{
	int from, to, err;

	if (!fe_file(&fe, "from", SIZE))
		return 0;
	from = open(fe_path(&fe, "from"), O_RDONLY);
	to = open(fe_path(&fe, name), O_CREAT | O_RDWR, 0644);
	fsync(from);
	err = ioctl(to, FICLONE, from);
	fsync(to);
	close(from);
	close(to);
	return err ? 0 : fe_lookup(&fe, name, NULL);
}

/* Stores to all of what is mapped at a place; whether it lives. */
static bool can_store(uint64_t at)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		for (size_t i = 0; i < SIZE; i += 4096)
			fe.window[at + i] = 's';
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

static bool stores_to_shared_blocks(void)
{
	struct stat before, after;
	uint64_t node;
	int err;

	CHECK_OR(fe_begin(&fe, options), false);
	node = make_shared("f");
	CHECK_OR(node && fill(), false);
	err = fe_setup(&fe, node, 0, RANGE, 0, true);
	CHECK_OR(err == -ENOSPC || (!err && can_store(0)), false);
	/* To be read it may be shown. */
	CHECK_OR(!fe_setup(&fe, node, 0, RANGE, RANGE, false), false);
	CHECK_OR(fe_shows(&fe, RANGE, 0, 4096), false);
	CHECK_OR(make_room() && !fe_remove(&fe, RANGE, RANGE), false);
	if (!err)
		CHECK_OR(!fe_remove(&fe, 0, RANGE), false);
	err = -EAGAIN;
	/* What was freed may come back late. */
	for (int i = 0; i < 100 && err; i++) {
		err = fe_setup(&fe, node, 0, RANGE, 0, true);
		usleep(20000);
	}
	CHECK_OR(!err, false);
	CHECK_OR(fill(), false);
	CHECK_OR(can_store(0), false);
	/* A file that has its blocks for itself is not touched. */
	CHECK_OR(!fe_remove(&fe, 0, RANGE), false);
	CHECK_OR(!stat(fe_path(&fe, "f"), &before), false);
	CHECK_OR(!fe_setup(&fe, node, 0, RANGE, 0, true), false);
	CHECK_OR(!stat(fe_path(&fe, "f"), &after) &&
		 before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
		 before.st_mtim.tv_nsec == after.st_mtim.tv_nsec, false);
	return true;
}

static bool shared_blocks(void)
{
	bool done = stores_to_shared_blocks();

	return (fe_end(&fe) == 0) & done;
}

static void shared_blocks_on_xfs(void)
{
	if (!fe_can_make("xfs"))
		SKIP("no mkfs.xfs");
	CHECK(fe_on_image("xfs", shared_blocks));
}

/* A file that is written in place, of @size bytes; what it has is on the disk. */
static bool make_in_place(const char *name, size_t size)
{
	int flags = FS_NOCOW_FL, fd;
	bool ok;

	fd = open(fe_path(&fe, name), O_CREAT | O_EXCL | O_RDWR, 0644);
	ok = fd >= 0 && !ioctl(fd, FS_IOC_SETFLAGS, &flags) &&
	     fe_file(&fe, name, size) && !fsync(fd);
	close(fd);
	return ok;
}

/* They may share with each other what they have. */
static bool share(const char *name, const char *with)
{
	int from = open(fe_path(&fe, name), O_RDONLY), to;
	bool ok;

	to = open(fe_path(&fe, with), O_WRONLY);
	ok = !ioctl(to, FICLONE, from) && !fsync(to);
	close(from);
	close(to);
	return ok;
}

static bool stores_in_place(void)
{
	uint64_t node, other;

	CHECK_OR(make_in_place("f", SIZE) && make_in_place("g", 0), false);
	node = fe_lookup(&fe, "f", NULL);
	other = fe_lookup(&fe, "g", NULL);
	CHECK_OR(!fe_setup(&fe, node, 0, RANGE, 0, true), false);
	CHECK_OR(fill() && can_store(0), false);
	CHECK_OR(make_room() && !fe_remove(&fe, 0, RANGE), false);

	CHECK_OR(share("f", "g"), false);
	CHECK_OR(fe_setup(&fe, node, 0, RANGE, 0, true) == -EACCES, false);
	CHECK_OR(fe_setup(&fe, other, 0, RANGE, 0, true) == -EACCES, false);
	CHECK_OR(!fe_setup(&fe, other, 0, RANGE, 0, false), false);
	/* What is behind is not shared. */
	CHECK_OR(!fe_setup(&fe, node, RANGE, RANGE, RANGE, true), false);
	/* Each has its own again. */
	CHECK_OR(fe_file(&fe, "g", SIZE), false);
	sync();
	CHECK_OR(!fe_setup(&fe, node, 0, RANGE, 0, true), false);
	CHECK_OR(fill() && can_store(0) && make_room(), false);
	return true;
}

static bool reads_copies(void)
{
	uint64_t node;

	CHECK_OR(fe_file(&fe, "copied", SIZE), false);
	node = fe_lookup(&fe, "copied", NULL);
	CHECK_OR(fe_setup(&fe, node, 0, RANGE, 0, true) == -EACCES, false);
	CHECK_OR(!fe_setup(&fe, node, 0, RANGE, 0, false), false);
	CHECK_OR(fe_shows(&fe, 0, 0, SIZE), false);
	/* What is shown stays when it may not be stored to. */
	CHECK_OR(fe_setup(&fe, node, 0, RANGE, 0, true) == -EACCES, false);
	CHECK_OR(fe_shows(&fe, 0, 0, SIZE), false);
	CHECK_OR(!fe_remove(&fe, 0, RANGE), false);
	return true;
}

static bool copies(void)
{
	bool done = fe_begin(&fe, options) && reads_copies();

	return (fe_end(&fe) == 0) & done;
}

static bool in_place(void)
{
	bool done = fe_begin(&fe, options) && stores_in_place();

	return (fe_end(&fe) == 0) & done;
}

/* A store takes new space there, and who finds none is killed. */
static void copies_on_btrfs(void)
{
	if (!fe_can_make("btrfs"))
		SKIP("no mkfs.btrfs");
	CHECK(fe_on_image("btrfs", copies));
}

/* But not in a file that is written in place, and shares nothing. */
static void in_place_on_btrfs(void)
{
	struct utsname name;

	if (!fe_can_make("btrfs"))
		SKIP("no mkfs.btrfs");
	if (uname(&name) || strverscmp(name.release, "6.18") < 0)
		SKIP("btrfs stores in place since Linux 6.18");
	CHECK(fe_on_image("btrfs", in_place));
}

static const struct fs_test tests[] = {
	TEST(shared_blocks_on_xfs),
	TEST(copies_on_btrfs),
	TEST(in_place_on_btrfs),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
