/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A directory on the way down to what is being removed. */
struct remove_frame {
	dev_t dev;
	ino_t ino;
	char name[NAME_BYTES_MAX + 1]; /* in its parent */
};

struct remover {
	int fd; /* the directory being emptied */
	struct remove_frame *frames;
	size_t n;
	size_t room;
};

static void remover_done(struct remover *m)
{
	if (m->fd >= 0)
		(void)close(m->fd);
	free(m->frames);
}

bool restore_is_mount(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_INO, &stx) < 0 ||
	    !(stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return true;
	return stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* A listing with a position of its own. */
static int list(int fd, DIR **ret_dir)
{
	int own = openat(fd, ".", DIR_FLAGS);

	if (own < 0)
		return -errno;
	*ret_dir = fdopendir(own);
	if (*ret_dir)
		return 0;
	(void)close(own);
	return -ENOMEM;
}

/* 1 and the next name, 0 at the end, -errno. */
static int next_name(DIR *d, const struct dirent **ret_entry)
{
	for (;;) {
		errno = 0;
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): opened by the caller */
		*ret_entry = readdir(d);
		if (!*ret_entry)
			return -errno;
		if (strcmp((*ret_entry)->d_name, ".") != 0 &&
		    strcmp((*ret_entry)->d_name, "..") != 0)
			return 1;
	}
}

static int grow(struct remover *m)
{
	const size_t room = m->room ? m->room * 2 : 16;
	struct remove_frame *frames;

	if (m->n < m->room)
		return 0;
	if (m->n >= TREE_DEPTH_MAX)
		return -ELOOP;
	frames = reallocarray(m->frames, room, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	m->frames = frames;
	m->room = room;
	return 0;
}

static int descend(struct remover *m, int from, const char *name)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	struct stat st;
	size_t name_n = strlen(name);
	int r = grow(m);

	if (r < 0)
		return r;
	if (name_n > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	fd = openat(from, name, DIR_FLAGS);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (restore_is_mount(fd))
		return -EXDEV;
	m->frames[m->n] = (struct remove_frame){ .dev = st.st_dev, .ino = st.st_ino };
	memcpy(m->frames[m->n].name, name, name_n + 1);
	m->n++;
	if (m->fd >= 0)
		(void)close(m->fd);
	m->fd = STEAL_FD(fd);
	return 0;
}

/* Remove names until a directory with something in it is met: 1, and we are in it. 0: it is empty.
 */
static int empty_some(struct remover *m)
{
	CLEANUP(close_dir_ptr) DIR *d = NULL;
	const struct dirent *e;
	int r = list(m->fd, &d);

	if (r < 0)
		return r;
	for (;;) {
		r = next_name(d, &e);
		if (r <= 0)
			return r;
		if (unlinkat(m->fd, e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
		if (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
			return -EPERM;
		if (unlinkat(m->fd, e->d_name, AT_REMOVEDIR) == 0)
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
		r = descend(m, m->fd, e->d_name);
		return r < 0 ? r : 1;
	}
}

/* The directory is empty: go up and remove it. Its parent must still be where we came from. */
static int ascend(struct remover *m)
{
	const struct remove_frame *parent = &m->frames[m->n - 2];
	CLEANUP(close_fd_ptr) int fd = openat(m->fd, "..", DIR_FLAGS);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != parent->dev || st.st_ino != parent->ino)
		return -ESTALE;
	if (unlinkat(fd, m->frames[m->n - 1].name, AT_REMOVEDIR) < 0)
		return -errno;
	(void)close(m->fd);
	m->fd = STEAL_FD(fd);
	m->n--;
	return 0;
}

int restore_remove(int dirfd, const char *name)
{
	CLEANUP(remover_done) struct remover m = { .fd = -1 };
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	r = descend(&m, dirfd, name);
	while (r >= 0) {
		/* The first failure ends it, so that what cannot be removed is not met again. */
		r = empty_some(&m);
		if (r == 0 && m.n == 1)
			break;
		if (r == 0)
			r = ascend(&m);
	}
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Strictly what restore_temporary() makes. */
static bool is_temporary(const char *name)
{
	assert(name);
	if (strncmp(name, ".yore-", 6) != 0 || strlen(name) != TEMPORARY_BYTES - 2)
		return false;
	return strspn(name + 6, "0123456789abcdef") == 16;
}

static void remove_leftover(struct restore_dir *dir, const char *name)
{
	struct stat st;

	/* Directories are never ours. */
	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
		(void)unlinkat(dir->fd, name, 0);
}

static void remove_extra(struct restore_thread *t, struct restore_dir *dir, const char *name)
{
	int r;

	if (t->run->options->dry_run) {
		restore_plan(t->run, dir, name, "delete");
		atomic_fetch_add(&t->run->deleted, 1);
		return;
	}
	r = restore_remove(dir->fd, name);
	if (r < 0)
		restore_error(
			t->run, dir, name,
			r == -EXDEV ? "a mount is in it: not deleted" : "could not be deleted", r);
	else
		atomic_fetch_add(&t->run->deleted, 1);
}

int restore_clean(struct restore_thread *t, struct restore_dir *dir, struct tree_reader *lookup)
{
	CLEANUP(close_dir_ptr) DIR *d = NULL;
	const bool may_delete = dir->may_delete && lookup;
	struct tree_entry entry;
	const struct dirent *e;
	int r = list(dir->fd, &d);

	if (r < 0)
		return r;
	for (;;) {
		r = next_name(d, &e);
		if (r == 1)
			r = restore_stopped(t->run) < 0 ? restore_stopped(t->run) : 1;
		if (r <= 0)
			return r;
		if (is_temporary(e->d_name)) {
			if (!t->run->options->dry_run)
				remove_leftover(dir, e->d_name);
			continue;
		}
		/* Only a certain absence is one: a damaged tree deletes nothing. */
		if (may_delete && tree_reader_find(lookup, e->d_name, (uint32_t)strlen(e->d_name),
						   &entry, NULL) == -ENOENT)
			remove_extra(t, dir, e->d_name);
	}
}
