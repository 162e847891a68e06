/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals: some are read from a descriptor, some must not end the process.
 */
#ifndef VIRTIOFS_DAXD_SIGNALS_H
#define VIRTIOFS_DAXD_SIGNALS_H

/**
 * signals_block - nobody is interrupted from now on
 *
 * To be called before any thread is started: all of them inherit it.
 */
void signals_block(void);

/**
 * signals_open - where SIGTERM, SIGINT and SIGUSR1 are read
 *
 * Return: a signalfd or a negative errno.
 */
int signals_open(void);

#endif
