// SPDX-License-Identifier: GPL-2.0
/*
 * A server that does not map a file for writing, with any error that says so: a
 * host whose file system is copy on write, for example, and could be full.
 *
 * The file is mapped for reading then; it is written to by request, and what is
 * stored to are cached pages. How that goes is nobody's guess: the server is asked
 * once.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_fault.h"

#define BLOCK	(64 * KiB)
#define SEED	FAULT_SEED

FIXTURE(readonly)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_VARIANT(readonly)
{
	int error;
};

FIXTURE_VARIANT_ADD(readonly, eacces) { .error = EACCES };
FIXTURE_VARIANT_ADD(readonly, eperm) { .error = EPERM };
FIXTURE_VARIANT_ADD(readonly, erofs) { .error = EROFS };
FIXTURE_VARIANT_ADD(readonly, etxtbsy) { .error = ETXTBSY };

FIXTURE_SETUP(readonly)
{
	FAULT_SETUP(self);
	ASSERT_EQ(0, fault_set(&self->fs,
			       "op=SETUPMAPPING write count=0 errno=%d",
			       variant->error));
}

/* No test has the server asked twice. */
FIXTURE_TEARDOWN(readonly)
{
	EXPECT_GE(1, fault_hits(&self->fs, "SETUPMAPPING"));
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a file that cannot be mapped for writing is mapped for reading.
 * Wrong: reads and loads fail or fall back, because the file is open for writing.
 * Right: the data, without a FUSE_READ.
 * in-tree 7.3: passes, it asks for write access when it writes.
 */
TEST_F(readonly, reads_use_memory)
{
	long reads = fault_requests(&self->fs, "read"), took;

	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, MiB, SEED),
				    SOON_MS, &took));
	TH_LOG("read: %ld ms, %ld setups refused", took,
	       fault_hits(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 5, SEED), SOON_MS,
				    NULL));
	EXPECT_EQ(reads, fault_requests(&self->fs, "read"));
}

/*
 * Rule: writes to such a file fall back.
 * Wrong: an error from write(); a mapping that is taken away for each write; or
 * old data.
 * Right: what is written is read, by memory.
 * in-tree 7.3: fails, write() gets the error.
 */
TEST_F(readonly, writes_fall_back)
{
	long reads, removes;
	int i;

	EXPECT_EQ(ENDED_WELL, ended(go_write(self->file.fd, 0, BLOCK, 1),
				    SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 0, 1), SOON_MS,
				    NULL));
	reads = fault_requests(&self->fs, "read");
	removes = fault_requests(&self->fs, "removemapping");
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(ENDED_WELL,
			  ended(go_write(self->file.fd, i * BLOCK, BLOCK, 2),
				SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL,
			  ended(go_read(self->file.fd, i * BLOCK, BLOCK, 2),
				SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, i * BLOCK,
						    2), SOON_MS, NULL));
	}
	EXPECT_EQ(reads, fault_requests(&self->fs, "read"));
	EXPECT_EQ(removes, fault_requests(&self->fs, "removemapping"));
}

/*
 * Rule: who stores to such a file need not know.
 * Wrong: SIGBUS; a store that nobody sees, or that gets lost.
 * Right: all see it at once, and the server has it after msync(): it is there when
 * the file is mapped for reading again, and after the next mount.
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F(readonly, stores_are_kept)
{
	const off_t pos[] = { 0, PAGE + 5, RANGE - 1, RANGE, FAULT_SIZE - 1 };
	long writes = fault_requests(&self->fs, "write"), took;
	int i;

	for (i = 0; i < (int)ARRAY_SIZE(pos); i++) {
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, pos[i],
						    SEED), SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_store(self->file.map, pos[i], 3),
					    SOON_MS, &took));
		TH_LOG("store: %ld ms", took);
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, pos[i], 3),
					    SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, pos[i], 1, 3),
					    SOON_MS, NULL));
		/* What is beside it */
		EXPECT_EQ(ENDED_WELL,
			  ended(go_read(self->file.fd, pos[i] ^ 1, 1, SEED),
				SOON_MS, NULL));
	}
	EXPECT_EQ(0, msync(self->file.map, FAULT_SIZE, MS_SYNC));
	EXPECT_LT(writes, fault_requests(&self->fs, "write"));

	munmap(self->file.map, FAULT_SIZE);
	self->file.map = map_file(self->file.fd, FAULT_SIZE, PROT_READ,
				  MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, self->file.map);
	writes = fault_requests(&self->fs, "read");
	for (i = 0; i < (int)ARRAY_SIZE(pos); i++)
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, pos[i], 3),
					    SOON_MS, NULL));
	EXPECT_EQ(writes, fault_requests(&self->fs, "read"));
	fault_file_close(&self->file);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	self->file.fd = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, self->file.fd);
	for (i = 0; i < (int)ARRAY_SIZE(pos); i++)
		EXPECT_EQ(0, file_is_pattern(self->file.fd, pos[i], 1, 3));
}

