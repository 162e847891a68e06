// SPDX-License-Identifier: GPL-2.0-or-later
#include "frontend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu/proto.h"

/* Where things are in guest memory. */
#define RING_BYTES (64 << 10)
#define BUFFERS (1 << 20)
#define IN_BUFFER BUFFERS
#define OUT_BUFFER (16 << 20)
#define PIECE 65536
#define NOTE_BUFFER (IN_BUFFER / 2)
#define NOTE_BYTES 4096

/* VIRTIO_FS_F_NOTIFICATION */
#define FE_F_NOTIFICATION 1

const char *fe_daemon;
const char *fe_base = "/tmp";
struct frontend *fe_beside;
unsigned int fe_user;
bool fe_window_socket;
bool fe_inherits;
bool fe_compat;
bool fe_deaf;

/* ---- the daemon's process ---- */

static void fe_paths(struct frontend *fe)
{
	memset(fe, 0, sizeof(*fe));
	fe->conn = fe->back = fe->memory_fd = -1;
	fe->num_queues = FE_QUEUES;
	for (int i = 0; i < FE_MAX_QUEUES; i++)
		fe->queues[i].kick = fe->queues[i].call = -1;
	snprintf(fe->dir, sizeof(fe->dir), "%s/daxd-test.XXXXXX", fe_base);
	if (!mkdtemp(fe->dir))
		abort();
	snprintf(fe->share, sizeof(fe->share), "%s/share", fe->dir);
	mkdir(fe->share, 0755);
	pthread_mutex_init(&fe->lock, NULL);
	pthread_cond_init(&fe->changed, NULL);
}

/* As who starts the daemon and makes the socket, systemd for example. */
static void fe_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(sock, 1) || dup2(sock, FE_FD) < 0)
		_exit(127);
}

static int fe_socket_options(const char **argv, const char *sock)
{
	if (fe_inherits) {
		static char number[8];

		fe_listen(sock);
		snprintf(number, sizeof(number), "%d", FE_FD);
		argv[0] = "--fd";
		argv[1] = number;
	} else {
		argv[0] = "--socket-path";
		argv[1] = sock;
	}
	return 2;
}

static void fe_exec(struct frontend *fe, const char *const *options)
{
	const char *argv[40];
	char sock[96], log[96], window[96], source[128];
	int n = 0, fd;

	snprintf(sock, sizeof(sock), "%s/sock", fe->dir);
	snprintf(log, sizeof(log), "%s/log", fe->dir);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	argv[n++] = fe_daemon;
	snprintf(source, sizeof(source), "source=%s", fe->share);
	argv[n++] = fe_compat ? "-o" : "--shared-dir";
	argv[n++] = fe_compat ? source : fe->share;
	n += fe_socket_options(argv + n, sock);
	if (fe_window_socket) {
		snprintf(window, sizeof(window), "%s/window", fe->dir);
		argv[n++] = "--window-socket";
		argv[n++] = window;
	}
	while (options && *options)
		argv[n++] = *options++;
	argv[n] = NULL;
	unsetenv("LD_PRELOAD");
	if (fe_user && (chown(fe->dir, fe_user, fe_user) ||
			setgid(fe_user) || setuid(fe_user)))
		_exit(127);
	execv(fe_daemon, (char **)argv);
	_exit(127);
}

void fe_fork(struct frontend *fe, const char *const *options)
{
	if (!fe->dir[0])
		fe_paths(fe);
	fe->child = fork();
	if (!fe->child)
		fe_exec(fe, options);
}

bool fe_spawn(struct frontend *fe, const char *const *options)
{
	siginfo_t info;
	struct stat st;
	char sock[96];

	fe_fork(fe, options);
	snprintf(sock, sizeof(sock), "%s/sock", fe->dir);
	for (int i = 0; i < 500; i++) {
		if (!stat(sock, &st))
			return true;
		info.si_pid = 0;
		waitid(P_PID, fe->child, &info, WEXITED | WNOHANG | WNOWAIT);
		if (info.si_pid)
			break;
		usleep(10000);
	}
	return false;
}

