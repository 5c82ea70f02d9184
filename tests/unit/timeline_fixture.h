/* SPDX-License-Identifier: MIT */
/*
 * timeline_fixture: a repository in a folder of its own, for the tests of
 * records, timelines and what asks them. Removed at the end.
 */
#ifndef TESTS_UNIT_TIMELINE_FIXTURE_H
#define TESTS_UNIT_TIMELINE_FIXTURE_H

#include "snapshots/timeline.h"
#include "store/base/log.h"
#include "tests/scratch_folder.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
	char folder[32];
	struct io *io;
	struct key_ring *ring;
	struct store *store;
};

static unsigned int fixture_alarms;
static unsigned int fixture_lines;

static inline void fixture_count_line(enum log_level level, const char *line)
{
	(void)level;
	/* Workers log as well. */
	__atomic_add_fetch(&fixture_lines, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&fixture_alarms, strstr(line, "ALARM") != NULL, __ATOMIC_RELAXED);
}

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline struct fixture *fixture_open(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_config config;
	uint8_t binding[32];

	assert_non_null(f);
	fixture_alarms = fixture_lines = 0;
	log_set_sink(fixture_count_line);
	assert_int_equal(crypto_init(), 0);
	scratch_folder(f->folder);
	assert_int_equal(io_posix_open(f->folder, &f->io), 0);
	store_config_new(&config);
	store_config_binding(&config, binding);
	assert_int_equal(key_ring_create(binding, &f->ring), 0);
	assert_int_equal(store_prepare(f->io), 0);
	assert_int_equal(store_publish(f->io, &config), 0);
	assert_int_equal(store_open(f->io, f->ring, STORE_READ_WRITE, &f->store), 0);
	return f;
}

/* Close the store and lose its index, so that the next opening knows nothing. */
static inline void fixture_lose_index(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(chunk_index_reset(f->io), 0);
	assert_int_equal(store_open(f->io, f->ring, STORE_READ_WRITE, &f->store), 0);
}

static inline void fixture_close(struct fixture *f)
{
	store_close(f->store);
	key_ring_free(f->ring);
	io_free(f->io);
	(void)nftw(f->folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	log_set_sink(NULL);
	free(f);
}

/* A snapshot of nothing, or of a given root directory. */
static inline struct record fixture_record(int64_t time_ns, const char *tag,
					   const struct chunk_id *tree)
{
	struct record r = { .kind = RECORD_SNAPSHOT, .time_ns = time_ns };
	struct tree_entry root = { .mode = S_IFDIR | 0755, .nlink = 1, .name = "" };
	struct byte_buf encoded = { 0 };

	if (tree)
		root.tree = *tree;
	assert_int_equal(tree_entry_encode(&encoded, &root), 0);
	r.root_n = encoded.n;
	r.root = STEAL(encoded.data);
	r.host_name = strdup("testhost");
	r.reason = strdup("manual");
	if (tag) {
		r.tags = calloc(1, sizeof(*r.tags));
		assert_non_null(r.tags);
		r.tags[0] = strdup(tag);
		r.n_tags = 1;
	}
	return r;
}

static inline void fixture_append(struct timeline *t, int64_t time_ns, const char *tag,
				  const struct chunk_id *tree, struct snapshot_info *ret_info)
{
	CLEANUP(record_done) struct record r = fixture_record(time_ns, tag, tree);
	struct io *io = store_io(timeline_store(t));
	int fd = timeline_lock(t);

	assert_true(fd >= 0);
	assert_int_equal(timeline_append(t, &r, ret_info), 0);
	io_close(io, fd);
}

static inline void fixture_forget(struct timeline *t, uint64_t first, uint64_t last)
{
	CLEANUP(record_done) struct record r = { .kind = RECORD_FORGET };

	r.forgotten = calloc(1, sizeof(*r.forgotten));
	assert_non_null(r.forgotten);
	r.forgotten[0] = (struct sequence_range){ first, last };
	r.n_forgotten = 1;
	assert_int_equal(timeline_append(t, &r, NULL), 0);
}

#endif
