// SPDX-License-Identifier: GPL-2.0-or-later
#include "held.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "host/log.h"
#include "host/util.h"

/*
 * Answers are sent with the lock held, so that who drops those of a queue knows
 * that no other is on its way.
 *
 * @changed: signalled when there is one more to wait for
 * @last: the answer that was added last
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_once_t once;
	struct fault_reply *last;
} held = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
};

/* The link to the answer that is to be sent first; NULL if none has a time. */
static struct fault_reply **first_due(void)
{
	struct fault_reply **first = NULL;

	for (struct fault_reply **p = &held.last; *p; p = &(*p)->next)
		if ((*p)->due != FAULT_HELD_FOREVER &&
		    (!first || (*p)->due <= (*first)->due))
			first = p;
	return first;
}

static struct fault_reply *unlink_reply(struct fault_reply **link)
{
	struct fault_reply *reply = *link;

	*link = reply->next;
	return reply;
}

static void *send_in_time(void *arg)
{
	pthread_mutex_lock(&held.lock);
	for (;;) {
		struct fault_reply **first = first_due();
		struct timespec until;

		if (!first) {
			pthread_cond_wait(&held.changed, &held.lock);
		} else if ((*first)->due <= clock_ms()) {
			fault_reply_send(unlink_reply(first));
		} else {
			until.tv_sec = (*first)->due / 1000;
			until.tv_nsec = (*first)->due % 1000 * 1000000;
			pthread_cond_timedwait(&held.changed, &held.lock,
					       &until);
		}
	}
	return arg;
}

static void start(void)
{
	pthread_condattr_t attr;
	pthread_t thread;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&held.changed, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&thread, NULL, send_in_time, NULL))
		log_err("fault: no thread, delayed answers stay away");
	else
		pthread_detach(thread);
}

void fault_held_add(struct fault_reply *reply, uint64_t rule, int64_t ms)
{
	pthread_once(&held.once, start);
	queue_suspend(&reply->ticket);
	reply->rule = rule;
	reply->due = ms == FAULT_HELD_FOREVER ? ms : clock_ms() + ms;
	pthread_mutex_lock(&held.lock);
	reply->next = held.last;
	held.last = reply;
	pthread_cond_signal(&held.changed);
	pthread_mutex_unlock(&held.lock);
}

void fault_held_send(uint64_t rule)
{
	struct fault_reply **link = &held.last;

	pthread_mutex_lock(&held.lock);
	while (*link) {
		if (rule == FAULT_HELD_ALL || (*link)->rule == rule)
			fault_reply_send(unlink_reply(link));
		else
			link = &(*link)->next;
	}
	pthread_mutex_unlock(&held.lock);
}

unsigned int fault_held_count(void)
{
	unsigned int n = 0;

	pthread_mutex_lock(&held.lock);
	for (struct fault_reply *reply = held.last; reply; reply = reply->next)
		n++;
	pthread_mutex_unlock(&held.lock);
	return n;
}
