/* SPDX-License-Identifier: MIT */
#include "snapshots/frozen_source.h"
#include "snapshots/watch_internal.h"
#include "snapshots/watch_setup.h"

#include "store/base/clock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX_DEFAULT 100000u
#define POLL_INTERVAL_DEFAULT_S 300u
/*
 * Between two readings: what comes meanwhile is joined in the kernel, and a
 * program that writes all the time wakes us 50 times a second and not more.
 */
#define GATHER_MS 20

const char *watch_backend_name(enum watch_backend backend)
{
	static const char *const names[] = { "fanotify", "inotify", "poll" };

	assert((size_t)backend < sizeof(names) / sizeof(names[0]));
	return names[backend];
}

/* ---- paths ---- */

const char *watch_below(const char *path, const char *folder)
{
	const size_t n = strlen(folder);

	if (strcmp(folder, "/") == 0)
		return path + 1;
	if (strncmp(path, folder, n) != 0)
		return NULL;
	if (path[n] == '\0')
		return path + n;
	return path[n] == '/' ? path + n + 1 : NULL;
}

void watch_join(struct byte_buf *to, const char *folder, const char *name)
{
	const size_t n = strlen(folder);

	byte_buf_append(to, folder, n);
	if (n > 0 && folder[n - 1] != '/' && *name)
		byte_buf_u8(to, '/');
	byte_buf_append(to, name, strlen(name));
}

/* Is it, or is it in, the folder where captures make frozen copies? */
static bool is_frozen(const char *relative)
{
	while (*relative) {
		size_t n = strcspn(relative, "/");

		if (n == strlen(FROZEN_FOLDER) && memcmp(relative, FROZEN_FOLDER, n) == 0)
			return true;
		relative += n + (relative[n] == '/');
	}
	return false;
}

static bool is_ignored(const struct watch *w, const struct watched *s, const char *relative)
{
	if (is_frozen(relative))
		return true;
	for (size_t i = 0; i < w->n_ignored; i++) {
		const char *ignored = watch_below(w->ignored[i], s->path);

		/* The source itself may lie in there. */
		if (watch_below(s->path, w->ignored[i]))
			return true;
		if (ignored && watch_below(relative, ignored))
			return true;
	}
	return false;
}

bool watch_leaves_out(const struct watch *w, const struct watched *s, const char *folder)
{
	CLEANUP(free_ptr) char *path = NULL;

	if (!*folder)
		return w->n_ignored > 0 && is_ignored(w, s, folder);
	if (is_ignored(w, s, folder))
		return true;
	if (!s->excludes)
		return false;
	path = strdup(folder);
	if (!path)
		return false; /* a hint too many */
	for (char *at = path;; at++) {
		const char c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (exclude_match(s->excludes, path, true) == 1)
			return true;
		if (c == '\0')
			return false;
		*at = c;
	}
}

/* ---- pending sets ---- */

static void signal_fd(int fd)
{
	const uint64_t one = 1;
	const ssize_t n = write(fd, &one, sizeof(one));

	(void)n; /* it can only be full, and then it is signalled */
}

static void clear_fd(int fd)
{
	uint64_t count;
	const ssize_t n = read(fd, &count, sizeof(count));

	(void)n;
}

/* With the lock held. */
static void stamp(struct watch *w, struct watched *s)
{
	s->state.last_ns = clock_monotonic_ns();
	if (s->state.first_ns == 0)
		s->state.first_ns = s->state.last_ns;
	signal_fd(w->changed_fd);
}

/* The name itself, when it is neither left out nor the source's root. */
static bool name_counts(const struct watch *w, const struct watched *s, const char *path,
			bool is_folder)
{
	if (!*path)
		return true;
	if (s->excludes && exclude_match(s->excludes, path, is_folder) == 1)
		return false;
	return !is_ignored(w, s, path);
}

/*
 * A file without a name (O_TMPFILE), as captures make them: its events call it '#' and its inode's
 * number. It never was in the folder's list.
 */
static bool is_nameless(const struct watched *s, const char *path)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf full = { 0 };
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	struct stat st;

	if (name[0] != '#' || !name[1] || name[1 + strspn(name + 1, "0123456789")])
		return false;
	watch_join(&full, s->path, path);
	byte_buf_u8(&full, 0);
	return !full.failed && lstat((char *)full.data, &st) < 0 && errno == ENOENT;
}

