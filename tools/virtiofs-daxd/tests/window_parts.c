// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon and the library in QEMU together: what they promise by FUSE_MAP_REPLACE
 * and FUSE_MAP_SPLIT. A thread looks at the window meanwhile, as a guest does that
 * goes on using what is mapped.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#include "fuse/fuse_complete.h"
#include "window_session.h"

#define PARTS (FUSE_MAP_REPLACE | FUSE_MAP_SPLIT)

/* Flags of the answer to an INIT with these, beside what all guests ask for. */
static uint64_t answered(uint64_t asked)
{
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.flags = FUSE_MAP_ALIGNMENT | asked,
		.flags2 = asked >> 32,
	};
	struct fuse_init_out out = { 0 };

	if (fe_request(&fe, FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out),
		       NULL))
		return -1;
	return out.flags | (uint64_t)out.flags2 << 32;
}

/* ---- tests ---- */

static void it_says_so(void)
{
	CHECK(begin(with_window, let_connect));
	CHECK((answered(FUSE_INIT_EXT | PARTS) & PARTS) == PARTS);
	CHECK((answered(FUSE_INIT_EXT | FUSE_MAP_SPLIT) & PARTS) ==
	      FUSE_MAP_SPLIT);
	/* Nobody gets what he does not know, and what nobody implements. */
	CHECK(!(answered(FUSE_INIT_EXT | FUSE_HAS_INODE_DAX) & PARTS));
	CHECK(!(answered(PARTS) >> 32));
	CHECK((answered(FUSE_INIT_EXT | UINT64_MAX << 44) >> 44) ==
	      PARTS >> 44);
	CHECK(fe_end(&fe) == 0);
}

static void stock_maps_cannot(void)
{
	CHECK(begin(with_window, NULL));
	CHECK(!(answered(FUSE_INIT_EXT | PARTS) & PARTS));
	CHECK(answered(FUSE_INIT_EXT | FUSE_HAS_INODE_DAX) &
	      FUSE_HAS_INODE_DAX);
	CHECK(fe_end(&fe) == 0);
}

/* What a watcher looks at, and what it may see there. */
static struct watch {
	pthread_t thread;
	uint64_t at, len;
	unsigned char one, other;
	bool stop, looked;
	unsigned long wrong;
} watched;

