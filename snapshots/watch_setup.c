/* SPDX-License-Identifier: MIT */
#include "snapshots/watch_setup.h"

#include "store/base/clock.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CHECK_S 30

/* ---- where a source is ---- */

static int look_at(int fd, const char *path, struct statx *ret_sx)
{
	return statx(fd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT,
		     STATX_BASIC_STATS | STATX_MNT_ID, ret_sx) < 0
		       ? -errno
		       : 0;
}

static bool has_moved(const struct watched *s)
{
	struct statx sx;

	if (look_at(AT_FDCWD, s->path, &sx) < 0)
		return s->there;
	return !s->there || s->inode != sx.stx_ino ||
	       s->device != makedev(sx.stx_dev_major, sx.stx_dev_minor);
}

/* Open its folder, or the nearest one above that is there. Remembers what was found. */
static int open_nearest(struct watched *s)
{
	CLEANUP(free_ptr) char *path = strdup(s->path);
	struct statx sx;
	int fd;

	if (!path)
		return -ENOMEM;
	s->there = look_at(AT_FDCWD, path, &sx) == 0;
	if (s->there) {
		s->device = makedev(sx.stx_dev_major, sx.stx_dev_minor);
		s->inode = sx.stx_ino;
	}
	for (;;) {
		char *slash = strrchr(path, '/');

		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 || strcmp(path, "/") == 0)
			break;
		slash[slash == path] = '\0';
	}
	if (fd < 0)
		return -errno;
	if (look_at(fd, "", &sx) == 0)
		s->mount_id = (unsigned int)sx.stx_mnt_id;
	return fd;
}

/* ---- mounts ---- */

/* Is it mounted below the source, where a capture goes? Where, relative to it, or NULL. */
static const char *mounted_below(const struct watch *w, const struct watched *s,
				 const struct mount_row *row)
{
	const char *below = watch_below(row->point, s->path);

	if (!below || !*below || s->one_file_system || mount_kind_is_virtual(row) ||
	    watch_leaves_out(w, s, below))
		return NULL;
	return below;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211u;
	return (hash ^ '\n') * 1099511628211u;
}

/* A fingerprint of the mounts at, above and below a source. */
static uint64_t hash_mounts(const struct watch *w, const struct watched *s)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < w->mounts.n; i++) {
		const struct mount_row *row = &w->mounts.rows[i];

		if (!watch_below(s->path, row->point) && !mounted_below(w, s, row))
			continue;
		hash = (hash ^ row->id) * 1099511628211u;
		hash = (hash ^ row->device) * 1099511628211u;
		hash = hash_text(hash, row->root);
		hash = hash_text(hash, row->point);
	}
	return hash;
}

/* ---- choosing ---- */

static void forget_polled(struct watched *s)
{
	for (size_t i = 0; i < s->n_polled; i++)
		free(s->polled[i]);
	free(STEAL(s->polled));
	s->n_polled = 0;
}

