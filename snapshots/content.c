/* SPDX-License-Identifier: MIT */
#include "snapshots/content_internal.h"

#include <assert.h>
#include <errno.h>

#define TABLE_SLOTS 4096u
#define TABLE_IDS_MAX (NODE_BYTES_MAX / 32u)
#define ZERO_PROBE 16u

/* What the low two bits of a piece's first number say. */
enum piece_form {
	PIECE_HOLE = 0, /* the number is 0; the length follows */
	PIECE_OWN = 1,  /* stored whole as the chunk of the same id */
	PIECE_ONE = 2,  /* one extent */
	PIECE_SEVERAL = 3,
};

static_assert(TABLE_IDS_MAX * 2 <= TABLE_SLOTS, "the table stays at most half full");
static_assert(CHUNK_RAW_MAX < 1u << 28, "a piece's head fits 5 bytes");

void chunk_table_done(struct chunk_table *t)
{
	free(t->ids);
	free(t->slots);
	*t = (struct chunk_table){ 0 };
}

static uint32_t table_slot(const struct chunk_table *t, const struct chunk_id *id)
{
	uint32_t slot = (uint32_t)(id->bytes[4] | id->bytes[5] << 8) % TABLE_SLOTS;

	while (t->slots[slot] != 0 && !chunk_id_equal(&t->ids[t->slots[slot] - 1], id))
		slot = (slot + 1) % TABLE_SLOTS;
	return slot;
}

/* Newest first: with linear probing the newest is always the end of its run. */
void chunk_table_truncate(struct chunk_table *t, uint32_t n)
{
	while (t->n > n) {
		t->slots[table_slot(t, &t->ids[t->n - 1])] = 0;
		t->n--;
	}
	t->last = 0;
}

static int table_grow(struct chunk_table *t)
{
	const uint32_t room = t->room ? t->room * 2 : 64;
	struct chunk_id *ids;

	if (!t->slots) {
		t->slots = calloc(TABLE_SLOTS, sizeof(*t->slots));
		if (!t->slots)
			return -ENOMEM;
	}
	if (t->n >= TABLE_IDS_MAX)
		return -EFBIG;
	ids = realloc(t->ids, room * sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	t->ids = ids;
	t->room = room;
	return 0;
}

int32_t chunk_table_put(struct chunk_table *t, const struct chunk_id *id)
{
	uint32_t slot;

	if (t->n > 0 && chunk_id_equal(&t->ids[t->last], id))
		return (int32_t)t->last;
	if (t->n == t->room) {
		const int r = table_grow(t);

		if (r < 0)
			return r;
	}
	slot = table_slot(t, id);
	if (t->slots[slot] == 0) {
		t->ids[t->n++] = *id;
		t->slots[slot] = (uint16_t)t->n;
	}
	t->last = t->slots[slot] - 1u;
	return (int32_t)t->last;
}

static bool extents_valid(const struct piece *p, const struct extent *extents)
{
	const struct chunk_id *seen[PIECE_CHUNKS_MAX];
	uint32_t n_seen = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->n_extents; i++) {
		const struct extent *e = &extents[i];
		uint32_t k = 0;

		if (e->length == 0 || e->length > CHUNK_RAW_MAX || e->offset > CHUNK_RAW_MAX ||
		    e->offset + e->length > CHUNK_RAW_MAX)
			return false;
		sum += e->length;
		while (k < n_seen && !chunk_id_equal(seen[k], &e->chunk))
			k++;
		if (k < n_seen)
			continue;
		if (n_seen == PIECE_CHUNKS_MAX)
			return false;
		seen[n_seen++] = &e->chunk;
	}
	return sum == p->length;
}

bool piece_valid(const struct piece *p, const struct extent *extents)
{
	if (p->length == 0)
		return false;
	if (piece_is_hole(p))
		return p->length <= INT64_MAX && chunk_id_is_zero(&p->id);
	if (p->length > CHUNK_RAW_MAX || p->n_extents > PIECE_EXTENTS_MAX ||
	    chunk_id_is_zero(&p->id))
		return false;
	return extents_valid(p, extents);
}

static enum piece_form piece_form(const struct piece *p, const struct extent *extents)
{
	if (piece_is_hole(p))
		return PIECE_HOLE;
	if (p->n_extents > 1)
		return PIECE_SEVERAL;
	return extents[0].offset == 0 && chunk_id_equal(&extents[0].chunk, &p->id) ? PIECE_OWN
										   : PIECE_ONE;
}

