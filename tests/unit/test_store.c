/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

#include <sys/wait.h>

static void test_what_is_put_comes_back(void **state)
{
	static const size_t sizes[] = { 1, 63, 4096, 65536, 300000, CHUNK_RAW_MAX };
	struct fixture *f = *state;
	struct chunk_id ids[6];

	for (size_t i = 0; i < 6; i++)
		ids[i] = store_one(f, OBJECT_DATA, sizes[i], i);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 6; i++) {
			assert_int_equal(store_length(f->store, &ids[i], OBJECT_DATA), sizes[i]);
			assert_int_equal(check_one(f, &ids[i], OBJECT_DATA, sizes[i], i), 0);
		}
		fixture_reopen(f);
	}
}

static void test_unknown_objects_are_absent(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = { { 1, 2, 3 } };

	assert_int_equal(store_length(f->store, &id, OBJECT_DATA), -ENOENT);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 10, 1), -ENOENT);
}

static void test_type_is_bound(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_TREE, 500, 3);

	assert_int_equal(store_length(f->store, &id, OBJECT_DATA), -EBADMSG);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 500, 3), -EBADMSG);
	assert_int_equal(check_one(f, &id, OBJECT_TREE, 500, 3), 0);
}

static void test_small_room_is_refused(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 500, 3);
	struct store_reader *reader;
	uint8_t to[499];

	assert_int_equal(store_reader_new(f->store, &reader), 0);
	assert_int_equal(store_get(reader, &id, OBJECT_DATA, to, sizeof(to)), -EFBIG);
	store_reader_free(reader);
}

static void test_lost_index_is_rebuilt_equal(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ids[20];
	uint64_t chunks[2], packs[2], bytes;
	char path[256];

	for (size_t i = 0; i < 20; i++)
		ids[i] = store_one(f, i % 2 ? OBJECT_TREE : OBJECT_DATA, 1000 + i, i);
	assert_int_equal(chunk_index_stats(store_index(f->store), &chunks[0], &packs[0], &bytes),
			 0);
	fixture_close(f);
	file_path(f, "index", path);
	remove_tree(path);
	fixture_open(f, STORE_READ_WRITE);
	assert_int_equal(chunk_index_stats(store_index(f->store), &chunks[1], &packs[1], &bytes),
			 0);
	assert_int_equal(chunks[0], chunks[1]);
	assert_int_equal(packs[0], packs[1]);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(
			check_one(f, &ids[i], i % 2 ? OBJECT_TREE : OBJECT_DATA, 1000 + i, i), 0);
}

static void test_truncated_index_is_rebuilt(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);
	char path[256];
	struct stat st;

	file_path(f, "index/data.mdb", path);
	assert_int_equal(stat(path, &st), 0);
	for (off_t n = 0; n < st.st_size; n += 1500) {
		fixture_close(f);
		assert_int_equal(truncate(path, n), 0);
		fixture_open(f, STORE_READ_WRITE);
		assert_int_equal(check_one(f, &id, OBJECT_DATA, 1000, 1), 0);
	}
}

#ifndef N_FLIPS
#define N_FLIPS 40
#endif

static void test_flipped_index_never_yields_wrong_bytes(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ids[50];
	char path[256];
	struct stat st;

	for (size_t i = 0; i < 50; i++)
		ids[i] = store_one(f, OBJECT_DATA, 100 + i, i);
	file_path(f, "index/data.mdb", path);
	for (int i = 0; i < N_FLIPS; i++) {
		uint32_t at;

		crypto_random(&at, sizeof(at));
		fixture_close(f);
		assert_int_equal(stat(path, &st), 0);
		flip_byte(path, (off_t)(at % (uint64_t)st.st_size), (uint8_t)(1u << (at >> 29)));
		fixture_open(f, STORE_READ_WRITE);
		for (size_t j = 0; j < 50; j++)
			assert_int_equal(check_one(f, &ids[j], OBJECT_DATA, 100 + j, j), 0);
	}
}

static void test_vanished_pack_is_damage_not_absence(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);
	struct any_pack any = any_pack(f);
	char path[PACK_PATH_BYTES];

	pack_path(&any.info.host, &any.info.id, path);
	assert_int_equal(io_unlink(f->io, path, IO_OBJECT_PACK), 0);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 1000, 1), -EBADMSG);
	/* Nothing new relies on it, and a rebuild forgets it. */
	assert_int_equal(chunk_index_usable(store_index(f->store), &id), 0);
	store_one(f, OBJECT_DATA, 1000, 1);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 1000, 1), 0);
}

