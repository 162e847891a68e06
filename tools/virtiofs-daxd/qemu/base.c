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
#include "foreign.h"
#include "spare.h"

/* What QEMU reserves besides the memory itself: a page to guard its end. */
#define GUARD_MAX (UINT64_C(64) << 10)

struct window windows[WINDOW_MAX];

#define raw_mmap(addr, len, prot, flags, fd, offset)			\
	((void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset))
#define raw_munmap(addr, len) syscall(SYS_munmap, addr, len)

/* Returns false if there has been a change since, or there is one. */
static bool change_begin(struct window *window, uint32_t generation)
{
	return !(generation & 1) &&
	       __atomic_compare_exchange_n(&window->generation, &generation,
					   generation + 1, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void change_begin_wait(struct window *window)
{
	while (!change_begin(window, base_generation(window)))
		sched_yield();
}

static void change_end(struct window *window)
{
	__atomic_add_fetch(&window->generation, 1, __ATOMIC_RELEASE);
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

static void free_array(void *array, size_t len)
{
	if (array)
		raw_munmap(array, len);
}

/* Both or none. */
static bool new_arrays(struct window *window, size_t num)
{
	window->shown = new_array(num * sizeof(*window->shown));
	window->zeros = new_array(num * sizeof(*window->zeros));
	if (window->shown && window->zeros)
		return true;
	free_array(window->shown, num * sizeof(*window->shown));
	free_array(window->zeros, num * sizeof(*window->zeros));
	return false;
}

int base_set(struct window *window, uint64_t len, int base_fd, int report_fd)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	socklen_t size = sizeof(int);
	int type, got = fcntl(base_fd, F_GET_SEALS);
	struct stat st;

	if (foreign_found())
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
	if (!new_arrays(window, len / WINDOW_HUGE))
		return -ENOMEM;
	window->base_fd = base_fd;
	window->dev = st.st_dev;
	window->ino = st.st_ino;
	window->report_fd = report_fd;
	window->tile = len / WINDOW_TILES > WINDOW_HUGE ? len / WINDOW_TILES : WINDOW_HUGE;
	__atomic_store_n(&window->len, len, __ATOMIC_RELEASE);
	return 0;
}

/* Into a core file of QEMU it does not get: that would read all of it. */
static bool show(char *addr, uint64_t len, int flags, int fd, uint64_t offset)
{
	if (raw_mmap(addr, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
		     offset) == MAP_FAILED)
		return false;
	madvise(addr, len, MADV_DONTDUMP);
	return true;
}

/* At the cost of the spare maps. */
static bool show_surely(char *addr, uint64_t len, int flags, int fd,
			uint64_t offset)
{
	do {
		if (show(addr, len, flags, fd, offset))
			return true;
	} while (errno == ENOMEM && spare_give());
	return false;
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

#define ZEROS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Pages of zeros for which there may be a map each. */
static unsigned int zeros;

static void count_zero(struct window *window, uint64_t offset)
{
	window->zeros[offset / WINDOW_HUGE]++;
	__atomic_add_fetch(&zeros, 1, __ATOMIC_RELAXED);
}

/* Something takes the place of all there is in a part; of less it is not known. */
static void forget_zeros(struct window *window, uint64_t offset, uint64_t len)
{
	uint64_t i = (offset + WINDOW_HUGE - 1) / WINDOW_HUGE;

	for (; (i + 1) * WINDOW_HUGE <= offset + len; i++) {
		__atomic_sub_fetch(&zeros, window->zeros[i], __ATOMIC_RELAXED);
		window->zeros[i] = 0;
	}
}

/*
 * It is told first: as soon as there are zeros, another processor may store to
 * them, and have the file synced.
 */
static bool zero_page(struct window *window, char *base, uint64_t offset)
{
	bool done;

	if (!spare_left() ||
	    __atomic_load_n(&zeros, __ATOMIC_RELAXED) >= ZEROS_MAX)
		return false;
	report(window, offset, WINDOW_PAGE);
	done = show(base + offset, WINDOW_PAGE, ZEROS, -1, 0);
	if (done)
		count_zero(window, offset);
	return done;
}

/*
 * The same for the tile in which a place lies. However often this is done, and
 * wherever, it makes no more maps than there are tiles.
 */
static bool zero_tile(struct window *window, char *base, uint64_t offset)
{
	uint64_t start = offset - offset % window->tile;
	bool done;

	report(window, start, window->tile);
	done = show_surely(base + start, window->tile, ZEROS, -1, 0);
	if (done)
		forget_zeros(window, start, window->tile);
	return done;
}

/* Blank memory: the tile, as often as it takes. Adjacent pieces become one. */
static bool show_nothing(struct window *window, char *base, uint64_t offset,
			 uint64_t len)
{
	uint64_t end = offset + len;

	while (offset < end) {
		uint64_t in_tile = offset % window->tile;
		uint64_t n = window->tile - in_tile;

		if (n > end - offset)
			n = end - offset;
		if (!show_surely(base + offset, n, MAP_SHARED, window->base_fd,
				 in_tile))
			return false;
		offset += n;
	}
	return true;
}

/* What was stored to nothing is not to be found there by the next. */
static void empty_tile(const struct window *window)
{
	fallocate(window->base_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  0, window->tile);
}

static int show_file(struct window *window, char *base,
		     const struct window_msg *msg, int fd)
{
	int flags = msg->flags & WINDOW_PRIVATE ?
		    MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
	int err = -ENOMEM;

	if (spare_take()) {
		if (show_surely(base + msg->offset, msg->len, flags, fd,
				msg->file_offset))
			return 0;
		err = -errno;
	}
	/* Before Linux 6.12 what was there may be gone, and nothing there. */
	if (!show_nothing(window, base, msg->offset, msg->len))
		return -ENOTRECOVERABLE;
	return err;
}

/*
 * Translations of what was there are of no use any more. Where nothing was shown
 * since the last time there are none.
 */
static void drop_code(struct window *window, char *base, uint64_t offset,
		      uint64_t len, uint8_t now)
{
	uint64_t end = offset + len;

	while (offset < end) {
		uint64_t i = offset / WINDOW_HUGE;
		uint64_t stop = (i + 1) * WINDOW_HUGE;
		uint8_t was;

		if (stop > end)
			stop = end;
		was = __atomic_load_n(&window->shown[i], __ATOMIC_RELAXED);
		if (was)
			code_drop(base + offset, stop - offset);
		__atomic_store_n(&window->shown[i],
				 stop - offset == WINDOW_HUGE ? now : was | now,
				 __ATOMIC_RELAXED);
		offset = stop;
	}
}

static uint8_t shown_by(const struct window_msg *file)
{
	return !file ? 0 : file->flags & WINDOW_PRIVATE ? SHOWN_FILE :
	       SHOWN_FILE | SHOWN_SHARED;
}

/* A part of a file, or without @file nothing, which is one tile at most. */
static int put(struct window *window, const struct window_msg *file, int fd,
	       uint64_t offset, uint64_t len)
{
	int err = -ENODEV;
	char *base;

	change_begin_wait(window);
	base = window->base;
	if (base) {
		if (file)
			err = show_file(window, base, file, fd);
		else
			err = show_nothing(window, base, offset, len) ? 0 :
			      -ENOMEM;
		if (!err)
			forget_zeros(window, offset, len);
	}
	change_end(window);
	if (base)
		drop_code(window, base, offset, len,
			  err ? SHOWN_ANY : shown_by(file));
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

uint32_t base_generation(const struct window *window)
{
	return __atomic_load_n(&window->generation, __ATOMIC_ACQUIRE);
}

bool base_zero(struct window *window, uint64_t offset, uint32_t generation)
{
	bool done = true;
	char *base;

	if (!change_begin(window, generation))
		return true;
	base = window->base;
	if (base)
		done = zero_page(window, base, offset) ||
		       zero_tile(window, base, offset);
	change_end(window);
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
static void note_base(struct window *window, char *addr)
{
	change_begin_wait(window);
	empty_tile(window);
	if (show_nothing(window, addr, 0, window->len)) {
		forget_zeros(window, 0, window->len);
		/* It may have addresses that another memory had before. */
		memset(window->shown, SHOWN_BEFORE, window->len / WINDOW_HUGE);
		__atomic_store_n(&window->base, addr, __ATOMIC_RELEASE);
	}
	change_end(window);
}

static bool same_file(const struct window *window, int fd)
{
	struct stat st;

	return window_len(window) && !fstat(fd, &st) &&
	       st.st_dev == window->dev && st.st_ino == window->ino;
}

bool base_is(int fd)
{
	for (int i = 0; i < WINDOW_MAX; i++)
		if (same_file(&windows[i], fd))
			return true;
	return false;
}

/* If it is no base, it may be a part of a file, which QEMU shows by itself. */
static void note_mapped(char *addr, size_t len, int fd)
{
	int saved_errno = errno;

	bool base = false;

	for (int i = 0; i < WINDOW_MAX; i++) {
		if (len != window_len(&windows[i]) ||
		    !same_file(&windows[i], fd))
			continue;
		note_base(&windows[i], addr);
		base = true;
	}
	if (!base)
		code_note(addr, len);
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
		change_begin_wait(window);
		if (window->base == base)
			__atomic_store_n(&window->base, NULL, __ATOMIC_RELEASE);
		change_end(window);
	}
}

/* QEMU reserves addresses for all memory of a guest, then maps files over them. */
EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	void *mapped;

	if (!addr && prot == PROT_NONE && flags & MAP_ANONYMOUS &&
	    may_hold_base(len))
		return reserve_aligned(len, flags);
	mapped = raw_mmap(addr, len, prot, flags, fd, offset);
	if (mapped != MAP_FAILED && fd >= 0 && flags & MAP_SHARED)
		note_mapped(mapped, len, fd);
	return mapped;
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t offset) __attribute__((alias("mmap")));

EXPORT int mlockall(int flags)
{
	int ret = syscall(SYS_mlockall, flags);

	if (!ret && flags & MCL_FUTURE && !(flags & MCL_ONFAULT))
		foreign_note("mem-lock=on");
	return ret;
}

EXPORT int munmap(void *addr, size_t len)
{
	note_unmapped(addr, len);
	return raw_munmap(addr, len);
}
