/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells whoever started the daemon that it can be connected to.
 */
#ifndef VIRTIOFS_DAXD_READY_H
#define VIRTIOFS_DAXD_READY_H

/**
 * ready_tell - the sockets wait for the VMM
 *
 * As sd_notify(3) does, without its library: READY=1 to the socket that NOTIFY_SOCKET
 * names, by a path. Without that nothing happens, and nobody is told of a failure but the log: the
 * daemon serves all the same. To be called as long as paths have their meaning.
 */
void ready_tell(void);

#endif
