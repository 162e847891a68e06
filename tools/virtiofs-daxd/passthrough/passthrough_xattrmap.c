// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_xattrmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The order is that of the words in type_of(). */
enum rule_type { RULE_PREFIX, RULE_OK, RULE_BAD, RULE_UNSUPPORTED, RULE_MAP };

enum { CLIENT = 1, SERVER = 2 };

/**
 * struct xattr_rule - what is done with names
 * @type: how
 * @scopes: CLIENT: names that the guest says; SERVER: those of a list of the host
 * @key: how a name of the guest begins
 * @prepend: how a name of the host begins, and what RULE_PREFIX makes of it
 */
struct xattr_rule {
	enum rule_type type;
	int scopes;
	char *key;
	char *prepend;
};

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

static const struct xattr_rule *find(const struct xattrmap *map, int scope,
				     const char *name)
{
	for (size_t i = 0; i < map->nr; i++) {
		const struct xattr_rule *rule = &map->rules[i];

		if ((rule->scopes & scope) &&
		    begins(name, scope == CLIENT ? rule->key : rule->prepend))
			return rule;
	}
	return NULL;
}

int xattrmap_to_host(const struct xattrmap *map, const char *name,
		     struct xattr_name *host)
{
	const struct xattr_rule *rule = find(map, CLIENT, name);
	const char *prefix = "";

	if (map->nr && (!rule || rule->type == RULE_BAD))
		return -EPERM;
	if (rule && rule->type == RULE_UNSUPPORTED)
		return -EOPNOTSUPP;
	if (rule && rule->type == RULE_PREFIX)
		prefix = rule->prepend;
	if (strlen(prefix) + strlen(name) >= sizeof(host->s))
		return -ERANGE;
	strcpy(stpcpy(host->s, prefix), name);
	return 0;
}

/* What a name of the host is in the guest; empty if it is hidden. */
static const char *seen(const struct xattrmap *map, const char *name)
{
	const struct xattr_rule *rule = find(map, SERVER, name);

	if (rule && rule->type == RULE_OK)
		return name;
	return rule && rule->type == RULE_PREFIX ? name + strlen(rule->prepend) : "";
}

ssize_t xattrmap_to_guest(const struct xattrmap *map, char *list, ssize_t len)
{
	char *to = list;

	if (!map->nr)
		return len;
	for (const char *from = list, *next; from < list + len; from = next) {
		const char *name = seen(map, from);
		size_t n = strlen(name);

		next = from + strlen(from) + 1;
		if (!n)
			continue;
		memmove(to, name, n + 1);
		to += n + 1;
	}
	return to - list;
}

bool xattrmap_changes(const struct xattrmap *map, const char *name)
{
	struct xattr_name host;

	return xattrmap_to_host(map, name, &host) || strcmp(host.s, name);
}

static void forget_rules(struct xattrmap *map)
{
	for (size_t i = 0; i < map->nr; i++) {
		free(map->rules[i].key);
		free(map->rules[i].prepend);
	}
	free(map->rules);
	*map = (struct xattrmap){ 0 };
}

static bool add(struct xattrmap *map, enum rule_type type, int scopes,
		const char *key, const char *prepend)
{
	struct xattr_rule rule = {
		.type = type, .scopes = scopes,
		.key = strdup(key), .prepend = strdup(prepend),
	};
	struct xattr_rule *rules = reallocarray(map->rules, map->nr + 1,
						sizeof(*rules));

	if (rules)
		map->rules = rules;
	if (!rules || !rule.key || !rule.prepend) {
		free(rule.key);
		free(rule.prepend);
		return false;
	}
	rules[map->nr++] = rule;
	return true;
}

/* The short form: what begins with the key has the prefix here, and nothing else. */
static bool add_map(struct xattrmap *map, const char *key, const char *prepend)
{
	const int all = CLIENT | SERVER;

	return add(map, RULE_PREFIX, all, key, prepend) &&
	       (!*key || add(map, RULE_BAD, all, prepend, key)) &&
	       add(map, *key ? RULE_OK : RULE_BAD, all, "", "");
}

static int word_of(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

static int type_of(const char *word)
{
	static const char *const words[] = {
		"prefix", "ok", "bad", "unsupported", "map", NULL
	};

	return word_of(words, word);
}

/* 0 is none. */
static int scopes_of(const char *word)
{
	static const char *const words[] = { "client", "server", "all", NULL };

	return word_of(words, word) + 1;
}

/* The next field, behind a separator and up to one; NULL if there is none. */
static char *field(char **text, char separator)
{
	char *start = *text + 1, *end = **text ? strchr(start, separator) : NULL;

	if (!end || **text != separator)
		return NULL;
	*text = end;
	return start;
}

/* A rule up to its last separator; what follows is left in @text. */
static bool parse_rule(struct xattrmap *map, char **text)
{
	const char separator = **text;
	char *fields[4], *at = *text;
	int type, nr;

	fields[0] = field(&at, separator);
	if (!fields[0])
		return false;
	*at = '\0';
	type = type_of(fields[0]);
	*at = separator;
	if (type < 0)
		return false;
	nr = type == RULE_MAP ? 3 : 4;
	for (int i = 1; i < nr; i++) {
		fields[i] = field(&at, separator);
		if (!fields[i])
			return false;
	}
	for (int i = 1; i < nr; i++)
		fields[i][-1] = '\0';
	*at = '\0';
	*text = at + 1 + strspn(at + 1, " \t\n\v\f\r");
	if (type == RULE_MAP)
		return !**text && add_map(map, fields[1], fields[2]);
	return scopes_of(fields[1]) &&
	       add(map, (enum rule_type)type, scopes_of(fields[1]), fields[2],
		   fields[3]);
}

bool xattrmap_parse(struct xattrmap *map, const char *text)
{
	char *copy = strdup(text), *at = copy;
	bool ok = copy;

	forget_rules(map);
	if (ok)
		at += strspn(at, " \t\n\v\f\r");
	while (ok && *at)
		ok = parse_rule(map, &at);
	free(copy);
	return ok && map->nr;
}
