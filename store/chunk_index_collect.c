/* SPDX-License-Identifier: MIT */
#include "store/chunk_index_collect.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/chunk_index_internal.h"

#include <errno.h>
#include <string.h>

/* ---- numbers ---- */

static int read_meta(struct chunk_index *x, const char *name, uint32_t *ret_value)
{
	uint32_t value = 0;
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_meta_get(x, txn, name, &value);
	index_read_end(x, txn);
	if (r == 0 || r == -ENOENT)
		*ret_value = value;
	return r;
}

int chunk_index_next_pack(struct chunk_index *x, uint32_t *ret_number)
{
	int r = read_meta(x, "next_pack", ret_number);

	return r == -ENOENT ? index_damage(x, DB_META) : r;
}

int chunk_index_collected(struct chunk_index *x, uint32_t *ret_next_pack)
{
	int r = read_meta(x, "collected", ret_next_pack);

	return r == -ENOENT ? 0 : r;
}

int chunk_index_note_collected(struct chunk_index *x, uint32_t next_pack)
{
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	return r < 0 ? r : index_write_end(x, txn, index_meta_put(x, txn, "collected", next_pack));
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, INDEX_KEY_BYTES);
}

/* ---- moving ---- */

struct moving {
	struct chunk_index *x;
	const struct pack_info *info;
	const struct pack_entry **entries; /* sorted by key */
	size_t n;
	const uint32_t *from;
	size_t n_from;
	uint32_t number;
};

static int compare_entries(const void *a, const void *b)
{
	const struct pack_entry *const *p = a, *const *q = b;

	return memcmp((*p)->id.bytes, (*q)->id.bytes, INDEX_KEY_BYTES);
}

static int enter_pack(struct moving *m, MDB_txn *txn)
{
	MDB_val key = { .mv_size = SHA256_BYTES, .mv_data = (void *)(uintptr_t)m->info->id.bytes };
	MDB_val value;
	int r = index_lookup(m->x, txn, DB_PACK_IDS, &key, &value);

	if (r == 0)
		m->number = index_get_u32(value.mv_data);
	if (r != -ENOENT)
		return r;
	r = index_meta_get(m->x, txn, "next_pack", &m->number);
	if (r < 0)
		return r == -ENOENT ? index_damage(m->x, DB_META) : r;
	if (m->number == UINT32_MAX)
		return -EOVERFLOW;
	r = index_meta_put(m->x, txn, "next_pack", m->number + 1);
	return r < 0 ? r : index_write_pack_line(m->x, txn, m->number, m->info);
}

/* Is the line that is there to stay? 1, 0, -errno. */
static int line_stays(const struct moving *m, MDB_txn *txn, const MDB_val *key,
		      const MDB_val *value, bool *ret_shunned)
{
	struct chunk_place place;
	uint8_t number[4];
	MDB_val pack_key = { .mv_size = sizeof(number), .mv_data = number };
	MDB_val pack;
	int r;

	if (!index_value_valid(m->x->sum_key, DB_CHUNKS, key, value))
		return 0;
	chunk_place_parse(value->mv_data, &place);
	if (bsearch(&place.pack, m->from, m->n_from, sizeof(place.pack), compare_u32)) {
		*ret_shunned = place.shunned;
		return 0;
	}
	/* What could not be relied on gives way to a copy that was just read. */
	if (place.shunned)
		return 0;
	index_number_key(number, place.pack);
	r = index_lookup(m->x, txn, DB_PACKS, &pack_key, &pack);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

static int move_line(const struct moving *m, MDB_txn *txn, MDB_cursor *cursor,
		     const struct pack_entry *e)
{
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = (void *)(uintptr_t)e->id.bytes };
	uint8_t bytes[CHUNK_VALUE_BYTES];
	MDB_val value;
	bool shunned = false;
	int r = mdb_cursor_get(cursor, &key, &value, MDB_SET);

	if (r != 0 && r != MDB_NOTFOUND)
		return index_error(r);
	if (r == 0) {
		r = line_stays(m, txn, &key, &value, &shunned);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	key = (MDB_val){ .mv_size = INDEX_KEY_BYTES, .mv_data = (void *)(uintptr_t)e->id.bytes };
	index_place_make(m->x, &key, m->number, e, shunned, bytes);
	value = (MDB_val){ .mv_size = sizeof(bytes), .mv_data = bytes };
	return index_error(mdb_cursor_put(cursor, &key, &value, 0));
}

static int move_batch(struct moving *m, size_t from, size_t to)
{
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int r = index_write_begin(m->x, &txn);

	if (r < 0)
		return r;
	if (from == 0)
		r = enter_pack(m, txn);
	if (r == 0)
		r = index_error(mdb_cursor_open(txn, m->x->dbs[DB_CHUNKS], &cursor));
	for (size_t i = from; i < to && r == 0; i++)
		r = move_line(m, txn, cursor, m->entries[i]);
	if (cursor)
		mdb_cursor_close(cursor);
	if (r < 0)
		(void)log_errno(r, "index: cannot move objects to a new pack");
	return index_write_end(m->x, txn, r);
}

int chunk_index_move(struct chunk_index *x, const struct pack_info *info,
		     const struct pack_entry *entries, size_t n, const uint32_t *from,
		     size_t n_from)
{
	CLEANUP(free_ptr) const struct pack_entry **sorted = calloc(n ? n : 1, sizeof(*sorted));
	struct moving m = {
		.x = x, .info = info, .entries = sorted, .n = n, .from = from, .n_from = n_from
	};
	int r = 0;

	assert(n > 0);
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &entries[i];
	qsort(sorted, n, sizeof(*sorted), compare_entries);
	for (size_t at = 0; at < n && r == 0; at += INDEX_BATCH_KEYS)
		r = move_batch(&m, at, n - at < INDEX_BATCH_KEYS ? n : at + INDEX_BATCH_KEYS);
	return r;
}

/* ---- condemning ---- */

/* 1: it was not condemned before, 0: it was or is not known, -errno. */
static int condemn_one(struct chunk_index *x, MDB_txn *txn, const struct pack_id *id)
{
	MDB_val key = { .mv_size = SHA256_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	uint8_t number_key[4];
	MDB_val value;
	int r = index_lookup(x, txn, DB_PACK_IDS, &key, &value);

	if (r == 0) {
		index_number_key(number_key, index_get_u32(value.mv_data));
		key = (MDB_val){ .mv_size = sizeof(number_key), .mv_data = number_key };
		r = index_set_condemned(x, txn, &key);
	}
	return r == -ENOENT ? 0 : r;
}

/* What the trusted record and its heirs lead to is as usable as before. */
static int raise_doubt_but_of_records(struct chunk_index *x, MDB_txn *txn)
{
	uint32_t generation = 0, trusted = 0;
	int r = index_meta_get(x, txn, "generation", &generation);

	if (r == 0 || r == -ENOENT)
		r = index_meta_get(x, txn, "trusted_generation", &trusted);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && trusted == generation)
		r = index_meta_put(x, txn, "trusted_generation", generation + 1);
	return r < 0 && r != -ENOENT ? r : index_raise_doubt(x, txn);
}

int chunk_index_condemn_dead(struct chunk_index *x, const struct pack_id *ids, size_t n)
{
	bool changed = false;
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++) {
		r = condemn_one(x, txn, &ids[i]);
		changed |= r == 1;
	}
	if (r >= 0)
		r = changed ? raise_doubt_but_of_records(x, txn) : 0;
	return index_write_end(x, txn, r);
}

