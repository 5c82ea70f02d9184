/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory_cache.h"

#define DATA_BYTES 3000000u

struct world {
	struct chunk_cache *cache;
	struct content_builder *builder;
	struct content_reader *reader;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->cache = memory_new();
	assert_int_equal(
		content_builder_new(&w->cache->sink, w->cache->hashers[OBJECT_LIST], &w->builder),
		0);
	assert_int_equal(content_reader_new(w->cache, &w->reader), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	content_builder_free(w->builder);
	content_reader_free(w->reader);
	memory_free(w->cache);
	free(w);
	return 0;
}

static void add_own(struct world *w, uint64_t n, uint64_t length)
{
	const struct piece p = { .id = test_id(n), .length = length, .n_extents = 1 };
	const struct extent e = { .chunk = p.id, .length = (uint32_t)length };

	assert_int_equal(content_builder_add(w->builder, &p, &e), 0);
}

static void add_hole(struct world *w, uint64_t length)
{
	const struct piece p = { .length = length };

	assert_int_equal(content_builder_add(w->builder, &p, NULL), 0);
}

static struct content finish(struct world *w)
{
	struct content c;

	assert_int_equal(content_builder_finish(w->builder, &c), 0);
	return c;
}

static void test_nothing_is_empty(void **state)
{
	struct world *w = *state;
	struct content c = finish(w);
	struct piece_view v;
	uint8_t byte;

	assert_int_equal(c.form, CONTENT_EMPTY);
	assert_true(chunk_id_is_zero(&c.id));
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_reader_next(w->reader, &v), 0);
	assert_int_equal(content_read(w->reader, 0, &byte, 1), 0);
	assert_int_equal(content_seek_hole(w->reader, 0, true), -ENXIO);
}

static void test_content_ids_do_not_depend_on_storage(void **state)
{
	struct world *w = *state;
	const struct piece p = { .id = test_id(1), .length = 100, .n_extents = 2 };
	const struct extent e[2] = { { .chunk = test_id(7), .offset = 5, .length = 40 },
				     { .chunk = test_id(8), .offset = 0, .length = 60 } };
	struct content c;
	struct chunk_id one, two;

	add_own(w, 1, 100);
	c = finish(w);
	one = test_id(1);
	assert_memory_equal(&c.id, &one, sizeof(one));
	assert_int_equal(content_builder_add(w->builder, &p, e), 0);
	c = finish(w);
	assert_memory_equal(&c.id, &one, sizeof(one));
	assert_int_equal(c.n_extents, 2);
	add_own(w, 1, 100);
	add_own(w, 2, 50);
	two = finish(w).id;
	assert_int_equal(content_builder_add(w->builder, &p, e), 0);
	add_own(w, 2, 50);
	c = finish(w);
	assert_memory_equal(&c.id, &two, sizeof(two));
}

static void test_holes_join_and_have_an_id(void **state)
{
	struct world *w = *state;
	struct content c;
	struct chunk_id id;

	add_hole(w, 65536);
	add_hole(w, 4096);
	c = finish(w);
	assert_int_equal(c.n_pieces, 1);
	assert_int_equal(c.length, 69632);
	assert_false(chunk_id_is_zero(&c.id));
	id = c.id;
	add_hole(w, 69632);
	c = finish(w);
	assert_memory_equal(&c.id, &id, sizeof(id));
	add_hole(w, INT64_MAX);
	c = finish(w);
	assert_int_equal(c.length, INT64_MAX);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_seek_hole(w->reader, 5, true), 5);
	assert_int_equal(content_seek_hole(w->reader, 5, false), -ENXIO);
}

static void test_builder_refuses_what_no_reader_takes(void **state)
{
	struct world *w = *state;
	struct extent many[PIECE_CHUNKS_MAX + 1];
	struct piece p = { .id = test_id(1), .length = 10, .n_extents = 1 };
	struct extent e = { .chunk = p.id, .length = 9 };
	const struct piece hole = { .length = 1 };

	assert_int_equal(content_builder_add(w->builder, &p, &e), -EINVAL);
	e.length = 10;
	e.offset = CHUNK_RAW_MAX - 9;
	assert_int_equal(content_builder_add(w->builder, &p, &e), -EINVAL);
	e.offset = UINT32_MAX;
	assert_int_equal(content_builder_add(w->builder, &p, &e), -EINVAL);
	e.offset = 0;
	memset(&p.id, 0, sizeof(p.id));
	assert_int_equal(content_builder_add(w->builder, &p, &e), -EINVAL);
	p = (struct piece){ .id = test_id(1), .n_extents = PIECE_CHUNKS_MAX + 1 };
	for (uint32_t i = 0; i <= PIECE_CHUNKS_MAX; i++)
		many[i] = (struct extent){ .chunk = test_id(i), .length = 1 };
	p.length = p.n_extents;
	assert_int_equal(content_builder_add(w->builder, &p, many), -EINVAL);
	add_hole(w, INT64_MAX);
	assert_int_equal(content_builder_add(w->builder, &hole, NULL), -EFBIG);
	(void)finish(w);
	assert_int_equal(finish(w).form, CONTENT_EMPTY);
}

