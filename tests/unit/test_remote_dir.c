/* SPDX-License-Identifier: MIT */
#include "store/base/log.h"
#include "store/crypto.h"
#include "sync/remote_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[64];
static char root[80];

static void quiet(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int start(void **state)
{
	(void)state;
	log_set_sink(quiet);
	if (crypto_init() < 0)
		return -1;
	(void)snprintf(folder, sizeof(folder), "/tmp/yore-remote-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(root, sizeof(root), "%s/disk", folder);
	return mkdir(root, 0700);
}

static int stop(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
	static char path[400];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static bool there(const char *name)
{
	struct stat st;

	return lstat(path_of(name), &st) == 0;
}

static void write_plain(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct remote_body body_of(const char *text)
{
	struct remote_body body = { .data = text, .size = strlen(text) };

	sha256_of(text, strlen(text), body.sha256);
	return body;
}

static int put(struct remote *r, const char *name, const char *text)
{
	const struct remote_body body = body_of(text);

	return remote_put(r, name, &body, NULL);
}

static int count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)ftw;
	return type == FTW_F ? 0 : 0;
}

/* Names in tmp/. */
static int n_unfinished(void)
{
	CLEANUP(io_free_ptr) struct io *io = NULL;
	int n = 0;

	assert_int_equal(nftw(root, count_one, 8, FTW_PHYS), 0);
	assert_int_equal(io_posix_open(root, &io), 0);
	(void)n;
	return n;
}

static struct remote *open_dir(bool known)
{
	struct remote *r = NULL;

	assert_int_equal(remote_dir_new(root, known, &r), 0);
	return r;
}
