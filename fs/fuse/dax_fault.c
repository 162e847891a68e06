// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults on DAX files.
 *
 * A fault gets its mapping first, holding no more than the lock of the vma, and
 * where the fault may be repeated not even that: setting up takes a round trip,
 * and a range may be long in coming. invalidate_lock and the lock of the DAX
 * entry are taken when all that is left to do is to insert an entry.
 */
#include "dax_i.h"

#include <kunit/visibility.h>
#include <linux/dax.h>
#include <linux/huge_mm.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

/* How long a fault pauses that neither memory nor the page cache can serve now */
#define FUSE_DAX_FAULT_PAUSE	max(HZ / 250, 1)

/*
 * Whether the page cache may show what cannot be mapped. What others see of the file
 * at once has to be in memory, and is waited for, but not by the kernel, which may
 * have pinned the very pages that it would wait for; nor where the server does not
 * map the file for writing, so that there is nothing to wait for.
 */
static bool fuse_dax_fault_cacheable(const struct vm_fault *vmf)
{
	const struct fuse_file *ff = vmf->vma->vm_file->private_data;
	const vm_flags_t seen = VM_SHARED | VM_WRITE;

	if (ff->open_flags & FOPEN_DIRECT_IO)
		return false;
	return (vmf->vma->vm_flags & seen) != seen ||
	       !(vmf->flags & FAULT_FLAG_USER) ||
	       fuse_dax_plan_unwritable(file_inode(vmf->vma->vm_file));
}

/* Whether a fault is served from the page cache though it could be mapped */
static bool fuse_dax_fault_serves(struct vm_fault *vmf, unsigned int want)
{
	struct vm_area_struct *vma = vmf->vma;

	if (want & FUSE_DAX_WANT_MAPPED)
		return false;
	/* It has been tried, in vain */
	if ((vmf->flags & FAULT_FLAG_TRIED) && fuse_dax_fault_cacheable(vmf) &&
	    fuse_dax_cache_has(file_inode(vma->vm_file), vmf->pgoff))
		return true;
	return fuse_dax_small_serves(vma, vmf->pgoff) ||
	       fuse_dax_cache_serves(vma->vm_file, vmf->pgoff, want);
}

/*
 * Has a fault repeated that has come to nothing. The lock of the vma is dropped for it
 * where that can be said: who needs pages for the kernel would keep it otherwise.
 */
static vm_fault_t fuse_dax_fault_again(struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY) ||
	    (vmf->flags & FAULT_FLAG_RETRY_NOWAIT))
		return VM_FAULT_NOPAGE;
	release_fault_lock(vmf);
	return VM_FAULT_RETRY;
}

/*
 * There is no mapping, for @error. What a fault is to return: 0 if the page cache
 * is to serve it, unless that has been tried.
 */
static vm_fault_t fuse_dax_fault_unmapped(struct vm_fault *vmf,
					  unsigned int want, int error)
{
	vm_fault_t ret;

	/* A cached page is in the way, which somebody holds; or there is no range */
	if (error == -EDEADLK || error == -EAGAIN) {
		if (!(want & FUSE_DAX_WANT_MAPPED) &&
		    (error == -EDEADLK || (want & FUSE_DAX_WANT_BRIEF)))
			return 0;
		/* The page cache must not serve it, or who writes to the file is there */
		ret = fuse_dax_fault_again(vmf);
		schedule_timeout_killable(FUSE_DAX_FAULT_PAUSE);
		return ret;
	}
	if (error == -ENOTCONN || fatal_signal_pending(current) ||
	    !fuse_dax_fault_cacheable(vmf))
		return VM_FAULT_SIGBUS;
	if (!(want & FUSE_DAX_WANT_MAPPED))
		return 0;
	/* Somebody writes to the file: not this task, if the fault is a program's */
	return vmf->flags & FAULT_FLAG_USER ? VM_FAULT_NOPAGE : VM_FAULT_SIGBUS;
}

/* Makes the mapping with no lock held and has the fault repeated */
static vm_fault_t fuse_dax_fault_unlocked(struct vm_fault *vmf,
					  unsigned int want)
{
	bool cacheable = fuse_dax_fault_cacheable(vmf);
	/* Else the task may be writing to the file itself */
	bool wait = vmf->flags & FAULT_FLAG_USER;
	struct file *file = get_file(vmf->vma->vm_file);
	pgoff_t index = vmf->pgoff;
	struct fuse_dax_map *map;

	release_fault_lock(vmf);
	/* An error comes again when the fault is repeated, at most twice */
	map = fuse_dax_map_find(file_inode(file), index,
				want | FUSE_DAX_WANT_ONCE);
	if (!IS_ERR(map))
		fuse_dax_map_put(map);
	else if (cacheable && !fatal_signal_pending(current))
		fuse_dax_cache_bring(file, index, wait);
	fput(file);
	return VM_FAULT_RETRY;
}

