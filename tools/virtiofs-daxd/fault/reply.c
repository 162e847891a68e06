// SPDX-License-Identifier: GPL-2.0-or-later
#include "reply.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fault.h"
#include "fuse/fuse_complete.h"
#include "host/util.h"

/* What a reply that lies about its length adds to it. */
#define REPLY_LIE 8

struct fault_reply *fault_reply_new(struct queue_ticket *ticket,
				    const struct iovec *iov, unsigned int count,
				    size_t written)
{
	size_t len = iov_size(iov, count);
	struct fault_reply *reply = malloc(sizeof(*reply) + len);

	if (!reply)
		return NULL;
	reply->next = NULL;
	reply->ticket = *ticket;
	reply->written = written;
	reply->len = iov_read(iov, count, &reply->header, len);
	ticket->mem = NULL;
	return reply;
}

void fault_reply_send(struct fault_reply *reply)
{
	const struct iovec iov = { &reply->header, reply->len };

	__real_queue_give(&reply->ticket, &iov, 1, reply->written);
	free(reply);
}

void fault_reply_refuse(struct fault_reply *reply, int error)
{
	reply->written = 0;
	reply->len = sizeof(reply->header);
	reply->header.len = reply->len;
	reply->header.error = -error;
}

void fault_reply_shorten(struct fault_reply *reply)
{
	size_t body = reply->len - sizeof(reply->header);

	if (reply->written)
		reply->written /= 2;
	else if (body)
		reply->len -= body - body / 2;
	else
		reply->len /= 2;
	reply->header.len = reply->len + reply->written;
}

void fault_reply_lengthen(struct fault_reply *reply)
{
	reply->header.len += REPLY_LIE;
}

void fault_reply_align(struct fault_reply *reply, uint16_t alignment)
{
	struct fuse_init_out *init = (void *)reply->body;

	if (reply->len - sizeof(reply->header) < sizeof(*init))
		return;
	init->flags |= FUSE_MAP_ALIGNMENT;
	init->map_alignment = alignment;
}

void fault_reply_flags2(struct fault_reply *reply, uint32_t flags2)
{
	struct fuse_init_out *init = (void *)reply->body;

	if (reply->len - sizeof(reply->header) < sizeof(*init))
		return;
	init->flags |= FUSE_INIT_EXT;
	init->flags2 = flags2;
}

void fault_reply_submount(struct fault_reply *reply, uint32_t opcode)
{
	struct fuse_attr *attr;

	attr = fuse_attr_in(opcode, reply->body,
			    reply->len - sizeof(reply->header));
	if (attr && S_ISDIR(attr->mode))
		attr->flags |= FUSE_ATTR_SUBMOUNT;
}

uint64_t *fault_reply_size(struct fault_reply *reply, uint32_t opcode)
{
	size_t len = reply->len - sizeof(reply->header);
	struct fuse_statx_out *stx = (void *)reply->body;
	struct fuse_attr *attr;

	if (opcode == FUSE_STATX)
		return len >= sizeof(*stx) && S_ISREG(stx->stat.mode) ?
		       &stx->stat.size : NULL;
	attr = fuse_attr_in(opcode, reply->body, len);
	return attr && S_ISREG(attr->mode) ? &attr->size : NULL;
}
