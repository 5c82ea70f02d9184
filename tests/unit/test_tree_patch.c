/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_patch.h"
#include "tests/unit/memory_tree.h"

#define MANY 100000u

struct world {
	struct chunk_cache *cache;
	struct tree_writer *writer;
	struct tree_patch *patch;
	uint64_t seed;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->cache = memory_new();
	w->seed = 7;
	assert_int_equal(tree_writer_new(&w->cache->sink, test_key, &w->writer), 0);
	assert_int_equal(tree_patch_new(w->cache, &w->cache->sink, test_key, &w->patch), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	tree_writer_free(w->writer);
	tree_patch_free(w->patch);
	memory_free(w->cache);
	free(w);
	return 0;
}

/* File i at a version; some are long symlinks, so that nodes end because they are full. */
static const struct tree_entry *file(struct test_file *f, uint32_t i, uint32_t version, bool large)
{
	static const char target[LINK_BYTES_MAX] = { [0 ... LINK_BYTES_MAX - 1] = 't' };
	char name[32];

	(void)snprintf(name, sizeof(name), "file-%08u.jpg", i);
	(void)test_file(f, name, version);
	if (large && (i + version) % 3 == 0) {
		f->entry.mode = S_IFLNK | 0777;
		f->entry.content = (struct content){ 0 };
		f->entry.link = target;
		f->entry.link_n = (uint32_t)sizeof(target) - (i * 37 + version) % 3000;
		f->entry.size = f->entry.link_n;
	}
	return &f->entry;
}

/* The directory of the files whose version is not 0, from scratch. */
static struct chunk_id write_all(struct world *w, const uint32_t *versions, uint32_t n, bool large)
{
	struct chunk_id root;
	uint64_t count;

