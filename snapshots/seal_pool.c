/* SPDX-License-Identifier: MIT */
#include "snapshots/seal_pool.h"

#include "store/base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#define THREADS_MAX 64
#define JOBS_MAX 64 /* waiting, besides those that run */

struct seal_pool {
	struct store *store;
	struct queue *jobs;
	pthread_t threads[THREADS_MAX];
	unsigned int n_threads;
};

/* What one thread works with. */
struct sealer {
	struct seal_pool *pool;
	struct id_hasher *hasher;
	struct compressor *compressor;
};

static void sealer_free(struct sealer *s)
{
	if (!s)
		return;
	id_hasher_free(s->hasher);
	compressor_free(s->compressor);
	free(s);
}
CLEANUP_DEFINE(struct sealer, sealer_free)

static void *seal_thread(void *arg)
{
	CLEANUP(sealer_free_ptr) struct sealer *s = arg;
	void *job;

	(void)pthread_setname_np(pthread_self(), "yore-seal");
	while (queue_pop(s->pool->jobs, &job) == 0)
		((struct seal_job *)job)->run(job, s->hasher, s->compressor);
	return NULL;
}

static int start_thread(struct seal_pool *pool)
{
	CLEANUP(sealer_free_ptr) struct sealer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->pool = pool;
	r = store_hasher(pool->store, OBJECT_DATA, &s->hasher);
	if (r == 0)
		r = compressor_new(&s->compressor);
	if (r == 0)
		r = -pthread_create(&pool->threads[pool->n_threads], NULL, seal_thread, s);
	if (r < 0)
		return r;
	(void)STEAL(s);
	pool->n_threads++;
	return 0;
}

int seal_pool_new(struct store *s, unsigned int threads, struct seal_pool **ret_pool)
{
	CLEANUP(seal_pool_free_ptr) struct seal_pool *pool = calloc(1, sizeof(*pool));
	int r;

	assert(threads > 0);
	if (!pool)
		return -ENOMEM;
	pool->store = s;
	r = queue_new(JOBS_MAX, &pool->jobs);
	for (unsigned int i = 0; r == 0 && i < threads && i < THREADS_MAX; i++)
		r = start_thread(pool);
	if (r < 0)
		return r;
	*ret_pool = STEAL(pool);
	return 0;
}

void seal_pool_free(struct seal_pool *pool)
{
	if (!pool)
		return;
	if (pool->jobs)
		queue_close(pool->jobs);
	for (unsigned int i = 0; i < pool->n_threads; i++)
		(void)pthread_join(pool->threads[i], NULL);
	queue_free(pool->jobs);
	free(pool);
}

int seal_pool_submit(struct seal_pool *pool, struct seal_job *job)
{
	return queue_push(pool->jobs, job);
}
