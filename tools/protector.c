/* SPDX-License-Identifier: MIT */
#include "tools/protector_internal.h"

#include "store/base/log.h"
#include "tools/daemon_note.h"
#include "tools/notify.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 10000
#define EVENTS_MS 200 /* for events on their way */
#define RETRY_FIRST_S 5
#define RETRY_MOST_S 300
#define IO_CLASS_SHIFT 13

int64_t monotonic_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void wake(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

void protector_sleep(struct protector *p, int64_t ms)
{
	struct pollfd fd = { .fd = p->wake, .events = POLLIN };
	uint64_t count;

	if (poll(&fd, 1, ms > TICK_MS ? TICK_MS : (int)ms) > 0)
		(void)!read(p->wake, &count, sizeof(count));
}

/* ---- the configuration ---- */

static void targets_free(struct protector *p)
{
	for (size_t i = 0; i < p->n_targets; i++)
		free(p->targets[i].path);
	free(STEAL(p->targets));
	p->n_targets = 0;
}

static void dropped_free(struct protector *p)
{
	for (size_t i = 0; i < p->n_dropped; i++)
		free(p->dropped[i]);
	free(STEAL(p->dropped));
	p->n_dropped = 0;
}

static int make_targets(struct protector *p)
{
	size_t n_watched = 0;

	p->targets = calloc(p->config.n_sources + 1, sizeof(*p->targets));
	if (!p->targets)
		return -ENOMEM;
	for (size_t i = 0; i < p->config.n_sources; i++) {
		const struct config_source *source = &p->config.sources[i];
		struct target *t = &p->targets[i];

		t->config = source;
		t->is_stream = *source->command != '\0';
		t->path = strdup(source->canonical);
		if (!t->path)
			return -ENOMEM;
		t->watched = t->is_stream ? SIZE_MAX : n_watched++;
		p->n_targets++;
	}
	return 0;
}

/* What the newest record knows of our sources. */
static void recall_targets(struct protector *p)
{
	CLEANUP(record_done) struct record record = { 0 };
	struct snapshot_info latest;

	if (timeline_latest(p->timeline, &latest) < 0 ||
	    timeline_read(p->timeline, latest.seq, &record) < 0)
		return;
	for (size_t i = 0; i < p->n_targets; i++) {
		for (size_t j = 0; j < record.n_sources; j++) {
			if (strcmp(record.sources[j].path, p->targets[i].path) != 0)
				continue;
			p->targets[i].captured_ns = record.sources[j].captured_ns;
			p->targets[i].walked_ns = record.sources[j].walk_start_ns;
			p->targets[i].tried_ns = record.sources[j].captured_ns;
		}
	}
}

static enum watch_backend best_backend(enum config_watch wanted)
{
	return wanted == CONFIG_WATCH_AUTO      ? WATCH_FANOTIFY
	       : wanted == CONFIG_WATCH_INOTIFY ? WATCH_INOTIFY
						: WATCH_POLL;
}

static int start_watch(struct protector *p)
{
	CLEANUP(free_ptr) struct watch_source *sources = NULL;
	const char *ignored[] = { io_real_path(store_io(p->options.session->store)) };
	struct watch_options options = { .ignored = ignored, .n_ignored = 1 };

	sources = calloc(p->n_targets + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_targets; i++) {
		if (p->targets[i].is_stream)
			continue;
		sources[options.n_sources++] =
			(struct watch_source){ .path = p->targets[i].path,
					       .excludes = p->targets[i].config->excludes,
					       .one_file_system =
						       p->targets[i].config->one_file_system,
					       .best = best_backend(p->targets[i].config->watch) };
	}
	options.sources = sources;
	options.poll_interval_s = (uint32_t)(p->config.poll_every_ms / 1000);
	return watch_new(&options, &p->watch);
}

/* Sources that were protected and are in the configuration no more leave the next snapshot. */
static int note_dropped(struct protector *p, const struct target *old, size_t n_old)
{
	for (size_t i = 0; i < n_old; i++) {
		bool stays = false;
		char **grown;

		for (size_t j = 0; j < p->n_targets; j++)
			stays |= strcmp(p->targets[j].path, old[i].path) == 0;
		if (stays)
			continue;
		grown = reallocarray(p->dropped, p->n_dropped + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->dropped = grown;
		grown[p->n_dropped] = strdup(old[i].path);
		if (!grown[p->n_dropped])
			return -ENOMEM;
		p->n_dropped++;
	}
	return 0;
}

/* Threads take these over from the one that calls: snapshots leave the machine to its users. */
static void lower_priority(const struct config *config)
{
	int io = config->io == CONFIG_IO_IDLE ? 3 << IO_CLASS_SHIFT : (2 << IO_CLASS_SHIFT) | 7;

	if (setpriority(PRIO_PROCESS, (id_t)gettid(), (int)config->nice) < 0)
		log_debug("the protecting threads' nice value cannot be set");
	(void)syscall(SYS_ioprio_set, 1 /* this thread */, 0, io);
}

/* What other threads need of the configuration. */
static void share_config(struct protector *p)
{
	lock_take(&p->lock);
	p->keep = p->config.retention;
	p->collect_every_ms = p->config.collect_every_ms;
	p->collect_rate = p->config.collect_rate_bytes;
	p->reserve_bytes = p->config.reserve_bytes;
	p->verify_every_ms = p->config.data_every_ms;
	p->verify_rate = p->config.check_rate_bytes;
	p->state.stale_after_s = p->config.stale_after_ms / 1000;
	lock_drop(&p->lock);
}

/* Begin with a configuration that is in p->config. */
static int adopt_config(struct protector *p)
{
	int r = make_targets(p);

	if (r < 0)
		return r;
	share_config(p);
	recall_targets(p);
	lower_priority(&p->config);
	r = start_watch(p);
	return r < 0 ? r : protector_state_targets(p);
}

/* Put a fresh one in the place of p->config, which goes. */
static int exchange_config(struct protector *p, const struct config *fresh)
{
	struct target *old;
	size_t n_old;
	int r;

	LOCK_SCOPE(&p->config_lock);
	watch_free(STEAL(p->watch));
	old = STEAL(p->targets);
	n_old = p->n_targets;
	p->n_targets = 0;
	config_done(&p->config);
	p->config = *fresh;
	r = adopt_config(p);
	if (r == 0)
		r = note_dropped(p, old, n_old);
	for (size_t i = 0; i < n_old; i++)
		free(old[i].path);
	free(old);
	return r;
}

static void take_new_config(struct protector *p)
{
	struct config fresh = { 0 };
	int r;

	notify_reloading();
	if (config_load(p->options.globals, &fresh) != EXIT_CODE_DONE) {
		log_warning("the configuration as it was stays in force");
		config_done(&fresh);
		notify_ready();
		return;
	}
	r = exchange_config(p, &fresh);
	if (r < 0)
		protector_say_stopped(p, "the new configuration could not be put in force");
	else
		log_info("configuration read again: %zu sources", p->n_targets);
	if (p->options.policy_changed)
		p->options.policy_changed(p->options.context, &p->config.retention);
	notify_ready();
}

/* ---- when ---- */

/* Milliseconds until this target is due (0: now), or -1 when nothing is pending. */
static int64_t target_due_ms(struct protector *p, const struct target *t, int64_t now)
{
	const int64_t quiet = (int64_t)p->config.quiet_ms * NS_PER_MS;
	const int64_t longest = (int64_t)p->config.longest_ms * NS_PER_MS;
	struct watch_state state;
	int64_t at;

	if (t->is_stream)
		return target_stream_due(t, clock_now_ns()) ? 0 : -1;
	watch_state(p->watch, t->watched, &state);
	if (state.first_ns == 0)
		return state.everything ? 0 : -1;
	at = state.last_ns + quiet < state.first_ns + longest ? state.last_ns + quiet
							      : state.first_ns + longest;
	return at <= now ? 0 : (at - now) / NS_PER_MS + 1;
}

/* Milliseconds until a snapshot is due, or -1. */
static int64_t due_ms(struct protector *p)
{
	int64_t now = monotonic_ns(), least = p->n_dropped > 0 ? 0 : -1;

	for (size_t i = 0; i < p->n_targets; i++) {
		int64_t ms = target_due_ms(p, &p->targets[i], now);

		if (ms >= 0 && (least < 0 || ms < least))
			least = ms;
	}
	if (least >= 0 && p->retry_ns > now + least * NS_PER_MS)
		least = (p->retry_ns - now) / NS_PER_MS + 1;
	return least;
}

/* Hints may be missed: once a day everything is looked at. */
static void ask_for_whole_walks(struct protector *p)
{
	int64_t now = clock_now_ns();

	for (size_t i = 0; i < p->n_targets; i++) {
		struct target *t = &p->targets[i];

		if (t->is_stream || t->walked_ns == 0 || p->config.full_walk_ms == 0)
			continue;
		/* A clock that was set back asks for nothing; one set ahead costs one walk. */
		if (now - t->walked_ns > (int64_t)p->config.full_walk_ms * NS_PER_MS) {
			log_debug("%s: a whole walk is due", t->path);
			watch_give_back(p->watch, t->watched, NULL);
			t->walked_ns = now;
		}
	}
}

static void run_round(struct protector *p)
{
	char why[PROTECTION_TEXT_BYTES];
	int64_t wait_s = RETRY_FIRST_S;
	int r = protector_round(p);

	if (r == 0 || r == -EALREADY) {
		p->failures = 0;
		p->retry_ns = 0;
		dropped_free(p);
		protector_say_stopped(p, NULL);
		return;
	}
	if (r == -ECANCELED)
		return;
	for (unsigned int i = 0; i < p->failures && wait_s < RETRY_MOST_S; i++)
		wait_s *= 2;
	if (wait_s > RETRY_MOST_S)
		wait_s = RETRY_MOST_S;
	p->failures++;
	p->retry_ns = monotonic_ns() + wait_s * NS_PER_S;
	(void)snprintf(why, sizeof(why), "no snapshot could be taken: %s", strerror(-r));
	log_error("%s; it is tried again in %lld s", why, (long long)wait_s);
	protector_say_stopped(p, why);
}

static void *protect_thread(void *argument)
{
	struct protector *p = argument;

	(void)pthread_setname_np(pthread_self(), "yore-protect");
	lower_priority(&p->config);
	while (!atomic_load(&p->stopping)) {
		int64_t ms;

		atomic_store(&p->heartbeat_ns, monotonic_ns());
		if (atomic_exchange(&p->reload, false) || !p->watch)
			take_new_config(p);
		if (!p->watch) { /* it could not be put in force: again in a while */
			protector_sleep(p, TICK_MS);
			continue;
		}
		ask_for_whole_walks(p);
		ms = due_ms(p);
		if (ms == 0)
			run_round(p);
		else if (ms > 0)
			protector_sleep(p, ms); /* what comes meanwhile only makes it later */
		else if (watch_wait(p->watch, p->wake, TICK_MS) > 0)
			protector_touch(p);
		else
			protector_sleep(p, 0); /* it was woken */
	}
	/* What is pending goes into a last snapshot, unless it is asked to hurry; also a change of
	 * a moment ago, of which the kernel has yet to tell. */
	(void)poll(NULL, 0, EVENTS_MS);
	if (!p->cancel && p->watch && due_ms(p) >= 0)
		run_round(p);
	return NULL;
}

/* ---- life ---- */

static int open_timeline(struct protector *p)
{
	struct session *s = p->options.session;
	const struct host_id *own = store_host(s->store);

	if (memcmp(timeline_host(s->timeline), own, sizeof(*own)) == 0) {
		p->timeline = s->timeline;
		return 0;
	}
	p->owns_timeline = true;
	return timeline_open(s->store, own, &p->timeline);
}

static int start_threads(struct protector *p)
{
	int r = pthread_create(&p->protecting, NULL, protect_thread, p);

	p->n_threads = r == 0;
	if (r == 0)
		r = pthread_create(&p->upkeep, NULL, protector_upkeep_thread, p);
	p->n_threads += r == 0;
	if (r == 0)
		r = pthread_create(&p->reporting, NULL, protector_report_thread, p);
	p->n_threads += r == 0;
	return -r;
}

int protector_new(const struct protector_options *options, struct config *config,
		  struct protector **ret_protector)
{
	CLEANUP(protector_free_ptr) struct protector *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->options = *options;
	p->note_fd = p->wake = p->report_wake = -1;
	lock_init(&p->lock, LOCK_RANK_LEAF);
	lock_init(&p->config_lock, LOCK_RANK_DAEMON);
	pthread_cond_init(&p->upkeep_wake, NULL);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->report_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake < 0 || p->report_wake < 0)
		return -errno;
	p->note_fd = daemon_note_write(store_io(options->session->store), options->mountpoint);
	if (p->note_fd < 0)
		return p->note_fd;
	p->config = *config;
	*config = (struct config){ 0 };
	p->state.started_ns = clock_now_ns();
	p->state.pid = getpid();
	r = open_timeline(p);
	if (r == 0)
		r = alerts_new(store_io(options->session->store), &p->alerts);
	if (r == 0)
		r = adopt_config(p);
	if (r == 0)
		r = start_threads(p);
	if (r < 0)
		return r;
	*ret_protector = STEAL(p);
	return 0;
}

void protector_reload(struct protector *p)
{
	atomic_store(&p->reload, true);
	wake(p->wake);
}

void protector_stop(struct protector *p)
{
	if (atomic_exchange(&p->stopping, true))
		p->cancel = true;
	wake(p->wake);
}

void protector_wait(struct protector *p)
{
	atomic_store(&p->stopping, true);
	if (p->wake >= 0)
		wake(p->wake);
	if (p->n_threads > 0)
		(void)pthread_join(p->protecting, NULL);
	lock_take(&p->lock);
	p->cancel = true; /* upkeep can go on at any time */
	pthread_cond_broadcast(&p->upkeep_wake);
	lock_drop(&p->lock);
	if (p->n_threads > 1)
		(void)pthread_join(p->upkeep, NULL);
	if (p->n_threads > 2) {
		wake(p->report_wake);
		(void)pthread_join(p->reporting, NULL);
	}
	p->n_threads = 0;
}

void protector_free(struct protector *p)
{
	if (!p)
		return;
	protector_wait(p);
	watch_free(p->watch);
	targets_free(p);
	dropped_free(p);
	alerts_free(p->alerts);
	protection_done(&p->state);
	if (p->owns_timeline)
		timeline_close(p->timeline);
	if (p->note_fd >= 0)
		daemon_note_end(store_io(p->options.session->store), p->note_fd);
	config_done(&p->config);
	if (p->wake >= 0)
		(void)close(p->wake);
	if (p->report_wake >= 0)
		(void)close(p->report_wake);
	pthread_cond_destroy(&p->upkeep_wake);
	lock_done(&p->lock);
	lock_done(&p->config_lock);
	free(p);
}

size_t protector_sources(struct protector *p)
{
	LOCK_SCOPE(&p->config_lock);
	return p->n_targets;
}
