/* SPDX-License-Identifier: MIT */
#include "snapshots/live_parts.h"

#include "snapshots/mount_kind.h"
#include "snapshots/source_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

/* What a subvolume shows as within a snapshot of the one around it (BTRFS_EMPTY_SUBVOL_DIR). */
#define EMPTY_SUBVOLUME_INO 2u

struct live_parts {
	int fd;        /* the source, where it lies */
	dev_t frozen;  /* device of the frozen copy */
	char **mounts; /* below the source, relative to it */
	size_t n_mounts, room;
	atomic_bool entered;
};

/* Visit each mount point below a path; mounts of ours aside. A non-zero answer ends it. */
static int each_mount(const char *path, int (*visit)(void *context, const char *at), void *context)
{
	CLEANUP(mount_table_done) struct mount_table mounts = { 0 };
	int r = mount_table_load(&mounts);

	for (size_t i = 0; r == 0 && i < mounts.n; i++) {
		const struct mount_row *row = &mounts.rows[i];

		if (!mount_kind_is_own(row) && source_path_within(row->point, path) &&
		    strcmp(row->point, path) != 0)
			r = visit(context, row->point);
	}
	return r;
}

static int add_mount(void *context, const char *at)
{
	struct live_parts *l = context;

	if (l->n_mounts == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		char **grown = reallocarray(l->mounts, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->mounts = grown;
		l->room = room;
	}
	l->mounts[l->n_mounts] = strdup(at);
	return l->mounts[l->n_mounts++] ? 0 : -ENOMEM;
}

int live_parts_open(const char *path, const char *read_path, struct live_parts **ret_parts)
{
	CLEANUP(live_parts_free_ptr) struct live_parts *l = calloc(1, sizeof(*l));
	size_t skip = path[1] ? strlen(path) + 1 : 1;
	struct stat st;
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0 || lstat(read_path, &st) < 0)
		return -errno;
	l->frozen = st.st_dev;
	r = each_mount(path, add_mount, l);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n_mounts; i++)
		memmove(l->mounts[i], l->mounts[i] + skip, strlen(l->mounts[i] + skip) + 1);
	*ret_parts = STEAL(l);
	return 0;
}

void live_parts_free(struct live_parts *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_mounts; i++)
		free(l->mounts[i]);
	free(l->mounts);
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l);
}

static bool is_live(const struct live_parts *l, const char *path, const struct statx *sx)
{
	/* Others may have that number too: below what is live already, and opened again for
	 * nothing.
	 */
	if (sx->stx_ino == EMPTY_SUBVOLUME_INO)
		return true;
	for (size_t i = 0; i < l->n_mounts; i++)
		if (strcmp(l->mounts[i], path) == 0)
			return true;
	return false;
}

int live_parts_enter(struct live_parts *l, const char *path, const struct statx *sx, int *fd)
{
	/* No symlink: the live tree may be another one by now than the copy. */
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC |
					 O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	long live;

	if (!*path || !is_live(l, path, sx))
		return 0;
	live = syscall(SYS_openat2, l->fd, path, &how, sizeof(how));
	if (live < 0)
		return -errno;
	(void)close(*fd);
	*fd = (int)live;
	atomic_store(&l->entered, true);
	return 1;
}

bool live_parts_is_frozen(const struct live_parts *l, dev_t device)
{
	return device == l->frozen;
}

bool live_parts_were_entered(const struct live_parts *l)
{
	return atomic_load(&l->entered);
}

static int is_no_folder(void *context, const char *at)
{
	struct stat st;

	(void)context;
	return lstat(at, &st) == 0 && !S_ISDIR(st.st_mode);
}

int live_parts_over_files(const char *path)
{
	return each_mount(path, is_no_folder, NULL);
}
