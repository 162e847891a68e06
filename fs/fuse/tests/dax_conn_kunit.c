// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of which connections and inodes use DAX.
 */
#include "dax_kunit.h"

struct alignment_case {
	const char *name;
	unsigned int alignment;
	bool ok;
};

static const struct alignment_case alignment_cases[] = {
	{ "a byte", 0, true },
	{ "less than a page", 9, true },
	{ "a page", PAGE_SHIFT, true },
	{ "a range", FUSE_DAX_RANGE_SHIFT, true },
	{ "two ranges", FUSE_DAX_RANGE_SHIFT + 1, false },
	{ "sign of an int", 31, false },
	{ "more than an int", 32, false },
	{ "sign of a long", 63, false },
	{ "more than a long", 64, false },
	{ "a byte of ones", 255, false },
	{ "all that the protocol can say", U16_MAX, false },
};

KUNIT_ARRAY_PARAM_DESC(alignment, alignment_cases, name);

static void conn_alignment(struct kunit *test)
{
	const struct alignment_case *c = test->param_value;
	struct fuse_dax_kunit *kt = test->priv;

	KUNIT_EXPECT_EQ(test, c->ok,
			fuse_dax_conn_alignment_ok(&kt->fc, c->alignment));
	/* Without a window it is of no interest */
	kt->fc.dax = NULL;
	KUNIT_EXPECT_TRUE(test,
			  fuse_dax_conn_alignment_ok(&kt->fc, c->alignment));
	kt->fc.dax = kt->win;
}

struct wanted_case {
	const char *name;
	enum fuse_dax_mode mode;
	/* The server knows of the attribute; the file has it */
	bool inode_dax, attr;
	bool wanted;
};

static const struct wanted_case wanted_cases[] = {
	{ "always", FUSE_DAX_ALWAYS, false, false, true },
	{ "always, marked", FUSE_DAX_ALWAYS, true, true, true },
	{ "never", FUSE_DAX_NEVER, true, true, false },
	{ "inode, marked", FUSE_DAX_INODE_USER, true, true, true },
	{ "inode, not marked", FUSE_DAX_INODE_USER, true, false, false },
	{ "inode, by no server", FUSE_DAX_INODE_USER, false, true, false },
	{ "default, marked", FUSE_DAX_INODE_DEFAULT, true, true, true },
	{ "default, not marked", FUSE_DAX_INODE_DEFAULT, true, false, false },
};

KUNIT_ARRAY_PARAM_DESC(wanted, wanted_cases, name);

static bool conn_uses_dax(struct inode *inode, unsigned int flags)
{
	inode->i_flags = 0;
	fuse_dax_inode_init(inode, flags);
	return IS_DAX(inode);
}

static bool conn_forgets(struct inode *inode, unsigned int flags)
{
	bool forgotten;

	fuse_dax_dontcache(inode, flags);
	spin_lock(&inode->i_lock);
	forgotten = inode_state_read(inode) & I_DONTCACHE;
	inode_state_clear(inode, I_DONTCACHE);
	spin_unlock(&inode->i_lock);
	return forgotten;
}

static void conn_inode(struct kunit *test)
{
	const struct wanted_case *c = test->param_value;
	unsigned int flags = c->attr ? FUSE_ATTR_DAX : 0;
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = &kt->fi[0].inode;
	bool choice = fuse_is_inode_dax_mode(c->mode);

	kt->fc.dax_mode = c->mode;
	kt->fc.inode_dax = c->inode_dax;
	/* As fuse_dax_conn_init() leaves it */
	if (c->mode == FUSE_DAX_NEVER)
		kt->fc.dax = NULL;
	KUNIT_EXPECT_EQ(test, c->wanted, conn_uses_dax(inode, flags));

	/* It is forgotten if what it is differs from what it would be now */
	KUNIT_EXPECT_FALSE(test, conn_forgets(inode, flags));
	inode->i_flags ^= S_DAX;
	KUNIT_EXPECT_EQ(test, choice, conn_forgets(inode, flags));

	/* A server that does no setups, or no window: no file */
	kt->win->disabled = true;
	KUNIT_EXPECT_FALSE(test, conn_uses_dax(inode, flags));
	KUNIT_EXPECT_FALSE(test, conn_forgets(inode, flags));
	kt->fc.dax = NULL;
	KUNIT_EXPECT_FALSE(test, conn_uses_dax(inode, flags));
	inode->i_flags = S_DAX;
	KUNIT_EXPECT_FALSE(test, conn_forgets(inode, flags));
	kt->fc.dax = kt->win;
}

