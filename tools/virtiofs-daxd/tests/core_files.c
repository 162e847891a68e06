// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the daemon makes of requests on files: bounds of lengths, which file a
 * request acts on, what was negotiated meanwhile, access times, and files that
 * cannot be written to everywhere.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fe_main.h"
#include "host/util.h"

#define RANGE (UINT64_C(2) << 20)
#define MAX_IO (1u << 20)

static struct frontend fe;

static const char *const with_window[] = {
	"--dax-window", "64M", "--log-level", "warn", NULL
};

/* More than INIT allows is refused, also where the memory is there. */
static void lengths_have_bounds(void)
{
	struct fuse_write_in write = { .size = MAX_IO + 1 };
	struct fuse_read_in read = { .size = MAX_IO + 1 };
	char *data = calloc(1, MAX_IO + 1);
	uint32_t written;
	struct stat st;
	uint64_t node;
	int error;

	CHECK(fe_begin(&fe, with_window));
	node = fe_make(&fe, "f", 2 * MAX_IO);
	CHECK(node);
	write.fh = read.fh = fe_open(&fe, node, O_RDWR, &error);
	CHECK(fe_write(&fe, node, &write, data, MAX_IO + 1, &written) ==
	      -EINVAL);
	CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read), NULL,
			 MAX_IO + 1, NULL) == -EINVAL);
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_size == 2 * MAX_IO);
	write.size = read.size = MAX_IO;
	CHECK(fe_write(&fe, node, &write, data, MAX_IO, &written) == 0);
	CHECK(written == MAX_IO);
	CHECK(fe_request(&fe, FUSE_READ, node, &read, sizeof(read), NULL,
			 MAX_IO, NULL) == 0);
	free(data);
	CHECK(fe_end(&fe) == 0);
}

/* Each entry may make the front-end work, so there are no more than a page. */
static void removals_have_a_bound(void)
{
	struct {
		uint32_t count;
		uint32_t padding;
		struct fuse_removemapping_one one[257];
	} __attribute__((packed)) req = { 0 };
	const size_t head = sizeof(struct fuse_removemapping_in);
	char body[sizeof(req)];

	for (unsigned int i = 0; i < 257; i++)
		req.one[i].len = 4096;
	CHECK(fe_begin(&fe, with_window));
	for (unsigned int count = 256; count <= 257; count++) {
		memcpy(body, &count, head);
		memcpy(body + head, req.one, count * sizeof(req.one[0]));
		CHECK(fe_request(&fe, FUSE_REMOVEMAPPING, 0, body, head +
				 count * sizeof(req.one[0]), NULL, 0, NULL) ==
		      (count > 256 ? -EINVAL : 0));
	}
	CHECK(fe_end(&fe) == 0);
}

static bool allocated(const char *name, off_t size, off_t bytes)
{
	struct stat st;

	return !stat(fe_path(&fe, name), &st) && st.st_size == size &&
	       st.st_blocks * 512 >= bytes;
}

static bool setup_is(uint64_t node, uint64_t offset, uint64_t len, bool write,
		     int result)
{
	return fe_setup(&fe, node, offset, len, offset, write) == result;
}

/* Bytes of the disk. */
static uint64_t taken(const char *name)
{
	struct stat st;

	return stat(fe_path(&fe, name), &st) ? UINT64_MAX :
					       st.st_blocks * UINT64_C(512);
}

/* A sparse file, of which one range is data. */
static bool make_sparse(const char *name, off_t size, off_t data)
{
	int fd = open(fe_path(&fe, name), O_RDWR | O_CREAT | O_TRUNC, 0644);
	char *buf = calloc(1, RANGE);
	bool ok = !ftruncate(fd, size) &&
		  pwrite(fd, buf, RANGE, data) == (ssize_t)RANGE && !fsync(fd);

	free(buf);
	close(fd);
	return ok;
}

/*
 * To let a guest store to much of a file with holes would take space for all of
 * it. It is told to ask for less, which takes no more than that.
 */
