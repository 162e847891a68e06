// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --cache=coherent: what changes while an answer is made. It is told of after that, or
 * the answer must not be kept.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coherent_guest.h"
#include "fe_main.h"
#include "slots.h"

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

static const struct fs_test tests[] = {
	TEST(nothing_stale_is_kept),
	TEST(a_busy_file_is_no_other),
	TEST(changes_are_seen_in_order),
	TEST(listings_are_told_again),
	TEST(marks_are_in_time),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
