// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "host.h"
#include "host/count.h"
#include "host/util.h"
#include "message/notify.h"
#include "rule.h"

/* Old layout of a SETXATTR, without setxattr_flags. */
#define SETXATTR_OLD_SIZE 8

/* Whether this name is at @offset of the body; zeroes follow a request. */
static bool is_name(const struct request *req, size_t offset, const char *name)
{
	return !strcmp(req->body + offset, name);
}

static bool is_ours(const struct request *req, size_t offset)
{
	return is_name(req, offset, FAULT_XATTR);
}

static void clear(void)
{
	fault_rules_clear();
	fault_held_send(FAULT_HELD_ALL);
}

static int add_rules(uint64_t nodeid, const char *text, size_t len)
{
	bool cleared = false;
	int err;

	if (nodeid != FUSE_ROOT_ID)
		return -EPERM;
	err = fault_rules_add(text, len, &cleared);
	if (cleared)
		fault_held_send(FAULT_HELD_ALL);
	return err;
}

/* Has @done look at the value of a SETXATTR whose name of @name_len is at @offset. */
static int set(const struct request *req, size_t offset, size_t name_len,
	       int (*done)(uint64_t nodeid, const char *value, size_t len))
{
	const struct fuse_setxattr_in *in = (void *)req->body;
	size_t room = req->len - sizeof(req->header);

	offset += name_len;
	if (offset > room || in->size > room - offset)
		return -EINVAL;
	return done(req->header.nodeid, req->body + offset, in->size);
}

static int notify(uint64_t nodeid, const char *value, size_t len)
{
	(void)nodeid;
	return notify_send(value, len);
}

/* Whether a SETXATTR is for us: then it is done, and answered. */
static bool set_ours(struct request *req)
{
	static const size_t layouts[] = {
		sizeof(struct fuse_setxattr_in), SETXATTR_OLD_SIZE,
	};
	int err;

	for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++) {
		if (is_name(req, layouts[i], FAULT_XATTR))
			err = set(req, layouts[i], sizeof(FAULT_XATTR),
				  add_rules);
		else if (is_name(req, layouts[i], FAULT_NOTIFY_XATTR))
			err = set(req, layouts[i], sizeof(FAULT_NOTIFY_XATTR),
				  notify);
		else if (is_name(req, layouts[i], FAULT_HOST_XATTR))
			err = set(req, layouts[i], sizeof(FAULT_HOST_XATTR),
				  fault_host);
		else
			continue;
		request_reply(req, err, NULL, 0);
		return true;
	}
	return false;
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
	count_print_all(stream);
	fclose(stream);
	out.size = len;
	if (in->size)
		reply = (struct iovec){ text, len };
	request_reply(req, in->size && in->size < len ? -ERANGE : 0, &reply, 1);
	free(text);
}

bool fault_control(struct request *req)
{
	if (!request_valid(req))
		return false;
	if (req->header.opcode == FUSE_SETXATTR)
		return set_ours(req);
	if (req->header.nodeid != FUSE_ROOT_ID)
		return false;
	switch (req->header.opcode) {
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
