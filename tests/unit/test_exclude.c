/* SPDX-License-Identifier: MIT */
#include "snapshots/exclude.h"
#include "snapshots/glob.h"
#include "store/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* One line, one path. */
static int excluded(const char *lines, const char *path, bool is_folder)
{
	CLEANUP(exclude_free_ptr) struct exclude *e = NULL;

	assert_int_equal(exclude_new(lines, &e), 0);
	return exclude_match(e, path, is_folder);
}

static void test_a_plain_name_matches_at_any_depth(void **state)
{
	(void)state;
	assert_int_equal(excluded("foo", "foo", false), 1);
	assert_int_equal(excluded("foo", "a/b/foo", true), 1);
	assert_int_equal(excluded("foo", "foobar", false), 0);
	assert_int_equal(excluded("foo", "foo/bar", false), 0);
	assert_int_equal(excluded("", "foo", false), 0);
}

static void test_a_slash_ties_to_the_root(void **state)
{
	(void)state;
	assert_int_equal(excluded("/foo", "foo", false), 1);
	assert_int_equal(excluded("/foo", "a/foo", false), 0);
	assert_int_equal(excluded("doc/frotz", "doc/frotz", false), 1);
	assert_int_equal(excluded("doc/frotz", "a/doc/frotz", true), 0);
	assert_int_equal(excluded("/*.c", "cat-file.c", false), 1);
	assert_int_equal(excluded("/*.c", "mozilla-sha1/sha1.c", false), 0);
}

static void test_a_trailing_slash_means_folders(void **state)
{
	(void)state;
	assert_int_equal(excluded("frotz/", "frotz", true), 1);
	assert_int_equal(excluded("frotz/", "a/frotz", true), 1);
	assert_int_equal(excluded("frotz/", "frotz", false), 0);
	assert_int_equal(excluded("doc/frotz/", "a/doc/frotz", true), 0);
	assert_int_equal(excluded("/", "a", true), 0);
}

static void test_single_stars_and_marks_stay_in_a_component(void **state)
{
	(void)state;
	assert_int_equal(excluded("foo/*", "foo/test.json", false), 1);
	assert_int_equal(excluded("foo/*", "foo/bar/hello.c", false), 0);
	assert_int_equal(excluded("*.o", "a/b.o", false), 1);
	assert_int_equal(excluded("*.o", ".o", false), 1);
	assert_int_equal(excluded("*.o", "o", false), 0);
	assert_int_equal(excluded("a?c", "abc", false), 1);
	assert_int_equal(excluded("a?c", "ac", false), 0);
	assert_int_equal(excluded("x/a?c", "x/a/c", false), 0);
	assert_int_equal(excluded("*a*b*", "xxaxxbxx", false), 1);
	assert_int_equal(excluded("*", ".hidden", false), 1);
}

static void test_double_stars_span_folders(void **state)
{
	(void)state;
	assert_int_equal(excluded("**/foo", "foo", false), 1);
	assert_int_equal(excluded("**/foo", "a/b/foo", false), 1);
	assert_int_equal(excluded("**/foo/bar", "x/foo/bar", false), 1);
	assert_int_equal(excluded("**/foo/bar", "foo/x/bar", false), 0);
	assert_int_equal(excluded("abc/**", "abc/x/y", false), 1);
	assert_int_equal(excluded("abc/**", "abc", true), 0);
	assert_int_equal(excluded("abc/**", "x/abc/y", false), 0);
	assert_int_equal(excluded("a/**/b", "a/b", false), 1);
	assert_int_equal(excluded("a/**/b", "a/x/y/b", false), 1);
	assert_int_equal(excluded("a/**/b", "a/x/y/c", false), 0);
	assert_int_equal(excluded("a/**/b/**/c", "a/b/x/b/c", false), 1);
	assert_int_equal(excluded("foo**bar", "fooxbar", false), 1);
	assert_int_equal(excluded("x/foo**bar", "x/foo/bar", false), 0);
	assert_int_equal(excluded("**", "any/where", false), 1);
}

static void test_the_last_match_decides(void **state)
{
	(void)state;
	assert_int_equal(excluded("*.log\n!keep.log", "keep.log", false), 0);
	assert_int_equal(excluded("*.log\n!keep.log", "other.log", false), 1);
	assert_int_equal(excluded("!keep.log\n*.log", "keep.log", false), 1);
	assert_int_equal(excluded("/*\n!/foo\n/foo/*\n!/foo/bar", "foo/bar", true), 0);
	assert_int_equal(excluded("/*\n!/foo\n/foo/*\n!/foo/bar", "foo/baz", true), 1);
	assert_int_equal(excluded("/*\n!/foo\n/foo/*\n!/foo/bar", "x", true), 1);
}

