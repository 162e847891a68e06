// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon, driven through its socket by a front-end that keeps QEMU's rules.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

/* And a file. Returns its node id, 0 on failure. */
static uint64_t begin_with(const char *name, size_t size)
{
	return fe_begin(&fe, with_window) ? fe_make(&fe, name, size) : 0;
}

static void init_offers_dax(void)
{
	struct fuse_init_out out = { 0 };

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(out.flags & FUSE_MAP_ALIGNMENT && out.map_alignment == 12);
	CHECK(out.flags2 & FUSE_HAS_INODE_DAX >> 32);
	CHECK(out.max_write == 1 << 20 && out.max_pages == 256);
	CHECK(fe_end(&fe) == 0);
}

static void no_window_no_dax(void)
{
	static const char *const options[] = { "--log-level", "warn", NULL };
	struct fuse_init_out out = { 0 };
	struct fuse_entry_out entry = { 0 };
	struct vu_shmem_config shmem;
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(!(out.flags & FUSE_MAP_ALIGNMENT));
	CHECK(fe_file(&fe, "f", 10));
	node = fe_lookup(&fe, "f", &entry);
	CHECK(node && !(entry.attr.flags & FUSE_ATTR_DAX));
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -ENOSYS);
	CHECK(fe_call(&fe, VU_GET_SHMEM_CONFIG, NULL, 0, &shmem,
		      sizeof(shmem)) > 0 && shmem.count == 0);
	CHECK(fe_end(&fe) == 0);
}

static void front_end_is_told(void)
{
	struct vu_config config = { .size = 40 };
	struct vu_shmem_config shmem;
	uint64_t value;

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_call(&fe, VU_GET_SHMEM_CONFIG, NULL, 0, &shmem,
		      sizeof(shmem)) == sizeof(shmem));
	CHECK(shmem.count == 1 && shmem.size[0] == FE_WINDOW);
	CHECK(fe_call(&fe, VU_GET_CONFIG, &config, 12 + 40, &config,
		      sizeof(config)) == 12 + 40);
	CHECK(!strcmp((char *)config.data, "myfs") && config.data[36] == 1);
	config.offset = 250;
	CHECK(fe_call(&fe, VU_GET_CONFIG, &config, 12 + 40, &config,
		      sizeof(config)) == 0);
	CHECK(fe_call(&fe, VU_GET_QUEUE_NUM, NULL, 0, &value, 8) == 8 &&
	      value == 2);
	CHECK(fe_end(&fe) == 0);
}

/* Attributes say which files have DAX: by LOOKUP, GETATTR and READDIRPLUS. */
static void attributes_carry_dax(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--dax-attr", "4K", NULL
	};
	struct fuse_getattr_in get = { 0 };
	struct fuse_attr_out attr = { 0 };
	struct fuse_entry_out entry = { 0 };
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	CHECK(fe_file(&fe, "small", 4095) && fe_file(&fe, "large", 4096));
	CHECK(fe_lookup(&fe, "small", &entry));
	CHECK(!(entry.attr.flags & FUSE_ATTR_DAX));
	node = fe_lookup(&fe, "large", &entry);
	CHECK(node && entry.attr.flags & FUSE_ATTR_DAX);
	CHECK(fe_request(&fe, FUSE_GETATTR, node, &get, sizeof(get), &attr,
			 sizeof(attr), NULL) == 0);
	CHECK(attr.attr.flags & FUSE_ATTR_DAX);
	CHECK(fe_request(&fe, FUSE_GETATTR, FUSE_ROOT_ID, &get, sizeof(get),
			 &attr, sizeof(attr), NULL) == 0);
	CHECK(!(attr.attr.flags & FUSE_ATTR_DAX));
	CHECK(fe_end(&fe) == 0);
}

static unsigned int count_dax(const char *buf, size_t len, unsigned int *all)
{
	unsigned int dax = 0;

	while (len >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		const struct fuse_direntplus *entry = (const void *)buf;
		size_t size = FUSE_DIRENTPLUS_SIZE(entry);

		(*all)++;
		if (entry->entry_out.nodeid &&
		    entry->entry_out.attr.flags & FUSE_ATTR_DAX)
			dax++;
		if (size > len)
			break;
		buf += size;
		len -= size;
	}
	return dax;
}

static void readdirplus_carries_dax(void)
{
	struct fuse_open_in open_in = { 0 };
	struct fuse_open_out open_out = { 0 };
	struct fuse_read_in in = { .size = 8192 };
	char buf[8192];
	unsigned int all = 0;
	size_t len = 0;

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_file(&fe, "a", 1) && fe_file(&fe, "bcd", 0));
	CHECK(!mkdir(fe_path(&fe, "dir"), 0755));
	CHECK(fe_request(&fe, FUSE_OPENDIR, FUSE_ROOT_ID, &open_in,
			 sizeof(open_in), &open_out, sizeof(open_out),
			 NULL) == 0);
	in.fh = open_out.fh;
	CHECK(fe_request(&fe, FUSE_READDIRPLUS, FUSE_ROOT_ID, &in, sizeof(in),
			 buf, sizeof(buf), &len) == 0);
	CHECK(count_dax(buf, len, &all) == 2 && all == 5);
	/* A size that exceeds the room for the reply is cut, not refused. */
	in.size = 1 << 24;
	CHECK(fe_request(&fe, FUSE_READDIRPLUS, FUSE_ROOT_ID, &in, sizeof(in),
			 buf, 4096, &len) == 0 && len && len <= 4096);
	CHECK(fe_end(&fe) == 0);
}

