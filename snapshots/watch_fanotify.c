/* SPDX-License-Identifier: MIT */
/*
 * Marks on whole file systems; events carry the handle of a folder and a name.
 *
 * One group a file system: kernels from 6.8 on then take also those whose
 * folders have several identities (btrfs subvolumes). A handle is made a path
 * by opening it, which is remembered until some folder is renamed. Nothing of a
 * file system stays open in between: it could not be unmounted.
 *
 * Without CAP_SYS_ADMIN fanotify offers marks on single folders only, a
 * bounded queue and no handles to open: nothing that inotify has not.
 */
#include "snapshots/watch_internal.h"

#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENT_MASK                                                                           \
	(FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_MODIFY | FAN_ATTRIB | \
	 FAN_CLOSE_WRITE | FAN_ONDIR)
#define LIST_MASK (FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO)
#define BUCKETS 16384u /* a power of two */
#define CACHED_MAX 65536u
#define PATH_BYTES 4096u
#define CACHED_FD_NONE (-1)

/* What a folder means to one source. */
struct spot {
	struct spot *next;
	struct watched *source;
	bool above;  /* it is on the way to the source: only the next name matters */
	char text[]; /* that name; or the folder, relative to the source */
};

/* A handle that was looked up; one without spots lies outside all sources. */
struct cached {
	struct cached *next;
	struct spot *spots;
	unsigned int key_n;
	uint8_t key[]; /* handle type and handle */
};

/* A place where some of the file system is mounted. */
struct view {
	unsigned int id;
	char *root, *point;
	int fd; /* while events are read */
	bool bad;
};

struct fanotify_group {
	struct fanotify_group *next;
	dev_t device;
	int fd;
	struct view *views;
	size_t n_views;
	struct view *whole; /* shows all of it, or NULL */
	struct cached **cache;
	unsigned int n_cached;
};

/* ---- what is remembered ---- */

static void spots_free(struct cached *c)
{
	while (c->spots) {
		struct spot *next = c->spots->next;

		free(c->spots);
		c->spots = next;
	}
}

static void cached_free(struct cached *c)
{
	spots_free(c);
	free(c);
}

static void forget_handles(struct fanotify_group *g)
{
	if (g->n_cached == 0)
		return;
	for (unsigned int i = 0; i < BUCKETS; i++) {
		while (g->cache[i]) {
			struct cached *next = g->cache[i]->next;

			cached_free(g->cache[i]);
			g->cache[i] = next;
		}
	}
	g->n_cached = 0;
}

static void views_free(struct fanotify_group *g)
{
	for (size_t i = 0; i < g->n_views; i++) {
		struct view *v = &g->views[i];

		if (v->fd >= 0)
			(void)close(v->fd);
		free(v->root);
		free(v->point);
	}
	free(STEAL(g->views));
	g->n_views = 0;
	g->whole = NULL;
}

static void group_free(struct fanotify_group *g)
{
	if (!g)
		return;
	if (g->cache)
		forget_handles(g);
	free(g->cache);
	views_free(g);
	if (g->fd >= 0)
		(void)close(g->fd);
	free(g);
}
CLEANUP_DEFINE(struct fanotify_group, group_free)

/* ---- groups ---- */

static int find_views(const struct watch *w, struct fanotify_group *g)
{
	views_free(g);
	forget_handles(g);
	g->views = calloc(w->mounts.n + 1, sizeof(*g->views));
	if (!g->views)
		return -ENOMEM;
	for (size_t i = 0; i < w->mounts.n; i++) {
		const struct mount_row *row = &w->mounts.rows[i];
		struct view *v = &g->views[g->n_views];

		if (row->device != g->device)
			continue;
		*v = (struct view){ .id = row->id,
				    .root = strdup(row->root),
				    .point = strdup(row->point),
				    .fd = CACHED_FD_NONE };
		g->n_views++;
		if (!v->root || !v->point)
			return -ENOMEM;
		if (strcmp(v->root, "/") == 0)
			g->whole = v;
	}
	return 0;
}

