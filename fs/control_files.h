/* SPDX-License-Identifier: MIT */
/*
 * control_files: .yore/, the mount as files.
 *
 * Each look-up of a file makes a new node with its content as of then, which
 * lives until the kernel forgets it: whoever has it open reads one consistent
 * text of the right size.
 *
 * Threads: any; a lock (LOCK_RANK_LEAF) guards the list of nodes.
 */
#ifndef FS_CONTROL_FILES_H
#define FS_CONTROL_FILES_H

#include "fs/view.h"

struct control_files;

/** `status_json` makes status.json's text (malloc); with NULL it holds the number of nodes only. */
int control_files_new(struct view *v, char *(*status_json)(void *context), void *context,
		      struct control_files **ret_files);
void control_files_free(struct control_files *c);
CLEANUP_DEFINE(struct control_files, control_files_free)

/** The folder .yore itself. */
void control_files_folder(const struct view *v, struct node_info *ret_info);
/** Returns 0, -ENOENT, or another -errno. Counts one look-up. */
int control_files_lookup(struct view *v, const char *name, struct node_info *ret_info);
/** Attributes of a NODE_CONTROL_FILE. Returns 0 or -ESTALE. */
int control_files_stat(struct view *v, uint64_t node, struct node_info *ret_info);
/** List the folder from a cookie on. */
void control_files_list(struct view *v, uint64_t cookie, struct dir_sink *sink);
/** Copy up to n bytes at an offset. Returns the count or -ESTALE. */
int64_t control_files_read(struct view *v, uint64_t node, uint64_t offset, void *to, size_t n);
void control_files_forget(struct view *v, uint64_t node, uint64_t n);

#endif
