// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the options take.
 */
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dax/dax_map.h"
#include "options_i.h"
#include "host/log.h"
#include "host/util.h"

/* --dax-window auto, and for how many bits of address; below the second nothing is known */
#define AUTO_WINDOW		(UINT64_C(64) << 30)
#define AUTO_WINDOW_BITS	39
#define AUTO_WINDOW_MIN_BITS	32

#define TAG_MAX 36
#define MAX_QUEUES 64
#define MAX_THREADS 256
#define MAX_GUARD_TIMEOUT 60000

/* Index of a word in a list that ends with NULL, in any case, or -1. */
static int find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (!strcasecmp(words[i], word))
			return i;
	return -1;
}

static bool parse_cache(const char *arg, enum pt_cache *cache)
{
	static const char *const words[] = {
		[PT_CACHE_AUTO] = "auto",
		[PT_CACHE_ALWAYS] = "always",
		[PT_CACHE_METADATA] = "metadata",
		[PT_CACHE_NEVER] = "never",
		[PT_CACHE_COHERENT] = "coherent",
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

static bool parse_seccomp(const char *arg, enum isolation_violation *violation)
{
	static const char *const words[] = {
		[ISOLATION_KILL] = "kill",
		[ISOLATION_TRAP] = "trap",
		[ISOLATION_LOG] = "log",
		[ISOLATION_ALLOW] = "none",
		NULL
	};
	int i = find_word(words, arg);

	*violation = i;
	return i >= 0;
}

static bool parse_group(const char *arg, gid_t *group)
{
	const struct group *entry = getgrnam(arg);

	if (entry)
		*group = entry->gr_gid;
	return entry;
}

static bool parse_fd(const char *arg, int *fd)
{
	unsigned int number;

	if (!parse_uint(arg, INT_MAX, &number))
		return false;
	*fd = (int)number;
	return true;
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

/* What processors that say so can address, bits */
static unsigned int address_bits(void)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	unsigned int bits = 0;
	char line[256];

	while (file && !bits && fgets(line, sizeof(line), file))
		if (sscanf(line, "address sizes : %u bits", &bits) != 1)
			bits = 0;
	if (file)
		fclose(file);
	return bits;
}

/*
 * As much as nobody needs more than, or an eighth of what a guest can address that has
 * the addresses of this machine: its memory and other devices need some too.
 */
static uint64_t auto_window(void)
{
	unsigned int bits = address_bits();

	if (bits < AUTO_WINDOW_BITS && bits >= AUTO_WINDOW_MIN_BITS) {
		log_warn("--dax-window auto: processors with %u bits of address have room for %llu MiB, not 64 GiB",
			 bits, 1ULL << (bits - 3 - 20));
		return UINT64_C(1) << (bits - 3);
	}
	return AUTO_WINDOW;
}

static bool parse_window(const char *arg, uint64_t *window)
{
	if (strcmp(arg, "auto") != 0)
		return parse_size(arg, window);
	*window = auto_window();
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

/* Options without a value. Returns false if it is none of them. */
static bool set_flag(struct options *opts, int opt)
{
	switch (opt) {
	case OPT_ALLOW_MMAP:
		opts->allow_mmap = true;
		return true;
	case OPT_ALLOW_DIRECT_IO:
		opts->allow_direct_io = true;
		return true;
	case OPT_PRESERVE_NOATIME:
		opts->preserve_noatime = true;
		return true;
	case OPT_WRITEBACK:
		opts->writeback = true;
		return true;
	case OPT_NO_READDIRPLUS:
		opts->no_readdirplus = true;
		return true;
	case OPT_KILLPRIV_V2:
	case OPT_NO_KILLPRIV_V2:
		opts->killpriv_v2 = opt == OPT_KILLPRIV_V2;
		return true;
	case OPT_ANNOUNCE_SUBMOUNTS:
	case OPT_NO_ANNOUNCE_SUBMOUNTS:
		opts->announce_submounts = opt == OPT_ANNOUNCE_SUBMOUNTS;
		return true;
	case OPT_DAX_READONLY_WINDOW:
		opts->dax_readonly_window = true;
		return true;
	case OPT_NOTIFICATIONS:
		opts->notifications = true;
		return true;
	case OPT_READONLY:
		opts->readonly = true;
		return true;
	case OPT_NO_REMOTE_LOCKS:
		opts->no_posix_lock = true;
		opts->no_flock = true;
		return true;
	case OPT_XATTR:
		opts->xattr = true;
		return true;
	case OPT_SECURITY_LABEL:
		opts->security_label = true;
		return true;
	case OPT_POSIX_ACL:
		opts->posix_acl = true;
		return true;
	case OPT_SYSLOG:
		opts->syslog = true;
		return true;
	}
	return false;
}

bool option_set(struct options *opts, int opt, const char *arg)
{
	switch (opt) {
	case OPT_SHARED_DIR:
		opts->shared_dir = arg;
		return true;
	case OPT_SOCKET_PATH:
		opts->socket_path = arg;
		return true;
	case OPT_SOCKET_GROUP:
		return parse_group(arg, &opts->socket_group);
	case OPT_FD:
		return parse_fd(arg, &opts->fd);
	case OPT_TAG:
		opts->tag = arg;
		return *arg && strlen(arg) <= TAG_MAX;
	case OPT_CACHE:
		opts->cache_chosen = true;
		return parse_cache(arg, &opts->cache);
	case OPT_INODE_FILE_HANDLES:
		return parse_handles(arg, &opts->file_handles);
	case OPT_TRANSLATE_UID:
		return ids_parse(&opts->uids, arg);
	case OPT_TRANSLATE_GID:
		return ids_parse(&opts->gids, arg);
	case OPT_UID_MAP:
		return users_parse(&opts->uid_map, arg);
	case OPT_GID_MAP:
		return users_parse(&opts->gid_map, arg);
	case OPT_XATTRMAP:
		opts->xattr = true;
		return xattrmap_parse(&opts->xattrmap, arg);
	case OPT_DAX_WINDOW:
		return parse_window(arg, &opts->window);
	case OPT_DAX_ATTR:
		return parse_dax_attr(arg, &opts->dax_attr_min);
	case OPT_DAX_BUDGET:
		return parse_count(arg, DAX_MAP_ONE_MAP_BUDGET,
				   &opts->dax_budget);
	case OPT_WINDOW_SOCKET:
		opts->window_socket = arg;
		return true;
	case OPT_NUM_QUEUES:
		return parse_count(arg, MAX_QUEUES, &opts->num_queues);
	case OPT_THREAD_POOL_SIZE:
		return parse_uint(arg, MAX_THREADS, &opts->num_threads);
	case OPT_SANDBOX:
		return parse_sandbox(arg, &opts->sandbox);
	case OPT_SECCOMP:
		return parse_seccomp(arg, &opts->isolation.violation);
	case OPT_MODCAPS:
		return isolation_parse_caps(arg, &opts->isolation);
	case OPT_RLIMIT_NOFILE:
		return parse_uint(arg, INT_MAX, &opts->nofile);
	case OPT_GUARD:
		return parse_guard(arg, &opts->guard);
	case OPT_GUARD_TIMEOUT:
		return parse_count(arg, MAX_GUARD_TIMEOUT,
				   &opts->guard_timeout);
	case OPT_LOG_LEVEL:
		return log_level_parse(arg, &opts->log_level);
	case OPT_LOG_FILE:
		opts->log_file = arg;
		return true;
	case OPT_STATS_FILE:
		opts->stats_file = arg;
		return true;
	}
	return set_flag(opts, opt);
}

#define TEXT_(macro) #macro
#define TEXT(macro) TEXT_(macro)

const char *option_wants(int opt)
{
	switch (opt) {
	case OPT_TAG:
		return "1 to " TEXT(TAG_MAX) " bytes";
	case OPT_CACHE:
		return "auto, coherent, always, metadata or never";
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
		return "a size, as in 512M or 1G, or auto";
	case OPT_DAX_ATTR:
		return "none, all or a size, as in 64K";
	case OPT_DAX_BUDGET:
		return "1 to " TEXT(DAX_MAP_ONE_MAP_BUDGET);
	case OPT_NUM_QUEUES:
		return "1 to " TEXT(MAX_QUEUES);
	case OPT_THREAD_POOL_SIZE:
		return "0 to " TEXT(MAX_THREADS);
	case OPT_SANDBOX:
		return "none, namespace or chroot";
	case OPT_SECCOMP:
		return "none, kill, log or trap";
	case OPT_MODCAPS:
		return "capabilities, as in +sys_admin:-chown";
	case OPT_RLIMIT_NOFILE:
		return "0 or a number of descriptors";
	case OPT_SOCKET_GROUP:
		return "the name of a group";
	case OPT_FD:
		return "the number of a descriptor";
	case OPT_GUARD:
		return "none or truncate";
	case OPT_GUARD_TIMEOUT:
		return "1 to " TEXT(MAX_GUARD_TIMEOUT) " milliseconds";
	case OPT_LOG_LEVEL:
		return "error, warn, info, debug, trace or off";
	}
	return "something else";
}
