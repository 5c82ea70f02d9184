/* SPDX-License-Identifier: MIT */
#include "store/range_table.h"

#include "store/limits.h"
#include "store/pack_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TABLE_MAGIC "yoretabl"
#define TABLE_VERSION 1
#define HEADER_BYTES (8 + 4 + 4 + REPOSITORY_ID_BYTES + HOST_ID_BYTES + 8 + 8)
#define WRAP_BYTES (WRAP_NONCE_BYTES + WRAP_TAG_BYTES)
#define PREFIX_BYTES (4 + 1) /* inside the seal, before the plaintext: its length, its codec */
#define SEALED_BYTES_MIN (HEADER_BYTES + WRAP_BYTES + PREFIX_BYTES + 1)
#define PACK_LINE_FIXED (SHA256_BYTES + 4 + 1 + 4)
#define LEVEL 3
/* "<16 hex>-<16 hex>-<64 hex>" */
#define SEQ_DIGITS 16ul
#define NAME_CHARS (SEQ_DIGITS + 1 + SEQ_DIGITS + 1 + 2ul * SHA256_BYTES)

static_assert(7 + 2ul * HOST_ID_BYTES + 1 + NAME_CHARS < RANGE_TABLE_PATH_BYTES, "a path has room");
static_assert(RANGE_TABLE_BYTES_TARGET + PACK_LINE_FIXED +
			      (size_t)(uint64_t)PACK_ENTRIES_MAX * PACK_LINE_BYTES <
		      RANGE_TABLE_BYTES_MAX,
	      "a table that may take another pack has room for it");

/* ---- making ---- */

int range_table_add(struct range_table *t, const struct index_pack *pack)
{
	uint8_t *columns;

	assert(pack->n > 0 && pack->n <= PACK_ENTRIES_MAX);
	assert(pack->info.size <= PACK_BYTES_MAX);
	if (t->packs.n >= RANGE_TABLE_BYTES_TARGET || t->n_packs == RANGE_TABLE_PACKS_MAX)
		return -EFBIG;
	byte_buf_append(&t->packs, pack->info.id.bytes, SHA256_BYTES);
	byte_buf_u32(&t->packs, (uint32_t)pack->info.size);
	byte_buf_u8(&t->packs, (uint8_t)pack->info.kind);
	byte_buf_u32(&t->packs, (uint32_t)pack->n);
	columns = byte_buf_reserve(&t->packs, pack->n * PACK_LINE_BYTES);
	if (!columns)
		return -ENOMEM;
	pack_table_make(pack->entries, pack->n, columns);
	t->packs.n += pack->n * PACK_LINE_BYTES;
	t->n_packs++;
	return 0;
}

uint64_t range_table_bytes(const struct range_table *t)
{
	return t->packs.n;
}

void range_table_done(struct range_table *t)
{
	byte_buf_done(&t->packs);
	t->n_packs = 0;
}

static void put_header(struct byte_buf *to, const struct store *s,
		       const struct range_table_name *name)
{
	byte_buf_append(to, TABLE_MAGIC, 8);
	byte_buf_u32(to, TABLE_VERSION);
	byte_buf_u32(to, key_ring_id(store_keys(s)));
	byte_buf_append(to, store_config(s)->repository, REPOSITORY_ID_BYTES);
	byte_buf_append(to, name->host.bytes, HOST_ID_BYTES);
	byte_buf_u64(to, name->first);
	byte_buf_u64(to, name->last);
}

/* Length, codec and the plaintext, compressed if that is shorter. */
static int pack_plain(const struct byte_buf *plain, struct byte_buf *to)
{
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	size_t room = compressor_bound(plain->n);
	int64_t packed;
	uint8_t *at;
	int r = compressor_new(&c);

	if (r < 0)
		return r;
	byte_buf_u32(to, (uint32_t)plain->n);
	byte_buf_u8(to, CODEC_ZSTD);
	at = byte_buf_reserve(to, room);
	if (!at)
		return -ENOMEM;
	packed = compressor_pack(c, LEVEL, plain->data, plain->n, at, room);
	if (packed < 0)
		return (int)packed;
	if (packed == 0) {
		to->data[PREFIX_BYTES - 1] = CODEC_RAW;
		byte_buf_append(to, plain->data, plain->n);
	} else {
		to->n += (size_t)packed;
	}
	return to->failed ? -ENOMEM : 0;
}

