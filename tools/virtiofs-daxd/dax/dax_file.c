// SPDX-License-Identifier: GPL-2.0-or-later
#include "dax/dax_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "guard/coherent.h"
#include "guard/guard.h"
#include "guard/watch.h"
#include "host/log.h"
#include "host/util.h"

#define PAGE_SIZE 4096

/* Of which the kernel tells at once. */
#define EXTENTS 32

static bool nobody_may_write(int err)
{
	return err == -EACCES || err == -EPERM || err == -EROFS ||
	       err == -ETXTBSY;
}

static bool is_on(int fd, unsigned long fs_type)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (unsigned long)fs.f_type == fs_type;
}

static int open_node(struct dax_file *file, struct pt *pt, uint64_t nodeid,
		     bool write)
{
	file->fd = pt_node_open(pt, nodeid, O_RDWR);
	file->writable = file->fd >= 0;
	if (file->writable || write || !nobody_may_write(file->fd))
		return file->writable ? 0 : file->fd;
	file->fd = pt_node_open(pt, nodeid, O_RDONLY);
	return file->fd < 0 ? file->fd : 0;
}

/*
 * For the file itself no more access is taken than is needed. Only an overlay
 * shows another file once one is opened for writing, so there it is at once.
 */
static int open_itself(struct dax_file *file, struct pt *pt, uint64_t nodeid,
		       bool write)
{
	if (!write) {
		file->fd = pt_node_open(pt, nodeid, O_RDONLY);
		if (file->fd >= 0 && !is_on(file->fd, OVERLAYFS_SUPER_MAGIC))
			return 0;
		close_fd(&file->fd);
	}
	return open_node(file, pt, nodeid, write);
}

/* Whether it can be mapped: the front-end would lose what it had there. */
static int show_itself(struct dax_file *file)
{
	int prot = file->writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *map;

	map = mmap(NULL, PAGE_SIZE, prot,
		   file->writable ? MAP_SHARED : MAP_PRIVATE, file->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	munmap(map, PAGE_SIZE);
	file->shown = file->fd;
	return 0;
}

static int show_file(struct dax_file *file, struct backing *backing,
		     bool share_readonly)
{
	file->shown = -EROFS;
	if (file->writable || share_readonly)
		file->shown = backing_open(backing, file->fd);
	file->copy = file->shown < 0 && !file->writable;
	if (file->copy)
		file->shown = backing_open_copy(backing, file->fd);
	return file->shown < 0 ? file->shown : 0;
}

int dax_file_open(struct pt *pt, struct backing *backing, uint64_t nodeid,
		  bool write, bool share_readonly, struct dax_file **out)
{
	struct dax_file *file = calloc(1, sizeof(*file));
	int err;

	if (!file)
		return -ENOMEM;
	file->refs = 1;
	file->nodeid = nodeid;
	file->shown = -1;
	file->fd = -1;
	err = pt_node_key(pt, nodeid, &file->key);
	if (!err)
		err = backing ? open_node(file, pt, nodeid, write) :
				open_itself(file, pt, nodeid, write);
	if (!err)
		err = backing ? show_file(file, backing, share_readonly) :
				show_itself(file);
	if (err) {
		dax_file_close(file);
		return err;
	}
	file->volatile_holes = is_on(file->fd, TMPFS_MAGIC);
	file->unshares = is_on(file->fd, XFS_SUPER_MAGIC);
	file->cow = is_on(file->fd, BTRFS_SUPER_MAGIC);
	file->watch = watch_add(&file->key, file->fd, nodeid);
	file->guarded = guard_add(&file->key, file->fd);
	if (!file->writable && backing) {
		watch_keep_fd(file->watch, &file->fd);
		close_fd(&file->fd);
	}
	*out = file;
	return 0;
}

void dax_file_close(struct dax_file *file)
{
	if (file->shown != file->fd)
		close_fd(&file->shown);
	watch_remove(file->watch, &file->fd);
	guard_remove(file->guarded);
	close_fd(&file->fd);
	free(file);
}

/* Pages of the page cache, or swap, behind the end of a file of @pages. */
static bool nothing_behind(int fd, uint64_t pages)
{
	struct cachestat_range range = { .off = pages * PAGE_SIZE };
	struct cachestat found;

	return !syscall(__NR_cachestat, fd, &range, &found, 0) &&
	       !found.nr_cache && !found.nr_evicted;
}

/*
 * Whether a file of tmpfs has no hole. To ask tmpfs for the next hole is to have
 * it look at each page of the file, and so is to have it fill holes; but the
 * pages it has are counted.
 */
static bool is_whole(int fd, const struct stat *st)
{
	uint64_t pages = ((uint64_t)st->st_size + PAGE_SIZE - 1) / PAGE_SIZE;

	return (uint64_t)st->st_blocks * 512 == pages * PAGE_SIZE &&
	       nothing_behind(fd, pages);
}

/* Whether there is a hole before @end; what cannot be asked may have some. */
static bool may_have_hole(const struct dax_file *file, const struct stat *st,
			  off_t start, off_t end)
{
	if (file->volatile_holes)
		return end > st->st_size || !is_whole(file->fd, st);
	return lseek(file->fd, start, SEEK_HOLE) < end;
}

/* Whether others have some of it too; what cannot be asked they may have. */
static bool may_be_shared(int fd, uint64_t start, uint64_t end)
{
	_Alignas(struct fiemap) char space[sizeof(struct fiemap) +
			EXTENTS * sizeof(struct fiemap_extent)];
	struct fiemap *map = (void *)space;

	while (start < end) {
		const struct fiemap_extent *last = NULL;

		*map = (struct fiemap){
			.fm_start = start,
			.fm_length = end - start,
			.fm_extent_count = EXTENTS,
		};
		if (ioctl(fd, FS_IOC_FIEMAP, map))
			return true;
		for (unsigned int i = 0; i < map->fm_mapped_extents; i++) {
			last = &map->fm_extents[i];
			if (last->fe_flags & FIEMAP_EXTENT_SHARED)
				return true;
		}
		if (!last || last->fe_flags & FIEMAP_EXTENT_LAST ||
		    last->fe_logical + last->fe_length <= start)
			return false;
		start = last->fe_logical + last->fe_length;
	}
	return false;
}

/*
 * Whether the kernel lets btrfs write in place by memory while there is no space.
 * 6.18 does; older ones ask for space before they look.
 */
static bool stores_in_place(void)
{
	static const struct { unsigned int major, minor; } since = { 6, 18 };
	unsigned int major, minor;
	struct utsname name;

	return !uname(&name) &&
	       sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > since.major ||
		(major == since.major && minor >= since.minor));
}

