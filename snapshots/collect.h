/* SPDX-License-Identifier: MIT */
/*
 * collect: gives back the space of what no snapshot needs any more, beside
 * snapshots, mounts and reads.
 *
 * In turns: mark what this host's records lead to; free the packs in which
 * nothing is alive, which writes nothing but the index; then rewrite small and
 * sparse packs, at most `rewrite_bytes` of them. Only packs of this host are
 * touched. Whatever is deleted was condemned first, under the commit lock,
 * after the records that had come meanwhile were marked as well: a capture that
 * may rely on it is told to begin anew (-ESTALE), and no later one finds it.
 * Steps and locks: yore-design(7), "Collection".
 *
 * Nothing is deleted when a record or a folder cannot be read, or when a
 * record is missing that no forget record explains: nothing is inferred from
 * absence. Records that somebody holds (a mount, a restore) are alive even if
 * they were forgotten.
 *
 * Durability: each pack freed or rewritten is final when its turn ends; a
 * killed collection loses at most the turn that it was in, and the next one
 * goes on. Memory: 8 bytes a live object, in a table that is up to 3/4 full
 * (a million: 16 MiB, for a moment 24), 16 a node likewise, 64 a pack.
 *
 * Threads: one collection at a time in all processes (flock on local/collect);
 * it runs in the calling thread. The callbacks are called from that thread,
 * never with the commit lock held.
 */
#ifndef SNAPSHOTS_COLLECT_H
#define SNAPSHOTS_COLLECT_H

#include "snapshots/timeline.h"
#include "store/chunk_cache.h"

#include <stdbool.h>
#include <stdint.h>

enum collect_phase { COLLECT_MARKING, COLLECT_FREEING, COLLECT_REWRITING };

#define COLLECT_SPARSE_PERCENT 50 /* rewrite a pack of which less than this is alive */

struct collect_options {
	bool dry_run; /* only say what a collection would do: nothing is changed */
	/*
	 * Also free packs that were written since the last collection and that no
	 * record refers to. Otherwise they wait for the next collection, since an
	 * interrupted first snapshot that is taken up again wants to find them.
	 * Packs of a snapshot that is being taken are never freed.
	 */
	bool young_too;
	/* Go on although records are missing: what only they referred to is let go. */
	bool accept_missing;
	unsigned int sparse_percent; /* 0: COLLECT_SPARSE_PERCENT */
	uint64_t rewrite_bytes;      /* at most so many bytes are copied in this run; 0: none */
	uint64_t bytes_per_second;   /* of copying; 0: as fast as it goes */
	/*
	 * So long to wait for snapshots that are being taken to end before packs
	 * are condemned (each turn): they would have to begin anew.
	 */
	uint32_t patience_ms;
	uint64_t reserve_bytes;      /* keep a file of this size for a full disk; 0: none */
	const volatile bool *cancel; /* may be NULL: stop soon, -ECANCELED */
	/* May be NULL. While it says yes, nothing is read or written. */
	bool (*paused)(void *context);
	/* May be NULL. Records when marking, bytes when freeing and rewriting. */
	void (*progress)(void *context, enum collect_phase phase, uint64_t done, uint64_t all);
	/* May be NULL. Why nothing is deleted: record (0: none), and what, for people. */
	void (*problem)(void *context, uint64_t seq, const char *what);
	void *context;
};

struct collect_result {
	uint64_t records;    /* alive */
	uint64_t nodes;      /* distinct, read */
	uint64_t objects;    /* alive, distinct, nodes among them */
	uint64_t bytes_live; /* stored, as sealed */
	uint64_t packs_before, bytes_before;
	uint64_t packs_after, bytes_after;
	uint64_t packs_freed, bytes_freed; /* whole dead packs (dry run: that would be) */
	uint64_t packs_rewritten;          /* small or sparse ones (dry run: that would be) */
	uint64_t bytes_copied;             /* into new packs (dry run: that would be) */
	uint64_t packs_young;              /* dead, but left for the next collection */
	uint64_t packs_in_use;             /* not looked at: a snapshot being taken made them */
	uint64_t problems; /* records and folders that could not be read, records missing */
	uint64_t damaged;  /* live objects that could not be copied; they stay where they are */
	bool no_space;     /* rewriting stopped: the disk is full */
};

/**
 * Run one collection for the timeline, which must be this host's (-EPERM
 * otherwise). Returns 0; -EBUSY when another one runs; -EUCLEAN when nothing
 * was deleted because of problems (each told); -ECANCELED; -ENOSPC; -errno.
 * *ret_result says what was done in any case but -EBUSY and -EPERM.
 */
int collect_run(struct timeline *t, struct chunk_cache *cache,
		const struct collect_options *options, struct collect_result *ret_result);

#endif
