/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that serve queues. One of them leads: it waits for kicks and takes
 * the next request. With the request in hand it lets another lead, and serves it
 * itself: no request changes threads as long as there are enough.
 *
 * There is one thread more than may serve at a time, so one is always left to
 * lead. If all others serve, it serves what is urgent itself, as that may be
 * what they or the guest wait for, and puts the rest on a list, from which the
 * others go on.
 */
#ifndef VIRTIOFS_DAXD_POOL_H
#define VIRTIOFS_DAXD_POOL_H

#include "vhost/queue.h"

struct pool;

/**
 * pool_new - start threads
 * @queues: to serve; see queue_watch()
 * @num_queues: their number
 * @num_workers: most requests that are served at a time, but for urgent ones
 *
 * Return: NULL with errno set.
 */
struct pool *pool_new(struct queue *queues, unsigned int num_queues,
		      unsigned int num_workers);

/**
 * pool_free - let the threads finish what they serve, and end
 * @pool: the threads
 */
void pool_free(struct pool *pool);

#endif
