/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private to the DAX driver: dax*.c and its tests.
 */
#ifndef _FS_FUSE_DAX_I_H
#define _FS_FUSE_DAX_I_H

#include "fuse_i.h"

#include <linux/interval_tree.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/*
 * The window is divided in ranges of this size. It is the PMD size of x86-64
 * and of arm64 with 4K pages, so that a range can be mapped by one PMD, and the
 * largest map_alignment of a server that the driver can honour.
 */
#define FUSE_DAX_RANGE_SHIFT	21
#define FUSE_DAX_RANGE_SIZE	BIT(FUSE_DAX_RANGE_SHIFT)
#define FUSE_DAX_RANGE_PAGE_SHIFT (FUSE_DAX_RANGE_SHIFT - PAGE_SHIFT)

/*
 * The ranges of a piece get their pages together: 128 MiB, aligned as memory is. On
 * x86-64 that is a section of memory, and its pages take one huge page.
 */
#define FUSE_DAX_PIECE_RANGES	64U
#define FUSE_DAX_PIECE_PAGES	fuse_dax_range_to_page(FUSE_DAX_PIECE_RANGES)

/* Largest file that is cached whole when it is read, bytes */
#define FUSE_DAX_SMALL_MAX	SZ_64K

/* REMOVEMAPPING entries in one request: what one page holds, by the protocol */
#define FUSE_DAX_REMOVE_BATCH	FUSE_REMOVEMAPPING_MAX_ENTRY

struct fuse_dax_sysfs;
struct fuse_dax_window;

/**
 * struct fuse_dax_run - contiguous ranges of the window
 * @first: index of the first range
 * @nr: number of ranges
 * @stale: the server may still show an old mapping of exactly this run: it has
 *	to be replaced by a mapping of this run as a whole, or removed, before
 *	any part of it is used otherwise. VIRTIO 1.3, 5.11.6.4: a setup that
 *	"perfectly overlaps a previous mapping" replaces it.
 * @part: what the server may still show there is a part of a longer mapping,
 *	so that to replace it, or to remove it, makes one mapping more
 */
struct fuse_dax_run {
	unsigned int first;
	unsigned int nr;
	bool stale;
	bool part;
};

static inline u64 fuse_dax_run_moffset(const struct fuse_dax_run *run)
{
	return (u64)run->first << FUSE_DAX_RANGE_SHIFT;
}

static inline u64 fuse_dax_run_len(const struct fuse_dax_run *run)
{
	return (u64)run->nr << FUSE_DAX_RANGE_SHIFT;
}

/** enum fuse_dax_state - where a mapping is in its life */
enum fuse_dax_state {
	/** @FUSE_DAX_SETUP: placeholder; the setup has not been answered */
	FUSE_DAX_SETUP,
	/** @FUSE_DAX_LIVE: the run shows the file */
	FUSE_DAX_LIVE,
	/** @FUSE_DAX_DETACH: being taken from the inode; LIVE or GONE is next */
	FUSE_DAX_DETACH,
	/** @FUSE_DAX_GONE: not in the tree any more, or never was */
	FUSE_DAX_GONE,
};

/**
 * struct fuse_dax_map - a mapping: a run of the window that shows a run of a file
 * @itn: node of the inode's tree, page offsets in the file. Protected by
 *	&fuse_dax_inode.sem; constant while in the tree. When a part of it is
 *	detached it becomes that part, and others take its place in the tree
 * @list: on &fuse_dax_window.lru while LIVE, on @dying or @bad of the window
 *	after it was detached. Protected by &fuse_dax_window.lock
 * @win: the window. Constant
 * @inode: whose data it shows; valid while in the tree, and while
 *	&fuse_dax_inode.reclaimers of @di is not zero. Constant
 * @di: DAX state of @inode. Constant
 * @nodeid: of @inode; outlives it. Constant
 * @ino: likewise, what users know the file by
 * @run: the ranges. Constant while in the tree
 * @writable: stores are allowed. Constant once LIVE
 * @referenced: used since reclaim last looked. Racy hint
 * @renewed: it has taken the place of a mapping that showed the same. Constant
 *	while in the tree
 * @fleeting: the next to be reclaimed, used or not. Protected by
 *	&fuse_dax_window.lock
 * @hand: range of the run at which reclaim looks next for a part. Racy hint
 * @state: changed under &fuse_dax_inode.sem held for write, with
 *	store_release_wake_up() where somebody may wait_var_event() for it;
 *	READ_ONCE() elsewhere
 * @error: why the setup failed; valid when a setup went GONE. 0 or -errno
 * @ref: one for the tree (passed to the window's list by detach), one for each
 *	user. A mapping with users is never detached
 */
