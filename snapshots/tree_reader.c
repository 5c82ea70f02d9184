/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_reader.h"
#include "snapshots/tree_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

/*
 * One node on the way from the root to the current entry.
 *
 * Steps [0, n_steps) are loaded; each but the last is an inner node whose
 * child number i is the next step. The last one's item i comes next: in a leaf
 * the next entry, in an inner node a child that is not loaded yet.
 */
struct tree_step {
	struct chunk_pin pin;
	struct node_view view;
	struct chunk_id id;
	uint32_t i;
	uint64_t first; /* number of the node's first entry in the directory */
};

struct tree_reader {
	struct chunk_cache *cache;
	struct tree_step steps[TREE_LEVELS_MAX];
	uint32_t n_steps; /* 0: an empty directory */
	uint64_t count;
	uint64_t position;
	bool scattered; /* no listing: the next leaf is not wanted */
	struct entry_decoder decoder;
};

int tree_reader_new(struct chunk_cache *cache, struct tree_reader **ret_reader)
{
	struct tree_reader *r;

	assert(cache);
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->cache = cache;
	*ret_reader = r;
	return 0;
}

static void drop_steps(struct tree_reader *r, uint32_t keep)
{
	while (r->n_steps > keep) {
		r->n_steps--;
		chunk_cache_unpin(r->cache, &r->steps[r->n_steps].pin);
	}
}

void tree_reader_free(struct tree_reader *r)
{
	if (!r)
		return;
	drop_steps(r, 0);
	entry_decoder_done(&r->decoder);
	free(r);
}

void tree_reader_scattered(struct tree_reader *r, bool scattered)
{
	r->scattered = scattered;
}

static struct tree_step *top(struct tree_reader *r)
{
	return &r->steps[r->n_steps - 1];
}

static int node_bad(const struct chunk_id *id, const char *what)
{
	char hex[65];

	return log_errno(-EUCLEAN, "directory node %s: %s", bytes_to_hex(id->bytes, 32, hex), what);
}

/* Does a node hold what its parent says, and nothing outside the parent's range of names? */
static int check_child(const struct tree_step *parent, const struct node_view *v, uint64_t total)
{
	const char *promised, *first, *last;
	uint32_t promised_n, first_n, last_n;

	if (v->level + 1 != parent->view.level || v->total != total)
		return -EUCLEAN;
	if (node_view_name(&parent->view, parent->i, &promised, &promised_n) < 0 ||
	    node_view_name(v, 0, &first, &first_n) < 0 ||
	    name_compare(promised, promised_n, first, first_n) != 0)
		return -EUCLEAN;
	if (parent->i + 1 == parent->view.count)
		return 0;
	if (node_view_name(&parent->view, parent->i + 1, &promised, &promised_n) < 0 ||
	    node_view_name(v, v->count - 1, &last, &last_n) < 0 ||
	    name_compare(last, last_n, promised, promised_n) >= 0)
		return -EUCLEAN;
	return 0;
}

/* Load a node as a new last step. */
static int push_node(struct tree_reader *r, const struct chunk_id *id, uint64_t first)
{
	struct tree_step *s = &r->steps[r->n_steps];
	int x;

	assert(r->n_steps < TREE_LEVELS_MAX);
	*s = (struct tree_step){ .id = *id, .first = first };
	x = chunk_cache_get(r->cache, id, OBJECT_TREE, &s->pin);
	if (x < 0)
		return x;
	r->n_steps++;
	if (node_view_init(&s->view, s->pin.data, s->pin.n) < 0) {
		drop_steps(r, r->n_steps - 1);
		return node_bad(id, "malformed");
	}
	return 0;
}

/* Load child i of the last step, an inner node; its first entry has the number `first`. */
static int push_child(struct tree_reader *r, uint64_t first)
{
	const struct tree_step *parent = top(r);
	struct chunk_id id, after;
	uint64_t total;
	int x;

	x = node_view_child(&parent->view, parent->i, &id, &total);
	if (x < 0)
		return node_bad(&parent->id, "malformed child");
	x = push_node(r, &id, first);
	if (x < 0)
		return x;
	if (check_child(parent, &top(r)->view, total) < 0) {
		drop_steps(r, r->n_steps - 1);
		return node_bad(&id, "not what its parent says");
	}
	/* Listings go on to the next leaf: let it be decoded meanwhile. */
	if (!r->scattered && parent->view.level == 1 && parent->i + 1 < parent->view.count &&
	    node_view_child(&parent->view, parent->i + 1, &after, &total) == 0)
		chunk_cache_prefetch(r->cache, &after, OBJECT_TREE);
	return 0;
}

int tree_reader_set(struct tree_reader *r, const struct chunk_id *root)
{
	int x;

	r->position = 0;
	if (r->n_steps > 0 && chunk_id_equal(&r->steps[0].id, root)) {
		/* The same one: nothing to load. */
		drop_steps(r, 1);
		r->steps[0].i = 0;
		return 0;
	}
	drop_steps(r, 0);
	r->count = 0;
	if (chunk_id_is_zero(root))
		return 0;
	x = push_node(r, root, 0);
	if (x < 0)
		return x;
	r->count = r->steps[0].view.total;
	return 0;
}