/* A reference buffer cut into random pieces, stored in random ways, with holes. */
static struct content build_reference(struct world *w, uint8_t *data, uint32_t piece_max)
{
	struct chunk_id bundle;
	uint64_t seed = 42;

	for (uint32_t i = 0; i < DATA_BYTES; i++)
		data[i] = (uint8_t)test_random(&seed);
	for (uint32_t at = 0; at < DATA_BYTES;) {
		uint32_t n = (uint32_t)(test_random(&seed) % piece_max) + 3;
		struct piece p = { .n_extents = 1 };
		struct extent e[3];

		n = n < DATA_BYTES - at ? n : DATA_BYTES - at;
		p.length = n;
		if (test_random(&seed) % 10 == 0) {
			memset(data + at, 0, n);
			add_hole(w, n);
			at += n;
			continue;
		}
		id_hasher_run(w->cache->hashers[OBJECT_DATA], data + at, n, &p.id);
		e[0] = (struct extent){ .chunk = p.id, .length = n };
		if (test_random(&seed) % 2 == 0 || n < 3) {
			assert_int_equal(
				memory_put(&w->cache->sink, OBJECT_DATA, data + at, n, &bundle), 0);
		} else {
			const uint32_t from = at < 100 ? 0 : at - 100;
			const uint32_t third = n / 3;

			assert_int_equal(memory_put(&w->cache->sink, OBJECT_DATA, data + from,
						    at + n - from, &bundle),
					 0);
			for (uint32_t i = 0; i < 3; i++)
				e[i] = (struct extent){ .chunk = bundle,
							.offset = at - from + i * third,
							.length = i < 2 ? third : n - 2 * third };
			p.n_extents = 3;
		}
		assert_int_equal(content_builder_add(w->builder, &p, e), 0);
		at += n;
	}
	return finish(w);
}

/* What is pinned is what is read, or too scattered; and the cache gets it back. */
static bool check_pinned(struct world *w, const uint8_t *data, uint64_t offset, size_t n,
			 int64_t want)
{
	struct iovec spans[CONTENT_SPANS_MAX];
	const int64_t pins = w->cache->pins;
	uint32_t n_spans = 0;
	int64_t got = content_pin(w->reader, offset, n, spans, &n_spans);
	bool done = got != -EFBIG;

	if (done)
		assert_int_equal(got, want);
	for (uint32_t i = 0; i < n_spans; i++) {
		assert_true((int64_t)spans[i].iov_len <= got);
		assert_memory_equal(spans[i].iov_base, data + offset, spans[i].iov_len);
		offset += spans[i].iov_len;
		got -= (int64_t)spans[i].iov_len;
	}
	assert_true(!done || got == 0);
	content_unpin(w->reader);
	/* Only nodes on the way to a piece stay. */
	assert_true(w->cache->pins <= pins + TREE_LEVELS_MAX);
	return done && n_spans > 0;
}

