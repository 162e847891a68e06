// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --cache=coherent: what others have changed is told before any answer that was made
 * after that, and what an answer says may be kept only if it is still so.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fe_main.h"
#include "slots.h"

#define SIZE 5000
#define NOBODY 65534
#define INC_EPOCH 8
#define EVENT 10
#define ORDERED (1ULL << 60)
#define FSNOTIFY (1ULL << 61)

/* A year, s. What may be kept for as long as one likes is kept longer. */
#define UNBOUNDED 31536000u

/* Nothing is said within this time if nothing is to be said at all, ms. */
#define SILENCE 100

static struct frontend fe;

static const char *const options[] = {
	"--cache", "coherent", "--notifications", "--log-level", "warn", NULL
};

/* The longest there is. */
union note {
	struct fuse_out_header header;
	struct {
		struct fuse_out_header header_;
		struct fuse_notify_inval_inode_out arg;
	} inode;
	struct {
		struct fuse_out_header header_;
		struct fuse_notify_inval_entry_out arg;
		char name[256];
	} entry;
	struct {
		struct fuse_out_header header_;
		struct fuse_notify_delete_out arg;
		char name[256];
	} gone;
	struct {
		struct fuse_out_header header_;
		uint64_t nodeid;
		uint32_t mask;
		uint32_t cookie;
		uint32_t namelen;
		uint32_t padding;
		char name[256];
	} event;
	char room[512];
};

#define MAX_NOTES 16384
static union note notes[MAX_NOTES];
static unsigned int num_notes;

/* What is in the used ring now, or comes within some time. */
static void hear(unsigned int ms)
{
	while (num_notes < MAX_NOTES &&
	       fe_note(&fe, &notes[num_notes], sizeof(notes[0]), ms) > 0)
		num_notes++;
}

static bool silent(void)
{
	num_notes = 0;
	hear(SILENCE);
	return !num_notes;
}

static bool heard_inode(uint64_t node, int64_t offset)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == FUSE_NOTIFY_INVAL_INODE &&
		    notes[i].inode.arg.ino == node &&
		    notes[i].inode.arg.off == offset)
			return true;
	return false;
}

/* That data has changed, but what shows it need not be given up. */
static bool heard_shown(uint64_t node)
{
	return num_notes == 1 && heard_inode(node, 0) &&
	       notes[0].inode.arg.len == -1;
}

static bool heard_entry(uint64_t dir, const char *name)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == FUSE_NOTIFY_INVAL_ENTRY &&
		    notes[i].entry.arg.parent == dir &&
		    notes[i].entry.arg.namelen == strlen(name) &&
		    !strcmp(notes[i].entry.name, name))
			return true;
	return false;
}

static bool heard_gone(uint64_t dir, uint64_t child, const char *name)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == FUSE_NOTIFY_DELETE &&
		    notes[i].gone.arg.parent == dir &&
		    notes[i].gone.arg.child == child &&
		    !strcmp(notes[i].gone.name, name))
			return true;
	return false;
}

static bool heard_epoch(void)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == INC_EPOCH)
			return true;
	return false;
}

/*
 * A request that has nothing to do with what was changed. When its answer is there, so
 * is what was to be said before: it is not waited for.
 */
static bool barrier(void)
{
	num_notes = 0;
	fe_request_begin(&fe, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0,
			 sizeof(struct fuse_statfs_out));
	/* The answer may have to wait for our buffers. */
	for (unsigned int i = 0; i < 2000 && !fe_pending(&fe, 2); i++)
		hear(i > 100);
	if (fe_request_end(&fe, NULL, 0, NULL))
		return false;
	hear(0);
	return true;
}

static bool session(uint64_t flags, struct fuse_init_out *out)
{
	return fe_init_flags(&fe, FUSE_INIT_EXT | flags, out) == 0;
}

static bool begin_with(const char *const *args, uint64_t flags)
{
	struct fuse_init_out out;

	return fe_begin(&fe, args) && session(flags, &out) &&
	       ((uint64_t)out.flags2 << 32 & (ORDERED | FSNOTIFY)) == flags;
}

static bool begin(void)
{
	return begin_with(options, ORDERED);
}

static int look_up(uint64_t dir, const char *name, struct fuse_entry_out *entry)
{
	return fe_request(&fe, FUSE_LOOKUP, dir, name, strlen(name) + 1, entry,
			  sizeof(*entry), NULL);
}

