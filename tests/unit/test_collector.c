/* SPDX-License-Identifier: MIT */
#include "tests/unit/store_fixture.h"

#include "store/chunk_index_collect.h"
#include "store/collector.h"
#include "store/pack_writer.h"
#include "store/writer_list.h"

#define OBJECT_BYTES 3000
#define LARGE_BYTES (900ul << 10)

static const struct collector_options all_now = { .young_too = true,
						  .sparse_percent = 50,
						  .rewrite_bytes = UINT64_MAX };

static void mark(struct collector *c, const struct chunk_id *id)
{
	assert_int_equal(collector_mark(c, id, OBJECT_DATA), 1);
}

/* All turns, the commit lock not needed here. */
static void run_turns(struct collector *c)
{
	int r;

	while ((r = collector_next(c)) == 1) {
		assert_int_equal(collector_condemn(c), 0);
		assert_int_equal(collector_retire(c), 0);
	}
	assert_int_equal(r, 0);
	assert_int_equal(collector_finish(c), 0);
}

/* A whole collection in which these objects are alive. */
static struct collector_stats collect(struct fixture *f, const struct collector_options *o,
				      const struct chunk_id *alive, size_t n)
{
	struct collector_stats stats;
	struct collector *c;

	assert_int_equal(collector_new(f->store, o, &c), 0);
	for (size_t i = 0; i < n; i++)
		mark(c, &alive[i]);
	assert_int_equal(collector_judge(c), 0);
	run_turns(c);
	collector_stats(c, &stats);
	collector_free(c);
	return stats;
}

static int n_packs(struct fixture *f)
{
	return any_pack(f).n;
}

static int n_pack_files(struct fixture *f)
{
	char folder[96], hex[2 * HOST_ID_BYTES + 1];
	int n = 0;

	(void)bytes_to_hex(store_host(f->store)->bytes, HOST_ID_BYTES, hex);
	for (unsigned int shard = 0; shard < 256; shard++) {
		(void)snprintf(folder, sizeof(folder), "packs/%s/%02x", hex, shard);
		n += count_files(f, folder);
	}
	return n;
}

static int count_chunk(void *context, const uint8_t key[static 16], const struct chunk_place *place)
{
	(void)key;
	(void)place;
	++*(int *)context;
	return 0;
}

static int n_chunks(struct fixture *f)
{
	int n = 0;

	assert_int_equal(chunk_index_each_chunk(store_index(f->store), count_chunk, &n), 0);
	return n;
}

static uint32_t generation(struct fixture *f)
{
	uint32_t g;

	assert_int_equal(chunk_index_generation(store_index(f->store), &g), 0);
	return g;
}

static struct pack_info pack_of(struct fixture *f, const struct chunk_id *id)
{
	struct chunk_place place;
	struct pack_info info;

	assert_int_equal(chunk_index_get(store_index(f->store), id, &place), 0);
	assert_int_equal(chunk_index_pack(store_index(f->store), place.pack, &info), 0);
	return info;
}

static void pack_file(struct fixture *f, const struct pack_info *info, char to[static 256])
{
	char path[PACK_PATH_BYTES];

	file_path(f, pack_path(&info->host, &info->id, path), to);
}

static void test_a_dead_pack_goes_and_a_living_one_stays(void **state)
{
	struct fixture *f = *state;
	struct chunk_id dead = store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	struct chunk_id alive = store_one(f, OBJECT_DATA, OBJECT_BYTES, 2);
	struct collector_stats s = collect(f, &all_now, &alive, 1);

	assert_int_equal(s.packs_freed, 1);
	assert_int_equal(s.packs_rewritten, 0);
	assert_int_equal(n_packs(f), 1);
	assert_int_equal(n_pack_files(f), 1);
	assert_int_equal(n_chunks(f), 1);
	assert_int_equal(check_one(f, &alive, OBJECT_DATA, OBJECT_BYTES, 2), 0);
	assert_int_equal(check_one(f, &dead, OBJECT_DATA, OBJECT_BYTES, 1), -ENOENT);
	/* There is nothing more to do. */
	s = collect(f, &all_now, &alive, 1);
	assert_int_equal(s.packs_freed + s.packs_rewritten + s.packs_new, 0);
}

