// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "guard/guard.h"
#include "host/count.h"
#include "host/util.h"

/*
 * Entries of one REMOVEMAPPING: a page of them, FUSE_REMOVEMAPPING_MAX_ENTRY of
 * the protocol. Each may have the front-end make two maps anew.
 */
#define REMOVE_MAX (4096 / sizeof(struct fuse_removemapping_one))

/* Bytes of a request's body; of a WRITE without its data. */
static size_t body_len(const struct request *req)
{
	return min(req->len, (size_t)req->header.len) - sizeof(req->header);
}

/* Reads until the vector is full or the file ends. */
static ssize_t read_all(int fd, struct iovec *iov, unsigned int count,
			uint64_t offset)
{
	size_t left = iov_size(iov, count), done = 0;
	unsigned int tries = 0;

	while (left) {
		ssize_t n = preadv(fd, iov, count, offset + done);

		if (n < 0 && interrupted(errno, &tries))
			continue;
		if (n < 0 && !done)
			return -errno;
		if (n <= 0)
			break;
		done += n;
		left -= n;
		iov_slice(&iov, &count, n, left);
	}
	return done;
}

/*
 * What takes no whole sectors is refused by a descriptor for direct I/O. A program that
 * asked for it is told so. But what the guest had cached has any length; a file with DAX
 * is read and written in pieces that the guest's driver chooses; and O_DIRECT may be off
 * since the file was opened. Returns a descriptor to do it by, or -EINVAL.
 */
static int open_buffered(const struct direct *direct, int fd, uint32_t flags,
			 bool cached)
{
	if (!direct->map && !cached && (flags & O_DIRECT))
		return -EINVAL;
	return pt_file_buffered(direct->pt, fd);
}

/* The answer, of bytes that are in place, or an error. */
static void answer_read(struct request *req, ssize_t n)
{
	if (n < 0) {
		request_reply(req, n, NULL, 0);
		return;
	}
	count_bytes(FUSE_READ, n);
	request_reply_written(req, n);
}

/* After EINVAL: again, if direct I/O was all that was wrong. */
static ssize_t read_buffered(const struct direct *direct, int fd,
			     struct iovec *iov, unsigned int count,
			     const struct fuse_read_in *in)
{
	int plain = open_buffered(direct, fd, in->flags, false);
	ssize_t n;

	if (plain < 0)
		return plain;
	n = read_all(plain, iov, count, in->offset);
	close_fd(&plain);
	return n;
}

/* Returns bytes, or a negative errno. */
static ssize_t read_file(const struct direct *direct, struct request *req)
{
	const struct fuse_read_in *in = (void *)req->body;
	struct virtq_chain *chain = &req->ticket.chain;
	struct iovec *iov = virtq_chain_in(chain), all[VIRTQ_MAX_IOV];
	struct iovec *data = all;
	unsigned int count = chain->in_count;
	ssize_t n;
	int fd;

	fd = pt_file_fd(direct->pt, in->fh);
	if (fd < 0)
		return fd;
	/* The header's place is needed once more, whole. */
	memcpy(all, iov, count * sizeof(*iov));
	iov_slice(&data, &count, sizeof(struct fuse_out_header), in->size);
	n = in->offset > INT64_MAX ? -EINVAL :
				     read_all(fd, data, count, in->offset);
	if (n == -EINVAL && in->offset <= INT64_MAX)
		n = read_buffered(direct, fd, data, count, in);
	pt_file_put(direct->pt, in->fh);
	return n;
}

/*
 * What is about to be taken away by others is read when that is done. That there is
 * no room to wait is no reason to fail.
 */
static void serve_read(const struct direct *direct, struct request *req)
{
	const struct fuse_read_in *in = (void *)req->body;
	struct pt_key key;
	ssize_t n;
	int err;

	err = direct->map ? pt_file_key(direct->pt, in->fh, &key) : -ENOSYS;
	err = err ?: guard_enter(&key, req);
	if (err == -EINPROGRESS)
		return;
	n = read_file(direct, req);
	if (!err)
		guard_leave(&key, req);
	answer_read(req, n);
}

/* Writes all of the vector, or as much as goes. */
static ssize_t write_all(const struct direct *direct, int fd, struct iovec *iov,
			 unsigned int count, const struct fuse_write_in *in)
{
	const uint32_t flags = pt_write_flags(direct->pt, in->flags);
	size_t left = iov_size(iov, count), done = 0;
	unsigned int tries = 0;

	while (left) {
		ssize_t n = pt_write(fd, iov, count, in->offset + done,
				     flags, in->write_flags);

		if (n < 0 && interrupted(-n, &tries))
			continue;
		if (n < 0 && !done)
			return n;
		if (n <= 0)
			break;
		done += n;
		left -= n;
		iov_slice(&iov, &count, n, left);
	}
	return done;
}

