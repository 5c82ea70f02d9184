/* SPDX-License-Identifier: MIT */
#include "tools/protector_internal.h"

#include "snapshots/frozen_source.h"
#include "store/base/log.h"
#include "tools/hook.h"
#include "tools/stream_source.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* What one target brings into a round, and what must be undone after it. */
struct part {
	struct target *target;
	struct dirty_set *dirty; /* taken from the watch */
	struct hook_guard *hook;
	struct frozen_source *frozen;
	struct stream_source *stream;
};

struct round {
	struct protector *protector;
	struct part *parts;
	struct capture_source *sources; /* one for each part */
	size_t n;
};

bool target_stream_due(const struct target *t, int64_t now_ns)
{
	int64_t age = now_ns - t->tried_ns;

	/* A clock that was set back must not keep it from running for long. */
	return age < 0 || age >= (int64_t)t->config->every_ms * NS_PER_MS;
}

/* ---- what is in it ---- */

static uint32_t source_flags(const struct config_source *c)
{
	return (c->one_file_system ? (uint32_t)SOURCE_ONE_FILE_SYSTEM : 0) |
	       (c->exclude_caches ? (uint32_t)SOURCE_EXCLUDE_CACHES : 0);
}

static int add_tree(struct round *round, struct target *t)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	struct capture_source *source = &round->sources[round->n];
	int r = watch_take(round->protector->watch, t->watched, &dirty);

	if (r < 0 || dirty_set_is_empty(dirty))
		return r;
	*source = (struct capture_source){ .path = t->path,
					   .excludes = t->config->excludes,
					   .flags = source_flags(t->config),
					   .dirty = dirty };
	round->parts[round->n++] = (struct part){ .target = t, .dirty = STEAL(dirty) };
	return 0;
}

static void add_stream(struct round *round, struct target *t)
{
	round->sources[round->n] = (struct capture_source){
		.path = t->path, .is_stream = true, .stream_fd = -1, .consistency = CONSISTENCY_HOOK
	};
	round->parts[round->n++] = (struct part){ .target = t };
}

/* All trees that have something pending, or one stream. */
static int gather(struct round *round, struct target *stream)
{
	struct protector *p = round->protector;
	int r = 0;

	round->parts = calloc(p->n_targets + 1, sizeof(*round->parts));
	round->sources = calloc(p->n_targets + 1, sizeof(*round->sources));
	if (!round->parts || !round->sources)
		return -ENOMEM;
	if (stream)
		add_stream(round, stream);
	for (size_t i = 0; i < p->n_targets && r == 0 && !stream; i++)
		if (!p->targets[i].is_stream)
			r = add_tree(round, &p->targets[i]);
	return r;
}

/* ---- holding still ---- */

static int freeze(struct round *round, struct part *part, struct capture_source *source)
{
	const struct config_source *c = part->target->config;
	const char *why = "";
	int r;

	if (c->method == CONFIG_METHOD_PLAIN)
		return 0;
	r = frozen_source_make(part->target->path, &part->frozen, &why);
	if (r == 0) {
		source->read_path = frozen_source_path(part->frozen);
		source->read_ns = frozen_source_ns(part->frozen);
		source->consistency = CONSISTENCY_FROZEN;
		return 0;
	}
	if (c->method == CONFIG_METHOD_AUTO)
		return 0;
	protector_problem(round->protector, part->target->path, why, r);
	return r;
}

static int prepare_tree(struct round *round, struct part *part, struct capture_source *source)
{
	const struct config_source *c = part->target->config;
	struct hook_options hook = { .before = c->before,
				     .after = c->after,
				     .source = part->target->path,
				     .repository = round->protector->config.repository,
				     .limit_ms = c->hook_timeout_ms,
				     .cancel = &round->protector->cancel };
	int r = 0;

	if (*c->before || *c->after) {
		r = hook_guard_begin(&hook, &part->hook);
		source->consistency = CONSISTENCY_HOOK;
	}
	if (r == 0)
		r = freeze(round, part, source);
	/* What is frozen stays as it is: its owner need not wait any longer. */
	if (part->frozen)
		(void)hook_guard_end(STEAL(part->hook));
	return r;
}

static int prepare_stream(struct round *round, struct part *part, struct capture_source *source)
{
	const struct config_source *c = part->target->config;
	struct stream_source_options options = {
		.command = c->command,
		.source = part->target->path,
		.repository = round->protector->config.repository,
		.limit_ms = c->hook_timeout_ms,
		.cancel = &round->protector->cancel,
	};
	int r = stream_source_start(&options, &part->stream);

	part->target->tried_ns = clock_now_ns();
	if (r == 0)
		source->stream_fd = stream_source_fd(part->stream);
	return r;
}

/* A source that cannot be prepared is left out: the others need not suffer. */
static void prepare(struct round *round)
{
	size_t n = 0;

	for (size_t i = 0; i < round->n; i++) {
		struct part *part = &round->parts[i];
		struct capture_source *source = &round->sources[i];
		int r = part->target->is_stream ? prepare_stream(round, part, source)
						: prepare_tree(round, part, source);

		if (r == 0) {
			round->parts[n] = *part;
			round->sources[n++] = *source;
			continue;
		}
		protector_problem(round->protector, part->target->path, "was left out", r);
		if (part->dirty)
			watch_give_back(round->protector->watch, part->target->watched,
					part->dirty);
		dirty_set_free(part->dirty);
		hook_guard_free(part->hook);
		stream_source_free(part->stream);
	}
	round->n = n;
}