static void *look(void *arg)
{
	struct watch *watch = arg;

	while (!__atomic_load_n(&watch->stop, __ATOMIC_RELAXED)) {
		for (uint64_t i = 0; i < watch->len; i += 4096) {
			unsigned char byte = *(volatile unsigned char *)
				&fe.window[watch->at + i];

			watch->wrong += byte != watch->one &&
					byte != watch->other;
		}
		__atomic_store_n(&watch->looked, true, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* What comes next is seen by the watcher, however busy the machine is. */
static void watch_begin(uint64_t at, uint64_t len, unsigned char one,
			unsigned char other)
{
	watched = (struct watch){ .at = at, .len = len, .one = one,
				  .other = other };
	CHECK(!pthread_create(&watched.thread, NULL, look, &watched));
	while (!__atomic_load_n(&watched.looked, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* Whether it saw nothing but what it may. */
static bool watch_end(void)
{
	__atomic_store_n(&watched.stop, true, __ATOMIC_RELAXED);
	pthread_join(watched.thread, NULL);
	return !watched.wrong;
}

/* A file of one byte, over and over. */
static uint64_t make_of(const char *name, unsigned char byte, size_t size)
{
	int fd = open(fe_path(&fe, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	char *data = malloc(size);
	bool ok;

	memset(data, byte, size);
	ok = fd >= 0 && write(fd, data, size) == (ssize_t)size;
	close(fd);
	free(data);
	return ok ? fe_lookup(&fe, name, NULL) : 0;
}

static bool is_all(uint64_t at, uint64_t len, unsigned char byte)
{
	for (uint64_t i = 0; i < len; i++)
		if ((unsigned char)fe.window[at + i] != byte)
			return false;
	return true;
}

static void a_setup_replaces_at_once(void)
{
	uint64_t a, b;

	CHECK(begin(with_window, let_connect));
	a = make_of("a", 'a', 4 * RANGE);
	b = make_of("b", 'b', 4 * RANGE);
	CHECK(a && b && fe_setup(&fe, a, 0, 4 * RANGE, 0, true) == 0);
	watch_begin(RANGE, 2 * RANGE, 'a', 'b');
	for (int i = 0; i < 200; i++)
		CHECK(fe_setup(&fe, i & 1 ? a : b, RANGE, 2 * RANGE, RANGE,
			       i & 2) == 0);
	CHECK(watch_end());
	/* Across two that are there, of which the rests stay. */
	CHECK(fe_setup(&fe, b, 0, RANGE, RANGE / 2, true) == 0);
	CHECK(is_all(0, RANGE / 2, 'a') && is_all(RANGE / 2, RANGE, 'b') &&
	      is_all(RANGE + RANGE / 2, 5 * RANGE / 2, 'a'));
	/* And stores go where they should. */
	memset(fe.window, 'x', 4 * RANGE);
	CHECK(fe_setup(&fe, a, 0, 4 * RANGE, 4 * RANGE, false) == 0 &&
	      fe_setup(&fe, b, 0, 4 * RANGE, 8 * RANGE, false) == 0);
	CHECK(is_all(4 * RANGE, RANGE / 2, 'x') &&
	      is_all(4 * RANGE + RANGE / 2, RANGE, 'a') &&
	      is_all(4 * RANGE + 3 * RANGE / 2, 5 * RANGE / 2, 'x') &&
	      is_all(8 * RANGE, RANGE, 'x') &&
	      is_all(9 * RANGE, 3 * RANGE, 'b'));
	CHECK(fe.maps_made == 1 && fe_end(&fe) == 0);
}

static void a_setup_that_fails_leaves_the_rest(void)
{
	uint64_t a;

	CHECK(begin(with_window, let_connect));
	a = make_of("a", 'a', 4 * RANGE);
	CHECK(a && fe_setup(&fe, a, 0, 4 * RANGE, 0, true) == 0);
	watch_begin(0, 4 * RANGE, 'a', 'a');
	CHECK(fe_setup(&fe, 12345, 0, RANGE, RANGE, true) == -ENOENT);
	CHECK(fe_setup(&fe, a, 0, RANGE, RANGE + 512, true) == -EINVAL);
	CHECK(fe_setup(&fe, a, 512, RANGE, RANGE, true) == -EINVAL);
	CHECK(fe_setup(&fe, a, 0, 0, RANGE, true) == -EINVAL);
	CHECK(fe_setup(&fe, a, 0, FE_WINDOW, RANGE, true) == -EINVAL);
	CHECK(fe_setup(&fe, a, 0, UINT64_MAX, RANGE, true) == -EINVAL);
	CHECK(fe_setup(&fe, a, UINT64_MAX & ~4095ull, RANGE, RANGE, true) ==
	      -EINVAL);
	CHECK(watch_end() && fe_end(&fe) == 0);
}

static void a_part_is_removed_alone(void)
{
	uint64_t a;

	CHECK(begin(with_window, let_connect));
	a = make_of("a", 'a', 8 * RANGE);
	CHECK(a && fe_setup(&fe, a, 0, 8 * RANGE, 0, true) == 0);
	watch_begin(4 * RANGE, RANGE, 'a', 'y');
	for (int i = 0; i < 50; i++) {
		/* From its middle, its end, its start. */
		CHECK(fe_remove(&fe, 2 * RANGE, RANGE) == 0 &&
		      fe_remove(&fe, 6 * RANGE, 2 * RANGE) == 0 &&
		      fe_remove(&fe, 0, RANGE) == 0);
		CHECK(is_all(0, RANGE, 0) && is_all(RANGE, RANGE, 'a') &&
		      is_all(2 * RANGE, RANGE, 0) &&
		      is_all(6 * RANGE, 2 * RANGE, 0));
		CHECK(fe_setup(&fe, a, 0, RANGE, 0, true) == 0 &&
		      fe_setup(&fe, a, 2 * RANGE, RANGE, 2 * RANGE, true) ==
		      0 &&
		      fe_setup(&fe, a, 6 * RANGE, 2 * RANGE, 6 * RANGE, true)
		      == 0);
	}
	/* What is stored to the rest is stored to the file. */
	CHECK(fe_remove(&fe, 2 * RANGE, RANGE) == 0);
	memset(fe.window + 4 * RANGE, 'y', RANGE);
	CHECK(watch_end());
	CHECK(fe_setup(&fe, a, 0, 8 * RANGE, 8 * RANGE, false) == 0);
	CHECK(is_all(8 * RANGE, 4 * RANGE, 'a') &&
	      is_all(12 * RANGE, RANGE, 'y') &&
	      is_all(13 * RANGE, 3 * RANGE, 'a'));
	CHECK(fe.maps_made == 1 && fe_end(&fe) == 0);
}

static void a_remove_that_fails_leaves_all(void)
{
	static const char *const options[] = {
		"--dax-window", "64M", "--dax-budget", "2", NULL
	};
	uint64_t a;

	CHECK(begin(options, let_connect));
	a = make_of("a", 'a', 4 * RANGE);
	CHECK(a && fe_setup(&fe, a, 0, 4 * RANGE, 0, true) == 0);
	watch_begin(0, 4 * RANGE, 'a', 'a');
	CHECK(fe_remove(&fe, RANGE, 0) == -EINVAL &&
	      fe_remove(&fe, RANGE + 512, RANGE) == -EINVAL &&
	      fe_remove(&fe, RANGE, FE_WINDOW) == -EINVAL &&
	      fe_remove(&fe, RANGE, UINT64_MAX) == -EINVAL &&
	      fe_remove(&fe, FE_WINDOW, RANGE) == -EINVAL);
	/* A part of what would then be one too many. */
	CHECK(fe_setup(&fe, a, 0, RANGE, 8 * RANGE, true) == 0);
	CHECK(fe_remove(&fe, RANGE, RANGE) == -ENOMEM && watch_end());
	CHECK(fe_remove(&fe, 2 * RANGE, 2 * RANGE) == 0 &&
	      is_all(0, 2 * RANGE, 'a') && is_all(2 * RANGE, 2 * RANGE, 0));
	CHECK(fe_remove(&fe, 0, FE_WINDOW) == 0 && is_all(0, FE_WINDOW, 0));
	CHECK(fe_end(&fe) == 0);
}

IN_CHILD(it_says_so)
IN_CHILD(stock_maps_cannot)
IN_CHILD(a_setup_replaces_at_once)
IN_CHILD(a_setup_that_fails_leaves_the_rest)
IN_CHILD(a_part_is_removed_alone)
IN_CHILD(a_remove_that_fails_leaves_all)

static const struct fs_test tests[] = {
	TEST_ALONE(it_says_so),
	TEST_ALONE(stock_maps_cannot),
	TEST_ALONE(a_setup_replaces_at_once),
	TEST_ALONE(a_setup_that_fails_leaves_the_rest),
	TEST_ALONE(a_part_is_removed_alone),
	TEST_ALONE(a_remove_that_fails_leaves_all),
};

int main(int argc, char **argv)
{
	return window_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
