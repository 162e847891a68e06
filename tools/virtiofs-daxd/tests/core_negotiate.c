// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Options of virtiofsd that decide what the guest's driver is offered, and how its files
 * are opened here.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fe_main.h"

static struct frontend fe;

#define OPTIONS(...) ((const char *[]){ __VA_ARGS__, NULL })

/* What a guest that knows all is told by a daemon with such options; 0 on failure. */
static uint64_t told(const char *const *options)
{
	const uint64_t all = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
			     FUSE_WRITEBACK_CACHE | FUSE_HANDLE_KILLPRIV_V2 |
			     FUSE_CACHE_SYMLINKS | FUSE_DIRECT_IO_ALLOW_MMAP;
	struct fuse_init_out out = { 0 };

	if (fe.dir[0])
		fe_end(&fe);
	if (!fe_begin(&fe, options) ||
	    fe_init_flags(&fe, all | FUSE_INIT_EXT, &out))
		return 0;
	return (out.flags | (uint64_t)out.flags2 << 32) & all;
}

/* The flags of the daemon's one descriptor of a file with that name, or -1. */
static int host_flags(const char *name)
{
	char dir[64], path[360], target[256];
	unsigned int flags = 0;
	int found = -1;
	struct dirent *entry;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", fe.child);
	fds = opendir(dir);
	while (fds && (entry = readdir(fds))) {
		const char *last;
		FILE *info;
		ssize_t len;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[len > 0 ? len : 0] = 0;
		last = strrchr(target, '/');
		if (!last || strcmp(last + 1, name))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", fe.child,
			 entry->d_name);
		info = fopen(path, "re");
		if (info && fscanf(info, "pos: %*d flags: %o", &flags) == 1 &&
		    !(flags & O_PATH))
			found = (int)flags;
		if (info)
			fclose(info);
	}
	if (fds)
		closedir(fds);
	return found;
}

/* Makes and opens a file of 4096 bytes. */
static uint64_t opened(uint64_t *node, uint32_t flags, uint32_t *how)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out = { 0 };

	*node = fe_make(&fe, "f", 4096);
	if (!*node || fe_request(&fe, FUSE_OPEN, *node, &in, sizeof(in), &out,
				 sizeof(out), NULL))
		return 0;
	if (how)
		*how = out.open_flags;
	return out.fh;
}

static int write_at(uint64_t node, uint64_t fh, uint64_t offset, size_t size,
		    uint32_t flags, uint32_t write_flags)
{
	static const char data[4096] = "new data";
	struct fuse_write_in in = {
		.fh = fh,
		.offset = offset,
		.size = size,
		.flags = flags,
		.write_flags = write_flags,
	};
	uint32_t written = 0;
	int err = fe_write(&fe, node, &in, data, size, &written);

	return err ?: written == size ? 0 : -EIO;
}

static int read_at(uint64_t node, uint64_t fh, size_t size, uint32_t flags)
{
	struct fuse_read_in in = { .fh = fh, .size = size, .flags = flags };
	char data[4096];
	size_t got = 0;
	int err = fe_request(&fe, FUSE_READ, node, &in, sizeof(in), data, size,
			     &got);

	return err ?: got == size ? 0 : -EIO;
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(fe_path(&fe, name), &st) ? -1 : st.st_size;
}

static bool begins_with(const char *name, const char *text)
{
	char data[16] = "";
	int fd = open(fe_path(&fe, name), O_RDONLY);
	ssize_t len = read(fd, data, strlen(text));

	close(fd);
	return len == (ssize_t)strlen(text) && !strcmp(data, text);
}

/* ---- --cache metadata, --allow-mmap, --no-readdirplus ---- */

static void cache_metadata(void)
{
	struct fuse_open_in in = { 0 };
	struct fuse_open_out out = { 0 };
	struct fuse_entry_out entry = { 0 };
	uint32_t how = 0;
	uint64_t node;

	CHECK(told(OPTIONS("--cache", "metadata")) & FUSE_CACHE_SYMLINKS);
	CHECK(opened(&node, O_RDONLY, &how));
	CHECK(how & FOPEN_DIRECT_IO);
	CHECK(fe_lookup(&fe, "f", &entry) && entry.entry_valid == 86400 &&
	      entry.attr_valid == 86400);
	/* That a name is not there is known, too. */
	CHECK(!fe_request(&fe, FUSE_LOOKUP, FUSE_ROOT_ID, "no", 3, &entry,
			  sizeof(entry), NULL));
	CHECK(!entry.nodeid && entry.entry_valid == 86400);
	CHECK(!fe_request(&fe, FUSE_OPENDIR, FUSE_ROOT_ID, &in, sizeof(in),
			  &out, sizeof(out), NULL));
	CHECK(out.open_flags == (FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE));
	CHECK(fe_end(&fe) == 0);
}

