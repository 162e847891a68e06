// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What another one does to files, until it is seen here:
 *
 *	seen KIND FILE COUNT ACKS	look at FILE, and at nothing else, until it is
 *					as bench/edits has made it, and tell it so by
 *					a directory in ACKS; COUNT times
 *
 * Nothing is measured here: bench/edits has the clock.
 */
#define _GNU_SOURCE
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file;
static volatile char *map;
static int fd;

/* Whether change @i is there to be seen; 0 is how the file is to begin with. */

static bool see_mapped(size_t i)
{
	return map[0] == (char)('0' + i % 10);
}

static bool see_data(size_t i)
{
	char c;

	return pread(fd, &c, 1, 0) == 1 && c == (char)('0' + i % 10);
}

static bool see_size(size_t i)
{
	struct stat st;

	return !stat(file, &st) && (size_t)st.st_size == 100 + i;
}

static bool see_mode(size_t i)
{
	struct stat st;

	return !stat(file, &st) && (st.st_mode & 0777) == (i % 2 ? 0600 : 0644);
}

static bool see_name(size_t i)
{
	return !access(file, F_OK) == !(i % 2);
}

static const struct {
	const char *name;
	bool (*see)(size_t i);
} kinds[] = {
	{ "mapped", see_mapped }, { "data", see_data }, { "size", see_size },
	{ "mode", see_mode }, { "name", see_name },
};

static bool (*find(const char *name))(size_t i)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return kinds[i].see;
	errx(2, "no kind %s", name);
}

void work_seen(char **arg)
{
	bool (*see)(size_t i) = find(arg[0]);
	size_t count = number(arg[2]);
	char ack[4096];

	file = arg[1];
	if (see == see_mapped || see == see_data)
		fd = open_file(file, O_RDONLY);
	if (see == see_mapped)
		map = map_file(fd, PROT_READ);
	for (size_t i = 0; i <= count; i++) {
		while (!see(i))
			;
		snprintf(ack, sizeof(ack), "%s/%s.%zu", arg[3], arg[0], i);
		if (mkdir(ack, 0755))
			err(1, "%s", ack);
	}
}
