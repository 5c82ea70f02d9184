/* SPDX-License-Identifier: MIT */
/*
 * name_batch: a stretch of the listing of a view's folder.
 *
 * Such a folder is put together from many directories and may be larger than
 * memory allows; a listing of it comes in many requests, while snapshots come
 * and go. So names are listed in the order of a hash, which is also where a
 * listing goes on: whatever happens meanwhile, what was there all the time is
 * listed once. All names are gone through, and the NAME_BATCH_MAX next ones
 * kept; some batches are kept for the requests that follow.
 *
 * Threads: a batch belongs to one thread, the pool to all (LOCK_RANK_LEAF).
 */
#ifndef FS_NAME_BATCH_H
#define FS_NAME_BATCH_H

#include "fs/view.h"

#define NAME_BATCH_MAX 16384u
/* Smaller cookies are the folder's own to give. */
#define NAME_COOKIE_FIRST (UINT64_C(1) << 60)

struct name_batch;

/** Where a name stands in any listing. */
uint64_t name_cookie(const struct view *v, const char *name, size_t n);

/** An empty batch of names behind `from`, of folder `node` as of `version`. */
int name_batch_new(uint64_t node, uint64_t version, uint64_t from, struct name_batch **ret_batch);
void name_batch_free(struct name_batch *b);
CLEANUP_DEFINE(struct name_batch, name_batch_free)
/** Would this batch take the name if it is not in it already? */
bool name_batch_wants(const struct name_batch *b, uint64_t cookie);
/** Add a name; of several with one cookie the first counts. Returns 0 or -ENOMEM. */
int name_batch_add(struct name_batch *b, uint64_t cookie, const char *name, size_t n, mode_t type,
		   uint64_t ino);
/** All have been added. */
void name_batch_finish(struct name_batch *b);
/** Give the sink what stands behind a cookie while it has room. True when the folder's end was
 * reached, false when there is no room; else *cookie tells where another batch begins. */
enum batch_end { BATCH_NO_ROOM, BATCH_MORE, BATCH_DONE };
enum batch_end name_batch_list(const struct name_batch *b, uint64_t *cookie, struct dir_sink *sink);

struct name_pool;
int name_pool_new(struct name_pool **ret_pool);
void name_pool_free(struct name_pool *p);
CLEANUP_DEFINE(struct name_pool, name_pool_free)
/** Take out the batch that holds what stands behind a cookie, or NULL. */
struct name_batch *name_pool_take(struct name_pool *p, uint64_t node, uint64_t version,
				  uint64_t cookie);
/** Keep a finished batch for later; taken. */
void name_pool_keep(struct name_pool *p, struct name_batch *b);

#endif