static void holes_are_filled_by_range(void)
{
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	CHECK(make_sparse("f", 16 * RANGE, 4 * RANGE));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(setup_is(node, 0, 16 * RANGE, true, -E2BIG) &&
	      setup_is(node, 3 * RANGE, 2 * RANGE, true, -E2BIG) &&
	      setup_is(node, 4 * RANGE, RANGE + 1, true, -E2BIG));
	CHECK(taken("f") < 3 * RANGE / 2);
	CHECK(setup_is(node, 5 * RANGE, RANGE, true, 0));
	CHECK(taken("f") >= 2 * RANGE && taken("f") < 3 * RANGE);
	/* What has none, or is less than that up to its end, is mapped at once. */
	memset(fe.window + 5 * RANGE, 1, RANGE);
	CHECK(setup_is(node, 4 * RANGE, 2 * RANGE, true, 0));
	CHECK(setup_is(node, 15 * RANGE, 8 * RANGE, true, 0));
	CHECK(taken("f") < 4 * RANGE && allocated("f", 16 * RANGE, 3 * RANGE));
	CHECK(fe_end(&fe) == 0);
}

/* On a disk, to read holes takes none. */
static void holes_are_read_at_once(void)
{
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	CHECK(make_sparse("f", 16 * RANGE, 4 * RANGE));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(setup_is(node, 0, 16 * RANGE, false, 0));
	CHECK(fe_is_zero(&fe, 0, 4 * RANGE));
	CHECK(taken("f") < 2 * RANGE);
	/* There they do, if they are mapped as if to be written to. */
	CHECK(fe_end(&fe) == 0);
	fe_base = "/dev/shm";
	CHECK(fe_begin(&fe, with_window));
	CHECK(make_sparse("f", 16 * RANGE, 4 * RANGE));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(setup_is(node, 0, 16 * RANGE, false, -E2BIG) &&
	      setup_is(node, 0, RANGE, false, 0));
	CHECK(taken("f") < 3 * RANGE);
	CHECK(fe_end(&fe) == 0);
	fe_base = "/tmp";
}

/*
 * A file that is mapped is made longer, and holes in it, by its handle beside the
 * node of another one: what is mapped is filled all the same.
 */
static void holes_by_handle_are_filled(void)
{
	struct fuse_setattr_in attr = { .valid = FATTR_SIZE | FATTR_FH,
					.size = 300000 };
	struct fuse_fallocate_in punch = {
		.offset = 8192, .length = 65536,
		.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	struct fuse_copy_file_range_in copy = { .off_out = 600000, .len = 1 };
	struct fuse_write_out copied;
	struct fuse_attr_out out;
	uint64_t mapped, other;
	int error;

	CHECK(fe_begin(&fe, with_window));
	mapped = fe_make(&fe, "mapped", 100);
	other = fe_make(&fe, "other", 100);
	CHECK(mapped && other);
	attr.fh = fe_open(&fe, mapped, O_RDWR, &error);
	CHECK(error == 0);
	punch.fh = copy.fh_out = copy.fh_in = attr.fh;
	copy.nodeid_out = other;
	CHECK(fe_setup(&fe, mapped, 0, RANGE, 0, true) == 0);
	CHECK(fe_request(&fe, FUSE_SETATTR, other, &attr, sizeof(attr), &out,
			 sizeof(out), NULL) == 0);
	CHECK(allocated("mapped", 300000, 300000));
	CHECK(fe_request(&fe, FUSE_FALLOCATE, other, &punch, sizeof(punch),
			 NULL, 0, NULL) == 0);
	CHECK(allocated("mapped", 300000, 300000));
	CHECK(fe_request(&fe, FUSE_COPY_FILE_RANGE, mapped, &copy, sizeof(copy),
			 &copied, sizeof(copied), NULL) == 0);
	CHECK(copied.size == 1 && allocated("mapped", 600001, 600001));
	/* A handle that is none does not mean the node. */
	attr.fh++;
	attr.size = 1;
	CHECK(fe_request(&fe, FUSE_SETATTR, other, &attr, sizeof(attr), &out,
			 sizeof(out), NULL) == -EBADF);
	CHECK(allocated("other", 100, 0));
	CHECK(fe_end(&fe) == 0);
}

static void init_begin(uint32_t flags)
{
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.flags = flags | FUSE_INIT_EXT | FUSE_MAX_PAGES,
	};

	fe_request_begin(&fe, FUSE_INIT, 0, &in, sizeof(in),
			 sizeof(struct fuse_init_out));
}

/*
 * A SETXATTR arrives while INIT, which waits for the front-end, changes how it
 * looks. In its short form it sets user.short; by the long form it names
 * user.long, with a value of which eleven bytes are not there.
 */
