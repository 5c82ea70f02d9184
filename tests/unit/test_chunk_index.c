/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include "store/chunk_index_internal.h"
#include "tests/scratch_folder.h"

#include <signal.h>
#include <sys/wait.h>

static const uint8_t sum_key[16] = { 1, 2, 3 };

/* A folder with an index in it, opened and filled. */
struct index_fixture {
	char path[64];
	struct io *io;
	struct chunk_index *x;
};

static int setup(void **state)
{
	struct index_fixture *f = calloc(1, sizeof(*f));

	log_set_sink(quiet_sink);
	assert_int_equal(crypto_init(), 0);
	scratch_folder(f->path);
	assert_int_equal(io_posix_open(f->path, &f->io), 0);
	assert_int_equal(io_mkdir(f->io, "tmp", IO_OBJECT_FOLDER), 0);
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), 1);
	assert_int_equal(chunk_index_filled(f->x), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct index_fixture *f = *state;

	chunk_index_close(f->x);
	io_free(f->io);
	remove_tree(f->path);
	free(f);
	return 0;
}

static void reopen(struct index_fixture *f, int expected)
{
	chunk_index_close(STEAL(f->x));
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), expected);
}

static bool has_clean_mark(struct index_fixture *f)
{
	struct io_stat st;

	return io_stat(f->io, "index/clean", &st) == 0;
}

static struct chunk_id chunk(uint32_t number)
{
	struct chunk_id id = { 0 };

	sha256_of(&number, sizeof(number), id.bytes);
	return id;
}

static struct pack_info info_of(uint8_t number)
{
	struct pack_info info = { .size = 1000u + number, .kind = PACK_DATA };

	memset(&info.host, 7, sizeof(info.host));
	memset(&info.id, number, sizeof(info.id));
	return info;
}

/* Pack `number` with the chunks [from, to). */
static void add(struct index_fixture *f, uint8_t number, uint32_t from, uint32_t to)
{
	CLEANUP(free_ptr) struct pack_entry *entries = calloc(to - from, sizeof(*entries));
	struct pack_info info = info_of(number);

	for (uint32_t i = from; i < to; i++)
		entries[i - from] = (struct pack_entry){ .id = chunk(i),
							 .offset = 128 + 80 * (i - from),
							 .stored_n = 10,
							 .raw_n = i + 11,
							 .type = OBJECT_TREE,
							 .codec = 1 };
	assert_int_equal(chunk_index_add_pack(f->x, &info, entries, to - from), 0);
}

static void test_entered_chunks_are_found(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_place place;
	struct pack_info info;
	struct chunk_id id = chunk(3), unknown = chunk(11);
	uint32_t number;

	add(f, 5, 0, 10);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(chunk_index_get(f->x, &id, &place), 0);
		assert_int_equal(place.offset, 128 + 240);
		assert_int_equal(place.stored_n, 10);
		assert_int_equal(place.raw_n, 14);
		assert_int_equal(place.type, OBJECT_TREE);
		assert_int_equal(place.codec, 1);
		assert_false(place.shunned);
		assert_int_equal(chunk_index_pack(f->x, place.pack, &info), 0);
		assert_int_equal(info.size, 1005);
		assert_int_equal(info.kind, PACK_DATA);
		assert_int_equal(chunk_index_find_pack(f->x, &info.id, &number), 0);
		assert_int_equal(number, place.pack);
		assert_int_equal(chunk_index_usable(f->x, &id), 1);
		assert_int_equal(chunk_index_get(f->x, &unknown, &place), -ENOENT);
		assert_int_equal(chunk_index_usable(f->x, &unknown), 0);
		assert_int_equal(chunk_index_pack(f->x, 99, &info), -ENOENT);
		reopen(f, 0);
	}
}

