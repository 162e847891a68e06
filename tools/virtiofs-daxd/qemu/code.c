// SPDX-License-Identifier: GPL-2.0-or-later
#include "code.h"

#include <dlfcn.h>
#include <pthread.h>
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

/* The last files that QEMU has mapped; it tells of each before the next. */
#define CODE_NOTES 8

static struct {
	pthread_mutex_t lock;
	struct { void *addr; size_t len; } maps[CODE_NOTES];
	unsigned int count;
} notes = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *find(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

static bool complete(void)
{
	return qemu.tb_invalidate_phys_range && qemu.qemu_ram_addr_from_host &&
	       qemu.rcu_register_thread && qemu.rcu_unregister_thread;
}

__attribute__((constructor)) static void code_start(void)
{
	qemu.tcg_allowed = find("tcg_allowed");
	*(void **)&qemu.tb_invalidate_phys_range =
		find("tb_invalidate_phys_range");
	*(void **)&qemu.qemu_ram_addr_from_host =
		find("qemu_ram_addr_from_host");
	*(void **)&qemu.rcu_register_thread = find("rcu_register_thread");
	*(void **)&qemu.rcu_unregister_thread = find("rcu_unregister_thread");
}

bool code_translated(void)
{
	return qemu.tcg_allowed &&
	       __atomic_load_n(qemu.tcg_allowed, __ATOMIC_RELAXED);
}

void code_enter(void)
{
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

	if (!complete() || (qemu.tcg_allowed && !code_translated()))
		return;
	start = qemu.qemu_ram_addr_from_host(addr);
	if (start != NO_ADDRESS)
		qemu.tb_invalidate_phys_range(NULL, start, start + len - 1);
}

void code_note(void *addr, size_t len)
{
	unsigned int i;

	pthread_mutex_lock(&notes.lock);
	i = notes.count++ % CODE_NOTES;
	notes.maps[i].addr = addr;
	notes.maps[i].len = len;
	pthread_mutex_unlock(&notes.lock);
}

void code_catch_up(void)
{
	pthread_mutex_lock(&notes.lock);
	for (unsigned int i = 0; i < CODE_NOTES && i < notes.count; i++)
		code_drop(notes.maps[i].addr, notes.maps[i].len);
	notes.count = 0;
	pthread_mutex_unlock(&notes.lock);
}
