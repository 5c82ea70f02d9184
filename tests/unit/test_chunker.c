/* SPDX-License-Identifier: MIT */
#include "store/chunker.h"
#include "store/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DATA_BYTES MIB(4)
#define CUTS_MAX 8192

static const struct chunker_sizes sizes = { .min = 1024, .avg = 4096, .max = 16384 };
static const uint8_t key[KEY_BYTES] = { 7 };
static struct chunker *c;
static uint8_t *data;

static uint64_t random_state = 88172645463325252;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int start(void **state)
{
	(void)state;
	if (crypto_init() < 0)
		return -1;
	data = malloc(DATA_BYTES + 1);
	if (!data)
		return -1;
	for (size_t i = 0; i < DATA_BYTES; i++)
		data[i] = (uint8_t)(next_random() >> 32);
	return chunker_new(key, sizes, &c);
}

static int stop(void **state)
{
	(void)state;
	chunker_free(c);
	free(data);
	return 0;
}

/* Cut everything in one go; yields the number of cuts. */
static size_t cut_all(const struct chunker *with, const uint8_t *from, size_t n, size_t *cuts)
{
	size_t at = 0, n_cuts = 0;

	while (at < n) {
		at += chunker_next(with, from + at, n - at, true);
		assert_true(n_cuts < CUTS_MAX);
		cuts[n_cuts++] = at;
	}
	return n_cuts;
}

/* The rule in chunker.c in its plainest form. */
static size_t plain_next(const uint8_t *from, size_t n)
{
	static uint64_t gear[256];

	for (uint64_t b = 0; b < 64; b++)
		crypto_derive(key, "yoregear", b, (uint8_t *)&gear[4 * b]);
	for (size_t length = sizes.min; length < sizes.max && length <= n; length++) {
		uint64_t h = 0;

		for (size_t i = 0; i < 64; i++)
			h += gear[from[length - 1 - i]] << i;
		if (h >> (64 - (length < sizes.avg ? 14 : 10)) == 0)
			return length;
	}
	return n < sizes.max ? n : sizes.max;
}

static void test_cuts_follow_the_written_rule(void **state)
{
	size_t at = 0;

	(void)state;
	while (at < KIB(256)) {
		const size_t length = chunker_next(c, data + at, DATA_BYTES - at, false);

		assert_int_equal(length, plain_next(data + at, DATA_BYTES - at));
		at += length;
	}
	for (size_t n = 0; n < 20000; n += 997)
		assert_int_equal(chunker_next(c, data, n, true), n ? plain_next(data, n) : 0);
}

static void test_chunks_keep_their_bounds_and_average(void **state)
{
	static size_t cuts[CUTS_MAX];
	size_t n = cut_all(c, data, DATA_BYTES, cuts), previous = 0;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_true(cuts[i] - previous <= sizes.max);
		assert_true(cuts[i] - previous >= sizes.min || i + 1 == n);
		previous = cuts[i];
	}
	assert_true(DATA_BYTES / n > sizes.avg * 3 / 4);
	assert_true(DATA_BYTES / n < sizes.avg * 3 / 2);
}

static void test_streaming_gives_the_same_cuts(void **state)
{
	static size_t cuts[CUTS_MAX];
	const size_t n_cuts = cut_all(c, data, DATA_BYTES, cuts);
	size_t at = 0, have = 0, n = 0;

	(void)state;
	while (at < DATA_BYTES) {
		const size_t length = chunker_next(c, data + at, have - at, have == DATA_BYTES);

		if (length == 0) {
			assert_true(have - at < sizes.max);
			have += next_random() % 9000 + 1;
			have = have > DATA_BYTES ? DATA_BYTES : have;
			continue;
		}
		at += length;
		assert_true(n < n_cuts);
		assert_int_equal(at, cuts[n++]);
	}
	assert_int_equal(n, n_cuts);
}

static void test_one_inserted_byte_changes_few_cuts(void **state)
{
	static size_t before[CUTS_MAX], after[CUTS_MAX];
	uint8_t *changed = malloc(DATA_BYTES + 1);
	const size_t n_before = cut_all(c, data, DATA_BYTES, before);
	size_t n_after, same = 0;

	(void)state;
	assert_non_null(changed);
	memcpy(changed, data, 100000);
	changed[100000] = 'x';
	memcpy(changed + 100001, data + 100000, DATA_BYTES - 100000);
	n_after = cut_all(c, changed, DATA_BYTES + 1, after);
	while (same < n_before && same < n_after &&
	       before[n_before - 1 - same] + 1 == after[n_after - 1 - same])
		same++;
	/* Equal from at most 64 KiB behind the insertion on. */
	assert_true(before[n_before - same] < 100000 + KIB(64));
	for (size_t i = 0; before[i] < 100000; i++)
		assert_int_equal(before[i], after[i]);
	free(changed);
}

static void test_zeros_give_the_largest_chunks(void **state)
{
	uint8_t *zeros = calloc(1, sizes.max * 2);

	(void)state;
	assert_non_null(zeros);
	assert_int_equal(chunker_next(c, zeros, sizes.max * 2, false), sizes.max);
	assert_int_equal(chunker_next(c, zeros, sizes.max - 1, false), 0);
	assert_int_equal(chunker_next(c, zeros, sizes.max - 1, true), sizes.max - 1);
	free(zeros);
}

static void test_another_key_cuts_elsewhere(void **state)
{
	static size_t ours[CUTS_MAX], theirs[CUTS_MAX];
	CLEANUP(chunker_free_ptr) struct chunker *other = NULL;
	const uint8_t other_key[KEY_BYTES] = { 8 };
	size_t n_ours, n_theirs, j = 0, same = 0;

	(void)state;
	assert_int_equal(chunker_new(other_key, sizes, &other), 0);
	n_ours = cut_all(c, data, DATA_BYTES, ours);
	n_theirs = cut_all(other, data, DATA_BYTES, theirs);
	for (size_t i = 0; i < n_ours; i++) {
		while (j < n_theirs && theirs[j] < ours[i])
			j++;
		same += j < n_theirs && theirs[j] == ours[i];
	}
	assert_true(same < 10);
}

static void test_sizes_out_of_order_are_refused(void **state)
{
	static const struct chunker_sizes bad[] = {
		{ 512, 4096, 16384 },
		{ 4096, 4096, 16384 },
		{ 1024, 16384, 16384 },
		{ 1024, 5000, 16384 },
		{ 0, 0, 0 },
		{ 1024, 4096, MIB(1) + 1 },
		{ 1024, 1u << 31, 1u << 31 },
		{ 16384, 4096, 65536 },
	};
	struct chunker *none = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(chunker_new(key, bad[i], &none), -EINVAL);
	assert_null(none);
	assert_int_equal(chunker_sizes(c).avg, sizes.avg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts_follow_the_written_rule),
		cmocka_unit_test(test_chunks_keep_their_bounds_and_average),
		cmocka_unit_test(test_streaming_gives_the_same_cuts),
		cmocka_unit_test(test_one_inserted_byte_changes_few_cuts),
		cmocka_unit_test(test_zeros_give_the_largest_chunks),
		cmocka_unit_test(test_another_key_cuts_elsewhere),
		cmocka_unit_test(test_sizes_out_of_order_are_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