static void test_what_becomes_alive_before_the_verdict_stays(void **state)
{
	struct fixture *f = *state;
	struct chunk_id a = store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	struct chunk_id b = store_one(f, OBJECT_DATA, OBJECT_BYTES, 2);
	struct collector *c;

	assert_int_equal(collector_new(f->store, &all_now, &c), 0);
	assert_int_equal(collector_judge(c), 0);
	assert_int_equal(collector_next(c), 1);
	mark(c, &b);
	assert_int_equal(collector_condemn(c), 0);
	assert_int_equal(collector_retire(c), 0);
	run_turns(c);
	collector_free(c);
	assert_int_equal(check_one(f, &a, OBJECT_DATA, OBJECT_BYTES, 1), -ENOENT);
	assert_int_equal(check_one(f, &b, OBJECT_DATA, OBJECT_BYTES, 2), 0);
	assert_int_equal(chunk_index_usable(store_index(f->store), &b), 1);
}

/* A capture that found something in a pack before it was condemned must notice. */
static void test_condemning_moves_the_generation_but_keeps_trust(void **state)
{
	struct fixture *f = *state;
	struct chunk_index *x = store_index(f->store);
	struct chunk_id dead = store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	uint32_t before = generation(f);
	struct collector *c;

	assert_int_equal(chunk_index_trust(x, 7, before), 0);
	assert_int_equal(chunk_index_in_doubt(x, 7), 0);
	assert_int_equal(collector_new(f->store, &all_now, &c), 0);
	assert_int_equal(collector_judge(c), 0);
	assert_int_equal(collector_next(c), 1);
	assert_int_equal(chunk_index_usable(x, &dead), 1);
	assert_int_equal(collector_condemn(c), 0);
	assert_int_equal(chunk_index_usable(x, &dead), 0);
	assert_int_equal(generation(f), before + 1);
	assert_int_equal(chunk_index_in_doubt(x, 7), 0);
	assert_int_equal(collector_retire(c), 0);
	/* What began between the two relies on nothing of it. */
	assert_int_equal(generation(f), before + 1);
	assert_int_equal(chunk_index_in_doubt(x, 7), 0);
	collector_free(c);
}

static void test_doubt_that_was_there_stays(void **state)
{
	struct fixture *f = *state;
	struct chunk_index *x = store_index(f->store);
	struct chunk_id other = store_one(f, OBJECT_DATA, OBJECT_BYTES, 2);

	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	assert_int_equal(chunk_index_trust(x, 7, generation(f)), 0);
	assert_int_equal(chunk_index_shun(x, &other, true), 0);
	assert_int_equal(chunk_index_in_doubt(x, 7), 1);
	(void)collect(f, &all_now, &other, 1);
	assert_int_equal(chunk_index_in_doubt(x, 7), 1);
}

static void test_small_packs_are_merged(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ids[12];
	struct collector_stats s;

	for (uint64_t i = 0; i < 12; i++)
		ids[i] = store_one(f, OBJECT_DATA, OBJECT_BYTES, i);
	assert_int_equal(n_packs(f), 12);
	s = collect(f, &all_now, ids, 12);
	assert_int_equal(s.packs_rewritten, 12);
	assert_int_equal(s.packs_new, 1);
	assert_int_equal(n_packs(f), 1);
	assert_int_equal(n_pack_files(f), 1);
	assert_int_equal(n_chunks(f), 12);
	for (uint64_t i = 0; i < 12; i++)
		assert_int_equal(check_one(f, &ids[i], OBJECT_DATA, OBJECT_BYTES, i), 0);
	/* A rebuilt index says the same. */
	fixture_close(f);
	assert_int_equal(chunk_index_reset(f->io), 0);
	fixture_open(f, STORE_READ_WRITE);
	for (uint64_t i = 0; i < 12; i++)
		assert_int_equal(check_one(f, &ids[i], OBJECT_DATA, OBJECT_BYTES, i), 0);
	s = collect(f, &all_now, ids, 12);
	assert_int_equal(s.packs_freed + s.packs_rewritten, 0);
}

