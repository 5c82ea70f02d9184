/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include <sys/resource.h>

static void test_small_writer_makes_one_mixed_pack(void **state)
{
	struct fixture *f = *state;
	const struct new_pack *packs;
	struct store_writer *w;
	uint8_t data[3000];
	size_t n;

	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (uint64_t i = 0; i < 20; i++) {
		fill(data, sizeof(data), i);
		put(f, w, i % 2 ? OBJECT_DATA : OBJECT_TREE, data, sizeof(data));
	}
	assert_int_equal(store_writer_finish(w), 0);
	packs = store_writer_packs(w, &n);
	assert_int_equal(n, 1);
	assert_int_equal(packs[0].kind, PACK_MIXED);
	store_writer_free(w);
}

static void test_large_writer_parts_data_and_nodes(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = malloc(262144);
	struct store_writer_stats stats;
	const struct new_pack *packs;
	struct chunk_id ids[100];
	struct store_writer *w;
	int kinds[4] = { 0 };
	size_t n;

	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (uint64_t i = 0; i < 100; i++) {
		fill(data, 262144, i);
		ids[i] = put(f, w, OBJECT_DATA, data, 262144);
		fill(data, 5000, i + 1000);
		put(f, w, OBJECT_TREE, data, 5000);
	}
	assert_int_equal(store_writer_finish(w), 0);
	packs = store_writer_packs(w, &n);
	for (size_t i = 0; i < n; i++) {
		kinds[packs[i].kind]++;
		assert_true(packs[i].size <= PACK_BYTES_MAX);
	}
	assert_int_equal(kinds[PACK_MIXED], 0);
	assert_int_equal(kinds[PACK_NODES], 1);
	assert_true(kinds[PACK_DATA] >= 1);
	store_writer_stats(w, &stats);
	assert_int_equal(stats.objects_new, 200);
	assert_true(stats.stored_bytes_new < stats.raw_bytes_new);
	store_writer_free(w);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(check_one(f, &ids[i], OBJECT_DATA, 262144, i), 0);
}

static void test_known_objects_are_not_stored_again(void **state)
{
	struct fixture *f = *state;
	struct store_writer *w;
	struct chunk_id id;
	uint8_t data[3000];

	fill(data, sizeof(data), 1);
	assert_int_equal(store_writer_new(f->store, &w), 0);
	id = id_of(f, OBJECT_DATA, data, sizeof(data));
	assert_int_equal(store_writer_has(w, &id), 0);
	put(f, w, OBJECT_DATA, data, sizeof(data));
	assert_int_equal(store_writer_has(w, &id), 1);
	assert_int_equal(store_writer_put(w, f->compressor, OBJECT_DATA, &id, data, sizeof(data)),
			 0);
	assert_int_equal(store_writer_finish(w), 0);
	assert_int_equal(store_writer_put(w, f->compressor, OBJECT_DATA, &id, data, sizeof(data)),
			 0);
	/* Nothing new: no pack. */
	assert_int_equal(store_writer_finish(w), 0);
	assert_int_equal(any_pack(f).n, 1);
	store_writer_free(w);
}

static void test_shunned_objects_are_stored_again(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);

	assert_int_equal(chunk_index_shun(store_index(f->store), &id, true), 0);
	store_one(f, OBJECT_DATA, 1000, 1);
	assert_int_equal(any_pack(f).n, 2);
	assert_int_equal(chunk_index_usable(store_index(f->store), &id), 1);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 1000, 1), 0);
}

static void test_objects_of_condemned_packs_are_stored_again(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);
	struct any_pack any = any_pack(f);

	assert_int_equal(chunk_index_condemn(store_index(f->store), &any.info.id, true), 0);
	assert_int_equal(chunk_index_usable(store_index(f->store), &id), 0);
	store_one(f, OBJECT_DATA, 1000, 1);
	assert_int_equal(any_pack(f).n, 2);
	assert_int_equal(chunk_index_usable(store_index(f->store), &id), 1);
}

struct putter {
	struct fixture *f;
	struct store_writer *w;
	uint64_t news;
};

