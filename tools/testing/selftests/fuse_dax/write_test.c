// SPDX-License-Identifier: GPL-2.0
/*
 * write(2) and its relatives on DAX files of a virtiofs mount.
 */
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define OLD	21
#define NEW	22
#define SIZE	(4 * MiB + 1000)
/* struct fuse_in_header and struct fuse_write_in */
#define WRITE_HEADER	80

FIXTURE(write)
{
	struct dax_fs fs;
	char *buf;
	int fd;
};

FIXTURE_SETUP(write)
{
	FS_SETUP(&self->fs);
	self->buf = malloc(SIZE);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(write)
{
	free(self->buf);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

static long file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/*
 * Rule: a write that does not extend the file goes through memory.
 * Wrong: FUSE_WRITE requests.
 * Right: none; the bytes are there for read() and for a new mount, and the
 * bytes around them are as before.
 * in-tree 7.3: passes.
 */
TEST_F(write, in_place)
{
	off_t pos = RANGE - 5000;

	NEED_DAX(&self->fs);
	NEED_TRACE();
	ASSERT_EQ(0, file_write(self->fd, pos, 10000, NEW));
	ASSERT_EQ(0, file_write(self->fd, SIZE - 10, 10, NEW));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_WRITE));
	EXPECT_EQ(0, trace_requests(OP_READ));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, pos, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, pos, 10000, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, pos + 10000,
				     SIZE - 10 - pos - 10000, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, SIZE - 10, 10, NEW));
	EXPECT_EQ(SIZE, file_size(self->fd));
	close(self->fd);
	ASSERT_EQ(0, drop_caches(3));
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	EXPECT_EQ(0, file_is_pattern(self->fd, pos, 10000, NEW));
}

/*
 * Rule: a write of which one byte extends the file is one FUSE_WRITE, whole.
 * Wrong: split at EOF (the size and the data can then be seen torn), a setup,
 * or a read before the write.
 * Right: exactly one FUSE_WRITE that carries all bytes, no setup.
 * in-tree 7.3: passes.
 */
TEST_F(write, straddles_eof)
{
	NEED_DAX(&self->fs);
	NEED_TRACE();
	ASSERT_EQ(0, file_write(self->fd, SIZE - 3000, 3001, NEW));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, trace_requests(OP_WRITE));
	EXPECT_EQ(3001, trace_payload(OP_WRITE, WRITE_HEADER));
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_READ));
	EXPECT_EQ(SIZE + 1, file_size(self->fd));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE - 3000, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, SIZE - 3000, 3001, NEW));
}

/*
 * Rule: a large extending write takes as many requests as its size needs.
 * Wrong: one per page, or bytes sent twice.
 * Right: the payloads add up to the write, and all but the ends are full.
 * in-tree 7.3: passes.
 */
TEST_F(write, large_extending)
{
	const size_t len = 3 * MiB + 1;
	long largest, needed;

	NEED_DAX(&self->fs);
	pattern_fill(self->buf, SIZE - 100, len, NEW);
	NEED_TRACE();
	ASSERT_EQ(len, pwrite(self->fd, self->buf, len, SIZE - 100));
	ASSERT_EQ(0, trace_stop());
	largest = trace_largest(OP_WRITE, WRITE_HEADER);
	ASSERT_LT(0, largest);
	needed = (len + largest - 1) / largest;
	EXPECT_EQ(len, trace_payload(OP_WRITE, WRITE_HEADER));
	EXPECT_LE((long)(64 * KiB), largest);
	EXPECT_LE(needed, trace_requests(OP_WRITE));
	EXPECT_GE(needed + 1, trace_requests(OP_WRITE));
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, file_is_pattern(self->fd, SIZE - 100, len, NEW));
}

/*
 * Rule: what an extending write adds shows in mappings that were there.
 * Wrong: zeros or SIGBUS where the file has data now.
 * Right: the data, in the old last page and after it.
 * in-tree 7.3: passes.
 */
