// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/vu_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/util.h"

/* So many may have come to the library's socket before the right one. */
#define SOCKET_BACKLOG 8

/*
 * How long the rest of a message may take, or the front-end's reading of an
 * answer: it sends and takes each in one piece. Who waits for it does nothing
 * else, not even end.
 */
#define VU_MESSAGE_SECONDS 2

/*
 * Makes way at a path, if there is a socket that nobody listens on. A socket of
 * another type cannot connect, but is told whether there is one to connect to;
 * a real connection would be taken for the front-end.
 */
static int unused_socket(const struct sockaddr_un *addr)
{
	struct stat st;
	int sock, err;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	err = connect(sock, (const struct sockaddr *)addr, sizeof(*addr));
	if (!err || errno != ECONNREFUSED)
		err = -EADDRINUSE;
	else
		err = unlink(addr->sun_path) ? -errno : 0;
	close(sock);
	return err;
}

int vu_socket_listen(const char *path, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t old_mask;
	int sock, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	err = unused_socket(&addr);
	if (err)
		return err;
	sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	/* Who connects may map any file of the share: owner and group only. */
	old_mask = umask(0007);
	err = bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	      listen(sock, SOCKET_BACKLOG) ? -errno : 0;
	umask(old_mask);
	if (err)
		close_fd(&sock);
	return err ?: sock;
}

int vu_socket_accept(int listener)
{
	const struct timeval bound = { .tv_sec = VU_MESSAGE_SECONDS };
	int conn, err;

	conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (conn < 0)
		return -errno;
	if (setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound)) ||
	    setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound))) {
		err = -errno;
		close_fd(&conn);
		return err;
	}
	return conn;
}
