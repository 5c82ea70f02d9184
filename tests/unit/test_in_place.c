/* SPDX-License-Identifier: MIT */
#include "snapshots/in_place.h"
#include "tests/unit/memory_cache.h"

#define PIECE 100000u
#define PIECES 40u
#define HOLE_AT 7u /* this piece is a hole */

static struct chunk_cache *cache;
static struct content_builder *builder;
static struct in_place *in_place;
static struct content old;
static uint8_t *bytes; /* the old version's plaintext */
static struct chunk_id ids[PIECES];

static int setup(void **state)
{
	uint64_t seed = 1;

	(void)state;
	cache = memory_new();
	bytes = calloc(PIECES, PIECE);
	assert_non_null(bytes);
	assert_int_equal(content_builder_new(&cache->sink, cache->hashers[OBJECT_LIST], &builder),
			 0);
	for (uint32_t i = 0; i < PIECES; i++) {
		uint8_t *at = bytes + (size_t)i * PIECE;
		struct extent extent = { .length = PIECE };
		struct piece piece = { .length = PIECE, .n_extents = i != HOLE_AT };

		for (uint32_t k = 0; piece.n_extents && k < PIECE; k++)
			at[k] = (uint8_t)test_random(&seed);
		if (piece.n_extents)
			assert_int_equal(
				memory_put(&cache->sink, OBJECT_DATA, at, PIECE, &extent.chunk), 0);
		piece.id = ids[i] = extent.chunk;
		assert_int_equal(
			content_builder_add(builder, &piece, piece.n_extents ? &extent : NULL), 0);
	}
	assert_int_equal(content_builder_finish(builder, &old), 0);
	assert_int_equal(in_place_new(cache, &in_place), 0);
	return in_place_set(in_place, &old);
}

static int teardown(void **state)
{
	(void)state;
	in_place_free(in_place);
	content_builder_free(builder);
	free(bytes);
	memory_free(cache);
	return 0;
}

/* The runs cover n bytes and say the truth; returns how many of them are new. */
static uint32_t check_runs(const struct in_place_run *runs, uint32_t n_runs, const uint8_t *data,
			   uint32_t n)
{
	uint32_t at = 0, fresh = 0;

	for (uint32_t i = 0; i < n_runs; i++) {
		const struct extent *e = &runs[i].extent;
		struct chunk_pin pin = { 0 };

		assert_int_equal(runs[i].at, at);
		assert_true(e->length > 0);
		at += e->length;
		if (!runs[i].kept) {
			fresh += e->length;
			continue;
		}
		assert_int_equal(chunk_cache_get(cache, &e->chunk, OBJECT_DATA, &pin), 0);
		assert_true(e->offset + e->length <= pin.n);
		assert_memory_equal(pin.data + e->offset, data + runs[i].at, e->length);
		chunk_cache_unpin(cache, &pin);
	}
	assert_int_equal(at, n);
	return fresh;
}

static void test_an_equal_piece_keeps_its_extents(void **state)
{
	const struct extent *extents;
	uint32_t n;

	(void)state;
	assert_int_equal(in_place_find(in_place, &ids[3], 3 * PIECE, &extents, &n), 1);
	assert_int_equal(n, 1);
	assert_memory_equal(&extents[0].chunk, &ids[3], sizeof(ids[3]));
	assert_int_equal(in_place_shift(in_place), 0);
}

static void test_a_moved_piece_shows_the_shift(void **state)
{
	const struct extent *extents;
	int64_t shift = 0;
	uint32_t n;

	(void)state;
	assert_int_equal(in_place_find(in_place, &ids[9], 9 * PIECE + 500, &extents, &n), 1);
	assert_int_equal(in_place_shift(in_place), -500);
	assert_int_equal(in_place_peek(in_place, &ids[20], 20 * PIECE - 7000, &shift), 1);
	assert_int_equal(shift, 7000);
	assert_int_equal(in_place_shift(in_place), -500); /* a peek moves nothing */
}

static void test_an_unknown_piece_is_not_found(void **state)
{
	const struct chunk_id unknown = test_id(99);
	const struct extent *extents;
	int64_t shift;
	uint32_t n;

	(void)state;
	assert_int_equal(in_place_find(in_place, &unknown, 0, &extents, &n), 0);
	assert_int_equal(in_place_peek(in_place, &unknown, 0, &shift), 0);
}

static void test_a_changed_block_is_all_that_is_new(void **state)
{
	const struct in_place_run *runs;
	uint32_t n, fresh;

	(void)state;
	for (uint32_t i = 0; i < 4096; i++)
		bytes[5 * PIECE + 40000 + i] ^= 0x55;
	assert_int_equal(
		in_place_compare(in_place, bytes + 5 * PIECE, PIECE, 5 * PIECE, 0, &runs, &n), 1);
	fresh = check_runs(runs, n, bytes + 5 * PIECE, PIECE);
	assert_in_range(fresh, 4096, 8192);
}

static void test_few_changed_bytes_cost_few_bytes(void **state)
{
	const struct in_place_run *runs;
	uint32_t n;

	(void)state;
	bytes[5 * PIECE + 50000] ^= 1;
	bytes[5 * PIECE + 50003] ^= 1;
	assert_int_equal(
		in_place_compare(in_place, bytes + 5 * PIECE, PIECE, 5 * PIECE, 0, &runs, &n), 1);
	assert_int_equal(check_runs(runs, n, bytes + 5 * PIECE, PIECE), 4);
}

