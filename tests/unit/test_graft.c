/* SPDX-License-Identifier: MIT */
#include "snapshots/graft.h"
#include "tests/unit/memory_tree.h"

static struct chunk_cache *cache;
static struct graft graft;
static struct byte_buf root;
static char asked[512]; /* paths of placeholders, each with ';' */

static int placeholder(void *context, const char *path, struct tree_entry *ret_entry)
{
	size_t n = strlen(asked);

	assert_null(context);
	(void)snprintf(asked + n, sizeof(asked) - n, "%s;", path);
	*ret_entry = (struct tree_entry){ .mode = S_IFDIR | 0711,
					  .nlink = 2,
					  .flags = ENTRY_PLACEHOLDER };
	return 0;
}

static int setup(void **state)
{
	struct tree_entry e = { .mode = S_IFDIR | 0755, .nlink = 2, .name = "" };

	(void)state;
	cache = memory_new();
	asked[0] = '\0';
	graft = (struct graft){ .placeholder = placeholder };
	assert_int_equal(tree_reader_new(cache, &graft.reader), 0);
	assert_int_equal(tree_patch_new(cache, &cache->sink, test_key, &graft.patch), 0);
	return tree_entry_encode(&root, &e);
}

static int teardown(void **state)
{
	(void)state;
	tree_reader_free(graft.reader);
	tree_patch_free(graft.patch);
	byte_buf_done(&root);
	memory_free(cache);
	return 0;
}

/* Put file number `version` at a path. */
static int put(const char *path, uint64_t version, bool keep)
{
	struct test_file f;

	return graft_apply(&graft, &root, path, test_file(&f, "ignored", version), keep);
}

/* What is at a path: -ENOENT and so on, or 0 and a copy of the plain fields. */
static int look(const char *path, struct tree_entry *ret_entry)
{
	struct entry_decoder d = { 0 };
	struct tree_entry e;
	int r;

	assert_int_equal(tree_entry_decode(root.data, root.n, &d, &e), 0);
	r = tree_reader_walk(graft.reader, &e.tree, path + 1, ret_entry);
	entry_decoder_done(&d);
	return r;
}

static uint64_t version_of(const struct tree_entry *e)
{
	return e->ino - 5000000; /* as test_file numbers them */
}

static void has(const char *path, uint64_t version)
{
	struct tree_entry e;

	assert_int_equal(look(path, &e), 0);
	assert_true(S_ISREG(e.mode));
	assert_int_equal(version_of(&e), version);
}

static void test_missing_folders_on_the_way_are_asked_for(void **state)
{
	struct tree_entry e;

	(void)state;
	assert_int_equal(put("/a/b/file", 1, false), 0);
	assert_string_equal(asked, "/a;/a/b;");
	has("/a/b/file", 1);
	assert_int_equal(look("/a/b", &e), 0);
	assert_int_equal(e.mode, S_IFDIR | 0711);
	assert_true(e.flags & ENTRY_PLACEHOLDER);
}

static void test_siblings_stay(void **state)
{
	char path[32];

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		(void)snprintf(path, sizeof(path), "/a/%s/f%03u", i % 2 ? "x" : "y",
			       (unsigned int)i);
		assert_int_equal(put(path, i, false), 0);
	}
	assert_string_equal(asked, "/a;/a/y;/a/x;");
	assert_int_equal(put("/a/x/f001", 777, false), 0);
	has("/a/x/f001", 777);
	for (uint64_t i = 2; i < 200; i++) {
		(void)snprintf(path, sizeof(path), "/a/%s/f%03u", i % 2 ? "x" : "y",
			       (unsigned int)i);
		has(path, i);
	}
}

static void test_an_entry_is_taken_out(void **state)
{
	struct tree_entry e;

	(void)state;
	assert_int_equal(put("/a/one", 1, false), 0);
	assert_int_equal(put("/a/two", 2, false), 0);
	assert_int_equal(graft_apply(&graft, &root, "/a/one", NULL, false), 0);
	assert_int_equal(look("/a/one", &e), -ENOENT);
	has("/a/two", 2);
	/* What is not there can be taken out as well. */
	assert_int_equal(graft_apply(&graft, &root, "/a/one", NULL, false), 0);
	has("/a/two", 2);
}

static void test_keep_leaves_what_is_there(void **state)
{
	(void)state;
	assert_int_equal(put("/a/one", 1, false), 0);
	assert_int_equal(put("/a/one", 2, true), 0);
	has("/a/one", 1);
	assert_int_equal(put("/a/new", 3, true), 0);
	has("/a/new", 3);
}

static void test_the_root_itself_is_replaced(void **state)
{
	struct tree_entry e = { .mode = S_IFDIR | 0700, .nlink = 2, .name = "x", .name_n = 1 };
	struct entry_decoder d = { 0 };
	struct tree_entry got;

	(void)state;
	assert_int_equal(put("/a/one", 1, false), 0);
	assert_int_equal(graft_apply(&graft, &root, "/", &e, false), 0);
	assert_int_equal(tree_entry_decode(root.data, root.n, &d, &got), 0);
	assert_int_equal(got.mode, S_IFDIR | 0700);
	assert_int_equal(got.name_n, 0);
	entry_decoder_done(&d);
	assert_int_equal(look("/a", &got), -ENOENT);
}

static void test_a_file_on_the_way_becomes_a_folder(void **state)
{
	(void)state;
	assert_int_equal(put("/a", 1, false), 0);
	assert_int_equal(put("/a/below", 2, false), 0);
	assert_string_equal(asked, "/a;");
	has("/a/below", 2);
}

static void test_names_too_long_are_refused(void **state)
{
	char path[NAME_BYTES_MAX + 16] = "/";
	struct tree_entry e;

	(void)state;
	assert_int_equal(put("/a", 1, false), 0);
	memset(path + 1, 'x', NAME_BYTES_MAX + 1);
	strcpy(path + 1 + NAME_BYTES_MAX + 1, "/f");
	assert_int_equal(put(path, 2, false), -ENAMETOOLONG);
	has("/a", 1);
	path[NAME_BYTES_MAX + 1] = '\0';
	assert_int_equal(put(path, 3, false), 0); /* the longest that there may be */
	assert_int_equal(look(path, &e), 0);
	assert_int_equal(version_of(&e), 3);
}

static void test_equal_grafts_give_equal_roots(void **state)
{
	struct byte_buf first = { 0 };

	(void)state;
	assert_int_equal(put("/a/one", 1, false), 0);
	assert_int_equal(put("/b/two", 2, false), 0);
	byte_buf_append(&first, root.data, root.n);
	assert_int_equal(put("/a/one", 9, false), 0);
	assert_int_not_equal(memcmp(first.data, root.data, root.n), 0);
	assert_int_equal(put("/a/one", 1, false), 0);
	assert_int_equal(first.n, root.n);
	assert_memory_equal(first.data, root.data, root.n);
	byte_buf_done(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_missing_folders_on_the_way_are_asked_for,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_siblings_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_entry_is_taken_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep_leaves_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_root_itself_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_on_the_way_becomes_a_folder, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_names_too_long_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_equal_grafts_give_equal_roots, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
