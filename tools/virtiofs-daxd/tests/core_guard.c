// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard: what takes something away from a mapped file waits until the guest
 * has let go of it, but not for ever, and nothing else waits. Needs a file system
 * whose files can be marked for that, as ext4, below /tmp.
 */
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guard_host.h"
#include "host/util.h"

static struct frontend other;

static const char *const hasty[] = {
	"--dax-window", "64M", "--log-level", "warn", "--notifications",
	"--guard=truncate", "--guard-timeout", "1500", NULL
};

/* ---- the host ---- */

/* Whoever looks sees the same call each time. */
static int do_empty_for_long(const char *path)
{
	const long end = now_ms() + 5000;
	int fd;

	do {
		fd = open(path, O_WRONLY | O_TRUNC);
		if (fd < 0)
			return 1;
		close(fd);
	} while (now_ms() < end);
	return 0;
}

static int do_collapse(const char *path)
{
	return fallocate(open(path, O_RDWR), FALLOC_FL_COLLAPSE_RANGE, 4096,
			 8192);
}

static int do_write(const char *path)
{
	return pwrite(open(path, O_RDWR), "x", 1, 5000) != 1;
}

static int do_append(const char *path)
{
	return write(open(path, O_WRONLY | O_APPEND), "x", 1) != 1;
}

static int do_grow(const char *path)
{
	return truncate(path, SIZE + 10000);
}

static int do_map(const char *path)
{
	return mmap(NULL, 4096, PROT_READ, MAP_SHARED, open(path, O_RDONLY),
		    0) == MAP_FAILED;
}

static int do_punch(const char *path)
{
	return fallocate(open(path, O_RDWR), FALLOC_FL_PUNCH_HOLE |
			 FALLOC_FL_KEEP_SIZE, 4096, 4096);
}

/* It is read, and found to be no program. */
static int do_run(const char *path)
{
	char *const args[] = { (char *)path, NULL };

	return chmod(path, 0755) || execve(path, args, NULL) != -1 ||
	       errno != ENOEXEC;
}

static int do_submit(const char *path)
{
	char buf[100];
	struct iocb iocb = {
		.aio_fildes = open(path, O_RDONLY),
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_buf = (uintptr_t)buf,
		.aio_nbytes = sizeof(buf),
	};
	struct iocb *list[] = { &iocb };
	aio_context_t context = 0;

	return syscall(SYS_io_setup, 1, &context) ||
	       syscall(SYS_io_submit, context, 1, list) != 1;
}

static off_t size_of(void)
{
	struct stat st;

	return stat(fe_path(&fe, "f"), &st) ? -1 : st.st_size;
}

/* ---- tests ---- */

/* It begins at @from, and the size is @size when it is done. */
static bool waits(int (*what)(const char *), int64_t from, off_t size)
{
	uint64_t node;
	pid_t pid;

	CHECK_OR(fe_begin(&fe, options), false);
	node = make_mapped("f");
	CHECK_OR(node, false);
	pid = host(&fe, what);
	CHECK_OR(told(&fe, node, from), false);
	CHECK_OR(host_done(pid, SOON) == -1 && size_of() == SIZE, false);
	CHECK_OR(fe_remove(&fe, 0, RANGE) == 0, false);
	CHECK_OR(host_done(pid, SOON) >= 0 && size_of() == size, false);
	CHECK_OR(told(&fe, node, size), false);
	CHECK_OR(fe_end(&fe) == 0, false);
	return true;
}

static void a_truncation_waits(void)
{
	CHECK(waits(do_truncate, 4096, 4096));
}

static void so_does_an_open_that_empties(void)
{
	CHECK(waits(do_empty, 0, 0));
}

static void so_does_a_collapse(void)
{
	CHECK(waits(do_collapse, 4096, SIZE - 8192));
}

static void nothing_else_waits(void)
{
	static int (*const harmless[])(const char *) = {
		do_read, do_write, do_append, do_map, do_punch, do_grow, do_run,
		do_submit };

	CHECK(fe_begin(&fe, options) && make_mapped("f"));
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		CHECK(host_done(host(&fe, harmless[i]), SOON) >= 0);
	/* Nor is there anything to wait for behind what is mapped. */
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_setup(&fe, fe_lookup(&fe, "f", NULL), 0, 4096, 0, true) == 0);
	CHECK(host_done(host(&fe, do_truncate), SOON) >= 0);
	CHECK(fe_end(&fe) == 0);
}

