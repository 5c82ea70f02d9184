/* SPDX-License-Identifier: MIT */
#include "replica_fixture.h"

#include "store/retired.h"
#include "sync/ledger.h"
#include "sync/local_objects.h"

#include <pthread.h>

#define DAY_NS (24 * 3600 * 1000000000LL)

/* Everything that is here is there, and of ours nothing else. */
static void assert_equal_stores(struct model *model)
{
	struct local_objects o = { 0 };
	char path[RECORD_PATH_BYTES];

	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	assert_true(remote_has_file(model, "config"));
	for (size_t i = 0; i < o.n_packs; i++)
		assert_true(remote_has_file(
			model, pack_path(store_host(model->f->store), &o.packs[i].id, path)));
	for (size_t i = 0; i < o.n_records; i++)
		assert_true(remote_has_file(model,
					    record_path(store_host(model->f->store),
							o.records[i].seq, &o.records[i].id, path)));
	for (size_t i = 0; i < o.n_tables; i++)
		assert_true(remote_has_file(model, range_table_path(&o.tables[i], path)));
	assert_int_equal(remote_count(model, "packs/"), o.n_packs);
	assert_int_equal(remote_count(model, "records/"), o.n_records);
	assert_int_equal(remote_count(model, "tables/"), o.n_tables);
	local_objects_done(&o);
}

static void test_a_pass_brings_everything_and_the_next_sends_nothing(void **state)
{
	struct model *model = *state;
	struct replicator_status status;
	uint64_t puts;

	for (int i = 0; i < 5; i++)
		model_snapshot(model, 3, 5000);
	assert_int_equal(replicator_run(model->r), 0);
	assert_null(model->fault);
	assert_true(model->audits > 10);
	assert_equal_stores(model);
	status = model_status(model);
	assert_int_equal(status.safe_seq, 5);
	assert_int_equal(status.head_seq, 5);
	assert_int_equal(status.lag_snapshots, 0);
	assert_int_equal(status.lag_bytes, 0);
	assert_int_equal(status.packs_there, status.packs);
	assert_true(replicator_holds(model->r, 5, &model->snapshots[4].id));

	puts = model->m->puts;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model->m->puts, puts);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model->m->puts, puts);
	assert_true(model->m->lists <= 8);
}

static void test_status_tells_how_far_behind_it_is(void **state)
{
	struct model *model = *state;
	struct replicator_status status;

	model_snapshot(model, 1, 5000);
	assert_int_equal(replicator_run(model->r), 0);
	model_snapshot(model, 1, 7000);
	model_snapshot(model, 1, 7000);
	model->m->always = -EACCES;
	model_clock_ns = clock_now_ns() + 100 * 1000000000LL;
	assert_int_equal(replicator_run(model->r), -EACCES);
	status = model_status(model);
	assert_int_equal(status.safe_seq, 1);
	assert_int_equal(status.head_seq, 3);
	assert_int_equal(status.lag_snapshots, 2);
	assert_true(status.lag_bytes > 14000 && status.lag_bytes < 20000);
	assert_true(status.lag_seconds >= 99 && status.lag_seconds <= 101);
	assert_int_equal(status.last_error, -EACCES);
	assert_true(status.errors > 0);
	assert_true(status.last_good_ns > 0 && status.last_good_ns < status.last_pass_ns);
	assert_false(replicator_holds(model->r, 2, &model->snapshots[1].id));
	model->m->always = 0;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model_status(model).lag_snapshots, 0);
}

/* Snapshots, forgetting, collecting, and a kill at some operation of every pass. */
static void test_no_visible_snapshot_ever_lacks_an_object(void **state)
{
	struct model *model = *state;

	for (int i = 0; i < 60; i++) {
		if (model->n_snapshots < 40)
			model_snapshot(model, 1 + model_random(model) % 3,
				       500 + model_random(model) % 4000);
		if (i % 4 == 3)
			model_forget(model, model_random(model) % model->n_snapshots);
		if (i % 6 == 5)
			model_collect(model);
		model->m->list_lag = model_random(model) % 3 ? 0 : model_random(model) % 20;
		model->m->refuse_every = model_random(model) % 3 ? 0 : 3;
		model->m->die_at = model->m->operations + 1 + model_random(model) % 25;
		(void)replicator_run(model->r);
		assert_null(model->fault);
		model->m->die_at = 0;
		model_reopen(model);
	}
	model->m->list_lag = model->m->refuse_every = 0;
	assert_int_equal(replicator_run(model->r), 0);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_null(model->fault);
	assert_equal_stores(model);
	assert_false(model_status(model).foreign || model_status(model).rolled_back ||
		     model_status(model).forked);
}

