// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --cache=coherent: what others have changed is told before any answer that was made
 * after that, and what an answer says may be kept only if it is still so. For which
 * guests, which kinds of change, and on which file systems.
 */
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/falloc.h>
#include <linux/fscrypt.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coherent_guest.h"
#include "fe_main.h"

#define NOBODY 65534

static void answers_may_be_kept(void)
{
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;

	CHECK(begin() && fe_file(&fe, "f", SIZE));
	CHECK(barrier());
	CHECK(look_up(FUSE_ROOT_ID, "f", &entry) == 0 && entry.nodeid);
	CHECK(entry.entry_valid > UNBOUNDED && entry.attr_valid > UNBOUNDED);
	CHECK(getattr(entry.nodeid, &attr) && attr.attr_valid > UNBOUNDED);
	CHECK(getattr(FUSE_ROOT_ID, &attr) && attr.attr_valid > UNBOUNDED);
	CHECK(look_up(FUSE_ROOT_ID, "none", &entry) == 0 && !entry.nodeid);
	CHECK(entry.entry_valid > UNBOUNDED);
	CHECK(fe_end(&fe) == 0);
}

/* As with --cache=auto. */
static bool may_not_be_kept(void)
{
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;

	CHECK_OR(fe_file(&fe, "f", SIZE), false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "f", &entry) == 0, false);
	CHECK_OR(entry.entry_valid == 1 && entry.attr_valid == 1, false);
	CHECK_OR(getattr(entry.nodeid, &attr) && attr.attr_valid == 1, false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "none", &entry) == -ENOENT, false);
	return true;
}

static void a_guest_that_does_not_order(void)
{
	struct fuse_init_out out;

	CHECK(fe_begin(&fe, options) && may_not_be_kept());
	CHECK(put("f", "x", O_APPEND) && silent());
	CHECK(session(FSNOTIFY, &out) && !(out.flags2 & 0x30000000));
	CHECK(may_not_be_kept() && fe_end(&fe) == 0);
}

static void a_guest_without_the_queue(void)
{
	struct fuse_init_out out;

	fe_deaf = true;
	CHECK(fe_begin(&fe, options));
	fe_deaf = false;
	CHECK(session(ORDERED, &out) && !(out.flags2 & 0x30000000));
	CHECK(may_not_be_kept() && fe_end(&fe) == 0);
}

/* One that nobody writes to keeps what the guest has of it, if it opens it again. */
static void data_is_kept_without_writers(void)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out out;
	uint64_t f;
	int fd;

	CHECK(begin());
	f = fe_make(&fe, "f", SIZE);
	CHECK(f && barrier());
#define OPEN() fe_request(&fe, FUSE_OPEN, f, &in, sizeof(in), &out, sizeof(out), NULL)
	CHECK(OPEN() == 0 && !(out.open_flags & FOPEN_KEEP_CACHE));
	CHECK(OPEN() == 0 && out.open_flags & FOPEN_KEEP_CACHE);
	fd = open(fe_path(&fe, "f"), O_RDWR);
	CHECK(OPEN() == 0 && !(out.open_flags & FOPEN_KEEP_CACHE));
	close(fd);
	CHECK(barrier() && heard_inode(f, 0));
	CHECK(OPEN() == 0 && out.open_flags & FOPEN_KEEP_CACHE);
	CHECK(put("f", "x", O_APPEND));
	CHECK(OPEN() == 0 && !(out.open_flags & FOPEN_KEEP_CACHE));
	CHECK(fe_end(&fe) == 0);
}

