// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of DAX files in the page cache.
 *
 * To map a range takes two changes of the machine's memory from the host if
 * somebody else has to give one up, which is more than a single page is worth.
 * So while the window has nothing free, a page that is touched alone comes from
 * the page cache, as every page does without DAX. It is there until memory is
 * short, until its file changes on the server, or until the range is mapped.
 *
 * A page of a file is shown by a mapping or is in the page cache, never both.
 * Who adds a page holds invalidate_lock shared, and has seen with it held that
 * the tree has no mapping there. Who makes a mapping places it in the tree, waits
 * for those who hold the lock, writes the pages back and drops them, and asks for
 * the setup after that. A page that somebody has pinned cannot be dropped: then
 * there is no mapping.
 *
 * Who adds a page holds i_rwsem too, shared, until it has been read. Who changes
 * the file by a request holds it exclusive, and drops the pages that are concerned
 * before the request: so none is there which could be written back over what the
 * request has written, nor one from before it. A page fault, which comes below
 * i_rwsem, only tries for it, and has its range mapped if there is somebody who
 * writes.
 */
#include "dax_i.h"

#include <linux/file.h>
#include <linux/folio_batch.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/swap.h>
#include <linux/uio.h>

/* One in so many pages that were read has the window looked at for unused mappings */
#define FUSE_DAX_CACHE_AGE	256

/** enum fuse_dax_cache_drop - how fuse_dax_cache_drop() treats a page */
enum fuse_dax_cache_drop {
	/** @FUSE_DAX_DROP_WRITE: it is written back first, if it is dirty */
	FUSE_DAX_DROP_WRITE	= BIT(0),
	/** @FUSE_DAX_DROP_PINNED: it goes even if it is pinned */
	FUSE_DAX_DROP_PINNED	= BIT(1),
};

/**
 * fuse_dax_cache_any - whether a file has or had pages in the page cache
 * @inode: the file
 *
 * Context: Any. Who adds the first page may do so right after this.
 * Return: false if there never was one.
 */
bool fuse_dax_cache_any(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	return di && READ_ONCE(di->cached);
}

/* The page, up to date, with a reference; or NULL */
static struct folio *fuse_dax_cache_peek(struct inode *inode, pgoff_t index)
{
	struct folio *folio;

	if (!fuse_dax_cache_any(inode))
		return NULL;
	if (READ_ONCE(fuse_dax_window_of(inode)->stopped))
		return NULL;
	/* Of a page that is mapped there is an entry, which is not returned */
	folio = filemap_get_folio(inode->i_mapping, index);
	if (IS_ERR(folio))
		return NULL;
	if (folio_test_uptodate(folio))
		return folio;
	folio_put(folio);
	return NULL;
}

/* Whether a page may be added; from here on, who maps its range waits for that */
static int fuse_dax_cache_begin(struct inode *inode, pgoff_t index)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_window *win = fuse_dax_window_of(inode);

	lockdep_assert_held(&inode->i_mapping->invalidate_lock);
	if (READ_ONCE(win->stopped))
		return -ENOTCONN;
	if (!di || index >= DIV_ROUND_UP_ULL(i_size_read(inode), PAGE_SIZE))
		return -EEXIST;

	if (!READ_ONCE(di->cached)) {
		guard(rwsem_write)(&di->sem);
		WRITE_ONCE(di->cached, true);
		/* What is cached can be stored to */
		fuse_dax_copy_end(win, di);
	}
	guard(rwsem_read)(&di->sem);
	return fuse_dax_map_first(di, index, index) ? -EEXIST : 0;
}

/* A page of the page cache, locked, with a reference; it may have to be read */
static struct folio *fuse_dax_cache_add(struct address_space *mapping,
					pgoff_t index)
{
	struct folio *folio;
	int err;

	err = down_read_killable(&mapping->invalidate_lock);
	if (err)
		return ERR_PTR(err);
	err = fuse_dax_cache_begin(mapping->host, index);
	if (err)
		folio = ERR_PTR(err);
	else
		folio = __filemap_get_folio(mapping, index,
					    FGP_LOCK | FGP_CREAT,
					    mapping_gfp_mask(mapping));
	up_read(&mapping->invalidate_lock);
	return folio;
}

