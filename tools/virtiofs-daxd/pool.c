// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "request.h"
#include "transport.h"
#include "util.h"

/**
 * struct pool - threads
 * @queues: to serve; constant, like @num_queues and the descriptors
 * @num_queues: their number
 * @epoll: for the kicks of all queues, and @stop_event
 * @stop_event: eventfd, readable once the pool is to end
 * @stop: likewise, to be looked at between requests
 * @lead: held by the thread that leads; protects @next
 * @next: queue to look into first
 * @num_threads: entries of @threads
 * @threads: the threads
 */
struct pool {
	struct queue *queues;
	unsigned int num_queues;
	int epoll;
	int stop_event;
	bool stop;
	pthread_mutex_t lead;
	unsigned int next;
	unsigned int num_threads;
	pthread_t threads[];
};

/* One round over the queues, beginning with another one each time. */
static struct request *pool_look(struct pool *pool)
{
	for (unsigned int i = 0; i < pool->num_queues; i++) {
		struct queue *queue =
			&pool->queues[pool->next++ % pool->num_queues];
		struct request *req = request_take(queue);

		if (req)
			return req;
	}
	return NULL;
}

static void pool_wait(struct pool *pool)
{
	struct epoll_event event;

	if (epoll_wait(pool->epoll, &event, 1, -1) == 1 && event.data.ptr)
		queue_drain_kick(event.data.ptr);
}

static struct request *pool_next(struct pool *pool)
{
	struct request *req = NULL;

	pthread_mutex_lock(&pool->lead);
	while (!__atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE)) {
		req = pool_look(pool);
		if (req)
			break;
		pool_wait(pool);
	}
	pthread_mutex_unlock(&pool->lead);
	return req;
}

static void *pool_thread(void *arg)
{
	struct pool *pool = arg;
	struct request *req;

	while ((req = pool_next(pool)))
		transport_serve(req);
	return NULL;
}

static int pool_open(struct pool *pool)
{
	struct epoll_event event = { .events = EPOLLIN };

	pool->epoll = epoll_create1(EPOLL_CLOEXEC);
	pool->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->epoll < 0 || pool->stop_event < 0)
		return -errno;
	if (epoll_ctl(pool->epoll, EPOLL_CTL_ADD, pool->stop_event, &event))
		return -errno;
	for (unsigned int i = 0; i < pool->num_queues; i++)
		queue_watch(&pool->queues[i], pool->epoll);
	return 0;
}

struct pool *pool_new(struct queue *queues, unsigned int num_queues,
		      unsigned int num_threads)
{
	struct pool *pool;
	int err;

	pool = calloc(1, sizeof(*pool) + num_threads * sizeof(pthread_t));
	if (!pool)
		return NULL;
	pool->queues = queues;
	pool->num_queues = num_queues;
	pthread_mutex_init(&pool->lead, NULL);
	err = pool_open(pool);
	while (!err && pool->num_threads < num_threads) {
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
	if (pool->stop_event >= 0)
		eventfd_write(pool->stop_event, 1);
	for (unsigned int i = 0; i < pool->num_threads; i++)
		pthread_join(pool->threads[i], NULL);
	for (unsigned int i = 0; i < pool->num_queues; i++)
		queue_watch(&pool->queues[i], -1);
	close_fd(&pool->epoll);
	close_fd(&pool->stop_event);
	pthread_mutex_destroy(&pool->lead);
	free(pool);
}
