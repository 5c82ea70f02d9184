/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_writer.h"
#include "snapshots/tree_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>

/*
 * How rarely a name's hash lets a node end there: one in 128 from
 * NODE_BYTES_SPLIT on, one in 32 from twice that, so that hardly any node
 * grows until it is full, where cuts would no longer follow the names.
 */
#define CUT_RARE (UINT64_MAX / 128)
#define CUT_OFTEN (UINT64_MAX / 32)

/* One level's node in the making. */
struct tree_level {
	struct node_builder *builder;
	uint64_t nodes; /* written so far at this level */
	char first[NAME_BYTES_MAX];
	uint32_t first_n;
	struct chunk_id last; /* newest child */
};

struct tree_writer {
	struct object_sink *sink;
	struct id_hasher *hasher;
	struct tree_level levels[TREE_LEVELS_MAX];
	uint64_t count;
	char newest[NAME_BYTES_MAX];
	uint32_t newest_n;
};

int tree_writer_new(struct object_sink *sink, const uint8_t placement_key[static KEY_BYTES],
		    struct tree_writer **ret_writer)
{
	CLEANUP(tree_writer_free_ptr) struct tree_writer *w = NULL;
	int r;

	assert(sink);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->sink = sink;
	/* Always this hash: it only places cuts, and readers never ask. */
	r = id_hasher_new(HASH_HMAC_SHA256, placement_key, &w->hasher);
	if (r == 0)
		r = node_builder_new(0, &w->levels[0].builder);
	if (r < 0)
		return r;
	*ret_writer = STEAL(w);
	return 0;
}

void tree_writer_free(struct tree_writer *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < TREE_LEVELS_MAX; i++)
		node_builder_free(w->levels[i].builder);
	id_hasher_free(w->hasher);
	free(w);
}

void tree_writer_restart(struct tree_writer *w)
{
	for (uint32_t i = 0; i < TREE_LEVELS_MAX && w->levels[i].builder; i++) {
		node_builder_reset(w->levels[i].builder, i);
		w->levels[i].nodes = 0;
	}
	w->count = 0;
}

static bool cut_after(const struct tree_writer *w, uint32_t level, const char *name, uint32_t n)
{
	const size_t bytes = node_builder_bytes(w->levels[level].builder);
	uint8_t text[5 + NAME_BYTES_MAX] = { 't', 'r', 'e', 'e', (uint8_t)level };
	struct chunk_id hash;

	if (bytes < NODE_BYTES_SPLIT)
		return false;
	memcpy(text + 5, name, n);
	id_hasher_run(w->hasher, text, 5 + n, &hash);
	return get_u64(hash.bytes) < (bytes < 2 * NODE_BYTES_SPLIT ? CUT_RARE : CUT_OFTEN);
}

/* Store a level's node and begin its next one. */
static int put_node(struct tree_writer *w, uint32_t level, struct chunk_id *ret_id,
		    uint64_t *ret_total)
{
	struct tree_level *l = &w->levels[level];
	const uint8_t *data;
	size_t n;
	int r;

	r = node_builder_finish(l->builder, &data, &n, ret_total);
	if (r == 0)
		r = w->sink->put(w->sink, OBJECT_TREE, data, n, ret_id);
	if (r < 0)
		return r;
	l->nodes++;
	node_builder_reset(l->builder, level);
	return 0;
}

/* An item was added: is it the node's first? */
static void note_first(struct tree_level *l, const char *name, uint32_t n)
{
	if (node_builder_count(l->builder) != 1)
		return;
	memcpy(l->first, name, n);
	l->first_n = n;
}

/* Make sure that a level has its builder. */
static int need_level(struct tree_writer *w, uint32_t level)
{
	if (level == TREE_LEVELS_MAX)
		return log_errno(-EFBIG, "tree: a directory too large for %d levels",
				 TREE_LEVELS_MAX);
	return w->levels[level].builder ? 0 : node_builder_new(level, &w->levels[level].builder);
}

/* Enter a finished node one level up; there is room for it. 1 when that makes the upper node end.
 */