/* Reads a page that is locked, if need be, and unlocks it; 0 or -errno */
static int fuse_dax_cache_fill(struct file *file, struct folio *folio)
{
	int err;

	if (folio_test_uptodate(folio)) {
		folio_unlock(folio);
		return 0;
	}
	err = fuse_read_folio(file, folio);
	if (err)
		return err;
	err = folio_wait_locked_killable(folio);
	if (err)
		return err;
	return folio_test_uptodate(folio) ? 0 : -EIO;
}

/*
 * Gets a page, from the server if need be: up to date, with a reference. -EEXIST
 * if it is the window's by now, or past the end of the file. i_rwsem is held. The
 * request is sent with the page locked, but not with invalidate_lock, for which
 * reclaim only tries.
 */
static struct folio *fuse_dax_cache_get(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct fuse_dax_window *win = fuse_dax_window_of(mapping->host);
	struct folio *folio;
	int err;

	lockdep_assert_held(&mapping->host->i_rwsem);
	if (!(fuse_dax_count(win, FUSE_DAX_CACHE_READS) % FUSE_DAX_CACHE_AGE))
		fuse_dax_reclaim_age(win);
	folio = fuse_dax_cache_add(mapping, index);
	if (IS_ERR(folio))
		return folio;
	err = fuse_dax_cache_fill(file, folio);
	if (!err)
		return folio;
	folio_put(folio);
	return ERR_PTR(err);
}

/*
 * The same for a fault: -EAGAIN if somebody writes to the file. If that is this
 * task, what it writes comes from a page of the file. When it is written by a
 * request, the page is changed too: see fuse_dax_cache_store().
 */
static struct folio *fuse_dax_cache_get_try(struct file *file, pgoff_t index)
{
	struct inode *inode = file_inode(file);
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct folio *folio;

	if (di && READ_ONCE(di->writer) == current)
		return fuse_dax_cache_get(file, index);
	if (!inode_trylock_shared(inode))
		return ERR_PTR(-EAGAIN);
	folio = fuse_dax_cache_get(file, index);
	inode_unlock_shared(inode);
	return folio;
}

/**
 * fuse_dax_cache_serves - whether a fault is served from the page cache
 * @file: the file
 * @index: page of the file
 * @want: &enum fuse_dax_want
 *
 * Context: Takes &fuse_dax_inode.sem.
 * Return: true if the page is there, or if the window has nothing free and a
 * mapping is not worth what somebody would have to give up for it.
 */
bool fuse_dax_cache_serves(struct file *file, pgoff_t index, unsigned int want)
{
	const struct fuse_file *ff = file->private_data;
	struct inode *inode = file_inode(file);
	struct folio *folio;

	if (!fuse_dax_window_pressed(fuse_dax_window_of(inode)) ||
	    (ff->open_flags & FOPEN_DIRECT_IO))
		return false;
	folio = fuse_dax_cache_peek(inode, index);
	if (!folio)
		return fuse_dax_plan_alone(inode, index, want);
	folio_put(folio);
	return true;
}

/* Brings a page in with no lock held and has the fault repeated */
static vm_fault_t fuse_dax_cache_fault_unlocked(struct vm_fault *vmf)
{
	struct file *file = get_file(vmf->vma->vm_file);
	pgoff_t index = vmf->pgoff;
	struct folio *folio;

	release_fault_lock(vmf);
	/* An error comes again when the fault is repeated */
	folio = fuse_dax_cache_get_try(file, index);
	if (!IS_ERR(folio))
		folio_put(folio);
	fput(file);
	return VM_FAULT_RETRY;
}

