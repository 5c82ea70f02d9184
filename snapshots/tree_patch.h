/* SPDX-License-Identifier: MIT */
/*
 * tree_patch: makes a directory from an older one and what differs, reading
 * and writing only the nodes that differ.
 *
 * The result is the tree that a tree_writer makes of the same entries: where
 * a node begins at the same name as an old one, and nothing changes in it nor
 * the entry behind it (which may have been what ended it), the old one is
 * taken over by its id, unread.
 *
 * Threads: belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_TREE_PATCH_H
#define SNAPSHOTS_TREE_PATCH_H

#include "snapshots/tree_node.h"
#include "store/chunk_cache.h"

struct tree_patch;

/** `placement_key` is KEY_PLACEMENT; all three are borrowed. */
int tree_patch_new(struct chunk_cache *cache, struct object_sink *sink,
		   const uint8_t placement_key[static KEY_BYTES], struct tree_patch **ret_patch);
void tree_patch_free(struct tree_patch *p);
CLEANUP_DEFINE(struct tree_patch, tree_patch_free)
/** Begin with this directory; all zero: an empty one. Drops what another one had come to. Returns
 * 0, or why it cannot be read. */
int tree_patch_begin(struct tree_patch *p, const struct chunk_id *old);
/**
 * Put an entry in its place; the names of changes ascend (-EINVAL otherwise).
 * Returns 1 when it takes the place of an old one, which is lent until the
 * next call in *ret_old (may be NULL), 0 when it is new, -errno.
 */
int tree_patch_put(struct tree_patch *p, const struct tree_entry *entry,
		   struct tree_entry *ret_old);
/** Leave a name out. Returns like _put; 0: it was not there. */
int tree_patch_remove(struct tree_patch *p, const char *name, uint32_t n,
		      struct tree_entry *ret_old);
/**
 * Leave out the next old entry if its name is below this one (NULL: whatever
 * it is). 1 and the entry, lent until the next call; 0: there is none; -errno.
 */
int tree_patch_remove_before(struct tree_patch *p, const char *name, uint32_t n,
			     struct tree_entry *ret_old);
/** The new directory: its root (all zero when empty) and number of entries. */
int tree_patch_finish(struct tree_patch *p, struct chunk_id *ret_root, uint64_t *ret_count);

#endif
