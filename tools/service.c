/* SPDX-License-Identifier: MIT */
#include "tools/service.h"

#include "fs/mount.h"
#include "store/base/clock.h"
#include "store/base/lock.h"
#include "store/base/log.h"
#include "tools/daemon.h"
#include "tools/failure.h"
#include "tools/folder.h"
#include "tools/kept_by.h"
#include "tools/notify.h"
#include "tools/output.h"
#include "tools/protector.h"
#include "tools/session.h"
#include "tools/status.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFETCHERS 4
#define AGAIN_FIRST_S 5 /* after an unmount from outside */
#define AGAIN_MOST_S 300
#define BACK_FIRST_S 2 /* after the repository was lost */
#define BACK_MOST_S 30
#define SAME_REQUEST_NS NS_PER_S /* who ends all processes at once is heard twice */

struct service {
	struct session *session;
	const struct mount_request *request;
	struct mount *mount;         /* while one is there */
	struct protector *protector; /* NULL: it only shows */
	struct kept_by *kept_by;
	size_t n_configured;    /* sources, when it began */
	struct lock mount_lock; /* guards `mount`: others ask for its counts */
	int ready_fd;           /* -1: in the foreground, or said already */
	bool was_ready;
	atomic_bool lost; /* the repository: everything is closed, and opened when it is back */
};

/* What signals act on. */
static struct mount *volatile mounted;
static struct protector *volatile protecting;
static volatile int wake_fd = -1;
static volatile sig_atomic_t reload_asked; /* before there was anybody to read it */
static volatile int64_t end_asked_ns;

static void wake(void)
{
	uint64_t one = 1;

	if (wake_fd >= 0)
		(void)!write(wake_fd, &one, sizeof(one));
}

/* Is this the same wish once more, passed on by a supervisor? */
static bool is_same_request(void)
{
	int64_t ns = clock_monotonic_ns(), before = end_asked_ns;

	end_asked_ns = ns;
	return before != 0 && ns - before < SAME_REQUEST_NS;
}

static void on_end(int signal_number)
{
	int error = errno;

	(void)signal_number;
	if (!is_same_request()) {
		cmd_cancelled = true;
		if (mounted)
			mount_stop(mounted);
		if (protecting)
			protector_stop(protecting);
		wake();
	}
	errno = error;
}

static void on_reload(int signal_number)
{
	int error = errno;

	(void)signal_number;
	reload_asked = 1;
	if (protecting)
		protector_reload(protecting);
	errno = error;
}

