// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest with idmapped mounts: it is allowed to have them, and does not say then who
 * asks, other than where something is made.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fe_main.h"

#define NOBODY 65534

static struct frontend fe;

static const char *const options[] = {
	"--posix-acl", "--log-level", "warn", NULL
};

static void it_is_allowed(void)
{
	struct fuse_init_out out;

	CHECK(fe_begin(&fe, options));
	CHECK(!fe_init_flags(&fe, FUSE_ALLOW_IDMAP | FUSE_INIT_EXT, &out));
	CHECK(out.flags & FUSE_INIT_EXT && out.flags2 & FUSE_ALLOW_IDMAP >> 32);
	/* Not to who does not know of it. */
	CHECK(!fe_init_flags(&fe, FUSE_INIT_EXT, &out));
	CHECK(!(out.flags2 & FUSE_ALLOW_IDMAP >> 32));
	CHECK(fe_end(&fe) == 0);
}

/* user::rwx, user:42:rwx, group::rwx, mask::rwx, other::r-x */
static const char acl[] =
	"\2\0\0\0"
	"\1\0\7\0\377\377\377\377" "\2\0\7\0\052\0\0\0"
	"\4\0\7\0\377\377\377\377" "\20\0\7\0\377\377\377\377"
	"\40\0\5\0\377\377\377\377";

/* Without the user, whom there is not in every user namespace. */
static const char short_acl[] =
	"\2\0\0\0"
	"\1\0\7\0\377\377\377\377" "\4\0\7\0\377\377\377\377"
	"\40\0\5\0\377\377\377\377";

static int set_this_acl(uint64_t node, uint32_t flags, const char *value,
			size_t size)
{
	static const char name[] = "system.posix_acl_access";
	struct {
		struct fuse_setxattr_in in;
		char rest[sizeof(name) + sizeof(acl) - 1];
	} req = {
		.in.size = (uint32_t)size,
		.in.setxattr_flags = flags,
	};

	memcpy(req.rest, name, sizeof(name));
	memcpy(req.rest + sizeof(name), value, size);
	return fe_request(&fe, FUSE_SETXATTR, node, &req,
			  sizeof(req.in) + sizeof(name) + size, NULL, 0, NULL);
}

static int set_acl(uint64_t node, uint32_t flags)
{
	return set_this_acl(node, flags, acl, sizeof(acl) - 1);
}

static int set_short_acl(uint64_t node, uint32_t flags)
{
	return set_this_acl(node, flags, short_acl, sizeof(short_acl) - 1);
}

/*
 * The guest says that the caller may not keep the bit; the group that it sends beside
 * that is nobody's, or that of the daemon, which is the file's.
 */
static void set_group_id_goes(void)
{
	const uint64_t flags = FUSE_POSIX_ACL | FUSE_SETXATTR_EXT;
	static const uint32_t groups[] = { 0, UINT32_MAX, 65534, 7 };
	struct fuse_init_out out;
	uint64_t node;
	struct stat st;

	CHECK(fe_begin(&fe, options));
	CHECK(!fe_init_flags(&fe, flags, &out) && out.flags & FUSE_SETXATTR_EXT);
	node = fe_make(&fe, "f", 1);
	CHECK(node);
	if (set_acl(node, 0) == -EOPNOTSUPP)
		SKIP("no POSIX ACLs here");
	for (unsigned int i = 0; i < 4; i++) {
		if (groups[i] != UINT32_MAX)
			CHECK(!chown(fe_path(&fe, "f"), 1, groups[i]));
		fe.gid = groups[i];
		CHECK(!chmod(fe_path(&fe, "f"), 02775));
		CHECK(!set_acl(node, 0) && !stat(fe_path(&fe, "f"), &st));
		CHECK(st.st_mode & S_ISGID);
		CHECK(!set_acl(node, FUSE_SETXATTR_ACL_KILL_SGID));
		CHECK(!stat(fe_path(&fe, "f"), &st) && !(st.st_mode & S_ISGID));
	}
	fe.gid = 0;
	CHECK(fe_end(&fe) == 0);
}

static bool group_id_goes(unsigned int user, const char *const *more)
{
	const uint64_t flags = FUSE_POSIX_ACL | FUSE_SETXATTR_EXT;
	struct fuse_init_out out;
	struct stat st;
	uint64_t node;
	bool began;

	fe_user = user;
	began = fe_begin(&fe, more);
	fe_user = 0;
	CHECK_OR(began && !fe_init_flags(&fe, flags, &out), false);
	node = fe_make(&fe, "f", 1);
	CHECK_OR(node && !chown(fe_path(&fe, "f"), user, user), false);
	CHECK_OR(!chmod(fe_path(&fe, "f"), 02775), false);
	CHECK_OR(!set_short_acl(node, 0) && !stat(fe_path(&fe, "f"), &st), false);
	CHECK_OR(st.st_mode & S_ISGID, false);
	CHECK_OR(!set_short_acl(node, FUSE_SETXATTR_ACL_KILL_SGID), false);
	CHECK_OR(!stat(fe_path(&fe, "f"), &st), false);
	CHECK_OR((st.st_mode & 07777) == 0775, false);
	return !fe_end(&fe);
}

/* Where the daemon is in the file's group, and cannot leave it, all the same. */
static void set_group_id_goes_for_others(void)
{
	static const char *const bound[] = {
		"--posix-acl", "--modcaps=-setgid", "--log-level", "warn", NULL
	};
	static const char *const none[] = {
		"--posix-acl", "--sandbox", "none", "--log-level", "warn", NULL
	};

	CHECK(group_id_goes(0, bound));
	CHECK(group_id_goes(NOBODY, options));
	CHECK(group_id_goes(NOBODY, none));
}

static const struct fs_test tests[] = {
	TEST(it_is_allowed),
	TEST(set_group_id_goes),
	TEST(set_group_id_goes_for_others),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
