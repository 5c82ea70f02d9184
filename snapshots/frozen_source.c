/* SPDX-License-Identifier: MIT */
#include "snapshots/frozen_source.h"

#include "snapshots/live_parts.h"
#include "snapshots/timeline.h"
#include "store/base/log.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define TOP_INO 256u /* of every subvolume (BTRFS_FIRST_FREE_OBJECTID) */

/*
 * Who uses a snapshot holds a flock on its top folder, which the kernel drops
 * with him: one that can be locked is stale. The flock on FROZEN_FOLDER is held
 * while one is made and locked, or removed.
 */
struct frozen_source {
	char *path;    /* of the source in the snapshot */
	char *top;     /* of the subvolume */
	char name[64]; /* of the snapshot in the folder */
	int folder;    /* FROZEN_FOLDER */
	int use;       /* the snapshot's top, locked; -1: there is none */
	int64_t ns;
};

static int refuse(int r, const char **ret_why, const char *why)
{
	*ret_why = why;
	return r;
}

/* ---- where ---- */

/* The subvolume's top: the nearest folder above with its number. The caller frees *ret_top. */
static int find_top(const char *path, dev_t device, char **ret_top)
{
	CLEANUP(free_ptr) char *at = strdup(path);
	struct stat st;

	if (!at)
		return -ENOMEM;
	for (;;) {
		char *slash = strrchr(at, '/');

		if (lstat(at, &st) < 0)
			return -errno;
		if (st.st_dev != device)
			return -EXDEV;
		if (S_ISDIR(st.st_mode) && st.st_ino == TOP_INO)
			break;
		if (at[1] == '\0')
			return -EXDEV;
		assert(slash);
		slash[slash == at] = '\0';
	}
	*ret_top = STEAL(at);
	return 0;
}

/* Is there something to be frozen, and who may do it? */
static int find_place(const char *path, char **ret_top, const char **ret_why)
{
	struct statfs fs;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0 || statfs(path, &fs) < 0)
		return refuse(-errno, ret_why, "it cannot be looked at");
	if (fs.f_type != BTRFS_SUPER_MAGIC)
		return refuse(-EOPNOTSUPP, ret_why, "it is not on btrfs");
	if (geteuid() != 0)
		return refuse(-EPERM, ret_why, "only root may make and remove subvolume snapshots");
	r = live_parts_over_files(path);
	if (r != 0)
		return refuse(r < 0 ? r : -EOPNOTSUPP, ret_why,
			      "something is mounted over a file in it");
	r = find_top(path, st.st_dev, ret_top);
	return r < 0 ? refuse(r, ret_why, "the top of its subvolume cannot be reached by this path")
		     : 0;
}

/* Make FROZEN_FOLDER, or open it; the folder above keeps its times. */
static int open_folder(const char *top)
{
	CLEANUP(close_fd_ptr) int at = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_fd_ptr) int folder = -1;
	struct stat before, st;

	if (at < 0 || fstat(at, &before) < 0)
		return -errno;
	if (mkdirat(at, FROZEN_FOLDER, FROZEN_FOLDER_MODE) == 0) {
		const struct timespec times[2] = { before.st_atim, before.st_mtim };

		(void)futimens(at, times);
	} else if (errno != EEXIST) {
		return -errno;
	}
	folder = openat(at, FROZEN_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0 || fstat(folder, &st) < 0)
		return -errno;
	if (st.st_uid != 0 || (st.st_mode & 07777) != FROZEN_FOLDER_MODE ||
	    st.st_dev != before.st_dev)
		return -EEXIST; /* somebody else's: what lies there is no business of ours */
	return STEAL_FD(folder);
}

/* ---- making and removing, with the folder locked ---- */

static int destroy(int folder, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	if (strlen(name) >= sizeof(args.name))
		return -ENAMETOOLONG;
	memcpy(args.name, name, strlen(name) + 1);
	return ioctl(folder, BTRFS_IOC_SNAP_DESTROY, &args) < 0 ? -errno : 0;
}

