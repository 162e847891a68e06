// SPDX-License-Identifier: GPL-2.0
/*
 * The notification queue of a virtio-fs device: what the server says unasked.
 *
 * A message is what a server writes to /dev/fuse: a fuse_out_header with unique
 * 0 and the code in its error, then the body. It comes in a buffer of ours,
 * which the server has until it has something to say. What takes long is copied for
 * a worker, so that the server always finds a buffer: the worker may wait for a lock
 * whose holder waits for the server. How many copies there are bounds what it can have
 * us do. FUSE_NOTIFY_INC_EPOCH stands for all that could not be said, or copied.
 *
 * What a message makes stale is marked as such when it is taken from the queue,
 * without sleeping; that is done before any answer that was put in its queue
 * after the message is given to who waits for it. What takes longer is left to
 * workers, who may wait for the server: nobody who ends that waits for them.
 */
#include "virtio_fs_notify.h"

#include "dev.h"
#include "fuse_i.h"

#include <linux/fuse.h>
#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/workqueue.h>

/* Buffers that the server has at most */
#define VIRTIO_FS_NOTIFY_BUFS	64

/* The longest message that is of use: a name and its parent */
#define VIRTIO_FS_NOTIFY_MIN						\
	(sizeof(struct fuse_out_header) +				\
	 sizeof(struct fuse_notify_delete_out) + FUSE_NAME_LOW_MAX + 1)

/* Messages that wait for the worker at most */
#define VIRTIO_FS_NOTIFY_COPIES	1024

/* When buffers that the queue did not take are tried again, if it has none */
#define VIRTIO_FS_NOTIFY_RETRY	(HZ / 10)

/**
 * struct virtio_fs_note - a buffer for one message
 * @list: on &virtio_fs_notify.slow for a copy, which waits for the worker, on
 *	@idle while nobody has the buffer
 * @len: bytes of the message
 * @code: what it says. Read once: a device can write to @msg at any time
 * @msg: a page of its own, the message at its start
 */
struct virtio_fs_note {
	struct list_head list;
	unsigned int len;
	int code;
	struct fuse_out_header *msg;
};

/**
 * struct virtio_fs_notify - the notification queue of a device
 * @lock: protects what follows, up to @lost. Leaf, but for what marks take
 * @vq: the queue; NULL while the device is reset
 * @fc: the connection to which the messages belong, or NULL: then they are of no
 *	meaning
 * @slow: &struct virtio_fs_note, copies of messages that may take long
 * @idle: likewise, buffers to be given to the server when the queue takes them
 * @posted: how many the server has
 * @copies: how many are in @slow, or with the worker
 * @lost: there were more
 * @done_work: takes messages from the queue
 * @slow_work: handles those in @slow
 * @size: bytes of a buffer. Constant
 * @notes: the buffers
 */
struct virtio_fs_notify {
	/* protects what follows, up to @lost */
	spinlock_t lock;
	struct virtqueue *vq;
	struct fuse_conn *fc;
	struct list_head slow;
	struct list_head idle;
	unsigned int posted;
	unsigned int copies;
	bool lost;

	struct delayed_work done_work;
	struct work_struct slow_work;
	unsigned int size;
	struct virtio_fs_note notes[VIRTIO_FS_NOTIFY_BUFS];
};

/*
 * Gives the server what buffers nobody has. Those for which there is no room, or
 * no memory, are given with the next ones, or after a while if it has none.
 */
static void virtio_fs_notify_post(struct virtio_fs_notify *notify)
{
	struct virtio_fs_note *note, *next;
	struct scatterlist sg;
	bool kick = false;

	lockdep_assert_held(&notify->lock);
	if (!notify->vq)
		return;
	list_for_each_entry_safe(note, next, &notify->idle, list) {
		sg_init_one(&sg, note->msg, notify->size);
		if (virtqueue_add_inbuf(notify->vq, &sg, 1, note, GFP_ATOMIC))
			break;
		list_del_init(&note->list);
		notify->posted++;
		kick = true;
	}
	if (kick)
		virtqueue_kick(notify->vq);
	if (!notify->posted && !list_empty(&notify->idle))
		queue_delayed_work(system_dfl_wq, &notify->done_work,
				   VIRTIO_FS_NOTIFY_RETRY);
}

