/* SPDX-License-Identifier: MIT */
#include "snapshots/dirty_set.h"
#include "snapshots/tree_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct dirty_set *make(size_t names_max)
{
	struct dirty_set *d = NULL;

	assert_int_equal(dirty_set_new(names_max, &d), 0);
	return d;
}

/* The node at a path of a frozen set, or NULL. */
static const struct dirty_name *look(const struct dirty_set *d, const char *path)
{
	const struct dirty_name *node = dirty_set_root(d);

	while (node && *path) {
		const size_t n = strcspn(path, "/");

		node = dirty_name_child(node, path, (uint32_t)n);
		path += n + (path[n] == '/');
	}
	return node;
}

static unsigned int flags_of(const struct dirty_set *d, const char *path)
{
	const struct dirty_name *node = look(d, path);

	assert_non_null(node);
	return node->flags;
}

static void test_a_new_set_is_empty(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(10);

	(void)state;
	assert_true(dirty_set_is_empty(d));
	assert_false(dirty_set_is_all(d));
	assert_int_equal(dirty_set_count(d), 0);
	assert_int_equal(dirty_set_freeze(d), 0);
	assert_null(dirty_set_root(d));
}

static void test_flags_of_one_path_are_joined(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(10);

	(void)state;
	assert_int_equal(dirty_set_add(d, "a/b", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_add(d, "a", DIRTY_LIST), 0);
	assert_int_equal(dirty_set_add(d, "a/b", DIRTY_DEEP), 0);
	assert_false(dirty_set_is_empty(d));
	assert_int_equal(dirty_set_count(d), 2);
	assert_int_equal(dirty_set_freeze(d), 0);
	assert_int_equal(flags_of(d, ""), 0);
	assert_int_equal(flags_of(d, "a"), DIRTY_LIST);
	assert_int_equal(flags_of(d, "a/b"), DIRTY_SELF | DIRTY_DEEP);
	assert_null(look(d, "b"));
	assert_null(look(d, "a/c"));
}

static void test_the_root_alone_is_not_empty(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(10);

	(void)state;
	assert_int_equal(dirty_set_add(d, "", DIRTY_SELF), 0);
	assert_false(dirty_set_is_empty(d));
	assert_int_equal(dirty_set_freeze(d), 0);
	assert_int_equal(dirty_set_root(d)->flags, DIRTY_SELF);
	assert_int_equal(dirty_set_root(d)->n_children, 0);
}

static size_t check_sorted(const struct dirty_name *node)
{
	size_t n = 0;

	for (size_t i = 0; i < node->n_children; i++) {
		const char *name = node->children[i].name;

		if (i > 0) {
			const char *before = node->children[i - 1].name;

			assert_true(name_compare(before, (uint32_t)strlen(before), name,
						 (uint32_t)strlen(name)) < 0);
		}
		n += 1 + check_sorted(&node->children[i]);
	}
	return n;
}

static void test_children_are_sorted_and_found(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(100000);
	char path[64];

	(void)state;
	for (unsigned int i = 0; i < 5000; i++) {
		const unsigned int j = i * 2741u % 5000u;

		(void)snprintf(path, sizeof(path), "d%u/e\xff%u/f%u", j % 7, j % 31, j);
		assert_int_equal(dirty_set_add(d, path, DIRTY_SELF), 0);
	}
	/* One a prefix of the other, and bytes above 127 after those below. */
	assert_int_equal(dirty_set_add(d, "d1", DIRTY_LIST), 0);
	assert_int_equal(dirty_set_add(d, "d", DIRTY_LIST), 0);
	assert_int_equal(dirty_set_add(d, "\xc3\xa4", DIRTY_LIST), 0);
	assert_int_equal(dirty_set_freeze(d), 0);
	assert_int_equal(check_sorted(dirty_set_root(d)), dirty_set_count(d));
	for (unsigned int i = 0; i < 5000; i++) {
		(void)snprintf(path, sizeof(path), "d%u/e\xff%u/f%u", i % 7, i % 31, i);
		assert_int_equal(flags_of(d, path), DIRTY_SELF);
	}
	assert_string_equal(dirty_set_root(d)->children[0].name, "d");
	assert_int_equal(flags_of(d, "\xc3\xa4"), DIRTY_LIST);
}

static void test_too_many_names_are_everything(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(3);

	(void)state;
	assert_int_equal(dirty_set_add(d, "a/b/c", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_add(d, "a/b", DIRTY_SELF), 0);
	assert_false(dirty_set_is_all(d));
	assert_int_equal(dirty_set_add(d, "d", DIRTY_SELF), 0);
	assert_true(dirty_set_is_all(d));
	assert_false(dirty_set_is_empty(d));
	assert_int_equal(dirty_set_count(d), 0);
	assert_int_equal(dirty_set_add(d, "e", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_freeze(d), 0);
	assert_null(dirty_set_root(d));
}

static void test_below_a_deep_name_nothing_is_kept(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(3);
	char path[32];

	(void)state;
	assert_int_equal(dirty_set_add(d, "new", DIRTY_SELF | DIRTY_DEEP), 0);
	for (unsigned int i = 0; i < 100; i++) {
		(void)snprintf(path, sizeof(path), "new/%u", i);
		assert_int_equal(dirty_set_add(d, path, DIRTY_SELF), 0);
	}
	assert_false(dirty_set_is_all(d));
	assert_int_equal(dirty_set_count(d), 1);
}

static void test_merging_keeps_all_of_both(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *to = make(100), *from = make(100);

	(void)state;
	assert_int_equal(dirty_set_add(to, "a/x", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_add(to, "b", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_add(from, "z/y/x", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_add(from, "a/x", DIRTY_DEEP), 0);
	assert_int_equal(dirty_set_add(from, "a/w", DIRTY_LIST), 0);
	assert_int_equal(dirty_set_add(from, "", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_freeze(from), 0);
	assert_int_equal(dirty_set_merge(to, from), 0);
	assert_int_equal(dirty_set_freeze(to), 0);
	assert_int_equal(flags_of(to, ""), DIRTY_SELF);
	assert_int_equal(flags_of(to, "a/x"), DIRTY_SELF | DIRTY_DEEP);
	assert_int_equal(flags_of(to, "a/w"), DIRTY_LIST);
	assert_int_equal(flags_of(to, "b"), DIRTY_SELF);
	assert_int_equal(flags_of(to, "z/y/x"), DIRTY_SELF);
	assert_int_equal(dirty_set_count(to), 7);
}

static void test_merging_everything_is_everything(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *to = make(100), *from = make(100);

	(void)state;
	assert_int_equal(dirty_set_add(to, "a", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_merge(to, from), 0);
	assert_false(dirty_set_is_all(to));
	dirty_set_add_all(from);
	assert_int_equal(dirty_set_merge(to, from), 0);
	assert_true(dirty_set_is_all(to));
}

static void test_merging_counts_towards_the_limit(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *to = make(2), *from = make(3);

	(void)state;
	assert_int_equal(dirty_set_add(from, "a/b/c", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_merge(to, from), 0);
	assert_true(dirty_set_is_all(to));
}

static void test_slashes_too_many_do_not_matter(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *d = make(10);

	(void)state;
	assert_int_equal(dirty_set_add(d, "/a//b/", DIRTY_SELF), 0);
	assert_int_equal(dirty_set_freeze(d), 0);
	assert_int_equal(dirty_set_count(d), 2);
	assert_int_equal(flags_of(d, "a/b"), DIRTY_SELF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_new_set_is_empty),
		cmocka_unit_test(test_flags_of_one_path_are_joined),
		cmocka_unit_test(test_the_root_alone_is_not_empty),
		cmocka_unit_test(test_children_are_sorted_and_found),
		cmocka_unit_test(test_too_many_names_are_everything),
		cmocka_unit_test(test_below_a_deep_name_nothing_is_kept),
		cmocka_unit_test(test_merging_keeps_all_of_both),
		cmocka_unit_test(test_merging_everything_is_everything),
		cmocka_unit_test(test_merging_counts_towards_the_limit),
		cmocka_unit_test(test_slashes_too_many_do_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
