// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/fs/virtiofs/<n>/dax: the counters of a DAX window.
 * See Documentation/ABI/testing/sysfs-fs-virtiofs-dax.
 */
#include "dax_i.h"

#include <linux/slab.h>
#include <linux/sysfs.h>

/**
 * struct fuse_dax_sysfs - the directory
 * @kobj: its release frees this
 * @win: the window. sysfs waits for all readers before the directory goes, and
 *	the directory goes before the window
 */
struct fuse_dax_sysfs {
	struct kobject kobj;
	struct fuse_dax_window *win;
};

static struct fuse_dax_window *fuse_dax_sysfs_window(struct kobject *kobj)
{
	return container_of(kobj, struct fuse_dax_sysfs, kobj)->win;
}

/**
 * fuse_dax_window_stat - how often something was counted
 * @win: the window
 * @stat: what
 *
 * Return: the sum over all processors; what is counted meanwhile may be missed.
 */
unsigned long fuse_dax_window_stat(struct fuse_dax_window *win,
				   enum fuse_dax_stat stat)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(win->stats, cpu)->nr[stat]);
	return sum;
}

#define FUSE_DAX_SYSFS_RO(name, value)					\
static ssize_t name##_show(struct kobject *kobj,			\
			   struct kobj_attribute *attr, char *buf)	\
{									\
	struct fuse_dax_window *win = fuse_dax_sysfs_window(kobj);	\
									\
	return sysfs_emit(buf, "%ld\n", (long)(value));			\
}									\
static struct kobj_attribute fuse_dax_sysfs_##name = __ATTR_RO(name)

#define FUSE_DAX_SYSFS_STAT(name, stat)					\
	FUSE_DAX_SYSFS_RO(name, fuse_dax_window_stat(win, stat))

FUSE_DAX_SYSFS_RO(ranges_total, win->nr_ranges);
FUSE_DAX_SYSFS_RO(ranges_free,
		  READ_ONCE(win->nr_free) + READ_ONCE(win->nr_absent));
FUSE_DAX_SYSFS_RO(ranges_ready, win->nr_ranges - READ_ONCE(win->nr_absent));
FUSE_DAX_SYSFS_RO(memmap_bytes, fuse_dax_piece_bytes(win));
FUSE_DAX_SYSFS_RO(ranges_bad, READ_ONCE(win->nr_bad));
FUSE_DAX_SYSFS_RO(mappings_live, READ_ONCE(win->nr_live));
FUSE_DAX_SYSFS_RO(mappings_max, min(READ_ONCE(win->max_runs), win->nr_ranges));
FUSE_DAX_SYSFS_STAT(setups, FUSE_DAX_SETUPS);
FUSE_DAX_SYSFS_STAT(setup_errors, FUSE_DAX_SETUP_ERRORS);
FUSE_DAX_SYSFS_STAT(removes, FUSE_DAX_REMOVES);
FUSE_DAX_SYSFS_STAT(reclaimed, FUSE_DAX_RECLAIMED);
FUSE_DAX_SYSFS_STAT(waits, FUSE_DAX_WAITS);
FUSE_DAX_SYSFS_STAT(fallback_reads, FUSE_DAX_FALLBACK_READS);
FUSE_DAX_SYSFS_STAT(fallback_writes, FUSE_DAX_FALLBACK_WRITES);
FUSE_DAX_SYSFS_STAT(cache_reads, FUSE_DAX_CACHE_READS);

static struct attribute *fuse_dax_sysfs_attrs[] = {
	&fuse_dax_sysfs_ranges_total.attr,
	&fuse_dax_sysfs_ranges_free.attr,
	&fuse_dax_sysfs_ranges_ready.attr,
	&fuse_dax_sysfs_memmap_bytes.attr,
	&fuse_dax_sysfs_ranges_bad.attr,
	&fuse_dax_sysfs_mappings_live.attr,
	&fuse_dax_sysfs_mappings_max.attr,
	&fuse_dax_sysfs_setups.attr,
	&fuse_dax_sysfs_setup_errors.attr,
	&fuse_dax_sysfs_removes.attr,
	&fuse_dax_sysfs_reclaimed.attr,
	&fuse_dax_sysfs_waits.attr,
	&fuse_dax_sysfs_fallback_reads.attr,
	&fuse_dax_sysfs_fallback_writes.attr,
	&fuse_dax_sysfs_cache_reads.attr,
	NULL
};
ATTRIBUTE_GROUPS(fuse_dax_sysfs);

static void fuse_dax_sysfs_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct fuse_dax_sysfs, kobj));
}

static const struct kobj_type fuse_dax_sysfs_ktype = {
	.release	= fuse_dax_sysfs_release,
	.sysfs_ops	= &kobj_sysfs_ops,
	.default_groups	= fuse_dax_sysfs_groups,
};

/**
 * fuse_dax_sysfs_add - show the counters of a window
 * @win: the window
 * @parent: directory of the device; NULL: show nothing
 *
 * Return: 0 or -errno.
 */
int fuse_dax_sysfs_add(struct fuse_dax_window *win, struct kobject *parent)
{
	struct fuse_dax_sysfs *dir;
	int err;

	if (!parent)
		return 0;

	dir = kzalloc_obj(*dir);
	if (!dir)
		return -ENOMEM;
	dir->win = win;
	err = kobject_init_and_add(&dir->kobj, &fuse_dax_sysfs_ktype, parent,
				   "dax");
	if (err) {
		kobject_put(&dir->kobj);
		return err;
	}
	win->sysfs = dir;
	return 0;
}

/**
 * fuse_dax_sysfs_del - remove the directory of a window
 * @win: the window; nothing happens if it has none any more
 */
void fuse_dax_sysfs_del(struct fuse_dax_window *win)
{
	/* The device may go while the mount goes */
	struct fuse_dax_sysfs *dir = xchg(&win->sysfs, NULL);

	if (!dir)
		return;
	kobject_del(&dir->kobj);
	kobject_put(&dir->kobj);
}
