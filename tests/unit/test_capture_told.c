/* SPDX-License-Identifier: MIT */
/* What a capture tells of each source: files added, changed, removed, bytes. */
#include "tests/unit/capture_fixture.h"

#include <sys/stat.h>

#define SOURCES 3
#define BULK_BYTES KIB(300)

/* Sources "a", "b", "c" of the desk, and what was told of each. */
struct room {
	struct desk *desk;
	struct capture_source sources[SOURCES];
	char paths[SOURCES][PATH_MAX];
	struct dirty_set *dirty[SOURCES];
	struct capture_source_result told[SOURCES];
	size_t n_told;
};

static int room_setup(void **state)
{
	struct room *room = calloc(1, sizeof(*room));
	void *desk;

	assert_non_null(room);
	assert_int_equal(desk_setup(&desk), 0);
	room->desk = desk;
	for (int i = 0; i < SOURCES; i++) {
		const char name[] = { (char)('a' + i), '\0' };

		desk_folder(room->desk, name);
		(void)desk_path(room->desk, name, room->paths[i]);
		room->sources[i] =
			(struct capture_source){ .path = room->paths[i], .excludes = "" };
	}
	*state = room;
	return 0;
}

static int room_teardown(void **state)
{
	struct room *room = *state;
	void *desk = room->desk;

	for (int i = 0; i < SOURCES; i++)
		dirty_set_free(room->dirty[i]);
	free(room);
	return desk_teardown(&desk);
}

static void note_told(void *context, const struct capture_source_result *result)
{
	struct room *room = context;
	size_t i = (size_t)(result->source - room->sources);

	assert_true(i < SOURCES);
	assert_string_equal(result->path, room->paths[i]);
	room->told[i] = *result;
	room->n_told++;
}

static int take(struct room *room)
{
	struct capture_options o = { .sources = room->sources,
				     .n_sources = SOURCES,
				     .skip_unchanged = true,
				     .reason = "test",
				     .source_done = note_told,
				     .context = room };
	struct capture_result r;

	room->n_told = 0;
	memset(room->told, 0xff, sizeof(room->told));
	for (int i = 0; i < SOURCES; i++)
		if (room->sources[i].dirty)
			assert_int_equal(dirty_set_freeze(room->dirty[i]), 0);
	return capture_run(room->desk->timeline, &o, &r);
}

static void dirty(struct room *room, int source, const char *name, unsigned int flags)
{
	if (!room->dirty[source])
		assert_int_equal(dirty_set_new(1000, &room->dirty[source]), 0);
	if (name)
		assert_int_equal(dirty_set_add(room->dirty[source], name, flags), 0);
	room->sources[source].dirty = room->dirty[source];
}

static void expect(const struct capture_source_result *told, uint64_t added, uint64_t changed,
		   uint64_t removed)
{
	assert_true(told->compared);
	assert_int_equal(told->files_added, added);
	assert_int_equal(told->files_changed, changed);
	assert_int_equal(told->files_removed, removed);
}

/* 20 files and a folder of 5 in each source. */
static void fill(struct room *room)
{
	char name[64];

	for (int s = 0; s < SOURCES; s++) {
		(void)snprintf(name, sizeof(name), "%c/folder", 'a' + s);
		desk_folder(room->desk, name);
		for (int i = 0; i < 20; i++) {
			(void)snprintf(name, sizeof(name), "%c/f%02d", 'a' + s, i);
			desk_write(room->desk, name, name);
		}
		for (int i = 0; i < 5; i++) {
			(void)snprintf(name, sizeof(name), "%c/folder/g%d", 'a' + s, i);
			desk_write(room->desk, name, name);
		}
	}
}

/* In "b": 3 files added, 2 changed, 4 removed; with the names noted as dirty. */
static void change(struct room *room)
{
	char path[128];

	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "b/new%d", i);
		desk_write(room->desk, path, path);
		dirty(room, 1, path + 2, DIRTY_SELF);
	}
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "b/f%02d", i);
		desk_write(room->desk, path, "changed");
		dirty(room, 1, path + 2, DIRTY_SELF);
	}
	for (int i = 10; i < 14; i++) {
		char full[PATH_MAX];

		(void)snprintf(path, sizeof(path), "b/f%02d", i);
		assert_int_equal(unlink(desk_path(room->desk, path, full)), 0);
		dirty(room, 1, path + 2, DIRTY_SELF);
	}
}

static void move_folder(struct room *room)
{
	char from[PATH_MAX], to[PATH_MAX];

	assert_int_equal(rename(desk_path(room->desk, "b/folder", from),
				desk_path(room->desk, "b/moved", to)),
			 0);
	dirty(room, 1, "folder", DIRTY_SELF);
	dirty(room, 1, "moved", DIRTY_SELF | DIRTY_DEEP);
}

