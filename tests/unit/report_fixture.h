/* SPDX-License-Identifier: MIT */
/*
 * report_fixture: a folder with the parts of a repository that reports and
 * alerts use, and a protection to fill it with.
 */
#ifndef TESTS_UNIT_REPORT_FIXTURE_H
#define TESTS_UNIT_REPORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base/log.h"
#include "tests/scratch_folder.h"
#include "tools/protection.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define NOW (INT64_C(1700000000) * SECOND)

struct desk {
	char path[64];
	struct io *io;
};

static inline void desk_quiet(enum log_level level, const char *line)
{
	(void)level;
	if (getenv("TEST_LOG"))
		fprintf(stderr, "log: %s\n", line);
}

static inline int desk_setup(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	log_set_sink(desk_quiet);
	scratch_folder(d->path);
	assert_int_equal(io_posix_open(d->path, &d->io), 0);
	assert_int_equal(io_mkdir(d->io, "local", IO_OBJECT_FOLDER), 0);
	assert_int_equal(io_mkdir(d->io, "tmp", IO_OBJECT_FOLDER), 0);
	*state = d;
	return 0;
}

static inline int desk_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline int desk_teardown(void **state)
{
	struct desk *d = *state;

	io_free(d->io);
	(void)nftw(d->path, desk_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(d);
	return 0;
}

/* The text of a file in the folder; the caller frees it. NULL: not there. */
static inline char *desk_text(const struct desk *d, const char *name)
{
	uint8_t *data;
	size_t n;
	char *text;

	if (io_read_file(d->io, name, 1 << 24, &data, &n) < 0)
		return NULL;
	text = strndup((char *)data, n);
	free(data);
	assert_non_null(text);
	return text;
}

/* A daemon that protects these sources and has nothing to complain of. */
static inline void protection_make(struct protection *p, const char *const *paths, size_t n)
{
	*p = (struct protection){ .protecting = true,
				  .pid = getpid(),
				  .started_ns = NOW - 3600 * SECOND,
				  .now_ns = NOW,
				  .last_snapshot_ns = NOW - 5 * SECOND,
				  .last_seconds = 0.25,
				  .stale_after_s = 900,
				  .repository_free_bytes = UINT64_C(500) << 30,
				  .repository_size_bytes = UINT64_C(1000) << 30 };
	p->sources = calloc(n, sizeof(*p->sources));
	assert_non_null(p->sources);
	for (size_t i = 0; i < n; i++) {
		struct protection_source *s = &p->sources[i];

		s->path = strdup(paths[i]);
		assert_non_null(s->path);
		s->watch.backend = WATCH_INOTIFY;
		strcpy(s->watch.guarantee, "all but a network's changes");
		s->captured_ns = NOW - 5 * SECOND;
		s->walked_ns = NOW - 3600 * SECOND;
		s->files = 1000;
		s->directories = 10;
		s->bytes = 123456789;
		p->n_sources++;
	}
}

#endif
