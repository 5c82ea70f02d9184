/* SPDX-License-Identifier: MIT */
#include "store/pack_writer.h"
#include "tests/unit/capture_fixture.h"

static int count_source(const struct record *r, const char *path, enum source_state *ret_state)
{
	int n = 0;

	for (size_t i = 0; i < r->n_sources; i++)
		if (strcmp(r->sources[i].path, path) == 0) {
			*ret_state = r->sources[i].state;
			n++;
		}
	return n;
}

/* The newest record; the caller frees it with record_done. */
static struct record newest(struct desk *d)
{
	struct snapshot_info info;
	struct record r;

	(void)timeline_refresh(d->timeline);
	assert_int_equal(timeline_latest(d->timeline, &info), 0);
	assert_int_equal(timeline_read(d->timeline, info.seq, &r), 0);
	return r;
}

/* State of a source in the newest record; it must be there once. */
static enum source_state state_of(struct desk *d, const char *path)
{
	CLEANUP(record_done) struct record r = newest(d);
	enum source_state state = SOURCE_PRESENT;

	assert_int_equal(count_source(&r, path, &state), 1);
	return state;
}

static bool is_source(struct desk *d, const char *path)
{
	CLEANUP(record_done) struct record r = newest(d);
	enum source_state state;

	return count_source(&r, path, &state) > 0;
}

static void test_sources_of_other_runs_are_carried_along(void **state)
{
	struct desk *d = *state;
	char a[PATH_MAX], b[PATH_MAX];

	desk_folder(d, "a");
	desk_folder(d, "b");
	desk_write(d, "a/f", "a1");
	desk_write(d, "b/f", "b1");
	(void)desk_take(d, desk_path(d, "a", a));
	(void)desk_take(d, desk_path(d, "b", b));
	desk_write(d, "a/f", "a2");
	desk_write(d, "b/f", "b2");
	(void)desk_take(d, b);
	assert_string_equal(desk_has(d, "a/f"), "a1");
	assert_string_equal(desk_has(d, "b/f"), "b2");
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "a/f"), "a2");
	assert_int_equal(state_of(d, a), SOURCE_PRESENT);
	assert_int_equal(state_of(d, b), SOURCE_PRESENT);
}

/* Another process committed between this one's look at the head and its own commit. */
static void test_a_stale_head_loses_nothing(void **state)
{
	struct desk *d = *state;
	char a[PATH_MAX], b[PATH_MAX];
	struct capture_source source = { .path = b };
	struct capture_result r;
	struct timeline *other;

	desk_folder(d, "a");
	desk_folder(d, "b");
	desk_write(d, "a/f", "a");
	desk_write(d, "b/f", "b");
	(void)desk_path(d, "b", b);
	assert_int_equal(timeline_open(d->fixture->store, store_host(d->fixture->store), &other),
			 0);
	(void)desk_take(d, desk_path(d, "a", a));
	assert_int_equal(desk_run(d, other, &source, 1, &r), 0);
	timeline_close(other);
	assert_int_equal(r.snapshot.seq, 2);
	assert_string_equal(desk_has(d, "a/f"), "a");
	assert_string_equal(desk_has(d, "b/f"), "b");
}

static void test_an_absent_source_keeps_its_last_state(void **state)
{
	struct desk *d = *state;
	struct capture_result r;
	char a[PATH_MAX], f[PATH_MAX];

	desk_folder(d, "a");
	desk_write(d, "a/f", "kept");
	(void)desk_take(d, desk_path(d, "a", a));
	assert_int_equal(unlink(desk_path(d, "a/f", f)), 0);
	assert_int_equal(rmdir(a), 0);
	for (int i = 0; i < 2; i++) {
		r = desk_take(d, NULL);
		assert_int_equal(r.n_absent, 1);
		assert_int_equal(r.snapshot.n_absent, 1);
		assert_string_equal(desk_has(d, "a/f"), "kept");
		assert_int_equal(state_of(d, a), SOURCE_ABSENT);
	}
	desk_folder(d, "a");
	desk_write(d, "a/f", "back");
	r = desk_take(d, NULL);
	assert_int_equal(r.n_absent, 0);
	assert_string_equal(desk_has(d, "a/f"), "back");
}

