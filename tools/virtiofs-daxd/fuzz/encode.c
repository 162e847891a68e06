// SPDX-License-Identifier: GPL-2.0-or-later
#include "encode.h"

#include <linux/fuse.h>

#include "host/util.h"

/*
 * Fields of each request behind its header: 4 and 8 are numbers of as many bytes,
 * p numbers of pages, m bits of a map, n node ids, h handles, u numbers of
 * requests, N a name with its NUL, B a value with its size before the name
 * (SETXATTR), D data, R a list of ranges, F of nodes to forget. What is not listed
 * has data.
 */
static const char *const layouts[] = {
	[FUSE_LOOKUP] = "N",
	[FUSE_FORGET] = "8",
	[FUSE_GETATTR] = "44h",
	[FUSE_SETATTR] = "44h8888844444444",
	[FUSE_READLINK] = "",
	[FUSE_SYMLINK] = "NN",
	[FUSE_MKNOD] = "4444N",
	[FUSE_MKDIR] = "44N",
	[FUSE_UNLINK] = "N",
	[FUSE_RMDIR] = "N",
	[FUSE_RENAME] = "nNN",
	[FUSE_LINK] = "nN",
	[FUSE_OPEN] = "44",
	[FUSE_READ] = "h844844",
	[FUSE_WRITE] = "h844844D",
	[FUSE_STATFS] = "",
	[FUSE_RELEASE] = "h448",
	[FUSE_FSYNC] = "h44",
	[FUSE_SETXATTR] = "B",
	[FUSE_GETXATTR] = "44N",
	[FUSE_LISTXATTR] = "44",
	[FUSE_REMOVEXATTR] = "N",
	[FUSE_FLUSH] = "h448",
	[FUSE_INIT] = "4444444444444444",
	[FUSE_OPENDIR] = "44",
	[FUSE_READDIR] = "h844844",
	[FUSE_RELEASEDIR] = "h448",
	[FUSE_FSYNCDIR] = "h44",
	[FUSE_GETLK] = "h8884444",
	[FUSE_SETLK] = "h8884444",
	[FUSE_SETLKW] = "h8884444",
	[FUSE_ACCESS] = "44",
	[FUSE_CREATE] = "4444N",
	[FUSE_INTERRUPT] = "u",
	[FUSE_DESTROY] = "",
	[FUSE_BATCH_FORGET] = "F",
	[FUSE_FALLOCATE] = "h8844",
	[FUSE_READDIRPLUS] = "h844844",
	[FUSE_RENAME2] = "n44NN",
	[FUSE_LSEEK] = "h844",
	[FUSE_COPY_FILE_RANGE] = "h8nh888",
	[FUSE_SETUPMAPPING] = "hppmp",
	[FUSE_REMOVEMAPPING] = "R",
	[FUSE_SYNCFS] = "8",
	[FUSE_TMPFILE] = "4444",
	[FUSE_STATX] = "44h44",
};

static const char *const names[] = {
	"f", "d", "e", "l", "p", "a", "b", ".", "..", "", "d/f", "/",
	"user.x", "user.y", "security.capability", "system.posix_acl_access",
	"system.posix_acl_default", "trusted.x", "../../f",
};

/* A request that is being made. */
struct writer {
	char *buf;
	size_t len;
	size_t max;
};

static void put(struct writer *out, const void *data, size_t len)
{
	if (len > out->max - out->len)
		len = out->max - out->len;
	memcpy(out->buf + out->len, data, len);
	out->len += len;
}

static void put_u32(struct writer *out, uint32_t value)
{
	put(out, &value, sizeof(value));
}

static void put_u64(struct writer *out, uint64_t value)
{
	put(out, &value, sizeof(value));
}

static void put_known(struct writer *out, struct input *in,
		      const uint64_t *known)
{
	uint8_t what = input_u8(in);

	put_u64(out, what < 240 ? known[what % ENCODE_KNOWN] :
				  input_number(in));
}

/* Mostly a few pages, or a few times 2 MiB. */
static void put_pages(struct writer *out, struct input *in)
{
	uint8_t what = input_u8(in);

	put_u64(out, what < 240 ?
		     (uint64_t)(what % 32) << (what & 32 ? 21 : 12) :
		     input_number(in));
}

/* So many bytes of which the first are the input's. */
static void put_data(struct writer *out, struct input *in, size_t len)
{
	char chunk[16] = { 0 };

	len = len < out->max ? len : out->max;
	for (size_t done = 0; done < len; done += sizeof(chunk)) {
		if (done < 64)
			input_bytes(in, chunk, sizeof(chunk));
		put(out, chunk, len - done < sizeof(chunk) ? len - done :
							     sizeof(chunk));
	}
}

/* From the list, of a length with one letter, or bytes of the input. */
static void put_name(struct writer *out, struct input *in)
{
	uint8_t what = input_u8(in);

	if (what < 192) {
		const char *name = names[what % ARRAY_SIZE(names)];

		put(out, name, strlen(name) + 1);
		return;
	}
	if (what < 224) {
		/* Around NAME_MAX. */
		for (unsigned int i = 0; i < 224u + what - 192 + 16; i++)
			put(out, "n", 1);
	} else {
		put_data(out, in, what - 224);
	}
	/* One in 64 has no end. */
	if (what % 64)
		put(out, "", 1);
}

