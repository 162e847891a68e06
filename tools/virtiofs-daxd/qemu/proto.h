/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon and the library in QEMU say to each other, over a Unix socket
 * of type SOCK_SEQPACKET. Integers are in host byte order.
 *
 * The library connects and sends a struct window_hello. If its version is the
 * daemon's, that sends one struct window_msg at a time, and waits for the struct window_reply to it.
 * Reports come unasked, through a socket that goes along with WINDOW_BASE.
 */
#ifndef VIRTIOFS_DAX_QEMU_PROTO_H
#define VIRTIOFS_DAX_QEMU_PROTO_H

#include <stdint.h>

#define WINDOW_MAGIC 0x57584144u
#define WINDOW_VERSION 3

#define WINDOW_PAGE UINT64_C(4096)
/* The base is aligned to this, and its size is a multiple of it. */
#define WINDOW_HUGE (UINT64_C(2) << 20)

/**
 * enum window_op - what the daemon asks for
 * @WINDOW_BASE: @len is the size of the window. Descriptors: the base, which is a
 *	sealed memfd of that size, and where reports go. Once for each
 *	connection, before QEMU is given the base to map.
 * @WINDOW_QUERY: fails with ENODEV unless QEMU has mapped the base
 * @WINDOW_MAP: show @len bytes of a file, from @file_offset on, at @offset of the
 *	window, whatever was there; one descriptor. The guest sees what was
 *	there or what is there now, nothing else.
 * @WINDOW_BLANK: show nothing in @len bytes at @offset
 */
enum window_op {
	WINDOW_BASE = 1,
	WINDOW_QUERY,
	WINDOW_MAP,
	WINDOW_BLANK,
};

/* Of WINDOW_MAP: what the guest stores there does not get into the file. */
#define WINDOW_PRIVATE 1u

/* @maps: how many parts of files may be shown for this share, at least 1 */
struct window_hello {
	uint32_t magic;
	uint32_t version;
	uint32_t maps;
};

/* What is not mentioned is not looked at; there are no other descriptors. */
struct window_msg {
	uint32_t op;
	uint32_t flags;
	uint64_t offset;
	uint64_t len;
	uint64_t file_offset;
};

/* @error: 0 or a negative errno */
struct window_reply {
	int32_t error;
};

/*
 * Nothing could be had from the file for @len bytes at @offset of the window,
 * which show zeros from now on. @missed: such places that could not be reported.
 */
struct window_report {
	uint64_t offset;
	uint64_t len;
	uint64_t missed;
};

#endif
