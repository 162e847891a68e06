// SPDX-License-Identifier: GPL-2.0-or-later
#include "message/notify_name.h"

#include <linux/fuse.h>
#include <string.h>

#include "host/util.h"
#include "message/notify.h"

/* FUSE_NOTIFY_EVENT, which older headers do not know, and what follows */
#define NOTIFY_EVENT 10

struct event_out {
	uint64_t nodeid;
	uint32_t mask;
	uint32_t cookie;
	uint32_t namelen;
	uint32_t padding;
};

/* Room for a message. */
struct text {
	_Alignas(uint64_t) char data[NOTIFY_MAX_LEN];
};

/* Returns a message, of @text; one that is too long, if so, has no data. */
static struct notify_message compose(struct text *text, int code,
				     const void *arg, size_t arg_len,
				     const char *name)
{
	struct fuse_out_header header = { .error = code };
	size_t len = name ? strlen(name) + 1 : 0;
	uint64_t nodeid;

	/* All begin with it. */
	memcpy(&nodeid, arg, sizeof(nodeid));
	header.len = sizeof(header) + arg_len + len;
	if (header.len > sizeof(text->data))
		return (struct notify_message){ .nodeid = nodeid };
	memcpy(text->data, &header, sizeof(header));
	memcpy(text->data + sizeof(header), arg, arg_len);
	if (name)
		memcpy(text->data + sizeof(header) + arg_len, name, len);
	return (struct notify_message){ text->data, header.len, nodeid, true };
}

void notify_inval_entry(uint64_t parent, const char *name)
{
	const struct fuse_notify_inval_entry_out arg = {
		.parent = parent,
		.namelen = strlen(name),
	};
	struct text text;
	const struct notify_message msg =
		compose(&text, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg), name);

	notify_say(&msg, 1);
}

void notify_delete(uint64_t parent, uint64_t child, const char *name)
{
	const struct fuse_notify_delete_out arg = {
		.parent = parent,
		.child = child,
		.namelen = strlen(name),
	};
	struct text text;
	const struct notify_message msg =
		compose(&text, FUSE_NOTIFY_DELETE, &arg, sizeof(arg), name);

	notify_say(&msg, 1);
}

void notify_events(const struct notify_event *events, unsigned int count)
{
	struct text texts[2];
	struct notify_message msgs[2];

	count = min(count, (unsigned int)ARRAY_SIZE(msgs));
	for (unsigned int i = 0; i < count; i++) {
		const struct event_out arg = {
			.nodeid = events[i].nodeid,
			.mask = events[i].mask,
			.cookie = events[i].cookie,
			.namelen = events[i].name ? strlen(events[i].name) : 0,
		};

		msgs[i] = compose(&texts[i], NOTIFY_EVENT, &arg, sizeof(arg),
				  events[i].name);
		/* A file that comes and goes does so each time. */
		msgs[i].once = !events[i].name;
	}
	notify_say(msgs, count);
}
