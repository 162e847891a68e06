// SPDX-License-Identifier: GPL-2.0
/*
 * What may be believed for as long as the server does not correct it.
 *
 * A server that answers FUSE_NOTIFY_ORDERED tells of each change to what it has said
 * before it gives any answer that depends on the change. So the guest may keep names,
 * attributes and listings without a limit of time.
 *
 * A correction does not look for what it ends. All that can be corrected has a slot in
 * a table, by a hash of what it is: a node, or a name in a node. A correction writes
 * into the slot the time at which it came; what was asked for before is not believed any
 * more. The time is &fuse_conn.attr_version, which who asks has read before he sends
 * the request. So nothing need be found, nor locked, and it makes no difference
 * whether the answer that is corrected was used already, or is on its way, or makes
 * an inode that was not there when the correction came.
 *
 * Things that share a slot are asked for once more than need be, and pages of a file
 * whose slot is also that of one that changes all the time are not kept. When all slots are
 * written, by as many changes at once, everything is asked for once.
 */
#include "coherent.h"

#include "fuse_i.h"

#include <linux/hash.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include <linux/xattr.h>

#define FUSE_COHERENT_BITS	14

/* What is meant by a node, mixed into the hash */
enum fuse_coherent_what {
	FUSE_COHERENT_NODE,
	FUSE_COHERENT_DATA,
	FUSE_COHERENT_LISTING,
	FUSE_COHERENT_NAME,
};

/**
 * struct fuse_coherent - when something was corrected last
 * @all: when everything was
 * @slot: when something with this hash was
 */
struct fuse_coherent {
	atomic64_t all;
	atomic64_t slot[1 << FUSE_COHERENT_BITS];
};

/* Extended attributes that programs ask for, and files seldom have */
static const char *const fuse_coherent_xattrs[] = {
	"", /* any: an empty list */
	XATTR_NAME_CAPS,
	XATTR_NAME_SELINUX,
	XATTR_NAME_SMACK,
	XATTR_NAME_IMA,
	XATTR_NAME_EVM,
	XATTR_NAME_POSIX_ACL_ACCESS,
	XATTR_NAME_POSIX_ACL_DEFAULT,
};

static atomic64_t *fuse_coherent_slot(struct fuse_coherent *co, u64 nodeid,
				      enum fuse_coherent_what what)
{
	return &co->slot[hash_64(nodeid * 4 + what, FUSE_COHERENT_BITS)];
}

static atomic64_t *fuse_coherent_name_slot(struct fuse_coherent *co, u64 parent,
					   const struct qstr *name)
{
	u64 hash = full_name_hash((void *)(unsigned long)parent, name->name,
				  name->len);

	return fuse_coherent_slot(co, parent ^ hash << 24, FUSE_COHERENT_NAME);
}

/* Never back: of two that come at the same time the later one counts */
static void fuse_coherent_set(atomic64_t *slot, s64 now)
{
	s64 was = atomic64_read(slot);

	while (was < now && !atomic64_try_cmpxchg(slot, &was, now))
		;
}

static void fuse_coherent_changed(struct fuse_conn *fc, atomic64_t *slot)
{
	fuse_coherent_set(slot, atomic64_inc_return(&fc->attr_version));
}

static bool fuse_coherent_since(struct fuse_coherent *co, atomic64_t *slot,
				u64 asked)
{
	return asked >= (u64)atomic64_read(slot) &&
	       asked >= (u64)atomic64_read(&co->all);
}

static void fuse_coherent_node_what_changed(struct fuse_conn *fc, u64 nodeid,
					    enum fuse_coherent_what what)
{
	if (fc->notify_ordered)
		fuse_coherent_changed(fc, fuse_coherent_slot(fc->coherent, nodeid,
							     what));
}

static bool fuse_coherent_node_what(struct fuse_conn *fc, u64 nodeid,
				    enum fuse_coherent_what what, u64 asked)
{
	struct fuse_coherent *co = fc->coherent;