static void test_what_is_accepted_as_gone_is_no_source_any_more(void **state)
{
	struct desk *d = *state;
	char a[PATH_MAX], b[PATH_MAX], f[PATH_MAX];
	struct capture_source source = { .path = a, .accept = true };
	struct capture_result r;

	desk_folder(d, "a");
	desk_folder(d, "b");
	desk_write(d, "a/f", "a");
	desk_write(d, "b/f", "b");
	(void)desk_take(d, desk_path(d, "a", a));
	(void)desk_take(d, desk_path(d, "b", b));
	assert_int_equal(unlink(desk_path(d, "a/f", f)), 0);
	assert_int_equal(rmdir(a), 0);
	assert_int_equal(desk_run(d, d->timeline, &source, 1, &r), 0);
	assert_int_equal(r.n_absent, 0);
	assert_null(desk_has(d, "a/f"));
	assert_string_equal(desk_has(d, "b/f"), "b");
	assert_false(is_source(d, a));
	assert_true(is_source(d, b));
	r = desk_take(d, NULL);
	assert_int_equal(r.n_absent, 0);
}

static void test_inner_sources_lie_within_outer_ones(void **state)
{
	struct desk *d = *state;
	char inner[PATH_MAX];
	struct capture_source sources[] = { { .path = inner },
					    { .path = d->source, .excludes = "in\n" } };
	struct capture_result r;

	desk_folder(d, "in");
	desk_write(d, "in/f", "inner");
	desk_write(d, "f", "outer");
	(void)desk_path(d, "in", inner);
	assert_int_equal(desk_run(d, d->timeline, sources, 2, &r), 0);
	assert_string_equal(desk_has(d, "in/f"), "inner");
	assert_string_equal(desk_has(d, "f"), "outer");
	desk_write(d, "f", "outer2");
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "in/f"), "inner");
	assert_string_equal(desk_has(d, "f"), "outer2");
}

static void test_tags_reason_and_counts_are_recorded(void **state)
{
	struct desk *d = *state;
	static const char *const tags[] = { "one", "two" };
	struct capture_source source = { .path = d->source };
	struct capture_options o = {
		.sources = &source, .n_sources = 1, .tags = tags, .n_tags = 2, .reason = "manual"
	};
	struct snapshot_info info;
	struct capture_result r;

	desk_write(d, "f", "12345");
	assert_int_equal(capture_run(d->timeline, &o, &r), 0);
	assert_string_equal(r.snapshot.tags, "one,two");
	assert_string_equal(r.snapshot.reason, "manual");
	assert_int_equal(r.snapshot.files, 1);
	assert_int_equal(r.snapshot.bytes, 5);
	assert_int_equal(timeline_tagged(d->timeline, "two", &info), 0);
	assert_int_equal(info.seq, r.snapshot.seq);
}

static void test_moments_never_go_back(void **state)
{
	struct desk *d = *state;
	int64_t last = 0;

	desk_write(d, "f", "x");
	for (int i = 0; i < 5; i++) {
		struct capture_result r = desk_take(d, i ? NULL : d->source);

		assert_true(r.snapshot.time_ns >= last);
		assert_true(r.snapshot.time_ns <= clock_now_ns());
		last = r.snapshot.time_ns;
	}
	assert_int_equal(desk_count(d), 5);
}

static void test_links_that_lead_to_a_source_are_kept(void **state)
{
	struct desk *d = *state;
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL; /* goes last */
	CLEANUP(tree_reader_free_ptr) struct tree_reader *tree = NULL;
	char link_path[PATH_MAX];
	struct snapshot_info info;
	struct tree_entry e;

	desk_folder(d, "real");
	desk_write(d, "real/f", "text");
	assert_int_equal(symlink("real", desk_path(d, "by", link_path)), 0);
	(void)desk_take(d, link_path);
	assert_string_equal(desk_has(d, "real/f"), "text");
	assert_int_equal(timeline_latest(d->timeline, &info), 0);
	assert_int_equal(chunk_cache_new(d->fixture->store, MIB(8), 0, &cache), 0);
	assert_int_equal(tree_reader_new(cache, &tree), 0);
	assert_int_equal(tree_reader_walk(tree, &info.root_tree, link_path + 1, &e), 0);
	assert_true(S_ISLNK(e.mode));
	assert_int_equal(e.link_n, 4);
	assert_memory_equal(e.link, "real", 4);
}

static void test_a_reopened_repository_has_it_all(void **state)
{
	struct desk *d = *state;

	desk_write(d, "f", "durable");
	(void)desk_take(d, d->source);
	timeline_close(d->timeline);
	fixture_lose_index(d->fixture);
	assert_int_equal(
		timeline_open(d->fixture->store, store_host(d->fixture->store), &d->timeline), 0);
	assert_string_equal(desk_has(d, "f"), "durable");
	desk_write(d, "f", "goes on");
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "f"), "goes on");
	assert_int_equal(desk_count(d), 2);
}

