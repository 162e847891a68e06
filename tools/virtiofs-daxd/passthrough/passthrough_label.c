// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_label.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "passthrough/passthrough_i.h"

int label_parse(const char *ext, size_t len, struct label *label)
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

int label_set(struct pt *pt, int fd)
{
	const struct label *label = request_label();
	struct xattr_name host;
	int ret;

	if (!label->size)
		return 0;
	ret = xattrmap_to_host(&pt->opts.xattrmap, label->name, &host) ?:
	      cred_private_fs(pt);
	if (!ret && setxattr(proc_name(fd).s, host.s, label->value, label->size,
			     0))
		ret = -errno;
	return ret;
}

int label_made(struct pt *pt, int dir, const char *name, int flags)
{
	int fd, ret;

	if (!request_label()->size)
		return 0;
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	ret = fd < 0 ? -errno : label_set(pt, fd);
	if (fd >= 0)
		close(fd);
	if (ret)
		unlinkat(dir, name, flags);
	return ret;
}