struct fuse_dax_map {
	struct interval_tree_node itn;
	struct list_head list;
	struct fuse_dax_window *win;
	struct inode *inode;
	struct fuse_dax_inode *di;
	u64 nodeid;
	u64 ino;
	struct fuse_dax_run run;
	bool writable;
	bool referenced;
	bool renewed;
	bool fleeting;
	unsigned int hand;
	enum fuse_dax_state state;
	int error;
	refcount_t ref;
};

/** enum fuse_dax_small_state - whether pages of a small file are good */
enum fuse_dax_small_state {
	/** @FUSE_DAX_SMALL_NONE: there are none, of which anything is known */
	FUSE_DAX_SMALL_NONE,
	/** @FUSE_DAX_SMALL_KEPT: they are while the file is what was described */
	FUSE_DAX_SMALL_KEPT,
	/** @FUSE_DAX_SMALL_ENDS: they are not, and are being dropped */
	FUSE_DAX_SMALL_ENDS,
};

/**
 * struct fuse_dax_small - what a small file was before its pages were read
 * @state: of its pages
 * @attr_version: of the inode, see fuse_dax_small_version()
 * @size: bytes
 * @mtime: of the file
 * @ctime: of the file
 * @settled: these tell of any later change
 *
 * Protected by &fuse_dax_inode.sem; READ_ONCE() of @state elsewhere.
 */
struct fuse_dax_small {
	enum fuse_dax_small_state state;
	u64 attr_version;
	loff_t size;
	struct timespec64 mtime;
	struct timespec64 ctime;
	bool settled;
};

/**
 * struct fuse_dax_span - pages, from one to another
 * @first: first page; after @last if there are none
 * @last: last page
 */
struct fuse_dax_span {
	pgoff_t first;
	pgoff_t last;
};

#define FUSE_DAX_NO_PAGES ((struct fuse_dax_span) { .first = ULONG_MAX })

static inline void fuse_dax_span_add(struct fuse_dax_span *span,
				     struct fuse_dax_span more)
{
	span->first = min(span->first, more.first);
	span->last = max(span->last, more.last);
}

/**
 * struct fuse_dax_notice - what the server has said of the data of a file
 * @lock: protects the fields below. Taken with &inode.i_lock held
 * @inode: referenced while @work has something to do, else NULL
 * @told: pages that are to be given up
 * @held: pages that are to be dropped if they are cached: others are right, or were
 *	dropped when somebody held these
 * @delay: until @work looks again at what is in use, ms
 * @closed: looks in turn for which faults have waited because of what is held
 * @said: how often something was said; READ_ONCE() elsewhere
 * @told_said: @said when last something was @told
 * @known: up to which of @said the size is known, and what was cached is dropped, or in
 *	@held. READ_ONCE() elsewhere
 * @work: gives it up; nothing before the first use
 */
struct fuse_dax_notice {
	/* protects what follows */
	spinlock_t lock;
	struct inode *inode;
	struct fuse_dax_span told;
	struct fuse_dax_span held;
	unsigned int delay;
	unsigned int closed;
	unsigned int said;
	unsigned int told_said;
	unsigned int known;
	struct delayed_work work;
};

/**
 * struct fuse_dax_inode - DAX state of an inode, made at the first mapping
 * @sem: protects @tree, the state of its mappings and the fields below. Not
 *	held across a request
 * @tree: of &struct fuse_dax_map
 * @next: range of the file behind the last planned mapping: a miss there is
 *	sequential use
 * @run: ranges in the last planned mapping
 * @missed: range of the file of the last miss that fell back or was cached
 * @missed_alone: times in turn that one there was cached
 * @small_misses: misses that fell back because the file is small
 * @sparse: setups for writing that are still to be for one range, because the
 *	server would not fill the holes of more. READ_ONCE() elsewhere
 * @cached: the file has or had pages in the page cache; set once. READ_ONCE()
 *	elsewhere
 * @withdrawn: &fuse_dax_window.withdrawn when a fleeting mapping was last taken
 *	from the inode; 0: never. Protected by &fuse_dax_window.lock
 * @small: how long its pages are good if it is a small file
 * @unmappable: the server has said that it cannot map the file; set once.
 *	READ_ONCE()
 * @unwritable: the server has said that it does not map the file for writing; set
 *	once. READ_ONCE()
 * @stored: range of the file where a fault last made room for a cached page to be
 *	stored to, because of that. READ_ONCE()
 * @writer: the task that holds i_rwsem to write the file, or NULL. READ_ONCE()
 * @teller: the task that learns the times which a store of ours has now, or NULL.
 *	Others only compare it with themselves
 * @doubtful: others may have modified the file before these times, of which
 *	cached pages know nothing; the next attributes drop them
 * @put: on &fuse_dax_window.puts
 * @held: the inode, while on that list
 * @notice: what the server has said of the data
 * @reclaimers: tasks that try to detach or unmap a mapping which they found
 *	through the window, and so without a reference to the inode: eviction
 *	waits for zero with wait_var_event(), and any allocation may lead to it
 *	that is not GFP_NOFS. Raised under &fuse_dax_window.lock
 */
