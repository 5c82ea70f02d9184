/* SPDX-License-Identifier: MIT */
#include "snapshots/content_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>

struct content_builder {
	struct object_sink *sink;
	struct id_hasher *hasher;
	struct list_writer *list; /* made with the first long content */
	bool listed;              /* this content's pieces go there */
	uint64_t n_pieces;
	uint64_t length;
	uint64_t hole; /* length of a hole that may still grow; 0: none */
	struct chunk_id acc;
	struct piece pieces[INLINE_PIECES_MAX];
	struct extent *extents;
	size_t extents_room;
	uint32_t n_extents;
};

int content_builder_new(struct object_sink *sink, struct id_hasher *list_hasher,
			struct content_builder **ret_builder)
{
	struct content_builder *b;

	assert(sink);
	assert(list_hasher);
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->sink = sink;
	b->hasher = list_hasher;
	*ret_builder = b;
	return 0;
}

void content_builder_free(struct content_builder *b)
{
	if (!b)
		return;
	list_writer_free(b->list);
	free(b->extents);
	free(b);
}

static int extents_reserve(struct content_builder *b, size_t n)
{
	size_t room = b->extents_room ? b->extents_room : INLINE_PIECES_MAX;
	struct extent *extents;

	if (n <= b->extents_room)
		return 0;
	while (room < n)
		room *= 2;
	extents = realloc(b->extents, room * sizeof(*extents));
	if (!extents)
		return -ENOMEM;
	b->extents = extents;
	b->extents_room = room;
	return 0;
}

/* The pieces kept so far are too many for an entry: they begin a list. */
static int begin_list(struct content_builder *b)
{
	const struct extent *extents = b->extents;
	int r = 0;

	if (!b->list)
		r = list_writer_new(b->sink, &b->list);
	else
		list_writer_reset(b->list);
	for (uint32_t i = 0; r == 0 && i < INLINE_PIECES_MAX; i++) {
		r = list_writer_add(b->list, &b->pieces[i], extents);
		extents += b->pieces[i].n_extents;
	}
	b->listed = true;
	return r;
}

static int keep_inline(struct content_builder *b, const struct piece *p,
		       const struct extent *extents)
{
	const int r = extents_reserve(b, (size_t)b->n_extents + p->n_extents);

	if (r < 0)
		return r;
	b->pieces[b->n_pieces] = *p;
	if (p->n_extents > 0)
		memcpy(b->extents + b->n_extents, extents, p->n_extents * sizeof(*extents));
	b->n_extents += p->n_extents;
	return 0;
}

static int add_piece(struct content_builder *b, const struct piece *p, const struct extent *extents)
{
	int r;

	/* A single piece is its own id: the chain begins with the second. */
	if (b->n_pieces == 1)
		content_chain(b->hasher, &b->acc, &b->pieces[0].id, b->pieces[0].length);
	if (b->n_pieces >= 1)
		content_chain(b->hasher, &b->acc, &p->id, p->length);
	if (b->n_pieces == INLINE_PIECES_MAX) {
		r = begin_list(b);
		if (r < 0)
			return r;
	}
	r = b->listed ? list_writer_add(b->list, p, extents) : keep_inline(b, p, extents);
	if (r < 0)
		return r;
	b->n_pieces++;
	return 0;
}

static int flush_hole(struct content_builder *b)
{
	const struct piece hole = { .length = b->hole };

	if (b->hole == 0)
		return 0;
	b->hole = 0;
	return add_piece(b, &hole, NULL);
}

int content_builder_add(struct content_builder *b, const struct piece *piece,
			const struct extent *extents)
{
	uint64_t length;
	int r;

	if (!piece_valid(piece, extents))
		return log_errno(-EINVAL, "content: a piece that no reader would take");
	if (__builtin_add_overflow(b->length, piece->length, &length) || length > INT64_MAX)
		return log_errno(-EFBIG, "content: longer than a file can be");
	if (piece_is_hole(piece)) {
		b->hole += piece->length;
		b->length = length;
		return 0;
	}
	r = flush_hole(b);
	if (r == 0)
		r = add_piece(b, piece, extents);
	if (r == 0)
		b->length = length;
	return r;
}

static int finish(struct content_builder *b, struct content *ret_content)
{
	struct content c = { .form = CONTENT_EMPTY };
	int r;

	r = flush_hole(b);
	if (r < 0)
		return r;
	c.length = b->length;
	/* A single hole takes the chain, too: its own id would be that of no content. */
	if (b->n_pieces == 1 && piece_is_hole(&b->pieces[0]))
		content_chain(b->hasher, &b->acc, &b->pieces[0].id, b->pieces[0].length);
	c.id = b->n_pieces == 1 && !piece_is_hole(&b->pieces[0]) ? b->pieces[0].id : b->acc;
	if (b->listed) {
		c.form = CONTENT_LIST;
		r = list_writer_finish(b->list, &c.list);
		if (r < 0)
			return r;
	} else if (b->n_pieces > 0) {
		c.form = CONTENT_INLINE;
		c.pieces = b->pieces;
		c.n_pieces = (uint32_t)b->n_pieces;
		c.extents = b->extents;
		c.n_extents = b->n_extents;
	}
	*ret_content = c;
	return 0;
}

int content_builder_finish(struct content_builder *b, struct content *ret_content)
{
	const int r = finish(b, ret_content);

	/* Afresh after a failure as well; the arrays stay as they are. */
	b->listed = false;
	b->n_pieces = 0;
	b->n_extents = 0;
	b->length = 0;
	b->hole = 0;
	memset(&b->acc, 0, sizeof(b->acc));
	return r;
}
