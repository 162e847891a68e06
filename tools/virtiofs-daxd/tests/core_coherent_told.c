// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --cache=coherent: of which changes the guest is told, and what: events for those
 * who watch, and nothing of what it has done itself, or has forgotten.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coherent_guest.h"
#include "fe_main.h"

/* What is said of events, in order, as text. */
static const char *heard_events(void)
{
	static char text[4096];
	size_t len = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == EVENT && len < 3500)
			len += snprintf(text + len, sizeof(text) - len,
					"%lu:%x:%s ", notes[i].event.nodeid,
					notes[i].event.mask,
					notes[i].event.namelen ?
					notes[i].event.name : "");
	return text;
}

static bool events_are(const char *fmt, ...)
{
	char want[4096];
	va_list args;

	va_start(args, fmt);
	vsnprintf(want, sizeof(want), fmt, args);
	va_end(args);
	if (!strcmp(want, heard_events()))
		return true;
	printf("# heard %s, not %s\n", heard_events(), want);
	return false;
}

/* Both halves of a rename, the one after the other. */
static bool moved_as_one(void)
{
	for (unsigned int i = 0; i + 1 < num_notes; i++)
		if (notes[i].header.error == EVENT &&
		    notes[i].event.mask & 0x40)
			return notes[i + 1].header.error == EVENT &&
			       notes[i + 1].event.mask & 0x80 &&
			       notes[i].event.cookie &&
			       notes[i].event.cookie ==
			       notes[i + 1].event.cookie;
	return false;
}

static void watchers_are_told(void)
{
	char from[128], to[128];
	uint64_t f, d;

	CHECK(begin_with(options, ORDERED | FSNOTIFY));
	CHECK(fe_file(&fe, "f", SIZE) && !mkdir(fe_path(&fe, "d"), 0755));
	f = fe_lookup(&fe, "f", NULL);
	d = fe_lookup(&fe, "d", NULL);
	CHECK(f && d && barrier());
	/* What the guest knows, by its number, and after it is corrected. */
	CHECK(put("f", "x", O_APPEND) && barrier());
	CHECK(events_are("%lu:2: %lu:8: ", f, f));
	CHECK(notes[0].header.error == FUSE_NOTIFY_INVAL_INODE);
	CHECK(!chmod(fe_path(&fe, "f"), 0600) && barrier());
	CHECK(events_are("%lu:4: ", f));
	CHECK(!chmod(fe_path(&fe, "d"), 0700) && barrier());
	CHECK(events_are("%lu:40000004: ", d));
	/* What it does not know, by a name. */
	CHECK(put("new", "x", O_CREAT) && barrier());
	CHECK(events_are("1:100:new 1:2:new 1:8:new "));
	CHECK(!mkdir(fe_path(&fe, "e"), 0700) && barrier());
	CHECK(events_are("1:40000100:e "));
	CHECK(!rmdir(fe_path(&fe, "e")) && barrier());
	CHECK(events_are("1:40000200:e "));
	snprintf(from, sizeof(from), "%s", fe_path(&fe, "f"));
	snprintf(to, sizeof(to), "%s", fe_path(&fe, "d/g"));
	CHECK(!rename(from, to) && barrier() && moved_as_one());
	CHECK(events_are("1:40:f %lu:80:g ", d));
	CHECK(!unlink(to) && barrier());
	CHECK(events_are("%lu:200:g ", d));
	CHECK(fe_end(&fe) == 0);
}

/* From where the guest knows nothing, and there. */
static void half_of_a_rename(void)
{
	char from[128], to[128];

	CHECK(begin_with(options, ORDERED | FSNOTIFY));
	CHECK(!mkdir(fe_path(&fe, "d"), 0755) && fe_file(&fe, "d/f", 1));
	CHECK(barrier());
	snprintf(from, sizeof(from), "%s", fe_path(&fe, "d/f"));
	snprintf(to, sizeof(to), "%s", fe_path(&fe, "g"));
	CHECK(!rename(from, to) && barrier());
	CHECK(events_are("1:80:g "));
	CHECK(!rename(to, from) && barrier());
	CHECK(events_are("1:40:g "));
	CHECK(fe_end(&fe) == 0);
}

