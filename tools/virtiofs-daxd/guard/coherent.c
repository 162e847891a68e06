// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard/coherent.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "guard/watch_group.h"
#include "host/log.h"
#include "host/util.h"
#include "message/notify.h"
#include "message/notify_name.h"

#define SEEN_BITS 17

#define OVERLAYFS_MAGIC 0x794c7630

/* What is moved has another time, whatever is known of the directories. */
#define FILE_MASK (FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_MOVE_SELF)
#define NAME_MASK (FAN_CREATE | FAN_DELETE | FAN_RENAME)
#define SEEN_MASK (FILE_MASK | NAME_MASK | FAN_ONDIR)

/*
 * A mark keeps an inode of the host in memory, 1 kB or so, which it could do without. So
 * many the guest may have us keep; what else it knows is not watched.
 */
#define SEEN_MAX (1u << 20)

/*
 * So many changes are told one by one, of those that are found at once. To ask for all
 * anew is less than to hear of more.
 */
#define TOLD_MAX 2048

/**
 * struct pt_seen - a file that the guest knows, or is about to
 * @next: of the same hash
 * @nodeid: as what; 0 as long as it has not been told
 * @dev: of two copies of a file system handles are the same
 * @mount: by which it was found
 * @refs: users
 * @handle: how events name it; its bytes follow
 */
struct pt_seen {
	struct pt_seen *next;
	uint64_t nodeid;
	dev_t dev;
	int mount;
	unsigned int refs;
	struct file_handle handle;
};

static struct watch_group group = WATCH_GROUP_INIT;

/*
 * @active: the guest relies on us; atomic
 * @events: it wants to know what happened; atomic
 * @lock: protects what follows. That of message/notify.c is taken within it
 * @heads: by handle
 * @count: how many
 * @twins: of how many there was another of the same handle: a file that the guest
 *	knows by two mounts. Read without the lock, too
 * @told: changes found at once, by who reads them
 */
static struct {
	bool usable;
	bool active;
	bool events;
	pthread_mutex_t lock;
	struct pt_seen **heads;
	unsigned int count;
	unsigned int twins;
	unsigned int told;
} coherent = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct pt_seen **chain(const struct file_handle *handle)
{
	return &coherent.heads[watch_handle_hash(handle) >> (32 - SEEN_BITS)];
}

/* The first from @seen on that a handle names, or NULL. Caller holds the lock. */
static struct pt_seen *named(struct pt_seen *seen,
			     const struct file_handle *handle)
{
	while (seen && !watch_handle_same(&seen->handle, handle))
		seen = seen->next;
	return seen;
}

/* ---- files that the guest knows ---- */

/*
 * File systems of this host, whose changes are all made here, and whose names are what
 * they are called: ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, bcachefs, ZFS, NILFS, ramfs.
 * What is changed by another host, or by nobody, makes no event; and where case does not
 * matter, one name has many that are absent.
 */
static bool is_local(uint32_t type)
{
	static const uint32_t types[] = {
		0xef53, 0x58465342, 0x9123683e, 0x01021994, OVERLAYFS_MAGIC,
		0xf2f52010, 0xca451a4e, 0x2fc12fc1, 0x3434, 0x858458f6,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (type == types[i])
			return true;
	return false;
}

/*
 * What is encrypted by fscrypt has other names, and links lead elsewhere, when the key
 * comes or goes: there is no event for that. And the names of one file below an overlay
 * are files of their own, which look like one, until one of them is changed. Of an
 * overlay a file need not keep its device, and handles tell all apart.
 */
static int is_told(int fd, dev_t *dev)
{
	struct statfs fs;
	struct statx stx;

	if (fstatfs(fd, &fs) ||
	    statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_NLINK, &stx))
		return -errno;
	if (!is_local(fs.f_type))
		return -EREMOTE;
	if (stx.stx_attributes & STATX_ATTR_ENCRYPTED)
		return -EOPNOTSUPP;
	*dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	if (fs.f_type != OVERLAYFS_MAGIC)
		return 0;
	*dev = 0;
	return S_ISREG(stx.stx_mode) && stx.stx_nlink > 1 ? -EMLINK : 0;
}

