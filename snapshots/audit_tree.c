/* SPDX-License-Identifier: MIT */
#include "snapshots/audit_internal.h"

#include <errno.h>
#include <string.h>

/* A node on the way down, by id: pinning a whole path could fill the cache. */
struct audit_frame {
	struct chunk_id id;
	uint32_t next;  /* entry or child to go on with */
	uint32_t depth; /* directories on the way to it, its own among them */
	size_t path_n;  /* of the directory that it is part of */
};

struct audit_walk {
	struct audit *a;
	struct audit_frame *frames;
	size_t n;
	size_t room;
};

static void audit_walk_done(struct audit_walk *w)
{
	free(w->frames);
}

/* Show the path up to n bytes, with the name behind it if there is one. */
static int set_path(struct audit *a, size_t n, const char *name, uint32_t name_n)
{
	a->path.n = n;
	if (name) {
		byte_buf_u8(&a->path, '/');
		byte_buf_append(&a->path, name, name_n);
	}
	byte_buf_u8(&a->path, 0);
	if (a->path.failed)
		return -ENOMEM;
	a->path.n--;
	return 0;
}

/* 1; 0 when that is too deep, which was named. */
static int push(struct audit_walk *w, const struct chunk_id *id, bool directory)
{
	const uint32_t depth = (w->n > 0 ? w->frames[w->n - 1].depth : 0) + directory;

	if (depth > TREE_DEPTH_MAX) {
		audit_damaged(w->a, (const char *)w->a->path.data, id, "too deep");
		return 0;
	}
	if (w->n == w->room) {
		const size_t room = w->room ? 2 * w->room : 64;
		struct audit_frame *frames = reallocarray(w->frames, room, sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		w->frames = frames;
		w->room = room;
	}
	/* Below the root, "/", names begin anew. */
	w->frames[w->n++] = (struct audit_frame){
		.id = *id,
		.depth = depth,
		.path_n = w->a->path.n > 1 ? w->a->path.n : 0,
	};
	return 1;
}

/* What an inner node says of a child. The names are borrowed from it. */
struct tree_promise {
	uint32_t level;
	uint64_t total;
	const char *first, *next; /* next: NULL for the last child */
	uint32_t first_n, next_n;
};

/* Many parents share a child: each different word about it is looked into once. */
static int promise_is_new(struct audit *a, const struct chunk_id *id, const struct tree_promise *p)
{
	uint8_t said[sizeof(id->bytes) + 4 + 8 + 2ul * (4 + NAME_BYTES_MAX)];
	uint8_t *at = put_bytes(said, id->bytes, sizeof(id->bytes));

	at = put_u64(put_u32(at, p->level), p->total);
	at = put_bytes(put_u32(at, p->first_n), p->first, p->first_n);
	at = put_bytes(put_u32(at, p->next ? p->next_n : UINT32_MAX), p->next, p->next_n);
	return audit_first_said(a, said, (size_t)(at - said));
}

static bool promise_kept(const struct node_view *v, const struct tree_promise *p)
{
	const char *name;
	uint32_t n;

	if (v->level != p->level || v->total != p->total || node_view_name(v, 0, &name, &n) < 0 ||
	    name_compare(name, n, p->first, p->first_n) != 0)
		return false;
	return !p->next || (node_view_name(v, v->count - 1, &name, &n) == 0 &&
			    name_compare(name, n, p->next, p->next_n) < 0);
}

/* A good node met for the first time: 1 with its pin and it is on the way; 0: nothing to do. */
static int enter(struct audit_walk *w, const struct chunk_id *id,
		 const struct tree_promise *promise, struct chunk_pin *ret_pin)
{
	const int fresh = audit_first_met(w->a, id, OBJECT_TREE);
	const int said = promise && fresh >= 0 ? promise_is_new(w->a, id, promise) : 0;
	struct chunk_pin pin = { 0 };
	struct node_view v;
	int r;

	if (fresh < 0 || said < 0)
		return -ENOMEM;
	if (!fresh && !said)
		return 0;
	/* One that is bad in itself was named when it was met first. */
	r = fresh ? audit_node(w->a, id, OBJECT_TREE, &pin)
		  : chunk_cache_get(w->a->cache, id, OBJECT_TREE, &pin) == 0;
	if (r <= 0)
		return r;
	r = node_view_init(&v, pin.data, pin.n);
	if (r == 0 && promise && !promise_kept(&v, promise))
		audit_damaged(w->a, (const char *)w->a->path.data, id,
			      "part of the directory is not what the part above it says");
	else if (r == 0 && fresh)
		r = push(w, id, !promise);
	if (r == 1) {
		*ret_pin = pin;
		return 1;
	}
	chunk_cache_unpin(w->a->cache, &pin);
	return r == -ENOMEM ? r : 0;
}

/* Entries of a leaf, until one is a directory not seen yet: 1, to go down into it. */
static int go_on_in_leaf(struct audit_walk *w, const struct node_view *v,
			 struct chunk_id *ret_below)
{
	struct audit_frame *frame = &w->frames[w->n - 1];
	struct tree_entry entry;

	while (frame->next < v->count) {
		int r = node_view_entry(v, frame->next++, &w->a->decoder, &entry);

		if (r == 0)
			r = set_path(w->a, frame->path_n, entry.name, entry.name_n);
		if (r == 0)
			r = audit_entry(w->a, &entry);
		if (r < 0)
			return r;
		if ((entry.mode & S_IFMT) == S_IFDIR && !chunk_id_is_zero(&entry.tree)) {
			*ret_below = entry.tree;
			return 1;
		}
	}
	return 0;
}

static int go_on_in_inner(struct audit_walk *w, const struct node_view *v,
			  struct chunk_id *ret_below, struct tree_promise *ret_promise)
{
	struct audit_frame *frame = &w->frames[w->n - 1];
	struct tree_promise p = { .level = v->level - 1 };
	const uint32_t i = frame->next;
	int r;

	if (i == v->count)
		return 0;
	frame->next++;
	r = set_path(w->a, frame->path_n, frame->path_n == 0 ? "" : NULL, 0);
	if (r == 0)
		r = node_view_child(v, i, ret_below, &p.total);
	if (r == 0)
		r = node_view_name(v, i, &p.first, &p.first_n);
	if (r == 0 && i + 1 < v->count)
		r = node_view_name(v, i + 1, &p.next, &p.next_n);
	*ret_promise = p;
	return r < 0 ? r : 1;
}

/* Go down if it was not seen before: its pin takes the place of this one. */
static int go_below(struct audit_walk *w, const struct chunk_id *id,
		    const struct tree_promise *promise, struct chunk_pin *pin)
{
	struct chunk_pin below = { 0 };
	int r = enter(w, id, promise, &below);

	if (r == 1) {
		chunk_cache_unpin(w->a->cache, pin);
		*pin = below;
	}
	if (w->a->options->progress)
		w->a->options->progress(w->a->options->context, w->a->result.records,
					w->a->n_records, w->a->result.nodes);
	return r < 0 ? r : audit_stopped(w->a);
}

/* Work in the newest nodes until one is done; its pin is then dropped. */
static int work(struct audit_walk *w, struct chunk_pin *pin)
{
	struct tree_promise promise;
	struct chunk_id below;
	struct node_view v;
	int r;

	do {
		r = node_view_init(&v, pin->data, pin->n);
		if (r == 0)
			r = v.level == 0 ? go_on_in_leaf(w, &v, &below)
					 : go_on_in_inner(w, &v, &below, &promise);
		if (r == 0) {
			w->n--;
			break;
		}
		if (r > 0)
			r = go_below(w, &below, v.level == 0 ? NULL : &promise, pin);
	} while (r == 0);
	chunk_cache_unpin(w->a->cache, pin);
	*pin = (struct chunk_pin){ 0 };
	return r;
}

static int walk(struct audit_walk *w, struct chunk_pin *pin)
{
	int r = 0;

	while (w->n > 0 && r == 0) {
		const struct audit_frame *frame = &w->frames[w->n - 1];

		if (!pin->data)
			r = chunk_cache_get(w->a->cache, &frame->id, OBJECT_TREE, pin);
		if (r == 0) {
			r = work(w, pin);
			continue;
		}
		/* It could be read a moment ago. */
		audit_damaged(w->a, (const char *)w->a->path.data, &frame->id,
			      "part of the directory cannot be read any more");
		w->n--;
		r = r == -ENOMEM ? r : 0;
	}
	chunk_cache_unpin(w->a->cache, pin);
	return r;
}

int audit_tree(struct audit *a, const void *root, size_t n)
{
	CLEANUP(audit_walk_done) struct audit_walk w = { .a = a };
	struct chunk_pin pin = { 0 };
	struct tree_entry entry;
	int r;

	r = tree_entry_decode(root, n, &a->decoder, &entry);
	if (r < 0) {
		audit_damaged(a, NULL, NULL, "its root directory is malformed");
		return r == -ENOMEM ? r : 0;
	}
	r = set_path(a, 0, "", 0);
	if (r == 0)
		r = audit_entry(a, &entry);
	if (r < 0 || (entry.mode & S_IFMT) != S_IFDIR || chunk_id_is_zero(&entry.tree))
		return r;
	r = enter(&w, &entry.tree, NULL, &pin);
	return r == 1 ? walk(&w, &pin) : r;
}
