/* SPDX-License-Identifier: MIT */
/*
 * in_place: finds what a changed big file kept of its previous version.
 *
 * A window over the previous version's pieces, around the place that the last
 * equal piece shows, tells which new pieces are old ones and by how much the
 * file has shifted. A piece that differs is compared with the old plaintext at
 * that shift in blocks of 4 KiB: what is equal stays an extent of the old
 * chunk, only the rest is new. Limits keep a file from falling into crumbs:
 * an old chunk of which this piece would use less than half is not used, and a
 * piece never lies in more than PIECE_CHUNKS_MAX chunks.
 *
 * Threads: belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_IN_PLACE_H
#define SNAPSHOTS_IN_PLACE_H

#include "snapshots/content.h"

struct in_place;

/** Borrows the cache. */
int in_place_new(struct chunk_cache *cache, struct in_place **ret_in_place);
void in_place_free(struct in_place *ip);
CLEANUP_DEFINE(struct in_place, in_place_free)
/** Compare with this previous version from now on; copies what it needs. Returns 0 or -errno. */
int in_place_set(struct in_place *ip, const struct content *old);

/**
 * Does the previous version have this piece? 1: *ret_extents (valid until the
 * next call) and their number say where it lies, and the shift for what
 * follows is set; 0: no; -errno.
 */
int in_place_find(struct in_place *ip, const struct chunk_id *id, uint64_t offset,
		  const struct extent **ret_extents, uint32_t *ret_n);
/** The shift that a later equal piece shows, without moving the window. 1, 0 or -errno. */
int in_place_peek(struct in_place *ip, const struct chunk_id *id, uint64_t offset,
		  int64_t *ret_shift);
/** The shift of the last equal piece: old offset minus new offset. */
int64_t in_place_shift(const struct in_place *ip);

/* A run of a compared piece: kept (extent says where) or new (bytes at `at` of the piece). */
struct in_place_run {
	bool kept;
	uint32_t at;
	struct extent extent; /* kept: chunk, offset, length; new: length only */
};

/**
 * Compare n bytes at a file offset with the old plaintext at `shift`. 1: runs
 * (valid until the next call) that cover the piece, within the limits above
 * and at most half new; 0: not worth it, store it afresh; -errno never: an old
 * version that cannot be read is no base (0).
 */
int in_place_compare(struct in_place *ip, const uint8_t *data, uint32_t n, uint64_t offset,
		     int64_t shift, const struct in_place_run **ret_runs, uint32_t *ret_n);

#endif
