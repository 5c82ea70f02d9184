/* SPDX-License-Identifier: MIT */
/*
 * chunk_index: where each object lies, and a digest of each record: a cache in
 * LMDB (this module is its only user), rebuildable from packs and records.
 *
 * Keys are the first 16 bytes of an id. Every value carries a checksum over
 * key and value. Never NOSYNC, WRITEMAP or DUPSORT; the map is a fixed 1 TiB;
 * a write transaction holds at most INDEX_BATCH_KEYS keys, sorted, and is
 * durable when the call returns. Nothing here is truth: what is lost costs a
 * rebuild, what is damaged is answered with -EUCLEAN and rebuilt by the store.
 *
 * Clean end: the file index/clean exists only while no process has written
 * since the last orderly close; it holds size, time and a checksum of the first
 * pages of the database. Without it the database is verified in a child
 * process before use. Damage that comes later, behind such a mark, is found by
 * the checksums of the values (-EUCLEAN) or by LMDB, which may crash on it: a
 * guard then ends the process with CHUNK_INDEX_EXIT_DAMAGED and a message. Both
 * take the mark away. What neither finds (a changed key, a page listed as free
 * that is not) only chunk_index_verify does. LMDB must be opened once per
 * process, after daemonising and before threads.
 *
 * Threads: all functions may be called from any thread; write transactions
 * serialise inside LMDB, over all processes.
 */
#ifndef STORE_CHUNK_INDEX_H
#define STORE_CHUNK_INDEX_H

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_index;

#define CHUNK_INDEX_EXIT_DAMAGED 20 /* how a process ends that damage would have crashed */

/* Where an object lies. The pack number is the index's own, small and dense. */
struct chunk_place {
	uint32_t pack;
	uint32_t offset;
	uint32_t stored_n;
	uint32_t raw_n;
	uint8_t type;
	uint8_t codec;
	bool shunned; /* known, but new data must not rely on it */
};

struct pack_info {
	struct host_id host;
	struct pack_id id;
	uint64_t size;
	enum pack_kind kind;
	bool condemned; /* look-ups for new data miss it */
};

enum index_open { INDEX_READ_WRITE, INDEX_READ_ONLY };

/**
 * Open (and make, if missing) the database in index/. `checksum_key` is 16
 * bytes. Returns 0; 1 when it is open but was never filled to the end (it is
 * new, or a rebuild was interrupted): fill it, then call chunk_index_filled;
 * -EUCLEAN when it is truncated, damaged, or of another form: call
 * chunk_index_reset and open again; -EROFS; -ENOSPC. INDEX_READ_ONLY is for
 * folders that cannot be written, takes no locks, and answers -EUCLEAN also
 * when there is no complete database.
 */
int chunk_index_open(struct io *io, const uint8_t checksum_key[static 16], enum index_open mode,
		     struct chunk_index **ret_index);
/** Note durably that the index now holds what the packs say. */
int chunk_index_filled(struct chunk_index *x);
/** Marks the end clean if this was the last user. NULL is fine. */
void chunk_index_close(struct chunk_index *x);
CLEANUP_DEFINE(struct chunk_index, chunk_index_close)
/** Delete the database's files while nobody else has it open (-EBUSY otherwise, not logged). */
int chunk_index_reset(struct io *io);
/**
 * Verify the database of a folder, which this process must not have open, in a
 * child process, whatever index/clean says. Others may use it meanwhile. 0 when
 * it is sound, missing, or left by an unclean end (then chunk_index_open
 * verifies it); -EUCLEAN when it is damaged: said, and index/clean removed.
 */
int chunk_index_verify(struct io *io, const uint8_t checksum_key[static 16]);

/**
 * From now on only packs of this host serve new data: every host's data is
 * closed in itself. Without it all hosts' do. Call before threads.
 */
void chunk_index_set_host(struct chunk_index *x, const struct host_id *host);

/** Returns 0; -ENOENT; -EUCLEAN (damaged value, or two ids with one key: compare full ids on read).
 */
int chunk_index_get(struct chunk_index *x, const struct chunk_id *id,
		    struct chunk_place *ret_place);
/**
 * May new data rely on it? 1 yes, 0 no (unknown, shunned, its pack condemned
 * or another host's), or -errno.
 */
int chunk_index_usable(struct chunk_index *x, const struct chunk_id *id);
int chunk_index_pack(struct chunk_index *x, uint32_t pack, struct pack_info *ret_info);
/** Number of a pack. Returns 0 or -ENOENT. */
int chunk_index_find_pack(struct chunk_index *x, const struct pack_id *id, uint32_t *ret_pack);

/**
 * Enter a durable pack and its table, in as many transactions as needed (the
 * pack's own line goes last, so that a pack that is listed is complete). A key
 * that is there already keeps its place unless that place is shunned, its pack
 * condemned, or only the new pack is the host's own. Returns 0 or -errno;
 * durable on return.
 */
