/* SPDX-License-Identifier: MIT */
#include "snapshots/collect.h"
#include "snapshots/tree_walk.h"
#include "store/pack_writer.h"
#include "store/reserve.h"
#include "tests/unit/capture_fixture.h"

#include <dirent.h>
#include <pthread.h>

#define BLOB_BYTES 300000
#define MOMENTS_MAX 16

static char problems[1000];

static void note_problem(void *context, uint64_t seq, const char *what)
{
	size_t n = strlen(problems);

	(void)context;
	(void)snprintf(problems + n, sizeof(problems) - n, "%d: %s;", (int)seq, what);
}

static const struct collect_options now = { .young_too = true,
					    .rewrite_bytes = UINT64_MAX,
					    .problem = note_problem };

static int collect_with(struct desk *d, const struct collect_options *o, struct collect_result *ret)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;

	problems[0] = '\0';
	assert_int_equal(chunk_cache_new(d->fixture->store, MIB(8), 1, &cache), 0);
	return collect_run(d->timeline, cache, o, ret);
}

static struct collect_result collect_now(struct desk *d)
{
	struct collect_result result;

	assert_int_equal(collect_with(d, &now, &result), 0);
	return result;
}

/* Contents that nothing else shares. */
static void write_blob(struct desk *d, const char *name, uint64_t seed)
{
	static uint8_t data[BLOB_BYTES];
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)(x >> 32);
	}
	desk_write_bytes(d, name, data, sizeof(data));
}

static uint64_t take_blob(struct desk *d, uint64_t seed)
{
	write_blob(d, "blob", seed);
	return desk_take(d, d->source).snapshot.seq;
}

static struct forget_result forget(struct desk *d, uint64_t seq)
{
	struct forget_result result;

	assert_int_equal(timeline_forget(d->timeline, &seq, 1, &result), 0);
	return result;
}

static int stop_at_damage(void *context, const char *path, int error, uint64_t lost)
{
	(void)context;
	(void)path;
	(void)lost;
	return error;
}

struct reading {
	struct content_reader *content;
	uint64_t bytes;
};

static int read_entry(void *context, const char *path, const struct tree_entry *e, uint32_t depth)
{
	static uint8_t data[BLOB_BYTES];
	struct reading *reading = context;
	int64_t n;

	(void)path;
	(void)depth;
	if (!S_ISREG(e->mode))
		return 0;
	assert_int_equal(content_reader_set(reading->content, &e->content), 0);
	n = content_read(reading->content, 0, data, sizeof(data));
	if (n < 0)
		return (int)n;
	assert_int_equal(n, e->size);
	reading->bytes += (uint64_t)n;
	return 0;
}

/* Read a snapshot with all its contents. Bytes or -errno. */
static int64_t read_snapshot(struct desk *d, const struct snapshot_info *info)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	CLEANUP(content_reader_free_ptr) struct content_reader *content = NULL;
	const struct tree_entry root = { .mode = S_IFDIR | 0755, .tree = info->root_tree };
	struct reading reading = { 0 };
	int r;

	assert_int_equal(chunk_cache_new(d->fixture->store, MIB(8), 0, &cache), 0);
	assert_int_equal(content_reader_new(cache, &content), 0);
	reading.content = content;
	r = tree_walk(cache, &root, read_entry, stop_at_damage, &reading);
	return r < 0 ? r : (int64_t)reading.bytes;
}

static int64_t read_seq(struct desk *d, uint64_t seq)
{
	struct snapshot_info info;

	assert_int_equal(timeline_get(d->timeline, seq, &info), 0);
	return read_snapshot(d, &info);
}

static void test_forgotten_snapshots_give_their_space_back(void **state)
{
	struct desk *d = *state;
	uint64_t first = take_blob(d, 1), second = take_blob(d, 2), third = take_blob(d, 3);
	struct collect_result r;

	(void)forget(d, first);
	(void)forget(d, second);
	r = collect_now(d);
	assert_int_equal(r.records, 1);
	assert_true(r.bytes_before - r.bytes_after > 2 * BLOB_BYTES * 9 / 10);
	assert_true(r.bytes_after < 2 * BLOB_BYTES);
	assert_int_equal(read_seq(d, third), BLOB_BYTES);
	assert_int_equal(take_blob(d, 2) > third, 1);
	assert_string_equal(problems, "");
}

static void test_nothing_is_freed_while_all_is_needed(void **state)
{
	struct desk *d = *state;
	uint64_t first = take_blob(d, 1), second = take_blob(d, 2);
	struct collect_result r = collect_now(d);

	assert_int_equal(r.records, 2);
	assert_int_equal(r.packs_freed, 0);
	assert_int_equal(read_seq(d, first), BLOB_BYTES);
	assert_int_equal(read_seq(d, second), BLOB_BYTES);
}

