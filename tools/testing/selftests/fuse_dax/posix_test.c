// SPDX-License-Identifier: GPL-2.0
/*
 * What POSIX and local file systems promise about times, holes and the like,
 * on DAX files of a virtiofs mount. What is said here of the server was tried
 * with virtiofs-daxd.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>

#include "kselftest_harness.h"
#include "fuse_dax_common.h"

#define OLD		91
#define NEW		92
#define SIZE		(4 * MiB)
#define RW		(PROT_READ | PROT_WRITE)
#define LONG_AGO	1000000000

FIXTURE(times)
{
	struct dax_fs fs;
	struct stat before;
	char *map;
	int fd;
};

FIXTURE_SETUP(times)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(times)
{
	if (self->map)
		munmap(self->map, SIZE);
	if (self->fd >= 0)
		close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/* Access and modification were long ago; the time of this is the ctime. */
static int set_old_times(int fd, struct stat *st)
{
	struct timespec times[2] = { { .tv_sec = LONG_AGO },
				     { .tv_sec = LONG_AGO } };

	if (futimens(fd, times) || fstat(fd, st))
		return -1;
	sleep_ms(20);
	return st->st_mtime == LONG_AGO && st->st_atime == LONG_AGO ? 0 : -1;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec > b->tv_sec;
	return a->tv_nsec > b->tv_nsec;
}

/* Leave nothing in the guest, then ask the server; 0 or -1. */
static int stat_on_server(struct dax_fs *fs, int *fd, char **map,
			  struct stat *st)
{
	munmap(*map, SIZE);
	*map = NULL;
	close(*fd);
	*fd = -1;
	if (drop_caches(2))
		return -1;
	return fstatat(fs->dirfd, "file", st, 0);
}

static int reopen_truncated(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_WRONLY | O_TRUNC);
	return fd < 0 ? -1 : close(fd);
}

enum change { BY_WRITE, BY_STORE, BY_PUNCH, BY_COPY, BY_OPEN };

static int change(enum change how, int fd, char *map)
{
	off_t from = MiB, to = 3 * MiB;

	switch (how) {
	case BY_WRITE:
		return file_write(fd, 100, 100, NEW);
	case BY_STORE:
		return touch_write(map + 100, 1);
	case BY_PUNCH:
		return fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_KEEP_SIZE, MiB, MiB);
	case BY_COPY:
		return copy_file_range(fd, &from, fd, &to, 1000, 0) - 1000;
	case BY_OPEN:
		return reopen_truncated(fd);
	}
	return -1;
}

FIXTURE(changed)
{
	struct dax_fs fs;
	struct stat before;
	char *map;
	int fd;
};

FIXTURE_VARIANT(changed)
{
	enum change how;
};

FIXTURE_VARIANT_ADD(changed, by_write) { .how = BY_WRITE };
FIXTURE_VARIANT_ADD(changed, by_store) { .how = BY_STORE };
FIXTURE_VARIANT_ADD(changed, by_punch) { .how = BY_PUNCH };
FIXTURE_VARIANT_ADD(changed, by_copy) { .how = BY_COPY };
FIXTURE_VARIANT_ADD(changed, by_open) { .how = BY_OPEN };

FIXTURE_SETUP(changed)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	/* The file is mapped, by clean entries */
	touch_pages(self->map, SIZE);
	ASSERT_EQ(0, set_old_times(self->fd, &self->before));
}

