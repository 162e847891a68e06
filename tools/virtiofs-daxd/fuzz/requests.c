// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzer of FUSE requests: from a queue through the real dispatch to files, and
 * back. An input is a list of requests, which work on a share that is the same
 * for each input. FUZZ_SHARE says how it is served: plain (the default, with a
 * window), acl (and names cached for ever), readonly (with a window, and nothing
 * cached), or coherent (all that is known is watched; nobody else changes anything).
 */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encode.h"
#include "fds.h"
#include "fuse/pool.h"
#include "fuse/transport.h"
#include "guard/coherent.h"
#include "host/isolation.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"
#include "message/request.h"
#include "share.h"
#include "window.h"

#define GUEST UINT64_C(0x40000000)
#define MEMORY (512 << 10)
#define ENTRIES 64

/* Where things are in memory. */
#define AVAIL 0x1000
#define USED 0x2000
/* For answers of locks, which may come at any time, a place for each head. */
#define LOCK_IN 0x3000
#define LOCK_IN_MAX 64
#define OUT 0x10000
#define OUT_MAX (192 << 10)
#define IN 0x40000
#define IN_MAX (256 << 10)

#define REQUESTS 32
/* In place of an opcode: the front-end stops the device, or resets it. */
#define STOP 0xfe
#define RESET 0xff

static char *bytes;
static struct vring_desc *descs;
static struct vring_avail *avail;
static struct vring_used *used;

static struct pt *pt;
static struct dax_map *map;
static struct vu_backend backend;
static struct queue queue;
static struct encode_known known;
static bool readonly;

/* Chains that are not back, by their number. */
static bool out[ENTRIES];
static uint16_t seen_used;
static uint64_t fds_before;

/* ---- the daemon ---- */

static void open_queue(void)
{
	const struct guest_region_desc desc = {
		.guest_addr = GUEST, .size = MEMORY, .user_addr = GUEST,
	};
	int fd = memfd_create("memory", MFD_CLOEXEC);
	struct guest_mem *none = guest_mem_new(), *mem;
	bool anew = false;

	MUST(fd >= 0 && !ftruncate(fd, MEMORY));
	bytes = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(bytes != MAP_FAILED && !guest_mem_add(none, &desc, fd, 0, &mem));
	close(fd);
	descs = (void *)bytes;
	avail = (void *)(bytes + AVAIL);
	used = (void *)(bytes + USED);
	queue_init(&queue, 1, mem);
	MUST(!queue_set_size(&queue, ENTRIES));
	MUST(!queue_set_rings(&queue, GUEST, GUEST + AVAIL, GUEST + USED));
	MUST(!queue_start(&queue, eventfd(0, EFD_CLOEXEC), &anew));
	queue_enable(&queue, true);
	guest_mem_put(mem);
	guest_mem_put(none);
}

/* A guest has no buffers for what it is to be told. */
static void open_coherent(struct pt_options *opts)
{
	static struct queue silent;
	struct guest_mem *none = guest_mem_new();

	queue_init(&silent, 1, none);
	guest_mem_put(none);
	notify_open(&silent);
	notify_negotiated(true);
	opts->cache = PT_CACHE_COHERENT;
	opts->watch = &coherent_watch;
	opts->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MUST(!coherent_open(opts->root_fd, opts->proc_fd));
}

