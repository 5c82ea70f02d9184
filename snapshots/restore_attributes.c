/* SPDX-License-Identifier: MIT */
#include "snapshots/restore_internal.h"

#include "snapshots/xattr_set.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Flags that a user chose; the others describe how the file system stores the object. */
#define FLAGS_KEPT                                                                  \
	(FS_COMPR_FL | FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | \
	 FS_NOATIME_FL | FS_DIRSYNC_FL | FS_NOCOW_FL)
#define FLAGS_LATER (FS_IMMUTABLE_FL | FS_APPEND_FL)
#define PROC_PATH_BYTES 40

struct timespec restore_timespec(struct node_time time)
{
	return (struct timespec){ .tv_sec = (time_t)time.seconds, .tv_nsec = time.nanoseconds };
}

/* /proc/self/fd/N stands for the object itself, even if that is a symlink. */
static void proc_path(int fd, char to[static PROC_PATH_BYTES])
{
	(void)snprintf(to, PROC_PATH_BYTES, "/proc/self/fd/%d", fd);
}

static int set_xattr(const struct restore_handle *h, const char *name, const void *value, size_t n)
{
	char path[PROC_PATH_BYTES];

	if (!h->located)
		return fsetxattr(h->fd, name, value, n, 0) < 0 ? -errno : 0;
	proc_path(h->fd, path);
	return setxattr(path, name, value, n, 0) < 0 ? -errno : 0;
}

static int remove_xattr(const struct restore_handle *h, const char *name)
{
	char path[PROC_PATH_BYTES];

	if (!h->located)
		return fremovexattr(h->fd, name) < 0 ? -errno : 0;
	proc_path(h->fd, path);
	return removexattr(path, name) < 0 ? -errno : 0;
}

static int set_all_xattrs(struct restore_thread *t, const struct restore_handle *h,
			  const uint8_t *set, size_t n)
{
	size_t position = 0, value_n;
	const uint8_t *value;
	const char *name;
	int shortfalls = 0;
	int r;

	for (;;) {
		r = xattr_set_next(set, n, &position, &name, &value, &value_n);
		if (r == 0)
			return shortfalls;
		if (r < 0) {
			restore_shortfall(t->run, h->dir, h->name, "malformed attributes", r);
			return shortfalls + 1;
		}
		r = set_xattr(h, name, value, value_n);
		if (r < 0) {
			restore_shortfall(t->run, h->dir, h->name, name, r);
			shortfalls++;
		}
	}
}

/* Labels that the system gives by itself stay when the snapshot has none. */
static bool system_label(const char *name)
{
	return strncmp(name, "security.", 9) == 0 && strcmp(name, "security.capability") != 0;
}

/* Remove from an object that was there what the set does not have. */
static void remove_other_xattrs(const struct restore_handle *h, const struct byte_buf *present,
				const uint8_t *set, size_t n)
{
	size_t position = 0, value_n;
	const uint8_t *value;
	const char *name;

	while (xattr_set_next(present->data, present->n, &position, &name, &value, &value_n) == 1) {
		if (system_label(name) || xattr_set_find(set, n, name, &value, &value_n) != -ENOENT)
			continue;
		(void)remove_xattr(h, name);
	}
}

/* Number of shortfalls. */
static int sync_xattrs(struct restore_thread *t, const struct restore_handle *h, const uint8_t *set,
		       size_t n, bool fresh)
{
	char path[PROC_PATH_BYTES];

	if (fresh)
		return n > 0 ? set_all_xattrs(t, h, set, n) : 0;
	byte_buf_clear(&t->xattrs);
	proc_path(h->fd, path);
	if (xattr_set_read(h->located ? -1 : h->fd, path, true, &t->xattrs) >= 0) {
		if (t->xattrs.n == n && (n == 0 || memcmp(t->xattrs.data, set, n) == 0))
			return 0;
		remove_other_xattrs(h, &t->xattrs, set, n);
	}
	return set_all_xattrs(t, h, set, n);
}

static int restore_xattrs(struct restore_thread *t, const struct restore_handle *h,
			  const struct tree_entry *entry, bool fresh)
{
	struct chunk_pin pin = { 0 };
	struct chunk_id id;
	int r;

	if (!(entry->flags & ENTRY_XATTRS_CHUNK))
		return sync_xattrs(t, h, entry->xattrs, entry->xattrs_n, fresh);
	r = entry->xattrs_n == sizeof(id.bytes) ? 0 : -EUCLEAN;
	if (r == 0) {
		memcpy(id.bytes, entry->xattrs, sizeof(id.bytes));
		r = chunk_cache_get(t->run->cache, &id, OBJECT_DATA, &pin);
	}
	if (r < 0) {
		restore_shortfall(t->run, h->dir, h->name, "attributes are damaged", r);
		return 1;
	}
	r = sync_xattrs(t, h, pin.data, pin.n, fresh);
	chunk_cache_unpin(t->run->cache, &pin);
	return r;
}

/* 0, 1 when it changed something (which clears suid bits and capabilities), -errno. */
static int restore_owner(struct restore_thread *t, const struct restore_handle *h,
			 const struct tree_entry *entry, struct stat *now)
{
	int r;

	if (t->run->options->no_ownership ||
	    (now->st_uid == entry->uid && now->st_gid == entry->gid))
		return 0;
	if (fchownat(h->fd, "", entry->uid, entry->gid, AT_EMPTY_PATH) == 0) {
		now->st_uid = entry->uid;
		now->st_gid = entry->gid;
		return 1;
	}
	r = -errno;
	/* A user may still give a file to a group of theirs. */
	if (now->st_gid != entry->gid &&
	    fchownat(h->fd, "", (uid_t)-1, entry->gid, AT_EMPTY_PATH) == 0) {
		now->st_gid = entry->gid;
		if (now->st_uid == entry->uid)
			return 1;
	}
	return r;
}

