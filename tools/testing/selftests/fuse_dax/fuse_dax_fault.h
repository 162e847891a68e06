/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making requests go wrong, and watching tasks which may not come back.
 *
 * The server under these tests is virtiofs-daxd-fault. It takes rules through an
 * extended attribute of the root of the mount, one per line:
 *
 *	op=NAME [write] [at=N] [skip=N] [count=N] [done] ACTION
 *
 * tools/virtiofs-daxd/fault/rule.h says what they mean.
 */
#ifndef FUSE_DAX_FAULT_H
#define FUSE_DAX_FAULT_H

#include "kselftest.h"
#include "fuse_dax_common.h"

/* The most requests that one read, write or fault may cost when they fail. */
#define BOUND		3
/* A task that is killed or aborted is gone within this time. */
#define GONE_MS		1000
/* One that need not wait is through within this time, on any kernel. */
#define SOON_MS		5000

/* Rules. Return 0 or -1; counts are -1 where nothing tells. */
bool fault_server(const struct dax_fs *fs);
__printf(2, 3)
int fault_set(const struct dax_fs *fs, const char *format, ...);
int fault_clear(const struct dax_fs *fs);
long fault_hits(const struct dax_fs *fs, const char *op);
int fault_wait(const struct dax_fs *fs, const char *op, long hits);
long fault_requests(const struct dax_fs *fs, const char *op);

/* Does something to a file on the host, see tools/virtiofs-daxd/fault/host.h. */
__printf(2, 3)
int fault_host(int fd, const char *format, ...);

/* How a task ended: as it should, by an errno, or by one of these. */
enum {
	ENDED_WELL	= 0,
	ENDED_SIGBUS	= 201,
	ENDED_WRONG	= 202,
	ENDED_SHORT	= 203,
	NOT_ENDED	= -1,
};

/*
 * Tasks of their own. What they read must be the pattern of @seed, what they
 * write is.
 */
pid_t go_load(const char *map, off_t pos, uint64_t seed);
pid_t go_store(char *map, off_t pos, uint64_t seed);
pid_t go_read(int fd, off_t pos, size_t len, uint64_t seed);
pid_t go_write(int fd, off_t pos, size_t len, uint64_t seed);
pid_t go_truncate(int fd, off_t size);
pid_t go_unlink(int dirfd, const char *name);

/* Waits for a task, at most @ms; how it ended, and after how many ms. */
int ended(pid_t pid, long ms, long *took);
/* Whether it goes on for @ms. */
bool goes_on(pid_t pid, long ms);
/* Kills it; after how many ms it was gone, -1 if it stays. */
long killed_after(pid_t pid);

/*
 * struct fault_file - the file of a test, in a mount that has not been used yet
 * @fd: open for reading and writing
 * @map: shared mapping of it, for loads and stores
 */
struct fault_file {
	int fd;
	char *map;
};

#define FAULT_SIZE	(4 * MiB)
#define FAULT_SEED	91

int fault_file_open(struct dax_fs *fs, struct fault_file *file);
void fault_file_close(struct fault_file *file);

/* Fixture bodies of all groups. */
#define FAULT_SETUP(self) do {						\
	(self)->file.fd = -1;						\
	(self)->file.map = MAP_FAILED;					\
	FS_SETUP(&(self)->fs);						\
	NEED(fault_server(&(self)->fs), "the server makes no mistakes");	\
	ASSERT_EQ(0, fault_clear(&(self)->fs));				\
	ASSERT_EQ(0, fault_file_open(&(self)->fs, &(self)->file));	\
	NEED(fd_is_dax((self)->file.fd), "files of this mount are not DAX"); \
} while (0)

#define FAULT_TEARDOWN(self) do {					\
	fault_clear(&(self)->fs);					\
	fault_file_close(&(self)->file);				\
	FS_TEARDOWN(&(self)->fs);					\
} while (0)

#endif /* FUSE_DAX_FAULT_H */