static void test_first_place_is_kept_unless_bad(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_id id = chunk(1);
	struct chunk_place first, place;
	struct pack_id pack = info_of(2).id;

	add(f, 1, 0, 3);
	assert_int_equal(chunk_index_get(f->x, &id, &first), 0);
	add(f, 2, 0, 3);
	assert_int_equal(chunk_index_get(f->x, &id, &place), 0);
	assert_int_equal(place.pack, first.pack);
	assert_int_equal(chunk_index_shun(f->x, &id, true), 0);
	assert_int_equal(chunk_index_usable(f->x, &id), 0);
	add(f, 3, 0, 3);
	assert_int_equal(chunk_index_get(f->x, &id, &place), 0);
	assert_int_not_equal(place.pack, first.pack);
	assert_int_equal(chunk_index_usable(f->x, &id), 1);
	assert_int_equal(chunk_index_condemn(f->x, &pack, true), 0);
	assert_int_equal(chunk_index_usable(f->x, &id), 1);
	pack = info_of(3).id;
	assert_int_equal(chunk_index_condemn(f->x, &pack, true), 0);
	assert_int_equal(chunk_index_usable(f->x, &id), 0);
	assert_int_equal(chunk_index_condemn(f->x, &pack, false), 0);
	assert_int_equal(chunk_index_usable(f->x, &id), 1);
}

static void test_dropped_pack_takes_its_chunks_along(void **state)
{
	struct index_fixture *f = *state;
	struct pack_id pack = info_of(1).id;
	struct chunk_place place;
	uint64_t chunks, packs, bytes;
	struct chunk_id gone = chunk(1), stays = chunk(12000);

	add(f, 1, 0, 12000);
	add(f, 2, 11000, 13000);
	assert_int_equal(chunk_index_drop_pack(f->x, &pack), 0);
	assert_int_equal(chunk_index_drop_pack(f->x, &pack), 0);
	assert_int_equal(chunk_index_stats(f->x, &chunks, &packs, &bytes), 0);
	assert_int_equal(chunks, 1000);
	assert_int_equal(packs, 1);
	assert_int_equal(chunk_index_get(f->x, &gone, &place), -ENOENT);
	assert_int_equal(chunk_index_get(f->x, &stays, &place), 0);
	/* Entering the other again brings back what only it still holds. */
	add(f, 2, 11000, 13000);
	assert_int_equal(chunk_index_stats(f->x, &chunks, &packs, &bytes), 0);
	assert_int_equal(chunks, 2000);
	assert_int_equal(packs, 1);
}

static int count_chunk(void *context, const uint8_t key[static 16], const struct chunk_place *place)
{
	uint8_t *last = context;
	uint64_t n;

	assert_true(place->raw_n >= 11);
	memcpy(&n, last + 16, sizeof(n));
	assert_true(n == 0 || memcmp(last, key, 16) < 0);
	memcpy(last, key, 16);
	n++;
	memcpy(last + 16, &n, sizeof(n));
	return 0;
}

static void test_every_chunk_is_visited_in_order(void **state)
{
	struct index_fixture *f = *state;
	uint8_t context[24] = { 0 };
	uint64_t n;

	add(f, 1, 0, 2048);
	assert_int_equal(chunk_index_each_chunk(f->x, count_chunk, context), 0);
	memcpy(&n, context + 16, sizeof(n));
	assert_int_equal(n, 2048);
}

static int note_record(void *context, uint64_t seq, const void *digest, size_t n)
{
	uint64_t *sum = context;

	assert_int_equal(n, 8);
	assert_memory_equal(digest, &seq, 8);
	*sum = *sum * 10 + seq;
	return 0;
}

static void test_records_are_ordered_by_host_and_sequence(void **state)
{
	struct index_fixture *f = *state;
	struct host_id a = { { 1 } }, b = { { 2 } }, c = { { 3 } };
	uint64_t sum = 0, seq, got;

	for (seq = 1; seq <= 5; seq++) {
		assert_int_equal(chunk_index_put_record(f->x, &a, seq, &seq, 8), 0);
		assert_int_equal(chunk_index_put_record(f->x, &c, seq, &seq, 8), 0);
	}
	assert_int_equal(chunk_index_each_record(f->x, &a, 2, false, note_record, &sum), 0);
	assert_int_equal(sum, 2345);
	sum = 0;
	assert_int_equal(chunk_index_each_record(f->x, &a, 4, true, note_record, &sum), 0);
	assert_int_equal(sum, 4321);
	sum = 0;
	assert_int_equal(chunk_index_each_record(f->x, &c, UINT64_MAX, true, note_record, &sum), 0);
	assert_int_equal(sum, 54321);
	sum = 0;
	assert_int_equal(chunk_index_each_record(f->x, &b, 0, false, note_record, &sum), 0);
	assert_int_equal(sum, 0);
	assert_int_equal(chunk_index_last_record(f->x, &a, &seq), 0);
	assert_int_equal(seq, 5);
	assert_int_equal(chunk_index_last_record(f->x, &b, &seq), 0);
	assert_int_equal(seq, 0);
	assert_int_equal(chunk_index_drop_record(f->x, &a, 5), 0);
	assert_int_equal(chunk_index_last_record(f->x, &a, &seq), 0);
	assert_int_equal(seq, 4);
	assert_int_equal(chunk_index_get_record(f->x, &a, 4, &got, sizeof(got)), 8);
	assert_int_equal(got, 4);
	assert_int_equal(chunk_index_get_record(f->x, &a, 5, &got, sizeof(got)), -ENOENT);
}

