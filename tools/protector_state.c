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

#define REPORT_MS 2000
#define PUBLISH_MOST_S 60 /* also when nothing changed: readers see that it lives */
#define ALERTS_S 10
#define HEARTBEAT_MOST_S 900 /* the protecting thread is stuck if it moved nothing for so long */

void protector_touch(struct protector *p)
{
	atomic_store(&p->changed, true);
}

int protector_state_targets(struct protector *p)
{
	struct protection_source *fresh = calloc(p->n_targets + 1, sizeof(*fresh));
	struct protection old;

	if (!fresh)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_targets; i++) {
		fresh[i].path = strdup(p->targets[i].path);
		fresh[i].captured_ns = p->targets[i].captured_ns;
		fresh[i].walked_ns = p->targets[i].walked_ns;
		if (!fresh[i].path) {
			old = (struct protection){ .sources = fresh, .n_sources = p->n_targets };
			protection_done(&old);
			return -ENOMEM;
		}
	}
	lock_take(&p->lock);
	old = (struct protection){ .sources = p->state.sources, .n_sources = p->state.n_sources };
	p->state.sources = fresh;
	p->state.n_sources = p->n_targets;
	p->state.protecting = p->n_targets > 0;
	lock_drop(&p->lock);
	protection_done(&old);
	protector_touch(p);
	return 0;
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
	if (p->state.n_errors == PROTECTION_ERRORS_MAX) {
		free(p->state.errors[0].path);
		memmove(p->state.errors, p->state.errors + 1,
			(PROTECTION_ERRORS_MAX - 1) * sizeof(e));
		p->state.n_errors--;
	}
	p->state.errors[p->state.n_errors++] = e;
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
	int64_t now = monotonic_ns();

	LOCK_SCOPE(&p->config_lock);
	for (size_t i = 0; p->watch && i < p->n_targets; i++) {
		struct watch_state state = { 0 };
		int64_t pending = 0;

		if (!p->targets[i].is_stream)
			watch_state(p->watch, p->targets[i].watched, &state);
		if (state.first_ns != 0)
			pending = clock_now_ns() - (now - state.first_ns);
		else if (state.everything)
			pending = p->state.started_ns;
		lock_take(&p->lock);
		if (i < p->state.n_sources) {
			struct protection_source *s = &p->state.sources[i];

			s->watch = state;
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
		atomic_store(&p->heartbeat_ns, monotonic_ns());
	*moved = now_moved;
	if (monotonic_ns() - atomic_load(&p->heartbeat_ns) < HEARTBEAT_MOST_S * NS_PER_S)
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

static void tell(struct protector *p, bool with_alerts)
{
	CLEANUP(protection_done) struct protection state = { 0 };

	refresh_disk(p);
	if (protector_state(p, &state) < 0)
		return;
	(void)protection_publish(store_io(p->options.session->store), &state);
	say_status(&state);
	if (with_alerts) {
		LOCK_SCOPE(&p->config_lock); /* the configuration stays */
		alerts_evaluate(p->alerts, &state, &p->config);
	}
}

void *protector_report_thread(void *argument)
{
	struct protector *p = argument;
	struct pollfd end = { .fd = p->report_wake, .events = POLLIN };
	int64_t published = 0, alerted = 0;
	uint64_t moved = 0;

	(void)pthread_setname_np(pthread_self(), "yore-report");
	do {
		int64_t now = monotonic_ns();
		bool with_alerts = now - alerted >= ALERTS_S * NS_PER_S;

		feed_watchdog(p, &moved);
		if (atomic_exchange(&p->changed, false) || with_alerts ||
		    now - published >= PUBLISH_MOST_S * NS_PER_S) {
			tell(p, with_alerts);
			published = now;
			alerted = with_alerts ? now : alerted;
		}
	} while (poll(&end, 1, REPORT_MS) == 0);
	tell(p, false);
	return NULL;
}
