/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line.
 */
#ifndef VIRTIOFS_DAXD_OPTIONS_H
#define VIRTIOFS_DAXD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "host/isolation.h"
#include "host/log.h"
#include "host/users.h"
#include "passthrough/passthrough.h"

/* Exit codes. */
enum {
	EXIT_DONE = 0,		/* end of service, by signal or disconnection */
	EXIT_FAILED = 1,	/* the daemon could not start, or failed later */
	EXIT_USAGE = 2,		/* the command line makes no sense */
};

/**
 * struct options - what the user wants; see the manual page
 */
struct options {
	const char *shared_dir;
	const char *socket_path;
	gid_t socket_group;
	int fd;
	const char *tag;
	enum pt_cache cache;
	bool cache_chosen;
	bool allow_mmap;
	bool allow_direct_io;
	bool preserve_noatime;
	bool writeback;
	bool no_readdirplus;
	bool killpriv_v2;
	enum pt_handles file_handles;
	bool announce_submounts;
	struct ids uids;
	struct ids gids;
	struct user_map uid_map;
	struct user_map gid_map;
	uint64_t window;
	uint64_t dax_attr_min;
	unsigned int dax_budget;
	bool dax_readonly_window;
	const char *window_socket;
	bool notifications;
	bool guard;
	unsigned int guard_timeout;
	unsigned int num_queues;
	unsigned int num_threads;
	enum isolation_sandbox sandbox;
	struct isolation_options isolation;
	unsigned int nofile;
	bool readonly;
	bool no_posix_lock;
	bool no_flock;
	bool xattr;
	struct xattrmap xattrmap;
	bool security_label;
	bool posix_acl;
	enum log_level log_level;
	const char *log_file;
	bool syslog;
	const char *stats_file;
};

/**
 * options_parse - read the command line
 * @opts: where it is stored
 * @argc: of main()
 * @argv: of main()
 *
 * Prints what is wrong to standard error; serves --help and --version.
 *
 * Return: -1 to go on, else the exit code.
 */
int options_parse(struct options *opts, int argc, char **argv);

#endif
