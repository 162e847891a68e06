// SPDX-License-Identifier: GPL-2.0-or-later
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/util.h"
#include "message/notify.h"

#define HOST_MAX_TEXT 128
#define HOST_MAX_FILL 4096

/* What is to be done later. */
struct host_rest {
	uint64_t nodeid;
	unsigned int ms;
	char text[HOST_MAX_TEXT];
};

static struct pt *share;

struct pt *__wrap_pt_new(const struct pt_options *opts)
{
	share = __real_pt_new(opts);
	return share;
}

static int host_truncate(uint64_t nodeid, off_t size)
{
	int fd = pt_node_open(share, nodeid, O_RDWR);
	int err = 0;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, size))
		err = -errno;
	close_fd(&fd);
	return err;
}

static int host_fill(uint64_t nodeid, off_t offset, size_t len, int byte)
{
	char buf[HOST_MAX_FILL];
	int fd, err = 0;

	if (len > sizeof(buf))
		return -EINVAL;
	fd = pt_node_open(share, nodeid, O_RDWR);
	if (fd < 0)
		return fd;
	memset(buf, byte, len);
	if (pwrite(fd, buf, len, offset) != (ssize_t)len)
		err = -EIO;
	close_fd(&fd);
	return err;
}

static int host_word(uint64_t nodeid, const char *word)
{
	long long offset, len;
	int byte;

	if (sscanf(word, "truncate=%lld", &len) == 1)
		return host_truncate(nodeid, len);
	if (sscanf(word, "fill=%lld,%lld,%d", &offset, &len, &byte) == 3)
		return host_fill(nodeid, offset, len, byte);
	if (sscanf(word, "inval=%lld,%lld", &offset, &len) != 2)
		return -EINVAL;
	if (!notify_active())
		return -ENOTCONN;
	notify_inval_inode(nodeid, offset, len);
	return 0;
}

static int host_words(uint64_t nodeid, char *words);

static void *host_later(void *arg)
{
	struct host_rest *rest = arg;

	usleep(rest->ms * 1000);
	host_words(rest->nodeid, rest->text);
	free(rest);
	return NULL;
}

static int host_postpone(uint64_t nodeid, unsigned int ms, const char *words)
{
	struct host_rest *rest = calloc(1, sizeof(*rest));
	pthread_t thread;
	int err;

	if (!rest)
		return -ENOMEM;
	rest->nodeid = nodeid;
	rest->ms = ms;
	strcpy(rest->text, words);
	err = pthread_create(&thread, NULL, host_later, rest);
	if (err)
		free(rest);
	else
		pthread_detach(thread);
	return -err;
}

static int host_words(uint64_t nodeid, char *words)
{
	char *rest = NULL;
	unsigned int ms;
	int err = 0;

	for (char *word = strtok_r(words, " \n", &rest); word && !err;
	     word = strtok_r(NULL, " \n", &rest)) {
		if (sscanf(word, "later=%u", &ms) == 1)
			return host_postpone(nodeid, ms, rest);
		err = host_word(nodeid, word);
	}
	return err;
}

int fault_host(uint64_t nodeid, const char *text, size_t len)
{
	char words[HOST_MAX_TEXT];

	if (len >= sizeof(words))
		return -EINVAL;
	memcpy(words, text, len);
	words[len] = 0;
	return host_words(nodeid, words);
}
