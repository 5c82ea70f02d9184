/* SPDX-License-Identifier: MIT */
/*
 * chunk_index_internal: what the files of chunk_index share. Values are
 * little-endian byte strings that end in a SipHash of table, key and value.
 */
#ifndef STORE_CHUNK_INDEX_INTERNAL_H
#define STORE_CHUNK_INDEX_INTERNAL_H

#include "store/base/lock.h"
#include "store/chunk_index.h"
#include "store/limits.h"

#include <lmdb.h>
#include <stdatomic.h>

#define INDEX_FORMAT 1
#define INDEX_KEY_BYTES 16
#define INDEX_SUM_BYTES 8
#define CHUNK_VALUE_BYTES 28
#define PACK_VALUE_BYTES 72
#define PACK_NUMBER_BYTES 12 /* a u32 with its checksum: pack_ids and meta */
#define RECORD_KEY_BYTES (HOST_ID_BYTES + 8)
#define INDEX_POOL_TXNS 64
#define INDEX_READERS_MAX 512

enum index_db { DB_CHUNKS, DB_PACKS, DB_PACK_IDS, DB_RECORDS, DB_META, DB_COUNT };

struct chunk_index {
	struct io *io;
	uint8_t sum_key[16];
	bool without_locks; /* the folder cannot be written */
	bool has_host;
	struct host_id host; /* whose packs serve new data */
	MDB_env *env;
	MDB_dbi dbs[DB_COUNT];
	int users_fd;        /* index/users, locked shared while open */
	char *folder;        /* absolute path of index/ */
	char *clean_path;    /* absolute path of index/clean, for the guard */
	atomic_bool damaged; /* something wrong was seen: do not mark the end clean */
	atomic_bool told;    /* that damage was logged */

	struct lock lock;               /* guards what follows */
	MDB_txn *pool[INDEX_POOL_TXNS]; /* reset read transactions, ready to be renewed */
	size_t n_pool;
	bool dirty; /* index/clean is gone for sure */
};

/** Translate LMDB's codes to -errno. */
int index_error(int rc);
/** Names of the tables in LMDB. */
extern const char *const index_db_names[DB_COUNT];

/** The checksum over table, key and value. */
uint64_t index_sum(const uint8_t sum_key[static 16], enum index_db db, const MDB_val *key,
		   const void *value, size_t n);
/** Is the value whole (its last 8 bytes are the checksum of the rest)? Checks lengths first. */
bool index_value_valid(const uint8_t sum_key[static 16], enum index_db db, const MDB_val *key,
		       const MDB_val *value);
/** Write the checksum behind the first n bytes of `value`. */
void index_value_seal(const struct chunk_index *x, enum index_db db, const MDB_val *key,
		      uint8_t *value, size_t n);

/** A snapshot for reading, from the pool. End it soon. */
int index_read_begin(struct chunk_index *x, MDB_txn **ret_txn);
void index_read_end(struct chunk_index *x, MDB_txn *txn);
/** The one write transaction; takes index/clean away first. */
int index_write_begin(struct chunk_index *x, MDB_txn **ret_txn);
/** Commit (or, when r < 0, abort). Returns r, or the commit's own failure. */
int index_write_end(struct chunk_index *x, MDB_txn *txn, int r);

/** Look a value up and check it. Returns 0, -ENOENT, -EUCLEAN (noted and logged). */
int index_lookup(struct chunk_index *x, MDB_txn *txn, enum index_db db, MDB_val *key,
		 MDB_val *ret_value);
/** Say that a value is damaged; returns -EUCLEAN. */
int index_damage(struct chunk_index *x, enum index_db db);
/**
 * Something in the database is wrong: say so once, and take index/clean away
 * durably, so that the next one who opens it alone verifies it.
 */
void index_distrust(struct chunk_index *x, const char *what);

void chunk_place_parse(const uint8_t from[static CHUNK_VALUE_BYTES], struct chunk_place *ret_place);
void pack_info_parse(const uint8_t from[static PACK_VALUE_BYTES], struct pack_info *ret_info);
uint32_t index_get_u32(const uint8_t *from);
void index_put_u32(uint8_t *to, uint32_t v);
/** Keys that sort by number. */
void index_number_key(uint8_t to[static 4], uint32_t number);

/** The value of an object's line, sealed under its key. */
void index_place_make(const struct chunk_index *x, const MDB_val *key, uint32_t pack,
		      const struct pack_entry *e, bool shunned,
		      uint8_t to[static CHUNK_VALUE_BYTES]);
/** Write a pack's line and its number's. */
int index_write_pack_line(struct chunk_index *x, MDB_txn *txn, uint32_t number,
			  const struct pack_info *info);
/** Condemn the pack of this number key. 1, 0 when it was already, -ENOENT, -errno. */
int index_set_condemned(struct chunk_index *x, MDB_txn *txn, MDB_val *key);

/** A number in meta. */
int index_meta_get(struct chunk_index *x, MDB_txn *txn, const char *name, uint32_t *ret_value);
int index_meta_put(struct chunk_index *x, MDB_txn *txn, const char *name, uint32_t number);

/** May chunks in this pack serve new data? */
bool index_pack_serves(const struct chunk_index *x, const struct pack_info *info);
/** Move the generation: something became unusable. In the transaction that makes it so. */
int index_raise_doubt(struct chunk_index *x, MDB_txn *txn);

/**
 * Walk the whole database in a child process, which may crash on what it
 * finds. Returns 0 when all is well, -EUCLEAN, or -errno.
 */
int index_check(const char *folder, const uint8_t sum_key[static 16]);
/** The same while other processes read and write it; not this one. */
int index_check_beside(const char *folder, const uint8_t sum_key[static 16]);

/*
 * The guard: between these two, which nest, the calling thread is inside LMDB.
 * A signal that damaged pages raise there ends the process like a damaged
 * repository does, and index/clean is removed.
 */
void index_guard_enter(const struct chunk_index *x);
void index_guard_leave(void);
/** Install the handlers, unless they are. Before threads. */
void index_guard_start(void);
/** Say that the database is damaged and end the process, if this thread is guarded. */
void index_guard_give_up(void);

#endif
