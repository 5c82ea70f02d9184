/* SPDX-License-Identifier: MIT */
#include "snapshots/timeline.h"

#include "snapshots/timeline_internal.h"

#include "timeline_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define S 1000000000LL
#define T0 (1714573800 * S) /* 2024-05-01T14:30:00Z */

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

static struct timeline *open_own(struct fixture *f)
{
	struct timeline *t = NULL;

	assert_int_equal(timeline_open(f->store, store_host(f->store), &t), 0);
	return t;
}

static uint64_t count(struct timeline *t)
{
	uint64_t n;

	assert_int_equal(timeline_count(t, &n), 0);
	return n;
}

static void unlink_record(struct fixture *f, const struct snapshot_info *info)
{
	char path[RECORD_PATH_BYTES];

	(void)record_path(store_host(f->store), info->seq, &info->id, path);
	assert_int_equal(io_unlink(f->io, path, IO_OBJECT_RECORD), 0);
}

static void test_an_empty_timeline_answers_enoent(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(*state);
	struct snapshot_info info;

	assert_int_equal(count(t), 0);
	assert_int_equal(timeline_latest(t, &info), -ENOENT);
	assert_int_equal(timeline_get(t, 1, &info), -ENOENT);
	assert_int_equal(timeline_as_of(t, INT64_MAX, &info), -ENOENT);
	assert_int_equal(timeline_refresh(t), 0);
}

static void test_appended_snapshots_are_found_in_every_way(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(*state);
	CLEANUP(record_done) struct record record = { 0 };
	struct snapshot_info a, b, info;
	char hex[2 * SHA256_BYTES + 1];

	fixture_append(t, T0, "first", NULL, &a);
	fixture_append(t, T0 + 60 * S, NULL, NULL, &b);
	assert_int_equal(a.seq, 1);
	assert_string_equal(a.name, "2024-05-01T14-30-00Z");
	assert_string_equal(a.tags, "first");
	assert_string_equal(a.reason, "manual");
	assert_int_equal(count(t), 2);
	assert_int_equal(timeline_latest(t, &info), 0);
	assert_int_equal(info.seq, 2);
	assert_int_equal(timeline_as_of(t, T0 + 59 * S, &info), 0);
	assert_int_equal(info.seq, 1);
	assert_int_equal(timeline_as_of(t, T0 - 1, &info), -ENOENT);
	assert_int_equal(timeline_named(t, "2024-05-01T14-31-00Z", &info), 0);
	assert_int_equal(info.seq, 2);
	assert_int_equal(timeline_named(t, "2024-05-01T14-31-0Z", &info), -ENOENT);
	assert_int_equal(timeline_tagged(t, "first", &info), 0);
	assert_int_equal(timeline_tagged(t, "firs", &info), -ENOENT);
	(void)bytes_to_hex(b.id.bytes, SHA256_BYTES, hex);
	hex[9] = '\0';
	assert_int_equal(timeline_by_id(t, hex, &info), 0);
	assert_int_equal(info.seq, 2);
	hex[7] = '\0';
	assert_int_equal(timeline_by_id(t, hex, &info), -ENOENT);
	assert_int_equal(timeline_read(t, 2, &record), 0);
	assert_memory_equal(&record.previous, &a.id, sizeof(a.id));
	assert_int_equal(fixture_lines, 0);
}

static void test_snapshots_of_one_second_get_the_least_free_suffix(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(*state);
	struct snapshot_info info;

	fixture_append(t, T0, NULL, NULL, &info);
	fixture_append(t, T0 + 5, NULL, NULL, &info);
	assert_string_equal(info.name, "2024-05-01T14-30-00Z.1");
	fixture_append(t, T0 + S, NULL, NULL, &info);
	assert_string_equal(info.name, "2024-05-01T14-30-01Z");
	fixture_append(t, T0 + 6, NULL, NULL, &info);
	assert_string_equal(info.name, "2024-05-01T14-30-00Z.2");
	assert_int_equal(timeline_named(t, "2024-05-01T14-30-00Z.1", &info), 0);
	assert_int_equal(info.seq, 2);
}

