/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who else uses all memory of the guest, and so the windows: devices which reach
 * it by themselves (VFIO, vDPA) keep for good the memory that is there when they
 * are told of it, mem-lock=on has memory made for all of it, other vhost-user
 * back-ends map the base as it is, blank. The kernel's own back-ends (vhost-net,
 * vhost-vsock, vhost-scsi) see what QEMU sees.
 */
#ifndef VIRTIOFS_DAX_QEMU_FOREIGN_H
#define VIRTIOFS_DAX_QEMU_FOREIGN_H

#include <stdbool.h>
#include <sys/socket.h>

/**
 * foreign_found - one that there is, or will be by QEMU's command line
 *
 * Return: its name, or NULL.
 */
const char *foreign_found(void);

/**
 * foreign_pins - a call of ioctl() by QEMU, which may make memory a device's
 * @request: what is asked for
 * @arg: its argument
 *
 * Return: true if that is memory of a window, and so is not to be done.
 */
bool foreign_pins(unsigned long request, const void *arg);

/**
 * foreign_sees - QEMU says something to a back-end that is not ours
 * @msg: what; it may carry descriptors
 */
void foreign_sees(const struct msghdr *msg);

#endif
