/* SPDX-License-Identifier: MIT */
/* Nodes: the frame around entries and children. Entries themselves: tree_entry.c. */
#include "snapshots/tree_internal.h"

#include <assert.h>
#include <errno.h>

#define INNER_HEADER_BYTES (NODE_HEADER_BYTES + 8u) /* LE64 total */
#define CHILD_BYTES_MAX (1u + NAME_BYTES_MAX + 32u + VARINT_MAX)

int name_compare(const char *a, uint32_t a_n, const char *b, uint32_t b_n)
{
	const int order = memcmp(a, b, a_n < b_n ? a_n : b_n);

	return order != 0 ? order : (a_n > b_n) - (a_n < b_n);
}

/* ---- reading ---- */

/* Bytes of item i. */
static inline int item_span(const struct node_view *v, uint32_t i, const uint8_t **ret_at,
			    uint32_t *ret_n)
{
	const uint32_t from = get_u16(v->offsets + (size_t)i * 2);
	const uint32_t to =
		i + 1 < v->count ? get_u16(v->offsets + ((size_t)i + 1) * 2) : v->body_n;

	assert(i < v->count);
	if (from >= to || to > v->body_n || (i == 0 && from != 0))
		return -EUCLEAN;
	*ret_at = v->body + from;
	*ret_n = to - from;
	return 0;
}

/* Name of item i, within bounds but not yet checked as a name. */
static inline int item_name(const struct node_view *v, uint32_t i, const char **ret_name,
			    uint32_t *ret_n)
{
	const uint8_t *at;
	uint32_t n;

	if (item_span(v, i, &at, &n) < 0 || n < 1u + at[0])
		return -EUCLEAN;
	*ret_name = (const char *)at + 1;
	*ret_n = at[0];
	return 0;
}

int node_view_init(struct node_view *v, const void *data, size_t n)
{
	const uint8_t *at = data;
	uint64_t sum;
	size_t fixed;

	if (n < NODE_HEADER_BYTES || n > NODE_BYTES_MAX || at[0] != NODE_FORMAT)
		return -EUCLEAN;
	*v = (struct node_view){ .data = data,
				 .n = (uint32_t)n,
				 .level = at[1],
				 .count = get_u16(at + 2),
				 .n_chunks = get_u16(at + 4) };
	if (v->level >= TREE_LEVELS_MAX || v->count == 0 || (v->level > 0 && v->n_chunks > 0))
		return -EUCLEAN;
	fixed = v->level > 0 ? INNER_HEADER_BYTES
			     : NODE_HEADER_BYTES + (size_t)v->n_chunks * sizeof(struct chunk_id);
	if (n <= fixed + (size_t)v->count * 2)
		return -EUCLEAN;
	v->chunks = at + NODE_HEADER_BYTES;
	v->body = at + fixed;
	v->body_n = (uint32_t)(n - fixed - (size_t)v->count * 2);
	v->offsets = v->body + v->body_n;
	v->total = v->count;
	if (v->level == 0)
		return 0;
	v->total = get_u64(at + NODE_HEADER_BYTES);
	if (node_view_before(v, v->count, &sum) < 0)
		return -EUCLEAN;
	return sum == v->total ? 0 : -EUCLEAN;
}

int node_view_entry(const struct node_view *v, uint32_t i, struct entry_decoder *d,
		    struct tree_entry *ret_entry)
{
	const struct chunk_list chunks = { .ids = v->chunks, .n = v->n_chunks };
	const uint8_t *at;
	uint32_t n;

	assert(v->level == 0);
	if (item_span(v, i, &at, &n) < 0)
		return -EUCLEAN;
	return entry_get(at, n, &chunks, false, d, ret_entry);
}

int node_view_name(const struct node_view *v, uint32_t i, const char **ret_name, uint32_t *ret_n)
{
	const char *name;
	uint32_t n;

	if (item_name(v, i, &name, &n) < 0 || !name_valid(name, n))
		return -EUCLEAN;
	*ret_name = name;
	*ret_n = n;
	return 0;
}

