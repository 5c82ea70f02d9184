/* SPDX-License-Identifier: MIT */
#include "store/pack_reader.h"

#include "store/base/log.h"
#include "store/pack_format.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define READ_WINDOW_BYTES MIB(1)
#define PACK_BYTES_LEAST \
	(PACK_HEADER_BYTES + OBJECT_HEADER_BYTES + 1 + SEAL_TAG_BYTES + PACK_TRAILER_BYTES)

struct pack_reader {
	struct pack_context context;
	struct pack_id id;
	struct chunk_source *source; /* NULL: the local file */
	int fd;
	uint64_t size;
	enum pack_kind kind;
	uint8_t *key; /* guarded memory */
	uint8_t object_ad[PACK_HEADER_AD_BYTES];
	char path[PACK_PATH_BYTES];
};

int read_scratch_init(struct read_scratch *s)
{
	int r;

	*s = (struct read_scratch){ 0 };
	r = cipher_new(&s->cipher);
	if (r < 0)
		return r;
	r = compressor_new(&s->compressor);
	if (r < 0) {
		cipher_free(STEAL(s->cipher));
		return r;
	}
	return 0;
}

void read_scratch_done(struct read_scratch *s)
{
	cipher_free(STEAL(s->cipher));
	compressor_free(STEAL(s->compressor));
	byte_buf_done(&s->sealed);
}

/* All n bytes, or an error: the callers have checked the range against the size. */
static int read_at(struct pack_reader *p, uint64_t offset, void *to, size_t n)
{
	int64_t got;

	if (p->source)
		return p->source->read(p->source, &p->context.host, &p->id, offset, to, n);
	got = io_pread(p->context.io, p->fd, to, n, offset);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : -EBADMSG;
}

static uint8_t *scratch_room(struct read_scratch *s, size_t n)
{
	byte_buf_clear(&s->sealed);
	return byte_buf_reserve(&s->sealed, n);
}

/* The copy at the end serves when the front is damaged. */
static int open_header(struct pack_reader *p)
{
	const uint64_t places[] = { 0, p->size - PACK_TRAILER_BYTES };
	uint8_t header[PACK_HEADER_BYTES];
	int first = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int r = read_at(p, places[i], header, sizeof(header));

		if (r == 0)
			r = pack_header_open(&p->context, header, p->key, &p->kind);
		if (r == 0)
			return 0;
		if (!first)
			first = r;
		/* What a source does not reach once it need not be asked twice. */
		if (p->source && r != -EBADMSG)
			break;
	}
	return first;
}

static int new_reader(const struct pack_context *context, const struct pack_id *id,
		      struct pack_reader **ret_reader)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fd = -1;
	p->context = *context;
	p->id = *id;
	pack_path(&context->host, id, p->path);
	pack_header_ad(context, p->object_ad);
	p->key = crypto_secret_new(KEY_BYTES);
	if (!p->key)
		return -ENOMEM;
	*ret_reader = STEAL(p);
	return 0;
}

static int check_and_open_header(struct pack_reader *p)
{
	int r;

	if (p->size < PACK_BYTES_LEAST || p->size > PACK_BYTES_MAX)
		return log_errno(-EBADMSG, "%s: no pack has %" PRIu64 " bytes", p->path, p->size);
	r = open_header(p);
	if (r < 0)
		return log_errno(r, "%s: cannot open the pack's header", p->path);
	return 0;
}

int pack_reader_open(const struct pack_context *context, const struct pack_id *id,
		     struct pack_reader **ret_reader)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *p = NULL;
	int r = new_reader(context, id, &p);

	if (r < 0)
		return r;
	p->fd = io_open(context->io, p->path, IO_OPEN_READ, IO_OBJECT_PACK);
	if (p->fd == -ENOENT)
		return -ENOENT;
	if (p->fd < 0)
		return log_errno(p->fd, "%s: cannot open", p->path);
	r = io_size(context->io, p->fd, &p->size);
	if (r < 0)
		return log_errno(r, "%s: cannot tell its size", p->path);
	r = check_and_open_header(p);
	if (r < 0)
		return r;
	*ret_reader = STEAL(p);
	return 0;
}

int pack_reader_open_source(const struct pack_context *context, const struct pack_id *id,
			    struct chunk_source *source, uint64_t size,
			    struct pack_reader **ret_reader)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *p = NULL;
	int r = new_reader(context, id, &p);

	if (r < 0)
		return r;
	p->source = source;
	p->size = size;
	r = check_and_open_header(p);
	if (r < 0)
		return r;
	*ret_reader = STEAL(p);
	return 0;
}

void pack_reader_close(struct pack_reader *p)
{
	if (!p)
		return;
	io_close(p->context.io, p->fd);
	crypto_secret_free(p->key);
	free(p);
}

