// SPDX-License-Identifier: GPL-2.0
/*
 * Small files that are read once, piece by piece.
 *
 * Most small files are read from the beginning to the end, once, and one request
 * can bring all of it. Programs that read with a buffer smaller than the file
 * would need a request for each piece, or a mapping. Instead the first piece
 * fetches the file, and the pieces behind it are served from that copy: a pass.
 *
 * This is no cache: a pass ends at the end of the file, when a piece is read that
 * is not the next one, when the file is closed or mapped, with the time that the
 * attributes are good for, and with any change of the file that the guest knows
 * of. So what a pass serves is never older than the size that it relies on.
 */
#include "dax_i.h"

#include <linux/slab.h>
#include <linux/uio.h>

/* Largest file that is fetched as a whole, bytes */
#define FUSE_DAX_PASS_MAX	SZ_64K

/**
 * struct fuse_dax_pass - a small file on its way to a reader
 * @ref: one for &fuse_dax_inode.pass, one for each copy under way
 * @made: &fuse_dax_inode.made before the request was sent
 * @attr_version: of the inode then
 * @expires: until when the attributes were good then, jiffies
 * @size: of the file then, bytes
 * @next: position of the next piece. Protected by &fuse_dax_inode.sem
 * @len: bytes of @data
 * @data: the file
 */
struct fuse_dax_pass {
	refcount_t ref;
	unsigned long made;
	u64 attr_version;
	u64 expires;
	loff_t size;
	size_t next;
	size_t len;
	char data[] __counted_by(len);
};

static void fuse_dax_pass_put(struct fuse_dax_pass *pass)
{
	if (refcount_dec_and_test(&pass->ref))
		kvfree(pass);
}

/**
 * fuse_dax_pass_end - end the pass over a file, if there is one
 * @di: DAX state of the file
 *
 * Context: &fuse_dax_inode.sem held for write, or nobody else knows @di.
 */
void fuse_dax_pass_end(struct fuse_dax_inode *di)
{
	if (di->pass)
		fuse_dax_pass_put(di->pass);
	di->pass = NULL;
}

/**
 * fuse_dax_released - a file was closed
 * @inode: the file
 *
 * Context: Takes &fuse_dax_inode.sem.
 */
void fuse_dax_released(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);

	if (!di || !READ_ONCE(di->pass))
		return;
	guard(rwsem_write)(&di->sem);
	fuse_dax_pass_end(di);
}

/* Whether the file is still, as far as the guest knows, what was fetched */
static bool fuse_dax_pass_valid(struct inode *inode,
				const struct fuse_dax_pass *pass)
{
	struct fuse_inode *fi = get_fuse_inode(inode);

	return READ_ONCE(fi->attr_version) == pass->attr_version &&
	       !(READ_ONCE(fi->inval_mask) & FUSE_STATX_MODSIZE) &&
	       time_before64(get_jiffies_64(), pass->expires) &&
	       i_size_read(inode) == pass->size;
}

/*
 * The pass that goes on at @pos, which it advances by up to @len bytes, with a
 * reference; or NULL, and then there is none any more.
 */
static struct fuse_dax_pass *fuse_dax_pass_advance(struct inode *inode,
						   loff_t pos, size_t *len)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_pass *pass;

	if (!di || !READ_ONCE(di->pass))
		return NULL;

	guard(rwsem_write)(&di->sem);
	pass = di->pass;
	if (!pass)
		return NULL;
	if (pos != pass->next || !fuse_dax_pass_valid(inode, pass)) {
		fuse_dax_pass_end(di);
		return NULL;
	}
	refcount_inc(&pass->ref);
	*len = min(*len, pass->len - pass->next);
	pass->next += *len;
	if (pass->next == pass->len)
		fuse_dax_pass_end(di);
	return pass;
}

/**
 * fuse_dax_pass_read - serve the next piece of a pass
 * @iocb: where; its position advances
 * @to: the caller's buffer; advances
 *
 * Context: i_rwsem held. Takes &fuse_dax_inode.sem, and page faults.
 * Return: bytes served, 0 if there is no pass that goes on here, or -EFAULT.
 */
