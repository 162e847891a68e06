// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A storm of requests on the whole daemon: valid ones and others, many in flight,
 * with locks that wait, with stops, resets and new sessions in between. At the end
 * it still answers, and has neither grown nor kept descriptors.
 *
 *	storm DAEMON [REQUESTS [SEED]]
 *
 * REQUESTS are for all tests together. The requests and events are the same for
 * the same seed, but not the order in which the daemon's threads serve them.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "frontend.h"
#include "fs_tap.h"
#include "fuzz/encode.h"
#include "fuzz/share.h"

/* Each has two descriptors, and a place in memory for request and reply. */
#define SLOTS 64
#define OUT_AREA (1 << 20)
#define OUT_MAX (160 << 10)
#define IN_AREA (16 << 20)
#define IN_MAX (128 << 10)

/* Locks which may wait at a time, and how often what happens: once in so many. */
#define MAX_LOCKS 16
#define EVERY_STOP 2000
#define EVERY_RESET 7000
#define EVERY_BROKEN_RING 20000
#define EVERY_SESSION 10000

/*
 * What the daemon may have more at the end of a session than at that of the last one
 * of the first fifth. A build with sanitizers, which shows by its size, takes as much
 * again until it has seen all.
 */
#define MORE_MEMORY (2 << 20)
#define SANITIZED (16 << 20)
#define MORE_FDS 4

/*
 * A request under way; @queue 0 is that of high priority. With @spoiled descriptors
 * its answer may be anywhere.
 */
struct slot {
	bool used;
	bool spoiled;
	unsigned int queue;
	uint32_t opcode;
	uint64_t unique;
};

static struct frontend fe;
static struct slot slots[SLOTS];
static struct encode_known known;
static unsigned int in_flight[FE_QUEUES], locks;
static uint64_t seed, state;
static unsigned long requests = 400000;
static unsigned long served, succeeded, stops, resets, sessions;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static bool once_in(unsigned int n)
{
	return rnd() % n == 0;
}

/* ---- what the daemon has ---- */

/* Bytes of its own: without what it shares with the guest or others. */
static long daemon_memory(void)
{
	long size, resident, shared;
	char path[64];
	FILE *file;
	int n;

	snprintf(path, sizeof(path), "/proc/%d/statm", fe.child);
	file = fopen(path, "r");
	if (!file)
		return -1;
	n = fscanf(file, "%ld %ld %ld", &size, &resident, &shared);
	fclose(file);
	return n == 3 ? (resident - shared) * sysconf(_SC_PAGESIZE) : -1;
}

static int daemon_fds(void)
{
	char path[64];
	int n = 0;

	/* There is no gap for long, and a number is enough. */
	for (int fd = 0; fd < 4096; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", fe.child, fd);
		n += !faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW);
	}
	return n;
}

/* ---- requests ---- */

static char *out_buffer(unsigned int slot)
{
	return fe.memory + OUT_AREA + slot * OUT_MAX;
}

static char *in_buffer(unsigned int slot)
{
	return fe.memory + IN_AREA + slot * IN_MAX;
}

static void slot_done(struct slot *slot)
{
	slot->used = false;
	in_flight[slot->queue]--;
	locks -= slot->opcode == FUSE_SETLKW;
}

/* The next answer of a queue. */
static bool take_answer(unsigned int queue)
{
	int64_t len = fe_complete(&fe, queue);
	unsigned int i = fe.queues[queue].head / 2;
	const struct fuse_out_header *header;

	CHECK_OR(len >= 0, false);
	CHECK_OR(i < SLOTS && slots[i].used && slots[i].queue == queue, false);
	slot_done(&slots[i]);
	served++;
	header = (void *)in_buffer(i);
	if (len < (int64_t)sizeof(*header) || slots[i].spoiled)
		return true;
	CHECK_OR(header->len == len && header->unique == slots[i].unique, false);
	CHECK_OR(header->error <= 0 && header->error > -1000, false);
	succeeded += !header->error;
	if (!header->error)
		encode_learn(&known, slots[i].opcode, header + 1,
			     len - sizeof(*header));
	return true;
}

