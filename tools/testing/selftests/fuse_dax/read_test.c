// SPDX-License-Identifier: GPL-2.0
/*
 * read(2) and its relatives on DAX files of a virtiofs mount.
 */
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define SEED	11
#define SIZE	(5 * MiB + 123)

FIXTURE(read)
{
	struct dax_fs fs;
	char *buf;
	int fd;
};

FIXTURE_SETUP(read)
{
	FS_SETUP(&self->fs);
	self->buf = malloc(SIZE + PAGE);
	self->fd = file_make(&self->fs, "file", SIZE, SEED);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(read)
{
	free(self->buf);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: a file with room in the window is read through memory.
 * Wrong: FUSE_READ requests, or data that is not the file's.
 * Right: the data, at least one setup, no FUSE_READ, and nothing at all is
 * sent for a second read.
 * in-tree 7.3: passes.
 */
TEST_F(read, no_read_requests)
{
	NEED_DAX(&self->fs);
	NEED_TRACE();
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_READ));
	EXPECT_LE(1, trace_requests(OP_SETUP));

	NEED_TRACE();
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_READ));
	EXPECT_EQ(0, trace_requests(OP_SETUP));
}

/*
 * Rule: a read ends at the end of the file.
 * Wrong: bytes beyond EOF, an error, or no return.
 * Right: a short count across EOF, 0 at EOF and far beyond.
 * in-tree 7.3: passes.
 */
TEST_F(read, ends_at_eof)
{
	EXPECT_EQ(100, pread(self->fd, self->buf, PAGE, SIZE - 100));
	EXPECT_EQ(0, mem_is_pattern(self->buf, SIZE - 100, 100, SEED));
	EXPECT_EQ(SIZE, pread(self->fd, self->buf, SIZE + PAGE, 0));
	EXPECT_EQ(0, mem_is_pattern(self->buf, 0, SIZE, SEED));
	EXPECT_EQ(0, pread(self->fd, self->buf, PAGE, SIZE));
	EXPECT_EQ(0, pread(self->fd, self->buf, PAGE, SIZE + 1));
	EXPECT_EQ(0, pread(self->fd, self->buf, PAGE, 1ULL << 40));
}

/*
 * Rule: a read of no bytes is a read of no bytes, wherever it is.
 * Wrong: an endless loop in the kernel (seen up to Linux 5.19 at EOF).
 * Right: 0.
 * in-tree 7.3: passes.
 */
TEST_F(read, zero_bytes)
{
	struct iovec none[2] = { { self->buf, 0 }, { self->buf, 0 } };

	EXPECT_EQ(0, pread(self->fd, self->buf, 0, 0));
	EXPECT_EQ(0, pread(self->fd, self->buf, 0, SIZE));
	EXPECT_EQ(0, pread(self->fd, self->buf, 0, SIZE + 10 * MiB));
	EXPECT_EQ(0, preadv(self->fd, none, 2, SIZE));
	EXPECT_EQ(0, preadv(self->fd, none, 0, 0));
	ASSERT_EQ(SIZE, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(0, read(self->fd, self->buf, PAGE));
	EXPECT_EQ(0, read(self->fd, self->buf, 0));
}

/*
 * Rule: reads may begin and end at any byte.
 * Wrong: data of another place, above all around pages and ranges.
 * Right: the file's bytes.
 * in-tree 7.3: passes.
 */
TEST_F(read, any_alignment)
{
	static const off_t edges[] = { 1, PAGE, 64 * KiB, RANGE, 2 * RANGE };
	static const size_t lengths[] = { 1, 7, 511, PAGE, PAGE + 1, 70001 };
	size_t i, j;
	long before;

	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		for (j = 0; j < ARRAY_SIZE(lengths); j++) {
			before = edges[i] - (long)(lengths[j] / 2);
			if (before < 0)
				before = 0;
			ASSERT_EQ(lengths[j], pread(self->fd, self->buf,
						    lengths[j], before));
			ASSERT_EQ(0, mem_is_pattern(self->buf, before,
						    lengths[j], SEED));
		}
	}
}