TEST_F(write, extending_shows_in_mapping)
{
	size_t len = 8 * MiB;
	char *map;

	map = map_file(self->fd, len, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mem_is_pattern(map, 0, SIZE, OLD));
	EXPECT_EQ(-1, touch_read(map + SIZE + PAGE));
	ASSERT_EQ(0, file_write(self->fd, SIZE, 3 * MiB, OLD));
	ASSERT_LE(0, touch_read(map + SIZE + 3 * MiB - 1));
	EXPECT_EQ(0, mem_is_pattern(map + SIZE - 10, SIZE - 10, 3 * MiB + 10,
				    OLD));
	munmap(map, len);
}

/*
 * Rule: O_APPEND writes go to the end, each in one request.
 * Wrong: at the position of the descriptor, or more requests.
 * Right: at the end; one FUSE_WRITE for each.
 * in-tree 7.3: passes.
 */
TEST_F(write, append)
{
	int fd, i;

	NEED_DAX(&self->fs);
	fd = openat(self->fs.dirfd, "file", O_WRONLY | O_APPEND);
	ASSERT_LE(0, fd);
	NEED_TRACE();
	for (i = 0; i < 10; i++) {
		pattern_fill(self->buf, SIZE + i * 1001, 1001, OLD);
		ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
		ASSERT_EQ(1001, write(fd, self->buf, 1001));
	}
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(10, trace_requests(OP_WRITE));
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(SIZE + 10010, file_size(self->fd));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE + 10010, OLD));
	close(fd);
}

/*
 * Rule: the source of a write in place may be a mapping of the same mount.
 * Wrong: a deadlock, EFAULT, or wrong data.
 * Right: an equal copy, from another file and from the same file.
 * in-tree 7.3: passes while ranges are plenty.
 */
TEST_F(write, in_place_from_mapping)
{
	char *map, *own;
	int fd;

	fd = file_make(&self->fs, "source", SIZE, NEW);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, PROT_READ, MAP_SHARED);
	own = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, own);
	EXPECT_EQ(3 * MiB, pwrite(self->fd, map + 1000, 3 * MiB, 1000));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, 1000, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, 1000, 3 * MiB, NEW));
	EXPECT_EQ(MiB, pwrite(self->fd, own + 1000, MiB, 3 * MiB));
	EXPECT_EQ(0, mem_is_pattern(own + 3 * MiB, 1000, MiB, NEW));
	munmap(map, SIZE);
	munmap(own, SIZE);
	close(fd);
}

/*
 * Rule: an extending write copies its source into pages of the kernel, as the
 * server cannot reach memory of the window.
 * Wrong: EIO or EFAULT, or data the server made up.
 * Right: the data, from a mapping of another and of the same file.
 * in-tree 7.3: fails, it passes addresses in the window to the server.
 */
TEST_F(write, extending_from_mapping)
{
	char *map, *own;
	int fd;

	fd = file_make(&self->fs, "source", SIZE, OLD);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, PROT_READ, MAP_SHARED);
	own = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, own);
	ASSERT_EQ(0, mem_is_pattern(map, 0, SIZE, OLD));
	EXPECT_EQ(2 * MiB, pwrite(self->fd, map + 500, 2 * MiB, SIZE));
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, OLD));
	ASSERT_EQ(SIZE + 2 * MiB, file_size(self->fd));
	ASSERT_EQ(2 * MiB, pread(self->fd, self->buf, 2 * MiB, SIZE));
	EXPECT_EQ(0, mem_is_pattern(self->buf, 500, 2 * MiB, OLD));
	EXPECT_EQ(MiB, pwrite(self->fd, own + 700, MiB, SIZE + 2 * MiB));
	ASSERT_EQ(MiB, pread(self->fd, self->buf, MiB, SIZE + 2 * MiB));
	EXPECT_EQ(0, mem_is_pattern(self->buf, 700, MiB, OLD));
	munmap(map, SIZE);
	munmap(own, SIZE);
	close(fd);
}

