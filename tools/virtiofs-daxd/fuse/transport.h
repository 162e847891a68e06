/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the queues and libfuse: who serves a request, and what becomes of a
 * reply. The session begins with INIT, ends with DESTROY, and may begin again.
 */
#ifndef VIRTIOFS_DAXD_TRANSPORT_H
#define VIRTIOFS_DAXD_TRANSPORT_H

#include "dax/dax_map.h"
#include "message/request.h"
#include "passthrough/passthrough.h"

/**
 * transport_open - get ready for the guest's session; there is one per process
 * @pt: serves the files
 * @map: the window, or NULL
 *
 * Return: 0 or a negative errno.
 */
int transport_open(struct pt *pt, struct dax_map *map);

/**
 * transport_serve - serve a request
 * @req: not the caller's any more
 */
void transport_serve(struct request *req);

/**
 * transport_stopped - a queue was stopped, perhaps for a reset. Does not wait for
 * anything.
 */
void transport_stopped(void);

/**
 * transport_reset - the device was reset: say nothing more of what the guest knew,
 * and end the session before the next request. Does not wait for anything.
 */
void transport_reset(void);

#endif