/*
 * Rule: readv() fills its buffers one after the other.
 * Wrong: a buffer skipped, or filled past its end, at a range boundary.
 * Right: consecutive bytes, and untouched bytes between the buffers.
 * in-tree 7.3: passes.
 */
TEST_F(read, vectors)
{
	char *a = self->buf, *b = a + 2 * MiB, *c = b + MiB;
	struct iovec iov[] = {
		{ a, 1000003 }, { b, 0 }, { b, 1 }, { b + 100, 999997 },
		{ c, 500000 },
	};
	off_t pos = RANGE - 1000000;

	memset(self->buf, 0x5a, SIZE);
	ASSERT_EQ(2500001, preadv(self->fd, iov, 5, pos));
	EXPECT_EQ(0, mem_is_pattern(a, pos, 1000003, SEED));
	EXPECT_EQ(0x5a, a[1000003]);
	EXPECT_EQ(0, mem_is_pattern(b, pos + 1000003, 1, SEED));
	EXPECT_EQ(0x5a, b[1]);
	EXPECT_EQ(0, mem_is_pattern(b + 100, pos + 1000004, 999997, SEED));
	EXPECT_EQ(0, mem_is_pattern(c, pos + 2000001, 500000, SEED));
	EXPECT_EQ(0x5a, c[500000]);
}

/*
 * Rule: RWF_NOWAIT on what is not mapped must not wait for the server.
 * Wrong: a request is sent, or NOWAIT is not supported at all.
 * Right: -EAGAIN and no request.
 * in-tree 7.3: fails, FMODE_NOWAIT is not set (EOPNOTSUPP).
 */
TEST_F(read, nowait_miss)
{
	struct iovec iov = { self->buf, PAGE };

	NEED_DAX(&self->fs);
	NEED_TRACE();
	EXPECT_EQ(-1, preadv2(self->fd, &iov, 1, RANGE, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_READ));
}

/*
 * Rule: RWF_NOWAIT on what is mapped is served from memory.
 * Wrong: EAGAIN or EOPNOTSUPP for ever, or a request.
 * Right: the data and no request, short at EOF.
 * in-tree 7.3: fails, FMODE_NOWAIT is not set (EOPNOTSUPP).
 */
TEST_F(read, nowait_hit)
{
	struct iovec iov = { self->buf, MiB };
	struct stat st;
	ssize_t n = -1;
	int i;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, SEED));
	NEED_TRACE();
	EXPECT_EQ(MiB, preadv2(self->fd, &iov, 1, RANGE + 77, RWF_NOWAIT));
	EXPECT_EQ(0, mem_is_pattern(self->buf, RANGE + 77, MiB, SEED));
	/* A read that meets EOF needs a size that is not too old. */
	for (i = 0; i < 50 && n < 0; i++) {
		ASSERT_EQ(0, fstat(self->fd, &st));
		n = preadv2(self->fd, &iov, 1, SIZE - 123, RWF_NOWAIT);
	}
	EXPECT_EQ(123, n);
	EXPECT_EQ(0, mem_is_pattern(self->buf, SIZE - 123, 123, SEED));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETUP));
	EXPECT_EQ(0, trace_requests(OP_READ));
}

/*
 * Rule: splice() gives a pipe the bytes of the file.
 * Wrong: other bytes, or more than the file has.
 * Right: the bytes up to EOF, then 0.
 * in-tree 7.3: passes.
 */
