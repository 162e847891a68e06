// SPDX-License-Identifier: GPL-2.0
/*
 * What the files of the exerciser must hold, and what is told when they do not.
 */
#include "exercise.h"

#define PREFER_WRITER	PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
#define REPLAY		"--seed %llu --procs %u --windows %u --secs 0 --ops %lu"

/* Splitmix64: every operation has a generator of its own. */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void ex_random_seed(struct ex_random *r, uint64_t a, uint64_t b, uint64_t c)
{
	r->state = mix(mix(mix(a + 1) + b + 1) + c + 1);
}

uint64_t ex_random(struct ex_random *r, uint64_t below)
{
	r->state += 0x9e3779b97f4a7c15ULL;
	return mix(r->state) % below;
}

/* In huge pages if there are any: each process has to fault them in. */
static void *shared_memory(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static int file_init(struct ex_file *file, unsigned int number)
{
	pthread_rwlockattr_t attr;

	file->number = number;
	file->shared = number < EX_SHARED;
	file->data = shared_memory(EX_MAX_SIZE);
	if (!file->data)
		return -1;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	/* Else those who want it for themselves would wait for ever */
	pthread_rwlockattr_setkind_np(&attr, PREFER_WRITER);
	return pthread_rwlock_init(&file->lock, &attr);
}

/**
 * ex_model_new() - empty files for some processes
 * @procs: how many
 *
 * Return: what the processes share, or NULL.
 */
struct exercise *ex_model_new(unsigned int procs)
{
	struct exercise *ex = shared_memory(sizeof(*ex));
	unsigned int i;

	if (!ex)
		return NULL;
	ex->nr_procs = procs;
	ex->nr_files = EX_SHARED + procs * EX_OWN;
	for (i = 0; i < ex->nr_files; i++)
		if (file_init(&ex->files[i], i))
			return NULL;
	return ex;
}

void ex_model_free(struct exercise *ex)
{
	unsigned int i;

	for (i = 0; i < ex->nr_files; i++)
		munmap(ex->files[i].data, EX_MAX_SIZE);
	munmap(ex, sizeof(*ex));
}

/* Bytes at @pos of @len wanted that the file has. */
size_t ex_model_readable(const struct ex_file *file, off_t pos, size_t len)
{
	if (pos >= file->size)
		return 0;
	return len < (size_t)(file->size - pos) ? len : file->size - pos;
}

void ex_model_resize(struct ex_file *file, off_t size)
{
	if (size < file->size)
		memset(file->data + size, 0, file->size - size);
	file->size = size;
}

void ex_model_write(struct ex_file *file, off_t pos, const char *from,
		    size_t len)
{
	memcpy(file->data + pos, from, len);
	/* Others may read the size meanwhile, but never change it */
	if (pos + (off_t)len > file->size)
		file->size = pos + len;
}

/* Zeros, without a new size. */
void ex_model_zero(struct ex_file *file, off_t pos, size_t len)
{
	memset(file->data + pos, 0, ex_model_readable(file, pos, len));
}

void ex_name(const struct ex_file *file, char *buf, size_t len)
{
	snprintf(buf, len, "file%u.%u", file->number, file->name & 1);
}

/* One process tells; true for it. */
bool ex_fail_first(struct exercise *ex)
{
	return !__atomic_exchange_n(&ex->failed, true, __ATOMIC_SEQ_CST);
}

/*
 * Which operation wrote a word, by its pattern: the one that gives a sensible
 * seed, at this place or, if the word belongs elsewhere, at another.
 */
static bool find_writer(const struct exercise *ex, const char *word, off_t pos,
			uint64_t *id)
{
	unsigned int process;

	*id = pattern_seed(word, pos);
	process = *id & 15;
	if (process == EX_MAKER)
		return *id >> 4 < ex->nr_files;
	return process < ex->nr_procs &&
	       *id >> 4 <= ex->procs[process].begun;
}

static void show_writer(const struct exercise *ex, const char *what,
			const char *word, off_t pos)
{
	uint64_t id;
	off_t at = pos;

	if (!memcmp(word, "\0\0\0\0\0\0\0", 8)) {
		fprintf(stderr, "#   %s: zeros\n", what);
		return;
	}
	if (!find_writer(ex, word, at, &id))
		for (at = 0; at < (off_t)EX_MAX_SIZE; at += 8)
			if (find_writer(ex, word, at, &id))
				break;
	if (at == (off_t)EX_MAX_SIZE)
		fprintf(stderr, "#   %s: of more than one operation\n", what);
	else if ((id & 15) == EX_MAKER)
		fprintf(stderr, "#   %s: first contents of file %lu at %#lx\n",
			what, (unsigned long)(id >> 4), (unsigned long)at);
	else
		fprintf(stderr, "#   %s: written by process %u operation %lu at %#lx\n",
			what, (unsigned int)id & 15, (unsigned long)(id >> 4),
			(unsigned long)at);
}

static void show_word(const char *what, const char *word)
{
	uint64_t value;

	memcpy(&value, word, 8);
	fprintf(stderr, " %s %016llx", what, (unsigned long long)value);
}

/* How many bytes are wrong, and the first place in words. */
static void show_difference(const struct ex_file *file, off_t pos,
			    const char *got, size_t len, size_t first)
{
	const char *want = file->data + pos;
	size_t last = first, wrong = 0, i;

	for (i = first; i < len; i++) {
		if (got[i] == want[i])
			continue;
		wrong++;
		last = i;
	}
	fprintf(stderr, "# %zu bytes differ, from %#lx to %#lx; the first is %#x, must be %#x\n",
		wrong, (unsigned long)(pos + first),
		(unsigned long)(pos + last), (unsigned char)got[first],
		(unsigned char)want[first]);
}

/* The first whole word that differs, and who wrote it. */
static void show_words(const struct exercise *ex, const struct ex_file *file,
		       off_t pos, const char *got, size_t len, size_t first)
{
	off_t at = (pos + first) / 8 * 8;
	char word[8];

	if (at < pos)
		at += 8;
	if (at + 8 > pos + (off_t)len)
		return;
	memcpy(word, got + (at - pos), 8);
	fprintf(stderr, "# the word at %#lx:", (unsigned long)at);
	show_word("got", word);
	show_word("must be", file->data + at);
	fprintf(stderr, "\n");
	show_writer(ex, "got", word, at);
	show_writer(ex, "must be", file->data + at, at);
}

/**
 * ex_model_is() - compare with what must be
 * @file: the file
 * @pos: position in it
 * @got: what was read there
 * @len: bytes; may reach behind the end, where zeros must be
 *
 * Return: whether it is right.
 */
bool ex_model_is(const struct ex_file *file, off_t pos, const char *got,
		 size_t len)
{
	return !memcmp(file->data + pos, got, len);
}

/* What is wrong with bytes that ex_model_is() does not like. */
void ex_model_tell(const struct exercise *ex, const struct ex_file *file,
		   off_t pos, const char *got, size_t len, const char *how)
{
	size_t first = 0;

	fprintf(stderr, "# WRONG: %s, file %u, %zu bytes at %#lx, size %#lx\n",
		how, file->number, len, (unsigned long)pos,
		(unsigned long)file->size);
	while (first < len && got[first] == file->data[pos + first])
		first++;
	if (first == len) {
		fprintf(stderr, "# it is right now\n");
		return;
	}
	show_difference(file, pos, got, len, first);
	show_words(ex, file, pos, got, len, first);
}

static void show_record(const struct ex_record *r)
{
	fprintf(stderr, "#   %lu op %lu %s file %u at %#lx",
		r->clock, r->number, r->name, r->file, (unsigned long)r->pos);
	if (r->other != EX_MAX_FILES)
		fprintf(stderr, " with file %u at %#lx", r->other,
			(unsigned long)r->other_pos);
	fprintf(stderr, " len %#zx size %#lx%s: %ld\n", r->len,
		(unsigned long)r->size, r->alone ? "" : " (stripe)", r->result);
}

/* The last operations of a process, and how to do it all again. */
void ex_show_log(const struct exercise *ex, unsigned int process)
{
	const struct ex_process *p = &ex->procs[process];
	unsigned long n = p->begun, i;

	fprintf(stderr, "# seed %llu, %u ranges, process %u, operation %lu\n",
		(unsigned long long)ex->seed, ex->ranges, process, n);
	fprintf(stderr, "# last operations of process %u (order, number):\n",
		process);
	for (i = n > EX_LOG ? n - EX_LOG + 1 : 1; i <= n; i++)
		show_record(&p->log[i % EX_LOG]);
	fprintf(stderr, "# replay: exercise " REPLAY "\n",
		(unsigned long long)ex->seed, ex->nr_procs, ex->ranges,
		n * ex->nr_procs);
}
