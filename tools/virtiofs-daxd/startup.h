/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a process that may do all to one that has nothing but the share.
 */
#ifndef VIRTIOFS_DAXD_STARTUP_H
#define VIRTIOFS_DAXD_STARTUP_H

struct daemon;

/**
 * startup_open - open what has a name outside of the share
 * @daemon: its options are known, and its descriptors -1
 *
 * Return: 0, or a negative error, of which the user has been told.
 */
int startup_open(struct daemon *daemon);

/**
 * startup_isolate - open the share, and give up all else
 * @daemon: opened, and connected to the front-end
 *
 * To be called before any thread is started that serves the guest: each takes
 * along what is confined here.
 *
 * Return: as above
 */
int startup_isolate(struct daemon *daemon);

#endif
