// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dax/dax_map.h"
#include "host/util.h"

#ifndef VERSION
#define VERSION "unversioned"
#endif

#define TAG_MAX 36
#define MIN_WINDOW (UINT64_C(16) << 20)
#define MAX_WINDOW (UINT64_C(1) << 46)
#define MAX_QUEUES 64
#define MAX_THREADS 256
#define MAX_GUARD_TIMEOUT 60000

enum {
	OPT_SHARED_DIR = 256,
	OPT_SOCKET_PATH,
	OPT_TAG,
	OPT_CACHE,
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
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "shared-dir", required_argument, NULL, OPT_SHARED_DIR },
	{ "socket-path", required_argument, NULL, OPT_SOCKET_PATH },
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "cache", required_argument, NULL, OPT_CACHE },
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
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 }
};

static const char usage[] =
"Usage: virtiofs-daxd --shared-dir DIR --socket-path PATH [OPTION]...\n"
"Share a directory with a virtual machine over virtio-fs, with a DAX window.\n"
"\n"
"      --shared-dir DIR         the directory\n"
"      --socket-path PATH       the socket to which the VMM connects\n"
"      --tag TAG                name by which the guest mounts it (myfs)\n"
"      --cache MODE             auto, always or never (auto)\n"
"      --inode-file-handles=WHEN\n"
"                               never, prefer or mandatory: hold files that the\n"
"                               guest knows by file handles, not descriptors (never)\n"
"      --announce-submounts     the guest knows what is mounted here, which has device\n"
"                               numbers of its own there (so by default)\n"
"      --no-announce-submounts  it does not: one device, numbers come twice\n"
"      --translate-uid TYPE:FROM:TO:COUNT\n"
"      --translate-gid TYPE:FROM:TO:COUNT\n"
"                               users and groups of the guest are others here; TYPE is\n"
"                               guest, host, map, squash-guest, squash-host, or\n"
"                               forbid-guest, without TO; can be given several times\n"
"      --uid-map :INSIDE:OUTSIDE:COUNT:\n"
"      --gid-map :INSIDE:OUTSIDE:COUNT:\n"
"                               not as root: users and groups of the user namespace\n"
"                               that the daemon is in; can be given several times\n"
"      --dax-window SIZE        size of the window: a power of two, 16M or more\n"
"      --dax-attr WHICH         files with DAX in a guest that asks per file:\n"
"                               none, all, or those of SIZE and more (all)\n"
"      --dax-budget N           most parts of files in the window at once (256;\n"
"                               30000 with the library)\n"
"      --window-socket PATH     the socket to which the library in the VMM connects\n"
"      --notifications          tell the guest what changes here: needs one more\n"
"                               virtqueue, and config_size=44, on QEMU's command line\n"
"      --guard WHAT             none, or truncate: what takes something away from a\n"
"                               mapped file waits until the guest has let go (none)\n"
"      --guard-timeout MS       but no longer than this (1000)\n"
"      --num-queues N           request queues (1)\n"
"      --thread-pool-size N     threads that serve requests (4)\n"
"      --sandbox MODE           none, namespace or chroot (namespace)\n"
"      --readonly               refuse all changes\n"
"      --dax-readonly-window    allow --dax-window with --readonly; the guest can\n"
"                               then change the contents of files\n"
"      --no-remote-locks        file locks are the guest's own, not seen here\n"
"      --xattr                  extended attributes\n"
"      --xattrmap RULES         extended attributes have other names here, as with\n"
"                               :map::user.virtiofs.: (see the manual); implies --xattr\n"
"      --security-label         files have the guest's SELinux label from the first;\n"
"                               implies --xattr\n"
"      --posix-acl              POSIX ACLs; implies --xattr\n"
"      --log-level LEVEL        error, warn, info or debug (info)\n"
"      --log-file FILE          append messages to a file\n"
"      --syslog                 send messages to syslog\n"
"      --stats-file FILE        write counters there on SIGUSR1 and at the end\n"
"      --version                print the version\n"
"      --help                   print this\n"
"\n"
"SIZE is in bytes, or with a suffix K, M, G or T.\n"
"Ends with 0 on SIGTERM and when the VMM disconnects, with 1 on failure, with 2\n"
"on a wrong command line.\n";

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

