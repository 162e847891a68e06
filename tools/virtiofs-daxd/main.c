// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtiofs-daxd: a vhost-user back-end that shares a directory over virtio-fs,
 * with a DAX window.
 *
 * Threads: this one serves the front-end and signals; a pool serves the high
 * priority queue, another the request queues; one serves the private mount of
 * dax/backing.c, one tries locks again for those who wait, one tells the guest of what
 * others change, one answers who wants to, one writes the log, and the statistics have one of their own while
 * they are written.
 *
 * Nothing here ever waits for the pools while the front-end waits for us, as a
 * request may be waiting for the front-end; and nothing waits for storage without
 * a bound, as it may be frozen.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dax/backing.h"
#include "dax/dax_map.h"
#include "fuse/pool.h"
#include "fuse/stats.h"
#include "fuse/transport.h"
#include "guard/coherent.h"
#include "guard/guard.h"
#include "guard/watch.h"
#include "guard/watch_group.h"
#include "host/isolation.h"
#include "host/log.h"
#include "host/ready.h"
#include "host/sigbus.h"
#include "host/signals.h"
#include "host/users.h"
#include "host/util.h"
#include "message/notify.h"
#include "options.h"
#include "passthrough/passthrough.h"
#include "vhost/queue.h"
#include "vhost/vhost_user.h"
#include "vhost/vu_backend.h"
#include "vhost/vu_socket.h"

/* More than that would not make requests faster. */
#define MALLOC_ARENAS 8

/* How long the end may take: requests that are being served are finished. */
#define END_SECONDS 5

/**
 * struct fs_config - configuration space of the device
 */
struct fs_config {
	char tag[36];
	uint32_t num_request_queues;
	uint32_t notify_buf_size;
} __attribute__((packed));

/**
 * struct daemon - all that main() makes
 * @opts: command line
 * @listener: socket that waits for the front-end, or -1 once it has connected
 * @library: likewise for the library in the front-end
 * @conn: connection to the front-end, or -1
 * @signals: signalfd
 * @stats: file of counters, or -1
 * @backing: descriptors for the window, or NULL
 * @root_fd: the share, until @pt has it
 * @proc_fd: /proc/self/fd, likewise
 * @pt: the share
 * @backend: channel to the front-end
 * @slots: how many maps there may be, or NULL
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
	int listener;
	int library;
	int conn;
	int signals;
	int stats;
	struct backing *backing;
	int root_fd;
	int proc_fd;
	struct pt *pt;
	struct vu_backend backend;
	struct map_slots *slots;
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

static int confine_requests(const struct options *opts)
{
	enum isolation_role role = opts->file_handles == PT_HANDLES_NEVER ?
				   ISOLATION_REQUESTS : ISOLATION_HANDLES;

	return isolation_thread(role) ?:
	       isolation_syscalls(role, STDERR_FILENO);
}

/* Before that thread starts there may be a socket which it has no use for. */
static int inherited_listener = -1;

static int confine_backing(void)
{
	close_fd(&inherited_listener);
	return isolation_thread(ISOLATION_BACKING) ?:
	       isolation_syscalls(ISOLATION_BACKING, STDERR_FILENO);
}

static int open_socket(struct daemon *daemon)
{
	if (daemon->opts.fd >= 0)
		return 0;
	daemon->listener = vu_socket_listen(daemon->opts.socket_path,
					    SOCK_STREAM,
					    daemon->opts.socket_group);
	return min(daemon->listener, 0);
}

/* Before that of the front-end, for which whoever starts it waits. */
static int open_library(struct daemon *daemon)
{
	if (!daemon->opts.window_socket)
		return 0;
	daemon->library = vu_socket_listen(daemon->opts.window_socket,
					    SOCK_SEQPACKET,
					    daemon->opts.socket_group);
	if (daemon->library < 0)
		return daemon->library;
	daemon->backend.window = vu_window_new(daemon->opts.window);
	return daemon->backend.window ? 0 : -errno;
}

/* To be called as long as the path has its meaning: before isolate(). */
static void remove_socket(int *listener, const char *path)
{
	if (*listener >= 0 && path)
		unlink(path);
	close_fd(listener);
}

static int open_stats(struct daemon *daemon)
{
	if (!daemon->opts.stats_file)
		return 0;
	stats_start();
	/* For whoever may look, as far as the umask allows it. */
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
	int err;

	daemon->backend.stock = opts->window &&
				(!opts->readonly || opts->dax_readonly_window);
	if (!daemon->backend.stock)
		return 0;
	errno = EPERM;
	if (!users_entered())
		daemon->backing = backing_new(confine_backing);
	if (daemon->backing)
		return 0;
	err = -errno;
	daemon->backend.stock = false;
	if (opts->window_socket) {
		log_info("window: no stock maps without %s; DAX needs the library in the VMM",
			 backing_needs(err));
		return 0;
	}
	log_err("--dax-window needs %s; or --window-socket",
		backing_needs(err));
	return err;
}

/* A step of the isolation that failed, and at what. */
static bool step_failed(const char *what, int err)
{
	if (err)
		log_err("%s: cannot %s: %s", what, isolation_step(),
			strerror(-err));
	return err != 0;
}

