// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon and the library in QEMU together, from their first word to their end.
 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "host/util.h"
#include "qemu/proto.h"
#include "window_session.h"

#define NOBODY 65534

static uint64_t make(const char *name, size_t size)
{
	return fe_file(&fe, name, size) ? fe_lookup(&fe, name, NULL) : 0;
}

/* ---- tests ---- */

static void one_map_for_all(void)
{
	uint64_t node;

	CHECK(begin(with_window, let_connect));
	node = make("f", 3000000);
	CHECK(node);
	/* More than QEMU could map each by itself. */
	for (uint64_t i = 0; i < 600; i++)
		CHECK(fe_setup(&fe, node, (i * 7 % 600) * 4096, 4096, i * 8192,
			       false) == 0);
	for (uint64_t i = 0; i < 600; i++)
		CHECK(fe_shows(&fe, i * 8192, (i * 7 % 600) * 4096, 4096) &&
		      fe_is_zero(&fe, i * 8192 + 4096, 4096));
	CHECK(fe.maps_made == 1 && fe_num_maps(&fe) == 1);
	CHECK(fe_remove(&fe, 8192, 40 * 8192) == 0);
	CHECK(fe_is_zero(&fe, 8192, 40 * 8192) && fe_shows(&fe, 0, 0, 4096) &&
	      fe_shows(&fe, 41 * 8192, 41 * 7 * 4096, 4096));
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0 &&
	      fe_shows(&fe, RANGE, 0, RANGE) &&
	      fe_is_zero(&fe, 2 * RANGE + 4096, 4096));
	CHECK(fe.maps_made == 1 && fe_end(&fe) == 0);
}

static void a_file_keeps_its_size(void)
{
	struct stat st;
	uint64_t node;

	CHECK(begin(with_window, let_connect));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(fe_shows(&fe, 0, 0, 5000) && !stat(fe_path(&fe, "f"), &st) &&
	      st.st_size == 5000);
	/* It may grow under its map. */
	CHECK(!truncate(fe_path(&fe, "f"), 20000) &&
	      fe_is_zero(&fe, 8192, 8192));
	fe.window[9000] = 7;
	CHECK(fe_end(&fe) == 0);
}

static int first_byte(const char *name)
{
	unsigned char byte = 0;
	int fd = open(fe_path(&fe, name), O_RDONLY);

	if (read(fd, &byte, 1) != 1)
		byte = 0;
	close(fd);
	return byte;
}

static void reading_lets_the_host_execute(void)
{
	char command[300];
	uint64_t node;

	CHECK(begin(with_window, let_connect));
	snprintf(command, sizeof(command), "cp /bin/true %s",
		 fe_path(&fe, "true"));
	CHECK(!system(command));
	node = fe_lookup(&fe, "true", NULL);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(!memcmp(fe.window, "\177ELF", 4));
	CHECK(!system(fe_path(&fe, "true")));
	/* A store that it may not make stays with the guest. */
	fe.window[1] = 'X';
	CHECK(!system(fe_path(&fe, "true")));
	/* For writing it is as with any other writer; and all maps show it. */
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, true) == 0);
	CHECK(!memcmp(fe.window, "\177ELF", 4));
	CHECK(system(fe_path(&fe, "true")) != 0);
	fe.window[0] = 'Y';
	CHECK(fe.window[RANGE] == 'Y' && first_byte("true") == 'Y');
	CHECK(fe.maps_made == 1 && fe_end(&fe) == 0);
}

static void a_readonly_share_stays_as_it_is(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--readonly", NULL
	};
	uint64_t node;

	CHECK(begin(options, let_connect));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, true) == -EROFS);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0 &&
	      fe_shows(&fe, 0, 0, 5000));
	fe.window[0] = 99;
	CHECK(first_byte("f") == fe_byte(0));
	CHECK(fe_end(&fe) == 0);
}

static unsigned int window_count(void)
{
	struct vu_shmem_config shmem;

	if (fe_call(&fe, VU_GET_SHMEM_CONFIG, NULL, 0, &shmem, sizeof(shmem)) <
	    0)
		return -1;
	return shmem.count;
}

/* Stock maps let the guest write: without the library there is no window. */
static void a_readonly_share_has_no_stock_maps(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--readonly", NULL
	};

	CHECK(begin(options, NULL));
	CHECK(window_count() == 0 && fe_end(&fe) == 0);
}

