/* SPDX-License-Identifier: MIT */
#include "snapshots/versions.h"

#include "snapshots/tree_writer.h"
#include "store/compress.h"
#include "timeline_fixture.h"

#include <errno.h>

#define S 1000000000LL
#define T0 (1714573800 * S)

/* Puts directory nodes into the store. */
struct store_sink {
	struct object_sink sink;
	struct store_writer *writer;
	struct compressor *compressor;
	struct id_hasher *hasher;
};

static int put(struct object_sink *sink, enum object_type type, const void *data, size_t n,
	       struct chunk_id *ret_id)
{
	struct store_sink *s = (struct store_sink *)sink;
	int r;

	id_hasher_run(s->hasher, data, n, ret_id);
	r = store_writer_put(s->writer, s->compressor, type, ret_id, data, n);
	return r < 0 ? r : 0;
}

struct setting {
	struct fixture *f;
	struct timeline *t;
	struct chunk_cache *cache;
	struct store_sink sink;
	struct tree_writer *trees;
	struct tree_reader *reader;
	int64_t time_ns;
	char text[1024];
	const char *only; /* names that `wants` wants; NULL: all */
};

static int setup(void **state)
{
	struct setting *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->f = fixture_open();
	s->time_ns = T0;
	assert_int_equal(timeline_open(s->f->store, store_host(s->f->store), &s->t), 0);
	assert_int_equal(chunk_cache_new(s->f->store, MIB(4), 0, &s->cache), 0);
	s->sink.sink.put = put;
	assert_int_equal(store_writer_new(s->f->store, &s->sink.writer), 0);
	assert_int_equal(compressor_new(&s->sink.compressor), 0);
	assert_int_equal(store_hasher(s->f->store, OBJECT_TREE, &s->sink.hasher), 0);
	assert_int_equal(
		tree_writer_new(&s->sink.sink, key_ring_get(s->f->ring, KEY_PLACEMENT), &s->trees),
		0);
	assert_int_equal(tree_reader_new(s->cache, &s->reader), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setting *s = *state;

	tree_reader_free(s->reader);
	tree_writer_free(s->trees);
	id_hasher_free(s->sink.hasher);
	compressor_free(s->sink.compressor);
	store_writer_free(s->sink.writer);
	chunk_cache_free(s->cache);
	timeline_close(s->t);
	fixture_close(s->f);
	free(s);
	return 0;
}

static void fill_content(struct tree_entry *e, int letter, struct piece *piece,
			 struct extent *extent)
{
	*piece = (struct piece){ .length = 9, .n_extents = 1 };
	*extent = (struct extent){ .length = 9 };
	memset(piece->id.bytes, letter, sizeof(piece->id.bytes));
	extent->chunk = piece->id;
	e->size = 9;
	e->content = (struct content){
		.form = CONTENT_INLINE,
		.id = piece->id,
		.length = 9,
		.pieces = piece,
		.n_pieces = 1,
		.extents = extent,
		.n_extents = 1,
	};
}

/*
 * A directory from a text such as "a=1 d/(x=1 y=2) z=3", names in order: files
 * with a content, folders with what they hold. Returns where the text goes on.
 */
static const char *directory(struct setting *s, const char *text, struct chunk_id *ret_id)
{
	CLEANUP(tree_writer_free_ptr) struct tree_writer *w = NULL;
	uint64_t n;

	assert_int_equal(
		tree_writer_new(&s->sink.sink, key_ring_get(s->f->ring, KEY_PLACEMENT), &w), 0);
	while (*text && *text != ')') {
		struct tree_entry e = { .nlink = 1, .name = text };
		struct extent extent;
		struct piece piece;

		e.name_n = (uint32_t)strcspn(text, "=/");
		text += e.name_n + 1;
		if (text[-1] == '/') {
			e.mode = S_IFDIR | 0755;
			text = directory(s, text + 1, &e.tree) + 1;
		} else {
			e.mode = *text == '!' ? S_IFREG | 0600 : S_IFREG | 0644;
			text += *text == '!';
			fill_content(&e, *text++, &piece, &extent);
		}
		assert_int_equal(tree_writer_add(w, &e), 0);
		text += *text == ' ';
	}
	assert_int_equal(tree_writer_finish(w, ret_id, &n), 0);
	if (n == 0)
		*ret_id = (struct chunk_id){ 0 };
	return text;
}

static void snapshot(struct setting *s, const char *text)
{
	struct chunk_id root;

	(void)directory(s, text, &root);
	assert_int_equal(store_writer_finish(s->sink.writer), 0);
	fixture_append(s->t, s->time_ns += S, NULL, &root, NULL);
}

static struct versions *versions_of(struct setting *s, const char *path)
{
	struct versions *v;

	assert_int_equal(versions_new(s->t, s->cache, path, &v), 0);
	assert_int_equal(versions_update(v), 0);
	return v;
}

/* "1-2:f 3-3:- 4-4:d": sequences and kinds. */
static const char *runs(struct setting *s, const struct versions *v)
{
	size_t n, at = 0;
	const struct version *all = versions_all(v, &n);

	s->text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(s->text + at, sizeof(s->text) - at, "%s%d-%d:%c",
				       i ? " " : "", (int)all[i].first_seq, (int)all[i].last_seq,
				       all[i].mode == 0       ? '-'
				       : S_ISDIR(all[i].mode) ? 'd'
							      : 'f');
	return s->text;
}

static int note_name(void *context, const char *name, uint32_t n)
{
	struct setting *s = context;
	char word[300];

	(void)snprintf(word, sizeof(word), "%.*s ", (int)n, name);
	if (!strstr(s->text, word))
		strcat(s->text, word);
	return 0;
}

static bool wants(void *context, const char *name, uint32_t n)
{
	struct setting *s = context;

	return !s->only || (strlen(s->only) == n && memcmp(s->only, name, n) == 0);
}

static int note_gone(void *context, const struct tree_entry *entry, uint64_t seq)
{
	struct setting *s = context;
	char word[300];

	(void)snprintf(word, sizeof(word), "%.*s%s:%d ", (int)entry->name_n, entry->name,
		       S_ISDIR(entry->mode) ? "/" : "", (int)seq);
	strcat(s->text, word);
	return 0;
}

static const char *gone(struct setting *s, const char *path)
{
	static const struct gone_visitor visitor = { wants, note_gone };
	CLEANUP(versions_free_ptr) struct versions *v = versions_of(s, path);

	s->text[0] = '\0';
	assert_int_equal(versions_each_gone(v, &visitor, s), 0);
	return s->text;
}

static void test_equal_contents_make_one_run(void **state)
{
	struct setting *s = *state;
	CLEANUP(versions_free_ptr) struct versions *v = NULL;

	snapshot(s, "d/(x=1) e=1");
	snapshot(s, "d/(x=1) e=2");
	snapshot(s, "d/(x=!1) e=2"); /* other rights, the same bytes */
	snapshot(s, "d/(x=2) e=2");
	snapshot(s, "d/(x=1) e=2");
	v = versions_of(s, "/d/x");
	assert_string_equal(runs(s, v), "1-3:f 4-4:f 5-5:f");
}

static void test_a_gap_parts_runs(void **state)
{
	struct setting *s = *state;
	CLEANUP(versions_free_ptr) struct versions *v = NULL;

	snapshot(s, "e=1");
	snapshot(s, "d/(x=1) e=1");
	snapshot(s, "e=1");
	snapshot(s, "d=5 e=1"); /* not even a folder on the way */
	snapshot(s, "d/(x=1) e=1");
	v = versions_of(s, "d/x");
	assert_string_equal(runs(s, v), "2-2:f 3-4:- 5-5:f");
	versions_free(v);
	v = versions_of(s, "/d");
	assert_string_equal(runs(s, v), "2-2:d 3-3:- 4-4:f 5-5:d");
	versions_free(v);
	v = versions_of(s, "/");
	assert_string_equal(runs(s, v), "1-1:d 2-2:d 3-3:d 4-4:d 5-5:d");
	versions_free(v);
	v = versions_of(s, "/never/was");
	assert_string_equal(runs(s, v), "");
}

static void test_an_update_goes_on_and_begins_anew_after_a_forget(void **state)
{
	struct setting *s = *state;
	CLEANUP(versions_free_ptr) struct versions *v = NULL;
	int fd;

	snapshot(s, "x=1");
	snapshot(s, "x=1");
	v = versions_of(s, "x");
	assert_string_equal(runs(s, v), "1-2:f");
	snapshot(s, "x=1");
	snapshot(s, "x=2");
	assert_int_equal(versions_update(v), 0);
	assert_string_equal(runs(s, v), "1-3:f 4-4:f");
	fd = timeline_lock(s->t);
	fixture_forget(s->t, 1, 2);
	io_close(store_io(s->f->store), fd);
	assert_int_equal(versions_update(v), 0);
	assert_string_equal(runs(s, v), "3-3:f 4-4:f");
}

static void test_more_snapshots_than_are_looked_at_together(void **state)
{
	struct setting *s = *state;
	CLEANUP(versions_free_ptr) struct versions *v = NULL;
	size_t n;

	for (int i = 0; i < 150; i++)
		snapshot(s, i % 2 ? "d/(x=1) y=1" : "d/(x=1) y=2");
	v = versions_of(s, "/d/x");
	assert_string_equal(runs(s, v), "1-150:f");
	versions_free(v);
	v = versions_of(s, "/y");
	(void)versions_all(v, &n);
	assert_int_equal(n, 150);
	assert_true(versions_bytes(v) < 150 * 200);
}

static void test_a_directory_knows_every_name_it_held(void **state)
{
	struct setting *s = *state;
	CLEANUP(versions_free_ptr) struct versions *v = NULL;
	struct tree_entry entry;
	uint64_t seq;

	snapshot(s, "d/(a=1 b=1)");
	snapshot(s, "d/(b=2 c/(z=1))");
	snapshot(s, "d/(a=3 c=3)");
	snapshot(s, "d/(e=1)");
	v = versions_of(s, "/d");
	s->text[0] = '\0';
	assert_int_equal(versions_each_name(v, note_name, s), 0);
	assert_string_equal(s->text, "e a c b ");
	assert_int_equal(versions_find(v, s->reader, "b", false, &entry, &seq), 0);
	assert_int_equal(seq, 2);
	assert_int_equal(entry.content.id.bytes[0], '2');
	assert_int_equal(versions_find(v, s->reader, "c", false, &entry, &seq), 0);
	assert_int_equal(seq, 3);
	assert_true(S_ISREG(entry.mode));
	assert_int_equal(versions_find(v, s->reader, "c", true, &entry, &seq), 0);
	assert_int_equal(seq, 2);
	assert_int_equal(versions_find(v, s->reader, "e", false, &entry, &seq), 0);
	assert_int_equal(seq, 4);
	assert_int_equal(versions_find(v, s->reader, "f", false, &entry, &seq), -ENOENT);
	assert_int_equal(versions_find(v, s->reader, "a", true, &entry, &seq), -ENOENT);
}

static void test_what_is_gone_is_told_and_what_leads_to_it(void **state)
{
	struct setting *s = *state;

	snapshot(s, "a=1 b=1 d/(e/(f=1) g=1) h/(i=1) k/(l=1)");
	snapshot(s, "a=2 d/(e/(f=1) g=1) h/(i=1) k/(l=1)");
	snapshot(s, "a=2 d/(e/() g=1) h/(i=2) k/(l=1 m=1)");
	assert_string_equal(gone(s, ""), "d/:2 b:1 ");
	assert_string_equal(gone(s, "d"), "e/:2 ");
	assert_string_equal(gone(s, "d/e"), "f:2 ");
	assert_string_equal(gone(s, "h"), "");
	assert_string_equal(gone(s, "k"), "");
	s->only = "h";
	assert_string_equal(gone(s, ""), "b:1 ");
}

static void test_what_came_back_is_not_gone(void **state)
{
	struct setting *s = *state;

	snapshot(s, "b=1 d/(x=1 y=1)");
	snapshot(s, "c=1");
	snapshot(s, "b=2 c=1 d/(x=2)");
	assert_string_equal(gone(s, ""), "d/:1 ");
	assert_string_equal(gone(s, "d"), "y:1 ");
	snapshot(s, "b=2 c=1 d/(x=2 y=3)");
	assert_string_equal(gone(s, ""), "");
	assert_string_equal(gone(s, "d"), "");
}

static void test_a_directory_that_is_gone_shows_all_it_held(void **state)
{
	struct setting *s = *state;

	snapshot(s, "d/(x=1 y=1) e=1");
	snapshot(s, "d/(y=2 z/(q=1)) e=1");
	snapshot(s, "e=1");
	assert_string_equal(gone(s, ""), "d/:2 ");
	assert_string_equal(gone(s, "d"), "y:2 z/:2 x:1 ");
	assert_string_equal(gone(s, "d/z"), "q:2 ");
	/* A file now stands where the folder was. */
	snapshot(s, "d=1 e=1");
	assert_string_equal(gone(s, ""), "d/:2 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_equal_contents_make_one_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_gap_parts_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_an_update_goes_on_and_begins_anew_after_a_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_snapshots_than_are_looked_at_together,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_directory_knows_every_name_it_held, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_is_gone_is_told_and_what_leads_to_it,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_came_back_is_not_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_directory_that_is_gone_shows_all_it_held,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
