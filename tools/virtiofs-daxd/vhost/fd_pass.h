/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages with descriptors, over Unix sockets.
 */
#ifndef VIRTIOFS_DAXD_FD_PASS_H
#define VIRTIOFS_DAXD_FD_PASS_H

#include <stddef.h>
#include <sys/uio.h>

/* The most descriptors of one message. */
#define FD_PASS_MAX 8

/**
 * fd_send - send a message, with a descriptor if @fd is one
 * @sock: the socket
 * @iov: the message
 * @count: its pieces
 * @fd: the descriptor, or -1
 *
 * Return: 0; -ENOTCONN if it could not be sent as a whole.
 */
int fd_send(int sock, struct iovec *iov, unsigned int count, int fd);

/**
 * fds_send - send a message with descriptors
 * @sock: the socket
 * @iov: the message
 * @count: its pieces
 * @fds: the descriptors
 * @num_fds: their number, at most FD_PASS_MAX
 *
 * Return: as fd_send().
 */
int fds_send(int sock, struct iovec *iov, unsigned int count, const int *fds,
	     unsigned int num_fds);

/**
 * fd_receive - receive a message
 * @sock: the socket
 * @buf: its data
 * @len: bytes to wait for
 * @fds: room for FD_PASS_MAX descriptors, which are the caller's to close
 * @num_fds: how many there were
 *
 * Return: bytes received, fewer than @len at the end of the stream; or a negative
 * errno.
 */
ssize_t fd_receive(int sock, void *buf, size_t len, int *fds,
		   unsigned int *num_fds);

#endif
