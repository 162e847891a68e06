/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's way to make things go wrong: an extended attribute of the root.
 * setxattr(2) adds rules, getxattr(2) says what became of them, removexattr(2)
 * clears them. Nothing of that reaches the share.
 */
#ifndef VIRTIOFS_DAXD_FAULT_CONTROL_H
#define VIRTIOFS_DAXD_FAULT_CONTROL_H

#include <stdbool.h>

#include "message/request.h"

#define FAULT_XATTR "trusted.daxd.fault"

/*
 * setxattr(2) of this one sends the value to the guest as a notification, as it
 * is: a fuse_out_header and what follows. ENOTCONN if the guest does not listen.
 */
#define FAULT_NOTIFY_XATTR "trusted.daxd.notify"

/**
 * fault_control - serve a request if it is for us
 * @req: not the caller's any more if the result is true
 *
 * What getxattr(2) gives is a line "rule ..." for each rule, a line "held N" with
 * the number of answers that are kept back, and a line "req_NAME N" for each
 * opcode with the number of requests that have come.
 */
bool fault_control(struct request *req);

#endif
