// SPDX-License-Identifier: GPL-2.0-or-later
#include "foreign.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../util.h"
#include "base.h"

/* linux/vfio.h, linux/iommufd.h and linux/vhost.h are not needed for more. */
#define FOREIGN_VFIO_MAP 0x3b71
#define FOREIGN_IOMMU_MAP 0x3b85
#define FOREIGN_IOMMU_MAP_FILE 0x3b8f
#define FOREIGN_IS_VDPA(request) (((request) & 0xfff0) == 0xaf70)

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

static const char *found;

void foreign_note(const char *what)
{
	__atomic_store_n(&found, what, __ATOMIC_RELEASE);
}

/* Whether a driver's name begins with @name in an option: x, driver=x, "x". */
static const char *option_names(const char *option, const char *name)
{
	const char *pos = option;

	while ((pos = strstr(pos, name))) {
		if (pos == option || strchr("=\"", pos[-1]))
			return pos + strlen(name);
		pos++;
	}
	return NULL;
}

static const char *foreign_option(const char *option)
{
	const char *rest = option_names(option, "vhost-user");

	if (option_names(option, "vfio-"))
		return "VFIO";
	if (option_names(option, "vhost-vdpa"))
		return "vDPA";
	/* What follows the name of our own devices. */
	if (rest && strncmp(rest, "-test-device", 12) &&
	    strncmp(rest, "-device", 7))
		return "another vhost-user back-end";
	return NULL;
}

static bool is_device(const char *word)
{
	return !strcmp(word, "-device") || !strcmp(word, "--device") ||
	       !strcmp(word, "-netdev") || !strcmp(word, "--netdev");
}

/* Devices are made one after the other, and ours may come before the other. */
static const char *find_in_command_line(void)
{
	static char words[1 << 16];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, words, sizeof(words) - 2);
	const char *word = words, *what = NULL;

	close_fd(&fd);
	while (!what && word < words + len) {
		const char *next = word + strlen(word) + 1;

		if (is_device(word))
			what = foreign_option(next);
		word = next;
	}
	return what;
}

const char *foreign_found(void)
{
	return __atomic_load_n(&found, __ATOMIC_ACQUIRE) ?:
	       find_in_command_line();
}

static bool in_window(uint64_t start, uint64_t len)
{
	for (int i = 0; i < WINDOW_MAX; i++) {
		uint64_t base = (uintptr_t)__atomic_load_n(&windows[i].base,
							   __ATOMIC_ACQUIRE);

		if (base && start < base + windows[i].len &&
		    base < start + len)
			return true;
	}
	return false;
}

static void say_once(const char *what, const char *effect)
{
	static bool said;

	if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		dprintf(2, "virtiofs-dax: %s with a DAX window: %s\n", what,
			effect);
}

static bool pins(const char *what, bool window)
{
	foreign_note(what);
	if (window)
		say_once(what, "its devices do not reach what is mapped there; a guest that lets them try gets errors");
	return window;
}

bool foreign_pins(unsigned long request, const void *arg)
{
	const struct vfio_map *vfio = arg;
	const struct iommu_map *iommu = arg;

	switch (request) {
	case FOREIGN_VFIO_MAP:
		return pins("VFIO", in_window(vfio->vaddr, vfio->size));
	case FOREIGN_IOMMU_MAP:
		return pins("VFIO", in_window(iommu->start, iommu->length));
	case FOREIGN_IOMMU_MAP_FILE:
		return pins("VFIO", base_of(iommu->fd));
	}
	if (FOREIGN_IS_VDPA(request)) {
		foreign_note("vDPA");
		/* To such a device it is told by write(), as a part of all. */
		if (in_window(0, UINT64_MAX))
			say_once("vDPA", "it takes memory for all of that, and its devices see what was there before");
	}
	return false;
}
