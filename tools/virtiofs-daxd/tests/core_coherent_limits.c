// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --cache=coherent: more than there is room for, in buffers of the guest, in queues of
 * the kernel, or in memory.
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "coherent_guest.h"
#include "fe_main.h"
#include "slots.h"

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

/* Processor time that the daemon has used, in ticks; 0 if that cannot be read. */
static unsigned long ticks(void)
{
	unsigned long user = 0, kernel = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", fe.child);
	file = fopen(path, "re");
	if (file &&
	    fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &kernel) != 2)
		user = kernel = 0;
	if (file)
		fclose(file);
	return user + kernel;
}

/* Until it does nothing any more: what it has to answer is answered, or waits. */
static bool idle(void)
{
	unsigned long was, now = ticks();

	for (int i = 0; i < 120; i++) {
		was = now;
		usleep(1000000);
		now = ticks();
		if (now && now == was)
			return true;
	}
	return false;
}

#define LONG_LEN (100 << 10)
#define LONG_COUNT 100

/* Requests as long as they may be, all from one place; their answers wait. */
static void ask_at_length(void)
{
	struct fuse_in_header *header = (void *)(fe.memory + (8 << 20));
	char *room = fe.memory + (9 << 20);

	*header = (struct fuse_in_header){
		.len = LONG_LEN,
		.opcode = FUSE_STATFS,
		.unique = 1 << 20,
		.nodeid = FUSE_ROOT_ID,
	};
	memset(header + 1, 'x', LONG_LEN - sizeof(*header));
	for (unsigned int i = 0; i < LONG_COUNT; i++) {
		fe_desc(&fe, 2, 2 * i, fe_addr(&fe, header), LONG_LEN,
			VRING_DESC_F_NEXT, 2 * i + 1);
		fe_desc(&fe, 2, 2 * i + 1, fe_addr(&fe, room + i * 256), 256,
			VRING_DESC_F_WRITE, 0);
		fe_submit(&fe, 2, 2 * i);
	}
}

/* What was asked is not kept with the answer. */
static void requests_are_not_kept(void)
{
	unsigned long before, after;

	CHECK(begin() && change_more_than_buffers());
	before = memory("VmRSS");
	ask_at_length();
	usleep(300000);
	CHECK(!fe_pending(&fe, 2));
	after = memory("VmRSS");
	printf("# %d answers wait: %lu kB more\n", LONG_COUNT, after - before);
	CHECK(after - before < 3000 || strstr(fe_daemon, "sanitize"));
	CHECK(fe_end(&fe) == 0);
}

#define LISTED 4500
#define LISTINGS 22
#define LISTING_LEN (1 << 20)

static uint64_t open_directory(const char *name)
{
	struct fuse_open_in in = { 0 };
	struct fuse_open_out out;
	struct fuse_entry_out entry;
	char path[96];

	CHECK_OR(!mkdir(fe_path(&fe, name), 0755), UINT64_MAX);
	for (unsigned int i = 0; i < LISTED; i++) {
		snprintf(path, sizeof(path), "%s/%060u", name, i);
		CHECK_OR(!mknod(fe_path(&fe, path), S_IFREG | 0644, 0),
			 UINT64_MAX);
	}
	CHECK_OR(look_up(FUSE_ROOT_ID, name, &entry) == 0, UINT64_MAX);
	CHECK_OR(fe_request(&fe, FUSE_OPENDIR, entry.nodeid, &in, sizeof(in),
			    &out, sizeof(out), NULL) == 0, UINT64_MAX);
	return out.fh;
}

/* All of the same, to the same place but for their headers. */
static void ask_listings(uint64_t fh, struct fuse_out_header *headers, char *body)
{
	struct {
		struct fuse_in_header header;
		struct fuse_read_in in;
	} *ask = (void *)(fe.memory + (8 << 20));

	ask->header = (struct fuse_in_header){
		.len = sizeof(*ask),
		.opcode = FUSE_READDIRPLUS,
		.unique = 1 << 20,
		.nodeid = FUSE_ROOT_ID,
	};
	ask->in = (struct fuse_read_in){ .fh = fh, .size = LISTING_LEN };
	for (unsigned int i = 0; i < LISTINGS; i++) {
		fe_desc(&fe, 2, 3 * i, fe_addr(&fe, ask), sizeof(*ask),
			VRING_DESC_F_NEXT, 3 * i + 1);
		fe_desc(&fe, 2, 3 * i + 1, fe_addr(&fe, &headers[i]),
			sizeof(*headers), VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
			3 * i + 2);
		fe_desc(&fe, 2, 3 * i + 2, fe_addr(&fe, body), LISTING_LEN,
			VRING_DESC_F_WRITE, 0);
		fe_submit(&fe, 2, 3 * i);
	}
}

/* What the guest has got to know by so many listings; their number, or 0. */
static unsigned int forget_listed(char *data, size_t len, unsigned int count)
{
	unsigned int nodes = 0;

	while (len >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		struct fuse_direntplus *entry = (void *)data;

		if (entry->entry_out.nodeid) {
			forget(entry->entry_out.nodeid, count);
			nodes++;
		}
		data += FUSE_DIRENTPLUS_SIZE(entry);
		len -= FUSE_DIRENTPLUS_SIZE(entry);
	}
	return nodes;
}

/* What is in a listing for which there is no room the guest has not got to know. */
static void listings_that_are_lost(void)
{
	unsigned int known, left = LISTINGS, got = 0, len = 0;
	struct fuse_out_header *headers;
	uint64_t fh;
	char *body;

	CHECK(begin());
	headers = (void *)(fe.memory + (9 << 20));
	body = fe.memory + (10 << 20);
	fh = open_directory("d");
	CHECK(fh != UINT64_MAX && barrier() && change_more_than_buffers());
	known = fe_descriptors(&fe);
	ask_listings(fh, headers, body);
	CHECK(idle());
	for (unsigned int i = 0; i < 30000 && left; i++) {
		usleep(1000);
		hear(0);
		for (; fe_pending(&fe, 2); left--)
			fe_complete(&fe, 2);
	}
	CHECK(!left);
	for (unsigned int i = 0; i < LISTINGS; i++) {
		got += !headers[i].error;
		if (!headers[i].error)
			len = headers[i].len - sizeof(*headers);
	}
	printf("# %u of %d listings were given, of %u bytes\n", got, LISTINGS, len);
	CHECK(got && got < LISTINGS);
	CHECK(forget_listed(body, len, got) > LISTED / 2);
	CHECK(fe_descriptors(&fe) <= known);
	CHECK(fe_end(&fe) == 0);
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
	TEST(answers_wait_for_buffers),
	TEST(a_stop_while_answers_wait),
	TEST(it_ends_while_answers_wait),
	TEST(it_ends_while_a_listing_waits),
	TEST(requests_are_not_kept),
	TEST(listings_that_are_lost),
	TEST(a_storm_is_one_word),
	TEST(memory_is_bounded),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