/*
 * Gets the mapping for a fault, with a reference in *@map, or NULL if the page
 * cache is to serve it: then 0, else what the fault is to return.
 *
 * What nobody can serve is SIGBUS, never VM_FAULT_OOM: more guest memory would not
 * help, and the fault would be retried for ever.
 */
VISIBLE_IF_KUNIT
vm_fault_t fuse_dax_fault_map(struct vm_fault *vmf, unsigned int want,
			      struct fuse_dax_map **map)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	int err;

	if (vmf->pgoff >= DIV_ROUND_UP_ULL(i_size_read(inode), PAGE_SIZE))
		return VM_FAULT_SIGBUS;

	*map = fuse_dax_map_hit(inode, vmf->pgoff, want);
	if (!IS_ERR(*map))
		return 0;

	want |= FUSE_DAX_WANT_WAIT;
	if (vmf->vma->vm_flags & VM_RAND_READ)
		want |= FUSE_DAX_WANT_RANDOM;
	if (fuse_dax_fault_cacheable(vmf))
		want |= FUSE_DAX_WANT_BRIEF;
	if (fuse_dax_fault_serves(vmf, want)) {
		*map = NULL;
		return 0;
	}
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	if (fault_flag_allow_retry_first(vmf->flags))
		return fuse_dax_fault_unlocked(vmf, want);

	/* What was refused before may have been to write */
	if (vmf->flags & FAULT_FLAG_TRIED)
		want |= FUSE_DAX_WANT_ONCE | FUSE_DAX_WANT_LEAST;
	*map = fuse_dax_map_find(inode, vmf->pgoff,
				 want | FUSE_DAX_WANT_LOCKED);
	if (!IS_ERR(*map))
		return 0;
	err = PTR_ERR(*map);
	*map = NULL;
	return fuse_dax_fault_unmapped(vmf, want, err);
}

/* Serves a fault from the page cache */
static vm_fault_t fuse_dax_fault_cached(struct vm_fault *vmf,
					unsigned int order, unsigned int said)
{
	vm_fault_t ret;

	if (order)
		return VM_FAULT_FALLBACK;
	ret = fuse_dax_cache_fault(vmf, said);
	return ret == VM_FAULT_NOPAGE ? fuse_dax_fault_again(vmf) : ret;
}

/*
 * Inserts the entry. -EAGAIN of the iomap operations says that the mapping does
 * not serve: the fault is repeated, and the file has not been modified.
 */
static vm_fault_t fuse_dax_fault_insert(struct vm_fault *vmf,
					unsigned int order, bool write)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	struct super_block *sb = mapping->host->i_sb;
	vm_fault_t ret;
	int err = 0;

	/* Who waits for the lock is a user of the mapping, which could not be given up */
	if (fuse_dax_notify_pending(mapping->host))
		return VM_FAULT_NOPAGE;
	if (write)
		sb_start_pagefault(sb);
	filemap_invalidate_lock_shared(mapping);
	/* What is put into page tables after this look is taken out again */
	if (fuse_dax_notify_pending(mapping->host)) {
		ret = VM_FAULT_NOPAGE;
	} else {
		ret = dax_iomap_fault(vmf, order, NULL, &err,
				      &fuse_dax_iomap_ops);
		if (write && !err && (ret & VM_FAULT_NOPAGE))
			fuse_dax_touch(mapping->host);
	}
	filemap_invalidate_unlock_shared(mapping);
	if (write)
		sb_end_pagefault(sb);
	return err == -EAGAIN ? VM_FAULT_NOPAGE : ret;
}

/*
 * Waits until it is known what the server had meant when the fault began; 0, or that it
 * is to be repeated. One that was repeated before goes on: somebody may write all the
 * time, and there is always a newer word.
 */
static vm_fault_t fuse_dax_fault_settle(struct vm_fault *vmf, unsigned int said)
{
	struct file *file = vmf->vma->vm_file;
	int err;

	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	if (fault_flag_allow_retry_first(vmf->flags)) {
		get_file(file);
		release_fault_lock(vmf);
		fuse_dax_notify_wait(file_inode(file), said);
		fput(file);
		return VM_FAULT_RETRY;
	}
	err = fuse_dax_notify_wait(file_inode(file), said);
	if (err == -EINTR)
		return VM_FAULT_NOPAGE;
	return err ? VM_FAULT_SIGBUS : 0;
}