struct fuse_dax_inode {
	struct rw_semaphore sem;
	struct rb_root_cached tree;
	unsigned long next;
	unsigned long missed;
	unsigned int missed_alone;
	unsigned int run;
	unsigned int small_misses;
	unsigned int sparse;
	bool cached;
	unsigned long withdrawn;
	struct fuse_dax_small small;
	bool unmappable;
	bool unwritable;
	unsigned long stored;
	struct task_struct *writer;
	struct task_struct *teller;
	bool doubtful;
	struct llist_node put;
	struct inode *held;
	struct fuse_dax_notice notice;
	atomic_t reclaimers;
};

/** enum fuse_dax_stat - counters of a window, files of the sysfs directory */
enum fuse_dax_stat {
	/** @FUSE_DAX_SETUPS: setups answered with success */
	FUSE_DAX_SETUPS,
	/** @FUSE_DAX_SETUP_ERRORS: setups answered with an error */
	FUSE_DAX_SETUP_ERRORS,
	/** @FUSE_DAX_REMOVES: remove requests */
	FUSE_DAX_REMOVES,
	/** @FUSE_DAX_RECLAIMED: mappings taken from an inode for reuse */
	FUSE_DAX_RECLAIMED,
	/** @FUSE_DAX_WAITS: faults that waited for a range or for write access */
	FUSE_DAX_WAITS,
	/** @FUSE_DAX_FALLBACK_READS: reads served by FUSE_READ */
	FUSE_DAX_FALLBACK_READS,
	/** @FUSE_DAX_FALLBACK_WRITES: writes served by FUSE_WRITE */
	FUSE_DAX_FALLBACK_WRITES,
	/** @FUSE_DAX_CACHE_READS: pages read into the page cache, of small files too */
	FUSE_DAX_CACHE_READS,
	FUSE_DAX_NR_STATS,
};

/**
 * struct fuse_dax_stats - what one processor has counted
 * @nr: by &enum fuse_dax_stat
 */
struct fuse_dax_stats {
	unsigned long nr[FUSE_DAX_NR_STATS];
};

/**
 * struct fuse_dax_piece - a piece of the window that has its pages
 * @pgmap: these
 * @looks: how often in turn it was found to show nothing
 * @since: when it was for the first time of these, jiffies
 */
struct fuse_dax_piece {
	struct dev_pagemap pgmap;
	unsigned int looks;
	unsigned long since;
};

/**
 * struct fuse_dax_pieces - the pages of a window, by pieces
 * @win: the window. Constant
 * @pfn: its first page. Constant
 * @node: where the pages are accounted for. Constant
 * @skew: ranges by which the window begins behind the start of a piece. Constant
 * @nr: number of pieces, the first and the last may be in part. Constant
 * @nr_pages: pages of the window that are there; READ_ONCE() elsewhere
 * @urgent: memory is short: what shows nothing is to go sooner. Racy hint
 * @shrinker: sets that; NULL once the window was stopped
 * @shrink_work: looks for pieces to be given up
 * @piece: NULL for one without pages. Who looks for pages holds the RCU read lock,
 *	or a range of the piece, or comes after fuse_dax_piece_stop()
 *
 * A mutex of dax_piece.c protects what is not constant.
 */
struct fuse_dax_pieces {
	struct fuse_dax_window *win;
	unsigned long pfn;
	int node;
	unsigned int skew;
	unsigned int nr;
	unsigned long nr_pages;
	bool urgent;
	struct shrinker *shrinker;
	struct delayed_work shrink_work;
	struct fuse_dax_piece __rcu *piece[] __counted_by(nr);
};

