/* SPDX-License-Identifier: MIT */
/*
 * versions: what one path was in each snapshot of a timeline: the runs of
 * snapshots in which it was the same.
 *
 * Found by looking the path's names up from snapshot to snapshot; where a
 * directory on the way is the same tree as in the snapshot before, so is all
 * below it, and nothing is read. A later update goes on where the last one
 * ended, unless snapshots were forgotten meanwhile. Snapshots that cannot be
 * read are named in the log and left out.
 *
 * A directory's runs are those of its whole tree, so that what was in it at
 * any time is found without looking at the snapshots again.
 *
 * Memory: 72 bytes a run, thus at most that for each snapshot.
 * Threads: belongs to one thread at a time.
 */
#ifndef SNAPSHOTS_VERSIONS_H
#define SNAPSHOTS_VERSIONS_H

#include "snapshots/timeline.h"
#include "snapshots/tree_reader.h"

/* A run. Two of them beside one another differ in type or in what they hold, not in mode alone. */
struct version {
	uint64_t first_seq; /* oldest snapshot of the run */
	uint64_t last_seq;  /* newest one */
	uint64_t ino;       /* as in the oldest */
	uint32_t file_system;
	uint32_t mode;      /* as in the oldest; 0: the path was not there */
	struct chunk_id id; /* a directory's tree, a file's content; of others made from what
			       they are */
};

struct versions;

/** For a path such as "/home/me/a" ("" or "/": the root). Borrows all but the path. Nothing is read
 * before the first update. Returns 0, -ENAMETOOLONG, -ENOMEM. */
int versions_new(struct timeline *t, struct chunk_cache *cache, const char *path,
		 struct versions **ret_versions);
void versions_free(struct versions *v);
CLEANUP_DEFINE(struct versions, versions_free)
/** Bring it up to the newest snapshot that the timeline knows. Returns 0 or -errno. */
int versions_update(struct versions *v);

/** The runs, oldest first; the first is not "was not there". Valid until the next update. */
const struct version *versions_all(const struct versions *v, size_t *ret_n);
/** Snapshots that could not be read. */
uint64_t versions_unreadable(const struct versions *v);
/** Bytes in memory. */
size_t versions_bytes(const struct versions *v);

/* ---- what a directory held ---- */

/**
 * The newest entry of that name in what was a directory at this path;
 * `directories_only`: only one that is a directory. `*ret_seq` is the last
 * snapshot that has it as it is. Valid until the next call on the reader.
 * Directories that cannot be read are passed over. Returns 0; -ENOENT; -errno,
 * also why one of those could not be read, when no other has it.
 */
int versions_find(const struct versions *v, struct tree_reader *reader, const char *name,
		  bool directories_only, struct tree_entry *ret_entry, uint64_t *ret_seq);

/** A negative answer ends the visit and is returned. */
typedef int versions_name_visitor(void *context, const char *name, uint32_t n);
/** Visit every name that ever was in it, in no order; some more than once. */
int versions_each_name(const struct versions *v, versions_name_visitor *visit, void *context);

struct gone_visitor {
	/* Is it worth finding out about this name? */
	bool (*wants)(void *context, const char *name, uint32_t n);
	/* The entry as it last was, in snapshot `seq`; negative ends the visit. */
	int (*visit)(void *context, const struct tree_entry *entry, uint64_t seq);
};
/**
 * Visit what was in it and is not in its newest state (all that ever was in
 * it, if the path itself is gone), and the directories that still are there
 * but have lost something, at any depth. Newest losses first; some more than
 * once.
 */
int versions_each_gone(const struct versions *v, const struct gone_visitor *visitor, void *context);

#endif
