// SPDX-License-Identifier: GPL-2.0
/*
 * How cached pages leave: written back, taken from page tables, dropped.
 *
 * A page is dropped because its range is going to be mapped, because the file has
 * changed on the server, or because it is going to be changed there. It stays if
 * somebody holds it, who may store to it when it is nobody's any more: for DMA, or
 * on behalf of another task. Then its range is not mapped.
 */
#include "dax_i.h"

#include <linux/folio_batch.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/swap.h>
#include <linux/uio.h>
#include <linux/writeback.h>

/** enum fuse_dax_cache_drop - how fuse_dax_cache_drop() treats a page */
enum fuse_dax_cache_drop {
	/** @FUSE_DAX_DROP_WRITE: it is written back first, if it is dirty */
	FUSE_DAX_DROP_WRITE	= BIT(0),
	/** @FUSE_DAX_DROP_HELD: it goes even if somebody holds it */
	FUSE_DAX_DROP_HELD	= BIT(1),
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

/* Writes back what is dirty; errors are left to those who ask for them */
static void fuse_dax_cache_write(struct address_space *mapping, pgoff_t first,
				 pgoff_t last)
{
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_ALL,
		.nr_to_write = LONG_MAX,
		.range_start = (loff_t)first << PAGE_SHIFT,
		.range_end = last == ULONG_MAX ? LLONG_MAX :
			     ((loff_t)last << PAGE_SHIFT) | ~PAGE_MASK,
	};

