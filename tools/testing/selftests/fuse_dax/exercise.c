// SPDX-License-Identifier: GPL-2.0
/*
 * A randomised exerciser that knows what every byte of its files must be.
 *
 * Some processes read, write, map, truncate, punch, copy, rename and drop their
 * own files and some that all of them use, whose bytes are divided into stripes
 * so that it is always known who may change what. A reference copy of each file
 * is in memory. After each round, when no process is there, all files are
 * compared and the file system is mounted anew, now and then.
 *
 * Rule: a file holds what was written to it, by whatever means, and has the
 * size that follows; also with a window much smaller than the files.
 * Wrong: a byte of another place, file or time, a wrong size, an unexpected
 * error or SIGBUS, a process that stands still, a warning of the kernel.
 * Right: nothing of that, with a window of 1, 2, 3, 16 and 256 ranges.
 * in-tree 7.3: fails. Its window cannot be limited, so it is one test there.
 *
 *   exercise [--seed N] [--ops N] [--secs N] [--procs N] [--windows N,...]
 *
 * Each window is exercised for so many seconds, and the last one until there
 * were so many operations with all windows. Without an option it is
 * FUSE_DAX_EXERCISE_OPS and _SECS, scaled by FUSE_DAX_SCALE, and
 * FUSE_DAX_EXERCISE_SEED.
 * The same seed and number of processes give the same operations. What is drawn
 * for files that others change at the same time depends on their size as well.
 * A failure tells how to begin again. Without FUSE_DAX_TAG any directory on any
 * file system will do for FUSE_DAX_DIR, to test the exerciser itself.
 */
#include <getopt.h>
#include <signal.h>
#include <sys/wait.h>

#include "exercise.h"

/* Operations of each process in a round; with few ranges they take long. */
#define ROUND		1500
#define SMALL_ROUND	400
#define SMALL		8
/* A process that does nothing for so long hangs. */
#define STUCK_MS	120000
#define PROGRESS_MS	60000
#define BLOCK		(256 * KiB)
#define MAX_WINDOWS	8

/* What was asked for */
static struct {
	unsigned long seed;
	unsigned long ops;
	unsigned long secs;
	unsigned int procs;
	unsigned int windows[MAX_WINDOWS];
	unsigned int nr_windows;
} want = {
	.procs = 4,
	.windows = { 1, 2, 3, 16, 256 },
	.nr_windows = 5,
};

/* Operations with all windows so far. */
static unsigned long done;

/* The reference copies are faulted in by each process: let pages be huge. */
static void want_huge_pages(void)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
		      O_WRONLY | O_CLOEXEC);

	/* Only saves time */
	if (fd < 0 || write(fd, "advise", 6) != 6)
		ksft_print_msg("no huge pages for the reference copies\n");
	close(fd);
}

/* Tasks that wait in the kernel, on the console. */
static void show_blocked(const struct exercise *ex)
{
	int fd;

	if (!ex->fs.tag)
		return;
	fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "w", 1) != 1)
		fprintf(stderr, "# no sysrq\n");
	close(fd);
}

/* Rounds */

static void start_process(struct exercise *ex, unsigned int number, pid_t *pid)
{
	fflush(stdout);
	*pid = fork();
	if (*pid)
		return;
	_exit(ex_work(ex, number, ex->ranges && ex->ranges < SMALL ?
				  SMALL_ROUND : ROUND));
}

static void kill_all(pid_t *pids, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (pids[i] > 0)
			kill_within(pids[i], 1000);
}

/* Whether a process ended: 1 well, 0 not yet, -1 not well. */
static int process_end(struct exercise *ex, unsigned int number, pid_t *pid)
{
	int status;

	if (*pid <= 0 || !waitpid(*pid, &status, WNOHANG))
		return *pid <= 0;
	*pid = 0;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 1;
	if (ex_fail_first(ex)) {
		fprintf(stderr, "# WRONG: process %u ended with status %#x\n",
			number, status);
		ex_show_log(ex, number);
	}
	return -1;
}

static bool is_stuck(struct exercise *ex, unsigned int number,
		     unsigned long *seen, long *moved)
{
	unsigned long begun = __atomic_load_n(&ex->procs[number].begun,
					      __ATOMIC_RELAXED);
	unsigned int i;

	if (begun != *seen)
		*moved = now_ms();
	*seen = begun;
	if (now_ms() - *moved < STUCK_MS)
		return false;
	if (ex_fail_first(ex)) {
		fprintf(stderr, "# WRONG: process %u stands still\n", number);
		for (i = 0; i < ex->nr_procs; i++)
			ex_show_log(ex, i);
		show_blocked(ex);
	}
	return true;
}