static void test_rebuild_drops_what_is_gone(void **state)
{
	struct fixture *f = *state;
	struct store_rebuild_result result;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);
	struct any_pack any = any_pack(f);
	char path[PACK_PATH_BYTES];
	struct chunk_id other = store_one(f, OBJECT_DATA, 1000, 2);

	assert_int_equal(
		io_unlink(f->io, pack_path(&any.info.host, &any.info.id, path), IO_OBJECT_PACK), 0);
	assert_int_equal(store_rebuild_index(f->store, false, &result), 0);
	assert_int_equal(result.packs, 1);
	assert_int_equal(store_length(f->store, &id, OBJECT_DATA), -ENOENT);
	assert_int_equal(check_one(f, &other, OBJECT_DATA, 1000, 2), 0);
}

static void test_rebuild_keeps_shunned_marks(void **state)
{
	struct fixture *f = *state;
	struct store_rebuild_result result;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);

	assert_int_equal(chunk_index_shun(store_index(f->store), &id, true), 0);
	assert_int_equal(store_rebuild_index(f->store, true, &result), 0);
	assert_int_equal(chunk_index_usable(store_index(f->store), &id), 0);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 1000, 1), 0);
}

static void test_salvage_reads_past_a_damaged_table(void **state)
{
	struct fixture *f = *state;
	struct store_rebuild_result result;
	struct chunk_id id = store_one(f, OBJECT_DATA, 1000, 1);
	struct any_pack any = any_pack(f);
	char relative[PACK_PATH_BYTES], path[256], index[256];

	file_path(f, pack_path(&any.info.host, &any.info.id, relative), path);
	flip_byte(path, (off_t)any.info.size - 160, 1);
	fixture_close(f);
	file_path(f, "index", index);
	remove_tree(index);
	fixture_open(f, STORE_READ_WRITE);
	assert_int_equal(store_length(f->store, &id, OBJECT_DATA), -ENOENT);
	assert_int_equal(store_rebuild_index(f->store, true, &result), 0);
	assert_int_equal(result.packs_damaged, 1);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 1000, 1), 0);
}

static void test_dead_tmp_files_go_and_living_stay(void **state)
{
	struct fixture *f = *state;
	char path[256];
	int dead, living;

	file_path(f, "tmp/dead", path);
	dead = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	(void)close(dead);
	living = io_open(f->io, "tmp/living", IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_TMP);
	assert_int_equal(io_lock(f->io, living, IO_LOCK_EXCLUSIVE, false), 0);
	fixture_reopen(f);
	assert_int_equal(count_files(f, "tmp"), 1);
	io_close(f->io, living);
	fixture_reopen(f);
	assert_int_equal(count_files(f, "tmp"), 0);
}

/* A second store in a child process, which writes its own objects and reads ours. */
static void child_writes(struct fixture *f, const struct chunk_id *ours)
{
	struct chunk_id id;

	fixture_open(f, STORE_READ_WRITE);
	for (uint64_t i = 0; i < 20; i++) {
		id = store_one(f, OBJECT_DATA, 2000, 1000 + i);
		if (check_one(f, ours, OBJECT_DATA, 3000, 7) < 0 ||
		    check_one(f, &id, OBJECT_DATA, 2000, 1000 + i) < 0)
			_exit(1);
	}
	fixture_close(f);
	_exit(0);
}

static void test_two_processes_share_a_repository(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *data = malloc(2000);
	struct chunk_id ours = store_one(f, OBJECT_DATA, 3000, 7);
	int status;
	pid_t child;

	/* LMDB may not be carried over a fork: close, fork, open in both. */
	fixture_close(f);
	child = fork();
	if (child == 0)
		child_writes(f, &ours);
	fixture_open(f, STORE_READ_WRITE);
	for (uint64_t i = 0; i < 20; i++) {
		struct chunk_id id = store_one(f, OBJECT_DATA, 2000, 2000 + i);

		assert_int_equal(check_one(f, &id, OBJECT_DATA, 2000, 2000 + i), 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (uint64_t i = 0; i < 20; i++) {
		struct chunk_id id;

		fill(data, 2000, 1000 + i);
		id = id_of(f, OBJECT_DATA, data, 2000);
		assert_int_equal(check_one(f, &id, OBJECT_DATA, 2000, 1000 + i), 0);
	}
}

static void test_killed_process_leaves_a_usable_repository(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ours = store_one(f, OBJECT_DATA, 3000, 7);
	int status;
	pid_t child;

	fixture_close(f);
	child = fork();
	if (child == 0) {
		fixture_open(f, STORE_READ_WRITE);
		store_one(f, OBJECT_DATA, 2000, 8);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	fixture_open(f, STORE_READ_WRITE);
	assert_int_equal(check_one(f, &ours, OBJECT_DATA, 3000, 7), 0);
	assert_int_equal(any_pack(f).n, 2);
}

static void test_read_only_with_unusable_index(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 3000, 7);
	struct store_writer *w;
	char path[256];
	int fd;

	fixture_close(f);
	/* A file where the folder should be: nothing can be opened or made there. */
	file_path(f, "index", path);
	remove_tree(path);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	fixture_open(f, STORE_READ_ONLY);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 3000, 7), 0);
	assert_int_equal(store_writer_new(f->store, &w), -EROFS);
	assert_non_null(f->store->private_io);
	strcpy(path, io_real_path(f->store->private_io));
	fixture_close(f);
	assert_int_equal(access(path, F_OK), -1);
	fixture_open(f, STORE_READ_ONLY);
}

