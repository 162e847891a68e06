// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtiofs-daxd-fault, driven through its socket: what the guest can make go
 * wrong, and that it can make it go right again.
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fault/control.h"
#include "fault/fault.h"
#include "fe_main.h"

#define RANGE (UINT64_C(2) << 20)
#define NAME_LEN sizeof(FAULT_XATTR)

static struct frontend fe;

static const char *const with_window[] = {
	"--dax-window", "64M", "--log-level", "warn", NULL
};

/* setxattr() in the layout that the guest uses without POSIX ACLs. */
static int set(const char *text)
{
	char in[1024];
	const uint32_t head[2] = { strlen(text), 0 };

	memcpy(in, head, 8);
	memcpy(in + 8, FAULT_XATTR, NAME_LEN);
	memcpy(in + 8 + NAME_LEN, text, head[0]);
	return fe_request(&fe, FUSE_SETXATTR, FUSE_ROOT_ID, in,
			  8 + NAME_LEN + head[0], NULL, 0, NULL);
}

static int clear(void)
{
	return fe_request(&fe, FUSE_REMOVEXATTR, FUSE_ROOT_ID, FAULT_XATTR,
			  NAME_LEN, NULL, 0, NULL);
}

/* getxattr() with room for @max bytes; its error or the length. */
static int get(char *text, size_t max, size_t *len)
{
	struct {
		struct fuse_getxattr_in in;
		char name[NAME_LEN];
	} req = { .in.size = max, .name = FAULT_XATTR };

	return fe_request(&fe, FUSE_GETXATTR, FUSE_ROOT_ID, &req, sizeof(req),
			  text, max ?: sizeof(struct fuse_getxattr_out), len);
}

/* Whether the attribute has a line. */
static bool says(const char *line)
{
	char text[8192] = "\n", find[256];
	size_t len = 0;

	if (get(text + 1, sizeof(text) - 2, &len))
		return false;
	text[1 + len] = 0;
	snprintf(find, sizeof(find), "\n%s\n", line);
	return strstr(text, find);
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int getattr(uint64_t node, uint64_t *size)
{
	struct fuse_getattr_in in = { 0 };
	struct fuse_attr_out out = { 0 };
	int err = fe_request(&fe, FUSE_GETATTR, node, &in, sizeof(in), &out,
			     sizeof(out), NULL);

	*size = out.attr.size;
	return err;
}

static void attribute_of_the_root(void)
{
	char text[8192];
	struct fuse_getxattr_out out;
	size_t len;
	char name[] = FAULT_XATTR;

	CHECK(fe_begin(&fe, with_window));
	CHECK(set("op=READ die\nop=NOSUCH die") == -EINVAL);
	CHECK(set("op=READ skip=7 die") == 0);
	CHECK(says("rule op=READ skip=7 die seen=0 hits=0"));
	CHECK(says("held 0") && says("req_init 1") && says("req_read 0"));
	/* The requests which carry rules are none. */
	CHECK(says("req_setxattr 0") && says("req_getxattr 0"));
	CHECK(get((char *)&out, 0, &len) == 0 && len == sizeof(out));
	CHECK(get(text, out.size - 1, &len) == -ERANGE);
	CHECK(get(text, out.size, &len) == 0 && len == out.size);
	CHECK(clear() == 0);
	CHECK(!says("rule op=READ skip=7 die seen=0 hits=0"));
	/* Other attributes, and other files, are the daemon's. */
	name[sizeof(name) - 2] = 'x';
	CHECK(fe_request(&fe, FUSE_REMOVEXATTR, FUSE_ROOT_ID, name,
			 sizeof(name), NULL, 0, NULL) == -ENOSYS);
	CHECK(fe_file(&fe, "f", 1));
	CHECK(fe_request(&fe, FUSE_REMOVEXATTR, fe_lookup(&fe, "f", NULL),
			 FAULT_XATTR, NAME_LEN, NULL, 0, NULL) == -ENOSYS);
	CHECK(fe_end(&fe) == 0);
}

/* A value that claims to be longer than it is. */
static void malformed_values(void)
{
	char in[8 + NAME_LEN + 4] = { 5 };

	CHECK(fe_begin(&fe, with_window));
	memcpy(in + 8, FAULT_XATTR, NAME_LEN);
	memcpy(in + 8 + NAME_LEN, "clea", 4);
	CHECK(fe_request(&fe, FUSE_SETXATTR, FUSE_ROOT_ID, in, sizeof(in), NULL,
			 0, NULL) == -EINVAL);
	memset(in, 0xff, 4);
	CHECK(fe_request(&fe, FUSE_SETXATTR, FUSE_ROOT_ID, in, sizeof(in), NULL,
			 0, NULL) == -EINVAL);
	CHECK(fe_request(&fe, FUSE_SETXATTR, FUSE_ROOT_ID, in, 8 + NAME_LEN - 1,
			 NULL, 0, NULL) < 0);
	CHECK(fe_end(&fe) == 0);
}

/* A refused setup makes no map; with "done" it does. */
static void refusals(void)
{
	uint64_t node;

	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 100));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(set("op=SETUPMAPPING errno=12 count=2") == 0);
	CHECK(set("op=SETUPMAPPING errno=12345") == 0);
	CHECK(set("op=SETUPMAPPING errno=5 done") == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -ENOMEM);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -ENOMEM);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -12345);
	CHECK(fe_num_maps(&fe) == 0);
	CHECK(fe_setup(&fe, node, 0, RANGE, 0, false) == -EIO);
	CHECK(fe_num_maps(&fe) == 1 && fe.window[99]);
	CHECK(says("rule op=SETUPMAPPING errno=5 done seen=1 hits=1"));
	CHECK(says("req_setupmapping 4"));
	CHECK(set("op=REMOVEMAPPING errno=2") == 0);
	CHECK(fe_remove(&fe, 0, RANGE) == -ENOENT && fe_num_maps(&fe) == 1);
	CHECK(fe_remove(&fe, 0, RANGE) == 0 && fe_num_maps(&fe) == 0);
	CHECK(fe_end(&fe) == 0);
}

