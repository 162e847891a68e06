// SPDX-License-Identifier: GPL-2.0
/*
 * What the operations of the exerciser have in common: access to files and
 * mappings, and what is said if it went wrong.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include "exercise.h"

/* SIGBUS is expected in ex_copy() only */

static sigjmp_buf bus_escape;
static volatile sig_atomic_t bus_expected;

static void on_sigbus(int sig)
{
	static const char text[] = "# SIGBUS outside of a copy\n";

	if (bus_expected)
		siglongjmp(bus_escape, 1);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(3);
	_exit(2);
}

void ex_catch_sigbus(void)
{
	struct sigaction action = {
		.sa_handler = on_sigbus,
		.sa_flags = SA_NODEFER,
	};

	sigaction(SIGBUS, &action, NULL);
}

static bool is_aligned(const volatile void *p)
{
	return !((uintptr_t)p % sizeof(uint64_t));
}

/*
 * Copy by single accesses to aligned memory. What memcpy() does may need two
 * ranges at once, and there may be but one, or others that want two as well.
 */
static void copy_slowly(volatile char *to, const volatile char *from,
			size_t len)
{
	size_t i = 0;

	while (i < len && !is_aligned(to + i)) {
		to[i] = from[i];
		i++;
	}
	if (is_aligned(from + i))
		for (; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t))
			*(volatile uint64_t *)(to + i) =
				*(const volatile uint64_t *)(from + i);
	for (; i < len; i++)
		to[i] = from[i];
}

/* Copy from or to a mapping; -1 for SIGBUS. */
int ex_copy(void *to, const void *from, size_t len)
{
	bus_expected = 1;
	if (sigsetjmp(bus_escape, 0)) {
		bus_expected = 0;
		return -1;
	}
	copy_slowly(to, from, len);
	bus_expected = 0;
	return 0;
}

/* Files as this process has them open */

void ex_close(struct ex_worker *w, struct ex_file *file)
{
	struct ex_handle *h = &w->handles[file->number];

	if (h->map)
		munmap(h->map, EX_MAX_SIZE);
	if (h->direct >= 0)
		close(h->direct);
	if (h->fd >= 0)
		close(h->fd);
	h->map = NULL;
	h->direct = -1;
	h->fd = -1;
}

static struct ex_handle *handle(struct ex_worker *w, struct ex_file *file)
{
	struct ex_handle *h = &w->handles[file->number];

	if (h->inode != file->inode)
		ex_close(w, file);
	h->inode = file->inode;
	return h;
}

static int open_by_name(struct ex_worker *w, struct ex_file *file, int flags)
{
	char name[32];

	ex_name(file, name, sizeof(name));
	return openat(w->ex->fs.dirfd, name, O_RDWR | O_CLOEXEC | flags);
}

int ex_fd(struct ex_worker *w, struct ex_file *file)
{
	struct ex_handle *h = handle(w, file);

	if (h->fd < 0)
		h->fd = open_by_name(w, file, 0);
	return h->fd;
}

/* Sometimes that with O_DIRECT. Other file systems want aligned buffers. */
int ex_any_fd(struct ex_worker *w, struct ex_op *op)
{
	struct ex_handle *h = handle(w, op->file);

	if (ex_random(&op->random, 8) || !w->ex->fs.tag)
		return ex_fd(w, op->file);
	if (h->direct < 0)
		h->direct = open_by_name(w, op->file, O_DIRECT);
	return h->direct;
}

char *ex_map(struct ex_worker *w, struct ex_file *file)
{
	struct ex_handle *h = handle(w, file);
	int fd = ex_fd(w, file);

	if (h->map || fd < 0)
		return h->map;
	h->map = map_file(fd, EX_MAX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (h->map == MAP_FAILED)
		h->map = NULL;
	return h->map;
}

/* What is said of an operation that went wrong */

/* Whether another look at the place of the first wrong byte gives the same. */
static void look_again(struct ex_worker *w, struct ex_op *op)
{
	size_t len = ex_model_readable(op->file, op->pos, op->len);
	char *map = ex_map(w, op->file);
	char *buf = malloc(len + 1);
	ssize_t n;

	n = pread(ex_fd(w, op->file), buf, len, op->pos);
	fprintf(stderr, "# file %u by pread() again: %zd of %zu bytes, %s\n",
		op->file->number, n, len,
		n == (ssize_t)len && !memcmp(buf, op->file->data + op->pos, len)
			? "right" : "wrong");
	if (map && !ex_copy(buf, map + op->pos, len))
		fprintf(stderr, "# file %u by mmap again: %s\n",
			op->file->number,
			memcmp(buf, op->file->data + op->pos, len)
				? "wrong" : "right");
	free(buf);
}

static void show_op(struct ex_worker *w, struct ex_op *op)
{
	unsigned int i;

	look_again(w, op);
	if (op->file->shared)
		for (i = 0; i < w->ex->nr_procs; i++)
			if (i != w->number)
				ex_show_log(w->ex, i);
	ex_show_log(w->ex, w->number);
}

enum ex_outcome ex_wrong(struct ex_worker *w, struct ex_op *op,
			 const char *format, ...)
{
	int error = errno;
	va_list args;

	if (!ex_fail_first(w->ex))
		return EX_WRONG;
	fprintf(stderr, "# WRONG: %s file %u, %zu bytes at %#lx, size %#lx: ",
		op->kind->name, op->file->number, op->len,
		(unsigned long)op->pos, (unsigned long)op->file->size);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno %d, %s)\n", error, strerror(error));
	show_op(w, op);
	return EX_WRONG;
}

/* Compare bytes of a file with what they must be. */
enum ex_outcome ex_bytes(struct ex_worker *w, struct ex_op *op,
			 const struct ex_file *file, off_t pos,
			 const char *got, size_t len)
{
	if (ex_model_is(file, pos, got, len))
		return EX_RIGHT;
	if (ex_fail_first(w->ex)) {
		ex_model_tell(w->ex, file, pos, got, len, op->kind->name);
		show_op(w, op);
	}
	return EX_WRONG;
}

enum ex_outcome ex_size(struct ex_worker *w, struct ex_op *op,
			const struct ex_file *file, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return ex_wrong(w, op, "fstat");
	if (st.st_size != file->size)
		return ex_wrong(w, op, "fstat says file %u has %#lx bytes",
				file->number, (unsigned long)st.st_size);
	return EX_RIGHT;
}