/* A replica that holds a copy of one pack. */
struct copy_source {
	struct chunk_source base;
	uint8_t *data;
	size_t n;
	int reads;
};

static int copy_read(struct chunk_source *source, const struct host_id *host,
		     const struct pack_id *pack, uint64_t offset, void *to, size_t n)
{
	struct copy_source *copy = (struct copy_source *)source;

	(void)host;
	(void)pack;
	copy->reads++;
	if (offset + n > copy->n)
		return -EREMOTEIO;
	memcpy(to, copy->data + offset, n);
	return 0;
}

static void test_damaged_and_missing_packs_are_asked_of_the_source(void **state)
{
	struct fixture *f = *state;
	struct chunk_id id = store_one(f, OBJECT_DATA, 3000, 7);
	struct any_pack any = any_pack(f);
	struct copy_source copy = { .base.read = copy_read };
	char relative[PACK_PATH_BYTES], path[256];

	pack_path(&any.info.host, &any.info.id, relative);
	assert_int_equal(io_read_file(f->io, relative, PACK_BYTES_MAX, &copy.data, &copy.n), 0);
	store_set_source(f->store, &copy.base);
	file_path(f, relative, path);
	flip_byte(path, PACK_HEADER_BYTES + OBJECT_HEADER_BYTES + 5, 4);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 3000, 7), 0);
	assert_true(copy.reads > 0);
	fixture_reopen(f);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 3000, 7), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	fixture_reopen(f);
	store_set_source(f->store, &copy.base);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 3000, 7), 0);
	/* A replica that is damaged too is not believed. */
	fixture_reopen(f);
	copy.data[PACK_HEADER_BYTES + OBJECT_HEADER_BYTES + 9] ^= 1;
	store_set_source(f->store, &copy.base);
	assert_int_equal(check_one(f, &id, OBJECT_DATA, 3000, 7), -EBADMSG);
	free(copy.data);
}

static void test_many_packs_take_turns_in_the_table(void **state)
{
	struct fixture *f = *state;
	struct chunk_id ids[OPEN_PACKS_MAX + 20];
	const size_t n = sizeof(ids) / sizeof(ids[0]);

	for (size_t i = 0; i < n; i++)
		ids[i] = store_one(f, OBJECT_DATA, 100, i);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < n; i++)
			assert_int_equal(check_one(f, &ids[i], OBJECT_DATA, 100, i), 0);
	assert_int_equal(f->store->n_packs, OPEN_PACKS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_put_comes_back),
		TEST(test_unknown_objects_are_absent),
		TEST(test_type_is_bound),
		TEST(test_small_room_is_refused),
		TEST(test_lost_index_is_rebuilt_equal),
		TEST(test_truncated_index_is_rebuilt),
		TEST(test_flipped_index_never_yields_wrong_bytes),
		TEST(test_vanished_pack_is_damage_not_absence),
		TEST(test_rebuild_drops_what_is_gone),
		TEST(test_rebuild_keeps_shunned_marks),
		TEST(test_salvage_reads_past_a_damaged_table),
		TEST(test_dead_tmp_files_go_and_living_stay),
		TEST(test_two_processes_share_a_repository),
		TEST(test_killed_process_leaves_a_usable_repository),
		TEST(test_read_only_with_unusable_index),
		TEST(test_damaged_and_missing_packs_are_asked_of_the_source),
		TEST(test_many_packs_take_turns_in_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
