/* SPDX-License-Identifier: MIT */
#include "snapshots/audit_internal.h"

#include <errno.h>
#include <string.h>

/* ---- packs ---- */

static enum pack_state look_at_pack(struct audit *a, uint32_t number)
{
	char path[PACK_PATH_BYTES];
	struct pack_info info;
	struct io_stat st;

	if (chunk_index_pack(store_index(a->store), number, &info) < 0)
		return PACK_MISSING;
	if (io_stat(store_io(a->store), pack_path(&info.host, &info.id, path), &st) < 0)
		return PACK_MISSING;
	return st.size == info.size && !st.is_folder ? PACK_GOOD : PACK_WRONG_SIZE;
}

enum pack_state audit_pack_state(struct audit *a, uint32_t number)
{
	if (number >= a->n_packs) {
		const size_t n = ((size_t)number + 1) * 2;
		uint8_t *packs = realloc(a->packs, n);

		if (!packs)
			return look_at_pack(a, number);
		memset(packs + a->n_packs, PACK_UNKNOWN, n - a->n_packs);
		a->packs = packs;
		a->n_packs = n;
	}
	if (a->packs[number] == PACK_UNKNOWN)
		a->packs[number] = (uint8_t)look_at_pack(a, number);
	return (enum pack_state)a->packs[number];
}

/* ---- chunks ---- */

/* Where the index says that a chunk lies, and whether that pack is there. */
static int look_for(struct audit *a, const struct chunk_id *id, struct chunk_place *ret_place,
		    enum pack_state *ret_state)
{
	int r = -ENOENT;

	/* Its pack may be merged away between the two questions: ask once more. */
	for (int i = 0; i < 2; i++) {
		r = chunk_index_get(store_index(a->store), id, ret_place);
		if (r < 0)
			break;
		*ret_state = audit_pack_state(a, ret_place->pack);
		if (*ret_state == PACK_GOOD)
			break;
	}
	return r;
}

/* 1 and its raw length; -ENOENT, -EBADMSG, -EUCLEAN, ... when it cannot be relied on. */
static int look_up(struct audit *a, const struct chunk_id *id, uint32_t *ret_raw_n)
{
	enum pack_state state = PACK_UNKNOWN;
	struct chunk_place place;
	int r;

	r = look_for(a, id, &place, &state);
	if (r < 0)
		return r;
	if (place.type != OBJECT_DATA)
		return -EBADMSG;
	switch (state) {
	case PACK_GOOD:
		break;
	case PACK_WRONG_SIZE:
		return -EBADMSG;
	default:
		return -ENOENT;
	}
	if (a->damaged_chunk && a->damaged_chunk(a->damaged_context, id))
		return -EBADMSG;
	*ret_raw_n = place.raw_n;
	return 1;
}

static const struct chunk_memo *remember(struct audit *a, const struct chunk_id *id)
{
	uint32_t hash;
	struct chunk_memo *m;

	memcpy(&hash, id->bytes, sizeof(hash));
	m = &a->memo[hash % MEMO_SLOTS];
	if (m->status == 0 || !chunk_id_equal(&m->id, id)) {
		m->id = *id;
		m->status = look_up(a, id, &m->raw_n);
	}
	return m;
}

static const char *what_is_wrong(int r)
{
	switch (r) {
	case -ENOENT:
		return "part of its contents is missing";
	case -EBADMSG:
		return "part of its contents is damaged";
	case -EUCLEAN:
		return "the index is damaged where it tells of its contents";
	default:
		return "part of its contents cannot be read";
	}
}

/* 0 fine; 1 something is wrong and was named; -ENOMEM. */
static int check_chunk(struct audit *a, const struct chunk_id *id, uint64_t end)
{
	const struct chunk_memo *m = remember(a, id);
	int r;

	a->result.chunks++;
	if (m->status > 0 && end <= m->raw_n)
		return 0;
	if (m->status > 0) {
		audit_damaged(a, (const char *)a->path.data, id,
			      "its contents reach past the end of what is stored");
		return 1;
	}
	audit_damaged(a, (const char *)a->path.data, id, what_is_wrong(m->status));
	r = audit_bad_object(a, id);
	return r < 0 ? r : 1;
}

