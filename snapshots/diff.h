/* SPDX-License-Identifier: MIT */
/*
 * diff: what differs between two trees.
 *
 * Equal nodes are equal directories, or equal stretches of one, and are not
 * read: the cost follows the number of changes. Iterative, like tree_walk.
 *
 * Threads: a comparison belongs to the thread that runs it.
 */
#ifndef SNAPSHOTS_DIFF_H
#define SNAPSHOTS_DIFF_H

#include "snapshots/tree_node.h"

enum diff_change {
	DIFF_ADDED,    /* before is NULL */
	DIFF_REMOVED,  /* after is NULL */
	DIFF_MODIFIED, /* a file's bytes, a link's target, a device's number */
	DIFF_METADATA, /* mode, owner, mtime, extended attributes or file flags alone */
	DIFF_TYPE,     /* another kind of object under the same name */
};

/**
 * Gets each change with the path below the roots (raw bytes, "" for the roots
 * themselves), parents before what they hold, names in order; all of it valid
 * for the call. What is below an added or removed directory follows entry by
 * entry, also when a directory became something else or the reverse. Return 0
 * to go on, 1 to leave out what lies below, a negative errno to end with it.
 */
typedef int diff_visitor(void *context, enum diff_change change, const char *path,
			 const struct tree_entry *before, const struct tree_entry *after);

/**
 * Compare two entries and what they hold; NULL: absent. Contents are compared
 * by their ids. ctime, btime, inode, link count and file system alone are no
 * difference. Returns 0; what a visitor returned; -ELOOP past TREE_DEPTH_MAX;
 * -ENOMEM; or why a node could not be read.
 */
int diff_trees(struct chunk_cache *cache, const struct tree_entry *before,
	       const struct tree_entry *after, diff_visitor *visit, void *context);

/** Gets the two entries of one name, either of which may be NULL. A non-zero answer ends it. */
typedef int diff_name_visitor(void *context, const struct tree_entry *before,
			      const struct tree_entry *after);
/**
 * Visit the names of two directories alone, in order; what both have alike in
 * whole nodes is left out. Returns 0, what a visitor returned, or -errno.
 */
int diff_names(struct chunk_cache *cache, const struct chunk_id *before,
	       const struct chunk_id *after, diff_name_visitor *visit, void *context);

/** How two entries differ, what directories hold left aside: a change, or -1 for not at all. */
int diff_entries(const struct tree_entry *before, const struct tree_entry *after);

#endif
