// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of DAX files in the page cache: how they come, and whom they serve.
 *
 * To map a range takes two changes of the machine's memory from the host if
 * somebody else has to give one up, which is more than a single page is worth.
 * So while the window has nothing free, a page that is touched alone comes from
 * the page cache, as every page does without DAX. It is there until memory is
 * short, until its file changes on the server, or until the range is mapped. A
 * small file that is read is cached whole, see dax_small.c, and so is what faults
 * ask for of a file that the server cannot map, or not for writing.
 *
 * A page of a file is shown by a mapping or is in the page cache, never both.
 * Who adds a page holds invalidate_lock shared, and has seen with it held that
 * the tree has no mapping there. Who makes a mapping places it in the tree, waits
 * for those who hold the lock, writes the pages back and drops them, and asks for
 * the setup after that, see dax_drop.c. A page that somebody holds cannot be
 * dropped: then there is no mapping.
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
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/uio.h>

/* How long a fault of the kernel's waits for those who write to the file, jiffies */
#define FUSE_DAX_CACHE_WAIT	(2 * HZ)

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
	}
	guard(rwsem_read)(&di->sem);
	return fuse_dax_map_first(di, index, index) ? -EEXIST : 0;
}

/**
 * fuse_dax_cache_has - whether a page is there, and up to date
 * @inode: the file
 * @index: the page
 *
 * Return: a hint, as memory reclaim may take it at any time.
 */
bool fuse_dax_cache_has(struct inode *inode, pgoff_t index)
{
	struct folio *folio = fuse_dax_cache_peek(inode, index);

	if (!folio)
		return false;
	folio_put(folio);
	return true;
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
	struct folio *folio;
	int err;

	lockdep_assert_held(&mapping->host->i_rwsem);
	fuse_dax_count(fuse_dax_window_of(mapping->host), FUSE_DAX_CACHE_READS);
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

/*
 * Holds off who writes to the file. A fault of the kernel's own may have what those
 * wait for, or be of one of them. So it only tries; but where nothing else can serve a
 * store it is worth a while.
 */
static int fuse_dax_cache_lock(struct inode *inode, bool wait)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	unsigned long until = jiffies;

	if (wait)
		return down_read_killable(&inode->i_rwsem);
	if (fuse_dax_plan_unwritable(inode) && READ_ONCE(di->writer) != current)
		until += FUSE_DAX_CACHE_WAIT;
	while (!inode_trylock_shared(inode)) {
		if (!time_before(jiffies, until) || fatal_signal_pending(current))
			return -EAGAIN;
		schedule_timeout_killable(1);
	}
	return 0;
}

/**
 * fuse_dax_cache_bring - have a page there for a fault that will be repeated
 * @file: the file
 * @index: the page
 * @wait: for those who write to the file; else it is not brought if somebody does
 *
 * Context: Takes i_rwsem, killably, or tries it. Waits for the server.
 */
void fuse_dax_cache_bring(struct file *file, pgoff_t index, bool wait)
{
	struct inode *inode = file_inode(file);
	struct folio *folio;

	if (fuse_dax_cache_lock(inode, wait))
		return;
	/* An error comes again when the fault is repeated */
	folio = fuse_dax_cache_get(file, index);
	inode_unlock_shared(inode);
	if (!IS_ERR(folio))
		folio_put(folio);
}

/* A new page, locked, with a reference */
static struct folio *fuse_dax_cache_new(struct address_space *mapping,
					pgoff_t index)
{
	gfp_t gfp = readahead_gfp_mask(mapping);
	struct folio *folio = filemap_alloc_folio(gfp, 0, NULL);
	int err;

	if (!folio)
		return ERR_PTR(-ENOMEM);
	err = filemap_add_folio(mapping, folio, index, gfp);
	if (!err)
		return folio;
	folio_put(folio);
	return ERR_PTR(err);
}

/**
 * fuse_dax_cache_end_run - pages that were added have been read, or not
 * @inode: the file
 * @folios: see fuse_dax_cache_add_run()
 * @nr: how many
 * @good: they are what the file is; else they are not kept
 */
void fuse_dax_cache_end_run(struct inode *inode, struct folio **folios,
			    unsigned int nr, bool good)
{
	if (good)
		fuse_dax_count_add(fuse_dax_window_of(inode),
				   FUSE_DAX_CACHE_READS, nr);
	for (unsigned int i = 0; i < nr; i++) {
		if (good)
			folio_mark_uptodate(folios[i]);
		else
			generic_error_remove_folio(inode->i_mapping, folios[i]);
		folio_unlock(folios[i]);
	}
}

/**
 * fuse_dax_cache_add_run - add pages, as far as they are not there
 * @inode: the file
 * @first: the first of them
 * @folios: filled in: locked, not up to date, with a reference; the caller fills
 *	them, calls fuse_dax_cache_end_run() and drops his references
 * @max: how many at most; all are within one range of the file
 *
 * No memory is taken from others for them.
 *
 * Context: i_rwsem held. Takes invalidate_lock, shared and killably.
 * Return: how many; or -errno, if it is none.
 */
int fuse_dax_cache_add_run(struct inode *inode, pgoff_t first,
			   struct folio **folios, unsigned int max)
{
	struct address_space *mapping = inode->i_mapping;
	unsigned int nr = 0;
	int err;

