/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory_tree.h"

#define MANY 200000u

static struct chunk_cache *cache;
static struct tree_writer *writer;
static struct tree_reader *reader;
static struct chunk_id many; /* entries "n000000", "n000002", ... */

static int setup(void **state)
{
	struct test_file f;
	uint64_t count;
	char name[32];

	(void)state;
	cache = memory_new();
	assert_int_equal(tree_writer_new(&cache->sink, test_key, &writer), 0);
	assert_int_equal(tree_reader_new(cache, &reader), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "n%06u", i * 2);
		assert_int_equal(tree_writer_add(writer, test_file(&f, name, i)), 0);
	}
	assert_int_equal(tree_writer_finish(writer, &many, &count), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tree_writer_free(writer);
	tree_reader_free(reader);
	memory_free(cache);
	return 0;
}

static void expect_entry(const struct tree_entry *e, uint32_t i)
{
	struct test_file f;
	char name[32];

	(void)snprintf(name, sizeof(name), "n%06u", i * 2);
	assert_entry_equal(e, test_file(&f, name, i));
}

static void test_empty_directory_has_nothing(void **state)
{
	const struct chunk_id zero = { 0 };
	struct tree_entry e;

	(void)state;
	assert_int_equal(tree_reader_set(reader, &zero), 0);
	assert_int_equal(tree_reader_count(reader), 0);
	assert_int_equal(tree_reader_next(reader, &e), 0);
	assert_int_equal(tree_reader_find(reader, "a", 1, &e, NULL), -ENOENT);
	assert_int_equal(tree_reader_seek_index(reader, 5), 0);
	assert_int_equal(tree_reader_next(reader, &e), 0);
}

static void test_all_entries_come_in_order_with_the_next_leaf_prefetched(void **state)
{
	struct tree_entry e;

	(void)state;
	cache->prefetches = 0;
	assert_int_equal(tree_reader_set(reader, &many), 0);
	assert_int_equal(tree_reader_count(reader), MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(tree_reader_position(reader), i);
		assert_int_equal(tree_reader_next(reader, &e), 1);
		if (i % 97 == 0)
			expect_entry(&e, i);
	}
	assert_int_equal(tree_reader_next(reader, &e), 0);
	assert_int_equal(tree_reader_next(reader, &e), 0);
	assert_true(cache->prefetches > 100);
}

static void test_seek_by_number_and_name_agree(void **state)
{
	struct tree_entry e;
	uint64_t seed = 1;
	char name[32];

	(void)state;
	assert_int_equal(tree_reader_set(reader, &many), 0);
	for (int round = 0; round < 3000; round++) {
		const uint32_t i = (uint32_t)(test_random(&seed) % MANY);
		uint64_t index;

		assert_int_equal(tree_reader_seek_index(reader, i), 0);
		assert_int_equal(tree_reader_position(reader), i);
		assert_int_equal(tree_reader_next(reader, &e), 1);
		expect_entry(&e, i);
		if (i + 1 < MANY) {
			assert_int_equal(tree_reader_next(reader, &e), 1);
			expect_entry(&e, i + 1);
		}
		(void)snprintf(name, sizeof(name), "n%06u", i * 2);
		assert_int_equal(tree_reader_find(reader, name, 7, &e, &index), 0);
		assert_int_equal(index, i);
		expect_entry(&e, i);
		(void)snprintf(name, sizeof(name), "n%06u", i * 2 + 1);
		assert_int_equal(tree_reader_find(reader, name, 7, &e, &index), -ENOENT);
		assert_int_equal(tree_reader_seek_name(reader, name, 7), 0);
		assert_int_equal(tree_reader_position(reader), i + 1);
		assert_int_equal(tree_reader_next(reader, &e), i + 1 < MANY);
		if (i + 1 < MANY)
			expect_entry(&e, i + 1);
	}
	assert_int_equal(tree_reader_seek_name(reader, "a", 1), 0);
	assert_int_equal(tree_reader_next(reader, &e), 1);
	expect_entry(&e, 0);
	assert_int_equal(tree_reader_seek_name(reader, "z", 1), 0);
	assert_int_equal(tree_reader_next(reader, &e), 0);
	assert_int_equal(tree_reader_seek_index(reader, UINT64_MAX), 0);
	assert_int_equal(tree_reader_next(reader, &e), 0);
	assert_int_equal(tree_reader_seek_index(reader, MANY - 1), 0);
	assert_int_equal(tree_reader_next(reader, &e), 1);
	expect_entry(&e, MANY - 1);
}

static void test_paths_are_followed(void **state)
{
	const struct chunk_id zero = { 0 };
	struct tree_entry e, directory;
	struct chunk_id inner, outer;
	struct test_file f;
	uint64_t n;

	(void)state;
	assert_int_equal(tree_writer_add(writer, test_file(&f, "file", 3)), 0);
	assert_int_equal(tree_writer_finish(writer, &inner, &n), 0);
	directory = test_directory("a", &inner);
	assert_int_equal(tree_writer_add(writer, &directory), 0);
	directory = test_directory("empty", &zero);
	assert_int_equal(tree_writer_add(writer, &directory), 0);
	assert_int_equal(tree_writer_finish(writer, &outer, &n), 0);
	assert_int_equal(tree_reader_walk(reader, &outer, "a/file", &e), 0);
	assert_entry_equal(&e, test_file(&f, "file", 3));
	assert_int_equal(tree_reader_walk(reader, &outer, "/a//", &e), 0);
	assert_true(S_ISDIR(e.mode));
	assert_int_equal(tree_reader_walk(reader, &outer, "", &e), -EISDIR);
	assert_int_equal(tree_reader_walk(reader, &outer, "/", &e), -EISDIR);
	assert_int_equal(tree_reader_walk(reader, &outer, "b", &e), -ENOENT);
	assert_int_equal(tree_reader_walk(reader, &outer, "empty/b", &e), -ENOENT);
	assert_int_equal(tree_reader_walk(reader, &outer, "a/file/x", &e), -ENOTDIR);
	assert_int_equal(tree_reader_walk(reader, &outer, "a/file/", &e), -ENOTDIR);
	assert_int_equal(tree_reader_walk(reader, &outer, "a/..", &e), -ENOENT);
	assert_int_equal(tree_reader_walk(reader, &zero, "a", &e), -ENOENT);
}

