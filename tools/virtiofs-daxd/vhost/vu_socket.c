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

/* Who connects may map any file of the share. */
static int bind_socket(int sock, const struct sockaddr_un *addr, gid_t group)
{
	bool shared = group != (gid_t)-1;
	mode_t old_mask = umask(shared ? 0007 : 0077);
	int err;

	err = bind(sock, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	umask(old_mask);
	if (err)
		return err;
	/* Not of what somebody else may have put there by now */
	if ((shared && lchown(addr->sun_path, -1, group)) ||
	    listen(sock, SOCKET_BACKLOG)) {
		err = -errno;
		unlink(addr->sun_path);
	}
	return err;
}

int vu_socket_listen(const char *path, int type, gid_t group)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
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
	err = bind_socket(sock, &addr, group);
	if (err)
		close_fd(&sock);
	return err ?: sock;
}

static int sock_option(int sock, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(sock, SOL_SOCKET, name, &value, &len) ? -errno : value;
}

int vu_socket_check(int sock)
{
	if (sock_option(sock, SO_ACCEPTCONN) == -EBADF)
		return -EBADF;
	return sock_option(sock, SO_ACCEPTCONN) == 1 &&
	       sock_option(sock, SO_DOMAIN) == AF_UNIX &&
	       sock_option(sock, SO_TYPE) == SOCK_STREAM ? 0 : -EINVAL;
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
