/* SPDX-License-Identifier: MIT */
#include "replica_fixture.h"

#include "store/base/clock.h"
#include "sync/fetcher.h"
#include "sync/local_objects.h"

#define REMOTES 3
#define OBJECTS 60
#define OBJECT_BYTES 150000u

/* A repository of three packs, and three remotes that hold copies of them. */
struct world {
	struct model *model;
	struct memory_remote *remotes[REMOTES];
	struct fetcher *fetcher;
	struct store_reader *reader;
	struct local_objects local;
	uint8_t *data;
	unsigned int n_bad;
};

static int64_t now_ms(void)
{
	return clock_monotonic_ns() / 1000000;
}

static void real_path(struct world *w, size_t pack, char to[static 256])
{
	char path[PACK_PATH_BYTES];

	(void)snprintf(to, 256, "%s/%s", w->model->f->folder,
		       pack_path(store_host(w->model->f->store), &w->local.packs[pack].id, path));
}

static void copy_packs(struct world *w, struct memory_remote *to)
{
	for (size_t i = 0; i < w->local.n_packs; i++) {
		char path[PACK_PATH_BYTES];
		uint8_t *data;
		size_t n;

		(void)pack_path(store_host(w->model->f->store), &w->local.packs[i].id, path);
		assert_int_equal(io_read_file(w->model->f->io, path, MIB(64), &data, &n), 0);
		memory_store(to, path, data, n);
	}
}

static void note_bad(void *context, const char *name, const struct host_id *host,
		     const struct pack_id *pack)
{
	struct world *w = context;

	(void)name;
	(void)host;
	(void)pack;
	__atomic_add_fetch(&w->n_bad, 1, __ATOMIC_RELAXED);
}

static void start(struct world *w, struct fetcher_options options)
{
	static const char *const names[REMOTES] = { "usb", "nas", "cloud" };

	options.bad = note_bad;
	options.context = w;
	assert_int_equal(fetcher_new(w->model->f->store, &options, &w->fetcher), 0);
	for (int i = 0; i < REMOTES; i++)
		assert_int_equal(fetcher_add(w->fetcher, names[i], &w->remotes[i]->remote), 0);
	store_set_source(w->model->f->store, fetcher_source(w->fetcher));
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	void *model = NULL;

	assert_int_equal(model_setup(&model), 0);
	w->model = model;
	for (int i = 0; i < 3; i++) {
		object_set ignored = { 0 };
		size_t n;

		free(model_store(w->model, OBJECTS / 3, OBJECT_BYTES, ignored, &n));
		assert_int_equal(n, 1);
	}
	assert_int_equal(local_objects_read(w->model->f->store, &w->local), 0);
	assert_int_equal(w->local.n_packs, 3);
	for (int i = 0; i < REMOTES; i++) {
		w->remotes[i] = memory_remote_new();
		copy_packs(w, w->remotes[i]);
	}
	assert_int_equal(store_reader_new(w->model->f->store, &w->reader), 0);
	w->data = malloc(OBJECT_BYTES);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	void *model = w->model;

	store_reader_free(w->reader);
	store_set_source(w->model->f->store, NULL);
	fetcher_free(w->fetcher);
	for (int i = 0; i < REMOTES; i++)
		remote_free(&w->remotes[i]->remote);
	local_objects_done(&w->local);
	free(w->data);
	assert_int_equal(model_teardown(&model), 0);
	free(w);
	return 0;
}

/* Read object i; what comes is right, or an error. */
static int read_object(struct world *w, size_t i)
{
	struct id_hasher *hasher = NULL;
	struct chunk_id id;
	int64_t n = store_get(w->reader, &w->model->objects[i], OBJECT_DATA, w->data, OBJECT_BYTES);

	if (n < 0)
		return (int)n;
	assert_int_equal(n, OBJECT_BYTES);
	assert_int_equal(store_hasher(w->model->f->store, OBJECT_DATA, &hasher), 0);
	id_hasher_run(hasher, w->data, (size_t)n, &id);
	id_hasher_free(hasher);
	assert_memory_equal(&id, &w->model->objects[i], sizeof(id));
	return 0;
}

static void remove_packs(struct world *w)
{
	for (size_t i = 0; i < w->local.n_packs; i++) {
		char path[256];

		real_path(w, i, path);
		assert_int_equal(remove(path), 0);
	}
}

static void damage_remote(struct world *w, struct memory_remote *m, size_t places)
{
	for (size_t i = 0; i < places; i++) {
		struct memory_object *object = &m->objects[model_random(w->model) % m->n_objects];

		object->data[model_random(w->model) % object->n] ^=
			(uint8_t)(1 + model_random(w->model) % 255);
	}
}