static void test_as_of_follows_sequence_when_the_clock_went_back(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(*state);
	struct snapshot_info info;

	fixture_append(t, T0, NULL, NULL, NULL);
	fixture_append(t, T0 + 1000 * S, NULL, NULL, NULL);
	fixture_append(t, T0 + 500 * S, NULL, NULL, NULL);
	fixture_append(t, T0 + 2000 * S, NULL, NULL, NULL);
	assert_int_equal(timeline_as_of(t, T0 + 1500 * S, &info), 0);
	assert_int_equal(info.seq, 3);
	assert_int_equal(timeline_as_of(t, T0 + 499 * S, &info), 0);
	assert_int_equal(info.seq, 1);
}

static int remember(void *context, const struct snapshot_info *info)
{
	char *seen = context;

	seen[strlen(seen)] = (char)('0' + info->seq);
	return info->seq == 9;
}

static void test_each_goes_both_ways_and_leaves_forgotten_ones_out(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(*state);
	char up[16] = "", down[16] = "";
	struct snapshot_info info;

	for (int i = 0; i < 5; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, NULL);
	fixture_forget(t, 2, 3);
	fixture_append(t, T0 + 7 * S, NULL, NULL, &info);
	assert_int_equal(info.seq, 7);
	assert_int_equal(timeline_each(t, false, remember, up), 0);
	assert_int_equal(timeline_each(t, true, remember, down), 0);
	assert_string_equal(up, "1457");
	assert_string_equal(down, "7541");
	assert_int_equal(timeline_get(t, 2, &info), -ENOENT);
	assert_int_equal(timeline_get(t, 6, &info), -ENOENT);
	assert_int_equal(count(t), 4);
}

static void test_a_lost_index_is_filled_again_from_the_records(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	struct snapshot_info before, after;

	fixture_append(t, T0, "tag", NULL, NULL);
	fixture_append(t, T0 + S, NULL, NULL, NULL);
	fixture_forget(t, 1, 1);
	fixture_append(t, T0 + 2 * S, NULL, NULL, &before);
	timeline_close(t);
	fixture_lose_index(f);
	fixture_alarms = 0;
	t = open_own(f);
	assert_int_equal(count(t), 2);
	assert_int_equal(timeline_latest(t, &after), 0);
	assert_memory_equal(&before.id, &after.id, sizeof(after.id));
	assert_string_equal(before.name, after.name);
	assert_int_equal(fixture_alarms, 0);
	timeline_close(t);
}

static void test_another_process_writing_is_noticed_at_refresh(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *a = open_own(*state);
	CLEANUP(timeline_close_ptr) struct timeline *b = open_own(*state);
	struct snapshot_info info;

	fixture_append(a, T0, NULL, NULL, NULL);
	assert_int_equal(timeline_refresh(b), 1);
	assert_int_equal(count(b), 1);
	fixture_append(b, T0, NULL, NULL, &info);
	assert_string_equal(info.name, "2024-05-01T14-30-00Z.1");
	fixture_append(a, T0, NULL, NULL, &info);
	assert_string_equal(info.name, "2024-05-01T14-30-00Z.2");
	assert_int_equal(info.seq, 3);
	assert_int_equal(timeline_refresh(a), 0);
	assert_int_equal(fixture_lines, 0);
}

static void test_own_records_cost_no_listing_and_others_are_seen_all_the_same(void **state)
{
	CLEANUP(timeline_close_ptr) struct timeline *a = open_own(*state);
	CLEANUP(timeline_close_ptr) struct timeline *b = NULL;

	fixture_append(a, T0, NULL, NULL, NULL);
	(void)usleep(100000); /* until the folder is old enough to be told from a later state */
	assert_true(timeline_sync(a) == 0);
	for (unsigned int i = 1; i <= 5; i++) {
		fixture_append(a, T0 + i * S, NULL, NULL, NULL);
		assert_int_equal(timeline_refresh(a), 0);
		assert_int_equal(a->n_unlisted, i);
	}
	b = open_own(*state);
	fixture_append(b, T0 + 6 * S, NULL, NULL, NULL);
	assert_int_equal(timeline_refresh(a), 1);
	assert_int_equal(a->n_unlisted, 0);
	assert_int_equal(count(a), 7);
}

