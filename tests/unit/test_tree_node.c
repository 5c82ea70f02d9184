/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory_tree.h"

static struct node_builder *builder;
static struct entry_decoder decoder;

static int setup(void **state)
{
	(void)state;
	return node_builder_new(0, &builder);
}

static int teardown(void **state)
{
	(void)state;
	node_builder_free(builder);
	entry_decoder_done(&decoder);
	return 0;
}

/* Through a node and alone. */
static void round_trip(const struct tree_entry *e)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf alone = { 0 };
	struct tree_entry back;
	struct node_view v;
	const uint8_t *data;
	uint64_t total;
	size_t n;

	node_builder_reset(builder, 0);
	assert_int_equal(node_builder_add_entry(builder, e), 0);
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	assert_int_equal(n, node_builder_bytes(builder));
	assert_int_equal(node_view_init(&v, data, n), 0);
	assert_int_equal(node_view_check(&v), 0);
	assert_int_equal(node_view_entry(&v, 0, &decoder, &back), 0);
	assert_entry_equal(e, &back);
	assert_int_equal(tree_entry_encode(&alone, e), 0);
	assert_int_equal(tree_entry_decode(alone.data, alone.n, &decoder, &back), 0);
	assert_entry_equal(e, &back);
	for (size_t i = 0; i < alone.n; i++)
		assert_int_equal(tree_entry_decode(alone.data, i, &decoder, &back), -EUCLEAN);
}

static void test_every_field_survives(void **state)
{
	struct test_file f;
	struct tree_entry e = *test_file(&f, "report.odt", 1);

	(void)state;
	round_trip(&e);
	e.uid = UINT32_MAX;
	e.gid = 0;
	e.nlink = UINT32_MAX;
	e.file_system = FILE_SYSTEMS_MAX - 1;
	e.ino = UINT64_MAX;
	e.mode = S_IFREG | 07777;
	e.attribute_flags = UINT32_MAX;
	e.flags = ENTRY_SPARSE | ENTRY_UNREADABLE | ENTRY_PLACEHOLDER;
	e.btime = (struct node_time){ 0 };
	e.consistency = CONSISTENCY_HOOK;
	round_trip(&e);
	e.flags |= ENTRY_XATTRS_CHUNK;
	e.xattrs = f.piece.id.bytes;
	e.xattrs_n = 32;
	round_trip(&e);
	e.flags &= ~(uint32_t)ENTRY_XATTRS_CHUNK;
	e.xattrs = (const uint8_t *)"\x07user.a\0\x03xyz\x07user.b\0\0";
	e.xattrs_n = 21;
	round_trip(&e);
}

static void test_times_before_1970_and_far_apart_survive(void **state)
{
	static const int64_t seconds[] = { 0,         -1,          1,          INT64_MIN,
					   INT64_MAX, -2208988800, 4000000000, 4000000001 };
	static const uint32_t ns[] = { 0, 1, 500000000, 999999999 };
	struct test_file f;
	struct tree_entry e = *test_file(&f, "x", 1);

	(void)state;
	for (size_t i = 0; i < 8 * 4; i++) {
		e.mtime = (struct node_time){ seconds[i / 4], ns[i % 4] };
		for (size_t k = 0; k < 8 * 4; k++) {
			e.ctime = (struct node_time){ seconds[k / 4], ns[k % 4] };
			e.btime = (struct node_time){ seconds[(k + i) / 4 % 8], ns[i % 4] };
			round_trip(&e);
		}
	}
}

static void test_every_kind_of_object_survives(void **state)
{
	struct tree_entry e = { .name = "x", .name_n = 1, .mode = S_IFCHR | 0600, .nlink = 1 };
	char link[LINK_BYTES_MAX];
	struct test_file f;

	(void)state;
	e.rdev = UINT64_MAX;
	round_trip(&e);
	e.mode = S_IFBLK;
	e.rdev = 8ull << 32 | 1;
	round_trip(&e);
	e.rdev = 0;
	e.mode = S_IFIFO | 0600;
	round_trip(&e);
	e.mode = S_IFSOCK | 0600;
	round_trip(&e);
	e.mode = S_IFDIR | 01777;
	e.size = 4096;
	round_trip(&e);
	e.tree = test_id(5);
	round_trip(&e);
	memset(&e.tree, 0, sizeof(e.tree));
	e.mode = S_IFLNK | 0777;
	memset(link, '/', sizeof(link));
	e.link = link;
	e.link_n = sizeof(link);
	round_trip(&e);
	e.link_n = 1;
	e.size = 0;
	round_trip(&e);
	e = *test_file(&f, "x", 1);
	e.content = (struct content){ 0 };
	e.size = 0;
	round_trip(&e);
	e.content = (struct content){
		.form = CONTENT_LIST, .id = test_id(1), .list = test_id(2), .length = INT64_MAX
	};
	e.size = INT64_MAX;
	round_trip(&e);
}

