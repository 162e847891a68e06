/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How virtiofs-daxd-fault comes by requests and answers. It is linked from the
 * objects of virtiofs-daxd, which know nothing of it, with the linker's --wrap:
 * calls of these functions between two objects arrive here, and __real_ is what
 * they would have called.
 *
 * transport_serve() begins a request, and queue_give() ends it.
 */
#ifndef VIRTIOFS_DAXD_FAULT_FAULT_H
#define VIRTIOFS_DAXD_FAULT_FAULT_H

#include "message/request.h"
#include "vhost/queue.h"

/* Exit status of a process that was told to die. */
#define FAULT_EXIT 3

void __real_transport_serve(struct request *req);
void __wrap_transport_serve(struct request *req);

void __real_queue_give(struct queue_ticket *ticket, const struct iovec *iov,
		       unsigned int count, size_t written);
void __wrap_queue_give(struct queue_ticket *ticket, const struct iovec *iov,
		       unsigned int count, size_t written);

#endif
