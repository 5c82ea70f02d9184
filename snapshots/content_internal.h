/* SPDX-License-Identifier: MIT */
/*
 * content_internal: how pieces, extents and list nodes are encoded. Shared by
 * content, tree_node and their tests only. Bytes: yore-format(5), "Content".
 */
#ifndef SNAPSHOTS_CONTENT_INTERNAL_H
#define SNAPSHOTS_CONTENT_INTERNAL_H

#include "snapshots/content.h"
#include "store/base/bytes.h"

#include <string.h>

#define NODE_FORMAT 1u
#define NODE_HEADER_BYTES 6u /* format, level, LE16 count, LE16 chunks */

/* Most bytes that one piece, or one of its extents, takes. */
#define PIECE_BYTES_MAX 48u
#define EXTENT_BYTES_MAX 9u
#define VARINT_MAX 10u

/* List nodes are cut after an id whose first byte, masked, is zero. */
#define LIST_LEAF_MIN 64u
#define LIST_LEAF_MASK 0xffu
#define LIST_INNER_MIN 16u
#define LIST_INNER_MASK 0x3fu
#define LIST_HEADER_BYTES (NODE_HEADER_BYTES + 24u)
#define LIST_CHILD_BYTES (32u + 24u)

/* ---- integers, inline because every entry takes a dozen of them ---- */
static inline uint8_t *put_u16(uint8_t *to, uint16_t v)
{
	to[0] = (uint8_t)v;
	to[1] = (uint8_t)(v >> 8);
	return to + 2;
}

static inline uint8_t *put_u32(uint8_t *to, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
	return to + 4;
}

static inline uint8_t *put_u64(uint8_t *to, uint64_t v)
{
	for (unsigned int i = 0; i < 8; i++)
		to[i] = (uint8_t)(v >> (8 * i));
	return to + 8;
}

static inline uint8_t *put_varint(uint8_t *to, uint64_t v)
{
	while (v >= 0x80) {
		*to++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*to++ = (uint8_t)v;
	return to;
}

static inline uint8_t *put_zigzag(uint8_t *to, int64_t v)
{
	return put_varint(to, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

static inline uint8_t *put_bytes(uint8_t *to, const void *data, size_t n)
{
	if (n > 0)
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): n bytes are there */
		memcpy(to, data, n);
	return to + n;
}

static inline uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint64_t get_u64(const uint8_t *at)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static inline uint64_t get_varint(struct byte_reader *r)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	if (r->at < r->end && *r->at < 0x80)
		return *r->at++;
	return byte_reader_varint(r);
}

static inline int64_t get_zigzag(struct byte_reader *r)
{
	const uint64_t v = get_varint(r);

	return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static inline const uint8_t *get_take(struct byte_reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (n > (size_t)(r->end - at)) {
		r->bad = true;
		return NULL;
	}
	r->at = at + n;
	return at;
}

/* ---- ids ---- */
static inline bool chunk_id_is_zero(const struct chunk_id *id)
{
	static const struct chunk_id zero;

	return memcmp(id, &zero, sizeof(zero)) == 0;
}

static inline bool chunk_id_equal(const struct chunk_id *a, const struct chunk_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- the table of chunks at the front of a leaf ---- */
struct chunk_table {
	struct chunk_id *ids;
	uint32_t n;
	uint32_t room;
	uint32_t last;   /* most extents use the chunk of the one before */
	uint16_t *slots; /* open addressing: index + 1, or 0 */
};

void chunk_table_done(struct chunk_table *t);
/** Forget all ids from number n on. */
void chunk_table_truncate(struct chunk_table *t, uint32_t n);
/** Number of an id, added if new. Returns it, -ENOMEM, or -EFBIG when no node could hold more. */
int32_t chunk_table_put(struct chunk_table *t, const struct chunk_id *id);

/* The same table as a reader sees it: n ids, one after another. */
struct chunk_list {
	const uint8_t *ids;
	uint32_t n;
};

/* ---- pieces ---- */
/** Is this a piece that may be stored: lengths, sums, counts? */
bool piece_valid(const struct piece *p, const struct extent *extents);
/**
 * Encode a valid piece at `to` (room for PIECE_BYTES_MAX + n_extents *
 * EXTENT_BYTES_MAX). Returns the end, or NULL when the table is out of memory or room.
 */
uint8_t *piece_put(uint8_t *to, struct chunk_table *t, const struct piece *p,
		   const struct extent *extents);
/** Length alone of the piece at the reader, and whether it is a hole. 0 or -EUCLEAN. */
int piece_peek(struct byte_reader *r, uint64_t *ret_length, bool *ret_hole);
/** Read a piece; `extents` has room for PIECE_EXTENTS_MAX. 0 or -EUCLEAN. */
int piece_get(struct byte_reader *r, const struct chunk_list *chunks, struct piece *ret_piece,
	      struct extent *extents);

/* ---- content ids ---- */
/** acc = H(acc || id || LE64(length)). */
void content_chain(struct id_hasher *h, struct chunk_id *acc, const struct chunk_id *id,
		   uint64_t length);

/* ---- list nodes ---- */
struct list_view {
	const uint8_t *data;
	uint32_t level;
	uint32_t count;
	uint64_t pieces; /* below, all levels */
	uint64_t holes;
	uint64_t length;
	struct chunk_list chunks;
	const uint8_t *body;
	uint32_t body_n;
	const uint8_t *offsets; /* leaf */
};

struct list_child {
	struct chunk_id id;
	uint64_t length;
	uint64_t pieces;
	uint64_t holes;
};

/** Check a node's frame and its sums. `data` is borrowed. 0 or -EUCLEAN. */
int list_view_init(struct list_view *v, const void *data, size_t n);
/** Child i of an inner node. */
void list_view_child(const struct list_view *v, uint32_t i, struct list_child *ret_child);
/** Length of piece i of a leaf, and whether it is a hole. 0 or -EUCLEAN. */
int list_view_peek(const struct list_view *v, uint32_t i, uint64_t *ret_length, bool *ret_hole);
/** Piece i of a leaf; `extents` has room for PIECE_EXTENTS_MAX. 0 or -EUCLEAN. */
int list_view_piece(const struct list_view *v, uint32_t i, struct piece *ret_piece,
		    struct extent *extents);
/** Check a whole node, every piece of it. 0 or -EUCLEAN. */
int list_view_check(const struct list_view *v);

/* Writes the list tree of one content, piece by piece. */
struct list_writer;
int list_writer_new(struct object_sink *sink, struct list_writer **ret_writer);
void list_writer_free(struct list_writer *w);
CLEANUP_DEFINE(struct list_writer, list_writer_free)
void list_writer_reset(struct list_writer *w);
/** Append a valid piece. */
int list_writer_add(struct list_writer *w, const struct piece *piece, const struct extent *extents);
/** Finish with at least one piece added; starts afresh. */
int list_writer_finish(struct list_writer *w, struct chunk_id *ret_root);

#endif
