// SPDX-License-Identifier: GPL-2.0-or-later
#include "options_i.h"

#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dax/dax_map.h"
#include "host/util.h"

#ifndef VERSION
#define VERSION "unversioned"
#endif

#define MIN_WINDOW (UINT64_C(16) << 20)
#define MAX_WINDOW (UINT64_C(1) << 46)

static const struct option long_options[] = {
	{ "shared-dir", required_argument, NULL, OPT_SHARED_DIR },
	{ "socket-path", required_argument, NULL, OPT_SOCKET_PATH },
	{ "socket", required_argument, NULL, OPT_SOCKET_PATH },
	{ "socket-group", required_argument, NULL, OPT_SOCKET_GROUP },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "allow-mmap", no_argument, NULL, OPT_ALLOW_MMAP },
	{ "allow-direct-io", no_argument, NULL, OPT_ALLOW_DIRECT_IO },
	{ "preserve-noatime", no_argument, NULL, OPT_PRESERVE_NOATIME },
	{ "writeback", no_argument, NULL, OPT_WRITEBACK },
	{ "no-readdirplus", no_argument, NULL, OPT_NO_READDIRPLUS },
	{ "killpriv-v2", no_argument, NULL, OPT_KILLPRIV_V2 },
	{ "no-killpriv-v2", no_argument, NULL, OPT_NO_KILLPRIV_V2 },
	{ "inode-file-handles", required_argument, NULL, OPT_INODE_FILE_HANDLES },
	{ "announce-submounts", no_argument, NULL, OPT_ANNOUNCE_SUBMOUNTS },
	{ "no-announce-submounts", no_argument, NULL, OPT_NO_ANNOUNCE_SUBMOUNTS },
	{ "translate-uid", required_argument, NULL, OPT_TRANSLATE_UID },
	{ "translate-gid", required_argument, NULL, OPT_TRANSLATE_GID },
	{ "uid-map", required_argument, NULL, OPT_UID_MAP },
	{ "gid-map", required_argument, NULL, OPT_GID_MAP },
	{ "dax-window", required_argument, NULL, OPT_DAX_WINDOW },
	{ "dax-attr", required_argument, NULL, OPT_DAX_ATTR },
	{ "dax-budget", required_argument, NULL, OPT_DAX_BUDGET },
	{ "dax-readonly-window", no_argument, NULL, OPT_DAX_READONLY_WINDOW },
	{ "window-socket", required_argument, NULL, OPT_WINDOW_SOCKET },
	{ "notifications", no_argument, NULL, OPT_NOTIFICATIONS },
	{ "guard", required_argument, NULL, OPT_GUARD },
	{ "guard-timeout", required_argument, NULL, OPT_GUARD_TIMEOUT },
	{ "num-queues", required_argument, NULL, OPT_NUM_QUEUES },
	{ "thread-pool-size", required_argument, NULL, OPT_THREAD_POOL_SIZE },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "seccomp", required_argument, NULL, OPT_SECCOMP },
	{ "modcaps", required_argument, NULL, OPT_MODCAPS },
	{ "rlimit-nofile", required_argument, NULL, OPT_RLIMIT_NOFILE },
	{ "readonly", no_argument, NULL, OPT_READONLY },
	{ "no-remote-locks", no_argument, NULL, OPT_NO_REMOTE_LOCKS },
	{ "xattr", no_argument, NULL, OPT_XATTR },
	{ "xattrmap", required_argument, NULL, OPT_XATTRMAP },
	{ "security-label", no_argument, NULL, OPT_SECURITY_LABEL },
	{ "posix-acl", no_argument, NULL, OPT_POSIX_ACL },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "log-file", required_argument, NULL, OPT_LOG_FILE },
	{ "syslog", no_argument, NULL, OPT_SYSLOG },
	{ "stats-file", required_argument, NULL, OPT_STATS_FILE },
	{ "print-capabilities", no_argument, NULL, OPT_PRINT_CAPABILITIES },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 }
};

/* An option as the user wrote it: getopt_long() leaves a short one in optopt. */
static int unknown_option(char **argv)
{
	if (optopt > 0 && optopt < OPT_SHARED_DIR)
		return option_wrong("unknown option -%c", optopt);
	if (optopt)
		return option_wrong("%s takes no value", argv[optind - 1]);
	return option_wrong("unknown option %s", argv[optind - 1]);
}

/* Where the VMM connects. */
static int check_socket(const struct options *opts)
{
	if (opts->fd >= 0 && opts->socket_path)
		return option_wrong("--fd and --socket-path: the VMM connects to one of them");
	if (opts->fd >= 0 && opts->socket_group != (gid_t)-1)
		return option_wrong("--socket-group needs --socket-path: a socket from --fd has its group");
	if (opts->fd < 0 && !opts->socket_path)
		return option_wrong("--socket-path is missing");
	if (opts->socket_path && !*opts->socket_path)
		return option_wrong("--socket-path takes a path, not ''");
	return -1;
}

static int check_window(const struct options *opts)
{
	if (opts->window && (!is_power_of_2(opts->window) ||
			     opts->window < MIN_WINDOW ||
			     opts->window > MAX_WINDOW))
		return option_wrong("--dax-window must be a power of two from 16M to 64T");
	if (opts->window_socket && !opts->window)
		return option_wrong("--window-socket needs --dax-window");
	if (opts->dax_budget && !opts->window)
		return option_wrong("--dax-budget needs --dax-window");
	if (opts->dax_budget > DAX_MAP_MAX_BUDGET && !opts->window_socket)
		return option_wrong("--dax-budget of more than 480 needs --window-socket");
	if (opts->window && opts->readonly && !opts->dax_readonly_window &&
	    !opts->window_socket)
		return option_wrong("--readonly with --dax-window: the VMM lets the guest write to what it maps; use --window-socket, or say --dax-readonly-window if it may");
	if (opts->guard && !(opts->window && opts->notifications))
		return option_wrong("--guard needs --dax-window and --notifications");
	if (opts->dax_readonly_window && !(opts->readonly && opts->window))
		return option_wrong("--dax-readonly-window needs --readonly and --dax-window");
	return -1;
}

