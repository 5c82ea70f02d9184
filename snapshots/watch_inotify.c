/* SPDX-License-Identifier: MIT */
/*
 * A watch for each folder of a source, and for the folders above it.
 *
 * Which folder a watch belongs to is asked, never guessed: adding a watch to
 * what is at a path yields the number of the watch that its inode has already.
 * So after each event that may have moved a folder the place is looked at, and
 * all below it is listed again, as the capture will do as well. A folder that
 * was moved and is not where it was noted is dropped, with all below it.
 */
#include "snapshots/watch_internal.h"

#include "store/base/log.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENT_MASK                                                                     \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | \
	 IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)
#define LIST_MASK (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define ROOT 0u
#define NONE UINT32_MAX
#define FOLDERS_MIN 64u
#define PIECE_BYTES 4000u /* of a path for one system call */

/*
 * A watched folder. Invariants: a folder in use is on the list of its parent's
 * children and in its bucket of `by_watch`; no folder is below itself.
 */
struct folder {
	char *name; /* NULL: free, `next` leads to another free one */
	int wd;
	uint32_t parent;
	uint32_t child, next, previous; /* first child; siblings */
	uint32_t same_bucket;
	bool aliased; /* reached by several paths: what changes there may be anywhere */
};

/* A folder on the way to the source. */
struct above {
	int wd;
	const char *next; /* where the next name begins, in the source's path */
};

struct inotify_tree {
	int fd;
	int root_fd; /* O_PATH; while folders are looked up */
	struct folder *folders;
	uint32_t n_folders; /* used and free */
	uint32_t n_used;
	uint32_t room;
	uint32_t first_free;
	uint32_t *by_watch;
	uint32_t n_buckets; /* a power of two */
	struct above *above;
	size_t n_above;
	uint32_t *todo; /* to be listed */
	size_t n_todo, todo_room;
};

void inotify_tree_free(struct inotify_tree *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->n_folders; i++)
		free(t->folders[i].name);
	if (t->fd >= 0)
		(void)close(t->fd);
	if (t->root_fd >= 0)
		(void)close(t->root_fd);
	free(t->folders);
	free(t->by_watch);
	free(t->above);
	free(t->todo);
	free(t);
}
CLEANUP_DEFINE(struct inotify_tree, inotify_tree_free)

int inotify_tree_fd(const struct inotify_tree *t)
{
	return t->fd;
}

size_t inotify_tree_watches(const struct inotify_tree *t)
{
	return t->n_used + t->n_above;
}

uint64_t inotify_watches_max(void)
{
	FILE *f = fopen("/proc/sys/fs/inotify/max_user_watches", "re");
	uint64_t n = 0;
	char line[32];

	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f))
		n = strtoull(line, NULL, 10);
	(void)fclose(f);
	return n;
}

/* ---- the folders ---- */

static uint32_t *bucket_of(const struct inotify_tree *t, int wd)
{
	return &t->by_watch[((uint32_t)wd * 2654435761u >> 7) & (t->n_buckets - 1)];
}

static uint32_t find_folder(const struct inotify_tree *t, int wd)
{
	uint32_t i = t->n_buckets ? *bucket_of(t, wd) : NONE;

	while (i != NONE && t->folders[i].wd != wd)
		i = t->folders[i].same_bucket;
	return i;
}

static int grow(struct inotify_tree *t)
{
	const uint32_t room = t->room ? t->room * 2 : FOLDERS_MIN;
	struct folder *folders = reallocarray(t->folders, room, sizeof(*folders));
	uint32_t *by_watch;

	if (!folders)
		return -ENOMEM;
	t->folders = folders;
	by_watch = reallocarray(t->by_watch, room, sizeof(*by_watch));
	if (!by_watch)
		return -ENOMEM;
	t->by_watch = by_watch;
	t->n_buckets = room;
	t->room = room;
	memset(by_watch, 0xff, room * sizeof(*by_watch));
	for (uint32_t i = 0; i < t->n_folders; i++) {
		uint32_t *bucket = bucket_of(t, folders[i].wd);

		if (!folders[i].name)
			continue;
		folders[i].same_bucket = *bucket;
		*bucket = i;
	}
	return 0;
}

