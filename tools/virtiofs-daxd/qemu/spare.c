// SPDX-License-Identifier: GPL-2.0-or-later
#include "spare.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto.h"


/* Each page is a map of its own, as it differs from those beside it. */
#define SPARE_LEN (SPARE_PAGES * WINDOW_PAGE)

static char *spare;

bool spare_take(void)
{
	char *pages;

	if (spare_left())
		return true;
	pages = (char *)syscall(SYS_mmap, NULL, SPARE_LEN, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				-1, 0);
	if (pages == MAP_FAILED)
		return false;
	for (uint64_t i = 1; i < SPARE_PAGES; i += 2) {
		if (!mprotect(pages + i * WINDOW_PAGE, WINDOW_PAGE, PROT_READ))
			continue;
		syscall(SYS_munmap, pages, SPARE_LEN);
		return false;
	}
	__atomic_store_n(&spare, pages, __ATOMIC_RELEASE);
	return true;
}

bool spare_left(void)
{
	return __atomic_load_n(&spare, __ATOMIC_ACQUIRE);
}

bool spare_give(void)
{
	char *pages = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);

	return pages && !syscall(SYS_munmap, pages, SPARE_LEN);
}