/* Each chunk in a row is named once a piece. */
static int check_piece(struct audit *a, const struct piece *piece, const struct extent *extents)
{
	const struct chunk_id *named = NULL;

	for (uint32_t i = 0; i < piece->n_extents; i++) {
		int r;

		if (named && chunk_id_equal(named, &extents[i].chunk))
			continue;
		r = check_chunk(a, &extents[i].chunk,
				(uint64_t)extents[i].offset + extents[i].length);
		if (r < 0)
			return r;
		named = r > 0 ? &extents[i].chunk : NULL;
	}
	return 0;
}

/* ---- lists of pieces ---- */

static int bad_node(struct audit *a, const struct chunk_id *id, enum object_type type, int error)
{
	const char *what = type == OBJECT_TREE ? "part of the directory is damaged"
					       : "part of the list of its contents is damaged";

	if (error == -ENOENT)
		what = type == OBJECT_TREE ? "part of the directory is missing"
					   : "part of the list of its contents is missing";
	audit_damaged(a, (const char *)a->path.data, id, what);
	return audit_bad_object(a, id);
}

static int check_node(const struct chunk_pin *pin, enum object_type type)
{
	struct node_view tree;
	struct list_view list;
	int r;

	if (type == OBJECT_TREE) {
		r = node_view_init(&tree, pin->data, pin->n);
		return r < 0 ? r : node_view_check(&tree);
	}
	r = list_view_init(&list, pin->data, pin->n);
	return r < 0 ? r : list_view_check(&list);
}

int audit_node(struct audit *a, const struct chunk_id *id, enum object_type type,
	       struct chunk_pin *ret_pin)
{
	struct chunk_pin pin = { 0 };
	int r;

	r = chunk_cache_get(a->cache, id, type, &pin);
	if (r == 0) {
		r = check_node(&pin, type);
		if (r == 0) {
			a->result.nodes++;
			*ret_pin = pin;
			return 1;
		}
		chunk_cache_unpin(a->cache, &pin);
	}
	return r == -ENOMEM ? r : bad_node(a, id, type, r);
}

/* Nodes of a list still to be read, at most a node's children a level. */
struct list_todo {
	struct list_child *items;
	uint32_t *levels; /* that the node must have; UINT32_MAX: any */
	size_t n;
	size_t room;
};

static void list_todo_done(struct list_todo *todo)
{
	free(todo->items);
	free(todo->levels);
}

static int todo_push(struct list_todo *todo, const struct list_child *child, uint32_t level)
{
	if (todo->n == todo->room) {
		const size_t room = todo->room ? 2 * todo->room : 64;
		struct list_child *items = reallocarray(todo->items, room, sizeof(*items));
		uint32_t *levels;

		if (!items)
			return -ENOMEM;
		todo->items = items;
		levels = reallocarray(todo->levels, room, sizeof(*levels));
		if (!levels)
			return -ENOMEM;
		todo->levels = levels;
		todo->room = room;
	}
	todo->items[todo->n] = *child;
	todo->levels[todo->n++] = level;
	return 0;
}