/* Makes descriptors that are wrong, but point to nothing that is in use. */
static void spoil(unsigned int i, uint64_t addr, uint32_t len)
{
	slots[i].spoiled = true;
	switch (rnd() % 4) {
	case 0:
		fe_desc(&fe, slots[i].queue, 2 * i, 0, len, 0, 0);
		break;
	case 1:
		fe_desc(&fe, slots[i].queue, 2 * i, addr, UINT32_MAX, 0, 0);
		break;
	case 2:
		/* A circle. */
		fe_desc(&fe, slots[i].queue, 2 * i, addr, len, 1, 2 * i);
		break;
	case 3:
		/* Its own second one, or none. */
		fe_desc(&fe, slots[i].queue, 2 * i, addr, len, rnd() % 8,
			once_in(2) ? 2 * i + 1 : FE_QUEUE_SIZE);
		break;
	}
}

static size_t reply_room(void)
{
	switch (rnd() % 8) {
	case 0:
		return rnd() % 64;
	case 1:
	case 2:
		return IN_MAX;
	}
	return 4096;
}

static void put_request(unsigned int i, uint32_t opcode, size_t len,
			bool may_spoil)
{
	const struct fuse_in_header *header = (void *)out_buffer(i);
	bool urgent = opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
		      opcode == FUSE_INTERRUPT;
	uint64_t out = fe_addr(&fe, out_buffer(i));
	unsigned int queue = urgent ? 0 : 1;
	size_t room = urgent ? 0 : reply_room();

	slots[i] = (struct slot){
		.used = true, .queue = queue, .opcode = opcode,
		.unique = header->unique,
	};
	in_flight[queue]++;
	locks += opcode == FUSE_SETLKW;
	fe_desc(&fe, queue, 2 * i, out, len, room ? 1 : 0, 2 * i + 1);
	fe_desc(&fe, queue, 2 * i + 1, fe_addr(&fe, in_buffer(i)), room, 2, 0);
	if (may_spoil && once_in(100))
		spoil(i, out, len);
	fe_submit(&fe, queue, 2 * i);
}

static unsigned int free_slot(void)
{
	unsigned int i = rnd() % SLOTS;

	while (slots[i].used)
		i = (i + 1) % SLOTS;
	return i;
}

/* A request of which all but the opcode is random. */
static void random_request(void)
{
	uint8_t bytes[128];
	struct input in = { bytes, sizeof(bytes) };
	unsigned int i = free_slot();
	size_t len;

	for (size_t n = 0; n < sizeof(bytes); n += 8)
		memcpy(bytes + n, &(uint64_t){ rnd() }, 8);
	/* Small bytes are small numbers, which succeed more often. */
	for (size_t n = 2; n < sizeof(bytes); n++)
		if (bytes[n] >= 32)
			bytes[n] &= 7;
		else
			bytes[n] *= 8;
	bytes[0] = once_in(20) ? bytes[0] : 1 + bytes[0] % 52;
	/* Mostly with a right length. */
	if (!once_in(30))
		bytes[1] &= 0x1f;
	/* These have events of their own. */
	if (bytes[0] == FUSE_INIT || bytes[0] == FUSE_DESTROY)
		bytes[0] = FUSE_LOOKUP;
	if (bytes[0] == FUSE_SETLKW && locks == MAX_LOCKS)
		bytes[0] = FUSE_SETLK;
	len = encode_request(&in, &known, out_buffer(i), OUT_MAX);
	put_request(i, bytes[0], len, true);
}

static bool drain(unsigned int queue)
{
	while (in_flight[queue])
		if (!take_answer(queue))
			return false;
	return true;
}

/* ---- events ---- */