static void open_share(const char *how)
{
	struct pt_options opts = {
		.shared_dir = SHARE,
		.root_fd = open(SHARE, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.proc_fd = -1,
		.file_handles = PT_HANDLES_PREFER,
		.submounts = true,
		.xattr = true,
		.security_label = true,
		.posix_acl = !strcmp(how, "acl"),
		.readonly = !strcmp(how, "readonly"),
	};
	struct dax_map_options map_opts = {
		.window = WINDOW_SIZE,
		.budget = WINDOW_BUDGET,
		.share_readonly = opts.readonly,
		.backend = &backend,
	};

	if (opts.posix_acl)
		opts.cache = PT_CACHE_ALWAYS;
	if (opts.readonly)
		opts.cache = PT_CACHE_NEVER;
	if (!strcmp(how, "coherent"))
		open_coherent(&opts);
	readonly = opts.readonly;
	share_open(SHARE);
	share_restore();
	pt = pt_new(&opts);
	MUST(pt);
	map_opts.pt = pt;
	if (!opts.posix_acl)
		map = dax_map_new(&map_opts);
	MUST(!transport_open(pt, map));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_open(LOG_LEVEL_ERROR, NULL, false);
	signal(SIGPIPE, SIG_IGN);
	MUST(!isolation_start(NULL) &&
	     !isolation_nofile(ISOLATION_NOFILE_DEFAULT) &&
	     !isolation_thread(ISOLATION_HANDLES));
	open_share(getenv("FUZZ_SHARE") ?: "plain");
	open_queue();
	return 0;
}

/* ---- the driver ---- */

/* A piece of memory, cut into more pieces as the input likes. */
static unsigned int add_pieces(unsigned int i, uint64_t at, size_t len,
			       unsigned int cut, uint16_t flags)
{
	do {
		size_t n = cut && len > cut && i % 8 < 6 ? cut : len;

		descs[i % ENTRIES] = (struct vring_desc){
			GUEST + at, n, flags | VRING_DESC_F_NEXT,
			(i + 1) % ENTRIES,
		};
		at += n;
		len -= n;
		i++;
	} while (len);
	return i;
}

/* Room for a reply: mostly enough. */
static size_t reply_room(struct input *in, uint8_t how)
{
	switch (how >> 5) {
	case 0:
		return 4096;
	case 1:
		return IN_MAX;
	case 2:
		return sizeof(struct fuse_out_header);
	case 3:
		return input_u8(in);
	case 4:
		return 0;
	}
	return 512;
}

static size_t reply_place(uint32_t opcode, uint16_t head)
{
	return opcode == FUSE_SETLKW ? LOCK_IN + head * LOCK_IN_MAX : IN;
}

static void offer(struct input *in, uint16_t head, size_t len)
{
	static const unsigned int cuts[] = { 0, 1, 16, 40, 64, 1000, 4096, 7 };
	const struct fuse_in_header *header = (void *)(bytes + OUT);
	uint8_t how = input_u8(in);
	size_t room = reply_room(in, how);
	unsigned int i, last;

	if (header->opcode == FUSE_SETLKW)
		room = min(room, (size_t)LOCK_IN_MAX);

	i = add_pieces(head, OUT, len, cuts[how & 7], 0);
	last = i - 1;
	if (room) {
		i = add_pieces(i, reply_place(header->opcode, head), room,
			       cuts[how >> 2 & 7], VRING_DESC_F_WRITE);
		last = i - 1;
	}
	descs[last % ENTRIES].flags &= ~VRING_DESC_F_NEXT;
	avail->ring[avail->idx % ENTRIES] = head;
	avail->idx++;
	out[head] = true;
}

/* Looks at all that came back; @opcode and @head are of the last request. */
static void collect(uint32_t opcode, uint16_t head)
{
	const struct fuse_out_header *header =
		(void *)(bytes + reply_place(opcode, head));

	for (; seen_used != __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
	     seen_used++) {
		const struct vring_used_elem *elem =
			&used->ring[seen_used % ENTRIES];

		MUST(elem->id < ENTRIES && out[elem->id]);
		out[elem->id] = false;
		if (elem->id != head || elem->len < sizeof(*header))
			continue;
		MUST(header->len == elem->len);
		MUST(header->error <= 0 && header->error > -1000);
		MUST(!header->error || elem->len == sizeof(*header));
		if (!header->error)
			encode_learn(&known, opcode, header + 1,
				     elem->len - sizeof(*header));
	}
}

static bool is_out(void)
{
	for (int i = 0; i < ENTRIES; i++)
		if (out[i])
			return true;
	return false;
}

/* A lock that waits keeps its head. */
static uint16_t free_head(void)
{
	static uint16_t next;

	for (int i = 0; i < ENTRIES; i += 8) {
		next = (next + 8) % ENTRIES;
		if (!out[next])
			return next;
	}
	return ENTRIES;
}

void __real_fuse_session_process_buf(struct fuse_session *session,
				     const struct fuse_buf *buf);
void __wrap_fuse_session_process_buf(struct fuse_session *session,
				     const struct fuse_buf *buf);

/* What lies behind a request must not be looked at, which shows in a copy. */
void __wrap_fuse_session_process_buf(struct fuse_session *session,
				     const struct fuse_buf *buf)
{
	struct fuse_buf copy = *buf;

	copy.mem = malloc(buf->size);
	MUST(copy.mem);
	memcpy(copy.mem, buf->mem, buf->size);
	__real_fuse_session_process_buf(session, &copy);
	free(copy.mem);
}

int __real_setxattr(const char *path, const char *name, const void *value,
		    size_t size, int flags);
int __wrap_setxattr(const char *path, const char *name, const void *value,
		    size_t size, int flags);

/* What the kernel reads no sanitizer sees, so it is read here before. */
int __wrap_setxattr(const char *path, const char *name, const void *value,
		    size_t size, int flags)
{
	const volatile char *bytes_of_value = value;

	for (size_t i = 0; i < size; i++)
		(void)bytes_of_value[i];
	return __real_setxattr(path, name, value, size, flags);
}

static void serve(void)
{
	struct request *req = request_take(&queue);

	MUST(req);
	transport_serve(req);
}

/* Return: the opcode, or -1 if no request could be made. */
static int one_request(struct input *in)
{
	struct fuse_in_header *header = (void *)(bytes + OUT);
	uint16_t head = free_head();
	size_t len;

	/* A guest that takes in at last what it is told, for which answers wait. */
	if (head == ENTRIES) {
		notify_forget();
		collect(FUSE_DESTROY, ENTRIES);
		head = free_head();
	}
	if (head == ENTRIES)
		return -1;
	len = encode_request(in, &known, bytes + OUT, OUT_MAX);
	offer(in, head, len);
	serve();
	collect(header->opcode, head);
	return header->opcode;
}

static void init(void)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in init;
	} req = {
		.header = { .len = sizeof(req), .opcode = FUSE_INIT, .unique = 1 },
		.init = {
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.flags = ~0u, .flags2 = ~0u,
		},
	};
	struct input none = { 0 };
	uint16_t head = free_head();

	memcpy(bytes + OUT, &req, sizeof(req));
	offer(&none, head, sizeof(req));
	serve();
	collect(FUSE_INIT, head);
	MUST(!out[head]);
}