/* In the middle of a pass, seen from the remote: here it goes on. */
static void live_on(struct model *model)
{
	if (model_random(model) % 4 != 0 || model->n_snapshots > 60)
		return;
	model_snapshot(model, 1, 2000);
	model_forget(model, model_random(model) % model->n_snapshots);
	model_collect(model);
}

static void test_what_is_collected_while_a_pass_runs_harms_nothing(void **state)
{
	struct model *model = *state;

	for (int i = 0; i < 12; i++)
		model_snapshot(model, 2, 2000);
	model->meanwhile = live_on;
	for (int i = 0; i < 12; i++) {
		int r = replicator_run(model->r);

		assert_true(r == 0 || r == -ESTALE);
		assert_null(model->fault);
	}
	model->meanwhile = NULL;
	assert_int_equal(replicator_run(model->r), 0);
	assert_null(model->fault);
	assert_equal_stores(model);
}

static void test_fifty_kills_cost_less_than_a_tenth(void **state)
{
	struct model *model = *state;
	int kills = 0;

	model->options.threads = 2;
	model_reopen(model);
	for (int i = 0; i < 250; i++) {
		object_set ignored = { 0 };
		size_t n;

		free(model_store(model, 1, 1000, ignored, &n));
	}
	model_snapshot(model, 1, 1000);
	model->m->audit = NULL;
	for (int r = -1; r < 0; kills++) {
		model->m->die_at =
			kills < 50 ? model->m->operations + 8 + model_random(model) % 8 : 0;
		r = replicator_run(model->r);
		model_reopen(model);
	}
	assert_true(kills > 50);
	model->m->die_at = 0;
	assert_int_equal(replicator_run(model->r), 0);
	assert_equal_stores(model);
	assert_true(model->m->received_bytes <= model->payload + model->payload / 10 + KIB(64));
}

static void test_a_wiped_remote_is_noticed_and_filled_again(void **state)
{
	struct model *model = *state;

	for (int i = 0; i < 4; i++)
		model_snapshot(model, 2, 3000);
	assert_int_equal(replicator_run(model->r), 0);
	assert_false(model_status(model).wiped);
	memory_wipe(model->m);
	assert_int_equal(replicator_run(model->r), 0);
	assert_true(model_status(model).wiped);
	assert_null(model->fault);
	assert_equal_stores(model);
}

static void test_objects_that_vanished_there_are_sent_again(void **state)
{
	struct model *model = *state;
	size_t n;

	for (int i = 0; i < 4; i++)
		model_snapshot(model, 2, 3000);
	assert_int_equal(replicator_run(model->r), 0);
	n = remote_count(model, "packs/");
	for (size_t i = 0; i < model->m->n_objects; i++)
		if (strncmp(model->m->objects[i].name, "packs/", 6) == 0) {
			memory_drop(model->m, &model->m->objects[i]);
			break;
		}
	model_clock_ns = clock_now_ns() + 2 * DAY_NS;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(remote_count(model, "packs/"), n);
	assert_int_equal(model_status(model).repaired, 1);
	assert_equal_stores(model);
}

static void test_damage_there_is_found_within_a_month_and_repaired(void **state)
{
	struct model *model = *state;
	struct memory_object *hit = NULL;

	for (int i = 0; i < 6; i++)
		model_snapshot(model, 2, 3000);
	assert_int_equal(replicator_run(model->r), 0);
	model_clock_ns = clock_now_ns() + 2 * DAY_NS;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model_status(model).packs_verified, 6);
	for (size_t i = 0; i < model->m->n_objects; i++)
		if (strncmp(model->m->objects[i].name, "packs/", 6) == 0)
			hit = &model->m->objects[i];
	hit->data[hit->n / 2] ^= 1;
	model_clock_ns += 10 * DAY_NS;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model_status(model).repaired, 0);
	model_clock_ns += 18 * DAY_NS;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model_status(model).repaired, 1);
	assert_equal_stores(model);
}