/* The same, by a descriptor that takes it. */
static ssize_t write_file(const struct direct *direct, int fd,
			  struct iovec *iov, unsigned int count,
			  const struct fuse_write_in *in)
{
	ssize_t n = write_all(direct, fd, iov, count, in);
	int plain;

	if (n != -EINVAL)
		return n;
	plain = open_buffered(direct, fd, in->flags,
			      in->write_flags & FUSE_WRITE_CACHE);
	if (plain < 0)
		return plain;
	n = write_all(direct, plain, iov, count, in);
	close_fd(&plain);
	return n;
}

/* Writes, and keeps right what is mapped of the file. */
static ssize_t write_mapped(const struct direct *direct, int fd,
			    struct iovec *iov, unsigned int count,
			    const struct fuse_write_in *in)
{
	struct pt_key key;
	uint64_t start;
	struct stat st;
	ssize_t n = 0;

	if (!direct->map || fstat(fd, &st))
		return write_file(direct, fd, iov, count, in);
	key.dev = st.st_dev;
	key.ino = st.st_ino;
	/* Only the host knows where an append goes: behind what there was. */
	start = min(in->offset, (uint64_t)st.st_size);
	/* A write behind the end leaves a hole, which may be mapped already. */
	if (start < in->offset)
		n = dax_map_reserve(direct->map, &key, in->offset);
	if (!n)
		n = write_file(direct, fd, iov, count, in);
	if (n > 0)
		dax_map_refresh(direct->map, &key, start);
	return n;
}

static void serve_write(const struct direct *direct, struct request *req)
{
	const struct fuse_write_in *in = (void *)req->body;
	struct virtq_chain *chain = &req->ticket.chain;
	struct iovec *data = chain->iov, reply;
	unsigned int count = chain->out_count;
	struct fuse_write_out out = { 0 };
	size_t head = sizeof(req->header) + sizeof(*in);
	struct iovec copy[VIRTQ_MAX_IOV];
	ssize_t n;
	int fd;

	if (in->size > min(req->header.len - head, (size_t)PT_IO_MAX) ||
	    in->offset > INT64_MAX) {
		request_reply(req, -EINVAL, NULL, 0);
		return;
	}
	fd = pt_file_fd(direct->pt, in->fh);
	if (fd < 0) {
		request_reply(req, fd, NULL, 0);
		return;
	}
	memcpy(copy, data, count * sizeof(*data));
	data = copy;
	iov_slice(&data, &count, head, in->size);
	n = write_mapped(direct, fd, data, count, in);
	pt_file_put(direct->pt, in->fh);
	out.size = n < 0 ? 0 : n;
	count_bytes(FUSE_WRITE, out.size);
	reply.iov_base = &out;
	reply.iov_len = sizeof(out);
	request_reply(req, n < 0 ? n : 0, &reply, 1);
}

/*
 * A setup that has to wait takes what it replaces out of the window before: the guest
 * has let go of that, as by a remove. It stays away, whatever becomes of the setup.
 */
static int enter_setup(const struct direct *direct, const struct pt_key *key,
		       struct request *req)
{
	const struct fuse_setupmapping_in *in = (void *)req->body;
	int err = guard_enter(key, req);

	if (err != -EDEADLK)
		return err;
	err = dax_map_remove(direct->map, in->moffset, in->len);
	if (err)
		return err;
	req->let_go = true;
	return guard_enter(key, req);
}

/*
 * What is about to be taken away by others is not shown. It is shown when that is
 * done, by the same request.
 */
static int setup_guarded(const struct direct *direct, struct request *req)
{
	const struct fuse_setupmapping_in *in = (void *)req->body;
	struct pt_key key;
	int err;

	err = pt_node_key(direct->pt, req->header.nodeid, &key) ?:
	      enter_setup(direct, &key, req);
	if (err)
		return err;
	err = dax_map_setup(direct->map, req->header.nodeid, in->foffset,
			    in->len, in->moffset,
			    in->flags & FUSE_SETUPMAPPING_FLAG_WRITE);
	guard_leave(&key, req);
	return err;
}

static void serve_setupmapping(const struct direct *direct,
			       struct request *req)
{
	const struct fuse_setupmapping_in *in = (void *)req->body;
	const uint64_t known = FUSE_SETUPMAPPING_FLAG_WRITE |
			       FUSE_SETUPMAPPING_FLAG_READ;
	int err;

	if (!direct->map)
		err = -ENOSYS;
	else if (in->flags & ~known)
		err = -EINVAL;
	else
		err = setup_guarded(direct, req);
	if (err != -EINPROGRESS)
		request_reply(req, err, NULL, 0);
}

