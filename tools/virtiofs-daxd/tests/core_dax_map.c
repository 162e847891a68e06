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

#include "dax/backing.h"
#include "dax/dax_map.h"
#include "fs_tap.h"
#include "guard/coherent.h"
#include "guard/guard.h"
#include "guard/watch.h"
#include "message/notify.h"
#include "passthrough/passthrough.h"
#include "vhost/vu_backend.h"

#define PAGE UINT64_C(4096)
#define PAGES 64
#define BUDGET 6
#define FILES 4

/* What a page shows: a file and a page of it, or nothing. */
struct shown {
	int file;
	uint64_t page;
	bool writable;
};

static struct shown window[PAGES];
static struct { uint64_t start, len; bool used; } maps[BUDGET + 1];
static bool broken;
static bool refuse;
/* What unmap says instead of doing it; and what map says that leaves it open. */
static int keep;
static int unmaps, maps_made;
static int files[FILES + 1];
static int write_error;

/* ---- memory ---- */

static bool no_memory;

void *__real_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

/* ---- the rest of the daemon, as far as the table sees it ---- */

static unsigned int stops;

unsigned int vu_backend_stops(const struct vu_backend *backend)
{
	(void)backend;
	return stops;
}

void vu_backend_stopped(struct vu_backend *backend)
{
	(void)backend;
	stops++;
}

void vu_backend_reset(struct vu_backend *backend)
{
	(void)backend;
}

/* Places that the library has reported, the last first. */
static uint64_t reports[4];
static unsigned int num_reports;
static uint64_t report_len = PAGE, report_count = 1;
static unsigned int more_reports;

uint64_t vu_backend_report(struct vu_backend *backend, uint64_t *shm_offset,
			   uint64_t *len)
{
	(void)backend;
	if (more_reports) {
		more_reports--;
		*shm_offset = 0;
		*len = PAGE;
		return 1;
	}
	if (!num_reports)
		return 0;
	*shm_offset = reports[--num_reports];
	*len = report_len;
	return report_count;
}

/* What the guest is told, the last of it. */
static struct { uint64_t nodeid; int64_t offset, len; } last_told;
static int num_told;
static bool told_all;

void notify_inval_inode(uint64_t nodeid, int64_t offset, int64_t len)
{
	last_told.nodeid = nodeid;
	last_told.offset = offset;
	last_told.len = len;
	num_told++;
}

void notify_all_changed(void)
{
	told_all = true;
}

void coherent_changed(uint64_t nodeid)
{
	(void)nodeid;
}

struct watch *watch_add(const struct pt_key *key, int fd, uint64_t nodeid)
{
	(void)key;
	(void)fd;
	(void)nodeid;
	return NULL;
}

void watch_rename(struct watch *watch, uint64_t nodeid)
{
	(void)watch;
	(void)nodeid;
}

void watch_keep_fd(struct watch *watch, int *fd)
{
	(void)watch;
	(void)fd;
}

void watch_remove(struct watch *watch, int *fd)
{
	(void)watch;
	(void)fd;
}

struct guarded *guard_add(const struct pt_key *key, int fd)
{
	(void)key;
	(void)fd;
	return NULL;
}

void guard_remove(struct guarded *file)
{
	(void)file;
}

void guard_removed(void)
{
}

static void show(const struct vu_map *map)
{
	/* The offset of a descriptor is the number of its file. */
	int file = lseek(map->fd, 0, SEEK_CUR);

	for (uint64_t i = 0; i < map->len / PAGE; i++)
		window[map->shm_offset / PAGE + i] = (struct shown){
			file, map->fd_offset / PAGE + i, map->writable };
	maps_made++;
}

