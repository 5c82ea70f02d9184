/* SPDX-License-Identifier: MIT */
/*
 * chunk_index_collect: what collection asks of the index beyond chunk_index.h.
 *
 * Durability and threads: as there. Packs pass through these in order: their
 * living objects' lines move to a new pack, they are condemned, their other
 * lines and then their own are dropped. After each call, and after a crash
 * between any two transactions, the line of an object that was readable before
 * names a listed pack that holds it.
 */
#ifndef STORE_CHUNK_INDEX_COLLECT_H
#define STORE_CHUNK_INDEX_COLLECT_H

#include "store/chunk_index.h"

/** The number that the next new pack gets: those of all that is listed are below. */
int chunk_index_next_pack(struct chunk_index *x, uint32_t *ret_number);
/** As noted by the last complete collection when it began; 0 when there was none. */
int chunk_index_collected(struct chunk_index *x, uint32_t *ret_next_pack);
int chunk_index_note_collected(struct chunk_index *x, uint32_t next_pack);

/**
 * Enter a durable pack whose objects are copies of such in the packs `from`
 * (numbers, ascending): lines that point there (shunned ones stay shunned), to
 * no listed pack, or are shunned, point to the new pack from now on, others stay. The pack's own
 * line comes first, so that readers find every moved line's pack.
 */
int chunk_index_move(struct chunk_index *x, const struct pack_info *info,
		     const struct pack_entry *entries, size_t n, const uint32_t *from,
		     size_t n_from);

/**
 * Condemn packs that hold nothing which a record leads to. The generation
 * moves: captures under way, which may have found something in them, must not
 * commit. What was trusted stays trusted. One transaction; unknown packs are
 * passed over. Call with the commit lock held and all records looked at.
 */
int chunk_index_condemn_dead(struct chunk_index *x, const struct pack_id *ids, size_t n);

/**
 * Drop condemned packs of which `keys` are all that the index may know (in any
 * order; they are sorted in place). Lines that point elsewhere stay. Nothing
 * becomes unusable that was not before: the generation stays. Packs that are
 * not condemned are passed over.
 */
int chunk_index_drop_dead(struct chunk_index *x, const struct pack_id *ids, size_t n,
			  uint8_t (*keys)[16], size_t n_keys);

#endif
