/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is to go wrong: rules, one per line of text.
 *
 *	op=NAME [write] [at=N] [skip=N] [count=N] [done] ACTION
 *
 * NAME is an opcode (SETUPMAPPING); write is for setups that ask for write access,
 * at=N for setups and removes of what is at byte N of the window; skip=N leaves
 * the first N such requests alone; count=N is for so many after these, 1 by
 * default, 0 for all. ACTION is one of
 *
 *	errno=N		refused with this number, as it is
 *	delay=MS	answered late
 *	silence		not answered until the rules are cleared
 *	short		half of the answer's body, or of its header, is missing
 *	long		the answer says that it is longer than it is
 *	size=N		a regular file's size in the attributes
 *	align=N		the map_alignment in the answer to an INIT
 *	flags2=N	the upper half of its flags
 *	submount	a directory is another file system's, in its attributes
 *	hold=N		N answers (count=N by default) are sent in reverse order
 *	die		the process ends
 *
 * errno and die come instead of the request, or with "done" after it. The line
 * "clear" removes the rules that were there before.
 *
 * One rule decides about a request: the first that comes instead of it, else the
 * first that is about its answer.
 */
#ifndef VIRTIOFS_DAXD_FAULT_RULE_H
#define VIRTIOFS_DAXD_FAULT_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "message/request.h"

enum fault_action {
	FAULT_ERRNO,
	FAULT_DELAY,
	FAULT_SILENCE,
	FAULT_SHORT,
	FAULT_LONG,
	FAULT_SIZE,
	FAULT_ALIGN,
	FAULT_FLAGS2,
	FAULT_SUBMOUNT,
	FAULT_HOLD,
	FAULT_DIE,
};

/* Where a rule applies: to a request not yet served, or to its answer. */
enum fault_stage {
	FAULT_REQUEST,
	FAULT_REPLY,
};

/**
 * struct fault_subject - what a rule may be about
 * @req: the request
 * @stage: whether it is about to be served or answered
 * @sized: the answer carries the attributes of a regular file
 */
struct fault_subject {
	const struct request *req;
	enum fault_stage stage;
	bool sized;
};

/**
 * struct fault_hit - a rule that applies
 * @action: what is to be done
 * @value: the number behind the action's name
 * @rule: the rule's number, never used for another one; not 0
 * @hits: how many times it has applied, this time included
 */
struct fault_hit {
	enum fault_action action;
	uint64_t value;
	uint64_t rule;
	uint64_t hits;
};

/**
 * fault_rules_add - add rules
 * @text: lines
 * @len: bytes of @text
 * @cleared: set if there was a line "clear"
 *
 * Return: 0; -EINVAL if any line is no rule, -ENOMEM: then nothing has changed.
 */
int fault_rules_add(const char *text, size_t len, bool *cleared);

/**
 * fault_rules_clear - remove all rules
 */
void fault_rules_clear(void);

/**
 * fault_rules_match - the rule for a request or an answer; counts it as a hit
 * @subject: the request or answer
 * @hit: filled
 *
 * Return: false if there is none.
 */
bool fault_rules_match(const struct fault_subject *subject,
		       struct fault_hit *hit);

/**
 * fault_rules_print - print a line for each rule: its text, then how many
 *	requests it has seen, and how often it has applied
 * @out: where to
 */
void fault_rules_print(FILE *out);

#endif
