// SPDX-License-Identifier: GPL-2.0
/*
 * Whose turn it is to give a mapping up: second chance, and what came when there
 * was no room goes first.
 *
 * Short work under the lock of the window; nothing looks into an inode.
 */
#include "dax_i.h"

/* One in so many mappings that others had to go for stays, whatever it is */
#define FUSE_DAX_STAYS	4

/* Mappings that may be looked at for one that is not in use */
#define FUSE_DAX_LOOKS	64

/*
 * Whether a mapping that others had to go for is to stay, as one that there was
 * room for: because its file lost a fleeting one a moment ago, and so is used
 * more than once, or because it is its turn, so that what has stayed for long
 * goes at last. To have lost one that stayed says nothing: when files are used
 * in turn, that is the one which is needed next.
 */
static bool fuse_dax_window_stays(const struct fuse_dax_window *win,
				  const struct fuse_dax_inode *di)
{
	lockdep_assert_held(&win->lock);
	return win->withdrawn % FUSE_DAX_STAYS == 0 ||
	       (di->withdrawn &&
		win->withdrawn - di->withdrawn <= win->nr_runs / FUSE_DAX_STAYS);
}

/**
 * fuse_dax_window_publish - a mapping became LIVE and may be reclaimed
 * @map: the mapping
 *
 * While there is room it is the last to go. When others have gone for it, it is
 * as a rule the next: what is used in turn, and is more than the window holds,
 * would else always miss what has just gone.
 *
 * Context: &fuse_dax_inode.sem held for write. Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_publish(struct fuse_dax_map *map)
{
	struct fuse_dax_window *win = map->win;

	lockdep_assert_held_write(&map->di->sem);
	guard(spinlock)(&win->lock);
	/* There is nothing of another file any more */
	map->run.stale = false;
	map->run.part = false;
	map->fleeting = !map->renewed && fuse_dax_window_pressed(win) &&
			!fuse_dax_window_stays(win, map->di);
	if (map->fleeting)
		list_add(&map->list, &win->lru);
	else
		list_add_tail(&map->list, &win->lru);
	fuse_dax_window_list(map);
	WRITE_ONCE(win->nr_live, win->nr_live + 1);
}

static void fuse_dax_window_delist(struct fuse_dax_map *map)
{
	struct fuse_dax_window *win = map->win;

	lockdep_assert_held(&win->lock);
	if (!list_empty(&map->list)) {
		fuse_dax_window_unlist(map);
		WRITE_ONCE(win->nr_live, win->nr_live - 1);
	}
	list_del_init(&map->list);
	win->withdrawn++;
	if (map->fleeting)
		map->di->withdrawn = win->withdrawn;
}

/**
 * fuse_dax_window_withdraw - a mapping is no longer to be reclaimed
 * @map: the mapping, being detached
 *
 * Context: &fuse_dax_inode.sem held. Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_withdraw(struct fuse_dax_map *map)
{
	lockdep_assert_held(&map->di->sem);
	guard(spinlock)(&map->win->lock);
	fuse_dax_window_delist(map);
}

/**
 * fuse_dax_window_cut - the same for a part of a mapping
 * @map: the mapping, being detached; it becomes that part
 * @first: first range of the part, counted from the start of the mapping
 * @nr: how many there are
 * @rest: mappings of what was before the part and behind it; NULL where nothing
 *	was. They take the place of @map
 *
 * Context: &fuse_dax_inode.sem held for write. Takes &fuse_dax_window.lock.
 */
void fuse_dax_window_cut(struct fuse_dax_map *map, unsigned int first,
			 unsigned int nr, struct fuse_dax_map *const rest[2])
{
	struct fuse_dax_window *win = map->win;
	LIST_HEAD(rests);
	bool listed;

	lockdep_assert_held_write(&map->di->sem);
	guard(spinlock)(&win->lock);
	/* Else eviction has withdrawn it, and waits for us */
	listed = !list_empty(&map->list);
	for (int i = 0; i < 2; i++) {
		if (!rest[i])
			continue;
		win->nr_runs++;
		rest[i]->fleeting = map->fleeting;
		if (listed)
			list_add_tail(&rest[i]->list, &rests);
	}
	list_splice_init(&rests, &map->list);
	fuse_dax_window_delist(map);
	map->run.part = nr < map->run.nr;
	map->run.first += first;
	map->run.nr = nr;
	for (int i = 0; listed && i < 2; i++) {
		if (!rest[i])
			continue;
		fuse_dax_window_list(rest[i]);
		WRITE_ONCE(win->nr_live, win->nr_live + 1);
	}
}

/**
 * fuse_dax_window_victim - choose the mapping to reclaim next
 * @win: the window
 * @used: set to whether it was used since it was last looked at: then it should get
 *	a second chance and be left where it is, this once
 *
 * What somebody uses now is passed over, FUSE_DAX_LOOKS of them at the most.
 *
 * Context: Takes &fuse_dax_window.lock.
 * Return: the mapping, moved to the end of the list, with a reference for the
 * caller, and with its inode kept from eviction until the caller drops
 * &fuse_dax_inode.reclaimers; NULL if there is none. It may be detached by
 * others meanwhile: who wants to detach it has to check its state under
 * &fuse_dax_inode.sem.
 */
struct fuse_dax_map *fuse_dax_window_victim(struct fuse_dax_window *win,
					    bool *used)
{
	unsigned int looks;

	guard(spinlock)(&win->lock);
	looks = min(win->nr_live, FUSE_DAX_LOOKS);
	while (looks--) {
		struct fuse_dax_map *map = list_first_entry(&win->lru,
							    struct fuse_dax_map,
							    list);

		list_move_tail(&map->list, &win->lru);
		if (refcount_read(&map->ref) > 1) {
			map->fleeting = false;
			continue;
		}
		/* First use comes as a burst, which says nothing yet */
		*used = READ_ONCE(map->referenced) && !map->fleeting;
		if (*used)
			WRITE_ONCE(map->referenced, false);
		atomic_inc(&map->di->reclaimers);
		fuse_dax_map_get(map);
		return map;
	}
	return NULL;
}