static void test_a_suspected_pack_is_looked_at_at_once(void **state)
{
	struct model *model = *state;
	struct memory_object *hit;
	struct pack_id id;

	for (int i = 0; i < 6; i++)
		model_snapshot(model, 20, 8000);
	assert_int_equal(replicator_run(model->r), 0);
	hit = memory_find(model->m, model->packs[3].name);
	hit->data[hit->n - 500] ^= 1;
	assert_int_equal(bytes_from_hex(strrchr(hit->name, '/') + 1, id.bytes, SHA256_BYTES), 0);
	assert_int_equal(replicator_suspect(model->r, &id), 0);
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model_status(model).repaired, 1);
	assert_equal_stores(model);
}

static void test_append_only_remotes_are_never_deleted_from(void **state)
{
	struct model *model = *state;
	struct memory_object *hit;
	size_t records;

	model->m->remote.append_only = true;
	for (int i = 0; i < 6; i++)
		model_snapshot(model, 2, 3000);
	assert_int_equal(replicator_run(model->r), 0);
	records = remote_count(model, "records/");
	model_forget(model, 1);
	model_forget(model, 2);
	model_collect(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model->m->removes, 0);
	assert_true(remote_count(model, "records/") > records);
	hit = memory_find(model->m, model->packs[0].name);
	hit->data[200] ^= 1;
	model_clock_ns = clock_now_ns() + 31 * DAY_NS;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model->m->removes, 0);
	assert_null(model->fault);
}

static uint8_t *copy_of(const char *text, size_t *ret_n)
{
	*ret_n = strlen(text);
	return (uint8_t *)strdup(text);
}

static void put_foreign(struct model *model, const char *name)
{
	size_t n;
	uint8_t *data = copy_of("another's", &n);

	memory_store(model->m, name, data, n);
}

static void test_only_what_this_host_decided_is_deleted(void **state)
{
	static const char *const foreign[] = {
		"packs/00000000000000000000000000000001/aa/"
		"aa00000000000000000000000000000000000000000000000000000000000000",
		"records/00000000000000000000000000000001/0000000000000001-"
		"aa00000000000000000000000000000000000000000000000000000000000000",
		"tables/00000000000000000000000000000001/0000000000000001-0000000000000001-"
		"aa00000000000000000000000000000000000000000000000000000000000000",
		"keys/0123456789abcdef0123456789abcdef",
		"something/else",
	};
	struct model *model = *state;
	struct local_objects o = { 0 };
	char path[PACK_PATH_BYTES], real[256];

	for (int i = 0; i < 6; i++)
		model_snapshot(model, 2, 3000);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		put_foreign(model, foreign[i]);
	assert_int_equal(replicator_run(model->r), 0);

	/* A pack and a record that are lost here, which nobody decided. */
	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	(void)pack_path(store_host(model->f->store), &o.packs[0].id, path);
	(void)snprintf(real, sizeof(real), "%s/%s", model->f->folder, path);
	assert_int_equal(remove(real), 0);
	assert_int_equal(chunk_index_lose_pack(store_index(model->f->store), &o.packs[0].id), 0);
	local_objects_done(&o);
	model_forget(model, 1);
	assert_int_equal(replicator_run(model->r), 0);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_non_null(memory_find(model->m, path));
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_non_null(memory_find(model->m, foreign[i]));
	/* Six snapshots and a forget record, less the forgotten one, and another host's. */
	assert_int_equal(remote_count(model, "records/"), 7);
}

/* Noted, but the collector died before it went on: the pack is here, and needed for all we know. */
static void test_a_retired_pack_that_is_still_here_stays_there(void **state)
{
	struct retired_object object = { .kind = RETIRED_PACK };
	struct model *model = *state;
	struct local_objects o = { 0 };

	model_snapshot(model, 2, 3000);
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	memcpy(object.id, o.packs[0].id.bytes, sizeof(object.id));
	local_objects_done(&o);
	assert_int_equal(retired_note(model->f->io, &object, 1), 0);
	assert_int_equal(replicator_run(model->r), 0);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model->m->removes, 0);
	assert_null(model->fault);
}