/* One that is much smaller, and some that are much larger, keep nobody from merging. */
static void test_packs_of_like_size_are_merged(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ids[7];
	struct collector_stats s;

	ids[0] = store_one(f, OBJECT_DATA, 100, 100);
	for (uint64_t i = 1; i < 5; i++)
		ids[i] = store_one(f, OBJECT_DATA, 3 * LARGE_BYTES / 10, i);
	for (uint64_t i = 5; i < 7; i++)
		ids[i] = store_one(f, OBJECT_DATA, 700 * (i - 4), i);
	s = collect(f, &all_now, ids, 7);
	assert_int_equal(s.packs_rewritten, 7);
	assert_int_equal(s.packs_new, 1);
	assert_int_equal(check_one(f, &ids[4], OBJECT_DATA, 3 * LARGE_BYTES / 10, 4), 0);
}

/* What was merged is not merged again with each few bytes that come. */
static void test_a_merged_pack_is_left_alone_for_a_while(void **state)
{
	struct fixture *f = *state;
	struct collector_stats s;
	struct chunk_id ids[8];

	for (uint64_t i = 0; i < 4; i++)
		ids[i] = store_one(f, OBJECT_DATA, LARGE_BYTES / 2, i);
	assert_int_equal(collect(f, &all_now, ids, 4).packs_new, 1);
	for (uint64_t i = 4; i < 8; i++) {
		ids[i] = store_one(f, OBJECT_DATA, OBJECT_BYTES, i);
		s = collect(f, &all_now, ids, i + 1);
		assert_int_equal(s.bytes_copied > LARGE_BYTES, 0);
	}
	assert_int_equal(s.packs_new, 1);
	assert_int_equal(n_packs(f), 2);
}

static void test_nodes_and_data_part_ways(void **state)
{
	struct fixture *f = *state;
	struct chunk_id data[4], nodes[4];
	struct collector *c;

	for (uint64_t i = 0; i < 4; i++) {
		data[i] = store_one(f, OBJECT_DATA, OBJECT_BYTES, i);
		nodes[i] = store_one(f, OBJECT_TREE, OBJECT_BYTES, i);
	}
	assert_int_equal(pack_of(f, &nodes[0]).kind, PACK_MIXED);
	assert_int_equal(collector_new(f->store, &all_now, &c), 0);
	for (int i = 0; i < 4; i++) {
		mark(c, &data[i]);
		assert_int_equal(collector_mark(c, &nodes[i], OBJECT_TREE), 1);
	}
	assert_int_equal(collector_judge(c), 0);
	run_turns(c);
	collector_free(c);
	assert_int_equal(n_packs(f), 2);
	assert_int_equal(pack_of(f, &data[3]).kind, PACK_DATA);
	assert_int_equal(pack_of(f, &nodes[3]).kind, PACK_NODES);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(check_one(f, &nodes[i], OBJECT_TREE, OBJECT_BYTES, i), 0);
}

/* One pack of 8 large objects. */
static void store_large(struct fixture *f, struct chunk_id ids[static 8])
{
	CLEANUP(free_ptr) uint8_t *data = malloc(LARGE_BYTES);
	struct store_writer *w;

	assert_non_null(data);
	assert_int_equal(store_writer_new(f->store, &w), 0);
	for (uint64_t i = 0; i < 8; i++) {
		fill_noise(data, LARGE_BYTES, i);
		ids[i] = put(f, w, OBJECT_DATA, data, LARGE_BYTES);
	}
	assert_int_equal(store_writer_finish(w), 0);
	store_writer_free(w);
}