static void link_folder(struct inotify_tree *t, uint32_t i, uint32_t parent)
{
	struct folder *f = &t->folders[i];

	f->parent = parent;
	f->previous = NONE;
	f->next = NONE;
	if (parent == NONE)
		return;
	f->next = t->folders[parent].child;
	if (f->next != NONE)
		t->folders[f->next].previous = i;
	t->folders[parent].child = i;
}

static void unlink_folder(struct inotify_tree *t, uint32_t i)
{
	struct folder *f = &t->folders[i];

	if (f->previous != NONE)
		t->folders[f->previous].next = f->next;
	else if (f->parent != NONE)
		t->folders[f->parent].child = f->next;
	if (f->next != NONE)
		t->folders[f->next].previous = f->previous;
}

static int new_folder(struct inotify_tree *t, uint32_t parent, const char *name, int wd,
		      uint32_t *ret_folder)
{
	uint32_t i = t->first_free, *bucket;
	char *copy;

	if (i == NONE && t->n_folders == t->room) {
		int r = grow(t);

		if (r < 0)
			return r;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	if (i == NONE)
		i = t->n_folders++;
	else
		t->first_free = t->folders[i].next;
	bucket = bucket_of(t, wd);
	t->folders[i] =
		(struct folder){ .name = copy, .wd = wd, .child = NONE, .same_bucket = *bucket };
	*bucket = i;
	link_folder(t, i, parent);
	t->n_used++;
	*ret_folder = i;
	return 0;
}

/* One without children. */
static void forget_folder(struct inotify_tree *t, uint32_t i)
{
	struct folder *f = &t->folders[i];
	uint32_t *at = bucket_of(t, f->wd);

	assert(f->child == NONE);
	unlink_folder(t, i);
	while (*at != i)
		at = &t->folders[*at].same_bucket;
	*at = f->same_bucket;
	free(STEAL(f->name));
	f->next = t->first_free;
	t->first_free = i;
	t->n_used--;
}

/* With all below it, the deepest first. */
static void drop_folder(struct inotify_tree *t, uint32_t top)
{
	uint32_t i = top;

	for (;;) {
		const uint32_t parent = t->folders[i].parent;

		if (t->folders[i].child != NONE) {
			i = t->folders[i].child;
			continue;
		}
		(void)inotify_rm_watch(t->fd, t->folders[i].wd); /* it may be gone already */
		forget_folder(t, i);
		if (i == top)
			return;
		i = parent;
	}
}

/* ---- paths ---- */

/* The folder's path relative to the source, with its NUL. */
static int folder_path(const struct inotify_tree *t, uint32_t folder, struct byte_buf *to)
{
	size_t n = 0;
	uint8_t *at;

	for (uint32_t i = folder; i != ROOT; i = t->folders[i].parent)
		n += strlen(t->folders[i].name) + 1;
	byte_buf_clear(to);
	at = byte_buf_reserve(to, n + 1);
	if (!at)
		return -ENOMEM;
	to->n = n ? n : 1;
	at += to->n;
	*--at = '\0';
	for (uint32_t i = folder; i != ROOT; i = t->folders[i].parent) {
		const size_t name_n = strlen(t->folders[i].name);

		if (i != folder)
			*--at = '/';
		at -= name_n;
		memcpy(at, t->folders[i].name, name_n);
	}
	return 0;
}

/* One step below an open folder; no link is followed on the way. */
static int open_below(int fd, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				      .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
	long r = syscall(SYS_openat2, fd, *path ? path : ".", &how, sizeof(how));

	return r < 0 ? -errno : (int)r;
}

/* Open the folder at a relative path of any length, O_PATH. */
static int open_path(const struct inotify_tree *t, char *path)
{
	int fd = -1;

	for (;;) {
		const int from = fd >= 0 ? fd : t->root_fd;
		char *cut = NULL;
		int next;

		if (strlen(path) > PIECE_BYTES) {
			cut = memrchr(path, '/', PIECE_BYTES);
			assert(cut); /* no name is as long as that */
			*cut = '\0';
		}
		next = open_below(from, path);
		if (fd >= 0)
			(void)close(fd);
		if (next < 0 || !cut)
			return next;
		fd = next;
		path = cut + 1;
	}
}

/* The watch that what lies there has, or gets now. */
static int add_watch(const struct inotify_tree *t, int path_fd)
{
	char path[64];
	int wd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	wd = inotify_add_watch(t->fd, path, EVENT_MASK);
	return wd < 0 ? -errno : wd;
}

static bool is_above(const struct inotify_tree *t, int wd)
{
	for (size_t i = 0; i < t->n_above; i++)
		if (t->above[i].wd == wd)
			return true;
	return false;
}

/* The watch of an open folder, if it is one of ours; else none is left there. */
static int watch_of(const struct inotify_tree *t, int path_fd)
{
	int wd = add_watch(t, path_fd);

	if (wd >= 0 && find_folder(t, wd) == NONE && !is_above(t, wd)) {
		(void)inotify_rm_watch(t->fd, wd);
		return -ENOENT;
	}
	return wd;
}

/* Is the folder still where it is noted to be? */
static int is_in_place(const struct inotify_tree *t, uint32_t folder)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf path = { 0 };
	CLEANUP(close_fd_ptr) int fd = -1;
	int r = folder_path(t, folder, &path);

	if (r < 0)
		return r;
	fd = open_path(t, (char *)path.data);
	return fd >= 0 && watch_of(t, fd) == t->folders[folder].wd;
}

