/* SPDX-License-Identifier: MIT */
#include "snapshots/diff.h"
#include "tests/unit/memory_tree.h"

static struct chunk_cache *cache;
static struct tree_writer *writer;
static char seen[4096]; /* "A path;" per change */
static uint64_t n_seen;

static int setup(void **state)
{
	(void)state;
	cache = memory_new();
	seen[0] = '\0';
	n_seen = 0;
	return tree_writer_new(&cache->sink, test_key, &writer);
}

static int teardown(void **state)
{
	(void)state;
	tree_writer_free(writer);
	memory_free(cache);
	return 0;
}

static int note(void *context, enum diff_change change, const char *path,
		const struct tree_entry *before, const struct tree_entry *after)
{
	const char *skip = context;
	const size_t n = strlen(seen);

	assert_int_equal(before == NULL, change == DIFF_ADDED);
	assert_int_equal(after == NULL, change == DIFF_REMOVED);
	n_seen++;
	(void)snprintf(seen + n, sizeof(seen) - n, "%c %s;", "+-M.T"[change], path);
	return skip && strcmp(skip, path) == 0;
}

static void add(const char *name, uint64_t version)
{
	struct test_file f;

	assert_int_equal(tree_writer_add(writer, test_file(&f, name, version)), 0);
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

static void expect(const struct chunk_id *a, const struct chunk_id *b, const char *skip,
		   const char *changes)
{
	const struct chunk_id zero = { 0 };
	const struct tree_entry before = test_directory("", a ? a : &zero);
	const struct tree_entry after = test_directory("", b ? b : &zero);

	seen[0] = '\0';
	n_seen = 0;
	assert_int_equal(
		diff_trees(cache, a ? &before : NULL, b ? &after : NULL, note, (void *)skip), 0);
	assert_string_equal(seen, changes);
}

static void test_equal_trees_are_not_read(void **state)
{
	struct chunk_id a;

	(void)state;
	add("x", 1);
	a = done();
	cache->gets = 0;
	expect(&a, &a, NULL, "");
	assert_int_equal(cache->gets, 0);
}

static void test_each_kind_of_change_is_named(void **state)
{
	const struct tree_entry link = { .name = "l",
					 .name_n = 1,
					 .mode = S_IFLNK | 0777,
					 .link = "a",
					 .link_n = 1,
					 .size = 1 };
	struct tree_entry link_b = link, e;
	struct chunk_id a, b, sub_a, sub_b, empty = { 0 };
	struct test_file f;

	(void)state;
	add("deep", 1);
	sub_a = done();
	add("deep", 2);
	add("new", 3);
	sub_b = done();
	add("content", 1);
	add_directory("dir", &sub_a);
	assert_int_equal(tree_writer_add(writer, &link), 0);
	add("mode", 2);
	add("quiet", 3);
	add("same", 9);
	add_directory("type", &sub_a);
	a = done();
	add("added", 7);
	add("content", 8);
	add_directory("dir", &sub_b);
	link_b.link = "b";
	assert_int_equal(tree_writer_add(writer, &link_b), 0);
	e = *test_file(&f, "mode", 2);
	e.mode = S_IFREG | 0600;
	assert_int_equal(tree_writer_add(writer, &e), 0);
	e = *test_file(&f, "quiet", 3);
	e.ctime.seconds++;
	e.btime.seconds++;
	e.ino++;
	e.nlink++;
	assert_int_equal(tree_writer_add(writer, &e), 0);
	add("same", 9);
	add("type", 4);
	b = done();
	expect(&a, &b, NULL,
	       "+ added;M content;M dir/deep;+ dir/new;M l;. mode;T type;- type/deep;");
	expect(&b, &a, NULL,
	       "- added;M content;M dir/deep;- dir/new;M l;. mode;T type;+ type/deep;");
	expect(&b, &a, "type", "- added;M content;M dir/deep;- dir/new;M l;. mode;T type;");
	expect(NULL, &sub_b, NULL, "+ ;+ deep;+ new;");
	expect(&sub_b, NULL, NULL, "- ;- deep;- new;");
	expect(&sub_b, &empty, NULL, "- deep;- new;");
	expect(NULL, NULL, NULL, "");
}

static struct chunk_id large(uint32_t n, uint32_t changed, uint32_t left_out)
{
	char name[32];

	for (uint32_t i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "n%06u", i);
		if (i != left_out)
			add(name, i == changed ? 10000000 : i);
	}
	return done();
}