FIXTURE_TEARDOWN(changed)
{
	if (self->map)
		munmap(self->map, SIZE);
	if (self->fd >= 0)
		close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: who changes a file gives it a new mtime and ctime.
 * Wrong: the old ones at the next fstat().
 * Right: both are later at once.
 * in-tree 7.3: fails by write and by store, nothing updates the times; by copy
 * it warns (in dax_disassociate_entry(), once in a boot).
 */
TEST_F(changed, times_at_once)
{
	struct stat st;

	ASSERT_EQ(0, change(variant->how, self->fd, self->map));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LT(LONG_AGO, st.st_mtime);
	EXPECT_TRUE(is_later(&st.st_ctim, &self->before.st_ctim));
}

/*
 * Rule: the new times are the file's, not of a cache: the last close() and
 * munmap() bring them to the server, without fsync() or msync().
 * Wrong: the old ones come back with the next look-up.
 * Right: both are later once the inode was dropped.
 * in-tree 7.3: passes, the host sees its dirty pages.
 */
TEST_F(changed, times_after_close)
{
	struct stat st;

	ASSERT_EQ(0, change(variant->how, self->fd, self->map));
	ASSERT_EQ(0, stat_on_server(&self->fs, &self->fd, &self->map, &st));
	EXPECT_LT(LONG_AGO, st.st_mtime);
	EXPECT_TRUE(is_later(&st.st_ctim, &self->before.st_ctim));
}

/*
 * Rule: of two changes the later one gives the file its times, whoever makes it.
 * Wrong: what the server changed at a request gets the time of a store before it,
 * which was still to be sent.
 * Right: a later mtime, at once and on the server.
 * in-tree 7.3: by write fails, nothing updates the times; the others pass.
 */
TEST_F(changed, later_one_counts)
{
	struct stat first, st;

	ASSERT_EQ(0, touch_write(self->map + 3 * MiB, 1));
	ASSERT_EQ(0, fstat(self->fd, &first));
	/* The server's clock may be another one */
	sleep_ms(2000);
	ASSERT_EQ(0, change(variant->how, self->fd, self->map));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_TRUE(is_later(&st.st_mtim, &first.st_mtim));
	ASSERT_EQ(0, stat_on_server(&self->fs, &self->fd, &self->map, &st));
	EXPECT_TRUE(is_later(&st.st_mtim, &first.st_mtim));
}

/*
 * Rule: a change leaves the atime alone.
 * Wrong: the write, or the request that brings the times to the server, sets
 * it.
 * Right: as it was set, at once; by copy, which reads too, not earlier.
 * in-tree 7.3: passes.
 */
TEST_F(changed, atime_stays)
{
	struct stat st;

	ASSERT_EQ(0, change(variant->how, self->fd, self->map));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_TRUE(variant->how == BY_COPY ? st.st_atime >= LONG_AGO :
					      st.st_atime == LONG_AGO);
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_TRUE(variant->how == BY_COPY ? st.st_atime >= LONG_AGO :
					      st.st_atime == LONG_AGO);
}

/*
 * Rule: times that were set are the file's until it is changed again.
 * Wrong: they come back after an append, because something before them had been
 * still to be sent.
 * Right: the time of the append.
 * in-tree 7.3: passes.
 */
TEST_F(times, append_after_set_times)
{
	struct stat st;

	ASSERT_EQ(0, file_write(self->fd, 0, 100, NEW));
	ASSERT_EQ(0, set_old_times(self->fd, &self->before));
	ASSERT_EQ(0, file_write(self->fd, SIZE, 100, NEW));
	ASSERT_EQ(0, stat_on_server(&self->fs, &self->fd, &self->map, &st));
	EXPECT_LT(LONG_AGO, st.st_mtime);
}

struct transfer {
	int from, to;
	ssize_t res;
};

static void *move_page(void *arg)
{
	struct transfer *t = arg;
	loff_t pos = 0;

	t->res = splice(t->from, NULL, t->to, &pos, PAGE, 0);
	return NULL;
}

/*
 * Rule: a write that is still under way when the file is closed counts too.
 * Wrong: nobody brings its time to the server, or a warning that an inode is
 * evicted which is dirty.
 * Right: a new mtime after the next mount.
 * in-tree 7.3: passes.
 */
TEST_F(times, written_after_close)
{
	struct transfer t = { .to = self->fd };
	char page[PAGE] = {};
	pthread_t thread;
	struct stat st;
	int pipefd[2];

	munmap(self->map, SIZE);
	self->map = NULL;
	ASSERT_EQ(0, set_old_times(self->fd, &self->before));
	ASSERT_EQ(0, pipe(pipefd));
	t.from = pipefd[0];
	ASSERT_EQ(0, pthread_create(&thread, NULL, move_page, &t));
	/* It waits for the pipe, and keeps the file open */
	sleep_ms(200);
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(PAGE, write(pipefd[1], page, PAGE));
	pthread_join(thread, NULL);
	EXPECT_EQ(PAGE, t.res);
	close(pipefd[0]);
	close(pipefd[1]);
	ASSERT_EQ(0, fs_remount(&self->fs, fs_first_options()));
	ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
	EXPECT_LT(LONG_AGO, st.st_mtime);
}

/*
 * Rule: who only reads changes no time but the atime: by read(), by loads, and
 * with stores to a private mapping.
 * Wrong: a new mtime or ctime, for make and backups a change.
 * Right: the old ones, at once and once the inode was dropped.
 * in-tree 7.3: passes.
 */
TEST_F(times, reading_changes_nothing)
{
	struct stat st;
	char *copy;

	ASSERT_EQ(0, set_old_times(self->fd, &self->before));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SIZE, OLD));
	copy = map_file(self->fd, SIZE, RW, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, copy);
	EXPECT_EQ(0, touch_write(copy + 100, 1));
	EXPECT_EQ(0, touch_write(copy + 3 * MiB, 1));
	munmap(copy, SIZE);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(LONG_AGO, st.st_mtime);
	EXPECT_FALSE(is_later(&st.st_ctim, &self->before.st_ctim));
	ASSERT_EQ(0, stat_on_server(&self->fs, &self->fd, &self->map, &st));
	EXPECT_EQ(LONG_AGO, st.st_mtime);
	EXPECT_FALSE(is_later(&st.st_ctim, &self->before.st_ctim));
}

