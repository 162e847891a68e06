// SPDX-License-Identifier: GPL-2.0
/*
 * Ending the use of memory for all files of a connection: because the server does
 * not map any, or because the memory is about to go.
 */
#include "dax_i.h"

#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

/* More than a copy takes, as a rule; what takes longer fails when it ends */
#define FUSE_DAX_COPY_TIME	(HZ / 2)

/* For a reference that may be the last: who evicts may have to ask the server */
static void fuse_dax_inode_put(struct inode *inode)
{
	if (!inode)
		return;
	/* Without memory there is nothing that the server would be told */
	if (READ_ONCE(get_fuse_inode(inode)->dax))
		fuse_dax_req_put(inode);
	else
		iput(inode);
}

static bool fuse_dax_sb_each(struct super_block *sb,
			     bool (*fn)(struct inode *inode))
{
	struct inode *inode, *prev = NULL;
	bool all = true;

	/* Else @sb may go */
	lockdep_assert_held(&get_fuse_conn_super(sb)->killsb);
	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if (!IS_DAX(inode) || !igrab(inode))
			continue;
		spin_unlock(&sb->s_inode_list_lock);
		/* Not earlier: it holds our place in the list */
		fuse_dax_inode_put(prev);
		prev = inode;
		all &= fn(inode);
		cond_resched();
		spin_lock(&sb->s_inode_list_lock);
	}
	spin_unlock(&sb->s_inode_list_lock);
	fuse_dax_inode_put(prev);
	return all;
}

/* Calls @fn for all DAX inodes; whether it was true for all */
static bool fuse_dax_conn_each(struct fuse_conn *fc,
			       bool (*fn)(struct inode *inode))
{
	struct fuse_mount *fm;
	bool all = true;

	down_read(&fc->killsb);
	list_for_each_entry(fm, &fc->mounts, fc_entry)
		if (fm->sb)
			all &= fuse_dax_sb_each(fm->sb, fn);
	up_read(&fc->killsb);
	return all;
}

/* An ordinary file when it is looked up again, which is soon */
static bool fuse_dax_inode_forget(struct inode *inode)
{
	d_mark_dontcache(inode);
	d_prune_aliases(inode);
	return true;
}

/**
 * fuse_dax_conn_disable_work - drop the inodes of a connection from the caches
 * @work: &fuse_dax_window.disable_work
 */
void fuse_dax_conn_disable_work(struct work_struct *work)
{
	struct fuse_dax_window *win = container_of(work, typeof(*win),
						   disable_work);

	fuse_dax_conn_each(win->fc, fuse_dax_inode_forget);
}

/* Whether nobody uses a mapping of the inode. None can be found any more */
VISIBLE_IF_KUNIT
bool fuse_dax_inode_idle(struct fuse_dax_inode *di)
{
	struct interval_tree_node *itn;
	struct fuse_dax_map *map;

	/* For write: who looks a mapping up after this sees that it is over */
	guard(rwsem_write)(&di->sem);
	for (itn = interval_tree_iter_first(&di->tree, 0, ULONG_MAX); itn;
	     itn = interval_tree_iter_next(itn, 0, ULONG_MAX)) {
		map = container_of(itn, struct fuse_dax_map, itn);
		if (map->state == FUSE_DAX_LIVE && refcount_read(&map->ref) > 1)
			return false;
	}
	return true;
}

static bool fuse_dax_inode_quiet(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	return !di || fuse_dax_inode_idle(di);
}

static bool fuse_dax_inode_zap(struct inode *inode)
{
	unmap_mapping_range(inode->i_mapping, 0, 0, 0);
	return true;
}

/* Deletes the entries of a file; false if its pages are pinned or being copied */
static bool fuse_dax_inode_unplug(struct inode *inode)
{
	int err;

	filemap_invalidate_lock(inode->i_mapping);
	err = dax_break_layout(inode, 0, LLONG_MAX, NULL);
	/* There is nobody left to write them to */
	if (!err)
		truncate_inode_pages(inode->i_mapping, 0);
	filemap_invalidate_unlock(inode->i_mapping);
	return !err && fuse_dax_inode_quiet(inode);
}

