/* SPDX-License-Identifier: MIT */
#include "snapshots/tree_walk.h"
#include "tests/unit/capture_fixture.h"

#include <sys/stat.h>

#define EXCLUDES "*.skip\n/cache/\n"
#define STEPS 40

/* A source whose changes are written down as a watch would. */
struct bench {
	struct desk *desk;
	struct dirty_set *dirty;
	uint64_t seed;
	char names[400][200]; /* files and folders that may be there, relative */
	size_t n;
	struct capture_source_result told; /* of the last capture */
	int n_told;
};

static uint64_t dice(struct bench *b, uint64_t sides)
{
	uint64_t z = (b->seed += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % sides;
}

static void fresh(struct bench *b)
{
	dirty_set_free(b->dirty);
	assert_int_equal(dirty_set_new(10000, &b->dirty), 0);
}

static void dirty(struct bench *b, const char *name, unsigned int flags)
{
	assert_int_equal(dirty_set_add(b->dirty, name, flags), 0);
}

static int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	void *desk;

	assert_non_null(b);
	assert_int_equal(desk_setup(&desk), 0);
	b->desk = desk;
	fresh(b);
	*state = b;
	return 0;
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;
	void *desk = b->desk;

	dirty_set_free(b->dirty);
	free(b);
	return desk_teardown(&desk);
}

/* ---- what the counts of a source must be, from two listings ---- */

struct listed {
	char path[512];
	struct chunk_id id;
	uint64_t length;
};

struct listing {
	struct listed *files; /* in the order of the tree */
	size_t n;
};

static void listing_done(struct listing *l)
{
	free(l->files);
}

static int note_file(void *context, const char *path, const struct tree_entry *e, uint32_t depth)
{
	struct listing *l = context;

	(void)depth;
	if (!S_ISREG(e->mode))
		return 0;
	l->files = reallocarray(l->files, l->n + 1, sizeof(*l->files));
	assert_non_null(l->files);
	l->files[l->n] = (struct listed){ .id = e->content.id, .length = e->content.length };
	(void)snprintf(l->files[l->n++].path, sizeof(l->files->path), "%s", path);
	return 0;
}

/* Regular files of the newest snapshot. */
static void list_newest(struct bench *b, struct listing *to)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL; /* goes last */
	CLEANUP(tree_reader_free_ptr) struct tree_reader *tree = NULL;
	struct snapshot_info info;
	struct tree_entry top;
	int r = timeline_latest(b->desk->timeline, &info);

	if (r == -ENOENT)
		return;
	assert_int_equal(r, 0);
	assert_int_equal(chunk_cache_new(b->desk->fixture->store, MIB(8), 0, &cache), 0);
	assert_int_equal(tree_reader_new(cache, &tree), 0);
	assert_int_equal(tree_reader_walk(tree, &info.root_tree, b->desk->source + 1, &top), 0);
	assert_int_equal(tree_walk(cache, &top, note_file, NULL, to), 0);
}

static const struct listed *find_listed(const struct listing *l, const char *path)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->files[i].path, path) == 0)
			return &l->files[i];
	return NULL;
}

static void expect_changes(const struct listing *before, const struct listing *after,
			   const struct capture_source_result *told)
{
	uint64_t added = 0, rewritten = 0, kept = 0;

	for (size_t i = 0; i < after->n; i++) {
		const struct listed *now = &after->files[i];
		const struct listed *was = find_listed(before, now->path);

		added += !was;
		kept += was != NULL;
		rewritten += was && (was->length != now->length ||
				     memcmp(&was->id, &now->id, sizeof(was->id)) != 0);
	}
	assert_int_equal(told->files_added, added);
	assert_int_equal(told->files_changed, added + rewritten);
	assert_int_equal(told->files_removed, before->n - kept);
}

static void note_told(void *context, const struct capture_source_result *result)
{
	struct bench *b = context;

	b->told = *result;
	b->n_told++;
}

static void bench_note(void *context, const char *path, const char *what, int error)
{
	struct bench *b = context;

	desk_note(b->desk, path, what, error);
}