static bool wants_events(void)
{
	return __atomic_load_n(&coherent.events, __ATOMIC_ACQUIRE);
}

static int mark(int proc_fd, int path, unsigned int what)
{
	uint64_t mask = SEEN_MASK;
	char name[12];
	int err;

	/* Who watches a directory wants to know of files that nobody has looked up. */
	if (what == FAN_MARK_REMOVE || wants_events())
		mask |= FAN_EVENT_ON_CHILD;
	snprintf(name, sizeof(name), "%d", path);
	err = watch_group_mark(&group, what, mask, proc_fd, name);
	/* What is no directory has no names. */
	if (err == -ENOTDIR)
		err = watch_group_mark(&group, what, FILE_MASK, proc_fd, name);
	return err;
}

/* Caller holds the lock. */
static struct pt_seen *seen_new(const struct file_handle *handle, int mount,
				dev_t dev)
{
	struct pt_seen *seen = malloc(sizeof(*seen) + handle->handle_bytes);

	if (!seen)
		return NULL;
	*seen = (struct pt_seen){ .refs = 1, .mount = mount, .dev = dev };
	memcpy(&seen->handle, handle, sizeof(*handle) + handle->handle_bytes);
	if (named(*chain(handle), handle))
		__atomic_add_fetch(&coherent.twins, 1, __ATOMIC_RELAXED);
	seen->next = *chain(handle);
	*chain(handle) = seen;
	coherent.count++;
	return seen;
}

/* Caller holds the lock. */
static struct pt_seen *seen_find(const struct file_handle *handle, int mount)
{
	struct pt_seen *seen = named(*chain(handle), handle);

	while (seen && seen->mount != mount)
		seen = named(seen->next, handle);
	return seen;
}

static struct pt_seen *seen_add(int proc_fd, int path)
{
	union watch_handle handle;
	struct pt_seen *seen = NULL;
	dev_t dev = 0;
	int mount, err;

	/* Who does not answer what it is has nobody wait for the lock. */
	err = is_told(path, &dev) ?:
	      watch_group_handle(path, &handle, &mount);
	if (!err) {
		pthread_mutex_lock(&coherent.lock);
		seen = seen_find(&handle.head, mount);
		if (seen)
			seen->refs++;
		else
			err = coherent.count >= SEEN_MAX ? -ENOSPC :
			      mark(proc_fd, path, FAN_MARK_ADD);
		if (!seen && !err)
			seen = seen_new(&handle.head, mount, dev);
		pthread_mutex_unlock(&coherent.lock);
	}
	if (err)
		log_warn_once("a file cannot be watched for changes, so the guest is to ask for it as with --cache=auto: %s (told once)",
			      strerror(-err));
	return seen;
}

static void seen_known(struct pt_seen *seen, uint64_t nodeid)
{
	pthread_mutex_lock(&coherent.lock);
	/* What was told of it until now was told of a node that is gone. */
	if (seen->nodeid && seen->nodeid != nodeid)
		notify_changed();
	seen->nodeid = nodeid;
	pthread_mutex_unlock(&coherent.lock);
}

bool coherent_watches(int fd)
{
	union watch_handle handle;
	bool watches;
	int mount;

	if (!coherent_active() || watch_group_handle(fd, &handle, &mount))
		return false;
	pthread_mutex_lock(&coherent.lock);
	watches = seen_find(&handle.head, mount);
	pthread_mutex_unlock(&coherent.lock);
	return watches;
}

/* Caller holds the lock. */
static bool is_known_by_another_mount(const struct pt_seen *seen)
{
	struct pt_seen *other = named(*chain(&seen->handle), &seen->handle);

	while (other && other->dev != seen->dev)
		other = named(other->next, &seen->handle);
	return other;
}

