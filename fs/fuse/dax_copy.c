// SPDX-License-Identifier: GPL-2.0
/*
 * Small files that are read, and not mapped.
 *
 * One request brings all of a small file, as a setup would, and takes neither a
 * range nor one of the mappings that the host can hold. What it brought is kept
 * as the file's *copy*: the pieces of the file are read from it, and so is the
 * file when it is read again, until memory is short.
 *
 * A copy is good for as long as pages of the page cache would be without DAX:
 * until this guest changes or maps the file, the server says that it changed, or
 * its attributes do. A file that changed a moment before it was fetched may
 * change again with no difference in its times, so its copy ends with the next
 * answer about its attributes.
 */
#include "dax_i.h"

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/vmstat.h>

/* Largest file that is copied, bytes */
#define FUSE_DAX_COPY_MAX	SZ_64K

/* One part in so many of memory may be copies */
#define FUSE_DAX_COPY_SHARE	8

/* The times of a file tell two changes apart if so many seconds are between */
#define FUSE_DAX_COPY_SETTLED	2

/**
 * struct fuse_dax_copy - a small file in memory of the guest
 * @list: on &fuse_dax_copies.lru while it is the copy of @di
 * @di: DAX state of the file. Constant
 * @rcu: the memory of this is found without a reference
 * @ref: one for @di, one for each reader
 * @epoch: &fuse_dax_inode.epoch before the request was sent
 * @attr_version: of the inode then
 * @mtime: of the file then
 * @ctime: of the file then
 * @settled: these tell of any later change
 * @referenced: read from since memory was last needed. Racy hint
 * @len: of the file then, bytes
 * @data: the file
 */
struct fuse_dax_copy {
	struct list_head list;
	struct fuse_dax_inode *di;
	struct rcu_head rcu;
	refcount_t ref;
	unsigned long epoch;
	u64 attr_version;
	struct timespec64 mtime;
	struct timespec64 ctime;
	bool settled;
	bool referenced;
	size_t len;
	void *data;
};

static long fuse_dax_copy_pages(const struct fuse_dax_copy *copy)
{
	return PFN_UP(copy->len);
}

/* For MemAvailable of /proc/meminfo */
static void fuse_dax_copy_account(const struct fuse_dax_copy *copy, long pages)
{
	mod_node_page_state(page_pgdat(virt_to_page(copy->data)),
			    NR_KERNEL_MISC_RECLAIMABLE, pages);
}

static void fuse_dax_copy_put(struct fuse_dax_copy *copy)
{
	if (!refcount_dec_and_test(&copy->ref))
		return;
	fuse_dax_copy_account(copy, -fuse_dax_copy_pages(copy));
	free_pages_exact(copy->data, copy->len);
	kfree_rcu(copy, rcu);
}

/* Takes a copy from its inode; the inode's reference is the caller's then */
static void fuse_dax_copy_detach(struct fuse_dax_copies *copies,
				 struct fuse_dax_copy *copy)
{
	lockdep_assert_held(&copies->lock);
	rcu_assign_pointer(copy->di->copy, NULL);
	list_del_init(&copy->list);
	copies->pages -= fuse_dax_copy_pages(copy);
}

/**
 * fuse_dax_copy_end - the copy of a file is not good any more
 * @win: the window
 * @di: DAX state of the file
 *
 * One that is being made will not be kept either.
 *
 * Context: Takes &fuse_dax_copies.lock.
 */
void fuse_dax_copy_end(struct fuse_dax_window *win, struct fuse_dax_inode *di)
{
	struct fuse_dax_copies *copies = &win->copies;
	struct fuse_dax_copy *copy;

	spin_lock(&copies->lock);
	di->epoch++;
	copy = rcu_dereference_protected(di->copy,
					 lockdep_is_held(&copies->lock));
	if (copy)
		fuse_dax_copy_detach(copies, copy);
	spin_unlock(&copies->lock);
	if (copy)
		fuse_dax_copy_put(copy);
}