/* Wait for the processes of a round; false if one of them failed. */
static bool wait_all(struct exercise *ex, pid_t *pids)
{
	unsigned long seen[EX_MAX_PROCS] = { 0 };
	long moved[EX_MAX_PROCS];
	unsigned int i, left;

	for (i = 0; i < ex->nr_procs; i++)
		moved[i] = now_ms();
	do {
		left = ex->nr_procs;
		for (i = 0; i < ex->nr_procs; i++) {
			int end = process_end(ex, i, &pids[i]);

			if (end < 0 || (!end && is_stuck(ex, i, &seen[i],
							 &moved[i])))
				return false;
			left -= end;
		}
		if (left)
			sleep_ms(5);
	} while (left);
	return true;
}

static bool run_round(struct exercise *ex)
{
	pid_t pids[EX_MAX_PROCS] = { 0 };
	unsigned int i;
	bool right;

	for (i = 0; i < ex->nr_procs; i++)
		start_process(ex, i, &pids[i]);
	right = wait_all(ex, pids);
	kill_all(pids, ex->nr_procs);
	return right && !ex->failed;
}

/* Counters of all mounts of a window, to see whether there was pressure */

static const char *const counted[] = {
	"setups", "reclaimed", "waits", "fallback_reads", "fallback_writes",
	"cache_reads",
	"setup_errors", "ranges_bad",
};

static long counts[ARRAY_SIZE(counted)];

/* To be called before each end of a mount. */
static void add_counters(const struct exercise *ex)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counted); i++)
		counts[i] += counter(&ex->fs, counted[i]);
}

static void show_counters(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counted); i++)
		ksft_print_msg("  %s %ld\n", counted[i], counts[i]);
	memset(counts, 0, sizeof(counts));
}

/* Between rounds */

static bool mount_again(struct exercise *ex)
{
	add_counters(ex);
	if (!fs_remount(&ex->fs, fs_first_options()))
		return true;
	ksft_print_msg("cannot mount again: %s\n", strerror(errno));
	return false;
}

static bool compare_file(struct exercise *ex, struct ex_file *file, char *buf)
{
	size_t len;
	char name[32];
	off_t pos;
	int fd;

	ex_name(file, name, sizeof(name));
	fd = openat(ex->fs.dirfd, name, O_RDONLY | O_CLOEXEC);
	for (pos = 0; fd >= 0 && pos < file->size; pos += len) {
		len = ex_model_readable(file, pos, BLOCK);
		if (pread(fd, buf, len, pos) == (ssize_t)len &&
		    ex_model_is(file, pos, buf, len))
			continue;
		if (ex_fail_first(ex))
			ex_model_tell(ex, file, pos, buf, len,
				      "after the round");
		break;
	}
	close(fd);
	return fd >= 0 && pos >= file->size;
}

static bool compare_all(struct exercise *ex)
{
	char *buf = malloc(BLOCK);
	bool right = true;
	unsigned int i, p;

	for (i = 0; i < ex->nr_files && right; i++)
		right = compare_file(ex, &ex->files[i], buf);
	free(buf);
	if (!right)
		for (p = 0; p < ex->nr_procs; p++)
			ex_show_log(ex, p);
	return right;
}

/* What comes between the rounds is drawn too. */
static bool between_rounds(struct exercise *ex, unsigned int round)
{
	struct ex_random r;

	ex_random_seed(&r, ex->draws, EX_MAKER, round);
	if (ex->fs.tag && !ex_random(&r, 2) && !mount_again(ex))
		return false;
	if (ex->fs.tag && !ex_random(&r, 4))
		drop_caches(3);
	return ex_random(&r, 4) || compare_all(ex);
}

/* Windows */

