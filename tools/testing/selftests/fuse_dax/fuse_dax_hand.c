// SPDX-License-Identifier: GPL-2.0
/* Somebody on the host: see fuse_dax_hand.h. */
#include <sys/vfs.h>

#include "fuse_dax_hand.h"

#define HAND_MS		20000

int barrier(const struct dax_fs *fs)
{
	struct statfs st;

	return statfs(fs->mnt, &st);
}

int hand_open(struct hand *hand, struct dax_fs *fs)
{
	memset(hand, 0, sizeof(*hand));
	hand->fs = fs;
	if (!getenv("FUSE_DAX_HOST_HAND")) {
		errno = EOPNOTSUPP;
		return -1;
	}
	snprintf(hand->dir, sizeof(hand->dir), "%s/hand.XXXXXX", fs->mnt);
	return mkdtemp(hand->dir) ? 0 : -1;
}

void hand_close(struct hand *hand)
{
	if (hand->dir[0])
		rmdir(hand->dir);
}

/* Has a file with this text appear as a whole */
static int ask(const char *dir, const char *act, const char *text)
{
	char tmp[PATH_MAX];
	size_t len = strlen(text);
	int fd, ret = -1;

	if (snprintf(tmp, sizeof(tmp), "%s/new", dir) >= (int)sizeof(tmp))
		return -1;
	fd = open(tmp, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (write(fd, text, len) == (ssize_t)len)
		ret = 0;
	close(fd);
	return ret ?: rename(tmp, act);
}

int hand_do(struct hand *hand, const char *verb, const char *name)
{
	const char *dir = hand->fs->dir + strlen(hand->fs->mnt) + 1;
	long until = now_ms() + HAND_MS;
	char act[PATH_MAX], text[PATH_MAX];

	if (snprintf(act, sizeof(act), "%s/%d.act", hand->dir,
		     hand->asked++) >= (int)sizeof(act) ||
	    snprintf(text, sizeof(text), "%s %s/%s\n", verb, dir,
		     name) >= (int)sizeof(text) ||
	    ask(hand->dir, act, text))
		return -1;
	do {
		if (now_ms() > until)
			return -1;
		sleep_ms(20);
		if (barrier(hand->fs))
			return -1;
	} while (!access(act, F_OK));
	return 0;
}