static void test_half_an_object_is_not_taken_for_one(void **state)
{
	struct model *model = *state;
	struct memory_object *half = NULL;

	model->m->audit = NULL;
	for (int i = 0; i < 3; i++)
		model_snapshot(model, 2, 3000);
	assert_int_equal(replicator_run(model->r), 0);
	/* As a remote without atomic puts may keep it; and nothing is known of it here. */
	for (size_t i = 0; i < model->m->n_objects; i++)
		if (strncmp(model->m->objects[i].name, "packs/", 6) == 0)
			half = &model->m->objects[i];
	half->n /= 2;
	replicator_free(STEAL(model->r));
	assert_int_equal(ledger_remove(model->f->io, "usb"), 0);
	model_open(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_equal_stores(model);
	assert_int_equal(model->m->removes, 1);
}

static void test_another_repository_is_left_alone(void **state)
{
	struct model *model = *state;
	size_t n;
	uint8_t *data = copy_of("yore repository\nand not ours", &n);

	memory_store(model->m, "config", data, n);
	model_snapshot(model, 1, 1000);
	assert_int_equal(replicator_run(model->r), -ENOTUNIQ);
	assert_int_equal(model->m->n_objects, 1);
	assert_int_equal(model->m->puts, 0);
}

static void remove_newest_record(struct model *model)
{
	for (size_t i = model->m->n_objects; i-- > 0;)
		if (strncmp(model->m->objects[i].name, "records/", 8) == 0) {
			memory_drop(model->m, &model->m->objects[i]);
			return;
		}
}

static void test_a_remote_that_was_set_back_raises_an_alarm(void **state)
{
	struct model *model = *state;

	for (int i = 0; i < 3; i++)
		model_snapshot(model, 1, 1000);
	assert_int_equal(replicator_run(model->r), 0);
	remove_newest_record(model);
	model_reopen(model);
	fixture_alarms = 0;
	assert_int_equal(replicator_run(model->r), 0);
	assert_true(model_status(model).rolled_back);
	assert_int_equal(fixture_alarms, 1);
	assert_false(model_status(model).forked);
}

static void test_an_old_listing_is_no_alarm(void **state)
{
	struct model *model = *state;

	for (int i = 0; i < 3; i++)
		model_snapshot(model, 1, 1000);
	assert_int_equal(replicator_run(model->r), 0);
	model->m->list_lag = 1000;
	model_reopen(model);
	fixture_alarms = 0;
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(fixture_alarms, 0);
	assert_false(model_status(model).rolled_back);
	model->m->list_lag = 0;
	assert_int_equal(replicator_run(model->r), 0);
	assert_equal_stores(model);
}

static void put_record(struct model *model, uint64_t seq, const char *host, const char *id)
{
	char own[2 * HOST_ID_BYTES + 1], name[RECORD_PATH_BYTES];

	bytes_to_hex(store_host(model->f->store)->bytes, HOST_ID_BYTES, own);
	(void)snprintf(name, sizeof(name), "records/%s/%016llx-%s", host ? host : own,
		       (unsigned long long)seq, id);
	put_foreign(model, name);
}

#define ID_A "aa00000000000000000000000000000000000000000000000000000000000000"
#define ID_B "bb00000000000000000000000000000000000000000000000000000000000000"
#define OTHER_HOST "00000000000000000000000000000001"

static void test_an_unknown_record_of_ours_raises_an_alarm(void **state)
{
	struct model *model = *state;

	model_snapshot(model, 1, 1000);
	assert_int_equal(replicator_run(model->r), 0);
	assert_false(model_status(model).foreign);
	put_record(model, 9, NULL, ID_A);
	assert_int_equal(replicator_run(model->r), 0);
	assert_true(model_status(model).foreign);
	assert_int_equal(model->m->removes, 0);
}

static void test_another_hosts_fork_and_rollback_raise_alarms(void **state)
{
	struct model *model = *state;

	put_record(model, 4, OTHER_HOST, ID_A);
	put_record(model, 5, OTHER_HOST, ID_A);
	assert_int_equal(replicator_run(model->r), 0);
	/* It may forget, and go on. */
	remove_newest_record(model);
	put_record(model, 7, OTHER_HOST, ID_A);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_false(model_status(model).rolled_back || model_status(model).forked);
	remove_newest_record(model);
	put_record(model, 7, OTHER_HOST, ID_B);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_true(model_status(model).forked);
	remove_newest_record(model);
	model_reopen(model);
	assert_int_equal(replicator_run(model->r), 0);
	assert_true(model_status(model).rolled_back);
}

static void test_refusals_slow_it_down_and_end_a_pass_only_in_a_row(void **state)
{
	struct model *model = *state;

	for (int i = 0; i < 30; i++)
		model_snapshot(model, 1, 1000);
	model->m->refuse_every = 3;
	assert_int_equal(replicator_run(model->r), 0);
	assert_true(model_status(model).errors > 10);
	assert_equal_stores(model);
	model_snapshot(model, 1, 1000);
	model->m->always = -ETIMEDOUT;
	assert_int_equal(replicator_run(model->r), -ETIMEDOUT);
	assert_int_equal(model_status(model).transfers, 1);
	model->m->always = 0;
	assert_int_equal(replicator_run(model->r), 0);
	assert_equal_stores(model);
}

static void test_a_folder_is_a_repository_afterwards(void **state)
{
	struct model *model = *state;
	char folder[] = "/tmp/yore-test-XXXXXX";
	struct store_config config;
	struct remote *remote = NULL;
	struct replicator *r = NULL;
	struct io *io = NULL;
	struct store *copy = NULL;
	struct timeline *t = NULL;
	char *wrong = NULL;
	uint64_t n;

	for (int i = 0; i < 4; i++)
		model_snapshot(model, 2, 3000);
	model->options.name = "folder";
	assert_non_null(mkdtemp(folder));
	assert_int_equal(remote_open(folder, NULL, NULL, &remote, &wrong), 0);
	assert_int_equal(replicator_new(model->t, remote, &model->options, &r), 0);
	assert_int_equal(replicator_run(r), 0);
	replicator_free(r);
	remote_free(remote);

	assert_int_equal(io_posix_open(folder, &io), 0);
	assert_int_equal(store_config_read(io, &config), 0);
	assert_int_equal(store_open(io, model->f->ring, STORE_READ_ONLY, &copy), 0);
	assert_int_equal(timeline_open(copy, store_host(model->f->store), &t), 0);
	assert_int_equal(timeline_count(t, &n), 0);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < model->n_objects; i++)
		assert_int_equal(store_length(copy, &model->objects[i], OBJECT_DATA), 3000);
	timeline_close(t);
	store_close(copy);
	io_free(io);
	(void)nftw(folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_two_processes_do_not_replicate_to_one_remote_at_once(void **state)
{
	struct model *model = *state;
	struct replicator *other = NULL;

	assert_int_equal(replicator_new(model->t, &model->m->remote, &model->options, &other),
			 -EBUSY);
}

static void test_a_damaged_pack_is_said_and_never_sent(void **state)
{
	struct model *model = *state;
	struct local_objects o = { 0 };
	char path[PACK_PATH_BYTES], real[256];
	FILE *file;

	model_snapshot(model, 2, 3000);
	model->m->audit = NULL;
	assert_int_equal(local_objects_read(model->f->store, &o), 0);
	(void)pack_path(store_host(model->f->store), &o.packs[0].id, path);
	local_objects_done(&o);
	(void)snprintf(real, sizeof(real), "%s/%s", model->f->folder, path);
	file = fopen(real, "r+");
	assert_int_equal(fseek(file, 1000, SEEK_SET), 0);
	assert_int_equal(fwrite("damage", 6, 1, file), 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(replicator_run(model->r), 0);
	assert_int_equal(model_status(model).packs_damaged, 1);
	assert_null(memory_find(model->m, path));
	assert_int_equal(model_status(model).packs_there, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, model_setup, model_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pass_brings_everything_and_the_next_sends_nothing),
		TEST(test_status_tells_how_far_behind_it_is),
		TEST(test_no_visible_snapshot_ever_lacks_an_object),
		TEST(test_what_is_collected_while_a_pass_runs_harms_nothing),
		TEST(test_fifty_kills_cost_less_than_a_tenth),
		TEST(test_a_wiped_remote_is_noticed_and_filled_again),
		TEST(test_objects_that_vanished_there_are_sent_again),
		TEST(test_damage_there_is_found_within_a_month_and_repaired),
		TEST(test_a_suspected_pack_is_looked_at_at_once),
		TEST(test_append_only_remotes_are_never_deleted_from),
		TEST(test_only_what_this_host_decided_is_deleted),
		TEST(test_a_retired_pack_that_is_still_here_stays_there),
		TEST(test_half_an_object_is_not_taken_for_one),
		TEST(test_another_repository_is_left_alone),
		TEST(test_a_remote_that_was_set_back_raises_an_alarm),
		TEST(test_an_old_listing_is_no_alarm),
		TEST(test_an_unknown_record_of_ours_raises_an_alarm),
		TEST(test_another_hosts_fork_and_rollback_raise_alarms),
		TEST(test_refusals_slow_it_down_and_end_a_pass_only_in_a_row),
		TEST(test_a_folder_is_a_repository_afterwards),
		TEST(test_two_processes_do_not_replicate_to_one_remote_at_once),
		TEST(test_a_damaged_pack_is_said_and_never_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