/* Another mount's file of this handle keeps the mark, which is its own too. */
static void seen_remove(struct pt_seen *seen, int proc_fd, int path)
{
	struct pt_seen **link;

	pthread_mutex_lock(&coherent.lock);
	if (--seen->refs) {
		pthread_mutex_unlock(&coherent.lock);
		return;
	}
	link = chain(&seen->handle);
	while (*link != seen)
		link = &(*link)->next;
	*link = seen->next;
	coherent.count--;
	if (named(*chain(&seen->handle), &seen->handle))
		__atomic_sub_fetch(&coherent.twins, 1, __ATOMIC_RELAXED);
	if (path >= 0 && !is_known_by_another_mount(seen))
		mark(proc_fd, path, FAN_MARK_REMOVE);
	pthread_mutex_unlock(&coherent.lock);
	free(seen);
}

const struct pt_watch coherent_watch = {
	.add = seen_add,
	.known = seen_known,
	.remove = seen_remove,
};

/* ---- events; caller holds the lock ---- */

/* The next one that a handle names, of those that the guest knows. */
static struct pt_seen *next_known(struct pt_seen *seen,
				  const struct file_handle *handle)
{
	for (seen = named(seen, handle); seen && !seen->nodeid;
	     seen = named(seen->next, handle))
		/* What it is being told just now is not to be kept. */
		notify_changed();
	return seen;
}

#define FOR_EACH_KNOWN(seen, handle)					\
	for (struct pt_seen *(seen) = next_known(*chain(handle), handle); \
	     (seen); (seen) = next_known((seen)->next, handle))

static uint64_t known_as(const struct file_handle *handle)
{
	struct pt_seen *seen = handle ? next_known(*chain(handle), handle) :
					NULL;

	return seen ? seen->nodeid : 0;
}

/*
 * Whether the guest has to be told. What it has done itself it knows, but only of the
 * node by which it was done: of a file on two mounts there are two.
 */
static bool is_news(const struct watch_event *event,
		    const struct file_handle *file)
{
	struct pt_seen *seen = file ? named(*chain(file), file) : NULL;

	return seen && (!event->own || named(seen->next, file));
}

/* A name leads elsewhere now. */
static void name_changed(const struct watch_event *event,
			 const struct watch_name *name, uint64_t gone)
{
	if (!is_news(event, name->dir))
		return;
	FOR_EACH_KNOWN(seen, name->dir) {
		if (gone)
			notify_delete(seen->nodeid, gone, name->name);
		else
			notify_inval_entry(seen->nodeid, name->name);
		notify_inval_inode(seen->nodeid, -1, 0);
	}
}

static void names_changed(const struct watch_event *event)
{
	/* A directory that is gone is nobody's any more, as its names are. */
	bool gone = (event->mask & (NAME_MASK | FAN_ONDIR)) ==
		    (FAN_DELETE | FAN_ONDIR);

	/* Of a node that this guest is making just now nothing is to be said. */
	gone = gone && is_news(event, event->file);
	name_changed(event, &event->from, gone ? known_as(event->file) : 0);
	name_changed(event, &event->to, 0);
}

/*
 * What the guest has mapped shows it already, and need not be given up. Whether the file
 * is shorter the guest finds out, as it asks for the size.
 */
static void file_changed(const struct watch_event *event,
			 const struct file_handle *file)
{
	bool data = event->mask & (FAN_MODIFY | FAN_CLOSE_WRITE);

	if (!is_news(event, file))
		return;
	FOR_EACH_KNOWN(seen, file)
		notify_inval_inode(seen->nodeid, data ? 0 : -1,
				   data ? NOTIFY_SHOWN : 0);
}

/* What the guest watches, by one of the names that it has for it. */
static void tell_rename(const struct watch_event *event)
{
	static uint32_t cookie;
	struct notify_event moved[2];
	uint64_t from = known_as(event->from.dir), to = known_as(event->to.dir);
	uint32_t is_dir = event->mask & FAN_ONDIR;
	unsigned int n = 0;

	cookie = cookie + 1 ?: 1;
	if (from)
		moved[n++] = (struct notify_event){
			from, FAN_MOVED_FROM | is_dir, cookie, event->from.name,
		};
	if (to)
		moved[n++] = (struct notify_event){
			to, FAN_MOVED_TO | is_dir, cookie, event->to.name,
		};
	notify_events(moved, n);
}