/* As QEMU's main loop does nothing else while it stops or starts a device. */
static void hold_backend(bool hold)
{
	pthread_mutex_lock(&fe.lock);
	fe.hold = hold;
	pthread_cond_broadcast(&fe.changed);
	pthread_mutex_unlock(&fe.lock);
}

/* With requests under way; those that the daemon has not taken come later. */
static bool stop_and_go_on(void)
{
	stops++;
	hold_backend(true);
	CHECK_OR(fe_stop_queues(&fe), false);
	fe_start_queues(&fe, false);
	hold_backend(false);
	return true;
}

static bool begin_session(void)
{
	struct fuse_init_out out;

	encode_begin(&known);
	CHECK_OR(fe_init(&fe, &out) == 0, false);
	return true;
}

/* The front-end was asked for nothing that would end QEMU. */
static bool window_is_right(void)
{
	CHECK_OR(fe.maps_wrong == 0, false);
	CHECK_OR(fe.unmaps_refused == 0, false);
	return true;
}

/*
 * Of the requests under way nothing is heard any more. A map that was answered just
 * before may have gone by this without the daemon's knowledge: it removes what is
 * not there, before it serves the new session.
 */
static bool reset(void)
{
	resets++;
	if (!window_is_right())
		return false;
	hold_backend(true);
	CHECK_OR(fe_stop_queues(&fe), false);
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].used)
			slot_done(&slots[i]);
	fe_reset(&fe);
	fe_start_queues(&fe, true);
	hold_backend(false);
	if (!begin_session())
		return false;
	fe.unmaps_refused = 0;
	return true;
}

static bool broken_ring(void)
{
	fe_submit(&fe, rnd() % FE_QUEUES, 0xfff0);
	return reset();
}

/* DESTROY answers the locks that wait; what comes after it is counted. */
static bool end_session(void)
{
	unsigned int i = free_slot();
	struct input none = { (const uint8_t *)"\x26", 1 };
	size_t len = encode_request(&none, &known, out_buffer(i), OUT_MAX);

	put_request(i, FUSE_DESTROY, len, false);
	return drain(0) && drain(1);
}

/*
 * The daemon keeps requests that are not in use, and has all of their memory once a
 * long one has come to each. So that comes first: as many locks that wait, with all
 * that may be said behind them.
 */
static bool fill_requests(void)
{
	uint64_t file = fe_make(&fe, "locked", 1);
	struct fuse_lk_in in = { .lk = { .end = 9, .type = F_WRLCK } };
	int error = -1;

	in.fh = fe_open(&fe, file, O_RDWR, &error);
	CHECK_OR(error == 0, false);
	CHECK_OR(fe_request(&fe, FUSE_SETLK, file, &in, sizeof(in), NULL, 0,
			    NULL) == 0, false);
	/* One remains for the end of the session */
	for (unsigned int i = 0; i < SLOTS - 1; i++) {
		struct fuse_in_header *header = (void *)out_buffer(i);

		*header = (struct fuse_in_header){
			.len = sizeof(*header) + sizeof(in),
			.opcode = FUSE_SETLKW, .unique = 2 * (i + 1),
			.nodeid = file,
		};
		in.owner = i + 1;
		memcpy(header + 1, &in, sizeof(in));
		put_request(i, FUSE_SETLKW, OUT_MAX, false);
	}
	return end_session() && begin_session();
}

static bool check_daemon(void)
{
	static long first_memory, more;
	static int first_fds;
	long memory = daemon_memory();
	int fds = daemon_fds();

	CHECK_OR(memory > 0, false);
	if (sessions++ <= requests / 2 / EVERY_SESSION / 5) {
		first_memory = memory;
		first_fds = fds;
		more = memory < SANITIZED ? MORE_MEMORY : memory;
	}
	if (memory > first_memory + more || fds > first_fds + MORE_FDS)
		printf("# session %lu: %ld KiB, %d descriptors; before %ld, %d\n",
		       sessions, memory >> 10, fds, first_memory >> 10,
		       first_fds);
	CHECK_OR(memory <= first_memory + more, false);
	CHECK_OR(fds <= first_fds + MORE_FDS, false);
	return true;
}