static void test_large_digests_fit_and_larger_are_refused(void **state)
{
	struct index_fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = calloc(2, INDEX_RECORD_BYTES_MAX);
	uint8_t *got = data + INDEX_RECORD_BYTES_MAX;
	struct host_id host = { { 1 } };

	fill_noise(data, INDEX_RECORD_BYTES_MAX, 5);
	assert_int_equal(chunk_index_put_record(f->x, &host, 1, data, INDEX_RECORD_BYTES_MAX), 0);
	assert_int_equal(chunk_index_put_record(f->x, &host, 2, data, INDEX_RECORD_BYTES_MAX + 1),
			 -EFBIG);
	reopen(f, 0);
	assert_int_equal(chunk_index_get_record(f->x, &host, 1, got, INDEX_RECORD_BYTES_MAX),
			 INDEX_RECORD_BYTES_MAX);
	assert_memory_equal(data, got, INDEX_RECORD_BYTES_MAX);
	/* A short buffer gets the beginning and the whole length. */
	assert_int_equal(chunk_index_get_record(f->x, &host, 1, got, 1), INDEX_RECORD_BYTES_MAX);
}

static void test_clean_mark_comes_and_goes(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_place place;
	struct chunk_id id = chunk(1);

	assert_false(has_clean_mark(f));
	reopen(f, 0);
	assert_true(has_clean_mark(f));
	/* Reading does not take it away, writing does. */
	assert_int_equal(chunk_index_get(f->x, &id, &place), -ENOENT);
	assert_true(has_clean_mark(f));
	add(f, 1, 0, 3);
	assert_false(has_clean_mark(f));
}

static void test_interrupted_filling_is_told(void **state)
{
	struct index_fixture *f = *state;

	chunk_index_close(STEAL(f->x));
	assert_int_equal(chunk_index_reset(f->io), 0);
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), 1);
	add(f, 1, 0, 3);
	reopen(f, 1);
	assert_int_equal(chunk_index_filled(f->x), 0);
	reopen(f, 0);
}

static void test_reset_refuses_while_open(void **state)
{
	struct index_fixture *f = *state;

	assert_int_equal(chunk_index_reset(f->io), -EBUSY);
}

static void test_other_checksum_key_is_damage(void **state)
{
	struct index_fixture *f = *state;
	static const uint8_t other[16] = { 9 };
	struct chunk_index *x;

	chunk_index_close(STEAL(f->x));
	assert_int_equal(chunk_index_open(f->io, other, INDEX_READ_WRITE, &x), -EUCLEAN);
}

static void test_foreign_file_is_damage(void **state)
{
	struct index_fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *noise = malloc(65536);
	char path[256];
	int fd;

	chunk_index_close(STEAL(f->x));
	(void)snprintf(path, sizeof(path), "%s/index/data.mdb", f->path);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	fill_noise(noise, 65536, 1);
	assert_int_equal(write(fd, noise, 65536), 65536);
	(void)close(fd);
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), -EUCLEAN);
	assert_int_equal(chunk_index_reset(f->io), 0);
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), 1);
}

