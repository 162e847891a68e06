// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

static sigset_t handled_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	return set;
}

void signals_block(void)
{
	const sigset_t set = handled_signals();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* A guest that writes past RLIMIT_FSIZE gets EFBIG. */
	signal(SIGXFSZ, SIG_IGN);
	/* Who opens a file just when we ask for its writers by a lease. */
	signal(SIGIO, SIG_IGN);
}

int signals_open(void)
{
	const sigset_t set = handled_signals();
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}
