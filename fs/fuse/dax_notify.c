// SPDX-License-Identifier: GPL-2.0
/*
 * What the server says of the data of a file: unasked, that a part of it is about
 * to change, or has changed; and by attributes, that it has changed.
 *
 * What is mapped there is given up: the removes tell the server that nobody here
 * looks at it any more. Then the size is asked for, so that an access past the
 * end is SIGBUS and not whatever a window shows where a file has ended. Faults
 * wait for that; what they find mapped before may be gone by then.
 *
 * Or the server says that it is shown as it is by now, as what is written by others
 * is. Then only what the size has left behind is given up, and cached pages. Somebody
 * may write all the time, so who reads or faults waits only for what was said before he
 * came.
 *
 * A page that somebody has pinned keeps its mapping, a cached page that somebody
 * holds stays, and both are looked at again until they have become idle. Faults do
 * not wait for that, but for a moment now and then, so that those who map and unmap
 * pages all the time do not keep them busy for ever.
 */
#include "dax_i.h"

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

/* How long to wait at most before what is in use is looked at again, ms */
#define FUSE_DAX_NOTIFY_MAX	64

/*
 * While looks follow each other as fast as this, ms, faults wait for pages that
 * somebody holds: who unmaps some holds them until TLBs are flushed, and where many
 * do there is always one.
 */
#define FUSE_DAX_NOTIFY_CLOSED	16
/* How many looks in turn that may be, whatever is said meanwhile */
#define FUSE_DAX_NOTIFY_LOOKS	8

/* How often to ask for attributes at most while something here changes them */
#define FUSE_DAX_NOTIFY_ASKS	100

/* How a look at a file has ended */
enum fuse_dax_noticed {
	/* All is given up, and the size is known */
	FUSE_DAX_NOTICED,
	/* The size is not known, but will be */
	FUSE_DAX_NOTICED_LEFT,
	/* Pages are held: for a moment, or pinned, for which nobody should wait long */
	FUSE_DAX_NOTICED_HELD,
	/* Something is being used, and would be for ever */
	FUSE_DAX_NOTICED_USED,
};

/**
 * fuse_dax_notify_pending - whether what is mapped is to be given up
 * @inode: a DAX file
 *
 * Context: Any.
 * Return: true if so, and the size is not known.
 */
bool fuse_dax_notify_pending(const struct inode *inode)
{
	/* Then the size. Pairs with fuse_dax_notice_end() */
	return test_bit_acquire(FUSE_I_DAX_NOTIFIED,
				&get_fuse_inode(inode)->state);
}

/**
 * fuse_dax_notify_holds - whether a page that is cached may be an old one
 * @inode: a DAX file
 *
 * Somebody held it when it was to be dropped, or it is yet to be.
 *
 * Context: Any.
 * Return: true if there may be such a page.
 */
bool fuse_dax_notify_holds(const struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	return di && READ_ONCE(di->notice.held.first) <=
		     READ_ONCE(di->notice.held.last);
}

/**
 * fuse_dax_notify_said - how often the server has announced a change
 * @inode: a DAX file
 *
 * To be read before it is seen that none is pending, and once more when something
 * was copied: if the two differ, what was copied may be what a window shows where
 * a file has ended.
 *
 * Context: Any.
 * Return: the number.
 */
unsigned int fuse_dax_notify_said(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (!di)
		return 0;
	/* Pairs with fuse_dax_notified(): then the bit */
	return smp_load_acquire(&di->notice.said);
}

/**
 * fuse_dax_notify_settled - whether it is known what the server has meant
 * @inode: a DAX file
 * @said: fuse_dax_notify_said() when the caller began
 *
 * Context: Any.
 * Return: true if nothing is to be given up, and what was said until then is known.
 */
bool fuse_dax_notify_settled(struct inode *inode, unsigned int said)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (fuse_dax_notify_pending(inode))
		return false;
	/* Then the size, and what is cached. Pairs with fuse_dax_notice_end() */
	return !di || (int)(smp_load_acquire(&di->notice.known) - said) >= 0;
}

/* Has the worker look at a file, after some jiffies; it has its inode until then */
static void fuse_dax_notice_queue(struct inode *inode,
				  struct fuse_dax_inode *di,
				  unsigned long delay)
{
	struct fuse_dax_notice *notice = &di->notice;

	lockdep_assert_held(&inode->i_lock);
	lockdep_assert_held(&notice->lock);
	/* Here, as what makes @di knows nothing of this file */
	if (!notice->work.work.func)
		INIT_DELAYED_WORK(&notice->work, fuse_dax_notify_work);
	if (!notice->inode) {
		__iget(inode);
		fuse_mount_hold(get_fuse_mount(inode));
		notice->inode = inode;
		notice->delay = 1;
	}
	if (!delay) {
		/* What is said now need not wait as long as what was left */
		notice->delay = 1;
		mod_delayed_work(get_fuse_conn(inode)->dax->notices,
				 &notice->work, 0);
	} else {
		queue_delayed_work(get_fuse_conn(inode)->dax->notices,
				   &notice->work, delay);
	}
}

