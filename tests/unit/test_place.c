/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/describe.h"
#include "tools/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void expect_plain(const char *path, const char *expected)
{
	char *plain = NULL;

	assert_int_equal(place_plain_path(path, &plain), 0);
	assert_string_equal(plain, expected);
	free(plain);
}

static void test_paths_are_made_plain(void **state)
{
	(void)state;
	expect_plain("", "");
	expect_plain("/", "");
	expect_plain("/.", "");
	expect_plain("/home/me", "/home/me");
	expect_plain("//home/./me///", "/home/me");
	expect_plain("/a/..b/...", "/a/..b/...");
}

static void test_a_way_up_is_refused(void **state)
{
	char *plain = NULL;

	(void)state;
	assert_int_equal(place_plain_path("/a/../b", &plain), -EINVAL);
	assert_int_equal(place_plain_path("/..", &plain), -EINVAL);
	assert_null(plain);
}

static void test_modes_read_like_those_of_ls(void **state)
{
	char text[11];

	(void)state;
	describe_mode(S_IFREG | 0644, text);
	assert_string_equal(text, "-rw-r--r--");
	describe_mode(S_IFDIR | 01777, text);
	assert_string_equal(text, "drwxrwxrwt");
	describe_mode(S_IFREG | 06755, text);
	assert_string_equal(text, "-rwsr-sr-x");
	describe_mode(S_IFLNK | 0777, text);
	assert_string_equal(text, "lrwxrwxrwx");
	describe_mode(S_IFIFO | 0600, text);
	assert_string_equal(text, "prw-------");
	describe_mode(S_IFSOCK | 0600, text);
	assert_string_equal(text, "srw-------");
}

static void test_a_snapshot_has_the_promised_keys(void **state)
{
	static const char *const keys[] = { "id",   "seq",   "name",  "time",     "host",
					    "tags", "files", "bytes", "new_bytes" };
	struct snapshot_info info = { .seq = 7, .name = "2024-05-01T12-30-00Z", .tags = "a,b" };
	json_t *o = describe_snapshot_json(&info, "here");

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(json_object_get(o, keys[i]));
	assert_string_equal(json_string_value(json_object_get(o, "name")), "@2024-05-01T12-30-00Z");
	assert_int_equal(json_array_size(json_object_get(o, "tags")), 2);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_are_made_plain),
		cmocka_unit_test(test_a_way_up_is_refused),
		cmocka_unit_test(test_modes_read_like_those_of_ls),
		cmocka_unit_test(test_a_snapshot_has_the_promised_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