/* ---- what old data relies on may become unusable ---- */

static int visit_newest(void *context, uint32_t number, const struct pack_info *info)
{
	(void)number; /* ascends */
	*(struct pack_id *)context = info->id;
	return 0;
}

static struct pack_id newest_pack(struct desk *d)
{
	struct pack_id id = { 0 };

	assert_int_equal(chunk_index_each_pack(store_index(d->fixture->store), visit_newest, &id),
			 0);
	return id;
}

static struct chunk_index *index_of(struct desk *d)
{
	return store_index(d->fixture->store);
}

/* Stored chunk of a small file in the newest snapshot. */
static struct chunk_id chunk_of(struct desk *d, const char *name)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL; /* goes last */
	CLEANUP(tree_reader_free_ptr) struct tree_reader *tree = NULL;
	char path[PATH_MAX];
	struct snapshot_info info;
	struct tree_entry e;

	assert_int_equal(timeline_latest(d->timeline, &info), 0);
	assert_int_equal(chunk_cache_new(d->fixture->store, MIB(8), 0, &cache), 0);
	assert_int_equal(tree_reader_new(cache, &tree), 0);
	assert_int_equal(tree_reader_walk(tree, &info.root_tree, desk_path(d, name, path) + 1, &e),
			 0);
	assert_int_equal(e.content.n_extents, 1);
	return e.content.extents[0].chunk;
}

/* So old that it is not read again just in case. */
static void let_rest(void)
{
	(void)usleep(2200000);
}

static void test_a_shunned_chunk_is_stored_again_from_an_unchanged_source(void **state)
{
	struct desk *d = *state;
	struct capture_result r;
	struct chunk_id id;

	desk_write(d, "f", "text");
	let_rest();
	r = desk_take(d, d->source);
	assert_int_equal(chunk_index_in_doubt(index_of(d), r.snapshot.seq), 0);
	r = desk_take(d, NULL);
	assert_int_equal(r.files_read, 0);

	id = chunk_of(d, "f");
	assert_int_equal(chunk_index_shun(index_of(d), &id, true), 0);
	assert_int_equal(chunk_index_in_doubt(index_of(d), r.snapshot.seq), 1);
	r = desk_take(d, NULL);
	assert_int_equal(r.files_read, 1);
	id = chunk_of(d, "f");
	assert_int_equal(chunk_index_usable(index_of(d), &id), 1);
	assert_string_equal(desk_has(d, "f"), "text");
	assert_int_equal(chunk_index_in_doubt(index_of(d), r.snapshot.seq), 0);
	r = desk_take(d, NULL);
	assert_int_equal(r.files_read, 0);
}

static void test_what_a_dropped_pack_held_is_stored_again(void **state)
{
	struct desk *d = *state;
	struct capture_result r;
	struct pack_id pack;

	desk_write(d, "f", "text");
	let_rest();
	(void)desk_take(d, d->source);
	pack = newest_pack(d);
	assert_int_equal(chunk_index_drop_pack(index_of(d), &pack), 0);
	r = desk_take(d, NULL);
	assert_int_equal(r.files_read, 1);
	assert_string_equal(desk_has(d, "f"), "text");
}

/* Nobody told the index; the folders, which are read first, tell it. */
static void test_what_a_deleted_pack_held_is_stored_again(void **state)
{
	struct desk *d = *state;
	const struct host_id own_host = *store_host(d->fixture->store);
	char path[PACK_PATH_BYTES];
	struct pack_id pack;

	desk_write(d, "f", "text");
	let_rest();
	(void)desk_take(d, d->source);
	pack = newest_pack(d);
	timeline_close(d->timeline);
	store_close(d->fixture->store);
	(void)pack_path(&own_host, &pack, path);
	assert_int_equal(io_unlink(d->fixture->io, path, IO_OBJECT_PACK), 0);
	assert_int_equal(
		store_open(d->fixture->io, d->fixture->ring, STORE_READ_WRITE, &d->fixture->store),
		0);
	assert_int_equal(
		timeline_open(d->fixture->store, store_host(d->fixture->store), &d->timeline), 0);
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "f"), "text");
}

