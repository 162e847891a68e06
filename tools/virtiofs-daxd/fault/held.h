/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that are sent later, or never. No thread waits with them, and they do
 * not keep a queue from being stopped.
 */
#ifndef VIRTIOFS_DAXD_FAULT_HELD_H
#define VIRTIOFS_DAXD_FAULT_HELD_H

#include <stdint.h>

#include "reply.h"

/* For fault_held_add(): no time at which it is sent. */
#define FAULT_HELD_FOREVER (-1)
/* For fault_held_send(): whatever the rule. */
#define FAULT_HELD_ALL 0

/**
 * fault_held_add - keep an answer
 * @reply: not the caller's any more
 * @rule: number of the rule it is kept for
 * @ms: send it after that, or FAULT_HELD_FOREVER
 */
void fault_held_add(struct fault_reply *reply, uint64_t rule, int64_t ms);

/**
 * fault_held_send - send answers, the last one first
 * @rule: those which are kept for this rule, or FAULT_HELD_ALL
 */
void fault_held_send(uint64_t rule);

/**
 * fault_held_count - how many answers are kept
 */
unsigned int fault_held_count(void);

#endif
