/* SPDX-License-Identifier: MIT */
#include "snapshots/capture_internal.h"
#include "snapshots/content_internal.h"
#include "snapshots/file_system.h"
#include "snapshots/xattr_set.h"
#include "store/base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DENTS_BYTES KIB(64)
#define ORDINALS 256u /* file systems that one host's records can tell apart */
#define CACHE_TAG "CACHEDIR.TAG"
#define CACHE_SIGNATURE "Signature: 8a477f597d28d172789f06886806bc55"

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

static void folder_list(struct worker *w, struct task *task);
static void segment_scan(struct worker *w, struct task *task);

/* ---- attributes ---- */

dev_t statx_device(const struct statx *sx)
{
	return makedev(sx->stx_dev_major, sx->stx_dev_minor);
}

static struct node_time node_time_of(const struct statx_timestamp *t)
{
	return (struct node_time){ .seconds = t->tv_sec, .nanoseconds = t->tv_nsec };
}

void entry_from_statx(const struct statx *sx, struct tree_entry *ret_entry)
{
	/* These four have the same values in both worlds. */
	uint64_t kept = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP |
			STATX_ATTR_COMPRESSED;

	*ret_entry = (struct tree_entry){
		.mode = sx->stx_mode,
		.uid = sx->stx_uid,
		.gid = sx->stx_gid,
		.nlink = sx->stx_nlink,
		.ino = sx->stx_ino,
		.size = sx->stx_size,
		.mtime = node_time_of(&sx->stx_mtime),
		.ctime = node_time_of(&sx->stx_ctime),
		.attribute_flags = (uint32_t)(sx->stx_attributes & kept),
	};
	if (S_ISBLK(sx->stx_mode) || S_ISCHR(sx->stx_mode))
		ret_entry->rdev = ((uint64_t)sx->stx_rdev_major << 32) | sx->stx_rdev_minor;
	if (sx->stx_mask & STATX_BTIME) {
		ret_entry->btime = node_time_of(&sx->stx_btime);
		ret_entry->flags |= ENTRY_HAS_BTIME;
	}
	if (S_ISREG(sx->stx_mode) && sx->stx_blocks * 512 < sx->stx_size)
		ret_entry->flags |= ENTRY_SPARSE;
}