/* ---- finding folders ---- */

static int list_later(struct inotify_tree *t, uint32_t folder)
{
	if (t->n_todo == t->todo_room) {
		const size_t room = t->todo_room ? t->todo_room * 2 : FOLDERS_MIN;
		uint32_t *todo = reallocarray(t->todo, room, sizeof(*todo));

		if (!todo)
			return -ENOMEM;
		t->todo = todo;
		t->todo_room = room;
	}
	t->todo[t->n_todo++] = folder;
	return 0;
}

static bool is_below(const struct inotify_tree *t, uint32_t folder, uint32_t top)
{
	while (folder != NONE && folder != top)
		folder = t->folders[folder].parent;
	return folder == top;
}

/* A watch that is known was met at another place: it was moved, or has two places. */
static int meet_again(struct watched *s, uint32_t parent, const char *name, uint32_t i)
{
	struct inotify_tree *t = s->tree;
	struct folder *f = &t->folders[i];
	char *copy;
	int r;

	if (i != ROOT && f->parent == parent && strcmp(f->name, name) == 0)
		return list_later(t, i);
	r = i == ROOT ? 1 : is_in_place(t, i);
	if (r < 0)
		return r;
	if (r > 0) {
		f->aliased = true;
		return 0;
	}
	if (is_below(t, parent, i)) {
		s->refresh = true; /* so much has moved that it is easier to begin again */
		return 0;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(f->name);
	f->name = copy;
	unlink_folder(t, i);
	link_folder(t, i, parent);
	return list_later(t, i);
}

static bool is_polled(const struct watched *s, const char *path)
{
	for (size_t i = 0; i < s->n_polled; i++)
		if (strcmp(path, s->polled[i]) == 0)
			return true;
	return false;
}

static bool is_other_device(const struct watched *s, int fd)
{
	struct stat st;

	return s->one_file_system && fstat(fd, &st) == 0 && st.st_dev != s->device;
}

/* Does a missing folder, or one that may not be listed, not matter? Its parent tells of it. */
static bool is_no_matter(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EACCES || r == -ENXIO ||
	       r == -EXDEV;
}

static bool is_virtual_mount(const struct watch *w, int fd)
{
	const struct mount_row *row;
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return false;
	row = mount_table_find(&w->mounts, (unsigned int)sx.stx_mnt_id);
	return row && mount_kind_is_virtual(row);
}

/* Watch a folder; `path` is its own, relative. What is not captured is passed by. */
static int enter(struct watch *w, struct watched *s, uint32_t parent, int parent_fd,
		 const char *name, const char *path)
{
	struct inotify_tree *t = s->tree;
	CLEANUP(close_fd_ptr) int fd = -1;
	uint32_t i;
	int wd, r;

	if (is_polled(s, path) || watch_leaves_out(w, s, path))
		return 0;
	fd = openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return is_no_matter(-errno) ? 0 : -errno;
	if (is_other_device(s, fd) || is_virtual_mount(w, fd))
		return 0;
	wd = add_watch(t, fd);
	if (wd < 0)
		return is_no_matter(wd) ? 0 : wd;
	/* A folder above the source is mounted below it: one watch cannot serve both. */
	if (is_above(t, wd))
		return -EMLINK;
	i = find_folder(t, wd);
	if (i != NONE)
		return meet_again(s, parent, name, i);
	r = new_folder(t, parent, name, wd, &i);
	return r < 0 ? r : list_later(t, i);
}

static int list_names(struct watch *w, struct watched *s, uint32_t folder, DIR *dir,
		      const char *path)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf below = { 0 };
	struct dirent *entry;
	int r = 0;

	while (r == 0 && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
			continue;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		byte_buf_clear(&below);
		watch_join(&below, path, entry->d_name);
		byte_buf_u8(&below, 0);
		r = below.failed
			    ? -ENOMEM
			    : enter(w, s, folder, dirfd(dir), entry->d_name, (char *)below.data);
	}
	return r;
}