static bool getattr(uint64_t node, struct fuse_attr_out *out)
{
	struct fuse_getattr_in in = { 0 };

	return fe_request(&fe, FUSE_GETATTR, node, &in, sizeof(in), out,
			  sizeof(*out), NULL) == 0;
}

static void forget(uint64_t node, uint64_t count)
{
	struct fuse_forget_in in = { .nlookup = count };

	fe_request_begin(&fe, FUSE_FORGET, node, &in, sizeof(in), 0);
	fe_complete(&fe, 0);
}

static bool put(const char *name, const char *text, int flags)
{
	int fd = open(fe_path(&fe, name), O_WRONLY | flags, 0644);
	bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done;
}

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
	char from[128], to[128];
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

#define WAITING 40

/* Without buffers of the guest: more corrections than it has. */
static bool change_more_than_buffers(void)
{
	char name[16];

	for (unsigned int i = 0; i < WAITING; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_OR(fe_make(&fe, name, SIZE) && barrier(), false);
	}
	for (unsigned int i = 0; i < WAITING; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_OR(!truncate(fe_path(&fe, name), SIZE + 1), false);
	}
	return true;
}

/* The answer waits with them, and then it comes. */
static void answers_wait_for_buffers(void)
{
	struct fuse_entry_out entry;

	CHECK(begin() && change_more_than_buffers());
	fe_request_begin(&fe, FUSE_LOOKUP, FUSE_ROOT_ID, "f0", 3,
			 sizeof(entry));
	usleep(200000);
	CHECK(!fe_pending(&fe, 2));
	num_notes = 0;
	/* As many as there are buffers; each is given again. */
	while (num_notes < WAITING) {
		unsigned int before = num_notes;

		CHECK(num_notes >= WAITING - FE_NOTES || !fe_pending(&fe, 2));
		CHECK(fe_note(&fe, &notes[num_notes++], sizeof(notes[0]),
			      2000) > 0);
		CHECK(num_notes > before);
	}
	CHECK(fe_request_end(&fe, &entry, sizeof(entry), NULL) == 0);
	CHECK(entry.attr.size == SIZE + 1 && entry.attr_valid > UNBOUNDED);
	CHECK(silent() && fe_end(&fe) == 0);
}

/* Data of a READ is in place already; who stops the queues does not wait. */
static void a_stop_while_answers_wait(void)
{
	static char data[SIZE + 1];
	struct fuse_read_in in = { .size = sizeof(data) };
	uint64_t node;
	int error;

	CHECK(begin() && fe_make(&fe, "r", SIZE));
	node = fe_lookup(&fe, "r", NULL);
	in.fh = fe_open(&fe, node, O_RDONLY, &error);
	CHECK(!error && change_more_than_buffers());
	fe_request_begin(&fe, FUSE_READ, node, &in, sizeof(in), sizeof(data));
	usleep(100000);
	CHECK(!fe_pending(&fe, 2));
	CHECK(fe_stop_queues(&fe));
	fe_start_queues(&fe, false);
	num_notes = 0;
	while (num_notes < WAITING)
		CHECK(fe_note(&fe, &notes[num_notes++], sizeof(notes[0]),
			      2000) > 0);
	CHECK(fe_request_end(&fe, data, sizeof(data), NULL) == 0);
	for (unsigned int i = 0; i < SIZE; i++)
		CHECK((unsigned char)data[i] == fe_byte(i));
	CHECK(fe_end(&fe) == 0);
}

/* A guest that is gone, or begins anew, is not waited for. */
static void it_ends_while_answers_wait(void)
{
	struct fuse_init_out out;

	CHECK(begin() && change_more_than_buffers());
	fe_request_begin(&fe, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, 80);
	usleep(100000);
	CHECK(!fe_pending(&fe, 2));
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	CHECK(session(ORDERED, &out) && fe_make(&fe, "g", 1) && barrier());
	CHECK(change_more_than_buffers());
	fe_request_begin(&fe, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, 80);
	usleep(100000);
	CHECK(!fe_pending(&fe, 2) && fe_end(&fe) == 0);
}