/* Whether a page that is locked is still the file's */
static bool fuse_dax_cache_valid(struct inode *inode, struct folio *folio)
{
	return folio->mapping == inode->i_mapping &&
	       folio_test_uptodate(folio) &&
	       folio_pos(folio) < i_size_read(inode);
}

/**
 * fuse_dax_cache_fault - serve a page fault from the page cache
 * @vmf: the fault, of a small page
 *
 * Context: The lock of the vma is held; it is dropped for the request where the
 * fault may be repeated. Tries i_rwsem, and takes invalidate_lock shared.
 * Return: VM_FAULT_LOCKED, or that the fault is to be repeated, or an error; 0 if
 * the range has to be mapped.
 */
vm_fault_t fuse_dax_cache_fault(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	struct inode *inode = file_inode(file);
	struct folio *folio = fuse_dax_cache_peek(inode, vmf->pgoff);

	if (!folio) {
		if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
			return VM_FAULT_RETRY;
		if (fault_flag_allow_retry_first(vmf->flags))
			return fuse_dax_cache_fault_unlocked(vmf);
		folio = fuse_dax_cache_get_try(file, vmf->pgoff);
	}
	if (folio == ERR_PTR(-EAGAIN))
		return 0;
	/* Who is killed does not come back */
	if (folio == ERR_PTR(-EEXIST) || folio == ERR_PTR(-EINTR))
		return VM_FAULT_NOPAGE;
	if (IS_ERR(folio))
		return vmf_error(PTR_ERR(folio));

	if (folio_lock_killable(folio)) {
		folio_put(folio);
		return VM_FAULT_NOPAGE;
	}
	if (!fuse_dax_cache_valid(inode, folio)) {
		folio_unlock(folio);
		folio_put(folio);
		return VM_FAULT_NOPAGE;
	}
	vmf->page = folio_file_page(folio, vmf->pgoff);
	return VM_FAULT_LOCKED;
}

/**
 * fuse_dax_cache_mkwrite - a page of the page cache is going to be stored to
 * @vmf: the fault
 *
 * Return: as ->page_mkwrite().
 */
vm_fault_t fuse_dax_cache_mkwrite(struct vm_fault *vmf)
{
	vm_fault_t ret = fuse_page_mkwrite(vmf);

	fuse_dax_touch(file_inode(vmf->vma->vm_file));
	return ret;
}

/*
 * Whether a read is worth a page of the page cache: of one page, or less, that is
 * touched alone. More is brought by one request for the caller alone.
 */
static bool fuse_dax_cache_wants(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	unsigned int want = 0;

	if (offset_in_page(iocb->ki_pos) + iov_iter_count(to) > PAGE_SIZE ||
	    (iocb->ki_flags & IOCB_NOWAIT) ||
	    !fuse_dax_window_pressed(fuse_dax_window_of(inode)))
		return false;
	if (iocb->ki_filp->f_mode & FMODE_RANDOM)
		want |= FUSE_DAX_WANT_RANDOM;
	return fuse_dax_plan_alone(inode, iocb->ki_pos >> PAGE_SHIFT, want);
}

/**
 * fuse_dax_cache_read - serve a read from the page cache
 * @iocb: where; its position advances
 * @to: the caller's buffer; advances
 *
 * A page that is not there is asked for if the read is of this page alone.
 *
 * Context: i_rwsem held, no reference to a mapping. Takes page faults, and
 * invalidate_lock, shared. Waits for the server.
 * Return: bytes of one page; 0 if that cannot be done; or -errno.
 */