/**
 * struct fuse_dax_window - the DAX window of a connection
 * @dev: translates window offsets to memory. Constant
 * @fc: the connection; NULL in unit tests. Constant
 * @nr_ranges: ranges in use of the window. Constant
 * @max_run: ranges of the longest mapping: a file's fair share. Constant
 * @replaces: see fuse_dax_conn_replaces(). Constant once the connection is used
 * @removes_parts: see fuse_dax_conn_removes_parts(). Likewise
 * @pieces: its pages; NULL if it always has all. Constant once it is used
 * @stopped: the connection goes down: memory is not used any more.
 *	Set under @lock. READ_ONCE() elsewhere
 * @disabled: the server does not do setups; set once. READ_ONCE()
 * @nr_waiters: tasks in @wait; protected by @lock. READ_ONCE()
 *	elsewhere
 * @starved: until when those who would wait briefly do not, jiffies, because
 *	somebody has done so in vain. READ_ONCE()
 * @stats: see &enum fuse_dax_stat. Constant
 * @lock: protects the fields below, up to @wait. Leaf
 * @used: bit set: range is part of a mapping, dying or bad, or has no pages
 * @starts: bit set: a mapping on @lru, @dying or @bad begins there, or one whose
 *	setup has no answer yet
 * @maps: that mapping
 * @nr_free: clear bits in @used
 * @nr_absent: ranges that have no pages; READ_ONCE() elsewhere
 * @nr_hoped: how many of these may get some, for all that is known: 0 when the last
 *	try was in vain. READ_ONCE() elsewhere
 * @nr_wanted: ranges that were wanted and not there since pages came last
 * @growing: @grow_work is queued or runs; READ_ONCE() elsewhere
 * @grow_until: how long who needs a range waits for pages, before it takes one from
 *	others, jiffies. READ_ONCE() elsewhere
 * @grow_at: when pages may be asked for again, jiffies. READ_ONCE() elsewhere
 * @nr_dying: ranges in @dying, or whose remove is under way
 * @nr_bad: ranges whose remove failed
 * @nr_runs: runs taken: in setup, live, dying or bad. The server holds
 *	resources for each
 * @max_runs: limit for @nr_runs that is in force
 * @known_runs: the limit that the server's errors tell of, no less than
 *	@max_runs; UINT_MAX: none
 * @probe_at: when a limit that has been reached is tried to be exceeded, jiffies.
 *	READ_ONCE() elsewhere
 * @probe_wait: how long a limit holds that a refusal has set, jiffies
 * @probed: @known_runs was raised, and nothing was refused since
 * @nr_live: mappings in @lru; READ_ONCE() elsewhere
 * @withdrawn: mappings ever detached
 * @lru: LIVE mappings, the next victim first
 * @dying: detached mappings to be removed by @remove_work
 * @bad: detached mappings whose remove failed
 * @wait: woken when ranges become free or a mapping idle
 * @grow_work: gives ranges pages; nothing without @pieces
 * @remove_work: sends the removes
 * @retry_work: queues @remove_work while there are ranges in @bad
 * @puts: &struct fuse_dax_inode whose inode may have no other reference
 * @put_work: drops these
 * @notices: runs &fuse_dax_notice.work, of so many files at a time. Constant
 * @disable_work: drops the inodes from the caches once @disabled is set
 * @entries: body of the remove request, so that a remove allocates nothing.
 *	Used by @remove_work only
 * @sysfs: /sys/fs/virtiofs/<n>/dax, or NULL. Constant
 * @dump: the file of dax_dump.c, or NULL, or an ERR_PTR(). Constant
 */
struct fuse_dax_window {
	struct dax_device *dev;
	struct fuse_conn *fc;
	unsigned int nr_ranges;
	unsigned int max_run;
	bool replaces;
	bool removes_parts;
	struct fuse_dax_pieces *pieces;

	/* Read by each who uses memory, and hardly ever written */
	bool stopped;
	bool disabled;
	unsigned int nr_waiters;
	unsigned long starved;
	struct fuse_dax_stats __percpu *stats;

	/* protects what follows, up to @wait, and @stopped and @nr_waiters */
	spinlock_t lock ____cacheline_aligned_in_smp;
	unsigned long *used;
	unsigned long *starts;
	struct fuse_dax_map **maps;
	unsigned int nr_free;
	unsigned int nr_absent;
	unsigned int nr_hoped;
	unsigned int nr_wanted;
	bool growing;
	unsigned long grow_until;
	unsigned long grow_at;
	unsigned int nr_dying;
	unsigned int nr_bad;
	unsigned int nr_runs;
	unsigned int max_runs;
	unsigned int known_runs;
	unsigned long probe_at;
	unsigned long probe_wait;
	bool probed;
	unsigned int nr_live;
	unsigned long withdrawn;
	struct list_head lru;
	struct list_head dying;
	struct list_head bad;

	wait_queue_head_t wait;
	struct work_struct grow_work;
	struct work_struct remove_work;
	struct delayed_work retry_work;
	struct llist_head puts;
	struct work_struct put_work;
	struct workqueue_struct *notices;
	struct work_struct disable_work;
	struct fuse_removemapping_one *entries;
	struct fuse_dax_sysfs *sysfs;
	struct dentry *dump;
};

static inline pgoff_t fuse_dax_range_to_page(unsigned long range)
{
	return (pgoff_t)range << FUSE_DAX_RANGE_PAGE_SHIFT;
}

static inline unsigned long fuse_dax_page_to_range(pgoff_t index)
{
	return index >> FUSE_DAX_RANGE_PAGE_SHIFT;
}

/**
 * fuse_dax_conn_replaces - whether a setup may cover what is mapped
 * @win: the window of the connection
 *
 * Return: true if who accesses that part finds what was there or what takes its
 * place, and nothing third. Without it, a mapping that nobody uses may still be
 * replaced, but as a whole.
 */
