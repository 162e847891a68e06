// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/count.h"

#include <linux/fuse.h>
#include <strings.h>

#include "host/util.h"

/* In the order of opcodes; what has no name is counted as "other". */
static const char *const count_names[] = {
	[0] = "other",
	[FUSE_LOOKUP] = "lookup",
	[FUSE_FORGET] = "forget",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_LINK] = "link",
	[FUSE_OPEN] = "open",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_STATFS] = "statfs",
	[FUSE_RELEASE] = "release",
	[FUSE_FSYNC] = "fsync",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_FLUSH] = "flush",
	[FUSE_INIT] = "init",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_RELEASEDIR] = "releasedir",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_GETLK] = "getlk",
	[FUSE_SETLK] = "setlk",
	[FUSE_SETLKW] = "setlkw",
	[FUSE_ACCESS] = "access",
	[FUSE_CREATE] = "create",
	[FUSE_INTERRUPT] = "interrupt",
	[FUSE_IOCTL] = "ioctl",
	[FUSE_DESTROY] = "destroy",
	[FUSE_BATCH_FORGET] = "batch_forget",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_READDIRPLUS] = "readdirplus",
	[FUSE_RENAME2] = "rename2",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
	[FUSE_SETUPMAPPING] = "setupmapping",
	[FUSE_REMOVEMAPPING] = "removemapping",
	[FUSE_SYNCFS] = "syncfs",
	[FUSE_TMPFILE] = "tmpfile",
	[FUSE_STATX] = "statx",
};

/*
 * By opcode; atomic, each for itself.
 *
 * @count: requests
 * @us: what they took, microseconds
 * @bytes: data, of READ and WRITE
 */
static struct {
	uint64_t count;
	uint64_t us;
	uint64_t bytes;
} counts[ARRAY_SIZE(count_names)];

uint32_t count_opcode(const char *name)
{
	for (uint32_t i = 1; i < ARRAY_SIZE(count_names); i++)
		if (count_names[i] && !strcasecmp(count_names[i], name))
			return i;
	return 0;
}

static uint32_t known(uint32_t opcode)
{
	return opcode < ARRAY_SIZE(count_names) && count_names[opcode] ?
	       opcode : 0;
}

const char *count_name(uint32_t opcode)
{
	return count_names[known(opcode)];
}

static void add(uint64_t *counter, uint64_t value)
{
	__atomic_add_fetch(counter, value, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void count_request(uint32_t opcode)
{
	add(&counts[known(opcode)].count, 1);
}

void count_served(uint32_t opcode, uint64_t us)
{
	add(&counts[known(opcode)].us, us);
}

void count_bytes(uint32_t opcode, uint64_t bytes)
{
	add(&counts[known(opcode)].bytes, bytes);
}

void count_print_all(FILE *out)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(count_names); i++)
		if (count_names[i])
			fprintf(out, "req_%s %lu\n", count_names[i],
				get(&counts[i].count));
}

void count_print_one(FILE *out, const char *kind, const char *name,
		     uint64_t value)
{
	if (value)
		fprintf(out, "%s_%s %lu\n", kind, name, value);
}

void count_print(FILE *out)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(count_names); i++) {
		if (!count_names[i])
			continue;
		count_print_one(out, "req", count_names[i], get(&counts[i].count));
		count_print_one(out, "us", count_names[i], get(&counts[i].us));
		count_print_one(out, "bytes", count_names[i], get(&counts[i].bytes));
	}
}
