// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <fuse_lowlevel.h>

#include "fuse/direct.h"
#include "fuse/fuse_complete.h"
#include "guard/coherent.h"
#include "guard/guard.h"
#include "host/count.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"

/* 7.31 brought virtio-fs; older layouts need not be known. */
#define TRANSPORT_MIN_MINOR 31

/* Errors of libfuse that are logged as such. */
#define LIBFUSE_LINES 100

/* Stands for no request: the reply goes nowhere. */
#define TRANSPORT_NO_REQUEST UINT64_MAX

/*
 * libfuse passes the user data of the file operations to its output function,
 * which is not ours to choose; so this is static.
 *
 * @direct: constant
 * @session: libfuse's session; constant
 * @gate: held shared by requests, exclusively to begin or end the session;
 *	never taken by the thread that serves the front-end. Who waits to have
 *	it exclusively keeps no other out, so what is urgent is served meanwhile
 * @begun: INIT was seen; protected by @gate
 * @reset: the device was reset
 */
static struct {
	struct direct direct;
	struct fuse_session *session;
	pthread_rwlock_t gate;
	bool begun;
	bool reset;
} transport;

/*
 * The file that a request makes longer, or changes otherwise, and the byte from
 * which on. Where the operation acts on a handle that says which file it is; the
 * guest may name any node with it.
 */
static bool changed_file(const struct request *req, struct pt_key *key,
			 uint64_t *offset)
{
	const struct fuse_setattr_in *attr = (void *)req->body;
	const struct fuse_fallocate_in *alloc = (void *)req->body;
	const struct fuse_copy_file_range_in *copy = (void *)req->body;
	struct pt *pt = transport.direct.pt;

	switch (req->header.opcode) {
	case FUSE_SETATTR:
		*offset = attr->size;
		if (!(attr->valid & FATTR_SIZE))
			return false;
		if (attr->valid & FATTR_FH)
			return !pt_file_key(pt, attr->fh, key);
		return !pt_node_key(pt, req->header.nodeid, key);
	case FUSE_FALLOCATE:
		*offset = alloc->offset;
		return !pt_file_key(pt, alloc->fh, key);
	case FUSE_COPY_FILE_RANGE:
		*offset = copy->off_out;
		return !pt_file_key(pt, copy->fh_out, key);
	}
	return false;
}

/* The file that was emptied as it was opened; @reply is the body of the answer. */
static bool emptied_file(const struct request *req, const void *reply,
			 struct pt_key *key)
{
	const struct fuse_create_in *create = (void *)req->body;
	const struct fuse_open_in *open = (void *)req->body;
	const struct fuse_entry_out *entry = reply;
	struct pt *pt = transport.direct.pt;

	switch (req->header.opcode) {
	case FUSE_OPEN:
		return open->flags & O_TRUNC &&
		       !pt_node_key(pt, req->header.nodeid, key);
	case FUSE_CREATE:
		return create->flags & O_TRUNC && entry &&
		       !pt_node_key(pt, entry->nodeid, key);
	}
	return false;
}

static bool fallocates(const struct request *req, uint32_t modes)
{
	const struct fuse_fallocate_in *in = (void *)req->body;

	return req->header.opcode == FUSE_FALLOCATE && in->mode & modes;
}

/* What makes a file longer makes a hole, which may be mapped already. */
static int change_before(const struct request *req)
{
	struct pt_key key;
	uint64_t offset;

	if (!transport.direct.map || fallocates(req, FALLOC_FL_KEEP_SIZE) ||
	    !changed_file(req, &key, &offset))
		return 0;
	return dax_map_reserve(transport.direct.map, &key, offset);
}

/* So does what takes something out of a file, or makes room in it. */
static int change_after(const struct request *req, const void *reply)
{
	const uint32_t modes = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_INSERT_RANGE |
			       FALLOC_FL_COLLAPSE_RANGE;
	struct pt_key key;
	uint64_t offset = 0;

	if (!transport.direct.map || (!emptied_file(req, reply, &key) &&
				      !changed_file(req, &key, &offset)))
		return 0;
	dax_map_refresh(transport.direct.map, &key, offset);
	return fallocates(req, modes) ?
	       dax_map_reserve(transport.direct.map, &key, 0) : 0;
}

