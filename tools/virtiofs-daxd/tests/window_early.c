// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * As a library: an allocator that is loaded beside ours, and reserves addresses
 * before QEMU begins. As a program: another VMM, which connects to the daemon as it
 * speaks to a back-end, and does nothing more; its argument is a file that it
 * waits to be able to open.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

__attribute__((constructor)) static void reserve(void)
{
	mmap(NULL, 64 << 20, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int main(int argc, char **argv)
{
	uint32_t message[3] = { 1, 1, 0 };
	struct iovec iov = { message, sizeof(message) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int pair[2];

	if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    sendmsg(pair[0], &msg, 0) < 0)
		return 1;
	return open(argv[1], O_RDONLY) < 0;
}
