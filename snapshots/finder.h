/* SPDX-License-Identifier: MIT */
/*
 * finder: looks for names in all snapshots of a timeline.
 *
 * A directory that has been looked through at a path is not looked through
 * there again in another snapshot, so the cost follows what changed and not
 * the number of snapshots. Two passes: from the oldest snapshot, to learn when
 * each version that matches first appears; then from the newest, reporting it
 * with the last. Memory: 8 bytes a directory version (bounded: past
 * FINDER_SEEN_MAX the search only gets slower) and 16 to 32 a match.
 *
 * Threads: finder_run may be called by several threads, each with its own call.
 */
#ifndef SNAPSHOTS_FINDER_H
#define SNAPSHOTS_FINDER_H

#include "snapshots/timeline.h"

#include <stdbool.h>

#define FINDER_SEEN_MAX (4u << 20)

struct finder_options {
	/*
	 * Without a '/': compared with the last name ("*.odt", "report.odt").
	 * With one: with the whole path, from any directory on ("src/?.c" finds
	 * /home/me/src/a.c), or from the root if it begins with '/'. Wildcards as
	 * in glob.h; without any the name must be equal.
	 */
	const char *pattern;
	bool ignore_case;   /* ASCII letters */
	const char *below;  /* only this absolute path and what lies below it; NULL: all */
	uint64_t first_seq; /* only snapshots from here */
	uint64_t last_seq;  /* up to here; 0: the newest */
};

/* One version of one path. Directories: one version as long as owner and mode stay. */
struct finder_hit {
	const char *path;               /* absolute */
	const struct tree_entry *entry; /* as in the last snapshot */
	uint64_t first_seq;             /* oldest snapshot that has it */
	uint64_t last_seq;              /* newest one */
	char first_name[SNAPSHOT_NAME_BYTES];
	char last_name[SNAPSHOT_NAME_BYTES];
};

/** A non-zero answer ends the search and is returned. The hit is valid during the call. */
typedef int finder_visitor(void *context, const struct finder_hit *hit);

/**
 * Visit every distinct version of every path that matches, once, newest
 * snapshots first, paths in order within one. Directories that cannot be read
 * are named in the log and counted in *ret_unreadable (may be NULL), and the
 * search goes on. Returns 0; -EINVAL for a malformed or empty pattern; -ENOMEM; the
 * visitor's answer.
 */
int finder_run(struct timeline *t, struct chunk_cache *cache, const struct finder_options *options,
	       finder_visitor *visit, void *context, uint64_t *ret_unreadable);

#endif
