// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stands for KVM in the tests of the library: KVM_RUN of an address touches it, and
 * fails with EFAULT as KVM does if there is nothing to be had. And for the socket
 * of the reports, which can be slow.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../qemu/proto.h"

unsigned int report_usecs;

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (len == sizeof(struct window_report) && report_usecs)
		usleep(report_usecs);
	return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

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