int vu_backend_map(struct vu_backend *backend, const struct vu_map *map)
{
	unsigned int slot = 0;

	if (refuse)
		return keep ? -ENOTRECOVERABLE : -ENOMEM;
	broken |= map->shm_offset + map->len > PAGES * PAGE || !map->len;
	if (!broken && backend->one_map) {
		show(map);
		return 0;
	}
	while (slot < BUDGET && maps[slot].used)
		slot++;
	/* One more than the budget, an overlap, or outside: QEMU's end. */
	broken |= slot == BUDGET;
	for (uint64_t i = 0; !broken && i < map->len / PAGE; i++)
		broken |= window[map->shm_offset / PAGE + i].file != 0;
	if (broken)
		return -ENOMEM;
	maps[slot].used = true;
	maps[slot].start = map->shm_offset;
	maps[slot].len = map->len;
	show(map);
	return 0;
}

static void blank(uint64_t shm_offset, uint64_t len)
{
	memset(&window[shm_offset / PAGE], 0, len / PAGE * sizeof(window[0]));
	unmaps++;
}

int vu_backend_unmap(struct vu_backend *backend, uint64_t shm_offset,
		     uint64_t len)
{
	if (backend->one_map && keep)
		return keep;
	if (backend->one_map) {
		blank(shm_offset, len);
		return 0;
	}
	for (unsigned int i = 0; i <= BUDGET; i++) {
		if (!maps[i].used || maps[i].start != shm_offset ||
		    maps[i].len != len)
			continue;
		maps[i].used = false;
		blank(shm_offset, len);
		return 0;
	}
	broken = true;
	return -EINVAL;
}

/* So that there can be more files than descriptors. */
static uint64_t node_base;

int pt_node_key(struct pt *pt, uint64_t nodeid, struct pt_key *key)
{
	(void)pt;
	if (nodeid > FILES)
		return -ENOENT;
	key->dev = 1;
	key->ino = node_base + nodeid;
	return 0;
}

/* A descriptor of its own, with the file's number as its offset. */
static int reopen(int fd, int flags)
{
	char path[64];
	int shown;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	shown = open(path, flags);
	for (int i = 1; i <= FILES; i++) {
		struct stat a, b;

		fstat(fd, &a);
		fstat(files[i], &b);
		if (a.st_ino == b.st_ino)
			lseek(shown, i, SEEK_SET);
	}
	return shown;
}

int pt_node_open(struct pt *pt, uint64_t nodeid, int flags)
{
	(void)pt;
	if (flags == O_RDWR && write_error)
		return write_error;
	return reopen(files[nodeid], flags);
}

int backing_open(struct backing *backing, int fd)
{
	(void)backing;
	return reopen(fd, O_RDWR);
}

int backing_open_copy(struct backing *backing, int fd)
{
	return backing_open(backing, fd);
}

/* ---- tests ---- */

static struct dax_map *set_up(bool one_map)
{
	static struct vu_backend backend;
	const struct dax_map_options opts = {
		.window = PAGES * PAGE,
		.budget = BUDGET,
		.one_map_budget = BUDGET,
		/* Only ever handed on. */
		.backing = (struct backing *)&backend,
		.backend = &backend,
	};

	backend.one_map = one_map;
	backend.maps = BUDGET;
	memset(window, 0, sizeof(window));
	memset(maps, 0, sizeof(maps));
	broken = refuse = false;
	keep = 0;
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
	struct dax_map *map = set_up(false);

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
	struct dax_map *map = set_up(false);

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
	struct dax_map *map = set_up(false);

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
	struct dax_map *map = set_up(false);

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
	struct dax_map *map = set_up(false);

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
	struct dax_map *map = set_up(false);

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
static void random_maps_of(struct dax_map *map)
{
	struct shown want[PAGES] = { { 0 } };
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
					(struct shown){ file, page + j, 0 } :
					(struct shown){ 0 };
		}
		for (uint64_t j = 0; j < PAGES; j++)
			CHECK(shows(j, want[j].file, want[j].page, 1));
	}
	CHECK(refused > 1000 && refused < 90000);
	dax_map_drop(map);
	CHECK(shows(0, 0, 0, PAGES));
	dax_map_free(map);
}

static void random_maps(void)
{
	random_maps_of(set_up(false));
}

static void random_maps_of_one(void)
{
	random_maps_of(set_up(true));
	/* Nothing is shown again because of what happens beside it. */
	CHECK(maps_made < 100000);
}

