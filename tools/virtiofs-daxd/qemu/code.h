/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that was translated from the window. Without KVM, QEMU translates the
 * guest's programs, and finds a translation by the address of the memory that it
 * was made from: it must be told that something else is there now.
 */
#ifndef VIRTIOFS_DAX_QEMU_CODE_H
#define VIRTIOFS_DAX_QEMU_CODE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * code_enter - make the calling thread one that may call into QEMU
 *
 * To be called first in a thread, and once. Says so if QEMU lacks something.
 */
void code_enter(void);

/**
 * code_leave - the calling thread ends
 */
void code_leave(void);

/**
 * code_translated - whether QEMU translates the guest's programs
 *
 * For signal handlers, too. False if that is not known.
 */
bool code_translated(void);

/**
 * code_note - QEMU has mapped a file, perhaps as memory of the guest
 * @addr: where
 * @len: bytes
 *
 * QEMU may give it addresses that other memory had before, but not yet.
 */
void code_note(void *addr, size_t len);

/**
 * code_catch_up - forget what was translated from memory that these had
 *
 * For a thread of QEMU's, once it has told that a file is mapped.
 */
void code_catch_up(void);

/**
 * code_drop - forget what was translated from memory
 * @addr: where QEMU has the memory
 * @len: bytes
 *
 * About 2.5 us for each MiB; nothing with KVM. Only between code_enter() and
 * code_leave(), or in a thread of QEMU's.
 */
void code_drop(void *addr, size_t len);

#endif
