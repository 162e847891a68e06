/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File operations of the shared directory, as low-level operations of libfuse.
 *
 * Node ids and file handles are chosen by the guest's requests, so both are
 * checked indices of tables (slot number and generation), never pointers.
 * All functions are thread safe unless they say otherwise.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_H
#define VIRTIOFS_DAXD_PASSTHROUGH_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <fuse_lowlevel.h>

#include "passthrough/passthrough_ids.h"
#include "passthrough/passthrough_xattrmap.h"

struct pt;

/* The most that one READ or WRITE may carry; INIT tells the guest. */
#define PT_IO_MAX (1u << 20)

/**
 * enum pt_cache - how long the guest may keep what it was told
 * @PT_CACHE_AUTO: names and attributes for a second, data while unchanged
 * @PT_CACHE_ALWAYS: for a day: nobody else changes the directory
 * @PT_CACHE_METADATA: names and attributes for a day; data as with the next
 * @PT_CACHE_NEVER: not at all; data of files without DAX is not cached
 * @PT_CACHE_COHERENT: as with the first; but for as long as it likes what is watched,
 *	see pt_watch()
 */
enum pt_cache {
	PT_CACHE_AUTO,
	PT_CACHE_ALWAYS,
	PT_CACHE_METADATA,
	PT_CACHE_NEVER,
	PT_CACHE_COHERENT,
};

struct pt_seen;

/**
 * struct pt_watch - who tells the guest what others change
 * @add: a file is about to be looked at, for the guest. It is told from now on what
 *	changes. Returns what stands for that, or NULL if it cannot be watched
 * @known: the guest is about to know it as this node
 * @remove: as often as @add returned it; @path is a descriptor of the file, or an errno
 */
struct pt_watch {
	struct pt_seen *(*add)(int proc_fd, int path);
	void (*known)(struct pt_seen *seen, uint64_t nodeid);
	void (*remove)(struct pt_seen *seen, int proc_fd, int path);
};

/**
 * enum pt_handles - by what the files that the guest knows are held
 * @PT_HANDLES_NEVER: a descriptor each
 * @PT_HANDLES_PREFER: a file handle, where there are any
 * @PT_HANDLES_MANDATORY: a file handle; a file that has none is refused
 */
enum pt_handles {
	PT_HANDLES_NEVER,
	PT_HANDLES_PREFER,
	PT_HANDLES_MANDATORY,
};

/**
 * struct pt_options - what the file operations are told once
 * @shared_dir: name of the directory for messages only
 * @root_fd: O_PATH descriptor of the share; pt_new() takes a copy
 * @proc_fd: O_PATH descriptor of /proc/self/fd (isolation_proc_fd()), of which
 *	pt_new() takes a copy; -1: pt_new() opens it
 * @cache: see enum pt_cache
 * @watch: see pt_watch(), or NULL
 * @file_handles: see enum pt_handles
 * @submounts: let the guest tell the host's mounts from each other
 * @readonly: refuse every change with EROFS
 * @xattr: serve extended attributes
 * @xattrmap: what they are called here; its rules belong to the caller, and stay
 * @security_label: give what is made the label that the guest sends; needs @xattr
 * @posix_acl: let the guest check and inherit POSIX ACLs; needs @xattr
 * @writeback: let the guest collect writes (single user of the share only)
 * @killpriv_v2: offer FUSE_HANDLE_KILLPRIV_V2: saves a GETXATTR before each
 *	write, but a guest driver that then writes through memory must itself
 *	see to the set-id bits (the in-tree one of 7.3 does not, so off is safe)
 * @local_posix_locks: leave POSIX locks to the guest's kernel: they have no effect
 *	here
 * @local_flock: the same for BSD locks
 * @allow_mmap: files may be mapped shared though their data is not cached
 * @allow_direct_io: O_DIRECT of the guest is O_DIRECT here
 * @preserve_noatime: O_NOATIME of the guest is O_NOATIME here, which only owners of
 *	a file may ask for
 * @no_readdirplus: offer no READDIRPLUS
 * @uids: users of the guest; its ranges belong to the caller, and stay
 * @gids: groups likewise; neither with @posix_acl, as ACLs are not translated
 * @dax_attr_min: smallest size of a regular file which gets FUSE_ATTR_DAX;
 *	0 all, UINT64_MAX none
 */