ssize_t fuse_dax_pass_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	size_t len = iov_iter_count(to), done;
	loff_t pos = iocb->ki_pos;
	struct fuse_dax_pass *pass;

	pass = fuse_dax_pass_advance(inode, pos, &len);
	if (!pass)
		return 0;
	done = copy_to_iter(pass->data + pos, len, to);
	fuse_dax_pass_put(pass);
	iocb->ki_pos += done;
	return done ?: -EFAULT;
}

/**
 * fuse_dax_pass_begins - whether a read looks like the first piece of a pass
 * @iocb: where
 * @to: the caller's buffer
 *
 * A read of a small part of the file which is less than a page is more likely a
 * look at a header, by somebody who will map the file if he likes it.
 *
 * Return: whether fuse_dax_pass_start() is worth a try.
 */
bool fuse_dax_pass_begins(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t size = i_size_read(inode);
	size_t len = iov_iter_count(to);

	return !iocb->ki_pos && len < size && size <= FUSE_DAX_PASS_MAX &&
	       (len >= PAGE_SIZE || len > size / 8) &&
	       time_before64(get_jiffies_64(), get_fuse_inode(inode)->i_time);
}

/* A pass over a file that is not mapped, its data still to be fetched; or NULL */
static struct fuse_dax_pass *fuse_dax_pass_new(struct inode *inode)
{
	struct fuse_inode *fi = get_fuse_inode(inode);
	struct fuse_dax_inode *di = READ_ONCE(fi->dax);
	loff_t size = i_size_read(inode);
	struct fuse_dax_pass *pass;

	if (!di)
		return NULL;
	pass = kvmalloc_flex(*pass, data, size);
	if (!pass)
		return NULL;
	refcount_set(&pass->ref, 1);
	pass->attr_version = READ_ONCE(fi->attr_version);
	pass->expires = READ_ONCE(fi->i_time);
	pass->size = size;
	pass->next = 0;
	pass->len = size;

	guard(rwsem_read)(&di->sem);
	pass->made = di->made;
	if (!fuse_dax_map_first(di, 0, ULONG_MAX))
		return pass;
	kvfree(pass);
	return NULL;
}

/* Makes the pass known, unless somebody could store to memory since it began */
static void fuse_dax_pass_install(struct fuse_dax_inode *di,
				  struct fuse_dax_pass *pass)
{
	guard(rwsem_write)(&di->sem);
	fuse_dax_pass_end(di);
	if (pass->made == di->made)
		di->pass = pass;
	else
		fuse_dax_pass_put(pass);
}

/* Fetches the file; bytes, or -errno */
static ssize_t fuse_dax_pass_fetch(struct kiocb *iocb,
				   struct fuse_dax_pass *pass)
{
	struct fuse_io_priv io = FUSE_IO_PRIV_SYNC(iocb);
	struct kvec kvec = { pass->data, pass->len };
	struct iov_iter iter;
	loff_t pos = 0;
	ssize_t res;

	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, pass->len);
	res = fuse_direct_io(&io, &iter, &pos, 0);
	/* As short as the server says it is */
	if (res >= 0)
		pass->len = res;
	return res;
}

/**
 * fuse_dax_pass_start - serve the first piece of a pass, by one request
 * @iocb: where: 0; its position does not advance
 * @to: the caller's buffer; advances
 *
 * Context: i_rwsem held, no reference to a mapping. Takes &fuse_dax_inode.sem,
 * and page faults.
 * Return: bytes served, 0 at the end of the file, or -errno; -ENOMEM if it has
 * to be done without a pass.
 */
ssize_t fuse_dax_pass_start(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct fuse_dax_pass *pass = fuse_dax_pass_new(inode);
	ssize_t res;

	if (!pass)
		return -ENOMEM;
	res = fuse_dax_pass_fetch(iocb, pass);
	if (res > 0) {
		size_t len = min(iov_iter_count(to), pass->len);

		pass->next = copy_to_iter(pass->data, len, to);
		res = pass->next ?: -EFAULT;
	}
	if (res > 0 && pass->next < pass->len)
		fuse_dax_pass_install(get_fuse_inode(inode)->dax, pass);
	else
		fuse_dax_pass_put(pass);
	return res;
}
