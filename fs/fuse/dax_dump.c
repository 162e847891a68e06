// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/virtiofs_dax-<n>: what a DAX window is used for, for those who
 * look into a hang. Not a stable ABI.
 *
 * The first line has the words of the window, each that follows a run of ranges
 * that shows a file, or is to, or is to be removed. The lock of the window is held for one
 * of them at a time: what changes meanwhile may be there twice, or not at all.
 */
#include "dax_i.h"

#include <linux/dax.h>
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/seq_file.h>

/* A run, as it was when it was looked at */
struct fuse_dax_dump_run {
	struct fuse_dax_run run;
	u64 nodeid, ino, foffset;
	enum fuse_dax_state state;
	unsigned int refs;
	bool writable, referenced, fleeting;
};

/* The first run at or behind a range; false if there is none */
static bool fuse_dax_dump_next(struct fuse_dax_window *win, unsigned int range,
			       struct fuse_dax_dump_run *dump)
{
	const struct fuse_dax_map *map;

	guard(spinlock)(&win->lock);
	range = find_next_bit(win->starts, win->nr_ranges, range);
	if (range >= win->nr_ranges)
		return false;
	map = win->maps[range];
	*dump = (struct fuse_dax_dump_run) {
		.run = map->run,
		.nodeid = map->nodeid,
		.ino = map->ino,
		.foffset = (u64)map->itn.start << PAGE_SHIFT,
		.state = READ_ONCE(map->state),
		.refs = refcount_read(&map->ref),
		.writable = map->writable,
		.referenced = READ_ONCE(map->referenced),
		.fleeting = map->fleeting,
	};
	return true;
}

/* Whether somebody holds a page by more than page tables */
static bool fuse_dax_dump_pinned(struct page *page)
{
	struct folio *folio = page_folio(page);
	bool pinned;

	/* One that is in use, of which this is the first page. It is not split then */
	if (!folio_try_get(folio))
		return false;
	pinned = folio_page(folio, 0) == page && page_folio(page) == folio &&
		 folio_ref_count(folio) > folio_mapcount(folio) + 1;
	folio_put(folio);
	return pinned;
}

/* Pages of a range that are pinned. While one is looked at it seems to be, too */
static unsigned int fuse_dax_dump_range(struct fuse_dax_window *win,
					unsigned int range)
{
	unsigned long nr = fuse_dax_range_to_page(1), i;
	unsigned int pins = 0;
	unsigned long pfn;
	void *kaddr;
	int id;

	id = dax_read_lock();
	nr = dax_direct_access(win->dev, fuse_dax_range_to_page(range), nr,
			       DAX_ACCESS, &kaddr, &pfn);
	dax_read_unlock(id);

	/* Nobody may have the range any more: its pages stay for so long */
	guard(rcu)();
	if ((long)nr <= 0 || !fuse_dax_window_has_pages(win, range))
		return 0;
	for (i = 0; i < nr; i++)
		pins += fuse_dax_dump_pinned(pfn_to_page(pfn + i));
	return pins;
}

static unsigned int fuse_dax_dump_pins(struct fuse_dax_window *win,
				       const struct fuse_dax_run *run)
{
	unsigned int pins = 0, i;

	for (i = 0; win->dev && i < run->nr; i++) {
		pins += fuse_dax_dump_range(win, run->first + i);
		cond_resched();
	}
	return pins;
}

static void fuse_dax_dump_window(struct seq_file *m,
				 struct fuse_dax_window *win)
{
	spin_lock(&win->lock);
	seq_printf(m, "ranges %u ready %u free %u dying %u bad %u runs %u max %u known %u live %u waiters %u",
		   win->nr_ranges, win->nr_ranges - win->nr_absent,
		   win->nr_free, win->nr_dying, win->nr_bad,
		   win->nr_runs, min(win->max_runs, win->nr_ranges),
		   min(win->known_runs, win->nr_ranges), win->nr_live,
		   win->nr_waiters);
	spin_unlock(&win->lock);
	seq_printf(m, "%s%s%s%s%s\n", win->replaces ? " replaces" : "",
		   win->removes_parts ? " removes_parts" : "",
		   READ_ONCE(win->growing) ? " growing" : "",
		   READ_ONCE(win->stopped) ? " stopped" : "",
		   READ_ONCE(win->disabled) ? " disabled" : "");
}

/* Position 0 is the first line, a range is one further on */
static void *fuse_dax_dump_start(struct seq_file *m, loff_t *pos)
{
	struct fuse_dax_window *win = m->private;
	struct fuse_dax_dump_run dump;

	if (!*pos)
		return SEQ_START_TOKEN;
	if (*pos > win->nr_ranges || !fuse_dax_dump_next(win, *pos - 1, &dump))
		return NULL;
	*pos = dump.run.first + 1;
	return pos;
}

static void *fuse_dax_dump_advance(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return fuse_dax_dump_start(m, pos);
}

static void fuse_dax_dump_stop(struct seq_file *m, void *v)
{
}

static int fuse_dax_dump_show(struct seq_file *m, void *v)
{
	static const char *const states[] = {
		[FUSE_DAX_SETUP] = "setup",
		[FUSE_DAX_LIVE] = "live",
		[FUSE_DAX_DETACH] = "detach",
		[FUSE_DAX_GONE] = "gone",
	};
	struct fuse_dax_window *win = m->private;
	struct fuse_dax_dump_run dump;
	loff_t range;

	if (v == SEQ_START_TOKEN) {
		fuse_dax_dump_window(m, win);
		return 0;
	}
	/* It may have gone since it was found: the next one has its own turn */
	range = *(loff_t *)v - 1;
	if (!fuse_dax_dump_next(win, range, &dump) || dump.run.first != range)
		return 0;
	seq_printf(m, "%u+%u nodeid %llu ino %llu offset 0x%llx %s refs %u pins %u%s%s%s\n",
		   dump.run.first, dump.run.nr, dump.nodeid, dump.ino,
		   dump.foffset, states[dump.state], dump.refs,
		   fuse_dax_dump_pins(win, &dump.run),
		   dump.writable ? " writable" : "",
		   dump.referenced ? " referenced" : "",
		   dump.fleeting ? " fleeting" : "");
	return 0;
}

static const struct seq_operations fuse_dax_dump_sops = {
	.start	= fuse_dax_dump_start,
	.next	= fuse_dax_dump_advance,
	.stop	= fuse_dax_dump_stop,
	.show	= fuse_dax_dump_show,
};
DEFINE_SEQ_ATTRIBUTE(fuse_dax_dump);

/**
 * fuse_dax_dump_add - let a window be looked at
 * @win: the window
 * @name: of the device
 *
 * It is no loss where that cannot be done.
 */
void fuse_dax_dump_add(struct fuse_dax_window *win, const char *name)
{
	char file[32];

	snprintf(file, sizeof(file), "virtiofs_dax-%s", name);
	win->dump = debugfs_create_file(file, 0400, NULL, win,
					&fuse_dax_dump_fops);
}

/**
 * fuse_dax_dump_del - let nobody look at a window any more
 * @win: the window; nothing happens if it has no file any more
 *
 * Context: Sleeps until nobody reads the file.
 */
void fuse_dax_dump_del(struct fuse_dax_window *win)
{
	debugfs_remove(xchg(&win->dump, NULL));
}