/* Maps past the end: the data is right, the file stays as long as it was. */
static void maps_of_any_size(void)
{
	static const size_t sizes[] = {
		1, 4095, 4096, 4097, RANGE - 1, RANGE, RANGE + 1, 5000000
	};
	struct stat st;
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		node = fe_make(&fe, "f", sizes[i]);
		CHECK(node);
		CHECK(fe_setup(&fe, node, 0, 3 * RANGE, 4 * RANGE, false) == 0);
		CHECK(fe_shows(&fe, 4 * RANGE, 0, sizes[i]));
		CHECK(!stat(fe_path(&fe, "f"), &st));
		CHECK(st.st_size == (off_t)sizes[i]);
		CHECK(fe_remove(&fe, 4 * RANGE, 3 * RANGE) == 0);
		CHECK(fe_num_maps(&fe) == 0);
	}
	CHECK(fe_end(&fe) == 0);
}

static void empty_file_stays_empty(void)
{
	struct stat st;
	uint64_t node = begin_with("empty", 0);

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(fe_num_maps(&fe) == 1);
	CHECK(!stat(fe_path(&fe, "empty"), &st) && st.st_size == 0 &&
	      st.st_blocks == 0);
	CHECK(fe_end(&fe) == 0);
}

static void growth_shows_under_a_map(void)
{
	uint64_t node = begin_with("f", 100);

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_shows(&fe, 0, 0, 100));
	CHECK(fe_file(&fe, "f", 300000));
	CHECK(fe_shows(&fe, 0, 0, 300000));
	CHECK(fe_end(&fe) == 0);
}

static void stores_reach_the_file(void)
{
	char buf[5];
	uint64_t node;
	int fd;

	node = begin_with("f", 10000);
	CHECK(node);
	CHECK(fe_setup(&fe, node, 4096, RANGE, RANGE, true) == 0);
	memcpy(fe.window + RANGE + 10, "hello", 5);
	fd = open(fe_path(&fe, "f"), O_RDONLY);
	CHECK(pread(fd, buf, 5, 4106) == 5 && !memcmp(buf, "hello", 5));
	close(fd);
	CHECK(fe_end(&fe) == 0);
}

/* Write access later needs no new map, so nobody sees a hole in between. */
static void write_access_later(void)
{
	uint64_t node = begin_with("f", 5000);

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(fe.maps_made == 1 && fe.maps_refused == 0);
	fe.window[4999] = 'x';
	CHECK(fe_end(&fe) == 0);
}

/* Stores to a hole would need space: it is there before the map is. */
static void holes_are_filled(void)
{
	struct stat st;
	uint64_t node;
	int fd;

	CHECK(fe_begin(&fe, with_window));
	fd = open(fe_path(&fe, "sparse"), O_RDWR | O_CREAT, 0644);
	CHECK(fd >= 0 && !ftruncate(fd, 1 << 20));
	node = fe_lookup(&fe, "sparse", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(!fstat(fd, &st) && st.st_blocks >= (1 << 20) / 512);
	CHECK(st.st_size == 1 << 20);
	close(fd);
	CHECK(fe_end(&fe) == 0);
}

static int write_request(uint64_t node, struct fuse_write_in *in,
			 const void *data, size_t len, uint32_t *written)
{
	return fe_write(&fe, node, in, data, len, written);
}

static off_t first_hole(const char *name)
{
	int fd = open(fe_path(&fe, name), O_RDONLY);
	off_t hole = lseek(fd, 0, SEEK_HOLE);

	close(fd);
	return hole;
}

/* Holes that come later, by growth or punching, are filled where it is mapped. */
static void later_holes_are_filled(void)
{
	struct fuse_setattr_in attr = { .valid = FATTR_SIZE };
	struct fuse_fallocate_in punch = {
		.offset = 8192, .length = 8192,
		.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	struct fuse_write_in in = { .size = 1, .offset = 600000 };
	struct fuse_attr_out out;
	uint32_t written;
	uint64_t node;
	struct stat st;
	int error;

	node = begin_with("f", 100);
	CHECK(node);
	in.fh = fe_open(&fe, node, O_RDWR, &error);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	attr.size = 300000;
	CHECK(fe_request(&fe, FUSE_SETATTR, node, &attr, sizeof(attr), &out,
			 sizeof(out), NULL) == 0);
	CHECK(out.attr.size == 300000);
	/* What is allocated and not written is a hole to SEEK_HOLE. */
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_size == 300000 &&
	      st.st_blocks >= 300000 / 512);
	CHECK(write_request(node, &in, "x", 1, &written) == 0 && written == 1);
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_size == 600001 &&
	      st.st_blocks >= 600000 / 512);
	memset(fe.window, 'a', 600001);
	CHECK(first_hole("f") == 600001);
	punch.fh = in.fh;
	CHECK(fe_request(&fe, FUSE_FALLOCATE, node, &punch, sizeof(punch),
			 NULL, 0, NULL) == 0);
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_blocks >= 600000 / 512);
	CHECK(fe_is_zero(&fe, 8192, 8192) && fe.window[8191] == 'a');
	/* Behind the map holes are nobody's business. */
	in.offset = 64 << 20;
	CHECK(write_request(node, &in, "x", 1, &written) == 0);
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_blocks < (8 << 20) / 512);
	CHECK(fe_end(&fe) == 0);
}