static void test_a_dry_run_only_says_it(void **state)
{
	struct collect_options o = now;
	struct desk *d = *state;
	struct collect_result r;

	(void)take_blob(d, 1);
	(void)take_blob(d, 2);
	(void)forget(d, 1);
	o.dry_run = true;
	assert_int_equal(collect_with(d, &o, &r), 0);
	assert_int_equal(r.packs_freed, 1);
	assert_int_equal(r.packs_before, r.packs_after);
	r = collect_now(d);
	assert_int_equal(r.packs_freed, 1);
}

static void test_many_small_snapshots_end_in_few_packs(void **state)
{
	struct desk *d = *state;
	struct collect_result r;
	char text[32];

	for (int i = 0; i < 12; i++) {
		(void)snprintf(text, sizeof(text), "version %d", i);
		desk_write(d, "file", text);
		(void)desk_take(d, d->source);
	}
	r = collect_now(d);
	assert_int_equal(r.packs_before, 12);
	assert_int_equal(r.packs_after, 2); /* data and nodes */
	for (uint64_t seq = 1; seq <= 12; seq++)
		assert_true(read_seq(d, seq) > 0);
}

/* What a killed forget leaves: the forget record is there, and so is the file. */
static void append_forget(struct desk *d, uint64_t first, uint64_t last)
{
	struct record r = { .kind = RECORD_FORGET };
	int lock = timeline_lock(d->timeline);

	r.host_name = strdup("testhost");
	r.reason = strdup("test");
	r.forgotten = calloc(1, sizeof(*r.forgotten));
	assert_non_null(r.forgotten);
	r.forgotten[0] = (struct sequence_range){ first, last };
	r.n_forgotten = 1;
	assert_true(lock >= 0);
	assert_int_equal(timeline_append(d->timeline, &r, NULL), 0);
	io_close(d->fixture->io, lock);
	record_done(&r);
}

static bool record_is_there(struct desk *d, const struct snapshot_info *info)
{
	char path[RECORD_PATH_BYTES];
	struct io_stat st;

	return io_stat(d->fixture->io,
		       record_path(timeline_host(d->timeline), info->seq, &info->id, path),
		       &st) == 0;
}

static void test_what_somebody_holds_is_alive_though_forgotten(void **state)
{
	struct desk *d = *state;
	struct snapshot_info first;
	int hold;

	(void)take_blob(d, 1);
	(void)take_blob(d, 2);
	assert_int_equal(timeline_get(d->timeline, 1, &first), 0);
	hold = timeline_hold(d->timeline, 1);
	assert_true(hold >= 0);
	append_forget(d, 1, 1);
	assert_int_equal(collect_now(d).packs_freed, 0);
	assert_int_equal(read_snapshot(d, &first), BLOB_BYTES);
	assert_true(record_is_there(d, &first));
	io_close(d->fixture->io, hold);
	assert_int_equal(collect_now(d).packs_freed, 1);
	assert_true(read_snapshot(d, &first) < 0);
	assert_false(record_is_there(d, &first));
}

static void test_a_missing_record_stops_everything(void **state)
{
	struct collect_options o = now;
	struct desk *d = *state;
	struct snapshot_info first;
	struct collect_result r;
	char path[RECORD_PATH_BYTES];

	(void)take_blob(d, 1);
	(void)take_blob(d, 2);
	assert_int_equal(timeline_get(d->timeline, 1, &first), 0);
	assert_int_equal(io_unlink(d->fixture->io,
				   record_path(timeline_host(d->timeline), 1, &first.id, path),
				   IO_OBJECT_RECORD),
			 0);
	assert_int_equal(collect_with(d, &now, &r), -EUCLEAN);
	assert_int_equal(r.problems, 1);
	assert_non_null(strstr(problems, "1: the record is missing"));
	assert_int_equal(r.packs_freed, 0);
	assert_int_equal(read_snapshot(d, &first), BLOB_BYTES);
	o.accept_missing = true;
	assert_int_equal(collect_with(d, &o, &r), 0);
	assert_int_equal(r.packs_freed, 1);
}

static void damage_file(const char *folder, const char *path)
{
	char full[512];
	uint8_t byte = 0;
	int fd;

	(void)snprintf(full, sizeof(full), "%s/%s", folder, path);
	fd = open(full, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 300), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 300), 1);
	(void)close(fd);
}

