/* SPDX-License-Identifier: MIT */
#include "snapshots/ingest.h"
#include "tests/unit/snapshot_fixture.h"

#define CACHE MIB(16)

/* A repository, what an ingest needs, and a file to read. */
struct kit {
	struct fixture *fixture;
	struct snapshot_maker maker;
	struct chunk_cache *cache;
	struct seal_pool *pool;
	struct ingest *ingest;
	int fd;
};

/* A content with arrays of its own. */
struct kept {
	struct content content;
	struct piece *pieces;
	struct extent *extents;
};

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));
	char path[] = "/tmp/yore-test-file-XXXXXX";

	assert_non_null(k);
	k->fixture = fixture_open();
	snapshot_maker_init(&k->maker, k->fixture->store);
	assert_int_equal(chunk_cache_new(k->fixture->store, CACHE, 0, &k->cache), 0);
	assert_int_equal(seal_pool_new(k->fixture->store, 2, &k->pool), 0);
	assert_int_equal(ingest_new(k->fixture->store, k->maker.writer, k->cache, k->pool,
				    &k->maker.sink, &k->ingest),
			 0);
	k->fd = mkstemp(path);
	assert_true(k->fd >= 0);
	(void)unlink(path);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	(void)close(k->fd);
	ingest_free(k->ingest);
	seal_pool_free(k->pool);
	chunk_cache_free(k->cache);
	snapshot_maker_done(&k->maker);
	fixture_close(k->fixture);
	free(k);
	return 0;
}

static void noise(uint8_t *to, size_t n, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		to[i] = (uint8_t)(x >> 32);
	}
}

static uint8_t *new_noise(size_t n, uint64_t seed)
{
	uint8_t *data = malloc(n);

	assert_non_null(data);
	noise(data, n, seed);
	return data;
}

/* The file holds exactly this. */
static void file_is(struct kit *k, const void *data, size_t n)
{
	assert_int_equal(ftruncate(k->fd, 0), 0);
	assert_int_equal(pwrite(k->fd, data, n, 0), n);
}

static void kept_done(struct kept *kept)
{
	free(kept->pieces);
	free(kept->extents);
	*kept = (struct kept){ 0 };
}

static struct kept keep(const struct content *c)
{
	struct kept kept = { .content = *c };

	if (c->n_pieces) {
		kept.pieces = calloc(c->n_pieces, sizeof(*kept.pieces));
		assert_non_null(kept.pieces);
		memcpy(kept.pieces, c->pieces, c->n_pieces * sizeof(*kept.pieces));
	}
	if (c->n_extents) {
		kept.extents = calloc(c->n_extents, sizeof(*kept.extents));
		assert_non_null(kept.extents);
		memcpy(kept.extents, c->extents, c->n_extents * sizeof(*kept.extents));
	}
	kept.content.pieces = kept.pieces;
	kept.content.extents = kept.extents;
	return kept;
}

/* Ingest the file as it is, make it durable; `grown` (or NULL) tells the raw bytes it added. */
static struct kept take(struct kit *k, const struct content *old, uint64_t *grown)
{
	struct store_writer_stats before, after;
	struct content content;
	struct kept kept;
	bool source_failed = true;
	struct stat st;

	assert_int_equal(fstat(k->fd, &st), 0);
	store_writer_stats(k->maker.writer, &before);
	assert_int_equal(ingest_run(k->ingest, k->fd, (uint64_t)st.st_size, old, NULL, &content,
				    &source_failed),
			 0);
	assert_false(source_failed);
	kept = keep(&content);
	assert_int_equal(store_writer_finish(k->maker.writer), 0);
	store_writer_stats(k->maker.writer, &after);
	if (grown)
		*grown = after.raw_bytes_new - before.raw_bytes_new;
	return kept;
}

/* Reading the content yields the file. */
static void reads_as(struct kit *k, const struct content *c, const uint8_t *data, size_t n)
{
	CLEANUP(content_reader_free_ptr) struct content_reader *reader = NULL;
	CLEANUP(free_ptr) uint8_t *got = malloc(n + 1);

	assert_non_null(got);
	assert_int_equal(content_reader_new(k->cache, &reader), 0);
	assert_int_equal(content_reader_set(reader, c), 0);
	assert_int_equal(c->length, n);
	assert_int_equal(content_read(reader, 0, got, n + 1), n);
	assert_memory_equal(got, data, n);
}

static void same_identity(const struct content *a, const struct content *b)
{
	assert_memory_equal(&a->id, &b->id, sizeof(a->id));
	assert_int_equal(a->length, b->length);
}

/* Rewrite every 50th 4 KiB block or so. Returns the number of bytes. */
static size_t edit(uint8_t *data, size_t n, uint64_t seed)
{
	uint64_t x = seed;
	size_t changed = 0;

	for (size_t i = 0; i < n / 4096 / 50; i++) {
		size_t block;

		x = x * 6364136223846793005u + 1442695040888963407u;
		block = (size_t)(x >> 33) % (n / 4096);
		noise(data + block * 4096, 4096, seed * 1000 + i);
		changed += 4096;
	}
	return changed;
}