/* Each kind of change, and what is known of it when the next answer is there. */
static bool files_change(void)
{
	struct fuse_entry_out entry;
	uint64_t f, g, none;

	CHECK_OR(fe_file(&fe, "f", SIZE) && fe_file(&fe, "g", SIZE), false);
	f = fe_lookup(&fe, "f", NULL);
	g = fe_lookup(&fe, "g", NULL);
	CHECK_OR(f && g && barrier(), false);
	CHECK_OR(put("f", "x", O_APPEND) && barrier(), false);
	CHECK_OR(heard_inode(f, 0) && !heard_inode(g, 0), false);
	CHECK_OR(!truncate(fe_path(&fe, "f"), 9) && barrier(), false);
	CHECK_OR(heard_inode(f, 0), false);
	CHECK_OR(!chmod(fe_path(&fe, "f"), 0600) && barrier(), false);
	CHECK_OR(heard_inode(f, -1) && !heard_inode(f, 0), false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "none", &entry) == 0, false);
	none = entry.nodeid;
	CHECK_OR(!none && put("none", "x", O_CREAT) && barrier(), false);
	CHECK_OR(heard_entry(FUSE_ROOT_ID, "none"), false);
	CHECK_OR(heard_inode(FUSE_ROOT_ID, -1), false);
	CHECK_OR(!unlink(fe_path(&fe, "g")) && barrier(), false);
	CHECK_OR(heard_entry(FUSE_ROOT_ID, "g"), false);
	CHECK_OR(heard_inode(FUSE_ROOT_ID, -1) && heard_inode(g, -1), false);
	return true;
}

static bool names_change(void)
{
	struct fuse_entry_out entry;
	char from[128], to[128], path[128], moved[132];
	uint64_t d, f;

	CHECK_OR(!mkdir(fe_path(&fe, "d"), 0755), false);
	CHECK_OR(fe_file(&fe, "d/f", SIZE) && fe_file(&fe, "e", SIZE), false);
	d = fe_lookup(&fe, "d", NULL);
	CHECK_OR(d && look_up(d, "f", &entry) == 0 && barrier(), false);
	f = entry.nodeid;
	snprintf(from, sizeof(from), "%s", fe_path(&fe, "d/f"));
	snprintf(to, sizeof(to), "%s", fe_path(&fe, "h"));
	CHECK_OR(!rename(from, to) && barrier(), false);
	CHECK_OR(heard_entry(d, "f") && heard_entry(FUSE_ROOT_ID, "h"), false);
	CHECK_OR(heard_inode(d, -1) && heard_inode(FUSE_ROOT_ID, -1), false);
	CHECK_OR(heard_inode(f, -1), false);
	CHECK_OR(!link(to, from) && barrier(), false);
	CHECK_OR(heard_entry(d, "f") && heard_inode(f, -1), false);
	/* By a name that the guest does not know, in a directory likewise. */
	snprintf(path, sizeof(path), "%s", fe_path(&fe, "x"));
	CHECK_OR(!mkdir(path, 0755), false);
	strcat(path, "/f");
	snprintf(moved, sizeof(moved), "%sg", path);
	CHECK_OR(!link(to, path) && barrier() && heard_inode(f, -1), false);
	CHECK_OR(!rename(path, moved) && barrier(), false);
	CHECK_OR(heard_inode(f, -1) && !unlink(moved), false);
	CHECK_OR(!rmdir(fe_path(&fe, "x")), false);
	CHECK_OR(!unlink(from) && !rmdir(fe_path(&fe, "d")), false);
	CHECK_OR(barrier() && heard_gone(FUSE_ROOT_ID, d, "d"), false);
	return true;
}