static void *put_same(void *context)
{
	struct putter *p = context;
	struct compressor *compressor;
	struct id_hasher *hasher;
	uint8_t data[9000];

	assert_int_equal(compressor_new(&compressor), 0);
	assert_int_equal(store_hasher(p->f->store, OBJECT_DATA, &hasher), 0);
	for (uint64_t i = 0; i < 300; i++) {
		struct chunk_id id;
		int r;

		fill(data, sizeof(data), i);
		id_hasher_run(hasher, data, sizeof(data), &id);
		r = store_writer_put(p->w, compressor, OBJECT_DATA, &id, data, sizeof(data));
		assert_true(r >= 0);
		p->news += (uint64_t)r;
	}
	id_hasher_free(hasher);
	compressor_free(compressor);
	return NULL;
}

static void test_concurrent_puts_of_one_id_store_it_once(void **state)
{
	struct fixture *f = *state;
	struct putter putters[4];
	pthread_t threads[4];
	struct store_writer *w;
	uint64_t chunks, packs, bytes, news = 0;

	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (int i = 0; i < 4; i++) {
		putters[i] = (struct putter){ .f = f, .w = w };
		assert_int_equal(pthread_create(&threads[i], NULL, put_same, &putters[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		(void)pthread_join(threads[i], NULL);
		news += putters[i].news;
	}
	assert_int_equal(store_writer_finish(w), 0);
	assert_int_equal(news, 300);
	assert_int_equal(chunk_index_stats(store_index(f->store), &chunks, &packs, &bytes), 0);
	assert_int_equal(chunks, 300);
	store_writer_free(w);
}

static void test_unfinished_writer_leaves_no_objects(void **state)
{
	struct fixture *f = *state;
	struct store_writer *w;
	struct chunk_id id;
	uint8_t data[3000];

	fill(data, sizeof(data), 1);
	assert_int_equal(store_writer_new(f->store, &w), 0);
	id = put(f, w, OBJECT_DATA, data, sizeof(data));
	store_writer_free(w);
	store_writer_free(NULL);
	assert_int_equal(store_length(f->store, &id, OBJECT_DATA), -ENOENT);
	assert_int_equal(count_files(f, "tmp"), 0);
}

/* A full disk, played by a limit on file sizes. */
static void test_failed_write_spoils_the_writer_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = malloc(CHUNK_RAW_MAX);
	struct chunk_id good = store_one(f, OBJECT_DATA, 1000, 1);
	struct rlimit before, small;
	struct store_writer *w;
	struct chunk_id id;
	int r = 1;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 2 * CHUNK_RAW_MAX;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (uint64_t i = 0; i < 60 && r == 1; i++) {
		fill_noise(data, CHUNK_RAW_MAX, i);
		id = id_of(f, OBJECT_DATA, data, CHUNK_RAW_MAX);
		r = store_writer_put(w, f->compressor, OBJECT_DATA, &id, data, CHUNK_RAW_MAX);
	}
	assert_int_equal(store_writer_finish(w), -ENOSPC);
	fill(data, 100, 99);
	id = id_of(f, OBJECT_DATA, data, 100);
	assert_int_equal(store_writer_put(w, f->compressor, OBJECT_DATA, &id, data, 100), -ENOSPC);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	store_writer_free(w);
	assert_int_equal(count_files(f, "tmp"), 0);
	assert_int_equal(check_one(f, &good, OBJECT_DATA, 1000, 1), 0);
	store_one(f, OBJECT_DATA, 1000, 2);
}

static void test_writer_is_usable_after_finish(void **state)
{
	struct fixture *f = *state;
	struct store_writer *w;
	struct chunk_id ids[5];
	uint8_t data[3000];
	size_t n;

	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (uint64_t i = 0; i < 5; i++) {
		fill(data, sizeof(data), i);
		ids[i] = put(f, w, OBJECT_DATA, data, sizeof(data));
		assert_int_equal(store_writer_finish(w), 0);
		assert_int_equal(check_one(f, &ids[i], OBJECT_DATA, sizeof(data), i), 0);
	}
	(void)store_writer_packs(w, &n);
	assert_int_equal(n, 5);
	store_writer_free(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_small_writer_makes_one_mixed_pack),
		TEST(test_large_writer_parts_data_and_nodes),
		TEST(test_known_objects_are_not_stored_again),
		TEST(test_shunned_objects_are_stored_again),
		TEST(test_objects_of_condemned_packs_are_stored_again),
		TEST(test_concurrent_puts_of_one_id_store_it_once),
		TEST(test_unfinished_writer_leaves_no_objects),
		TEST(test_failed_write_spoils_the_writer_and_nothing_else),
		TEST(test_writer_is_usable_after_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
