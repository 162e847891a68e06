// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blocking locks: a request that must wait is put on a list, and one thread
 * tries again, in the order of arrival: at once when a lock of the guest goes,
 * else after a pause that grows to PAUSE_MAX_MS. So nobody sits in a system
 * call that may never return, cancelling is taking a request off the list, and
 * no thread of the pool is lost. The price is that a lock which a *host* process
 * drops is noticed up to PAUSE_MAX_MS late.
 *
 * Owners of POSIX locks that wait for each other are found when one more begins
 * to wait. One that waits already, by another of its threads, may also be granted
 * a lock that is in the way of others: then it is looked at once more. Who waits
 * for a process of the host may wait for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>

#include "passthrough/passthrough_lock.h"

#define PAUSE_MIN_MS 1
#define PAUSE_MAX_MS 50

/* Requests that may wait; each takes memory, and is tried after every pause. */
#define MAX_WAITERS 1024

/*
 * Owners, ranges and waiters that a search for a deadlock looks at; all searches
 * together, of those who wait already, before the mutex is free again.
 */
#define SEARCH_STEPS 65536

/*
 * A search for a deadlock.
 * @owner: of whom it is the question whether it would wait for itself
 * @turn: number of the search
 * @steps: how much may still be looked at
 * @todo: waiters that are found and not looked at
 */
struct search {
	uint64_t owner;
	uint64_t turn;
	unsigned int steps;
	struct lock_waiter *todo;
};

/* All that an owner waits for: its threads may wait for several locks. */
static void search_add(struct search *search, struct lock_waiter *waiters,
		       uint64_t owner)
{
	struct lock_waiter *w;

	for (w = waiters; w && search->steps; w = w->next) {
		search->steps--;
		if (!w->owner || w->owner->owner != owner || w->cancelled ||
		    w->search == search->turn)
			continue;
		w->search = search->turn;
		w->todo = search->todo;
		search->todo = w;
	}
}

/* Look at who is in the way of @w. Return: whether the owner itself is. */
static bool search_step(struct search *search, struct lock_waiter *waiters,
			const struct lock_waiter *w)
{
	struct range range;

	if (!range_of(&w->flock, &range))
		return false;
	for (struct lock_owner *o = w->handle->node->owners;
	     o && search->steps; o = o->next) {
		search->steps--;
		if (o == w->owner ||
		    !ranges_conflict(&o->ranges, &range, &search->steps))
			continue;
		if (o->owner == search->owner)
			return true;
		search_add(search, waiters, o->owner);
	}
	return false;
}

/*
 * Whether @w would wait for its own owner. Caller holds locks.mutex.
 *
 * @steps: how much may be looked at; what is left of it is returned there
 */
static bool is_deadlock(struct lock_table *locks, const struct lock_waiter *w,
			unsigned int *steps)
{
	struct search search = { .steps = *steps };
	bool found = false;

	search.owner = w->owner->owner;
	search.turn = ++locks->searches;
	while (w && !found) {
		found = search_step(&search, locks->waiters, w);
		w = search.todo;
		if (w)
			search.todo = w->todo;
	}
	*steps = search.steps;
	return found;
}

static bool must_wait(int error)
{
	return error == EAGAIN || error == EACCES;
}

/* An owner has one lock more, which others may wait for. */
static void owner_granted(struct lock_table *locks, uint64_t owner)
{
	for (struct lock_waiter *w = locks->waiters; w; w = w->next)
		if (w->owner && w->owner->owner == owner)
			w->suspect = true;
}

/* Caller holds locks.mutex. */
static int waiter_try(struct lock_table *locks, const struct lock_waiter *w)
{
	int error;

	if (!w->owner)
		return flock(w->handle->fd, w->op | LOCK_NB) ? errno : 0;
	error = owner_try(locks, w->owner, &w->flock);
	if (!error && w->flock.l_type != F_UNLCK)
		owner_granted(locks, w->owner->owner);
	return error;
}

/* The same for one that waits. Caller holds locks.mutex. */
static int waiter_retry(struct lock_table *locks, struct lock_waiter *w,
			unsigned int *steps)
{
	int error = waiter_try(locks, w);
	bool all = *steps == SEARCH_STEPS;

	if (!must_wait(error) || !w->suspect || !*steps)
		return error;
	if (is_deadlock(locks, w, steps))
		return EDEADLK;
	/* If too little was left by others it will be the next time. */
	w->suspect = !*steps && !all;
	return error;
}

/* Caller holds locks.mutex. */
static struct lock_waiter *waiter_remove(struct lock_table *locks,
					 struct lock_waiter **link)
{
	struct lock_waiter *w = *link;

	if (w->owner)
		w->owner->waiters--;
	locks->nr_waiters--;
	*link = w->next;
	w->next = NULL;
	return w;
}

/* Take off the list who is done, in order. Caller holds locks.mutex. */
static struct lock_waiter *waiters_collect(struct lock_table *locks)
{
	struct lock_waiter *done = NULL, **tail = &done;
	struct lock_waiter **p = &locks->waiters;
	unsigned int steps = SEARCH_STEPS;

	while (*p) {
		struct lock_waiter *w = *p;

		if (!w->staged)
			w->error = w->cancelled ? EINTR :
				   waiter_retry(locks, w, &steps);
		if (w->staged || (!w->cancelled && must_wait(w->error))) {
			p = &w->next;
			continue;
		}
		*tail = waiter_remove(locks, p);
		tail = &w->next;
	}
	return done;
}

static void waiters_answer(struct pt *pt, struct lock_waiter *w)
{
	while (w) {
		struct lock_waiter *next = w->next;

		fuse_reply_err(w->req, w->error);
		handle_put(pt, w->handle);
		free(w);
		w = next;
	}
}

