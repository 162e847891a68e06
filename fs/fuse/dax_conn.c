// SPDX-License-Identifier: GPL-2.0
/*
 * Which connections and inodes use DAX, from their making to their end.
 */
#include "dax_i.h"

#include <linux/dax.h>
#include <linux/memory_hotplug.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

/*
 * So many files are looked at together because of what the server has said. Each may
 * wait for the server, and all of them may be concerned at once.
 */
#define FUSE_DAX_NOTICES	16

static unsigned int fuse_dax_max_ranges;
module_param_named(dax_max_ranges, fuse_dax_max_ranges, uint, 0644);
MODULE_PARM_DESC(dax_max_ranges,
		 "Use at most so many 2 MiB ranges of a DAX window (0: all); read at mount");

static bool fuse_dax_dirty_folio(struct address_space *mapping,
				 struct folio *folio)
{
	if (folio_is_zone_device(folio))
		return noop_dirty_folio(mapping, folio);
	return filemap_dirty_folio(mapping, folio);
}

static const struct address_space_operations fuse_dax_aops = {
	/*
	 * No read_folio: who adds a page has to know that it is not mapped.
	 * What is mapped is in the host's page cache already.
	 */
	.writepages	= fuse_dax_cache_writepages,
	.direct_IO	= noop_direct_IO,
	.dirty_folio	= fuse_dax_dirty_folio,
	.migrate_folio	= filemap_migrate_folio,
};

static bool fuse_dax_inode_wanted(struct fuse_conn *fc, unsigned int flags)
{
	if (!fc->dax || READ_ONCE(fc->dax->disabled))
		return false;
	if (fc->dax_mode == FUSE_DAX_ALWAYS)
		return true;
	return (flags & FUSE_ATTR_DAX) && fc->inode_dax;
}

/**
 * fuse_dax_inode_init - choose whether a new inode uses DAX
 * @inode: a regular file that nobody else has seen yet
 * @flags: FUSE_ATTR_* of the server's attributes
 */
void fuse_dax_inode_init(struct inode *inode, unsigned int flags)
{
	if (!fuse_dax_inode_wanted(get_fuse_conn(inode), flags))
		return;

	/* The server has the times */
	inode->i_flags |= S_DAX | S_NOCMTIME;
	inode->i_data.a_ops = &fuse_dax_aops;
}

/**
 * fuse_dax_dontcache - forget an inode soon if the server wants it otherwise
 * @inode: the inode
 * @flags: FUSE_ATTR_* of the server's attributes
 *
 * Whether an inode uses DAX cannot change while it lives.
 */
void fuse_dax_dontcache(struct inode *inode, unsigned int flags)
{
	struct fuse_conn *fc = get_fuse_conn(inode);

	if (!S_ISREG(inode->i_mode) || !fc->dax ||
	    !fuse_is_inode_dax_mode(fc->dax_mode))
		return;
	if (!IS_DAX(inode) != !fuse_dax_inode_wanted(fc, flags))
		d_mark_dontcache(inode);
}

/* Nobody else has the inode, but reclaim may come by way of the window */
static void fuse_dax_inode_hide(struct fuse_dax_inode *di)
{
	struct interval_tree_node *itn;

	down_read(&di->sem);
	for (itn = interval_tree_iter_first(&di->tree, 0, ULONG_MAX); itn;
	     itn = interval_tree_iter_next(itn, 0, ULONG_MAX))
		fuse_dax_window_withdraw(container_of(itn, struct fuse_dax_map,
						      itn));
	up_read(&di->sem);
	wait_var_event(&di->reclaimers, !atomic_read(&di->reclaimers));
}

/**
 * fuse_dax_inode_evict - give back all mappings of an inode
 * @inode: without users and without DAX entries
 *
 * Does not ask the server: memory reclaim may be waiting for this.
 */
void fuse_dax_inode_evict(struct inode *inode)
{
	struct fuse_dax_inode *di = get_fuse_inode(inode)->dax;
	struct fuse_dax_map *map;

	if (!di)
		return;

	fuse_dax_inode_hide(di);
	down_write(&di->sem);
	while ((map = fuse_dax_map_first(di, 0, ULONG_MAX))) {
		interval_tree_remove(&map->itn, &di->tree);
		WRITE_ONCE(map->state, FUSE_DAX_GONE);
		fuse_dax_window_bury(map);
	}
	up_write(&di->sem);
}

/**
 * fuse_dax_inode_free - free the DAX state of an inode
 * @fi: the inode, after fuse_dax_inode_evict() and a grace period
 */
void fuse_dax_inode_free(struct fuse_inode *fi)
{
	kfree(fi->dax);
}