static int check_list_leaf(struct audit *a, const struct list_view *v)
{
	for (uint32_t i = 0; i < v->count; i++) {
		struct piece piece;
		int r = list_view_piece(v, i, &piece, a->extents);

		if (r == 0)
			r = check_piece(a, &piece, a->extents);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_list_view(struct audit *a, struct list_todo *todo, const struct list_view *v)
{
	if (v->level == 0)
		return check_list_leaf(a, v);
	for (uint32_t i = v->count; i-- > 0;) {
		struct list_child child;
		int r;

		list_view_child(v, i, &child);
		r = todo_push(todo, &child, v->level - 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Many lists share a node: each different word about it is looked into once. */
static int list_promise_is_new(struct audit *a, const struct list_child *node, uint32_t level)
{
	uint8_t said[sizeof(node->id.bytes) + 4 + 3ul * 8];
	uint8_t *at = put_bytes(said, node->id.bytes, sizeof(node->id.bytes));

	at = put_u64(put_u32(at, level), node->length);
	at = put_u64(put_u64(at, node->pieces), node->holes);
	return audit_first_said(a, said, (size_t)(at - said));
}

/* Of a root only the length is known beforehand. */
static bool list_promise_kept(const struct list_view *v, const struct list_child *node,
			      uint32_t level)
{
	if (v->length != node->length)
		return false;
	return level == UINT32_MAX ||
	       (v->level == level && v->pieces == node->pieces && v->holes == node->holes);
}

static int check_list_node(struct audit *a, struct list_todo *todo, const struct list_child *node,
			   uint32_t level)
{
	const int said = list_promise_is_new(a, node, level);
	struct chunk_pin pin = { 0 };
	struct list_view v;
	int fresh, r;

	/* Whoever says nothing new says it of a node that was met. */
	if (said <= 0)
		return said;
	fresh = audit_first_met(a, &node->id, OBJECT_LIST);
	if (fresh < 0)
		return fresh;
	/* One that is bad in itself was named when it was met first. */
	r = fresh ? audit_node(a, &node->id, OBJECT_LIST, &pin)
		  : chunk_cache_get(a->cache, &node->id, OBJECT_LIST, &pin) == 0;
	if (r <= 0)
		return r;
	r = list_view_init(&v, pin.data, pin.n);
	if (r == 0 && !list_promise_kept(&v, node, level))
		r = bad_node(a, &node->id, OBJECT_LIST, -EUCLEAN);
	else if (r == 0 && fresh)
		r = check_list_view(a, todo, &v);
	chunk_cache_unpin(a->cache, &pin);
	return r == -EUCLEAN ? 0 : r;
}

static int check_list(struct audit *a, const struct content *c)
{
	CLEANUP(list_todo_done) struct list_todo todo = { 0 };
	int r;

	r = todo_push(&todo, &(struct list_child){ .id = c->list, .length = c->length },
		      UINT32_MAX);
	while (r == 0 && todo.n > 0) {
		const struct list_child node = todo.items[--todo.n];

		r = check_list_node(a, &todo, &node, todo.levels[todo.n]);
		if (r == 0)
			r = audit_stopped(a);
	}
	return r;
}

/* ---- entries ---- */

static int check_inline(struct audit *a, const struct content *c)
{
	const struct extent *extents = c->extents;

	for (uint32_t i = 0; i < c->n_pieces; i++) {
		const int r = check_piece(a, &c->pieces[i], extents);

		if (r < 0)
			return r;
		extents += c->pieces[i].n_extents;
	}
	return 0;
}

static int check_xattrs(struct audit *a, const struct tree_entry *entry)
{
	struct chunk_id id;
	int r;

	if (!(entry->flags & ENTRY_XATTRS_CHUNK))
		return 0;
	if (entry->xattrs_n != sizeof(id.bytes)) {
		audit_damaged(a, (const char *)a->path.data, NULL, "its attributes are malformed");
		return 0;
	}
	memcpy(id.bytes, entry->xattrs, sizeof(id.bytes));
	r = check_chunk(a, &id, 0);
	return r < 0 ? r : 0;
}

int audit_entry(struct audit *a, const struct tree_entry *entry)
{
	const struct content *c = &entry->content;
	int r = check_xattrs(a, entry);

	if (r < 0 || (entry->mode & S_IFMT) != S_IFREG)
		return r;
	a->result.files++;
	if (c->length != entry->size && !(entry->flags & ENTRY_UNREADABLE)) {
		audit_damaged(a, (const char *)a->path.data, NULL,
			      "its contents have another length than its size");
		return 0;
	}
	if (c->form == CONTENT_INLINE)
		return check_inline(a, c);
	return c->form == CONTENT_LIST ? check_list(a, c) : 0;
}