static int read_large(struct fixture *f, const struct chunk_id *id, uint64_t seed)
{
	CLEANUP(free_ptr) uint8_t *expected = malloc(LARGE_BYTES);
	CLEANUP(free_ptr) uint8_t *got = malloc(LARGE_BYTES);
	struct store_reader *reader;
	int64_t r;

	fill_noise(expected, LARGE_BYTES, seed);
	assert_int_equal(store_reader_new(f->store, &reader), 0);
	r = store_get(reader, id, OBJECT_DATA, got, LARGE_BYTES);
	store_reader_free(reader);
	if (r >= 0)
		assert_memory_equal(got, expected, LARGE_BYTES);
	return r < 0 ? (int)r : 0;
}

static void test_a_sparse_pack_is_rewritten(void **state)
{
	struct fixture *f = *state;
	struct collector_stats s;
	struct chunk_id ids[8];

	store_large(f, ids);
	s = collect(f, &all_now, ids, 5);
	assert_int_equal(s.packs_rewritten, 0);
	s = collect(f, &all_now, ids, 3);
	assert_int_equal(s.packs_rewritten, 1);
	assert_true(s.bytes_new < 4 * LARGE_BYTES);
	assert_int_equal(n_chunks(f), 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(read_large(f, &ids[i], i), 0);
	assert_int_equal(read_large(f, &ids[5], 5), -ENOENT);
}

static void test_a_budget_is_kept(void **state)
{
	struct collector_options o = all_now;
	struct fixture *f = *state;
	struct collector_stats s;
	struct chunk_id ids[8];

	store_large(f, ids);
	o.rewrite_bytes = LARGE_BYTES;
	s = collect(f, &o, ids, 3);
	assert_int_equal(s.packs_rewritten, 0);
	assert_int_equal(s.bytes_copied, 0);
	/* Freeing whole packs costs none of it. */
	s = collect(f, &o, NULL, 0);
	assert_int_equal(s.packs_freed, 1);
}

/* A reader whose look-up came before the merge finds the object where it went. */
static void test_an_open_reader_goes_on(void **state)
{
	struct fixture *f = *state;
	struct store *other;
	struct store_reader *reader;
	uint8_t got[OBJECT_BYTES];
	struct chunk_id ids[6];

	for (uint64_t i = 0; i < 6; i++)
		ids[i] = store_one(f, OBJECT_DATA, OBJECT_BYTES, i);
	other = f->store;
	assert_int_equal(store_reader_new(other, &reader), 0);
	assert_int_equal(store_get(reader, &ids[0], OBJECT_DATA, got, sizeof(got)), OBJECT_BYTES);
	(void)collect(f, &all_now, ids, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(store_get(reader, &ids[i], OBJECT_DATA, got, sizeof(got)),
				 OBJECT_BYTES);
	store_reader_free(reader);
}

static void test_young_packs_wait_for_the_second_collection(void **state)
{
	struct collector_options o = all_now;
	struct fixture *f = *state;
	struct collector_stats s;

	o.young_too = false;
	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	s = collect(f, &o, NULL, 0);
	assert_int_equal(s.packs_freed, 0);
	assert_int_equal(s.packs_young, 1);
	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 2);
	s = collect(f, &o, NULL, 0);
	assert_int_equal(s.packs_freed, 1);
	assert_int_equal(s.packs_young, 1);
	assert_int_equal(n_packs(f), 1);
}

static void test_packs_of_a_living_writer_stay(void **state)
{
	struct fixture *f = *state;
	struct store_writer *w;
	struct collector_stats s;
	uint8_t data[OBJECT_BYTES];
	struct chunk_id id;

	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	assert_int_equal(store_writer_new(f->store, &w), 0);
	fill(data, sizeof(data), 2);
	id = put(f, w, OBJECT_DATA, data, sizeof(data));
	assert_int_equal(store_writer_finish(w), 0);
	s = collect(f, &all_now, NULL, 0);
	assert_int_equal(s.packs_freed, 1);
	assert_int_equal(s.packs_in_use, 1);
	assert_int_equal(chunk_index_usable(store_index(f->store), &id), 1);
	store_writer_free(w);
	s = collect(f, &all_now, NULL, 0);
	assert_int_equal(s.packs_freed, 1);
}

static void test_a_dead_writers_file_is_removed(void **state)
{
	struct fixture *f = *state;
	char path[256];
	uint32_t oldest;
	int fd;

	assert_int_equal(io_mkdir(f->io, "local/writers", IO_OBJECT_LOCAL), 0);
	file_path(f, "local/writers/00000001-0123456789abcdef", path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(writer_list_oldest(f->io, &oldest), 0);
	assert_int_equal(oldest, UINT32_MAX);
	assert_int_equal(count_files(f, "local/writers"), 0);
}

static void test_only_one_collects(void **state)
{
	struct fixture *f = *state;
	struct collector *c, *second;

	assert_int_equal(collector_new(f->store, &all_now, &c), 0);
	assert_int_equal(collector_new(f->store, &all_now, &second), -EBUSY);
	collector_free(c);
	assert_int_equal(collector_new(f->store, &all_now, &c), 0);
	collector_free(c);
}

/* Killed between the verdict and the deletion. */
static void test_a_condemned_pack_is_taken_up_again(void **state)
{
	struct collector_options o = all_now;
	struct fixture *f = *state;
	struct chunk_id ids[2];
	struct collector_stats s;
	struct pack_info info;

	o.young_too = false;
	for (uint64_t i = 0; i < 2; i++)
		ids[i] = store_one(f, OBJECT_DATA, OBJECT_BYTES, i);
	for (int i = 0; i < 2; i++) {
		info = pack_of(f, &ids[i]);
		assert_int_equal(chunk_index_condemn(store_index(f->store), &info.id, true), 0);
	}
	s = collect(f, &o, ids, 1);
	assert_int_equal(s.packs_freed, 1);
	assert_int_equal(chunk_index_usable(store_index(f->store), &ids[0]), 1);
	assert_int_equal(check_one(f, &ids[0], OBJECT_DATA, OBJECT_BYTES, 0), 0);
}

/* Killed between rename and index: nobody would ever look at it again. */
static void test_an_unlisted_pack_is_found_and_freed(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	struct pack_info info = pack_of(f, &id);
	struct collector_stats s;

	assert_int_equal(chunk_index_drop_pack(store_index(f->store), &info.id), 0);
	assert_int_equal(n_packs(f), 0);
	s = collect(f, &all_now, NULL, 0);
	assert_int_equal(s.packs_freed, 1);
	assert_int_equal(n_pack_files(f), 0);
}

static void test_an_unlisted_pack_with_what_is_needed_is_listed_again(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	struct pack_info info = pack_of(f, &id);

	assert_int_equal(chunk_index_drop_pack(store_index(f->store), &info.id), 0);
	(void)collect(f, &all_now, &id, 1);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, OBJECT_BYTES, 1), 0);
}