static void check_reads(struct world *w, const struct content *c, const uint8_t *data)
{
	uint8_t *to = malloc(DATA_BYTES);
	struct piece_view v;
	uint64_t seed = 1, at = 0, index = 0;
	int r, n_pinned = 0;

	assert_int_equal(content_reader_set(w->reader, c), 0);
	assert_int_equal(content_read(w->reader, 0, to, DATA_BYTES + 1000), DATA_BYTES);
	assert_memory_equal(to, data, DATA_BYTES);
	for (int i = 0; i < 2000; i++) {
		const uint64_t offset = test_random(&seed) % (DATA_BYTES + 10);
		const size_t n = test_random(&seed) % 70000;
		const int64_t want = offset >= DATA_BYTES      ? 0
				     : n < DATA_BYTES - offset ? (int64_t)n
							       : (int64_t)(DATA_BYTES - offset);

		assert_int_equal(content_read(w->reader, offset, to, n), want);
		if (want > 0)
			assert_memory_equal(to, data + offset, (size_t)want);
		n_pinned += check_pinned(w, data, offset, n % 10000,
					 want < (int64_t)(n % 10000) ? want : (int64_t)(n % 10000));
	}
	assert_true(n_pinned > 1000);
	assert_int_equal(content_reader_set(w->reader, c), 0);
	while ((r = content_reader_next(w->reader, &v)) > 0) {
		assert_int_equal(v.offset, at);
		assert_int_equal(v.index, index);
		assert_int_equal(content_read_piece(w->reader, &v, to), 0);
		assert_memory_equal(to, data + at, v.piece.length);
		at += v.piece.length;
		index++;
	}
	assert_int_equal(r, 0);
	assert_int_equal(at, DATA_BYTES);
	assert_int_equal(index, content_reader_count(w->reader));
	free(to);
}

static void check_holes(struct world *w)
{
	uint64_t seed = 3;

	for (int i = 0; i < 300; i++) {
		const uint64_t offset = test_random(&seed) % DATA_BYTES;
		int64_t hole = DATA_BYTES, data = -ENXIO;
		struct piece_view v;

		assert_int_equal(content_reader_seek(w->reader, offset), 0);
		while (content_reader_next(w->reader, &v) > 0) {
			const int64_t at = (int64_t)(v.offset > offset ? v.offset : offset);

			if (piece_is_hole(&v.piece) && hole == DATA_BYTES)
				hole = at;
			if (!piece_is_hole(&v.piece) && data == -ENXIO)
				data = at;
		}
		assert_int_equal(content_seek_hole(w->reader, offset, true), hole);
		assert_int_equal(content_seek_hole(w->reader, offset, false), data);
	}
}

static void test_inline_and_listed_contents_read_back(void **state)
{
	struct world *w = *state;
	uint8_t *data = malloc(DATA_BYTES);
	struct content c;

	c = build_reference(w, data, 900000);
	assert_int_equal(c.form, CONTENT_INLINE);
	check_reads(w, &c, data);
	check_holes(w);
	c = build_reference(w, data, 3000);
	assert_int_equal(c.form, CONTENT_LIST);
	check_reads(w, &c, data);
	check_holes(w);
	free(data);
}

static void test_edit_of_a_long_list_rewrites_few_nodes(void **state)
{
	struct world *w = *state;
	const uint64_t n = 100000;
	struct content a, b;
	struct piece_view v;
	uint64_t before;

	for (uint64_t i = 0; i < n; i++)
		add_own(w, i, 1000 + i % 77);
	a = finish(w);
	assert_int_equal(a.form, CONTENT_LIST);
	before = w->cache->objects;
	assert_true(before > 100 && before < 2000);
	for (uint64_t i = 0; i < n; i++) {
		if (i == 50000)
			add_own(w, n + 1, 500); /* one more in the middle */
		add_own(w, i, 1000 + i % 77);
	}
	b = finish(w);
	assert_true(w->cache->objects - before <= 8);
	assert_memory_not_equal(&a.id, &b.id, sizeof(a.id));
	assert_int_equal(content_reader_set(w->reader, &b), 0);
	assert_int_equal(content_reader_count(w->reader), n + 1);
	/* A seek loads one path of nodes. */
	w->cache->gets = 0;
	assert_int_equal(content_reader_seek(w->reader, b.length / 2), 0);
	assert_int_equal(content_reader_next(w->reader, &v), 1);
	assert_true(v.offset <= b.length / 2 && b.length / 2 < v.offset + v.piece.length);
	assert_true(w->cache->gets <= 3);
	/* No hole anywhere: told from the root. */
	w->cache->gets = 0;
	assert_int_equal(content_seek_hole(w->reader, 0, true), (int64_t)b.length);
	assert_true(w->cache->gets <= 6);
	assert_int_equal(content_reader_seek(w->reader, b.length), 0);
	assert_int_equal(content_reader_next(w->reader, &v), 0);
}