int range_table_seal(const struct range_table *t, const struct store *s,
		     struct range_table_name *name, uint8_t **ret_data, size_t *ret_n)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf plain = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf packed = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf sealed = { 0 };
	uint8_t *at;
	int r;

	assert(t->n_packs > 0);
	byte_buf_u32(&plain, t->n_packs);
	byte_buf_append(&plain, t->packs.data, t->packs.n);
	if (plain.failed)
		return -ENOMEM;
	r = pack_plain(&plain, &packed);
	if (r < 0)
		return r;
	put_header(&sealed, s, name);
	at = byte_buf_reserve(&sealed, packed.n + WRAP_BYTES);
	if (!at)
		return -ENOMEM;
	crypto_wrap(key_ring_get(store_keys(s), KEY_TABLE), sealed.data, HEADER_BYTES, packed.data,
		    packed.n, at);
	sealed.n += packed.n + WRAP_BYTES;
	sha256_of(sealed.data, sealed.n, name->id);
	*ret_n = sealed.n;
	*ret_data = STEAL(sealed.data);
	return 0;
}

/* ---- reading ---- */

/* One pack of the plaintext. `entries` holds PACK_ENTRIES_MAX. */
static int take_pack(struct byte_reader *in, struct index_pack *pack, struct pack_entry *entries)
{
	const uint8_t *columns;
	uint64_t table_at;
	uint32_t n;
	uint8_t kind;

	byte_reader_copy(in, pack->info.id.bytes, SHA256_BYTES);
	pack->info.size = byte_reader_u32(in);
	kind = byte_reader_u8(in);
	n = byte_reader_u32(in);
	if (in->bad || kind < PACK_DATA || kind > PACK_MIXED || n == 0 || n > PACK_ENTRIES_MAX ||
	    pack->info.size > PACK_BYTES_MAX ||
	    pack->info.size < PACK_HEADER_BYTES + pack_table_bytes(n) + PACK_TRAILER_BYTES)
		return -EUCLEAN;
	columns = byte_reader_take(in, (size_t)n * PACK_LINE_BYTES);
	if (!columns)
		return -EUCLEAN;
	pack->info.kind = (enum pack_kind)kind;
	pack->entries = entries;
	pack->n = n;
	table_at = pack->info.size - PACK_TRAILER_BYTES - pack_table_bytes(n);
	return pack_table_parse(columns, n, table_at, entries);
}

int range_table_parse(const struct host_id *host, const void *data, size_t n,
		      range_table_visitor *visit, void *context)
{
	CLEANUP(free_ptr) struct pack_entry *entries = calloc(PACK_ENTRIES_MAX, sizeof(*entries));
	struct byte_reader in = byte_reader_make(data, n);
	uint32_t n_packs = byte_reader_u32(&in);
	int r = 0;

	if (!entries)
		return -ENOMEM;
	if (in.bad || n_packs == 0 || n_packs > RANGE_TABLE_PACKS_MAX)
		return -EUCLEAN;
	for (uint32_t i = 0; i < n_packs && r == 0; i++) {
		struct index_pack pack = { .info.host = *host };

		r = take_pack(&in, &pack, entries);
		if (r == 0)
			r = visit(context, &pack);
	}
	if (r == 0 && !byte_reader_done(&in))
		r = -EUCLEAN;
	return r;
}

