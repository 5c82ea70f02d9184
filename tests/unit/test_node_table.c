/* SPDX-License-Identifier: MIT */
#include "fs/node_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct chunk_id TREE = { { 1, 2, 3 } };

static struct node_table *make(void)
{
	struct node_table *t;

	assert_int_equal(node_table_new(&t), 0);
	return t;
}

static uint64_t enter_root(struct node_table *t, uint64_t seq, const char *alias)
{
	CLEANUP(open_snapshot_unref_ptr)
	struct open_snapshot *s = node_table_snapshot(t, seq);
	struct node_handle h;

	if (!s)
		assert_int_equal(open_snapshot_from_root(seq, "x", 1, &s), 0);
	assert_int_equal(node_table_enter_root(t, alias, s, &TREE, 100 + seq, &h), 0);
	assert_true(node_is_directory(h.node));
	assert_int_equal(node_kind(h.node), NODE_TREE);
	return h.node;
}

static uint64_t enter_child(struct node_table *t, uint64_t parent, uint32_t index)
{
	/* None lies inside itself. */
	struct chunk_id tree = { { 1, 2, 4 } };
	struct node_handle h;

	memcpy(tree.bytes + 8, &parent, sizeof(parent));
	assert_int_equal(
		node_table_enter_child(t, node_slot(parent), index, &tree, 1000 + index, &h), 0);
	return h.node;
}

static struct dir_view view(struct node_table *t, uint64_t node)
{
	struct dir_view v;

	assert_int_equal(node_table_view(t, node_slot(node), &v), 0);
	return v;
}

static void test_numbers_say_what_they_are(void **state)
{
	(void)state;
	assert_int_equal(node_kind(NODE_ROOT), NODE_FIXED);
	assert_int_equal(node_kind(node_of_directory(NODE_SLOT_MAX)), NODE_TREE);
	assert_int_equal(node_kind(node_of_file(5, NODE_INDEX_MAX)), NODE_TREE);
	assert_int_equal(node_index(node_of_file(5, NODE_INDEX_MAX)), NODE_INDEX_MAX);
	assert_false(node_is_directory(node_of_file(5, 0)));
	assert_int_equal(node_kind(node_of_latest(7)), NODE_LATEST);
	assert_int_equal(node_number(node_of_latest(7)), 7);
	assert_int_equal(node_kind(node_of_control_file(7)), NODE_CONTROL_FILE);
	assert_int_equal(node_number(node_of_control_file(7)), 7);
}

static void test_the_same_directory_is_the_same_node(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t root = enter_root(t, 1, NULL);

	(void)state;
	assert_int_equal(enter_root(t, 1, NULL), root);
	assert_int_equal(enter_child(t, root, 4), enter_child(t, root, 4));
	assert_int_not_equal(enter_child(t, root, 4), enter_child(t, root, 5));
	assert_int_not_equal(enter_root(t, 2, NULL), root);
}

static void test_an_alias_is_another_node_with_the_canonical_files(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t canonical = enter_root(t, 1, NULL);
	uint64_t day = enter_root(t, 1, "@2024-05-01");
	uint64_t other = enter_root(t, 1, "@yesterday");
	uint64_t below = enter_child(t, day, 3);

	(void)state;
	assert_int_not_equal(day, canonical);
	assert_int_not_equal(day, other);
	assert_int_equal(enter_root(t, 1, "@2024-05-01"), day);
	assert_int_equal(view(t, day).canonical, node_slot(canonical));
	assert_int_equal(view(t, other).canonical, node_slot(canonical));
	assert_int_not_equal(below, enter_child(t, canonical, 3));
	assert_int_not_equal(below, enter_child(t, other, 3));
	assert_int_equal(view(t, below).canonical, node_slot(enter_child(t, canonical, 3)));
	assert_int_equal(view(t, below).parent_ino, 101);
}

static void test_a_name_is_bound_to_its_snapshot(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t before = enter_root(t, 1, "@today");
	uint64_t after = enter_root(t, 2, "@today");

	(void)state;
	assert_int_not_equal(before, after);
	assert_int_equal(view(t, before).key, 1);
	assert_int_equal(view(t, after).key, 2);
}

static void test_what_is_forgotten_leaves(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t day = enter_root(t, 1, "@today");
	uint64_t below = enter_child(t, day, 3);
	uint64_t deep = enter_child(t, below, 0);
	struct open_snapshot *s;

	(void)state;
	assert_int_equal(node_table_count(t), 6);
	/* The kernel lets go of parents before children, too. */
	node_table_forget(t, day, 1);
	node_table_forget(t, below, 1);
	assert_int_equal(node_table_count(t), 6);
	node_table_forget(t, deep, 1);
	assert_int_equal(node_table_count(t), 0);
	s = node_table_snapshot(t, 1);
	assert_null(s);
}

