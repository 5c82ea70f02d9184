/* SPDX-License-Identifier: MIT */
/* List nodes: the trees of pieces of long contents. */
#include "snapshots/content_internal.h"

#include <assert.h>
#include <errno.h>

static_assert((size_t)LIST_LEAF_MIN * (PIECE_BYTES_MAX + 2u) < NODE_BYTES_MAX,
	      "a node fills to its cut");
static_assert(PIECE_BYTES_MAX + PIECE_EXTENTS_MAX * EXTENT_BYTES_MAX + PIECE_CHUNKS_MAX * 32u +
			      NODE_HEADER_BYTES + 2u <=
		      NODE_BYTES_MAX,
	      "a piece fits a node");

/* ---- reading ---- */

static int leaf_init(struct list_view *v, const uint8_t *data, size_t n)
{
	const uint32_t n_chunks = get_u16(data + 4);
	const size_t table = (size_t)n_chunks * sizeof(struct chunk_id);
	const size_t fixed = NODE_HEADER_BYTES + table + (size_t)v->count * 2;

	if (n <= fixed)
		return -EUCLEAN;
	v->chunks = (struct chunk_list){ .ids = data + NODE_HEADER_BYTES, .n = n_chunks };
	v->body = data + NODE_HEADER_BYTES + table;
	v->body_n = (uint32_t)(n - fixed);
	v->offsets = v->body + v->body_n;
	v->pieces = v->count;
	for (uint32_t i = 0; i < v->count; i++) {
		uint64_t length;
		bool hole;

		if (list_view_peek(v, i, &length, &hole) < 0 ||
		    __builtin_add_overflow(v->length, length, &v->length))
			return -EUCLEAN;
		v->holes += hole;
	}
	return v->length > INT64_MAX ? -EUCLEAN : 0;
}

static int inner_init(struct list_view *v, const uint8_t *data, size_t n)
{
	uint64_t pieces = 0, holes = 0, length = 0;

	if (n != LIST_HEADER_BYTES + (size_t)v->count * LIST_CHILD_BYTES || get_u16(data + 4) != 0)
		return -EUCLEAN;
	v->length = get_u64(data + NODE_HEADER_BYTES);
	v->pieces = get_u64(data + NODE_HEADER_BYTES + 8);
	v->holes = get_u64(data + NODE_HEADER_BYTES + 16);
	v->body = data + LIST_HEADER_BYTES;
	v->body_n = (uint32_t)(n - LIST_HEADER_BYTES);
	for (uint32_t i = 0; i < v->count; i++) {
		struct list_child c;

		list_view_child(v, i, &c);
		if (c.length == 0 || c.pieces == 0 || c.pieces > c.length || c.holes > c.pieces ||
		    __builtin_add_overflow(length, c.length, &length) ||
		    __builtin_add_overflow(pieces, c.pieces, &pieces))
			return -EUCLEAN;
		holes += c.holes; /* at most `pieces`: cannot pass its end */
	}
	if (length > INT64_MAX || length != v->length || pieces != v->pieces || holes != v->holes)
		return -EUCLEAN;
	return 0;
}

int list_view_init(struct list_view *v, const void *data, size_t n)
{
	const uint8_t *at = data;

	*v = (struct list_view){ .data = data };
	if (n < NODE_HEADER_BYTES || n > NODE_BYTES_MAX || at[0] != NODE_FORMAT)
		return -EUCLEAN;
	v->level = at[1];
	v->count = get_u16(at + 2);
	if (v->level >= TREE_LEVELS_MAX || v->count == 0)
		return -EUCLEAN;
	return v->level == 0 ? leaf_init(v, at, n) : inner_init(v, at, n);
}

void list_view_child(const struct list_view *v, uint32_t i, struct list_child *ret_child)
{
	const uint8_t *at = v->body + (size_t)i * LIST_CHILD_BYTES;

	assert(v->level > 0);
	assert(i < v->count);
	memcpy(&ret_child->id, at, sizeof(ret_child->id));
	ret_child->length = get_u64(at + 32);
	ret_child->pieces = get_u64(at + 40);
	ret_child->holes = get_u64(at + 48);
}