struct pt_options {
	const char *shared_dir;
	int root_fd;
	int proc_fd;
	enum pt_cache cache;
	const struct pt_watch *watch;
	enum pt_handles file_handles;
	bool submounts;
	bool readonly;
	bool xattr;
	struct xattrmap xattrmap;
	bool security_label;
	bool posix_acl;
	bool writeback;
	bool killpriv_v2;
	bool local_posix_locks;
	bool local_flock;
	bool allow_mmap;
	bool allow_direct_io;
	bool preserve_noatime;
	bool no_readdirplus;
	struct ids uids;
	struct ids gids;
	uint64_t dax_attr_min;
};

/**
 * struct pt_key - what a file is on the host
 */
struct pt_key {
	dev_t dev;
	ino_t ino;
};

/**
 * pt_new - open the share
 * @opts: copied
 *
 * Return: the object, or NULL with errno set.
 */
struct pt *pt_new(const struct pt_options *opts);

/**
 * pt_free - end of service; no request may be running
 */
void pt_free(struct pt *pt);

/**
 * pt_ops - the operations; the user data of the libfuse session is the struct pt
 *
 * Each replies from the calling thread, but for blocking locks, which are
 * answered from a thread of their own.
 */
const struct fuse_lowlevel_ops *pt_ops(void);

/**
 * pt_reset - forget all nodes but the root, all handles and all locks
 *
 * On FUSE_INIT, FUSE_DESTROY and device reset. Blocking locks that wait are
 * answered with EINTR before this returns. Requests that run meanwhile keep what
 * they hold; the handles die with their last user.
 */
void pt_reset(struct pt *pt);

/**
 * pt_request - check a request before libfuse sees it
 * @buf: the whole request, contiguous, from its struct fuse_in_header
 * @len: its length
 *
 * libfuse trusts the lengths in a request and the NUL that ends a name, and it
 * does not hand on FUSE_OPEN_KILL_SUIDGID, FATTR_KILL_SUIDGID and the flags of
 * SETXATTR. So this refuses what is too short, unterminated, or asks for an
 * absurd amount of memory, and keeps those flags for the operation which the
 * calling thread runs next. To be called before each
 * fuse_session_process_buf(), by the same thread.
 *
 * Lengths of what libfuse does not know (SETUPMAPPING, SYNCFS, STATX) are checked
 * too. Any other opcode without an operation here is -ENOSYS.
 *
 * Return: 0, or a negative errno to answer instead of calling libfuse (FORGET
 * and BATCH_FORGET have no answer).
 */
int pt_request(struct pt *pt, const void *buf, size_t len);

/**
 * pt_file_fd - borrow the descriptor of an open regular file
 * @fh: handle as in the guest's request
 *
 * For READ and WRITE that are served without libfuse.
 *
 * Return: a descriptor, valid until pt_file_put(); or -EBADF.
 */
int pt_file_fd(struct pt *pt, uint64_t fh);

/**
 * pt_file_put - give back what pt_file_fd() lent; not after its failure
 */
void pt_file_put(struct pt *pt, uint64_t fh);

/**
 * pt_file_buffered - a descriptor without O_DIRECT of the same file
 * @fd: from pt_file_fd()
 *
 * Return: a descriptor the caller closes; -EINVAL if @fd has no O_DIRECT; or another
 * negative errno.
 */
int pt_file_buffered(struct pt *pt, int fd);

/**
 * pt_file_key - which host file a handle of a regular file is open on
 *
 * Return: 0 or -EBADF.
 */
