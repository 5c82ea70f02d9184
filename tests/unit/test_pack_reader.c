/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "store/pack_format.h"

#define N_OBJECTS 3

/* A small pack: what was put into it, and its bytes. */
struct small_pack {
	struct fixture *f;
	struct read_scratch scratch;
	struct pack_entry entries[N_OBJECTS];
	uint8_t plain[N_OBJECTS][64];
	struct pack_id id;
	char path[256];
	uint8_t *bytes;
	size_t n;
};

static int make_pack(void **state)
{
	struct small_pack *p = calloc(1, sizeof(*p));
	struct pack_writer *w;
	char relative[PACK_PATH_BYTES];
	uint64_t size;
	void *fixture;

	assert_int_equal(fixture_setup(&fixture), 0);
	p->f = fixture;
	assert_int_equal(read_scratch_init(&p->scratch), 0);
	assert_int_equal(pack_writer_open(&p->f->store->context, PACK_MIXED, &w), 0);
	for (uint32_t i = 0; i < N_OBJECTS; i++) {
		uint32_t n = 20 + 10 * i;
		enum object_type type = (enum object_type)(i + 1);

		fill_noise(p->plain[i], n, i);
		p->entries[i] = (struct pack_entry){ .id = id_of(p->f, type, p->plain[i], n),
						     .stored_n = n,
						     .raw_n = n,
						     .type = (uint8_t)type };
		assert_int_equal(pack_writer_append(w, &p->entries[i], p->plain[i]), 0);
	}
	assert_int_equal(pack_writer_finish(w, &p->id, &size), 0);
	pack_writer_close(w);
	pack_path(&p->f->store->context.host, &p->id, relative);
	file_path(p->f, relative, p->path);
	assert_int_equal(io_read_file(p->f->io, relative, PACK_BYTES_MAX, &p->bytes, &p->n), 0);
	*state = p;
	return 0;
}

static int free_pack(void **state)
{
	struct small_pack *p = *state;

	read_scratch_done(&p->scratch);
	free(p->bytes);
	fixture_free(p->f);
	free(p);
	return 0;
}