/* Calls @look for each line of the log; returns the sum. */
static unsigned int fe_each_line(struct frontend *fe, const char *text,
				 bool (*look)(const char *line,
					      const char *text))
{
	char path[96], line[1024];
	unsigned int sum = 0;
	FILE *log;

	snprintf(path, sizeof(path), "%s/log", fe->dir);
	log = fopen(path, "re");
	while (log && fgets(line, sizeof(line), log))
		sum += look(line, text);
	if (log)
		fclose(log);
	return sum;
}

static bool show_line(const char *line, const char *text)
{
	(void)text;
	printf("# daemon: %s", line);
	return true;
}

static bool has_text(const char *line, const char *text)
{
	return strstr(line, text);
}

unsigned int fe_lines(struct frontend *fe)
{
	return fe_each_line(fe, "", has_text);
}

bool fe_said(struct frontend *fe, const char *text)
{
	/* Another thread writes it */
	for (int i = 0; i < 100; i++) {
		if (fe_each_line(fe, text, has_text))
			return true;
		usleep(20000);
	}
	printf("# not said: %s\n", text);
	fe_each_line(fe, NULL, show_line);
	return false;
}

int fe_wait(struct frontend *fe)
{
	pid_t child = fe->child;
	int status = 0;

	fe->child = 0;
	for (int i = 0; i < 500 && child; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) :
			       -WTERMSIG(status);
		usleep(10000);
	}
	if (!child)
		return 0;
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return -1;
}

int fe_gone(struct frontend *fe)
{
	int status = fe_wait(fe);

	fe_end(fe);
	return status;
}

int fe_end(struct frontend *fe)
{
	char command[128];
	int status;

	fe->hold = false;
	pthread_cond_broadcast(&fe->changed);
	if (fe->conn >= 0)
		shutdown(fe->conn, SHUT_RDWR);
	status = fe_wait(fe);
	if (fe->thread) {
		shutdown(fe->back, SHUT_RDWR);
		pthread_join(fe->thread, NULL);
	}
	if (status)
		fe_each_line(fe, NULL, show_line);
	for (int i = 0; i < FE_MAX_QUEUES; i++) {
		close(fe->queues[i].kick);
		close(fe->queues[i].call);
	}
	close(fe->conn);
	close(fe->back);
	close(fe->memory_fd);
	if (fe->memory)
		munmap(fe->memory, FE_MEMORY);
	if (fe->window)
		munmap(fe->window, FE_WINDOW);
	snprintf(command, sizeof(command), "rm -rf %s", fe->dir);
	if (system(command))
		printf("# %s is left\n", fe->dir);
	memset(fe, 0, sizeof(*fe));
	return status;
}

/* ---- vhost-user ---- */

static bool fe_write_message(int sock, uint32_t request, uint32_t flags,
			     const void *payload, size_t len, int fd)
{
	struct vu_header header = { request, VU_VERSION | flags, len };
	struct iovec iov[] = { { &header, sizeof(header) },
			       { (void *)payload, len } };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) ==
	       (ssize_t)(sizeof(header) + len);
}

ssize_t fe_call(struct frontend *fe, uint32_t request, const void *payload,
		size_t len, void *reply, size_t max)
{
	struct pollfd pfd = { .fd = fe->conn, .events = POLLIN };
	struct vu_header header;

	if (!fe_write_message(fe->conn, request, 0, payload, len, -1) ||
	    poll(&pfd, 1, 5000) != 1 ||
	    recv(fe->conn, &header, sizeof(header), MSG_WAITALL) !=
	    sizeof(header) || header.request != request || header.size > max)
		return -1;
	if (header.size && recv(fe->conn, reply, header.size, MSG_WAITALL) !=
	    (ssize_t)header.size)
		return -1;
	return header.size;
}