static void sizes(void)
{
	struct fuse_entry_out entry = { 0 };
	uint64_t node, size;

	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 100));
	CHECK(set("op=LOOKUP size=7") == 0);
	node = fe_lookup(&fe, "f", &entry);
	CHECK(node && entry.attr.size == 7);
	CHECK(set("op=GETATTR size=9223372036854775808") == 0);
	/* A directory does not count. */
	CHECK(getattr(FUSE_ROOT_ID, &size) == 0 && size < 1 << 20);
	CHECK(getattr(node, &size) == 0 && size == UINT64_C(1) << 63);
	CHECK(getattr(node, &size) == 0 && size == 100);
	CHECK(fe_end(&fe) == 0);
}

/* A directory is where another file system begins; a file is not. */
static void submounts(void)
{
	struct fuse_mkdir_in in = { .mode = 0700 };
	struct fuse_entry_out entry = { 0 };
	char body[sizeof(in) + 2] = "";

	memcpy(body, &in, sizeof(in));
	body[sizeof(in)] = 'd';
	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 100));
	CHECK(fe_request(&fe, FUSE_MKDIR, FUSE_ROOT_ID, body, sizeof(body),
			 &entry, sizeof(entry), NULL) == 0);
	CHECK(set("op=LOOKUP count=2 submount") == 0);
	CHECK(fe_lookup(&fe, "f", &entry));
	CHECK(!(entry.attr.flags & FUSE_ATTR_SUBMOUNT));
	CHECK(fe_lookup(&fe, "d", &entry));
	CHECK(entry.attr.flags & FUSE_ATTR_SUBMOUNT);
	CHECK(fe_lookup(&fe, "d", &entry));
	CHECK(!(entry.attr.flags & FUSE_ATTR_SUBMOUNT));
	CHECK(fe_end(&fe) == 0);
}

