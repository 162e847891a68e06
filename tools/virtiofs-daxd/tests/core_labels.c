// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * --security-label: what the guest makes has the label that it sends, or is not made.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fe_main.h"

#define NAME "security.selinux"
#define LABEL "system_u:object_r:tmp_t:s0"

static struct frontend fe;

/* What follows the names of a request. */
struct extension {
	struct fuse_secctx_header header;
	struct fuse_secctx context;
	char rest[104];
};

static const char *const renamed[] = {
	"--security-label", "--xattrmap", ":map::user.virtiofs.:", "--log-level",
	"warn", NULL
};
static const char *const as_they_are[] = {
	"--security-label", "--log-level", "warn", NULL
};
static const char *const without[] = {
	"--xattrmap", ":map::user.virtiofs.:", "--log-level", "warn", NULL
};

static bool begin(const char *const *options, bool offered)
{
	struct fuse_init_out out;

	CHECK_OR(fe_begin(&fe, options), false);
	CHECK_OR(!fe_init_flags(&fe, FUSE_INIT_EXT | FUSE_SECURITY_CTX, &out),
		 false);
	return !!(out.flags2 & FUSE_SECURITY_CTX >> 32) == offered;
}

static struct extension extension(void)
{
	struct extension ext = {
		.header = { .size = sizeof(ext), .nr_secctx = 1 },
		.context.size = sizeof(LABEL),
	};

	memcpy(ext.rest, NAME, sizeof(NAME));
	memcpy(ext.rest + sizeof(NAME), LABEL, sizeof(LABEL));
	return ext;
}

/* A request with a structure, names, and an extension; its error. */
static int ask(uint32_t opcode, const void *in, size_t in_len, const char *names,
	       size_t names_len, const struct extension *ext)
{
	char body[512], out[sizeof(struct fuse_entry_out) +
			    sizeof(struct fuse_open_out)];
	size_t out_len = opcode == FUSE_CREATE || opcode == FUSE_TMPFILE ?
			 sizeof(out) : sizeof(struct fuse_entry_out);
	int err;

	memcpy(body, in, in_len);
	memcpy(body + in_len, names, names_len);
	memcpy(body + in_len + names_len, ext, sizeof(*ext));
	fe.extlen = fe.extlen ?: sizeof(*ext) / 8;
	err = fe_request(&fe, opcode, FUSE_ROOT_ID, body, in_len + names_len +
			 sizeof(*ext), out, out_len, NULL);
	fe.extlen = 0;
	return err;
}

static int make(const char *name, const struct extension *ext)
{
	struct fuse_mkdir_in in = { .mode = 0755 };

	return ask(FUSE_MKDIR, &in, sizeof(in), name, strlen(name) + 1, ext);
}

static bool has_label(const char *name, const char *label)
{
	char buf[64];
	ssize_t len = lgetxattr(fe_path(&fe, name), label, buf, sizeof(buf));

	return len == sizeof(LABEL) && !strcmp(buf, LABEL);
}

static bool is_there(const char *name)
{
	struct stat st;

	return !lstat(fe_path(&fe, name), &st);
}

static void it_is_there_from_the_first(void)
{
	struct fuse_create_in create = { .flags = O_RDWR, .mode = 0644 };
	struct fuse_mknod_in node = { .mode = S_IFREG | 0644 };
	struct extension ext = extension();

	CHECK(begin(renamed, true));
	CHECK(!make("dir", &ext) && has_label("dir", "user.virtiofs." NAME));
	CHECK(!ask(FUSE_MKNOD, &node, sizeof(node), "node", 5, &ext));
	CHECK(has_label("node", "user.virtiofs." NAME));
	CHECK(!ask(FUSE_CREATE, &create, sizeof(create), "file", 5, &ext));
	CHECK(has_label("file", "user.virtiofs." NAME));
	CHECK(!ask(FUSE_TMPFILE, &create, sizeof(create), "", 1, &ext));
	/* It is another file's no more. */
	CHECK(!fe_request(&fe, FUSE_UNLINK, FUSE_ROOT_ID, "node", 5, NULL, 0, NULL));
	CHECK(fe_make(&fe, "plain", 1) && !has_label("plain", "user.virtiofs." NAME));
	CHECK(fe_end(&fe) == 0);
}

