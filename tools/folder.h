/* SPDX-License-Identifier: MIT */
/*
 * folder: makes folders with their parents. Names are durable on return.
 * Threads: any.
 */
#ifndef TOOLS_FOLDER_H
#define TOOLS_FOLDER_H

#include <sys/types.h>

/** Make an absolute folder and those above it; `mode` for those that are new. 0 or -errno. */
int folder_make_all(const char *path, mode_t mode);
/** The same for what lies above `path`. */
int folder_make_parents(const char *path, mode_t mode);
/** Make the names in the folder that holds `path` durable. 0 or -errno. */
int folder_sync_parent(const char *path);

#endif