static void fuse_dax_notice_add(struct inode *inode, struct fuse_dax_inode *di,
				struct fuse_dax_span span, bool shown)
{
	struct fuse_dax_notice *notice = &di->notice;
	bool later;

	guard(spinlock)(&notice->lock);
	/* There was a look just now. Who waits for the next has it come at once */
	later = shown && notice->inode && notice->delay == 1;
	/* Again: the end of an earlier look may have cleared it */
	if (!shown)
		set_bit(FUSE_I_DAX_NOTIFIED, &get_fuse_inode(inode)->state);
	/* After the bit: who sees this sees that */
	smp_store_release(&notice->said, notice->said + 1);
	if (!shown)
		notice->told_said = notice->said;
	fuse_dax_span_add(shown ? &notice->held : &notice->told, span);
	fuse_dax_notice_queue(inode, di, later ? 1 : 0);
}

/**
 * fuse_dax_notified - the server says that data changes
 * @inode: a DAX file, which is not being freed
 * @first: first page
 * @last: last page
 * @shown: what is mapped there shows it already, and stays
 *
 * Context: &inode.i_lock held. Does not sleep.
 */
void fuse_dax_notified(struct inode *inode, pgoff_t first, pgoff_t last,
		       bool shown)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_dax_inode *di = READ_ONCE(fi->dax);

	lockdep_assert_held(&inode->i_lock);
	/* Nothing is mapped or cached. Who wants to sees the bit */
	if (!di || !shown)
		set_bit(FUSE_I_DAX_NOTIFIED, &fi->state);
	if (di)
		fuse_dax_notice_add(inode, di, (struct fuse_dax_span) { first, last },
				    shown);
}

/**
 * fuse_dax_notify_wait - wait until it is known again how large a file is
 * @inode: a DAX file
 * @said: fuse_dax_notify_said() when the caller began
 *
 * Context: Sleeps, killably; the worker waits for the server, and for
 * invalidate_lock.
 * Return: 0, -EINTR, or -ENOMEM.
 */
int fuse_dax_notify_wait(struct inode *inode, unsigned int said)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_dax_inode *di = fuse_dax_inode_get(inode);

	if (!di)
		return -ENOMEM;
	scoped_guard(spinlock, &inode->i_lock) {
		guard(spinlock)(&di->notice.lock);
		if (!fuse_dax_notify_settled(inode, said) &&
		    (!di->notice.inode || delayed_work_pending(&di->notice.work)))
			fuse_dax_notice_queue(inode, di, 0);
	}
	if (wait_var_event_killable(&fi->state,
				    fuse_dax_notify_settled(inode, said)))
		return -EINTR;
	return 0;
}

/* Whether nobody need be told any more that a mapping was given up */
static bool fuse_dax_notify_over(struct inode *inode)
{
	return READ_ONCE(fuse_dax_window_of(inode)->stopped) ||
	       list_empty_careful(&get_fuse_mount(inode)->fc_entry);
}

/* Drops cached pages, and has the worker come for those that somebody holds */
static void fuse_dax_notify_drop(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_span span = { .last = ULONG_MAX };

	fuse_dax_cache_renew(inode, &span);
	if (span.first > span.last)
		return;
	guard(spinlock)(&inode->i_lock);
	/* What begins once the mount was drained would keep the inode */
	if (inode_state_read(inode) & (I_FREEING | I_WILL_FREE) ||
	    fuse_dax_notify_over(inode))
		return;
	guard(spinlock)(&di->notice.lock);
	fuse_dax_span_add(&di->notice.held, span);
	fuse_dax_notice_queue(inode, di, 1);
}

/**
 * fuse_dax_size_learnt - the size was found to be another one on the server
 * @inode: a DAX file
 * @oldsize: size before, bytes
 * @size: size now, bytes; i_size has been set
 *
 * Context: See fuse_dax_size_set(), but for the lock. Takes invalidate_lock for
 * write.
 */
void fuse_dax_size_learnt(struct inode *inode, loff_t oldsize, loff_t size)
{
	struct address_space *mapping = inode->i_mapping;

	if (size == oldsize || !READ_ONCE(get_fuse_inode(inode)->dax))
		return;

	if (size < oldsize) {
		filemap_invalidate_lock(mapping);
		fuse_dax_size_set(inode, size);
		filemap_invalidate_unlock(mapping);
	}
	/* Somebody else has written to it */
	fuse_dax_notify_drop(inode);
}