/*
 * Rule: mtime is marked for update between a store and the next msync(), also
 * for a page that was stored to before.
 * Wrong: the old mtime, as the page is writable since the first store.
 * Right: new after each of three rounds of set, store, msync().
 * in-tree 7.3: fails, nothing updates the times.
 */
TEST_F(times, every_store_until_msync)
{
	struct stat st;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, set_old_times(self->fd, &self->before));
		ASSERT_EQ(0, touch_write(self->map + 5000, i));
		ASSERT_EQ(0, msync(self->map, SIZE, MS_SYNC));
		ASSERT_EQ(0, fstat(self->fd, &st));
		TH_LOG("round %d", i);
		EXPECT_LT(LONG_AGO, st.st_mtime);
	}
}

FIXTURE(atime)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_VARIANT(atime)
{
	unsigned long flags;
};

FIXTURE_VARIANT_ADD(atime, relatime) { .flags = MS_RELATIME };
FIXTURE_VARIANT_ADD(atime, noatime) { .flags = MS_NOATIME };
FIXTURE_VARIANT_ADD(atime, strictatime) { .flags = MS_STRICTATIME };

FIXTURE_SETUP(atime)
{
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SIZE, OLD);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, mount(NULL, self->fs.mnt, NULL,
			   MS_REMOUNT | MS_BIND | variant->flags, NULL));
}

FIXTURE_TEARDOWN(atime)
{
	close(self->fd);
	EXPECT_EQ(0, mount(NULL, self->fs.mnt, NULL,
			   MS_REMOUNT | MS_BIND | MS_RELATIME, NULL));
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: the server decides about atime, whatever the option of the mount:
 * reads through the window, which it does not see, are no accesses.
 * Wrong: a request for each read, or an atime that the server does not know.
 * Right: no request, and the atime that was set.
 * in-tree 7.3: passes.
 */
TEST_F(atime, is_the_servers)
{
	struct stat st;
	int i;

	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SIZE, OLD));
	ASSERT_EQ(0, set_old_times(self->fd, &st));
	NEED_TRACE();
	for (i = 0; i < 10; i++)
		EXPECT_EQ(0, file_is_pattern(self->fd, i * PAGE, PAGE, OLD));
	ASSERT_EQ(0, trace_stop());
	EXPECT_EQ(0, trace_requests(OP_SETATTR));
	EXPECT_EQ(0, trace_requests(OP_READ));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(LONG_AGO, st.st_atime);
}

FIXTURE(posix)
{
	struct dax_fs fs;
	int fd;
};