static void test_a_gap_without_a_forget_record_is_an_alarm(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	struct snapshot_info info[3];

	for (int i = 0; i < 3; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, &info[i]);
	unlink_record(f, &info[1]);
	assert_int_equal(timeline_refresh(t), 1);
	assert_int_equal(fixture_alarms, 1);
	assert_int_equal(count(t), 2);
	timeline_close(t);

	fixture_lose_index(f);
	fixture_alarms = 0;
	t = open_own(f);
	assert_int_equal(fixture_alarms, 1);
	assert_int_equal(count(t), 2);
	timeline_close(t);
}

static void test_a_digest_of_an_older_program_is_made_again(void **state)
{
	struct fixture *f = *state;
	struct chunk_index *x = store_index(f->store);
	uint8_t digest[INDEX_RECORD_BYTES_MAX];
	struct timeline *t = open_own(f);
	struct snapshot_info info, again;
	int64_t n;

	fixture_append(t, T0, NULL, NULL, &info);
	timeline_close(t);
	n = chunk_index_get_record(x, store_host(f->store), info.seq, digest, sizeof(digest));
	assert_in_range(n, 1, sizeof(digest));
	digest[0]--;
	assert_int_equal(
		chunk_index_put_record(x, store_host(f->store), info.seq, digest, (size_t)n), 0);
	t = open_own(f);
	assert_int_equal(timeline_latest(t, &again), 0);
	assert_string_equal(again.name, info.name);
	assert_int_equal(again.consistency, info.consistency);
	timeline_close(t);
	digest[0]++;
	assert_int_equal(chunk_index_get_record(x, store_host(f->store), info.seq, digest + 1,
						sizeof(digest) - 1),
			 n);
	assert_int_equal(digest[1], digest[0]);
	assert_int_equal(fixture_alarms, 0);
}

static void test_a_forgotten_gap_is_no_alarm(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	struct snapshot_info info[3];

	for (int i = 0; i < 3; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, &info[i]);
	fixture_forget(t, 1, 2);
	unlink_record(f, &info[0]);
	unlink_record(f, &info[1]);
	assert_int_equal(timeline_refresh(t), 0);
	timeline_close(t);
	fixture_lose_index(f);
	t = open_own(f);
	assert_int_equal(count(t), 1);
	assert_int_equal(fixture_alarms, 0);
	timeline_close(t);
}

static void test_a_damaged_record_is_named_once_and_costs_only_itself(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	char path[RECORD_PATH_BYTES];
	struct snapshot_info info[3], next;
	int fd;

	for (int i = 0; i < 3; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, &info[i]);
	timeline_close(t);
	(void)record_path(store_host(f->store), 3, &info[2].id, path);
	fd = io_open(f->io, path, IO_OPEN_WRITE, IO_OBJECT_RECORD);
	assert_true(fd >= 0);
	assert_int_equal(io_pwrite(f->io, fd, "x", 1, 90, IO_OBJECT_RECORD), 0);
	io_close(f->io, fd);
	fixture_lose_index(f);
	fixture_lines = 0;
	t = open_own(f);
	assert_int_equal(count(t), 2);
	assert_int_equal(fixture_lines, 1);
	/* Its number is not used again, and the chain goes on from it. */
	fixture_append(t, T0 + 9 * S, NULL, NULL, &next);
	assert_int_equal(next.seq, 4);
	assert_int_equal(fixture_lines, 1);
	timeline_close(t);
}

static void test_a_held_record_cannot_be_locked_exclusively(void **state)
{
	struct fixture *f = *state;
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(f);
	char path[RECORD_PATH_BYTES];
	struct snapshot_info info;
	int held, fd;

	fixture_append(t, T0, NULL, NULL, &info);
	held = timeline_hold(t, 1);
	assert_true(held >= 0);
	(void)record_path(store_host(f->store), 1, &info.id, path);
	fd = io_open(f->io, path, IO_OPEN_READ, IO_OBJECT_RECORD);
	assert_true(fd >= 0);
	assert_int_equal(io_lock(f->io, fd, IO_LOCK_EXCLUSIVE, false), -EWOULDBLOCK);
	io_close(f->io, held);
	assert_int_equal(io_lock(f->io, fd, IO_LOCK_EXCLUSIVE, false), 0);
	io_close(f->io, fd);
	assert_int_equal(timeline_hold(t, 2), -ENOENT);
}

/* ---- forgetting ---- */

