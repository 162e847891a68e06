// SPDX-License-Identifier: GPL-2.0-or-later
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "code.h"
#include "foreign.h"

#define ZEROS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

struct window windows[WINDOW_MAX];

#define raw_mmap(addr, len, prot, flags, fd, offset)			\
	((void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset))
#define raw_munmap(addr, len) syscall(SYS_munmap, addr, len)

/*
 * Maps of no use but to be given up when Linux allows QEMU no more of them
 * (vm.max_map_count). Files are shown only as long as they are there: so there
 * are always some left to take files out of the window again, to put zeros in
 * place of what is lost, and for QEMU itself.
 */
static char *spare;

/* Each page is a map of its own, as it differs from those beside it. */
#define SPARE_LEN (SPARE_MAPS * WINDOW_PAGE)

static bool spare_left(void)
{
	return __atomic_load_n(&spare, __ATOMIC_ACQUIRE);
}

static bool spare_give(void)
{
	char *pages = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);

	return pages && !raw_munmap(pages, SPARE_LEN);
}

static bool spare_take(void)
{
	char *pages;

	if (spare_left())
		return true;
	pages = raw_mmap(NULL, SPARE_LEN, PROT_NONE, ZEROS, -1, 0);
	if (pages == MAP_FAILED)
		return false;
	for (uint64_t i = 1; i < SPARE_MAPS; i += 2) {
		if (!mprotect(pages + i * WINDOW_PAGE, WINDOW_PAGE, PROT_READ))
			continue;
		raw_munmap(pages, SPARE_LEN);
		return false;
	}
	__atomic_store_n(&spare, pages, __ATOMIC_RELEASE);
	return true;
}

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

uint32_t base_generation(const struct window *window)
{
	return __atomic_load_n(&window->generation, __ATOMIC_ACQUIRE);
}

static uint64_t window_len(const struct window *window)
{
	return __atomic_load_n(&window->len, __ATOMIC_ACQUIRE);
}

static char *window_base(const struct window *window)
{
	return __atomic_load_n(&window->base, __ATOMIC_ACQUIRE);
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
	window->shown = calloc(len / WINDOW_HUGE, sizeof(*window->shown));
	if (!window->shown)
		return -ENOMEM;
	window->base_fd = base_fd;
	window->report_fd = report_fd;
	window->tile = len / WINDOW_TILES > WINDOW_HUGE ? len / WINDOW_TILES : WINDOW_HUGE;
	__atomic_store_n(&window->len, len, __ATOMIC_RELEASE);
	return 0;
}

/* At the cost of the spare maps. Into a core file it does not get: it is not read. */
static bool show(char *addr, uint64_t len, int flags, int fd, uint64_t offset)
{
	while (raw_mmap(addr, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
			fd, offset) == MAP_FAILED)
		if (errno != ENOMEM || !spare_give())
			return false;
	madvise(addr, len, MADV_DONTDUMP);
	return true;
}

/*
 * Translations of what was there are of no use any more. Where nothing was shown
 * since the last time there are none.
 */
static void drop_code(struct window *window, char *base, uint64_t offset,
		      uint64_t len, uint8_t now)
{
	uint64_t n;

	for (; len; offset += n, len -= n) {
		uint8_t *shown = &window->shown[offset / WINDOW_HUGE];
		uint8_t was = __atomic_load_n(shown, __ATOMIC_RELAXED);

		n = WINDOW_HUGE - offset % WINDOW_HUGE;
		if (n > len)
			n = len;
		if (was)
			code_drop(base + offset, n);
		__atomic_store_n(shown, n == WINDOW_HUGE ? now : was | now,
				 __ATOMIC_RELAXED);
	}
}

/* The base itself is what shows nothing. */
static int put(struct window *window, uint64_t offset, uint64_t len, int flags,
	       int fd, uint64_t file_offset)
{
	uint8_t now = fd == window->base_fd ? 0 :
		      flags & MAP_SHARED ? SHOWN_ANY : SHOWN_FILE;
	int err = -ENODEV;
	char *base;

	change_begin_wait(window);
	base = window->base;
	if (base)
		err = show(base + offset, len, flags, fd, file_offset) ? 0 :
		      -errno;
	change_end(window);
	if (base)
		drop_code(window, base, offset, len, err ? SHOWN_ANY : now);
	return err;
}

int base_map(struct window *window, const struct window_msg *msg, int fd)
{
	int flags = msg->flags & WINDOW_PRIVATE ?
		    MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
	int err = -ENOMEM;

	if (spare_take())
		err = put(window, msg->offset, msg->len, flags, fd,
			  msg->file_offset);
	/* Before Linux 6.12 what was there may be gone, and nothing there. */
	if (err && err != -ENODEV &&
	    base_blank(window, msg->offset, msg->len))
		return -ENOTRECOVERABLE;
	return err;
}

