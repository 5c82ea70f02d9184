/* SPDX-License-Identifier: MIT */
#include "snapshots/dirty_set.h"

#include "snapshots/tree_node.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MIN 64u
#define BLOCK_BYTES 16384u
#define NO_NODE UINT32_MAX
/* Indices are 32 bits, and the table has room for twice as many. */
#define NAMES_MAX ((size_t)1 << 30)

/* Names lie one after another in blocks that never move. */
struct block {
	struct block *next;
	size_t used;
	size_t room;
	char text[];
};

/*
 * Invariants: node 0 is the root; parents[i] < i for every other node, also
 * after freezing, when all children of a node lie side by side. `table` holds
 * the nodes but the root by (parent, name), at most half full; frozen and
 * "everything" sets have none.
 */
struct dirty_set {
	size_t names_max;
	bool all;
	bool frozen;
	struct dirty_name *nodes;
	uint32_t *parents;
	uint32_t n_nodes;
	uint32_t nodes_room;
	uint32_t *table;     /* node indices, 0: free */
	uint32_t table_room; /* a power of two */
	struct block *blocks;
};

static void drop_nodes(struct dirty_set *d)
{
	while (d->blocks) {
		struct block *next = d->blocks->next;

		free(d->blocks);
		d->blocks = next;
	}
	free(STEAL(d->nodes));
	free(STEAL(d->parents));
	free(STEAL(d->table));
	d->n_nodes = 0;
	d->nodes_room = 0;
	d->table_room = 0;
}

int dirty_set_new(size_t names_max, struct dirty_set **ret_set)
{
	struct dirty_set *d = calloc(1, sizeof(*d));

	assert(names_max > 0);
	if (!d)
		return -ENOMEM;
	d->names_max = names_max < NAMES_MAX ? names_max : NAMES_MAX;
	*ret_set = d;
	return 0;
}

void dirty_set_free(struct dirty_set *d)
{
	if (!d)
		return;
	drop_nodes(d);
	free(d);
}

/* ---- names and the table of them ---- */

static const char *keep_text(struct dirty_set *d, const char *text, size_t n)
{
	struct block *b = d->blocks;
	char *to;

	if (!b || b->room - b->used < n + 1) {
		const size_t room = n + 1 > BLOCK_BYTES ? n + 1 : BLOCK_BYTES;

		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		*b = (struct block){ .next = d->blocks, .room = room };
		d->blocks = b;
	}
	to = b->text + b->used;
	memcpy(to, text, n);
	to[n] = '\0';
	b->used += n + 1;
	return to;
}

static uint32_t hash_name(uint32_t parent, const char *name, size_t n)
{
	uint64_t hash = 14695981039346656037u ^ parent;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)name[i]) * 1099511628211u;
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(hash >> 32);
}

/* Where the name is in the table, or the free place where it would go. */
static uint32_t *table_place(const struct dirty_set *d, uint32_t parent, const char *name, size_t n)
{
	uint32_t at = hash_name(parent, name, n) & (d->table_room - 1);

	for (;; at = (at + 1) & (d->table_room - 1)) {
		const uint32_t i = d->table[at];

		if (i == 0)
			return &d->table[at];
		if (d->parents[i] == parent && strncmp(d->nodes[i].name, name, n) == 0 &&
		    d->nodes[i].name[n] == '\0')
			return &d->table[at];
	}
}

