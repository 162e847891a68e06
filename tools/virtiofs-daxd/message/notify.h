/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications: what we say to the guest unasked, by the queue of its own that
 * virtio-fs has for this (VIRTIO 1.3, 5.11.2: queue 1, if VIRTIO_FS_F_NOTIFICATION
 * was negotiated).
 *
 * If answers are given in order (notify_order()), they wait for buffers of this queue.
 * So a guest which asks for that (FUSE_NOTIFY_ORDERED) gives a buffer back before it does
 * anything that may wait for an answer. Of a guest that does not ask nothing waits.
 *
 * Nobody who says something waits for the guest. What it has no buffer for waits
 * here. That is bounded: what would be too much is said by one message, that the
 * guest has to ask everything anew. So is what a buffer had no room for.
 */
#ifndef VIRTIOFS_DAXD_NOTIFY_H
#define VIRTIOFS_DAXD_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost/queue.h"

/* Longest message: the header, a body, and a name. */
#define NOTIFY_MAX_LEN 512
/* Most messages that wait for a buffer of the guest. */
#define NOTIFY_MAX_WAITING 1024

/**
 * notify_open - speak by this queue if the guest agrees
 * @queue: the queue; stays the caller's
 */
void notify_open(struct queue *queue);

/**
 * notify_negotiated - what the guest has agreed to, also what it had before
 * @on: the queue is for notifications; else it is one more for requests
 */
void notify_negotiated(bool on);

/**
 * notify_forget - the guest has forgotten all that it knew, and so do we
 */
void notify_forget(void);

/**
 * notify_active - whether the guest listens
 */
bool notify_active(void);

/*
 * Bytes of notify_inval_inode(): all that follows has changed, as the window shows. To
 * a guest that gets answers in order; any other takes it for 0.
 */
#define NOTIFY_SHOWN (-1)

/**
 * notify_inval_inode - a file has changed, or is about to
 * @nodeid: the file
 * @offset: first byte that is concerned; -1 if no data is
 * @len: bytes, of which the guest is to give up what it has mapped; 0 for all that
 *	follows; or NOTIFY_SHOWN
 *
 * What waits already for the same file is said with it.
 */
void notify_inval_inode(uint64_t nodeid, int64_t offset, int64_t len);

/**
 * notify_all_changed - anything may have changed
 */
void notify_all_changed(void);

/**
 * struct notify_message - what is to be said
 * @data: a fuse_out_header and what follows; NULL if that is too long
 * @len: bytes, at most NOTIFY_MAX_LEN
 * @nodeid: the file, or directory, that it is about
 * @once: it need not be said again if it waits already
 */
struct notify_message {
	const void *data;
	size_t len;
	uint64_t nodeid;
	bool once;
};

/**
 * notify_say - say something has changed
 * @msgs: in these words, with nothing else between them
 * @count: how many
 */
void notify_say(const struct notify_message *msgs, unsigned int count);

/**
 * notify_changed - something has changed of which the guest knows nothing yet
 *
 * But it may be in an answer that is being made.
 */
void notify_changed(void);

/**
 * struct notify_turn - an answer that is not to arrive before what is to be said
 * @next: that waits, too
 * @seen: what had changed when its making began
 * @keep: it has to wait: make a copy of what is on the stack. Lock held
 * @give: it is its turn; what it says may not be so any more if @changed, of which
 *	notify_changed_since() knows more. Returns a directory of which the guest may keep what it says nevertheless, or 0: that is
 *	then said to have changed. Lock held, unless there is no order
 */
struct notify_turn {
	struct notify_turn *next;
	uint64_t seen;
	void (*keep)(struct notify_turn *turn);
	uint64_t (*give)(struct notify_turn *turn, bool changed);
};

/**
 * notify_order - from now on nothing arrives before what is to be said
 * @drain: finds out what is to be said; NULL: no order from now on
 */
void notify_order(void (*drain)(void));

/**
 * notify_turn_begin - an answer is begun
 *
 * What has changed before is told now, and nothing that was changed meanwhile.
 */
void notify_turn_begin(struct notify_turn *turn);

/**
 * notify_turn - an answer is made
 *
 * It is given, now or later.
 */
void notify_turn(struct notify_turn *turn);

/**
 * notify_changed_since - whether what an answer says of a file may not be so any more
 * @turn: the answer, of which it is the turn
 * @nodeid: the file, or a directory and its names
 */
bool notify_changed_since(const struct notify_turn *turn, uint64_t nodeid);

/**
 * notify_send - say it in these words
 * @msg: a fuse_out_header and what follows; as it is, right or wrong
 * @len: bytes, at most NOTIFY_MAX_LEN
 *
 * Return: 0; -EINVAL if it is too long, -ENOTCONN if the guest does not listen.
 */
int notify_send(const void *msg, size_t len);

#endif