/**
 * fuse_dax_data_outdated - what a file has is or may be no longer what it had
 * @inode: the file
 *
 * Context: Takes &fuse_dax_copies.lock.
 */
void fuse_dax_data_outdated(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (di)
		fuse_dax_copy_end(fuse_dax_window_of(inode), di);
}

/**
 * fuse_dax_copy_written - a file is going to be written to
 * @inode: the file
 *
 * Context: i_rwsem held for write, so that nobody is fetching the file. Takes
 * &fuse_dax_copies.lock if there is a copy: a lock that all files share, and
 * which a write should not need.
 */
void fuse_dax_copy_written(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	lockdep_assert_held_write(&inode->i_rwsem);
	if (di && rcu_access_pointer(di->copy))
		fuse_dax_copy_end(fuse_dax_window_of(inode), di);
}

/* The copy that has waited longest, of those not read since; or NULL */
static struct fuse_dax_copy *fuse_dax_copies_pop(struct fuse_dax_copies *copies)
{
	struct fuse_dax_copy *copy, *next;

	guard(spinlock)(&copies->lock);
	list_for_each_entry_safe(copy, next, &copies->lru, list) {
		if (READ_ONCE(copy->referenced) &&
		    !list_is_last(&copy->list, &copies->lru)) {
			WRITE_ONCE(copy->referenced, false);
			list_move_tail(&copy->list, &copies->lru);
			continue;
		}
		fuse_dax_copy_detach(copies, copy);
		return copy;
	}
	return NULL;
}

/* Drops copies of so many pages; how many it were */
static unsigned long fuse_dax_copies_drop(struct fuse_dax_copies *copies,
					  unsigned long pages)
{
	struct fuse_dax_copy *copy;
	unsigned long dropped = 0;

	while (dropped < pages && (copy = fuse_dax_copies_pop(copies))) {
		dropped += fuse_dax_copy_pages(copy);
		fuse_dax_copy_put(copy);
	}
	return dropped;
}

static unsigned long fuse_dax_copies_count(struct shrinker *shrinker,
					   struct shrink_control *sc)
{
	struct fuse_dax_copies *copies = shrinker->private_data;

	return READ_ONCE(copies->pages);
}

static unsigned long fuse_dax_copies_scan(struct shrinker *shrinker,
					  struct shrink_control *sc)
{
	return fuse_dax_copies_drop(shrinker->private_data, sc->nr_to_scan);
}

/**
 * fuse_dax_copies_init - allow for copies, and have them dropped in time
 * @copies: of a new window
 *
 * Return: 0 or -ENOMEM.
 */
int fuse_dax_copies_init(struct fuse_dax_copies *copies)
{
	struct shrinker *shrinker;

	shrinker = shrinker_alloc(0, "fuse-dax-copies");
	if (!shrinker)
		return -ENOMEM;
	copies->max = totalram_pages() / FUSE_DAX_COPY_SHARE;
	copies->shrinker = shrinker;
	shrinker->count_objects = fuse_dax_copies_count;
	shrinker->scan_objects = fuse_dax_copies_scan;
	shrinker->private_data = copies;
	shrinker_register(shrinker);
	return 0;
}

/**
 * fuse_dax_copies_exit - the window goes
 * @copies: its copies; their inodes have gone
 */
void fuse_dax_copies_exit(struct fuse_dax_copies *copies)
{
	shrinker_free(copies->shrinker);
	WARN_ON_ONCE(!list_empty(&copies->lru));
}

/* The copy of a file, with a reference; or NULL */
static struct fuse_dax_copy *fuse_dax_copy_get(struct fuse_dax_inode *di)
{
	struct fuse_dax_copy *copy;

	guard(rcu)();
	copy = rcu_dereference(di->copy);
	return copy && refcount_inc_not_zero(&copy->ref) ? copy : NULL;
}

/* Whether the attributes that the guest has may be relied upon */
static bool fuse_dax_attr_fresh(struct fuse_inode *fi)
{
	return !(READ_ONCE(fi->inval_mask) & FUSE_STATX_MODSIZE) &&
	       time_before64(get_jiffies_64(), READ_ONCE(fi->i_time));
}