static int piece_span(const struct list_view *v, uint32_t i, struct byte_reader *ret_reader)
{
	const uint32_t from = get_u16(v->offsets + (size_t)i * 2);
	const uint32_t to =
		i + 1 < v->count ? get_u16(v->offsets + ((size_t)i + 1) * 2) : v->body_n;

	assert(v->level == 0);
	assert(i < v->count);
	if (from >= to || to > v->body_n || (i == 0 && from != 0))
		return -EUCLEAN;
	*ret_reader = byte_reader_make(v->body + from, to - from);
	return 0;
}

int list_view_peek(const struct list_view *v, uint32_t i, uint64_t *ret_length, bool *ret_hole)
{
	struct byte_reader r;
	const int x = piece_span(v, i, &r);

	return x < 0 ? x : piece_peek(&r, ret_length, ret_hole);
}

int list_view_piece(const struct list_view *v, uint32_t i, struct piece *ret_piece,
		    struct extent *extents)
{
	struct byte_reader r;
	int x;

	x = piece_span(v, i, &r);
	if (x < 0)
		return x;
	x = piece_get(&r, &v->chunks, ret_piece, extents);
	if (x < 0)
		return x;
	return byte_reader_done(&r) ? 0 : -EUCLEAN;
}

int list_view_check(const struct list_view *v)
{
	struct extent extents[PIECE_EXTENTS_MAX];
	struct piece piece;

	for (uint32_t i = 0; v->level == 0 && i < v->count; i++) {
		const int x = list_view_piece(v, i, &piece, extents);

		if (x < 0)
			return x;
	}
	return 0;
}

/* ---- writing ---- */

/* One node being filled; level 0 has the table and offsets. */
struct list_level {
	struct byte_buf body;
	struct byte_buf offsets;
	uint32_t count;
	uint64_t length;
	uint64_t pieces;
	uint64_t holes;
	uint64_t nodes; /* written so far at this level */
	struct list_child last;
};

struct list_writer {
	struct object_sink *sink;
	struct chunk_table table;
	struct list_level levels[TREE_LEVELS_MAX];
	struct byte_buf node;
};

int list_writer_new(struct object_sink *sink, struct list_writer **ret_writer)
{
	struct list_writer *w;

	assert(sink);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->sink = sink;
	*ret_writer = w;
	return 0;
}

void list_writer_free(struct list_writer *w)
{
	if (!w)
		return;
	chunk_table_done(&w->table);
	for (uint32_t i = 0; i < TREE_LEVELS_MAX; i++) {
		byte_buf_done(&w->levels[i].body);
		byte_buf_done(&w->levels[i].offsets);
	}
	byte_buf_done(&w->node);
	free(w);
}

static void level_clear(struct list_writer *w, uint32_t level)
{
	struct list_level *l = &w->levels[level];

	byte_buf_clear(&l->body);
	byte_buf_clear(&l->offsets);
	l->count = 0;
	l->length = l->pieces = l->holes = 0;
	if (level == 0)
		chunk_table_truncate(&w->table, 0);
}

void list_writer_reset(struct list_writer *w)
{
	for (uint32_t i = 0; i < TREE_LEVELS_MAX; i++) {
		level_clear(w, i);
		w->levels[i].nodes = 0;
	}
}

static size_t leaf_bytes(const struct list_writer *w)
{
	const struct list_level *l = &w->levels[0];

	return NODE_HEADER_BYTES + (size_t)w->table.n * 32 + l->body.n + l->offsets.n;
}

