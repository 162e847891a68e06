// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of the DAX driver: a window without memory, inodes without a file
 * system, and a server that is two static stubs.
 */
#include "dax_kunit.h"

#include <kunit/static_stub.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

/* The worker would send requests from a task that has no stubs: it is counted */
static void fuse_dax_kunit_work(struct work_struct *work)
{
	fuse_dax_count(container_of(work, struct fuse_dax_window, remove_work),
		       FUSE_DAX_REMOVES);
}

/* A window in which removes wait until the test runs the worker's function */
struct fuse_dax_window *fuse_dax_kunit_window(unsigned int nr_ranges)
{
	struct fuse_dax_window *win = fuse_dax_window_new(NULL, nr_ranges);

	if (!win)
		return NULL;
	INIT_WORK(&win->remove_work, fuse_dax_kunit_work);
	INIT_DELAYED_WORK(&win->retry_work, fuse_dax_reclaim_retry_work);
	return win;
}

static unsigned int fuse_dax_kunit_sum(struct list_head *list)
{
	struct fuse_dax_map *map;
	unsigned int nr = 0;

	list_for_each_entry(map, list, list)
		nr += map->run.nr;
	return nr;
}

/* Frees a window; whatever a test did, each range must be somewhere */
void fuse_dax_kunit_window_free(struct kunit *test,
				struct fuse_dax_window *win)
{
	unsigned int dying = fuse_dax_kunit_sum(&win->dying);
	unsigned int bad = fuse_dax_kunit_sum(&win->bad);

	KUNIT_EXPECT_TRUE(test, list_empty(&win->lru));
	KUNIT_EXPECT_EQ(test, bad, win->nr_bad);
	KUNIT_EXPECT_EQ(test, win->nr_free + win->nr_absent + dying + bad,
			win->nr_ranges);
	KUNIT_EXPECT_EQ(test, bitmap_weight(win->used, win->nr_ranges),
			win->nr_ranges - win->nr_free);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&win->dying) +
			list_count_nodes(&win->bad), win->nr_runs);
	KUNIT_EXPECT_EQ(test, win->nr_waiters, 0);

	list_splice_init(&win->lru, &win->dying);
	cancel_delayed_work_sync(&win->retry_work);
	cancel_work_sync(&win->remove_work);
	fuse_dax_window_free(win);
}

static int fuse_dax_kunit_woken(struct wait_queue_entry *entry,
				unsigned int mode, int flags, void *key)
{
	container_of(entry, struct fuse_dax_kunit_waiter, entry)->woken++;
	return 1;
}

/* As a task in fuse_dax_window_wait(), but it counts instead of running */
void fuse_dax_kunit_wait(struct fuse_dax_window *win,
			 struct fuse_dax_kunit_waiter *waiter)
{
	waiter->woken = 0;
	init_waitqueue_func_entry(&waiter->entry, fuse_dax_kunit_woken);
	spin_lock(&win->lock);
	win->nr_waiters++;
	spin_unlock(&win->lock);
	add_wait_queue_exclusive(&win->wait, &waiter->entry);
}

void fuse_dax_kunit_unwait(struct fuse_dax_window *win,
			   struct fuse_dax_kunit_waiter *waiter)
{
	remove_wait_queue(&win->wait, &waiter->entry);
	spin_lock(&win->lock);
	win->nr_waiters--;
	spin_unlock(&win->lock);
}

/* Stands in for fuse_dax_req_setup() */
static int fuse_dax_kunit_req_setup(struct fuse_dax_map *map,
				    enum fuse_dax_access access,
				    void (*done)(struct fuse_dax_map *, int))
{
	struct kunit *test = kunit_get_current_test();
	struct fuse_dax_kunit *kt = test->priv;
	unsigned int nr = kt->nr_setups;

	if (kt->unsent)
		return kt->unsent;
	KUNIT_ASSERT_LT(test, nr, FUSE_DAX_KUNIT_REQUESTS);
	kt->nr_setups++;
	kt->setups[nr] = (struct fuse_dax_kunit_setup) {
		.nodeid = map->nodeid,
		.start = fuse_dax_page_to_range(map->itn.start),
		.run = map->run,
		.access = access,
	};
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_SETUP);
	KUNIT_EXPECT_EQ(test, fuse_dax_page_to_range(map->itn.last) + 1,
			kt->setups[nr].start + map->run.nr);
	KUNIT_EXPECT_EQ(test, map->writable, access == FUSE_DAX_WRITE);

	if (kt->during && kt->during(test, map)) {
		fuse_dax_map_get(map);
		kt->late_map = map;
		kt->late = done;
		if (kt->answer)
			schedule_delayed_work(&kt->late_work,
					      FUSE_DAX_KUNIT_SOON);
	} else {
		done(map, kt->setup_errors[nr]);
	}
	return 0;
}

