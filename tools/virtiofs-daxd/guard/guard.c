// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/guard_i.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "host/isolation.h"
#include "host/log.h"
#include "host/util.h"
#include "message/request.h"

/* What waits is looked at this often, ms. */
#define LOOK_MS 1
/* Files that are idle are looked for this often, ms. */
#define SWEEP_MS 500

/*
 * @timeout: how long the host waits at most, ms; constant
 * @thread: the thread
 * @ready: 1 once the thread has begun, or why it has not; protected by
 *	guard_files.lock
 * @cond: @ready is there
 */
static struct {
	unsigned int timeout;
	pthread_t thread;
	int ready;
	pthread_cond_t cond;
} guard = {
	.cond = PTHREAD_COND_INITIALIZER,
};

static void take_events(void)
{
	static char buf[8192];
	ssize_t left = read(guard_files.group, buf, sizeof(buf));
	struct fanotify_event_metadata event;
	const char *pos = buf;

	while (left >= (ssize_t)sizeof(event)) {
		/* They follow each other without being aligned. */
		memcpy(&event, pos, sizeof(event));
		if (!FAN_EVENT_OK(&event, left))
			break;
		if (event.fd >= 0)
			guard_changes_add(&event);
		pos += event.event_len;
		left -= event.event_len;
	}
}

static bool stops(void)
{
	bool stop;

	pthread_mutex_lock(&guard_files.lock);
	stop = guard_files.stop;
	pthread_mutex_unlock(&guard_files.lock);
	return stop;
}

static int guard_begin(void)
{
	return guard_changes_open(guard.timeout) ?:
	       isolation_thread(ISOLATION_GUARD) ?:
	       isolation_syscalls(ISOLATION_GUARD, STDERR_FILENO);
}

static void guard_serve(void)
{
	struct pollfd fds[] = {
		{ .fd = guard_files.wake, .events = POLLIN },
		{ .fd = guard_files.group, .events = POLLIN },
	};
	int64_t swept = 0;
	bool idle = false;
	eventfd_t count;

	while (!stops()) {
		bool waits;

		guard_changes_look();
		waits = guard_changes_step();

		if (swept + SWEEP_MS <= clock_ms()) {
			idle = guard_files_sweep();
			swept = clock_ms();
		}
		if (poll(fds, ARRAY_SIZE(fds), waits ? LOOK_MS :
			 idle ? SWEEP_MS : -1) < 0)
			continue;
		if (fds[0].revents)
			eventfd_read(guard_files.wake, &count);
		if (fds[1].revents)
			take_events();
	}
}

static void *guard_thread(void *arg)
{
	int err = guard_begin();

	(void)arg;
	pthread_mutex_lock(&guard_files.lock);
	guard.ready = err ?: 1;
	pthread_cond_signal(&guard.cond);
	pthread_mutex_unlock(&guard_files.lock);
	if (!err)
		guard_serve();
	guard_changes_drop();
	return NULL;
}

static int start_thread(void)
{
	int err = pthread_create(&guard.thread, NULL, guard_thread, NULL);

	if (err)
		return -err;
	pthread_mutex_lock(&guard_files.lock);
	while (!guard.ready)
		pthread_cond_wait(&guard.cond, &guard_files.lock);
	pthread_mutex_unlock(&guard_files.lock);
	if (guard.ready > 0)
		return 0;
	pthread_join(guard.thread, NULL);
	return guard.ready;
}

static int open_group(void)
{
	guard_files.group = fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC |
					  FAN_NONBLOCK | FAN_UNLIMITED_MARKS |
					  FAN_UNLIMITED_QUEUE | FAN_REPORT_TID,
					  O_RDONLY | O_CLOEXEC | O_LARGEFILE);
	guard_files.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return guard_files.group < 0 || guard_files.wake < 0 ? -errno : 0;
}

void guard_open(unsigned int timeout)
{
	int err;

	guard.timeout = timeout;
	err = open_group() ?: start_thread();
	if (!err) {
		log_info("what truncates a mapped file waits for the guest, %u ms at most",
			 timeout);
		return;
	}
	close_fd(&guard_files.group);
	close_fd(&guard_files.wake);
	log_warn("no guard: it needs root, and Linux 6.14: %s", strerror(-err));
}

void guard_start(guard_shown *shown, struct dax_map *map)
{
	pthread_mutex_lock(&guard_files.lock);
	guard_changes_ask(shown, map);
	pthread_mutex_unlock(&guard_files.lock);
}

void guard_close(void)
{
	struct request *req;

	if (guard_files.group < 0)
		return;
	pthread_mutex_lock(&guard_files.lock);
	guard_files.stop = true;
	pthread_mutex_unlock(&guard_files.lock);
	eventfd_write(guard_files.wake, 1);
	pthread_join(guard.thread, NULL);
	/* Whose event comes now goes on with this. */
	close_fd(&guard_files.group);
	pthread_mutex_lock(&guard_files.lock);
	req = guard_files_unpark();
	pthread_mutex_unlock(&guard_files.lock);
	while (req) {
		struct request *next = req->next;

		request_drop(req);
		req = next;
	}
	guard_changes_close();
	/*
	 * @wake stays until the process ends: threads that serve the guest write to
	 * it, and its number must not become that of a file of the guest meanwhile.
	 */
}
