// SPDX-License-Identifier: GPL-2.0
/*
 * The tree of pair_model_test.c as it must be, and what is done to it next.
 */
#include "pair_model.h"

/* Of operations that must fail one in so many is tried. */
#define FAILING		12

int pm_tree_init(struct pm_tree *tree)
{
	unsigned int i;

	memset(tree, 0, sizeof(*tree));
	for (i = 0; i < PM_NODES; i++) {
		tree->nodes[i].data = malloc(PM_MAX_SIZE);
		if (!tree->nodes[i].data)
			return -1;
	}
	tree->nodes[0].type = PM_DIR;
	tree->nodes[0].nlink = 1;
	tree->nodes[0].mode = 0755;
	return 0;
}

static const struct pm_node *dir_named(const struct pm_tree *tree, int dir)
{
	return dir < 0 ? &tree->nodes[0] : tree->nodes[0].names[dir];
}

/* What it is an error of that a path leads through the parent; 0 */
int pm_parent_error(const struct pm_tree *tree, struct pm_place place)
{
	const struct pm_node *dir = dir_named(tree, place.dir);

	if (!dir || dir->type == PM_LINK)
		return -ENOENT;
	return dir->type == PM_DIR ? 0 : -ENOTDIR;
}

struct pm_node *pm_parent(struct pm_tree *tree, struct pm_place place)
{
	if (pm_parent_error(tree, place))
		return NULL;
	return (struct pm_node *)dir_named(tree, place.dir);
}

struct pm_node *pm_at(struct pm_tree *tree, struct pm_place place)
{
	struct pm_node *dir = pm_parent(tree, place);

	return dir ? dir->names[place.name] : NULL;
}

void pm_put(struct pm_tree *tree, struct pm_place place, struct pm_node *node)
{
	pm_parent(tree, place)->names[place.name] = node;
}

/* There is always one: there are more nodes than names. */
struct pm_node *pm_new(struct pm_tree *tree, enum pm_type type)
{
	struct pm_node *node = tree->nodes;
	char *data;

	while (node->nlink)
		node++;
	data = node->data;
	memset(data, 0, PM_MAX_SIZE);
	*node = (struct pm_node){ .type = type, .nlink = 1, .data = data };
	return node;
}

bool pm_is_empty(const struct pm_node *dir)
{
	unsigned int i;

	for (i = 0; i < PM_NAMES; i++)
		if (dir->names[i])
			return false;
	return true;
}

void pm_path_of(struct pm_place place, char *path)
{
	if (place.dir < 0)
		snprintf(path, PM_PATH, "n%d", place.name);
	else
		snprintf(path, PM_PATH, "n%d/n%d", place.dir,
			 place.name);
}

/* A path of a node; false if it has none */
bool pm_find(struct pm_tree *tree, const struct pm_node *node, char *path)
{
	struct pm_place place;

	if (node == tree->nodes) {
		snprintf(path, PM_PATH, ".");
		return true;
	}
	for (place.dir = -1; place.dir < PM_NAMES; place.dir++)
		for (place.name = 0; place.name < PM_NAMES; place.name++)
			if (pm_at(tree, place) == node) {
				pm_path_of(place, path);
				return true;
			}
	return false;
}

void pm_target(const struct pm_node *link, char *path)
{
	snprintf(path, PM_PATH, "absent%lu", link->number);
}

/* ---- what is drawn ---- */

struct pm_place pm_draw_place(struct ex_random *r)
{
	int dir = ex_random(r, PM_NAMES + 3);

	/* One of three is in the root, where the directories are. */
	return (struct pm_place) {
		.dir = dir < PM_NAMES ? dir : -1,
		.name = ex_random(r, PM_NAMES),
	};
}

static const struct pm_kind *draw_kind(struct ex_random *r)
{
	const struct pm_kind *kind;
	unsigned int n = 0;

	for (kind = pm_kinds; kind->name; kind++)
		n += kind->weight;
	n = ex_random(r, n);
	for (kind = pm_kinds; n >= kind->weight; kind++)
		n -= kind->weight;
	return kind;
}

/* Small ones, ones of some pages, and ones that are mapped, not cached */
static size_t draw_size(struct ex_random *r)
{
	static const size_t below[] = { 200, 6 * KiB, 64 * KiB, PM_MAX_SIZE };

	return ex_random(r, below[ex_random(r, ARRAY_SIZE(below))]);
}

static void draw_span(struct pm_tree *tree, struct pm_op *op,
		      struct ex_random *r)
{
	struct pm_node *node = pm_at(tree, op->a);
	size_t most;

	op->pos = 0;
	op->len = draw_size(r);
	if (!node || node->type != PM_FILE)
		return;
	if (op->kind->flags & PM_INSIDE && node->size) {
		op->pos = ex_random(r, node->size);
		most = node->size - op->pos;
		op->len = op->len < most ? op->len + 1 : most;
	} else if (op->kind->flags & PM_BEHIND) {
		/* With a gap in one of four cases */
		op->pos = node->size + !ex_random(r, 4) * ex_random(r, 9000);
		if (op->pos >= (off_t)PM_MAX_SIZE)
			op->pos = PM_MAX_SIZE - 1;
		most = PM_MAX_SIZE - op->pos;
		op->len = op->len < most ? op->len + 1 : most;
	}
}

static void draw_once(struct pm_tree *tree, struct pm_op *op,
		      struct ex_random *r)
{
	static const mode_t modes[] = { 0600, 0644, 0640, 0755 };

	op->kind = draw_kind(r);
	op->a = pm_draw_place(r);
	op->b = pm_draw_place(r);
	op->mode = modes[ex_random(r, ARRAY_SIZE(modes))];
	draw_span(tree, op, r);
	op->error = op->kind->expect(tree, op);
	if (op->kind->flags & PM_XATTRS && !tree->xattrs)
		op->error = PM_NEVER;
}

/* The operation of this number, the same for all who have the same tree */
void pm_draw(struct pm_tree *tree, struct pm_op *op, uint64_t seed,
	     unsigned long number)
{
	struct ex_random r;

	memset(op, 0, sizeof(*op));
	op->number = number;
	ex_random_seed(&r, seed, number, 0);
	do
		draw_once(tree, op, &r);
	while (op->error > 0 || (op->error && ex_random(&r, FAILING)));
}

static void touch(struct pm_op *op, struct pm_node *node)
{
	unsigned int i;

	if (!node)
		return;
	for (i = 0; i < op->nr_touched; i++)
		if (op->touched[i] == node)
			return;
	op->touched[op->nr_touched++] = node;
}

static void touch_nodes(struct pm_tree *tree, struct pm_op *op)
{
	touch(op, pm_at(tree, op->a));
	if (op->kind->flags & PM_PAIR)
		touch(op, pm_at(tree, op->b));
}

void pm_apply(struct pm_tree *tree, struct pm_op *op)
{
	touch(op, pm_parent(tree, op->a));
	if (op->kind->flags & PM_PAIR)
		touch(op, pm_parent(tree, op->b));
	touch_nodes(tree, op);
	if (!op->error)
		op->kind->apply(tree, op);
	touch_nodes(tree, op);
}