void watch_note(struct watch *w, struct watched *s, const char *folder, const char *name,
		unsigned int flags)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf path = { 0 };
	bool counts;

	watch_join(&path, folder, strcmp(name, ".") == 0 ? "" : name);
	byte_buf_u8(&path, 0);
	if (path.failed) {
		watch_note_all(w, s);
		return;
	}
	counts = name_counts(w, s, (char *)path.data, flags & WATCH_FOLDER) &&
		 (flags & WATCH_LISTED || !is_nameless(s, (char *)path.data));

	LOCK_SCOPE(&w->lock);
	/* A failed addition makes the set say "everything": nothing is lost. */
	if (flags & WATCH_LISTED)
		(void)dirty_set_add(s->pending, folder, DIRTY_SELF);
	if (!counts)
		return;
	(void)dirty_set_add(s->pending, (char *)path.data,
			    flags & ~(unsigned int)(WATCH_LISTED | WATCH_FOLDER));
	s->state.events++;
	stamp(w, s);
}

void watch_note_all(struct watch *w, struct watched *s)
{
	LOCK_SCOPE(&w->lock);
	dirty_set_add_all(s->pending);
	stamp(w, s);
}

void watch_note_overflow(struct watch *w, struct watched *s)
{
	log_info("watch: %s: more changes at once than the system keeps; all of it is looked at",
		 s->path);
	lock_take(&w->lock);
	s->state.overflows++;
	lock_drop(&w->lock);
	watch_note_all(w, s);
}

int watch_take(struct watch *w, size_t i, struct dirty_set **ret_set)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *empty = NULL;
	struct watched *s = &w->sources[i];
	int r;

	assert(i < w->n_sources);
	r = dirty_set_new(w->names_max, &empty);
	if (r < 0)
		return r;

	LOCK_SCOPE(&w->lock);
	r = dirty_set_freeze(s->pending);
	if (r < 0)
		return r;
	*ret_set = s->pending;
	s->pending = STEAL(empty);
	s->state.first_ns = 0;
	s->state.last_ns = 0;
	return 0;
}

void watch_give_back(struct watch *w, size_t i, const struct dirty_set *set)
{
	struct watched *s = &w->sources[i];

	assert(i < w->n_sources);
	LOCK_SCOPE(&w->lock);
	if (set && dirty_set_is_empty(set))
		return;
	if (set)
		(void)dirty_set_merge(s->pending, set);
	else
		dirty_set_add_all(s->pending);
	stamp(w, s);
}

void watch_state(struct watch *w, size_t i, struct watch_state *ret_state)
{
	assert(i < w->n_sources);
	LOCK_SCOPE(&w->lock);
	*ret_state = w->sources[i].state;
	ret_state->everything = dirty_set_is_all(w->sources[i].pending);
}

int watch_wait(struct watch *w, int also_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = w->changed_fd, .events = POLLIN },
		{ .fd = also_fd, .events = POLLIN },
	};

	/* A signal ends it, too: its handler may have had something to say. */
	if (poll(fds, 2, timeout_ms) <= 0 || !fds[0].revents)
		return 0;
	clear_fd(w->changed_fd);
	return 1;
}

/* ---- the reader ---- */

static void read_events(struct watch *w)
{
	fanotify_read(w);
	for (size_t i = 0; i < w->n_sources; i++)
		if (w->sources[i].tree)
			inotify_tree_read(w, &w->sources[i]);
}

/* Wait for events, but at most until something else is due. */
static void wait_for_events(struct watch *w, struct pollfd *fds)
{
	const int64_t due = watch_due_ns(w) - clock_monotonic_ns();
	size_t n = 0;

	fds[n++] = (struct pollfd){ .fd = w->kick_fd, .events = POLLIN };
	if (!atomic_load(&w->pause)) {
		fds[n++] = (struct pollfd){ .fd = w->mounts_fd, .events = POLLPRI };
		n += fanotify_polls(w, fds + n, w->n_sources * 2 + 64);
		for (size_t i = 0; i < w->n_sources; i++)
			if (w->sources[i].tree)
				fds[n++] =
					(struct pollfd){ .fd = inotify_tree_fd(w->sources[i].tree),
							 .events = POLLIN };
	}
	if (n > 1)
		(void)poll(fds, n, due <= 0 ? 0 : (int)(due / NS_PER_MS + 1));
	else
		(void)poll(fds, n, -1);
}

static void *reader_main(void *argument)
{
	struct watch *w = argument;
	struct pollfd *fds = calloc(w->n_sources * 3 + 66, sizeof(*fds));

	(void)pthread_setname_np(pthread_self(), "yore-watch");
	while (fds && !atomic_load(&w->stop)) {
		struct pollfd kick = { .fd = w->kick_fd, .events = POLLIN };

		atomic_store(&w->paused, atomic_load(&w->pause));
		wait_for_events(w, fds);
		clear_fd(w->kick_fd);
		if (atomic_load(&w->stop))
			break;
		if (atomic_load(&w->pause))
			continue;
		if (fds[1].revents & (POLLPRI | POLLERR))
			watch_mounts_changed(w);
		read_events(w);
		watch_housekeeping(w);
		(void)poll(&kick, 1, atomic_load(&w->gather_ms));
	}
	free(fds);
	return NULL;
}

