/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Somebody on the host who does to files what a test asks for, and what he did last
 * is known once the server has answered anything.
 *
 * He looks for files NAME.act in the directories of the share, does what they say and
 * removes them: "VERB FILE", FILE below the root of the share (FUSE_DAX_HOST_HAND=1).
 */
#ifndef FUSE_DAX_HAND_H
#define FUSE_DAX_HAND_H

#include "fuse_dax_common.h"

/**
 * struct hand - where he is asked
 * @fs: the mount, with the directory of the test
 * @dir: a directory beside that, so that what is asked changes nothing there
 * @asked: how often he was asked
 */
struct hand {
	struct dax_fs *fs;
	char dir[PATH_MAX];
	int asked;
};

/* 0, or -1 with errno: EOPNOTSUPP if there is nobody. */
int hand_open(struct hand *hand, struct dax_fs *fs);
void hand_close(struct hand *hand);

/* Has @verb done to @name in the directory of the test; 0, or -1 if it was not. */
int hand_do(struct hand *hand, const char *verb, const char *name);

/* A request that the server answers, and that has nothing to do with any file. */
int barrier(const struct dax_fs *fs);

#endif /* FUSE_DAX_HAND_H */