/* Caller holds locks.mutex. */
static void lock_pause(struct lock_table *locks, unsigned int ms)
{
	struct timespec until;

	if (!locks->waiters) {
		pthread_cond_wait(&locks->wake, &locks->mutex);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&locks->wake, &locks->mutex, &until);
}

static void *lock_thread(void *arg)
{
	struct pt *pt = arg;
	struct lock_table *locks = &pt->locks;
	unsigned int ms = PAUSE_MIN_MS;

	pthread_mutex_lock(&locks->mutex);
	while (!locks->stop) {
		struct lock_waiter *done = waiters_collect(locks);

		if (!done) {
			lock_pause(locks, ms);
			ms = ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms * 2;
			continue;
		}
		ms = PAUSE_MIN_MS;
		locks->busy = true;
		pthread_mutex_unlock(&locks->mutex);
		waiters_answer(pt, done);
		pthread_mutex_lock(&locks->mutex);
		locks->busy = false;
		pthread_cond_broadcast(&locks->idle);
	}
	pthread_mutex_unlock(&locks->mutex);
	return NULL;
}

/* Caller holds locks.mutex. */
static int lock_thread_start(struct pt *pt)
{
	int ret;

	if (pt->locks.started)
		return 0;
	ret = pthread_create(&pt->locks.thread, NULL, lock_thread, pt);
	pt->locks.started = !ret;
	return ret;
}

/* libfuse calls this with the request locked, so it is still there. */
static void lock_interrupted(fuse_req_t req, void *data)
{
	struct lock_table *locks = data;

	pthread_mutex_lock(&locks->mutex);
	for (struct lock_waiter *w = locks->waiters; w; w = w->next)
		if (w->req == req)
			w->cancelled = true;
	pthread_cond_signal(&locks->wake);
	pthread_mutex_unlock(&locks->mutex);
}

void wait_kick(struct lock_table *locks)
{
	if (locks->waiters)
		pthread_cond_signal(&locks->wake);
}

/* A copy of @proto at the end of the list, staged. Caller holds locks.mutex. */
static struct lock_waiter *waiter_add(struct lock_table *locks,
				      const struct lock_waiter *proto)
{
	struct lock_waiter **p = &locks->waiters;
	struct lock_waiter *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	*w = *proto;
	w->staged = true;
	if (w->owner)
		w->owner->waiters++;
	locks->nr_waiters++;
	while (*p)
		p = &(*p)->next;
	*p = w;
	return w;
}

int wait_try(struct lock_table *locks, const struct lock_waiter *proto,
	     struct lock_waiter **wait)
{
	unsigned int steps = SEARCH_STEPS;
	int error = waiter_try(locks, proto);

	if (!error)
		wait_kick(locks);
	if (!wait || !must_wait(error))
		return error;
	/* BSD locks have no owner. */
	if (proto->owner && is_deadlock(locks, proto, &steps))
		return EDEADLK;
	if (locks->nr_waiters == MAX_WAITERS)
		return ENOLCK;
	/* Now, so that who is next to look for a deadlock sees it. */
	*wait = waiter_add(locks, proto);
	return *wait ? EINPROGRESS : ENOLCK;
}

static void waiter_give_up(struct lock_table *locks, struct lock_waiter *w)
{
	struct lock_waiter **p = &locks->waiters;

	while (*p != w)
		p = &(*p)->next;
	free(waiter_remove(locks, p));
	pthread_cond_broadcast(&locks->idle);
}

/*
 * It is on the list, though staged, when libfuse learns how to interrupt it: an
 * interrupt that comes in between finds it, and the thread does not answer, and
 * so free, a request that is still in use here.
 */
int wait_begin(struct pt *pt, struct lock_waiter *w)
{
	struct lock_table *locks = &pt->locks;
	int error;

	pthread_mutex_lock(&locks->mutex);
	error = lock_thread_start(pt);
	if (error)
		waiter_give_up(locks, w);
	pthread_mutex_unlock(&locks->mutex);
	if (error)
		return error;

	handle_ref(pt, w->handle);
	fuse_req_interrupt_func(w->req, lock_interrupted, locks);

	pthread_mutex_lock(&locks->mutex);
	w->staged = false;
	pthread_cond_signal(&locks->wake);
	pthread_cond_broadcast(&locks->idle);
	pthread_mutex_unlock(&locks->mutex);
	return EINPROGRESS;
}

void wait_cancel(struct lock_table *locks, const struct handle *handle)
{
	for (struct lock_waiter *w = locks->waiters; w; w = w->next)
		if (!handle || w->handle == handle)
			w->cancelled = true;
	wait_kick(locks);
}

void wait_cancel_all(struct lock_table *locks)
{
	while (locks->waiters || locks->busy) {
		/* Again each time: requests may still be arriving. */
		wait_cancel(locks, NULL);
		pthread_cond_wait(&locks->idle, &locks->mutex);
	}
}

void locks_init(struct pt *pt)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&pt->locks.mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pt->locks.wake, &attr);
	pthread_cond_init(&pt->locks.idle, &attr);
	pthread_condattr_destroy(&attr);
}

void locks_free(struct pt *pt)
{
	struct lock_table *locks = &pt->locks;

	if (locks->started) {
		pthread_mutex_lock(&locks->mutex);
		locks->stop = true;
		pthread_cond_signal(&locks->wake);
		pthread_mutex_unlock(&locks->mutex);
		pthread_join(locks->thread, NULL);
	}
	pthread_cond_destroy(&locks->wake);
	pthread_cond_destroy(&locks->idle);
	pthread_mutex_destroy(&locks->mutex);
}