static inline bool fuse_dax_conn_replaces(const struct fuse_dax_window *win)
{
	return win->replaces;
}

/**
 * fuse_dax_conn_removes_parts - whether a remove may be for a part of a mapping
 * @win: the window of the connection
 *
 * Return: true if those who access the rest meanwhile do not notice.
 */
static inline bool
fuse_dax_conn_removes_parts(const struct fuse_dax_window *win)
{
	return win->removes_parts;
}

/**
 * fuse_dax_window_splits - whether a mapping can be given up in parts
 * @win: the window
 *
 * Return: true if the server replaces a part of one, and removes the rest of it,
 * under those who use it.
 */
static inline bool fuse_dax_window_splits(const struct fuse_dax_window *win)
{
	return fuse_dax_conn_replaces(win) && fuse_dax_conn_removes_parts(win);
}

/**
 * fuse_dax_window_has_pages - whether there are struct pages of a range
 * @win: the window
 * @range: of the window
 *
 * Return: true if there are, as long as the caller keeps them: see
 * &fuse_dax_pieces.piece.
 */
static inline bool fuse_dax_window_has_pages(const struct fuse_dax_window *win,
					     unsigned int range)
{
	const struct fuse_dax_pieces *pieces = win->pieces;

	return !pieces ||
	       rcu_access_pointer(pieces->piece[(range + pieces->skew) /
						FUSE_DAX_PIECE_RANGES]);
}

/**
 * fuse_dax_window_can_grow - whether ranges may get pages, so that others keep theirs
 * @win: the window
 *
 * Return: false if all have, or there may be no more, or there was no memory for
 * more. A hint.
 */
static inline bool fuse_dax_window_can_grow(const struct fuse_dax_window *win)
{
	return READ_ONCE(win->nr_hoped) &&
	       !time_before(jiffies, READ_ONCE(win->grow_at));
}

/**
 * fuse_dax_window_room - how many ranges nobody would have to give up
 * @win: the window
 *
 * Return: free ranges, those included that may still get pages. A hint.
 */
static inline unsigned int
fuse_dax_window_room(const struct fuse_dax_window *win)
{
	return READ_ONCE(win->nr_free) +
	       (fuse_dax_window_can_grow(win) ? READ_ONCE(win->nr_hoped) : 0);
}

static inline void fuse_dax_count(struct fuse_dax_window *win,
				  enum fuse_dax_stat stat)
{
	this_cpu_inc(win->stats->nr[stat]);
}

static inline void fuse_dax_count_add(struct fuse_dax_window *win,
				      enum fuse_dax_stat stat, long nr)
{
	this_cpu_add(win->stats->nr[stat], nr);
}

static inline bool fuse_dax_is_small(struct inode *inode)
{
	return i_size_read(inode) <= FUSE_DAX_SMALL_MAX;
}

static inline struct fuse_dax_map *
fuse_dax_map_first(struct fuse_dax_inode *di, pgoff_t first, pgoff_t last)
{
	struct interval_tree_node *itn;

	lockdep_assert_held(&di->sem);
	itn = interval_tree_iter_first(&di->tree, first, last);
	return itn ? container_of(itn, struct fuse_dax_map, itn) : NULL;
}

static inline void fuse_dax_map_get(struct fuse_dax_map *map)
{
	refcount_inc(&map->ref);
}

/**
 * fuse_dax_map_drop - drop a reference that was taken to try something
 * @map: the mapping
 *
 * Wakes nobody: those who wait try too, and would wake themselves and each other
 * for ever. Who has passed the mapping over just now comes back to it in
 * FUSE_DAX_POLL at the latest.
 *
 * Context: Any.
 */
static inline void fuse_dax_map_drop(struct fuse_dax_map *map)
{
	if (refcount_dec_and_test(&map->ref))
		kfree(map);
}

/*
 * What is private to the driver, by file, each below those that it calls. See
 * dax.h for what others call.
 */

/* dax_times.c */
void fuse_dax_touch(struct inode *inode);

/* dax_window.c */
void fuse_dax_map_put(struct fuse_dax_map *map);
struct fuse_dax_window *fuse_dax_window_new(struct dax_device *dev,
					    unsigned int nr_ranges);
void fuse_dax_window_free(struct fuse_dax_window *win);
int fuse_dax_window_take(struct fuse_dax_window *win, unsigned int want,
			 unsigned int min, struct fuse_dax_run *run);
void fuse_dax_window_give(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run);
void fuse_dax_window_trim(struct fuse_dax_window *win,
			  struct fuse_dax_run *run, unsigned int nr);
void fuse_dax_window_bury(struct fuse_dax_map *map);
bool fuse_dax_window_awaits(struct fuse_dax_window *win, unsigned int want);
unsigned int fuse_dax_window_dying(struct fuse_dax_window *win,
				   unsigned int max, struct list_head *batch);
