/* SPDX-License-Identifier: MIT */
/*
 * pack_format: the bytes of a pack, shared by its writer and its reader.
 *
 *   header    128 bytes, in the clear; holds the pack's own key, wrapped
 *   objects   one after another without gaps: sealed header, sealed body
 *   table     sealed; one line per object, in columns
 *   trailer   copy of the header, lengths of the table, end magic
 *
 * Every sealed part takes its own byte offset as nonce under the pack's random
 * key, so no nonce is ever used twice. Specified in yore-format(5), "Packs".
 *
 * Threads: plain functions, no state.
 */
#ifndef STORE_PACK_FORMAT_H
#define STORE_PACK_FORMAT_H

#include "store/limits.h"
#include "store/pack_writer.h"

#include <stdbool.h>

#define PACK_VERSION 1
#define PACK_WRAP_SYMMETRIC 1
#define PACK_WRAP_AT 48 /* where the wrapped key lies in the header */
#define PACK_TRAILER_BYTES (PACK_HEADER_BYTES + 16)
#define PACK_LINE_BYTES 42 /* of the table, one object */
#define OBJECT_PLAIN_BYTES (OBJECT_HEADER_BYTES - SEAL_TAG_BYTES)
#define PACK_HEADER_AD_BYTES 56
#define PACK_BODY_AD_BYTES 96
#define PACK_TABLE_AD_BYTES 64

static_assert(PACK_WRAP_AT + WRAP_NONCE_BYTES + KEY_BYTES + WRAP_TAG_BYTES <= PACK_HEADER_BYTES,
	      "the wrapped key fits the header");
static_assert(OBJECT_PLAIN_BYTES == 48, "an object's header is an id and 16 bytes more");

/* What the trailer says about the table. */
struct pack_trailer {
	uint32_t table_n; /* sealed, with its tag */
	uint32_t n_entries;
};

static inline uint64_t pack_object_bytes(uint32_t stored_n)
{
	return OBJECT_HEADER_BYTES + (uint64_t)stored_n + SEAL_TAG_BYTES;
}

static inline uint64_t pack_table_bytes(size_t n_entries)
{
	return (uint64_t)n_entries * PACK_LINE_BYTES + SEAL_TAG_BYTES;
}

/** Write a header that wraps `key`. */
void pack_header_make(const struct pack_context *context, enum pack_kind kind,
		      const uint8_t key[static KEY_BYTES], uint8_t to[static PACK_HEADER_BYTES]);
/**
 * Check a header and unwrap its key. Returns 0; -EBADMSG when it is damaged or of
 * another repository or host; -EPROTONOSUPPORT of a newer format; -ENOKEY.
 */
int pack_header_open(const struct pack_context *context,
		     const uint8_t from[static PACK_HEADER_BYTES],
		     uint8_t ret_key[static KEY_BYTES], enum pack_kind *ret_kind);

/** The last 16 bytes of a pack. */
void pack_end_make(struct pack_trailer trailer, uint8_t to[static 16]);
/** Returns 0, or -EBADMSG. */
int pack_end_parse(const uint8_t from[static 16], struct pack_trailer *ret_trailer);

/** Additional data of object headers, of one object's body, and of the table. */
void pack_header_ad(const struct pack_context *context, uint8_t to[static PACK_HEADER_AD_BYTES]);
void pack_body_ad(const struct pack_context *context, const struct pack_entry *entry,
		  uint8_t to[static PACK_BODY_AD_BYTES]);
void pack_table_ad(const struct pack_context *context, enum pack_kind kind,
		   struct pack_trailer trailer, uint8_t to[static PACK_TABLE_AD_BYTES]);

/** Plaintext of an object's header. The offset is where it lies, not what it says. */
void pack_object_make(const struct pack_entry *entry, uint8_t to[static OBJECT_PLAIN_BYTES]);
/** Returns 0, or -EUCLEAN when no writer would have written that. */
int pack_object_parse(const uint8_t from[static OBJECT_PLAIN_BYTES], struct pack_entry *ret_entry);
/** Could such an object exist? Checks lengths, type and codec against each other, not the offset.
 */
bool pack_entry_valid(const struct pack_entry *entry);

/** Plaintext of the table: `to` holds n * PACK_LINE_BYTES. */
void pack_table_make(const struct pack_entry *entries, size_t n, uint8_t *to);
/** Offsets follow from the lengths; they must end at `table_at`. Returns 0 or -EUCLEAN. */
int pack_table_parse(const uint8_t *from, size_t n, uint64_t table_at, struct pack_entry *to);

#endif
