// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What QEMU says to its vhost-user back-ends: with the first word the library begins
 * its work.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base.h"
#include "code.h"
#include "connection.h"

/* The start of a vhost-user message; @size is of what follows. */
struct vhost_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

#define VHOST_VERSION 1u
#define VHOST_REPLY 4u
#define VHOST_NEED_REPLY 8u
#define VHOST_REQUESTS 64

static bool passes_base(const struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	unsigned int num;
	int fd;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET ||
	    cmsg->cmsg_type != SCM_RIGHTS)
		return false;
	num = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
	for (unsigned int i = 0; i < num; i++) {
		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		if (base_of(fd))
			return true;
	}
	return false;
}

/* One that was made when a base was there already. */
static void look_for_foreign(int sock, const struct msghdr *msg)
{
	static bool said;

	if (passes_base(msg) && !connection_is_of_daemon(sock) &&
	    !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		dprintf(2, "virtiofs-dax: another vhost-user back-end does not see what the DAX windows show; only a guest that does not copy what it has there for it can tell\n");
}

/* What follows the header is behind it, or in a piece of its own. */
static bool is_vhost_user(const struct msghdr *msg, struct vhost_header *header)
{
	size_t len = msg->msg_iovlen ? msg->msg_iov->iov_len : 0;

	if (len < sizeof(*header))
		return false;
	memcpy(header, msg->msg_iov->iov_base, sizeof(*header));
	return header->request < VHOST_REQUESTS &&
	       (header->flags & ~(VHOST_REPLY | VHOST_NEED_REPLY)) ==
	       VHOST_VERSION &&
	       (len == sizeof(*header) || len == sizeof(*header) + header->size);
}

/* All that QEMU says to a back-end it says by this. */
EXPORT ssize_t sendmsg(int sock, const struct msghdr *msg, int flags)
{
	struct vhost_header header;

	if (is_vhost_user(msg, &header)) {
		connection_start();
		look_for_foreign(sock, msg);
		if (header.flags & VHOST_REPLY)
			code_catch_up();
	}
	return NEXT(sendmsg)(sock, msg, flags);
}