/*
 * A sync is the time to tell that a store to the window has come to nothing; so is
 * close(), after which a sync still tells it.
 */
static int check_lost(const struct request *req)
{
	unsigned int to = req->header.opcode == FUSE_FSYNC ? DAX_LOST_ALL :
			  req->header.opcode == FUSE_FLUSH ? DAX_LOST_CLOSE : 0;
	struct pt_key key;

	if (!transport.direct.map || !to ||
	    pt_node_key(transport.direct.pt, req->header.nodeid, &key))
		return 0;
	return dax_map_lost(transport.direct.map, &key, to) ? -EIO : 0;
}

/*
 * The guest may keep what it is told, if it looks into its queue before. Only to one that
 * offers that it is answered: any other one might give a buffer back after it has waited for
 * an answer, which would wait for the buffer.
 */
static void begin_coherent(uint64_t asked, struct iovec *iov)
{
	if (!(asked & FUSE_INIT_EXT) || !(asked & FUSE_NOTIFY_ORDERED) ||
	    !coherent_begin(asked & FUSE_NOTIFY_FSNOTIFY))
		return;
	if (pt_watch(transport.direct.pt, true))
		fuse_complete_coherent(asked, iov->iov_base, iov->iov_len);
	else
		coherent_end();
}

static void complete_reply(const struct request *req, struct iovec *iov)
{
	const struct fuse_init_in *in = (void *)req->body;
	uint64_t asked;

	if (req->header.opcode != FUSE_INIT) {
		fuse_complete_attr(transport.direct.pt, req->header.opcode,
				   req->body, iov->iov_base, iov->iov_len,
				   transport.direct.map);
		return;
	}
	asked = in->flags;
	if (asked & FUSE_INIT_EXT)
		asked |= (uint64_t)in->flags2 << 32;
	fuse_complete_features(transport.direct.pt, asked, iov->iov_base,
			       iov->iov_len);
	begin_coherent(asked, iov);
	if (transport.direct.map)
		fuse_complete_init(asked, dax_map_one_map(transport.direct.map),
				   iov->iov_base, iov->iov_len);
}

/*
 * libfuse's output: a header, and a body of at most one piece in our case. What the
 * guest does not get, an operation undoes if it is told; of ENOENT libfuse logs nothing.
 */
static ssize_t transport_writev(int fd, struct iovec *iov, int count,
				void *userdata)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	struct request *req = request_claim(out->unique);
	size_t len = iov_size(iov, count);
	int said = out->error, error = said;

	(void)fd;
	(void)userdata;
	if (!req)
		return len;
	if (error == -EAGAIN && req->tried_once)
		error = -ENOLCK;
	if (!error)
		error = change_after(req, count > 1 ?
				     iov[1].iov_base : NULL) ?:
			check_lost(req);
	if (!error && count > 1)
		complete_reply(req, iov + 1);
	if (error)
		fuse_failed(req, error);
	error = request_reply(req, error, iov + 1, count - 1);
	if (error && !said) {
		errno = ENOENT;
		return -1;
	}
	return len;
}

static ssize_t transport_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)userdata;
	errno = EOPNOTSUPP;
	return -1;
}

static void libfuse_log(enum fuse_log_level level, const char *fmt,
			va_list args)
{
	static unsigned int lines;
	char line[512];

	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = 0;
	/* The guest can have as many errors as it likes. */
	if (level <= FUSE_LOG_ERR &&
	    __atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED) <= LIBFUSE_LINES)
		log_err("%s", line);
	else
		log_debug("%s", line);
}

static void gate_init(void)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_READER_NP);
	pthread_rwlock_init(&transport.gate, &attr);
	pthread_rwlockattr_destroy(&attr);
}

int transport_open(struct pt *pt, struct dax_map *map)
{
	static const struct fuse_custom_io io = {
		.writev = transport_writev,
		.read = transport_read,
	};
	char *argv[] = { "virtiofs-daxd" };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int fd, err;

	fuse_set_log_func(libfuse_log);
	transport.direct.pt = pt;
	transport.direct.map = map;
	request_on_change(fuse_expire);
	gate_init();
	transport.session = fuse_session_new(&args, pt_ops(), sizeof(*pt_ops()),
					     pt);
	fuse_opt_free_args(&args);
	if (!transport.session)
		return -ENOMEM;
	/* It wants a descriptor to close, whatever it is. */
	fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fuse_session_custom_io(transport.session, &io, sizeof(io), fd);
	return err < 0 ? err : 0;
}

