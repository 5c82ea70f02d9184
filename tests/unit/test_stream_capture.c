/* SPDX-License-Identifier: MIT */
#include "snapshots/stream_capture.h"
#include "tests/unit/capture_fixture.h"

#include <poll.h>
#include <pthread.h>

/* A pipe with some text in it, at its end. */
static int stream_of(const char *text)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	(void)close(ends[1]);
	return ends[0];
}

struct ending {
	struct desk *desk;
	int answer, asked;
	bool moves; /* the index's generation, as another process may */
};

static int visit_newest(void *context, uint32_t number, const struct pack_info *info)
{
	(void)number; /* ascends */
	*(struct pack_id *)context = info->id;
	return 0;
}

static int ended(void *context, const struct capture_source *source)
{
	struct ending *e = context;
	struct chunk_index *index = store_index(e->desk->fixture->store);
	struct pack_id id = { 0 };

	assert_true(source->is_stream);
	e->asked++;
	if (e->moves) {
		assert_int_equal(chunk_index_each_pack(index, visit_newest, &id), 0);
		assert_int_equal(chunk_index_condemn(index, &id, true), 0);
		assert_int_equal(chunk_index_condemn(index, &id, false), 0);
	}
	return e->answer;
}

static int take_stream(struct desk *d, const char *path, const char *text, struct ending *ending)
{
	CLEANUP(close_fd_ptr) int fd = stream_of(text);
	struct capture_source source = { .path = path, .is_stream = true, .stream_fd = fd };
	struct capture_options o = { .sources = &source,
				     .n_sources = 1,
				     .reason = "test",
				     .stream_ended = ended,
				     .context = ending };
	struct capture_result result;

	ending->desk = d;
	return capture_run(d->timeline, &o, &result);
}

static void test_names_of_streams_are_canonical_paths(void **state)
{
	(void)state;
	assert_true(stream_path_valid("/dump.sql"));
	assert_true(stream_path_valid("/a/b c/d"));
	assert_false(stream_path_valid("dump.sql"));
	assert_false(stream_path_valid("/"));
	assert_false(stream_path_valid(""));
	assert_false(stream_path_valid("/a/"));
	assert_false(stream_path_valid("/a//b"));
	assert_false(stream_path_valid("/a/../b"));
	assert_false(stream_path_valid("/."));
}

static void test_a_stream_is_carried_along_until_its_next_version(void **state)
{
	struct ending good = { 0 };
	struct desk *d = *state;

	desk_write(d, "a", "one");
	(void)desk_take(d, d->source);
	assert_int_equal(take_stream(d, "/yore-test/dump", "first", &good), 0);
	assert_string_equal(desk_reads(d, "/yore-test/dump"), "first");
	assert_int_equal(desk_take(d, NULL).n_absent, 0);
	assert_string_equal(desk_reads(d, "/yore-test/dump"), "first");
	assert_int_equal(take_stream(d, "/yore-test/dump", "second", &good), 0);
	assert_string_equal(desk_reads(d, "/yore-test/dump"), "second");
	assert_string_equal(desk_has(d, "a"), "one");
	assert_int_equal(good.asked, 2);
}

static void test_a_stream_inside_a_captured_folder_stays(void **state)
{
	struct ending good = { 0 };
	char path[PATH_MAX];
	struct desk *d = *state;

	desk_folder(d, "folder");
	desk_write(d, "folder/a", "one");
	(void)desk_take(d, d->source);
	assert_int_equal(take_stream(d, desk_path(d, "folder/dump", path), "text", &good), 0);
	desk_write(d, "folder/a", "two");
	(void)desk_take(d, d->source);
	assert_string_equal(desk_has(d, "folder/dump"), "text");
	assert_string_equal(desk_has(d, "folder/a"), "two");
}

static void test_a_stream_that_ended_badly_is_not_committed(void **state)
{
	struct ending bad = { .answer = -EIO };
	struct desk *d = *state;

	assert_int_equal(take_stream(d, "/dump", "half of it", &bad), -EIO);
	assert_int_equal(bad.asked, 1);
	assert_int_equal(desk_count(d), 0);
}

static void test_a_second_attempt_does_not_read_the_stream_again(void **state)
{
	struct ending moved = { .moves = true };
	struct desk *d = *state;

	desk_write(d, "a", "one");
	(void)desk_take(d, d->source);
	assert_int_equal(take_stream(d, "/dump", "only once", &moved), 0);
	assert_int_equal(moved.asked, 1);
	assert_string_equal(desk_reads(d, "/dump"), "only once");
}

struct packs {
	struct pack_id ids[16];
	size_t n;
};