static int open_plain(const struct range_table_name *name, const uint8_t *plain, size_t n,
		      range_table_visitor *visit, void *context)
{
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	CLEANUP(free_ptr) uint8_t *raw = NULL;
	struct byte_reader in = byte_reader_make(plain, n);
	uint32_t raw_n = byte_reader_u32(&in);
	uint8_t codec = byte_reader_u8(&in);
	int r;

	if (raw_n == 0 || raw_n > RANGE_TABLE_BYTES_MAX)
		return -EUCLEAN;
	if (codec == CODEC_RAW)
		return byte_reader_left(&in) == raw_n
			       ? range_table_parse(&name->host, in.at, raw_n, visit, context)
			       : -EUCLEAN;
	if (codec != CODEC_ZSTD)
		return -EUCLEAN;
	raw = malloc(raw_n);
	if (!raw)
		return -ENOMEM;
	r = compressor_new(&c);
	if (r == 0)
		r = compressor_unpack(c, in.at, byte_reader_left(&in), raw, raw_n);
	return r < 0 ? r : range_table_parse(&name->host, raw, raw_n, visit, context);
}

int range_table_open(const struct store *s, const struct range_table_name *name, const void *data,
		     size_t n, range_table_visitor *visit, void *context)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf header = { 0 };
	CLEANUP(free_ptr) uint8_t *plain = NULL;
	uint8_t digest[SHA256_BYTES];
	const uint8_t *sealed = data;
	size_t plain_n;
	int r;

	if (n < SEALED_BYTES_MIN || n > RANGE_TABLE_BYTES_MAX)
		return -EBADMSG;
	sha256_of(data, n, digest);
	if (memcmp(digest, name->id, sizeof(digest)) != 0)
		return -EBADMSG;
	put_header(&header, s, name);
	if (header.failed)
		return -ENOMEM;
	if (memcmp(header.data, sealed, HEADER_BYTES) != 0)
		return -EBADMSG;
	plain_n = n - HEADER_BYTES - WRAP_BYTES;
	plain = malloc(plain_n);
	if (!plain)
		return -ENOMEM;
	r = crypto_unwrap(key_ring_get(store_keys(s), KEY_TABLE), header.data, HEADER_BYTES,
			  sealed + HEADER_BYTES, plain_n, plain);
	return r < 0 ? r : open_plain(name, plain, plain_n, visit, context);
}

/* ---- names ---- */

char *range_table_path(const struct range_table_name *name, char to[static RANGE_TABLE_PATH_BYTES])
{
	char host[2 * HOST_ID_BYTES + 1], id[2 * SHA256_BYTES + 1];

	(void)snprintf(to, RANGE_TABLE_PATH_BYTES, "tables/%s/%016" PRIx64 "-%016" PRIx64 "-%s",
		       bytes_to_hex(name->host.bytes, HOST_ID_BYTES, host), name->first, name->last,
		       bytes_to_hex(name->id, SHA256_BYTES, id));
	return to;
}

static int take_seq(const char *text, uint64_t *ret_seq)
{
	char digits[SEQ_DIGITS + 1] = "";
	uint8_t bytes[8];

	memcpy(digits, text, SEQ_DIGITS);
	if (text[SEQ_DIGITS] != '-' || bytes_from_hex(digits, bytes, sizeof(bytes)) < 0)
		return -EINVAL;
	*ret_seq = 0;
	for (size_t i = 0; i < sizeof(bytes); i++)
		*ret_seq = *ret_seq << 8 | bytes[i];
	return 0;
}

int range_table_parse_name(const char *text, struct range_table_name *ret_name)
{
	struct range_table_name name = { 0 };

	if (strlen(text) != NAME_CHARS || take_seq(text, &name.first) < 0 ||
	    take_seq(text + SEQ_DIGITS + 1, &name.last) < 0 ||
	    bytes_from_hex(text + NAME_CHARS - 2ul * SHA256_BYTES, name.id, SHA256_BYTES) < 0)
		return -EINVAL;
	if (name.first > name.last || name.last == UINT64_MAX)
		return -EINVAL;
	name.host = ret_name->host;
	*ret_name = name;
	return 0;
}