int64_t fe_send(struct frontend *fe, uint32_t request, const void *payload,
		size_t len, int fd, bool ack)
{
	struct pollfd pfd = { .fd = fe->conn, .events = POLLIN };
	struct {
		struct vu_header header;
		uint64_t value;
	} __attribute__((packed)) reply;

	if (!fe_write_message(fe->conn, request, ack ? VU_NEED_REPLY : 0,
			      payload, len, fd))
		return -1;
	if (!ack)
		return 0;
	if (poll(&pfd, 1, 5000) != 1 ||
	    recv(fe->conn, &reply, sizeof(reply), MSG_WAITALL) != sizeof(reply))
		return -1;
	return reply.value;
}

static bool fe_overlaps(struct frontend *fe, const struct vu_shmem_map *map)
{
	for (unsigned int i = 0; i < fe->num_maps; i++)
		if (map->shm_offset < fe->maps[i].start + fe->maps[i].len &&
		    fe->maps[i].start < map->shm_offset + map->len)
			return true;
	return false;
}

/*
 * QEMU's rules: no overlap, not past the size of the file, write access. Some of
 * them only the daemon can break, the others a guest that asks for it.
 */
static bool fe_map(struct frontend *fe, const struct vu_shmem_map *map, int fd)
{
	void *ptr;

	if (fd < 0 || map->shm_offset + map->len > FE_WINDOW ||
	    fe->num_maps == FE_MAX_MAPS || fe_overlaps(fe, map)) {
		fe->maps_wrong++;
		return false;
	}
	if (fe->refuse ||
	    lseek(fd, 0, SEEK_END) < (off_t)(map->fd_offset + map->len))
		return false;
	ptr = mmap(fe->window + map->shm_offset, map->len,
		   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		   map->fd_offset);
	if (ptr == MAP_FAILED)
		return false;
	fe->maps[fe->num_maps].start = map->shm_offset;
	fe->maps[fe->num_maps++].len = map->len;
	fe->maps_made++;
	return true;
}

static void fe_forget_map(struct frontend *fe, unsigned int i)
{
	mmap(fe->window + fe->maps[i].start, fe->maps[i].len,
	     PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	fe->maps[i] = fe->maps[--fe->num_maps];
}

static bool fe_unmap(struct frontend *fe, const struct vu_shmem_map *map)
{
	for (unsigned int i = 0; i < fe->num_maps; i++)
		if (fe->maps[i].start == map->shm_offset &&
		    fe->maps[i].len == map->len) {
			fe_forget_map(fe, i);
			return true;
		}
	return false;
}

static uint64_t fe_backend_message(struct frontend *fe, uint32_t request,
				   const struct vu_shmem_map *map, int fd)
{
	bool ok = true;

	pthread_mutex_lock(&fe->lock);
	fe->held = fe->hold;
	pthread_cond_broadcast(&fe->changed);
	while (fe->hold)
		pthread_cond_wait(&fe->changed, &fe->lock);
	fe->held = false;
	if (request == VU_BACKEND_SHMEM_MAP) {
		ok = fe_map(fe, map, fd);
		fe->maps_refused += !ok;
	} else if (request == VU_BACKEND_SHMEM_UNMAP) {
		ok = fe_unmap(fe, map);
		fe->unmaps_refused += !ok;
	}
	pthread_mutex_unlock(&fe->lock);
	return !ok;
}

static void *fe_backend_thread(void *arg)
{
	struct frontend *fe = arg;

	for (;;) {
		struct vu_header header;
		struct vu_shmem_map map = { 0 };
		struct iovec iov = { &header, sizeof(header) };
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		struct cmsghdr *cmsg;
		uint64_t answer;
		int fd = -1;

		if (recvmsg(fe->back, &msg, MSG_WAITALL) != sizeof(header))
			return NULL;
		cmsg = CMSG_FIRSTHDR(&msg);
		if (cmsg)
			memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		if (header.size > sizeof(map) || (header.size &&
		    recv(fe->back, &map, header.size, MSG_WAITALL) !=
		    (ssize_t)header.size))
			return NULL;
		answer = fe_backend_message(fe, header.request, &map, fd);
		if (fd >= 0 && fe->keep_fd)
			fe->last_fd = fd;
		else if (fd >= 0)
			close(fd);
		fe_write_message(fe->back, header.request, VU_REPLY, &answer,
				 sizeof(answer), -1);
	}
}

bool fe_connect(struct frontend *fe)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", fe->dir);
	fe->conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* It is there a moment before anybody listens on it. */
	for (int i = 0; i < 500; i++) {
		if (!connect(fe->conn, (struct sockaddr *)&addr, sizeof(addr)))
			return true;
		usleep(10000);
	}
	return false;
}

