/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that was translated from the window. Without KVM, QEMU translates the
 * guest's programs, and finds a translation by the address of the memory that it
 * was made from: it must be told that something else is there now.
 */
#ifndef VIRTIOFS_DAX_QEMU_CODE_H
#define VIRTIOFS_DAX_QEMU_CODE_H

#include <stddef.h>

/**
 * code_enter - make the calling thread one that may call into QEMU, and never ends
 *
 * Says so if QEMU lacks something.
 */
void code_enter(void);

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
 * By the thread of code_note(), once QEMU has told that the file is mapped.
 */
void code_catch_up(void);

/**
 * code_drop - forget what was translated from memory
 * @addr: where QEMU has the memory
 * @len: bytes
 *
 * About 2.5 us for each MiB; nothing with KVM. After code_enter(), or in a thread of
 * QEMU's.
 */
void code_drop(void *addr, size_t len);

#endif
