// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * -o, which the virtiofsd in C had, and which that in Rust still takes.
 */
#include <stddef.h>
#include <string.h>

#include "options_i.h"
#include "host/util.h"

/* Words that have a value: the option which takes it. */
static const struct {
	const char *word;
	int opt;
} values[] = {
	{ "source", OPT_SHARED_DIR },
	{ "cache", OPT_CACHE },
	{ "loglevel", OPT_LOG_LEVEL },
	{ "sandbox", OPT_SANDBOX },
	{ "modcaps", OPT_MODCAPS },
	{ "xattrmap", OPT_XATTRMAP },
};

/* Values that have another name now. */
static const struct {
	const char *old;
	const char *now;
	int opt;
} renamed[] = {
	{ "none", "never", OPT_CACHE },
	{ "err", "error", OPT_LOG_LEVEL },
};

#define FLAG(name) offsetof(struct options, name)

/* Words without a value: the flag, and what it is then. */
static const struct {
	const char *word;
	size_t flag;
	bool set;
} flags[] = {
	{ "xattr", FLAG(xattr), true },
	{ "no_xattr", FLAG(xattr), false },
	{ "posix_acl", FLAG(posix_acl), true },
	{ "no_posix_acl", FLAG(posix_acl), false },
	{ "readdirplus", FLAG(no_readdirplus), false },
	{ "no_readdirplus", FLAG(no_readdirplus), true },
	{ "writeback", FLAG(writeback), true },
	{ "no_writeback", FLAG(writeback), false },
	{ "allow_direct_io", FLAG(allow_direct_io), true },
	{ "no_allow_direct_io", FLAG(allow_direct_io), false },
	{ "announce_submounts", FLAG(announce_submounts), true },
	{ "security_label", FLAG(security_label), true },
	{ "no_security_label", FLAG(security_label), false },
	{ "killpriv_v2", FLAG(killpriv_v2), true },
	{ "no_killpriv_v2", FLAG(killpriv_v2), false },
	{ "posix_lock", FLAG(no_posix_lock), false },
	{ "no_posix_lock", FLAG(no_posix_lock), true },
	{ "flock", FLAG(no_flock), false },
	{ "no_flock", FLAG(no_flock), true },
};

static int set_flag(struct options *opts, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strcmp(flags[i].word, word))
			continue;
		*(bool *)((char *)opts + flags[i].flag) = flags[i].set;
		return -1;
	}
	return option_wrong("unknown option -o %s", word);
}

static const char *name_now(int opt, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
		if (renamed[i].opt == opt && !strcmp(renamed[i].old, value))
			return renamed[i].now;
	return value;
}

/* @value stays: it is a part of the command line. */
static int set_value(struct options *opts, const char *word, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		int opt = values[i].opt;

		if (strcmp(values[i].word, word))
			continue;
		if (option_set(opts, opt, name_now(opt, value)))
			return -1;
		return option_wrong("-o %s takes %s, not '%s'", word,
				    option_wants(opt), value);
	}
	return option_wrong("unknown option -o %s=", word);
}

int options_compat(struct options *opts, char *list)
{
	int code = -1;
	char *word;

	while (code < 0 && (word = strsep(&list, ","))) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		code = value ? set_value(opts, word, value) :
			       set_flag(opts, word);
	}
	return code;
}
