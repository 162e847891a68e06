// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/ready.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/log.h"

static int tell(const char *path)
{
	static const char message[] = "READY=1";
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	ssize_t sent;
	int fd, err;

	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	/* Those that have no path are of a network namespace: not of the sandbox's. */
	if (*path != '/')
		return -EPROTONOSUPPORT;
	memcpy(addr.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* The service manager may be busy, but the daemon does not wait for it. */
	sent = sendto(fd, message, sizeof(message) - 1,
		      MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&addr,
		      offsetof(struct sockaddr_un, sun_path) + len);
	err = sent < 0 ? -errno : 0;
	close(fd);
	return err;
}

void ready_tell(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int err;

	if (!path || !*path)
		return;
	err = tell(path);
	if (err)
		log_warn("NOTIFY_SOCKET=%s: %s", path, strerror(-err));
}