static void test_contents_come_back(void **state)
{
	static const size_t sizes[] = {
		1, 4095, 65535, 65536, 1000000, 1u << 20, 3000001, 9u << 20
	};
	struct kit *k = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		CLEANUP(free_ptr) uint8_t *data = new_noise(sizes[i], i);
		CLEANUP(kept_done) struct kept kept = { 0 };

		file_is(k, data, sizes[i]);
		kept = take(k, NULL, NULL);
		reads_as(k, &kept.content, data, sizes[i]);
		assert_int_equal(ingest_bytes_read(k->ingest), sizes[i]);
	}
}

static void test_an_empty_file_has_no_pieces(void **state)
{
	CLEANUP(kept_done) struct kept kept = { 0 };
	struct kit *k = *state;

	file_is(k, "", 0);
	kept = take(k, NULL, NULL);
	assert_int_equal(kept.content.form, CONTENT_EMPTY);
	assert_int_equal(kept.content.length, 0);
}

static void test_holes_and_written_zeros_are_the_same(void **state)
{
	const size_t n = 6 << 20;
	CLEANUP(free_ptr) uint8_t *data = calloc(1, n);
	CLEANUP(kept_done) struct kept sparse = { 0 };
	CLEANUP(kept_done) struct kept full = { 0 };
	struct kit *k = *state;
	uint64_t grown;

	assert_non_null(data);
	/* Data of awkward sizes at awkward places, zeros between. */
	noise(data + 5000, 300001, 1);
	noise(data + (2 << 20), 777, 2);
	noise(data + (2 << 20) + 70000, 5000, 3);
	noise(data + n - 1500000, 100000, 4);
	file_is(k, data, n);
	full = take(k, NULL, NULL);
	assert_int_equal(ftruncate(k->fd, 0), 0);
	assert_int_equal(ftruncate(k->fd, (off_t)n), 0);
	assert_int_equal(pwrite(k->fd, data + 5000, 300001, 5000), 300001);
	assert_int_equal(pwrite(k->fd, data + (2 << 20), 777, 2 << 20), 777);
	assert_int_equal(pwrite(k->fd, data + (2 << 20) + 70000, 5000, (2 << 20) + 70000), 5000);
	assert_int_equal(pwrite(k->fd, data + n - 1500000, 100000, (off_t)n - 1500000), 100000);
	sparse = take(k, NULL, &grown);
	assert_int_equal(grown, 0);
	same_identity(&full.content, &sparse.content);
	assert_int_equal(full.content.n_pieces, sparse.content.n_pieces);
	for (uint32_t i = 0; i < full.content.n_pieces; i++)
		assert_int_equal(full.pieces[i].length, sparse.pieces[i].length);
	reads_as(k, &sparse.content, data, n);
	assert_true(ingest_bytes_read(k->ingest) < n / 2);
}

static void test_a_huge_hole_costs_nothing(void **state)
{
	CLEANUP(kept_done) struct kept kept = { 0 };
	struct kit *k = *state;
	uint64_t grown;

	assert_int_equal(ftruncate(k->fd, (off_t)1 << 40), 0);
	assert_int_equal(pwrite(k->fd, "end", 3, ((off_t)1 << 40) - 3), 3);
	kept = take(k, NULL, &grown);
	assert_int_equal(kept.content.length, (uint64_t)1 << 40);
	assert_true(grown <= 4096);
	assert_true(kept.content.n_pieces <= 3);
	assert_true(piece_is_hole(&kept.pieces[0]));
}

static void test_an_edit_grows_by_the_edit(void **state)
{
	const size_t n = 8 << 20;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n, 1);
	CLEANUP(kept_done) struct kept first = { 0 };
	CLEANUP(kept_done) struct kept second = { 0 };
	struct kit *k = *state;
	uint64_t grown;
	size_t changed;

	file_is(k, data, n);
	first = take(k, NULL, NULL);
	changed = edit(data, n, 2);
	file_is(k, data, n);
	second = take(k, &first.content, &grown);
	assert_in_range(grown, changed - 4096, changed * 13 / 10 + 65536);
	reads_as(k, &second.content, data, n);
}

static void test_identity_does_not_depend_on_history(void **state)
{
	const size_t n = 6 << 20;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n, 7);
	CLEANUP(kept_done) struct kept first = { 0 };
	CLEANUP(kept_done) struct kept edited = { 0 };
	CLEANUP(kept_done) struct kept afresh = { 0 };
	CLEANUP(kept_done) struct kept back = { 0 };
	struct kit *k = *state;
	uint64_t grown;

	file_is(k, data, n);
	first = take(k, NULL, NULL);
	(void)edit(data, n, 3);
	file_is(k, data, n);
	edited = take(k, &first.content, NULL);
	afresh = take(k, NULL, NULL);
	same_identity(&edited.content, &afresh.content);
	assert_int_not_equal(
		memcmp(&edited.content.id, &first.content.id, sizeof(first.content.id)), 0);
	/* Back to the first version: nothing is stored. */
	noise(data, n, 7);
	file_is(k, data, n);
	back = take(k, &edited.content, &grown);
	same_identity(&back.content, &first.content);
	assert_int_equal(grown, 0);
	reads_as(k, &back.content, data, n);
}