uint64_t pack_reader_size(const struct pack_reader *p)
{
	return p->size;
}

static int log_object(const struct pack_reader *p, const struct pack_entry *entry, int r)
{
	char hex[2 * sizeof(entry->id.bytes) + 1];

	return log_errno(r, "%s: object %s at byte %" PRIu32 " is unreadable", p->path,
			 bytes_to_hex(entry->id.bytes, sizeof(entry->id.bytes), hex),
			 entry->offset);
}

static bool entry_in_pack(const struct pack_reader *p, const struct pack_entry *entry)
{
	return pack_entry_valid(entry) && entry->offset >= PACK_HEADER_BYTES &&
	       entry->offset + pack_object_bytes(entry->stored_n) <= p->size - PACK_TRAILER_BYTES;
}

/* Decrypt the object's stored bytes into `to`, or, when that is NULL, in place; yields where. */
static int open_object(struct pack_reader *p, const struct pack_entry *entry,
		       struct read_scratch *s, void *to, const uint8_t **ret_stored)
{
	uint64_t offset = (uint64_t)entry->offset + OBJECT_HEADER_BYTES;
	uint8_t ad[PACK_BODY_AD_BYTES];
	uint8_t *sealed;
	int r;

	if (!entry_in_pack(p, entry))
		return log_object(p, entry, -EBADMSG);
	sealed = scratch_room(s, entry->stored_n + SEAL_TAG_BYTES);
	if (!sealed)
		return -ENOMEM;
	r = read_at(p, offset, sealed, entry->stored_n + SEAL_TAG_BYTES);
	if (r < 0)
		return log_object(p, entry, r);
	if (!to)
		to = sealed;
	pack_body_ad(&p->context, entry, ad);
	r = cipher_open(s->cipher, p->key, offset, ad, sizeof(ad), sealed, entry->stored_n, to);
	if (r < 0)
		return log_object(p, entry, r);
	*ret_stored = to;
	return 0;
}

int pack_reader_stored(struct pack_reader *p, const struct pack_entry *entry,
		       struct read_scratch *s, const uint8_t **ret_stored)
{
	return open_object(p, entry, s, NULL, ret_stored);
}

int pack_reader_get(struct pack_reader *p, const struct pack_entry *entry, struct read_scratch *s,
		    void *to)
{
	const uint8_t *stored = NULL;
	int r = open_object(p, entry, s, entry->codec == CODEC_RAW ? to : NULL, &stored);

	if (r < 0 || entry->codec == CODEC_RAW)
		return r;
	r = compressor_unpack(s->compressor, stored, entry->stored_n, to, entry->raw_n);
	return r < 0 ? log_object(p, entry, r) : 0;
}

/* Open the sealed table into s->sealed. */
static int open_table(struct pack_reader *p, struct read_scratch *s,
		      struct pack_trailer *ret_trailer, uint64_t *ret_table_at)
{
	struct pack_trailer trailer = { 0 };
	uint8_t ad[PACK_TABLE_AD_BYTES];
	uint8_t end[16];
	uint8_t *table;
	uint64_t at;
	int r;

	r = read_at(p, p->size - sizeof(end), end, sizeof(end));
	if (r == 0)
		r = pack_end_parse(end, &trailer);
	if (r < 0)
		return r;
	if (p->size < PACK_HEADER_BYTES + (uint64_t)trailer.table_n + PACK_TRAILER_BYTES)
		return -EBADMSG;
	at = p->size - PACK_TRAILER_BYTES - trailer.table_n;
	table = scratch_room(s, trailer.table_n);
	if (!table)
		return -ENOMEM;
	r = read_at(p, at, table, trailer.table_n);
	if (r < 0)
		return r;
	pack_table_ad(&p->context, p->kind, trailer, ad);
	r = cipher_open(s->cipher, p->key, at, ad, sizeof(ad), table,
			trailer.table_n - SEAL_TAG_BYTES, table);
	if (r < 0)
		return r;
	*ret_trailer = trailer;
	*ret_table_at = at;
	return 0;
}

int pack_reader_table(struct pack_reader *p, struct read_scratch *s,
		      struct pack_entry **ret_entries, size_t *ret_n, enum pack_kind *ret_kind)
{
	CLEANUP(free_ptr) struct pack_entry *entries = NULL;
	struct pack_trailer trailer;
	uint64_t table_at;
	int r;

