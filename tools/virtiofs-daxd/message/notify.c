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

/* So many changes are told apart by who asks whether a file has changed. */
#define CHANGED_MAX 256

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
 * @changes: how often something was to be said; read without the lock, too
 * @changed: of which node, of the last ones; 0 may have been any
 * @drain: finds out what is to be said before an answer; atomic
 * @turn: answers that wait until all this is said
 * @turn_end: where the next one goes
 */
static struct {
	pthread_mutex_t lock;
	struct queue *queue;
	bool on;
	struct message *first;
	struct message **end;
	unsigned int waiting;
	bool lost;
	uint64_t changes;
	uint64_t changed[CHANGED_MAX];
	void (*drain)(void);
	struct notify_turn *turn;
	struct notify_turn **turn_end;
} notify = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.end = &notify.first,
	.turn_end = &notify.turn,
};

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

/* Caller holds the lock. */
static void changed(uint64_t nodeid)
{
	notify.changed[notify.changes % CHANGED_MAX] = nodeid;
	__atomic_add_fetch(&notify.changes, 1, __ATOMIC_RELEASE);
}

static void lose(void)
{
	changed(0);
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
static void say_all(void)
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

/* Whether it is what waits already. Caller holds the lock. */
static bool waits(const struct notify_message *msg)
{
	for (struct message *other = notify.first; other; other = other->next)
		if (other->len == msg->len &&
		    !memcmp(other->data, msg->data, msg->len))
			return true;
	return false;
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

/* Makes one range of two; -1 is none. What is given up for one is for both. */
static void inval_join(struct fuse_notify_inval_inode_out *to,
		       const struct fuse_notify_inval_inode_out *from)
{
	bool shown = to->len < 0 && from->len < 0;
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
	to->len = shown ? NOTIFY_SHOWN : end == INT64_MAX ? 0 : end - start;
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

/* Caller holds the lock. */
static void add_inval(uint64_t nodeid, int64_t offset, int64_t len)
{
	const struct inval_inode inval = {
		.header = {
			.len = sizeof(inval),
			.error = FUSE_NOTIFY_INVAL_INODE,
		},
		.arg = { .ino = nodeid, .off = offset, .len = len },
	};

	if (!joined(&inval))
		add(&inval, sizeof(inval));
}

/* Of a directory that was read, what was kept may be from before a change. */
static void say_again(uint64_t dir)
{
	if (dir && notify.on)
		add_inval(dir, 0, 0);
	say_all();
}

static void give(struct notify_turn *turn)
{
	say_again(turn->give(turn, turn->seen != notify.changes));
}

static struct notify_turn *first_turn(void)
{
	struct notify_turn *turn = notify.turn;

	notify.turn = turn->next;
	if (!notify.turn)
		notify.turn_end = &notify.turn;
	return turn;
}

/* Says what waits, and gives the answers that have waited for that. */
static void pump(void)
{
	say_all();
	while (notify.turn && !notify.lost && !notify.first)
		give(first_turn());
}

/* Whoever waits for something to be said waits no more, and nothing new is said. */
static void forget(void)
{
	drop_all();
	notify.lost = false;
	while (notify.turn) {
		struct notify_turn *turn = first_turn();

		turn->give(turn, false);
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

void notify_inval_inode(uint64_t nodeid, int64_t offset, int64_t len)
{
	pthread_mutex_lock(&notify.lock);
	if (notify.on) {
		changed(nodeid);
		add_inval(nodeid, offset, len);
		pump();
	}
	pthread_mutex_unlock(&notify.lock);
}

void notify_say(const struct notify_message *msgs, unsigned int count)
{
	pthread_mutex_lock(&notify.lock);
	for (unsigned int i = 0; notify.on && i < count; i++) {
		changed(msgs[i].nodeid);
		if (!msgs[i].data)
			lose();
		else if (!msgs[i].once || !waits(&msgs[i]))
			add(msgs[i].data, msgs[i].len);
	}
	if (notify.on)
		pump();
	pthread_mutex_unlock(&notify.lock);
}

void notify_changed(void)
{
	pthread_mutex_lock(&notify.lock);
	changed(0);
	pthread_mutex_unlock(&notify.lock);
}

bool notify_changed_since(const struct notify_turn *turn, uint64_t nodeid)
{
	if (notify.changes - turn->seen > CHANGED_MAX)
		return true;
	for (uint64_t i = turn->seen; i < notify.changes; i++) {
		uint64_t which = notify.changed[i % CHANGED_MAX];

		if (!which || which == nodeid)
			return true;
	}
	return false;
}

void notify_order(void (*drain)(void))
{
	__atomic_store_n(&notify.drain, drain, __ATOMIC_RELEASE);
}

void notify_turn_begin(struct notify_turn *turn)
{
	void (*drain)(void) = __atomic_load_n(&notify.drain, __ATOMIC_ACQUIRE);

	if (drain)
		drain();
	turn->seen = __atomic_load_n(&notify.changes, __ATOMIC_ACQUIRE);
}

void notify_turn(struct notify_turn *turn)
{
	void (*drain)(void) = __atomic_load_n(&notify.drain, __ATOMIC_ACQUIRE);

	if (!drain) {
		turn->give(turn, false);
		return;
	}
	drain();
	pthread_mutex_lock(&notify.lock);
	if (notify.on && (notify.lost || notify.first)) {
		turn->keep(turn);
		turn->next = NULL;
		*notify.turn_end = turn;
		notify.turn_end = &turn->next;
	} else {
		give(turn);
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
