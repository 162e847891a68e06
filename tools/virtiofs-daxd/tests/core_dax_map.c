// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The window's table against a front-end that keeps QEMU's rules and notes what
 * each page of the window shows.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../backing.h"
#include "../dax_map.h"
#include "../passthrough.h"
#include "../vu_backend.h"
#include "fs_tap.h"

#define PAGE UINT64_C(4096)
#define PAGES 64
#define BUDGET 6
#define FILES 4

/* What a page shows: a file and a page of it, or nothing. */
struct shown {
	int file;
	uint64_t page;
};

static struct shown window[PAGES];
static struct { uint64_t start, len; bool used; } maps[BUDGET + 1];
static bool broken;
static bool refuse;
static int unmaps, maps_made;
static int files[FILES + 1];
static int write_error;

/* ---- the rest of the daemon, as far as the table sees it ---- */

int vu_backend_map(struct vu_backend *backend, int fd, uint64_t fd_offset,
		   uint64_t shm_offset, uint64_t len, bool writable)
{
	unsigned int slot = 0;
	int file = 0;

	(void)backend;
	(void)writable;
	if (refuse)
		return -ENOMEM;
	while (slot < BUDGET && maps[slot].used)
		slot++;
	/* One more than the budget, an overlap, or outside: QEMU's end. */
	broken |= slot == BUDGET || shm_offset + len > PAGES * PAGE || !len;
	for (uint64_t i = 0; !broken && i < len / PAGE; i++)
		broken |= window[shm_offset / PAGE + i].file != 0;
	if (broken)
		return -ENOMEM;
	/* The offset of a descriptor is the number of its file. */
	file = lseek(fd, 0, SEEK_CUR);
	maps[slot].used = true;
	maps[slot].start = shm_offset;
	maps[slot].len = len;
	for (uint64_t i = 0; i < len / PAGE; i++)
		window[shm_offset / PAGE + i] =
			(struct shown){ file, fd_offset / PAGE + i };
	maps_made++;
	return 0;
}

int vu_backend_unmap(struct vu_backend *backend, uint64_t shm_offset,
		     uint64_t len)
{
	(void)backend;
	for (unsigned int i = 0; i <= BUDGET; i++) {
		if (!maps[i].used || maps[i].start != shm_offset ||
		    maps[i].len != len)
			continue;
		maps[i].used = false;
		memset(&window[shm_offset / PAGE], 0,
		       len / PAGE * sizeof(window[0]));
		unmaps++;
		return 0;
	}
	broken = true;
	return -EINVAL;
}

int pt_node_key(struct pt *pt, uint64_t nodeid, struct pt_key *key)
{
	(void)pt;
	if (nodeid > FILES)
		return -ENOENT;
	key->dev = 1;
	key->ino = nodeid;
	return 0;
}

int pt_node_open(struct pt *pt, uint64_t nodeid, int flags)
{
	(void)pt;
	if (flags == O_RDWR && write_error)
		return write_error;
	return dup(files[nodeid]);
}

/* The descriptor, with the file's number as its offset. */
int backing_open(struct backing *backing, int fd)
{
	char path[64];
	int shown;

	(void)backing;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	shown = open(path, O_RDWR);
	for (int i = 1; i <= FILES; i++) {
		struct stat a, b;

		fstat(fd, &a);
		fstat(files[i], &b);
		if (a.st_ino == b.st_ino)
			lseek(shown, i, SEEK_SET);
	}
	return shown;
}

int backing_open_copy(struct backing *backing, int fd)
{
	return backing_open(backing, fd);
}

/* ---- tests ---- */

static struct dax_map *set_up(void)
{
	const struct dax_map_options opts = {
		.window = PAGES * PAGE,
		.budget = BUDGET,
	};

	memset(window, 0, sizeof(window));
	memset(maps, 0, sizeof(maps));
	broken = refuse = false;
	unmaps = maps_made = write_error = 0;
	for (int i = 1; i <= FILES; i++) {
		if (!files[i])
			files[i] = memfd_create("file", 0);
		if (ftruncate(files[i], 100 * PAGE))
			return NULL;
	}
	return dax_map_new(&opts);
}

static bool shows(uint64_t at, int file, uint64_t page, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (window[at + i].file != file ||
		    (file && window[at + i].page != page + i))
			return false;
	return true;
}

static int setup(struct dax_map *map, int file, uint64_t page, uint64_t count,
		 uint64_t at)
{
	return dax_map_setup(map, file, page * PAGE, count * PAGE, at * PAGE,
			     false);
}

static void same_again_needs_nothing(void)
{
	struct dax_map *map = set_up();

	CHECK(map && setup(map, 1, 3, 10, 20) == 0);
	CHECK(setup(map, 1, 3, 10, 20) == 0);
	CHECK(setup(map, 1, 5, 2, 22) == 0);
	CHECK(dax_map_setup(map, 1, 3 * PAGE, 10 * PAGE, 20 * PAGE, true) == 0);
	CHECK(maps_made == 1 && unmaps == 0);
	/* Shifted by a page it is something else. */
	CHECK(setup(map, 1, 4, 10, 20) == 0);
	CHECK(maps_made == 2 && unmaps == 1 && shows(20, 1, 4, 10));
	dax_map_free(map);
}