/* A file without holes is left alone; as many pages may be behind its end. */
static void whole_is_left_alone(void)
{
	struct stat before, after, st;
	struct statfs fs;
	uint64_t node;
	int fd;

	CHECK(fe_begin(&fe, with_window));
	CHECK(!statfs(fe.share, &fs) && fs.f_type == TMPFS_MAGIC);
	node = fe_make(&fe, "whole", 100000);
	CHECK(node);
	CHECK(!stat(fe_path(&fe, "whole"), &before));
	/* The clock of file systems is coarse */
	usleep(20000);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(!stat(fe_path(&fe, "whole"), &after));
	CHECK(!memcmp(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim)));

	CHECK(fe_file(&fe, "holes", 100000));
	fd = open(fe_path(&fe, "holes"), O_RDWR);
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096));
	CHECK(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 102400, 4096));
	node = fe_lookup(&fe, "holes", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, true) == 0);
	CHECK(!fstat(fd, &st) && st.st_blocks == (102400 + 4096) / 512);
	close(fd);
	CHECK(fe_end(&fe) == 0);
}

/* There a hole that is read takes space too, and SEEK_HOLE is not asked. */
static void on_tmpfs(void)
{
	fe_base = "/dev/shm";
	holes_are_filled();
	later_holes_are_filled();
	whole_is_left_alone();
	fe_base = "/tmp";
}

/* A program that the host executes cannot be opened for writing. */
static void busy_program_is_copied(void)
{
	char command[300];
	uint64_t node;
	pid_t child;

	CHECK(fe_begin(&fe, with_window));
	snprintf(command, sizeof(command), "cp /bin/sleep %s",
		 fe_path(&fe, "prog"));
	CHECK(!system(command));
	child = fork();
	if (!child) {
		execl(fe_path(&fe, "prog"), "prog", "30", NULL);
		_exit(1);
	}
	usleep(300000);
	node = fe_lookup(&fe, "prog", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == -ETXTBSY);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(!memcmp(fe.window, "\177ELF", 4));
	CHECK(fe_is_zero(&fe, RANGE - 4096, 4096));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* Now it can be written to, and is mapped anew. */
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == 0);
	CHECK(fe_num_maps(&fe) == 1);
	CHECK(fe_end(&fe) == 0);
}

static void overlaps_replace(void)
{
	uint64_t a, b;

	CHECK(fe_begin(&fe, with_window));
	a = fe_make(&fe, "a", 8 * RANGE);
	b = fe_make(&fe, "b", 100000);
	CHECK(a && b);
	CHECK(fe_setup(&fe, a, 0, 8 * RANGE, 0, false) == 0);
	/* In the middle: three maps. */
	CHECK(fe_setup(&fe, b, 0, RANGE, 3 * RANGE, false) == 0);
	CHECK(fe_num_maps(&fe) == 3);
	CHECK(fe_shows(&fe, 0, 0, 3 * RANGE));
	CHECK(fe_shows(&fe, 3 * RANGE, 0, 100000));
	CHECK(fe_shows(&fe, 4 * RANGE, 4 * RANGE, 4 * RANGE));
	/* All of them, by one. */
	CHECK(fe_setup(&fe, a, RANGE, 6 * RANGE, RANGE, false) == 0);
	CHECK(fe_num_maps(&fe) == 3);
	CHECK(fe_shows(&fe, 0, 0, 8 * RANGE));
	/* A part taken out of the middle. */
	CHECK(fe_remove(&fe, 2 * RANGE + 4096, 4096) == 0);
	CHECK(fe_is_zero(&fe, 2 * RANGE + 4096, 4096));
	CHECK(fe_shows(&fe, 2 * RANGE, 2 * RANGE, 4096));
	CHECK(fe_shows(&fe, 2 * RANGE + 8192, 2 * RANGE + 8192, RANGE));
	CHECK(fe_remove(&fe, 0, FE_WINDOW) == 0);
	CHECK(fe_num_maps(&fe) == 0 && fe.maps_refused == 0 &&
	      fe.unmaps_refused == 0);
	CHECK(fe_end(&fe) == 0);
}

static void bad_setups_are_refused(void)
{
	const uint64_t huge = UINT64_MAX - 4095;
	uint64_t node = begin_with("f", 4096);

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, 0, 0, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 1, RANGE, 0, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 1, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 0, RANGE, FE_WINDOW, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 0, FE_WINDOW + 4096, 0, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 0, huge, 8192, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 0, UINT64_MAX, 0, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, 0, RANGE, huge, false) == -EINVAL);
	CHECK(fe_setup(&fe, node, huge, RANGE, 0, false) == -EINVAL);
	CHECK(fe_setup(&fe, node + 1000, 0, RANGE, 0, false) == -ENOENT);
	CHECK(fe_setup(&fe, UINT64_MAX, 0, RANGE, 0, false) == -ENOENT);
	CHECK(fe_setup(&fe, FUSE_ROOT_ID, 0, RANGE, 0, false) == -EINVAL);
	CHECK(fe_remove(&fe, 0, 0) == -EINVAL);
	CHECK(fe_remove(&fe, 4096, huge) == -EINVAL);
	CHECK(fe_remove(&fe, FE_WINDOW, 4096) == -EINVAL);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe.maps_made == 0 && fe.maps_refused == 0);
	CHECK(fe_end(&fe) == 0);
}

static void remove_counts_are_checked(void)
{
	struct fuse_removemapping_in in = { .count = 2 };
	char req[4 + 16] = { 0 };

	CHECK(fe_begin(&fe, with_window));
	memcpy(req, &in, 4);
	CHECK(fe_request(&fe, FUSE_REMOVEMAPPING, 0, req, sizeof(req), NULL, 0,
			 NULL) == -EINVAL);
	in.count = UINT32_MAX;
	memcpy(req, &in, 4);
	CHECK(fe_request(&fe, FUSE_REMOVEMAPPING, 0, req, sizeof(req), NULL, 0,
			 NULL) == -EINVAL);
	CHECK(fe_request(&fe, FUSE_REMOVEMAPPING, 0, req, 3, NULL, 0,
			 NULL) == -EINVAL);
	CHECK(fe_end(&fe) == 0);
}

