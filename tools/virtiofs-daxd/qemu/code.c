// SPDX-License-Identifier: GPL-2.0-or-later
#include "code.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What QEMU's functions say of an address that is no memory of the guest. */
#define NO_ADDRESS UINT64_MAX

/*
 * Of QEMU, as of version 11.1; NULL where they are not exported. A distribution
 * whose QEMU loads modules exports them. The first argument of
 * tb_invalidate_phys_range() is the processor which writes to the memory.
 */
static struct {
	const bool *tcg_allowed;
	void (*tb_invalidate_phys_range)(void *cpu, uint64_t start,
					 uint64_t last);
	uint64_t (*qemu_ram_addr_from_host)(void *ptr);
	void (*rcu_register_thread)(void);
} qemu;

/* The last file that QEMU has mapped in this thread, which tells of it next. */
static __thread struct { void *addr; size_t len; } noted;

static bool complete(void)
{
	return qemu.tcg_allowed && qemu.tb_invalidate_phys_range &&
	       qemu.qemu_ram_addr_from_host && qemu.rcu_register_thread;
}

__attribute__((constructor)) static void code_start(void)
{
	qemu.tcg_allowed = dlsym(RTLD_DEFAULT, "tcg_allowed");
	*(void **)&qemu.tb_invalidate_phys_range =
		dlsym(RTLD_DEFAULT, "tb_invalidate_phys_range");
	*(void **)&qemu.qemu_ram_addr_from_host =
		dlsym(RTLD_DEFAULT, "qemu_ram_addr_from_host");
	*(void **)&qemu.rcu_register_thread =
		dlsym(RTLD_DEFAULT, "rcu_register_thread");
}

void code_enter(void)
{
	if (complete())
		/* What it does not look at while we call may be freed. */
		qemu.rcu_register_thread();
	else
		dprintf(2, "virtiofs-dax: this QEMU does not let its translated code be dropped: without KVM, programs from a DAX window may run wrong code\n");
}

void code_drop(void *addr, size_t len)
{
	uint64_t start;

	if (!complete() || !__atomic_load_n(qemu.tcg_allowed, __ATOMIC_RELAXED))
		return;
	start = qemu.qemu_ram_addr_from_host(addr);
	if (start != NO_ADDRESS)
		qemu.tb_invalidate_phys_range(NULL, start, start + len - 1);
}

void code_note(void *addr, size_t len)
{
	noted.addr = addr;
	noted.len = len;
}

void code_catch_up(void)
{
	if (noted.len)
		code_drop(noted.addr, noted.len);
	noted.len = 0;
}
