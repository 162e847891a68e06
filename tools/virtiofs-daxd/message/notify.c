// SPDX-License-Identifier: GPL-2.0-or-later
#include "message/notify.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host/util.h"

/* FUSE_NOTIFY_INC_EPOCH, which older headers do not know */
#define NOTIFY_INC_EPOCH 8

/* Buffers filled in one go: as many as wait, and all that a ring may hold. */
#define PUMP_MAX (NOTIFY_MAX_WAITING + VIRTQ_MAX_SIZE)

/**
 * struct message - a message that waits for a buffer of the guest
 * @next: the one to be said after it
 * @len: bytes of @data
 * @data: header and body
 */
struct message {
	struct message *next;
	size_t len;
	_Alignas(uint64_t) char data[];
};

/*
 * @lock: protects what follows. Taken before that of the queue
 * @queue: the queue, or NULL if there is to be none
 * @first: what waits
 * @end: where the next one goes
 * @waiting: their number
 * @lost: something could not be said: one message for all is what waits
 */
static struct {
	pthread_mutex_t lock;
	struct queue *queue;
	bool on;
	struct message *first;
	struct message **end;
	unsigned int waiting;
	bool lost;
} notify = { .lock = PTHREAD_MUTEX_INITIALIZER, .end = &notify.first };

static void drop_all(void)
{
	while (notify.first) {
		struct message *msg = notify.first;

		notify.first = msg->next;
		free(msg);
	}
	notify.end = &notify.first;
	notify.waiting = 0;
}

static void forget(void)
{
	drop_all();
	notify.lost = false;
}

static void lose(void)
{
	drop_all();
	notify.lost = true;
}

static void first_is_said(void)
{
	struct message *msg = notify.first;

	notify.first = msg->next;
	if (!notify.first)
		notify.end = &notify.first;
	notify.waiting--;
	free(msg);
}

static int say_next(void)
{
	static const struct fuse_out_header all = {
		.len = sizeof(all),
		.error = NOTIFY_INC_EPOCH,
	};

	if (notify.lost)
		return queue_say(notify.queue, &all, sizeof(all));
	return queue_say(notify.queue, notify.first->data, notify.first->len);
}

/*
 * Says what waits, as far as the guest has buffers. One that gives ever more that
 * are too small is not followed for ever. Caller holds the lock.
 */
static void pump(void)
{
	for (unsigned int n = 0; n < PUMP_MAX; n++) {
		int err;

		if (!notify.lost && !notify.first)
			return;
		err = say_next();
		if (err == -EAGAIN)
			return;
		if (err)
			lose();
		else if (notify.lost)
			notify.lost = false;
		else
			first_is_said();
	}
}

/* The guest has given buffers. */
static void refilled(struct queue *queue)
{
	(void)queue;
	pthread_mutex_lock(&notify.lock);
	pump();
	pthread_mutex_unlock(&notify.lock);
}

void notify_open(struct queue *queue)
{
	pthread_mutex_lock(&notify.lock);
	notify.queue = queue;
	pthread_mutex_unlock(&notify.lock);
}

void notify_negotiated(bool on)
{
	pthread_mutex_lock(&notify.lock);
	notify.on = on && notify.queue;
	if (notify.queue)
		queue_set_refilled(notify.queue, notify.on ? refilled : NULL);
	/* A front-end says it at each start: what waited over a stop still does. */
	if (!notify.on)
		forget();
	pthread_mutex_unlock(&notify.lock);
}

void notify_forget(void)
{
	pthread_mutex_lock(&notify.lock);
	forget();
	pthread_mutex_unlock(&notify.lock);
}

bool notify_active(void)
{
	bool on;

	pthread_mutex_lock(&notify.lock);
	on = notify.on;
	pthread_mutex_unlock(&notify.lock);
	return on;
}

/* Caller holds the lock. */
static void add(const void *data, size_t len)
{
	struct message *msg;

	if (notify.lost)
		return;
	msg = notify.waiting < NOTIFY_MAX_WAITING ?
	      malloc(sizeof(*msg) + len) : NULL;
	if (!msg) {
		lose();
		return;
	}
	msg->next = NULL;
	msg->len = len;
	memcpy(msg->data, data, len);
	*notify.end = msg;
	notify.end = &msg->next;
	notify.waiting++;
}

int notify_send(const void *data, size_t len)
{
	int err = 0;

	if (len > NOTIFY_MAX_LEN)
		return -EINVAL;
	pthread_mutex_lock(&notify.lock);
	if (notify.on) {
		add(data, len);
		pump();
	} else {
		err = -ENOTCONN;
	}
	pthread_mutex_unlock(&notify.lock);
	return err;
}

struct inval_inode {
	struct fuse_out_header header;
	struct fuse_notify_inval_inode_out arg;
};

/* Where it ends; INT64_MAX for all that follows. */
static int64_t inval_end(const struct fuse_notify_inval_inode_out *arg)
{
	int64_t end;

	if (arg->len <= 0 || __builtin_add_overflow(arg->off, arg->len, &end))
		return INT64_MAX;
	return end;
}

/* Makes one range of two; -1 is none. */
static void inval_join(struct fuse_notify_inval_inode_out *to,
		       const struct fuse_notify_inval_inode_out *from)
{
	int64_t start, end;

	if (from->off < 0)
		return;
	if (to->off < 0) {
		*to = *from;
		return;
	}
	start = min(to->off, from->off);
	end = inval_end(to);
	if (end < inval_end(from))
		end = inval_end(from);
	to->off = start;
	to->len = end == INT64_MAX ? 0 : end - start;
}

/* Whether a message that waits says it too, now. Caller holds the lock. */
static bool joined(const struct inval_inode *inval)
{
	for (struct message *msg = notify.first; msg; msg = msg->next) {
		struct inval_inode *other = (void *)msg->data;

		if (msg->len != sizeof(*other) ||
		    other->header.error != FUSE_NOTIFY_INVAL_INODE ||
		    other->arg.ino != inval->arg.ino)
			continue;
		inval_join(&other->arg, &inval->arg);
		return true;
	}
	return false;
}

void notify_inval_inode(uint64_t nodeid, int64_t offset, int64_t len)
{
	const struct inval_inode inval = {
		.header = {
			.len = sizeof(inval),
			.error = FUSE_NOTIFY_INVAL_INODE,
		},
		.arg = { .ino = nodeid, .off = offset, .len = len },
	};

	pthread_mutex_lock(&notify.lock);
	if (notify.on) {
		if (!joined(&inval))
			add(&inval, sizeof(inval));
		pump();
	}
	pthread_mutex_unlock(&notify.lock);
}

void notify_all_changed(void)
{
	pthread_mutex_lock(&notify.lock);
	if (notify.on) {
		lose();
		pump();
	}
	pthread_mutex_unlock(&notify.lock);
}
