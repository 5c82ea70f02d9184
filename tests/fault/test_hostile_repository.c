/* SPDX-License-Identifier: MIT */
/*
 * Repositories made with valid keys by a client that went bad: objects, packs
 * and records. What the keys make possible is stated, too: an object sealed
 * under a false id is read as it is, until `check --data`.
 */
#include "snapshots/audit.h"
#include "tests/fault/hostile_doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- objects of the wrong type ---- */

static struct chunk_id honest(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };

	(void)kind;
	(void)hostile_good_file(&w->h, &leaf, "good");
	raw_symlink(&leaf, "link", "../../../../outside/canary");
	return raw_node_put(&w->h, &leaf);
}

/* A file whose piece is a directory node; a directory that is data, or a list; and so on. */
static struct chunk_id swapped_type(struct world *w, uint64_t kind)
{
	CLEANUP(raw_node_done) struct raw_node below = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	struct raw_node leaf = { 0 };
	struct chunk_id id;

	(void)hostile_good_file(&w->h, &below, "good");
	raw_node_bytes(&below, 0, &bytes);
	id = hostile_put(&w->h, (enum object_type)(kind & 3), bytes.data, bytes.n);
	switch (kind >> 2) {
	case OBJECT_DATA:
		raw_file(&leaf, "evil", &id, bytes.n);
		break;
	case OBJECT_TREE:
		raw_directory(&leaf, "evil", &id);
		break;
	default:
		raw_list_file(&leaf, "evil", &id, 1000);
	}
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}
#define SWAPPED(wanted, given) ((wanted) << 2 | (given))