static int group_new(struct watch *w, dev_t device, struct fanotify_group **ret_group)
{
	CLEANUP(group_free_ptr) struct fanotify_group *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->device = device;
	g->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_REPORT_DFID_NAME |
				      FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_CLOEXEC |
				      FAN_NONBLOCK,
			      O_RDONLY | O_CLOEXEC);
	if (g->fd < 0)
		return -errno;
	g->cache = calloc(BUCKETS, sizeof(struct cached *));
	if (!g->cache)
		return -ENOMEM;
	r = find_views(w, g);
	if (r < 0)
		return r;
	*ret_group = STEAL(g);
	return 0;
}

/* Can handles of that file system be opened? Some have such as only tell things apart. */
static int try_handle(int fd)
{
	struct {
		struct file_handle handle;
		uint8_t bytes[MAX_HANDLE_SZ];
	} room = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, found;

	if (name_to_handle_at(fd, "", &room.handle, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	found = open_by_handle_at(fd, &room.handle, O_PATH | O_CLOEXEC);
	if (found < 0)
		return -errno;
	(void)close(found);
	return 0;
}

int fanotify_cover(struct watch *w, const struct mount_row *row, int fd)
{
	CLEANUP(group_free_ptr) struct fanotify_group *made = NULL;
	struct fanotify_group *g = w->groups;
	int r;

	r = try_handle(fd);
	if (r < 0)
		return r;
	while (g && g->device != row->device)
		g = g->next;
	r = g ? 0 : group_new(w, row->device, &made);
	if (r < 0)
		return r;
	g = g ? g : made;
	assert(g);
	/* Again even if it is there: the file system may have been away in between. */
	if (fanotify_mark(g->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, EVENT_MASK, fd, NULL) < 0)
		return -errno;
	forget_handles(g); /* there may be a source that it knows nothing of */
	if (made) {
		made->next = w->groups;
		w->groups = STEAL(made);
	}
	return 0;
}

int fanotify_update(struct watch *w)
{
	struct fanotify_group **at = &w->groups;

	while (*at) {
		struct fanotify_group *g = *at;
		int r = find_views(w, g);

		if (r < 0)
			return r;
		if (g->n_views > 0) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		group_free(g);
	}
	return 0;
}

void fanotify_free(struct watch *w)
{
	while (w->groups) {
		struct fanotify_group *next = w->groups->next;

		group_free(w->groups);
		w->groups = next;
	}
}

size_t fanotify_polls(const struct watch *w, struct pollfd *fds, size_t room)
{
	size_t n = 0;

	for (const struct fanotify_group *g = w->groups; g && n < room; g = g->next)
		fds[n++] = (struct pollfd){ .fd = g->fd, .events = POLLIN };
	return n;
}

/* ---- from a handle to what it means ---- */

/* Not the path alone counts: something else may be mounted over it by now. */
static int view_open(struct view *v)
{
	struct statx sx;

	if (v->fd >= 0 || v->bad)
		return v->fd;
	v->fd = open(v->point, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (v->fd >= 0 && statx(v->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) == 0 &&
	    sx.stx_mnt_id == v->id)
		return v->fd;
	v->bad = true;
	if (v->fd >= 0)
		(void)close(v->fd);
	v->fd = CACHED_FD_NONE;
	return v->fd;
}

static void close_views(struct fanotify_group *g)
{
	for (size_t i = 0; i < g->n_views; i++) {
		struct view *v = &g->views[i];

		if (v->fd >= 0)
			(void)close(v->fd);
		v->fd = CACHED_FD_NONE;
		v->bad = false;
	}
}

static bool same_object(const char *path, const struct stat *st)
{
	struct stat there;

	return lstat(path, &there) == 0 && there.st_ino == st->st_ino && there.st_dev == st->st_dev;
}

/*
 * The folder's path within its file system, as this view shows it. 1; 0: it is
 * gone, or not to be seen through this view; -errno.
 */
static int path_in_view(const struct fanotify_group *g, const struct view *v,
			struct file_handle *handle, char *ret_path)
{
	CLEANUP(close_fd_ptr) int fd = open_by_handle_at(v->fd, handle, O_PATH | O_CLOEXEC);
	char link[64], seen[PATH_BYTES];
	const char *below;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return errno == ESTALE ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink == 0)
		return 0; /* deleted: the folder above it tells */
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, seen, sizeof(seen) - 1);
	if (n < 0)
		return -errno;
	seen[n] = '\0';
	below = seen[0] == '/' ? watch_below(seen, v->point) : NULL;
	/*
	 * What lies outside a part that is mounted is shown with a path that means nothing, and
	 * so is a file that the kernel remembers no name of.
	 */
	if (!below || ((v != g->whole || !S_ISDIR(st.st_mode)) && !same_object(seen, &st)))
		return 0;
	n = snprintf(ret_path, PATH_BYTES, "%s%s%s", v->root,
		     *below && strcmp(v->root, "/") != 0 ? "/" : "", below);
	return n < (ssize_t)PATH_BYTES ? 1 : -ENAMETOOLONG;
}

static int handle_path(struct fanotify_group *g, struct file_handle *handle, char *ret_path)
{
	int r = -ENOENT;

	if (g->whole && view_open(g->whole) >= 0)
		return path_in_view(g, g->whole, handle, ret_path);
	for (size_t i = 0; i < g->n_views; i++) {
		struct view *v = &g->views[i];

		if (v == g->whole || view_open(v) < 0)
			continue;
		r = path_in_view(g, v, handle, ret_path);
		if (r != 0)
			return r;
	}
	return r;
}

static int add_spot(struct cached *c, struct watched *s, bool above, const char *text, size_t n)
{
	struct spot *spot = malloc(sizeof(*spot) + n + 1);

	if (!spot)
		return -ENOMEM;
	*spot = (struct spot){ .next = c->spots, .source = s, .above = above };
	memcpy(spot->text, text, n);
	spot->text[n] = '\0';
	c->spots = spot;
	return 0;
}

/* What a folder that is seen at this path is to each source. */
static int add_spots(struct watch *w, const struct view *v, const char *path, struct cached *c)
{
	int r = 0;

	for (size_t i = 0; i < w->n_sources && r == 0; i++) {
		struct watched *s = &w->sources[i];
		const char *below = watch_below(path, s->path);
		const char *next = watch_below(s->path, path);

		if (s->state.backend != WATCH_FANOTIFY)
			continue;
		if (below) {
			if ((!s->one_file_system || v->id == s->mount_id) &&
			    !watch_leaves_out(w, s, below))
				r = add_spot(c, s, false, below, strlen(below));
		} else if (next) {
			r = add_spot(c, s, true, next, strcspn(next, "/"));
		}
	}
	return r;
}

/* Where all the mounts of it show that folder. */
static int find_spots(struct watch *w, const struct fanotify_group *g, const char *path,
		      struct cached *c)
{
	int r = 0;

	for (size_t i = 0; i < g->n_views && r == 0; i++) {
		CLEANUP(byte_buf_done_ptr) struct byte_buf seen = { 0 };
		const struct view *v = &g->views[i];
		const char *below = watch_below(path, v->root);

		if (!below)
			continue;
		watch_join(&seen, v->point, below);
		byte_buf_u8(&seen, 0);
		r = seen.failed ? -ENOMEM : add_spots(w, v, (char *)seen.data, c);
	}
	return r;
}

static unsigned int hash_key(const uint8_t *key, unsigned int n)
{
	uint64_t hash = 14695981039346656037u;

	for (unsigned int i = 0; i < n; i++)
		hash = (hash ^ key[i]) * 1099511628211u;
	return (unsigned int)((hash ^ hash >> 29) & (BUCKETS - 1));
}

static int look_up_new(struct watch *w, struct fanotify_group *g, struct file_handle *handle,
		       struct cached *c)
{
	char path[PATH_BYTES];
	int r = handle_path(g, handle, path);

	return r > 0 ? find_spots(w, g, path, c) < 0 ? -ENOMEM : 1 : r;
}

/* 1: what the folder of that handle means; 0: it is gone; -errno: not to be found out. */
static int look_up(struct watch *w, struct fanotify_group *g, struct file_handle *handle,
		   const struct cached **ret_cached)
{
	/* Type and bytes of a handle lie side by side. */
	const uint8_t *key = (const uint8_t *)&handle->handle_type;
	const unsigned int key_n = (unsigned int)sizeof(handle->handle_type) + handle->handle_bytes;
	struct cached **bucket = &g->cache[hash_key(key, key_n)], *c;
	int r;

	for (c = *bucket; c; c = c->next) {
		if (c->key_n == key_n && memcmp(c->key, key, key_n) == 0) {
			*ret_cached = c;
			return 1;
		}
	}
	if (g->n_cached >= CACHED_MAX)
		forget_handles(g);
	c = calloc(1, sizeof(*c) + key_n);
	if (!c)
		return -ENOMEM;
	memcpy(c->key, key, key_n);
	c->key_n = key_n;
	r = look_up_new(w, g, handle, c);
	if (r <= 0) {
		cached_free(c);
		return r;
	}
	c->next = *bucket;
	*bucket = c;
	g->n_cached++;
	*ret_cached = c;
	return 1;
}

/* ---- events ---- */

static void note_above(struct watch *w, const struct spot *spot, const char *name, uint64_t mask)
{
	struct watched *s = spot->source;
	const char *end = s->path + strlen(s->path) - strlen(name);

	if (strcmp(spot->text, name) != 0)
		return;
	if (mask & LIST_MASK)
		s->refresh = true;
	/* A source that is a file. */
	else if (end > s->path && end[-1] == '/' && strcmp(end, name) == 0)
		watch_note(w, s, "", ".", DIRTY_SELF | DIRTY_CLOSED);
}

static unsigned int flags_of(uint64_t mask)
{
	unsigned int flags = DIRTY_SELF;

	/* It came with contents, or got some before we looked. */
	if (mask & FAN_ONDIR && mask & (FAN_CREATE | FAN_MOVED_TO))
		flags |= DIRTY_DEEP;
	if (mask & FAN_CLOSE_WRITE)
		flags |= DIRTY_CLOSED;
	if (mask & FAN_ONDIR)
		flags |= WATCH_FOLDER;
	if (mask & LIST_MASK)
		flags |= WATCH_LISTED;
	return flags;
}

static void lost(struct watch *w)
{
	for (size_t i = 0; i < w->n_sources; i++)
		if (w->sources[i].state.backend == WATCH_FANOTIFY)
			watch_note_all(w, &w->sources[i]);
}

static void take_named(struct watch *w, struct fanotify_group *g, uint64_t mask,
		       struct file_handle *handle, const char *name)
{
	const struct cached *c = NULL;
	int r = look_up(w, g, handle, &c);

	if (r < 0) {
		log_debug("watch: a folder's handle cannot be made a path: %s", strerror(-r));
		lost(w);
	}
	for (const struct spot *spot = r > 0 ? c->spots : NULL; spot; spot = spot->next) {
		if (spot->above)
			note_above(w, spot, name, mask);
		else
			watch_note(w, spot->source, spot->text, name, flags_of(mask));
	}
	/* Its paths, and those of all below it, are others now. */
	if (mask & FAN_ONDIR && mask & (FAN_MOVED_FROM | FAN_MOVED_TO))
		forget_handles(g);
}

/* What an event is about: a folder and a name in it; or, without one, a file of several names. */
struct subject {
	struct file_handle *handle;
	const char *name; /* NULL: the handle is the file's own */
};

/* One record of an event. 1: taken; 0: it says nothing to us; -EBADMSG. */
static int take_record(uint8_t *at, const uint8_t *end, struct subject *to)
{
	struct fanotify_event_info_fid *info = (struct fanotify_event_info_fid *)at;
	struct file_handle *handle = (struct file_handle *)info->handle;
	const uint8_t type = info->hdr.info_type;
	const uint8_t *info_end = at + info->hdr.len, *name;

	if (info->hdr.len < sizeof(*info) + sizeof(*handle) || info_end > end ||
	    handle->handle_bytes > (size_t)(info_end - handle->f_handle))
		return -EBADMSG;
	name = handle->f_handle + handle->handle_bytes;
	if (type == FAN_EVENT_INFO_TYPE_DFID_NAME) {
		if (!memchr(name, 0, (size_t)(info_end - name)))
			return -EBADMSG;
		*to = (struct subject){ handle, (const char *)name };
	} else if (type == FAN_EVENT_INFO_TYPE_DFID) {
		*to = (struct subject){ handle, "." };
	} else if (type == FAN_EVENT_INFO_TYPE_FID && !to->handle) {
		*to = (struct subject){ handle, NULL };
	} else {
		return 0;
	}
	return 1;
}

static bool find_subject(uint8_t *at, const uint8_t *end, struct subject *ret_subject)
{
	*ret_subject = (struct subject){ 0 };
	while (end - at >= (ptrdiff_t)sizeof(struct fanotify_event_info_fid)) {
		if (take_record(at, end, ret_subject) < 0)
			return false;
		at += ((struct fanotify_event_info_header *)at)->len;
	}
	return ret_subject->handle;
}

/*
 * A file that got or lost a name: the events of those names say nothing of the
 * others. It is marked by the one that the kernel remembers it by, if any.
 */
static void take_file(struct watch *w, struct fanotify_group *g, struct file_handle *handle)
{
	struct cached c = { 0 };
	char path[PATH_BYTES];

	if (handle_path(g, handle, path) > 0 && find_spots(w, g, path, &c) == 0) {
		for (const struct spot *spot = c.spots; spot; spot = spot->next)
			if (!spot->above)
				watch_note(w, spot->source, spot->text, ".", DIRTY_SELF);
	}
	spots_free(&c);
}

static void take_event(struct watch *w, struct fanotify_group *g,
		       const struct fanotify_event_metadata *m, uint8_t *event)
{
	struct subject subject;

	if (m->mask & FAN_Q_OVERFLOW) {
		for (size_t i = 0; i < w->n_sources; i++)
			if (w->sources[i].state.backend == WATCH_FANOTIFY)
				watch_note_overflow(w, &w->sources[i]);
		return;
	}
	if (!find_subject(event + m->metadata_len, event + m->event_len, &subject))
		return;
	if (subject.name)
		take_named(w, g, m->mask, subject.handle, subject.name);
	else if (!(m->mask & FAN_ONDIR))
		take_file(w, g, subject.handle);
}

/* Events lie at multiples of 4 bytes: their heads are copied, the rest needs no more than that. */
static int take_events(struct watch *w, struct fanotify_group *g, size_t n)
{
	uint8_t *at = w->events, *end = at + n;

	while (at < end) {
		struct fanotify_event_metadata m;

		if ((size_t)(end - at) < sizeof(m))
			return -EBADMSG;
		memcpy(&m, at, sizeof(m));
		if (m.vers != FANOTIFY_METADATA_VERSION || m.event_len > (size_t)(end - at) ||
		    m.metadata_len < sizeof(m) || m.metadata_len > m.event_len)
			return -EBADMSG;
		take_event(w, g, &m, at);
		at += m.event_len;
	}
	return 0;
}

static void read_group(struct watch *w, struct fanotify_group *g)
{
	for (unsigned int i = 0; i < WATCH_READS_MAX; i++) {
		ssize_t n = read(g->fd, w->events, WATCH_EVENT_BYTES);
		int r = n >= 0 ? take_events(w, g, (size_t)n) : -errno;

		if (r < 0 && r != -EAGAIN && r != -EINTR) {
			log_warning("watch: events cannot be read: %s", strerror(-r));
			lost(w);
		}
		if (n <= 0)
			return;
	}
}

void fanotify_read(struct watch *w)
{
	for (struct fanotify_group *g = w->groups; g; g = g->next) {
		read_group(w, g);
		close_views(g);
	}
}