/* Without SA_RESTART a prompt for the password ends. */
static void catch_signals(int flags)
{
	struct sigaction end = { .sa_handler = on_end, .sa_flags = flags };
	struct sigaction reload = { .sa_handler = on_reload, .sa_flags = SA_RESTART };

	(void)sigemptyset(&end.sa_mask);
	(void)sigaddset(&end.sa_mask, SIGINT);
	(void)sigaddset(&end.sa_mask, SIGTERM);
	(void)sigemptyset(&reload.sa_mask);
	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGHUP, &reload, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* Handlers shall run on this thread, which frees what they use, and on none that it makes. */
static void hold_signals(bool hold)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* Shall this round of service end? */
static bool is_over(struct service *s)
{
	return cmd_cancelled || atomic_load(&s->lost);
}

/* ---- what it tells ---- */

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* What the mount has done so far, and what it holds in memory. */
static json_t *mount_json(struct service *s)
{
	struct chunk_cache_stats cache;
	struct mount_stats requests = { 0 };
	json_t *o = json_object();

	if (!o)
		return NULL;
	lock_take(&s->mount_lock);
	if (s->mount)
		mount_stats(s->mount, &requests);
	lock_drop(&s->mount_lock);
	chunk_cache_stats(s->session->cache, &cache);
	(void)output_json_name(o, "path", s->request->mountpoint, strlen(s->request->mountpoint));
	(void)json_object_set_new(o, "requests", number(requests.requests));
	(void)json_object_set_new(o, "lookups", number(requests.lookups));
	(void)json_object_set_new(o, "getattrs", number(requests.getattrs));
	(void)json_object_set_new(o, "readdirs", number(requests.readdirs));
	(void)json_object_set_new(o, "reads", number(requests.reads));
	(void)json_object_set_new(o, "xattrs", number(requests.xattrs));
	(void)json_object_set_new(o, "others", number(requests.others));
	(void)json_object_set_new(o, "nodes", number(requests.nodes));
	(void)json_object_set_new(o, "cache_hits", number(cache.hits));
	(void)json_object_set_new(o, "cache_waits", number(cache.waits));
	(void)json_object_set_new(o, "cache_decodes", number(cache.decodes));
	(void)json_object_set_new(o, "cache_bytes", number(cache.bytes));
	return o;
}

static char *service_status(void *context)
{
	struct service *s = context;

	return status_text(s->session, mount_json(s));
}

static char *service_metrics(void *context)
{
	const struct service *s = context;

	return status_metrics(s->session);
}

/* Also where this one only shows: it looks at whichever daemon protects. */
static char *service_banner(void *context)
{
	const struct service *s = context;
	CLEANUP(protection_done) struct protection own = { 0 };
	bool protects = s->protector && protector_state(s->protector, &own) == 0;

	return status_banner(s->session->io, protects ? &own : NULL, s->n_configured);
}

static void take_policy(void *context, const struct retention_policy *policy)
{
	struct service *s = context;

	kept_by_set(s->kept_by, policy);
}

static void say_ready(void *context)
{
	struct service *s = context;

	s->was_ready = true;
	if (s->ready_fd >= 0)
		daemon_ready(STEAL_FD(s->ready_fd));
	else if (*s->request->mountpoint)
		log_info("mounted at %s", s->request->mountpoint);
	notify_ready();
}

/* ---- the mount ---- */

/* The default mountpoint is made, any other must be there. */
static int check_mountpoint(const struct mount_request *q)
{
	struct stat st;
	int r;

	if (q->default_mountpoint) {
		r = folder_make_all(q->mountpoint, 0755);
		/* ENOTCONN: a dead mount, which mount_new takes away. */
		if (r < 0 && r != -ENOTCONN)
			return failure_errno(r, "cannot make the mountpoint %s", q->mountpoint);
	}
	if (stat(q->mountpoint, &st) < 0 && errno == ENOENT)
		return failure(EXIT_CODE_FAILED,
			       "the mountpoint %s is not there; make it with 'mkdir -p'",
			       q->mountpoint);
	return EXIT_CODE_DONE;
}

/* mount_new has said what is wrong and what to do about it. */
static int mount_failure(int r)
{
	if (r == -ENODEV || r == -EACCES || r == -EPERM)
		failure_note("'yore ls', 'yore cat' and 'yore restore' need no mount");
	return (int)failure_code(r);
}

static void set_mount(struct service *s, struct mount *m)
{
	mounted = m;
	lock_take(&s->mount_lock);
	s->mount = m;
	lock_drop(&s->mount_lock);
}

/* Mount, and serve until it is over. Returns 0 or -errno. */
static int show_once(struct service *s)
{
	CLEANUP(mount_free_ptr) struct mount *m = NULL;
	const struct mount_request *q = s->request;
	struct mount_options options = { .mountpoint = q->mountpoint,
					 .allow_other = q->allow_other,
					 .read_ahead_bytes = q->read_ahead_bytes,
					 .threads = q->threads,
					 .status_json = service_status,
					 .metrics = service_metrics,
					 .banner = service_banner,
					 .ready = say_ready,
					 .context = s,
					 .snapshot_xattr = kept_by_xattr,
					 .snapshot_xattr_context = s->kept_by,
					 .debug = q->debug };
	int r = mount_new(s->session->timeline, s->session->cache, &options, &m);

	if (r < 0)
		return r;
	set_mount(s, m);
	if (is_over(s))
		mount_stop(m);
	r = mount_run(m);
	set_mount(s, NULL);
	return r;
}

static void drain_wake(void)
{
	uint64_t count;

	(void)!read(wake_fd, &count, sizeof(count));
}

/* Until then, or until it is over. */
static void wait_s(struct service *s, int seconds)
{
	struct pollfd fd = { .fd = wake_fd, .events = POLLIN };

	if (!is_over(s))
		(void)poll(&fd, 1, seconds * 1000);
}

/* Whoever unmounts a protecting service means the mount: it comes back until `yore umount`. */
static int show(struct service *s)
{
	int again_s = AGAIN_FIRST_S;
	int r = show_once(s);

	/* It never was ready, or there is nothing to go on for. */
	if ((r < 0 && !s->was_ready) || !s->protector || protector_sources(s->protector) == 0)
		return r < 0 ? mount_failure(r) : EXIT_CODE_DONE;
	while (!is_over(s)) {
		log_warning("%s is not mounted any more; protection goes on, and it is mounted "
			    "again in %d s ('yore umount' ends it)",
			    s->request->mountpoint, again_s);
		wait_s(s, again_s);
		if (is_over(s))
			break;
		r = show_once(s);
		again_s = r < 0 && again_s * 2 < AGAIN_MOST_S ? again_s * 2 : AGAIN_FIRST_S;
	}
	return EXIT_CODE_DONE;
}

/* Without a mount there is only the end to wait for. */
static int protect_alone(struct service *s)
{
	if (!s->protector || protector_sources(s->protector) == 0)
		return failure(EXIT_CODE_FAILED,
			       "there is nothing to do: no mountpoint, and no source that is not "
			       "protected already; see yore.conf(5)");
	say_ready(s);
	while (!is_over(s))
		wait_s(s, 3600);
	return EXIT_CODE_DONE;
}

/* ---- the protector ---- */

/* Everything that has it open must be closed, or its disk could not be mounted again. */
static void on_lost(void *context)
{
	struct service *s = context;

	atomic_store(&s->lost, true);
	lock_take(&s->mount_lock);
	if (s->mount)
		mount_stop(s->mount);
	lock_drop(&s->mount_lock);
	wake();
}

static int start_protector(struct service *s, const struct cmd_globals *globals,
			   struct config *config)
{
	struct protector_options options = { .session = s->session,
					     .globals = globals,
					     .mountpoint = s->request->mountpoint,
					     .policy_changed = take_policy,
					     .repository_lost = on_lost,
					     .context = s };
	int r;

	if (s->session->read_only) {
		if (s->n_configured > 0)
			log_warning("the repository cannot be written: nothing is protected");
		return EXIT_CODE_DONE;
	}
	/* Also without sources: a later `yore protect` tells it of some. */
	r = protector_new(&options, config, &s->protector);
	if (r == -EBUSY) {
		if (s->n_configured > 0)
			log_warning("another daemon protects with this repository already; this "
				    "one only shows it");
		return EXIT_CODE_DONE;
	}
	if (r < 0)
		return failure_errno(r, "protection cannot begin");
	protecting = s->protector;
	if (cmd_cancelled)
		protector_stop(s->protector);
	if (reload_asked)
		protector_reload(s->protector);
	return EXIT_CODE_DONE;
}

static int run_in(struct service *s, const struct cmd_globals *globals, struct config *config)
{
	int r;

	hold_signals(true);
	r = session_cache(s->session, s->request->cache_bytes, PREFETCHERS);
	hold_signals(false);

	if (r < 0)
		return failure_errno(r, "mount");
	s->n_configured = config->n_sources;
	r = kept_by_new(s->session->timeline, &config->retention, &s->kept_by);
	if (r < 0)
		return failure_errno(r, "mount");
	if (*s->request->mountpoint)
		r = check_mountpoint(s->request);
	if (r == EXIT_CODE_DONE)
		r = start_protector(s, globals, config);
	if (r == EXIT_CODE_DONE)
		r = *s->request->mountpoint ? show(s) : protect_alone(s);
	if (!atomic_load(&s->lost) || cmd_cancelled)
		notify_stopping();
	/* Its last snapshot is still to come: signals must find it until it is done. */
	if (s->protector)
		protector_wait(s->protector);
	protecting = NULL;
	protector_free(STEAL(s->protector));
	kept_by_free(STEAL(s->kept_by));
	return r;
}

/* ---- a repository that goes and comes ---- */

static bool repository_is_back(const char *path)
{
	CLEANUP(free_ptr) char *config = NULL;

	if (asprintf(&config, "%s/config", path) < 0) {
		config = NULL;
		return false;
	}
	return access(config, R_OK) == 0;
}

/* Returns false when it shall end before. */
static bool wait_for_repository(struct service *s, const char *path, int *rest_s)
{
	atomic_store(&s->lost, false);
	drain_wake();
	log_warning("protection waits for the repository %s", path);
	notify_status("protection waits for the repository %s", path);
	do {
		wait_s(s, *rest_s);
		*rest_s = *rest_s * 2 < BACK_MOST_S ? *rest_s * 2 : BACK_MOST_S;
	} while (!cmd_cancelled && !repository_is_back(path));
	return !cmd_cancelled;
}

/* Open it, serve, close it. The configuration is taken over. */
static int serve_once(struct service *s, const struct cmd_globals *globals, struct config *config)
{
	int r = session_open(s->session, globals, SESSION_TIMELINE, SESSION_ANY_HOST);

	if (r == EXIT_CODE_DONE) {
		catch_signals(SA_RESTART);
		r = run_in(s, globals, config);
	}
	session_close(s->session);
	return r;
}

int service_run(const struct cmd_globals *globals, const struct mount_request *request,
		struct config *config, int ready_fd)
{
	struct session session = { 0 };
	struct service s = { .session = &session, .request = request, .ready_fd = ready_fd };
	CLEANUP(free_ptr) char *path = NULL;
	int rest_s = BACK_FIRST_S;
	int r;

	lock_init(&s.mount_lock, LOCK_RANK_DAEMON);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	catch_signals(0);
	r = session_repository(globals, &path);
	if (r == EXIT_CODE_DONE)
		r = serve_once(&s, globals, config);
	while (atomic_load(&s.lost) && !cmd_cancelled) {
		CLEANUP(config_done) struct config fresh = { 0 };

		if (!wait_for_repository(&s, path, &rest_s))
			break;
		r = config_load(globals, &fresh);
		if (r == EXIT_CODE_DONE)
			r = serve_once(&s, globals, &fresh);
	}
	lock_done(&s.mount_lock);
	return r;
}