/**
 * fuse_dax_attr_learnt - attributes came from the server
 * @inode: a DAX file, with the new attributes
 * @oldsize: size before, bytes
 * @old_mtime: modification time before
 *
 * What the window shows is the server's own. Cached pages are as old as those of
 * a file without DAX may be.
 *
 * Context: See fuse_dax_size_learnt(). Locks pages.
 */
void fuse_dax_attr_learnt(struct inode *inode, loff_t oldsize,
			  struct timespec64 old_mtime)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_conn *fc = get_fuse_conn(inode);
	struct timespec64 mtime = inode_get_mtime(inode);
	bool modified = !timespec64_equal(&mtime, &old_mtime);
	loff_t size = i_size_read(inode);

	fuse_dax_size_learnt(inode, oldsize, size);
	if (!di || size != oldsize || !fc->auto_inval_data)
		return;
	if (READ_ONCE(di->teller) == current) {
		if (modified)
			WRITE_ONCE(di->doubtful, true);
	} else if (modified || READ_ONCE(di->doubtful)) {
		WRITE_ONCE(di->doubtful, false);
		fuse_dax_notify_drop(inode);
	}
}

/*
 * What has to be given up so that nothing is shown of some pages: whole ranges, and
 * whole mappings where they go as a whole. Whether there is any.
 */
static bool fuse_dax_notify_widen(struct fuse_dax_window *win,
				  struct fuse_dax_inode *di, pgoff_t *first,
				  pgoff_t *last)
{
	pgoff_t end = *last | (fuse_dax_range_to_page(1) - 1);
	struct fuse_dax_map *map;

	*first = round_down(*first, fuse_dax_range_to_page(1));
	guard(rwsem_read)(&di->sem);
	map = fuse_dax_map_first(di, *first, end);
	*last = end;
	if (!map || fuse_dax_window_cuts(win))
		return map;
	*first = min(*first, map->itn.start);
	while ((map = fuse_dax_map_first(di, end, end)) && map->itn.last > end)
		end = map->itn.last;
	*last = end;
	return true;
}

/*
 * Gives up what is mapped from @first to @last. Who uses some of it is not in the
 * way for long, but where many do there is always one: so no more begin to.
 */
static enum fuse_dax_noticed
fuse_dax_notify_detach(struct inode *inode, struct fuse_dax_inode *di,
		       pgoff_t first, pgoff_t last)
{
	enum fuse_dax_noticed noticed = FUSE_DAX_NOTICED;
	struct fuse_dax_window *win = fuse_dax_window_of(inode);

	if (first > last)
		return noticed;
	filemap_invalidate_lock(inode->i_mapping);
	if (fuse_dax_notify_widen(win, di, &first, &last)) {
		/* At once, and of what cannot be detached too */
		unmap_mapping_pages(inode->i_mapping, first, last - first + 1,
				    false);
		if (!fuse_dax_detach_range(di, first, last))
			noticed = FUSE_DAX_NOTICED_USED;
		else if (fuse_dax_notify_widen(win, di, &first, &last))
			noticed = FUSE_DAX_NOTICED_HELD;
	}
	filemap_invalidate_unlock(inode->i_mapping);
	return noticed;
}

/* What a look is about: pages that are mapped; and cached pages that are to go */
struct fuse_dax_look {
	struct fuse_dax_span told, held;
	unsigned int said;
	/* &fuse_conn.attr_version: what is asked for from now on knows of it */
	u64 asked;
};

/*
 * Asks for the attributes. What they say of the size ends what is mapped past the
 * end. That there is word of newer ones since, as of a file that somebody writes to
 * on the host, is for the next look. False if they are not taken because the file is
 * being written to here; the write's answer tells of the size too, and who writes may
 * fault on the file, and wait for us.
 */
static bool fuse_dax_notify_ask(struct inode *inode,
				const struct fuse_dax_look *look)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	int err;

	for (int i = 0; i < FUSE_DAX_NOTIFY_ASKS; i++) {
		if (READ_ONCE(fi->attr_asked) >= look->asked)
			return true;
		fuse_invalidate_attr_mask(inode, STATX_SIZE);
		err = fuse_update_attributes(inode, NULL, STATX_BASIC_STATS);
		/* A server that is short of something is asked again */
		if (err)
			return err != -ENOMEM && err != -EMFILE && err != -ENFILE;
		if (test_bit(FUSE_I_SIZE_UNSTABLE, &fi->state))
			break;
	}
	return READ_ONCE(fi->attr_asked) >= look->asked;
}

