/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the guard: a file of which a part is mapped, and what others on the host
 * do to it.
 */
#ifndef VIRTIOFS_DAXD_GUARD_HOST_H
#define VIRTIOFS_DAXD_GUARD_HOST_H

#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fe_main.h"

#define RANGE (UINT64_C(2) << 20)
#define SIZE 100000
#define NOBODY 65534

/* What does not wait is done within this time, and what waits is not, ms. */
#define SOON 400

static struct frontend fe;

/* One thread, so that whatever waits for us is in the way. */
static const char *const options[] = {
	"--dax-window", "64M", "--log-level", "warn", "--notifications",
	"--guard=truncate", "--guard-timeout", "4000", "--thread-pool-size",
	"1", NULL
};

static inline long now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* The next word about data is of this file, from this byte on. */
static inline bool told(struct frontend *guest, uint64_t node, int64_t offset)
{
	struct fuse_notify_inval_inode_out inval;

	do {
		if (!fe_inval(guest, &inval))
			return false;
	} while (inval.off < 0);
	return inval.ino == node && inval.off == offset;
}

static inline uint64_t make(const char *name)
{
	return fe_file(&fe, name, SIZE) ? fe_lookup(&fe, name, NULL) : 0;
}

/* As a guest does it: for reading, where it cannot be for writing (btrfs). */
static inline uint64_t make_mapped(const char *name)
{
	uint64_t node = make(name);
	int err = node ? fe_setup(&fe, node, 0, RANGE, 0, true) : -ENOENT;

	if (err == -EACCES)
		err = fe_setup(&fe, node, 0, RANGE, 0, false);
	return err ? 0 : node;
}

static inline int do_truncate(const char *path)
{
	return truncate(path, 4096);
}

static inline int do_empty(const char *path)
{
	return open(path, O_WRONLY | O_TRUNC) < 0;
}

static inline int do_read(const char *path)
{
	char buf[100];

	return pread(open(path, O_RDONLY), buf, sizeof(buf), 5000) != 100;
}

/* A setup beside the requests of fe_request(): where it is in memory. */
#define SIDE (FE_GUEST_BASE + (24 << 20))
#define SIDE_DESC 100

static inline void setup_begin(uint64_t node, uint64_t at)
{
	struct {
		struct fuse_in_header header;
		struct fuse_setupmapping_in in;
	} req = {
		.header = { .len = sizeof(req), .opcode = FUSE_SETUPMAPPING,
			    .unique = 4711, .nodeid = node },
		.in = { .fh = UINT64_MAX, .len = RANGE, .moffset = at,
			.flags = FUSE_SETUPMAPPING_FLAG_READ },
	};

	memcpy(fe_ptr(&fe, SIDE), &req, sizeof(req));
	fe_desc(&fe, 2, SIDE_DESC, SIDE, sizeof(req), VRING_DESC_F_NEXT,
		SIDE_DESC + 1);
	fe_desc(&fe, 2, SIDE_DESC + 1, SIDE + 4096,
		sizeof(struct fuse_out_header), VRING_DESC_F_WRITE, 0);
	fe_submit(&fe, 2, SIDE_DESC);
}

static inline int setup_end(void)
{
	struct fuse_out_header *header = fe_ptr(&fe, SIDE + 4096);

	if (fe_complete(&fe, 2) != sizeof(*header) ||
	    fe.queues[2].head != SIDE_DESC)
		return -1000;
	return header->error;
}

static inline pid_t host(struct frontend *guest, int (*what)(const char *))
{
	const char *path = fe_path(guest, "f");
	pid_t pid = fork();

	if (!pid)
		_exit(what(path) ? 1 : 0);
	return pid;
}

/* Waits for it; how long that took, in ms, or -1 if it is not done by then. */
static inline long host_done(pid_t pid, long ms)
{
	long start = now_ms();
	int status;

	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status ? -2 : now_ms() - start;
		if (now_ms() - start >= ms)
			return -1;
		usleep(1000);
	}
}

#endif