static void test_an_insertion_shifts_the_rest(void **state)
{
	const size_t n = 8 << 20, inserted = 123457;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n + inserted, 11);
	CLEANUP(kept_done) struct kept first = { 0 };
	CLEANUP(kept_done) struct kept second = { 0 };
	CLEANUP(kept_done) struct kept third = { 0 };
	struct kit *k = *state;
	uint64_t grown;

	file_is(k, data, n);
	first = take(k, NULL, NULL);
	memmove(data + 500000 + inserted, data + 500000, n - 500000);
	noise(data + 500000, inserted, 12);
	file_is(k, data, n + inserted);
	second = take(k, &first.content, &grown);
	assert_true(grown < inserted + 2 * CHUNK_RAW_MAX);
	reads_as(k, &second.content, data, n + inserted);
	/* Edits behind the insertion are found at the shift. */
	(void)edit(data + 4000000, 4 << 20, 5);
	file_is(k, data, n + inserted);
	third = take(k, &second.content, &grown);
	assert_true(grown < 400000);
	reads_as(k, &third.content, data, n + inserted);
}

static void test_ten_generations_stay_within_bounds(void **state)
{
	const size_t n = 16 << 20;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n, 21);
	CLEANUP(kept_done) struct kept last = { 0 };
	struct kit *k = *state;

	file_is(k, data, n);
	last = take(k, NULL, NULL);
	for (uint64_t g = 1; g <= 10; g++) {
		size_t changed = edit(data, n, g);
		struct kept next;
		uint64_t grown;

		file_is(k, data, n);
		next = take(k, &last.content, &grown);
		assert_true(grown <= changed * 135 / 100 + MIB(1));
		reads_as(k, &next.content, data, n);
		kept_done(&last);
		last = next;
	}
}

static void test_truncation_and_growth_meanwhile_are_no_failure(void **state)
{
	const size_t n = 3 << 20;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n, 31);
	struct kit *k = *state;
	struct content content;
	struct kept kept;
	bool source_failed;

	/* It is shorter than was said. */
	file_is(k, data, n);
	assert_int_equal(ingest_run(k->ingest, k->fd, 2 * n, NULL, NULL, &content, &source_failed),
			 0);
	kept = keep(&content);
	assert_int_equal(store_writer_finish(k->maker.writer), 0);
	reads_as(k, &kept.content, data, n);
	kept_done(&kept);
	/* It is longer: read up to what was said. */
	assert_int_equal(
		ingest_run(k->ingest, k->fd, n - 4321, NULL, NULL, &content, &source_failed), 0);
	kept = keep(&content);
	assert_int_equal(store_writer_finish(k->maker.writer), 0);
	reads_as(k, &kept.content, data, n - 4321);
	kept_done(&kept);
}

static void test_a_cancelled_run_leaves_it_usable(void **state)
{
	const size_t n = 3 << 20;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n, 41);
	CLEANUP(kept_done) struct kept kept = { 0 };
	volatile bool cancel = true;
	struct kit *k = *state;
	struct content content;
	bool source_failed = true;

	file_is(k, data, n);
	assert_int_equal(ingest_run(k->ingest, k->fd, n, NULL, &cancel, &content, &source_failed),
			 -ECANCELED);
	assert_false(source_failed);
	kept = take(k, NULL, NULL);
	reads_as(k, &kept.content, data, n);
}

static void test_a_read_error_is_the_source_s(void **state)
{
	CLEANUP(close_fd_ptr) int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kit *k = *state;
	struct content content;
	bool source_failed = false;

	assert_true(folder >= 0);
	assert_int_equal(
		ingest_run(k->ingest, folder, 100000, NULL, NULL, &content, &source_failed),
		-EISDIR);
	assert_true(source_failed);
}

static void test_an_unreadable_old_version_is_no_base(void **state)
{
	const size_t n = 4 << 20;
	CLEANUP(free_ptr) uint8_t *data = new_noise(n, 51);
	CLEANUP(kept_done) struct kept kept = { 0 };
	struct content forged = { .form = CONTENT_LIST, .length = n };
	struct kit *k = *state;

	memset(&forged.list, 0x77, sizeof(forged.list));
	memset(&forged.id, 0x78, sizeof(forged.id));
	file_is(k, data, n);
	kept = take(k, &forged, NULL);
	reads_as(k, &kept.content, data, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_contents_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_empty_file_has_no_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holes_and_written_zeros_are_the_same, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_huge_hole_costs_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_edit_grows_by_the_edit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity_does_not_depend_on_history, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_an_insertion_shifts_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ten_generations_stay_within_bounds, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_truncation_and_growth_meanwhile_are_no_failure,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_cancelled_run_leaves_it_usable, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_read_error_is_the_source_s, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_unreadable_old_version_is_no_base, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
