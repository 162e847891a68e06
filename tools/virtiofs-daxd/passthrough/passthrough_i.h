/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the passthrough_*.c files share. Calls go one way:
 * passthrough -> {dir, dot, file, attr} -> lookup -> {lock, label, cred, request} ->
 * handle -> node -> {fhandle, forgotten, ids, table, xattrmap} -> fd.
 * The files about locks share more: passthrough_lock.h.
 *
 * Locks: pt->locks.mutex before pt->lock; handle->lock before pt->lock. No lock
 * is held across a system call on the share, except handle->lock (one reader of
 * a directory stream) and locks.mutex (attempts at file locks, which do not
 * wait). No reply is sent with a lock held.
 */
#ifndef VIRTIOFS_DAXD_PASSTHROUGH_I_H
#define VIRTIOFS_DAXD_PASSTHROUGH_I_H

#include <pthread.h>
#include <stdio.h>

#include "passthrough/passthrough.h"
#include "passthrough/passthrough_table.h"

struct fhandle;
struct label;
struct lock_owner;
struct lock_waiter;

/* Room for a descriptor as the name it has in /proc/self/fd. */
struct proc_name {
	char s[12];
};

/**
 * struct stamp - what a file's data looked like when the guest last opened it
 */
struct stamp {
	struct timespec mtime;
	struct timespec ctime;
	off_t size;
};

/**
 * struct node - a file of the share that the guest knows
 * @obj: id and references
 * @fd: O_PATH descriptor, which keeps the host from reusing the inode number; or -1
 * @fhandle: or else what names the file, as long as it exists; constant
 * @key: device and inode number; constant
 * @mnt: id of the host mount it was found through; constant
 * @type: S_IFMT bits; constant
 * @submount: a directory that is the root of a mount, below the share's; constant
 * @nlookup: how often the guest was told the id and has not forgotten it;
 *	under pt->lock
 * @hash_next: under pt->lock
 * @hashed: found by its file; else that is gone, or it is dead; under pt->lock
 * @forgotten: in pt->forgotten; under pt->lock, like the next two
 * @older: forgotten before this one
 * @newer: forgotten after it
 * @seen: it is watched, or NULL; constant, but that of the root
 * @stamp: under pt->lock
 * @owners: POSIX lock owners; under pt->locks.mutex; see &pt.node_gone
 */
struct node {
	struct object obj;
	int fd;
	struct fhandle *fhandle;
	struct pt_key key;
	uint64_t mnt;
	mode_t type;
	bool submount;
	uint64_t nlookup;
	struct node *hash_next;
	bool hashed;
	bool forgotten;
	struct node *older;
	struct node *newer;
	struct pt_seen *seen;
	struct stamp stamp;
	struct lock_owner *owners;
};

/**
 * struct handle - an open file or directory of the guest
 * @obj: id and references
 * @fd: real descriptor; constant
 * @node: a reference; constant
 * @lock: protects the following
 * @dirents: raw entries read ahead, allocated at the first use
 * @dir_len: bytes in @dirents
 * @dir_pos: first byte in @dirents not yet handed out
 * @dir_off: cookie of the entry at @dir_pos
 */
struct handle {
	struct object obj;
	int fd;
	struct node *node;
	pthread_mutex_t lock;
	char *dirents;
	size_t dir_len;
	size_t dir_pos;
	off_t dir_off;
};

/**
 * struct lock_table - POSIX and BSD locks of the guest
 * @mutex: protects all, and node->owners
 * @wake: for the thread: something was queued, unlocked or cancelled
 * @idle: for cancellers: the thread has answered what it had taken
 * @thread: tries again for those who wait; started at the first need
 * @started: whether @thread runs
 * @stop: @thread shall end
 * @busy: @thread has taken waiters off the list and is answering them
 * @waiters: first come, first served
 * @nr_waiters: in the list
 * @nr_ranges: of all owners
 * @searches: for deadlocks, so far
 */
struct lock_table {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	pthread_cond_t idle;
	pthread_t thread;
	bool started;
	bool stop;
	bool busy;
	struct lock_waiter *waiters;
	unsigned int nr_waiters;
	unsigned int nr_ranges;
	uint64_t searches;
};

