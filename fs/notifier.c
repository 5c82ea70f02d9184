/* SPDX-License-Identifier: MIT */
#include "fs/notifier.h"

#include "fs/control_files.h"
#include "fs/spot_table.h"
#include "fs/view_hosts.h"
#include "fs/view_root.h"
#include "snapshots/moment.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 2000          /* without inotify */
#define WATCHED_POLL_MS 10000 /* with it: for clocks that jump, and the banner */
#define READERS_SECONDS 60
#define KICK_MS 20
#define JOIN_SECONDS 3
#define LET_GO_STEP_MS 20 /* for the kernel to forget what it was told to */
#define LET_GO_STEPS 50
#define WATCH_EVENTS (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

struct notifier {
	struct notifier_options options;
	struct view *view;
	char *host_folder;    /* records of the host that is shown */
	char *records_folder; /* its parent, there before the first snapshot */
	char *wanted_folder;  /* where forgetting says what it found in use */
	int wake;             /* eventfd: something to stop for */
	int ended;            /* eventfd: the thread is at its end */
	int inotify;          /* -1: poll only */
	bool watches_host;
	int64_t wanted_ns; /* mtime of what was answered last */
	time_t readers_at; /* monotonic: when dead readers were last cleared */
	uint64_t version;  /* of the host that is shown, when the kernel was last told */
	uint64_t others;   /* of all other hosts together */
	char day[16];
	uint32_t *days; /* what the kernel may know of listed days */
	size_t n_days;
	pthread_t thread;
	pthread_t loop_thread;
	bool started;
	atomic_bool stop; /* end the loop */
	atomic_bool loop_ended;
};

/* ---- what changed, and telling the kernel ---- */

static void tell_name(const struct notifier *n, const char *name)
{
	struct fuse_session *session = n->options.session;

	/* Expired, a name keeps its node if it still means that: whoever is in there stays. */
	if (atomic_load(&n->options.ops->can_expire))
		(void)fuse_lowlevel_notify_expire_entry(session, NODE_ROOT, name, strlen(name),
							FUSE_LL_EXPIRE_ONLY);
	else
		(void)fuse_lowlevel_notify_inval_entry(session, NODE_ROOT, name, strlen(name));
}

static void tell_days(const struct notifier *n)
{
	char name[DAY_NAME_BYTES];

	for (size_t i = 0; i < n->n_days; i++)
		tell_name(n, view_root_day_name(n->days[i], name));
}

/* What a folder lists is another thing now. */
static void tell_folder(const struct notifier *n, uint64_t node)
{
	(void)fuse_lowlevel_notify_inval_inode(n->options.session, node, 0, 0);
}

