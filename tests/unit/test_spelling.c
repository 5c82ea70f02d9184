/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/spelling.h"

#include <string.h>

static const char *nearest(const char *typed)
{
	static const char *const words[] = { "snapshot", "snapshots", "status", "restore", "ls" };
	struct spelling s = { 0 };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		spelling_offer(&s, typed, words[i]);
	return s.word;
}

static void test_distances_count_edits_and_swaps(void **state)
{
	(void)state;
	assert_int_equal(spelling_distance("", ""), 0);
	assert_int_equal(spelling_distance("abc", ""), 3);
	assert_int_equal(spelling_distance("kitten", "sitting"), 3);
	assert_int_equal(spelling_distance("stauts", "status"), 1);
}

static void test_a_typo_finds_its_word(void **state)
{
	(void)state;
	assert_string_equal(nearest("snapshto"), "snapshot");
	assert_string_equal(nearest("stats"), "status");
	assert_string_equal(nearest("resotre"), "restore");
	assert_string_equal(nearest("rest"), "restore");
}

static void test_other_words_find_nothing(void **state)
{
	char huge[200];

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_null(nearest("frobnicate"));
	assert_null(nearest(huge));
	assert_null(nearest(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distances_count_edits_and_swaps),
		cmocka_unit_test(test_a_typo_finds_its_word),
		cmocka_unit_test(test_other_words_find_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