FIXTURE(stored)
{
	struct dax_fs fs;
	struct fault_file file;
};

FIXTURE_SETUP(stored)
{
	FAULT_SETUP(self);
	ASSERT_EQ(0, fault_set(&self->fs,
			       "op=SETUPMAPPING write count=0 errno=%d",
			       EACCES));
}

FIXTURE_TEARDOWN(stored)
{
	EXPECT_GE(1, fault_hits(&self->fs, "SETUPMAPPING"));
	FAULT_TEARDOWN(self);
}

/*
 * Rule: a page is mapped or cached, never both, whoever uses it how.
 * Wrong: one of them sees what was there before.
 * Right: what was stored or written last, by a load through the same mapping or one
 * for reading, and by read().
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F(stored, all_see_the_same)
{
	int fd = openat(self->fs.dirfd, "file", O_RDONLY), i;
	char *map;
	pid_t pid;

	ASSERT_LE(0, fd);
	map = map_file(fd, FAULT_SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	for (i = 1; i < 40; i++) {
		off_t pos = i % 3 * PAGE + i;

		pid = i % 4 ? go_store(self->file.map, pos, i) :
			      go_write(self->file.fd, pos, 1, i);
		EXPECT_EQ(ENDED_WELL, ended(pid, SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_load(map, pos, i), SOON_MS,
					    NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, pos, i),
					    SOON_MS, NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_read(fd, pos, 1, i), SOON_MS,
					    NULL));
		EXPECT_EQ(ENDED_WELL, ended(go_load(map, 5 * PAGE, SEED),
					    SOON_MS, NULL));
	}
	munmap(map, FAULT_SIZE);
	close(fd);
}

/*
 * Rule: what is stored to is as large as it has to be.
 * Wrong: all of the file is cached, because some of it is stored to.
 * Right: 2 MiB at a time; the rest is mapped.
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F(stored, the_rest_is_mapped)
{
	long reads;

	EXPECT_EQ(ENDED_WELL, ended(go_store(self->file.map, RANGE, 3), SOON_MS,
				    NULL));
	reads = fault_requests(&self->fs, "read");
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 5, SEED), SOON_MS,
				    NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_read(self->file.fd, 0, MiB, SEED),
				    SOON_MS, NULL));
	EXPECT_EQ(reads, fault_requests(&self->fs, "read"));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, RANGE, 3), SOON_MS,
				    NULL));
}

/*
 * Rule: what the server cannot store is an error of fsync(), and of write().
 * Wrong: nobody is told; or it is tried again and again.
 * Right: the store is done, in memory; fsync() says ENOSPC once; and when there is
 * room again, all goes on.
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F(stored, full)
{
	ASSERT_EQ(0, fault_set(&self->fs, "op=WRITE count=0 errno=%d", ENOSPC));
	EXPECT_EQ(ENDED_WELL, ended(go_store(self->file.map, 5, 3), SOON_MS,
				    NULL));
	EXPECT_EQ(-1, fsync(self->file.fd));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_LE(1, fault_hits(&self->fs, "WRITE"));
	EXPECT_GE(BOUND, fault_hits(&self->fs, "WRITE"));
	EXPECT_EQ(0, fsync(self->file.fd));
	EXPECT_EQ(ENOSPC, ended(go_write(self->file.fd, 0, BLOCK, 1), SOON_MS,
				NULL));
	EXPECT_GE(2 * BOUND, fault_hits(&self->fs, "WRITE"));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, RANGE + 5, SEED),
				    SOON_MS, NULL));

	ASSERT_EQ(0, fault_clear(&self->fs));
	EXPECT_EQ(ENDED_WELL, ended(go_write(self->file.fd, 0, BLOCK, 1),
				    SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_store(self->file.map, 5, 3), SOON_MS,
				    NULL));
	EXPECT_EQ(0, fsync(self->file.fd));
	EXPECT_EQ(0, file_is_pattern(self->file.fd, 5, 1, 3));
	EXPECT_EQ(0, file_is_pattern(self->file.fd, 6, BLOCK - 6, 1));
}

/*
 * Rule: a page that is mapped and pinned stays what it is.
 * Wrong: it is cached as well; or who waits for it cannot be killed.
 * Right: who stores to it, or beside it, waits until the pin is gone.
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F(stored, pinned)
{
	char page[PAGE];
	int pipefd[2];
	pid_t pid;

	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, 0, SEED), SOON_MS,
				    NULL));
	ASSERT_EQ(0, pin_page(self->file.map, pipefd));
	pid = go_store(self->file.map, PAGE, 3);
	EXPECT_TRUE(goes_on(pid, 500));
	EXPECT_GE(GONE_MS, killed_after(pid));
	pid = go_store(self->file.map, PAGE, 3);
	EXPECT_TRUE(goes_on(pid, 500));
	EXPECT_EQ(PAGE, read(pipefd[0], page, PAGE));
	EXPECT_EQ(0, mem_is_pattern(page, 0, PAGE, SEED));
	EXPECT_EQ(ENDED_WELL, ended(pid, SOON_MS, NULL));
	EXPECT_EQ(ENDED_WELL, ended(go_load(self->file.map, PAGE, 3), SOON_MS,
				    NULL));
	close(pipefd[0]);
	close(pipefd[1]);
}

/* Stores numbers that grow, each to a page of its own, until it is told to end. */
static pid_t go_count(volatile char *map, int nr, volatile int *end)
{
	pid_t pid = fork();
	unsigned int i;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	i = 0;
	do {
		*(volatile unsigned int *)(map + nr * PAGE) = i++;
	} while (!*end);
	_exit(*(volatile unsigned int *)(map + nr * PAGE) == i - 1 ?
	      ENDED_WELL : ENDED_WRONG);
}