/* What makes sense for a device. A request is not sent anew, for one */
static bool virtio_fs_notify_knows(int code)
{
	switch (code) {
	case FUSE_NOTIFY_INVAL_INODE:
	case FUSE_NOTIFY_INVAL_ENTRY:
	case FUSE_NOTIFY_DELETE:
	case FUSE_NOTIFY_INC_EPOCH:
	case FUSE_NOTIFY_PRUNE:
	case FUSE_NOTIFY_EVENT:
		return true;
	}
	return false;
}

/* Whether a buffer holds a message; the device says how much it has written */
static bool virtio_fs_note_valid(const struct virtio_fs_notify *notify,
				 struct virtio_fs_note *note, unsigned int len)
{
	const struct fuse_out_header *oh = note->msg;

	if (len < sizeof(*oh) || len > notify->size)
		return false;
	note->len = READ_ONCE(oh->len);
	note->code = READ_ONCE(oh->error);
	return note->len >= sizeof(*oh) && note->len <= len && !oh->unique &&
	       virtio_fs_notify_knows(note->code);
}

/* Marks at once; true if nothing is left to be done for a message */
static bool virtio_fs_note_mark(struct virtio_fs_notify *notify,
				struct virtio_fs_note *note)
{
	return fuse_notify_mark(notify->fc, note->code, note->msg + 1,
				note->len - sizeof(*note->msg));
}

/*
 * How many copies there may be for one more. Of what watchers are told as much comes as
 * others do: it leaves room for what pages are dropped for, and may be lost.
 */
static unsigned int virtio_fs_notify_room(const struct virtio_fs_notify *notify,
					  const struct virtio_fs_note *note)
{
	return fuse_notify_matters(notify->fc, note->code) ?
	       VIRTIO_FS_NOTIFY_COPIES : VIRTIO_FS_NOTIFY_COPIES / 2;
}

/* A copy of a message, so that the server gets the buffer back; NULL without memory */
static struct virtio_fs_note *
virtio_fs_note_copy(struct virtio_fs_notify *notify, struct virtio_fs_note *note)
{
	struct virtio_fs_note *copy;

	lockdep_assert_held(&notify->lock);
	if (notify->copies >= virtio_fs_notify_room(notify, note))
		return NULL;
	copy = kmalloc_obj(*copy, GFP_ATOMIC | __GFP_NOWARN);
	if (!copy)
		return NULL;
	*copy = *note;
	copy->msg = (void *)__get_free_page(GFP_ATOMIC | __GFP_NOWARN);
	if (!copy->msg) {
		kfree(copy);
		return NULL;
	}
	memcpy(copy->msg, note->msg, note->len);
	notify->copies++;
	return copy;
}

static void virtio_fs_note_free(struct virtio_fs_notify *notify,
				struct virtio_fs_note *copy)
{
	free_page((unsigned long)copy->msg);
	kfree(copy);
	guard(spinlock)(&notify->lock);
	notify->copies--;
}

/*
 * Leaves a message that takes long to the worker. Of one for which there is no room,
 * that there was something, if it is not as well without.
 */
static void virtio_fs_notify_leave(struct virtio_fs_notify *notify,
				   struct virtio_fs_note *note)
{
	struct virtio_fs_note *copy = virtio_fs_note_copy(notify, note);

	lockdep_assert_held(&notify->lock);
	if (copy)
		list_add_tail(&copy->list, &notify->slow);
	else if (fuse_notify_matters(notify->fc, note->code))
		notify->lost = true;
	queue_work(system_dfl_long_wq, &notify->slow_work);
}

/*
 * Takes what is in the queue, at most as much as was when this began; true if
 * there may be more.
 */
