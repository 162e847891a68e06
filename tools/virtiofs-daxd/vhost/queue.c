// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"

/* How long a stop waits for those who touch guest memory. */
#define STOP_SECONDS 2

/*
 * The part of a queue which chains may take that stay out for ever. The other
 * half of 1024 entries has room for the largest request of a guest, 260 entries
 * where it does without indirect tables.
 */
#define QUEUE_WAIT_SHARE 2

/**
 * struct queue_late - a reply that waits for its queue to go on
 * @next: the one that came before
 * @head: of the chain
 * @mem: keeps the memory of @in mapped
 * @in_count: pieces of @in
 * @in: the chain's writable memory
 * @written: bytes which the taker had written behind @reply
 * @len: bytes of @reply
 * @reply: the reply
 */
struct queue_late {
	struct queue_late *next;
	uint16_t head;
	struct guest_mem *mem;
	unsigned int in_count;
	struct iovec *in;
	size_t written;
	size_t len;
	char reply[];
};

void queue_init(struct queue *queue, unsigned int index, struct guest_mem *mem)
{
	memset(queue, 0, sizeof(*queue));
	queue->index = index;
	queue->mem = guest_mem_get(mem);
	queue->kick = -1;
	queue->call = -1;
	queue->epoll = -1;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->idle, NULL);
}

static void late_free(struct queue_late *late)
{
	guest_mem_put(late->mem);
	free(late->in);
	free(late);
}

static void late_drop_all(struct queue *queue)
{
	while (queue->late) {
		struct queue_late *late = queue->late;

		queue->late = late->next;
		late_free(late);
	}
}