/* Capture: what is dirty, or (NULL) everything; commit nothing if all is as it was. */
static int take(struct bench *b, struct dirty_set *only, struct capture_result *ret)
{
	CLEANUP(listing_done) struct listing before = { 0 };
	CLEANUP(listing_done) struct listing after = { 0 };
	struct capture_source source = { .path = b->desk->source,
					 .excludes = EXCLUDES,
					 .dirty = only };
	struct capture_options o = { .sources = &source,
				     .n_sources = 1,
				     .skip_unchanged = true,
				     .reason = "test",
				     .problem = bench_note,
				     .source_done = note_told,
				     .context = b };
	int r;

	if (only)
		assert_int_equal(dirty_set_freeze(only), 0);
	list_newest(b, &before);
	b->n_told = 0;
	r = capture_run(b->desk->timeline, &o, ret);
	if (r != 0 && r != -EALREADY)
		return r;
	assert_int_equal(b->n_told, 1);
	list_newest(b, &after);
	if (b->told.compared)
		expect_changes(&before, &after, &b->told);
	else
		assert_int_equal(before.n, 0);
	return r;
}

/* Capture what is dirty; a look at everything must find nothing more, and count the same. */
static struct capture_result take_partly(struct bench *b)
{
	struct capture_result partly = { 0 }, all = { 0 };
	int r = take(b, b->dirty, &partly);

	assert_true(r == 0 || r == -EALREADY);
	assert_int_equal(take(b, NULL, &all), -EALREADY);
	assert_int_equal(partly.files, all.files);
	assert_int_equal(partly.directories, all.directories);
	assert_int_equal(partly.others, all.others);
	assert_int_equal(partly.bytes, all.bytes);
	assert_int_equal(partly.errors, 0);
	fresh(b);
	return partly;
}

static const char *at(struct bench *b, const char *name, char to[static PATH_MAX])
{
	return desk_path(b->desk, name, to);
}

/* ---- a mutator that tells what it touches ---- */

static bool is_folder(struct bench *b, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return lstat(at(b, name, path), &st) == 0 && S_ISDIR(st.st_mode);
}

/* A new name in the root or in some folder that is there. */
static void new_name(struct bench *b, char to[static 200])
{
	static const char *const ends[] = { "", "", "", "", ".skip", ".c" };
	const char *folder = "";

	for (int i = 0; i < 5 && b->n; i++) {
		const char *some = b->names[dice(b, b->n)];

		if (is_folder(b, some) && strlen(some) < 100)
			folder = some;
	}
	(void)snprintf(to, 200, "%s%sn%u%s", folder, *folder ? "/" : "", (unsigned int)dice(b, 60),
		       ends[dice(b, 6)]);
	if (dice(b, 40) == 0)
		(void)snprintf(to, 200, "cache");
}

static void remember(struct bench *b, const char *name)
{
	if (b->n < sizeof(b->names) / sizeof(*b->names))
		(void)snprintf(b->names[b->n++], sizeof(*b->names), "%s", name);
	else
		(void)snprintf(b->names[dice(b, b->n)], sizeof(*b->names), "%s", name);
}

static void write_some(struct bench *b, const char *name, size_t n)
{
	static char data[300000];
	char path[PATH_MAX];
	int fd = open(at(b, name, path), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		      0644);

	if (fd < 0)
		return;
	for (size_t i = 0; i < n; i += 8) {
		uint64_t word = dice(b, UINT64_MAX);

		memcpy(data + i, &word, sizeof(word));
	}
	(void)!write(fd, data, n);
	(void)!ftruncate(fd, (off_t)n);
	(void)close(fd);
	dirty(b, name, DIRTY_SELF);
}