static void no_events_for_others(void)
{
	CHECK(begin() && fe_make(&fe, "f", SIZE) && barrier());
	CHECK(put("f", "x", O_APPEND) && put("g", "x", O_CREAT) && barrier());
	CHECK(events_are(""));
	CHECK(fe_end(&fe) == 0);
}

/* What the guest does itself it knows. */
static void own_changes_are_silent(void)
{
	struct {
		struct fuse_create_in in;
		char name[4];
	} create = { { .flags = O_RDWR, .mode = 0100644 }, "new" };
	struct {
		struct fuse_mkdir_in in;
		char name[2];
	} mkdir_in = { { .mode = 0755 }, "d" };
	struct {
		struct fuse_rename_in in;
		char names[6];
	} rename_in = { { .newdir = FUSE_ROOT_ID }, "new\0n" };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = { 0 };
	struct fuse_write_in write = { .size = 5 };
	uint32_t written;

	CHECK(begin_with(options, ORDERED | FSNOTIFY) && silent());
	CHECK(fe_request(&fe, FUSE_CREATE, FUSE_ROOT_ID, &create, sizeof(create),
			 &out, sizeof(out), NULL) == 0);
	CHECK(out.entry.entry_valid > UNBOUNDED);
	CHECK(out.entry.attr_valid > UNBOUNDED);
	write.fh = out.open.fh;
	CHECK(fe_write(&fe, out.entry.nodeid, &write, "hello", 5, &written) == 0);
	CHECK(fe_set_size(&fe, out.entry.nodeid, 3) == 0);
	CHECK(fe_request(&fe, FUSE_MKDIR, FUSE_ROOT_ID, &mkdir_in,
			 sizeof(mkdir_in), &out, sizeof(out), NULL) == 0);
	CHECK(fe_request(&fe, FUSE_RENAME, FUSE_ROOT_ID, &rename_in,
			 sizeof(rename_in), NULL, 0, NULL) == 0);
	CHECK(fe_request(&fe, FUSE_UNLINK, FUSE_ROOT_ID, "n", 2, NULL, 0,
			 NULL) == 0);
	CHECK(fe_request(&fe, FUSE_RMDIR, FUSE_ROOT_ID, "d", 2, NULL, 0,
			 NULL) == 0);
	CHECK(silent() && fe_end(&fe) == 0);
}

/* But not of what it does and is told to have failed at. */
static void own_changes_that_fail(void)
{
	struct fuse_setattr_in attr = {
		.valid = FATTR_UID | FATTR_SIZE,
		.uid = 7,
		.size = INT64_MAX,
	};
	struct fuse_attr_out out;
	struct stat st;
	uint64_t f;

	CHECK(begin());
	f = fe_make(&fe, "f", SIZE);
	CHECK(f && barrier());
	num_notes = 0;
	CHECK(fe_request(&fe, FUSE_SETATTR, f, &attr, sizeof(attr), &out,
			 sizeof(out), NULL) == -EFBIG);
	hear(0);
	CHECK(!stat(fe_path(&fe, "f"), &st) && st.st_uid == 7);
	CHECK(heard_inode(f, 0));
	CHECK(fe_end(&fe) == 0);
}

static bool create_in(uint64_t dir, const char *name, struct fuse_entry_out *entry)
{
	struct {
		struct fuse_create_in in;
		char name[16];
	} in = { { .flags = O_RDWR, .mode = 0100644 }, "" };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;

	strcpy(in.name, name);
	if (fe_request(&fe, FUSE_CREATE, dir, &in, sizeof(in.in) +
		       strlen(name) + 1, &out, sizeof(out), NULL))
		return false;
	*entry = out.entry;
	return true;
}

