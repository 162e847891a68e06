// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Handles: the open files and directories of the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "passthrough/passthrough_i.h"

void handle_drop_dirents(struct pt *pt, struct handle *handle)
{
	if (!handle->dirents)
		return;
	free(handle->dirents);
	handle->dirents = NULL;
	__atomic_sub_fetch(&pt->nr_dirents, 1, __ATOMIC_RELAXED);
}

static void handle_free(struct pt *pt, struct handle *handle)
{
	close(handle->fd);
	node_put(pt, handle->node);
	pthread_mutex_destroy(&handle->lock);
	handle_drop_dirents(pt, handle);
	free(handle);
}

int handle_open(struct pt *pt, struct node *node, int fd, uint64_t *fh)
{
	int ret = fd_spared(fd);
	struct handle *handle = ret ? NULL : calloc(1, sizeof(*handle));

	if (!handle) {
		close(fd);
		return ret ?: -ENOMEM;
	}
	handle->fd = fd;
	handle->node = node_ref(pt, node);
	pthread_mutex_init(&handle->lock, NULL);

	pthread_mutex_lock(&pt->lock);
	ret = table_add(&pt->handles, &handle->obj);
	if (!ret) {
		*fh = handle->obj.id;
		table_put(&pt->handles, &handle->obj);
	}
	pthread_mutex_unlock(&pt->lock);
	if (ret)
		handle_free(pt, handle);
	return ret;
}

struct handle *handle_get(struct pt *pt, uint64_t fh, mode_t type)
{
	struct handle *handle;

	pthread_mutex_lock(&pt->lock);
	handle = (struct handle *)table_find(&pt->handles, fh);
	if (handle && handle->node->type == type)
		handle = (struct handle *)table_get(&pt->handles, fh);
	else
		handle = NULL;
	pthread_mutex_unlock(&pt->lock);
	return handle;
}

void handle_ref(struct pt *pt, struct handle *handle)
{
	pthread_mutex_lock(&pt->lock);
	handle->obj.refs++;
	pthread_mutex_unlock(&pt->lock);
}

void handle_put(struct pt *pt, struct handle *handle)
{
	bool last;

	if (!handle)
		return;
	pthread_mutex_lock(&pt->lock);
	last = table_put(&pt->handles, &handle->obj);
	pthread_mutex_unlock(&pt->lock);
	if (last)
		handle_free(pt, handle);
}

void handle_close(struct pt *pt, struct handle *handle)
{
	pthread_mutex_lock(&pt->lock);
	table_kill(&pt->handles, &handle->obj);
	pthread_mutex_unlock(&pt->lock);
}

/* The first live handle, with a reference, no longer found by its id. */
static struct handle *handle_take(struct pt *pt, uint32_t *pos)
{
	struct object *obj;

	pthread_mutex_lock(&pt->lock);
	obj = table_next(&pt->handles, pos);
	if (obj) {
		obj->refs++;
		table_kill(&pt->handles, obj);
	}
	pthread_mutex_unlock(&pt->lock);
	return (struct handle *)obj;
}

void handles_reset(struct pt *pt)
{
	struct handle *handle;
	uint32_t pos = 0;

	while ((handle = handle_take(pt, &pos)))
		handle_put(pt, handle);
}

int pt_file_fd(struct pt *pt, uint64_t fh)
{
	struct handle *handle = handle_get(pt, fh, S_IFREG);

	return handle ? handle->fd : -EBADF;
}

int pt_file_buffered(struct pt *pt, int fd)
{
	int flags = fcntl(fd, F_GETFL), plain;

	if (flags < 0 || !(flags & O_DIRECT))
		return -EINVAL;
	plain = openat(pt->proc_fd, proc_name(fd).s,
		       (flags & (O_ACCMODE | O_APPEND | O_SYNC | O_DSYNC)) |
		       O_CLOEXEC);
	return plain < 0 ? -errno : plain;
}

int pt_file_key(struct pt *pt, uint64_t fh, struct pt_key *key)
{
	struct handle *handle = handle_get(pt, fh, S_IFREG);

	if (!handle)
		return -EBADF;
	*key = handle->node->key;
	handle_put(pt, handle);
	return 0;
}

void pt_file_put(struct pt *pt, uint64_t fh)
{
	struct object *obj;

	/* The guest may have released it meanwhile, so it may be dead. */
	pthread_mutex_lock(&pt->lock);
	obj = table_find(&pt->handles, fh);
	pthread_mutex_unlock(&pt->lock);
	handle_put(pt, (struct handle *)obj);
}
