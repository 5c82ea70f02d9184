/* SPDX-License-Identifier: MIT */
/*
 * describe: snapshots and directory entries as JSON and as lines for people.
 *
 * The keys are stable: what a later version adds comes beside them.
 * Threads: one at a time (names of users are looked up through a small cache).
 */
#ifndef TOOLS_DESCRIBE_H
#define TOOLS_DESCRIBE_H

#include "snapshots/timeline.h"

#include <jansson.h>
#include <stdio.h>

/** id, seq, name, time, host, tags, files, bytes, new_bytes, ...; NULL on no memory. */
json_t *describe_snapshot_json(const struct snapshot_info *info, const char *host);
/** Add what only the record knows: per_source. 0 or -ENOMEM. */
int describe_sources_json(json_t *snapshot, const struct record *record);
/** path, type, mode, uid, gid, size, mtime, ...; NULL on no memory. */
json_t *describe_entry_json(const char *path, size_t path_n, const struct tree_entry *entry);
/** "-rw-r--r--  1 root root  12 2024-05-01 14:30:00 +0200 ": what `ls -l` shows before the name. */
void describe_entry_line(FILE *stream, const struct tree_entry *entry);
/** "drwxr-xr-x" */
void describe_mode(uint32_t mode, char to[static 11]);
/** "file", "directory", "symlink", "fifo", "socket", "char", "block". */
const char *describe_type(uint32_t mode);

#endif
