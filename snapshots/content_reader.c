/* SPDX-License-Identifier: MIT */
#include "snapshots/content_internal.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>

#define PINS 2 /* an edited piece alternates between an old chunk and a bundle */
/* For content_pin(): twice the average chunks of what the kernel asks for at once. */
#define PINS_MAX 16

/* One node on the way from the list's root to the current piece. */
struct list_step {
	struct chunk_pin pin;
	struct list_view view;
	uint32_t i;      /* child or piece that comes next */
	uint64_t offset; /* where it starts in the file */
	uint64_t index;  /* number of its first piece */
};

struct data_pin {
	struct chunk_id id;
	struct chunk_pin pin;
};

struct content_reader {
	struct chunk_cache *cache;
	enum content_form form;
	struct chunk_id list;
	uint64_t length;
	uint64_t n_pieces;
	/* CONTENT_INLINE: all of it. */
	struct piece pieces[INLINE_PIECES_MAX];
	struct extent *extents;
	size_t extents_room;
	uint32_t next;        /* piece */
	uint32_t next_extent; /* its first */
	uint64_t next_offset; /* where it starts */
	/* CONTENT_LIST: nodes [0, n_steps), the last one current. */
	struct list_step steps[TREE_LEVELS_MAX];
	uint32_t n_steps;
	struct extent list_extents[PIECE_EXTENTS_MAX];
	/* The piece met last, so that small reads in a row decode it once. */
	struct piece_view view;
	bool has_view;
	/* Chunks in use; released before a call ends, or by content_unpin(). */
	struct data_pin pins[PINS_MAX];
	uint32_t n_pins;
	uint32_t oldest_pin;
};

/* Where bytes go: copied into `to`, or, with NULL, named in `spans`. */
struct byte_sink {
	uint8_t *to;
	struct iovec *spans;
	uint32_t n_spans;
};

int content_reader_new(struct chunk_cache *cache, struct content_reader **ret_reader)
{
	struct content_reader *r;

	assert(cache);
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->cache = cache;
	r->form = CONTENT_EMPTY;
	*ret_reader = r;
	return 0;
}

static void drop_steps(struct content_reader *r, uint32_t keep)
{
	while (r->n_steps > keep) {
		r->n_steps--;
		chunk_cache_unpin(r->cache, &r->steps[r->n_steps].pin);
	}
}

void content_reader_free(struct content_reader *r)
{
	if (!r)
		return;
	content_unpin(r);
	drop_steps(r, 0);
	free(r->extents);
	free(r);
}

static int list_bad(const struct chunk_id *id, const char *what)
{
	char hex[65];

	return log_errno(-EUCLEAN, "list node %s: %s", bytes_to_hex(id->bytes, 32, hex), what);
}

/* Load a node one step below the current one. `expect` is what the parent says; NULL for the root.
 */
static int push_step(struct content_reader *r, const struct chunk_id *id,
		     const struct list_child *expect)
{
	struct list_step *s = &r->steps[r->n_steps];
	const struct list_step *parent = r->n_steps > 0 ? s - 1 : NULL;
	int x;

	assert(r->n_steps < TREE_LEVELS_MAX);
	*s = (struct list_step){ .offset = parent ? parent->offset : 0,
				 .index = parent ? parent->index : 0 };
	x = chunk_cache_get(r->cache, id, OBJECT_LIST, &s->pin);
	if (x < 0)
		return x;
	r->n_steps++;
	if (list_view_init(&s->view, s->pin.data, s->pin.n) < 0) {
		drop_steps(r, r->n_steps - 1);
		return list_bad(id, "malformed");
	}
	if ((parent && s->view.level + 1 != parent->view.level) ||
	    (expect && (s->view.length != expect->length || s->view.pieces != expect->pieces ||
			s->view.holes != expect->holes)) ||
	    (!parent && s->view.length != r->length)) {
		drop_steps(r, r->n_steps - 1);
		return list_bad(id, "not what its parent says");
	}
	return 0;
}

static int set_inline(struct content_reader *r, const struct content *c)
{
	struct extent *extents;

	if (c->n_pieces > INLINE_PIECES_MAX || c->n_extents > INLINE_PIECES_MAX * PIECE_EXTENTS_MAX)
		return log_errno(-EUCLEAN, "content: too many pieces in an entry");
	if (c->n_extents > r->extents_room) {
		extents = realloc(r->extents, c->n_extents * sizeof(*extents));
		if (!extents)
			return -ENOMEM;
		r->extents = extents;
		r->extents_room = c->n_extents;
	}
	memcpy(r->pieces, c->pieces, c->n_pieces * sizeof(*c->pieces));
	if (c->n_extents > 0)
		memcpy(r->extents, c->extents, c->n_extents * sizeof(*c->extents));
	r->n_pieces = c->n_pieces;
	return 0;
}