bool node_time_equal(const struct node_time *a, const struct node_time *b)
{
	return a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

bool node_time_certain(const struct capture *c, const struct node_time *t)
{
	int64_t racy_s = c->racy_ns / 1000000000;

	return t->seconds < racy_s ||
	       (t->seconds == racy_s && t->nanoseconds < c->racy_ns % 1000000000);
}

/* ---- file systems ---- */

/*
 * The number of a file system: the one it has, or a free one near its hash, so
 * that two captures at once give one file system one number and two file
 * systems rarely the same (commit.c notices). With the lock held.
 */
static int file_system_ordinal(struct capture *c, const struct file_system_identity *identity,
			       uint32_t *ret_ordinal)
{
	static const uint8_t key[16];
	uint64_t hash = crypto_short_hash(key, identity, sizeof(*identity));

	if (c->n_file_systems < ORDINALS) {
		struct file_system_identity *grown =
			reallocarray(c->file_systems, ORDINALS, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		memset(grown + c->n_file_systems, 0,
		       (ORDINALS - c->n_file_systems) * sizeof(*grown));
		c->file_systems = grown;
		c->n_file_systems = ORDINALS;
	}
	for (uint32_t i = 0; i < ORDINALS; i++) {
		uint32_t at = (uint32_t)((hash + i) % ORDINALS);
		struct file_system_identity *slot = &c->file_systems[at];

		if (slot->type != 0 && !file_system_equal(slot, identity))
			continue;
		*slot = *identity;
		*ret_ordinal = at;
		return 0;
	}
	return -E2BIG;
}

int capture_file_system(struct capture *c, dev_t device, int fd, uint32_t *ret_ordinal,
			bool *ret_virtual)
{
	struct file_system_identity identity;
	struct known_device *devices;
	size_t i;
	int r;

	LOCK_SCOPE(&c->lock);
	for (i = 0; i < c->n_devices; i++)
		if (c->devices[i].device == device) {
			*ret_ordinal = c->devices[i].ordinal;
			*ret_virtual = c->devices[i].is_virtual;
			return 0;
		}
	r = file_system_identify(fd, &identity);
	if (r < 0)
		return r;
	r = file_system_ordinal(c, &identity, ret_ordinal);
	if (r < 0)
		return r;
	devices = reallocarray(c->devices, c->n_devices + 1, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	c->devices = devices;
	devices[c->n_devices++] =
		(struct known_device){ .device = device,
				       .ordinal = *ret_ordinal,
				       .is_virtual = file_system_is_virtual(identity.type) };
	*ret_virtual = devices[c->n_devices - 1].is_virtual;
	return 0;
}

/* ---- folders ---- */

struct folder *folder_new(struct capture *c, struct folder *parent, const char *name)
{
	struct folder *f = calloc(1, sizeof(*f));
	const char *base = parent ? parent->path : "";

	if (!f)
		return NULL;
	f->fd = -1;
	f->parent = parent;
	f->name = name;
	f->task.run = folder_list;
	f->depth = parent ? parent->depth + 1 : 0;
	/* The folder above the source's root has no path of its own, nor has that root. */
	if (!parent || !parent->parent)
		f->path = strdup("");
	else if (asprintf(&f->path, "%s%s%s", base, *base ? "/" : "", name) < 0)
		f->path = NULL;
	if (!f->path) {
		free(f);
		return NULL;
	}
	LOCK_SCOPE(&c->lock);
	f->older = c->folders;
	if (f->older)
		f->older->newer = f;
	c->folders = f;
	return f;
}

void segment_done(struct capture *c, struct segment *s)
{
	LOCK_SCOPE(&c->lock);
	for (uint32_t i = 0; i < s->n_items; i++)
		if (s->items[i].job)
			file_job_unref(s->items[i].job);
	free(s->items);
	s->items = NULL;
	s->n_items = 0;
	arena_done(&s->arena);
}

void folder_free(struct capture *c, struct folder *f)
{
	for (uint32_t i = 0; i < f->n_segments; i++)
		segment_done(c, &f->segments[i]);
	LOCK_SCOPE(&c->lock);
	*(f->newer ? &f->newer->older : &c->folders) = f->older;
	if (f->older)
		f->older->newer = f->newer;
	if (f->fd >= 0)
		(void)close(f->fd);
	tree_patch_free(f->patch);
	free(f->segments);
	free(f->xattrs);
	free(f->old_xattrs);
	free(f->names);
	free(f->order);
	free(f->path);
	free(f);
}

void folder_release_fd(struct folder *f)
{
	assert(f->fd_users > 0);
	if (--f->fd_users == 0) {
		(void)close(f->fd);
		f->fd = -1;
	}
}

static int open_quietly(int at, const char *name, int flags)
{
	int fd = openat(at, name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM) /* not ours: its access time changes */
		fd = openat(at, name, flags);
	return fd < 0 ? -errno : fd;
}

/* Own attributes, from the open folder; extended ones anew only when ctime has moved. */
static int folder_read_self(struct worker *w, struct folder *f)
{
	struct statx sx;
	int r;

	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_WANTED, &sx) < 0)
		return -errno;
	entry_from_statx(&sx, &f->self);
	f->device = statx_device(&sx);
	f->self.file_system = f->file_system;
	if (f->has_old && f->old.ino == f->self.ino &&
	    node_time_equal(&f->old.ctime, &f->self.ctime) &&
	    node_time_certain(w->capture, &f->self.ctime) &&
	    !(f->old.flags & (ENTRY_PLACEHOLDER | ENTRY_UNREADABLE))) {
		f->self.attribute_flags = f->old.attribute_flags;
		f->self.xattrs = f->old_xattrs;
		f->self.xattrs_n = f->old.xattrs_n;
		f->self.flags |= f->old.flags & ENTRY_XATTRS_CHUNK;
		return 0;
	}
	f->self.attribute_flags = attribute_flags_read(f->fd, &f->self);
	byte_buf_clear(&w->scratch);
	r = xattr_set_read(f->fd, NULL, false, &w->scratch);
	if (r < 0)
		return r == -ENOTSUP ? 0 : r;
	if (r > 0)
		capture_problem(w->capture, f, NULL, "some attributes cannot be read", EACCES);
	if (w->scratch.n == 0)
		return 0;
	f->xattrs = malloc(w->scratch.n);
	if (!f->xattrs)
		return -ENOMEM;
	memcpy(f->xattrs, w->scratch.data, w->scratch.n);
	f->self.xattrs = f->xattrs;
	f->self.xattrs_n = (uint32_t)w->scratch.n;
	return 0;
}

/* Read all names into one string; *ret_n counts them. */
static int read_names(struct worker *w, struct folder *f, struct byte_buf *names, uint32_t *ret_n)
{
	uint64_t n = 0;

	for (;;) {
		long got = syscall(SYS_getdents64, f->fd, w->dents, DENTS_BYTES);

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		for (long at = 0; at < got;) {
			struct linux_dirent64 *d = (void *)(w->dents + at);
			size_t len = strlen(d->d_name);

			at += d->d_reclen;
			if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
				continue;
			if (!name_valid(d->d_name, (uint32_t)len)) {
				capture_problem(w->capture, f, d->d_name, "impossible name",
						EINVAL);
				continue;
			}
			byte_buf_append(names, d->d_name, len + 1);
			n++;
		}
		if (names->failed || names->n > UINT32_MAX)
			return -ENOMEM;
	}
	*ret_n = (uint32_t)n;
	return 0;
}

static int order_names(const void *a, const void *b, void *names)
{
	return strcmp((char *)names + *(const uint32_t *)a, (char *)names + *(const uint32_t *)b);
}

static int sort_names(struct folder *f, struct byte_buf *names, uint32_t n)
{
	uint32_t at = 0;
	bool sorted = true;

	f->order = malloc((n ? n : 1) * sizeof(*f->order));
	if (!f->order)
		return -ENOMEM;
	f->names = (char *)STEAL(names->data);
	for (uint32_t i = 0; i < n; i++) {
		f->order[i] = at;
		if (i > 0 && sorted)
			sorted = strcmp(f->names + f->order[i - 1], f->names + at) < 0;
		at += (uint32_t)strlen(f->names + at) + 1;
	}
	if (!sorted)
		qsort_r(f->order, n, sizeof(*f->order), order_names, f->names);
	f->n_names = n;
	return 0;
}

static bool has_name(const struct folder *f, const char *name)
{
	uint32_t low = 0, high = f->n_names;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int order = strcmp(f->names + f->order[mid], name);

		if (order == 0)
			return true;
		*(order < 0 ? &low : &high) = order < 0 ? mid + 1 : mid;
	}
	return false;
}

