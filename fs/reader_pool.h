/* SPDX-License-Identifier: MIT */
/*
 * reader_pool: readers of directories and of files, kept where they stand, so
 * that the next request for the same thing need not begin anew.
 *
 * A directory's reader is found again by tree and position (a long listing
 * goes on where it was), a file's by its place: what is at a place never
 * changes. When all are in use a request gets one of its own.
 *
 * Threads: any; a lock (LOCK_RANK_LEAF) guards who has which. A leased reader
 * belongs to the thread that leased it.
 */
#ifndef FS_READER_POOL_H
#define FS_READER_POOL_H

#include "snapshots/tree_reader.h"

struct reader_pool;

struct tree_lease {
	struct tree_reader *reader; /* set to the directory asked for */
	void *slot;
	struct reader_pool *pool;
};

struct content_lease {
	struct content_reader *reader;
	bool is_set; /* already set to this place's content, `size` bytes of it */
	uint64_t size;
	void *slot;
	struct reader_pool *pool;
};

/** Borrows the cache. */
int reader_pool_new(struct chunk_cache *cache, struct reader_pool **ret_pool);
/** No lease may be out. */
void reader_pool_free(struct reader_pool *p);
CLEANUP_DEFINE(struct reader_pool, reader_pool_free)

/**
 * A reader set to the directory `tree`, preferably one that stands at
 * `position`. Returns 0 or what tree_reader_set says; release it either way
 * with reader_pool_put_tree (a zeroed lease is fine).
 */
int reader_pool_get_tree(struct reader_pool *p, const struct chunk_id *tree, uint64_t position,
			 struct tree_lease *ret_lease);
void reader_pool_put_tree(struct tree_lease *lease);

/** A reader for the file that is entry `index` of `tree`: see `is_set`. Returns 0 or -ENOMEM. */
int reader_pool_get_content(struct reader_pool *p, const struct chunk_id *tree, uint64_t index,
			    struct content_lease *ret_lease);
/** With is_set false the reader is kept, but for whoever comes next. */
void reader_pool_put_content(struct content_lease *lease);

#endif