static bool is_stale(int folder, const char *name)
{
	CLEANUP(close_fd_ptr)
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == TOP_INO &&
	       flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void remove_stale(int folder, const char *top)
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;

	if (!d) {
		if (again >= 0)
			(void)close(again);
		return;
	}
	while ((entry = readdir(d))) {
		int r;

		if (entry->d_name[0] == '.' || !is_stale(folder, entry->d_name))
			continue;
		r = destroy(folder, entry->d_name);
		if (r < 0)
			log_errno(r,
				  "%s/" FROZEN_FOLDER "/%s: a snapshot left behind cannot be "
				  "removed",
				  top, entry->d_name);
		else
			log_info("%s/" FROZEN_FOLDER "/%s: removed a snapshot left behind", top,
				 entry->d_name);
	}
	(void)closedir(d);
}

static int make(struct frozen_source *f)
{
	CLEANUP(close_fd_ptr) int top = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_ioctl_vol_args_v2 args = { .fd = top, .flags = BTRFS_SUBVOL_RDONLY };

	if (top < 0)
		return -errno;
	f->ns = clock_now_ns();
	(void)snprintf(f->name, sizeof(f->name), "%ld-%" PRId64, (long)getpid(), f->ns);
	memcpy(args.name, f->name, strlen(f->name) + 1);
	if (ioctl(f->folder, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0)
		return -errno;
	f->use = openat(f->folder, f->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->use < 0 || flock(f->use, LOCK_EX | LOCK_NB) < 0) {
		int r = -errno;

		(void)destroy(f->folder, f->name);
		return r;
	}
	return 0;
}

static int make_locked(struct frozen_source *f)
{
	int r;

	if (flock(f->folder, LOCK_EX) < 0)
		return -errno;
	remove_stale(f->folder, f->top);
	r = make(f);
	(void)flock(f->folder, LOCK_UN);
	return r;
}

int frozen_source_make(const char *path, struct frozen_source **ret_frozen, const char **ret_why)
{
	CLEANUP(frozen_source_free_ptr) struct frozen_source *f = calloc(1, sizeof(*f));
	const char *below;
	int r;

	*ret_why = "";
	if (!f)
		return -ENOMEM;
	f->folder = f->use = -1;
	r = find_place(path, &f->top, ret_why);
	if (r < 0)
		return r;
	assert(f->top);
	below = path + (f->top[1] ? strlen(f->top) : 0);
	f->folder = open_folder(f->top);
	if (f->folder == -EEXIST)
		return refuse(-EEXIST, ret_why, "its " FROZEN_FOLDER " is not yore's");
	if (f->folder < 0)
		return refuse(f->folder, ret_why, "its " FROZEN_FOLDER " cannot be made");
	r = make_locked(f);
	if (r < 0)
		return refuse(r, ret_why, "btrfs made no snapshot of it");
	if (asprintf(&f->path, "%s%s" FROZEN_FOLDER "/%s%s", f->top, f->top[1] ? "/" : "", f->name,
		     below) < 0) {
		f->path = NULL;
		return -ENOMEM;
	}
	if (f->path[strlen(f->path) - 1] == '/')
		f->path[strlen(f->path) - 1] = '\0';
	*ret_frozen = STEAL(f);
	return 0;
}

const char *frozen_source_path(const struct frozen_source *f)
{
	return f->path;
}

int64_t frozen_source_ns(const struct frozen_source *f)
{
	return f->ns;
}

void frozen_source_free(struct frozen_source *f)
{
	if (!f)
		return;
	if (f->use >= 0) {
		int r;

		(void)flock(f->folder, LOCK_EX);
		(void)close(f->use);
		r = destroy(f->folder, f->name);
		if (r < 0)
			log_errno(r, "%s/" FROZEN_FOLDER "/%s: the snapshot cannot be removed",
				  f->top, f->name);
	}
	if (f->folder >= 0)
		(void)close(f->folder);
	free(f->path);
	free(f->top);
	free(f);
}
