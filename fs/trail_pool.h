/* SPDX-License-Identifier: MIT */
/*
 * trail_pool: what paths were over time (snapshots/versions.h), kept for the
 * next who asks: then only the snapshots taken since are looked at.
 *
 * Bounded in number and bytes; the one unused for longest makes room.
 * Threads: any; a lock (LOCK_RANK_LEAF) guards who has which. What was taken
 * belongs to the thread that took it.
 */
#ifndef FS_TRAIL_POOL_H
#define FS_TRAIL_POOL_H

#include "fs/view.h"
#include "snapshots/versions.h"

struct trail_pool;

struct trail_lease {
	struct versions *versions; /* up to date */
	struct view *view;
	uint32_t host;
	char *path;
};

int trail_pool_new(struct trail_pool **ret_pool);
void trail_pool_free(struct trail_pool *p);
CLEANUP_DEFINE(struct trail_pool, trail_pool_free)

/** What `path` was in a host's snapshots; trail_release() in any case. Returns 0 or -errno. */
int trail_take(struct view *v, const struct view_host *h, const char *path,
	       struct trail_lease *ret_lease);
/** A zeroed lease is fine. */
void trail_release(struct trail_lease *l);

#endif
