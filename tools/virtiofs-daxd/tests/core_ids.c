// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --translate-uid and --translate-gid: who somebody of the guest is on the host, and
 * whom the guest sees.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_main.h"

static struct frontend fe;

/* As somebody of the guest; the error, and whom the answer names. */
static int make(const char *name, uint32_t uid, uint32_t gid,
		struct fuse_attr *attr)
{
	struct {
		struct fuse_mkdir_in in;
		char name[16];
	} req = { .in.mode = 0755 };
	struct fuse_entry_out out = { 0 };
	int err;

	strcpy(req.name, name);
	fe.uid = uid;
	fe.gid = gid;
	err = fe_request(&fe, FUSE_MKDIR, FUSE_ROOT_ID, &req,
			 sizeof(req.in) + strlen(name) + 1, &out, sizeof(out),
			 NULL);
	fe.uid = fe.gid = 0;
	*attr = out.attr;
	return err;
}

static bool belongs(const char *name, uint32_t uid, uint32_t gid)
{
	struct stat st;

	return !stat(fe_path(&fe, name), &st) && st.st_uid == uid &&
	       st.st_gid == gid;
}

/* What each answer with attributes says. */
static bool is_seen(const char *name, uint32_t uid, uint32_t gid)
{
	struct fuse_getattr_in in = { 0 };
	struct fuse_statx_in sx = { .sx_mask = STATX_BASIC_STATS };
	struct fuse_setattr_in set = { .valid = FATTR_MODE, .mode = 0755 };
	struct fuse_attr_out got, after;
	struct fuse_statx_out statx;
	struct fuse_entry_out entry;
	uint64_t node = fe_lookup(&fe, name, &entry);

	CHECK_OR(node && entry.attr.uid == uid && entry.attr.gid == gid, false);
	CHECK_OR(!fe_request(&fe, FUSE_GETATTR, node, &in, sizeof(in), &got,
			     sizeof(got), NULL), false);
	CHECK_OR(got.attr.uid == uid && got.attr.gid == gid, false);
	CHECK_OR(!fe_request(&fe, FUSE_SETATTR, node, &set, sizeof(set), &after,
			     sizeof(after), NULL), false);
	CHECK_OR(after.attr.uid == uid && after.attr.gid == gid, false);
	CHECK_OR(!fe_request(&fe, FUSE_STATX, node, &sx, sizeof(sx), &statx,
			     sizeof(statx), NULL), false);
	return statx.stat.uid == uid && statx.stat.gid == gid;
}

static int give(const char *name, uint32_t valid, uint32_t uid, uint32_t gid)
{
	struct fuse_setattr_in set = { .valid = valid, .uid = uid, .gid = gid };
	struct fuse_attr_out out;

	return fe_request(&fe, FUSE_SETATTR, fe_lookup(&fe, name, NULL), &set,
			  sizeof(set), &out, sizeof(out), NULL);
}

static void both_directions(void)
{
	static const char *const options[] = {
		"--translate-uid", "map:1000:5000:10",
		"--translate-uid", "map:0:6000:1",
		"--translate-gid", "map:1000:7000:10",
		"--log-level", "warn", NULL
	};
	struct fuse_attr attr;

	CHECK(fe_begin(&fe, options));
	CHECK(!make("d", 1003, 1004, &attr));
	CHECK(attr.uid == 1003 && attr.gid == 1004 && belongs("d", 5003, 7004));
	CHECK(is_seen("d", 1003, 1004));
	/* Root of the guest is one of them; others stay who they are. */
	CHECK(!make("r", 0, 1010, &attr) && belongs("r", 6000, 1010));
	CHECK(is_seen("r", 0, 1010));
	CHECK(!make("o", 1010, 999, &attr) && belongs("o", 1010, 999));
	/* Those of the host who have no name in the guest are seen as they are. */
	CHECK(!mkdir(fe_path(&fe, "h"), 0755) && is_seen("h", 0, 0));
	CHECK(!give("d", FATTR_UID, 1001, 0) && belongs("d", 5001, 7004));
	CHECK(!give("d", FATTR_GID, 0, 1001) && belongs("d", 5001, 7001));
	CHECK(!give("d", FATTR_UID | FATTR_GID, 0, 0) && belongs("d", 6000, 0));
	CHECK(fe_end(&fe) == 0);
}