static void any_user_may_run_it(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--sandbox", "none", NULL
	};
	uint64_t node;

	fe_user = NOBODY;
	CHECK(begin(options, let_connect));
	CHECK(window_count() == 1);
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0 &&
	      fe_shows(&fe, 0, 0, 5000));
	/* It is root's. */
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == -EACCES);
	CHECK(!chown(fe_path(&fe, "f"), NOBODY, NOBODY));
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	fe.window[0] = 99;
	CHECK(first_byte("f") == 99 && fe_end(&fe) == 0);
}

static void without_root_there_are_no_stock_maps(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--sandbox", "none", NULL
	};

	fe_user = NOBODY;
	CHECK(begin(options, NULL));
	CHECK(window_count() == 0 && fe_end(&fe) == 0);
}

static void without_a_library_there_are_stock_maps(void)
{
	uint64_t node;

	CHECK(begin(with_window, NULL));
	node = make("f", 5000);
	CHECK(node && window_count() == 1);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, true) == 0);
	CHECK(fe_shows(&fe, 0, 0, 5000) && fe_num_maps(&fe) == 2);
	CHECK(fe_end(&fe) == 0);
}

static int other_library;

/* Connects as a library would, and says something else. */
static void say(const void *hello, size_t len)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/window", fe.dir);
	other_library = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (!connect(other_library, (struct sockaddr *)&addr, sizeof(addr)) &&
	    send(other_library, hello, len, 0) < 0)
		perror("send");
}

static void say_next_version(void)
{
	say(&(struct window_hello){ WINDOW_MAGIC, WINDOW_VERSION + 1, 0 },
	    sizeof(struct window_hello));
}

static void say_nonsense(void)
{
	say("hello, world", 12);
}

static void another_version_is_not_used(void)
{
	uint64_t node;

	CHECK(begin(with_window, say_next_version));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_shows(&fe, 0, 0, 5000) && fe_num_maps(&fe) == 1 &&
	      fe.maps_made == 1);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe_num_maps(&fe) == 2 && fe_end(&fe) == 0);
}

static void nor_is_nonsense(void)
{
	CHECK(begin(with_window, say_nonsense));
	CHECK(window_count() == 1 && fe_end(&fe) == 0);
}

/* It says the right thing first, and goes away when it is asked for something. */
static void hang_up_later(void)
{
	say(&(struct window_hello){ WINDOW_MAGIC, WINDOW_VERSION,
					    1000 },
	    sizeof(struct window_hello));
	if (!fork()) {
		struct window_reply reply = { 0 };
		struct window_msg msg;

		while (recv(other_library, &msg, sizeof(msg), 0) > 0 &&
		       msg.op != WINDOW_MAP)
			if (send(other_library, &reply, sizeof(reply), 0) < 0)
				break;
		_exit(0);
	}
	close(other_library);
}

static void a_library_that_goes_ends_no_session(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--dax-budget", "3", NULL
	};
	struct fuse_getattr_in in = { 0 };
	struct fuse_attr_out out;
	uint64_t node;

	CHECK(begin(options, hang_up_later));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == -ENOTCONN);
	for (int i = 0; i < 10; i++)
		CHECK(fe_setup(&fe, node, 0, RANGE, i * RANGE, false) ==
		      -ENOTCONN);
	CHECK(fe_request(&fe, FUSE_GETATTR, node, &in, sizeof(in), &out,
			 sizeof(out), NULL) == 0 && out.attr.size == 5000);
	CHECK(fe_num_maps(&fe) == 1 && fe_end(&fe) == 0);
}

/* The base comes back as memory of the guest; nobody needs it there. */
static void the_base_is_no_memory(void)
{
	struct vu_mem_reg reg = { .region = {
		.guest_addr = 1ull << 40, .size = FE_WINDOW,
		.user_addr = 1ull << 40 } };
	uint64_t node, features;

	CHECK(begin(with_window, let_connect));
	/* QEMU sends all its memory at once then, so it keeps no list. */
	CHECK(fe_call(&fe, VU_GET_PROTOCOL_FEATURES, NULL, 0, &features,
		      sizeof(features)) == sizeof(features) &&
	      !(features & VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
	fe.keep_fd = true;
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), fe.last_fd,
		      true) == 1);
	/* After a stop it is entered, or QEMU could not go on. */
	CHECK(fe_stop_queues(&fe));
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), fe.last_fd,
		      true) == 0);
	fe_start_queues(&fe, false);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe_shows(&fe, 0, 0, 5000) && fe_shows(&fe, RANGE, 0, 5000));
	CHECK(fe.maps_made == 1 && fe_end(&fe) == 0);
}

