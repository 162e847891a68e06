// SPDX-License-Identifier: GPL-2.0-or-later
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "code.h"
#include "connection.h"
#include "spare.h"

/* Pieces in which a blank window is mapped. */
#define TILES 256

/* What QEMU reserves besides the memory itself: a page to guard its end. */
#define GUARD_MAX (UINT64_C(64) << 10)

struct window windows[WINDOW_MAX];

/* What QEMU maps gets all its memory at once; so would a base. */
static bool populated;

#define raw_mmap(addr, len, prot, flags, fd, offset)			\
	((void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset))
#define raw_munmap(addr, len) syscall(SYS_munmap, addr, len)

static bool try_busy(struct window *window)
{
	return !__atomic_exchange_n(&window->busy, 1, __ATOMIC_ACQUIRE);
}

static void set_busy(struct window *window)
{
	while (!try_busy(window))
		sched_yield();
}

static void clear_busy(struct window *window)
{
	__atomic_store_n(&window->busy, 0, __ATOMIC_RELEASE);
}

static uint64_t window_len(const struct window *window)
{
	return __atomic_load_n(&window->len, __ATOMIC_ACQUIRE);
}

static char *window_base(const struct window *window)
{
	return __atomic_load_n(&window->base, __ATOMIC_ACQUIRE);
}

static void *new_array(size_t len)
{
	void *array = raw_mmap(NULL, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);

	return array == MAP_FAILED ? NULL : array;
}

int base_set(struct window *window, uint64_t len, int base_fd, int report_fd)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	socklen_t size = sizeof(int);
	int type, got = fcntl(base_fd, F_GET_SEALS);
	struct stat st;

	if (__atomic_load_n(&populated, __ATOMIC_RELAXED))
		return -EPERM;
	if (window->len)
		return -EBUSY;
	if (fstat(base_fd, &st) || got < 0 || (got & seals) != seals)
		return -EBADF;
	if ((uint64_t)st.st_size != len)
		return -EINVAL;
	if (getsockopt(report_fd, SOL_SOCKET, SO_TYPE, &type, &size) ||
	    type != SOCK_SEQPACKET)
		return -EBADF;
	window->generations = new_array(len / WINDOW_HUGE * sizeof(uint32_t));
	window->shown = new_array(len / WINDOW_HUGE);
	if (!window->generations || !window->shown)
		return -ENOMEM;
	window->base_fd = base_fd;
	window->dev = st.st_dev;
	window->ino = st.st_ino;
	window->report_fd = report_fd;
	window->tile = len / TILES > WINDOW_HUGE ? len / TILES : WINDOW_HUGE;
	__atomic_store_n(&window->len, len, __ATOMIC_RELEASE);
	return 0;
}

static bool show(char *addr, uint64_t len, int flags, int fd, uint64_t offset)
{
	do {
		if (raw_mmap(addr, len, PROT_READ | PROT_WRITE,
			     flags | MAP_FIXED, fd, offset) != MAP_FAILED)
			return true;
	} while (errno == ENOMEM && spare_give());
	return false;
}

/* Blank memory: the tile, as often as it takes. Adjacent pieces become one. */
static int show_tile(struct window *window, char *base, uint64_t offset,
		     uint64_t len)
{
	while (len) {
		uint64_t in_tile = offset % window->tile;
		uint64_t n = window->tile - in_tile;

		if (n > len)
			n = len;
		if (!show(base + offset, n, MAP_SHARED, window->base_fd,
			  in_tile))
			return -errno;
		offset += n;
		len -= n;
	}
	return 0;
}

/* What was stored to nothing is not to be found there by the next. */
static void empty_tile(const struct window *window)
{
	fallocate(window->base_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  0, window->tile);
}

static void count_change(struct window *window, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len;

	for (uint64_t i = offset / WINDOW_HUGE; i * WINDOW_HUGE < end; i++)
		__atomic_add_fetch(&window->generations[i], 1,
				   __ATOMIC_RELEASE);
}

