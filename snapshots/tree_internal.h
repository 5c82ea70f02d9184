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
#include "snapshots/tree_writer.h"

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
/** Only its name: a tenth of the time. Valid as an entry is. 1, 0 at the end, -errno. */
int tree_reader_peek_name(struct tree_reader *r, const char **ret_name, uint32_t *ret_n);
/** Step over the entry that _peek or _peek_name gave. */
void tree_reader_step(struct tree_reader *r);
/**
 * While both readers stand at the start of the same node: step over it in
 * both, without loading it. Returns 0 or -errno.
 */
int tree_reader_skip_equal(struct tree_reader *a, struct tree_reader *b);

/* A node as its parent knows it: not loaded. */
struct tree_child {
	struct chunk_id id;
	uint32_t level;
	uint64_t total;    /* entries below */
	const char *first; /* its first name; borrowed */
	uint32_t first_n;
	const char *after; /* first name of the node behind it; NULL: it is the last */
	uint32_t after_n;
};
/** The node that begins where the reader stands, unless that is inside a leaf or at the end. Valid
 * until the next call on r. 1, 0, -EUCLEAN. */
int tree_reader_pending(struct tree_reader *r, struct tree_child *ret_child);
/** Step over the pending node without loading it. */
void tree_reader_step_child(struct tree_reader *r, const struct tree_child *child);
/** Load the pending node: its first child is pending then, or its first entry comes next. */
int tree_reader_enter(struct tree_reader *r);

/** Is the next entry the first of a node of this level, and of all below? */
bool tree_writer_at_border(const struct tree_writer *w, uint32_t level);
/**
 * Append a node that is stored already; the writer stands at such a border.
 * The tree is the one that its entries would have given if the node is one
 * that a tree_writer cut, and not the last of its level, or the last one here too.
 */
int tree_writer_add_child(struct tree_writer *w, const struct tree_child *child);
/** Forget what was added. */
void tree_writer_restart(struct tree_writer *w);

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