static void test_comments_blanks_and_escapes(void **state)
{
	(void)state;
	assert_int_equal(excluded("#foo", "#foo", false), 0);
	assert_int_equal(excluded("\\#foo", "#foo", false), 1);
	assert_int_equal(excluded("\\!foo", "!foo", false), 1);
	assert_int_equal(excluded("foo   ", "foo", false), 1);
	assert_int_equal(excluded("foo\\ ", "foo ", false), 1);
	assert_int_equal(excluded("foo\\  ", "foo ", false), 1);
	assert_int_equal(excluded("   ", "   ", false), 0);
	assert_int_equal(excluded("foo\r\nbar\r", "foo", false), 1);
	assert_int_equal(excluded("foo\r\nbar\r", "bar", false), 1);
	assert_int_equal(excluded("a\\*b", "a*b", false), 1);
	assert_int_equal(excluded("a\\*b", "axb", false), 0);
	assert_int_equal(excluded("*\\?", "x?", false), 1);
	assert_int_equal(excluded("a\\/b", "a/b", false), 1);
	assert_int_equal(excluded("!", "x", false), 0);
}

static void test_classes(void **state)
{
	(void)state;
	assert_int_equal(excluded("*.[oa]", "x.o", false), 1);
	assert_int_equal(excluded("*.[oa]", "x.c", false), 0);
	assert_int_equal(excluded("[!a-c]x", "dx", false), 1);
	assert_int_equal(excluded("[^a-c]x", "bx", false), 0);
	assert_int_equal(excluded("[]]", "]", false), 1);
	assert_int_equal(excluded("[]-]", "-", false), 1);
	assert_int_equal(excluded("[a\\]b]", "]", false), 1);
	assert_int_equal(excluded("[[:digit:]]x", "7x", false), 1);
	assert_int_equal(excluded("[[:digit:]]x", "ax", false), 0);
	assert_int_equal(excluded("[[:upper:][:space:]]", " ", false), 1);
	assert_int_equal(excluded("[z-a]", "m", false), 0);
	assert_int_equal(excluded("x/[!a]b", "x//b", false), 0);
	assert_int_equal(excluded("\xff[\x80-\xff]", "\xff\xc3", false), 1);
}

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static void test_malformed_patterns_match_nothing(void **state)
{
	(void)state;
	log_set_sink(drop_line);
	assert_int_equal(excluded("[abc", "a", false), 0);
	assert_int_equal(excluded("[abc", "[abc", false), 0);
	assert_int_equal(excluded("foo\\", "foo", false), 0);
	assert_int_equal(excluded("foo\\", "foo\\", false), 0);
	assert_int_equal(excluded("[", "[", false), 0);
	assert_int_equal(excluded("[[:alpha:", "a", false), 0);
	log_set_sink(NULL);
}

/* Each would take longer than the universe has lasted if matching were exponential. */
static void test_hostile_patterns_end_soon(void **state)
{
	char name[256], path[4096], pattern[1024] = "";
	clock_t start = clock();

	(void)state;
	memset(name, 'a', 255);
	name[255] = '\0';
	for (int i = 0; i < 250; i++)
		memcpy(pattern + 2 * i, "*a", 3);
	strcat(pattern, "b");
	assert_int_equal(excluded(pattern, name, false), 0);

	memset(path, 'a', sizeof(path));
	for (size_t i = 1; i < sizeof(path); i += 2)
		path[i] = '/';
	path[sizeof(path) - 1] = '\0';
	path[sizeof(path) - 2] = 'a';
	pattern[0] = '\0';
	for (int i = 0; i < 120; i++)
		strcat(pattern, "**/*a*/");
	strcat(pattern, "b");
	assert_int_equal(excluded(pattern, path, false), 0);
	assert_true(clock() - start < CLOCKS_PER_SEC);
}

static void test_glob_folds_case_when_asked(void **state)
{
	(void)state;
	assert_true(glob_name("*.ODT", 5, "a.odt", 5, true));
	assert_false(glob_name("*.ODT", 5, "a.odt", 5, false));
	assert_true(glob_name("[A-C]x", 6, "bX", 2, true));
	assert_true(glob_name("", 0, "", 0, false));
	assert_false(glob_name("a", 1, "", 0, false));
	assert_true(glob_has_magic("a*", 2));
	assert_false(glob_has_magic("ab", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_name_matches_at_any_depth),
		cmocka_unit_test(test_a_slash_ties_to_the_root),
		cmocka_unit_test(test_a_trailing_slash_means_folders),
		cmocka_unit_test(test_single_stars_and_marks_stay_in_a_component),
		cmocka_unit_test(test_double_stars_span_folders),
		cmocka_unit_test(test_the_last_match_decides),
		cmocka_unit_test(test_comments_blanks_and_escapes),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_malformed_patterns_match_nothing),
		cmocka_unit_test(test_hostile_patterns_end_soon),
		cmocka_unit_test(test_glob_folds_case_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