int pt_file_key(struct pt *pt, uint64_t fh, struct pt_key *key);

/**
 * pt_node_open - a new descriptor of a regular file
 * @flags: O_RDONLY or O_RDWR
 *
 * Return: a descriptor the caller closes; -ENOENT for an unknown node, -EINVAL
 * if it is no regular file, -EROFS, -EMFILE if too few would be left, or what
 * open() says.
 */
int pt_node_open(struct pt *pt, uint64_t nodeid, int flags);

/**
 * pt_node_key - which host file a node is
 *
 * Return: 0 or -ENOENT.
 */
int pt_node_key(struct pt *pt, uint64_t nodeid, struct pt_key *key);

/**
 * pt_node_dax - whether attributes of a file carry FUSE_ATTR_DAX
 */
bool pt_node_dax(struct pt *pt, const struct stat *st);

/**
 * pt_submounts - at FUSE_INIT: whether mounts of the host are announced
 * @can: the guest knows of that
 */
bool pt_submounts(struct pt *pt, bool can);

/**
 * pt_watch - whether the guest learns what others change, before it takes answers
 * @on: from now on; no request may be running, and the guest knows the root only
 *
 * Return: whether it may keep what it is told.
 */
bool pt_watch(struct pt *pt, bool on);

/**
 * pt_labels - whether the guest shall send security labels
 */
bool pt_labels(const struct pt *pt);

/**
 * pt_node_submount - whether a directory is announced as the root of a mount
 */
bool pt_node_submount(struct pt *pt, uint64_t nodeid);

/**
 * pt_syncfs - FUSE_SYNCFS, which libfuse 3.17 does not know
 *
 * Return: 0 or a negative errno.
 */
int pt_syncfs(struct pt *pt, uint64_t nodeid);

/**
 * pt_statx - FUSE_STATX, which libfuse 3.17 does not know
 * @fh: open handle to ask, or UINT64_MAX to ask the node
 * @flags: AT_STATX_* bits of the request
 * @mask: STATX_* bits of the request
 * @stx: struct statx of the host
 * @timeout: how long the guest may keep it, in seconds
 *
 * Return: 0 or a negative errno.
 */
struct statx;
int pt_statx(struct pt *pt, uint64_t nodeid, uint64_t fh, unsigned int flags,
	     unsigned int mask, struct statx *stx, double *timeout);

/**
 * pt_write - pwritev() as a FUSE_WRITE means it
 * @fd: from pt_file_fd()
 * @flags: fuse_write_in.flags: the open flags of the guest's file now
 * @write_flags: fuse_write_in.write_flags
 *
 * O_APPEND is taken from each request, never from the descriptor, as the guest
 * may change it on an open file; without it a file that may only be appended to
 * is not written to (EPERM). What the guest had cached (FUSE_WRITE_CACHE) has its
 * place. FUSE_WRITE_KILL_SUIDGID clears set-id bits.
 *
 * Return: bytes written (may be fewer), or a negative errno.
 */
ssize_t pt_write(int fd, const struct iovec *iov, int iovcnt, off_t off,
		 uint32_t flags, uint32_t write_flags);

/**
 * pt_write_flags - the open flags by which a write of the guest is done
 * @flags: fuse_write_in.flags
 *
 * A guest that writes back knows where the end of its files is, which may be further
 * than here: what it appends has its place.
 */
uint32_t pt_write_flags(const struct pt *pt, uint32_t flags);

/**
 * pt_drop_fsetid - write as a user who may not keep set-id bits
 *
 * Takes CAP_FSETID from the calling thread, so that the host's write or
 * truncate clears S_ISUID, S_ISGID and file capabilities. pt_write() does it
 * by itself.
 *
 * Return: whether pt_regain_fsetid() is needed.
 */
bool pt_drop_fsetid(void);

/**
 * pt_regain_fsetid - after pt_drop_fsetid() returned true
 */
void pt_regain_fsetid(void);

#endif
