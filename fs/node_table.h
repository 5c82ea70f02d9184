/* SPDX-License-Identifier: MIT */
/*
 * node_table: the directories of snapshots that the kernel knows, by slot.
 *
 * A directory has one node for each name through which it is reached. The one
 * below .snapshots/@X is canonical; the same directory below an alias of that
 * snapshot is a node of its own that points at the canonical one, whose number
 * the files below both carry, so that they share page cache.
 *
 * Invariants:
 * - a node lives while the kernel has look-ups of it, or of a file in it, or
 *   while a child or an alias node refers to it; then it leaves, and its slot
 *   may be used again under another generation;
 * - (parent slot, index) and, for roots, (key, name) are unique;
 * - a canonical node's parent is canonical, an alias node's an alias;
 * - a canonical root holds its snapshot open, and so does all below it.
 *
 * Memory: about 112 bytes a node, nothing a file. Threads: any; one lock
 * (LOCK_RANK_MOUNT) guards everything.
 */
#ifndef FS_NODE_TABLE_H
#define FS_NODE_TABLE_H

#include "fs/node_id.h"
#include "fs/open_snapshot.h"

struct node_table;

/* A directory as a request needs it: a copy, valid whatever is forgotten meanwhile. */
struct dir_view {
	uint32_t slot;
	uint32_t canonical;            /* whose number its files carry */
	uint32_t canonical_generation; /* and whose generation */
	uint64_t key;                  /* of the snapshot: see node_id.h */
	uint64_t ino;                  /* its st_ino */
	uint64_t parent_ino;           /* for ".." (its own for a root) */
	struct chunk_id tree;
};

/* Where the entry of a node is found. */
struct entry_place {
	struct open_snapshot *snapshot; /* a reference, for a snapshot's root; else NULL */
	struct chunk_id tree;           /* else: entry `index` of this directory */
	uint64_t index;
	uint64_t key;
	uint64_t parent_ino;
};

/* A node just looked up. */
struct node_handle {
	uint64_t node;
	uint32_t generation;
};

int node_table_new(struct node_table **ret_table);
void node_table_free(struct node_table *t);
CLEANUP_DEFINE(struct node_table, node_table_free)

/** Returns 0, or -ESTALE for a slot that is not in use. */
int node_table_view(struct node_table *t, uint32_t slot, struct dir_view *ret_view);
/** For a NODE_TREE number; unref the snapshot in it. Returns 0 or -ESTALE. */
int node_table_place(struct node_table *t, uint64_t node, struct entry_place *ret_place);

/** The open snapshot of a key, with a reference, or NULL when the table has none. */
struct open_snapshot *node_table_snapshot(struct node_table *t, uint64_t key);
/**
 * Look up a snapshot's root under an alias's name, or with NULL its canonical
 * root. Takes its own references of the snapshot. Counts one look-up. Returns
 * 0, -ENOMEM, or -ENFILE when all slots are in use.
 */
int node_table_enter_root(struct node_table *t, const char *alias, struct open_snapshot *snapshot,
			  const struct chunk_id *tree, uint64_t ino,
			  struct node_handle *ret_handle);
/** Look up the directory that is entry `index` of the one at `parent`. Counts one look-up. Also
 * -ESTALE; -ELOOP for one inside itself, or past TREE_DEPTH_MAX. */
int node_table_enter_child(struct node_table *t, uint32_t parent, uint32_t index,
			   const struct chunk_id *tree, uint64_t ino,
			   struct node_handle *ret_handle);
/** Count n look-ups of files in a canonical directory. Returns 0 or -ESTALE. */
int node_table_count_files(struct node_table *t, uint32_t canonical, uint64_t n);
/** The kernel drops n look-ups of a node. Unknown numbers and too many are logged, and left alone.
 */
void node_table_forget(struct node_table *t, uint64_t node, uint64_t n);
/**
 * The names under which the kernel has reached a snapshot's root: aliases, and
 * "" for the canonical one. Terminated strings one after another in *ret_names
 * (the caller frees it). Returns how many (0: the kernel knows none) or -ENOMEM.
 */
int node_table_root_names(struct node_table *t, uint64_t key, char **ret_names);
/** Nodes in memory. */
uint64_t node_table_count(struct node_table *t);

#endif