static unsigned int fuse_dax_conn_ranges(struct dax_device *dev)
{
	unsigned int max = READ_ONCE(fuse_dax_max_ranges);
	unsigned long pfn;
	void *kaddr;
	long nr;
	int id;

	id = dax_read_lock();
	nr = dax_direct_access(dev, 0, LONG_MAX, DAX_ACCESS, &kaddr, &pfn);
	dax_read_unlock(id);
	if (nr <= 0)
		return 0;
	nr = min_t(long, nr >> FUSE_DAX_RANGE_PAGE_SHIFT, INT_MAX);
	return max ? min_t(unsigned long, nr, max) : nr;
}

/**
 * fuse_dax_conn_init - set up DAX for a connection that is being made
 * @fc: the connection
 * @mode: of the mount
 * @dev: the memory of the window, or NULL
 * @parent: where the directory of counters goes
 *
 * A rest of the window that is smaller than a range is not used.
 *
 * Return: 0, also without DAX if @mode allows that; or -errno.
 */
int fuse_dax_conn_init(struct fuse_conn *fc, enum fuse_dax_mode mode,
		       struct dax_device *dev, struct kobject *parent)
{
	struct fuse_dax_window *win;
	unsigned int nr;
	int err;

	fc->dax_mode = mode;
	if (!dev || mode == FUSE_DAX_NEVER)
		return 0;

	nr = fuse_dax_conn_ranges(dev);
	if (!nr) {
		pr_warn("DAX window is smaller than a range of %lu bytes\n",
			FUSE_DAX_RANGE_SIZE);
		return mode == FUSE_DAX_ALWAYS ? -EINVAL : 0;
	}

	win = fuse_dax_window_new(dev, nr);
	if (!win)
		return -ENOMEM;
	/* The host may wait, while many look at what it is about to change */
	win->notices = alloc_workqueue("virtiofs_dax", WQ_UNBOUND | WQ_HIGHPRI,
				       FUSE_DAX_NOTICES);
	if (!win->notices) {
		fuse_dax_window_free(win);
		return -ENOMEM;
	}
	win->fc = fc;
	INIT_WORK(&win->remove_work, fuse_dax_reclaim_work);
	INIT_DELAYED_WORK(&win->retry_work, fuse_dax_reclaim_retry_work);
	INIT_WORK(&win->disable_work, fuse_dax_conn_disable_work);
	INIT_WORK(&win->put_work, fuse_dax_req_put_work);
	err = fuse_dax_sysfs_add(win, parent);
	if (err) {
		destroy_workqueue(win->notices);
		fuse_dax_window_free(win);
		return err;
	}
	if (parent)
		fuse_dax_dump_add(win, kobject_name(parent));
	fc->dax = win;
	return 0;
}

/**
 * fuse_dax_conn_needs_pages - whether a window has to have pages to be used
 *
 * Return: true if it is to be given all of them when its device is found; else see
 * fuse_dax_conn_by_pieces().
 */
bool fuse_dax_conn_needs_pages(void)
{
	return !fuse_dax_piece_able();
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_needs_pages);

/**
 * fuse_dax_conn_by_pieces - let the window get its pages as it needs them
 * @fc: the connection, which nobody uses yet
 * @node: of the device, which has given it none
 *
 * Return: 0 or -errno.
 */
int fuse_dax_conn_by_pieces(struct fuse_conn *fc, int node)
{
	unsigned long pfn;
	void *kaddr;
	long nr;
	int id;

	if (!fc->dax)
		return 0;
	id = dax_read_lock();
	nr = dax_direct_access(fc->dax->dev, 0, 1, DAX_ACCESS, &kaddr, &pfn);
	dax_read_unlock(id);
	if (nr <= 0)
		return -ENXIO;
	return fuse_dax_piece_init(fc->dax, pfn, node);
}

/**
 * fuse_dax_conn_alignment_ok - whether the driver can do what the server needs
 * @fc: the connection
 * @alignment: map_alignment of the server, log2 of bytes
 *
 * Return: false if a range is not as aligned as the server wants mappings.
 */
bool fuse_dax_conn_alignment_ok(struct fuse_conn *fc, unsigned int alignment)
{
	if (!fc->dax || alignment <= FUSE_DAX_RANGE_SHIFT)
		return true;
	pr_warn("map_alignment %u of the server is larger than %u\n",
		alignment, FUSE_DAX_RANGE_SHIFT);
	return false;
}

/**
 * fuse_dax_conn_stop - the connection is about to end
 * @fc: the connection, on which no file is open
 *
 * Context: Sleeps until the remove under way is answered.
 */