static int show_file(struct window *window, char *base,
		     const struct window_msg *msg, int fd)
{
	int flags = msg->flags & WINDOW_PRIVATE ?
		    MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
	int err = -ENOMEM;

	if (spare_take()) {
		if (show(base + msg->offset, msg->len, flags, fd,
			 msg->file_offset))
			return 0;
		err = -errno;
	}
	/* Before Linux 6.12 what was there may be gone, and nothing there. */
	show_tile(window, base, msg->offset, msg->len);
	return err;
}

/*
 * Translations of what was there are of no use any more. Where nothing was shown
 * since the last time there are none.
 */
static void drop_code(struct window *window, char *base, uint64_t offset,
		      uint64_t len, bool file)
{
	uint64_t end = offset + len;

	while (offset < end) {
		uint64_t i = offset / WINDOW_HUGE;
		uint64_t stop = (i + 1) * WINDOW_HUGE;

		if (stop > end)
			stop = end;
		if (__atomic_load_n(&window->shown[i], __ATOMIC_RELAXED))
			code_drop(base + offset, stop - offset);
		if (file || stop - offset == WINDOW_HUGE)
			__atomic_store_n(&window->shown[i], file,
					 __ATOMIC_RELAXED);
		offset = stop;
	}
}

/* A part of a file, or without @file nothing, which is one tile at most. */
static int put(struct window *window, const struct window_msg *file, int fd,
	       uint64_t offset, uint64_t len)
{
	int err = -ENODEV;
	char *base;

	set_busy(window);
	base = window->base;
	if (base) {
		err = file ? show_file(window, base, file, fd) :
			     show_tile(window, base, offset, len);
		count_change(window, offset, len);
	}
	clear_busy(window);
	if (base)
		drop_code(window, base, offset, len, file && !err);
	return err;
}

int base_map(struct window *window, const struct window_msg *msg, int fd)
{
	return put(window, msg, fd, msg->offset, msg->len);
}

int base_blank(struct window *window, uint64_t offset, uint64_t len)
{
	bool all = len == window->len;
	int err = 0;

	/* One tile at a time: no signal handler has to try for longer. */
	while (len && !err) {
		uint64_t n = window->tile - offset % window->tile;

		if (n > len)
			n = len;
		err = put(window, NULL, -1, offset, n);
		offset += n;
		len -= n;
	}
	if (all && !err)
		empty_tile(window);
	return err;
}

struct window *base_find(const void *addr, uint64_t *offset)
{
	for (int i = 0; i < WINDOW_MAX; i++) {
		const char *base = window_base(&windows[i]);

		if (!base || (const char *)addr < base)
			continue;
		*offset = (const char *)addr - base;
		if (*offset < windows[i].len)
			return &windows[i];
	}
	return NULL;
}

uint32_t base_generation(const struct window *window, uint64_t offset)
{
	return __atomic_load_n(&window->generations[offset / WINDOW_HUGE],
			       __ATOMIC_ACQUIRE);
}