static int add_polled(struct watched *s, const char *below)
{
	char **grown = reallocarray(s->polled, s->n_polled + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	s->polled = grown;
	grown[s->n_polled] = strdup(below);
	if (!grown[s->n_polled])
		return -ENOMEM;
	s->n_polled++;
	return 0;
}

/* Mark one mount below the source. 1: it is another one that is mounted there now. */
static int cover_mount(struct watch *w, const struct mount_row *row)
{
	CLEANUP(close_fd_ptr)
	int fd = open(row->point, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	struct statx sx;
	int r;

	if (fd < 0)
		return -errno;
	r = look_at(fd, "", &sx);
	if (r < 0)
		return r;
	return sx.stx_mnt_id == row->id ? fanotify_cover(w, row, fd) : 1;
}

/* Those of the mounts below of which no events come are looked at whole now and then. */
static int cover_below(struct watch *w, struct watched *s, bool by_fanotify, char *reason, size_t n)
{
	for (size_t i = 0; i < w->mounts.n; i++) {
		const struct mount_row *row = &w->mounts.rows[i];
		const char *below = mounted_below(w, s, row);
		int r;

		if (!below)
			continue;
		r = mount_kind_is_remote(row) ? -EREMOTE : by_fanotify ? cover_mount(w, row) : 0;
		if (r >= 0)
			continue;
		r = add_polled(s, below);
		if (r < 0)
			return r;
		(void)snprintf(reason, n, "%.100s (%.20s): looked at every %u s", row->point,
			       row->type, w->poll_interval_s);
	}
	return 0;
}

static int try_fanotify(struct watch *w, struct watched *s, int fd, char *reason, size_t n)
{
	const struct mount_row *row = mount_table_find(&w->mounts, s->mount_id);
	int r = row ? fanotify_cover(w, row, fd) : -ENOENT;

	if (r == -EPERM)
		(void)snprintf(reason, n,
			       "fanotify needs root: CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH");
	else if (r == -EXDEV)
		(void)snprintf(reason, n, "fanotify does not watch a single subvolume of %s",
			       row ? row->type : "this");
	else if (r < 0)
		(void)snprintf(reason, n, "fanotify does not work on %s: %s",
			       row ? row->type : "an unknown mount", strerror(-r));
	if (r < 0)
		return r;
	reason[0] = '\0';
	r = cover_below(w, s, true, reason, n);
	if (r < 0)
		forget_polled(s);
	return r;
}

static int try_inotify(struct watch *w, struct watched *s, char *reason, size_t n)
{
	int r = cover_below(w, s, false, reason, n);

	s->watches_needed = 0;
	if (r == 0)
		r = inotify_tree_new(w, s);
	if (r == 0)
		return 0;
	forget_polled(s);
	if (r == -ENOSPC) {
		s->watches_needed = inotify_tree_count(w, s);
		(void)snprintf(reason, n,
			       "needs %" PRIu64 " inotify watches: raise the sysctl "
			       "fs.inotify.max_user_watches (%" PRIu64 ") above all that is used",
			       s->watches_needed, inotify_watches_max());
	} else if (r == -EMFILE) {
		(void)snprintf(reason, n,
			       "too many inotify instances: raise the sysctl "
			       "fs.inotify.max_user_instances, or the limit of files");
	} else {
		(void)snprintf(reason, n, "inotify does not work here: %s", strerror(-r));
	}
	return r;
}

static const struct mount_row *remote_row(const struct watch *w, const struct watched *s)
{
	const struct mount_row *row = mount_table_find(&w->mounts, s->mount_id);

	return s->there && row && mount_kind_is_remote(row) ? row : NULL;
}

static enum watch_backend choose_backend(struct watch *w, struct watched *s, char *reason, size_t n)
{
	CLEANUP(close_fd_ptr) int fd = open_nearest(s);
	const struct mount_row *remote = remote_row(w, s);

	reason[0] = '\0';
	if (remote) {
		(void)snprintf(reason, n, "nobody tells what others change on %s (%.100s)",
			       remote->type, remote->point);
		return WATCH_POLL;
	}
	if (s->best == WATCH_FANOTIFY && fd >= 0 && try_fanotify(w, s, fd, reason, n) == 0)
		return WATCH_FANOTIFY;
	if (s->best <= WATCH_INOTIFY && try_inotify(w, s, reason, n) == 0)
		return WATCH_INOTIFY;
	return WATCH_POLL;
}

static void say_guarantee(const struct watch *w, enum watch_backend backend, char *to, size_t n)
{
	if (backend == WATCH_POLL)
		(void)snprintf(to, n, "changes are found by looking at everything, every %u s",
			       w->poll_interval_s);
	else
		(void)snprintf(to, n,
			       "every change is noticed at once, but for writes through memory "
			       "maps, which are when the map is closed, and through hard links "
			       "from outside; whole walks find the rest");
}

static void setup_source(struct watch *w, struct watched *s)
{
	char reason[sizeof(s->state.reason)] = "";
	enum watch_backend backend;
	bool changed;

	inotify_tree_free(STEAL(s->tree));
	forget_polled(s);
	s->refresh = false;
	s->watches_needed = 0;
	s->mounts_hash = hash_mounts(w, s);
	backend = choose_backend(w, s, reason, sizeof(reason));
	s->poll_ns = clock_monotonic_ns() + (int64_t)w->poll_interval_s * NS_PER_S;

	lock_take(&w->lock);
	changed = strcmp(s->state.reason, reason) != 0;
	s->state.backend = backend;
	memcpy(s->state.reason, reason, sizeof(reason));
	say_guarantee(w, backend, s->state.guarantee, sizeof(s->state.guarantee));
	s->state.watches = backend == WATCH_FANOTIFY  ? 1
			   : backend == WATCH_INOTIFY ? inotify_tree_watches(s->tree)
						      : 0;
	lock_drop(&w->lock);
	if (changed && backend == WATCH_POLL && s->best != WATCH_POLL)
		log_warning("watch: %s: changes are only looked for every %u s: %s", s->path,
			    w->poll_interval_s, reason);
	else if (changed && *reason)
		log_info("watch: %s: %s", s->path, reason);
}

/* Set up anew; what changed before that is not known. */
static void renew_source(struct watch *w, struct watched *s)
{
	log_debug("watch: %s: set up anew", s->path);
	setup_source(w, s);
	watch_note_all(w, s);
}

static int read_mounts(struct watch *w, struct mount_table *ret_mounts)
{
	int r = mount_table_read(w->mounts_fd, ret_mounts);

	return r < 0 ? log_errno(r, "watch: /proc/self/mountinfo cannot be read") : 0;
}

int watch_setup(struct watch *w)
{
	struct pollfd mounts = { .fd = w->mounts_fd, .events = POLLPRI };
	int r;

	(void)poll(&mounts, 1, 0); /* from here on a change is told */
	r = read_mounts(w, &w->mounts);
	if (r < 0)
		return r;
	for (size_t i = 0; i < w->n_sources; i++)
		setup_source(w, &w->sources[i]);
	w->check_ns = clock_monotonic_ns() + (int64_t)CHECK_S * NS_PER_S;
	return 0;
}

/* ---- what happens later ---- */

void watch_mounts_changed(struct watch *w)
{
	struct mount_table mounts;
	int r = read_mounts(w, &mounts);

	if (r == 0) {
		mount_table_done(&w->mounts);
		w->mounts = mounts;
		r = fanotify_update(w);
	}
	for (size_t i = 0; i < w->n_sources; i++) {
		struct watched *s = &w->sources[i];

		if (r < 0 || hash_mounts(w, s) != s->mounts_hash || has_moved(s))
			renew_source(w, s);
	}
}

static void poll_source(struct watch *w, struct watched *s, int64_t now)
{
	if (now < s->poll_ns)
		return;
	s->poll_ns = now + (int64_t)w->poll_interval_s * NS_PER_S;
	if (s->state.backend == WATCH_POLL)
		watch_note_all(w, s);
	for (size_t i = 0; i < s->n_polled; i++)
		watch_note(w, s, s->polled[i], ".", DIRTY_SELF | DIRTY_DEEP | WATCH_FOLDER);
}

void watch_housekeeping(struct watch *w)
{
	const int64_t now = clock_monotonic_ns();
	const bool check = now >= w->check_ns;

	if (check)
		w->check_ns = now + (int64_t)CHECK_S * NS_PER_S;
	for (size_t i = 0; i < w->n_sources; i++) {
		struct watched *s = &w->sources[i];

		if (check && s->watches_needed && s->watches_needed < inotify_watches_max())
			s->refresh = true;
		if (s->refresh || (check && has_moved(s)))
			renew_source(w, s);
		poll_source(w, s, now);
	}
}

int64_t watch_due_ns(const struct watch *w)
{
	int64_t due = w->check_ns;

	for (size_t i = 0; i < w->n_sources; i++) {
		const struct watched *s = &w->sources[i];

		if (s->refresh)
			return 0;
		if ((s->state.backend == WATCH_POLL || s->n_polled > 0) && s->poll_ns < due)
			due = s->poll_ns;
	}
	return due;
}