ssize_t fuse_dax_cache_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	pgoff_t index = iocb->ki_pos >> PAGE_SHIFT;
	size_t offset = offset_in_page(iocb->ki_pos);
	loff_t left = i_size_read(inode) - iocb->ki_pos;
	struct folio *folio;
	size_t len;

	if (left <= 0 || !fuse_dax_cache_allowed(iocb))
		return 0;
	folio = fuse_dax_cache_peek(inode, index);
	if (!folio && fuse_dax_cache_wants(iocb, to))
		folio = fuse_dax_cache_get(iocb->ki_filp, index);
	/* Then by a request for the caller alone, which may say why */
	if (IS_ERR_OR_NULL(folio))
		return 0;

	folio_mark_accessed(folio);
	len = copy_folio_to_iter(folio, offset,
				 min_t(loff_t, left, PAGE_SIZE - offset), to);
	folio_put(folio);
	iocb->ki_pos += len;
	return len ?: -EFAULT;
}

/**
 * fuse_dax_cache_flush - write back what a request asks about
 * @inode: a DAX file
 * @start: first byte
 * @last: last byte
 *
 * Errors are left to those who ask for them, by fsync() or close().
 */
void fuse_dax_cache_flush(struct inode *inode, loff_t start, loff_t last)
{
	struct address_space *mapping = inode->i_mapping;

	if (!fuse_dax_cache_any(inode))
		return;
	filemap_fdatawrite_range(mapping, start, last);
	filemap_fdatawait_range_keep_errors(mapping, start, last);
}

/* Drops one page, which is locked; 0 or -errno */
static int fuse_dax_cache_drop_folio(struct inode *inode, struct folio *folio,
				     unsigned int how)
{
	struct address_space *mapping = inode->i_mapping;
	int err;

	folio_wait_writeback(folio);
	unmap_mapping_range(mapping, folio_pos(folio), folio_size(folio), 0);
	/*
	 * Who gets hold of the page by page tables either has it pinned by now
	 * or finds that it is not there any more.
	 */
	if (!(how & FUSE_DAX_DROP_PINNED) && folio_maybe_dma_pinned(folio))
		return -EBUSY;
	if (how & FUSE_DAX_DROP_WRITE) {
		err = fuse_launder_folio(folio);
		/* Not lost while it need not go */
		if (err && !(how & FUSE_DAX_DROP_PINNED))
			folio_mark_dirty(folio);
		if (folio_test_dirty(folio) && !(how & FUSE_DAX_DROP_PINNED))
			return err ?: -EBUSY;
	}
	return generic_error_remove_folio(mapping, folio);
}

/*
 * Drops pages from @first to @last, and leaves alone what the window shows.
 * The first error; it goes on all the same.
 */
