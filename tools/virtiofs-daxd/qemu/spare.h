/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Maps of no use but to be given up when Linux allows QEMU no more of them
 * (vm.max_map_count). Files are shown only as long as they are there: so there
 * are always some left to take files out of the window again, to put zeros in
 * place of what is lost, and for QEMU itself.
 */
#ifndef VIRTIOFS_DAX_QEMU_SPARE_H
#define VIRTIOFS_DAX_QEMU_SPARE_H

#include <stdbool.h>

/* Their number. */
#define SPARE_PAGES 1024

/**
 * spare_take - have spare maps, for the connections' thread
 *
 * Return: false if there are too many maps already.
 */
bool spare_take(void);

/**
 * spare_left - whether there are any; for signal handlers, too
 */
bool spare_left(void);

/**
 * spare_give - give them up; for signal handlers, too
 *
 * Return: false if there are none.
 */
bool spare_give(void);

#endif