/* Index of a word in a list that ends with NULL, or -1. */
static int find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

static bool parse_cache(const char *arg, enum pt_cache *cache)
{
	static const char *const words[] = {
		[PT_CACHE_AUTO] = "auto",
		[PT_CACHE_ALWAYS] = "always",
		[PT_CACHE_NEVER] = "never",
		NULL
	};
	int i = find_word(words, arg);

	*cache = i;
	return i >= 0;
}

static bool parse_handles(const char *arg, enum pt_handles *handles)
{
	static const char *const words[] = {
		[PT_HANDLES_NEVER] = "never",
		[PT_HANDLES_PREFER] = "prefer",
		[PT_HANDLES_MANDATORY] = "mandatory",
		NULL
	};
	/* virtiofsd's word of old */
	int i = find_word(words, strcmp(arg, "fallback") ? arg : "prefer");

	*handles = i;
	return i >= 0;
}

static bool parse_sandbox(const char *arg, enum isolation_sandbox *sandbox)
{
	static const char *const words[] = {
		[ISOLATION_NONE] = "none",
		[ISOLATION_NAMESPACE] = "namespace",
		[ISOLATION_CHROOT] = "chroot",
		NULL
	};
	int i = find_word(words, arg);

	*sandbox = i;
	return i >= 0;
}

static bool parse_dax_attr(const char *arg, uint64_t *min_size)
{
	if (!strcmp(arg, "none"))
		*min_size = UINT64_MAX;
	else if (!strcmp(arg, "all"))
		*min_size = 0;
	else
		return parse_size(arg, min_size);
	return true;
}

static bool parse_guard(const char *arg, bool *guard)
{
	*guard = !strcmp(arg, "truncate");
	return *guard || !strcmp(arg, "none");
}

static bool parse_count(const char *arg, unsigned int max, unsigned int *count)
{
	return parse_uint(arg, max, count) && *count;
}

static bool parse_option(struct options *opts, int opt, const char *arg)
{
	switch (opt) {
	case OPT_SHARED_DIR:
		opts->shared_dir = arg;
		return true;
	case OPT_SOCKET_PATH:
		opts->socket_path = arg;
		return true;
	case OPT_TAG:
		opts->tag = arg;
		return *arg && strlen(arg) <= TAG_MAX;
	case OPT_CACHE:
		return parse_cache(arg, &opts->cache);
	case OPT_INODE_FILE_HANDLES:
		return parse_handles(arg, &opts->file_handles);
	case OPT_ANNOUNCE_SUBMOUNTS:
	case OPT_NO_ANNOUNCE_SUBMOUNTS:
		opts->announce_submounts = opt == OPT_ANNOUNCE_SUBMOUNTS;
		return true;
	case OPT_TRANSLATE_UID:
		return ids_parse(&opts->uids, arg);
	case OPT_TRANSLATE_GID:
		return ids_parse(&opts->gids, arg);
	case OPT_UID_MAP:
		return users_parse(&opts->uid_map, arg);
	case OPT_GID_MAP:
		return users_parse(&opts->gid_map, arg);
	case OPT_DAX_WINDOW:
		return parse_size(arg, &opts->window);
	case OPT_DAX_ATTR:
		return parse_dax_attr(arg, &opts->dax_attr_min);
	case OPT_DAX_BUDGET:
		return parse_count(arg, DAX_MAP_ONE_MAP_BUDGET,
				   &opts->dax_budget);
	case OPT_DAX_READONLY_WINDOW:
		opts->dax_readonly_window = true;
		return true;
	case OPT_WINDOW_SOCKET:
		opts->window_socket = arg;
		return true;
	case OPT_NUM_QUEUES:
		return parse_count(arg, MAX_QUEUES, &opts->num_queues);
	case OPT_THREAD_POOL_SIZE:
		return parse_count(arg, MAX_THREADS, &opts->num_threads);
	case OPT_SANDBOX:
		return parse_sandbox(arg, &opts->sandbox);
	case OPT_READONLY:
		opts->readonly = true;
		return true;
	case OPT_NO_REMOTE_LOCKS:
		opts->no_remote_locks = true;
		return true;
	case OPT_POSIX_ACL:
		opts->posix_acl = true;
		opts->xattr = true;
		return true;
	case OPT_NOTIFICATIONS:
		opts->notifications = true;
		return true;
	case OPT_GUARD:
		return parse_guard(arg, &opts->guard);
	case OPT_GUARD_TIMEOUT:
		return parse_count(arg, MAX_GUARD_TIMEOUT,
				   &opts->guard_timeout);
	case OPT_XATTRMAP:
		opts->xattr = true;
		return xattrmap_parse(&opts->xattrmap, arg);
	case OPT_SECURITY_LABEL:
		opts->security_label = true;
		opts->xattr = true;
		return true;
	case OPT_XATTR:
		opts->xattr = true;
		return true;
	case OPT_LOG_LEVEL:
		return log_level_parse(arg, &opts->log_level);
	case OPT_LOG_FILE:
		opts->log_file = arg;
		return true;
	case OPT_SYSLOG:
		opts->syslog = true;
		return true;
	case OPT_STATS_FILE:
		opts->stats_file = arg;
		return true;
	}
	return false;
}

