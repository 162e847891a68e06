/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the rest of fs/fuse may call of the DAX driver.
 */
#ifndef _FS_FUSE_DAX_H
#define _FS_FUSE_DAX_H

#include <linux/fs.h>

struct dax_device;
struct fuse_conn;
struct fuse_dax_inode;
struct fuse_dax_window;
struct fuse_file;
struct fuse_inode;
struct fuse_mount;
struct kobject;

/* Whether data of @inode is reached through the DAX window */
#define FUSE_IS_DAX(inode) (IS_ENABLED(CONFIG_FUSE_DAX) && IS_DAX(inode))

/** enum fuse_dax_mode - the mount option that chooses which files use DAX */
enum fuse_dax_mode {
	/** @FUSE_DAX_INODE_DEFAULT: no option: as "inode", not shown */
	FUSE_DAX_INODE_DEFAULT,
	/** @FUSE_DAX_ALWAYS: "dax" or "dax=always": every regular file */
	FUSE_DAX_ALWAYS,
	/** @FUSE_DAX_NEVER: "dax=never": no file */
	FUSE_DAX_NEVER,
	/** @FUSE_DAX_INODE_USER: "dax=inode": files the server marks */
	FUSE_DAX_INODE_USER,
};

static inline bool fuse_is_inode_dax_mode(enum fuse_dax_mode mode)
{
	return mode == FUSE_DAX_INODE_DEFAULT || mode == FUSE_DAX_INODE_USER;
}

#ifdef CONFIG_FUSE_DAX

ssize_t fuse_dax_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t fuse_dax_write_iter(struct kiocb *iocb, struct iov_iter *from);
int fuse_dax_mmap(struct file *file, struct vm_area_struct *vma);
int fuse_dax_fadvise(struct file *file, loff_t offset, loff_t len, int advice);

void fuse_dax_notified(struct inode *inode, pgoff_t first, pgoff_t last,
		       bool shown);
int fuse_dax_break(struct inode *inode, loff_t start, loff_t end);
void fuse_dax_size_set(struct inode *inode, loff_t size);
void fuse_dax_size_learnt(struct inode *inode, loff_t oldsize, loff_t size);
void fuse_dax_attr_learnt(struct inode *inode, loff_t oldsize,
			  struct timespec64 old_mtime);

void fuse_dax_cache_flush(struct inode *inode, loff_t start, loff_t last);
void fuse_dax_cache_grows(struct inode *inode, loff_t size);
int fuse_dax_cache_invalidate(struct inode *inode, pgoff_t first, pgoff_t last);

int fuse_dax_times_send(struct inode *inode, struct fuse_file *ff);
void fuse_dax_times_flush(struct inode *inode);

void fuse_dax_inode_init(struct inode *inode, unsigned int flags);
void fuse_dax_inode_evict(struct inode *inode);
void fuse_dax_inode_free(struct fuse_inode *fi);
void fuse_dax_dontcache(struct inode *inode, unsigned int flags);

int fuse_dax_conn_init(struct fuse_conn *fc, enum fuse_dax_mode mode,
		       struct dax_device *dev, struct kobject *parent);
int fuse_dax_conn_by_pieces(struct fuse_conn *fc, int node);
bool fuse_dax_conn_needs_pages(void);
bool fuse_dax_conn_alignment_ok(struct fuse_conn *fc, unsigned int alignment);
void fuse_dax_conn_answered(struct fuse_conn *fc, u64 flags);
void fuse_dax_conn_stop(struct fuse_conn *fc);
void fuse_dax_conn_drained(struct fuse_conn *fc);
void fuse_dax_conn_cut(struct fuse_conn *fc);
void fuse_dax_conn_unplug(struct fuse_conn *fc);
void fuse_dax_conn_emptied(struct fuse_conn *fc);
bool fuse_dax_conn_fit(u64 start, u64 *len);
bool fuse_dax_conn_reaches(u64 start, u64 len);
void fuse_dax_conn_free(struct fuse_conn *fc);
const char *fuse_dax_conn_option(const struct fuse_conn *fc);
bool fuse_dax_conn_has_mode(const struct fuse_conn *fc,
			    enum fuse_dax_mode mode);