/*
 * Rule: as extending_from_mapping, with O_DIRECT.
 * Wrong, right: the same.
 * in-tree 7.3: fails for the same reason.
 */
TEST_F(write, extending_from_mapping_direct)
{
	char *map;
	int fd;

	NEED_DAX(&self->fs);
	fd = openat(self->fs.dirfd, "copy", O_RDWR | O_CREAT | O_DIRECT, 0600);
	ASSERT_LE(0, fd);
	map = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(2 * MiB, pwrite(fd, map, 2 * MiB, 0));
	ASSERT_EQ(2 * MiB, pread(fd, self->buf, 2 * MiB, 0));
	EXPECT_EQ(0, mem_is_pattern(self->buf, 0, 2 * MiB, OLD));
	munmap(map, SIZE);
	close(fd);
}

FIXTURE(write_sync)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_VARIANT(write_sync)
{
	int open_flags;
	int rwf;
	long fsyncs;
};

FIXTURE_VARIANT_ADD(write_sync, plain) { .fsyncs = 0 };
FIXTURE_VARIANT_ADD(write_sync, o_sync) { .open_flags = O_SYNC, .fsyncs = 1 };
FIXTURE_VARIANT_ADD(write_sync, o_dsync) { .open_flags = O_DSYNC, .fsyncs = 1 };
FIXTURE_VARIANT_ADD(write_sync, rwf_sync) { .rwf = RWF_SYNC, .fsyncs = 1 };
FIXTURE_VARIANT_ADD(write_sync, rwf_dsync) { .rwf = RWF_DSYNC, .fsyncs = 1 };

FIXTURE_SETUP(write_sync)
{
	int fd;

	FS_SETUP(&self->fs);
	fd = file_make(&self->fs, "file", MiB, OLD);
	ASSERT_LE(0, fd);
	close(fd);
	self->fd = openat(self->fs.dirfd, "file", O_RDWR | variant->open_flags);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(write_sync)
{
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a synchronous write is followed by one FUSE_FSYNC, in place and
 * extending; any other write by none.
 * Wrong: none (the data may not be on disk), or one for every write.
 * Right: as many as the variant says.
 * in-tree 7.3: passes.
 */
TEST_F(write_sync, sends_fsync)
{
	char data[100];
	struct iovec iov = { data, sizeof(data) };

	NEED_DAX(&self->fs);
	memset(data, 'x', sizeof(data));
	NEED_TRACE();
	ASSERT_EQ(100, pwritev2(self->fd, &iov, 1, 5000, variant->rwf));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(variant->fsyncs, trace_requests(OP_FSYNC));
	EXPECT_EQ(0, trace_requests(OP_WRITE));

	NEED_TRACE();
	ASSERT_EQ(100, pwritev2(self->fd, &iov, 1, MiB - 50, variant->rwf));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(variant->fsyncs, trace_requests(OP_FSYNC));
	EXPECT_EQ(1, trace_requests(OP_WRITE));
}

/*
 * Rule: fsync() reaches the server after writes through memory.
 * Wrong: no request, as no page of the guest is dirty.
 * Right: one FUSE_FSYNC each for fsync() and fdatasync().
 * in-tree 7.3: passes.
 */
TEST_F(write, fsync)
{
	NEED_DAX(&self->fs);
	ASSERT_EQ(0, file_write(self->fd, 100, 5000, NEW));
	NEED_TRACE();
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, fdatasync(self->fd));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(2, trace_requests(OP_FSYNC));
}

/*
 * Rule: RLIMIT_FSIZE holds for writes in place and for extending ones.
 * Wrong: bytes beyond the limit are written.
 * Right: a short write up to the limit, then EFBIG.
 * in-tree 7.3: passes.
 */
TEST_F(write, rlimit_fsize)
{
	struct rlimit old, limit;

	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &old));
	signal(SIGXFSZ, SIG_IGN);
	pattern_fill(self->buf, MiB - 100, 1000, NEW);
	limit = old;
	limit.rlim_cur = MiB;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(100, pwrite(self->fd, self->buf, 1000, MiB - 100));
	EXPECT_EQ(-1, pwrite(self->fd, self->buf, 1000, MiB));
	EXPECT_EQ(EFBIG, errno);
	limit.rlim_cur = SIZE + 10;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(15, pwrite(self->fd, self->buf, 1000, SIZE - 5));
	EXPECT_EQ(-1, pwrite(self->fd, self->buf, 1000, SIZE + 10));
	EXPECT_EQ(EFBIG, errno);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &old));
	EXPECT_EQ(SIZE + 10, file_size(self->fd));
	EXPECT_EQ(0, file_is_pattern(self->fd, MiB - 100, 100, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, MiB, MiB, OLD));
}