static void fuse_dax_notice_begin(struct inode *inode,
				  struct fuse_dax_notice *notice,
				  struct fuse_dax_look *look)
{
	guard(spinlock)(&notice->lock);
	/* Once more, if it was cleared for what is held */
	if (notice->told.first <= notice->told.last && notice->delay == 1)
		set_bit(FUSE_I_DAX_NOTIFIED, &get_fuse_inode(inode)->state);
	*look = (struct fuse_dax_look) {
		.told = notice->told,
		.held = notice->held,
		.said = notice->said,
		.asked = fuse_get_attr_version(get_fuse_conn(inode)),
	};
	notice->told = FUSE_DAX_NO_PAGES;
	notice->held = FUSE_DAX_NO_PAGES;
}

/* Whether faults wait for the next look, too: not for ever, for a page that is pinned */
static bool fuse_dax_notice_closed(struct fuse_dax_notice *notice,
				   enum fuse_dax_noticed noticed)
{
	return noticed == FUSE_DAX_NOTICED_USED ||
	       (noticed == FUSE_DAX_NOTICED_HELD &&
		notice->delay <= FUSE_DAX_NOTIFY_CLOSED &&
		++notice->closed < FUSE_DAX_NOTIFY_LOOKS);
}

/*
 * Ends one look, or has the worker come again for what it left; true if the
 * inode is let go.
 */
static bool fuse_dax_notice_end(struct inode *inode,
				struct fuse_dax_notice *notice,
				enum fuse_dax_noticed noticed,
				const struct fuse_dax_look *look)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	bool more, over;

	guard(spinlock)(&notice->lock);
	if (noticed)
		fuse_dax_span_add(&notice->told, look->told);
	fuse_dax_span_add(&notice->held, look->held);
	more = notice->said != look->said;
	over = !more && ((!noticed && notice->held.first > notice->held.last) ||
			 fuse_dax_notify_over(inode));
	if (over || !fuse_dax_notice_closed(notice, noticed)) {
		/* Pairs with fuse_dax_notify_settled() */
		smp_store_release(&notice->known, look->said);
		if ((int)(look->said - notice->told_said) >= 0)
			clear_bit_unlock(FUSE_I_DAX_NOTIFIED, &fi->state);
		notice->closed = 0;
	}
	/*
	 * There is another look for what was said since, which ends it; or for cached
	 * pages that somebody holds, which nobody waits for
	 */
	if (more || delayed_work_pending(&notice->work))
		return false;
	if (over) {
		notice->told = FUSE_DAX_NO_PAGES;
		notice->held = FUSE_DAX_NO_PAGES;
		notice->inode = NULL;
		return true;
	}
	queue_delayed_work(get_fuse_conn(inode)->dax->notices, &notice->work,
			   msecs_to_jiffies(notice->delay));
	if (notice->delay < FUSE_DAX_NOTIFY_MAX)
		notice->delay *= 2;
	else if (noticed == FUSE_DAX_NOTICED_HELD)
		/* They may all be idle at once if nobody comes for a while */
		notice->delay = 1;
	return false;
}

/* Drops the cached pages that a look is about; those that stay are held */
static void fuse_dax_look_drop(struct inode *inode, struct fuse_dax_look *look)
{
	struct fuse_dax_span told = look->told;

	fuse_dax_cache_renew(inode, &look->held);
	fuse_dax_cache_renew(inode, &told);
	fuse_dax_span_add(&look->held, told);
}

/**
 * fuse_dax_notify_work - give up what the server has said is to change
 * @work: &fuse_dax_notice.work
 */
void fuse_dax_notify_work(struct work_struct *work)
{
	struct fuse_dax_notice *notice = container_of(to_delayed_work(work),
						      typeof(*notice), work);
	struct fuse_dax_inode *di = container_of(notice, typeof(*di), notice);
	struct inode *inode = notice->inode;
	struct fuse_mount *fm = get_fuse_mount(inode);
	enum fuse_dax_noticed noticed;
	struct fuse_dax_look look;
	bool put;

	fuse_dax_notice_begin(inode, notice, &look);
	noticed = fuse_dax_notify_detach(inode, di, look.told.first,
					 look.told.last);
	if (!fuse_dax_notify_ask(inode, &look))
		noticed = max(noticed, FUSE_DAX_NOTICED_LEFT);
	fuse_dax_look_drop(inode, &look);
	put = fuse_dax_notice_end(inode, notice, noticed, &look);
	/* First what they wait for, then the look for who waits */
	smp_mb();
	wake_up_var(&get_fuse_inode(inode)->state);
	if (put) {
		iput(inode);
		fuse_mount_release(fm);
	}
}
