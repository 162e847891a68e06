// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/watch_group.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/util.h"

/* AT_HANDLE_FID, which older headers do not know: a handle to compare only */
#define HANDLE_FID 0x200

/* More than the kernel keeps for us. */
#define READ_MAX 65536

static pid_t vmm = -1;

int watch_group_open(struct watch_group *group, bool names)
{
	unsigned int flags = FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC |
			     FAN_NONBLOCK;

	if (names)
		flags |= FAN_REPORT_DIR_FID | FAN_REPORT_NAME |
			 FAN_REPORT_TARGET_FID;
	/* Who may not have any number of marks has those of any user. */
	group->fd = fanotify_init(flags | FAN_UNLIMITED_MARKS, 0);
	if (group->fd < 0)
		group->fd = fanotify_init(flags, 0);
	return group->fd < 0 ? -errno : 0;
}

void watch_group_close(struct watch_group *group)
{
	close_fd(&group->fd);
}

void watch_group_vmm(int conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (!getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	    cred.pid > 0)
		vmm = cred.pid;
}

int watch_group_mark(struct watch_group *group, unsigned int what, uint64_t mask,
		     int dir, const char *name)
{
	return fanotify_mark(group->fd, what, mask, dir, name) ? -errno : 0;
}

int watch_group_handle(int fd, union watch_handle *handle, int *mount)
{
	handle->head.handle_bytes = MAX_HANDLE_SZ;
	if (!name_to_handle_at(fd, "", &handle->head, mount,
			       AT_EMPTY_PATH | HANDLE_FID))
		return 0;
	/* Linux before 6.5 */
	if (errno == EINVAL &&
	    !name_to_handle_at(fd, "", &handle->head, mount, AT_EMPTY_PATH))
		return 0;
	return -errno;
}

bool watch_handle_same(const struct file_handle *a, const struct file_handle *b)
{
	return a->handle_type == b->handle_type &&
	       a->handle_bytes == b->handle_bytes &&
	       !memcmp(a->f_handle, b->f_handle, a->handle_bytes);
}

uint32_t watch_handle_hash(const struct file_handle *handle)
{
	uint32_t hash = handle->handle_type;

	for (unsigned int i = 0; i < handle->handle_bytes; i++)
		hash = (hash ^ handle->f_handle[i]) * 0x9e3779b1;
	return hash;
}

/* One piece of what an event says. */
static void note_info(struct watch_event *event,
		      const struct fanotify_event_info_fid *info)
{
	const struct file_handle *handle = (const void *)info->handle;
	const struct watch_name name = {
		handle, (const char *)handle->f_handle + handle->handle_bytes,
	};

	switch (info->hdr.info_type) {
	case FAN_EVENT_INFO_TYPE_FID:
		event->file = handle;
		break;
	case FAN_EVENT_INFO_TYPE_DFID_NAME:
	case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
		event->from = name;
		break;
	case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
		event->to = name;
		break;
	}
}

static void note_event(struct watch_event *event,
		       const struct fanotify_event_metadata *meta,
		       const char *pos)
{
	const char *end = pos + meta->event_len;

	*event = (struct watch_event){
		.mask = meta->mask,
		.own = meta->pid == getpid() ||
		       (meta->pid == vmm && meta->mask == FAN_CLOSE_WRITE),
	};
	pos += meta->metadata_len;
	while (pos + sizeof(struct fanotify_event_info_header) <= end) {
		const struct fanotify_event_info_fid *info = (const void *)pos;

		if (info->hdr.len < sizeof(info->hdr))
			break;
		note_info(event, info);
		pos += info->hdr.len;
	}
}

/* What one buffer holds; returns how many, or -1 if what there was is lost. */
static int read_some(struct watch_group *group,
		     void (*take)(const struct watch_event *event))
{
	struct fanotify_event_metadata meta;
	struct watch_event event;
	const char *pos = group->buf;
	unsigned int tries = 0;
	int count = 0;
	ssize_t left;

	do {
		left = read(group->fd, group->buf, sizeof(group->buf));
	} while (left < 0 && interrupted(errno, &tries));
	if (left < 0 && errno != EAGAIN)
		return -1;
	while (left >= (ssize_t)sizeof(meta)) {
		/* They follow each other without being aligned. */
		memcpy(&meta, pos, sizeof(meta));
		if (!FAN_EVENT_OK(&meta, left))
			break;
		note_event(&event, &meta, pos);
		take(&event);
		count++;
		pos += meta.event_len;
		left -= meta.event_len;
	}
	return count;
}

unsigned int watch_group_read(struct watch_group *group,
			      void (*take)(const struct watch_event *event),
			      void (*end)(void))
{
	static const struct watch_event lost = { .mask = FAN_Q_OVERFLOW };
	unsigned int count = 0;
	int n = 0;

	pthread_mutex_lock(&group->reading);
	while (count < READ_MAX && (n = read_some(group, take)) > 0)
		count += n;
	if (n < 0) {
		take(&lost);
		count++;
	}
	if (count && end)
		end();
	pthread_mutex_unlock(&group->reading);
	return count;
}