int content_reader_set(struct content_reader *r, const struct content *content)
{
	int x = 0;

	/* The same list again (one file, many reads): its nodes stay. */
	if (content->form == CONTENT_LIST && r->form == CONTENT_LIST && r->n_steps > 0 &&
	    chunk_id_equal(&content->list, &r->list) && content->length == r->length)
		return content_reader_seek(r, 0);
	drop_steps(r, 0);
	r->has_view = false;
	r->form = CONTENT_EMPTY;
	r->length = content->length;
	r->n_pieces = 0;
	r->next = r->next_extent = 0;
	r->next_offset = 0;
	if (content->form == CONTENT_INLINE)
		x = set_inline(r, content);
	if (content->form == CONTENT_LIST) {
		r->list = content->list;
		x = push_step(r, &r->list, NULL);
		if (x == 0)
			r->n_pieces = r->steps[0].view.pieces;
	}
	if (x < 0) {
		r->length = 0;
		return x;
	}
	r->form = content->form;
	return 0;
}

uint64_t content_reader_count(const struct content_reader *r)
{
	return r->n_pieces;
}

/* ---- stepping ---- */

static int inline_next(struct content_reader *r, struct piece_view *v)
{
	if (r->next == r->n_pieces)
		return 0;
	v->offset = r->next_offset;
	v->index = r->next;
	v->piece = r->pieces[r->next];
	v->extents = r->extents + r->next_extent;
	r->next_offset += v->piece.length;
	r->next_extent += v->piece.n_extents;
	r->next++;
	return 1;
}

/* Past what was just finished below step `s`. */
static void step_over(struct list_step *s, uint64_t length, uint64_t pieces)
{
	s->i++;
	s->offset += length;
	s->index += pieces;
}

/* Leave nodes that are used up. Returns 0 at the end of the list. */
static int climb(struct content_reader *r)
{
	struct list_step *s = &r->steps[r->n_steps - 1];

	while (s->i == s->view.count) {
		if (r->n_steps == 1)
			return 0;
		drop_steps(r, r->n_steps - 1);
		step_over(s - 1, s->view.length, s->view.pieces);
		s--;
	}
	return 1;
}

/* From the current node down to a leaf, each time to the child that comes next. */
static int descend(struct content_reader *r)
{
	struct list_step *s = &r->steps[r->n_steps - 1];

	while (s->view.level > 0) {
		struct list_child child, after;
		int x;

		list_view_child(&s->view, s->i, &child);
		x = push_step(r, &child.id, &child);
		if (x < 0)
			return x;
		if (s->view.level == 1 && s->i + 1 < s->view.count) {
			list_view_child(&s->view, s->i + 1, &after);
			chunk_cache_prefetch(r->cache, &after.id, OBJECT_LIST);
		}
		s++;
	}
	return 0;
}

static int list_next(struct content_reader *r, struct piece_view *v)
{
	struct list_step *s;
	int x;

	x = climb(r);
	if (x <= 0)
		return x;
	x = descend(r);
	if (x < 0)
		return x;
	s = &r->steps[r->n_steps - 1];
	x = list_view_piece(&s->view, s->i, &v->piece, r->list_extents);
	if (x < 0)
		return list_bad(&r->list, "a leaf below it has a malformed piece");
	v->offset = s->offset;
	v->index = s->index;
	v->extents = r->list_extents;
	step_over(s, v->piece.length, 1);
	return 1;
}

int content_reader_next(struct content_reader *r, struct piece_view *ret_view)
{
	int x = 0;

	r->has_view = false;
	if (r->form == CONTENT_INLINE)
		x = inline_next(r, &r->view);
	else if (r->form == CONTENT_LIST)
		x = list_next(r, &r->view);
	if (x <= 0)
		return x;
	r->has_view = true;
	*ret_view = r->view;
	return 1;
}

static void inline_seek(struct content_reader *r, uint64_t offset)
{
	r->next = r->next_extent = 0;
	r->next_offset = 0;
	while (r->next < r->n_pieces && offset - r->next_offset >= r->pieces[r->next].length) {
		r->next_offset += r->pieces[r->next].length;
		r->next_extent += r->pieces[r->next].n_extents;
		r->next++;
	}
}