static void test_one_corrupt_remote_of_three_is_never_noticed_by_readers(void **state)
{
	struct world *w = *state;
	struct fetcher_stats stats;

	start(w, (struct fetcher_options){ .elsewhere = true });
	damage_remote(w, w->remotes[0], 1000);
	/* The corrupt one is the fastest: it is asked first. */
	w->remotes[1]->delay_us = w->remotes[2]->delay_us = 2000;
	remove_packs(w);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(read_object(w, i), 0);
	fetcher_stats(w->fetcher, &stats);
	assert_true(stats.refused > 0);
	assert_true(w->n_bad >= 1 && w->n_bad <= 3);
	assert_int_equal(stats.healed, 0);
}

static void test_what_all_copies_have_wrong_is_an_error(void **state)
{
	struct world *w = *state;
	size_t failed = 0;

	start(w, (struct fetcher_options){ .elsewhere = true });
	for (int i = 0; i < REMOTES; i++)
		damage_remote(w, w->remotes[i], 3000);
	remove_packs(w);
	for (size_t i = 0; i < OBJECTS; i++)
		failed += read_object(w, i) < 0;
	assert_int_equal(failed, OBJECTS);
}

static void damage_local(struct world *w)
{
	for (size_t i = 0; i < w->local.n_packs; i++) {
		char path[256];
		FILE *file;

		real_path(w, i, path);
		file = fopen(path, "r+");
		assert_non_null(file);
		for (long at = 0; at < (long)w->local.packs[i].size; at += 50000) {
			assert_int_equal(fseek(file, at, SEEK_SET), 0);
			assert_int_equal(fwrite("damage", 6, 1, file), 1);
		}
		assert_int_equal(fclose(file), 0);
	}
}

static void assert_packs_are_good(struct world *w)
{
	for (size_t i = 0; i < w->local.n_packs; i++) {
		CLEANUP(free_ptr) uint8_t *data = NULL;
		char path[PACK_PATH_BYTES];
		uint8_t digest[SHA256_BYTES];
		size_t n = 0;

		(void)pack_path(store_host(w->model->f->store), &w->local.packs[i].id, path);
		assert_int_equal(io_read_file(w->model->f->io, path, MIB(64), &data, &n), 0);
		sha256_of(data, n, digest);
		assert_memory_equal(digest, w->local.packs[i].id.bytes, sizeof(digest));
	}
}

static uint64_t all_gets(struct world *w)
{
	uint64_t n = 0;

	for (int i = 0; i < REMOTES; i++)
		n += w->remotes[i]->gets;
	return n;
}

static void test_a_damaged_pack_is_healed_inside_the_read(void **state)
{
	struct world *w = *state;
	struct fetcher_stats stats;
	uint64_t gets;

	start(w, (struct fetcher_options){ 0 });
	damage_remote(w, w->remotes[0], 100);
	damage_local(w);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(read_object(w, i), 0);
	fetcher_stats(w->fetcher, &stats);
	assert_int_equal(stats.healed, 3);
	assert_packs_are_good(w);
	/* New data may rely on it again, or still. */
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(
			chunk_index_usable(store_index(w->model->f->store), &w->model->objects[i]),
			1);
	gets = all_gets(w);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(read_object(w, i), 0);
	assert_int_equal(all_gets(w), gets);
}

static void test_a_missing_pack_is_brought_back(void **state)
{
	struct world *w = *state;
	struct fetcher_stats stats;

	start(w, (struct fetcher_options){ 0 });
	remove_packs(w);
	memory_wipe(w->remotes[0]);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(read_object(w, i), 0);
	fetcher_stats(w->fetcher, &stats);
	assert_int_equal(stats.healed, 3);
	assert_packs_are_good(w);
}

static void test_what_was_let_go_is_read_in_aligned_blocks_and_not_brought_back(void **state)
{
	struct world *w = *state;
	struct fetcher_stats stats;
	char path[256];

	start(w, (struct fetcher_options){ .elsewhere = true });
	remove_packs(w);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(read_object(w, i), 0);
	fetcher_stats(w->fetcher, &stats);
	assert_int_equal(stats.healed, 0);
	real_path(w, 0, path);
	assert_int_equal(access(path, F_OK), -1);
	for (int i = 0; i < REMOTES; i++)
		assert_int_equal(w->remotes[i]->unaligned, 0);
	/* Each block came once. */
	assert_true(all_gets(w) <= 3 * 4);
	assert_true(stats.hits > OBJECTS);
}

