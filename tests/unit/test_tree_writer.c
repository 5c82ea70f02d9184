/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory_tree.h"

#define MANY 100000u

struct world {
	struct chunk_cache *cache;
	struct tree_writer *writer;
	struct tree_reader *reader;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->cache = memory_new();
	assert_int_equal(tree_writer_new(&w->cache->sink, test_key, &w->writer), 0);
	assert_int_equal(tree_reader_new(w->cache, &w->reader), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	tree_writer_free(w->writer);
	tree_reader_free(w->reader);
	memory_free(w->cache);
	free(w);
	return 0;
}

/* Write the files whose version is not 0. */
static struct chunk_id write_many(struct world *w, const uint32_t *versions, uint32_t n)
{
	struct chunk_id root;
	struct test_file f;
	uint64_t count, expect = 0;

	for (uint32_t i = 0; i < n; i++) {
		char name[32];

		if (versions[i] == 0)
			continue;
		(void)snprintf(name, sizeof(name), "file-%08u.jpg", i);
		assert_int_equal(tree_writer_add(w->writer, test_file(&f, name, versions[i])), 0);
		expect++;
	}
	assert_int_equal(tree_writer_finish(w->writer, &root, &count), 0);
	assert_int_equal(count, expect);
	return root;
}

static void test_empty_directory_is_all_zero(void **state)
{
	struct world *w = *state;
	const struct chunk_id root = write_many(w, NULL, 0);

	assert_true(chunk_id_is_zero(&root));
	assert_int_equal(w->cache->puts, 0);
}

static void test_small_directory_is_one_leaf(void **state)
{
	struct world *w = *state;
	const uint32_t versions[3] = { 1, 2, 3 };
	const struct chunk_id root = write_many(w, versions, 3);
	const struct chunk_id again = write_many(w, versions, 3);

	assert_memory_equal(&root, &again, sizeof(root));
	assert_int_equal(w->cache->objects, 1);
}

static void test_names_must_ascend_over_node_borders(void **state)
{
	struct world *w = *state;
	struct test_file f;
	char name[32];

	for (uint32_t i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "n%05u", i);
		assert_int_equal(tree_writer_add(w->writer, test_file(&f, name, i)), 0);
		assert_int_equal(tree_writer_add(w->writer, test_file(&f, name, i)), -EINVAL);
	}
	assert_int_equal(tree_writer_add(w->writer, test_file(&f, "a", 1)), -EINVAL);
}

static void test_one_change_among_many_writes_a_handful_of_nodes(void **state)
{
	struct world *w = *state;
	uint32_t *versions = calloc(MANY, sizeof(*versions));
	uint64_t before, most = 0;
	uint64_t seed = 1;

	for (uint32_t i = 0; i < MANY; i++)
		versions[i] = i + 1;
	(void)write_many(w, versions, MANY);
	before = w->cache->objects;
	assert_in_range(before, MANY / 700, MANY / 150);
	for (int round = 0; round < 8; round++) {
		const uint32_t i = (uint32_t)(test_random(&seed) % MANY);

		/* changed, or taken away */
		versions[i] = round % 2 == 0 ? 10 * MANY + i : 0;
		before = w->cache->objects;
		(void)write_many(w, versions, MANY);
		if (w->cache->objects - before > most)
			most = w->cache->objects - before;
	}
	assert_true(most <= 8);
	free(versions);
}

static void test_trees_do_not_remember_how_they_came_to_be(void **state)
{
	struct world *w = *state;
	const uint32_t n = 3000;
	uint32_t *versions = calloc(n, sizeof(*versions));
	struct chunk_id edited, bulk;
	struct world fresh;
	void *other;
	uint64_t seed = 7;

	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 200; i++) {
			const uint64_t x = test_random(&seed);

			versions[x % n] = x % 5 == 0 ? 0 : (uint32_t)(x >> 40) + 1;
		}
		edited = write_many(w, versions, n);
	}
	assert_int_equal(setup(&other), 0);
	fresh = *(struct world *)other;
	bulk = write_many(&fresh, versions, n);
	assert_memory_equal(&edited, &bulk, sizeof(bulk));
	assert_int_equal(teardown(&other), 0);
	free(versions);
}

static void test_large_entries_fill_nodes_without_passing_the_limit(void **state)
{
	struct world *w = *state;
	CLEANUP(byte_buf_done_ptr) struct byte_buf xattrs = { 0 };
	struct tree_entry back;
	struct chunk_id root;
	struct test_file f;
	uint64_t count;
	char name[32];

	byte_buf_blob(&xattrs, "user.x", 7);
	byte_buf_varint(&xattrs, 7000);
	memset(byte_buf_reserve(&xattrs, 7000), 'v', 7000);
	xattrs.n += 7000;
	for (uint32_t i = 0; i < 500; i++) {
		struct tree_entry e;

		(void)snprintf(name, sizeof(name), "n%05u", i);
		e = *test_file(&f, name, i);
		e.xattrs = xattrs.data;
		e.xattrs_n = (uint32_t)xattrs.n;
		assert_int_equal(tree_writer_add(w->writer, &e), 0);
	}
	assert_int_equal(tree_writer_finish(w->writer, &root, &count), 0);
	assert_int_equal(tree_reader_set(w->reader, &root), 0);
	for (uint32_t i = 0; i < 500; i++) {
		assert_int_equal(tree_reader_next(w->reader, &back), 1);
		assert_int_equal(back.xattrs_n, xattrs.n);
	}
}

static int refuse(struct object_sink *sink, enum object_type type, const void *data, size_t n,
		  struct chunk_id *ret_id)
{
	(void)sink;
	(void)type;
	(void)data;
	(void)n;
	(void)ret_id;
	return -ENOSPC;
}

static void test_failing_sink_is_told_and_the_writer_starts_afresh(void **state)
{
	struct world *w = *state;
	struct chunk_id root;
	struct test_file f;
	uint64_t count;

	w->cache->sink.put = refuse;
	assert_int_equal(tree_writer_add(w->writer, test_file(&f, "a", 1)), 0);
	assert_int_equal(tree_writer_finish(w->writer, &root, &count), -ENOSPC);
	w->cache->sink.put = memory_put;
	assert_int_equal(tree_writer_add(w->writer, test_file(&f, "a", 1)), 0);
	assert_int_equal(tree_writer_finish(w->writer, &root, &count), 0);
	assert_int_equal(count, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_empty_directory_is_all_zero),
		TEST(test_small_directory_is_one_leaf),
		TEST(test_names_must_ascend_over_node_borders),
		TEST(test_one_change_among_many_writes_a_handful_of_nodes),
		TEST(test_trees_do_not_remember_how_they_came_to_be),
		TEST(test_large_entries_fill_nodes_without_passing_the_limit),
		TEST(test_failing_sink_is_told_and_the_writer_starts_afresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