static void test_types_cannot_be_swapped(void **state)
{
	static const struct scenario scenarios[] = {
		{ .name = "honest", .tree = honest },
		{ "tree as data", swapped_type, SWAPPED(OBJECT_DATA, OBJECT_TREE), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "list as data", swapped_type, SWAPPED(OBJECT_DATA, OBJECT_LIST), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "data as tree", swapped_type, SWAPPED(OBJECT_TREE, OBJECT_DATA), .walk = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "list as tree", swapped_type, SWAPPED(OBJECT_TREE, OBJECT_LIST), .walk = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "tree as list", swapped_type, SWAPPED(OBJECT_LIST, OBJECT_TREE), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
		{ "data as list", swapped_type, SWAPPED(OBJECT_LIST, OBJECT_DATA), .read = -EBADMSG,
		  .audit = SOME, .restore = SOME },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- packs that lie ---- */

enum pack_lie { TABLE_SWAPPED, INDEX_SWAPPED, FALSE_ID, FALSE_ID_TREE };

/* Two files whose chunks change places; or an object under an id that is not its own. */
static struct chunk_id swapped_chunks(struct world *w, uint64_t kind)
{
	struct raw_node leaf = { 0 };
	struct chunk_id a, b, false_id = hostile_id(1);
	struct pack_entry *entries;
	struct chunk_id swap;
	size_t n;

	a = hostile_put(&w->h, OBJECT_DATA, "first of two chunks!", 20);
	b = hostile_put(&w->h, OBJECT_DATA, "second of the chunks", 20);
	n = pack_writer_count(w->h.pack);
	/* What the table will say, unless the index alone is to be told. */
	entries = (struct pack_entry *)(uintptr_t)pack_writer_entries(w->h.pack);
	if (kind == TABLE_SWAPPED) {
		swap = entries[n - 1].id;
		entries[n - 1].id = entries[n - 2].id;
		entries[n - 2].id = swap;
	}
	if (kind == INDEX_SWAPPED) {
		struct pack_entry told[2] = { entries[n - 2], entries[n - 1] };
		struct pack_info info = { .host = w->h.context.host, .kind = PACK_MIXED };

		told[0].id = entries[n - 1].id;
		told[1].id = entries[n - 2].id;
		MUST(pack_writer_finish(w->h.pack, &info.id, &info.size) == 0);
		MUST(chunk_index_add_pack(store_index(w->store), &info, told, 2) == 0);
		pack_writer_close(STEAL(w->h.pack));
	}
	raw_file(&leaf, "a", &a, 20);
	if (kind == FALSE_ID) {
		hostile_put_id(&w->h, OBJECT_DATA, &false_id, "twenty bytes of lie!", 20);
		b = false_id;
	}
	raw_file(&leaf, "b", &b, 20);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

enum frame_lie { RAW_LONGER, RAW_SHORTER, BOMB_CLAIM, BOMB_SILENT, FRAME_GARBAGE };

/* A zstd frame of 8 GiB of zeros in 256 KiB: 65,536 blocks of one repeated byte. */
static size_t make_bomb(uint8_t *to, bool claim)
{
	static const uint8_t claims[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 2, 0, 0, 0 };
	static const uint8_t silent[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58 };
	const size_t head = claim ? sizeof(claims) : sizeof(silent);
	size_t at = head;

	memcpy(to, claim ? claims : silent, head);
	for (uint32_t i = 0; i < 65536; i++) {
		const uint32_t block = (uint32_t)KIB(128) << 3 | 1 << 1 | (i == 65535);

		to[at++] = (uint8_t)block;
		to[at++] = (uint8_t)(block >> 8);
		to[at++] = (uint8_t)(block >> 16);
		to[at++] = 0;
	}
	return at;
}

static struct chunk_id forged_lengths(struct world *w, uint64_t kind)
{
	struct pack_entry e = { .id = hostile_id(2), .type = OBJECT_DATA, .codec = CODEC_ZSTD };
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	CLEANUP(free_ptr) uint8_t *stored = malloc(KIB(512));
	CLEANUP(free_ptr) uint8_t *plain = calloc(1, KIB(64));
	struct raw_node leaf = { 0 };

	MUST(stored && plain && compressor_new(&c) == 0);
	e.stored_n = (uint32_t)compressor_pack(c, 1, plain, KIB(64), stored, KIB(512));
	e.raw_n = KIB(64);
	if (kind == RAW_LONGER)
		e.raw_n++;
	if (kind == RAW_SHORTER)
		e.raw_n = e.stored_n + 1;
	if (kind == FRAME_GARBAGE)
		memset(stored, 0xff, e.stored_n);
	if (kind == BOMB_CLAIM || kind == BOMB_SILENT) {
		e.stored_n = (uint32_t)make_bomb(stored, kind == BOMB_CLAIM);
		e.raw_n = CHUNK_RAW_MAX;
	}
	hostile_put_as(&w->h, e, stored);
	raw_file(&leaf, "evil", &e.id, e.raw_n);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_packs_that_lie_are_found_out(void **state)
{
	static const struct scenario scenarios[] = {
		{ "table swapped", swapped_chunks, TABLE_SWAPPED, .read = -EBADMSG, .scrub = SOME,
		  .restore = SOME },
		{ "table swapped, new index", swapped_chunks, TABLE_SWAPPED, .read = -EBADMSG,
		  .scrub = SOME, .restore = SOME, .lose_index = true },
		{ "index swapped", swapped_chunks, INDEX_SWAPPED, .read = -EBADMSG, .scrub = SOME,
		  .restore = SOME },
		{ "frame too short", forged_lengths, RAW_LONGER, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "frame too long", forged_lengths, RAW_SHORTER, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "no frame", forged_lengths, FRAME_GARBAGE, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "bomb that says so", forged_lengths, BOMB_CLAIM, .read = -EUCLEAN, .scrub = SOME,
		  .restore = SOME },
		{ "bomb that does not", forged_lengths, BOMB_SILENT, .read = -EUCLEAN,
		  .scrub = SOME, .restore = SOME },
		/* The id is bound to the seal, and the writer has the keys: only hashing tells. */
		{ "false id", swapped_chunks, FALSE_ID, .scrub = SOME, .may_lie = true },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- packs and records of others ---- */

enum foreign { OTHER_REPOSITORY, OTHER_KEYS, OTHER_HOST };

/* The file's chunk exists only in a pack that was sealed elsewhere and moved here. */
static struct chunk_id foreign_pack(struct world *w, uint64_t kind)
{
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;
	const uint8_t binding[32] = { 7 };
	char from[PACK_PATH_BYTES], to[PACK_PATH_BYTES];
	struct pack_context context = world_context(w);
	struct raw_node leaf = { 0 };
	struct pack_id pack;
	struct hostile h;
	struct chunk_id id;

	if (kind == OTHER_REPOSITORY)
		context.repository[0] ^= 1;
	if (kind == OTHER_HOST)
		context.host.bytes[0] ^= 1;
	if (kind == OTHER_KEYS) {
		MUST(key_ring_create(binding, &other) == 0);
		context.keys = other;
	}
	hostile_begin(&h, w->store, &context);
	h.unlisted = true;
	id = hostile_put(&h, OBJECT_DATA, "from somewhere else.", 20);
	hostile_flush(&h, &pack);
	hostile_end(&h);
	pack_path(&context.host, &pack, from);
	pack_path(store_host(w->store), &pack, to);
	if (strcmp(from, to) != 0)
		MUST(io_rename(w->io, from, to, false, IO_OBJECT_PACK) == 0);
	raw_file(&leaf, "evil", &id, 20);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_packs_of_others_are_not_taken(void **state)
{
	static const struct scenario scenarios[] = {
		{ "other repository's pack", foreign_pack, OTHER_REPOSITORY, .read = -ENOENT,
		  .audit = SOME, .scrub = ANY, .restore = SOME, .lose_index = true },
		{ "pack under other keys", foreign_pack, OTHER_KEYS, .read = -ENOENT, .audit = SOME,
		  .scrub = ANY, .restore = SOME, .lose_index = true },
		{ "other host's pack", foreign_pack, OTHER_HOST, .read = -ENOENT, .audit = SOME,
		  .scrub = ANY, .restore = SOME, .lose_index = true },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* A slot of another repository, made with the same machine key, must not open this one. */
static void test_slots_of_other_repositories_are_refused(void **state)
{
	const uint8_t machine[KEY_BYTES] = { 5 }, theirs[32] = { 1 }, ours[32] = { 2 };
	const struct unlock unlock = { .machine_key = machine };
	CLEANUP(key_ring_free_ptr) struct key_ring *other = NULL;
	struct key_ring *opened = NULL;
	char name[SLOT_NAME_BYTES + 1];
	struct world *w = *state;

	assert_int_equal(key_ring_create(theirs, &other), 0);
	assert_int_equal(key_ring_add_machine(other, w->io, machine, "theirs", name), 0);
	assert_int_equal(key_ring_open(w->io, ours, &unlock, &opened), -EBADMSG);
	assert_null(opened);
}

/* ---- trees that no honest writer makes ---- */

enum shape { SELF, SELF_TWICE, PAIR };

/* Directories that contain themselves: possible only under false ids. */
static struct chunk_id cycle(struct world *w, uint64_t kind)
{
	CLEANUP(raw_node_done) struct raw_node inner = { 0 };
	CLEANUP(raw_node_done) struct raw_node other = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	const struct chunk_id self = hostile_id(3), second = hostile_id(4);
	struct raw_node leaf = { 0 };

	raw_directory(&inner, "a", kind == PAIR ? &second : &self);
	if (kind == SELF_TWICE)
		raw_directory(&inner, "b", &self);
	raw_node_bytes(&inner, 0, &bytes);
	hostile_put_id(&w->h, OBJECT_TREE, &self, bytes.data, bytes.n);
	if (kind == PAIR) {
		raw_directory(&other, "a", &self);
		raw_directory(&other, "b", &self);
		byte_buf_clear(&bytes);
		raw_node_bytes(&other, 0, &bytes);
		hostile_put_id(&w->h, OBJECT_TREE, &second, bytes.data, bytes.n);
	}
	raw_directory(&leaf, "evil", &self);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

/* So many directories inside one another, each honest. */
static struct chunk_id deep(struct world *w, uint64_t depth)
{
	struct raw_node leaf = { 0 };
	struct chunk_id id;

	(void)hostile_good_file(&w->h, &leaf, "good");
	id = raw_node_put(&w->h, &leaf);
	for (uint64_t i = 0; i < depth; i++) {
		raw_directory(&leaf, "a", &id);
		id = raw_node_put(&w->h, &leaf);
	}
	raw_directory(&leaf, "a", &id);
	(void)hostile_good_file(&w->h, &leaf, "good");
	return raw_node_put(&w->h, &leaf);
}

static void test_cycles_and_depth_come_to_an_end(void **state)
{
	static const struct scenario scenarios[] = {
		{ "contains itself", cycle, SELF, .walk = -ELOOP, .audit = ANY, .scrub = SOME,
		  .restore = SOME, .may_lie = true },
		{ "contains itself twice", cycle, SELF_TWICE, .walk = -ELOOP, .audit = ANY,
		  .scrub = SOME, .restore = SOME, .may_lie = true },
		{ "contain each other", cycle, PAIR, .walk = -ELOOP, .audit = ANY, .scrub = SOME,
		  .restore = SOME, .may_lie = true },
		{ "deep", deep, 5000, .slow = true },
		{ "too deep", deep, 100000, .walk = -ELOOP, .audit = SOME, .restore = SOME,
		  .slow = true },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* ---- records ---- */

enum record_lie {
	WRONG_SEQ,
	WRONG_HOST,
	MANY_SOURCES,
	MANY_PACKS,
	ROOT_IS_FILE,
	ROOT_GARBAGE,
	PREVIOUS_LATER,
	FUTURE,
	SOURCE_DOTS
};

static void put_body(struct byte_buf *to, uint64_t kind, const struct tree_entry *root)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf encoded = { 0 };
	uint8_t previous[32] = { 0 };

	if (kind == PREVIOUS_LATER)
		memset(previous, 0xee, sizeof(previous));
	MUST(tree_entry_encode(&encoded, root) == 0);
	byte_buf_u8(to, RECORD_SNAPSHOT);
	byte_buf_append(to, previous, sizeof(previous));
	byte_buf_zigzag(to, kind == FUTURE ? INT64_MAX : clock_now_ns());
	byte_buf_zigzag(to, 0);
	byte_buf_varint(to, 0);
	byte_buf_blob(to, "host", 4);
	byte_buf_blob(to, "manual", 6);
	byte_buf_varint(to, 0); /* tags */
	byte_buf_varint(to, 1);
	byte_buf_varint(to, 0);
	byte_buf_append(to, previous, 16);
	byte_buf_varint(to, kind == MANY_SOURCES ? UINT32_MAX : kind == SOURCE_DOTS);
	if (kind == SOURCE_DOTS) {
		byte_buf_blob(to, "/a/../../etc", 12);
		for (int i = 0; i < 12; i++)
			byte_buf_u8(to, 0);
	}
	if (kind == ROOT_GARBAGE)
		byte_buf_blob(to, "nonsense", 8);
	else
		byte_buf_blob(to, encoded.data, encoded.n);
	byte_buf_varint(to, kind == MANY_PACKS ? 1ull << 40 : 0);
	for (int i = 0; i < 7; i++)
		byte_buf_varint(to, 0);
}

static void bad_record(struct world *w, uint64_t kind)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf body = { 0 };
	struct host_id host = *store_host(w->store);
	struct tree_entry root = { .name = "", .mode = S_IFDIR | 0755, .nlink = 2 };
	struct snapshot_info good;
	char from[RECORD_PATH_BYTES], to[RECORD_PATH_BYTES], name[96];
	uint64_t seq = 2;

	MUST(timeline_latest(w->t, &good) == 0);
	root.tree = good.root_tree;
	if (kind == ROOT_IS_FILE)
		root = (struct tree_entry){ .name = "", .mode = S_IFREG | 0644, .nlink = 1 };
	put_body(&body, kind, &root);
	MUST(!body.failed);
	if (kind == WRONG_HOST)
		host.bytes[0] ^= 1;
	if (kind == WRONG_SEQ) {
		/* Number 1 once more, as number 2. */
		record_path(&host, 1, &good.id, from);
		record_path(&host, 2, &good.id, to);
		MUST(io_rename(w->io, from, to, false, IO_OBJECT_RECORD) == 0);
		return;
	}
	if (kind == WRONG_HOST) {
		(void)snprintf(name, sizeof(name), "records/%s",
			       bytes_to_hex(host.bytes, sizeof(host.bytes), to));
		MUST(io_mkdir(w->io, name, IO_OBJECT_FOLDER) == 0);
	}
	hostile_raw_record(w->store, &host, seq, body.data, body.n);
}

static void test_records_that_lie_are_named_and_skipped(void **state)
{
	/* The newest one is skipped, so that the good one before it is what is read. */
	static const struct scenario scenarios[] = {
		{ "number 1 as number 2", .records = bad_record, .kind = WRONG_SEQ, .audit = SOME,
		  .restore = ANY },
		{ "of another host", .records = bad_record, .kind = WRONG_HOST, .audit = ANY },
		{ "2^32 sources", .records = bad_record, .kind = MANY_SOURCES, .audit = SOME },
		{ "2^40 packs", .records = bad_record, .kind = MANY_PACKS, .audit = SOME },
		{ "root is a file", .records = bad_record, .kind = ROOT_IS_FILE, .audit = SOME },
		{ "root is nonsense", .records = bad_record, .kind = ROOT_GARBAGE, .audit = SOME },
		{ "source is ..", .records = bad_record, .kind = SOURCE_DOTS, .audit = SOME },
		{ "follows a later one", .records = bad_record, .kind = PREVIOUS_LATER,
		  .audit = ANY },
		{ "of the year 2262", .records = bad_record, .kind = FUTURE, .audit = ANY },
	};

	(void)state;
	RUN_ALL(scenarios);
}

/* Forty levels of two: a million million paths. It is checked by directories, not by paths. */
static void test_many_paths_to_few_directories_are_checked_quickly(void **state)
{
	const struct pack_context context = world_context(*state);
	CLEANUP(chunk_cache_free_ptr) struct chunk_cache *cache = NULL;
	struct audit_result result;
	struct raw_node leaf = { 0 };
	struct world *w = *state;
	const double start = seconds_now();
	struct chunk_id id;

	hostile_begin(&w->h, w->store, &context);
	(void)hostile_good_file(&w->h, &leaf, "good");
	id = raw_node_put(&w->h, &leaf);
	for (int i = 0; i < 40; i++) {
		raw_directory(&leaf, "a", &id);
		raw_directory(&leaf, "b", &id);
		id = raw_node_put(&w->h, &leaf);
	}
	hostile_end(&w->h);
	(void)hostile_record(w->t, &id, "/");
	assert_int_equal(chunk_cache_new(w->store, MIB(16), 0, &cache), 0);
	assert_int_equal(audit_run(w->store, cache, &(struct audit_options){ 0 }, &result), 0);
	assert_int_equal(result.errors, 0);
	assert_int_equal(result.nodes, 41);
	assert_true(seconds_now() - start < SECONDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_cannot_be_swapped),
		cmocka_unit_test(test_packs_that_lie_are_found_out),
		cmocka_unit_test(test_packs_of_others_are_not_taken),
		cmocka_unit_test_setup_teardown(test_slots_of_other_repositories_are_refused,
						world_setup, world_teardown),
		cmocka_unit_test(test_cycles_and_depth_come_to_an_end),
		cmocka_unit_test(test_records_that_lie_are_named_and_skipped),
		cmocka_unit_test_setup_teardown(
			test_many_paths_to_few_directories_are_checked_quickly, world_setup,
			world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
