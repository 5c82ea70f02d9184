/* SPDX-License-Identifier: MIT */
#include "snapshots/liveness_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BREATH_NODES 64 /* between two questions whether to stop or pause */

/* A node that was not met before is gone into; the cache may fetch it meanwhile. */
static int mark_node(struct liveness *l, const struct chunk_id *id, enum object_type type)
{
	int r = collector_mark(l->collector, id, type);

	if (r <= 0)
		return r;
	if (l->n_nodes == l->nodes_room) {
		size_t room = l->nodes_room ? 2 * l->nodes_room : 256;
		struct live_node *nodes = reallocarray(l->nodes, room, sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		l->nodes = nodes;
		l->nodes_room = room;
	}
	l->nodes[l->n_nodes++] = (struct live_node){ .id = *id, .type = type };
	chunk_cache_prefetch(l->cache, id, type);
	return 0;
}

static int mark_extents(struct liveness *l, const struct extent *extents, uint32_t n)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r >= 0; i++)
		r = collector_mark(l->collector, &extents[i].chunk, OBJECT_DATA);
	return r < 0 ? r : 0;
}

/* Whatever the entry's type: what it carries is alive. */
static int mark_entry(struct liveness *l, const struct tree_entry *e)
{
	struct chunk_id id;
	int r = 0;

	if (e->flags & ENTRY_XATTRS_CHUNK) {
		if (e->xattrs_n != sizeof(id.bytes))
			return -EUCLEAN;
		memcpy(id.bytes, e->xattrs, sizeof(id.bytes));
		r = collector_mark(l->collector, &id, OBJECT_DATA);
	}
	if (r >= 0 && !chunk_id_is_zero(&e->tree))
		r = mark_node(l, &e->tree, OBJECT_TREE);
	if (r >= 0 && e->content.form == CONTENT_LIST)
		r = mark_node(l, &e->content.list, OBJECT_LIST);
	if (r >= 0 && e->content.form == CONTENT_INLINE)
		r = mark_extents(l, e->content.extents, e->content.n_extents);
	return r < 0 ? r : 0;
}

static int go_into_tree(struct liveness *l, const struct chunk_pin *pin)
{
	struct node_view v;
	int r = node_view_init(&v, pin->data, pin->n);

	for (uint32_t i = 0; r == 0 && i < v.count; i++) {
		struct tree_entry entry;
		struct chunk_id child;
		uint64_t total;

		if (v.level > 0) {
			r = node_view_child(&v, i, &child, &total);
			if (r == 0)
				r = mark_node(l, &child, OBJECT_TREE);
			continue;
		}
		r = node_view_entry(&v, i, &l->decoder, &entry);
		if (r == 0)
			r = mark_entry(l, &entry);
	}
	return r;
}

static int go_into_list(struct liveness *l, const struct chunk_pin *pin)
{
	struct list_view v;
	int r = list_view_init(&v, pin->data, pin->n);

	for (uint32_t i = 0; r == 0 && i < v.count; i++) {
		struct list_child child;
		struct piece piece;

		if (v.level > 0) {
			list_view_child(&v, i, &child);
			r = mark_node(l, &child.id, OBJECT_LIST);
			continue;
		}
		r = list_view_piece(&v, i, &piece, l->extents);
		if (r == 0)
			r = mark_extents(l, l->extents, piece.n_extents);
	}
	return r;
}

/* Is it the node that keeps us from knowing what is alive, not this machine? */
static bool is_damage(int r)
{
	return r != -ENOMEM && r != -ECANCELED;
}

static int go_into(struct liveness *l, const struct live_node *node)
{
	struct chunk_pin pin = { 0 };
	char what[64 + 2 * sizeof(node->id.bytes)];
	char hex[2 * sizeof(node->id.bytes) + 1];
	int r = chunk_cache_get(l->cache, &node->id, node->type, &pin);

	if (r == 0)
		r = node->type == OBJECT_TREE ? go_into_tree(l, &pin) : go_into_list(l, &pin);
	chunk_cache_unpin(l->cache, &pin);
	l->counts.nodes++;
	if (r == 0 || !is_damage(r))
		return r;
	(void)snprintf(what, sizeof(what), "a part of %s cannot be read (object %s)",
		       node->type == OBJECT_TREE ? "a folder" : "the list of a file's contents",
		       bytes_to_hex(node->id.bytes, sizeof(node->id.bytes), hex));
	return liveness_problem(l, l->seq, what);
}

int liveness_walk(struct liveness *l, const uint8_t *root, size_t n)
{
	struct tree_entry entry;
	int r = tree_entry_decode(root, n, &l->decoder, &entry);

	if (r == 0)
		r = mark_entry(l, &entry);
	if (r == -EUCLEAN)
		return liveness_problem(l, l->seq, "its root folder is malformed");
	while (r == 0 && l->n_nodes > 0) {
		const struct live_node node = l->nodes[--l->n_nodes];

		if (l->counts.nodes % BREATH_NODES == 0)
			r = collector_breathe(l->collector);
		if (r == 0)
			r = go_into(l, &node);
	}
	l->n_nodes = 0;
	return r;
}