static void allow_mmap(void)
{
	CHECK(!(told(OPTIONS("--cache", "never")) & FUSE_DIRECT_IO_ALLOW_MMAP));
	CHECK(!(told(OPTIONS("--cache", "metadata")) &
		FUSE_DIRECT_IO_ALLOW_MMAP));
	CHECK(told(OPTIONS("--cache", "never", "--allow-mmap")) &
	      FUSE_DIRECT_IO_ALLOW_MMAP);
	/* What is in the window can be mapped, so the rest can. */
	CHECK(told(OPTIONS("--cache", "never", "--dax-window", "64M")) &
	      FUSE_DIRECT_IO_ALLOW_MMAP);
	CHECK(fe_end(&fe) == 0);
}

static void no_readdirplus(void)
{
	const uint64_t plus = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;

	CHECK((told(NULL) & plus) == plus);
	CHECK(!(told(OPTIONS("--no-readdirplus")) & plus));
	CHECK(!(told(OPTIONS("--cache", "never")) & plus));
	CHECK(fe_end(&fe) == 0);
}

static void killpriv_v2(void)
{
	CHECK(!(told(NULL) & FUSE_HANDLE_KILLPRIV_V2));
	CHECK(told(OPTIONS("--killpriv-v2")) & FUSE_HANDLE_KILLPRIV_V2);
	CHECK(!(told(OPTIONS("--killpriv-v2", "--no-killpriv-v2")) &
		FUSE_HANDLE_KILLPRIV_V2));
	/* What is stored there is not seen here. */
	CHECK(!(told(OPTIONS("--killpriv-v2", "--dax-window", "64M")) &
		FUSE_HANDLE_KILLPRIV_V2));
	CHECK(fe_end(&fe) == 0);
}

/* ---- --preserve-noatime, --allow-direct-io ---- */

static void preserve_noatime(void)
{
	uint64_t node;

	CHECK(fe_begin(&fe, NULL) && opened(&node, O_NOATIME, NULL));
	CHECK(host_flags("f") >= 0 && !(host_flags("f") & O_NOATIME));
	CHECK(fe_end(&fe) == 0);
	CHECK(fe_begin(&fe, OPTIONS("--preserve-noatime")));
	CHECK(opened(&node, O_NOATIME, NULL));
	CHECK(host_flags("f") >= 0 && host_flags("f") & O_NOATIME);
	CHECK(fe_end(&fe) == 0);
}

/* Without: whatever the guest asks for, any piece of a file can be had. */
static bool direct_is_stripped(void)
{
	uint64_t node, fh;

	CHECK_OR(fe_begin(&fe, NULL), false);
	fh = opened(&node, O_RDWR | O_DIRECT, NULL);
	CHECK_OR(host_flags("f") >= 0 && !(host_flags("f") & O_DIRECT), false);
	CHECK_OR(!write_at(node, fh, 1, 5, O_RDWR | O_DIRECT, 0) &&
		 !read_at(node, fh, 5, O_RDWR | O_DIRECT), false);
	CHECK_OR(fe_end(&fe) == 0, false);
	return true;
}

/* With: whole sectors for who asks so, and any piece for others. */
static bool direct_is_kept(void)
{
	uint64_t node, fh;

	CHECK_OR(fe_begin(&fe, OPTIONS("--allow-direct-io")), false);
	fh = opened(&node, O_RDWR | O_DIRECT, NULL);
	CHECK_OR(host_flags("f") & O_DIRECT, false);
	CHECK_OR(write_at(node, fh, 1, 5, O_RDWR | O_DIRECT, 0) == -EINVAL &&
		 read_at(node, fh, 5, O_RDWR | O_DIRECT) == -EINVAL, false);
	/* From the cache of the guest, or since it has changed its mind. */
	CHECK_OR(!write_at(node, fh, 0, 8, O_RDWR | O_DIRECT,
			   FUSE_WRITE_CACHE) &&
		 begins_with("f", "new data"), false);
	CHECK_OR(!write_at(node, fh, 4096, 5, O_RDWR, 0) &&
		 size_of("f") == 4101, false);
	CHECK_OR(!read_at(node, fh, 5, O_RDWR), false);
	CHECK_OR(fe_end(&fe) == 0, false);
	return true;
}

