/* SPDX-License-Identifier: MIT */
/* Repositories made with valid keys by a client that went bad: directories and long files. */
#include "tests/fault/hostile_doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- names ---- */

static const struct {
	const char *name;
	size_t n;
} bad_names[] = { { "", 0 },     { ".", 1 },    { "..", 2 },
		  { "a/b", 3 },  { "a\0b", 3 }, { "/etc", 4 },
		  { "../x", 4 }, { "/", 1 },    { "../../outside/canary", 20 } };

static struct chunk_id bad_name(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };
	struct chunk_id data = hostile_put(&w->h, OBJECT_DATA, "evil", 4);
	struct byte_buf *to = raw_item(&leaf);

	raw_front(to, bad_names[kind].name, bad_names[kind].n, S_IFREG | 0644, 0);
	byte_buf_varint(to, 1);
	byte_buf_varint(to, 4 << 2 | 1);
	byte_buf_append(to, data.bytes, sizeof(data.bytes));
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

enum order {
	UNSORTED,
	DUPLICATE,
	LINK_THEN_FOLDER,
	DUPLICATE_OVER_LEAVES,
	CHILD_OUTSIDE,
	CHILD_TOTAL,
	CHILD_LEVEL,
	CHILD_ITSELF
};

/* Two leaves under an inner node that says something else of them. */
static struct chunk_id bad_children(struct world *w, uint64_t kind)
{
	struct raw_node one = { 0 }, two = { 0 }, inner = { .level = 1 };
	struct chunk_id a, b, below;

	raw_symlink(&one, "dir", "../../outside");
	a = raw_node_put(&w->h, &one);
	(void)hostile_good_file(&w->h, &two, "canary");
	below = raw_node_put(&w->h, &two);
	raw_directory(&two, kind == DUPLICATE_OVER_LEAVES ? "dir" : "good", &below);
	b = raw_node_put(&w->h, &two);
	raw_child(&inner, kind == CHILD_OUTSIDE ? "a" : "dir", &a, 1);
	if (kind == CHILD_LEVEL) {
		struct raw_node middle = { .level = 1 };

		raw_child(&middle, "good", &b, 1);
		b = raw_inner_put(&w->h, &middle, 1);
	}
	raw_child(&inner, "good", &b, kind == CHILD_TOTAL ? 7 : 1);
	return raw_inner_put(&w->h, &inner, kind == CHILD_TOTAL ? 8 : 2);
}

/* An inner node whose child is itself, under a false id. */
static struct chunk_id child_itself(struct world *w)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	CLEANUP(raw_node_done) struct raw_node inner = { .level = 1 };
	const struct chunk_id self = hostile_id(5);

	raw_child(&inner, "good", &self, 1);
	raw_node_bytes(&inner, 1, &bytes);
	hostile_put_id(&w->h, OBJECT_TREE, &self, bytes.data, bytes.n);
	return self;
}

static struct chunk_id bad_order(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 }, below = { 0 };
	struct chunk_id id;

	if (kind == CHILD_ITSELF)
		return child_itself(w);
	if (kind >= DUPLICATE_OVER_LEAVES)
		return bad_children(w, kind);
	(void)hostile_good_file(&w->h, &below, "canary");
	id = raw_node_put(&w->h, &below);
	if (kind == LINK_THEN_FOLDER)
		raw_symlink(&leaf, "evil", "../../outside");
	else
		(void)hostile_good_file(&w->h, &leaf, kind == UNSORTED ? "z" : "evil");
	raw_directory(&leaf, "evil", &id);
	return raw_node_put(&w->h, &leaf);
}

static void test_names_never_lead_elsewhere(void **state)
{
	struct scenario scenarios[sizeof(bad_names) / sizeof(bad_names[0])];

	(void)state;
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
		scenarios[i] = (struct scenario){ bad_names[i].n ? bad_names[i].name : "(empty)",
						  bad_name,
						  i,
						  .walk = -EUCLEAN,
						  .audit = SOME,
						  .restore = SOME };
	RUN_ALL(scenarios);
}

