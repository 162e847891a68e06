/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections to the daemons, one for each share, and the thread that serves
 * them.
 */
#ifndef VIRTIOFS_DAX_QEMU_CONNECTION_H
#define VIRTIOFS_DAX_QEMU_CONNECTION_H

#include <stdbool.h>

/* Environment: sockets of the daemons, with colons between them. */
#define CONNECTION_ENV "VIRTIOFS_DAX_WINDOW"

/**
 * connection_start - connect to the daemons, the first time it is called
 *
 * That is when QEMU speaks to its first back-end: it has forked then, if it does,
 * and whoever preloads something else has done so.
 *
 * What cannot be reached is told on standard error, and left out: its daemon
 * then lets QEMU map each part of a file by itself.
 */
void connection_start(void);

/**
 * connection_is_of_daemon - whether a socket leads to one of the daemons, too
 * @sock: the socket
 *
 * True as well if that is not known.
 */
bool connection_is_of_daemon(int sock);

#endif