	for (uint32_t i = 0; i < n; i++) {
		struct test_file f;

		if (versions[i])
			assert_int_equal(
				tree_writer_add(w->writer, file(&f, i, versions[i], large)), 0);
	}
	assert_int_equal(tree_writer_finish(w->writer, &root, &count), 0);
	return root;
}

/* The same by patching `old`, which has the versions `before`. */
static struct chunk_id patch(struct world *w, const struct chunk_id *old, const uint32_t *before,
			     const uint32_t *now, uint32_t n, bool large)
{
	struct chunk_id root;
	uint64_t count, expect = 0;

	assert_int_equal(tree_patch_begin(w->patch, old), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct tree_entry was;
		struct test_file f;
		int r = before[i] != 0;

		expect += now[i] != 0;
		if (before[i] == now[i])
			continue;
		(void)file(&f, i, now[i] ? now[i] : 1, large);
		if (now[i])
			assert_int_equal(tree_patch_put(w->patch, &f.entry, &was), r);
		else
			assert_int_equal(
				tree_patch_remove(w->patch, f.entry.name, f.entry.name_n, &was), 1);
		if (before[i])
			assert_int_equal(was.ino, 5000000 + before[i]);
	}
	assert_int_equal(tree_patch_finish(w->patch, &root, &count), 0);
	assert_int_equal(count, expect);
	return root;
}

/* Change some names: alone, or in stretches, which may be removed or filled as a whole. */
static void change(struct world *w, uint32_t *versions, uint32_t n)
{
	uint32_t changes = (uint32_t)(test_random(&w->seed) % 4);

	for (uint32_t i = 0; i <= changes; i++) {
		uint32_t at = (uint32_t)(test_random(&w->seed) % n);
		uint32_t kind = (uint32_t)(test_random(&w->seed) % 8);
		uint32_t span = kind < 6 ? 1 : (uint32_t)(test_random(&w->seed) % n);

		for (uint32_t j = at; j < n && j < at + span; j++) {
			uint32_t version = (uint32_t)(test_random(&w->seed) % 100000 + 1);

			versions[j] = kind % 2 ? version : 0;
		}
	}
}

static void check_rounds(struct world *w, uint32_t n, uint32_t rounds, bool large)
{
	uint32_t *before = calloc(n, sizeof(*before)), *now = calloc(n, sizeof(*now));
	struct chunk_id root = { 0 };

	for (uint32_t i = 0; i < rounds; i++) {
		struct chunk_id expect;

		change(w, now, n);
		expect = write_all(w, now, n, large);
		root = patch(w, &root, before, now, n, large);
		assert_memory_equal(&root, &expect, sizeof(root));
		memcpy(before, now, n * sizeof(*now));
	}
	free(before);
	free(now);
}

static void test_a_patched_tree_is_the_tree_written_from_scratch(void **state)
{
	check_rounds(*state, 20, 300, false);
	check_rounds(*state, 600, 200, false);
	check_rounds(*state, 6000, 60, false);
}

static void test_so_it_is_where_nodes_end_because_they_are_full(void **state)
{
	check_rounds(*state, 40, 300, true);
	check_rounds(*state, 400, 200, true);
	check_rounds(*state, 2500, 40, true);
}

/* A node that is full ended because of the entry behind it: without that it goes on. */
static void test_whatever_entry_goes_full_nodes_end_where_they_should(void **state)
{
	struct world *w = *state;
	uint32_t all[150], now[150];
	struct chunk_id root, expect, got;

	for (uint32_t i = 0; i < 150; i++)
		all[i] = 3 + (3 - i % 3) % 3; /* long ones */
	root = write_all(w, all, 150, true);
	for (uint32_t i = 0; i < 150; i++) {
		for (uint32_t smaller = 0; smaller < 2; smaller++) {
			memcpy(now, all, sizeof(now));
			now[i] = smaller ? all[i] + 1 : 0;
			expect = write_all(w, now, 150, true);
			got = patch(w, &root, all, now, 150, true);
			assert_memory_equal(&got, &expect, sizeof(got));
		}
	}
}

/* Trees of three levels, cut down to any of their ends. */
static void test_a_stretch_of_a_tall_tree_is_the_tree_of_that_stretch(void **state)
{
	struct world *w = *state;
	uint32_t *all = calloc(MANY, sizeof(*all)), *now = calloc(MANY, sizeof(*now));
	struct chunk_id root, part, expect;

	for (uint32_t i = 0; i < MANY; i++)
		all[i] = i + 1;
	root = write_all(w, all, MANY, false);
	for (uint32_t round = 0; round < 6; round++) {
		uint32_t first = (uint32_t)(test_random(&w->seed) % MANY);
		uint32_t last = round < 3 ? MANY : first + (uint32_t)(test_random(&w->seed) % 3000);

		memset(now, 0, MANY * sizeof(*now));
		for (uint32_t i = first; i < last && i < MANY; i++)
			now[i] = all[i];
		expect = write_all(w, now, MANY, false);
		part = patch(w, &root, all, now, MANY, false);
		assert_memory_equal(&part, &expect, sizeof(part));
	}
	free(all);
	free(now);
}

static void test_few_changes_among_many_touch_a_handful_of_nodes(void **state)
{
	struct world *w = *state;
	uint32_t *before = calloc(MANY, sizeof(*before)), *now = calloc(MANY, sizeof(*now));
	struct chunk_id root, expect;
	uint64_t gets = 0, puts = 0;

	for (uint32_t i = 0; i < MANY; i++)
		before[i] = now[i] = i + 1;
	root = write_all(w, now, MANY, false);
	for (uint32_t round = 0; round < 20; round++) {
		uint64_t gets_before, puts_before;
		uint32_t at = (uint32_t)(test_random(&w->seed) % MANY);

		now[at] = round % 3 == 2 ? 0 : MANY + round;
		gets_before = w->cache->gets;
		puts_before = w->cache->puts;
		root = patch(w, &root, before, now, MANY, false);
		gets += w->cache->gets - gets_before;
		puts += w->cache->puts - puts_before;
		before[at] = now[at];
	}
	expect = write_all(w, now, MANY, false);
	assert_memory_equal(&root, &expect, sizeof(root));
	/* On the way: the root, at most one inner node and one leaf, and rarely a neighbour. */
	assert_true(gets <= 20 * 6);
	assert_true(puts <= 20 * 6);
	assert_int_equal(w->cache->prefetches, 0);
	free(before);
	free(now);
}

static void test_nothing_changed_gives_the_old_root_unwritten(void **state)
{
	struct world *w = *state;
	uint32_t versions[3] = { 1, 2, 3 };
	struct chunk_id root = write_all(w, versions, 3, false), again;
	uint64_t count, puts = w->cache->puts;

	assert_int_equal(tree_patch_begin(w->patch, &root), 0);
	assert_int_equal(tree_patch_finish(w->patch, &again, &count), 0);
	assert_int_equal(count, 3);
	assert_memory_equal(&root, &again, sizeof(root));
	assert_int_equal(w->cache->puts, puts);
}

static void test_names_not_listed_any_more_are_left_out_one_by_one(void **state)
{
	struct world *w = *state;
	uint32_t versions[5] = { 1, 2, 3, 4, 5 }, left[5] = { 0, 0, 3, 0, 0 };
	struct chunk_id root = write_all(w, versions, 5, false), expect, got;
	struct tree_entry was;
	struct test_file f;
	uint64_t count;

	expect = write_all(w, left, 5, false);
	assert_int_equal(tree_patch_begin(w->patch, &root), 0);
	(void)file(&f, 2, 3, false);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(
			tree_patch_remove_before(w->patch, f.entry.name, f.entry.name_n, &was), 1);
		assert_int_equal(was.ino, 5000001 + i);
	}
	assert_int_equal(tree_patch_remove_before(w->patch, f.entry.name, f.entry.name_n, &was), 0);
	assert_int_equal(tree_patch_put(w->patch, &f.entry, NULL), 1);
	assert_int_equal(tree_patch_remove_before(w->patch, NULL, 0, &was), 1);
	assert_int_equal(tree_patch_remove_before(w->patch, NULL, 0, &was), 1);
	assert_int_equal(tree_patch_remove_before(w->patch, NULL, 0, &was), 0);
	assert_int_equal(tree_patch_finish(w->patch, &got, &count), 0);
	assert_int_equal(count, 1);
	assert_memory_equal(&got, &expect, sizeof(got));
}