/* Nobody is waited for with the lock held, however often it was signalled. */
static void eventfd_no_wait(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* Closing is not enough to end the watch: the front-end has the eventfd too. */
static void queue_drop_kick(struct queue *queue)
{
	if (queue->kick >= 0 && queue->epoll >= 0)
		epoll_ctl(queue->epoll, EPOLL_CTL_DEL, queue->kick, NULL);
	close_fd(&queue->kick);
}

/* What cannot be watched is not taken, and stays the caller's. */
static int queue_set_kick(struct queue *queue, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = queue };

	if (queue->epoll >= 0 &&
	    epoll_ctl(queue->epoll, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	eventfd_no_wait(fd);
	queue_drop_kick(queue);
	queue->kick = fd;
	return 0;
}

void queue_destroy(struct queue *queue)
{
	late_drop_all(queue);
	guest_mem_put(queue->mem);
	guest_mem_put(queue->ring_mem);
	queue_drop_kick(queue);
	close_fd(&queue->call);
	pthread_cond_destroy(&queue->idle);
	pthread_mutex_destroy(&queue->lock);
}

void queue_watch(struct queue *queue, int epoll)
{
	pthread_mutex_lock(&queue->lock);
	queue->epoll = epoll;
	pthread_mutex_unlock(&queue->lock);
}

void queue_set_refilled(struct queue *queue,
			void (*refilled)(struct queue *queue))
{
	pthread_mutex_lock(&queue->lock);
	queue->refilled = refilled;
	pthread_mutex_unlock(&queue->lock);
}

bool queue_refilled(struct queue *queue)
{
	void (*refilled)(struct queue *queue);

	pthread_mutex_lock(&queue->lock);
	refilled = queue->refilled;
	pthread_mutex_unlock(&queue->lock);
	if (refilled)
		refilled(queue);
	return refilled;
}

void queue_set_mem(struct queue *queue, struct guest_mem *mem)
{
	struct guest_mem *old;

	pthread_mutex_lock(&queue->lock);
	old = queue->mem;
	queue->mem = guest_mem_get(mem);
	pthread_mutex_unlock(&queue->lock);
	guest_mem_put(old);
}

void queue_move(struct queue *queue, struct guest_mem *mem)
{
	queue_set_mem(queue, mem);
	pthread_mutex_lock(&queue->lock);
	if (queue->ring_mem)
		virtq_follow(&queue->ring, queue->ring_mem);
	queue->round++;
	queue->busy = 0;
	pthread_mutex_unlock(&queue->lock);
}

int queue_set_size(struct queue *queue, unsigned int size)
{
	int err = -EINVAL;

	pthread_mutex_lock(&queue->lock);
	if (!queue->started && is_power_of_2(size) && size <= VIRTQ_MAX_SIZE) {
		/* The rings were placed for the old size. */
		if (size != queue->ring.size)
			queue->ring.desc = NULL;
		queue->ring.size = size;
		err = 0;
	}
	pthread_mutex_unlock(&queue->lock);
	return err;
}

int queue_set_base(struct queue *queue, unsigned int base)
{
	int err = -EINVAL;

	pthread_mutex_lock(&queue->lock);
	if (!queue->started && base <= UINT16_MAX) {
		queue->base = base;
		err = 0;
	}
	pthread_mutex_unlock(&queue->lock);
	return err;
}

int queue_set_rings(struct queue *queue, uint64_t desc, uint64_t avail,
		    uint64_t used)
{
	int err = -EINVAL;

	pthread_mutex_lock(&queue->lock);
	if (!queue->started && queue->ring.size)
		err = virtq_place(&queue->ring, queue->mem, desc, avail, used);
	if (!err) {
		guest_mem_put(queue->ring_mem);
		queue->ring_mem = guest_mem_get(queue->mem);
	}
	pthread_mutex_unlock(&queue->lock);
	return err;
}

void queue_set_event_idx(struct queue *queue, bool on)
{
	pthread_mutex_lock(&queue->lock);
	queue->ring.event_idx = on;
	pthread_mutex_unlock(&queue->lock);
}

static void queue_signal(struct queue *queue)
{
	if (queue->call >= 0)
		eventfd_write(queue->call, 1);
}

void queue_set_call(struct queue *queue, int fd)
{
	pthread_mutex_lock(&queue->lock);
	close_fd(&queue->call);
	eventfd_no_wait(fd);
	queue->call = fd;
	/* What was signalled between the two may have been lost. */
	if (queue->started)
		queue_signal(queue);
	pthread_mutex_unlock(&queue->lock);
}

void queue_enable(struct queue *queue, bool on)
{
	pthread_mutex_lock(&queue->lock);
	queue->enabled = on;
	if (on && queue->kick >= 0)
		eventfd_write(queue->kick, 1);
	pthread_mutex_unlock(&queue->lock);
}

static void late_give_all(struct queue *queue)
{
	while (queue->late) {
		struct queue_late *late = queue->late;

		guest_mem_follow(late->mem, late->in, late->in_count);
		iov_write(late->in, late->in_count, 0, late->reply, late->len);
		virtq_push(&queue->ring, late->head, late->len + late->written);
		queue->late = late->next;
		late_free(late);
	}
	queue_signal(queue);
}

/*
 * After a reset the guest begins with empty rings. If chains were out at the
 * stop, the two indices differ, and so cannot both match zeroed rings; if none
 * were, it makes no difference which of the two it was.
 */
static bool queue_goes_on(const struct queue *queue)
{
	return queue->seen && queue->base == queue->ring.last_avail &&
	       virtq_guest_used_idx(&queue->ring) == queue->ring.used_idx;
}

static void queue_begin(struct queue *queue)
{
	queue->epoch++;
	queue->waiting = 0;
	late_drop_all(queue);
	queue->ring.last_avail = queue->base;
	queue->ring.used_idx = virtq_guest_used_idx(&queue->ring);
	queue->ring.signalled_used = queue->ring.used_idx;
	queue->seen = true;
}

int queue_start(struct queue *queue, int kick, bool *anew)
{
	int err = -EINVAL;

	pthread_mutex_lock(&queue->lock);
	if (!queue->started && queue->ring.desc && kick >= 0)
		err = queue_set_kick(queue, kick);
	if (err) {
		close_fd(&kick);
		goto out_unlock;
	}
	queue->broken = false;
	queue->started = true;
	if (queue_goes_on(queue)) {
		late_give_all(queue);
	} else {
		queue_begin(queue);
		*anew = true;
	}
	/* Chains may be there already, with no kick to come. */
	eventfd_write(queue->kick, 1);
out_unlock:
	pthread_mutex_unlock(&queue->lock);
	return err;
}

int queue_stop(struct queue *queue, uint16_t *base)
{
	struct timespec end;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += STOP_SECONDS;
	pthread_mutex_lock(&queue->lock);
	queue->started = false;
	while (queue->busy && !err)
		err = -pthread_cond_clockwait(&queue->idle, &queue->lock,
					      CLOCK_MONOTONIC, &end);
	*base = queue->ring.last_avail;
	queue_drop_kick(queue);
	pthread_mutex_unlock(&queue->lock);
	return err;
}

bool queue_started(struct queue *queue)
{
	bool started;

	pthread_mutex_lock(&queue->lock);
	started = queue->started;
	pthread_mutex_unlock(&queue->lock);
	return started;
}

/* Takes the next chain under the lock. */
static bool queue_pop(struct queue *queue, struct queue_ticket *ticket)
{
	int n;

	if (!queue->started || !queue->enabled || queue->broken)
		return false;
	do {
		n = virtq_pop(&queue->ring, queue->mem, &ticket->chain);
	} while (n == 0 && !virtq_arm(&queue->ring));
	if (n < 0) {
		log_warn_once("queue %u: the ring makes no sense, left alone",
			      queue->index);
		queue->broken = true;
	}
	return n > 0;
}

/*
 * One that is for what we say has no requests. Who looks for them may have asked
 * just before the guest and we agreed on that.
 */
static bool take(struct queue *queue, struct queue_ticket *ticket,
		 bool (*fetch)(struct queue_ticket *ticket), bool to_say)
{
	bool got;

	pthread_mutex_lock(&queue->lock);
	got = to_say == !!queue->refilled && queue_pop(queue, ticket);
	if (got) {
		ticket->queue = queue;
		ticket->mem = guest_mem_get(queue->mem);
		ticket->epoch = queue->epoch;
		ticket->round = queue->round;
		ticket->waiting = 0;
		ticket->busy = fetch(ticket);
		queue->busy += ticket->busy;
	}
	pthread_mutex_unlock(&queue->lock);
	return got;
}

bool queue_take(struct queue *queue, struct queue_ticket *ticket,
		bool (*fetch)(struct queue_ticket *ticket))
{
	return take(queue, ticket, fetch, false);
}

/* Caller holds the lock. */
static void queue_not_busy(struct queue_ticket *ticket)
{
	struct queue *queue = ticket->queue;

	if (ticket->busy && ticket->round == queue->round && !--queue->busy)
		pthread_cond_broadcast(&queue->idle);
	ticket->busy = false;
}

void queue_suspend(struct queue_ticket *ticket)
{
	pthread_mutex_lock(&ticket->queue->lock);
	queue_not_busy(ticket);
	pthread_mutex_unlock(&ticket->queue->lock);
}

/* The memory may have been moved meanwhile. Caller holds the lock. */
static int ticket_follow(struct queue_ticket *ticket)
{
	struct virtq_chain *chain = &ticket->chain;
	struct guest_mem *moved;

	if (!guest_mem_closed(ticket->mem))
		return 0;
	moved = guest_mem_moved(ticket->mem);
	if (!moved)
		return -EAGAIN;
	guest_mem_follow(ticket->mem, chain->iov,
			 chain->out_count + chain->in_count);
	guest_mem_put(ticket->mem);
	ticket->mem = moved;
	return 0;
}

int queue_resume(struct queue_ticket *ticket, bool busy)
{
	struct queue *queue = ticket->queue;
	int err = 0;

	pthread_mutex_lock(&queue->lock);
	if (ticket->epoch != queue->epoch)
		err = -ESTALE;
	else if (busy && !queue->started)
		err = -EAGAIN;
	else if (busy)
		err = ticket_follow(ticket);
	ticket->round = queue->round;
	ticket->busy = busy && !err;
	queue->busy += ticket->busy;
	pthread_mutex_unlock(&queue->lock);
	return err;
}

bool queue_may_wait(struct queue_ticket *ticket)
{
	struct queue *queue = ticket->queue;
	unsigned int entries = ticket->chain.entries;
	bool may;

	pthread_mutex_lock(&queue->lock);
	may = ticket->epoch == queue->epoch &&
	      queue->waiting + entries <= queue->ring.size / QUEUE_WAIT_SHARE;
	if (may) {
		ticket->waiting = entries;
		queue->waiting += entries;
	}
	pthread_mutex_unlock(&queue->lock);
	return may;
}

void queue_drop(struct queue_ticket *ticket)
{
	guest_mem_put(ticket->mem);
	ticket->mem = NULL;
}

/* Keeps a reply for later; without memory for it the guest waits for ever. */
static void late_add(struct queue_ticket *ticket, const struct iovec *iov,
		     unsigned int count, size_t written)
{
	struct queue *queue = ticket->queue;
	unsigned int in_count = ticket->chain.in_count;
	size_t len = iov_size(iov, count);
	struct queue_late *late = malloc(sizeof(*late) + len);
	struct iovec *in = malloc((in_count + 1) * sizeof(*in));

	if (!late || !in) {
		log_err("queue %u: no memory for a reply", queue->index);
		free(late);
		free(in);
		return;
	}
	memcpy(in, virtq_chain_in(&ticket->chain), in_count * sizeof(*in));
	late->head = ticket->chain.head;
	late->mem = guest_mem_get(ticket->mem);
	late->in = in;
	late->in_count = in_count;
	late->written = written;
	late->len = iov_read(iov, count, late->reply, len);
	late->next = queue->late;
	queue->late = late;
}

static void queue_reply(struct queue_ticket *ticket, const struct iovec *iov,
			unsigned int count, size_t written)
{
	struct virtq_chain *chain = &ticket->chain;
	struct queue *queue = ticket->queue;
	size_t done = 0;

	for (unsigned int i = 0; i < count; i++)
		done += iov_write(virtq_chain_in(chain), chain->in_count, done,
				  iov[i].iov_base, iov[i].iov_len);
	virtq_push(&queue->ring, chain->head, done + written);
	if (virtq_should_signal(&queue->ring))
		queue_signal(queue);
}

void queue_give(struct queue_ticket *ticket, const struct iovec *iov,
		unsigned int count, size_t written)
{
	struct virtq_chain *chain = &ticket->chain;
	struct queue *queue = ticket->queue;
	bool busy;

	if (iov_size(iov, count) > iov_size(virtq_chain_in(chain),
					    chain->in_count))
		count = 0;
	pthread_mutex_lock(&queue->lock);
	busy = ticket->busy && ticket->round == queue->round;
	if (ticket->epoch == queue->epoch) {
		queue->waiting -= ticket->waiting;
		guest_mem_follow(ticket->mem, virtq_chain_in(chain),
				 chain->in_count);
		/* A busy one keeps queue_stop() waiting: not stopped yet. */
		if (queue->started || busy)
			queue_reply(ticket, iov, count, written);
		else
			late_add(ticket, iov, count, written);
	}
	queue_not_busy(ticket);
	pthread_mutex_unlock(&queue->lock);
	queue_drop(ticket);
}

/* Its buffer is filled at once. */
static bool say_fetch(struct queue_ticket *ticket)
{
	(void)ticket;
	return true;
}

int queue_say(struct queue *queue, const void *data, size_t len)
{
	const struct iovec iov = { (void *)data, len };
	struct queue_ticket ticket;
	bool fits;

	if (!take(queue, &ticket, say_fetch, true))
		return -EAGAIN;
	fits = !ticket.chain.fault && iov_size(virtq_chain_in(&ticket.chain),
					       ticket.chain.in_count) >= len;
	queue_give(&ticket, &iov, fits, 0);
	return fits ? 0 : -EMSGSIZE;
}

bool queue_given_up(const struct queue_ticket *ticket)
{
	return ticket->busy && guest_mem_closed(ticket->mem);
}

void queue_drain_kick(struct queue *queue)
{
	eventfd_t count;

	pthread_mutex_lock(&queue->lock);
	if (queue->kick >= 0)
		eventfd_read(queue->kick, &count);
	pthread_mutex_unlock(&queue->lock);
}