/* As with the long or the short form of the structure. */
static void put_setxattr(struct writer *out, struct input *in)
{
	uint8_t how = input_u8(in);
	uint32_t size = input_u32(in), real = size;

	put_u32(out, size);
	put_u32(out, how >> 4 & 3);
	if (how & 1) {
		put_u32(out, how >> 6);
		put_u32(out, 0);
	}
	if (how & 8)
		real = input_u8(in);
	put_name(out, in);
	put_data(out, in, real);
}

static void put_ranges(struct writer *out, struct input *in)
{
	uint8_t count = input_u8(in) % 8;

	put_u32(out, count == 7 ? input_u32(in) : count);
	for (unsigned int i = 0; i < count; i++) {
		put_pages(out, in);
		put_pages(out, in);
	}
}

static void put_forgets(struct writer *out, struct input *in,
			const struct encode_known *known)
{
	uint8_t count = input_u8(in) % 8;

	put_u32(out, count == 7 ? input_u32(in) : count);
	put_u32(out, 0);
	for (unsigned int i = 0; i < count; i++) {
		put_known(out, in, known->nodes);
		put_u64(out, input_number(in));
	}
}

static void put_field(struct writer *out, struct input *in, char field,
		      const struct encode_known *known)
{
	uint8_t what;

	switch (field) {
	case '4':
		put_u32(out, input_u32(in));
		break;
	case '8':
		put_u64(out, input_number(in));
		break;
	case 'p':
		put_pages(out, in);
		break;
	case 'm':
		what = input_u8(in);
		put_u64(out, what < 240 ? what % 4 : input_number(in));
		break;
	case 'n':
		put_known(out, in, known->nodes);
		break;
	case 'h':
		put_known(out, in, known->handles);
		break;
	case 'u':
		put_known(out, in, known->uniques);
		break;
	case 'N':
		put_name(out, in);
		break;
	case 'B':
		put_setxattr(out, in);
		break;
	case 'R':
		put_ranges(out, in);
		break;
	case 'F':
		put_forgets(out, in, known);
		break;
	case 'D':
		put_data(out, in, input_u32(in) % out->max);
		break;
	}
}

/* Mostly as it is, sometimes not what there is. */
static uint32_t header_len(size_t len, uint8_t how)
{
	switch (how) {
	case 1:
		return len - 1;
	case 2:
		return len + 1;
	case 3:
		return len / 2;
	}
	return len;
}

void encode_begin(struct encode_known *known)
{
	memset(known, 0, sizeof(*known));
	for (int i = 0; i < ENCODE_KNOWN; i++)
		known->nodes[i] = FUSE_ROOT_ID;
}

size_t encode_request(struct input *in, struct encode_known *known, char *buf,
		      size_t max)
{
	static uint64_t unique;
	uint8_t opcode = input_u8(in), who = input_u8(in);
	struct writer out = { buf, 0, max };
	struct fuse_in_header header = {
		.opcode = opcode,
		.unique = ++unique,
		.uid = who & 7 ? 1000 : 0,
		.gid = who & 8 ? 100 : 0,
		.pid = 1 + (who >> 4 & 1),
	};
	const char *fields = "D";

	known->uniques[known->next_unique++ % ENCODE_KNOWN] = unique;
	if (opcode < ARRAY_SIZE(layouts) && layouts[opcode])
		fields = layouts[opcode];
	put(&out, &header, sizeof(header));
	out.len = offsetof(struct fuse_in_header, nodeid);
	put_known(&out, in, known->nodes);
	out.len = sizeof(header);
	for (; *fields; fields++)
		put_field(&out, in, *fields, known);
	header.len = header_len(out.len, who >> 5);
	memcpy(buf, &header.len, sizeof(header.len));
	return out.len;
}

/* The root keeps its slot. */
static void learn_node(struct encode_known *known, uint64_t nodeid)
{
	if (nodeid > FUSE_ROOT_ID)
		known->nodes[1 + known->next_node++ % (ENCODE_KNOWN - 1)] =
			nodeid;
}

static void learn_handle(struct encode_known *known, uint64_t fh)
{
	known->handles[known->next_handle++ % ENCODE_KNOWN] = fh;
}

static void learn_entries(struct encode_known *known, const char *body,
			  size_t len)
{
	while (len >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		const struct fuse_direntplus *entry = (const void *)body;
		size_t size = FUSE_DIRENTPLUS_SIZE(entry);

		MUST(size <= len);
		learn_node(known, entry->entry_out.nodeid);
		body += size;
		len -= size;
	}
}

void encode_learn(struct encode_known *known, uint32_t opcode, const void *body,
		  size_t len)
{
	const struct fuse_entry_out *entry = body;
	const struct fuse_open_out *open_out = body;

	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		MUST(len == sizeof(*entry));
		learn_node(known, entry->nodeid);
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		MUST(len == sizeof(*entry) + sizeof(*open_out));
		learn_node(known, entry->nodeid);
		open_out = (const void *)(entry + 1);
		learn_handle(known, open_out->fh);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		MUST(len == sizeof(*open_out));
		learn_handle(known, open_out->fh);
		break;
	case FUSE_READDIRPLUS:
		learn_entries(known, body, len);
		break;
	}
}