static int count_name(void *context, const char *name)
{
	(void)name;
	++*(size_t *)context;
	return 0;
}

/* Files in the host's folder: snapshots and forget records. */
static size_t count_files(struct fixture *f)
{
	char hex[2 * HOST_ID_BYTES + 1], folder[64];
	size_t n = 0;

	(void)snprintf(folder, sizeof(folder), "records/%s",
		       bytes_to_hex(store_host(f->store)->bytes, HOST_ID_BYTES, hex));
	assert_int_equal(io_list(f->io, folder, count_name, &n), 0);
	return n;
}

static void test_forgetting_takes_records_away_for_good_and_raises_no_alarm(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	const uint64_t seqs[] = { 2, 3, 5 };
	struct forget_result result;
	struct snapshot_info info;

	for (int i = 0; i < 6; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, NULL);
	assert_int_equal(timeline_forget(t, seqs, 3, &result), 0);
	assert_int_equal(result.forgotten, 3);
	assert_int_equal(result.busy, 0);
	assert_int_equal(count(t), 3);
	assert_int_equal(count_files(f), 4);
	assert_int_equal(timeline_get(t, 3, &info), -ENOENT);
	assert_int_equal(timeline_hold(t, 3), -ENOENT);
	fixture_append(t, T0 + 9 * S, NULL, NULL, &info);
	assert_int_equal(info.seq, 8);
	timeline_close(t);

	fixture_lose_index(f);
	t = open_own(f);
	assert_int_equal(count(t), 4);
	assert_int_equal(fixture_lines, 0);
	timeline_close(t);
}

static void test_the_newest_and_unknown_ones_are_left_out(void **state)
{
	struct fixture *f = *state;
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(f);
	const uint64_t seqs[] = { 0, 2, 7, UINT64_MAX };
	struct forget_result result;

	fixture_append(t, T0, NULL, NULL, NULL);
	fixture_append(t, T0 + S, NULL, NULL, NULL);
	assert_int_equal(timeline_forget(t, seqs, 4, &result), 0);
	assert_int_equal(result.forgotten, 0);
	assert_int_equal(count(t), 2);
	/* Nothing to say: no record. */
	assert_int_equal(count_files(f), 2);
}

static void test_a_later_forget_record_replaces_the_earlier_ones(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	struct forget_result result;
	struct snapshot_info info;

	fixture_append(t, T0, NULL, NULL, &info);
	for (int i = 1; i < 20; i++) {
		uint64_t before = info.seq;

		fixture_append(t, T0 + i * S, NULL, NULL, &info);
		assert_int_equal(timeline_forget(t, &before, 1, &result), 0);
		assert_int_equal(result.forgotten, 1);
		assert_int_equal(count_files(f), 2);
	}
	timeline_close(t);
	fixture_lose_index(f);
	t = open_own(f);
	assert_int_equal(fixture_alarms, 0);
	timeline_close(t);
}

static void test_what_somebody_holds_stays_until_it_is_let_go(void **state)
{
	struct fixture *f = *state;
	CLEANUP(timeline_close_ptr) struct timeline *t = open_own(f);
	CLEANUP(timeline_close_ptr) struct timeline *other = NULL;
	CLEANUP(record_done) struct record record = { 0 };
	CLEANUP(free_ptr) uint64_t *wanted = NULL;
	const uint64_t seqs[] = { 1, 2 };
	struct forget_result result;
	size_t n_wanted = 0;
	int hold;

	for (int i = 0; i < 3; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, NULL);
	other = open_own(f);
	hold = timeline_hold(other, 1);
	assert_true(hold >= 0);
	assert_int_equal(timeline_forget(t, seqs, 2, &result), 0);
	assert_int_equal(result.forgotten, 1);
	assert_int_equal(result.busy, 1);
	assert_int_equal(count(t), 2);
	assert_int_equal(timeline_read(other, 1, &record), 0);
	/* Whoever holds it can learn that it is wanted. */
	assert_int_equal(timeline_wanted(other, &wanted, &n_wanted), 0);
	assert_int_equal(n_wanted, 1);
	assert_int_equal(wanted[0], 1);
	io_close(f->io, hold);
	assert_int_equal(timeline_forget(t, seqs, 2, &result), 0);
	assert_int_equal(result.forgotten, 1);
	assert_int_equal(result.busy, 0);
	assert_int_equal(timeline_hold(other, 1), -ENOENT);
	assert_int_equal(timeline_wanted(other, &wanted, &n_wanted), -ENOENT);
	assert_int_equal(fixture_lines, 0);
}