static void test_full_list_nodes_are_cut_before_their_limit(void **state)
{
	struct world *w = *state;
	struct extent e[PIECE_EXTENTS_MAX];
	struct content c;
	struct piece_view v;

	for (uint64_t i = 0; i < 500; i++) {
		const struct piece p = { .id = test_id(i),
					 .length = PIECE_EXTENTS_MAX * 300,
					 .n_extents = PIECE_EXTENTS_MAX };

		for (uint32_t k = 0; k < PIECE_EXTENTS_MAX; k++)
			e[k] = (struct extent){ .chunk = test_id(i * 1000 + k % PIECE_CHUNKS_MAX),
						.offset = 1000000 + k,
						.length = 300 };
		assert_int_equal(content_builder_add(w->builder, &p, e), 0);
	}
	c = finish(w);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	for (uint64_t i = 0; i < 500; i++) {
		assert_int_equal(content_reader_next(w->reader, &v), 1);
		for (uint32_t k = 0; k < PIECE_EXTENTS_MAX; k++) {
			const struct chunk_id id = test_id(i * 1000 + k % PIECE_CHUNKS_MAX);

			assert_memory_equal(&v.extents[k].chunk, &id, sizeof(id));
			assert_int_equal(v.extents[k].offset, 1000000 + k);
		}
	}
}

static void test_missing_and_damaged_chunks_are_told(void **state)
{
	struct world *w = *state;
	const uint8_t bytes[100] = { 1 };
	struct piece p = { .length = 100, .n_extents = 1 };
	struct extent e = { .length = 100 };
	struct iovec spans[CONTENT_SPANS_MAX];
	struct content c;
	uint8_t to[200];
	uint32_t n_spans = 0;

	assert_int_equal(memory_put(&w->cache->sink, OBJECT_DATA, bytes, 100, &p.id), 0);
	e.chunk = p.id;
	assert_int_equal(content_builder_add(w->builder, &p, &e), 0);
	add_own(w, 5, 100);
	c = finish(w);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_read(w->reader, 0, to, 100), 100);
	assert_int_equal(content_read(w->reader, 0, to, 200), -ENOENT);
	assert_int_equal(content_pin(w->reader, 0, 200, spans, &n_spans), -ENOENT);
	assert_int_equal(n_spans, 0);
	assert_int_equal(w->cache->pins, 0);
	memory_find(w->cache, &p.id, OBJECT_DATA)->damaged = true;
	assert_int_equal(content_read(w->reader, 0, to, 100), -EBADMSG);
	/* An extent past the end of its chunk. */
	memory_find(w->cache, &p.id, OBJECT_DATA)->damaged = false;
	e.offset = 1;
	assert_int_equal(content_builder_add(w->builder, &p, &e), 0);
	c = finish(w);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_read(w->reader, 0, to, 100), -EUCLEAN);
}

/* A small leaf, to be damaged: two pieces and a hole. */
static size_t small_leaf(struct world *w, uint8_t *to)
{
	struct list_writer *lw;
	struct chunk_id root;
	struct memory_object *o;
	const struct piece a = { .id = test_id(1), .length = 10, .n_extents = 1 };
	const struct extent ae = { .chunk = test_id(2), .offset = 3, .length = 10 };
	const struct piece b = { .id = test_id(3), .length = 9, .n_extents = 2 };
	const struct extent be[2] = { { .chunk = test_id(2), .offset = 1, .length = 4 },
				      { .chunk = test_id(4), .offset = 0, .length = 5 } };
	const struct piece hole = { .length = 65536 };

	assert_int_equal(list_writer_new(&w->cache->sink, &lw), 0);
	assert_int_equal(list_writer_add(lw, &a, &ae), 0);
	assert_int_equal(list_writer_add(lw, &b, be), 0);
	assert_int_equal(list_writer_add(lw, &hole, NULL), 0);
	assert_int_equal(list_writer_finish(lw, &root), 0);
	list_writer_free(lw);
	o = memory_find(w->cache, &root, OBJECT_LIST);
	memcpy(to, o->data, o->n);
	return o->n;
}

static int check_list(const uint8_t *data, size_t n)
{
	struct list_view v;
	int r = list_view_init(&v, data, n);

	return r < 0 ? r : list_view_check(&v);
}

