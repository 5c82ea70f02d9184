/* SPDX-License-Identifier: MIT */
#include "tools/protector_internal.h"

#include "store/base/log.h"
#include "tools/failure.h"
#include "tools/notify.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define GATHER_MS 2000 /* between two looks, whatever happens */
#define BUSY_MS 10000  /* while something waits or is wrong: times pass that are told of */
#define IDLE_MS 30000  /* else: others fill the disk */
#define US_PER_MS 1000

void protector_touch(struct protector *p)
{
	const uint64_t one = 1;

	if (!atomic_exchange(&p->changed, true))
		(void)!write(p->report_wake, &one, sizeof(one));
}

/* What is known of this path already, with a name of its own. */
static int fill_source(const struct protector *p, const struct target *t,
		       struct protection_source *ret)
{
	*ret = (struct protection_source){ 0 };
	for (size_t i = 0; i < p->state.n_sources; i++)
		if (strcmp(p->state.sources[i].path, t->path) == 0)
			*ret = p->state.sources[i];
	ret->captured_ns = t->captured_ns;
	ret->walked_ns = t->walked_ns;
	ret->absent = t->missing;
	ret->path = strdup(t->path);
	return ret->path ? 0 : -ENOMEM;
}

int protector_state_targets(struct protector *p)
{
	struct protection_source *fresh = calloc(p->n_targets + 1, sizeof(*fresh));
	struct protection old;
	int r = fresh ? 0 : -ENOMEM;

	lock_take(&p->lock);
	for (size_t i = 0; r == 0 && i < p->n_targets; i++)
		r = fill_source(p, &p->targets[i], &fresh[i]);
	old = (struct protection){ .sources = fresh, .n_sources = fresh ? p->n_targets : 0 };
	if (r == 0) {
		old = (struct protection){ .sources = p->state.sources,
					   .n_sources = p->state.n_sources };
		p->state.sources = fresh;
		p->state.n_sources = p->n_targets;
		p->state.protecting = p->n_targets > 0;
	}
	lock_drop(&p->lock);
	protection_done(&old);
	protector_touch(p);
	return r;
}

static bool is_same_problem(const struct protection_error *a, const struct protection_error *b)
{
	return a->path && b->path && strcmp(a->path, b->path) == 0 && strcmp(a->what, b->what) == 0;
}

/* With the lock held. What is said again and again is one problem. */
static void add_problem(struct protection *state, struct protection_error *e)
{
	size_t i = 0;

	while (i < state->n_errors && !is_same_problem(&state->errors[i], e))
		i++;
	if (i == state->n_errors && i == PROTECTION_ERRORS_MAX)
		i = 0;
	if (i < state->n_errors) {
		free(state->errors[i].path);
		memmove(state->errors + i, state->errors + i + 1,
			(state->n_errors - i - 1) * sizeof(*e));
		state->n_errors--;
	}
	state->errors[state->n_errors++] = *e;
}

void protector_problem(void *protector, const char *path, const char *what, int error)
{
	struct protector *p = protector;
	struct protection_error e = { .path = strdup(path), .time_ns = clock_now_ns() };

	(void)snprintf(e.what, sizeof(e.what), "%s%s%s", what, error ? ": " : "",
		       error ? failure_reason(error) : "");
	log_warning("%s: %s", path, e.what);
	if (!e.path)
		return;
	LOCK_SCOPE(&p->lock);
	if (!p->state.errors)
		p->state.errors = calloc(PROTECTION_ERRORS_MAX, sizeof(*p->state.errors));
	if (!p->state.errors) {
		free(e.path);
		return;
	}
	add_problem(&p->state, &e);
	protector_touch(p);
}

void protector_say_stopped(struct protector *p, const char *why)
{
	lock_take(&p->lock);
	(void)snprintf(p->state.stopped, sizeof(p->state.stopped), "%s", why ? why : "");
	lock_drop(&p->lock);
	protector_touch(p);
}

/* ---- looking ---- */

/* How each source is watched, and since when its oldest change waits. */
static void refresh_sources(struct protector *p)
{
	int64_t now = clock_monotonic_ns();

	LOCK_SCOPE(&p->config_lock);
	for (size_t i = 0; p->watch && i < p->n_targets; i++) {
		struct watch_state state = { 0 };
		int64_t pending = 0;

		if (!p->targets[i].is_stream)
			watch_state(p->watch, p->targets[i].watched, &state);
		if (state.first_ns != 0)
			pending = clock_now_ns() - (now - state.first_ns);
		else if (state.everything)
			pending = clock_now_ns() - (now - p->watching_ns);
		lock_take(&p->lock);
		if (i < p->state.n_sources) {
			struct protection_source *s = &p->state.sources[i];

			s->watch = state;
			protection_source_grow(s, clock_boottime_ns() / NS_PER_HOUR, 0);
			if (pending != 0 && (s->pending_ns == 0 || pending < s->pending_ns))
				s->pending_ns = pending;
		}
		lock_drop(&p->lock);
	}
}

