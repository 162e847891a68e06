/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of the daemon and the library in QEMU together. The test's process has
 * the library loaded, and is the front-end: it maps the base where QEMU would. As
 * the library connects once, each test has a process of its own.
 */
#ifndef VIRTIOFS_DAXD_WINDOW_SESSION_H
#define VIRTIOFS_DAXD_WINDOW_SESSION_H

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frontend.h"
#include "fs_tap.h"

#define RANGE (UINT64_C(2) << 20)

static struct frontend fe;

static const char *const with_window[] = {
	"--dax-window", "64M", "--log-level", "warn", NULL
};

/* The library looks for the daemon as soon as the front-end says something. */
static void let_connect(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/window", fe.dir);
	setenv("VIRTIOFS_DAX_WINDOW", path, 1);
}

static bool begin(const char *const *options, void (*before)(void))
{
	struct fuse_init_out out;

	fe_window_socket = true;
	if (!fe_spawn(&fe, options))
		return false;
	if (before)
		before();
	if (!fe_connect(&fe) || !fe_handshake(&fe))
		return false;
	fe_start_queues(&fe, true);
	return fe_init(&fe, &out) == 0;
}

#define IN_CHILD(fn)							\
	static void fn##_alone(void) { in_child(fn); }
#define TEST_ALONE(fn) { .name = #fn, .run = fn##_alone }

static void in_child(void (*run)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		run();
		if (tap_failed && fe.child > 0) {
			kill(fe.child, SIGKILL);
			fe_end(&fe);
		}
		fflush(stdout);
		_exit(tap_failed);
	}
	waitpid(pid, &status, 0);
	CHECK(status == 0);
}

/* main(); arguments: the daemon, and the name of a single test. */
static inline int window_main(int argc, char **argv, const struct fs_test *tests,
			      size_t nr)
{
	if (argc < 2)
		return 2;
	fe_daemon = argv[1];
	signal(SIGPIPE, SIG_IGN);
	return run_tests(tests, nr, argc > 2 ? argv[2] : NULL);
}

#endif
