/* SPDX-License-Identifier: MIT */
/*
 * seal_pool: the threads of one capture that hash and compress, each with its
 * own contexts, fed through a bounded queue.
 *
 * Threads: any may submit.
 */
#ifndef SNAPSHOTS_SEAL_POOL_H
#define SNAPSHOTS_SEAL_POOL_H

#include "store/base/cleanup.h"
#include "store/compress.h"
#include "store/store.h"

struct seal_pool;

/* Work for the pool: run(job) is called once on one of its threads. */
struct seal_job {
	void (*run)(struct seal_job *job, struct id_hasher *hasher, struct compressor *compressor);
};

/** `threads` at least 1. Borrows the store. */
int seal_pool_new(struct store *s, unsigned int threads, struct seal_pool **ret_pool);
/** Waits for all jobs. NULL is fine. */
void seal_pool_free(struct seal_pool *pool);
CLEANUP_DEFINE(struct seal_pool, seal_pool_free)
/** Queue a job; waits when the pool is far behind. Returns 0 or -ECANCELED. */
int seal_pool_submit(struct seal_pool *pool, struct seal_job *job);

#endif
