// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtiofs-daxd: a vhost-user back-end that shares a directory over virtio-fs,
 * with a DAX window.
 *
 * Threads: this one serves the front-end and signals; a pool serves the high
 * priority queue, another the request queues; one serves the private mount of
 * dax/backing.c, one tries locks again for those who wait, one tells the guest of what
 * others change, one answers who wants to, one writes the log, and the statistics have
 * one of their own while they are written.
 *
 * Nothing here ever waits for the pools while the front-end waits for us, as a
 * request may be waiting for the front-end; and nothing waits for storage without
 * a bound, as it may be frozen.
 */
#include <endian.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon.h"
#include "dax/backing.h"
#include "dax/dax_map.h"
#include "fuse/pool.h"
#include "fuse/stats.h"
#include "fuse/transport.h"
#include "guard/guard.h"
#include "guard/watch.h"
#include "guard/watch_group.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"
#include "options.h"
#include "startup.h"
#include "vhost/queue.h"
#include "vhost/vhost_user.h"
#include "vhost/vu_backend.h"
#include "vhost/vu_socket.h"

/* More than that would not make requests faster. */
#define MALLOC_ARENAS 8

/* How long the end may take: requests that are being served are finished. */
#define END_SECONDS 5

/* To be called as long as the path has its meaning: before startup_isolate(). */
static void remove_socket(int *listener, const char *path)
{
	if (*listener >= 0 && path)
		unlink(path);
	close_fd(listener);
}

/* Which way files are shown; what the other way would have needed goes. */
static void choose_way(struct daemon *daemon)
{
	if (!vu_backend_settle(&daemon->backend, daemon->conn))
		daemon->opts.window = 0;
	if (!vu_backend_one_map(&daemon->backend))
		return;
	map_slots_free(daemon->slots);
	daemon->slots = NULL;
	if (daemon->backing)
		backing_free(daemon->backing);
	daemon->backing = NULL;
}

static int open_window(struct daemon *daemon)
{
	const struct dax_map_options opts = {
		.window = daemon->opts.window,
		.budget = min(daemon->opts.dax_budget ?: DAX_MAP_BUDGET,
			      (unsigned int)DAX_MAP_MAX_BUDGET),
		.one_map_budget = daemon->opts.dax_budget ?:
				  DAX_MAP_ONE_MAP_BUDGET,
		.slots = daemon->slots,
		.share_readonly = daemon->opts.dax_readonly_window,
		.pt = daemon->pt,
		.backing = daemon->backing,
		.backend = &daemon->backend,
	};

	if (!daemon->opts.window)
		return 0;
	daemon->map = dax_map_new(&opts);
	return daemon->map ? 0 : -ENOMEM;
}

static int open_queues(struct daemon *daemon)
{
	/* The one for notifications takes requests of a guest that has none */
	daemon->num_queues = 1 + daemon->opts.notifications +
			     daemon->opts.num_queues;
	daemon->mem = guest_mem_new();
	daemon->queues = calloc(daemon->num_queues, sizeof(struct queue));
	if (!daemon->mem || !daemon->queues)
		return -ENOMEM;
	for (unsigned int i = 0; i < daemon->num_queues; i++)
		queue_init(&daemon->queues[i], i, daemon->mem);
	if (daemon->opts.notifications)
		notify_open(&daemon->queues[1]);
	daemon->hiprio = pool_new(daemon->queues, 1, 1);
	if (!daemon->hiprio)
		return -errno;
	daemon->requests = pool_new(daemon->queues + 1,
				    daemon->num_queues - 1,
				    daemon->opts.num_threads ?: 1);
	return daemon->requests ? 0 : -errno;
}

/* Of either way, and of any daemon. */
static bool is_map(int fd)
{
	return backing_is_map(fd) || vu_window_is_base(fd);
}

static void describe_device(struct daemon *daemon)
{
	struct fs_config *config = &daemon->config;

	memcpy(config->tag, daemon->opts.tag, strlen(daemon->opts.tag));
	config->num_request_queues = htole32(daemon->opts.num_queues);
	config->notify_buf_size = htole32(NOTIFY_MAX_LEN);
	daemon->device = (struct vhost_user_device){
		.queues = daemon->queues,
		.num_queues = daemon->num_queues,
		.config = config,
		.config_len = daemon->opts.notifications ? sizeof(*config) :
			      offsetof(struct fs_config, notify_buf_size),
		.notifications = daemon->opts.notifications ?
				 notify_negotiated : NULL,
		.window = daemon->opts.window,
		.is_map = is_map,
		.slots = daemon->slots,
		.backend = &daemon->backend,
		.stopped = transport_stopped,
		.reset = transport_reset,
	};
}

static void write_stats(struct daemon *daemon)
{
	if (daemon->stats >= 0)
		failed(daemon->opts.stats_file,
		       stats_write(daemon->stats, daemon->map));
}

