/* SPDX-License-Identifier: MIT */
#include "snapshots/record.h"

#include "snapshots/record_internal.h"
#include "timeline_fixture.h"

#include <errno.h>

static int setup(void **state)
{
	*state = fixture_open();
	return 0;
}

static int teardown(void **state)
{
	fixture_close(*state);
	return 0;
}

static char *copy(const char *text)
{
	char *c = strdup(text);

	assert_non_null(c);
	return c;
}

/* A record in which every list has something. */
static struct record full_record(void)
{
	struct record r = fixture_record(1714573800123456789, "before-upgrade", NULL);

	r.seq = 42;
	r.host.bytes[0] = 7;
	r.previous.bytes[31] = 9;
	r.written_ns = -5;
	r.name_suffix = 3;
	r.n_file_systems = 2;
	r.file_systems = calloc(2, sizeof(*r.file_systems));
	r.file_systems[1].type = 0xef53;
	r.file_systems[1].uuid[3] = 4;
	r.n_sources = 2;
	r.sources = calloc(2, sizeof(*r.sources));
	r.sources[0] = (struct record_source){
		.path = copy("/etc"),
		.excludes = copy(""),
		.state = SOURCE_ABSENT,
	};
	r.sources[1] = (struct record_source){
		.path = copy("/home/me"),
		.excludes = copy("*.o\n!x.o"),
		.flags = SOURCE_ONE_FILE_SYSTEM | SOURCE_EXCLUDE_CACHES,
		.walk_start_ns = 1,
		.captured_ns = 2,
		.file_system = 1,
		.consistency = CONSISTENCY_HOOK,
		.files = 3,
		.bytes = UINT64_MAX,
		.errors = 6,
	};
	r.n_packs = 1;
	r.packs = calloc(1, sizeof(*r.packs));
	r.packs[0] = (struct new_pack){ .size = 1u << 24, .kind = PACK_MIXED };
	r.packs[0].id.bytes[0] = 1;
	r.files = 10;
	r.new_stored_bytes = 11;
	return r;
}

static void test_a_record_comes_back_as_it_was_sealed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(record_done) struct record r = full_record();
	CLEANUP(record_done) struct record back = { 0 };
	CLEANUP(free_ptr) uint8_t *data = NULL;
	uint8_t digest[SHA256_BYTES];
	struct record_id id;
	size_t n;

	assert_int_equal(record_seal(&r, f->store, &data, &n, &id), 0);
	sha256_of(data, n, digest);
	assert_memory_equal(digest, id.bytes, sizeof(digest));
	assert_memory_equal(data, "yorerecd", 8);
	assert_int_equal(record_open(f->store, &r.host, 42, data, n, &back), 0);
	assert_int_equal(back.kind, RECORD_SNAPSHOT);
	assert_int_equal(back.seq, 42);
	assert_memory_equal(&back.host, &r.host, sizeof(r.host));
	assert_memory_equal(&back.previous, &r.previous, sizeof(r.previous));
	assert_true(back.time_ns == r.time_ns);
	assert_true(back.written_ns == -5);
	assert_int_equal(back.name_suffix, 3);
	assert_string_equal(back.tags[0], "before-upgrade");
	assert_string_equal(back.reason, "manual");
	assert_int_equal(back.n_sources, 2);
	assert_int_equal(back.sources[0].state, SOURCE_ABSENT);
	assert_string_equal(back.sources[1].path, "/home/me");
	assert_string_equal(back.sources[1].excludes, "*.o\n!x.o");
	assert_true(back.sources[1].bytes == UINT64_MAX);
	assert_int_equal(back.sources[1].consistency, CONSISTENCY_HOOK);
	assert_int_equal(back.file_systems[1].type, 0xef53);
	assert_int_equal(back.n_packs, 1);
	assert_memory_equal(&back.packs[0].id, &r.packs[0].id, sizeof(r.packs[0].id));
	assert_int_equal(back.root_n, r.root_n);
	assert_memory_equal(back.root, r.root, r.root_n);
	assert_int_equal(back.new_stored_bytes, 11);
}

static void test_every_flipped_bit_and_every_cut_is_noticed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(record_done) struct record r = full_record();
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct record back = { 0 };
	struct record_id id;
	size_t n;

	assert_int_equal(record_seal(&r, f->store, &data, &n, &id), 0);
	for (size_t i = 0; i < 8 * n; i++) {
		data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(record_open(f->store, &r.host, 42, data, n, &back), -EBADMSG);
		data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(record_open(f->store, &r.host, 42, data, i, &back), -EBADMSG);
	assert_null(back.tags);
}

