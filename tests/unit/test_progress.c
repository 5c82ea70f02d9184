/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/progress.h"

#include <string.h>

#define NS 1000000000ll
#define MIB (1024.0 * 1024)

static void test_a_known_whole_shows_share_rate_and_time_left(void **state)
{
	struct progress_state s = { .verb = "restoring",
				    .done = 256 << 20,
				    .all = 1 << 30,
				    .bytes = true,
				    .objects = 1200,
				    .noun = "files" };
	char line[256];

	(void)state;
	(void)progress_format(&s, 4 * NS, 64 * MIB, 200, line, sizeof(line));
	assert_string_equal(line,
			    "restoring   25%  256 MiB of 1.0 GiB  1200 files  64 MiB/s  12 s left");
}

static void test_an_unknown_whole_shows_time_passed(void **state)
{
	struct progress_state s = { .verb = "capturing", .done = 42 };
	char line[256];

	(void)state;
	(void)progress_format(&s, 65 * NS, 0, 200, line, sizeof(line));
	assert_string_equal(line, "capturing  42  1 min 5 s");
}

static void test_a_line_never_passes_the_width(void **state)
{
	struct progress_state s = { .verb = "restoring", .done = 7, .all = 5 };
	char line[256];

	(void)state;
	assert_int_equal(progress_format(&s, NS, 1, 12, line, sizeof(line)), 12);
	assert_int_equal(strlen(line), 12);
	assert_int_equal(progress_format(&s, NS, 1, 200, line, 8), 7);
}

static void test_more_than_all_is_all(void **state)
{
	struct progress_state s = { .verb = "x", .done = 7, .all = 5 };
	char line[256];

	(void)state;
	(void)progress_format(&s, NS, 1, 200, line, sizeof(line));
	assert_non_null(strstr(line, "100%  5 of 5"));
}

static void test_the_rate_is_smooth_and_never_negative(void **state)
{
	double rate = progress_rate(0, 0, 0, 100, NS);

	(void)state;
	assert_true(rate > 99.9 && rate < 100.1);
	rate = progress_rate(rate, 100, NS, 100, NS + NS / 5);
	assert_true(rate > 80 && rate < 90);
	assert_true(progress_rate(50, 100, NS, 90, 2 * NS) == 50);
	assert_true(progress_rate(50, 100, NS, 110, NS) == 50);
}

static void test_without_a_terminal_nothing_runs(void **state)
{
	struct progress *p = NULL;

	(void)state;
	assert_int_equal(progress_start(true, NULL, NULL, &p), 0);
	progress_stop(p);
	progress_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_known_whole_shows_share_rate_and_time_left),
		cmocka_unit_test(test_an_unknown_whole_shows_time_passed),
		cmocka_unit_test(test_a_line_never_passes_the_width),
		cmocka_unit_test(test_more_than_all_is_all),
		cmocka_unit_test(test_the_rate_is_smooth_and_never_negative),
		cmocka_unit_test(test_without_a_terminal_nothing_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