/* Returns false when it is time to end. */
static bool handle_signal(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	if (read(daemon->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGUSR1)
		return false;
	/* Nobody waits for us yet, and a thread would not be confined. */
	if (!daemon->hiprio)
		write_stats(daemon);
	else if (daemon->stats >= 0)
		failed(daemon->opts.stats_file,
		       stats_write_soon(daemon->stats, daemon->map));
	return true;
}

/*
 * Waits for @fd, and serves signals and reports of the library meanwhile. Returns
 * false at the end.
 */
static bool wait_for(struct daemon *daemon, int fd)
{
	const struct vu_window *window = daemon->backend.window;
	struct pollfd fds[] = {
		{ .fd = daemon->signals, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
		{ .fd = daemon->map && window ? vu_window_reports(window) : -1,
		  .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents && !handle_signal(daemon))
			return false;
		if (fds[2].revents)
			dax_map_take_reports(daemon->map);
		if (fds[1].revents)
			return true;
	}
}

/* The largest for which there is a place in QEMU without KVM, as scripts/vm knows. */
#define TCG_WINDOW (UINT64_C(256) << 30)

static void log_start(const struct options *opts)
{
	char window[32] = "no window (--dax-window)";

	if (opts->window)
		snprintf(window, sizeof(window), "a window of %lu MiB",
			 opts->window >> 20);
	log_info("sharing %s as '%s' with %s%s, waiting on %s", opts->shared_dir,
		 opts->tag, window, opts->cache == PT_CACHE_COHERENT ?
		 ", --cache=coherent" : "", opts->socket_path ?: "what --fd names");
	if (opts->window > TCG_WINDOW)
		log_warn("--dax-window: a guest has room for more than %lu GiB only with KVM, on a processor with as many addresses; and its driver takes %lu GiB of its memory",
			 TCG_WINDOW >> 30, opts->window >> 36);
}

/*
 * The front-end may connect before it has memory for the guest, and with that its
 * library comes; but that is before the front-end's first message. Returns false
 * at the end.
 */
static bool connect_library(struct daemon *daemon)
{
	bool ready;

	if (daemon->library < 0)
		return true;
	ready = wait_for(daemon, daemon->conn);
	if (ready)
		vu_window_accept(daemon->backend.window, daemon->library,
				 daemon->conn);
	remove_socket(&daemon->library, daemon->opts.window_socket);
	return ready;
}

/*
 * Waits for the one front-end there is. No other can connect, so the socket is
 * removed. Returns -1 to go on, else the exit code.
 */
static int connect_front_end(struct daemon *daemon)
{
	bool connected;

	log_start(&daemon->opts);
	connected = wait_for(daemon, daemon->listener);
	if (connected)
		daemon->conn = vu_socket_accept(daemon->listener);
	remove_socket(&daemon->listener, daemon->opts.socket_path);
	if (!connected)
		return EXIT_DONE;
	if (failed("accept", min(daemon->conn, 0)))
		return EXIT_FAILED;
	if (daemon->opts.window)
		watch_group_vmm(daemon->conn);
	return connect_library(daemon) ? -1 : EXIT_DONE;
}

/* Serves the front-end until it goes. Returns the exit code. */
static int serve(struct daemon *daemon)
{
	struct vhost_user *vu;
	int ret = 1;

	vu = vhost_user_new(&daemon->device, daemon->mem, daemon->conn);
	if (!vu)
		return EXIT_FAILED;
	while (ret == 1 && wait_for(daemon, daemon->conn))
		ret = vhost_user_handle(vu);
	if (ret == 0)
		log_info("the front-end has gone");
	failed("front-end", min(ret, 0));
	/* It is told that we go, whatever else takes its time. */
	vhost_user_free(vu);
	return ret < 0 ? EXIT_FAILED : EXIT_DONE;
}

/*
 * Storage that does not answer, a frozen file system say, holds a thread until it
 * does, and no signal ends that. The process does not wait for it.
 */
static void *watch_end(void *arg)
{
	(void)arg;
	sleep(END_SECONDS);
	log_err("storage does not answer: requests of the guest are given up (the kernel ends this process when it does)");
	/* Time to write that, if there is no more trouble with the log. */
	sleep(1);
	_exit(EXIT_FAILED);
}

static void close_all(struct daemon *daemon)
{
	pthread_t watch;

	remove_socket(&daemon->listener, daemon->opts.socket_path);
	remove_socket(&daemon->library, daemon->opts.window_socket);
	/* Requests which wait for the front-end end now. */
	vu_backend_shutdown(&daemon->backend);
	failed("thread", -pthread_create(&watch, NULL, watch_end, NULL));
	/* Now, as what follows may not come to an end. */
	write_stats(daemon);
	stats_close();
	guard_close();
	if (daemon->requests)
		pool_free(daemon->requests);
	if (daemon->hiprio)
		pool_free(daemon->hiprio);
	watch_close();
	/* The queues stay: requests that wait for locks may be answered still. */
	if (daemon->map)
		dax_map_free(daemon->map);
	map_slots_free(daemon->slots);
	if (daemon->backing)
		backing_free(daemon->backing);
	if (daemon->backend.window)
		vu_window_free(daemon->backend.window);
	log_close();
}

static int run(struct daemon *daemon)
{
	int code;

	if (startup_open(daemon))
		return EXIT_FAILED;
	code = connect_front_end(daemon);
	if (code >= 0)
		return code;
	if (startup_isolate(daemon))
		return EXIT_FAILED;
	if (failed("log", log_start_writer()) ||
	    failed("watch", watch_start()))
		return EXIT_FAILED;
	choose_way(daemon);
	if (failed("window", open_window(daemon)) ||
	    failed("libfuse", transport_open(daemon->pt, daemon->map)) ||
	    failed("queues", open_queues(daemon)))
		return EXIT_FAILED;
	if (daemon->map)
		guard_start(dax_map_shown, daemon->map);
	describe_device(daemon);
	return serve(daemon);
}

int main(int argc, char **argv)
{
	static struct daemon daemon = {
		.listener = -1, .library = -1, .conn = -1, .signals = -1,
		.stats = -1, .root_fd = -1, .proc_fd = -1,
	};
	int code;

	code = options_parse(&daemon.opts, argc, argv);
	if (code >= 0)
		return code;
	/* Else malloc() asks for the number of processors, in the guest's /sys. */
	mallopt(M_ARENA_MAX, MALLOC_ARENAS);
	vu_backend_init(&daemon.backend);
	code = run(&daemon);
	close_all(&daemon);
	return code;
}
