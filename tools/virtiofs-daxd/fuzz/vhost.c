// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzer of what a front-end says: messages with descriptors through a socket,
 * also such that are cut or have the wrong size, and its answers on the backend
 * channel. An input is a list of messages.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fds.h"
#include "host/log.h"
#include "host/util.h"
#include "input.h"
#include "vhost/fd_pass.h"
#include "vhost/vhost_user.h"
#include "vhost/vu_proto.h"

#define QUEUES 3
#define MESSAGES 64
#define MEMORY (64 << 10)
#define GUEST UINT64_C(0x40000000)
#define USER UINT64_C(0x7f0000000000)
#define WINDOW (UINT64_C(16) << 20)
/* The most descriptors of a message here: more than may come with one. */
#define MAX_FDS (2 * FD_PASS_MAX)
/* A step that is no message: the daemon speaks on the backend channel. */
#define USE_BACKEND 0xff

/* Descriptors that can come with a message: memory first. */
enum { MEMFD, SHORT_MEMFD, EVENTFD, MAPPED, NULL_DEVICE, ANSWERS, FDS };
static int fds[FDS];
static uint64_t fds_before;

static struct queue queues[QUEUES];
static struct vu_backend backend;
static struct guest_mem *no_mem;
static struct vhost_user *vu;
static int peer = -1, conn = -1;

static void nothing(void)
{
}

static dev_t map_dev;

static bool is_map(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_dev == map_dev;
}

static char config[40] = "myfs";
static struct vhost_user_device device = {
	.queues = queues, .num_queues = QUEUES,
	.config = config, .config_len = sizeof(config),
	.window = WINDOW, .is_map = is_map, .backend = &backend,
	.stopped = nothing, .reset = nothing,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct stat st;

