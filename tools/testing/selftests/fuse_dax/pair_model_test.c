// SPDX-License-Identifier: GPL-2.0
/*
 * Two virtual machines, each with a server of its own, on one tree, with
 * --cache=coherent: what one has done the other knows after any answer.
 *
 * Both draw the same operations on names, data, attributes and times, and do them to
 * a tree in memory, the model (pair_model.c). One does the operation to the share as
 * well, and tells the other that it is done, and what times it has found then. The
 * other sends one request that has nothing to do with it, the barrier, and then
 * compares what it sees with the model. Both keep some files open and mapped. What
 * they say to each other is stored to a page of the window that both have: no request
 * of any kind, so that the barrier is the only one.
 *
 * Rule: after a barrier nothing is believed that was changed before.
 * Wrong: a name, a listing, a size, data that is read or mapped, a mode, a number of
 * links, mtime, ctime, an extended attribute or the target of a link is another than in
 * the model, or an operation has another error: a stale answer.
 * Right: there is none. (With --cache=auto there are some soon.) A private mapping may
 * be late: its pages are dropped some milliseconds after the barrier.
 *
 *   FUSE_DAX_PAIR           which side this is: 0 or 1
 *   FUSE_DAX_EXERCISE_SECS, FUSE_DAX_EXERCISE_SEED  as for the exerciser
 *   FUSE_DAX_EXERCISE_OPS   so many operations, however long they take
 */
#include <sys/xattr.h>

#include "fuse_dax_hand.h"
#include "pair_model.h"

/* Timers of a machine that is emulated cost its host more than what is waited for. */
#define HEAR_US		400
/* A side that says nothing for so long is gone. */
#define GONE_MS		150000
/* Timeouts of a server that corrects nobody, ms */
#define TIMEOUT_MS	1200
/* It ends after so many stale answers. */
#define STALE_MAX	100

#define WORDS_SIZE	(2 * MiB)

/* ---- words ---- */

