// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --xattrmap: extended attributes that have another name on the host, or none.
 */
#include <linux/limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fe_main.h"

static struct frontend fe;
static uint64_t node;

/* With a file `f` that has the attribute user.own on the host. */
static bool begin(const char *map)
{
	const char *const options[] = {
		"--xattrmap", map, "--log-level", "warn", NULL
	};

	CHECK_OR(fe_begin(&fe, options), false);
	node = fe_make(&fe, "f", 1);
	return node && !setxattr(fe_path(&fe, "f"), "user.own", "own", 3, 0);
}

static int set(const char *name, const char *value)
{
	struct {
		struct fuse_setxattr_in in;
		char rest[512];
	} req = { .in.size = strlen(value) };
	size_t len = strlen(name) + 1;

	memcpy(req.rest, name, len);
	memcpy(req.rest + len, value, req.in.size);
	/* The short form, as POSIX ACLs are not negotiated. */
	memmove((char *)&req + FUSE_COMPAT_SETXATTR_IN_SIZE, req.rest,
		len + req.in.size);
	return fe_request(&fe, FUSE_SETXATTR, node, &req,
			  FUSE_COMPAT_SETXATTR_IN_SIZE + len + req.in.size, NULL,
			  0, NULL);
}

/* 0 if it is that value, 1 if another one, or the error */
static int get(const char *name, const char *value)
{
	struct {
		struct fuse_getxattr_in in;
		char name[300];
	} req = { .in.size = 64 };
	char out[64];
	size_t got;
	int err;

	strcpy(req.name, name);
	err = fe_request(&fe, FUSE_GETXATTR, node, &req, sizeof(req.in) +
			 strlen(name) + 1, out, sizeof(out), &got);
	return err ?: got != strlen(value) || memcmp(out, value, got);
}

static int drop(const char *name)
{
	return fe_request(&fe, FUSE_REMOVEXATTR, node, name, strlen(name) + 1,
			  NULL, 0, NULL);
}

/* Whether the guest sees these names, each with a NUL, in some order, and no others. */
static bool lists(const char *names, size_t len)
{
	struct fuse_getxattr_in in = { .size = 1024 };
	char out[1025] = "";
	size_t got, found = 0;

	CHECK_OR(!fe_request(&fe, FUSE_LISTXATTR, node, &in, sizeof(in), out, 1024,
			     &got), false);
	for (const char *p = out; p < out + got; p += strlen(p) + 1) {
		const char *name = names;

		while (name < names + len && strcmp(name, p))
			name += strlen(name) + 1;
		if (name >= names + len) {
			printf("# not expected: %s\n", p);
			return false;
		}
		found += strlen(p) + 1;
	}
	return found == len && got == len;
}

#define LISTS(names) lists(names "\0", sizeof(names "\0") - 1)

static bool host_has(const char *name, const char *value)
{
	char buf[64];
	ssize_t len = getxattr(fe_path(&fe, "f"), name, buf, sizeof(buf));

	return len == (ssize_t)strlen(value) && !memcmp(buf, value, len);
}

static void all_have_a_prefix(void)
{
	char name[XATTR_NAME_MAX + 1] = "user.";

	CHECK(begin(":map::user.virtiofs.:"));
	CHECK(lists("", 0));
	CHECK(!set("security.s", "1") && !set("user.u", "22"));
	CHECK(host_has("user.virtiofs.security.s", "1"));
	CHECK(host_has("user.virtiofs.user.u", "22"));
	CHECK(!get("security.s", "1") && !get("user.u", "22"));
	CHECK(LISTS("security.s\0user.u"));
	/* What the host has is its own. */
	CHECK(get("user.own", "own") == -ENODATA);
	CHECK(!set("user.own", "guest") && host_has("user.own", "own"));
	CHECK(!drop("user.own") && host_has("user.own", "own"));
	CHECK(drop("user.own") == -ENODATA);
	CHECK(!drop("security.s") && LISTS("user.u"));
	memset(name + 5, 'x', XATTR_NAME_MAX - 5);
	CHECK(set(name, "1") == -ERANGE);
	name[XATTR_NAME_MAX - strlen("user.virtiofs.")] = '\0';
	CHECK(!set(name, "1") && !get(name, "1"));
	CHECK(fe_end(&fe) == 0);
}

static void some_have_a_prefix(void)
{
	CHECK(begin("/map/trusted./user.virtiofs./"));
	CHECK(!setxattr(fe_path(&fe, "f"), "trusted.host", "h", 1, 0));
	CHECK(!set("trusted.t", "1") && !set("user.u", "22"));
	CHECK(host_has("user.virtiofs.trusted.t", "1") && host_has("user.u", "22"));
	CHECK(!get("trusted.t", "1") && !get("user.own", "own"));
	CHECK(get("trusted.host", "h") == -ENODATA);
	CHECK(LISTS("trusted.t\0user.u\0user.own"));
	/* By its name on the host a user of the guest would set what only root may. */
	CHECK(set("user.virtiofs.trusted.t", "2") == -EPERM);
	CHECK(drop("user.virtiofs.trusted.t") == -EPERM);
	CHECK(get("user.virtiofs.trusted.t", "1") == -ENODATA);
	CHECK(!get("trusted.t", "1"));
	CHECK(fe_end(&fe) == 0);
}

static void the_first_rule_counts(void)
{
	CHECK(begin("  :ok:client:user.a.::\n/unsupported/client/user.b.//\n"
		    ":prefix:client:user.:user.p.::bad:server::user.own:"
		    ":ok:server::user.:  "));
	CHECK(!set("user.a.x", "1") && host_has("user.a.x", "1"));
	CHECK(set("user.b.x", "2") == -EOPNOTSUPP);
	CHECK(get("user.b.x", "2") == -EOPNOTSUPP);
	CHECK(!set("user.c", "3") && host_has("user.p.user.c", "3"));
	/* Only the guest's names have the prefix, so it is seen in the list. */
	CHECK(LISTS("user.a.x\0user.p.user.c"));
	/* What no rule is for is refused, and not shown. */
	CHECK(set("security.s", "1") == -EPERM);
	CHECK(!setxattr(fe_path(&fe, "f"), "security.h", "h", 1, 0));
	CHECK(LISTS("user.a.x\0user.p.user.c"));
	CHECK(fe_end(&fe) == 0);
}

static bool is_wrong(const char *map, const char *option)
{
	const char *const options[] = { "--xattrmap", map, option, NULL };
	int status = 0;

	printf("# '%s'\n", map);
	fe_fork(&fe, options);
	waitpid(fe.child, &status, 0);
	fe.child = 0;
	fe_kill(&fe);
	return WIFEXITED(status) && WEXITSTATUS(status) == 2;
}

static void what_makes_no_sense(void)
{
	static const char *const wrong[] = {
		"", " ", ":", "::", ":map::", ":map::user.", "map::user.:",
		":mop::user.:", ":map::user.::ok:all:::", ":map::a.::map::b.:",
		":ok:all::", ":ok:every:::", ":ok:all:::x", ":prefix:all:a:b",
		"/ok:all:::/",
	};

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK(is_wrong(wrong[i], NULL));
	CHECK(is_wrong(":map::user.virtiofs.:", "--posix-acl"));
	CHECK(is_wrong(":bad:all:system.:system.::ok:all:::", "--posix-acl"));
}

static const struct fs_test tests[] = {
	TEST(all_have_a_prefix),
	TEST(some_have_a_prefix),
	TEST(the_first_rule_counts),
	TEST(what_makes_no_sense),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