static void test_order_and_children_are_checked(void **state)
{
#define MALFORMED .walk = -EUCLEAN, .audit = SOME, .restore = SOME
	static const struct scenario scenarios[] = {
		{ "unsorted", bad_order, UNSORTED, MALFORMED },
		{ "duplicate", bad_order, DUPLICATE, MALFORMED },
		{ "link, then folder", bad_order, LINK_THEN_FOLDER, MALFORMED },
		{ "the same over two leaves", bad_order, DUPLICATE_OVER_LEAVES, MALFORMED },
		{ "child's name", bad_order, CHILD_OUTSIDE, MALFORMED },
		{ "child's number of entries", bad_order, CHILD_TOTAL, MALFORMED },
		{ "child's level", bad_order, CHILD_LEVEL, MALFORMED },
		{ "child of itself", bad_order, CHILD_ITSELF, MALFORMED, .scrub = SOME },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- counts and lengths ---- */

enum count_lie {
	MANY_ENTRIES,
	NO_ENTRIES,
	MANY_CHILDREN_TOTAL,
	LEVEL_255,
	OFFSETS_BACK,
	MANY_PIECES,
	MANY_EXTENTS,
	EXTENTS_SHORT,
	EXTENTS_LONG,
	EXTENT_PAST_CHUNK,
	PIECE_TOO_LONG,
	HOLE_PAST_END,
	SIZE_TWICE,
	XATTRS_HUGE,
	XATTRS_MALFORMED,
	XATTRS_CHUNK_MISSING,
	LINK_HUGE,
	LINK_NUL,
	UNKNOWN_TYPE,
	UNKNOWN_FIELDS
};

static void put_pieces(struct byte_buf *to, struct raw_node *leaf, const struct chunk_id *data,
		       uint64_t kind)
{
	const bool several = kind == MANY_EXTENTS || kind == EXTENTS_SHORT || kind == EXTENTS_LONG;

	raw_front(to, "evil", 4, S_IFREG | 0644, 0);
	if (kind == MANY_PIECES) {
		byte_buf_varint(to, UINT32_MAX);
		return;
	}
	if (kind == HOLE_PAST_END) {
		byte_buf_varint(to, 2);
		for (int i = 0; i < 2; i++) {
			byte_buf_varint(to, 0);
			byte_buf_varint(to, INT64_MAX);
		}
		byte_buf_append(to, data->bytes, sizeof(data->bytes));
		return;
	}
	byte_buf_append(&leaf->chunks, data->bytes, sizeof(data->bytes));
	byte_buf_varint(to, 1);
	byte_buf_varint(to, (kind == PIECE_TOO_LONG ? CHUNK_RAW_MAX + 1ull : 40) << 2 |
				    (several ? 3 : 2));
	byte_buf_append(to, data->bytes, sizeof(data->bytes));
	if (several)
		byte_buf_varint(to, kind == MANY_EXTENTS ? PIECE_EXTENTS_MAX + 1 : 2);
	byte_buf_varint(to, 0);
	byte_buf_varint(to, kind == EXTENT_PAST_CHUNK ? 30 : 0);
	if (!several)
		return;
	byte_buf_varint(to, kind == EXTENTS_LONG ? 41 : 40);
	byte_buf_varint(to, 0);
	byte_buf_varint(to, 0);
}

static void put_attributes(struct byte_buf *to, uint64_t kind)
{
	const struct chunk_id missing = hostile_id(9);

	raw_front(to, "evil", 4, S_IFDIR | 0755,
		  RAW_XATTRS | (kind == XATTRS_CHUNK_MISSING ? RAW_MORE : 0));
	if (kind == XATTRS_CHUNK_MISSING) {
		byte_buf_varint(to, ENTRY_XATTRS_CHUNK);
		byte_buf_varint(to, 0);
		byte_buf_varint(to, 0);
		byte_buf_blob(to, missing.bytes, sizeof(missing.bytes));
	} else if (kind == XATTRS_HUGE) {
		byte_buf_varint(to, UINT64_MAX);
	} else {
		byte_buf_blob(to, "\x06user.a\x01x", 9); /* a name without its NUL */
	}
}

static void put_link(struct byte_buf *to, uint64_t kind)
{
	char target[LINK_BYTES_MAX + 2];

	memset(target, 'x', sizeof(target));
	raw_front(to, "evil", 4, S_IFLNK | 0777, 0);
	if (kind == LINK_HUGE)
		byte_buf_blob(to, target, LINK_BYTES_MAX + 1);
	else
		byte_buf_blob(to, "a\0b", 3);
}

static void put_entry(struct world *w, struct raw_node *leaf, uint64_t kind)
{
	static const char bytes[] = "forty bytes, not one more, not one less.";
	const struct chunk_id data = hostile_put(&w->h, OBJECT_DATA, bytes, 40);
	struct byte_buf *to = raw_item(leaf);

	if (kind >= MANY_PIECES && kind <= HOLE_PAST_END) {
		put_pieces(to, leaf, &data, kind);
	} else if (kind >= XATTRS_HUGE && kind <= XATTRS_CHUNK_MISSING) {
		put_attributes(to, kind);
	} else if (kind == LINK_HUGE || kind == LINK_NUL) {
		put_link(to, kind);
	} else {
		raw_front(to, "evil", 4, kind == UNKNOWN_TYPE ? 0170000 : S_IFREG | 0644,
			  kind == UNKNOWN_FIELDS ? 0x8000
			  : kind == SIZE_TWICE   ? RAW_SIZE
						 : 0);
		if (kind == SIZE_TWICE)
			byte_buf_varint(to, 1ull << 40);
		byte_buf_varint(to, 1);
		byte_buf_varint(to, 40 << 2 | 1);
		byte_buf_append(to, data.bytes, sizeof(data.bytes));
	}
}

static struct chunk_id bad_count(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };

	put_entry(w, &leaf, kind);
	(void)hostile_good_file(&w->h, &leaf, "good");
	if (kind == MANY_ENTRIES)
		leaf.false_count = 65535;
	if (kind == NO_ENTRIES)
		leaf.false_count = 65536;
	if (kind == OFFSETS_BACK)
		leaf.offsets.data[0] = 9;
	if (kind == LEVEL_255)
		leaf.level = 255;
	if (kind == MANY_CHILDREN_TOTAL) {
		struct raw_node inner = { .level = 1 };
		const struct chunk_id id = raw_node_put(&w->h, &leaf);

		raw_child(&inner, "evil", &id, UINT64_MAX);
		raw_child(&inner, "f", &id, 2);
		return raw_inner_put(&w->h, &inner, 1);
	}
	return raw_inner_put(&w->h, &leaf, 2);
}

static void test_counts_and_lengths_are_bounded(void **state)
{
	static const struct scenario scenarios[] = {
		{ "65,535 entries", bad_count, MANY_ENTRIES, MALFORMED },
		{ "no entries", bad_count, NO_ENTRIES, MALFORMED },
		{ "2^64 entries below", bad_count, MANY_CHILDREN_TOTAL, MALFORMED },
		{ "level 255", bad_count, LEVEL_255, MALFORMED },
		{ "offsets", bad_count, OFFSETS_BACK, MALFORMED },
		{ "2^32 pieces", bad_count, MANY_PIECES, MALFORMED },
		{ "129 extents", bad_count, MANY_EXTENTS, MALFORMED },
		{ "extents too short", bad_count, EXTENTS_SHORT, MALFORMED },
		{ "extents too long", bad_count, EXTENTS_LONG, MALFORMED },
		{ "extent past its chunk", bad_count, EXTENT_PAST_CHUNK, .read = -EUCLEAN,
		  .audit = SOME, .restore = SOME },
		{ "piece too long", bad_count, PIECE_TOO_LONG, MALFORMED },
		{ "holes past 2^63", bad_count, HOLE_PAST_END, MALFORMED },
		{ "two sizes", bad_count, SIZE_TWICE, MALFORMED },
		{ "2^64 bytes of attributes", bad_count, XATTRS_HUGE, MALFORMED },
		{ "attributes malformed", bad_count, XATTRS_MALFORMED, .walk = ANY, .audit = SOME,
		  .restore = ANY },
		{ "attributes missing", bad_count, XATTRS_CHUNK_MISSING, .audit = SOME,
		  .restore = ANY },
		{ "link too long", bad_count, LINK_HUGE, MALFORMED },
		{ "link with a NUL", bad_count, LINK_NUL, MALFORMED },
		{ "unknown type", bad_count, UNKNOWN_TYPE, MALFORMED },
		{ "unknown fields", bad_count, UNKNOWN_FIELDS, MALFORMED },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- long lists ---- */

enum list_lie { LIST_LENGTH, LIST_CHILD_LENGTH, LIST_CHILD_LEVEL, LIST_ITSELF, LIST_PIECES };

static void list_leaf(struct world *w, struct byte_buf *to, unsigned int n)
{
	const struct chunk_id id = hostile_put(&w->h, OBJECT_DATA, "0123456789", 10);

	byte_buf_u8(to, NODE_FORMAT);
	byte_buf_u8(to, 0);
	byte_buf_u16(to, (uint16_t)n);
	byte_buf_u16(to, 0);
	for (unsigned int i = 0; i < n; i++) {
		byte_buf_varint(to, 10 << 2 | 1);
		byte_buf_append(to, id.bytes, sizeof(id.bytes));
	}
	for (unsigned int i = 0; i < n; i++)
		byte_buf_u16(to, (uint16_t)(i * 33));
}

static void list_inner(struct byte_buf *to, uint8_t level, const struct chunk_id *child,
		       uint64_t length, uint64_t pieces)
{
	byte_buf_u8(to, NODE_FORMAT);
	byte_buf_u8(to, level);
	byte_buf_u16(to, 2);
	byte_buf_u16(to, 0);
	byte_buf_u64(to, 2 * length);
	byte_buf_u64(to, 2 * pieces);
	byte_buf_u64(to, 0);
	for (int i = 0; i < 2; i++) {
		byte_buf_append(to, child->bytes, sizeof(child->bytes));
		byte_buf_u64(to, length);
		byte_buf_u64(to, pieces);
		byte_buf_u64(to, 0);
	}
}

static struct chunk_id bad_list(struct world *w, uint64_t kind)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	const struct chunk_id self = hostile_id(6);
	struct raw_node leaf = { 0 };
	struct chunk_id id;
	uint64_t length = 200;

	list_leaf(w, &bytes, 20);
	id = hostile_put(&w->h, OBJECT_LIST, bytes.data, bytes.n);
	if (kind != LIST_LENGTH) {
		byte_buf_clear(&bytes);
		list_inner(&bytes, kind == LIST_CHILD_LEVEL ? 2 : 1,
			   kind == LIST_ITSELF ? &self : &id, kind == LIST_CHILD_LENGTH ? 201 : 200,
			   kind == LIST_PIECES ? 21 : 20);
		length = kind == LIST_CHILD_LENGTH ? 402 : 400;
		id = self;
		if (kind == LIST_ITSELF)
			hostile_put_id(&w->h, OBJECT_LIST, &self, bytes.data, bytes.n);
		else
			id = hostile_put(&w->h, OBJECT_LIST, bytes.data, bytes.n);
	}
	raw_list_file(&leaf, "evil", &id, kind == LIST_LENGTH ? 1ull << 62 : length);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_lists_must_add_up(void **state)
{
#define BAD_LIST .read = -EUCLEAN, .audit = SOME, .restore = SOME
	static const struct scenario scenarios[] = {
		{ "list's length", bad_list, LIST_LENGTH, BAD_LIST },
		{ "list child's length", bad_list, LIST_CHILD_LENGTH, BAD_LIST },
		{ "list child's level", bad_list, LIST_CHILD_LEVEL, BAD_LIST },
		{ "list child's pieces", bad_list, LIST_PIECES, BAD_LIST },
		{ "list of itself", bad_list, LIST_ITSELF, BAD_LIST, .scrub = SOME },
	};

	(void)state;
	RUN_ALL(scenarios);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_never_lead_elsewhere),
		cmocka_unit_test(test_order_and_children_are_checked),
		cmocka_unit_test(test_counts_and_lengths_are_bounded),
		cmocka_unit_test(test_lists_must_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
