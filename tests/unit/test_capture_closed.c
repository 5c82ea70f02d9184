/* SPDX-License-Identifier: MIT */
/* Stores through a memory map that move no time stamp. */
#include "tests/unit/capture_fixture.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define LATER_NS 60000000000ll
#define LARGE_BYTES KIB(400)

/* Capture with these dirty names (NULL: everything). */
static int take(struct desk *d, struct dirty_set *dirty, const char *excludes,
		struct capture_result *ret)
{
	struct capture_source source = { .path = d->source, .excludes = excludes, .dirty = dirty };
	struct capture_options o = { .sources = &source,
				     .n_sources = 1,
				     .skip_unchanged = true,
				     .reason = "test",
				     .problem = desk_note,
				     .context = d };

	if (dirty)
		assert_int_equal(dirty_set_freeze(dirty), 0);
	return capture_run(d->timeline, &o, ret);
}

/*
 * A first snapshot that says that it looked a minute from now, so that what was
 * written just before is old enough to be trusted: no test waits for that.
 */
static void take_later(struct desk *d)
{
	struct capture_source source = { .path = d->source,
					 .excludes = "",
					 .read_path = d->source };
	struct capture_result r;

	source.read_ns = clock_now_ns() + LATER_NS;
	/* Another pointer than the canonical path, and the same folder. */
	assert_int_equal(desk_run(d, d->timeline, &source, 1, &r), 0);
	assert_int_equal(r.errors, 0);
}

/* A file that is mapped and was stored to once. */
struct map {
	char path[PATH_MAX];
	char *bytes;
	size_t n;
	struct stat st; /* after that */
};

static void map_file(struct desk *d, const char *name, size_t n, struct map *m)
{
	int fd = open(desk_path(d, name, m->path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	m->n = n;
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	m->bytes = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(m->bytes, MAP_FAILED);
	(void)close(fd);
	memset(m->bytes, 'x', n);
	m->bytes[n - 1] = '\n';
	memcpy(m->bytes, "first ", 6);
	assert_int_equal(stat(m->path, &m->st), 0);
}

/* Store again and let go. False: that moved a time stamp, here there is nothing to miss. */
static bool store_again(struct map *m)
{
	struct stat st;

	memcpy(m->bytes, "second", 6);
	assert_int_equal(munmap(m->bytes, m->n), 0);
	assert_int_equal(stat(m->path, &st), 0);
	return memcmp(&st.st_mtim, &m->st.st_mtim, sizeof(st.st_mtim)) == 0 &&
	       memcmp(&st.st_ctim, &m->st.st_ctim, sizeof(st.st_ctim)) == 0;
}

static void closed(struct dirty_set **dirty, const char *name)
{
	if (!*dirty)
		assert_int_equal(dirty_set_new(100, dirty), 0);
	assert_int_equal(dirty_set_add(*dirty, name, DIRTY_SELF | DIRTY_CLOSED), 0);
}

static void expect_second(struct desk *d, const char *name)
{
	const char *text = desk_has(d, name);

	assert_non_null(text);
	assert_memory_equal(text, "second", 6);
}

static void check_one(struct desk *d, size_t n)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	struct capture_result r;
	struct map m;

	desk_folder(d, "folder");
	desk_write(d, "folder/other", "other");
	map_file(d, "folder/file", n, &m);
	take_later(d);
	if (!store_again(&m))
		skip();
	closed(&dirty, "folder/file");
	assert_int_equal(take(d, dirty, "", &r), 0);
	assert_true(r.partial);
	assert_int_equal(r.files_read, 1);
	expect_second(d, "folder/file");
}

static void test_a_small_file_stored_to_without_a_trace_is_captured(void **state)
{
	check_one(*state, 100);
}

static void test_a_large_file_stored_to_without_a_trace_is_captured(void **state)
{
	check_one(*state, LARGE_BYTES);
}

static void test_a_file_closed_without_a_change_makes_no_snapshot(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	static char large[LARGE_BYTES];
	struct desk *d = *state;
	struct capture_result r;

	memset(large, 'l', sizeof(large));
	desk_write(d, "small", "small");
	desk_write(d, "empty", "");
	desk_write_bytes(d, "large", large, sizeof(large));
	take_later(d);
	closed(&dirty, "small");
	closed(&dirty, "empty");
	closed(&dirty, "large");
	assert_int_equal(take(d, dirty, "", &r), -EALREADY);
	assert_true(r.partial);
	assert_int_equal(r.files_read, 3);
	assert_int_equal(desk_count(d), 1);
}

static void test_a_name_that_was_not_closed_is_not_read(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	struct desk *d = *state;
	struct capture_result r;

	desk_write(d, "small", "small");
	take_later(d);
	assert_int_equal(dirty_set_new(100, &dirty), 0);
	assert_int_equal(dirty_set_add(dirty, "small", DIRTY_SELF), 0);
	assert_int_equal(take(d, dirty, "", &r), -EALREADY);
	assert_int_equal(r.files_read, 0);
}

static void test_closed_names_are_read_when_everything_is_looked_at(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	struct desk *d = *state;
	struct capture_result r;
	struct map m;

	desk_folder(d, "folder");
	map_file(d, "folder/file", 100, &m);
	take_later(d);
	if (!store_again(&m))
		skip();
	closed(&dirty, "folder/file");
	assert_int_equal(take(d, dirty, "*.other\n", &r), 0); /* other excludes: all of it */
	assert_false(r.partial);
	assert_int_equal(r.files_read, 1);
	expect_second(d, "folder/file");
}

static void test_all_names_of_a_file_show_what_was_stored_by_one(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	struct desk *d = *state;
	char to[PATH_MAX];
	struct capture_result r;
	struct map m;

	desk_folder(d, "a");
	desk_folder(d, "b");
	desk_folder(d, "c");
	map_file(d, "b/file", 100, &m);
	assert_int_equal(link(m.path, desk_path(d, "a/link", to)), 0);
	assert_int_equal(link(m.path, desk_path(d, "c/link", to)), 0);
	assert_int_equal(stat(m.path, &m.st), 0);
	take_later(d);
	if (!store_again(&m))
		skip();
	closed(&dirty, "b/file");
	assert_int_equal(take(d, dirty, "", &r), 0);
	assert_false(r.partial);
	expect_second(d, "a/link");
	expect_second(d, "b/file");
	expect_second(d, "c/link");
}

static void test_a_linked_file_closed_without_a_change_costs_one_read(void **state)
{
	CLEANUP(dirty_set_free_ptr) struct dirty_set *dirty = NULL;
	struct desk *d = *state;
	char from[PATH_MAX], to[PATH_MAX];
	struct capture_result r;

	desk_write(d, "file", "linked");
	assert_int_equal(link(desk_path(d, "file", from), desk_path(d, "link", to)), 0);
	take_later(d);
	closed(&dirty, "file");
	assert_int_equal(take(d, dirty, "", &r), -EALREADY);
	assert_true(r.partial);
	assert_int_equal(r.files_read, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_small_file_stored_to_without_a_trace_is_captured),
		TEST(test_a_large_file_stored_to_without_a_trace_is_captured),
		TEST(test_a_file_closed_without_a_change_makes_no_snapshot),
		TEST(test_a_name_that_was_not_closed_is_not_read),
		TEST(test_closed_names_are_read_when_everything_is_looked_at),
		TEST(test_all_names_of_a_file_show_what_was_stored_by_one),
		TEST(test_a_linked_file_closed_without_a_change_costs_one_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