/* Does the file begin with this? */
static bool begins_with(int folder_fd, const char *name, const void *bytes, size_t n)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	uint8_t head[64];

	assert(n <= sizeof(head));
	fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || pread(fd, head, n, 0) != (ssize_t)n)
		return false;
	return bytes ? memcmp(head, bytes, n) == 0 : store_config_magic(head, n);
}

/* Folders whose contents are left out: repositories, and tagged caches if so wanted. */
static void trim_names(struct capture *c, struct folder *f)
{
	if (has_name(f, "config") && has_name(f, "packs") && has_name(f, "records") &&
	    begins_with(f->fd, "config", NULL, STORE_CONFIG_MAGIC_BYTES)) {
		log_info("left out: %s/%s is a yore repository", c->source_path, f->path);
		f->n_names = 0;
	}
	if ((c->source_flags & SOURCE_EXCLUDE_CACHES) && has_name(f, CACHE_TAG) &&
	    begins_with(f->fd, CACHE_TAG, CACHE_SIGNATURE, strlen(CACHE_SIGNATURE))) {
		uint32_t kept = 0;

		for (uint32_t i = 0; i < f->n_names; i++)
			if (strcmp(f->names + f->order[i], CACHE_TAG) == 0)
				kept = f->order[i];
		f->order[0] = kept;
		f->n_names = 1;
	}
}

/* ---- folders of which only some names are looked at ---- */