static bool virtio_fs_notify_take(struct virtio_fs_notify *notify)
{
	unsigned int len, n;

	lockdep_assert_held(&notify->lock);
	for (n = 0; n < VIRTIO_FS_NOTIFY_BUFS && notify->vq; n++) {
		struct virtio_fs_note *note = virtqueue_get_buf(notify->vq, &len);

		if (!note)
			break;
		notify->posted--;
		if (notify->fc && virtio_fs_note_valid(notify, note, len) &&
		    !virtio_fs_note_mark(notify, note))
			virtio_fs_notify_leave(notify, note);
		list_add_tail(&note->list, &notify->idle);
	}
	virtio_fs_notify_post(notify);
	return n == VIRTIO_FS_NOTIFY_BUFS;
}

static void virtio_fs_notify_done_work(struct work_struct *work)
{
	struct virtio_fs_notify *notify = container_of(to_delayed_work(work),
						       typeof(*notify), done_work);
	bool more;

	scoped_guard(spinlock, &notify->lock) {
		if (!notify->vq)
			return;
		virtqueue_disable_cb(notify->vq);
		more = virtio_fs_notify_take(notify) ||
		       !virtqueue_enable_cb(notify->vq);
	}
	/* A server that does not stop has one worker busy, not a processor */
	if (more)
		mod_delayed_work(system_dfl_wq, &notify->done_work, 0);
}

/**
 * virtio_fs_notify_done - the server has used buffers
 * @notify: the queue
 *
 * Context: Interrupt.
 */
void virtio_fs_notify_done(struct virtio_fs_notify *notify)
{
	mod_delayed_work(system_dfl_wq, &notify->done_work, 0);
}

/**
 * virtio_fs_notify_drain - take note of all that was said until now
 * @notify: the queue; NULL for a device without
 *
 * To be called before answers are given to those who wait for them.
 *
 * Context: Process context. Does not sleep.
 */
void virtio_fs_notify_drain(struct virtio_fs_notify *notify)
{
	if (!notify)
		return;
	guard(spinlock)(&notify->lock);
	virtio_fs_notify_take(notify);
}

/* The connection to which what waits for the worker belongs, with a reference */
static struct fuse_conn *virtio_fs_notify_conn(struct virtio_fs_notify *notify)
{
	guard(spinlock)(&notify->lock);
	return notify->fc ? fuse_conn_get(notify->fc) : NULL;
}

/* The next message that may take long */
static struct virtio_fs_note *
virtio_fs_notify_next(struct virtio_fs_notify *notify)
{
	struct virtio_fs_note *note;

	guard(spinlock)(&notify->lock);
	note = list_first_entry_or_null(&notify->slow, struct virtio_fs_note,
					list);
	if (note)
		list_del_init(&note->list);
	return note;
}

/* There is nobody to tell that a message made no sense */
static void virtio_fs_notify_handle(struct virtio_fs_notify *notify, int code,
				    struct fuse_out_header *msg,
				    unsigned int len)
{
	struct fuse_conn *fc = virtio_fs_notify_conn(notify);

	if (!fc)
		return;
	fuse_notify_page(fc, code, msg + 1, len - sizeof(*msg));
	fuse_conn_put(fc);
}

static bool virtio_fs_notify_was_lost(struct virtio_fs_notify *notify)
{
	bool lost;

	guard(spinlock)(&notify->lock);
	lost = notify->lost;
	notify->lost = false;
	return lost;
}

static void virtio_fs_notify_slow_work(struct work_struct *work)
{
	struct virtio_fs_notify *notify = container_of(work, typeof(*notify),
						       slow_work);
	struct virtio_fs_note *note;

	while ((note = virtio_fs_notify_next(notify))) {
		virtio_fs_notify_handle(notify, note->code, note->msg,
					note->len);
		virtio_fs_note_free(notify, note);
		/* A server need not stop */
		cond_resched();
	}
	if (virtio_fs_notify_was_lost(notify))
		virtio_fs_notify_handle(notify, FUSE_NOTIFY_INC_EPOCH,
					notify->notes[0].msg,
					sizeof(*note->msg));
}

/**
 * virtio_fs_notify_new - prepare the notification queue of a device
 * @vdev: the device, with VIRTIO_FS_F_NOTIFICATION
 *
 * The device says how long a message may be at least; a page has to do.
 *
 * Return: the queue, or an ERR_PTR().
 */
struct virtio_fs_notify *virtio_fs_notify_new(struct virtio_device *vdev)
{
	struct virtio_fs_notify *notify;
	unsigned int i;
	u32 size;

