/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "store/pack_format.h"

static struct pack_entry entry_of(uint8_t number, uint32_t n)
{
	struct pack_entry e = { .stored_n = n, .raw_n = n, .type = OBJECT_DATA };

	memset(e.id.bytes, number, sizeof(e.id.bytes));
	return e;
}

static void test_nothing_is_visible_before_finish(void **state)
{
	struct fixture *f = *state;
	struct pack_entry e = entry_of(1, 100);
	uint8_t data[100] = { 1 };
	struct pack_writer *w;
	struct pack_id id;
	char path[PACK_PATH_BYTES];
	struct io_stat st;
	uint64_t size;

	assert_int_equal(pack_writer_open(&f->store->context, PACK_DATA, &w), 0);
	assert_int_equal(pack_writer_append(w, &e, data), 0);
	assert_int_equal(e.offset, PACK_HEADER_BYTES);
	assert_int_equal(count_files(f, "tmp"), 1);
	assert_int_equal(pack_writer_finish(w, &id, &size), 0);
	assert_int_equal(count_files(f, "tmp"), 0);
	pack_path(&f->store->context.host, &id, path);
	assert_int_equal(io_stat(f->io, path, &st), 0);
	assert_int_equal(st.size, size);
	pack_writer_close(w);
	assert_int_equal(io_stat(f->io, path, &st), 0);
}

static void test_closing_unfinished_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct pack_writer *w;

	assert_int_equal(pack_writer_open(&f->store->context, PACK_NODES, &w), 0);
	pack_writer_close(w);
	assert_int_equal(count_files(f, "tmp"), 0);
	pack_writer_close(NULL);
}

static void test_name_is_the_hash_of_the_bytes(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = calloc(1, CHUNK_RAW_MAX);
	CLEANUP(free_ptr) uint8_t *file = NULL;
	uint8_t digest[SHA256_BYTES];
	struct pack_writer *w;
	struct pack_id id;
	char path[PACK_PATH_BYTES];
	uint64_t size;
	size_t n;

	/* Several buffers full. */
	assert_int_equal(pack_writer_open(&f->store->context, PACK_DATA, &w), 0);
	for (uint8_t i = 1; i < 6; i++) {
		struct pack_entry e = entry_of(i, CHUNK_RAW_MAX - i);

		assert_int_equal(pack_writer_append(w, &e, data), 0);
	}
	assert_int_equal(pack_writer_finish(w, &id, &size), 0);
	pack_writer_close(w);
	pack_path(&f->store->context.host, &id, path);
	assert_int_equal(io_read_file(f->io, path, PACK_BYTES_MAX, &file, &n), 0);
	assert_int_equal(n, size);
	sha256_of(file, n, digest);
	assert_memory_equal(digest, id.bytes, sizeof(digest));
}

static void test_full_pack_refuses_and_stays_usable(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = calloc(1, CHUNK_RAW_MAX);
	struct pack_entry e;
	struct pack_writer *w;
	struct pack_id id;
	uint64_t size;
	uint8_t n = 0;
	int r;

	assert_int_equal(pack_writer_open(&f->store->context, PACK_DATA, &w), 0);
	do {
		e = entry_of(++n, CHUNK_RAW_MAX);
		r = pack_writer_append(w, &e, data);
	} while (r == 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(pack_writer_count(w), n - 1);
	e = entry_of(n, 10);
	assert_int_equal(pack_writer_append(w, &e, data), 0);
	assert_int_equal(pack_writer_finish(w, &id, &size), 0);
	assert_true(size <= PACK_BYTES_MAX);
	pack_writer_close(w);
}

static void test_entries_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct pack_writer *w;
	struct pack_entry e;
	uint8_t byte = 7;

	assert_int_equal(pack_writer_open(&f->store->context, PACK_DATA, &w), 0);
	for (uint32_t i = 0; i < PACK_ENTRIES_MAX; i++) {
		e = entry_of((uint8_t)i, 1);
		assert_int_equal(pack_writer_append(w, &e, &byte), 0);
	}
	e = entry_of(1, 1);
	assert_int_equal(pack_writer_append(w, &e, &byte), -EFBIG);
	pack_writer_close(w);
}

static void test_missing_folders_are_made(void **state)
{
	struct fixture *f = *state;
	struct pack_context context = f->store->context;
	struct pack_entry e = entry_of(1, 1);
	struct pack_writer *w;
	struct pack_id id;
	uint64_t size;
	uint8_t byte = 7;

	memset(&context.host, 0x5a, sizeof(context.host));
	assert_int_equal(pack_writer_open(&context, PACK_DATA, &w), 0);
	assert_int_equal(pack_writer_append(w, &e, &byte), 0);
	assert_int_equal(pack_writer_finish(w, &id, &size), 0);
	pack_writer_close(w);
}

static void test_finished_writer_takes_no_more(void **state)
{
	struct fixture *f = *state;
	struct pack_entry e = entry_of(1, 1);
	struct pack_writer *w;
	struct pack_id id;
	uint64_t size;
	uint8_t byte = 7;

	assert_int_equal(pack_writer_open(&f->store->context, PACK_DATA, &w), 0);
	assert_int_equal(pack_writer_append(w, &e, &byte), 0);
	assert_int_equal(pack_writer_finish(w, &id, &size), 0);
	assert_true(pack_writer_append(w, &e, &byte) < 0);
	assert_true(pack_writer_finish(w, &id, &size) < 0);
	pack_writer_close(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_visible_before_finish),
		TEST(test_closing_unfinished_leaves_nothing),
		TEST(test_name_is_the_hash_of_the_bytes),
		TEST(test_full_pack_refuses_and_stays_usable),
		TEST(test_entries_are_bounded),
		TEST(test_missing_folders_are_made),
		TEST(test_finished_writer_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