static void setxattr_is_checked_as_parsed(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--posix-acl", NULL
	};
	char body[8 + 8 + 10 + 89] = "", value[100];
	uint64_t node;

	CHECK(fe_begin(&fe, options) && fe_file(&fe, "f", 10));
	init_begin(0);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == 0);
	node = fe_lookup(&fe, "f", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);

	memcpy(body, &(uint32_t){ 100 }, 4);
	strcpy(body + 8, "user.s");
	memcpy(body + 16, "user.long", 10);
	fe.hold = true;
	init_begin(FUSE_POSIX_ACL | FUSE_SETXATTR_EXT);
	CHECK(fe_wait_held(&fe, true));
	fe_request_begin(&fe, FUSE_SETXATTR, FUSE_ROOT_ID, body, sizeof(body),
			 0);
	/* Time enough to be checked, if it is checked too early. */
	usleep(200000);
	fe_release_held(&fe);
	CHECK(fe_complete(&fe, 1) > 0);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == -EINVAL);
	CHECK(getxattr(fe.share, "user.long", value, sizeof(value)) < 0);
	CHECK(getxattr(fe.share, "user.s", value, sizeof(value)) < 0);
	CHECK(fe_end(&fe) == 0);
}

static const struct timespec long_ago[] = { { 1000000000, 0 },
					    { 1000000000, 0 } };

static bool set_long_ago(const char *name)
{
	return !utimensat(AT_FDCWD, fe_path(&fe, name), long_ago,
			  AT_SYMLINK_NOFOLLOW);
}

static bool accessed(const char *name)
{
	struct stat st;

	return lstat(fe_path(&fe, name), &st) ||
	       st.st_atim.tv_sec != long_ago[0].tv_sec;
}

/* Errors of READ, READDIR and READLINK together. */
static int read_all(uint64_t file, uint64_t link)
{
	struct fuse_open_in open_in = { 0 };
	struct fuse_open_out opened = { 0 };
	struct fuse_read_in in = { .size = 4096 };
	char buf[4096];
	int err;

	in.fh = fe_open(&fe, file, O_RDONLY, &err);
	err = err ?: fe_request(&fe, FUSE_READ, file, &in, sizeof(in), buf,
				sizeof(buf), NULL);
	err = err ?: fe_request(&fe, FUSE_OPENDIR, FUSE_ROOT_ID, &open_in,
				sizeof(open_in), &opened, sizeof(opened), NULL);
	in.fh = opened.fh;
	err = err ?: fe_request(&fe, FUSE_READDIR, FUSE_ROOT_ID, &in,
				sizeof(in), buf, sizeof(buf), NULL);
	return err ?: fe_request(&fe, FUSE_READLINK, link, NULL, 0, buf,
				 sizeof(buf), NULL);
}

/* Reads a share by all means. */
static void read_readonly(const char *sandbox)
{
	const char *options[] = { "--readonly", "--dax-window", "64M",
				  "--dax-readonly-window", "--sandbox", sandbox,
				  NULL };
	uint64_t file, link;

	CHECK(fe_begin(&fe, options) && fe_file(&fe, "f", 10000));
	CHECK(!symlink("target", fe_path(&fe, "link")));
	file = fe_lookup(&fe, "f", NULL);
	link = fe_lookup(&fe, "link", NULL);
	CHECK(set_long_ago("f") && set_long_ago("link") && set_long_ago("."));
	CHECK(read_all(file, link) == 0);
	CHECK(fe_setup(&fe, file, 0, RANGE, 0, false) == 0);
	CHECK((unsigned char)fe.window[9999] == fe_byte(9999));
	CHECK(!accessed("f") && !accessed("."));
	/* Where there is no mount to say so, a link cannot be spared. */
	CHECK(!accessed("link") || strcmp(sandbox, "namespace"));
	CHECK(fe_end(&fe) == 0);
}

/* To be read is no change of a share of which nothing may be changed. */
static void reads_leave_readonly_times(void)
{
	read_readonly("namespace");
	if (!tap_failed)
		read_readonly("chroot");
	if (!tap_failed)
		read_readonly("none");
}

static bool set_append_only(const char *name, bool on)
{
	int fd = open(fe_path(&fe, name), O_RDONLY), flags = 0;
	bool ok;

	ok = !ioctl(fd, FS_IOC_GETFLAGS, &flags);
	flags = on ? flags | FS_APPEND_FL : flags & ~FS_APPEND_FL;
	ok = ok && !ioctl(fd, FS_IOC_SETFLAGS, &flags);
	close(fd);
	return ok;
}

static bool window_is_file(const char *name, size_t size)
{
	char *data = malloc(size + 1);
	int fd = open(fe_path(&fe, name), O_RDONLY);
	bool same;

	same = read(fd, data, size + 1) == (ssize_t)size &&
	       !memcmp(data, fe.window, size);
	close(fd);
	free(data);
	return same;
}