static int fuse_dax_cache_drop(struct inode *inode, pgoff_t first, pgoff_t last,
			       unsigned int how)
{
	struct address_space *mapping = inode->i_mapping;
	struct folio_batch batch;
	unsigned int i;
	int err = 0;

	folio_batch_init(&batch);
	while (first <= last &&
	       filemap_get_folios(mapping, &first, last, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];
			int res = 0;

			folio_lock(folio);
			if (folio->mapping == mapping)
				res = fuse_dax_cache_drop_folio(inode, folio,
								how);
			folio_unlock(folio);
			err = err ?: res;
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	return err;
}

/**
 * fuse_dax_cache_pinned - whether a page is in the way of a mapping
 * @inode: the file
 * @first: first page of what is to be mapped
 * @last: last page
 *
 * Return: true if a cached page there is pinned, so that nobody need give up a
 * range for that. A hint.
 */
bool fuse_dax_cache_pinned(struct inode *inode, pgoff_t first, pgoff_t last)
{
	struct folio_batch batch;
	bool pinned = false;
	unsigned int i;

	if (!fuse_dax_cache_any(inode))
		return false;
	folio_batch_init(&batch);
	while (!pinned && first <= last &&
	       filemap_get_folios(inode->i_mapping, &first, last, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			pinned |= folio_maybe_dma_pinned(batch.folios[i]);
		folio_batch_release(&batch);
		cond_resched();
	}
	return pinned;
}

/**
 * fuse_dax_cache_evict - drop what a mapping is going to show
 * @map: a placeholder in the tree, whose setup has not been sent
 *
 * Context: Takes invalidate_lock, killably, and waits for the server if there is
 * something to be written back.
 * Return: 0; -EDEADLK if a page cannot be dropped, for which nobody tries again,
 * unlike what servers answer; or -EINTR.
 */
int fuse_dax_cache_evict(struct fuse_dax_map *map)
{
	struct address_space *mapping = map->inode->i_mapping;
	int err;

	if (!READ_ONCE(map->di->cached))
		return 0;
	/* Who has not seen the placeholder has added his page by then */
	err = down_write_killable(&mapping->invalidate_lock);
	if (err)
		return err;
	up_write(&mapping->invalidate_lock);
	return fuse_dax_cache_drop(map->inode, map->itn.start, map->itn.last,
				   FUSE_DAX_DROP_WRITE) ? -EDEADLK : 0;
}

/**
 * fuse_dax_cache_invalidate - drop pages because the server has newer ones
 * @inode: a DAX file
 * @first: first page
 * @last: last page
 *
 * A page that is pinned stays: somebody is about to store to it.
 *
 * Context: Locks pages, and waits for the server if there is something to be
 * written back.
 */
void fuse_dax_cache_invalidate(struct inode *inode, pgoff_t first, pgoff_t last)
{
	if (fuse_dax_cache_any(inode))
		fuse_dax_cache_drop(inode, first, last, FUSE_DAX_DROP_WRITE);
}

/**
 * fuse_dax_cache_grows - the file is larger on the server than is known here
 * @inode: a DAX file
 * @size: its size there, bytes
 *
 * Before i_size is set: the page with the end is written back up to there only,
 * and so not over what others have appended.
 *
 * Context: See fuse_dax_cache_invalidate().
 */
void fuse_dax_cache_grows(struct inode *inode, loff_t size)
{
	loff_t known = i_size_read(inode);

	if (size > known)
		fuse_dax_cache_invalidate(inode, known >> PAGE_SHIFT, ULONG_MAX);
}

/**
 * fuse_dax_cache_discard - drop pages that the server is going to change
 * @inode: a DAX file
 * @start: first byte
 * @end: last byte
 *
 * Context: i_rwsem and invalidate_lock held for write. See
 * fuse_dax_cache_invalidate().
 */
void fuse_dax_cache_discard(struct inode *inode, loff_t start, loff_t end)
{
	if (fuse_dax_cache_any(inode))
		fuse_dax_cache_drop(inode, start >> PAGE_SHIFT,
				    end >> PAGE_SHIFT, FUSE_DAX_DROP_WRITE |
						       FUSE_DAX_DROP_PINNED);
}

/* Pages are zero behind the end of the file, and so will the file be if it grows */
static void fuse_dax_cache_zero_tail(struct inode *inode, loff_t size)
{
	struct folio *folio;
	size_t offset;

	folio = filemap_lock_folio(inode->i_mapping, size >> PAGE_SHIFT);
	if (IS_ERR(folio))
		return;
	offset = offset_in_folio(folio, size);
	if (offset && folio_test_uptodate(folio))
		folio_zero_segment(folio, offset, folio_size(folio));
	folio_unlock(folio);
	folio_put(folio);
}

/**
 * fuse_dax_cache_write_begin - drop what a write is going to change
 * @iocb: where
 * @from: data
 *
 * If the file will grow, that is the page with its end too: what is behind the end
 * in memory must not become part of the file.
 *
 * Context: i_rwsem held for write, so that no page is added before it is released.
 * Locks pages, and waits for the server if there is something to be written back.
 * Return: 0 or -EAGAIN, if the caller must not wait.
 */
int fuse_dax_cache_write_begin(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t start = iocb->ki_pos, size = i_size_read(inode);
	loff_t last = start + iov_iter_count(from) - 1;

	lockdep_assert_held_write(&inode->i_rwsem);
	if (!fuse_dax_cache_any(inode))
		return 0;
	if (last >= size) {
		start = min(start, size);
		last = LLONG_MAX;
	}
	if ((iocb->ki_flags & IOCB_NOWAIT) &&
	    filemap_range_has_page(inode->i_mapping, start, last))
		return -EAGAIN;
	fuse_dax_cache_invalidate(inode, start >> PAGE_SHIFT,
				  last >> PAGE_SHIFT);
	/* One that is pinned is still there */
	if (last == LLONG_MAX)
		fuse_dax_cache_zero_tail(inode, size);
	return 0;
}

static void fuse_dax_cache_store_folio(struct file *file, struct folio *folio,
				       loff_t pos, const void *data, size_t len)
{
	if (!folio_test_uptodate(folio))
		return;
	memcpy_to_folio(folio, offset_in_folio(folio, pos), data, len);
	fuse_link_write_file(file);
	folio_mark_dirty(folio);
}

/**
 * fuse_dax_cache_store - change pages as a request has changed the file
 * @file: by which
 * @pos: first byte
 * @data: what the server has there now
 * @len: bytes
 *
 * For those that fuse_dax_cache_write_begin() could not drop: they may have been
 * written back meanwhile with what was there before, so they are again.
 *
 * Context: i_rwsem held for write. Locks pages.
 */
void fuse_dax_cache_store(struct file *file, loff_t pos, const void *data,
			  size_t len)
{
	struct address_space *mapping = file->f_mapping;

	if (!fuse_dax_cache_any(mapping->host))
		return;

	while (len) {
		size_t nr = min(len, PAGE_SIZE - offset_in_page(pos));
		struct folio *folio;

		folio = filemap_lock_folio(mapping, pos >> PAGE_SHIFT);
		if (!IS_ERR(folio)) {
			fuse_dax_cache_store_folio(file, folio, pos, data, nr);
			folio_unlock(folio);
			folio_put(folio);
		}
		pos += nr;
		data += nr;
		len -= nr;
	}
}

/**
 * fuse_dax_cache_size_set - drop what is past the end of the file
 * @inode: a DAX file
 * @size: its size, bytes
 *
 * Context: invalidate_lock held for write. Locks pages.
 */
void fuse_dax_cache_size_set(struct inode *inode, loff_t size)
{
	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	if (!fuse_dax_cache_any(inode))
		return;
	fuse_dax_cache_zero_tail(inode, size);
	fuse_dax_cache_drop(inode, DIV_ROUND_UP_ULL(size, PAGE_SIZE), ULONG_MAX,
			    FUSE_DAX_DROP_PINNED);
}

/**
 * fuse_dax_cache_forget - drop clean pages that nobody has mapped
 * @inode: a DAX file
 * @first: first page
 * @last: last page
 */
void fuse_dax_cache_forget(struct inode *inode, pgoff_t first, pgoff_t last)
{
	if (fuse_dax_cache_any(inode))
		invalidate_mapping_pages(inode->i_mapping, first, last);
}

/**
 * fuse_dax_cache_around - map pages of the page cache around a read fault
 * @vmf: the fault
 * @start: first page
 * @end: last page
 *
 * Return: as ->map_pages().
 */
vm_fault_t fuse_dax_cache_around(struct vm_fault *vmf, pgoff_t start,
				 pgoff_t end)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);

	if (!fuse_dax_cache_any(inode) ||
	    READ_ONCE(fuse_dax_window_of(inode)->stopped))
		return 0;
	return filemap_map_pages(vmf, start, end);
}

/**
 * fuse_dax_cache_writepages - write dirty pages back
 * @mapping: of a DAX file
 * @wbc: which
 *
 * Return: 0 or -errno.
 */
int fuse_dax_cache_writepages(struct address_space *mapping,
			      struct writeback_control *wbc)
{
	if (!fuse_dax_cache_any(mapping->host))
		return 0;
	return fuse_writepages(mapping, wbc);
}
