/* SPDX-License-Identifier: MIT */
#include "tools/folder.h"

#include "store/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* What lies above a path; the caller frees it. */
static char *parent(const char *path)
{
	char *folder = strdup(path);
	char *slash;

	if (!folder)
		return NULL;
	slash = strrchr(folder, '/');
	if (!slash) {
		free(folder);
		return strdup(".");
	}
	slash[slash == folder] = '\0';
	return folder;
}

int folder_sync_parent(const char *path)
{
	CLEANUP(free_ptr) char *folder = parent(path);
	CLEANUP(close_fd_ptr) int fd = -1;

	if (!folder)
		return -ENOMEM;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int folder_make_all(const char *path, mode_t mode)
{
	CLEANUP(free_ptr) char *at = strdup(path);
	struct stat st;

	if (!at)
		return -ENOMEM;
	for (char *p = at; *p; p++) {
		char kept;

		p += strspn(p, "/");
		p += strcspn(p, "/");
		kept = *p;
		*p = '\0';
		if (mkdir(at, mode) == 0)
			(void)folder_sync_parent(at);
		else if (stat(at, &st) < 0)
			return -errno; /* neither there nor to be made */
		else if (!S_ISDIR(st.st_mode))
			return -ENOTDIR;
		*p = kept;
		if (kept == '\0')
			break;
	}
	return 0;
}

int folder_make_parents(const char *path, mode_t mode)
{
	CLEANUP(free_ptr) char *folder = parent(path);

	return folder ? folder_make_all(folder, mode) : -ENOMEM;
}
