// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --inode-file-handles: the files that the guest knows take no descriptors, and are
 * the same files as long as they exist.
 */
#include <sys/resource.h>

#include "submount.h"

#define RANGE (UINT64_C(2) << 20)
#define MANY 600
#define LIMIT 400
#define NOBODY 65534

static struct frontend fe;

static const char *const never[] = { "--log-level", "warn", NULL };
static const char *const prefer[] = {
	"--inode-file-handles=prefer", "--log-level", "warn", NULL
};
static const char *const mandatory[] = {
	"--inode-file-handles=mandatory", "--dax-window", "64M",
	"--log-level", "warn", NULL
};

static const char *file_name(unsigned int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "f%u", i);
	return name;
}

/* How many of MANY files the guest gets to know, with few descriptors to be had. */
static unsigned int count_known(const char *const *options)
{
	const struct rlimit limit = { LIMIT, LIMIT };
	unsigned int known = 0;

	CHECK_OR(fe_begin(&fe, options), 0);
	for (unsigned int i = 0; i < MANY; i++)
		CHECK_OR(fe_file(&fe, file_name(i), 1), 0);
	CHECK_OR(!prlimit(fe.child, RLIMIT_NOFILE, &limit, NULL), 0);
	while (known < MANY && fe_lookup(&fe, file_name(known), NULL))
		known++;
	printf("# %u files known, %u descriptors\n", known,
	       fe_descriptors(&fe));
	return known;
}

static void files_take_no_descriptors(void)
{
	static const char *const sandboxes[] = { "namespace", "chroot", "none" };

	CHECK(count_known(never) < LIMIT && fe_end(&fe) == 0);
	for (unsigned int i = 0; i < 3; i++) {
		const char *const options[] = {
			prefer[0], "--sandbox", sandboxes[i], NULL
		};

		CHECK(count_known(options) == MANY);
		CHECK(fe_descriptors(&fe) < 100);
		CHECK(fe_end(&fe) == 0);
	}
}

static int get_attr(uint64_t node, struct fuse_attr_out *out)
{
	struct fuse_getattr_in in = { 0 };

	return fe_request(&fe, FUSE_GETATTR, node, &in, sizeof(in), out,
			  sizeof(*out), NULL);
}

static ino_t number_of(const char *name)
{
	struct stat st;

	return lstat(fe_path(&fe, name), &st) ? 0 : st.st_ino;
}

/* Removes a file and makes others until one of them has its number. */
static bool replace(const char *name, ino_t number)
{
	char other[16], path[128];

	strcpy(path, fe_path(&fe, name));
	if (unlink(path))
		return false;
	sync();
	for (unsigned int i = 0; i < 200; i++) {
		snprintf(other, sizeof(other), "other%u", i);
		if (!fe_file(&fe, other, 2))
			return false;
		if (number_of(other) == number)
			return !rename(fe_path(&fe, other), path);
	}
	return false;
}

static bool number_used_again(void)
{
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;
	uint64_t old, new;
	ino_t number;

	old = fe_make(&fe, "f", 1);
	number = number_of("f");
	CHECK_OR(old && replace("f", number), false);
	CHECK_OR(get_attr(old, &attr) == -ESTALE, false);
	new = fe_lookup(&fe, "f", &entry);
	CHECK_OR(new && new != old && entry.attr.ino == number, false);
	CHECK_OR(!get_attr(new, &attr) && attr.attr.size == 2, false);
	/* It has not become the old one by that. */
	CHECK_OR(get_attr(old, &attr) == -ESTALE, false);
	return fe_lookup(&fe, "f", NULL) == new;
}

static bool numbers_used_again(void)
{
	bool done = fe_begin(&fe, mandatory) && number_used_again();

	return (fe_end(&fe) == 0) & done;
}

/* ext4 gives the number to the next file. */
static void a_file_is_not_another_with_its_number(void)
{
	if (!fe_can_make("ext4"))
		SKIP("no mkfs.ext4");
	CHECK(fe_on_image("ext4", numbers_used_again));
}

static int unlink_name(const char *name)
{
	return fe_request(&fe, FUSE_UNLINK, FUSE_ROOT_ID, name, strlen(name) + 1,
			  NULL, 0, NULL);
}

