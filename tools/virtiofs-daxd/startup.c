// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From a process that may do all to one that has nothing but the share. Whatever has
 * a name elsewhere, or needs privileges, is taken before these are gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"
#include "dax/backing.h"
#include "fuse/stats.h"
#include "guard/coherent.h"
#include "guard/guard.h"
#include "guard/watch.h"
#include "host/isolation.h"
#include "host/log.h"
#include "host/ready.h"
#include "host/sigbus.h"
#include "host/signals.h"
#include "host/users.h"
#include "host/util.h"
#include "passthrough/passthrough.h"
#include "startup.h"
#include "vhost/map_slots.h"
#include "vhost/vu_socket.h"

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
	opts->isolation.leases = false;
	isolation_configure(&opts->isolation);
}

/*
 * What has a name outside of the share is opened before that is hidden. The
 * thread of the backing files takes along what is open when it starts, so what
 * it has no use for is opened after that.
 */
int startup_open(struct daemon *daemon)
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
		watch_open();
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
int startup_isolate(struct daemon *daemon)
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