static void a_reset_makes_the_base_anew(void)
{
	struct fuse_init_out out;
	uint64_t node;

	CHECK(begin(with_window, let_connect));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	fe.window[RANGE] = 1;
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &out) == 0);
	node = fe_lookup(&fe, "f", NULL);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 2 * RANGE, false) == 0);
	CHECK(fe.maps_made == 2 && fe_num_maps(&fe) == 1);
	CHECK(fe_is_zero(&fe, 0, 2 * RANGE) &&
	      fe_shows(&fe, 2 * RANGE, 0, 5000));
	/* A new mount, without a reset, blanks all. */
	fe.window[RANGE] = 1;
	CHECK(fe_init(&fe, &out) == 0 && fe_is_zero(&fe, 0, 4 * RANGE));
	CHECK(fe.maps_made == 2 && fe_end(&fe) == 0);
}

static long counter(const char *name)
{
	char line[64], word[48];
	long value = -1, found = -1;
	FILE *file = fopen(fe_path(&fe, "../stats"), "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%47s %ld", word, &value) == 2 &&
		    !strcmp(word, name))
			found = value;
	if (file)
		fclose(file);
	return found;
}

static void what_is_lost_is_counted(void)
{
	const char *options[] = {
		"--dax-window", "64M", "--stats-file", NULL, NULL
	};
	char stats[64] = "/tmp/daxd-stats.XXXXXX";
	uint64_t node;
	char link[96];

	close(mkstemp(stats));
	options[3] = stats;
	CHECK(begin(options, let_connect));
	node = make("f", 50000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(!truncate(fe_path(&fe, "f"), 4096));
	CHECK(fe_is_zero(&fe, RANGE + 8192, 4096) &&
	      fe_is_zero(&fe, RANGE + 16384, 1));
	snprintf(link, sizeof(link), "%s/stats", fe.dir);
	CHECK(!symlink(stats, link));
	for (int i = 0; i < 100 && counter("dax_lost") < 2; i++) {
		kill(fe.child, SIGUSR1);
		usleep(20000);
	}
	CHECK(counter("dax_lost") == 2 && counter("dax_live") == 1);
	CHECK(counter("regions_made") == 1 && counter("regions_removed") <= 0);
	unlink(stats);
	/* A map of it shows what there is by now. */
	CHECK(fe_file(&fe, "f", 50000));
	CHECK(fe_is_zero(&fe, RANGE + 8192, 4096));
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0 &&
	      fe_shows(&fe, RANGE, 0, 50000));
	CHECK(fe_end(&fe) == 0);
}

static int fsync_of(uint64_t node)
{
	struct fuse_fsync_in in = { 0 };
	int err;

	in.fh = fe_open(&fe, node, O_RDWR, &err);
	return err ?: fe_request(&fe, FUSE_FSYNC, node, &in, sizeof(in), NULL,
				 0, NULL);
}

static void a_lost_store_is_told(void)
{
	uint64_t read, write;

	CHECK(begin(with_window, let_connect));
	read = make("read", 50000);
	write = make("write", 50000);
	CHECK(fe_setup(&fe, read, 0, RANGE, 0, false) == 0 &&
	      fe_setup(&fe, write, 0, RANGE, RANGE, true) == 0);
	CHECK(fsync_of(read) == 0 && fsync_of(write) == 0);
	CHECK(!truncate(fe_path(&fe, "read"), 4096) &&
	      !truncate(fe_path(&fe, "write"), 4096));
	fe.window[8192] = 1;
	fe.window[RANGE + 8192] = 1;
	CHECK(fsync_of(read) == 0 && fsync_of(write) == -EIO);
	CHECK(fe_remove(&fe, RANGE, RANGE) == 0 && fsync_of(write) == -EIO);
	CHECK(fsync_of(write) == 0 && fe_end(&fe) == 0);
}