static bool open_file_stays(void)
{
	struct fuse_attr_out attr;
	uint64_t node, fh;
	int error;

	node = fe_make(&fe, "f", RANGE);
	fh = fe_open(&fe, node, O_RDWR, &error);
	CHECK_OR(node && !error, false);
	CHECK_OR(!unlink_name("f"), false);
	CHECK_OR(!get_attr(node, &attr) && !attr.attr.nlink, false);
	/* The guest asks for parts of it later, too. */
	CHECK_OR(!fe_setup(&fe, node, 0, RANGE, 0, false), false);
	CHECK_OR(fe_shows(&fe, 0, 0, RANGE), false);
	CHECK_OR(fe_request(&fe, FUSE_RELEASE, node,
			    &(struct fuse_release_in){ .fh = fh },
			    sizeof(struct fuse_release_in), NULL, 0, NULL) == 0,
		 false);
	/* What is shown keeps it. */
	CHECK_OR(fe_shows(&fe, 0, 0, RANGE), false);
	CHECK_OR(!get_attr(node, &attr), false);
	return !fe_remove(&fe, 0, RANGE);
}

static bool open_files_stay(void)
{
	bool done = fe_begin(&fe, mandatory) && open_file_stays();

	return (fe_end(&fe) == 0) & done;
}

static void open_files_stay_when_removed(void)
{
	static const char *const types[] = { "ext4", "xfs", "btrfs" };

	CHECK(open_files_stay());
	for (unsigned int i = 0; i < 3; i++)
		if (fe_can_make(types[i]))
			CHECK(fe_on_image(types[i], open_files_stay));
}

static int forget(uint64_t node)
{
	struct fuse_forget_in in = { .nlookup = 1 };

	fe_request_begin(&fe, FUSE_FORGET, node, &in, sizeof(in), 0);
	return fe_complete(&fe, 0) < 0;
}

static uint64_t lookup_in(uint64_t dir, const char *name)
{
	struct fuse_entry_out out;

	return fe_request(&fe, FUSE_LOOKUP, dir, name, strlen(name) + 1, &out,
			  sizeof(out), NULL) ? 0 : out.nodeid;
}

static bool knows_mount(void)
{
	struct fuse_attr_out attr;
	unsigned int before;
	uint64_t dir, file;

	before = fe_descriptors(&fe);
	dir = fe_lookup(&fe, "sub", NULL);
	file = lookup_in(dir, "inner");
	CHECK_OR(dir && file && !get_attr(file, &attr), false);
	CHECK_OR(attr.attr.size == 3, false);
	CHECK_OR(fe_descriptors(&fe) == before + 1, false);
	/* One a mount, for as long as it is needed. */
	CHECK_OR(!forget(dir) && fe_descriptors(&fe) == before + 1, false);
	CHECK_OR(!get_attr(file, &attr) && attr.attr.size == 3, false);
	CHECK_OR(!forget(file) && fe_descriptors(&fe) == before, false);
	return true;
}

static void a_mount_takes_one(void)
{
	CHECK(submount_run(&fe, prefer[0], "tmpfs", knows_mount));
}

static bool holds_a_descriptor(void)
{
	unsigned int before = fe_descriptors(&fe);
	uint64_t dir = fe_lookup(&fe, "sub", NULL);

	CHECK_OR(dir && lookup_in(dir, "inner"), false);
	CHECK_OR(fe_descriptors(&fe) == before + 2, false);
	/* It is written by another thread. */
	for (int i = 0; i < 100 && !fe_lines(&fe); i++)
		usleep(20000);
	return fe_said(&fe, "there is no file handle");
}

static bool is_refused(void)
{
	const char *name = "sub";
	struct fuse_entry_out out;

	return fe_request(&fe, FUSE_LOOKUP, FUSE_ROOT_ID, name, 4, &out,
			  sizeof(out), NULL) == -EOPNOTSUPP;
}

static void some_have_none(void)
{
	CHECK(submount_run(&fe, prefer[0], "ramfs", holds_a_descriptor));
	CHECK(submount_run(&fe, mandatory[0], "ramfs", is_refused));
}

static void without_privilege(void)
{
	static const char *const with[] = {
		"--inode-file-handles=prefer", "--sandbox", "none", NULL
	};
	static const char *const only[] = {
		"--inode-file-handles=mandatory", "--sandbox", "none", NULL
	};
	bool began;

	fe_user = NOBODY;
	began = fe_begin(&fe, with);
	fe_user = 0;
	CHECK(began && fe_make(&fe, "f", 1));
	CHECK(fe_said(&fe, "Operation not permitted"));
	CHECK(fe_end(&fe) == 0);
	fe_user = NOBODY;
	began = fe_spawn(&fe, only) && fe_connect(&fe);
	fe_user = 0;
	CHECK(began && fe_wait(&fe) == 1);
	CHECK(fe_said(&fe, "CAP_DAC_READ_SEARCH"));
	fe_kill(&fe);
}

static const struct fs_test tests[] = {
	TEST(files_take_no_descriptors),
	TEST(a_file_is_not_another_with_its_number),
	TEST(open_files_stay_when_removed),
	TEST(a_mount_takes_one),
	TEST(some_have_none),
	TEST(without_privilege),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