static void test_a_file_keeps_its_directory(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t day = enter_root(t, 1, "@today");
	uint32_t canonical = view(t, day).canonical;
	struct entry_place place;
	uint64_t file = node_of_file(canonical, 9);

	(void)state;
	assert_int_equal(node_table_count_files(t, canonical, 3), 0);
	node_table_forget(t, day, 1);
	assert_int_equal(node_table_count(t), 1);
	assert_int_equal(node_table_place(t, file, &place), 0);
	assert_int_equal(place.index, 9);
	assert_null(place.snapshot);
	node_table_forget(t, file, 2);
	assert_int_equal(node_table_count(t), 1);
	node_table_forget(t, node_of_file(canonical, 8), 1);
	assert_int_equal(node_table_count(t), 0);
	assert_int_equal(node_table_place(t, file, &place), -ESTALE);
}

static void test_slots_come_again_under_another_generation(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	CLEANUP(open_snapshot_unref_ptr) struct open_snapshot *s = NULL;
	struct node_handle a, b;

	(void)state;
	assert_int_equal(open_snapshot_from_root(1, "x", 1, &s), 0);
	assert_int_equal(node_table_enter_root(t, NULL, s, &TREE, 5, &a), 0);
	node_table_forget(t, a.node, 1);
	assert_int_equal(node_table_enter_root(t, NULL, s, &TREE, 5, &b), 0);
	assert_int_equal(a.node, b.node);
	assert_int_not_equal(a.generation, b.generation);
}

static void test_forgetting_too_much_changes_nothing(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t root = enter_root(t, 1, NULL);

	(void)state;
	node_table_forget(t, root, 2);
	node_table_forget(t, node_of_file(node_slot(root), 1), 1);
	node_table_forget(t, node_of_directory(4711), 1);
	assert_int_equal(node_table_count(t), 1);
}

static void test_many_nodes_are_found_again(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t root = enter_root(t, 1, "@today");
	uint64_t first = enter_child(t, root, 0);

	(void)state;
	for (uint32_t i = 1; i < 20000; i++)
		(void)enter_child(t, root, i);
	assert_int_equal(node_table_count(t), 2 * 20001);
	assert_int_equal(enter_child(t, root, 0), first);
	for (uint32_t i = 0; i < 20000; i++)
		node_table_forget(t, enter_child(t, root, i), i ? 2 : 3);
	assert_int_equal(node_table_count(t), 2);
}

static void test_a_deep_path_leaves_without_recursion(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	uint64_t at = enter_root(t, 1, "@today");

	(void)state;
	for (int i = 0; i < TREE_DEPTH_MAX - 1; i++) {
		uint64_t below = enter_child(t, at, 0);

		node_table_forget(t, at, 1);
		at = below;
	}
	node_table_forget(t, at, 1);
	assert_int_equal(node_table_count(t), 0);
}

static void test_a_directory_is_not_entered_inside_itself(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	const struct chunk_id loop = { { 7 } }, empty = { { 0 } };
	uint64_t root = enter_root(t, 1, "@today"), at;
	struct node_handle h;

	(void)state;
	assert_int_equal(node_table_enter_child(t, node_slot(root), 0, &loop, 5, &h), 0);
	at = enter_child(t, h.node, 0);
	assert_int_equal(node_table_enter_child(t, node_slot(at), 1, &loop, 5, &h), -ELOOP);
	/* The snapshot's root counts as well. */
	assert_int_equal(node_table_enter_child(t, node_slot(at), 1, &TREE, 5, &h), -ELOOP);
	for (int i = 2; i < 5; i++) {
		assert_int_equal(node_table_enter_child(t, node_slot(at), 1, &empty, 5, &h), 0);
		at = h.node;
	}
	for (int i = 6; i < TREE_DEPTH_MAX; i++)
		at = enter_child(t, at, 0);
	assert_int_equal(node_table_enter_child(t, node_slot(at), 0, &empty, 5, &h), 0);
	assert_int_equal(node_table_enter_child(t, node_slot(h.node), 0, &empty, 5, &h), -ELOOP);
}

static void test_a_snapshots_names_are_told(void **state)
{
	CLEANUP(node_table_free_ptr) struct node_table *t = make();
	CLEANUP(free_ptr) char *names = NULL;
	uint64_t today = enter_root(t, 1, "@today");

	(void)state;
	(void)enter_child(t, today, 0);
	(void)enter_root(t, 2, "@yesterday");
	assert_int_equal(node_table_root_names(t, 3, &names), 0);
	assert_null(names);
	/* The canonical root, which has no name of its own, and the alias. */
	assert_int_equal(node_table_root_names(t, 1, &names), 2);
	assert_string_equal(names, "");
	assert_string_equal(names + 1, "@today");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_say_what_they_are),
		cmocka_unit_test(test_the_same_directory_is_the_same_node),
		cmocka_unit_test(test_an_alias_is_another_node_with_the_canonical_files),
		cmocka_unit_test(test_a_name_is_bound_to_its_snapshot),
		cmocka_unit_test(test_what_is_forgotten_leaves),
		cmocka_unit_test(test_a_file_keeps_its_directory),
		cmocka_unit_test(test_slots_come_again_under_another_generation),
		cmocka_unit_test(test_forgetting_too_much_changes_nothing),
		cmocka_unit_test(test_many_nodes_are_found_again),
		cmocka_unit_test(test_a_deep_path_leaves_without_recursion),
		cmocka_unit_test(test_a_directory_is_not_entered_inside_itself),
		cmocka_unit_test(test_a_snapshots_names_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
