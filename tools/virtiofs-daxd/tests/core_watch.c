// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest is told of what others change in files that it has mapped, at once,
 * and of nothing else.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fe_main.h"

#define RANGE (UINT64_C(2) << 20)
#define SIZE 50000
#define NOBODY 65534
#define INC_EPOCH 8

/* Nothing is said within this time if nothing is to be said at all, ms. */
#define SILENCE 100

static struct frontend fe;

static const char *const options[] = {
	"--dax-window", "64M", "--log-level", "warn", "--notifications", NULL
};

static long now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool silent(void)
{
	char msg[512];

	return fe_note(&fe, msg, sizeof(msg), SILENCE) < 0;
}

static void hear_all(void)
{
	while (!silent())
		;
}

/* The next word is of this file, and of this part of it. */
static bool told(uint64_t node, int64_t offset)
{
	struct fuse_notify_inval_inode_out inval;

	return fe_inval(&fe, &inval) && inval.ino == node &&
	       inval.off == offset && inval.len == 0;
}

static uint64_t make(const char *name)
{
	return fe_file(&fe, name, SIZE) ? fe_lookup(&fe, name, NULL) : 0;
}

/*
 * A file that is mapped, of which all has been said. As a guest does it: for reading,
 * where it cannot be for writing (btrfs).
 */
static uint64_t make_mapped(const char *name, uint64_t at)
{
	uint64_t node = make(name);
	int err = node ? fe_setup(&fe, node, 0, RANGE, at, true) : -ENOENT;

	if (err == -EACCES)
		err = fe_setup(&fe, node, 0, RANGE, at, false);
	if (err)
		return 0;
	hear_all();
	return node;
}

static bool append(const char *name, const char *text)
{
	int fd = open(fe_path(&fe, name), O_WRONLY | O_APPEND);
	bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done;
}

static bool has_file(const char *name)
{
	uint64_t node = make_mapped(name, 0);

	CHECK_OR(node, false);
	CHECK_OR(!truncate(fe_path(&fe, name), 9000), false);
	CHECK_OR(told(node, 9000), false);
	CHECK_OR(append(name, "x"), false);
	CHECK_OR(told(node, -1), false);
	CHECK_OR(!truncate(fe_path(&fe, name), 0), false);
	CHECK_OR(told(node, 0), false);
	CHECK_OR(!chmod(fe_path(&fe, name), 0600), false);
	CHECK_OR(told(node, -1), false);
	return true;
}

static void changes_are_told(void)
{
	CHECK(fe_begin(&fe, options));
	CHECK(has_file("f") && silent());
	CHECK(fe_end(&fe) == 0);
}

static void any_user_is_told(void)
{
	static const char *const args[] = {
		"--dax-window", "64M", "--log-level", "warn",
		"--notifications", "--sandbox", "none", NULL
	};
	uint64_t node;
	int sock;

	fe_user = NOBODY;
	sock = fe_begin_library(&fe, args, 8);
	fe_user = 0;
	CHECK(sock >= 0 && make("f"));
	CHECK(!chown(fe_path(&fe, "f"), NOBODY, NOBODY));
	node = make_mapped("f", 0);
	CHECK(node && !truncate(fe_path(&fe, "f"), 9000) && told(node, 9000));
	CHECK(append("f", "x") && told(node, -1));
	/* What it does itself is known to be its own. */
	CHECK(silent());
	close(sock);
	CHECK(fe_end(&fe) == 0);
}

static void only_what_is_mapped(void)
{
	uint64_t node, other;

	CHECK(fe_begin(&fe, options));
	node = make("f");
	CHECK(node && append("f", "x") && silent());
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	other = make_mapped("g", 2 * RANGE);
	CHECK(other && append("g", "x") && told(other, -1));
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(append("f", "x") && told(node, -1));
	CHECK(fe_remove(&fe, RANGE, RANGE) == 0);
	CHECK(append("f", "x") && silent());
	CHECK(fe_end(&fe) == 0);
}

