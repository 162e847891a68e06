/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the front-end connects: a socket in the file system, for one connection.
 */
#ifndef VIRTIOFS_DAXD_VU_SOCKET_H
#define VIRTIOFS_DAXD_VU_SOCKET_H

/**
 * vu_socket_listen - create the socket the front-end connects to
 * @path: where; a socket there that nobody listens on is replaced
 * @type: SOCK_STREAM, or SOCK_SEQPACKET for its library
 *
 * Return: a listening socket; -EADDRINUSE if somebody listens there or the path
 * is something else; another negative errno.
 */
int vu_socket_listen(const char *path, int type);

/**
 * vu_socket_accept - take the front-end's connection
 * @listener: the listening socket, on which it waits
 *
 * Return: the connected socket, which keeps nobody waiting for long; or a negative
 * errno.
 */
int vu_socket_accept(int listener);

#endif