static int restore_mode(struct restore_thread *t, const struct restore_handle *h,
			const struct tree_entry *entry, const struct stat *now, bool changed)
{
	mode_t mode = entry->mode & 07777;
	char path[PROC_PATH_BYTES];
	int r;

	if (S_ISLNK(entry->mode))
		return 0;
	/* A set-id bit means its owner: with another one it would be a hole. */
	if (now->st_uid != entry->uid)
		mode &= ~(mode_t)S_ISUID;
	if (now->st_gid != entry->gid && !S_ISDIR(entry->mode))
		mode &= ~(mode_t)S_ISGID;
	if (!changed && (now->st_mode & 07777) == mode)
		return 0;
	proc_path(h->fd, path);
	r = h->located ? chmod(path, mode) : fchmod(h->fd, mode);
	if (r == 0)
		return 0;
	r = -errno;
	restore_shortfall(t->run, h->dir, h->name, "its mode could not be set", r);
	return 1;
}

static int put_off(struct restore *run, const struct restore_handle *h, uint32_t flags)
{
	const size_t name_n = strlen(h->name) + 1;
	struct restore_later *later = malloc(sizeof(*later) + name_n);

	if (!later)
		return -ENOMEM;
	later->dir = h->dir;
	restore_dir_ref(h->dir);
	later->flags = flags;
	memcpy(later->name, h->name, name_n);
	LOCK_SCOPE(&run->lock);
	later->next = run->later;
	run->later = later;
	return 0;
}

static int change_flags(int fd, uint32_t mask, uint32_t wanted)
{
	unsigned int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	if ((flags & mask) == wanted)
		return 0;
	flags = (flags & ~mask) | wanted;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

static int restore_flags(struct restore_thread *t, const struct restore_handle *h,
			 const struct tree_entry *entry)
{
	const uint32_t wanted = entry->attribute_flags & FLAGS_KEPT;
	int r = 0;

	if (wanted == 0 || h->located)
		return 0;
	if (wanted & ~(uint32_t)FLAGS_LATER)
		r = change_flags(h->fd, FLAGS_KEPT & ~FLAGS_LATER, wanted & ~(uint32_t)FLAGS_LATER);
	if (r == 0 && (wanted & FLAGS_LATER))
		r = put_off(t->run, h, wanted & FLAGS_LATER);
	if (r == 0)
		return 0;
	restore_shortfall(t->run, h->dir, h->name, "its file flags could not be set", r);
	return 1;
}

static int restore_times(struct restore_thread *t, const struct restore_handle *h,
			 const struct tree_entry *entry)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   restore_timespec(entry->mtime) };
	char path[PROC_PATH_BYTES];
	int r;

	proc_path(h->fd, path);
	r = h->located ? utimensat(AT_FDCWD, path, times, 0) : futimens(h->fd, times);
	if (r == 0)
		return 0;
	r = -errno;
	restore_shortfall(t->run, h->dir, h->name, "its time could not be set", r);
	return 1;
}

void restore_attributes(struct restore_thread *t, const struct restore_handle *h,
			const struct tree_entry *entry, const struct stat *now, bool fresh)
{
	struct stat state = *now;
	int shortfalls = 0;
	int r;

	r = restore_owner(t, h, entry, &state);
	if (r < 0) {
		restore_shortfall(t->run, h->dir, h->name, "its owner could not be set", r);
		shortfalls++;
	}
	/* After the owner: a change of it drops capabilities. Before the mode: it may forbid us. */
	shortfalls += restore_xattrs(t, h, entry, fresh);
	shortfalls += restore_mode(t, h, entry, &state, r != 0);
	shortfalls += restore_flags(t, h, entry);
	if (fresh || S_ISDIR(entry->mode) || now->st_mtim.tv_sec != entry->mtime.seconds ||
	    now->st_mtim.tv_nsec != (long)entry->mtime.nanoseconds)
		shortfalls += restore_times(t, h, entry);
	if (shortfalls > 0)
		atomic_fetch_add(&t->run->incomplete, 1);
}

static int set_later(struct restore *run, const struct restore_later *later)
{
	CLEANUP(close_fd_ptr) int dirfd = restore_dir_locate(run, later->dir);
	CLEANUP(close_fd_ptr) int fd = -1;

	if (dirfd < 0)
		return dirfd;
	fd = openat(dirfd, *later->name ? later->name : ".",
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return change_flags(fd, FLAGS_LATER, later->flags);
}

void restore_attributes_later(struct restore *run)
{
	for (const struct restore_later *later = run->later; later; later = later->next) {
		const int r = set_later(run, later);

		if (r == 0)
			continue;
		restore_shortfall(run, later->dir, later->name, "its file flags could not be set",
				  r);
		atomic_fetch_add(&run->incomplete, 1);
	}
}

void restore_later_free(struct restore *run)
{
	while (run->later) {
		struct restore_later *next = run->later->next;

		restore_dir_unref(run->later->dir);
		free(run->later);
		run->later = next;
	}
}