static inline int child_get(const struct node_view *v, uint32_t i, const uint8_t **ret_id,
			    uint64_t *ret_total)
{
	struct byte_reader r;
	const uint8_t *at;
	uint32_t n;

	if (item_span(v, i, &at, &n) < 0)
		return -EUCLEAN;
	r = byte_reader_make(at, n);
	(void)get_take(&r, 1u + at[0]);
	*ret_id = get_take(&r, sizeof(struct chunk_id));
	*ret_total = get_varint(&r);
	return byte_reader_done(&r) && *ret_total > 0 ? 0 : -EUCLEAN;
}

int node_view_child(const struct node_view *v, uint32_t i, struct chunk_id *ret_id,
		    uint64_t *ret_total)
{
	const uint8_t *id;
	uint64_t total;

	assert(v->level > 0);
	if (child_get(v, i, &id, &total) < 0)
		return -EUCLEAN;
	memcpy(ret_id, id, sizeof(*ret_id));
	*ret_total = total;
	return 0;
}

int node_view_before(const struct node_view *v, uint32_t i, uint64_t *ret_sum)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < i; k++) {
		const uint8_t *id;
		uint64_t total;

		if (child_get(v, k, &id, &total) < 0 || __builtin_add_overflow(sum, total, &sum))
			return -EUCLEAN;
	}
	*ret_sum = sum;
	return 0;
}

int64_t node_view_search(const struct node_view *v, const char *name, uint32_t n, bool *ret_equal)
{
	uint32_t low = 0, high = v->count;
	bool equal = false;

	/* Names before `low` are smaller, those from `high` on are not. */
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;
		const char *here;
		uint32_t here_n;
		int order;

		if (item_name(v, middle, &here, &here_n) < 0)
			return -EUCLEAN;
		order = name_compare(here, here_n, name, n);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
		equal |= order == 0;
	}
	if (ret_equal)
		*ret_equal = equal;
	/* A child holds what lies between its first name and the next child's. */
	if (v->level > 0 && !equal && low > 0)
		low--;
	return low;
}

int node_view_check(const struct node_view *v)
{
	struct entry_decoder d = { 0 };
	const char *last = NULL;
	uint32_t last_n = 0;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < v->count; i++) {
		struct tree_entry e;
		const char *name = NULL;
		uint32_t n = 0;

		r = node_view_name(v, i, &name, &n);
		if (r == 0 && last && name_compare(last, last_n, name, n) >= 0)
			r = -EUCLEAN;
		if (r == 0 && v->level == 0) {
			r = node_view_entry(v, i, &d, &e);
			if (r == 0 && !entry_valid(&e, false))
				r = -EUCLEAN;
		}
		last = name;
		last_n = n;
	}
	entry_decoder_done(&d);
	return r;
}

/* ---- writing ---- */

struct node_builder {
	uint32_t level;
	uint32_t count;
	uint64_t total;
	struct chunk_table table;
	struct byte_buf body;
	struct byte_buf offsets;
	struct byte_buf node;
	uint32_t last; /* where the newest item begins in the body */
};

int node_builder_new(uint32_t level, struct node_builder **ret_builder)
{
	struct node_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->level = level;
	*ret_builder = b;
	return 0;
}

void node_builder_free(struct node_builder *b)
{
	if (!b)
		return;
	chunk_table_done(&b->table);
	byte_buf_done(&b->body);
	byte_buf_done(&b->offsets);
	byte_buf_done(&b->node);
	free(b);
}

void node_builder_reset(struct node_builder *b, uint32_t level)
{
	chunk_table_truncate(&b->table, 0);
	byte_buf_clear(&b->body);
	byte_buf_clear(&b->offsets);
	b->level = level;
	b->count = 0;
	b->total = 0;
	b->last = 0;
}

uint32_t node_builder_count(const struct node_builder *b)
{
	return b->count;
}