/* Not even for what a listing says is to be told with it. */
static void it_ends_while_a_listing_waits(void)
{
	struct fuse_read_in in = { .size = 100 };
	struct fuse_open_in open_in = { 0 };
	struct fuse_open_out opened;
	unsigned int left = 3;
	const struct fuse_init_in init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.flags = FUSE_INIT_EXT,
		.flags2 = ORDERED >> 32,
	};

	slots_reset();
	CHECK(begin() && fe_request(&fe, FUSE_OPENDIR, FUSE_ROOT_ID, &open_in,
				    sizeof(open_in), &opened, sizeof(opened),
				    NULL) == 0);
	in.fh = opened.fh;
	CHECK(change_more_than_buffers());
	slot_ask(&fe, 1, 2, 1, FUSE_READDIR, FUSE_ROOT_ID, &in,
		 sizeof(in));
	slot_ask(&fe, 2, 2, 1, FUSE_STATFS, FUSE_ROOT_ID, "", 0);
	usleep(100000);
	CHECK(!fe_pending(&fe, 2) && put("new", "x", O_CREAT));
	usleep(100000);
	CHECK(!fe_pending(&fe, 2));
	slot_ask(&fe, 3, 2, 1, FUSE_INIT, 0, &init, sizeof(init));
	for (unsigned int i = 0; i < 500 && left; i++) {
		usleep(10000);
		for (; fe_pending(&fe, 2); left--)
			fe_complete(&fe, 2);
	}
	CHECK(!left && fe_end(&fe) == 0);
}

#define STORM 50000
#define STORM_FILES 50

/* By a task of its own, as the kernel makes one event of several by one task. */
static void storm(unsigned int task)
{
	char name[32];

	for (unsigned int i = 0; i < STORM / 100 / 2; i++) {
		snprintf(name, sizeof(name), "new%u.%u", task, i);
		if (!put(name, "x", O_CREAT))
			_exit(1);
		snprintf(name, sizeof(name), "f%u", i % STORM_FILES);
		if (!put(name, "x", O_APPEND))
			_exit(1);
	}
	_exit(0);
}

/* More than the kernel keeps, and then than we keep: one word for all. */
static void a_storm_is_one_word(void)
{
	struct fuse_entry_out entry;
	char name[32];
	int status;

	CHECK(begin());
	for (unsigned int i = 0; i < STORM_FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK(fe_make(&fe, name, SIZE) && barrier());
	}
	kill(fe.child, SIGSTOP);
	for (unsigned int i = 0; i < 100; i++)
		if (!fork())
			storm(i);
	for (unsigned int i = 0; i < 100; i++)
		CHECK(wait(&status) > 0 && !status);
	kill(fe.child, SIGCONT);
	num_notes = 0;
	fe_request_begin(&fe, FUSE_LOOKUP, FUSE_ROOT_ID, "f0", 3,
			 sizeof(entry));
	while (!fe_pending(&fe, 2) && num_notes < MAX_NOTES)
		hear(1);
	hear(0);
	CHECK(fe_request_end(&fe, &entry, sizeof(entry), NULL) == 0);
	CHECK(heard_epoch() && num_notes < MAX_NOTES);
	printf("# %u words of %u changes\n", num_notes, STORM);
	CHECK(entry.attr.size > SIZE);
	/* And what follows is told as before. */
	CHECK(barrier() && put("f1", "x", O_APPEND) && barrier());
	CHECK(num_notes <= 2 && fe_end(&fe) == 0);
}

/* The file that changes. */
static char busy[32];

/* A change while an answer is made. */
static void *write_soon(void *arg)
{
	int fd = open(fe_path(&fe, busy), O_WRONLY | O_APPEND);

	usleep(rand() % 2000);
	if (write(fd, "x", 1) != 1)
		arg = NULL;
	close(fd);
	return arg;
}

/*
 * A request and what is heard meanwhile. Notes that were certainly there before the
 * answer are dropped. Returns the error.
 */
static int hear_around(uint32_t opcode, uint64_t node, const void *in, size_t in_len,
		       void *out, size_t out_len, size_t *got)
{
	fe_request_begin(&fe, opcode, node, in, in_len, out_len);
	num_notes = 0;
	hear(0);
	while (!fe_pending(&fe, 2)) {
		num_notes = 0;
		hear(0);
	}
	return fe_request_end(&fe, out, out_len, got);
}

/* The first entry of a listing that is no directory. */
static const struct fuse_direntplus *first_file(char *data, size_t len)
{
	while (len >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		struct fuse_direntplus *entry = (void *)data;

		if (entry->dirent.name[0] != '.')
			return entry;
		data += FUSE_DIRENTPLUS_SIZE(entry);
		len -= FUSE_DIRENTPLUS_SIZE(entry);
	}
	return NULL;
}

