/* SPDX-License-Identifier: MIT */
#include "tools/protector_internal.h"

#include "snapshots/source_path.h"
#include "store/base/log.h"
#include "tools/daemon_note.h"
#include "tools/notify.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TICK_MS 10000
#define GONE_TICK_MS 1000
#define MOVED_TICK_MS 2000 /* at most so often */
#define EVENTS_MS 200      /* for events on their way */
#define RETRY_FIRST_S 5
#define RETRY_MOST_S 300
#define GONE_MOST_S                                                                   \
	15 /* then its descriptors are let go, or its disk could not be mounted again \
	    */
#define GONE_FAILURES 2
#define IO_CLASS_SHIFT 13
#define PRIORITY_KNOWN 0x100 /* beside a nice value and a class */

static void wake(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

/* Sleep until woken, stopped, or this long. */
static void sleep_ms(struct protector *p, int64_t ms)
{
	struct pollfd fd = { .fd = p->wake, .events = POLLIN };
	uint64_t count;

	if (poll(&fd, 1, ms > TICK_MS ? TICK_MS : (int)ms) > 0)
		(void)!read(p->wake, &count, sizeof(count));
}

int64_t protector_backoff_ns(unsigned int failures)
{
	int64_t wait_s = RETRY_FIRST_S;

	for (unsigned int i = 1; i < failures && wait_s < RETRY_MOST_S; i++)
		wait_s *= 2;
	return (wait_s < RETRY_MOST_S ? wait_s : RETRY_MOST_S) * NS_PER_S;
}

void protector_lower_priority(struct protector *p, int *known)
{
	const int nice = atomic_load(&p->nice);
	const bool idle = atomic_load(&p->io) == CONFIG_IO_IDLE;
	const int now = PRIORITY_KNOWN | nice << 1 | idle;

	if (now == *known)
		return;
	*known = now;
	if (setpriority(PRIO_PROCESS, (id_t)gettid(), nice) < 0)
		log_debug("a protecting thread's nice value cannot be set");
	(void)syscall(SYS_ioprio_set, 1 /* this thread */, 0,
		      idle ? 3 << IO_CLASS_SHIFT : (2 << IO_CLASS_SHIFT) | 7);
}

/* ---- the repository's place ---- */

static bool repository_is_there(const struct protector *p)
{
	struct stat st;

	return stat(io_real_path(store_io(p->options.session->store)), &st) == 0 &&
	       st.st_dev == p->repository_device && st.st_ino == p->repository_inode;
}

/* Errors of a disk, of one that was unmounted under our hands, or of an index that is built anew
 * when it is opened. */
static bool is_disk_error(int r)
{
	return r == -EIO || r == -ENODEV || r == -ENXIO || r == -EROFS || r == -ESTALE ||
	       r == -ENOTCONN || r == -ESHUTDOWN || r == -EUCLEAN;
}

/* What is open of it leads nowhere any more: begin anew when it is back. */
static void give_repository_up(struct protector *p)
{
	atomic_store(&p->stopping, true);
	p->cancel = true;
	if (p->options.repository_lost)
		p->options.repository_lost(p->options.context);
}

/* Was its disk unmounted, or another one mounted in its place? */
static void look_for_repository(struct protector *p)
{
	char why[PROTECTION_TEXT_BYTES];
	const int64_t now = clock_monotonic_ns();

	if (repository_is_there(p)) {
		if (p->gone_ns != 0)
			protector_say_stopped(p, NULL);
		p->gone_ns = 0;
		return;
	}
	if (p->gone_ns == 0) {
		p->gone_ns = now;
		(void)snprintf(
			why, sizeof(why),
			"the repository %.120s is not there any more: was its disk unmounted?",
			io_real_path(store_io(p->options.session->store)));
		log_error("%s", why);
		protector_say_stopped(p, why);
	}
	if (now - p->gone_ns >= GONE_MOST_S * NS_PER_S)
		give_repository_up(p);
}

/* ---- when ---- */

/* Milliseconds until this target is due (0: now), or -1 when nothing is pending. */
static int64_t target_due_ms(struct protector *p, const struct target *t, int64_t now)
{
	const int64_t quiet = (int64_t)p->config.quiet_ms * NS_PER_MS;
	const int64_t longest = (int64_t)p->config.longest_ms * NS_PER_MS;
	struct watch_state state;
	int64_t at;

	if (target_rests(t))
		return -1;
	if (t->is_stream)
		return clock_boottime_ns() >= t->run_due_ns ? 0 : -1;
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
	int64_t now = clock_monotonic_ns(), least = p->n_dropped > 0 ? 0 : -1;

	for (size_t i = 0; i < p->n_targets; i++) {
		int64_t ms = target_due_ms(p, &p->targets[i], now);

		if (ms >= 0 && (least < 0 || ms < least))
			least = ms;
	}
	if (least >= 0 && p->retry_ns > now + least * NS_PER_MS)
		least = (p->retry_ns - now) / NS_PER_MS + 1;
	return least;
}

/* How long nothing needs to be looked at unless something is told. */
static int tick_ms(const struct protector *p)
{
	const int64_t now = clock_boottime_ns();
	int64_t least = p->gone_ns != 0 ? GONE_TICK_MS : TICK_MS;

	for (size_t i = 0; i < p->n_targets; i++) {
		const struct target *t = &p->targets[i];
		int64_t at =
			t->is_stream && t->run_due_ns > t->retry_ns ? t->run_due_ns : t->retry_ns;

		if (at > now && (at - now) / NS_PER_MS + 1 < least)
			least = (at - now) / NS_PER_MS + 1;
	}
	return (int)least;
}

/* Hints may be missed: once a day everything is looked at. */
static void ask_for_whole_walks(struct protector *p)
{
	const int64_t every = (int64_t)p->config.full_walk_ms * NS_PER_MS;
	const int64_t now = clock_boottime_ns();

	for (size_t i = 0; every > 0 && i < p->n_targets; i++) {
		struct target *t = &p->targets[i];

		if (t->is_stream || now < t->walk_due_ns)
			continue;
		log_debug("%s: a whole walk is due", t->path);
		watch_give_back(p->watch, t->watched, NULL);
		t->walk_due_ns = now + every;
	}
}

/*
 * Does a configured path lead elsewhere by now: was a folder replaced by a symlink, or a symlink
 * by another? Then that place is protected, as if the configuration had been read again.
 */
static void look_for_moved(struct protector *p)
{
	const int64_t now = clock_monotonic_ns();

	if (now < p->moved_look_ns)
		return;
	p->moved_look_ns = now + MOVED_TICK_MS * NS_PER_MS;
	for (size_t i = 0; i < p->n_targets; i++) {
		CLEANUP(source_path_done) struct source_path where = { 0 };
		const struct target *t = &p->targets[i];

		if (t->is_stream || source_path_resolve(t->config->path, &where) < 0 ||
		    strcmp(where.path, t->path) == 0 || protector_is_nowhere(where.path))
			continue;
		log_info("%s leads to %s now", t->config->path, where.path);
		atomic_store(&p->reload, true);
	}
}

/* Is it the repository or its mount, which are left out of every snapshot? */
static bool is_own(const struct protector *p, const struct target *t, const struct stat *st)
{
	const char *mountpoint = p->options.mountpoint;

	return (st && st->st_dev == p->repository_device && st->st_ino == p->repository_inode) ||
	       (mountpoint && strcmp(t->path, mountpoint) == 0);
}

/* A source that was never there, or never is taken, must not stop the others. */
static void look_for_missing(struct protector *p)
{
	for (size_t i = 0; i < p->n_targets; i++) {
		struct target *t = &p->targets[i];
		struct stat st;
		bool missing, own;

		if (t->is_stream || t->captured_ns != 0)
			continue;
		missing = lstat(t->path, &st) < 0;
		own = is_own(p, t, missing ? NULL : &st);
		missing |= own;
		if (missing == t->missing)
			continue;
		t->missing = missing;
		lock_take(&p->lock);
		p->state.sources[i].absent = missing;
		lock_drop(&p->lock);
		if (missing)
			protector_problem(p, t->path,
					  own ? "is yore's own and is not protected"
					      : "is not there; it is protected when it comes",
					  0);
		protector_touch(p);
	}
}

static void run_round(struct protector *p)
{
	char why[PROTECTION_TEXT_BYTES];
	int64_t wait_ns;
	int r = protector_round(p);

	if (r == 0 || r == -EALREADY) {
		p->failures = 0;
		p->retry_ns = 0;
		protector_forget_dropped(p);
		if (p->gone_ns == 0)
			protector_say_stopped(p, NULL);
		return;
	}
	if (r == -ECANCELED)
		return;
	wait_ns = protector_backoff_ns(++p->failures);
	p->retry_ns = clock_monotonic_ns() + wait_ns;
	(void)snprintf(why, sizeof(why), "no snapshot could be taken: %s", strerror(-r));
	log_error("%s; it is tried again in %lld s", why, (long long)(wait_ns / NS_PER_S));
	protector_say_stopped(p, why);
	if (p->failures >= GONE_FAILURES && is_disk_error(r))
		give_repository_up(p);
}

/* ---- the thread ---- */

static void adopt(struct protector *p)
{
	char why[PROTECTION_TEXT_BYTES];
	int r = protector_adopt(p);

	if (r == 0) {
		protector_say_stopped(p, NULL);
		return;
	}
	(void)snprintf(why, sizeof(why), "the sources cannot be watched: %s", strerror(-r));
	log_error("%s; it is tried again in %d s", why, TICK_MS / 1000);
	protector_say_stopped(p, why);
	sleep_ms(p, TICK_MS);
}

/* Look once at what there is to do, and do it or wait. */
static void step(struct protector *p)
{
	int64_t ms;

	if (atomic_exchange(&p->reload, false)) {
		notify_reloading();
		protector_read_config(p);
		if (!p->watch)
			adopt(p);
		notify_ready();
	}
	if (!p->watch) {
		adopt(p);
		return;
	}
	look_for_repository(p);
	look_for_missing(p);
	look_for_moved(p);
	ask_for_whole_walks(p);
	ms = due_ms(p);
	if (atomic_load(&p->stopping) || atomic_load(&p->reload))
		return;
	if (ms == 0)
		run_round(p);
	else if (ms > 0)
		sleep_ms(p, ms); /* what comes meanwhile only makes it later */
	else if (watch_wait(p->watch, p->wake, tick_ms(p)) > 0)
		protector_touch(p);
	else
		sleep_ms(p, 0); /* it was woken */
}

static void *protect_thread(void *argument)
{
	struct protector *p = argument;
	int priority = 0;

	(void)pthread_setname_np(pthread_self(), "yore-protect");
	while (!atomic_load(&p->stopping)) {
		protector_lower_priority(p, &priority);
		atomic_store(&p->heartbeat_ns, clock_monotonic_ns());
		step(p);
	}
	/* What is pending goes into a last snapshot, unless it is asked to hurry; also a change of
	 * a moment ago, of which the kernel has yet to tell. */
	if (!p->cancel)
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

/* Signals are the program's: its handlers run on the thread that may free what they use. */
static int start_threads(struct protector *p)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&p->protecting, NULL, protect_thread, p);

	p->n_threads = r == 0;
	if (r == 0)
		r = pthread_create(&p->upkeep, NULL, protector_upkeep_thread, p);
	p->n_threads += r == 0;
	if (r == 0)
		r = pthread_create(&p->reporting, NULL, protector_report_thread, p);
	p->n_threads += r == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

/* Where it is, and that it is there. */
static int remember_repository(struct protector *p)
{
	const char *path = io_real_path(store_io(p->options.session->store));
	struct stat st;

	if (stat(path, &st) < 0)
		return log_errno(-errno, "the repository %s is not there any more", path);
	p->repository_device = st.st_dev;
	p->repository_inode = st.st_ino;
	return 0;
}

/* What the threads find when they begin. */
static void take_config(struct protector *p, struct config *config)
{
	p->config = *config;
	*config = (struct config){ 0 };
	p->state.protecting = p->config.n_sources > 0;
	p->state.started_ns = clock_now_ns();
	p->state.pid = getpid();
	atomic_store(&p->n_sources, p->config.n_sources);
	atomic_store(&p->nice, (int)p->config.nice);
	atomic_store(&p->io, (int)p->config.io);
	atomic_store(&p->patience_ns, INT64_MAX);
	atomic_store(&p->heartbeat_ns, clock_monotonic_ns());
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
	take_config(p, config);
	r = remember_repository(p);
	if (r == 0)
		r = open_timeline(p);
	if (r == 0)
		r = alerts_new(store_io(options->session->store), &p->alerts);
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
		atomic_store(&p->report_end, true);
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
	protector_free_config(p);
	alerts_free(p->alerts);
	protection_done(&p->state);
	if (p->owns_timeline)
		timeline_close(p->timeline);
	if (p->note_fd >= 0)
		daemon_note_end(store_io(p->options.session->store), p->note_fd);
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
	return atomic_load(&p->n_sources);
}