static int flush_of(uint64_t node)
{
	struct fuse_flush_in in = { 0 };
	int err;

	in.fh = fe_open(&fe, node, O_RDWR, &err);
	return err ?: fe_request(&fe, FUSE_FLUSH, node, &in, sizeof(in), NULL,
				 0, NULL);
}

static int syncfs_of(uint64_t node)
{
	struct fuse_syncfs_in in = { 0 };

	return fe_request(&fe, FUSE_SYNCFS, node, &in, sizeof(in), NULL, 0,
			  NULL);
}

/*
 * A second store to the same page tells nobody: as long as it is there, and until
 * that is told after it has gone, no sync succeeds.
 */
static void and_told_again_while_it_may_be_another(void)
{
	uint64_t node;

	CHECK(begin(with_window, let_connect));
	node = make("f", 50000);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(!truncate(fe_path(&fe, "f"), 4096));
	fe.window[8192] = 1;
	CHECK(fsync_of(node) == -EIO && !truncate(fe_path(&fe, "f"), 50000));
	fe.window[8193] = 1;
	CHECK(fsync_of(node) == -EIO && syncfs_of(FUSE_ROOT_ID) == -EIO);
	fe.window[8194] = 1;
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(syncfs_of(FUSE_ROOT_ID) == -EIO && syncfs_of(FUSE_ROOT_ID) == 0);
	CHECK(fsync_of(node) == -EIO && fsync_of(node) == 0);
	fe.window[8192] = 1;
	CHECK(fsync_of(node) == 0 && fe_end(&fe) == 0);
}

/* Who never syncs a file hears of it when it is closed, or all are synced. */
static void a_lost_store_is_told_by_close_and_syncfs(void)
{
	uint64_t node;

	CHECK(begin(with_window, let_connect));
	node = make("f", 50000);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(flush_of(node) == 0 && syncfs_of(FUSE_ROOT_ID) == 0);
	CHECK(!truncate(fe_path(&fe, "f"), 4096));
	fe.window[8192] = 1;
	CHECK(syncfs_of(FUSE_ROOT_ID) == -EIO && fe_remove(&fe, 0, RANGE) == 0);
	CHECK(syncfs_of(FUSE_ROOT_ID) == -EIO && syncfs_of(FUSE_ROOT_ID) == 0);
	CHECK(flush_of(node) == -EIO && flush_of(node) == 0);
	CHECK(fsync_of(node) == -EIO && fsync_of(node) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Whether the guest is told that something from @offset on has changed. */
static bool told(uint64_t node, int64_t offset, int64_t len)
{
	struct fuse_notify_inval_inode_out inval;

	while (fe_inval(&fe, &inval))
		if (inval.ino == node && inval.off == offset && inval.len == len)
			return true;
	return false;
}

/*
 * Rule: the guest hears of a page which its file does not have.
 * Wrong: it takes the zeros there for data until its timeouts are over.
 * Right: it is told of that part of the file, by the name it knows now, and asks.
 */
static void a_page_that_is_lacking_is_told(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--log-level", "warn",
		"--notifications", NULL
	};
	uint64_t node;

	CHECK(begin(options, let_connect));
	node = make("f", 50000);
	CHECK(fe_setup(&fe, node, 4096, RANGE, RANGE, false) == 0);
	CHECK(!truncate(fe_path(&fe, "f"), 8192));
	CHECK(fe_is_zero(&fe, RANGE + 16384, 1));
	CHECK(told(node, 16384 + 4096, 4096));
	CHECK(fe_end(&fe) == 0);
}

static void the_budget_bounds(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--dax-budget", "3", NULL
	};
	uint64_t node;

	CHECK(begin(options, let_connect));
	node = make("f", 50000);
	for (int i = 0; i < 3; i++)
		CHECK(fe_setup(&fe, node, 0, 4096, i * RANGE, false) == 0);
	CHECK(fe_setup(&fe, node, 0, 4096, 3 * RANGE, false) == -ENOMEM);
	CHECK(fe_setup(&fe, node, 4096, 4096, 2 * RANGE, false) == 0);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_setup(&fe, node, 0, 4096, 3 * RANGE, false) == 0);
	CHECK(fe_end(&fe) == 0);
}