void transport_stopped(void)
{
	if (transport.direct.map)
		dax_map_stopped(transport.direct.map);
}

void transport_reset(void)
{
	__atomic_store_n(&transport.reset, true, __ATOMIC_RELEASE);
	/* Before there are buffers of who comes next. */
	notify_forget();
}

static void to_libfuse(void *buf, size_t len)
{
	const struct fuse_buf fuse_buf = { .mem = buf, .size = len };

	fuse_session_process_buf(transport.session, &fuse_buf);
}

/* libfuse takes a second INIT only after a DESTROY, which may not have come. */
static void session_end(void)
{
	struct fuse_in_header destroy = {
		.len = sizeof(destroy),
		.opcode = FUSE_DESTROY,
		.unique = TRANSPORT_NO_REQUEST,
	};

	if (transport.begun)
		to_libfuse(&destroy, sizeof(destroy));
	transport.begun = false;
	coherent_end();
	notify_forget();
	pt_reset(transport.direct.pt);
	pt_watch(transport.direct.pt, false);
	request_forget_interrupts();
}

static void session_drop_maps(void)
{
	if (transport.direct.map)
		dax_map_drop(transport.direct.map);
}

/* Sizes of buffers in which a reply is collected: no more than can be sent. */
static void clamp_size(struct request *req)
{
	struct fuse_getxattr_in *xattr = (void *)req->body;
	struct fuse_read_in *read = (void *)req->body;
	size_t room = request_room(req);

	switch (req->header.opcode) {
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		/* 0 asks for the size alone. */
		if (xattr->size > room)
			xattr->size = room ?: 1;
		break;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		read->size = min((size_t)read->size, room);
		break;
	}
}

/* libfuse knows a request by our number. */
static void interrupt(uint64_t number)
{
	struct {
		struct fuse_in_header header;
		struct fuse_interrupt_in in;
	} req = {
		.header.len = sizeof(req),
		.header.opcode = FUSE_INTERRUPT,
		.header.unique = TRANSPORT_NO_REQUEST,
		.in.unique = number,
	};

	to_libfuse(&req, sizeof(req));
}

/* A request that there is no room for to wait is tried once. */
static bool prepare_wait(struct request *req)
{
	if (!request_waits(req))
		return false;
	if (queue_may_wait(&req->ticket))
		return true;
	req->header.opcode = FUSE_SETLK;
	req->tried_once = true;
	return false;
}

/*
 * Whether a request changes the size of a file, for which the guest has let go of
 * what it has mapped there.
 */
static bool own_change(const struct request *req, struct pt_key *key)
{
	uint64_t offset;

	return changed_file(req, key, &offset) ||
	       (req->header.opcode == FUSE_OPEN &&
		emptied_file(req, NULL, key));
}

static void serve_by_libfuse(struct request *req)
{
	static _Thread_local char buf[REQUEST_MAX_LEN + REQUEST_PADDING]
		__attribute__((aligned(8)));
	size_t len = req->header.len;
	struct pt_key key;
	uint64_t number;
	bool waits, own;
	int err;

	waits = prepare_wait(req);
	err = change_before(req);
	number = err ? 0 : request_register(req);
	if (!number) {
		request_reply(req, err ?: -EBUSY, NULL, 0);
		return;
	}
	own = own_change(req, &key) && guard_own_begin(&key);
	/* The request may be answered, and reused, while it is still read. */
	req->header.unique = number;
	memcpy(buf, req->buf, len + REQUEST_PADDING);
	to_libfuse(buf, len);
	if (own)
		guard_own_end(&key);
	/* libfuse may not have known it when the interrupt came. */
	if (waits && request_interrupted(number))
		interrupt(number);
}

static void serve_forget(struct request *req)
{
	req->header.unique = TRANSPORT_NO_REQUEST;
	to_libfuse(req->buf, req->header.len);
	request_finish(req);
}

static void serve_interrupt(struct request *req)
{
	const struct fuse_interrupt_in *in = (void *)req->body;
	uint64_t number = request_interrupt(in->unique);

	if (number)
		interrupt(number);
	request_finish(req);
}