FIXTURE_SETUP(posix)
{
	FS_SETUP(&self->fs);
	self->fd = file_make(&self->fs, "file", 0, OLD);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(posix)
{
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/*
 * Rule: SEEK_DATA and SEEK_HOLE tell where data may be.
 * Wrong: bytes that were written or stored are said to be a hole, so that cp
 * and tar leave them out.
 * Right: data where it was written, and where it was stored into a hole; a
 * hole at the end of the file at the latest; ENXIO behind it.
 * in-tree 7.3: passes.
 */
TEST_F(posix, seek_data_and_hole)
{
	off_t hole;
	char *map;

	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	ASSERT_EQ(0, file_write(self->fd, MiB, 2 * PAGE, OLD));
	EXPECT_EQ(MiB, lseek(self->fd, MiB, SEEK_DATA));
	EXPECT_GE(MiB, lseek(self->fd, 0, SEEK_DATA));
	hole = lseek(self->fd, MiB, SEEK_HOLE);
	EXPECT_LE(MiB + 2 * PAGE, hole);
	EXPECT_GE(SIZE, hole);

	map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, touch_write(map + 3 * MiB, 1));
	EXPECT_EQ(3 * MiB, lseek(self->fd, 3 * MiB, SEEK_DATA));
	EXPECT_LE(3 * MiB + PAGE, lseek(self->fd, 3 * MiB, SEEK_HOLE));
	munmap(map, SIZE);

	EXPECT_EQ(-1, lseek(self->fd, SIZE, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(self->fd, SIZE, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
}

/*
 * Rule: stores that fill a hole take up space.
 * Wrong: st_blocks of before, for as long as attributes are cached.
 * Right: the blocks of the stores are counted after msync().
 * in-tree 7.3: fails, while attributes are cached.
 */
TEST_F(posix, stores_take_space)
{
	struct stat st;
	char *map;

	NEED_DAX(&self->fs);
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_GT(SIZE / 512, st.st_blocks);
	map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	memset(map, 1, SIZE);
	EXPECT_EQ(0, msync(map, SIZE, MS_SYNC));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LE(SIZE / 512, st.st_blocks);
	munmap(map, SIZE);
}

/*
 * Rule: the blocks of a file on another machine are nobody's business here.
 * Wrong: addresses of the window or of the host's disk, or a crash.
 * Right: EOPNOTSUPP for FS_IOC_FIEMAP; FIBMAP fails or finds no block.
 * in-tree 7.3: passes.
 */
TEST_F(posix, no_block_map)
{
	struct fiemap map = { .fm_length = ~0ULL };
	int block = 0;

	ASSERT_EQ(0, file_write(self->fd, 0, PAGE, OLD));
	EXPECT_EQ(-1, ioctl(self->fd, FS_IOC_FIEMAP, &map));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_TRUE(ioctl(self->fd, FIBMAP, &block) || !block);
}

/*
 * Rule: pwrite() to a descriptor with O_APPEND appends, wherever it points
 * (as Linux does it), and mappings show it.
 * Wrong: the bytes are put at the position, in the window.
 * Right: the old bytes stay, the new ones follow the end.
 * in-tree 7.3: passes.
 */
TEST_F(posix, pwrite_appends)
{
	char buf[100];
	char *map;
	int fd;

	ASSERT_EQ(0, file_write(self->fd, 0, 5000, OLD));
	map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, mem_is_pattern(map, 0, 5000, OLD));
	fd = openat(self->fs.dirfd, "file", O_WRONLY | O_APPEND);
	ASSERT_LE(0, fd);
	pattern_fill(buf, 5000, 100, OLD);
	EXPECT_EQ(100, pwrite(fd, buf, 100, 1000));
	EXPECT_EQ(0, mem_is_pattern(map, 0, 5100, OLD));
	munmap(map, SIZE);
	close(fd);
}

/*
 * Changes on the host. Who starts the tests may have somebody there who extends
 * FILE by FILE.more if there is a FILE.extend, or replaces it by FILE.more if
 * there is a FILE.replace, and removes that when done (FUSE_DAX_HOST_HAND=1).
 */
#define HAND_MS		10000
/* For how long the server lets attributes be cached, and some more */
#define CACHED_MS	3000
#define SHORT		(MiB + 100)
#define MORE		(2 * MiB)

FIXTURE(host)
{
	struct dax_fs fs;
	char *map;
	int fd;
};

FIXTURE_SETUP(host)
{
	int more;

	if (!getenv("FUSE_DAX_HOST_HAND"))
		SKIP(return, "nobody on the host (FUSE_DAX_HOST_HAND)");
	FS_SETUP(&self->fs);
	NEED_DAX(&self->fs);
	self->fd = file_make(&self->fs, "file", SHORT, OLD);
	ASSERT_LE(0, self->fd);
	more = file_make(&self->fs, "file.more", 0, OLD);
	ASSERT_LE(0, more);
	self->map = map_file(self->fd, SIZE, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->map);
	/* All that there is is mapped, and attributes are known */
	ASSERT_EQ(0, mem_is_pattern(self->map, 0, SHORT, OLD));
	ASSERT_EQ(0, file_is_pattern(self->fd, 0, SHORT, OLD));
	close(more);
}

FIXTURE_TEARDOWN(host)
{
	munmap(self->map, SIZE);
	close(self->fd);
	FS_TEARDOWN(&self->fs);
}

/* Fill file.more with what belongs at @pos, and ask; 0 or -1. */
static int ask_host(struct dax_fs *fs, const char *request, off_t pos)
{
	long until = now_ms() + HAND_MS;
	char *buf = malloc(MORE);
	int fd, ret;

	pattern_fill(buf, pos, MORE, OLD);
	fd = openat(fs->dirfd, "file.more", O_WRONLY);
	ret = fd >= 0 && write(fd, buf, MORE) == (ssize_t)MORE ? 0 : -1;
	close(fd);
	free(buf);
	close(openat(fs->dirfd, request, O_CREAT | O_WRONLY, 0600));
	while (!ret && !faccessat(fs->dirfd, request, F_OK, 0)) {
		if (now_ms() > until)
			ret = -1;
		sleep_ms(50);
	}
	return ret;
}

/*
 * Rule: who reads on at the end of a file finds what the host has appended, as
 * soon as attributes time out (tail -f).
 * Wrong: the end of before, for ever; zeros from the tail of the last page.
 * Right: the bytes, from the old end on.
 * in-tree 7.3: fails, a read does not ask for the size again.
 */
TEST_F(host, reader_sees_growth)
{
	long until = now_ms() + HAND_MS + CACHED_MS;
	char buf[1000];
	ssize_t n = 0;

	ASSERT_EQ(0, ask_host(&self->fs, "file.extend", SHORT));
	while (!n && now_ms() < until) {
		n = pread(self->fd, buf, sizeof(buf), SHORT);
		sleep_ms(20);
	}
	ASSERT_EQ(sizeof(buf), n);
	EXPECT_EQ(0, mem_is_pattern(buf, SHORT, n, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SHORT + MORE, OLD));
}

/*
 * Rule: a mapping shows what the host has appended once the size is known.
 * Wrong: SIGBUS, zeros, or what else the window held behind the old end.
 * Right: SIGBUS before; then the bytes, in the old last page and behind it.
 * in-tree 7.3: fails, new attributes take pages from a mapping (a warning in
 * dax_disassociate_entry(), once in a boot).
 */
TEST_F(host, mapping_shows_growth)
{
	long until;
	struct stat st;

	EXPECT_EQ(-1, touch_read(self->map + MiB + PAGE));
	ASSERT_EQ(0, ask_host(&self->fs, "file.extend", SHORT));
	until = now_ms() + CACHED_MS;
	do {
		sleep_ms(20);
		ASSERT_EQ(0, fstat(self->fd, &st));
	} while (st.st_size == SHORT && now_ms() < until);
	ASSERT_EQ(SHORT + MORE, st.st_size);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SHORT + MORE, OLD));
}

/*
 * Rule: an appending write goes to the end that the file has on the server.
 * Wrong: it overwrites what the host has just appended.
 * Right: behind it, whatever size the guest knows, and a reader gets it all.
 * in-tree 7.3: fails, the reader is given the size that the guest knew.
 */
TEST_F(host, append_goes_behind)
{
	char buf[100];
	int fd;

	fd = openat(self->fs.dirfd, "file", O_WRONLY | O_APPEND);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ask_host(&self->fs, "file.extend", SHORT));
	pattern_fill(buf, SHORT + MORE, 100, OLD);
	EXPECT_EQ(100, write(fd, buf, 100));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SHORT + MORE + 100, OLD));
	close(fd);
}

/*
 * Rule: a file that the host replaces by rename() stays the same for those who
 * have it open or mapped; its name is the new one's.
 * Wrong: the mapping shows the new file, or SIGBUS.
 * Right: old bytes by the old descriptor and mapping, new ones by name.
 * in-tree 7.3: passes.
 */
TEST_F(host, replaced_file_stays)
{
	long until = now_ms() + HAND_MS + CACHED_MS;
	struct stat st;
	char buf[1000];
	int fd;

	ASSERT_EQ(0, ask_host(&self->fs, "file.replace", MiB));
	do {
		sleep_ms(20);
		ASSERT_EQ(0, fstatat(self->fs.dirfd, "file", &st, 0));
	} while (st.st_size == SHORT && now_ms() < until);
	fd = openat(self->fs.dirfd, "file", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, mem_is_pattern(self->map, 0, SHORT, OLD));
	EXPECT_EQ(0, file_is_pattern(self->fd, 0, SHORT, OLD));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(MORE, st.st_size);
	EXPECT_EQ(sizeof(buf), pread(fd, buf, sizeof(buf), 0));
	EXPECT_EQ(0, mem_is_pattern(buf, MiB, sizeof(buf), OLD));
	close(fd);
}

TEST_HARNESS_MAIN
