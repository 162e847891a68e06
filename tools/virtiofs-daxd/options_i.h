/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the options*.c files share.
 */
#ifndef VIRTIOFS_DAXD_OPTIONS_I_H
#define VIRTIOFS_DAXD_OPTIONS_I_H

#include "options.h"

enum {
	OPT_SHARED_DIR = 256,
	OPT_SOCKET_PATH,
	OPT_SOCKET_GROUP,
	OPT_FD,
	OPT_TAG,
	OPT_CACHE,
	OPT_ALLOW_MMAP,
	OPT_ALLOW_DIRECT_IO,
	OPT_PRESERVE_NOATIME,
	OPT_WRITEBACK,
	OPT_NO_READDIRPLUS,
	OPT_KILLPRIV_V2,
	OPT_NO_KILLPRIV_V2,
	OPT_INODE_FILE_HANDLES,
	OPT_ANNOUNCE_SUBMOUNTS,
	OPT_NO_ANNOUNCE_SUBMOUNTS,
	OPT_TRANSLATE_UID,
	OPT_TRANSLATE_GID,
	OPT_UID_MAP,
	OPT_GID_MAP,
	OPT_DAX_WINDOW,
	OPT_DAX_ATTR,
	OPT_DAX_BUDGET,
	OPT_DAX_READONLY_WINDOW,
	OPT_WINDOW_SOCKET,
	OPT_NOTIFICATIONS,
	OPT_GUARD,
	OPT_GUARD_TIMEOUT,
	OPT_NUM_QUEUES,
	OPT_THREAD_POOL_SIZE,
	OPT_SANDBOX,
	OPT_SECCOMP,
	OPT_MODCAPS,
	OPT_RLIMIT_NOFILE,
	OPT_READONLY,
	OPT_NO_REMOTE_LOCKS,
	OPT_XATTR,
	OPT_XATTRMAP,
	OPT_SECURITY_LABEL,
	OPT_POSIX_ACL,
	OPT_LOG_LEVEL,
	OPT_LOG_FILE,
	OPT_SYSLOG,
	OPT_STATS_FILE,
	OPT_PRINT_CAPABILITIES,
	OPT_VERSION,
	OPT_HELP,
};

/**
 * option_wrong - print what is wrong
 * @fmt: as for printf()
 *
 * Return: the exit code.
 */
int option_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * option_set - store the value of an option
 * @opts: where
 * @opt: OPT_SHARED_DIR and so on
 * @arg: its value, NULL if it takes none
 *
 * Return: false if the value is wrong.
 */
bool option_set(struct options *opts, int opt, const char *arg);

/**
 * option_wants - what an option takes, for the message when it was something else
 * @opt: an option for which option_set() may return false
 */
const char *option_wants(int opt);

/**
 * options_compat - the value of -o
 * @opts: where it is stored
 * @list: words with commas between them; taken apart, and a part of @opts then
 *
 * Return: -1 to go on, else the exit code.
 */
int options_compat(struct options *opts, char *list);

/**
 * options_help - print the summary
 */
void options_help(void);

#endif
