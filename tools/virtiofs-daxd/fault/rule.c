// SPDX-License-Identifier: GPL-2.0-or-later
#include "rule.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host/count.h"
#include "host/util.h"

/* Longest line. */
#define RULE_MAX 128
/* count=N was not given, or at=N. */
#define RULE_COUNT_DEFAULT UINT64_MAX
#define RULE_ANYWHERE UINT64_MAX

/**
 * struct rule - a rule
 * @next: the one after it
 * @id: its number
 * @opcode: requests it is about
 * @write: only setups that ask for write access
 * @at: only where the window has this byte
 * @skip: requests left alone
 * @count: hits at the most, 0 for no limit
 * @action: what goes wrong
 * @has_action: @action was given
 * @done: the request is served
 * @value: of the action
 * @seen: requests it was looked up for
 * @hits: how often it applied
 * @text: as it was given
 */
struct rule {
	struct rule *next;
	uint64_t id;
	uint32_t opcode;
	bool write;
	uint64_t at;
	uint64_t skip;
	uint64_t count;
	enum fault_action action;
	bool has_action;
	bool done;
	uint64_t value;
	uint64_t seen;
	uint64_t hits;
	char text[RULE_MAX];
};

static struct {
	pthread_mutex_t lock;
	struct rule *first;
	uint64_t last_id;
} rules = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct {
	const char *name;
	bool has_value;
} actions[] = {
	[FAULT_ERRNO] = { "errno", true },
	[FAULT_DELAY] = { "delay", true },
	[FAULT_SILENCE] = { "silence", false },
	[FAULT_SHORT] = { "short", false },
	[FAULT_LONG] = { "long", false },
	[FAULT_SIZE] = { "size", true },
	[FAULT_ALIGN] = { "align", true },
	[FAULT_FLAGS2] = { "flags2", true },
	[FAULT_SUBMOUNT] = { "submount", false },
	[FAULT_HOLD] = { "hold", true },
	[FAULT_DIE] = { "die", false },
};

static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && !*end;
}

/* Those which have no answer, or carry the rules, cannot go wrong. */
static bool parse_opcode(const char *name, uint32_t *opcode)
{
	*opcode = name ? count_opcode(name) : 0;
	switch (*opcode) {
	case 0:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_SETXATTR:
	case FUSE_GETXATTR:
	case FUSE_REMOVEXATTR:
		return false;
	}
	return true;
}

static bool parse_action(struct rule *rule, const char *name, const char *value)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name))
			continue;
		if (rule->has_action || actions[i].has_value != !!value)
			return false;
		rule->action = i;
		rule->has_action = true;
		return !value || parse_number(value, &rule->value);
	}
	return false;
}

static bool parse_word(struct rule *rule, char *word)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = 0;
	if (!strcmp(word, "op"))
		return parse_opcode(value, &rule->opcode);
	if (!strcmp(word, "at"))
		return parse_number(value, &rule->at);
	if (!strcmp(word, "skip"))
		return parse_number(value, &rule->skip);
	if (!strcmp(word, "count"))
		return parse_number(value, &rule->count);
	if (!strcmp(word, "write") && !value)
		return rule->write = true;
	if (!strcmp(word, "done") && !value)
		return rule->done = true;
	return parse_action(rule, word, value);
}

/* What the words mean together. */
static bool rule_complete(struct rule *rule)
{
	if (!rule->opcode || !rule->has_action)
		return false;
	if (rule->write && rule->opcode != FUSE_SETUPMAPPING)
		return false;
	if (rule->at != RULE_ANYWHERE && rule->opcode != FUSE_SETUPMAPPING &&
	    rule->opcode != FUSE_REMOVEMAPPING)
		return false;
	if (rule->done && rule->action != FAULT_ERRNO &&
	    rule->action != FAULT_DIE)
		return false;
	/* An error of 0 is success; more than an int holds, nothing. */
	if (rule->action == FAULT_ERRNO &&
	    (!rule->value || rule->value > INT32_MAX))
		return false;
	if (rule->action == FAULT_ALIGN &&
	    (rule->opcode != FUSE_INIT || rule->value > UINT16_MAX))
		return false;
	if (rule->action == FAULT_FLAGS2 &&
	    (rule->opcode != FUSE_INIT || rule->value > UINT32_MAX))
		return false;
	if (rule->action == FAULT_HOLD && !rule->value)
		return false;
	if (rule->count == RULE_COUNT_DEFAULT)
		rule->count = rule->action == FAULT_HOLD ? rule->value : 1;
	return true;
}

static bool parse_rule(struct rule *rule, const char *line, size_t len)
{
	char words[RULE_MAX], *state, *word;

	if (len >= sizeof(words) || memchr(line, 0, len))
		return false;
	memcpy(rule->text, line, len);
	memcpy(words, line, len);
	words[len] = 0;
	rule->count = RULE_COUNT_DEFAULT;
	rule->at = RULE_ANYWHERE;
	for (word = strtok_r(words, " \t", &state); word;
	     word = strtok_r(NULL, " \t", &state))
		if (!parse_word(rule, word))
			return false;
	return rule_complete(rule);
}