/* The driver chooses the pieces of what is in the window, not the program. */
static bool direct_beside_a_window(void)
{
	uint64_t node, fh;

	CHECK_OR(fe_begin(&fe, OPTIONS("--allow-direct-io", "--dax-window",
				       "64M")), false);
	fh = opened(&node, O_RDWR | O_DIRECT, NULL);
	CHECK_OR(host_flags("f") & O_DIRECT, false);
	CHECK_OR(!write_at(node, fh, 1, 5, O_RDWR | O_DIRECT, 0) &&
		 !read_at(node, fh, 5, O_RDWR | O_DIRECT), false);
	CHECK_OR(fe_end(&fe) == 0, false);
	return true;
}

static bool direct_on_image(void)
{
	bool done = direct_is_stripped() && direct_is_kept() &&
		    direct_beside_a_window();

	fe_kill(&fe);
	return done;
}

static void allow_direct_io(void)
{
	if (!fe_can_make("ext4"))
		SKIP("needs mkfs.ext4");
	CHECK(fe_on_image("ext4", direct_on_image));
}

/* ---- --writeback ---- */

static bool begin_writeback(const char *option)
{
	struct fuse_init_out out = { 0 };

	return fe_begin(&fe, option ? OPTIONS(option) : NULL) &&
	       !fe_init_flags(&fe, FUSE_WRITEBACK_CACHE, &out) &&
	       !(out.flags & FUSE_WRITEBACK_CACHE) == !option;
}

/* A page that is written in part is read first. */
static void writeback_reads(void)
{
	uint64_t node, fh;

	CHECK(begin_writeback(NULL));
	fh = opened(&node, O_WRONLY, NULL);
	CHECK(read_at(node, fh, 10, O_WRONLY) == -EBADF);
	CHECK(fe_end(&fe) == 0);
	CHECK(begin_writeback("--writeback"));
	fh = opened(&node, O_WRONLY, NULL);
	CHECK(read_at(node, fh, 10, O_WRONLY) == 0);
	CHECK(fe_end(&fe) == 0);
	/* A guest that does not know of it writes at once. */
	CHECK(fe_begin(&fe, OPTIONS("--writeback")));
	fh = opened(&node, O_WRONLY, NULL);
	CHECK(read_at(node, fh, 10, O_WRONLY) == -EBADF);
	CHECK(fe_end(&fe) == 0);
}

/* What was appended in the guest's cache has its place there. */
static void writeback_appends(void)
{
	const uint32_t flags = O_WRONLY | O_APPEND;
	uint64_t node, fh;

	CHECK(begin_writeback("--writeback"));
	fh = opened(&node, flags, NULL);
	CHECK(write_at(node, fh, 0, 8, flags, FUSE_WRITE_CACHE) == 0);
	CHECK(size_of("f") == 4096 && begins_with("f", "new data"));
	/* So has what was not: the guest may have cached what is before it. */
	CHECK(write_at(node, fh, 8192, 512, flags, 0) == 0);
	CHECK(size_of("f") == 8704);
	CHECK(fe_end(&fe) == 0);
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

/* Told when it is opened, and not when nobody can be told any more. */
static bool append_only_opens(const char *option, int expect)
{
	uint64_t node;
	int error = 0;

	CHECK_OR(begin_writeback(option), false);
	node = fe_make(&fe, "f", 10);
	CHECK_OR(node && set_append_only("f", true), false);
	fe_open(&fe, node, O_WRONLY | O_APPEND, &error);
	CHECK_OR(set_append_only("f", false), false);
	CHECK_OR(error == expect, false);
	CHECK_OR(fe_end(&fe) == 0, false);
	return true;
}

static bool append_only_on_image(void)
{
	bool done = append_only_opens(NULL, 0) &&
		    append_only_opens("--writeback", -EPERM);

	fe_kill(&fe);
	return done;
}

static void writeback_and_append_only(void)
{
	if (!fe_can_make("ext4"))
		SKIP("needs mkfs.ext4");
	CHECK(fe_on_image("ext4", append_only_on_image));
}

static const struct fs_test tests[] = {
	TEST(cache_metadata),
	TEST(allow_mmap),
	TEST(no_readdirplus),
	TEST(killpriv_v2),
	TEST(preserve_noatime),
	TEST(allow_direct_io),
	TEST(writeback_reads),
	TEST(writeback_appends),
	TEST(writeback_and_append_only),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
