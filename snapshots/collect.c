/* SPDX-License-Identifier: MIT */
#include "snapshots/collect.h"

#include "snapshots/liveness.h"
#include "store/base/log.h"
#include "store/collector.h"
#include "store/reserve.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define UPDATE_ROUNDS 3 /* without the lock, so that little is left to do under it */

/* A collection under way. */
struct collection {
	struct timeline *timeline;
	const struct collect_options *options;
	struct collector_options collector_options;
	struct collector *collector;
	struct liveness *liveness;
};

static void collection_done(struct collection *c)
{
	liveness_free(c->liveness);
	collector_free(c->collector);
}

static bool paused(void *context)
{
	const struct collect_options *o = context;

	return o->paused && o->paused(o->context);
}

static void progress(void *context, bool rewriting, uint64_t done, uint64_t all)
{
	const struct collect_options *o = context;

	if (o->progress)
		o->progress(o->context, rewriting ? COLLECT_REWRITING : COLLECT_FREEING, done, all);
}

static void translate(struct collection *c)
{
	const struct collect_options *o = c->options;

	c->collector_options = (struct collector_options){
		.young_too = o->young_too,
		.sparse_percent = o->sparse_percent ? o->sparse_percent : COLLECT_SPARSE_PERCENT,
		.rewrite_bytes = o->rewrite_bytes,
		.bytes_per_second = o->bytes_per_second,
		.patience_ms = o->patience_ms,
		.cancel = o->cancel,
		.paused = paused,
		.progress = progress,
		.context = (void *)(uintptr_t)o,
	};
}

/* The moment in which nobody else may commit: what came meanwhile, and the verdict. */
static int condemn(struct collection *c)
{
	int lock, r;

	/* What is there now need not be read under the lock. */
	for (int i = 0; i < UPDATE_ROUNDS; i++) {
		r = liveness_update(c->liveness, false);
		if (r < 0)
			return r;
		if (r == 0)
			break;
	}
	lock = timeline_lock(c->timeline);
	if (lock < 0)
		return lock;
	r = liveness_update(c->liveness, true);
	if (r >= 0)
		r = collector_condemn(c->collector);
	io_close(store_io(timeline_store(c->timeline)), lock);
	return r;
}

static int mark(struct collection *c)
{
	int r = liveness_mark(c->liveness);

	/* Nothing new comes for long if each round is shorter than the one before. */
	for (int i = 0; i < UPDATE_ROUNDS && r >= 0; i++) {
		r = liveness_update(c->liveness, false);
		if (r <= 0)
			break;
	}
	return r < 0 ? r : 0;
}

static int take_turns(struct collection *c)
{
	int r;

	while ((r = collector_next(c->collector)) == 1) {
		r = condemn(c);
		if (r == 0)
			r = collector_retire(c->collector);
		if (r < 0)
			return r;
	}
	return r;
}

static int run(struct collection *c)
{
	const struct collect_options *o = c->options;
	int r = mark(c);

	if (r == 0)
		r = collector_judge(c->collector);
	if (r < 0 || o->dry_run)
		return r;
	r = take_turns(c);
	return r < 0 ? r : collector_finish(c->collector);
}

static void report(const struct collection *c, struct collect_result *ret)
{
	const bool dry = c->options->dry_run;
	struct liveness_counts counts = { 0 };
	struct collector_stats s = { 0 };

	if (c->liveness)
		liveness_counts(c->liveness, &counts);
	if (c->collector)
		collector_stats(c->collector, &s);
	*ret = (struct collect_result){
		.records = counts.records,
		.nodes = counts.nodes,
		.problems = counts.problems,
		.objects = s.objects,
		.bytes_live = s.bytes_live,
		.packs_before = s.packs_before,
		.bytes_before = s.bytes_before,
		.packs_after = s.packs_before + s.packs_new - s.packs_freed - s.packs_rewritten,
		.bytes_after = s.bytes_before + s.bytes_new - s.bytes_freed - s.bytes_rewritten,
		.packs_freed = dry ? s.packs_dead : s.packs_freed,
		.bytes_freed = dry ? s.bytes_dead : s.bytes_freed,
		.packs_rewritten = dry ? s.packs_chosen : s.packs_rewritten,
		.bytes_copied = dry ? s.bytes_chosen : s.bytes_copied,
		.packs_young = s.packs_young,
		.packs_in_use = s.packs_in_use,
		.damaged = s.damaged,
		.no_space = s.no_space,
	};
}

int collect_run(struct timeline *t, struct chunk_cache *cache,
		const struct collect_options *options, struct collect_result *ret_result)
{
	CLEANUP(collection_done) struct collection c = { .timeline = t, .options = options };
	struct store *s = timeline_store(t);
	struct collect_result result;
	int r;

	assert(cache && options && ret_result);
	if (memcmp(timeline_host(t), store_host(s), sizeof(struct host_id)) != 0)
		return -EPERM;
	translate(&c);
	r = collector_new(s, &c.collector_options, &c.collector);
	if (r == 0)
		r = liveness_new(t, cache, c.collector, options, &c.liveness);
	if (r == -EBUSY)
		return r;
	if (r == 0)
		r = run(&c);
	report(&c, &result);
	*ret_result = result;
	/* Made first on a disk that has space, and again after it had to be used. */
	if (options->reserve_bytes > 0 && !options->dry_run)
		(void)reserve_make(store_io(s), options->reserve_bytes);
	return r;
}