void fuse_dax_conn_stop(struct fuse_conn *fc)
{
	if (!fc->dax)
		return;
	fuse_dax_window_stop(fc->dax);
	cancel_work_sync(&fc->dax->disable_work);
	cancel_delayed_work_sync(&fc->dax->retry_work);
	cancel_work_sync(&fc->dax->remove_work);
	fuse_dax_piece_stop(fc->dax);
	fuse_dax_sysfs_del(fc->dax);
	fuse_dax_dump_del(fc->dax);
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_stop);

/**
 * fuse_dax_conn_drained - no request is under way any more
 * @fc: the connection, after fuse_dax_conn_stop()
 *
 * Context: Sleeps until no inode is held on behalf of a request.
 */
void fuse_dax_conn_drained(struct fuse_conn *fc)
{
	if (fc->dax)
		flush_work(&fc->dax->put_work);
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_drained);

/**
 * fuse_dax_conn_fit - cut a window to what can be used as memory
 * @start: address of the memory, bytes
 * @len: bytes; rounded down to a range
 *
 * The device is not trusted: a window may be of any size, anywhere. One that does
 * not start with a range is not used: the server counts from its start, and no
 * huge page could be mapped there.
 *
 * Return: false if nothing is left.
 */
bool fuse_dax_conn_fit(u64 start, u64 *len)
{
	u64 end;

	if (check_add_overflow(start, *len, &end) ||
	    !IS_ALIGNED(start, FUSE_DAX_RANGE_SIZE))
		return false;
	*len = round_down(*len, FUSE_DAX_RANGE_SIZE);
	return *len;
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_fit);

/**
 * fuse_dax_conn_reaches - whether the kernel has addresses for a window
 * @start: address of the memory, bytes
 * @len: bytes, at least 1
 *
 * Return: false if it is beyond what the direct map may have.
 */
bool fuse_dax_conn_reaches(u64 start, u64 len)
{
	struct range range = mhp_get_pluggable_range(true);

	return start >= range.start && start + len - 1 <= range.end;
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_reaches);

/**
 * fuse_dax_conn_free - free the window of a connection
 * @fc: the connection, with no inode left
 */
void fuse_dax_conn_free(struct fuse_conn *fc)
{
	if (!fc->dax)
		return;
	fuse_dax_conn_stop(fc);
	fuse_dax_conn_emptied(fc);
	destroy_workqueue(fc->dax->notices);
	fuse_dax_window_free(fc->dax);
	fc->dax = NULL;
}

/**
 * fuse_dax_conn_option - the mount option to be shown
 * @fc: the connection
 *
 * Return: a string that begins with a comma, or is empty.
 */
const char *fuse_dax_conn_option(const struct fuse_conn *fc)
{
	switch (fc->dax_mode) {
	case FUSE_DAX_ALWAYS:
		return ",dax=always";
	case FUSE_DAX_NEVER:
		return ",dax=never";
	case FUSE_DAX_INODE_USER:
		return ",dax=inode";
	default:
		return "";
	}
}

/**
 * fuse_dax_conn_has_mode - compare with what a later mount or remount asks for
 * @fc: the connection
 * @mode: of the options; the default asks for nothing
 *
 * The inodes of a connection are what its mode made them.
 *
 * Return: whether @fc can serve that.
 */
bool fuse_dax_conn_has_mode(const struct fuse_conn *fc, enum fuse_dax_mode mode)
{
	if (mode == FUSE_DAX_INODE_USER)
		return fuse_is_inode_dax_mode(fc->dax_mode);
	return mode == FUSE_DAX_INODE_DEFAULT || mode == fc->dax_mode;
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_has_mode);

/**
 * fuse_dax_conn_init_flags - what to offer the server
 * @fc: the connection
 *
 * Return: flags for FUSE_INIT.
 */
u64 fuse_dax_conn_init_flags(const struct fuse_conn *fc)
{
	u64 flags = 0;

	if (fc->dax)
		flags |= FUSE_MAP_ALIGNMENT | FUSE_MAP_REPLACE | FUSE_MAP_SPLIT;
	if (fuse_is_inode_dax_mode(fc->dax_mode))
		flags |= FUSE_HAS_INODE_DAX;
	return flags;
}

/**
 * fuse_dax_conn_answered - take note of what the server can do
 * @fc: the connection, which nobody uses yet
 * @flags: of the answer to FUSE_INIT
 */
void fuse_dax_conn_answered(struct fuse_conn *fc, u64 flags)
{
	if (!fc->dax)
		return;
	fc->dax->replaces = flags & FUSE_MAP_REPLACE;
	fc->dax->removes_parts = flags & FUSE_MAP_SPLIT;
}
