// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/fd_pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "host/util.h"

int fds_send(int sock, struct iovec *iov, unsigned int count, const int *fds,
	     unsigned int num_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;

	if (num_fds) {
		struct cmsghdr *cmsg;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	/* Sockets block and messages are small: never in part. */
	return n == (ssize_t)iov_size(iov, count) ? 0 : -ENOTCONN;
}

int fd_send(int sock, struct iovec *iov, unsigned int count, int fd)
{
	return fds_send(sock, iov, count, &fd, fd >= 0);
}

static unsigned int collect_fds(struct msghdr *msg, int *fds)
{
	unsigned int num = 0;
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		/* There is room for FD_PASS_MAX, the kernel drops more. */
		num = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cmsg), num * sizeof(int));
	}
	return num;
}

ssize_t fd_receive(int sock, void *buf, size_t len, int *fds,
		   unsigned int *num_fds)
{
	struct iovec iov = { buf, len };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	*num_fds = n < 0 ? 0 : collect_fds(&msg, fds);
	return n < 0 ? -errno : n;
}