static void say(unsigned long *word, unsigned long value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static unsigned long said(unsigned long *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* 1 when it is said; 0 at the end; -1 if the other side has failed. */
static int hear(struct pm_side *s, unsigned long *word, unsigned long value)
{
	long until = now_ms() + GONE_MS;

	while (said(word) < value) {
		if (said(&s->words->end))
			return 0;
		if (said(&s->words->failed) || now_ms() > until) {
			ksft_print_msg("the other side has failed, or says nothing\n");
			return -1;
		}
		usleep(HEAR_US);
	}
	return 1;
}

/* ---- turns ---- */

/* A request that is answered, and has nothing to do with the tree */
static bool pass_barrier(struct pm_side *s)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	switch (ex_random(&s->random, 64)) {
	case 0:
		return !fsync(s->words_fd);
	case 1 ... 20:
		return !fcntl(s->words_fd, F_GETLK, &lock);
	default:
		return !barrier(&s->share);
	}
}

static int run(struct pm_side *s)
{
	struct pm_node *node = pm_at(&s->tree, s->op.a);
	struct pm_hold *hold = node ? pm_hold(s, node) : NULL;
	int fd = hold && hold->writable && !s->op.error ? hold->fd : -1;

	return s->op.kind->run(&s->tree, &s->op, s->dirfd, fd);
}

/* An error that makes no sense is a stale answer; when it is over it is done. */
static bool do_op(struct pm_side *s)
{
	int error, tries = 3;

	while ((error = run(s)) != s->op.error && tries-- && error) {
		pm_wrong(s, "the share", "error %d, must be %d", error,
			 s->op.error);
		sleep_ms(TIMEOUT_MS);
	}
	if (error != s->op.error)
		pm_wrong(s, "the share", "error %d, must be %d: it ends",
			 error, s->op.error);
	return error == s->op.error;
}

static void take_times(struct pm_node *node, const struct timespec *times)
{
	node->mtime = times[0];
	node->ctime = times[1];
}

static void tell_times(struct pm_side *s)
{
	struct stat st;
	unsigned int i;
	char path[PM_PATH];

	for (i = 0; i < s->op.nr_touched; i++) {
		struct timespec *times = s->words->times[i];

		if (!pm_find(&s->tree, s->op.touched[i], path) ||
		    fstatat(s->dirfd, path, &st, AT_SYMLINK_NOFOLLOW))
			memset(&st, 0, sizeof(st));
		times[0] = st.st_mtim;
		times[1] = st.st_ctim;
	}
}

/* As hear() */
static int one_turn(struct pm_side *s, unsigned long number, bool own)
{
	unsigned int i;
	int heard;

	pm_draw(&s->tree, &s->op, s->seed, number);
	if (own) {
		pm_apply(&s->tree, &s->op);
		if (!do_op(s))
			return -1;
		tell_times(s);
		say(&s->words->done, number);
	} else {
		heard = hear(s, &s->words->done, number);
		if (heard <= 0)
			return heard;
		pm_apply(&s->tree, &s->op);
		if (!pass_barrier(s))
			return -1;
	}
	for (i = 0; i < s->op.nr_touched; i++)
		take_times(s->op.touched[i], s->words->times[i]);
	pm_look(s, own);
	say(&s->words->looked[s->number], number);
	return hear(s, &s->words->looked[!s->number], number);
}

/* Side 0 ends, when it has a turn. How many were done; @right is false if not all */
static unsigned long take_turns(struct pm_side *s, bool *right)
{
	long until = now_ms() + env_number("FUSE_DAX_EXERCISE_SECS", 20) * 1000;
	unsigned long ops = env_number("FUSE_DAX_EXERCISE_OPS", 0);
	unsigned long n, done = 0;
	struct ex_random r;
	int heard = 1;
	bool own;

	for (n = 1; heard > 0 && s->stale < STALE_MAX; n++) {
		ex_random_seed(&r, s->seed, n, 1);
		own = ex_random(&r, 2) == s->number;
		if (own && s->number == 0 && (ops ? n > ops : now_ms() > until))
			break;
		heard = one_turn(s, n, own);
		if (heard > 0)
			done = n;
	}
	*right = heard >= 0 && s->stale < STALE_MAX;
	return done;
}

/* ---- the directory of both ---- */

static bool make_share(struct pm_side *s, const char *words)
{
	static const char zeros[WORDS_SIZE];
	char path[PATH_MAX + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/tree", s->share.dir);
	if (mkdir(s->share.dir, 0755) || mkdir(path, 0755))
		return false;
	snprintf(path, sizeof(path), "%s/new", s->share.dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (write(fd, zeros, sizeof(zeros)) != sizeof(zeros))
		return false;
	close(fd);
	return !rename(path, words);
}

static bool open_share(struct pm_side *s)
{
	char words[PATH_MAX + 16], tree[PATH_MAX + 16];
	long until = now_ms() + GONE_MS;
	struct dax_fs *fs = &s->share;

	fs_close(fs);
	snprintf(fs->dir, sizeof(fs->dir), "%s/model.%lu", fs->mnt, s->seed);
	snprintf(words, sizeof(words), "%s/words", fs->dir);
	snprintf(tree, sizeof(tree), "%s/tree", fs->dir);
	if (s->number == 0 && !make_share(s, words))
		return false;
	while ((s->words_fd = open(words, O_RDWR | O_CLOEXEC)) < 0 &&
	       now_ms() < until)
		sleep_ms(20);
	s->dirfd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->words = map_file(s->words_fd, WORDS_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED);
	s->tree.xattrs = fgetxattr(s->dirfd, PM_XATTR, NULL, 0) < 0 &&
			 errno == ENODATA;
	return s->words != MAP_FAILED && s->dirfd >= 0;
}

static bool side_init(struct pm_side *s)
{
	unsigned int i;

	s->number = env_number("FUSE_DAX_PAIR", 0);
	s->seed = env_number("FUSE_DAX_EXERCISE_SEED", 1);
	for (i = 0; i < PM_NODES; i++)
		s->holds[i].fd = -1;
	ex_random_seed(&s->random, s->seed, s->number, 2);
	umask(0);
	return !pm_tree_init(&s->tree) && !fs_open(&s->share) &&
	       (s->share.dax || !s->share.tag) && open_share(s);
}

/* Side 0 removes the directory, when the other needs it no longer. */
static void side_end(struct pm_side *s, bool right)
{
	long until = now_ms() + GONE_MS;
	unsigned int i;

	for (i = 0; i < PM_NODES; i++)
		pm_hold_drop(&s->holds[i]);
	close(s->dirfd);
	if (!right)
		say(&s->words->failed, 1);
	say(&s->words->end, 1);
	say(&s->words->gone[s->number], 1);
	while (s->number == 0 && !said(&s->words->gone[1]) && now_ms() < until)
		sleep_ms(20);
	munmap(s->words, WORDS_SIZE);
	close(s->words_fd);
	if (s->number == 0)
		fs_close(&s->share);
}

int main(void)
{
	static struct pm_side s;
	unsigned long done;
	bool right;

	ksft_print_header();
	if (!getenv("FUSE_DAX_DIR") || !getenv("FUSE_DAX_PAIR"))
		ksft_exit_skip("FUSE_DAX_PAIR is not set\n");
	ksft_set_plan(1);
	if (!side_init(&s))
		ksft_exit_fail_msg("cannot begin: %s\n", strerror(errno));
	done = take_turns(&s, &right);
	side_end(&s, right);
	ksft_print_msg("side %u, seed %lu: %lu operations, %lu looks, %lu stale answers\n",
		       s.number, s.seed, done, s.looks, s.stale);
	ksft_print_msg("%lu private mappings were late; %s extended attributes\n",
		       s.late, s.tree.xattrs ? "with" : "without");
	ksft_test_result(right && !s.stale && fs_untainted(&s.share),
			 "nothing_stale\n");
	ksft_finished();
}