static int list_folder(struct watch *w, struct watched *s, uint32_t folder)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf path = { 0 };
	CLEANUP(close_dir_ptr) DIR *dir = NULL;
	CLEANUP(close_fd_ptr) int path_fd = -1;
	struct inotify_tree *t = s->tree;
	int fd, r = folder_path(t, folder, &path);

	if (r < 0)
		return r;
	path_fd = open_path(t, (char *)path.data);
	if (path_fd < 0)
		return is_no_matter(path_fd) ? 0 : path_fd;
	/* Something else by now: then an event tells of it. */
	if (watch_of(t, path_fd) != t->folders[folder].wd)
		return 0;
	fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return is_no_matter(-errno) ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		(void)close(fd);
		return -errno;
	}
	/* open_path() may have cut it. */
	r = folder_path(t, folder, &path);
	return r < 0 ? r : list_names(w, s, folder, dir, (char *)path.data);
}

static int list_all(struct watch *w, struct watched *s)
{
	struct inotify_tree *t = s->tree;

	while (t->n_todo > 0) {
		const uint32_t folder = t->todo[--t->n_todo];
		int r = t->folders[folder].name ? list_folder(w, s, folder) : 0;

		if (r < 0) {
			t->n_todo = 0;
			return r;
		}
	}
	return 0;
}

/* ---- beginning ---- */

/* What renames or removes the source, or brings it back, happens in the folders above it. */
static int watch_above(struct watched *s)
{
	struct inotify_tree *t = s->tree;
	CLEANUP(free_ptr) char *path = strdup(s->path);
	size_t depth = 1;

	for (const char *at = s->path; *at; at++)
		depth += *at == '/';
	t->above = calloc(depth, sizeof(*t->above));
	if (!path || !t->above)
		return -ENOMEM;
	while (path[1] != '\0') {
		char *slash = strrchr(path, '/');
		const char *next = s->path + (slash - path) + 1;
		int wd;

		slash[slash == path] = '\0';
		wd = inotify_add_watch(t->fd, path, EVENT_MASK);
		if (wd >= 0)
			t->above[t->n_above++] = (struct above){ wd, next };
		else if (!is_no_matter(-errno))
			return -errno;
	}
	return 0;
}