uint8_t *piece_put(uint8_t *to, struct chunk_table *t, const struct piece *p,
		   const struct extent *extents)
{
	const enum piece_form form = piece_form(p, extents);

	if (form == PIECE_HOLE)
		return put_varint(put_varint(to, PIECE_HOLE), p->length);
	to = put_varint(to, p->length << 2 | form);
	to = put_bytes(to, p->id.bytes, sizeof(p->id.bytes));
	if (form == PIECE_OWN)
		return to;
	if (form == PIECE_SEVERAL)
		to = put_varint(to, p->n_extents);
	for (uint32_t i = 0; i < p->n_extents; i++) {
		const int32_t chunk = chunk_table_put(t, &extents[i].chunk);

		if (chunk < 0)
			return NULL;
		to = put_varint(to, (uint32_t)chunk);
		to = put_varint(to, extents[i].offset);
		if (i + 1 < p->n_extents)
			to = put_varint(to, extents[i].length);
	}
	return to;
}

int piece_peek(struct byte_reader *r, uint64_t *ret_length, bool *ret_hole)
{
	const uint64_t head = get_varint(r);
	uint64_t length = head >> 2;

	*ret_hole = head == PIECE_HOLE;
	if (*ret_hole)
		length = get_varint(r);
	*ret_length = length;
	if (r->bad || length == 0 || length > (*ret_hole ? (uint64_t)INT64_MAX : CHUNK_RAW_MAX) ||
	    (!*ret_hole && (head & 3) == PIECE_HOLE))
		return -EUCLEAN;
	return 0;
}

static int extents_get(struct byte_reader *r, const struct chunk_list *chunks,
		       const struct piece *p, struct extent *to)
{
	uint64_t left = p->length;

	for (uint32_t i = 0; i < p->n_extents; i++) {
		const uint64_t chunk = get_varint(r);
		const uint64_t offset = get_varint(r);
		const uint64_t length = i + 1 < p->n_extents ? get_varint(r) : left;

		if (r->bad || chunk >= chunks->n || length == 0 || length > left ||
		    offset > CHUNK_RAW_MAX || offset + length > CHUNK_RAW_MAX)
			return -EUCLEAN;
		memcpy(&to[i].chunk, chunks->ids + chunk * sizeof(to[i].chunk),
		       sizeof(to[i].chunk));
		to[i].offset = (uint32_t)offset;
		to[i].length = (uint32_t)length;
		left -= length;
	}
	return p->n_extents > 1 && !extents_valid(p, to) ? -EUCLEAN : 0;
}

int piece_get(struct byte_reader *r, const struct chunk_list *chunks, struct piece *ret_piece,
	      struct extent *extents)
{
	const uint8_t *first = r->at;
	const uint8_t *id;
	bool hole;
	int x;

	x = piece_peek(r, &ret_piece->length, &hole);
	if (x < 0)
		return x;
	if (hole) {
		memset(&ret_piece->id, 0, sizeof(ret_piece->id));
		ret_piece->n_extents = 0;
		return 0;
	}
	id = get_take(r, sizeof(ret_piece->id));
	if (!id)
		return -EUCLEAN;
	memcpy(&ret_piece->id, id, sizeof(ret_piece->id));
	if (chunk_id_is_zero(&ret_piece->id))
		return -EUCLEAN;
	ret_piece->n_extents = 1;
	if ((*first & 3) == PIECE_OWN) {
		extents[0] = (struct extent){ .chunk = ret_piece->id,
					      .length = (uint32_t)ret_piece->length };
		return 0;
	}
	if ((*first & 3) == PIECE_SEVERAL) {
		const uint64_t n = get_varint(r);

		if (r->bad || n < 2 || n > PIECE_EXTENTS_MAX)
			return -EUCLEAN;
		ret_piece->n_extents = (uint32_t)n;
	}
	return extents_get(r, chunks, ret_piece, extents);
}

void content_chain(struct id_hasher *h, struct chunk_id *acc, const struct chunk_id *id,
		   uint64_t length)
{
	uint8_t link[sizeof(acc->bytes) + sizeof(id->bytes) + 8];
	uint8_t *at = put_bytes(link, acc->bytes, sizeof(acc->bytes));

	at = put_bytes(at, id->bytes, sizeof(id->bytes));
	(void)put_u64(at, length);
	id_hasher_run(h, link, sizeof(link), acc);
}

bool bytes_are_zero(const void *data, size_t n)
{
	const uint8_t *at = data;
	const size_t probe = n < ZERO_PROBE ? n : ZERO_PROBE;

	for (size_t i = 0; i < probe; i++) {
		if (at[i] != 0)
			return false;
	}
	/* Each byte equals the one 16 before it, and the first 16 are zero. */
	return n <= ZERO_PROBE || memcmp(at, at + ZERO_PROBE, n - ZERO_PROBE) == 0;
}
