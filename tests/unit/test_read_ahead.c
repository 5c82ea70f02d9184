/* SPDX-License-Identifier: MIT */
#include "fs/read_ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define K 1024u
#define SIZE (1024u * K)

static const struct read_ahead_limits LIMITS = { .slack = 16 * K, .min = 32 * K, .max = 128 * K };

static struct read_ahead_key key(uint64_t number)
{
	struct read_ahead_key k = { .number = number };

	memset(k.id, 7, sizeof(k.id));
	return k;
}

static struct read_ahead *make(void)
{
	struct read_ahead *a;

	assert_int_equal(read_ahead_new(&LIMITS, &a), 0);
	return a;
}

static bool note(struct read_ahead *a, uint64_t number, uint64_t from, uint64_t n, uint64_t *f,
		 uint64_t *t)
{
	struct read_ahead_key k = key(number);

	return read_ahead_note(a, &k, from, n, SIZE, f, t);
}

static void test_reading_from_the_start_fetches_at_once(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to;

	(void)state;
	assert_true(note(a, 1, 0, 4 * K, &from, &to));
	assert_int_equal(from, 4 * K);
	assert_int_equal(to, 36 * K);
}

static void test_a_sequence_is_fetched_whole_and_nothing_twice(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to, fetched = 4 * K;

	(void)state;
	for (uint64_t at = 0; at < SIZE; at += 4 * K) {
		if (!note(a, 1, at, 4 * K, &from, &to))
			continue;
		assert_int_equal(from, fetched);
		assert_true(to > from);
		assert_true(to <= at + 4 * K + LIMITS.max);
		fetched = to;
	}
	assert_int_equal(fetched, SIZE);
}

static void test_the_window_grows_to_its_limit(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to, ahead = 0;

	(void)state;
	for (uint64_t at = 0; at < SIZE / 2; at += 4 * K)
		if (note(a, 1, at, 4 * K, &from, &to) && to - at > ahead)
			ahead = to - at;
	assert_int_equal(ahead, LIMITS.max + 4 * K);
}

static void test_scattered_reads_fetch_nothing(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to, at = 500 * K;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_false(note(a, 1, at, 4 * K, &from, &to));
		at = (at + 300 * K) % (900 * K) + 4 * K;
	}
}

static void test_reads_out_of_order_are_one_sequence(void **state)
{
	static const uint64_t order[] = { 0, 2, 1, 4, 3, 6, 5, 8, 7 };
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to, fetched = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		if (!note(a, 1, order[i] * 8 * K, 8 * K, &from, &to))
			continue;
		assert_true(from >= fetched);
		fetched = to;
	}
	assert_true(fetched >= 72 * K);
}

static void test_a_sequence_in_the_middle_is_found_at_its_second_read(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to;

	(void)state;
	assert_false(note(a, 1, 400 * K, 4 * K, &from, &to));
	assert_true(note(a, 1, 404 * K, 4 * K, &from, &to));
	assert_int_equal(from, 408 * K);
}

static void test_streams_do_not_disturb_one_another(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to;

	(void)state;
	for (uint64_t i = 0; i < 32; i++)
		assert_true(note(a, i, 0, 4 * K, &from, &to));
	assert_true(note(a, 3, 4 * K, 4 * K, &from, &to));
	assert_int_equal(from, 36 * K); /* where it was left */
}

static void test_nothing_is_fetched_past_the_end(void **state)
{
	CLEANUP(read_ahead_free_ptr) struct read_ahead *a = make();
	uint64_t from, to;
	struct read_ahead_key k = key(9);

	(void)state;
	assert_true(read_ahead_note(a, &k, 0, 4 * K, 10 * K, &from, &to));
	assert_int_equal(to, 10 * K);
	assert_false(read_ahead_note(a, &k, 4 * K, 6 * K, 10 * K, &from, &to));
	assert_false(read_ahead_note(a, &k, UINT64_MAX - 5, 100, 10 * K, &from, &to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading_from_the_start_fetches_at_once),
		cmocka_unit_test(test_a_sequence_is_fetched_whole_and_nothing_twice),
		cmocka_unit_test(test_the_window_grows_to_its_limit),
		cmocka_unit_test(test_scattered_reads_fetch_nothing),
		cmocka_unit_test(test_reads_out_of_order_are_one_sequence),
		cmocka_unit_test(test_a_sequence_in_the_middle_is_found_at_its_second_read),
		cmocka_unit_test(test_streams_do_not_disturb_one_another),
		cmocka_unit_test(test_nothing_is_fetched_past_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