/* Write the node of a level and say what it is. */
static int level_put(struct list_writer *w, uint32_t level, struct list_child *ret_child)
{
	struct list_level *l = &w->levels[level];
	struct byte_buf *node = &w->node;
	int r;

	byte_buf_clear(node);
	byte_buf_u8(node, NODE_FORMAT);
	byte_buf_u8(node, (uint8_t)level);
	byte_buf_u16(node, (uint16_t)l->count);
	byte_buf_u16(node, (uint16_t)(level == 0 ? w->table.n : 0));
	if (level == 0) {
		byte_buf_append(node, w->table.ids, (size_t)w->table.n * 32);
	} else {
		byte_buf_u64(node, l->length);
		byte_buf_u64(node, l->pieces);
		byte_buf_u64(node, l->holes);
	}
	byte_buf_append(node, l->body.data, l->body.n);
	byte_buf_append(node, l->offsets.data, l->offsets.n);
	if (node->failed || l->body.failed || l->offsets.failed)
		return -ENOMEM;
	r = w->sink->put(w->sink, OBJECT_LIST, node->data, node->n, &ret_child->id);
	if (r < 0)
		return r;
	ret_child->length = l->length;
	ret_child->pieces = l->pieces;
	ret_child->holes = l->holes;
	l->nodes++;
	level_clear(w, level);
	return 0;
}

static void level_add_child(struct list_level *l, const struct list_child *c)
{
	byte_buf_append(&l->body, c->id.bytes, sizeof(c->id.bytes));
	byte_buf_u64(&l->body, c->length);
	byte_buf_u64(&l->body, c->pieces);
	byte_buf_u64(&l->body, c->holes);
	l->count++;
	l->length += c->length;
	l->pieces += c->pieces;
	l->holes += c->holes;
	l->last = *c;
}

/* Write the node of a level, enter it one level up, and so on while those are to be cut. */
static int level_cut(struct list_writer *w, uint32_t level)
{
	struct list_child child;
	struct list_level *l;
	bool full, cut;
	int r;

	do {
		r = level_put(w, level, &child);
		if (r < 0)
			return r;
		if (++level == TREE_LEVELS_MAX)
			return -EFBIG;
		l = &w->levels[level];
		level_add_child(l, &child);
		full = LIST_HEADER_BYTES + l->body.n + LIST_CHILD_BYTES > NODE_BYTES_MAX;
		cut = l->count >= LIST_INNER_MIN && (child.id.bytes[0] & LIST_INNER_MASK) == 0;
	} while (full || cut);
	return 0;
}

int list_writer_add(struct list_writer *w, const struct piece *piece, const struct extent *extents)
{
	struct list_level *l = &w->levels[0];
	const size_t room = PIECE_BYTES_MAX + (size_t)piece->n_extents * EXTENT_BYTES_MAX;
	uint8_t *to, *end;
	int r;

	/* Worst case, so that nothing has to be taken back. */
	if (l->count > 0 && leaf_bytes(w) + room + PIECE_CHUNKS_MAX * 32ul + 2 > NODE_BYTES_MAX) {
		r = level_cut(w, 0);
		if (r < 0)
			return r;
	}
	byte_buf_u16(&l->offsets, (uint16_t)l->body.n);
	to = byte_buf_reserve(&l->body, room);
	end = to ? piece_put(to, &w->table, piece, extents) : NULL;
	if (!end || l->offsets.failed)
		return -ENOMEM;
	l->body.n += (size_t)(end - to);
	l->count++;
	l->pieces++;
	l->holes += piece_is_hole(piece);
	l->length += piece->length;
	if (l->count < LIST_LEAF_MIN || piece_is_hole(piece) ||
	    (piece->id.bytes[0] & LIST_LEAF_MASK) != 0)
		return 0;
	return level_cut(w, 0);
}

int list_writer_finish(struct list_writer *w, struct chunk_id *ret_root)
{
	struct list_child child;
	int r;

	for (uint32_t level = 0; level < TREE_LEVELS_MAX; level++) {
		struct list_level *l = &w->levels[level];

		/* One child and nothing beside it: the child is the root. */
		if (level > 0 && l->nodes == 0 && l->count == 1) {
			*ret_root = l->last.id;
			list_writer_reset(w);
			return 0;
		}
		if (l->count == 0)
			continue;
		r = level_put(w, level, &child);
		if (r < 0)
			return r;
		if (level + 1 < TREE_LEVELS_MAX)
			level_add_child(&w->levels[level + 1], &child);
	}
	return -EFBIG;
}