static bool on_two_mounts(void)
{
	struct fuse_entry_out entry;
	uint64_t a, b, one, two;

	a = fe_lookup(&fe, "a", NULL);
	b = fe_lookup(&fe, "b", NULL);
	CHECK_OR(a && b && a != b && look_up(a, "f", &entry) == 0, false);
	one = entry.nodeid;
	CHECK_OR(look_up(b, "f", &entry) == 0, false);
	two = entry.nodeid;
	CHECK_OR(one && two && one != two, false);
	CHECK_OR(look_up(b, "new", &entry) == 0 && !entry.nodeid && silent(),
		 false);
	CHECK_OR(fe_set_size(&fe, one, 3) == 0 && barrier(), false);
	CHECK_OR(heard_inode(two, 0), false);
	CHECK_OR(create_in(a, "new", &entry) && barrier(), false);
	CHECK_OR(heard_entry(b, "new") && heard_inode(b, -1), false);
	return events_are("");
}

/* What the guest does by one of two mounts it does not know of the other. */
static void own_changes_by_another_mount(void)
{
	char dir[] = "/tmp/daxd-mounts.XXXXXX", command[256];
	const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--shared-dir", dir, NULL
	};
	bool done;

	CHECK(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir a b && echo text >a/f && mount --bind a b", dir);
	CHECK(!system(command));
	done = begin_with(args, ORDERED | FSNOTIFY) && on_two_mounts();
	done &= fe_end(&fe) == 0;
	snprintf(command, sizeof(command), "umount %s/b; rm -rf %s", dir, dir);
	CHECK(!system(command) && done);
}

/* In a share of its own. */
static bool own_changes_by_the_other_name(const char *const *args)
{
	struct fuse_entry_out one, two;
	uint64_t d, e;

	CHECK_OR(begin_with(args, ORDERED), false);
	d = fe_lookup(&fe, "d", NULL);
	e = fe_lookup(&fe, "e", NULL);
	CHECK_OR(d && e && d != e, false);
	CHECK_OR(!look_up(d, "f", &one) && !look_up(e, "f", &two), false);
	CHECK_OR(one.nodeid != two.nodeid && silent(), false);
	CHECK_OR(fe_set_size(&fe, one.nodeid, 10) == 0 && barrier(), false);
	CHECK_OR(heard_inode(two.nodeid, 0), false);
	forget(two.nodeid, 1);
	CHECK_OR(fe_set_size(&fe, one.nodeid, 20) == 0 && silent(), false);
	return true;
}

/* Which are two files for the guest: what it does to the one happens to the other. */
static void known_by_two_mounts(void)
{
	char dir[] = "/tmp/daxd-twins.XXXXXX", command[256];
	const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--shared-dir", dir, NULL
	};
	bool done;

	CHECK(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir d e && echo >d/f && mount --bind d e", dir);
	CHECK(!system(command));
	done = own_changes_by_the_other_name(args);
	done &= fe_end(&fe) == 0;
	snprintf(command, sizeof(command), "umount %s/e; rm -r %s", dir, dir);
	CHECK(!system(command) && done);
}

/* Marks of the daemon. */
static int count_marks(void)
{
	char command[128];
	int count = -1;
	FILE *pipe;

	snprintf(command, sizeof(command),
		 "cat /proc/%d/fdinfo/* | grep -c '^fanotify ino'", fe.child);
	pipe = popen(command, "re");
	if (pipe && fscanf(pipe, "%d", &count) != 1)
		count = -1;
	if (pipe)
		pclose(pipe);
	return count;
}

static bool known_in_two_copies(const char *const *args)
{
	struct fuse_entry_out one, two;
	uint64_t d, e;
	int marks;

	CHECK_OR(begin_with(args, ORDERED), false);
	d = fe_lookup(&fe, "d", NULL);
	e = fe_lookup(&fe, "e", NULL);
	CHECK_OR(d && e && d != e, false);
	marks = count_marks();
	CHECK_OR(marks == 3, false);
	CHECK_OR(!look_up(d, "f", &one) && !look_up(e, "f", &two), false);
	CHECK_OR(one.nodeid != two.nodeid, false);
	CHECK_OR(one.attr_valid > UNBOUNDED && two.attr_valid > UNBOUNDED, false);
	CHECK_OR(count_marks() == marks + 2, false);
	forget(one.nodeid, 1);
	CHECK_OR(count_marks() == marks + 1, false);
	forget(two.nodeid, 1);
	CHECK_OR(count_marks() == marks, false);
	return true;
}

