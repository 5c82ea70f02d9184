/* SPDX-License-Identifier: MIT */
/* Digests of records, by host and sequence. */
#include "store/base/log.h"
#include "store/chunk_index_internal.h"

#include <errno.h>
#include <string.h>

static MDB_val record_key(const struct host_id *host, uint64_t seq,
			  uint8_t to[static RECORD_KEY_BYTES])
{
	memcpy(to, host->bytes, HOST_ID_BYTES);
	for (int i = 0; i < 8; i++)
		to[HOST_ID_BYTES + i] = (uint8_t)(seq >> (56 - 8 * i));
	return (MDB_val){ .mv_size = RECORD_KEY_BYTES, .mv_data = to };
}

static uint64_t record_seq(const MDB_val *key)
{
	const uint8_t *at = (const uint8_t *)key->mv_data + HOST_ID_BYTES;
	uint64_t seq = 0;

	for (int i = 0; i < 8; i++)
		seq = seq << 8 | at[i];
	return seq;
}

static bool of_host(const MDB_val *key, const struct host_id *host)
{
	return key->mv_size == RECORD_KEY_BYTES &&
	       memcmp(key->mv_data, host->bytes, HOST_ID_BYTES) == 0;
}

/* `scratch` holds the largest digest and its checksum. */
static int put_in_txn(struct chunk_index *x, MDB_txn *txn, const struct host_id *host,
		      const struct index_record *record, uint8_t *scratch)
{
	uint8_t key_bytes[RECORD_KEY_BYTES];
	MDB_val key = record_key(host, record->seq, key_bytes);
	MDB_val value = { .mv_size = record->n + INDEX_SUM_BYTES, .mv_data = scratch };

	if (record->n > INDEX_RECORD_BYTES_MAX)
		return -EFBIG;
	if (record->n)
		memcpy(scratch, record->digest, record->n);
	index_value_seal(x, DB_RECORDS, &key, scratch, record->n);
	return index_error(mdb_put(txn, x->dbs[DB_RECORDS], &key, &value, 0));
}

int chunk_index_put_records(struct chunk_index *x, const struct host_id *host,
			    const struct index_record *records, size_t n)
{
	CLEANUP(free_ptr) uint8_t *scratch = malloc(INDEX_RECORD_BYTES_MAX + INDEX_SUM_BYTES);
	int r = 0;

	if (!scratch)
		return -ENOMEM;
	for (size_t from = 0; from < n && r == 0; from += INDEX_BATCH_KEYS) {
		size_t to = n - from < INDEX_BATCH_KEYS ? n : from + INDEX_BATCH_KEYS;
		MDB_txn *txn;

		r = index_write_begin(x, &txn);
		if (r < 0)
			return r;
		for (size_t i = from; i < to && r == 0; i++)
			r = put_in_txn(x, txn, host, &records[i], scratch);
		r = index_write_end(x, txn, r);
	}
	return r;
}

int chunk_index_put_record(struct chunk_index *x, const struct host_id *host, uint64_t seq,
			   const void *digest, size_t n)
{
	const struct index_record record = { .seq = seq, .digest = digest, .n = n };

	return chunk_index_put_records(x, host, &record, 1);
}

int chunk_index_drop_record(struct chunk_index *x, const struct host_id *host, uint64_t seq)
{
	uint8_t key_bytes[RECORD_KEY_BYTES];
	MDB_val key = record_key(host, seq, key_bytes);
	MDB_txn *txn;
	int r = index_write_begin(x, &txn);

	if (r < 0)
		return r;
	return index_write_end(x, txn, index_error(mdb_del(txn, x->dbs[DB_RECORDS], &key, NULL)));
}

int64_t chunk_index_get_record(struct chunk_index *x, const struct host_id *host, uint64_t seq,
			       void *to, size_t room)
{
	uint8_t key_bytes[RECORD_KEY_BYTES];
	MDB_val key = record_key(host, seq, key_bytes);
	MDB_val value;
	MDB_txn *txn;
	int64_t answer;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	r = index_lookup(x, txn, DB_RECORDS, &key, &value);
	answer = r;
	if (r == 0) {
		size_t n = value.mv_size - INDEX_SUM_BYTES;

		if (room > 0 && n > 0)
			memcpy(to, value.mv_data, n < room ? n : room);
		answer = (int64_t)n;
	}
	index_read_end(x, txn);
	return answer;
}

/* Put the cursor on the first line of the host to visit; MDB_NOTFOUND when there is none. */
static int seek(MDB_cursor *cursor, const struct host_id *host, uint64_t from, bool descending,
		MDB_val *key, MDB_val *value)
{
	uint8_t key_bytes[RECORD_KEY_BYTES];
	int rc;

	*key = record_key(host, from, key_bytes);
	rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (!descending)
		return rc;
	if (rc == MDB_NOTFOUND)
		return mdb_cursor_get(cursor, key, value, MDB_LAST);
	if (rc == 0 && !(of_host(key, host) && record_seq(key) == from))
		rc = mdb_cursor_get(cursor, key, value, MDB_PREV);
	return rc;
}

int chunk_index_each_record(struct chunk_index *x, const struct host_id *host, uint64_t from,
			    bool descending, chunk_index_record_visitor *visit, void *context)
{
	MDB_cursor *cursor = NULL;
	MDB_val key, value;
	MDB_txn *txn;
	int rc;
	int r = index_read_begin(x, &txn);

	if (r < 0)
		return r;
	rc = mdb_cursor_open(txn, x->dbs[DB_RECORDS], &cursor);
	if (rc == 0)
		rc = seek(cursor, host, from, descending, &key, &value);
	while (rc == 0 && r == 0 && of_host(&key, host)) {
		if (index_value_valid(x->sum_key, DB_RECORDS, &key, &value))
			r = visit(context, record_seq(&key), value.mv_data,
				  value.mv_size - INDEX_SUM_BYTES);
		else
			r = index_damage(x, DB_RECORDS);
		if (r == 0)
			rc = mdb_cursor_get(cursor, &key, &value, descending ? MDB_PREV : MDB_NEXT);
	}
	if (cursor)
		mdb_cursor_close(cursor);
	index_read_end(x, txn);
	if (r == 0 && rc != 0 && rc != MDB_NOTFOUND)
		r = index_error(rc) == -EUCLEAN
			    ? index_damage(x, DB_RECORDS)
			    : log_errno(index_error(rc), "index: cannot walk the records");
	return r;
}

static int note_seq(void *context, uint64_t seq, const void *digest, size_t n)
{
	(void)digest;
	(void)n;
	*(uint64_t *)context = seq;
	return 1;
}

int chunk_index_last_record(struct chunk_index *x, const struct host_id *host, uint64_t *ret_seq)
{
	uint64_t seq = 0;
	int r = chunk_index_each_record(x, host, UINT64_MAX, true, note_seq, &seq);

	if (r < 0)
		return r;
	*ret_seq = seq;
	return 0;
}