static void test_a_damaged_record_stops_everything(void **state)
{
	struct desk *d = *state;
	struct snapshot_info first;
	struct collect_result r;
	char path[RECORD_PATH_BYTES];

	(void)take_blob(d, 1);
	(void)take_blob(d, 2);
	(void)take_blob(d, 3);
	assert_int_equal(timeline_get(d->timeline, 1, &first), 0);
	(void)forget(d, 2);
	damage_file(d->fixture->folder,
		    record_path(timeline_host(d->timeline), 1, &first.id, path));
	assert_int_equal(collect_with(d, &now, &r), -EUCLEAN);
	assert_non_null(strstr(problems, "1: the record cannot be read"));
	assert_int_equal(r.packs_freed, 0);
}

static void test_an_unreadable_folder_stops_everything(void **state)
{
	struct desk *d = *state;
	struct chunk_index *x = store_index(d->fixture->store);
	char path[PACK_PATH_BYTES];
	struct snapshot_info third;
	struct collect_result r;
	struct chunk_place place;
	struct pack_info info;

	(void)take_blob(d, 1);
	(void)take_blob(d, 2);
	(void)take_blob(d, 3);
	(void)forget(d, 1);
	assert_int_equal(timeline_get(d->timeline, 3, &third), 0);
	assert_int_equal(chunk_index_get(x, &third.root_tree, &place), 0);
	assert_int_equal(chunk_index_pack(x, place.pack, &info), 0);
	assert_int_equal(
		io_unlink(d->fixture->io, pack_path(&info.host, &info.id, path), IO_OBJECT_PACK),
		0);
	store_upkeep(d->fixture->store);
	/* The store still has the file open: another one has not. */
	timeline_close(d->timeline);
	store_close(d->fixture->store);
	assert_int_equal(
		store_open(d->fixture->io, d->fixture->ring, STORE_READ_WRITE, &d->fixture->store),
		0);
	assert_int_equal(
		timeline_open(d->fixture->store, store_host(d->fixture->store), &d->timeline), 0);
	assert_int_equal(collect_with(d, &now, &r), -EUCLEAN);
	assert_non_null(strstr(problems, "a part of a folder cannot be read"));
	assert_int_equal(r.packs_freed, 0);
}

static void test_the_reserve_is_made_and_kept(void **state)
{
	struct collect_options o = now;
	struct desk *d = *state;
	struct collect_result r;
	struct io_stat st;

	o.reserve_bytes = 100000;
	(void)take_blob(d, 1);
	assert_int_equal(collect_with(d, &o, &r), 0);
	assert_int_equal(io_stat(d->fixture->io, "local/reserve", &st), 0);
	assert_int_equal(st.size, 100000);
	assert_int_equal(reserve_release(d->fixture->io), 1);
	assert_int_equal(reserve_release(d->fixture->io), 0);
}

/* ---- beside captures ---- */

/* A capture at the k-th moment at which a collection can be interrupted. */
struct interruption {
	struct desk *d;
	int calls, at;
	uint64_t seq;
};

static bool capture_then(void *context)
{
	struct interruption *i = context;

	if (++i->calls == i->at)
		i->seq = take_blob(i->d, 1);
	return false;
}

/* Two snapshots, the first forgotten, and a collection that is interrupted at a moment. */
static void collect_interrupted(struct desk *d, struct interruption *i, int at)
{
	struct collect_options o = now;
	struct collect_result r;
	uint64_t old = take_blob(d, 1), last;

	*i = (struct interruption){ .d = d, .at = at };
	o.paused = capture_then;
	o.context = i;
	(void)take_blob(d, 2);
	(void)forget(d, old);
	assert_int_equal(collect_with(d, &o, &r), 0);
	assert_string_equal(problems, "");
	if (i->seq > 0)
		assert_int_equal(read_seq(d, i->seq), BLOB_BYTES);
	/* So that each collection has the same moments. */
	last = take_blob(d, 3);
	for (uint64_t seq = old; seq < last; seq++)
		(void)forget(d, seq);
}

/* What the collection had found dead is needed again by the time of the verdict. */
static void test_a_snapshot_at_any_moment_of_a_collection_is_whole(void **state)
{
	struct desk *d = *state;
	struct interruption i;
	int n = 0;

	for (int at = 1; at <= MOMENTS_MAX; at++) {
		collect_interrupted(d, &i, at);
		n += i.seq > 0;
	}
	assert_true(n > 3);
}

static void note_marked(void *context, enum collect_phase phase, uint64_t done, uint64_t all)
{
	struct interruption *i = context;

	if (phase == COLLECT_MARKING && done == all)
		i->at = i->calls + 1;
}

/* The first moment after all was marked. */
static void test_what_is_needed_again_after_the_marking_stays(void **state)
{
	struct collect_options o = now;
	struct desk *d = *state;
	struct interruption i = { .d = d, .at = -1 };
	struct collect_result r;

	(void)take_blob(d, 1);
	(void)take_blob(d, 2);
	(void)forget(d, 1);
	o.paused = capture_then;
	o.progress = note_marked;
	o.context = &i;
	assert_int_equal(collect_with(d, &o, &r), 0);
	assert_true(i.seq > 0);
	assert_int_equal(r.packs_freed, 0);
	assert_int_equal(read_seq(d, i.seq), BLOB_BYTES);
}