static void remove_all(struct bench *b, const char *name)
{
	char path[PATH_MAX];

	(void)nftw(at(b, name, path), fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	dirty(b, name, DIRTY_SELF);
}

static void make_other(struct bench *b, const char *name)
{
	char path[PATH_MAX];

	if (dice(b, 2))
		(void)!symlink("some/where", at(b, name, path));
	else
		(void)!mkfifo(at(b, name, path), 0600);
	dirty(b, name, DIRTY_SELF);
}

static bool is_excluded(const char *name)
{
	return strstr(name, ".skip") || strncmp(name, "cache", 5) == 0;
}

static void move(struct bench *b, const char *from, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX];

	/* A file with names on both sides of an exclude is not followed there. */
	if (is_folder(b, from) && is_excluded(to))
		return;
	if (rename(at(b, from, old), at(b, to, new)) < 0)
		return;
	dirty(b, from, DIRTY_SELF);
	dirty(b, to, DIRTY_SELF | DIRTY_DEEP);
}

static void mutate(struct bench *b)
{
	char name[200], path[PATH_MAX], other[PATH_MAX];
	const char *some = b->n ? b->names[dice(b, b->n)] : "n0";
	struct stat st;

	new_name(b, name);
	switch (dice(b, 12)) {
	case 0:
	case 1:
	case 2:
		write_some(b, name, dice(b, 30) ? dice(b, 300) : 70000 + dice(b, 200000));
		break;
	case 3:
	case 4:
		if (lstat(at(b, some, path), &st) == 0 && S_ISREG(st.st_mode))
			write_some(b, some, dice(b, 300));
		return;
	case 5:
		if (mkdir(at(b, name, path), 0755) == 0)
			dirty(b, name, DIRTY_SELF | (dice(b, 2) ? DIRTY_DEEP : DIRTY_LIST));
		break;
	case 6:
		if (!is_folder(b, some) || dice(b, 3) == 0)
			remove_all(b, some);
		return;
	case 7:
		move(b, some, name);
		break;
	case 8:
		if (chmod(at(b, some, path), dice(b, 2) ? 0700 : 0755) == 0)
			dirty(b, some, DIRTY_SELF);
		return;
	case 9:
		if (dice(b, 4) == 0 && !is_excluded(some) && !is_excluded(name) &&
		    link(at(b, some, path), at(b, name, other)) == 0)
			dirty(b, name, DIRTY_SELF);
		break;
	case 10:
		make_other(b, name);
		break;
	default: /* nothing happened, but it was said so */
		dirty(b, some, 1 + (unsigned int)dice(b, 15));
		return;
	}
	remember(b, name);
}

static void test_random_changes_are_all_found_where_they_are_dirty(void **state)
{
	struct bench *b = *state;
	const char *more = getenv("YORE_TEST_STEPS"), *seed = getenv("YORE_TEST_SEED");
	int steps = more ? atoi(more) : STEPS, n_partial = 0;
	struct capture_result r;

	b->seed = seed ? strtoull(seed, NULL, 10) : 1;
	for (int i = 0; i < 60; i++)
		mutate(b);
	assert_int_equal(take(b, NULL, &r), 0);
	fresh(b);
	for (int i = 0; i < steps; i++) {
		for (uint64_t n = dice(b, 5); n > 0; n--)
			mutate(b);
		r = take_partly(b);
		n_partial += r.partial;
	}
	assert_true(n_partial > steps / 3);
}

/* ---- one claim after another ---- */

static void make_tree(struct bench *b)
{
	char name[64];
	struct capture_result r;

	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "d%02d", i);
		desk_folder(b->desk, name);
		for (int j = 0; j < 10; j++) {
			(void)snprintf(name, sizeof(name), "d%02d/f%02d", i, j);
			desk_write(b->desk, name, name);
		}
	}
	assert_int_equal(take(b, NULL, &r), 0);
}