	virtio_cread_le(vdev, struct virtio_fs_config, notify_buf_size, &size);
	if (size > PAGE_SIZE) {
		dev_err(&vdev->dev, "notifications of %u bytes are too long\n",
			size);
		return ERR_PTR(-EINVAL);
	}

	notify = kzalloc_obj(*notify);
	if (!notify)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&notify->lock);
	INIT_LIST_HEAD(&notify->slow);
	INIT_LIST_HEAD(&notify->idle);
	INIT_DELAYED_WORK(&notify->done_work, virtio_fs_notify_done_work);
	INIT_WORK(&notify->slow_work, virtio_fs_notify_slow_work);
	notify->size = max_t(u32, size, VIRTIO_FS_NOTIFY_MIN);
	for (i = 0; i < VIRTIO_FS_NOTIFY_BUFS; i++) {
		list_add_tail(&notify->notes[i].list, &notify->idle);
		notify->notes[i].msg = (void *)get_zeroed_page(GFP_KERNEL);
		if (!notify->notes[i].msg) {
			virtio_fs_notify_free(notify);
			return ERR_PTR(-ENOMEM);
		}
	}
	return notify;
}

/**
 * virtio_fs_notify_free - end of a notification queue
 * @notify: the queue, stopped; or NULL
 */
void virtio_fs_notify_free(struct virtio_fs_notify *notify)
{
	unsigned int i;

	if (!notify)
		return;
	/* What it has left is of no mount */
	flush_work(&notify->slow_work);
	for (i = 0; i < VIRTIO_FS_NOTIFY_BUFS; i++)
		free_page((unsigned long)notify->notes[i].msg);
	kfree(notify);
}

/**
 * virtio_fs_notify_start - give the server its buffers
 * @notify: the queue; NULL for a device without
 * @vq: its virtqueue, of a device that is ready
 *
 * Context: Takes &virtio_fs_notify.lock.
 * Return: 0, or -ENOSPC if the virtqueue has no room for any.
 */
int virtio_fs_notify_start(struct virtio_fs_notify *notify,
			   struct virtqueue *vq)
{
	if (!notify)
		return 0;
	guard(spinlock)(&notify->lock);
	notify->vq = vq;
	virtio_fs_notify_post(notify);
	return notify->posted ? 0 : -ENOSPC;
}

/**
 * virtio_fs_notify_stop - take all buffers back
 * @notify: the queue, of a device that was reset; NULL for a device without
 *
 * Messages that are being handled have been copied: a mount that has been aborted
 * waits for these when it goes, see virtio_fs_notify_unmount().
 *
 * Context: Sleeps until none is taken from the queue any more.
 */
void virtio_fs_notify_stop(struct virtio_fs_notify *notify)
{
	struct virtio_fs_note *note;

	if (!notify)
		return;
	scoped_guard(spinlock, &notify->lock) {
		while (notify->vq &&
		       (note = virtqueue_detach_unused_buf(notify->vq)))
			list_add_tail(&note->list, &notify->idle);
		notify->vq = NULL;
		notify->posted = 0;
	}
	cancel_delayed_work_sync(&notify->done_work);
}

/**
 * virtio_fs_notify_mount - messages belong to this connection from now on
 * @notify: the queue; NULL for a device without
 * @fc: the connection
 *
 * Context: Takes &virtio_fs_notify.lock.
 */
void virtio_fs_notify_mount(struct virtio_fs_notify *notify,
			    struct fuse_conn *fc)
{
	if (!notify)
		return;
	guard(spinlock)(&notify->lock);
	notify->fc = fc;
}

/**
 * virtio_fs_notify_unmount - messages belong to nobody any more
 * @notify: the queue; NULL for a device without
 *
 * Context: Sleeps until none is being handled: no lock may be held that is taken
 * on behalf of one, as those of directories and of &fuse_conn.killsb are.
 */
void virtio_fs_notify_unmount(struct virtio_fs_notify *notify)
{
	if (!notify)
		return;
	scoped_guard(spinlock, &notify->lock)
		notify->fc = NULL;
	flush_work(&notify->slow_work);
}
