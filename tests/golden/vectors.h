/* SPDX-License-Identifier: MIT */
/*
 * vectors: the test vectors of yore-format(5), computed from a fixed master
 * key, with a small writer of its own for what usually holds random bytes: it
 * calls libsodium directly and follows the manual, not the program.
 *
 * Used by vectors.c, which prints them, and by test_vectors.c, which compares
 * them with what the manual shows and opens them with the program's readers.
 */
#ifndef TESTS_GOLDEN_VECTORS_H
#define TESTS_GOLDEN_VECTORS_H

#include "snapshots/content_internal.h"
#include "snapshots/tree_node.h"
#include "store/base/bytes.h"
#include "store/chunker.h"
#include "store/key_ring_internal.h"
#include "store/pack_format.h"
#include "store/store_internal.h"

#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

#define VECTOR_CODE_RANDOM "0123456789ABCDEFGHJKMNPQRS"
#define VECTOR_TEXT "Hello from the past.\n"
#define VECTOR_TEXT_BYTES (sizeof(VECTOR_TEXT) - 1)
#define VECTOR_STREAM_BYTES MIB(4)
#define VECTOR_PACK_BYTES_MAX 1024
#define VECTOR_KEY_ID 1
#define VECTOR_OBJECT_AT PACK_HEADER_BYTES

/* Everything from which the vectors follow. */
struct vector_base {
	uint8_t master[KEY_BYTES];       /* 00 01 02 .. 1f */
	uint8_t machine[KEY_BYTES];      /* 20 21 .. 3f */
	uint8_t pack_key[KEY_BYTES];     /* 40 41 .. 5f */
	uint8_t salt[16];                /* 60 .. 6f */
	uint8_t repository[16];          /* 70 .. 7f */
	uint8_t host[16];                /* 80 .. 8f */
	uint8_t nonce[WRAP_NONCE_BYTES]; /* 90 .. a7 */
	uint8_t config[CONFIG_BYTES];
	uint8_t binding[32];
};

static void vector_count(uint8_t *to, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(first + i);
}

static void vector_config(struct store_config *ret_config)
{
	*ret_config = (struct store_config){
		.version = FORMAT_VERSION,
		.hash = HASH_HMAC_SHA256,
		.chunks = { KIB(64), KIB(256), MIB(1) },
		.bundle_target = KIB(256),
		.created_ns = 1714573800000000000,
	};
	vector_count(ret_config->repository, 16, 0x70);
}

static int vector_base_init(struct vector_base *b)
{
	struct store_config config;
	int r = crypto_init();

	vector_count(b->master, sizeof(b->master), 0x00);
	vector_count(b->machine, sizeof(b->machine), 0x20);
	vector_count(b->pack_key, sizeof(b->pack_key), 0x40);
	vector_count(b->salt, sizeof(b->salt), 0x60);
	vector_count(b->repository, sizeof(b->repository), 0x70);
	vector_count(b->host, sizeof(b->host), 0x80);
	vector_count(b->nonce, sizeof(b->nonce), 0x90);
	vector_config(&config);
	if (r == 0)
		r = store_config_bytes(&config, b->config);
	store_config_binding(&config, b->binding);
	return r;
}

/* Working key number p (1 to 9) of the manual. */
static void vector_key(const struct vector_base *b, uint64_t p, uint8_t to[static KEY_BYTES])
{
	(void)crypto_kdf_derive_from_key(to, KEY_BYTES, p, "yorekeys", b->master);
}

/* XChaCha20-Poly1305 with the fixed nonce: nonce, ciphertext, tag. */
static void vector_wrap(const struct vector_base *b, const uint8_t *key, const void *ad,
			size_t ad_n, const void *from, size_t n, uint8_t *to)
{
	memcpy(to, b->nonce, WRAP_NONCE_BYTES);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(to + WRAP_NONCE_BYTES, NULL, from, n, ad,
							 ad_n, NULL, b->nonce, key);
}

/* ChaCha20-Poly1305 of RFC 8439 at a byte offset. */
static void vector_seal(const struct vector_base *b, uint64_t offset, const void *ad, size_t ad_n,
			const void *from, size_t n, uint8_t *to)
{
	uint8_t nonce[12] = { 0 };

	(void)put_u64(nonce + 4, offset);
	(void)crypto_aead_chacha20poly1305_ietf_encrypt(to, NULL, from, n, ad, ad_n, NULL, nonce,
							b->pack_key);
}

/* ---- keys ---- */

/* The key-encrypting key of a slot with this secret. */
static void vector_kek(const struct vector_base *b, uint8_t kind, const uint8_t secret[static 32],
		       uint8_t to[static KEY_BYTES])
{
	uint8_t text[8 + 1 + 16] = { 'y', 'o', 'r', 'e', '-', 'k', 'e', 'k', kind };

	memcpy(text + 9, b->salt, sizeof(b->salt));
	(void)crypto_generichash(to, KEY_BYTES, text, sizeof(text), secret, KEY_BYTES);
}