static void rules_free(struct rule *rule)
{
	while (rule) {
		struct rule *next = rule->next;

		free(rule);
		rule = next;
	}
}

/* The end of a list, where the next rule goes. */
static struct rule **rules_end(struct rule **list)
{
	while (*list)
		list = &(*list)->next;
	return list;
}

static int add_line(struct rule **list, const char *line, size_t len,
		    bool *cleared)
{
	struct rule *rule;

	if (!len)
		return 0;
	if (len == strlen("clear") && !memcmp(line, "clear", len)) {
		rules_free(*list);
		*list = NULL;
		*cleared = true;
		return 0;
	}
	rule = calloc(1, sizeof(*rule));
	if (!rule)
		return -ENOMEM;
	*rules_end(list) = rule;
	return parse_rule(rule, line, len) ? 0 : -EINVAL;
}

/* Puts rules in force. Under the lock, because of the numbers. */
static void rules_publish(struct rule *list)
{
	for (struct rule *rule = list; rule; rule = rule->next)
		rule->id = ++rules.last_id;
	*rules_end(&rules.first) = list;
}

int fault_rules_add(const char *text, size_t len, bool *cleared)
{
	struct rule *list = NULL, *old = NULL;
	bool clear = false;
	int err = 0;

	while (len && !err) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		err = add_line(&list, text, line, &clear);
		text += line + !!end;
		len -= line + !!end;
	}
	if (err) {
		rules_free(list);
		return err;
	}
	pthread_mutex_lock(&rules.lock);
	if (clear) {
		old = rules.first;
		rules.first = NULL;
	}
	rules_publish(list);
	pthread_mutex_unlock(&rules.lock);
	rules_free(old);
	*cleared = clear;
	return 0;
}

void fault_rules_clear(void)
{
	struct rule *old;

	pthread_mutex_lock(&rules.lock);
	old = rules.first;
	rules.first = NULL;
	pthread_mutex_unlock(&rules.lock);
	rules_free(old);
}

static enum fault_stage rule_stage(const struct rule *rule)
{
	if (rule->action != FAULT_ERRNO && rule->action != FAULT_DIE)
		return FAULT_REPLY;
	return rule->done ? FAULT_REPLY : FAULT_REQUEST;
}

static bool has_byte(uint64_t start, uint64_t len, uint64_t at)
{
	return at >= start && at - start < len;
}

static bool remove_has_byte(const struct request *req, uint64_t at)
{
	const struct fuse_removemapping_in *in = (void *)req->body;
	const char *entry = req->body + sizeof(*in);
	const char *end = req->buf + req->len;
	struct fuse_removemapping_one one;

	/* They are not aligned, and there may be fewer than @in says. */
	for (uint32_t i = 0; i < in->count; i++, entry += sizeof(one)) {
		if (end - entry < (ptrdiff_t)sizeof(one))
			return false;
		memcpy(&one, entry, sizeof(one));
		if (has_byte(one.moffset, one.len, at))
			return true;
	}
	return false;
}

static bool request_has_byte(const struct request *req, uint64_t at)
{
	const struct fuse_setupmapping_in *in = (void *)req->body;

	return req->header.opcode == FUSE_SETUPMAPPING ?
	       has_byte(in->moffset, in->len, at) : remove_has_byte(req, at);
}

static bool rule_is_about(const struct rule *rule,
			  const struct fault_subject *subject)
{
	const struct request *req = subject->req;
	const struct fuse_setupmapping_in *in = (void *)req->body;

	if (rule->opcode != req->header.opcode ||
	    rule_stage(rule) != subject->stage)
		return false;
	if (rule->write && !(in->flags & FUSE_SETUPMAPPING_FLAG_WRITE))
		return false;
	if (rule->at != RULE_ANYWHERE && !request_has_byte(req, rule->at))
		return false;
	return rule->action != FAULT_SIZE || subject->sized;
}

/* Whether it applies, this being one more of its kind. */
static bool rule_applies(struct rule *rule)
{
	if (++rule->seen <= rule->skip)
		return false;
	if (rule->count && rule->hits == rule->count)
		return false;
	rule->hits++;
	return true;
}

bool fault_rules_match(const struct fault_subject *subject,
		       struct fault_hit *hit)
{
	bool found = false;
	struct rule *rule;

	pthread_mutex_lock(&rules.lock);
	for (rule = rules.first; rule && !found; rule = rule->next) {
		if (!rule_is_about(rule, subject) || !rule_applies(rule))
			continue;
		*hit = (struct fault_hit){
			.action = rule->action,
			.value = rule->value,
			.rule = rule->id,
			.hits = rule->hits,
		};
		found = true;
	}
	pthread_mutex_unlock(&rules.lock);
	return found;
}

void fault_rules_print(FILE *out)
{
	pthread_mutex_lock(&rules.lock);
	for (struct rule *rule = rules.first; rule; rule = rule->next)
		fprintf(out, "rule %s seen=%lu hits=%lu\n", rule->text,
			rule->seen, rule->hits);
	pthread_mutex_unlock(&rules.lock);
}
