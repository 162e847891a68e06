// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/guard_i.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/log.h"
#include "host/util.h"

/*
 * A guest can cause as many lines as it likes: in this time, ms, one is written of each
 * kind.
 */
#define SAY_MS 10000

/*
 * What a file is called, in the share. Its name is the guest's to choose, and so not
 * for a terminal as it is, nor may it end the quotes around it.
 */
static void get_path(int proc, int fd, char *path, size_t size)
{
	char name[64];
	ssize_t len;

	/* By the thread: whoever has a table of descriptors of his own */
	snprintf(name, sizeof(name), "%d/task/%d/fd/%d", getpid(), gettid(), fd);
	len = readlinkat(proc, name, path, size - 1);
	if (len < 0)
		len = snprintf(path, size, "a file");
	path[len] = 0;
	for (; *path; path++)
		if (!isprint((unsigned char)*path) || *path == '\'')
			*path = '?';
}

void guard_say_late(int proc, int fd, const char *why, unsigned int ms,
		    const char *rest)
{
	static unsigned int left_out;
	static int64_t next[2];
	bool waits = !*rest;
	char path[512];

	if (clock_ms() < next[waits]) {
		left_out++;
		return;
	}
	get_path(proc, fd, path, sizeof(path));
	log_warn("guard: '%s': %s within %u ms: who changes it on the host goes on, and where it was cut off the guest may see zeros until it is told%s (%u more since such a line)",
		 path, why, ms, rest, left_out);
	left_out = 0;
	next[waits] = clock_ms() + SAY_MS;
}
