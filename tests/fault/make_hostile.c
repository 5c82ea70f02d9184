/* SPDX-License-Identifier: MIT */
/*
 * make_hostile REPOSITORY PATH: append a snapshot that holds, below PATH, much
 * of what an attacker with the keys can make. YORE_PASSWORD opens the
 * repository. For tests/system/hostile-mount.sh.
 */
#include "tests/fault/hostile.h"

#include <stdio.h>
#include <sys/stat.h>

static struct key_ring *open_keys(struct io *io)
{
	const struct unlock unlock = { .password = getenv("YORE_PASSWORD") };
	struct store_config config;
	struct key_ring *ring;
	uint8_t binding[32];

	MUST(unlock.password != NULL);
	MUST(store_config_read(io, &config) == 0);
	store_config_binding(&config, binding);
	MUST(key_ring_open(io, binding, &unlock, &ring) == 0);
	return ring;
}

/* A directory that holds itself twice. */
static struct chunk_id make_cycle(struct hostile *h)
{
	CLEANUP(raw_node_done) struct raw_node node = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf bytes = { 0 };
	const struct chunk_id self = hostile_id(1);

	raw_directory(&node, "a", &self);
	raw_directory(&node, "b", &self);
	raw_node_bytes(&node, 0, &bytes);
	hostile_put_id(h, OBJECT_TREE, &self, bytes.data, bytes.n);
	return self;
}

static struct chunk_id make_deep(struct hostile *h, int depth)
{
	struct raw_node node = { 0 };
	struct chunk_id id;

	(void)hostile_good_file(h, &node, "good");
	id = raw_node_put(h, &node);
	while (depth-- > 0) {
		raw_directory(&node, "d", &id);
		id = raw_node_put(h, &node);
	}
	return id;
}

static struct chunk_id make_names(struct hostile *h, const char *name)
{
	struct raw_node node = { 0 };

	(void)hostile_good_file(h, &node, name);
	(void)hostile_good_file(h, &node, "good");
	return raw_node_put(h, &node);
}

/* 8 GiB of zeros that claim to be one chunk. */
static struct chunk_id make_bomb(struct hostile *h)
{
	static uint8_t frame[6 + 65536 * 4] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58 };
	const struct pack_entry entry = { .id = hostile_id(2),
					  .stored_n = sizeof(frame),
					  .raw_n = CHUNK_RAW_MAX,
					  .type = OBJECT_DATA,
					  .codec = CODEC_ZSTD };

	for (uint32_t i = 0; i < 65536; i++) {
		const uint32_t block = (uint32_t)KIB(128) << 3 | 1 << 1 | (i == 65535);

		frame[6 + 4 * i] = (uint8_t)block;
		frame[7 + 4 * i] = (uint8_t)(block >> 8);
		frame[8 + 4 * i] = (uint8_t)(block >> 16);
	}
	hostile_put_as(h, entry, frame);
	return entry.id;
}

static struct chunk_id make_all(struct hostile *h)
{
	struct raw_node node = { 0 };
	struct chunk_id data, tree, empty, id;

	(void)hostile_good_file(h, &node, "good");
	empty = raw_node_put(h, &node);
	tree = empty;
	data = hostile_put(h, OBJECT_DATA, "no directory at all", 19);
	id = make_bomb(h);
	raw_file(&node, "bomb", &id, CHUNK_RAW_MAX);
	id = make_cycle(h);
	raw_directory(&node, "cycle", &id);
	id = make_deep(h, 1500);
	raw_directory(&node, "deep", &id);
	raw_file(&node, "file-is-folder", &tree, 60);
	id = hostile_id(3);
	raw_file(&node, "file-is-missing", &id, 1000);
	raw_directory(&node, "folder-is-data", &data);
	raw_directory(&node, "folder-is-missing", &id);
	(void)hostile_good_file(h, &node, "good");
	raw_symlink(&node, "link", "../../../../../../etc/passwd");
	raw_list_file(&node, "list-is-folder", &tree, 1ull << 20);
	id = make_names(h, "..");
	raw_directory(&node, "name-dots", &id);
	id = make_names(h, "a/b");
	raw_directory(&node, "name-slash", &id);
	id = make_names(h, "zzz");
	raw_directory(&node, "name-unsorted", &id);
	raw_file(&node, "too-long", &h->good, CHUNK_RAW_MAX);
	raw_file(&node, "too-short", &h->good, 5);
	return raw_node_put(h, &node);
}

int main(int argc, char **argv)
{
	struct timeline *t;
	struct key_ring *ring;
	struct hostile h;
	struct store *s;
	struct io *io;
	struct chunk_id id;

	if (argc != 3)
		return 2;
	MUST(crypto_init() == 0);
	MUST(io_posix_open(argv[1], &io) == 0);
	ring = open_keys(io);
	MUST(store_open(io, ring, STORE_READ_WRITE, &s) == 0);
	MUST(timeline_open(s, store_host(s), &t) == 0);
	{
		struct pack_context context = { .io = io, .keys = ring, .host = *store_host(s) };

		memcpy(context.repository, store_config(s)->repository, REPOSITORY_ID_BYTES);
		hostile_begin(&h, s, &context);
		id = make_all(&h);
		id = hostile_at_path(&h, argv[2], &id);
		hostile_end(&h);
	}
	(void)hostile_record(t, &id, argv[2]);
	timeline_close(t);
	store_close(s);
	key_ring_free(ring);
	io_free(io);
	return 0;
}