static void look_at_socket(void)
{
	struct stat st;

	/* Who connects may map any file of the share: the owner only. */
	CHECK(!stat(fe_path(&fe, "../window"), &st) &&
	      (st.st_mode & 0777) == 0700);
	let_connect();
}

/* One library is served, so there is nothing to connect to afterwards. */
static void its_socket_goes_once_connected(void)
{
	CHECK(begin(with_window, look_at_socket));
	CHECK_ERR(access(fe_path(&fe, "../window"), F_OK), ENOENT);
	CHECK(fe_end(&fe) == 0);
}

/* A front-end that says nothing yet may still have one. */
static void a_library_may_come_second(void)
{
	struct fuse_init_out out;
	uint64_t node;

	fe_window_socket = true;
	CHECK(fe_spawn(&fe, with_window) && fe_connect(&fe));
	usleep(100000);
	let_connect();
	CHECK(fe_handshake(&fe));
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &out) == 0);
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe.maps_made == 1 && fe_end(&fe) == 0);
}

/* As of a VMM that was started in vain. */
static void come_twice(void)
{
	say(&(struct window_hello){ WINDOW_MAGIC, WINDOW_VERSION,
					    1000 },
	    sizeof(struct window_hello));
	close(other_library);
	let_connect();
}

static void a_library_that_has_gone_does_not_count(void)
{
	uint64_t node;

	CHECK(begin(with_window, come_twice));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe.maps_made == 1 && fe_num_maps(&fe) == 1 && fe_end(&fe) == 0);
}

static void its_socket_goes_without_front_end(void)
{
	fe_window_socket = true;
	CHECK(fe_spawn(&fe, with_window));
	kill(fe.child, SIGTERM);
	CHECK(fe_wait(&fe) == 0);
	CHECK_ERR(access(fe_path(&fe, "../window"), F_OK), ENOENT);
	/* Nor does it stay if the front-end goes without a word. */
	CHECK(fe_spawn(&fe, with_window) && fe_connect(&fe));
	CHECK(fe_end(&fe) == 0);
}

/* Another front-end was started with the same socket, and lives. */
static pid_t another;

static void another_comes_first(void)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		return;
	another = fork();
	if (!another) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		say(&(struct window_hello){ WINDOW_MAGIC, WINDOW_VERSION, 1000 },
		    sizeof(struct window_hello));
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		perror("read");
	let_connect();
}