/* A replacement is one call, and so is to show nothing in many regions. */
static void one_map_needs_few_calls(void)
{
	struct dax_map *map = set_up(true);

	CHECK(map && setup(map, 1, 0, 10, 0) == 0);
	CHECK(setup(map, 2, 0, 4, 3) == 0);
	CHECK(maps_made == 2 && unmaps == 0);
	CHECK(shows(0, 1, 0, 3) && shows(3, 2, 0, 4) && shows(7, 1, 7, 3));
	/* What is there already may be zeros by now: it is shown again. */
	CHECK(setup(map, 2, 0, 4, 3) == 0 && maps_made == 3);
	CHECK(dax_map_remove(map, PAGE, 8 * PAGE) == 0 && unmaps == 1);
	CHECK(shows(0, 1, 0, 1) && shows(1, 0, 0, 8) && shows(9, 1, 9, 1));
	CHECK(dax_map_remove(map, PAGE, 8 * PAGE) == 0 && unmaps == 1);
	dax_map_drop(map);
	CHECK(unmaps == 2 && shows(0, 0, 0, PAGES));
	dax_map_free(map);
}

static bool writable(uint64_t at, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (!window[at + i].writable)
			return false;
	return true;
}

/* To read a file it is opened for reading; to write it changes all its maps. */
static void writing_replaces_what_is_read(void)
{
	struct dax_map_stats stats;
	struct dax_map *map = set_up(true);

	CHECK(map && setup(map, 1, 0, 4, 0) == 0 && setup(map, 1, 8, 4, 8) == 0);
	CHECK(setup(map, 2, 0, 4, 16) == 0);
	CHECK(!window[0].writable && !window[8].writable);
	write_error = -ETXTBSY;
	CHECK(dax_map_setup(map, 1, 0, PAGE, 20 * PAGE, true) == -ETXTBSY);
	write_error = 0;
	CHECK(dax_map_setup(map, 1, 0, PAGE, 20 * PAGE, true) == 0);
	CHECK(writable(0, 4) && writable(8, 4) && writable(20, 1));
	CHECK(shows(0, 1, 0, 4) && shows(8, 1, 8, 4) && shows(20, 1, 0, 1));
	CHECK(!window[16].writable && maps_made == 6 && unmaps == 0);
	/* From then on it is not opened once more to read it. */
	CHECK(setup(map, 1, 20, 4, 24) == 0 && writable(24, 4));
	dax_map_get_stats(map, &stats);
	CHECK(stats.upgrades == 2 && stats.live == 5);
	dax_map_free(map);
}

static uint64_t live(struct dax_map *map)
{
	struct dax_map_stats stats;

	dax_map_get_stats(map, &stats);
	return stats.live;
}

/* The guest must not take for free what still shows a file. */
static void what_stays_is_told(void)
{
	struct dax_map *map = set_up(true);

	CHECK(map && setup(map, 1, 0, 8, 0) == 0 && setup(map, 2, 0, 4, 8) == 0);
	keep = -ENOMEM;
	CHECK(dax_map_remove(map, 2 * PAGE, 8 * PAGE) == -ENOMEM);
	/* All of it is there, if cut in two at both ends of what was to go. */
	CHECK(live(map) == 4 && shows(0, 1, 0, 8) && shows(8, 2, 0, 4));
	/* It is in the table, too: the next one finds it. */
	keep = 0;
	CHECK(dax_map_remove(map, 2 * PAGE, 8 * PAGE) == 0);
	CHECK(live(map) == 2 && shows(2, 0, 0, 8) && shows(10, 2, 2, 2));
	/* What could not be shown may have left what was there. */
	keep = -ENOMEM;
	refuse = true;
	CHECK(setup(map, 3, 0, 2, 10) == -ENOTRECOVERABLE);
	CHECK(live(map) == 2);
	CHECK(dax_map_remove(map, 10 * PAGE, 2 * PAGE) == -ENOMEM);
	keep = 0;
	CHECK(dax_map_remove(map, 10 * PAGE, 2 * PAGE) == 0);
	CHECK(live(map) == 1 && shows(2, 0, 0, 20));
	refuse = false;
	/* The same for a map that was to become writable. */
	CHECK(setup(map, 2, 0, 4, 8) == 0);
	keep = -ENOMEM;
	refuse = true;
	CHECK(dax_map_setup(map, 2, 0, PAGE, 20 * PAGE, true) == -ENOMEM);
	CHECK(live(map) == 3);
	keep = 0;
	refuse = false;
	CHECK(dax_map_remove(map, 8 * PAGE, 20 * PAGE) == 0 && live(map) == 1);
	/* At the end of a session all are tried, and without a library given up. */
	keep = -ENOMEM;
	dax_map_drop(map);
	CHECK(live(map) == 1);
	keep = -ENOTCONN;
	CHECK(dax_map_remove(map, 0, PAGE) == -ENOTCONN && live(map) == 2);
	dax_map_drop(map);
	CHECK(live(map) == 0);
	dax_map_free(map);
}

