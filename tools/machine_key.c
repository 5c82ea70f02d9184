/* SPDX-License-Identifier: MIT */
#include "tools/machine_key.h"

#include "store/base/bytes.h"
#include "store/base/log.h"
#include "tools/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT_FOLDER "/etc/yore/keys"

/* The caller frees it. */
static char *key_folder(void)
{
	const char *given = getenv("YORE_KEY_FOLDER");
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	char *folder = NULL;

	if (given && given[0] == '/')
		return strdup(given);
	if (geteuid() == 0)
		return strdup(ROOT_FOLDER);
	if (config && config[0] == '/')
		return asprintf(&folder, "%s/yore/keys", config) < 0 ? NULL : folder;
	if (!home || home[0] != '/') {
		const struct passwd *user = getpwuid(geteuid());

		home = user ? user->pw_dir : NULL;
	}
	if (!home)
		return NULL;
	return asprintf(&folder, "%s/.config/yore/keys", home) < 0 ? NULL : folder;
}

char *machine_key_path(const uint8_t repository[static REPOSITORY_ID_BYTES], const char *suffix)
{
	CLEANUP(free_ptr) char *folder = key_folder();
	char hex[2 * REPOSITORY_ID_BYTES + 1];
	char *path = NULL;

	if (!folder)
		return NULL;
	bytes_to_hex(repository, REPOSITORY_ID_BYTES, hex);
	if (asprintf(&path, "%s/%s%s", folder, hex, suffix) < 0)
		return NULL;
	return path;
}

static int write_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t written = write(fd, text, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		text += written;
		n -= (size_t)written;
	}
	return 0;
}

int machine_key_write_file(const char *path, const char *text)
{
	CLEANUP(close_fd_ptr) int fd = -1;
	int r = folder_make_parents(path, 0700);

	if (r < 0)
		return log_errno(r, "keys: cannot make the folder of %s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == EEXIST ? -EEXIST : log_errno(-errno, "keys: cannot make %s", path);
	r = write_all(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = folder_sync_parent(path);
	if (r < 0) {
		(void)unlink(path);
		return log_errno(r, "keys: cannot write %s", path);
	}
	return 0;
}

int machine_key_read_file(const char *path, char *to, size_t room)
{
	CLEANUP(close_fd_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	size_t n = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? -ENOENT
			       : log_errno(-errno, "keys: cannot open %s", path);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && (st.st_mode & 077)) {
		log_error("keys: %s can be read by others (mode %04o) and is not used: "
			  "run 'chmod 600' on it",
			  path, (unsigned int)(st.st_mode & 07777));
		return -EPERM;
	}
	while (n < room) {
		ssize_t got = read(fd, to + n, room - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return log_errno(-errno, "keys: cannot read %s", path);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	if (n == room)
		return -EFBIG;
	to[n] = '\0';
	to[strcspn(to, "\r\n")] = '\0';
	return 0;
}

int machine_key_write(const char *path, const uint8_t key[static KEY_BYTES])
{
	char text[2 * KEY_BYTES + 2];
	int r;

	bytes_to_hex(key, KEY_BYTES, text);
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	r = machine_key_write_file(path, text);
	crypto_wipe(text, sizeof(text));
	return r;
}

int machine_key_read(const char *path, uint8_t ret_key[static KEY_BYTES])
{
	char text[2 * KEY_BYTES + 8];
	int r = machine_key_read_file(path, text, sizeof(text));

	if (r == -ENOENT || r == -EPERM)
		return r;
	if (r == 0 &&
	    (strlen(text) != (size_t)2 * KEY_BYTES || bytes_from_hex(text, ret_key, KEY_BYTES) < 0))
		r = -EUCLEAN;
	crypto_wipe(text, sizeof(text));
	if (r < 0)
		log_error("keys: %s is damaged and is not used: unlock with the password or the "
			  "recovery code, then run 'yore key add --machine'",
			  path);
	return r < 0 ? -EUCLEAN : 0;
}

int machine_key_replace_file(const char *path, const char *text)
{
	CLEANUP(free_ptr) char *fresh = NULL;
	int r;

	if (asprintf(&fresh, "%s.new", path) < 0)
		return -ENOMEM;
	(void)unlink(fresh); /* of an interrupted run */
	r = machine_key_write_file(fresh, text);
	if (r < 0)
		return r;
	if (rename(fresh, path) < 0)
		return log_errno(-errno, "keys: cannot replace %s", path);
	return folder_sync_parent(path);
}