static void refresh_disk(struct protector *p)
{
	struct statvfs vfs;

	if (statvfs(io_real_path(store_io(p->options.session->store)), &vfs) < 0)
		return;
	LOCK_SCOPE(&p->lock);
	p->state.repository_free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	p->state.repository_size_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize;
}

int protector_state(struct protector *p, struct protection *ret_state)
{
	int r;

	refresh_sources(p);
	LOCK_SCOPE(&p->lock);
	p->state.now_ns = clock_now_ns();
	r = protection_copy(&p->state, ret_state);
	return r;
}

/* ---- telling ---- */

/* The service manager restarts a daemon that no longer works. */
static void feed_watchdog(struct protector *p, uint64_t *moved)
{
	uint64_t now_moved = atomic_load(&p->progress.bytes_read) +
			     atomic_load(&p->progress.files) +
			     atomic_load(&p->progress.directories);

	if (now_moved != *moved)
		atomic_store(&p->heartbeat_ns, clock_monotonic_ns());
	*moved = now_moved;
	if (clock_monotonic_ns() - atomic_load(&p->heartbeat_ns) < atomic_load(&p->patience_ns))
		notify_watchdog();
}

static void say_status(const struct protection *state)
{
	char why[PROTECTION_TEXT_BYTES];

	if (protection_is_stale(state, why))
		notify_status("protection is stale: %s", why);
	else
		notify_status("protecting %zu sources, %llu snapshots taken", state->n_sources,
			      (unsigned long long)state->snapshots_taken);
}

/* Returns after how many milliseconds it is to be looked at again when nothing changes. */
static int tell(struct protector *p)
{
	CLEANUP(protection_done) struct protection state = { 0 };
	bool busy = false;

	refresh_disk(p);
	if (protector_state(p, &state) < 0)
		return BUSY_MS;
	(void)protection_publish(store_io(p->options.session->store), &state);
	say_status(&state);
	lock_take(&p->config_lock); /* the configuration stays */
	alerts_evaluate(p->alerts, &state, &p->config);
	lock_drop(&p->config_lock);
	for (size_t i = 0; i < state.n_sources; i++)
		busy |= state.sources[i].pending_ns != 0 || state.sources[i].absent;
	return busy || state.stopped[0] || state.collection != COLLECTION_IDLE ? BUSY_MS : IDLE_MS;
}

/* Wait until something changed, but not for longer. False: it shall end. */
static bool wait_for_news(struct protector *p, int ms)
{
	struct pollfd fd = { .fd = p->report_wake, .events = POLLIN };
	uint64_t count;

	if (poll(&fd, 1, ms) > 0)
		(void)!read(p->report_wake, &count, sizeof(count));
	return !atomic_load(&p->report_end);
}

void *protector_report_thread(void *argument)
{
	struct protector *p = argument;
	const uint64_t watchdog_ms = notify_watchdog_us() / US_PER_MS / 3;
	int64_t due = 0, told = 0;
	int priority = 0;
	uint64_t moved = 0;

	(void)pthread_setname_np(pthread_self(), "yore-report");
	for (;;) {
		int64_t ms = 0, now = clock_monotonic_ns();

		protector_lower_priority(p, &priority);
		if (watchdog_ms > 0)
			feed_watchdog(p, &moved);
		if (atomic_exchange(&p->changed, false) || now >= due) {
			ms = tell(p);
			told = clock_monotonic_ns();
			due = told + ms * NS_PER_MS;
		}
		ms = (due - clock_monotonic_ns()) / NS_PER_MS + 1;
		if (watchdog_ms > 0 && (uint64_t)ms > watchdog_ms)
			ms = (int64_t)watchdog_ms;
		if (!wait_for_news(p, (int)ms))
			break;
		/* Much may happen in a moment: it is told once. */
		ms = (told - clock_monotonic_ns()) / NS_PER_MS + GATHER_MS;
		if (ms > 0 && atomic_load(&p->changed) && !wait_for_news(p, (int)ms))
			break;
	}
	(void)tell(p);
	return NULL;
}