static void budget_is_kept(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--dax-budget", "3", NULL
	};
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	node = fe_make(&fe, "f", 8 * RANGE);
	CHECK(node);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(fe_setup(&fe, node, 0, RANGE, i * RANGE, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 3 * RANGE, false) == -ENOMEM);
	/* In the place of another there is room, in two halves of one not. */
	CHECK(fe_setup(&fe, node, RANGE, RANGE, 2 * RANGE, false) == 0);
	CHECK(fe_remove(&fe, 4096, 4096) == -ENOMEM);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 3 * RANGE, false) == 0);
	CHECK(fe_num_maps(&fe) == 3);
	CHECK(fe_end(&fe) == 0);
}

static void refusals_reach_the_guest(void)
{
	uint64_t node = begin_with("f", 10000);

	CHECK(node);
	fe.refuse = true;
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -ENOMEM);
	fe.refuse = false;
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_shows(&fe, 0, 0, 10000));
	CHECK(fe_end(&fe) == 0);
}

/* DESTROY and a second INIT drop what is mapped; nodes are gone too. */
static void session_begins_anew(void)
{
	struct fuse_init_out out;
	uint64_t node = begin_with("f", 4096);

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(fe_num_maps(&fe) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -ENOENT);
	node = fe_lookup(&fe, "f", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_request(&fe, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL) == 0);
	CHECK(fe_num_maps(&fe) == 0 && fe.unmaps_refused == 0);
	CHECK(!fe_lookup(&fe, "f", NULL));
	CHECK(fe_init(&fe, &out) == 0 && fe_lookup(&fe, "f", NULL));
	CHECK(fe_end(&fe) == 0);
}

static void old_guests_are_refused(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 30 };
	struct fuse_init_out out;

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_request(&fe, FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out),
			 NULL) == -EPROTO);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(fe_end(&fe) == 0);
}

static void stop_and_cont_keep_maps(void)
{
	uint64_t node = begin_with("f", 10000);

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	for (int i = 0; i < 20; i++) {
		CHECK(fe_stop_queues(&fe));
		fe_start_queues(&fe, false);
		CHECK(fe_lookup(&fe, "f", NULL) == node);
	}
	CHECK(fe_shows(&fe, 0, 0, 10000));
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_num_maps(&fe) == 0 && fe.unmaps_refused == 0);
	CHECK(fe_end(&fe) == 0);
}

/* After a reset the daemon neither knows the old maps nor asks for them. */
static void reset_forgets_maps(void)
{
	struct fuse_init_out out;
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_file(&fe, "f", 10000));
	for (int i = 0; i < 5; i++) {
		node = fe_lookup(&fe, "f", NULL);
		CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
		CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, true) == 0);
		CHECK(fe_stop_queues(&fe));
		fe_reset(&fe);
		fe_start_queues(&fe, true);
		CHECK(fe_init(&fe, &out) == 0);
	}
	CHECK(fe.unmaps_refused == 0 && fe.maps_refused == 0);
	CHECK(fe_end(&fe) == 0);
}

static bool wait_held(bool held)
{
	return fe_wait_held(&fe, held);
}

static void release_held(void)
{
	fe_release_held(&fe);
}

/* A daemon with a window and a file of 10000 bytes: its node, or 0. */
static uint64_t begin_with_file(void)
{
	if (!fe_begin(&fe, with_window) || !fe_file(&fe, "f", 10000))
		return 0;
	return fe_lookup(&fe, "f", NULL);
}

/* Asks for a map of the file; the front-end is asked to make it and waits. */
static bool hold_map(uint64_t node)
{
	struct fuse_setupmapping_in in = { .len = RANGE };

	fe.hold = true;
	fe_request_begin(&fe, FUSE_SETUPMAPPING, node, &in, sizeof(in), 0);
	return wait_held(true);
}

/*
 * QEMU stops the queues while a request waits for QEMU to map. The daemon must
 * not wait in turn; the reply is there when the queues go on.
 */
static void stop_during_a_map(void)
{
	uint64_t node = begin_with_file();

	CHECK(node && hold_map(node));
	CHECK(fe_stop_queues(&fe));
	release_held();
	CHECK(wait_held(false));
	usleep(50000);
	fe_start_queues(&fe, false);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == 0);
	CHECK(fe_shows(&fe, 0, 0, 10000));
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

/* The same, but the guest is reset: no reply, and the map does not stay. */
static void reset_during_a_map(void)
{
	struct fuse_init_out out;
	uint64_t node = begin_with_file();

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, RANGE, false) == 0);
	CHECK(hold_map(node));
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	release_held();
	CHECK(wait_held(false));
	usleep(50000);
	CHECK(fe_num_maps(&fe) == 1);
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(fe_num_maps(&fe) == 0 && fe.unmaps_refused == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Of a guest that does not wait for the answer to DESTROY. */
static void stop_during_a_read_after_destroy(void)
{
	struct fuse_read_in read = { .size = 100 };
	struct fuse_init_out out;
	uint64_t node = begin_with_file();

	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	fe.hold = true;
	fe_request_begin(&fe, FUSE_DESTROY, 0, NULL, 0, 0);
	CHECK(wait_held(true));
	CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read), NULL, 100,
			 NULL) == -EBUSY);
	CHECK(fe_stop_queues(&fe));
	release_held();
	CHECK(wait_held(false));
	usleep(50000);
	fe_start_queues(&fe, false);
	CHECK(fe_complete(&fe, 1) == sizeof(struct fuse_out_header));
	CHECK(fe_init(&fe, &out) == 0 && fe_num_maps(&fe) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Of one that begins with a READ while a map from before is there or under way. */
static void stop_during_a_read_after_reset(void)
{
	struct fuse_read_in read = { .size = 100 };
	struct fuse_init_out out;
	uint64_t node = begin_with_file();

	CHECK(node && hold_map(node));
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read), NULL, 100,
			 NULL) == -EBUSY);
	CHECK(fe_stop_queues(&fe));
	release_held();
	CHECK(wait_held(false));
	usleep(50000);
	fe.hold = true;
	fe_start_queues(&fe, true);
	CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read), NULL, 100,
			 NULL) == -EBUSY);
	CHECK(fe_stop_queues(&fe) && !fe.held);
	release_held();
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(fe_num_maps(&fe) == 0 && fe.unmaps_refused == 0);
	CHECK(fe_end(&fe) == 0);
}

