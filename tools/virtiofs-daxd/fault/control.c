// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../stats.h"
#include "../util.h"
#include "held.h"
#include "rule.h"

/* Old layout of a SETXATTR, without setxattr_flags. */
#define SETXATTR_OLD_SIZE 8

/* Whether the name at @offset of the body is ours; zeroes follow a request. */
static bool is_ours(const struct request *req, size_t offset)
{
	return !strcmp(req->body + offset, FAULT_XATTR);
}

static void clear(void)
{
	fault_rules_clear();
	fault_held_send(FAULT_HELD_ALL);
}

static int set(const struct request *req, size_t offset)
{
	const struct fuse_setxattr_in *in = (void *)req->body;
	size_t room = req->len - sizeof(req->header);
	bool cleared = false;
	int err;

	offset += sizeof(FAULT_XATTR);
	if (offset > room || in->size > room - offset)
		return -EINVAL;
	err = fault_rules_add(req->body + offset, in->size, &cleared);
	if (cleared)
		fault_held_send(FAULT_HELD_ALL);
	return err;
}

static void get(struct request *req)
{
	const struct fuse_getxattr_in *in = (void *)req->body;
	struct fuse_getxattr_out out = { 0 };
	struct iovec reply = { &out, sizeof(out) };
	char *text = NULL;
	size_t len = 0;
	FILE *stream;

	stream = open_memstream(&text, &len);
	if (!stream) {
		request_reply(req, -ENOMEM, NULL, 0);
		return;
	}
	fault_rules_print(stream);
	fprintf(stream, "held %u\n", fault_held_count());
	stats_print_requests(stream);
	fclose(stream);
	out.size = len;
	if (in->size)
		reply = (struct iovec){ text, len };
	request_reply(req, in->size && in->size < len ? -ERANGE : 0, &reply, 1);
	free(text);
}

bool fault_control(struct request *req)
{
	bool ext;

	if (!request_valid(req) || req->header.nodeid != FUSE_ROOT_ID)
		return false;
	switch (req->header.opcode) {
	case FUSE_SETXATTR:
		ext = is_ours(req, sizeof(struct fuse_setxattr_in));
		if (!ext && !is_ours(req, SETXATTR_OLD_SIZE))
			return false;
		request_reply(req, set(req, ext ?
				       sizeof(struct fuse_setxattr_in) :
				       SETXATTR_OLD_SIZE), NULL, 0);
		return true;
	case FUSE_GETXATTR:
		if (!is_ours(req, sizeof(struct fuse_getxattr_in)))
			return false;
		get(req);
		return true;
	case FUSE_REMOVEXATTR:
		if (!is_ours(req, 0))
			return false;
		clear();
		request_reply(req, 0, NULL, 0);
		return true;
	}
	return false;
}