static bool fe_memory(struct frontend *fe)
{
	struct vu_mem_reg reg = { .region = {
		.guest_addr = FE_GUEST_BASE, .size = FE_MEMORY } };

	if (fe_beside) {
		fe->memory_fd = dup(fe_beside->memory_fd);
		reg.region.mmap_offset = FE_MEMORY;
	} else {
		fe->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	}
	if (ftruncate(fe->memory_fd, reg.region.mmap_offset + FE_MEMORY))
		return false;
	fe->memory = mmap(NULL, FE_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fe->memory_fd, reg.region.mmap_offset);
	fe->window = mmap(NULL, FE_WINDOW, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	reg.region.user_addr = (uintptr_t)fe->memory;
	return fe_send(fe, VU_ADD_MEM_REG, &reg, sizeof(reg), fe->memory_fd,
		       true) == 0;
}

bool fe_handshake(struct frontend *fe)
{
	int pair[2];
	uint64_t value;

	if (fe_call(fe, VU_GET_FEATURES, NULL, 0, &value, 8) != 8 ||
	    !(value & VU_F_PROTOCOL_FEATURES))
		return false;
	if (fe_deaf)
		value &= ~(uint64_t)FE_F_NOTIFICATION;
	if (fe_send(fe, VU_SET_FEATURES, &value, 8, -1, false) < 0)
		return false;
	if (value & FE_F_NOTIFICATION)
		fe->num_queues = FE_MAX_QUEUES;
	if (fe_call(fe, VU_GET_PROTOCOL_FEATURES, NULL, 0, &value, 8) != 8 ||
	    fe_send(fe, VU_SET_PROTOCOL_FEATURES, &value, 8, -1, false) < 0 ||
	    fe_send(fe, VU_SET_OWNER, NULL, 0, -1, false) < 0)
		return false;
	if (value & VU_PROTOCOL_F_BACKEND_REQ) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			return false;
		fe->back = pair[0];
		if (fe_send(fe, VU_SET_BACKEND_REQ_FD, NULL, 0, pair[1], true))
			return false;
		close(pair[1]);
		pthread_create(&fe->thread, NULL, fe_backend_thread, fe);
	}
	return fe_memory(fe);
}

static char *fe_ring(struct frontend *fe, unsigned int queue)
{
	return fe->memory + queue * RING_BYTES;
}

struct vring_avail *fe_avail(struct frontend *fe, unsigned int queue)
{
	return (void *)(fe_ring(fe, queue) + 16 * FE_QUEUE_SIZE);
}

static struct vring_used *fe_used(struct frontend *fe, unsigned int queue)
{
	return (void *)(fe_ring(fe, queue) + 32 * FE_QUEUE_SIZE);
}

static bool fe_notified(const struct frontend *fe)
{
	return fe->num_queues == FE_MAX_QUEUES;
}

void fe_note_give(struct frontend *fe, unsigned int i)
{
	fe_desc(fe, 1, i, FE_GUEST_BASE + NOTE_BUFFER + i * NOTE_BYTES,
		NOTE_BYTES, VRING_DESC_F_WRITE, 0);
	fe_submit(fe, 1, i);
}