/* The front-end goes while a request waits for it. */
static void disconnect_during_a_map(void)
{
	uint64_t node = begin_with_file();

	CHECK(node && hold_map(node));
	shutdown(fe.conn, SHUT_RDWR);
	CHECK(fe_wait(&fe) == 0);
	release_held();
	CHECK(fe_end(&fe) == 0);
}

/* Its own maps come back to the daemon as memory: only a stopped one takes them. */
static void own_maps_are_no_memory(void)
{
	struct vu_mem_reg reg = { .region = {
		.guest_addr = UINT64_C(1) << 40, .size = RANGE,
		.user_addr = UINT64_C(1) << 40 } };
	static const char *const options[] = { "--dax-window", "64M", NULL };
	uint64_t node;
	int memfd = memfd_create("more", 0);

	CHECK(fe_begin(&fe, options));
	CHECK(!ftruncate(memfd, RANGE));
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), memfd, true) == 0);
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), memfd, true) == 1);
	CHECK(fe_send(&fe, VU_REM_MEM_REG, &reg, sizeof(reg), -1, true) == 0);
	CHECK(fe_send(&fe, VU_REM_MEM_REG, &reg, sizeof(reg), -1, true) == 1);
	close(memfd);
	node = fe_make(&fe, "f", 10000);
	CHECK(node);
	fe.keep_fd = true;
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe.last_fd >= 0);
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), fe.last_fd,
		      true) == 1);
	CHECK(fe_stop_queues(&fe));
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &reg, sizeof(reg), fe.last_fd,
		      true) == 0);
	fe_start_queues(&fe, false);
	CHECK(fe_send(&fe, VU_REM_MEM_REG, &reg, sizeof(reg), -1, true) == 0);
	close(fe.last_fd);
	CHECK(fe_end(&fe) == 0);
}

static bool read_back(uint64_t node, uint64_t fh, size_t size, size_t offset)
{
	struct fuse_read_in in = { .fh = fh, .size = size, .offset = offset };
	unsigned char *buf = malloc(size);
	size_t got = 0;
	bool ok;

	ok = fe_request(&fe, FUSE_READ, node, &in, sizeof(in), buf, size,
			&got) == 0 && got == size;
	for (size_t i = 0; ok && i < size; i++)
		ok = buf[i] == fe_byte(offset + i);
	free(buf);
	return ok;
}

static void reads_of_any_size(void)
{
	struct fuse_read_in in = { .size = 4096 };
	size_t got = 1;
	uint64_t node;
	int error;

	node = begin_with("f", 3000000);
	CHECK(node);
	in.fh = fe_open(&fe, node, O_RDONLY, &error);
	CHECK(error == 0);
	CHECK(read_back(node, in.fh, 1, 0));
	CHECK(read_back(node, in.fh, 4097, 12345));
	CHECK(read_back(node, in.fh, 1 << 20, 777));
	in.offset = 3000000 - 10;
	CHECK(fe_request(&fe, FUSE_READ, node, &in, sizeof(in), NULL, 4096,
			 &got) == 0 && got == 10);
	in.offset = 4000000;
	CHECK(fe_request(&fe, FUSE_READ, node, &in, sizeof(in), NULL, 4096,
			 &got) == 0 && got == 0);
	in.offset = UINT64_MAX;
	CHECK(fe_request(&fe, FUSE_READ, node, &in, sizeof(in), NULL, 4096,
			 NULL) == -EINVAL);
	in.fh = 12345678;
	CHECK(fe_request(&fe, FUSE_READ, node, &in, sizeof(in), NULL, 4096,
			 NULL) == -EBADF);
	CHECK(fe_end(&fe) == 0);
}

static void writes_of_any_size(void)
{
	struct fuse_write_in in = { .size = 1 << 20, .offset = 100 };
	unsigned char *data = malloc(1 << 20), *back = malloc(1 << 20);
	uint32_t written;
	uint64_t node;
	int error, fd;

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_file(&fe, "f", 10));
	for (size_t i = 0; i < 1 << 20; i++)
		data[i] = fe_byte(i * 3);
	node = fe_lookup(&fe, "f", NULL);
	in.fh = fe_open(&fe, node, O_RDWR, &error);
	CHECK(error == 0);
	CHECK(write_request(node, &in, data, 1 << 20, &written) == 0);
	CHECK(written == 1 << 20);
	fd = open(fe_path(&fe, "f"), O_RDONLY);
	CHECK(pread(fd, back, 1 << 20, 100) == 1 << 20);
	CHECK(!memcmp(data, back, 1 << 20));
	close(fd);
	/* More announced than sent. */
	CHECK(write_request(node, &in, data, 4096, &written) == -EINVAL);
	in.size = 10;
	in.offset = UINT64_MAX - 3;
	CHECK(write_request(node, &in, data, 10, &written) == -EINVAL);
	in.fh++;
	in.offset = 0;
	CHECK(write_request(node, &in, data, 10, &written) == -EBADF);
	free(data);
	free(back);
	CHECK(fe_end(&fe) == 0);
}