void watch_pause(struct watch *w, bool pause)
{
	atomic_store(&w->pause, pause);
	signal_fd(w->kick_fd);
	while (atomic_load(&w->paused) != pause)
		(void)poll(NULL, 0, 1);
}

/* ---- life ---- */

static int copy_source(struct watch *w, struct watched *s, const struct watch_source *from,
		       enum watch_backend best)
{
	int r;

	assert(from->path[0] == '/');
	s->path = strdup(from->path);
	if (!s->path)
		return -ENOMEM;
	s->one_file_system = from->one_file_system;
	s->best = from->best > best ? from->best : best;
	if (from->excludes && *from->excludes) {
		r = exclude_new(from->excludes, &s->excludes);
		if (r < 0)
			return r;
	}
	r = dirty_set_new(w->names_max, &s->pending);
	if (r < 0)
		return r;
	dirty_set_add_all(s->pending);
	return 0;
}

static int copy_options(struct watch *w, const struct watch_options *o)
{
	int r = 0;

	w->poll_interval_s = o->poll_interval_s ? o->poll_interval_s : POLL_INTERVAL_DEFAULT_S;
	w->names_max = o->names_max ? o->names_max : NAMES_MAX_DEFAULT;
	w->sources = calloc(o->n_sources + 1, sizeof(*w->sources));
	w->ignored = calloc(o->n_ignored + 1, sizeof(*w->ignored));
	w->events = malloc(WATCH_EVENT_BYTES);
	if (!w->sources || !w->ignored || !w->events)
		return -ENOMEM;
	for (; w->n_ignored < o->n_ignored; w->n_ignored++) {
		w->ignored[w->n_ignored] = strdup(o->ignored[w->n_ignored]);
		if (!w->ignored[w->n_ignored])
			return -ENOMEM;
	}
	for (; r == 0 && w->n_sources < o->n_sources; w->n_sources++)
		r = copy_source(w, &w->sources[w->n_sources], &o->sources[w->n_sources], o->best);
	return r;
}

static int open_descriptors(struct watch *w)
{
	w->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->changed_fd < 0 || w->kick_fd < 0)
		return log_errno(-errno, "watch: no eventfd");
	w->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (w->mounts_fd < 0)
		return log_errno(-errno, "watch: /proc/self/mountinfo cannot be opened");
	return 0;
}

static int start_reader(struct watch *w)
{
	sigset_t all, before;
	int r;

	/* Signals are the program's: its handlers run on its own threads. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&w->thread, NULL, reader_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return log_errno(-r, "watch: no thread");
	w->started = true;
	return 0;
}

int watch_new(const struct watch_options *options, struct watch **ret_watch)
{
	CLEANUP(watch_free_ptr) struct watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->changed_fd = w->kick_fd = w->mounts_fd = -1;
	lock_init(&w->lock, LOCK_RANK_WATCH);
	atomic_init(&w->gather_ms, GATHER_MS);
	r = copy_options(w, options);
	if (r == 0)
		r = open_descriptors(w);
	if (r == 0)
		r = watch_setup(w);
	if (r == 0)
		r = start_reader(w);
	if (r < 0)
		return r;
	*ret_watch = STEAL(w);
	return 0;
}

static void watched_done(struct watched *s)
{
	inotify_tree_free(s->tree);
	for (size_t i = 0; i < s->n_polled; i++)
		free(s->polled[i]);
	free(s->polled);
	exclude_free(s->excludes);
	dirty_set_free(s->pending);
	free(s->path);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->started) {
		atomic_store(&w->stop, true);
		signal_fd(w->kick_fd);
		(void)pthread_join(w->thread, NULL);
	}
	for (size_t i = 0; w->sources && i < w->n_sources; i++)
		watched_done(&w->sources[i]);
	for (size_t i = 0; i < w->n_ignored; i++)
		free(w->ignored[i]);
	fanotify_free(w);
	mount_table_done(&w->mounts);
	for (size_t i = 0; i < 3; i++) {
		const int fds[] = { w->changed_fd, w->kick_fd, w->mounts_fd };

		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	free(w->sources);
	free(w->ignored);
	free(w->events);
	lock_done(&w->lock);
	free(w);
}
