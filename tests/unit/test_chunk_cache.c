/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "store/chunk_cache.h"

#define N_CHUNKS 40
#define CHUNK_N 300000

static struct chunk_id ids[N_CHUNKS];

static int setup(void **state)
{
	struct store_writer *w;
	uint8_t *data = malloc(CHUNK_N);
	struct fixture *f;

	assert_int_equal(fixture_setup(state), 0);
	f = *state;
	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (uint64_t i = 0; i < N_CHUNKS; i++) {
		fill(data, CHUNK_N, i);
		ids[i] = put(f, w, OBJECT_DATA, data, CHUNK_N);
	}
	assert_int_equal(store_writer_finish(w), 0);
	store_writer_free(w);
	free(data);
	return 0;
}

static void check_pin(const struct chunk_pin *pin, uint64_t seed)
{
	CLEANUP(free_ptr) uint8_t *expected = malloc(CHUNK_N);

	fill(expected, CHUNK_N, seed);
	assert_int_equal(pin->n, CHUNK_N);
	assert_memory_equal(pin->data, expected, CHUNK_N);
}

static void test_second_get_is_a_hit(void **state)
{
	struct fixture *f = *state;
	struct chunk_cache_stats stats;
	struct chunk_pin pin = { 0 };
	struct chunk_cache *c;

	assert_int_equal(chunk_cache_new(f->store, MIB(16), 0, &c), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(chunk_cache_get(c, &ids[0], OBJECT_DATA, &pin), 0);
		check_pin(&pin, 0);
		chunk_cache_unpin(c, &pin);
		chunk_cache_unpin(c, &pin);
	}
	chunk_cache_stats(c, &stats);
	assert_int_equal(stats.decodes, 1);
	assert_int_equal(stats.hits, 1);
	assert_int_equal(stats.bytes, CHUNK_N);
	chunk_cache_free(c);
}

static void test_memory_is_bounded_and_pins_stay(void **state)
{
	struct fixture *f = *state;
	struct chunk_cache_stats stats;
	struct chunk_pin held, pin;
	struct chunk_cache *c;

	assert_int_equal(chunk_cache_new(f->store, MIB(4), 0, &c), 0);
	assert_int_equal(chunk_cache_get(c, &ids[0], OBJECT_DATA, &held), 0);
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 1; i < N_CHUNKS; i++) {
			assert_int_equal(chunk_cache_get(c, &ids[i], OBJECT_DATA, &pin), 0);
			check_pin(&pin, i);
			chunk_cache_unpin(c, &pin);
			chunk_cache_stats(c, &stats);
			assert_true(stats.bytes <= MIB(4) + CHUNK_N);
		}
	}
	check_pin(&held, 0);
	chunk_cache_unpin(c, &held);
	chunk_cache_free(c);
}

static void test_failures_are_told_and_not_kept(void **state)
{
	struct fixture *f = *state;
	struct chunk_id unknown = { { 1 } };
	struct chunk_pin pin = { 0 };
	struct chunk_cache *c;

	assert_int_equal(chunk_cache_new(f->store, MIB(4), 0, &c), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(chunk_cache_get(c, &unknown, OBJECT_DATA, &pin), -ENOENT);
	assert_int_equal(chunk_cache_get(c, &ids[0], OBJECT_TREE, &pin), -EBADMSG);
	assert_null(pin.slot);
	chunk_cache_free(c);
}

struct getter {
	struct chunk_cache *cache;
	unsigned int seed;
	uint64_t only; /* chunk to get again and again, or N_CHUNKS for all */
};

static void *get_many(void *context)
{
	struct getter *g = context;

	for (int i = 0; i < 200; i++) {
		uint64_t number =
			g->only < N_CHUNKS ? g->only : (uint64_t)rand_r(&g->seed) % N_CHUNKS;
		struct chunk_pin pin;

		chunk_cache_prefetch(g->cache, &ids[(number + 1) % N_CHUNKS], OBJECT_DATA);
		assert_int_equal(chunk_cache_get(g->cache, &ids[number], OBJECT_DATA, &pin), 0);
		if (i % 16 == 0)
			check_pin(&pin, number);
		chunk_cache_unpin(g->cache, &pin);
	}
	return NULL;
}

static void run_getters(struct fixture *f, size_t limit, unsigned int prefetchers, uint64_t only,
			struct chunk_cache_stats *ret_stats)
{
	struct getter getters[4];
	pthread_t threads[4];
	struct chunk_cache *c;

	assert_int_equal(chunk_cache_new(f->store, limit, prefetchers, &c), 0);
	for (unsigned int i = 0; i < 4; i++) {
		getters[i] = (struct getter){ .cache = c, .seed = i, .only = only };
		assert_int_equal(pthread_create(&threads[i], NULL, get_many, &getters[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	chunk_cache_stats(c, ret_stats);
	chunk_cache_free(c);
}

static void test_one_object_is_decoded_once_for_all(void **state)
{
	struct chunk_cache_stats stats;

	run_getters(*state, MIB(64), 0, 3, &stats);
	assert_int_equal(stats.decodes, 1);
	assert_int_equal(stats.hits + stats.waits, 4 * 200 - 1);
}

static void test_threads_share_a_small_cache(void **state)
{
	struct chunk_cache_stats stats;

	run_getters(*state, MIB(4), 2, N_CHUNKS, &stats);
	assert_true(stats.bytes <= MIB(4));
	assert_true(stats.decodes >= N_CHUNKS);
}

static void test_prefetched_objects_arrive(void **state)
{
	struct fixture *f = *state;
	struct chunk_cache_stats stats = { 0 };
	struct chunk_cache *c;

	assert_int_equal(chunk_cache_new(f->store, MIB(64), 2, &c), 0);
	for (int i = 0; i < 10; i++)
		chunk_cache_prefetch(c, &ids[i], OBJECT_DATA);
	for (int i = 0; i < 1000 && stats.decodes < 10; i++) {
		(void)usleep(5000);
		chunk_cache_stats(c, &stats);
	}
	assert_int_equal(stats.decodes, 10);
	chunk_cache_free(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_second_get_is_a_hit),
		TEST(test_memory_is_bounded_and_pins_stay),
		TEST(test_failures_are_told_and_not_kept),
		TEST(test_one_object_is_decoded_once_for_all),
		TEST(test_threads_share_a_small_cache),
		TEST(test_prefetched_objects_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