struct fuse_dax_map *fuse_dax_window_bad(struct fuse_dax_window *win);
void fuse_dax_window_removed(struct fuse_dax_window *win,
			     struct list_head *batch, int error);
void fuse_dax_window_stop(struct fuse_dax_window *win);
void fuse_dax_window_disable(struct fuse_dax_window *win);
bool fuse_dax_window_pressed(struct fuse_dax_window *win);
void fuse_dax_window_list(struct fuse_dax_map *map);
void fuse_dax_window_unlist(struct fuse_dax_map *map);
int fuse_dax_window_wait(struct fuse_dax_window *win, unsigned int want,
			 int (*try)(void *data), void *data);

/* dax_grow.c */
void fuse_dax_window_ahead(struct fuse_dax_window *win, unsigned int want,
			   unsigned int nr);
bool fuse_dax_window_grows(const struct fuse_dax_window *win, unsigned int want);
bool fuse_dax_window_lacks(struct fuse_dax_window *win);
void fuse_dax_window_stuck(struct fuse_dax_window *win, unsigned long wait);
void fuse_dax_window_show(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run);
void fuse_dax_window_hope(struct fuse_dax_window *win, unsigned int nr);
void fuse_dax_window_strip(struct fuse_dax_window *win);
unsigned int fuse_dax_window_spare(const struct fuse_dax_window *win);
bool fuse_dax_window_idle(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run);
bool fuse_dax_window_hide(struct fuse_dax_window *win,
			  const struct fuse_dax_run *run);

/* dax_piece.c */
bool fuse_dax_piece_able(void);
int fuse_dax_piece_init(struct fuse_dax_window *win, unsigned long pfn,
			int node);
void fuse_dax_piece_stop(struct fuse_dax_window *win);
void fuse_dax_piece_drop(struct fuse_dax_window *win);
unsigned long fuse_dax_piece_bytes(const struct fuse_dax_window *win);

/* dax_sysfs.c */
int fuse_dax_sysfs_add(struct fuse_dax_window *win, struct kobject *parent);
void fuse_dax_sysfs_del(struct fuse_dax_window *win);
unsigned long fuse_dax_window_stat(struct fuse_dax_window *win,
				   enum fuse_dax_stat stat);

/* dax_limit.c */
bool fuse_dax_window_probe(struct fuse_dax_window *win);
bool fuse_dax_window_cuts(struct fuse_dax_window *win);
void fuse_dax_window_limit(struct fuse_dax_window *win, bool lasts);

/* dax_dump.c */
void fuse_dax_dump_add(struct fuse_dax_window *win, const char *name);
void fuse_dax_dump_del(struct fuse_dax_window *win);

/* dax_lru.c */
void fuse_dax_window_publish(struct fuse_dax_map *map);
void fuse_dax_window_withdraw(struct fuse_dax_map *map);
void fuse_dax_window_cut(struct fuse_dax_map *map, unsigned int first,
			 unsigned int nr, struct fuse_dax_map *const rest[2]);

struct fuse_dax_map *fuse_dax_window_victim(struct fuse_dax_window *win,
					    bool *used);

/* dax_req.c */
/** enum fuse_dax_access - what a setup asks for; the protocol's flags */
enum fuse_dax_access {
	FUSE_DAX_READ = FUSE_SETUPMAPPING_FLAG_READ,
	FUSE_DAX_WRITE = FUSE_SETUPMAPPING_FLAG_READ |
			 FUSE_SETUPMAPPING_FLAG_WRITE,
};

int fuse_dax_req_setup(struct fuse_dax_map *map, enum fuse_dax_access access,
		       void (*done)(struct fuse_dax_map *map, int error));
int fuse_dax_req_remove(struct fuse_dax_window *win, u64 nodeid,
			unsigned int nr);
void fuse_dax_req_put(struct inode *inode);
void fuse_dax_req_put_work(struct work_struct *work);

/* dax_notify.c */
int fuse_dax_notify_wait(struct inode *inode, unsigned int said);
unsigned int fuse_dax_notify_said(struct inode *inode);
bool fuse_dax_notify_settled(struct inode *inode, unsigned int said);
bool fuse_dax_notify_holds(const struct inode *inode);
void fuse_dax_notify_work(struct work_struct *work);
bool fuse_dax_notify_pending(const struct inode *inode);

