// SPDX-License-Identifier: GPL-2.0
/*
 * Ending the use of a part of a file whose pages are about to change or have
 * gone.
 */
#include "dax_i.h"

#include <linux/dax.h>

/* How long to wait at most before a pinned page is looked at again, ms */
#define FUSE_DAX_BREAK_MAX	64

/*
 * Breaks whole PMDs, which are entries as a whole; -ERESTARTSYS if a page is
 * pinned.
 */
static int fuse_dax_break_range(struct inode *inode, loff_t start, loff_t end)
{
	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	start = round_down(start, PMD_SIZE);
	end |= PMD_SIZE - 1;
	return dax_break_layout(inode, start, end, NULL);
}

/**
 * fuse_dax_break - end all use of a part of a file through page tables
 * @inode: a DAX file
 * @start: first byte
 * @end: last byte; LLONG_MAX for all that follows @start
 *
 * Before the server changes what the pages are: truncation, punching, copying.
 *
 * A page that is pinned is not waited for to become idle, as by
 * dax_break_layout(): who touches it meanwhile maps it again, and once it was
 * idle for a moment reclaim may have it show another file. All that there is then
 * is looked at again.
 *
 * Context: i_rwsem and invalidate_lock held for write; the latter is dropped and
 * taken again while somebody else has a page pinned. Waits for the server if
 * there are cached pages to be written back.
 * Return: 0, or -ERESTARTSYS if a signal came while waiting.
 */
int fuse_dax_break(struct inode *inode, loff_t start, loff_t end)
{
	unsigned int delay = 1;

	while (fuse_dax_break_range(inode, start, end)) {
		filemap_invalidate_unlock(inode->i_mapping);
		schedule_timeout_interruptible(msecs_to_jiffies(delay));
		filemap_invalidate_lock(inode->i_mapping);
		if (signal_pending(current))
			return -ERESTARTSYS;
		delay = min(2 * delay, FUSE_DAX_BREAK_MAX);
	}
	fuse_dax_cache_discard(inode, start, end);
	return 0;
}

/**
 * fuse_dax_size_set - the size was set: give back what shows nothing any more
 * @inode: a DAX file
 * @size: its new size, bytes
 *
 * What is past the end is zapped, so that an access gets SIGBUS here and does
 * not reach pages that the host no longer has. Pinned pages are not waited for:
 * their entries stay, which tell reclaim that they are pinned. So do mappings
 * in use: what is past the end of the file is not accessed, and what is mapped
 * there is right again when the file grows.
 *
 * Context: invalidate_lock held for write.
 */
void fuse_dax_size_set(struct inode *inode, loff_t size)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	unsigned long range = DIV_ROUND_UP_ULL(size, FUSE_DAX_RANGE_SIZE);

	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	/* Private copies too */
	unmap_mapping_range(inode->i_mapping, round_up(size, PAGE_SIZE), 0, 1);
	fuse_dax_break_range(inode, size, LLONG_MAX);
	if (!di)
		return;
	fuse_dax_cache_size_set(inode, size);

	fuse_dax_detach_range(di, fuse_dax_range_to_page(range), ULONG_MAX);
}