/* A directory that takes a while to be read; its first file is that which changes. */
static uint64_t make_many(void)
{
	struct fuse_open_in in = { 0 };
	struct fuse_read_in read_in = { .size = 60000 };
	const struct fuse_direntplus *first;
	static char data[65536];
	struct fuse_open_out out;
	char name[32];
	size_t got;

	for (unsigned int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		CHECK_OR(fe_file(&fe, name, 1) && barrier(), 0);
	}
	CHECK_OR(fe_request(&fe, FUSE_OPENDIR, FUSE_ROOT_ID, &in, sizeof(in),
			    &out, sizeof(out), NULL) == 0, 0);
	CHECK_OR(out.open_flags & FOPEN_CACHE_DIR, 0);
	CHECK_OR(out.open_flags & FOPEN_KEEP_CACHE, 0);
	read_in.fh = out.fh;
	CHECK_OR(fe_request(&fe, FUSE_READDIRPLUS, FUSE_ROOT_ID, &read_in,
			    sizeof(read_in), data, sizeof(data), &got) == 0, 0);
	first = first_file(data, got);
	CHECK_OR(first, 0);
	snprintf(busy, sizeof(busy), "%.*s", (int)first->dirent.namelen,
		 first->dirent.name);
	return out.fh + 1;
}

/*
 * What a guest believes: a size that it may keep, until it is told afterwards that it is
 * another one. Once all is quiet that must be the size there is.
 */
static bool round_of_listings(uint64_t fh, unsigned int *keeps)
{
	struct fuse_read_in in = { .fh = fh, .size = 60000 };
	const struct fuse_entry_out *entry;
	static char data[65536];
	pthread_t thread;
	struct stat st;
	size_t got;
	bool kept;

	CHECK_OR(!truncate(fe_path(&fe, busy), 0), false);
	CHECK_OR(barrier(), false);
	CHECK_OR(!pthread_create(&thread, NULL, write_soon, &fe), false);
	CHECK_OR(!hear_around(FUSE_READDIRPLUS, FUSE_ROOT_ID, &in, sizeof(in),
			      data, sizeof(data), &got), false);
	CHECK_OR(first_file(data, got), false);
	entry = &first_file(data, got)->entry_out;
	kept = entry->attr_valid && !heard_inode(entry->nodeid, 0);
	*keeps += kept;
	pthread_join(thread, NULL);
	CHECK_OR(barrier(), false);
	kept &= !heard_inode(entry->nodeid, 0);
	CHECK_OR(!stat(fe_path(&fe, busy), &st), false);
	CHECK_OR(!kept || (uint64_t)st.st_size == entry->attr.size, false);
	return true;
}

static void nothing_stale_is_kept(void)
{
	unsigned int keeps = 0;
	uint64_t fh;

	CHECK(begin());
	fh = make_many();
	CHECK(fh);
	for (unsigned int i = 0; i < 500; i++)
		CHECK(round_of_listings(fh - 1, &keeps));
	printf("# %u of 500 answers could be kept at first\n", keeps);
	CHECK(fe_end(&fe) == 0);
}

/* Until it is told to end; how often. */
struct writer {
	pthread_t thread;
	bool end;
	uint64_t size;
};

static const char *other_than_busy(void)
{
	return strcmp(busy, "file0") ? "file0" : "file1";
}

static void *change_one(void *arg)
{
	struct writer *writer = arg;
	int fd = open(fe_path(&fe, other_than_busy()), O_WRONLY);

	while (!__atomic_load_n(&writer->end, __ATOMIC_ACQUIRE) &&
	       pwrite(fd, "x", 1, 0) == 1)
		usleep(50);
	close(fd);
	return NULL;
}

/* What others do to one file is nothing to what is said of another. */
static void a_busy_file_is_no_other(void)
{
	struct fuse_read_in in = { .size = 60000 };
	struct writer writer = { 0 };
	static char data[65536];
	unsigned int kept = 0, again = 0;
	size_t got;

	CHECK(begin());
	in.fh = make_many() - 1;
	CHECK(fe_lookup(&fe, other_than_busy(), NULL) && barrier());
	CHECK(!pthread_create(&writer.thread, NULL, change_one, &writer));
	for (unsigned int i = 0; i < 300; i++) {
		CHECK(hear_around(FUSE_READDIRPLUS, FUSE_ROOT_ID, &in,
				  sizeof(in), data, sizeof(data), &got) == 0);
		CHECK(first_file(data, got));
		kept += first_file(data, got)->entry_out.attr_valid > UNBOUNDED;
		again += heard_inode(FUSE_ROOT_ID, 0);
	}
	__atomic_store_n(&writer.end, true, __ATOMIC_RELEASE);
	pthread_join(writer.thread, NULL);
	printf("# %u of 300 listings could be kept\n", kept);
	CHECK(kept > 270 && again < 30 && fe_end(&fe) == 0);
}

