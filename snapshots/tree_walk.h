/* SPDX-License-Identifier: MIT */
/*
 * tree_walk: every entry of one tree, depth first, parents before what they
 * hold, names in order. Iterative: memory grows by a few words a level.
 *
 * Threads: a walk belongs to the thread that runs it.
 */
#ifndef SNAPSHOTS_TREE_WALK_H
#define SNAPSHOTS_TREE_WALK_H

#include "snapshots/tree_node.h"

/**
 * Gets each entry with its path below the root (raw bytes, "" for the root,
 * which comes first at depth 0; its children have depth 1). Both are valid
 * for the call. Return 0 to go on, 1 to leave out what lies below this
 * directory, a negative errno to end the walk with it.
 */
typedef int tree_walk_visitor(void *context, const char *path, const struct tree_entry *entry,
			      uint32_t depth);

/**
 * Gets the path of a directory of which `lost` entries (0: unknown) could not
 * be read, for the reason `error`. Return 0 to go on with the rest, a negative
 * errno to end the walk.
 */
typedef int tree_walk_failed(void *context, const char *path, int error, uint64_t lost);

/**
 * Walk from `root`, usually the directory that a record carries. Without
 * `failed`, the first directory that cannot be read ends the walk. Returns 0;
 * what a visitor returned; -ELOOP past TREE_DEPTH_MAX; -ENOMEM; or why a node
 * could not be read.
 */
int tree_walk(struct chunk_cache *cache, const struct tree_entry *root, tree_walk_visitor *visit,
	      tree_walk_failed *failed, void *context);

#endif
