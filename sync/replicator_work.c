/* SPDX-License-Identifier: MIT */
/* Jobs on several threads: as many at once as the remote takes, refused ones again. */
#include "sync/replicator_internal.h"

#include "store/base/clock.h"
#include "store/base/log.h"

#include <errno.h>
#include <string.h>

#define NAP_NS 20000000LL

struct work {
	struct replicator *r;
	replicator_job *job;
	size_t first, n;
	pthread_cond_t wake;
	/* Guarded by the replicator's lock. */
	size_t next;
	size_t *again; /* refused ones */
	size_t n_again;
	unsigned int running;
	unsigned int failures; /* refusals in a row */
	int result;
};

/* With the lock held. */
static bool is_over(const struct work *w)
{
	return w->result < 0 || w->r->stop ||
	       (w->next == w->n && w->n_again == 0 && w->running == 0);
}

/* With the lock held: so long to wait before another job may begin; 0: now, -1: until told. */
static int64_t wait_ns(const struct work *w)
{
	if (w->next == w->n && w->n_again == 0)
		return -1;
	if (w->running >= concurrency_allowed(&w->r->concurrency))
		return -1;
	return concurrency_wait_ns(&w->r->concurrency, clock_monotonic_ns());
}

/* Take a job. False when there will be none. */
static bool take(struct work *w, size_t *ret_i)
{
	struct replicator *r = w->r;

	LOCK_SCOPE(&r->lock);
	while (!is_over(w)) {
		int64_t ns = wait_ns(w), until = clock_monotonic_ns() + NAP_NS;
		struct timespec at;

		if (ns == 0) {
			*ret_i = w->n_again > 0 ? w->again[--w->n_again] : w->next++;
			w->running++;
			return true;
		}
		/* Not past a request to stop, which wakes nobody. */
		if (ns > 0 && ns < NAP_NS)
			until = clock_monotonic_ns() + ns;
		at = clock_timespec(until);
		(void)lock_wait_until(&r->lock, &w->wake, &at);
	}
	(void)pthread_cond_broadcast(&w->wake);
	return false;
}

static void give_back(struct work *w, size_t i, uint64_t bytes, int result)
{
	struct replicator *r = w->r;
	const unsigned int patience =
		r->options.patience ? r->options.patience : REPLICATOR_PATIENCE;

	LOCK_SCOPE(&r->lock);
	w->running--;
	concurrency_note(&r->concurrency, clock_monotonic_ns(), bytes, result);
	r->status.transfers = concurrency_allowed(&r->concurrency);
	if (result < 0 && result != -ECANCELED)
		r->status.errors++;
	if (result >= 0) {
		w->failures = 0;
		r->done_bytes += bytes;
		if (r->options.progress)
			r->options.progress(r->options.context, r->done_bytes, r->all_bytes);
	} else if (concurrency_is_refusal(result) && ++w->failures < patience) {
		w->again[w->n_again++] = i;
	} else if (w->result == 0) {
		w->result = result;
	}
	(void)pthread_cond_broadcast(&w->wake);
}

static void *run_worker(void *context)
{
	struct work *w = context;
	size_t i;

	while (take(w, &i)) {
		uint64_t bytes = 0;
		int result = w->job(w->r, w->first + i, &bytes);

		give_back(w, i, bytes, result);
	}
	return NULL;
}

static int run(struct work *w, unsigned int n_threads)
{
	pthread_t threads[REPLICATOR_THREADS_MAX];
	unsigned int n = 0;

	/* This thread is the first worker: without any other it goes on all the same. */
	while (n + 1 < n_threads && pthread_create(&threads[n], NULL, run_worker, w) == 0) {
		(void)pthread_setname_np(threads[n], "yore-replicator");
		n++;
	}
	(void)run_worker(w);
	while (n > 0)
		(void)pthread_join(threads[--n], NULL);
	if (w->result == 0 && w->r->stop)
		return -ECANCELED;
	return w->result;
}

int replicator_jobs(struct replicator *r, size_t first, size_t n, replicator_job *job)
{
	CLEANUP(free_ptr) size_t *again = calloc(n + 1, sizeof(*again));
	struct work w = { .r = r, .job = job, .first = first, .n = n, .again = again };
	pthread_condattr_t attributes;
	int result;

	if (!again)
		return -ENOMEM;
	if (n == 0)
		return r->stop ? -ECANCELED : 0;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w.wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	result = run(&w, n < r->concurrency.max ? (unsigned int)n : r->concurrency.max);
	(void)pthread_cond_destroy(&w.wake);
	return result;
}
