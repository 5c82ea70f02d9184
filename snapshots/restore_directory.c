/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

int restore_dir_new(struct restore_dir *parent, int fd, const struct tree_entry *entry,
		    struct restore_dir **ret_dir)
{
	const size_t name_n = entry ? entry->name_n : 0;
	const size_t xattrs_n = entry ? entry->xattrs_n : 0;
	struct restore_dir *dir;

	dir = calloc(1, sizeof(*dir) + name_n + 1 + xattrs_n);
	if (!dir)
		return -ENOMEM;
	dir->fd = fd;
	dir->parent = parent;
	if (parent) {
		restore_dir_ref(parent);
		atomic_fetch_add(&parent->pending, 1);
	}
	atomic_init(&dir->refs, 1);
	atomic_init(&dir->pending, 1);
	dir->bare = !entry;
	if (entry) {
		dir->entry = *entry;
		if (name_n > 0)
			memcpy(dir->data, entry->name, name_n);
		if (xattrs_n > 0)
			memcpy(dir->data + name_n + 1, entry->xattrs, xattrs_n);
	}
	dir->entry.name = dir->data;
	dir->entry.xattrs = (const uint8_t *)dir->data + name_n + 1;
	*ret_dir = dir;
	return 0;
}

void restore_dir_ref(struct restore_dir *dir)
{
	atomic_fetch_add(&dir->refs, 1);
}

void restore_dir_unref(struct restore_dir *dir)
{
	while (dir && atomic_fetch_sub(&dir->refs, 1) == 1) {
		struct restore_dir *parent = dir->parent;

		if (dir->fd >= 0)
			(void)close(dir->fd);
		free(dir);
		dir = parent;
	}
}

/* Give ourselves the rights on our own directory that we need inside; not needed by root. */
static int loosen_by_name(int dirfd, const char *name)
{
	CLEANUP(close_fd_ptr) int fd = openat(dirfd, name, DIR_FLAGS | O_PATH);
	char path[40];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid())
		return -EACCES;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, (st.st_mode & 07777) | 0700) < 0 ? -errno : 0;
}

int restore_dir_inspect(struct restore *run, struct restore_dir *dir)
{
	struct stat st;

	if (fstat(dir->fd, &st) < 0)
		return -errno;
	dir->dev = st.st_dev;
	dir->ino = st.st_ino;
	/* Somebody swapped what we had just made: it is no longer ours to trust. */
	if (dir->made && st.st_uid != geteuid())
		dir->made = false;
	if (!dir->loosened)
		dir->found_mode = st.st_mode & 07777;
	if (!run->privileged && !run->options->dry_run && st.st_uid == geteuid() &&
	    (st.st_mode & 0700) != 0700 && fchmod(dir->fd, (st.st_mode & 07777) | 0700) == 0)
		dir->loosened = true;
	dir->default_acl = fgetxattr(dir->fd, ACL_DEFAULT, NULL, 0) > 0;
	if (dir->default_acl && dir->made) {
		/* Inherited; its own come when it is finished. */
		(void)fremovexattr(dir->fd, ACL_DEFAULT);
		(void)fremovexattr(dir->fd, ACL_ACCESS);
		dir->default_acl = false;
	}
	return 0;
}

