/* SPDX-License-Identifier: MIT */
#include "fs/spot_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VERSIONS node_of_folder(HOST_SHOWN, FOLDER_VERSIONS)
#define DIFF node_of_folder(3, FOLDER_DIFF)

static struct spot_table *make(void)
{
	struct spot_table *t;

	assert_int_equal(spot_table_new(&t), 0);
	return t;
}

static uint64_t enter(struct spot_table *t, uint64_t parent, const char *name, uint64_t version)
{
	struct spot like = { .parent = parent, .view = FOLDER_VERSIONS, .version = version };
	uint64_t node;

	like.st.st_size = (off_t)version;
	assert_int_equal(spot_table_enter(t, &like, name, NULL, &node), 0);
	assert_int_equal(node_kind(node), NODE_SPOT);
	return node;
}

static void assert_path(struct spot_table *t, uint64_t node, const char *path)
{
	struct spot s;

	assert_int_equal(spot_table_get(t, node, &s), 0);
	assert_string_equal(s.path, path);
	spot_done(&s);
}

static bool is_there(struct spot_table *t, uint64_t node)
{
	struct spot s;
	int r = spot_table_get(t, node, &s);

	if (r == 0)
		spot_done(&s);
	else
		assert_int_equal(r, -ESTALE);
	return r == 0;
}

static void test_fixed_numbers_say_whose_folder_they_are(void **state)
{
	(void)state;
	for (uint32_t host = 0; host < HOSTS_MAX; host += 1000) {
		for (int folder = FOLDER_ROOT; folder < FOLDER_NONE; folder++) {
			uint64_t node = node_of_folder(host, (enum host_folder)folder);

			assert_int_equal(node_kind(node), NODE_FIXED);
			assert_int_equal(node_host(node), host);
			assert_int_equal(node_folder(node), folder);
		}
	}
	assert_int_equal(node_of_folder(HOST_SHOWN, FOLDER_ROOT), NODE_ROOT);
	assert_int_equal(node_folder(NODE_CONTROL), FOLDER_NONE);
	assert_int_equal(node_folder(NODE_HOSTS), FOLDER_NONE);
	assert_int_equal(key_host(snapshot_key(HOSTS_MAX - 1, 77)), HOSTS_MAX - 1);
	assert_int_equal(key_seq(snapshot_key(HOSTS_MAX - 1, 77)), 77);
	assert_int_equal(node_number(node_of_latest(snapshot_key(HOSTS_MAX - 1, 77))),
			 snapshot_key(HOSTS_MAX - 1, 77));
}

static void test_a_name_in_a_folder_is_one_spot(void **state)
{
	struct spot_table *t = make();
	uint64_t a, b;

	(void)state;
	a = enter(t, VERSIONS, "home", 1);
	b = enter(t, a, "me", 1);
	assert_int_equal(enter(t, VERSIONS, "home", 1), a);
	assert_int_not_equal(enter(t, b, "home", 1), a);
	assert_path(t, a, "/home");
	assert_path(t, b, "/home/me");
	spot_table_free(t);
}

static void test_a_spot_lives_while_it_or_one_in_it_is_known(void **state)
{
	struct spot_table *t = make();
	uint64_t a, b;

	(void)state;
	a = enter(t, VERSIONS, "home", 1);
	(void)enter(t, VERSIONS, "home", 1);
	b = enter(t, a, "me", 1);
	spot_table_forget(t, a, 2);
	assert_true(is_there(t, a));
	assert_path(t, b, "/home/me");
	spot_table_forget(t, b, 1);
	assert_false(is_there(t, b));
	assert_false(is_there(t, a));
	/* Numbers are never used again. */
	assert_int_not_equal(enter(t, VERSIONS, "home", 1), a);
	spot_table_forget(t, a, 1); /* unknown: logged and left alone */
	spot_table_free(t);
}

