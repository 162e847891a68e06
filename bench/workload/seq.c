// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * seq read|mmap FILE BLOCK PASSES: the whole file from its start, PASSES times;
 * reports the median rate. A mapping is made anew for each pass.
 */
#include "workload.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct seq {
	int fd;
	size_t size;
	size_t block;
	char *buf;
};

static void pass_read(struct seq *seq)
{
	for (size_t pos = 0; pos < seq->size; pos += seq->block)
		if (pread(seq->fd, seq->buf, seq->block, pos) < 0)
			err(1, "read at %zu", pos);
}

static void pass_mmap(struct seq *seq)
{
	char *map = map_file(seq->fd, PROT_READ);

	for (size_t pos = 0; pos < seq->size; pos += seq->block)
		memcpy(seq->buf, map + pos, seq->block);
	munmap(map, seq->size);
}

void work_seq(char **arg)
{
	void (*pass)(struct seq *seq) = strcmp(arg[0], "mmap") ? pass_read : pass_mmap;
	int passes = number(arg[3]);
	struct seq seq = { .block = number(arg[2]) };
	double *seconds = allocate(passes * sizeof(*seconds));

	seq.fd = open_file(arg[1], O_RDONLY);
	seq.size = file_size(seq.fd);
	if (!seq.block || seq.size % seq.block)
		errx(2, "the file is no multiple of %s", arg[2]);
	seq.buf = allocate_buffer(seq.block);
	begin();
	for (int i = 0; i < passes; i++) {
		double start = now();

		pass(&seq);
		seconds[i] = now() - start;
	}
	end();
	report(seq.size / 1e6 / median(seconds, passes), "MB/s");
}
