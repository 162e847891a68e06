/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the front-end connects: a socket in the file system, for one connection.
 */
#ifndef VIRTIOFS_DAXD_VU_SOCKET_H
#define VIRTIOFS_DAXD_VU_SOCKET_H

#include <sys/types.h>

/**
 * vu_socket_listen - create the socket the front-end connects to
 * @path: where; a socket there that nobody listens on is replaced
 * @type: SOCK_STREAM, or SOCK_SEQPACKET for its library
 * @group: whose members may connect, too; (gid_t)-1: the daemon's user alone may
 *
 * Return: a listening socket; -EADDRINUSE if somebody listens there or the path
 * is something else; another negative errno.
 */
int vu_socket_listen(const char *path, int type, gid_t group);

/**
 * vu_socket_check - whether a descriptor is what vu_socket_listen() might return
 * @sock: one that was inherited
 *
 * Return: 0; -EBADF if it is not open, -EINVAL if the front-end cannot connect to it.
 */
int vu_socket_check(int sock);

/**
 * vu_socket_accept - take the front-end's connection
 * @listener: the listening socket, on which it waits
 *
 * Return: the connected socket, which keeps nobody waiting for long; or a negative
 * errno.
 */
int vu_socket_accept(int listener);

#endif
