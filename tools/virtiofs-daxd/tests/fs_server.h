/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file operations behind a mount of this host's kernel, so that they can be
 * tested without a VM: a process of its own, isolated as the daemon is.
 */
#ifndef VIRTIOFS_DAXD_FS_SERVER_H
#define VIRTIOFS_DAXD_FS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "host/isolation.h"
#include "passthrough/passthrough.h"

/**
 * struct fs_server - a running server
 * @share: directory that is served, on the host
 * @mount: where it is mounted
 */
struct fs_server {
	char share[64];
	char mount[64];
	pid_t pid;
	int control;
};

/**
 * fs_server_start - serve a new directory
 * @opts: root_fd, shared_dir and file_handles are filled in
 *
 * Return: whether it runs and is mounted.
 */
bool fs_server_start(struct fs_server *server, const struct pt_options *opts,
		     enum isolation_sandbox sandbox);

/**
 * fs_server_stop - unmount, end it, remove its directories
 *
 * Return: whether the server ended by itself with status 0.
 */
bool fs_server_stop(struct fs_server *server);

/**
 * fs_server_ask - a number about the server
 * @what: 'n': nodes, 'h': handles, 'f': descriptors; 'r': call pt_reset();
 *	'l': limit descriptors to 32 more than now, 'L': lift that
 */
int fs_server_ask(struct fs_server *server, char what);

/**
 * fs_file_handles - mandatory if FS_FILE_HANDLES is in the environment, else never
 */
enum pt_handles fs_file_handles(void);

/**
 * fs_put - make a file with a text in it
 */
bool fs_put(const char *path, const char *text);

/**
 * fs_has - whether a file has a text in it, and nothing else
 */
bool fs_has(const char *path, const char *text);

#endif
