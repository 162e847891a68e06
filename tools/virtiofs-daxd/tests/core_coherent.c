// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --cache=coherent: what others have changed is told before any answer that was made
 * after that, and what an answer says may be kept only if it is still so.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fe_main.h"

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

#define MAX_NOTES 4096
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

static __attribute__((unused)) bool heard_epoch(void)
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
	struct fuse_statfs_out out;
	int err = fe_request(&fe, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, &out,
			     sizeof(out), NULL);

	num_notes = 0;
	hear(0);
	return err == 0;
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

static __attribute__((unused)) void forget(uint64_t node, uint64_t count)
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

static const struct fs_test tests[] = {
	TEST(answers_may_be_kept),
	TEST(a_guest_that_does_not_order),
	TEST(a_guest_without_the_queue),
	TEST(changes_precede_answers),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