/* Stands in for fuse_dax_req_remove() */
static int fuse_dax_kunit_req_remove(struct fuse_dax_window *win, u64 nodeid,
				     unsigned int nr)
{
	struct kunit *test = kunit_get_current_test();
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_kunit_remove *remove = &kt->removes[kt->nr_removes];
	int err = 0;

	KUNIT_ASSERT_LT(test, kt->nr_removes, FUSE_DAX_KUNIT_REQUESTS);
	KUNIT_ASSERT_LE(test, nr, FUSE_DAX_KUNIT_REQUESTS);
	kt->nr_removes++;
	remove->nodeid = nodeid;
	remove->nr = nr;
	for (unsigned int i = 0; i < nr; i++) {
		struct fuse_removemapping_one *one = &win->entries[i];

		remove->first[i] = one->moffset >> FUSE_DAX_RANGE_SHIFT;
		remove->len[i] = one->len >> FUSE_DAX_RANGE_SHIFT;
		if (kt->remove_bad == UINT_MAX ||
		    kt->remove_bad == remove->first[i])
			err = kt->remove_error;
	}
	return err;
}

/* The answer to a setup comes while the test waits for it, or before */
static void fuse_dax_kunit_late_work(struct work_struct *work)
{
	struct fuse_dax_kunit *kt = container_of(work, struct fuse_dax_kunit,
						 late_work.work);

	kt->late(kt->late_map, kt->late_error);
	fuse_dax_map_put(kt->late_map);
}

/* Stands in for fuse_dax_detach_zap() */
static int fuse_dax_kunit_detach_zap(struct fuse_dax_map *map,
				     unsigned int first, unsigned int nr)
{
	struct kunit *test = kunit_get_current_test();
	struct fuse_dax_kunit *kt = test->priv;

	kt->nr_zaps++;
	kt->zap_first = first;
	kt->zap_nr = nr;
	KUNIT_EXPECT_LE(test, first + nr, map->run.nr);
	KUNIT_EXPECT_EQ(test, map->state, FUSE_DAX_DETACH);
	return kt->zap(test, map);
}

/* Has @zap called where page tables would be zapped */
void fuse_dax_kunit_zap(struct kunit *test,
			int (*zap)(struct kunit *test, struct fuse_dax_map *map))
{
	struct fuse_dax_kunit *kt = test->priv;

	kt->zap = zap;
	kunit_activate_static_stub(test, fuse_dax_detach_zap,
				   fuse_dax_kunit_detach_zap);
}

static void fuse_dax_kunit_inode_init(struct fuse_dax_kunit *kt,
				      struct fuse_inode *fi, u64 nodeid)
{
	struct inode *inode = &fi->inode;

	inode_init_once(inode);
	inode->i_mode = S_IFREG;
	inode->i_flags = S_DAX;
	inode->i_sb = &kt->sb;
	inode->i_mapping = &inode->i_data;
	inode->i_data.host = inode;
	init_rwsem(&inode->i_data.invalidate_lock);
	spin_lock_init(&inode->i_lock);
	spin_lock_init(&fi->lock);
	fi->nodeid = nodeid;
}

static void fuse_dax_kunit_disable(struct work_struct *work)
{
	struct fuse_dax_window *win = container_of(work, typeof(*win),
						   disable_work);

	container_of(win->fc, struct fuse_dax_kunit, fc)->nr_disables++;
}

/* From here on the server neither replaces under users nor removes parts */
void fuse_dax_kunit_stock(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	kt->win->replaces = false;
	kt->win->removes_parts = false;
}