static void test_a_record_of_another_host_or_number_is_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(record_done) struct record r = full_record();
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct record back = { 0 };
	struct host_id other = { 0 };
	struct record_id id;
	size_t n;

	assert_int_equal(record_seal(&r, f->store, &data, &n, &id), 0);
	assert_int_equal(record_open(f->store, &other, 42, data, n, &back), -EBADMSG);
	assert_int_equal(record_open(f->store, &r.host, 43, data, n, &back), -EBADMSG);
}

static void test_damaged_bodies_never_crash_and_cuts_are_unclean(void **state)
{
	CLEANUP(record_done) struct record r = full_record();
	CLEANUP(byte_buf_done_ptr) struct byte_buf body = { 0 };
	struct record back = { 0 };

	(void)state;
	assert_int_equal(record_body_encode(&body, &r), 0);
	for (size_t n = 0; n < body.n; n++)
		assert_int_equal(record_body_decode(body.data, n, &r.host, 42, &back), -EUCLEAN);
	for (size_t i = 0; i < body.n; i++) {
		uint8_t was = body.data[i];

		for (int v = 0; v < 256; v += 5) {
			body.data[i] = (uint8_t)v;
			if (record_body_decode(body.data, body.n, &r.host, 42, &back) == 0)
				record_done(&back);
		}
		body.data[i] = was;
	}
}

static void test_forgotten_ranges_must_ascend_and_lie_in_the_past(void **state)
{
	struct sequence_range ranges[] = { { 2, 5 }, { 7, 7 } };
	struct record r = {
		.kind = RECORD_FORGET, .seq = 9, .forgotten = ranges, .n_forgotten = 2
	};
	CLEANUP(record_done) struct record back = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf body = { 0 };

	(void)state;
	assert_int_equal(record_body_encode(&body, &r), 0);
	assert_int_equal(record_body_decode(body.data, body.n, &r.host, 9, &back), 0);
	assert_int_equal(back.n_forgotten, 2);
	assert_int_equal(back.forgotten[0].last, 5);
	assert_int_equal(back.forgotten[1].first, 7);
	ranges[1].last = 9;
	assert_int_equal(record_body_encode(&body, &r), -EINVAL);
	ranges[1] = (struct sequence_range){ 5, 6 };
	assert_int_equal(record_body_encode(&body, &r), -EINVAL);
	ranges[0] = (struct sequence_range){ 0, 1 };
	assert_int_equal(record_body_encode(&body, &r), -EINVAL);
}

static void test_what_a_reader_would_refuse_is_not_sealed(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = { "etc", "/a/", "//a", "/a/../b", "/a/.", "", "/zz" };
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct record_id id;
	size_t n;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		CLEANUP(record_done) struct record r = full_record();

		free(r.sources[0].path);
		r.sources[0].path = copy(paths[i]);
		assert_int_equal(record_seal(&r, f->store, &data, &n, &id), -EINVAL);
	}
	{
		CLEANUP(record_done) struct record r = full_record();

		r.sources[1].file_system = 2;
		assert_int_equal(record_seal(&r, f->store, &data, &n, &id), -EINVAL);
	}
	assert_null(data);
}

static void test_names_are_parsed_strictly(void **state)
{
	struct host_id host = { { 0xab } };
	struct record_id id = { { 1, 2, 3 } }, back;
	char path[RECORD_PATH_BYTES], *name;
	uint64_t seq;

	(void)state;
	name = strrchr(record_path(&host, 0x1f, &id, path), '/') + 1;
	assert_true(strncmp(path, "records/ab00", 12) == 0);
	assert_int_equal(record_parse_name(name, &seq, &back), 0);
	assert_int_equal(seq, 0x1f);
	assert_memory_equal(&id, &back, sizeof(id));
	name[20] = 'A';
	assert_int_equal(record_parse_name(name, &seq, &back), -EINVAL);
	name[20] = '\0';
	assert_int_equal(record_parse_name(name, &seq, &back), -EINVAL);
	(void)record_path(&host, 0, &id, path);
	assert_int_equal(record_parse_name(name, &seq, &back), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_comes_back_as_it_was_sealed),
		cmocka_unit_test(test_every_flipped_bit_and_every_cut_is_noticed),
		cmocka_unit_test(test_a_record_of_another_host_or_number_is_refused),
		cmocka_unit_test(test_damaged_bodies_never_crash_and_cuts_are_unclean),
		cmocka_unit_test(test_forgotten_ranges_must_ascend_and_lie_in_the_past),
		cmocka_unit_test(test_what_a_reader_would_refuse_is_not_sealed),
		cmocka_unit_test(test_names_are_parsed_strictly),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
