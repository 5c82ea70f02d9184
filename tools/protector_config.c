/* SPDX-License-Identifier: MIT */
#include "tools/protector_internal.h"

#include "store/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define HEARTBEAT_MOST_S 900 /* more than anything takes that makes no progress by itself */

static void targets_free(struct target *targets, size_t n)
{
	for (size_t i = 0; targets && i < n; i++)
		free(targets[i].path);
	free(targets);
}

/* ---- what is to be protected ---- */

static int make_targets(const struct config *config, struct target **ret_targets, size_t *ret_n)
{
	struct target *targets = calloc(config->n_sources + 1, sizeof(*targets));
	size_t n_watched = 0;

	if (!targets)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_sources; i++) {
		struct target *t = &targets[i];

		t->config = &config->sources[i];
		t->is_stream = *t->config->command != '\0';
		t->watched = t->is_stream ? SIZE_MAX : n_watched++;
		t->path = strdup(t->config->canonical);
		if (!t->path) {
			targets_free(targets, i);
			return -ENOMEM;
		}
	}
	*ret_targets = targets;
	*ret_n = config->n_sources;
	return 0;
}

/* What is left of an interval that began at a moment of the wall clock, which may have been set
 * since: at most all of it. */
static int64_t rest_ns(int64_t began_ns, uint64_t interval_ms)
{
	const int64_t interval = (int64_t)interval_ms * NS_PER_MS;
	const int64_t age = clock_now_ns() - began_ns;

	return age < 0 || age >= interval ? 0 : interval - age;
}

/* What the newest record knows of our sources. */
static void recall_targets(struct protector *p, struct target *targets, size_t n)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct snapshot_info latest;
	const int64_t now = clock_boottime_ns();

	for (size_t i = 0; i < n; i++)
		/* Everything is walked when the watch begins. */
		targets[i].walk_due_ns = now + (int64_t)p->config.full_walk_ms * NS_PER_MS;
	if (timeline_latest(p->timeline, &latest) < 0 ||
	    timeline_read(p->timeline, latest.seq, &record) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct target *t = &targets[i];

		for (size_t j = 0; j < record.n_sources; j++) {
			const struct record_source *known = &record.sources[j];

			if (strcmp(known->path, t->path) != 0)
				continue;
			t->captured_ns = known->captured_ns;
			t->walked_ns = known->walk_start_ns;
			t->run_due_ns = now + rest_ns(known->captured_ns, t->config->every_ms);
		}
	}
}

/* ---- watching it ---- */

static enum watch_backend best_backend(enum config_watch wanted)
{
	return wanted == CONFIG_WATCH_AUTO      ? WATCH_FANOTIFY
	       : wanted == CONFIG_WATCH_INOTIFY ? WATCH_INOTIFY
						: WATCH_POLL;
}

static int start_watch(struct protector *p, const struct target *targets, size_t n,
		       struct watch **ret_watch)
{
	CLEANUP(free_ptr) struct watch_source *sources = NULL;
	const char *ignored[] = { io_real_path(store_io(p->options.session->store)) };
	struct watch_options options = { .ignored = ignored, .n_ignored = 1 };

	sources = calloc(n + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct config_source *c = targets[i].config;

		if (targets[i].is_stream)
			continue;
		sources[options.n_sources++] =
			(struct watch_source){ .path = targets[i].path,
					       .excludes = c->excludes,
					       .one_file_system = c->one_file_system,
					       .best = best_backend(c->watch) };
	}
	options.sources = sources;
	options.poll_interval_s = (uint32_t)(p->config.poll_every_ms / 1000);
	return watch_new(&options, ret_watch);
}

/* ---- in force ---- */

/* The longest that one hook or program may take, and the time for everything else. */
static int64_t patience_ns(const struct config *config)
{
	uint64_t longest_ms = 0;

	for (size_t i = 0; i < config->n_sources; i++) {
		const struct config_source *s = &config->sources[i];

		if (!*s->before && !*s->after && !*s->command)
			continue;
		if (s->hook_timeout_ms == 0 || s->hook_timeout_ms > INT64_MAX / NS_PER_S)
			return INT64_MAX;
		if (s->hook_timeout_ms > longest_ms)
			longest_ms = s->hook_timeout_ms;
	}
	return HEARTBEAT_MOST_S * NS_PER_S + (int64_t)longest_ms * NS_PER_MS;
}