/* Buffers outside the memory, like those in the window: EFAULT, no crash. */
static void buffers_outside_memory(void)
{
	struct fuse_in_header *header;
	struct fuse_out_header *reply;
	struct fuse_read_in *in;
	uint64_t node;
	int error;

	node = begin_with("f", 10000);
	CHECK(node);
	header = (void *)(fe.memory + (4 << 20));
	reply = (void *)(fe.memory + (5 << 20));
	in = (void *)(header + 1);
	*header = (struct fuse_in_header){ .len = 80, .opcode = FUSE_READ,
		.unique = 99, .nodeid = node };
	*in = (struct fuse_read_in){ .size = 4096,
		.fh = fe_open(&fe, node, O_RDONLY, &error) };
	fe_desc(&fe, 1, 0, fe_addr(&fe, header), 80, VRING_DESC_F_NEXT, 1);
	fe_desc(&fe, 1, 1, fe_addr(&fe, reply), 16,
		VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
	fe_desc(&fe, 1, 2, UINT64_C(0xff00000000), 4096, VRING_DESC_F_WRITE, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 16);
	CHECK(reply->error == -EFAULT && reply->unique == 99);
	/* The request itself is outside. */
	fe_desc(&fe, 1, 0, UINT64_C(0xff00000000), 80, VRING_DESC_F_NEXT, 1);
	fe_desc(&fe, 1, 1, fe_addr(&fe, reply), 16, VRING_DESC_F_WRITE, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 16 && reply->error == -EFAULT);
	/* Nowhere to answer to. */
	fe_desc(&fe, 1, 1, UINT64_MAX - 8, 16, VRING_DESC_F_WRITE, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 0);
	CHECK(fe_lookup(&fe, "f", NULL) == node);
	CHECK(fe_end(&fe) == 0);
}

static void malformed_requests(void)
{
	char body[300];

	CHECK(fe_begin(&fe, with_window));
	memset(body, 'x', sizeof(body));
	/* A name without end, structures that are cut short. */
	CHECK(fe_request(&fe, FUSE_LOOKUP, 1, body, 100, NULL, 128, NULL) ==
	      -EINVAL);
	CHECK(fe_request(&fe, FUSE_MKDIR, 1, body, 7, NULL, 128, NULL) ==
	      -EINVAL);
	CHECK(fe_request(&fe, FUSE_SETUPMAPPING, 1, body, 39, NULL, 0, NULL) ==
	      -EINVAL);
	CHECK(fe_request(&fe, FUSE_WRITE, 1, body, 39, NULL, 8, NULL) ==
	      -EINVAL);
	/* A value that is longer than the request. */
	((struct fuse_setxattr_in *)body)->size = 1 << 30;
	body[20] = 0;
	CHECK(fe_request(&fe, FUSE_SETXATTR, 1, body, 200, NULL, 0, NULL) ==
	      -EINVAL);
	CHECK(fe_request(&fe, 4096, 1, body, 200, NULL, 0, NULL) == -ENOSYS);
	CHECK(fe_request(&fe, 0, 1, body, 200, NULL, 0, NULL) == -ENOSYS);
	CHECK(fe_request(&fe, FUSE_NOTIFY_REPLY, 1, body, 200, NULL, 0,
			 NULL) == -ENOSYS);
	/* No room for the answer of STATFS. */
	CHECK(fe_request(&fe, FUSE_STATFS, 1, NULL, 0, NULL, 8, NULL) ==
	      -ERANGE);
	CHECK(fe_request(&fe, FUSE_STATFS, 1, NULL, 0, NULL, 80, NULL) == 0);
	CHECK(fe_end(&fe) == 0);
}

static void broken_rings(void)
{
	char *reply;

	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_file(&fe, "f", 1));
	reply = fe.memory + (5 << 20);
	/* A loop. */
	fe_desc(&fe, 1, 0, FE_GUEST_BASE + (4 << 20), 8, VRING_DESC_F_NEXT, 1);
	fe_desc(&fe, 1, 1, FE_GUEST_BASE + (4 << 20), 8, VRING_DESC_F_NEXT, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 0);
	/* A next that does not exist. */
	fe_desc(&fe, 1, 0, FE_GUEST_BASE + (4 << 20), 8, VRING_DESC_F_NEXT,
		60000);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 0);
	/* Indirect tables: of odd length, outside, in a table of its own. */
	fe_desc(&fe, 1, 0, FE_GUEST_BASE, 17, VRING_DESC_F_INDIRECT, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 0);
	fe_desc(&fe, 1, 0, 0, 32, VRING_DESC_F_INDIRECT, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 0);
	*(struct vring_desc *)reply = (struct vring_desc){
		fe_addr(&fe, reply), 16, VRING_DESC_F_INDIRECT, 0 };
	fe_desc(&fe, 1, 0, fe_addr(&fe, reply), 16, VRING_DESC_F_INDIRECT, 0);
	fe_submit(&fe, 1, 0);
	CHECK(fe_complete(&fe, 1) == 0);
	CHECK(fe_lookup(&fe, "f", NULL));
	/* A head that does not exist: the queue is left alone until a reset. */
	fe_submit(&fe, 1, 60000);
	usleep(50000);
	CHECK(fe_stop_queues(&fe));
	fe_start_queues(&fe, true);
	CHECK(fe_request(&fe, FUSE_STATFS, 1, NULL, 0, NULL, 80, NULL) == -EIO);
	CHECK(fe_end(&fe) == 0);
}