/* The folders that are put together from a host's snapshots. */
static void tell_views(const struct notifier *n, uint32_t host)
{
	CLEANUP(free_ptr) uint64_t *nodes = NULL;
	size_t count;

	for (int folder = FOLDER_SNAPSHOTS; folder < FOLDER_DIFF; folder++)
		tell_folder(n, node_of_folder(host, (enum host_folder)folder));
	if (spot_table_nodes(n->view->spots, host, &nodes, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		tell_folder(n, nodes[i]);
}

/* Snapshots that other hosts put into the repository. */
static void look_at_others(struct notifier *n)
{
	struct view_host *h;
	uint64_t sum = 0;

	for (uint32_t i = HOST_SHOWN + 1; (h = view_host(n->view, i)); i++) {
		view_refresh(h);
		sum += atomic_load(&h->version);
	}
	if (sum == n->others)
		return;
	n->others = sum;
	tell_folder(n, NODE_HOSTS);
	for (uint32_t i = HOST_SHOWN + 1; view_host(n->view, i); i++) {
		tell_folder(n, node_of_folder(i, FOLDER_ROOT));
		tell_views(n, i);
	}
}

static void tell(struct notifier *n)
{
	static const char *const names[] = { "latest", "@latest", "@today", "@yesterday" };
	uint32_t *days;
	size_t n_days;

	tell_days(n); /* as they were: some may be gone */
	if (view_root_days(n->view->shown, &days, &n_days) >= 0) {
		free(n->days);
		n->days = days;
		n->n_days = n_days;
		tell_days(n);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		tell_name(n, names[i]);
	tell_folder(n, NODE_ROOT);
	tell_views(n, HOST_SHOWN);
}

static void look(struct notifier *n)
{
	char today[16];
	uint64_t version;

	moment_day(clock_now_ns(), today);
	if (strcmp(today, n->day) != 0) {
		memcpy(n->day, today, sizeof(today));
		view_changed(n->view->shown);
	}
	look_at_others(n);
	view_refresh(n->view->shown);
	version = atomic_load(&n->view->shown->version);
	if (version == n->version)
		return;
	n->version = version;
	tell(n);
}

/* ---- letting go of what forgetting wants ---- */

/* What to do with a name under which the kernel reaches a wanted snapshot. */
typedef void name_action(const struct notifier *n, uint64_t parent, const char *name);

/* Unused names below it leave the kernel's memory, and with them their nodes. Used ones stay. */
static void drop_name(const struct notifier *n, uint64_t parent, const char *name)
{
	(void)fuse_lowlevel_notify_inval_entry(n->options.session, parent, name, strlen(name));
}

/* Whoever works in there is on a branch cut off: looked up again, it grows back where it was. */
static void look_up(const struct notifier *n, uint64_t parent, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s%s", n->options.mountpoint,
		     parent == NODE_ROOT ? "" : ".snapshots/", name) < (int)sizeof(path))
		(void)stat(path, &st);
}

/* Returns whether the kernel knows any. */
static bool each_name(const struct notifier *n, uint64_t seq, name_action *act)
{
	CLEANUP(free_ptr) char *names = NULL;
	int n_names = node_table_root_names(n->view->nodes, seq, &names);
	struct snapshot_info info;
	const char *name = names;
	char exact[SNAPSHOT_NAME_BYTES + 1];

	for (int i = 0; act && i < n_names; i++, name += strlen(name) + 1) {
		if (*name) {
			act(n, NODE_ROOT, name);
		} else if (timeline_get(n->view->timeline, seq, &info) == 0) {
			(void)snprintf(exact, sizeof(exact), "@%s", info.name);
			act(n, NODE_SNAPSHOTS, exact);
		}
	}
	return n_names > 0;
}

static bool each_wanted(const struct notifier *n, const uint64_t *seqs, size_t n_seqs,
			name_action *act)
{
	bool known = false;

	for (size_t i = 0; i < n_seqs && !atomic_load(&n->stop); i++)
		known |= each_name(n, seqs[i], act);
	return known;
}

/* Below these any snapshot may be in use. */
static void each_view(const struct notifier *n, name_action *act)
{
	static const char *const names[] = { ".versions", ".deleted", ".diff" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		act(n, NODE_ROOT, names[i]);
}

static void let_go(struct notifier *n)
{
	struct io *io = store_io(timeline_store(n->view->timeline));
	CLEANUP(free_ptr) uint64_t *seqs = NULL;
	struct io_stat st;
	size_t n_seqs = 0;

	if (io_stat(io, TIMELINE_WANTED_FOLDER "/" TIMELINE_WANTED, &st) < 0 ||
	    st.mtime_ns == n->wanted_ns || timeline_wanted(n->view->timeline, &seqs, &n_seqs) < 0)
		return;
	n->wanted_ns = st.mtime_ns;
	if (!each_wanted(n, seqs, n_seqs, drop_name))
		return;
	each_view(n, drop_name);
	for (int i = 0; i < LET_GO_STEPS && each_wanted(n, seqs, n_seqs, NULL); i++)
		(void)poll(NULL, 0, LET_GO_STEP_MS);
	(void)each_wanted(n, seqs, n_seqs, look_up);
	each_view(n, look_up);
}

/* Otherwise dead readers hold pages of the index for ever, and open files the space of collected
 * packs. */
static void keep_up(struct notifier *n)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - n->readers_at < READERS_SECONDS)
		return;
	n->readers_at = now.tv_sec;
	tell_folder(n, NODE_HOSTS); /* hosts come without notice */
	store_upkeep(timeline_store(n->view->timeline));
}

static void look_at_banner(const struct notifier *n)
{
	if (!control_files_refresh_banner(n->view->control))
		return;
	tell_name(n, BANNER_NAME);
	(void)fuse_lowlevel_notify_inval_inode(n->options.session, NODE_ROOT, 0, 0);
}

/* ---- waiting ---- */

static void watch(struct notifier *n)
{
	if (n->inotify < 0 || n->watches_host)
		return;
	if (inotify_add_watch(n->inotify, n->host_folder, WATCH_EVENTS) >= 0) {
		n->watches_host = true;
		return;
	}
	if (errno == ENOENT && inotify_add_watch(n->inotify, n->records_folder, WATCH_EVENTS) >= 0)
		return;
	log_debug("mount: %s cannot be watched; it is looked at every %d ms", n->host_folder,
		  POLL_MS);
	(void)close(n->inotify);
	n->inotify = -1;
}

/* Without it, what forgetting wants is noticed at the next look. */
static void watch_wanted(const struct notifier *n)
{
	if (n->inotify >= 0 &&
	    inotify_add_watch(n->inotify, n->wanted_folder, IN_MOVED_TO | IN_ONLYDIR) < 0)
		log_debug("mount: %s cannot be watched", n->wanted_folder);
}

static void drain(const struct notifier *n)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	while (n->inotify >= 0 && read(n->inotify, events, sizeof(events)) > 0)
		;
}

static int wait_ms(const struct notifier *n)
{
	int64_t now = clock_now_ns(), begin, end, ms;

	moment_day_range(now, &begin, &end);
	ms = (end - now) / NS_PER_MS + 1;
	if (ms < 1)
		ms = 1;
	if (ms > WATCHED_POLL_MS)
		ms = WATCHED_POLL_MS;
	return n->inotify < 0 && ms > POLL_MS ? POLL_MS : (int)ms;
}