/* A run that does not see everything must not vouch for the rest. */
static void test_doubt_lasts_until_every_source_was_looked_at(void **state)
{
	struct desk *d = *state;
	char a[PATH_MAX], b[PATH_MAX];
	struct capture_result r;
	struct chunk_id id;

	desk_folder(d, "a");
	desk_folder(d, "b");
	desk_write(d, "a/f", "a");
	desk_write(d, "b/f", "b");
	(void)desk_take(d, desk_path(d, "a", a));
	(void)desk_take(d, desk_path(d, "b", b));
	id = chunk_of(d, "a/f");
	assert_int_equal(chunk_index_shun(index_of(d), &id, true), 0);
	r = desk_take(d, b);
	assert_int_equal(chunk_index_in_doubt(index_of(d), r.snapshot.seq), 1);
	r = desk_take(d, NULL);
	assert_int_equal(chunk_index_in_doubt(index_of(d), r.snapshot.seq), 0);
	id = chunk_of(d, "a/f");
	assert_int_equal(chunk_index_usable(index_of(d), &id), 1);
	/* An older head may rely on what the trusted one does not. */
	assert_int_equal(chunk_index_in_doubt(index_of(d), r.snapshot.seq - 1), 1);
}

/* Stands in for another process that condemns a pack while this one waits for the commit lock. */
static struct {
	const struct io_ops *real;
	struct desk *desk;
	struct pack_id pack;
	int condemned, limit;
} rival;

static int open_beside_rival(struct io *io, const char *path, int flags, enum io_object object)
{
	if (strcmp(path, "local/commit") == 0 && rival.condemned < rival.limit) {
		rival.condemned++;
		assert_int_equal(chunk_index_condemn(index_of(rival.desk), &rival.pack, false), 0);
		assert_int_equal(chunk_index_condemn(index_of(rival.desk), &rival.pack, true), 0);
	}
	return rival.real->open(io, path, flags, object);
}

/* Take a snapshot while the rival condemns the newest pack `limit` times. */
static int take_beside_rival(struct desk *d, int limit, struct capture_progress *progress,
			     struct capture_result *ret)
{
	struct io *io = d->fixture->io;
	struct io_ops ops = *io->ops;
	struct capture_options o = { .reason = "test", .progress = progress };
	int r;

	rival.real = io->ops;
	rival.desk = d;
	rival.pack = newest_pack(d);
	rival.condemned = 0;
	rival.limit = limit;
	ops.open = open_beside_rival;
	io->ops = &ops;
	r = capture_run(d->timeline, &o, ret);
	io->ops = rival.real;
	assert_int_equal(rival.condemned, limit);
	return r;
}

static void test_a_pack_condemned_before_the_commit_is_relied_on_no_more(void **state)
{
	struct desk *d = *state;
	struct capture_progress progress = { 0 };
	struct capture_result r;
	struct pack_id pack;

	desk_write(d, "f", "kept");
	(void)desk_take(d, d->source);
	pack = newest_pack(d);
	desk_write(d, "g", "new");
	assert_int_equal(take_beside_rival(d, 1, &progress, &r), 0);
	assert_int_equal(r.files, 2);
	assert_int_equal(atomic_load(&progress.files), 2);
	assert_int_equal(r.snapshot.files, 2);
	assert_int_equal(desk_count(d), 2);
	/* The rival goes through with it. */
	assert_int_equal(chunk_index_drop_pack(index_of(d), &pack), 0);
	assert_string_equal(desk_has(d, "f"), "kept");
	assert_string_equal(desk_has(d, "g"), "new");
}

static void test_a_capture_that_is_always_undercut_commits_nothing(void **state)
{
	struct desk *d = *state;
	struct capture_result r;

	desk_write(d, "f", "text");
	(void)desk_take(d, d->source);
	assert_int_equal(take_beside_rival(d, 3, NULL, &r), -ESTALE);
	assert_int_equal(desk_count(d), 1);
	assert_int_equal(take_beside_rival(d, 0, NULL, &r), 0);
	assert_int_equal(desk_count(d), 2);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_sources_of_other_runs_are_carried_along),
		CASE(test_a_stale_head_loses_nothing),
		CASE(test_an_absent_source_keeps_its_last_state),
		CASE(test_what_is_accepted_as_gone_is_no_source_any_more),
		CASE(test_inner_sources_lie_within_outer_ones),
		CASE(test_tags_reason_and_counts_are_recorded),
		CASE(test_moments_never_go_back),
		CASE(test_links_that_lead_to_a_source_are_kept),
		CASE(test_a_reopened_repository_has_it_all),
		CASE(test_a_shunned_chunk_is_stored_again_from_an_unchanged_source),
		CASE(test_what_a_dropped_pack_held_is_stored_again),
		CASE(test_what_a_deleted_pack_held_is_stored_again),
		CASE(test_doubt_lasts_until_every_source_was_looked_at),
		CASE(test_a_pack_condemned_before_the_commit_is_relied_on_no_more),
		CASE(test_a_capture_that_is_always_undercut_commits_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