static int visit_pack(void *context, uint32_t number, const struct pack_info *info)
{
	struct packs *p = context;

	(void)number;
	assert_true(p->n < 16);
	p->ids[p->n++] = info->id;
	return 0;
}

static void test_lost_folders_do_not_end_protection_where_there_is_a_stream(void **state)
{
	struct ending good = { 0 };
	struct packs packs = { 0 };
	struct desk *d = *state;
	struct chunk_index *index = store_index(d->fixture->store);

	desk_write(d, "a", "one");
	(void)desk_take(d, d->source);
	assert_int_equal(take_stream(d, "/yore-test/dump", "text", &good), 0);
	assert_int_equal(chunk_index_each_pack(index, visit_pack, &packs), 0);
	for (size_t i = 0; i < packs.n; i++)
		assert_int_equal(chunk_index_drop_pack(index, &packs.ids[i]), 0);
	assert_int_equal(desk_take(d, NULL).snapshot.n_sources, 1);
	assert_string_equal(desk_has(d, "a"), "one");
	assert_null(desk_reads(d, "/yore-test/dump"));
	assert_int_equal(take_stream(d, "/yore-test/dump", "again", &good), 0);
	assert_string_equal(desk_reads(d, "/yore-test/dump"), "again");
}

static void test_a_stream_takes_nobody_s_place(void **state)
{
	struct ending good = { 0 };
	char path[PATH_MAX];
	struct desk *d = *state;
	struct capture_source plain = { .path = "/yore-test/dump" };
	struct capture_result result;

	desk_write(d, "a", "one");
	(void)desk_take(d, d->source);
	assert_int_equal(take_stream(d, d->source, "x", &good), -EINVAL);
	assert_int_equal(take_stream(d, desk_path(d, "a", path), "x", &good), -EINVAL);
	assert_int_equal(take_stream(d, "/tmp", "x", &good), -EINVAL);
	assert_int_equal(take_stream(d, "/yore-test/dump", "x", &good), 0);
	assert_int_equal(take_stream(d, "/yore-test/dump/more", "x", &good), -EINVAL);
	assert_int_equal(take_stream(d, "/yore-test", "x", &good), -EINVAL);
	assert_int_equal(desk_run(d, d->timeline, &plain, 1, &result), -EINVAL);
	plain.accept = true; /* that it is no more */
	assert_int_equal(desk_run(d, d->timeline, &plain, 1, &result), 0);
	assert_null(desk_reads(d, "/yore-test/dump"));
	assert_string_equal(desk_has(d, "a"), "one");
}

/* Writes into a pipe, a little at a time. */
static void *dribble(void *to)
{
	for (int i = 0; i < 20; i++) {
		assert_int_equal(write(*(int *)to, "0123456789", 10), 10);
		(void)poll(NULL, 0, 2);
	}
	(void)close(*(int *)to);
	return NULL;
}

static void test_a_slow_stream_is_waited_for_even_when_it_does_not_block(void **state)
{
	struct desk *d = *state;
	pthread_t writer;
	int ends[2];
	struct capture_source source = { .path = "/dump", .is_stream = true };
	struct capture_result result;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	source.stream_fd = ends[0];
	assert_int_equal(pthread_create(&writer, NULL, dribble, &ends[1]), 0);
	assert_int_equal(desk_run(d, d->timeline, &source, 1, &result), 0);
	(void)pthread_join(writer, NULL);
	(void)close(ends[0]);
	assert_int_equal(result.bytes, 200);
	assert_int_equal(strlen(desk_reads(d, "/dump")), 200);
}

static void test_a_cancelled_stream_ends_though_nothing_comes(void **state)
{
	struct desk *d = *state;
	volatile bool cancel = true;
	int ends[2];
	struct capture_source source = { .path = "/dump", .is_stream = true };
	struct capture_options o = {
		.sources = &source, .n_sources = 1, .reason = "test", .cancel = &cancel
	};
	struct capture_result result;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	source.stream_fd = ends[0];
	assert_int_equal(capture_run(d->timeline, &o, &result), -ECANCELED);
	assert_int_equal(desk_count(d), 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_streams_are_canonical_paths),
		CASE(test_a_stream_is_carried_along_until_its_next_version),
		CASE(test_a_stream_inside_a_captured_folder_stays),
		CASE(test_a_stream_that_ended_badly_is_not_committed),
		CASE(test_a_second_attempt_does_not_read_the_stream_again),
		CASE(test_lost_folders_do_not_end_protection_where_there_is_a_stream),
		CASE(test_a_stream_takes_nobody_s_place),
		CASE(test_a_slow_stream_is_waited_for_even_when_it_does_not_block),
		CASE(test_a_cancelled_stream_ends_though_nothing_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