/* Whether the file is still, as far as the guest knows, what was fetched */
static bool fuse_dax_copy_valid(struct inode *inode,
				const struct fuse_dax_copy *copy)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);

	return fuse_dax_attr_fresh(fi) && i_size_read(inode) == copy->len &&
	       timespec64_equal(&mtime, &copy->mtime) &&
	       timespec64_equal(&ctime, &copy->ctime) &&
	       (copy->settled ||
		READ_ONCE(fi->attr_version) == copy->attr_version);
}

/**
 * fuse_dax_cache_allowed - whether a read may be served from memory of the guest
 * @iocb: where
 *
 * Return: false if it is to bypass caches.
 */
bool fuse_dax_cache_allowed(const struct kiocb *iocb)
{
	const struct fuse_file *ff = iocb->ki_filp->private_data;

	return !(iocb->ki_flags & IOCB_DIRECT) &&
	       !(ff->open_flags & FOPEN_DIRECT_IO);
}

/**
 * fuse_dax_copy_read - serve a read from the copy of the file
 * @iocb: where; its position advances
 * @to: the caller's buffer; advances
 *
 * Context: i_rwsem held. Takes &fuse_dax_copies.lock, and page faults.
 * Return: bytes served, 0 if there is no copy that will do, or -EFAULT.
 */
ssize_t fuse_dax_copy_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_dax_window *win = fuse_dax_window_of(inode);
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_copy *copy;
	ssize_t res = 0;

	copy = di && fuse_dax_cache_allowed(iocb) ? fuse_dax_copy_get(di) : NULL;
	if (!copy)
		return 0;
	if (!fuse_dax_copy_valid(inode, copy)) {
		fuse_dax_copy_end(win, di);
	} else if (iocb->ki_pos < copy->len && !READ_ONCE(win->stopped)) {
		WRITE_ONCE(copy->referenced, true);
		res = copy_to_iter(copy->data + iocb->ki_pos,
				   copy->len - iocb->ki_pos, to) ?: -EFAULT;
	}
	fuse_dax_copy_put(copy);
	if (res > 0)
		iocb->ki_pos += res;
	return res;
}

/**
 * fuse_dax_copy_begins - whether a read is the first of a small file
 * @iocb: where
 * @to: the caller's buffer
 *
 * A read of a small part of the file which is less than a page is more likely a
 * look at a header, by somebody who will map the file if he likes it.
 *
 * Return: whether fuse_dax_copy_make() is worth a try.
 */
bool fuse_dax_copy_begins(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t size = i_size_read(inode);
	size_t len = iov_iter_count(to);

	return !iocb->ki_pos && size <= FUSE_DAX_COPY_MAX &&
	       (len >= PAGE_SIZE || len > size / 8) &&
	       fuse_dax_cache_allowed(iocb);
}

/*
 * Asks for the attributes, if that makes them fresh: those that a write here has
 * changed. Whether they are.
 */
static bool fuse_dax_attr_refresh(struct kiocb *iocb)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_inode *fi = get_fuse_inode(inode);

	if (time_before64(get_jiffies_64(), READ_ONCE(fi->i_time)) &&
	    fuse_update_attributes(inode, iocb->ki_filp, FUSE_STATX_MODSIZE))
		return false;
	return fuse_dax_attr_fresh(fi);
}

/* Memory for a copy of @len bytes; NULL: none to spare */
static struct fuse_dax_copy *fuse_dax_copy_alloc(size_t len)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;
	struct fuse_dax_copy *copy = kzalloc_obj(*copy);

	if (!copy)
		return NULL;
	copy->data = alloc_pages_exact(len, gfp);
	if (!copy->data) {
		kfree(copy);
		return NULL;
	}
	INIT_LIST_HEAD(&copy->list);
	refcount_set(&copy->ref, 1);
	copy->len = len;
	fuse_dax_copy_account(copy, fuse_dax_copy_pages(copy));
	return copy;
}