static void lengths_count_in_pages(void)
{
	struct dax_map *map = set_up();

	CHECK(map && dax_map_setup(map, 1, 0, 1, 0, false) == 0);
	CHECK(shows(0, 1, 0, 1) && shows(1, 0, 0, 1));
	CHECK(dax_map_setup(map, 1, 0, PAGE + 1, 0, false) == 0);
	CHECK(shows(0, 1, 0, 2) && shows(2, 0, 0, 1));
	CHECK(dax_map_remove(map, 0, PAGE + 1) == 0 && shows(0, 0, 0, PAGES));
	CHECK(dax_map_setup(map, 1, 0, PAGES * PAGE - 1, 0, false) == 0);
	CHECK(dax_map_setup(map, 1, 0, PAGES * PAGE + 1, 0, false) == -EINVAL);
	dax_map_free(map);
}

static void a_refusal_is_reported(void)
{
	struct dax_map_stats stats;
	struct dax_map *map = set_up();

	CHECK(map);
	refuse = true;
	CHECK(setup(map, 1, 0, 1, 0) == -ENOMEM);
	refuse = false;
	CHECK(setup(map, 1, 0, 1, 0) == 0);
	dax_map_get_stats(map, &stats);
	CHECK(stats.errors == 1 && stats.setups == 1 && stats.live == 1);
	dax_map_free(map);
}

/* What cannot be shown again after a split is gone, and is not in the table. */
static void a_refused_remainder_is_dropped(void)
{
	struct dax_map *map = set_up();

	CHECK(map && setup(map, 1, 0, 10, 0) == 0);
	refuse = true;
	CHECK(dax_map_remove(map, 3 * PAGE, PAGE) == 0);
	refuse = false;
	CHECK(shows(0, 0, 0, PAGES));
	CHECK(setup(map, 2, 0, 10, 0) == 0 && !broken);
	dax_map_free(map);
}

static void write_needs_write_access(void)
{
	struct dax_map *map = set_up();

	CHECK(map);
	write_error = -EROFS;
	CHECK(dax_map_setup(map, 1, 0, PAGE, 0, true) == -EROFS);
	CHECK(setup(map, 1, 0, 1, 0) == 0);
	CHECK(dax_map_setup(map, 1, 0, PAGE, 0, true) == -EROFS);
	/* Once it is there, the file is mapped anew. */
	write_error = 0;
	CHECK(dax_map_setup(map, 1, 0, PAGE, 0, true) == 0);
	CHECK(unmaps == 1 && maps_made == 2);
	/* Other errors than of access are not got round by a copy. */
	write_error = -EMFILE;
	CHECK(setup(map, 2, 0, 1, 1) == -EMFILE);
	dax_map_free(map);
}

static void forgetting(void)
{
	struct dax_map *map = set_up();

	CHECK(map && setup(map, 1, 0, 4, 0) == 0);
	dax_map_stopped(map);
	/* The front-end drops it by the reset; then comes a late one. */
	memset(window, 0, sizeof(window));
	memset(maps, 0, sizeof(maps));
	CHECK(setup(map, 2, 0, 4, 8) == 0);
	dax_map_forget(map);
	CHECK(!broken && unmaps == 1 && shows(0, 0, 0, PAGES));
	CHECK(setup(map, 1, 0, 4, 0) == 0);
	dax_map_drop(map);
	CHECK(!broken && unmaps == 2);
	dax_map_free(map);
}

/* Against a window in which everything is just written over. */
static void random_maps(void)
{
	struct shown want[PAGES] = { { 0 } };
	struct dax_map *map = set_up();
	unsigned int refused = 0;

	CHECK(map);
	srandom(815);
	for (int i = 0; i < 100000; i++) {
		uint64_t at = random() % PAGES;
		uint64_t count = 1 + random() % (random() % 2 ? 4 : 40);
		uint64_t page = random() % 20;
		int file = random() % (FILES + 1), err;

		if (file)
			err = setup(map, file, page, count, at);
		else
			err = dax_map_remove(map, at * PAGE, count * PAGE);
		CHECK(!broken);
		if (at + count > PAGES) {
			CHECK(err == -EINVAL);
		} else if (err) {
			CHECK(err == -ENOMEM);
			refused++;
		} else {
			for (uint64_t j = 0; j < count; j++)
				want[at + j] = file ?
					(struct shown){ file, page + j } :
					(struct shown){ 0 };
		}
		CHECK(!memcmp(window, want, sizeof(want)));
	}
	CHECK(refused > 1000 && refused < 90000);
	dax_map_drop(map);
	CHECK(shows(0, 0, 0, PAGES));
	dax_map_free(map);
}

static const struct fs_test tests[] = {
	TEST(same_again_needs_nothing),
	TEST(lengths_count_in_pages),
	TEST(a_refusal_is_reported),
	TEST(a_refused_remainder_is_dropped),
	TEST(write_needs_write_access),
	TEST(forgetting),
	TEST(random_maps),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