static void test_large_directories_are_compared_where_they_differ(void **state)
{
	const uint32_t n = 100000;
	struct chunk_id a, b;

	(void)state;
	a = large(n, UINT32_MAX, UINT32_MAX);
	b = large(n, 77777, 22222);
	cache->gets = 0;
	expect(&a, &b, NULL, "- n022222;M n077777;");
	assert_true(cache->gets < 24);
	cache->gets = 0;
	expect(&b, &a, NULL, "+ n022222;M n077777;");
	assert_true(cache->gets < 24);
}

static void test_large_directories_of_any_shape_give_every_change(void **state)
{
	const struct chunk_id zero = { 0 };
	struct chunk_id a, b;
	struct tree_entry before, after;

	(void)state;
	a = large(20000, UINT32_MAX, UINT32_MAX);
	b = large(30, UINT32_MAX, UINT32_MAX);
	before = test_directory("", &a);
	after = test_directory("", &b);
	n_seen = 0;
	assert_int_equal(diff_trees(cache, &before, &after, note, NULL), 0);
	assert_int_equal(n_seen, 19970);
	before = test_directory("", &zero);
	after = test_directory("", &a);
	n_seen = 0;
	assert_int_equal(diff_trees(cache, &before, &after, note, NULL), 0);
	assert_int_equal(n_seen, 20000);
}

static void test_deep_trees_are_compared_without_recursion(void **state)
{
	struct chunk_id a, b;
	struct tree_entry before, after;

	(void)state;
	add("bottom", 1);
	a = done();
	add("bottom", 2);
	b = done();
	for (int i = 0; i < 300; i++) {
		add("a", 5);
		add_directory("d", &a);
		add("z", 1);
		a = done();
		add("a", 5);
		add_directory("d", &b);
		add("z", 2);
		b = done();
	}
	before = test_directory("", &a);
	after = test_directory("", &b);
	assert_int_equal(diff_trees(cache, &before, &after, note, NULL), 0);
	assert_int_equal(n_seen, 301);
}

static int note_names(void *context, const struct tree_entry *before,
		      const struct tree_entry *after)
{
	const struct tree_entry *any = before ? before : after;
	const size_t n = strlen(seen);

	(void)context;
	n_seen++;
	(void)snprintf(seen + n, sizeof(seen) - n, "%c%.*s;",
		       before && after ? '='
		       : before        ? '-'
				       : '+',
		       (int)any->name_n, any->name);
	return any->name[0] == 'x' ? 5 : 0;
}

static void test_names_of_two_directories_come_in_order(void **state)
{
	struct chunk_id zero = { 0 }, a, b, inner;

	(void)state;
	add("q", 1);
	inner = done();
	add("a", 1);
	add_directory("d", &inner);
	add("e", 1);
	a = done();
	add("b", 1);
	add_directory("d", &inner);
	add("e", 2);
	add("f", 1);
	b = done();
	assert_int_equal(diff_names(cache, &a, &b, note_names, NULL), 0);
	assert_string_equal(seen, "-a;+b;=d;=e;+f;");
	seen[0] = '\0';
	assert_int_equal(diff_names(cache, &zero, &a, note_names, NULL), 0);
	assert_string_equal(seen, "+a;+d;+e;");
	add("x", 1);
	a = done();
	assert_int_equal(diff_names(cache, &zero, &a, note_names, NULL), 5);
	/* Of two large ones only the nodes that differ are read. */
	a = large(20000, 11111, UINT32_MAX);
	b = large(20000, UINT32_MAX, UINT32_MAX);
	n_seen = 0;
	seen[0] = '\0';
	cache->gets = 0;
	assert_int_equal(diff_names(cache, &a, &b, note_names, NULL), 0);
	assert_true(n_seen > 0 && n_seen < 2000);
	assert_true(cache->gets < 20);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_equal_trees_are_not_read),
		TEST(test_each_kind_of_change_is_named),
		TEST(test_large_directories_are_compared_where_they_differ),
		TEST(test_large_directories_of_any_shape_give_every_change),
		TEST(test_deep_trees_are_compared_without_recursion),
		TEST(test_names_of_two_directories_come_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