static void one_direction(void)
{
	static const char *const options[] = {
		"--translate-uid=guest:1000:5000:10",
		"--translate-gid=host:7000:1000:10",
		"--log-level", "warn", NULL
	};
	struct fuse_attr attr;

	CHECK(fe_begin(&fe, options));
	CHECK(!make("d", 1003, 7003, &attr));
	CHECK(belongs("d", 5003, 7003) && is_seen("d", 5003, 1003));
	CHECK(attr.uid == 5003 && attr.gid == 1003);
	CHECK(fe_end(&fe) == 0);
}

static void all_are_one(void)
{
	static const char *const options[] = {
		"--translate-uid", "squash-guest:0:1001:4294967295",
		"--translate-gid", "squash-guest:0:100:4294967295",
		"--translate-uid", "squash-host:1001:1000:1",
		"--translate-gid", "squash-host:0:42:200",
		"--log-level", "warn", NULL
	};
	struct fuse_attr attr;

	CHECK(fe_begin(&fe, options));
	CHECK(!make("d", 0, 0, &attr) && belongs("d", 1001, 100));
	CHECK(!make("e", 77, 4294967294, &attr) && belongs("e", 1001, 100));
	CHECK(is_seen("d", 1000, 42));
	/* Nobody is not one of them. */
	CHECK(make("n", UINT32_MAX, 0, &attr) == -EINVAL);
	CHECK(fe_end(&fe) == 0);
}

static void some_are_forbidden(void)
{
	static const char *const options[] = {
		"--translate-uid", "forbid-guest:0:1000",
		"--translate-gid", "forbid-guest:5:1",
		"--log-level", "warn", NULL
	};
	struct fuse_attr attr;

	CHECK(fe_begin(&fe, options));
	CHECK(make("d", 0, 1000, &attr) == -EPERM);
	CHECK(make("d", 1000, 5, &attr) == -EPERM);
	CHECK(access(fe_path(&fe, "d"), F_OK) && errno == ENOENT);
	CHECK(!make("d", 1000, 6, &attr) && belongs("d", 1000, 6));
	CHECK(give("d", FATTR_UID, 999, 0) == -EPERM);
	CHECK(give("d", FATTR_GID, 0, 5) == -EPERM);
	CHECK(belongs("d", 1000, 6));
	CHECK(fe_end(&fe) == 0);
}

/* How the daemon ends that is told so; it says why on the way. */
static bool is_wrong(const char *one, const char *other)
{
	const char *const options[] = {
		"--translate-uid", one, "--translate-uid", other, NULL
	};
	const char *const with[] = { "--translate-uid", one, other, NULL };
	int status = 0;

	fe_fork(&fe, other && *other != '-' ? options : with);
	waitpid(fe.child, &status, 0);
	fe.child = 0;
	fe_kill(&fe);
	return WIFEXITED(status) && WEXITSTATUS(status) == 2;
}

static void what_makes_no_sense(void)
{
	static const char *const wrong[] = {
		"", "map", "map:1:2", "map:1:2:3:4", "map:1:2:x", "map:1:2:-3",
		"map:1:2:3 ", "map:1.2:3", "mop:1:2:3", ":1:2:3", "1:2:3",
		"forbid-guest:1:2:3", "forbid-host:1:2", "map:1:4294967296:1",
		"guest:4294967295:0:1", "guest:0:4294967295:1",
		"map:4294967290:0:6", "squash-guest:0:4294967295:1",
	};

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		printf("# '%s'\n", wrong[i]);
		CHECK(is_wrong(wrong[i], NULL));
	}
	CHECK(is_wrong("map:0:1000:10", "guest:9:0:1"));
	CHECK(is_wrong("guest:5:0:1", "squash-guest:0:7:4294967295"));
	CHECK(is_wrong("map:0:1000:10", "host:1009:5:1"));
	CHECK(is_wrong("map:0:1000:10", "--posix-acl"));
}

static const struct fs_test tests[] = {
	TEST(both_directions),
	TEST(one_direction),
	TEST(all_are_one),
	TEST(some_are_forbidden),
	TEST(what_makes_no_sense),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
