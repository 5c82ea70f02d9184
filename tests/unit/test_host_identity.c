/* SPDX-License-Identifier: MIT */
#include "store_fixture.h"

static int load(struct fixture *f, const char *machine, enum store_mode mode, struct host_id *host)
{
	return host_identity_load(f->io, store_config(f->store)->repository, machine, mode, host);
}

static void test_id_stays_on_one_machine(void **state)
{
	struct fixture *f = *state;
	struct host_id before = *store_host(f->store);

	fixture_reopen(f);
	assert_memory_equal(&before, store_host(f->store), sizeof(before));
}

static void test_other_machine_takes_a_new_id_and_keeps_the_old(void **state)
{
	struct fixture *f = *state;
	struct host_id old = *store_host(f->store), first, again;
	char hex[33], path[80];
	struct io_stat st;

	assert_int_equal(load(f, "another", STORE_READ_WRITE, &first), 0);
	assert_memory_not_equal(&old, &first, sizeof(old));
	assert_int_equal(load(f, "another", STORE_READ_WRITE, &again), 0);
	assert_memory_equal(&first, &again, sizeof(first));
	(void)snprintf(path, sizeof(path), "local/host-%s", bytes_to_hex(old.bytes, 16, hex));
	assert_int_equal(io_stat(f->io, path, &st), 0);
	(void)snprintf(path, sizeof(path), "packs/%s/ff", bytes_to_hex(first.bytes, 16, hex));
	assert_int_equal(io_stat(f->io, path, &st), 0);
}

static void test_damaged_file_means_a_new_id(void **state)
{
	struct fixture *f = *state;
	struct host_id old = *store_host(f->store);
	char path[256];

	file_path(f, "local/host", path);
	flip_byte(path, 12, 1);
	fixture_reopen(f);
	assert_memory_not_equal(&old, store_host(f->store), sizeof(old));
}

static void test_reading_only_writes_nothing(void **state)
{
	struct fixture *f = *state;
	struct host_id a, b;

	assert_int_equal(load(f, "another", STORE_READ_ONLY, &a), 0);
	assert_int_equal(load(f, "another", STORE_READ_ONLY, &b), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
	assert_int_equal(count_files(f, "local"), 1);
}

static int count_host(void *context, const struct host_id *host)
{
	(void)host;
	++*(int *)context;
	return 0;
}

static void test_every_host_is_visited_once(void **state)
{
	struct fixture *f = *state;
	struct host_id host;
	int n = 0;

	assert_int_equal(load(f, "another", STORE_READ_WRITE, &host), 0);
	assert_int_equal(store_each_host(f->store, count_host, &n), 0);
	assert_int_equal(n, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_id_stays_on_one_machine),
		TEST(test_other_machine_takes_a_new_id_and_keeps_the_old),
		TEST(test_damaged_file_means_a_new_id),
		TEST(test_reading_only_writes_nothing),
		TEST(test_every_host_is_visited_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
