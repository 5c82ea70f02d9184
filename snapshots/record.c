/* SPDX-License-Identifier: MIT */
#include "snapshots/record.h"

#include "snapshots/record_internal.h"
#include "store/base/log.h"
#include "store/compress.h"
#include "store/limits.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RECORD_MAGIC "yorerecd"
#define RECORD_VERSION 1

/* Magic, version, key id, repository, host, sequence: bound to the rest as additional data. */
#define HEADER_BYTES (8 + 1 + 4 + REPOSITORY_ID_BYTES + HOST_ID_BYTES + 8)
#define WRAP_BYTES (WRAP_NONCE_BYTES + WRAP_TAG_BYTES)
/* Inside the seal, before the body: its raw length, its codec. */
#define PREFIX_BYTES (4 + 1)
#define SEALED_BYTES_MIN (HEADER_BYTES + WRAP_BYTES + PREFIX_BYTES + 1)
#define LEVEL 3
/* "<16 hex>-<64 hex>" */
#define SEQ_DIGITS 16
#define NAME_CHARS (SEQ_DIGITS + 1 + 2 * SHA256_BYTES)

static_assert(8 + 1 + 2 * HOST_ID_BYTES + 1 + NAME_CHARS < RECORD_PATH_BYTES, "a path has room");

static void put_header(struct byte_buf *to, const struct store *s, const struct host_id *host,
		       uint64_t seq)
{
	byte_buf_append(to, RECORD_MAGIC, 8);
	byte_buf_u8(to, RECORD_VERSION);
	byte_buf_u32(to, key_ring_id(store_keys(s)));
	byte_buf_append(to, store_config(s)->repository, REPOSITORY_ID_BYTES);
	byte_buf_append(to, host->bytes, sizeof(host->bytes));
	byte_buf_u64(to, seq);
}

/* Raw length, codec and the body, compressed if that is shorter. */
static int pack_body(const struct byte_buf *body, struct byte_buf *to)
{
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	size_t room = compressor_bound(body->n);
	int64_t packed;
	uint8_t *at;
	int r;

	r = compressor_new(&c);
	if (r < 0)
		return r;
	byte_buf_u32(to, (uint32_t)body->n);
	byte_buf_u8(to, CODEC_ZSTD);
	at = byte_buf_reserve(to, room);
	if (!at)
		return -ENOMEM;
	packed = compressor_pack(c, LEVEL, body->data, body->n, at, room);
	if (packed < 0)
		return (int)packed;
	if (packed == 0) {
		to->data[PREFIX_BYTES - 1] = CODEC_RAW;
		byte_buf_append(to, body->data, body->n);
	} else {
		to->n += (size_t)packed;
	}
	return to->failed ? -ENOMEM : 0;
}

int record_seal(const struct record *r, const struct store *s, uint8_t **ret_data, size_t *ret_n,
		struct record_id *ret_id)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf body = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf packed = { 0 };
	CLEANUP(byte_buf_done_ptr) struct byte_buf sealed = { 0 };
	const uint8_t *key = key_ring_get(store_keys(s), KEY_RECORD);
	uint8_t *at;
	int e;

	e = record_body_encode(&body, r);
	if (e == -EINVAL)
		return log_errno(e, "record %" PRIu64 ": its fields break the format's rules",
				 r->seq);
	if (e == 0 && body.n > RECORD_BYTES_MAX - SEALED_BYTES_MIN)
		e = -EFBIG;
	if (e == 0)
		e = pack_body(&body, &packed);
	if (e < 0)
		return e;

	put_header(&sealed, s, &r->host, r->seq);
	at = byte_buf_reserve(&sealed, packed.n + WRAP_BYTES);
	if (!at)
		return -ENOMEM;
	crypto_wrap(key, sealed.data, HEADER_BYTES, packed.data, packed.n, at);
	sealed.n += packed.n + WRAP_BYTES;
	sha256_of(sealed.data, sealed.n, ret_id->bytes);
	*ret_n = sealed.n;
	*ret_data = STEAL(sealed.data);
	return 0;
}

/* Parse what was sealed: prefix and body. */
static int open_body(const uint8_t *plain, size_t n, const struct host_id *host, uint64_t seq,
		     struct record *ret_record)
{
	CLEANUP(compressor_free_ptr) struct compressor *c = NULL;
	CLEANUP(free_ptr) uint8_t *raw = NULL;
	struct byte_reader in = byte_reader_make(plain, n);
	uint32_t raw_n = byte_reader_u32(&in);
	uint8_t codec = byte_reader_u8(&in);
	int r;

