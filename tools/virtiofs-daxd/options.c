// SPDX-License-Identifier: GPL-2.0-or-later
#include "options_i.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "cache", required_argument, NULL, OPT_CACHE },
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
	{ "readonly", no_argument, NULL, OPT_READONLY },
	{ "no-remote-locks", no_argument, NULL, OPT_NO_REMOTE_LOCKS },
	{ "xattr", no_argument, NULL, OPT_XATTR },
	{ "posix-acl", no_argument, NULL, OPT_POSIX_ACL },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "log-file", required_argument, NULL, OPT_LOG_FILE },
	{ "syslog", no_argument, NULL, OPT_SYSLOG },
	{ "stats-file", required_argument, NULL, OPT_STATS_FILE },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 }
};

static int __attribute__((format(printf, 1, 2))) wrong(const char *fmt, ...)
{
	va_list args;

	fputs("virtiofs-daxd: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nTry 'virtiofs-daxd --help'.\n", stderr);
	return EXIT_USAGE;
}

/* An option as the user wrote it: getopt_long() leaves a short one in optopt. */
static int unknown_option(char **argv)
{
	if (optopt > 0 && optopt < OPT_SHARED_DIR)
		return wrong("unknown option -%c", optopt);
	if (optopt)
		return wrong("%s takes no value", argv[optind - 1]);
	return wrong("unknown option %s", argv[optind - 1]);
}

static int check_options(const struct options *opts)
{
	if (!opts->shared_dir)
		return wrong("--shared-dir is missing");
	if (!opts->socket_path)
		return wrong("--socket-path is missing");
	if (!*opts->socket_path)
		return wrong("--socket-path takes a path, not ''");
	if (opts->log_file && opts->syslog)
		return wrong("--log-file and --syslog: the log goes to one of them");
	if (opts->window && (!is_power_of_2(opts->window) ||
			     opts->window < MIN_WINDOW ||
			     opts->window > MAX_WINDOW))
		return wrong("--dax-window must be a power of two from 16M to 64T");
	if (opts->window_socket && !opts->window)
		return wrong("--window-socket needs --dax-window");
	if (opts->dax_budget && !opts->window)
		return wrong("--dax-budget needs --dax-window");
	if (opts->dax_budget > DAX_MAP_MAX_BUDGET && !opts->window_socket)
		return wrong("--dax-budget of more than 480 needs --window-socket");
	if (opts->window && opts->readonly && !opts->dax_readonly_window &&
	    !opts->window_socket)
		return wrong("--readonly with --dax-window: the VMM lets the guest write to what it maps; use --window-socket, or say --dax-readonly-window if it may");
	if (opts->guard && !(opts->window && opts->notifications))
		return wrong("--guard needs --dax-window and --notifications");
	if (opts->dax_readonly_window && !(opts->readonly && opts->window))
		return wrong("--dax-readonly-window needs --readonly and --dax-window");
	return -1;
}

int options_parse(struct options *opts, int argc, char **argv)
{
	int opt, index;

	*opts = (struct options){
		.tag = "myfs",
		.num_queues = 1,
		.num_threads = 4,
		.guard_timeout = 1000,
		.sandbox = ISOLATION_NAMESPACE,
		.log_level = LOG_LEVEL_INFO,
	};
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:", long_options, &index)) >= 0) {
		switch (opt) {
		case OPT_HELP:
			options_help();
			return EXIT_DONE;
		case OPT_VERSION:
			puts("virtiofs-daxd " VERSION);
			return EXIT_DONE;
		case '?':
			return unknown_option(argv);
		case ':':
			return wrong("%s needs a value", argv[optind - 1]);
		}
		if (!option_set(opts, opt, optarg))
			return wrong("--%s takes %s, not '%s'",
				     long_options[index].name, option_wants(opt),
				     optarg);
	}
	if (optind < argc)
		return wrong("'%s' is no option", argv[optind]);
	return check_options(opts);
}