static void serve_init(struct request *req)
{
	const struct fuse_init_in *in = (void *)req->body;

	pthread_rwlock_wrlock(&transport.gate);
	session_end();
	session_drop_maps();
	if (in->major == FUSE_KERNEL_VERSION &&
	    in->minor < TRANSPORT_MIN_MINOR) {
		log_warn_once("guest: FUSE 7.%u is too old", in->minor);
		request_reply(req, -EPROTO, NULL, 0);
	} else {
		transport.begun = in->major == FUSE_KERNEL_VERSION;
		serve_by_libfuse(req);
	}
	pthread_rwlock_unlock(&transport.gate);
}

static void serve_destroy(struct request *req)
{
	pthread_rwlock_wrlock(&transport.gate);
	session_end();
	session_drop_maps();
	pthread_rwlock_unlock(&transport.gate);
	request_reply(req, 0, NULL, 0);
}

static bool is_forget(const struct request *req)
{
	return req->header.opcode == FUSE_FORGET ||
	       req->header.opcode == FUSE_BATCH_FORGET;
}

static void serve_checked(struct request *req)
{
	if (is_forget(req))
		serve_forget(req);
	else if (req->header.opcode == FUSE_INTERRUPT)
		serve_interrupt(req);
	else if (!direct_serve(&transport.direct, req))
		serve_by_libfuse(req);
}

static void refuse(struct request *req, int err)
{
	log_debug("guest: request %u refused: %s", req->header.opcode,
		  strerror(-err));
	if (is_forget(req))
		request_finish(req);
	else
		request_reply(req, err, NULL, 0);
}

/*
 * What a request may look like depends on what INIT negotiated. So the gate is
 * held, but for INIT and DESTROY, which look the same always and take it then.
 */
static void serve_or_refuse(struct request *req)
{
	/* Of a WRITE the data is not there; it is checked where it is used. */
	int err = req->header.opcode == FUSE_WRITE ? 0 :
		  pt_request(transport.direct.pt, req->buf, req->len);

	if (err)
		refuse(req, err);
	else if (req->header.opcode == FUSE_INIT)
		serve_init(req);
	else if (req->header.opcode == FUSE_DESTROY)
		serve_destroy(req);
	else
		serve_checked(req);
}

/*
 * A READ or WRITE keeps queue_stop() waiting, so it must neither wait for the gate
 * nor end a session: QEMU, which is asked to unmap then, may wait for
 * queue_stop(). A guest that behaves sends none while a session begins or ends.
 */
static bool gate_enter(const struct request *req)
{
	if (req->ticket.busy)
		return !pthread_rwlock_tryrdlock(&transport.gate);
	pthread_rwlock_rdlock(&transport.gate);
	return true;
}

/*
 * False if there was one that @req must not handle. It may have to wait for
 * requests of the old session, for which nothing urgent must be kept waiting.
 */
static bool catch_reset(const struct request *req)
{
	if (!__atomic_load_n(&transport.reset, __ATOMIC_ACQUIRE))
		return true;
	if (req->ticket.busy || request_urgent(req))
		return false;
	pthread_rwlock_wrlock(&transport.gate);
	if (__atomic_exchange_n(&transport.reset, false, __ATOMIC_ACQ_REL)) {
		session_end();
		if (transport.direct.map)
			dax_map_forget(transport.direct.map);
	}
	pthread_rwlock_unlock(&transport.gate);
	return true;
}

void transport_serve(struct request *req)
{
	request_begin(req);
	count_request(req->header.opcode);
	log_trace("guest: request %lu: %s of node %lu, %u bytes",
		  req->header.unique, count_name(req->header.opcode),
		  req->header.nodeid, req->header.len);
	if (!catch_reset(req)) {
		refuse(req, -EBUSY);
		return;
	}
	if (!request_valid(req)) {
		log_warn_once("guest: a malformed request");
		refuse(req, req->ticket.chain.fault ? -EFAULT : -EINVAL);
		return;
	}
	clamp_size(req);
	if (req->header.opcode == FUSE_INIT ||
	    req->header.opcode == FUSE_DESTROY) {
		serve_or_refuse(req);
	} else if (gate_enter(req)) {
		serve_or_refuse(req);
		pthread_rwlock_unlock(&transport.gate);
	} else {
		refuse(req, -EBUSY);
	}
}
