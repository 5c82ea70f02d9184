/* SPDX-License-Identifier: MIT */
/*
 * open_snapshot: a snapshot that the kernel has nodes of: its root's entry,
 * and the hold on its record, so that forget leaves it.
 *
 * Threads: any; the count of references is atomic, the rest never changes.
 */
#ifndef FS_OPEN_SNAPSHOT_H
#define FS_OPEN_SNAPSHOT_H

#include "snapshots/timeline.h"

struct open_snapshot;

/** Hold and read the record `seq` of the host with this number. Returns 0, -ENOENT when it is gone,
 * or another -errno. */
int open_snapshot_new(struct timeline *t, uint32_t host, uint64_t seq,
		      struct open_snapshot **ret_snapshot);
/** The same from a root entry's bytes (copied), with nothing held. Returns 0, -EUCLEAN, -ENOMEM. */
int open_snapshot_from_root(uint64_t key, const void *root, size_t n,
			    struct open_snapshot **ret_snapshot);
struct open_snapshot *open_snapshot_ref(struct open_snapshot *s);
/** The last one drops the hold. NULL is fine. */
void open_snapshot_unref(struct open_snapshot *s);
CLEANUP_DEFINE(struct open_snapshot, open_snapshot_unref)

/** Host and sequence: see node_id.h. */
uint64_t open_snapshot_key(const struct open_snapshot *s);
/** The label of its least sure source. */
enum consistency open_snapshot_consistency(const struct open_snapshot *s);
/** Decode the entry of "/"; valid as long as `s` and `d` are. Returns 0, -EUCLEAN, -ENOMEM. */
int open_snapshot_root(const struct open_snapshot *s, struct entry_decoder *d,
		       struct tree_entry *ret_entry);

#endif