static int watch_root(struct watch *w, struct watched *s)
{
	struct inotify_tree *t = s->tree;
	uint32_t root;
	int wd, r;

	t->root_fd = open(s->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (t->root_fd < 0)
		return is_no_matter(-errno) ? 0 : -errno; /* a file, or not there */
	wd = add_watch(t, t->root_fd);
	if (wd < 0)
		return wd;
	r = new_folder(t, NONE, "", wd, &root);
	if (r < 0)
		return r;
	assert(root == ROOT);
	r = list_later(t, root);
	if (r == 0)
		r = list_all(w, s);
	/* Kept open it would hold the file system. */
	(void)close(t->root_fd);
	t->root_fd = -1;
	return r;
}

int inotify_tree_new(struct watch *w, struct watched *s)
{
	CLEANUP(inotify_tree_free_ptr) struct inotify_tree *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->root_fd = -1;
	t->first_free = NONE;
	t->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (t->fd < 0)
		return -errno;
	s->tree = t;
	r = watch_above(s);
	if (r == 0)
		r = watch_root(w, s);
	if (r < 0) {
		s->tree = NULL;
		return r;
	}
	t = NULL;
	return 0;
}

uint64_t inotify_tree_count(const struct watch *w, const struct watched *s)
{
	char *const paths[] = { s->path, NULL };
	uint64_t n = 0;
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	FTSENT *entry;

	while (walk && (entry = fts_read(walk))) {
		const char *below = watch_below(entry->fts_path, s->path);

		if (entry->fts_info != FTS_D)
			continue;
		if (below && *below && (is_polled(s, below) || watch_leaves_out(w, s, below)))
			(void)fts_set(walk, entry, FTS_SKIP);
		else
			n++;
	}
	if (walk)
		(void)fts_close(walk);
	for (const char *at = s->path; *at; at++)
		n += *at == '/';
	return n;
}

/* ---- events ---- */

static void take_above(struct watch *w, struct watched *s, const struct above *a,
		       const struct inotify_event *e)
{
	const size_t n = strcspn(a->next, "/");

	if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
		s->refresh = true;
		return;
	}
	if (e->len == 0 || strlen(e->name) != n || strncmp(e->name, a->next, n) != 0)
		return;
	if (e->mask & LIST_MASK)
		s->refresh = true;
	else if (a->next[n] == '\0' && !(e->mask & IN_ISDIR)) /* a source that is a file */
		watch_note(w, s, "", ".", DIRTY_SELF | DIRTY_CLOSED);
}

/* A folder may have come to this place. */
static int look_at_place(struct watch *w, struct watched *s, uint32_t folder, const char *path,
			 const char *name)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf below = { 0 };
	CLEANUP(free_ptr) char *copy = strdup(path);
	CLEANUP(close_fd_ptr) int fd = -1;
	int r;

	watch_join(&below, path, name);
	byte_buf_u8(&below, 0);
	if (!copy || below.failed)
		return -ENOMEM;
	fd = open_path(s->tree, copy);
	if (fd < 0)
		return is_no_matter(fd) ? 0 : fd;
	r = enter(w, s, folder, fd, name, (char *)below.data);
	return r < 0 ? r : list_all(w, s);
}

/* Is it another name of a file that was there? That one may change through this one, unsaid. */
static int is_second_name(const struct inotify_tree *t, const char *path, const char *name)
{
	CLEANUP(free_ptr) char *copy = strdup(path);
	CLEANUP(close_fd_ptr) int fd = -1;
	struct stat st;

	if (!copy)
		return -ENOMEM;
	fd = open_path(t, copy);
	return fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       !S_ISDIR(st.st_mode) && st.st_nlink > 1;
}

static unsigned int flags_of(uint32_t mask)
{
	unsigned int flags = DIRTY_SELF;

	if (mask & IN_ISDIR && mask & (IN_CREATE | IN_MOVED_TO))
		flags |= DIRTY_DEEP;
	if (mask & IN_CLOSE_WRITE)
		flags |= DIRTY_CLOSED;
	if (mask & IN_ISDIR)
		flags |= WATCH_FOLDER;
	if (mask & LIST_MASK)
		flags |= WATCH_LISTED;
	return flags;
}