int chunk_index_add_pack(struct chunk_index *x, const struct pack_info *info,
			 const struct pack_entry *entries, size_t n);
/* One pack of several that are entered together. */
struct index_pack {
	struct pack_info info;
	const struct pack_entry *entries;
	size_t n;
};
/**
 * The same for several packs, which share transactions: rebuilding from many
 * packs costs one sync per INDEX_BATCH_KEYS, not one per pack. A pack that is
 * listed already keeps its number and gets the lines that it lacks.
 */
int chunk_index_add_packs(struct chunk_index *x, const struct index_pack *packs, size_t n);
/**
 * A pack's file is not there: drop its line, and only that, at once. What it
 * held is relied on no more; should the file come back, a rebuild enters it.
 */
int chunk_index_lose_pack(struct chunk_index *x, const struct pack_id *id);
/** Drop a pack's line and all chunks that point to it. */
int chunk_index_drop_pack(struct chunk_index *x, const struct pack_id *id);
/** The same for several packs in one pass over the chunks. Unknown ones are passed over. */
int chunk_index_drop_packs(struct chunk_index *x, const struct pack_id *ids, size_t n);
/** Condemn a pack: look-ups for new data miss what it holds. Or, with false, take that back. */
int chunk_index_condemn(struct chunk_index *x, const struct pack_id *id, bool condemn);
/** Mark a chunk as not to be relied on (or, with false, as good again). -ENOENT if unknown. */
int chunk_index_shun(struct chunk_index *x, const struct chunk_id *id, bool shun);

/*
 * Doubt: whether something that old data relies on may have become unusable. A
 * generation, kept with the index, moves with every shun, condemnation and
 * drop, in their own transaction; a new or rebuilt index begins in doubt, since
 * nothing tells what is missing from it.
 */
/** Two equal answers: nothing was shunned, condemned or dropped in between. */
int chunk_index_generation(struct chunk_index *x, uint32_t *ret_generation);
/**
 * Note durably that all that the record `seq` refers to was usable in this
 * generation. Records that descend from it inherit that while it lasts.
 */
int chunk_index_trust(struct chunk_index *x, uint64_t seq, uint32_t generation);
/** Must what record `seq` refers to be looked up? 1, 0 (trusted), or -errno. */
int chunk_index_in_doubt(struct chunk_index *x, uint64_t seq);

/** Visit every pack, by number. The visitor may use the index. A non-zero answer ends it. */
typedef int chunk_index_pack_visitor(void *context, uint32_t number, const struct pack_info *info);
int chunk_index_each_pack(struct chunk_index *x, chunk_index_pack_visitor *visit, void *context);
/** Visit every chunk, by key (first 16 bytes of the id), in order. */
typedef int chunk_index_chunk_visitor(void *context, const uint8_t key[static 16],
				      const struct chunk_place *place);
int chunk_index_each_chunk(struct chunk_index *x, chunk_index_chunk_visitor *visit, void *context);

/*
 * Digests of records, opaque to this layer: by host and sequence. At most
 * INDEX_RECORD_BYTES_MAX bytes each.
 */
#define INDEX_RECORD_BYTES_MAX 16384
int chunk_index_put_record(struct chunk_index *x, const struct host_id *host, uint64_t seq,
			   const void *digest, size_t n);
/* One digest of several. */
struct index_record {
	uint64_t seq;
	const void *digest;
	size_t n;
};
/** Enter several at once: a transaction for each INDEX_BATCH_KEYS. */
int chunk_index_put_records(struct chunk_index *x, const struct host_id *host,
			    const struct index_record *records, size_t n);
int chunk_index_drop_record(struct chunk_index *x, const struct host_id *host, uint64_t seq);
/** Copies at most `room` bytes. Returns the length, -ENOENT, -EUCLEAN. */
int64_t chunk_index_get_record(struct chunk_index *x, const struct host_id *host, uint64_t seq,
			       void *to, size_t room);
/** Highest sequence entered for a host; 0 when none. */
int chunk_index_last_record(struct chunk_index *x, const struct host_id *host, uint64_t *ret_seq);
/**
 * Visit a host's records with sequence >= from, ascending (or descending,
 * <= from). The visitor must not write to the index.
 */
typedef int chunk_index_record_visitor(void *context, uint64_t seq, const void *digest, size_t n);
int chunk_index_each_record(struct chunk_index *x, const struct host_id *host, uint64_t from,
			    bool descending, chunk_index_record_visitor *visit, void *context);

/** Counts for status: entries, and bytes of the database file in use. */
int chunk_index_stats(struct chunk_index *x, uint64_t *ret_chunks, uint64_t *ret_packs,
		      uint64_t *ret_bytes);
/** Free reader slots of dead processes. Call at open and every minute. */
void chunk_index_clear_dead_readers(struct chunk_index *x);

#endif