/* Entries follow a structure of four bytes, so they are not aligned. */
static struct fuse_removemapping_one remove_entry(const struct request *req,
						  unsigned int i)
{
	struct fuse_removemapping_one one;
	const char *first = req->body + sizeof(struct fuse_removemapping_in);

	memcpy(&one, first + i * sizeof(one), sizeof(one));
	return one;
}

static int remove_entries(const struct direct *direct,
			  const struct request *req, unsigned int count)
{
	struct fuse_removemapping_one one;
	int err = 0;

	/* All or nothing, as far as it can be told before. */
	for (unsigned int i = 0; i < count; i++) {
		one = remove_entry(req, i);
		if (!dax_map_check(direct->map, one.moffset, one.len))
			return -EINVAL;
	}
	for (unsigned int i = 0; i < count; i++) {
		one = remove_entry(req, i);
		err = dax_map_remove(direct->map, one.moffset, one.len) ?: err;
	}
	return err;
}

static void serve_removemapping(const struct direct *direct,
				struct request *req)
{
	const struct fuse_removemapping_in *in = (void *)req->body;
	size_t room = body_len(req) - sizeof(*in);
	int err;

	if (!direct->map)
		err = -ENOSYS;
	else if (in->count > room / sizeof(struct fuse_removemapping_one) ||
		 in->count > REMOVE_MAX)
		err = -EINVAL;
	else
		err = remove_entries(direct, req, in->count);
	request_reply(req, err, NULL, 0);
}

static void serve_syncfs(const struct direct *direct, struct request *req)
{
	int err = pt_syncfs(direct->pt, req->header.nodeid);

	if (!err && direct->map && dax_map_any_lost(direct->map))
		err = -EIO;
	request_reply(req, err, NULL, 0);
}

static struct fuse_sx_time sx_time(const struct statx_timestamp *time)
{
	return (struct fuse_sx_time){
		.tv_sec = time->tv_sec,
		.tv_nsec = time->tv_nsec,
	};
}

static void fill_statx(struct fuse_statx *out, const struct statx *stx)
{
	out->mask = stx->stx_mask;
	out->blksize = stx->stx_blksize;
	out->attributes = stx->stx_attributes;
	out->attributes_mask = stx->stx_attributes_mask;
	out->nlink = stx->stx_nlink;
	out->uid = stx->stx_uid;
	out->gid = stx->stx_gid;
	out->mode = stx->stx_mode;
	out->ino = stx->stx_ino;
	out->size = stx->stx_size;
	out->blocks = stx->stx_blocks;
	out->atime = sx_time(&stx->stx_atime);
	out->btime = sx_time(&stx->stx_btime);
	out->ctime = sx_time(&stx->stx_ctime);
	out->mtime = sx_time(&stx->stx_mtime);
	out->rdev_major = stx->stx_rdev_major;
	out->rdev_minor = stx->stx_rdev_minor;
	out->dev_major = stx->stx_dev_major;
	out->dev_minor = stx->stx_dev_minor;
}

static void serve_statx(const struct direct *direct, struct request *req)
{
	const struct fuse_statx_in *in = (void *)req->body;
	struct fuse_statx_out out = { 0 };
	struct iovec reply = { &out, sizeof(out) };
	struct statx stx = { 0 };
	double timeout = 0;
	uint64_t fh;
	int err;

	fh = in->getattr_flags & FUSE_GETATTR_FH ? in->fh : UINT64_MAX;
	err = pt_statx(direct->pt, req->header.nodeid, fh, in->sx_flags,
		       in->sx_mask, &stx, &timeout);
	if (!err) {
		out.attr_valid = timeout;
		out.attr_valid_nsec = (timeout - out.attr_valid) * 1e9;
		fill_statx(&out.stat, &stx);
	}
	request_reply(req, err, &reply, 1);
}

static const struct {
	void (*serve)(const struct direct *direct, struct request *req);
	size_t size;
} direct_ops[] = {
	[FUSE_READ] = { serve_read, sizeof(struct fuse_read_in) },
	[FUSE_WRITE] = { serve_write, sizeof(struct fuse_write_in) },
	[FUSE_SETUPMAPPING] = { serve_setupmapping,
				sizeof(struct fuse_setupmapping_in) },
	[FUSE_REMOVEMAPPING] = { serve_removemapping,
				 sizeof(struct fuse_removemapping_in) },
	[FUSE_SYNCFS] = { serve_syncfs, sizeof(struct fuse_syncfs_in) },
	[FUSE_STATX] = { serve_statx, sizeof(struct fuse_statx_in) },
};

bool direct_serve(const struct direct *direct, struct request *req)
{
	uint32_t opcode = req->header.opcode;

	if (opcode >= ARRAY_SIZE(direct_ops) || !direct_ops[opcode].serve)
		return false;
	if (body_len(req) < direct_ops[opcode].size)
		request_reply(req, -EINVAL, NULL, 0);
	else
		direct_ops[opcode].serve(direct, req);
	return true;
}
