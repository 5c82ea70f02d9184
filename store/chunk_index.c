/* SPDX-License-Identifier: MIT */
#include "store/chunk_index.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "store/chunk_index_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define VISIT_BATCH 512

const char *const index_db_names[DB_COUNT] = { "chunks", "packs", "pack_ids", "records", "meta" };

static const size_t value_bytes[DB_COUNT] = { CHUNK_VALUE_BYTES, PACK_VALUE_BYTES,
					      PACK_NUMBER_BYTES, 0, PACK_NUMBER_BYTES };

int index_error(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_TXN_FULL:
		return -EFBIG;
	default:
		return rc > 0 ? -rc : -EUCLEAN;
	}
}

/* ---- values ---- */

uint32_t index_get_u32(const uint8_t *from)
{
	return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

void index_put_u32(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_u64(const uint8_t *from)
{
	return index_get_u32(from) | (uint64_t)index_get_u32(from + 4) << 32;
}

static void put_u64(uint8_t *to, uint64_t v)
{
	index_put_u32(to, (uint32_t)v);
	index_put_u32(to + 4, (uint32_t)(v >> 32));
}

void index_number_key(uint8_t to[static 4], uint32_t number)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(number >> (24 - 8 * i));
}

uint64_t index_sum(const uint8_t sum_key[static 16], enum index_db db, const MDB_val *key,
		   const void *value, size_t n)
{
	uint8_t joined[1 + 64 + PACK_VALUE_BYTES];
	size_t at = 1;

	assert(key->mv_size <= 64);
	joined[0] = (uint8_t)db;
	memcpy(joined + at, key->mv_data, key->mv_size);
	at += key->mv_size;
	if (n <= PACK_VALUE_BYTES) {
		memcpy(joined + at, value, n);
		at += n;
	} else {
		put_u64(joined + at, crypto_short_hash(sum_key, value, n));
		at += 8;
	}
	return crypto_short_hash(sum_key, joined, at);
}

bool index_value_valid(const uint8_t sum_key[static 16], enum index_db db, const MDB_val *key,
		       const MDB_val *value)
{
	size_t n = value->mv_size;

	if (key->mv_size > 64 || n < INDEX_SUM_BYTES)
		return false;
	if (db == DB_RECORDS ? n > INDEX_RECORD_BYTES_MAX + INDEX_SUM_BYTES : n != value_bytes[db])
		return false;
	n -= INDEX_SUM_BYTES;
	return get_u64((const uint8_t *)value->mv_data + n) ==
	       index_sum(sum_key, db, key, value->mv_data, n);
}

void index_value_seal(const struct chunk_index *x, enum index_db db, const MDB_val *key,
		      uint8_t *value, size_t n)
{
	put_u64(value + n, index_sum(x->sum_key, db, key, value, n));
}

void chunk_place_parse(const uint8_t from[static CHUNK_VALUE_BYTES], struct chunk_place *ret_place)
{
	*ret_place = (struct chunk_place){ .pack = index_get_u32(from),
					   .offset = index_get_u32(from + 4),
					   .stored_n = index_get_u32(from + 8),
					   .raw_n = index_get_u32(from + 12),
					   .type = from[16],
					   .codec = from[17],
					   .shunned = from[18] & 1 };
}

void pack_info_parse(const uint8_t from[static PACK_VALUE_BYTES], struct pack_info *ret_info)
{
	struct pack_info info = { .size = get_u64(from + 48),
				  .kind = (enum pack_kind)from[56],
				  .condemned = from[57] & 1 };

	memcpy(info.host.bytes, from, HOST_ID_BYTES);
	memcpy(info.id.bytes, from + 16, SHA256_BYTES);
	*ret_info = info;
}

int index_damage(struct chunk_index *x, enum index_db db)
{
	char what[64];

	(void)snprintf(what, sizeof(what), "a line of the table '%s'", index_db_names[db]);
	index_distrust(x, what);
	return -EUCLEAN;
}

/* ---- transactions ---- */

int index_read_begin(struct chunk_index *x, MDB_txn **ret_txn)
{
	MDB_txn *txn = NULL;
	int rc;

	*ret_txn = NULL; /* so that nobody has to prove that it is set */
	index_guard_enter(x);
	lock_take(&x->lock);
	if (x->n_pool > 0)
		txn = x->pool[--x->n_pool];
	lock_drop(&x->lock);
	if (!txn) {
		rc = mdb_txn_begin(x->env, NULL, MDB_RDONLY, ret_txn);
	} else {
		rc = mdb_txn_renew(txn);
		if (rc == 0)
			*ret_txn = txn;
		else
			mdb_txn_abort(txn);
	}
	if (rc == 0)
		return 0;
	index_guard_leave();
	return log_errno(index_error(rc), "index: cannot begin to read");
}

void index_read_end(struct chunk_index *x, MDB_txn *txn)
{
	mdb_txn_reset(txn);
	index_guard_leave();
	lock_take(&x->lock);
	if (x->n_pool < INDEX_POOL_TXNS) {
		x->pool[x->n_pool++] = txn;
		txn = NULL;
	}
	lock_drop(&x->lock);
	if (txn)
		mdb_txn_abort(txn);
}

/* From here until an orderly close, a crash means verification. */
static int mark_dirty(struct chunk_index *x)
{
	int r;

	LOCK_SCOPE(&x->lock);
	if (x->dirty)
		return 0;
	r = io_unlink(x->io, "index/clean", IO_OBJECT_INDEX);
	if (r == 0)
		r = io_fsync_folder(x->io, "index", IO_OBJECT_INDEX);
	if (r < 0 && r != -ENOENT)
		return log_errno(r, "index: cannot remove index/clean");
	x->dirty = true;
	return 0;
}

void index_distrust(struct chunk_index *x, const char *what)
{
	atomic_store(&x->damaged, true);
	if (atomic_exchange(&x->told, true))
		return;
	log_error("index: %s is damaged (%s); 'yore repair' rebuilds it", x->folder, what);
	if (!x->without_locks)
		(void)mark_dirty(x);
}

int index_write_begin(struct chunk_index *x, MDB_txn **ret_txn)
{
	int r;

	if (x->without_locks)
		return -EROFS;
	r = mark_dirty(x);
	if (r < 0)
		return r;
	index_guard_enter(x);
	r = index_error(mdb_txn_begin(x->env, NULL, 0, ret_txn));
	if (r == 0)
		return 0;
	index_guard_leave();
	return log_errno(r, "index: cannot begin to write");
}

int index_write_end(struct chunk_index *x, MDB_txn *txn, int r)
{
	bool committing = r >= 0;

	if (committing)
		r = index_error(mdb_txn_commit(txn));
	else
		mdb_txn_abort(txn);
	index_guard_leave();
	if (r == -EUCLEAN)
		index_distrust(x, "a page");
	else if (r < 0 && committing)
		(void)log_errno(r, "index: cannot commit");
	if (r < 0)
		return r;
	io_index_committed(x->io);
	return 0;
}

int index_lookup(struct chunk_index *x, MDB_txn *txn, enum index_db db, MDB_val *key,
		 MDB_val *ret_value)
{
	int r = index_error(mdb_get(txn, x->dbs[db], key, ret_value));

	if (r == -ENOENT)
		return r;
	if (r == -EUCLEAN)
		return index_damage(x, db);
	if (r < 0)
		return log_errno(r, "index: cannot look up in '%s'", index_db_names[db]);
	if (!index_value_valid(x->sum_key, db, key, ret_value))
		return index_damage(x, db);
	return 0;
}

int index_meta_get(struct chunk_index *x, MDB_txn *txn, const char *name, uint32_t *ret_value)
{
	MDB_val key = { .mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name };
	MDB_val value;
	int r = index_lookup(x, txn, DB_META, &key, &value);

	if (r == 0)
		*ret_value = index_get_u32(value.mv_data);
	return r;
}

int index_meta_put(struct chunk_index *x, MDB_txn *txn, const char *name, uint32_t number)
{
	uint8_t bytes[PACK_NUMBER_BYTES];
	MDB_val key = { .mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name };
	MDB_val value = { .mv_size = sizeof(bytes), .mv_data = bytes };

	index_put_u32(bytes, number);
	index_value_seal(x, DB_META, &key, bytes, 4);
	return index_error(mdb_put(txn, x->dbs[DB_META], &key, &value, 0));
}

/* ---- look-ups ---- */

int chunk_index_get(struct chunk_index *x, const struct chunk_id *id, struct chunk_place *ret_place)
{
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	MDB_val value;
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_lookup(x, txn, DB_CHUNKS, &key, &value);
	if (r == 0)
		chunk_place_parse(value.mv_data, ret_place);
	index_read_end(x, txn);
	return r;
}

static int pack_in_txn(struct chunk_index *x, MDB_txn *txn, uint32_t pack,
		       struct pack_info *ret_info)
{
	uint8_t number[4];
	MDB_val key = { .mv_size = sizeof(number), .mv_data = number };
	MDB_val value;
	int r;

	index_number_key(number, pack);
	r = index_lookup(x, txn, DB_PACKS, &key, &value);
	if (r == 0)
		pack_info_parse(value.mv_data, ret_info);
	return r;
}

void chunk_index_set_host(struct chunk_index *x, const struct host_id *host)
{
	x->host = *host;
	x->has_host = true;
}

bool index_pack_serves(const struct chunk_index *x, const struct pack_info *info)
{
	return !info->condemned &&
	       (!x->has_host || memcmp(&info->host, &x->host, sizeof(x->host)) == 0);
}

int chunk_index_usable(struct chunk_index *x, const struct chunk_id *id)
{
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	struct chunk_place place;
	struct pack_info info;
	MDB_val value;
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_lookup(x, txn, DB_CHUNKS, &key, &value);
	if (r == 0) {
		chunk_place_parse(value.mv_data, &place);
		/* A pack without a line of its own is being entered, or dropped. */
		r = place.shunned ? -ENOENT : pack_in_txn(x, txn, place.pack, &info);
	}
	if (r == 0)
		r = index_pack_serves(x, &info);
	index_read_end(x, txn);
	return r == -ENOENT ? 0 : r;
}

int chunk_index_pack(struct chunk_index *x, uint32_t pack, struct pack_info *ret_info)
{
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = pack_in_txn(x, txn, pack, ret_info);
	index_read_end(x, txn);
	return r;
}

int chunk_index_find_pack(struct chunk_index *x, const struct pack_id *id, uint32_t *ret_pack)
{
	MDB_val key = { .mv_size = SHA256_BYTES, .mv_data = (void *)(uintptr_t)id->bytes };
	MDB_val value;
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_lookup(x, txn, DB_PACK_IDS, &key, &value);
	if (r == 0)
		*ret_pack = index_get_u32(value.mv_data);
	index_read_end(x, txn);
	return r;
}

/* ---- visits: lines are copied in batches, so that no snapshot is held for long ---- */

struct batch_line {
	uint8_t key[INDEX_KEY_BYTES];
	uint8_t value[PACK_VALUE_BYTES];
};

/* Copy the lines after `key` (from the first, when key_n is 0). Returns their count, or -errno. */
static int read_batch(struct chunk_index *x, enum index_db db, const uint8_t *after, size_t key_n,
		      struct batch_line *lines)
{
	MDB_val key = { .mv_size = key_n, .mv_data = (void *)(uintptr_t)after };
	MDB_cursor *cursor = NULL;
	MDB_val value;
	MDB_txn *txn;
	int n = 0;
	int rc;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	rc = mdb_cursor_open(txn, x->dbs[db], &cursor);
	if (rc == 0)
		rc = mdb_cursor_get(cursor, &key, &value, key_n ? MDB_SET_RANGE : MDB_FIRST);
	if (rc == 0 && key_n && key.mv_size == key_n && memcmp(key.mv_data, after, key_n) == 0)
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	while (rc == 0 && n < VISIT_BATCH) {
		if (key.mv_size > INDEX_KEY_BYTES ||
		    !index_value_valid(x->sum_key, db, &key, &value)) {
			r = index_damage(x, db);
			break;
		}
		memcpy(lines[n].key, key.mv_data, key.mv_size);
		memcpy(lines[n].value, value.mv_data, value.mv_size);
		n++;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	if (cursor)
		mdb_cursor_close(cursor);
	index_read_end(x, txn);
	if (r == 0 && index_error(rc) == -EUCLEAN)
		r = index_damage(x, db);
	else if (r == 0 && rc != 0 && rc != MDB_NOTFOUND)
		r = log_errno(index_error(rc), "index: cannot walk '%s'", index_db_names[db]);
	return r < 0 ? r : n;
}

int chunk_index_each_pack(struct chunk_index *x, chunk_index_pack_visitor *visit, void *context)
{
	CLEANUP(free_ptr) struct batch_line *lines = calloc(VISIT_BATCH, sizeof(*lines));
	uint8_t last[4];
	size_t last_n = 0;
	int n;

	if (!lines)
		return -ENOMEM;
	while ((n = read_batch(x, DB_PACKS, last, last_n, lines)) > 0) {
		for (int i = 0; i < n; i++) {
			const uint8_t *k = lines[i].key;
			struct pack_info info;
			uint32_t number = (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 |
					  (uint32_t)k[2] << 8 | k[3];
			int r;

			pack_info_parse(lines[i].value, &info);
			r = visit(context, number, &info);
			if (r != 0)
				return r;
		}
		last_n = sizeof(last);
		memcpy(last, lines[n - 1].key, last_n);
	}
	return n;
}

int chunk_index_each_chunk(struct chunk_index *x, chunk_index_chunk_visitor *visit, void *context)
{
	CLEANUP(free_ptr) struct batch_line *lines = calloc(VISIT_BATCH, sizeof(*lines));
	uint8_t last[INDEX_KEY_BYTES];
	size_t last_n = 0;
	int n;

	if (!lines)
		return -ENOMEM;
	while ((n = read_batch(x, DB_CHUNKS, last, last_n, lines)) > 0) {
		for (int i = 0; i < n; i++) {
			struct chunk_place place;
			int r;

			chunk_place_parse(lines[i].value, &place);
			r = visit(context, lines[i].key, &place);
			if (r != 0)
				return r;
		}
		last_n = sizeof(last);
		memcpy(last, lines[n - 1].key, last_n);
	}
	return n;
}

int chunk_index_stats(struct chunk_index *x, uint64_t *ret_chunks, uint64_t *ret_packs,
		      uint64_t *ret_bytes)
{
	MDB_stat chunks = { 0 }, packs = { 0 };
	MDB_envinfo info = { 0 };
	MDB_txn *txn;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_error(mdb_stat(txn, x->dbs[DB_CHUNKS], &chunks));
	if (r == 0)
		r = index_error(mdb_stat(txn, x->dbs[DB_PACKS], &packs));
	if (r == 0)
		r = index_error(mdb_env_info(x->env, &info));
	index_read_end(x, txn);
	if (r < 0)
		return r;
	*ret_chunks = chunks.ms_entries;
	*ret_packs = packs.ms_entries;
	*ret_bytes = (info.me_last_pgno + 1) * (uint64_t)chunks.ms_psize;
	return 0;
}

void chunk_index_clear_dead_readers(struct chunk_index *x)
{
	int dead = 0;

	if (!x->without_locks && mdb_reader_check(x->env, &dead) == 0 && dead > 0)
		log_debug("index: freed %d reader slots of dead processes", dead);
}
