/* SPDX-License-Identifier: MIT */
#include "replica_fixture.h"

#include "store/range_table.h"
#include "store/retired.h"
#include "sync/local_objects.h"
#include "sync/table_keeper.h"

/* What a visit of a table has seen. */
struct seen {
	struct model *model;
	size_t packs, entries;
	struct pack_id ids[PACKS_MAX];
};

static int visit(void *context, const struct index_pack *pack)
{
	struct seen *seen = context;

	assert_true(pack->n > 0);
	assert_memory_equal(&pack->info.host, store_host(seen->model->f->store),
			    sizeof(struct host_id));
	assert_true(seen->packs < PACKS_MAX);
	seen->ids[seen->packs++] = pack->info.id;
	seen->entries += pack->n;
	return 0;
}

static void store_packs(struct model *model, size_t n_packs, size_t n_objects)
{
	for (size_t i = 0; i < n_packs; i++) {
		object_set ignored = { 0 };
		size_t n;

		free(model_store(model, n_objects, 200, ignored, &n));
		assert_int_equal(n, 1);
	}
}

static uint8_t *read_table(struct model *model, const struct range_table_name *name, size_t *ret_n)
{
	char path[RANGE_TABLE_PATH_BYTES];
	uint8_t *data = NULL;

	assert_int_equal(
		io_read_file(model->f->io, range_table_path(name, path), MIB(64), &data, ret_n), 0);
	return data;
}

/* Everything that the tables of this host say. */
static void read_tables(struct model *model, struct seen *seen, size_t *ret_n)
{
	struct local_objects o = { 0 };

	*seen = (struct seen){ .model = model };
	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	for (size_t i = 0; i < o.n_tables; i++) {
		size_t n;
		uint8_t *data = read_table(model, &o.tables[i], &n);

		assert_int_equal(
			range_table_open(model->f->store, &o.tables[i], data, n, visit, seen), 0);
		free(data);
	}
	*ret_n = o.n_tables;
	local_objects_done(&o);
}

static void test_a_table_says_what_the_packs_say(void **state)
{
	struct model *model = *state;
	struct seen seen;
	size_t n;

	assert_int_equal(table_keeper_run(model->f->store), 0);
	store_packs(model, 3, 5);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	read_tables(model, &seen, &n);
	assert_int_equal(n, 1);
	assert_int_equal(seen.packs, 3);
	assert_int_equal(seen.entries, 15);
	assert_int_equal(table_keeper_run(model->f->store), 0);
}

static void test_ranges_follow_the_records(void **state)
{
	struct model *model = *state;
	struct local_objects o = { 0 };

	model_snapshot(model, 20, 200);
	model_snapshot(model, 20, 200);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	model_snapshot(model, 1, 200);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	assert_int_equal(o.n_tables, 2);
	assert_int_equal(o.tables[0].first, 1);
	assert_int_equal(o.tables[0].last, 2);
	assert_int_equal(o.tables[1].first, 3);
	assert_int_equal(o.tables[1].last, 3);
	local_objects_done(&o);
}

static void test_few_tables_are_left_however_many_passes_there_were(void **state)
{
	struct model *model = *state;
	struct seen seen;
	size_t n;

	for (int i = 0; i < 50; i++) {
		store_packs(model, 1, 3);
		assert_int_equal(table_keeper_run(model->f->store), 1);
	}
	read_tables(model, &seen, &n);
	assert_true(n <= 8);
	assert_int_equal(seen.packs, 50);
	assert_int_equal(seen.entries, 150);
}

static int count_retired(void *context, const struct retired_object *object)
{
	size_t *counts = context;

	counts[object->kind]++;
	return 0;
}

static void test_what_is_taken_up_is_retired_and_what_was_collected_is_left_out(void **state)
{
	struct model *model = *state;
	size_t counts[3] = { 0 }, n;
	struct seen seen;
	uint64_t next;

	model_snapshot(model, 3, 200);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	/* Needed by no snapshot. */
	store_packs(model, 1, 2);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	model_collect(model);
	store_packs(model, 1, 30);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	read_tables(model, &seen, &n);
	assert_int_equal(n, 1);
	assert_int_equal(seen.packs, 2);
	assert_int_equal(retired_each(model->f->io, 0, count_retired, counts, &next), 0);
	assert_int_equal(counts[RETIRED_PACK], 1);
	assert_true(counts[RETIRED_TABLE] >= 2);
	assert_int_equal(next, counts[RETIRED_PACK] + counts[RETIRED_TABLE]);
}

static void test_the_keepers_memory_may_be_lost(void **state)
{
	struct model *model = *state;
	struct seen seen;
	size_t n;

	store_packs(model, 4, 2);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	assert_int_equal(io_unlink(model->f->io, "local/remotes/_tables.ledger", IO_OBJECT_LOCAL),
			 0);
	assert_int_equal(table_keeper_run(model->f->store), 0);
	read_tables(model, &seen, &n);
	assert_int_equal(seen.packs, 4);
}

static struct range_table_name only_table(struct model *model);

static void test_a_damaged_table_is_replaced(void **state)
{
	struct model *model = *state;
	struct range_table_name name;
	char path[RANGE_TABLE_PATH_BYTES];
	struct seen seen;
	size_t n;

	store_packs(model, 2, 2);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	name = only_table(model);
	assert_int_equal(io_write_file(model->f->io, range_table_path(&name, path), "damage", 6,
				       true, IO_OBJECT_PACK),
			 0);
	store_packs(model, 1, 2);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	assert_int_equal(table_keeper_run(model->f->store), 0);
	read_tables(model, &seen, &n);
	assert_int_equal(seen.packs, 3);
}