/* Write as a user without any capability; its exit status. */
static int write_as_user(int fd, off_t pos)
{
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(0, NULL) || setgid(1000) || setuid(1000))
			_exit(2);
		_exit(pwrite(fd, "x", 1, pos) == 1 ? 0 : 3);
	}
	return wait_within(pid, 10000);
}

/*
 * Rule: a write by an ordinary user takes the set-user-ID and set-group-ID
 * bits away.
 * Wrong: the bits stay, as the write did not go to the server.
 * Right: they are gone at once and after a look-up, in place and extending.
 * in-tree 7.3: passes.
 */
TEST_F(write, clears_suid_sgid)
{
	off_t places[] = { 1000, SIZE };
	struct stat st;
	size_t i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, fchmod(self->fd, 06777));
		ASSERT_EQ(0, write_as_user(self->fd, places[i]));
		ASSERT_EQ(0, fstat(self->fd, &st));
		EXPECT_EQ(0777, st.st_mode & 07777);
		ASSERT_EQ(0, drop_caches(2));
		ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
		EXPECT_EQ(0777, st.st_mode & 07777);
	}
	EXPECT_EQ(SIZE + 1, file_size(self->fd));
}

static int set_old_times(int fd)
{
	struct timespec times[2] = { { .tv_sec = 1000000000 },
				     { .tv_sec = 1000000000 } };

	return futimens(fd, times);
}

/*
 * Rule: mtime and ctime are new right after a write in place.
 * Wrong: old until attributes time out or the host writes back.
 * Right: mtime is not the old one at the next fstat(), ctime moved on.
 * in-tree 7.3: fails, nothing updates the times or drops the attributes.
 */