static void test_contents_of_many_pieces_survive(void **state)
{
	struct piece pieces[INLINE_PIECES_MAX];
	struct extent extents[INLINE_PIECES_MAX * PIECE_EXTENTS_MAX];
	struct test_file f;
	struct tree_entry e = *test_file(&f, "image.qcow2", 1);
	uint32_t n = 0;
	uint64_t length = 0;

	(void)state;
	for (uint32_t i = 0; i < INLINE_PIECES_MAX; i++) {
		pieces[i] = (struct piece){ .id = test_id(i),
					    .length = CHUNK_RAW_MAX,
					    .n_extents = PIECE_EXTENTS_MAX };
		for (uint32_t k = 0; k < PIECE_EXTENTS_MAX; k++)
			extents[n++] = (struct extent){
				.chunk = test_id(100 + i * PIECE_CHUNKS_MAX + k % PIECE_CHUNKS_MAX),
				.offset = CHUNK_RAW_MAX - 8192,
				.length = 8192
			};
		length += pieces[i].length;
	}
	e.content = (struct content){ .form = CONTENT_INLINE,
				      .id = test_id(3),
				      .length = length,
				      .pieces = pieces,
				      .n_pieces = INLINE_PIECES_MAX,
				      .extents = extents,
				      .n_extents = n };
	e.size = length;
	round_trip(&e);
	/* A hole, and a chunk that is the piece itself. */
	pieces[0] = (struct piece){ .length = 1ull << 40 };
	pieces[1] = (struct piece){ .id = test_id(8), .length = 77, .n_extents = 1 };
	extents[0] = (struct extent){ .chunk = test_id(8), .length = 77 };
	e.content.n_pieces = 2;
	e.content.n_extents = 1;
	e.size = e.content.length = (1ull << 40) + 77;
	round_trip(&e);
	e.content.n_pieces = 1;
	e.content.n_extents = 0;
	e.size = e.content.length = 1ull << 40;
	round_trip(&e);
}

static void test_any_bytes_make_a_name(void **state)
{
	struct test_file f;
	struct tree_entry e = *test_file(&f, "x", 1);
	char name[NAME_BYTES_MAX];

	(void)state;
	e.name = name;
	e.name_n = NAME_BYTES_MAX;
	memset(name, 0xff, sizeof(name));
	round_trip(&e);
	memcpy(name, "\xc3\x28\x01 ...", 7);
	round_trip(&e);
	e.name = "...";
	e.name_n = 3;
	round_trip(&e);
	e.name = ".a";
	e.name_n = 2;
	round_trip(&e);
}

static void test_root_alone_may_have_no_name(void **state)
{
	const struct chunk_id tree = test_id(1);
	const struct tree_entry e = test_directory("", &tree);
	CLEANUP(byte_buf_done_ptr) struct byte_buf b = { 0 };
	struct tree_entry back;

	(void)state;
	assert_int_equal(tree_entry_encode(&b, &e), 0);
	assert_int_equal(tree_entry_decode(b.data, b.n, &decoder, &back), 0);
	assert_entry_equal(&e, &back);
	assert_int_equal(node_builder_add_entry(builder, &e), -EINVAL);
}

#define REFUSE(change)                                                          \
	do {                                                                    \
		struct tree_entry e = *test_file(&f, "x", 1);                   \
		change;                                                         \
		assert_int_equal(node_builder_add_entry(builder, &e), -EINVAL); \
	} while (0)