size_t node_builder_bytes(const struct node_builder *b)
{
	const size_t header = b->level > 0 ? INNER_HEADER_BYTES : NODE_HEADER_BYTES;

	return header + (size_t)b->table.n * sizeof(struct chunk_id) + b->body.n + b->offsets.n;
}

static bool name_follows(const struct node_builder *b, const char *name, uint32_t n)
{
	const uint8_t *last;

	if (b->count == 0)
		return true;
	last = b->body.data + b->last;
	return name_compare((const char *)last + 1, last[0], name, n) < 0;
}

/* Take the bytes up to `end` (NULL: it failed) as the next item, or leave everything as it was. */
static int take_item(struct node_builder *b, const uint8_t *end, uint32_t n_chunks)
{
	const size_t before = b->body.n;

	if (end) {
		byte_buf_u16(&b->offsets, (uint16_t)before);
		b->body.n = (size_t)(end - b->body.data);
	}
	if (end && !b->offsets.failed && node_builder_bytes(b) <= NODE_BYTES_MAX) {
		b->last = (uint32_t)before;
		b->count++;
		return 0;
	}
	b->body.n = before;
	chunk_table_truncate(&b->table, n_chunks);
	if (!end || b->offsets.failed)
		return -ENOMEM;
	b->offsets.n -= 2;
	return -EFBIG;
}

int node_builder_add_entry(struct node_builder *b, const struct tree_entry *entry)
{
	const uint32_t n_chunks = b->table.n;
	uint8_t *to;
	int r;

	assert(b->level == 0);
	if (!entry_valid(entry, false) || !name_follows(b, entry->name, entry->name_n))
		return -EINVAL;
	/* A table without room left is a full node as well. */
	if (n_chunks + INLINE_PIECES_MAX * PIECE_CHUNKS_MAX >
	    NODE_BYTES_MAX / sizeof(struct chunk_id))
		return -EFBIG;
	to = byte_buf_reserve(&b->body, entry_bytes_max(entry));
	if (!to)
		return -ENOMEM;
	r = take_item(b, entry_put(to, &b->table, entry), n_chunks);
	if (r == 0)
		b->total++;
	return r;
}

int node_builder_add_child(struct node_builder *b, const char *name, uint32_t name_n,
			   const struct chunk_id *id, uint64_t total)
{
	uint64_t sum;
	uint8_t *to;
	int r;

	assert(b->level > 0);
	if (total == 0 || __builtin_add_overflow(b->total, total, &sum) ||
	    !name_valid(name, name_n) || !name_follows(b, name, name_n))
		return -EINVAL;
	to = byte_buf_reserve(&b->body, CHILD_BYTES_MAX);
	if (!to)
		return -ENOMEM;
	*to++ = (uint8_t)name_n;
	to = put_bytes(to, name, name_n);
	to = put_bytes(to, id->bytes, sizeof(id->bytes));
	r = take_item(b, put_varint(to, total), 0);
	if (r == 0)
		b->total = sum;
	return r;
}

int node_builder_finish(struct node_builder *b, const uint8_t **ret_data, size_t *ret_n,
			uint64_t *ret_total)
{
	struct byte_buf *node = &b->node;

	if (b->count == 0)
		return -EINVAL;
	byte_buf_clear(node);
	byte_buf_u8(node, NODE_FORMAT);
	byte_buf_u8(node, (uint8_t)b->level);
	byte_buf_u16(node, (uint16_t)b->count);
	byte_buf_u16(node, (uint16_t)b->table.n);
	if (b->level > 0)
		byte_buf_u64(node, b->total);
	byte_buf_append(node, b->table.ids, (size_t)b->table.n * sizeof(*b->table.ids));
	byte_buf_append(node, b->body.data, b->body.n);
	byte_buf_append(node, b->offsets.data, b->offsets.n);
	if (node->failed)
		return -ENOMEM;
	*ret_data = node->data;
	*ret_n = node->n;
	*ret_total = b->total;
	return 0;
}