u64 fuse_dax_conn_init_flags(const struct fuse_conn *fc);

#else /* CONFIG_FUSE_DAX */

static inline ssize_t fuse_dax_read_iter(struct kiocb *iocb,
					 struct iov_iter *to)
{
	return -EIO;
}

static inline ssize_t fuse_dax_write_iter(struct kiocb *iocb,
					  struct iov_iter *from)
{
	return -EIO;
}

static inline int fuse_dax_mmap(struct file *file, struct vm_area_struct *vma)
{
	return -EIO;
}

static inline int fuse_dax_fadvise(struct file *file, loff_t offset, loff_t len,
				   int advice)
{
	return -EOPNOTSUPP;
}

static inline void fuse_dax_notified(struct inode *inode, pgoff_t first,
				     pgoff_t last, bool shown)
{
}

static inline int fuse_dax_break(struct inode *inode, loff_t start, loff_t end)
{
	return 0;
}

static inline void fuse_dax_size_set(struct inode *inode, loff_t size)
{
}

static inline void fuse_dax_size_learnt(struct inode *inode, loff_t oldsize,
					loff_t size)
{
}

static inline void fuse_dax_attr_learnt(struct inode *inode, loff_t oldsize,
					struct timespec64 old_mtime)
{
}

static inline void fuse_dax_cache_flush(struct inode *inode, loff_t start,
					loff_t last)
{
}

static inline void fuse_dax_cache_grows(struct inode *inode, loff_t size)
{
}

static inline int fuse_dax_cache_invalidate(struct inode *inode,
					    pgoff_t first, pgoff_t last)
{
	return 0;
}

static inline int fuse_dax_times_send(struct inode *inode,
				      struct fuse_file *ff)
{
	return 0;
}

static inline void fuse_dax_times_flush(struct inode *inode)
{
}

static inline void fuse_dax_inode_init(struct inode *inode, unsigned int flags)
{
}

static inline void fuse_dax_inode_evict(struct inode *inode)
{
}

static inline void fuse_dax_inode_free(struct fuse_inode *fi)
{
}

static inline void fuse_dax_dontcache(struct inode *inode, unsigned int flags)
{
}

static inline int fuse_dax_conn_init(struct fuse_conn *fc,
				     enum fuse_dax_mode mode,
				     struct dax_device *dev,
				     struct kobject *parent)
{
	return 0;
}

static inline int fuse_dax_conn_by_pieces(struct fuse_conn *fc, int node)
{
	return 0;
}

static inline bool fuse_dax_conn_needs_pages(void)
{
	return true;
}

static inline bool fuse_dax_conn_alignment_ok(struct fuse_conn *fc,
					      unsigned int alignment)
{
	return true;
}

static inline void fuse_dax_conn_answered(struct fuse_conn *fc, u64 flags)
{
}

static inline void fuse_dax_conn_stop(struct fuse_conn *fc)
{
}

static inline void fuse_dax_conn_drained(struct fuse_conn *fc)
{
}

static inline void fuse_dax_conn_cut(struct fuse_conn *fc)
{
}

static inline void fuse_dax_conn_unplug(struct fuse_conn *fc)
{
}

static inline void fuse_dax_conn_emptied(struct fuse_conn *fc)
{
}

static inline bool fuse_dax_conn_fit(u64 start, u64 *len)
{
	return false;
}

static inline bool fuse_dax_conn_reaches(u64 start, u64 len)
{
	return false;
}

static inline void fuse_dax_conn_free(struct fuse_conn *fc)
{
}

static inline const char *fuse_dax_conn_option(const struct fuse_conn *fc)
{
	return "";
}

static inline bool fuse_dax_conn_has_mode(const struct fuse_conn *fc,
					  enum fuse_dax_mode mode)
{
	return mode != FUSE_DAX_ALWAYS;
}

static inline u64 fuse_dax_conn_init_flags(const struct fuse_conn *fc)
{
	return 0;
}

#endif /* CONFIG_FUSE_DAX */

#endif /* _FS_FUSE_DAX_H */