static void test_a_first_snapshot_is_compared_with_nothing(void **state)
{
	struct room *room = *state;

	fill(room);
	assert_int_equal(take(room), 0);
	assert_int_equal(room->n_told, SOURCES);
	for (int i = 0; i < SOURCES; i++) {
		assert_false(room->told[i].compared);
		assert_true(room->told[i].whole_walk);
		assert_int_equal(room->told[i].files_added, 0);
		assert_int_equal(room->told[i].files_changed, 0);
		assert_int_equal(room->told[i].files_removed, 0);
		assert_true(room->told[i].new_stored_bytes > 0);
	}
}

/* Changes in the middle one of three sources, looked at as a whole or not. */
static void check_changes(struct room *room, bool partial, void (*act)(struct room *room),
			  const uint64_t wanted[3])
{
	fill(room);
	assert_int_equal(take(room), 0);
	act(room);
	for (int i = 0; i < SOURCES; i++)
		if (!partial)
			room->sources[i].dirty = NULL;
		else if (i != 1)
			dirty(room, i, i == 0 ? "f05" : NULL, DIRTY_SELF);
	assert_int_equal(take(room), 0);
	assert_int_equal(room->n_told, SOURCES);
	expect(&room->told[0], 0, 0, 0);
	expect(&room->told[1], wanted[0], wanted[1], wanted[2]);
	expect(&room->told[2], 0, 0, 0);
	for (int i = 0; i < SOURCES; i++)
		assert_int_equal(room->told[i].whole_walk, !partial);
	assert_int_equal(room->told[0].new_stored_bytes, 0);
	assert_true(room->told[1].new_stored_bytes > 0);
	assert_int_equal(room->told[2].new_stored_bytes, 0);
}

static void test_a_partial_look_tells_what_changed_and_where(void **state)
{
	check_changes(*state, true, change, (const uint64_t[]){ 3, 5, 4 });
}

static void test_a_whole_look_tells_the_same(void **state)
{
	check_changes(*state, false, change, (const uint64_t[]){ 3, 5, 4 });
}

static void test_a_moved_folder_counts_what_is_in_it(void **state)
{
	check_changes(*state, true, move_folder, (const uint64_t[]){ 5, 5, 5 });
}

static void test_a_moved_folder_counts_the_same_in_a_whole_look(void **state)
{
	check_changes(*state, false, move_folder, (const uint64_t[]){ 5, 5, 5 });
}

static void test_attributes_alone_change_no_file(void **state)
{
	struct room *room = *state;
	char path[PATH_MAX];

	fill(room);
	assert_int_equal(take(room), 0);
	assert_int_equal(chmod(desk_path(room->desk, "c/f03", path), 0600), 0);
	assert_int_equal(take(room), 0);
	expect(&room->told[2], 0, 0, 0);
	assert_int_equal(take(room), -EALREADY);
	assert_int_equal(room->n_told, SOURCES);
	expect(&room->told[2], 0, 0, 0);
	assert_int_equal(room->told[2].new_stored_bytes, 0);
}

static void test_a_file_that_becomes_a_folder_is_removed(void **state)
{
	struct room *room = *state;
	char path[PATH_MAX];

	fill(room);
	assert_int_equal(take(room), 0);
	assert_int_equal(unlink(desk_path(room->desk, "a/f07", path)), 0);
	desk_folder(room->desk, "a/f07");
	desk_write(room->desk, "a/f07/in", "it");
	assert_int_equal(take(room), 0);
	expect(&room->told[0], 1, 1, 1);
}

static void test_bytes_are_those_of_the_source_that_has_them(void **state)
{
	static uint8_t bulk[BULK_BYTES];
	struct room *room = *state;
	uint64_t z = 1;

	fill(room);
	assert_int_equal(take(room), 0);
	for (size_t i = 0; i < sizeof(bulk); i++) { /* nothing to compress */
		z = z * 6364136223846793005u + 1442695040888963407u;
		bulk[i] = (uint8_t)(z >> 56);
	}
	desk_write_bytes(room->desk, "a/bulk", bulk, sizeof(bulk));
	desk_write_bytes(room->desk, "c/bulk", bulk, sizeof(bulk)); /* stored already */
	desk_write(room->desk, "b/small", "small");
	assert_int_equal(take(room), 0);
	assert_true(room->told[0].new_stored_bytes >= BULK_BYTES);
	assert_true(room->told[0].new_stored_bytes < BULK_BYTES + KIB(20));
	assert_in_range(room->told[1].new_stored_bytes, 1, KIB(20));
	assert_in_range(room->told[2].new_stored_bytes, 1, KIB(20));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_first_snapshot_is_compared_with_nothing),
		TEST(test_a_partial_look_tells_what_changed_and_where),
		TEST(test_a_whole_look_tells_the_same),
		TEST(test_a_moved_folder_counts_what_is_in_it),
		TEST(test_a_moved_folder_counts_the_same_in_a_whole_look),
		TEST(test_attributes_alone_change_no_file),
		TEST(test_a_file_that_becomes_a_folder_is_removed),
		TEST(test_bytes_are_those_of_the_source_that_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