static struct chunk_id put_leaf(const char *first, const char *second)
{
	struct node_builder *b;
	struct test_file f;
	struct chunk_id id;
	const uint8_t *data;
	uint64_t total;
	size_t n;

	assert_int_equal(node_builder_new(0, &b), 0);
	assert_int_equal(node_builder_add_entry(b, test_file(&f, first, 1)), 0);
	assert_int_equal(node_builder_add_entry(b, test_file(&f, second, 2)), 0);
	assert_int_equal(node_builder_finish(b, &data, &n, &total), 0);
	assert_int_equal(memory_put(&cache->sink, OBJECT_TREE, data, n, &id), 0);
	node_builder_free(b);
	return id;
}

/* An inner node with two children under the names "b" and "m". */
static struct chunk_id put_inner(uint32_t level, const struct chunk_id *one,
				 const struct chunk_id *two, uint64_t total)
{
	struct node_builder *b;
	struct chunk_id id;
	const uint8_t *data;
	uint64_t sum;
	size_t n;

	assert_int_equal(node_builder_new(level, &b), 0);
	assert_int_equal(node_builder_add_child(b, "b", 1, one, total), 0);
	assert_int_equal(node_builder_add_child(b, "m", 1, two, total), 0);
	assert_int_equal(node_builder_finish(b, &data, &n, &sum), 0);
	assert_int_equal(memory_put(&cache->sink, OBJECT_TREE, data, n, &id), 0);
	node_builder_free(b);
	return id;
}

static int read_all(const struct chunk_id *root)
{
	struct tree_entry e;
	int r = tree_reader_set(reader, root);

	if (r < 0)
		return r;
	while ((r = tree_reader_next(reader, &e)) > 0)
		;
	return r;
}

static void test_forged_trees_are_refused(void **state)
{
	const struct chunk_id low = put_leaf("b", "c"), high = put_leaf("m", "n");
	const struct chunk_id wide = put_leaf("b", "x"), early = put_leaf("a", "c");
	struct chunk_id root, loop;
	struct tree_entry e;

	(void)state;
	root = put_inner(1, &low, &high, 2);
	assert_int_equal(read_all(&root), 0);
	root = put_inner(1, &wide, &high, 2); /* a name of the next child's range */
	assert_int_equal(read_all(&root), -EUCLEAN);
	root = put_inner(1, &early, &high, 2);
	assert_int_equal(read_all(&root), -EUCLEAN);
	root = put_inner(1, &high, &low, 2);
	assert_int_equal(read_all(&root), -EUCLEAN);
	root = put_inner(1, &low, &high, 3); /* wrong totals */
	assert_int_equal(read_all(&root), -EUCLEAN);
	assert_int_equal(tree_reader_find(reader, "b", 1, &e, NULL), -EUCLEAN);
	assert_int_equal(tree_reader_seek_index(reader, 2), -EUCLEAN);
	root = put_inner(2, &low, &high, 2); /* a level is missing */
	assert_int_equal(read_all(&root), -EUCLEAN);
	/* A node that is its own child cannot be made by hashing; forge it in the store. */
	loop = put_inner(1, &low, &high, 2);
	root = put_inner(2, &loop, &loop, 4);
	memory_find(cache, &loop, OBJECT_TREE)->data[1] = 2;
	assert_int_equal(read_all(&root), -EUCLEAN);
	root = put_leaf("b", "c");
	memory_find(cache, &root, OBJECT_TREE)->data[NODE_HEADER_BYTES + 32 + 1] = 'd';
	assert_int_equal(read_all(&root), -EUCLEAN); /* out of order */
}

static void test_damage_costs_one_leaf_and_nothing_else(void **state)
{
	struct chunk_id root, child;
	struct node_view v;
	struct memory_object *o;
	struct tree_entry e;
	uint64_t total, lost, n = 0;
	int r;

	(void)state;
	root = many;
	for (;;) {
		o = memory_find(cache, &root, OBJECT_TREE);
		assert_int_equal(node_view_init(&v, o->data, o->n), 0);
		if (v.level == 0)
			break;
		assert_int_equal(node_view_child(&v, v.count / 2, &child, &total), 0);
		root = child;
	}
	o->damaged = true;
	assert_int_equal(tree_reader_set(reader, &many), 0);
	while ((r = tree_reader_next(reader, &e)) > 0)
		n++;
	assert_int_equal(r, -EBADMSG);
	lost = tree_reader_skip_damaged(reader);
	assert_int_equal(lost, v.count);
	while ((r = tree_reader_next(reader, &e)) > 0)
		n++;
	assert_int_equal(r, 0);
	assert_int_equal(n + lost, MANY);
	expect_entry(&e, MANY - 1);
	assert_int_equal(tree_reader_skip_damaged(reader), 0);
	o->damaged = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_directory_has_nothing),
		cmocka_unit_test(test_all_entries_come_in_order_with_the_next_leaf_prefetched),
		cmocka_unit_test(test_seek_by_number_and_name_agree),
		cmocka_unit_test(test_paths_are_followed),
		cmocka_unit_test(test_forged_trees_are_refused),
		cmocka_unit_test(test_damage_costs_one_leaf_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
