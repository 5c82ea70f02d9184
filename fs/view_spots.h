/* SPDX-License-Identifier: MIT */
/*
 * view_spots: what .versions, .deleted and .diff have in common: folders that
 * are put together from many snapshots.
 *
 * A folder in one of them has the owner, mode and ACL that the directory last
 * had, and is a node of its own (spot_table.h). A file in them is the very
 * node that it is in the snapshot that it is shown from, so that what is read
 * is kept once, and holds that snapshot.
 *
 * Threads: any.
 */
#ifndef FS_VIEW_SPOTS_H
#define FS_VIEW_SPOTS_H

#include "fs/name_batch.h"
#include "fs/spot_table.h"
#include "fs/view_tree.h"

/* Nodes: NODE_SPOT, and the fixed ones that are a host's .versions, .deleted or .diff. */

/** Returns 0, -ENOENT, -errno. Counts one look-up. */
int view_spot_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info);
int view_spot_stat(struct view *v, uint64_t node, struct node_info *ret_info);
/** List from a cookie on: names only. Returns 0 or -errno. */
int view_spot_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink);
/** For entry_lease_open(): the entry whose attributes the folder has. */
int view_spot_lease(struct view *v, uint64_t node, struct entry_lease *ret_lease);

/* ---- for the views ---- */

/* What a path was when it last was there. */
struct spot_found {
	struct stat st;
	uint64_t seq;   /* the last snapshot that has it so */
	bool is_latest; /* it still is there */
};

/**
 * What `name` in the directory at `folder` last was; `directories_only`: last
 * was as a directory. Returns 0, -ENOENT, -errno.
 */
int spot_resolve(struct view *v, const struct view_host *h, const char *folder, const char *name,
		 bool directories_only, struct spot_found *ret_found);
/**
 * Does the directory `tree`, at a path in a snapshot, lie inside itself? Only
 * forged ones do; tools that do not look for loops would go down for ever.
 * Returns 0, -ELOOP, -errno.
 */
int spot_check_loop(const struct view *v, const struct view_host *h, uint64_t seq, const char *path,
		    const struct chunk_id *tree);
/** Look up what is no directory, at folder/name (`name` may be NULL) in a snapshot. -EISDIR; else
 * as view_spot_lookup. */
int spot_enter_file(struct view *v, const struct view_host *h, uint64_t seq, const char *folder,
		    const char *name, struct node_info *ret_info);
/** Look up a folder in the spot `parent`. `like`: what spot_table_enter takes, ino left out. */
int spot_enter_folder(struct view *v, const struct spot *parent, const char *name,
		      struct spot *like, struct open_snapshot **held, struct node_info *ret_info);
/** The same as a look-up. */
int spot_enter_described(struct view *v, const struct view_host *h, const struct spot *parent,
			 const char *name, struct node_info *ret_info);

/* Each view: look a name up; add all names of a folder to a batch. */
int view_versions_lookup(struct view *v, const struct view_host *h, const struct spot *parent,
			 const char *name, struct node_info *ret_info);
int view_versions_fill(struct view *v, const struct view_host *h, const struct spot *spot,
		       struct name_batch *batch);
/** The versions of a file come first. 1: all listed; 0: no room; -errno. */
int view_versions_list(struct view *v, const struct view_host *h, const struct spot *spot,
		       uint64_t *cookie, struct dir_sink *sink);
int view_deleted_lookup(struct view *v, const struct view_host *h, const struct spot *parent,
			const char *name, struct node_info *ret_info);
int view_deleted_fill(struct view *v, const struct view_host *h, const struct spot *spot,
		      struct name_batch *batch);
int view_diff_lookup(struct view *v, const struct view_host *h, const struct spot *parent,
		     const char *name, struct node_info *ret_info);
int view_diff_fill(struct view *v, const struct view_host *h, const struct spot *spot,
		   struct name_batch *batch);

#endif
