/* SPDX-License-Identifier: MIT */
/*
 * tree_writer: writes one directory as a tree of nodes, entry by entry, in
 * memory bounded by its depth.
 *
 * Nodes are cut after a name whose keyed hash says so once NODE_BYTES_SPLIT is
 * reached, and in any case before NODE_BYTES_MAX; so equal directories give
 * equal trees, and one changed entry a handful of new nodes.
 *
 * Threads: belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_TREE_WRITER_H
#define SNAPSHOTS_TREE_WRITER_H

#include "snapshots/tree_node.h"

struct tree_writer;

/** `placement_key` is KEY_PLACEMENT; it and the sink are borrowed. */
int tree_writer_new(struct object_sink *sink, const uint8_t placement_key[static KEY_BYTES],
		    struct tree_writer **ret_writer);
void tree_writer_free(struct tree_writer *w);
CLEANUP_DEFINE(struct tree_writer, tree_writer_free)
/** Append an entry; names strictly ascending (-EINVAL otherwise). Returns 0 or -errno. */
int tree_writer_add(struct tree_writer *w, const struct tree_entry *entry);
/** Finish the directory: its root (all zero when empty) and number of entries. Starts afresh. */
int tree_writer_finish(struct tree_writer *w, struct chunk_id *ret_root, uint64_t *ret_count);

#endif