static bool others_change(void)
{
	uint64_t l, x;
	int fd;

	CHECK_OR(!symlink("a", fe_path(&fe, "l")), false);
	CHECK_OR(!mkdir(fe_path(&fe, "x"), 0755), false);
	l = fe_lookup(&fe, "l", NULL);
	x = fe_lookup(&fe, "x", NULL);
	CHECK_OR(l && x && barrier(), false);
	CHECK_OR(!lchown(fe_path(&fe, "l"), 3, 4) && barrier(), false);
	CHECK_OR(heard_inode(l, -1), false);
	CHECK_OR(!chmod(fe_path(&fe, "x"), 0700) && barrier(), false);
	CHECK_OR(heard_inode(x, -1), false);
	/* Of what is open before it is known, too. */
	fd = open(fe_path(&fe, "o"), O_CREAT | O_WRONLY, 0600);
	l = fe_lookup(&fe, "o", NULL);
	CHECK_OR(l && barrier(), false);
	CHECK_OR(write(fd, "x", 1) == 1 && barrier(), false);
	CHECK_OR(heard_inode(l, 0), false);
	CHECK_OR(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			    1) && barrier(), false);
	CHECK_OR(heard_inode(l, 0), false);
	/* What is stored by mmap is not told, until it is closed. */
	CHECK_OR(!close(fd) && barrier() && heard_inode(l, 0), false);
	return true;
}

static bool all_kinds(void)
{
	bool done = begin() && files_change() && names_change() &&
		    others_change();

	return (fe_end(&fe) == 0) & done;
}

static void changes_precede_answers(void)
{
	CHECK(all_kinds());
}

static void on_image(const char *type)
{
	if (!fe_can_make(type))
		SKIP("no mkfs for it");
	CHECK(fe_on_image(type, all_kinds));
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
	CHECK(all_kinds());
	fe_base = "/tmp";
}

/* What others change through the overlay. */
static void on_an_overlay(void)
{
	char dir[] = "/dev/shm/daxd-overlay.XXXXXX", command[512], data[256];
	bool done;

	CHECK(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir lower upper work fs", dir);
	CHECK(!system(command));
	snprintf(data, sizeof(data), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 dir, dir, dir);
	snprintf(command, sizeof(command), "%s/fs", dir);
	CHECK(!mount("overlay", command, "overlay", 0, data));
	fe_base = command;
	done = all_kinds();
	fe_base = "/tmp";
	umount(command);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(!system(command) && done);
}

/* Of which the first two are one below it, and may become two. */
static bool names_of_one(const char *dir)
{
	char share[64], path[80];
	const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--shared-dir", share, NULL
	};
	struct fuse_entry_out a, b, c;

	snprintf(share, sizeof(share), "%s/fs", dir);
	snprintf(path, sizeof(path), "%s/b", share);
	CHECK_OR(begin_with(args, ORDERED), false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "a", &a) == 0, false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "b", &b) == 0, false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "c", &c) == 0, false);
	CHECK_OR(a.entry_valid == 1 && a.attr_valid == 1, false);
	CHECK_OR(b.entry_valid == 1 && b.attr_valid == 1, false);
	CHECK_OR(c.entry_valid > UNBOUNDED && c.attr_valid > UNBOUNDED, false);
	CHECK_OR(!truncate(path, 100), false);
	CHECK_OR(look_up(FUSE_ROOT_ID, "b", &b) == 0 && b.attr.size == 100,
		 false);
	return true;
}

static void links_below_an_overlay(void)
{
	char dir[] = "/dev/shm/daxd-links.XXXXXX", command[512];
	bool done;

	CHECK(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir lower upper work fs && echo x >lower/a && ln lower/a lower/b && echo x >lower/c && mount -t overlay -o index=off,lowerdir=lower,upperdir=upper,workdir=work overlay fs",
		 dir);
	CHECK(!system(command));
	done = names_of_one(dir);
	done &= fe_end(&fe) == 0;
	snprintf(command, sizeof(command), "umount %s/fs; rm -rf %s", dir, dir);
	CHECK(!system(command) && done);
}

/* Whose inodes are not held by descriptors. */
static void by_file_handles(void)
{
	static const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--inode-file-handles", "prefer", NULL
	};

	CHECK(begin_with(args, ORDERED) && files_change());
	CHECK(!system("echo 2 >/proc/sys/vm/drop_caches"));
	CHECK(names_change() && others_change() && fe_end(&fe) == 0);
}

