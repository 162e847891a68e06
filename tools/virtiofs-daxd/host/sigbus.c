// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include "host/log.h"
#include "host/util.h"

/* A front-end or guest that goes on with it shall not fill the log. */
#define REPORT_SECONDS 60

#define SMALL_PAGE 4096

/**
 * struct sigbus_guard - a mapping
 * @start: its first byte, or 0 for an entry that is free; written last when the
 *	entry is filled and first when it is freed. Atomic, as is all that follows
 * @end: behind its last byte
 * @block: bytes of a page
 * @intact: behind the last byte that is still the file's; only goes down
 */
struct sigbus_guard {
	uintptr_t start;
	uintptr_t end;
	uintptr_t block;
	uintptr_t intact;
};

/* Protects the choice of an entry; the handler takes no lock. */
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigbus_guard guards[SIGBUS_MAX_GUARDS];

/* Faults that have not been reported; atomic. */
static unsigned int faults;

static struct sigaction before;

static uintptr_t load(const uintptr_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static void store(uintptr_t *field, uintptr_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
}

/*
 * The mapping at an address. Who touches it keeps it mapped, so its own entry
 * does not change. Another may, under our eyes; but start and end of one
 * mapping, which the second look at the start makes sure of, do not enclose an
 * address that belongs to a different one at the same time.
 */
static struct sigbus_guard *guard_find(uintptr_t addr)
{
	for (size_t i = 0; i < ARRAY_SIZE(guards); i++) {
		struct sigbus_guard *guard = &guards[i];
		uintptr_t start = load(&guard->start);

		if (start && addr >= start && addr < load(&guard->end) &&
		    load(&guard->start) == start)
			return guard;
	}
	return NULL;
}

static void guard_lower(struct sigbus_guard *guard, uintptr_t addr)
{
	uintptr_t old = load(&guard->intact);

	while (addr < old &&
	       !__atomic_compare_exchange_n(&guard->intact, &old, addr, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

/*
 * All that follows is replaced together: a file is cut off to its end, and maps
 * of single pages would be as many as the guest likes.
 */
static bool guard_replace(struct sigbus_guard *guard, uintptr_t addr,
			  size_t block)
{
	uintptr_t start = load(&guard->start);
	uintptr_t page = addr - (addr - start) % block;

	guard_lower(guard, page);
	return mmap((void *)page, load(&guard->end) - page,
		    PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		    -1, 0) != MAP_FAILED;
}

/* What is not ours, or a broken memory chip, ends the process as before. */
static void handle(int signo, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	struct sigbus_guard *guard = NULL;
	int saved = errno;

	(void)context;
	if (info->si_code == BUS_ADRERR)
		guard = guard_find(addr);
	/* A file of huge pages has no smaller ones. */
	if (guard && (guard_replace(guard, addr, SMALL_PAGE) ||
		      guard_replace(guard, addr, load(&guard->block))))
		__atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
	else
		sigaction(signo, &before, NULL);
	errno = saved;
}

int sigbus_open(void)
{
	struct sigaction action = {
		.sa_sigaction = handle,
		.sa_flags = SA_SIGINFO | SA_RESTART,
	};

	return sigaction(SIGBUS, &action, &before) ? -errno : 0;
}

struct sigbus_guard *sigbus_guard(void *start, size_t len, size_t block)
{
	struct sigbus_guard *guard = NULL;

	pthread_mutex_lock(&guards_lock);
	for (size_t i = 0; i < ARRAY_SIZE(guards) && !guard; i++)
		if (!guards[i].start)
			guard = &guards[i];
	if (guard) {
		store(&guard->end, (uintptr_t)start + len);
		store(&guard->block, block);
		store(&guard->intact, (uintptr_t)start + len);
		store(&guard->start, (uintptr_t)start);
	}
	pthread_mutex_unlock(&guards_lock);
	return guard;
}

void sigbus_release(struct sigbus_guard *guard)
{
	if (!guard)
		return;
	pthread_mutex_lock(&guards_lock);
	store(&guard->start, 0);
	pthread_mutex_unlock(&guards_lock);
}

bool sigbus_intact(const struct sigbus_guard *guard, const void *ptr,
		   size_t len)
{
	return (uintptr_t)ptr + len <= load(&guard->intact);
}

/* Only one of those who find something to report writes the line. */
void sigbus_report(void)
{
	static time_t next;
	struct timespec now;
	time_t due = __atomic_load_n(&next, __ATOMIC_RELAXED);

	if (!__atomic_load_n(&faults, __ATOMIC_RELAXED))
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec < due ||
	    !__atomic_compare_exchange_n(&next, &due,
					 now.tv_sec + REPORT_SECONDS, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	log_warn("front-end: memory of the guest is gone (a file was cut off, or its file system is full): %u accesses saw zeros",
		 __atomic_exchange_n(&faults, 0, __ATOMIC_RELAXED));
}
