// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost/vu_window.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"
#include "qemu/proto.h"
#include "vhost/fd_pass.h"

/* So long a library may take to say who it is. */
#define HELLO_MSECS 5000

/* By its mode a base is told from the memory of a guest; nobody opens it. */
#define BASE_MODE (S_ISVTX | 0600)
#define BASE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/**
 * struct vu_window - the window
 * @conn: the library, or -1
 * @base: the file that QEMU maps
 * @reports: socket for reports, our end and the library's
 * @len: size of the window
 * @maps: what the library has said it can show
 */
struct vu_window {
	int conn;
	int base;
	int reports[2];
	uint64_t len;
	unsigned int maps;
};

static int make_base(uint64_t len)
{
	int fd = memfd_create("virtiofs-dax-window",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, len) || fchmod(fd, BASE_MODE) ||
			fcntl(fd, F_ADD_SEALS, BASE_SEALS)))
		close_fd(&fd);
	return fd;
}

struct vu_window *vu_window_new(uint64_t len)
{
	struct vu_window *window = calloc(1, sizeof(*window));

	if (!window)
		return NULL;
	window->conn = -1;
	window->reports[0] = window->reports[1] = -1;
	window->len = len;
	window->base = make_base(len);
	if (window->base >= 0 &&
	    !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			window->reports))
		return window;
	vu_window_free(window);
	return NULL;
}

void vu_window_free(struct vu_window *window)
{
	close_fd(&window->conn);
	close_fd(&window->base);
	close_fd(&window->reports[0]);
	close_fd(&window->reports[1]);
	free(window);
}

/* Waits for something to be received, or the end. */
static bool readable(int fd, int msecs)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&pollfd, 1, msecs);
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

static int get_answer(struct vu_window *window)
{
	struct window_reply reply;
	ssize_t n;

	do {
		n = recv(window->conn, &reply, sizeof(reply), 0);
	} while (n < 0 && errno == EINTR);
	if (n == sizeof(reply) && reply.error <= 0)
		return reply.error;
	shutdown(window->conn, SHUT_RDWR);
	return -ENOTCONN;
}

/* Waits for the answer, @msecs at most unless that is -1. */
static int call(struct vu_window *window, const struct window_msg *msg,
		const int *fds, unsigned int num_fds, int msecs)
{
	struct iovec iov = { (void *)msg, sizeof(*msg) };
	int err;

	if (window->conn < 0)
		return -ENOTCONN;
	err = fds_send(window->conn, &iov, 1, fds, num_fds);
	if (!err && msecs >= 0 && !readable(window->conn, msecs))
		err = -ETIMEDOUT;
	return err ?: get_answer(window);
}

static bool get_peer(int sock, struct ucred *peer)
{
	socklen_t len = sizeof(*peer);

	return !getsockopt(sock, SOL_SOCKET, SO_PEERCRED, peer, &len);
}

/* Root's, the front-end's user's, or of whom root has made the front-end. */
static bool may_bring_library(int conn, int front_end)
{
	struct ucred peer, owner;

	return get_peer(conn, &peer) && get_peer(front_end, &owner) &&
	       (!peer.uid || !owner.uid || peer.uid == owner.uid);
}

/*
 * Another VMM that was started with the same socket of the library. Where we are
 * not told who a process is, because it is none that we could see, it is taken for
 * the right one.
 */
static bool is_of_another(int conn, int front_end)
{
	struct ucred peer, owner;

	if (!get_peer(conn, &peer) || !get_peer(front_end, &owner) ||
	    !peer.pid || !owner.pid || peer.pid == owner.pid)
		return false;
	log_warn("window: the library of process %d is not used: the front-end is process %d",
		 peer.pid, owner.pid);
	return true;
}

static int take_hello(struct vu_window *window)
{
	struct window_hello hello;
	int conn = window->conn;
	ssize_t len;

	if (!readable(conn, HELLO_MSECS))
		return -EPROTO;
	len = recv(conn, &hello, sizeof(hello), MSG_DONTWAIT);
	/* Up to there it is the same in each version. */
	if (len < (ssize_t)offsetof(struct window_hello, maps) ||
	    hello.magic != WINDOW_MAGIC)
		return -EPROTO;
	if (hello.version == WINDOW_VERSION) {
		window->maps = hello.maps;
		return len == sizeof(hello) && hello.maps ? 0 : -EPROTO;
	}
	log_warn("window: the library in the VMM speaks version %u, not %u",
		 hello.version, WINDOW_VERSION);
	return -EPROTO;
}

static int send_base(struct vu_window *window)
{
	const struct window_msg msg = { .op = WINDOW_BASE, .len = window->len };
	const int fds[] = { window->base, window->reports[1] };

	return call(window, &msg, fds, ARRAY_SIZE(fds), HELLO_MSECS);
}

static bool has_gone(int conn)
{
	struct pollfd pollfd = { .fd = conn };

	return poll(&pollfd, 1, 0) == 1;
}

/* A front-end that was started in vain may have left one behind. */
void vu_window_accept(struct vu_window *window, int listener, int front_end)
{
	while (window->conn < 0 && readable(listener, 0)) {
		window->conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (window->conn < 0)
			return;
		if (has_gone(window->conn) ||
		    is_of_another(window->conn, front_end))
			close_fd(&window->conn);
	}
}

int vu_window_open(struct vu_window *window, int front_end)
{
	int err = 0;

	if (window->conn < 0)
		return -ENOENT;
	if (!may_bring_library(window->conn, front_end))
		err = -EPERM;
	err = err ?: take_hello(window) ?: send_base(window);
	if (err)
		close_fd(&window->conn);
	return err;
}

int vu_window_base(const struct vu_window *window)
{
	return window->base;
}

uint64_t vu_window_len(const struct vu_window *window)
{
	return window->len;
}

unsigned int vu_window_maps(const struct vu_window *window)
{
	return window->maps;
}

int vu_window_query(struct vu_window *window)
{
	const struct window_msg msg = { .op = WINDOW_QUERY };

	return call(window, &msg, NULL, 0, -1);
}

int vu_window_map(struct vu_window *window, const struct vu_map *map)
{
	const struct window_msg msg = {
		.op = WINDOW_MAP,
		.flags = map->writable ? 0 : WINDOW_PRIVATE,
		.offset = map->shm_offset,
		.len = map->len,
		.file_offset = map->fd_offset,
	};

	return call(window, &msg, &map->fd, 1, -1);
}

int vu_window_blank(struct vu_window *window, uint64_t shm_offset,
		    uint64_t len)
{
	const struct window_msg msg = {
		.op = WINDOW_BLANK,
		.offset = shm_offset,
		.len = len,
	};

	return call(window, &msg, NULL, 0, -1);
}

void vu_window_shutdown(struct vu_window *window)
{
	if (window->conn >= 0)
		shutdown(window->conn, SHUT_RDWR);
}

int vu_window_reports(const struct vu_window *window)
{
	return window->reports[0];
}

uint64_t vu_window_report(struct vu_window *window, uint64_t *shm_offset,
			  uint64_t *len)
{
	struct window_report report;

	if (recv(window->reports[0], &report, sizeof(report), MSG_DONTWAIT) !=
	    sizeof(report))
		return 0;
	*shm_offset = report.offset;
	*len = report.len;
	return report.missed + 1 ?: 1;
}

bool vu_window_is_base(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & BASE_SEALS) == BASE_SEALS &&
	       !fstat(fd, &st) && (st.st_mode & ~S_IFMT) == BASE_MODE;
}
