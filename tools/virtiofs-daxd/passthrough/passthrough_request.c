// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A look at each request before libfuse trusts it.
 *
 * libfuse was written for a kernel as its peer: it does not compare the length
 * of a message with what the operation reads from it. Here the peer is a guest.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#include "host/util.h"
#include "passthrough/passthrough_i.h"
#include "passthrough/passthrough_label.h"

/* No buffer is made for more than this; the operations have less, or room. */
#define REPLY_MAX (16u << 20)

/*
 * @known: whether the operation is let through
 * @fixed: bytes of the structure that follows the header
 * @names: strings after it, each with its NUL
 */
struct layout {
	bool known;
	uint8_t fixed;
	uint8_t names;
};

#define LAYOUT(size, nr) { .known = true, .fixed = (size), .names = (nr) }

static const struct layout layouts[] = {
	[FUSE_LOOKUP] = LAYOUT(0, 1),
	[FUSE_FORGET] = LAYOUT(sizeof(struct fuse_forget_in), 0),
	[FUSE_GETATTR] = LAYOUT(sizeof(struct fuse_getattr_in), 0),
	[FUSE_SETATTR] = LAYOUT(sizeof(struct fuse_setattr_in), 0),
	[FUSE_READLINK] = LAYOUT(0, 0),
	[FUSE_SYMLINK] = LAYOUT(0, 2),
	[FUSE_MKNOD] = LAYOUT(sizeof(struct fuse_mknod_in), 1),
	[FUSE_MKDIR] = LAYOUT(sizeof(struct fuse_mkdir_in), 1),
	[FUSE_UNLINK] = LAYOUT(0, 1),
	[FUSE_RMDIR] = LAYOUT(0, 1),
	[FUSE_RENAME] = LAYOUT(sizeof(struct fuse_rename_in), 2),
	[FUSE_LINK] = LAYOUT(sizeof(struct fuse_link_in), 1),
	[FUSE_OPEN] = LAYOUT(sizeof(struct fuse_open_in), 0),
	[FUSE_READ] = LAYOUT(sizeof(struct fuse_read_in), 0),
	[FUSE_WRITE] = LAYOUT(sizeof(struct fuse_write_in), 0),
	[FUSE_STATFS] = LAYOUT(0, 0),
	[FUSE_RELEASE] = LAYOUT(sizeof(struct fuse_release_in), 0),
	[FUSE_FSYNC] = LAYOUT(sizeof(struct fuse_fsync_in), 0),
	[FUSE_SETXATTR] = LAYOUT(FUSE_COMPAT_SETXATTR_IN_SIZE, 0),
	[FUSE_GETXATTR] = LAYOUT(sizeof(struct fuse_getxattr_in), 1),
	[FUSE_LISTXATTR] = LAYOUT(sizeof(struct fuse_getxattr_in), 0),
	[FUSE_REMOVEXATTR] = LAYOUT(0, 1),
	[FUSE_FLUSH] = LAYOUT(sizeof(struct fuse_flush_in), 0),
	[FUSE_INIT] = LAYOUT(16, 0),
	[FUSE_OPENDIR] = LAYOUT(sizeof(struct fuse_open_in), 0),
	[FUSE_READDIR] = LAYOUT(sizeof(struct fuse_read_in), 0),
	[FUSE_RELEASEDIR] = LAYOUT(sizeof(struct fuse_release_in), 0),
	[FUSE_FSYNCDIR] = LAYOUT(sizeof(struct fuse_fsync_in), 0),
	[FUSE_GETLK] = LAYOUT(sizeof(struct fuse_lk_in), 0),
	[FUSE_SETLK] = LAYOUT(sizeof(struct fuse_lk_in), 0),
	[FUSE_SETLKW] = LAYOUT(sizeof(struct fuse_lk_in), 0),
	[FUSE_ACCESS] = LAYOUT(sizeof(struct fuse_access_in), 0),
	[FUSE_CREATE] = LAYOUT(sizeof(struct fuse_create_in), 1),
	[FUSE_INTERRUPT] = LAYOUT(sizeof(struct fuse_interrupt_in), 0),
	[FUSE_DESTROY] = LAYOUT(0, 0),
	[FUSE_BATCH_FORGET] = LAYOUT(sizeof(struct fuse_batch_forget_in), 0),
	[FUSE_FALLOCATE] = LAYOUT(sizeof(struct fuse_fallocate_in), 0),
	[FUSE_READDIRPLUS] = LAYOUT(sizeof(struct fuse_read_in), 0),
	[FUSE_RENAME2] = LAYOUT(sizeof(struct fuse_rename2_in), 2),
	[FUSE_LSEEK] = LAYOUT(sizeof(struct fuse_lseek_in), 0),
	[FUSE_COPY_FILE_RANGE] =
		LAYOUT(sizeof(struct fuse_copy_file_range_in), 0),
	[FUSE_SETUPMAPPING] = LAYOUT(sizeof(struct fuse_setupmapping_in), 0),
	[FUSE_REMOVEMAPPING] = LAYOUT(sizeof(struct fuse_removemapping_in), 0),
	[FUSE_SYNCFS] = LAYOUT(sizeof(struct fuse_syncfs_in), 0),
	[FUSE_TMPFILE] = LAYOUT(sizeof(struct fuse_create_in), 0),
	[FUSE_STATX] = LAYOUT(sizeof(struct fuse_statx_in), 0),
};

