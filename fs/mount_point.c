/* SPDX-License-Identifier: MIT */
#include "fs/mount_point.h"

#include "snapshots/mount_kind.h"
#include "store/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define USERS_MAX 5

extern char **environ;

static void close_stream_ptr(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

int mount_point_resolve(const char *path, char **ret_path)
{
	CLEANUP(free_ptr) char *copy = strdup(path);
	CLEANUP(free_ptr) char *parent = NULL;
	size_t n = copy ? strlen(copy) : 0;
	char *slash;

	if (!copy)
		return -ENOMEM;
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = 0;
	slash = strrchr(copy, '/');
	if (n <= 1 || !slash || !strcmp(slash, "/.") || !strcmp(slash, "/..")) {
		/* No last name that could be left alone. */
		*ret_path = realpath(copy, NULL);
		return *ret_path ? 0 : -errno;
	}
	*slash = 0;
	parent = realpath(slash == copy ? "/" : copy, NULL);
	if (!parent)
		return -errno;
	if (asprintf(ret_path, "%s/%s", strcmp(parent, "/") ? parent : "", slash + 1) < 0)
		return -ENOMEM;
	return 0;
}

int mount_point_type(const char *path, char ret_type[static 64])
{
	CLEANUP(mount_table_done) struct mount_table mounts = { 0 };
	const struct mount_row *row;
	int r = mount_table_load(&mounts);

	if (r < 0)
		return log_errno(r, "mount: /proc/self/mountinfo cannot be read");
	row = mount_table_top(&mounts, path);
	if (!row)
		return -ENOENT;
	(void)snprintf(ret_type, 64, "%s", row->type);
	return 0;
}

static int run(const char *const argv[])
{
	int status, r;
	pid_t pid;

	r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int mount_point_unmount(const char *path, bool lazy)
{
	const char *const argv[] = { "fusermount3", "-q", "-u", lazy ? "-z" : "--", path, NULL };
	char type[64];
	int r;

	if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	/* Its own user may, through the set-uid helper; which says only yes or no. */
	r = run(argv);
	if (r == -EIO)
		return mount_point_type(path, type) == 0 ? -EBUSY : 0;
	return r;
}

/* ---- fit for a mount? ---- */

static int clear_dead_mount(const char *path)
{
	char type[64] = "";
	int r;

	r = mount_point_type(path, type);
	if (r < 0 || strcmp(type, MOUNT_TYPE) != 0)
		return log_errno(-ENOTCONN,
				 "mount: %s is a dead mount of another program; unmount it with "
				 "'umount -l %s'",
				 path, path);
	r = mount_point_unmount(path, true);
	if (r < 0)
		return log_errno(r,
				 "mount: %s is left over from a mount whose program ended, and "
				 "cannot be unmounted",
				 path);
	log_info("mount: %s was left over from a mount whose program ended; cleared", path);
	return 0;
}

static int check_empty(const char *path)
{
	CLEANUP(close_dir_ptr) DIR *dir = opendir(path);
	const struct dirent *entry;

	if (!dir)
		return log_errno(-errno, "mount: folder %s cannot be opened", path);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		return log_errno(-ENOTEMPTY,
				 "mount: %s holds files that a mount would hide; name an empty "
				 "folder",
				 path);
	}
	return 0;
}

/*
 * The kernel keeps a root's attributes beyond the death of its program; what
 * is free on it, it must ask. Sets errno when so.
 */
static bool is_dead(const char *path)
{
	struct statvfs st;
	char type[64];

	return mount_point_type(path, type) == 0 && strcmp(type, MOUNT_TYPE) == 0 &&
	       statvfs(path, &st) < 0 && errno == ENOTCONN;
}

static int stat_place(const char *path, struct stat *ret_st)
{
	int r;

	/* Dead mounts may lie on one another. */
	for (int i = 0; i < 8; i++) {
		if (lstat(path, ret_st) == 0 && !is_dead(path))
			return 0;
		if (errno == ENOENT)
			return log_errno(-ENOENT, "mount: there is no folder %s; make it first",
					 path);
		if (errno != ENOTCONN)
			return log_errno(-errno, "mount: %s cannot be looked at", path);
		r = clear_dead_mount(path);
		if (r < 0)
			return r;
	}
	return log_errno(-EBUSY, "mount: %s carries too many dead mounts", path);
}

int mount_point_prepare(const char *path)
{
	char type[64] = "";
	struct stat st;
	int r;

	r = stat_place(path, &st);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode))
		return log_errno(-ENOTDIR, "mount: %s is not a folder", path);
	r = mount_point_type(path, type);
	if (r == 0 && strcmp(type, MOUNT_TYPE) == 0)
		return log_errno(-EBUSY, "mount: %s is mounted already; 'yore umount %s' ends that",
				 path, path);
	if (r == 0)
		return log_errno(-EBUSY, "mount: a file system (%s) is mounted at %s already", type,
				 path);
	return r == -ENOENT ? check_empty(path) : r;
}

/* ---- who uses it? ---- */

static bool is_inside(const char *link, const char *path, size_t path_n)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = 0;
	return strncmp(target, path, path_n) == 0 && (!target[path_n] || target[path_n] == '/');
}

static bool process_uses(const char *pid, const char *path, size_t path_n)
{
	CLEANUP(close_dir_ptr) DIR *fds = NULL;
	const struct dirent *entry;
	char link[600];

	(void)snprintf(link, sizeof(link), "/proc/%s/cwd", pid);
	if (is_inside(link, path, path_n))
		return true;
	(void)snprintf(link, sizeof(link), "/proc/%s/root", pid);
	if (strcmp(path, "/") != 0 && is_inside(link, path, path_n))
		return true;
	(void)snprintf(link, sizeof(link), "/proc/%s/fd", pid);
	fds = opendir(link);
	while (fds && (entry = readdir(fds))) {
		(void)snprintf(link, sizeof(link), "/proc/%s/fd/%s", pid, entry->d_name);
		if (entry->d_name[0] != '.' && is_inside(link, path, path_n))
			return true;
	}
	return false;
}

static void log_user(const char *path, const char *pid)
{
	CLEANUP(close_stream_ptr) FILE *f = NULL;
	char file[300], name[64] = "";

	(void)snprintf(file, sizeof(file), "/proc/%s/comm", pid);
	f = fopen(file, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = 0;
	log_warning("umount: %s is used by process %s (%s)", path, pid, name);
}

void mount_point_log_users(const char *path)
{
	CLEANUP(close_dir_ptr) DIR *proc = opendir("/proc");
	const struct dirent *entry;
	size_t path_n = strlen(path);
	int n = 0;

	while (proc && n < USERS_MAX && (entry = readdir(proc))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    atoi(entry->d_name) == getpid() || !process_uses(entry->d_name, path, path_n))
			continue;
		log_user(path, entry->d_name);
		n++;
	}
}
