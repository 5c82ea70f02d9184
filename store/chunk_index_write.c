/* SPDX-License-Identifier: MIT */
/* Entering, dropping, shunning and condemning: every write to chunks and packs. */
#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/chunk_index_internal.h"

#include <errno.h>
#include <string.h>

/* One chunk's line to be written, sorted by key. */
struct new_line {
	uint8_t key[INDEX_KEY_BYTES];
	uint32_t pack; /* position in the caller's array */
	uint32_t entry;
};

/* What adding packs works on. */
struct adding {
	struct chunk_index *x;
	const struct index_pack *packs;
	uint32_t *numbers;
	bool *listed; /* it had its line before */
	size_t n_packs;
	struct new_line *lines;
	size_t n_lines;
};

static int compare_lines(const void *a, const void *b)
{
	return memcmp(((const struct new_line *)a)->key, ((const struct new_line *)b)->key,
		      INDEX_KEY_BYTES);
}

static int collect_lines(struct adding *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_packs; i++)
		n += a->packs[i].n;
	a->lines = malloc((n ? n : 1) * sizeof(*a->lines));
	if (!a->lines)
		return -ENOMEM;
	for (size_t i = 0; i < a->n_packs; i++) {
		for (size_t j = 0; j < a->packs[i].n; j++) {
			struct new_line *line = &a->lines[a->n_lines++];

			memcpy(line->key, a->packs[i].entries[j].id.bytes, INDEX_KEY_BYTES);
			line->pack = (uint32_t)i;
			line->entry = (uint32_t)j;
		}
	}
	qsort(a->lines, a->n_lines, sizeof(*a->lines), compare_lines);
	return 0;
}

/* Numbers are never given twice, so that a process may remember what one meant. */
static int give_numbers(struct adding *a, MDB_txn *txn)
{
	struct chunk_index *x = a->x;
	uint32_t next;
	int r = index_meta_get(x, txn, "next_pack", &next);

	if (r < 0)
		return r == -ENOENT ? index_damage(x, DB_META) : r;
	for (size_t i = 0; i < a->n_packs; i++) {
		MDB_val key = { .mv_size = SHA256_BYTES,
				.mv_data = (void *)(uintptr_t)a->packs[i].info.id.bytes };
		MDB_val value;

		r = index_lookup(x, txn, DB_PACK_IDS, &key, &value);
		if (r < 0 && r != -ENOENT)
			return r;
		a->listed[i] = r == 0;
		if (r == 0) {
			a->numbers[i] = index_get_u32(value.mv_data);
			continue;
		}
		if (next == UINT32_MAX)
			return -EOVERFLOW;
		a->numbers[i] = next++;
	}
	return index_meta_put(x, txn, "next_pack", next);
}

/* The pack of a line that is there: listed, or one of those being entered. 0, -ENOENT, -errno. */
static int find_pack(struct adding *a, MDB_txn *txn, uint32_t pack, struct pack_info *ret_info)
{
	uint8_t number[4];
	MDB_val key = { .mv_size = sizeof(number), .mv_data = number };
	MDB_val value;
	int r;

	index_number_key(number, pack);
	r = index_lookup(a->x, txn, DB_PACKS, &key, &value);
	if (r == 0)
		pack_info_parse(value.mv_data, ret_info);
	for (size_t i = 0; r == -ENOENT && i < a->n_packs; i++) {
		if (a->numbers[i] != pack)
			continue;
		*ret_info = a->packs[i].info;
		r = 0;
	}
	return r;
}

/* Does the place that is there already serve, at least as well as one in the pack `own`? 1, 0, or
 * -errno. */
static int place_serves(struct adding *a, MDB_txn *txn, const MDB_val *key, const MDB_val *value,
			uint32_t own)
{
	struct chunk_index *x = a->x;
	struct chunk_place place = { 0 };
	struct pack_info info = { 0 };
	int r;

	/* A damaged line is as good as none: it is written anew. */
	if (!index_value_valid(x->sum_key, DB_CHUNKS, key, value))
		return 0;
	chunk_place_parse(value->mv_data, &place);
	/* A pack that is entered again must not bless what was shunned in it. */
	if (place.pack == a->numbers[own])
		return 1;
	if (place.shunned)
		return 0;
	r = find_pack(a, txn, place.pack, &info);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (index_pack_serves(x, &info))
		return 1;
	/* Another host's is as good as yet another's, but gives way to ours. */
	return !info.condemned && !index_pack_serves(x, &a->packs[own].info);
}