/**
 * struct forgotten - nodes which the guest may ask for by their number
 * @oldest: under pt->lock, as all but @max
 * @latest: the other end
 * @nr: of these
 * @max: how many there may be; constant
 */
struct forgotten {
	struct node *oldest;
	struct node *latest;
	unsigned int nr;
	unsigned int max;
};

/*
 * Some 1 GB here: descriptors have a limit, and these have this one. The host's inodes
 * may leave its memory, unless they are watched, see &pt_options.watch.
 */
#define KNOWN_MAX (1u << 22)

/**
 * struct known - nodes that take memory only, as they have file handles
 * @nr: of these, with those in &pt.forgotten; under pt->lock
 * @max: how many the guest may know at a time; constant
 */
struct known {
	unsigned int nr;
	unsigned int max;
};

/**
 * struct pt - one served share
 * @opts: constant
 * @proc_fd: O_PATH of /proc/self/fd; constant
 * @uid: user the daemon runs as; constant
 * @gid: group the daemon runs as; constant
 * @switch_creds: whether it may act as other users; known from the first FUSE_INIT on
 * @writeback: FUSE_WRITEBACK_CACHE was negotiated; changes at FUSE_INIT only
 * @setxattr_ext: FUSE_SETXATTR_EXT was negotiated; changes at FUSE_INIT only
 * @submounts: mounts are announced; changes at FUSE_INIT only
 * @watches: what the guest gets to know is watched; changes with no request running
 * @exports: the guest may hand out file handles; changes at FUSE_INIT only
 * @no_fhandles: there is no way to open file handles; atomic
 * @nr_dirents: handles with &handle.dirents; atomic
 * @timeout: for entries and attributes that are not watched, in seconds; constant
 * @root: the share; constant
 * @node_gone: called with a node that nobody has any more, before it is freed: it
 *	takes away what others keep with it; constant
 * @lock: protects @nodes, @handles, @hash and @mounts; innermost
 * @nodes: by node id
 * @handles: by file handle
 * @hash: nodes by key
 * @hash_size: a power of two
 * @hash_count: nodes in @hash
 * @mounts: of files that have file handles
 * @known: nodes with file handles
 * @forgotten: nodes with @exports
 * @locks: file locks
 */
struct pt {
	struct pt_options opts;
	int proc_fd;
	uid_t uid;
	gid_t gid;
	bool switch_creds;
	bool writeback;
	bool setxattr_ext;
	bool submounts;
	bool watches;
	bool exports;
	bool no_fhandles;
	unsigned int nr_dirents;
	double timeout;
	struct node *root;
	void (*node_gone)(struct pt *pt, struct node *node);
	pthread_mutex_t lock;
	struct table nodes;
	struct table handles;
	struct node **hash;
	size_t hash_size;
	size_t hash_count;
	struct mount *mounts;
	struct known known;
	struct forgotten forgotten;
	struct lock_table locks;
};