static bool show_zeros(char *addr, uint64_t len)
{
	return show(addr, len, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
}

static void report(struct window *window, uint64_t offset, uint64_t len)
{
	struct window_report report = {
		.offset = offset,
		.len = len,
		.missed = __atomic_exchange_n(&window->missed, 0,
					      __ATOMIC_RELAXED),
	};

	if (send(window->report_fd, &report, sizeof(report),
		 MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(report))
		__atomic_add_fetch(&window->missed, report.missed + 1,
				   __ATOMIC_RELAXED);
}

/*
 * It is told first: as soon as there are zeros, another processor may store to
 * them, and have the file synced.
 */
static bool zero_and_report(struct window *window, char *base, uint64_t offset,
			    uint64_t len)
{
	report(window, offset, len);
	return show_zeros(base + offset, len);
}

bool base_zero(struct window *window, uint64_t offset, uint32_t generation)
{
	bool done = true;
	char *base;

	if (!try_busy(window))
		return true;
	base = window->base;
	/* Too many maps: the second takes one for what may have been many. */
	if (base && base_generation(window, offset) == generation) {
		done = zero_and_report(window, base, offset, WINDOW_PAGE) ||
		       zero_and_report(window, base, offset & -WINDOW_HUGE,
				       WINDOW_HUGE);
		/* Another thread may have failed before, and come after us. */
		count_change(window, offset, WINDOW_PAGE);
	}
	clear_busy(window);
	return done;
}

/* Reserves addresses for a base at a place that is good for huge pages. */
static void *reserve_aligned(size_t len, int flags)
{
	char *all, *start;
	size_t head;

	len = (len + WINDOW_PAGE - 1) & -WINDOW_PAGE;
	all = raw_mmap(NULL, len + WINDOW_HUGE, PROT_NONE, flags, -1, 0);
	if (all == MAP_FAILED)
		return MAP_FAILED;
	head = -(uintptr_t)all & (WINDOW_HUGE - 1);
	start = all + head;
	if (head)
		raw_munmap(all, head);
	raw_munmap(start + len, WINDOW_HUGE - head);
	return start;
}

static bool may_hold_base(size_t len)
{
	for (int i = 0; i < WINDOW_MAX; i++) {
		uint64_t base_len = window_len(&windows[i]);

		if (base_len && len >= base_len && len <= base_len + GUARD_MAX)
			return true;
	}
	return false;
}

/* QEMU has mapped something: if it is a base, nothing is shown there so far. */
static void note_base(struct window *window, char *addr, const struct stat *st)
{
	if (st->st_dev != window->dev || st->st_ino != window->ino)
		return;
	set_busy(window);
	empty_tile(window);
	if (!show_tile(window, addr, 0, window->len)) {
		count_change(window, 0, window->len);
		/* It may have addresses that another memory had before. */
		memset(window->shown, 1, window->len / WINDOW_HUGE);
		__atomic_store_n(&window->base, addr, __ATOMIC_RELEASE);
	}
	clear_busy(window);
}

static void note_mapped(char *addr, size_t len, int fd)
{
	int saved_errno = errno;
	struct stat st = { 0 };

	for (int i = 0; i < WINDOW_MAX; i++)
		if (len == window_len(&windows[i]) &&
		    (st.st_ino || !fstat(fd, &st)))
			note_base(&windows[i], addr, &st);
	errno = saved_errno;
}

static void note_unmapped(const char *addr, size_t len)
{
	for (int i = 0; i < WINDOW_MAX; i++) {
		struct window *window = &windows[i];
		const char *base = window_base(window);

		if (!base || addr >= base + window->len || addr + len <= base)
			continue;
		/* Not while something is put there. */
		set_busy(window);
		if (window->base == base)
			__atomic_store_n(&window->base, NULL, __ATOMIC_RELEASE);
		clear_busy(window);
	}
}

/*
 * QEMU reserves addresses for all memory of a guest, then maps files over them.
 * The first time is after it has forked, if it does, and before the devices are
 * made: that is when the daemon must hear of us.
 */
EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	void *mapped;

	if (!addr && prot == PROT_NONE && flags & MAP_ANONYMOUS) {
		connection_start();
		if (may_hold_base(len))
			return reserve_aligned(len, flags);
	}
	mapped = raw_mmap(addr, len, prot, flags, fd, offset);
	if (mapped != MAP_FAILED && fd >= 0 && flags & MAP_SHARED && !offset)
		note_mapped(mapped, len, fd);
	return mapped;
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t offset) __attribute__((alias("mmap")));

EXPORT int mlockall(int flags)
{
	int ret = syscall(SYS_mlockall, flags);

	if (!ret && flags & MCL_FUTURE && !(flags & MCL_ONFAULT))
		__atomic_store_n(&populated, true, __ATOMIC_RELAXED);
	return ret;
}

EXPORT int munmap(void *addr, size_t len)
{
	note_unmapped(addr, len);
	return raw_munmap(addr, len);
}
