// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * On whose behalf a thread acts.
 *
 * The guest kernel checks permissions (it runs with default_permissions), so
 * the daemon needs the identity of the requester for one thing only: the owner
 * of what is created. setfsuid() and setfsgid() do that for one thread. Root's
 * file capabilities must survive it (SECBIT_NO_SETUID_FIXUP, set in
 * isolation_start()): the guest may have allowed the creation because of a
 * supplementary group or an ACL entry that the host thread does not have, and
 * it has already removed S_ISGID from the mode where its caller may not set it.
 * That is also why FUSE_CREATE_SUPP_GROUP is not needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "passthrough/passthrough_i.h"

struct caps {
	struct __user_cap_header_struct head;
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

/* Capabilities of the calling thread; none if they cannot be read. */
static struct caps caps_get(void)
{
	struct caps caps = { .head.version = _LINUX_CAPABILITY_VERSION_3 };

	if (syscall(SYS_capget, &caps.head, caps.data))
		return (struct caps){ .head.version = _LINUX_CAPABILITY_VERSION_3 };
	return caps;
}

static bool caps_effective(const struct caps *caps, unsigned int cap)
{
	return caps->data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

void cred_init(struct pt *pt)
{
	struct caps caps = caps_get();

	pt->switch_creds = caps_effective(&caps, CAP_SETUID) &&
			   caps_effective(&caps, CAP_SETGID);
}

/* setfsuid() does not say whether it failed; asking for -1 tells who one is. */
static int fsuid_set(uid_t uid)
{
	setfsuid(uid);
	return (uid_t)setfsuid((uid_t)-1) == uid ? 0 : -EPERM;
}

static int fsgid_set(gid_t gid)
{
	setfsgid(gid);
	return (gid_t)setfsgid((gid_t)-1) == gid ? 0 : -EPERM;
}

int cred_owner(const struct pt *pt, uid_t *uid, gid_t *gid)
{
	int ret = 0;

	if (*uid != (uid_t)-1)
		ret = ids_to_host(&pt->opts.uids, *uid, uid);
	if (!ret && *gid != (gid_t)-1)
		ret = ids_to_host(&pt->opts.gids, *gid, gid);
	return ret;
}

void cred_seen(const struct pt *pt, struct stat *st)
{
	st->st_uid = ids_to_guest(&pt->opts.uids, st->st_uid);
	st->st_gid = ids_to_guest(&pt->opts.gids, st->st_gid);
}

static bool cred_same(const struct pt *pt, uid_t uid, gid_t gid)
{
	return !pt->switch_creds || (uid == pt->uid && gid == pt->gid);
}

static int cred_switch(const struct pt *pt, uid_t uid, gid_t gid)
{
	/* -1 would mean "tell me": a guest must not become the daemon by it. */
	if (uid == (uid_t)-1 || gid == (gid_t)-1)
		return -EINVAL;
	/* In a user namespace there may be no root: then it is who runs the daemon. */
	if (fsgid_set(gid) && gid)
		return -EPERM;
	if (fsuid_set(uid) && uid) {
		fsgid_set(pt->gid);
		return -EPERM;
	}
	return 0;
}

int cred_enter(struct pt *pt, fuse_req_t req)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	gid_t gid = fuse_req_ctx(req)->gid;
	int ret = cred_owner(pt, &uid, &gid);

	if (ret)
		return ret;
	/* With ACLs the host applies the umask, where no default ACL does. */
	if (pt->opts.posix_acl) {
		ret = cred_private_fs(pt);
		if (ret)
			return ret;
	}
	if (!cred_same(pt, uid, gid)) {
		ret = cred_switch(pt, uid, gid);
		if (ret)
			return ret;
	}
	if (pt->opts.posix_acl)
		umask(fuse_req_ctx(req)->umask & 07777);
	return 0;
}

void cred_leave(struct pt *pt, fuse_req_t req)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	gid_t gid = fuse_req_ctx(req)->gid;
	int saved = errno;

	if (pt->opts.posix_acl)
		umask(0);
	if (!cred_owner(pt, &uid, &gid) && !cred_same(pt, uid, gid)) {
		setfsuid(pt->uid);
		setfsgid(pt->gid);
	}
	errno = saved;
}

int cred_private_fs(struct pt *pt)
{
	static _Thread_local bool private_fs;

	if (private_fs)
		return 0;
	if (unshare(CLONE_FS) || fchdir(pt->proc_fd))
		return -errno;
	private_fs = true;
	return 0;
}

static bool fsetid_set(bool on)
{
	struct caps caps = caps_get();
	uint32_t mask = CAP_TO_MASK(CAP_FSETID);

	if (caps_effective(&caps, CAP_FSETID) == on)
		return false;
	caps.data[CAP_TO_INDEX(CAP_FSETID)].effective ^= mask;
	return !syscall(SYS_capset, &caps.head, caps.data);
}

bool pt_drop_fsetid(void)
{
	return fsetid_set(false);
}

void pt_regain_fsetid(void)
{
	fsetid_set(true);
}
