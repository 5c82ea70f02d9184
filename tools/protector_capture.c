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

#define STREAM_RETRY_NS (300 * NS_PER_S)

/* What one target brings into a round, and what must be undone after it. */
struct part {
	struct target *target;
	struct dirty_set *dirty; /* taken from the watch */
	struct hook_guard *hook;
	struct frozen_source *frozen;
	struct stream_source *stream;
	struct capture_source_result told; /* by the capture, when it has succeeded */
};

struct round {
	struct protector *protector;
	struct part *parts;
	struct capture_source *sources; /* one for each part */
	size_t n;
	size_t left_out;     /* targets that could not be prepared */
	bool program_failed; /* a stream's: the repository is fine */
};

bool target_rests(const struct target *t)
{
	return t->missing || (t->retry_ns != 0 && clock_boottime_ns() < t->retry_ns);
}

/* Its own doing, not the repository's: the others go on, and it is tried again later. */
static void note_failure(struct target *t)
{
	const int64_t every = (int64_t)t->config->every_ms * NS_PER_MS;
	int64_t wait = protector_backoff_ns(++t->failures);

	/* A program may take long and cost much: no more often than it was asked for. */
	if (t->is_stream) {
		wait = STREAM_RETRY_NS;
		for (unsigned int i = 1; i < t->failures && wait < every; i++)
			wait *= 2;
		wait = wait < every ? wait : every;
	}
	t->retry_ns = clock_boottime_ns() + wait;
}

static void note_success(struct target *t)
{
	t->failures = 0;
	t->retry_ns = 0;
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
		if (!p->targets[i].is_stream && !target_rests(&p->targets[i]))
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
		round->left_out++;
		if (r != -ECANCELED) {
			note_failure(part->target);
			protector_problem(round->protector, part->target->path, "was left out", r);
		}
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

	int r;

	assert(i < round->n);
	r = stream_source_ended(round->parts[i].stream);
	round->program_failed = r < 0;
	return r;
}

static void say_problem(void *context, const char *path, const char *what, int error)
{
	struct round *round = context;

	protector_problem(round->protector, path, what, error);
}

/* With something to drop only, it tells of sources that are no part of this round. */
static void keep_told(void *context, const struct capture_source_result *result)
{
	struct round *round = context;

	for (size_t i = 0; i < round->n; i++)
		if (result->source == &round->sources[i])
			round->parts[i].told = *result;
}

/* ---- telling ---- */

static void note_changes(struct protection_source *s, const struct capture_source_result *told,
			 bool committed)
{
	protection_source_grow(s, clock_boottime_ns() / NS_PER_HOUR, told->new_stored_bytes);
	if (!committed)
		return;
	s->files_changed = told->files_changed;
	s->files_removed = told->files_removed;
	s->files_spoilt += told->files_changed - told->files_added + told->files_removed;
}

static void note_source(struct protector *p, const struct part *part, const struct record *record,
			bool committed)
{
	struct target *t = part->target;
	struct protection_source *s = NULL;

	for (size_t i = 0; i < p->state.n_sources && !s; i++)
		if (strcmp(p->state.sources[i].path, t->path) == 0)
			s = &p->state.sources[i];
	if (s)
		note_changes(s, &part->told, committed);
	for (size_t i = 0; s && i < record->n_sources; i++) {
		const struct record_source *k = &record->sources[i];

		if (strcmp(k->path, t->path) != 0)
			continue;
		if (t->walked_ns != k->walk_start_ns)
			t->walk_due_ns =
				clock_boottime_ns() + (int64_t)p->config.full_walk_ms * NS_PER_MS;
		t->captured_ns = k->captured_ns;
		t->walked_ns = k->walk_start_ns;
		s->captured_ns = k->captured_ns;
		s->walked_ns = k->walk_start_ns;
		s->absent = k->state == SOURCE_ABSENT;
		s->files = k->files;
		s->directories = k->directories;
		s->bytes = k->bytes;
		s->errors = k->errors;
	}
}

