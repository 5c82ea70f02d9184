/* SPDX-License-Identifier: MIT */
/*
 * control_files: .yore/, the mount as files, and the banner in the root while
 * protection has stopped.
 *
 * Each look-up of a file makes a new node with its content as of then, which
 * lives until the kernel forgets it: whoever has it open reads one consistent
 * text of the right size.
 *
 * Threads: any; a lock (LOCK_RANK_LEAF) guards the list of nodes and the
 * banner's text. The program's functions are called without it.
 */
#ifndef FS_CONTROL_FILES_H
#define FS_CONTROL_FILES_H

#include "fs/view.h"

/* Stands in the root while the program has something to say that nobody may miss. */
#define BANNER_NAME "PROTECTION-HAS-STOPPED.txt"

struct control_files;

/** `status_json` makes status.json's text (malloc); with NULL it holds the number of nodes only. */
int control_files_new(struct view *v, char *(*status_json)(void *context), void *context,
		      struct control_files **ret_files);
/** What makes the text of `metrics`, and of the banner (NULL from it: there is none). Each may be
 * NULL. Before threads. */
void control_files_texts(struct control_files *c, char *(*metrics)(void *context),
			 char *(*banner)(void *context));
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

/* ---- the banner ---- */

/** Ask for its text anew. True if it came or went since the last time. */
bool control_files_refresh_banner(struct control_files *c);
/** Is there one? */
bool control_files_has_banner(struct control_files *c);
/** Look it up. Returns 0, -ENOENT or -ENOMEM. Counts one look-up. */
int control_files_banner(struct view *v, struct node_info *ret_info);
uint64_t control_files_banner_ino(const struct view *v);

#endif