static bool make_files(struct exercise *ex)
{
	struct ex_random r;
	struct ex_file *f;
	char name[32];
	unsigned int i;
	uint64_t id;
	int fd;

	ex_random_seed(&r, ex->draws, EX_MAKER, EX_MAKER);
	for (i = 0; i < ex->nr_files; i++) {
		f = &ex->files[i];
		id = (uint64_t)i << 4 | EX_MAKER;
		f->size = ex_random(&r, EX_MAX_SIZE);
		pattern_fill(f->data, 0, f->size, id);
		ex_name(f, name, sizeof(name));
		fd = file_make(&ex->fs, name, f->size, id);
		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

static unsigned long all_done(const struct exercise *ex)
{
	unsigned long done = 0;
	unsigned int i;

	for (i = 0; i < ex->nr_procs; i++)
		done += ex->procs[i].done;
	return done;
}

/* At least a round, for the time and, in the last window, the operations. */
static bool is_enough(const struct exercise *ex, long until, bool last)
{
	if (now_ms() < until)
		return false;
	return !last || done + all_done(ex) >= want.ops;
}

/* Long runs tell how far they are. */
static void show_progress(const struct exercise *ex)
{
	static long next;

	if (!next)
		next = now_ms() + PROGRESS_MS;
	if (now_ms() < next)
		return;
	next = now_ms() + PROGRESS_MS;
	ksft_print_msg("  %lu operations so far\n", done + all_done(ex));
	fflush(stdout);
}

/* All rounds; false if something was wrong. */
static bool run_rounds(struct exercise *ex, bool last)
{
	long until = now_ms() + want.secs * 1000;
	unsigned int round = 0;

	if (!make_files(ex)) {
		ksft_print_msg("cannot make the files: %s\n", strerror(errno));
		return false;
	}
	do {
		if (!run_round(ex) || !between_rounds(ex, round++))
			return false;
		show_progress(ex);
	} while (!is_enough(ex, until, last));
	return compare_all(ex);
}

/* The window as asked for, 0: as it is; the reason if that cannot be. */
static const char *limit_window(struct dax_fs *fs, unsigned int ranges)
{
	if (fs->tag && !fs->dax)
		return "files of this mount are not DAX";
	if (!ranges)
		return NULL;
	if (!fs->tag || !fs_has_max_ranges())
		return "no parameter dax_max_ranges";
	if (fs_set_max_ranges(fs, ranges))
		return strerror(errno);
	if (counter(fs, "ranges_total") != (long)ranges)
		return "the window is smaller";
	return NULL;
}

static void no_window(struct exercise *ex, const char *reason)
{
	if (dax_required())
		ksft_test_result_fail("ranges_%u: %s\n", ex->ranges, reason);
	else
		ksft_test_result_skip("ranges_%u: %s\n", ex->ranges, reason);
}

static void use_window(struct exercise *ex, bool last)
{
	long start = now_ms();
	bool right = run_rounds(ex, last);
	unsigned long ops = all_done(ex);

	done += ops;
	ksft_print_msg("%u ranges: %lu operations in %ld ms\n", ex->ranges,
		       ops, now_ms() - start);
	add_counters(ex);
	show_counters();
	fs_close(&ex->fs);
	if (!fs_untainted(&ex->fs)) {
		ksft_print_msg("the kernel warned\n");
		right = false;
	}
	if (ex->ranges)
		ksft_test_result(right, "ranges_%u\n", ex->ranges);
	else
		ksft_test_result(right, "window_as_is\n");
}

/* Exercise one window, in a directory of its own. */
static void run_window(unsigned int ranges, bool last)
{
	struct exercise *ex = ex_model_new(want.procs);
	const char *reason;

	if (!ex || fs_open(&ex->fs))
		ksft_exit_fail_msg("cannot begin: %s\n", strerror(errno));
	ex->seed = want.seed;
	ex->draws = want.seed * 1000 + ranges;
	ex->ranges = ranges;
	reason = limit_window(&ex->fs, ranges);
	if (reason)
		no_window(ex, reason);
	else
		use_window(ex, last);
	fs_close(&ex->fs);
	ex_model_free(ex);
}

/* Options */

static unsigned long scaled_number(const char *name, long otherwise)
{
	return env_number(name, otherwise) * env_number("FUSE_DAX_SCALE", 100) /
	       100;
}

static void defaults(void)
{
	want.seed = env_number("FUSE_DAX_EXERCISE_SEED", 1);
	want.ops = scaled_number("FUSE_DAX_EXERCISE_OPS", 0);
	want.secs = scaled_number("FUSE_DAX_EXERCISE_SECS", 10);
	if (fs_has_max_ranges())
		return;
	/* Another driver: its window is what it is */
	want.windows[0] = 0;
	want.nr_windows = 1;
}

static void parse_windows(char *list)
{
	char *item;

	want.nr_windows = 0;
	for (item = strtok(list, ","); item && want.nr_windows < MAX_WINDOWS;
	     item = strtok(NULL, ","))
		want.windows[want.nr_windows++] = atoi(item);
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "secs", required_argument, NULL, 't' },
		{ "procs", required_argument, NULL, 'p' },
		{ "windows", required_argument, NULL, 'w' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			want.seed = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			want.ops = strtoul(optarg, NULL, 0);
			break;
		case 't':
			want.secs = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			want.procs = atoi(optarg);
			break;
		case 'w':
			parse_windows(optarg);
			break;
		default:
			return false;
		}
	}
	return want.procs > 0 && want.procs <= EX_MAX_PROCS && want.nr_windows;
}

int main(int argc, char **argv)
{
	struct dax_fs fs;
	unsigned int i;

	defaults();
	ksft_print_header();
	if (!parse(argc, argv))
		ksft_exit_fail_msg("usage: see the head of exercise.c\n");
	if (!getenv("FUSE_DAX_DIR"))
		ksft_exit_skip("FUSE_DAX_DIR is not set\n");
	if (getenv("FUSE_DAX_TAG"))
		want_huge_pages();
	ksft_set_plan(want.nr_windows);
	for (i = 0; i < want.nr_windows; i++)
		run_window(want.windows[i], i + 1 == want.nr_windows);
	ksft_print_msg("operations: %lu\n", done);
	if (fs_has_max_ranges() && !fs_open(&fs)) {
		fs_set_max_ranges(&fs, 0);
		fs_close(&fs);
	}
	ksft_finished();
}