static double seconds_since(int64_t from_ns)
{
	return (double)(clock_monotonic_ns() - from_ns) / 1e9;
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
static void note_done(struct round *round, bool committed, bool is_stream)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct protector *p = round->protector;
	struct snapshot_info latest;
	bool has_record = timeline_latest(p->timeline, &latest) == 0 &&
			  timeline_read(p->timeline, latest.seq, &record) == 0;

	LOCK_SCOPE(&p->lock);
	if (round->n > 0 || round->left_out == 0)
		p->state.last_snapshot_ns = clock_now_ns();
	p->state.snapshots_taken += committed;
	for (size_t i = 0; i < round->n; i++)
		note_success(round->parts[i].target);
	/* What was left out goes on waiting. */
	for (size_t i = 0; i < p->state.n_sources; i++)
		if (p->targets[i].failures == 0 && p->targets[i].is_stream == is_stream)
			p->state.sources[i].pending_ns = 0;
	for (size_t i = 0; has_record && i < round->n; i++)
		note_source(p, &round->parts[i], &record, committed);
}

/* *ret_own_fault: what failed is a program or a hook, and not the repository. */
static int capture_round(struct protector *p, struct target *stream, bool *ret_own_fault)
{
	struct round round = { .protector = p };
	struct capture_result result = { 0 };
	struct capture_options options = { .reason = stream ? "stream" : "change",
					   .cancel = &p->cancel,
					   .progress = &p->progress,
					   .pacer = &p->pacer,
					   .problem = say_problem,
					   .stream_ended = stream_ended,
					   .source_done = keep_told,
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
		note_done(&round, r == 0, stream != NULL);
	finish(&round, r < 0 && r != -EALREADY);
	*ret_own_fault = round.program_failed || round.left_out > 0;
	return r;
}

/* Run one stream's program. Returns 0, -EALREADY, or -errno of the repository. */
static int run_stream(struct protector *p, struct target *t)
{
	const int64_t next = clock_boottime_ns() + (int64_t)t->config->every_ms * NS_PER_MS;
	bool own_fault;
	int r = capture_round(p, t, &own_fault);

	if (!own_fault && r < 0 && r != -EALREADY)
		return r;
	t->run_due_ns = next;
	if (r == 0 || r == -EALREADY)
		return r;
	note_failure(t);
	protector_problem(p, t->path, "its program's output was not captured", r);
	return -EALREADY;
}

/* Each on its own: a program that fails costs nothing but its own file. */
static int run_streams(struct protector *p)
{
	int64_t now = clock_boottime_ns();
	int all = -EALREADY;

	for (size_t i = 0; i < p->n_targets && !p->cancel; i++) {
		struct target *t = &p->targets[i];
		int r;

		if (!t->is_stream || target_rests(t) || now < t->run_due_ns)
			continue;
		r = run_stream(p, t);
		if (r < 0 && r != -EALREADY)
			return r;
		all = r == 0 ? 0 : all;
	}
	return all;
}

static bool has_trees(const struct protector *p)
{
	for (size_t i = 0; i < p->n_targets; i++)
		if (!p->targets[i].is_stream)
			return true;
	return p->n_dropped > 0;
}

int protector_round(struct protector *p)
{
	int64_t began = clock_monotonic_ns();
	double cpu = cpu_seconds();
	bool own_fault;
	int r = -EALREADY, e;

	pacer_begin(&p->pacer, p->config.read_rate_bytes, p->config.cpu_percent);
	if (has_trees(p))
		r = capture_round(p, NULL, &own_fault);
	if (r == 0 || r == -EALREADY) {
		e = run_streams(p);
		r = e == -EALREADY ? r : e;
	}
	lock_take(&p->lock);
	p->state.last_seconds = seconds_since(began);
	p->state.last_cpu_seconds = cpu_seconds() - cpu;
	lock_drop(&p->lock);
	protector_touch(p);
	return r;
}
