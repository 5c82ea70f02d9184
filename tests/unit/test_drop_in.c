/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/drop_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_without(const char *name, const char *text, int found, const char *left)
{
	struct drop_in d = { .folder_fd = -1 };

	byte_buf_append(&d.text, text, strlen(text));
	assert_int_equal(drop_in_remove(&d, name), found);
	assert_int_equal(d.text.n, strlen(left));
	assert_memory_equal(d.text.data, left, d.text.n);
	drop_in_close(&d);
}

static void test_a_section_goes_up_to_the_next_one(void **state)
{
	(void)state;
	expect_without("a", "# top\n[source a]\npath=/a\n\n[source b]\npath=/b\n", 1,
		       "# top\n[source b]\npath=/b\n");
	expect_without("b", "# top\n[source a]\npath=/a\n\n[source b]\npath=/b\n", 1,
		       "# top\n[source a]\npath=/a\n\n");
	expect_without("a", "[source a]\npath=/a", 1, "");
}

static void test_comments_above_the_next_section_stay(void **state)
{
	(void)state;
	expect_without("a", "[source a]\n# of a\npath=/a\n\n# of b\n; too\n[source b]\nx=1\n", 1,
		       "# of b\n; too\n[source b]\nx=1\n");
}

static void test_all_sections_of_that_name_go_and_no_others(void **state)
{
	(void)state;
	expect_without("a", "[source a]\nx=1\n[mount]\npath=\n[source \"a\"]\ny=1\n[source A]\n", 1,
		       "[mount]\npath=\n[source A]\n");
	expect_without("c", "[source a]\nx=1\n", 0, "[source a]\nx=1\n");
	expect_without("a", "", 0, "");
}

static void test_what_is_written_comes_back_whole(void **state)
{
	char folder[64] = "/tmp/yore-drop-in-XXXXXX", deep[96], path[128], command[128];
	struct drop_in d;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(deep, sizeof(deep), "%s/etc/conf.d", folder);
	(void)snprintf(path, sizeof(path), "%s/50-protect.conf", deep);
	assert_int_equal(drop_in_open(&d, deep, path), 0);
	byte_buf_append(&d.text, "[source a]\n", 11);
	assert_int_equal(drop_in_write(&d), 0);
	drop_in_close(&d);
	assert_int_equal(drop_in_open(&d, deep, path), 0);
	byte_buf_u8(&d.text, '\0');
	assert_non_null(strstr((char *)d.text.data, "\n[source a]\n"));
	drop_in_close(&d);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_section_goes_up_to_the_next_one),
		cmocka_unit_test(test_comments_above_the_next_section_stay),
		cmocka_unit_test(test_all_sections_of_that_name_go_and_no_others),
		cmocka_unit_test(test_what_is_written_comes_back_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