/* Is what lies in the folder left out because of some of its names, or may it have been? */
static bool names_decide(struct capture *c, const struct folder *f)
{
	/* An empty one may have been a repository that is none any more. */
	if (f->mode == FOLDER_NAMES && chunk_id_is_zero(&f->old.tree))
		return true;
	if (begins_with(f->fd, "config", NULL, STORE_CONFIG_MAGIC_BYTES))
		return true;
	return (c->source_flags & SOURCE_EXCLUDE_CACHES) &&
	       (dirty_name_child(f->dirty, CACHE_TAG, (uint32_t)strlen(CACHE_TAG)) ||
		begins_with(f->fd, CACHE_TAG, CACHE_SIGNATURE, strlen(CACHE_SIGNATURE)));
}

/* Is the open folder the one that the last snapshot knows, and of a kind to be patched? */
static bool may_patch(struct capture *c, const struct folder *f)
{
	const struct tree_entry *was = &f->old, *now = &f->self;

	if (f->barren || was->ino != now->ino || was->file_system != now->file_system)
		return false;
	/* Another folder may have got the number of one that was removed. */
	if ((was->flags & now->flags & ENTRY_HAS_BTIME) &&
	    !node_time_equal(&was->btime, &now->btime))
		return false;
	return !names_decide(c, f);
}

/* The dirty names only. */
static int take_dirty_names(const struct folder *f, struct byte_buf *names, uint32_t *ret_n)
{
	for (size_t i = 0; i < f->dirty->n_children; i++) {
		const char *name = f->dirty->children[i].name;

		byte_buf_append(names, name, strlen(name) + 1);
	}
	if (names->failed || names->n > UINT32_MAX)
		return -ENOMEM;
	*ret_n = (uint32_t)f->dirty->n_children;
	return 0;
}

/* ---- listing ---- */

/* Cut the names into segments; at least one, so that the finisher meets every folder. */
static int make_segments(struct folder *f)
{
	uint32_t n = (f->n_names + SEGMENT_NAMES - 1) / SEGMENT_NAMES;

	n = n ? n : 1;
	f->segments = calloc(n, sizeof(*f->segments));
	if (!f->segments)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct segment *s = &f->segments[i];

		s->task.run = segment_scan;
		s->folder = f;
		s->first = i * SEGMENT_NAMES;
		s->n = f->n_names - s->first < SEGMENT_NAMES ? f->n_names - s->first
							     : SEGMENT_NAMES;
	}
	f->n_segments = n;
	return 0;
}

static int open_folder(struct worker *w, struct folder *f)
{
	struct capture *c = w->capture;
	bool is_virtual = false;
	struct statx sx;
	int r;

	f->fd = open_quietly(f->parent->fd, f->name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0)
		return f->fd;
	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) < 0)
		return -errno;
	r = c->live ? live_parts_enter(c->live, f->path, &sx, &f->fd) : 0;
	if (r == 1 && statx(f->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) < 0)
		return -errno;
	if (r < 0)
		return r;
	f->device = statx_device(&sx);
	if (f->device == f->parent->device) {
		f->file_system = f->parent->file_system;
		return 0;
	}
	r = capture_file_system(c, f->device, f->fd, &f->file_system, &is_virtual);
	if (r == 0 && f->parent->parent &&
	    (is_virtual || (c->source_flags & SOURCE_ONE_FILE_SYSTEM)))
		f->barren = true;
	return r;
}

/* List a folder: open it, read its attributes and names, make its segments. */
static int list_names(struct worker *w, struct folder *f)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf names = { 0 };
	uint32_t n = 0;
	int r = open_folder(w, f);

	if (r >= 0)
		r = folder_read_self(w, f);
	if (r < 0)
		return r;
	if (f->mode != FOLDER_WHOLE && !may_patch(w->capture, f))
		f->mode = FOLDER_WHOLE;
	if (f->mode == FOLDER_NAMES)
		r = take_dirty_names(f, &names, &n);
	else if (!f->barren)
		r = read_names(w, f, &names, &n);
	if (r >= 0)
		r = sort_names(f, &names, n);
	if (r == 0 && f->mode != FOLDER_NAMES)
		trim_names(w->capture, f);
	return r;
}

