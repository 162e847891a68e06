// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stands for KVM in the tests of the library: KVM_RUN of an address touches it, and
 * fails with EFAULT as KVM does if there is nothing to be had.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *addr;

	(void)fd;
	va_start(args, request);
	addr = va_arg(args, void *);
	va_end(args);
	if (request != 0xae80) {
		errno = ENOTTY;
		return -1;
	}
	return madvise(addr, 4096, MADV_POPULATE_READ);
}
