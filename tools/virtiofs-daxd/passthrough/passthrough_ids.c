// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_ids.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum id_kind { ID_SHIFT, ID_SQUASH, ID_FORBID };

/**
 * struct id_range - numbers that are translated
 * @kind: each to its own, all to one, or to none
 * @from: first of them
 * @count: how many
 * @to: what the first becomes
 */
struct id_range {
	enum id_kind kind;
	uint32_t from;
	uint32_t count;
	uint32_t to;
};

static const struct id_range *find(const struct id_map *map, uint32_t id)
{
	for (size_t i = 0; i < map->nr; i++)
		if (id - map->ranges[i].from < map->ranges[i].count)
			return &map->ranges[i];
	return NULL;
}

static uint32_t translate(const struct id_range *range, uint32_t id)
{
	if (!range)
		return id;
	return range->kind == ID_SQUASH ? range->to :
					  range->to + (id - range->from);
}

int ids_to_host(const struct ids *ids, uint32_t guest, uint32_t *host)
{
	const struct id_range *range = find(&ids->to_host, guest);

	if (range && range->kind == ID_FORBID)
		return -EPERM;
	*host = translate(range, guest);
	return 0;
}

uint32_t ids_to_guest(const struct ids *ids, uint32_t host)
{
	return translate(find(&ids->to_guest, host), host);
}

bool ids_any(const struct ids *ids)
{
	return ids->to_host.nr || ids->to_guest.nr;
}

static bool overlap(const struct id_range *a, const struct id_range *b)
{
	return a->count && b->count &&
	       (b->from - a->from < a->count || a->from - b->from < b->count);
}

/* -1 is nobody, so no range reaches it. */
static bool fits(uint32_t from, uint32_t count)
{
	return count <= UINT32_MAX - from;
}

static bool add(struct id_map *map, const struct id_range *range)
{
	struct id_range *ranges;

	if (!fits(range->from, range->count) ||
	    (range->kind == ID_SHIFT && !fits(range->to, range->count)) ||
	    (range->kind == ID_SQUASH && !fits(range->to, 1)))
		return false;
	for (size_t i = 0; i < map->nr; i++)
		if (overlap(&map->ranges[i], range))
			return false;
	ranges = reallocarray(map->ranges, map->nr + 1, sizeof(*ranges));
	if (!ranges)
		return false;
	ranges[map->nr++] = *range;
	map->ranges = ranges;
	return true;
}

/* Numbers, each behind the same separator. */
static bool numbers(const char *text, uint32_t *values, unsigned int nr)
{
	const char separator = *text;

	for (unsigned int i = 0; i < nr; i++) {
		unsigned long value;
		char *end;

		if (!separator || *text != separator ||
		    !isdigit((unsigned char)text[1]))
			return false;
		errno = 0;
		value = strtoul(text + 1, &end, 10);
		if (errno || value > UINT32_MAX)
			return false;
		values[i] = (uint32_t)value;
		text = end;
	}
	return !*text;
}

bool ids_parse(struct ids *ids, const char *arg)
{
	static const struct {
		const char *name;
		enum id_kind kind;
		bool guest, host;
	} types[] = {
		{ "guest", ID_SHIFT, true, false },
		{ "host", ID_SHIFT, false, true },
		{ "squash-guest", ID_SQUASH, true, false },
		{ "squash-host", ID_SQUASH, false, true },
		{ "forbid-guest", ID_FORBID, true, false },
		{ "map", ID_SHIFT, true, true },
	};
	size_t len = strspn(arg, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
	uint32_t v[3];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct id_range range = { .kind = types[i].kind };
		bool forbid = range.kind == ID_FORBID;

		if (strlen(types[i].name) != len ||
		    strncasecmp(types[i].name, arg, len))
			continue;
		if (!numbers(arg + len, v, forbid ? 2 : 3))
			return false;
		range.from = v[0];
		range.to = forbid ? 0 : v[1];
		range.count = forbid ? v[1] : v[2];
		if (types[i].guest && !add(&ids->to_host, &range))
			return false;
		if (types[i].guest && types[i].host) {
			range.from = v[1];
			range.to = v[0];
		}
		return !types[i].host || add(&ids->to_guest, &range);
	}
	return false;
}