static void test_only_what_is_dirty_is_looked_at(void **state)
{
	struct bench *b = *state;
	struct capture_result r;

	make_tree(b);
	desk_write(b->desk, "d03/f04", "new");
	desk_write(b->desk, "d05/f06", "not said");
	dirty(b, "d03/f04", DIRTY_SELF);
	assert_int_equal(take(b, b->dirty, &r), 0);
	assert_true(r.partial);
	assert_int_equal(r.files_read, 1);
	assert_int_equal(r.files, 200);
	assert_int_equal(r.directories, 21);
	assert_string_equal(desk_has(b->desk, "d03/f04"), "new");
	assert_string_equal(desk_has(b->desk, "d05/f06"), "d05/f06");
	assert_string_equal(desk_has(b->desk, "d19/f09"), "d19/f09");
	/* The look at everything that follows finds it. */
	assert_int_equal(take(b, NULL, &r), 0);
	assert_false(r.partial);
	assert_string_equal(desk_has(b->desk, "d05/f06"), "not said");
}

static void test_nothing_dirty_makes_no_snapshot(void **state)
{
	struct bench *b = *state;
	struct capture_result r;

	make_tree(b);
	desk_write(b->desk, "d03/f04", "not said");
	assert_int_equal(take(b, b->dirty, &r), -EALREADY);
	assert_true(r.partial);
	assert_int_equal(desk_count(b->desk), 1);
}

static void test_a_dirty_name_that_is_gone_is_taken_out(void **state)
{
	struct bench *b = *state;
	struct capture_result r;
	char path[PATH_MAX];

	make_tree(b);
	assert_int_equal(unlink(at(b, "d03/f04", path)), 0);
	remove_all(b, "d07");
	dirty(b, "d03/f04", DIRTY_SELF);
	dirty(b, "never/was/here", DIRTY_SELF);
	r = take_partly(b);
	assert_true(r.partial);
	assert_int_equal(r.files, 189);
	assert_null(desk_has(b->desk, "d03/f04"));
	assert_null(desk_has(b->desk, "d07/f00"));
}

static void test_other_names_of_a_file_are_not_forgotten(void **state)
{
	struct bench *b = *state;
	char from[PATH_MAX], to[PATH_MAX];
	struct capture_result r;

	make_tree(b);
	assert_int_equal(link(at(b, "d00/f00", from), at(b, "d10/link", to)), 0);
	dirty(b, "d10/link", DIRTY_SELF);
	r = take_partly(b);
	assert_false(r.partial);
	desk_write(b->desk, "d00/f00", "by one name");
	dirty(b, "d00/f00", DIRTY_SELF);
	r = take_partly(b);
	assert_false(r.partial);
	assert_string_equal(desk_has(b->desk, "d10/link"), "by one name");
	/* Said to be dirty, but it is not: no look at everything. */
	dirty(b, "d00/f00", DIRTY_SELF);
	r = take_partly(b);
	assert_true(r.partial);
	assert_int_equal(unlink(to), 0);
	dirty(b, "d10/link", DIRTY_SELF);
	r = take_partly(b);
	assert_false(r.partial);
}

static void test_a_folder_of_another_inode_is_looked_at_as_a_whole(void **state)
{
	struct bench *b = *state;
	char from[PATH_MAX], to[PATH_MAX];
	struct capture_result r;

	make_tree(b);
	assert_int_equal(rename(at(b, "d03", from), at(b, "d04/moved", to)), 0);
	desk_folder(b->desk, "d03");
	desk_write(b->desk, "d03/f00", "another");
	dirty(b, "d03", DIRTY_SELF);
	dirty(b, "d04/moved", DIRTY_SELF);
	r = take_partly(b);
	assert_true(r.partial);
	assert_string_equal(desk_has(b->desk, "d03/f00"), "another");
	assert_null(desk_has(b->desk, "d03/f01"));
	assert_string_equal(desk_has(b->desk, "d04/moved/f01"), "d03/f01");
}