/* Something that is no directory has the name: it makes way, never followed. */
static int remove_obstacle(struct restore_thread *t, struct restore_dir *parent, const char *name)
{
	if (t->run->options->dry_run) {
		restore_plan(t->run, parent, name, "delete");
		return 0;
	}
	return unlinkat(parent->fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int make(struct restore_thread *t, struct restore_dir *parent, struct restore_dir *dir)
{
	if (t->run->options->dry_run) {
		restore_plan(t->run, parent, dir->entry.name, "mkdir");
		dir->made = true;
		return 0;
	}
	if (mkdirat(parent->fd, dir->entry.name, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	dir->made = true;
	return 0;
}

/* One step towards an open directory. 1: it is open (or planned); 0: look again. */
static int open_step(struct restore_thread *t, struct restore_dir *parent, struct restore_dir *dir)
{
	int r;

	dir->fd = openat(parent->fd, dir->entry.name, DIR_FLAGS);
	if (dir->fd >= 0)
		return 1;
	switch (errno) {
	case ENOENT:
		break;
	case ENOTDIR:
	case ELOOP:
		r = remove_obstacle(t, parent, dir->entry.name);
		if (r < 0)
			return r;
		break;
	case EACCES:
		if (t->run->privileged || t->run->options->dry_run)
			return -EACCES;
		dir->loosened = true;
		return loosen_by_name(parent->fd, dir->entry.name);
	default:
		return -errno;
	}
	r = make(t, parent, dir);
	if (r < 0)
		return r;
	return t->run->options->dry_run ? 1 : 0;
}

static int open_or_make(struct restore_thread *t, struct restore_dir *parent,
			struct restore_dir *dir)
{
	int r;

	if (parent->fd < 0) {
		assert(t->run->options->dry_run);
		return make(t, parent, dir);
	}
	if (parent->made && !t->run->options->dry_run) {
		r = make(t, parent, dir);
		if (r < 0)
			return r;
	}
	/* Somebody may be changing the place under us: a few tries, then it is their doing. */
	for (int i = 0; i < 4; i++) {
		r = open_step(t, parent, dir);
		if (r != 0)
			break;
	}
	if (r <= 0)
		return r < 0 ? r : -ESTALE;
	return dir->fd < 0 ? 0 : restore_dir_inspect(t->run, dir);
}

int restore_dir_enter(struct restore_thread *t, struct restore_dir *parent,
		      const struct tree_entry *entry, struct restore_dir **ret_dir)
{
	CLEANUP(restore_dir_unref_ptr) struct restore_dir *dir = NULL;
	bool ours;
	int r;

	assert(name_valid(entry->name, entry->name_n));
	r = restore_dir_new(parent, -1, entry, &dir);
	if (r < 0)
		return r;
	r = open_or_make(t, parent, dir);
	if (r < 0) {
		/* The caller still holds the parent, so this cannot be its last. */
		atomic_fetch_sub(&parent->pending, 1);
		return r;
	}
	/*
	 * A mount inside what is restored is not the snapshot's to empty, unless
	 * it is what was protected; nor is the way to a source, whose other
	 * children the snapshot never saw.
	 */
	ours = parent->bare || (parent->entry.flags & ENTRY_PLACEHOLDER);
	dir->may_delete = t->run->options->delete_extra && dir->fd >= 0 &&
			  !(entry->flags & (ENTRY_PLACEHOLDER | ENTRY_UNREADABLE)) &&
			  (ours || !restore_is_mount(dir->fd));
	*ret_dir = STEAL(dir);
	return 0;
}

static void set_attributes(struct restore_thread *t, struct restore_dir *dir)
{
	const bool restored = !dir->bare && (dir->made || !(dir->entry.flags & ENTRY_PLACEHOLDER));
	struct restore_handle h = { .fd = dir->fd, .dir = dir, .name = "" };
	struct stat now;

	if (dir->fd < 0 || restore_stopped(t->run) < 0)
		return;
	if (!restored) {
		if (dir->loosened)
			(void)fchmod(dir->fd, dir->found_mode);
		return;
	}
	if (fstat(dir->fd, &now) < 0) {
		restore_error(t->run, dir, NULL, "the directory is gone", -errno);
		return;
	}
	restore_attributes(t, &h, &dir->entry, &now, dir->made);
}

void restore_dir_finish(struct restore_thread *t, struct restore_dir *dir)
{
	while (dir && atomic_fetch_sub(&dir->pending, 1) == 1) {
		struct restore_dir *parent = dir->parent;

		if (!t->run->options->dry_run)
			set_attributes(t, dir);
		if (!dir->bare) {
			atomic_fetch_add(&t->run->directories, 1);
			restore_progress_add(t->run, 1, 0);
		}
		if (dir->fd >= 0)
			(void)close(dir->fd);
		dir->fd = -1;
		/* Unreferencing may free it, but not its parent, which our pending holds. */
		restore_dir_unref(dir);
		dir = parent;
	}
}

void restore_dir_suspend(struct restore_dir *dir)
{
	/* Only the walker adds items, and only the walker calls this: none stays none. */
	if (atomic_load(&dir->n_items) > 0 || dir->fd < 0 || !dir->parent)
		return;
	(void)close(dir->fd);
	dir->fd = -1;
}

int restore_dir_resume(struct restore *run, struct restore_dir *dir,
		       const struct restore_dir *child)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	struct stat st;

	if (dir->fd >= 0 || dir->ino == 0)
		return 0;
	if (child->fd >= 0) {
		fd = openat(child->fd, "..", DIR_FLAGS);
	} else {
		/* A dry run is below what exists. */
		CLEANUP(close_fd_ptr) int located = restore_dir_locate(run, dir);

		if (located < 0)
			return located;
		fd = openat(located, ".", DIR_FLAGS);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != dir->dev || st.st_ino != dir->ino)
		return -ESTALE;
	dir->fd = STEAL_FD(fd);
	return 0;
}

/* Directories from below the target down to `dir`; NULL on no memory or when it is the target. */
static const struct restore_dir **chain_of(const struct restore_dir *dir, size_t *ret_n)
{
	const struct restore_dir **chain;
	size_t n = 0;

	for (const struct restore_dir *d = dir; d->parent; d = d->parent)
		n++;
	*ret_n = n;
	chain = calloc(n + 1, sizeof(const struct restore_dir *));
	if (!chain)
		return NULL;
	for (const struct restore_dir *d = dir; d->parent; d = d->parent)
		chain[--n] = d;
	return chain;
}

int restore_dir_locate(struct restore *run, const struct restore_dir *dir)
{
	CLEANUP(close_fd_ptr) int at = -1;
	CLEANUP(free_ptr) const struct restore_dir **chain = NULL;
	size_t n;

	chain = chain_of(dir, &n);
	if (!chain)
		return -ENOMEM;
	at = openat(run->target_fd, ".", DIR_FLAGS | O_PATH);
	for (size_t i = 0; i < n && at >= 0; i++) {
		const int next = openat(at, chain[i]->entry.name, DIR_FLAGS | O_PATH);

		if (next < 0)
			return -errno;
		(void)close(at);
		at = next;
	}
	return at < 0 ? -errno : STEAL_FD(at);
}

char *restore_dir_path(const struct restore *run, const struct restore_dir *dir, const char *name)
{
	struct byte_buf path = { 0 };
	CLEANUP(free_ptr) const struct restore_dir **chain = NULL;
	size_t n = 0;

	chain = chain_of(dir, &n);
	if (!chain)
		return NULL;
	byte_buf_append(&path, run->options->target, strlen(run->options->target));
	while (path.n > 0 && path.data[path.n - 1] == '/')
		path.n--;
	for (size_t i = 0; i < n; i++) {
		byte_buf_u8(&path, '/');
		byte_buf_append(&path, chain[i]->entry.name, chain[i]->entry.name_n);
	}
	if (name && *name) {
		byte_buf_u8(&path, '/');
		byte_buf_append(&path, name, strlen(name));
	}
	if (path.n == 0)
		byte_buf_u8(&path, '/');
	byte_buf_u8(&path, 0);
	if (path.failed)
		byte_buf_done(&path);
	return (char *)path.data;
}