/* Called when a capture has read all there is and nothing is committed yet. */
static int collect_then(void *context, const struct capture_source *source)
{
	struct desk *d = context;

	(void)source;
	(void)forget(d, 1);
	(void)collect_now(d);
	return 0;
}

/* It found its contents in a pack that goes before it commits. */
static void test_a_capture_that_relies_on_what_goes_does_not_commit_it(void **state)
{
	struct desk *d = *state;
	char folder[PATH_MAX], stream[PATH_MAX];
	struct capture_source sources[] = {
		{ .path = desk_path(d, "", folder) },
		{ .path = desk_path(d, "zz", stream), .is_stream = true },
	};
	struct capture_options o = { .sources = sources,
				     .n_sources = 2,
				     .reason = "test",
				     .stream_ended = collect_then,
				     .context = d };
	struct capture_result result;
	int r;

	assert_int_equal(take_blob(d, 1), 1);
	(void)take_blob(d, 2);
	write_blob(d, "blob", 1);
	sources[1].stream_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(sources[1].stream_fd >= 0);
	r = capture_run(d->timeline, &o, &result);
	(void)close(sources[1].stream_fd);
	if (r == 0)
		assert_int_equal(read_seq(d, result.snapshot.seq), BLOB_BYTES);
	else
		assert_int_equal(r, -ESTALE);
	/* The next one does. */
	assert_int_equal(read_seq(d, take_blob(d, 1)), BLOB_BYTES);
}

struct capturer {
	struct desk *d;
	struct timeline *timeline;
	int rounds;
	int failure;
};

/* Another process, as far as locks go: a timeline of its own. */
static void *capture_often(void *context)
{
	struct capturer *c = context;
	struct capture_source source = { .path = c->d->source };
	struct capture_options o = { .sources = &source, .n_sources = 1, .reason = "test" };
	struct capture_result result;

	for (int i = 0; i < c->rounds && !c->failure; i++) {
		/* The same few contents again and again: what was forgotten comes back. */
		write_blob(c->d, i % 2 ? "blob" : "other", (uint64_t)(i % 3));
		c->failure = capture_run(c->timeline, &o, &result);
	}
	return NULL;
}

static void test_captures_beside_it_stay_whole(void **state)
{
	struct desk *d = *state;
	struct capturer c = { .d = d, .rounds = 24 };
	struct collect_options o = now;
	struct snapshot_info info;
	struct collect_result r;
	uint64_t n, seq;
	pthread_t thread;

	o.patience_ms = 200;
	(void)take_blob(d, 100);
	assert_int_equal(timeline_open(d->fixture->store, timeline_host(d->timeline), &c.timeline),
			 0);
	assert_int_equal(pthread_create(&thread, NULL, capture_often, &c), 0);
	for (int i = 0; i < 40; i++) {
		assert_true(timeline_refresh(d->timeline) >= 0);
		assert_int_equal(timeline_count(d->timeline, &n), 0);
		if (n > 2 && timeline_at(d->timeline, n / 2, &seq, NULL, NULL) == 0)
			(void)forget(d, seq);
		assert_int_equal(collect_with(d, &o, &r), 0);
		assert_string_equal(problems, "");
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(c.failure, 0);
	assert_true(timeline_refresh(d->timeline) >= 0);
	assert_int_equal(timeline_count(d->timeline, &n), 0);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(timeline_at(d->timeline, i, &seq, NULL, NULL), 0);
		assert_int_equal(timeline_get(d->timeline, seq, &info), 0);
		assert_true(read_snapshot(d, &info) > 0);
	}
	timeline_close(c.timeline);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_forgotten_snapshots_give_their_space_back),
		TEST(test_nothing_is_freed_while_all_is_needed),
		TEST(test_a_dry_run_only_says_it),
		TEST(test_many_small_snapshots_end_in_few_packs),
		TEST(test_what_somebody_holds_is_alive_though_forgotten),
		TEST(test_a_missing_record_stops_everything),
		TEST(test_a_damaged_record_stops_everything),
		TEST(test_an_unreadable_folder_stops_everything),
		TEST(test_the_reserve_is_made_and_kept),
		TEST(test_a_snapshot_at_any_moment_of_a_collection_is_whole),
		TEST(test_what_is_needed_again_after_the_marking_stays),
		TEST(test_a_capture_that_relies_on_what_goes_does_not_commit_it),
		TEST(test_captures_beside_it_stay_whole),
	};

	return cmocka_run_group_tests_name("collect", tests, NULL, NULL);
}