uint64_t tree_reader_count(const struct tree_reader *r)
{
	return r->count;
}

uint64_t tree_reader_position(const struct tree_reader *r)
{
	return r->position;
}

/* Leave nodes that are used up: afterwards the last step has an item, unless all is read. */
static void climb(struct tree_reader *r)
{
	while (r->n_steps > 1 && top(r)->i == top(r)->view.count) {
		drop_steps(r, r->n_steps - 1);
		top(r)->i++;
	}
}

/* Go on to a leaf that has an entry. 1, 0 at the end, -errno. */
static int reach_leaf(struct tree_reader *r)
{
	if (r->n_steps == 0)
		return 0;
	climb(r);
	if (top(r)->i == top(r)->view.count)
		return 0;
	while (top(r)->view.level > 0) {
		const int x = push_child(r, r->position);

		if (x < 0)
			return x;
	}
	return 1;
}

int tree_reader_peek(struct tree_reader *r, struct tree_entry *ret_entry)
{
	struct tree_step *s;
	const char *before;
	uint32_t before_n;
	int x;

	x = reach_leaf(r);
	if (x <= 0)
		return x;
	s = top(r);
	x = node_view_entry(&s->view, s->i, &r->decoder, ret_entry);
	if (x == -EUCLEAN)
		return node_bad(&s->id, "malformed entry");
	if (x < 0)
		return x;
	if (s->i > 0 && (node_view_name(&s->view, s->i - 1, &before, &before_n) < 0 ||
			 name_compare(before, before_n, ret_entry->name, ret_entry->name_n) >= 0))
		return node_bad(&s->id, "names out of order");
	return 1;
}

int tree_reader_peek_name(struct tree_reader *r, const char **ret_name, uint32_t *ret_n)
{
	const struct tree_step *s;
	int x;

	x = reach_leaf(r);
	if (x <= 0)
		return x;
	s = top(r);
	x = node_view_name(&s->view, s->i, ret_name, ret_n);
	return x < 0 ? node_bad(&s->id, "malformed name") : 1;
}

void tree_reader_step(struct tree_reader *r)
{
	assert(r->n_steps > 0);
	assert(top(r)->view.level == 0);
	assert(top(r)->i < top(r)->view.count);
	top(r)->i++;
	r->position++;
}

int tree_reader_next(struct tree_reader *r, struct tree_entry *ret_entry)
{
	const int x = tree_reader_peek(r, ret_entry);

	if (x > 0)
		tree_reader_step(r);
	return x;
}

uint64_t tree_reader_skip_damaged(struct tree_reader *r)
{
	struct tree_step *s;
	uint64_t skipped = 1;
	struct chunk_id id;

	if (r->n_steps == 0)
		return 0;
	climb(r);
	s = top(r);
	if (s->i == s->view.count)
		return 0;
	if (s->view.level > 0 && node_view_child(&s->view, s->i, &id, &skipped) < 0)
		return 0;
	s->i++;
	r->position += skipped;
	return skipped;
}

/* ---- seeking ---- */

int tree_reader_seek_index(struct tree_reader *r, uint64_t i)
{
	struct tree_step *s;

	if (i > r->count)
		i = r->count;
	r->position = i;
	if (r->n_steps == 0)
		return 0;
	/* Nodes that hold the entry stay loaded. */
	while (r->n_steps > 1 && (i < top(r)->first || i - top(r)->first >= top(r)->view.total))
		drop_steps(r, r->n_steps - 1);
	s = top(r);
	while (s->view.level > 0) {
		uint64_t first = s->first, total = 0;
		struct chunk_id id;
		int x;

		for (s->i = 0; s->i < s->view.count; s->i++) {
			if (node_view_child(&s->view, s->i, &id, &total) < 0)
				return node_bad(&s->id, "malformed child");
			if (i - first < total)
				break;
			first += total;
		}
		if (s->i == s->view.count)
			return 0; /* the end */
		x = push_child(r, first);
		if (x < 0)
			return x;
		s = top(r);
	}
	s->i = (uint32_t)(i - s->first);
	return 0;
}

/* To the first entry with name >= `name`; *ret_equal tells whether it has that name. */
static int seek_name(struct tree_reader *r, const char *name, uint32_t n, bool *ret_equal)
{
	*ret_equal = false;
	for (uint32_t k = 0; k < r->n_steps; k++) {
		struct tree_step *s = &r->steps[k];
		const int64_t i = node_view_search(&s->view, name, n, ret_equal);
		uint64_t first;
		int x;

		if (i < 0)
			return node_bad(&s->id, "malformed names");
		if (s->view.level == 0) {
			s->i = (uint32_t)i;
			r->position = s->first + s->i;
			return 0;
		}
		/* The child that is loaded already serves look-ups in a row. */
		if (k + 1 < r->n_steps && s->i == (uint32_t)i)
			continue;
		drop_steps(r, k + 1);
		s->i = (uint32_t)i;
		if (node_view_before(&s->view, s->i, &first) < 0)
			return node_bad(&s->id, "malformed child");
		x = push_child(r, s->first + first);
		if (x < 0)
			return x;
	}
	return 0;
}