	(void)argc;
	(void)argv;
	log_open(LOG_LEVEL_ERROR, NULL, false);
	signal(SIGPIPE, SIG_IGN);
	fds[MEMFD] = memfd_create("memory", MFD_CLOEXEC);
	fds[SHORT_MEMFD] = memfd_create("short", MFD_CLOEXEC);
	fds[EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* A file of a device of its own stands for a map in the window. */
	fds[MAPPED] = open(SHARE, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	fds[NULL_DEVICE] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[ANSWERS] = -1;
	for (int i = 0; i < ANSWERS; i++)
		MUST(fds[i] >= 0);
	MUST(!ftruncate(fds[MEMFD], MEMORY) &&
	     !ftruncate(fds[SHORT_MEMFD], 100) &&
	     !ftruncate(fds[MAPPED], MEMORY) && !fstat(fds[MAPPED], &st));
	map_dev = st.st_dev;
	no_mem = guest_mem_new();
	MUST(no_mem);
	return 0;
}

/* ---- messages ---- */

static uint64_t address(struct input *in, uint64_t base)
{
	uint8_t what = input_u8(in);

	if (what < 128)
		return base + what * 1024;
	if (what < 192)
		return base + what - 160;
	return input_number(in);
}

static void fill_region(struct input *in, struct vu_mem_region *region)
{
	uint8_t what = input_u8(in);

	*region = (struct vu_mem_region){ GUEST, MEMORY, USER, 0 };
	if (what & 1)
		region->guest_addr = address(in, GUEST);
	if (what & 2)
		region->size = input_number(in);
	if (what & 4)
		region->user_addr = address(in, USER);
	if (what & 8)
		region->mmap_offset = input_number(in);
}

static void fill_addr(struct input *in, struct vu_vring_addr *addr)
{
	uint8_t what = input_u8(in);

	addr->index = what >> 6;
	addr->desc = USER;
	addr->avail = USER + (32 << 10);
	addr->used = USER + (40 << 10);
	if (what & 1)
		addr->desc = address(in, USER);
	if (what & 2)
		addr->avail = address(in, USER);
	if (what & 4)
		addr->used = address(in, USER);
}

/* What the kind of message has in it; returns its length. */
static size_t fill_payload(struct input *in, uint32_t request,
			   union vu_payload *payload)
{
	switch (request) {
	case VU_SET_MEM_TABLE:
		payload->table.count = input_u32(in);
		for (unsigned int i = 0; i < min(payload->table.count, 8u); i++)
			fill_region(in, &payload->table.regions[i]);
		return offsetof(struct vu_mem_table, regions) +
		       min(payload->table.count, 8u) *
		       sizeof(struct vu_mem_region);
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		fill_region(in, &payload->reg.region);
		return sizeof(payload->reg);
	case VU_SET_VRING_ADDR:
		fill_addr(in, &payload->addr);
		return sizeof(payload->addr);
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
		payload->state.index = input_u32(in);
		payload->state.num = input_u32(in);
		return sizeof(payload->state);
	case VU_GET_CONFIG:
	case VU_SET_CONFIG:
		payload->config.offset = input_u32(in);
		payload->config.size = input_u32(in);
		return offsetof(struct vu_config, data) +
		       min(payload->config.size, 256u);
	}
	payload->u64 = input_number(in);
	return sizeof(payload->u64);
}

/* A socket with the answers of a front-end, and nothing behind them. */
static int answers(struct input *in)
{
	char buf[128];
	size_t len = input_u8(in) % sizeof(buf);
	int pair[2];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	input_bytes(in, buf, len);
	/* What is sent there is not read, but there is room for it. */
	MUST(send(pair[1], buf, len, MSG_NOSIGNAL) == (ssize_t)len);
	shutdown(pair[1], SHUT_WR);
	close_fd(&fds[ANSWERS]);
	fds[ANSWERS] = pair[1];
	return pair[0];
}

static void send_message(struct input *in, struct vu_header *header,
			 const union vu_payload *payload, size_t len,
			 unsigned int num_fds)
{
	char control[CMSG_SPACE(MAX_FDS * sizeof(int))] = { 0 };
	struct iovec iov[] = { { header, sizeof(*header) },
			       { (void *)payload, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int send_fds[MAX_FDS], own = -1;
	struct cmsghdr *cmsg;

	for (unsigned int i = 0; i < num_fds; i++) {
		unsigned int kind = input_u8(in) % FDS;

		if (kind == ANSWERS && own < 0)
			own = answers(in);
		send_fds[i] = kind == ANSWERS ? own : fds[kind];
	}
	if (num_fds) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), send_fds, num_fds * sizeof(int));
	}
	sendmsg(peer, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	close_fd(&own);
}

/* Returns false if nothing can follow. */
static bool say(struct input *in)
{
	uint8_t how = input_u8(in), request = input_u8(in);
	union vu_payload payload = { 0 };
	struct vu_header header = {
		.request = request % (VU_REQUEST_MAX + 4),
		.flags = VU_VERSION | (how & 1 ? VU_NEED_REPLY : 0),
	};
	size_t len = fill_payload(in, header.request, &payload);
	unsigned int num_fds = how >> 4;
	bool cut = (how & 14) == 14;

	if (how & 2)
		len = min(input_number(in), sizeof(payload));
	header.size = len;
	if ((how & 12) == 12)
		header.flags = input_u8(in);
	if (cut) {
		header.size = input_u32(in);
		len = min(len, (size_t)input_u8(in));
	}
	send_message(in, &header, &payload, len, num_fds);
	if (cut || (how & 12) == 12)
		shutdown(peer, SHUT_WR);
	return !cut;
}

/* ---- the rest of the daemon ---- */

static bool fetch(struct queue_ticket *ticket)
{
	return ticket->chain.head & 1;
}

static void serve_queues(void)
{
	static const char zero[64];
	struct iovec iov = { (void *)zero, sizeof(zero) };
	static struct queue_ticket ticket;

	for (unsigned int i = 0; i < QUEUES; i++)
		for (int n = 0; n < 4; n++)
			if (queue_take(&queues[i], &ticket, fetch))
				queue_give(&ticket, &iov, 1, 0);
}

/* As the daemon does: a message when there is one, until the connection ends. */
static bool handle(void)
{
	struct pollfd pfd = { .fd = conn, .events = POLLIN };
	char buf[4096];
	int ret = 1;

	for (int n = 0; ret == 1 && poll(&pfd, 1, 0) == 1; n++) {
		MUST(n < MESSAGES);
		ret = vhost_user_handle(vu);
	}
	while (recv(peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	return ret == 1;
}

static void use_backend(struct input *in)
{
	uint8_t what = input_u8(in);
	const struct vu_map map = {
		.fd = fds[MAPPED], .len = 4096, .writable = what & 2,
	};

	if (what & 1)
		vu_backend_map(&backend, &map);
	else
		vu_backend_unmap(&backend, 0, 4096);
}

/* A front-end as it should be, for the input to go on from. */
static void set_up(void)
{
	static const uint8_t messages[] = {
		/* All of the memory, then for each queue the size ... */
		0x10, VU_ADD_MEM_REG, 0, MEMFD,
		0, VU_SET_VRING_NUM, 0, 16, 0, VU_SET_VRING_NUM, 1, 16,
		/* ... the rings, kicks and interrupts. */
		0, VU_SET_VRING_ADDR, 0x00, 0, VU_SET_VRING_ADDR, 0x40,
		0x10, VU_SET_VRING_CALL, 0, EVENTFD,
		0x10, VU_SET_VRING_KICK, 0, EVENTFD,
		0x10, VU_SET_VRING_KICK, 1, EVENTFD,
		0, VU_SET_VRING_ENABLE, 0, 1, 0, VU_SET_VRING_ENABLE, 1, 1,
	};
	struct input in = { messages, sizeof(messages) };

	while (in.left)
		MUST(say(&in) && handle());
	MUST(queue_started(&queues[0]) && queue_started(&queues[1]));
}

static void begin(void)
{
	int pair[2];

	fds_before = fds_open();
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	peer = pair[0];
	conn = pair[1];
	for (unsigned int i = 0; i < QUEUES; i++)
		queue_init(&queues[i], i, no_mem);
	vu_backend_init(&backend);
	vu = vhost_user_new(&device, no_mem, conn);
	MUST(vu);
}

static void end(void)
{
	uint16_t base;

	vhost_user_free(vu);
	for (unsigned int i = 0; i < QUEUES; i++) {
		queue_stop(&queues[i], &base);
		queue_destroy(&queues[i]);
	}
	vu_backend_destroy(&backend);
	close_fd(&fds[ANSWERS]);
	close_fd(&peer);
	/* Every descriptor that came was closed. */
	MUST(fds_open() == fds_before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	bool more = true;

	begin();
	if (input_u8(&in) & 1)
		set_up();
	for (int i = 0; more && in.left && i < MESSAGES; i++) {
		if (*in.data == USE_BACKEND) {
			input_u8(&in);
			use_backend(&in);
			continue;
		}
		more = say(&in);
		more = handle() && more;
		serve_queues();
	}
	end();
	return 0;
}
