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
	void (*rcu_unregister_thread)(void);
} qemu;

static void *find(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

static bool complete(void)
{
	return qemu.tb_invalidate_phys_range && qemu.qemu_ram_addr_from_host &&
	       qemu.rcu_register_thread && qemu.rcu_unregister_thread;
}

void code_enter(void)
{
	qemu.tcg_allowed = find("tcg_allowed");
	*(void **)&qemu.tb_invalidate_phys_range =
		find("tb_invalidate_phys_range");
	*(void **)&qemu.qemu_ram_addr_from_host =
		find("qemu_ram_addr_from_host");
	*(void **)&qemu.rcu_register_thread = find("rcu_register_thread");
	*(void **)&qemu.rcu_unregister_thread = find("rcu_unregister_thread");
	if (complete())
		/* What it does not look at while we call may be freed. */
		qemu.rcu_register_thread();
	else
		dprintf(2, "virtiofs-dax: this QEMU does not let its translated code be dropped: without KVM, programs from a DAX window may run wrong code\n");
}

void code_leave(void)
{
	if (complete())
		qemu.rcu_unregister_thread();
}

void code_drop(void *addr, size_t len)
{
	uint64_t start;

	if (!complete() || (qemu.tcg_allowed &&
			    !__atomic_load_n(qemu.tcg_allowed, __ATOMIC_RELAXED)))
		return;
	start = qemu.qemu_ram_addr_from_host(addr);
	if (start != NO_ADDRESS)
		qemu.tb_invalidate_phys_range(NULL, start, start + len - 1);
}