static void test_changes_must_ascend(void **state)
{
	struct world *w = *state;
	struct chunk_id none = { 0 };
	struct test_file f;

	assert_int_equal(tree_patch_begin(w->patch, &none), 0);
	assert_int_equal(tree_patch_put(w->patch, test_file(&f, "b", 1), NULL), 0);
	assert_int_equal(tree_patch_put(w->patch, test_file(&f, "a", 1), NULL), -EINVAL);
	assert_int_equal(tree_patch_remove(w->patch, "b", 1, NULL), -EINVAL);
	assert_int_equal(tree_patch_remove(w->patch, "c", 1, NULL), 0);
}

static void test_a_damaged_node_is_met_only_where_something_changes(void **state)
{
	struct world *w = *state;
	uint32_t *before = calloc(MANY, sizeof(*before)), *now = calloc(MANY, sizeof(*now));
	struct chunk_id root, expect, got;
	struct tree_entry was;
	struct test_file f;
	uint64_t objects;

	for (uint32_t i = 0; i < MANY; i++)
		before[i] = now[i] = i + 1;
	root = write_all(w, now, MANY, false);
	now[MANY / 2] = MANY + 1;
	expect = write_all(w, now, MANY, false);
	objects = w->cache->objects;
	/* Which leaf it is: the one that finding its first name loads. */
	for (uint32_t i = 0; i < MEMORY_SLOTS; i++) {
		struct memory_object *o = w->cache->slots[i];

		if (o && memmem(o->data, o->n, "00000007.jpg", 12))
			o->damaged = true;
	}
	got = patch(w, &root, before, now, MANY, false);
	assert_memory_equal(&got, &expect, sizeof(got));
	assert_int_equal(w->cache->objects, objects);
	assert_int_equal(tree_patch_begin(w->patch, &root), 0);
	assert_int_equal(tree_patch_put(w->patch, file(&f, 7, 1, false), &was), -EBADMSG);
	free(before);
	free(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_patched_tree_is_the_tree_written_from_scratch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_so_it_is_where_nodes_end_because_they_are_full,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_whatever_entry_goes_full_nodes_end_where_they_should, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_stretch_of_a_tall_tree_is_the_tree_of_that_stretch, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_few_changes_among_many_touch_a_handful_of_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_changed_gives_the_old_root_unwritten,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_names_not_listed_any_more_are_left_out_one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_must_ascend, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_damaged_node_is_met_only_where_something_changes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