	return !fc->notify_ordered ||
	       fuse_coherent_since(co, fuse_coherent_slot(co, nodeid, what),
				   asked);
}

/**
 * fuse_coherent_enable - take note of corrections
 * @fc: a connection before INIT, to which they come before answers do
 *
 * Without memory for that the server is not told, and sends none.
 */
void fuse_coherent_enable(struct fuse_conn *fc)
{
	fc->coherent = kvzalloc_obj(*fc->coherent, GFP_KERNEL | __GFP_NOWARN);
}
EXPORT_SYMBOL_GPL(fuse_coherent_enable);

/**
 * fuse_coherent_free - end of a connection
 * @co: &fuse_conn.coherent, which nobody uses any more; or NULL
 */
void fuse_coherent_free(struct fuse_coherent *co)
{
	kvfree(co);
}

/**
 * fuse_coherent_init_flags - what is offered to the server
 * @fc: the connection
 *
 * Return: FUSE_NOTIFY_* flags of INIT.
 */
u64 fuse_coherent_init_flags(const struct fuse_conn *fc)
{
	return fc->coherent ? FUSE_NOTIFY_ORDERED : 0;
}

/**
 * fuse_coherent_answered - the server has answered INIT
 * @fc: the connection
 * @flags: what it takes of what was offered
 */
void fuse_coherent_answered(struct fuse_conn *fc, u64 flags)
{
	fc->notify_ordered = fc->coherent && (flags & FUSE_NOTIFY_ORDERED);
}

/**
 * fuse_coherent_node_changed - the attributes of a node have changed
 * @fc: the connection
 * @nodeid: the node, also one that is not known here
 */
void fuse_coherent_node_changed(struct fuse_conn *fc, u64 nodeid)
{
	fuse_coherent_node_what_changed(fc, nodeid, FUSE_COHERENT_NODE);
}

/**
 * fuse_coherent_data_changed - the data of a node has changed
 * @fc: the connection
 * @nodeid: the node
 */
void fuse_coherent_data_changed(struct fuse_conn *fc, u64 nodeid)
{
	fuse_coherent_node_what_changed(fc, nodeid, FUSE_COHERENT_DATA);
}

/**
 * fuse_coherent_listing_changed - a directory has other names, whichever
 * @fc: the connection
 * @nodeid: the directory
 */
void fuse_coherent_listing_changed(struct fuse_conn *fc, u64 nodeid)
{
	fuse_coherent_node_what_changed(fc, nodeid, FUSE_COHERENT_LISTING);
}

/**
 * fuse_coherent_name_changed - a name means something else, or nothing, or is new
 * @fc: the connection
 * @parent: the directory
 * @name: in it; its hash is not used
 */
void fuse_coherent_name_changed(struct fuse_conn *fc, u64 parent,
				const struct qstr *name)
{
	if (!fc->notify_ordered)
		return;
	fuse_coherent_changed(fc, fuse_coherent_name_slot(fc->coherent, parent,
							  name));
	fuse_coherent_listing_changed(fc, parent);
}

/**
 * fuse_coherent_all_changed - anything may have changed
 * @fc: the connection
 */
void fuse_coherent_all_changed(struct fuse_conn *fc)
{
	if (fc->notify_ordered)
		fuse_coherent_changed(fc, &fc->coherent->all);
}

/**
 * fuse_coherent_node - whether attributes are still as they were answered
 * @fc: the connection
 * @nodeid: the node
 * @asked: fuse_get_attr_version() before the request
 *
 * Context: Any.
 * Return: false if there was a correction since.
 */
bool fuse_coherent_node(struct fuse_conn *fc, u64 nodeid, u64 asked)
{
	return fuse_coherent_node_what(fc, nodeid, FUSE_COHERENT_NODE, asked);
}

/**
 * fuse_coherent_data - whether data is still as it was answered
 * @fc: the connection
 * @nodeid: the node
 * @asked: fuse_get_attr_version() before the request
 *
 * Context: Any.
 * Return: false if there was a correction since.
 */
