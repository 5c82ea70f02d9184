/* SPDX-License-Identifier: MIT */
#include "snapshots/pacer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_bytes_take_the_time_that_their_rate_says(void **state)
{
	struct pacer p;
	double began = now_s();

	(void)state;
	pacer_begin(&p, 1000000, 0);
	for (int i = 0; i < 10; i++)
		pacer_spend(&p, 20000, NULL);
	assert_true(now_s() - began >= 0.2);
}

static void test_cpu_takes_the_time_that_its_share_says(void **state)
{
	struct pacer p;
	clock_t cpu = clock();
	double began = now_s();
	volatile unsigned int work = 0;

	(void)state;
	pacer_begin(&p, 0, 20);
	while (clock() - cpu < CLOCKS_PER_SEC / 25) { /* 40 ms */
		for (int i = 0; i < 10000; i++)
			work += (unsigned int)i;
		pacer_spend(&p, 0, NULL);
	}
	assert_true(now_s() - began >= 0.18);
}

static void test_without_limits_nobody_waits(void **state)
{
	struct pacer p;
	double began = now_s();

	(void)state;
	pacer_begin(&p, 0, 0);
	for (int i = 0; i < 1000; i++)
		pacer_spend(&p, UINT32_MAX, NULL);
	pacer_spend(NULL, UINT32_MAX, NULL);
	assert_true(now_s() - began < 10);
}

static void test_a_cancelled_run_waits_no_longer(void **state)
{
	const volatile bool cancel = true;
	struct pacer p;
	double began = now_s();

	(void)state;
	pacer_begin(&p, 1, 0);
	pacer_spend(&p, 1000000, &cancel);
	assert_true(now_s() - began < 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_take_the_time_that_their_rate_says),
		cmocka_unit_test(test_cpu_takes_the_time_that_its_share_says),
		cmocka_unit_test(test_without_limits_nobody_waits),
		cmocka_unit_test(test_a_cancelled_run_waits_no_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
