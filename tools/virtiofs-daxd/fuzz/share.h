/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A share for random requests: a few files, the same each time.
 */
#ifndef VIRTIOFS_DAXD_FUZZ_SHARE_H
#define VIRTIOFS_DAXD_FUZZ_SHARE_H

/**
 * share_open - take possession of a directory
 * @dir: the directory, empty and of a tmpfs: it is emptied again and again, so
 *	nothing else will do
 */
void share_open(const char *dir);

/**
 * share_restore - remove all there is, and make the files anew; nobody else may
 * work there
 */
void share_restore(void);

/**
 * share_check - nothing may have changed since share_restore(), but access times
 */
void share_check(void);

#endif