static void test_a_forget_that_was_killed_is_finished_by_the_next_sweep(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	CLEANUP(timeline_close_ptr) struct timeline *stale = NULL;

	for (int i = 0; i < 4; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, NULL);
	stale = open_own(f);
	fixture_forget(t, 1, 2); /* durable, but no file is gone yet */
	assert_int_equal(count(t), 2);
	assert_int_equal(count_files(f), 5);
	/* Whoever has not looked since cannot begin to use one. */
	assert_int_equal(timeline_hold(stale, 2), -ENOENT);
	timeline_close(t);

	t = open_own(f);
	assert_int_equal(count(t), 2);
	assert_int_equal(timeline_sweep_forgotten(t), 0);
	assert_int_equal(count_files(f), 3);
	assert_int_equal(count(t), 2);
	timeline_close(t);
	fixture_lose_index(f);
	t = open_own(f);
	assert_int_equal(count(t), 2);
	assert_int_equal(fixture_lines, 0);
	timeline_close(t);
}

static void test_a_gap_beside_a_forgotten_one_is_still_an_alarm(void **state)
{
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	const uint64_t seqs[] = { 2 };
	struct forget_result result;
	struct snapshot_info info[4];

	for (int i = 0; i < 4; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, &info[i]);
	assert_int_equal(timeline_forget(t, seqs, 1, &result), 0);
	unlink_record(f, &info[2]);
	assert_int_equal(timeline_refresh(t), 1);
	assert_int_equal(fixture_alarms, 1);
	timeline_close(t);
	fixture_lose_index(f);
	fixture_alarms = 0;
	t = open_own(f);
	assert_int_equal(fixture_alarms, 1);
	timeline_close(t);
}

static void test_a_long_timeline_is_thinned_in_several_goes(void **state)
{
	enum { N = 400 }; /* more than are forgotten in one go */
	struct fixture *f = *state;
	struct timeline *t = open_own(f);
	static uint64_t seqs[N];
	struct forget_result result;
	size_t n = 0;

	for (int i = 0; i < N; i++)
		fixture_append(t, T0 + i * S, NULL, NULL, NULL);
	for (uint64_t seq = 1; seq < N; seq++)
		if (seq % 3)
			seqs[n++] = seq;
	assert_int_equal(timeline_forget(t, seqs, n, &result), 0);
	assert_int_equal(result.forgotten, n);
	assert_int_equal(count(t), N - n);
	timeline_close(t);
	fixture_lose_index(f);
	t = open_own(f);
	assert_int_equal(count(t), N - n);
	n = 0;
	for (uint64_t seq = 3; seq < N; seq += 3)
		seqs[n++] = seq;
	assert_int_equal(timeline_forget(t, seqs, n, &result), 0);
	assert_int_equal(count(t), 1);
	assert_int_equal(count_files(f), 2);
	timeline_close(t);
	t = open_own(f);
	assert_int_equal(count(t), 1);
	assert_int_equal(fixture_lines, 0);
	timeline_close(t);
}

static void test_another_hosts_snapshots_are_not_forgotten_here(void **state)
{
	struct fixture *f = *state;
	const struct host_id other = { { 1, 2, 3 } };
	CLEANUP(timeline_close_ptr) struct timeline *t = NULL;
	const uint64_t seqs[] = { 1 };
	struct forget_result result;

	assert_int_equal(timeline_open(f->store, &other, &t), 0);
	fixture_append(t, T0, NULL, NULL, NULL);
	fixture_append(t, T0, NULL, NULL, NULL);
	assert_int_equal(timeline_forget(t, seqs, 1, &result), -EPERM);
	assert_int_equal(count(t), 2);
}