static bool lost(struct dax_map *map, uint64_t ino)
{
	return dax_map_lost(map, &(struct pt_key){ .dev = 1, .ino = ino },
			    DAX_LOST_ALL);
}

/* Of a page that the guest might store to it is told until it has gone, and then. */
static void lost_pages(void)
{
	struct dax_map_stats stats;
	struct dax_map *map = set_up(true);

	CHECK(map && setup(map, 1, 0, 4, 0) == 0);
	CHECK(dax_map_setup(map, 2, 0, 4 * PAGE, 8 * PAGE, true) == 0);
	CHECK(dax_map_setup(map, 3, 0, 4 * PAGE, 16 * PAGE, true) == 0);
	reports[0] = PAGE;
	reports[1] = 9 * PAGE;
	reports[2] = 40 * PAGE;
	reports[3] = 11 * PAGE;
	num_reports = 4;
	CHECK(!lost(map, 1) && lost(map, 2) && lost(map, 2) && !lost(map, 3));
	dax_map_get_stats(map, &stats);
	CHECK(stats.lost == 4);
	/* It is known when the maps are gone, too. */
	reports[0] = 16 * PAGE;
	num_reports = 1;
	dax_map_take_reports(map);
	dax_map_drop(map);
	CHECK(lost(map, 3) && !lost(map, 3));
	CHECK(lost(map, 2) && !lost(map, 2) && !lost(map, 1));
	dax_map_free(map);
}

static bool told(struct dax_map *map, uint64_t ino, unsigned int to)
{
	return dax_map_lost(map, &(struct pt_key){ .dev = 1, .ino = ino }, to);
}

/* A sync tells it even if a close did before, but not the other way round. */
static void all_who_ask_are_told(void)
{
	struct dax_map *map = set_up(true);

	CHECK(map && dax_map_setup(map, 1, 0, 4 * PAGE, 0, true) == 0);
	CHECK(setup(map, 2, 0, 4, 4) == 0);
	reports[0] = 0;
	reports[1] = 4 * PAGE;
	num_reports = 2;
	CHECK(dax_map_any_lost(map) && dax_map_any_lost(map));
	CHECK(told(map, 1, DAX_LOST_CLOSE) && told(map, 1, DAX_LOST_CLOSE));
	CHECK(!told(map, 2, DAX_LOST_ALL));
	/* Of a file that has gone, too. */
	dax_map_drop(map);
	CHECK(dax_map_any_lost(map) && !dax_map_any_lost(map));
	CHECK(told(map, 1, DAX_LOST_CLOSE) && !told(map, 1, DAX_LOST_CLOSE));
	CHECK(told(map, 1, DAX_LOST_ALL) && !told(map, 1, DAX_LOST_ALL));
	dax_map_free(map);
}

