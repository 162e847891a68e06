// SPDX-License-Identifier: GPL-2.0-or-later
#include "foreign.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base.h"
#include "host/util.h"

/* linux/vfio.h and linux/iommufd.h are not needed for more. */
#define FOREIGN_VFIO_MAP 0x3b71
#define FOREIGN_IOMMU_MAP 0x3b85
#define FOREIGN_IOMMU_MAP_FILE 0x3b8f

struct vfio_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};

struct iommu_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;	/* of a map of a file */
	uint64_t start;	/* an address, or where in the file */
	uint64_t length;
	uint64_t iova;
};

/* What has been seen so far. */
static const char *found;

/* What the names of drivers begin with; the first that fits counts, ours are none. */
static const struct { const char *name, *what; } drivers[] = {
	{ "vhost-user-test-device", NULL },
	{ "vhost-user-device", NULL },
	{ "vhost-user", "another vhost-user back-end" },
	{ "vhost-vdpa", "vDPA" },
	{ "vfio-", "VFIO" },
};

static const char *foreign_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (!strncmp(name, drivers[i].name, strlen(drivers[i].name)))
			return drivers[i].what;
	return NULL;
}

/* It may be there as x, driver=x, or "x". */
static const char *foreign_option(const char *option)
{
	const char *what = foreign_driver(option);

	for (const char *pos = option; !what && *pos; pos++)
		if (*pos == '=' || *pos == '"')
			what = foreign_driver(pos + 1);
	return what;
}

static bool is_device(const char *word)
{
	const char *name = word + strspn(word, "-");

	return name > word &&
	       (!strcmp(name, "device") || !strcmp(name, "netdev"));
}

/* Devices are made one after the other, and ours may come before the other. */
static const char *find_in_command_line(void)
{
	FILE *file = fopen("/proc/self/cmdline", "re");
	const char *what = NULL;
	bool device = false;
	char *word = NULL;
	size_t size = 0;

	while (file && !what && getdelim(&word, &size, 0, file) > 0) {
		if (device)
			what = foreign_option(word);
		device = is_device(word);
	}
	free(word);
	if (file)
		fclose(file);
	return what;
}

const char *foreign_found(void)
{
	return __atomic_load_n(&found, __ATOMIC_ACQUIRE) ?:
	       find_in_command_line();
}

bool foreign_pins(unsigned long request, const void *arg)
{
	const struct vfio_map *vfio = arg;
	const struct iommu_map *iommu = arg;
	static bool said;
	uint64_t offset;
	bool window;

	switch (request) {
	case FOREIGN_VFIO_MAP:
		window = base_find(vfio->vaddr, vfio->size, &offset);
		break;
	case FOREIGN_IOMMU_MAP:
		window = base_find(iommu->start, iommu->length, &offset);
		break;
	case FOREIGN_IOMMU_MAP_FILE:
		window = base_of(iommu->fd);
		break;
	default:
		return false;
	}
	__atomic_store_n(&found, "VFIO", __ATOMIC_RELEASE);
	if (window && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		dprintf(2, "virtiofs-dax: VFIO with a DAX window: its devices do not reach what is mapped there; a guest that lets them try gets errors\n");
	return window;
}

/* A back-end that was made when a base was there already. */
void foreign_sees(const struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	static bool said;
	bool base = false;
	int fd;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET ||
	    cmsg->cmsg_type != SCM_RIGHTS)
		return;
	for (size_t i = 0; CMSG_LEN(i + sizeof(fd)) <= cmsg->cmsg_len;
	     i += sizeof(fd)) {
		memcpy(&fd, CMSG_DATA(cmsg) + i, sizeof(fd));
		base |= base_of(fd) != NULL;
	}
	if (base && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		dprintf(2, "virtiofs-dax: another vhost-user back-end does not see what the DAX windows show; only a guest that does not copy what it has there for it can tell\n");
}

EXPORT int mlockall(int flags)
{
	int ret = syscall(SYS_mlockall, flags);

	if (!ret && flags & MCL_FUTURE && !(flags & MCL_ONFAULT))
		__atomic_store_n(&found, "mem-lock=on", __ATOMIC_RELEASE);
	return ret;
}