static void answers_to_init(void)
{
	struct fuse_init_out out = { 0 };

	CHECK(fe_begin(&fe, with_window));
	CHECK(set("op=INIT align=63") == 0);
	CHECK(fe_init(&fe, &out) == 0);
	CHECK(out.flags & FUSE_MAP_ALIGNMENT && out.map_alignment == 63);
	CHECK(fe_init(&fe, &out) == 0 && out.map_alignment == 12);
	CHECK(set("op=INIT flags2=3221225472") == 0);
	CHECK(fe_init(&fe, &out) == 0 && out.flags & FUSE_INIT_EXT &&
	      out.flags2 == 3u << 30);
	CHECK(fe_init(&fe, &out) == 0 && !(out.flags2 & 3u << 30));
	CHECK(fe_end(&fe) == 0);
}

/* The length in the used ring; that in the header goes to @said. */
static int64_t lengths(uint32_t opcode, uint64_t node, const void *in,
		       size_t in_len, size_t out_len, uint32_t *said)
{
	int64_t len;

	fe_request_begin(&fe, opcode, node, in, in_len, out_len);
	len = fe_complete(&fe, 1);
	/* Where the front-end has its replies. */
	memcpy(said, fe_ptr(&fe, FE_GUEST_BASE + (16 << 20)), sizeof(*said));
	return len;
}

static void wrong_lengths(void)
{
	const uint32_t header = sizeof(struct fuse_out_header);
	struct fuse_read_in read = { .size = 4096 };
	struct fuse_getattr_in in = { 0 };
	const size_t body = sizeof(struct fuse_attr_out);
	uint64_t node;
	uint32_t said;
	int error;

	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 1000));
	node = fe_lookup(&fe, "f", NULL);
	read.fh = fe_open(&fe, node, O_RDONLY, &error);
	CHECK(set("op=GETATTR short\nop=GETATTR long\nop=READ short\n"
		  "op=REMOVEMAPPING short") == 0);
	CHECK(lengths(FUSE_GETATTR, node, &in, sizeof(in), body, &said) ==
	      header + body / 2 && said == header + body / 2);
	CHECK(lengths(FUSE_GETATTR, node, &in, sizeof(in), body, &said) ==
	      (int64_t)(header + body) && said > header + body);
	CHECK(lengths(FUSE_READ, node, &read, sizeof(read), 4096, &said) ==
	      header + 500 && said == header + 500);
	CHECK(lengths(FUSE_REMOVEMAPPING, 0, &(uint32_t){ 0 }, 4, 0, &said) ==
	      header / 2);
	CHECK(fe_end(&fe) == 0);
}

static void delays(void)
{
	uint64_t node, size;
	long start;

	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 100));
	node = fe_lookup(&fe, "f", NULL);
	CHECK(set("op=GETATTR delay=300") == 0);
	start = now_ms();
	CHECK(getattr(node, &size) == 0 && size == 100);
	CHECK(now_ms() - start >= 300 && now_ms() - start < 1500);
	start = now_ms();
	CHECK(getattr(node, &size) == 0 && now_ms() - start < 250);
	CHECK(fe_end(&fe) == 0);
}

#define FIRST_HEAD 100

/* Several requests at a time, with descriptors and memory of their own. */
static void begin_at(unsigned int place, uint32_t opcode, uint64_t node,
		     const void *in, size_t in_len, size_t out_len)
{
	uint64_t addr = FE_GUEST_BASE + (20 << 20) + place * 16384;
	struct fuse_in_header *header = fe_ptr(&fe, addr);
	uint16_t head = FIRST_HEAD + 2 * place;

	*header = (struct fuse_in_header){
		.len = sizeof(*header) + in_len,
		.opcode = opcode,
		.nodeid = node,
		.unique = 1000 + place,
	};
	memcpy(header + 1, in, in_len);
	fe_desc(&fe, 1, head, addr, header->len, VRING_DESC_F_NEXT, head + 1);
	fe_desc(&fe, 1, head + 1, addr + 8192,
		sizeof(struct fuse_out_header) + out_len, VRING_DESC_F_WRITE,
		0);
	fe_submit(&fe, 1, head);
}