/*
 * Loads them, through a mapping for reading, with a fault for each: they never get
 * smaller.
 */
static pid_t go_watch(char *map, int nr, volatile int *end)
{
	unsigned int last = 0, now;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!*end) {
		now = *(volatile unsigned int *)(map + nr * PAGE);
		if (now < last)
			_exit(ENDED_WRONG);
		last = now;
		madvise(map, FAULT_SIZE, MADV_DONTNEED);
	}
	_exit(ENDED_WELL);
}

#define PAIRS	3

/*
 * Rule: loads, stores and writeback at a time do not keep each other from going on.
 * Wrong: one of them sees an older number than before; a task that does not end.
 * Right: neither, with the file written back all the time.
 * in-tree 7.3: fails, SIGBUS.
 */
TEST_F_TIMEOUT(stored, at_a_time, 60)
{
	int fd = openat(self->fs.dirfd, "file", O_RDONLY), i;
	volatile int *end;
	pid_t pids[2 * PAIRS];
	char *map;

	ASSERT_LE(0, fd);
	map = map_file(fd, FAULT_SIZE, PROT_READ, MAP_SHARED);
	end = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, end);
	for (i = 0; i < PAIRS; i++) {
		memset(self->file.map + i * PAGE, 0, sizeof(unsigned int));
		pids[2 * i] = go_count(self->file.map, i, end);
		pids[2 * i + 1] = go_watch(map, i, end);
	}
	for (i = 0; i < 50; i++) {
		usleep(20000);
		EXPECT_EQ(0, msync(self->file.map, FAULT_SIZE, MS_SYNC));
		EXPECT_EQ(ENDED_WELL, ended(go_read(fd, MiB, BLOCK, SEED),
					    SOON_MS, NULL));
	}
	*end = 1;
	for (i = 0; i < 2 * PAIRS; i++)
		EXPECT_EQ(ENDED_WELL, ended(pids[i], SOON_MS, NULL));
	munmap((void *)end, PAGE);
	munmap(map, FAULT_SIZE);
	close(fd);
}

TEST_HARNESS_MAIN
