// SPDX-License-Identifier: GPL-2.0
/*
 * mmap(2) of DAX files of a virtiofs mount.
 */
#include <dirent.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define OLD	31
#define NEW	32
#define SIZE	(8 * MiB)
#define CHILD	"FUSE_DAX_EXEC_CHILD"

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE	0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC		0x80000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#define RW	(PROT_READ | PROT_WRITE)

/* What a copy of this program does when it is executed from the mount. */
__attribute__((constructor)) static void exec_child(void)
{
	if (getenv(CHILD))
		_exit(42);
}

FIXTURE(mmap)
{
	struct dax_fs fs;
	char *map;
	int fd;
};

FIXTURE_SETUP(mmap)
{
	FS_SETUP(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(mmap)
{
	if (self->map)
		munmap(self->map, SIZE);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: loads from a shared mapping give the file's bytes.
 * Wrong: bytes of another place, or zeros.
 * Right: the pattern, from the first touch on and again.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, shared_read)
{
	EXPECT_EQ(0, mem_is_pattern(self->map + SIZE - PAGE, SIZE - PAGE, PAGE,
				    OLD));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

/*
 * Rule: stores to a shared mapping are seen by read() at once, and write() is
 * seen by loads at once.
 * Wrong: old bytes on either side.
 * Right: the new bytes, without msync(), and no FUSE_READ or FUSE_WRITE.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, coherent_with_read_and_write)
{
	NEED_DAX(&self->fs);
	NEED_TRACE();
	pattern_fill(self->map + 1000, 1000, 3 * MiB, NEW);
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, 1000, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, 1000, 3 * MiB, NEW));
	ASSERT_EQ(0, file_write(self->fd, 4 * MiB + 5, MiB, NEW));
	EXPECT_EQ(0, mem_is_pattern(self->map + 4 * MiB + 5, 4 * MiB + 5, MiB,
				    NEW));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_READ));
	EXPECT_EQ(0, trace_requests(OP_WRITE));
}

/*
 * Rule: what was stored stays when mapping, descriptor and inode are gone.
 * Wrong: stores lost with the mapping.
 * Right: the new bytes after a new look-up.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, stores_survive_eviction)
{
	pattern_fill(self->map, 0, SIZE, NEW);
	munmap(self->map, SIZE);
	self->map = NULL;
	close(self->fd);
	drop_caches(3);
	self->fd = openat(self->fs.dirfd, "file", O_RDWR);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, NEW));
}

/*
 * Rule: stores to a private mapping stay private; untouched pages show the
 * file.
 * Wrong: the file changes, or a store is lost.
 * Right: own bytes in the stored pages only, also with a read-only file.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, private_copy)
{
	char *priv;
	int ro;

	ro = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, ro);
	priv = map_file(ro, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, priv);
	EXPECT_EQ(0, touch_write(priv + RANGE, 0xee));
	EXPECT_EQ(0, mem_is_pattern(priv, 0, RANGE, OLD));
	EXPECT_EQ(0xee, touch_read(priv + RANGE));
	EXPECT_EQ(0, mem_is_pattern(priv + RANGE + 1, RANGE + 1, MiB, OLD));
	EXPECT_EQ(0, touch_write(priv + 100, 0xdd));
	EXPECT_EQ(0, mem_is_pattern(priv + 101, 101, PAGE, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	ASSERT_EQ(0, file_write(self->fd, RANGE, 2 * PAGE, NEW));
	EXPECT_EQ(0, mem_is_pattern(priv + RANGE + 1, RANGE + 1, 100, OLD));
	EXPECT_EQ(0, mem_is_pattern(priv + RANGE + PAGE, RANGE + PAGE, PAGE,
				    NEW));
	munmap(priv, SIZE);
	close(ro);
}

/*
 * Rule: where file, window and address allow, one fault maps 2 MiB.
 * Wrong: a fault for each page.
 * Right: mmap() picks an aligned address, and touching 2,048 pages by loads
 * and then by stores takes a handful of faults.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, huge_faults)
{
	long before, i;

	NEED_DAX(&self->fs);
	NEED(access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0,
	     "no transparent huge pages");
	EXPECT_EQ(0, (uintptr_t)self->map & (RANGE - 1));
	before = faults();
	touch_pages(self->map, SIZE);
	EXPECT_GE(32, faults() - before);
	before = faults();
	for (i = 0; i < SIZE; i += PAGE)
		self->map[i] = 'x';
	EXPECT_GE(32, faults() - before);
}

/*
 * Rule: a store after a load of the same page takes write access.
 * Wrong: the store is lost or stops the process.
 * Right: it is in the file, for huge and small mappings.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, store_after_load)
{
	char *small;

	small = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, self->fd, RANGE + PAGE);
	ASSERT_NE(MAP_FAILED, small);
	ASSERT_EQ(0, mem_is_pattern(small, RANGE + PAGE, 3 * PAGE, OLD));
	ASSERT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	pattern_fill(small, RANGE + PAGE, PAGE, NEW);
	pattern_fill(self->map, 0, PAGE, NEW);
	EXPECT_EQ(0, file_is_pattern(self->fd, RANGE + PAGE, PAGE, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, PAGE, NEW));
	EXPECT_EQ(0, file_is_pattern(self->fd, PAGE, RANGE, OLD));
	munmap(small, 3 * PAGE);
}

/*
 * Rule: mprotect() may add write access to a mapping made for reading.
 * Wrong: SIGBUS, or a store that is lost.
 * Right: the store is in the file.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, store_after_mprotect)
{
	char *map;

	map = map_file(self->fd, SIZE, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mem_is_pattern(map, 0, SIZE, OLD));
	ASSERT_EQ(0, mprotect(map, SIZE, RW));
	EXPECT_EQ(0, touch_write(map + RANGE + 5, 0x77));
	EXPECT_EQ(0x77, touch_read(self->map + RANGE + 5));
	EXPECT_EQ(0, mem_is_pattern(map, 0, RANGE + 5, OLD));
	munmap(map, SIZE);
}

/*
 * Rule: first stores, without a load before, reach the file.
 * Wrong: the rest of the page becomes zero.
 * Right: one byte changes.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, store_first)
{
	size_t pos;

	for (pos = 100; pos < SIZE; pos += MiB + PAGE)
		ASSERT_EQ(0, touch_write(self->map + pos, 0x11));
	for (pos = 100; pos < SIZE; pos += MiB + PAGE) {
		EXPECT_EQ(0x11, touch_read(self->map + pos));
		EXPECT_EQ(0, file_is_pattern(self->fd, pos - 100, 100, OLD));
		EXPECT_EQ(0, file_is_pattern(self->fd, pos + 1, PAGE, OLD));
	}
}

/*
 * Rule: a shared mapping for writing needs a file open for writing.
 * Wrong: it is given.
 * Right: EACCES.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, write_needs_writable_file)
{
	int ro;

	ro = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, ro);
	EXPECT_EQ(MAP_FAILED, map_file(ro, SIZE, RW, MAP_SHARED));
	EXPECT_EQ(EACCES, errno);
	close(ro);
}

static int copy_self(struct dax_fs *fs, const char *name)
{
	char block[64 * 1024];
	ssize_t n = -1;
	int in, out;

	in = open("/proc/self/exe", O_RDONLY);
	out = openat(fs->dirfd, name, O_WRONLY | O_CREAT, 0755);
	while (in >= 0 && out >= 0 && (n = read(in, block, sizeof(block))) > 0)
		if (write(out, block, n) != n)
			n = -1;
	close(in);
	close(out);
	return n ? -1 : 0;
}

/*
 * Store to each page what it holds. QEMU without KVM keeps translated code by
 * address of memory and drops it when the guest stores there. It does not see
 * that the server wrote, or mapped another file; it would execute what was at
 * this address before.
 */
static int store_every_page(struct dax_fs *fs, const char *name)
{
	volatile char *map;
	struct stat st;
	off_t pos;
	int fd;

	fd = openat(fs->dirfd, name, O_RDWR);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	map = map_file(fd, st.st_size, RW, MAP_SHARED);
	close(fd);
	if (map == MAP_FAILED)
		return -1;
	for (pos = 0; pos < st.st_size; pos += PAGE)
		map[pos] = map[pos];
	return munmap((void *)map, st.st_size);
}

/*
 * Rule: a program stored on the mount can be executed.
 * Wrong: SIGBUS, SIGILL, or an exec that fails.
 * Right: it runs, several times, and also after its inode was dropped.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, exec)
{
	char path[PATH_MAX + 16];
	char *argv[] = { path, NULL };
	char *envp[] = { CHILD "=1", NULL };
	pid_t pid;
	int i;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, copy_self(&self->fs, "program"));
	snprintf(path, sizeof(path), "%s/program", self->fs.dir);
	for (i = 0; i < 4; i++) {
		if (i == 2)
			drop_caches(3);
		ASSERT_EQ(0, store_every_page(&self->fs, "program"));
		pid = fork();
		if (!pid) {
			execve(path, argv, envp);
			_exit(1);
		}
		EXPECT_EQ(42, wait_within(pid, 15000));
	}
}

/*
 * Rule: MAP_POPULATE makes all pages present.
 * Wrong: faults on first use, as the pages were left out.
 * Right: right data and no fault for any page.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, populate)
{
	long before;
	char *map;

	map = map_file(self->fd, SIZE, RW, MAP_SHARED | MAP_POPULATE);
	ASSERT_NE(MAP_FAILED, map);
	before = faults();
	touch_pages(map, SIZE);
	EXPECT_GE(8, faults() - before);
	EXPECT_EQ(0, mem_is_pattern(map, 0, SIZE, OLD));
	munmap(map, SIZE);
}

/*
 * Rule: MADV_POPULATE_READ and _WRITE fault pages in, and say when they
 * cannot.
 * Wrong: success beyond EOF, or faults after success.
 * Right: 0 and no more faults; EFAULT or an error beyond EOF.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, madvise_populate)
{
	long before;
	size_t i;

	ASSERT_EQ(0, madvise(self->map, SIZE, MADV_POPULATE_WRITE));
	before = faults();
	for (i = 0; i < SIZE; i += PAGE)
		self->map[i] = self->map[i];
	EXPECT_GE(8, faults() - before);
	ASSERT_EQ(0, ftruncate(self->fd, SIZE / 2));
	EXPECT_EQ(0, madvise(self->map, SIZE / 2, MADV_POPULATE_READ));
	EXPECT_EQ(-1, madvise(self->map, SIZE, MADV_POPULATE_READ));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE / 2, OLD));
}

/*
 * Rule: msync(MS_SYNC) makes stores durable: the server gets FUSE_FSYNC.
 * Wrong: no request, as no page of the guest is dirty.
 * Right: one FUSE_FSYNC; MS_ASYNC needs none and succeeds.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, msync)
{
	NEED_DAX(&self->fs);
	pattern_fill(self->map, 0, 3 * PAGE, NEW);
	NEED_TRACE();
	EXPECT_EQ(0, msync(self->map, SIZE, MS_ASYNC));
	EXPECT_EQ(0, msync(self->map, SIZE, MS_SYNC));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(1, trace_requests(OP_FSYNC));
	EXPECT_EQ(0, trace_requests(OP_WRITE));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, 3 * PAGE, NEW));
}

/*
 * Rule: stores by mmap give the file a new mtime, at the latest with msync().
 * Wrong: the old mtime, so that make and backups miss the change.
 * Right: mtime is new after msync(), and after a new look-up.
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(mmap, store_updates_mtime)
{
	struct timespec times[2] = { { .tv_sec = 1000000000 },
				     { .tv_sec = 1000000000 } };
	struct stat st;

	NEED_DAX(&self->fs);
	touch_pages(self->map, SIZE);
	ASSERT_EQ(0, futimens(self->fd, times));
	EXPECT_EQ(0, touch_write(self->map + 5, 1));
	EXPECT_EQ(0, msync(self->map, SIZE, MS_SYNC));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LT(1000000000, st.st_mtime);
	munmap(self->map, SIZE);
	self->map = NULL;
	close(self->fd);
	drop_caches(2);
	ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
	EXPECT_LT(1000000000, st.st_mtime);
}

/*
 * Rule: a child has its parent's mappings.
 * Wrong: shared stores not seen, or private ones seen by the other.
 * Right: shared both ways; private copies apart.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, fork)
{
	char *priv;
	pid_t pid;

	priv = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, priv);
	touch_pages(self->map, SIZE);
	touch_pages(priv, SIZE);
	self->map[0] = 1;
	priv[PAGE] = 1;
	pid = fork();
	if (!pid) {
		int ok = self->map[0] == 1 && priv[PAGE] == 1;

		self->map[RANGE] = 2;
		priv[RANGE + PAGE] = 2;
		priv[PAGE] = 3;
		ok = ok && !mem_is_pattern(self->map + 2 * RANGE, 2 * RANGE,
					   RANGE, OLD);
		ok = ok && !mem_is_pattern(priv + 2 * RANGE, 2 * RANGE,
					   RANGE, OLD);
		_exit(ok ? 0 : 1);
	}
	ASSERT_EQ(0, wait_within(pid, 15000));
	EXPECT_EQ(2, self->map[RANGE]);
	EXPECT_EQ(1, priv[PAGE]);
	EXPECT_EQ(0, mem_is_pattern(priv + RANGE + PAGE, RANGE + PAGE, PAGE,
				    OLD));
	munmap(priv, SIZE);
}

/*
 * Rule: mremap() moves, grows and shrinks a mapping; its data goes along.
 * Wrong: SIGBUS, or the bytes of the wrong part of the file.
 * Right: each address shows the offset it should.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, mremap)
{
	char *half, *whole, *place;

	half = map_file(self->fd, SIZE / 2, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, half);
	ASSERT_EQ(0, mem_is_pattern(half, 0, SIZE / 2, OLD));
	whole = mremap(half, SIZE / 2, SIZE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, whole);
	EXPECT_EQ(0, mem_is_pattern(whole, 0, SIZE, OLD));
	place = mmap(NULL, SIZE + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, place);
	ASSERT_EQ(place + PAGE, mremap(whole, SIZE, SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED,
				       place + PAGE));
	EXPECT_EQ(0, mem_is_pattern(place + PAGE, 0, SIZE, OLD));
	EXPECT_EQ(0, touch_write(place + PAGE + RANGE, 0x3c));
	EXPECT_EQ(0x3c, touch_read(self->map + RANGE));
	ASSERT_EQ(place + PAGE, mremap(place + PAGE, SIZE, PAGE, 0));
	EXPECT_EQ(0, mem_is_pattern(place + PAGE, 0, PAGE, OLD));
	munmap(place, SIZE + PAGE);
}

/*
 * Rule: MADV_DONTNEED drops what this mapping has, not the file.
 * Wrong: lost shared stores, or private stores that come back.
 * Right: the file's bytes in both.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, madvise_dontneed)
{
	char *priv;

	priv = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, priv);
	pattern_fill(self->map, 0, RANGE, NEW);
	memset(priv + RANGE, 0xff, PAGE);
	EXPECT_EQ(0, madvise(self->map, SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, madvise(priv, SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, RANGE, NEW));
	EXPECT_EQ(0, mem_is_pattern(self->map + RANGE, RANGE, RANGE, OLD));
	EXPECT_EQ(0, mem_is_pattern(priv + RANGE, RANGE, RANGE, OLD));
	munmap(priv, SIZE);
}

/*
 * Rule: advice about a DAX mapping never harms it.
 * Wrong: an oops, an error for harmless advice, or wrong data after it.
 * Right: WILLNEED, SEQUENTIAL, RANDOM and (NO)HUGEPAGE succeed; COLD and
 * PAGEOUT may do as they like; the data stays.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, madvise_hints)
{
	static const int must[] = { MADV_WILLNEED, MADV_SEQUENTIAL,
				    MADV_RANDOM, MADV_NORMAL };
	static const int may[] = { MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD,
				   MADV_PAGEOUT, MADV_MERGEABLE, MADV_FREE };
	size_t i;

	touch_pages(self->map, SIZE);
	for (i = 0; i < ARRAY_SIZE(must); i++) {
		EXPECT_EQ(0, madvise(self->map, SIZE, must[i]));
		EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	}
	for (i = 0; i < ARRAY_SIZE(may); i++) {
		madvise(self->map, SIZE, may[i]);
		EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	}
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, SIZE, POSIX_FADV_WILLNEED));
	EXPECT_EQ(0, posix_fadvise(self->fd, 0, SIZE, POSIX_FADV_DONTNEED));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

/*
 * Rule: pages wholly beyond EOF raise SIGBUS, for loads and stores.
 * Wrong: zeros, data, SIGSEGV, or an endless fault.
 * Right: SIGBUS; the part of the last page beyond EOF is zero.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, sigbus_beyond_eof)
{
	const size_t size = 3 * MiB + 100, tail = PAGE - 100;
	char *map, *priv;
	int fd;

	fd = file_make(&self->fs, "short", size, OLD);
	ASSERT_LE(0, fd);
	map = map_file(fd, SIZE, RW, MAP_SHARED);
	priv = map_file(fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(MAP_FAILED, priv);
	EXPECT_EQ(0, mem_is_pattern(map, 0, size, OLD));
	EXPECT_EQ(0, mem_is_zero(map + size, tail));
	EXPECT_EQ(-1, touch_read(map + size + tail));
	EXPECT_EQ(-1, touch_read(map + SIZE - 1));
	EXPECT_EQ(-1, touch_write(map + size + tail, 1));
	EXPECT_EQ(-1, touch_write(map + SIZE - 1, 1));
	EXPECT_EQ(-1, touch_read(priv + size + tail));
	EXPECT_EQ(-1, touch_write(priv + SIZE - 1, 1));
	EXPECT_EQ(0, mem_is_pattern(priv, 0, size, OLD));
	munmap(map, SIZE);
	munmap(priv, SIZE);
	close(fd);
}

/*
 * Rule: an empty file can be mapped, but has nothing to show.
 * Wrong: an endless fault, or a page of zeros.
 * Right: SIGBUS.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, empty_file)
{
	char *map;
	int fd;

	fd = file_make(&self->fs, "empty", 0, OLD);
	ASSERT_LE(0, fd);
	map = map_file(fd, PAGE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, touch_read(map));
	EXPECT_EQ(-1, touch_write(map, 1));
	munmap(map, PAGE);
	close(fd);
}

/*
 * Rule: MAP_SYNC promises durable stores, which a host page cache is not.
 * Wrong: it is given.
 * Right: EOPNOTSUPP.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, map_sync_refused)
{
	EXPECT_EQ(MAP_FAILED, map_file(self->fd, SIZE, RW,
				       MAP_SHARED_VALIDATE | MAP_SYNC));
	EXPECT_EQ(EOPNOTSUPP, errno);
}

/*
 * Rule: a mapping outlives the name of its file.
 * Wrong: SIGBUS, or the bytes of a new file with that name.
 * Right: loads, stores and first touches go on; the new file is its own.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, unlink_while_mapped)
{
	int fd;

	touch_pages(self->map, RANGE);
	ASSERT_EQ(0, unlinkat(self->fs.dirfd, "file", 0));
	fd = file_make(&self->fs, "file", SIZE, NEW);
	ASSERT_LE(0, fd);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	pattern_fill(self->map + RANGE, RANGE, RANGE, NEW);
	EXPECT_EQ(0, file_is_pattern(fd, 0, SIZE, NEW));
	EXPECT_EQ(0, mem_is_pattern(self->map + RANGE, RANGE, RANGE, NEW));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, RANGE, OLD));
	close(fd);
}

/*
 * Rule: a mapping follows its file when it is renamed, also over another one.
 * Wrong: the mapping shows the other file, or breaks.
 * Right: each mapping shows the file it was made of.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, rename_while_mapped)
{
	char *other;
	int fd;

	fd = file_make(&self->fs, "other", SIZE, NEW);
	ASSERT_LE(0, fd);
	other = map_file(fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, other);
	touch_pages(other, RANGE);
	touch_pages(self->map, RANGE);
	ASSERT_EQ(0, renameat(self->fs.dirfd, "file", self->fs.dirfd, "other"));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	EXPECT_EQ(0, mem_is_pattern(other, 0, SIZE, NEW));
	self->map[0] = 'z';
	close(fd);
	fd = openat(self->fs.dirfd, "other", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, file_is_pattern(fd, PAGE, SIZE - PAGE, OLD));
	EXPECT_EQ('z', touch_read(self->map));
	munmap(other, SIZE);
	close(fd);
}

/*
 * Rule: part of a mapping can be unmapped.
 * Wrong: the rest goes too, or a huge mapping is torn wrongly.
 * Right: both ends keep their data.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, partial_munmap)
{
	touch_pages(self->map, SIZE);
	ASSERT_EQ(0, munmap(self->map + RANGE - PAGE, 2 * PAGE + RANGE));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, RANGE - PAGE, OLD));
	EXPECT_EQ(0, mem_is_pattern(self->map + 2 * RANGE + PAGE,
				    2 * RANGE + PAGE,
				    SIZE - 2 * RANGE - PAGE, OLD));
}

/*
 * Rule: the kernel can reach a DAX mapping on behalf of another process.
 * Wrong: EIO or EFAULT.
 * Right: /proc/<pid>/mem reads and writes it.
 * in-tree 7.3: passes.
 */
TEST_F(mmap, remote_access)
{
	const off_t pos = RANGE - PAGE;
	char buf[3 * PAGE];
	ssize_t n;
	int mem;

	mem = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, mem);
	n = pread(mem, buf, sizeof(buf), (uintptr_t)self->map + pos);
	ASSERT_EQ(sizeof(buf), n);
	EXPECT_EQ(0, mem_is_pattern(buf, pos, sizeof(buf), OLD));
	pattern_fill(buf, pos, sizeof(buf), NEW);
	n = pwrite(mem, buf, sizeof(buf), (uintptr_t)self->map + pos);
	ASSERT_EQ(sizeof(buf), n);
	EXPECT_EQ(0, file_is_pattern(self->fd, pos, sizeof(buf), NEW));
	close(mem);
}

/*
 * Rule: opening a file does not disturb those who have it mapped.
 * Wrong: each open() takes the pages from all mappings, so they fault again.
 * Right: no fault after open(), fstat() and close() by another process.
 * in-tree 7.3: fails unless the server says FOPEN_KEEP_CACHE.
 */
TEST_F(mmap, open_keeps_pages)
{
	struct stat st;
	long before;
	pid_t pid;
	int i, fd;

	NEED_DAX(&self->fs);
	touch_pages(self->map, SIZE);
	pid = fork();
	if (!pid) {
		for (i = 0; i < 10; i++) {
			fd = openat(self->fs.dirfd, "file", O_RDONLY);
			if (fd < 0 || fstat(fd, &st) || close(fd))
				_exit(1);
		}
		_exit(0);
	}
	ASSERT_EQ(0, wait_within(pid, 15000));
	before = faults();
	touch_pages(self->map, SIZE);
	EXPECT_GE(1, faults() - before);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
}

/*
 * Rule: new attributes of a file do not disturb those who have it mapped.
 * Wrong: when stat() or readdir() brings a new mtime, the pages are dropped
 * under live mappings: faults, and warnings of the kernel.
 * Right: no fault, and the data stays.
 * in-tree 7.3: fails, and warns in dax_disassociate_entry() (as other tests
 * of mapped files do, whichever is the first in a boot).
 */
TEST_F(mmap, new_attributes_keep_pages)
{
	struct dirent *entry;
	struct stat st;
	long before;
	DIR *dir;
	int i;

	NEED_DAX(&self->fs);
	pattern_fill(self->map, 0, SIZE, OLD);
	before = faults();
	for (i = 0; i < 3; i++) {
		/* The server sees this store when it writes the page back. */
		pattern_fill(self->map + i * PAGE, i * PAGE, PAGE, OLD);
		ASSERT_EQ(0, fsync(self->fd));
		sleep_ms(i * 1100);
		dir = opendir(self->fs.dir);
		ASSERT_NE(NULL, dir);
		while ((entry = readdir(dir)))
			ASSERT_EQ(0, fstatat(dirfd(dir), entry->d_name, &st,
					     0));
		closedir(dir);
		touch_pages(self->map, SIZE);
	}
	before = faults() - before;
	EXPECT_GE(10, before);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	EXPECT_TRUE(fs_untainted(&self->fs));
}

TEST_HARNESS_MAIN