void index_place_make(const struct chunk_index *x, const MDB_val *key, uint32_t pack,
		      const struct pack_entry *e, bool shunned,
		      uint8_t to[static CHUNK_VALUE_BYTES])
{
	memset(to, 0, CHUNK_VALUE_BYTES);
	index_put_u32(to, pack);
	index_put_u32(to + 4, e->offset);
	index_put_u32(to + 8, e->stored_n);
	index_put_u32(to + 12, e->raw_n);
	to[16] = e->type;
	to[17] = e->codec;
	to[18] = shunned;
	index_value_seal(x, DB_CHUNKS, key, to, CHUNK_VALUE_BYTES - INDEX_SUM_BYTES);
}

static int write_line(struct adding *a, MDB_txn *txn, MDB_cursor *cursor,
		      const struct new_line *line)
{
	const struct pack_entry *e = &a->packs[line->pack].entries[line->entry];
	uint8_t bytes[CHUNK_VALUE_BYTES];
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = (void *)(uintptr_t)line->key };
	MDB_val value = { .mv_size = sizeof(bytes), .mv_data = bytes };
	int r;

	index_place_make(a->x, &key, a->numbers[line->pack], e, false, bytes);
	r = mdb_cursor_put(cursor, &key, &value, MDB_NOOVERWRITE);
	if (r != MDB_KEYEXIST)
		return index_error(r);
	r = place_serves(a, txn, &key, &value, line->pack);
	if (r != 0)
		return r < 0 ? r : 0;
	value = (MDB_val){ .mv_size = sizeof(bytes), .mv_data = bytes };
	return index_error(mdb_cursor_put(cursor, &key, &value, 0));
}

int index_write_pack_line(struct chunk_index *x, MDB_txn *txn, uint32_t number,
			  const struct pack_info *info)
{
	uint8_t bytes[PACK_VALUE_BYTES] = { 0 };
	uint8_t number_bytes[PACK_NUMBER_BYTES];
	uint8_t number_key[4];
	MDB_val key = { .mv_size = sizeof(number_key), .mv_data = number_key };
	MDB_val value = { .mv_size = sizeof(bytes), .mv_data = bytes };
	int r;

	memcpy(bytes, info->host.bytes, HOST_ID_BYTES);
	memcpy(bytes + 16, info->id.bytes, SHA256_BYTES);
	index_put_u32(bytes + 48, (uint32_t)info->size);
	index_put_u32(bytes + 52, (uint32_t)(info->size >> 32));
	bytes[56] = (uint8_t)info->kind;
	bytes[57] = info->condemned;
	index_number_key(number_key, number);
	index_value_seal(x, DB_PACKS, &key, bytes, PACK_VALUE_BYTES - INDEX_SUM_BYTES);
	r = index_error(mdb_put(txn, x->dbs[DB_PACKS], &key, &value, 0));
	if (r < 0)
		return r;

	key = (MDB_val){ .mv_size = SHA256_BYTES, .mv_data = (void *)(uintptr_t)info->id.bytes };
	value = (MDB_val){ .mv_size = sizeof(number_bytes), .mv_data = number_bytes };
	index_put_u32(number_bytes, number);
	index_value_seal(x, DB_PACK_IDS, &key, number_bytes, 4);
	return index_error(mdb_put(txn, x->dbs[DB_PACK_IDS], &key, &value, 0));
}

/* One transaction: lines from `from` up to `to`, and with the last ones the packs' own. */
static int write_batch(struct adding *a, size_t from, size_t to)
{
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int r = index_write_begin(a->x, &txn);

	if (r < 0)
		return r;
	if (from == 0)
		r = give_numbers(a, txn);
	if (r == 0)
		r = index_error(mdb_cursor_open(txn, a->x->dbs[DB_CHUNKS], &cursor));
	for (size_t i = from; i < to && r == 0; i++)
		r = write_line(a, txn, cursor, &a->lines[i]);
	if (cursor)
		mdb_cursor_close(cursor);
	for (size_t i = 0; i < a->n_packs && to == a->n_lines && r == 0; i++)
		if (!a->listed[i])
			r = index_write_pack_line(a->x, txn, a->numbers[i], &a->packs[i].info);
	if (r < 0)
		(void)log_errno(r, "index: cannot enter packs");
	return index_write_end(a->x, txn, r);
}