/* Within one node, to the child or piece that covers the offset. */
static int step_seek(struct list_step *s, uint64_t offset)
{
	while (s->i < s->view.count) {
		struct list_child child = { .pieces = 1 };
		bool hole;

		if (s->view.level > 0)
			list_view_child(&s->view, s->i, &child);
		else if (list_view_peek(&s->view, s->i, &child.length, &hole) < 0)
			return -EUCLEAN;
		if (offset - s->offset < child.length)
			return 0;
		step_over(s, child.length, child.pieces);
	}
	return 0;
}

static void step_rewind(struct list_step *s, const struct list_step *parent)
{
	s->i = 0;
	s->offset = parent ? parent->offset : 0;
	s->index = parent ? parent->index : 0;
}

static int list_seek(struct content_reader *r, uint64_t offset)
{
	struct list_step *s;
	int x;

	/* Up to a node that covers the offset, then down. */
	while (r->n_steps > 1) {
		const struct list_step *parent = &r->steps[r->n_steps - 2];
		const struct list_step *node = parent + 1;

		if (offset >= parent->offset && offset - parent->offset < node->view.length)
			break;
		drop_steps(r, r->n_steps - 1);
	}
	s = &r->steps[r->n_steps - 1];
	if (offset < s->offset || s->i == s->view.count)
		step_rewind(s, r->n_steps > 1 ? s - 1 : NULL);
	x = step_seek(s, offset);
	while (x == 0 && s->view.level > 0 && s->i < s->view.count) {
		struct list_child child;

		list_view_child(&s->view, s->i, &child);
		x = push_step(r, &child.id, &child);
		if (x < 0)
			return x;
		s++;
		x = step_seek(s, offset);
	}
	return x < 0 ? list_bad(&r->list, "a leaf below it has a malformed piece") : 0;
}

int content_reader_seek(struct content_reader *r, uint64_t offset)
{
	r->has_view = false;
	if (r->form == CONTENT_INLINE)
		inline_seek(r, offset);
	if (r->form == CONTENT_LIST)
		return list_seek(r, offset);
	return 0;
}

/* ---- bytes ---- */

void content_unpin(struct content_reader *r)
{
	for (uint32_t i = 0; i < r->n_pins; i++)
		chunk_cache_unpin(r->cache, &r->pins[i].pin);
	r->n_pins = 0;
	r->oldest_pin = 0;
}

/* A place for one more pin: when there are enough, the oldest one's, unless all are to be kept. */
static struct data_pin *free_pin(struct content_reader *r, bool keep)
{
	struct data_pin *p;

	if (r->n_pins < (keep ? PINS_MAX : PINS)) {
		p = &r->pins[r->n_pins++];
		p->pin = (struct chunk_pin){ 0 };
		return p;
	}
	if (keep)
		return NULL;
	p = &r->pins[r->oldest_pin];
	r->oldest_pin = (r->oldest_pin + 1) % PINS;
	chunk_cache_unpin(r->cache, &p->pin);
	return p;
}

static int get_chunk(struct content_reader *r, const struct chunk_id *id, bool keep,
		     struct chunk_pin *ret_pin)
{
	struct data_pin *p;
	int x;

	for (uint32_t i = 0; i < r->n_pins; i++) {
		if (r->pins[i].pin.slot && chunk_id_equal(&r->pins[i].id, id)) {
			*ret_pin = r->pins[i].pin;
			return 0;
		}
	}
	p = free_pin(r, keep);
	if (!p)
		return -EFBIG;
	x = chunk_cache_get(r->cache, id, OBJECT_DATA, &p->pin);
	if (x < 0)
		return x;
	p->id = *id;
	*ret_pin = p->pin;
	return 0;
}

static int sink_bytes(struct byte_sink *sink, const uint8_t *data, size_t n)
{
	if (sink->to) {
		memcpy(sink->to, data, n);
		sink->to += n;
		return 0;
	}
	if (sink->n_spans == CONTENT_SPANS_MAX)
		return -EFBIG;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a sink has `to` or `spans` */
	sink->spans[sink->n_spans++] =
		(struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = n };
	return 0;
}

static int sink_zeros(struct byte_sink *sink, size_t n)
{
	if (!sink->to)
		return -EFBIG;
	memset(sink->to, 0, n);
	sink->to += n;
	return 0;
}

/* Put the bytes [from, from + n) of a piece. */
static int sink_piece(struct content_reader *r, const struct piece_view *v, uint64_t from, size_t n,
		      struct byte_sink *sink)
{
	uint64_t start = 0; /* of the extent, within the piece */