/* One byte; returns the error. */
static int write_byte(uint64_t node, uint64_t fh, uint64_t offset,
		      uint32_t flags)
{
	struct fuse_write_in in = {
		.fh = fh, .size = 1, .offset = offset, .flags = flags,
	};
	uint32_t written;

	return fe_write(&fe, node, &in, "x", 1, &written);
}

/* A file that may only grow, in which offset 8191 is the last. */
static void append_to(uint64_t node)
{
	struct fuse_setattr_in cut = { .valid = FATTR_SIZE, .size = 1 };
	uint64_t fh;
	int err;

	fe_open(&fe, node, O_WRONLY, &err);
	CHECK(err == -EPERM);
	fe_open(&fe, node, O_WRONLY | O_APPEND | O_TRUNC, &err);
	CHECK(err == -EPERM);
	fh = fe_open(&fe, node, O_WRONLY | O_APPEND, &err);
	CHECK(err == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == -EPERM);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(window_is_file("log", 8192) && !fe.window[8192]);
	CHECK(write_byte(node, fh, 8192, O_APPEND) == 0);
	CHECK(window_is_file("log", 8193));
	/* A guest that is wrong about the end, and one that means another place */
	CHECK(write_byte(node, fh, 10, O_APPEND) == 0);
	CHECK(write_byte(node, fh, 10, 0) == -EPERM);
	CHECK(write_byte(node, fh, 8194, 0) == -EPERM);
	CHECK(window_is_file("log", 8194));
	CHECK(fe_request(&fe, FUSE_SETATTR, node, &cut, sizeof(cut), NULL,
			 sizeof(struct fuse_attr_out), NULL) == -EPERM);
	/* The VMM lets the guest store to it, but not to the file. */
	fe.window[0] ^= 1;
	CHECK(!window_is_file("log", 8194));
	fe.window[0] ^= 1;
	CHECK(window_is_file("log", 8194));
	/* Once it may change elsewhere, it does so through that handle, too. */
	CHECK(set_append_only("log", false));
	CHECK(write_byte(node, fh, 10, 0) == 0);
	CHECK(window_is_file("log", 8194) && fe.window[10] == 'x');
}

static void append_only_files_grow(void)
{
	CHECK(fe_begin(&fe, with_window));
	CHECK(fe_file(&fe, "log", 8192));
	if (!set_append_only("log", true)) {
		fe_end(&fe);
		SKIP("no append-only files here");
	}
	append_to(fe_lookup(&fe, "log", NULL));
	set_append_only("log", false);
	CHECK(!tap_failed);
	CHECK(fe_end(&fe) == 0);
}

/* Makes a file of so many bytes, or 0 for what it has, that is executed for 1 s. */
static bool execute(const char *name, off_t size)
{
	const char *path = fe_path(&fe, name);
	char command[300];

	snprintf(command, sizeof(command), "cp /bin/sleep %s", path);
	if (system(command) || (size && truncate(path, size)))
		return false;
	snprintf(command, sizeof(command), "%s 1 & sleep 0.3", path);
	return !system(command);
}

/* As fe_open(), by the name of a file that is there, which is emptied. */
static int create_anew(const char *name)
{
	struct {
		struct fuse_create_in in;
		char name[16];
	} req = { .in.flags = O_WRONLY | O_CREAT | O_TRUNC };

	strncpy(req.name, name, sizeof(req.name) - 1);
	return fe_request(&fe, FUSE_CREATE, FUSE_ROOT_ID, &req, sizeof(req.in) +
			  strlen(name) + 1, NULL, sizeof(struct fuse_entry_out) +
			  sizeof(struct fuse_open_out), NULL);
}