static void test_pieces_over_other_boundaries_are_compared(void **state)
{
	const uint64_t offset = 5 * PIECE + PIECE / 2;
	const struct in_place_run *runs;
	uint32_t n;

	(void)state;
	bytes[offset + 100] ^= 1;
	assert_int_equal(in_place_compare(in_place, bytes + offset, PIECE, offset, 0, &runs, &n),
			 1);
	assert_int_equal(check_runs(runs, n, bytes + offset, PIECE), 1);
}

static void test_a_shifted_piece_is_compared_at_its_shift(void **state)
{
	const struct in_place_run *runs;
	uint32_t n;

	(void)state;
	/* The new file has 12345 more bytes in front. */
	bytes[10 * PIECE + 777] ^= 1;
	assert_int_equal(in_place_compare(in_place, bytes + 10 * PIECE, PIECE, 10 * PIECE + 12345,
					  -12345, &runs, &n),
			 1);
	assert_in_range(check_runs(runs, n, bytes + 10 * PIECE, PIECE), 1, 4096);
	/* At the wrong one there is nothing to keep. */
	assert_int_equal(in_place_compare(in_place, bytes + 10 * PIECE, PIECE, 10 * PIECE + 12345,
					  0, &runs, &n),
			 0);
}

static void test_new_contents_are_stored_afresh(void **state)
{
	const struct in_place_run *runs;
	uint64_t seed = 77;
	uint32_t n;

	(void)state;
	for (uint32_t i = 0; i < PIECE * 7 / 10; i++)
		bytes[5 * PIECE + i] = (uint8_t)test_random(&seed);
	assert_int_equal(
		in_place_compare(in_place, bytes + 5 * PIECE, PIECE, 5 * PIECE, 0, &runs, &n), 0);
}

static void test_ends_beyond_the_old_version_are_no_matter(void **state)
{
	const uint64_t length = (uint64_t)PIECES * PIECE;
	CLEANUP(free_ptr) uint8_t *data = malloc(PIECE);
	const struct in_place_run *runs;
	uint32_t n;

	(void)state;
	assert_non_null(data);
	/* Most of it is the old end, then the file has grown. */
	memcpy(data, bytes + length - PIECE + 20000, PIECE - 20000);
	memset(data + PIECE - 20000, 'n', 20000);
	assert_int_equal(
		in_place_compare(in_place, data, PIECE, length - PIECE + 20000, 0, &runs, &n), 1);
	assert_in_range(check_runs(runs, n, data, PIECE), 20000, 20000 + 2 * 4096);
	/* Wholly behind the end, or wholly before the beginning. */
	assert_int_equal(in_place_compare(in_place, data, PIECE, length, 0, &runs, &n), 0);
	assert_int_equal(in_place_compare(in_place, data, PIECE, 0, -(int64_t)PIECE, &runs, &n), 0);
	/* Its second half is the old beginning. */
	memset(data, 'n', 30000);
	memcpy(data + 30000, bytes, PIECE - 30000);
	assert_int_equal(in_place_compare(in_place, data, PIECE, 0, -30000, &runs, &n), 1);
	assert_in_range(check_runs(runs, n, data, PIECE), 30000, 30000 + 4096);
}

static void test_what_was_a_hole_is_never_an_extent(void **state)
{
	const uint64_t offset = HOLE_AT * PIECE - PIECE * 8 / 10;
	const struct in_place_run *runs;
	uint32_t n, fresh;

	(void)state;
	assert_int_equal(in_place_compare(in_place, bytes + offset, PIECE, offset, 0, &runs, &n),
			 1);
	fresh = check_runs(runs, n, bytes + offset, PIECE);
	assert_in_range(fresh, PIECE * 2 / 10, PIECE * 2 / 10 + 4096);
}

static void test_a_damaged_old_version_is_no_base(void **state)
{
	const struct in_place_run *runs;
	uint32_t n;

	(void)state;
	memory_find(cache, &ids[5], OBJECT_DATA)->damaged = true;
	assert_int_equal(
		in_place_compare(in_place, bytes + 5 * PIECE, PIECE, 5 * PIECE, 0, &runs, &n), 0);
	assert_int_equal(
		in_place_compare(in_place, bytes + 15 * PIECE, PIECE, 15 * PIECE, 0, &runs, &n), 1);
}

static void test_random_edits_always_yield_the_new_bytes(void **state)
{
	uint64_t seed = 4;
	uint32_t taken = 0;

	(void)state;
	for (int round = 0; round < 200; round++) {
		const uint64_t offset = test_random(&seed) % (PIECES * PIECE - PIECE);
		const uint32_t length = (uint32_t)(test_random(&seed) % PIECE) + 1;
		CLEANUP(free_ptr) uint8_t *data = malloc(PIECE);
		const struct in_place_run *runs;
		uint32_t n;

		assert_non_null(data);
		memcpy(data, bytes + offset, length);
		for (uint64_t k = test_random(&seed) % 6; k > 0; k--)
			data[test_random(&seed) % length] = (uint8_t)test_random(&seed);
		if (in_place_compare(in_place, data, length, offset, 0, &runs, &n) != 1)
			continue;
		(void)check_runs(runs, n, data, length);
		taken++;
	}
	assert_true(taken > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_equal_piece_keeps_its_extents, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_moved_piece_shows_the_shift, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_an_unknown_piece_is_not_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_changed_block_is_all_that_is_new, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_few_changed_bytes_cost_few_bytes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_pieces_over_other_boundaries_are_compared,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_shifted_piece_is_compared_at_its_shift,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_contents_are_stored_afresh, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_ends_beyond_the_old_version_are_no_matter,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_a_hole_is_never_an_extent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_damaged_old_version_is_no_base, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_random_edits_always_yield_the_new_bytes, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
