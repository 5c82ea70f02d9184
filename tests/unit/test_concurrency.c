/* SPDX-License-Identifier: MIT */
#include "sync/concurrency.h"

#include "store/crypto.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000LL

/* n successes of a MiB each, each `took_ns` after the one before. */
static int64_t succeed(struct concurrency *c, int64_t now_ns, unsigned int n, int64_t took_ns)
{
	for (unsigned int i = 0; i < n; i++) {
		now_ns += took_ns;
		concurrency_note(c, now_ns, 1 << 20, 0);
	}
	return now_ns;
}

static void test_successes_allow_more_up_to_the_maximum(void **state)
{
	struct concurrency c;

	(void)state;
	concurrency_init(&c, 8, 0);
	assert_int_equal(concurrency_allowed(&c), CONCURRENCY_FIRST);
	(void)succeed(&c, 1, 500, MS);
	assert_int_equal(concurrency_allowed(&c), 8);
	concurrency_init(&c, 0, 0);
	(void)succeed(&c, 1, 50, MS);
	assert_int_equal(concurrency_allowed(&c), 1);
}

static void test_refusals_halve_and_make_wait(void **state)
{
	const int errors[] = { -EAGAIN, -ETIMEDOUT, -EREMOTEIO };
	struct concurrency c;
	int64_t now_ns, longest = 0;

	(void)state;
	concurrency_init(&c, 8, 100);
	now_ns = succeed(&c, 1, 500, MS);
	concurrency_note(&c, now_ns, 0, -EAGAIN);
	assert_int_equal(concurrency_allowed(&c), 4);
	for (int i = 0; i < 30; i++) {
		concurrency_note(&c, now_ns, 0, errors[i % 3]);
		if (concurrency_wait_ns(&c, now_ns) > longest)
			longest = concurrency_wait_ns(&c, now_ns);
	}
	assert_int_equal(concurrency_allowed(&c), 1);
	/* Random, and never more than 256 times the first. */
	assert_true(longest > 100 * MS && longest <= 25600 * MS);
	now_ns += longest;
	assert_int_equal(concurrency_wait_ns(&c, now_ns), 0);
	(void)succeed(&c, now_ns, 500, MS);
	assert_int_equal(concurrency_allowed(&c), 8);
}

static void test_other_failures_change_nothing(void **state)
{
	struct concurrency c;
	int64_t now_ns;

	(void)state;
	concurrency_init(&c, 8, 0);
	now_ns = succeed(&c, 1, 500, MS);
	concurrency_note(&c, now_ns, 0, -EACCES);
	concurrency_note(&c, now_ns, 0, -ECANCELED);
	assert_int_equal(concurrency_allowed(&c), 8);
	assert_int_equal(concurrency_wait_ns(&c, now_ns), 0);
}

static void test_a_line_that_more_transfers_make_slower_is_not_crowded(void **state)
{
	struct concurrency c;
	int64_t now_ns = 1;

	(void)state;
	concurrency_init(&c, 32, 0);
	/* Each further transfer costs more than it brings. */
	for (int i = 0; i < 2000; i++) {
		const double n = concurrency_allowed(&c);

		now_ns += (int64_t)((double)MS * (1 + n * n));
		concurrency_note(&c, now_ns, 1 << 20, 0);
	}
	assert_true(concurrency_allowed(&c) < 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_successes_allow_more_up_to_the_maximum),
		cmocka_unit_test(test_refusals_halve_and_make_wait),
		cmocka_unit_test(test_other_failures_change_nothing),
		cmocka_unit_test(test_a_line_that_more_transfers_make_slower_is_not_crowded),
	};

	if (crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
