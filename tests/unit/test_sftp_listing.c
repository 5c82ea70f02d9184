/* SPDX-License-Identifier: MIT */
#include "sync/sftp_listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char seen[1024];

static int note(void *context, const struct sftp_entry *entry)
{
	const size_t n = strlen(seen);

	(void)snprintf(seen + n, sizeof(seen) - n, "%s %c %d\n", entry->name,
		       entry->is_folder ? 'd' : '-', entry->known ? (int)entry->size : -1);
	return *(const int *)context;
}

static const char *listed(const char *text)
{
	int go_on = 0;

	seen[0] = '\0';
	assert_int_equal(sftp_listing_parse(text, strlen(text), note, &go_on), 0);
	return seen;
}

static void test_files_and_folders_are_told_apart(void **state)
{
	(void)state;
	assert_string_equal(
		listed("drwx------    2 root     root         4096 Nov 23 07:08 .\n"
		       "drwxr-xr-x   18 root     root         4096 Jan  1  2024 ..\n"
		       "-rw-------    1 1000     domain\\x       16 Nov 23 07:08 config\r\n"
		       "drwx------    2 root     root         4096 Nov 23 07:08 packs\n"
		       "lrwxrwxrwx    1 root     root            7 Nov 23 07:08 link -> packs\n"
		       "srw-------    1 root     root            0 Nov 23 07:08 socket\n"
		       "-rw-------    1 root     root     16777216 Jan  1  2024 0a-b"),
		"config - 16\npacks d 4096\n0a-b - 16777216\n");
}

static void test_names_with_spaces_are_not_cut(void **state)
{
	(void)state;
	assert_string_equal(
		listed("-rw-------    1 root     root           16 Nov 23 07:08 my config\n"), "");
}

static void test_what_is_not_understood_is_not_guessed(void **state)
{
	(void)state;
	assert_string_equal(listed("config\n"), "config - -1\n");
	assert_string_equal(listed("-rw------- 1 root root 12x Nov 23 07:08 a\n"), "a - -1\n");
	assert_string_equal(listed("-rw------- 1 root root 9999999999999999999 Nov 23 07:08 a\n"),
			    "a - -1\n");
	assert_string_equal(listed("\n\n \n"), "");
	assert_string_equal(listed(""), "");
}

static void test_endless_lines_and_zero_bytes_are_passed_over(void **state)
{
	static char text[SFTP_LINE_BYTES_MAX + 200];
	int go_on = 0, stop = 7;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + sizeof(text) - 100, "\nb\nc\0d\ne", 8);
	text[sizeof(text) - 92] = '\n';
	seen[0] = '\0';
	assert_int_equal(sftp_listing_parse(text, sizeof(text) - 91, note, &go_on), 0);
	assert_string_equal(seen, "b - -1\ne - -1\n");
	assert_int_equal(sftp_listing_parse("b\n", 2, note, &stop), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_and_folders_are_told_apart),
		cmocka_unit_test(test_names_with_spaces_are_not_cut),
		cmocka_unit_test(test_what_is_not_understood_is_not_guessed),
		cmocka_unit_test(test_endless_lines_and_zero_bytes_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