/* In which handles are the same, but not the files. */
static void two_copies_of_a_file_system(void)
{
	char dir[] = "/tmp/daxd-copies.XXXXXX", command[512];
	const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--shared-dir", dir, NULL
	};
	bool done;

	if (!fe_can_make("ext4"))
		SKIP("no mkfs for it");
	CHECK(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir d e && truncate -s 16M one && mkfs.ext4 -q one && mount -o loop one d && echo text >d/f && umount d && cp one two && mount -o loop one d && mount -o loop two e",
		 dir);
	CHECK(!system(command));
	done = known_in_two_copies(args);
	done &= fe_end(&fe) == 0;
	snprintf(command, sizeof(command),
		 "cd %s && umount d e; rm -rf --one-file-system %s", dir, dir);
	CHECK(!system(command) && done);
}

/* The VMM closes what it had mapped when it likes: that is no change. */
static void the_vmm_closes_files(void)
{
	static const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--dax-window", "64M", NULL
	};
	pid_t child;
	uint64_t f;
	int fd;

	CHECK(begin_with(args, ORDERED | FSNOTIFY));
	f = fe_make(&fe, "f", SIZE);
	CHECK(f && barrier());
	fd = open(fe_path(&fe, "f"), O_RDWR);
	close(fd);
	CHECK(silent());
	child = fork();
	if (!child) {
		fd = open(fe_path(&fe, "f"), O_RDWR);
		close(fd);
		_exit(0);
	}
	CHECK(waitpid(child, NULL, 0) == child && barrier());
	CHECK(heard_inode(f, 0) && events_are("%lu:8: ", f));
	CHECK(fe_end(&fe) == 0);
}

/* A file, in a share with a window; 0 without. */
static uint64_t begin_window(void)
{
	static const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--dax-window", "64M", NULL
	};

	return begin_with(args, ORDERED) ? fe_make(&fe, "f", SIZE) : 0;
}

/* A file in the window is told of once, as any other, and stays there. */
static void mapped_files(void)
{
	uint64_t f = begin_window();

	CHECK(f && fe_setup(&fe, f, 0, 2 << 20, 0, true) == 0 && barrier());
	CHECK(!truncate(fe_path(&fe, "f"), 100) && barrier());
	CHECK(heard_shown(f) && silent());
	CHECK(put("f", "x", 0) && barrier() && heard_shown(f) && silent());
	CHECK(put("f", "x", O_APPEND) && barrier() && heard_shown(f));
	CHECK(silent() && fe_end(&fe) == 0);
}

/* What is filled of a file, so that it can be mapped, has other times then. */
static void holes_are_filled(void)
{
	uint64_t f = begin_window();

	CHECK(f && !truncate(fe_path(&fe, "f"), 20 * SIZE) && barrier());
	/* Before the answer to the setup */
	num_notes = 0;
	CHECK(fe_setup(&fe, f, 0, 2 << 20, 0, true) == 0);
	hear(0);
	CHECK(num_notes == 1 && heard_inode(f, -1));
	CHECK(fe_end(&fe) == 0);
}

/* What the guest has forgotten it is not told of. */
static void what_is_forgotten(void)
{
	uint64_t f, again;

	CHECK(begin());
	f = fe_make(&fe, "f", SIZE);
	CHECK(f && fe_lookup(&fe, "f", NULL) == f && barrier());
	forget(f, 1);
	CHECK(put("f", "x", O_APPEND) && barrier() && heard_inode(f, 0));
	forget(f, 1);
	CHECK(put("f", "x", O_APPEND) && silent());
	again = fe_lookup(&fe, "f", NULL);
	CHECK(again && again != f && put("f", "x", O_APPEND) && barrier());
	CHECK(heard_inode(again, 0) && !heard_inode(f, 0));
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(watchers_are_told),
	TEST(half_of_a_rename),
	TEST(no_events_for_others),
	TEST(own_changes_are_silent),
	TEST(own_changes_that_fail),
	TEST(own_changes_by_another_mount),
	TEST(what_is_forgotten),
	TEST(the_vmm_closes_files),
	TEST(mapped_files),
	TEST(holes_are_filled),
	TEST(known_by_two_mounts),
	TEST(two_copies_of_a_file_system),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
