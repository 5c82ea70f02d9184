/* SPDX-License-Identifier: MIT */
/*
 * view_tree: inside a snapshot: captured directories, links and attributes.
 *
 * Everything here is immutable, so the kernel may keep every answer for ever,
 * also that a name is not there. Damage is an error of its own (-EBADMSG,
 * -EUCLEAN, ...), never -ENOENT. Nodes are NODE_TREE numbers.
 *
 * Threads: any.
 */
#ifndef FS_VIEW_TREE_H
#define FS_VIEW_TREE_H

#include "fs/view.h"

/* In larger directories a listing gives names only: nodes would cost the kernel
 * 1 KiB each. */
#define LIST_PLUS_MAX 65536u

/** Returns 0 (ret_info->node 0: there is no such name), or -errno. Counts one
 * look-up. */
int view_tree_lookup(struct view *v, uint64_t parent, const char *name, struct node_info *ret_info);
int view_tree_stat(struct view *v, uint64_t node, struct node_info *ret_info);
/** List a directory from a cookie on. With sink->plus each node given counts
 * one look-up. */
int view_tree_list(struct view *v, uint64_t node, uint64_t cookie, struct dir_sink *sink);
/** A symlink's target with its NUL. Returns 0, -EINVAL for anything else,
 * -errno. */
int view_tree_link(struct view *v, uint64_t node, char to[static LINK_BYTES_MAX + 1]);

/**
 * Append the value of an attribute: a captured one, or one of user.yore.*.
 * Returns 0, -ENODATA, -EOPNOTSUPP for an absent security.selinux, -errno.
 */
int view_tree_xattr(struct view *v, uint64_t node, const char *name, struct byte_buf *to);
/** Append the names of the captured ones, each with its NUL. Returns 0 or
 * -errno. */
int view_tree_xattr_names(struct view *v, uint64_t node, struct byte_buf *to);

/* ---- one entry, for the other modules of the view ---- */

struct entry_lease {
	struct tree_entry entry;
	uint64_t key;
	uint64_t parent_ino;
	/* the module's own */
	struct tree_lease tree;
	struct tree_reader *own;
	struct entry_decoder decoder;
	struct open_snapshot *snapshot;
};

/** Find the entry of a node; entry_lease_done() in any case. Returns 0 or
 * -errno. */
int entry_lease_open(struct view *v, uint64_t node, struct entry_lease *ret_lease);
void entry_lease_done(struct entry_lease *l);

#endif
