// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The connections to the daemons, one for each share, and the thread that serves
 * them. What cannot be reached is told on standard error, and left out: its daemon
 * then lets QEMU map each part of a file by itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base.h"
#include "code.h"
#include "foreign.h"
#include "host/util.h"
#include "vhost/fd_pass.h"

/* Environment: sockets of the daemons, with colons between them. */
#define SOCKETS_ENV "VIRTIOFS_DAX_WINDOW"

/* The start of a vhost-user message; @size is of what follows. */
struct vhost_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

#define VHOST_VERSION 1u
#define VHOST_REPLY 4u
#define VHOST_NEED_REPLY 8u
#define VHOST_REQUESTS 64

/* The most that a file offset can be. */
#define MAX_OFFSET ((uint64_t)INT64_MAX)

/* What Linux allows if it does not say, and what QEMU needs for itself. */
#define MAPS_DEFAULT 65530
#define MAPS_OF_QEMU 1024

/* As windows[]: of which daemon each is; fd is -1 where there is none. */
static struct pollfd sockets[WINDOW_MAX];

/* Likewise, who they are; 0 where there was none. */
static struct ucred daemons[WINDOW_MAX];

static bool in_window(const struct window *window, const struct window_msg *msg)
{
	return !((msg->offset | msg->len) & (WINDOW_PAGE - 1)) && msg->len &&
	       msg->len <= window->len &&
	       msg->offset <= window->len - msg->len;
}

static int serve_base(struct window *window, const struct window_msg *msg,
		      int *fds)
{
	int err;

	if (!msg->len || msg->len & (WINDOW_HUGE - 1) || msg->len > MAX_OFFSET)
		return -EINVAL;
	err = base_set(window, msg->len, fds[0], fds[1]);
	if (err == -EPERM)
		dprintf(2, "virtiofs-dax: not to be combined with %s: QEMU shows files by itself, if it can\n",
			foreign_found());
	if (!err)
		fds[0] = fds[1] = -1;
	return err;
}

static int serve_map(struct window *window, const struct window_msg *msg,
		     int fd)
{
	struct stat st;

	if (msg->flags & ~WINDOW_PRIVATE ||
	    msg->file_offset & (WINDOW_PAGE - 1) ||
	    msg->file_offset > MAX_OFFSET - msg->len)
		return -EINVAL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EBADF;
	return base_map(window, msg, fd);
}

static int serve(struct window *window, const struct window_msg *msg, int *fds,
		 unsigned int num_fds)
{
	static const unsigned int wanted[] = {
		[WINDOW_BASE] = 2, [WINDOW_QUERY] = 0,
		[WINDOW_MAP] = 1, [WINDOW_BLANK] = 0,
	};

	if (msg->op != WINDOW_BASE && !window->len)
		return -ENODEV;
	if (!msg->op || msg->op >= ARRAY_SIZE(wanted))
		return -EOPNOTSUPP;
	if (num_fds != wanted[msg->op])
		return -EINVAL;
	if (msg->op == WINDOW_BASE)
		return serve_base(window, msg, fds);
	if (msg->op == WINDOW_QUERY)
		return __atomic_load_n(&window->base, __ATOMIC_ACQUIRE) ?
		       0 : -ENODEV;
	if (!in_window(window, msg))
		return -EINVAL;
	if (msg->op == WINDOW_MAP)
		return serve_map(window, msg, fds[0]);
	return base_blank(window, msg->offset, msg->len);
}

/* Returns false if the daemon has gone. */
static bool serve_message(struct window *window, int sock)
{
	struct window_reply reply = { .error = -EINVAL };
	/* By a byte more is seen that a message is too long. */
	struct { struct window_msg msg; char more; } in;
	int fds[FD_PASS_MAX];
	unsigned int num_fds;
	ssize_t n;

	n = fd_receive(sock, &in, sizeof(in.msg) + 1, fds, &num_fds);
	if (n == sizeof(in.msg))
		reply.error = serve(window, &in.msg, fds, num_fds);
	/* They come with an empty message, too. */
	for (unsigned int i = 0; i < num_fds; i++)
		close_fd(&fds[i]);
	return n > 0 && send(sock, &reply, sizeof(reply), MSG_NOSIGNAL) ==
			sizeof(reply);
}

/* What a daemon that has gone has shown stays. */
static void *server_thread(void *arg)
{
	prctl(PR_SET_NAME, "dax-window");
	code_enter();
	for (;;) {
		if (poll(sockets, WINDOW_MAX, -1) < 0)
			continue;
		for (int i = 0; i < WINDOW_MAX; i++)
			if (sockets[i].revents &&
			    !serve_message(&windows[i], sockets[i].fd))
				close_fd(&sockets[i].fd);
	}
	return arg;
}

