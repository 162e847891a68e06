/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front-end for the fuzzer of requests, which takes nothing amiss but what
 * would end QEMU.
 */
#ifndef VIRTIOFS_DAXD_FUZZ_WINDOW_H
#define VIRTIOFS_DAXD_FUZZ_WINDOW_H

#include <stdint.h>

#define WINDOW_SIZE (UINT64_C(4) << 20)
#define WINDOW_BUDGET 8

/**
 * window_lost - the device was reset: all maps have gone without a word
 */
void window_lost(void);

/**
 * window_check_empty - nothing may be mapped now
 */
void window_check_empty(void);

#endif