/* Random requests; whatever they say, the daemon answers the next good one. */
static void random_requests(void)
{
	struct fuse_init_out out;
	uint64_t node = begin_with("f", 100000);

	CHECK(node);
	srandom(12345);
	for (int i = 0; i < 20000; i++) {
		unsigned char body[256];
		size_t len = random() % sizeof(body);
		uint32_t opcode = random() % 56;

		/* A lock that waits, and names that leave the share's top. */
		if (opcode == FUSE_SETLKW || opcode == FUSE_INIT ||
		    opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
		    opcode == FUSE_INTERRUPT || opcode == FUSE_DESTROY)
			continue;
		for (size_t j = 0; j < len; j++)
			body[j] = random() % 4 ? 0 : random();
		CHECK(fe_request(&fe, opcode, i % 3 ? node : i % 4U, body, len,
				 NULL, random() % 300, NULL) != -1000);
	}
	CHECK(fe_init(&fe, &out) == 0 && fe_num_maps(&fe) == 0);
	CHECK(fe_end(&fe) == 0);
}

/* Random chains, in random order; at the end the queue is set up anew. */
static void random_chains(void)
{
	struct fuse_init_out out;

	CHECK(fe_begin(&fe, with_window));
	srandom(54321);
	for (int i = 0; i < 3000; i++) {
		for (unsigned int j = 0; j < 8; j++) {
			uint64_t addr = FE_GUEST_BASE + (8 << 20) +
					random() % (1 << 20);

			if (random() % 5 == 0)
				addr = (uint64_t)random() << 31 | random();
			fe_desc(&fe, 1, j, addr, random() % 4 ?
				random() % 300 : random(), random() % 8,
				random() % 10);
		}
		for (unsigned int j = 0; j < 4096; j++)
			fe.memory[(8 << 20) + random() % (1 << 20)] = random();
		fe_submit(&fe, 1, random() % 8);
		CHECK(fe_complete(&fe, 1) >= 0);
	}
	CHECK(fe_stop_queues(&fe));
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(fe_end(&fe) == 0);
}

static void bad_messages_end_service(void)
{
	struct vu_vring_state state = { 77, 0 };
	struct vu_header header = { VU_SET_FEATURES, VU_VERSION, 1 << 20 };

	CHECK(fe_begin(&fe, with_window));
	/* Refused, with the connection kept. */
	CHECK(fe_send(&fe, VU_SET_VRING_NUM, &state, sizeof(state), -1,
		      true) == 1);
	CHECK(fe_send(&fe, VU_SET_VRING_NUM, &state, 3, -1, true) == 1);
	CHECK(fe_send(&fe, VU_SET_MEM_TABLE, &state, sizeof(state), -1,
		      true) == 1);
	CHECK(fe_send(&fe, VU_SET_VRING_KICK, &state, 8, -1, true) == 1);
	CHECK(fe_send(&fe, 200, &state, 8, -1, true) == 1);
	CHECK(fe_send(&fe, VU_ADD_MEM_REG, &state, 8, -1, true) == 1);
	/* A length that no message has. */
	CHECK(write(fe.conn, &header, sizeof(header)) == sizeof(header));
	CHECK(fe_gone(&fe) == 1);
}

static int run_daemon(const char *const *options)
{
	if (fe_spawn(&fe, options))
		kill(fe.child, SIGTERM);
	return fe_gone(&fe);
}

static void exit_codes(void)
{
	CHECK(run_daemon(with_window) == 0);
	CHECK(run_daemon((const char *[]){ "--help", NULL }) == 0);
	CHECK(run_daemon((const char *[]){ "--version", NULL }) == 0);
	CHECK(run_daemon((const char *[]){ "--nonsense", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--tag", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "rest", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--dax-window", "48M", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--dax-window", "8M", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--dax-window", "1Z", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--dax-budget", "481", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--window-socket", "/none/w",
			 NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--window-socket", "/none/w",
			 "--dax-window", "64M", "--dax-budget", "30001",
			 NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--window-socket", "/none/w",
			 "--dax-window", "64M", NULL }) == 1);
	CHECK(run_daemon((const char *[]){ "--num-queues", "0", NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--readonly", "--dax-window", "64M",
			 NULL }) == 2);
	CHECK(run_daemon((const char *[]){ "--shared-dir", "/none", NULL }) == 1);
	CHECK(run_daemon((const char *[]){ "--socket-path", "/none/s", NULL }) ==
	      1);
	CHECK(run_daemon((const char *[]){ "--log-file", "/none/l", NULL }) == 1);
}

static void socket_in_use(void)
{
	struct frontend other;

	CHECK(fe_spawn(&fe, with_window));
	memcpy(&other, &fe, sizeof(fe));
	fe_spawn(&other, with_window);
	CHECK(fe_wait(&other) == 1);
	/* The first one is not disturbed, and removes its socket. */
	CHECK(fe_connect(&fe) && fe_handshake(&fe));
	kill(fe.child, SIGTERM);
	CHECK(fe_wait(&fe) == 0);
	CHECK(access(fe_path(&fe, "../sock"), F_OK) && errno == ENOENT);
	/* A dead socket is replaced. */
	CHECK(fe_spawn(&fe, with_window));
	kill(fe.child, SIGKILL);
	fe_wait(&fe);
	CHECK(!access(fe_path(&fe, "../sock"), F_OK));
	CHECK(fe_spawn(&fe, with_window) && fe_connect(&fe));
	CHECK(fe_end(&fe) == 0);
}

/*
 * Killed while it waits for its own private mount: nothing may be left behind
 * that cannot be killed.
 */