/* What is no directory of this host's disks or memory may change without an event. */
static void where_nothing_can_be_watched(void)
{
	static const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--shared-dir", "/proc/sys", NULL
	};
	struct fuse_init_out out;
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;

	CHECK(fe_begin(&fe, args) && session(ORDERED, &out));
	CHECK(!(out.flags2 & 0x30000000));
	CHECK(getattr(FUSE_ROOT_ID, &attr) && attr.attr_valid == 1);
	CHECK(look_up(FUSE_ROOT_ID, "kernel", &entry) == 0);
	CHECK(entry.attr_valid == 1 && entry.entry_valid == 1);
	CHECK(look_up(FUSE_ROOT_ID, "none", &entry) == -ENOENT);
	CHECK(fe_said(&fe, "cannot be watched for changes, so it is auto"));
	CHECK(fe_end(&fe) == 0);
}

static bool add_subvolume(const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	int dir = open(fe_path(&fe, ""), O_RDONLY | O_DIRECTORY);
	int err;

	snprintf(args.name, sizeof(args.name), "%s", name);
	err = ioctl(dir, BTRFS_IOC_SUBVOL_CREATE, &args);
	close(dir);
	return dir >= 0 && !err;
}

/* The next word, after any that say that it was changed before, is of this size. */
static bool told_of_size(uint64_t node, int64_t size)
{
	struct fuse_notify_inval_inode_out inval = { 0 };

	while (fe_inval(&fe, &inval))
		if (inval.ino == node && inval.off == size)
			return true;
	return false;
}

static bool nested_subvolume(void)
{
	static const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--dax-window", "64M", NULL
	};
	struct fuse_entry_out entry;
	uint64_t f, s, g;

	CHECK_OR(begin_with(args, ORDERED) && add_subvolume("s"), false);
	CHECK_OR(fe_file(&fe, "f", SIZE) && fe_file(&fe, "s/g", SIZE), false);
	CHECK_OR(barrier() && look_up(FUSE_ROOT_ID, "f", &entry) == 0, false);
	CHECK_OR(entry.attr_valid > UNBOUNDED, false);
	f = entry.nodeid;
	CHECK_OR(look_up(FUSE_ROOT_ID, "s", &entry) == 0, false);
	s = entry.nodeid;
	CHECK_OR(look_up(s, "g", &entry) == 0 && entry.attr_valid == 1, false);
	g = entry.nodeid;
	CHECK_OR(fe_setup(&fe, g, 0, 2 << 20, 0, false) == 0, false);
	CHECK_OR(fe_setup(&fe, f, 0, 2 << 20, 2 << 20, false) == 0, false);
	CHECK_OR(!truncate(fe_path(&fe, "s/g"), 100), false);
	CHECK_OR(told_of_size(g, 100), false);
	/* What is watched as a whole still is once. */
	CHECK_OR(barrier() && !truncate(fe_path(&fe, "f"), 100), false);
	CHECK_OR(barrier() && heard_shown(f) && silent(), false);
	return true;
}

static bool begin_nested(void)
{
	bool done = nested_subvolume();

	return (fe_end(&fe) == 0) & done;
}

/* What cannot be watched with the rest is when it is mapped, as with auto. */
static void mapped_but_not_watched(void)
{
	if (!fe_can_make("btrfs"))
		SKIP("no mkfs for it");
	CHECK(fe_on_image("btrfs", begin_nested));
}

/* A directory in which all is encrypted; false if the kernel cannot do it. */
static bool add_encrypted(const char *name)
{
	struct {
		struct fscrypt_add_key_arg arg;
		uint8_t raw[64];
	} key = {
		.arg.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER,
		.arg.raw_size = sizeof(key.raw),
	};
	struct fscrypt_policy_v2 policy = {
		.version = FSCRYPT_POLICY_V2,
		.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS,
		.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS,
	};
	int dir, err;

	dir = mkdir(fe_path(&fe, name), 0755) ? -1 :
	      open(fe_path(&fe, name), O_RDONLY | O_DIRECTORY);
	err = ioctl(dir, FS_IOC_ADD_ENCRYPTION_KEY, &key);
	memcpy(policy.master_key_identifier, key.arg.key_spec.u.identifier,
	       sizeof(policy.master_key_identifier));
	err |= ioctl(dir, FS_IOC_SET_ENCRYPTION_POLICY, &policy);
	close(dir);
	return dir >= 0 && !err;
}