static void fe_start_queue(struct frontend *fe, unsigned int i, bool anew)
{
	struct fe_queue *queue = &fe->queues[i];
	struct vu_vring_state state = { i, FE_QUEUE_SIZE };
	struct vu_vring_addr addr = {
		.index = i,
		.desc = (uintptr_t)fe_ring(fe, i),
		.avail = (uintptr_t)fe_avail(fe, i),
		.used = (uintptr_t)fe_used(fe, i),
	};
	uint64_t index = i;

	if (anew) {
		memset(fe_ring(fe, i), 0, RING_BYTES);
		queue->avail_idx = queue->seen_used = queue->stopped_at = 0;
	}
	if (queue->kick < 0) {
		queue->kick = eventfd(0, EFD_CLOEXEC);
		queue->call = eventfd(0, EFD_CLOEXEC);
	}
	fe_send(fe, VU_SET_VRING_NUM, &state, sizeof(state), -1, false);
	state.num = queue->stopped_at;
	fe_send(fe, VU_SET_VRING_BASE, &state, sizeof(state), -1, false);
	fe_send(fe, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1, false);
	fe_send(fe, VU_SET_VRING_CALL, &index, 8, queue->call, false);
	fe_send(fe, VU_SET_VRING_KICK, &index, 8, queue->kick, false);
}

void fe_start_queues(struct frontend *fe, bool anew)
{
	for (unsigned int i = 0; i < fe->num_queues; i++)
		fe_start_queue(fe, i, anew);
	for (unsigned int i = 0; i < fe->num_queues; i++) {
		struct vu_vring_state state = { i, 1 };

		fe_send(fe, VU_SET_VRING_ENABLE, &state, sizeof(state), -1,
			true);
	}
	for (unsigned int i = 0; anew && fe_notified(fe) && i < FE_NOTES; i++)
		fe_note_give(fe, i);
}

bool fe_stop_queues(struct frontend *fe)
{
	for (unsigned int i = 0; i < fe->num_queues; i++) {
		struct vu_vring_state state = { i, 0 };

		fe_send(fe, VU_SET_VRING_ENABLE, &state, sizeof(state), -1,
			false);
	}
	for (unsigned int i = 0; i < fe->num_queues; i++) {
		struct vu_vring_state state = { i, 0 };

		if (fe_call(fe, VU_GET_VRING_BASE, &state, sizeof(state),
			    &state, sizeof(state)) != sizeof(state))
			return false;
		fe->queues[i].stopped_at = state.num;
	}
	return true;
}

void fe_reset(struct frontend *fe)
{
	pthread_mutex_lock(&fe->lock);
	while (fe->num_maps)
		fe_forget_map(fe, 0);
	pthread_mutex_unlock(&fe->lock);
}

void fe_kill(struct frontend *fe)
{
	if (fe->child)
		kill(fe->child, SIGKILL);
	if (fe->dir[0])
		fe_end(fe);
}

static bool fe_begin_spawned(struct frontend *fe)
{
	struct fuse_init_out out;

	if (!fe_connect(fe) || !fe_handshake(fe)) {
		fe_each_line(fe, NULL, show_line);
		return false;
	}
	fe_start_queues(fe, true);
	return fe_init(fe, &out) == 0;
}

bool fe_begin(struct frontend *fe, const char *const *options)
{
	fe_kill(fe);
	if (fe_spawn(fe, options))
		return fe_begin_spawned(fe);
	fe_each_line(fe, NULL, show_line);
	return false;
}

