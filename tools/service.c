/* SPDX-License-Identifier: MIT */
#include "tools/service.h"

#include "fs/mount.h"
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
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define PREFETCHERS 4
#define AGAIN_FIRST_S 5 /* after an unmount from outside */
#define AGAIN_MOST_S 300

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
};

/* What signals act on. */
static struct mount *volatile mounted;
static struct protector *volatile protecting;
static volatile int wake_fd = -1;

static void on_end(int signal_number)
{
	int error = errno;
	uint64_t one = 1;

	(void)signal_number;
	cmd_cancelled = true;
	if (mounted)
		mount_stop(mounted);
	if (protecting)
		protector_stop(protecting);
	if (wake_fd >= 0)
		(void)!write(wake_fd, &one, sizeof(one));
	errno = error;
}

static void on_reload(int signal_number)
{
	int error = errno;

	(void)signal_number;
	if (protecting)
		protector_reload(protecting);
	errno = error;
}

static void catch_signals(void)
{
	struct sigaction end = { .sa_handler = on_end, .sa_flags = SA_RESTART };
	struct sigaction reload = { .sa_handler = on_reload, .sa_flags = SA_RESTART };

	(void)sigemptyset(&end.sa_mask);
	(void)sigemptyset(&reload.sa_mask);
	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGHUP, &reload, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
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
					 .debug = q->debug };
	int r = mount_new(s->session->timeline, s->session->cache, &options, &m);

	if (r < 0)
		return r;
	set_mount(s, m);
	if (cmd_cancelled)
		mount_stop(m);
	r = mount_run(m);
	set_mount(s, NULL);
	return r;
}

static void wait_s(int64_t seconds)
{
	struct pollfd fd = { .fd = wake_fd, .events = POLLIN };

	while (!cmd_cancelled && seconds-- > 0)
		(void)poll(&fd, 1, 1000);
}

/* Whoever unmounts a protecting service means the mount: it comes back until `yore umount`. */
static int show(struct service *s)
{
	int64_t again_s = AGAIN_FIRST_S;
	int r = show_once(s);

	/* It never was ready, or there is nothing to go on for. */
	if ((r < 0 && !s->was_ready) || !s->protector || protector_sources(s->protector) == 0)
		return r < 0 ? mount_failure(r) : EXIT_CODE_DONE;
	while (!cmd_cancelled) {
		log_warning("%s is not mounted any more; protection goes on, and it is mounted "
			    "again in %lld s ('yore umount' ends it)",
			    s->request->mountpoint, (long long)again_s);
		wait_s(again_s);
		if (cmd_cancelled)
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
	while (!cmd_cancelled)
		wait_s(INT32_MAX);
	return EXIT_CODE_DONE;
}

/* ---- the protector ---- */

static int start_protector(struct service *s, const struct cmd_globals *globals,
			   struct config *config)
{
	struct protector_options options = { .session = s->session,
					     .globals = globals,
					     .mountpoint = s->request->mountpoint,
					     .policy_changed = take_policy,
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
	return EXIT_CODE_DONE;
}

static int run_in(struct service *s, const struct cmd_globals *globals, struct config *config)
{
	int r = session_cache(s->session, s->request->cache_bytes, PREFETCHERS);

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
	notify_stopping();
	/* Its last snapshot is still to come: signals must find it until it is done. */
	if (s->protector)
		protector_wait(s->protector);
	protecting = NULL;
	protector_free(s->protector);
	kept_by_free(s->kept_by);
	return r;
}

int service_run(const struct cmd_globals *globals, const struct mount_request *request,
		struct config *config, int ready_fd)
{
	CLEANUP(session_close) struct session session = { 0 };
	struct service s = { .session = &session, .request = request, .ready_fd = ready_fd };
	int r;

	lock_init(&s.mount_lock, LOCK_RANK_DAEMON);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	catch_signals();
	r = session_open(&session, globals, SESSION_TIMELINE, 0);
	if (r == EXIT_CODE_DONE)
		r = run_in(&s, globals, config);
	lock_done(&s.mount_lock);
	return r;
}
