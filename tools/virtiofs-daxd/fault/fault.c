// SPDX-License-Identifier: GPL-2.0-or-later
#include "fault.h"

#include <unistd.h>

#include "control.h"
#include "held.h"
#include "host/count.h"
#include "host/util.h"
#include "reply.h"
#include "rule.h"

/* The answer under way is an error already, by a rule. */
static _Thread_local bool refusing;

void __wrap_transport_serve(struct request *req)
{
	const struct fault_subject subject = {
		.req = req, .stage = FAULT_REQUEST,
	};
	struct fault_hit hit;

	if (fault_control(req))
		return;
	if (!fault_rules_match(&subject, &hit)) {
		__real_transport_serve(req);
		return;
	}
	count_request(req->header.opcode);
	if (hit.action == FAULT_DIE)
		_exit(FAULT_EXIT);
	refusing = true;
	request_reply(req, -(int)hit.value, NULL, 0);
	refusing = false;
}

/* Lets an answer go wrong, and sends it if that does not mean not to. */
static void spoil(struct fault_reply *reply, uint32_t opcode, uint64_t *size,
		  const struct fault_hit *hit)
{
	switch (hit->action) {
	case FAULT_ERRNO:
		fault_reply_refuse(reply, hit->value);
		break;
	case FAULT_SHORT:
		fault_reply_shorten(reply);
		break;
	case FAULT_LONG:
		fault_reply_lengthen(reply);
		break;
	case FAULT_SIZE:
		*size = hit->value;
		break;
	case FAULT_ALIGN:
		fault_reply_align(reply, hit->value);
		break;
	case FAULT_FLAGS2:
		fault_reply_flags2(reply, hit->value);
		break;
	case FAULT_SUBMOUNT:
		fault_reply_submount(reply, opcode);
		break;
	case FAULT_DELAY:
		fault_held_add(reply, hit->rule, hit->value);
		return;
	case FAULT_SILENCE:
		fault_held_add(reply, hit->rule, FAULT_HELD_FOREVER);
		return;
	case FAULT_HOLD:
		fault_held_add(reply, hit->rule, FAULT_HELD_FOREVER);
		if (hit->hits % hit->value == 0)
			fault_held_send(hit->rule);
		return;
	case FAULT_DIE:
		_exit(FAULT_EXIT);
	}
	fault_reply_send(reply);
}

void __wrap_queue_give(struct queue_ticket *ticket, const struct iovec *iov,
		       unsigned int count, size_t written)
{
	struct fault_subject subject = {
		.req = container_of(ticket, struct request, ticket),
		.stage = FAULT_REPLY,
	};
	struct fault_reply *reply = NULL;
	struct fault_hit hit;
	uint32_t opcode = subject.req->header.opcode;
	uint64_t *size;

	/* Without an answer, nothing can be wrong with it. */
	if (count && !refusing)
		reply = fault_reply_new(ticket, iov, count, written);
	if (!reply) {
		__real_queue_give(ticket, iov, count, written);
		return;
	}
	size = fault_reply_size(reply, opcode);
	subject.sized = size;
	if (fault_rules_match(&subject, &hit))
		spoil(reply, opcode, size, &hit);
	else
		fault_reply_send(reply);
}