/* By a reset the front-end forgets all maps, and the guest its nodes. */
static void event(uint8_t what)
{
	transport_stopped();
	/* With all heads taken by waiting locks no session can begin. */
	if (what == STOP || free_head() == ENTRIES)
		return;
	window_lost();
	transport_reset();
	init();
}

/* What only looks leaves the share as it is, but for times. */
static bool changes(int opcode)
{
	switch (opcode) {
	case -1: case FUSE_LOOKUP: case FUSE_FORGET: case FUSE_GETATTR:
	case FUSE_READLINK: case FUSE_READ: case FUSE_STATFS:
	case FUSE_RELEASE: case FUSE_GETXATTR: case FUSE_LISTXATTR:
	case FUSE_OPENDIR: case FUSE_READDIR: case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR: case FUSE_GETLK: case FUSE_SETLK:
	case FUSE_SETLKW: case FUSE_ACCESS: case FUSE_STATX:
		return false;
	}
	return true;
}

static void end_session(void)
{
	struct fuse_in_header req = {
		.len = sizeof(req), .opcode = FUSE_DESTROY, .unique = 1,
	};
	struct input none = { 0 };
	uint16_t head = free_head();

	/* What waits is answered by this. */
	if (head == ENTRIES) {
		notify_forget();
		pt_reset(pt);
		collect(FUSE_DESTROY, ENTRIES);
		head = free_head();
	}
	memcpy(bytes + OUT, &req, sizeof(req));
	offer(&none, head, sizeof(req));
	serve();
	collect(FUSE_DESTROY, head);
}

/* Every chain is back, and the daemon has given up what the guest had. */
static void check_end(void)
{
	MUST(!is_out() && !queue.busy);
	window_check_empty();
	MUST(setfsuid(-1) == 0 && setfsgid(-1) == 0);
	MUST(fds_open() == fds_before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	bool changed = false;

	fds_before = fds_open();
	encode_begin(&known);
	init();
	for (int i = 0; in.left && i < REQUESTS; i++) {
		if (*in.data == STOP || *in.data == RESET)
			event(input_u8(&in));
		else
			changed |= changes(one_request(&in));
	}
	end_session();
	check_end();
	if (readonly)
		share_check();
	else if (changed)
		share_restore();
	return 0;
}