/* One tile at a time: no signal handler has to try for longer. */
int base_blank(struct window *window, uint64_t offset, uint64_t len)
{
	bool all = len == window->len;
	int err = 0;
	uint64_t n;

	for (; len && !err; offset += n, len -= n) {
		n = window->tile - offset % window->tile;
		if (n > len)
			n = len;
		err = put(window, offset, n, MAP_SHARED, window->base_fd,
			  offset % window->tile);
	}
	/* What was stored to nothing is not to be found there by the next. */
	if (all && !err)
		fallocate(window->base_fd,
			  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  window->tile);
	return err;
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
 * them, and have the file synced. Without spare maps there are zeros in all of a
 * tile: however often, and wherever, that makes no more maps than there are tiles.
 */
bool base_zero(struct window *window, uint64_t offset, uint64_t len,
	       uint32_t generation)
{
	bool done = true;

	if (!change_begin(window, generation))
		return true;
	if (!spare_left()) {
		offset -= offset % window->tile;
		len = window->tile;
	}
	if (window->base) {
		report(window, offset, len);
		done = show(window->base + offset, len, ZEROS, -1, 0);
	}
	change_end(window);
	return done;
}

struct window *base_find(uint64_t addr, uint64_t len, uint64_t *offset)
{
	for (int i = 0; i < WINDOW_MAX; i++) {
		uint64_t base = (uintptr_t)window_base(&windows[i]);

		if (!base || addr >= base + windows[i].len || addr + len <= base)
			continue;
		*offset = addr - base;
		return &windows[i];
	}
	return NULL;
}

static bool is_base(const struct window *window, int fd)
{
	struct stat st, base;

	return window_len(window) && !fstat(fd, &st) &&
	       !fstat(window->base_fd, &base) && st.st_dev == base.st_dev &&
	       st.st_ino == base.st_ino;
}

struct window *base_of(int fd)
{
	for (int i = 0; i < WINDOW_MAX; i++)
		if (is_base(&windows[i], fd))
			return &windows[i];
	return NULL;
}

static void set_base(struct window *window, char *base)
{
	change_begin_wait(window);
	__atomic_store_n(&window->base, base, __ATOMIC_RELEASE);
	change_end(window);
}

/* Nothing is shown so far; but the addresses may be those of another memory. */
static void note_base(struct window *window, char *addr)
{
	set_base(window, addr);
	if (base_blank(window, 0, window->len))
		set_base(window, NULL);
	for (uint64_t i = 0; i < window->len / WINDOW_HUGE; i++)
		__atomic_store_n(&window->shown[i], SHOWN_FILE,
				 __ATOMIC_RELAXED);
}

/* If it is no base, it may be a part of a file, which QEMU shows by itself. */
static void note_mapped(char *addr, size_t len, int fd)
{
	struct window *window = base_of(fd);

	if (window && len == window->len)
		note_base(window, addr);
	else
		code_note(addr, len);
}

/*
 * QEMU reserves addresses for all memory of a guest, then maps files over them.
 * What it reserves is put where huge pages can be used.
 */
static void *reserve_aligned(size_t len, int flags)
{
	char *all, *start;

	len = (len + WINDOW_PAGE - 1) & -WINDOW_PAGE;
	all = raw_mmap(NULL, len + WINDOW_HUGE, PROT_NONE, flags, -1, 0);
	if (all == MAP_FAILED)
		return MAP_FAILED;
	start = all + (-(uintptr_t)all & (WINDOW_HUGE - 1));
	if (start != all)
		raw_munmap(all, start - all);
	raw_munmap(start + len, WINDOW_HUGE - (start - all));
	return start;
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	int saved_errno = errno;
	void *mapped;

	if (!addr && prot == PROT_NONE && flags & MAP_ANONYMOUS &&
	    len >= WINDOW_HUGE)
		return reserve_aligned(len, flags);
	mapped = raw_mmap(addr, len, prot, flags, fd, offset);
	if (mapped != MAP_FAILED && fd >= 0 && flags & MAP_SHARED) {
		note_mapped(mapped, len, fd);
		errno = saved_errno;
	}
	return mapped;
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t offset) __attribute__((alias("mmap")));

/* A base is not unmapped while something is put there. */
EXPORT int munmap(void *addr, size_t len)
{
	struct window *window;
	uint64_t offset;

	while ((window = base_find((uintptr_t)addr, len, &offset)))
		set_base(window, NULL);
	return raw_munmap(addr, len);
}