/**
 * fuse_dax_conn_cut - end all use of the window: what it shows is about to go
 * @fc: the connection
 *
 * From here on page faults get SIGBUS, reads and writes -ENOTCONN. All that is
 * mapped is zapped after those who copy have ended. That is soon, as a copy takes
 * no page faults. A fault may hold its mapping for longer, if it waits for the
 * invalidate_lock of somebody who waits for the server: it will look again and see
 * that it is over, so it need not be waited for.
 *
 * Context: Takes &fuse_conn.killsb. Does not wait for the server, nor for a lock
 * that is held by somebody who does.
 */
void fuse_dax_conn_cut(struct fuse_conn *fc)
{
	unsigned long end = jiffies + FUSE_DAX_COPY_TIME;

	if (!fc->dax)
		return;
	fuse_dax_window_stop(fc->dax);
	while (!fuse_dax_conn_each(fc, fuse_dax_inode_quiet) &&
	       time_before(jiffies, end))
		fsleep(USEC_PER_MSEC);
	fuse_dax_conn_each(fc, fuse_dax_inode_zap);
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_cut);

/*
 * Whether somebody holds a page of the window, of a file or none. Of pages before
 * *@from nobody does, and nobody will, as no file has them any more.
 */
static bool fuse_dax_conn_pinned(struct fuse_dax_window *win,
				 unsigned long *from)
{
	unsigned long pfn, nr;
	void *kaddr;
	int id;

	nr = fuse_dax_range_to_page(win->nr_ranges);
	id = dax_read_lock();
	nr = dax_direct_access(win->dev, 0, nr, DAX_ACCESS, &kaddr, &pfn);
	dax_read_unlock(id);
	while (*from < nr) {
		if (!fuse_dax_window_has_pages(win,
					       fuse_dax_page_to_range(*from))) {
			*from += fuse_dax_range_to_page(1);
			continue;
		}
		if (page_ref_count(pfn_to_page(pfn + *from)))
			return true;
		if (!(++*from % fuse_dax_range_to_page(1)))
			cond_resched();
	}
	return false;
}

/* Whether a mapping's file has entries; the next mapping has its turn then */
static bool fuse_dax_conn_entry(struct fuse_dax_window *win)
{
	struct fuse_dax_map *map;

	guard(spinlock)(&win->lock);
	if (list_empty(&win->lru))
		return false;
	map = list_first_entry(&win->lru, struct fuse_dax_map, list);
	list_move_tail(&map->list, &win->lru);
	return READ_ONCE(map->inode->i_mapping->nrpages);
}

/*
 * Whether entries are left: of inodes that are being evicted, which nobody finds.
 * An inode that is evicted loses its entries before its mappings.
 */
static bool fuse_dax_conn_entries(struct fuse_dax_window *win)
{
	unsigned int nr;

	for (nr = READ_ONCE(win->nr_live); nr; nr--) {
		if (fuse_dax_conn_entry(win))
			return true;
		cond_resched();
	}
	return false;
}

/**
 * fuse_dax_conn_unplug - the memory of the window is about to go
 * @fc: the connection, after fuse_dax_conn_cut(), and without requests
 *
 * Context: Sleeps until no page of the window is pinned or known to a file.
 */
void fuse_dax_conn_unplug(struct fuse_conn *fc)
{
	unsigned long free = 0;
	bool told = false;

	if (!fc->dax)
		return;
	fuse_dax_piece_stop(fc->dax);
	while (!fuse_dax_conn_each(fc, fuse_dax_inode_unplug) ||
	       fuse_dax_conn_entries(fc->dax) ||
	       fuse_dax_conn_pinned(fc->dax, &free)) {
		if (!told)
			pr_notice("DAX window is to go, waiting for who has pinned its pages\n");
		told = true;
		fsleep(10 * USEC_PER_MSEC);
	}
	cancel_delayed_work_sync(&fc->dax->retry_work);
	cancel_work_sync(&fc->dax->remove_work);
	fuse_dax_sysfs_del(fc->dax);
	fuse_dax_dump_del(fc->dax);
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_unplug);

/**
 * fuse_dax_conn_emptied - the memory of the window is used by nobody any more
 * @fc: the connection, after fuse_dax_conn_unplug(), or without inodes
 *
 * Context: Sleeps.
 */
void fuse_dax_conn_emptied(struct fuse_conn *fc)
{
	if (!fc->dax)
		return;
	fuse_dax_piece_stop(fc->dax);
	fuse_dax_piece_drop(fc->dax);
}
EXPORT_SYMBOL_GPL(fuse_dax_conn_emptied);