/* The guest may have heard of a size that was not true any more by then. */
static void what_was_changed_just_before(void)
{
	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	node = make("f");
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(told(node, -1) && silent());
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(!utimensat(AT_FDCWD, fe_path(&fe, "f"), old, 0));
	sleep(4);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0 && silent());
	CHECK(fe_end(&fe) == 0);
}

static void its_own_changes_are_not(void)
{
	struct fuse_write_in write = { .size = 5, .offset = 60000 };
	struct fuse_fallocate_in alloc = { .length = 90000 };
	uint32_t written;
	uint64_t node;
	int err;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f", 0);
	write.fh = alloc.fh = fe_open(&fe, node, O_RDWR, &err);
	CHECK(!err && fe_set_size(&fe, node, 20000) == 0);
	CHECK(fe_write(&fe, node, &write, "hello", 5, &written) == 0 &&
	      written == 5);
	CHECK(fe_request(&fe, FUSE_FALLOCATE, node, &alloc, sizeof(alloc),
			 NULL, 0, NULL) == 0);
	CHECK(silent());
	/* It is smaller than the guest has made it, and larger than it was. */
	CHECK(!truncate(fe_path(&fe, "f"), 80000) && told(node, 80000));
	CHECK(fe_end(&fe) == 0);
}

/* Its name changes when the guest forgets the file and looks it up again. */
static void by_the_name_it_knows(void)
{
	struct fuse_forget_in forget = { .nlookup = 1 };
	uint64_t node, again = 0;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f", 0);
	CHECK(node);
	fe_request_begin(&fe, FUSE_FORGET, node, &forget, sizeof(forget), 0);
	CHECK(fe_complete(&fe, 0) >= 0);
	again = fe_lookup(&fe, "f", NULL);
	CHECK(again && again != node);
	CHECK(fe_setup(&fe, again, 0, RANGE, RANGE, false) == 0);
	CHECK(append("f", "x") && told(again, -1));
	CHECK(fe_end(&fe) == 0);
}

/* However often a file is changed, it is told now and then, and at the end. */
static void not_too_often(void)
{
	struct fuse_notify_inval_inode_out inval = { 0 };
	unsigned int count = 0;
	char msg[512];
	long start, ms;
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f", 0);
	CHECK(node);
	start = now_ms();
	for (int i = 0; i < 3000; i++) {
		CHECK(!truncate(fe_path(&fe, "f"), 4096 + i % 7));
		while (fe_pending(&fe, 1)) {
			CHECK(fe_note(&fe, msg, sizeof(msg), 1) > 0);
			count++;
		}
	}
	CHECK(!truncate(fe_path(&fe, "f"), 77));
	while (inval.off != 77) {
		CHECK(fe_inval(&fe, &inval) && inval.ino == node);
		count++;
	}
	ms = now_ms() - start;
	CHECK(count >= 2 && count <= ms / 4 + 2 && silent());
	CHECK(fe_end(&fe) == 0);
}

#define MANY_FILES 100
#define MANY_TASKS 200

/* More than the kernel keeps for us: by each of many tasks, of each file. */
static void change_many(void)
{
	int fds[MANY_FILES];
	char name[16];

	for (int i = 0; i < MANY_FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fds[i] = open(fe_path(&fe, name), O_WRONLY | O_APPEND);
	}
	for (int task = 0; task < MANY_TASKS; task++) {
		if (!fork()) {
			for (int i = 0; i < MANY_FILES; i++)
				if (write(fds[i], "x", 1) != 1)
					_exit(1);
			_exit(0);
		}
		wait(NULL);
	}
	for (int i = 0; i < MANY_FILES; i++)
		close(fds[i]);
}