/* And keep the socket that was inherited, if one was. */
static int start_isolation(struct daemon *daemon)
{
	const struct options *opts = &daemon->opts;
	bool inherits = opts->fd >= 0;
	int err = inherits ? vu_socket_check(opts->fd) : 0;

	if (err) {
		log_err("--fd %d: %s", opts->fd, err == -EBADF ?
			"no such descriptor is open" :
			"no Unix stream socket that listens");
		return err;
	}
	daemon->listener = opts->fd;
	isolation_configure(&opts->isolation);
	err = isolation_start(inherits ? &daemon->listener : NULL) ?:
	      isolation_namespaces(opts->sandbox);
	inherited_listener = daemon->listener;
	if (step_failed("sandbox", err))
		return err;
	err = isolation_nofile(opts->nofile);
	step_failed("--rlimit-nofile", err);
	return err;
}

/* Before all else: helpers that it runs have privileges of their own. */
static int enter_users(const struct options *opts)
{
	if (opts->sandbox != ISOLATION_NAMESPACE)
		return 0;
	if (!opts->uid_map.nr && !opts->gid_map.nr && !isolation_needs_users())
		return 0;
	return users_enter(&opts->uid_map, &opts->gid_map);
}

/* What cannot be watched cannot be kept for as long as one likes. */
static void open_coherent(struct daemon *daemon)
{
	struct options *opts = &daemon->opts;
	int err;

	if (opts->cache != PT_CACHE_COHERENT)
		return;
	err = coherent_open(daemon->root_fd, daemon->proc_fd);
	if (!err)
		return;
	log_line(opts->cache_chosen ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
		 "--cache=coherent: %s cannot be watched for changes, so it is auto: %s",
		 opts->shared_dir, strerror(-err));
	opts->cache = PT_CACHE_AUTO;
}

/*
 * What has a name outside of the share is opened before that is hidden. The
 * thread of the backing files takes along what is open when it starts, so what
 * it has no use for is opened after that.
 */
static int open_outside(struct daemon *daemon)
{
	const struct options *opts = &daemon->opts;
	int err;

	err = enter_users(opts) ?: start_isolation(daemon);
	if (err)
		return err;
	err = log_open(opts->log_level, opts->log_file, opts->syslog);
	if (failed(opts->log_file ?: "log", err))
		return err;
	signals_block();
	err = open_backing(daemon);
	if (err)
		return err;
	daemon->signals = signals_open();
	err = min(daemon->signals, 0) ?: sigbus_open();
	if (failed("signals", err))
		return err;
	if (opts->notifications)
		watch_open(opts->cache == PT_CACHE_COHERENT);
	if (opts->guard)
		guard_open(opts->guard_timeout);
	err = open_stats(daemon);
	if (failed(opts->stats_file, err))
		return err;
	err = isolation_open(opts->sandbox, opts->shared_dir, &daemon->root_fd,
			     &daemon->proc_fd);
	if (step_failed(opts->shared_dir, err))
		return err;
	open_coherent(daemon);
	err = open_library(daemon);
	if (failed(opts->window_socket, err))
		return err;
	err = open_socket(daemon);
	if (failed(opts->socket_path ?: "--fd", err))
		return err;
	ready_tell();
	return 0;
}

static int open_share(struct daemon *daemon)
{
	const struct options *opts = &daemon->opts;
	struct pt_options pt_opts = {
		.shared_dir = opts->shared_dir,
		.root_fd = daemon->root_fd,
		.proc_fd = daemon->proc_fd,
		.cache = opts->cache,
		.watch = opts->cache == PT_CACHE_COHERENT ? &coherent_watch :
							   NULL,
		.file_handles = opts->file_handles,
		.uids = opts->uids,
		.gids = opts->gids,
		.submounts = opts->announce_submounts,
		.readonly = opts->readonly,
		.local_posix_locks = opts->no_posix_lock,
		.local_flock = opts->no_flock,
		/* Whether a file is in the window must not be seen. */
		.allow_mmap = opts->allow_mmap || opts->window,
		.allow_direct_io = opts->allow_direct_io,
		.preserve_noatime = opts->preserve_noatime,
		.writeback = opts->writeback,
		.no_readdirplus = opts->no_readdirplus,
		/* Of what is stored to the window nothing is known here. */
		.killpriv_v2 = opts->killpriv_v2 && !opts->window,
		.xattr = opts->xattr,
		.xattrmap = opts->xattrmap,
		.security_label = opts->security_label,
		.posix_acl = opts->posix_acl,
		.dax_attr_min = opts->dax_attr_min,
	};

	daemon->pt = pt_new(&pt_opts);
	if (!daemon->pt)
		return -errno;
	if (daemon->backend.stock)
		daemon->slots = map_slots_new(daemon->proc_fd);
	return daemon->backend.stock && !daemon->slots ? -errno : 0;
}

/* From here on there is nothing but the share. */
static int isolate(struct daemon *daemon)
{
	int err;

	err = isolation_root(daemon->opts.sandbox, &daemon->root_fd);
	if (!err && daemon->opts.readonly)
		err = isolation_readonly(daemon->opts.sandbox, daemon->root_fd,
					 daemon->backend.stock);
	if (step_failed(daemon->opts.shared_dir, err))
		return err;
	err = open_share(daemon);
	close_fd(&daemon->root_fd);
	close_fd(&daemon->proc_fd);
	if (failed(daemon->opts.shared_dir, err))
		return err;
	err = confine_requests(&daemon->opts);
	step_failed("sandbox", err);
	return err;
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

	if (open_outside(daemon))
		return EXIT_FAILED;
	code = connect_front_end(daemon);
	if (code >= 0)
		return code;
	if (isolate(daemon))
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
