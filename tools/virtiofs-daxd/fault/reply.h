/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An answer that is ready to be sent, and what can be wrong with it.
 */
#ifndef VIRTIOFS_DAXD_FAULT_REPLY_H
#define VIRTIOFS_DAXD_FAULT_REPLY_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vhost/queue.h"

/**
 * struct fault_reply - an answer
 * @next: for lists
 * @rule: number of the rule it is kept for
 * @due: when it is to be sent, in ms of the monotonic clock; see held.h
 * @ticket: the chain
 * @written: bytes of data that are in place behind @body
 * @len: bytes of @header and @body, as far as they are sent
 * @header: the header
 * @body: what follows
 */
struct fault_reply {
	struct fault_reply *next;
	uint64_t rule;
	int64_t due;
	struct queue_ticket ticket;
	size_t written;
	size_t len;
	struct fuse_out_header header;
	char body[];
};

/**
 * fault_reply_new - take an answer over from the daemon
 * @ticket: the chain; empty afterwards
 * @iov: header and body
 * @count: pieces of @iov
 * @written: bytes of data that are in place behind these
 *
 * Return: NULL if there is no memory, and then nothing was taken over.
 */
struct fault_reply *fault_reply_new(struct queue_ticket *ticket,
				    const struct iovec *iov, unsigned int count,
				    size_t written);

/**
 * fault_reply_send - send an answer
 * @reply: not the caller's any more
 */
void fault_reply_send(struct fault_reply *reply);

/**
 * fault_reply_refuse - make an error of it
 * @reply: the answer
 * @error: a positive errno
 */
void fault_reply_refuse(struct fault_reply *reply, int error);

/**
 * fault_reply_shorten - leave half of its body out, or half of its header if it
 *	has no body
 * @reply: the answer
 */
void fault_reply_shorten(struct fault_reply *reply);

/**
 * fault_reply_lengthen - let it say that it is longer than it is
 * @reply: the answer
 */
void fault_reply_lengthen(struct fault_reply *reply);

/**
 * fault_reply_align - let the answer to an INIT ask for an alignment of mappings
 * @reply: the answer
 * @alignment: log2 of bytes
 */
void fault_reply_align(struct fault_reply *reply, uint16_t alignment);

/**
 * fault_reply_flags2 - let the answer to an INIT say something else of the server
 * @reply: the answer
 * @flags2: the upper half of the flags
 */
void fault_reply_flags2(struct fault_reply *reply, uint32_t flags2);

/**
 * fault_reply_submount - let a directory in it be the root of a file system
 * @reply: the answer
 * @opcode: of the request
 */
void fault_reply_submount(struct fault_reply *reply, uint32_t opcode);

/**
 * fault_reply_size - the size of a regular file in it
 * @reply: the answer
 * @opcode: of the request
 *
 * Return: NULL if it carries no attributes of a regular file.
 */
uint64_t *fault_reply_size(struct fault_reply *reply, uint32_t opcode);

#endif