/* What other threads need of the configuration. */
static void share_config(struct protector *p)
{
	atomic_store(&p->n_sources, p->config.n_sources);
	atomic_store(&p->nice, (int)p->config.nice);
	atomic_store(&p->io, (int)p->config.io);
	atomic_store(&p->patience_ns, patience_ns(&p->config));
	lock_take(&p->lock);
	p->keep = p->config.retention;
	p->collect_every_ms = p->config.collect_every_ms;
	p->collect_rate = p->config.collect_rate_bytes;
	p->reserve_bytes = p->config.reserve_bytes;
	p->verify_every_ms = p->config.data_every_ms;
	p->verify_rate = p->config.check_rate_bytes;
	p->state.stale_after_s = p->config.stale_after_ms / 1000;
	pthread_cond_broadcast(&p->upkeep_wake);
	lock_drop(&p->lock);
}

/* Take out of force, but for the configuration itself. */
static void retire(struct protector *p)
{
	struct target *targets;
	struct watch *watch;
	size_t n;

	lock_take(&p->config_lock);
	targets = STEAL(p->targets);
	watch = STEAL(p->watch);
	n = p->n_targets;
	p->n_targets = 0;
	lock_drop(&p->config_lock);
	/* Before there is another: two would need twice the watches. */
	watch_free(watch);
	targets_free(targets, n);
}

int protector_adopt(struct protector *p)
{
	struct target *targets;
	struct watch *watch;
	size_t n;
	int r;

	share_config(p);
	r = make_targets(&p->config, &targets, &n);
	if (r < 0)
		return r;
	recall_targets(p, targets, n);
	/* It may list every folder: nobody shall wait for that. */
	p->watching_ns = clock_monotonic_ns();
	r = start_watch(p, targets, n, &watch);
	if (r < 0) {
		targets_free(targets, n);
		return r;
	}
	lock_take(&p->config_lock);
	p->targets = targets;
	p->n_targets = n;
	p->watch = watch;
	r = protector_state_targets(p); /* one list, as it is seen */
	lock_drop(&p->config_lock);
	if (r < 0)
		retire(p);
	return r;
}

/* ---- another configuration ---- */

static void drop_name(struct protector *p, size_t i)
{
	free(p->dropped[i]);
	p->dropped[i] = p->dropped[--p->n_dropped];
}

void protector_forget_dropped(struct protector *p)
{
	while (p->n_dropped > 0)
		drop_name(p, p->n_dropped - 1);
	free(STEAL(p->dropped));
}

static int add_dropped(struct protector *p, const char *path)
{
	char **grown = reallocarray(p->dropped, p->n_dropped + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->dropped = grown;
	grown[p->n_dropped] = strdup(path);
	if (!grown[p->n_dropped])
		return -ENOMEM;
	p->n_dropped++;
	return 0;
}

bool protector_is_nowhere(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 || S_ISLNK(st.st_mode);
}

/* Is it configured still, though the symlink to it leads nowhere for now? */
static bool is_away(const struct config *fresh, const struct config_source *old)
{
	for (size_t i = 0; i < fresh->n_sources; i++)
		if (strcmp(fresh->sources[i].path, old->path) == 0)
			return protector_is_nowhere(fresh->sources[i].canonical);
	return false;
}

/* Sources that are not in the new configuration leave the next snapshot; those that are back
 * stay. */
static int note_dropped(struct protector *p, const struct config *fresh)
{
	int r = 0;

	for (size_t i = p->n_dropped; i > 0; i--)
		if (config_source_at(fresh, p->dropped[i - 1]))
			drop_name(p, i - 1);
	for (size_t i = 0; r == 0 && i < p->config.n_sources; i++) {
		const struct config_source *old = &p->config.sources[i];

		if (!config_source_at(fresh, old->canonical) && !is_away(fresh, old))
			r = add_dropped(p, old->canonical);
	}
	return r;
}

void protector_read_config(struct protector *p)
{
	struct config fresh = { 0 };
	struct config old;

	if (config_load(p->options.globals, &fresh) != EXIT_CODE_DONE ||
	    note_dropped(p, &fresh) < 0) {
		log_warning("the configuration as it was stays in force");
		config_done(&fresh);
		return;
	}
	retire(p);
	lock_take(&p->config_lock);
	old = p->config;
	p->config = fresh;
	lock_drop(&p->config_lock);
	config_done(&old);
	log_info("configuration read again: %zu sources", p->config.n_sources);
	if (p->options.policy_changed)
		p->options.policy_changed(p->options.context, &p->config.retention);
}

void protector_free_config(struct protector *p)
{
	retire(p);
	protector_forget_dropped(p);
	config_done(&p->config);
}