	if (mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		fuse_writepages(mapping, &wbc);
	filemap_fdatawait_range_keep_errors(mapping, wbc.range_start,
					    wbc.range_end);
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
	if (fuse_dax_cache_any(inode))
		fuse_dax_cache_write(inode->i_mapping, start >> PAGE_SHIFT,
				     last >> PAGE_SHIFT);
}

/* Takes pages from page tables: those that are neighbours by one walk */
static void fuse_dax_cache_unmap(struct address_space *mapping, pgoff_t first,
				 pgoff_t last)
{
	struct folio_batch batch;
	pgoff_t start = 0, end = 0;

	folio_batch_init(&batch);
	while (first <= last &&
	       filemap_get_folios(mapping, &first, last, &batch)) {
		for (unsigned int i = 0; i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];

			if (!folio_mapped(folio))
				continue;
			if (folio->index != end) {
				if (end)
					unmap_mapping_pages(mapping, start,
							    end - start, false);
				start = folio->index;
			}
			end = folio_next_index(folio);
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	if (end)
		unmap_mapping_pages(mapping, start, end - start, false);
}

/*
 * Whether nobody but the page cache and the caller holds a page, which is locked
 * and in no page tables: so nobody gets hold of it but by looking it up, and does
 * not store to it then.
 */
static bool fuse_dax_cache_sole(struct folio *folio,
				enum lru_cache_drained *drained)
{
	int refs = folio_expected_ref_count(folio) + 1;

	/* A CPU may have it in a batch for the LRU lists */
	lru_cache_drain_for_folio(folio, 1, drained);
	if (!folio_ref_freeze(folio, refs))
		return false;
	folio_ref_unfreeze(folio, refs);
	return true;
}

/* Drops one page, which is locked; 0 or -errno */
static int fuse_dax_cache_drop_folio(struct inode *inode, struct folio *folio,
				     unsigned int how,
				     enum lru_cache_drained *drained)
{
	struct address_space *mapping = inode->i_mapping;
	struct fuse_inode *fi = get_fuse_inode(inode);
	int err;

	folio_wait_writeback(folio);
	/* Who ends it holds the page for a moment longer, and this lock */
	spin_lock(&fi->lock);
	spin_unlock(&fi->lock);
	/* Somebody may have mapped it again meanwhile, and stored to it */
	if (folio_mapped(folio))
		unmap_mapping_pages(mapping, folio->index,
				    folio_nr_pages(folio), false);
	/*
	 * Who gets hold of the page by page tables either holds it by now or finds
	 * that it is not there any more.
	 */
	if (!(how & FUSE_DAX_DROP_HELD) && !fuse_dax_cache_sole(folio, drained))
		return -EBUSY;
	if (how & FUSE_DAX_DROP_WRITE) {
		err = fuse_launder_folio(folio);
		/* Not lost while it need not go */
		if (err && !(how & FUSE_DAX_DROP_HELD))
			folio_mark_dirty(folio);
		if (folio_test_dirty(folio) && !(how & FUSE_DAX_DROP_HELD))
			return err ?: -EBUSY;
	}
	return generic_error_remove_folio(mapping, folio);
}

/*
 * Drops pages from @first to @last, and leaves alone what the window shows.
 * The first error; it goes on all the same. Adds to @held what somebody holds.
 */
static int fuse_dax_cache_drop(struct inode *inode, pgoff_t first, pgoff_t last,
			       unsigned int how, struct fuse_dax_span *held)
{
	struct address_space *mapping = inode->i_mapping;
	enum lru_cache_drained drained = LRU_CACHE_NOT_DRAINED;
	struct folio_batch batch;
	int err = 0;

	if (how & FUSE_DAX_DROP_WRITE)
		fuse_dax_cache_write(mapping, first, last);
	fuse_dax_cache_unmap(mapping, first, last);
	folio_batch_init(&batch);
	while (first <= last &&
	       filemap_get_folios(mapping, &first, last, &batch)) {
		for (unsigned int i = 0; i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];
			int res = 0;

			folio_lock(folio);
			if (folio->mapping == mapping)
				res = fuse_dax_cache_drop_folio(inode, folio,
								how, &drained);
			folio_unlock(folio);
			if (res == -EBUSY && held)
				fuse_dax_span_add(held, (struct fuse_dax_span) {
					folio->index,
					folio_next_index(folio) - 1 });
			err = err ?: res;
		}
		folio_batch_release(&batch);
		cond_resched();
	}
	return err;
}

/* Whether somebody holds a page, who has not only just got it. A hint */
static bool fuse_dax_cache_held_folio(struct folio *folio,
				      enum lru_cache_drained *drained)
{
	if (!folio_test_lru(folio))
		return false;
	/* A CPU may have it in a batch, to activate it */
	lru_cache_drain_for_folio(folio, 1, drained);
	return folio_ref_count(folio) > folio_expected_ref_count(folio) + 1;
}

/**
 * fuse_dax_cache_held - whether a page is in the way of a mapping
 * @inode: the file
 * @first: first page of what is to be mapped
 * @last: last page
 *
 * Return: true if somebody holds a cached page there, so that nobody need give up a
 * range for that. A hint.
 */
bool fuse_dax_cache_held(struct inode *inode, pgoff_t first, pgoff_t last)
{
	enum lru_cache_drained drained = LRU_CACHE_NOT_DRAINED;
	struct folio_batch batch;
	bool held = false;
	unsigned int i;

	if (!fuse_dax_cache_any(inode))
		return false;
	folio_batch_init(&batch);
	while (!held && first <= last &&
	       filemap_get_folios(inode->i_mapping, &first, last, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			held |= fuse_dax_cache_held_folio(batch.folios[i],
							  &drained);
		folio_batch_release(&batch);
		cond_resched();
	}
	return held;
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
				   FUSE_DAX_DROP_WRITE, NULL) ? -EDEADLK : 0;
}

/**
 * fuse_dax_cache_invalidate - drop pages because the server has newer ones
 * @inode: a DAX file
 * @first: first page
 * @last: last page
 *
 * A page that somebody holds stays, and is written back.
 *
 * Context: Locks pages, and waits for the server if there is something to be
 * written back.
 * Return: 0, or -errno if a page has stayed.
 */
int fuse_dax_cache_invalidate(struct inode *inode, pgoff_t first, pgoff_t last)
{
	if (!fuse_dax_cache_any(inode))
		return 0;
	return fuse_dax_cache_drop(inode, first, last, FUSE_DAX_DROP_WRITE,
				   NULL);
}

/**
 * fuse_dax_cache_renew - the same, but tell which pages are to be dropped later
 * @inode: a DAX file
 * @span: pages; then those that stay because somebody holds them
 *
 * Context: See fuse_dax_cache_invalidate().
 */
void fuse_dax_cache_renew(struct inode *inode, struct fuse_dax_span *span)
{
	struct fuse_dax_span held = FUSE_DAX_NO_PAGES;

	if (span->first <= span->last && fuse_dax_cache_any(inode))
		fuse_dax_cache_drop(inode, span->first, span->last,
				    FUSE_DAX_DROP_WRITE, &held);
	*span = held;
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
						       FUSE_DAX_DROP_HELD, NULL);
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
	/* One that somebody holds is still there */
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
			    FUSE_DAX_DROP_HELD, NULL);
}

/* Has CPUs give up pages that they have in batches for the LRU lists */
static void fuse_dax_cache_drain(struct address_space *mapping, pgoff_t first,
				 pgoff_t last)
{
	enum lru_cache_drained drained = LRU_CACHE_NOT_DRAINED;
	struct folio_batch batch;

	folio_batch_init(&batch);
	while (drained != LRU_CACHE_DRAINED_ALL && first <= last &&
	       filemap_get_folios(mapping, &first, last, &batch)) {
		for (unsigned int i = 0; i < folio_batch_count(&batch); i++)
			lru_cache_drain_for_folio(batch.folios[i], 1, &drained);
		folio_batch_release(&batch);
		cond_resched();
	}
}

/**
 * fuse_dax_cache_forget - drop clean pages that nobody has mapped
 * @inode: a DAX file
 * @first: first page
 * @last: last page
 */
void fuse_dax_cache_forget(struct inode *inode, pgoff_t first, pgoff_t last)
{
	if (!fuse_dax_cache_any(inode))
		return;
	/* Else it would leave alone what was read just now */
	fuse_dax_cache_drain(inode->i_mapping, first, last);
	invalidate_mapping_pages(inode->i_mapping, first, last);
}
