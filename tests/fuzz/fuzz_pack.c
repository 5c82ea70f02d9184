/* SPDX-License-Identifier: MIT */
/*
 * A pack of outside origin, read through a chunk_source that serves the input.
 * The first byte chooses: the input as it is, or an authentic small pack with
 * the input laid over some part of it, so that deeper layers are reached.
 */
#include "store/base/log.h"
#include "store/pack_format.h"
#include "store/pack_reader.h"

#include <errno.h>
#include <string.h>

#define BODY_BYTES 300

struct memory_source {
	struct chunk_source base;
	const uint8_t *data;
	size_t n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_memory(struct chunk_source *source, const struct host_id *host,
		       const struct pack_id *pack, uint64_t offset, void *to, size_t n)
{
	const struct memory_source *memory = (struct memory_source *)source;

	(void)host;
	(void)pack;
	if (offset > memory->n || n > memory->n - offset)
		__builtin_trap(); /* ranges are checked before they are asked for */
	memcpy(to, memory->data + offset, n);
	return 0;
}

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static const uint8_t pack_key[KEY_BYTES] = { 7 };

/* A pack with one object whose body is `body`, sealed with right keys. Returns its length. */
static size_t make_pack(const struct pack_context *context, struct cipher *cipher,
			const struct pack_entry *entry, const uint8_t *body, uint8_t *to)
{
	struct pack_trailer trailer = { .n_entries = 1, .table_n = (uint32_t)pack_table_bytes(1) };
	uint8_t plain[PACK_LINE_BYTES > OBJECT_PLAIN_BYTES ? PACK_LINE_BYTES : OBJECT_PLAIN_BYTES];
	uint8_t head_ad[PACK_HEADER_AD_BYTES];
	uint8_t body_ad[PACK_BODY_AD_BYTES];
	uint8_t table_ad[PACK_TABLE_AD_BYTES];
	size_t at = PACK_HEADER_BYTES;

	pack_header_make(context, PACK_DATA, pack_key, to);
	pack_header_ad(context, head_ad);
	pack_object_make(entry, plain);
	(void)cipher_seal(cipher, pack_key, at, head_ad, sizeof(head_ad), plain, OBJECT_PLAIN_BYTES,
			  to + at);
	at += OBJECT_HEADER_BYTES;
	pack_body_ad(context, entry, body_ad);
	(void)cipher_seal(cipher, pack_key, at, body_ad, sizeof(body_ad), body, entry->stored_n,
			  to + at);
	at += entry->stored_n + SEAL_TAG_BYTES;
	pack_table_make(entry, 1, plain);
	pack_table_ad(context, PACK_DATA, trailer, table_ad);
	(void)cipher_seal(cipher, pack_key, at, table_ad, sizeof(table_ad), plain, PACK_LINE_BYTES,
			  to + at);
	at += trailer.table_n;
	memcpy(to + at, to, PACK_HEADER_BYTES);
	at += PACK_HEADER_BYTES;
	pack_end_make(trailer, to + at);
	return at + 16;
}

static void read_pack(const struct pack_context *context, struct memory_source *memory,
		      struct read_scratch *scratch)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *reader = NULL;
	CLEANUP(free_ptr) uint8_t *plain = NULL;
	struct pack_id id = { { 1 } };

	if (pack_reader_open_source(context, &id, &memory->base, memory->n, &reader) < 0)
		return;
	plain = malloc(CHUNK_RAW_MAX);
	for (int scan = 0; scan < 2 && plain; scan++) {
		CLEANUP(free_ptr) struct pack_entry *entries = NULL;
		enum pack_kind kind;
		size_t n = 0;
		int r = scan ? pack_reader_scan(reader, scratch, &entries, &n)
			     : pack_reader_table(reader, scratch, &entries, &n, &kind);

		for (size_t i = 0; i < n && r == 0; i++)
			(void)pack_reader_get(reader, &entries[i], scratch, plain);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct key_ring *ring;
	static struct read_scratch scratch;
	static const uint8_t binding[32];
	struct pack_context context = { 0 };
	struct memory_source memory = { .base.read = read_memory, .data = data, .n = size };
	uint8_t body[BODY_BYTES] = { 0 };
	uint8_t pack[2 * PACK_HEADER_BYTES + BODY_BYTES + 256];
	struct pack_entry entry = { .offset = PACK_HEADER_BYTES };

	log_set_sink(drop_line);
	if (!ring && (crypto_init() < 0 || key_ring_create(binding, &ring) < 0 ||
		      read_scratch_init(&scratch) < 0))
		return 0;
	context.keys = ring;
	if (size > 8 && data[0] & 1) {
		/* Authentic, but nonsense: lengths, type, codec and the frame come from the input.
		 */
		entry.type = data[1];
		entry.codec = data[2];
		entry.stored_n = (uint32_t)(data[3] | data[4] << 8) % (BODY_BYTES + 1);
		entry.raw_n = (uint32_t)(data[5] | data[6] << 8 | data[7] << 16);
		memcpy(body, data + 8, size - 8 < BODY_BYTES ? size - 8 : BODY_BYTES);
		memory.n = make_pack(&context, scratch.cipher, &entry, body, pack);
		memory.data = pack;
		if (data[0] & 2)
			pack[((size_t)data[0] >> 2 | (size_t)data[1] << 6) % memory.n] ^= data[2];
	}
	read_pack(&context, &memory, &scratch);
	return 0;
}