/* Whoever we connect to decides what the guest sees; root may trust anybody. */
static bool trusted(int sock, struct ucred *peer)
{
	socklen_t len = sizeof(*peer);

	return !getsockopt(sock, SOL_SOCKET, SO_PEERCRED, peer, &len) &&
	       (!peer->uid || !geteuid() || peer->uid == geteuid());
}

static int connect_to(const char *path, unsigned int maps, struct ucred *peer)
{
	const struct window_hello hello = { WINDOW_MAGIC, WINDOW_VERSION,
					    maps };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		errno = ENAMETOOLONG;
	else
		sock = socket(AF_UNIX,
			      SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (sock >= 0 &&
	    !connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
		if (!trusted(sock, peer))
			errno = EPERM;
		else if (send(sock, &hello, sizeof(hello), MSG_NOSIGNAL) ==
			 sizeof(hello))
			return sock;
	}
	dprintf(2, "virtiofs-dax: %s: %s\n", path, strerror(errno));
	close_fd(&sock);
	return -1;
}

/*
 * What Linux allows QEMU is shared by all its shares. A part of a file takes a map,
 * and one behind it where nothing is shown.
 */
static unsigned int maps_each(unsigned int shares)
{
	const unsigned int own = MAPS_OF_QEMU + SPARE_MAPS +
				 shares * WINDOW_TILES;
	unsigned int max;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (!file || fscanf(file, "%u", &max) != 1)
		max = MAPS_DEFAULT;
	if (file)
		fclose(file);
	return max > own + 2 * shares ? (max - own) / 2 / shares : 1;
}

/* QEMU's signals are not for us, but what our own mistakes raise must not wait. */
static void start_thread(void)
{
	sigset_t set, old;
	pthread_t thread;
	int err;

	sigfillset(&set);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGILL);
	pthread_sigmask(SIG_SETMASK, &set, &old);
	err = pthread_create(&thread, NULL, server_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		dprintf(2, "virtiofs-dax: no thread: %s\n", strerror(err));
	else
		pthread_detach(thread);
}

/* Returns the number of connections. */
static unsigned int connect_all(char *paths)
{
	unsigned int shares = 1, count = 0;
	char *path;

	for (path = paths; *path; path++)
		shares += *path == ':';
	while ((path = strsep(&paths, ":"))) {
		if (count == WINDOW_MAX) {
			dprintf(2, "virtiofs-dax: %s: there are %d already\n",
				path, WINDOW_MAX);
			continue;
		}
		sockets[count].fd = connect_to(path, maps_each(shares),
					       &daemons[count]);
		count += sockets[count].fd >= 0;
	}
	return count;
}

static void start(void)
{
	static int started;
	char *paths;

	if (__atomic_exchange_n(&started, 1, __ATOMIC_ACQ_REL))
		return;
	for (int i = 0; i < WINDOW_MAX; i++)
		sockets[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	paths = getenv(SOCKETS_ENV) ? strdup(getenv(SOCKETS_ENV)) : NULL;
	/* Not for what QEMU may start. */
	unsetenv(SOCKETS_ENV);
	if (paths && connect_all(paths))
		start_thread();
	free(paths);
}

/* True as well if that is not known: then it is 0, as where there is no daemon. */
static bool is_of_daemon(int sock)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	bool ours = getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len);

	for (int i = 0; i < WINDOW_MAX; i++)
		ours |= daemons[i].pid == peer.pid;
	return ours;
}

/* What follows the header is behind it, or in a piece of its own. */
static bool is_vhost_user(const struct msghdr *msg, struct vhost_header *header)
{
	size_t len = msg->msg_iovlen ? msg->msg_iov->iov_len : 0;

	if (len < sizeof(*header))
		return false;
	memcpy(header, msg->msg_iov->iov_base, sizeof(*header));
	return header->request < VHOST_REQUESTS &&
	       (header->flags & ~(VHOST_REPLY | VHOST_NEED_REPLY)) ==
	       VHOST_VERSION &&
	       (len == sizeof(*header) || len == sizeof(*header) + header->size);
}

/*
 * All that QEMU says to its back-ends it says by this. With the first word we begin:
 * it has forked then, if it does, and whoever preloads something else has done so.
 */
EXPORT ssize_t sendmsg(int sock, const struct msghdr *msg, int flags)
{
	struct vhost_header header;

	if (is_vhost_user(msg, &header)) {
		start();
		if (msg->msg_controllen && !is_of_daemon(sock))
			foreign_sees(msg);
		if (header.flags & VHOST_REPLY)
			code_catch_up();
	}
	return NEXT(sendmsg)(sock, msg, flags);
}
