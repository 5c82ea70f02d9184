/* SPDX-License-Identifier: MIT */
/*
 * tree_internal: what the codec of entries shares with that of nodes, and
 * what comparing two directories needs of the reader. For this folder and its
 * tests only.
 */
#ifndef SNAPSHOTS_TREE_INTERNAL_H
#define SNAPSHOTS_TREE_INTERNAL_H

#include "snapshots/content_internal.h"
#include "snapshots/tree_node.h"
#include "snapshots/tree_reader.h"

/** May this entry be stored? `alone`: its name may be empty. */
bool entry_valid(const struct tree_entry *e, bool alone);
/** Most bytes that a valid entry takes, the table's ids left out. */
size_t entry_bytes_max(const struct tree_entry *e);
/** Encode a valid entry at `to`. Returns the end, or NULL when the table is out of memory or room.
 */
uint8_t *entry_put(uint8_t *to, struct chunk_table *t, const struct tree_entry *e);
/**
 * Read one entry that must fill the n bytes, straight into *ret_entry, which
 * is garbage after a failure: copying its 400 bytes is a fifth of the time.
 * 0, -EUCLEAN, -ENOMEM.
 */
int entry_get(const uint8_t *data, size_t n, const struct chunk_list *chunks, bool alone,
	      struct entry_decoder *d, struct tree_entry *ret_entry);

/** Number of entries below the children before child i of an inner node. 0 or -EUCLEAN. */
int node_view_before(const struct node_view *v, uint32_t i, uint64_t *ret_sum);

/** The entry that _next would yield, without stepping over it. 1, 0 at the end, -errno. */
int tree_reader_peek(struct tree_reader *r, struct tree_entry *ret_entry);
/** Step over the entry that _peek gave. */
void tree_reader_step(struct tree_reader *r);
/**
 * While both readers stand at the start of the same node: step over it in
 * both, without loading it. Returns 0 or -errno.
 */
int tree_reader_skip_equal(struct tree_reader *a, struct tree_reader *b);

/*
 * The readers of a walk: one for each of the deepest directories. A directory
 * whose reader went to a deeper one is set up again when the walk returns to
 * it, so that memory does not grow with depth.
 */
#define READER_RING 16u
struct reader_ring {
	struct chunk_cache *cache;
	struct tree_reader *readers[READER_RING];
	uint32_t owners[READER_RING]; /* depth + 1 */
};

void reader_ring_done(struct reader_ring *ring);
/** Give the directory at `depth` no reader any more: another one begins there. */
void reader_ring_forget(struct reader_ring *ring, uint32_t depth);
/** The reader of the directory at `depth`, standing at `position`. 0 or -errno. */
int reader_ring_get(struct reader_ring *ring, uint32_t depth, const struct chunk_id *root,
		    uint64_t position, struct tree_reader **ret_reader);

/**
 * Is this directory among those on the way to it, whose roots lie `stride`
 * bytes apart from the first one's on? Keyed hashes do not allow it; whoever has the keys
 * can seal it under a false id, and a walk that tolerates damage would never end.
 */
static inline bool tree_contains_itself(const struct chunk_id *root, const void *roots,
					size_t stride, size_t n)
{
	const uint8_t *at = roots;

	for (size_t i = 0; i < n; i++, at += stride)
		if (memcmp(at, root, sizeof(*root)) == 0)
			return true;
	return false;
}

/** Path of a walk: cut it to `n` bytes, then append "/name" (no '/' at the start). 0 or -ENOMEM. */
struct byte_buf;
int walk_path_set(struct byte_buf *path, size_t n, const char *name, uint32_t name_n);

#endif