/* What the operation that this thread runs next must know beyond libfuse. */
static _Thread_local struct {
	bool kill_suidgid;
	bool acl_kill_sgid;
	struct label label;
} hints;

bool request_kill_suidgid(void)
{
	return hints.kill_suidgid;
}

bool request_acl_kill_sgid(void)
{
	return hints.acl_kill_sgid;
}

const struct label *request_label(void)
{
	return &hints.label;
}

/* Whether @nr strings, each with its NUL, lie in @buf. */
static bool names_fit(const char *buf, size_t len, unsigned int nr)
{
	while (nr--) {
		const char *end = memchr(buf, 0, len);

		if (!end)
			return false;
		end++;
		len -= (size_t)(end - buf);
		buf = end;
	}
	return true;
}

/*
 * The value follows the name. Which form of the structure it is depends on
 * what was negotiated: with POSIX ACLs the long one (see pt_init()).
 */
static int setxattr_check(const char *body, size_t len, bool ext)
{
	size_t fixed = ext ? sizeof(struct fuse_setxattr_in) :
			     FUSE_COMPAT_SETXATTR_IN_SIZE;
	struct fuse_setxattr_in in = { 0 };
	size_t name;

	if (len < fixed || !names_fit(body + fixed, len - fixed, 1))
		return -EINVAL;
	memcpy(&in, body, fixed);
	name = strlen(body + fixed) + 1;
	if (in.size > len - fixed - name)
		return -EINVAL;
	hints.acl_kill_sgid = in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	return 0;
}

static int batch_check(const char *body, size_t len)
{
	struct fuse_batch_forget_in in;

	memcpy(&in, body, sizeof(in));
	if (in.count > (len - sizeof(in)) / sizeof(struct fuse_forget_one))
		return -EINVAL;
	return 0;
}

static int read_check(const char *body, uint32_t max)
{
	struct fuse_read_in in;

	memcpy(&in, body, sizeof(in));
	return in.size > max ? -EINVAL : 0;
}

static int write_check(const char *body, size_t len)
{
	struct fuse_write_in in;

	memcpy(&in, body, sizeof(in));
	hints.kill_suidgid = in.write_flags & FUSE_WRITE_KILL_SUIDGID;
	return in.size > min(len - sizeof(in), (size_t)PT_IO_MAX) ? -EINVAL : 0;
}

static int getxattr_check(const char *body)
{
	struct fuse_getxattr_in in;

	memcpy(&in, body, sizeof(in));
	return in.size > REPLY_MAX ? -EINVAL : 0;
}

/* The long form of INIT is there if its flag is set. */
static int init_check(const char *body, size_t len)
{
	struct fuse_init_in in = { 0 };

	memcpy(&in, body, 16);
	if ((in.flags & FUSE_INIT_EXT) && len < sizeof(in))
		return -EINVAL;
	return 0;
}