/* A machine key's slot, labelled "vector", made at the config's time. */
static void vector_slot(const struct vector_base *b, uint8_t to[static sizeof(struct slot_image)])
{
	uint8_t kek[KEY_BYTES], wrapping[KEY_BYTES], label_key[KEY_BYTES];
	uint8_t list[40] = { 1, 0, 0, 0, VECTOR_KEY_ID };
	uint8_t label[73] = { 0 };
	uint8_t ad[152 + 32];

	memset(to, 0, sizeof(struct slot_image));
	memcpy(to, "yore-key\x01\x03", 10);
	(void)put_u32(to + 12, VECTOR_KEY_ID);
	memcpy(to + 24, b->salt, sizeof(b->salt));
	vector_kek(b, 3, b->machine, kek);
	(void)crypto_kdf_derive_from_key(to + 40, 32, 1, "yorecmit", kek);
	(void)crypto_kdf_derive_from_key(wrapping, KEY_BYTES, 1, "yorewrap", kek);

	memcpy(list + 8, b->master, KEY_BYTES);
	memcpy(ad, to, 72);
	memcpy(ad + 72, b->binding, 32);
	vector_wrap(b, wrapping, ad, 72 + 32, list, sizeof(list), to + 72);

	(void)put_u64(label, 1714573800000000000);
	label[8] = 6;
	memcpy(label + 9, "vector", 6);
	vector_key(b, 9, label_key);
	memcpy(ad, to, 152);
	memcpy(ad + 152, b->binding, 32);
	vector_wrap(b, label_key, ad, 152 + 32, label, sizeof(label), to + 152);
	(void)crypto_generichash(to + 265, 32, to, 265, NULL, 0);
}

/* The 26 digits and their 9 check digits. */
static void vector_code(char to[static 36])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8_t hash[32];

	memcpy(to, VECTOR_CODE_RANDOM, 26);
	(void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)to, 26, NULL, 0);
	for (unsigned int i = 0; i < 9; i++) {
		unsigned int digit = 0;

		for (unsigned int bit = 5 * i; bit < 5 * i + 5; bit++)
			digit = digit << 1 | (hash[bit / 8] >> (7 - bit % 8) & 1);
		to[26 + i] = digits[digit];
	}
	to[35] = '\0';
}

static void vector_code_secret(uint8_t to[static 32])
{
	(void)crypto_generichash(to, 32, (const uint8_t *)"yore-recovery" VECTOR_CODE_RANDOM,
				 13 + 26, NULL, 0);
}

/* ---- ids and cuts ---- */

static int vector_id(const struct vector_base *b, enum hash_algorithm hash, uint64_t p,
		     const void *data, size_t n, struct chunk_id *ret_id)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	uint8_t key[KEY_BYTES];
	int r;

	vector_key(b, p, key);
	r = id_hasher_new(hash, key, &h);
	if (r == 0)
		id_hasher_run(h, data, n, ret_id);
	return r;
}

/* SplitMix64 from seed 1, each number as 8 little-endian bytes. */
static void vector_stream(uint8_t *to, size_t n)
{
	uint64_t state = 1;

	for (size_t at = 0; at < n; at += 8) {
		uint64_t z;

		state += 0x9e3779b97f4a7c15;
		z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		(void)put_u64(to + at, z ^ z >> 31);
	}
}

/* Lengths of the stream's chunks, each as 4 little-endian bytes. Returns their number or -errno. */
static int vector_cuts(const struct vector_base *b, struct byte_buf *to)
{
	CLEANUP(chunker_free_ptr) struct chunker *c = NULL;
	CLEANUP(free_ptr) uint8_t *stream = malloc(VECTOR_STREAM_BYTES);
	const struct chunker_sizes sizes = { KIB(64), KIB(256), MIB(1) };
	uint8_t key[KEY_BYTES];
	int n = 0, r;

	if (!stream)
		return -1;
	vector_stream(stream, VECTOR_STREAM_BYTES);
	vector_key(b, 4, key);
	r = chunker_new(key, sizes, &c);
	for (size_t at = 0; r == 0 && at < VECTOR_STREAM_BYTES; n++) {
		const size_t length = chunker_next(c, stream + at, VECTOR_STREAM_BYTES - at, true);

		byte_buf_u32(to, (uint32_t)length);
		at += length;
	}
	return r < 0 ? r : n;
}

/* ---- a pack of one object ---- */