static void test_builder_refuses_what_no_reader_takes(void **state)
{
	static const char long_name[NAME_BYTES_MAX + 1] = { 'x' };
	struct test_file f;

	(void)state;
	REFUSE(e.name = ".");
	REFUSE((e.name = "..", e.name_n = 2));
	REFUSE(e.name = "/");
	REFUSE(e.name_n = 0);
	REFUSE(e.name_n = 2); /* the NUL */
	REFUSE((e.name = long_name, e.name_n = NAME_BYTES_MAX + 1));
	REFUSE(e.mode = 0644);
	REFUSE(e.mode = S_IFREG | 0x10000);
	REFUSE(e.mode = 0xf000);
	REFUSE(e.mode = S_IFDIR);
	REFUSE(e.size++);
	REFUSE((e.size++, e.content.length++));
	REFUSE(e.mtime.nanoseconds = 1000000000);
	REFUSE(e.ctime.nanoseconds = 1000000000);
	REFUSE(e.btime.nanoseconds = 1000000000);
	REFUSE(e.flags = 32);
	REFUSE(e.consistency = 4);
	REFUSE(e.file_system = FILE_SYSTEMS_MAX);
	REFUSE((e.link = "a", e.link_n = 1));
	REFUSE(e.tree = test_id(1));
	REFUSE(e.rdev = 1);
	REFUSE((e.xattrs = (const uint8_t *)"junk", e.xattrs_n = 4));
	REFUSE(e.flags = ENTRY_XATTRS_CHUNK);
	REFUSE(e.content.n_pieces = INLINE_PIECES_MAX + 1);
	REFUSE(e.content.n_extents = 2);
	REFUSE(f.extent.length--);
	REFUSE(f.extent.offset = CHUNK_RAW_MAX);
	REFUSE(e.content.id = test_id(77));
	REFUSE((e = (struct tree_entry){ .name = "x", .name_n = 1, .mode = S_IFLNK }));
	assert_int_equal(node_builder_count(builder), 0);
	assert_int_equal(node_builder_add_entry(builder, test_file(&f, "b", 1)), 0);
	assert_int_equal(node_builder_add_entry(builder, test_file(&f, "b", 1)), -EINVAL);
	assert_int_equal(node_builder_add_entry(builder, test_file(&f, "a", 1)), -EINVAL);
	assert_int_equal(node_builder_add_entry(builder, test_file(&f, "b.", 1)), 0);
}

static void test_full_node_refuses_and_stays_usable(void **state)
{
	struct test_file f;
	struct node_view v;
	char name[32];
	const uint8_t *data;
	uint64_t total;
	size_t n;
	int r = 0;
	uint32_t i;

	(void)state;
	for (i = 0; r == 0; i++) {
		(void)snprintf(name, sizeof(name), "file-%06u", i);
		r = node_builder_add_entry(builder, test_file(&f, name, i * 50)); /* own chunks */
	}
	assert_int_equal(r, -EFBIG);
	assert_int_equal(node_builder_count(builder), i - 1);
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	assert_true(n <= NODE_BYTES_MAX);
	assert_true(n > NODE_BYTES_MAX - 300);
	assert_int_equal(node_view_init(&v, data, n), 0);
	assert_int_equal(node_view_check(&v), 0);
	assert_int_equal(v.total, i - 1);
}

static void test_search_finds_the_place_of_any_name(void **state)
{
	struct test_file f;
	struct node_view v;
	char name[32];
	const uint8_t *data;
	uint64_t total;
	size_t n;
	bool equal;

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "n%03u", i * 2);
		assert_int_equal(node_builder_add_entry(builder, test_file(&f, name, i)), 0);
	}
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	assert_int_equal(node_view_init(&v, data, n), 0);
	for (uint32_t i = 0; i < 199; i++) {
		(void)snprintf(name, sizeof(name), "n%03u", i);
		assert_int_equal(node_view_search(&v, name, 4, &equal), (i + 1) / 2);
		assert_int_equal(equal, i % 2 == 0);
	}
	assert_int_equal(node_view_search(&v, "z", 1, &equal), 100);
	node_builder_reset(builder, 1);
	for (uint32_t i = 0; i < 100; i++) {
		const struct chunk_id id = test_id(i);

		(void)snprintf(name, sizeof(name), "n%03u", i * 2);
		assert_int_equal(node_builder_add_child(builder, name, 4, &id, 5), 0);
	}
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	assert_int_equal(total, 500);
	assert_int_equal(node_view_init(&v, data, n), 0);
	assert_int_equal(node_view_check(&v), 0);
	for (uint32_t i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "n%03u", i);
		assert_int_equal(node_view_search(&v, name, 4, NULL), i / 2);
	}
	assert_int_equal(node_view_search(&v, "a", 1, NULL), 0);
}

static int check_node(const uint8_t *data, size_t n)
{
	struct node_view v;
	const int r = node_view_init(&v, data, n);

	return r < 0 ? r : node_view_check(&v);
}

/* Two files "a" and "b"; returns the node's size. */
static size_t two_files(uint8_t *to)
{
	struct test_file f;
	const uint8_t *data;
	uint64_t total;
	size_t n;

	assert_int_equal(node_builder_add_entry(builder, test_file(&f, "a", 1)), 0);
	assert_int_equal(node_builder_add_entry(builder, test_file(&f, "b", 2)), 0);
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	memcpy(to, data, n);
	return n;
}

