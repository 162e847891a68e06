// SPDX-License-Identifier: GPL-2.0-or-later
#include "coherent_guest.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Nothing is said within this time if nothing is to be said at all, ms. */
#define SILENCE 100

struct frontend fe;

const char *const options[] = {
	"--cache", "coherent", "--notifications", "--log-level", "warn", NULL
};

union note notes[MAX_NOTES];
unsigned int num_notes;

void hear(unsigned int ms)
{
	while (num_notes < MAX_NOTES &&
	       fe_note(&fe, &notes[num_notes], sizeof(notes[0]), ms) > 0)
		num_notes++;
}

bool silent(void)
{
	num_notes = 0;
	hear(SILENCE);
	return !num_notes;
}

bool heard_inode(uint64_t node, int64_t offset)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == FUSE_NOTIFY_INVAL_INODE &&
		    notes[i].inode.arg.ino == node &&
		    notes[i].inode.arg.off == offset)
			return true;
	return false;
}

bool heard_shown(uint64_t node)
{
	return num_notes == 1 && heard_inode(node, 0) &&
	       notes[0].inode.arg.len == -1;
}

bool heard_entry(uint64_t dir, const char *name)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == FUSE_NOTIFY_INVAL_ENTRY &&
		    notes[i].entry.arg.parent == dir &&
		    notes[i].entry.arg.namelen == strlen(name) &&
		    !strcmp(notes[i].entry.name, name))
			return true;
	return false;
}

bool heard_gone(uint64_t dir, uint64_t child, const char *name)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == FUSE_NOTIFY_DELETE &&
		    notes[i].gone.arg.parent == dir &&
		    notes[i].gone.arg.child == child &&
		    !strcmp(notes[i].gone.name, name))
			return true;
	return false;
}

bool heard_epoch(void)
{
	for (unsigned int i = 0; i < num_notes; i++)
		if (notes[i].header.error == INC_EPOCH)
			return true;
	return false;
}

bool barrier(void)
{
	num_notes = 0;
	fe_request_begin(&fe, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0,
			 sizeof(struct fuse_statfs_out));
	/* The answer may have to wait for our buffers. */
	for (unsigned int i = 0; i < 2000 && !fe_pending(&fe, 2); i++)
		hear(i > 100);
	if (fe_request_end(&fe, NULL, 0, NULL))
		return false;
	hear(0);
	return true;
}

bool session(uint64_t flags, struct fuse_init_out *out)
{
	return fe_init_flags(&fe, FUSE_INIT_EXT | flags, out) == 0;
}

bool begin_with(const char *const *args, uint64_t flags)
{
	struct fuse_init_out out;

	return fe_begin(&fe, args) && session(flags, &out) &&
	       ((uint64_t)out.flags2 << 32 & (ORDERED | FSNOTIFY)) == flags;
}

bool begin(void)
{
	return begin_with(options, ORDERED);
}

int look_up(uint64_t dir, const char *name, struct fuse_entry_out *entry)
{
	return fe_request(&fe, FUSE_LOOKUP, dir, name, strlen(name) + 1, entry,
			  sizeof(*entry), NULL);
}

bool getattr(uint64_t node, struct fuse_attr_out *out)
{
	struct fuse_getattr_in in = { 0 };

	return fe_request(&fe, FUSE_GETATTR, node, &in, sizeof(in), out,
			  sizeof(*out), NULL) == 0;
}

void forget(uint64_t node, uint64_t count)
{
	struct fuse_forget_in in = { .nlookup = count };

	fe_request_begin(&fe, FUSE_FORGET, node, &in, sizeof(in), 0);
	fe_complete(&fe, 0);
}

bool put(const char *name, const char *text, int flags)
{
	int fd = open(fe_path(&fe, name), O_WRONLY | flags, 0644);
	bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done;
}
