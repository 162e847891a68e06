// SPDX-License-Identifier: GPL-2.0
/*
 * How a mapping comes to life: as a placeholder it gets its place in the tree,
 * then the setup is sent, and the answer publishes or frees it.
 */
#include "dax_i.h"

#include <linux/slab.h>
#include <linux/wait_bit.h>

/* Whether an error of the server tells of a budget, not of a moment */
static bool fuse_dax_error_is_budget(int error)
{
	return error == -ENOMEM || error == -ENOSPC || error == -EDQUOT;
}

/**
 * fuse_dax_error_is_limit - what an error of the server says of its resources
 * @error: 0 or -errno, of a setup
 *
 * Return: whether it means that the server cannot hold more mappings, or not now.
 */
bool fuse_dax_error_is_limit(int error)
{
	return fuse_dax_error_is_budget(error) || error == -EMFILE ||
	       error == -ENFILE || error == -EBUSY;
}

/**
 * fuse_dax_error_is_readonly - what an error of the server says of the file
 * @error: 0 or -errno, of a setup
 *
 * Return: whether it means that the file cannot be mapped writable.
 */
bool fuse_dax_error_is_readonly(int error)
{
	return error == -EACCES || error == -EROFS || error == -ETXTBSY ||
	       error == -EPERM;
}

/**
 * fuse_dax_error_is_full - what an error of the server says of its file system
 * @error: 0 or -errno, of a setup
 *
 * Return: whether it may mean that there is no space for the holes of the file.
 */
bool fuse_dax_error_is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/**
 * fuse_dax_map_new - a placeholder, which is nowhere yet
 * @inode: the file it will show
 * @di: the inode's state
 *
 * Return: the mapping, with a reference for the tree and one for the caller, who
 * frees it by kfree() if it gets no ranges; NULL if there is no memory.
 */
struct fuse_dax_map *fuse_dax_map_new(struct inode *inode,
				      struct fuse_dax_inode *di)
{
	struct fuse_dax_map *map = kzalloc_obj(*map);

	if (!map)
		return NULL;
	map->win = fuse_dax_window_of(inode);
	map->inode = inode;
	map->di = di;
	map->nodeid = get_node_id(inode);
	map->ino = inode->i_ino;
	map->state = FUSE_DAX_SETUP;
	INIT_LIST_HEAD(&map->list);
	/* The tree's and the caller's */
	refcount_set(&map->ref, 2);
	return map;
}

/**
 * fuse_dax_map_insert - place a mapping in the tree as far as there is room by now
 * @map: the placeholder, with its ranges; those that are too many are given back
 * @range: of the file, which it must show
 * @plan: what it was to show; cut to what it will show
 *
 * Context: Takes &fuse_dax_inode.sem.
 * Return: 0, or -EEXIST if somebody else was faster.
 */
int fuse_dax_map_insert(struct fuse_dax_map *map, unsigned long range,
			struct fuse_dax_plan *plan)
{
	struct fuse_dax_inode *di = map->di;
	unsigned int nr = plan->nr;

	guard(rwsem_write)(&di->sem);
	fuse_dax_plan_fit(di, range, plan);
	if (!plan->nr || (plan->nr < nr && map->run.stale))
		return -EEXIST;

	fuse_dax_window_trim(map->win, &map->run, plan->nr);
	map->itn.start = fuse_dax_range_to_page(plan->start);
	map->itn.last = fuse_dax_range_to_page(plan->start + plan->nr) - 1;
	interval_tree_insert(&map->itn, &di->tree);
	di->next = plan->start + plan->nr;
	return 0;
}

/**
 * fuse_dax_map_discard - undo what was done for a mapping that is not in the tree
 * @map: the placeholder, with its ranges; both its references are dropped
 */
void fuse_dax_map_discard(struct fuse_dax_map *map)
{
	WRITE_ONCE(map->state, FUSE_DAX_GONE);
	fuse_dax_map_put(map);
	if (map->run.stale) {
		fuse_dax_window_bury(map);
		return;
	}
	fuse_dax_window_give(map->win, &map->run);
	fuse_dax_map_put(map);
}

/*
 * The answer to a setup: publishes the mapping or frees it. After an error from
 * the server nothing is shown at a run that was free before; otherwise it may
 * still show what it showed, and has to be removed.
 */
static void fuse_dax_map_answered(struct fuse_dax_map *map, int error)
{
	struct fuse_dax_inode *di = map->di;
	bool known = !map->run.stale && error != -EIO && error != -ENOTCONN;

	down_write(&di->sem);
	map->error = error;
	fuse_dax_plan_answered(map, error);
	if (!error) {
		fuse_dax_window_publish(map);
		store_release_wake_up(&map->state, FUSE_DAX_LIVE);
	} else {
		interval_tree_remove(&map->itn, &di->tree);
		store_release_wake_up(&map->state, FUSE_DAX_GONE);
	}
	up_write(&di->sem);

	if (!error)
		return;
	/* The tree's reference */
	if (known) {
		fuse_dax_window_give(map->win, &map->run);
		fuse_dax_map_put(map);
	} else {
		fuse_dax_window_bury(map);
	}
}

