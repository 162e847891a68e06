// SPDX-License-Identifier: GPL-2.0
/*
 * Two virtual machines, each with a server of its own, on one directory; the
 * operations are those of the exerciser, see exercise.c.
 *
 * Both sides draw the same operations. They take turns: one does the next of
 * them to the files of the share, the other to files of the same contents in a
 * tmpfs of its own, so that it knows what must be. A turn ends with fsync of
 * all files. The other side, which has kept its descriptors and mappings, then
 * compares all files, by name, by descriptor and by mapping, before it takes
 * its turn. What they say to each other is POSIX locks on a file of the share,
 * which are the only thing that no side keeps a copy of.
 *
 * Rule: what one machine has done to a file and synced, the other sees, soon
 * if it has to be told of it.
 * Wrong: other bytes, another size, no SIGBUS behind the end, SYNC_MS after the
 * turn; an operation that fails; a machine that ends.
 * Right: nothing of that, with a window of 3 and of 256 ranges.
 *
 *   FUSE_DAX_PAIR  which side this is: 0 or 1
 *   FUSE_DAX_EXERCISE_SECS, FUSE_DAX_EXERCISE_SEED  as for the exerciser
 */
#include "exercise.h"

/* How long a side may believe what it is not told, ms: names, the rest */
#define NAMES_MS	1200
#define SYNC_MS		3000
/* A side that says nothing for so long is gone. */
#define GONE_MS		150000

#define BLOCK		(64 * KiB)

/* Operations of a turn; with few ranges they take long. */
#define TURN		200
#define SMALL_TURN	60
#define SMALL		8

/**
 * struct side - one machine of the two
 * @ex: what must be; its @fs is @share or @mirror, whichever is in use
 * @share: the directory that both have
 * @mirror: the one in tmpfs
 * @on_share: does operations there; keeps its files open and mapped
 * @on_mirror: does operations there
 * @words: the file whose locks are what is said
 * @seen: inode and name of each file when they were last compared
 * @number: 0 or 1
 * @turns: that both had
 * @slowest: how long it took until all was right after a turn, at most, ms
 */
struct side {
	struct exercise *ex;
	struct dax_fs share;
	struct dax_fs mirror;
	struct ex_worker on_share;
	struct ex_worker on_mirror;
	int words;
	unsigned int seen[EX_MAX_FILES];
	unsigned int number;
	unsigned int turns;
	long slowest;
};

/* A word is a byte of the file that a side holds a lock of. */
enum word { SAY_BEGIN, SAY_TURN, SAY_END, SAY_FAILED };

static struct flock word_lock(enum word word, unsigned int turn,
			      unsigned int side)
{
	return (struct flock) {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)word * MiB + turn * 2 + side,
		.l_len = 1,
	};
}

static void say(struct side *s, enum word word, unsigned int turn)
{
	struct flock lock = word_lock(word, turn, s->number);

	if (fcntl(s->words, F_SETLK, &lock))
		ksft_print_msg("cannot say word %u: %s\n", word,
			       strerror(errno));
}