/* First the one, then the other. */
static void *change_two(void *arg)
{
	struct writer *writer = arg;
	char one[128], two[128];

	snprintf(one, sizeof(one), "%s", fe_path(&fe, "one"));
	snprintf(two, sizeof(two), "%s", fe_path(&fe, "two"));
	while (!__atomic_load_n(&writer->end, __ATOMIC_ACQUIRE)) {
		writer->size++;
		if (truncate(one, writer->size) || truncate(two, writer->size))
			break;
		usleep(rand() % 200);
	}
	return NULL;
}

/* Who sees the second change has been told of the first. */
static void changes_are_seen_in_order(void)
{
	struct fuse_getattr_in in = { 0 };
	struct fuse_attr_out attr;
	struct writer writer = { 0 };
	unsigned int kept = 0, wrong = 0;
	uint64_t one, two, size;

	CHECK(begin());
	one = fe_make(&fe, "one", 0);
	two = fe_make(&fe, "two", 0);
	CHECK(one && two && barrier());
	CHECK(!pthread_create(&writer.thread, NULL, change_two, &writer));
	for (unsigned int i = 0; i < 20000; i++) {
		CHECK(!hear_around(FUSE_GETATTR, one, &in, sizeof(in), &attr,
				   sizeof(attr), NULL));
		if (!attr.attr_valid || heard_inode(one, 0))
			continue;
		size = attr.attr.size;
		fe_request_begin(&fe, FUSE_GETATTR, two, &in, sizeof(in),
				 sizeof(attr));
		while (!fe_pending(&fe, 2))
			hear(0);
		CHECK(!fe_request_end(&fe, &attr, sizeof(attr), NULL));
		hear(0);
		if (heard_inode(one, 0))
			continue;
		kept++;
		wrong += attr.attr.size > size;
	}
	__atomic_store_n(&writer.end, true, __ATOMIC_RELEASE);
	pthread_join(writer.thread, NULL);
	printf("# %u of 20000 were not told of, %u of them wrong\n", kept, wrong);
	CHECK(kept && !wrong && fe_end(&fe) == 0);
}