int dax_file_may_store(const struct dax_file *file, uint64_t offset,
		       uint64_t len)
{
	int flags;

	if (!file->cow)
		return 0;
	/* The kernel stores an int, whatever the name says. */
	if (ioctl(file->fd, FS_IOC_GETFLAGS, &flags) ||
	    !(flags & FS_NOCOW_FL) || !stores_in_place() ||
	    may_be_shared(file->fd, offset, offset + len))
		return -EACCES;
	return 0;
}

static int file_fallocate(int fd, int mode, uint64_t offset, uint64_t len)
{
	unsigned int tries = 0;

	while (fallocate(fd, mode, offset, len))
		if (!interrupted(errno, &tries))
			return -errno;
	return 0;
}

int dax_file_reserve(const struct dax_file *file, uint64_t offset,
		     uint64_t len, uint64_t size, uint64_t most, bool write)
{
	struct stat st;
	bool shared;
	uint64_t end;
	int err;

	if (!file->writable || !(write || file->volatile_holes))
		return 0;
	if (fstat(file->fd, &st))
		return -errno;
	if (size < (uint64_t)st.st_size)
		size = st.st_size;
	end = min(offset + len, size);
	/* The end of the file counts as a hole, and so does what is behind. */
	if (offset >= end)
		return 0;
	shared = file->unshares && may_be_shared(file->fd, offset, end);
	if (!shared && !may_have_hole(file, &st, offset, end))
		return 0;
	if (end - offset > most)
		return -E2BIG;
	/* Keeping the size: a truncation meanwhile must not be undone. */
	err = file_fallocate(file->fd, FALLOC_FL_KEEP_SIZE |
			     (shared ? FALLOC_FL_UNSHARE_RANGE : 0), offset,
			     end - offset);
	if (!err)
		coherent_changed(file->nodeid);
	return err == -EOPNOTSUPP ? 0 : err;
}

void dax_file_refresh(const struct dax_file *file, uint64_t offset)
{
	const uint64_t page = offset & ~(uint64_t)(PAGE_SIZE - 1);
	const uint64_t end = INT64_MAX & ~(uint64_t)(PAGE_SIZE - 1);
	int err;

	/* Of another file the hole might be its own. */
	if (!file->copy)
		return;
	/* Takes whole pages out of the copy, and goes no further. */
	err = file_fallocate(file->shown, FALLOC_FL_PUNCH_HOLE |
			     FALLOC_FL_KEEP_SIZE, page, end - page);
	if (err)
		log_warn_once("a copy in the window stays as it was: %s",
			      strerror(-err));
}