static void a_library_of_another_vmm_is_not_used(void)
{
	uint64_t node;

	CHECK(begin(with_window, another_comes_first));
	node = make("f", 5000);
	CHECK(node && fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(fe_shows(&fe, 0, 0, 5000));
	CHECK(fe.maps_made == 1 && fe_said(&fe, "is not used: the front-end"));
	CHECK(fe_end(&fe) == 0);
	CHECK(!kill(another, SIGKILL) && waitpid(another, NULL, 0) == another);
}

static unsigned int max_map_count(void)
{
	unsigned int max = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (file && fscanf(file, "%u", &max) != 1)
		max = 0;
	if (file)
		fclose(file);
	return max;
}

#define SHARES 4
#define MAX_PAGES (FE_WINDOW / 4096)

/* Pages no two of which are one map. Returns how many were shown. */
static unsigned int show_pages(struct frontend *f, uint64_t node, int *err)
{
	unsigned int i = 0;

	for (*err = 0; i < MAX_PAGES; i++) {
		*err = fe_setup(f, node, (i * 7 % 600) * 4096, 4096, i * 4096,
				false);
		if (*err)
			break;
	}
	return i;
}

static bool begin_beside(struct frontend *f)
{
	struct fuse_init_out out;

	if (!fe_connect(f) || !fe_handshake(f))
		return false;
	fe_start_queues(f, true);
	return fe_init(f, &out) == 0 && fe_file(f, "f", 3000000);
}

/* Each has its part of what Linux allows the VMM, and no more. */
static void shares_have_a_part_each(void)
{
	static struct frontend fes[SHARES];
	const unsigned int part = max_map_count() / 2 / SHARES;
	char paths[SHARES * 80] = "";
	uint64_t nodes[SHARES];

	fe_window_socket = true;
	for (int i = 0; i < SHARES; i++) {
		CHECK(fe_spawn(&fes[i], with_window));
		snprintf(paths + strlen(paths), 80, "%s%s/window", i ? ":" : "",
			 fes[i].dir);
	}
	setenv("VIRTIOFS_DAX_WINDOW", paths, 1);
	for (int i = 0; i < SHARES; i++) {
		unsigned int shown;
		int err;

		CHECK(begin_beside(&fes[i]));
		nodes[i] = fe_lookup(&fes[i], "f", NULL);
		shown = show_pages(&fes[i], nodes[i], &err);
		printf("# share %d: %u parts of at most %u\n", i, shown, part);
		CHECK(shown == MAX_PAGES ||
		      (err == -ENOMEM && shown > part / 5 * 4));
		CHECK(shown <= part || part > MAX_PAGES);
	}
	/* What is let go can be used anew. */
	for (int i = 0; i < SHARES; i++) {
		for (uint64_t j = 1; j < part / 5 * 4; j += 97)
			CHECK(fe_shows(&fes[i], j * 4096, (j * 7 % 600) * 4096,
				       4096));
		CHECK(fe_remove(&fes[i], 0, 4096) == 0 &&
		      fe_setup(&fes[i], nodes[i], 0, 4096, 0, false) == 0);
	}
	for (int i = 0; i < SHARES; i++)
		CHECK(fe_end(&fes[i]) == 0);
}

IN_CHILD(one_map_for_all)
IN_CHILD(a_file_keeps_its_size)
IN_CHILD(reading_lets_the_host_execute)
IN_CHILD(a_readonly_share_stays_as_it_is)
IN_CHILD(a_readonly_share_has_no_stock_maps)
IN_CHILD(any_user_may_run_it)
IN_CHILD(without_root_there_are_no_stock_maps)
IN_CHILD(without_a_library_there_are_stock_maps)
IN_CHILD(another_version_is_not_used)
IN_CHILD(nor_is_nonsense)
IN_CHILD(a_library_that_goes_ends_no_session)
IN_CHILD(the_base_is_no_memory)
IN_CHILD(a_reset_makes_the_base_anew)
IN_CHILD(what_is_lost_is_counted)
IN_CHILD(a_lost_store_is_told)
IN_CHILD(and_told_again_while_it_may_be_another)
IN_CHILD(a_lost_store_is_told_by_close_and_syncfs)
IN_CHILD(a_page_that_is_lacking_is_told)
IN_CHILD(the_budget_bounds)
IN_CHILD(a_library_of_another_vmm_is_not_used)
IN_CHILD(shares_have_a_part_each)
IN_CHILD(its_socket_goes_once_connected)
IN_CHILD(a_library_may_come_second)
IN_CHILD(a_library_that_has_gone_does_not_count)
IN_CHILD(its_socket_goes_without_front_end)

static const struct fs_test tests[] = {
	TEST_ALONE(one_map_for_all),
	TEST_ALONE(a_file_keeps_its_size),
	TEST_ALONE(reading_lets_the_host_execute),
	TEST_ALONE(a_readonly_share_stays_as_it_is),
	TEST_ALONE(a_readonly_share_has_no_stock_maps),
	TEST_ALONE(any_user_may_run_it),
	TEST_ALONE(without_root_there_are_no_stock_maps),
	TEST_ALONE(without_a_library_there_are_stock_maps),
	TEST_ALONE(another_version_is_not_used),
	TEST_ALONE(nor_is_nonsense),
	TEST_ALONE(a_library_that_goes_ends_no_session),
	TEST_ALONE(the_base_is_no_memory),
	TEST_ALONE(a_reset_makes_the_base_anew),
	TEST_ALONE(what_is_lost_is_counted),
	TEST_ALONE(a_lost_store_is_told),
	TEST_ALONE(and_told_again_while_it_may_be_another),
	TEST_ALONE(a_lost_store_is_told_by_close_and_syncfs),
	TEST_ALONE(a_page_that_is_lacking_is_told),
	TEST_ALONE(the_budget_bounds),
	TEST_ALONE(a_library_of_another_vmm_is_not_used),
	TEST_ALONE(shares_have_a_part_each),
	TEST_ALONE(its_socket_goes_once_connected),
	TEST_ALONE(a_library_may_come_second),
	TEST_ALONE(a_library_that_has_gone_does_not_count),
	TEST_ALONE(its_socket_goes_without_front_end),
};

int main(int argc, char **argv)
{
	return window_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