static bool new_session(void)
{
	if (!end_session() || !check_daemon())
		return false;
	share_restore();
	return begin_session();
}

static bool event(void)
{
	if (once_in(EVERY_STOP))
		return stop_and_go_on();
	if (once_in(EVERY_RESET))
		return reset();
	if (once_in(EVERY_BROKEN_RING))
		return broken_ring();
	return true;
}

static bool storm(unsigned long count)
{
	unsigned int most = 1 + MAX_LOCKS;

	for (unsigned long n = 1; n <= count; n++) {
		if (once_in(500))
			most = 1 + MAX_LOCKS + rnd() % (SLOTS - MAX_LOCKS - 5);
		while (in_flight[1] >= most || in_flight[0] >= 4)
			if (!take_answer(in_flight[0] >= 4 ? 0 : 1))
				return false;
		random_request();
		if (!event() || (n % EVERY_SESSION == 0 && !new_session()))
			return false;
	}
	return new_session();
}

/* ---- tests ---- */

static void run_storm(const char *const *options)
{
	struct fuse_getattr_in get = { 0 };
	struct fuse_attr_out attr;

	state = seed;
	served = 0;
	succeeded = 0;
	stops = 0;
	resets = 0;
	sessions = 0;
	memset(slots, 0, sizeof(slots));
	memset(in_flight, 0, sizeof(in_flight));
	locks = 0;
	CHECK(fe_begin(&fe, options));
	share_open(fe.share);
	CHECK(fill_requests());
	share_restore();
	CHECK(storm(requests / 2));
	CHECK(fe_request(&fe, FUSE_GETATTR, FUSE_ROOT_ID, &get, sizeof(get),
			 &attr, sizeof(attr), NULL) == 0);
	printf("# %lu answers, %lu without error, %u maps\n", served,
	       succeeded, fe.maps_made);
	printf("# %lu stops, %lu resets, %lu sessions; %ld KiB, %d descriptors\n",
	       stops, resets, sessions, daemon_memory() >> 10, daemon_fds());
	CHECK(window_is_right());
	CHECK(fe_end(&fe) == 0);
}

static void storm_without_window(void)
{
	static const char *const options[] = {
		"--posix-acl", "--thread-pool-size", "8", "--log-level",
		"error", NULL
	};

	run_storm(options);
}

static void storm_with_window(void)
{
	static const char *const options[] = {
		"--xattr", "--dax-window", "64M", "--thread-pool-size", "8",
		"--log-level", "error", NULL
	};

	run_storm(options);
}

static const struct fs_test tests[] = {
	TEST(storm_without_window),
	TEST(storm_with_window),
};

/* What requests fill must be small, and gone when this ends. */
static bool private_tmpfs(void)
{
	static char dir[] = "/tmp/storm.XXXXXX";

	fe_base = mkdtemp(dir);
	return fe_base && !unshare(CLONE_NEWNS) &&
	       !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("storm", dir, "tmpfs", 0, "size=64M,nr_inodes=4000");
}

int main(int argc, char **argv)
{
	int failed;

	fe_daemon = argc > 1 ? argv[1] : "./virtiofs-daxd";
	if (argc > 2)
		requests = strtoul(argv[2], NULL, 0);
	seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
	seed |= 1ull << 63;
	signal(SIGPIPE, SIG_IGN);
	if (geteuid())
		return skip_all("needs root");
	if (access("/dev/fuse", R_OK | W_OK))
		return skip_all("needs /dev/fuse");
	if (!private_tmpfs())
		return skip_all("needs a tmpfs of its own");
	printf("# seed %llu\n", (unsigned long long)seed);
	failed = run_tests(tests, sizeof(tests) / sizeof(tests[0]), NULL);
	umount2(fe_base, MNT_DETACH);
	rmdir(fe_base);
	return failed;
}
