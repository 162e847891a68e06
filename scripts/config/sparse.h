/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For sparse 0.6.4, which is older than the kernel and stops at what it does
 * not know: the compiler has already checked these.
 */
#define __typeof_unqual__ __typeof__
#define _Static_assert(...)
