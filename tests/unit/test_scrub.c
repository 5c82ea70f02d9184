/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "store/scrub.h"

struct findings {
	int n;
	struct pack_id pack;
	struct chunk_id chunk;
	bool has_chunk;
};

static void note_damage(void *context, const struct pack_id *pack, const struct chunk_id *chunk,
			const char *what)
{
	struct findings *found = context;

	assert_non_null(what);
	found->n++;
	found->pack = *pack;
	if (chunk) {
		found->chunk = *chunk;
		found->has_chunk = true;
	}
}

static struct scrub_result scrub(struct fixture *f, bool data, unsigned int percent,
				 struct findings *found)
{
	struct scrub_options options = {
		.data = data, .percent = percent, .damaged = note_damage, .context = found
	};
	struct scrub_result result;

	assert_int_equal(scrub_run(f->store, &options, &result), 0);
	assert_int_equal(result.errors, found->n);
	return result;
}

static void damaged_pack(struct fixture *f, off_t from_end)
{
	struct any_pack any = any_pack(f);
	char relative[PACK_PATH_BYTES], path[256];

	file_path(f, pack_path(&any.info.host, &any.info.id, relative), path);
	flip_byte(path, from_end < 0 ? (off_t)any.info.size + from_end : from_end, 1);
}

static void test_sound_repository_has_no_errors(void **state)
{
	struct fixture *f = *state;
	struct findings found = { 0 };
	struct scrub_result result;

	for (uint64_t i = 0; i < 10; i++)
		store_one(f, (enum object_type)(1 + i % 3), 1000, i);
	result = scrub(f, false, 0, &found);
	assert_int_equal(result.packs, 10);
	assert_int_equal(result.objects, 10);
	result = scrub(f, true, 100, &found);
	assert_int_equal(found.n, 0);
	assert_int_equal(result.objects, 10);
}

static void test_damaged_object_is_named(void **state)
{
	struct fixture *f = *state;
	struct findings found = { 0 };
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);

	damaged_pack(f, PACK_HEADER_BYTES + OBJECT_HEADER_BYTES + 3);
	scrub(f, false, 0, &found);
	assert_int_equal(found.n, 0);
	/* The pack's name, and the object. */
	scrub(f, true, 100, &found);
	assert_int_equal(found.n, 2);
	assert_true(found.has_chunk);
	assert_memory_equal(&found.chunk, &id, sizeof(id));
}

static void test_damaged_table_is_found_without_data(void **state)
{
	struct fixture *f = *state;
	struct findings found = { 0 };

	store_one(f, OBJECT_DATA, 1000, 1);
	damaged_pack(f, -150);
	scrub(f, false, 0, &found);
	assert_int_equal(found.n, 1);
}

static void test_missing_pack_is_found(void **state)
{
	struct fixture *f = *state;
	struct findings found = { 0 };
	struct any_pack any;
	char path[PACK_PATH_BYTES];

	store_one(f, OBJECT_DATA, 1000, 1);
	any = any_pack(f);
	pack_path(&any.info.host, &any.info.id, path);
	assert_int_equal(io_unlink(f->io, path, IO_OBJECT_PACK), 0);
	scrub(f, false, 0, &found);
	assert_int_equal(found.n, 1);
	assert_memory_equal(&found.pack, &any.info.id, sizeof(found.pack));
}

static void test_share_of_packs_is_read(void **state)
{
	struct fixture *f = *state;
	struct findings found = { 0 };
	struct scrub_result result, all;

	for (uint64_t i = 0; i < 10; i++)
		store_one(f, OBJECT_DATA, 1000, i);
	all = scrub(f, true, 100, &found);
	result = scrub(f, true, 30, &found);
	assert_int_equal(result.packs, 10);
	assert_true(result.bytes < all.bytes / 2);
	assert_true(result.bytes > 0);
}

/* An object under an id that is not the hash of its contents: authentic, and wrong. */
static void test_contents_are_compared_with_ids(void **state)
{
	struct fixture *f = *state;
	struct findings found = { 0 };
	struct store_writer *w;
	struct chunk_id id = { { 1, 2, 3 } };
	uint8_t data[100] = { 5 };

	assert_int_equal(store_writer_new(f->store, &w), 0);
	assert_int_equal(store_writer_put(w, f->compressor, OBJECT_DATA, &id, data, sizeof(data)),
			 1);
	assert_int_equal(store_writer_finish(w), 0);
	store_writer_free(w);
	scrub(f, true, 100, &found);
	assert_int_equal(found.n, 1);
	assert_memory_equal(&found.chunk, &id, sizeof(id));
}

static void test_cancelled_scrub_says_so(void **state)
{
	struct fixture *f = *state;
	volatile bool cancel = true;
	struct scrub_options options = { .cancel = &cancel };
	struct scrub_result result;

	store_one(f, OBJECT_DATA, 1000, 1);
	assert_int_equal(scrub_run(f->store, &options, &result), -ECANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sound_repository_has_no_errors),
		TEST(test_damaged_object_is_named),
		TEST(test_damaged_table_is_found_without_data),
		TEST(test_missing_pack_is_found),
		TEST(test_share_of_packs_is_read),
		TEST(test_contents_are_compared_with_ids),
		TEST(test_cancelled_scrub_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