/* What is kept of a directory that changes while it is read is said to have changed. */
static void listings_are_told_again(void)
{
	struct fuse_read_in in = { .size = 60000 };
	static char data[65536];
	unsigned int again = 0;
	pid_t child;
	size_t got;

	CHECK(begin());
	in.fh = make_many() - 1;
	child = fork();
	while (!child) {
		put("other", "x", O_CREAT);
		unlink(fe_path(&fe, "other"));
	}
	for (unsigned int i = 0; i < 1000 && again < 5; i++) {
		CHECK(hear_around(FUSE_READDIRPLUS, FUSE_ROOT_ID, &in,
				  sizeof(in), data, sizeof(data), &got) == 0);
		hear(2);
		again += heard_inode(FUSE_ROOT_ID, 0);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK(again == 5 && fe_end(&fe) == 0);
}

#define AT_ONCE 40
#define RACES 300

/* Each file becomes longer, at some time. */
static void *lengthen_all(void *arg)
{
	unsigned int *size = arg;
	char name[16];

	++*size;
	for (unsigned int i = 0; i < AT_ONCE / 2; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		if (truncate(fe_path(&fe, name), *size))
			return NULL;
		usleep(rand() % 20);
	}
	return arg;
}

/* All answers, each in its slot from 1 on, with what is heard meanwhile. */
static bool all_answered(unsigned int count)
{
	for (unsigned int i = 0; i < 20000 && count; i++) {
		hear(0);
		for (; fe_pending(&fe, 2); count--)
			fe_complete(&fe, 2);
		if (i > 10000)
			usleep(100);
	}
	return !count;
}

/*
 * Many are looked up at a time, each twice, while others change them, and forgotten:
 * no mark comes too late, or goes with the wrong one.
 */
static bool look_up_changing(unsigned int *size)
{
	struct fuse_entry_out entries[AT_ONCE];
	pthread_t thread;
	char name[16];
	void *done;

	num_notes = 0;
	CHECK_OR(!pthread_create(&thread, NULL, lengthen_all, size), false);
	for (unsigned int i = 0; i < AT_ONCE; i++) {
		snprintf(name, sizeof(name), "f%u", i / 2);
		slot_ask(&fe, 1 + i, 2, 1, FUSE_LOOKUP, FUSE_ROOT_ID, name,
			 strlen(name) + 1);
	}
	CHECK_OR(all_answered(AT_ONCE), false);
	pthread_join(thread, &done);
	slot_ask(&fe, 1 + AT_ONCE, 2, 1, FUSE_STATFS, FUSE_ROOT_ID, "", 0);
	CHECK_OR(done && all_answered(1), false);
	hear(0);
	for (unsigned int i = 0; i < AT_ONCE; i++) {
		memcpy(&entries[i], slot_body(&fe, 1 + i), sizeof(entries[i]));
		CHECK_OR(entries[i].nodeid && entries[i].nodeid ==
			 entries[i & ~1].nodeid, false);
		CHECK_OR(entries[i].attr.size == *size ||
			 !entries[i].attr_valid ||
			 heard_inode(entries[i].nodeid, 0), false);
	}
	for (unsigned int i = 0; i < AT_ONCE; i++)
		forget(entries[i].nodeid, 1);
	return true;
}

static void marks_are_in_time(void)
{
	unsigned int size = 0;
	char name[16];

	slots_reset();
	CHECK(begin());
	for (unsigned int i = 0; i < AT_ONCE / 2; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK(fe_file(&fe, name, 0) && barrier());
	}
	for (unsigned int i = 0; i < RACES; i++)
		CHECK(look_up_changing(&size));
	CHECK(fe_end(&fe) == 0);
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

/* kB, of a line in /proc/PID/status. */
static unsigned long memory(const char *what)
{
	unsigned long kb = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", fe.child);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, what, strlen(what)))
			kb = strtoul(line + strlen(what) + 1, NULL, 10);
	if (file)
		fclose(file);
	return kb;
}

#define KNOWN 100000

/* No more than 400 bytes for each, with file handles. */
static void memory_is_bounded(void)
{
	static const char *const args[] = {
		"--cache", "coherent", "--notifications", "--log-level", "warn",
		"--inode-file-handles", "prefer", NULL
	};
	struct fuse_entry_out entry;
	struct fuse_init_out out;
	unsigned long before, after;
	struct timespec start, end;
	char name[32];

	fe_base = "/dev/shm";
	CHECK(fe_begin(&fe, args));
	fe_base = "/tmp";
	for (unsigned int i = 0; i < KNOWN; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK(!mknod(fe_path(&fe, name), S_IFREG | 0644, 0));
	}
	CHECK(session(ORDERED, &out));
	before = memory("VmRSS");
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int i = 0; i < KNOWN; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK(look_up(FUSE_ROOT_ID, name, &entry) == 0);
		CHECK(entry.attr_valid > UNBOUNDED);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	after = memory("VmRSS");
	printf("# %d files: %lu kB more, %lu bytes each; %lu ns each\n", KNOWN,
	       after - before, (after - before) * 1024 / KNOWN,
	       ((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec -
		start.tv_nsec) / KNOWN);
	/* What looks for errors takes more. */
	CHECK((after - before) * 1024 / KNOWN < 400 ||
	      strstr(fe_daemon, "sanitize"));
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(answers_may_be_kept),
	TEST(a_guest_that_does_not_order),
	TEST(a_guest_without_the_queue),
	TEST(changes_precede_answers),
	TEST(watchers_are_told),
	TEST(half_of_a_rename),
	TEST(no_events_for_others),
	TEST(own_changes_are_silent),
	TEST(own_changes_by_another_mount),
	TEST(answers_wait_for_buffers),
	TEST(a_stop_while_answers_wait),
	TEST(it_ends_while_answers_wait),
	TEST(it_ends_while_a_listing_waits),
	TEST(a_storm_is_one_word),
	TEST(nothing_stale_is_kept),
	TEST(a_busy_file_is_no_other),
	TEST(changes_are_seen_in_order),
	TEST(listings_are_told_again),
	TEST(marks_are_in_time),
	TEST(what_is_forgotten),
	TEST(data_is_kept_without_writers),
	TEST(the_vmm_closes_files),
	TEST(mapped_files),
	TEST(holes_are_filled),
	TEST(known_by_two_mounts),
	TEST(by_file_handles),
	TEST(any_user_is_told),
	TEST(more_files_than_marks),
	TEST(where_nothing_can_be_watched),
	TEST(memory_is_bounded),
	TEST(on_xfs),
	TEST(on_btrfs),
	TEST(on_tmpfs),
	TEST(on_an_overlay),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
