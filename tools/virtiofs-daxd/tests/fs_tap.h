/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the file operations: a table of functions, TAP on standard output.
 */
#ifndef VIRTIOFS_DAXD_FS_TAP_H
#define VIRTIOFS_DAXD_FS_TAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct fs_test {
	const char *name;
	void (*run)(void);
};

#define TEST(fn) { .name = #fn, .run = fn }

static bool tap_failed;
static const char *tap_skipped;

/* State what must hold; the test ends where it does not. */
#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("# %s:%d: %s (errno %s)\n", __FILE__,	\
			       __LINE__, #cond, strerror(errno));	\
			tap_failed = true;				\
			return;						\
		}							\
	} while (0)

/* The same where a value is returned. */
#define CHECK_OR(cond, ret)						\
	do {								\
		if (!(cond)) {						\
			printf("# %s:%d: %s (errno %s)\n", __FILE__,	\
			       __LINE__, #cond, strerror(errno));	\
			tap_failed = true;				\
			return (ret);					\
		}							\
	} while (0)

#define CHECK_ERR(expr, error)						\
	do {								\
		errno = 0;						\
		CHECK((expr) == -1 && errno == (error));		\
	} while (0)

#define SKIP(why)							\
	do {								\
		tap_skipped = (why);					\
		return;							\
	} while (0)

/* Return: exit status. */
static inline int run_tests(const struct fs_test *tests, size_t nr,
			    const char *only)
{
	int failed = 0;

	printf("TAP version 13\n1..%zu\n", nr);
	for (size_t i = 0; i < nr; i++) {
		tap_failed = false;
		tap_skipped = NULL;
		if (only && strcmp(only, tests[i].name))
			tap_skipped = "not asked for";
		else
			tests[i].run();
		printf("%sok %zu - %s%s%s\n", tap_failed ? "not " : "", i + 1,
		       tests[i].name, tap_skipped ? " # SKIP " : "",
		       tap_skipped ? tap_skipped : "");
		fflush(stdout);
		failed += tap_failed;
	}
	return failed ? 1 : 0;
}

static inline int skip_all(const char *why)
{
	printf("TAP version 13\n1..0 # SKIP %s\n", why);
	return 0;
}

#endif