/*
 * What the driver says to itself by these is not the server's to say: it would
 * have it try again for ever. There is another word for a server that is short of
 * something; what is shown after the others nobody knows.
 */
static int fuse_dax_error_foreign(int error)
{
	if (error == -EAGAIN)
		return -EBUSY;
	return error == -EEXIST || error == -EDEADLK ? -EIO : error;
}

static void fuse_dax_map_setup_done(struct fuse_dax_map *map, int error)
{
	struct fuse_dax_window *win = map->win;

	error = fuse_dax_error_foreign(error);
	/*
	 * That a file is full says nothing of others, and to replace a mapping
	 * takes no resources that the server has not got already, but to replace
	 * a part of one does.
	 */
	if (fuse_dax_error_is_limit(error) &&
	    (!map->run.stale || map->run.part) &&
	    !(map->writable && fuse_dax_error_is_full(error)))
		fuse_dax_window_limit(win, fuse_dax_error_is_budget(error));
	else if (error == -ENOSYS)
		fuse_dax_window_disable(win);
	else if (error == -EOPNOTSUPP)
		WRITE_ONCE(map->di->unmappable, true);
	else if (map->writable && fuse_dax_error_is_readonly(error))
		WRITE_ONCE(map->di->unwritable, true);
	fuse_dax_map_answered(map, error);
}

static bool fuse_dax_map_left(struct fuse_dax_map *map,
			      enum fuse_dax_state state)
{
	/* The error, which was stored before the state, is read after it */
	return smp_load_acquire(&map->state) != state;
}

/**
 * fuse_dax_map_wait - wait until a mapping is in another state
 * @map: the mapping
 * @state: the one that it is in
 *
 * Context: Sleeps, killably.
 * Return: 0 or -EINTR.
 */
int fuse_dax_map_wait(struct fuse_dax_map *map, enum fuse_dax_state state)
{
	if (wait_var_event_killable(&map->state, fuse_dax_map_left(map, state)))
		return -EINTR;
	return 0;
}

/**
 * fuse_dax_map_send - send the setup of a mapping; the answer publishes or frees it
 * @map: a placeholder in the tree; the caller has a reference
 * @write: whether to ask for write access
 *
 * Context: May sleep, see fuse_dax_cache_evict().
 * Return: 0; -errno if it could not be sent, then the mapping is gone.
 */
int fuse_dax_map_send(struct fuse_dax_map *map, bool write)
{
	int err;

	map->writable = write;
	scoped_guard(spinlock, &map->win->lock)
		fuse_dax_window_list(map);
	err = fuse_dax_cache_evict(map) ?:
	      fuse_dax_req_setup(map, write ? FUSE_DAX_WRITE : FUSE_DAX_READ,
				 fuse_dax_map_setup_done);
	/* Not sent: what the run showed it shows */
	if (err)
		fuse_dax_map_answered(map, err);
	return err;
}

/**
 * fuse_dax_map_setup - have the server show a mapping
 * @map: a placeholder in the tree; the caller has a reference
 * @write: whether to ask for write access
 *
 * Context: Sleeps, killably, until the server has answered.
 * Return: 0, the mapping is live; or -errno.
 */
int fuse_dax_map_setup(struct fuse_dax_map *map, bool write)
{
	return fuse_dax_map_send(map, write) ?:
	       fuse_dax_map_wait(map, FUSE_DAX_SETUP) ?: map->error;
}

/**
 * fuse_dax_map_renew - have a mapping set up anew where it was, for writing
 * @old: the mapping, detached; its last reference is taken over
 *
 * The server shows the same there, so that it has next to nothing to do, and
 * nobody has to go for it. If that fails, or somebody else was faster, or the server
 * does not map the file for writing, the mapping is gone.
 *
 * Context: As fuse_dax_map_send().
 */
void fuse_dax_map_renew(struct fuse_dax_map *old)
{
	struct fuse_dax_plan plan = {
		.start = fuse_dax_page_to_range(old->itn.start),
		.nr = old->run.nr,
	};
	struct fuse_dax_map *map = NULL;

	/*
	 * The server would refuse as much: who wants to store asks for a range. Or it
	 * would refuse any: who wants to store needs nothing to be mapped there.
	 */
	if (!READ_ONCE(old->di->unwritable) &&
	    (old->run.nr == 1 || !READ_ONCE(old->di->sparse)))
		map = fuse_dax_map_new(old->inode, old->di);
	if (!map) {
		fuse_dax_window_bury(old);
		return;
	}
	map->run = old->run;
	map->run.stale = true;
	map->renewed = true;
	/* The reference that the tree had */
	fuse_dax_map_put(old);

	if (fuse_dax_map_insert(map, plan.start, &plan)) {
		fuse_dax_map_discard(map);
		return;
	}
	fuse_dax_map_send(map, true);
	fuse_dax_map_put(map);
}
