/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other side of the daemon, for tests: plays QEMU (memory, queues, maps in
 * the window with QEMU's rules) and the guest's driver (FUSE requests).
 */
#ifndef VIRTIOFS_DAXD_FRONTEND_H
#define VIRTIOFS_DAXD_FRONTEND_H

#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vhost/vu_proto.h"

#define FE_MEMORY (UINT64_C(32) << 20)
#define FE_GUEST_BASE UINT64_C(0x40000000)
#define FE_WINDOW (UINT64_C(64) << 20)
#define FE_QUEUES 2
#define FE_MAX_QUEUES (FE_QUEUES + 1)
#define FE_QUEUE_SIZE 256
#define FE_MAX_MAPS 512

/* A map in the window, as QEMU keeps it. */
struct fe_map {
	uint64_t start;
	uint64_t len;
};

/* A queue, the driver's side. */
struct fe_queue {
	int kick;
	int call;
	uint16_t avail_idx;
	uint16_t seen_used;
	uint16_t stopped_at;
	uint32_t head;	/* of the chain that fe_complete() saw last */
};

/*
 * @child: the daemon
 * @dir: scratch directory: share, socket, log
 * @conn: front-end channel; @back: backend channel
 * @memory: the guest's memory, FE_MEMORY bytes from FE_GUEST_BASE on
 * @window: reservation of FE_WINDOW bytes
 * @num_queues: FE_QUEUES; one more with --notifications: the second, as then the
 *	last one has the requests
 * @lock: protects @maps and what follows
 * @hold: no message of the backend channel is answered while set
 * @held: one waits for @hold
 * @refuse: MAP is answered with failure
 * @maps_wrong: asked for by the daemon, whatever the guest wants
 * @extlen: what the header says of extensions, in units of 8 bytes
 * @uid: who asks
 * @gid: his group
 * @keep_fd: leave the descriptor of the last MAP in @last_fd
 */
struct frontend {
	pid_t child;
	char dir[64];
	char share[96];
	int conn;
	int back;
	int memory_fd;
	char *memory;
	char *window;
	struct fe_queue queues[FE_MAX_QUEUES];
	unsigned int num_queues;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fe_map maps[FE_MAX_MAPS];
	unsigned int num_maps;
	unsigned int maps_made;
	unsigned int maps_refused;
	unsigned int maps_wrong;
	unsigned int unmaps_refused;
	bool hold;
	bool held;
	bool refuse;
	bool keep_fd;
	uint16_t extlen;
	uint32_t uid;
	uint32_t gid;
	int last_fd;
	uint64_t unique;
};

/* Path of the daemon; the tests' first argument. */
extern const char *fe_daemon;

/* Where the shares are made: decides on which file system. */
extern const char *fe_base;

/* Whose file the next one's memory is in, as that of two devices of a VM; NULL. */
extern struct frontend *fe_beside;

/* A user that runs the daemon in place of root, or 0. */
extern unsigned int fe_user;

/* What the daemon is told of the library's socket: "window" in the test's @dir. */
extern bool fe_window_socket;

/* The daemon is told of the socket by --fd FE_FD, of the share by -o source=. */
#define FE_FD 7
extern bool fe_inherits;
extern bool fe_compat;

/* The guest does not know of notifications, whatever the daemon offers. */
extern bool fe_deaf;

/*
 * Connects as a library would, and says ahead what it answers: to the base, and to
 * @more messages. Returns its socket, or -1.
 */
int fe_library(struct frontend *fe, unsigned int more);
/* fe_begin() with that. */
int fe_begin_library(struct frontend *fe, const char *const *options,
		     unsigned int more);

/* Starts the daemon with more options, NULL at the end. The share is empty. */
void fe_fork(struct frontend *fe, const char *const *options);
/* And waits until it can be connected to. */
bool fe_spawn(struct frontend *fe, const char *const *options);
/* All of the above, the handshake, both queues and INIT. */
bool fe_begin(struct frontend *fe, const char *const *options);
/*
 * Disconnects; returns the exit status of the daemon, -1 if it had to be killed,
 * 0 if it has been waited for.
 */
int fe_end(struct frontend *fe);
/* Waits for the daemon's end; same result. */
int fe_wait(struct frontend *fe);
/* Of a daemon that ends by itself: as fe_wait(), and cleans up. */
int fe_gone(struct frontend *fe);
/* Ends what a test that failed has left. */
void fe_kill(struct frontend *fe);

/* Whether a text is in the daemon's log, until fe_end(); and the log's lines. */
bool fe_said(struct frontend *fe, const char *text);
unsigned int fe_lines(struct frontend *fe);

bool fe_connect(struct frontend *fe);
bool fe_handshake(struct frontend *fe);
void fe_start_queues(struct frontend *fe, bool anew);
bool fe_stop_queues(struct frontend *fe);
/* As a reset of the device: all maps vanish, the rings are zero. */
void fe_reset(struct frontend *fe);

/* A message; returns the u64 of the answer if @ack, else 0; -1 on failure. */
int64_t fe_send(struct frontend *fe, uint32_t request, const void *payload,
		size_t len, int fd, bool ack);
/* A message with an answer of its own; returns its length or -1. */
ssize_t fe_call(struct frontend *fe, uint32_t request, const void *payload,
		size_t len, void *reply, size_t max);

/*
 * The next notification, for which the guest has FE_NOTES buffers; its length,
 * or -1 after @ms. Its buffer is given again.
 */
#define FE_NOTES 16
ssize_t fe_note(struct frontend *fe, void *msg, size_t max, unsigned int ms);
/* Gives it buffer @i, of FE_NOTES. */
void fe_note_give(struct frontend *fe, unsigned int i);
/* Likewise of an INVAL_INODE; false after two seconds, or of another message. */
bool fe_inval(struct frontend *fe, struct fuse_notify_inval_inode_out *inval);
/* The same, but the buffer is not given again. */
bool fe_inval_kept(struct frontend *fe,
		   struct fuse_notify_inval_inode_out *inval);

/* A place in guest memory, by guest-physical address. */
void *fe_ptr(struct frontend *fe, uint64_t addr);
uint64_t fe_addr(struct frontend *fe, const void *ptr);

/* Descriptors by hand: writes descriptor @i of a queue. */
void fe_desc(struct frontend *fe, unsigned int queue, unsigned int i,
	     uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
/* The available ring of a queue. */
struct vring_avail *fe_avail(struct frontend *fe, unsigned int queue);
/* Makes descriptor @head available and kicks. */
void fe_submit(struct frontend *fe, unsigned int queue, uint16_t head);
/* Whether there is one that fe_complete() has not seen. */
bool fe_pending(struct frontend *fe, unsigned int queue);
/* Waits for the next used entry; its length, or -1 after two seconds. */
int64_t fe_complete(struct frontend *fe, unsigned int queue);

/*
 * A request: header and @in from the first descriptors, reply header and @out
 * in others. Returns the error of the reply, -1000 without reply. The reply's
 * length behind the header goes to @got if not NULL.
 */
int fe_request(struct frontend *fe, uint32_t opcode, uint64_t nodeid,
	       const void *in, size_t in_len, void *out, size_t out_len,
	       size_t *got);
/* The same in two halves, for what answers late. */
void fe_request_begin(struct frontend *fe, uint32_t opcode, uint64_t nodeid,
		      const void *in, size_t in_len, size_t out_len);
int fe_request_end(struct frontend *fe, void *out, size_t out_len, size_t *got);

int fe_init(struct frontend *fe, struct fuse_init_out *out);
/* The same of a guest that knows of these features. */
int fe_init_flags(struct frontend *fe, uint64_t flags,
		  struct fuse_init_out *out);
/* Looks a name of the share's root up. Returns the node id, 0 on failure. */
uint64_t fe_lookup(struct frontend *fe, const char *name,
		   struct fuse_entry_out *entry);
uint64_t fe_open(struct frontend *fe, uint64_t nodeid, uint32_t flags,
		 int *error);
int fe_setup(struct frontend *fe, uint64_t nodeid, uint64_t offset,
	     uint64_t len, uint64_t window_offset, bool write);
int fe_remove(struct frontend *fe, uint64_t window_offset, uint64_t len);
unsigned int fe_num_maps(struct frontend *fe);
/* A WRITE; returns the error, and in @written what the answer says. */
int fe_write(struct frontend *fe, uint64_t nodeid,
	     const struct fuse_write_in *in, const void *data, size_t len,
	     uint32_t *written);

int fe_set_size(struct frontend *fe, uint64_t nodeid, uint64_t size);

/* Waits two seconds at most until a message is held, or none is. */
bool fe_wait_held(struct frontend *fe, bool held);
/* Answers it. */
void fe_release_held(struct frontend *fe);

/* Whether the window shows a part of a fe_file(), or zeros. */
bool fe_shows(struct frontend *fe, uint64_t at, size_t offset, size_t len);
bool fe_is_zero(struct frontend *fe, uint64_t at, size_t len);

/* How many the daemon has open. */
unsigned int fe_descriptors(const struct frontend *fe);

/* Whether there is a program that makes such a file system. */
bool fe_can_make(const char *type);
/* Makes one of 400 MiB, and has @run make shares on it; false if it says so. */
bool fe_on_image(const char *type, bool (*run)(void));

/* Files of the share, from outside. */
bool fe_file(struct frontend *fe, const char *name, size_t size);
/* Makes one and looks it up; returns the node id, 0 on failure. */
uint64_t fe_make(struct frontend *fe, const char *name, size_t size);
const char *fe_path(struct frontend *fe, const char *name);
/* The byte which fe_file() puts at an offset. */
static inline unsigned char fe_byte(size_t offset)
{
	return (offset * 31 + (offset >> 12) * 7 + 1) & 0xff;
}

#endif
