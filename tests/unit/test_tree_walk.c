/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_walk.h"
#include "tests/unit/memory_tree.h"

static struct chunk_cache *cache;
static struct tree_writer *writer;
static char seen[1024];
static uint64_t n_seen;
static const char *skip;
static uint64_t n_lost;

static int setup(void **state)
{
	(void)state;
	cache = memory_new();
	seen[0] = '\0';
	n_seen = n_lost = 0;
	skip = NULL;
	return tree_writer_new(&cache->sink, test_key, &writer);
}

static int teardown(void **state)
{
	(void)state;
	tree_writer_free(writer);
	memory_free(cache);
	return 0;
}

static int note(void *context, const char *path, const struct tree_entry *entry, uint32_t depth)
{
	const size_t n = strlen(seen);

	(void)entry;
	assert_ptr_equal(context, &n_seen);
	n_seen++;
	/* What is full costs as much as what is written: paths here get megabytes long in all. */
	if (n + 1 < sizeof(seen))
		(void)snprintf(seen + n, sizeof(seen) - n, "%u%s;", depth, path);
	if (skip && strcmp(path, skip) == 0)
		return 1;
	return strcmp(path, "stop") == 0 ? -ECANCELED : 0;
}

static int lost(void *context, const char *path, int error, uint64_t n)
{
	const size_t at = strlen(seen);

	(void)context;
	assert_int_equal(error, -EBADMSG);
	(void)snprintf(seen + at, sizeof(seen) - at, "!%s;", path);
	n_lost += n;
	return 0;
}

static void add(const char *name)
{
	struct test_file f;

	assert_int_equal(tree_writer_add(writer, test_file(&f, name, 1)), 0);
}

static void add_directory(const char *name, const struct chunk_id *tree)
{
	const struct tree_entry e = test_directory(name, tree);

	assert_int_equal(tree_writer_add(writer, &e), 0);
}

static struct chunk_id done(void)
{
	struct chunk_id root;
	uint64_t n;

	assert_int_equal(tree_writer_finish(writer, &root, &n), 0);
	return root;
}

static int walk(const struct chunk_id *root, tree_walk_failed *failed)
{
	const struct tree_entry e = test_directory("", root);

	return tree_walk(cache, &e, note, failed, &n_seen);
}

static void test_parents_come_first_and_names_in_order(void **state)
{
	const struct chunk_id zero = { 0 };
	struct chunk_id sub, root;

	(void)state;
	add("x");
	add_directory("y", &zero);
	sub = done();
	add("a");
	add_directory("b", &sub);
	add_directory("c", &sub);
	add("d");
	root = done();
	assert_int_equal(walk(&root, NULL), 0);
	assert_string_equal(seen, "0;1a;1b;2b/x;2b/y;1c;2c/x;2c/y;1d;");
	seen[0] = '\0';
	skip = "b";
	assert_int_equal(walk(&root, NULL), 0);
	assert_string_equal(seen, "0;1a;1b;1c;2c/x;2c/y;1d;");
	add("a");
	add("stop");
	add("z");
	root = done();
	seen[0] = '\0';
	assert_int_equal(walk(&root, NULL), -ECANCELED);
	assert_string_equal(seen, "0;1a;1stop;");
}

static void test_damaged_directories_leave_the_rest(void **state)
{
	struct chunk_id sub, root;

	(void)state;
	add("x");
	sub = done();
	add("a");
	add_directory("b", &sub);
	add("c");
	root = done();
	memory_find(cache, &sub, OBJECT_TREE)->damaged = true;
	assert_int_equal(walk(&root, NULL), -EBADMSG);
	seen[0] = '\0';
	assert_int_equal(walk(&root, lost), 0);
	assert_string_equal(seen, "0;1a;1b;!b;1c;");
}

static void test_damaged_leaf_of_a_large_directory_leaves_the_rest(void **state)
{
	struct memory_object *o;
	struct chunk_id root, child;
	struct node_view v;
	uint64_t total;
	char name[32];

	(void)state;
	for (uint32_t i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "n%06u", i);
		add(name);
	}
	root = done();
	o = memory_find(cache, &root, OBJECT_TREE);
	assert_int_equal(node_view_init(&v, o->data, o->n), 0);
	assert_int_equal(v.level, 1);
	assert_int_equal(node_view_child(&v, 1, &child, &total), 0);
	memory_find(cache, &child, OBJECT_TREE)->damaged = true;
	assert_int_equal(walk(&root, lost), 0);
	assert_int_equal(n_lost, total);
	assert_int_equal(n_seen, 1 + 5000 - total);
}

static void test_depth_is_bounded(void **state)
{
	struct chunk_id root = { 0 };

	(void)state;
	for (int i = 0; i < TREE_DEPTH_MAX; i++) {
		add("a");
		add_directory("d", &root);
		add("z");
		root = done();
	}
	/* Back up from the bottom, past the readers that are kept. */
	assert_int_equal(walk(&root, NULL), 0);
	assert_int_equal(n_seen, 1 + 3 * TREE_DEPTH_MAX);
	add_directory("d", &root);
	root = done();
	assert_int_equal(walk(&root, NULL), -ELOOP);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_parents_come_first_and_names_in_order),
		TEST(test_damaged_directories_leave_the_rest),
		TEST(test_damaged_leaf_of_a_large_directory_leaves_the_rest),
		TEST(test_depth_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