/* The init function of a suite: a window of 64 ranges, mappings go in parts */
int fuse_dax_kunit_init(struct kunit *test)
{
	struct fuse_dax_kunit *kt;

	kt = kunit_kzalloc(test, sizeof(*kt), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, kt);
	kt->win = fuse_dax_kunit_window(64);
	KUNIT_ASSERT_NOT_NULL(test, kt->win);

	kt->win->replaces = true;
	kt->win->removes_parts = true;
	kt->win->fc = &kt->fc;
	kt->fc.dax = kt->win;
	INIT_WORK(&kt->win->disable_work, fuse_dax_kunit_disable);
	INIT_DELAYED_WORK(&kt->late_work, fuse_dax_kunit_late_work);
	kt->fm.fc = &kt->fc;
	kt->sb.s_fs_info = &kt->fm;
	for (int i = 0; i < FUSE_DAX_KUNIT_INODES; i++)
		fuse_dax_kunit_inode_init(kt, &kt->fi[i], i + 1);
	test->priv = kt;
	kunit_activate_static_stub(test, fuse_dax_req_setup,
				   fuse_dax_kunit_req_setup);
	kunit_activate_static_stub(test, fuse_dax_req_remove,
				   fuse_dax_kunit_req_remove);
	return 0;
}

/* The exit function: inodes are evicted while the server is still there */
void fuse_dax_kunit_exit(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	if (!kt)
		return;
	flush_delayed_work(&kt->late_work);
	flush_work(&kt->win->disable_work);
	for (int i = 0; i < FUSE_DAX_KUNIT_INODES; i++) {
		fuse_dax_inode_evict(&kt->fi[i].inode);
		fuse_dax_inode_free(&kt->fi[i]);
	}
	fuse_dax_kunit_window_free(test, kt->win);
}

/* Inode @nr, a file of so many ranges */
struct inode *fuse_dax_kunit_inode(struct kunit *test, unsigned int nr,
				   unsigned long ranges)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = &kt->fi[nr].inode;

	i_size_write(inode, (loff_t)ranges << FUSE_DAX_RANGE_SHIFT);
	return inode;
}

/* A mapping at a range of the file, in the tree and without users */
struct fuse_dax_map *fuse_dax_kunit_map(struct kunit *test, struct inode *inode,
					unsigned long range, unsigned int want)
{
	struct fuse_dax_map *map;

	map = fuse_dax_map_find(inode, fuse_dax_range_to_page(range), want);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, map);
	fuse_dax_map_put(map);
	return map;
}

/* Maps a file, inode @nr, in so many pieces of so many ranges: it grows */
void fuse_dax_kunit_pieces(struct kunit *test, unsigned int nr,
			   unsigned int pieces, unsigned int ranges)
{
	struct inode *inode;

	for (unsigned int i = 0; i < pieces; i++) {
		inode = fuse_dax_kunit_inode(test, nr, (i + 1) * ranges);
		fuse_dax_kunit_map(test, inode, i * ranges, 0);
	}
}

/* Mappings in the tree of an inode */
unsigned int fuse_dax_kunit_count(struct inode *inode)
{
	struct fuse_dax_inode *di = get_fuse_inode(inode)->dax;
	struct interval_tree_node *itn;
	unsigned int nr = 0;

	for (itn = interval_tree_iter_first(&di->tree, 0, ULONG_MAX); itn;
	     itn = interval_tree_iter_next(itn, 0, ULONG_MAX))
		nr++;
	return nr;
}

/* An open file, as far as the driver looks at it */
struct file *fuse_dax_kunit_file(struct kunit *test, struct inode *inode)
{
	struct file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	struct fuse_file *ff = kunit_kzalloc(test, sizeof(*ff), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, file);
	KUNIT_ASSERT_NOT_NULL(test, ff);
	file->f_inode = inode;
	file->private_data = ff;
	return file;
}

/* A fatal signal for this task, which takes it for no more than pending */
void fuse_dax_kunit_kill(void)
{
	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
}

void fuse_dax_kunit_unkill(void)
{
	disallow_signal(SIGKILL);
	flush_signals(current);
}