int fe_library(struct frontend *fe, unsigned int more)
{
	const struct window_hello hello = { WINDOW_MAGIC, WINDOW_VERSION,
					    1000 };
	const struct window_reply reply = { 0 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool done;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/window", fe->dir);
	done = !connect(sock, (struct sockaddr *)&addr, sizeof(addr)) &&
	       send(sock, &hello, sizeof(hello), 0) == sizeof(hello);
	for (unsigned int i = 0; done && i <= more; i++)
		done = send(sock, &reply, sizeof(reply), 0) == sizeof(reply);
	if (done)
		return sock;
	close(sock);
	return -1;
}

int fe_begin_library(struct frontend *fe, const char *const *options,
		     unsigned int more)
{
	int sock = -1;

	fe_kill(fe);
	fe_window_socket = true;
	if (fe_spawn(fe, options))
		sock = fe_library(fe, more);
	fe_window_socket = false;
	if (sock >= 0 && fe_begin_spawned(fe))
		return sock;
	close(sock);
	return -1;
}

/* ---- the driver ---- */

void *fe_ptr(struct frontend *fe, uint64_t addr)
{
	return fe->memory + (addr - FE_GUEST_BASE);
}

uint64_t fe_addr(struct frontend *fe, const void *ptr)
{
	return FE_GUEST_BASE + ((const char *)ptr - fe->memory);
}

void fe_desc(struct frontend *fe, unsigned int queue, unsigned int i,
	     uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc *desc = (void *)fe_ring(fe, queue);

	desc[i] = (struct vring_desc){ addr, len, flags, next };
}

void fe_submit(struct frontend *fe, unsigned int queue, uint16_t head)
{
	struct fe_queue *q = &fe->queues[queue];
	struct vring_avail *avail = fe_avail(fe, queue);

	avail->ring[q->avail_idx++ % FE_QUEUE_SIZE] = head;
	__atomic_store_n(&avail->idx, q->avail_idx, __ATOMIC_SEQ_CST);
	if (q->kick >= 0)
		eventfd_write(q->kick, 1);
}

bool fe_pending(struct frontend *fe, unsigned int queue)
{
	return __atomic_load_n(&fe_used(fe, queue)->idx, __ATOMIC_ACQUIRE) !=
	       fe->queues[queue].seen_used;
}

int64_t fe_complete(struct frontend *fe, unsigned int queue)
{
	struct fe_queue *q = &fe->queues[queue];
	struct vring_used *used = fe_used(fe, queue);
	struct vring_used_elem *elem =
		&used->ring[q->seen_used % FE_QUEUE_SIZE];

	for (int i = 0; i < 22000; i++) {
		if (fe_pending(fe, queue)) {
			q->seen_used++;
			q->head = elem->id;
			return elem->len;
		}
		/* Most answers come at once. */
		if (i < 2000)
			sched_yield();
		else
			usleep(100);
	}
	return -1;
}

/* Pieces of PIECE bytes from descriptor @i on; returns the next one. */
static unsigned int fe_chain(struct frontend *fe, unsigned int queue,
			     unsigned int i, uint64_t addr, size_t len,
			     uint16_t flags, bool last)
{
	do {
		size_t n = len < PIECE ? len : PIECE;
		bool more = len > n || !last;

		fe_desc(fe, queue, i, addr, n,
			flags | (more ? VRING_DESC_F_NEXT : 0), i + 1);
		addr += n;
		len -= n;
		i++;
	} while (len);
	return i;
}

static unsigned int fe_requests(const struct frontend *fe)
{
	return fe->num_queues - 1;
}

/* A note, whose buffer is not given again. */
static ssize_t note_take(struct frontend *fe, void *msg, size_t max,
			 unsigned int ms)
{
	int64_t len;

	while (!fe_pending(fe, 1)) {
		if (!ms--)
			return -1;
		usleep(1000);
	}
	len = fe_complete(fe, 1);
	memcpy(msg, fe->memory + NOTE_BUFFER +
	       fe->queues[1].head * NOTE_BYTES, max);
	return len;
}

ssize_t fe_note(struct frontend *fe, void *msg, size_t max, unsigned int ms)
{
	ssize_t len = note_take(fe, msg, max, ms);

	if (len >= 0)
		fe_note_give(fe, fe->queues[1].head);
	return len;
}

struct inval_note {
	struct fuse_out_header header;
	struct fuse_notify_inval_inode_out arg;
};

static bool inval_of(const struct inval_note *msg, ssize_t len,
		     struct fuse_notify_inval_inode_out *inval)
{
	if (len != sizeof(*msg) ||
	    msg->header.error != FUSE_NOTIFY_INVAL_INODE)
		return false;
	*inval = msg->arg;
	return true;
}

bool fe_inval_kept(struct frontend *fe,
		   struct fuse_notify_inval_inode_out *inval)
{
	struct inval_note msg;

	return inval_of(&msg, note_take(fe, &msg, sizeof(msg), 2000), inval);
}

bool fe_inval(struct frontend *fe, struct fuse_notify_inval_inode_out *inval)
{
	struct inval_note msg;

	return inval_of(&msg, fe_note(fe, &msg, sizeof(msg), 2000), inval);
}

void fe_request_begin(struct frontend *fe, uint32_t opcode, uint64_t nodeid,
		      const void *in, size_t in_len, size_t out_len)
{
	struct fuse_in_header *header = (void *)(fe->memory + IN_BUFFER);
	unsigned int queue = opcode == FUSE_FORGET ? 0 : fe_requests(fe), i;

	*header = (struct fuse_in_header){
		.len = sizeof(*header) + in_len,
		.opcode = opcode,
		.unique = ++fe->unique,
		.nodeid = nodeid,
		.total_extlen = fe->extlen,
		.uid = fe->uid,
		.gid = fe->gid,
		.pid = getpid(),
	};
	if (in_len)
		memcpy(header + 1, in, in_len);
	memset(fe->memory + OUT_BUFFER, 0xee, sizeof(struct fuse_out_header));
	i = fe_chain(fe, queue, 0, fe_addr(fe, header), header->len, 0,
		     opcode == FUSE_FORGET);
	if (opcode != FUSE_FORGET) {
		i = fe_chain(fe, queue, i, FE_GUEST_BASE + OUT_BUFFER,
			     sizeof(struct fuse_out_header),
			     VRING_DESC_F_WRITE, !out_len);
		if (out_len)
			fe_chain(fe, queue, i, FE_GUEST_BASE + OUT_BUFFER + 16,
				 out_len, VRING_DESC_F_WRITE, true);
	}
	fe_submit(fe, queue, 0);
}

int fe_request_end(struct frontend *fe, void *out, size_t out_len, size_t *got)
{
	struct fuse_out_header *header = (void *)(fe->memory + OUT_BUFFER);
	int64_t len = fe_complete(fe, fe_requests(fe));
	size_t body;

	if (len < (int64_t)sizeof(*header) || header->len != len ||
	    header->unique != fe->unique)
		return -1000;
	body = len - sizeof(*header);
	if (out)
		memcpy(out, header + 1, body < out_len ? body : out_len);
	if (got)
		*got = body;
	return header->error;
}

int fe_request(struct frontend *fe, uint32_t opcode, uint64_t nodeid,
	       const void *in, size_t in_len, void *out, size_t out_len,
	       size_t *got)
{
	fe_request_begin(fe, opcode, nodeid, in, in_len, out_len);
	return fe_request_end(fe, out, out_len, got);
}

int fe_init(struct frontend *fe, struct fuse_init_out *out)
{
	return fe_init_flags(fe, FUSE_MAP_ALIGNMENT | FUSE_INIT_EXT |
			     FUSE_HAS_INODE_DAX, out);
}

int fe_init_flags(struct frontend *fe, uint64_t flags, struct fuse_init_out *out)
{
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = 1 << 20,
		.flags = FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS | (uint32_t)flags,
		.flags2 = flags >> 32,
	};

	return fe_request(fe, FUSE_INIT, 0, &in, sizeof(in), out, sizeof(*out),
			  NULL);
}