/* Also what exists keeps its label when it is opened by a CREATE. */
static void what_exists_is_left(void)
{
	struct fuse_create_in create = { .flags = O_RDWR, .mode = 0644 };
	struct extension ext = extension();

	CHECK(begin(renamed, true));
	CHECK(fe_file(&fe, "file", 1));
	CHECK(!ask(FUSE_CREATE, &create, sizeof(create), "file", 5, &ext));
	CHECK(!has_label("file", "user.virtiofs." NAME));
	CHECK(make("file", &ext) == -EEXIST && is_there("file"));
	CHECK(fe_end(&fe) == 0);
}

/* Not every file system has such names. */
static bool is_refusal(int err)
{
	return err == -EPERM || err == -EOPNOTSUPP;
}

/*
 * A link has no attributes of users; and a label that no module of the host knows takes
 * CAP_SYS_ADMIN.
 */
static void or_nothing_is_made(void)
{
	struct fuse_create_in create = { .flags = O_RDWR, .mode = 0644 };
	struct extension ext = extension();

	CHECK(begin(renamed, true));
	CHECK(ask(FUSE_SYMLINK, "", 0, "link\0to", 8, &ext) == -EPERM);
	CHECK(!is_there("link"));
	CHECK(fe_end(&fe) == 0);
	CHECK(begin(as_they_are, true));
	memcpy(ext.rest, "security.unknown", sizeof(NAME));
	CHECK(is_refusal(make("dir", &ext)) && !is_there("dir"));
	CHECK(is_refusal(ask(FUSE_CREATE, &create, sizeof(create), "file", 5, &ext)));
	CHECK(!is_there("file"));
	CHECK(fe_end(&fe) == 0);
}

static void not_if_it_is_not_asked_for(void)
{
	struct extension ext = extension();

	CHECK(begin(without, false));
	CHECK(!make("dir", &ext) && !has_label("dir", "user.virtiofs." NAME));
	CHECK(fe_end(&fe) == 0);
}

static void it_is_no_other_attribute(void)
{
	struct extension ext = extension();

	CHECK(begin(as_they_are, true));
	memcpy(ext.rest, "system.posix_acl_access", sizeof("system.posix_acl_access"));
	CHECK(make("dir", &ext) == -EINVAL && !is_there("dir"));
	CHECK(fe_end(&fe) == 0);
}

static void what_lies_about_its_length(void)
{
	struct extension ext = extension(), none = extension(), other = extension();

	CHECK(begin(renamed, true));
	none.header.nr_secctx = 0;
	CHECK(!make("none", &none));
	other.header.nr_secctx = FUSE_EXT_GROUPS;
	CHECK(!make("other", &other));
	ext.header.nr_secctx = 2;
	CHECK(make("d", &ext) == -EINVAL);
	ext = extension();
	ext.header.size++;
	CHECK(make("d", &ext) == -EINVAL);
	ext.header.size = sizeof(ext.header) + sizeof(ext.context) - 1;
	CHECK(make("d", &ext) == -EINVAL);
	ext.header.size++;
	CHECK(make("d", &ext) == -EINVAL);
	ext = extension();
	ext.context.size = sizeof(ext.rest) - sizeof(NAME) + 1;
	CHECK(make("d", &ext) == -EINVAL);
	ext.context.size = UINT32_MAX;
	CHECK(make("d", &ext) == -EINVAL);
	ext = extension();
	ext.rest[0] = 0;
	CHECK(make("d", &ext) == -EINVAL);
	memset(ext.rest, 'x', sizeof(ext.rest));
	CHECK(make("d", &ext) == -EINVAL);
	ext = extension();
	fe.extlen = 65535;
	CHECK(make("d", &ext) == -EINVAL);
	CHECK(!is_there("d"));
	CHECK(fe_end(&fe) == 0);
}

static const struct fs_test tests[] = {
	TEST(it_is_there_from_the_first),
	TEST(what_exists_is_left),
	TEST(or_nothing_is_made),
	TEST(not_if_it_is_not_asked_for),
	TEST(it_is_no_other_attribute),
	TEST(what_lies_about_its_length),
};

int main(int argc, char **argv)
{
	return fe_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
