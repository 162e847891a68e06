// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/passthrough_forgotten.h"

void forgotten_add(struct pt *pt, struct node *node)
{
	struct forgotten *forgotten = &pt->forgotten;

	forgotten_remove(pt, node);
	node->older = forgotten->latest;
	if (node->older)
		node->older->newer = node;
	else
		forgotten->oldest = node;
	forgotten->latest = node;
	forgotten->nr++;
	node->forgotten = true;
}

void forgotten_remove(struct pt *pt, struct node *node)
{
	struct forgotten *forgotten = &pt->forgotten;

	if (!node->forgotten)
		return;
	if (node->older)
		node->older->newer = node->newer;
	else
		forgotten->oldest = node->newer;
	if (node->newer)
		node->newer->older = node->older;
	else
		forgotten->latest = node->older;
	node->older = node->newer = NULL;
	node->forgotten = false;
	forgotten->nr--;
}

struct node *forgotten_excess(struct pt *pt)
{
	return pt->forgotten.nr > pt->forgotten.max ? pt->forgotten.oldest : NULL;
}
