/* SPDX-License-Identifier: MIT */
#include "store/compress.h"
#include "store/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#define LARGEST MIB(1)

static struct compressor *c;
static uint8_t *raw, *packed, *back;

static uint64_t next_random(void)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void fill_noise(uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(next_random() >> 32);
}

static void fill_text(uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)("etaoin shrdlu\n"[(next_random() >> 32) % 14]);
}

static int start(void **state)
{
	(void)state;
	raw = malloc(LARGEST);
	packed = malloc(compressor_bound(LARGEST));
	back = malloc(LARGEST + 1);
	return raw && packed && back ? compressor_new(&c) : -1;
}

static int stop(void **state)
{
	(void)state;
	compressor_free(c);
	free(raw);
	free(packed);
	free(back);
	return 0;
}

static void test_what_is_packed_comes_back(void **state)
{
	static const size_t lengths[] = { 100, 1000, 4096, 65535, 65536, 262144, LARGEST };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const size_t n = lengths[i];

		fill_text(raw, n);
		for (int level = 1; level <= 3; level++) {
			int64_t r = compressor_pack(c, level, raw, n, packed, compressor_bound(n));

			assert_true(r > 0 && (size_t)r < n * 3 / 4);
			memset(back, 0xee, n + 1);
			assert_int_equal(compressor_unpack(c, packed, (size_t)r, back, n), 0);
			assert_memory_equal(back, raw, n);
			assert_int_equal(back[n], 0xee);
		}
	}
}

static void test_what_does_not_shrink_is_left_raw(void **state)
{
	static const size_t lengths[] = { 0, 1, 10, 1000, 65536, LARGEST };

	(void)state;
	fill_noise(raw, LARGEST);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		assert_true(compressor_pack(c, 3, raw, lengths[i], packed,
					    compressor_bound(lengths[i])) == 0);
}

static void test_a_buffer_too_small_means_raw(void **state)
{
	(void)state;
	fill_text(raw, 1000);
	assert_true(compressor_pack(c, 3, raw, 1000, packed, 20) == 0);
	assert_true(compressor_pack(c, 3, raw, 1000, packed, compressor_bound(1000)) > 0);
}

static void test_any_other_length_is_refused(void **state)
{
	int64_t r;

	(void)state;
	fill_text(raw, 5000);
	r = compressor_pack(c, 1, raw, 5000, packed, compressor_bound(5000));
	assert_true(r > 0);
	memset(back, 0xee, 6000);
	assert_int_equal(compressor_unpack(c, packed, (size_t)r, back, 4999), -EUCLEAN);
	assert_int_equal(back[4999], 0xee);
	assert_int_equal(compressor_unpack(c, packed, (size_t)r, back, 5001), -EUCLEAN);
	assert_int_equal(compressor_unpack(c, packed, (size_t)r, back, 0), -EUCLEAN);
	for (size_t n = 0; n < (size_t)r; n++)
		assert_int_equal(compressor_unpack(c, packed, n, back, 5000), -EUCLEAN);
	packed[r] = 0;
	assert_int_equal(compressor_unpack(c, packed, (size_t)r + 1, back, 5000), -EUCLEAN);
	assert_int_equal(compressor_unpack(c, packed, (size_t)r, back, 5000), 0);
}

static void test_only_a_single_plain_frame_is_taken(void **state)
{
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7 };
	uint8_t both[300];
	int64_t r;

	(void)state;
	fill_text(raw, 200);
	r = compressor_pack(c, 1, raw, 200, packed, compressor_bound(200));
	assert_true(r > 0 && r <= 150);
	memcpy(both, packed, (size_t)r);
	memcpy(both + r, packed, (size_t)r);
	assert_int_equal(compressor_unpack(c, both, 2 * (size_t)r, back, 400), -EUCLEAN);
	memcpy(both + r, skippable, sizeof(skippable));
	assert_int_equal(compressor_unpack(c, both, (size_t)r + sizeof(skippable), back, 200),
			 -EUCLEAN);
	assert_int_equal(compressor_unpack(c, skippable, sizeof(skippable), back, 0), -EUCLEAN);
}

static void test_frames_of_other_writers_are_read(void **state)
{
	size_t n;

	(void)state;
	fill_text(raw, 5000);
	n = ZSTD_compress(packed, compressor_bound(5000), raw, 5000, 19);
	assert_false(ZSTD_isError(n));
	assert_int_equal(compressor_unpack(c, packed, n, back, 5000), 0);
	assert_memory_equal(back, raw, 5000);
}

static void test_noise_never_writes_past_the_end(void **state)
{
	(void)state;
	fill_text(raw, 3000);
	for (int turn = 0; turn < 3000; turn++) {
		int64_t r = compressor_pack(c, 1, raw, 3000, packed, compressor_bound(3000));

		assert_true(r > 0);
		for (int i = 0; i < 3; i++)
			packed[4 + next_random() % ((size_t)r - 4)] ^= (uint8_t)next_random();
		back[3000] = 0xee;
		r = compressor_unpack(c, packed, (size_t)r, back, 3000);
		assert_true(r == 0 || r == -EUCLEAN);
		assert_int_equal(back[3000], 0xee);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_packed_comes_back),
		cmocka_unit_test(test_what_does_not_shrink_is_left_raw),
		cmocka_unit_test(test_a_buffer_too_small_means_raw),
		cmocka_unit_test(test_any_other_length_is_refused),
		cmocka_unit_test(test_only_a_single_plain_frame_is_taken),
		cmocka_unit_test(test_frames_of_other_writers_are_read),
		cmocka_unit_test(test_noise_never_writes_past_the_end),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