int tree_reader_seek_name(struct tree_reader *r, const char *name, uint32_t n)
{
	bool equal;

	return seek_name(r, name, n, &equal);
}

int tree_reader_find(struct tree_reader *r, const char *name, uint32_t n,
		     struct tree_entry *ret_entry, uint64_t *ret_index)
{
	struct tree_step *s;
	bool equal;
	int x;

	x = seek_name(r, name, n, &equal);
	if (x < 0)
		return x;
	if (!equal)
		return -ENOENT;
	s = top(r);
	x = node_view_entry(&s->view, s->i, &r->decoder, ret_entry);
	if (x < 0)
		return x == -EUCLEAN ? node_bad(&s->id, "malformed entry") : x;
	if (ret_index)
		*ret_index = r->position;
	return 0;
}

int tree_reader_walk(struct tree_reader *r, const struct chunk_id *root, const char *path,
		     struct tree_entry *ret_entry)
{
	struct chunk_id directory = *root;
	struct tree_entry entry = { .mode = S_IFDIR };
	bool found = false;

	for (;;) {
		size_t n;
		int x;

		path += strspn(path, "/");
		if (!*path)
			break;
		if (!S_ISDIR(entry.mode))
			return -ENOTDIR;
		n = strcspn(path, "/");
		if (n > NAME_BYTES_MAX)
			return -ENOENT;
		x = tree_reader_set(r, &directory);
		if (x == 0)
			x = tree_reader_find(r, path, (uint32_t)n, &entry, NULL);
		if (x < 0)
			return x;
		directory = entry.tree;
		found = true;
		path += n;
		if (*path && !S_ISDIR(entry.mode))
			return -ENOTDIR;
	}
	if (!found)
		return -EISDIR;
	*ret_entry = entry;
	return 0;
}

/* ---- comparing ---- */

/* Level of the node that begins at the position and is not loaded; -1 inside a loaded leaf or at
 * the end. */
static int pending_level(struct tree_reader *r)
{
	const struct tree_step *s;

	if (r->n_steps == 0)
		return -1;
	climb(r);
	s = top(r);
	if (s->i == s->view.count || s->view.level == 0)
		return -1;
	return (int)s->view.level - 1;
}

static void step_child(struct tree_reader *r, uint64_t total)
{
	top(r)->i++;
	r->position += total;
}

/* ---- patching ---- */

int tree_reader_pending(struct tree_reader *r, struct tree_child *ret_child)
{
	const int level = pending_level(r);
	const struct tree_step *s;
	int x;

	if (level < 0)
		return 0;
	s = top(r);
	*ret_child = (struct tree_child){ .level = (uint32_t)level };
	x = node_view_child(&s->view, s->i, &ret_child->id, &ret_child->total);
	if (x == 0)
		x = node_view_name(&s->view, s->i, &ret_child->first, &ret_child->first_n);
	for (uint32_t k = r->n_steps; x == 0 && k-- > 0 && !ret_child->after;) {
		s = &r->steps[k];
		if (s->i + 1 < s->view.count)
			x = node_view_name(&s->view, s->i + 1, &ret_child->after,
					   &ret_child->after_n);
	}
	return x < 0 ? node_bad(&s->id, "malformed child") : 1;
}

void tree_reader_step_child(struct tree_reader *r, const struct tree_child *child)
{
	step_child(r, child->total);
}

int tree_reader_enter(struct tree_reader *r)
{
	return push_child(r, r->position);
}

/* ---- comparing, in step ---- */

int tree_reader_skip_equal(struct tree_reader *a, struct tree_reader *b)
{
	for (;;) {
		const int a_level = pending_level(a), b_level = pending_level(b);
		struct chunk_id a_id, b_id;
		uint64_t total;
		int x = 0;

		if (a_level < 0 || b_level < 0)
			return 0;
		if (a_level == b_level) {
			if (node_view_child(&top(a)->view, top(a)->i, &a_id, &total) < 0 ||
			    node_view_child(&top(b)->view, top(b)->i, &b_id, &total) < 0)
				return node_bad(&top(a)->id, "malformed child");
			if (chunk_id_equal(&a_id, &b_id)) {
				step_child(a, total);
				step_child(b, total);
				continue;
			}
		}
		if (a_level >= b_level)
			x = push_child(a, a->position);
		if (x == 0 && b_level >= a_level)
			x = push_child(b, b->position);
		if (x < 0)
			return x;
	}
}
