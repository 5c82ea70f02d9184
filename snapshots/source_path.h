/* SPDX-License-Identifier: MIT */
/*
 * source_path: where a path that a user typed really is, and by which symlinks
 * it is reached.
 *
 * Threads: any.
 */
#ifndef SNAPSHOTS_SOURCE_PATH_H
#define SNAPSHOTS_SOURCE_PATH_H

#include "store/base/cleanup.h"

#include <stddef.h>

/* A symlink that was followed on the way. */
struct source_link {
	char *path;   /* canonical path of the link itself */
	char *target; /* relative to the link's folder */
};

struct source_path {
	char *path; /* absolute, no symlink among the folders on the way, no trailing slash */
	struct source_link *links;
	size_t n_links;
};

/**
 * Resolve a path, relative ones against the working directory. The last
 * component is followed too if it is a symlink to something that exists.
 * Missing components are kept as they are (a source may be away for now).
 * Returns 0; -ELOOP; -ENAMETOOLONG; -ENOMEM; -EACCES.
 */
int source_path_resolve(const char *text, struct source_path *ret_path);
void source_path_done(struct source_path *p);

/** Is `path` the folder itself or below it? Both absolute and canonical. */
int source_path_within(const char *path, const char *folder);

#endif