static bool is_said(struct side *s, enum word word, unsigned int turn)
{
	struct flock lock = word_lock(word, turn, !s->number);

	return !fcntl(s->words, F_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* 1 when it is said; 0 when it is SAY_END; -1 if the other side has failed. */
static int hear(struct side *s, enum word word, unsigned int turn)
{
	long until = now_ms() + GONE_MS;

	while (!is_said(s, word, turn)) {
		if (is_said(s, SAY_END, 0))
			return 0;
		if (is_said(s, SAY_FAILED, 0) || now_ms() > until) {
			ksft_print_msg("the other side has failed, or says nothing\n");
			return -1;
		}
		sleep_ms(20);
	}
	return 1;
}

/* Files */

/* What the files hold at first */
static void first_contents(struct exercise *ex)
{
	struct ex_random r;
	unsigned int i;

	ex_random_seed(&r, ex->draws, EX_MAKER, EX_MAKER);
	for (i = 0; i < ex->nr_files; i++) {
		struct ex_file *f = &ex->files[i];

		f->size = ex_random(&r, EX_MAX_SIZE);
		pattern_fill(f->data, 0, f->size, (uint64_t)i << 4 | EX_MAKER);
	}
}

/* New files as they must be */
static bool make_files(struct exercise *ex, struct dax_fs *fs)
{
	char name[32];
	unsigned int i;
	bool right;
	int fd;

	for (i = 0; i < ex->nr_files; i++) {
		struct ex_file *f = &ex->files[i];

		ex_name(f, name, sizeof(name));
		fd = openat(fs->dirfd, name, O_CREAT | O_EXCL | O_RDWR, 0600);
		right = fd >= 0 && pwrite(fd, f->data, f->size, 0) == f->size;
		close(fd);
		if (!right)
			return false;
	}
	return true;
}

/* The files in tmpfs are those of the last turn that was done there. */
static bool mirror_all(struct side *s)
{
	unsigned int i, n;
	char name[32];

	for (i = 0; i < s->ex->nr_files; i++) {
		ex_close(&s->on_mirror, &s->ex->files[i]);
		for (n = 0; n < 2; n++) {
			snprintf(name, sizeof(name), "file%u.%u", i, n);
			unlinkat(s->mirror.dirfd, name, 0);
		}
	}
	return make_files(s->ex, &s->mirror);
}

/* After a turn */

/* What is wrong with bytes is told if it was the last look at them. */
static const char *wrong_bytes(struct side *s, struct ex_file *file, off_t pos,
			       const char *got, size_t len, bool last,
			       const char *how)
{
	if (last)
		ex_model_tell(s->ex, file, pos, got, len, how);
	return how;
}

/* All bytes of a file, by descriptor and by mapping; NULL, or what is wrong */
static const char *bytes_wrong(struct side *s, struct ex_file *file, int fd,
			       char *buf, bool last)
{
	off_t pos, end = (file->size + PAGE - 1) / PAGE * PAGE;
	char *map = ex_map(&s->on_share, file);
	size_t len;

	if (!map)
		return "mmap";
	for (pos = 0; pos < file->size; pos += len) {
		len = ex_model_readable(file, pos, BLOCK);
		if (pread(fd, buf, len, pos) != (ssize_t)len)
			return "a short read";
		if (!ex_model_is(file, pos, buf, len))
			return wrong_bytes(s, file, pos, buf, len, last,
					   "bytes that are read");
		if (ex_copy(buf, map + pos, len))
			return "SIGBUS before the end";
		if (!ex_model_is(file, pos, buf, len))
			return wrong_bytes(s, file, pos, buf, len, last,
					   "bytes that are mapped");
	}
	if (pread(fd, buf, 1, file->size))
		return "a read behind the end";
	if (end < (off_t)EX_MAX_SIZE && !ex_copy(buf, map + end, 1))
		return "no SIGBUS behind the end";
	return NULL;
}

static const char *file_wrong(struct side *s, struct ex_file *file, char *buf,
			      bool last)
{
	int old = ex_fd(&s->on_share, file), fd;
	const char *wrong;
	struct stat st;
	char name[32];

	ex_name(file, name, sizeof(name));
	fd = openat(s->share.dirfd, name, O_RDONLY | O_CLOEXEC);
	if (old < 0 || fd < 0)
		wrong = "open";
	else if (fstat(fd, &st) || st.st_size != file->size)
		wrong = "the size by name";
	else if (fstat(old, &st) || st.st_size != file->size)
		wrong = "the size by descriptor";
	else
		wrong = bytes_wrong(s, file, fd, buf, last);
	if (fd >= 0)
		close(fd);
	return wrong;
}

/* Other names, or names of other files, are not told of. */
static bool names_changed(struct side *s)
{
	bool changed = false;
	unsigned int i;

	for (i = 0; i < s->ex->nr_files; i++) {
		struct ex_file *f = &s->ex->files[i];
		unsigned int seen = f->inode + f->name;

		changed |= seen != s->seen[i];
		s->seen[i] = seen;
	}
	return changed;
}

static void tell_wrong(struct side *s, struct ex_file *file, const char *what)
{
	if (!ex_fail_first(s->ex))
		return;
	ksft_print_msg("WRONG: side %u, turn %u, file %u of %#lx bytes, %ld ms after it: %s\n",
		       s->number, s->turns, file->number,
		       (unsigned long)file->size, (long)SYNC_MS, what);
	ex_show_log(s->ex, 0);
}

/* All files, soon after the other side's turn */
static bool compare_all(struct side *s)
{
	static uint64_t words[BLOCK / sizeof(uint64_t)];
	char *buf = (char *)words;
	long start = now_ms(), names = 0;
	const char *wrong;
	unsigned int i;

	if (names_changed(s)) {
		sleep_ms(NAMES_MS);
		names = NAMES_MS;
	}
	for (i = 0; i < s->ex->nr_files; i++) {
		struct ex_file *file = &s->ex->files[i];

		/* The last look begins when the time is over. */
		for (;;) {
			bool last = now_ms() - start > SYNC_MS + names;

			wrong = file_wrong(s, file, buf, last);
			if (!wrong || last)
				break;
			sleep_ms(10);
		}
		if (wrong) {
			tell_wrong(s, file, wrong);
			return false;
		}
	}
	if (now_ms() - start - names > s->slowest)
		s->slowest = now_ms() - start - names;
	return true;
}

/* Turns */

static unsigned int turn_ops(const struct exercise *ex)
{
	return ex->ranges && ex->ranges < SMALL ? SMALL_TURN : TURN;
}

static bool sync_all(struct side *s)
{
	unsigned int i;

	for (i = 0; i < s->ex->nr_files; i++)
		if (fsync(ex_fd(&s->on_share, &s->ex->files[i]))) {
			ksft_print_msg("fsync: %s\n", strerror(errno));
			return false;
		}
	return true;
}

static bool own_turn(struct side *s)
{
	s->ex->fs = s->share;
	if (ex_do(&s->on_share, turn_ops(s->ex)) || !sync_all(s))
		return false;
	names_changed(s);
	say(s, SAY_TURN, s->turns);
	return true;
}

/* As hear() */
static int their_turn(struct side *s)
{
	int heard;

	s->ex->fs = s->mirror;
	if (!mirror_all(s) || ex_do(&s->on_mirror, turn_ops(s->ex)))
		return -1;
	s->ex->fs = s->share;
	heard = hear(s, SAY_TURN, s->turns);
	if (heard > 0 && !compare_all(s))
		return -1;
	return heard;
}

/* Side 0 begins, and ends. */
static bool take_turns(struct side *s, long ms)
{
	long until = now_ms() + ms;
	int heard = 1;

	first_contents(s->ex);
	if (s->number == 0) {
		if (!make_files(s->ex, &s->share))
			return false;
		say(s, SAY_BEGIN, 0);
	} else if (hear(s, SAY_BEGIN, 0) <= 0) {
		return false;
	}
	for (s->turns = 0; heard > 0; s->turns++) {
		if (s->turns % 2 != s->number)
			heard = their_turn(s);
		else if (s->number == 0 && now_ms() > until)
			break;
		else if (!own_turn(s))
			heard = -1;
	}
	return heard >= 0;
}

/* The directory of both, with the file for words: the other side's is complete. */
static bool share_open_dir(struct side *s)
{
	int flags = O_RDWR | O_CLOEXEC | (s->number ? 0 : O_CREAT);
	long until = now_ms() + GONE_MS;
	struct dax_fs *fs = &s->share;
	char path[PATH_MAX + 16];

	fs_close(fs);
	snprintf(fs->dir, sizeof(fs->dir), "%s/pair.%u", fs->mnt,
		 s->ex->ranges);
	snprintf(path, sizeof(path), "%s/words", fs->dir);
	if (s->number == 0 && mkdir(fs->dir, 0755))
		return false;
	do {
		s->words = open(path, flags, 0644);
		sleep_ms(20);
	} while (s->words < 0 && now_ms() < until);
	fs->dirfd = open(fs->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->words >= 0 && fs->dirfd >= 0;
}

static bool side_init(struct side *s, unsigned int ranges)
{
	memset(s, 0, sizeof(*s));
	s->number = env_number("FUSE_DAX_PAIR", 0);
	s->ex = ex_model_new(1);
	if (!s->ex || fs_open(&s->share) || (s->share.tag && !s->share.dax))
		return false;
	s->ex->seed = env_number("FUSE_DAX_EXERCISE_SEED", 1);
	s->ex->draws = s->ex->seed * 1000 + ranges;
	s->ex->ranges = ranges;
	s->ex->same = true;
	s->mirror = (struct dax_fs) { .mnt = "/tmp", .dir = "/tmp/pair.XXXXXX" };
	if (ranges && fs_set_max_ranges(&s->share, ranges))
		return false;
	if (!share_open_dir(s) || !mkdtemp(s->mirror.dir))
		return false;
	s->mirror.dirfd = open(s->mirror.dir, O_RDONLY | O_DIRECTORY);
	return s->mirror.dirfd >= 0 &&
	       !ex_worker_init(&s->on_share, s->ex, 0) &&
	       !ex_worker_init(&s->on_mirror, s->ex, 0);
}

/* A word is heard only as long as who has said it is there. */
static void side_end(struct side *s, bool right)
{
	long until = now_ms() + GONE_MS;
	unsigned int i;

	for (i = 0; i < s->ex->nr_files; i++) {
		ex_close(&s->on_share, &s->ex->files[i]);
		ex_close(&s->on_mirror, &s->ex->files[i]);
	}
	fs_close(&s->mirror);
	say(s, right ? SAY_END : SAY_FAILED, 0);
	while (!is_said(s, SAY_END, 0) && !is_said(s, SAY_FAILED, 0) &&
	       now_ms() < until)
		sleep_ms(20);
	sleep_ms(1000);
	close(s->words);
	if (s->number == 0)
		fs_close(&s->share);
	else
		close(s->share.dirfd);
	ex_model_free(s->ex);
}

static void run_window(unsigned int ranges, long ms)
{
	static struct side s;
	bool right = false;

	if (!side_init(&s, ranges)) {
		ksft_print_msg("cannot begin: %s\n", strerror(errno));
		ksft_test_result_fail("ranges_%u\n", ranges);
		return;
	}
	right = take_turns(&s, ms);
	ksft_print_msg("side %u, %u ranges: %u turns, %lu operations, right after %ld ms at most\n",
		       s.number, ranges, s.turns, s.ex->procs[0].done,
		       s.slowest);
	side_end(&s, right);
	ksft_test_result(right && fs_untainted(&s.share), "ranges_%u\n",
			 ranges);
}

int main(void)
{
	static unsigned int windows[] = { 256, 3 };
	size_t nr = ARRAY_SIZE(windows);
	long ms = env_number("FUSE_DAX_EXERCISE_SECS", 20) * 1000;
	struct dax_fs fs;
	size_t i;

	ksft_print_header();
	if (!getenv("FUSE_DAX_DIR") || !getenv("FUSE_DAX_PAIR"))
		ksft_exit_skip("FUSE_DAX_PAIR is not set\n");
	/* Another driver, or file system: its window is what it is */
	if (!fs_has_max_ranges()) {
		windows[0] = 0;
		nr = 1;
	}
	ksft_set_plan(nr);
	for (i = 0; i < nr; i++)
		run_window(windows[i], ms);
	if (fs_has_max_ranges() && !fs_open(&fs)) {
		fs_set_max_ranges(&fs, 0);
		fs_close(&fs);
	}
	ksft_finished();
}
