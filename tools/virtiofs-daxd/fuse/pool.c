// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fuse/transport.h"
#include "host/util.h"
#include "message/request.h"

/*
 * Most requests that wait for a thread, so that a guest cannot take any amount
 * of memory: one queue of the largest size. With more the last thread serves
 * too.
 */
#define POOL_MAX_WAITING VIRTQ_MAX_SIZE

/**
 * struct pool - threads
 * @queues: to serve; constant, like @num_queues and the descriptors
 * @num_queues: their number
 * @epoll: for the kicks of all queues, and @wake
 * @wake: eventfd: there is something in the list, or @stop is set
 * @stop: the pool is to end; to be looked at between requests
 * @lead: held by the thread that leads; protects @next
 * @next: queue to look into first
 * @num_workers: how many threads may serve what is not urgent; constant
 * @lock: taken after @lead; protects what follows but the threads
 * @serving: threads that serve
 * @waiting: requests in the list
 * @first: requests that wait for a thread; there is one that is free, or they
 *	wait for their queue to go on
 * @end: where the next one goes
 * @num_threads: entries of @threads
 * @threads: the threads, one more than @num_workers
 */
struct pool {
	struct queue *queues;
	unsigned int num_queues;
	int epoll;
	int wake;
	bool stop;
	pthread_mutex_t lead;
	unsigned int next;
	unsigned int num_workers;
	pthread_mutex_t lock;
	unsigned int serving;
	unsigned int waiting;
	struct request *first;
	struct request **end;
	unsigned int num_threads;
	pthread_t threads[];
};

/* Caller holds pool->lock. */
static void waiting_add(struct pool *pool, struct request *req)
{
	req->next = NULL;
	*pool->end = req;
	pool->end = &req->next;
	pool->waiting++;
}

static void pool_again(struct request *req)
{
	struct pool *pool = req->pool;

	pthread_mutex_lock(&pool->lock);
	waiting_add(pool, req);
	pthread_mutex_unlock(&pool->lock);
	eventfd_write(pool->wake, 1);
}

/* One round over the queues, beginning with another one each time. */
static struct request *pool_look(struct pool *pool)
{
	for (unsigned int i = 0; i < pool->num_queues; i++) {
		struct queue *queue =
			&pool->queues[pool->next++ % pool->num_queues];
		struct request *req;

		if (queue_refilled(queue))
			continue;
		req = request_take(queue);
		if (req) {
			req->pool = pool;
			req->again = pool_again;
			return req;
		}
	}
	return NULL;
}

static void pool_wait(struct pool *pool)
{
	struct epoll_event event;
	eventfd_t count;

	if (epoll_wait(pool->epoll, &event, 1, -1) != 1)
		return;
	if (event.data.ptr)
		queue_drain_kick(event.data.ptr);
	else
		eventfd_read(pool->wake, &count);
}

static bool pool_stops(const struct pool *pool)
{
	return __atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE);
}

/* Caller holds pool->lock. */
static void pool_suspend(struct pool *pool, struct request *req)
{
	request_suspend(req);
	waiting_add(pool, req);
}

static struct request *waiting_remove(struct pool *pool, struct request **link)
{
	struct request *req = *link;

	*link = req->next;
	if (!*link)
		pool->end = link;
	pool->waiting--;
	return req;
}

/* The first that can be served. Caller holds pool->lock. */
static struct request *waiting_take(struct pool *pool)
{
	struct request **link = &pool->first;

	while (*link) {
		int err = request_resume(*link);

		if (!err)
			return waiting_remove(pool, link);
		if (err == -EAGAIN)
			link = &(*link)->next;
		else
			request_drop(waiting_remove(pool, link));
	}
	return NULL;
}

/* Whether to serve a request now; else it waits. Caller leads. */
static bool pool_admit(struct pool *pool, struct request *req)
{
	bool now;

	pthread_mutex_lock(&pool->lock);
	now = pool->serving < pool->num_workers || request_urgent(req) ||
	      pool->waiting >= POOL_MAX_WAITING;
	if (now)
		pool->serving++;
	else
		pool_suspend(pool, req);
	pthread_mutex_unlock(&pool->lock);
	return now;
}

/* One that waited for its queue, which has gone on. Caller leads. */
static struct request *pool_resume(struct pool *pool)
{
	struct request *req = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->serving < pool->num_workers)
		req = waiting_take(pool);
	pool->serving += req != NULL;
	pthread_mutex_unlock(&pool->lock);
	return req;
}

static struct request *pool_pick(struct pool *pool)
{
	struct request *req;

	while ((req = pool_look(pool)))
		if (pool_admit(pool, req))
			return req;
	return pool_resume(pool);
}

static struct request *pool_next(struct pool *pool)
{
	struct request *req = NULL;

	pthread_mutex_lock(&pool->lead);
	while (!pool_stops(pool)) {
		req = pool_pick(pool);
		if (req)
			break;
		pool_wait(pool);
	}
	pthread_mutex_unlock(&pool->lead);
	return req;
}

/* After a request: one that waits, unless nobody would be left to lead. */
static struct request *pool_done(struct pool *pool)
{
	struct request *req = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->serving <= pool->num_workers && !pool_stops(pool))
		req = waiting_take(pool);
	pool->serving -= !req;
	pthread_mutex_unlock(&pool->lock);
	return req;
}

static void *pool_thread(void *arg)
{
	struct pool *pool = arg;
	struct request *req = pool_next(pool);

	while (req) {
		transport_serve(req);
		req = pool_done(pool) ?: pool_next(pool);
	}
	return NULL;
}

static int pool_open(struct pool *pool)
{
	struct epoll_event event = { .events = EPOLLIN };

	pool->epoll = epoll_create1(EPOLL_CLOEXEC);
	pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->epoll < 0 || pool->wake < 0)
		return -errno;
	if (epoll_ctl(pool->epoll, EPOLL_CTL_ADD, pool->wake, &event))
		return -errno;
	for (unsigned int i = 0; i < pool->num_queues; i++)
		queue_watch(&pool->queues[i], pool->epoll);
	return 0;
}

struct pool *pool_new(struct queue *queues, unsigned int num_queues,
		      unsigned int num_workers)
{
	struct pool *pool;
	int err;

	pool = calloc(1, sizeof(*pool) + (num_workers + 1) * sizeof(pthread_t));
	if (!pool)
		return NULL;
	pool->queues = queues;
	pool->num_queues = num_queues;
	pool->num_workers = num_workers;
	pool->end = &pool->first;
	pthread_mutex_init(&pool->lead, NULL);
	pthread_mutex_init(&pool->lock, NULL);
	err = pool_open(pool);
	while (!err && pool->num_threads <= num_workers) {
		err = -pthread_create(&pool->threads[pool->num_threads], NULL,
				      pool_thread, pool);
		pool->num_threads += !err;
	}
	if (err) {
		pool_free(pool);
		errno = -err;
		return NULL;
	}
	return pool;
}

void pool_free(struct pool *pool)
{
	__atomic_store_n(&pool->stop, true, __ATOMIC_RELEASE);
	if (pool->wake >= 0)
		eventfd_write(pool->wake, 1);
	for (unsigned int i = 0; i < pool->num_threads; i++)
		pthread_join(pool->threads[i], NULL);
	while (pool->first)
		request_drop(waiting_remove(pool, &pool->first));
	for (unsigned int i = 0; i < pool->num_queues; i++)
		queue_watch(&pool->queues[i], -1);
	close_fd(&pool->epoll);
	close_fd(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	pthread_mutex_destroy(&pool->lead);
	free(pool);
}