/* ---- dropping ---- */

struct burial {
	struct chunk_index *x;
	uint32_t *numbers; /* sorted */
	size_t n;
};

/* Numbers of those that are condemned. */
static int find_condemned(struct burial *b, const struct pack_id *ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pack_info info;
		uint32_t number;
		int r = chunk_index_find_pack(b->x, &ids[i], &number);

		if (r == 0)
			r = chunk_index_pack(b->x, number, &info);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && info.condemned)
			b->numbers[b->n++] = number;
	}
	if (b->n > 0)
		qsort(b->numbers, b->n, sizeof(*b->numbers), compare_u32);
	return 0;
}

static int drop_line(const struct burial *b, MDB_txn *txn, uint8_t *key_bytes)
{
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = key_bytes };
	struct chunk_place place;
	MDB_val value;
	int r = index_lookup(b->x, txn, DB_CHUNKS, &key, &value);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	chunk_place_parse(value.mv_data, &place);
	if (!bsearch(&place.pack, b->numbers, b->n, sizeof(place.pack), compare_u32))
		return 0;
	return index_error(mdb_del(txn, b->x->dbs[DB_CHUNKS], &key, NULL));
}

/* A pack's line and its number's. */
static int drop_pack(const struct burial *b, MDB_txn *txn, const struct pack_id *id)
{
	MDB_val key = { .mv_size = SHA256_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	uint8_t number_key[4];
	uint32_t number;
	MDB_val value;
	int r = index_lookup(b->x, txn, DB_PACK_IDS, &key, &value);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	number = index_get_u32(value.mv_data);
	if (!bsearch(&number, b->numbers, b->n, sizeof(number), compare_u32))
		return 0;
	r = index_error(mdb_del(txn, b->x->dbs[DB_PACK_IDS], &key, NULL));
	if (r < 0)
		return r;
	index_number_key(number_key, number);
	key = (MDB_val){ .mv_size = sizeof(number_key), .mv_data = number_key };
	r = index_error(mdb_del(txn, b->x->dbs[DB_PACKS], &key, NULL));
	return r == -ENOENT ? 0 : r;
}

/* The packs' lines last: a crash before leaves condemned ones, to be dropped again. */
int chunk_index_drop_dead(struct chunk_index *x, const struct pack_id *ids, size_t n,
			  uint8_t (*keys)[16], size_t n_keys)
{
	CLEANUP(free_ptr) uint32_t *numbers = calloc(n ? n : 1, sizeof(*numbers));
	struct burial b = { .x = x, .numbers = numbers };
	size_t at = 0;
	bool last;
	int r;

	if (!numbers)
		return -ENOMEM;
	r = find_condemned(&b, ids, n);
	if (r < 0 || b.n == 0)
		return r;
	if (n_keys > 0)
		qsort(keys, n_keys, sizeof(*keys), compare_keys);
	do {
		size_t end = n_keys - at < INDEX_BATCH_KEYS ? n_keys : at + INDEX_BATCH_KEYS;
		MDB_txn *txn;

		last = end == n_keys;
		r = index_write_begin(x, &txn);
		if (r < 0)
			return r;
		for (; at < end && r == 0; at++)
			r = drop_line(&b, txn, keys[at]);
		for (size_t i = 0; last && i < n && r == 0; i++)
			r = drop_pack(&b, txn, &ids[i]);
		r = index_write_end(x, txn, r);
	} while (r == 0 && !last);
	return r;
}
