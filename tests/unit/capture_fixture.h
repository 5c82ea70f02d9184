/* SPDX-License-Identifier: MIT */
/*
 * capture_fixture: a repository with a timeline and a folder to capture, for
 * the tests of captures and commits.
 */
#ifndef TESTS_UNIT_CAPTURE_FIXTURE_H
#define TESTS_UNIT_CAPTURE_FIXTURE_H

#include "snapshots/capture.h"
#include "snapshots/content.h"
#include "snapshots/tree_reader.h"
#include "tests/unit/timeline_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

struct desk {
	struct fixture *fixture;
	struct timeline *timeline;
	char source[64]; /* canonical, exists */
	char said[4096]; /* problems: "path: what;" */
};

static inline int desk_setup(void **state)
{
	struct desk *d = calloc(1, sizeof(*d));
	char made[] = "/tmp/yore-source-XXXXXX";
	char *real;

	assert_non_null(d);
	d->fixture = fixture_open();
	assert_int_equal(
		timeline_open(d->fixture->store, store_host(d->fixture->store), &d->timeline), 0);
	assert_non_null(mkdtemp(made));
	real = realpath(made, NULL);
	assert_non_null(real);
	(void)snprintf(d->source, sizeof(d->source), "%s", real);
	free(real);
	*state = d;
	return 0;
}

static inline int desk_teardown(void **state)
{
	struct desk *d = *state;

	timeline_close(d->timeline);
	fixture_close(d->fixture);
	(void)nftw(d->source, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(d);
	return 0;
}

static inline const char *desk_path(struct desk *d, const char *name, char to[static PATH_MAX])
{
	(void)snprintf(to, PATH_MAX, "%s%s%s", d->source, *name ? "/" : "", name);
	return to;
}

static inline void desk_folder(struct desk *d, const char *name)
{
	char path[PATH_MAX];

	assert_int_equal(mkdir(desk_path(d, name, path), 0755), 0);
}

static inline void desk_write_bytes(struct desk *d, const char *name, const void *data, size_t n)
{
	char path[PATH_MAX];
	int fd = open(desk_path(d, name, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	(void)close(fd);
}

static inline void desk_write(struct desk *d, const char *name, const char *text)
{
	desk_write_bytes(d, name, text, strlen(text));
}

static inline void desk_note(void *context, const char *path, const char *what, int error)
{
	struct desk *d = context;
	size_t n = strlen(d->said);

	(void)error;
	(void)snprintf(d->said + n, sizeof(d->said) - n, "%s: %s;", path, what);
}

static inline int desk_run(struct desk *d, struct timeline *t, const struct capture_source *sources,
			   size_t n, struct capture_result *ret)
{
	struct capture_options o = { .sources = sources,
				     .n_sources = n,
				     .reason = "test",
				     .problem = desk_note,
				     .context = d };

	d->said[0] = '\0';
	return capture_run(t, &o, ret);
}

/* Snapshot one path (NULL: everything known), which must succeed. */
static inline struct capture_result desk_take(struct desk *d, const char *path)
{
	struct capture_source source = { .path = path };
	struct capture_result result;

	assert_int_equal(desk_run(d, d->timeline, &source, path != NULL, &result), 0);
	return result;
}

static inline uint64_t desk_count(struct desk *d)
{
	uint64_t n;

	assert_int_equal(timeline_count(d->timeline, &n), 0);
	return n;
}

/* Text of a file in the newest snapshot; NULL: it is not there. Valid until the next call. */
static inline const char *desk_reads(struct desk *d, const char *path)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL; /* goes last */
	CLEANUP(tree_reader_free_ptr) struct tree_reader *tree = NULL;
	CLEANUP(content_reader_free_ptr) struct content_reader *content = NULL;
	static char text[256];
	struct snapshot_info info;
	struct tree_entry e;
	int64_t n;
	int r;

	(void)timeline_refresh(d->timeline);
	assert_int_equal(timeline_latest(d->timeline, &info), 0);
	assert_int_equal(chunk_cache_new(d->fixture->store, MIB(8), 0, &cache), 0);
	assert_int_equal(tree_reader_new(cache, &tree), 0);
	assert_int_equal(content_reader_new(cache, &content), 0);
	r = tree_reader_walk(tree, &info.root_tree, path + 1, &e);
	if (r == -ENOENT || r == -ENOTDIR)
		n = -1;
	else {
		assert_int_equal(r, 0);
		assert_true(S_ISREG(e.mode));
		assert_int_equal(content_reader_set(content, &e.content), 0);
		n = content_read(content, 0, text, sizeof(text) - 1);
		assert_true(n >= 0);
		text[n] = '\0';
	}
	return n < 0 ? NULL : text;
}

/* The same below the source. */
static inline const char *desk_has(struct desk *d, const char *name)
{
	char path[PATH_MAX];

	return desk_reads(d, desk_path(d, name, path));
}

#endif
