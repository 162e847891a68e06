// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtiofs-daxd: a vhost-user back-end that shares a directory over virtio-fs,
 * with a DAX window.
 *
 * Threads: this one serves the front-end and signals; a pool serves the high
 * priority queue, another the request queues; one serves the private mount of
 * backing.c. Nothing here ever waits for the pools while the front-end waits for
 * us, as a request may be waiting for the front-end.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backing.h"
#include "dax_map.h"
#include "isolation.h"
#include "log.h"
#include "options.h"
#include "passthrough.h"
#include "pool.h"
#include "queue.h"
#include "stats.h"
#include "transport.h"
#include "util.h"
#include "vhost_user.h"
#include "vu_backend.h"

/* More than that would not make requests faster. */
#define MALLOC_ARENAS 8

/**
 * struct fs_config - configuration space of the device
 */
struct fs_config {
	char tag[36];
	uint32_t num_request_queues;
} __attribute__((packed));

/**
 * struct listener - a socket that waits for a connection
 * @fd: the socket, or -1
 * @dir: its directory, to remove it in the end
 * @name: its name there
 */
struct listener {
	int fd;
	int dir;
	char name[NAME_MAX + 1];
};

/**
 * struct daemon - all that main() makes
 * @opts: command line
 * @front_end: where the front-end connects
 * @library: where the library in the front-end does
 * @signals: signalfd
 * @stats: file of counters, or -1
 * @backing: descriptors for the window, or NULL
 * @pt: the share
 * @backend: channel to the front-end
 * @map: the window, or NULL
 * @mem: memory table without regions
 * @queues: high priority first
 * @num_queues: their number
 * @hiprio: pool of the first queue
 * @requests: pool of the others
 * @config: configuration space
 * @device: what the front-end is offered
 */
struct daemon {
	struct options opts;
	struct listener front_end;
	struct listener library;
	int signals;
	int stats;
	struct backing *backing;
	struct pt *pt;
	struct vu_backend backend;
	struct dax_map *map;
	struct guest_mem *mem;
	struct queue *queues;
	unsigned int num_queues;
	struct pool *hiprio;
	struct pool *requests;
	struct fs_config config;
	struct vhost_user_device device;
};

static bool failed(const char *what, int err)
{
	if (err)
		log_err("%s: %s", what, strerror(-err));
	return err != 0;
}

static int confine_requests(void)
{
	return isolation_thread(ISOLATION_REQUESTS) ?:
	       isolation_syscalls(ISOLATION_REQUESTS, ISOLATION_KILL,
				  STDERR_FILENO);
}

static int confine_backing(void)
{
	return isolation_thread(ISOLATION_BACKING) ?:
	       isolation_syscalls(ISOLATION_BACKING, ISOLATION_KILL,
				  STDERR_FILENO);
}