static void finish(struct round *round, bool failed)
{
	for (size_t i = 0; i < round->n; i++) {
		struct part *part = &round->parts[i];

		hook_guard_free(part->hook);
		frozen_source_free(part->frozen);
		stream_source_free(part->stream);
		if (failed && part->dirty)
			watch_give_back(round->protector->watch, part->target->watched,
					part->dirty);
		dirty_set_free(part->dirty);
	}
	free(round->parts);
	free(round->sources);
}

static int stream_ended(void *context, const struct capture_source *source)
{
	struct round *round = context;
	size_t i = (size_t)(source - round->sources);

	assert(i < round->n);
	return stream_source_ended(round->parts[i].stream);
}

static void say_problem(void *context, const char *path, const char *what, int error)
{
	struct round *round = context;

	protector_problem(round->protector, path, what, error);
}

/* ---- telling ---- */

static void note_source(struct protector *p, struct target *t, const struct record *record)
{
	struct protection_source *s = NULL;

	for (size_t i = 0; i < p->state.n_sources && !s; i++)
		if (strcmp(p->state.sources[i].path, t->path) == 0)
			s = &p->state.sources[i];
	for (size_t i = 0; s && i < record->n_sources; i++) {
		const struct record_source *k = &record->sources[i];
		uint64_t before = s->files;

		if (strcmp(k->path, t->path) != 0)
			continue;
		t->captured_ns = k->captured_ns;
		t->walked_ns = k->walk_start_ns;
		s->captured_ns = k->captured_ns;
		s->walked_ns = k->walk_start_ns;
		s->absent = k->state == SOURCE_ABSENT;
		s->files = k->files;
		s->directories = k->directories;
		s->bytes = k->bytes;
		s->errors = k->errors;
		s->files_removed = before > k->files ? before - k->files : 0;
	}
}

static double seconds_since(int64_t from_ns)
{
	return (double)(monotonic_ns() - from_ns) / 1e9;
}

static double cpu_seconds(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Everything that was pending is in the timeline now, or was no change. */
static void note_done(struct round *round, const struct capture_result *result, bool committed)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct protector *p = round->protector;
	struct snapshot_info latest;
	bool has_record = timeline_latest(p->timeline, &latest) == 0 &&
			  timeline_read(p->timeline, latest.seq, &record) == 0;

	LOCK_SCOPE(&p->lock);
	p->state.last_snapshot_ns = clock_now_ns();
	p->state.snapshots_taken += committed;
	for (size_t i = 0; i < p->state.n_sources; i++) {
		p->state.sources[i].pending_ns = 0;
		p->state.sources[i].files_changed = 0;
	}
	for (size_t i = 0; has_record && i < round->n; i++)
		note_source(p, round->parts[i].target, &record);
	if (round->n == 1 && p->state.n_sources == 1)
		p->state.sources[0].files_changed = result->files_read;
}

static int capture_round(struct protector *p, struct target *stream)
{
	struct round round = { .protector = p };
	struct capture_result result = { 0 };
	struct capture_options options = { .reason = stream ? "stream" : "change",
					   .cancel = &p->cancel,
					   .progress = &p->progress,
					   .pacer = &p->pacer,
					   .problem = say_problem,
					   .stream_ended = stream_ended,
					   .context = &round,
					   .skip_unchanged = true };
	int r = gather(&round, stream);

	if (!stream) {
		options.dropped = (const char *const *)p->dropped;
		options.n_dropped = p->n_dropped;
	}
	if (r == 0)
		prepare(&round);
	options.sources = round.sources;
	options.n_sources = round.n;
	if (r == 0 && round.n == 0 && options.n_dropped == 0)
		r = -EALREADY;
	else if (r == 0)
		r = capture_run(p->timeline, &options, &result);
	if (r == 0 || r == -EALREADY)
		note_done(&round, &result, r == 0);
	finish(&round, r < 0 && r != -EALREADY);
	return r;
}

int protector_round(struct protector *p)
{
	int64_t began = monotonic_ns(), now = clock_now_ns();
	double cpu = cpu_seconds();
	int r;

	pacer_begin(&p->pacer, p->config.read_rate_bytes, p->config.cpu_percent);
	r = capture_round(p, NULL);

	/* Each on its own: a program that fails costs nothing but its own file. */
	for (size_t i = 0; i < p->n_targets && !p->cancel; i++) {
		struct target *t = &p->targets[i];
		int e;

		if (!t->is_stream || !target_stream_due(t, now))
			continue;
		e = capture_round(p, t);
		if (e < 0 && e != -EALREADY)
			protector_problem(p, t->path, "its program's output was not captured", e);
	}
	lock_take(&p->lock);
	p->state.last_seconds = seconds_since(began);
	p->state.last_cpu_seconds = cpu_seconds() - cpu;
	lock_drop(&p->lock);
	protector_touch(p);
	return r;
}
