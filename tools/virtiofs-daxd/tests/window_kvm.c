// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stands for KVM in the tests of the library: KVM_RUN of an address touches it, and
 * fails with EFAULT as KVM does if there is nothing to be had. And for the socket
 * of the reports, which can be slow.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "qemu/proto.h"

unsigned int report_usecs;

/* A page for which its file system has no space, until it is reported. */
char *kvm_full;

/* What the guest does with an address; and calls that were for a device. */
int kvm_advice = MADV_POPULATE_READ;
unsigned int pins;

/* Pages that somebody has tried to have. */
unsigned long populated;

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (len == sizeof(struct window_report) && report_usecs)
		usleep(report_usecs);
	if (len == sizeof(struct window_report))
		kvm_full = NULL;
	return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

int madvise(void *addr, size_t len, int advice)
{
	char *full = kvm_full;

	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
		populated += len / WINDOW_PAGE;
	if (advice == MADV_POPULATE_WRITE && full >= (char *)addr &&
	    full < (char *)addr + len) {
		errno = EFAULT;
		return -1;
	}
	return syscall(SYS_madvise, addr, len, advice);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *addr;

	(void)fd;
	va_start(args, request);
	addr = va_arg(args, void *);
	va_end(args);
	if (request == 0x3b71 || request == 0x3b85) {
		pins++;
		return 0;
	}
	if (request != 0xae80) {
		errno = ENOTTY;
		return -1;
	}
	return madvise(addr, 4096, kvm_advice);
}
