// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --announce-submounts: the guest is told which directories are mounts of the host, so
 * that what has one number in two of them is not one file.
 */
#include "submount.h"

static struct frontend fe;

static bool init(uint64_t flags, uint32_t *got)
{
	struct fuse_init_out out;
	int err = fe_init_flags(&fe, flags, &out);

	*got = out.flags;
	return !err;
}

static uint32_t attr_flags(const char *name)
{
	struct fuse_entry_out out;

	return fe_lookup(&fe, name, &out) ? out.attr.flags : UINT32_MAX;
}

/* Of an entry of the root, by READDIRPLUS; UINT32_MAX if it is not there. */
static uint32_t listed_flags(const char *name)
{
	static char buf[8192];
	struct fuse_open_out handle;
	struct fuse_read_in in = { .size = sizeof(buf) };
	struct fuse_open_in open = { 0 };
	size_t len;

	if (fe_request(&fe, FUSE_OPENDIR, FUSE_ROOT_ID, &open, sizeof(open),
		       &handle, sizeof(handle), NULL))
		return UINT32_MAX;
	in.fh = handle.fh;
	if (fe_request(&fe, FUSE_READDIRPLUS, FUSE_ROOT_ID, &in, sizeof(in), buf,
		       sizeof(buf), &len))
		return UINT32_MAX;
	for (char *p = buf; p + FUSE_NAME_OFFSET_DIRENTPLUS <= buf + len;) {
		const struct fuse_direntplus *d = (void *)p;

		if (d->dirent.namelen == strlen(name) &&
		    !memcmp(d->dirent.name, name, d->dirent.namelen))
			return d->entry_out.attr.flags;
		p += FUSE_DIRENTPLUS_SIZE(d);
	}
	return UINT32_MAX;
}

static bool make_plain(void)
{
	struct {
		struct fuse_mkdir_in in;
		char name[6];
	} req = { .in.mode = 0755, .name = "plain" };

	return !fe_request(&fe, FUSE_MKDIR, FUSE_ROOT_ID, &req,
			   sizeof(req.in) + sizeof(req.name), NULL,
			   sizeof(struct fuse_entry_out), NULL);
}

static bool mounts_are_announced(void)
{
	uint32_t flags;

	CHECK_OR(init(FUSE_SUBMOUNTS, &flags) && (flags & FUSE_SUBMOUNTS), false);
	CHECK_OR(make_plain(), false);
	CHECK_OR(attr_flags("sub") == FUSE_ATTR_SUBMOUNT, false);
	CHECK_OR(attr_flags("other") == FUSE_ATTR_SUBMOUNT, false);
	CHECK_OR(attr_flags("plain") == 0, false);
	CHECK_OR(listed_flags("sub") == FUSE_ATTR_SUBMOUNT, false);
	CHECK_OR(listed_flags("plain") == 0, false);
	return !fe_request(&fe, FUSE_RMDIR, FUSE_ROOT_ID, "plain", 6, NULL, 0,
			   NULL);
}

static bool nothing_is_announced(void)
{
	uint32_t flags;

	CHECK_OR(init(FUSE_SUBMOUNTS, &flags) && !(flags & FUSE_SUBMOUNTS), false);
	return attr_flags("sub") == 0 && listed_flags("sub") == 0;
}

/* A driver that does not know of it takes an entry with the flag for another one. */
static bool nor_to_who_cannot_tell(void)
{
	uint32_t flags;

	CHECK_OR(init(0, &flags) && !(flags & FUSE_SUBMOUNTS), false);
	CHECK_OR(attr_flags("sub") == 0 && listed_flags("sub") == 0, false);
	CHECK_OR(init(FUSE_SUBMOUNTS, &flags), false);
	CHECK_OR(attr_flags("sub") == FUSE_ATTR_SUBMOUNT, false);
	CHECK_OR(init(0, &flags), false);
	return attr_flags("sub") == 0;
}

static void announced(void)
{
	CHECK(submount_run(&fe, "--announce-submounts", "ramfs",
			   mounts_are_announced));
	CHECK(submount_run(&fe, "--readonly", "ramfs", nor_to_who_cannot_tell));
}

static void announced_if_not_told_otherwise(void)
{
	CHECK(submount_run(&fe, "--no-remote-locks", "ramfs",
			   mounts_are_announced));
}

static void not_announced(void)
{
	CHECK(submount_run(&fe, "--no-announce-submounts", "ramfs",
			   nothing_is_announced));
}

static const struct fs_test tests[] = {
	TEST(announced),
	TEST(announced_if_not_told_otherwise),
	TEST(not_announced),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