static void begin_getattr(unsigned int place)
{
	const struct fuse_getattr_in in = { 0 };

	begin_at(place, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in),
		 sizeof(struct fuse_attr_out));
}

/* The place of the next answer, -1 if it is one to another request. */
static int next_place(void)
{
	if (fe_complete(&fe, 1) <= 0 || fe.queues[1].head < FIRST_HEAD)
		return -1;
	return (fe.queues[1].head - FIRST_HEAD) / 2;
}

static bool says_soon(const char *line)
{
	for (int i = 0; i < 200; i++) {
		if (says(line))
			return true;
		usleep(10000);
	}
	return false;
}

/* More silence than there are threads: the next one is served all the same. */
static void silence(void)
{
	unsigned int places = 0;
	uint64_t size;

	CHECK(fe_begin(&fe, with_window));
	CHECK(set("op=GETATTR count=12 silence") == 0);
	for (unsigned int i = 0; i < 12; i++)
		begin_getattr(i);
	CHECK(says_soon("held 12"));
	CHECK(getattr(FUSE_ROOT_ID, &size) == 0);
	/* They are answered before the request that makes them so. */
	fe_request_begin(&fe, FUSE_REMOVEXATTR, FUSE_ROOT_ID, FAULT_XATTR,
			 NAME_LEN, 0);
	for (unsigned int i = 0; i < 12; i++)
		places |= 1 << next_place();
	CHECK(places == (1 << 12) - 1);
	CHECK(fe_request_end(&fe, NULL, 0, NULL) == 0);
	CHECK(says("held 0"));
	CHECK(fe_end(&fe) == 0);
}

static void reverse_order(void)
{
	static const char *const held[] = { "held 1", "held 2" };

	CHECK(fe_begin(&fe, with_window));
	CHECK(set("op=GETATTR hold=3") == 0);
	for (unsigned int i = 0; i < 2; i++) {
		begin_getattr(i);
		CHECK(says_soon(held[i]));
	}
	begin_getattr(2);
	for (int i = 2; i >= 0; i--)
		CHECK(next_place() == i);
	begin_getattr(3);
	CHECK(next_place() == 3);
	CHECK(fe_end(&fe) == 0);
}

/* A READ whose answer is kept does not keep a queue from being stopped. */
static void silence_and_stop(void)
{
	struct fuse_read_in read = { .size = 100 };
	uint64_t node;
	int error;

	CHECK(fe_begin(&fe, with_window) && fe_file(&fe, "f", 100));
	node = fe_lookup(&fe, "f", NULL);
	read.fh = fe_open(&fe, node, O_RDONLY, &error);
	CHECK(set("op=READ silence") == 0);
	begin_at(0, FUSE_READ, node, &read, sizeof(read), 4096);
	CHECK(says_soon("held 1"));
	CHECK(fe_stop_queues(&fe));
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	CHECK(fe_init(&fe, &(struct fuse_init_out){ 0 }) == 0);
	CHECK(clear() == 0 && says("held 0"));
	CHECK(fe_end(&fe) == 0);
}

static int die_by(const char *rule)
{
	uint64_t size;

	if (!fe_begin(&fe, with_window) || set(rule))
		return -1;
	if (getattr(FUSE_ROOT_ID, &size) != -1000)
		return -1;
	return fe_wait(&fe);
}

static void death(void)
{
	CHECK(die_by("op=GETATTR die") == FAULT_EXIT);
	CHECK(die_by("op=GETATTR die done") == FAULT_EXIT);
}

static const struct fs_test tests[] = {
	TEST(attribute_of_the_root),
	TEST(malformed_values),
	TEST(refusals),
	TEST(sizes),
	TEST(submounts),
	TEST(answers_to_init),
	TEST(wrong_lengths),
	TEST(delays),
	TEST(silence),
	TEST(silence_and_stop),
	TEST(reverse_order),
	TEST(death),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