/* How many mounts of proc with other processes the daemon has; -1 if one leads out. */
static int proc_mounts(void)
{
	char path[64], process[32], root[32];
	int count = 0, proc, out;
	struct stat st;

	snprintf(process, sizeof(process), "%d/syscall", getpid());
	snprintf(root, sizeof(root), "%d/root", getpid());
	for (int i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", fe.child, i);
		proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0)
			continue;
		count += !fstatat(proc, process, &st, AT_SYMLINK_NOFOLLOW);
		out = openat(proc, root, O_PATH | O_CLOEXEC);
		close(proc);
		if (out < 0)
			continue;
		close(out);
		return -1;
	}
	return count;
}

/* Root and files of other processes are links there, out of the sandbox. */
static void proc_does_not_lead_out(void)
{
	CHECK(fe_begin(&fe, options));
	CHECK(proc_mounts() == 1);
	CHECK(fe_end(&fe) == 0);
}

/* Very many at a time would take all descriptors, and all of the one thread. */
static void very_many_do_not_all_wait(void)
{
	pid_t pids[300];
	unsigned int i;
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	CHECK(node);
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = host(&fe, do_truncate);
	CHECK(told(&fe, node, 4096));
	for (i = 0; i < 1500 && size_of() == SIZE; i++)
		usleep(1000);
	CHECK(size_of() == 4096);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		waitpid(pids[i], NULL, 0);
	CHECK(fe_end(&fe) == 0);
}

static void the_guest_waits_for_nobody(void)
{
	uint64_t node;
	long start;
	int err;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	start = now_ms();
	CHECK(node && fe_set_size(&fe, node, 5000) == 0);
	fe_open(&fe, node, O_RDWR | O_TRUNC, &err);
	CHECK(!err && now_ms() - start < SOON && fe_end(&fe) == 0);
}

static void no_longer_than_said(void)
{
	uint64_t node;
	long ms;

	CHECK(fe_begin(&fe, hasty));
	node = make_mapped("f");
	ms = host_done(host(&fe, do_truncate), 8000);
	CHECK(node && ms >= 1400 && ms < 4000);
	/* It is written by another thread. */
	for (int i = 0; i < 100 && !fe_lines(&fe); i++)
		usleep(20000);
	CHECK(fe_said(&fe, "guard: '/f': the guest has not given it up within 1500 ms"));
	CHECK(fe_end(&fe) == 0);
}

/* A guest that does not answer cannot slow the host for ever. */
static void not_again_and_again(void)
{
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, hasty));
	node = make_mapped("f");
	CHECK(node);
	for (int i = 0; i < 3; i++) {
		CHECK(host_done(host(&fe, do_empty), 8000) >= 1400);
		CHECK(host_done(host(&fe, do_grow), SOON) >= 0);
	}
	for (int i = 0; i < 10; i++)
		CHECK(host_done(host(&fe, do_empty), SOON) >= 0);
	/* It answers, and is waited for again. */
	while (fe_pending(&fe, 1))
		told(&fe, node, 0);
	CHECK(host_done(host(&fe, do_grow), SOON) >= 0);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	pid = host(&fe, do_empty);
	CHECK(host_done(pid, SOON) == -1 && fe_remove(&fe, 0, RANGE) == 0);
	CHECK(host_done(pid, SOON) >= 0 && fe_end(&fe) == 0);
}

/* It takes no thread meanwhile: with one, all else is served. */
static void a_setup_waits_for_the_change(void)
{
	struct fuse_entry_out entry;
	uint64_t node, g;
	pid_t pid;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	g = make("g");
	CHECK(node && g);
	pid = host(&fe, do_truncate);
	CHECK(told(&fe, node, 4096));
	setup_begin(node, 2 * RANGE);
	usleep(SOON * 1000);
	CHECK(!fe_pending(&fe, 2) && fe_num_maps(&fe) == 1);
	CHECK(fe_lookup(&fe, "f", &entry) == node);
	CHECK(fe_setup(&fe, g, 0, RANGE, RANGE, false) == 0);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(setup_end() == 0 && size_of() == 4096);
	CHECK(host_done(pid, SOON) >= 0 && told(&fe, node, 4096));
	CHECK(fe_shows(&fe, 2 * RANGE, 0, 4096) && fe_end(&fe) == 0);
}