static void test_malformed_list_nodes_are_refused(void **state)
{
	struct world *w = *state;
	uint8_t good[1024], bad[1024];
	const size_t n = small_leaf(w, good);
	const size_t body = NODE_HEADER_BYTES + 64;

	assert_int_equal(check_list(good, n), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(check_list(good, i), -EUCLEAN);
#define EXPECT_BAD(at, value)                                   \
	do {                                                    \
		memcpy(bad, good, n);                           \
		bad[at] = (uint8_t)(value);                     \
		assert_int_equal(check_list(bad, n), -EUCLEAN); \
	} while (0)
	EXPECT_BAD(0, 2); /* format */
	EXPECT_BAD(1, TREE_LEVELS_MAX);
	EXPECT_BAD(1, 1);
	EXPECT_BAD(2, 0); /* no pieces */
	EXPECT_BAD(2, 4);
	EXPECT_BAD(4, 9);              /* more chunks than there are */
	EXPECT_BAD(body, 0 << 2 | 2);  /* no length */
	EXPECT_BAD(body, 10 << 2 | 0); /* a hole with a head */
	EXPECT_BAD(body + 33, 2);      /* chunk out of the table */
	EXPECT_BAD(body + 35 + 33, 1); /* extents: one, told as several */
	EXPECT_BAD(body + 35 + 36, 9); /* the first takes all */
	EXPECT_BAD(n - 6, 1);          /* offsets do not begin at 0 */
	EXPECT_BAD(n - 4, 0);          /* nor ascend */
	memcpy(bad, good, n);
	memset(bad + body + 1, 0, 32); /* a hole's id */
	assert_int_equal(check_list(bad, n), -EUCLEAN);
}

static struct chunk_id put_inner(struct world *w, uint8_t level, const struct list_child *c)
{
	uint8_t node[LIST_HEADER_BYTES + LIST_CHILD_BYTES] = { NODE_FORMAT, level, 1 };
	struct chunk_id id;
	uint8_t *at = node + NODE_HEADER_BYTES;

	for (int i = 0; i < 2; i++) {
		at = put_u64(put_u64(put_u64(at, c->length), c->pieces), c->holes);
		if (i == 0)
			at = put_bytes(at, c->id.bytes, 32);
	}
	assert_int_equal(memory_put(&w->cache->sink, OBJECT_LIST, node, sizeof(node), &id), 0);
	return id;
}

static void test_forged_lists_neither_loop_nor_lie(void **state)
{
	struct world *w = *state;
	uint8_t leaf[1024];
	struct list_child child = { .length = 65555, .pieces = 3, .holes = 1 };
	struct content c = { .form = CONTENT_LIST, .length = 65555, .id = test_id(9) };
	struct piece_view v;
	const size_t n = small_leaf(w, leaf);

	assert_int_equal(memory_put(&w->cache->sink, OBJECT_LIST, leaf, n, &child.id), 0);
	c.list = put_inner(w, 1, &child);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_reader_next(w->reader, &v), 1);
	assert_int_equal(content_seek_hole(w->reader, 0, true), 19);
	c.length++;
	assert_int_equal(content_reader_set(w->reader, &c), -EUCLEAN);
	c.length--;
	c.list = put_inner(w, 2, &child); /* a level is missing */
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_reader_next(w->reader, &v), -EUCLEAN);
	child.pieces = 4;
	c.list = put_inner(w, 1, &child);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_reader_next(w->reader, &v), -EUCLEAN);
	child.pieces = 3;
	child.length--;
	c.length--;
	c.list = put_inner(w, 1, &child);
	assert_int_equal(content_reader_set(w->reader, &c), 0);
	assert_int_equal(content_reader_seek(w->reader, 5), -EUCLEAN);
}

static void test_zero_ranges_are_recognised(void **state)
{
	uint8_t data[4096] = { 0 };

	(void)state;
	assert_true(bytes_are_zero(data, 0));
	for (size_t n = 1; n < sizeof(data); n += 13) {
		assert_true(bytes_are_zero(data, n));
		data[n - 1] = 1;
		assert_false(bytes_are_zero(data, n));
		data[n - 1] = 0;
		data[n / 2] = 1;
		assert_false(bytes_are_zero(data, n));
		data[n / 2] = 0;
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_empty),
		TEST(test_content_ids_do_not_depend_on_storage),
		TEST(test_holes_join_and_have_an_id),
		TEST(test_builder_refuses_what_no_reader_takes),
		TEST(test_inline_and_listed_contents_read_back),
		TEST(test_edit_of_a_long_list_rewrites_few_nodes),
		TEST(test_full_list_nodes_are_cut_before_their_limit),
		TEST(test_missing_and_damaged_chunks_are_told),
		TEST(test_malformed_list_nodes_are_refused),
		TEST(test_forged_lists_neither_loop_nor_lie),
		cmocka_unit_test(test_zero_ranges_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
