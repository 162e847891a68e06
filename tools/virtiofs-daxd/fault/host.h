/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to a file on the host, on the guest's word: an extended attribute
 * of that file. The guest's own kernel knows nothing of it.
 */
#ifndef VIRTIOFS_DAXD_FAULT_HOST_H
#define VIRTIOFS_DAXD_FAULT_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "passthrough/passthrough.h"

#define FAULT_HOST_XATTR "trusted.daxd.host"

/**
 * fault_host - do something to a file
 * @nodeid: the file
 * @text: words: "truncate=SIZE"; "fill=OFFSET,LEN,BYTE", which stores bytes of one
 *	value, up to a page; "inval=OFFSET,LEN", by which the guest is told;
 *	"later=MS", after which the rest is done, while the guest goes on
 * @len: bytes of @text
 *
 * Return: 0 or a negative errno; -EINVAL for other words.
 */
int fault_host(uint64_t nodeid, const char *text, size_t len);

struct pt *__real_pt_new(const struct pt_options *opts);
struct pt *__wrap_pt_new(const struct pt_options *opts);

#endif
