/* SPDX-License-Identifier: MIT */
/*
 * exclude: which paths below a source are left out: lines as in .gitignore.
 *
 * '#' begins a comment, '!' takes a path back in, a trailing '/' means folders
 * only, a '/' elsewhere ties the pattern to the source's root, "**" spans
 * folders; the last line that matches decides. A path below an excluded folder
 * cannot be taken back in: the walker asks about each folder and does not
 * descend. Bytes are compared as they are, upper and lower case differ. A
 * malformed line matches nothing, as in git; exclude_new() names it in the log.
 *
 * Threads: immutable once made.
 */
#ifndef SNAPSHOTS_EXCLUDE_H
#define SNAPSHOTS_EXCLUDE_H

#include "store/base/cleanup.h"

#include <stdbool.h>

struct exclude;

/** Compile newline-separated lines ("" for none). Copies them. Returns 0 or -ENOMEM. */
int exclude_new(const char *lines, struct exclude **ret_exclude);
/** NULL is fine. */
void exclude_free(struct exclude *e);
CLEANUP_DEFINE(struct exclude, exclude_free)
/**
 * Is this path, relative to the source's root and without a leading '/', left
 * out? 1 yes, 0 no. Does not look at its parents. Allocates nothing.
 */
int exclude_match(const struct exclude *e, const char *relative_path, bool is_folder);

#endif