/* Break one value inside an open database, as a bad disk would. */
static void test_damaged_value_is_not_believed(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_id id = chunk(1);
	uint8_t bytes[CHUNK_VALUE_BYTES] = { 1 };
	MDB_val key = { .mv_size = INDEX_KEY_BYTES, .mv_data = id.bytes };
	MDB_val value = { .mv_size = sizeof(bytes), .mv_data = bytes };
	struct chunk_place place;
	MDB_txn *txn;

	add(f, 1, 0, 3);
	assert_int_equal(index_write_begin(f->x, &txn), 0);
	assert_int_equal(mdb_put(txn, f->x->dbs[DB_CHUNKS], &key, &value, 0), 0);
	assert_int_equal(index_write_end(f->x, txn, 0), 0);
	assert_int_equal(chunk_index_get(f->x, &id, &place), -EUCLEAN);
	assert_int_equal(chunk_index_usable(f->x, &id), -EUCLEAN);
	/* Seen: the end is not marked clean, and the next open finds it again. */
	chunk_index_close(STEAL(f->x));
	assert_false(has_clean_mark(f));
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), -EUCLEAN);
}

/* Flip a byte of the database wherever `find` (n bytes) stands, behind it; size and time stay. */
static void flip_secretly(struct index_fixture *f, const void *find, size_t n)
{
	CLEANUP(free_ptr) uint8_t *bytes = NULL;
	struct timespec times[2];
	struct stat st;
	char path[256];
	unsigned int n_found = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/index/data.mdb", f->path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	for (off_t at = 0; at + (off_t)n < st.st_size; at++) {
		if (memcmp(bytes + at, find, n) != 0)
			continue;
		bytes[at + (off_t)n] ^= 1;
		assert_int_equal(pwrite(fd, bytes + at + n, 1, at + (off_t)n), 1);
		n_found++;
	}
	assert_true(n_found > 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(futimens(fd, times), 0);
	(void)close(fd);
}

static void test_clean_mark_covers_the_first_pages(void **state)
{
	static const uint8_t magic[] = { 0xde, 0xc0, 0xef, 0xbe };
	struct index_fixture *f = *state;

	chunk_index_close(STEAL(f->x));
	assert_true(has_clean_mark(f));
	flip_secretly(f, magic, sizeof(magic));
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), -EUCLEAN);
}

static void test_verify_finds_what_the_mark_hides(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_id id = chunk(1);

	add(f, 1, 0, 3);
	assert_int_equal(chunk_index_verify(f->io, sum_key), 0);
	chunk_index_close(STEAL(f->x));
	assert_int_equal(chunk_index_verify(f->io, sum_key), 0);
	assert_true(has_clean_mark(f));
	flip_secretly(f, id.bytes, INDEX_KEY_BYTES);
	assert_int_equal(chunk_index_verify(f->io, sum_key), -EUCLEAN);
	assert_false(has_clean_mark(f));
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), -EUCLEAN);
}

static void test_verify_finds_damage_beside_another_user(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_id id = chunk(1);

	add(f, 1, 0, 3);
	flip_secretly(f, id.bytes, INDEX_KEY_BYTES);
	assert_int_equal(chunk_index_verify(f->io, sum_key), -EUCLEAN);
}

static void test_damage_that_is_met_takes_the_mark_away(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_id id = chunk(1);
	struct chunk_place place;

	add(f, 1, 0, 3);
	chunk_index_close(STEAL(f->x));
	flip_secretly(f, id.bytes, INDEX_KEY_BYTES);
	reopen(f, 0);
	assert_true(has_clean_mark(f));
	assert_int_equal(chunk_index_get(f->x, &id, &place), -EUCLEAN);
	assert_false(has_clean_mark(f));
	chunk_index_close(STEAL(f->x));
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_WRITE, &f->x), -EUCLEAN);
}

static void test_signal_inside_lmdb_ends_with_an_exit_code(void **state)
{
	struct index_fixture *f = *state;
	int status;
	pid_t child;

	reopen(f, 0);
	assert_true(has_clean_mark(f));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		(void)dup2(null, STDERR_FILENO);
		index_guard_enter(f->x);
		(void)raise(SIGBUS);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CHUNK_INDEX_EXIT_DAMAGED);
	assert_false(has_clean_mark(f));
}

static void test_read_only_open_takes_no_locks(void **state)
{
	struct index_fixture *f = *state;
	struct chunk_id id = chunk(1);
	struct chunk_place place;

	add(f, 1, 0, 3);
	chunk_index_close(STEAL(f->x));
	assert_int_equal(chunk_index_open(f->io, sum_key, INDEX_READ_ONLY, &f->x), 0);
	assert_int_equal(chunk_index_get(f->x, &id, &place), 0);
	assert_int_equal(chunk_index_shun(f->x, &id, true), -EROFS);
	assert_int_equal(f->x->users_fd, -1);
}