/*
 * What it replaces the guest has let go of: it sends no remove. So does a guest that
 * stores where it could only load.
 */
static void nor_does_the_change_wait_for_that(void)
{
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	pid = host(&fe, do_truncate);
	CHECK(node && told(&fe, node, 4096));
	setup_begin(node, 0);
	CHECK(host_done(pid, SOON) >= 0 && size_of() == 4096);
	CHECK(setup_end() == 0 && fe_num_maps(&fe) == 1);
	CHECK(fe_shows(&fe, 0, 0, 4096) && fe_end(&fe) == 0);
}

/* Nor does a VMM that does not answer, however often the file is changed. */
static void a_setup_that_hangs_does_not_slow_it_for_ever(void)
{
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, hasty));
	node = make("f");
	pthread_mutex_lock(&fe.lock);
	fe.hold = true;
	pthread_mutex_unlock(&fe.lock);
	setup_begin(node, 0);
	CHECK(node && fe_wait_held(&fe, true));
	for (int i = 0; i < 3; i++)
		CHECK(host_done(host(&fe, do_empty), 8000) >= 1400);
	for (int i = 0; i < 10; i++)
		CHECK(host_done(host(&fe, do_empty), SOON) >= 0);
	/* It is written by another thread. */
	for (int i = 0; i < 100 && fe_lines(&fe) < 2; i++)
		usleep(20000);
	CHECK(fe_said(&fe, "a setup of it was not done within 1500 ms"));
	CHECK(fe_said(&fe, "nobody waits for that setup any more"));
	/* It is done, and what it shows is waited for again. */
	fe_release_held(&fe);
	CHECK(setup_end() == 0);
	while (fe_pending(&fe, 1))
		told(&fe, node, 0);
	pid = host(&fe, do_empty);
	CHECK(host_done(pid, SOON) == -1 && fe_remove(&fe, 0, RANGE) == 0);
	CHECK(host_done(pid, SOON) >= 0 && fe_end(&fe) == 0);
}

/*
 * Where processes of the host cannot be seen, who maps the file for us is not either,
 * and makes events as others do.
 */
static void who_maps_it_for_us_is_not_waited_for(void)
{
	const char *daemon = fe_daemon;
	char script[] = "/tmp/daxd-alone.XXXXXX";
	FILE *file = fdopen(mkstemp(script), "w");
	bool begun;
	uint64_t node;

	CHECK(file && fprintf(file, "#!/bin/sh\nexec unshare --pid --fork "
			      "--mount-proc --kill-child %s \"$@\"\n",
			      daemon) > 0);
	fchmod(fileno(file), 0755);
	fclose(file);
	fe_daemon = script;
	begun = fe_begin(&fe, options);
	fe_daemon = daemon;
	unlink(script);
	CHECK(begun);
	node = make("f");
	pthread_mutex_lock(&fe.lock);
	fe.hold = true;
	pthread_mutex_unlock(&fe.lock);
	setup_begin(node, 0);
	CHECK(node && fe_wait_held(&fe, true));
	CHECK(host_done(host(&fe, do_read), SOON) >= 0);
	fe_release_held(&fe);
	CHECK(setup_end() == 0 && fe_end(&fe) == 0);
}

/* A call on a file system that is frozen was let go on, and does nothing yet. */
static bool frozen(bool (*what)(uint64_t node, uint64_t fh))
{
	int fs = open(fe_base, O_RDONLY | O_DIRECTORY), err = 0;
	uint64_t node, fh;
	bool done = false;
	pid_t pid = -1;

	CHECK_OR(fs >= 0 && fe_begin(&fe, options), false);
	node = make_mapped("f");
	fh = fe_open(&fe, node, O_RDONLY, &err);
	if (node && !err && !ioctl(fs, FIFREEZE, 0)) {
		pid = host(&fe, do_truncate);
		done = told(&fe, node, 4096) && what(node, fh);
		ioctl(fs, FITHAW, 0);
	}
	close(fs);
	CHECK_OR(done && host_done(pid, 8000) >= 0, false);
	CHECK_OR(told(&fe, node, 4096), false);
	return true;
}

static void read_begin(uint64_t node, uint64_t fh)
{
	const struct fuse_read_in in = { .fh = fh, .offset = 8192,
					 .size = 4096 };

	fe_request_begin(&fe, FUSE_READ, node, &in, sizeof(in), in.size);
}