int chunk_index_add_packs(struct chunk_index *x, const struct index_pack *packs, size_t n)
{
	CLEANUP(free_ptr) uint32_t *numbers = calloc(n ? n : 1, sizeof(*numbers));
	CLEANUP(free_ptr) bool *listed = calloc(n ? n : 1, sizeof(*listed));
	CLEANUP(free_ptr) struct new_line *lines = NULL;
	struct adding a = {
		.x = x, .packs = packs, .numbers = numbers, .listed = listed, .n_packs = n
	};
	size_t from = 0;
	int r;

	if (n == 0)
		return 0;
	if (!numbers || !listed)
		return -ENOMEM;
	r = collect_lines(&a);
	lines = a.lines; /* for its end */
	(void)lines;
	while (r == 0) {
		size_t left = a.n_lines - from;
		size_t to = from + (left < INDEX_BATCH_KEYS ? left : INDEX_BATCH_KEYS);

		r = write_batch(&a, from, to);
		if (to == a.n_lines)
			break;
		from = to;
	}
	return r;
}

int chunk_index_add_pack(struct chunk_index *x, const struct pack_info *info,
			 const struct pack_entry *entries, size_t n)
{
	struct index_pack pack = { .info = *info, .entries = entries, .n = n };

	return chunk_index_add_packs(x, &pack, 1);
}

/* ---- dropping ---- */

struct dropping {
	struct chunk_index *x;
	uint32_t *numbers; /* sorted */
	size_t n;
	uint8_t (*keys)[INDEX_KEY_BYTES]; /* INDEX_BATCH_KEYS of them */
	size_t n_keys;
};

static bool is_dropped(const struct dropping *d, uint32_t pack)
{
	return bsearch(&pack, d->numbers, d->n, sizeof(pack), compare_u32) != NULL;
}

/* The packs' lines go first: from then on no look-up relies on their chunks. */
static int drop_pack_lines(struct dropping *d, const struct pack_id *ids, size_t n_ids)
{
	struct chunk_index *x = d->x;
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n_ids && r == 0; i++) {
		MDB_val key = { .mv_size = SHA256_BYTES,
				.mv_data = (void *)(uintptr_t)ids[i].bytes };
		uint8_t number_key[4];
		MDB_val value;
		uint32_t number;

		r = index_lookup(x, txn, DB_PACK_IDS, &key, &value);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		if (r < 0)
			break;
		number = index_get_u32(value.mv_data);
		d->numbers[d->n++] = number;
		r = index_error(mdb_del(txn, x->dbs[DB_PACK_IDS], &key, NULL));
		if (r < 0)
			break;
		index_number_key(number_key, number);
		key = (MDB_val){ .mv_size = sizeof(number_key), .mv_data = number_key };
		r = index_error(mdb_del(txn, x->dbs[DB_PACKS], &key, NULL));
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0 && d->n > 0)
		r = index_raise_doubt(x, txn);
	return index_write_end(x, txn, r);
}

static int drop_keys(struct dropping *d)
{
	struct chunk_index *x = d->x;
	MDB_txn *txn;
	int r;

	if (d->n_keys == 0)
		return 0;
	r = index_write_begin(x, &txn);
	if (r < 0)
		return r;
	for (size_t i = 0; i < d->n_keys && r == 0; i++) {
		MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = d->keys[i] };
		struct chunk_place place;
		MDB_val value;

		r = index_lookup(x, txn, DB_CHUNKS, &key, &value);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		if (r < 0)
			break;
		/* Somebody may have stored it again meanwhile. */
		chunk_place_parse(value.mv_data, &place);
		if (is_dropped(d, place.pack))
			r = index_error(mdb_del(txn, x->dbs[DB_CHUNKS], &key, NULL));
	}
	d->n_keys = 0;
	return index_write_end(x, txn, r);
}

static int visit_dropped(void *context, const uint8_t key[static 16],
			 const struct chunk_place *place)
{
	struct dropping *d = context;

	if (!is_dropped(d, place->pack))
		return 0;
	memcpy(d->keys[d->n_keys++], key, INDEX_KEY_BYTES);
	return d->n_keys == INDEX_BATCH_KEYS ? drop_keys(d) : 0;
}

int chunk_index_drop_packs(struct chunk_index *x, const struct pack_id *ids, size_t n)
{
	CLEANUP(free_ptr) uint32_t *numbers = calloc(n ? n : 1, sizeof(*numbers));
	CLEANUP(free_ptr) void *keys = calloc(INDEX_BATCH_KEYS, INDEX_KEY_BYTES);
	struct dropping d = { .x = x, .numbers = numbers, .keys = keys };
	int r;

	if (!numbers || !keys)
		return -ENOMEM;
	r = drop_pack_lines(&d, ids, n);
	if (r < 0 || d.n == 0)
		return r;
	qsort(d.numbers, d.n, sizeof(*d.numbers), compare_u32);
	r = chunk_index_each_chunk(x, visit_dropped, &d);
	return r < 0 ? r : drop_keys(&d);
}