TEST_F(read, splice)
{
	loff_t pos = SIZE - 100 * KiB;
	ssize_t n, total = 0;
	int pipefd[2];

	ASSERT_EQ(0, pipe(pipefd));
	while ((n = splice(self->fd, &pos, pipefd[1], NULL, 40000, 0)) > 0) {
		ASSERT_EQ(n, read(pipefd[0], self->buf + total, n));
		total += n;
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(100 * KiB, total);
	EXPECT_EQ(0, mem_is_pattern(self->buf, SIZE - 100 * KiB, total, SEED));
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * Rule: sendfile() to a file of another file system copies the file.
 * Wrong: wrong data or a wrong length.
 * Right: an equal copy.
 * in-tree 7.3: passes.
 */
TEST_F(read, sendfile_to_file)
{
	size_t done = 0;
	off_t pos = 0;
	ssize_t n;
	int out;

	out = memfd_create("copy", 0);
	ASSERT_LE(0, out);
	while ((n = sendfile(out, self->fd, &pos, MiB)) > 0)
		done += n;
	EXPECT_EQ(0, n);
	EXPECT_EQ(SIZE, done);
	EXPECT_EQ(0, file_is_pattern(out, 0, SIZE, SEED));
	close(out);
}

/*
 * Rule: sendfile() to a socket sends the bytes as they are in the file.
 * Wrong: pages of the window are handed over and change later.
 * Right: the receiver gets what the file held when sendfile() returned, also
 * if the file is overwritten before it reads.
 * in-tree 7.3: passes.
 */
TEST_F(read, sendfile_to_socket)
{
	off_t pos = RANGE - 1000;
	size_t got = 0;
	int pair[2];
	ssize_t n;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(20000, sendfile(pair[0], self->fd, &pos, 20000));
	ASSERT_EQ(0, file_write(self->fd, RANGE - 1000, 20000, SEED + 1));
	while (got < 20000) {
		n = read(pair[1], self->buf + got, 20000 - got);
		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_EQ(0, mem_is_pattern(self->buf, RANGE - 1000, 20000, SEED));
	close(pair[0]);
	close(pair[1]);
}

/*
 * Rule: O_DIRECT changes nothing for DAX.
 * Wrong: an error, or reads that go to the server.
 * Right: the data, aligned or not, and no FUSE_READ.
 * in-tree 7.3: passes.
 */
TEST_F(read, o_direct)
{
	char *aligned = (char *)(((uintptr_t)self->buf + PAGE - 1) & -PAGE);
	int fd;

	NEED_DAX(&self->fs);
	fd = openat(self->fs.dirfd, "file", O_RDONLY | O_DIRECT);
	ASSERT_LE(0, fd);
	NEED_TRACE();
	EXPECT_EQ(MiB, pread(fd, aligned, MiB, RANGE - 512 * KiB));
	EXPECT_EQ(0, mem_is_pattern(aligned, RANGE - 512 * KiB, MiB, SEED));
	EXPECT_EQ(1000, pread(fd, self->buf + 1, 1000, 77));
	EXPECT_EQ(0, mem_is_pattern(self->buf + 1, 77, 1000, SEED));
	EXPECT_EQ(23, pread(fd, aligned, PAGE, SIZE - 23));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_READ));
	close(fd);
}

/*
 * Rule: a hole reads as zeros, between data that stays.
 * Wrong: old window contents, or an error.
 * Right: zeros.
 * in-tree 7.3: passes.
 */
TEST_F(read, holes)
{
	int fd;

	fd = file_make(&self->fs, "sparse", 0, SEED);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 9 * MiB));
	ASSERT_EQ(0, file_write(fd, 5 * MiB + 10, 1000, SEED));
	EXPECT_EQ(0, file_is_zero(fd, 0, 5 * MiB + 10));
	EXPECT_EQ(0, file_is_pattern(fd, 5 * MiB + 10, 1000, SEED));
	EXPECT_EQ(0, file_is_zero(fd, 5 * MiB + 1010, 4 * MiB - 1010));
	close(fd);
}

/*
 * Rule: a reader sees what another descriptor appends.
 * Wrong: EOF at the old size, or zeros from the old tail of a mapping.
 * Right: the new bytes, also within the page and the range of the old EOF.
 * in-tree 7.3: passes.
 */
TEST_F(read, sees_growth)
{
	static const size_t steps[] = { 1, 100, PAGE, MiB, 3 * MiB };
	size_t size = SIZE, i;
	int other;

	other = openat(self->fs.dirfd, "file", O_WRONLY);
	ASSERT_LE(0, other);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		EXPECT_EQ(0, pread(self->fd, self->buf, PAGE, size));
		ASSERT_EQ(0, file_write(other, size, steps[i], SEED));
		EXPECT_EQ(0, file_is_pattern(self->fd, size - 10,
					     steps[i] + 10, SEED));
		size += steps[i];
	}
	EXPECT_EQ(0, pread(self->fd, self->buf, PAGE, size));
	close(other);
}