#define TEXT_(macro) #macro
#define TEXT(macro) TEXT_(macro)

/* What an option of parse_option() takes, if that can be something wrong. */
static const char *wanted(int opt)
{
	switch (opt) {
	case OPT_TAG:
		return "1 to " TEXT(TAG_MAX) " bytes";
	case OPT_CACHE:
		return "auto, always or never";
	case OPT_INODE_FILE_HANDLES:
		return "never, prefer or mandatory";
	case OPT_TRANSLATE_UID:
	case OPT_TRANSLATE_GID:
		return "TYPE:FROM:TO:COUNT, of numbers that no other has";
	case OPT_XATTRMAP:
		return "rules, as :map::user.virtiofs.:";
	case OPT_UID_MAP:
	case OPT_GID_MAP:
		return ":INSIDE:OUTSIDE:COUNT:";
	case OPT_DAX_WINDOW:
		return "a size, as in 512M or 1G";
	case OPT_DAX_ATTR:
		return "none, all or a size, as in 64K";
	case OPT_DAX_BUDGET:
		return "1 to " TEXT(DAX_MAP_ONE_MAP_BUDGET);
	case OPT_NUM_QUEUES:
		return "1 to " TEXT(MAX_QUEUES);
	case OPT_THREAD_POOL_SIZE:
		return "1 to " TEXT(MAX_THREADS);
	case OPT_SANDBOX:
		return "none, namespace or chroot";
	case OPT_GUARD:
		return "none or truncate";
	case OPT_GUARD_TIMEOUT:
		return "1 to " TEXT(MAX_GUARD_TIMEOUT) " milliseconds";
	case OPT_LOG_LEVEL:
		return "error, warn, info or debug";
	}
	return "something else";
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
	if (opts->posix_acl && (ids_any(&opts->uids) || ids_any(&opts->gids)))
		return wrong("--translate-uid and --translate-gid: not with --posix-acl, as ACLs have users and groups that are not translated");
	if (opts->posix_acl &&
	    (xattrmap_changes(&opts->xattrmap, "system.posix_acl_access") ||
	     xattrmap_changes(&opts->xattrmap, "system.posix_acl_default")))
		return wrong("--xattrmap: not with --posix-acl, unless ACLs are left as they are, as the host obeys no others");
	if ((opts->uid_map.nr || opts->gid_map.nr) &&
	    (opts->sandbox != ISOLATION_NAMESPACE || !geteuid()))
		return wrong("--uid-map and --gid-map are for --sandbox namespace, of another user than root");
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
		.announce_submounts = true,
		.sandbox = ISOLATION_NAMESPACE,
		.log_level = LOG_LEVEL_INFO,
	};
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:", long_options, &index)) >= 0) {
		switch (opt) {
		case OPT_HELP:
			fputs(usage, stdout);
			return EXIT_DONE;
		case OPT_VERSION:
			puts("virtiofs-daxd " VERSION);
			return EXIT_DONE;
		case '?':
			return unknown_option(argv);
		case ':':
			return wrong("%s needs a value", argv[optind - 1]);
		}
		if (!parse_option(opts, opt, optarg))
			return wrong("--%s takes %s, not '%s'",
				     long_options[index].name, wanted(opt),
				     optarg);
	}
	if (optind < argc)
		return wrong("'%s' is no option", argv[optind]);
	return check_options(opts);
}