/* What the file is known to be before it is fetched */
static void fuse_dax_copy_describe(struct fuse_dax_copy *copy,
				   struct inode *inode)
{
	copy->attr_version = READ_ONCE(get_fuse_inode(inode)->attr_version);
	copy->mtime = inode_get_mtime(inode);
	copy->ctime = inode_get_ctime(inode);
	copy->settled = ktime_get_real_seconds() - FUSE_DAX_COPY_SETTLED >
			max(copy->mtime.tv_sec, copy->ctime.tv_sec);
}

/* A copy of a file that is not mapped, its data still to be fetched; or NULL */
static struct fuse_dax_copy *fuse_dax_copy_new(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	loff_t size = i_size_read(inode);
	struct fuse_dax_copy *copy;

	/* The caller has checked, but a file may change at any time */
	if (!di || !size || size > FUSE_DAX_COPY_MAX)
		return NULL;
	copy = fuse_dax_copy_alloc(size);
	if (!copy)
		return NULL;
	copy->di = di;
	fuse_dax_copy_describe(copy, inode);

	scoped_guard(rwsem_read, &di->sem) {
		copy->epoch = READ_ONCE(di->epoch);
		/* Pages of the page cache can be stored to as well */
		if (!di->cached && !fuse_dax_map_first(di, 0, ULONG_MAX))
			return copy;
	}
	fuse_dax_copy_put(copy);
	return NULL;
}

/* Keeps a copy, unless the file may have changed since it was begun */
static void fuse_dax_copy_keep(struct fuse_dax_window *win,
			       struct fuse_dax_copy *copy)
{
	struct fuse_dax_copies *copies = &win->copies;
	struct fuse_dax_inode *di = copy->di;
	long over;

	spin_lock(&copies->lock);
	if (copy->epoch == di->epoch && !rcu_access_pointer(di->copy)) {
		refcount_inc(&copy->ref);
		rcu_assign_pointer(di->copy, copy);
		list_add_tail(&copy->list, &copies->lru);
		copies->pages += fuse_dax_copy_pages(copy);
	}
	over = copies->pages - copies->max;
	spin_unlock(&copies->lock);
	if (over > 0)
		fuse_dax_copies_drop(copies, over);
}

/* Fetches the first @len bytes of the file; bytes, or -errno */
VISIBLE_IF_KUNIT
ssize_t fuse_dax_copy_fetch(struct kiocb *iocb, void *data, size_t len)
{
	struct fuse_io_priv io = FUSE_IO_PRIV_SYNC(iocb);
	struct kvec kvec = { data, len };
	struct iov_iter iter;
	loff_t pos = 0;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_copy_fetch, iocb, data, len);
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, len);
	return fuse_direct_io(&io, &iter, &pos, 0);
}

/**
 * fuse_dax_copy_make - read a small file by one request, and keep what it brings
 * @iocb: where: 0; its position does not advance
 * @to: the caller's buffer; advances
 *
 * Context: i_rwsem held, no reference to a mapping. Takes &fuse_dax_inode.sem
 * and &fuse_dax_copies.lock, and page faults.
 * Return: bytes served, 0 at the end of the file, or -errno; -ENOMEM if it has
 * to be done without a copy.
 */
ssize_t fuse_dax_copy_make(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_dax_copy *copy;
	ssize_t res;

	if (!fuse_dax_attr_refresh(iocb))
		return -ENOMEM;
	copy = fuse_dax_copy_new(inode);
	if (!copy)
		return -ENOMEM;
	res = fuse_dax_copy_fetch(iocb, copy->data, copy->len);
	/* A file that is shorter than it was is another one by now */
	if (res == copy->len)
		fuse_dax_copy_keep(fuse_dax_window_of(inode), copy);
	if (res > 0)
		res = copy_to_iter(copy->data, res, to) ?: -EFAULT;
	fuse_dax_copy_put(copy);
	return res;
}