static void what_is_lost_is_told_as_a_whole(void)
{
	struct {
		struct fuse_out_header header;
		char body[64];
	} msg = { 0 };
	char name[16];

	CHECK(fe_begin(&fe, options));
	for (int i = 0; i < MANY_FILES; i++) {
		uint64_t node;

		snprintf(name, sizeof(name), "f%d", i);
		node = make(name);
		CHECK(node && fe_setup(&fe, node, 0, 4096, i * 8192,
				       false) == 0);
	}
	hear_all();
	kill(fe.child, SIGSTOP);
	change_many();
	kill(fe.child, SIGCONT);
	while (msg.header.error != INC_EPOCH)
		CHECK(fe_note(&fe, &msg, sizeof(msg), 2000) > 0);
	CHECK(fe_end(&fe) == 0);
}

static bool begin_with_file(void)
{
	bool done = fe_begin(&fe, options) && has_file("f");

	return (fe_end(&fe) == 0) & done;
}

static void on_image(const char *type)
{
	if (!fe_can_make(type))
		SKIP("no mkfs for it");
	CHECK(fe_on_image(type, begin_with_file));
}

static void on_ext4(void)
{
	on_image("ext4");
}

static void on_xfs(void)
{
	on_image("xfs");
}

static void on_btrfs(void)
{
	on_image("btrfs");
}

static void on_tmpfs(void)
{
	fe_base = "/dev/shm";
	CHECK(fe_begin(&fe, options));
	CHECK(has_file("f") && fe_end(&fe) == 0);
	fe_base = "/tmp";
}

static void on_an_overlay(void)
{
	char dir[] = "/dev/shm/daxd-overlay.XXXXXX", command[512], data[256];

	CHECK(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir lower upper work fs", dir);
	CHECK(!system(command));
	snprintf(data, sizeof(data), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 dir, dir, dir);
	snprintf(command, sizeof(command), "%s/fs", dir);
	CHECK(!mount("overlay", command, "overlay", 0, data));
	fe_base = command;
	if (fe_begin(&fe, options))
		CHECK(has_file("f") && fe_end(&fe) == 0);
	else
		tap_failed = true;
	fe_base = "/tmp";
	umount(command);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(!system(command));
}

/* One to know the file by, and one to map it and to watch it by. */
static void two_descriptors_a_file(void)
{
	static const char *const args[] = {
		"--dax-window", "64M", "--notifications", NULL
	};
	int sock = fe_begin_library(&fe, args, 8);
	unsigned int before;
	uint64_t node;

	CHECK(sock >= 0);
	before = fe_descriptors(&fe);
	node = make_mapped("f", 0);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe_descriptors(&fe) == before + 2);
	CHECK(!truncate(fe_path(&fe, "f"), 9000) && told(node, 9000));
	CHECK(fe_remove(&fe, 0, 2 * RANGE) == 0);
	CHECK(fe_descriptors(&fe) == before + 1);
	close(sock);
	CHECK(fe_end(&fe) == 0);
}

/* What watches it has the descriptor of a user that goes before another. */
static void it_is_watched_as_before_when_written(void)
{
	static const char *const args[] = {
		"--dax-window", "64M", "--notifications", NULL
	};
	int sock = fe_begin_library(&fe, args, 8);
	uint64_t node;

	CHECK(sock >= 0);
	node = make("f");
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, true) == 0);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	hear_all();
	CHECK(!truncate(fe_path(&fe, "f"), 9000) && told(node, 9000));
	CHECK(fe_remove(&fe, RANGE, RANGE) == 0);
	CHECK(!truncate(fe_path(&fe, "f"), 8000) && silent());
	close(sock);
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(changes_are_told),
	TEST(any_user_is_told),
	TEST(only_what_is_mapped),
	TEST(what_was_changed_just_before),
	TEST(its_own_changes_are_not),
	TEST(by_the_name_it_knows),
	TEST(two_descriptors_a_file),
	TEST(it_is_watched_as_before_when_written),
	TEST(not_too_often),
	TEST(what_is_lost_is_told_as_a_whole),
	TEST(on_ext4),
	TEST(on_xfs),
	TEST(on_btrfs),
	TEST(on_tmpfs),
	TEST(on_an_overlay),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
