// SPDX-License-Identifier: GPL-2.0
/*
 * The two requests of the DAX driver: SETUPMAPPING and REMOVEMAPPING.
 */
#include "dax_i.h"
#include "dax_trace.h"
#include "dev.h"

#include <kunit/static_stub.h>
#include <linux/slab.h>

struct fuse_dax_setup {
	struct fuse_args args;
	struct fuse_setupmapping_in in;
	struct fuse_dax_map *map;
	void (*done)(struct fuse_dax_map *map, int error);
	struct inode *inode;
};

/**
 * fuse_dax_req_put_work - drop references to inodes
 * @work: &fuse_dax_window.put_work
 */
void fuse_dax_req_put_work(struct work_struct *work)
{
	struct fuse_dax_window *win = container_of(work, typeof(*win), put_work);
	struct llist_node *puts = llist_del_all(&win->puts);
	struct fuse_dax_inode *di, *next;

	llist_for_each_entry_safe(di, next, puts, put) {
		struct fuse_mount *fm = get_fuse_mount(di->held);

		/* With it goes @di */
		iput(di->held);
		fuse_mount_release(fm);
	}
}

static void fuse_dax_req_drop(struct inode *inode)
{
	struct fuse_dax_inode *di = READ_ONCE(get_fuse_inode(inode)->dax);
	struct fuse_dax_window *win = get_fuse_conn(inode)->dax;
	struct fuse_mount *fm = get_fuse_mount(inode);

	/* From here on who has the last reference may free the inode */
	if (atomic_add_unless(&inode->i_count, -1, 1)) {
		fuse_mount_release(fm);
		return;
	}
	/* Nobody else can have the last one, so @di is on the list once */
	di->held = inode;
	llist_add(&di->put, &win->puts);
	queue_work(system_dfl_long_wq, &win->put_work);
}

/**
 * fuse_dax_req_put - drop a reference to an inode without waiting
 * @inode: an inode that has or had mappings
 *
 * To drop the last one may take long, and ask the server. It is the last one only
 * if all who had the file open have gone meanwhile. The mount stays until then.
 *
 * Context: Any in which the mount cannot go.
 */
void fuse_dax_req_put(struct inode *inode)
{
	fuse_mount_hold(get_fuse_mount(inode));
	fuse_dax_req_drop(inode);
}

static void fuse_dax_req_setup_end(struct fuse_args *args, int error)
{
	struct fuse_dax_setup *req = container_of(args, typeof(*req), args);
	struct fuse_dax_map *map = req->map;
	struct fuse_dax_window *win = map->win;

	fuse_dax_count(win, error ? FUSE_DAX_SETUP_ERRORS : FUSE_DAX_SETUPS);
	trace_fuse_dax_setup(map, error);
	/* From here on others may take the mapping away */
	req->done(map, error);
	fuse_dax_req_drop(req->inode);
	kfree(req);
}

/**
 * fuse_dax_req_setup - ask the server to show a file in the window
 * @map: the mapping, state SETUP: what to show and where, in pages and ranges
 * @access: which accesses are to be allowed
 * @done: called once with 0 or the server's -errno when the answer is there
 *
 * A background request: the task that needs the mapping may be killed and walk
 * away, and the outcome is still known, because @done runs whoever waits. The
 * inode stays referenced until then. @map does by the tree, which nobody takes a
 * placeholder from: a reference of the request's own would outlive @done by a
 * moment, in which the mapping would seem to be used.
 *
 * The file handle is -1 as the protocol allows for a mapping, which outlives
 * all handles.
 *
 * Context: May sleep; process context. @done may run before this returns, in
 * another task; it may sleep for a lock, but other answers wait for it.
 * Return: 0 if the request is under way, else -errno and @done is not called.
 */
int fuse_dax_req_setup(struct fuse_dax_map *map, enum fuse_dax_access access,
		       void (*done)(struct fuse_dax_map *map, int error))
{
	struct fuse_mount *fm = get_fuse_mount(map->inode);
	struct fuse_dax_setup *req;
	int err;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_req_setup, map, access, done);

	req = kzalloc_obj(*req);
	if (!req)
		return -ENOMEM;

	req->map = map;
	req->done = done;
	req->in.fh = -1;
	req->in.foffset = (u64)map->itn.start << PAGE_SHIFT;
	req->in.len = fuse_dax_run_len(&map->run);
	req->in.flags = access;
	req->in.moffset = fuse_dax_run_moffset(&map->run);
	req->args.opcode = FUSE_SETUPMAPPING;
	req->args.nodeid = map->nodeid;
	req->args.in_numargs = 1;
	req->args.in_args[0].size = sizeof(req->in);
	req->args.in_args[0].value = &req->in;
	req->args.end = fuse_dax_req_setup_end;
	req->inode = map->inode;

	ihold(map->inode);
	fuse_mount_hold(fm);
	err = fuse_simple_background(fm, &req->args, GFP_KERNEL);
	if (err) {
		kfree(req);
		/* Not the last reference: the caller has one */
		iput(map->inode);
		fuse_mount_release(fm);
	}
	return err;
}

/**
 * fuse_dax_req_remove - ask the server to remove mappings
 * @win: the window; @win->entries says which bytes of the window
 * @nodeid: whose mappings these are
 * @nr: number of entries, 1 to FUSE_DAX_REMOVE_BATCH
 *
 * The file may be gone and forgotten; a server finds mappings by their place in
 * the window. Allocates nothing, so that ranges can always be freed, but for
 * the request itself, which cannot fail.
 *
 * Context: May sleep until the server answers. The remove worker only.
 * Return: 0 or -errno.
 */
int fuse_dax_req_remove(struct fuse_dax_window *win, u64 nodeid,
			unsigned int nr)
{
	struct fuse_removemapping_in in = { .count = nr };
	struct fuse_args args = {};
	int err;

	KUNIT_STATIC_STUB_REDIRECT(fuse_dax_req_remove, win, nodeid, nr);

	args.opcode = FUSE_REMOVEMAPPING;
	args.nodeid = nodeid;
	args.in_numargs = 2;
	args.in_args[0].size = sizeof(in);
	args.in_args[0].value = &in;
	args.in_args[1].size = nr * sizeof(*win->entries);
	args.in_args[1].value = win->entries;
	args.force = true;
	args.nocreds = true;

	err = fuse_chan_send(win->fc->chan, &args);
	fuse_dax_count(win, FUSE_DAX_REMOVES);
	trace_fuse_dax_remove(nodeid, nr, err);
	return err;
}