static int check_options(const struct options *opts)
{
	int code;

	if (!opts->shared_dir)
		return option_wrong("--shared-dir is missing");
	if (!*opts->shared_dir)
		return option_wrong("--shared-dir takes a directory, not ''");
	code = check_socket(opts);
	if (code >= 0)
		return code;
	if (opts->posix_acl && (ids_any(&opts->uids) || ids_any(&opts->gids)))
		return option_wrong("--translate-uid and --translate-gid: not with --posix-acl, as ACLs have users and groups that are not translated");
	if (opts->posix_acl &&
	    (xattrmap_changes(&opts->xattrmap, "system.posix_acl_access") ||
	     xattrmap_changes(&opts->xattrmap, "system.posix_acl_default")))
		return option_wrong("--xattrmap: not with --posix-acl, unless ACLs are left as they are, as the host obeys no others");
	if ((opts->uid_map.nr || opts->gid_map.nr) &&
	    (opts->sandbox != ISOLATION_NAMESPACE || !geteuid()))
		return option_wrong("--uid-map and --gid-map are for --sandbox namespace, of another user than root");
	if (opts->file_handles != PT_HANDLES_NEVER &&
	    opts->isolation.caps_drop & UINT64_C(1) << CAP_DAC_READ_SEARCH)
		return option_wrong("--modcaps: --inode-file-handles needs dac_read_search");
	if (opts->cache == PT_CACHE_COHERENT && !opts->notifications)
		return option_wrong("--cache=coherent needs --notifications");
	if (opts->cache == PT_CACHE_COHERENT && opts->writeback)
		return option_wrong("--cache=coherent: not with --writeback, as the guest does not believe us sizes and times then");
	if (opts->cache == PT_CACHE_COHERENT && opts->killpriv_v2)
		return option_wrong("--cache=coherent: not with --killpriv-v2, as the guest would keep set-id bits that a write has cleared");
	if (opts->log_file && opts->syslog)
		return option_wrong("--log-file and --syslog: the log goes to one of them");
	return check_window(opts);
}

/* What management software asks, in the words of QEMU's vhost-user.json. */
static void print_capabilities(void)
{
	puts("{\n"
	     "  \"type\": \"fs\",\n"
	     "  \"features\": [\n"
	     "    \"separate-options\"\n"
	     "  ]\n"
	     "}");
}

/* Options that ask for something to be printed. Returns the exit code, or -1. */
static int print_option(int opt)
{
	switch (opt) {
	case 'h':
	case OPT_HELP:
		options_help();
		return EXIT_DONE;
	case 'V':
	case OPT_VERSION:
		puts("virtiofs-daxd " VERSION);
		return EXIT_DONE;
	case OPT_PRINT_CAPABILITIES:
		print_capabilities();
		return EXIT_DONE;
	}
	return -1;
}

/* -f is the only way there is, and -o comes after all others. */
static const char short_options[] = "+:hVfdo:";

static int parse_options(struct options *opts, int argc, char **argv)
{
	int opt, index = 0, code;

	while ((opt = getopt_long(argc, argv, short_options, long_options,
				  &index)) >= 0) {
		if (opt == '?')
			return unknown_option(argv);
		if (opt == ':')
			return option_wrong("%s needs a value",
					    argv[optind - 1]);
		code = print_option(opt);
		if (code >= 0)
			return code;
		if (opt >= OPT_SHARED_DIR && !option_set(opts, opt, optarg))
			return option_wrong("--%s takes %s, not '%s'",
					    long_options[index].name,
					    option_wants(opt), optarg);
	}
	if (optind < argc)
		return option_wrong("'%s' is no option", argv[optind]);
	return -1;
}

/* Whatever the order, these have the last word, as in virtiofsd. */
static int parse_short_options(struct options *opts, int argc, char **argv)
{
	bool debug = false;
	int opt, code = -1;

	optind = 0;
	while (code < 0 && (opt = getopt_long(argc, argv, short_options,
					      long_options, NULL)) >= 0) {
		debug |= opt == 'd';
		if (opt == 'o')
			code = options_compat(opts, optarg);
	}
	if (debug)
		opts->log_level = LOG_LEVEL_DEBUG;
	return code;
}

/* What is best where nobody has chosen: kept for as long as the guest can be told. */
static void choose_cache(struct options *opts)
{
	if (!opts->cache_chosen && opts->notifications && !opts->writeback &&
	    !opts->killpriv_v2)
		opts->cache = PT_CACHE_COHERENT;
}

int options_parse(struct options *opts, int argc, char **argv)
{
	int code;

	*opts = (struct options){
		.tag = "myfs",
		.socket_group = (gid_t)-1,
		.fd = -1,
		.num_queues = 1,
		.num_threads = 4,
		.guard_timeout = 1000,
		.announce_submounts = true,
		.sandbox = ISOLATION_NAMESPACE,
		.nofile = ISOLATION_NOFILE_DEFAULT,
		.log_level = LOG_LEVEL_INFO,
	};
	opterr = 0;
	code = parse_options(opts, argc, argv);
	if (code < 0)
		code = parse_short_options(opts, argc, argv);
	opts->xattr |= opts->posix_acl || opts->security_label;
	choose_cache(opts);
	opts->isolation.leases = opts->cache == PT_CACHE_COHERENT;
	return code < 0 ? check_options(opts) : code;
}