static void test_a_cache_that_is_too_small_costs_requests_only(void **state)
{
	struct world *w = *state;

	start(w, (struct fetcher_options){ .elsewhere = true, .cache_bytes = MIB(1) });
	remove_packs(w);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < OBJECTS; i++)
			assert_int_equal(read_object(w, (i * 7) % OBJECTS), 0);
}

static void test_a_remote_that_hangs_is_passed_over(void **state)
{
	struct world *w = *state;
	struct fetcher_health health;
	int64_t begin;

	start(w, (struct fetcher_options){ .elsewhere = true, .attempt_ms = 100 });
	w->remotes[0]->hang = true;
	remove_packs(w);
	begin = now_ms();
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(read_object(w, i), 0);
	/* Once, and then it rests. */
	assert_true(now_ms() - begin < 2000);
	assert_true(fetcher_health(w->fetcher, 0, &health));
	assert_true(health.failures >= 1);
	assert_false(fetcher_health(w->fetcher, 3, &health));
}

static void test_no_read_waits_longer_than_the_limit(void **state)
{
	struct world *w = *state;
	int64_t begin;

	start(w, (struct fetcher_options){ .elsewhere = true, .limit_ms = 300, .attempt_ms = 100 });
	for (int i = 0; i < REMOTES; i++)
		w->remotes[i]->hang = true;
	remove_packs(w);
	begin = now_ms();
	assert_int_equal(read_object(w, 0), -ETIMEDOUT);
	assert_true(now_ms() - begin < 2000);
	/* And when they are back, all is well. */
	for (int i = 0; i < REMOTES; i++)
		w->remotes[i]->hang = false;
	assert_int_equal(read_object(w, 0), 0);
}

static void *stop_soon(void *context)
{
	struct world *w = context;

	usleep(50000);
	fetcher_stop(w->fetcher);
	return NULL;
}

static void test_stopping_ends_what_waits(void **state)
{
	struct world *w = *state;
	pthread_t thread;
	int64_t begin;

	start(w, (struct fetcher_options){ .elsewhere = true });
	for (int i = 0; i < REMOTES; i++)
		w->remotes[i]->hang = true;
	remove_packs(w);
	begin = now_ms();
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, w), 0);
	assert_int_equal(read_object(w, 0), -ECANCELED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(now_ms() - begin < 2000);
}

static void test_the_fastest_remote_is_asked(void **state)
{
	struct world *w = *state;

	start(w, (struct fetcher_options){ .elsewhere = true, .cache_bytes = MIB(1) });
	w->remotes[0]->delay_us = w->remotes[2]->delay_us = 30000;
	remove_packs(w);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < OBJECTS; i++)
			assert_int_equal(read_object(w, (i * 23) % OBJECTS), 0);
	assert_true(w->remotes[1]->gets > w->remotes[0]->gets + w->remotes[2]->gets);
}

static void *read_all(void *context)
{
	struct world *w = context;
	struct store_reader *reader = NULL;
	uint8_t *data = malloc(OBJECT_BYTES);

	assert_int_equal(store_reader_new(w->model->f->store, &reader), 0);
	for (size_t i = 0; i < OBJECTS; i++)
		assert_int_equal(
			store_get(reader, &w->model->objects[i], OBJECT_DATA, data, OBJECT_BYTES),
			OBJECT_BYTES);
	store_reader_free(reader);
	free(data);
	return NULL;
}

static void test_many_readers_heal_each_pack_once(void **state)
{
	struct world *w = *state;
	struct fetcher_stats stats;
	pthread_t threads[6];

	start(w, (struct fetcher_options){ 0 });
	damage_local(w);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, w), 0);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	fetcher_stats(w->fetcher, &stats);
	assert_true(stats.healed >= 3 && stats.healed <= 6);
	assert_packs_are_good(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_corrupt_remote_of_three_is_never_noticed_by_readers),
		TEST(test_what_all_copies_have_wrong_is_an_error),
		TEST(test_a_damaged_pack_is_healed_inside_the_read),
		TEST(test_a_missing_pack_is_brought_back),
		TEST(test_what_was_let_go_is_read_in_aligned_blocks_and_not_brought_back),
		TEST(test_a_cache_that_is_too_small_costs_requests_only),
		TEST(test_a_remote_that_hangs_is_passed_over),
		TEST(test_no_read_waits_longer_than_the_limit),
		TEST(test_stopping_ends_what_waits),
		TEST(test_the_fastest_remote_is_asked),
		TEST(test_many_readers_heal_each_pack_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
