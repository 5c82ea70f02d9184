/* SPDX-License-Identifier: MIT */
#include "tests/unit/capture_fixture.h"

#define RACY_US 2100000

static void test_a_first_snapshot_holds_what_is_there(void **state)
{
	struct desk *d = *state;
	struct capture_result r;

	desk_write(d, "a", "first");
	desk_folder(d, "folder");
	desk_write(d, "folder/b", "second");
	desk_write(d, "folder/empty", "");
	r = desk_take(d, d->source);
	assert_int_equal(r.files, 3);
	assert_int_equal(r.directories, 2);
	assert_int_equal(r.files_read, 3);
	assert_int_equal(r.bytes_read, 11);
	assert_int_equal(r.errors, 0);
	assert_int_equal(r.snapshot.seq, 1);
	assert_string_equal(desk_has(d, "a"), "first");
	assert_string_equal(desk_has(d, "folder/b"), "second");
	assert_string_equal(desk_has(d, "folder/empty"), "");
	assert_null(desk_has(d, "folder/c"));
}

static void test_an_unchanged_tree_is_not_read(void **state)
{
	struct desk *d = *state;
	struct capture_result r;
	char name[32];

	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		desk_write(d, name, name);
	}
	(void)usleep(RACY_US);
	(void)desk_take(d, d->source);
	r = desk_take(d, NULL);
	assert_int_equal(r.files, 300);
	assert_int_equal(r.files_read, 0);
	assert_int_equal(r.bytes_read, 0);
	assert_int_equal(r.snapshot.new_stored_bytes, 0);
	desk_write(d, "f7", "other");
	r = desk_take(d, NULL);
	assert_int_equal(r.files_read, 1);
	assert_string_equal(desk_has(d, "f7"), "other");
	assert_string_equal(desk_has(d, "f8"), "f8");
}

static void test_a_racily_clean_file_is_read_again(void **state)
{
	struct desk *d = *state;
	struct timespec times[2];
	struct stat st;
	char path[PATH_MAX];

	desk_write(d, "f", "old");
	(void)desk_take(d, d->source);
	assert_int_equal(stat(desk_path(d, "f", path), &st), 0);
	desk_write(d, "f", "new");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "f"), "new");
}

static void test_a_dry_run_writes_nothing(void **state)
{
	struct desk *d = *state;
	struct capture_source source = { .path = d->source };
	struct capture_options o = { .sources = &source, .n_sources = 1, .dry_run = true };
	struct capture_result r;

	desk_write(d, "f", "text");
	assert_int_equal(capture_run(d->timeline, &o, &r), 0);
	assert_int_equal(r.files_read, 1);
	assert_int_equal(r.bytes_read, 4);
	assert_int_equal(desk_count(d), 0);
}

static void test_nothing_to_protect_is_said(void **state)
{
	struct desk *d = *state;
	struct capture_source never = { .path = "/no/such/path" };
	struct capture_result r;

	assert_int_equal(desk_run(d, d->timeline, NULL, 0, &r), -ENOENT);
	assert_int_equal(desk_run(d, d->timeline, &never, 1, &r), -ENOENT);
	assert_int_equal(desk_count(d), 0);
}

static void test_a_cancelled_run_commits_nothing(void **state)
{
	struct desk *d = *state;
	volatile bool cancel = true;
	struct capture_source source = { .path = d->source };
	struct capture_options o = { .sources = &source, .n_sources = 1, .cancel = &cancel };
	struct capture_result r;

	desk_write(d, "f", "text");
	assert_int_equal(capture_run(d->timeline, &o, &r), -ECANCELED);
	assert_int_equal(desk_count(d), 0);
	cancel = false;
	assert_int_equal(capture_run(d->timeline, &o, &r), 0);
	assert_string_equal(desk_has(d, "f"), "text");
}

static void test_excludes_are_honoured_remembered_and_dropped(void **state)
{
	struct desk *d = *state;
	struct capture_source source = { .path = d->source, .excludes = "*.o\n/build/\n" };
	struct capture_result r;

	desk_write(d, "a.c", "c");
	desk_write(d, "a.o", "o");
	desk_folder(d, "build");
	desk_write(d, "build/x", "x");
	assert_int_equal(desk_run(d, d->timeline, &source, 1, &r), 0);
	assert_string_equal(desk_has(d, "a.c"), "c");
	assert_null(desk_has(d, "a.o"));
	assert_null(desk_has(d, "build/x"));
	(void)desk_take(d, NULL);
	assert_null(desk_has(d, "a.o"));
	source.excludes = "";
	assert_int_equal(desk_run(d, d->timeline, &source, 1, &r), 0);
	assert_string_equal(desk_has(d, "a.o"), "o");
	assert_string_equal(desk_has(d, "build/x"), "x");
}

static void test_a_source_may_be_one_file(void **state)
{
	struct desk *d = *state;
	char path[PATH_MAX];

	desk_write(d, "one", "alone");
	desk_write(d, "other", "not asked for");
	(void)desk_take(d, desk_path(d, "one", path));
	assert_string_equal(desk_has(d, "one"), "alone");
	assert_null(desk_has(d, "other"));
}