static struct range_table_name only_table(struct model *model)
{
	struct local_objects o = { 0 };
	struct range_table_name name;

	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	assert_int_equal(o.n_tables, 1);
	name = o.tables[0];
	local_objects_done(&o);
	return name;
}

static void test_any_flipped_bit_is_noticed(void **state)
{
	struct model *model = *state;
	struct range_table_name name;
	struct seen seen = { .model = model };
	uint8_t *data;
	size_t n;

	store_packs(model, 2, 2);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	name = only_table(model);
	data = read_table(model, &name, &n);
	for (size_t at = 0; at < n; at++) {
		struct range_table_name changed = name;

		data[at] ^= 4;
		assert_int_equal(range_table_open(model->f->store, &name, data, n, visit, &seen),
				 -EBADMSG);
		/* Also under the name that the changed bytes have. */
		sha256_of(data, n, changed.id);
		assert_int_equal(range_table_open(model->f->store, &changed, data, n, visit, &seen),
				 -EBADMSG);
		data[at] ^= 4;
	}
	for (size_t cut = 0; cut < n; cut += 7)
		assert_int_equal(range_table_open(model->f->store, &name, data, cut, visit, &seen),
				 -EBADMSG);
	assert_int_equal(seen.packs, 0);
	free(data);
}

static void test_a_table_is_bound_to_its_name(void **state)
{
	struct model *model = *state;
	struct range_table_name name;
	struct seen seen = { .model = model };
	uint8_t *data;
	size_t n;

	store_packs(model, 2, 2);
	assert_int_equal(table_keeper_run(model->f->store), 1);
	name = only_table(model);
	data = read_table(model, &name, &n);
	name.last++;
	assert_int_equal(range_table_open(model->f->store, &name, data, n, visit, &seen), -EBADMSG);
	name.last--;
	name.host.bytes[3] ^= 1;
	assert_int_equal(range_table_open(model->f->store, &name, data, n, visit, &seen), -EBADMSG);
	free(data);
}

#define ID "00000000000000000000000000000000000000000000000000000000000000ab"

static void test_names_are_parsed_and_nothing_else(void **state)
{
	struct range_table_name name = { 0 };
	char path[RANGE_TABLE_PATH_BYTES];

	(void)state;
	assert_int_equal(range_table_parse_name("0000000000000001-00000000000000ff-" ID, &name), 0);
	assert_int_equal(name.first, 1);
	assert_int_equal(name.last, 255);
	assert_int_equal(name.id[31], 0xab);
	assert_string_equal(range_table_path(&name, path),
			    "tables/00000000000000000000000000000000/"
			    "0000000000000001-00000000000000ff-" ID);
	assert_int_equal(range_table_parse_name("0000000000000002-0000000000000001-" ID, &name),
			 -EINVAL);
	assert_int_equal(range_table_parse_name("0000000000000001-00000000000000FF-" ID, &name),
			 -EINVAL);
	assert_int_equal(range_table_parse_name("0000000000000001_00000000000000ff-" ID, &name),
			 -EINVAL);
	assert_int_equal(range_table_parse_name("0000000000000001-00000000000000ff-" ID "0", &name),
			 -EINVAL);
	assert_int_equal(range_table_parse_name("", &name), -EINVAL);
}

static void test_torn_lines_of_decisions_are_passed_over(void **state)
{
	const struct retired_object pack = { .kind = RETIRED_PACK, .id = { 7 } };
	struct model *model = *state;
	size_t counts[3] = { 0 }, n;
	uint8_t *data = NULL;
	uint64_t next;

	assert_int_equal(retired_note(model->f->io, &pack, 1), 0);
	assert_int_equal(retired_note(model->f->io, &pack, 1), 0);
	assert_int_equal(io_read_file(model->f->io, "local/retired", KIB(1), &data, &n), 0);
	assert_int_equal(n, 128);
	data[70] ^= 1;
	assert_int_equal(
		io_write_file(model->f->io, "local/retired", data, 100, true, IO_OBJECT_LOCAL), 0);
	assert_int_equal(retired_note(model->f->io, &pack, 1), 0);
	assert_int_equal(retired_each(model->f->io, 0, count_retired, counts, &next), 0);
	assert_int_equal(counts[RETIRED_PACK], 2);
	assert_int_equal(
		io_write_file(model->f->io, "local/retired", data, 128, true, IO_OBJECT_LOCAL), 0);
	assert_int_equal(retired_note(model->f->io, &pack, 1), 0);
	counts[RETIRED_PACK] = 0;
	assert_int_equal(retired_each(model->f->io, 0, count_retired, counts, &next), 0);
	assert_int_equal(counts[RETIRED_PACK], 2);
	assert_int_equal(next, 3);
	free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, model_setup, model_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_table_says_what_the_packs_say),
		TEST(test_ranges_follow_the_records),
		TEST(test_few_tables_are_left_however_many_passes_there_were),
		TEST(test_what_is_taken_up_is_retired_and_what_was_collected_is_left_out),
		TEST(test_the_keepers_memory_may_be_lost),
		TEST(test_a_damaged_table_is_replaced),
		TEST(test_any_flipped_bit_is_noticed),
		TEST(test_a_table_is_bound_to_its_name),
		TEST(test_names_are_parsed_and_nothing_else),
		TEST(test_torn_lines_of_decisions_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
