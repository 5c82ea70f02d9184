/* SPDX-License-Identifier: MIT */
#include "store/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_seconds_are_rounded_down_before_1970_too(void **state)
{
	(void)state;
	assert_int_equal(clock_floor_seconds(0), 0);
	assert_int_equal(clock_floor_seconds(NS_PER_S - 1), 0);
	assert_int_equal(clock_floor_seconds(NS_PER_S), 1);
	assert_int_equal(clock_floor_seconds(-1), -1);
	assert_int_equal(clock_floor_seconds(-NS_PER_S), -1);
	assert_int_equal(clock_floor_seconds(-NS_PER_S - 1), -2);
	assert_int_equal(clock_floor_seconds(INT64_MIN), INT64_MIN / NS_PER_S - 1);
}

static void test_a_moment_is_cut_into_seconds_and_the_rest(void **state)
{
	const struct timespec t = clock_timespec(3 * NS_PER_S + 7);

	(void)state;
	assert_int_equal(t.tv_sec, 3);
	assert_int_equal(t.tv_nsec, 7);
}

static void test_each_clock_is_the_one_that_it_is_named_after(void **state)
{
	struct timespec t;
	int64_t from = clock_now_ns();

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &t), 0);
	assert_in_range(t.tv_sec, from / NS_PER_S - 60, from / NS_PER_S + 60);
	from = clock_monotonic_ns();
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	assert_true(from <= t.tv_sec * NS_PER_S + t.tv_nsec);
	from = clock_boottime_ns();
	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
	assert_true(from <= t.tv_sec * NS_PER_S + t.tv_nsec);
	from = clock_cpu_ns();
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	assert_true(from <= t.tv_sec * NS_PER_S + t.tv_nsec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seconds_are_rounded_down_before_1970_too),
		cmocka_unit_test(test_a_moment_is_cut_into_seconds_and_the_rest),
		cmocka_unit_test(test_each_clock_is_the_one_that_it_is_named_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