static void test_links_to_a_file_share_its_contents(void **state)
{
	struct desk *d = *state;
	struct capture_result r;
	char a[PATH_MAX], b[PATH_MAX];

	desk_folder(d, "x");
	desk_folder(d, "y");
	desk_write(d, "x/a", "shared");
	assert_int_equal(link(desk_path(d, "x/a", a), desk_path(d, "y/b", b)), 0);
	r = desk_take(d, d->source);
	assert_int_equal(r.files, 2);
	assert_int_equal(r.files_read, 1);
	assert_string_equal(desk_has(d, "x/a"), "shared");
	assert_string_equal(desk_has(d, "y/b"), "shared");
}

static void test_the_same_small_files_are_stored_once(void **state)
{
	static uint8_t data[50000];
	struct desk *d = *state;
	struct capture_result r;
	uint64_t x = 1;
	char name[32];

	for (size_t i = 0; i < sizeof(data); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		data[i] = (uint8_t)(x >> 56);
	}
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		desk_write_bytes(d, name, data, sizeof(data));
	}
	r = desk_take(d, d->source);
	assert_int_equal(r.files_read, 20);
	assert_true(r.snapshot.new_stored_bytes < 2 * sizeof(data));
	/* And one more in the next snapshot. */
	desk_write_bytes(d, "g", data, sizeof(data));
	r = desk_take(d, NULL);
	assert_true(r.snapshot.new_stored_bytes < 20000);
}

static void test_what_is_deleted_is_gone_from_the_next(void **state)
{
	struct desk *d = *state;
	char path[PATH_MAX];

	desk_write(d, "stays", "1");
	desk_write(d, "goes", "2");
	desk_folder(d, "folder");
	desk_write(d, "folder/goes", "3");
	(void)desk_take(d, d->source);
	assert_int_equal(unlink(desk_path(d, "goes", path)), 0);
	assert_int_equal(unlink(desk_path(d, "folder/goes", path)), 0);
	assert_int_equal(rmdir(desk_path(d, "folder", path)), 0);
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "stays"), "1");
	assert_null(desk_has(d, "goes"));
	assert_null(desk_has(d, "folder/goes"));
}

static void test_kinds_may_change_under_a_name(void **state)
{
	struct desk *d = *state;
	char path[PATH_MAX];

	desk_write(d, "a", "file");
	desk_folder(d, "b");
	desk_write(d, "b/inside", "x");
	(void)desk_take(d, d->source);
	assert_int_equal(unlink(desk_path(d, "a", path)), 0);
	desk_folder(d, "a");
	desk_write(d, "a/inside", "y");
	assert_int_equal(unlink(desk_path(d, "b/inside", path)), 0);
	assert_int_equal(rmdir(desk_path(d, "b", path)), 0);
	desk_write(d, "b", "now a file");
	(void)desk_take(d, NULL);
	assert_string_equal(desk_has(d, "a/inside"), "y");
	assert_string_equal(desk_has(d, "b"), "now a file");
}

static void test_another_repository_is_not_entered(void **state)
{
	struct desk *d = *state;

	/* A copy of one: nothing of this run, but its config tells. */
	desk_folder(d, "old-backups");
	desk_write(d, "old-backups/config", "yore repository\n and more");
	desk_folder(d, "old-backups/packs");
	desk_folder(d, "old-backups/records");
	desk_write(d, "old-backups/packs/pack", "sealed");
	desk_folder(d, "similar");
	desk_write(d, "similar/config", "something else entirely");
	desk_folder(d, "similar/packs");
	desk_folder(d, "similar/records");
	(void)desk_take(d, d->source);
	assert_null(desk_has(d, "old-backups/config"));
	assert_null(desk_has(d, "old-backups/packs/pack"));
	assert_string_equal(desk_has(d, "similar/config"), "something else entirely");
}

static void test_this_repository_is_no_source(void **state)
{
	struct desk *d = *state;
	struct capture_source source = { .path = d->fixture->folder };
	struct capture_result r;

	assert_int_equal(desk_run(d, d->timeline, &source, 1, &r), -ENOENT);
	assert_int_equal(desk_count(d), 0);
}

static void test_a_large_folder_is_taken_whole(void **state)
{
	struct desk *d = *state;
	struct capture_result r;
	char name[32];

	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "entry-%d", i);
		desk_write(d, name, i % 100 ? "" : name);
	}
	r = desk_take(d, d->source);
	assert_int_equal(r.files, 10000);
	assert_string_equal(desk_has(d, "entry-9900"), "entry-9900");
	assert_string_equal(desk_has(d, "entry-4711"), "");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_a_first_snapshot_holds_what_is_there),
		CASE(test_an_unchanged_tree_is_not_read),
		CASE(test_a_racily_clean_file_is_read_again),
		CASE(test_a_dry_run_writes_nothing),
		CASE(test_nothing_to_protect_is_said),
		CASE(test_a_cancelled_run_commits_nothing),
		CASE(test_excludes_are_honoured_remembered_and_dropped),
		CASE(test_a_source_may_be_one_file),
		CASE(test_links_to_a_file_share_its_contents),
		CASE(test_the_same_small_files_are_stored_once),
		CASE(test_what_is_deleted_is_gone_from_the_next),
		CASE(test_kinds_may_change_under_a_name),
		CASE(test_another_repository_is_not_entered),
		CASE(test_this_repository_is_no_source),
		CASE(test_a_large_folder_is_taken_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