static int open_signals(struct daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	/* Before any thread is started: all of them inherit it. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	daemon->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return daemon->signals < 0 ? -errno : 0;
}

/* What has a name outside of the share is opened before that is hidden. */
static int open_listener(struct listener *listener, const char *name, int type)
{
	char *path = strdup(name);
	char *path2 = strdup(name);
	int err = 0;

	if (!path || !path2)
		err = -ENOMEM;
	if (!err) {
		listener->dir = open(dirname(path), O_PATH | O_DIRECTORY |
				     O_CLOEXEC);
		err = listener->dir < 0 ? -errno : 0;
	}
	if (!err) {
		strncpy(listener->name, basename(path2), NAME_MAX);
		listener->fd = vhost_user_listen(name, type);
		err = min(listener->fd, 0);
	}
	free(path);
	free(path2);
	return err;
}

/* The library's first: QEMU waits for the other, and then connects to both. */
static int open_library(struct daemon *daemon)
{
	const char *path = daemon->opts.window_socket;
	int err;

	if (!path)
		return 0;
	err = open_listener(&daemon->library, path, SOCK_SEQPACKET);
	if (err)
		return err;
	daemon->backend.window = vu_window_new(daemon->library.fd,
					       daemon->opts.window);
	return daemon->backend.window ? 0 : -errno;
}

static int open_stats(struct daemon *daemon)
{
	if (!daemon->opts.stats_file)
		return 0;
	daemon->stats = open(daemon->opts.stats_file,
			     O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return daemon->stats < 0 ? -errno : 0;
}

/*
 * Stock maps need the private mount. With a socket for the library they are for
 * want of it; and never for a share that the guest must not write to.
 */
static int open_backing(struct daemon *daemon)
{
	const struct options *opts = &daemon->opts;
	const char *need = "";
	int err;

	daemon->backend.stock = opts->window &&
				(!opts->readonly || opts->dax_readonly_window);
	if (!daemon->backend.stock)
		return 0;
	daemon->backing = backing_new(confine_backing);
	if (daemon->backing)
		return 0;
	err = -errno;
	if (err == -EOPNOTSUPP)
		need = ", which need FUSE passthrough: Linux 6.9 or later with CONFIG_FUSE_PASSTHROUGH";
	else if (err == -EPERM)
		need = ", which need root (CAP_SYS_ADMIN), for FUSE passthrough";
	if (opts->window_socket) {
		log_info("window: no stock maps%s; DAX needs the library in the VMM",
			 need);
		daemon->backend.stock = false;
		return 0;
	}
	log_err("--dax-window without --window-socket needs stock maps%s",
		need);
	return err;
}

static int open_share(struct daemon *daemon)
{
	const struct options *opts = &daemon->opts;
	struct pt_options pt_opts = {
		.shared_dir = opts->shared_dir,
		.root_fd = -1,
		.proc_fd = -1,
		.cache = opts->cache,
		.readonly = opts->readonly,
		.xattr = opts->xattr,
		.posix_acl = opts->posix_acl,
		.dax_attr_min = opts->dax_attr_min,
	};
	int err;

	err = isolation_root(opts->sandbox, opts->shared_dir,
			     &pt_opts.root_fd, &pt_opts.proc_fd);
	if (failed(isolation_step(), err))
		return err;
	daemon->pt = pt_new(&pt_opts);
	err = daemon->pt ? 0 : -errno;
	failed(opts->shared_dir, err);
	close_fd(&pt_opts.root_fd);
	close_fd(&pt_opts.proc_fd);
	return err;
}

static int open_outside(struct daemon *daemon)
{
	const struct options *opts = &daemon->opts;
	int err;

	err = isolation_start() ?: isolation_namespaces(opts->sandbox);
	if (failed(isolation_step(), err))
		return err;
	err = log_open(opts->log_level, opts->log_file, opts->syslog);
	if (failed(opts->log_file, err))
		return err;
	err = open_signals(daemon);
	if (failed("signalfd", err))
		return err;
	err = open_stats(daemon);
	if (failed(opts->stats_file, err))
		return err;
	err = open_library(daemon);
	if (failed(opts->window_socket, err))
		return err;
	err = open_listener(&daemon->front_end, opts->socket_path,
			    SOCK_STREAM);
	if (failed(opts->socket_path, err))
		return err;
	err = open_backing(daemon);
	if (failed("window", err))
		return err;
	return open_share(daemon);
}

static int open_window(struct daemon *daemon)
{
	const struct dax_map_options opts = {
		.window = daemon->opts.window,
		.budget = min(daemon->opts.dax_budget ?: DAX_MAP_BUDGET,
			      DAX_MAP_MAX_BUDGET),
		.one_map_budget = daemon->opts.dax_budget ?:
				  DAX_MAP_ONE_MAP_BUDGET,
		.share_readonly = daemon->opts.dax_readonly_window,
		.pt = daemon->pt,
		.backing = daemon->backing,
		.backend = &daemon->backend,
	};

	if (!daemon->backing && !daemon->backend.window)
		return 0;
	daemon->map = dax_map_new(&opts);
	return daemon->map ? 0 : -ENOMEM;
}

static int open_queues(struct daemon *daemon)
{
	daemon->num_queues = 1 + daemon->opts.num_queues;
	daemon->mem = guest_mem_new();
	daemon->queues = calloc(daemon->num_queues, sizeof(struct queue));
	if (!daemon->mem || !daemon->queues)
		return -ENOMEM;
	for (unsigned int i = 0; i < daemon->num_queues; i++)
		queue_init(&daemon->queues[i], i, daemon->mem);
	daemon->hiprio = pool_new(daemon->queues, 1, 1);
	if (!daemon->hiprio)
		return -errno;
	daemon->requests = pool_new(daemon->queues + 1,
				    daemon->opts.num_queues,
				    daemon->opts.num_threads);
	return daemon->requests ? 0 : -errno;
}

static void describe_device(struct daemon *daemon)
{
	struct fs_config *config = &daemon->config;

	memcpy(config->tag, daemon->opts.tag, strlen(daemon->opts.tag));
	config->num_request_queues = htole32(daemon->opts.num_queues);
	daemon->device = (struct vhost_user_device){
		.queues = daemon->queues,
		.num_queues = daemon->num_queues,
		.config = config,
		.config_len = sizeof(*config),
		.window = daemon->opts.window,
		.map_dev = daemon->backing ? backing_dev(daemon->backing) : 0,
		.backend = &daemon->backend,
		.stopped = transport_stopped,
		.reset = transport_reset,
	};
}

static void write_stats(struct daemon *daemon)
{
	if (daemon->stats >= 0)
		failed("statistics", stats_write(daemon->stats, daemon->map));
}

/* Returns false when it is time to end. */
static bool handle_signal(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	if (read(daemon->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGUSR1)
		return false;
	write_stats(daemon);
	return true;
}

/*
 * Waits for @fd, and serves signals and reports meanwhile. Returns false at the
 * end.
 */
static bool wait_for(struct daemon *daemon, int fd)
{
	const struct vu_window *window = daemon->backend.window;
	struct pollfd fds[] = {
		{ .fd = daemon->signals, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
		{ .fd = window ? vu_window_reports(window) : -1,
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

/* Serves one front-end until it goes. Returns the exit code. */
static int serve(struct daemon *daemon)
{
	struct vhost_user *vu;
	int conn, ret = 1;

	log_info("sharing %s as '%s', waiting on %s", daemon->opts.shared_dir,
		 daemon->opts.tag, daemon->opts.socket_path);
	if (!wait_for(daemon, daemon->front_end.fd))
		return EXIT_DONE;
	conn = accept4(daemon->front_end.fd, NULL, NULL, SOCK_CLOEXEC);
	if (failed("accept", conn < 0 ? -errno : 0))
		return EXIT_FAILED;
	vu = vhost_user_new(&daemon->device, daemon->mem, conn);
	if (!vu)
		return EXIT_FAILED;
	while (ret == 1 && wait_for(daemon, conn))
		ret = vhost_user_handle(vu);
	if (ret == 0)
		log_info("the front-end has gone");
	failed("front-end", min(ret, 0));
	vhost_user_free(vu);
	return ret < 0 ? EXIT_FAILED : EXIT_DONE;
}

static void close_listener(struct listener *listener)
{
	if (listener->fd >= 0)
		unlinkat(listener->dir, listener->name, 0);
}

static void close_all(struct daemon *daemon)
{
	/* Requests which wait for the front-end end now. */
	vu_backend_shutdown(&daemon->backend);
	if (daemon->requests)
		pool_free(daemon->requests);
	if (daemon->hiprio)
		pool_free(daemon->hiprio);
	write_stats(daemon);
	for (unsigned int i = 0; daemon->hiprio && i < daemon->num_queues; i++)
		queue_destroy(&daemon->queues[i]);
	if (daemon->map)
		dax_map_free(daemon->map);
	if (daemon->backing)
		backing_free(daemon->backing);
	if (daemon->backend.window)
		vu_window_free(daemon->backend.window);
	close_listener(&daemon->front_end);
	close_listener(&daemon->library);
}

int main(int argc, char **argv)
{
	static struct daemon daemon = {
		.front_end.fd = -1, .library.fd = -1, .signals = -1,
		.stats = -1,
	};
	int code;

	code = options_parse(&daemon.opts, argc, argv);
	if (code >= 0)
		return code;
	/* Else malloc() asks for the number of processors, in the guest's /sys. */
	mallopt(M_ARENA_MAX, MALLOC_ARENAS);
	vu_backend_init(&daemon.backend);
	code = EXIT_FAILED;
	if (open_outside(&daemon))
		goto out;
	if (failed(isolation_step(), confine_requests()))
		goto out;
	if (failed("window", open_window(&daemon)) ||
	    failed("libfuse", transport_open(daemon.pt, daemon.map)) ||
	    failed("queues", open_queues(&daemon)))
		goto out;
	describe_device(&daemon);
	code = serve(&daemon);
out:
	close_all(&daemon);
	return code;
}