static void test_the_only_other_host_is_shown_when_this_one_has_nothing(void **state)
{
	struct fixture *f = *state;
	const struct host_id other = { { 1, 2, 3 } };
	CLEANUP(timeline_close_ptr)
	struct timeline *t = NULL, *chosen = NULL, *named = NULL, *own = NULL;

	assert_int_equal(timeline_choose(f->store, NULL, &own), 0);
	assert_memory_equal(timeline_host(own), store_host(f->store), sizeof(other));
	assert_int_equal(timeline_open(f->store, &other, &t), 0);
	fixture_append(t, T0, NULL, NULL, NULL);
	assert_int_equal(timeline_choose(f->store, NULL, &chosen), 0);
	assert_memory_equal(timeline_host(chosen), &other, sizeof(other));
	assert_int_equal(timeline_choose(f->store, "testhost", &named), 0);
	assert_memory_equal(timeline_host(named), &other, sizeof(other));
	timeline_close(named);
	named = NULL;
	assert_int_equal(timeline_choose(f->store, "nobody", &named), -ENOENT);
	fixture_append(own, T0, NULL, NULL, NULL);
	assert_int_equal(timeline_choose(f->store, "testhost", &named), -ENOTUNIQ);
}

/* ---- others at work ---- */

struct busy_host {
	struct timeline *t;
	atomic_bool stop;
};

/* Appends, and forgets what is a few snapshots old, again and again. */
static void *append_and_forget(void *argument)
{
	struct busy_host *b = argument;
	struct snapshot_info info;
	struct forget_result result;
	uint64_t seqs[8];
	size_t n = 0;

	while (!atomic_load(&b->stop)) {
		fixture_append(b->t, clock_now_ns(), NULL, NULL, &info);
		seqs[n++] = info.seq;
		if (n < sizeof(seqs) / sizeof(*seqs))
			continue;
		(void)timeline_forget(b->t, seqs, n - 1, &result);
		seqs[0] = seqs[n - 1];
		n = 1;
	}
	return NULL;
}

static void test_looking_while_others_forget_raises_no_alarm(void **state)
{
	struct fixture *f = *state;
	CLEANUP(timeline_close_ptr) struct timeline *other = NULL;
	struct busy_host busy = { 0 };
	pthread_t thread;

	assert_int_equal(timeline_open(f->store, store_host(f->store), &other), 0);
	busy.t = other;
	assert_int_equal(pthread_create(&thread, NULL, append_and_forget, &busy), 0);
	for (int i = 0; i < 400; i++) {
		CLEANUP(timeline_close_ptr) struct timeline *looking = NULL;

		assert_int_equal(timeline_open(f->store, store_host(f->store), &looking), 0);
		(void)timeline_refresh(looking);
	}
	atomic_store(&busy.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(fixture_alarms, 0);
}

#define EACH(claim) cmocka_unit_test_setup_teardown(claim, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_an_empty_timeline_answers_enoent),
		EACH(test_appended_snapshots_are_found_in_every_way),
		EACH(test_snapshots_of_one_second_get_the_least_free_suffix),
		EACH(test_as_of_follows_sequence_when_the_clock_went_back),
		EACH(test_each_goes_both_ways_and_leaves_forgotten_ones_out),
		EACH(test_a_lost_index_is_filled_again_from_the_records),
		EACH(test_another_process_writing_is_noticed_at_refresh),
		EACH(test_own_records_cost_no_listing_and_others_are_seen_all_the_same),
		EACH(test_a_gap_without_a_forget_record_is_an_alarm),
		EACH(test_a_forgotten_gap_is_no_alarm),
		EACH(test_a_digest_of_an_older_program_is_made_again),
		EACH(test_a_damaged_record_is_named_once_and_costs_only_itself),
		EACH(test_a_held_record_cannot_be_locked_exclusively),
		EACH(test_forgetting_takes_records_away_for_good_and_raises_no_alarm),
		EACH(test_the_newest_and_unknown_ones_are_left_out),
		EACH(test_a_later_forget_record_replaces_the_earlier_ones),
		EACH(test_what_somebody_holds_stays_until_it_is_let_go),
		EACH(test_a_forget_that_was_killed_is_finished_by_the_next_sweep),
		EACH(test_a_gap_beside_a_forgotten_one_is_still_an_alarm),
		EACH(test_a_long_timeline_is_thinned_in_several_goes),
		EACH(test_another_hosts_snapshots_are_not_forgotten_here),
		EACH(test_the_only_other_host_is_shown_when_this_one_has_nothing),
		EACH(test_looking_while_others_forget_raises_no_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