	if (raw_n == 0 || raw_n > RECORD_BYTES_MAX)
		return -EUCLEAN;
	if (codec == CODEC_RAW)
		return byte_reader_left(&in) == raw_n
			       ? record_body_decode(in.at, raw_n, host, seq, ret_record)
			       : -EUCLEAN;
	if (codec != CODEC_ZSTD)
		return -EUCLEAN;
	raw = malloc(raw_n);
	if (!raw)
		return -ENOMEM;
	r = compressor_new(&c);
	if (r == 0)
		r = compressor_unpack(c, in.at, byte_reader_left(&in), raw, raw_n);
	return r < 0 ? r : record_body_decode(raw, raw_n, host, seq, ret_record);
}

int record_open(const struct store *s, const struct host_id *host, uint64_t seq, const void *data,
		size_t n, struct record *ret_record)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf header = { 0 };
	CLEANUP(free_ptr) uint8_t *plain = NULL;
	const uint8_t *sealed = data;
	size_t plain_n;
	int r;

	if (n < SEALED_BYTES_MIN || n > RECORD_BYTES_MAX)
		return -EBADMSG;
	/* Every field of the header is known beforehand: whatever differs is not our record. */
	put_header(&header, s, host, seq);
	if (header.failed)
		return -ENOMEM;
	if (memcmp(header.data, sealed, HEADER_BYTES) != 0)
		return -EBADMSG;
	plain_n = n - HEADER_BYTES - WRAP_BYTES;
	plain = malloc(plain_n);
	if (!plain)
		return -ENOMEM;
	r = crypto_unwrap(key_ring_get(store_keys(s), KEY_RECORD), header.data, HEADER_BYTES,
			  sealed + HEADER_BYTES, plain_n, plain);
	if (r < 0)
		return r;
	return open_body(plain, plain_n, host, seq, ret_record);
}

const char *consistency_name(enum consistency c)
{
	static const char *const names[] = {
		[CONSISTENCY_STEADY] = "steady",
		[CONSISTENCY_SMEARED] = "smeared",
		[CONSISTENCY_FROZEN] = "frozen",
		[CONSISTENCY_HOOK] = "hook",
	};

	assert((size_t)c < sizeof(names) / sizeof(*names));
	return names[c];
}

enum consistency record_consistency(const struct record *r)
{
	static const unsigned int trust[] = {
		[CONSISTENCY_SMEARED] = 0,
		[CONSISTENCY_STEADY] = 1,
		[CONSISTENCY_FROZEN] = 2,
		[CONSISTENCY_HOOK] = 3,
	};
	enum consistency worst = r->n_sources ? r->sources[0].consistency : CONSISTENCY_STEADY;

	for (size_t i = 1; i < r->n_sources; i++)
		if (trust[r->sources[i].consistency] < trust[worst])
			worst = r->sources[i].consistency;
	return worst;
}

char *record_path(const struct host_id *host, uint64_t seq, const struct record_id *id,
		  char to[static RECORD_PATH_BYTES])
{
	char host_hex[2 * HOST_ID_BYTES + 1], id_hex[2 * SHA256_BYTES + 1];

	(void)bytes_to_hex(host->bytes, sizeof(host->bytes), host_hex);
	(void)bytes_to_hex(id->bytes, sizeof(id->bytes), id_hex);
	(void)snprintf(to, RECORD_PATH_BYTES, "records/%s/%016" PRIx64 "-%s", host_hex, seq,
		       id_hex);
	return to;
}

int record_parse_name(const char *name, uint64_t *ret_seq, struct record_id *ret_id)
{
	char digits[SEQ_DIGITS + 1] = "";
	uint8_t seq_bytes[8];
	struct record_id id;
	uint64_t seq = 0;

	if (strlen(name) != NAME_CHARS || name[SEQ_DIGITS] != '-')
		return -EINVAL;
	memcpy(digits, name, SEQ_DIGITS);
	if (bytes_from_hex(digits, seq_bytes, sizeof(seq_bytes)) < 0 ||
	    bytes_from_hex(name + SEQ_DIGITS + 1, id.bytes, sizeof(id.bytes)) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(seq_bytes); i++)
		seq = seq << 8 | seq_bytes[i];
	/* The last number is kept free, so that "the one after" always exists. */
	if (seq == 0 || seq == UINT64_MAX)
		return -EINVAL;
	*ret_seq = seq;
	*ret_id = id;
	return 0;
}