static vm_fault_t fuse_dax_fault_do(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	/* A write fault on a private mapping only reads the file */
	bool write = (vmf->flags & FAULT_FLAG_WRITE) &&
		     (vma->vm_flags & VM_SHARED);
	struct inode *inode = file_inode(vma->vm_file);
	unsigned int said = fuse_dax_notify_said(inode);
	unsigned int want = 0;
	struct fuse_dax_map *map;
	vm_fault_t ret = 0;

	if (!fuse_dax_notify_settled(inode, said))
		ret = fuse_dax_fault_settle(vmf, said);
	if (ret)
		return ret;
	if (write)
		want |= FUSE_DAX_WANT_WRITE;
	if (order)
		want |= FUSE_DAX_WANT_HUGE;
	ret = fuse_dax_fault_map(vmf, want, &map);
	if (!ret && !map) {
		ret = fuse_dax_fault_cached(vmf, order, said);
		if (!ret)
			ret = fuse_dax_fault_map(vmf,
						 want | FUSE_DAX_WANT_MAPPED,
						 &map);
	}
	if (ret)
		return ret;

	ret = fuse_dax_fault_insert(vmf, order, write);
	fuse_dax_map_put(map);
	return ret;
}

static vm_fault_t fuse_dax_fault(struct vm_fault *vmf)
{
	return fuse_dax_fault_do(vmf, 0);
}

static vm_fault_t fuse_dax_fault_huge(struct vm_fault *vmf, unsigned int order)
{
	/* A larger one would be an entry for more than is mapped */
	if (order && (order != PMD_ORDER || PMD_SIZE > FUSE_DAX_RANGE_SIZE))
		return VM_FAULT_FALLBACK;
	return fuse_dax_fault_do(vmf, order);
}

/*
 * Before a read fault, with the RCU read lock held: maps for reading what of the
 * same mapping is known from earlier faults. What is used through these entries
 * makes no call, so the fault speaks for all of them that it is referenced.
 *
 * The mapping is looked up with invalidate_lock held, as an ordinary fault does
 * it: see fuse_dax_inode_cut(). Where there is none there may be cached pages.
 */
static vm_fault_t fuse_dax_fault_around(struct vm_fault *vmf, pgoff_t start,
					pgoff_t end)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	struct fuse_dax_map *map;
	vm_fault_t ret = 0;

	if (!filemap_invalidate_trylock_shared(mapping))
		return 0;
	map = fuse_dax_map_hit_nowait(mapping->host, vmf->pgoff);
	/* This look comes after the other: see fuse_dax_iomap_begin() */
	if (!fuse_dax_notify_settled(mapping->host,
				     fuse_dax_notify_said(mapping->host))) {
		if (!IS_ERR(map))
			fuse_dax_map_put(map);
	} else if (!IS_ERR(map)) {
		ret = dax_map_pages(vmf, max(start, map->itn.start),
				    min(end, map->itn.last));
		fuse_dax_map_put(map);
	} else if (map == ERR_PTR(-EAGAIN)) {
		ret = fuse_dax_cache_around(vmf, start, end);
	}
	filemap_invalidate_unlock_shared(mapping);
	return ret;
}

/*
 * The callers of mkwrite do not expect the lock to be gone. So a page that cannot be
 * stored to as it is mapped is taken away, and comes as another fault.
 */
static vm_fault_t fuse_dax_fault_mkwrite(struct vm_fault *vmf)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	struct fuse_dax_map *map = fuse_dax_map_hit(mapping->host, vmf->pgoff,
						    FUSE_DAX_WANT_WRITE);
	vm_fault_t ret = VM_FAULT_NOPAGE;

	if (IS_ERR(map) || fuse_dax_notify_pending(mapping->host))
		unmap_mapping_pages(mapping, vmf->pgoff, 1, false);
	else
		ret = fuse_dax_fault_insert(vmf, 0, true);
	if (!IS_ERR(map))
		fuse_dax_map_put(map);
	return ret;
}

const struct vm_operations_struct fuse_dax_vm_ops = {
	.close		= fuse_vma_close,
	.fault		= fuse_dax_fault,
	.huge_fault	= fuse_dax_fault_huge,
	.map_pages	= fuse_dax_fault_around,
	/* A cached page; others come as pfns */
	.page_mkwrite	= fuse_dax_cache_mkwrite,
	.pfn_mkwrite	= fuse_dax_fault_mkwrite,
};

/**
 * fuse_dax_mmap - map a DAX file into an address space
 * @file: the file
 * @vma: where
 *
 * Return: 0, and a fault without memory gives SIGBUS; -ENODEV if it is known that
 * there will be none.
 */
int fuse_dax_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (READ_ONCE(fuse_dax_window_of(file_inode(file))->disabled))
		return -ENODEV;
	/* Cached pages are written back by way of an open file */
	if ((vma->vm_flags & VM_SHARED) && (vma->vm_flags & VM_MAYWRITE))
		fuse_link_write_file(file);
	file_accessed(file);
	vma->vm_ops = &fuse_dax_vm_ops;
	vm_flags_set(vma, VM_HUGEPAGE);
	return 0;
}