static int grow(struct dirty_set *d)
{
	const uint32_t room = d->nodes_room ? d->nodes_room * 2 : NODES_MIN;
	uint32_t *parents, *table;
	struct dirty_name *nodes;

	if (d->n_nodes < d->nodes_room)
		return 0;
	nodes = reallocarray(d->nodes, room, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	d->nodes = nodes;
	parents = reallocarray(d->parents, room, sizeof(*parents));
	if (!parents)
		return -ENOMEM;
	d->parents = parents;
	table = calloc((size_t)room * 2, sizeof(*table));
	if (!table)
		return -ENOMEM;
	free(d->table);
	d->table = table;
	d->table_room = room * 2;
	d->nodes_room = room;
	for (uint32_t i = 1; i < d->n_nodes; i++) {
		const char *name = d->nodes[i].name;

		*table_place(d, d->parents[i], name, strlen(name)) = i;
	}
	return 0;
}

static int add_root(struct dirty_set *d)
{
	int r;

	if (d->n_nodes > 0)
		return 0;
	r = grow(d);
	if (r < 0)
		return r;
	d->nodes[0] = (struct dirty_name){ .name = "" };
	d->parents[0] = NO_NODE;
	d->n_nodes = 1;
	return 0;
}

/* The node of that name below `parent`, made if need be. May turn the set into "everything". */
static int child_node(struct dirty_set *d, uint32_t parent, const char *name, size_t n,
		      uint32_t *ret_node)
{
	uint32_t *place;
	const char *text;
	int r;

	place = table_place(d, parent, name, n);
	if (*place != 0) {
		*ret_node = *place;
		return 0;
	}
	if (d->n_nodes > d->names_max) {
		dirty_set_add_all(d);
		return 0;
	}
	r = grow(d);
	if (r < 0)
		return r;
	text = keep_text(d, name, n);
	if (!text)
		return -ENOMEM;
	*table_place(d, parent, name, n) = d->n_nodes;
	d->nodes[d->n_nodes] = (struct dirty_name){ .name = text };
	d->parents[d->n_nodes] = parent;
	d->nodes[parent].n_children++;
	*ret_node = d->n_nodes++;
	return 0;
}

static int add_path(struct dirty_set *d, const char *path, unsigned int flags)
{
	uint32_t node = 0;
	int r = add_root(d);

	while (r == 0 && !d->all) {
		const size_t n = strcspn(path, "/");

		if (n > 0) {
			/* Known to be looked at whole: nothing to add. */
			if (d->nodes[node].flags & DIRTY_DEEP)
				return 0;
			r = child_node(d, node, path, n, &node);
			if (r < 0 || d->all)
				return r;
		}
		if (path[n] == '\0') {
			d->nodes[node].flags |= flags;
			return 0;
		}
		path += n + 1;
	}
	return r;
}

int dirty_set_add(struct dirty_set *d, const char *path, unsigned int flags)
{
	int r;

	assert(!d->frozen);
	assert(flags != 0);
	if (d->all)
		return 0;
	r = add_path(d, path, flags);
	if (r < 0)
		dirty_set_add_all(d);
	return r;
}

void dirty_set_add_all(struct dirty_set *d)
{
	assert(!d->frozen);
	d->all = true;
	drop_nodes(d);
}

bool dirty_set_is_all(const struct dirty_set *d)
{
	return d->all;
}

bool dirty_set_is_empty(const struct dirty_set *d)
{
	return !d->all && d->n_nodes == 0;
}

size_t dirty_set_count(const struct dirty_set *d)
{
	return d->n_nodes > 0 ? d->n_nodes - 1 : 0;
}

/* ---- joining ---- */

static int merge_nodes(struct dirty_set *to, const struct dirty_set *from, uint32_t *map)
{
	int r = add_root(to);

	if (r < 0)
		return r;
	map[0] = 0;
	to->nodes[0].flags |= from->nodes[0].flags;
	for (uint32_t i = 1; i < from->n_nodes; i++) {
		const char *name = from->nodes[i].name;

		r = child_node(to, map[from->parents[i]], name, strlen(name), &map[i]);
		if (r < 0 || to->all)
			return r;
		to->nodes[map[i]].flags |= from->nodes[i].flags;
	}
	return 0;
}

int dirty_set_merge(struct dirty_set *to, const struct dirty_set *from)
{
	uint32_t *map;
	int r;

	assert(!to->frozen);
	if (to->all || dirty_set_is_empty(from))
		return 0;
	if (from->all) {
		dirty_set_add_all(to);
		return 0;
	}
	map = calloc(from->n_nodes, sizeof(*map));
	r = map ? merge_nodes(to, from, map) : -ENOMEM;
	free(map);
	if (r < 0)
		dirty_set_add_all(to);
	return r;
}

/* ---- freezing ---- */

/* A node while it is sorted. */
struct unsorted {
	struct dirty_name node;
	uint32_t parent;
	uint32_t index; /* before sorting */
};

static int by_parent_and_name(const void *a, const void *b)
{
	const struct unsorted *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	return name_compare(x->node.name, (uint32_t)strlen(x->node.name), y->node.name,
			    (uint32_t)strlen(y->node.name));
}

/*
 * Sorted by the old index of their parents, parents still come before their
 * children, and the children of one node side by side.
 */
static void sort_nodes(struct dirty_set *d, struct unsorted *sorted, uint32_t *moved_to)
{
	for (uint32_t i = 0; i < d->n_nodes; i++)
		sorted[i] = (struct unsorted){ d->nodes[i], d->parents[i], i };
	qsort(sorted + 1, d->n_nodes - 1, sizeof(*sorted), by_parent_and_name);
	for (uint32_t i = 0; i < d->n_nodes; i++) {
		moved_to[sorted[i].index] = i;
		d->nodes[i] = sorted[i].node;
	}
	for (uint32_t i = 1; i < d->n_nodes; i++) {
		struct dirty_name *parent;

		d->parents[i] = moved_to[sorted[i].parent];
		parent = &d->nodes[d->parents[i]];
		if (!parent->children)
			parent->children = &d->nodes[i];
	}
}

static int sort_all(struct dirty_set *d)
{
	struct unsorted *sorted = calloc(d->n_nodes, sizeof(*sorted));
	uint32_t *moved_to = calloc(d->n_nodes, sizeof(*moved_to));
	int r = sorted && moved_to ? 0 : -ENOMEM;

	if (r == 0)
		sort_nodes(d, sorted, moved_to);
	free(moved_to);
	free(sorted);
	return r;
}

int dirty_set_freeze(struct dirty_set *d)
{
	int r;

	if (d->frozen)
		return 0;
	r = d->n_nodes > 0 ? sort_all(d) : 0;
	if (r < 0)
		return r;
	free(STEAL(d->table));
	d->table_room = 0;
	d->frozen = true;
	return 0;
}

const struct dirty_name *dirty_set_root(const struct dirty_set *d)
{
	assert(d->frozen);
	return d->n_nodes > 0 ? &d->nodes[0] : NULL;
}

const struct dirty_name *dirty_name_child(const struct dirty_name *parent, const char *name,
					  uint32_t n)
{
	size_t from = 0, to = parent->n_children;

	while (from < to) {
		const size_t middle = from + (to - from) / 2;
		const struct dirty_name *child = &parent->children[middle];
		const int c = name_compare(child->name, (uint32_t)strlen(child->name), name, n);

		if (c == 0)
			return child;
		if (c < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}