/* What is no regular file is left alone */
static void conn_directory(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = &kt->fi[0].inode;

	kt->fc.inode_dax = true;
	inode->i_flags = 0;
	KUNIT_EXPECT_TRUE(test, conn_forgets(inode, FUSE_ATTR_DAX));
	inode->i_mode = S_IFDIR;
	KUNIT_EXPECT_FALSE(test, conn_forgets(inode, FUSE_ATTR_DAX));
}

static void conn_mode(struct kunit *test)
{
	static const struct {
		enum fuse_dax_mode mode;
		const char *option;
		u64 flags;
		bool has[4];	/* by enum fuse_dax_mode */
	} modes[] = {
		{ FUSE_DAX_INODE_DEFAULT, "", FUSE_HAS_INODE_DAX,
		  { true, false, false, true } },
		{ FUSE_DAX_ALWAYS, ",dax=always", 0,
		  { true, true, false, false } },
		{ FUSE_DAX_NEVER, ",dax=never", 0,
		  { true, false, true, false } },
		{ FUSE_DAX_INODE_USER, ",dax=inode", FUSE_HAS_INODE_DAX,
		  { true, false, false, true } },
	};
	struct fuse_dax_kunit *kt = test->priv;

	for (int i = 0; i < ARRAY_SIZE(modes); i++) {
		kt->fc.dax_mode = modes[i].mode;
		KUNIT_EXPECT_STREQ(test, modes[i].option,
				   fuse_dax_conn_option(&kt->fc));
		KUNIT_EXPECT_EQ(test, modes[i].flags | FUSE_MAP_ALIGNMENT |
				FUSE_MAP_REPLACE | FUSE_MAP_SPLIT,
				fuse_dax_conn_init_flags(&kt->fc));
		for (int j = 0; j < ARRAY_SIZE(modes[i].has); j++)
			KUNIT_EXPECT_EQ(test, modes[i].has[j],
					fuse_dax_conn_has_mode(&kt->fc, j));
		kt->fc.dax = NULL;
		KUNIT_EXPECT_EQ(test, modes[i].flags,
				fuse_dax_conn_init_flags(&kt->fc));
		kt->fc.dax = kt->win;
	}
}

/* What a server does not say, or other flags, it is not taken to be able to do */
static void conn_answered(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct fuse_dax_window *win = kt->win;

	fuse_dax_conn_answered(&kt->fc, 0);
	KUNIT_EXPECT_FALSE(test, fuse_dax_conn_replaces(win));
	KUNIT_EXPECT_FALSE(test, fuse_dax_conn_removes_parts(win));
	fuse_dax_conn_answered(&kt->fc, FUSE_MAP_REPLACE);
	KUNIT_EXPECT_TRUE(test, fuse_dax_conn_replaces(win));
	KUNIT_EXPECT_FALSE(test, fuse_dax_conn_removes_parts(win));
	fuse_dax_conn_answered(&kt->fc, FUSE_MAP_SPLIT);
	KUNIT_EXPECT_FALSE(test, fuse_dax_conn_replaces(win));
	KUNIT_EXPECT_TRUE(test, fuse_dax_conn_removes_parts(win));
	fuse_dax_conn_answered(&kt->fc, ~(FUSE_MAP_REPLACE | FUSE_MAP_SPLIT));
	KUNIT_EXPECT_FALSE(test, fuse_dax_conn_replaces(win));
	KUNIT_EXPECT_FALSE(test, fuse_dax_conn_removes_parts(win));

	kt->fc.dax = NULL;
	fuse_dax_conn_answered(&kt->fc, FUSE_MAP_REPLACE);
	kt->fc.dax = win;
}

/* However many setups say so, inodes are dropped once */
static void conn_disable(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	for (int i = 0; i < 2; i++) {
		fuse_dax_window_disable(kt->win);
		flush_work(&kt->win->disable_work);
		KUNIT_EXPECT_TRUE(test, kt->win->disabled);
		KUNIT_EXPECT_EQ(test, kt->nr_disables, 1);
	}
}

static struct kunit_case fuse_dax_conn_cases[] = {
	KUNIT_CASE_PARAM(conn_alignment, alignment_gen_params),
	KUNIT_CASE_PARAM(conn_inode, wanted_gen_params),
	KUNIT_CASE(conn_directory),
	KUNIT_CASE(conn_mode),
	KUNIT_CASE(conn_answered),
	KUNIT_CASE(conn_disable),
	{}
};

static struct kunit_suite fuse_dax_conn_suite = {
	.name = "fuse_dax_conn",
	.init = fuse_dax_kunit_init,
	.exit = fuse_dax_kunit_exit,
	.test_cases = fuse_dax_conn_cases,
};

kunit_test_suite(fuse_dax_conn_suite);