uint64_t fe_lookup(struct frontend *fe, const char *name,
		   struct fuse_entry_out *entry)
{
	struct fuse_entry_out local;

	if (!entry)
		entry = &local;
	if (fe_request(fe, FUSE_LOOKUP, FUSE_ROOT_ID, name, strlen(name) + 1,
		       entry, sizeof(*entry), NULL))
		return 0;
	return entry->nodeid;
}

uint64_t fe_open(struct frontend *fe, uint64_t nodeid, uint32_t flags,
		 int *error)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out = { 0 };

	*error = fe_request(fe, FUSE_OPEN, nodeid, &in, sizeof(in), &out,
			    sizeof(out), NULL);
	return out.fh;
}

int fe_setup(struct frontend *fe, uint64_t nodeid, uint64_t offset,
	     uint64_t len, uint64_t window_offset, bool write)
{
	struct fuse_setupmapping_in in = {
		.fh = UINT64_MAX,
		.foffset = offset,
		.len = len,
		.flags = FUSE_SETUPMAPPING_FLAG_READ |
			 (write ? FUSE_SETUPMAPPING_FLAG_WRITE : 0),
		.moffset = window_offset,
	};

	return fe_request(fe, FUSE_SETUPMAPPING, nodeid, &in, sizeof(in), NULL,
			  0, NULL);
}