static void test_malformed_nodes_are_refused(void **state)
{
	uint8_t good[1024], bad[1024];
	const size_t n = two_files(good);
	const size_t body = NODE_HEADER_BYTES + 32;
	const size_t second = body + get_u16(good + n - 2);

	(void)state;
	assert_int_equal(check_node(good, n), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(check_node(good, i), -EUCLEAN);
#define EXPECT_BAD(at, value)                                   \
	do {                                                    \
		memcpy(bad, good, n);                           \
		bad[at] = (uint8_t)(value);                     \
		assert_int_equal(check_node(bad, n), -EUCLEAN); \
	} while (0)
	EXPECT_BAD(0, 0);
	EXPECT_BAD(1, TREE_LEVELS_MAX);
	EXPECT_BAD(1, 1);
	EXPECT_BAD(2, 0);
	EXPECT_BAD(2, 1);
	EXPECT_BAD(2, 3);
	EXPECT_BAD(3, 0xff);
	EXPECT_BAD(4, 0);
	EXPECT_BAD(5, 0xff);
	EXPECT_BAD(body, 0);   /* no name */
	EXPECT_BAD(body, 255); /* a name past its entry */
	EXPECT_BAD(body + 1, '.');
	EXPECT_BAD(body + 1, '/');
	EXPECT_BAD(body + 1, 0);
	EXPECT_BAD(body + 1, 'b');    /* twice the same */
	EXPECT_BAD(body + 1, 'c');    /* out of order */
	EXPECT_BAD(body + 3, 0xf1);   /* no such type */
	EXPECT_BAD(body + 5, 0xff);   /* no such field */
	EXPECT_BAD(second + 3, 0x41); /* a directory with a file's bytes */
	EXPECT_BAD(n - 4, 1);         /* offsets */
	EXPECT_BAD(n - 2, 0);
	EXPECT_BAD(n - 1, 0xff);
}

static void test_any_single_changed_byte_is_refused_or_harmless(void **state)
{
	uint8_t good[1024];
	const size_t n = two_files(good);
	struct node_view v;

	(void)state;
	for (size_t i = 0; i < n * 255; i++) {
		good[i / 255] ^= (uint8_t)(i % 255 + 1);
		if (check_node(good, n) == 0) {
			struct tree_entry e;

			assert_int_equal(node_view_init(&v, good, n), 0);
			node_builder_reset(builder, 0);
			for (uint32_t k = 0; k < v.count; k++) {
				assert_int_equal(node_view_entry(&v, k, &decoder, &e), 0);
				assert_int_equal(node_builder_add_entry(builder, &e), 0);
			}
		}
		good[i / 255] ^= (uint8_t)(i % 255 + 1);
	}
}

static void test_inner_nodes_are_checked(void **state)
{
	const struct chunk_id id = test_id(1);
	uint8_t bad[256];
	const uint8_t *data;
	uint64_t total;
	size_t n;

	(void)state;
	node_builder_reset(builder, 1);
	assert_int_equal(node_builder_add_child(builder, "a", 1, &id, 0), -EINVAL);
	assert_int_equal(node_builder_add_child(builder, "..", 2, &id, 1), -EINVAL);
	assert_int_equal(node_builder_add_child(builder, "a", 1, &id, 5), 0);
	assert_int_equal(node_builder_add_child(builder, "a", 1, &id, 5), -EINVAL);
	assert_int_equal(node_builder_add_child(builder, "b", 1, &id, UINT64_MAX), -EINVAL);
	assert_int_equal(node_builder_add_child(builder, "b", 1, &id, 5), 0);
	assert_int_equal(node_builder_finish(builder, &data, &n, &total), 0);
	assert_int_equal(check_node(data, n), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(check_node(data, i), -EUCLEAN);
	memcpy(bad, data, n);
	bad[NODE_HEADER_BYTES]++; /* total */
	assert_int_equal(check_node(bad, n), -EUCLEAN);
	memcpy(bad, data, n);
	bad[4] = 1; /* chunks in an inner node */
	assert_int_equal(check_node(bad, n), -EUCLEAN);
	memcpy(bad, data, n);
	bad[NODE_HEADER_BYTES + 8 + 1] = 'b'; /* equal names */
	assert_int_equal(check_node(bad, n), -EUCLEAN);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_every_field_survives),
		TEST(test_times_before_1970_and_far_apart_survive),
		TEST(test_every_kind_of_object_survives),
		TEST(test_contents_of_many_pieces_survive),
		TEST(test_any_bytes_make_a_name),
		TEST(test_root_alone_may_have_no_name),
		TEST(test_builder_refuses_what_no_reader_takes),
		TEST(test_full_node_refuses_and_stays_usable),
		TEST(test_search_finds_the_place_of_any_name),
		TEST(test_malformed_nodes_are_refused),
		TEST(test_any_single_changed_byte_is_refused_or_harmless),
		TEST(test_inner_nodes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
