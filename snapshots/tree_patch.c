/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_patch.h"

#include "snapshots/tree_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct tree_patch {
	struct tree_reader *reader; /* the old directory, as far as it is dealt with */
	struct tree_writer *writer;
	struct chunk_id old;
	bool touched; /* something was put or left out */
	char newest[NAME_BYTES_MAX];
	uint32_t newest_n; /* 0: no change yet */
	uint64_t n_added, n_adopted;
	struct chunk_id adopted; /* the newest node taken over */
	uint32_t adopted_level;
};

int tree_patch_new(struct chunk_cache *cache, struct object_sink *sink,
		   const uint8_t placement_key[static KEY_BYTES], struct tree_patch **ret_patch)
{
	CLEANUP(tree_patch_free_ptr) struct tree_patch *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = tree_reader_new(cache, &p->reader);
	if (r == 0)
		r = tree_writer_new(sink, placement_key, &p->writer);
	if (r < 0)
		return r;
	tree_reader_scattered(p->reader, true);
	*ret_patch = STEAL(p);
	return 0;
}

void tree_patch_free(struct tree_patch *p)
{
	if (!p)
		return;
	tree_reader_free(p->reader);
	tree_writer_free(p->writer);
	free(p);
}

int tree_patch_begin(struct tree_patch *p, const struct chunk_id *old)
{
	tree_writer_restart(p->writer);
	p->old = *old;
	p->touched = false;
	p->newest_n = 0;
	p->n_added = p->n_adopted = 0;
	return tree_reader_set(p->reader, old);
}

static int add(struct tree_patch *p, const struct tree_entry *entry)
{
	p->n_added++;
	return tree_writer_add(p->writer, entry);
}

/*
 * May this node be taken over before a change at `name` (NULL: none follows)?
 * Not when the entry behind it changes: had that been shorter, the node might
 * not have ended where it did.
 */
static bool may_adopt(const struct tree_patch *p, const struct tree_child *node, const char *name,
		      uint32_t n)
{
	if (!tree_writer_at_border(p->writer, node->level))
		return false;
	if (!name)
		return true;
	return node->after && name_compare(node->after, node->after_n, name, n) < 0;
}

static int adopt(struct tree_patch *p, const struct tree_child *node)
{
	int r = tree_writer_add_child(p->writer, node);

	p->n_adopted++;
	p->adopted = node->id;
	p->adopted_level = node->level;
	tree_reader_step_child(p->reader, node);
	return r;
}

/* Bring over all old entries below `name` (NULL: all). 1 when the next one has that name. */
static int advance(struct tree_patch *p, const char *name, uint32_t n)
{
	for (;;) {
		struct tree_child node;
		struct tree_entry e;
		int order = -1, r = 0;

		if (tree_writer_at_border(p->writer, 0))
			r = tree_reader_pending(p->reader, &node);
		if (r < 0)
			return r;
		if (r == 1 && name && name_compare(node.first, node.first_n, name, n) > 0)
			return 0;
		if (r == 1 && (node.level > 0 || may_adopt(p, &node, name, n))) {
			r = may_adopt(p, &node, name, n) ? adopt(p, &node)
							 : tree_reader_enter(p->reader);
			if (r < 0)
				return r;
			continue;
		}
		r = tree_reader_peek(p->reader, &e);
		if (r <= 0)
			return r;
		if (name)
			order = name_compare(e.name, e.name_n, name, n);
		if (order >= 0)
			return order == 0;
		r = add(p, &e);
		if (r < 0)
			return r;
		tree_reader_step(p->reader);
	}
}

/* Go to a change's place. 1 with the old entry of that name, which is stepped over. */
static int go_to(struct tree_patch *p, const char *name, uint32_t n, struct tree_entry *ret_old)
{
	struct tree_entry old;
	int r;

	if (!name_valid(name, n) ||
	    (p->newest_n > 0 && name_compare(p->newest, p->newest_n, name, n) >= 0))
		return -EINVAL;
	memcpy(p->newest, name, n);
	p->newest_n = n;
	p->touched = true;
	r = advance(p, name, n);
	if (r == 1)
		r = tree_reader_peek(p->reader, &old);
	if (r <= 0)
		return r;
	tree_reader_step(p->reader);
	if (ret_old)
		*ret_old = old;
	return 1;
}

int tree_patch_put(struct tree_patch *p, const struct tree_entry *entry, struct tree_entry *ret_old)
{
	int found = go_to(p, entry->name, entry->name_n, ret_old);
	int r = found < 0 ? found : add(p, entry);

	return r < 0 ? r : found;
}

int tree_patch_remove(struct tree_patch *p, const char *name, uint32_t n,
		      struct tree_entry *ret_old)
{
	return go_to(p, name, n, ret_old);
}

int tree_patch_remove_before(struct tree_patch *p, const char *name, uint32_t n,
			     struct tree_entry *ret_old)
{
	int r = tree_reader_peek(p->reader, ret_old);

	if (r <= 0 || (name && name_compare(ret_old->name, ret_old->name_n, name, n) >= 0))
		return r < 0 ? r : 0;
	tree_reader_step(p->reader);
	p->touched = true;
	return 1;
}

/* A node taken over that stands alone is no root while it has but one child. */
static int collapse(struct tree_patch *p, struct chunk_id *root)
{
	uint32_t level = p->adopted_level;

	while (level > 0) {
		struct tree_child child = { 0 };
		int r = tree_reader_set(p->reader, root);

		if (r == 0)
			r = tree_reader_pending(p->reader, &child);
		if (r < 0)
			return r;
		if (r == 0 || child.after)
			return 0;
		*root = child.id;
		level = child.level;
	}
	return 0;
}

int tree_patch_finish(struct tree_patch *p, struct chunk_id *ret_root, uint64_t *ret_count)
{
	struct chunk_id root = p->old;
	uint64_t count = tree_reader_count(p->reader);
	int r = p->touched ? advance(p, NULL, 0) : 0;

	if (r == 0 && p->touched)
		r = tree_writer_finish(p->writer, &root, &count);
	if (r == 0 && p->touched && p->n_adopted == 1 && p->n_added == 0)
		r = collapse(p, &root);
	if (r < 0)
		return r;
	*ret_root = root;
	*ret_count = count;
	return 0;
}
