/* SPDX-License-Identifier: MIT */
#include "snapshots/finder.h"

#include "snapshots/tree_writer.h"
#include "store/compress.h"
#include "timeline_fixture.h"

#include <errno.h>

#define S 1000000000LL
#define T0 (1714573800 * S)

/* Puts directory nodes into the store. */
struct store_sink {
	struct object_sink sink;
	struct store_writer *writer;
	struct compressor *compressor;
	struct id_hasher *hasher;
};

static int put(struct object_sink *sink, enum object_type type, const void *data, size_t n,
	       struct chunk_id *ret_id)
{
	struct store_sink *s = (struct store_sink *)sink;
	int r;

	id_hasher_run(s->hasher, data, n, ret_id);
	r = store_writer_put(s->writer, s->compressor, type, ret_id, data, n);
	return r < 0 ? r : 0;
}

struct setting {
	struct fixture *f;
	struct timeline *t;
	struct chunk_cache *cache;
	struct store_sink sink;
	struct tree_writer *trees;
	char hits[1024];
	unsigned int n_hits;
};

/* A directory of one or two entries: a file with this mtime, and maybe a folder. */
static struct chunk_id directory(struct setting *s, const char *file, int64_t mtime,
				 const char *folder, const struct chunk_id *inside)
{
	struct tree_entry e = { .mode = S_IFREG | 0644, .nlink = 1 };
	struct chunk_id id;
	uint64_t n;

	e.name = file;
	e.name_n = (uint32_t)strlen(file);
	e.mtime.seconds = mtime;
	assert_int_equal(tree_writer_add(s->trees, &e), 0);
	if (folder) {
		e = (struct tree_entry){ .mode = S_IFDIR | 0755, .nlink = 2, .tree = *inside };
		e.name = folder;
		e.name_n = (uint32_t)strlen(folder);
		assert_int_equal(tree_writer_add(s->trees, &e), 0);
	}
	assert_int_equal(tree_writer_finish(s->trees, &id, &n), 0);
	return id;
}

static void snapshot(struct setting *s, const char *file, int64_t mtime, int64_t inner_mtime)
{
	struct chunk_id inner = directory(s, "Report.odt", inner_mtime, NULL, NULL);
	struct chunk_id home = directory(s, "a.c", 1, "docs", &inner);
	struct chunk_id root = directory(s, file, mtime, "home", &home);
	static int64_t when = T0;

	assert_int_equal(store_writer_finish(s->sink.writer), 0);
	fixture_append(s->t, when += S, NULL, &root, NULL);
}

static int setup(void **state)
{
	struct setting *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->f = fixture_open();
	assert_int_equal(timeline_open(s->f->store, store_host(s->f->store), &s->t), 0);
	assert_int_equal(chunk_cache_new(s->f->store, MIB(4), 0, &s->cache), 0);
	s->sink.sink.put = put;
	assert_int_equal(store_writer_new(s->f->store, &s->sink.writer), 0);
	assert_int_equal(compressor_new(&s->sink.compressor), 0);
	assert_int_equal(store_hasher(s->f->store, OBJECT_TREE, &s->sink.hasher), 0);
	assert_int_equal(
		tree_writer_new(&s->sink.sink, key_ring_get(s->f->ring, KEY_PLACEMENT), &s->trees),
		0);
	snapshot(s, "1st", 1, 10); /* 1 */
	snapshot(s, "2nd", 1, 10); /* 2 */
	snapshot(s, "2nd", 2, 20); /* 3 */
	snapshot(s, "2nd", 2, 10); /* 4: as in 1 and 2 again */
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setting *s = *state;

	tree_writer_free(s->trees);
	id_hasher_free(s->sink.hasher);
	compressor_free(s->sink.compressor);
	store_writer_free(s->sink.writer);
	chunk_cache_free(s->cache);
	timeline_close(s->t);
	fixture_close(s->f);
	free(s);
	return 0;
}

static int note(void *context, const struct finder_hit *hit)
{
	struct setting *s = context;
	size_t n = strlen(s->hits);

	(void)snprintf(s->hits + n, sizeof(s->hits) - n, "%s %d-%d\n", hit->path,
		       (int)hit->first_seq, (int)hit->last_seq);
	s->n_hits++;
	return 0;
}

static const char *find(struct setting *s, struct finder_options options)
{
	uint64_t unreadable = 1;

	s->hits[0] = '\0';
	assert_int_equal(finder_run(s->t, s->cache, &options, note, s, &unreadable), 0);
	assert_int_equal(unreadable, 0);
	return s->hits;
}

static void test_every_version_is_told_once_with_first_and_last(void **state)
{
	struct setting *s = *state;

	assert_string_equal(find(s, (struct finder_options){ .pattern = "Report.odt" }),
			    "/home/docs/Report.odt 1-4\n/home/docs/Report.odt 3-3\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "2nd" }),
			    "/2nd 3-4\n/2nd 2-2\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "1st" }), "/1st 1-1\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "docs" }),
			    "/home/docs 1-4\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "nothing" }), "");
}

static void test_patterns_match_names_or_paths(void **state)
{
	struct setting *s = *state;

	assert_string_equal(find(s, (struct finder_options){ .pattern = "*.c" }),
			    "/home/a.c 1-4\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "home/*.c" }),
			    "/home/a.c 1-4\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "/home/docs" }),
			    "/home/docs 1-4\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "/docs" }), "");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "report*" }), "");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "report*",
							     .ignore_case = true,
							     .last_seq = 2 }),
			    "/home/docs/Report.odt 1-2\n");
}

static void test_a_search_can_be_narrowed(void **state)
{
	struct setting *s = *state;

	assert_string_equal(find(s, (struct finder_options){ .pattern = "*",
							     .below = "/home/docs/",
							     .first_seq = 4 }),
			    "/home/docs 4-4\n/home/docs/Report.odt 4-4\n");
	assert_string_equal(find(s, (struct finder_options){ .pattern = "*", .below = "/hom" }),
			    "");
}

static int stop(void *context, const struct finder_hit *hit)
{
	(void)context;
	(void)hit;
	return 7;
}

static void test_the_visitor_can_end_it_and_bad_patterns_are_refused(void **state)
{
	struct setting *s = *state;
	struct finder_options options = { .pattern = "*" };

	assert_int_equal(finder_run(s->t, s->cache, &options, stop, NULL, NULL), 7);
	options.pattern = "[";
	assert_int_equal(finder_run(s->t, s->cache, &options, stop, NULL, NULL), -EINVAL);
	options.pattern = "";
	assert_int_equal(finder_run(s->t, s->cache, &options, stop, NULL, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version_is_told_once_with_first_and_last),
		cmocka_unit_test(test_patterns_match_names_or_paths),
		cmocka_unit_test(test_a_search_can_be_narrowed),
		cmocka_unit_test(test_the_visitor_can_end_it_and_bad_patterns_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