/* dax_plan.c */
/** enum fuse_dax_want - what a caller of fuse_dax_map_find() needs */
enum fuse_dax_want {
	/** @FUSE_DAX_WANT_WRITE: stores must be allowed */
	FUSE_DAX_WANT_WRITE	= BIT(0),
	/** @FUSE_DAX_WANT_WAIT: memory or nothing: a fault; wait for a range */
	FUSE_DAX_WANT_WAIT	= BIT(1),
	/** @FUSE_DAX_WANT_ONCE: one of the calls that a fault makes: one setup */
	FUSE_DAX_WANT_ONCE	= BIT(2),
	/**
	 * @FUSE_DAX_WANT_MEMORY: a request would not serve the caller as well:
	 * it is for a piece of the file, and more are to come
	 */
	FUSE_DAX_WANT_MEMORY	= BIT(3),
	/** @FUSE_DAX_WANT_RANDOM: what is behind will not be needed next */
	FUSE_DAX_WANT_RANDOM	= BIT(4),
	/** @FUSE_DAX_WANT_FREE: no ranges of others */
	FUSE_DAX_WANT_FREE	= BIT(5),
	/** @FUSE_DAX_WANT_LEAST: no write access that is not needed now */
	FUSE_DAX_WANT_LEAST	= BIT(6),
	/** @FUSE_DAX_WANT_HUGE: a fault of a huge page: a small one may do */
	FUSE_DAX_WANT_HUGE	= BIT(7),
	/** @FUSE_DAX_WANT_MAPPED: a fault that the page cache cannot serve */
	FUSE_DAX_WANT_MAPPED	= BIT(8),
	/**
	 * @FUSE_DAX_WANT_RANGE: no more than a range: the file has holes, or cached
	 * pages that are stored to
	 */
	FUSE_DAX_WANT_RANGE	= BIT(9),
	/** @FUSE_DAX_WANT_BRIEF: wait for a moment, no longer */
	FUSE_DAX_WANT_BRIEF	= BIT(10),
	/** @FUSE_DAX_WANT_LOCKED: the same, as a lock is held that others wait for */
	FUSE_DAX_WANT_LOCKED	= BIT(11),
};

/**
 * struct fuse_dax_plan - a piece of a file to be mapped
 * @start: first range of the file
 * @nr: number of ranges
 * @pass: it is right behind the last one, and what the pass over the file has
 *	left behind may go for it
 */
struct fuse_dax_plan {
	unsigned long start;
	unsigned int nr;
	bool pass;
};

struct fuse_dax_window *fuse_dax_window_of(struct inode *inode);
struct fuse_dax_inode *fuse_dax_inode_get(struct inode *inode);
bool fuse_dax_plan_alone(struct inode *inode, pgoff_t index, unsigned int want);
bool fuse_dax_plan_unwritable(struct inode *inode);
bool fuse_dax_plan_denied(struct inode *inode, pgoff_t index,
			  unsigned int want);
void fuse_dax_plan_narrow(unsigned int *want, bool *write);
int fuse_dax_plan_limit(struct inode *inode, pgoff_t index, unsigned int *want,
			bool *write);
void fuse_dax_plan_answered(struct fuse_dax_map *map, int error);
void fuse_dax_plan_fit(struct fuse_dax_inode *di, unsigned long range,
		       struct fuse_dax_plan *plan);
int fuse_dax_plan_make(struct fuse_dax_window *win, struct fuse_dax_inode *di,
		       loff_t size, unsigned long range, unsigned int want,
		       struct fuse_dax_plan *plan);
void fuse_dax_plan_shrink(struct fuse_dax_plan *plan, unsigned long range,
			  unsigned int nr);

/* dax_detach.c */
int fuse_dax_detach(struct fuse_dax_map *map, unsigned int first,
		    unsigned int nr);
int fuse_dax_detach_locked(struct fuse_dax_map *map,
			   unsigned int first, unsigned int nr);
bool fuse_dax_detach_range(struct fuse_dax_inode *di, pgoff_t first,
			   pgoff_t last);

/* dax_reclaim.c */
int fuse_dax_reclaim_run(struct fuse_dax_window *win,
			 const struct fuse_dax_inode *di,
			 const struct fuse_dax_plan *plan, unsigned int want,
			 struct fuse_dax_run *run);
void fuse_dax_reclaim_work(struct work_struct *work);
void fuse_dax_reclaim_retry_work(struct work_struct *work);

/* dax_end.c */
void fuse_dax_conn_disable_work(struct work_struct *work);

/* dax_drop.c */
bool fuse_dax_cache_any(struct inode *inode);
int fuse_dax_cache_evict(struct fuse_dax_map *map);
bool fuse_dax_cache_held(struct inode *inode, pgoff_t first, pgoff_t last);
void fuse_dax_cache_renew(struct inode *inode, struct fuse_dax_span *span);
void fuse_dax_cache_discard(struct inode *inode, loff_t start, loff_t end);
int fuse_dax_cache_write_begin(struct kiocb *iocb, struct iov_iter *from);
void fuse_dax_cache_store(struct file *file, loff_t pos, const void *data,
			  size_t len);
void fuse_dax_cache_size_set(struct inode *inode, loff_t size);
void fuse_dax_cache_forget(struct inode *inode, pgoff_t first, pgoff_t last);
int fuse_dax_cache_writepages(struct address_space *mapping,
			      struct writeback_control *wbc);