TEST_F(write, times_at_once)
{
	struct stat before, after;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	ASSERT_EQ(0, set_old_times(self->fd));
	ASSERT_EQ(0, fstat(self->fd, &before));
	ASSERT_EQ(1000000000, before.st_mtime);
	sleep_ms(20);
	ASSERT_EQ(0, file_write(self->fd, 100, 100, NEW));
	ASSERT_EQ(0, fstat(self->fd, &after));
	EXPECT_LT(1000000000, after.st_mtime);
	EXPECT_TRUE(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
		    after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

/*
 * Rule: after fsync() the server has the new times as well.
 * Wrong: the old mtime comes back with the next look-up.
 * Right: the new one stays once the inode was dropped.
 * in-tree 7.3: passes, the host sees its dirty pages.
 */
TEST_F(write, times_on_server_after_fsync)
{
	struct stat st;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	ASSERT_EQ(0, set_old_times(self->fd));
	ASSERT_EQ(0, file_write(self->fd, 100, 100, NEW));
	ASSERT_EQ(0, fsync(self->fd));
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, drop_caches(2));
	ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
	EXPECT_LT(1000000000, st.st_mtime);
}

/*
 * Rule: times set by utimensat() after a write stay.
 * Wrong: the write's time is sent late and overwrites them (cp -a, tar).
 * Right: the time that was set, after close and a new look-up.
 * in-tree 7.3: passes, it never sends a time.
 */
TEST_F(write, set_times_stay)
{
	struct stat st;

	ASSERT_EQ(0, file_write(self->fd, 100, 100, NEW));
	ASSERT_EQ(0, set_old_times(self->fd));
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
	EXPECT_EQ(1000000000, st.st_mtime);
	ASSERT_EQ(0, drop_caches(2));
	ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
	EXPECT_EQ(1000000000, st.st_mtime);
}

/*
 * Rule: a RWF_NOWAIT write in place is served if mapped, else refused; an
 * extending one needs the server and is refused.
 * Wrong: a request, or EOPNOTSUPP.
 * Right: EAGAIN on a miss and at EOF, the bytes on a hit, no request.
 * in-tree 7.3: fails, FMODE_NOWAIT is not set (EOPNOTSUPP).
 */
TEST_F(write, nowait)
{
	struct iovec iov = { self->buf, 3000 };

	NEED_DAX(&self->fs);
	pattern_fill(self->buf, 1000, 3000, NEW);
	NEED_TRACE();
	EXPECT_EQ(-1, pwritev2(self->fd, &iov, 1, 1000, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(-1, pwritev2(self->fd, &iov, 1, SIZE - 5, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_WRITE));

	ASSERT_EQ(0, file_write(self->fd, 0, PAGE, OLD));
	NEED_TRACE();
	EXPECT_EQ(3000, pwritev2(self->fd, &iov, 1, 1000, RWF_NOWAIT));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_WRITE));
	EXPECT_EQ(0, file_is_pattern(self->fd, 1000, 3000, NEW));
	EXPECT_EQ(SIZE, file_size(self->fd));
}

/*
 * Rule: memory that can be read can be written from.
 * Wrong: EFAULT, because its pages cannot be lent to the server: they are those
 * of a mapping without PROT_READ here, of a device or of memfd_secret() elsewhere.
 * Right: all of it.
 * in-tree 7.3: EFAULT.
 */
TEST_F(write, extending_from_unpinnable)
{
	size_t len = 256 * KiB;
	char *from;

	from = mmap(NULL, len, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, from);
	/* Pages that are present could be had without a look at the vma */
	EXPECT_EQ(len, pwrite(self->fd, from, len, SIZE));
	EXPECT_EQ(0, file_is_zero(self->fd, SIZE, len));
	munmap(from, len);
}

/*
 * Rule: a bad source ends a write, in place and extending.
 * Wrong: an endless loop, or bytes of nowhere in the file.
 * Right: EFAULT or the bytes up to the bad page, and a size that fits.
 * in-tree 7.3: passes.
 */
TEST_F(write, bad_buffer)
{
	off_t places[] = { 1000, SIZE - 100 };
	ssize_t n;
	size_t i;
	char *p;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 2; i++) {
		pattern_fill(p, places[i], PAGE, OLD);
		ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_NONE));
		EXPECT_EQ(-1, pwrite(self->fd, p + PAGE, 10, places[i]));
		EXPECT_EQ(EFAULT, errno);
		n = pwrite(self->fd, p, 2 * PAGE, places[i]);
		EXPECT_GE((ssize_t)PAGE, n);
		ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE));
	}
	EXPECT_GE(SIZE - 100 + (long)PAGE, file_size(self->fd));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, file_size(self->fd), OLD));
	munmap(p, 2 * PAGE);
}

/*
 * Rule: a write of no bytes changes nothing.
 * Wrong: a new size, or an error.
 * Right: 0, also beyond EOF.
 * in-tree 7.3: passes.
 */
TEST_F(write, zero_bytes)
{
	EXPECT_EQ(0, pwrite(self->fd, self->buf, 0, 0));
	EXPECT_EQ(0, pwrite(self->fd, self->buf, 0, SIZE));
	EXPECT_EQ(0, pwrite(self->fd, self->buf, 0, SIZE + MiB));
	EXPECT_EQ(SIZE, file_size(self->fd));
}

/*
 * Rule: a write far beyond EOF leaves a hole of zeros.
 * Wrong: old contents of the window, or of the last page beyond EOF.
 * Right: zeros from the old end to the new data.
 * in-tree 7.3: passes.
 */