static void *read_much(void *context)
{
	struct index_fixture *f = context;

	for (uint32_t i = 0; i < 20000; i++) {
		struct chunk_id id = chunk(i % 100);

		assert_int_equal(chunk_index_usable(f->x, &id), 1);
	}
	return NULL;
}

static void test_threads_read_while_one_writes(void **state)
{
	struct index_fixture *f = *state;
	pthread_t threads[3];

	add(f, 1, 0, 100);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_much, f), 0);
	for (uint8_t i = 2; i < 30; i++)
		add(f, i, 100u * i, 100u * i + 50);
	for (int i = 0; i < 3; i++)
		(void)pthread_join(threads[i], NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Pack `number` of a host with chunk 1. */
static void add_of_host(struct index_fixture *f, uint8_t number, uint8_t host)
{
	struct pack_entry entry = {
		.id = chunk(1), .offset = 128, .stored_n = 1, .raw_n = 1, .type = OBJECT_DATA
	};
	struct pack_info info = info_of(number);

	memset(&info.host, host, sizeof(info.host));
	assert_int_equal(chunk_index_add_pack(f->x, &info, &entry, 1), 0);
}

static uint8_t pack_of_chunk_1(struct index_fixture *f)
{
	struct chunk_id id = chunk(1);
	struct chunk_place place;
	struct pack_info info;

	assert_int_equal(chunk_index_get(f->x, &id, &place), 0);
	assert_int_equal(chunk_index_pack(f->x, place.pack, &info), 0);
	return info.id.bytes[0];
}

static void test_new_data_relies_on_the_own_hosts_packs_only(void **state)
{
	struct index_fixture *f = *state;
	struct host_id own;
	struct chunk_id id = chunk(1);

	memset(&own, 7, sizeof(own));
	chunk_index_set_host(f->x, &own);
	add_of_host(f, 1, 8);
	assert_int_equal(pack_of_chunk_1(f), 1);
	assert_int_equal(chunk_index_usable(f->x, &id), 0);
	add_of_host(f, 2, 9); /* as good as the first */
	assert_int_equal(pack_of_chunk_1(f), 1);
	add_of_host(f, 3, 7);
	assert_int_equal(pack_of_chunk_1(f), 3);
	assert_int_equal(chunk_index_usable(f->x, &id), 1);
	add_of_host(f, 4, 8);
	assert_int_equal(pack_of_chunk_1(f), 3);
}

/* As in a rebuild, whatever the order. */
static void test_of_packs_entered_together_the_own_hosts_win(void **state)
{
	struct index_fixture *f = *state;
	struct pack_entry entry = {
		.id = chunk(1), .offset = 128, .stored_n = 1, .raw_n = 1, .type = OBJECT_DATA
	};
	struct index_pack packs[3] = { { info_of(1), &entry, 1 },
				       { info_of(2), &entry, 1 },
				       { info_of(3), &entry, 1 } };
	struct chunk_id id = chunk(1);
	struct host_id own;

	memset(&own, 9, sizeof(own));
	chunk_index_set_host(f->x, &own);
	for (int ours = 0; ours < 3; ours++) {
		for (int i = 0; i < 3; i++) {
			memset(&packs[i].info.host, i == ours ? 9 : 7, sizeof(own));
			assert_int_equal(chunk_index_drop_pack(f->x, &packs[i].info.id), 0);
		}
		assert_int_equal(chunk_index_add_packs(f->x, packs, 3), 0);
		assert_int_equal(pack_of_chunk_1(f), ours + 1);
		assert_int_equal(chunk_index_usable(f->x, &id), 1);
	}
}

static uint32_t generation(struct index_fixture *f)
{
	uint32_t g = 0;

	assert_int_equal(chunk_index_generation(f->x, &g), 0);
	return g;
}

static void test_doubt_comes_with_what_makes_chunks_unusable(void **state)
{
	struct index_fixture *f = *state;
	struct pack_id pack = info_of(1).id, unknown = info_of(9).id;
	struct chunk_id id = chunk(1);
	uint32_t before = generation(f);

	assert_int_equal(chunk_index_in_doubt(f->x, 1), 1); /* a new one knows nothing */
	add(f, 1, 0, 3);
	assert_int_equal(generation(f), before);
	assert_int_equal(chunk_index_trust(f->x, 5, before), 0);
	assert_int_equal(chunk_index_in_doubt(f->x, 5), 0);
	assert_int_equal(chunk_index_in_doubt(f->x, 6), 0);
	assert_int_equal(chunk_index_in_doubt(f->x, 4), 1);
	reopen(f, 0);
	assert_int_equal(chunk_index_in_doubt(f->x, 5), 0);

	assert_int_equal(chunk_index_shun(f->x, &id, false), 0);
	assert_int_equal(chunk_index_condemn(f->x, &pack, false), 0);
	assert_int_equal(chunk_index_drop_pack(f->x, &unknown), 0);
	assert_int_equal(generation(f), before);
	assert_int_equal(chunk_index_shun(f->x, &id, true), 0);
	assert_int_equal(generation(f), before + 1);
	assert_int_equal(chunk_index_shun(f->x, &id, true), 0);
	assert_int_equal(generation(f), before + 1);
	assert_int_equal(chunk_index_in_doubt(f->x, 5), 1);
	assert_int_equal(chunk_index_condemn(f->x, &pack, true), 0);
	assert_int_equal(generation(f), before + 2);
	assert_int_equal(chunk_index_drop_pack(f->x, &pack), 0);
	assert_int_equal(generation(f), before + 3);

	/* A trust of what was before comes too late. */
	assert_int_equal(chunk_index_trust(f->x, 7, before), 0);
	assert_int_equal(chunk_index_in_doubt(f->x, 7), 1);
	assert_int_equal(chunk_index_trust(f->x, 0, before), -ERANGE);
}

static void test_many_records_are_entered_at_once(void **state)
{
	struct index_fixture *f = *state;
	enum { N = INDEX_BATCH_KEYS + 5 };
	CLEANUP(free_ptr) struct index_record *records = calloc(N, sizeof(*records));
	static const uint8_t large[INDEX_RECORD_BYTES_MAX + 1];
	struct host_id host = { { 1 } };
	uint64_t got;

	assert_non_null(records);
	for (uint64_t i = 0; i < N; i++)
		records[i] =
			(struct index_record){ .seq = i + 1, .digest = &records[i].seq, .n = 8 };
	assert_int_equal(chunk_index_put_records(f->x, &host, records, 0), 0);
	assert_int_equal(chunk_index_put_records(f->x, &host, records, N), 0);
	for (uint64_t i = 1; i <= N; i++) {
		assert_int_equal(chunk_index_get_record(f->x, &host, i, &got, sizeof(got)), 8);
		assert_int_equal(got, i);
	}
	records[1] = (struct index_record){ .seq = 2, .digest = large, .n = sizeof(large) };
	records[0].seq = N + 1;
	assert_int_equal(chunk_index_put_records(f->x, &host, records, 2), -EFBIG);
	assert_int_equal(chunk_index_get_record(f->x, &host, N + 1, &got, sizeof(got)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_entered_chunks_are_found),
		TEST(test_first_place_is_kept_unless_bad),
		TEST(test_dropped_pack_takes_its_chunks_along),
		TEST(test_every_chunk_is_visited_in_order),
		TEST(test_records_are_ordered_by_host_and_sequence),
		TEST(test_large_digests_fit_and_larger_are_refused),
		TEST(test_clean_mark_comes_and_goes),
		TEST(test_interrupted_filling_is_told),
		TEST(test_reset_refuses_while_open),
		TEST(test_other_checksum_key_is_damage),
		TEST(test_foreign_file_is_damage),
		TEST(test_damaged_value_is_not_believed),
		TEST(test_read_only_open_takes_no_locks),
		TEST(test_clean_mark_covers_the_first_pages),
		TEST(test_verify_finds_what_the_mark_hides),
		TEST(test_verify_finds_damage_beside_another_user),
		TEST(test_damage_that_is_met_takes_the_mark_away),
		TEST(test_signal_inside_lmdb_ends_with_an_exit_code),
		TEST(test_threads_read_while_one_writes),
		TEST(test_new_data_relies_on_the_own_hosts_packs_only),
		TEST(test_of_packs_entered_together_the_own_hosts_win),
		TEST(test_doubt_comes_with_what_makes_chunks_unusable),
		TEST(test_many_records_are_entered_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