static bool encrypted_directory(void)
{
	struct fuse_entry_out entry;

	CHECK_OR(begin(), false);
	if (!add_encrypted("d")) {
		printf("# this host does not encrypt\n");
		return true;
	}
	CHECK_OR(barrier() && look_up(FUSE_ROOT_ID, "d", &entry) == 0, false);
	CHECK_OR(entry.entry_valid > UNBOUNDED && entry.attr_valid == 1, false);
	CHECK_OR(look_up(entry.nodeid, "none", &entry) == -ENOENT, false);
	return true;
}

static bool begin_encrypted(void)
{
	bool done = encrypted_directory();

	return (fe_end(&fe) == 0) & done;
}

/* Whose names change with the keys there are, of which nobody is told. */
static void what_is_encrypted(void)
{
	CHECK(fe_on_image("ext4 -O encrypt", begin_encrypted));
}

static const char *const unprivileged[] = {
	"--cache", "coherent", "--notifications", "--log-level", "warn",
	"--sandbox", "none", NULL
};

static bool begin_as_nobody(void)
{
	bool done;

	fe_user = NOBODY;
	done = begin_with(unprivileged, ORDERED);
	fe_user = 0;
	return done;
}

static void any_user_is_told(void)
{
	struct fuse_entry_out entry;

	CHECK(begin_as_nobody() && files_change());
	/* What he may not read he may not watch. */
	CHECK(fe_file(&fe, "private", SIZE) && barrier());
	CHECK(!chmod(fe_path(&fe, "private"), 0600) && barrier());
	CHECK(look_up(FUSE_ROOT_ID, "private", &entry) == 0);
	CHECK(entry.entry_valid > UNBOUNDED && entry.attr_valid == 1);
	CHECK(fe_end(&fe) == 0);
}

#define MARKS "/proc/sys/fs/fanotify/max_user_marks"

static bool set_marks(unsigned int marks)
{
	FILE *file = fopen(MARKS, "we");
	bool done = file && fprintf(file, "%u", marks) > 0;

	return file && fclose(file) == 0 && done;
}

/* With no more marks than a user may have, it is as with auto for the rest. */
static void more_files_than_marks(void)
{
	unsigned int marks = 0, kept = 0;
	struct fuse_entry_out entry;
	FILE *file = fopen(MARKS, "re");
	char name[16];

	CHECK(file && fscanf(file, "%u", &marks) == 1);
	fclose(file);
	CHECK(begin_as_nobody() && set_marks(20));
	for (unsigned int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		if (!fe_file(&fe, name, 1) || !barrier() ||
		    look_up(FUSE_ROOT_ID, name, &entry))
			break;
		kept += entry.attr_valid > UNBOUNDED;
	}
	CHECK(set_marks(marks) && kept && kept < 40);
	CHECK(entry.attr_valid == 1 && entry.entry_valid > UNBOUNDED);
	/* And marks that are given back can be used again. */
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(answers_may_be_kept),
	TEST(a_guest_that_does_not_order),
	TEST(a_guest_without_the_queue),
	TEST(changes_precede_answers),
	TEST(data_is_kept_without_writers),
	TEST(by_file_handles),
	TEST(any_user_is_told),
	TEST(more_files_than_marks),
	TEST(where_nothing_can_be_watched),
	TEST(mapped_but_not_watched),
	TEST(what_is_encrypted),
	TEST(on_xfs),
	TEST(on_btrfs),
	TEST(on_tmpfs),
	TEST(on_an_overlay),
	TEST(links_below_an_overlay),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