static void open_hint(const char *body)
{
	struct fuse_open_in in;

	memcpy(&in, body, sizeof(in));
	hints.kill_suidgid = in.open_flags & FUSE_OPEN_KILL_SUIDGID;
}

static void create_hint(const char *body)
{
	struct fuse_create_in in;

	memcpy(&in, body, sizeof(in));
	hints.kill_suidgid = in.open_flags & FUSE_OPEN_KILL_SUIDGID;
}

static void setattr_hint(const char *body)
{
	struct fuse_setattr_in in;

	memcpy(&in, body, sizeof(in));
	hints.kill_suidgid = in.valid & FATTR_KILL_SUIDGID;
}

static int body_check(uint32_t opcode, const char *body, size_t len, bool ext)
{
	switch (opcode) {
	case FUSE_INIT:
		return init_check(body, len);
	case FUSE_SETXATTR:
		return setxattr_check(body, len, ext);
	case FUSE_BATCH_FORGET:
		return batch_check(body, len);
	case FUSE_READ:
		return read_check(body, PT_IO_MAX);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return read_check(body, REPLY_MAX);
	case FUSE_WRITE:
		return write_check(body, len);
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return getxattr_check(body);
	case FUSE_OPEN:
		open_hint(body);
		return 0;
	case FUSE_CREATE:
		create_hint(body);
		return 0;
	case FUSE_SETATTR:
		setattr_hint(body);
		return 0;
	}
	return 0;
}

/*
 * Find the label in what follows the names of a request. Return: 0, or -EINVAL if it is
 * not as the protocol has it.
 */
static int label_parse(const char *ext, size_t len, struct label *label)
{
	struct fuse_secctx_header header;
	struct fuse_secctx context;
	const char *end;

	if (len < sizeof(header))
		return -EINVAL;
	memcpy(&header, ext, sizeof(header));
	/* The guest has no module with labels; or it is something else. */
	if (!header.nr_secctx || header.nr_secctx > FUSE_MAX_NR_SECCTX)
		return 0;
	if (header.nr_secctx > 1 || header.size > len ||
	    header.size < sizeof(header) + sizeof(context))
		return -EINVAL;
	len = header.size - sizeof(header) - sizeof(context);
	memcpy(&context, ext + sizeof(header), sizeof(context));
	label->name = ext + sizeof(header) + sizeof(context);
	end = memchr(label->name, 0, len);
	/* What else there is has rules of its own, as ACLs have. */
	if (!end || strncmp(label->name, "security.", strlen("security.")))
		return -EINVAL;
	label->value = end + 1;
	if (context.size > len - (size_t)(end + 1 - label->name))
		return -EINVAL;
	label->size = context.size;
	return 0;
}

/* What makes something may have more behind its names. */
static int label_check(const struct pt *pt, const struct fuse_in_header *in,
		       const char *body, size_t len)
{
	size_t ext = in->total_extlen * (size_t)8;

	if (!ext || !pt->opts.security_label)
		return 0;
	switch (in->opcode) {
	case FUSE_CREATE:
	case FUSE_MKDIR:
	case FUSE_MKNOD:
	case FUSE_SYMLINK:
	case FUSE_TMPFILE:
		return ext > len ? -EINVAL :
		       label_parse(body + len - ext, ext, &hints.label);
	}
	return 0;
}

int pt_request(struct pt *pt, const void *buf, size_t len)
{
	const struct fuse_in_header *in = buf;
	const struct layout *layout;
	const char *body = (const char *)(in + 1);

	memset(&hints, 0, sizeof(hints));
	if (len < sizeof(*in) || in->len < sizeof(*in) || in->len > len)
		return -EINVAL;
	if (in->opcode >= sizeof(layouts) / sizeof(layouts[0]))
		return -ENOSYS;
	layout = &layouts[in->opcode];
	if (!layout->known)
		return -ENOSYS;

	len = in->len - sizeof(*in);
	if (len < layout->fixed ||
	    !names_fit(body + layout->fixed, len - layout->fixed,
		       layout->names))
		return -EINVAL;
	return label_check(pt, in, body, len) ?:
	       body_check(in->opcode, body, len, pt->setxattr_ext);
}