/* The index believes the object to be in another pack, which is gone. */
static void test_the_last_copy_is_never_deleted(void **state)
{
	struct fixture *f = *state;
	struct chunk_index *x = store_index(f->store);
	struct chunk_id id = store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	struct pack_info first = pack_of(f, &id), second;
	struct store_rebuild_result rebuilt;
	struct collector_stats s;
	char path[256];

	assert_int_equal(chunk_index_shun(x, &id, true), 0);
	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	second = pack_of(f, &id);
	assert_memory_not_equal(&first.id, &second.id, sizeof(first.id));
	pack_file(f, &second, path);
	assert_int_equal(unlink(path), 0);
	s = collect(f, &all_now, &id, 1);
	assert_int_equal(s.packs_freed, 0);
	assert_int_equal(n_pack_files(f), 1);
	assert_int_equal(store_rebuild_index(f->store, false, &rebuilt), 0);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, OBJECT_BYTES, 1), 0);
}

/* It may be healed from elsewhere: damaged or not, its pack stays. */
static void test_what_is_damaged_and_alive_stays_where_it_is(void **state)
{
	struct fixture *f = *state;
	struct collector_stats s;
	struct chunk_id ids[8];
	struct pack_info info;
	struct chunk_place place;
	char path[256];

	store_large(f, ids);
	info = pack_of(f, &ids[1]);
	assert_int_equal(chunk_index_get(store_index(f->store), &ids[1], &place), 0);
	pack_file(f, &info, path);
	flip_byte(path, (off_t)place.offset + 5000, 1);
	s = collect(f, &all_now, ids, 3);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(s.packs_rewritten, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(read_large(f, &ids[0], 0), 0);
	assert_int_equal(read_large(f, &ids[1], 1), -EBADMSG);
	assert_int_equal(read_large(f, &ids[2], 2), 0);
}

static void test_shunned_stays_shunned_in_the_new_pack(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ids[8];

	store_large(f, ids);
	assert_int_equal(chunk_index_shun(store_index(f->store), &ids[0], true), 0);
	(void)collect(f, &all_now, ids, 2);
	assert_int_equal(chunk_index_usable(store_index(f->store), &ids[0]), 0);
	assert_int_equal(chunk_index_usable(store_index(f->store), &ids[1]), 1);
	assert_int_equal(read_large(f, &ids[0], 0), 0);
}

static bool stop_at_once = true;

static void test_it_stops_when_asked(void **state)
{
	struct collector_options o = all_now;
	struct fixture *f = *state;
	struct collector *c;

	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	o.cancel = &stop_at_once;
	assert_int_equal(collector_new(f->store, &o, &c), 0);
	assert_int_equal(collector_judge(c), 0);
	assert_int_equal(collector_next(c), -ECANCELED);
	collector_free(c);
	assert_int_equal(n_packs(f), 1);
}

static bool paused_thrice(void *context)
{
	return ++*(int *)context <= 3;
}

static void test_it_waits_while_paused(void **state)
{
	struct collector_options o = all_now;
	struct fixture *f = *state;
	int asked = 0;

	(void)store_one(f, OBJECT_DATA, OBJECT_BYTES, 1);
	o.paused = paused_thrice;
	o.context = &asked;
	assert_int_equal(collect(f, &o, NULL, 0).packs_freed, 1);
	assert_true(asked > 3);
}

static void test_a_rate_is_kept(void **state)
{
	struct collector_options o = all_now;
	struct fixture *f = *state;
	struct timespec begin, end;
	struct chunk_id ids[8];

	store_large(f, ids);
	o.bytes_per_second = 10 * LARGE_BYTES;
	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(collect(f, &o, ids, 2).packs_rewritten, 1);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 >=
		    190);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_dead_pack_goes_and_a_living_one_stays),
		TEST(test_what_becomes_alive_before_the_verdict_stays),
		TEST(test_condemning_moves_the_generation_but_keeps_trust),
		TEST(test_doubt_that_was_there_stays),
		TEST(test_small_packs_are_merged),
		TEST(test_packs_of_like_size_are_merged),
		TEST(test_a_merged_pack_is_left_alone_for_a_while),
		TEST(test_nodes_and_data_part_ways),
		TEST(test_a_sparse_pack_is_rewritten),
		TEST(test_a_budget_is_kept),
		TEST(test_an_open_reader_goes_on),
		TEST(test_young_packs_wait_for_the_second_collection),
		TEST(test_packs_of_a_living_writer_stay),
		TEST(test_a_dead_writers_file_is_removed),
		TEST(test_only_one_collects),
		TEST(test_a_condemned_pack_is_taken_up_again),
		TEST(test_an_unlisted_pack_is_found_and_freed),
		TEST(test_an_unlisted_pack_with_what_is_needed_is_listed_again),
		TEST(test_the_last_copy_is_never_deleted),
		TEST(test_what_is_damaged_and_alive_stays_where_it_is),
		TEST(test_shunned_stays_shunned_in_the_new_pack),
		TEST(test_it_stops_when_asked),
		TEST(test_it_waits_while_paused),
		TEST(test_a_rate_is_kept),
	};

	return cmocka_run_group_tests_name("collector", tests, NULL, NULL);
}