	lockdep_assert_held(&inode->i_rwsem);
	err = down_read_killable(&mapping->invalidate_lock);
	if (err)
		return err;
	err = fuse_dax_cache_begin(inode, first);
	while (!err && nr < max) {
		folios[nr] = fuse_dax_cache_new(mapping, first + nr);
		if (IS_ERR(folios[nr]))
			err = PTR_ERR(folios[nr]);
		else
			nr++;
	}
	up_read(&mapping->invalidate_lock);
	/* The next is there: those before it are a run */
	if (!err || err == -EEXIST)
		return nr ?: -EEXIST;

	fuse_dax_cache_end_run(inode, folios, nr, false);
	while (nr--)
		folio_put(folios[nr]);
	return err;
}

/**
 * fuse_dax_cache_serves - whether a fault is served from the page cache
 * @file: the file
 * @index: page of the file
 * @want: &enum fuse_dax_want
 *
 * Context: Takes &fuse_dax_inode.sem.
 * Return: true if the window has nothing free, and the page is there, or a mapping
 * is not worth what somebody would have to give up for it.
 */
bool fuse_dax_cache_serves(struct file *file, pgoff_t index, unsigned int want)
{
	const struct fuse_file *ff = file->private_data;
	struct inode *inode = file_inode(file);

	if (!fuse_dax_window_pressed(fuse_dax_window_of(inode)) ||
	    (ff->open_flags & FOPEN_DIRECT_IO) || fuse_dax_is_small(inode))
		return false;
	return fuse_dax_cache_has(inode, index) ||
	       fuse_dax_plan_alone(inode, index, want);
}

/* Brings a page in with no lock held and has the fault repeated */
static vm_fault_t fuse_dax_cache_fault_unlocked(struct vm_fault *vmf)
{
	struct file *file = get_file(vmf->vma->vm_file);
	pgoff_t index = vmf->pgoff;

	release_fault_lock(vmf);
	fuse_dax_cache_bring(file, index, false);
	fput(file);
	return VM_FAULT_RETRY;
}

/* Whether a page that is locked is still the file's */
static bool fuse_dax_cache_valid(struct inode *inode, struct folio *folio,
				 unsigned int said)
{
	/* What has been missing then is taken out once it can be locked */
	return fuse_dax_notify_settled(inode, said) &&
	       folio->mapping == inode->i_mapping &&
	       folio_test_uptodate(folio) &&
	       folio_pos(folio) < i_size_read(inode);
}

/**
 * fuse_dax_cache_fault - serve a page fault from the page cache
 * @vmf: the fault, of a small page
 * @said: fuse_dax_notify_said() when it began
 *
 * Context: The lock of the vma is held; it is dropped for the request where the
 * fault may be repeated. Tries i_rwsem, and takes invalidate_lock shared.
 * Return: VM_FAULT_LOCKED, or that the fault is to be repeated, or an error; 0 if
 * the range has to be mapped.
 */
vm_fault_t fuse_dax_cache_fault(struct vm_fault *vmf, unsigned int said)
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
	if (!fuse_dax_cache_valid(inode, folio, said)) {
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
	    (iocb->ki_flags & IOCB_NOWAIT) || fuse_dax_is_small(inode) ||
	    !fuse_dax_window_pressed(fuse_dax_window_of(inode)))
		return false;
	if (iocb->ki_filp->f_mode & FMODE_RANDOM)
		want |= FUSE_DAX_WANT_RANDOM;
	return fuse_dax_plan_alone(inode, iocb->ki_pos >> PAGE_SHIFT, want);
}

/* Copies a page, up to @end of the file; bytes */
static size_t fuse_dax_cache_copy(struct folio *folio, loff_t pos, loff_t end,
				  struct iov_iter *to)
{
	size_t offset = offset_in_folio(folio, pos);

	folio_mark_accessed(folio);
	return copy_folio_to_iter(folio, offset,
				  min_t(loff_t, end - pos,
					folio_size(folio) - offset), to);
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
 * Return: bytes, up to the first page that is not there; 0 if that cannot be done;
 * -EINPROGRESS if the server says that data changes; or -errno.
 */
ssize_t fuse_dax_cache_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	unsigned int said = fuse_dax_notify_said(inode);
	ssize_t done = 0;
	loff_t size;

	if (!fuse_dax_cache_allowed(iocb))
		return 0;
	if (!fuse_dax_notify_settled(inode, said))
		return -EINPROGRESS;
	if (fuse_dax_notify_holds(inode))
		return 0;
	size = i_size_read(inode);
	while (iocb->ki_pos < size && iov_iter_count(to)) {
		pgoff_t index = iocb->ki_pos >> PAGE_SHIFT;
		struct folio *folio = fuse_dax_cache_peek(inode, index);
		size_t len;

		if (!folio && !done && fuse_dax_cache_wants(iocb, to))
			folio = fuse_dax_cache_get(iocb->ki_filp, index);
		/* Then by a request for the caller alone, which may say why */
		if (IS_ERR_OR_NULL(folio))
			break;
		len = fuse_dax_cache_copy(folio, iocb->ki_pos, size, to);
		folio_put(folio);
		if (!len)
			return done ?: -EFAULT;
		/*
		 * A page that was read short has zeros at its end. First the copy,
		 * then the look, as in fuse_dax_notified() it is the other way.
		 */
		smp_rmb();
		if (fuse_dax_notify_said(inode) != said) {
			iov_iter_revert(to, len);
			return done ?: -EINPROGRESS;
		}
		iocb->ki_pos += len;
		done += len;
		cond_resched();
	}
	return done;
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

	/* Pages of a small file may be there for those only who read it */
	if (!fuse_dax_cache_any(inode) || fuse_dax_is_small(inode) ||
	    READ_ONCE(fuse_dax_window_of(inode)->stopped))
		return 0;
	return filemap_map_pages(vmf, start, end);
}