TEST_F(write, beyond_eof)
{
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	ASSERT_EQ(0, file_write(self->fd, SIZE + 3 * MiB, 100, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	EXPECT_EQ(0, file_is_zero(self->fd, SIZE, 3 * MiB));
	EXPECT_EQ(0, file_is_pattern(self->fd, SIZE + 3 * MiB, 100, NEW));
}

/*
 * Rule: a file that is unlinked but open can be written, in place and beyond.
 * Wrong: an error, or wrong data.
 * Right: as any file.
 * in-tree 7.3: passes.
 */
TEST_F(write, unlinked)
{
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	ASSERT_EQ(0, file_write(self->fd, RANGE - 10, 20, NEW));
	ASSERT_EQ(0, file_write(self->fd, SIZE, MiB, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, RANGE - 10, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, RANGE - 10, 20, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, SIZE, MiB, NEW));
}

struct reader {
	const char *map;
	bool stop;
	long bad;
};

/* Look at one word per page until told to stop. */
static void *read_on(void *arg)
{
	struct reader *r = arg;
	size_t pos;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
		for (pos = 0; pos < 4 * MiB; pos += PAGE)
			if (pattern_diff(r->map + pos, pos, 8, OLD) >= 0)
				r->bad++;
	return NULL;
}

/*
 * Rule: write access to a file that is mapped for reading does not change
 * what readers see.
 * Wrong: zeros for a moment, while the range is replaced on the host.
 * Right: readers see the file's bytes at every moment; writes succeed.
 * in-tree 7.3: passes if the server hides that it must map anew.
 */
TEST_F(write, upgrade_under_readers)
{
	struct reader reader = { 0 };
	pthread_t thread;
	int ro, i;

	NEED_DAX(&self->fs);
	close(self->fd);
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, drop_caches(2));
		ro = openat(self->fs.dirfd, "file", O_RDONLY);
		ASSERT_LE(0, ro);
		reader.stop = false;
		reader.map = map_file(ro, SIZE, PROT_READ, MAP_SHARED);
		ASSERT_NE(MAP_FAILED, reader.map);
		touch_pages(reader.map, SIZE);
		ASSERT_EQ(0, pthread_create(&thread, NULL, read_on, &reader));
		sleep_ms(5);
		self->fd = openat(self->fs.dirfd, "file", O_RDWR);
		EXPECT_EQ(0, file_write(self->fd, 0, 100, OLD));
		EXPECT_EQ(0, file_write(self->fd, RANGE, 100, OLD));
		sleep_ms(5);
		__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		EXPECT_EQ(0, reader.bad);
		munmap((void *)reader.map, SIZE);
		close(ro);
		close(self->fd);
	}
	self->fd = -1;
}

/*
 * Rule: several that need write access to the same mapping wait for its pinned
 * page, not for each other.
 * Wrong: each holds on to the mapping that all want to be free, for ever.
 * Right: they wait while the page is in a pipe, and store once it was read.
 * in-tree 7.3: passes, it changes the mapping in place.
 */
TEST_F_TIMEOUT(write, upgrade_by_several, 60)
{
	char page[PAGE], *map;
	int pipefd[2], ro, i;
	pid_t pids[4];

	NEED_DAX(&self->fs);
	close(self->fd);
	ASSERT_EQ(0, drop_caches(2));
	ro = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, ro);
	map = map_file(ro, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, pin_page(map + PAGE, pipefd));
	munmap(map, SIZE);

	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
	map = map_file(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(touch_write(map + (2 + i) * PAGE, 'a' + i) ? 1 : 0);
	}
	sleep_ms(500);
	ASSERT_EQ(PAGE, read(pipefd[0], page, PAGE));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, wait_within(pids[i], 5000));
		EXPECT_EQ('a' + i, touch_read(map + (2 + i) * PAGE));
	}
	munmap(map, SIZE);
	close(pipefd[0]);
	close(pipefd[1]);
	close(ro);
}

TEST_HARNESS_MAIN