bool fuse_coherent_data(struct fuse_conn *fc, u64 nodeid, u64 asked)
{
	return fuse_coherent_node_what(fc, nodeid, FUSE_COHERENT_DATA, asked);
}

/**
 * fuse_coherent_listing - whether a directory still has the names it was read with
 * @fc: the connection
 * @nodeid: the directory
 * @asked: fuse_get_attr_version() before the first request
 *
 * Context: Any.
 * Return: false if there was a correction, or a change of our own, since.
 */
bool fuse_coherent_listing(struct fuse_conn *fc, u64 nodeid, u64 asked)
{
	return fuse_coherent_node_what(fc, nodeid, FUSE_COHERENT_LISTING, asked);
}

/**
 * fuse_coherent_name - whether a name still means what it was found to
 * @fc: the connection
 * @parent: the directory
 * @name: in it; its hash is not used
 * @asked: fuse_get_attr_version() before the request
 *
 * Context: Any.
 * Return: false if there was a correction since.
 */
bool fuse_coherent_name(struct fuse_conn *fc, u64 parent,
			const struct qstr *name, u64 asked)
{
	struct fuse_coherent *co = fc->coherent;

	return !fc->notify_ordered ||
	       fuse_coherent_since(co, fuse_coherent_name_slot(co, parent, name),
				   asked);
}

/* The bit of an extended attribute; 0 if answers about it are not kept */
static u8 fuse_coherent_xattr_bit(const char *name)
{
	BUILD_BUG_ON(ARRAY_SIZE(fuse_coherent_xattrs) > BITS_PER_BYTE);
	for (int i = 0; i < ARRAY_SIZE(fuse_coherent_xattrs); i++) {
		if (!strcmp(name, fuse_coherent_xattrs[i]))
			return BIT(i);
	}
	return 0;
}

/**
 * fuse_coherent_xattr_absent - whether a file is known not to have an attribute
 * @inode: the file
 * @name: of the extended attribute; "" for any
 *
 * Context: Does not sleep.
 * Return: -ENODATA or -EOPNOTSUPP, as the server has answered; 0 if it is to be asked.
 */
int fuse_coherent_xattr_absent(struct inode *inode, const char *name)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_conn *fc = get_fuse_conn(inode);
	u8 bit;

	if (!fc->notify_ordered || !READ_ONCE(fi->xattr_absent))
		return 0;
	bit = fuse_coherent_xattr_bit(name);
	guard(spinlock)(&fi->lock);
	if (!(fi->xattr_absent & bit) ||
	    !fuse_coherent_node(fc, fi->nodeid, fi->xattr_asked))
		return 0;
	return fi->xattr_refused & bit ? -EOPNOTSUPP : -ENODATA;
}

/**
 * fuse_coherent_xattr_learnt - the server may have said that there is no such attribute
 * @inode: the file
 * @name: of the extended attribute; "" for any
 * @err: what it has answered
 * @asked: fuse_get_attr_version() before the request
 *
 * Kept are all that were not there when the oldest was asked for.
 *
 * Context: Does not sleep.
 */
void fuse_coherent_xattr_learnt(struct inode *inode, const char *name, int err,
				u64 asked)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_conn *fc = get_fuse_conn(inode);
	u8 bit = fuse_coherent_xattr_bit(name);

	if (!fc->notify_ordered || !bit ||
	    (err != -ENODATA && err != -EOPNOTSUPP))
		return;
	guard(spinlock)(&fi->lock);
	if (!fuse_coherent_node(fc, fi->nodeid, fi->xattr_asked))
		fi->xattr_absent = 0;
	if (!fi->xattr_absent || asked < fi->xattr_asked)
		fi->xattr_asked = asked;
	fi->xattr_absent |= bit;
	fi->xattr_refused &= ~bit;
	if (err == -EOPNOTSUPP)
		fi->xattr_refused |= bit;
}
