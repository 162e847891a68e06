/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that are served without libfuse: those it does not know, and those
 * whose data would be copied by it.
 */
#ifndef VIRTIOFS_DAXD_DIRECT_H
#define VIRTIOFS_DAXD_DIRECT_H

#include "dax/dax_map.h"
#include "message/request.h"
#include "passthrough/passthrough.h"

/**
 * struct direct - what they work on
 * @pt: the files
 * @map: the window, or NULL
 */
struct direct {
	struct pt *pt;
	struct dax_map *map;
};

/**
 * direct_serve - serve a request, if it is one of them
 * @direct: what it works on
 * @req: valid; the caller's only if this returns false
 *
 * Return: whether it was one of them.
 */
bool direct_serve(const struct direct *direct, struct request *req);

#endif