static size_t read_end(void)
{
	size_t got = 0;

	return fe_request_end(&fe, NULL, 0, &got) ? (size_t)-1 : got;
}

/*
 * What it misses the guest would take for zeros. While the host waits nothing is
 * missing.
 */
static bool reads(uint64_t node, uint64_t fh)
{
	read_begin(node, fh);
	CHECK_OR(read_end() == 4096 && fe_remove(&fe, 0, RANGE) == 0, false);
	usleep(SOON * 1000);
	read_begin(node, fh);
	usleep(SOON * 1000);
	CHECK_OR(!fe_pending(&fe, 2), false);
	return true;
}

static bool a_read_waits(void)
{
	bool done = frozen(reads) && read_end() == 0;

	return (fe_end(&fe) == 0) & done;
}

static void so_does_a_read_once_it_is_let_go_on(void)
{
	CHECK(fe_on_image("ext4", a_read_waits));
}

/* Longer than any pause between two looks at it. */
static bool sets_up(uint64_t node, uint64_t fh)
{
	(void)fh;
	CHECK_OR(fe_remove(&fe, 0, RANGE) == 0, false);
	usleep(SOON * 1000);
	setup_begin(node, 2 * RANGE);
	usleep(2000000);
	CHECK_OR(!fe_pending(&fe, 2), false);
	return true;
}

static bool a_setup_waits(void)
{
	bool done = frozen(sets_up) && setup_end() == 0;

	return (fe_end(&fe) == 0) & done;
}

static void however_long_it_takes(void)
{
	CHECK(fe_on_image("ext4", a_setup_waits));
}

static bool soon_pending(long ms)
{
	const long end = now_ms() + ms;

	while (!fe_pending(&fe, 2) && now_ms() < end)
		usleep(1000);
	return fe_pending(&fe, 2);
}

/* A file that is changed all the time keeps no read, nor the guard from others. */
static void one_thread_is_no_crowd(void)
{
	uint64_t node, g, fh;
	pid_t pid, other;
	int err;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	g = make("g");
	CHECK(node && g && !fe_setup(&fe, g, 0, RANGE, RANGE, true));
	fh = fe_open(&fe, node, O_RDONLY, &err);
	pid = host(&fe, do_empty_for_long);
	CHECK(!err && told(&fe, node, 0) && fe_remove(&fe, 0, RANGE) == 0);
	usleep(2000000);
	read_begin(node, fh);
	CHECK(soon_pending(2000) && read_end() == 0);
	other = fork();
	if (!other)
		_exit(truncate(fe_path(&fe, "g"), 4096));
	CHECK(host_done(other, SOON) == -1);
	CHECK(fe_remove(&fe, RANGE, RANGE) == 0);
	CHECK(host_done(other, SOON) >= 0 && host_done(pid, 8000) >= 0);
	CHECK(fe_end(&fe) == 0);
}

/* What is parked when all ends is forgotten. */
static void the_end_waits_for_nothing(void)
{
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	pid = host(&fe, do_truncate);
	CHECK(node && told(&fe, node, 4096));
	setup_begin(node, 2 * RANGE);
	usleep(50000);
	CHECK(fe_end(&fe) == 0 && host_done(pid, SOON) >= 0);
}

static void a_daemon_that_dies_lets_go(void)
{
	uint64_t node;
	pid_t pid;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	pid = host(&fe, do_truncate);
	CHECK(node && told(&fe, node, 4096) && host_done(pid, SOON) == -1);
	fe_kill(&fe);
	CHECK(host_done(pid, SOON) >= 0);
}

/* Once the guest's request is served it lets go of the file. */
static bool let_go(struct frontend *guest)
{
	if (!fe_pending(guest, 2))
		return false;
	return fe_request_end(guest, NULL, 0, NULL) == 0 &&
	       fe_remove(guest, 0, RANGE) == 0;
}

/*
 * Two guests truncate a file that the other has mapped. Neither can let go of
 * anything before its own request is served.
 */
