/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the isolation*.c files share.
 */
#ifndef VIRTIOFS_DAXD_ISOLATION_I_H
#define VIRTIOFS_DAXD_ISOLATION_I_H

#include "host/isolation.h"

/**
 * isolation_failed - remember what a stage was doing, for isolation_step()
 * @what: that
 *
 * Return: -errno.
 */
int isolation_failed(const char *what);

/**
 * isolation_options - what isolation_configure() was told
 */
const struct isolation_options *isolation_options(void);

#endif