static void tell_one(const struct watch_event *event, uint32_t bit)
{
	uint64_t file = event->file ? known_as(event->file) : 0;
	uint64_t dir = known_as(event->from.dir);
	struct notify_event told = {
		.mask = bit | (event->mask & FAN_ONDIR),
	};

	if (!(event->mask & bit))
		return;
	/* A link more or less: who watches the directory is told of that. */
	if (bit == FAN_ATTRIB && !event->from.dir)
		return;
	told.nodeid = dir;
	if (bit & FILE_MASK && (file || !event->file))
		/* That of a directory itself comes as a name in it. */
		told.nodeid = file ?: dir;
	else
		told.name = event->from.name;
	if (told.nodeid)
		notify_events(&told, 1);
}

/* Those of one file may come as one: in the order in which they can have been. */
static void tell_events(const struct watch_event *event)
{
	static const uint32_t order[] = {
		FAN_CREATE, FAN_MODIFY, FAN_ATTRIB, FAN_CLOSE_WRITE, FAN_DELETE,
	};

	if (event->mask & FAN_RENAME)
		tell_rename(event);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		tell_one(event, order[i]);
}

/* Whether the guest may have to be told: is_news() tells. Nobody has the lock. */
static bool may_be_news(const struct watch_event *event)
{
	if (!event->own)
		return true;
	/* That we, or the VMM, close a file changes nothing. */
	return __atomic_load_n(&coherent.twins, __ATOMIC_RELAXED) &&
	       event->mask & (SEEN_MASK & ~(FAN_CLOSE_WRITE | FAN_ONDIR));
}

/* It may have happened to any file. */
static bool names_nothing(const struct watch_event *event)
{
	return !event->file && !event->from.dir && !event->to.dir;
}

static void take_event(const struct watch_event *event)
{
	bool news;

	/* What is left of a session that has ended. */
	if (!coherent_active())
		return;
	news = may_be_news(event);
	if (event->mask & FAN_Q_OVERFLOW || (news && names_nothing(event)))
		coherent.told = TOLD_MAX + 1;
	else if (!event->own)
		coherent.told++;
	if (!news || coherent.told > TOLD_MAX)
		return;
	pthread_mutex_lock(&coherent.lock);
	if (event->mask & NAME_MASK)
		names_changed(event);
	file_changed(event, event->file ?: event->from.dir);
	if (wants_events() && !event->own)
		tell_events(event);
	pthread_mutex_unlock(&coherent.lock);
}

static void took_all(void)
{
	if (coherent.told > TOLD_MAX)
		notify_all_changed();
	coherent.told = 0;
}

void coherent_changed(uint64_t nodeid)
{
	if (coherent_active())
		notify_inval_inode(nodeid, -1, 0);
}

void coherent_drain(void)
{
	watch_group_read(&group, take_event, took_all);
}

/* ---- sessions ---- */

int coherent_open(int root, int proc_fd)
{
	dev_t dev;
	int err = is_told(root, &dev);

	if (err)
		return err;
	coherent.heads = calloc(1 << SEEN_BITS, sizeof(*coherent.heads));
	if (!coherent.heads)
		return -ENOMEM;
	err = watch_group_open(&group, true);
	if (!err)
		err = mark(proc_fd, root, FAN_MARK_ADD);
	if (!err)
		err = mark(proc_fd, root, FAN_MARK_REMOVE);
	coherent.usable = !err;
	if (err)
		coherent_close();
	return err;
}

int coherent_fd(void)
{
	return group.fd;
}

void coherent_close(void)
{
	watch_group_close(&group);
}

bool coherent_active(void)
{
	return __atomic_load_n(&coherent.active, __ATOMIC_ACQUIRE);
}

bool coherent_begin(bool events)
{
	if (!coherent.usable || !notify_active())
		return false;
	__atomic_store_n(&coherent.events, events, __ATOMIC_RELEASE);
	__atomic_store_n(&coherent.active, true, __ATOMIC_RELEASE);
	notify_order(coherent_drain);
	return true;
}

void coherent_end(void)
{
	__atomic_store_n(&coherent.active, false, __ATOMIC_RELEASE);
	__atomic_store_n(&coherent.events, false, __ATOMIC_RELEASE);
	notify_order(NULL);
}