int chunk_index_drop_pack(struct chunk_index *x, const struct pack_id *id)
{
	return chunk_index_drop_packs(x, id, 1);
}

int chunk_index_lose_pack(struct chunk_index *x, const struct pack_id *id)
{
	uint32_t number;
	struct dropping d = { .x = x, .numbers = &number };

	return drop_pack_lines(&d, id, 1);
}

/* ---- flags ---- */

/* Change one bit of a value in place, with its checksum. 1 when it changed, 0, -errno. */
static int set_flag(struct chunk_index *x, MDB_txn *txn, enum index_db db, MDB_val *key, size_t at,
		    bool on)
{
	uint8_t bytes[PACK_VALUE_BYTES];
	MDB_val value;
	int r = index_lookup(x, txn, db, key, &value);

	if (r < 0)
		return r;
	if ((((const uint8_t *)value.mv_data)[at] & 1) == on)
		return 0;
	memcpy(bytes, value.mv_data, value.mv_size);
	bytes[at] = on;
	index_value_seal(x, db, key, bytes, value.mv_size - INDEX_SUM_BYTES);
	value.mv_data = bytes;
	r = index_error(mdb_put(txn, x->dbs[db], key, &value, 0));
	return r < 0 ? r : 1;
}

/* A flag was set (1) or not: end its transaction. */
static int end_flag(struct chunk_index *x, MDB_txn *txn, int r, bool on)
{
	if (r == 1)
		r = on ? index_raise_doubt(x, txn) : 0;
	return index_write_end(x, txn, r);
}

int chunk_index_shun(struct chunk_index *x, const struct chunk_id *id, bool shun)
{
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	return end_flag(x, txn, set_flag(x, txn, DB_CHUNKS, &key, 18, shun), shun);
}

int index_set_condemned(struct chunk_index *x, MDB_txn *txn, MDB_val *key)
{
	return set_flag(x, txn, DB_PACKS, key, 57, true);
}

int chunk_index_condemn(struct chunk_index *x, const struct pack_id *id, bool condemn)
{
	MDB_val key = { .mv_size = SHA256_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	uint8_t number_key[4];
	MDB_val value;
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_lookup(x, txn, DB_PACK_IDS, &key, &value);
	if (r == 0) {
		index_number_key(number_key, index_get_u32(value.mv_data));
		key = (MDB_val){ .mv_size = sizeof(number_key), .mv_data = number_key };
		r = set_flag(x, txn, DB_PACKS, &key, 57, condemn);
	}
	return end_flag(x, txn, r, condemn);
}

/* ---- doubt ---- */

/* Absent in an index that knows of none yet. */
static int get_or_zero(struct chunk_index *x, MDB_txn *txn, const char *name, uint32_t *ret_value)
{
	int r = index_meta_get(x, txn, name, ret_value);

	if (r == -ENOENT)
		*ret_value = 0;
	return r == -ENOENT ? 0 : r;
}

int index_raise_doubt(struct chunk_index *x, MDB_txn *txn)
{
	uint32_t generation;
	int r = get_or_zero(x, txn, "generation", &generation);

	return r < 0 ? r : index_meta_put(x, txn, "generation", generation + 1);
}

int chunk_index_generation(struct chunk_index *x, uint32_t *ret_generation)
{
	uint32_t generation;
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = get_or_zero(x, txn, "generation", &generation);
	index_read_end(x, txn);
	if (r == 0)
		*ret_generation = generation;
	return r;
}

int chunk_index_trust(struct chunk_index *x, uint64_t seq, uint32_t generation)
{
	MDB_txn *txn;
	int r;

	/* Lines of meta hold 32 bits; a snapshot a second reaches that in 136 years. */
	if (seq == 0 || seq > UINT32_MAX)
		return -ERANGE;
	r = index_write_begin(x, &txn);
	if (r < 0)
		return r;
	r = index_meta_put(x, txn, "trusted_generation", generation);
	if (r == 0)
		r = index_meta_put(x, txn, "trusted_seq", (uint32_t)seq);
	return index_write_end(x, txn, r);
}

int chunk_index_in_doubt(struct chunk_index *x, uint64_t seq)
{
	uint32_t generation = 0, trusted = 0, trusted_seq = 0;
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = get_or_zero(x, txn, "generation", &generation);
	if (r == 0)
		r = get_or_zero(x, txn, "trusted_generation", &trusted);
	if (r == 0)
		r = get_or_zero(x, txn, "trusted_seq", &trusted_seq);
	index_read_end(x, txn);
	if (r < 0)
		return r;
	/* An older record than the trusted one: newer ones were forgotten since. */
	return trusted_seq == 0 || trusted != generation || seq < trusted_seq;
}