	if (piece_is_hole(&v->piece))
		return sink_zeros(sink, n);
	for (uint32_t i = 0; i < v->piece.n_extents && n > 0; i++) {
		const struct extent *e = &v->extents[i];
		struct chunk_pin pin;
		uint64_t skip;
		size_t part;
		int x;

		start += e->length;
		if (start <= from)
			continue;
		skip = from - (start - e->length);
		part = e->length - skip < n ? (size_t)(e->length - skip) : n;
		x = get_chunk(r, &e->chunk, !sink->to, &pin);
		if (x < 0)
			return x;
		if ((uint64_t)e->offset + e->length > pin.n)
			return log_errno(-EUCLEAN,
					 "content: a chunk is shorter than an extent of it");
		x = sink_bytes(sink, pin.data + e->offset + skip, part);
		if (x < 0)
			return x;
		from += part;
		n -= part;
	}
	return n == 0 ? 0 : log_errno(-EUCLEAN, "content: a piece longer than its extents");
}

/* The piece that covers the offset: the one at hand, the next one, or by a search. */
static int find_piece(struct content_reader *r, uint64_t offset, struct piece_view *v)
{
	int x;

	if (r->has_view) {
		*v = r->view;
		if (offset >= v->offset && offset - v->offset < v->piece.length)
			return 0;
		if (offset >= v->offset && offset - v->offset == v->piece.length) {
			x = content_reader_next(r, v);
			return x == 0 ? -EUCLEAN : x;
		}
	}
	x = content_reader_seek(r, offset);
	if (x < 0)
		return x;
	x = content_reader_next(r, v);
	return x == 0 ? -EUCLEAN : x;
}

static int64_t sink_range(struct content_reader *r, uint64_t offset, size_t n,
			  struct byte_sink *sink)
{
	size_t done = 0;
	int x = 0;

	if (offset >= r->length)
		return 0;
	if (n > r->length - offset)
		n = (size_t)(r->length - offset);
	while (done < n) {
		struct piece_view v;
		uint64_t skip;
		size_t part;

		x = find_piece(r, offset + done, &v);
		if (x < 0)
			break;
		skip = offset + done - v.offset;
		part = v.piece.length - skip < n - done ? (size_t)(v.piece.length - skip)
							: n - done;
		x = sink_piece(r, &v, skip, part, sink);
		if (x < 0)
			break;
		done += part;
	}
	return x < 0 ? x : (int64_t)done;
}

int64_t content_read(struct content_reader *r, uint64_t offset, void *to, size_t n)
{
	struct byte_sink sink = { .to = to };
	const int64_t x = sink_range(r, offset, n, &sink);

	content_unpin(r);
	return x;
}

int64_t content_pin(struct content_reader *r, uint64_t offset, size_t n,
		    struct iovec ret_spans[static CONTENT_SPANS_MAX], uint32_t *ret_n_spans)
{
	struct byte_sink sink = { .spans = ret_spans };
	const int64_t x = sink_range(r, offset, n, &sink);

	if (x < 0)
		content_unpin(r);
	else
		*ret_n_spans = sink.n_spans;
	return x;
}

int content_read_piece(struct content_reader *r, const struct piece_view *view, void *to)
{
	struct byte_sink sink = { .to = to };
	const int x = sink_piece(r, view, 0, (size_t)view->piece.length, &sink);

	content_unpin(r);
	return x;
}

/* ---- holes ---- */

/* Step over children that hold no hole at all. */
static int skip_data(struct content_reader *r)
{
	while (r->form == CONTENT_LIST && climb(r) > 0) {
		struct list_step *s = &r->steps[r->n_steps - 1];
		struct list_child child;
		int x;

		if (s->view.level == 0)
			return 0;
		list_view_child(&s->view, s->i, &child);
		if (child.holes == 0) {
			step_over(s, child.length, child.pieces);
			continue;
		}
		x = push_step(r, &child.id, &child);
		if (x < 0)
			return x;
	}
	return 0;
}

int64_t content_seek_hole(struct content_reader *r, uint64_t offset, bool hole)
{
	struct piece_view v;
	int x;

	if (offset >= r->length)
		return -ENXIO;
	x = find_piece(r, offset, &v);
	while (x >= 0) {
		if (piece_is_hole(&v.piece) == hole)
			return (int64_t)(v.offset > offset ? v.offset : offset);
		x = hole ? skip_data(r) : 0;
		if (x == 0)
			x = content_reader_next(r, &v);
		if (x == 0)
			return hole ? (int64_t)r->length : -ENXIO;
	}
	return x;
}