/* What was copied because it was being executed may be written to afterwards. */
static void copies_follow_writes(void)
{
	uint64_t node, fh;
	struct stat st;
	int err;

	CHECK(fe_begin(&fe, with_window));
	CHECK(execute("prog", 0) && !stat(fe_path(&fe, "prog"), &st));
	node = fe_lookup(&fe, "prog", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, true) == -ETXTBSY);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(window_is_file("prog", st.st_size));
	sleep(1);
	fh = fe_open(&fe, node, O_RDWR, &err);
	CHECK(err == 0);
	CHECK(write_byte(node, fh, 5000, 0) == 0 && fe.window[5000] == 'x');
	/* Also where it is not mapped meanwhile. */
	CHECK(fe_remove(&fe, 0, 8192) == 0);
	CHECK(write_byte(node, fh, 5001, 0) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(write_byte(node, fh, st.st_size, 0) == 0);
	CHECK(window_is_file("prog", st.st_size + 1));
	/* What was cut off does not come back, however it was. */
	CHECK(fe_set_size(&fe, node, 5001) == 0 && fe_set_size(&fe, node, 6000) == 0);
	CHECK(window_is_file("prog", 6000));
	fe_open(&fe, node, O_WRONLY | O_TRUNC, &err);
	CHECK(err == 0 && fe_set_size(&fe, node, 6000) == 0);
	CHECK(window_is_file("prog", 6000));
	CHECK(write_byte(node, fh, 100, 0) == 0 && fe.window[100] == 'x');
	CHECK(create_anew("prog") == 0 && fe_set_size(&fe, node, 6000) == 0);
	CHECK(window_is_file("prog", 6000));
	CHECK(fe_end(&fe) == 0);
}

/*
 * A part of what was copied is written to, by the guest's stores, and is not in the
 * window for a while. What else is there is of the copy, which knows nothing of it.
 */
static void copies_do_not_come_back(void)
{
	uint64_t node;

	CHECK(fe_begin(&fe, with_window));
	CHECK(execute("prog", 2 * RANGE));
	node = fe_lookup(&fe, "prog", NULL);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == 0);
	CHECK(fe_setup(&fe, node, RANGE, RANGE, RANGE, false) == 0);
	CHECK(window_is_file("prog", 2 * RANGE));
	sleep(1);
	CHECK(fe_setup(&fe, node, RANGE, RANGE, RANGE, true) == 0);
	fe.window[RANGE] = 'x';
	CHECK(fe_remove(&fe, RANGE, RANGE) == 0);
	CHECK(fe_setup(&fe, node, RANGE, RANGE, RANGE, false) == 0);
	CHECK(fe.window[RANGE] == 'x' && window_is_file("prog", 2 * RANGE));
	CHECK(fe_end(&fe) == 0);
}

/* Files in the window leave descriptors for the VMM, and for whoever else asks. */
static void the_window_leaves_descriptors(void)
{
	const struct rlimit limit = { 128, 128 };
	uint64_t nodes[24];
	int err = 0;
	char name[8];

	CHECK(fe_begin(&fe, with_window));
	for (unsigned int i = 0; i < ARRAY_SIZE(nodes); i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK(fe_file(&fe, name, 4096));
		nodes[i] = fe_lookup(&fe, name, NULL);
	}
	CHECK(!prlimit(fe.child, RLIMIT_NOFILE, &limit, NULL));
	/* Opened files have their own bound, and are not all. */
	while (!err)
		fe_open(&fe, nodes[0], O_RDWR, &err);
	CHECK(err == -EMFILE && fe_descriptors(&fe) < limit.rlim_cur - 24);
	err = 0;
	for (unsigned int i = 0; !err && i < ARRAY_SIZE(nodes); i++)
		err = fe_setup(&fe, nodes[i], 0, 4096, i * RANGE, true);
	CHECK(err == -EMFILE);
	CHECK(fe_descriptors(&fe) < limit.rlim_cur - 8);
	CHECK(fe_end(&fe) == 0);
}

/* What cannot be opened for want of descriptors is as it was. */
static void what_cannot_be_opened_is_not_emptied(void)
{
	const struct rlimit limit = { 128, 128 };
	struct stat st;
	uint64_t node;
	int err = 0;

	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 4096));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(node && !prlimit(fe.child, RLIMIT_NOFILE, &limit, NULL));
	while (!err)
		fe_open(&fe, node, O_RDONLY, &err);
	CHECK(err == -EMFILE);
	fe_open(&fe, node, O_WRONLY | O_TRUNC, &err);
	CHECK(err == -EMFILE);
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_size == 4096);
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(lengths_have_bounds),
	TEST(removals_have_a_bound),
	TEST(holes_are_filled_by_range),
	TEST(holes_are_read_at_once),
	TEST(holes_by_handle_are_filled),
	TEST(setxattr_is_checked_as_parsed),
	TEST(reads_leave_readonly_times),
	TEST(append_only_files_grow),
	TEST(copies_follow_writes),
	TEST(copies_do_not_come_back),
	TEST(the_window_leaves_descriptors),
	TEST(what_cannot_be_opened_is_not_emptied),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