int fe_remove(struct frontend *fe, uint64_t window_offset, uint64_t len)
{
	struct {
		struct fuse_removemapping_in in;
		struct fuse_removemapping_one one;
	} __attribute__((packed)) req = {
		.in.count = 1,
		.one = { .moffset = window_offset, .len = len },
	};

	return fe_request(fe, FUSE_REMOVEMAPPING, 0, &req, sizeof(req), NULL,
			  0, NULL);
}

unsigned int fe_num_maps(struct frontend *fe)
{
	unsigned int n;

	pthread_mutex_lock(&fe->lock);
	n = fe->num_maps;
	pthread_mutex_unlock(&fe->lock);
	return n;
}

int fe_write(struct frontend *fe, uint64_t nodeid,
	     const struct fuse_write_in *in, const void *data, size_t len,
	     uint32_t *written)
{
	struct fuse_write_out out = { 0 };
	char *req = malloc(sizeof(*in) + len);
	int err;

	memcpy(req, in, sizeof(*in));
	memcpy(req + sizeof(*in), data, len);
	err = fe_request(fe, FUSE_WRITE, nodeid, req, sizeof(*in) + len, &out,
			 sizeof(out), NULL);
	*written = out.size;
	free(req);
	return err;
}

int fe_set_size(struct frontend *fe, uint64_t nodeid, uint64_t size)
{
	struct fuse_setattr_in in = { .valid = FATTR_SIZE, .size = size };
	struct fuse_attr_out out;

	return fe_request(fe, FUSE_SETATTR, nodeid, &in, sizeof(in), &out,
			  sizeof(out), NULL);
}

bool fe_wait_held(struct frontend *fe, bool held)
{
	for (int i = 0; i < 2000 && fe->held != held; i++)
		usleep(1000);
	return fe->held == held;
}

void fe_release_held(struct frontend *fe)
{
	pthread_mutex_lock(&fe->lock);
	fe->hold = false;
	pthread_cond_broadcast(&fe->changed);
	pthread_mutex_unlock(&fe->lock);
}

bool fe_shows(struct frontend *fe, uint64_t at, size_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)fe->window[at + i] != fe_byte(offset + i))
			return false;
	return true;
}

bool fe_is_zero(struct frontend *fe, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (fe->window[at + i])
			return false;
	return true;
}

unsigned int fe_descriptors(const struct frontend *fe)
{
	unsigned int count = 0;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", fe->child);
	dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count - 2;
}

uint64_t fe_make(struct frontend *fe, const char *name, size_t size)
{
	return fe_file(fe, name, size) ? fe_lookup(fe, name, NULL) : 0;
}

const char *fe_path(struct frontend *fe, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", fe->share, name);
	return path;
}

bool fe_file(struct frontend *fe, const char *name, size_t size)
{
	unsigned char *data = malloc(size + 1);
	bool ok;
	int fd;

	for (size_t i = 0; i < size; i++)
		data[i] = fe_byte(i);
	fd = open(fe_path(fe, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ok = fd >= 0 && write(fd, data, size) == (ssize_t)size;
	close(fd);
	free(data);
	return ok;
}

bool fe_can_make(const char *type)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v mkfs.%s >/dev/null", type);
	return !system(command);
}

bool fe_on_image(const char *type, bool (*run)(void))
{
	char dir[] = "/tmp/daxd-image.XXXXXX", command[512], mnt[64];
	const char *base = fe_base;
	bool done = false;

	if (!mkdtemp(dir))
		return false;
	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	snprintf(command, sizeof(command),
		 "cd %s && truncate -s 400M image && mkfs.%s image >log 2>&1 && mkdir mnt && mount -o loop image mnt",
		 dir, type);
	if (!system(command)) {
		fe_base = mnt;
		done = run();
		fe_base = base;
		if (umount(mnt))
			printf("# %s is left mounted: %s\n", mnt,
			       strerror(errno));
	}
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", dir);
	return !system(command) && done;
}