static void test_attributes_hold_for_their_version(void **state)
{
	struct spot_table *t = make();
	struct stat st;
	uint64_t a, again;

	(void)state;
	a = enter(t, VERSIONS, "home", 5);
	assert_int_equal(spot_table_again(t, VERSIONS, "home", 6, &again, &st), 0);
	assert_int_equal(spot_table_again(t, VERSIONS, "hom", 5, &again, &st), 0);
	assert_int_equal(spot_table_again(t, VERSIONS, "home", 5, &again, &st), 1);
	assert_int_equal(again, a);
	assert_int_equal(st.st_size, 5);
	(void)enter(t, VERSIONS, "home", 6);
	assert_int_equal(spot_table_again(t, VERSIONS, "home", 6, &again, &st), 1);
	assert_int_equal(st.st_size, 6);
	spot_table_forget(t, a, 4);
	assert_false(is_there(t, a));
	spot_table_free(t);
}

static uint64_t enter_diff(struct spot_table *t, uint64_t parent, const char *name,
			   enum spot_kind kind, uint64_t after)
{
	struct spot like = { .parent = parent,
			     .host = 3,
			     .view = FOLDER_DIFF,
			     .kind = kind,
			     .before = 1,
			     .after = after };
	uint64_t node;

	assert_int_equal(spot_table_enter(t, &like, name, NULL, &node), 0);
	return node;
}

static void test_a_comparison_is_of_two_snapshots_and_no_part_of_paths(void **state)
{
	struct spot_table *t = make();
	uint64_t first, second, added, home, *nodes;
	size_t n;

	(void)state;
	first = enter_diff(t, DIFF, "@a..@latest", SPOT_COMPARED, 2);
	second = enter_diff(t, DIFF, "@a..@latest", SPOT_COMPARED, 3);
	assert_int_not_equal(first, second);
	added = enter_diff(t, first, "added", SPOT_ADDED, 2);
	home = enter_diff(t, added, "home", SPOT_ADDED, 2);
	assert_path(t, first, "");
	assert_path(t, added, "");
	assert_path(t, home, "/home");
	assert_path(t, enter_diff(t, home, "me", SPOT_ADDED, 2), "/home/me");
	assert_int_equal(spot_table_nodes(t, 3, &nodes, &n), 0);
	assert_int_equal(n, 5);
	free(nodes);
	assert_int_equal(spot_table_nodes(t, HOST_SHOWN, &nodes, &n), 0);
	assert_int_equal(n, 0);
	free(nodes);
	spot_table_free(t);
}

static void test_a_comparison_holds_its_snapshots(void **state)
{
	struct spot_table *t = make();
	struct spot like = { .parent = DIFF, .view = FOLDER_DIFF, .kind = SPOT_COMPARED };
	struct open_snapshot *held[2], *again[2];
	uint64_t node;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_snapshot_from_root(1, "x", 1, &held[i]), 0);
		assert_int_equal(open_snapshot_from_root(1, "x", 1, &again[i]), 0);
	}
	assert_int_equal(spot_table_enter(t, &like, "@a..@b", held, &node), 0);
	assert_null(held[0]);
	assert_null(held[1]);
	assert_int_equal(spot_table_enter(t, &like, "@a..@b", again, &node), 0);
	assert_non_null(again[0]); /* it was there: these stay the caller's */
	open_snapshot_unref(again[0]);
	open_snapshot_unref(again[1]);
	spot_table_forget(t, node, 2); /* leaks are found by the sanitizer */
	assert_false(is_there(t, node));
	spot_table_free(t);
}

static void test_many_spots_are_found_again(void **state)
{
	struct spot_table *t = make();
	uint64_t nodes[1000];
	char name[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		nodes[i] = enter(t, VERSIONS, name, 1);
	}
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(enter(t, VERSIONS, name, 1), nodes[i]);
		spot_table_forget(t, nodes[i], 2);
		assert_false(is_there(t, nodes[i]));
	}
	spot_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_numbers_say_whose_folder_they_are),
		cmocka_unit_test(test_a_name_in_a_folder_is_one_spot),
		cmocka_unit_test(test_a_spot_lives_while_it_or_one_in_it_is_known),
		cmocka_unit_test(test_attributes_hold_for_their_version),
		cmocka_unit_test(test_a_comparison_is_of_two_snapshots_and_no_part_of_paths),
		cmocka_unit_test(test_a_comparison_holds_its_snapshots),
		cmocka_unit_test(test_many_spots_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