static void folder_list(struct worker *w, struct task *task)
{
	struct folder *f = (struct folder *)task;
	struct capture *c = w->capture;
	int r = f->depth > TREE_DEPTH_MAX ? -ELOOP : list_names(w, f);

	if (r == -ENOMEM)
		capture_fail(c, r);
	else if (r < 0 && r != -ENOENT)
		capture_problem(c, f, NULL, "folder cannot be read", -r);
	f->error = r < 0 ? r : 0;
	if (r < 0)
		f->n_names = 0;
	if (r < 0 && f->mode == FOLDER_LIST)
		f->mode = FOLDER_NAMES; /* none: what could not be listed is not gone */
	if (make_segments(f) < 0) {
		capture_fail(c, -ENOMEM);
		f->error = -ENOMEM;
	}
	if (r == 0)
		atomic_fetch_add_explicit(&c->progress->directories, 1, memory_order_relaxed);
	LOCK_SCOPE(&c->lock);
	c->folders_ahead++;
	folder_release_fd(f->parent);
	if (f->fd >= 0) { /* each segment is one user */
		f->fd_users = f->n_segments;
		if (f->n_segments == 0)
			(void)close(STEAL_FD(f->fd));
	}
	for (uint32_t i = f->n_segments; i-- > 0;)
		task_queue(&c->walks, &f->segments[i].task, true);
	pthread_cond_broadcast(&c->changed);
}

/* ---- segments ---- */

/* Queue a batch for the readers. With the lock held. */
static void queue_batch(struct capture *c, struct batch *b)
{
	b->folder->fd_users++;
	task_queue(&c->reads, &b->task, false);
}

/* Hand the files that must be read to the readers, some at a time, and the folders to the walkers.
 */
static int queue_found(struct worker *w, struct segment *s)
{
	struct capture *c = w->capture;
	struct batch *b = NULL;

	LOCK_SCOPE(&c->lock);
	for (uint32_t i = 0; i < s->n_items; i++) {
		struct file_job *job = s->items[i].owns_job ? s->items[i].job : NULL;

		if (!job) { /* another name's batch reads it; if that name vanishes, this one must
			     */
			s->folder->fd_users += s->items[i].job != NULL;
			continue;
		}
		if (!b)
			b = batch_new(s->folder);
		if (!b)
			return -ENOMEM;
		job->batch = b;
		b->refs++;
		b->jobs[b->n++] = job;
		b->task.bytes += job->seen.size < c->small_max ? job->seen.size : 0;
		if (b->n == BATCH_FILES || b->task.bytes >= BATCH_BYTES ||
		    job->seen.size >= c->small_max || job->seen.nlink > 1)
			queue_batch(c, STEAL(b));
	}
	if (b)
		queue_batch(c, b);
	for (uint32_t i = s->n_items; i-- > 0;)
		if (s->items[i].kind == ITEM_FOLDER) {
			s->folder->fd_users++;
			task_queue(&c->walks, &s->items[i].child->task, true);
		}
	pthread_cond_broadcast(&c->changed);
	return 0;
}

/* What may have changed below a name of this folder; NULL: all. */
static const struct dirty_name *dirty_below(const struct capture *c, const struct folder *f,
					    uint32_t i, const struct item *item)
{
	static const struct dirty_name clean = { .name = "" };
	const struct dirty_name *d = NULL;

	if (!f->parent)
		return c->dirty;
	if (f->mode == FOLDER_NAMES)
		return &f->dirty->children[i];
	if (f->mode == FOLDER_LIST)
		d = dirty_name_child(f->dirty, item->entry.name, item->entry.name_n);
	return f->mode == FOLDER_LIST && !d ? &clean : d;
}

/* What is known of a name of this folder, however much of the folder is looked at. NULL: nothing.
 */
static const struct dirty_name *hint_of(const struct capture *c, const struct folder *f, uint32_t i,
					const struct item *item)
{
	if (!f->parent)
		return c->hints;
	if (f->mode == FOLDER_NAMES)
		return &f->dirty->children[i];
	return f->hint ? dirty_name_child(f->hint, item->entry.name, item->entry.name_n) : NULL;
}

/* The old entry of a name that is looked up alone. NULL: none. */
static const struct tree_entry *find_old_name(struct worker *w, const struct item *item,
					      struct tree_entry *at)
{
	int r = tree_reader_find(w->old, item->entry.name, item->entry.name_n, at, NULL);

	if (r < 0 && r != -ENOENT)
		capture_want_whole(w->capture, "a folder of the last snapshot cannot be read");
	return r == 0 ? at : NULL;
}