static int take_named(struct watch *w, struct watched *s, uint32_t folder,
		      const struct inotify_event *e)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf path = { 0 };
	const uint32_t n_before = s->tree->n_used;
	unsigned int flags = flags_of(e->mask);
	const char *name = e->len > 0 ? e->name : ".";
	int r = folder_path(s->tree, folder, &path);

	if (r < 0)
		return r;
	/* With new rights a folder may be listed that could not be before. */
	if (e->len > 0 && e->mask & IN_ISDIR && e->mask & (IN_CREATE | IN_MOVED_TO | IN_ATTRIB)) {
		r = look_at_place(w, s, folder, (char *)path.data, name);
		if (s->tree->n_used > n_before)
			flags |= DIRTY_DEEP;
	} else if (e->mask & IN_CREATE && is_second_name(s->tree, (char *)path.data, name)) {
		watch_note_all(w, s);
	}
	watch_note(w, s, (char *)path.data, name, flags);
	return r;
}

static bool is_aliased(const struct inotify_tree *t, uint32_t folder)
{
	while (folder != NONE && !t->folders[folder].aliased)
		folder = t->folders[folder].parent;
	return folder != NONE;
}

static int take_folder(struct watch *w, struct watched *s, uint32_t folder,
		       const struct inotify_event *e)
{
	int r;

	if (is_aliased(s->tree, folder))
		watch_note_all(w, s);
	if (e->mask & (IN_IGNORED | IN_MOVE_SELF) && folder == ROOT) {
		s->refresh = true;
		return 0;
	}
	if (e->mask & IN_IGNORED) {
		drop_folder(s->tree, folder);
		return 0;
	}
	if (e->mask & IN_MOVE_SELF) {
		r = is_in_place(s->tree, folder);
		if (r == 0)
			drop_folder(s->tree, folder);
		return r < 0 ? r : 0;
	}
	if (e->mask & (IN_DELETE_SELF | IN_UNMOUNT))
		return 0; /* IN_IGNORED follows */
	return take_named(w, s, folder, e);
}

static int take_event(struct watch *w, struct watched *s, const struct inotify_event *e)
{
	struct inotify_tree *t = s->tree;
	uint32_t folder;

	if (e->mask & IN_Q_OVERFLOW) {
		watch_note_overflow(w, s);
		s->refresh = true; /* folders may have come that nobody watches */
		return 0;
	}
	for (size_t i = 0; i < t->n_above; i++) {
		if (t->above[i].wd == e->wd) {
			take_above(w, s, &t->above[i], e);
			return 0;
		}
	}
	folder = find_folder(t, e->wd);
	return folder == NONE ? 0 : take_folder(w, s, folder, e);
}

static int take_events(struct watch *w, struct watched *s, size_t n)
{
	const uint8_t *at = w->events, *end = at + n;
	int r = 0;

	while (r == 0 && !s->refresh && end - at >= (ptrdiff_t)sizeof(struct inotify_event)) {
		const struct inotify_event *e = (const struct inotify_event *)at;

		if (e->len > (size_t)(end - at) - sizeof(*e))
			return -EBADMSG;
		r = take_event(w, s, e);
		at += sizeof(*e) + e->len;
	}
	return r;
}

void inotify_tree_read(struct watch *w, struct watched *s)
{
	struct inotify_tree *t = s->tree;
	int r = 0;

	if (t->n_used > 0 && t->folders[ROOT].name) {
		t->root_fd = open(s->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (t->root_fd < 0)
			s->refresh = true;
	}
	for (unsigned int i = 0; i < WATCH_READS_MAX && r == 0 && !s->refresh; i++) {
		ssize_t n = read(t->fd, w->events, WATCH_EVENT_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		r = take_events(w, s, (size_t)n);
	}
	/* Set up anew, which says why if that fails. */
	if (r < 0) {
		log_debug("watch: %s: %s", s->path, strerror(-r));
		s->refresh = true;
	}
	if (t->root_fd >= 0)
		(void)close(t->root_fd);
	t->root_fd = -1;
	lock_take(&w->lock);
	s->state.watches = inotify_tree_watches(t);
	lock_drop(&w->lock);
}
