// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_label.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "passthrough/passthrough_i.h"

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
