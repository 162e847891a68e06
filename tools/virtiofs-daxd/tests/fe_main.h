/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main() of the tests of a daemon: its path is the first argument, the only test
 * to run the second.
 */
#ifndef VIRTIOFS_DAXD_FE_MAIN_H
#define VIRTIOFS_DAXD_FE_MAIN_H

#include <signal.h>
#include <unistd.h>

#include "frontend.h"
#include "fs_tap.h"

/* Return: exit status. */
static inline int fe_main(int argc, char **argv, const struct fs_test *tests,
			  size_t nr)
{
	fe_daemon = argc > 1 ? argv[1] : "./virtiofs-daxd";
	signal(SIGPIPE, SIG_IGN);
	if (geteuid())
		return skip_all("needs root");
	if (access("/dev/fuse", R_OK | W_OK))
		return skip_all("needs /dev/fuse");
	return run_tests(tests, nr, argc > 2 ? argv[2] : NULL);
}

#endif