static int scan_names(struct worker *w, struct segment *s)
{
	struct folder *f = s->folder;
	bool have_reader = f->has_old, have = false;
	struct tree_entry at;
	int r = 0;

	if (s->n == 0)
		return 0;
	s->items = calloc(s->n, sizeof(*s->items));
	if (!s->items)
		return -ENOMEM;
	if (have_reader) {
		const char *first = f->names + f->order[s->first];

		tree_reader_scattered(w->old, f->mode == FOLDER_NAMES);
		r = tree_reader_set(w->old, &f->old.tree);
		if (r == 0 && f->mode != FOLDER_NAMES)
			r = tree_reader_seek_name(w->old, first, (uint32_t)strlen(first));
		have_reader = r == 0; /* an old folder that cannot be read is no base */
		if (r < 0)
			atomic_store(&w->capture->old_lost, true);
		r = 0;
	}
	for (uint32_t i = 0; r == 0 && i < s->n; i++) {
		const char *name = f->names + f->order[s->first + i];
		struct item *item = &s->items[s->n_items++];
		const struct tree_entry *old = NULL;

		item->entry.name = name;
		item->entry.name_n = (uint32_t)strlen(name);
		item->dirty = dirty_below(w->capture, f, s->first + i, item);
		item->hint = hint_of(w->capture, f, s->first + i, item);
		if (have_reader && f->mode == FOLDER_NAMES)
			old = find_old_name(w, item, &at);
		else if (have_reader)
			old = entry_scan_old(w, name, item->entry.name_n, &at, &have);
		else if (!f->parent)
			old = w->capture->root_old;
		item->was_file = old && S_ISREG(old->mode);
		r = entry_scan(w, s, item, old);
	}
	return r;
}

static void segment_scan(struct worker *w, struct task *task)
{
	struct segment *s = (struct segment *)task;
	struct capture *c = w->capture;
	int r = s->folder->fd < 0 || capture_failed(c) ? 0 : scan_names(w, s);

	if (r == 0)
		r = queue_found(w, s);
	if (r < 0)
		capture_fail(c, r);
	LOCK_SCOPE(&c->lock);
	c->items_ahead += s->n_items;
	if (s->folder->fd >= 0)
		folder_release_fd(s->folder);
}

int walker_begin(struct capture *c, int fd, const char *name, struct folder **ret_folder)
{
	struct folder *f = folder_new(c, NULL, NULL);
	bool is_virtual;
	struct statx sx;
	int r = 0;

	if (!f) {
		(void)close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	f->names = strdup(name);
	f->order = calloc(1, sizeof(*f->order));
	if (!f->names || !f->order)
		r = -ENOMEM;
	else if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) < 0)
		r = -errno;
	if (r == 0) {
		f->device = statx_device(&sx);
		r = capture_file_system(c, f->device, fd, &f->file_system, &is_virtual);
	}
	if (r == 0) {
		f->n_names = 1;
		r = make_segments(f);
	}
	if (r < 0) {
		folder_free(c, f);
		return r;
	}
	f->fd_users = 1;
	f->task.state = TASK_DONE;
	LOCK_SCOPE(&c->lock);
	task_queue(&c->walks, &f->segments[0].task, true);
	*ret_folder = f;
	return 0;
}

int walker_placeholder(struct capture *c, const char *path, struct tree_entry *ret_entry)
{
	CLEANUP(close_fd_ptr) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool is_virtual;
	struct statx sx;
	int r;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, &sx) < 0) {
		/* The source is carried along, but its parents are gone: a plain folder stands in.
		 */
		*ret_entry = (struct tree_entry){ .mode = S_IFDIR | 0755, .nlink = 2 };
	} else {
		entry_from_statx(&sx, ret_entry);
		r = capture_file_system(c, statx_device(&sx), fd, &ret_entry->file_system,
					&is_virtual);
		if (r < 0)
			return r;
		byte_buf_clear(&c->placeholder_xattrs);
		if (xattr_set_read(-1, path, true, &c->placeholder_xattrs) >= 0) {
			ret_entry->xattrs = c->placeholder_xattrs.data;
			ret_entry->xattrs_n = (uint32_t)c->placeholder_xattrs.n;
		}
	}
	ret_entry->flags |= ENTRY_PLACEHOLDER;
	return 0;
}