static void test_a_repository_that_appears_or_goes_is_seen(void **state)
{
	struct bench *b = *state;
	char from[PATH_MAX], to[PATH_MAX];
	struct capture_result r;

	make_tree(b);
	desk_folder(b->desk, "d03/packs");
	desk_folder(b->desk, "d03/records");
	desk_write(b->desk, "d03/config", "yore repository\n");
	dirty(b, "d03/config", DIRTY_SELF);
	dirty(b, "d03/packs", DIRTY_SELF | DIRTY_DEEP);
	dirty(b, "d03/records", DIRTY_SELF | DIRTY_DEEP);
	r = take_partly(b);
	assert_true(r.partial);
	assert_null(desk_has(b->desk, "d03/f00"));
	desk_write(b->desk, "d03/packs/x", "x");
	dirty(b, "d03/packs/x", DIRTY_SELF);
	(void)take_partly(b);
	assert_null(desk_has(b->desk, "d03/packs/x"));
	assert_int_equal(rename(at(b, "d03/config", from), at(b, "d03/gone", to)), 0);
	dirty(b, "d03/config", DIRTY_SELF);
	dirty(b, "d03/gone", DIRTY_SELF);
	r = take_partly(b);
	assert_true(r.partial);
	assert_string_equal(desk_has(b->desk, "d03/packs/x"), "x");
	assert_string_equal(desk_has(b->desk, "d03/f00"), "d03/f00");
}

static void test_what_changes_after_the_look_is_not_missed(void **state)
{
	struct bench *b = *state;
	struct timespec times[2];
	struct capture_result r;
	char path[PATH_MAX];
	struct stat st;

	make_tree(b);
	for (int i = 0; i < 3; i++) {
		char text[16];

		/* Same size, same mtime: only the rule about fresh entries tells. */
		(void)snprintf(text, sizeof(text), "text %d", i);
		desk_write(b->desk, "d03/f04", text);
		assert_int_equal(stat(at(b, "d03/f04", path), &st), 0);
		if (i > 0) {
			assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		} else {
			times[0] = st.st_atim;
			times[1] = st.st_mtim;
		}
		dirty(b, "d03/f04", DIRTY_SELF);
		r = take_partly(b);
		assert_true(r.partial);
		assert_string_equal(desk_has(b->desk, "d03/f04"), text);
	}
}

static void test_changed_excludes_are_a_reason_to_look_at_everything(void **state)
{
	struct bench *b = *state;
	struct capture_source source = { .path = b->desk->source, .excludes = "f04\n" };
	struct capture_options o = { .sources = &source, .n_sources = 1 };
	struct capture_result r;

	make_tree(b);
	dirty(b, "d00", DIRTY_SELF);
	assert_int_equal(dirty_set_freeze(b->dirty), 0);
	source.dirty = b->dirty;
	assert_int_equal(capture_run(b->desk->timeline, &o, &r), 0);
	assert_false(r.partial);
	assert_null(desk_has(b->desk, "d03/f04"));
}

static void test_the_time_of_the_last_look_at_everything_stays(void **state)
{
	CLEANUP(record_done) struct record before = { 0 }, after = { 0 };
	struct bench *b = *state;
	struct capture_result r;

	make_tree(b);
	assert_int_equal(timeline_read(b->desk->timeline, 1, &before), 0);
	desk_write(b->desk, "d03/f04", "new");
	dirty(b, "d03/f04", DIRTY_SELF);
	assert_int_equal(take(b, b->dirty, &r), 0);
	assert_int_equal(timeline_read(b->desk->timeline, 2, &after), 0);
	assert_int_equal(after.sources[0].walk_start_ns, before.sources[0].walk_start_ns);
	assert_true(after.sources[0].captured_ns > before.sources[0].captured_ns);
	assert_true(after.time_ns > before.time_ns);
}

/* ---- sources that come and go ---- */

static void test_dropped_sources_go_and_those_inside_them_stay(void **state)
{
	struct bench *b = *state;
	struct desk *d = b->desk;
	char outer[PATH_MAX], inner[PATH_MAX];
	const char *dropped[1] = { outer };
	struct capture_options o = { .dropped = dropped, .n_dropped = 1 };
	struct capture_result r;

	desk_folder(d, "outer");
	desk_folder(d, "outer/inner");
	desk_write(d, "outer/f", "1");
	desk_write(d, "outer/inner/g", "2");
	(void)desk_take(d, desk_path(d, "outer", outer));
	(void)desk_take(d, desk_path(d, "outer/inner", inner));
	assert_int_equal(capture_run(d->timeline, &o, &r), 0);
	assert_null(desk_has(d, "outer/f"));
	assert_string_equal(desk_has(d, "outer/inner/g"), "2");
	assert_int_equal(r.snapshot.n_sources, 1);
	dropped[0] = inner;
	assert_int_equal(capture_run(d->timeline, &o, &r), 0);
	assert_null(desk_has(d, "outer/inner/g"));
	assert_int_equal(r.snapshot.n_sources, 0);
}