static void watch_until_stopped(struct notifier *n)
{
	while (!atomic_load(&n->stop)) {
		struct pollfd fds[] = {
			{ .fd = n->wake, .events = POLLIN },
			{ .fd = n->inotify, .events = POLLIN },
		};

		(void)poll(fds, 2, wait_ms(n));
		if (atomic_load(&n->stop))
			return;
		keep_up(n);
		drain(n);
		watch(n); /* before looking: what comes later wakes us */
		look(n);
		look_at_banner(n);
		let_go(n);
	}
}

/* ---- the session's beginning and end ---- */

static void raise_read_ahead(const struct notifier *n, dev_t device)
{
	char path[64], text[32];
	int fd, length;

	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
		       minor(device));
	length = snprintf(text, sizeof(text), "%zu\n", n->options.ops->read_ahead_bytes / 1024);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)length) != length)
		log_debug("mount: %s cannot be set; big files are read in smaller steps", path);
	if (fd >= 0)
		(void)close(fd);
}

/* Asks the mount like anybody else: it is ready when it answers. */
static void announce(const struct notifier *n)
{
	struct stat st;

	if (stat(n->options.mountpoint, &st) < 0) {
		log_debug("mount: %s does not answer", n->options.mountpoint);
		return;
	}
	raise_read_ahead(n, st.st_dev);
	if (n->options.ready)
		n->options.ready(n->options.context);
}

/*
 * libfuse looks whether it shall end only after its waiting was interrupted,
 * and a signal just before that waiting is lost: so again and again.
 */
static void end_loop(struct notifier *n)
{
	while (!atomic_load(&n->loop_ended)) {
		fuse_session_exit(n->options.session);
		(void)pthread_kill(n->loop_thread, SIGRTMIN);
		(void)poll(NULL, 0, KICK_MS);
	}
}

static void *notifier_main(void *argument)
{
	static const uint64_t one = 1;
	struct notifier *n = argument;

	(void)pthread_setname_np(pthread_self(), "yore-notifier");
	announce(n);
	look_at_banner(n);
	watch_until_stopped(n);
	end_loop(n);
	(void)!write(n->ended, &one, sizeof(one));
	return NULL;
}

static void on_kick(int number)
{
	(void)number; /* only to interrupt */
}

int notifier_new(const struct notifier_options *options, struct notifier **ret_notifier)
{
	CLEANUP(notifier_free_ptr) struct notifier *n = NULL;
	struct timeline *timeline = options->ops->view->timeline;
	char hex[2 * HOST_ID_BYTES + 1];
	const char *root = io_real_path(store_io(timeline_store(timeline)));

	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->options = *options;
	n->view = options->ops->view;
	n->inotify = -1;
	n->ended = -1;
	n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->wake >= 0)
		n->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->wake < 0 || n->ended < 0)
		return log_errno(-errno, "mount: no eventfd");
	(void)bytes_to_hex(timeline_host(timeline)->bytes, HOST_ID_BYTES, hex);
	if (asprintf(&n->records_folder, "%s/records", root) < 0) {
		n->records_folder = NULL;
		return -ENOMEM;
	}
	if (asprintf(&n->wanted_folder, "%s/" TIMELINE_WANTED_FOLDER, root) < 0) {
		n->wanted_folder = NULL;
		return -ENOMEM;
	}
	if (asprintf(&n->host_folder, "%s/records/%s", root, hex) < 0) {
		n->host_folder = NULL;
		return -ENOMEM;
	}
	*ret_notifier = STEAL(n);
	return 0;
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	assert(!n->started);
	if (n->inotify >= 0)
		(void)close(n->inotify);
	if (n->wake >= 0)
		(void)close(n->wake);
	if (n->ended >= 0)
		(void)close(n->ended);
	free(n->records_folder);
	free(n->wanted_folder);
	free(n->host_folder);
	free(n->days);
	free(n);
}

int notifier_start(struct notifier *n)
{
	struct sigaction kick = { .sa_handler = on_kick };
	sigset_t all, before;
	int r;

	(void)sigemptyset(&kick.sa_mask);
	(void)sigaction(SIGRTMIN, &kick, NULL);
	n->loop_thread = pthread_self();
	n->version = atomic_load(&n->view->shown->version);
	moment_day(clock_now_ns(), n->day);
	n->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	watch(n);
	watch_wanted(n);
	view_refresh(n->view->shown); /* what came before the watch */

	/* Signals are the program's: its handlers run on its own threads. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&n->thread, NULL, notifier_main, n);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return log_errno(-r, "mount: no thread");
	n->started = true;
	return 0;
}

void notifier_stop(struct notifier *n)
{
	static const uint64_t one = 1;
	int saved = errno;

	atomic_store(&n->stop, true);
	(void)!write(n->wake, &one, sizeof(one));
	errno = saved;
}

int notifier_join(struct notifier *n)
{
	struct pollfd ended = { .fd = n->ended, .events = POLLIN };

	if (!n->started)
		return 0;
	atomic_store(&n->loop_ended, true);
	notifier_stop(n);
	/* A join with a time limit would do, but hides its order of memory from TSan. */
	if (poll(&ended, 1, JOIN_SECONDS * 1000) <= 0)
		return -ETIMEDOUT;
	(void)pthread_join(n->thread, NULL);
	n->started = false;
	return 0;
}
