// SPDX-License-Identifier: GPL-2.0
/*
 * What programs say about how they will use a file.
 */
#include "dax_i.h"

#include <linux/fadvise.h>
#include <linux/fs.h>

/* Remembered in the file; madvise() has its flags in the vma */
static void fuse_dax_advise_random(struct file *file, bool random)
{
	guard(spinlock)(&file->f_lock);
	if (random)
		file->f_mode |= FMODE_RANDOM;
	else
		file->f_mode &= ~FMODE_RANDOM;
}

/*
 * Gives up what is mapped between two pages of the file, unless somebody has the
 * file in an address space: the advice is of one user only.
 */
static void fuse_dax_advise_dontneed(struct inode *inode, pgoff_t first,
				     pgoff_t last)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct address_space *mapping = inode->i_mapping;

	if (!di || mapping_mapped(mapping) ||
	    !down_write_trylock(&mapping->invalidate_lock))
		return;
	fuse_dax_detach_range(di, first, last);
	up_write(&mapping->invalidate_lock);
}

/**
 * fuse_dax_fadvise - posix_fadvise() of a DAX file
 * @file: the file
 * @offset: first byte of what is meant
 * @len: bytes; 0: up to the end of the file
 * @advice: POSIX_FADV_*
 *
 * WILLNEED maps what there is room for and does not wait for the server. DONTNEED
 * gives back mappings of which all is meant. RANDOM lets a miss map one range
 * where the window has no room for the file, NORMAL and SEQUENTIAL end that.
 *
 * Context: Tries invalidate_lock.
 * Return: 0 or -errno, for what posix_fadvise(2) says.
 */
int fuse_dax_fadvise(struct file *file, loff_t offset, loff_t len, int advice)
{
	struct inode *inode = file_inode(file);
	pgoff_t first = offset >> PAGE_SHIFT, last = ULONG_MAX;
	int err = generic_fadvise(file, offset, len, advice);

	if (err)
		return err;
	if (len && len <= LLONG_MAX - offset)
		last = (offset + len - 1) >> PAGE_SHIFT;

	switch (advice) {
	case POSIX_FADV_RANDOM:
		fuse_dax_advise_random(file, true);
		break;
	case POSIX_FADV_NORMAL:
	case POSIX_FADV_SEQUENTIAL:
		fuse_dax_advise_random(file, false);
		break;
	case POSIX_FADV_WILLNEED:
		fuse_dax_map_ahead(inode, first, last);
		break;
	case POSIX_FADV_DONTNEED:
		/* The last range may be a part of one */
		if (last >= (i_size_read(inode) - 1) >> PAGE_SHIFT)
			last = ULONG_MAX;
		fuse_dax_cache_forget(inode, first, last);
		fuse_dax_advise_dontneed(inode, first, last);
		break;
	}
	return 0;
}