/* What is at a path in the newest snapshot: its mode, or 0. */
static uint32_t mode_at(struct desk *d, const char *path)
{
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	CLEANUP(tree_reader_free_ptr) struct tree_reader *tree = NULL;
	struct snapshot_info info;
	struct tree_entry e;

	assert_int_equal(timeline_latest(d->timeline, &info), 0);
	assert_int_equal(chunk_cache_new(d->fixture->store, MIB(8), 0, &cache), 0);
	assert_int_equal(tree_reader_new(cache, &tree), 0);
	return tree_reader_walk(tree, &info.root_tree, path + 1, &e) == 0 ? e.mode : 0;
}

static void test_placeholders_that_lead_nowhere_go_with_the_source(void **state)
{
	struct desk *d = ((struct bench *)*state)->desk;
	char link[PATH_MAX], real[PATH_MAX], other[PATH_MAX];
	const char *dropped[1] = { real };
	struct capture_options o = { .dropped = dropped, .n_dropped = 1 };
	struct capture_result r;

	desk_folder(d, "data");
	desk_folder(d, "data/x");
	desk_folder(d, "way");
	desk_folder(d, "other");
	desk_write(d, "data/x/f", "1");
	desk_write(d, "other/g", "2");
	(void)desk_path(d, "data/x", real);
	assert_int_equal(symlink("../data/x", desk_path(d, "way/link", link)), 0);
	(void)desk_take(d, link);
	(void)desk_take(d, desk_path(d, "other", other));
	assert_true(S_ISLNK(mode_at(d, link)));
	assert_string_equal(desk_has(d, "data/x/f"), "1");
	assert_int_equal(capture_run(d->timeline, &o, &r), 0);
	assert_int_equal(mode_at(d, link), 0);
	assert_int_equal(mode_at(d, desk_path(d, "way", link)), 0);
	assert_int_equal(mode_at(d, desk_path(d, "data", link)), 0);
	assert_string_equal(desk_has(d, "other/g"), "2");
}

static void test_a_source_that_an_outer_one_leaves_out_is_kept(void **state)
{
	struct desk *d = ((struct bench *)*state)->desk;
	char outer[PATH_MAX], inner[PATH_MAX];
	struct capture_source source = { .path = outer, .excludes = "/inner\n" };
	struct capture_result r;

	desk_folder(d, "outer");
	desk_folder(d, "outer/inner");
	desk_write(d, "outer/inner/g", "2");
	(void)desk_take(d, desk_path(d, "outer/inner", inner));
	(void)desk_path(d, "outer", outer);
	assert_int_equal(desk_run(d, d->timeline, &source, 1, &r), 0);
	assert_string_equal(desk_has(d, "outer/inner/g"), "2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_random_changes_are_all_found_where_they_are_dirty),
		TEST(test_only_what_is_dirty_is_looked_at),
		TEST(test_nothing_dirty_makes_no_snapshot),
		TEST(test_a_dirty_name_that_is_gone_is_taken_out),
		TEST(test_other_names_of_a_file_are_not_forgotten),
		TEST(test_a_folder_of_another_inode_is_looked_at_as_a_whole),
		TEST(test_a_repository_that_appears_or_goes_is_seen),
		TEST(test_what_changes_after_the_look_is_not_missed),
		TEST(test_changed_excludes_are_a_reason_to_look_at_everything),
		TEST(test_the_time_of_the_last_look_at_everything_stays),
		TEST(test_dropped_sources_go_and_those_inside_them_stay),
		TEST(test_placeholders_that_lead_nowhere_go_with_the_source),
		TEST(test_a_source_that_an_outer_one_leaves_out_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