/* dax_setup.c */
bool fuse_dax_error_is_limit(int error);
bool fuse_dax_error_is_readonly(int error);
bool fuse_dax_error_is_full(int error);
struct fuse_dax_map *fuse_dax_map_new(struct inode *inode,
				      struct fuse_dax_inode *di);
int fuse_dax_map_insert(struct fuse_dax_map *map, unsigned long range,
			struct fuse_dax_plan *plan);
void fuse_dax_map_discard(struct fuse_dax_map *map);
int fuse_dax_map_wait(struct fuse_dax_map *map, enum fuse_dax_state state);
int fuse_dax_map_send(struct fuse_dax_map *map, bool write);
int fuse_dax_map_setup(struct fuse_dax_map *map, bool write);
void fuse_dax_map_renew(struct fuse_dax_map *old);

/* dax.c */
extern const struct iomap_ops fuse_dax_iomap_ops;

struct fuse_dax_map *fuse_dax_map_hit(struct inode *inode, pgoff_t index,
				      unsigned int want);
struct fuse_dax_map *fuse_dax_map_hit_nowait(struct inode *inode,
					     pgoff_t index);
struct fuse_dax_map *fuse_dax_map_find(struct inode *inode, pgoff_t index,
				       unsigned int want);
void fuse_dax_map_ahead(struct inode *inode, pgoff_t index, pgoff_t last);

/* dax_cache.c */
bool fuse_dax_cache_has(struct inode *inode, pgoff_t index);
bool fuse_dax_cache_allowed(const struct kiocb *iocb);
void fuse_dax_cache_bring(struct file *file, pgoff_t index, bool wait);
int fuse_dax_cache_add_run(struct inode *inode, pgoff_t first,
			   struct folio **folios, unsigned int max);
void fuse_dax_cache_end_run(struct inode *inode, struct folio **folios,
			    unsigned int nr, bool good);
bool fuse_dax_cache_serves(struct file *file, pgoff_t index, unsigned int want);
vm_fault_t fuse_dax_cache_fault(struct vm_fault *vmf, unsigned int said);
vm_fault_t fuse_dax_cache_mkwrite(struct vm_fault *vmf);
vm_fault_t fuse_dax_cache_around(struct vm_fault *vmf, pgoff_t start,
				 pgoff_t end);
ssize_t fuse_dax_cache_read(struct kiocb *iocb, struct iov_iter *to);

/* dax_small.c */
bool fuse_dax_small_check(struct kiocb *iocb);
bool fuse_dax_small_begins(struct kiocb *iocb, struct iov_iter *to);
bool fuse_dax_small_serves(struct vm_area_struct *vma, pgoff_t index);
ssize_t fuse_dax_small_read(struct kiocb *iocb, struct iov_iter *to);

/* dax_fallback.c */
ssize_t fuse_dax_fallback(struct kiocb *iocb, struct iov_iter *iter);

/* dax_fault.c */
extern const struct vm_operations_struct fuse_dax_vm_ops;

/* For the tests */
#if IS_ENABLED(CONFIG_KUNIT)
int fuse_dax_piece_map(struct fuse_dax_piece *piece, int node);
void fuse_dax_piece_unmap(struct fuse_dax_piece *piece);
bool fuse_dax_piece_fits(int node);
bool fuse_dax_piece_pinned(struct fuse_dax_piece *piece);
extern unsigned int fuse_dax_memmap_percent;
void fuse_dax_piece_grow(struct fuse_dax_window *win);
void fuse_dax_piece_shrink(struct fuse_dax_window *win);
int fuse_dax_map_settle(struct fuse_dax_map *map, pgoff_t index,
			unsigned int want);
int fuse_dax_detach_zap(struct fuse_dax_map *map, unsigned int first,
			unsigned int nr);
void fuse_dax_reclaim_unmap(struct fuse_dax_map *map);
bool fuse_dax_inode_idle(struct fuse_dax_inode *di);
size_t fuse_dax_fallback_size(struct fuse_conn *fc, struct iov_iter *iter);
ssize_t fuse_dax_fallback_written(struct kiocb *iocb, ssize_t res);
bool fuse_dax_write_extends(struct kiocb *iocb, struct iov_iter *from);
ssize_t fuse_dax_unblock(struct kiocb *iocb, struct iov_iter *iter, int error,
			 int tries);
bool fuse_dax_size_matters(struct kiocb *iocb, struct iov_iter *iter);
ssize_t fuse_dax_small_fetch(struct kiocb *iocb, struct iov_iter *iter,
			     loff_t pos);
vm_fault_t fuse_dax_fault_map(struct vm_fault *vmf, unsigned int want,
			      struct fuse_dax_map **map);
#endif

#endif /* _FS_FUSE_DAX_I_H */
