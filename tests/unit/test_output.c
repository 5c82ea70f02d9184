/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS 1000000000ll

static void test_sizes_have_binary_units(void **state)
{
	char text[OUTPUT_SIZE_BYTES];

	(void)state;
	assert_string_equal(output_size(0, text), "0 B");
	assert_string_equal(output_size(1023, text), "1023 B");
	assert_string_equal(output_size(1024, text), "1.0 KiB");
	assert_string_equal(output_size(1536, text), "1.5 KiB");
	assert_string_equal(output_size(10 * 1024, text), "10 KiB");
	assert_string_equal(output_size(1024 * 1024 - 1, text), "1.0 MiB");
	assert_string_equal(output_size(UINT64_MAX, text), "16 EiB");
}

static void test_times_follow_the_zone(void **state)
{
	char text[OUTPUT_TIME_BYTES];

	(void)state;
	(void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	assert_string_equal(output_time(1714566600 * NS, text), "2024-05-01 14:30:00 CEST");
	assert_string_equal(output_time_utc(1714566600 * NS + 5, text),
			    "2024-05-01T12:30:00.000000005Z");
	assert_string_equal(output_time_utc(-1, text), "1969-12-31T23:59:59.999999999Z");
}

static void test_durations_name_two_units_at_most(void **state)
{
	char text[OUTPUT_TIME_BYTES];

	(void)state;
	assert_string_equal(output_duration(-5, text), "0.0 s");
	assert_string_equal(output_duration(NS / 2, text), "0.5 s");
	assert_string_equal(output_duration(12 * NS, text), "12 s");
	assert_string_equal(output_duration(125 * NS, text), "2 min 5 s");
	assert_string_equal(output_duration(7300 * NS, text), "2 h 1 min");
	assert_string_equal(output_duration(3 * 86400 * NS, text), "3 days");
}

static void test_utf8_is_judged_strictly(void **state)
{
	(void)state;
	assert_int_equal(output_utf8("a", 1), 1);
	assert_int_equal(output_utf8("\xc3\xa4", 2), 2);
	assert_int_equal(output_utf8("\xe2\x82\xac", 3), 3);
	assert_int_equal(output_utf8("\xf0\x9f\x98\x80", 4), 4);
	assert_int_equal(output_utf8("\xc3", 1), 0);
	assert_int_equal(output_utf8("\xc0\x80", 2), 0);
	assert_int_equal(output_utf8("\xed\xa0\x80", 3), 0);
	assert_int_equal(output_utf8("\xf4\x90\x80\x80", 4), 0);
	assert_int_equal(output_utf8("\xff", 1), 0);
	assert_int_equal(output_utf8("", 0), 0);
}

static void test_hostile_names_cannot_drive_a_terminal(void **state)
{
	char to[64];

	(void)state;
	(void)output_escape("a\x1b[31m\n\xff\xc3\xa4", 9, to, sizeof(to));
	assert_string_equal(to, "a\\x1b[31m\\x0a\\xff\\xc3");
	(void)output_escape("\xc3\xa4", 2, to, sizeof(to));
	assert_string_equal(to, "\xc3\xa4");
	(void)output_escape("\xc2\x9b", 2, to, sizeof(to)); /* C1: CSI */
	assert_string_equal(to, "\\xc2\\x9b");
	(void)output_escape("\xe2\x80\xae", 3, to, sizeof(to)); /* right-to-left override */
	assert_string_equal(to, "\\xe2\\x80\\xae");
}

static void test_escaping_stays_in_its_room(void **state)
{
	char to[8];

	(void)state;
	memset(to, 'x', sizeof(to));
	assert_int_equal(output_escape("\x01\x02\x03", 3, to, 6), 4);
	assert_string_equal(to, "\\x01");
	assert_int_equal(to[7], 'x');
}

static void test_json_keeps_the_bytes_of_bad_names(void **state)
{
	json_t *o = json_object();

	(void)state;
	assert_int_equal(output_json_name(o, "path", "good", 4), 0);
	assert_string_equal(json_string_value(json_object_get(o, "path")), "good");
	assert_null(json_object_get(o, "path_hex"));
	assert_int_equal(output_json_name(o, "path",
					  "a\xff"
					  "b",
					  3),
			 0);
	assert_string_equal(json_string_value(json_object_get(o, "path")), "a\xef\xbf\xbd"
									   "b");
	assert_string_equal(json_string_value(json_object_get(o, "path_hex")), "61ff62");
	json_decref(o);
}

static void test_a_streamed_list_is_json(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *stream = open_memstream(&text, &n);
	struct json_list list;
	json_t *back;

	(void)state;
	json_list_begin(&list, stream);
	for (int i = 0; i < 3; i++)
		assert_int_equal(json_list_add(&list, json_pack("{s:i}", "i", i)), 0);
	json_list_end(&list);
	(void)fclose(stream);
	back = json_loads(text, 0, NULL);
	assert_int_equal(json_array_size(back), 3);
	json_decref(back);
	free(text);

	stream = open_memstream(&text, &n);
	json_list_begin(&list, stream);
	json_list_end(&list);
	(void)fclose(stream);
	assert_string_equal(text, "[]\n");
	free(text);
}

static void test_words_go_with_their_number(void **state)
{
	(void)state;
	assert_string_equal(output_plural(0, "pack", "packs"), "packs");
	assert_string_equal(output_plural(1, "pack", "packs"), "pack");
	assert_string_equal(output_plural(2, "pack", "packs"), "packs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_have_binary_units),
		cmocka_unit_test(test_times_follow_the_zone),
		cmocka_unit_test(test_durations_name_two_units_at_most),
		cmocka_unit_test(test_utf8_is_judged_strictly),
		cmocka_unit_test(test_hostile_names_cannot_drive_a_terminal),
		cmocka_unit_test(test_escaping_stays_in_its_room),
		cmocka_unit_test(test_json_keeps_the_bytes_of_bad_names),
		cmocka_unit_test(test_a_streamed_list_is_json),
		cmocka_unit_test(test_words_go_with_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
