/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The notification queue of a virtio-fs device: what the server says unasked.
 */
#ifndef _FS_FUSE_VIRTIO_FS_NOTIFY_H
#define _FS_FUSE_VIRTIO_FS_NOTIFY_H

#include <linux/types.h>

struct fuse_conn;
struct virtio_device;
struct virtio_fs_notify;
struct virtqueue;

struct virtio_fs_notify *virtio_fs_notify_new(struct virtio_device *vdev);
void virtio_fs_notify_free(struct virtio_fs_notify *notify);

void virtio_fs_notify_done(struct virtio_fs_notify *notify);
int virtio_fs_notify_start(struct virtio_fs_notify *notify,
			   struct virtqueue *vq);
void virtio_fs_notify_stop(struct virtio_fs_notify *notify);

void virtio_fs_notify_mount(struct virtio_fs_notify *notify,
			    struct fuse_conn *fc);
void virtio_fs_notify_unmount(struct virtio_fs_notify *notify);
void virtio_fs_notify_drain(struct virtio_fs_notify *notify);

#endif /* _FS_FUSE_VIRTIO_FS_NOTIFY_H */