	r = open_table(p, s, &trailer, &table_at);
	if (r < 0)
		return log_errno(r, "%s: cannot read the pack's table", p->path);
	assert(trailer.n_entries > 0);
	entries = calloc(trailer.n_entries, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	r = pack_table_parse(s->sealed.data, trailer.n_entries, table_at, entries);
	if (r < 0)
		return log_errno(r, "%s: the pack's table is malformed", p->path);
	*ret_entries = STEAL(entries);
	*ret_n = trailer.n_entries;
	*ret_kind = p->kind;
	return 0;
}

/* The state of a scan: a window of the file, and what was found. */
struct scan {
	struct pack_reader *pack;
	struct read_scratch *scratch;
	uint8_t *window;
	uint64_t window_at;
	size_t window_n;
	struct pack_entry *entries;
	size_t n;
	size_t room;
};

/* Yields the sealed header at an offset; NULL at the end or where the disk does not give it. */
static const uint8_t *scan_view(struct scan *scan, uint64_t offset)
{
	uint64_t left = scan->pack->size - offset;
	size_t n = left < READ_WINDOW_BYTES ? (size_t)left : READ_WINDOW_BYTES;

	if (left < OBJECT_HEADER_BYTES)
		return NULL;
	if (offset >= scan->window_at &&
	    offset + OBJECT_HEADER_BYTES <= scan->window_at + scan->window_n)
		return scan->window + (offset - scan->window_at);
	/* An unreadable sector must not cost the whole window. */
	if (read_at(scan->pack, offset, scan->window, n) < 0) {
		n = OBJECT_HEADER_BYTES;
		if (read_at(scan->pack, offset, scan->window, n) < 0)
			n = 0;
	}
	scan->window_at = offset;
	scan->window_n = n;
	return n ? scan->window : NULL;
}

static int scan_keep(struct scan *scan, const struct pack_entry *entry)
{
	if (scan->n == scan->room) {
		size_t room = scan->room ? 2 * scan->room : 256;
		struct pack_entry *entries = reallocarray(scan->entries, room, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		scan->entries = entries;
		scan->room = room;
	}
	scan->entries[scan->n++] = *entry;
	return 0;
}

/* Is there a sealed header at this offset? */
static bool scan_try(struct scan *scan, uint64_t offset, struct pack_entry *ret_entry)
{
	struct pack_reader *p = scan->pack;
	const uint8_t *sealed = scan_view(scan, offset);
	uint8_t plain[OBJECT_PLAIN_BYTES];

	if (!sealed || cipher_open(scan->scratch->cipher, p->key, offset, p->object_ad,
				   sizeof(p->object_ad), sealed, sizeof(plain), plain) < 0)
		return false;
	if (pack_object_parse(plain, ret_entry) < 0)
		return false;
	ret_entry->offset = (uint32_t)offset;
	return entry_in_pack(p, ret_entry);
}

int pack_reader_scan(struct pack_reader *p, struct read_scratch *s, struct pack_entry **ret_entries,
		     size_t *ret_n)
{
	CLEANUP(free_ptr) uint8_t *window = malloc(READ_WINDOW_BYTES);
	struct scan scan = { .pack = p, .scratch = s, .window = window };
	uint64_t offset = PACK_HEADER_BYTES;
	int r = window ? 0 : -ENOMEM;

	while (r == 0 && offset + OBJECT_HEADER_BYTES <= p->size && scan.n < PACK_ENTRIES_MAX) {
		struct pack_entry entry;

		if (scan_try(&scan, offset, &entry)) {
			r = scan_keep(&scan, &entry);
			offset += pack_object_bytes(entry.stored_n);
		} else {
			offset++;
		}
	}
	if (r == 0 && scan.n == 0)
		r = -ENOENT;
	if (r < 0) {
		free(scan.entries);
		return r;
	}
	*ret_entries = scan.entries;
	*ret_n = scan.n;
	return 0;
}

int pack_reader_verify_name(struct pack_reader *p)
{
	CLEANUP(sha256_free_ptr) struct sha256 *sha = NULL;
	CLEANUP(free_ptr) uint8_t *window = malloc(READ_WINDOW_BYTES);
	uint8_t digest[SHA256_BYTES];
	int r = window ? sha256_new(&sha) : -ENOMEM;

	if (r < 0)
		return r;
	for (uint64_t at = 0; at < p->size;) {
		uint64_t left = p->size - at;
		size_t n = left < READ_WINDOW_BYTES ? (size_t)left : READ_WINDOW_BYTES;

		r = read_at(p, at, window, n);
		if (r < 0)
			return log_errno(r, "%s: cannot read at byte %" PRIu64, p->path, at);
		sha256_update(sha, window, n);
		at += n;
	}
	sha256_final(sha, digest);
	if (memcmp(digest, p->id.bytes, sizeof(digest)) != 0)
		return log_errno(-EBADMSG, "%s: contents do not match the name", p->path);
	return 0;
}