/*
 * Rule: the buffer of a read may be a mapping of the same file.
 * Wrong: a deadlock, or an error.
 * Right: the bytes arrive in the other place of the file.
 * in-tree 7.3: passes while ranges are plenty.
 */
TEST_F(read, into_own_mapping)
{
	char *map;

	map = map_file(self->fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(MiB, pread(self->fd, map + 3 * MiB, MiB, 5000));
	EXPECT_EQ(0, mem_is_pattern(map + 3 * MiB, 5000, MiB, SEED));
	munmap(map, SIZE);
	ASSERT_EQ(MiB, pread(self->fd, self->buf, MiB, 3 * MiB));
	EXPECT_EQ(0, mem_is_pattern(self->buf, 5000, MiB, SEED));
}

/*
 * Rule: a bad buffer ends a read, it does not hang it.
 * Wrong: an endless loop or a full count.
 * Right: EFAULT, or the bytes up to the bad page.
 * in-tree 7.3: passes.
 */
TEST_F(read, bad_buffer)
{
	ssize_t n;
	char *p;

	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(-1, pread(self->fd, p + PAGE, 100, 0));
	EXPECT_EQ(EFAULT, errno);
	n = pread(self->fd, p, 2 * PAGE, 100);
	EXPECT_GE((ssize_t)PAGE, n);
	if (n > 0) {
		EXPECT_EQ(0, mem_is_pattern(p, 100, n, SEED));
	}
	munmap(p, 2 * PAGE);
}

FIXTURE(sizes)
{
	struct dax_fs fs;
};

FIXTURE_VARIANT(sizes)
{
	size_t size;
};

FIXTURE_VARIANT_ADD(sizes, empty) { .size = 0 };
FIXTURE_VARIANT_ADD(sizes, one) { .size = 1 };
FIXTURE_VARIANT_ADD(sizes, ten) { .size = 10 };
FIXTURE_VARIANT_ADD(sizes, page_less_one) { .size = PAGE - 1 };
FIXTURE_VARIANT_ADD(sizes, page) { .size = PAGE };
FIXTURE_VARIANT_ADD(sizes, page_and_one) { .size = PAGE + 1 };
FIXTURE_VARIANT_ADD(sizes, range_less_one) { .size = RANGE - 1 };
FIXTURE_VARIANT_ADD(sizes, range) { .size = RANGE };
FIXTURE_VARIANT_ADD(sizes, range_and_one) { .size = RANGE + 1 };
FIXTURE_VARIANT_ADD(sizes, range_and_page) { .size = RANGE + PAGE };
FIXTURE_VARIANT_ADD(sizes, odd) { .size = 3 * RANGE + 12345 };

FIXTURE_SETUP(sizes)
{
	FS_SETUP(&self->fs);
}

FIXTURE_TEARDOWN(sizes)
{
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: files of every size read right, by read() and by mmap().
 * Wrong: a wrong length; a tail that is missing, torn or not zero beyond EOF.
 * Right: the data, and zeros after it up to the end of the last page.
 * in-tree 7.3: passes.
 */
TEST_F(sizes, read_and_map)
{
	size_t size = variant->size, tail = -size & (PAGE - 1);
	struct stat st;
	char c, *map;
	int fd;

	fd = file_make(&self->fs, "file", size, SEED);
	ASSERT_LE(0, fd);
	close(fd);
	fd = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(0, file_is_pattern(fd, 0, size, SEED));
	EXPECT_EQ(0, pread(fd, &c, 1, size));
	map = map_file(fd, size + 1, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, size, SEED));
	EXPECT_EQ(0, mem_is_zero(map + size, tail));
	munmap(map, size + 1);
	close(fd);
}

TEST_HARNESS_MAIN
