// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of what is believed until it is corrected.
 */
#include "dax_kunit.h"

/* A connection whose server corrects */
static int coherent_init(struct kunit *test)
{
	struct fuse_dax_kunit *kt;
	int err = fuse_dax_kunit_init(test);

	if (err)
		return err;
	kt = test->priv;
	atomic64_set(&kt->fc.attr_version, 1);
	fuse_coherent_enable(&kt->fc);
	KUNIT_ASSERT_NOT_NULL(test, kt->fc.coherent);
	fuse_coherent_answered(&kt->fc, FUSE_NOTIFY_ORDERED);
	return 0;
}

static void coherent_exit(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;

	fuse_coherent_free(kt->fc.coherent);
	fuse_dax_kunit_exit(test);
}

/* How many of some names in a directory are known still */
static int known(struct fuse_conn *fc, u64 parent, u64 asked)
{
	char name[16];
	int n = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "name%d", i);
		n += fuse_coherent_name(fc, parent, &QSTR(name), asked);
	}
	return n;
}

static void coherent_name(struct kunit *test)
{
	struct fuse_conn *fc = &((struct fuse_dax_kunit *)test->priv)->fc;
	u64 asked = fuse_get_attr_version(fc);

	KUNIT_EXPECT_EQ(test, known(fc, 5, asked), 100);
	fuse_coherent_name_changed(fc, 5, &QSTR("name7"));
	KUNIT_EXPECT_FALSE(test, fuse_coherent_name(fc, 5, &QSTR("name7"), asked));
	KUNIT_EXPECT_FALSE(test, fuse_coherent_listing(fc, 5, asked));
	/* All others, but for one or two which have the same slot by chance */
	KUNIT_EXPECT_GE(test, known(fc, 5, asked), 97);
	KUNIT_EXPECT_GE(test, known(fc, 6, asked), 98);
	KUNIT_EXPECT_TRUE(test, fuse_coherent_node(fc, 5, asked));
	KUNIT_EXPECT_TRUE(test, fuse_coherent_listing(fc, 6, asked));

	/* Who asks after that has the answer */
	asked = fuse_get_attr_version(fc);
	KUNIT_EXPECT_EQ(test, known(fc, 5, asked), 100);
	KUNIT_EXPECT_TRUE(test, fuse_coherent_listing(fc, 5, asked));
}

static void coherent_node(struct kunit *test)
{
	struct fuse_conn *fc = &((struct fuse_dax_kunit *)test->priv)->fc;
	u64 asked = fuse_get_attr_version(fc);

	fuse_coherent_node_changed(fc, 5);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_node(fc, 5, asked));
	KUNIT_EXPECT_TRUE(test, fuse_coherent_data(fc, 5, asked));
	KUNIT_EXPECT_TRUE(test, fuse_coherent_listing(fc, 5, asked));
	KUNIT_EXPECT_TRUE(test, fuse_coherent_node(fc, 6, asked));
	fuse_coherent_data_changed(fc, 5);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_data(fc, 5, asked));
	fuse_coherent_listing_changed(fc, 5);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_listing(fc, 5, asked));
	KUNIT_EXPECT_EQ(test, known(fc, 5, asked), 100);
}

static void coherent_all(struct kunit *test)
{
	struct fuse_conn *fc = &((struct fuse_dax_kunit *)test->priv)->fc;
	u64 asked = fuse_get_attr_version(fc);

	fuse_coherent_all_changed(fc);
	KUNIT_EXPECT_EQ(test, known(fc, 5, asked), 0);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_node(fc, 5, asked));
	KUNIT_EXPECT_FALSE(test, fuse_coherent_data(fc, 5, asked));
	KUNIT_EXPECT_FALSE(test, fuse_coherent_listing(fc, 5, asked));
	asked = fuse_get_attr_version(fc);
	KUNIT_EXPECT_EQ(test, known(fc, 5, asked), 100);
	KUNIT_EXPECT_TRUE(test, fuse_coherent_node(fc, 5, asked));
}

/* A server that does not promise to correct */
static void coherent_not(struct kunit *test)
{
	struct fuse_conn *fc = &((struct fuse_dax_kunit *)test->priv)->fc;
	u64 asked = fuse_get_attr_version(fc);

	KUNIT_EXPECT_EQ(test, fuse_coherent_init_flags(fc), FUSE_NOTIFY_ORDERED);
	fuse_coherent_answered(fc, 0);
	fuse_coherent_all_changed(fc);
	fuse_coherent_name_changed(fc, 5, &QSTR("name7"));
	KUNIT_EXPECT_EQ(test, fuse_get_attr_version(fc), asked);
	KUNIT_EXPECT_EQ(test, known(fc, 5, 0), 100);
	KUNIT_EXPECT_TRUE(test, fuse_coherent_node(fc, 5, 0));
}

static void coherent_xattr(struct kunit *test)
{
	struct fuse_dax_kunit *kt = test->priv;
	struct inode *inode = &kt->fi[0].inode;
	u64 asked = fuse_get_attr_version(&kt->fc);
	static const char *const kept[] = {
		XATTR_NAME_CAPS, XATTR_NAME_SELINUX, XATTR_NAME_POSIX_ACL_ACCESS,
		"",
	};

	for (int i = 0; i < ARRAY_SIZE(kept); i++) {
		KUNIT_EXPECT_EQ(test, fuse_coherent_xattr_absent(inode, kept[i]), 0);
		fuse_coherent_xattr_learnt(inode, kept[i], -ENODATA, asked);
	}
	for (int i = 0; i < ARRAY_SIZE(kept); i++)
		KUNIT_EXPECT_EQ(test, fuse_coherent_xattr_absent(inode, kept[i]),
				-ENODATA);
	fuse_coherent_xattr_learnt(inode, "user.other", -ENODATA, asked);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_xattr_absent(inode, "user.other"));
	KUNIT_EXPECT_FALSE(test, fuse_coherent_xattr_absent(inode, XATTR_NAME_IMA));

	fuse_coherent_node_changed(&kt->fc, kt->fi[0].nodeid);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_xattr_absent(inode, kept[0]));
	/* One that was on its way is of no use, nor are the others with it */
	fuse_coherent_xattr_learnt(inode, kept[0], -ENODATA, asked);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_xattr_absent(inode, kept[0]));
	fuse_coherent_xattr_learnt(inode, kept[1], -EOPNOTSUPP,
				   fuse_get_attr_version(&kt->fc));
	KUNIT_EXPECT_EQ(test, fuse_coherent_xattr_absent(inode, kept[1]),
			-EOPNOTSUPP);
	KUNIT_EXPECT_FALSE(test, fuse_coherent_xattr_absent(inode, kept[0]));
}

static struct kunit_case fuse_dax_coherent_cases[] = {
	KUNIT_CASE(coherent_name),
	KUNIT_CASE(coherent_node),
	KUNIT_CASE(coherent_all),
	KUNIT_CASE(coherent_not),
	KUNIT_CASE(coherent_xattr),
	{}
};

static struct kunit_suite fuse_dax_coherent_suite = {
	.name = "fuse_dax_coherent",
	.init = coherent_init,
	.exit = coherent_exit,
	.test_cases = fuse_dax_coherent_cases,
};

kunit_test_suite(fuse_dax_coherent_suite);
