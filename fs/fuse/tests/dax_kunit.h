/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unit tests of the DAX driver: what the suites share.
 */
#ifndef _FS_FUSE_DAX_KUNIT_H
#define _FS_FUSE_DAX_KUNIT_H

#include "../dax_i.h"

#include <kunit/test.h>

#define FUSE_DAX_KUNIT_INODES	4
#define FUSE_DAX_KUNIT_REQUESTS	96
/* Jiffies in which a test gets to where it waits for another task */
#define FUSE_DAX_KUNIT_SOON	2

/**
 * struct fuse_dax_kunit_setup - a setup that the driver has sent
 * @nodeid: of the inode
 * @start: first range of the file
 * @run: of the window
 * @access: what was asked for
 */
struct fuse_dax_kunit_setup {
	u64 nodeid;
	unsigned long start;
	struct fuse_dax_run run;
	enum fuse_dax_access access;
};

/**
 * struct fuse_dax_kunit_remove - a remove that the driver has sent
 * @nodeid: of the inodes
 * @nr: number of entries
 * @first: ranges of the window where they begin
 * @len: how many ranges they have
 */
struct fuse_dax_kunit_remove {
	u64 nodeid;
	unsigned int nr;
	unsigned int first[FUSE_DAX_KUNIT_REQUESTS];
	unsigned int len[FUSE_DAX_KUNIT_REQUESTS];
};

/**
 * struct fuse_dax_kunit - a connection with a window, inodes and a server
 * @win: the window, without memory
 * @fc: the connection
 * @nr_disables: times its inodes were to be dropped
 * @fm: its mount
 * @sb: its super block
 * @fi: inodes; nodeids count from 1
 * @nr_setups: setups sent
 * @setups: the first of them
 * @setup_errors: the server's answers, in order; 0 behind the last
 * @unsent: -errno if requests cannot be sent
 * @during: called while a setup is under way, or NULL; if it returns true, the
 *	answer is left to @late
 * @late: done function of the setup that was not answered
 * @late_map: its mapping
 * @late_error: what @late_work answers
 * @late_work: answers it from another task; queued with the setup if @answer
 * @answer: the answer does not wait for the test
 * @zap: called instead of the zapping of a mapping, if not NULL; 0 or -errno
 * @zap_first: first range of the mapping that is zapped
 * @zap_nr: how many
 * @nr_zaps: times it was called
 * @nr_unmaps: mappings that were spared by reclaim
 * @nr_removes: removes sent
 * @removes: the first of them
 * @remove_error: what the server answers to a remove that names @remove_bad
 * @remove_bad: range of the window; UINT_MAX: any
 */
struct fuse_dax_kunit {
	struct fuse_dax_window *win;
	struct fuse_conn fc;
	unsigned int nr_disables;
	struct fuse_mount fm;
	struct super_block sb;
	struct fuse_inode fi[FUSE_DAX_KUNIT_INODES];

	unsigned int nr_setups;
	struct fuse_dax_kunit_setup setups[FUSE_DAX_KUNIT_REQUESTS];
	int setup_errors[FUSE_DAX_KUNIT_REQUESTS];
	int unsent;
	bool (*during)(struct kunit *test, struct fuse_dax_map *map);
	void (*late)(struct fuse_dax_map *map, int error);
	struct fuse_dax_map *late_map;
	int late_error;
	struct delayed_work late_work;
	bool answer;

	int (*zap)(struct kunit *test, struct fuse_dax_map *map);
	unsigned int zap_first;
	unsigned int zap_nr;
	unsigned int nr_zaps;
	unsigned int nr_unmaps;

	unsigned int nr_removes;
	struct fuse_dax_kunit_remove removes[FUSE_DAX_KUNIT_REQUESTS];
	int remove_error;
	unsigned int remove_bad;
};

/**
 * struct fuse_dax_kunit_waiter - stands in for a task that waits for a range
 * @entry: on the wait queue of the window
 * @woken: times it was woken
 */
struct fuse_dax_kunit_waiter {
	struct wait_queue_entry entry;
	unsigned int woken;
};

struct fuse_dax_window *fuse_dax_kunit_window(unsigned int nr_ranges);
void fuse_dax_kunit_window_free(struct kunit *test,
				struct fuse_dax_window *win);
void fuse_dax_kunit_wait(struct fuse_dax_window *win,
			 struct fuse_dax_kunit_waiter *waiter);
void fuse_dax_kunit_unwait(struct fuse_dax_window *win,
			   struct fuse_dax_kunit_waiter *waiter);

int fuse_dax_kunit_init(struct kunit *test);
void fuse_dax_kunit_exit(struct kunit *test);
struct inode *fuse_dax_kunit_inode(struct kunit *test, unsigned int nr,
				   unsigned long ranges);
struct fuse_dax_map *fuse_dax_kunit_map(struct kunit *test, struct inode *inode,
					unsigned long range, unsigned int want);
void fuse_dax_kunit_pieces(struct kunit *test, unsigned int nr,
			   unsigned int pieces, unsigned int ranges);
unsigned int fuse_dax_kunit_count(struct inode *inode);
struct file *fuse_dax_kunit_file(struct kunit *test, struct inode *inode);
void fuse_dax_kunit_zap(struct kunit *test,
			int (*zap)(struct kunit *test, struct fuse_dax_map *map));
void fuse_dax_kunit_stock(struct kunit *test);
void fuse_dax_kunit_kill(void);
void fuse_dax_kunit_unkill(void);

#endif /* _FS_FUSE_DAX_KUNIT_H */