/* However many there are. */
static void many_files_are_lost(void)
{
	struct dax_map *map = set_up(true);

	CHECK(map);
	for (uint64_t i = 1; i <= 1000; i++) {
		node_base = i * FILES;
		CHECK(dax_map_setup(map, 1, 0, PAGE, 0, true) == 0);
		reports[0] = 0;
		num_reports = 1;
	}
	dax_map_drop(map);
	for (uint64_t i = 1; i <= 1000; i++)
		CHECK(told(map, i * FILES + 1, DAX_LOST_ALL));
	CHECK(!told(map, FILES + 1, DAX_LOST_ALL));
	node_base = 0;
	dax_map_free(map);
}

/* One place may be of several files, of which it is told when it is asked. */
static void all_that_is_lost_is_told(void)
{
	struct dax_map *map = set_up(true);

	CHECK(map);
	for (int i = 1; i <= 3; i++)
		CHECK(dax_map_setup(map, i, 0, 4 * PAGE, 8 * PAGE * i,
				    true) == 0);
	num_told = 0;
	report_len = 16 * PAGE;
	reports[0] = 8 * PAGE;
	num_reports = 1;
	CHECK(!lost(map, 3) && lost(map, 1) && lost(map, 2) && lost(map, 1));
	CHECK(num_told == 2 && last_told.nodeid == 2 && last_told.offset == 0 &&
	      last_told.len == (int64_t)(4 * PAGE));
	/* What is shown anew has none. */
	CHECK(dax_map_setup(map, 2, 0, 4 * PAGE, 16 * PAGE, true) == 0);
	CHECK(lost(map, 2) && !lost(map, 2));
	/* The map is gone before anybody has looked; another is there. */
	report_len = PAGE;
	reports[0] = 8 * PAGE;
	num_reports = 1;
	CHECK(dax_map_setup(map, 2, 0, 4 * PAGE, 8 * PAGE, true) == 0);
	CHECK(!lost(map, 2) && lost(map, 1));
	/* Where it was, in part, is not known. */
	report_count = 2;
	reports[0] = 8 * PAGE;
	num_reports = 1;
	CHECK(!told_all);
	CHECK(!lost(map, 1) && lost(map, 2) && lost(map, 3) && !lost(map, 3));
	CHECK(told_all && num_told == 3);
	report_count = 1;
	dax_map_free(map);
}
/* A guest that touches what is gone again and again keeps nobody busy for ever. */
static void reports_without_end(void)
{
	struct dax_map *map = set_up(true);

	CHECK(map && dax_map_setup(map, 1, 0, 4 * PAGE, 0, true) == 0);
	more_reports = 1000000;
	CHECK(lost(map, 1) && more_reports > 900000);
	more_reports = 0;
	dax_map_free(map);
}

/* There is no memory for the second half: nothing is taken away, and all is left. */
static void a_part_that_cannot_be_cut_stays(void)
{
	struct dax_map_stats stats;
	struct dax_map *map = set_up(true);

	CHECK(map && setup(map, 1, 0, 12, 0) == 0);
	no_memory = true;
	CHECK(dax_map_remove(map, 4 * PAGE, 4 * PAGE) == -ENOMEM);
	no_memory = false;
	CHECK(shows(0, 1, 0, 12));
	dax_map_get_stats(map, &stats);
	CHECK(stats.live == 1 && stats.splits == 0);
	CHECK(dax_map_remove(map, 4 * PAGE, 4 * PAGE) == 0);
	CHECK(shows(0, 1, 0, 4) && shows(4, 0, 0, 4) && shows(8, 1, 8, 4));
	dax_map_get_stats(map, &stats);
	CHECK(stats.live == 2);
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
	TEST(random_maps_of_one),
	TEST(one_map_needs_few_calls),
	TEST(a_part_that_cannot_be_cut_stays),
	TEST(writing_replaces_what_is_read),
	TEST(what_stays_is_told),
	TEST(lost_pages),
	TEST(all_who_ask_are_told),
	TEST(many_files_are_lost),
	TEST(all_that_is_lost_is_told),
	TEST(reports_without_end),
};

int main(int argc, char **argv)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]),
			 argc > 1 ? argv[1] : NULL);
}