static int enter(struct tree_writer *w, const struct tree_child *child)
{
	struct tree_level *l = &w->levels[child->level + 1];
	int r;

	r = node_builder_add_child(l->builder, child->first, child->first_n, &child->id,
				   child->total);
	if (r < 0)
		return r;
	note_first(l, child->first, child->first_n);
	l->last = child->id;
	/* Room for any child is kept. */
	return node_builder_bytes(l->builder) + NAME_BYTES_MAX + 64 > NODE_BYTES_MAX ||
	       cut_after(w, child->level + 1, child->first, child->first_n);
}

/*
 * Store the node of `level`, enter it one level up, and go on there while that
 * level's node is full or its names say so. With `last`, only this one.
 */
static int cut(struct tree_writer *w, uint32_t level, bool last)
{
	int r;

	do {
		const struct tree_level *l = &w->levels[level];
		struct tree_child child = { .level = level,
					    .first = l->first,
					    .first_n = l->first_n };

		r = need_level(w, level + 1);
		if (r == 0)
			r = put_node(w, level, &child.id, &child.total);
		if (r == 0)
			r = enter(w, &child);
		level++;
	} while (r == 1 && !last);
	return r < 0 ? r : 0;
}

bool tree_writer_at_border(const struct tree_writer *w, uint32_t level)
{
	for (uint32_t i = 0; i <= level && w->levels[i].builder; i++)
		if (node_builder_count(w->levels[i].builder) > 0)
			return false;
	return true;
}

int tree_writer_add_child(struct tree_writer *w, const struct tree_child *child)
{
	int r = 0;

	assert(tree_writer_at_border(w, child->level));
	for (uint32_t i = 0; r == 0 && i <= child->level + 1; i++)
		r = need_level(w, i);
	if (r < 0)
		return r;
	/* As if these had been stored one by one. */
	for (uint32_t i = 0; i <= child->level; i++)
		w->levels[i].nodes++;
	w->count += child->total;
	memcpy(w->newest, child->first, child->first_n);
	w->newest_n = child->first_n;
	r = enter(w, child);
	return r == 1 ? cut(w, child->level + 1, false) : r;
}

int tree_writer_add(struct tree_writer *w, const struct tree_entry *entry)
{
	struct tree_level *l = &w->levels[0];
	int r;

	/* Order is checked over node borders, too: the builder knows its own node only. */
	if (w->count > 0 && name_compare(w->newest, w->newest_n, entry->name, entry->name_n) >= 0)
		r = -EINVAL;
	else
		r = node_builder_add_entry(l->builder, entry);
	if (r == -EFBIG) {
		r = cut(w, 0, false);
		if (r == 0)
			r = node_builder_add_entry(l->builder, entry);
	}
	if (r == -EINVAL)
		return log_errno(r, "tree: entry '%.*s' is out of order or malformed",
				 (int)entry->name_n, entry->name);
	if (r < 0)
		return r;
	note_first(l, entry->name, entry->name_n);
	memcpy(w->newest, entry->name, entry->name_n);
	w->newest_n = entry->name_n;
	w->count++;
	return cut_after(w, 0, entry->name, entry->name_n) ? cut(w, 0, false) : 0;
}

/* From the leaves up, until one node stands alone. */
static int finish_levels(struct tree_writer *w, struct chunk_id *ret_root)
{
	for (uint32_t level = 0; level < TREE_LEVELS_MAX; level++) {
		const struct tree_level *l = &w->levels[level];
		int r;

		/* One child and nothing beside it: the child is the root. */
		if (level > 0 && l->nodes == 0 && node_builder_count(l->builder) == 1) {
			*ret_root = l->last;
			return 0;
		}
		if (node_builder_count(l->builder) == 0)
			continue;
		r = cut(w, level, true);
		if (r < 0)
			return r;
	}
	return -EFBIG;
}

int tree_writer_finish(struct tree_writer *w, struct chunk_id *ret_root, uint64_t *ret_count)
{
	struct chunk_id root = { 0 };
	int r = 0;

	if (w->count > 0)
		r = finish_levels(w, &root);
	if (r == 0) {
		*ret_root = root;
		*ret_count = w->count;
	}
	tree_writer_restart(w);
	return r;
}
