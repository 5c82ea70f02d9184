/* SPDX-License-Identifier: MIT */
#include "store/base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t samples[] = {
	0,
	1,
	0x7f,
	0x80,
	0x3fff,
	0x4000,
	UINT32_MAX,
	1ull << 56,
	1ull << 63,
	(1ull << 63) - 1,
	UINT64_MAX - 1,
	UINT64_MAX,
};
#define N_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static void test_what_is_written_is_read_back(void **state)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf b = { 0 };
	struct byte_reader r;
	const uint8_t *blob;
	size_t n = 0;

	(void)state;
	byte_buf_u8(&b, 0xab);
	byte_buf_u16(&b, 0x1234);
	byte_buf_u32(&b, 0x12345678);
	byte_buf_u64(&b, 0x123456789abcdef0);
	for (size_t i = 0; i < N_SAMPLES; i++) {
		byte_buf_varint(&b, samples[i]);
		byte_buf_zigzag(&b, (int64_t)samples[i]);
	}
	byte_buf_blob(&b, "hello", 5);
	byte_buf_blob(&b, NULL, 0);
	byte_buf_append(&b, "xyz", 3);
	assert_false(b.failed);

	r = byte_reader_make(b.data, b.n);
	assert_int_equal(byte_reader_u8(&r), 0xab);
	assert_int_equal(byte_reader_u16(&r), 0x1234);
	assert_int_equal(byte_reader_u32(&r), 0x12345678);
	assert_true(byte_reader_u64(&r) == 0x123456789abcdef0);
	for (size_t i = 0; i < N_SAMPLES; i++) {
		assert_true(byte_reader_varint(&r) == samples[i]);
		assert_true(byte_reader_zigzag(&r) == (int64_t)samples[i]);
	}
	blob = byte_reader_blob(&r, 5, &n);
	assert_int_equal(n, 5);
	assert_memory_equal(blob, "hello", 5);
	assert_non_null(byte_reader_blob(&r, 0, &n));
	assert_int_equal(n, 0);
	assert_int_equal(byte_reader_left(&r), 3);
	assert_memory_equal(byte_reader_take(&r, 3), "xyz", 3);
	assert_true(byte_reader_done(&r));
}

static void test_reading_past_the_end_is_bad_for_good(void **state)
{
	const uint8_t data[3] = { 1, 2, 3 };
	uint8_t to[4] = { 9, 9, 9, 9 };
	struct byte_reader r = byte_reader_make(data, sizeof(data));

	(void)state;
	assert_int_equal(byte_reader_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(byte_reader_u8(&r), 0);
	assert_int_equal(byte_reader_varint(&r), 0);
	assert_int_equal(byte_reader_left(&r), 0);
	assert_null(byte_reader_take(&r, 0));
	assert_false(byte_reader_done(&r));
	byte_reader_copy(&r, to, sizeof(to));
	assert_memory_equal(to, "\0\0\0\0", 4);
}

static void refuse_varint(const char *bytes, size_t n)
{
	struct byte_reader r = byte_reader_make(bytes, n);

	assert_true(byte_reader_varint(&r) == 0);
	assert_true(r.bad);
}

static void test_every_varint_has_one_form(void **state)
{
	(void)state;
	refuse_varint("", 0);
	refuse_varint("\x80", 1);     /* cut */
	refuse_varint("\x80\x00", 2); /* longer than needed */
	refuse_varint("\xff\x80\x00", 3);
	refuse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10); /* past 64 bits */
	refuse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11);
}

static void test_limits_of_varints_and_blobs_hold(void **state)
{
	struct byte_reader r = byte_reader_make("\x05hello", 6);
	size_t n = 7;

	(void)state;
	assert_null(byte_reader_blob(&r, 4, &n));
	assert_int_equal(n, 0);
	assert_true(r.bad);
	r = byte_reader_make("\x06hello", 6);
	assert_null(byte_reader_blob(&r, 100, &n));
	assert_true(r.bad);
	r = byte_reader_make("\x05", 1);
	assert_int_equal(byte_reader_varint_max(&r, 5), 5);
	r = byte_reader_make("\x05", 1);
	assert_int_equal(byte_reader_varint_max(&r, 4), 0);
	assert_true(r.bad);
}

static void test_failed_growth_stops_all_appends(void **state)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf b = { 0 };

	(void)state;
	byte_buf_u8(&b, 1);
	assert_null(byte_buf_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	byte_buf_u8(&b, 2);
	assert_int_equal(b.n, 1);
	byte_buf_clear(&b);
	assert_false(b.failed);
	byte_buf_u8(&b, 3);
	assert_int_equal(b.data[0], 3);
	byte_buf_done(&b);
	assert_null(b.data);
	assert_non_null(byte_buf_reserve(&b, 0));
}

static void test_hex_goes_both_ways_and_is_strict(void **state)
{
	const uint8_t data[4] = { 0x00, 0x9f, 0xab, 0xff };
	uint8_t back[4] = { 0 };
	char text[9];

	(void)state;
	assert_string_equal(bytes_to_hex(data, 4, text), "009fabff");
	assert_int_equal(bytes_from_hex(text, back, 4), 0);
	assert_memory_equal(back, data, 4);
	assert_int_equal(bytes_from_hex("009fabf", back, 4), -EINVAL);
	assert_int_equal(bytes_from_hex("009fabff0", back, 4), -EINVAL);
	assert_int_equal(bytes_from_hex("009FABFF", back, 4), -EINVAL);
	assert_int_equal(bytes_from_hex("009fabg0", back, 4), -EINVAL);
	assert_memory_equal(back, data, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read_back),
		cmocka_unit_test(test_reading_past_the_end_is_bad_for_good),
		cmocka_unit_test(test_every_varint_has_one_form),
		cmocka_unit_test(test_limits_of_varints_and_blobs_hold),
		cmocka_unit_test(test_failed_growth_stops_all_appends),
		cmocka_unit_test(test_hex_goes_both_ways_and_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