static size_t vector_pack(const struct vector_base *b, uint8_t to[static VECTOR_PACK_BYTES_MAX])
{
	const struct pack_context context = { 0 };
	const uint64_t body_at = VECTOR_OBJECT_AT + OBJECT_HEADER_BYTES;
	const uint64_t table_at = body_at + VECTOR_TEXT_BYTES + SEAL_TAG_BYTES;
	struct pack_context ours = context;
	struct pack_entry entry = { .stored_n = VECTOR_TEXT_BYTES,
				    .raw_n = VECTOR_TEXT_BYTES,
				    .type = OBJECT_DATA,
				    .codec = CODEC_RAW };
	const struct pack_trailer trailer = { PACK_LINE_BYTES + SEAL_TAG_BYTES, 1 };
	uint8_t ad[PACK_BODY_AD_BYTES], plain[OBJECT_PLAIN_BYTES], key[KEY_BYTES], *at;

	memcpy(ours.repository, b->repository, sizeof(ours.repository));
	memcpy(ours.host.bytes, b->host, sizeof(ours.host.bytes));
	(void)vector_id(b, HASH_HMAC_SHA256, 1, VECTOR_TEXT, VECTOR_TEXT_BYTES, &entry.id);

	memset(to, 0, VECTOR_PACK_BYTES_MAX);
	memcpy(to, "yorepack\x01\x01\x01", 11);
	(void)put_u32(to + 12, VECTOR_KEY_ID);
	memcpy(to + 16, b->repository, 16);
	memcpy(to + 32, b->host, 16);
	vector_key(b, 5, key);
	vector_wrap(b, key, to, 48, b->pack_key, KEY_BYTES, to + 48);

	pack_header_ad(&ours, ad);
	pack_object_make(&entry, plain);
	vector_seal(b, VECTOR_OBJECT_AT, ad, PACK_HEADER_AD_BYTES, plain, sizeof(plain),
		    to + VECTOR_OBJECT_AT);
	pack_body_ad(&ours, &entry, ad);
	vector_seal(b, body_at, ad, PACK_BODY_AD_BYTES, VECTOR_TEXT, VECTOR_TEXT_BYTES,
		    to + body_at);

	pack_table_make(&entry, 1, plain);
	pack_table_ad(&ours, PACK_DATA, trailer, ad);
	vector_seal(b, table_at, ad, PACK_TABLE_AD_BYTES, plain, PACK_LINE_BYTES, to + table_at);
	at = to + table_at + trailer.table_n;
	memcpy(at, to, PACK_HEADER_BYTES);
	pack_end_make(trailer, at + PACK_HEADER_BYTES);
	return (size_t)(at + PACK_TRAILER_BYTES - to);
}

/* ---- contents and nodes ---- */

/* Content id of a piece "VECTOR_TEXT" followed by a hole of 64 KiB. */
static int vector_chain(const struct vector_base *b, struct chunk_id *ret_id)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	const struct chunk_id hole = { 0 };
	uint8_t key[KEY_BYTES];
	struct chunk_id piece;
	int r;

	vector_key(b, 3, key);
	r = vector_id(b, HASH_HMAC_SHA256, 1, VECTOR_TEXT, VECTOR_TEXT_BYTES, &piece);
	if (r == 0)
		r = id_hasher_new(HASH_HMAC_SHA256, key, &h);
	if (r < 0)
		return r;
	memset(ret_id, 0, sizeof(*ret_id));
	content_chain(h, ret_id, &piece, VECTOR_TEXT_BYTES);
	content_chain(h, ret_id, &hole, KIB(64));
	return 0;
}

/* A node of one directory: an empty folder, a small file inside a bundle, a symlink. */
static int vector_node(const struct vector_base *b, struct node_builder *builder)
{
	const struct node_time t = { 1714573800, 5 }, later = { 1714573801, 0 };
	struct tree_entry folder = { .name = "d",
				     .name_n = 1,
				     .mode = S_IFDIR | 0755,
				     .nlink = 2,
				     .ino = 300,
				     .mtime = t,
				     .ctime = t };
	struct tree_entry file = { .name = "f",
				   .name_n = 1,
				   .mode = S_IFREG | 0644,
				   .nlink = 1,
				   .uid = 1000,
				   .gid = 1000,
				   .ino = 301,
				   .size = VECTOR_TEXT_BYTES,
				   .mtime = t,
				   .ctime = later };
	struct tree_entry link = { .name = "l",
				   .name_n = 1,
				   .mode = S_IFLNK | 0777,
				   .nlink = 1,
				   .ino = 302,
				   .size = 1,
				   .mtime = t,
				   .ctime = t,
				   .link = "f",
				   .link_n = 1 };
	struct piece piece = { .length = VECTOR_TEXT_BYTES, .n_extents = 1 };
	struct extent extent = { .offset = 4096, .length = VECTOR_TEXT_BYTES };
	int r = vector_id(b, HASH_HMAC_SHA256, 1, VECTOR_TEXT, VECTOR_TEXT_BYTES, &piece.id);

	memset(extent.chunk.bytes, 0xbb, sizeof(extent.chunk.bytes));
	file.content = (struct content){ .form = CONTENT_INLINE,
					 .id = piece.id,
					 .length = VECTOR_TEXT_BYTES,
					 .pieces = &piece,
					 .n_pieces = 1,
					 .extents = &extent,
					 .n_extents = 1 };
	if (r == 0)
		r = node_builder_add_entry(builder, &folder);
	if (r == 0)
		r = node_builder_add_entry(builder, &file);
	return r == 0 ? node_builder_add_entry(builder, &link) : r;
}