static inline struct pt *req_pt(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Whether nobody else changes what the guest knows of names and attributes. */
static inline bool pt_keeps_names(const struct pt *pt)
{
	return pt->opts.cache == PT_CACHE_ALWAYS ||
	       pt->opts.cache == PT_CACHE_METADATA;
}

/* For what the guest is told of: ten years, s. */
#define PT_UNBOUNDED 315360000.0

/* How long it may be kept what was said of a file, or of a name in a directory. */
static inline double node_timeout(const struct pt *pt, const struct node *node)
{
	return node->seen ? PT_UNBOUNDED : pt->timeout;
}

/* Whether there may be no more nodes with handles. Caller holds pt->lock. */
static inline bool known_full(const struct pt *pt)
{
	return pt->known.nr - pt->forgotten.nr >= pt->known.max;
}

static inline struct proc_name proc_name(int fd)
{
	struct proc_name name;

	snprintf(name.s, sizeof(name.s), "%d", fd);
	return name;
}

/* passthrough_fd.c */

/**
 * fd_spared - whether the guest may keep a descriptor
 * @fd: one that was just opened for it
 *
 * Those that are left then are for what the guest has in its window, and for the
 * VMM: without them a queue could be started that signals nobody.
 *
 * Return: 0 or -EMFILE.
 */
int fd_spared(int fd);

/**
 * fd_spared_by_window - the same for a file of which a part is to be shown
 * @fd: one that was just opened for it
 *
 * These leave half of what others leave: a guest may show very many files.
 *
 * Return: 0 or -EMFILE.
 */
int fd_spared_by_window(int fd);

/**
 * fd_probe_open - whether what is about to be opened may be kept then
 *
 * Return: 0 or -EMFILE.
 */
int fd_probe_open(struct pt *pt);

/**
 * fd_probe - whether what is about to be created can be looked up then
 *
 * Context: takes pt->lock.
 * Return: 0, -EMFILE or -ENFILE.
 */
int fd_probe(struct pt *pt);

/* passthrough_node.c */

/**
 * node_get - the node of an id, with a reference; NULL if there is none
 */
struct node *node_get(struct pt *pt, uint64_t nodeid);

/**
 * node_put - drop a reference; NULL is fine
 */
void node_put(struct pt *pt, struct node *node);

/**
 * node_ref - one more reference on a node the caller has
 */
struct node *node_ref(struct pt *pt, struct node *node);

/**
 * struct place - what statx() says of a file beyond its attributes
 * @mnt: id of the mount, or 0
 * @mount_root: it is the root of that
 */
struct place {
	uint64_t mnt;
	bool mount_root;
};

/**
 * node_of - find or make the node of a file, and count a lookup
 * @fd: O_PATH descriptor; taken over with @fhandle and @seen, also on failure
 *
 * Return: 0 or a negative errno.
 */
int node_of(struct pt *pt, int fd, struct fhandle *fhandle, struct pt_seen *seen,
	    const struct stat *st, const struct place *place,
	    struct node **found);

/**
 * pt_unwatch - what has been about to be known is not; NULL is fine
 * @path: as for &pt_watch.remove
 */
void pt_unwatch(struct pt *pt, struct pt_seen *seen, int path);

/**
 * node_unwatch - the guest is not told of a file any more
 */
void node_unwatch(struct pt *pt, struct node *node);

/**
 * node_forget - the guest forgets @count lookups
 */
void node_forget(struct pt *pt, uint64_t nodeid, uint64_t count);

/**
 * node_reopen - a real descriptor for a node
 * @flags: of open(); symbolic links are refused
 *
 * Return: descriptor or negative errno.
 */
int node_reopen(struct pt *pt, const struct node *node, int flags);

/**
 * node_path - borrow an O_PATH descriptor of a node
 *
 * Return: a descriptor until node_path_put(), or a negative errno.
 */
int node_path(const struct node *node);

/**
 * node_path_put - give back what node_path() has returned, if only an errno
 */
void node_path_put(const struct node *node, int fd);

/**
 * node_stat - stat() of a node
 *
 * Return: 0 or a negative errno.
 */
int node_stat(const struct node *node, struct stat *st);

/**
 * nodes_reset - kill all nodes but the root
 */
void nodes_reset(struct pt *pt);

/**
 * nodes_free - the end
 */
void nodes_free(struct pt *pt);

/* passthrough_lookup.c */

/**
 * node_lookup - find a name in a directory and count a lookup
 * @e: filled for the reply
 *
 * Return: 0 or a negative errno.
 */
int node_lookup(struct pt *pt, struct node *dir, const char *name,
		struct fuse_entry_param *e);

/**
 * node_lookup_fd - the same for a file that is already open
 * @fd: O_PATH descriptor, taken over also on failure
 */
int node_lookup_fd(struct pt *pt, int fd, struct fuse_entry_param *e);

/**
 * nodes_init - make the table and its root
 *
 * Return: 0 or a negative errno.
 */
int nodes_init(struct pt *pt, int root_fd);

/**
 * name_dot - whether a name is "." or ".."
 */
bool name_dot(const char *name);

/**
 * name_valid - whether a name is one component that stays in its directory
 */
bool name_valid(const char *name);

/* passthrough_dot.c */

/**
 * node_lookup_dot - node_lookup() for "." of any file, or ".." of a directory
 *
 * What a guest asks if it has a node by its number only.
 */
int node_lookup_dot(struct pt *pt, struct node *node, const char *name,
		    struct fuse_entry_param *e);

/* passthrough_handle.c */

/**
 * handle_open - make a handle
 * @fd: taken over, also on failure
 *
 * Return: 0 with the id in @fh, or a negative errno.
 */
int handle_open(struct pt *pt, struct node *node, int fd, uint64_t *fh);

/**
 * handle_get - the handle of an id, with a reference
 * @type: S_IFREG or S_IFDIR
 *
 * Return: NULL if there is none of that type.
 */
struct handle *handle_get(struct pt *pt, uint64_t fh, mode_t type);

/**
 * handle_ref - one more reference on a handle the caller has
 */
void handle_ref(struct pt *pt, struct handle *handle);

/**
 * handle_put - drop a reference; NULL is fine
 */
void handle_put(struct pt *pt, struct handle *handle);

/**
 * handle_close - the guest released it; frees it with the last reference
 */
void handle_close(struct pt *pt, struct handle *handle);

/**
 * handle_drop_dirents - free what was read ahead of a directory
 *
 * Context: caller holds handle->lock, or the last reference.
 */
void handle_drop_dirents(struct pt *pt, struct handle *handle);

/**
 * handles_reset - close all
 */
void handles_reset(struct pt *pt);

/* passthrough_cred.c */

/**
 * cred_init - find out whether the daemon may act as other users
 *
 * At FUSE_INIT, so in a thread that serves requests: others may do more.
 */
void cred_init(struct pt *pt);

/**
 * cred_enter - create as the requester from now on (this thread)
 *
 * Return: 0 or a negative errno; cred_leave() only after success.
 */
int cred_enter(struct pt *pt, fuse_req_t req);

/**
 * cred_leave - act as the daemon again; errno is kept
 */
void cred_leave(struct pt *pt, fuse_req_t req);

/**
 * cred_private_fs - give the calling thread its own umask and directory
 *
 * The working directory becomes /proc/self/fd, so that what has no system call
 * with a directory descriptor can name a file by its descriptor.
 *
 * Return: 0 or a negative errno.
 */
int cred_private_fs(struct pt *pt);

/**
 * cred_owner - who somebody of the guest is here; -1 is nobody, and stays that
 *
 * Return: 0 or a negative errno.
 */
int cred_owner(const struct pt *pt, uid_t *uid, gid_t *gid);

/**
 * cred_seen - have attributes say who the owner is in the guest
 */
void cred_seen(const struct pt *pt, struct stat *st);

/* passthrough_request.c */

/**
 * request_kill_suidgid - whether the request at hand asks to clear set-id bits
 */
bool request_kill_suidgid(void);

/**
 * request_acl_kill_sgid - whether a SETXATTR at hand asks to clear S_ISGID
 */
bool request_acl_kill_sgid(void);

/**
 * request_label - the security label that came with the request at hand
 */
const struct label *request_label(void);

/* passthrough_lock.c and passthrough_wait.c */

/**
 * locks_init - prepare; no thread yet
 */
void locks_init(struct pt *pt);

/**
 * locks_flush - a close() by @owner: its POSIX locks on the node go
 */
void locks_flush(struct pt *pt, struct node *node, uint64_t owner);

/**
 * locks_release - a handle goes: who waits by it is answered, locks made by it
 * and not dropped before (open file description locks) go
 */
void locks_release(struct pt *pt, struct handle *handle);

/**
 * locks_reset - answer all who wait, drop all locks
 */
void locks_reset(struct pt *pt);

/**
 * locks_node_gone - drop what a node has; for &pt.node_gone
 *
 * Context: takes locks.mutex. Nobody waits, as a waiter has a handle and that a
 * reference on the node.
 */
void locks_node_gone(struct pt *pt, struct node *node);

/**
 * locks_free - end the thread; after locks_reset()
 */
void locks_free(struct pt *pt);

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      int op);

/* passthrough_dir.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
	     const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned int flags);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi);

/* passthrough_attr.c */
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* passthrough_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi);
void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
		  off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		  off_t length, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags);

#endif