static void two_guests_wait_for_nobody(void)
{
	struct fuse_setattr_in in = { .valid = FATTR_SIZE };
	const char *args[16];
	uint64_t node, theirs;
	int n = 0;
	long start;

	CHECK(fe_begin(&fe, options));
	node = make_mapped("f");
	while (options[n]) {
		args[n] = options[n];
		n++;
	}
	args[n++] = "--shared-dir";
	args[n++] = fe.share;
	args[n] = NULL;
	CHECK(node && fe_begin(&other, args));
	theirs = fe_lookup(&other, "f", NULL);
	CHECK(theirs);
	for (int i = 0; i < 20; i++) {
		start = now_ms();
		CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
		CHECK(fe_setup(&other, theirs, 0, RANGE, 0, true) == 0);
		in.size = SIZE - 1000 * i - 500;
		fe_request_begin(&fe, FUSE_SETATTR, node, &in, sizeof(in),
				 sizeof(struct fuse_attr_out));
		in.size -= 500;
		fe_request_begin(&other, FUSE_SETATTR, theirs, &in, sizeof(in),
				 sizeof(struct fuse_attr_out));
		for (int done = 0; done < 3;) {
			CHECK(now_ms() - start < 2000);
			if (!(done & 1) && let_go(&fe))
				done |= 1;
			if (!(done & 2) && let_go(&other))
				done |= 2;
		}
	}
	CHECK(fe_end(&other) == 0 && fe_end(&fe) == 0);
}

static void a_guest_that_cannot_hear_is_not_waited_for(void)
{
	bool done;

	fe_deaf = true;
	done = fe_begin(&fe, options) && make_mapped("f");
	fe_deaf = false;
	CHECK(done && host_done(host(&fe, do_truncate), SOON) >= 0);
	CHECK(fe_end(&fe) == 0);
}

static void another_user_has_none(void)
{
	static const char *const args[] = {
		"--dax-window", "64M", "--notifications", "--guard=truncate",
		"--sandbox", "none", NULL
	};
	int sock;

	fe_user = NOBODY;
	sock = fe_begin_library(&fe, args, 8);
	fe_user = 0;
	CHECK(sock >= 0 && fe_said(&fe, "no guard: it needs root"));
	CHECK(make("f") && !chown(fe_path(&fe, "f"), NOBODY, NOBODY) &&
	      make_mapped("f"));
	CHECK(host_done(host(&fe, do_truncate), SOON) >= 0);
	close(sock);
	CHECK(fe_end(&fe) == 0);
}

static void nor_has_tmpfs(void)
{
	bool done;

	fe_base = "/dev/shm";
	done = fe_begin(&fe, options) && make_mapped("f");
	/* It is written by another thread. */
	for (int i = 0; i < 100 && done && !fe_lines(&fe); i++)
		usleep(20000);
	done = done && fe_said(&fe, "guard: not on this file system");
	fe_base = "/tmp";
	CHECK(done && host_done(host(&fe, do_truncate), SOON) >= 0);
	CHECK(fe_end(&fe) == 0);
}

static bool all_wait(void)
{
	bool done = waits(do_truncate, 4096, 4096);

	fe_kill(&fe);
	done &= waits(do_empty, 0, 0);
	fe_kill(&fe);
	return done;
}

static void it_waits_on_xfs(void)
{
	if (!fe_can_make("xfs"))
		SKIP("no mkfs.xfs");
	CHECK(fe_on_image("xfs", all_wait));
}

static void and_on_btrfs(void)
{
	if (!fe_can_make("btrfs"))
		SKIP("no mkfs.btrfs");
	CHECK(fe_on_image("btrfs", all_wait));
}

static const struct fs_test tests[] = {
	TEST(a_truncation_waits),
	TEST(so_does_an_open_that_empties),
	TEST(so_does_a_collapse),
	TEST(nothing_else_waits),
	TEST(proc_does_not_lead_out),
	TEST(very_many_do_not_all_wait),
	TEST(the_guest_waits_for_nobody),
	TEST(no_longer_than_said),
	TEST(not_again_and_again),
	TEST(a_setup_waits_for_the_change),
	TEST(nor_does_the_change_wait_for_that),
	TEST(a_setup_that_hangs_does_not_slow_it_for_ever),
	TEST(who_maps_it_for_us_is_not_waited_for),
	TEST(so_does_a_read_once_it_is_let_go_on),
	TEST(however_long_it_takes),
	TEST(one_thread_is_no_crowd),
	TEST(the_end_waits_for_nothing),
	TEST(a_daemon_that_dies_lets_go),
	TEST(two_guests_wait_for_nobody),
	TEST(a_guest_that_cannot_hear_is_not_waited_for),
	TEST(another_user_has_none),
	TEST(nor_has_tmpfs),
	TEST(it_waits_on_xfs),
	TEST(and_on_btrfs),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