static void killed_at_any_time(void)
{
	for (int i = 0; i < 40; i++) {
		/* The socket comes when all that is over. */
		fe_fork(&fe, with_window);
		usleep(i * 500);
		kill(fe.child, SIGKILL);
		CHECK(fe_wait(&fe) == -SIGKILL);
		unlink(fe_path(&fe, "../sock"));
	}
	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_end(&fe) == 0);
}

static long stat_value(const char *path, const char *name)
{
	char key[64];
	long value, found = -1;
	FILE *file = fopen(path, "r");

	while (file && fscanf(file, "%63s %ld", key, &value) == 2)
		if (!strcmp(key, name))
			found = value;
	if (file)
		fclose(file);
	return found;
}

static void statistics_file(void)
{
	char path[] = "/tmp/daxd-stats.XXXXXX";
	const char *options[] = { "--dax-window", "64M", "--stats-file", path,
				  NULL };
	uint64_t node;

	close(mkstemp(path));
	CHECK(fe_begin(&fe, options));
	node = fe_make(&fe, "f", 100);
	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 1, false) == -EINVAL);
	kill(fe.child, SIGUSR1);
	for (int i = 0; i < 200 && stat_value(path, "req_init") < 0; i++)
		usleep(10000);
	CHECK(stat_value(path, "req_setupmapping") == 2);
	CHECK(stat_value(path, "dax_live") == 1);
	CHECK(stat_value(path, "dax_errors") == 1);
	CHECK(stat_value(path, "regions_made") == 1);
	CHECK(stat_value(path, "regions_removed") == -1);
	CHECK(stat_value(path, "dax_window") == 64 << 20);
	CHECK(stat_value(path, "dax_bytes") == RANGE);
	CHECK(stat_value(path, "seconds") >= 0);
	CHECK(stat_value(path, "req_read") == -1);
	CHECK(fe_remove(&fe, 0, RANGE) == 0);
	CHECK(fe_end(&fe) == 0);
	CHECK(stat_value(path, "dax_live") == -1);
	CHECK(stat_value(path, "dax_bytes") == -1);
	CHECK(stat_value(path, "dax_peak") == 1);
	CHECK(stat_value(path, "regions_made") == 1);
	CHECK(stat_value(path, "regions_removed") == 1);
	unlink(path);
}

/* What goes by request, and how long that takes */
static void bytes_and_times_are_counted(void)
{
	char path[] = "/tmp/daxd-stats.XXXXXX", data[5000] = { 1 };
	const char *options[] = { "--stats-file", path, NULL };
	struct fuse_write_in write = { .size = 3000 };
	struct fuse_read_in read = { .size = sizeof(data) };
	uint64_t node;
	uint32_t written;
	int err;

	close(mkstemp(path));
	CHECK(fe_begin(&fe, options));
	node = fe_make(&fe, "f", 100);
	write.fh = fe_open(&fe, node, O_RDWR, &err);
	CHECK(node && !err);
	read.fh = write.fh;
	CHECK(fe_write(&fe, node, &write, data, 3000, &written) == 0);
	CHECK(written == 3000);
	for (int i = 0; i < 2; i++)
		CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read),
				 data, sizeof(data), NULL) == 0);
	CHECK(fe_end(&fe) == 0);
	CHECK(stat_value(path, "bytes_write") == 3000);
	CHECK(stat_value(path, "bytes_read") == 6000);
	CHECK(stat_value(path, "bytes_open") == -1);
	CHECK(stat_value(path, "us_write") > 0);
	CHECK(stat_value(path, "us_mkdir") == -1);
	CHECK(stat_value(path, "dax_window") == -1);
	unlink(path);
}

static void readonly_share(void)
{
	static const char *const options[] = {
		"--readonly", "--dax-window", "64M", "--dax-readonly-window",
		NULL
	};
	uint64_t node;

	CHECK(fe_begin(&fe, options));
	node = fe_make(&fe, "f", 10000);
	CHECK(node);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == -EROFS);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_shows(&fe, 0, 0, 10000));
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(init_offers_dax),
	TEST(no_window_no_dax),
	TEST(front_end_is_told),
	TEST(attributes_carry_dax),
	TEST(readdirplus_carries_dax),
	TEST(maps_of_any_size),
	TEST(empty_file_stays_empty),
	TEST(growth_shows_under_a_map),
	TEST(stores_reach_the_file),
	TEST(write_access_later),
	TEST(holes_are_filled),
	TEST(later_holes_are_filled),
	TEST(on_tmpfs),
	TEST(busy_program_is_copied),
	TEST(overlaps_replace),
	TEST(bad_setups_are_refused),
	TEST(remove_counts_are_checked),
	TEST(budget_is_kept),
	TEST(refusals_reach_the_guest),
	TEST(session_begins_anew),
	TEST(old_guests_are_refused),
	TEST(stop_and_cont_keep_maps),
	TEST(reset_forgets_maps),
	TEST(stop_during_a_map),
	TEST(reset_during_a_map),
	TEST(stop_during_a_read_after_destroy),
	TEST(stop_during_a_read_after_reset),
	TEST(disconnect_during_a_map),
	TEST(own_maps_are_no_memory),
	TEST(reads_of_any_size),
	TEST(writes_of_any_size),
	TEST(buffers_outside_memory),
	TEST(malformed_requests),
	TEST(broken_rings),
	TEST(random_requests),
	TEST(random_chains),
	TEST(bad_messages_end_service),
	TEST(exit_codes),
	TEST(socket_in_use),
	TEST(killed_at_any_time),
	TEST(statistics_file),
	TEST(bytes_and_times_are_counted),
	TEST(readonly_share),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
