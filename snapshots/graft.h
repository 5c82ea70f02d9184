/* SPDX-License-Identifier: MIT */
/*
 * graft: puts a captured subtree into a snapshot's tree at its path.
 *
 * Of the folders on the way (the spine) only the nodes that change are read
 * and written; everything else is taken over by id.
 *
 * Threads: belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_GRAFT_H
#define SNAPSHOTS_GRAFT_H

#include "snapshots/tree_patch.h"
#include "snapshots/tree_reader.h"
#include "store/base/bytes.h"

/* Tells the attributes of a folder on the way that the tree does not have yet. */
typedef int graft_placeholder(void *context, const char *path, struct tree_entry *ret_entry);

struct graft {
	struct tree_reader *reader;
	struct tree_patch *patch;
	graft_placeholder *placeholder;
	void *context;
};

/**
 * Put `entry` (its name is not looked at) at an absolute path below the root
 * whose encoded entry is in `root`, replacing what is there; with entry NULL
 * take out what is there, and placeholders on the way that are empty then.
 * `root` is replaced by the new root's encoding. With `keep`, an entry that exists already is left
 * as it is. Returns 0; -ENAMETOOLONG; -errno. What stands on the way and is no folder gives way to
 * one.
 */
int graft_apply(struct graft *g, struct byte_buf *root, const char *path,
		const struct tree_entry *entry, bool keep);

#endif
