/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the virtio-fs DAX tests share.
 *
 * The tests work in a new directory below $FUSE_DAX_DIR, the mount point of a
 * virtiofs whose tag is $FUSE_DAX_TAG. What needs DAX, a counter or a trace
 * event that is not there is skipped, or fails where FUSE_DAX_REQUIRE=1 says
 * that the driver under test must have it.
 *
 * Environment:
 *   FUSE_DAX_DIR         mount point (without it all tests are skipped)
 *   FUSE_DAX_TAG         tag of the device; needed by tests that mount
 *   FUSE_DAX_REQUIRE     1: a missing feature is a failure, not a skip
 *   FUSE_DAX_SCALE       size of the bulky tests, in percent (100)
 *   FUSE_DAX_WINDOW_MIB  size of the window for drivers without counters
 */
#ifndef FUSE_DAX_COMMON_H
#define FUSE_DAX_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

#define KiB		(1UL << 10)
#define MiB		(1UL << 20)
#define PAGE		4096UL
#define RANGE		(2 * MiB)

/* The opcodes that tests count; the values are the protocol's. */
enum {
	OP_GETATTR	= 3,
	OP_SETATTR	= 4,
	OP_OPEN		= 14,
	OP_READ		= 15,
	OP_WRITE	= 16,
	OP_FSYNC	= 20,
	OP_FALLOCATE	= 43,
	OP_SETUP	= 48,
	OP_REMOVE	= 49,
	OP_MAX		= 64,
};

/**
 * struct dax_fs - the mount under test and the directory of one test
 * @mnt: mount point
 * @tag: tag of the device, or NULL
 * @dir: directory of this test, below @mnt
 * @dirfd: open descriptor of @dir
 * @dax: whether a file made in @dir is a DAX file
 * @taint: taint flags of the kernel when the test began
 */
struct dax_fs {
	const char *mnt;
	const char *tag;
	char dir[PATH_MAX];
	int dirfd;
	bool dax;
	unsigned long taint;
};

/* Life of a test's directory. fs_open() returns -1 with the reason in errno. */
int fs_open(struct dax_fs *fs);
void fs_close(struct dax_fs *fs);
bool fs_untainted(const struct dax_fs *fs);

/* Other shares of the same machine: how many there are in all; life of one */
int shares_count(void);
int share_open(struct dax_fs *fs, int number);
int share_close(struct dax_fs *fs);

/* Mounting. The options found at program start are those to go back to. */
const char *fs_first_options(void);
int fs_mount_options(const char *mnt, char *buf, size_t len);
int fs_remount(struct dax_fs *fs, const char *options);
int fs_set_max_ranges(struct dax_fs *fs, unsigned int ranges);
bool fs_has_max_ranges(void);

long env_number(const char *name, long otherwise);
bool dax_required(void);
size_t scaled(size_t bytes);
bool fd_is_dax(int fd);
long now_ms(void);
void sleep_ms(long ms);

/* Files with a pattern that depends on the position and on a seed. */
void pattern_fill(void *buf, off_t pos, size_t len, uint64_t seed);
long pattern_diff(const void *buf, off_t pos, size_t len, uint64_t seed);
uint64_t pattern_seed(const void *word, off_t pos);
int mem_is_pattern(const void *buf, off_t pos, size_t len, uint64_t seed);
int mem_is_zero(const void *buf, size_t len);
int file_make(struct dax_fs *fs, const char *name, off_t size, uint64_t seed);
/* Files @name0, @name1, ... of seeds that follow each other; closed. */
int files_make(struct dax_fs *fs, const char *name, int n, off_t size,
	       uint64_t seed);
int file_settle(int fd);
int file_write(int fd, off_t pos, size_t len, uint64_t seed);
int file_is_pattern(int fd, off_t pos, size_t len, uint64_t seed);
int file_is_zero(int fd, off_t pos, size_t len);
void *map_file(int fd, size_t len, int prot, int flags);
int drop_caches(int what);

/* Counters of the driver in sysfs; -1 where there are none. */
long counter(const struct dax_fs *fs, const char *name);
int counter_wait(const struct dax_fs *fs, const char *name, long value);
/* Waits until all of the window is free again; 0 also without counters. */
int counters_at_rest(const struct dax_fs *fs);
long window_ranges(const struct dax_fs *fs);

/*
 * What the driver says in debugfs of the use of a window: the file's path, false if
 * there is none; and whether a line has some words.
 */
bool dump_find(char *path, size_t size);
bool dump_has(const char *words);

/* Requests and events between trace_start() and trace_stop(). */
int trace_start(void);
int trace_stop(void);
long trace_requests(int opcode);
long trace_payload(int opcode, size_t header);
long trace_largest(int opcode, size_t header);
long trace_events(const char *name);
int trace_also(const char *event, bool on);
bool trace_has_event(const char *name);

/* Faults. touch_*() return -1 for SIGBUS, touch_read() else the byte. */
long faults(void);
int touch_read(const volatile void *p);
int touch_write(volatile void *p, unsigned char value);
/* Copies a page; 0, or -1 for SIGBUS. */
int touch_copy(void *to, const void *page);
unsigned long touch_pages(const void *p, size_t len);

/* Takes ranges of the window by mapping a file of its own for each; 0 or -1. */
int fill_window(struct dax_fs *fs, int ranges, char **maps);

/* Pins a page in a new pipe, until it is read; 0, or -1. */
int pin_page(void *page, int pipefd[2]);

/* A disk with @data, of which reads go straight to the reader's pages; or -1. */
int disk_open(const char *data, size_t len);

/* Ends @pid with SIGKILL; true if it was gone within @ms. */
bool kill_within(pid_t pid, long ms);

/* Waits for @pid; its exit status, or -1 after @ms or for a signal. */
int wait_within(pid_t pid, long ms);

#define NEED(condition, ...) do {					\
	bool have_ = (condition);					\
									\
	if (!have_) {							\
		if (dax_required()) {					\
			TH_LOG(__VA_ARGS__);				\
			ASSERT_TRUE(have_);				\
		}							\
		SKIP(return, __VA_ARGS__);				\
	}								\
} while (0)

#define NEED_DAX(fs)							\
	NEED((fs)->dax, "files of this mount are not DAX")
#define NEED_COUNTERS(fs)						\
	NEED(counter(fs, "ranges_total") >= 0, "the driver has no counters")
#define NEED_TRACE()							\
	NEED(trace_start() == 0, "no trace events of fuse requests")

/*
 * Fixture body of all groups: a directory on the mount, and after the test
 * the kernel must not have warned.
 */
#define FS_SETUP(fs) do {						\
	if (fs_open(fs)) {						\
		if (!getenv("FUSE_DAX_DIR"))				\
			SKIP(return, "FUSE_DAX_DIR is not set");	\
		TH_LOG("%s: %s", getenv("FUSE_DAX_DIR"), strerror(errno)); \
		ASSERT_TRUE(false);					\
	}								\
} while (0)

#define FS_TEARDOWN(fs) do {						\
	fs_close(fs);							\
	EXPECT_TRUE(fs_untainted(fs));					\
} while (0)

#endif /* FUSE_DAX_COMMON_H */