static void write_bytes(const struct small_pack *p, const uint8_t *bytes, size_t n)
{
	int fd = open(p->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	(void)close(fd);
}

static int open_pack(struct small_pack *p, struct pack_reader **ret_reader)
{
	return pack_reader_open(&p->f->store->context, &p->id, ret_reader);
}

/* Read all: whatever is returned must be right. Yields how many objects were readable. */
static int read_all(struct small_pack *p, struct pack_reader *reader)
{
	uint8_t got[64];
	int n = 0;

	for (int i = 0; i < N_OBJECTS; i++) {
		if (pack_reader_get(reader, &p->entries[i], &p->scratch, got) < 0)
			continue;
		assert_memory_equal(got, p->plain[i], p->entries[i].raw_n);
		n++;
	}
	return n;
}

static void expect_entries(const struct small_pack *p, const struct pack_entry *entries, size_t n)
{
	assert_int_equal(n, N_OBJECTS);
	for (size_t i = 0; i < n; i++) {
		assert_memory_equal(&entries[i].id, &p->entries[i].id, sizeof(entries[i].id));
		assert_int_equal(entries[i].offset, p->entries[i].offset);
		assert_int_equal(entries[i].stored_n, p->entries[i].stored_n);
		assert_int_equal(entries[i].type, p->entries[i].type);
	}
}

static void test_table_and_scan_agree_with_what_was_written(void **state)
{
	struct small_pack *p = *state;
	struct pack_reader *reader;
	struct pack_entry *entries;
	enum pack_kind kind;
	size_t n;

	assert_int_equal(open_pack(p, &reader), 0);
	assert_int_equal(read_all(p, reader), N_OBJECTS);
	assert_int_equal(pack_reader_table(reader, &p->scratch, &entries, &n, &kind), 0);
	assert_int_equal(kind, PACK_MIXED);
	expect_entries(p, entries, n);
	free(entries);
	assert_int_equal(pack_reader_scan(reader, &p->scratch, &entries, &n), 0);
	expect_entries(p, entries, n);
	free(entries);
	assert_int_equal(pack_reader_verify_name(reader), 0);
	pack_reader_close(reader);
}

/* What one damaged pack may still yield: nothing wrong, and its name does not fit. */
static void check_damaged(struct small_pack *p)
{
	struct pack_reader *reader;
	struct pack_entry *entries;
	enum pack_kind kind;
	size_t n;

	if (open_pack(p, &reader) < 0)
		return;
	assert_int_equal(pack_reader_verify_name(reader), -EBADMSG);
	(void)read_all(p, reader);
	if (pack_reader_table(reader, &p->scratch, &entries, &n, &kind) == 0) {
		assert_int_equal(kind, PACK_MIXED);
		expect_entries(p, entries, n);
		free(entries);
	}
	pack_reader_close(reader);
}

static void test_every_flipped_bit_is_noticed(void **state)
{
	struct small_pack *p = *state;

	for (size_t bit = 0; bit < 8 * p->n; bit++) {
		p->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		write_bytes(p, p->bytes, p->n);
		check_damaged(p);
		p->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_every_truncation_is_noticed(void **state)
{
	struct small_pack *p = *state;

	for (size_t n = 0; n < p->n; n++) {
		write_bytes(p, p->bytes, n);
		check_damaged(p);
	}
}

static void test_damaged_header_is_read_from_the_trailer(void **state)
{
	struct small_pack *p = *state;
	struct pack_reader *reader;

	memset(p->bytes, 0, PACK_HEADER_BYTES);
	write_bytes(p, p->bytes, p->n);
	assert_int_equal(open_pack(p, &reader), 0);
	assert_int_equal(read_all(p, reader), N_OBJECTS);
	pack_reader_close(reader);
}

static void test_damage_costs_one_object(void **state)
{
	struct small_pack *p = *state;
	struct pack_reader *reader;
	struct pack_entry *entries;
	size_t n;

	/* Header and body of the second object, and the table. */
	memset(p->bytes + p->entries[1].offset, 0xff, OBJECT_HEADER_BYTES + 10);
	memset(p->bytes + p->n - 180, 0xff, 20);
	write_bytes(p, p->bytes, p->n);
	assert_int_equal(open_pack(p, &reader), 0);
	assert_int_equal(read_all(p, reader), N_OBJECTS - 1);
	assert_int_equal(pack_reader_scan(reader, &p->scratch, &entries, &n), 0);
	assert_int_equal(n, N_OBJECTS - 1);
	assert_int_equal(entries[1].offset, p->entries[2].offset);
	free(entries);
	pack_reader_close(reader);
}

static void test_entries_that_lie_are_refused(void **state)
{
	struct small_pack *p = *state;
	struct pack_reader *reader;
	struct pack_entry e;
	uint8_t got[256];

	assert_int_equal(open_pack(p, &reader), 0);
#define EXPECT_LIE(change)                                                                 \
	do {                                                                               \
		e = p->entries[1];                                                         \
		change;                                                                    \
		assert_int_equal(pack_reader_get(reader, &e, &p->scratch, got), -EBADMSG); \
	} while (0)
	EXPECT_LIE(e.id.bytes[31] ^= 1);
	EXPECT_LIE(e.type = OBJECT_DATA);
	EXPECT_LIE(e.type = 0);
	EXPECT_LIE(e.type = 9);
	EXPECT_LIE(e.raw_n++);
	EXPECT_LIE((e.raw_n--, e.stored_n--));
	EXPECT_LIE((e.codec = CODEC_ZSTD, e.raw_n++));
	EXPECT_LIE(e.codec = 7);
	EXPECT_LIE(e.offset = p->entries[0].offset);
	EXPECT_LIE(e.offset = 0);
	EXPECT_LIE(e.offset = UINT32_MAX);
	EXPECT_LIE((e.stored_n = UINT32_MAX, e.raw_n = UINT32_MAX));
	EXPECT_LIE((e.stored_n = CHUNK_RAW_MAX, e.raw_n = CHUNK_RAW_MAX));
	EXPECT_LIE((e.stored_n = 0, e.raw_n = 0));
	pack_reader_close(reader);
}

static void test_packs_of_others_are_refused(void **state)
{
	struct small_pack *p = *state;
	struct pack_context context = p->f->store->context;
	struct pack_reader *reader;
	char relative[PACK_PATH_BYTES], path[256];

	context.repository[0] ^= 1;
	assert_int_equal(pack_reader_open(&context, &p->id, &reader), -EBADMSG);
	/* Moved to another host's folder. */
	context = p->f->store->context;
	context.host.bytes[0] ^= 1;
	file_path(p->f, pack_path(&context.host, &p->id, relative), path);
	*strrchr(path, '/') = '\0';
	*strrchr(path, '/') = '\0';
	assert_int_equal(mkdir(path, 0700), 0);
	file_path(p->f, relative, path);
	*strrchr(path, '/') = '\0';
	assert_int_equal(mkdir(path, 0700), 0);
	file_path(p->f, relative, path);
	assert_int_equal(rename(p->path, path), 0);
	assert_int_equal(pack_reader_open(&context, &p->id, &reader), -EBADMSG);
	assert_int_equal(open_pack(p, &reader), -ENOENT);
}

/* The same object sealed in another pack has another key: its bytes do not fit here. */
static void test_objects_do_not_move_between_packs(void **state)
{
	struct small_pack *p = *state;
	CLEANUP(free_ptr) uint8_t *other = NULL;
	struct pack_reader *reader;
	struct pack_writer *w;
	struct pack_id id;
	char relative[PACK_PATH_BYTES];
	uint64_t size;
	size_t n;

	assert_int_equal(pack_writer_open(&p->f->store->context, PACK_MIXED, &w), 0);
	for (int i = 0; i < N_OBJECTS; i++) {
		struct pack_entry e = p->entries[i];

		assert_int_equal(pack_writer_append(w, &e, p->plain[i]), 0);
	}
	assert_int_equal(pack_writer_finish(w, &id, &size), 0);
	pack_writer_close(w);
	pack_path(&p->f->store->context.host, &id, relative);
	assert_int_equal(io_read_file(p->f->io, relative, PACK_BYTES_MAX, &other, &n), 0);
	assert_int_equal(n, p->n);
	memcpy(p->bytes + PACK_HEADER_BYTES, other + PACK_HEADER_BYTES,
	       n - PACK_HEADER_BYTES - PACK_TRAILER_BYTES);
	write_bytes(p, p->bytes, p->n);
	assert_int_equal(open_pack(p, &reader), 0);
	assert_int_equal(read_all(p, reader), 0);
	pack_reader_close(reader);
}

static void test_forged_lengths_of_the_table_are_refused(void **state)
{
	static const uint32_t forged[] = { 0, 1, N_OBJECTS - 1, N_OBJECTS + 1, 65537, UINT32_MAX };
	struct small_pack *p = *state;
	struct pack_reader *reader;
	struct pack_entry *entries;
	enum pack_kind kind;
	size_t n;

	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		pack_end_make(
			(struct pack_trailer){ .n_entries = forged[i],
					       .table_n = (uint32_t)pack_table_bytes(forged[i]) },
			p->bytes + p->n - 16);
		write_bytes(p, p->bytes, p->n);
		assert_int_equal(open_pack(p, &reader), 0);
		assert_int_equal(pack_reader_table(reader, &p->scratch, &entries, &n, &kind),
				 -EBADMSG);
		pack_reader_close(reader);
	}
}

/* An authentic table whose lengths do not add up is malformed. */
static void test_table_must_cover_the_pack(void **state)
{
	struct small_pack *p = *state;
	uint8_t table[N_OBJECTS * PACK_LINE_BYTES];
	struct pack_entry entries[N_OBJECTS];
	uint64_t at = p->n - PACK_TRAILER_BYTES - pack_table_bytes(N_OBJECTS);

	pack_table_make(p->entries, N_OBJECTS, table);
	assert_int_equal(pack_table_parse(table, N_OBJECTS, at, entries), 0);
	assert_int_equal(pack_table_parse(table, N_OBJECTS, at + 1, entries), -EUCLEAN);
	assert_int_equal(pack_table_parse(table, N_OBJECTS, at - 1, entries), -EUCLEAN);
	table[32 * N_OBJECTS] ^= 1;
	assert_int_equal(pack_table_parse(table, N_OBJECTS, at, entries), -EUCLEAN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_pack, free_pack)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_table_and_scan_agree_with_what_was_written),
		TEST(test_every_flipped_bit_is_noticed),
		TEST(test_every_truncation_is_noticed),
		TEST(test_damaged_header_is_read_from_the_trailer),
		TEST(test_damage_costs_one_object),
		TEST(test_entries_that_lie_are_refused),
		TEST(test_packs_of_others_are_refused),
		TEST(test_objects_do_not_move_between_packs),
		TEST(test_forged_lengths_of_the_table_are_refused),
		TEST(test_table_must_cover_the_pack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
