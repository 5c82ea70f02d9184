/* SPDX-License-Identifier: MIT */
/*
 * glob: shell patterns over names and paths, for excludes and for searching.
 *
 * '*' any run, '?' one byte, [a-z] [!a-z] [^a-z] [[:alpha:]] classes, '\'
 * takes the next byte as it is; none of them matches a '/'. In paths a
 * component that is "**" matches any number of components, the last one at
 * least one. A malformed pattern (open class, '\' at the end) matches nothing.
 * Never exponential: a pattern costs at most its length times the text's.
 *
 * Threads: pure functions.
 */
#ifndef SNAPSHOTS_GLOB_H
#define SNAPSHOTS_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/** Does the name match? `fold` takes ASCII letters of either case for equal. */
bool glob_name(const char *pattern, size_t pattern_n, const char *name, size_t name_n, bool fold);
/** Does the '/'-separated path match component by component? Neither begins with '/'. */
bool glob_path(const char *pattern, size_t pattern_n, const char *path, size_t path_n, bool fold);
/** Is there a '*', '?' or '[' that no '\' protects, or a '\'? */
bool glob_has_magic(const char *pattern, size_t n);
/** Is every class closed and no '\' the last byte? */
bool glob_valid(const char *pattern, size_t n);

#endif