/* ---- all of them ---- */

typedef void vector_visitor(void *context, const char *name, const void *data, size_t n);

static int vectors_of_keys(const struct vector_base *b, vector_visitor *visit, void *context)
{
	static const char *const names[] = { "key 1", "key 2", "key 3", "key 4", "key 5",
					     "key 6", "key 7", "key 8", "key 9" };
	uint8_t slot[sizeof(struct slot_image)], key[KEY_BYTES];
	char code[36];
	int r;

	visit(context, "config", b->config, sizeof(b->config));
	visit(context, "binding", b->binding, sizeof(b->binding));
	for (uint64_t p = 1; p <= KEY_PURPOSES; p++) {
		vector_key(b, p, key);
		visit(context, names[p - 1], key, sizeof(key));
	}
	vector_slot(b, slot);
	visit(context, "slot", slot, sizeof(slot));
	vector_code(code);
	visit(context, "code check", code + 26, 9);
	vector_code_secret(key);
	visit(context, "code secret", key, sizeof(key));
	r = crypto_argon2id("password", 8, b->salt, 1, 8192, key);
	visit(context, "argon2id", key, sizeof(key));
	return r;
}

static int vectors_of_data(const struct vector_base *b, vector_visitor *visit, void *context)
{
	static const char *const names[] = { "hmac data id", "hmac tree id", "hmac list id" };
	CLEANUP(byte_buf_done_ptr) struct byte_buf cuts = { 0 };
	uint8_t pack[VECTOR_PACK_BYTES_MAX], gear[KEY_BYTES], key[KEY_BYTES];
	struct chunk_id id;
	size_t n;
	int r = 0;

	for (uint64_t p = 1; r == 0 && p <= 3; p++) {
		r = vector_id(b, HASH_HMAC_SHA256, p, VECTOR_TEXT, VECTOR_TEXT_BYTES, &id);
		visit(context, names[p - 1], &id, sizeof(id));
	}
	if (r == 0)
		r = vector_id(b, HASH_BLAKE2B, 1, VECTOR_TEXT, VECTOR_TEXT_BYTES, &id);
	visit(context, "blake2b data id", &id, sizeof(id));
	vector_key(b, 4, key);
	(void)crypto_kdf_derive_from_key(gear, KEY_BYTES, 0, "yoregear", key);
	visit(context, "gear 0..3", gear, sizeof(gear));
	(void)crypto_kdf_derive_from_key(gear, KEY_BYTES, 63, "yoregear", key);
	visit(context, "gear 252..255", gear, sizeof(gear));
	if (r == 0)
		r = vector_cuts(b, &cuts);
	visit(context, "cuts", cuts.data, cuts.n);
	n = vector_pack(b, pack);
	visit(context, "pack", pack, n);
	crypto_hash_sha256(key, pack, n);
	visit(context, "pack id", key, sizeof(key));
	return r < 0 || cuts.failed ? -1 : 0;
}

static int vectors_of_trees(const struct vector_base *b, vector_visitor *visit, void *context)
{
	CLEANUP(node_builder_free_ptr) struct node_builder *builder = NULL;
	const uint8_t *data;
	struct chunk_id id;
	uint64_t total;
	size_t n;
	int r = vector_chain(b, &id);

	visit(context, "content id", &id, sizeof(id));
	if (r == 0)
		r = node_builder_new(0, &builder);
	if (r == 0)
		r = vector_node(b, builder);
	if (r == 0)
		r = node_builder_finish(builder, &data, &n, &total);
	if (r < 0)
		return r;
	visit(context, "node", data, n);
	r = vector_id(b, HASH_HMAC_SHA256, 2, data, n, &id);
	visit(context, "node id", &id, sizeof(id));
	return r;
}

/** Visit every vector, in the manual's order. Returns 0 or a negative number. */
static inline int vectors_each(const struct vector_base *b, vector_visitor *visit, void *context)
{
	int r = vectors_of_keys(b, visit, context);

	if (r == 0)
		r = vectors_of_data(b, visit, context);
	return r == 0 ? vectors_of_trees(b, visit, context) : r;
}

#endif
