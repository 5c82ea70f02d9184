/* SPDX-License-Identifier: MIT */
#include "store/pack_format.h"

#include "store/base/bytes.h"
#include "store/compress.h"

#include <errno.h>
#include <string.h>

static const char pack_magic[8] = { 'y', 'o', 'r', 'e', 'p', 'a', 'c', 'k' };
static const char end_magic[8] = { 'y', 'o', 'r', 'e', 'p', 'e', 'n', 'd' };
static const char header_domain[16] = "yore object head";
static const char body_domain[16] = "yore object body";
static const char table_domain[16] = "yore pack table\n";

static uint8_t *put_bytes(uint8_t *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return to + n;
}

static uint8_t *put_u32(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (8 * i));
	return to + 4;
}

static uint32_t get_u32(const uint8_t *from)
{
	return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

char *pack_path(const struct host_id *host, const struct pack_id *id,
		char to[static PACK_PATH_BYTES])
{
	char *at = to;

	memcpy(at, "packs/", 6);
	at += 6;
	bytes_to_hex(host->bytes, HOST_ID_BYTES, at);
	at += 2ul * HOST_ID_BYTES;
	*at++ = '/';
	bytes_to_hex(id->bytes, 1, at);
	at += 2;
	*at++ = '/';
	bytes_to_hex(id->bytes, SHA256_BYTES, at);
	return to;
}

void pack_header_make(const struct pack_context *context, enum pack_kind kind,
		      const uint8_t key[static KEY_BYTES], uint8_t to[static PACK_HEADER_BYTES])
{
	uint8_t *at = to;

	memset(to, 0, PACK_HEADER_BYTES);
	at = put_bytes(at, pack_magic, sizeof(pack_magic));
	*at++ = PACK_VERSION;
	*at++ = PACK_WRAP_SYMMETRIC;
	*at++ = (uint8_t)kind;
	*at++ = 0;
	at = put_u32(at, key_ring_id(context->keys));
	at = put_bytes(at, context->repository, REPOSITORY_ID_BYTES);
	at = put_bytes(at, context->host.bytes, HOST_ID_BYTES);
	assert(at == to + PACK_WRAP_AT);
	crypto_wrap(key_ring_get(context->keys, KEY_PACK_WRAP), to, PACK_WRAP_AT, key, KEY_BYTES,
		    at);
}

int pack_header_open(const struct pack_context *context,
		     const uint8_t from[static PACK_HEADER_BYTES],
		     uint8_t ret_key[static KEY_BYTES], enum pack_kind *ret_kind)
{
	static const uint8_t zeros[8];
	int r;

	if (memcmp(from, pack_magic, sizeof(pack_magic)) != 0)
		return -EBADMSG;
	if (from[8] > PACK_VERSION)
		return -EPROTONOSUPPORT;
	if (from[8] != PACK_VERSION || from[9] != PACK_WRAP_SYMMETRIC || from[10] < PACK_DATA ||
	    from[10] > PACK_MIXED || from[11] != 0)
		return -EBADMSG;
	if (memcmp(from + 16, context->repository, REPOSITORY_ID_BYTES) != 0 ||
	    memcmp(from + 32, context->host.bytes, HOST_ID_BYTES) != 0 ||
	    memcmp(from + 120, zeros, sizeof(zeros)) != 0)
		return -EBADMSG;
	if (get_u32(from + 12) != key_ring_id(context->keys))
		return -ENOKEY;
	r = crypto_unwrap(key_ring_get(context->keys, KEY_PACK_WRAP), from, PACK_WRAP_AT,
			  from + PACK_WRAP_AT, KEY_BYTES, ret_key);
	if (r < 0)
		return r;
	*ret_kind = (enum pack_kind)from[10];
	return 0;
}

void pack_end_make(struct pack_trailer trailer, uint8_t to[static 16])
{
	to = put_u32(to, trailer.table_n);
	to = put_u32(to, trailer.n_entries);
	put_bytes(to, end_magic, sizeof(end_magic));
}

int pack_end_parse(const uint8_t from[static 16], struct pack_trailer *ret_trailer)
{
	struct pack_trailer t = { .table_n = get_u32(from), .n_entries = get_u32(from + 4) };

	if (memcmp(from + 8, end_magic, sizeof(end_magic)) != 0)
		return -EBADMSG;
	if (t.n_entries == 0 || t.n_entries > PACK_ENTRIES_MAX ||
	    t.table_n != pack_table_bytes(t.n_entries))
		return -EBADMSG;
	*ret_trailer = t;
	return 0;
}

static uint8_t *put_origin(uint8_t *at, const char domain[static 16],
			   const struct pack_context *context)
{
	at = put_bytes(at, domain, 16);
	at = put_bytes(at, context->repository, REPOSITORY_ID_BYTES);
	return put_bytes(at, context->host.bytes, HOST_ID_BYTES);
}

void pack_header_ad(const struct pack_context *context, uint8_t to[static PACK_HEADER_AD_BYTES])
{
	uint8_t *at = put_origin(to, header_domain, context);

	at = put_u32(at, PACK_VERSION);
	at = put_u32(at, 0);
	assert(at == to + PACK_HEADER_AD_BYTES);
}

void pack_body_ad(const struct pack_context *context, const struct pack_entry *entry,
		  uint8_t to[static PACK_BODY_AD_BYTES])
{
	uint8_t *at = put_origin(to, body_domain, context);

	at = put_u32(at, PACK_VERSION);
	*at++ = entry->type;
	*at++ = entry->codec;
	*at++ = 0;
	*at++ = 0;
	at = put_u32(at, entry->raw_n);
	at = put_u32(at, entry->stored_n);
	at = put_bytes(at, entry->id.bytes, sizeof(entry->id.bytes));
	assert(at == to + PACK_BODY_AD_BYTES);
}

void pack_table_ad(const struct pack_context *context, enum pack_kind kind,
		   struct pack_trailer trailer, uint8_t to[static PACK_TABLE_AD_BYTES])
{
	uint8_t *at = put_origin(to, table_domain, context);

	at = put_u32(at, PACK_VERSION);
	at = put_u32(at, (uint32_t)kind);
	at = put_u32(at, trailer.table_n);
	at = put_u32(at, trailer.n_entries);
	assert(at == to + PACK_TABLE_AD_BYTES);
}

bool pack_entry_valid(const struct pack_entry *entry)
{
	if (entry->type == 0 || entry->type > OBJECT_TYPE_MAX)
		return false;
	if (entry->raw_n == 0 || entry->raw_n > CHUNK_RAW_MAX)
		return false;
	if (entry->codec == CODEC_RAW)
		return entry->stored_n == entry->raw_n;
	return entry->codec == CODEC_ZSTD && entry->stored_n > 0 && entry->stored_n < entry->raw_n;
}

void pack_object_make(const struct pack_entry *entry, uint8_t to[static OBJECT_PLAIN_BYTES])
{
	uint8_t *at = put_bytes(to, entry->id.bytes, sizeof(entry->id.bytes));

	*at++ = entry->type;
	*at++ = entry->codec;
	*at++ = 0;
	*at++ = 0;
	at = put_u32(at, entry->raw_n);
	at = put_u32(at, entry->stored_n);
	at = put_u32(at, 0);
	assert(at == to + OBJECT_PLAIN_BYTES);
}

int pack_object_parse(const uint8_t from[static OBJECT_PLAIN_BYTES], struct pack_entry *ret_entry)
{
	struct pack_entry e = { .type = from[32],
				.codec = from[33],
				.raw_n = get_u32(from + 36),
				.stored_n = get_u32(from + 40) };

	memcpy(e.id.bytes, from, sizeof(e.id.bytes));
	if (from[34] != 0 || from[35] != 0 || get_u32(from + 44) != 0 || !pack_entry_valid(&e))
		return -EUCLEAN;
	*ret_entry = e;
	return 0;
}

/* In columns: lines of a sort lie side by side, and offsets are not said twice. */
void pack_table_make(const struct pack_entry *entries, size_t n, uint8_t *to)
{
	uint8_t *ids = to;
	uint8_t *stored = ids + 32 * n;
	uint8_t *raw = stored + 4 * n;
	uint8_t *types = raw + 4 * n;
	uint8_t *codecs = types + n;

	for (size_t i = 0; i < n; i++) {
		memcpy(ids + 32 * i, entries[i].id.bytes, 32);
		put_u32(stored + 4 * i, entries[i].stored_n);
		put_u32(raw + 4 * i, entries[i].raw_n);
		types[i] = entries[i].type;
		codecs[i] = entries[i].codec;
	}
}

int pack_table_parse(const uint8_t *from, size_t n, uint64_t table_at, struct pack_entry *to)
{
	const uint8_t *ids = from;
	const uint8_t *stored = ids + 32 * n;
	const uint8_t *raw = stored + 4 * n;
	const uint8_t *types = raw + 4 * n;
	const uint8_t *codecs = types + n;
	uint64_t offset = PACK_HEADER_BYTES;

	for (size_t i = 0; i < n; i++) {
		struct pack_entry *e = &to[i];

		memcpy(e->id.bytes, ids + 32 * i, 32);
		e->offset = (uint32_t)offset;
		e->stored_n = get_u32(stored + 4 * i);
		e->raw_n = get_u32(raw + 4 * i);
		e->type = types[i];
		e->codec = codecs[i];
		if (!pack_entry_valid(e))
			return -EUCLEAN;
		offset += pack_object_bytes(e->stored_n);
		if (offset > table_at)
			return -EUCLEAN;
	}
	return offset == table_at ? 0 : -EUCLEAN;
}
